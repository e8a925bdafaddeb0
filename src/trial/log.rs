//! A trial's event log, on disk and on standard output for whoever watches.

use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};

use crate::record::{Event, Progress, Record};
use crate::store::TrialDir;
use anyhow::Context as _;
use fs_err::{File, OpenOptions};

/// Appends to `events.jsonl`; lines are gathered and reach the disk with [`EventWriter::sync`] at the latest.
pub(super) struct EventWriter {
    file: BufWriter<File>,
    bytes: u64,
}

impl EventWriter {
    /// Opens the log and cuts it to `bytes`: what came after the checkpoint that training goes on from
    /// will happen again.
    ///
    /// # Errors
    /// Fails if the file cannot be opened, or is shorter than `bytes`.
    pub(super) fn open(trial: &TrialDir, bytes: u64) -> anyhow::Result<Self> {
        let path = trial.events_path();
        let mut file = OpenOptions::new().create(true).write(true).truncate(false).open(&path)?;
        let length = file.metadata()?.len();
        anyhow::ensure!(
            length >= bytes,
            "{} has {length} bytes, but the checkpoint was written after {bytes}",
            path.display()
        );
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes))?;
        Ok(Self { file: BufWriter::new(file), bytes })
    }

    /// Writes an event and shows it.
    ///
    /// # Errors
    /// Fails if a number in it is not finite, which the file could not hold, or it cannot be written, for example on a
    /// full disk.
    pub(super) fn write(
        &mut self,
        progress: Progress,
        seconds: f64,
        event: Event,
    ) -> anyhow::Result<()> {
        let record = Record { progress, seconds, event };
        if let Some(name) = record.event.not_finite() {
            let Progress { episodes, steps, .. } = progress;
            anyhow::bail!("{name} is not a finite number at step {steps}, episode {episodes}");
        }
        let mut line = serde_json::to_string(&record)?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).context("failed to write events.jsonl")?;
        self.bytes += line.len() as u64;
        // Whoever watches reads it from here sooner. One that is gone is not the trial's business.
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
        Ok(())
    }

    /// Makes sure that everything so far is on the disk, and tells how many bytes that is.
    ///
    /// # Errors
    /// Fails if it cannot be written.
    pub(super) fn sync(&mut self) -> anyhow::Result<u64> {
        self.file.flush().context("failed to write events.jsonl")?;
        self.file.get_ref().sync_data()?;
        Ok(self.bytes)
    }
}

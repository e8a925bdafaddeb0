//! A trial's event log, on disk and on standard output for whoever watches.

use std::io::{Read as _, Write as _};

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use fs_err::{File, OpenOptions};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::record::{Event, Progress, Record};
use crate::store::TrialDir;

/// The event log up to some moment: what a checkpoint belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogPrefix {
    bytes: u64,
    sha256: String,
}

/// Appends to `events.jsonl`, line by line, so that a killed trial leaves what it went through.
pub(super) struct EventWriter {
    trial: TrialDir,
    file: File,
    bytes: u64,
    hasher: Sha256,
}

impl EventWriter {
    /// Starts the log anew.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(super) fn create(trial: &TrialDir) -> anyhow::Result<Self> {
        let file = File::create(trial.events_path())?;
        Ok(Self { trial: trial.clone(), file, bytes: 0, hasher: Sha256::new() })
    }

    /// Opens the log and cuts it to `prefix`: what came after the checkpoint that training goes on from
    /// will happen again.
    ///
    /// # Errors
    /// Fails if the file cannot be opened, or does not begin with `prefix`; it is unchanged then.
    pub(super) fn open(trial: &TrialDir, prefix: &LogPrefix) -> anyhow::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).open(trial.events_path())?;
        let mut text = Vec::new();
        (&mut file).take(prefix.bytes).read_to_end(&mut text)?;
        let log = Self {
            trial: trial.clone(),
            file,
            bytes: text.len() as u64,
            hasher: Sha256::new_with_prefix(text),
        };
        anyhow::ensure!(
            log.prefix() == *prefix,
            "events.jsonl no longer begins with the {} bytes that it was written after",
            prefix.bytes
        );
        // Reading stopped where the log goes on.
        log.file.set_len(prefix.bytes)?;
        Ok(log)
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
        self.trial.wait_until_held();
        let record = Record { progress, seconds, event };
        if let Some(name) = record.event.not_finite() {
            let Progress { episodes, steps, .. } = progress;
            anyhow::bail!("{name} is not a finite number at step {steps}, episode {episodes}");
        }
        let mut line = serde_json::to_string(&record)?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).context("failed to write events.jsonl")?;
        self.bytes += line.len() as u64;
        self.hasher.update(&line);
        // Whoever watches reads it from here sooner. One that is gone is not the trial's business.
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
        Ok(())
    }

    /// Makes sure that everything so far is on the disk, and tells what that is.
    ///
    /// # Errors
    /// Fails if it cannot be written.
    pub(super) fn sync(&mut self) -> anyhow::Result<LogPrefix> {
        self.trial.wait_until_held();
        self.file.sync_data()?;
        Ok(self.prefix())
    }

    fn prefix(&self) -> LogPrefix {
        let sha256 = HEXLOWER.encode(&self.hasher.clone().finalize());
        LogPrefix { bytes: self.bytes, sha256 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_on_the_disk_at_once_and_a_log_that_differs_is_not_cut() {
        let directory = tempfile::tempdir().expect("room for a trial");
        let trial = TrialDir::new(directory.path().to_owned());
        let note = |message: &str| Event::Note { message: message.to_owned() };
        let mut log = EventWriter::create(&trial).expect("a new log");
        log.write(Progress::default(), 0.0, note("first")).expect("room for a line");
        // Nothing was synced or dropped: this is what a killed trial leaves.
        assert_eq!(trial.events().expect("a log").records.len(), 1);

        let prefix = log.sync().expect("a disk");
        log.write(Progress::default(), 0.0, note("later")).expect("room for a line");
        let whole = fs_err::read_to_string(trial.events_path()).expect("text");
        for damaged in [whole.replace("first", "fIrst"), whole[..9].to_owned()] {
            fs_err::write(trial.events_path(), &damaged).expect("room");
            assert!(EventWriter::open(&trial, &prefix).is_err(), "{damaged}");
            assert_eq!(fs_err::read_to_string(trial.events_path()).expect("text"), damaged);
        }
        fs_err::write(trial.events_path(), &whole).expect("room");
        let mut log = EventWriter::open(&trial, &prefix).expect("the same log");
        log.write(Progress::default(), 0.0, note("other")).expect("room for a line");
        let again = fs_err::read_to_string(trial.events_path()).expect("text");
        assert_eq!(again, whole.replace("later", "other"));
    }
}

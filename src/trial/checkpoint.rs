//! Checkpoints: everything that the rest of a trial depends on, in one file.
//!
//! A checkpoint is a safetensors file whose header also holds JSON: progress, length and hash of the event log,
//! random streams, the algorithm's own state. Its name carries a hash of its content, so that a file that was
//! damaged later is told from a good one; the two newest are kept, and the older one is what a trial goes on
//! from when the newer one, or the part of the event log that only the newer one belongs to, is damaged.

use std::collections::{HashSet, VecDeque};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err as fs;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::log::LogPrefix;
use crate::experiment::ScheduleSpec;
use crate::nn::Tensors;
use crate::record::{BestPolicy, Progress, StopReason};
use crate::store;
use crate::training::StopRule;

/// How many checkpoints are kept.
const KEPT: usize = 2;

/// Where training stood when a checkpoint was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The checkpoint's number, counted from 1; seeds of the restarting environments follow from it.
    pub number: u64,
    /// How far training had come.
    pub progress: Progress,
    /// Wall-clock seconds of training so far.
    pub seconds: f64,
    /// The event log of the training before this checkpoint.
    pub events: LogPrefix,
    /// The stop rule's memory.
    pub stop: StopRule,
    /// Why training had ended, where it had.
    pub stopped: Option<StopReason>,
    /// The best policy so far; its file is in the checkpoint too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<BestPolicy>,
    /// The number of the last training episode that was filmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filmed: Option<u64>,
    /// The environment steps at which this training had ended before it was lengthened, 0 where it never was: until it has
    /// come as far again, an early end would leave less than there had been.
    #[serde(default)]
    pub had_reached: u64,
    /// Metrics gathered since they were last written.
    pub metrics: crate::training::MetricMeans,
}

impl Position {
    /// Whether training had ended here and goes on all the same: the user had ended it, or `schedule` is longer now.
    pub(super) fn goes_on(&self, schedule: &ScheduleSpec) -> bool {
        self.stopped.is_some() && self.stop.reason(schedule, self.progress, self.seconds).is_none()
    }
}

/// Key of the position in a checkpoint's JSON part.
const POSITION: &str = "position";

/// Writes a checkpoint and removes those that are no longer needed: all but the one before it. Later ones are left
/// by a trial that could not go on from them.
///
/// # Errors
/// Fails if the file cannot be written.
pub(super) fn save(
    directory: &Path,
    position: &Position,
    mut state: Tensors,
) -> anyhow::Result<()> {
    fs::create_dir_all(directory)?;
    state.insert_value(POSITION, position);
    let mut saved = PathBuf::new();
    store::write_tensors(directory, &state, |file| {
        saved = directory.join(format!("{:08}-{}.safetensors", position.number, hash(file)?));
        Ok(saved.clone())
    })?;
    let number = format!("{:08}-", position.number);
    let earlier = |path: &PathBuf| path.file_name().is_some_and(|name| *name < *number);
    let (earlier, later): (Vec<_>, Vec<_>) =
        newest_first(directory)?.into_iter().filter(|path| *path != saved).partition(earlier);
    for old in later.into_iter().chain(earlier.into_iter().skip(KEPT - 1)) {
        fs::remove_file(old)?;
    }
    Ok(())
}

/// Reads the newest checkpoint that is whole and whose event log `open` opens; `note` is told of those that are not.
///
/// A training that had ended at its checkpoint and `goes_on` takes the one before it: a longer training would have written
/// no checkpoint at that end, where environments restart, and equals one that had gone on only without it. Where there is
/// no other, it goes on from there. Either way it knows how far the training had come.
///
/// # Errors
/// Fails if the directory cannot be read.
pub(super) fn load<Log>(
    directory: &Path,
    open: impl Fn(&Position) -> anyhow::Result<Log>,
    goes_on: impl Fn(&Position) -> bool,
    note: impl FnOnce(String),
) -> anyhow::Result<Option<(Position, Tensors, Log)>> {
    if !directory.exists() {
        return Ok(None);
    }
    let mut found = None;
    let mut said = Vec::new();
    let mut untried: VecDeque<_> = newest_first(directory)?.into();
    let mut ends = HashSet::new();
    let mut had_reached = 0;
    while let (None, Some(path)) = (&found, untried.pop_front()) {
        let whole = read(&path).and_then(|(position, state)| {
            if goes_on(&position) && ends.insert(path.clone()) {
                untried.push_back(path.clone());
                had_reached = had_reached.max(position.progress.steps);
                return Ok(None);
            }
            let log = open(&position)?;
            Ok(Some((position, state, log)))
        });
        match whole {
            Ok(checkpoint) => found = checkpoint,
            Err(error) => {
                let name = path.file_name().unwrap_or_default().display();
                said.push(format!("checkpoint {name} cannot be used ({error:#})"));
            }
        }
    }
    if let Some((position, ..)) = &mut found {
        position.had_reached = position.had_reached.max(had_reached);
    }
    match &found {
        Some((position, ..)) if goes_on(position) => said.push(format!(
            "training goes on from where it had ended, at step {}, as there is no checkpoint before: environments \
             restarted there, which they would not have in a training that never ended",
            position.progress.steps
        )),
        Some((position, ..)) if !said.is_empty() => {
            said.push(format!("going on from number {}", position.number));
        }
        None if !said.is_empty() => {
            said.push("the trial starts again from its beginning".to_owned());
        }
        Some(_) | None => {}
    }
    if !said.is_empty() {
        note(said.join("; "));
    }
    Ok(found)
}

/// Where training stood at a checkpoint, and the state, which is also what its policy saves.
///
/// # Errors
/// Fails if the file cannot be read, is damaged or something else.
pub fn read_checkpoint(path: &Path) -> anyhow::Result<(Progress, Tensors)> {
    let (position, state) = read(path)?;
    Ok((position.progress, state))
}

/// [`read_checkpoint`] of the newest one of a directory that is whole, if there is any.
pub fn newest_checkpoint(directory: &Path) -> Option<(Progress, Tensors)> {
    let paths = newest_first(directory).unwrap_or_default();
    paths.iter().find_map(|path| read_checkpoint(path).ok())
}

fn read(path: &Path) -> anyhow::Result<(Position, Tensors)> {
    let bytes = fs::read(path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let (_, expected) = name.split_once('-').context("its name has no hash")?;
    anyhow::ensure!(
        hash(&bytes[..])? == expected,
        "its content does not match the hash in its name"
    );
    let state = Tensors::from_bytes(&bytes)?;
    let position = state.value(POSITION)?;
    Ok((position, state))
}

/// The checkpoints of a directory; numbers in their names are padded, so that names sort like numbers.
fn newest_first(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            paths.push(path);
        }
    }
    paths.sort_unstable_by(|a, b| b.cmp(a));
    Ok(paths)
}

fn hash(mut content: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut part = vec![0; 1 << 16];
    loop {
        match content.read(&mut part)? {
            0 => break,
            n => hasher.update(&part[..n]),
        }
    }
    Ok(hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

//! The files that other programs leave, one format in each file.

use std::path::Path;

use super::training::Source;

mod evaluations;
mod monitor;
mod roles;
mod table;
mod tensorboard;

use table::{Format, Table};

pub(super) use monitor::together;

/// What a file is, by its name. The order is that of preference: of several files that tell the same of a training, the
/// first kind is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Stable-Baselines3's `monitor.csv`.
    Monitor,
    /// Its `evaluations.npz`.
    Evaluations,
    /// RLlib's `result.json`, and lines of JSON of any program.
    JsonLines,
    /// TensorBoard's event file.
    EventFile,
    /// Any other CSV file.
    Csv,
    /// A Parquet file.
    Parquet,
    /// A film.
    Film,
}

impl Kind {
    /// What the file at `path` is; nothing where no format of ours is called so.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_lowercase();
        let ends = |end: &str| name.ends_with(end);
        Some(match &*name {
            _ if ends("monitor.csv") => Self::Monitor,
            "evaluations.npz" => Self::Evaluations,
            _ if name.starts_with("events.out.tfevents.") => Self::EventFile,
            "result.json" => Self::JsonLines,
            _ if ends(".jsonl") || ends(".ndjson") => Self::JsonLines,
            _ if ends(".csv") => Self::Csv,
            _ if ends(".parquet") => Self::Parquet,
            _ if ends(".mp4") => Self::Film,
            _ => return None,
        })
    }

    /// Reads the trainings of a file; none where it is not about returns.
    ///
    /// # Errors
    /// Fails if the file is not what its name says, naming it.
    pub(super) fn read(
        self,
        path: &Path,
        scalar: Option<&str>,
        as_evaluations: bool,
    ) -> anyhow::Result<Vec<Source>> {
        let table = |format| Table::read(path, format)?.trainings(path, scalar, as_evaluations);
        match self {
            Self::Monitor => Ok(vec![monitor::read(path)?]),
            Self::Evaluations => Ok(vec![evaluations::read(path)?]),
            Self::EventFile => {
                Ok(tensorboard::read(path, scalar, as_evaluations)?.into_iter().collect())
            }
            Self::JsonLines => table(Format::JsonLines),
            Self::Csv => table(Format::Csv),
            Self::Parquet => table(Format::Parquet),
            Self::Film => Ok(Vec::new()),
        }
    }
}

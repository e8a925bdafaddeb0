//! The files that other programs leave, one format in each file.

use std::path::Path;

use super::training::Source;

mod cell;
mod chart;
mod evaluations;
mod monitor;
mod repeats;
mod roles;
mod table;
mod tensorboard;

use table::{Format, Table};

pub(super) use monitor::together;
pub(super) use roles::Wanted;

/// What a file holds.
#[derive(Debug)]
pub(super) struct Content {
    /// What it tells of each training in it; none where it has no column or scalar that is called as returns are.
    pub(super) sources: Vec<Source>,
    /// Its columns or scalars, none where there is nothing below them.
    pub(super) names: Vec<String>,
}

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

    /// Whether it has columns or scalars, of which the user may choose one.
    pub(super) fn has_scalars(self) -> bool {
        matches!(self, Self::JsonLines | Self::EventFile | Self::Csv | Self::Parquet)
    }

    /// Whether the user chose the name of the file at `path`, of this kind, and not the program that wrote it.
    pub(super) fn is_users_name(self, path: &Path) -> bool {
        let of_programs = ["result.json", "progress.csv"].map(Some);
        let name = path.file_name().and_then(|name| name.to_str());
        self.has_scalars() && self != Self::EventFile && !of_programs.contains(&name)
    }

    /// Whether files of this kind have what the user takes of others.
    pub(super) fn is_replaced(self, wanted: Wanted<'_>) -> bool {
        let replaced = if wanted.as_evaluations { Self::Evaluations } else { Self::Monitor };
        wanted.scalar.is_some() && self == replaced
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Fails if the file is not what its name says, naming it.
    pub(super) fn read(self, path: &Path, wanted: Wanted<'_>) -> anyhow::Result<Content> {
        let only = |source| Content { sources: vec![source], names: Vec::new() };
        let table = |format| Table::read(path, format)?.content(path, wanted);
        match self {
            Self::Monitor => monitor::read(path).map(only),
            Self::Evaluations => evaluations::read(path).map(only),
            Self::EventFile => tensorboard::read(path, wanted),
            Self::JsonLines => table(Format::JsonLines),
            Self::Csv => table(Format::Csv),
            Self::Parquet => table(Format::Parquet),
            Self::Film => Ok(Content { sources: Vec::new(), names: Vec::new() }),
        }
    }
}

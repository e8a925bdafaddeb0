//! What is wrong with something that a person wrote, and where.

use std::fmt;

use crate::{names, path};

/// One thing that is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The JSON path of the field, part by part; array indices as numbers in words. Empty for the whole.
    pub path: Vec<String>,
    /// What was expected and what was found: a fragment that reads after the path.
    pub message: String,
}

impl Problem {
    /// A problem at `path`.
    pub fn new<S: ToString>(path: &[S], message: impl Into<String>) -> Self {
        Self { path: path.iter().map(ToString::to_string).collect(), message: message.into() }
    }

    /// The same problem seen from further outside: `place` comes before its path.
    #[must_use]
    pub fn below<S: ToString>(mut self, place: &[S]) -> Self {
        self.path.splice(0..0, place.iter().map(ToString::to_string));
        self
    }

    /// The problem at the place where serde stopped.
    pub fn of_serde<E: fmt::Display>(error: &serde_path_to_error::Error<E>) -> Self {
        use serde_path_to_error::Segment;
        let part = |segment: &Segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        let path = error.path().iter().filter_map(part).collect();
        Self { path, message: error.inner().to_string() }
    }

    /// The path as it is written in `--set`, with names of any length cut.
    pub fn dotted(&self) -> String {
        let parts: Vec<_> = self.path.iter().map(|part| names::short(part)).collect();
        path::join(&parts)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.dotted())?;
        }
        f.write_str(&self.message)
    }
}

//! The files that are not read, which a person should know of.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::format;

/// Files that are not read, by why.
#[derive(Default)]
pub(super) struct LeftOut(BTreeMap<String, Vec<PathBuf>>);

impl LeftOut {
    /// Adds files that are not read because of `why`, a half-sentence about several of them.
    pub(super) fn add(&mut self, why: impl Into<String>, paths: impl IntoIterator<Item = PathBuf>) {
        self.0.entry(why.into()).or_default().extend(paths);
    }

    /// A note for each reason.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        const MOST: usize = 3;
        self.0.iter().map(|(why, paths)| {
            let mut shown: Vec<String> =
                paths.iter().take(MOST).map(|path| path.display().to_string()).collect();
            if let Some(more @ 1..) = paths.len().checked_sub(MOST) {
                shown.push(format!("{} more", format::count(more as u64)));
            }
            format!("left out, {why}: {}", format::list(&shown))
        })
    }
}

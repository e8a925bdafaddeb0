//! The report.

use std::path::PathBuf;

use crate::store::RunDir;

/// Options.
#[derive(Default)]
pub struct Options {}

/// Renders.
pub fn render(runs: &[RunDir], _: &Options) -> anyhow::Result<PathBuf> {
    Ok(runs[0].report())
}

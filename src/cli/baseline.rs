//! `rushes baseline RUN -o FILE`: makes a run the one that later runs are held against.

use std::path::PathBuf;

use anyhow::Context as _;

use super::Exit;
use crate::regression::Scores;
use crate::report::summary::Summary;
use crate::store::{self, RunDir};

/// Arguments of `rushes baseline`.
#[derive(clap::Args)]
pub struct Args {
    /// The run's directory, for example `output/cartpole/latest`.
    run: PathBuf,
    /// Where the baseline is written, for example `baselines/cartpole.json`.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Writes the baseline.
///
/// # Errors
/// Where the run cannot be read or is not complete, or the file cannot be written.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let scores = Scores::from_summary(&summary(&RunDir::open(&args.run)?)?, None);
    if let Some(folder) = args.output.parent() {
        fs_err::create_dir_all(folder)?;
    }
    scores.write(&args.output)?;
    let seeds = scores.agents.values().map(|agent| agent.seeds.len()).max().unwrap_or_default();
    println!("{} ({} agents, {seeds} seeds)", args.output.display(), scores.agents.len());
    Ok(Exit::Success)
}

/// A run's summary.
///
/// # Errors
/// Where it is missing, damaged or of a newer version.
pub fn summary(run: &RunDir) -> anyhow::Result<Summary> {
    anyhow::ensure!(
        run.summary().exists(),
        "{} has no summary.json; render it with `rushes report {}`",
        run.path().display(),
        run.path().display()
    );
    store::read_json(&run.summary()).context("failed to read the run's summary")
}

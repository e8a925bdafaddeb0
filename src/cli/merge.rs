//! `rushes merge RUN…`: one run from the shards of an experiment.

use std::path::PathBuf;

use super::{check, conclusion, run};
use crate::console;
use crate::exit::Exit;
use crate::regression::{self, Scores};
use crate::report;
use crate::run::{Merged, merge};
use crate::store::RunDir;

/// Make one run of the runs of all shards of an experiment (`rushes run FILE --shard 1/3`, `2/3`, `3/3`): it equals that
/// of the whole experiment.
///
/// Exits as `rushes run` does.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("verdict").args(["junit", "markdown"]).multiple(true).requires("check"))]
pub(super) struct Args {
    /// The run directories of the shards.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Where the run is written, as OUTPUT/EXPERIMENT/RUN.
    #[arg(long, default_value = "output", value_name = "DIR")]
    output: PathBuf,
    /// What to call the run; what its first shard is called by default.
    #[arg(long, value_name = "TEXT", value_parser = run::label)]
    label: Option<String>,
    /// Check the run against a baseline, print the verdict and put it into the report; the exit code is that of `rushes
    /// check`, unless trials failed.
    #[arg(long, value_name = "BASELINE")]
    check: Option<PathBuf>,
    #[command(flatten)]
    files: check::Files,
}

/// Merges the runs and prints where the report is.
///
/// # Errors
/// Fails if the runs are not the shards of one experiment, or a file cannot be read or written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    args.files.have_room()?;
    let runs = args.runs.iter().map(|run| RunDir::open(run)).collect::<anyhow::Result<Vec<_>>>()?;
    let baseline = args.check.as_deref().map(Scores::read).transpose()?;
    if let (Some(baseline), Some(run)) = (&baseline, runs.first()) {
        regression::comparable(baseline, &run.plan()?.experiment.task())?;
    }
    let Merged { dir, failed, warnings } = merge(&args.output, &runs, args.label.clone())?;
    for warning in warnings {
        console::message(format_args!("warning: {warning}"));
    }
    if let Some(baseline) = &baseline {
        baseline.write(&dir.baseline())?;
    }
    let (report, conclusion) = report::conclude(&dir)?;
    let next = run::next(None, &dir, &dir.plan()?, failed == 0);
    console::styled(&conclusion::text(&conclusion, &next));
    let (verdict, exit) = args.files.verdict(args.check.as_deref(), &dir)?;
    console::print(format!("{}{verdict}", report.display()))?;
    Ok(if failed > 0 { Exit::Failed } else { exit })
}

//! `rushes merge RUN…`: one run from the shards of an experiment.

use std::path::PathBuf;

use anyhow::Context as _;

use super::making::Making;
use super::run;
use crate::exit::Exit;
use crate::run::{Merged, merge};
use crate::store::RunDir;

/// Make one run of the runs of all shards of an experiment (`rushes run FILE --shard 1/3`, `2/3`, `3/3`): it equals that
/// of the whole experiment.
///
/// Exits as `rushes run` does.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The run directories of the shards.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// What to call the run; what its first shard is called by default.
    #[arg(long, value_name = "TEXT", value_parser = run::label)]
    label: Option<String>,
    #[command(flatten)]
    making: Making,
}

/// Merges the runs and prints where the report is.
///
/// # Errors
/// Fails if the runs are not the shards of one experiment, or a file cannot be read or written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let runs = args.runs.iter().map(|run| RunDir::open(run)).collect::<anyhow::Result<Vec<_>>>()?;
    let first = runs.first().context("no runs were named")?;
    let baseline = args.making.baseline(&first.plan()?.experiment.task())?;
    let Merged { closed, failed } = merge(&args.making.output, &runs, args.label.clone())?;
    args.making.conclude(closed, baseline.as_ref(), failed)
}

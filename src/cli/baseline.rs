//! `rushes baseline RUN -o FILE`: makes a run the one that later runs are held against.

use std::path::PathBuf;

use crate::console;
use crate::exit::Exit;
use crate::regression::Scores;
use crate::results;
use crate::store::RunDir;

/// Arguments of `rushes baseline`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The run's directory, for example `output/cartpole/latest`.
    run: PathBuf,
    /// Where the baseline is written, for example `baselines/cartpole.json`.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Writes the baseline.
///
/// # Errors
/// Fails if the run cannot be read or is not complete, or the file cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let run = RunDir::open(&args.run)?;
    let plan = run.plan().ok();
    if let Some(shard) = plan.as_ref().and_then(|plan| plan.shard) {
        anyhow::bail!(
            "{} is only shard {shard} of an experiment; write the baseline of what `rushes merge` makes of all of them",
            args.run.display()
        );
    }
    let summary = results::summary(&run)?;
    let scores = Scores::from_summary(&summary, None);
    if let Some(folder) = args.output.parent() {
        fs_err::create_dir_all(folder)?;
    }
    scores.write(&args.output)?;
    for weak in results::weak_evidence(&summary, run.info().ok().as_ref()) {
        console::message(format_args!("warning: weak evidence to compare with: {weak}"));
    }
    let ended =
        plan.filter(|plan| plan.looks > 0 && plan.looks < plan.experiment.seeds.looks().len());
    if let Some(plan) = ended {
        console::message(format_args!(
            "warning: the gate ended this run after {} of {} seeds, as soon as they gave an answer: scores that do so are \
             further from the mean than others; without --check the experiment runs all its seeds",
            plan.experiment.seeds.looks()[plan.looks - 1],
            plan.experiment.seeds.all.len(),
        ));
    }
    let seeds = scores.agents.values().map(|agent| agent.seeds.len()).max().unwrap_or_default();
    let agents = scores.agents.len();
    let shown = args.output.display();
    super::print_written(&args.output, format_args!("{shown} ({agents} agents, {seeds} seeds)"))?;
    Ok(Exit::Success)
}

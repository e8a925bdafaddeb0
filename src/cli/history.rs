//! `rushes history EXPERIMENT`: the recorded runs of an experiment.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::console;
use crate::exit::Exit;
use crate::experiment::Metric;
use crate::export::csv::Table;
use crate::history::{History, RecordedRun};
use crate::record::GitInfo;
use crate::stats::{self, Bootstrap};

/// Arguments of `rushes history`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The experiment's name.
    experiment: String,
    /// Where the runs are.
    #[arg(long, default_value = "output", value_name = "DIR")]
    output: PathBuf,
    /// Print JSON instead of a table.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV instead of a table: a line for each run, agent, metric and seed.
    #[arg(long)]
    csv: bool,
}

/// Prints the history.
///
/// # Errors
/// Fails if the database cannot be read or has no run of the experiment.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let history = History::open_existing(&args.output)?
        .with_context(|| format!("no run is recorded in {}", args.output.display()))?;
    let runs = history.runs(&args.experiment)?;
    if runs.is_empty() {
        let known = history.experiments()?;
        anyhow::bail!(
            "no run of `{}` is recorded; there are runs of {}",
            args.experiment,
            if known.is_empty() { "nothing".into() } else { known.join(", ") }
        );
    }
    if args.json {
        console::print(serde_json::to_string_pretty(&runs)?)?;
    } else if args.csv {
        console::print(csv(&runs))?;
    } else {
        console::print(text(&runs))?;
    }
    Ok(Exit::Success)
}

fn csv(runs: &[RecordedRun]) -> String {
    let mut table = Table::new(&[
        "run",
        "started",
        "commit",
        "dirty",
        "settings_hash",
        "failed_trials",
        "agent",
        "metric",
        "seed",
        "score",
        "environment",
        "label",
    ]);
    for run in runs {
        let commit = run.git.as_ref().map(|git| git.commit.clone()).unwrap_or_default();
        let dirty = run.git.as_ref().map(|git| git.dirty.to_string()).unwrap_or_default();
        for series in &run.series {
            for (seed, score) in series.seeds.iter().zip(&series.scores) {
                table.row(&[
                    &run.run,
                    &run.started.map(|time| time.to_string()).unwrap_or_default(),
                    &commit,
                    &dirty,
                    &run.settings_hash,
                    &run.failed_trials,
                    &series.agent,
                    &series.metric.name(),
                    seed,
                    score,
                    &run.environment,
                    &run.label.as_deref().unwrap_or_default(),
                ]);
            }
        }
    }
    table.finish()
}

/// The mean return of each agent with its bootstrap interval, run by run.
fn text(runs: &[RecordedRun]) -> String {
    let mut lines = Vec::new();
    for run in runs {
        let commit = run.git.as_ref().map_or("no commit".into(), GitInfo::short);
        let failed = match run.failed_trials {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        let RecordedRun { run: name, environment, settings_hash, .. } = run;
        let label = run.label.as_ref().map(|label| format!(" “{label}”")).unwrap_or_default();
        lines.push(format!(
            "{name}{label} ({environment}, {commit}, settings {settings_hash}{failed})"
        ));
        for series in run.series.iter().filter(|series| series.metric == Metric::Return) {
            let mean = stats::mean(&series.scores).unwrap_or_default();
            let interval = Bootstrap::default()
                .interval(&series.scores, stats::mean)
                .map(|interval| format!(" [{:.2}, {:.2}]", interval.low, interval.high))
                .unwrap_or_default();
            let seeds = series.seeds.len();
            let plural = if seeds == 1 { "" } else { "s" };
            lines.push(format!(
                "  {:<20} {mean:>10.2}{interval} ({seeds} seed{plural})",
                series.agent
            ));
        }
    }
    lines.push("mean evaluation returns with 95 % bootstrap intervals over seeds\n".into());
    lines.join("\n")
}

//! `rushes check RUN --baseline FILE`: did the policies get worse?

use std::path::PathBuf;

use crate::console;
use crate::exit::Exit;
use crate::regression::{self, Scores, Verdict};
use crate::results;
use crate::store::{self, RunDir};

/// Arguments of `rushes check`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The run's directory, for example `output/cartpole/latest`.
    run: PathBuf,
    /// The baseline, written by `rushes baseline`.
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// Write JUnit XML too.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write Markdown too, for a comment or a step's summary.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Print the decision as JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// Prints the verdict: 0 held or improved, 1 regressed, 2 inconclusive.
///
/// # Errors
/// Fails if the run or the baseline cannot be read or compared, or a file cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let run = RunDir::open(&args.run)?;
    let baseline = Scores::read(&args.baseline)?;
    let rule = run.plan()?.experiment.check;
    let scores = Scores::from_summary(&results::summary(&run)?, Some(&baseline));
    let decision = regression::decide(&baseline, &scores, &rule)?;
    if let Some(path) = &args.junit {
        store::write_atomically(path, regression::junit(&decision)?.as_bytes())?;
    }
    if let Some(path) = &args.markdown {
        store::write_atomically(path, regression::markdown(&decision).as_bytes())?;
    }
    if args.json {
        console::print(serde_json::to_string_pretty(&decision)?)?;
    } else {
        console::print(regression::text(&decision))?;
    }
    Ok(match decision.verdict {
        Verdict::Held | Verdict::Improved => Exit::Success,
        Verdict::Regressed => Exit::Failed,
        Verdict::Inconclusive => Exit::Input,
    })
}

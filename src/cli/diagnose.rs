//! `rushes diagnose`: why the agents of a run do not learn.

use std::path::PathBuf;

use crate::console;
use crate::diagnosis::Diagnosis;
use crate::exit::Exit;
use crate::results::RunData;
use crate::store::RunDir;

/// Say why the agents of a run do not learn, as far as its numbers tell.
///
/// Each finding comes with its evidence and what to try; the report and `rushes run` tell the same. docs/diagnosis.md says
/// what each one means, and how often it is right.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A run directory, for example `output/cartpole/latest`.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Print the findings and what is seen in each trial as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
///
/// # Errors
/// Fails if nothing of the run can be read.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let diagnosis = Diagnosis::of(&RunData::read(&RunDir::open(&args.run)?)?)?;
    if args.json {
        console::print(serde_json::to_string_pretty(&diagnosis)?)?;
        return Ok(Exit::Success);
    }
    for finding in &diagnosis.findings {
        console::print(finding.sentence())?;
    }
    if diagnosis.findings.is_empty() {
        let learn = diagnosis.trials.iter().filter(|trial| trial.learns).count();
        let all = diagnosis.trials.len();
        console::print(format!("{learn} of {all} trials learn; there is no finding"))?;
    }
    Ok(Exit::Success)
}

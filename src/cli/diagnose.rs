//! `rushes diagnose`: why the agents of a run do not learn.

use std::path::PathBuf;

use crate::console;
use crate::diagnosis::Diagnosis;
use crate::exit::Exit;
use crate::results::{RunData, is_quick};
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
    let run = RunData::read(&RunDir::open(&args.run)?)?;
    let diagnosis = Diagnosis::of(&run)?;
    if args.json {
        console::print(serde_json::to_string_pretty(&diagnosis)?)?;
        return Ok(Exit::Success);
    }
    for finding in &diagnosis.findings {
        console::print(finding.sentence())?;
    }
    if diagnosis.findings.is_empty() {
        let learn = diagnosis.trials.iter().filter(|trial| trial.learns).count();
        console::print(match diagnosis.trials.len() {
            _ if run.info.as_ref().is_some_and(is_quick) => {
                "nothing is looked for in a quick run (`--quick`): its trainings are too short to learn".into()
            }
            0 => "there is no trial of an agent that learns which is over".into(),
            all => format!("{learn} of {all} trials learn; there is no finding"),
        })?;
    }
    Ok(Exit::Success)
}

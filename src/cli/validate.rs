//! `rushes validate FILE…`: is this an experiment that can be run?

use std::path::PathBuf;

use crate::exit::Exit;
use crate::experiment::{EnvironmentSpec, Override, Spec};
use crate::trial::MemoryEstimate;
use crate::{console, format, provenance, search, validation};

/// Arguments of `rushes validate`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Experiment files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print the experiment with every default filled in.
    #[arg(long)]
    resolved: bool,
    /// Change a field first, for example `agents.ppo.training.algorithm.discount=0.98`.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<Override>,
}

/// Checks the files one by one.
///
/// # Errors
/// Fails if the output cannot be written.
pub(super) fn run(args: Args) -> anyhow::Result<Exit> {
    let mut exit = Exit::Success;
    for file in &args.files {
        match validation::load(file, &args.overrides) {
            Ok(spec) if args.resolved => console::print(serde_json::to_string_pretty(&spec)?)?,
            Ok(spec) => {
                let plan = search::plan(spec)?;
                let Spec { agents, environments, .. } = &plan.experiment;
                let suite = match environments.len() {
                    0 => String::new(),
                    n => format!(" in {}", format::plural(n, "environment")),
                };
                console::print(format_args!(
                    "{}: {} agents{suite}, {} trials",
                    file.display(),
                    agents.len(),
                    plan.trials.len()
                ))?;
                if plan.experiment.environments().any(EnvironmentSpec::is_unseen) {
                    let commands = plan.experiment.commands()?;
                    console::message(format_args!(
                        "{}: what depends on the environment is checked once `rushes run` has started it: {}",
                        file.display(),
                        commands.first().map_or("", String::as_str)
                    ));
                    continue;
                }
                let memory = MemoryEstimate::of(&plan)?;
                if let Some(statement) = memory.statement(1) {
                    console::print(statement)?;
                }
                // Another machine may have more.
                if let Some(problem) =
                    provenance::memory_bytes().and_then(|has| memory.problem(1, has))
                {
                    console::message(format_args!("warning: {}: {problem}", file.display()));
                }
            }
            Err(error) => {
                console::message(format_args!("{error:#}"));
                exit = Exit::Input;
            }
        }
    }
    Ok(exit)
}

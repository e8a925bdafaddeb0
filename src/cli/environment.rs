//! Environments of other processes, as commands meet them: started once, after saying how.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::console;
use crate::env::Problem;
use crate::experiment::{AgentSpec, EnvironmentSpec, Spec};
use crate::external::gymnasium::GymnasiumSpec;
use crate::policy::ObservationSpec;
use crate::validation;

/// Which environment a command is about, where it has no experiment.
#[derive(clap::Args)]
pub(super) struct Place {
    /// Take the environment from Gymnasium, in this Python or the `python3` on the PATH: any id that it can make, and
    /// `module:Class`.
    #[arg(long, value_name = "PYTHON", num_args = 0..=1, require_equals = true)]
    gymnasium: Option<Option<String>>,
    /// A module to import first, which registers the environment.
    #[arg(long, value_name = "MODULE", requires = "gymnasium")]
    import: Vec<String>,
}

impl Place {
    /// The environment that `name` means: an experiment's, where it is the path of one, else the one with this id.
    ///
    /// # Errors
    /// Fails if the experiment cannot be read, or a process that makes the environment fails.
    pub(super) fn find(&self, name: &str) -> anyhow::Result<EnvironmentSpec> {
        let file = PathBuf::from(name);
        let mut environment = if file.extension().is_some_and(|e| e == "json") && file.is_file() {
            let spec = validation::load(&file, &[])?;
            let names: Vec<&str> = spec.environments.keys().map(String::as_str).collect();
            anyhow::ensure!(
                names.is_empty(),
                "{name} has several environments ({}): expected one with a single one, or an id",
                names.join(", ")
            );
            spec.placed_environment()
        } else {
            let gymnasium = self.gymnasium.as_ref().map(|python| GymnasiumSpec {
                python: python.clone(),
                import: self.import.clone(),
                wrappers: Vec::new(),
            });
            EnvironmentSpec { gymnasium, ..EnvironmentSpec::named(name) }
        };
        if let Some(line) = environment.shown().filter(|_| environment.is_unseen()) {
            console::message(format_args!("starts: {line}"));
        }
        describe(&mut environment)?;
        Ok(environment)
    }
}

/// Starts the processes that make an environment, where others do and nothing is known of it, and tells what they note.
fn describe(environment: &mut EnvironmentSpec) -> anyhow::Result<()> {
    if !environment.is_unseen() {
        return Ok(());
    }
    environment.describe()?;
    for note in environment.described.iter().flat_map(|card| &card.notes) {
        console::message(format_args!("note: {}: {note}", environment.id));
    }
    Ok(())
}

/// An experiment once its environments are known as they will be used. The files that they consist of are taken down;
/// where other processes make them they have been started, and the experiment is checked as a whole, without films where
/// there is nothing to film.
///
/// # Errors
/// Fails if the processes do; gives what is wrong with the experiment.
pub(super) fn started(mut spec: Spec) -> anyhow::Result<Result<Spec, Vec<Problem>>> {
    let folder = spec.directory.clone();
    let films = spec.recording.before || spec.recording.after;
    let mut starts = false;
    for (name, environment) in spec.named_environments_mut() {
        if !environment.is_external() {
            if let Err(problem) = environment.pin_files() {
                let place = match name {
                    Some(name) => vec!["environments", name],
                    None => vec!["environment"],
                };
                return Ok(Err(vec![problem.below(&place)]));
            }
            continue;
        }
        starts = true;
        let mut placed = environment.placed(folder.as_deref());
        describe(&mut placed).context("the environment failed")?;
        environment.described = placed.described;
        let card = environment.described.as_ref().context("it has been described")?;
        if films && !environment.draws() {
            let id = &environment.id;
            console::message(format_args!("note: nothing is filmed: {id} draws no pictures"));
        }
        if !card.deterministic {
            console::message(format_args!(
                "note: {} is not deterministic: returns will differ between equal runs, and a resumed run from one \
                 that was never interrupted",
                environment.id
            ));
        }
    }
    if !starts {
        return Ok(Ok(spec));
    }
    for part in spec.parts()? {
        let looks = |(_, agent): &(&String, &AgentSpec)| {
            matches!(agent.policy.observation(), ObservationSpec::Pixels(_))
        };
        let Spec { environment, agents, .. } = &part.experiment;
        if let Some((name, _)) = agents.iter().find(looks).filter(|_| !environment.draws()) {
            let message = format!("{} draws no pictures that a policy could see", environment.id);
            let place = ["agents", name, "policy", "observation"];
            return Ok(Err(vec![Problem::new(&place, message)]));
        }
    }
    Ok(validation::check(&serde_json::to_value(&spec)?))
}

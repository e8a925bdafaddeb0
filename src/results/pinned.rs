//! What trainings need from elsewhere, found when a run starts: policies to begin with, and datasets to learn from.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use fs_err as fs;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::SavedAgent;
use crate::algorithm::{self, Setup};
use crate::dataset::Transitions;
use crate::experiment::{EnvironmentSpec, Pinned, Spec};
use crate::nn::Tensors;
use crate::policy::{PolicySpec, begin_with};

/// Finds the policies that agents of `spec`, an experiment in `folder`, begin with and the datasets that they learn from, and
/// writes down their content. Gives what is to be said of it: layers that begin anew.
///
/// # Errors
/// Fails if there is no such policy, or it fits its agent neither whole nor but for its head; and if a dataset is missing or
/// of another environment.
pub fn take_over(spec: &mut Spec, folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut said = Vec::new();
    for part in spec.parts()? {
        let environment = part.experiment.placed_environment();
        for (name, agent) in &part.experiment.agents {
            let Some(training) = &agent.training else { continue };
            let place = |field| Place { environment: part.name.as_deref(), agent: name, field };
            if let Some(dataset) = unseen(&training.dataset) {
                let place = place("dataset");
                let found = take_dataset(dataset, folder, &environment, &agent.policy)
                    .with_context(|| place.shown(spec))?;
                place.put(spec, found);
            }
            let Some(initial) = unseen(&training.initial_policy) else { continue };
            let place = place("initial_policy");
            let shown = place.shown(spec);
            let (found, tensors, saved) = take(initial, folder, &environment, &agent.policy)
                .with_context(|| shown.clone())?;
            if let (PolicySpec::Neural(own), PolicySpec::Neural(learned)) =
                (&agent.policy, saved.policy())
                && own.activation != learned.activation
            {
                said.push(format!(
                    "{}: begins with a policy that was trained with {} activations and has {}, so that it acts \
                     otherwise from the start; `policy.activation` says which",
                    part.agent_name(name),
                    learned.activation,
                    own.activation
                ));
            }
            place.put(spec, found);
            let (_, env) = environment.build(&agent.policy)?;
            let fresh = algorithm::settings(&training.algorithm)?.build_policy(&Setup {
                policy: &agent.policy,
                schedule: &training.schedule,
                observation_space: env.env().observation_space(),
                action_space: env.env().action_space(),
                seed: 0,
            });
            // Another program has its engine, and tells.
            let Ok(fresh) = fresh else { continue };
            let mut state = Tensors::default();
            fresh.save(&mut state);
            let anew = begin_with(&mut state, &tensors).context(shown)?;
            if !anew.is_empty() {
                let name = part.agent_name(name);
                said.push(format!("{name}: begins with a new head ({})", anew.join(", ")));
            }
        }
    }
    Ok(said)
}

/// What a file names and no run has looked at yet.
fn unseen(pinned: &Option<Pinned>) -> Option<&Pinned> {
    pinned.as_ref().filter(|pinned| pinned.sha256.is_none())
}

/// A field of an agent's training, in an environment of a suite or in the only one.
struct Place<'a> {
    environment: Option<&'a str>,
    agent: &'a str,
    field: &'static str,
}

impl Place<'_> {
    /// Where it stands in the experiment's file.
    fn shown(&self, spec: &Spec) -> String {
        let Self { environment, agent, field } = self;
        let own = environment.filter(|environment| {
            let patch = spec.agents[*agent].environments.get(*environment);
            patch.is_some_and(|patch| !patch["training"][*field].is_null())
        });
        let patch = own.map_or(String::new(), |environment| format!("environments.{environment}."));
        format!("agents.{agent}.{patch}training.{field}")
    }

    /// Writes down what was found.
    fn put(&self, spec: &mut Spec, found: Pinned) {
        let agent = &mut spec.agents[self.agent];
        if let Some(environment) = self.environment {
            let patch = agent.environments.entry(environment.to_owned()).or_default();
            patch["training"][self.field] = json!(found);
        } else if let Some(training) = &mut agent.training {
            match self.field {
                "dataset" => training.dataset = Some(found),
                _ => training.initial_policy = Some(found),
            }
        }
    }
}

/// The dataset that `dataset` names, relative to `folder` or to the current one, which `policy` can learn from.
fn take_dataset(
    dataset: &Pinned,
    folder: &Path,
    environment: &EnvironmentSpec,
    policy: &PolicySpec,
) -> anyhow::Result<Pinned> {
    let places = [folder.join(&dataset.path), dataset.path.clone()];
    let path = places.into_iter().find(|place| place.is_dir()).with_context(|| {
        format!(
            "there is no folder {}, relative to {} or to the current folder; `rushes play … --dataset` writes a dataset",
            dataset.path.display(),
            folder.display()
        )
    })?;
    let path = fs::canonicalize(path)?;
    let (_, env) = environment.build(policy)?;
    let env = env.env();
    let (_, sha256) = Transitions::read(&path, env.observation_space(), env.action_space())?;
    Ok(Pinned { path, sha256: Some(sha256) })
}

/// The policy that `initial` names, with what it holds.
fn take(
    initial: &Pinned,
    folder: &Path,
    environment: &EnvironmentSpec,
    policy: &PolicySpec,
) -> anyhow::Result<(Pinned, Tensors, SavedAgent)> {
    let path = find(&initial.path, folder)?;
    let bytes = fs::read(&path)?;
    let sha256 = HEXLOWER.encode(&Sha256::digest(&bytes));
    // What another program wrote is refused here.
    let saved = SavedAgent::open(&path, None)?;
    saved.sees_like(environment, policy)?;
    Ok((Pinned { path, sha256: Some(sha256) }, Tensors::from_bytes(&bytes)?, saved))
}

/// The policy file that `path` names, relative to `folder` or to the current one.
fn find(path: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let places = [folder.join(path), path.to_owned()];
    // The last parts may be an agent and a seed in a run.
    let splits =
        places.iter().flat_map(|place| place.ancestors().take(3).map(move |run| (run, place)));
    let found = splits.into_iter().find_map(|(run, place)| {
        let agent = place.strip_prefix(run).ok()?.to_str()?;
        let whole = agent.is_empty();
        let is_there = if whole { run.exists() } else { run.join("plan.json").is_file() };
        is_there.then(|| (run.to_owned(), (!whole).then(|| agent.to_owned())))
    });
    let (run, agent) = found.with_context(|| {
        format!(
            "there is no {}: expected a policy file, the directory of a trial, or RUN/AGENT, relative to {} or to the \
             current folder",
            path.display(),
            folder.display()
        )
    })?;
    Ok(fs::canonicalize(SavedAgent::file(&run, agent.as_deref())?)?)
}

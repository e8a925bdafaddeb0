//! Warm starts: the policies that trainings begin with, found and taken over when a run starts.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use fs_err as fs;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::SavedAgent;
use crate::algorithm::{self, Setup};
use crate::experiment::{EnvironmentSpec, InitialPolicy, Spec};
use crate::nn::Tensors;
use crate::policy::{PolicySpec, begin_with};

/// Finds the policies that agents of `spec`, an experiment in `folder`, begin with, and writes down their content. Gives
/// what is to be said of it: layers that begin anew.
///
/// # Errors
/// Fails if there is no such policy, or it fits its agent neither whole nor but for its head.
pub fn take_over(spec: &mut Spec, folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut said = Vec::new();
    for part in spec.parts()? {
        let environment = part.experiment.placed_environment();
        for (name, agent) in &part.experiment.agents {
            let Some(training) = &agent.training else { continue };
            let initial = training.initial_policy.as_ref().filter(|i| i.sha256.is_none());
            let Some(initial) = initial else { continue };
            let own = part.name.as_ref().filter(|environment| {
                let patch = spec.agents[name].environments.get(*environment);
                patch.is_some_and(|patch| !patch["training"]["initial_policy"].is_null())
            });
            let patch =
                own.map_or(String::new(), |environment| format!("environments.{environment}."));
            let place = || format!("agents.{name}.{patch}training.initial_policy");
            let (found, tensors, saved) =
                take(initial, folder, &environment, &agent.policy).with_context(place)?;
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
            if let Some(training) =
                spec.agents[name].training.as_mut().filter(|_| part.name.is_none())
            {
                training.initial_policy = Some(found);
            } else if let Some(environment) = &part.name {
                let patch = spec.agents[name].environments.entry(environment.clone()).or_default();
                patch["training"]["initial_policy"] = json!(found);
            }
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
            let anew = begin_with(&mut state, &tensors).with_context(place)?;
            if !anew.is_empty() {
                let name = part.agent_name(name);
                said.push(format!("{name}: begins with a new head ({})", anew.join(", ")));
            }
        }
    }
    Ok(said)
}

/// The policy that `initial` names, with what it holds.
fn take(
    initial: &InitialPolicy,
    folder: &Path,
    environment: &EnvironmentSpec,
    policy: &PolicySpec,
) -> anyhow::Result<(InitialPolicy, Tensors, SavedAgent)> {
    let path = find(&initial.path, folder)?;
    let bytes = fs::read(&path)?;
    let sha256 = HEXLOWER.encode(&Sha256::digest(&bytes));
    // What another program wrote is refused here.
    let saved = SavedAgent::open(&path, None)?;
    saved.sees_like(environment, policy)?;
    Ok((InitialPolicy { path, sha256: Some(sha256) }, Tensors::from_bytes(&bytes)?, saved))
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

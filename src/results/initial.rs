//! Warm starts: the policies that trainings begin with, found and taken over when a run starts.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use fs_err as fs;
use sha2::{Digest as _, Sha256};

use super::SavedAgent;
use crate::algorithm::{self, Setup};
use crate::experiment::{InitialPolicy, Spec};
use crate::nn::Tensors;
use crate::policy::{PolicySpec, begin_with};

/// Finds the policies that agents of `spec`, an experiment in `folder`, begin with, and writes down their content. Gives
/// what is to be said of it: layers that begin anew.
///
/// # Errors
/// Fails if there is no such policy, or it fits its agent neither whole nor but for its head.
pub fn take_over(spec: &mut Spec, folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut said = Vec::new();
    let environment = spec.placed_environment();
    for (name, agent) in &mut spec.agents {
        let Some(training) = &mut agent.training else { continue };
        let Some(initial) = training.initial_policy.as_mut().filter(|i| i.sha256.is_none()) else {
            continue;
        };
        let take = || -> anyhow::Result<_> {
            let path = find(&initial.path, folder)?;
            let bytes = fs::read(&path)?;
            let sha256 = HEXLOWER.encode(&Sha256::digest(&bytes));
            // What another program wrote is refused here.
            let saved = SavedAgent::open(&path, None)?;
            saved.sees_like(&environment, &agent.policy)?;
            let found = InitialPolicy { path, sha256: Some(sha256) };
            Ok((found, Tensors::from_bytes(&bytes)?, saved))
        };
        let place = || format!("agents.{name}.training.initial_policy");
        let (found, tensors, saved) = take().with_context(place)?;
        *initial = found;
        if let (PolicySpec::Neural(own), PolicySpec::Neural(learned)) =
            (&agent.policy, saved.policy())
            && own.activation != learned.activation
        {
            said.push(format!(
                "{name}: begins with a policy that was trained with {} activations and has {}, so that it acts \
                 otherwise from the start; `policy.activation` says which",
                learned.activation, own.activation
            ));
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
            said.push(format!("{name}: begins with a new head ({})", anew.join(", ")));
        }
    }
    Ok(said)
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

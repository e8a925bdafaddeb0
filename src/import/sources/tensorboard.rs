//! TensorBoard's event files: CleanRL's `charts/episodic_return`, Stable-Baselines3's `rollout/ep_rew_mean` and
//! `eval/mean_reward`, or any scalar that the user names.

use std::collections::HashMap;
use std::path::Path;

use super::Content;
use super::repeats::Repeats;
use super::roles::{Roles, Wanted};
use crate::event_file::{Scalar, Scalars};
use crate::import::training::{Episode, EvaluationPoint, Source, finite, whole};

/// What RLlib calls the numbers of an evaluation.
const RLLIB: &str = "ray/tune/evaluation/";

/// What Ray calls environment steps.
const RAYS_STEPS: [&str; 2] =
    ["ray/tune/num_env_steps_sampled_lifetime", "ray/tune/timesteps_total"];

/// Reads a file.
///
/// # Errors
/// Fails if it cannot be read or is damaged, or a number is none.
pub(super) fn read(path: &Path, wanted: Wanted<'_>) -> anyhow::Result<Content> {
    let Scalars { scalars, cut_off } = Scalars::read(path)?;
    let mut names: Vec<&str> = Vec::new();
    for scalar in &scalars {
        if !names.contains(&&*scalar.tag) {
            names.push(&scalar.tag);
        }
    }
    let all = names.iter().map(|name| (*name).to_owned()).collect();
    let roles = Roles::of(&names, wanted);
    if !roles.has_returns() {
        return Ok(Content { sources: Vec::new(), names: all });
    }
    let begun = scalars.first().map_or(0.0, |first| first.time);
    let of = |place: Option<usize>| {
        let tag = place.map(|place| names[place]);
        scalars.iter().filter(move |scalar| Some(&*scalar.tag) == tag)
    };
    let place = |scalar: &Scalar| format!("{}, scalar `{}`", path.display(), scalar.tag);
    // Ray numbers its lines, and writes the steps beside what else is in them.
    let counted = names.iter().position(|name| RAYS_STEPS.contains(name));
    let counted: HashMap<i64, f64> = of(counted).map(|one| (one.step, one.value)).collect();
    let at = |scalar: &Scalar| {
        let counted = counted.get(&scalar.step).filter(|_| scalar.tag.starts_with("ray/tune/"));
        whole(counted.copied().unwrap_or(scalar.step as f64), "step", || place(scalar))
    };
    let mut lengths = of(roles.length).peekable();
    let mut episodes = Vec::new();
    for scalar in of(roles.training.map(|(place, _)| place)) {
        // The length of an episode is told right beside its return.
        let length = lengths.next_if(|length| length.step == scalar.step);
        episodes.push(Episode {
            steps: at(scalar)?,
            seconds: Some(finite(scalar.time - begun, "time", || place(scalar))?),
            r#return: finite(scalar.value, "return", || place(scalar))?,
            length: length.map(|n| whole(n.value, "length", || place(n))).transpose()?,
        });
    }
    let mut evaluations = Vec::new();
    let is_rllibs = |scalar: &&Scalar| scalar.tag.starts_with(RLLIB);
    let of_rllib: Vec<_> = scalars.iter().filter(is_rllibs).collect();
    let tag = roles.evaluation.map(|place| names[place]).filter(|tag| tag.starts_with(RLLIB));
    let mut repeats = tag.map(Repeats::of);
    for scalar in of(roles.evaluation) {
        let beside = of_rllib.iter().filter(|other| other.step == scalar.step);
        let line = beside.map(|other| (&*other.tag, other.value));
        if repeats.as_mut().is_some_and(|repeats| repeats.is_one(line)) {
            continue;
        }
        let returns = vec![finite(scalar.value, "return", || place(scalar))?];
        evaluations.push(EvaluationPoint { steps: at(scalar)?, returns, lengths: Vec::new() });
    }
    let cut = || format!("{}: it is cut off; what stands before is read", path.display());
    let source = Source {
        program: "TensorBoard",
        means: roles.means(),
        episodes,
        evaluations,
        started: Some(begun),
        notes: cut_off.then(cut).into_iter().collect(),
        ..Source::default()
    };
    Ok(Content { sources: vec![source], names: all })
}

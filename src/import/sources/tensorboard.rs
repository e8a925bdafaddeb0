//! TensorBoard's event files: CleanRL's `charts/episodic_return`, Stable-Baselines3's `rollout/ep_rew_mean` and
//! `eval/mean_reward`, or any scalar that the user names.

use std::path::Path;

use anyhow::Context as _;

use super::roles::{Returns, Roles};
use crate::event_file::{Scalar, Scalars};
use crate::import::training::{Episode, EvaluationPoint, Source, finite, steps};

/// Reads a file; nothing where it has no scalar that is called as returns are.
///
/// # Errors
/// Fails if it cannot be read or is damaged, or a number is none.
pub(super) fn read(
    path: &Path,
    scalar: Option<&str>,
    as_evaluations: bool,
) -> anyhow::Result<Option<Source>> {
    let Scalars { scalars, cut_off } = Scalars::read(path)?;
    let mut names: Vec<&str> = Vec::new();
    for scalar in &scalars {
        if !names.contains(&&*scalar.tag) {
            names.push(&scalar.tag);
        }
    }
    let roles = Roles::of(&names, scalar, as_evaluations);
    if !roles.has_returns() {
        return Ok(None);
    }
    let begun = scalars.first().map_or(0.0, |first| first.time);
    let of = |place: Option<usize>| {
        let tag = place.map(|place| names[place]);
        scalars.iter().filter(move |scalar| Some(&*scalar.tag) == tag)
    };
    let place = |scalar: &Scalar| format!("{}, scalar `{}`", path.display(), scalar.tag);
    let at = |scalar: &Scalar| steps(scalar.step as f64, || place(scalar));
    let mut lengths = of(roles.length).peekable();
    let mut episodes = Vec::new();
    for scalar in of(roles.training.map(|(place, _)| place)) {
        // The length of an episode is told right beside its return.
        let length = lengths.next_if(|length| length.step == scalar.step);
        episodes.push(Episode {
            steps: at(scalar)?,
            seconds: Some(finite(scalar.time - begun, "time", || place(scalar))?),
            r#return: finite(scalar.value, "return", || place(scalar))?,
            length: length.map(|length| steps(length.value, || place(length))).transpose()?,
        });
    }
    let evaluation = |scalar: &Scalar| {
        let returns = vec![finite(scalar.value, "return", || place(scalar))?];
        Ok(EvaluationPoint { steps: at(scalar)?, returns, lengths: Vec::new() })
    };
    let evaluations = of(roles.evaluation).map(evaluation).collect::<anyhow::Result<Vec<_>>>();
    let cut = || format!("{}: it is cut off; what stands before is read", path.display());
    Ok(Some(Source {
        program: "TensorBoard",
        means: roles.training.is_some_and(|(_, kind)| kind == Returns::Means),
        episodes,
        evaluations: evaluations.with_context(|| format!("{}", path.display()))?,
        started: Some(begun),
        notes: cut_off.then(cut).into_iter().collect(),
        ..Source::default()
    }))
}

//! Playing episodes with a policy that stays as it is.

use crate::env::{Mode, Policy, TimeLimit, episode};
use crate::record::{Evaluation, cut_marks};
use crate::rng::{Purpose, stream};
use crate::training::TrialError;

/// Plays `episodes` episodes with environment seeds `seed`, `seed + 1`, …, each to its end or for `max_steps`. Action sampling draws from
/// streams of `trial_seed` and the episode's seed, so that the policy before and after training meets the
/// same chance.
///
/// # Errors
/// Fails if the policy or the environment fails.
pub fn evaluate(
    env: &mut TimeLimit,
    policy: &mut dyn Policy,
    mode: Mode,
    trial_seed: u64,
    seed: u64,
    episodes: u64,
    max_steps: Option<u32>,
) -> Result<Evaluation, TrialError> {
    let (mut returns, mut lengths, mut cut) = (Vec::new(), Vec::new(), Vec::new());
    for seed in seed..seed + episodes {
        let mut rng = stream(trial_seed, Purpose::Evaluation, seed);
        let unwatched = |_: episode::View<'_>| Ok::<_, TrialError>(());
        let played = episode::play(env, policy, mode, &mut rng, seed, max_steps, unwatched)?;
        returns.push(played.r#return);
        lengths.push(u64::from(played.length));
        cut.push(played.cut());
    }
    Ok(Evaluation { seed: Some(seed), returns, lengths, cut: cut_marks(cut) })
}

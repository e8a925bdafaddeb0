//! Playing episodes with a policy that stays as it is.

use crate::env::{Mode, Policy, TimeLimit, episode};
use crate::record::Evaluation;
use crate::rng::{Purpose, stream};
use crate::training::TrialError;

/// Plays `episodes` episodes with environment seeds `seed`, `seed + 1`, … Action sampling draws from
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
) -> Result<Evaluation, TrialError> {
    let mut evaluation = Evaluation { seed, returns: Vec::new(), lengths: Vec::new() };
    for seed in seed..seed + episodes {
        let mut rng = stream(trial_seed, Purpose::Evaluation, seed);
        let played =
            episode::play(env, policy, mode, &mut rng, seed, None, |_| Ok::<_, TrialError>(()))?;
        evaluation.returns.push(played.r#return);
        evaluation.lengths.push(u64::from(played.length));
    }
    Ok(evaluation)
}

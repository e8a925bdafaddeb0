//! Playing episodes with a policy that stays as it is.

use super::TrialError;
use crate::env::TimeLimit;
use crate::policy::{Mode, Policy, Situation};
use crate::record::Evaluation;
use crate::rng::{Purpose, stream};

/// Plays `episodes` episodes with environment seeds `seed`, `seed + 1`, … Action sampling draws from
/// streams of `trial_seed` and the episode's seed, so that the policy before and after training meets the
/// same chance.
///
/// # Errors
/// Where the policy or the environment fails.
pub fn evaluate(
    env: &mut TimeLimit,
    policy: &mut dyn Policy,
    mode: Mode,
    trial_seed: u64,
    seed: u64,
    episodes: u64,
) -> Result<Evaluation, TrialError> {
    let mut evaluation = Evaluation { seed, returns: Vec::new(), lengths: Vec::new() };
    let mut observation = vec![0.0; env.env().observation_space().len()];
    let mut action = vec![0.0; env.env().action_space().len()];
    for seed in seed..seed + episodes {
        let mut rng = stream(trial_seed, Purpose::Evaluation, seed);
        env.reset(Some(seed), &mut observation)?;
        policy.begin_episode();
        let mut total = 0.0;
        loop {
            let step = env.elapsed_steps();
            let situation = Situation { observation: &observation, step, env: env.env() };
            policy.act(situation, mode, &mut rng, &mut action)?;
            let transition = env.step(&action, &mut observation)?;
            total += transition.reward;
            if transition.done() {
                break;
            }
        }
        evaluation.returns.push(total);
        evaluation.lengths.push(u64::from(env.elapsed_steps()));
    }
    Ok(evaluation)
}

//! One episode with a policy that stays as it is: what evaluations, takes and `rushes play` share.

use crate::environment::{EnvError, Step};
use crate::policy::{Mode, Policy, PolicyError, Situation};
use crate::time_limit::TimeLimit;
use rushes_rng::Rng;

/// An episode as it stands after its reset or after a step.
pub struct View<'a> {
    /// The environment.
    pub env: &'a TimeLimit,
    /// What the policy sees next, flat.
    pub observation: &'a [f32],
    /// The action that led here and what it yielded; `None` after the reset.
    pub last: Option<(&'a [f32], Step)>,
    /// The sum of the rewards so far.
    pub total: f64,
}

/// An episode that is over, or was cut short by whoever played it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Episode {
    /// The sum of its rewards.
    pub r#return: f64,
    /// Its length in steps.
    pub length: u32,
    /// Whether the task ended it.
    pub terminated: bool,
    /// Whether the time limit, or something else outside of the task, ended it.
    pub truncated: bool,
}

impl Episode {
    /// Whether whoever played it cut it short: neither the task nor a time limit ended it.
    pub fn cut(&self) -> bool {
        !(self.terminated || self.truncated)
    }
}

/// Plays the episode that begins with `seed`, to its end or for `max_steps`, and shows it to `watch` after
/// the reset and after every step.
///
/// # Errors
/// Fails if the environment, the policy or `watch` does.
pub fn play<E: From<EnvError> + From<PolicyError>>(
    env: &mut TimeLimit,
    policy: &mut dyn Policy,
    mode: Mode,
    rng: &mut Rng,
    seed: u64,
    max_steps: Option<u32>,
    mut watch: impl FnMut(View<'_>) -> Result<(), E>,
) -> Result<Episode, E> {
    let mut observation = vec![0.0; env.env().observation_space().len()];
    let mut action = vec![0.0; env.env().action_space().len()];
    let mut episode = Episode { r#return: 0.0, length: 0, terminated: false, truncated: false };
    env.reset(Some(seed), &mut observation)?;
    policy.begin_episode();
    watch(View { env, observation: &observation, last: None, total: 0.0 })?;
    while max_steps.is_none_or(|limit| episode.length < limit) {
        let situation =
            Situation { observation: &observation, step: episode.length, env: env.env() };
        policy.act(situation, mode, rng, &mut action)?;
        let step = env.step(&action, &mut observation)?;
        episode.length += 1;
        episode.r#return += step.reward;
        let last = Some((&action[..], step));
        watch(View { env, observation: &observation, last, total: episode.r#return })?;
        if step.done() {
            episode.terminated = step.terminated;
            episode.truncated = step.truncated;
            break;
        }
    }
    Ok(episode)
}

//! One episode with a policy that stays as it is: what evaluations, takes and `rushes play` share.

use crate::environment::{EnvError, Step};
use crate::policy::{Assessment, Mode, Policy, PolicyError, Situation};
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
    /// Who acts next; nobody where the episode is over, and in training, whose policies act on all copies at once.
    pub(crate) policy: Option<&'a mut dyn Policy>,
}

impl View<'_> {
    /// What the policy thinks of the observation that it acts on next.
    pub fn assess(&mut self) -> Option<Assessment> {
        let (observation, step) = (self.observation, self.env.elapsed_steps());
        let situation = Situation { observation, step, env: self.env.env() };
        self.policy.as_deref_mut()?.assess(situation)
    }
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
    let acts = |length: u32| max_steps.is_none_or(|limit| length < limit);
    let next: Option<&mut dyn Policy> = if acts(0) { Some(policy) } else { None };
    watch(View { env, observation: &observation, last: None, total: 0.0, policy: next })?;
    while acts(episode.length) {
        let situation =
            Situation { observation: &observation, step: episode.length, env: env.env() };
        policy.act(situation, mode, rng, &mut action)?;
        let step = env.step(&action, &mut observation)?;
        episode.length += 1;
        episode.r#return += step.reward;
        let goes_on = !step.done() && acts(episode.length);
        let next: Option<&mut dyn Policy> = if goes_on { Some(policy) } else { None };
        watch(View {
            env,
            observation: &observation,
            last: Some((&action, step)),
            total: episode.r#return,
            policy: next,
        })?;
        if step.done() {
            episode.terminated = step.terminated;
            episode.truncated = step.truncated;
            break;
        }
    }
    Ok(episode)
}

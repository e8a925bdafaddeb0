//! Policies: what turns an observation into an action.

use rushes_rng::Rng;
use serde::Serialize;

use crate::environment::Env;

/// Whether a policy draws from its distribution or takes its best action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Sample, as during training.
    Explore,
    /// The most probable or the mean action.
    Greedy,
}

/// What a policy may look at when it acts.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The observation, flat ([`crate::Space::len`] numbers).
    pub observation: &'a [f32],
    /// Steps taken in this episode so far.
    pub step: u32,
    /// The environment, for its `info`; a policy never steps it.
    pub env: &'a dyn Env,
}

/// A policy failed to act: a rule divided by zero, a network gave NaN.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the policy failed at step {step}: {message}")]
pub struct PolicyError {
    /// The step of the episode.
    pub step: u32,
    /// What went wrong.
    pub message: String,
}

/// What a policy thinks of a situation; what it has nothing to say about is empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Assessment {
    /// The probability of each discrete action; of an action of several parts those of each part, one part after another.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probabilities: Vec<f64>,
    /// The mean of each number of a continuous action, within the action space's bounds: the greedy action.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mean: Vec<f64>,
    /// The standard deviation of each number of a continuous action, before it is squashed or cut to the bounds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub std: Vec<f64>,
    /// The value of each discrete action (Q-values).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub q_values: Vec<f64>,
    /// The critic's estimate of the discounted return from here, in the scale of the rewards that it learned from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// A policy, playing one episode at a time.
pub trait Policy {
    /// Forgets what it knew of the last episode. Stateless policies do nothing.
    fn begin_episode(&mut self) {}

    /// Writes the flat action for `situation` into `action`. All chance comes from `rng`.
    ///
    /// # Errors
    /// Fails if the policy cannot decide; the trial stops with this message.
    fn act(
        &mut self,
        situation: Situation<'_>,
        mode: Mode,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError>;

    /// What the policy thinks of `situation`, whether or not it acts on it; draws no chance and changes no later action.
    /// By default it has nothing to say.
    fn assess(&mut self, _situation: Situation<'_>) -> Option<Assessment> {
        None
    }
}

/// A deterministic rule: a function from the observation to the flat action.
pub struct FromFn<F>(pub F);

impl<F: FnMut(&[f32], &mut [f32])> Policy for FromFn<F> {
    fn act(
        &mut self,
        situation: Situation<'_>,
        _mode: Mode,
        _rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        (self.0)(situation.observation, action);
        Ok(())
    }
}

//! History: the last observations and the last actions in one row.

use super::Wrapper;
use crate::environment::{Env, EnvError, Step};
use crate::meaning::Meaning;
use crate::space::{Action, Space};

/// The last observations and behind them the last actions, the oldest first; zeros stand for what was before an episode.
/// Equal to RL Baselines3 Zoo 2.9's `HistoryWrapper` where actions are a box; others are seen as a network sees them, a
/// discrete one as one-hot numbers.
#[derive(Clone)]
pub(super) struct History {
    observation_space: Space,
    action_space: Space,
    /// Observations, one after another.
    observations: Vec<f32>,
    /// Actions, one after another.
    actions: Vec<f32>,
    /// Numbers of an observation.
    width: usize,
}

impl History {
    /// Of so many observations and actions of `env`, whose observations are a box of one dimension.
    pub(super) fn new(env: &dyn Env, length: usize) -> Self {
        let (observed, action_space) = (env.observation_space(), env.action_space().clone());
        let (width, features) = (observed.len(), action_space.features());
        let (mut low, mut high) = match observed {
            Space::Box { low, high, .. } => (low.repeat(length), high.repeat(length)),
            _ => (Vec::new(), Vec::new()),
        };
        let (lowest, highest) = match &action_space {
            Space::Box { low, high, .. } => (low.clone(), high.clone()),
            _ => (vec![0.0; features], vec![1.0; features]),
        };
        low.extend(lowest.repeat(length));
        high.extend(highest.repeat(length));
        // Zeros are there, too.
        low.iter_mut().for_each(|bound| *bound = bound.min(0.0));
        high.iter_mut().for_each(|bound| *bound = bound.max(0.0));
        let shape = vec![low.len()];
        Self {
            observation_space: Space::float_box(low, high, shape),
            action_space,
            observations: vec![0.0; length * width],
            actions: vec![0.0; length * features],
            width,
        }
    }

    /// Observes into the newest place.
    fn look(&mut self, env: &dyn Env) -> Result<(), EnvError> {
        let newest = self.observations.len() - self.width;
        env.observe(&mut self.observations[newest..])
    }
}

impl Wrapper for History {
    fn observation_space<'a>(&'a self, _: &'a dyn Env) -> &'a Space {
        &self.observation_space
    }

    fn observation_meanings(&self, env: &dyn Env) -> Vec<Meaning> {
        let observed = super::numbers(env);
        if observed.is_empty() {
            return Vec::new();
        }
        let length = self.observations.len() / self.width;
        let actions = self.actions.len() / length;
        // What it did a step ago led to what it sees now.
        let mut acted = env.action_meanings();
        acted.resize_with(actions, || Meaning { name: "action".into(), unit: String::new() });
        let seen = super::aged(&observed, (0..length).rev());
        seen.into_iter().chain(super::aged(&acted, (1..=length).rev())).collect()
    }

    fn reset(&mut self, env: &mut Box<dyn Env>, seed: Option<u64>) -> Result<(), EnvError> {
        env.reset(seed)?;
        self.observations.fill(0.0);
        self.actions.fill(0.0);
        self.look(&**env)
    }

    fn step(&mut self, env: &mut dyn Env, action: Action<'_>) -> Result<Step, EnvError> {
        let step = env.step(action)?;
        self.observations.copy_within(self.width.., 0);
        self.look(env)?;
        let features = self.action_space.features();
        self.actions.copy_within(features.., 0);
        let newest = self.actions.len() - features;
        let newest = &mut self.actions[newest..];
        action.flat(|element| self.action_space.encode(element, newest));
        Ok(step)
    }

    fn observe(&self, _: &dyn Env, observation: &mut [f32]) -> Result<(), EnvError> {
        let (seen, done) = observation.split_at_mut(self.observations.len());
        seen.copy_from_slice(&self.observations);
        done.copy_from_slice(&self.actions);
        Ok(())
    }
}

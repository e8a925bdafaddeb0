//! The harness around one environment: its time limit, and the checking of actions.

use crate::environment::{Env, EnvError, Step};
use crate::space::Action;

/// An environment with its time limit and checked actions (Gymnasium's `TimeLimit` wrapper).
pub struct TimeLimit {
    env: Box<dyn Env>,
    max_episode_steps: Option<u32>,
    elapsed: u32,
}

impl TimeLimit {
    /// Wraps `env`; `None` means no limit.
    pub fn new(env: Box<dyn Env>, max_episode_steps: Option<u32>) -> Self {
        Self { env, max_episode_steps, elapsed: 0 }
    }

    /// The environment inside.
    pub fn env(&self) -> &dyn Env {
        &*self.env
    }

    /// Steps taken since the last reset.
    pub fn elapsed_steps(&self) -> u32 {
        self.elapsed
    }

    /// Starts an episode and observes its first state; see [`Env::reset`] and [`Env::observe`].
    ///
    /// # Errors
    /// Those of the environment.
    pub fn reset(&mut self, seed: Option<u64>, observation: &mut [f32]) -> Result<(), EnvError> {
        self.elapsed = 0;
        self.env.reset(seed)?;
        self.env.observe(observation)
    }

    /// Advances one step and observes. `action` is the flat form of an action: one number, the index, for a
    /// discrete space, and one number a dimension for a box.
    ///
    /// # Errors
    /// [`EnvError::InvalidAction`] where `action` is not in the action space, before anything moved.
    pub fn step(&mut self, action: &[f32], observation: &mut [f32]) -> Result<Step, EnvError> {
        let space = self.env.action_space();
        let Some(checked) = space.action(action) else {
            return Err(EnvError::invalid_action(action, space));
        };
        let step = self.step_checked(checked)?;
        self.env.observe(observation)?;
        Ok(step)
    }

    /// [`Env::send`] with an action that is known to be in the action space.
    pub(crate) fn send_checked(&mut self, action: Action<'_>) -> Result<(), EnvError> {
        self.env.send(action)
    }

    /// [`TimeLimit::step`] with an action that is known to be in the action space, without observing.
    #[inline]
    pub(crate) fn step_checked(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let mut step = self.env.step(action)?;
        self.elapsed += 1;
        step.truncated |= self.max_episode_steps.is_some_and(|limit| self.elapsed >= limit);
        Ok(step)
    }
}

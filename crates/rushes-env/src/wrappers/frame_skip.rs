//! Frame skip: an action is repeated, the rewards are summed.

use super::Wrapper;
use crate::environment::{Env, EnvError, Step};
use crate::space::Action;

/// Repeats each action until it was taken `skip` times or the episode is over, as Gymnasium's `AtariPreprocessing` and
/// Stable-Baselines3's `MaxAndSkipEnv` do. The time limit counts the environment's own steps.
#[derive(Clone)]
pub(super) struct FrameSkip {
    skip: u32,
    max_episode_steps: u32,
    elapsed: u32,
}

impl FrameSkip {
    pub(super) fn new(skip: u32, max_episode_steps: u32) -> Self {
        Self { skip, max_episode_steps, elapsed: 0 }
    }
}

impl Wrapper for FrameSkip {
    fn reset(&mut self, env: &mut Box<dyn Env>, seed: Option<u64>) -> Result<(), EnvError> {
        self.elapsed = 0;
        env.reset(seed)
    }

    fn step(&mut self, env: &mut dyn Env, action: Action<'_>) -> Result<Step, EnvError> {
        let mut reward = 0.0;
        let mut repeated = 0;
        loop {
            let step = env.step(action)?;
            reward += step.reward;
            repeated += 1;
            self.elapsed += 1;
            let truncated = step.truncated || self.elapsed >= self.max_episode_steps;
            if step.terminated || truncated || repeated == self.skip {
                return Ok(Step { reward, truncated, ..step });
            }
        }
    }
}

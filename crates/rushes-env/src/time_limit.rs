//! The harness around one environment: its time limit, and the checking of actions.

use crate::environment::{Env, EnvError, Step};
use crate::space::Action;

/// An environment with its time limit and checked actions (Gymnasium's `TimeLimit` wrapper).
pub struct TimeLimit {
    env: Box<dyn Env>,
    max_episode_steps: Option<u32>,
    elapsed: u32,
    /// Whether observations are bytes, which are finite.
    is_bytes: bool,
}

impl TimeLimit {
    /// Wraps `env`; `None` means no limit.
    pub fn new(env: Box<dyn Env>, max_episode_steps: Option<u32>) -> Self {
        let is_bytes = env.observation_space().is_bytes();
        Self { env, max_episode_steps, elapsed: 0, is_bytes }
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
        self.begin(seed)?;
        self.observe(observation)
    }

    /// [`TimeLimit::reset`] without observing.
    ///
    /// # Errors
    /// Those of the environment.
    pub fn begin(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        self.elapsed = 0;
        self.env.reset(seed)
    }

    /// [`Env::observe`], which has to give finite numbers.
    ///
    /// # Errors
    /// [`EnvError::Observation`] where a number is not finite, and those of the environment.
    pub fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        self.env.observe(observation)?;
        // Without an early end, several are looked at at once.
        if self.is_bytes
            || observation.iter().fold(true, |finite, number| finite & number.is_finite())
        {
            return Ok(());
        }
        let number = observation.iter().find(|number| !number.is_finite());
        Err(EnvError::Observation(*number.expect("one is not finite")))
    }

    /// Advances one step and observes. `action` is the flat form of an action: one number, the index, for a
    /// discrete space, and one number a dimension for a box.
    ///
    /// # Errors
    /// [`EnvError::InvalidAction`] where `action` is not in the action space, before anything moved;
    /// [`EnvError::Reward`] and [`EnvError::Observation`] where a number is not finite.
    pub fn step(&mut self, action: &[f32], observation: &mut [f32]) -> Result<Step, EnvError> {
        let space = self.env.action_space();
        let Some(checked) = space.action(action) else {
            return Err(EnvError::invalid_action(action, space));
        };
        let step = self.step_checked(checked)?;
        self.observe(observation)?;
        Ok(step)
    }

    /// [`Env::send`] with an action that is known to be in the action space.
    pub(crate) fn send_checked(
        &mut self,
        action: Action<'_>,
        next_seed: Option<u64>,
    ) -> Result<(), EnvError> {
        self.env.send(action, next_seed)
    }

    /// [`TimeLimit::step`] with an action that is known to be in the action space, without observing.
    ///
    /// # Errors
    /// [`EnvError::Reward`] where the reward is not finite, and those of the environment.
    #[inline]
    pub fn step_checked(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let mut step = self.env.step(action)?;
        let fits = step.reward.abs() <= f64::from(f32::MAX);
        if !fits {
            return Err(EnvError::Reward(step.reward));
        }
        self.elapsed += 1;
        step.truncated |= self.max_episode_steps.is_some_and(|limit| self.elapsed >= limit);
        Ok(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Canvas;
    use crate::space::Space;

    /// Gives the same reward and observation for ever.
    struct Pays(f64, f32, Space);

    impl Env for Pays {
        fn observation_space(&self) -> &Space {
            &self.2
        }

        fn action_space(&self) -> &Space {
            &self.2
        }

        fn reset(&mut self, _: Option<u64>) -> Result<(), EnvError> {
            Ok(())
        }

        fn step(&mut self, _: Action<'_>) -> Result<Step, EnvError> {
            Ok(Step::new(self.0, false))
        }

        fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
            observation[0] = self.1;
            Ok(())
        }

        fn frame_size(&self) -> (u32, u32) {
            (1, 1)
        }

        fn draw(&self, _: &mut Canvas) {}
    }

    #[test]
    fn rewards_and_observations_are_finite() {
        let make = |reward, observation| {
            let env = Pays(reward, observation, Space::Discrete { n: 2 });
            TimeLimit::new(Box::new(env), None)
        };
        let step = |reward| {
            let mut env = make(reward, 0.0);
            env.reset(Some(0), &mut [0.0])?;
            env.step(&[1.0], &mut [0.0])
        };
        assert_eq!(step(-1e38).map(|step| step.reward), Ok(-1e38));
        for reward in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e39, -1e300] {
            let error = step(reward).unwrap_err().to_string();
            assert!(error.contains(&format!("gave the reward {reward:e}")), "{error}");
        }
        let error = make(0.0, f32::NAN).reset(Some(0), &mut [0.0]).unwrap_err().to_string();
        assert!(error.contains("gave the observation NaN"), "{error}");
    }
}

//! Frame stack: the last observations beside each other.

use super::Wrapper;
use crate::environment::{Env, EnvError, Step};
use crate::meaning::Meaning;
use crate::space::{Action, Space};

/// The last observations, the oldest first, along a new first axis; at the start of an episode its first observation
/// stands for those that are missing. Equal to Gymnasium 1.1.1's `FrameStackObservation` with `padding_type="reset"`.
#[derive(Clone)]
pub(super) struct FrameStack {
    observation_space: Space,
    /// All observations, one after another.
    frames: Vec<f32>,
    /// Numbers of one of them.
    width: usize,
}

impl FrameStack {
    pub(super) fn new(space: &Space, stack: usize) -> Self {
        let width = space.len();
        Self { observation_space: stacked(space, stack), frames: vec![0.0; stack * width], width }
    }

    /// Observes into the newest frame.
    fn look(&mut self, env: &dyn Env) -> Result<(), EnvError> {
        let newest = self.frames.len() - self.width;
        env.observe(&mut self.frames[newest..])
    }
}

/// The space of `stack` elements of `space`: a box has a first axis more, a discrete number becomes several, and of
/// other spaces there are so many in a tuple.
fn stacked(space: &Space, stack: usize) -> Space {
    match space {
        Space::Box { dtype, low, high, shape } => Space::Box {
            dtype: *dtype,
            low: low.repeat(stack),
            high: high.repeat(stack),
            shape: [&[stack], &shape[..]].concat(),
        },
        Space::Discrete { n } => Space::MultiDiscrete { nvec: vec![*n; stack] },
        other => Space::Tuple { spaces: vec![other.clone(); stack] },
    }
}

impl Wrapper for FrameStack {
    fn observation_space<'a>(&'a self, _: &'a dyn Env) -> &'a Space {
        &self.observation_space
    }

    fn observation_meanings(&self, env: &dyn Env) -> Vec<Meaning> {
        let stack = self.frames.len() / self.width;
        super::aged(&super::numbers(env), (0..stack).rev())
    }

    fn reset(&mut self, env: &mut Box<dyn Env>, seed: Option<u64>) -> Result<(), EnvError> {
        env.reset(seed)?;
        self.look(&**env)?;
        let newest = self.frames.len() - self.width;
        let (older, newest) = self.frames.split_at_mut(newest);
        older.chunks_exact_mut(self.width).for_each(|frame| frame.copy_from_slice(newest));
        Ok(())
    }

    fn step(&mut self, env: &mut dyn Env, action: Action<'_>) -> Result<Step, EnvError> {
        let step = env.step(action)?;
        self.frames.copy_within(self.width.., 0);
        self.look(env)?;
        Ok(step)
    }

    fn observe(&self, _: &dyn Env, observation: &mut [f32]) -> Result<(), EnvError> {
        observation.copy_from_slice(&self.frames);
        Ok(())
    }
}

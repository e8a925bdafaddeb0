//! Time awareness: how much of the time limit is over.

use indexmap::IndexMap;

use super::Wrapper;
use crate::environment::{Env, EnvError, Step};
use crate::meaning::Meaning;
use crate::space::{Action, Dtype, Space};

/// Appends the share of the time limit that is over, 0 at the start and 1 at the limit, after Pardo et al., "Time
/// limits in reinforcement learning", 2018; the elements are those of Gymnasium 1.1.1's `TimeAwareObservation` with
/// `flatten=True, normalize_time=True`.
#[derive(Clone)]
pub(super) struct TimeAwareness {
    observation_space: Space,
    max_episode_steps: u32,
    /// The environment's own steps in one of the agent's.
    skip: u32,
    elapsed: u32,
}

impl TimeAwareness {
    pub(super) fn new(space: &Space, max_episode_steps: u32, skip: u32) -> Self {
        Self { observation_space: extended(space), max_episode_steps, skip, elapsed: 0 }
    }
}

/// A box of one dimension of real numbers gets one more, any other space a neighbour.
fn extended(space: &Space) -> Space {
    match space {
        Space::Box { dtype: Dtype::Float32, low, high, shape } if shape.len() == 1 => {
            let (low, high) = ([&low[..], &[0.0]].concat(), [&high[..], &[1.0]].concat());
            Space::float_box(low, high, vec![shape[0] + 1])
        }
        other => Space::Dict {
            spaces: IndexMap::from([
                ("obs".to_owned(), other.clone()),
                ("time".to_owned(), Space::uniform_box(0.0, 1.0, 1)),
            ]),
        },
    }
}

impl Wrapper for TimeAwareness {
    fn observation_space<'a>(&'a self, _: &'a dyn Env) -> &'a Space {
        &self.observation_space
    }

    fn observation_meanings(&self, env: &dyn Env) -> Vec<Meaning> {
        let mut meanings = super::numbers(env);
        if !meanings.is_empty() {
            meanings.extend(Meaning::of_values(&["share of the time limit"]));
        }
        meanings
    }

    fn reset(&mut self, env: &mut Box<dyn Env>, seed: Option<u64>) -> Result<(), EnvError> {
        self.elapsed = 0;
        env.reset(seed)
    }

    fn step(&mut self, env: &mut dyn Env, action: Action<'_>) -> Result<Step, EnvError> {
        self.elapsed = self.elapsed.saturating_add(self.skip).min(self.max_episode_steps);
        env.step(action)
    }

    fn observe(&self, env: &dyn Env, observation: &mut [f32]) -> Result<(), EnvError> {
        let last = observation.len() - 1;
        env.observe(&mut observation[..last])?;
        observation[last] = self.elapsed as f32 / self.max_episode_steps as f32;
        Ok(())
    }
}

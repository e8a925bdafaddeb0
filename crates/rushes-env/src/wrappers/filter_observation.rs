//! Filtered observations: some numbers of them alone.

use super::Wrapper;
use crate::environment::{Env, EnvError};
use crate::meaning::Meaning;
use crate::space::Space;

/// Leaves some numbers of an observation, a box of one dimension, as Gymnasium's `FilterObservation` leaves some parts of a
/// dict or a tuple: what is left out makes the environment partially observable.
#[derive(Clone)]
pub(super) struct FilterObservation {
    observation_space: Space,
    /// Indices of the numbers that are left, in the order in which they are seen.
    kept: Vec<usize>,
    /// Numbers of a whole observation.
    width: usize,
}

impl FilterObservation {
    /// Of these numbers of observations of `space`, a box of one dimension that has them.
    pub(super) fn new(space: &Space, kept: &[usize]) -> Self {
        let of = |bounds: &[f32]| kept.iter().map(|&index| bounds[index]).collect();
        let (low, high) = match space {
            Space::Box { low, high, .. } => (of(low), of(high)),
            _ => (Vec::new(), Vec::new()),
        };
        let observation_space = Space::float_box(low, high, vec![kept.len()]);
        Self { observation_space, kept: kept.to_vec(), width: space.len() }
    }
}

impl Wrapper for FilterObservation {
    fn observation_space<'a>(&'a self, _: &'a dyn Env) -> &'a Space {
        &self.observation_space
    }

    fn observation_meanings(&self, env: &dyn Env) -> Vec<Meaning> {
        let whole = super::numbers(env);
        self.kept.iter().filter_map(|&index| whole.get(index).cloned()).collect()
    }

    fn observe(&self, env: &dyn Env, observation: &mut [f32]) -> Result<(), EnvError> {
        let mut whole = vec![0.0; self.width];
        env.observe(&mut whole)?;
        for (number, &index) in observation.iter_mut().zip(&self.kept) {
            *number = whole[index];
        }
        Ok(())
    }
}

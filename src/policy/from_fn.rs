//! Policies that are a plain function of the observation.

use super::{Mode, Policy, PolicyError, Situation};
use crate::rng::Rng;

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

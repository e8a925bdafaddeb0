//! Actions drawn uniformly from the action space: the baseline of every comparison.

use crate::env::{Mode, Policy, PolicyError, Situation, Space};
use crate::rng::Rng;

/// The random policy ([`Space::sample`]). It explores even when asked to be greedy: it knows no best action.
pub struct Random {
    space: Space,
}

impl Random {
    /// A random policy on an action space.
    pub fn new(space: &Space) -> Self {
        Self { space: space.clone() }
    }
}

impl Policy for Random {
    fn act(
        &mut self,
        _: Situation<'_>,
        _: Mode,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        self.space.sample(rng, action);
        Ok(())
    }
}

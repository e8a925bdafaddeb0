//! Actions drawn uniformly from the action space: the baseline of every comparison.

use rand::RngExt as _;

use super::{Mode, Policy, PolicyError, Situation};
use crate::env::Space;
use crate::rng::Rng;

/// The random policy. It explores even when asked to be greedy: it knows no best action.
///
/// Dimensions without a bound are drawn from [-1, 1] as far as the other bound allows.
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
        match &self.space {
            Space::Discrete { n } => action[0] = rng.random_range(0..*n) as f32,
            Space::Tuple { sizes } => {
                for (value, n) in action.iter_mut().zip(sizes) {
                    *value = rng.random_range(0..*n) as f32;
                }
            }
            Space::Box { low, high, .. } => {
                for (value, (low, high)) in action.iter_mut().zip(low.iter().zip(high)) {
                    let bound =
                        |bound: f32, default| if bound.is_finite() { bound } else { default };
                    *value = rng.random_range(bound(*low, -1.0)..=bound(*high, 1.0));
                }
            }
        }
        Ok(())
    }
}

//! Policies that were learned.

use super::Policy;
use crate::nn::{StateError, Tensors};

/// A policy that was learned: it saves and loads itself and names the engine that computes it.
pub trait LearnedPolicy: Policy {
    /// Saves what is needed to act: the tensors of `policy.safetensors`.
    fn save(&self, state: &mut Tensors);

    /// Restores what [`LearnedPolicy::save`] saved.
    ///
    /// # Errors
    /// Fails if a tensor is missing or does not fit.
    fn load(&mut self, state: &Tensors) -> Result<(), StateError>;

    /// The engine that computes it.
    fn engine(&self) -> String;
}

//! A policy that acts by a network.

use super::{Mode, Policy, PolicyError, Situation};
use crate::env::Space;
use crate::nn::{Head, Network, Scalar};
use crate::rng::Rng;

/// A network, what it sees of an observation, and how its outputs become actions.
pub struct NetworkPolicy<T: Scalar> {
    network: Box<dyn Network<T>>,
    head: Head,
    observation_space: Space,
    features: Vec<f32>,
    outputs: Vec<T>,
}

impl<T: Scalar> NetworkPolicy<T> {
    /// A policy on `observation_space`, whose [`Space::features`] are the network's inputs.
    pub fn new(network: Box<dyn Network<T>>, head: Head, observation_space: &Space) -> Self {
        Self {
            features: vec![0.0; network.inputs()],
            outputs: vec![T::zero(); network.outputs()],
            network,
            head,
            observation_space: observation_space.clone(),
        }
    }

    /// The network.
    pub fn network(&self) -> &dyn Network<T> {
        &*self.network
    }

    /// The network, to train.
    pub fn network_mut(&mut self) -> &mut dyn Network<T> {
        &mut *self.network
    }

    /// From outputs to actions.
    pub fn head(&self) -> Head {
        self.head
    }

    /// What the network saw of the last observation acted on.
    pub fn features(&self) -> &[f32] {
        &self.features
    }

    /// Draws an action as in training: with dropout, whose masks come from `dropout`.
    ///
    /// # Errors
    /// Where the network's outputs are not finite.
    pub fn explore(
        &mut self,
        situation: Situation<'_>,
        dropout: &mut Rng,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        self.observation_space.encode(situation.observation, &mut self.features);
        self.network.forward_train(&self.features, 1, dropout, &mut self.outputs);
        self.decide(situation, Mode::Explore, rng, action)
    }

    fn decide(
        &self,
        situation: Situation<'_>,
        mode: Mode,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        if self.outputs.iter().any(|output| !output.is_finite()) {
            let message = format!("the network's outputs are not finite: {:?}", self.outputs);
            return Err(PolicyError { step: situation.step, message });
        }
        self.head.act(&self.outputs, &[], mode, rng, action);
        Ok(())
    }
}

impl<T: Scalar> Policy for NetworkPolicy<T> {
    fn act(
        &mut self,
        situation: Situation<'_>,
        mode: Mode,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        self.observation_space.encode(situation.observation, &mut self.features);
        self.network.forward(&self.features, 1, &mut self.outputs);
        self.decide(situation, mode, rng, action)
    }
}

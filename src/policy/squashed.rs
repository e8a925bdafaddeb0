//! A policy whose actions are squashed into the action space.

use super::{LearnedPolicy, Readout};
use crate::env::{Assessment, Mode, Policy, PolicyError, Situation, Space};
use crate::nn::heads::SquashedGaussian;
use crate::nn::random::normal;
use crate::nn::{Engine, Network, Scalar, StateError, Tensors};
use crate::rng::Rng;

/// A network that acts by the hyperbolic tangent of its outputs, stretched from (-1, 1) to the bounds of
/// the action space. With twice as many outputs as an action has numbers, actions are drawn from a
/// [`SquashedGaussian`].
pub struct SquashedPolicy<T: Scalar> {
    /// The network.
    pub network: Box<dyn Network<T>>,
    engine: Engine,
    observation_space: Space,
    low: Vec<f32>,
    high: Vec<f32>,
    features: Vec<f32>,
    outputs: Vec<T>,
    noise: Vec<T>,
    drawn: Vec<T>,
}

impl<T: Scalar> SquashedPolicy<T> {
    /// A policy on `observation_space`, whose [`Space::features`] are the inputs of the network that `engine`
    /// computes, for a bounded box of actions.
    pub fn new(
        (network, engine): (Box<dyn Network<T>>, Engine),
        observation_space: &Space,
        action_space: &Space,
    ) -> Self {
        let (low, high) = match action_space {
            Space::Box { low, high, .. } => (low.clone(), high.clone()),
            _ => (Vec::new(), Vec::new()),
        };
        Self {
            network,
            engine,
            observation_space: observation_space.clone(),
            features: Vec::new(),
            outputs: Vec::new(),
            noise: vec![T::zero(); low.len()],
            drawn: vec![T::zero(); low.len()],
            low,
            high,
        }
    }

    /// How many numbers an action has.
    pub fn dimensions(&self) -> usize {
        self.low.len()
    }

    /// Writes an action in (-1, 1) for each of the flat `observations`.
    ///
    /// # Errors
    /// [`NotFinite`] where the network's outputs are not finite.
    pub fn decide(
        &mut self,
        observations: &[f32],
        mode: Mode,
        rng: &mut Rng,
        actions: &mut [f32],
    ) -> Result<(), NotFinite> {
        self.predict(observations);
        let (width, dimensions) = (self.network.outputs(), self.dimensions());
        if self.outputs.iter().any(|output| !output.is_finite()) {
            return Err(NotFinite);
        }
        let rows = self.outputs.chunks_exact(width).zip(actions.chunks_exact_mut(dimensions));
        for (outputs, action) in rows {
            if width > dimensions && mode == Mode::Explore {
                self.noise.iter_mut().for_each(|noise| *noise = T::of(normal(rng)));
                let head = SquashedGaussian { dimensions };
                head.act(outputs, &self.noise, &mut self.drawn);
                for (action, &drawn) in action.iter_mut().zip(&self.drawn) {
                    *action = drawn.as_f32();
                }
            } else {
                for (action, &output) in action.iter_mut().zip(outputs) {
                    *action = output.tanh().as_f32();
                }
            }
        }
        Ok(())
    }

    /// Replaces the network's outputs by those for the flat `observations`.
    fn predict(&mut self, observations: &[f32]) {
        let rows = self.observation_space.encode_all(observations, &mut self.features);
        self.outputs.resize(rows * self.network.outputs(), T::zero());
        self.network.forward(&self.features, rows, &mut self.outputs);
    }

    /// Shrinks actions, one after another, from the bounds of the action space to [-1, 1].
    pub fn shrink(&self, actions: &mut [f32]) {
        for action in actions.chunks_exact_mut(self.dimensions()) {
            for (value, (low, high)) in action.iter_mut().zip(self.low.iter().zip(&self.high)) {
                *value = (2.0 * (*value - low) / (high - low) - 1.0).clamp(-1.0, 1.0);
            }
        }
    }

    /// Stretches actions, one after another, from [-1, 1] to the bounds of the action space.
    pub fn stretch(&self, actions: &mut [f32]) {
        for action in actions.chunks_exact_mut(self.dimensions()) {
            for (value, (low, high)) in action.iter_mut().zip(self.low.iter().zip(&self.high)) {
                *value = (low + 0.5 * (*value + 1.0) * (high - low)).clamp(*low, *high);
            }
        }
    }
}

/// A network's outputs are not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFinite;

impl<T: Scalar> Policy for SquashedPolicy<T> {
    fn act(
        &mut self,
        situation: Situation<'_>,
        mode: Mode,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        self.decide(situation.observation, mode, rng, action).map_err(|NotFinite| {
            let message = format!("the network's outputs are not finite: {:?}", self.outputs);
            PolicyError { step: situation.step, message }
        })?;
        self.stretch(action);
        Ok(())
    }

    fn assess(&mut self, situation: Situation<'_>) -> Option<Assessment> {
        let dimensions = self.dimensions();
        self.predict(situation.observation);
        let (means, log_stds) = self.outputs.split_at(dimensions);
        let mut mean: Vec<f32> = means.iter().map(|mean| mean.tanh().as_f32()).collect();
        self.stretch(&mut mean);
        Some(Assessment {
            mean: mean.into_iter().map(f64::from).collect(),
            std: SquashedGaussian::deviations(log_stds).map(T::as_f64).collect(),
            ..Assessment::default()
        })
    }
}

impl<T: Scalar> LearnedPolicy for SquashedPolicy<T> {
    fn save(&self, state: &mut Tensors) {
        state.insert_network("", &*self.network);
        // The bounds are for other programs.
        state.insert("action_low", &[self.low.len()], &self.low);
        state.insert("action_high", &[self.high.len()], &self.high);
    }

    fn load(&mut self, state: &Tensors) -> Result<(), StateError> {
        state.load_network("", &mut *self.network)
    }

    fn engine(&self) -> String {
        self.engine.to_string()
    }

    fn readout(&self) -> Option<Readout> {
        Some(Readout::Squashed)
    }
}

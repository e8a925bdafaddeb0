//! A policy whose actions are squashed into the action space.

use anyhow::Context as _;

use super::{LearnedPolicy, Readout};
use crate::env::{Assessment, Mode, Policy, PolicyError, Situation, Space};
use crate::nn::heads::SquashedGaussian;
use crate::nn::random::normal;
use crate::nn::state_dependent::{CLIP_MEAN, clip_mean};
use crate::nn::{Engine, LatentNetwork, Network, Scalar, StateDependentNoise, StateError, Tensors};
use crate::rng::Rng;

/// A network that acts by the hyperbolic tangent of its outputs, stretched from (-1, 1) to the bounds of
/// the action space. With twice as many outputs as an action has numbers, actions are drawn from a
/// [`SquashedGaussian`]; with state-dependent noise, from its [`SquashedNoise`](crate::nn::state_dependent::SquashedNoise).
pub struct SquashedPolicy<T: Scalar> {
    /// The network.
    pub network: Box<dyn Network<T>>,
    /// The state-dependent noise that it explores with, if it does.
    pub sde: Option<StateDependentNoise<T>>,
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
            sde: None,
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

    /// The same policy, which explores with state-dependent noise.
    ///
    /// # Errors
    /// Fails if its engine shows no latent features.
    pub fn with_sde(self, log_std_init: f64) -> anyhow::Result<Self> {
        let mut network = self.network;
        let sde = state_dependent_noise(&mut *network, self.low.len(), log_std_init)?;
        Ok(Self { network, sde: Some(sde), ..self })
    }

    /// Draws exploration matrices for so many copies of the environment, where it explores with state-dependent noise.
    pub fn reset_noise(&mut self, copies: usize, rng: &mut Rng) {
        if let Some(sde) = &mut self.sde {
            sde.reset(copies, rng);
        }
    }

    /// How many numbers an action has.
    pub fn dimensions(&self) -> usize {
        self.low.len()
    }

    /// Writes an action in (-1, 1) for each of the flat `observations`. State-dependent noise is that of the last
    /// [`SquashedPolicy::reset_noise`], for as many copies.
    ///
    /// # Errors
    /// [`NotFinite`] where the network's outputs or the noise are not finite.
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
        if let Some(sde) = &self.sde {
            let features = latent(&mut *self.network).acting_features();
            match mode {
                Mode::Explore => sde.noise(features, &mut self.noise),
                Mode::Greedy => {
                    self.noise.clear();
                    self.noise.resize(self.outputs.len(), T::zero());
                }
            }
            let means = self.outputs.iter().zip(&self.noise);
            for (action, (&output, &noise)) in actions.iter_mut().zip(means) {
                *action = (clip_mean(output) + noise).portable_tanh().as_f32();
            }
            let finite = self.noise.iter().all(|noise| noise.is_finite());
            return if finite { Ok(()) } else { Err(NotFinite) };
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
                    *action = output.portable_tanh().as_f32();
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

/// State-dependent noise on `dimensions` numbers by the latent features of `network`.
///
/// # Errors
/// Fails if its engine shows none.
pub(super) fn state_dependent_noise<T: Scalar>(
    network: &mut dyn Network<T>,
    dimensions: usize,
    log_std_init: f64,
) -> anyhow::Result<StateDependentNoise<T>> {
    let latent = network.latent().context("use_sde: this engine shows no latent features")?;
    Ok(StateDependentNoise::new(latent.features(), dimensions, log_std_init))
}

/// The network of a policy that explores with state-dependent noise.
pub(crate) fn latent<T: Scalar>(network: &mut dyn Network<T>) -> &mut dyn LatentNetwork<T> {
    network.latent().expect("the noise was made for its latent features")
}

/// A network's outputs, or the noise on them, are not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFinite;

impl<T: Scalar> Policy for SquashedPolicy<T> {
    fn begin_episode(&mut self) {
        if let Some(sde) = &mut self.sde {
            sde.forget();
        }
    }

    fn act(
        &mut self,
        situation: Situation<'_>,
        mode: Mode,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        if mode == Mode::Explore
            && let Some(sde) = self.sde.as_mut().filter(|sde| !sde.is_drawn())
        {
            sde.reset(1, rng);
        }
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
        let mut variances = Vec::new();
        if let Some(sde) = &self.sde {
            sde.variances(latent(&mut *self.network).acting_features(), &mut variances);
        }
        let mean = |&mean: &T| if self.sde.is_some() { clip_mean(mean) } else { mean };
        let mut mean: Vec<f32> =
            means.iter().map(|output| mean(output).portable_tanh().as_f32()).collect();
        self.stretch(&mut mean);
        let deviations = variances.iter().map(|variance| variance.sqrt());
        Some(Assessment {
            mean: mean.into_iter().map(f64::from).collect(),
            std: SquashedGaussian::deviations(log_stds).chain(deviations).map(T::as_f64).collect(),
            ..Assessment::default()
        })
    }
}

impl<T: Scalar> LearnedPolicy for SquashedPolicy<T> {
    fn save(&self, state: &mut Tensors) {
        state.insert_network("", &*self.network);
        if let Some(sde) = &self.sde {
            state.insert("log_std", &sde.shape(), &sde.log_std);
        }
        // The bounds are for other programs.
        state.insert("action_low", &[self.low.len()], &self.low);
        state.insert("action_high", &[self.high.len()], &self.high);
    }

    fn load(&mut self, state: &Tensors) -> Result<(), StateError> {
        state.load_network("", &mut *self.network)?;
        if let Some(sde) = &mut self.sde {
            sde.log_std = state.get("log_std", &sde.shape())?;
        }
        Ok(())
    }

    fn engine(&self) -> String {
        self.engine.to_string()
    }

    fn readout(&self) -> Option<Readout> {
        Some(Readout::Squashed { clip_mean: self.sde.as_ref().map(|_| CLIP_MEAN) })
    }
}

//! A policy that acts by a network.

use super::recurrent::RecurrentStates;
use super::squashed::{latent, state_dependent_noise};
use super::{LearnedPolicy, Readout, valid_actions};
use crate::env::{Assessment, Mode, Policy, PolicyError, Situation, Space};
use crate::nn::normaliser::ObservationNormaliser;
use crate::nn::{Engine, Head, Network, Scalar, StateDependentNoise, StateError, Tensors};
use crate::rng::Rng;

/// A network, what it sees of an observation, and how its outputs become actions.
pub struct NetworkPolicy<T: Scalar> {
    /// The network. It may have one output more than the head takes, at the end: the value of the state.
    pub network: Box<dyn Network<T>>,
    /// From outputs to actions.
    pub head: Head,
    /// Logarithms of the standard deviations of a [`Head::Gaussian`] without state-dependent noise; empty for the others.
    pub log_std: Vec<T>,
    /// The state-dependent noise that it explores with, if it does.
    pub sde: Option<StateDependentNoise<T>>,
    /// The state-value function, where it has a network of its own. It decides nothing.
    pub critic: Option<Box<dyn Network<T>>>,
    /// Normalises what the networks see, where the algorithm asked for it.
    pub normaliser: Option<ObservationNormaliser>,
    /// Whether only actions that the environment's mask allows are taken.
    pub masked: bool,
    /// What computes the network.
    pub engine: Engine,
    observation_space: Space,
    action_space: Space,
    features: Vec<f32>,
    outputs: Vec<T>,
    /// Of state-dependent noise.
    variances: Vec<T>,
    /// What recurrent networks remember of the episode, once it has a step; and what they will where the last prediction is
    /// acted on.
    states: Option<RecurrentStates<T>>,
    next_states: Option<RecurrentStates<T>>,
    /// The critic's last value.
    value: T,
}

impl<T: Scalar> NetworkPolicy<T> {
    /// A policy on `observation_space`, whose [`Space::features`] are the inputs of the network that `engine`
    /// computes. Standard deviations begin at one.
    pub fn new(
        (network, engine): (Box<dyn Network<T>>, Engine),
        head: Head,
        observation_space: &Space,
        action_space: &Space,
    ) -> Self {
        Self {
            features: Vec::with_capacity(network.inputs()),
            outputs: vec![T::zero(); network.outputs()],
            variances: Vec::new(),
            states: None,
            next_states: None,
            value: T::zero(),
            network,
            log_std: vec![T::zero(); head.log_std_len()],
            head,
            sde: None,
            critic: None,
            normaliser: None,
            masked: false,
            engine,
            observation_space: observation_space.clone(),
            action_space: action_space.clone(),
        }
    }

    /// The same policy, which explores with state-dependent noise.
    ///
    /// # Errors
    /// Fails if its engine shows no latent features.
    pub fn with_sde(mut self, log_std_init: f64) -> anyhow::Result<Self> {
        let dimensions = self.head.action_len();
        self.sde = Some(state_dependent_noise(&mut *self.network, dimensions, log_std_init)?);
        self.log_std.clear();
        Ok(self)
    }

    /// The same policy, which only takes actions that the environment's mask allows where `masked` says so.
    #[must_use]
    pub fn masked(self, masked: bool) -> Self {
        Self { masked, ..self }
    }

    /// The same policy, which normalises the numbers of boxes that its networks see where `normalised` says so.
    #[must_use]
    pub fn normalised(self, normalised: bool) -> Self {
        let boxes = || ObservationNormaliser::new(self.observation_space.box_features());
        Self { normaliser: normalised.then(boxes), ..self }
    }

    /// What the network saw of the last observation acted on.
    pub fn features(&self) -> &[f32] {
        &self.features
    }

    /// Appends what the network sees of `observation`.
    pub fn observe(&self, observation: &[f32], features: &mut Vec<f32>) {
        let first = features.len();
        features.resize(first + self.network.inputs(), 0.0);
        self.observation_space.encode(observation, &mut features[first..]);
        if let Some(normaliser) = &self.normaliser {
            normaliser.apply(&mut features[first..]);
        }
    }

    /// Takes `observations`, flat and one after another, into the moments that it normalises by, if it does.
    pub fn learn_moments(&mut self, observations: &[f32]) {
        if let Some(normaliser) = &mut self.normaliser {
            let mut features = Vec::new();
            self.observation_space.encode_all(observations, &mut features);
            normaliser.learn(&features);
        }
    }

    /// Cuts continuous actions, one after another, to the action space's bounds.
    pub fn bound(&self, actions: &mut [f32]) {
        if let Space::Box { low, high, .. } = &self.action_space {
            for action in actions.chunks_exact_mut(low.len()) {
                for (value, (low, high)) in action.iter_mut().zip(low.iter().zip(high)) {
                    *value = value.clamp(*low, *high);
                }
            }
        }
    }

    /// Draws an action as in training: with dropout, whose masks come from `dropout`.
    ///
    /// # Errors
    /// Fails if the network's outputs are not finite.
    pub fn explore(
        &mut self,
        situation: Situation<'_>,
        dropout: &mut Rng,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        self.look(situation.observation);
        self.network.forward_train(&self.features, 1, dropout, &mut self.outputs);
        self.decide(situation, Mode::Explore, rng, action)
    }

    /// Turns an observation into the network's next inputs.
    fn look(&mut self, observation: &[f32]) {
        let mut features = std::mem::take(&mut self.features);
        features.clear();
        self.observe(observation, &mut features);
        self.features = features;
    }

    /// The network's outputs for one observation, without dropout. A recurrent one's are those for the next step of the
    /// episode, which it does not take.
    pub fn predict(&mut self, observation: &[f32]) -> &[T] {
        self.look(observation);
        let Self { network, critic, features, outputs, value, states, .. } = self;
        let states = states.clone();
        match states.or_else(|| RecurrentStates::new(&mut **network, critic.as_mut(), 1)) {
            None => network.forward(features, 1, outputs),
            Some(mut states) => {
                let value = std::slice::from_mut(value);
                states.step(&mut **network, critic.as_mut(), features, 1, outputs, value);
                self.next_states = Some(states);
            }
        }
        &self.outputs
    }

    /// [`NetworkPolicy::predict`], which has to give finite numbers.
    ///
    /// # Errors
    /// Fails if an output is NaN or infinite.
    pub fn predict_finite(&mut self, situation: Situation<'_>) -> Result<&[T], PolicyError> {
        self.predict(situation.observation);
        self.check_finite(situation.step)?;
        Ok(&self.outputs)
    }

    fn check_finite(&self, step: u32) -> Result<(), PolicyError> {
        if self.outputs.iter().all(|output| output.is_finite()) {
            return Ok(());
        }
        let message = format!("the network's outputs are not finite: {:?}", self.outputs);
        Err(PolicyError { step, message })
    }

    /// Which actions are valid, where the policy is masked.
    ///
    /// # Errors
    /// Fails if the environment does not tell.
    pub fn valid_actions(
        &self,
        situation: Situation<'_>,
    ) -> Result<Option<Vec<bool>>, PolicyError> {
        valid_actions(self.masked, situation)
    }

    /// Takes invalid actions out of the network's last outputs, where the policy is masked.
    fn mask(&mut self, situation: Situation<'_>) -> Result<(), PolicyError> {
        if let Some(mask) = self.valid_actions(situation)? {
            let outputs = self.head.outputs();
            self.head.mask(&mut self.outputs[..outputs], &mask);
        }
        Ok(())
    }

    /// The distribution over actions that the head's `outputs` mean.
    fn distribution(&self, outputs: &[T]) -> Assessment {
        let mut assessment = Assessment::default();
        if let Head::Gaussian { dimensions } = self.head {
            let mut mean = vec![0.0; dimensions];
            self.head.most_probable(outputs, &mut mean);
            self.bound(&mut mean);
            assessment.mean = mean.into_iter().map(f64::from).collect();
            assessment.std = self.log_std.iter().map(|log_std| log_std.exp().as_f64()).collect();
            let variances = self.variances.iter();
            assessment.std.extend(variances.map(|variance| variance.sqrt().as_f64()));
        } else {
            assessment.probabilities = self.head.probabilities(outputs);
        }
        assessment
    }

    /// Turns the network's last outputs into an action.
    fn decide(
        &mut self,
        situation: Situation<'_>,
        mode: Mode,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        self.check_finite(situation.step)?;
        self.mask(situation)?;
        let outputs = &self.outputs[..self.head.outputs()];
        match (mode, &mut self.sde) {
            (Mode::Greedy, _) => self.head.most_probable(outputs, action),
            (Mode::Explore, None) => self.head.draw(outputs, &self.log_std, rng, action),
            (Mode::Explore, Some(sde)) => {
                if !sde.is_drawn() {
                    sde.reset(1, rng);
                }
                let mut noise = Vec::with_capacity(action.len());
                sde.noise(latent(&mut *self.network).acting_features(), &mut noise);
                for (action, (&mean, noise)) in action.iter_mut().zip(outputs.iter().zip(noise)) {
                    *action = (mean + noise).as_f32();
                }
                if action.iter().any(|number| !number.is_finite()) {
                    let message = format!("the noise on the action is not finite: {action:?}");
                    return Err(PolicyError { step: situation.step, message });
                }
            }
        }
        self.bound(action);
        Ok(())
    }
}

impl<T: Scalar> Policy for NetworkPolicy<T> {
    fn begin_episode(&mut self) {
        if let Some(sde) = &mut self.sde {
            sde.forget();
        }
        self.states = None;
    }

    fn act(
        &mut self,
        situation: Situation<'_>,
        mode: Mode,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        self.predict(situation.observation);
        self.states = self.next_states.take();
        self.decide(situation, mode, rng, action)
    }

    fn assess(&mut self, situation: Situation<'_>) -> Option<Assessment> {
        self.predict(situation.observation);
        self.mask(situation).ok()?;
        if let Some(sde) = &self.sde {
            sde.variances(latent(&mut *self.network).acting_features(), &mut self.variances);
        }
        let mut assessment = self.distribution(&self.outputs[..self.head.outputs()]);
        let mut value = self.outputs.get(self.head.outputs()).copied();
        if let Some(critic) = &mut self.critic {
            if self.next_states.is_none() {
                critic.forward(&self.features, 1, std::slice::from_mut(&mut self.value));
            }
            value = Some(self.value);
        }
        assessment.value = value.map(T::as_f64);
        Some(assessment)
    }
}

impl<T: Scalar> LearnedPolicy for NetworkPolicy<T> {
    fn save(&self, state: &mut Tensors) {
        state.insert_network("", &*self.network);
        if !self.log_std.is_empty() {
            state.insert("log_std", &[self.log_std.len()], &self.log_std);
        }
        if let Some(sde) = &self.sde {
            state.insert("log_std", &sde.shape(), &sde.log_std);
        }
        if let Some(critic) = &self.critic {
            state.insert_network("critic.", &**critic);
        }
        if let Some(normaliser) = &self.normaliser {
            normaliser.moments.save("observations.", state);
        }
    }

    fn load(&mut self, state: &Tensors) -> Result<(), StateError> {
        state.load_network("", &mut *self.network)?;
        if !self.log_std.is_empty() {
            self.log_std = state.get("log_std", &[self.log_std.len()])?;
        }
        if let Some(sde) = &mut self.sde {
            sde.log_std = state.get("log_std", &sde.shape())?;
        }
        match &mut self.critic {
            Some(critic) if state.names().any(|name| name.starts_with("critic.")) => {
                state.load_network("critic.", &mut **critic)?;
            }
            // Files from before critics were kept: one that learned nothing would say nonsense.
            critic => *critic = None,
        }
        if let Some(normaliser) = &mut self.normaliser {
            normaliser.moments.load("observations.", state)?;
        }
        Ok(())
    }

    fn engine(&self) -> String {
        self.engine.to_string()
    }

    fn readout(&self) -> Option<Readout> {
        let log_std = self.log_std.iter().map(|log_std| log_std.as_f64()).collect();
        Some(Readout::Distribution { head: self.head.clone(), log_std })
    }
}

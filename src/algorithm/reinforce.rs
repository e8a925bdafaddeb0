//! REINFORCE: Monte-Carlo policy gradient (Williams, "Simple statistical gradient-following algorithms for
//! connectionist reinforcement learning", 1992).
//!
//! An update plays some episodes to their end, weighs every action by the discounted return that followed
//! it, and makes the better ones more probable: the loss is `-Σ G_t · ln π(a_t | s_t)`. The settings cover
//! the Gymnasium, Keras and PyTorch-Ignite tutorials, which differ in how returns are normalised and summed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::interface::{Algorithm, AlgorithmSettings, Initial, Setup, by_precision, report};
use crate::env::{Situation, Space};
use crate::nn::heads::EvaluationGradient;
use crate::nn::{Optimiser, OptimiserConfig, Scalar, Tensors, clip_gradient_norm};
use crate::policy::{LearnedPolicy, NetworkPolicy};
use crate::rng::{Purpose, Rng, stream};
use crate::training::{MetricMeans, TrialError, World};

/// Hyperparameters of REINFORCE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReinforceSpec {
    /// Step size of Adam.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub learning_rate: f64,
    /// Added to Adam's denominator (PyTorch: 1e-8, Keras: 1e-7).
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub adam_epsilon: f64,
    /// Discount factor of future rewards.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub discount: f64,
    /// Episodes that are played for one update.
    #[schemars(range(min = 1, max = 100_000))]
    pub episodes_per_update: u64,
    /// Over what the discounted returns are normalised to mean 0 and standard deviation 1.
    pub normalise_returns: Normalise,
    /// Which standard deviation: of a sample (divided by n - 1, as PyTorch) or of a population (n, as NumPy).
    pub standard_deviation: StandardDeviation,
    /// Added to the standard deviation before dividing by it.
    #[schemars(range(min = 0.0))]
    pub normalisation_epsilon: f64,
    /// Whether the loss is the sum over the update's steps or their mean.
    pub loss_reduction: Reduction,
}

impl Default for ReinforceSpec {
    fn default() -> Self {
        Self {
            learning_rate: 0.01,
            adam_epsilon: 1e-8,
            discount: 0.99,
            episodes_per_update: 1,
            normalise_returns: Normalise::Episode,
            standard_deviation: StandardDeviation::Sample,
            normalisation_epsilon: 0.0,
            loss_reduction: Reduction::Sum,
        }
    }
}

/// Over what returns are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Normalise {
    /// Each episode by itself.
    Episode,
    /// All episodes of an update together.
    Batch,
    /// Not at all.
    None,
}

/// Which standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum StandardDeviation {
    /// Of a sample: divided by n - 1.
    Sample,
    /// Of a population: divided by n.
    Population,
}

/// How the losses of an update's steps become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reduction {
    /// Added up.
    Sum,
    /// Averaged over all steps of the update.
    Mean,
}

impl AlgorithmSettings for ReinforceSpec {
    fn convolutional(&self) -> bool {
        true
    }

    fn supports(&self, actions: &Space) -> bool {
        actions.discrete_parts().is_some()
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => setup.build_network_policy::<T>(Initial::PYTORCH)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => Reinforce::<T>::new(self.clone(), setup)?)
    }
}

/// REINFORCE at work.
pub(super) struct Reinforce<T: Scalar> {
    spec: ReinforceSpec,
    policy: NetworkPolicy<T>,
    optimiser: Optimiser<T>,
    exploration: Rng,
    dropout: Rng,
    batch: Batch,
}

/// The steps of one update, episode after episode.
#[derive(Default)]
struct Batch {
    features: Vec<f32>,
    actions: Vec<f32>,
    rewards: Vec<f64>,
    /// Where each episode ends, in steps.
    ends: Vec<usize>,
}

impl<T: Scalar> Reinforce<T> {
    fn new(spec: ReinforceSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let policy = setup.build_network_policy::<T>(Initial::PYTORCH)?;
        let adam = OptimiserConfig::adam(spec.adam_epsilon);
        Ok(Self {
            optimiser: Optimiser::new(adam, policy.network.parameters().len()),
            policy,
            exploration: stream(setup.seed, Purpose::Exploration, 0),
            dropout: stream(setup.seed, Purpose::Minibatch, 0),
            batch: Batch::default(),
            spec,
        })
    }

    fn collect(&mut self, world: &mut World) -> Result<(), TrialError> {
        let Batch { features, actions, rewards, ends } = &mut self.batch;
        features.clear();
        actions.clear();
        rewards.clear();
        ends.clear();
        let mut action = vec![0.0; self.policy.head.action_len()];
        // The update meets the dropout masks that the actions were chosen under.
        let mut dropout = self.dropout.clone();
        while (ends.len() as u64) < self.spec.episodes_per_update {
            let situation = Situation {
                observation: world.envs().observation(0),
                step: world.envs().elapsed_steps(0),
                env: world.env(0),
            };
            self.policy.explore(situation, &mut dropout, &mut self.exploration, &mut action)?;
            world.step(&action)?;
            features.extend_from_slice(self.policy.features());
            actions.extend_from_slice(&action);
            rewards.push(world.envs().rewards()[0]);
            if !world.envs().finished().is_empty() {
                ends.push(rewards.len());
            }
        }
        Ok(())
    }

    /// One step of Adam on the collected episodes.
    fn update(&mut self, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let Batch { features, actions, rewards, ends } = &self.batch;
        let weights = weights(&self.spec, rewards, ends);
        let steps = rewards.len();
        let scale = match self.spec.loss_reduction {
            Reduction::Sum => 1.0,
            Reduction::Mean => 1.0 / steps as f64,
        };
        let head = &self.policy.head;
        let network = &mut self.policy.network;
        let width = head.outputs();
        let mut outputs = vec![T::zero(); steps * width];
        network.forward_train(features, steps, &mut self.dropout, &mut outputs);

        let (mut loss, mut entropy) = (0.0, 0.0);
        let mut gradients = vec![T::zero(); steps * width];
        let rows = outputs.chunks_exact(width).zip(gradients.chunks_exact_mut(width));
        let actions = actions.chunks_exact(head.action_len());
        for ((row, gradient), (action, weight)) in rows.zip(actions.zip(&weights)) {
            head.differentiate(row, &[], action, gradient, &mut [], |found| {
                loss -= scale * weight * found.log_prob.as_f64();
                entropy += found.entropy.as_f64() / steps as f64;
                EvaluationGradient { log_prob: T::of(-scale * weight), entropy: T::zero() }
            });
        }
        network.zero_gradients();
        network.backward(&gradients, None);
        let mut parts = [network.parameters_and_gradients()];
        let norm = clip_gradient_norm(&mut parts, f64::INFINITY);
        let losses = [("policy_loss", loss), ("entropy", entropy), ("gradient_norm", norm)];
        report(metrics, &losses)?;
        self.optimiser.step(self.spec.learning_rate, &mut parts);
        metrics.add("learning_rate", self.spec.learning_rate);
        Ok(())
    }
}

impl<T: Scalar> Algorithm for Reinforce<T> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        self.collect(world)?;
        self.update(metrics)?;
        world.count_update();
        Ok(())
    }

    fn policy(&self) -> &dyn LearnedPolicy {
        &self.policy
    }

    fn policy_mut(&mut self) -> &mut dyn LearnedPolicy {
        &mut self.policy
    }

    fn save(&self, state: &mut Tensors) {
        self.policy.save(state);
        self.optimiser.save("optimiser.", state);
        state.insert_rng("exploration", &self.exploration);
        state.insert_rng("dropout", &self.dropout);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.policy.load(state)?;
        self.optimiser.load("optimiser.", state)?;
        self.exploration = state.rng("exploration")?;
        self.dropout = state.rng("dropout")?;
        Ok(())
    }
}

/// What each action's log-probability is weighed by: its discounted return, normalised.
fn weights(spec: &ReinforceSpec, rewards: &[f64], ends: &[usize]) -> Vec<f64> {
    let mut returns = rewards.to_vec();
    let mut start = 0;
    for &end in ends {
        discount(&mut returns[start..end], spec.discount);
        if spec.normalise_returns == Normalise::Episode {
            normalise(&mut returns[start..end], spec);
        }
        start = end;
    }
    if spec.normalise_returns == Normalise::Batch {
        normalise(&mut returns, spec);
    }
    returns
}

/// Turns the rewards of an episode into discounted returns, in place.
fn discount(rewards: &mut [f64], discount: f64) {
    let mut following = 0.0;
    for reward in rewards.iter_mut().rev() {
        following = *reward + discount * following;
        *reward = following;
    }
}

/// Shifts and scales to mean 0 and standard deviation 1. Where there is no deviation (equal values, or a
/// sample of one), only the mean goes.
fn normalise(values: &mut [f64], spec: &ReinforceSpec) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let divisor = match spec.standard_deviation {
        StandardDeviation::Sample => n - 1.0,
        StandardDeviation::Population => n,
    };
    let deviation = if squares > 0.0 { (squares / divisor).sqrt() } else { 1.0 };
    for value in values {
        *value = (*value - mean) / (deviation + spec.normalisation_epsilon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-8, "{found:?} is not {expected:?}");
        }
    }

    /// The check values of Géron's notebook, whose Keras code this reproduces.
    #[test]
    fn discounts_and_normalises_as_the_keras_tutorial() {
        let mut rewards = [10.0, 0.0, -50.0];
        discount(&mut rewards, 0.8);
        close(&rewards, &[-22.0, -40.0, -50.0]);
        let spec = ReinforceSpec {
            discount: 0.8,
            normalise_returns: Normalise::Batch,
            standard_deviation: StandardDeviation::Population,
            ..ReinforceSpec::default()
        };
        let found = weights(&spec, &[10.0, 0.0, -50.0, 10.0, 20.0], &[3, 5]);
        close(&found, &[-0.28435071, -0.86597718, -1.18910299, 1.26665318, 1.0727777]);
    }

    #[test]
    fn each_episode_may_be_normalised_by_itself_or_not_at_all() {
        let spec = |normalise_returns| ReinforceSpec {
            discount: 1.0,
            normalise_returns,
            ..ReinforceSpec::default()
        };
        let rewards = [1.0, 1.0, 1.0, 5.0];
        let half = 0.5_f64.sqrt();
        close(&weights(&spec(Normalise::Episode), &rewards, &[2, 4]), &[half, -half, half, -half]);
        close(&weights(&spec(Normalise::None), &rewards, &[2, 4]), &[2.0, 1.0, 6.0, 5.0]);
    }

    #[test]
    fn an_episode_of_one_step_gives_no_nan() {
        close(&weights(&ReinforceSpec::default(), &[3.0], &[1]), &[0.0]);
    }
}

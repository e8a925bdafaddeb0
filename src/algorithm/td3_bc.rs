//! TD3+BC: TD3 on a dataset, whose actor acts as the dataset does where the critics do not know better (Fujimoto and Gu, "A
//! minimalist approach to offline reinforcement learning", 2021), with the paper's hyperparameters.
//!
//! An iteration is one gradient step on a minibatch of the dataset; see `td3.rs` for it. Observations are taken as they are:
//! the paper's normalisation by the dataset's moments is left out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::interface::{Algorithm, AlgorithmSettings, Setup, by_precision};
use super::off_policy;
use super::td3::{Learner, LearnerConfig, Sampled, actor};
use crate::env::{Env, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::replay::Batch;
use crate::nn::{Scalar, Tensors};
use crate::policy::{LearnedPolicy, PolicySpec, SquashedPolicy};
use crate::rng::{Purpose, Rng, stream};
use crate::training::{Annealed, MetricMeans, TrialError, World, annealed};

/// Hyperparameters of TD3+BC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Td3BcSpec {
    /// How much the critic's value counts for the actor beside acting as in the dataset, in units of its own size.
    #[schemars(range(min = 0.0))]
    pub alpha: f64,
    /// Step size of Adam, for actor and critics.
    pub learning_rate: Annealed,
    /// Steps in a minibatch.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub batch_size: usize,
    /// How far target networks move to those that they follow at each of their updates; 1 copies them.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub tau: f64,
    /// Discount factor of future rewards.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gamma: f64,
    /// The actor and the targets are updated at every so many gradient steps of the critics.
    #[schemars(range(min = 1))]
    pub policy_delay: u64,
    /// Standard deviation of the noise on the target actor's actions, which are scaled to [-1, 1].
    #[schemars(range(min = 0.0))]
    pub target_policy_noise: f64,
    /// That noise is cut to this.
    #[schemars(range(min = 0.0))]
    pub target_noise_clip: f64,
    /// How many critics there are; the lowest target counts.
    #[schemars(range(min = 1, max = 100))]
    pub n_critics: usize,
}

impl Default for Td3BcSpec {
    fn default() -> Self {
        Self {
            alpha: 2.5,
            learning_rate: Annealed::Constant(3e-4),
            batch_size: 256,
            tau: 0.005,
            gamma: 0.99,
            policy_delay: 2,
            target_policy_noise: 0.2,
            target_noise_clip: 0.5,
            n_critics: 2,
        }
    }
}

impl AlgorithmSettings for Td3BcSpec {
    fn learns_from_dataset(&self) -> bool {
        true
    }

    fn supports(&self, actions: &Space) -> bool {
        actions.is_continuous()
    }

    fn problems(
        &self,
        policy: &PolicySpec,
        schedule: &ScheduleSpec,
        env: &dyn Env,
    ) -> Vec<Problem> {
        off_policy::problems("td3_bc", self.learning_rate, policy, schedule, env)
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => actor::<T>(setup)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => Td3Bc::<T>::new(self.clone(), setup)?)
    }
}

/// TD3+BC at work.
pub(super) struct Td3Bc<T: Scalar> {
    spec: Td3BcSpec,
    policy: SquashedPolicy<T>,
    learner: Learner<T>,
    schedule: ScheduleSpec,
    observation_space: Space,
    sampling: Rng,
    batch: Batch,
    features: Vec<f32>,
    next_features: Vec<f32>,
}

impl<T: Scalar> Td3Bc<T> {
    fn new(spec: Td3BcSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let config = LearnerConfig {
            batch_size: spec.batch_size,
            tau: spec.tau,
            policy_delay: spec.policy_delay,
            target_policy_noise: spec.target_policy_noise,
            target_noise_clip: spec.target_noise_clip,
            n_critics: spec.n_critics,
            imitation: Some(spec.alpha),
        };
        Ok(Self {
            policy: actor(setup)?,
            learner: Learner::new(config, setup)?,
            schedule: setup.schedule.clone(),
            observation_space: setup.observation_space.clone(),
            sampling: stream(setup.seed, Purpose::Minibatch, 0),
            batch: Batch::default(),
            features: Vec::new(),
            next_features: Vec::new(),
            spec,
        })
    }
}

impl<T: Scalar> Algorithm for Td3Bc<T> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let Self { spec, policy, batch, features, next_features, .. } = self;
        let remaining = annealed::remaining(&self.schedule, world.progress());
        let learning_rate = spec.learning_rate.at(remaining);
        world.draw(spec.batch_size, spec.gamma, &mut self.sampling, batch)?;
        policy.shrink(&mut batch.actions);
        self.observation_space.encode_all(&batch.observations, features);
        self.observation_space.encode_all(&batch.next_observations, next_features);
        let sampled = Sampled { batch, features, next_features };
        self.learner.learn(policy, &sampled, learning_rate, metrics)?;
        metrics.add("learning_rate", learning_rate);
        world.count_update();
        Ok(())
    }

    fn policy(&self) -> &dyn LearnedPolicy {
        &self.policy
    }

    fn policy_mut(&mut self) -> &mut dyn LearnedPolicy {
        &mut self.policy
    }

    fn start_from(&mut self, policy: &Tensors) -> anyhow::Result<()> {
        self.policy.load(policy)?;
        self.learner.start_from(&self.policy);
        Ok(())
    }

    fn save(&self, state: &mut Tensors) {
        self.policy.save(state);
        self.learner.save(state);
        state.insert_rng("sampling", &self.sampling);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.policy.load(state)?;
        self.learner.load(state)?;
        self.sampling = state.rng("sampling")?;
        Ok(())
    }
}

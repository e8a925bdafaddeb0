//! Behaviour cloning: a policy that makes the actions of a dataset as probable as it can (Pomerleau, "ALVINN: an autonomous
//! land vehicle in a neural network", 1989), with the hyperparameters of the package `imitation` 1.0.
//!
//! An iteration is one step of Adam on a minibatch of the dataset; the loss is `-ln π(a | s) - ent_coef · H(π(· | s))`,
//! averaged over it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::interface::{
    Algorithm, AlgorithmSettings, Initial, Setup, by_precision, has_head, report,
};
use super::on_policy;
use crate::env::{Env, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::heads::EvaluationGradient;
use crate::nn::replay::Batch;
use crate::nn::{Optimiser, OptimiserConfig, ParametersMut, Scalar, Tensors};
use crate::policy::{LearnedPolicy, NetworkPolicy, PolicySpec};
use crate::rng::{Purpose, Rng, stream};
use crate::training::{Annealed, MetricMeans, TrialError, World, annealed};

/// Hyperparameters of behaviour cloning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BcSpec {
    /// Step size of Adam.
    pub learning_rate: Annealed,
    /// Steps in a minibatch.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub batch_size: usize,
    /// How much the policy's entropy counts.
    #[schemars(range(min = 0.0))]
    pub ent_coef: f64,
    /// Whether observations are normalised by the dataset's means and standard deviations.
    pub normalize_observations: bool,
}

impl Default for BcSpec {
    fn default() -> Self {
        Self {
            learning_rate: Annealed::Constant(1e-3),
            batch_size: 32,
            ent_coef: 1e-3,
            normalize_observations: false,
        }
    }
}

impl AlgorithmSettings for BcSpec {
    fn learns_from_dataset(&self) -> bool {
        true
    }

    fn convolutional(&self) -> bool {
        true
    }

    fn supports(&self, actions: &Space) -> bool {
        has_head(actions)
    }

    fn problems(
        &self,
        policy: &PolicySpec,
        schedule: &ScheduleSpec,
        env: &dyn Env,
    ) -> Vec<Problem> {
        let mut problems = on_policy::problems(policy, env, self.normalize_observations);
        let annealed = [("learning_rate", Some(self.learning_rate))];
        problems.extend(annealed::problems(&annealed, schedule));
        problems
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => self.policy::<T>(setup)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => Bc::<T>::new(self.clone(), setup)?)
    }
}

impl BcSpec {
    fn policy<T: Scalar>(&self, setup: &Setup<'_>) -> anyhow::Result<NetworkPolicy<T>> {
        let policy = setup.build_network_policy::<T>(Initial::PYTORCH)?;
        Ok(policy.normalised(self.normalize_observations))
    }
}

/// Behaviour cloning at work.
pub(super) struct Bc<T: Scalar> {
    spec: BcSpec,
    schedule: ScheduleSpec,
    policy: NetworkPolicy<T>,
    optimiser: Optimiser<T>,
    /// Whether the policy has moments to normalise by, where it does.
    has_moments: bool,
    sampling: Rng,
    dropout: Rng,
    batch: Batch,
    features: Vec<f32>,
    outputs: Vec<T>,
    gradients: Vec<T>,
    log_std_gradients: Vec<T>,
}

impl<T: Scalar> Bc<T> {
    fn new(spec: BcSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let policy = spec.policy::<T>(setup)?;
        let parameters = policy.network.parameters().len() + policy.log_std.len();
        Ok(Self {
            optimiser: Optimiser::new(OptimiserConfig::ADAM, parameters),
            log_std_gradients: vec![T::zero(); policy.log_std.len()],
            policy,
            has_moments: false,
            schedule: setup.schedule.clone(),
            sampling: stream(setup.seed, Purpose::Minibatch, 0),
            dropout: stream(setup.seed, Purpose::Minibatch, 1),
            batch: Batch::default(),
            features: Vec::new(),
            outputs: Vec::new(),
            gradients: Vec::new(),
            spec,
        })
    }

    /// One step of Adam on the minibatch.
    fn update(&mut self, learning_rate: f64, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let Self { spec, policy, features, outputs, gradients, .. } = self;
        let rows = spec.batch_size;
        features.clear();
        for observation in
            self.batch.observations.chunks_exact(self.batch.observations.len() / rows)
        {
            policy.observe(observation, features);
        }
        let NetworkPolicy { network, head, log_std, .. } = policy;
        let width = head.outputs();
        outputs.resize(rows * width, T::zero());
        gradients.resize(rows * width, T::zero());
        self.log_std_gradients.fill(T::zero());
        network.forward_train(features, rows, &mut self.dropout, outputs);

        let scale = 1.0 / rows as f64;
        let entropy_gradient = T::of(-scale * spec.ent_coef);
        let (mut log_prob, mut entropy) = (0.0, 0.0);
        let actions = self.batch.actions.chunks_exact(head.action_len());
        let both = outputs.chunks_exact(width).zip(gradients.chunks_exact_mut(width));
        for ((outputs, gradient), action) in both.zip(actions) {
            let shared = &mut self.log_std_gradients;
            head.differentiate(outputs, log_std, action, gradient, shared, |found| {
                log_prob += scale * found.log_prob.as_f64();
                entropy += scale * found.entropy.as_f64();
                EvaluationGradient { log_prob: T::of(-scale), entropy: entropy_gradient }
            });
        }
        network.zero_gradients();
        network.backward(gradients, None);
        let loss = -log_prob - spec.ent_coef * entropy;
        report(metrics, &[("policy_loss", loss), ("log_prob", log_prob), ("entropy", entropy)])?;
        let log_std = ParametersMut { values: log_std, gradients: &mut self.log_std_gradients };
        self.optimiser.step(learning_rate, &mut [network.parameters_and_gradients(), log_std]);
        metrics.add("learning_rate", learning_rate);
        Ok(())
    }
}

impl<T: Scalar> Algorithm for Bc<T> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let remaining = annealed::remaining(&self.schedule, world.progress());
        if !std::mem::replace(&mut self.has_moments, true) {
            self.policy.learn_moments(world.dataset()?.observations());
        }
        // What follows a step does not matter here.
        world.draw(self.spec.batch_size, 0.0, &mut self.sampling, &mut self.batch)?;
        self.update(self.spec.learning_rate.at(remaining), metrics)?;
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
        // It was learned with its own moments.
        self.has_moments = true;
        Ok(())
    }

    fn save(&self, state: &mut Tensors) {
        self.policy.save(state);
        self.optimiser.save("optimiser.", state);
        state.insert_rng("sampling", &self.sampling);
        state.insert_rng("dropout", &self.dropout);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.policy.load(state)?;
        self.optimiser.load("optimiser.", state)?;
        self.sampling = state.rng("sampling")?;
        self.dropout = state.rng("dropout")?;
        self.has_moments = true;
        Ok(())
    }
}

//! TD3: twin delayed deep deterministic policy gradient (Fujimoto et al., "Addressing function approximation
//! error in actor-critic methods", 2018), with Stable-Baselines3's hyperparameters. With `policy_delay` 1,
//! `target_policy_noise` 0 and `n_critics` 1 it is DDPG (Lillicrap et al. 2015).
//!
//! An iteration plays `train_freq` steps in each environment and then makes `gradient_steps` updates on
//! minibatches from a replay memory. The critics learn the lower of their targets' values at the target
//! actor's action, blurred by noise; the actor, at every `policy_delay`-th step only, to maximise the first
//! critic's value.

use super::interface::{Algorithm, AlgorithmSettings, Setup, by_precision, report};
use super::off_policy::{self, Critics, Explorer, explorer_settings};
use super::sac::{Lowest, Valuation as _};
use crate::env::{Env, Policy, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::random::normal;
use crate::nn::{Network, Optimiser, OptimiserConfig, Scalar, Tensors};
use crate::policy::{LearnedPolicy, PolicySpec, SquashedPolicy};
use crate::rng::{Purpose, Rng, stream};
use crate::training::{Annealed, MetricMeans, TrialError, World};

explorer_settings! {
    /// Hyperparameters of TD3.
    pub struct Td3Spec {
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
}

impl Default for Td3Spec {
    fn default() -> Self {
        Self {
            n_envs: 1,
            learning_rate: Annealed::Constant(1e-3),
            buffer_size: 1_000_000,
            learning_starts: 100,
            batch_size: 256,
            tau: 0.005,
            gamma: 0.99,
            train_freq: 1,
            gradient_steps: 1,
            policy_delay: 2,
            target_policy_noise: 0.2,
            target_noise_clip: 0.5,
            n_critics: 2,
            n_steps: 1,
            action_noise: None,
        }
    }
}

impl AlgorithmSettings for Td3Spec {
    fn environments(&self) -> usize {
        self.n_envs
    }

    fn supports(&self, actions: &Space) -> bool {
        matches!(actions, Space::Box { .. })
    }

    fn problems(
        &self,
        policy: &PolicySpec,
        schedule: &ScheduleSpec,
        env: &dyn Env,
    ) -> Vec<Problem> {
        off_policy::problems("td3", self.learning_rate, policy, schedule, env)
    }

    fn memory_bytes(&self, schedule: &ScheduleSpec, observations: &Space, actions: &Space) -> u64 {
        self.explorer().memory_bytes(schedule, observations, actions)
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => actor::<T>(setup)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => Td3::<T>::new(self.clone(), setup)?)
    }
}

/// A fresh actor for `setup`, with one output for every number of an action.
fn actor<T: Scalar>(setup: &Setup<'_>) -> anyhow::Result<SquashedPolicy<T>> {
    off_policy::actor(1, setup)
}

/// TD3 at work.
pub struct Td3<T: Scalar> {
    spec: Td3Spec,
    explorer: Explorer<T>,
    target_actor: Box<dyn Network<T>>,
    optimiser: Optimiser<T>,
    critics: Critics<T>,
    /// Gradient steps so far, which `policy_delay` counts.
    steps: u64,
    dropout: Rng,
    noise: Rng,
    scratch: Scratch<T>,
}

/// Buffers of one update.
#[derive(Default)]
struct Scratch<T> {
    outputs: Vec<T>,
    actions: Vec<f32>,
    values: Vec<T>,
    targets: Vec<T>,
    gradients: Vec<T>,
    grad_actions: Vec<T>,
}

impl<T: Scalar> Td3<T> {
    fn new(spec: Td3Spec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let explorer = Explorer::<T>::new(spec.explorer(), actor(setup)?, setup);
        let parameters = explorer.policy.network.parameters().len();
        Ok(Self {
            optimiser: Optimiser::new(OptimiserConfig::ADAM, parameters),
            explorer,
            // The target network begins as a copy.
            target_actor: actor(setup)?.network,
            critics: Critics::new(spec.n_critics, 1, setup)?,
            steps: 0,
            dropout: stream(setup.seed, Purpose::Minibatch, 1),
            noise: stream(setup.seed, Purpose::Minibatch, 3),
            scratch: Scratch::default(),
            spec,
        })
    }

    /// One step of the critics, and where its turn has come of the actor, on a minibatch.
    fn learn(&mut self, learning_rate: f64, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let rows = self.spec.batch_size;
        let Self { explorer, critics, scratch, .. } = self;
        explorer.sample(rows);
        let Explorer { policy, batch, features, next_features, .. } = explorer;
        scratch.outputs.resize(rows * policy.dimensions(), T::zero());
        self.target_actor.forward(next_features, rows, &mut scratch.outputs);
        scratch.actions.clear();
        let (deviation, clip) = (self.spec.target_policy_noise, self.spec.target_noise_clip);
        scratch.actions.extend(scratch.outputs.iter().map(|output| {
            let noise = (deviation * normal(&mut self.noise)).clamp(-clip, clip);
            (output.tanh().as_f64() + noise).clamp(-1.0, 1.0) as f32
        }));
        critics.targets(rows, next_features, &scratch.actions, &mut scratch.values);
        Lowest.targets(rows, &scratch.values, &mut scratch.targets);
        for (i, target) in scratch.targets.iter_mut().enumerate() {
            let (reward, discount) = (T::of_f32(batch.rewards[i]), T::of_f32(batch.discounts[i]));
            *target = reward + discount * *target;
        }
        critics.forward(self.spec.n_critics, rows, features, &batch.actions, &mut scratch.values);
        scratch.gradients.resize(scratch.values.len(), T::zero());
        let half = Lowest.loss(rows, &scratch.values, &scratch.targets, &mut scratch.gradients);
        // The whole squared error here, not half of it as in SAC.
        scratch.gradients.iter_mut().for_each(|gradient| *gradient *= T::of(2.0));
        report(metrics, &[("critic_loss", 2.0 * half)])?;
        critics.learn(&scratch.gradients, learning_rate);

        self.steps += 1;
        if !self.steps.is_multiple_of(self.spec.policy_delay) {
            return Ok(());
        }
        let actor = &mut policy.network;
        actor.forward_train(features, rows, &mut self.dropout, &mut scratch.outputs);
        scratch.outputs.iter_mut().for_each(|output| *output = output.tanh());
        scratch.actions.clear();
        scratch.actions.extend(scratch.outputs.iter().map(|action| action.as_f32()));
        critics.forward(1, rows, features, &scratch.actions, &mut scratch.values);
        let value = scratch.values.iter().copied().sum::<T>().as_f64() / rows as f64;
        scratch.gradients.clear();
        scratch.gradients.resize(rows, T::of(-1.0 / rows as f64));
        scratch.grad_actions.resize(scratch.outputs.len(), T::zero());
        critics.action_gradients(rows, &scratch.gradients, &mut scratch.grad_actions);
        for (gradient, &action) in scratch.grad_actions.iter_mut().zip(&scratch.outputs) {
            *gradient *= T::one() - action * action;
        }
        actor.zero_gradients();
        actor.backward(&scratch.grad_actions, None);
        report(metrics, &[("actor_loss", -value), ("q_value", value)])?;
        self.optimiser.step(learning_rate, &mut [actor.parameters_and_gradients()]);
        critics.follow(self.spec.tau);
        off_policy::follow(&mut *self.target_actor, &**actor, self.spec.tau);
        Ok(())
    }
}

impl<T: Scalar> Algorithm for Td3<T> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let Some(update) = self.explorer.play(world)? else { return Ok(()) };
        for _ in 0..update.gradient_steps {
            self.learn(update.learning_rate, metrics)?;
        }
        metrics.add("learning_rate", update.learning_rate);
        world.count_update();
        Ok(())
    }

    fn restart(&mut self) {
        self.explorer.restart();
    }

    fn policy(&self) -> &dyn LearnedPolicy {
        &self.explorer.policy
    }

    fn policy_mut(&mut self) -> &mut dyn LearnedPolicy {
        &mut self.explorer.policy
    }

    fn save(&self, state: &mut Tensors) {
        self.explorer.save(state);
        state.insert_network("target.", &*self.target_actor);
        self.critics.save(state);
        self.optimiser.save("optimiser.", state);
        state.insert_u64("steps", self.steps);
        state.insert_rng("dropout", &self.dropout);
        state.insert_rng("noise", &self.noise);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.explorer.load(state)?;
        state.load_network("target.", &mut *self.target_actor)?;
        self.critics.load(state)?;
        self.optimiser.load("optimiser.", state)?;
        self.steps = state.get_u64("steps")?;
        self.dropout = state.rng("dropout")?;
        self.noise = state.rng("noise")?;
        Ok(())
    }
}

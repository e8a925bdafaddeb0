//! TD3: twin delayed deep deterministic policy gradient (Fujimoto et al., "Addressing function approximation
//! error in actor-critic methods", 2018), with Stable-Baselines3's hyperparameters. With `policy_delay` 1,
//! `target_policy_noise` 0 and `n_critics` 1 it is DDPG (Lillicrap et al. 2015).
//!
//! An iteration plays `train_freq` steps in each environment and then makes `gradient_steps` updates on
//! minibatches from a replay memory. The critics learn the lower of their targets' values at the target
//! actor's action, blurred by noise; the actor, at every `policy_delay`-th step only, to maximise the first
//! critic's value.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::off_policy::{self, ActionNoise, Critics, Explorer, ExplorerConfig};
use super::sac::{Lowest, Valuation as _};
use super::schedule::Schedule;
use super::{Algorithm, AlgorithmSettings, Setup, report};
use crate::env::{Env, Space};
use crate::experiment::{Problem, ScheduleSpec};
use crate::nn::random::normal;
use crate::nn::{Network, Optimiser, OptimiserConfig, Precision, Scalar, Tensors};
use crate::policy::{Policy, PolicySpec};
use crate::rng::{Purpose, Rng, stream};
use crate::trial::{MetricMeans, TrialError, World};

/// Hyperparameters of TD3.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Td3Spec {
    /// How many copies of the environment act side by side.
    #[schemars(range(min = 1, max = 4096))]
    pub n_envs: usize,
    /// Step size of Adam, for actor and critics.
    pub learning_rate: Schedule,
    /// Steps that the replay memory holds.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub buffer_size: usize,
    /// Random steps before learning starts.
    pub learning_starts: u64,
    /// Steps in a minibatch.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub batch_size: usize,
    /// How far the target networks move at each of the actor's updates.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub tau: f64,
    /// Discount factor of future rewards.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gamma: f64,
    /// Steps in each environment between updates.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub train_freq: usize,
    /// Gradient steps of an update; -1 for as many as there were environment steps.
    #[schemars(range(min = -1, max = 1_000_000))]
    pub gradient_steps: i64,
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
    /// Rewards are summed over this many steps before bootstrapping.
    #[schemars(range(min = 1, max = 1000))]
    pub n_steps: usize,
    /// Noise on the actor's actions while collecting; `null` for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_noise: Option<ActionNoise>,
}

impl Default for Td3Spec {
    fn default() -> Self {
        Self {
            n_envs: 1,
            learning_rate: Schedule::Constant(1e-3),
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

impl Td3Spec {
    fn explorer(&self) -> ExplorerConfig {
        ExplorerConfig {
            n_envs: self.n_envs,
            train_freq: self.train_freq,
            gradient_steps: self.gradient_steps,
            learning_rate: self.learning_rate,
            buffer_size: self.buffer_size,
            learning_starts: self.learning_starts,
            n_steps: self.n_steps,
            gamma: self.gamma,
            action_noise: self.action_noise,
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
        self.explorer().replay(schedule, observations, actions).bytes_while_saved()
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        Ok(match setup.network()?.precision {
            Precision::Float32 => Box::new(Td3::<f32>::new(self.clone(), setup)?),
            Precision::Float64 => Box::new(Td3::<f64>::new(self.clone(), setup)?),
        })
    }
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
        let explorer = Explorer::<T>::new(spec.explorer(), 1, setup)?;
        let parameters = explorer.policy.network.parameters().len();
        Ok(Self {
            optimiser: Optimiser::new(OptimiserConfig::ADAM, parameters),
            explorer,
            target_actor: off_policy::target_actor(setup)?,
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

    fn policy(&mut self) -> &mut dyn Policy {
        &mut self.explorer.policy
    }

    fn engine(&self) -> String {
        self.explorer.engine().to_string()
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

    fn save_policy(&self, state: &mut Tensors) {
        self.explorer.policy.save(state);
    }

    fn load_policy(&mut self, state: &Tensors) -> anyhow::Result<()> {
        Ok(self.explorer.policy.load(state)?)
    }
}

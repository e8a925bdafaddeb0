//! What DQN, SAC, CrossQ, TD3 and TQC share: collecting into a replay memory; and what those for continuous actions
//! do: exploring with a squashed actor, critics of observations and actions, and targets that follow them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::interface::{Setup, storage};
use crate::env::{Env, Mode, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::random::{normal, uniform};
use crate::nn::replay::{Batch, Experience, OutOfMemory, Replay, ReplayConfig};
use crate::nn::{
    self, Initialisation, MlpConfig, Network, Optimiser, OptimiserConfig, ParametersMut, Scalar,
    Tensors, move_towards, threads,
};
use crate::policy::{HeadSpec, LearnedPolicy as _, NotFinite, PolicySpec, SquashedPolicy};
use crate::rng::{Purpose, Rng, stream};
use crate::training::annealed::{self, Annealed};
use crate::training::{TrialError, World};

/// Declares the hyperparameters of an algorithm with a replay memory: those that all of them have, and then its
/// own. `targets {}` before it leaves out what is for target networks.
macro_rules! off_policy_settings {
    ($(#[$attribute:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $crate::algorithm::off_policy::off_policy_settings! {
            targets {
                /// How far target networks move to those that they follow at each of their updates; 1 copies them.
                #[schemars(range(min = 0.0, max = 1.0))]
                pub tau: f64,
            }
            $(#[$attribute])*
            pub struct $name { $($own)* }
        }
    };
    (
        targets { $($targets:tt)* }
        $(#[$attribute:meta])* pub struct $name:ident { $($own:tt)* }
    ) => {
        $(#[$attribute])*
        #[derive(
            Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $name {
            /// How many copies of the environment act side by side.
            #[schemars(range(min = 1, max = 4096))]
            pub n_envs: usize,
            /// Step size of Adam, for everything that is learned.
            pub learning_rate: $crate::training::Annealed,
            /// Steps that the replay memory holds.
            #[schemars(range(min = 1, max = 100_000_000))]
            pub buffer_size: usize,
            /// Random steps before learning starts.
            pub learning_starts: u64,
            /// Steps in a minibatch.
            #[schemars(range(min = 1, max = 1_000_000))]
            pub batch_size: usize,
            $($targets)*
            /// Discount factor of future rewards.
            #[schemars(range(min = 0.0, max = 1.0))]
            pub gamma: f64,
            /// Steps in each environment between updates.
            #[schemars(range(min = 1, max = 1_000_000))]
            pub train_freq: usize,
            /// Gradient steps of an update; -1 for as many as there were environment steps.
            #[schemars(range(min = -1, max = 1_000_000))]
            pub gradient_steps: i64,
            $($own)*
        }
    };
}
pub(super) use off_policy_settings;

/// Declares the hyperparameters of an algorithm that collects with an [`Explorer`]: those of
/// [`off_policy_settings`], its own, and how it collects.
macro_rules! explorer_settings {
    (
        $(targets $targets:tt)?
        $(#[$attribute:meta])* pub struct $name:ident { $($own:tt)* }
    ) => {
        $crate::algorithm::off_policy::off_policy_settings! {
            $(targets $targets)?
            $(#[$attribute])*
            pub struct $name {
                $($own)*
                /// Rewards are summed over this many steps before bootstrapping.
                #[schemars(range(min = 1, max = 1000))]
                pub n_steps: usize,
                /// Noise added to the actor's actions while collecting; `null` for none.
                #[serde(skip_serializing_if = "Option::is_none")]
                pub action_noise: Option<$crate::algorithm::off_policy::ActionNoise>,
            }
        }

        impl $name {
            fn explorer(&self) -> $crate::algorithm::off_policy::ExplorerConfig {
                $crate::algorithm::off_policy::ExplorerConfig {
                    n_envs: self.n_envs,
                    train_freq: self.train_freq,
                    gradient_steps: self.gradient_steps,
                    learning_rate: self.learning_rate,
                    buffer_size: self.buffer_size,
                    learning_starts: self.learning_starts,
                    n_steps: self.n_steps,
                    gamma: self.gamma,
                    action_noise: self.action_noise,
                    sde_sample_freq: -1,
                }
            }
        }
    };
}
pub(super) use explorer_settings;

/// Steps every environment by its action in `played` and stores what happened, with the actions in
/// `stored`. `before` is scratch.
pub(super) fn step(
    world: &mut World,
    replay: &mut Replay,
    played: &[f32],
    stored: &[f32],
    before: &mut Vec<f32>,
) -> Result<(), TrialError> {
    before.clear();
    before.extend_from_slice(world.envs().observations());
    world.step(played)?;
    let envs = world.envs();
    let copies = envs.len();
    let rows = before.chunks_exact(before.len() / copies);
    let actions = stored.chunks_exact(stored.len() / copies);
    for (i, (observation, action)) in rows.zip(actions).enumerate() {
        replay.push(Experience {
            observation,
            action,
            reward: envs.rewards()[i],
            next_observation: envs.final_observation(i).unwrap_or(envs.observation(i)),
            next_mask: envs.next_action_mask(i).unwrap_or_default(),
            terminated: envs.terminated()[i],
            truncated: envs.truncated()[i],
        });
    }
    Ok(())
}

/// Noise added to actions in [-1, 1] while collecting.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum ActionNoise {
    /// Independent normal draws of this standard deviation.
    Normal(f64),
    /// A mean-reverting random walk of this sigma, with Stable-Baselines3's theta 0.15 and dt 0.01: it
    /// pushes the same way for many steps (Uhlenbeck and Ornstein, 1930).
    OrnsteinUhlenbeck(f64),
}

impl JsonSchema for ActionNoise {
    fn schema_name() -> Cow<'static, str> {
        "ActionNoise".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let deviation = json_schema!({ "type": "number", "minimum": 0.0 });
        json_schema!({
            "description": "Noise on actions that are scaled to [-1, 1]: `{\"normal\": deviation}`, drawn anew \
                            at every step, or `{\"ornstein_uhlenbeck\": sigma}`, which pushes the same way for \
                            many steps.",
            "type": "object",
            "properties": { "normal": deviation, "ornstein_uhlenbeck": deviation },
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
        })
    }
}

impl ActionNoise {
    /// The next noise, given the last one.
    fn next(self, last: f64, rng: &mut Rng) -> f64 {
        const THETA: f64 = 0.15;
        const DT: f64 = 0.01;
        match self {
            ActionNoise::Normal(deviation) => deviation * normal(rng),
            ActionNoise::OrnsteinUhlenbeck(sigma) => {
                last - THETA * last * DT + sigma * DT.sqrt() * normal(rng)
            }
        }
    }
}

/// What makes an algorithm for continuous actions impossible with this policy, step size and schedule on `env`.
pub(super) fn problems(
    name: &str,
    learning_rate: Annealed,
    policy: &PolicySpec,
    schedule: &ScheduleSpec,
    env: &dyn Env,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let actions = env.action_space();
    if let Space::Box { low, high, .. } = actions
        && low.iter().chain(high).any(|bound| !bound.is_finite())
    {
        let message = format!("{name} needs actions with bounds, and {actions} has none");
        problems.push(Problem::new(&["training", "algorithm", "name"], message));
    }
    if policy.head() == Some(HeadSpec::Sigmoid) {
        let message = format!("{name} has continuous actions: leave `head` out");
        problems.push(Problem::new(&["policy", "head"], message));
    }
    problems.extend(annealed::problems(&[("learning_rate", Some(learning_rate))], schedule));
    problems
}

/// The level of quantile number `i` of `count`: the middle of its share of the distribution.
pub(super) fn quantile_level<T: Scalar>(i: usize, count: usize) -> T {
    T::of((i as f64 + 0.5) / count as f64)
}

/// The sum of the quantile Huber losses (threshold 1; Dabney et al., "Distributional reinforcement learning with quantile
/// regression", 2018) of a quantile of this level and each of `targets`, and its derivative at the quantile.
#[inline]
pub(super) fn quantile_huber<T: Scalar>(quantile: T, level: T, targets: &[T]) -> (T, T) {
    let (half, one) = (T::of(0.5), T::one());
    let (mut loss, mut slope) = (T::zero(), T::zero());
    for &target in targets {
        let error = target - quantile;
        let weight = if error < T::zero() { one - level } else { level };
        let bounded = error.max(-one).min(one);
        // 0.5 e² within the threshold, |e| - 0.5 beyond: both are b (e - 0.5 b).
        loss += weight * bounded * (error - half * bounded);
        slope -= weight * bounded;
    }
    (loss, slope)
}

/// How many gradient steps an update makes: as many as there were environment steps where the `setting` is
/// negative.
pub(super) fn gradient_steps(setting: i64, train_freq: usize, n_envs: usize) -> u64 {
    u64::try_from(setting).unwrap_or((train_freq * n_envs) as u64)
}

/// Whether state-dependent noise has a new exploration matrix at this step of a rollout, with the setting
/// `sde_sample_freq`.
pub(super) fn renews_noise(step: usize, sde_sample_freq: i64) -> bool {
    step == 0 || (sde_sample_freq > 0 && (step as i64) % sde_sample_freq == 0)
}

/// How an [`Explorer`] collects, and how often and fast it is learned from.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExplorerConfig {
    /// How many copies of the environment act.
    pub n_envs: usize,
    /// Steps in each environment between updates.
    pub train_freq: usize,
    /// See [`gradient_steps`].
    pub gradient_steps: i64,
    /// Step size of an update.
    pub learning_rate: Annealed,
    /// Experiences that the replay memory holds at most.
    pub buffer_size: usize,
    /// Random steps at first.
    pub learning_starts: u64,
    /// Steps that a sampled experience spans.
    pub n_steps: usize,
    /// The discount factor.
    pub gamma: f64,
    /// Noise on the actor's actions.
    pub action_noise: Option<ActionNoise>,
    /// Steps between two exploration matrices of state-dependent noise, beside that at a rollout's start.
    pub sde_sample_freq: i64,
}

impl ExplorerConfig {
    /// The replay memory's shape.
    pub(super) fn replay(
        &self,
        schedule: &ScheduleSpec,
        observations: &Space,
        actions: &Space,
    ) -> ReplayConfig {
        let collected = annealed::most_samples(schedule, self.train_freq * self.n_envs);
        ReplayConfig {
            capacity: self.buffer_size.min(collected),
            environments: self.n_envs,
            observation_len: observations.len(),
            observation_storage: storage(observations),
            action_len: actions.len(),
            mask_len: 0,
            n_steps: self.n_steps,
            gamma: self.gamma,
            priorities: None,
        }
    }
}

/// What an update is to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Update {
    /// Steps of the optimisers.
    pub gradient_steps: u64,
    /// Their size.
    pub learning_rate: f64,
}

/// An actor that explores into a replay memory. Actions in the memory are scaled to [-1, 1].
pub(super) struct Explorer<T: Scalar> {
    /// The actor.
    pub policy: SquashedPolicy<T>,
    /// What was sampled last.
    pub batch: Batch,
    /// What networks see of the batch's observations.
    pub features: Vec<f32>,
    /// What networks see of the batch's next observations.
    pub next_features: Vec<f32>,
    config: ExplorerConfig,
    schedule: ScheduleSpec,
    observation_space: Space,
    replay: Replay,
    exploration: Rng,
    sampling: Rng,
    /// The last noise of every copy's action.
    noise: Vec<f64>,
    actions: Vec<f32>,
    played: Vec<f32>,
    before: Vec<f32>,
}

impl<T: Scalar> Explorer<T> {
    /// This actor with an empty memory.
    ///
    /// # Errors
    /// Fails if the memory cannot be had.
    pub(super) fn new(
        config: ExplorerConfig,
        policy: SquashedPolicy<T>,
        setup: &Setup<'_>,
    ) -> Result<Self, OutOfMemory> {
        let Setup { schedule, observation_space, action_space, .. } = *setup;
        let actions = config.n_envs * policy.dimensions();
        Ok(Self {
            policy,
            batch: Batch::default(),
            features: Vec::new(),
            next_features: Vec::new(),
            observation_space: setup.observation_space.clone(),
            replay: Replay::new(config.replay(schedule, observation_space, action_space))?,
            exploration: stream(setup.seed, Purpose::Exploration, 0),
            sampling: stream(setup.seed, Purpose::Minibatch, 0),
            noise: vec![0.0; actions],
            actions: vec![0.0; actions],
            played: Vec::new(),
            before: Vec::new(),
            schedule: setup.schedule.clone(),
            config,
        })
    }

    /// Plays the steps between two updates, into the memory; the update, once learning has started.
    ///
    /// # Errors
    /// Fails if the environment fails or the actor's outputs stop being finite.
    pub(super) fn play(&mut self, world: &mut World) -> Result<Option<Update>, TrialError> {
        let ExplorerConfig { n_envs, train_freq, gradient_steps, learning_rate, .. } = self.config;
        for step in 0..train_freq {
            if renews_noise(step, self.config.sde_sample_freq) {
                self.policy.reset_noise(n_envs, &mut self.exploration);
            }
            self.step(world)?;
        }
        let progress = world.progress();
        Ok((progress.steps > self.config.learning_starts).then(|| Update {
            gradient_steps: self::gradient_steps(gradient_steps, train_freq, n_envs),
            learning_rate: learning_rate.at(annealed::remaining(&self.schedule, progress)),
        }))
    }

    /// One step in every environment, into the memory.
    fn step(&mut self, world: &mut World) -> Result<(), TrialError> {
        if world.progress().steps < self.config.learning_starts {
            for action in &mut self.actions {
                *action = (2.0 * uniform(&mut self.exploration) - 1.0) as f32;
            }
        } else {
            let observations = world.envs().observations();
            let Self { policy, exploration, actions, .. } = self;
            policy.decide(observations, Mode::Explore, exploration, actions).map_err(
                |NotFinite| TrialError::NotFinite {
                    what: "the actor's output".into(),
                    metrics: Default::default(),
                },
            )?;
        }
        if let Some(noise) = self.config.action_noise {
            for (action, last) in self.actions.iter_mut().zip(&mut self.noise) {
                *last = noise.next(*last, &mut self.exploration);
                *action = (*action + *last as f32).clamp(-1.0, 1.0);
            }
        }
        self.played.clone_from(&self.actions);
        self.policy.stretch(&mut self.played);
        step(world, &mut self.replay, &self.played, &self.actions, &mut self.before)?;
        let dimensions = self.policy.dimensions();
        for (copy, _) in world.envs().finished() {
            self.noise[copy * dimensions..][..dimensions].fill(0.0);
        }
        Ok(())
    }

    /// Draws `rows` experiences into [`Explorer::batch`].
    pub(super) fn sample(&mut self, rows: usize) {
        self.replay.sample(rows, 1.0, &mut self.sampling, &mut self.batch);
        let space = &self.observation_space;
        space.encode_all(&self.batch.observations, &mut self.features);
        space.encode_all(&self.batch.next_observations, &mut self.next_features);
    }

    /// The environments were restarted.
    pub(super) fn restart(&mut self) {
        self.replay.restart();
        self.noise.fill(0.0);
    }

    /// Saves everything that goes on from here.
    pub(super) fn save(&self, state: &mut Tensors) {
        self.policy.save(state);
        self.replay.save("replay.", state);
        state.insert_rng("exploration", &self.exploration);
        state.insert_rng("sampling", &self.sampling);
    }

    /// Restores what [`Explorer::save`] saved.
    ///
    /// # Errors
    /// Fails if something is missing or does not fit.
    pub(super) fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.policy.load(state)?;
        self.replay.load("replay.", state)?;
        self.exploration = state.rng("exploration")?;
        self.sampling = state.rng("sampling")?;
        Ok(())
    }
}

/// The shape of a network of the agent's with so many inputs and outputs.
pub(super) fn mlp(setup: &Setup<'_>, inputs: usize, outputs: usize) -> anyhow::Result<MlpConfig> {
    let spec = setup.network()?;
    Ok(MlpConfig {
        dropout: spec.dropout,
        initialisation: spec.initialisation.unwrap_or(Initialisation::Pytorch),
        ..MlpConfig::new(inputs, &spec.hidden, outputs, spec.activation)
    })
}

/// The agent's network number `index`: networks of the same number begin alike.
fn build<T: Scalar>(
    setup: &Setup<'_>,
    mlp: &MlpConfig,
    index: u64,
) -> anyhow::Result<Box<dyn Network<T>>> {
    let spec = setup.network()?;
    let mut rng = stream(setup.seed, Purpose::Initialisation, index);
    Ok(nn::build(mlp, spec.engine, spec.device, &mut rng)?)
}

/// A fresh actor with `outputs` outputs for every number of an action.
///
/// # Errors
/// Fails if the engine or the device cannot be had.
pub(super) fn actor<T: Scalar>(
    outputs: usize,
    setup: &Setup<'_>,
) -> anyhow::Result<SquashedPolicy<T>> {
    let Setup { observation_space, action_space, .. } = *setup;
    let mlp = mlp(setup, observation_space.features(), outputs * action_space.len())?;
    actor_of(&mlp, setup)
}

/// A fresh actor of this shape.
///
/// # Errors
/// Fails if the engine or the device cannot be had.
pub(super) fn actor_of<T: Scalar>(
    mlp: &MlpConfig,
    setup: &Setup<'_>,
) -> anyhow::Result<SquashedPolicy<T>> {
    let spec = setup.network()?;
    let network = (build(setup, mlp, 0)?, spec.engine.resolve(mlp, spec.device)?);
    Ok(SquashedPolicy::new(network, setup.observation_space, setup.action_space))
}

/// Moves a target network the share `tau` of its way to the network that it follows.
pub(super) fn follow<T: Scalar>(target: &mut dyn Network<T>, network: &dyn Network<T>, tau: f64) {
    move_towards(target.parameters_mut(), network.parameters(), tau);
}

/// Networks that value an action in an observation, each with its target network or all without; one optimiser
/// steps them all. Their outputs are written critic after critic, each `rows` rows.
pub(super) struct Critics<T: Scalar> {
    networks: Vec<Box<dyn Network<T>>>,
    /// As many, or none.
    targets: Vec<Box<dyn Network<T>>>,
    optimiser: Optimiser<T>,
    /// Whether hidden units are dropped, by `dropout`.
    drops: bool,
    dropout: Rng,
    inputs: Vec<f32>,
    grad_inputs: Vec<T>,
}

impl<T: Scalar> Critics<T> {
    /// `count` fresh critics with `outputs` outputs each.
    ///
    /// # Errors
    /// Fails if the engine or the device cannot be had.
    pub(super) fn new(count: usize, outputs: usize, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let inputs = setup.observation_space.features() + setup.action_space.len();
        let mlp = mlp(setup, inputs, outputs)?;
        let critics = Self::without_targets(count, &mlp, OptimiserConfig::ADAM, setup)?;
        Ok(Self { targets: Self::networks(count, &mlp, setup)?, ..critics })
    }

    /// `count` fresh critics of this shape, which no targets follow.
    ///
    /// # Errors
    /// Fails if the engine or the device cannot be had.
    pub(super) fn without_targets(
        count: usize,
        mlp: &MlpConfig,
        optimiser: OptimiserConfig,
        setup: &Setup<'_>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            networks: Self::networks(count, mlp, setup)?,
            targets: Vec::new(),
            optimiser: Optimiser::new(optimiser, count * mlp.parameter_count()),
            drops: mlp.dropout > 0.0,
            dropout: stream(setup.seed, Purpose::Minibatch, 2),
            inputs: Vec::new(),
            grad_inputs: Vec::new(),
        })
    }

    /// `count` fresh networks of this shape.
    fn networks(
        count: usize,
        mlp: &MlpConfig,
        setup: &Setup<'_>,
    ) -> anyhow::Result<Vec<Box<dyn Network<T>>>> {
        (1..=count as u64).map(|i| build(setup, mlp, i)).collect()
    }

    /// How many critics there are.
    pub(super) fn count(&self) -> usize {
        self.networks.len()
    }

    /// Puts `features` and `actions` side by side: what a critic sees.
    fn join(&mut self, rows: usize, features: &[f32], actions: &[f32]) {
        self.inputs.clear();
        let (width, dimensions) = (features.len() / rows, actions.len() / rows);
        for (features, action) in features.chunks_exact(width).zip(actions.chunks_exact(dimensions))
        {
            self.inputs.extend_from_slice(features);
            self.inputs.extend_from_slice(action);
        }
    }

    /// What the target networks say.
    pub(super) fn targets(
        &mut self,
        rows: usize,
        features: &[f32],
        actions: &[f32],
        outputs: &mut Vec<T>,
    ) {
        self.join(rows, features, actions);
        let each = rows * self.networks[0].outputs();
        outputs.resize(self.count() * each, T::zero());
        let inputs = &self.inputs;
        threads::each(
            self.targets.iter_mut().zip(outputs.chunks_exact_mut(each)),
            |(target, outputs)| {
                target.forward(inputs, rows, outputs);
            },
        );
    }

    /// What the first `count` critics say, keeping what [`Critics::learn`], where it is all of them, and
    /// [`Critics::action_gradients`] need.
    pub(super) fn forward(
        &mut self,
        count: usize,
        rows: usize,
        features: &[f32],
        actions: &[f32],
        outputs: &mut Vec<T>,
    ) {
        self.pass(count, rows, features, actions, outputs, <dyn Network<T>>::forward_train);
    }

    /// As [`Critics::forward`] of all critics, by running statistics where they normalise.
    pub(super) fn forward_frozen(
        &mut self,
        rows: usize,
        features: &[f32],
        actions: &[f32],
        outputs: &mut Vec<T>,
    ) {
        self.pass(self.count(), rows, features, actions, outputs, <dyn Network<T>>::forward_frozen);
    }

    fn pass(
        &mut self,
        count: usize,
        rows: usize,
        features: &[f32],
        actions: &[f32],
        outputs: &mut Vec<T>,
        forward: impl Fn(&mut (dyn Network<T> + 'static), &[f32], usize, &mut Rng, &mut [T]) + Sync,
    ) {
        self.join(rows, features, actions);
        let each = rows * self.networks[0].outputs();
        outputs.resize(count * each, T::zero());
        let inputs = &self.inputs;
        let parts = self.networks.iter_mut().zip(outputs.chunks_exact_mut(each));
        if self.drops {
            // One draws after the other.
            for (network, outputs) in parts {
                forward(&mut **network, inputs, rows, &mut self.dropout, outputs);
            }
        } else {
            threads::each(parts, |(network, outputs)| {
                forward(&mut **network, inputs, rows, &mut self.dropout.clone(), outputs);
            });
        }
    }

    /// One step of the optimiser for all critics, given a loss's gradient at the outputs of the last [`Critics::forward`].
    pub(super) fn learn(&mut self, grad_outputs: &[T], learning_rate: f64) {
        let each = grad_outputs.len() / self.count();
        let lens: Vec<_> = self.networks.iter().map(|network| network.parameters().len()).collect();
        let steps = self.optimiser.parts(learning_rate, lens);
        let gradients = grad_outputs.chunks_exact(each);
        let parts = self.networks.iter_mut().zip(gradients).zip(steps);
        threads::each(parts, |((network, gradient), step)| {
            network.zero_gradients();
            network.backward(gradient, None);
            let ParametersMut { values, gradients } = network.parameters_and_gradients();
            step.step(values, gradients);
        });
    }

    /// A loss's gradient at the actions of the last [`Critics::forward`], given that at its outputs.
    pub(super) fn action_gradients(
        &mut self,
        rows: usize,
        grad_outputs: &[T],
        grad_actions: &mut [T],
    ) {
        let network = &self.networks[0];
        let (inputs, dimensions) = (network.inputs(), grad_actions.len() / rows);
        let each = rows * network.outputs();
        self.grad_inputs.resize(grad_outputs.len() / each * rows * inputs, T::zero());
        let gradients = grad_outputs.chunks_exact(each);
        let parts = gradients.zip(self.grad_inputs.chunks_exact_mut(rows * inputs));
        threads::each(self.networks.iter_mut().zip(parts), |(network, (gradient, through))| {
            network.backward_inputs(gradient, through);
        });
        grad_actions.fill(T::zero());
        for through in self.grad_inputs.chunks_exact(rows * inputs) {
            let through = through.chunks_exact(inputs);
            for (sums, row) in grad_actions.chunks_exact_mut(dimensions).zip(through) {
                for (sum, &value) in sums.iter_mut().zip(&row[inputs - dimensions..]) {
                    *sum += value;
                }
            }
        }
    }

    /// Moves the targets the share `tau` of their way.
    pub(super) fn follow(&mut self, tau: f64) {
        let parts = self.targets.iter_mut().zip(&mut self.networks);
        threads::each(parts, |(target, network)| follow(&mut **target, &**network, tau));
    }

    /// Saves networks, targets and optimiser.
    pub(super) fn save(&self, state: &mut Tensors) {
        for (i, network) in self.networks.iter().enumerate() {
            state.insert_network(&format!("critic{i}."), &**network);
        }
        for (i, target) in self.targets.iter().enumerate() {
            state.insert_network(&format!("critic{i}_target."), &**target);
        }
        self.optimiser.save("critic_optimiser.", state);
        state.insert_rng("critic_dropout", &self.dropout);
    }

    /// Restores what [`Critics::save`] saved.
    ///
    /// # Errors
    /// Fails if something is missing or does not fit.
    pub(super) fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        for (i, network) in self.networks.iter_mut().enumerate() {
            state.load_network(&format!("critic{i}."), &mut **network)?;
        }
        for (i, target) in self.targets.iter_mut().enumerate() {
            state.load_network(&format!("critic{i}_target."), &mut **target)?;
        }
        self.optimiser.load("critic_optimiser.", state)?;
        self.dropout = state.rng("critic_dropout")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::NeuralSpec;

    #[test]
    fn gradients_at_actions_equal_finite_differences() {
        let policy = PolicySpec::Neural(NeuralSpec { hidden: vec![9, 7], ..NeuralSpec::default() });
        let (observations, actions) =
            (Space::uniform_box(-1.0, 1.0, 3), Space::uniform_box(-2.0, 2.0, 2));
        let setup = Setup {
            policy: &policy,
            schedule: &ScheduleSpec::default(),
            observation_space: &observations,
            action_space: &actions,
            seed: 4,
        };
        let mut critics = Critics::<f64>::new(2, 1, &setup).expect("on any CPU");
        let mut rng = stream(4, Purpose::Exploration, 0);
        let rows = 5;
        let mut draw = |n: usize| -> Vec<f32> {
            // Sixteenths, which steps of a sixteenth keep exact.
            (0..n).map(|_| (normal(&mut rng) * 16.0).round() as f32 / 16.0).collect()
        };
        let (features, actions) = (draw(rows * 3), draw(rows * 2));
        let weights: Vec<f64> = draw(2 * rows).iter().map(|&w| f64::from(w)).collect();
        let mut outputs = Vec::new();
        critics.forward(2, rows, &features, &actions, &mut outputs);
        let mut found = vec![f64::NAN; actions.len()];
        critics.action_gradients(rows, &weights, &mut found);
        let step = 1.0 / 4096.0;
        for (i, found) in found.iter().enumerate() {
            let mut at = |shift: f32| {
                let mut actions = actions.clone();
                actions[i] += shift;
                critics.forward(2, rows, &features, &actions, &mut outputs);
                outputs.iter().zip(&weights).map(|(q, w)| q * w).sum::<f64>()
            };
            let slope = (at(step) - at(-step)) / (2.0 * f64::from(step));
            // Rectifiers have corners, which few draws come as close to as a step.
            assert!((slope - found).abs() < 1e-9, "{i}: {slope}, {found}");
        }
    }

    #[test]
    fn parameters_move_the_share_tau_of_their_way() {
        let mut target = [0.0_f32, 4.0];
        move_towards(&mut target, &[1.0, 0.0], 0.25);
        assert_eq!(target, [0.25, 3.0]);
    }

    #[test]
    fn noise_has_its_deviation_and_the_walk_its_memory() {
        let mut rng = stream(4, Purpose::Exploration, 1);
        let mut spread = |noise: ActionNoise| {
            let mut last = 0.0;
            let draws: Vec<f64> = (0..400_000)
                .map(|_| {
                    last = noise.next(last, &mut rng);
                    last
                })
                .collect();
            let mean = |f: &dyn Fn(usize) -> f64| (1..draws.len()).map(f).sum::<f64>() / 4e5;
            (mean(&|i| draws[i].powi(2)), mean(&|i| draws[i] * draws[i - 1]))
        };
        let (variance, covariance) = spread(ActionNoise::Normal(0.5));
        assert!((variance - 0.25).abs() < 0.005 && covariance.abs() < 0.005);
        // Of x' = (1 - θ dt) x + σ √dt n: the variance is σ² dt / (1 - (1 - θ dt)²).
        let (variance, covariance) = spread(ActionNoise::OrnsteinUhlenbeck(0.5));
        let expected = 0.25 * 0.01 / (1.0 - 0.9985_f64.powi(2));
        assert!((variance / expected - 1.0).abs() < 0.2, "{variance} for {expected}");
        assert!((covariance / variance - 0.9985).abs() < 1e-3);
    }

    #[test]
    fn noise_is_read_by_name() {
        let read = |text: &str| serde_json::from_str::<ActionNoise>(text);
        assert_eq!(read(r#"{"normal": 0.1}"#).expect("a name"), ActionNoise::Normal(0.1));
        let walk = read(r#"{"ornstein_uhlenbeck": 0.5}"#).expect("a name");
        assert_eq!(walk, ActionNoise::OrnsteinUhlenbeck(0.5));
        assert!(read(r#"{"pink": 1}"#).is_err());
    }
}

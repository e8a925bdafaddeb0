//! DQN: deep Q-learning (Mnih et al., "Human-level control through deep reinforcement learning", 2015),
//! with Stable-Baselines3's hyperparameters, and as options double (van Hasselt et al. 2016), dueling (Wang
//! et al. 2016), n-step and prioritised replay (Schaul et al. 2016).
//!
//! An iteration plays `train_freq` steps in each environment, choosing a random action with probability ε
//! and the one of the greatest value otherwise, and then makes `gradient_steps` steps of Adam on the Huber
//! loss of temporal-difference errors sampled from a replay memory.

use super::interface::{
    Algorithm, AlgorithmSettings, Initial, Setup, by_precision, report, storage,
};
use super::off_policy;
use crate::env::{Assessment, Env, Mode, Policy, PolicyError, Problem, Situation, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::heads::{argmax, masked_argmax};
use crate::nn::random::{below, one_of, uniform};
use crate::nn::replay::{self, Priorities, Replay, ReplayConfig};
use crate::nn::{
    Engine, Head, Network, Optimiser, OptimiserConfig, Scalar, StateError, Tensors,
    clip_gradient_norm,
};
use crate::policy::{HeadSpec, LearnedPolicy, NetworkPolicy, PolicySpec, Readout};
use crate::rng::{Purpose, Rng, stream};
use crate::training::annealed::{self, Annealed};
use crate::training::{MetricMeans, TrialError, World};

/// Declares the hyperparameters of DQN, or of an algorithm that is DQN with another valuation: those of
/// [`off_policy_settings`], how the target network follows and how it explores, and its own.
macro_rules! dqn_settings {
    ($(#[$attribute:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $crate::algorithm::off_policy::off_policy_settings! {
            $(#[$attribute])*
            pub struct $name {
                /// Environment steps between two updates of the target network.
                #[schemars(range(min = 1))]
                pub target_update_interval: u64,
                /// The share of the schedule's `steps` (or `episodes`) over which ε falls.
                #[schemars(range(min = 0.0, max = 1.0))]
                pub exploration_fraction: f64,
                /// ε at the start.
                #[schemars(range(min = 0.0, max = 1.0))]
                pub exploration_initial_eps: f64,
                /// ε after it fell.
                #[schemars(range(min = 0.0, max = 1.0))]
                pub exploration_final_eps: f64,
                $($own)*
            }
        }

        impl $name {
            fn with(&self, update: $crate::algorithm::dqn::UpdateConfig) -> $crate::algorithm::dqn::DqnConfig {
                $crate::algorithm::dqn::DqnConfig {
                    n_envs: self.n_envs,
                    learning_rate: self.learning_rate,
                    buffer_size: self.buffer_size,
                    learning_starts: self.learning_starts,
                    batch_size: self.batch_size,
                    tau: self.tau,
                    gamma: self.gamma,
                    train_freq: self.train_freq,
                    gradient_steps: self.gradient_steps,
                    target_update_interval: self.target_update_interval,
                    exploration: $crate::algorithm::dqn::Exploration {
                        fraction: self.exploration_fraction,
                        initial_eps: self.exploration_initial_eps,
                        final_eps: self.exploration_final_eps,
                    },
                    update,
                }
            }
        }
    };
}
pub(super) use dqn_settings;

dqn_settings! {
    /// Hyperparameters of DQN.
    pub struct DqnSpec {
        /// The gradient's norm is cut to this.
        #[schemars(extend("exclusiveMinimum" = 0.0))]
        pub max_grad_norm: f64,
        /// Choose the next action by the network, and value it by the target network.
        pub double_q: bool,
        /// Split values into a state's and the actions' advantages; both read the last hidden layer.
        pub dueling: bool,
        /// Rewards are summed over this many steps before bootstrapping.
        #[schemars(range(min = 1, max = 1000))]
        pub n_steps: usize,
        /// Replay surprising steps more often.
        pub prioritized_replay: bool,
        /// How strongly priorities matter, from 0 (not at all) to 1.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub prioritized_replay_alpha: f64,
        /// How far importance weights make up for it at first; 1 at the end.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub prioritized_replay_beta0: f64,
        /// Added to every priority.
        #[schemars(range(min = 0.0))]
        pub prioritized_replay_eps: f64,
    }
}

impl Default for DqnSpec {
    fn default() -> Self {
        Self {
            n_envs: 1,
            learning_rate: Annealed::Constant(1e-4),
            buffer_size: 1_000_000,
            learning_starts: 100,
            batch_size: 32,
            tau: 1.0,
            gamma: 0.99,
            train_freq: 4,
            gradient_steps: 1,
            target_update_interval: 10_000,
            exploration_fraction: 0.1,
            exploration_initial_eps: 1.0,
            exploration_final_eps: 0.05,
            max_grad_norm: 10.0,
            double_q: false,
            dueling: false,
            n_steps: 1,
            prioritized_replay: false,
            prioritized_replay_alpha: 0.6,
            prioritized_replay_beta0: 0.4,
            prioritized_replay_eps: 1e-6,
        }
    }
}

impl DqnSpec {
    fn dqn(&self) -> DqnConfig {
        let priorities = Priorities {
            alpha: self.prioritized_replay_alpha,
            epsilon: self.prioritized_replay_eps,
        };
        self.with(UpdateConfig {
            max_grad_norm: self.max_grad_norm,
            double_q: self.double_q,
            n_steps: self.n_steps,
            priorities: self.prioritized_replay.then_some(priorities),
            beta0: self.prioritized_replay_beta0,
            adam: OptimiserConfig::ADAM,
        })
    }

    fn valuation(&self, setup: &Setup<'_>) -> ActionValues {
        let actions = setup.action_space.discrete().unwrap_or(1);
        ActionValues { actions, dueling: self.dueling }
    }
}

impl AlgorithmSettings for DqnSpec {
    fn memory_bytes(&self, schedule: &ScheduleSpec, observations: &Space, actions: &Space) -> u64 {
        self.dqn().memory_bytes(schedule, observations, actions)
    }

    fn environments(&self) -> usize {
        self.n_envs
    }

    fn convolutional(&self) -> bool {
        true
    }

    fn masks_actions(&self) -> bool {
        true
    }

    fn supports(&self, actions: &Space) -> bool {
        actions.discrete().is_some()
    }

    fn problems(&self, policy: &PolicySpec, schedule: &ScheduleSpec, _: &dyn Env) -> Vec<Problem> {
        problems("dqn", self.learning_rate, policy, schedule)
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => ValuePolicy::<T, _>::new(self.valuation(setup), setup)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => Dqn::<T, _>::new(self.dqn(), self.valuation(setup), setup)?)
    }
}

/// What makes an algorithm of this loop impossible with this policy, step size and schedule.
pub(super) fn problems(
    name: &str,
    learning_rate: Annealed,
    policy: &PolicySpec,
    schedule: &ScheduleSpec,
) -> Vec<Problem> {
    let mut problems = annealed::problems(&[("learning_rate", Some(learning_rate))], schedule);
    if !annealed::is_bounded(schedule) {
        let message = format!(
            "{name} explores less and less over the schedule's `steps` or `episodes`: set one of them"
        );
        problems.push(Problem::new(&["training", "schedule"], message));
    }
    if policy.head() == Some(HeadSpec::Sigmoid) {
        let message = format!("{name} has values of each action: leave `head` out");
        problems.push(Problem::new(&["policy", "head"], message));
    }
    problems
}

/// What the outputs of a network say about the values of actions, and the loss at them.
pub(super) trait Valuation<T: Scalar>: Copy + 'static {
    /// How many actions there are.
    fn actions(&self) -> usize;

    /// Outputs of the network.
    fn outputs(&self) -> usize;

    /// Turns rows of the network's outputs, in place, into what the other functions take.
    fn combine(&self, _outputs: &mut [T]) {}

    /// Writes the value of each action by one row; by one that was not combined, numbers in the same order.
    fn values(&self, row: &[T], values: &mut [T]);

    /// Appends what may be earned after `action`, by one row: as many numbers as [`Valuation::loss`] takes targets of each.
    fn returns(&self, row: &[T], action: usize, returns: &mut Vec<T>);

    /// The loss between the rows' values of the `actions` taken and their `targets`, weighted row by row, with its
    /// gradient at the network's outputs and the rows' errors, by whose size they are replayed.
    fn loss(
        &self,
        rows: &[T],
        actions: &[f32],
        targets: &[T],
        weights: &[f32],
        gradients: &mut [T],
        errors: &mut Vec<T>,
    ) -> f64;

    /// How programs act by the network.
    fn readout(&self) -> Readout;
}

/// Acts by the greatest action value; exploring is the algorithm's business.
pub(super) struct ValuePolicy<T: Scalar, V> {
    pub(super) network: NetworkPolicy<T>,
    valuation: V,
    values: Vec<T>,
}

impl<T: Scalar, V: Valuation<T>> ValuePolicy<T, V> {
    /// A fresh policy for `setup`.
    ///
    /// # Errors
    /// Fails if the engine or the device cannot be had.
    pub(super) fn new(valuation: V, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let network = setup.build_network(valuation.outputs(), Initial::PYTORCH, 0)?;
        Ok(Self::of(network, valuation, setup))
    }

    /// Acts by `network`.
    pub(super) fn of(
        network: (Box<dyn Network<T>>, Engine),
        valuation: V,
        setup: &Setup<'_>,
    ) -> Self {
        let head = Head::categorical(valuation.actions());
        let (observations, actions) = (setup.observation_space, setup.action_space);
        let network = NetworkPolicy::new(network, head, observations, actions);
        Self {
            network: network.masked(setup.policy.masks_actions()),
            values: vec![T::zero(); valuation.actions()],
            valuation,
        }
    }

    /// Chooses an action by each row of the network's outputs: with probability `epsilon` a random one, else that of the
    /// greatest value, of those that `masks` allow where there are any.
    pub(super) fn explore(
        &mut self,
        outputs: &[T],
        masks: Option<&[bool]>,
        epsilon: f64,
        rng: &mut Rng,
        chosen: &mut Vec<f32>,
    ) {
        let Self { network, valuation, values } = self;
        let actions = valuation.actions();
        chosen.clear();
        for (copy, row) in outputs.chunks_exact(network.network.outputs()).enumerate() {
            let mask = masks.map(|masks| &masks[copy * actions..(copy + 1) * actions]);
            // Two draws whatever happens, so that the stream does not depend on ε.
            let explores = uniform(rng) < epsilon;
            let random = match mask {
                None => below(rng, actions),
                Some(mask) => one_of(rng, mask),
            };
            valuation.values(row, values);
            let action = if explores { random } else { best(values, mask) };
            chosen.push(action as f32);
        }
    }
}

impl<T: Scalar, V: Valuation<T>> Policy for ValuePolicy<T, V> {
    fn act(
        &mut self,
        situation: Situation<'_>,
        _: Mode,
        _: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        let outputs = self.network.predict_finite(situation)?;
        self.valuation.values(outputs, &mut self.values);
        let mask = self.network.valid_actions(situation)?;
        action[0] = best(&self.values, mask.as_deref()) as f32;
        Ok(())
    }

    fn assess(&mut self, situation: Situation<'_>) -> Option<Assessment> {
        let mut outputs = self.network.predict(situation.observation).to_vec();
        self.valuation.combine(&mut outputs);
        self.valuation.values(&outputs, &mut self.values);
        let q_values = self.values.iter().map(|value| value.as_f64()).collect();
        Some(Assessment { q_values, ..Assessment::default() })
    }
}

impl<T: Scalar, V: Valuation<T>> LearnedPolicy for ValuePolicy<T, V> {
    fn save(&self, state: &mut Tensors) {
        self.network.save(state);
    }

    fn load(&mut self, state: &Tensors) -> Result<(), StateError> {
        self.network.load(state)
    }

    fn engine(&self) -> String {
        self.network.engine()
    }

    fn readout(&self) -> Option<Readout> {
        Some(self.valuation.readout())
    }
}

/// What a [`Dqn`] is built from, beside the agent's network.
#[derive(Debug, Clone)]
pub(super) struct DqnConfig {
    /// How many copies of the environment act.
    pub n_envs: usize,
    /// Step size of Adam.
    pub learning_rate: Annealed,
    /// Experiences that the replay memory holds at most.
    pub buffer_size: usize,
    /// Random steps at first.
    pub learning_starts: u64,
    /// Steps in a minibatch.
    pub batch_size: usize,
    /// How far the target network moves at each of its updates.
    pub tau: f64,
    /// The discount factor.
    pub gamma: f64,
    /// Steps in each environment between updates.
    pub train_freq: usize,
    /// See [`off_policy::gradient_steps`].
    pub gradient_steps: i64,
    /// Environment steps between two updates of the target network.
    pub target_update_interval: u64,
    /// How it explores.
    pub exploration: Exploration,
    /// What a gradient step is.
    pub update: UpdateConfig,
}

/// ε of a training: it falls linearly, and then stays.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exploration {
    /// The share of the training over which it falls.
    pub fraction: f64,
    /// ε at the start.
    pub initial_eps: f64,
    /// ε after it fell.
    pub final_eps: f64,
}

impl Exploration {
    /// ε when `remaining` of the training is left.
    pub(super) fn at(self, remaining: f64) -> f64 {
        let Self { fraction, initial_eps, final_eps } = self;
        let done = 1.0 - remaining;
        if done >= fraction {
            final_eps
        } else {
            initial_eps + (final_eps - initial_eps) * done / fraction
        }
    }
}

/// What a gradient step of a [`Dqn`] is.
#[derive(Debug, Clone)]
pub(super) struct UpdateConfig {
    /// The gradient's norm is cut to this; infinity for no limit.
    pub max_grad_norm: f64,
    /// Whether the network chooses the next action, and the target network only values it.
    pub double_q: bool,
    /// Steps that a sampled experience spans.
    pub n_steps: usize,
    /// Prioritised sampling, or `None` for uniform.
    pub priorities: Option<Priorities>,
    /// How far importance weights make up for it at first.
    pub beta0: f64,
    /// The optimiser.
    pub adam: OptimiserConfig,
}

impl DqnConfig {
    /// The replay memory's shape.
    fn replay(
        &self,
        schedule: &ScheduleSpec,
        observations: &Space,
        mask_len: usize,
    ) -> ReplayConfig {
        let collected = annealed::most_samples(schedule, self.train_freq * self.n_envs);
        ReplayConfig {
            capacity: self.buffer_size.min(collected),
            environments: self.n_envs,
            observation_len: observations.len(),
            observation_storage: storage(observations),
            action_len: 1,
            mask_len,
            n_steps: self.update.n_steps,
            gamma: self.gamma,
            priorities: self.update.priorities,
        }
    }

    /// The most bytes that the replay memory takes, masks included whether or not the policy asks for them.
    pub(super) fn memory_bytes(
        &self,
        schedule: &ScheduleSpec,
        observations: &Space,
        actions: &Space,
    ) -> u64 {
        let mask_len = actions.discrete().unwrap_or(0);
        self.replay(schedule, observations, mask_len).bytes_while_saved()
    }
}

/// DQN at work, with the valuation `V` (QR-DQN brings another).
pub(super) struct Dqn<T: Scalar, V> {
    config: DqnConfig,
    schedule: ScheduleSpec,
    policy: ValuePolicy<T, V>,
    target: Box<dyn Network<T>>,
    observation_space: Space,
    optimiser: Optimiser<T>,
    replay: Replay,
    exploration: Rng,
    sampling: Rng,
    dropout: Rng,
    /// Steps of the vectorised environment so far, which the target network's updates count.
    calls: u64,
    before: Vec<f32>,
    batch: replay::Batch,
    scratch: Scratch<T>,
}

/// Buffers of one update.
#[derive(Default)]
struct Scratch<T> {
    features: Vec<f32>,
    next_features: Vec<f32>,
    outputs: Vec<T>,
    next_outputs: Vec<T>,
    next_target: Vec<T>,
    gradients: Vec<T>,
    targets: Vec<T>,
    errors: Vec<T>,
    values: Vec<T>,
    chosen: Vec<f32>,
}

impl<T: Scalar, V: Valuation<T>> Dqn<T, V> {
    /// A fresh agent.
    ///
    /// # Errors
    /// Fails if the engine or the device cannot be had, or the memory for the samples.
    pub(super) fn new(config: DqnConfig, valuation: V, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let policy = ValuePolicy::<T, V>::new(valuation, setup)?;
        let parameters = policy.network.network.parameters().len();
        let replay = config.replay(setup.schedule, setup.observation_space, setup.mask_len());
        Ok(Self {
            replay: Replay::new(replay)?,
            policy,
            // The target network begins as a copy.
            target: ValuePolicy::new(valuation, setup)?.network.network,
            observation_space: setup.observation_space.clone(),
            optimiser: Optimiser::new(config.update.adam, parameters),
            exploration: stream(setup.seed, Purpose::Exploration, 0),
            sampling: stream(setup.seed, Purpose::Minibatch, 0),
            dropout: stream(setup.seed, Purpose::Minibatch, 1),
            calls: 0,
            before: Vec::new(),
            batch: replay::Batch::default(),
            scratch: Scratch::default(),
            schedule: setup.schedule.clone(),
            config,
        })
    }

    /// One step in every environment, into the replay memory.
    fn step(&mut self, world: &mut World) -> Result<(), TrialError> {
        let progress = world.progress();
        let epsilon = if progress.steps < self.config.learning_starts {
            1.0
        } else {
            self.config.exploration.at(annealed::remaining(&self.schedule, progress))
        };
        let Scratch { features, outputs, chosen, .. } = &mut self.scratch;
        let copies = self.config.n_envs;
        let network = &mut self.policy.network.network;
        self.observation_space.encode_all(world.envs().observations(), features);
        outputs.resize(copies * network.outputs(), T::zero());
        network.forward(features, copies, outputs);
        let masks = world.envs().action_masks();
        self.policy.explore(outputs, masks, epsilon, &mut self.exploration, chosen);
        off_policy::step(world, &mut self.replay, chosen, chosen, &mut self.before)?;
        self.calls += 1;
        let interval = (self.config.target_update_interval / copies as u64).max(1);
        if self.calls.is_multiple_of(interval) {
            let network = &*self.policy.network.network;
            off_policy::follow(&mut *self.target, network, self.config.tau);
        }
        Ok(())
    }

    /// One step of Adam on a minibatch.
    fn learn(&mut self, remaining: f64, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let beta0 = self.config.update.beta0;
        let beta = beta0 + (1.0 - beta0) * (1.0 - remaining);
        let rows = self.config.batch_size;
        self.replay.sample(rows, beta, &mut self.sampling, &mut self.batch);
        let scratch = &mut self.scratch;
        let ValuePolicy { network: NetworkPolicy { network, .. }, valuation, .. } =
            &mut self.policy;
        let (width, actions) = (network.outputs(), valuation.actions());
        let space = &self.observation_space;
        space.encode_all(&self.batch.observations, &mut scratch.features);
        space.encode_all(&self.batch.next_observations, &mut scratch.next_features);
        for buffer in [
            &mut scratch.outputs,
            &mut scratch.next_outputs,
            &mut scratch.next_target,
            &mut scratch.gradients,
        ] {
            buffer.resize(rows * width, T::zero());
        }
        self.target.forward(&scratch.next_features, rows, &mut scratch.next_target);
        valuation.combine(&mut scratch.next_target);
        if self.config.update.double_q {
            network.forward(&scratch.next_features, rows, &mut scratch.next_outputs);
            valuation.combine(&mut scratch.next_outputs);
        } else {
            scratch.next_outputs.copy_from_slice(&scratch.next_target);
        }
        scratch.targets.clear();
        scratch.values.resize(actions, T::zero());
        for i in 0..rows {
            let row = i * width..(i + 1) * width;
            let masks = &self.batch.next_masks;
            let mask = (!masks.is_empty()).then(|| &masks[i * actions..(i + 1) * actions]);
            valuation.values(&scratch.next_outputs[row.clone()], &mut scratch.values);
            let best = best(&scratch.values, mask);
            let first = scratch.targets.len();
            valuation.returns(&scratch.next_target[row], best, &mut scratch.targets);
            let (reward, discount) =
                (T::of_f32(self.batch.rewards[i]), T::of_f32(self.batch.discounts[i]));
            let own = scratch.targets[first..].iter_mut();
            own.for_each(|following| *following = reward + discount * *following);
        }
        network.forward_train(&scratch.features, rows, &mut self.dropout, &mut scratch.outputs);
        valuation.combine(&mut scratch.outputs);
        let loss = valuation.loss(
            &scratch.outputs,
            &self.batch.actions,
            &scratch.targets,
            &self.batch.weights,
            &mut scratch.gradients,
            &mut scratch.errors,
        );
        network.zero_gradients();
        network.backward(&scratch.gradients, None);
        let errors = scratch.errors.iter().map(|error| error.as_f64());
        self.replay.update_priorities(&self.batch.indices, errors);
        let mut parts = [network.parameters_and_gradients()];
        let gradient_norm = clip_gradient_norm(&mut parts, self.config.update.max_grad_norm);
        let taken = scratch.outputs.chunks_exact(width).zip(&self.batch.actions);
        let taken = taken.map(|(row, &action)| {
            valuation.values(row, &mut scratch.values);
            scratch.values[action as usize].as_f64()
        });
        let q_value = taken.sum::<f64>() / rows as f64;
        report(metrics, &[("loss", loss), ("q_value", q_value), ("gradient_norm", gradient_norm)])?;
        self.optimiser.step(self.config.learning_rate.at(remaining), &mut parts);
        Ok(())
    }
}

/// The action of the greatest value, of those that `mask` allows where there is one.
pub(super) fn best<T: Scalar>(values: &[T], mask: Option<&[bool]>) -> usize {
    mask.map_or_else(|| argmax(values), |mask| masked_argmax(values, mask))
}

/// DQN's valuation: one value for each action.
#[derive(Debug, Clone, Copy)]
pub(super) struct ActionValues {
    /// How many actions.
    pub actions: usize,
    /// Whether a row holds the actions' advantages and then the state's value.
    pub dueling: bool,
}

impl<T: Scalar> Valuation<T> for ActionValues {
    fn actions(&self) -> usize {
        self.actions
    }

    fn outputs(&self) -> usize {
        self.actions + usize::from(self.dueling)
    }

    /// Advantages become action values: `Q = V + A - mean(A)`.
    fn combine(&self, outputs: &mut [T]) {
        if !self.dueling {
            return;
        }
        let n = T::of(self.actions as f64);
        for row in outputs.chunks_exact_mut(self.actions + 1) {
            let (advantages, value) = row.split_at_mut(self.actions);
            let shift = value[0] - advantages.iter().copied().sum::<T>() / n;
            advantages.iter_mut().for_each(|advantage| *advantage += shift);
        }
    }

    fn values(&self, row: &[T], values: &mut [T]) {
        values.copy_from_slice(&row[..self.actions]);
    }

    fn returns(&self, row: &[T], action: usize, returns: &mut Vec<T>) {
        returns.push(row[action]);
    }

    /// The weighted mean of the Huber losses (threshold 1); the errors are value minus target.
    fn loss(
        &self,
        values: &[T],
        actions: &[f32],
        targets: &[T],
        weights: &[f32],
        gradients: &mut [T],
        errors: &mut Vec<T>,
    ) -> f64 {
        let n = T::of(targets.len() as f64);
        let (half, one) = (T::of(0.5), T::one());
        let mut sum = T::zero();
        errors.clear();
        gradients.fill(T::zero());
        let width = self.actions + usize::from(self.dueling);
        let rows = values.chunks_exact(width).zip(gradients.chunks_exact_mut(width));
        for (i, (row, gradient)) in rows.enumerate() {
            let action = actions[i] as usize;
            let error = row[action] - targets[i];
            let weight = T::of_f32(weights[i]) / n;
            sum +=
                weight * if error.abs() < one { half * error * error } else { error.abs() - half };
            let slope = weight * error.max(-one).min(one);
            if self.dueling {
                let share = slope / T::of(self.actions as f64);
                gradient[..self.actions].iter_mut().for_each(|gradient| *gradient = -share);
                gradient[self.actions] = slope;
            }
            gradient[action] += slope;
            errors.push(error);
        }
        sum.as_f64()
    }

    fn readout(&self) -> Readout {
        Readout::ActionValues { dueling: self.dueling }
    }
}

impl<T: Scalar, V: Valuation<T>> Algorithm for Dqn<T, V> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        for _ in 0..self.config.train_freq {
            self.step(world)?;
        }
        let progress = world.progress();
        let remaining = annealed::remaining(&self.schedule, progress);
        metrics.add("exploration_rate", self.config.exploration.at(remaining));
        if progress.steps > self.config.learning_starts {
            let DqnConfig { gradient_steps, train_freq, n_envs, .. } = self.config;
            for _ in 0..off_policy::gradient_steps(gradient_steps, train_freq, n_envs) {
                self.learn(remaining, metrics)?;
            }
            metrics.add("learning_rate", self.config.learning_rate.at(remaining));
            world.count_update();
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.replay.restart();
    }

    fn policy(&self) -> &dyn LearnedPolicy {
        &self.policy
    }

    fn policy_mut(&mut self) -> &mut dyn LearnedPolicy {
        &mut self.policy
    }

    fn start_from(&mut self, policy: &Tensors) -> anyhow::Result<()> {
        self.policy.load(policy)?;
        off_policy::follow(&mut *self.target, &*self.policy.network.network, 1.0);
        Ok(())
    }

    fn save(&self, state: &mut Tensors) {
        self.policy.save(state);
        state.insert_network("target.", &*self.target);
        self.optimiser.save("optimiser.", state);
        self.replay.save("replay.", state);
        state.insert_u64("calls", self.calls);
        state.insert_rng("exploration", &self.exploration);
        state.insert_rng("sampling", &self.sampling);
        state.insert_rng("dropout", &self.dropout);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.policy.load(state)?;
        state.load_network("target.", &mut *self.target)?;
        self.optimiser.load("optimiser.", state)?;
        self.replay.load("replay.", state)?;
        self.calls = state.get_u64("calls")?;
        self.exploration = state.rng("exploration")?;
        self.sampling = state.rng("sampling")?;
        self.dropout = state.rng("dropout")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;
    use crate::nn::random::normal;

    const ROWS: usize = 24;

    struct Case {
        outputs: Vec<f64>,
        actions: Vec<f32>,
        targets: Vec<f64>,
        weights: Vec<f32>,
    }

    fn case(values: ActionValues) -> Case {
        let mut rng = stream(2, Purpose::Exploration, 0);
        let mut draw = |n: usize| -> Vec<f64> { (0..n).map(|_| normal(&mut rng)).collect() };
        Case {
            outputs: draw(ROWS * Valuation::<f64>::outputs(&values)),
            actions: (0..ROWS).map(|i| (i % values.actions) as f32).collect(),
            targets: draw(ROWS),
            weights: draw(ROWS).iter().map(|x| x.abs() as f32).collect(),
        }
    }

    fn loss(values: ActionValues, case: &Case, gradients: &mut [f64]) -> f64 {
        let mut outputs = case.outputs.clone();
        values.combine(&mut outputs);
        let Case { actions, targets, weights, .. } = case;
        values.loss(&outputs, actions, targets, weights, gradients, &mut Vec::new())
    }

    #[test]
    fn the_loss_and_its_gradient_equal_autograd() {
        for dueling in [false, true] {
            let values = ActionValues { actions: 3, dueling };
            let case = case(values);
            let mut gradients = vec![f64::NAN; case.outputs.len()];
            let found = loss(values, &case, &mut gradients);
            let leaf = Tensor::from_slice(&case.outputs).set_requires_grad(true);
            let rows = leaf.view([ROWS as i64, -1]);
            let q = if dueling {
                let advantages = rows.narrow(1, 0, 3);
                let mean = advantages.mean_dim(1, true, Kind::Double);
                rows.narrow(1, 3, 1) + &advantages - mean
            } else {
                rows
            };
            let actions = Tensor::from_slice(&case.actions).to_kind(Kind::Int64).view([-1, 1]);
            let taken = q.gather(1, &actions, false).squeeze_dim(1);
            let targets = Tensor::from_slice(&case.targets);
            let each = taken.smooth_l1_loss(&targets, tch::Reduction::None, 1.0);
            let weights = Tensor::from_slice(&case.weights).to_kind(Kind::Double);
            let expected = (each * weights).mean(Kind::Double);
            expected.backward();
            assert!((found - expected.double_value(&[])).abs() < 1e-13);
            let expected = Vec::<f64>::try_from(leaf.grad()).expect("doubles");
            for (a, b) in gradients.iter().zip(expected) {
                assert!((a - b).abs() < 1e-14, "{a}, {b}");
            }
        }
    }

    #[test]
    fn the_loss_gradient_equals_finite_differences() {
        for dueling in [false, true] {
            let values = ActionValues { actions: 3, dueling };
            let mut case = case(values);
            let mut gradients = vec![0.0; case.outputs.len()];
            loss(values, &case, &mut gradients);
            let step = 1e-6;
            for i in 0..gradients.len() {
                let middle = case.outputs[i];
                let mut at = |x: f64| {
                    case.outputs[i] = x;
                    loss(values, &case, &mut vec![0.0; gradients.len()])
                };
                let slope = (at(middle + step) - at(middle - step)) / (2.0 * step);
                case.outputs[i] = middle;
                assert!((slope - gradients[i]).abs() < 1e-8, "{slope}, {}", gradients[i]);
            }
        }
    }

    #[test]
    fn exploration_falls_over_its_fraction_and_stays() {
        let exploration = Exploration { fraction: 0.2, initial_eps: 1.0, final_eps: 0.05 };
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} is not {b}");
        close(exploration.at(1.0), 1.0);
        close(exploration.at(0.9), 0.525);
        close(exploration.at(0.8), 0.05);
        close(exploration.at(0.0), 0.05);
    }
}

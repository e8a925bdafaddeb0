//! What PPO and A2C share: an actor with a critic, and collecting rollouts with them.

use std::ops::Range;

use super::interface::{Initial, Setup, head_problem, sde_problems, size_problem, storage};
use super::off_policy::renews_noise;
use crate::env::{Env, Problem, Space};
use crate::nn::gae::{self, Transitions};
use crate::nn::normaliser::RewardNormaliser;
use crate::nn::random::{below, shuffle};
use crate::nn::{
    Head, Initialisation, Network, ParametersMut, Scalar, StateDependentNoise, Storage, Stored,
    Tensors,
};
use crate::policy::{
    LearnedPolicy as _, NetworkPolicy, NeuralSpec, PolicySpec, RecurrentStates, latent, recurrent,
};
use crate::rng::{Purpose, Rng, stream};
use crate::training::{TrialError, World};

/// What an [`ActorCritic`] is built from, beside the agent's network.
#[derive(Debug, Clone, Copy)]
pub(super) struct ActorCriticConfig {
    /// How many copies of the environment act.
    pub environments: usize,
    /// The discount factor.
    pub gamma: f64,
    /// The trace decay of advantages.
    pub gae_lambda: f64,
    /// Whether actor and critic share their hidden layers.
    pub shared_trunk: bool,
    /// Initial logarithm of the standard deviations of continuous actions.
    pub log_std_init: f64,
    /// Steps between two exploration matrices of state-dependent noise, beside that at a rollout's start; `None` without
    /// such noise.
    pub sde_sample_freq: Option<i64>,
    /// Whether observations are normalised by their running moments.
    pub normalize_observations: bool,
    /// Whether rewards are scaled by the running deviation of the return.
    pub normalize_rewards: bool,
}

impl ActorCriticConfig {
    /// A fresh actor for `setup` with its critic. The network has one output more where they share it.
    ///
    /// # Errors
    /// Fails if the engine or the device cannot be had.
    pub(super) fn policy<T: Scalar>(&self, setup: &Setup<'_>) -> anyhow::Result<NetworkPolicy<T>> {
        let head = setup.head()?;
        let network = if self.shared_trunk {
            let mut network = setup.build_network(head.outputs() + 1, orthogonal(1.0), 0)?;
            if matches!(setup.network()?.initialisation, None | Some(Initialisation::Orthogonal)) {
                scale_first_outputs(&mut *network.0, head.outputs(), ACTOR_GAIN);
            }
            network
        } else {
            setup.build_network(head.outputs(), orthogonal(ACTOR_GAIN), 0)?
        };
        let mut policy =
            NetworkPolicy::new(network, head, setup.observation_space, setup.action_space)
                .masked(setup.policy.masks_actions());
        if !self.shared_trunk {
            policy.critic = Some(setup.build_network(1, orthogonal(1.0), 1)?.0);
        }
        policy.log_std.fill(T::of(self.log_std_init));
        if self.sde_sample_freq.is_some() {
            policy = policy.with_sde(self.log_std_init)?;
        }
        Ok(policy.normalised(self.normalize_observations))
    }

    /// How a rollout keeps observations of `space`: as bytes where they are and stay such.
    fn storage(&self, space: &Space) -> Storage {
        if self.normalize_observations { Storage::Float32 } else { storage(space) }
    }
}

/// Stable-Baselines3's initial weights.
fn orthogonal(output_gain: f64) -> Initial {
    Initial { default: Initialisation::Orthogonal, output_gain }
}

/// A stochastic policy and a value function.
pub(super) struct ActorCritic<T: Scalar> {
    /// The actor, and the critic where the actor's network does not have one output more, the value.
    pub policy: NetworkPolicy<T>,
    log_std_gradients: Vec<T>,
    sde: StateDependent<T>,
    /// What recurrent networks remember of the copies' present episodes.
    states: Option<RecurrentStates<T>>,
    rewards: Option<RewardNormaliser>,
    config: ActorCriticConfig,
    /// How observations are kept between two updates.
    storage: Storage,
    exploration: Rng,
    dropout: Rng,
    /// What the network sees of the present observations; empty after a restart.
    present: Vec<f32>,
    /// Scratch: the actor's outputs, and actions as the environments take them.
    outputs: Vec<T>,
    bounded: Vec<f32>,
    scaled_rewards: Vec<f64>,
}

/// State-dependent noise on rows of actions: a normal distribution of each.
#[derive(Default)]
struct StateDependent<T> {
    noise: Vec<T>,
    variances: Vec<T>,
    /// Logarithms of the standard deviations.
    log_std: Vec<T>,
}

impl<T: Scalar> StateDependent<T> {
    /// The standard deviations by rows of latent features.
    fn spread(&mut self, sde: &StateDependentNoise<T>, features: &[T]) {
        sde.variances(features, &mut self.variances);
        self.log_std.clear();
        self.log_std.extend(self.variances.iter().map(|variance| T::of(0.5) * variance.ln()));
    }
}

/// The place of a row's log standard deviations: all rows have the same, or each its own.
pub(super) fn log_std_row(head: &Head, log_std: usize, row: usize) -> Range<usize> {
    let width = head.log_std_len();
    if log_std == width { 0..width } else { row * width..(row + 1) * width }
}

/// Rows that a network sees at a time where they have to be made of bytes first. The native engine computes some rows
/// together, of whose number this is a multiple, so that it gives the same numbers as for all rows at once.
const BATCH: usize = 240;

/// What was seen and done between two updates. Row `t * environments + i` is copy `i` at step `t`.
#[derive(Debug, Clone, Default)]
pub(super) struct Rollout<T> {
    /// What the network saw; or the observations that it saw, where they are bytes.
    seen: Stored,
    /// The actions drawn, before they were cut to the action space.
    pub actions: Vec<f32>,
    /// Which actions were valid, where the policy is masked: a row of flags a step.
    masks: Vec<bool>,
    /// Their log-probabilities then.
    pub log_probs: Vec<T>,
    /// The critic's values then.
    pub values: Vec<T>,
    /// Generalised advantage estimates.
    pub advantages: Vec<T>,
    /// What the critic should have said: advantages plus values.
    pub returns: Vec<T>,
    rewards: Vec<T>,
    next_values: Vec<T>,
    terminated: Vec<bool>,
    ended: Vec<bool>,
    /// What the network sees of the last observations of truncated episodes, and their rows.
    finals: Vec<f32>,
    final_rows: Vec<usize>,
    /// What recurrent networks remembered before each row, and before those last observations.
    states: RecurrentStates<T>,
    final_states: RecurrentStates<T>,
}

impl<T: Scalar> Rollout<T> {
    /// Environment steps in it.
    pub(super) fn rows(&self) -> usize {
        self.rewards.len()
    }

    fn clear(&mut self) {
        self.seen.clear();
        self.actions.clear();
        self.masks.clear();
        self.log_probs.clear();
        self.values.clear();
        self.rewards.clear();
        self.terminated.clear();
        self.ended.clear();
        self.finals.clear();
        self.final_rows.clear();
        self.states.clear();
        self.final_states.clear();
    }

    /// 1 − Var(returns − values) / Var(returns): how much of the returns the critic foresaw. NaN where they
    /// do not vary.
    pub(super) fn explained_variance(&self) -> f64 {
        let variance = |values: &dyn Fn(usize) -> f64| {
            let n = self.rows() as f64;
            let mean = (0..self.rows()).map(values).sum::<f64>() / n;
            (0..self.rows()).map(|i| (values(i) - mean).powi(2)).sum::<f64>() / n
        };
        let residual = variance(&|i| self.returns[i].as_f64() - self.values[i].as_f64());
        1.0 - residual / variance(&|i| self.returns[i].as_f64())
    }
}

/// A part of a rollout, its rows in the order of learning, with the network's answers and the loss's
/// gradients at them.
#[derive(Debug, Clone, Default)]
pub(super) struct Minibatch<T> {
    /// What the network sees.
    pub features: Vec<f32>,
    /// Actions taken.
    pub actions: Vec<f32>,
    /// Which actions were valid, where the policy is masked.
    pub masks: Vec<bool>,
    /// Their log-probabilities when they were taken.
    pub old_log_probs: Vec<T>,
    /// The critic's values then.
    pub old_values: Vec<T>,
    /// Advantages.
    pub advantages: Vec<T>,
    /// Value targets.
    pub returns: Vec<T>,
    /// Of recurrent networks: how many rows each sequence has, the steps of an episode one after another, and what they
    /// remembered before its first one.
    pub lengths: Vec<usize>,
    /// See `lengths`.
    pub states: RecurrentStates<T>,
    /// The actor's outputs now.
    pub outputs: Vec<T>,
    /// The critic's values now.
    pub values: Vec<T>,
    /// The loss's gradient at `outputs`.
    pub grad_outputs: Vec<T>,
    /// The loss's gradient at `values`.
    pub grad_values: Vec<T>,
}

impl<T: Scalar> Minibatch<T> {
    /// How many rows.
    pub(super) fn rows(&self) -> usize {
        self.returns.len()
    }

    /// Copies `rows` of `rollout`, but for what the network saw.
    fn gather(&mut self, rollout: &Rollout<T>, rows: &[usize]) {
        fn copy<N: Copy>(from: &[N], rows: &[usize], total: usize, to: &mut Vec<N>) {
            let width = from.len() / total;
            to.clear();
            for &row in rows {
                to.extend_from_slice(&from[row * width..(row + 1) * width]);
            }
        }
        let total = rollout.rows();
        copy(&rollout.actions, rows, total, &mut self.actions);
        copy(&rollout.masks, rows, total, &mut self.masks);
        copy(&rollout.log_probs, rows, total, &mut self.old_log_probs);
        copy(&rollout.values, rows, total, &mut self.old_values);
        copy(&rollout.advantages, rows, total, &mut self.advantages);
        copy(&rollout.returns, rows, total, &mut self.returns);
    }

    /// Cuts `rows` of `rollout`, in which so many copies acted, into sequences: a new one where an episode begins, and where
    /// no row of the same copy is before it.
    fn sequence(&mut self, rollout: &Rollout<T>, rows: &[usize], copies: usize) {
        self.lengths.clear();
        self.states.clear();
        for (i, &row) in rows.iter().enumerate() {
            let before = i.checked_sub(1).map(|i| rows[i]);
            match (before, self.lengths.last_mut()) {
                (Some(before), Some(length))
                    if row == before + copies && !rollout.ended[before] =>
                {
                    *length += 1;
                }
                _ => {
                    self.lengths.push(1);
                    self.states.push_row(&rollout.states, row, rollout.rows());
                }
            }
        }
    }
}

/// Row numbers in a random order, cut into minibatches; the last one may be smaller.
#[derive(Debug, Clone, Default)]
pub(super) struct Order {
    rows: Vec<usize>,
}

impl Order {
    /// A new order of `rows` rows. It does not depend on the last one, so that it need not be saved.
    pub(super) fn shuffle(&mut self, rows: usize, rng: &mut Rng) {
        self.rows.clear();
        self.rows.extend(0..rows);
        shuffle(rng, &mut self.rows);
    }

    /// All rows of so many `copies` copy by copy, in the order of their steps, from a random one on: what recurrent networks
    /// learn from in sequences.
    pub(super) fn rotate(&mut self, rows: usize, copies: usize, rng: &mut Rng) {
        self.rows.clear();
        self.rows.extend((0..copies).flat_map(|copy| (copy..rows).step_by(copies)));
        self.rows.rotate_left(below(rng, rows));
    }

    /// The minibatches.
    pub(super) fn minibatches(&self, batch_size: usize) -> impl Iterator<Item = &[usize]> {
        self.rows.chunks(batch_size)
    }
}

/// What makes an actor-critic algorithm impossible with this policy on `env`.
pub(super) fn problems(
    policy: &PolicySpec,
    env: &dyn Env,
    normalize_observations: bool,
) -> Vec<Problem> {
    let mut problems: Vec<_> = head_problem(policy, env).into_iter().collect();
    let observations = env.observation_space();
    if normalize_observations && !observations.box_features().contains(&true) {
        let message =
            format!("observations of {observations} are one-hot and stay as they are: use false");
        let path = ["training", "algorithm", "normalize_observations"];
        problems.push(Problem::new(&path, message));
    }
    problems
}

/// Why a rollout of so many steps in each of the copies of `env` is too long, or impossible with this policy.
pub(super) fn rollout_problems(
    config: ActorCriticConfig,
    policy: &PolicySpec,
    env: &dyn Env,
    n_steps: usize,
) -> Vec<Problem> {
    let observations = env.observation_space();
    let seen = observations.features() * config.storage(observations).bytes();
    // Beside what was seen and done: rewards, values, advantages, returns and the like.
    let mut width = seen.div_ceil(size_of::<f32>()) + env.action_space().len() + 8;
    if let PolicySpec::Neural(NeuralSpec { recurrent: Some(recurrent), .. }) = policy {
        let networks = if config.shared_trunk { 1 } else { 2 };
        width = width.saturating_add(recurrent.state_len().saturating_mul(networks));
    }
    let rows = config.environments.saturating_mul(n_steps);
    let mut problems: Vec<_> = size_problem("n_steps", rows, width as u64).into_iter().collect();
    if config.sde_sample_freq.is_some() {
        problems.extend(sde_problems(config.environments, policy, env));
    }
    problems
}

impl<T: Scalar> ActorCritic<T> {
    /// Fresh networks for `setup`.
    ///
    /// # Errors
    /// Fails if the engine or the device cannot be had.
    pub(super) fn new(config: ActorCriticConfig, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let mut policy = config.policy::<T>(setup)?;
        let NetworkPolicy { network, critic, .. } = &mut policy;
        let copies = config.environments;
        Ok(Self {
            states: RecurrentStates::new(&mut **network, critic.as_mut(), copies),
            log_std_gradients: vec![T::zero(); policy.log_std.len()],
            policy,
            sde: StateDependent::default(),
            rewards: config.normalize_rewards.then(|| RewardNormaliser::new(copies, config.gamma)),
            exploration: stream(setup.seed, Purpose::Exploration, 0),
            dropout: stream(setup.seed, Purpose::Minibatch, 1),
            present: Vec::new(),
            outputs: Vec::new(),
            bounded: Vec::new(),
            scaled_rewards: vec![0.0; copies],
            storage: config.storage(setup.observation_space),
            config,
        })
    }

    /// How the actor's outputs become actions.
    pub(super) fn head(&self) -> Head {
        self.policy.head.clone()
    }

    /// A rollout of nothing.
    pub(super) fn rollout(&self) -> Rollout<T> {
        Rollout { seen: Stored::new(self.storage), ..Rollout::default() }
    }

    /// Plays `n_steps` steps in every copy and estimates advantages, over [`ActorCritic::rollout`].
    ///
    /// # Errors
    /// Fails if the environment fails or the actor's outputs stop being finite.
    pub(super) fn collect(
        &mut self,
        world: &mut World,
        n_steps: usize,
        rollout: &mut Rollout<T>,
    ) -> Result<(), TrialError> {
        rollout.clear();
        if self.present.is_empty() {
            self.observe(world);
        }
        for step in 0..n_steps {
            if let (Some(sde), Some(freq)) = (&mut self.policy.sde, self.config.sde_sample_freq)
                && renews_noise(step, freq)
            {
                sde.reset(self.config.environments, &mut self.exploration);
            }
            rollout.seen.extend(match self.storage {
                Storage::Float32 => &self.present,
                Storage::Uint8 => world.envs().observations(),
            });
            self.act(world, rollout)?;
            let envs = world.envs();
            let rewards = match &mut self.rewards {
                None => envs.rewards(),
                Some(normaliser) => {
                    let ends = envs.terminated().iter().zip(envs.truncated());
                    let ended = ends.map(|(terminated, truncated)| *terminated || *truncated);
                    normaliser.apply(envs.rewards(), ended, &mut self.scaled_rewards);
                    &self.scaled_rewards
                }
            };
            for (i, &reward) in rewards.iter().enumerate() {
                let terminated = envs.terminated()[i];
                let ended = terminated || envs.truncated()[i];
                if let Some(last) = envs.final_observation(i)
                    && !terminated
                {
                    rollout.final_rows.push(rollout.rewards.len());
                    self.policy.observe(last, &mut rollout.finals);
                    if let Some(states) = &self.states {
                        rollout.final_states.push_row(states, i, self.config.environments);
                    }
                }
                if let Some(states) = &mut self.states
                    && ended
                {
                    states.forget(i, self.config.environments);
                }
                rollout.rewards.push(T::of(reward));
                rollout.terminated.push(terminated);
                rollout.ended.push(ended);
            }
            self.observe(world);
        }
        self.estimate(rollout);
        Ok(())
    }

    /// Draws an action for every copy from what is present, and steps the environments.
    fn act(&mut self, world: &mut World, rollout: &mut Rollout<T>) -> Result<(), TrialError> {
        let NetworkPolicy { network, head, log_std, sde, critic, .. } = &mut self.policy;
        let (copies, width) = (self.config.environments, network.outputs());
        self.outputs.resize(copies * width, T::zero());
        match &mut self.states {
            None => network.forward(&self.present, copies, &mut self.outputs),
            Some(states) => {
                rollout.states.push_row(states, 0, 1);
                let first = rollout.values.len();
                rollout.values.resize(first + copies, T::zero());
                let (critic, values) = (critic.as_mut(), &mut rollout.values[first..]);
                let shares = critic.is_none();
                let outputs = &mut self.outputs;
                states.step(&mut **network, critic, &self.present, copies, outputs, values);
                if shares {
                    let last = outputs.chunks_exact(width).map(|row| row[width - 1]);
                    values.iter_mut().zip(last).for_each(|(value, last)| *value = last);
                }
            }
        }
        if self.outputs.iter().any(|output| !output.is_finite()) {
            let (what, metrics) = ("the actor's output".into(), Default::default());
            return Err(TrialError::NotFinite { what, metrics });
        }
        if let Some(masks) = world.envs().action_masks() {
            mask_rows(head, &mut self.outputs, width, masks);
            rollout.masks.extend_from_slice(masks);
        }
        let mut log_std = &*log_std;
        if let Some(sde) = sde {
            let features = latent(&mut **network).acting_features();
            sde.noise(features, &mut self.sde.noise);
            if self.sde.noise.iter().any(|noise| !noise.is_finite()) {
                let (what, metrics) = ("the noise on the actions".into(), Default::default());
                return Err(TrialError::NotFinite { what, metrics });
            }
            self.sde.spread(sde, features);
            log_std = &self.sde.log_std;
        }
        let first = rollout.actions.len();
        rollout.actions.resize(first + copies * head.action_len(), 0.0);
        let actions = &mut rollout.actions[first..];
        let rows =
            self.outputs.chunks_exact(width).zip(actions.chunks_exact_mut(head.action_len()));
        for (row, (outputs, action)) in rows.enumerate() {
            let outputs = &outputs[..head.outputs()];
            let log_std = &log_std[log_std_row(head, log_std.len(), row)];
            if sde.is_some() {
                let noise = &self.sde.noise[row * outputs.len()..];
                for (action, (&mean, &noise)) in action.iter_mut().zip(outputs.iter().zip(noise)) {
                    *action = (mean + noise).as_f32();
                }
            } else {
                head.draw(outputs, log_std, &mut self.exploration, action);
            }
            rollout.log_probs.push(head.evaluate(outputs, log_std, action).log_prob);
        }
        self.bounded.clear();
        self.bounded.extend_from_slice(actions);
        self.policy.bound(&mut self.bounded);
        Ok(world.step(&self.bounded)?)
    }

    /// Learns the moments of the present observations and turns them into what the network sees.
    fn observe(&mut self, world: &World) {
        self.policy.learn_moments(world.envs().observations());
        self.present.clear();
        for i in 0..self.config.environments {
            self.policy.observe(world.envs().observation(i), &mut self.present);
        }
    }

    /// Values of all states of the rollout, in one batch since the critic has not changed meanwhile, and
    /// the advantages that follow from them. Those of recurrent networks are known since they acted.
    fn estimate(&mut self, rollout: &mut Rollout<T>) {
        let (rows, copies) = (rollout.rows(), self.config.environments);
        let mut values = std::mem::take(&mut rollout.values);
        match &rollout.seen {
            _ if self.states.is_some() => {}
            Stored::Float32(features) => self.values(features, None, &mut values),
            Stored::Uint8(_) => {
                let mut features = Vec::new();
                for first in (0..rows).step_by(BATCH) {
                    self.see(rollout, first..rows.min(first + BATCH), &mut features);
                    self.values(&features, None, &mut values);
                }
            }
        }
        rollout.next_values.clear();
        rollout.next_values.extend_from_slice(&values[copies..]);
        let (present, states) = (self.present.clone(), self.states.clone());
        self.values(&present, states, &mut rollout.next_values);
        let mut finals = Vec::new();
        let states = self.states.is_some().then(|| rollout.final_states.clone());
        self.values(&rollout.finals, states, &mut finals);
        for (&row, &value) in rollout.final_rows.iter().zip(&finals) {
            rollout.next_values[row] = value;
        }
        for (value, &terminated) in rollout.next_values.iter_mut().zip(&rollout.terminated) {
            if terminated {
                *value = T::zero();
            }
        }
        rollout.values = values;
        rollout.advantages.resize(rows, T::zero());
        let transitions = Transitions {
            environments: copies,
            rewards: &rollout.rewards,
            values: &rollout.values,
            next_values: &rollout.next_values,
            ended: &rollout.ended,
        };
        let ActorCriticConfig { gamma, gae_lambda, .. } = self.config;
        gae::advantages(transitions, gamma, gae_lambda, &mut rollout.advantages);
        rollout.returns.clear();
        let pairs = rollout.advantages.iter().zip(&rollout.values);
        rollout.returns.extend(pairs.map(|(&advantage, &value)| advantage + value));
    }

    /// Replaces `features` by what the network saw in these rows.
    fn see(
        &self,
        rollout: &Rollout<T>,
        rows: impl Iterator<Item = usize>,
        features: &mut Vec<f32>,
    ) {
        features.clear();
        let width = rollout.seen.len() / rollout.rows();
        let mut observation = Vec::new();
        for row in rows {
            let row = row * width..(row + 1) * width;
            match self.storage {
                Storage::Float32 => rollout.seen.read(row, features),
                Storage::Uint8 => {
                    observation.clear();
                    rollout.seen.read(row, &mut observation);
                    self.policy.observe(&observation, features);
                }
            }
        }
    }

    /// Replaces `batch` by `rows` of `rollout`.
    pub(super) fn gather(&self, rollout: &Rollout<T>, rows: &[usize], batch: &mut Minibatch<T>) {
        self.see(rollout, rows.iter().copied(), &mut batch.features);
        batch.gather(rollout, rows);
        if self.states.is_some() {
            batch.sequence(rollout, rows, self.config.environments);
        }
    }

    /// Puts the rows of `rollout` into the order in which they are learned from.
    pub(super) fn order(&self, rollout: &Rollout<T>, order: &mut Order, rng: &mut Rng) {
        match self.states {
            None => order.shuffle(rollout.rows(), rng),
            Some(_) => order.rotate(rollout.rows(), self.config.environments, rng),
        }
    }

    /// Appends the critic's values of `features`, which recurrent networks see after `states`.
    fn values(
        &mut self,
        features: &[f32],
        states: Option<RecurrentStates<T>>,
        values: &mut Vec<T>,
    ) {
        let NetworkPolicy { network: actor, critic, .. } = &mut self.policy;
        let rows = features.len() / actor.inputs();
        let own = critic.is_some();
        let network = critic.as_mut().unwrap_or(actor);
        let width = network.outputs();
        self.outputs.resize(rows * width, T::zero());
        match states {
            None => network.forward(features, rows, &mut self.outputs),
            Some(RecurrentStates { actor, critic }) => {
                let mut states = if own { critic } else { actor };
                let outputs = &mut self.outputs;
                recurrent(&mut **network).step(features, rows, &mut states, outputs);
            }
        }
        values.extend(self.outputs.chunks_exact(width).map(|row| row[width - 1]));
    }

    /// Fills in `batch`'s outputs and values, keeping what [`ActorCritic::backward`] needs.
    pub(super) fn forward(&mut self, batch: &mut Minibatch<T>) {
        let (rows, outputs) = (batch.rows(), self.policy.head.outputs());
        batch.outputs.resize(rows * outputs, T::zero());
        batch.values.resize(rows, T::zero());
        batch.grad_outputs.resize(rows * outputs, T::zero());
        batch.grad_values.resize(rows, T::zero());
        let NetworkPolicy { network: actor, critic, sde, .. } = &mut self.policy;
        let Minibatch { features, lengths, states, .. } = batch;
        let rng = &mut self.dropout;
        let mut pass =
            |network: &mut dyn Network<T>, states: &[T], outputs: &mut [T]| match self.states {
                None => network.forward_train(features, rows, rng, outputs),
                Some(_) => {
                    recurrent(network).forward_sequences(features, lengths, states, rng, outputs);
                }
            };
        match critic {
            Some(critic) => {
                pass(&mut **actor, &states.actor, &mut batch.outputs);
                pass(&mut **critic, &states.critic, &mut batch.values);
            }
            None => {
                let width = outputs + 1;
                self.outputs.resize(rows * width, T::zero());
                pass(&mut **actor, &states.actor, &mut self.outputs);
                for (i, row) in self.outputs.chunks_exact(width).enumerate() {
                    batch.outputs[i * outputs..(i + 1) * outputs].copy_from_slice(&row[..outputs]);
                    batch.values[i] = row[outputs];
                }
            }
        }
        if let Some(sde) = sde {
            self.sde.spread(sde, latent(&mut **actor).learning_features());
        }
        if self.policy.masked {
            mask_rows(&self.policy.head, &mut batch.outputs, outputs, &batch.masks);
        }
    }

    /// The log standard deviations, of all rows or of each of the last [`ActorCritic::forward`]'s, with the place for their
    /// gradient, zeroed.
    pub(super) fn log_std(&mut self) -> (&[T], &mut [T]) {
        let log_std =
            if self.policy.sde.is_some() { &self.sde.log_std } else { &self.policy.log_std };
        self.log_std_gradients.clear();
        self.log_std_gradients.resize(log_std.len(), T::zero());
        (log_std, &mut self.log_std_gradients)
    }

    /// Turns `batch`'s gradients at outputs and values, and those of [`ActorCritic::log_std`], into parameter gradients,
    /// replacing older ones. State-dependent noise is no reason to learn other latent features (`learn_features` of
    /// Stable-Baselines3 is false).
    pub(super) fn backward(&mut self, batch: &Minibatch<T>) {
        let NetworkPolicy { network: actor, critic, head, sde, .. } = &mut self.policy;
        actor.zero_gradients();
        if let Some(sde) = sde {
            for (gradient, &variance) in self.log_std_gradients.iter_mut().zip(&self.sde.variances)
            {
                *gradient *= T::of(0.5) / variance;
            }
            sde.zero_gradients();
            let features = latent(&mut **actor).learning_features();
            sde.backward_variances(features, &self.log_std_gradients, None);
        }
        match critic {
            Some(critic) => {
                critic.zero_gradients();
                actor.backward(&batch.grad_outputs, None);
                critic.backward(&batch.grad_values, None);
            }
            None => {
                let outputs = head.outputs();
                self.outputs.clear();
                for (row, &value) in
                    batch.grad_outputs.chunks_exact(outputs).zip(&batch.grad_values)
                {
                    self.outputs.extend_from_slice(row);
                    self.outputs.push(value);
                }
                actor.backward(&self.outputs, None);
            }
        }
    }

    /// How many parameters there are.
    pub(super) fn parameter_count(&self) -> usize {
        let critic = self.policy.critic.as_ref().map_or(0, |critic| critic.parameters().len());
        let sde = self.policy.sde.as_ref().map_or(0, |sde| sde.log_std.len());
        self.policy.network.parameters().len() + critic + self.policy.log_std.len() + sde
    }

    /// All parameters with their gradients, for an optimiser: actor, log standard deviations, critic.
    pub(super) fn parameters(&mut self) -> [ParametersMut<'_, T>; 3] {
        let NetworkPolicy { network: actor, critic, log_std, sde, .. } = &mut self.policy;
        let log_std = match sde {
            Some(sde) => sde.parameters(),
            None => ParametersMut { values: log_std, gradients: &mut self.log_std_gradients },
        };
        let critic = match critic {
            Some(critic) => critic.parameters_and_gradients(),
            None => ParametersMut { values: &mut [], gradients: &mut [] },
        };
        [actor.parameters_and_gradients(), log_std, critic]
    }

    /// The environments were restarted.
    pub(super) fn restart(&mut self) {
        self.present.clear();
        if let Some(states) = &mut self.states {
            states.forget_all();
        }
        if let Some(rewards) = &mut self.rewards {
            rewards.restart();
        }
    }

    /// Saves everything that the next rollout depends on.
    pub(super) fn save(&self, state: &mut Tensors) {
        self.policy.save(state);
        if let Some(rewards) = &self.rewards {
            rewards.moments.save("returns.", state);
        }
        state.insert_rng("exploration", &self.exploration);
        state.insert_rng("dropout", &self.dropout);
    }

    /// Restores what [`ActorCritic::save`] saved.
    ///
    /// # Errors
    /// Fails if something is missing or does not fit.
    pub(super) fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.policy.load(state)?;
        if let Some(rewards) = &mut self.rewards {
            rewards.moments.load("returns.", state)?;
        }
        self.exploration = state.rng("exploration")?;
        self.dropout = state.rng("dropout")?;
        Ok(())
    }
}

/// [`Head::mask`] of rows of `width` outputs, the head's first, by as many rows of flags.
fn mask_rows<T: Scalar>(head: &Head, outputs: &mut [T], width: usize, masks: &[bool]) {
    let rows = outputs.len() / width;
    let masks = masks.chunks_exact(masks.len() / rows);
    for (row, mask) in outputs.chunks_exact_mut(width).zip(masks) {
        head.mask(&mut row[..head.outputs()], mask);
    }
}

/// Scale of the actor's last layer under orthogonal initialisation: nearly equal probabilities at first.
const ACTOR_GAIN: f64 = 0.01;

/// Multiplies the last layer's weights of the first `outputs` outputs.
fn scale_first_outputs<T: Scalar>(network: &mut dyn Network<T>, outputs: usize, factor: f64) {
    let layout = network.layout();
    let weight = layout[layout.len() - 2].clone();
    let inputs = weight.shape[1];
    for value in &mut network.parameters_mut()[weight.offset..weight.offset + outputs * inputs] {
        *value *= T::of(factor);
    }
}

/// The mean of the squared errors of `values`, times `weight`, and its gradient at them. With `clip` the
/// values may not move further than that from `old_values` (Stable-Baselines3's `clip_range_vf`).
pub(super) fn value_loss<T: Scalar>(
    values: &[T],
    old_values: &[T],
    returns: &[T],
    clip: Option<f64>,
    weight: f64,
    gradients: &mut [T],
) -> f64 {
    let n = values.len() as f64;
    let scale = T::of(2.0 * weight / n);
    let mut sum = T::zero();
    for (i, gradient) in gradients.iter_mut().enumerate() {
        let (value, passes) = match clip.map(T::of) {
            None => (values[i], true),
            Some(clip) => {
                let moved = values[i] - old_values[i];
                (old_values[i] + moved.max(-clip).min(clip), moved.abs() <= clip)
            }
        };
        let error = value - returns[i];
        sum += error * error;
        *gradient = if passes { scale * error } else { T::zero() };
    }
    sum.as_f64() / n
}

/// Shifts and scales to mean 0 and (sample) standard deviation 1; a single value stays as it is.
pub(super) fn normalise<T: Scalar>(values: &mut [T]) {
    if values.len() < 2 {
        return;
    }
    let n = T::of(values.len() as f64);
    let mean = values.iter().copied().sum::<T>() / n;
    let squares = values.iter().map(|&value| (value - mean) * (value - mean)).sum::<T>();
    let deviation = (squares / (n - T::one())).sqrt() + T::of(1e-8);
    for value in values {
        *value = (*value - mean) / deviation;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tch::{Kind, Tensor};

    use super::*;
    use crate::nn::random::normal;

    /// Every kind of head.
    pub(crate) fn heads() -> [Head; 4] {
        let several = Head::Categorical { nvec: vec![3, 2] };
        [Head::categorical(3), several, Head::Bernoulli, Head::Gaussian { dimensions: 2 }]
    }

    /// A minibatch whose ratios lie on both sides of the clip range, with log standard deviations.
    pub(crate) fn minibatch(head: &Head, rows: usize) -> (Minibatch<f64>, Vec<f64>) {
        let mut rng = stream(11, Purpose::Exploration, 0);
        let mut draw = |n: usize| -> Vec<f64> { (0..n).map(|_| normal(&mut rng)).collect() };
        let (width, len) = (head.outputs(), head.action_len());
        let log_std: Vec<f64> = draw(head.log_std_len()).iter().map(|x| 0.3 * x).collect();
        let mut batch = Minibatch {
            outputs: draw(rows * width),
            values: draw(rows),
            old_values: draw(rows),
            returns: draw(rows),
            advantages: draw(rows),
            old_log_probs: draw(rows),
            grad_outputs: vec![f64::NAN; rows * width],
            grad_values: vec![f64::NAN; rows],
            actions: match head {
                Head::Gaussian { .. } => draw(rows * len).iter().map(|x| *x as f32).collect(),
                Head::Categorical { nvec } => {
                    (0..rows).flat_map(|i| nvec.iter().map(move |n| (i % n) as f32)).collect()
                }
                Head::Bernoulli => (0..rows).map(|i| (i % 2) as f32).collect(),
            },
            features: Vec::new(),
            masks: Vec::new(),
            lengths: Vec::new(),
            states: RecurrentStates::default(),
        };
        for i in 0..rows {
            let outputs = &batch.outputs[i * width..(i + 1) * width];
            let action = &batch.actions[i * len..(i + 1) * len];
            let log_prob = head.evaluate(outputs, &log_std, action).log_prob;
            batch.old_log_probs[i] = log_prob + 0.3 * batch.old_log_probs[i];
        }
        (batch, log_std)
    }

    /// Log-probabilities and entropies of a minibatch by libtorch's operations.
    pub(crate) struct Reference {
        outputs: Tensor,
        log_std: Tensor,
        pub log_probs: Tensor,
        pub entropies: Tensor,
    }

    pub(crate) fn autograd(head: &Head, batch: &Minibatch<f64>, log_std: &[f64]) -> Reference {
        let rows = batch.rows() as i64;
        let leaf = |values: &[f64]| Tensor::from_slice(values).set_requires_grad(true);
        let (outputs, log_std) = (leaf(&batch.outputs), leaf(log_std));
        let z = outputs.view([rows, head.outputs() as i64]);
        let actions = Tensor::from_slice(&batch.actions).view([rows, -1]);
        let sum = |each: Tensor| each.sum_dim_intlist(1, false, None::<Kind>);
        let discrete = |log_probs: Tensor, actions: Tensor| {
            let chosen = log_probs.gather(1, &actions.to_kind(Kind::Int64), false);
            (sum(chosen), -sum(log_probs.exp() * &log_probs))
        };
        let (log_probs, entropies) = match head {
            Head::Categorical { nvec } => {
                let sizes: Vec<i64> = nvec.iter().map(|&n| n as i64).collect();
                let parts = z.split_with_sizes(sizes, 1);
                let parts = parts.iter().enumerate().map(|(i, part)| {
                    discrete(part.log_softmax(1, Kind::Double), actions.narrow(1, i as i64, 1))
                });
                parts.reduce(|a, b| (a.0 + b.0, a.1 + b.1)).expect("a part")
            }
            Head::Bernoulli => {
                discrete(Tensor::cat(&[z.log_sigmoid(), (-&z).log_sigmoid()], 1), actions)
            }
            Head::Gaussian { .. } => {
                let distance = (actions.to_kind(Kind::Double) - &z) / log_std.exp();
                let half_ln_tau = 0.5 * std::f64::consts::TAU.ln();
                let log_probs = sum(distance.square() * -0.5 - &log_std - half_ln_tau);
                (log_probs, sum(&log_std + z.zeros_like() + (0.5 + half_ln_tau)))
            }
        };
        Reference { outputs, log_std, log_probs, entropies }
    }

    impl Reference {
        /// Compares with what `backward` left.
        pub(crate) fn assert_gradients(&self, grad_outputs: &[f64], grad_log_std: &[f64]) {
            let mut pairs = vec![(grad_outputs, &self.outputs)];
            if !grad_log_std.is_empty() {
                pairs.push((grad_log_std, &self.log_std));
            }
            for (found, leaf) in pairs {
                let expected = Vec::<f64>::try_from(leaf.grad()).expect("doubles");
                assert_eq!(found.len(), expected.len());
                for (a, b) in found.iter().zip(expected) {
                    assert!((a - b).abs() <= 1e-13 + 1e-11 * b.abs(), "{a}, {b}");
                }
            }
        }
    }

    /// Rollouts of bytes hold what rollouts of numbers do, to the last bit.
    #[test]
    fn observations_kept_as_bytes_are_learned_from_as_if_they_were_numbers() {
        let of = |value| serde_json::from_value(value).expect("an agent");
        let policy: PolicySpec = of(serde_json::json!({ "type": "neural", "hidden": [8],
            "observation": { "type": "pixels", "width": 10, "height": 6 } }));
        let environment = serde_json::from_value(serde_json::json!({ "id": "CartPole-v1" }));
        let environment = environment.expect("an environment");
        let config = ActorCriticConfig {
            environments: 3,
            gamma: 0.99,
            gae_lambda: 0.95,
            shared_trunk: false,
            log_std_init: 0.0,
            sde_sample_freq: None,
            normalize_observations: false,
            normalize_rewards: false,
        };
        let schedule = Default::default();
        let run = |storage: Option<Storage>| {
            let mut world = World::new(&environment, &policy, 3, 5, &schedule).expect("a world");
            let setup = Setup {
                policy: &policy,
                schedule: &schedule,
                observation_space: world.observation_space(),
                action_space: world.action_space(),
                seed: 5,
            };
            let mut agent = ActorCritic::<f32>::new(config, &setup).expect("on any CPU");
            agent.storage = storage.unwrap_or(agent.storage);
            world.restart(0, Default::default()).expect("a fresh start");
            let (mut rollout, mut batch) = (agent.rollout(), Minibatch::default());
            // More rows than are seen at a time.
            agent.collect(&mut world, 131, &mut rollout).expect("nothing diverges");
            agent.gather(&rollout, &[0, 7, 300], &mut batch);
            (rollout.seen, batch.features, rollout.values, rollout.advantages)
        };
        let (bytes, numbers) = (run(None), run(Some(Storage::Float32)));
        assert!(matches!((&bytes.0, &numbers.0), (Stored::Uint8(_), Stored::Float32(_))));
        assert_eq!(bytes.1, numbers.1);
        assert!(bytes.1.iter().any(|&number| 0.0 < number && number < 1.0));
        assert!(bytes.2 == numbers.2 && bytes.3 == numbers.3);
    }

    /// Before anything is learned, sequences give the values and the probabilities that the networks gave step by step,
    /// whether they begin in the middle of an episode, of a rollout or with either; and the critic's values of what a time limit cut
    /// off are those of the whole episode.
    #[test]
    fn recurrent_networks_learn_from_what_they_remembered() {
        const COPIES: usize = 3;
        let of = |value| serde_json::from_value(value).expect("an agent");
        let environment = serde_json::json!({ "id": "CartPole-v1", "max_episode_steps": 9 });
        let environment = serde_json::from_value(environment).expect("an environment");
        for (cell, shared_trunk) in [("lstm", false), ("gru", false), ("lstm", true)] {
            let policy: PolicySpec = of(serde_json::json!({ "type": "neural", "hidden": [8],
                "precision": "float64",
                "recurrent": { "type": cell, "hidden_size": 6, "num_layers": 2 } }));
            let config = ActorCriticConfig {
                environments: COPIES,
                gamma: 0.99,
                gae_lambda: 0.95,
                shared_trunk,
                log_std_init: 0.0,
                sde_sample_freq: None,
                normalize_observations: false,
                normalize_rewards: false,
            };
            let schedule = Default::default();
            let mut world =
                World::new(&environment, &policy, COPIES, 5, &schedule).expect("a world");
            let setup = Setup {
                policy: &policy,
                schedule: &schedule,
                observation_space: world.observation_space(),
                action_space: world.action_space(),
                seed: 5,
            };
            let mut agent = ActorCritic::<f64>::new(config, &setup).expect("on any CPU");
            world.restart(0, Default::default()).expect("a fresh start");
            let (mut rollout, mut batch) = (agent.rollout(), Minibatch::default());
            let mut order = Order::default();
            let mut rng = stream(5, Purpose::Minibatch, 0);
            let close = |found: f64, expected: f64| {
                assert!((found - expected).abs() < 1e-12, "{cell}: {found}, {expected}");
            };
            for _ in 0..2 {
                agent.collect(&mut world, 22, &mut rollout).expect("nothing diverges");
                agent.order(&rollout, &mut order, &mut rng);
                let (mut rows, mut several) = (Vec::new(), 0);
                for minibatch in order.minibatches(20) {
                    agent.gather(&rollout, minibatch, &mut batch);
                    agent.forward(&mut batch);
                    assert_eq!(batch.lengths.iter().sum::<usize>(), minibatch.len());
                    several += usize::from(batch.lengths.iter().any(|&length| length > 5));
                    for (i, outputs) in batch.outputs.chunks_exact(2).enumerate() {
                        close(batch.values[i], batch.old_values[i]);
                        let found = agent.head().evaluate(outputs, &[], &batch.actions[i..=i]);
                        close(found.log_prob, batch.old_log_probs[i]);
                    }
                    rows.extend_from_slice(minibatch);
                }
                assert!(several > 0, "the case tests little");
                rows.sort_unstable();
                assert!(rows.into_iter().eq(0..22 * COPIES), "every row once");
                let (mut whole, width) = (0, agent.policy.network.inputs());
                for (&row, last) in rollout.final_rows.iter().zip(rollout.finals.chunks(width)) {
                    let own: Vec<usize> = (row % COPIES..row + 1).step_by(COPIES).rev().collect();
                    let Some(begin) = own.iter().skip(1).position(|&row| rollout.ended[row]) else {
                        continue;
                    };
                    whole += 1;
                    let mut features = Vec::new();
                    agent.see(&rollout, own[..=begin].iter().rev().copied(), &mut features);
                    features.extend_from_slice(last);
                    let NetworkPolicy { network, critic, .. } = &mut agent.policy;
                    let network = recurrent(&mut **critic.as_mut().unwrap_or(network));
                    let mut states = vec![0.0; network.state_len()];
                    let mut outputs = vec![0.0; network.outputs()];
                    for seen in features.chunks_exact(width) {
                        network.step(seen, 1, &mut states, &mut outputs);
                    }
                    close(rollout.next_values[row], *outputs.last().expect("a value"));
                }
                assert!(whole > 1, "the case tests little");
            }
        }
    }

    #[test]
    fn normalised_advantages_have_mean_zero_and_deviation_one() {
        let mut values = [1.0_f64, 2.0, 6.0];
        normalise(&mut values);
        assert!(values.iter().sum::<f64>().abs() < 1e-12);
        let squares: f64 = values.iter().map(|value| value * value).sum();
        assert!((squares / 2.0 - 1.0).abs() < 1e-7);
        let mut alone = [5.0_f64];
        normalise(&mut alone);
        assert_eq!(alone, [5.0]);
    }
}

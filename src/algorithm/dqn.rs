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
use super::off_policy::{self, off_policy_settings};
use crate::env::{Assessment, Env, Mode, Policy, PolicyError, Problem, Situation, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::heads::argmax;
use crate::nn::random::{below, uniform};
use crate::nn::replay::{self, Priorities, Replay, ReplayConfig};
use crate::nn::{
    Head, Network, Optimiser, OptimiserConfig, Scalar, StateError, Tensors, clip_gradient_norm,
};
use crate::policy::{HeadSpec, LearnedPolicy, NetworkPolicy, PolicySpec, Readout};
use crate::rng::{Purpose, Rng, stream};
use crate::training::annealed::{self, Annealed};
use crate::training::{MetricMeans, TrialError, World};

off_policy_settings! {
    /// Hyperparameters of DQN.
    pub struct DqnSpec {
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
    /// The replay memory's shape.
    fn replay(&self, schedule: &ScheduleSpec, observations: &Space) -> ReplayConfig {
        let collected = annealed::most_samples(schedule, self.train_freq * self.n_envs);
        let priorities = Priorities {
            alpha: self.prioritized_replay_alpha,
            epsilon: self.prioritized_replay_eps,
        };
        ReplayConfig {
            capacity: self.buffer_size.min(collected),
            environments: self.n_envs,
            observation_len: observations.len(),
            observation_storage: storage(observations),
            action_len: 1,
            n_steps: self.n_steps,
            gamma: self.gamma,
            priorities: self.prioritized_replay.then_some(priorities),
        }
    }

    /// A fresh policy for `setup`.
    fn policy<T: Scalar>(&self, setup: &Setup<'_>) -> anyhow::Result<ValuePolicy<T>> {
        let actions = setup.action_space.discrete().unwrap_or(1);
        let outputs = actions + usize::from(self.dueling);
        let network = setup.build_network(outputs, Initial::PYTORCH, 0)?;
        let head = Head::categorical(actions);
        let (observations, actions) = (setup.observation_space, setup.action_space);
        Ok(ValuePolicy(NetworkPolicy::new(network, head, observations, actions)))
    }

    /// ε when `remaining` of the training is left.
    fn exploration_rate(&self, remaining: f64) -> f64 {
        let (from, to) = (self.exploration_initial_eps, self.exploration_final_eps);
        let done = 1.0 - remaining;
        if done >= self.exploration_fraction {
            to
        } else {
            from + (to - from) * done / self.exploration_fraction
        }
    }
}

impl AlgorithmSettings for DqnSpec {
    fn memory_bytes(&self, schedule: &ScheduleSpec, observations: &Space, _: &Space) -> u64 {
        self.replay(schedule, observations).bytes_while_saved()
    }

    fn environments(&self) -> usize {
        self.n_envs
    }

    fn convolutional(&self) -> bool {
        true
    }

    fn supports(&self, actions: &Space) -> bool {
        actions.discrete().is_some()
    }

    fn problems(&self, policy: &PolicySpec, schedule: &ScheduleSpec, _: &dyn Env) -> Vec<Problem> {
        let mut problems =
            annealed::problems(&[("learning_rate", Some(self.learning_rate))], schedule);
        if !annealed::is_bounded(schedule) {
            problems.push(Problem::new(
                &["training", "schedule"],
                "dqn explores less and less over the schedule's `steps` or `episodes`: set one of them",
            ));
        }
        if policy.head() == Some(HeadSpec::Sigmoid) {
            let message = "dqn has one value for each action: leave `head` out";
            problems.push(Problem::new(&["policy", "head"], message));
        }
        problems
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => self.policy::<T>(setup)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => Dqn::<T>::new(self.clone(), setup)?)
    }
}

/// Acts by the greatest action value; exploring is the algorithm's business.
struct ValuePolicy<T: Scalar>(NetworkPolicy<T>);

impl<T: Scalar> Policy for ValuePolicy<T> {
    fn act(
        &mut self,
        situation: Situation<'_>,
        _: Mode,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        self.0.act(situation, Mode::Greedy, rng, action)
    }

    fn assess(&mut self, situation: Situation<'_>) -> Option<Assessment> {
        let actions = self.0.head.outputs();
        let mut outputs = self.0.predict(situation.observation).to_vec();
        let dueling = outputs.len() > actions;
        ActionValues { actions, dueling }.combine(&mut outputs);
        let q_values = outputs[..actions].iter().map(|value| value.as_f64()).collect();
        Some(Assessment { q_values, ..Assessment::default() })
    }
}

impl<T: Scalar> LearnedPolicy for ValuePolicy<T> {
    fn save(&self, state: &mut Tensors) {
        self.0.save(state);
    }

    fn load(&mut self, state: &Tensors) -> Result<(), StateError> {
        self.0.load(state)
    }

    fn engine(&self) -> String {
        self.0.engine()
    }

    fn readout(&self) -> Option<Readout> {
        Some(Readout::ActionValues { dueling: self.0.network.outputs() > self.0.head.outputs() })
    }
}

/// DQN at work.
pub(super) struct Dqn<T: Scalar> {
    spec: DqnSpec,
    schedule: ScheduleSpec,
    /// The network: advantages first and the state's value last where it is dueling, else action values.
    policy: ValuePolicy<T>,
    target: Box<dyn Network<T>>,
    actions: usize,
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
    chosen: Vec<f32>,
}

impl<T: Scalar> Dqn<T> {
    fn new(spec: DqnSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let policy = spec.policy::<T>(setup)?;
        let parameters = policy.0.network.parameters().len();
        Ok(Self {
            replay: Replay::new(spec.replay(setup.schedule, setup.observation_space))?,
            actions: policy.0.head.outputs(),
            policy,
            // The target network begins as a copy.
            target: spec.policy(setup)?.0.network,
            observation_space: setup.observation_space.clone(),
            optimiser: Optimiser::new(OptimiserConfig::ADAM, parameters),
            exploration: stream(setup.seed, Purpose::Exploration, 0),
            sampling: stream(setup.seed, Purpose::Minibatch, 0),
            dropout: stream(setup.seed, Purpose::Minibatch, 1),
            calls: 0,
            before: Vec::new(),
            batch: replay::Batch::default(),
            scratch: Scratch::default(),
            schedule: setup.schedule.clone(),
            spec,
        })
    }

    /// One step in every environment, into the replay memory.
    fn step(&mut self, world: &mut World) -> Result<(), TrialError> {
        let progress = world.progress();
        let epsilon = if progress.steps < self.spec.learning_starts {
            1.0
        } else {
            self.spec.exploration_rate(annealed::remaining(&self.schedule, progress))
        };
        let Scratch { features, outputs, chosen, .. } = &mut self.scratch;
        let copies = self.spec.n_envs;
        let network = &mut self.policy.0.network;
        self.observation_space.encode_all(world.envs().observations(), features);
        outputs.resize(copies * network.outputs(), T::zero());
        network.forward(features, copies, outputs);
        chosen.clear();
        for row in outputs.chunks_exact(network.outputs()) {
            // Two draws whatever happens, so that the stream does not depend on ε.
            let (explores, random) = (
                uniform(&mut self.exploration) < epsilon,
                below(&mut self.exploration, self.actions),
            );
            let action = if explores { random } else { argmax(&row[..self.actions]) };
            chosen.push(action as f32);
        }
        off_policy::step(world, &mut self.replay, chosen, chosen, &mut self.before)?;
        self.calls += 1;
        let interval = (self.spec.target_update_interval / copies as u64).max(1);
        if self.calls.is_multiple_of(interval) {
            off_policy::follow(&mut *self.target, &*self.policy.0.network, self.spec.tau);
        }
        Ok(())
    }

    /// One step of Adam on a minibatch.
    fn learn(&mut self, remaining: f64, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let beta0 = self.spec.prioritized_replay_beta0;
        let beta = beta0 + (1.0 - beta0) * (1.0 - remaining);
        let rows = self.spec.batch_size;
        self.replay.sample(rows, beta, &mut self.sampling, &mut self.batch);
        let scratch = &mut self.scratch;
        let network = &mut self.policy.0.network;
        let width = network.outputs();
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
        let values = ActionValues { actions: self.actions, dueling: self.spec.dueling };
        self.target.forward(&scratch.next_features, rows, &mut scratch.next_target);
        values.combine(&mut scratch.next_target);
        if self.spec.double_q {
            network.forward(&scratch.next_features, rows, &mut scratch.next_outputs);
            values.combine(&mut scratch.next_outputs);
        } else {
            scratch.next_outputs.copy_from_slice(&scratch.next_target);
        }
        scratch.targets.clear();
        for i in 0..rows {
            let row = i * width..i * width + self.actions;
            let best = argmax(&scratch.next_outputs[row.clone()]);
            let following = T::of_f32(self.batch.discounts[i]) * scratch.next_target[row][best];
            scratch.targets.push(T::of_f32(self.batch.rewards[i]) + following);
        }
        network.forward_train(&scratch.features, rows, &mut self.dropout, &mut scratch.outputs);
        values.combine(&mut scratch.outputs);
        let loss = values.loss(
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
        let gradient_norm = clip_gradient_norm(&mut parts, self.spec.max_grad_norm);
        let taken = scratch.outputs.chunks_exact(width).zip(&self.batch.actions);
        let q_value =
            taken.map(|(row, &action)| row[action as usize].as_f64()).sum::<f64>() / rows as f64;
        report(metrics, &[("loss", loss), ("q_value", q_value), ("gradient_norm", gradient_norm)])?;
        self.optimiser.step(self.spec.learning_rate.at(remaining), &mut parts);
        Ok(())
    }
}

/// How outputs become action values, and the loss at them.
#[derive(Debug, Clone, Copy)]
pub(super) struct ActionValues {
    /// How many actions.
    pub actions: usize,
    /// Whether a row holds the actions' advantages and then the state's value.
    pub dueling: bool,
}

impl ActionValues {
    fn width(self) -> usize {
        self.actions + usize::from(self.dueling)
    }

    /// Turns advantages into action values, in place: `Q = V + A - mean(A)`.
    pub(super) fn combine<T: Scalar>(self, outputs: &mut [T]) {
        if !self.dueling {
            return;
        }
        let n = T::of(self.actions as f64);
        for row in outputs.chunks_exact_mut(self.width()) {
            let (advantages, value) = row.split_at_mut(self.actions);
            let shift = value[0] - advantages.iter().copied().sum::<T>() / n;
            advantages.iter_mut().for_each(|advantage| *advantage += shift);
        }
    }

    /// The weighted mean of the Huber losses (threshold 1) between the values of the `actions` taken and
    /// their `targets`, its gradient at the network's outputs, and the errors, value minus target.
    /// `values` are the outputs after [`ActionValues::combine`].
    pub(super) fn loss<T: Scalar>(
        self,
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
        let rows = values.chunks_exact(self.width()).zip(gradients.chunks_exact_mut(self.width()));
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
}

impl<T: Scalar> Algorithm for Dqn<T> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        for _ in 0..self.spec.train_freq {
            self.step(world)?;
        }
        let progress = world.progress();
        let remaining = annealed::remaining(&self.schedule, progress);
        metrics.add("exploration_rate", self.spec.exploration_rate(remaining));
        if progress.steps > self.spec.learning_starts {
            let DqnSpec { gradient_steps, train_freq, n_envs, .. } = self.spec;
            for _ in 0..off_policy::gradient_steps(gradient_steps, train_freq, n_envs) {
                self.learn(remaining, metrics)?;
            }
            metrics.add("learning_rate", self.spec.learning_rate.at(remaining));
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
        off_policy::follow(&mut *self.target, &*self.policy.0.network, 1.0);
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
            outputs: draw(ROWS * values.width()),
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
        let spec = DqnSpec { exploration_fraction: 0.2, ..DqnSpec::default() };
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} is not {b}");
        close(spec.exploration_rate(1.0), 1.0);
        close(spec.exploration_rate(0.9), 0.525);
        close(spec.exploration_rate(0.8), 0.05);
        close(spec.exploration_rate(0.0), 0.05);
    }
}

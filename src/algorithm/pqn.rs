//! PQN: parallelised Q-learning (Gallici et al., "Simplifying deep temporal difference learning", 2024), with CleanRL's
//! hyperparameters.
//!
//! An iteration plays `n_steps` steps in each of `n_envs` environments, choosing a random action with probability ε and the one
//! of the greatest value otherwise, computes Q(λ) returns backwards, and then goes over that experience `n_epochs` times in
//! minibatches, each a step of RAdam on the squared errors. In place of a replay memory and a target network, layers are
//! normalised: hidden ones, not convolutions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dqn::{self, ActionValues, Exploration, ValuePolicy, best};
use super::interface::{
    Algorithm, AlgorithmSettings, Initial, Setup, by_precision, report, size_problem, storage,
};
use super::on_policy::{Order, value_loss};
use crate::env::{Env, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::gae::{self, Transitions};
use crate::nn::{
    Initialisation, Normalisation, Optimiser, OptimiserConfig, Scalar, Stored, Tensors,
    clip_gradient_norm,
};
use crate::policy::{LearnedPolicy, PolicySpec};
use crate::rng::{Purpose, Rng, stream};
use crate::training::annealed::{self, Annealed};
use crate::training::{MetricMeans, TrialError, World};

/// Hyperparameters of PQN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PqnSpec {
    /// How many copies of the environment act side by side.
    #[schemars(range(min = 1, max = 4096))]
    pub n_envs: usize,
    /// Steps in each environment between two updates.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub n_steps: usize,
    /// Steps in a minibatch.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
    /// How often an update goes over its steps.
    #[schemars(range(min = 1, max = 1000))]
    pub n_epochs: usize,
    /// Step size of RAdam.
    pub learning_rate: Annealed,
    /// Discount factor of future rewards.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gamma: f64,
    /// Trace decay of the returns that values are fitted to: 0 looks one step ahead, 1 to the end of the episode or of the
    /// `n_steps`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub q_lambda: f64,
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
    /// Normalise each hidden layer, not convolutions, over its units before the activation, which keeps learning from diverging.
    pub layer_norm: bool,
}

impl Default for PqnSpec {
    fn default() -> Self {
        Self {
            n_envs: 4,
            n_steps: 128,
            batch_size: 128,
            n_epochs: 4,
            learning_rate: Annealed::Linear(2.5e-4, 0.0),
            gamma: 0.99,
            q_lambda: 0.65,
            exploration_fraction: 0.5,
            exploration_initial_eps: 1.0,
            exploration_final_eps: 0.05,
            max_grad_norm: 10.0,
            layer_norm: true,
        }
    }
}

impl PqnSpec {
    fn exploration(&self) -> Exploration {
        Exploration {
            fraction: self.exploration_fraction,
            initial_eps: self.exploration_initial_eps,
            final_eps: self.exploration_final_eps,
        }
    }

    fn policy<T: Scalar>(&self, setup: &Setup<'_>) -> anyhow::Result<ValuePolicy<T, ActionValues>> {
        let actions = setup.action_space.discrete().unwrap_or(1);
        let (default, output_gain) = (Initialisation::Orthogonal, std::f64::consts::SQRT_2);
        let initial = Initial { default, output_gain };
        let network = setup.build_normalised(actions, initial, 0, self.normalisation())?;
        Ok(ValuePolicy::of(network, ActionValues { actions, dueling: false }, setup))
    }
}

impl AlgorithmSettings for PqnSpec {
    fn environments(&self) -> usize {
        self.n_envs
    }

    fn convolutional(&self) -> bool {
        true
    }

    fn masks_actions(&self) -> bool {
        true
    }

    fn normalisation(&self) -> Option<Normalisation> {
        self.layer_norm.then_some(Normalisation::LayerNorm)
    }

    fn supports(&self, actions: &Space) -> bool {
        actions.discrete().is_some()
    }

    fn problems(
        &self,
        policy: &PolicySpec,
        schedule: &ScheduleSpec,
        env: &dyn Env,
    ) -> Vec<Problem> {
        let mut problems = dqn::problems("pqn", self.learning_rate, policy, schedule);
        if let PolicySpec::Neural(network) = policy
            && self.layer_norm
            && network.hidden.contains(&1)
        {
            let message = "a layer of one unit is 0 when it is normalised, whatever it sees: use more units, or \
                           \"layer_norm\": false";
            problems.push(Problem::new(&["policy", "hidden"], message));
        }
        let observations = env.observation_space();
        let seen = observations.len() * storage(observations).bytes();
        // Beside what was seen: actions, rewards, values, returns and the like.
        let width = seen.div_ceil(size_of::<f32>()) + 8;
        let rows = self.n_envs.saturating_mul(self.n_steps);
        problems.extend(size_problem("n_steps", rows, width as u64));
        problems
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => self.policy::<T>(setup)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => Pqn::<T>::new(self.clone(), setup)?)
    }
}

/// What was seen and done between two updates. Row `t * environments + i` is copy `i` at step `t`.
#[derive(Debug, Default)]
struct Rollout<T> {
    observations: Stored,
    actions: Vec<f32>,
    rewards: Vec<T>,
    /// Whether the episode ended, by itself or by the time limit.
    ended: Vec<bool>,
    /// The greatest value of the valid actions before the step; and once more, of the observations after the last one.
    values: Vec<T>,
    /// That after the step; where an episode ended, that of its last observation, or zero where the task ended.
    next_values: Vec<T>,
    /// Q(λ) returns: what the values of the actions should have been.
    returns: Vec<T>,
}

impl<T: Scalar> Rollout<T> {
    fn clear(&mut self) {
        self.observations.clear();
        self.actions.clear();
        self.rewards.clear();
        self.ended.clear();
        self.values.clear();
        self.next_values.clear();
    }

    /// Computes returns backwards: `G = r + γ (λ G' + (1 - λ) max Q(s'))`, where `G' = max Q(s')` at the end of an episode and of
    /// the rollout (Peng and Williams, "Incremental multi-step Q-learning", 1996). They are generalised advantages of the
    /// greatest values, and these added.
    fn estimate(&mut self, environments: usize, gamma: f64, q_lambda: f64) {
        let Self { rewards, ended, values, next_values, returns, .. } = self;
        for (i, next_value) in next_values.iter_mut().enumerate() {
            if !ended[i] {
                *next_value = values[i + environments];
            }
        }
        returns.resize(rewards.len(), T::zero());
        let transitions = Transitions { environments, rewards, values, next_values, ended };
        gae::advantages(transitions, gamma, q_lambda, returns);
        returns.iter_mut().zip(values).for_each(|(advantage, value)| *advantage += *value);
    }
}

/// Buffers of a step and of a minibatch.
#[derive(Default)]
struct Scratch<T> {
    observations: Vec<f32>,
    features: Vec<f32>,
    outputs: Vec<T>,
    chosen: Vec<f32>,
    /// Where the outputs for the actions taken are.
    taken: Vec<usize>,
    values: Vec<T>,
    returns: Vec<T>,
    grad_values: Vec<T>,
    grad_outputs: Vec<T>,
}

/// PQN at work.
struct Pqn<T: Scalar> {
    spec: PqnSpec,
    schedule: ScheduleSpec,
    policy: ValuePolicy<T, ActionValues>,
    observation_space: Space,
    optimiser: Optimiser<T>,
    rollout: Rollout<T>,
    order: Order,
    scratch: Scratch<T>,
    exploration: Rng,
    shuffling: Rng,
    dropout: Rng,
}

impl<T: Scalar> Pqn<T> {
    fn new(spec: PqnSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let policy = spec.policy::<T>(setup)?;
        let parameters = policy.network.network.parameters().len();
        let observations = Stored::new(storage(setup.observation_space));
        Ok(Self {
            optimiser: Optimiser::new(OptimiserConfig::RADAM, parameters),
            policy,
            rollout: Rollout { observations, ..Rollout::default() },
            schedule: setup.schedule.clone(),
            observation_space: setup.observation_space.clone(),
            order: Order::default(),
            scratch: Scratch::default(),
            exploration: stream(setup.seed, Purpose::Exploration, 0),
            shuffling: stream(setup.seed, Purpose::Minibatch, 0),
            dropout: stream(setup.seed, Purpose::Minibatch, 1),
            spec,
        })
    }

    /// Plays `n_steps` steps in every copy and computes their returns.
    fn collect(&mut self, world: &mut World) -> Result<(), TrialError> {
        self.rollout.clear();
        for _ in 0..self.spec.n_steps {
            let envs = world.envs();
            self.value(envs.observations(), envs.action_masks());
            self.rollout.observations.extend(envs.observations());
            let remaining = annealed::remaining(&self.schedule, world.progress());
            let epsilon = self.spec.exploration().at(remaining);
            let Scratch { outputs, chosen, .. } = &mut self.scratch;
            let masks = envs.action_masks();
            self.policy.explore(outputs, masks, epsilon, &mut self.exploration, chosen);
            self.rollout.actions.extend_from_slice(chosen);
            world.step(chosen)?;
            let envs = world.envs();
            for (i, &reward) in envs.rewards().iter().enumerate() {
                let terminated = envs.terminated()[i];
                let mut last_value = T::zero();
                if let Some(last) = envs.final_observation(i)
                    && !terminated
                {
                    self.value(last, envs.next_action_mask(i));
                    last_value = self.rollout.values.pop().unwrap_or_default();
                }
                self.rollout.rewards.push(T::of(reward));
                self.rollout.ended.push(terminated || envs.truncated()[i]);
                self.rollout.next_values.push(last_value);
            }
        }
        let envs = world.envs();
        self.value(envs.observations(), envs.action_masks());
        self.rollout.estimate(self.spec.n_envs, self.spec.gamma, self.spec.q_lambda);
        Ok(())
    }

    /// Computes the network's outputs for `observations`, and appends the greatest value of each to the rollout's.
    fn value(&mut self, observations: &[f32], masks: Option<&[bool]>) {
        let Scratch { features, outputs, .. } = &mut self.scratch;
        let rows = self.observation_space.encode_all(observations, features);
        let network = &mut self.policy.network.network;
        let actions = network.outputs();
        outputs.resize(rows * actions, T::zero());
        network.forward(features, rows, outputs);
        for (i, row) in outputs.chunks_exact(actions).enumerate() {
            let mask = masks.map(|masks| &masks[i * actions..(i + 1) * actions]);
            self.rollout.values.push(row[best(row, mask)]);
        }
    }

    /// All epochs over the rollout.
    fn update(&mut self, learning_rate: f64, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let Self { spec, policy, optimiser, rollout, order, scratch, .. } = self;
        let network = &mut policy.network.network;
        let (width, actions) = (self.observation_space.len(), network.outputs());
        for _ in 0..spec.n_epochs {
            order.shuffle(rollout.returns.len(), &mut self.shuffling);
            for rows in order.minibatches(spec.batch_size) {
                let Scratch { observations, features, outputs, taken, .. } = scratch;
                observations.clear();
                for &row in rows {
                    rollout.observations.read(row * width..(row + 1) * width, observations);
                }
                self.observation_space.encode_all(observations, features);
                outputs.resize(rows.len() * actions, T::zero());
                network.forward_train(features, rows.len(), &mut self.dropout, outputs);
                taken.clear();
                let output =
                    |(i, &row): (usize, &usize)| i * actions + rollout.actions[row] as usize;
                taken.extend(rows.iter().enumerate().map(output));
                let Scratch { values, returns, grad_values, grad_outputs, .. } = scratch;
                values.clear();
                values.extend(taken.iter().map(|&output| outputs[output]));
                returns.clear();
                returns.extend(rows.iter().map(|&row| rollout.returns[row]));
                grad_values.resize(rows.len(), T::zero());
                let loss = value_loss(values, &[], returns, None, 1.0, grad_values);
                grad_outputs.clear();
                grad_outputs.resize(outputs.len(), T::zero());
                for (&output, &gradient) in taken.iter().zip(&*grad_values) {
                    grad_outputs[output] = gradient;
                }
                network.zero_gradients();
                network.backward(grad_outputs, None);
                let mut parts = [network.parameters_and_gradients()];
                let gradient_norm = clip_gradient_norm(&mut parts, spec.max_grad_norm);
                let q_value = values.iter().map(|value| value.as_f64()).sum::<f64>();
                let losses = [
                    ("loss", loss),
                    ("q_value", q_value / rows.len() as f64),
                    ("gradient_norm", gradient_norm),
                ];
                report(metrics, &losses)?;
                optimiser.step(learning_rate, &mut parts);
            }
        }
        Ok(())
    }
}

impl<T: Scalar> Algorithm for Pqn<T> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        self.collect(world)?;
        let remaining = annealed::remaining(&self.schedule, world.progress());
        let learning_rate = self.spec.learning_rate.at(remaining);
        metrics.add("exploration_rate", self.spec.exploration().at(remaining));
        metrics.add("learning_rate", learning_rate);
        self.update(learning_rate, metrics)?;
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
        state.insert_rng("shuffling", &self.shuffling);
        state.insert_rng("dropout", &self.dropout);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.policy.load(state)?;
        self.optimiser.load("optimiser.", state)?;
        self.exploration = state.rng("exploration")?;
        self.shuffling = state.rng("shuffling")?;
        self.dropout = state.rng("dropout")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::random::{normal, uniform};

    #[test]
    fn what_cannot_be_normalised_is_refused() {
        use serde_json::json;
        let problems = |policy: serde_json::Value, more: serde_json::Value| -> Vec<String> {
            let mut neural = json!({ "type": "neural" });
            neural
                .as_object_mut()
                .expect("above")
                .extend(policy.as_object().cloned().expect("below"));
            let mut spec = json!({ "name": "pqn" });
            spec.as_object_mut().expect("above").extend(more.as_object().cloned().expect("below"));
            let experiment = json!({
                "name": "pqn", "environment": { "id": "CartPole-v1" },
                "agents": { "pqn": {
                    "policy": neural, "training": { "algorithm": spec, "schedule": { "steps": 1 } }
                } }
            });
            let problems = crate::validation::check(&experiment).err().unwrap_or_default();
            let told = problems.iter();
            told.map(|problem| format!("{}: {}", problem.path.join("."), problem.message)).collect()
        };
        let none = json!({});
        let plain = json!({ "layer_norm": false });
        // As wide as it may be for `auto` to stay with this engine.
        assert_eq!(problems(json!({ "hidden": [2048] }), none.clone()), [""; 0]);
        for policy in [json!({ "engine": "torch" }), json!({ "device": "cuda" })] {
            let found = problems(policy.clone(), none.clone());
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].starts_with("agents.pqn.policy.engine: normalised layers"),
                "{found:?}"
            );
            assert_eq!(problems(policy, plain.clone()), [""; 0]);
        }
        let narrow = json!({ "hidden": [8, 1] });
        let found = problems(narrow.clone(), none.clone());
        assert!(found[0].starts_with("agents.pqn.policy.hidden: a layer of one unit"), "{found:?}");
        assert_eq!(problems(narrow, plain), [""; 0]);
        let long = problems(none, json!({ "n_envs": 4096, "n_steps": 1_000_000 }));
        assert!(
            long[0].starts_with("agents.pqn.training.algorithm.n_steps: an update"),
            "{long:?}"
        );
    }

    /// The mean of all n-step returns of row `i`, the n-th with the weight `(1 - λ) λⁿ⁻¹` and the last one with what is left
    /// (Sutton and Barto 2018, equation 12.3).
    fn mean_of_n_step_returns(
        rollout: &Rollout<f64>,
        environments: usize,
        [gamma, lambda]: [f64; 2],
        i: usize,
    ) -> f64 {
        let (mut mean, mut rewards, mut discount, mut weight) = (0.0, 0.0, 1.0, 1.0);
        for row in (i..rollout.rewards.len()).step_by(environments) {
            rewards += discount * rollout.rewards[row];
            discount *= gamma;
            let last = rollout.ended[row] || row + environments >= rollout.rewards.len();
            let share = if last { weight } else { (1.0 - lambda) * weight };
            mean += share * (rewards + discount * rollout.next_values[row]);
            weight -= share;
            if last {
                break;
            }
        }
        mean
    }

    #[test]
    fn returns_are_means_of_n_step_returns() {
        const COPIES: usize = 3;
        const ROWS: usize = 20 * COPIES;
        let mut rng = stream(3, Purpose::Exploration, 0);
        let mut draw = |n: usize| -> Vec<f64> { (0..n).map(|_| normal(&mut rng)).collect() };
        let (rewards, values, last) = (draw(ROWS), draw(ROWS + COPIES), draw(ROWS));
        for [gamma, lambda] in [[0.9, 0.7], [0.99, 0.0], [1.0, 1.0]] {
            let mut draws = stream(4, Purpose::Exploration, 0);
            let ended: Vec<_> = (0..ROWS).map(|_| uniform(&mut draws) < 0.2).collect();
            // Half of the episodes end by the time limit.
            let next_value = |i: usize| if ended[i] && i.is_multiple_of(2) { last[i] } else { 0.0 };
            let mut rollout = Rollout {
                rewards: rewards.clone(),
                values: values.clone(),
                next_values: (0..ROWS).map(next_value).collect(),
                ended: ended.clone(),
                ..Rollout::default()
            };
            rollout.estimate(COPIES, gamma, lambda);
            for (i, found) in rollout.returns.iter().enumerate() {
                let next = if ended[i] { next_value(i) } else { values[i + COPIES] };
                assert_eq!(rollout.next_values[i], next);
                let expected = mean_of_n_step_returns(&rollout, COPIES, [gamma, lambda], i);
                assert!((found - expected).abs() < 1e-12, "{i}: {found}, {expected}");
            }
        }
    }
}

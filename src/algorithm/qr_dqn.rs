//! QR-DQN: DQN with quantile regression (Dabney et al., "Distributional reinforcement learning with quantile regression",
//! 2018), with the hyperparameters of Stable-Baselines3's contrib package.
//!
//! It is DQN with a network that has quantiles of each action's return instead of its mean. An action's value is the mean
//! of its quantiles; each of them is learned from every quantile of the next action, the one of the greatest value.

use super::dqn::{self, Dqn, UpdateConfig, Valuation, ValuePolicy, dqn_settings};
use super::interface::{Algorithm, AlgorithmSettings, Setup, by_precision, size_problem};
use super::off_policy::{quantile_huber, quantile_level};
use crate::env::{Env, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::{OptimiserConfig, Scalar};
use crate::policy::{LearnedPolicy, PolicySpec, Readout};
use crate::training::Annealed;

dqn_settings! {
    /// Hyperparameters of QR-DQN.
    pub struct QrDqnSpec {
        /// Quantiles of each action's return.
        #[schemars(range(min = 1, max = 1000))]
        pub n_quantiles: usize,
        /// The gradient's norm is cut to this; `null` for no limit.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(extend("exclusiveMinimum" = 0.0))]
        pub max_grad_norm: Option<f64>,
        /// Choose the next action by the network, and take its quantiles from the target network.
        pub double_q: bool,
        /// Rewards are summed over this many steps before bootstrapping.
        #[schemars(range(min = 1, max = 1000))]
        pub n_steps: usize,
    }
}

impl Default for QrDqnSpec {
    fn default() -> Self {
        Self {
            n_envs: 1,
            learning_rate: Annealed::Constant(5e-5),
            buffer_size: 1_000_000,
            learning_starts: 100,
            batch_size: 32,
            tau: 1.0,
            gamma: 0.99,
            train_freq: 4,
            gradient_steps: 1,
            target_update_interval: 10_000,
            exploration_fraction: 0.005,
            exploration_initial_eps: 1.0,
            exploration_final_eps: 0.01,
            n_quantiles: 200,
            max_grad_norm: None,
            double_q: false,
            n_steps: 1,
        }
    }
}

impl QrDqnSpec {
    fn dqn(&self) -> dqn::DqnConfig {
        self.with(UpdateConfig {
            max_grad_norm: self.max_grad_norm.unwrap_or(f64::INFINITY),
            double_q: self.double_q,
            n_steps: self.n_steps,
            priorities: None,
            beta0: 1.0,
            // The paper's epsilon at its batch size of 32, as the reference scales it to others.
            adam: OptimiserConfig::adam(0.01 / self.batch_size as f64),
        })
    }

    fn valuation(&self, setup: &Setup<'_>) -> ActionQuantiles {
        let actions = setup.action_space.discrete().unwrap_or(1);
        ActionQuantiles { actions, quantiles: self.n_quantiles }
    }
}

impl AlgorithmSettings for QrDqnSpec {
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

    fn problems(
        &self,
        policy: &PolicySpec,
        schedule: &ScheduleSpec,
        env: &dyn Env,
    ) -> Vec<Problem> {
        let mut problems = dqn::problems("qr_dqn", self.learning_rate, policy, schedule);
        let outputs = env.action_space().discrete().unwrap_or(1) * self.n_quantiles;
        problems.extend(size_problem("batch_size", self.batch_size, outputs as u64));
        problems
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => ValuePolicy::<T, _>::new(self.valuation(setup), setup)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => Dqn::<T, _>::new(self.dqn(), self.valuation(setup), setup)?)
    }
}

/// QR-DQN's valuation. A row has the first quantile of every action, then the second of every action, and so on, as the
/// reference's `view(-1, n_quantiles, n_actions)` has them.
#[derive(Debug, Clone, Copy)]
pub(super) struct ActionQuantiles {
    /// How many actions.
    pub actions: usize,
    /// Quantiles of each.
    pub quantiles: usize,
}

impl<T: Scalar> Valuation<T> for ActionQuantiles {
    fn actions(&self) -> usize {
        self.actions
    }

    fn outputs(&self) -> usize {
        self.actions * self.quantiles
    }

    fn values(&self, row: &[T], values: &mut [T]) {
        values.fill(T::zero());
        for quantiles in row.chunks_exact(self.actions) {
            values.iter_mut().zip(quantiles).for_each(|(value, &quantile)| *value += quantile);
        }
        let count = T::of(self.quantiles as f64);
        values.iter_mut().for_each(|value| *value /= count);
    }

    fn returns(&self, row: &[T], action: usize, returns: &mut Vec<T>) {
        returns.extend(row.iter().skip(action).step_by(self.actions));
    }

    /// The quantile Huber losses (threshold 1), summed over the quantiles of the action taken, with the mean over their
    /// targets and the weighted mean over the rows. A row's error is its loss.
    fn loss(
        &self,
        rows: &[T],
        actions: &[f32],
        targets: &[T],
        weights: &[f32],
        gradients: &mut [T],
        errors: &mut Vec<T>,
    ) -> f64 {
        let (width, n) = (self.actions * self.quantiles, actions.len());
        let mut sum = T::zero();
        errors.clear();
        gradients.fill(T::zero());
        for i in 0..n {
            let targets = &targets[i * self.quantiles..(i + 1) * self.quantiles];
            let scale = T::of(1.0 / self.quantiles as f64);
            let weight = scale * T::of_f32(weights[i]) / T::of(n as f64);
            let mut error = T::zero();
            for quantile in 0..self.quantiles {
                let place = i * width + quantile * self.actions + actions[i] as usize;
                let level = quantile_level(quantile, self.quantiles);
                let (loss, slope) = quantile_huber(rows[place], level, targets);
                error += scale * loss;
                gradients[place] = weight * slope;
                sum += weight * loss;
            }
            errors.push(error);
        }
        sum.as_f64()
    }

    fn readout(&self) -> Readout {
        Readout::ActionQuantiles { quantiles: self.quantiles }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;
    use crate::nn::random::normal;
    use crate::rng::{Purpose, stream};

    const ROWS: usize = 6;
    const VALUATION: ActionQuantiles = ActionQuantiles { actions: 3, quantiles: 5 };

    fn draw(n: usize, index: u64) -> Vec<f64> {
        let mut rng = stream(12, Purpose::Exploration, index);
        (0..n).map(|_| 2.0 * normal(&mut rng)).collect()
    }

    fn weights() -> Vec<f32> {
        (0..ROWS).map(|i| 0.25 * (i + 1) as f32).collect()
    }

    fn actions() -> Vec<f32> {
        (0..ROWS).map(|i| (i % VALUATION.actions) as f32).collect()
    }

    #[test]
    fn values_are_means_of_quantiles_and_returns_are_all_of_them() {
        let valuation = ActionQuantiles { actions: 2, quantiles: 3 };
        let row = [1.0, 10.0, 2.0, 20.0, 6.0, 60.0];
        let mut values = [f64::NAN; 2];
        valuation.values(&row, &mut values);
        assert_eq!(values, [3.0, 30.0]);
        let mut returns = vec![7.0];
        valuation.returns(&row, 1, &mut returns);
        assert_eq!(returns, [7.0, 10.0, 20.0, 60.0]);
    }

    /// sb3-contrib's `quantile_huber_loss(…, sum_over_quantiles=True)`, with weights.
    #[test]
    fn the_loss_and_its_gradient_equal_autograd() {
        let quantiles = VALUATION.quantiles;
        let outputs = draw(ROWS * VALUATION.actions * quantiles, 0);
        let targets = draw(ROWS * quantiles, 1);
        let mut gradients = vec![f64::NAN; outputs.len()];
        let mut errors = Vec::new();
        let found =
            VALUATION.loss(&outputs, &actions(), &targets, &weights(), &mut gradients, &mut errors);

        let leaf = Tensor::from_slice(&outputs).set_requires_grad(true);
        let (rows, n) = (ROWS as i64, quantiles as i64);
        let index = Tensor::from_slice(&actions()).to_kind(Kind::Int64).view([rows, 1, 1]);
        let index = index.expand([rows, n, 1], false);
        let current = leaf.view([rows, n, VALUATION.actions as i64]).gather(2, &index, false);
        let levels = (Tensor::arange(n, (Kind::Double, tch::Device::Cpu)) + 0.5) / n as f64;
        let delta = Tensor::from_slice(&targets).view([rows, 1, n]) - current;
        let size = delta.abs();
        let huber = (&size - 0.5).where_self(&size.gt(1.0), &(delta.square() * 0.5));
        let share = (levels.view([1, n, 1]) - delta.detach().lt(0.0).to_kind(Kind::Double)).abs();
        let each = (share * huber).sum_dim_intlist(1, false, Kind::Double);
        let each = each.mean_dim(1, false, Kind::Double);
        let expected = Vec::<f64>::try_from(&each).expect("doubles");
        errors.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-13, "{a}, {b}"));
        let weighted = &each * Tensor::from_slice(&weights()).to_kind(Kind::Double);
        let loss = weighted.mean(Kind::Double);
        loss.backward();
        assert!((found - loss.double_value(&[])).abs() < 1e-13);
        let expected = Vec::<f64>::try_from(leaf.grad()).expect("doubles");
        gradients.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-14));
    }

    #[test]
    fn the_loss_gradient_equals_finite_differences() {
        let mut outputs = draw(ROWS * VALUATION.actions * VALUATION.quantiles, 2);
        let targets = draw(ROWS * VALUATION.quantiles, 3);
        let loss = |outputs: &[f64], gradients: &mut [f64]| {
            let mut errors = Vec::new();
            VALUATION.loss(outputs, &actions(), &targets, &weights(), gradients, &mut errors)
        };
        let mut gradients = vec![f64::NAN; outputs.len()];
        loss(&outputs, &mut gradients);
        let step = 1e-6;
        let mut scratch = vec![0.0; outputs.len()];
        for i in 0..outputs.len() {
            let middle = outputs[i];
            outputs[i] = middle + step;
            let above = loss(&outputs, &mut scratch);
            outputs[i] = middle - step;
            let below = loss(&outputs, &mut scratch);
            outputs[i] = middle;
            let slope = (above - below) / (2.0 * step);
            assert!((slope - gradients[i]).abs() < 1e-8, "{slope}, {}", gradients[i]);
        }
    }

    #[test]
    fn it_learns_which_of_the_valid_doors_pays() {
        let qr_dqn = serde_json::json!({ "name": "qr_dqn", "learning_starts": 50, "gamma": 0.5,
            "learning_rate": 0.01, "n_quantiles": 10, "target_update_interval": 50 });
        let neural = serde_json::json!({ "type": "neural", "hidden": [16], "activation": "tanh",
            "action_mask": true });
        let doors = crate::algorithm::doors::environment(false);
        let found = crate::algorithm::echo::learned(&doors, neural, qr_dqn, 500);
        assert!(found > 7.5, "{found} of 8");
    }
}

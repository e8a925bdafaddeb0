//! TQC: truncated quantile critics (Kuznetsov et al., "Controlling overestimation bias with truncated mixture
//! of continuous distributional quantile critics", 2020), with the hyperparameters of Stable-Baselines3's
//! contrib package.
//!
//! It is SAC with critics that have quantiles of the return instead of its mean. The target is the mixture
//! of all target critics' quantiles without the highest ones, which are where overestimation sits.

use super::interface::{Algorithm, AlgorithmSettings, Setup, by_precision, sde_problems};
use super::off_policy;
use super::sac::{self, Sac, Tuned, Valuation, sac_settings};
use crate::env::{Env, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::Scalar;
use crate::policy::{LearnedPolicy, PolicySpec};
use crate::training::Annealed;

sac_settings! {
    /// Hyperparameters of TQC.
    pub struct TqcSpec {
        /// Quantiles that each critic has.
        #[schemars(range(min = 1, max = 1000))]
        pub n_quantiles: usize,
        /// How many of the highest quantiles, for each critic, are left out of the target.
        #[schemars(range(max = 999))]
        pub top_quantiles_to_drop_per_net: usize,
    }
}

impl Default for TqcSpec {
    fn default() -> Self {
        Self {
            n_envs: 1,
            learning_rate: Annealed::Constant(3e-4),
            buffer_size: 1_000_000,
            learning_starts: 100,
            batch_size: 256,
            tau: 0.005,
            gamma: 0.99,
            train_freq: 1,
            gradient_steps: 1,
            ent_coef: Tuned::Auto,
            target_entropy: Tuned::Auto,
            target_update_interval: 1,
            n_critics: 2,
            n_quantiles: 25,
            top_quantiles_to_drop_per_net: 2,
            use_sde: false,
            sde_sample_freq: -1,
            log_std_init: -3.0,
            n_steps: 1,
            action_noise: None,
        }
    }
}

impl AlgorithmSettings for TqcSpec {
    fn environments(&self) -> usize {
        self.n_envs
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
        let mut problems = off_policy::problems("tqc", self.learning_rate, policy, schedule, env);
        if self.top_quantiles_to_drop_per_net >= self.n_quantiles {
            let message = format!("expected fewer than the {} of n_quantiles", self.n_quantiles);
            let path = ["training", "algorithm", "top_quantiles_to_drop_per_net"];
            problems.push(Problem::new(&path, message));
        }
        if self.use_sde {
            problems.extend(sde_problems(self.n_envs, policy, env));
        }
        problems
    }

    fn memory_bytes(&self, schedule: &ScheduleSpec, observations: &Space, actions: &Space) -> u64 {
        self.explorer().replay(schedule, observations, actions).bytes_while_saved()
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => sac::actor::<T>(self.sde(), setup)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        let quantiles =
            Quantiles { count: self.n_quantiles, dropped: self.top_quantiles_to_drop_per_net };
        by_precision!(setup, T => Sac::<T, _>::new(self.sac(), quantiles, setup)?)
    }
}

/// TQC's valuation: each critic has quantiles of the return.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quantiles {
    /// Quantiles of each critic.
    pub count: usize,
    /// How many of the highest are left out of the target, for each critic.
    pub dropped: usize,
}

impl<T: Scalar> Valuation<T> for Quantiles {
    fn outputs(&self) -> usize {
        self.count
    }

    fn targets(&self, rows: usize, outputs: &[T], targets: &mut Vec<T>) {
        let critics = outputs.len() / (rows * self.count);
        let kept = critics * (self.count - self.dropped);
        let mut mixture = Vec::with_capacity(critics * self.count);
        targets.clear();
        for row in 0..rows {
            mixture.clear();
            for critic in outputs.chunks_exact(rows * self.count) {
                mixture.extend_from_slice(&critic[row * self.count..(row + 1) * self.count]);
            }
            mixture.sort_unstable_by(|a, b| a.as_f64().total_cmp(&b.as_f64()));
            targets.extend_from_slice(&mixture[..kept]);
        }
    }

    /// The mean of the quantile Huber losses (threshold 1) of every quantile and every target of its row
    /// (Dabney et al. 2018).
    fn loss(&self, rows: usize, outputs: &[T], targets: &[T], gradients: &mut [T]) -> f64 {
        let each = targets.len() / rows;
        let scale = T::of(1.0 / (outputs.len() * each) as f64);
        let mut sum = T::zero();
        for (i, (gradient, &quantile)) in gradients.iter_mut().zip(outputs).enumerate() {
            let row = i / self.count % rows;
            let level = off_policy::quantile_level(i % self.count, self.count);
            let targets = &targets[row * each..(row + 1) * each];
            let (loss, slope) = off_policy::quantile_huber(quantile, level, targets);
            sum += loss;
            *gradient = slope * scale;
        }
        (sum * scale).as_f64()
    }

    fn value(&self, _: usize, outputs: &[T], gradients: &mut [T]) -> f64 {
        let scale = T::of(1.0 / outputs.len() as f64);
        gradients.fill(-scale);
        (outputs.iter().copied().sum::<T>() * scale).as_f64()
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;
    use crate::nn::random::normal;
    use crate::rng::{Purpose, stream};

    const ROWS: usize = 3;
    const QUANTILES: Quantiles = Quantiles { count: 5, dropped: 2 };

    fn draw(n: usize, index: u64) -> Vec<f64> {
        let mut rng = stream(9, Purpose::Exploration, index);
        (0..n).map(|_| 2.0 * normal(&mut rng)).collect()
    }

    #[test]
    fn dropping_every_quantile_is_refused() {
        let value = serde_json::json!({
            "name": "tqc", "environment": { "id": "Pendulum-v1" },
            "agents": { "tqc": {
                "policy": { "type": "neural" },
                "training": {
                    "algorithm": { "name": "tqc", "n_quantiles": 5, "top_quantiles_to_drop_per_net": 5 },
                    "schedule": { "steps": 1 }
                }
            } }
        });
        let problems = crate::validation::check(&value).expect_err("nothing would be left");
        let [Problem { path, message }] = &problems[..] else { panic!("{problems:?}") };
        assert_eq!(path.last().map(String::as_str), Some("top_quantiles_to_drop_per_net"));
        assert_eq!(message, "expected fewer than the 5 of n_quantiles");
    }

    #[test]
    fn the_highest_quantiles_of_the_mixture_are_left_out() {
        let quantiles = Quantiles { count: 3, dropped: 1 };
        // Two critics, two rows each.
        let outputs = [1.0, 5.0, 3.0, 0.0, 0.0, 9.0, 2.0, 8.0, 7.0, -1.0, 4.0, 4.0];
        let mut targets = Vec::new();
        quantiles.targets(2, &outputs, &mut targets);
        assert_eq!(targets, [1.0, 2.0, 3.0, 5.0, -1.0, 0.0, 0.0, 4.0]);
    }

    #[test]
    fn the_quantile_loss_equals_autograd() {
        let (outputs, targets) = (draw(2 * ROWS * QUANTILES.count, 0), draw(ROWS * 6, 1));
        let mut gradients = vec![f64::NAN; outputs.len()];
        let loss = QUANTILES.loss(ROWS, &outputs, &targets, &mut gradients);

        let leaf = Tensor::from_slice(&outputs).set_requires_grad(true);
        let n = QUANTILES.count as i64;
        let levels = (Tensor::arange(n, (Kind::Double, tch::Device::Cpu)) + 0.5) / n as f64;
        let current = leaf.view([2, ROWS as i64, n, 1]);
        let errors = Tensor::from_slice(&targets).view([1, ROWS as i64, 1, 6]) - current;
        let huber = errors.abs().clamp_max(1.0);
        let huber = &huber * (errors.abs() - &huber * 0.5);
        let weight = (levels.view([1, 1, n, 1]) - errors.lt(0.0).to_kind(Kind::Double)).abs();
        let expected = (weight.detach() * huber).mean(Kind::Double);
        expected.backward();
        assert!((loss - expected.double_value(&[])).abs() < 1e-13);
        let expected = Vec::<f64>::try_from(leaf.grad()).expect("doubles");
        for (a, b) in gradients.iter().zip(expected) {
            assert!((a - b).abs() < 1e-14, "{a}, {b}");
        }
    }

    #[test]
    fn gradients_equal_finite_differences() {
        let (mut outputs, targets) = (draw(2 * ROWS * QUANTILES.count, 2), draw(ROWS * 6, 3));
        let mut gradients = vec![f64::NAN; outputs.len()];
        QUANTILES.loss(ROWS, &outputs, &targets, &mut gradients);
        let mut ascent = vec![f64::NAN; outputs.len()];
        QUANTILES.value(ROWS, &outputs, &mut ascent);
        let step = 1e-6;
        let mut scratch = vec![0.0; outputs.len()];
        for i in 0..outputs.len() {
            let middle = outputs[i];
            let mut at = |x: f64| {
                outputs[i] = x;
                let loss = QUANTILES.loss(ROWS, &outputs, &targets, &mut scratch);
                (loss, QUANTILES.value(ROWS, &outputs, &mut scratch))
            };
            let (above, below) = (at(middle + step), at(middle - step));
            outputs[i] = middle;
            let slope = (above.0 - below.0) / (2.0 * step);
            assert!((slope - gradients[i]).abs() < 1e-8, "{slope}, {}", gradients[i]);
            let slope = (above.1 - below.1) / (2.0 * step);
            assert!((slope + ascent[i]).abs() < 1e-8, "{slope}, {}", ascent[i]);
        }
    }
}

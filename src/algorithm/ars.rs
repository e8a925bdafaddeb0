//! ARS: augmented random search (Mania et al., "Simple random search of static linear policies is competitive for
//! reinforcement learning", 2018), with the hyperparameters of Stable-Baselines3's contrib package.
//!
//! An iteration plays pairs of candidates, `θ + σδ` and `θ - σδ`, keeps the pairs whose better candidate is among the
//! `n_top` best, and moves `θ` by `learning_rate / (n_top · s) · Σ (R⁺ - R⁻) δ`, where `s` is the standard deviation of the
//! kept candidates' returns. The paper's policies are linear (`"hidden": []`), and its V2 normalises observations
//! (`normalize_observations`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::interface::{Algorithm, AlgorithmSettings, Setup, by_precision, has_head, report};
use super::population::{self, Population, PopulationConfig};
use crate::env::{Env, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::random::normal;
use crate::nn::{Scalar, Tensors};
use crate::policy::{LearnedPolicy, NetworkPolicy, PolicySpec};
use crate::rng::{Purpose, Rng, stream};
use crate::stats;
use crate::training::annealed::{self, Annealed};
use crate::training::{MetricMeans, TrialError, World};

/// Hyperparameters of ARS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ArsSpec {
    /// Directions that are tried in a generation, each of them both ways.
    #[schemars(range(min = 1, max = 100_000))]
    pub n_delta: usize,
    /// How many of them, those with the best candidates, are learned from; `null` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub n_top: Option<usize>,
    /// Step size.
    pub learning_rate: Annealed,
    /// Standard deviation of the noise on the parameters.
    pub delta_std: Annealed,
    /// Whether all parameters begin at zero, as the paper's do, instead of as the policy's `initialisation` draws them.
    pub zero_policy: bool,
    /// Subtracted from the reward of each step, so that staying alive alone earns nothing.
    pub alive_bonus_offset: f64,
    /// Episodes that each candidate plays; their mean return decides.
    #[schemars(range(min = 1, max = 10_000))]
    pub episodes_per_candidate: u64,
    /// Normalise observations (the numbers of boxes in them) by their running mean and deviation, cut to ±10.
    pub normalize_observations: bool,
    /// Threads that the candidates play on; changes nothing but the time it takes.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: usize,
}

impl Default for ArsSpec {
    fn default() -> Self {
        Self {
            n_delta: 8,
            n_top: None,
            learning_rate: Annealed::Constant(0.02),
            delta_std: Annealed::Constant(0.05),
            zero_policy: true,
            alive_bonus_offset: 0.0,
            episodes_per_candidate: 1,
            normalize_observations: false,
            threads: 1,
        }
    }
}

impl ArsSpec {
    fn population(&self) -> PopulationConfig {
        PopulationConfig {
            episodes: self.episodes_per_candidate,
            threads: self.threads,
            normalize_observations: self.normalize_observations,
            alive_bonus_offset: self.alive_bonus_offset,
        }
    }

    /// Makes a fresh policy what training begins with.
    fn begin<T: Scalar>(&self, mut policy: NetworkPolicy<T>) -> NetworkPolicy<T> {
        if self.zero_policy {
            policy.network.parameters_mut().fill(T::zero());
        }
        policy
    }
}

impl AlgorithmSettings for ArsSpec {
    fn supports(&self, actions: &Space) -> bool {
        has_head(actions)
    }

    fn problems(
        &self,
        policy: &PolicySpec,
        schedule: &ScheduleSpec,
        env: &dyn Env,
    ) -> Vec<Problem> {
        // The noise of each direction, and both its candidates.
        let candidates = ("n_delta", 3 * self.n_delta);
        let mut problems =
            population::problems(policy, schedule, env, self.normalize_observations, candidates);
        let annealed =
            [("learning_rate", Some(self.learning_rate)), ("delta_std", Some(self.delta_std))];
        problems.extend(annealed::problems(&annealed, schedule));
        if self.n_top.is_some_and(|top| top > self.n_delta) {
            let message = format!("expected at most the {} of n_delta", self.n_delta);
            problems.push(Problem::new(&["training", "algorithm", "n_top"], message));
        }
        if let PolicySpec::Neural(network) = policy
            && self.zero_policy
            && !network.hidden.is_empty()
        {
            let message = "with hidden layers whose weights are all zero, only the last layer's bias has an influence: use \
                           \"hidden\": [] or \"zero_policy\": false";
            problems.push(Problem::new(&["training", "algorithm", "zero_policy"], message));
        }
        problems
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => self.begin(self.population().policy::<T>(setup)?))
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => Ars::<T>::new(self.clone(), setup)?)
    }
}

/// ARS at work.
struct Ars<T: Scalar> {
    spec: ArsSpec,
    schedule: ScheduleSpec,
    population: Population<T>,
    rng: Rng,
}

impl<T: Scalar> Ars<T> {
    fn new(spec: ArsSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let mut population = Population::new(spec.population(), setup)?;
        population.policy = spec.begin(population.policy);
        Ok(Self {
            population,
            schedule: setup.schedule.clone(),
            rng: stream(setup.seed, Purpose::Search, 0),
            spec,
        })
    }
}

/// The weight of each direction in a step of size one: `(R⁺ - R⁻) / (n_top · s + 10⁻⁶)` for the `top` ones with the best
/// candidates, the first of equals, and zero for the others. `returns` holds R⁺ and R⁻ for one direction after another, and
/// `s` is the sample standard deviation of those kept.
fn weights(returns: &[f64], top: usize) -> Vec<f64> {
    let pair = |i: usize| [returns[2 * i], returns[2 * i + 1]];
    let best = |i: usize| pair(i)[0].max(pair(i)[1]);
    let mut order: Vec<usize> = (0..returns.len() / 2).collect();
    order.sort_by(|&a, &b| best(b).total_cmp(&best(a)));
    order.truncate(top);
    let kept: Vec<f64> = order.iter().flat_map(|&i| pair(i)).collect();
    let scale = 1.0 / (top as f64 * stats::sample_std(&kept).unwrap_or(0.0) + 1e-6);
    let mut weights = vec![0.0; returns.len() / 2];
    for i in order {
        let [plus, minus] = pair(i);
        weights[i] = scale * (plus - minus);
    }
    weights
}

impl<T: Scalar> Algorithm for Ars<T> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let remaining = annealed::remaining(&self.schedule, world.progress());
        let (learning_rate, sigma) =
            (self.spec.learning_rate.at(remaining), self.spec.delta_std.at(remaining));
        let parameters = self.population.parameters().to_vec();
        let rng = &mut self.rng;
        let mut direction =
            || -> Vec<T> { parameters.iter().map(|_| T::of(normal(rng))).collect() };
        let directions: Vec<_> = (0..self.spec.n_delta).map(|_| direction()).collect();
        let moved = |direction: &Vec<T>, by: f64| -> Vec<T> {
            parameters.iter().zip(direction).map(|(&p, &delta)| p + T::of(by) * delta).collect()
        };
        let candidates: Vec<_> = directions
            .iter()
            .flat_map(|direction| [moved(direction, sigma), moved(direction, -sigma)])
            .collect();
        let returns = self.population.judge(world, &candidates)?;
        let weights = weights(&returns, self.spec.n_top.unwrap_or(self.spec.n_delta));
        let network = &mut self.population.policy.network;
        let mut moved = 0.0;
        for (i, parameter) in network.parameters_mut().iter_mut().enumerate() {
            let along = directions.iter().zip(&weights);
            let step: f64 = along.map(|(delta, weight)| weight * delta[i].as_f64()).sum();
            *parameter += T::of(learning_rate * step);
            moved += (learning_rate * step).powi(2);
        }
        let diagnostics = [
            ("population_return", stats::mean(&returns).unwrap_or(f64::NAN)),
            ("best_return", returns.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            ("step_norm", moved.sqrt()),
            ("learning_rate", learning_rate),
        ];
        report(metrics, &diagnostics)?;
        world.count_update();
        Ok(())
    }

    fn policy(&self) -> &dyn LearnedPolicy {
        &self.population.policy
    }

    fn policy_mut(&mut self) -> &mut dyn LearnedPolicy {
        &mut self.population.policy
    }

    fn save(&self, state: &mut Tensors) {
        self.population.policy.save(state);
        state.insert_rng("rng", &self.rng);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.population.policy.load(state)?;
        self.rng = state.rng("rng")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// By hand. The second direction has the worst candidates; 8, 2, 6 and 4 are left, whose mean is 5 and whose sample
    /// deviation is √(20 / 3).
    #[test]
    fn the_best_directions_count_by_their_differences() {
        let returns = [8.0, 2.0, 1.0, 5.0, 4.0, 6.0];
        let scale = 1.0 / (2.0 * (20.0_f64 / 3.0).sqrt() + 1e-6);
        assert_eq!(weights(&returns, 2), [scale * 6.0, 0.0, scale * -2.0]);
        // Returns that are all the same lead nowhere.
        assert_eq!(weights(&[3.0; 4], 2), [0.0; 2]);
    }

    #[test]
    fn more_directions_than_are_tried_and_hidden_zeros_are_refused() {
        let problems = |hidden: serde_json::Value, algorithm: serde_json::Value| {
            let value = json!({ "name": "ars", "environment": { "id": "CartPole-v1" }, "agents": { "ars": {
                "policy": { "type": "neural", "hidden": hidden },
                "training": { "algorithm": algorithm, "schedule": { "steps": 1 } } } } });
            let problems = crate::validation::check(&value).err().unwrap_or_default();
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(problems(json!([]), json!({ "name": "ars" })), [""; 0]);
        assert_eq!(problems(json!([8]), json!({ "name": "ars", "zero_policy": false })), [""; 0]);
        let found = problems(json!([]), json!({ "name": "ars", "n_top": 9 }));
        assert!(
            matches!(&found[..], [one] if one.contains("at most the 8 of n_delta")),
            "{found:?}"
        );
        let found = problems(json!([8]), json!({ "name": "ars" }));
        assert!(matches!(&found[..], [one] if one.contains("\"hidden\": []")), "{found:?}");
    }

    #[test]
    fn a_linear_policy_learns_to_balance() {
        let environment =
            serde_json::from_value(json!({ "id": "CartPole-v1" })).expect("registered");
        let linear = json!({ "type": "neural", "hidden": [] });
        let ars = json!({ "name": "ars" });
        let found = crate::algorithm::echo::learned(&environment, linear, ars, 40);
        assert!(found > 450.0, "{found} of 500");
    }
}

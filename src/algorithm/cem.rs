//! CEM: the cross-entropy method over a policy's parameters (Rubinstein, 1999; for control: Mannor et al.,
//! 2003, Szita & Lőrincz, "Learning Tetris using the noisy cross-entropy method", 2006).
//!
//! An iteration draws a population from a normal distribution with a diagonal covariance, lets each candidate
//! play, and fits the distribution to the best of them. The policy is the distribution's mean. Noise that
//! fades over the generations is added to the deviations, without which they collapse too early.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::interface::{Algorithm, AlgorithmSettings, Setup, by_precision, report};
use super::population::{self, Population, PopulationConfig};
use crate::env::{Env, Policy, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::random::normal;
use crate::nn::{Scalar, Tensors};
use crate::policy::{LearnedPolicy, PolicySpec};
use crate::rng::{Purpose, Rng, stream};
use crate::stats;
use crate::training::{MetricMeans, TrialError, World};

/// Hyperparameters of the cross-entropy method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CemSpec {
    /// Candidates in a generation.
    #[schemars(range(min = 2, max = 100_000))]
    pub population_size: usize,
    /// The part of a generation that the next one is fitted to; at least one candidate.
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub elite_fraction: f64,
    /// Standard deviation of the parameters in the first generation.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub init_std: f64,
    /// Standard deviation of the noise that is added at first.
    #[schemars(range(min = 0.0))]
    pub extra_std: f64,
    /// Generations in which the added noise's variance falls to zero, linearly.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub extra_decay_time: u64,
    /// Episodes that each candidate plays; their mean return decides.
    #[schemars(range(min = 1, max = 10_000))]
    pub episodes_per_candidate: u64,
    /// Normalise observations by their running mean and deviation, cut to ±10.
    pub normalize_observations: bool,
    /// Threads that the candidates play on; changes nothing but the time it takes.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: usize,
}

impl Default for CemSpec {
    fn default() -> Self {
        Self {
            population_size: 50,
            elite_fraction: 0.2,
            init_std: 1.0,
            extra_std: 0.5,
            extra_decay_time: 50,
            episodes_per_candidate: 1,
            normalize_observations: false,
            threads: 1,
        }
    }
}

impl CemSpec {
    fn population(&self) -> PopulationConfig {
        PopulationConfig {
            episodes: self.episodes_per_candidate,
            threads: self.threads,
            normalize_observations: self.normalize_observations,
        }
    }

    fn elites(&self) -> usize {
        ((self.population_size as f64 * self.elite_fraction).round() as usize).max(1)
    }
}

impl AlgorithmSettings for CemSpec {
    fn supports(&self, actions: &Space) -> bool {
        actions.is_discrete_or_box()
    }

    fn problems(
        &self,
        policy: &PolicySpec,
        schedule: &ScheduleSpec,
        env: &dyn Env,
    ) -> Vec<Problem> {
        population::problems(policy, schedule, env, self.normalize_observations)
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => self.population().policy::<T>(setup)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => Cem::<T>::new(self.clone(), setup)?)
    }
}

/// The cross-entropy method at work.
pub struct Cem<T: Scalar> {
    spec: CemSpec,
    /// Its policy is the distribution's mean.
    population: Population<T>,
    /// The distribution's standard deviations.
    std: Vec<f64>,
    rng: Rng,
}

impl<T: Scalar> Cem<T> {
    fn new(spec: CemSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let population = Population::new(spec.population(), setup)?;
        Ok(Self {
            std: vec![spec.init_std; population.parameters().len()],
            population,
            rng: stream(setup.seed, Purpose::Search, 0),
            spec,
        })
    }

    /// A generation drawn from the distribution, with the noise of generation number `generation` added.
    fn sample(&mut self, generation: u64) -> Vec<Vec<T>> {
        let CemSpec { population_size, extra_std, extra_decay_time, .. } = self.spec;
        let left = (1.0 - generation as f64 / extra_decay_time as f64).max(0.0);
        let extra = extra_std.powi(2) * left;
        let (mean, std, rng) = (self.population.parameters(), &self.std, &mut self.rng);
        let mut draw = |(mean, std): (&T, &f64)| {
            T::of(mean.as_f64() + (std.powi(2) + extra).sqrt() * normal(rng))
        };
        (0..population_size).map(|_| mean.iter().zip(std).map(&mut draw).collect()).collect()
    }

    /// Moves mean and deviations to those of the elites.
    fn fit(&mut self, elites: &[&Vec<T>]) {
        let count = elites.len() as f64;
        let means = self.population.policy.network.parameters_mut();
        for (i, (mean, std)) in means.iter_mut().zip(&mut self.std).enumerate() {
            let values = || elites.iter().map(|elite| elite[i].as_f64());
            let centre = values().sum::<f64>() / count;
            *std = (values().map(|value| (value - centre).powi(2)).sum::<f64>() / count).sqrt();
            *mean = T::of(centre);
        }
    }
}

impl<T: Scalar> Algorithm for Cem<T> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let candidates = self.sample(world.progress().updates);
        let fitness = self.population.judge(world, &candidates)?;
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by(|&a, &b| fitness[b].total_cmp(&fitness[a]));
        order.truncate(self.spec.elites());
        let elites: Vec<_> = order.iter().map(|&i| &candidates[i]).collect();
        self.fit(&elites);
        let elite_returns: Vec<f64> = order.iter().map(|&i| fitness[i]).collect();
        let mean = |values: &[f64]| stats::mean(values).unwrap_or(f64::NAN);
        let diagnostics = [
            ("population_return", mean(&fitness)),
            ("elite_return", mean(&elite_returns)),
            ("best_return", elite_returns[0]),
            ("parameter_std", mean(&self.std)),
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
        state.insert("std", &[self.std.len()], &self.std);
        state.insert_rng("rng", &self.rng);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.population.policy.load(state)?;
        self.std = state.get("std", &[self.std.len()])?;
        self.rng = state.rng("rng")?;
        Ok(())
    }
}

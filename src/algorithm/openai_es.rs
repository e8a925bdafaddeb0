//! OpenAI-ES (Salimans et al., "Evolution strategies as a scalable alternative to reinforcement learning",
//! 2017): gradient ascent on the return, smoothed by normal noise on the parameters.
//!
//! An iteration plays pairs of candidates, `θ + σε` and `θ - σε`, replaces their returns by centred ranks
//! and makes one step of Adam along `1/(nσ) · Σ rank · ε - weight_decay · θ`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::interface::{Algorithm, AlgorithmSettings, Setup, by_precision, has_head, report};
use super::population::{self, Population, PopulationConfig};
use crate::env::{Env, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::random::normal;
use crate::nn::{Optimiser, OptimiserConfig, Scalar, Tensors, clip_gradient_norm};
use crate::policy::{LearnedPolicy, PolicySpec};
use crate::rng::{Purpose, Rng, stream};
use crate::stats;
use crate::training::annealed::{self, Annealed};
use crate::training::{MetricMeans, TrialError, World};

/// Hyperparameters of OpenAI-ES.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OpenAiEsSpec {
    /// Pairs of candidates in a generation; the two of a pair mirror each other.
    #[schemars(range(min = 1, max = 100_000))]
    pub pairs: usize,
    /// Standard deviation of the noise on the parameters.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub sigma: f64,
    /// Step size of Adam.
    pub learning_rate: Annealed,
    /// How strongly parameters are drawn to zero.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Episodes that each candidate plays; their mean return decides.
    #[schemars(range(min = 1, max = 10_000))]
    pub episodes_per_candidate: u64,
    /// Normalise observations (the numbers of boxes in them) by their running mean and deviation, cut to ±10.
    pub normalize_observations: bool,
    /// Threads that the candidates play on; changes nothing but the time it takes.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: usize,
}

impl Default for OpenAiEsSpec {
    fn default() -> Self {
        Self {
            pairs: 20,
            sigma: 0.1,
            learning_rate: Annealed::Constant(0.03),
            weight_decay: 0.005,
            episodes_per_candidate: 1,
            normalize_observations: false,
            threads: 1,
        }
    }
}

impl OpenAiEsSpec {
    fn population(&self) -> PopulationConfig {
        PopulationConfig {
            episodes: self.episodes_per_candidate,
            threads: self.threads,
            normalize_observations: self.normalize_observations,
            alive_bonus_offset: 0.0,
        }
    }
}

impl AlgorithmSettings for OpenAiEsSpec {
    fn supports(&self, actions: &Space) -> bool {
        has_head(actions)
    }

    fn problems(
        &self,
        policy: &PolicySpec,
        schedule: &ScheduleSpec,
        env: &dyn Env,
    ) -> Vec<Problem> {
        // The noise of each pair, and both its candidates.
        let candidates = ("pairs", 3 * self.pairs);
        let mut problems =
            population::problems(policy, schedule, env, self.normalize_observations, candidates);
        let annealed = [("learning_rate", Some(self.learning_rate))];
        problems.extend(annealed::problems(&annealed, schedule));
        problems
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => self.population().policy::<T>(setup)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => OpenAiEs::<T>::new(self.clone(), setup)?)
    }
}

/// OpenAI-ES at work.
pub(super) struct OpenAiEs<T: Scalar> {
    spec: OpenAiEsSpec,
    schedule: ScheduleSpec,
    population: Population<T>,
    optimiser: Optimiser<T>,
    rng: Rng,
}

impl<T: Scalar> OpenAiEs<T> {
    fn new(spec: OpenAiEsSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let population = Population::new(spec.population(), setup)?;
        Ok(Self {
            optimiser: Optimiser::new(OptimiserConfig::ADAM, population.parameters().len()),
            population,
            schedule: setup.schedule.clone(),
            rng: stream(setup.seed, Purpose::Search, 0),
            spec,
        })
    }
}

/// The ranks of `values`, centred and scaled to [-0.5, 0.5]; equal values share the mean of their ranks.
pub(super) fn centred_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let last = (values.len() - 1).max(1) as f64;
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equals in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (equals.len() - 1) as f64 / 2.0;
        for &i in equals {
            ranks[i] = rank / last - 0.5;
        }
        first += equals.len();
    }
    ranks
}

/// The gradient of the loss, minus the smoothed return: `weight_decay · θ - 1/(nσ) · Σ rank · ε`, where
/// `ranks` holds those of `θ + σε` and `θ - σε` for each row of `noise`.
pub(super) fn gradient<T: Scalar>(
    parameters: &[T],
    noise: &[Vec<T>],
    ranks: &[f64],
    sigma: f64,
    weight_decay: f64,
) -> Vec<T> {
    let scale = 1.0 / (ranks.len() as f64 * sigma);
    let mut gradient: Vec<T> =
        parameters.iter().map(|&parameter| T::of(weight_decay) * parameter).collect();
    for (noise, pair) in noise.iter().zip(ranks.chunks_exact(2)) {
        let weight = T::of(scale * (pair[0] - pair[1]));
        for (slot, &noise) in gradient.iter_mut().zip(noise) {
            *slot -= weight * noise;
        }
    }
    gradient
}

impl<T: Scalar> Algorithm for OpenAiEs<T> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let OpenAiEsSpec { pairs, sigma, weight_decay, learning_rate, .. } = self.spec;
        let parameters = self.population.parameters().to_vec();
        let rng = &mut self.rng;
        let mut noise = || -> Vec<T> { parameters.iter().map(|_| T::of(normal(rng))).collect() };
        let noise: Vec<_> = (0..pairs).map(|_| noise()).collect();
        let moved = |noise: &Vec<T>, by: f64| -> Vec<T> {
            parameters.iter().zip(noise).map(|(&p, &noise)| p + T::of(by) * noise).collect()
        };
        let candidates: Vec<_> =
            noise.iter().flat_map(|noise| [moved(noise, sigma), moved(noise, -sigma)]).collect();
        let fitness = self.population.judge(world, &candidates)?;
        let ranks = centred_ranks(&fitness);

        let network = &mut self.population.policy.network;
        let mut parts = [network.parameters_and_gradients()];
        let gradient = gradient(&parameters, &noise, &ranks, sigma, weight_decay);
        parts[0].gradients.copy_from_slice(&gradient);
        let norm = clip_gradient_norm(&mut parts, f64::INFINITY);
        let diagnostics = [
            ("population_return", stats::mean(&fitness).unwrap_or(f64::NAN)),
            ("best_return", fitness.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            ("gradient_norm", norm),
        ];
        report(metrics, &diagnostics)?;
        let remaining = annealed::remaining(&self.schedule, world.progress());
        let learning_rate = learning_rate.at(remaining);
        self.optimiser.step(learning_rate, &mut parts);
        metrics.add("learning_rate", learning_rate);
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
        self.optimiser.save("optimiser.", state);
        state.insert_rng("rng", &self.rng);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.population.policy.load(state)?;
        self.optimiser.load("optimiser.", state)?;
        self.rng = state.rng("rng")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_centred_and_equals_share_theirs() {
        assert_eq!(centred_ranks(&[30.0, -1.0, 7.0]), [0.5, -0.5, 0.0]);
        assert_eq!(centred_ranks(&[2.0, 1.0, 2.0, 2.0, 9.0]), [0.0, -0.5, 0.0, 0.0, 0.5]);
        assert_eq!(centred_ranks(&[4.0; 3]), [0.0; 3]);
    }

    /// On a linear return the estimate has the gradient's direction, and equal returns leave the decay.
    #[test]
    fn the_gradient_leads_uphill() {
        let slope = [3.0, -2.0, 0.5];
        let parameters = [0.1, 0.2, -0.3];
        let sigma = 0.1;
        let mut rng = stream(1, Purpose::Search, 0);
        let noise: Vec<Vec<f64>> =
            (0..20_000).map(|_| slope.iter().map(|_| normal(&mut rng)).collect()).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let returns: Vec<f64> =
            noise.iter().flat_map(|noise| [1.0, -1.0].map(|s| s * dot(&slope, noise))).collect();
        let found = gradient(&parameters, &noise, &centred_ranks(&returns), sigma, 0.0);
        let cosine = -dot(&found, &slope) / (dot(&found, &found) * dot(&slope, &slope)).sqrt();
        assert!(cosine > 0.999, "{found:?} does not lead against {slope:?}: {cosine}");
        let level = gradient(&parameters, &noise, &vec![0.0; returns.len()], sigma, 0.5);
        assert_eq!(level, parameters.map(|parameter| 0.5 * parameter));
    }
}

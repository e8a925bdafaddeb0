//! The (1+1) evolution strategy over a policy's parameters, with the one-fifth success rule (Rechenberg,
//! "Evolutionsstrategie", 1973).
//!
//! An iteration adds normal noise to the parent's parameters and lets parent and child play the same episodes. The
//! better one is the next parent. The noise grows after a success and shrinks after a failure, so that it stays where
//! one child in five succeeds.

use rushes::algorithm::{
    Algorithm, AlgorithmEntry, AlgorithmSettings, Initial, Setup, by_precision, report,
};
use rushes::env::{Mode, Space};
use rushes::nn::random::normal;
use rushes::nn::{Scalar, Tensors};
use rushes::policy::{LearnedPolicy, NetworkPolicy};
use rushes::rng::{Purpose, Rng, env_seed, stream};
use rushes::training::{MetricMeans, TrialError, World};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The algorithm as the registry takes it.
pub fn entry() -> AlgorithmEntry {
    AlgorithmEntry::new::<OnePlusOneSpec>(
        "one_plus_one",
        "The (1+1) evolution strategy with the one-fifth success rule (Rechenberg, 1973).",
    )
}

/// Hyperparameters of the (1+1) evolution strategy.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OnePlusOneSpec {
    /// Standard deviation of the first child's noise.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub initial_std: f64,
    /// What the noise is multiplied by after a success.
    #[schemars(range(min = 1.0, max = 10.0))]
    pub growth: f64,
    /// Episodes that parent and child play; their mean return decides.
    #[schemars(range(min = 1, max = 10_000))]
    pub episodes_per_candidate: u64,
}

impl Default for OnePlusOneSpec {
    fn default() -> Self {
        Self { initial_std: 0.5, growth: 1.5, episodes_per_candidate: 3 }
    }
}

impl AlgorithmSettings for OnePlusOneSpec {
    fn supports(&self, actions: &Space) -> bool {
        actions.is_discrete_or_box()
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => policy::<T>(setup)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => OnePlusOne::<T>::new(self.clone(), setup)?)
    }
}

/// A fresh policy; the parameters are varied, not the actions.
fn policy<T: Scalar>(setup: &Setup<'_>) -> anyhow::Result<NetworkPolicy<T>> {
    let mut policy = setup.build_network_policy(Initial::PYTORCH)?;
    policy.log_std.fill(T::neg_infinity());
    Ok(policy)
}

/// The strategy at work.
struct OnePlusOne<T: Scalar> {
    spec: OnePlusOneSpec,
    /// Its network's parameters are the parent.
    policy: NetworkPolicy<T>,
    /// Standard deviation of the next child's noise.
    std: f64,
    seed: u64,
    rng: Rng,
}

impl<T: Scalar> OnePlusOne<T> {
    fn new(spec: OnePlusOneSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        Ok(Self {
            policy: policy(setup)?,
            std: spec.initial_std,
            seed: setup.seed,
            rng: stream(setup.seed, Purpose::Search, 0),
            spec,
        })
    }

    /// The mean return of the present parameters in this generation's episodes.
    fn judge(&mut self, world: &mut World, generation: u64) -> Result<f64, TrialError> {
        let episodes = self.spec.episodes_per_candidate;
        let mut total = 0.0;
        for i in 0..episodes {
            let seed = env_seed(self.seed, i, generation);
            // A greedy policy draws nothing from its stream.
            let mut rng = stream(seed, Purpose::Exploration, 0);
            total += world.play(&mut self.policy, Mode::Greedy, &mut rng, seed)?.r#return;
        }
        Ok(total / episodes as f64)
    }
}

impl<T: Scalar> Algorithm for OnePlusOne<T> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let generation = world.progress().updates;
        let parent_return = self.judge(world, generation)?;
        let parent = self.policy.network.parameters().to_vec();
        for parameter in self.policy.network.parameters_mut() {
            *parameter += T::of(self.std * normal(&mut self.rng));
        }
        let child_return = self.judge(world, generation)?;
        if child_return < parent_return {
            self.policy.network.parameters_mut().copy_from_slice(&parent);
        }
        // Four failures undo one success. A tie moves on, but is no success: nothing was gained.
        let success = child_return > parent_return;
        let growth = self.spec.growth;
        self.std *= if success { growth } else { growth.powf(-0.25) };
        let diagnostics = [
            ("parent_return", parent_return),
            ("child_return", child_return),
            ("success_rate", f64::from(success)),
            ("noise_std", self.std),
        ];
        report(metrics, &diagnostics)?;
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
        state.insert("std", &[1], &[self.std]);
        state.insert_rng("rng", &self.rng);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.policy.load(state)?;
        self.std = state.get("std", &[1])?[0];
        self.rng = state.rng("rng")?;
        Ok(())
    }
}

//! Learning algorithms: the trait, the table, and what they save.
//!
//! An algorithm is one file that can be read alone: hyperparameters, collecting, loss with its gradient,
//! update. Adding one means that file and one line in the `algorithms!` table below; the schema, the
//! checks of experiment files and the contract tests follow from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::env::{Env, Space};
use crate::experiment::Problem;
use crate::nn::Tensors;
use crate::policy::{NeuralSpec, Policy};
use crate::trial::{MetricMeans, TrialError, World};

mod reinforce;

pub use reinforce::{Reinforce, ReinforceSpec};

/// A learning algorithm at work: it owns its networks, its optimiser and its random streams.
pub trait Algorithm {
    /// Collects experience from `world` and updates the policy once. Diagnostics go into `metrics` under
    /// the field's names.
    ///
    /// # Errors
    /// Where the environment fails or a number stops being finite.
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError>;

    /// The environments were restarted at a checkpoint: unfinished episodes are forgotten.
    fn restart(&mut self) {}

    /// The policy as it is now, for evaluations and takes.
    fn policy(&mut self) -> &mut dyn Policy;

    /// The engine that computes the networks.
    fn engine(&self) -> String;

    /// Saves everything that the next iteration depends on.
    fn save(&self, state: &mut Tensors);

    /// Restores what [`Algorithm::save`] saved.
    ///
    /// # Errors
    /// Where something is missing or does not fit.
    fn load(&mut self, state: &Tensors) -> anyhow::Result<()>;

    /// Saves what is needed to act: the tensors of `policy.safetensors`.
    fn save_policy(&self, state: &mut Tensors);
}

/// What an algorithm is built from.
pub struct Setup<'a> {
    /// The agent's network.
    pub policy: &'a NeuralSpec,
    /// The observation space.
    pub observation_space: &'a Space,
    /// The action space.
    pub action_space: &'a Space,
    /// The trial's seed, which every random stream is derived from.
    pub seed: u64,
}

/// What the hyperparameters of every algorithm can do.
pub trait AlgorithmSettings {
    /// How many environments it collects from at a time.
    fn environments(&self) -> usize {
        1
    }

    /// Whether it learns to act in this kind of action space.
    fn supports(&self, actions: &Space) -> bool;

    /// What makes the algorithm impossible with this policy on `env`, beyond [`Self::supports`]; paths are
    /// below the agent.
    fn problems(&self, policy: &NeuralSpec, env: &dyn Env) -> Vec<Problem>;

    /// The algorithm with a fresh policy.
    ///
    /// # Errors
    /// Where the network's engine or device cannot be had.
    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>>;
}

macro_rules! algorithms {
    ($($(#[$doc:meta])* $variant:ident($settings:ty) = $name:literal,)*) => {
        /// The learning algorithm and its hyperparameters.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "name")]
        pub enum AlgorithmSpec {
            $($(#[$doc])* #[serde(rename = $name)] $variant($settings),)*
        }

        /// The names of all algorithms.
        pub const ALGORITHMS: &[&str] = &[$($name),*];

        impl AlgorithmSpec {
            /// The algorithm's name.
            pub fn name(&self) -> &'static str {
                match self { $(AlgorithmSpec::$variant(_) => $name,)* }
            }

            /// The algorithm with its defaults, `None` for a name that is not in [`ALGORITHMS`].
            pub fn by_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(AlgorithmSpec::$variant(<$settings>::default())),)*
                    _ => None,
                }
            }

            /// The hyperparameters, as what every algorithm can do.
            pub fn settings(&self) -> &dyn AlgorithmSettings {
                match self { $(AlgorithmSpec::$variant(settings) => settings,)* }
            }
        }
    };
}

algorithms! {
    /// Monte-Carlo policy gradient (Williams, 1992), as the Gymnasium, Keras and Ignite tutorials write it.
    Reinforce(ReinforceSpec) = "reinforce",
}

impl AlgorithmSpec {
    /// What makes this algorithm impossible on `env` with `policy`; paths are below the agent.
    pub fn problems(&self, policy: &NeuralSpec, env: &dyn Env) -> Vec<Problem> {
        let actions = env.action_space();
        if self.settings().supports(actions) {
            return self.settings().problems(policy, env);
        }
        let able: Vec<_> = ALGORITHMS
            .iter()
            .filter(|name| {
                Self::by_name(name).is_some_and(|spec| spec.settings().supports(actions))
            })
            .copied()
            .collect();
        let instead = if able.is_empty() { "no algorithm yet".into() } else { able.join(", ") };
        vec![Problem::new(
            &["training", "algorithm", "name"],
            format!("{} cannot act in {actions}; use {instead}", self.name()),
        )]
    }
}

//! Learning algorithms: the trait, the table, and what they save.
//!
//! An algorithm is one file that can be read alone: hyperparameters, collecting, loss with its gradient,
//! update. Adding one means that file and one line in the `algorithms!` table below; the schema, the
//! checks of experiment files and the contract tests follow from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::env::{Env, Space};
use crate::experiment::{Problem, ScheduleSpec};
use crate::nn::{
    self, CnnConfig, Engine, Head, Initialisation, MlpConfig, Network, Scalar, Tensors,
};
use crate::policy::{HeadSpec, NeuralSpec, ObservationSpec, Policy, PolicySpec};
use crate::rng::{Purpose, stream};
use crate::trial::{MetricMeans, TrialError, World};

mod a2c;
mod cem;
mod collection;
#[cfg(test)]
mod contract_tests;
mod dqn;
mod model_based_planning;
mod model_free_planning;
mod off_policy;
mod on_policy;
mod openai_es;
mod population;
mod ppo;
mod prediction;
mod q_learning;
mod reinforce;
mod sac;
mod schedule;
mod td3;
mod tqc;

pub use a2c::{A2c, A2cSpec};
pub use cem::{Cem, CemSpec};
pub use dqn::{Dqn, DqnSpec};
pub use model_based_planning::ModelBasedPlanningSpec;
pub use model_free_planning::ModelFreePlanningSpec;
pub use openai_es::{OpenAiEs, OpenAiEsSpec};
pub use ppo::{Ppo, PpoSpec};
pub use q_learning::QLearningSpec;
pub use reinforce::{Reinforce, ReinforceSpec};
pub use sac::{Sac, SacSpec};
pub use schedule::Schedule;
pub use td3::{Td3, Td3Spec};
pub use tqc::TqcSpec;

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

    /// Saves the samples that it learned from, where they are worth keeping by themselves: the tensors of
    /// `dataset.safetensors`.
    fn save_dataset(&self, _state: &mut Tensors) {}

    /// Restores what [`Algorithm::save_policy`] saved: enough to act, not to go on learning.
    ///
    /// # Errors
    /// Where something is missing or does not fit.
    fn load_policy(&mut self, state: &Tensors) -> anyhow::Result<()>;
}

/// What an algorithm is built from.
pub struct Setup<'a> {
    /// The agent's policy.
    pub policy: &'a PolicySpec,
    /// How long training lasts.
    pub schedule: &'a ScheduleSpec,
    /// The observation space.
    pub observation_space: &'a Space,
    /// The action space.
    pub action_space: &'a Space,
    /// The trial's seed, which every random stream is derived from.
    pub seed: u64,
}

impl<'a> Setup<'a> {
    /// The agent's network.
    ///
    /// # Errors
    /// Where its policy is another.
    pub fn network(&self) -> anyhow::Result<&'a NeuralSpec> {
        match self.policy {
            PolicySpec::Neural(network) => Ok(network),
            _ => anyhow::bail!("this algorithm learns a neural policy"),
        }
    }

    /// What the outputs of a policy over the action space mean: a normal distribution for continuous actions,
    /// and what the policy asks for else.
    ///
    /// # Errors
    /// Where the policy is not neural.
    pub fn head(&self) -> anyhow::Result<Head> {
        Ok(match (self.action_space, self.network()?.head) {
            (Space::Box { low, .. }, _) => Head::Gaussian { dimensions: low.len() },
            (_, HeadSpec::Sigmoid) => Head::Bernoulli,
            (space, HeadSpec::Softmax) => {
                Head::Categorical { actions: space.discrete().unwrap_or(1) }
            }
        })
    }

    /// A fresh network of the agent's shape from observations to `outputs`, and the engine that computes it.
    /// Number `index` draws from an initialisation stream of its own.
    ///
    /// # Errors
    /// Where the policy is not neural, or the engine or the device cannot be had.
    pub fn build_network<T: Scalar>(
        &self,
        outputs: usize,
        initial: Initial,
        index: u64,
    ) -> anyhow::Result<(Box<dyn Network<T>>, Engine)> {
        let spec = self.network()?;
        let NeuralSpec { engine, device, .. } = *spec;
        let mlp = MlpConfig {
            dropout: spec.dropout,
            initialisation: spec.initialisation.unwrap_or(initial.default),
            output_gain: initial.output_gain,
            ..MlpConfig::new(
                self.observation_space.features(),
                &spec.hidden,
                outputs,
                spec.activation,
            )
        };
        let mut rng = stream(self.seed, Purpose::Initialisation, index);
        match (&spec.convolutions[..], &spec.observation) {
            (convolutions @ [_, ..], ObservationSpec::Pixels(pixels)) => {
                let config = CnnConfig::new(pixels.shape(), convolutions, mlp);
                let network = nn::build_cnn(&config, engine, device, &mut rng)?;
                Ok((network, engine.resolve_cnn(device)?))
            }
            _ => {
                let network = nn::build(&mlp, engine, device, &mut rng)?;
                Ok((network, engine.resolve(&mlp, device)?))
            }
        }
    }
}

/// How a network's parameters begin, where the agent does not say.
#[derive(Debug, Clone, Copy)]
pub struct Initial {
    /// What the algorithm's reference uses.
    pub default: Initialisation,
    /// Scale of the last layer under [`Initialisation::Orthogonal`].
    pub output_gain: f64,
}

impl Initial {
    /// PyTorch's.
    pub const PYTORCH: Self = Self { default: Initialisation::Pytorch, output_gain: 1.0 };
}

/// What the hyperparameters of every algorithm can do.
pub trait AlgorithmSettings {
    /// How many environments it collects from at a time.
    fn environments(&self) -> usize {
        1
    }

    /// Whether it learns a table instead of a network.
    fn tabular(&self) -> bool {
        false
    }

    /// Whether its networks may have convolutions.
    fn convolutional(&self) -> bool {
        false
    }

    /// Whether it learns to act in this kind of action space.
    fn supports(&self, actions: &Space) -> bool;

    /// What makes the algorithm impossible with this policy on `env`, beyond [`Self::supports`]; paths are
    /// below the agent.
    fn problems(&self, policy: &PolicySpec, schedule: &ScheduleSpec, env: &dyn Env)
    -> Vec<Problem>;

    /// The most bytes that the samples of a trial take at a time, learned from, saved or restored; 0 for an
    /// algorithm that keeps none.
    fn memory_bytes(&self, _: &ScheduleSpec, _observations: &Space, _actions: &Space) -> u64 {
        0
    }

    /// The algorithm with a fresh policy.
    ///
    /// # Errors
    /// Where the network's engine or device or the memory for samples cannot be had.
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
    /// Synchronous advantage actor-critic (Mnih et al., 2016), as Stable-Baselines3 has it.
    A2c(A2cSpec) = "a2c",
    /// Deep Q-learning (Mnih et al., 2015), as Stable-Baselines3 has it, with the usual extensions.
    Dqn(DqnSpec) = "dqn",
    /// Q-learning with a table, for discrete observations (Watkins, 1989).
    QLearning(QLearningSpec) = "q_learning",
    /// Proximal policy optimisation (Schulman et al., 2017), as Stable-Baselines3 has it.
    Ppo(PpoSpec) = "ppo",
    /// The cross-entropy method over the policy's parameters (Rubinstein, 1999; Szita & Lőrincz, 2006).
    Cem(CemSpec) = "cem",
    /// Evolution strategies (Salimans et al., 2017): mirrored samples, centred ranks, Adam.
    OpenAiEs(OpenAiEsSpec) = "openai_es",
    /// Soft actor-critic (Haarnoja et al., 2018), as Stable-Baselines3 has it.
    Sac(SacSpec) = "sac",
    /// Twin delayed deep deterministic policy gradient (Fujimoto et al., 2018), as Stable-Baselines3 has it.
    Td3(Td3Spec) = "td3",
    /// Truncated quantile critics (Kuznetsov et al., 2020), as Stable-Baselines3's contrib package has it.
    Tqc(TqcSpec) = "tqc",
    /// Learns what actions earn and takes the best of some candidates.
    ModelFreePlanning(ModelFreePlanningSpec) = "model_free_planning",
    /// Learns a model of the environment and plans through it, as PETS does (Chua et al., 2018).
    ModelBasedPlanning(ModelBasedPlanningSpec) = "model_based_planning",
}

/// Adds an update's `losses` to `metrics`.
///
/// # Errors
/// Where one of them is not a number any more: the trial stops there.
fn report(metrics: &mut MetricMeans, losses: &[(&str, f64)]) -> Result<(), TrialError> {
    if losses.iter().any(|(_, value)| !value.is_finite()) {
        let metrics = losses.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        return Err(TrialError::NotFinite { what: "the loss or its gradient".into(), metrics });
    }
    for (name, value) in losses {
        metrics.add(name, *value);
    }
    Ok(())
}

impl AlgorithmSpec {
    /// What makes this algorithm impossible on `env` with `policy`; paths are below the agent.
    pub fn problems(
        &self,
        policy: &PolicySpec,
        schedule: &ScheduleSpec,
        env: &dyn Env,
    ) -> Vec<Problem> {
        let actions = env.action_space();
        let tabular = matches!(policy, PolicySpec::Tabular {});
        if tabular != self.settings().tabular() {
            let right = if tabular { "neural" } else { "tabular" };
            let message = format!("{} learns a policy of the type {right}", self.name());
            return vec![Problem::new(&["policy", "type"], message)];
        }
        if let PolicySpec::Neural(network) = policy
            && !network.convolutions.is_empty()
            && !self.settings().convolutional()
        {
            let message = format!("{} learns networks without convolutions", self.name());
            return vec![Problem::new(&["policy", "convolutions"], message)];
        }
        if self.settings().supports(actions) {
            return self.settings().problems(policy, schedule, env);
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

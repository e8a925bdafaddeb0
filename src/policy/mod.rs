//! Policies: what turns an observation into an action.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use anyhow::Context as _;

use crate::env::{Env, EnvSpec, Options, Policy};

mod external;
mod hard_coded;
mod layers;
mod learned;
mod network;
mod neural;
mod planning;
mod random;
mod recurrent;
mod squashed;

pub use external::ExternalPolicySpec;
pub use hard_coded::{HardCodedSpec, Rule, RuleError};
pub use layers::{Layer, LayerKind};
pub use learned::{LearnedPolicy, Readout, begin_with, valid_actions};
pub use network::NetworkPolicy;
pub use neural::{HeadSpec, NeuralSpec, ObservationSpec};
pub use planning::{Planning, PlanningSpec};
pub use random::Random;
pub use recurrent::RecurrentStates;
pub(crate) use recurrent::recurrent;
pub(crate) use squashed::latent;
pub use squashed::{NotFinite, SquashedPolicy};

/// How an agent acts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PolicySpec {
    /// Known to a training script alone: what stands in no file.
    #[default]
    #[serde(skip)]
    Trainers,
    /// Actions drawn uniformly from the action space.
    Random {},
    /// A rule written in the file, or one that the environment ships.
    HardCoded(HardCodedSpec),
    /// A neural network.
    Neural(NeuralSpec),
    /// A table of action values, for discrete observations.
    Tabular(TabularSpec),
    /// Planning on copies of the environment itself, where it can be copied.
    Planning(PlanningSpec),
    /// A program of your own.
    External(ExternalPolicySpec),
}

/// A table of action values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TabularSpec {
    /// Only take actions that the environment's `info["action_mask"]` allows, in training, evaluations and takes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub action_mask: bool,
}

impl PolicySpec {
    /// How it is started, as a shell takes it, where another process makes it.
    pub fn shown(&self) -> Option<String> {
        match self {
            PolicySpec::External(external) => Some(external.shown()),
            _ => None,
        }
    }

    /// Whether a training script alone knows the policy.
    pub fn is_trainers(&self) -> bool {
        *self == Self::Trainers
    }

    /// What the policy sees of the environment; all but neural ones see its state.
    pub fn observation(&self) -> &ObservationSpec {
        match self {
            PolicySpec::Neural(network) => &network.observation,
            _ => &ObservationSpec::State,
        }
    }

    /// Whether only actions that the environment's mask allows are taken.
    pub fn masks_actions(&self) -> bool {
        match self {
            PolicySpec::Neural(network) => network.action_mask,
            PolicySpec::Tabular(table) => table.action_mask,
            _ => false,
        }
    }

    /// How a neural policy's outputs become actions; `None` for the others.
    pub fn head(&self) -> Option<HeadSpec> {
        match self {
            PolicySpec::Neural(network) => Some(network.head),
            _ => None,
        }
    }
}

/// Builds a policy that does not learn.
///
/// # Errors
/// Fails if its rule does not compile, its name is unknown, or it is neural.
pub fn fixed(
    spec: &PolicySpec,
    env_spec: &EnvSpec,
    options: &Options,
    env: &dyn Env,
) -> anyhow::Result<Box<dyn Policy>> {
    match spec {
        PolicySpec::Random {} => Ok(Box::new(Random::new(env.action_space()))),
        PolicySpec::HardCoded(HardCodedSpec { rule: Some(rule), .. }) => {
            Ok(Box::new(Rule::compile(rule, env_spec, env)?))
        }
        PolicySpec::HardCoded(HardCodedSpec { name, .. }) => {
            let name = name.as_deref().context("expected a rule or a built-in policy's name")?;
            let builtin = env_spec.policies.iter().find(|policy| policy.name == name);
            let builtin = builtin.with_context(|| env_spec.unknown_policy(name))?;
            Ok((builtin.make)(options)?)
        }
        PolicySpec::Planning(planning) => Ok(Box::new(Planning::new(planning, env.action_space()))),
        PolicySpec::External(external) => Ok(Box::new(external.build(env)?)),
        PolicySpec::Neural(_) => anyhow::bail!("a neural policy needs training"),
        PolicySpec::Tabular(_) => anyhow::bail!("a table needs training"),
        PolicySpec::Trainers => anyhow::bail!("only the training script knows its policy"),
    }
}

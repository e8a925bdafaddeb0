//! Learning algorithms.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod reinforce;

pub use reinforce::ReinforceSpec;

/// The learning algorithm and its hyperparameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum AlgorithmSpec {
    /// REINFORCE.
    Reinforce(ReinforceSpec),
}

use crate::env::{Env, Space};
use crate::experiment::Problem;
use crate::policy::NeuralSpec;

impl AlgorithmSpec {
    /// What makes this algorithm impossible on `env` with `policy`; paths are below the agent.
    pub fn problems(&self, policy: &NeuralSpec, env: &dyn Env) -> Vec<Problem> {
        let _ = (policy, env.action_space() as &Space);
        Vec::new()
    }
}

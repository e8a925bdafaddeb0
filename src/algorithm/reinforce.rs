//! REINFORCE.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// REINFORCE: Monte-Carlo policy gradient (Williams, 1992).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReinforceSpec {
    /// Step size of Adam.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub learning_rate: f64,
    /// Discount factor of future rewards.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub discount: f64,
}

impl Default for ReinforceSpec {
    fn default() -> Self {
        Self { learning_rate: 0.01, discount: 0.99 }
    }
}

//! Networks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An activation function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(0, x)
    #[default]
    Relu,
    /// tanh x
    Tanh,
    /// x
    Linear,
    /// x or exp(x) - 1
    Elu,
}

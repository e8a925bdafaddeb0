//! The regression gate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the regression gate decides.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckSpec {}

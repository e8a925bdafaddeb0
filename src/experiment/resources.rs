//! What a trial needs of the machine that it runs on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What each trial needs of the machine that it runs on. Engines ask for it (`rushes run --engine slurm`, `--engine ray`); on this machine,
/// `cores` decides how many trials run at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResourcesSpec {
    /// Processor cores; one by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub cores: Option<u32>,
    /// Memory in megabytes; what the engine gives by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub memory_mb: Option<u32>,
    /// How long an engine may keep it running at a time, in minutes; what the engine gives by default. A trial that takes
    /// longer goes on from its checkpoint in another job.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub minutes: Option<u32>,
}

//! Experiments: what a user writes ([`Spec`]), what follows from it ([`Plan`]), and what is wrong with it.

mod algorithm;
mod check;
mod environment;
mod error;
mod overrides;
mod pinned;
mod plan;
mod resources;
pub mod schema;
mod search;
mod shard;
mod spec;
mod suite;
mod synonyms;

pub use algorithm::{AlgorithmSchema, AlgorithmSpec};
pub use check::{CheckSpec, Metric, Question};
pub use environment::{EnvironmentSpec, TimeoutsSpec};
pub use error::{ExperimentError, repeated_keys};
pub use overrides::Override;
pub use pinned::Pinned;
pub use plan::{Plan, TrialPlan, Views, plain};
pub use resources::ResourcesSpec;
pub use search::{
    Direction, Objective, ParameterSpec, Parent, Sample, SamplerSpec, SchedulerSpec, SearchSpec,
    problems as search_problems,
};
pub use shard::Shard;
pub use spec::*;
pub use suite::{Part, ScoreRange, part, qualified};

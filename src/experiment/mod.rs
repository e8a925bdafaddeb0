//! Experiments: what a user writes ([`Spec`]), what follows from it ([`Plan`]), and what is wrong with it.

mod error;
pub mod load;
mod memory;
mod overrides;
mod plan;
pub mod schema;
mod spec;

pub use error::{ExperimentError, Problem};
pub use load::load;
pub use memory::MemoryEstimate;
pub use overrides::Override;
pub use plan::{FORMAT_VERSION, Plan, TrialPlan};
pub use spec::*;

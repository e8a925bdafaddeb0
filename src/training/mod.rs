//! What algorithms stand on: the environments that they learn in, what they report, how they fail, and the
//! schedules and stop rules of training.

pub mod annealed;
mod error;
mod metrics;
mod stop;
mod trigger;
mod world;

pub use annealed::Annealed;
pub use error::TrialError;
pub use metrics::MetricMeans;
pub use stop::StopRule;
pub use trigger::Trigger;
pub use world::{Spectator, World};

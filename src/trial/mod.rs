//! One trial, from its plan to its result: film, train, film again, evaluate.
//!
//! There is one training loop, here. An algorithm collects experience and updates its policy, one iteration
//! at a time; the loop around it counts, evaluates, films, writes checkpoints and stops.

mod checkpoint;
mod error;
mod evaluate;
mod learner;
mod log;
mod metrics;
mod session;
mod stage;
mod stop;
mod take;
mod trigger;
mod world;

pub use error::TrialError;
pub use evaluate::evaluate;
pub use metrics::MetricMeans;
pub use session::run;
pub use stop::StopRule;
pub use take::{Scene, TakeError, record_take};
pub use trigger::Trigger;
pub use world::World;

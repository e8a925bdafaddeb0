//! One trial, from its plan to its result: film, train, film again, evaluate.
//!
//! There is one training loop, here. An algorithm collects experience and updates its policy, one iteration
//! at a time; the loop around it counts, evaluates, films, writes checkpoints and stops.

mod checkpoint;
mod evaluate;
mod learner;
mod log;
mod memory;
mod numbers;
mod session;
mod stage;
mod take;
mod trainer;
mod training_takes;
mod wishes;

pub use checkpoint::{newest_checkpoint, read_checkpoint};
pub use evaluate::evaluate;
pub use memory::MemoryEstimate;
pub use session::run;
pub use take::{Scene, TakeError, record_take};
pub use wishes::Wishes;

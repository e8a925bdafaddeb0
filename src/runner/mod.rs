//! The local runner: a rayon pool that waits on child processes, one a trial.
//!
//! A child is a fault domain: it can panic, be killed or time out without taking the others along, and is
//! the same boundary that a cluster would schedule.

mod child;
mod display;
mod pool;

pub use child::end_with_parent;
pub use display::Display;
pub use pool::{Ended, Outcome, Pool};

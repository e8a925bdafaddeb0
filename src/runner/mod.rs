//! Where trials run.
//!
//! [`Runner`] is the seam: the rest of the program only sees trials advance and end. [`Local`] runs each as a child
//! process of this machine. A child is a fault domain: it can panic, be killed or time out without taking the others
//! along, and is the same boundary that a cluster would schedule. It writes its own files, result included; what a
//! runner adds is how a process ended that left no result.

use crate::experiment::{Plan, TrialPlan};
use crate::record::{Record, TrialResult};

mod display;
mod interrupt;
mod local;
mod only;
mod pace;
mod process;

pub use display::Display;
pub use interrupt::{Interrupt, Request};
pub use local::Local;
pub use only::{Only, TrialPattern};
pub use process::{engine_program, follow_parent};

/// Advances trials.
pub trait Runner {
    /// Runs every one of `trials` that is not over yet, to its end or until it pauses after `pause_at` environment
    /// steps of training; trials that failed in an earlier attempt run again. Says how each of them stands.
    ///
    /// # Errors
    /// Fails if a trial's files cannot be written at all. Trials that fail are no error here.
    fn advance(
        &self,
        trials: &[&TrialPlan],
        pause_at: Option<u64>,
    ) -> anyhow::Result<Vec<TrialStatus>>;
}

/// How a trial stands after [`Runner::advance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialStatus {
    /// It ran to its end.
    Completed,
    /// It failed by its own account, or took too long.
    Failed,
    /// Its process could not be started, or was killed and left no result: what it would have come to is not known.
    Died,
    /// The user had it end where it stood: it was evaluated, and can go on in a resumed run.
    Stopped,
    /// The user had the run end before this trial began, or while it waited at a checkpoint.
    LeftOut,
    /// It waits at a checkpoint and can go on.
    Paused,
    /// The run was interrupted; the trial can go on.
    Interrupted,
}

/// Sees what happens while trials run.
pub trait Observer: Sync {
    /// The plan has more trials than at first.
    fn planned(&self, plan: &Plan);
    /// A trial starts, or goes on.
    fn started(&self, plan: &TrialPlan);
    /// Something happened in a trial.
    fn event(&self, plan: &TrialPlan, record: &Record);
    /// A trial is over; it may have been before it was to be run.
    fn ended(&self, plan: &TrialPlan, result: &TrialResult);
    /// A trial runs no longer, whatever became of it.
    fn stopped(&self, plan: &TrialPlan);
    /// A trial's process died, as `cause` says; what becomes of the trial is decided when the others stand.
    fn died(&self, plan: &TrialPlan, cause: &str);
    /// A trial whose process died is run again.
    fn again(&self, plan: &TrialPlan);
}

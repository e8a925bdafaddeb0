//! Where trials run.
//!
//! [`Runner`] is the seam: the rest of the program only sees trials advance and end. A runner takes them from a
//! [`Source`], whenever it has a place, so that what comes next may depend on what ended. [`Local`] runs each as a child
//! process of this machine. A child is a fault domain: it can panic, be killed or time out without taking the others
//! along, and is the same boundary that a cluster would schedule. It writes its own files, result included; what a
//! runner adds is how a process ended that left no result.

use crate::experiment::{Plan, TrialPlan};
pub use crate::record::TrialStatus;
use crate::record::{Record, TrialResult};
use crate::store::TrialDir;

mod cluster;
mod display;
mod interrupt;
mod local;
mod only;
mod pace;
mod process;
mod ray;
mod samples;
mod slurm;

pub use cluster::{Cluster, JobOptions, Scheduler};
pub use display::Display;
pub use interrupt::{Interrupt, Request};
pub use local::Local;
pub use only::{Only, TrialPattern};
pub use process::{engine_program, follow_parent};
pub use ray::{Ray, RayOptions};
pub use slurm::{Slurm, SlurmOptions};

/// Advances trials.
pub trait Runner {
    /// Gives every trial that `source` has its turn, as many at a time as there are places, and tells the source how each
    /// stands after it. Ends when the source has no trial and none is under way.
    ///
    /// # Errors
    /// Fails if a trial's files cannot be written at all, or the source does. Trials that fail are no error here.
    fn run<'p>(&self, source: &mut dyn Source<'p>) -> anyhow::Result<()>;
}

/// What a runner takes trials from, one after another: a list, or decisions that are taken when there is a place.
pub trait Source<'p> {
    /// The next trial to advance; nothing where there is none before another one has ended. `free` says whether it begins at
    /// once, which may take a question to a cluster: only then is anything decided, so that all that is known by then counts.
    ///
    /// # Errors
    /// Fails if what a decision follows from cannot be read, or the decision cannot be written down.
    fn next(&mut self, free: &dyn Fn() -> bool) -> anyhow::Result<Option<Turn<'p>>>;

    /// Takes note of how a trial stands after its turn.
    ///
    /// # Errors
    /// Fails if what follows from it cannot be read or written down.
    fn ended(&mut self, turn: Turn<'p>, status: TrialStatus) -> anyhow::Result<()>;
}

/// A trial that is to be advanced. One that is over stays as it is; one that failed in an earlier attempt runs again.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'p> {
    /// The trial.
    pub trial: &'p TrialPlan,
    /// After how many environment steps of training it pauses; nothing where it runs to its end.
    pub pause_at: Option<u64>,
}

/// The result of a trial that is over and need not run again. Without its whole event log a result is of no use to reports
/// and searches: the trial then goes on from a checkpoint.
pub fn over(dir: &TrialDir, plan: &TrialPlan) -> Option<TrialResult> {
    let result = dir.result().ok()?;
    let is_logged = || dir.events().is_ok_and(|log| log.tells_of(&result));
    (!result.outcome.failed() && plan.is_over(&result) && is_logged()).then_some(result)
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
    /// Something that a person should know of the whole run.
    fn note(&self, message: &str);
}

//! What a cluster has to offer: jobs that are submitted, asked after and cancelled.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use crate::store::RunDir;

/// A task of a job: the job's name and the task's index.
pub(in crate::runner) type TaskName = (String, usize);

/// A cluster's scheduler. A job has one task a trial.
pub trait Scheduler {
    /// What messages call it.
    fn name(&self) -> &'static str;

    /// How its jobs are treated.
    fn options(&self) -> &JobOptions;

    /// How many trials run at a time, as far as the scheduler tells.
    ///
    /// # Errors
    /// Fails if the scheduler does not answer.
    fn places(&self) -> Result<Option<usize>, QueueError>;

    /// How many trials the next job may have; 0 where there is no room for it now.
    ///
    /// # Errors
    /// Fails if the scheduler does not say.
    fn next_batch(&self, load: &Load) -> Result<usize, QueueError>;

    /// Submits trials as one job.
    ///
    /// # Errors
    /// Fails if the scheduler does not take it.
    fn submit(&self, batch: &Batch<'_>) -> Result<(), QueueError>;

    /// The tasks of the jobs of these names, as far as they are still known. What they wrote lies in `run` afterwards.
    ///
    /// # Errors
    /// Fails if the scheduler does not say.
    fn tasks(&self, run: &RunDir, names: &[String]) -> Result<HashMap<TaskName, Task>, QueueError>;

    /// Cancels tasks: each is told to end, and killed a moment later.
    ///
    /// # Errors
    /// Fails if the scheduler does not do it.
    fn cancel(&self, ids: &[String]) -> Result<(), QueueError>;

    /// Has running tasks end early: evaluated where they stand, as far as the scheduler can tell them so.
    ///
    /// # Errors
    /// Fails if the scheduler does not do it.
    fn interrupt(&self, ids: &[String]) -> Result<(), QueueError>;

    /// Cancels jobs by their names.
    ///
    /// # Errors
    /// Fails if the scheduler does not do it.
    fn cancel_jobs(&self, names: &[String]) -> Result<(), QueueError>;

    /// The command line that cancels jobs by hand.
    fn cancel_command(&self, names: &[String]) -> String;

    /// Sets how many tasks run at a time of the job that the task of this id belongs to; nothing is no limit.
    ///
    /// # Errors
    /// Fails if the scheduler does not do it.
    fn set_limit(&self, id: &str, limit: Option<usize>) -> Result<(), QueueError>;

    /// The last line that a task printed.
    fn last_words(&self, run: &RunDir, task: &TaskName) -> Option<String>;
}

/// What a run has to do and has submitted.
#[derive(Debug)]
pub struct Load {
    /// Trials to be submitted.
    pub(in crate::runner) open: usize,
    /// Trials that are submitted and not over.
    pub(in crate::runner) running: usize,
    /// Jobs that are not over.
    pub(in crate::runner) jobs: usize,
    /// How many trials may run at a time.
    pub(in crate::runner) limit: Option<usize>,
}

/// What one job runs.
#[derive(Debug)]
pub struct Batch<'a> {
    pub(in crate::runner) run: &'a RunDir,
    /// The job's name.
    pub(in crate::runner) name: &'a str,
    /// The trials of its tasks.
    pub(in crate::runner) trials: &'a [String],
    /// How many of its tasks may run at a time.
    pub(in crate::runner) limit: Option<usize>,
    /// The program's arguments, up to the trials' directories.
    pub(in crate::runner) arguments: Vec<String>,
}

/// A task that the scheduler knows of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// What the scheduler calls it.
    pub(in crate::runner) id: String,
    pub(in crate::runner) state: State,
}

/// How a task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::runner) enum State {
    /// It waits, for a reason in the scheduler's words; `None` where it has none.
    Waiting(String),
    Running,
    Over(Gone),
}

/// How a task ended, in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::runner) enum Gone {
    /// By itself: the trial is not to be submitted again at once.
    Died(String),
    /// Its node, or its time: the trial goes on elsewhere.
    Lost(String),
    /// Somebody cancelled it.
    Cancelled(String),
    /// It waited in vain for room.
    NotStarted(String),
}

impl Gone {
    /// The words.
    pub(super) fn cause(&self) -> &str {
        let (Self::Died(how) | Self::Lost(how) | Self::Cancelled(how) | Self::NotStarted(how)) =
            self;
        how
    }
}

/// Why a scheduler did nothing.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// It cannot be reached, or is busy: later it may be.
    #[error("{0}")]
    Unreachable(String),
    /// It said no.
    #[error("{0}")]
    Refused(String),
    /// It takes no more jobs at present.
    #[error("the limit of submitted jobs is reached")]
    Full,
    /// Its command is not there.
    #[error(
        "{0}: {1}; Slurm's commands are needed where --engine slurm is used, usually on a login node"
    )]
    Missing(&'static str, io::Error),
    /// A file on the way to it could not be read or written.
    #[error("{0:#}")]
    Other(anyhow::Error),
}

/// `--engine-option`s that jobs of every cluster have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobOptions {
    /// How long a trial may go on to its next checkpoint after its job was told to end.
    pub(in crate::runner) grace: Duration,
    /// How often the scheduler is asked for what runs.
    pub(in crate::runner) poll: Duration,
    /// Whether jobs go on when the run is interrupted.
    pub leaves: bool,
}

impl JobOptions {
    /// The defaults, with as long between two questions.
    pub(in crate::runner) fn asking_every(poll: Duration) -> Self {
        Self { grace: Duration::from_secs(30), poll, leaves: false }
    }

    /// Sets the option that was written as `NAME=VALUE`; says whether it is one of these.
    ///
    /// # Errors
    /// Fails if its value is none that it takes; says which are.
    pub(in crate::runner) fn set(&mut self, option: &str) -> anyhow::Result<bool> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let seconds = || match value.parse() {
            Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
            _ => anyhow::bail!("--engine-option {option}: expected seconds from 1 to 86400"),
        };
        match (name, value) {
            ("grace", _) => self.grace = seconds()?,
            ("poll", _) => self.poll = seconds()?,
            ("on-interrupt", "leave") => self.leaves = true,
            ("on-interrupt", "cancel") => self.leaves = false,
            ("on-interrupt", _) => anyhow::bail!(
                "--engine-option {option}: expected on-interrupt=cancel or on-interrupt=leave"
            ),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

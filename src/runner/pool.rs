//! Runs trials, some at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rayon::iter::{ParallelBridge as _, ParallelIterator as _};

use super::Display;
use super::child::{self, Ending};
use crate::experiment::TrialPlan;
use crate::store::RunDir;
use crate::trial::{self, Message};

/// What became of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Trials that ran to their end.
    pub completed: usize,
    /// Trials that failed.
    pub failed: usize,
    /// Whether it was interrupted before all trials were over.
    pub interrupted: bool,
}

/// How a trial's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The trial ran to its end.
    Completed,
    /// The trial failed.
    Failed,
    /// The trial can go on.
    Paused,
    /// The run was interrupted; the trial can go on.
    Interrupted,
}

/// The local runner.
pub struct Pool<'a> {
    /// Where the run's files are.
    pub run: &'a RunDir,
    /// How many trials run at a time.
    pub jobs: usize,
    /// How long a trial's process may take.
    pub timeout: Option<Duration>,
    /// Set from a signal handler to stop.
    pub interrupted: &'a AtomicBool,
    /// Shows what happens.
    pub display: &'a Display,
}

impl Pool<'_> {
    /// Runs every one of `trials` that is not over yet, to its end or until it pauses after `pause_at` steps
    /// of training; failed ones of an earlier attempt run again. Says how each of them ended.
    ///
    /// # Errors
    /// Where a trial's files cannot be written at all. Trials that fail are no error here.
    pub fn run(&self, trials: &[&TrialPlan], pause_at: Option<u64>) -> anyhow::Result<Vec<Ended>> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.jobs)
            .build()
            .context("failed to start the trials' threads")?;
        let mut ended: Vec<(usize, Ended)> = pool.install(|| {
            // A bridge hands trials out one by one, so that they start in the plan's order.
            (trials.iter().enumerate().par_bridge())
                .map(|(index, trial)| Ok((index, self.trial(trial, pause_at)?)))
                .collect::<anyhow::Result<_>>()
        })?;
        ended.sort_unstable_by_key(|(index, _)| *index);
        Ok(ended.into_iter().map(|(_, ended)| ended).collect())
    }

    fn trial(&self, plan: &TrialPlan, pause_at: Option<u64>) -> anyhow::Result<Ended> {
        let dir = self.run.trial(&plan.id);
        if let Ok(result) = dir.result()
            && !result.outcome.failed()
        {
            self.display.finished(plan, &result);
            return Ok(Ended::Completed);
        }
        if self.interrupted.load(Ordering::Relaxed) {
            return Ok(Ended::Interrupted);
        }
        dir.reopen()?;
        dir.create(plan)?;
        self.display.started(plan);
        let mut notes = Vec::new();
        let ending = child::run(&dir, pause_at, self.timeout, self.interrupted, |message| {
            if let Message::Note(note) = &message {
                notes.push(note.clone());
            }
            self.display.message(plan, &message);
        })?;
        let mut result = match (dir.result(), &ending) {
            (_, Ending::Interrupted) => {
                self.display.stopped(plan);
                return Ok(Ended::Interrupted);
            }
            (Ok(result), _) => result,
            (Err(_), Ending::Exited(status)) if status.success() && pause_at.is_some() => {
                self.display.stopped(plan);
                return Ok(Ended::Paused);
            }
            (Err(_), _) => trial::failed(plan, child::explain(&dir, &ending)),
        };
        result.notes = notes;
        dir.write_result(&result)?;
        self.display.finished(plan, &result);
        Ok(if result.outcome.failed() { Ended::Failed } else { Ended::Completed })
    }
}

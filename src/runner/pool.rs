//! Runs a plan's trials, some at a time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rayon::iter::{ParallelBridge as _, ParallelIterator as _};

use super::Display;
use super::child::{self, Ending};
use crate::experiment::{Plan, TrialPlan};
use crate::record::TrialResult;
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

/// The local runner.
pub struct Pool<'a> {
    /// Where the run's files are.
    pub run: &'a RunDir,
    /// How many trials run at a time.
    pub jobs: usize,
    /// Set from a signal handler to stop.
    pub interrupted: &'a AtomicBool,
    /// Shows what happens.
    pub display: &'a Display,
}

impl Pool<'_> {
    /// Runs every trial of `plan` that is not over yet; failed ones of an earlier attempt run again.
    ///
    /// # Errors
    /// Where a trial's files cannot be written at all. Trials that fail are no error here.
    pub fn run(&self, plan: &Plan) -> anyhow::Result<Outcome> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.jobs)
            .build()
            .context("failed to start the trials' threads")?;
        let timeout = plan.experiment.trial_timeout_seconds.map(Duration::from_secs_f64);
        let outcome = Mutex::new(Outcome::default());
        let results: Vec<anyhow::Result<()>> = pool.install(|| {
            // A bridge hands trials out one by one, so that they start in the plan's order.
            plan.trials
                .iter()
                .par_bridge()
                .map(|trial| {
                    let ended = self.trial(trial, timeout)?;
                    let mut outcome = outcome.lock().expect("no thread panics with the lock");
                    match ended {
                        None => outcome.interrupted = true,
                        Some(result) if result.outcome.failed() => outcome.failed += 1,
                        Some(_) => outcome.completed += 1,
                    }
                    Ok(())
                })
                .collect()
        });
        results.into_iter().collect::<anyhow::Result<()>>()?;
        Ok(outcome.into_inner().expect("no thread panics with the lock"))
    }

    /// Runs one trial; `None` where the run was interrupted.
    fn trial(
        &self,
        plan: &TrialPlan,
        timeout: Option<Duration>,
    ) -> anyhow::Result<Option<TrialResult>> {
        let dir = self.run.trial(&plan.id);
        if let Ok(result) = dir.result()
            && !result.outcome.failed()
        {
            self.display.finished(plan, &result);
            return Ok(Some(result));
        }
        if self.interrupted.load(Ordering::Relaxed) {
            return Ok(None);
        }
        dir.reopen()?;
        dir.create(plan)?;
        self.display.started(plan);
        let mut notes = Vec::new();
        let ending = child::run(&dir, timeout, self.interrupted, |message| {
            if let Message::Note(note) = &message {
                notes.push(note.clone());
            }
            self.display.message(plan, &message);
        })?;
        if matches!(ending, Ending::Interrupted) {
            self.display.stopped(plan);
            return Ok(None);
        }
        let mut result = match dir.result() {
            Ok(result) => result,
            Err(_) => trial::failed(plan, child::explain(&dir, &ending)),
        };
        result.notes = notes;
        dir.write_result(&result)?;
        self.display.finished(plan, &result);
        Ok(Some(result))
    }
}

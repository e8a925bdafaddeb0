//! The local runner: threads that wait on child processes, one a trial.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitStatus;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::process::{self, ProcessEnd};
use super::{Interrupt, Observer, Request, Runner, Source, TrialStatus, Turn, over};
use crate::exit::Exit;
use crate::experiment::TrialPlan;
use crate::lease::{Busy, LIFE};
use crate::record::TrialResult;
use crate::store::{RunDir, TrialDir};

/// How long to wait before looking again whether another process still works on a trial.
const PATIENCE: Duration = Duration::from_millis(100);

/// Runs trials as child processes of this machine.
pub struct Local<'a> {
    /// Where the run's files are.
    pub run: &'a RunDir,
    /// How many trials run at a time.
    pub jobs: usize,
    /// How long a trial's process may take.
    pub timeout: Option<Duration>,
    /// Stops the trials.
    pub interrupt: &'a Interrupt,
    /// Sees what happens.
    pub observer: &'a dyn Observer,
}

impl Runner for Local<'_> {
    fn run<'p>(&self, source: &mut dyn Source<'p>) -> anyhow::Result<()> {
        std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            let mut under_way = 0;
            loop {
                while under_way < self.jobs
                    && let Some(turn) = source.next(&|| true)?
                {
                    let sender = sender.clone();
                    let advance = move || {
                        // A panic goes on in the thread that waits here, which would else wait for ever.
                        let status = catch_unwind(AssertUnwindSafe(|| self.advance(turn)));
                        let _ = sender.send((turn, status));
                    };
                    std::thread::Builder::new()
                        .spawn_scoped(scope, advance)
                        .context("failed to start a trial's thread")?;
                    under_way += 1;
                }
                if under_way == 0 {
                    return Ok(());
                }
                let (turn, status) = receiver.recv().context("this end sends, too")?;
                under_way -= 1;
                source.ended(turn, status.unwrap_or_else(|panic| resume_unwind(panic))?)?;
            }
        })
    }
}

impl Local<'_> {
    /// Gives one trial its turn; says how it stands then.
    ///
    /// # Errors
    /// Fails if its files cannot be written at all.
    pub fn advance(&self, Turn { trial: plan, pause_at }: Turn<'_>) -> anyhow::Result<TrialStatus> {
        let dir = self.run.trial(&plan.id);
        loop {
            // A trial that somebody started alone, or that outlives a killed run for a moment, is not touched.
            while dir.is_locked() && self.interrupt.request().is_none() {
                std::thread::sleep(PATIENCE);
            }
            if let Some(result) = over(&dir, plan) {
                return Ok(self.over(plan, &result));
            }
            match self.interrupt.request() {
                Some(Request::Abort(_) | Request::Leave) => return Ok(TrialStatus::Interrupted),
                Some(Request::Finish) => return Ok(TrialStatus::LeftOut),
                None => {}
            }
            let prepared = match dir.prepare(plan, || over(&dir, plan).is_some()) {
                Ok(false) => continue,
                Err(error) if error.is::<Busy>() => {
                    self.wait_for_another(&dir);
                    continue;
                }
                prepared => prepared,
            };
            self.observer.started(plan);
            let see = |record| self.observer.event(plan, &record);
            let end = prepared
                .and_then(|_| process::run(&dir, pause_at, self.timeout, self.interrupt, see))
                .unwrap_or_else(ProcessEnd::NotStarted);
            if matches!(end, ProcessEnd::Interrupted | ProcessEnd::TimedOut(_)) {
                // What was killed has left its lease, which other machines would wait for.
                drop(dir.clone().take());
            }
            match (&end, dir.result()) {
                // A process of another machine has it.
                (ProcessEnd::Exited(status), _) if has_code(*status, Exit::Busy) => {
                    self.observer.stopped(plan);
                    self.wait_for_another(&dir);
                }
                (ProcessEnd::Interrupted, _) => {
                    self.observer.stopped(plan);
                    return Ok(TrialStatus::Interrupted);
                }
                (ProcessEnd::Exited(_) | ProcessEnd::TimedOut(_), Ok(result)) => {
                    return Ok(self.over(plan, &result));
                }
                (ProcessEnd::Exited(status), Err(_)) if has_code(*status, Exit::LEFT) => {
                    self.observer.stopped(plan);
                    return Ok(TrialStatus::Interrupted);
                }
                (ProcessEnd::Exited(status), Err(_)) if status.success() && pause_at.is_some() => {
                    self.observer.stopped(plan);
                    return Ok(TrialStatus::Paused);
                }
                (ProcessEnd::TimedOut(_), Err(_)) => {
                    dir.write_exit(process::explain(&dir, &end))?;
                    let result = dir.outcome(plan).context("the exit was just written")?;
                    return Ok(self.over(plan, &result));
                }
                (ProcessEnd::Exited(_) | ProcessEnd::NotStarted(_), _) => {
                    let how = process::explain(&dir, &end);
                    dir.write_exit(how.clone()).context(how.clone())?;
                    self.observer.stopped(plan);
                    if self.interrupt.request().is_none() {
                        self.observer.died(plan, &how);
                    }
                    return Ok(TrialStatus::Died);
                }
            }
        }
    }

    /// Waits while another machine's process has the trial's lease, but not for longer than one lives that nobody renews.
    fn wait_for_another(&self, dir: &TrialDir) {
        let since = Instant::now();
        while dir.has_lease() && since.elapsed() < LIFE && self.interrupt.request().is_none() {
            std::thread::sleep(PATIENCE);
        }
    }

    fn over(&self, plan: &TrialPlan, result: &TrialResult) -> TrialStatus {
        self.observer.ended(plan, result);
        TrialStatus::of(result)
    }
}

fn has_code(status: ExitStatus, exit: Exit) -> bool {
    status.code() == Some(exit.code().into())
}

//! Runs trials as jobs of a cluster: submits them, watches, submits again what was lost, and finds its jobs when a run is
//! resumed. What differs between clusters is a [`Scheduler`].
//!
//! ```text
//! RUN/jobs/NAME.json ──Scheduler::submit──▶ job: `rushes trials --attempt=NAME trials/ID…`
//! attempt.json, result.json, exit.json, events.jsonl ──▶ what became of a trial
//! Scheduler::tasks ──▶ what became of tasks that said nothing
//! ```
//! What is true of a trial stands in its files, written by the task. The scheduler is asked only whether a task that has
//! written nothing still exists; one that does not was cancelled, ran out of time or lost its node, and its trial is submitted
//! again. Jobs carry names of their own, so that a run that is resumed finds those that still run.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fs_err as fs;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

mod scheduler;

pub(super) use scheduler::{Batch, Gone, Load, QueueError, State, Task, TaskName};
pub use scheduler::{JobOptions, Scheduler};

use super::{Interrupt, Observer, Request, Runner, Source, TrialStatus, Turn, over};
use crate::experiment::TrialPlan;
use crate::lease::{Busy, LIFE};
use crate::record::{FORMAT_VERSION, Stored, TrialResult};
use crate::store::{self, EventCursor, RunDir, Stamp, TrialDir};

/// How often the trials' files are looked at.
const TICK: Duration = Duration::from_millis(250);
/// At most one part in so many of the time goes into looking.
const SPARING: u32 = 4;
/// How long the files of a task may take to be seen here after it is gone.
const VISIBLE_AFTER: Duration = Duration::from_secs(5);
/// How often in a row a trial may be submitted without getting anywhere.
const FRUITLESS: usize = 3;

/// Runs trials as tasks of a cluster's jobs.
pub struct Cluster<'a> {
    /// Where the run's files are.
    pub run: &'a RunDir,
    /// How many trials run at a time; as many as the cluster lets by default.
    pub jobs: Option<usize>,
    /// How long a trial's process may take.
    pub timeout: Option<Duration>,
    /// The cluster.
    pub scheduler: &'a dyn Scheduler,
    /// Stops the trials.
    pub interrupt: &'a Interrupt,
    /// Sees what happens.
    pub observer: &'a dyn Observer,
}

/// `jobs/NAME.json`: what a job or an array of jobs runs, for whoever comes back to the run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct JobRecord {
    format_version: u32,
    /// Where all of its trials pause.
    pause_at: Option<u64>,
    /// The trials of its tasks.
    pub trials: Vec<String>,
}

impl JobRecord {
    /// That of the job of this name.
    pub(super) fn read(run: &RunDir, name: &str) -> anyhow::Result<Self> {
        store::read_json(&run.jobs().join(format!("{name}.json")))
    }
}

impl Stored for JobRecord {
    fn file_names(&self) -> Vec<(&'static str, &str)> {
        self.trials.iter().map(|id| ("trials[]", id.as_str())).collect()
    }
}

/// A trial under way.
struct Underway<'p> {
    plan: &'p TrialPlan,
    /// Where it pauses.
    pause_at: Option<u64>,
    dir: TrialDir,
    /// The task that runs it; nothing while it is to be submitted.
    task: Option<TaskName>,
    /// What the scheduler called the task when it was asked last and knew it.
    id: Option<String>,
    /// Whether the task was seen at work.
    begun: bool,
    cursor: EventCursor,
    /// How its event log looked last.
    log: Option<Stamp>,
    /// Its newest checkpoint when it was submitted.
    checkpoint: Option<OsString>,
    /// How often it was submitted in a row without getting anywhere.
    fruitless: usize,
    /// When another process was found to work on it, so that it could not be submitted.
    busy: Option<Instant>,
    /// Since when the task is no longer there, and how it ended.
    gone: Option<(Instant, Gone)>,
    status: Option<TrialStatus>,
}

/// The arrays that are not over.
struct Arrays {
    /// How many tasks run at a time, by the array's name; nothing where there is no limit.
    limits: IndexMap<String, Option<usize>>,
    /// The most tasks of a new one, after the cluster refused more.
    largest: usize,
    known: HashMap<TaskName, Task>,
    /// When the scheduler was asked last, and whether it answered.
    asked: Option<(Instant, bool)>,
    /// Tasks that were told to end early.
    told: HashSet<String>,
    /// What the user was told last of the queue.
    said: String,
}

impl Runner for Cluster<'_> {
    fn run<'p>(&self, source: &mut dyn Source<'p>) -> anyhow::Result<()> {
        let mut trials: Vec<Underway<'p>> = Vec::new();
        let mut arrays = None;
        loop {
            while let Some(turn) = source.next(&|| self.has_place(trials.len()))? {
                trials.push(self.underway(turn));
            }
            if trials.iter().any(|trial| trial.status.is_none()) {
                let arrays = match &mut arrays {
                    Some(arrays) => arrays,
                    none => none.insert(self.adopted(&mut trials)?),
                };
                self.step(&mut trials, arrays)?;
            }
            if trials.is_empty() {
                return Ok(());
            }
            for trial in trials.extract_if(.., |trial| trial.status.is_some()) {
                let status = trial.status.context("a trial has no status")?;
                let Underway { plan, pause_at, .. } = trial;
                source.ended(Turn { trial: plan, pause_at }, status)?;
            }
        }
    }
}

impl Cluster<'_> {
    /// Whether a trial beside `under_way` others would run at once, as far as the scheduler tells: one always would.
    fn has_place(&self, under_way: usize) -> bool {
        let fits = |most: Option<usize>| most.is_none_or(|most| under_way < most);
        under_way == 0 || fits(self.jobs) && fits(self.scheduler.places().unwrap_or(Some(0)))
    }

    fn underway<'p>(&self, Turn { trial: plan, pause_at }: Turn<'p>) -> Underway<'p> {
        let dir = self.run.trial(&plan.id);
        let result = over(&dir, plan);
        if let Some(result) = &result {
            self.observer.ended(plan, result);
        }
        Underway {
            plan,
            pause_at,
            dir,
            task: None,
            id: None,
            begun: false,
            cursor: EventCursor::default(),
            log: None,
            checkpoint: None,
            fruitless: 0,
            busy: None,
            gone: None,
            status: result.as_ref().map(TrialStatus::of),
        }
    }

    /// The arrays of an earlier process that still run: their trials need no other. What nobody waits for is cancelled,
    /// and records of arrays that are gone are removed.
    fn adopted(&self, trials: &mut [Underway<'_>]) -> anyhow::Result<Arrays> {
        fs::create_dir_all(self.run.jobs())?;
        let mut records = Vec::new();
        for entry in fs::read_dir(self.run.jobs())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let record = JobRecord::read(self.run, &name)?;
                records.push((name, record));
            }
        }
        let names: Vec<String> = records.iter().map(|(name, _)| name.clone()).collect();
        let known = match &names[..] {
            [] => HashMap::new(),
            names => self.patiently(|| self.scheduler.tasks(self.run, names))?,
        };
        // What was fetched just now may have ended trials.
        for trial in trials.iter_mut().filter(|trial| trial.status.is_none()) {
            if let Some(result) = over(&trial.dir, trial.plan) {
                self.end(trial, &result);
            }
        }
        let mut taken: IndexMap<String, Option<String>> = IndexMap::new();
        let mut unwanted = Vec::new();
        let mut wanted = HashSet::new();
        let mut adopted = 0;
        for (name, record) in records {
            let mut runs = false;
            let mut waiting = None;
            for (index, id) in record.trials.iter().enumerate() {
                let task_name = (name.clone(), index);
                let Some(task) = known.get(&task_name) else { continue };
                if matches!(task.state, State::Over(_)) {
                    continue;
                }
                let waited_for = |trial: &&mut Underway<'_>| {
                    trial.plan.id == *id && trial.status.is_none() && trial.task.is_none()
                };
                match trials.iter_mut().find(waited_for) {
                    // Where the schedule was lengthened since, a job would train as long as before.
                    Some(trial)
                        if record.pause_at == trial.pause_at
                            && trial.dir.plan().is_ok_and(|stored| stored == *trial.plan) =>
                    {
                        trial.submitted(task_name)?;
                        wanted.insert(task.id.clone());
                        if matches!(task.state, State::Waiting(_)) {
                            waiting = Some(task.id.clone());
                        }
                        adopted += 1;
                        runs = true;
                    }
                    _ => unwanted.push(task.id.clone()),
                }
            }
            if runs {
                taken.insert(name, waiting);
            } else {
                self.forget(&name)?;
            }
        }
        if adopted > 0 {
            self.observer.note(&format!(
                "{adopted} trials are in {}'s queue already",
                self.scheduler.name()
            ));
        }
        // Where the tasks of a job are one to the scheduler, those that are over do not end the others.
        unwanted.retain(|id| !wanted.contains(id));
        self.patiently(|| self.scheduler.cancel(&unwanted))?;
        // They were submitted with the limit of that time.
        let limit = self.jobs.map(|jobs| (jobs / taken.len().max(1)).max(1));
        for id in taken.values().flatten() {
            self.set_limit(id, limit);
        }
        let limits = taken.into_keys().map(|name| (name, limit)).collect();
        let (asked, told, said) = (None, HashSet::new(), String::new());
        let largest = usize::MAX;
        Ok(Arrays { limits, largest, known, asked, told, said })
    }

    /// Submits, looks and decides once, and waits a moment where there is more to do.
    fn step(&self, trials: &mut [Underway<'_>], arrays: &mut Arrays) -> anyhow::Result<()> {
        let request = self.interrupt.request();
        match request {
            None => self.submit(trials, arrays)?,
            Some(Request::Finish) if !self.scheduler.options().leaves => {
                let unsubmitted = |t: &&mut Underway<'_>| t.task.is_none() && t.status.is_none();
                for trial in trials.iter_mut().filter(unsubmitted) {
                    trial.status = Some(TrialStatus::LeftOut);
                }
            }
            Some(_) => {
                self.leave(trials, arrays);
                return Ok(());
            }
        }
        let answered = self.ask(trials, arrays)?;
        let began = Instant::now();
        for trial in trials.iter_mut().filter(|trial| trial.status.is_none()) {
            self.look(trial, request)?;
            if answered {
                self.miss(trial, arrays, request)?;
            }
        }
        if answered && request.is_some() {
            self.end_early(arrays);
        }
        let live: HashSet<&str> = trials.iter().filter_map(Underway::array).collect();
        let ended: Vec<String> =
            arrays.limits.keys().filter(|name| !live.contains(&***name)).cloned().collect();
        for name in ended {
            arrays.limits.shift_remove(&name);
            self.forget(&name)?;
        }
        if trials.iter().any(|trial| trial.status.is_none()) {
            std::thread::sleep(TICK.max(began.elapsed() * SPARING));
        }
        Ok(())
    }

    /// Submits trials that no task runs, those that pause where the first of them does, as one array, as far as there is
    /// room.
    fn submit(&self, trials: &mut [Underway<'_>], arrays: &mut Arrays) -> anyhow::Result<()> {
        let running = trials.iter().filter_map(Underway::array).count();
        let load = Load {
            open: trials.iter().filter(|trial| trial.is_open()).count(),
            running,
            jobs: arrays.limits.len(),
            limit: self.jobs,
        };
        let Some(first) = trials.iter().find(|trial| trial.is_open()) else {
            self.widen(arrays);
            return Ok(());
        };
        let pause_at = first.pause_at;
        let batch = self.patiently(|| self.scheduler.next_batch(&load))?.min(arrays.largest);
        if batch == 0 {
            return Ok(());
        }
        let room = self.jobs.map(|jobs| jobs.saturating_sub(running));
        let mut open: Vec<&mut Underway<'_>> = Vec::new();
        let goes_along = |trial: &&mut Underway<'_>| trial.is_open() && trial.pause_at == pause_at;
        for trial in trials.iter_mut().filter(goes_along).take(batch) {
            if self.prepare(trial)? {
                open.push(trial);
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        let name = format!("rushes-{:016x}", rand::random::<u64>());
        let ids: Vec<String> = open.iter().map(|trial| trial.plan.id.clone()).collect();
        let folder = self.run.jobs();
        let record = JobRecord { format_version: FORMAT_VERSION, pause_at, trials: ids.clone() };
        store::write_json(&folder.join(format!("{name}.json")), &record)?;
        let batch = Batch {
            run: self.run,
            name: &name,
            trials: &ids,
            limit: room,
            arguments: self.arguments(&name, pause_at),
        };
        let mut tried = false;
        let submitted = self.patiently(|| {
            // It may have been taken although nobody said so.
            if std::mem::replace(&mut tried, true)
                && !self.scheduler.tasks(self.run, std::slice::from_ref(&name))?.is_empty()
            {
                return Ok(true);
            }
            match self.scheduler.submit(&batch) {
                Ok(()) => Ok(true),
                Err(QueueError::Full) => Ok(false),
                Err(error) => Err(error),
            }
        });
        match submitted {
            Ok(true) => {}
            Ok(false) => {
                self.forget(&name)?;
                let fewer = open.len() / 2;
                anyhow::ensure!(
                    fewer > 0 || running > 0,
                    "{} takes no job of yours at present: its limit of submitted jobs is reached; go on when other jobs \
                     have ended",
                    self.scheduler.name()
                );
                arrays.largest = fewer.max(1);
                return Ok(());
            }
            Err(error) => {
                self.forget(&name)?;
                return Err(error);
            }
        }
        for (index, trial) in open.iter_mut().enumerate() {
            trial.submitted((name.clone(), index))?;
        }
        arrays.limits.insert(name, room);
        Ok(())
    }

    /// Makes a trial ready to be submitted, unless another process works on it or has ended it.
    fn prepare(&self, trial: &mut Underway<'_>) -> anyhow::Result<bool> {
        match trial.dir.prepare(trial.plan, || over(&trial.dir, trial.plan).is_some()) {
            Err(error) if error.is::<Busy>() => {
                if trial.busy.replace(Instant::now()).is_none() {
                    self.observer.note(&error.to_string());
                }
                Ok(false)
            }
            Ok(false) => {
                if let Some(result) = over(&trial.dir, trial.plan) {
                    self.end(trial, &result);
                }
                Ok(false)
            }
            ready => ready,
        }
    }

    /// Gives the only array that is left all the room that there is.
    fn widen(&self, arrays: &mut Arrays) {
        let [(_, limit)] = &mut arrays.limits.iter_mut().collect::<Vec<_>>()[..] else {
            return;
        };
        if **limit < self.jobs {
            let waiting = |task: &&Task| matches!(task.state, State::Waiting(_));
            if let (Some(task), Some(jobs)) = (arrays.known.values().find(waiting), self.jobs) {
                self.set_limit(&task.id, Some(jobs));
            }
            **limit = self.jobs;
        }
    }

    /// Has the job of a task run so many at a time. It is no reason to end a run where that cannot be, as when the job has
    /// ended in the meantime.
    fn set_limit(&self, id: &str, limit: Option<usize>) {
        if let Err(error) = self.patiently(|| self.scheduler.set_limit(id, limit)) {
            let words = "as many trials of it run at a time as before";
            self.observer.note(&format!("{error:#}; {words}"));
        }
    }

    /// How `rushes trials` is called in a job, up to the trials' directories.
    fn arguments(&self, name: &str, pause_at: Option<u64>) -> Vec<String> {
        let mut words = vec!["trials".to_owned(), format!("--attempt={name}")];
        words.push(format!("--grace={}", self.scheduler.options().grace.as_secs()));
        words.extend(pause_at.map(|steps| format!("--pause-at={steps}")));
        words.extend(self.timeout.map(|timeout| format!("--timeout={}", timeout.as_secs_f64())));
        words
    }

    /// Asks the scheduler for the tasks, where it is time; says whether it answered.
    fn ask(&self, trials: &[Underway<'_>], arrays: &mut Arrays) -> anyhow::Result<bool> {
        if arrays.asked.is_some_and(|(at, _)| at.elapsed() < self.scheduler.options().poll) {
            return Ok(false);
        }
        let names: Vec<String> = arrays.limits.keys().cloned().collect();
        if names.is_empty() {
            return Ok(false);
        }
        let answer = self.scheduler.tasks(self.run, &names);
        let answered_before = arrays.asked.is_none_or(|(_, answered)| answered);
        arrays.asked = Some((Instant::now(), answer.is_ok()));
        match answer {
            Ok(known) => arrays.known = known,
            Err(error @ QueueError::Missing(..)) => return Err(error.into()),
            Err(error) => {
                if answered_before {
                    self.observer.note(&format!(
                        "{error}; asking again until {} answers",
                        self.scheduler.name()
                    ));
                }
                return Ok(false);
            }
        }
        let state = |trial: &Underway<'_>| Some(&arrays.known.get(trial.task.as_ref()?)?.state);
        let states = || trials.iter().filter(|trial| trial.status.is_none()).filter_map(state);
        let reason = states().find_map(|state| match state {
            State::Waiting(reason) if reason != "None" => Some(reason.clone()),
            _ => None,
        });
        let nothing_runs = !states().any(|state| *state == State::Running);
        if let Some(reason) = reason.filter(|reason| nothing_runs && *reason != arrays.said) {
            self.observer.note(&format!("waiting for {}: {reason}", self.scheduler.name()));
            arrays.said = reason;
        }
        Ok(true)
    }

    /// Looks at what a trial's task has written.
    fn look(&self, trial: &mut Underway<'_>, request: Option<Request>) -> anyhow::Result<()> {
        let Some((array, _)) = &trial.task else { return Ok(()) };
        let [log, ..] = trial.dir.stamps();
        let attempt = trial.dir.attempt(array);
        if log != trial.log {
            trial.log = log;
            self.begin(trial);
            for record in trial.dir.new_events(&mut trial.cursor)?.records {
                self.observer.event(trial.plan, &record);
            }
        }
        // A moment may pass until all of a trial's files are seen.
        let outcome = attempt.and_then(|_| trial.dir.outcome(trial.plan));
        match attempt {
            None => {}
            Some(TrialStatus::Completed | TrialStatus::Failed | TrialStatus::Stopped) => {
                if let Some(result) = outcome {
                    self.begin(trial);
                    self.end(trial, &result);
                }
            }
            Some(TrialStatus::Died) if outcome.is_none() => {}
            Some(TrialStatus::Died) => {
                if let Some(cause) = outcome.as_ref().and_then(|result| result.outcome.error()) {
                    self.observer.died(trial.plan, cause);
                }
                self.stop(trial, TrialStatus::Died);
            }
            Some(TrialStatus::Paused) => self.stop(trial, TrialStatus::Paused),
            Some(TrialStatus::LeftOut) => self.stop(trial, TrialStatus::LeftOut),
            Some(TrialStatus::Interrupted) if request.is_some() => {
                self.stop(trial, TrialStatus::Interrupted);
            }
            Some(TrialStatus::Interrupted) => {
                self.again(trial, &Gone::Lost("its job was told to end".to_owned()))?;
            }
        }
        Ok(())
    }

    /// Decides what becomes of a trial that has written nothing of an end, if its task is gone.
    fn miss(
        &self,
        trial: &mut Underway<'_>,
        arrays: &Arrays,
        request: Option<Request>,
    ) -> anyhow::Result<()> {
        let Some(task) = trial.task.as_ref().filter(|_| trial.status.is_none()) else {
            return Ok(());
        };
        let known = arrays.known.get(task);
        if let Some(task) = known {
            trial.id = Some(task.id.clone());
        }
        let how = match known.map(|task| &task.state) {
            Some(State::Waiting(_)) => {
                trial.gone = None;
                return Ok(());
            }
            Some(State::Running) => {
                trial.gone = None;
                self.begin(trial);
                return Ok(());
            }
            Some(State::Over(how)) => how.clone(),
            None => {
                Gone::Lost(format!("its job ended (no longer known to {})", self.scheduler.name()))
            }
        };
        let (since, how) = trial.gone.get_or_insert((Instant::now(), how)).clone();
        if since.elapsed() < VISIBLE_AFTER {
            return Ok(());
        }
        if request.is_some() {
            let status = if trial.begun { TrialStatus::Interrupted } else { TrialStatus::LeftOut };
            self.stop(trial, status);
            return Ok(());
        }
        if known.is_none() && !self.ensure_gone(trial, arrays) {
            return Ok(());
        }
        let Gone::Died(how) = &how else { return self.again(trial, &how) };
        let words = self.scheduler.last_words(self.run, task);
        let words = words.map(|line| format!(": {line}")).unwrap_or_default();
        let cause = format!("its job ended without a result ({how}){words}");
        self.observer.died(trial.plan, &cause);
        trial.dir.write_exit(cause)?;
        self.stop(trial, TrialStatus::Died);
        Ok(())
    }

    /// Cancels the task of a trial that the scheduler has forgotten, which may run all the same; says whether the scheduler
    /// could be told.
    fn ensure_gone(&self, trial: &Underway<'_>, arrays: &Arrays) -> bool {
        let told = match (&trial.id, trial.array()) {
            (Some(id), _) => self.scheduler.cancel(std::slice::from_ref(id)),
            // It was never seen; its job's name is its own alone where nothing else of the job is known.
            (None, Some(name)) if !arrays.known.keys().any(|(known, _)| known == name) => {
                self.scheduler.cancel_jobs(&[name.to_owned()])
            }
            (None, _) => Ok(()),
        };
        // Of what does not exist there is nothing to cancel.
        !matches!(told, Err(QueueError::Unreachable(_)))
    }

    /// Has a trial submitted again, unless that has got it nowhere before. Being cancelled is getting nowhere.
    fn again(&self, trial: &mut Underway<'_>, gone: &Gone) -> anyhow::Result<()> {
        let got_on = trial.dir.newest_checkpoint() != trial.checkpoint;
        trial.fruitless = match gone {
            Gone::Cancelled(_) => trial.fruitless + 1,
            _ if got_on => 0,
            Gone::NotStarted(_) => trial.fruitless,
            Gone::Died(_) | Gone::Lost(_) => trial.fruitless + 1,
        };
        let cause = gone.cause();
        if trial.fruitless <= FRUITLESS {
            trial.task = None;
            trial.gone = None;
            self.observer.stopped(trial.plan);
            self.observer.died(trial.plan, cause);
            self.observer.again(trial.plan);
            return Ok(());
        }
        let what_to_do = match gone {
            Gone::Cancelled(_) => "go on with --resume if that was not meant",
            _ => "give it more time (resources.minutes) or more checkpoints (checkpoint_every)",
        };
        trial.dir.write_exit(format!(
            "{cause}, {} times in a row without a new checkpoint; {what_to_do}",
            trial.fruitless
        ))?;
        match trial.dir.outcome(trial.plan) {
            Some(result) => self.end(trial, &result),
            None => self.stop(trial, TrialStatus::Died),
        }
        Ok(())
    }

    /// Has tasks that wait cancelled, and those that run evaluate where they stand.
    fn end_early(&self, arrays: &mut Arrays) {
        let new = |task: &&Task| !arrays.told.contains(&task.id);
        let tasks: Vec<Task> = arrays.known.values().filter(new).cloned().collect();
        let of = |running: bool| -> Vec<String> {
            let is = |task: &&Task| match task.state {
                State::Running => running,
                State::Waiting(_) => !running,
                State::Over(_) => false,
            };
            tasks.iter().filter(is).map(|task| task.id.clone()).collect()
        };
        let told = self.scheduler.cancel(&of(false));
        match told.and_then(|()| self.scheduler.interrupt(&of(true))) {
            Ok(()) => arrays.told.extend(tasks.iter().map(|task| task.id.clone())),
            Err(error) => self.observer.note(&error.to_string()),
        }
    }

    /// Leaves the trials where they are: to be cancelled, or to go on while nobody watches.
    fn leave(&self, trials: &mut [Underway<'_>], arrays: &Arrays) {
        let names: Vec<String> = arrays.limits.keys().cloned().collect();
        if self.scheduler.options().leaves {
            self.observer
                .note("what the cluster runs goes on; the run finds it when it is resumed");
        } else if let Err(error) = self.scheduler.cancel_jobs(&names) {
            self.observer
                .note(&format!("{error}; cancel with: {}", self.scheduler.cancel_command(&names)));
        }
        for trial in trials.iter_mut().filter(|trial| trial.status.is_none()) {
            self.stop(trial, TrialStatus::Interrupted);
        }
    }

    /// Does what the scheduler is needed for until it answers, or somebody interrupts.
    fn patiently<T>(&self, mut ask: impl FnMut() -> Result<T, QueueError>) -> anyhow::Result<T> {
        let mut told = false;
        loop {
            match ask() {
                Err(QueueError::Unreachable(said)) if self.interrupt.request().is_none() => {
                    if !std::mem::replace(&mut told, true) {
                        self.observer.note(&format!(
                            "{said}; asking again until {} answers",
                            self.scheduler.name()
                        ));
                    }
                    std::thread::sleep(self.scheduler.options().poll);
                }
                // As it is, so that its cause can be told.
                Err(QueueError::Other(error)) => return Err(error),
                answer => return Ok(answer?),
            }
        }
    }

    fn begin(&self, trial: &mut Underway<'_>) {
        if !std::mem::replace(&mut trial.begun, true) {
            self.observer.started(trial.plan);
        }
    }

    fn end(&self, trial: &mut Underway<'_>, result: &TrialResult) {
        self.observer.ended(trial.plan, result);
        trial.status = Some(TrialStatus::of(result));
    }

    fn stop(&self, trial: &mut Underway<'_>, status: TrialStatus) {
        self.observer.stopped(trial.plan);
        trial.status = Some(status);
    }

    /// Removes what was written for an array.
    fn forget(&self, name: &str) -> anyhow::Result<()> {
        for entry in fs::read_dir(self.run.jobs())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(name) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Underway<'_> {
    /// Takes note of the task that runs it from now on.
    fn submitted(&mut self, task: TaskName) -> anyhow::Result<()> {
        self.task = Some(task);
        self.id = None;
        self.busy = None;
        self.begun = false;
        self.gone = None;
        self.checkpoint = self.dir.newest_checkpoint();
        [self.log, ..] = self.dir.stamps();
        if self.log.is_some() {
            // What an earlier attempt went through is no news.
            self.dir.new_events(&mut self.cursor)?;
        }
        Ok(())
    }

    /// Whether it is to be submitted now: what another process works on is not, for as long as its lease lives.
    fn is_open(&self) -> bool {
        let is_busy = |at: Instant| at.elapsed() < LIFE && self.dir.has_lease();
        self.task.is_none() && self.status.is_none() && !self.busy.is_some_and(is_busy)
    }

    /// The array that runs it.
    fn array(&self) -> Option<&str> {
        let (name, _) = self.task.as_ref().filter(|_| self.status.is_none())?;
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;
    use crate::experiment::Plan;
    use crate::runner::Display;

    /// Runs all trials of a job one after the other, and has cancelled these jobs.
    struct Queue {
        options: JobOptions,
        cancelled: RefCell<Vec<String>>,
    }

    impl Scheduler for Queue {
        fn name(&self) -> &'static str {
            "the queue"
        }

        fn options(&self) -> &JobOptions {
            &self.options
        }

        fn places(&self) -> Result<Option<usize>, QueueError> {
            Ok(None)
        }

        fn next_batch(&self, _: &Load) -> Result<usize, QueueError> {
            Ok(0)
        }

        fn submit(&self, _: &Batch<'_>) -> Result<(), QueueError> {
            Ok(())
        }

        fn tasks(
            &self,
            run: &RunDir,
            names: &[String],
        ) -> Result<HashMap<TaskName, Task>, QueueError> {
            let mut tasks = HashMap::new();
            for name in names {
                let trials = JobRecord::read(run, name).expect("a record").trials;
                for index in 0..trials.len() {
                    let task = Task { id: name.clone(), state: State::Waiting("None".into()) };
                    tasks.insert((name.clone(), index), task);
                }
            }
            Ok(tasks)
        }

        fn cancel(&self, ids: &[String]) -> Result<(), QueueError> {
            self.cancelled.borrow_mut().extend_from_slice(ids);
            Ok(())
        }

        fn interrupt(&self, _: &[String]) -> Result<(), QueueError> {
            Ok(())
        }

        fn cancel_jobs(&self, _: &[String]) -> Result<(), QueueError> {
            Ok(())
        }

        fn cancel_command(&self, _: &[String]) -> String {
            String::new()
        }

        fn set_limit(&self, _: &str, _: Option<usize>) -> Result<(), QueueError> {
            Ok(())
        }

        fn last_words(&self, _: &RunDir, _: &TaskName) -> Option<String> {
            None
        }
    }

    #[test]
    fn a_job_that_somebody_waits_for_goes_on_though_other_trials_of_it_are_over() {
        let experiment = crate::validation::check(&json!({
            "name": "queued",
            "environment": { "id": "CartPole-v1" },
            "seeds": 3,
            "agents": { "random": { "policy": { "type": "random" } } },
        }));
        let plan = Plan::new(experiment.expect("a valid experiment")).expect("trials");
        let output = tempfile::tempdir().unwrap();
        let run = RunDir::create(output.path(), "queued").unwrap();
        fs::create_dir_all(run.jobs()).unwrap();
        let ids: Vec<String> = plan.trials.iter().map(|trial| trial.id.clone()).collect();
        for (name, trials) in [("both", &ids[..2]), ("unwanted", &ids[2..])] {
            let trials = trials.to_vec();
            let record = JobRecord { format_version: FORMAT_VERSION, pause_at: None, trials };
            store::write_json(&run.jobs().join(format!("{name}.json")), &record).unwrap();
        }
        let waited_for = &plan.trials[1];
        run.trial(&waited_for.id).create(waited_for).unwrap();
        let scheduler = Queue {
            options: JobOptions::asking_every(Duration::from_secs(1)),
            cancelled: RefCell::default(),
        };
        let cluster = Cluster {
            run: &run,
            jobs: None,
            timeout: None,
            scheduler: &scheduler,
            interrupt: &Interrupt::default(),
            observer: &Display::new(&plan, true),
        };
        let mut trials = [cluster.underway(Turn { trial: waited_for, pause_at: None })];
        cluster.adopted(&mut trials).unwrap();
        assert_eq!(trials[0].task, Some(("both".to_owned(), 1)));
        assert_eq!(*scheduler.cancelled.borrow(), ["unwanted"]);
    }
}

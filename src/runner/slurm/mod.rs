//! The Slurm runner: trials as tasks of job arrays, in a run directory that all nodes see.
//!
//! ```text
//! RUN/jobs/NAME.{json,tasks,sh} ──sbatch──▶ task: `rushes trials --attempt=NAME ../trials/ID`
//! attempt.json, result.json, exit.json, events.jsonl ──▶ what became of a trial
//! squeue ──▶ what became of tasks that said nothing
//! ```
//! What is true of a trial stands in its files, written by the task. `squeue` is asked only whether a task that has written
//! nothing still exists; one that does not was cancelled, ran out of time or lost its node, and its trial is submitted
//! again. Arrays carry names of their own, so that a run that is resumed finds those that still run.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fs_err as fs;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

mod options;
mod queue;

pub use options::SlurmOptions;

use self::queue::{QueueError, State, Task, TaskName};
use super::{Interrupt, Observer, Request, Runner, TrialStatus, over};
use crate::experiment::{ResourcesSpec, TrialPlan};
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

/// Runs trials as tasks of Slurm's job arrays.
pub struct Slurm<'a> {
    /// Where the run's files are: a directory that this machine and all nodes see.
    pub run: &'a RunDir,
    /// How many trials run at a time; as many as Slurm lets by default.
    pub jobs: Option<usize>,
    /// What each trial needs.
    pub resources: ResourcesSpec,
    /// How long a trial's process may take.
    pub timeout: Option<Duration>,
    /// How it is used.
    pub options: &'a SlurmOptions,
    /// Stops the trials.
    pub interrupt: &'a Interrupt,
    /// Sees what happens.
    pub observer: &'a dyn Observer,
}

/// `jobs/NAME.json`: what an array runs, for whoever comes back to the run.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ArrayRecord {
    format_version: u32,
    /// Where its trials pause.
    pause_at: Option<u64>,
    /// The trials of its tasks.
    trials: Vec<String>,
}

impl Stored for ArrayRecord {
    fn file_names(&self) -> Vec<(&'static str, &str)> {
        self.trials.iter().map(|id| ("trials[]", id.as_str())).collect()
    }
}

/// A trial under way.
struct Underway<'p> {
    plan: &'p TrialPlan,
    dir: TrialDir,
    /// The task that runs it; nothing while it is to be submitted.
    task: Option<TaskName>,
    /// Whether the task was seen at work.
    begun: bool,
    cursor: EventCursor,
    /// How its event log looked last.
    log: Option<Stamp>,
    /// Its newest checkpoint when it was submitted.
    checkpoint: Option<OsString>,
    /// How often it was submitted in a row without getting anywhere.
    fruitless: usize,
    /// Since when Slurm knows the task no longer, and how it ended.
    gone: Option<(Instant, String)>,
    status: Option<TrialStatus>,
}

/// The arrays of one call.
struct Arrays {
    /// How many tasks run at a time, by the array's name; nothing where there is no limit.
    limits: IndexMap<String, Option<usize>>,
    /// The most tasks of a new one.
    largest: usize,
    known: HashMap<TaskName, Task>,
    /// When Slurm was asked last, and whether it answered.
    asked: Option<(Instant, bool)>,
    /// Tasks that were told to end early.
    told: HashSet<String>,
    /// What the user was told last of the queue.
    said: String,
}

impl Runner for Slurm<'_> {
    fn advance(
        &self,
        trials: &[&TrialPlan],
        pause_at: Option<u64>,
    ) -> anyhow::Result<Vec<TrialStatus>> {
        let mut trials: Vec<Underway<'_>> = trials.iter().map(|plan| self.underway(plan)).collect();
        if trials.iter().any(|trial| trial.status.is_none()) {
            fs::create_dir_all(self.run.jobs())?;
            let mut arrays = self.adopted(&mut trials, pause_at)?;
            while self.step(&mut trials, &mut arrays, pause_at)? {}
        }
        trials.iter().map(|trial| trial.status.context("a trial has no status")).collect()
    }
}

impl Slurm<'_> {
    fn underway<'p>(&self, plan: &'p TrialPlan) -> Underway<'p> {
        let dir = self.run.trial(&plan.id);
        let result = over(&dir, plan);
        if let Some(result) = &result {
            self.observer.ended(plan, result);
        }
        Underway {
            plan,
            dir,
            task: None,
            begun: false,
            cursor: EventCursor::default(),
            log: None,
            checkpoint: None,
            fruitless: 0,
            gone: None,
            status: result.as_ref().map(TrialStatus::of),
        }
    }

    /// The arrays of an earlier process that still run: their trials need no other. What nobody waits for is cancelled,
    /// and records of arrays that are gone are removed.
    fn adopted(
        &self,
        trials: &mut [Underway<'_>],
        pause_at: Option<u64>,
    ) -> anyhow::Result<Arrays> {
        let mut records = Vec::new();
        for entry in fs::read_dir(self.run.jobs())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                records.push((name, store::read_json::<ArrayRecord>(&path)?));
            }
        }
        let names: Vec<String> = records.iter().map(|(name, _)| name.clone()).collect();
        let largest = self.patiently(queue::max_array_size)?;
        let known = match &names[..] {
            [] => HashMap::new(),
            names => self.patiently(|| queue::tasks(names))?,
        };
        let mut limits = IndexMap::new();
        let mut unwanted = Vec::new();
        let mut adopted = 0;
        for (name, record) in records {
            let mut runs = false;
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
                        if record.pause_at == pause_at
                            && trial.dir.plan().is_ok_and(|stored| stored == *trial.plan) =>
                    {
                        trial.submitted(task_name)?;
                        adopted += 1;
                        runs = true;
                    }
                    _ => unwanted.push(task.id.clone()),
                }
            }
            if runs {
                limits.insert(name, self.jobs);
            } else {
                self.forget(&name)?;
            }
        }
        if adopted > 0 {
            self.observer.note(&format!("{adopted} trials are in Slurm's queue already"));
        }
        self.patiently(|| queue::cancel(unwanted.iter().map(String::as_str)))?;
        let (asked, told, said) = (None, HashSet::new(), String::new());
        Ok(Arrays { limits, largest, known, asked, told, said })
    }

    /// Submits, looks and decides once; says whether there is more to do.
    fn step(
        &self,
        trials: &mut [Underway<'_>],
        arrays: &mut Arrays,
        pause_at: Option<u64>,
    ) -> anyhow::Result<bool> {
        let began = Instant::now();
        let request = self.interrupt.request();
        match request {
            None => self.submit(trials, arrays, pause_at)?,
            Some(Request::Finish) if !self.options.leaves() => {
                let unsubmitted = |t: &&mut Underway<'_>| t.task.is_none() && t.status.is_none();
                for trial in trials.iter_mut().filter(unsubmitted) {
                    trial.status = Some(TrialStatus::LeftOut);
                }
            }
            Some(_) => {
                self.leave(trials, arrays);
                return Ok(false);
            }
        }
        let answered = self.ask(trials, arrays)?;
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
        let goes_on = trials.iter().any(|trial| trial.status.is_none());
        if goes_on {
            std::thread::sleep(TICK.max(began.elapsed() * SPARING));
        }
        Ok(goes_on)
    }

    /// Submits the trials that no task runs, as one array, as far as there is room.
    fn submit(
        &self,
        trials: &mut [Underway<'_>],
        arrays: &mut Arrays,
        pause_at: Option<u64>,
    ) -> anyhow::Result<()> {
        let running = trials.iter().filter_map(Underway::array).count();
        let room = self.jobs.map(|jobs| jobs.saturating_sub(running));
        if room == Some(0) {
            return Ok(());
        }
        let mut open: Vec<&mut Underway<'_>> = trials
            .iter_mut()
            .filter(|trial| trial.task.is_none() && trial.status.is_none())
            .take(arrays.largest)
            .collect();
        if open.is_empty() {
            return self.widen(arrays);
        }
        for trial in &open {
            trial.dir.reopen()?;
            trial.dir.create(trial.plan)?;
        }
        let name = format!("rushes-{:016x}", rand::random::<u64>());
        let ids: Vec<String> = open.iter().map(|trial| trial.plan.id.clone()).collect();
        let folder = self.run.jobs();
        fs::write(folder.join(format!("{name}.tasks")), ids.join("\n") + "\n")?;
        fs::write(folder.join(format!("{name}.sh")), self.script(&name, pause_at)?)?;
        let record = ArrayRecord { format_version: FORMAT_VERSION, pause_at, trials: ids };
        store::write_json(&folder.join(format!("{name}.json")), &record)?;
        let limit = room.map(|room| format!("%{room}")).unwrap_or_default();
        let mut options = vec![format!("--array=0-{}{limit}", open.len() - 1)];
        options.extend(self.options.of(&self.resources));
        let mut tried = false;
        let submitted = self.patiently(|| {
            // It may have been taken although nobody said so.
            if std::mem::replace(&mut tried, true)
                && !queue::tasks(std::slice::from_ref(&name))?.is_empty()
            {
                return Ok(true);
            }
            match queue::submit(&folder, &name, &options) {
                Ok(()) => Ok(true),
                Err(QueueError::Refused(said)) if said.contains("submit limit") => Ok(false),
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
                    "Slurm takes no job of yours at present: its limit of submitted jobs is reached; go on when other \
                     jobs have ended"
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

    /// Gives the only array that is left all the room that there is.
    fn widen(&self, arrays: &mut Arrays) -> anyhow::Result<()> {
        let [(_, limit)] = &mut arrays.limits.iter_mut().collect::<Vec<_>>()[..] else {
            return Ok(());
        };
        if **limit < self.jobs {
            let waiting = |task: &&Task| matches!(task.state, State::Waiting(_));
            if let (Some(task), Some(jobs)) = (arrays.known.values().find(waiting), self.jobs) {
                self.patiently(|| queue::set_limit(&task.id, jobs))?;
            }
            **limit = self.jobs;
        }
        Ok(())
    }

    /// The program of an array's tasks.
    fn script(&self, name: &str, pause_at: Option<u64>) -> anyhow::Result<String> {
        let program = match self.options.program() {
            Some(program) => program.to_owned(),
            None => std::env::current_exe().context("failed to find this program's own file")?,
        };
        let mut words = vec![program.display().to_string(), "trials".to_owned()];
        words.push(format!("--attempt={name}"));
        words.push(format!("--grace={}", self.options.grace().as_secs()));
        words.extend(pause_at.map(|steps| format!("--pause-at={steps}")));
        words.extend(self.timeout.map(|timeout| format!("--timeout={}", timeout.as_secs_f64())));
        let command = crate::format::shell_line(&words);
        let setup = self.options.setup();
        Ok(format!(
            "#!/bin/bash\n# A task runs the trial in its line of {name}.tasks.\nset -e\n{setup}\n\
             trial=$(sed -n \"$((SLURM_ARRAY_TASK_ID + 1))p\" {name}.tasks)\n\
             exec {command} \"../trials/$trial\"\n"
        ))
    }

    /// Asks Slurm for the tasks, where it is time; says whether it answered.
    fn ask(&self, trials: &[Underway<'_>], arrays: &mut Arrays) -> anyhow::Result<bool> {
        if arrays.asked.is_some_and(|(at, _)| at.elapsed() < self.options.poll()) {
            return Ok(false);
        }
        let names: Vec<String> = arrays.limits.keys().cloned().collect();
        if names.is_empty() {
            return Ok(false);
        }
        let answer = queue::tasks(&names);
        let answered_before = arrays.asked.is_none_or(|(_, answered)| answered);
        arrays.asked = Some((Instant::now(), answer.is_ok()));
        match answer {
            Ok(known) => arrays.known = known,
            Err(error @ QueueError::Missing(..)) => return Err(error.into()),
            Err(error) => {
                if answered_before {
                    self.observer.note(&format!("{error}; asking again until Slurm answers"));
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
            self.observer.note(&format!("waiting for Slurm: {reason}"));
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
            Some(TrialStatus::Died) => self.stop(trial, TrialStatus::Died),
            Some(TrialStatus::Paused) => self.stop(trial, TrialStatus::Paused),
            Some(TrialStatus::LeftOut) => self.stop(trial, TrialStatus::LeftOut),
            Some(TrialStatus::Interrupted) if request.is_some() => {
                self.stop(trial, TrialStatus::Interrupted);
            }
            Some(TrialStatus::Interrupted) => self.again(trial, "its job was told to end")?,
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
        let how = match arrays.known.get(task).map(|task| &task.state) {
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
            None => "no longer known to Slurm".to_owned(),
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
        match &*how {
            "FAILED" | "COMPLETED" | "OUT_OF_MEMORY" => {
                let words = trial.last_words(self.run);
                let cause = format!("its job ended without a result ({how}){words}");
                self.observer.died(trial.plan, &cause);
                trial.dir.write_exit(cause)?;
                self.stop(trial, TrialStatus::Died);
            }
            how => self.again(trial, &format!("its job ended ({how})"))?,
        }
        Ok(())
    }

    /// Has a trial submitted again, unless that has got it nowhere before. Being cancelled is getting nowhere.
    fn again(&self, trial: &mut Underway<'_>, cause: &str) -> anyhow::Result<()> {
        let got_on = trial.dir.newest_checkpoint() != trial.checkpoint;
        trial.fruitless =
            if got_on && !cause.contains("CANCELLED") { 0 } else { trial.fruitless + 1 };
        if trial.fruitless <= FRUITLESS {
            trial.task = None;
            trial.gone = None;
            self.observer.stopped(trial.plan);
            self.observer.died(trial.plan, cause);
            self.observer.again(trial.plan);
            return Ok(());
        }
        let what_to_do = if cause.contains("CANCELLED") {
            "go on with --resume if that was not meant"
        } else {
            "give it more time (resources.minutes) or more checkpoints (checkpoint_every)"
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
        let of = |running: bool| {
            let of = move |task: &&Task| match task.state {
                State::Running => running,
                State::Waiting(_) => !running,
                State::Over(_) => false,
            };
            tasks.iter().filter(of).map(|task| &*task.id)
        };
        match queue::cancel(of(false)).and_then(|()| queue::interrupt(of(true))) {
            Ok(()) => arrays.told.extend(tasks.iter().map(|task| task.id.clone())),
            Err(error) => self.observer.note(&error.to_string()),
        }
    }

    /// Leaves the trials where they are: to be cancelled, or to go on while nobody watches.
    fn leave(&self, trials: &mut [Underway<'_>], arrays: &Arrays) {
        let names: Vec<String> = arrays.limits.keys().cloned().collect();
        if self.options.leaves() {
            self.observer
                .note("what is in Slurm's queue stays there; the run finds it when it is resumed");
        } else if let Err(error) = queue::cancel_arrays(&names) {
            self.observer
                .note(&format!("{error}; cancel with: scancel --name={}", names.join(",")));
        }
        for trial in trials.iter_mut().filter(|trial| trial.status.is_none()) {
            self.stop(trial, TrialStatus::Interrupted);
        }
    }

    /// Does what Slurm is needed for until it answers, or somebody interrupts.
    fn patiently<T>(&self, mut ask: impl FnMut() -> Result<T, QueueError>) -> anyhow::Result<T> {
        let mut told = false;
        loop {
            match ask() {
                Err(QueueError::Unreachable(said)) if self.interrupt.request().is_none() => {
                    if !std::mem::replace(&mut told, true) {
                        self.observer.note(&format!("{said}; asking again until Slurm answers"));
                    }
                    std::thread::sleep(self.options.poll());
                }
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

    /// The array that runs it.
    fn array(&self) -> Option<&str> {
        let (name, _) = self.task.as_ref().filter(|_| self.status.is_none())?;
        Some(name)
    }

    /// The end of what its task printed, after a colon.
    fn last_words(&self, run: &RunDir) -> String {
        let read = || {
            let (name, index) = self.task.as_ref()?;
            let log = fs::read(run.jobs().join(format!("{name}-{index}.log"))).ok()?;
            let text = String::from_utf8_lossy(&log).into_owned();
            let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
            Some(format!(": {line}"))
        };
        read().unwrap_or_default()
    }
}

//! A trial read from its directory, and read on while it goes on.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use indexmap::IndexMap;

use super::summary::{CURVE_POINTS, Curve, Reached, SeedSummary};
use crate::experiment::{Plan, TrialPlan};
use crate::record::{Event, Progress, Record, TakeRecord, TrialResult, UnsafeName};
use crate::search::{self, MeanReturn};
use crate::stats::MovingMean;
use crate::store::{EventCursor, RunDir, Stamp};
use crate::training::StopRule;

/// How much of a failed trial's `stderr.log` is shown.
const STDERR_TAIL: u64 = 4000;

/// The most single training returns of a trial that are kept: those of a short training all.
const RETURN_POINTS: usize = 1000;

/// So many points the curves of one kind have together, over all trials: they are in memory at once.
const ALL_POINTS: usize = 500_000;

/// However many trials there are, a curve may have so many points.
const FEWEST_POINTS: usize = 50;

/// How many of `most` points a curve of a trial may have in this plan.
fn share(most: usize, plan: &Plan) -> usize {
    (ALL_POINTS / plan.trials.len().max(1)).clamp(FEWEST_POINTS, most)
}

/// A trial, as far as it could be read.
#[derive(Debug)]
pub struct Trial {
    /// What was to be done.
    pub plan: Arc<TrialPlan>,
    /// Its result; nothing while it runs, or where the file could not be read.
    pub result: Option<TrialResult>,
    /// Takes whose video is there, in the order they were filmed.
    pub takes: Vec<Filmed>,
    /// The return of single training episodes, thinned out to at most 1,000.
    pub returns: Curve,
    /// The training metrics by name, thinned out.
    pub metrics: IndexMap<String, Curve>,
    /// The end of what a failed trial printed to stderr.
    pub stderr: String,
    /// What the trial wanted a person to know.
    pub messages: Vec<String>,
    /// What is missing or damaged.
    pub notes: Vec<String>,
    /// Training episodes that the time limit ended; of imported trainings not all programs tell.
    pub truncated: u64,
    /// How far its training has come.
    pub progress: Progress,
    /// Wall-clock seconds of it.
    pub seconds: f64,
    /// When its event log grew last; nothing where there is none.
    pub touched: Option<SystemTime>,
    /// Its value under the search's metric.
    pub(super) score: Option<f64>,
    pub(super) summary: Arc<SeedSummary>,
}

/// A take and where it stands in the training.
#[derive(Debug, Clone)]
pub struct Filmed {
    /// The take.
    pub record: TakeRecord,
    /// How far training had come; nothing where the event log does not tell.
    pub at: Option<Reached>,
}

impl Trial {
    /// What went wrong, where something did.
    pub fn error(&self) -> Option<&str> {
        self.result.as_ref()?.outcome.error()
    }

    /// What the run's summary says of it.
    pub fn summary(&self) -> &SeedSummary {
        &self.summary
    }

    /// Whether it has a result and is not to go on.
    pub fn is_over(&self) -> bool {
        self.result.is_some() && !self.summary.ended_early
    }

    /// The mean over its last training episodes, where any is over.
    pub fn recent_return(&self) -> Option<f64> {
        self.summary.curve.returns.last().copied()
    }

    /// The mean return of its latest evaluation during training.
    pub fn evaluated(&self) -> Option<f64> {
        self.summary.evaluations.returns.last().copied()
    }
}

/// Reads a trial again and again: of its event log only what is new, and of a trial that is over nothing.
#[derive(Debug, Default)]
pub(super) struct TrialReader {
    cursor: EventCursor,
    events: Events,
    known: Option<Known>,
}

/// What was read last.
#[derive(Debug)]
struct Known {
    /// How the trial's files looked then.
    files: Files,
    trial: Arc<Trial>,
}

/// `events.jsonl`, and what says how the trial ended.
type Files = [Option<Stamp>; 3];

impl TrialReader {
    /// Reads the trial as it stands now.
    ///
    /// # Errors
    /// Fails if a name in its files leads out of the run's directory.
    pub(super) fn read(
        &mut self,
        run: &RunDir,
        whole: &Plan,
        plan: &Arc<TrialPlan>,
        threshold: Option<f64>,
    ) -> anyhow::Result<Arc<Trial>> {
        let dir = run.trial(&plan.id);
        // Before the files themselves: what is written in between is seen the next time.
        let files = dir.stamps();
        if let Some(known) = &self.known
            && known.files == files
            // The plan of a run that is lengthened changes.
            && known.trial.plan == *plan
        {
            return Ok(known.trial.clone());
        }
        let touched = files[0].map(|stamp| stamp.modified);
        let trial = Arc::new(self.read_files(run, whole, plan, threshold, touched)?);
        if trial.result.is_some() {
            // It is over: its thinned curves are enough. Should it go on after all, it is read from its beginning.
            (self.cursor, self.events) = Default::default();
        }
        self.known = Some(Known { files, trial: trial.clone() });
        Ok(trial)
    }

    fn read_files(
        &mut self,
        run: &RunDir,
        whole: &Plan,
        plan: &Arc<TrialPlan>,
        threshold: Option<f64>,
        touched: Option<SystemTime>,
    ) -> anyhow::Result<Trial> {
        let dir = run.trial(&plan.id);
        let mut notes = Vec::new();
        let result = match dir.result() {
            Ok(result) => Some(result),
            Err(error) if error.is::<UnsafeName>() => return Err(error),
            Err(error) => {
                if dir.finished() {
                    notes.push(format!(
                        "the result could not be read ({})",
                        in_run(run.path(), &error)
                    ));
                }
                dir.outcome(plan)
            }
        };
        let aims = Aims::of(plan, threshold);
        match dir.events_path().exists().then(|| dir.new_events(&mut self.cursor)) {
            Some(Ok(new)) => {
                if new.restarted {
                    self.events = Events::default();
                }
                let cut_off = new.cut_off.then_some(self.cursor.lines() + 1);
                // A trial that goes on may be in the middle of a line.
                let cut_off = cut_off.filter(|_| result.is_some());
                if let Some(line) = new.damaged_line.or(cut_off) {
                    notes.push(format!(
                        "events.jsonl is damaged from line {line} on; what stands before is shown"
                    ));
                }
                self.events.read(new.records, &aims);
            }
            Some(Err(error)) if error.is::<UnsafeName>() => return Err(error),
            Some(Err(error)) => {
                notes.push(format!("the events could not be read ({})", in_run(run.path(), &error)))
            }
            None => {
                if result.as_ref().is_some_and(|result| !result.outcome.failed()) {
                    notes.push("events.jsonl is missing".into());
                }
            }
        }
        let events = &self.events;
        if result.as_ref().is_some_and(|result| result.progress != events.progress)
            && notes.is_empty()
        {
            notes.push("events.jsonl does not reach to the end of the training".into());
        }
        let curve = || events.mean_returns(aims.window);
        let of_sample = plan
            .sample
            .and_then(|_| search::trial_score(&whole.experiment, plan, &curve(), result.as_ref()));
        let recorded = match &result {
            Some(result) if !result.takes.is_empty() => result.takes.clone(),
            _ => events.takes.values().map(|(_, take)| take.clone()).collect(),
        };
        let mut takes = Vec::new();
        for record in recorded {
            if dir.file(&record.file).is_file() {
                let at = events.takes.get(&record.file).map(|(at, _)| *at);
                takes.push(Filmed { record, at });
            } else {
                notes.push(format!("the video {} is missing", record.file));
            }
        }
        let messages = result.as_ref().map(|result| result.notes.clone()).unwrap_or_default();
        let failed = result.as_ref().is_some_and(|result| result.outcome.failed());
        let stderr = if failed { tail(&dir.stderr()) } else { String::new() };
        let thinned = |(name, curve): (&String, &Curve)| {
            (name.clone(), curve.thinned(share(CURVE_POINTS, whole)))
        };
        Ok(Trial {
            plan: plan.clone(),
            takes,
            returns: events.returns.thinned(share(RETURN_POINTS, whole)),
            metrics: events.metrics.iter().map(thinned).collect(),
            stderr,
            messages,
            notes,
            truncated: events.truncated,
            progress: events.progress,
            seconds: events.seconds,
            touched,
            score: of_sample,
            summary: Arc::new(seed_summary(
                plan,
                result.as_ref(),
                events,
                share(CURVE_POINTS, whole),
            )),
            result,
        })
    }
}

/// What a trial's training returns are held against.
struct Aims {
    /// Episodes that a point of the training curve averages over.
    window: usize,
    /// The environment's.
    threshold: Option<f64>,
    /// The schedule's own.
    goal: Option<StopRule>,
}

impl Aims {
    fn of(plan: &TrialPlan, threshold: Option<f64>) -> Self {
        let stop = plan.settings.schedule().and_then(|schedule| schedule.stop.as_ref());
        let goal = stop.map(|stop| StopRule::new(Some(&stop.goal()), threshold));
        Self { window: plan.settings.return_window(), threshold, goal }
    }
}

/// What a trial's events come to, every point of them.
#[derive(Debug, Default)]
struct Events {
    progress: Progress,
    seconds: f64,
    recent: Option<MovingMean>,
    goal: Option<StopRule>,
    training: Curve,
    returns: Curve,
    truncated: u64,
    evaluations: Curve,
    reached: Option<Reached>,
    goal_reached: Option<Reached>,
    metrics: IndexMap<String, Curve>,
    /// By the video's name.
    takes: IndexMap<String, (Reached, TakeRecord)>,
}

impl Events {
    /// Takes in further events.
    fn read(&mut self, records: Vec<Record>, aims: &Aims) {
        for Record { progress, seconds, event } in records {
            (self.progress, self.seconds) = (progress, seconds);
            let at = Reached { episodes: progress.episodes, steps: progress.steps, seconds };
            match event {
                Event::Episode { r#return, truncated, .. } => {
                    self.truncated += u64::from(truncated == Some(true));
                    let recent = self.recent.get_or_insert_with(|| MovingMean::new(aims.window));
                    let (mean, whole) = recent.push(r#return);
                    self.training.push(at, mean);
                    self.returns.push(at, r#return);
                    if whole && aims.threshold.is_some_and(|threshold| mean >= threshold) {
                        self.reached.get_or_insert(at);
                    }
                    if self.goal.is_none() {
                        self.goal.clone_from(&aims.goal);
                    }
                    // Once it is reached, it is of no use to count on.
                    if let (Some(goal), None) = (&mut self.goal, self.goal_reached) {
                        goal.episode(r#return);
                        self.goal_reached = goal.solved().then_some(at);
                    }
                }
                Event::Evaluation { returns, .. } if !returns.is_empty() => {
                    self.evaluations.push(at, returns.iter().sum::<f64>() / returns.len() as f64);
                }
                Event::Update { metrics } => {
                    for (name, value) in metrics {
                        self.metrics.entry(name).or_default().push(at, value);
                    }
                }
                Event::Take(take) => {
                    self.takes.insert(take.file.clone(), (at, take));
                }
                Event::Evaluation { .. }
                | Event::Checkpoint { .. }
                | Event::Note { .. }
                | Event::Stopped { .. } => {}
            }
        }
    }

    /// The curve of mean training returns, for a search's score.
    fn mean_returns(&self, window: usize) -> Vec<MeanReturn> {
        let points = self.training.steps.iter().zip(&self.training.returns).enumerate();
        points
            .map(|(index, (&steps, &mean))| MeanReturn {
                steps: steps as f64,
                mean,
                whole: index + 1 >= window,
            })
            .collect()
    }
}

fn seed_summary(
    plan: &TrialPlan,
    result: Option<&TrialResult>,
    events: &Events,
    points: usize,
) -> SeedSummary {
    let after = result.and_then(|result| result.after.as_ref());
    let before = result.and_then(|result| result.before.as_ref());
    SeedSummary {
        seed: plan.seed,
        trial: plan.id.clone(),
        outcome: result.map(|result| result.outcome.clone()),
        ended_early: result.is_some_and(|result| !plan.is_over(result)),
        engine: result.and_then(|result| result.engine.clone()),
        before_returns: before.map(|evaluation| evaluation.returns.clone()).unwrap_or_default(),
        final_returns: after.map(|evaluation| evaluation.returns.clone()).unwrap_or_default(),
        final_lengths: after.map(|evaluation| evaluation.lengths.clone()).unwrap_or_default(),
        final_cut: after.map_or(0, |after| after.cut.iter().filter(|&&cut| cut).count()),
        progress: result.map(|result| result.progress).unwrap_or_default(),
        training_seconds: result.map_or(0.0, |result| result.training_seconds),
        steps_per_second: result.and_then(|result| result.steps_per_second),
        peak_memory_bytes: result.and_then(|result| result.peak_memory_bytes),
        curve: events.training.thinned(points),
        evaluations: events.evaluations.thinned(points),
        threshold_reached: events.reached,
        goal_reached: events.goal_reached,
    }
}

/// The end of a text file, from the beginning of a line where it was cut.
fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(STDERR_TAIL)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok(end)
    };
    // A log that is not there is as good as an empty one.
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let cut = text.len() as u64 >= STDERR_TAIL;
    match text.split_once('\n') {
        Some((_, rest)) if cut => rest.trim_end().to_owned(),
        _ => text.trim_end().to_owned(),
    }
}

/// An error's message, with paths as they are inside the run's directory: a report is passed on.
pub(super) fn in_run(run: &Path, error: &anyhow::Error) -> String {
    format!("{error:#}").replace(&format!("{}/", run.display()), "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{StopSpec, Target};

    fn episode(number: u64, r#return: f64) -> Record {
        Record {
            progress: Progress { episodes: number, steps: number * 10, updates: number },
            seconds: number as f64,
            event: Event::Episode { r#return, length: Some(10), truncated: Some(false) },
        }
    }

    fn aims(window: usize, threshold: f64) -> Aims {
        Aims { window, threshold: Some(threshold), goal: None }
    }

    #[test]
    fn a_training_curve_averages_over_the_window() {
        let records = [1.0, 3.0, 5.0, 7.0];
        let mut read = Events::default();
        for (i, &r) in records.iter().enumerate() {
            read.read(vec![episode(i as u64 + 1, r)], &aims(2, 4.0));
        }
        assert_eq!(read.returns.returns, records);
        assert_eq!(read.training.returns, [1.0, 2.0, 4.0, 6.0]);
        assert_eq!(read.reached, Some(Reached { episodes: 3, steps: 30, seconds: 3.0 }));
    }

    #[test]
    fn the_threshold_waits_for_a_whole_window() {
        let mut read = Events::default();
        read.read((1..=3).map(|i| episode(i, 500.0)).collect(), &aims(4, 475.0));
        assert_eq!((read.reached, read.goal_reached), (None, None));
    }

    #[test]
    fn a_goal_is_reached_where_the_stop_rule_says_so() {
        let stop = |stop: StopSpec| Aims {
            goal: Some(StopRule::new(Some(&stop.goal()), Some(100.0))),
            ..aims(1, 475.0)
        };
        let episodes = |aims: &Aims| {
            let mut read = Events::default();
            read.read((1..=9).map(|i| episode(i, 100.0 * i as f64)).collect(), aims);
            read.goal_reached.map(|reached| reached.episodes)
        };
        let mean = Some(Target::Return(300.0));
        let running = Some(Target::Threshold);
        let rule = StopSpec { mean_return: mean, window: 3, ..StopSpec::default() };
        assert_eq!(episodes(&stop(rule.clone())), Some(4), "200, 300, 400");
        // 10, 14.5, 23.8, 37.6, 55.7, 77.9, 104
        let slow = StopSpec { running_return: running, ..StopSpec::default() };
        assert_eq!(episodes(&stop(slow)), Some(6));
        let both = StopSpec { running_return: running, window: 9, ..rule };
        assert_eq!(episodes(&stop(both)), Some(9), "of two rules the mean return is the goal");
    }

    #[test]
    fn thinning_keeps_both_ends() {
        let mut curve = Curve::default();
        for i in 0..1000 {
            curve.push(Reached { episodes: i, steps: i, seconds: i as f64 }, i as f64);
        }
        let thinned = curve.thinned(7);
        assert_eq!((thinned.len(), thinned.episodes[0], thinned.episodes[6]), (7, 0, 999));
        assert_eq!(curve.thinned(2000), curve);
    }
}

//! What is known of a run, read from its directory alone.
//!
//! Whatever is missing or damaged becomes a note; only a directory with nothing readable in it
//! is an error.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use fs_err as fs;
use indexmap::IndexMap;
use rayon::prelude::*;

use super::summary::{
    AgentSummary, CURVE_POINTS, Curve, PolicyKind, Reached, SampleSummary, SearchSummary,
    SearchedAgent, SeedSummary, Summary,
};
use crate::env::EnvSpec;
use crate::experiment::{Plan, RecordingSpec, Sample, Seeds, Spec, TrialPlan};
use crate::policy::PolicySpec;
use crate::record::FORMAT_VERSION;
use crate::record::{Event, Record, RunInfo, RunStatus, TakeRecord, TrialResult, UnsafeName};
use crate::search::{self, SampleScore, Standing};
use crate::stats::MovingMean;
use crate::store::{self, RunDir, TrialDir};

/// How much of a failed trial's `stderr.log` is shown.
const STDERR_TAIL: u64 = 4000;

/// A run, as far as it could be read.
pub struct RunData {
    /// Where it lies.
    pub dir: RunDir,
    /// The experiment and its trials.
    pub plan: Plan,
    /// The circumstances; nothing where `run.json` could not be read.
    pub info: Option<RunInfo>,
    /// The trials, in the plan's order.
    pub trials: Vec<Trial>,
    /// What `summary.json` says.
    pub summary: Summary,
    /// The environment's row in the table, where this program knows it.
    pub env: Option<Arc<EnvSpec>>,
    /// What is missing or damaged.
    pub notes: Vec<String>,
}

/// A trial, as far as it could be read.
#[derive(Debug)]
pub struct Trial {
    /// What was to be done.
    pub plan: TrialPlan,
    /// Its result; nothing while it runs, or where the file could not be read.
    pub result: Option<TrialResult>,
    /// Takes whose video is there.
    pub takes: Vec<TakeRecord>,
    /// The training metrics by name, thinned out.
    pub metrics: IndexMap<String, Curve>,
    /// The end of what a failed trial printed to stderr.
    pub stderr: String,
    /// What the trial wanted a person to know.
    pub messages: Vec<String>,
    /// What is missing or damaged.
    pub notes: Vec<String>,
    /// Its value under the search's metric.
    score: Option<f64>,
    summary: SeedSummary,
}

impl RunData {
    /// Reads a run's directory.
    ///
    /// # Errors
    /// Fails if neither the plan nor any trial can be read, or a name leads out of the run's directory.
    pub fn read(dir: &RunDir) -> anyhow::Result<Self> {
        let mut notes = Vec::new();
        let plan = match dir.plan() {
            Ok(plan) => plan,
            Err(error) if error.is::<UnsafeName>() => return Err(error),
            Err(error) => {
                let plan = plan_from_trials(dir).ok_or_else(|| {
                    error.context("failed to read the run's plan, and no trial's could stand in")
                })?;
                notes.push(
                    "plan.json could not be read; the trials that were found are shown, and trials that never \
                     started are missing"
                        .into(),
                );
                plan
            }
        };
        let info = match dir.info() {
            Ok(info) => Some(info),
            Err(error) => {
                notes.push(format!(
                    "run.json could not be read, so the circumstances of the run are missing ({})",
                    in_run(dir.path(), &error)
                ));
                None
            }
        };
        let env = match plan.experiment.environment.spec() {
            Ok(env) => Some(env),
            Err(_) => {
                notes.push(format!(
                    "this version of rushes does not know the environment {}",
                    plan.experiment.environment.id
                ));
                None
            }
        };
        let described = plan.experiment.environment.described.as_ref();
        if described.is_some_and(|card| !card.deterministic) {
            notes.push(format!(
                "{} says that it is not deterministic: equal runs differ, and a run that was interrupted and resumed \
                 differs from one that was not",
                plan.experiment.environment.id
            ));
        }
        notes.extend(described.into_iter().flat_map(|card| card.notes.clone()));
        let threshold = env.as_ref().and_then(|env| env.reward_threshold);
        let trials: Vec<Trial> = (plan.trials.par_iter())
            .map(|trial| Trial::read(dir, &plan, trial, threshold))
            .collect::<anyhow::Result<_>>()?;
        for trial in &trials {
            notes.extend(trial.notes.iter().map(|note| format!("{}: {note}", trial.plan.id)));
        }
        let summary = summarise(dir, &plan, info.as_ref(), threshold, &trials);
        Ok(Self { dir: dir.clone(), plan, info, trials, summary, env, notes })
    }

    /// The experiment with the best samples' values in the places of what was searched for; nothing where
    /// nothing was, or no sample is complete.
    ///
    /// # Errors
    /// Fails if a sample does not fit the experiment any more.
    pub fn best_experiment(&self) -> anyhow::Result<Option<Spec>> {
        let Some(search) = &self.summary.search else { return Ok(None) };
        let mut experiment = self.plan.experiment.clone();
        for searched in &search.agents {
            let Some(best) = searched.best() else { return Ok(None) };
            let of =
                |sample: &&Sample| sample.agent == searched.agent && sample.number == best.number;
            let sample = self.plan.samples.iter().find(of).context("a sample is missing")?;
            let settings = sample.settings(&self.plan.experiment)?;
            experiment.agents.insert(searched.agent.clone(), settings);
        }
        experiment.name.push_str("-best");
        Ok(Some(Spec { schema: None, search: None, ..experiment }))
    }

    /// Writes `summary.json`, and `best.json` where a search found something: the run is over.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    pub fn write(&self) -> anyhow::Result<()> {
        store::ensure_finite(&self.summary).context("summary.json was not written")?;
        // Compact: most of it is columns of numbers.
        let text = serde_json::to_string(&self.summary)?;
        store::write_atomically(&self.dir.summary(), text.as_bytes())?;
        if let Some(best) = self.best_experiment()? {
            store::write_json(&self.dir.best(), &best)?;
        }
        Ok(())
    }

    /// The trials of an agent, in the order of the seeds; of its best sample where it was searched for.
    pub fn trials_of<'a>(&'a self, agent: &'a str) -> impl Iterator<Item = &'a Trial> {
        let shown = self.summary.search.as_ref().and_then(|search| search.shown(agent));
        let of = move |trial: &&Trial| trial.plan.agent == agent && trial.plan.sample == shown;
        self.trials.iter().filter(of)
    }
}

/// The summary of a run: the one that was written when it finished, else one made from its files.
///
/// # Errors
/// Fails if the run cannot be read, or a newer version wrote it.
pub fn summary(run: &RunDir) -> anyhow::Result<Summary> {
    let unfinished = |status| matches!(status, RunStatus::Running | RunStatus::Interrupted);
    let goes_on = run.info().is_ok_and(|info| unfinished(info.status));
    if !goes_on && run.summary().exists() {
        return store::read_json(&run.summary()).context("failed to read the run's summary");
    }
    Ok(RunData::read(run)?.summary)
}

impl Trial {
    fn read(
        run: &RunDir,
        whole: &Plan,
        plan: &TrialPlan,
        threshold: Option<f64>,
    ) -> anyhow::Result<Self> {
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
        let records = match dir.events_path().exists().then(|| dir.events()) {
            Some(Ok(log)) => {
                if let Some(line) = log.damaged_line {
                    notes.push(format!(
                        "events.jsonl is damaged from line {line} on; what stands before is shown"
                    ));
                }
                log.records
            }
            Some(Err(error)) if error.is::<UnsafeName>() => return Err(error),
            Some(Err(error)) => {
                notes
                    .push(format!("the events could not be read ({})", in_run(run.path(), &error)));
                Vec::new()
            }
            None => {
                if result.as_ref().is_some_and(|result| !result.outcome.failed()) {
                    notes.push("events.jsonl is missing".into());
                }
                Vec::new()
            }
        };
        let window = plan.settings.return_window();
        let search = whole.experiment.search.as_ref().filter(|_| plan.sample.is_some());
        let score = search.and_then(|s| search::trial_score(s, plan, &records, result.as_ref()));
        let read = Events::read(records, window, threshold);
        let recorded = match &result {
            Some(result) if !result.takes.is_empty() => result.takes.clone(),
            _ => read.takes,
        };
        let mut takes = Vec::new();
        for take in recorded {
            if dir.file(&take.file).is_file() {
                takes.push(take);
            } else {
                notes.push(format!("the video {} is missing", take.file));
            }
        }
        let messages = result.as_ref().map(|result| result.notes.clone()).unwrap_or_default();
        let failed = result.as_ref().is_some_and(|result| result.outcome.failed());
        let stderr = if failed { tail(&dir.stderr()) } else { String::new() };
        let summary =
            seed_summary(plan, result.as_ref(), read.training, read.evaluations, read.reached);
        Ok(Self {
            plan: plan.clone(),
            result,
            takes,
            metrics: read.metrics,
            stderr,
            messages,
            notes,
            score,
            summary,
        })
    }

    /// What went wrong, where something did.
    pub fn error(&self) -> Option<&str> {
        self.result.as_ref()?.outcome.error()
    }
}

/// What a trial's events come to.
struct Events {
    training: Curve,
    evaluations: Curve,
    reached: Option<Reached>,
    metrics: IndexMap<String, Curve>,
    takes: Vec<TakeRecord>,
}

impl Events {
    fn read(records: Vec<Record>, window: usize, threshold: Option<f64>) -> Self {
        let mut read = Self {
            training: Curve::default(),
            evaluations: Curve::default(),
            reached: None,
            metrics: IndexMap::new(),
            takes: Vec::new(),
        };
        let mut mean = MovingMean::new(window);
        for Record { progress, seconds, event } in records {
            let at = Reached { episodes: progress.episodes, steps: progress.steps, seconds };
            match event {
                Event::Episode { r#return, .. } => {
                    let (mean, whole) = mean.push(r#return);
                    read.training.push(at, mean);
                    if whole && read.reached.is_none() && threshold.is_some_and(|t| mean >= t) {
                        read.reached = Some(at);
                    }
                }
                Event::Evaluation { returns, .. } if !returns.is_empty() => {
                    read.evaluations.push(at, returns.iter().sum::<f64>() / returns.len() as f64);
                }
                Event::Update { metrics } => {
                    for (name, value) in metrics {
                        read.metrics.entry(name).or_default().push(at, value);
                    }
                }
                Event::Take(take) => read.takes.push(take),
                Event::Evaluation { .. }
                | Event::Checkpoint { .. }
                | Event::Note { .. }
                | Event::Stopped { .. } => {}
            }
        }
        read.training = read.training.thinned(CURVE_POINTS);
        read.evaluations = read.evaluations.thinned(CURVE_POINTS);
        for curve in read.metrics.values_mut() {
            *curve = curve.thinned(CURVE_POINTS);
        }
        read
    }
}

fn seed_summary(
    plan: &TrialPlan,
    result: Option<&TrialResult>,
    curve: Curve,
    evaluations: Curve,
    threshold_reached: Option<Reached>,
) -> SeedSummary {
    let after = result.and_then(|result| result.after.as_ref());
    let before = result.and_then(|result| result.before.as_ref());
    SeedSummary {
        seed: plan.seed,
        trial: plan.id.clone(),
        outcome: result.map(|result| result.outcome.clone()),
        engine: result.and_then(|result| result.engine.clone()),
        before_returns: before.map(|evaluation| evaluation.returns.clone()).unwrap_or_default(),
        final_returns: after.map(|evaluation| evaluation.returns.clone()).unwrap_or_default(),
        final_lengths: after.map(|evaluation| evaluation.lengths.clone()).unwrap_or_default(),
        final_cut: after.map_or(0, |after| after.cut.iter().filter(|&&cut| cut).count()),
        progress: result.map(|result| result.progress).unwrap_or_default(),
        training_seconds: result.map_or(0.0, |result| result.training_seconds),
        steps_per_second: result.and_then(|result| result.steps_per_second),
        peak_memory_bytes: result.and_then(|result| result.peak_memory_bytes),
        curve,
        evaluations,
        threshold_reached,
    }
}

fn summarise(
    dir: &RunDir,
    plan: &Plan,
    info: Option<&RunInfo>,
    reward_threshold: Option<f64>,
    trials: &[Trial],
) -> Summary {
    let search = search_summary(plan, trials);
    // One pass: a run may have thousands of trials.
    let mut seeds: BTreeMap<&str, Vec<SeedSummary>> = BTreeMap::new();
    let shown = |trial: &&Trial| {
        let sample = search.as_ref().and_then(|search| search.shown(&trial.plan.agent));
        trial.plan.sample == sample
    };
    for trial in trials.iter().filter(shown) {
        seeds.entry(&trial.plan.agent).or_default().push(trial.summary.clone());
    }
    let agents = plan.experiment.agents.iter().map(|(name, agent)| AgentSummary {
        name: name.clone(),
        policy: match agent.policy {
            PolicySpec::Random {} => PolicyKind::Random,
            PolicySpec::HardCoded(_) => PolicyKind::HardCoded,
            PolicySpec::Neural(_) => PolicyKind::Neural,
            PolicySpec::Tabular {} => PolicyKind::Tabular,
            PolicySpec::Planning(_) => PolicyKind::Planning,
            PolicySpec::External(_) => PolicyKind::External,
            PolicySpec::Trainers => PolicyKind::Trainer,
        },
        learns: agent.schedule().is_some(),
        curve_window: agent.return_window(),
        seeds: seeds.remove(name.as_str()).unwrap_or_default(),
    });
    Summary {
        format_version: FORMAT_VERSION,
        experiment: plan.experiment.name.clone(),
        settings_hash: plan.settings_hash.clone(),
        run: dir.name(),
        status: info.map_or(RunStatus::Interrupted, |info| info.status),
        started: info.map(|info| info.started),
        finished: info.and_then(|info| info.finished),
        versions: info.map(|info| info.versions.clone()).unwrap_or_default(),
        git: info.and_then(|info| info.git.clone()),
        environment: plan.experiment.environment.task(),
        reward_threshold,
        agents: agents.collect(),
        search,
    }
}

/// What the experiment's search came to, if it has one.
fn search_summary(plan: &Plan, trials: &[Trial]) -> Option<SearchSummary> {
    let search = plan.experiment.search.as_ref()?;
    let mut by_sample: BTreeMap<(&str, usize), Vec<&Trial>> = BTreeMap::new();
    for trial in trials {
        if let Some(sample) = trial.plan.sample {
            by_sample.entry((&trial.plan.agent, sample)).or_default().push(trial);
        }
    }
    let summary = |sample: &Sample| {
        let trials = by_sample.get(&(sample.agent.as_str(), sample.number));
        let results: Vec<_> = (trials.into_iter().flatten())
            .map(|trial| (trial.result.as_ref(), trial.score))
            .collect();
        let score = SampleScore::new(&results);
        let values = sample.values.clone();
        SampleSummary { number: sample.number, values, mean: score.mean(), score }
    };
    let searched = |agent: &str| {
        let samples: Vec<&Sample> = plan.samples.iter().filter(|s| s.agent == agent).collect();
        let summaries: Vec<SampleSummary> = samples.iter().map(|s| summary(s)).collect();
        let scored: Vec<(&Sample, f64)> = (samples.iter().zip(&summaries))
            .filter(|(_, summary)| summary.score.standing == Standing::Complete)
            .filter_map(|(sample, summary)| Some((*sample, summary.mean?)))
            .collect();
        let scores: Vec<SampleScore> = summaries.iter().map(|s| s.score.clone()).collect();
        SearchedAgent {
            agent: agent.to_owned(),
            importance: search::importance(search, &scored),
            samples: search::ranking(search, &scores)
                .into_iter()
                .map(|number| summaries[number].clone())
                .collect(),
        }
    };
    Some(SearchSummary {
        metric: search.metric,
        direction: search.direction(),
        agents: search.agents(&plan.experiment).map(searched).collect(),
    })
}

/// A plan as far as the trials' own files tell it.
fn plan_from_trials(dir: &RunDir) -> Option<Plan> {
    let mut directories: Vec<_> = fs::read_dir(dir.path().join("trials"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    directories.sort();
    let trials: Vec<TrialPlan> =
        directories.into_iter().filter_map(|path| TrialDir::new(path).plan().ok()).collect();
    let first = trials.first()?;
    let name = dir.path().parent()?.file_name()?.to_string_lossy().into_owned();
    let mut seeds: Vec<u64> = trials.iter().map(|trial| trial.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let experiment = Spec {
        schema: None,
        name,
        description: String::new(),
        environment: first.environment.clone(),
        seeds: Seeds(seeds),
        agents: trials.iter().map(|t| (t.agent.clone(), t.settings.clone())).collect(),
        evaluation: first.evaluation.clone(),
        recording: RecordingSpec::clone(&first.recording),
        search: None,
        check: Default::default(),
        trial_timeout_seconds: None,
        directory: first.directory.clone(),
    };
    Some(Plan { trials, ..Plan::new(experiment) })
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
fn in_run(run: &Path, error: &anyhow::Error) -> String {
    format!("{error:#}").replace(&format!("{}/", run.display()), "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Progress;

    fn episode(number: u64, r#return: f64) -> Record {
        Record {
            progress: Progress { episodes: number, steps: number * 10, updates: number },
            seconds: number as f64,
            event: Event::Episode { r#return, length: 10, truncated: false },
        }
    }

    #[test]
    fn a_training_curve_averages_over_the_window() {
        let records = [1.0, 3.0, 5.0, 7.0];
        let records = records.iter().enumerate().map(|(i, &r)| episode(i as u64 + 1, r)).collect();
        let read = Events::read(records, 2, Some(4.0));
        assert_eq!(read.training.returns, [1.0, 2.0, 4.0, 6.0]);
        assert_eq!(read.reached, Some(Reached { episodes: 3, steps: 30, seconds: 3.0 }));
    }

    #[test]
    fn the_threshold_waits_for_a_whole_window() {
        let records = (1..=3).map(|i| episode(i, 500.0)).collect();
        assert_eq!(Events::read(records, 4, Some(475.0)).reached, None);
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

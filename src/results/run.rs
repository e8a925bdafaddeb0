//! What is known of a run, read from its directory alone.
//!
//! Whatever is missing or damaged becomes a note; only a directory with nothing readable in it
//! is an error.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context as _;
use fs_err as fs;
use indexmap::IndexMap;
use rayon::prelude::*;

use super::summary::{
    AgentSummary, EnvironmentSummary, Goal, PolicyKind, SampleSummary, SearchSummary,
    SearchedAgent, SeedSummary, Summary,
};
use super::trial::{Trial, TrialReader, in_run};
use crate::env::EnvSpec;
use crate::experiment::{
    AgentSpec, EnvironmentSpec, Part, Plan, RecordingSpec, Sample, Seeds, Spec, TrialPlan,
};
use crate::policy::PolicySpec;
use crate::record::FORMAT_VERSION;
use crate::record::{Decision, RunInfo, RunStatus, UnsafeName};
use crate::search::{self, SampleScore, Standing};
use crate::store::{self, NewerFormat, RunDir, TrialDir};

/// A run, as far as it could be read.
#[derive(Clone)]
pub struct RunData {
    /// Where it lies.
    pub dir: RunDir,
    /// The experiment and its trials.
    pub plan: Plan,
    /// The circumstances; nothing where `run.json` could not be read.
    pub info: Option<RunInfo>,
    /// The trials, in the plan's order.
    pub trials: Vec<Arc<Trial>>,
    /// What `summary.json` says.
    pub summary: Summary,
    /// The environment's row in the table, where this program knows it; nothing in a suite, whose parts have one each.
    pub env: Option<Arc<EnvSpec>>,
    /// What is missing or damaged.
    pub notes: Vec<String>,
    /// The environment's name, where this is a suite's part.
    pub environment_name: Option<String>,
}

impl RunData {
    /// Reads a run's directory.
    ///
    /// # Errors
    /// Fails if neither the plan nor any trial can be read, a newer version wrote the run, or a name leads out of its
    /// directory.
    pub fn read(dir: &RunDir) -> anyhow::Result<Self> {
        RunReader::new(dir.clone()).read()
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
        // Piece by piece: there may be thousands of seeds.
        let finite = || -> anyhow::Result<()> {
            let mut others = self.summary.clone();
            for agent in &mut others.agents {
                for seed in std::mem::take(&mut agent.seeds) {
                    store::ensure_finite(&seed).with_context(|| seed.trial.clone())?;
                }
            }
            store::ensure_finite(&others)
        };
        finite().context("summary.json was not written")?;
        // Compact: most of it is columns of numbers.
        let text = serde_json::to_string(&self.summary)?;
        store::write_atomically(&self.dir.summary(), text.as_bytes())?;
        if let Some(best) = self.best_experiment()? {
            store::write_json(&self.dir.best(), &best)?;
        }
        Ok(())
    }

    /// A suite's parts, in one environment each, with the trials, settings and summary of that and without the notes; a
    /// copy of itself where it is no suite.
    ///
    /// # Errors
    /// Fails if the settings of a part do not fit.
    pub fn parts(&self) -> anyhow::Result<Vec<Self>> {
        if !self.plan.experiment.is_suite() {
            return Ok(vec![self.clone()]);
        }
        let parts = self.plan.experiment.parts()?;
        let of = |part: Part| {
            let is_here = |trial: &TrialPlan| trial.environment_name == part.name;
            let name = part.name.as_deref().unwrap_or_default();
            Self {
                dir: self.dir.clone(),
                plan: Plan {
                    trials: self.plan.trials.iter().filter(|t| is_here(t)).cloned().collect(),
                    shard: self.plan.shard,
                    looks: self.plan.looks,
                    samples: self.plan.samples.clone(),
                    settings_hash: self.plan.settings_hash.clone(),
                    format_version: self.plan.format_version,
                    experiment: part.experiment.clone(),
                },
                info: self.info.clone(),
                trials: self.trials.iter().filter(|t| is_here(&t.plan)).cloned().collect(),
                summary: self.summary.part(name),
                env: part.experiment.environment.spec().ok(),
                notes: Vec::new(),
                environment_name: part.name.clone(),
            }
        };
        Ok(parts.into_iter().map(of).collect())
    }

    /// The trials of an agent, in the order of the seeds; of its best sample where it was searched for.
    pub fn trials_of<'a>(&'a self, agent: &'a str) -> impl Iterator<Item = &'a Trial> {
        let shown = self.summary.search.as_ref().and_then(|search| search.shown(agent));
        let of = move |trial: &&Trial| trial.plan.agent == agent && trial.plan.sample == shown;
        self.trials.iter().map(Arc::as_ref).filter(of)
    }
}

/// Reads a run again and again while it goes on: of each trial only what is new.
pub struct RunReader {
    dir: RunDir,
    /// In the plan's order; a search's plan only grows.
    trials: Vec<TrialReader>,
}

impl RunReader {
    /// A reader that has read nothing yet.
    pub fn new(dir: RunDir) -> Self {
        Self { dir, trials: Vec::new() }
    }

    /// The run's directory.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// Reads the run as it stands now. A trial in which nothing happened since the last time is the same [`Arc`].
    ///
    /// # Errors
    /// Fails if neither the plan nor any trial can be read, a newer version wrote the run, or a name leads out of its
    /// directory.
    pub fn read(&mut self) -> anyhow::Result<RunData> {
        let dir = &self.dir;
        let mut notes = Vec::new();
        let plan = match dir.plan() {
            Ok(plan) => plan,
            Err(error) if error.is::<UnsafeName>() || error.is::<NewerFormat>() => {
                return Err(error);
            }
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
        if let Some(shard) = plan.shard {
            notes.push(format!(
                "only the trials of shard {shard} are here; `rushes merge` makes one run of all shards"
            ));
        }
        let info = match dir.info() {
            Ok(info) => Some(info),
            // What the rest of a newer run means is not known either.
            Err(error) if error.is::<UnsafeName>() || error.is::<NewerFormat>() => {
                return Err(error);
            }
            Err(error) => {
                notes.push(format!(
                    "run.json could not be read, so the circumstances of the run are missing ({})",
                    in_run(dir.path(), &error)
                ));
                None
            }
        };
        let mut thresholds = Thresholds::new();
        let mut env = None;
        for (name, environment) in plan.experiment.named_environments() {
            let spec = environment.spec().ok();
            if spec.is_none() && !plan.is_imported() {
                let id = &environment.id;
                notes.push(format!("this version of rushes does not know the environment {id}"));
            }
            thresholds.insert(name, spec.as_ref().and_then(|spec| spec.reward_threshold));
            env = spec.filter(|_| name.is_none());
            let Some(card) = &environment.described else { continue };
            if !card.deterministic {
                notes.push(format!(
                    "{} says that it is not deterministic: equal runs differ, and a run that was interrupted and resumed \
                     differs from one that was not",
                    environment.id
                ));
            }
            notes.extend(card.notes.clone());
        }
        self.trials.resize_with(plan.trials.len(), TrialReader::default);
        let trials: Vec<Arc<Trial>> = (self.trials.par_iter_mut().zip(&plan.trials))
            .map(|(reader, trial)| {
                let name = trial.environment_name.as_deref();
                reader.read(dir, &plan, trial, thresholds.get(&name).copied().flatten())
            })
            .collect::<anyhow::Result<_>>()?;
        for trial in &trials {
            notes.extend(trial.notes.iter().map(|note| format!("{}: {note}", trial.plan.id)));
        }
        let decisions = dir.decisions().unwrap_or_else(|error| {
            notes.push(format!(
                "what the search decided at its rungs is missing ({})",
                in_run(dir.path(), &error)
            ));
            Vec::new()
        });
        let summary = summarise(dir, &plan, info.as_ref(), &thresholds, &trials, &decisions)?;
        let dir = dir.clone();
        Ok(RunData { dir, plan, info, trials, summary, env, notes, environment_name: None })
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

/// The reward thresholds of a run's environments by their names.
type Thresholds<'a> = HashMap<Option<&'a str>, Option<f64>>;

fn summarise(
    dir: &RunDir,
    plan: &Plan,
    info: Option<&RunInfo>,
    thresholds: &Thresholds<'_>,
    trials: &[Arc<Trial>],
    decisions: &[Decision],
) -> anyhow::Result<Summary> {
    let search = search_summary(plan, trials, decisions);
    // One pass: a run may have thousands of trials.
    let mut seeds: HashMap<Cow<'_, str>, Vec<Arc<SeedSummary>>> = HashMap::new();
    let shown = |trial: &&Arc<Trial>| {
        let sample = search.as_ref().and_then(|search| search.shown(&trial.plan.agent));
        trial.plan.sample == sample
    };
    for trial in trials.iter().filter(shown) {
        seeds.entry(trial.plan.agent_name()).or_default().push(trial.summary.clone());
    }
    let mut agents = Vec::new();
    let mut environments = IndexMap::new();
    for part in plan.experiment.parts()? {
        let reward_threshold = thresholds.get(&part.name.as_deref()).copied().flatten();
        for (agent, settings) in &part.experiment.agents {
            let name = part.agent_name(agent).into_owned();
            let seeds = seeds.remove(&*name).unwrap_or_default();
            agents.push(agent_summary(name, settings, reward_threshold, seeds));
        }
        if let Some(name) = part.name {
            let environment = part.experiment.environment.task();
            environments.insert(name, EnvironmentSummary { environment, reward_threshold });
        }
    }
    Ok(Summary {
        format_version: FORMAT_VERSION,
        experiment: plan.experiment.name.clone(),
        settings_hash: plan.settings_hash.clone(),
        run: dir.name(),
        label: info.and_then(|info| info.label.clone()),
        status: info.map_or(RunStatus::Interrupted, |info| info.status),
        started: info.map(|info| info.started),
        finished: info.and_then(|info| info.finished),
        versions: info.map(|info| info.versions.clone()).unwrap_or_default(),
        git: info.and_then(|info| info.git.clone()),
        environment: plan.experiment.task(),
        reward_threshold: thresholds.get(&None).copied().flatten(),
        environments,
        agents,
        search,
    })
}

fn agent_summary(
    name: String,
    agent: &AgentSpec,
    reward_threshold: Option<f64>,
    seeds: Vec<Arc<SeedSummary>>,
) -> AgentSummary {
    AgentSummary {
        name,
        policy: match agent.policy {
            PolicySpec::Random {} => PolicyKind::Random,
            PolicySpec::HardCoded(_) => PolicyKind::HardCoded,
            PolicySpec::Neural(_) => PolicyKind::Neural,
            PolicySpec::Tabular(_) => PolicyKind::Tabular,
            PolicySpec::Planning(_) => PolicyKind::Planning,
            PolicySpec::External(_) => PolicyKind::External,
            PolicySpec::Trainers if agent.imported.is_some() => PolicyKind::Imported,
            PolicySpec::Trainers => PolicyKind::Trainer,
        },
        learns: agent.schedule().is_some(),
        curve_window: agent.return_window(),
        final_score: agent
            .imported
            .as_ref()
            .map(|imported| imported.final_score)
            .unwrap_or_default(),
        goal: agent.schedule().and_then(|schedule| Goal::of(schedule, reward_threshold)),
        seeds,
    }
}

/// What the experiment's search came to, if it has one.
fn search_summary(
    plan: &Plan,
    trials: &[Arc<Trial>],
    decisions: &[Decision],
) -> Option<SearchSummary> {
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
        let Sample { number, parent, .. } = *sample;
        SampleSummary { number, values: sample.values.clone(), parent, mean: score.mean(), score }
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
            rungs: search::rungs(search, agent, decisions),
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
    let read = |path| Some(Arc::new(TrialDir::new(path).plan().ok()?));
    let trials: Vec<Arc<TrialPlan>> = directories.into_iter().filter_map(read).collect();
    let first = trials.first()?;
    let name = dir.path().parent()?.file_name()?.to_string_lossy().into_owned();
    let mut seeds: Vec<u64> = trials.iter().map(|trial| trial.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let of_suite = trials.iter().filter_map(|trial| {
        Some((trial.environment_name.clone()?, EnvironmentSpec::clone(&trial.environment)))
    });
    let environments: IndexMap<String, EnvironmentSpec> = of_suite.collect();
    let mut agents: IndexMap<String, AgentSpec> = IndexMap::new();
    for trial in &trials {
        let agent =
            agents.entry(trial.agent.clone()).or_insert_with(|| AgentSpec::clone(&trial.settings));
        if let Some(environment) = &trial.environment_name {
            let patch = serde_json::to_value(&trial.settings).ok()?;
            agent.environments.insert(environment.clone(), patch);
        }
    }
    let experiment = Spec {
        schema: None,
        name,
        description: String::new(),
        environment: match environments.is_empty() {
            true => EnvironmentSpec::clone(&first.environment),
            false => EnvironmentSpec::default(),
        },
        environments,
        scores: IndexMap::new(),
        seeds: Seeds::from(seeds),
        agents,
        evaluation: first.evaluation.clone(),
        recording: RecordingSpec::clone(&first.recording),
        search: None,
        check: Default::default(),
        trial_timeout_seconds: None,
        resources: None,
        directory: first.directory.clone(),
    };
    Some(Plan { trials, ..Plan::new(experiment).ok()? })
}

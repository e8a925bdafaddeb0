//! The run directory of imported trainings.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use fs_err as fs;
use indexmap::IndexMap;
use serde_json::{Value, json};

use super::training::{EvaluationPoint, Training};
use super::{Found, films};
use crate::env::names;
use crate::experiment::{
    AgentSpec, CheckSpec, EnvironmentSpec, FinalScore, ImportedSpec, Plan, Question, RecordingSpec,
    ScheduleSpec, ScoreSpec, Seeds, Spec, TrialPlan, plain, window,
};
use crate::policy::PolicySpec;
use crate::record::{
    Evaluation, Event, FORMAT_VERSION, Progress, Record, RunInfo, RunStatus, TakeRecord,
    TrialResult, plain_name,
};
use crate::run::{Closed, close_whole};
use crate::store::{RunDir, TrialDir};

/// Writes a run below `output` and records it in the history: whole, or not at all.
///
/// # Errors
/// Fails if a file cannot be written.
pub fn write(
    found: &Found,
    plan: Plan,
    output: &Path,
    label: Option<String>,
) -> anyhow::Result<Closed> {
    let dir = RunDir::create(output, &plan.experiment.name)?;
    let fill = || -> anyhow::Result<Closed> {
        let mut warnings = Vec::new();
        for (trial, training) in plan.trials.iter().zip(&found.trainings) {
            write_trial(&dir.trial(&trial.id), trial, training, &mut warnings)
                .with_context(|| format!("failed to write {}", trial.id))?;
        }
        dir.write_plan(&plan)?;
        dir.write_info(&info(&dir, label))?;
        let mut closed = close_whole(&dir)?;
        closed.warnings.splice(..0, warnings);
        Ok(closed)
    };
    fill().inspect_err(|_| {
        let _ = fs::remove_dir_all(dir.path());
    })
}

impl Found {
    /// The plan that would have led to these trainings, one trial for each of them, in their order: of an experiment that is
    /// called `name`, checked for sameness where that is asked, and whose returns `scores` normalise, by environments' ids.
    ///
    /// # Errors
    /// Fails if the experiment cannot be called so, or there is no such suite.
    pub fn plan(
        &self,
        name: Option<&str>,
        same: bool,
        scores: &[(String, ScoreSpec)],
    ) -> anyhow::Result<Plan> {
        let question = if same { Question::Same } else { Question::default() };
        let check = CheckSpec { question, ..CheckSpec::default() };
        let name = match name {
            Some(name) => {
                anyhow::ensure!(
                    plain(name) == name && plain_name(name).is_ok(),
                    "--name {name}: expected letters, digits, `-`, `_` and `.`, at most 60 of them"
                );
                name.to_owned()
            }
            None => plain(&self.name),
        };
        let ids: BTreeSet<&str> =
            self.trainings.iter().map(|one| one.environment.as_str()).collect();
        for (id, _) in scores {
            anyhow::ensure!(
                ids.len() > 1 && ids.contains(id.as_str()),
                "--score {id}: expected one of several environments, found {}",
                names::list(&ids.iter().collect::<Vec<_>>())
            );
        }
        let scores = scores.iter().map(|(id, score)| (plain(id), *score)).collect();
        plan(&self.trainings, name, check, scores)
    }
}

fn plan(
    trainings: &[Training],
    name: String,
    check: CheckSpec,
    scores: IndexMap<String, ScoreSpec>,
) -> anyhow::Result<Plan> {
    let mut environments: IndexMap<String, EnvironmentSpec> = IndexMap::new();
    let mut agents: IndexMap<String, AgentSpec> = IndexMap::new();
    for training in trainings {
        let id = &training.environment;
        let before = environments.insert(plain(id), EnvironmentSpec::named(id));
        if let Some(other) = before.filter(|other| other.id != *id) {
            anyhow::bail!(
                "the environments {} and {} would both be called {} in the run; import them apart, or say another id with \
                 --environment",
                names::short(&other.id),
                names::short(id),
                plain(id)
            );
        }
        agents.entry(training.agent.clone()).or_insert_with(|| agent(own(trainings, training)));
    }
    let mut seeds: Vec<u64> = trainings.iter().map(|training| training.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let is_suite = environments.len() > 1;
    if is_suite {
        // Whoever was not trained in an environment does not play there; each has its own scores.
        for (agent, settings) in &mut agents {
            for (name, environment) in &environments {
                let of = |training: &&Training| {
                    training.agent == *agent && training.environment == environment.id
                };
                let there = trainings.iter().find(of);
                let imported = there.map(|training| imported(own(trainings, training)));
                if imported != settings.imported {
                    let patch = imported.map_or(Value::Null, |own| json!({ "imported": own }));
                    settings.environments.insert(name.clone(), patch);
                }
            }
        }
    }
    let environment = match (is_suite, environments.values().next()) {
        (false, Some(only)) => only.clone(),
        _ => EnvironmentSpec::default(),
    };
    let spec = Spec {
        schema: None,
        name,
        description: String::new(),
        environment,
        environments: if is_suite { environments } else { IndexMap::new() },
        scores,
        seeds: Seeds::from(seeds),
        agents,
        evaluation: Default::default(),
        recording: RecordingSpec { before: false, after: false, ..RecordingSpec::default() },
        search: None,
        check,
        trial_timeout_seconds: None,
        resources: None,
        directory: None,
    };
    let plan = Plan::new(spec)?;
    // Agents may have other seeds than one another, and trainings stand in another order.
    let trial = |training: &Training| {
        let of = |trial: &&TrialPlan| {
            trial.agent == training.agent
                && trial.seed == training.seed
                && trial.environment.id == training.environment
        };
        let trial = plan.trials().find(of).context("every training is planned")?;
        Ok(Arc::new(TrialPlan { filmed: training.films() > 0, ..trial.clone() }))
    };
    let trials = trainings.iter().map(trial).collect::<anyhow::Result<_>>()?;
    Ok(Plan { trials, ..plan })
}

/// The trainings of an agent in an environment, those of `training`.
fn own<'t>(
    trainings: &'t [Training],
    training: &'t Training,
) -> impl Iterator<Item = &'t Training> + Clone {
    let key = |one: &'t Training| (&one.environment, &one.agent);
    trainings.iter().filter(move |one| key(one) == key(training))
}

fn agent<'t>(own: impl Iterator<Item = &'t Training> + Clone) -> AgentSpec {
    AgentSpec {
        policy: PolicySpec::Trainers,
        training: None,
        trainer: None,
        imported: Some(imported(own)),
        environments: IndexMap::new(),
    }
}

fn imported<'t>(own: impl Iterator<Item = &'t Training> + Clone) -> ImportedSpec {
    let returns = own.clone().map(Training::returns);
    let fewest = returns.filter(|returns| *returns > 0).min().unwrap_or(0);
    let means = own.clone().any(Training::means);
    let programs: BTreeSet<&str> =
        own.clone().flat_map(|training| training.programs.iter().copied()).collect();
    ImportedSpec {
        program: programs.into_iter().collect::<Vec<_>>().join(", "),
        means,
        final_score: own.clone().map(|training| training.score).next().unwrap_or_default(),
        schedule: ScheduleSpec {
            steps: own.map(Training::steps).max().filter(|steps| *steps > 0),
            ..ScheduleSpec::default()
        },
        window: if means { 1 } else { window(fewest) },
    }
}

fn info(dir: &RunDir, label: Option<String>) -> RunInfo {
    let now = jiff::Timestamp::now();
    RunInfo {
        format_version: FORMAT_VERSION,
        run: dir.name(),
        label,
        status: RunStatus::Finished,
        started: now,
        finished: Some(now),
        command: std::env::args_os().map(|part| part.to_string_lossy().into_owned()).collect(),
        experiment_file: String::new(),
        overrides: Vec::new(),
        jobs: 0,
        // Those of the programs that trained are not known.
        versions: IndexMap::new(),
        git: None,
        machine: IndexMap::new(),
        signature: None,
    }
}

/// Writes what a training's own process would have: its events, and last its result.
fn write_trial(
    dir: &TrialDir,
    plan: &TrialPlan,
    training: &Training,
    warnings: &mut Vec<String>,
) -> anyhow::Result<()> {
    dir.create(plan)?;
    let mut records = records(training);
    let mut takes: Vec<TakeRecord> = Vec::new();
    for (number, path) in training.films.iter().enumerate() {
        match films::copy(path, number, training, dir) {
            Ok((progress, take)) => {
                takes.push(take.clone());
                let place =
                    records.partition_point(|record| record.progress.steps <= progress.steps);
                let seconds = place.checked_sub(1).map_or(0.0, |before| records[before].seconds);
                records.insert(place, Record { progress, seconds, event: Event::Take(take) });
            }
            Err(error) => warnings.push(format!("a film is left out: {error:#}")),
        }
    }
    let mut events = std::io::BufWriter::new(fs::File::create(dir.events_path())?);
    for record in &records {
        serde_json::to_writer(&mut events, record)?;
        events.write_all(b"\n")?;
    }
    events.flush()?;
    let last = records.last().map(|record| (record.progress, record.seconds));
    let (progress, training_seconds) = last.unwrap_or_default();
    let evaluated =
        training.evaluations.last().filter(|_| training.score == FinalScore::Evaluation);
    let result = TrialResult {
        progress: Progress { steps: training.steps(), ..progress },
        training_seconds,
        after: Some(Evaluation {
            seed: None,
            returns: training.final_returns(),
            lengths: evaluated.map(|last| last.lengths.clone()).unwrap_or_default(),
            cut: Vec::new(),
        }),
        takes,
        ..plan.empty_result()
    };
    dir.write_result(&result)
}

/// The events of a training in the order of its steps.
fn records(training: &Training) -> Vec<Record> {
    let mut records = Vec::new();
    let mut evaluations = training.evaluations.iter().peekable();
    let (mut progress, mut seconds) = (Progress::default(), 0.0_f64);
    let mut push = |progress: Progress, seconds: f64, event: Event| {
        records.push(Record { progress, seconds, event });
    };
    for episode in &training.episodes {
        while let Some(evaluation) = evaluations.next_if(|e| e.steps < episode.steps) {
            push(Progress { steps: evaluation.steps, ..progress }, seconds, evaluated(evaluation));
        }
        progress = Progress { episodes: progress.episodes + 1, steps: episode.steps, updates: 0 };
        seconds = episode.seconds.unwrap_or(seconds);
        let event =
            Event::Episode { r#return: episode.r#return, length: episode.length, truncated: None };
        push(progress, seconds, event);
    }
    for evaluation in evaluations {
        let steps = evaluation.steps.max(progress.steps);
        push(Progress { steps, ..progress }, seconds, evaluated(evaluation));
    }
    records
}

fn evaluated(evaluation: &EvaluationPoint) -> Event {
    let (returns, lengths) = (evaluation.returns.clone(), evaluation.lengths.clone());
    Event::Evaluation { returns, lengths, cut: Vec::new() }
}

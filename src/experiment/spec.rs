//! An experiment as it is written in its file.
//!
//! These types are the single source of the file format: the JSON Schema under `schemas/` is generated from
//! them, and every file is held against that schema before it is read, so ranges belong in the `schemars`
//! attributes here and nowhere else.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::PathBuf;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use super::algorithm::AlgorithmSpec;
use super::check::CheckSpec;
use super::environment::{EnvironmentSpec, MAX_SECONDS, place};
use super::pinned::Pinned;
use super::resources::ResourcesSpec;
use super::search::SearchSpec;
use crate::env::{EnvSpec, Mode};
use crate::format;
use crate::policy::{ExternalPolicySpec, PolicySpec};
use crate::record::{Progress, StopReason};
use crate::video::VideoConfig;

/// The most trials that one experiment may have.
pub const MAX_TRIALS: usize = 10_000;
/// What agents may be called: any text without characters that move a terminal's cursor.
pub(super) const AGENT_NAME: &str = r"^\P{Cc}+$";
/// What environments of a suite may be called: trials and their directories are named after them.
pub(super) const ENVIRONMENT_NAME: &str = "^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$";

/// After how many steps evaluations and takes cut an episode where no time limit ends it.
const LONGEST_EVALUATION_EPISODE: u32 = 1_000;

/// A rushes experiment: an environment, agents, and how they are trained, evaluated and filmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Path or URL of the JSON Schema, for editors.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The experiment's name: the folder below `output/`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), length(max = 100))]
    pub name: String,
    /// What the experiment is for, shown at the top of the report.
    #[serde(default)]
    pub description: String,
    /// The environment that every agent plays in; needed without `environments`.
    #[serde(default, skip_serializing_if = "EnvironmentSpec::is_missing")]
    pub environment: EnvironmentSpec,
    /// Several environments by name, in place of `environment`: a suite. Every agent plays in each of them, with other
    /// settings where its own `environments` say so.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("propertyNames" = { "pattern": ENVIRONMENT_NAME, "maxLength": 60 }))]
    pub environments: IndexMap<String, EnvironmentSpec>,
    /// What returns of a suite's environments are normalised by, for figures over all of them.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub scores: IndexMap<String, ScoreSpec>,
    /// The seeds of the trials: a list, or how many (counted from 0).
    #[serde(default)]
    pub seeds: Seeds,
    /// The agents by name. Each is run once for every seed.
    #[schemars(extend(
        "minProperties" = 1,
        "propertyNames" = { "pattern": AGENT_NAME, "maxLength": 500 }
    ))]
    pub agents: IndexMap<String, AgentSpec>,
    /// How the policies are evaluated.
    #[serde(default)]
    pub evaluation: EvaluationSpec,
    /// What is filmed.
    #[serde(default)]
    pub recording: RecordingSpec,
    /// A search for good settings of the agents, before anything else is asked of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchSpec>,
    /// How the regression gate (`rushes check`) decides.
    #[serde(default)]
    pub check: CheckSpec,
    /// Seconds after which a trial is killed and counted as failed; no limit by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1, max = MAX_SECONDS))]
    pub trial_timeout_seconds: Option<f64>,
    /// What each trial needs of the machine that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesSpec>,
    /// The folder that commands run in and that relative paths in them begin at; by default that of the experiment
    /// file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub directory: Option<PathBuf>,
}

impl Spec {
    /// Whether anything may be filmed by this program; trainers film by themselves.
    pub fn films(&self) -> bool {
        let RecordingSpec { before, after, training, .. } = self.recording;
        if !self.environments().any(EnvironmentSpec::draws) {
            return false;
        }
        let films = |agent: &AgentSpec| {
            let of = |t: &TrainingSpec| training.is_some() || t.schedule.record_every.is_some();
            let during = agent.training.as_ref().is_some_and(of);
            agent.trainer.is_none() && (before || after || during)
        };
        self.agents.values().any(films)
    }

    /// The experiment as a file of its own, wherever it came from: what a run was told elsewhere is left out, and what is
    /// relative to its file stands with the folder that it is relative to.
    pub fn as_file(&self) -> Self {
        let mut file = Self { schema: None, ..self.clone() };
        for (_, environment) in file.named_environments_mut() {
            environment.described = None;
        }
        file
    }

    /// The commands that a run of this experiment starts, for people and for [`crate::trust`]: each once, as a shell
    /// takes it.
    ///
    /// # Errors
    /// Fails if the settings of a suite's part do not fit; never for a checked experiment.
    pub fn commands(&self) -> anyhow::Result<Vec<String>> {
        let mut seen = HashSet::new();
        let mut lines: Vec<String> =
            self.parts()?.iter().flat_map(|part| part.experiment.own_commands()).collect();
        lines.retain(|line| seen.insert(line.clone()));
        Ok(lines)
    }

    /// [`Spec::commands`] in one environment.
    fn own_commands(&self) -> Vec<String> {
        let trainer = |agent: &AgentSpec| {
            let trainer = agent.trainer.as_ref()?;
            Some(format::shell_line_in(self.directory.as_deref(), &trainer.command))
        };
        let policies = self.agents.values().filter_map(|agent| self.placed(&agent.policy).shown());
        let mut lines: Vec<String> = self.placed_environment().shown().into_iter().collect();
        lines.extend(policies);
        lines.extend(self.agents.values().filter_map(trainer));
        lines
    }

    /// The environment, whose processes begin in a folder below the experiment's.
    pub fn placed_environment(&self) -> EnvironmentSpec {
        self.environment.placed(self.directory.as_deref())
    }

    /// `policy`, whose process begins in a folder below the experiment's.
    pub(super) fn placed(&self, policy: &PolicySpec) -> PolicySpec {
        match policy {
            PolicySpec::External(external) => PolicySpec::External(ExternalPolicySpec {
                directory: place(self.directory.as_deref(), external.directory.as_deref()),
                ..external.clone()
            }),
            policy => policy.clone(),
        }
    }
}

/// One agent: a policy and how it learns where it does, or a training script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentSpec {
    /// How the agent acts; needed without a `trainer`.
    #[serde(default, skip_serializing_if = "PolicySpec::is_trainers")]
    pub policy: PolicySpec,
    /// How the agent learns; without it the policy is evaluated and filmed as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingSpec>,
    /// A training script, in place of `policy` and `training`: whatever framework it uses, it trains and evaluates an
    /// agent of its own (`docs/external-trainers.md`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trainer: Option<TrainerSpec>,
    /// That the agent was trained by another program and its results were imported: what no experiment file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub imported: Option<ImportedSpec>,
    /// What is different in environments of a suite, by their names: a JSON Merge Patch (RFC 7396) of the settings above,
    /// where `null` leaves a field out; or `null`, and the agent does not play there. Another algorithm, or
    /// another type of policy, begins with its own defaults.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(with = "IndexMap<String, Option<Map<String, Value>>>")]
    pub environments: IndexMap<String, Value>,
}

/// The training episodes that a point of a curve averages over.
const WINDOW: usize = 100;

/// The same in a training of so many episodes: a tenth of a shorter one.
pub fn window(episodes: usize) -> usize {
    (episodes / 10).clamp(1, WINDOW)
}

impl AgentSpec {
    /// How long it is trained; nothing for an agent that does not learn.
    pub fn schedule(&self) -> Option<&ScheduleSpec> {
        let own = self.training.as_ref().map(|training| &training.schedule);
        let own = own.or(self.trainer.as_ref().map(|trainer| &trainer.schedule));
        own.or(self.imported.as_ref().map(|imported| &imported.schedule))
    }

    /// [`AgentSpec::schedule`], to change it.
    pub fn schedule_mut(&mut self) -> Option<&mut ScheduleSpec> {
        let own = self.training.as_mut().map(|training| &mut training.schedule);
        own.or(self.trainer.as_mut().map(|trainer| &mut trainer.schedule))
    }

    /// The episodes that a point of this agent's curve of training returns averages over: what its stop
    /// rule looks at, else 100, else a tenth of a shorter schedule.
    pub fn return_window(&self) -> usize {
        if let Some(imported) = &self.imported {
            return imported.window;
        }
        let Some(schedule) = self.schedule() else { return WINDOW };
        match (&schedule.stop, schedule.episodes) {
            (Some(stop), _) if stop.mean_return.is_some() => stop.window,
            (_, Some(episodes)) => window(episodes as usize),
            _ => WINDOW,
        }
    }
}

/// A training script: a process that trains an agent by itself and reports what happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainerSpec {
    /// The program and its arguments, for example `["python", "train.py"]`; no shell is involved.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    pub command: Vec<String>,
    /// Whatever the script wants to be told, hyperparameters above all: a search and `--set` reach into it.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// How long training lasts, and what happens on the way: the script is told, and keeps to it.
    pub schedule: ScheduleSpec,
}

/// What is known of an agent that another program trained (`rushes import`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedSpec {
    /// The programs that wrote the files.
    pub program: String,
    /// Whether each training return is the program's own mean over several episodes.
    pub means: bool,
    /// What the final score is of.
    pub final_score: FinalScore,
    /// The steps that its longest training came to.
    pub schedule: ScheduleSpec,
    /// How many training returns a point of the curve averages over.
    pub window: usize,
}

/// What stands for the evaluation after training of an agent that another program trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalScore {
    /// The program's last evaluation.
    #[default]
    Evaluation,
    /// So many of the last training returns, where nothing was evaluated.
    TrainingReturns(usize),
}

impl FinalScore {
    /// Whether it is of an evaluation, as every score of our own is.
    pub fn is_evaluation(&self) -> bool {
        *self == Self::Evaluation
    }

    /// What it is of, in words.
    pub fn words(self) -> String {
        match self {
            Self::Evaluation => "last evaluation".into(),
            Self::TrainingReturns(1) => "last training return".into(),
            Self::TrainingReturns(last) => format!("last {last} training returns"),
        }
    }
}

/// How an agent learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainingSpec {
    /// The learning algorithm and its hyperparameters.
    pub algorithm: AlgorithmSpec,
    /// A policy to begin with instead of a random one, of the same network: one that learned here, or in another
    /// environment with the same observations. Where the actions are others, the last layer begins anew. A policy file, the
    /// directory of a trial, or `RUN/AGENT` (or `RUN/AGENT/SEED`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_policy: Option<Pinned>,
    /// What is learned from instead of the environment: the folder of a dataset in Minari's layout with Parquet files, as
    /// `recording.dataset` writes it. Each step is one of learning then, on a minibatch of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<Pinned>,
    /// How long training lasts, and what happens on the way.
    pub schedule: ScheduleSpec,
}

/// What the returns of an environment are normalised by: `(return - random) / (reference - random)`, so that 0 is a random
/// policy's and 1 the reference's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreSpec {
    /// The mean return of a random policy; by default that of the suite's own `random` agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random: Option<f64>,
    /// The mean return that counts as 1; by default the environment's reward threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<f64>,
}

/// How long training lasts, and what happens on the way. At least one of `episodes`, `steps`, `updates`
/// and `seconds` is needed; training ends at whichever comes first, or when `stop` holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleSpec {
    /// Train for this many episodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub episodes: Option<u64>,
    /// Train for this many environment steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub steps: Option<u64>,
    /// Train for this many updates of the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub updates: Option<u64>,
    /// Train for this many seconds of wall-clock time. Such a run cannot be repeated exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = MAX_SECONDS))]
    pub seconds: Option<f64>,
    /// Stop early when the task counts as learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopSpec>,
    /// What the periods below count where they are bare numbers; by default the first of `episodes`, `steps` and
    /// `updates` that the schedule has, else episodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_unit: Option<PeriodUnit>,
    /// Reset the environment of training episode e with seed `trial seed + e` instead of letting the
    /// random stream go on.
    pub reseed_each_episode: bool,
    /// How often the training metrics (loss, entropy, …) are written; every update by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_every: Option<Every>,
    /// How often the policy is evaluated during training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluate_every: Option<Every>,
    /// How often a take is filmed during training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_every: Option<Every>,
    /// How often a checkpoint is written. Environments restart there, so that one that falls due waits until every
    /// copy of the environment has ended an episode since the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<Every>,
}

impl ScheduleSpec {
    /// What periods count that are bare numbers.
    pub fn period_unit(&self) -> PeriodUnit {
        self.period_unit.unwrap_or(match self {
            Self { episodes: Some(_), .. } => PeriodUnit::Episodes,
            Self { steps: Some(_), .. } => PeriodUnit::Steps,
            Self { updates: Some(_), .. } => PeriodUnit::Updates,
            _ => PeriodUnit::Episodes,
        })
    }

    /// How much of it is used up, from 0 to 1, by whichever limit is the nearest.
    pub fn share(&self, progress: Progress, seconds: f64) -> f64 {
        let of = |limit: Option<u64>, done: u64| limit.map_or(0.0, |n| done as f64 / n as f64);
        of(self.episodes, progress.episodes)
            .max(of(self.steps, progress.steps))
            .max(of(self.updates, progress.updates))
            .max(self.seconds.map_or(0.0, |limit| seconds / limit))
            .min(1.0)
    }

    /// The limit that training has reached, if it has.
    pub fn limit_reached(&self, progress: Progress, seconds: f64) -> Option<StopReason> {
        let reached = |limit: Option<u64>, done: u64| limit.is_some_and(|limit| done >= limit);
        if reached(self.episodes, progress.episodes) {
            Some(StopReason::Episodes)
        } else if reached(self.steps, progress.steps) {
            Some(StopReason::Steps)
        } else if reached(self.updates, progress.updates) {
            Some(StopReason::Updates)
        } else if self.seconds.is_some_and(|limit| seconds >= limit) {
            Some(StopReason::Seconds)
        } else {
            None
        }
    }
}

/// What a period counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeriodUnit {
    /// Finished training episodes.
    Episodes,
    /// Environment steps.
    Steps,
    /// Updates of the policy.
    Updates,
}

/// When training stops early. Where both rules are given, either one stops it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StopSpec {
    /// Stop when the mean return of the last `window` training episodes is at least this: a number, or
    /// `"threshold"` for the environment's reward threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_return: Option<Target>,
    /// How many episodes `mean_return` looks back; it waits until there are that many.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub window: usize,
    /// Stop when the exponential running return is above this: a number, or `"threshold"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_return: Option<Target>,
    /// The weight of the newest episode: `running = smoothing · return + (1 - smoothing) · running`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub smoothing: f64,
    /// The running return before the first episode.
    pub initial: f64,
}

impl StopSpec {
    /// The rule that an experiment's goal is read off: `mean_return` where both are given.
    pub fn goal(&self) -> Self {
        let running_return = self.running_return.filter(|_| self.mean_return.is_none());
        Self { running_return, ..self.clone() }
    }
}

impl Default for StopSpec {
    fn default() -> Self {
        Self {
            mean_return: None,
            window: 100,
            running_return: None,
            smoothing: 0.05,
            initial: 10.0,
        }
    }
}

/// How the policies are evaluated. Every agent, before and after training, plays the same episodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationSpec {
    /// Episodes of the evaluation after training.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub episodes: u64,
    /// Episodes of each evaluation during training (`schedule.evaluate_every`).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub training_episodes: u64,
    /// Which policy of a training is evaluated and filmed after it.
    #[serde(skip_serializing_if = "KeptPolicy::is_last")]
    pub policy: KeptPolicy,
    /// Whether learned policies act greedily or sample.
    pub mode: EvaluationMode,
    /// Seed of the first evaluation episode; the next ones count up from it. Takes use the first ones.
    // Below the seeds of training, with room for the episodes and for those of evaluations during training.
    #[schemars(range(max = 4_000_000_000_000_000_000_u64))]
    pub seed: u64,
    /// Cut the episodes of evaluations and takes after this many steps; by default after 1,000 where neither the
    /// environment nor `environment.max_episode_steps` sets a time limit, else never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_episode_steps: Option<u32>,
}

impl EvaluationSpec {
    /// After how many steps an episode in `environment`, whose row in the table is `spec`, is cut.
    pub fn episode_limit(&self, environment: &EnvironmentSpec, spec: &EnvSpec) -> Option<u32> {
        let default =
            || environment.time_limit(spec).is_none().then_some(LONGEST_EVALUATION_EPISODE);
        self.max_episode_steps.or_else(default)
    }
}

impl Default for EvaluationSpec {
    fn default() -> Self {
        Self {
            episodes: 100,
            training_episodes: 10,
            policy: KeptPolicy::Last,
            mode: EvaluationMode::Greedy,
            seed: 1_000_000_000,
            max_episode_steps: None,
        }
    }
}

/// The policies of a training that are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeptPolicy {
    /// The one that training ended with.
    #[default]
    Last,
    /// The one with the greatest mean return in an evaluation during training (`schedule.evaluate_every`), the first of
    /// several. Those play other episodes than the evaluation after training, which choosing therefore does not flatter.
    Best,
}

impl KeptPolicy {
    fn is_last(&self) -> bool {
        *self == Self::Last
    }
}

/// Whether learned policies act greedily or sample when they are evaluated and filmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvaluationMode {
    /// Take the most probable action, or the mean.
    Greedy,
    /// Draw from the policy's distribution, as in training.
    Explore,
}

impl From<EvaluationMode> for Mode {
    fn from(mode: EvaluationMode) -> Self {
        match mode {
            EvaluationMode::Greedy => Self::Greedy,
            EvaluationMode::Explore => Self::Explore,
        }
    }
}

/// What is filmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecordingSpec {
    /// Film the untrained policy.
    pub before: bool,
    /// Film the trained policy (and policies that do not learn).
    pub after: bool,
    /// Episodes in each take.
    #[schemars(range(min = 1, max = 1000))]
    pub episodes: u32,
    /// Which episodes of training themselves are filmed, with exploration, counted from 0 over all copies of the
    /// environment. Where it has several, the first one is filmed: its next whole episode. Of algorithms that judge many
    /// policies by whole episodes (`cem`, `openai_es`, `ars`) it is the next generation's first one, played again for the film.
    /// Training scripts have none to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingFilms>,
    /// Cut a take's episodes after this many steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_steps: Option<u32>,
    /// How many seeds of each agent are filmed, the first ones.
    #[schemars(range(min = 1))]
    pub seeds: usize,
    /// Keep beside each take what was observed, what the policy thought of it (probabilities, values) and why it was paid,
    /// for the report to show below the take. It takes up less than a fifth of what the videos do.
    pub explain: bool,
    /// Size, speed and encoding.
    pub video: VideoConfig,
    /// Write what each trial's final policy plays, observation by observation, as a dataset for other programs to learn from
    /// (Minari's layout, in the trial's `minari/`). Training scripts have no policy here to play.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetSpec>,
}

/// A dataset of what a policy plays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetSpec {
    /// How many episodes. They have seeds of their own, beyond those of evaluations.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub episodes: u64,
    /// Whether learned policies act greedily or sample; by default as in evaluations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<EvaluationMode>,
}

impl Default for RecordingSpec {
    fn default() -> Self {
        Self {
            before: true,
            after: true,
            episodes: 1,
            training: None,
            max_steps: None,
            seeds: 1,
            explain: true,
            video: VideoConfig::default(),
            dataset: None,
        }
    }
}

/// Which training episodes are filmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingFilms {
    /// Every so many episodes.
    Episodes(u64),
    /// Gymnasium's `capped_cubic_video_schedule`: 0, 1, 8, 27, …, 729, 1000, 2000, 3000, …
    Cubic,
}

impl TrainingFilms {
    /// Whether the episode with this number, counted from 0, is one of them.
    pub fn contains(self, episode: u64) -> bool {
        match self {
            Self::Episodes(period) => episode.is_multiple_of(period),
            Self::Cubic if episode < 1000 => (0..10).any(|root: u64| root.pow(3) == episode),
            Self::Cubic => episode.is_multiple_of(1000),
        }
    }
}

impl Serialize for TrainingFilms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Episodes(period) => {
                serde_json::json!({ "episodes": period }).serialize(serializer)
            }
            Self::Cubic => "cubic".serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for TrainingFilms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let period = value.get("episodes").and_then(serde_json::Value::as_u64);
        match (period.filter(|&period| period > 0), value.as_str()) {
            (Some(period), _) => Ok(Self::Episodes(period)),
            (None, Some("cubic")) => Ok(Self::Cubic),
            _ => Err(de::Error::custom(r#"expected {"episodes": number} or "cubic""#)),
        }
    }
}

impl JsonSchema for TrainingFilms {
    fn schema_name() -> Cow<'static, str> {
        "TrainingFilms".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Which training episodes are filmed: every so many, `{\"episodes\": 10}`, or Gymnasium's \
                            schedule, `\"cubic\"`: 0, 1, 8, 27, …, 729, 1000, 2000, 3000, …",
            "type": ["object", "string"],
            "pattern": "^cubic$",
            "properties": { "episodes": { "type": "integer", "format": "uint64", "minimum": 1 } },
            "required": ["episodes"],
            "additionalProperties": false,
        })
    }
}

/// The seeds of the trials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds {
    /// All of them, or all that there may be.
    pub all: Vec<u64>,
    /// With how many of them a run begins that is checked against a baseline: as many more are added until the gate has its
    /// answer.
    pub at_least: Option<usize>,
}

impl Seeds {
    /// How many seeds the gate has looked at after each of its looks; nothing where it looks once, at all of them.
    pub fn looks(&self) -> Vec<usize> {
        let Some(batch) = self.at_least else { return Vec::new() };
        (1..=self.all.len().div_ceil(batch))
            .map(|look| (look * batch).min(self.all.len()))
            .collect()
    }
}

impl From<Vec<u64>> for Seeds {
    fn from(all: Vec<u64>) -> Self {
        Self { all, at_least: None }
    }
}

impl Default for Seeds {
    fn default() -> Self {
        vec![0].into()
    }
}

impl Serialize for Seeds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.at_least {
            Some(at_least) => {
                let at_most = self.all.len();
                serde_json::json!({ "at_least": at_least, "at_most": at_most })
                    .serialize(serializer)
            }
            None => self.all.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Seeds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let counted = |count: u64| match usize::try_from(count) {
            Ok(0..=MAX_TRIALS) => Ok((0..count).collect::<Vec<u64>>()),
            _ => Err(de::Error::custom(format!("expected at most {MAX_TRIALS} seeds"))),
        };
        if let Some(count) = value.as_u64() {
            return counted(count).map(Self::from);
        }
        let bound = |name: &str| value.get(name).and_then(serde_json::Value::as_u64);
        match (bound("at_least"), bound("at_most")) {
            (Some(at_least), Some(at_most)) if at_least <= at_most => {
                Ok(Self { all: counted(at_most)?, at_least: usize::try_from(at_least).ok() })
            }
            (Some(at_least), Some(at_most)) => Err(de::Error::custom(format!(
                "expected `at_least` ({at_least}) to be no more than `at_most` ({at_most})"
            ))),
            _ => Vec::deserialize(value).map(Self::from).map_err(de::Error::custom),
        }
    }
}

impl JsonSchema for Seeds {
    fn schema_name() -> Cow<'static, str> {
        "Seeds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let count = json_schema!({ "type": "integer", "minimum": 2, "maximum": MAX_TRIALS });
        json_schema!({
            "description": "A list of seeds, or how many (counted from 0). With `at_least` and `at_most`, a run that is \
                            checked against a baseline (`--check`) begins with the first so many seeds and adds as many \
                            again until the gate has its answer; any other run takes all of them.",
            "type": ["integer", "array", "object"],
            "minimum": 1,
            "maximum": MAX_TRIALS,
            "items": { "type": "integer", "minimum": 0, "maximum": 4_294_967_295_u64 },
            "minItems": 1,
            "maxItems": MAX_TRIALS,
            "uniqueItems": true,
            "properties": { "at_least": count, "at_most": count },
            "required": ["at_least", "at_most"],
            "additionalProperties": false,
        })
    }
}

/// A period: a bare number counts in [`ScheduleSpec::period_unit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// In the schedule's own unit.
    Count(u64),
    /// Every so many finished episodes.
    Episodes(u64),
    /// Every so many environment steps.
    Steps(u64),
    /// Every so many updates.
    Updates(u64),
}

impl Serialize for Every {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let unit = |name: &str, n: u64| serde_json::json!({ name: n });
        match *self {
            Every::Count(n) => n.serialize(serializer),
            Every::Episodes(n) => unit("episodes", n).serialize(serializer),
            Every::Steps(n) => unit("steps", n).serialize(serializer),
            Every::Updates(n) => unit("updates", n).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let unit = |name: &str| value.get(name).and_then(serde_json::Value::as_u64);
        (value.as_u64().map(Every::Count))
            .or_else(|| unit("episodes").map(Every::Episodes))
            .or_else(|| unit("steps").map(Every::Steps))
            .or_else(|| unit("updates").map(Every::Updates))
            .ok_or_else(|| {
                de::Error::custom(
                    r#"expected a number or {"episodes" | "steps" | "updates": number}"#,
                )
            })
    }
}

impl JsonSchema for Every {
    fn schema_name() -> Cow<'static, str> {
        "Every".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let count = json_schema!({ "type": "integer", "format": "uint64", "minimum": 1 });
        json_schema!({
            "description": "A period: a number in the schedule's own unit, or one unit by name.",
            "type": ["integer", "object"],
            "format": "uint64",
            "minimum": 1,
            "properties": { "episodes": count, "steps": count, "updates": count },
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
        })
    }
}

/// A return to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// This number.
    Return(f64),
    /// The environment's reward threshold.
    Threshold,
}

impl Target {
    /// The return, in an environment with this reward threshold.
    pub fn value(self, threshold: Option<f64>) -> Option<f64> {
        match self {
            Target::Return(value) => Some(value),
            Target::Threshold => threshold,
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Target::Return(value) => value.serialize(serializer),
            Target::Threshold => "threshold".serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(word) if word == "threshold" => Ok(Target::Threshold),
            value => (value.as_f64().map(Target::Return))
                .ok_or_else(|| de::Error::custom(r#"expected a number or "threshold""#)),
        }
    }
}

impl JsonSchema for Target {
    fn schema_name() -> Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A return to reach: a number, or the environment's reward threshold.",
            "type": ["number", "string"],
            "pattern": "^threshold$",
        })
    }
}

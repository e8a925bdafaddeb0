//! What a training script is told: files in the trial's directory.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err as fs;
use serde::Serialize;
use serde_json::{Map, Value};

use super::report::VERSION;
use crate::experiment::{
    EnvironmentSpec, EvaluationMode, KeptPolicy, ScheduleSpec, Target, TrainerSpec, TrialPlan,
};
use crate::record::Progress;
use crate::store::{TrialDir, write_atomically, write_json};
use crate::trial::learner::default_log_period;
use crate::trial::stage::TRAINING_EVALUATION_OFFSET;
use crate::video::VideoConfig;

/// The module that scripts in Python report with.
const PYTHON: &str = include_str!("../../../assets/python/rushes_trainer.py");

/// The folder that a trial shares with its script.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder of a trial.
    ///
    /// # Errors
    /// Fails if the working directory is not known.
    pub(super) fn of(dir: &TrialDir) -> anyhow::Result<Self> {
        Ok(Self { path: std::path::absolute(dir.path())?.join("trainer") })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the script is told.
    pub(super) fn handover(&self) -> PathBuf {
        self.path.join("trial.json")
    }

    /// What the script tells.
    pub(super) fn reports(&self) -> PathBuf {
        self.path.join("reports.jsonl")
    }

    /// What is there once training is to end early.
    fn finish(&self) -> PathBuf {
        self.path.join("finish")
    }

    /// Asks the script to end training early.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(super) fn ask_to_finish(&self) -> anyhow::Result<()> {
        fs::write(self.finish(), "").context("failed to ask the training script for an early end")
    }

    /// Where the script writes checkpoints.
    pub(super) fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Makes the folder anew, with only these of the script's checkpoints.
    ///
    /// # Errors
    /// Fails if a file cannot be removed or written.
    pub(super) fn prepare(&self, kept: &[&str], handover: &Handover<'_>) -> anyhow::Result<()> {
        fs::create_dir_all(self.checkpoints())?;
        for entry in fs::read_dir(self.checkpoints())? {
            let name = entry?.file_name();
            if kept.iter().all(|kept| name != *kept) {
                self.remove(&name)?;
            }
        }
        if self.finish().exists() {
            fs::remove_file(self.finish())?;
        }
        write_atomically(&self.path.join("rushes_trainer.py"), PYTHON.as_bytes())?;
        fs::File::create(self.reports())?;
        write_json(&self.handover(), handover)
    }

    /// Removes a checkpoint of the script, a file or a folder.
    ///
    /// # Errors
    /// Fails if it cannot be removed.
    pub(super) fn remove(&self, name: impl AsRef<Path>) -> anyhow::Result<()> {
        let path = self.checkpoints().join(name);
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        } else if path.exists() {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// `trainer/trial.json`.
#[derive(Debug, Serialize)]
pub(super) struct Handover<'a> {
    version: u32,
    agent: &'a str,
    seed: u64,
    settings: &'a Map<String, Value>,
    schedule: ScheduleSpec,
    environment: &'a EnvironmentSpec,
    evaluation: Evaluation,
    recording: Recording<'a>,
    /// Where takes and the policy go.
    directory: PathBuf,
    checkpoints: PathBuf,
    reports: PathBuf,
    events: PathBuf,
    /// The script ends training once this file is there.
    finish: PathBuf,
    /// This program, for `encode`.
    program: PathBuf,
    /// After so many steps the script writes a checkpoint and exits, if it is resumable.
    pause_at: Option<u64>,
    resume: Option<Resume>,
}

#[derive(Debug, Serialize)]
struct Evaluation {
    seed: u64,
    episodes: u64,
    training_seed: u64,
    training_episodes: u64,
    policy: KeptPolicy,
    mode: EvaluationMode,
    max_episode_steps: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Recording<'a> {
    before: bool,
    during: bool,
    after: bool,
    episodes: u32,
    max_steps: Option<u32>,
    video: &'a VideoConfig,
}

/// Where training goes on.
#[derive(Debug, Serialize)]
pub(super) struct Resume {
    /// The script's own checkpoint.
    pub(super) path: PathBuf,
    #[serde(flatten)]
    pub(super) progress: Progress,
    pub(super) seconds: f64,
}

impl<'a> Handover<'a> {
    /// What the script of `plan` is told.
    ///
    /// # Errors
    /// Fails if the environment is unknown; never for a checked experiment.
    pub(super) fn new(
        dir: &TrialDir,
        folder: &Folder,
        plan: &'a TrialPlan,
        trainer: &'a TrainerSpec,
        pause_at: Option<u64>,
        resume: Option<Resume>,
    ) -> anyhow::Result<Self> {
        let TrialPlan { environment, evaluation, recording, filmed, .. } = plan;
        let env_spec = environment.spec()?;
        let directory = folder.path().parent().context("the folder lies in the trial's")?;
        Ok(Self {
            version: VERSION,
            agent: &plan.agent,
            seed: plan.seed,
            settings: &trainer.settings,
            schedule: with_numbers(&trainer.schedule, env_spec.reward_threshold),
            environment,
            evaluation: Evaluation {
                seed: evaluation.seed,
                episodes: evaluation.episodes,
                training_seed: evaluation.seed + TRAINING_EVALUATION_OFFSET,
                training_episodes: evaluation.training_episodes,
                policy: evaluation.policy,
                mode: evaluation.mode,
                max_episode_steps: evaluation.episode_limit(environment, &env_spec),
            },
            recording: Recording {
                before: *filmed && recording.before,
                during: *filmed,
                after: *filmed && recording.after,
                episodes: recording.episodes,
                max_steps: recording.max_steps,
                video: &recording.video,
            },
            directory: directory.to_owned(),
            checkpoints: folder.checkpoints(),
            reports: folder.reports(),
            events: std::path::absolute(dir.events_path())?,
            finish: folder.finish(),
            program: std::env::current_exe()?,
            pause_at,
            resume,
        })
    }
}

/// The schedule with the environment's threshold in the places that name it, the unit of its periods and how often
/// metrics are written.
fn with_numbers(schedule: &ScheduleSpec, threshold: Option<f64>) -> ScheduleSpec {
    let mut schedule = schedule.clone();
    let number = |target: Target| match target {
        Target::Threshold => threshold.map(Target::Return),
        Target::Return(_) => Some(target),
    };
    if let Some(stop) = &mut schedule.stop {
        stop.mean_return = stop.mean_return.and_then(number);
        stop.running_return = stop.running_return.and_then(number);
    }
    schedule.period_unit = Some(schedule.period_unit());
    schedule.log_every = schedule.log_every.or_else(|| default_log_period(&schedule));
    schedule
}

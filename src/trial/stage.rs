//! Where policies show what they can: evaluations and takes, always on the same seeds.

use std::sync::Arc;

use fs_err as fs;

use super::evaluate;
use super::log::EventWriter;
use crate::dataset::{DatasetWriter, Facts};
use crate::env::{Env, EnvSpec, Mode, Policy, TimeLimit, episode};
use crate::experiment::TrialPlan;
use crate::record::{Evaluation, Event, Moment, Progress, TakeRecord};
use crate::rng::{Purpose, stream};
use crate::store::TrialDir;
use crate::training::TrialError;
use crate::trial::{Scene, record_take};

/// Evaluations during training play other episodes than the ones before and after it, so that whoever
/// picks a policy by the former is not fooled by the latter. They begin so far behind.
pub(super) const TRAINING_EVALUATION_OFFSET: u64 = 500_000_000;

/// Datasets hold other episodes still.
const DATASET_OFFSET: u64 = 2 * TRAINING_EVALUATION_OFFSET;

/// The environment that evaluations and takes are played in.
pub(super) struct Stage<'a> {
    dir: &'a TrialDir,
    plan: &'a TrialPlan,
    env_spec: Arc<EnvSpec>,
    env: TimeLimit,
    mode: Mode,
    /// After how many steps episodes are cut.
    limit: Option<u32>,
}

impl<'a> Stage<'a> {
    /// Builds the environment.
    ///
    /// # Errors
    /// Fails if the plan names an environment or options that this program does not know.
    pub(super) fn new(dir: &'a TrialDir, plan: &'a TrialPlan) -> anyhow::Result<Self> {
        let (env_spec, env) = plan.environment.build(&plan.settings.policy)?;
        let limit = plan.evaluation.episode_limit(&plan.environment, &env_spec);
        Ok(Self { dir, plan, env_spec, env, mode: plan.evaluation.mode.into(), limit })
    }

    /// The environment, between episodes.
    pub(super) fn env(&self) -> &dyn Env {
        self.env.env()
    }

    /// The environment's row in the table.
    pub(super) fn env_spec(&self) -> &EnvSpec {
        &self.env_spec
    }

    /// Plays the evaluation episodes that before and after share.
    ///
    /// # Errors
    /// Fails if the policy or the environment fails.
    pub(super) fn evaluate(
        &mut self,
        policy: &mut dyn Policy,
        episodes: u64,
    ) -> Result<Evaluation, TrialError> {
        let TrialPlan { seed, evaluation, .. } = self.plan;
        evaluate(&mut self.env, policy, self.mode, *seed, evaluation.seed, episodes, self.limit)
    }

    /// Plays the episodes of an evaluation during training.
    ///
    /// # Errors
    /// Fails if the policy or the environment fails.
    pub(super) fn evaluate_during_training(
        &mut self,
        policy: &mut dyn Policy,
    ) -> Result<Evaluation, TrialError> {
        let TrialPlan { seed, evaluation, .. } = self.plan;
        let first = evaluation.seed + TRAINING_EVALUATION_OFFSET;
        let episodes = evaluation.training_episodes;
        evaluate(&mut self.env, policy, self.mode, *seed, first, episodes, self.limit)
    }

    /// Writes the dataset of what the policy plays, where the plan wants one; what a killed trial left of it is removed.
    ///
    /// # Errors
    /// Fails if the policy or the environment fails, or the dataset cannot be written.
    pub(super) fn write_dataset(&mut self, policy: &mut dyn Policy) -> Result<(), TrialError> {
        let TrialPlan { seed: trial_seed, evaluation, settings, environment, .. } = self.plan;
        let Some(wanted) = &self.plan.recording.dataset else { return Ok(()) };
        let folder = self.dir.minari();
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(anyhow::Error::from)?;
        }
        let facts =
            Facts::new(&[&self.plan.id], settings, environment, &self.env_spec, self.env.env());
        let mut dataset = DatasetWriter::create(&folder, facts)?;
        let mode = wanted.mode.map_or(self.mode, Mode::from);
        let first = evaluation.seed + DATASET_OFFSET;
        for seed in first..first + wanted.episodes {
            let mut rng = stream(*trial_seed, Purpose::Evaluation, seed);
            let watch = |view: episode::View<'_>| {
                dataset.see(&view);
                Ok::<_, TrialError>(())
            };
            let (env, limit) = (&mut self.env, self.limit);
            let played = episode::play(env, policy, mode, &mut rng, seed, limit, watch)?;
            dataset.end(seed, &played)?;
        }
        Ok(dataset.finish()?)
    }

    /// Films the policy, which was trained for so many steps, where the plan wants a take of this moment.
    ///
    /// # Errors
    /// Fails if the policy or the environment fails, or the video cannot be written.
    pub(super) fn film(
        &mut self,
        log: &mut EventWriter,
        policy: &mut dyn Policy,
        moment: Moment,
        progress: Progress,
        seconds: f64,
        trained_steps: u64,
    ) -> Result<(), TrialError> {
        let TrialPlan { recording, evaluation, settings, agent, .. } = self.plan;
        let (wanted, name) = match moment {
            Moment::Before => (recording.before, "before".to_owned()),
            Moment::After => (recording.after, "after".to_owned()),
            Moment::During | Moment::Training => (true, format!("step-{}", progress.steps)),
        };
        if !wanted || !self.plan.filmed {
            return Ok(());
        }
        let (file, poster) = (format!("{name}.mp4"), format!("{name}.png"));
        let numbers = recording.explain.then(|| format!("{name}.numbers.html"));
        let numbers_path = numbers.as_ref().map(|numbers| self.dir.file(numbers));
        let seeds: Vec<u64> =
            (evaluation.seed..evaluation.seed + u64::from(recording.episodes)).collect();
        let scene = Scene {
            seeds: &seeds,
            mode: self.mode,
            max_steps: recording.max_steps.into_iter().chain(self.limit).min(),
            render_fps: self.plan.environment.render_fps(&self.env_spec),
            agent,
            trained_steps: settings.training.is_some().then_some(trained_steps),
            training_episode: None,
            poster: Some(&self.dir.file(&poster)),
            numbers: numbers_path.as_deref(),
        };
        let chance = |seed| stream(self.plan.seed, Purpose::Evaluation, seed);
        let path = self.dir.file(&file);
        let take =
            record_take(&mut self.env, policy, chance, &scene, &recording.video, &path, |_| Ok(()))
                .map_err(anyhow::Error::from)?;
        log.write(
            progress,
            seconds,
            Event::Take(TakeRecord { moment, file, poster, numbers, take }),
        )?;
        Ok(())
    }
}

//! A trial's process: the order in which things happen.

use anyhow::Context as _;

use super::TrialError;
use super::checkpoint;
use super::learner::Learner;
use super::log::EventLog;
use super::stage::Stage;
use crate::experiment::{FORMAT_VERSION, TrialPlan};
use crate::record::{Evaluation, Event, Moment, Outcome, Progress, StopReason, TrialResult};
use crate::store::TrialDir;
use crate::{policy, provenance};

/// Runs a trial to its end, from its newest checkpoint where there is one, and returns its result, which
/// the caller writes. With `pause_at`, training pauses at a checkpoint after so many environment steps, and
/// there is no result yet. `note` is told what a person should know.
///
/// # Errors
/// Where the trial fails; what it had written stays.
pub fn run(
    dir: &TrialDir,
    plan: &TrialPlan,
    pause_at: Option<u64>,
    note: impl FnMut(String),
) -> Result<Option<TrialResult>, TrialError> {
    let checkpoint = checkpoint::load(&dir.checkpoints(), note)?;
    let mut stage = Stage::new(dir, plan)?;
    let mut log = EventLog::open(dir, checkpoint.as_ref().map_or(0, |(p, _)| p.events_bytes))?;
    let mut result = empty_result(plan);

    match &plan.settings.training {
        Some(training) => {
            let mut learner = Learner::new(dir, plan, training, checkpoint)?;
            let Some(reason) = learner.train(&mut stage, &mut log, pause_at)? else {
                return Ok(None);
            };
            result.outcome = Outcome::Completed { stop_reason: Some(reason) };
            result.progress = learner.progress();
            result.training_seconds = learner.seconds();
            result.steps_per_second = (result.training_seconds > 0.0)
                .then(|| result.progress.steps as f64 / result.training_seconds);
            result.engine = Some(learner.engine());
            learner.save_policy()?;
            learner.save_dataset()?;
            let policy = learner.policy();
            result.after = Some(stage.evaluate(policy, plan.evaluation.episodes)?);
            let (progress, seconds) = (result.progress, result.training_seconds);
            stage.film(&mut log, policy, Moment::After, progress, seconds)?;
        }
        None => {
            let env = stage.env();
            let settings = &plan.settings.policy;
            let mut policy =
                policy::fixed(settings, stage.env_spec(), &plan.environment.options, env)
                    .context("failed to build the policy")?;
            result.after = Some(stage.evaluate(&mut *policy, plan.evaluation.episodes)?);
            stage.film(&mut log, &mut *policy, Moment::After, Progress::default(), 0.0)?;
        }
    }

    log.sync()?;
    for record in dir.events()?.records {
        match record.event {
            Event::Take(take) => result.takes.push(take),
            Event::Evaluation { returns, lengths } if record.progress == Progress::default() => {
                result.before = Some(Evaluation { seed: plan.evaluation.seed, returns, lengths });
            }
            _ => {}
        }
    }
    result.peak_memory_bytes = provenance::peak_memory_bytes();
    Ok(Some(result))
}

/// The result of a trial that failed.
pub fn failed(plan: &TrialPlan, error: String) -> TrialResult {
    TrialResult { outcome: Outcome::Failed { error }, ..empty_result(plan) }
}

/// The result of a trial that the search's scheduler ended, where it had come to.
pub fn pruned(plan: &TrialPlan, progress: Progress, training_seconds: f64) -> TrialResult {
    let outcome = Outcome::Completed { stop_reason: Some(StopReason::Pruned) };
    TrialResult { outcome, progress, training_seconds, ..empty_result(plan) }
}

fn empty_result(plan: &TrialPlan) -> TrialResult {
    TrialResult {
        format_version: FORMAT_VERSION,
        id: plan.id.clone(),
        agent: plan.agent.clone(),
        seed: plan.seed,
        outcome: Outcome::Completed { stop_reason: None },
        progress: Progress::default(),
        training_seconds: 0.0,
        steps_per_second: None,
        engine: None,
        before: None,
        after: None,
        takes: Vec::new(),
        notes: Vec::new(),
        peak_memory_bytes: None,
    }
}

//! A trial's process: the order in which things happen.

use anyhow::Context as _;

use super::checkpoint::{self, Position};
use super::learner::Learner;
use super::log::EventWriter;
use super::stage::Stage;
use super::trainer;
use super::wishes::Wishes;
use crate::experiment::TrialPlan;
use crate::nn::Engine;
use crate::policy::PolicySpec;
use crate::record::{Event, Moment, Outcome, Progress, TrialResult};
use crate::store::TrialDir;
use crate::training::TrialError;
use crate::{nn, policy, provenance};

/// Runs a trial to its end, from its newest checkpoint where there is one, and returns its result, which
/// the caller writes. With `pause_at`, training pauses at a checkpoint after so many environment steps, and
/// there is no result yet; nor where `wishes` have it leave at one.
///
/// # Errors
/// Fails if the trial fails; what it had written stays.
pub fn run(
    dir: &TrialDir,
    plan: &TrialPlan,
    pause_at: Option<u64>,
    wishes: &Wishes,
) -> Result<Option<TrialResult>, TrialError> {
    if let Some(script) = &plan.settings.trainer {
        return Ok(trainer::run(dir, plan, script, pause_at, wishes)?);
    }
    let mut note = None;
    let open = |position: &Position| EventWriter::open(dir, &position.events);
    let schedule = plan.settings.schedule();
    let goes_on = |position: &Position| schedule.is_some_and(|s| position.goes_on(s));
    let found =
        checkpoint::load(&dir.checkpoints(), open, goes_on, |message| note = Some(message))?;
    let mut stage = Stage::new(dir, plan)?;
    let (checkpoint, mut log) = match found {
        Some((position, state, log)) => (Some((position, state)), log),
        None => (None, EventWriter::create(dir)?),
    };
    if let Some(message) = note {
        let (progress, seconds) =
            checkpoint.as_ref().map_or_else(Default::default, |(p, _)| (p.progress, p.seconds));
        log.write(progress, seconds, Event::Note { message })?;
    }
    let mut result = plan.empty_result();

    match &plan.settings.training {
        Some(training) => {
            let mut learner = Learner::new(dir, plan, training, checkpoint)?;
            let threads = match &plan.settings.policy {
                PolicySpec::Neural(network) if learner.engine() == Engine::NATIVE.to_string() => {
                    network.threads
                }
                _ => 1,
            };
            let train = || learner.train(&mut stage, &mut log, pause_at, wishes);
            let trained =
                nn::threads::with_threads(threads, train).context("failed to start threads")?;
            let Some(reason) = trained? else { return Ok(None) };
            result.outcome = Outcome::Completed { stop_reason: Some(reason) };
            result.progress = learner.progress();
            result.training_seconds = learner.seconds();
            result.steps_per_second = (result.training_seconds > 0.0)
                .then(|| result.progress.steps as f64 / result.training_seconds);
            result.engine = Some(learner.engine());
            learner.save_policy()?;
            learner.save_dataset()?;
            result.best = learner.best();
            let (mut policy, trained_steps) = learner.into_policy()?;
            result.after = Some(stage.evaluate(&mut *policy, plan.evaluation.episodes)?);
            let (progress, seconds) = (result.progress, result.training_seconds);
            let moment = Moment::After;
            stage.film(&mut log, &mut *policy, moment, progress, seconds, trained_steps)?;
            stage.write_dataset(&mut *policy)?;
        }
        None => {
            let env = stage.env();
            let settings = &plan.settings.policy;
            let mut policy =
                policy::fixed(settings, stage.env_spec(), &plan.environment.options, env)
                    .context("failed to build the policy")?;
            result.after = Some(stage.evaluate(&mut *policy, plan.evaluation.episodes)?);
            stage.film(&mut log, &mut *policy, Moment::After, Progress::default(), 0.0, 0)?;
            stage.write_dataset(&mut *policy)?;
        }
    }

    log.sync()?;
    result.gather(dir.events()?.records, plan.evaluation.seed);
    result.peak_memory_bytes = provenance::peak_memory_bytes();
    Ok(Some(result))
}

//! A run as TensorBoard event files: a folder for each trial, scalars over environment steps.

use std::path::Path;

use super::finished;
use crate::event_file::EventFile;
use crate::record::{Event, Record};
use crate::stats;
use crate::store::{self, RunDir};

/// Writes `folder/EXPERIMENT/RUN/TRIAL/events.out.tfevents.TIME.rushes` for every trial, replacing older ones. A
/// folder's events are one curve to TensorBoard, so that every run has folders of its own. How many trials had nothing
/// to write is returned.
///
/// # Errors
/// Fails if the plan cannot be read, no trial has a result, or a file cannot be written.
pub fn export(run: &RunDir, folder: &Path) -> anyhow::Result<usize> {
    let info = run.info().ok();
    let started = info.as_ref().map_or(0.0, |info| info.started.as_millisecond() as f64 / 1000.0);
    let plan = run.plan()?;
    // Not the directory's name: copies of different runs may both be called `latest`.
    let name = info.map_or_else(|| run.name(), |info| info.run);
    let folder = folder.join(&plan.experiment.name).join(name);
    let trials = finished(run, &plan)?;
    for trial in &trials {
        let result = &trial.result;
        let mut events = EventFile::new(started);
        let mean_return = |events: &mut EventFile, step: u64, time: f64, returns: &[f64]| {
            if let Some(mean) = stats::mean(returns) {
                events.scalar(started + time, step, "evaluation/mean_return", mean);
            }
        };
        for Record { progress, seconds, event } in &trial.records()? {
            let (time, step) = (started + seconds, progress.steps);
            match event {
                Event::Episode { r#return, length, .. } => {
                    events.scalar(time, step, "episode/return", *r#return);
                    if let Some(length) = length {
                        events.scalar(time, step, "episode/length", *length as f64);
                    }
                }
                Event::Update { metrics } => {
                    for (name, value) in metrics {
                        events.scalar(time, step, &format!("train/{name}"), *value);
                    }
                }
                Event::Evaluation { returns, .. } => {
                    mean_return(&mut events, step, *seconds, returns);
                }
                _ => {}
            }
        }
        if let Some(after) = &result.after {
            let (step, time) = (result.progress.steps, result.training_seconds);
            mean_return(&mut events, step, time, &after.returns);
        }
        let trial_folder = folder.join(&trial.plan.id);
        fs_err::create_dir_all(&trial_folder)?;
        let name = format!("events.out.tfevents.{started:010.0}.rushes");
        store::write_atomically(&trial_folder.join(name), &events.finish())?;
    }
    Ok(plan.trials.len() - trials.len())
}

//! `--quick`: the experiment cut short.

use serde_json::json;

use crate::experiment::{ScheduleSpec, Spec};

/// The experiment cut short: everything happens, but not for long.
///
/// # Errors
/// Fails if the settings of a suite's part do not fit; never for a checked experiment.
pub fn quick(mut experiment: Spec) -> anyhow::Result<Spec> {
    experiment.seeds.all.truncate(1);
    experiment.seeds.at_least = None;
    let evaluation = &mut experiment.evaluation;
    evaluation.episodes = evaluation.episodes.min(5);
    evaluation.training_episodes = evaluation.training_episodes.min(2);
    if let Some(dataset) = &mut experiment.recording.dataset {
        dataset.episodes = dataset.episodes.min(5);
    }
    // What agents have of their own in an environment, before what they have everywhere is cut.
    for part in experiment.parts()? {
        let Some(environment) = part.name else { continue };
        for (name, mut settings) in part.experiment.agents {
            let place = if settings.trainer.is_some() { "trainer" } else { "training" };
            let Some(schedule) = settings.schedule_mut() else { continue };
            cut(schedule);
            let ScheduleSpec { period_unit, episodes, steps, .. } = schedule;
            let patch = experiment.agents[&name].environments.entry(environment.clone());
            let patch = patch.or_insert_with(|| json!({}));
            for (limit, value) in [
                ("period_unit", json!(period_unit)),
                ("episodes", json!(episodes)),
                ("steps", json!(steps)),
            ] {
                patch[place]["schedule"][limit] = value;
            }
        }
    }
    for agent in experiment.agents.values_mut() {
        agent.schedule_mut().map(cut);
    }
    Ok(experiment)
}

fn cut(schedule: &mut ScheduleSpec) {
    const EPISODES: u64 = 20;
    const STEPS: u64 = 5_000;
    // Another limit must not change what bare periods count, those of a search's samples included.
    schedule.period_unit = Some(schedule.period_unit());
    schedule.episodes = schedule.episodes.map(|n| n.min(EPISODES));
    schedule.steps = Some(schedule.steps.map_or(STEPS, |n| n.min(STEPS)));
}

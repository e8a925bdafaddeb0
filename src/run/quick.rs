//! `--quick`: the experiment cut short.

use crate::experiment::Spec;

/// The experiment cut short: everything happens, but not for long.
pub fn quick(mut experiment: Spec) -> Spec {
    const EPISODES: u64 = 20;
    const STEPS: u64 = 5_000;
    experiment.seeds.0.truncate(1);
    let evaluation = &mut experiment.evaluation;
    evaluation.episodes = evaluation.episodes.min(5);
    evaluation.training_episodes = evaluation.training_episodes.min(2);
    for agent in experiment.agents.values_mut() {
        let Some(schedule) = agent.schedule_mut() else { continue };
        // Another limit must not change what bare periods count, those of a search's samples included.
        schedule.period_unit = Some(schedule.period_unit());
        schedule.episodes = schedule.episodes.map(|n| n.min(EPISODES));
        schedule.steps = Some(schedule.steps.map_or(STEPS, |n| n.min(STEPS)));
    }
    experiment
}

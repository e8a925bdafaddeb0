//! What the final scores are of.

use std::collections::BTreeMap;

use super::training::Training;
use crate::experiment::{FinalScore, window};
use crate::format;
use crate::results;

/// Decides what the final scores of each agent are of: the last evaluation where every seed has one, else the last training
/// returns, as many for every seed. `last` is how many of them the user wants.
///
/// # Errors
/// Fails if there is no such score that all seeds of an agent have.
pub(super) fn choose(
    trainings: &mut [Training],
    last: Option<usize>,
    notes: &mut Vec<String>,
) -> anyhow::Result<()> {
    let mut agents: BTreeMap<(String, String), Vec<&mut Training>> = BTreeMap::new();
    for training in trainings {
        let key = (training.environment.clone(), training.agent.clone());
        agents.entry(key).or_default().push(training);
    }
    for ((environment, agent), trainings) in agents {
        let place = format!("{agent} in {environment}");
        let seeds = |which: &dyn Fn(&Training) -> bool| {
            let of = trainings.iter().filter(|training| which(training));
            format::list(&of.map(|training| training.seed.to_string()).collect::<Vec<_>>())
        };
        let unplayed = seeds(&|training| training.episodes.is_empty());
        let unevaluated = seeds(&|training| training.evaluations.is_empty());
        let fewest = trainings.iter().map(|training| training.episodes.len()).min().unwrap_or(0);
        let score = match (&*unevaluated, &*unplayed, last) {
            ("", _, None) => FinalScore::Evaluation,
            (_, "", None) => FinalScore::TrainingReturns(window(fewest)),
            (_, "", Some(last)) => {
                if last > fewest {
                    notes.push(format!(
                        "{place}: its shortest training has only {}; --last {last} takes those",
                        format::plural(fewest, "return")
                    ));
                }
                FinalScore::TrainingReturns(last.min(fewest))
            }
            (_, _, Some(_)) => anyhow::bail!(
                "{place}: --last takes training returns, and seed {unplayed} has none"
            ),
            (_, _, None) => anyhow::bail!(
                "{place}: seed {unevaluated} has no evaluation and seed {unplayed} no training returns, so that no score is \
                 common to all; leave some of their files out"
            ),
        };
        let some_evaluated = trainings.iter().any(|training| !training.evaluations.is_empty());
        if last.is_none() && !score.is_evaluation() && some_evaluated {
            notes.push(format!(
                "{place}: seed {unevaluated} has no evaluation, so that the score of every seed is of training returns"
            ));
        }
        let steps: Vec<u64> = trainings.iter().map(|training| training.steps()).collect();
        if let Some(least) = results::cut_short(&steps) {
            let short = seeds(&|training| training.steps() < least);
            notes.push(format!(
                "{place}: seed {short} ends before {} steps, which is 90 % of what half of the seeds reach; leave it out if \
                 its training was killed",
                format::count(least)
            ));
        }
        for training in trainings {
            training.score = score;
        }
    }
    Ok(())
}

//! Weak evidence: where a run's figures rest on too little.

use super::Summary;
use crate::record::{Outcome, RunInfo, StopReason};

/// So many evaluation episodes a seed are few.
const FEW_EPISODES: usize = 5;

/// Why the figures of a run are weak evidence, a sentence each; nothing where they are not.
pub fn weak_evidence(summary: &Summary, info: Option<&RunInfo>) -> Vec<String> {
    let mut weak = Vec::new();
    let seeds = || summary.agents.iter().flat_map(|agent| &agent.seeds);
    let is_quick = info.is_some_and(|info| info.command.iter().any(|word| word == "--quick"));
    if is_quick {
        weak.push("a quick run (`--quick`): short trainings of one seed, few episodes".into());
    } else {
        if summary.agents.iter().all(|agent| agent.seeds.len() == 1) {
            weak.push("one seed: another one may come out otherwise".into());
        }
        let episodes = seeds().map(|seed| seed.final_returns.len()).filter(|n| *n > 0).min();
        if let Some(few) = episodes.filter(|n| *n <= FEW_EPISODES) {
            weak.push(format!("evaluations of only {}", crate::format::plural(few, "episode")));
        }
    }
    let all = seeds().count();
    let failed = seeds().filter(|s| s.outcome.as_ref().is_some_and(Outcome::failed)).count();
    if failed > 0 && 2 * failed >= all {
        let others = if failed < all { ": the others may be the lucky ones" } else { "" };
        weak.push(format!("{failed} of {all} trials failed{others}"));
    }
    weak.extend(ended_early(summary));
    weak
}

/// That trainings were shorter than their schedules, where the user ended some.
pub fn ended_early(summary: &Summary) -> Option<String> {
    let outcomes = summary.agents.iter().flat_map(|agent| &agent.seeds).map(|seed| &seed.outcome);
    let by_user = |outcome: &&Option<Outcome>| {
        outcome.as_ref().and_then(Outcome::stop_reason) == Some(StopReason::User)
    };
    let (all, stopped) = (outcomes.clone().count(), outcomes.filter(by_user).count());
    (stopped > 0)
        .then(|| format!("the user ended {stopped} of {all} trials before the schedule did"))
}

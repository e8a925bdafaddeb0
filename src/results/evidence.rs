//! Weak evidence: where a run's figures rest on too little.

use super::{AgentSummary, PolicyKind, SeedSummary, Summary};
use crate::format;
use crate::record::{Outcome, RunInfo, StopReason};
use crate::stats;

/// So many evaluation episodes a seed are few.
const FEW_EPISODES: usize = 5;

/// Why the figures of a run are weak evidence, a sentence each; nothing where they are not.
pub fn weak_evidence(summary: &Summary, info: Option<&RunInfo>) -> Vec<String> {
    let mut weak = Vec::new();
    let seeds = || summary.agents.iter().flat_map(AgentSummary::seeds);
    if info.is_some_and(is_quick) {
        weak.push("a quick run (`--quick`): short trainings of one seed, few episodes".into());
    } else {
        if summary.agents.iter().all(|agent| agent.seeds.len() == 1) {
            weak.push("one seed: another one may come out otherwise".into());
        }
        // Of imported trainings it may not be known how many episodes were played, or they were training's.
        let evaluated = seeds().filter(|seed| seed.final_lengths.len() == seed.final_returns.len());
        let episodes = evaluated.map(|seed| seed.final_returns.len()).filter(|n| *n > 0).min();
        if let Some(few) = episodes.filter(|n| *n <= FEW_EPISODES) {
            weak.push(format!("evaluations of only {}", format::plural(few, "episode")));
        }
    }
    let all = seeds().count();
    let failed = seeds().filter(|s| s.outcome.as_ref().is_some_and(Outcome::failed)).count();
    if failed > 0 && 2 * failed >= all {
        let others = if failed < all { ": the others may be the lucky ones" } else { "" };
        weak.push(format!("{failed} of {all} trials failed{others}"));
    }
    weak.extend(ended_early(summary));
    weak.extend(summary.agents.iter().filter_map(shorter));
    weak
}

/// Whether the run was one by `--quick`.
pub fn is_quick(info: &RunInfo) -> bool {
    info.command.iter().any(|word| word == "--quick")
}

/// The steps that trainings of one agent in one environment should at least have come to, nine tenths of their median, where
/// some did not: one that was killed looks like one that is over.
pub fn cut_short(steps: &[u64]) -> Option<u64> {
    let reached: Vec<f64> = steps.iter().map(|steps| *steps as f64).collect();
    let least = (stats::median(&reached)? * 0.9).ceil() as u64;
    steps.iter().any(|steps| *steps < least).then_some(least)
}

/// That imported trainings of an agent ended long before its others.
fn shorter(agent: &AgentSummary) -> Option<String> {
    if agent.policy != PolicyKind::Imported {
        return None;
    }
    let steps: Vec<u64> = agent.seeds().map(|seed| seed.progress.steps).collect();
    let least = cut_short(&steps)?;
    let short = steps.iter().filter(|steps| **steps < least).count();
    Some(format!(
        "{short} of {} trainings of {} ended before {} steps, nine tenths of what half of them reached",
        steps.len(),
        agent.name,
        format::count(least)
    ))
}

/// That trainings were shorter than their schedules, where some were: the user ended them, or a schedule was lengthened
/// and they have not gone on.
pub fn ended_early(summary: &Summary) -> Option<String> {
    let seeds = || summary.agents.iter().flat_map(AgentSummary::seeds);
    let by_user = |seed: &&SeedSummary| {
        seed.outcome.as_ref().and_then(Outcome::stop_reason) == Some(StopReason::User)
    };
    let (all, stopped) = (seeds().count(), seeds().filter(by_user).count());
    let user = format!("the user ended {stopped} of {all} trials before the schedule did");
    let before = "only the result of before the schedule was lengthened";
    match (stopped, seeds().filter(|seed| seed.ended_early && !by_user(seed)).count()) {
        (0, 0) => None,
        (_, 0) => Some(user),
        (0, 1) => Some(format!("1 of {all} trials has {before}")),
        (0, n) => Some(format!("{n} of {all} trials have {before}")),
        (_, 1) => Some(format!("{user}, and 1 has {before}")),
        (_, n) => Some(format!("{user}, and {n} have {before}")),
    }
}

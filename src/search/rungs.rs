//! The rungs of asynchronous halving, as they came out.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::scheduler::best_first;
use crate::experiment::{SchedulerSpec, SearchSpec};
use crate::record::{Decision, RungEvent};
use crate::stats;

/// A rung.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// Its environment steps.
    pub steps: u64,
    /// How many samples have reached it.
    pub reached: usize,
    /// How many of them went on.
    pub promoted: usize,
    /// How many of these would not have, had the decision waited for everybody who reached it.
    pub early: usize,
    /// The greatest mean return there.
    pub best: Option<f64>,
    /// The median.
    pub median: Option<f64>,
}

/// The rungs that samples of `agent` have reached, the lowest first, by what was decided.
pub fn rungs(search: &SearchSpec, agent: &str, decisions: &[Decision]) -> Vec<Rung> {
    let SchedulerSpec::AsynchronousHalving { reduction_factor, .. } = search.scheduler else {
        return Vec::new();
    };
    let mut reached: BTreeMap<u64, BTreeMap<usize, Option<f64>>> = BTreeMap::new();
    let mut promoted: HashSet<(u64, usize)> = HashSet::new();
    for Decision { sample, event, rung, score, .. } in
        decisions.iter().filter(|decision| decision.agent == agent)
    {
        match event {
            RungEvent::Reached => drop(reached.entry(*rung).or_default().insert(*sample, *score)),
            RungEvent::Promoted => drop(promoted.insert((*rung, *sample))),
            RungEvent::Started | RungEvent::Stopped => {}
        }
    }
    let rung = |(steps, samples): (u64, BTreeMap<usize, Option<f64>>)| {
        let scores: Vec<Option<f64>> = samples.values().copied().collect();
        let known: Vec<f64> = scores.iter().copied().flatten().collect();
        let share = scores.len().div_ceil(reduction_factor as usize);
        let numbers: Vec<usize> = samples.into_keys().collect();
        let best: HashSet<usize> =
            best_first(&scores, share).into_iter().map(|place| numbers[place]).collect();
        let went_on: Vec<usize> =
            numbers.iter().copied().filter(|&number| promoted.contains(&(steps, number))).collect();
        Rung {
            steps,
            reached: numbers.len(),
            promoted: went_on.len(),
            early: went_on.iter().filter(|number| !best.contains(number)).count(),
            best: known.iter().copied().reduce(f64::max),
            median: stats::median(&known),
        }
    };
    reached.into_iter().map(rung).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rung_tells_who_went_on_and_who_would_not_have() {
        let search = serde_json::from_value(serde_json::json!({
            "parameters": {},
            "scheduler": { "name": "asynchronous_halving", "grace_period": 100 },
        }));
        let decision = |sample, event, rung, score| Decision {
            agent: "learner".into(),
            sample,
            event,
            rung,
            score,
        };
        let reached = |sample, score| decision(sample, RungEvent::Reached, 100, Some(score));
        let promoted = |sample| decision(sample, RungEvent::Promoted, 100, None);
        let other = Decision { agent: "other".into(), ..reached(9, 9.0) };
        let decisions = [
            decision(0, RungEvent::Started, 0, None),
            reached(2, 1.0),
            reached(0, 2.0),
            reached(1, 3.0),
            promoted(1),
            reached(3, 4.0),
            reached(4, 5.0),
            reached(5, 6.0),
            promoted(5),
            promoted(4),
            decision(5, RungEvent::Reached, 300, None),
            other,
        ];
        let rungs = rungs(&search.expect("a search"), "learner", &decisions);
        let first = Rung {
            steps: 100,
            reached: 6,
            promoted: 3,
            early: 1,
            best: Some(6.0),
            median: Some(3.5),
        };
        let second =
            Rung { steps: 300, reached: 1, promoted: 0, early: 0, best: None, median: None };
        assert_eq!(rungs, [first, second]);
    }
}

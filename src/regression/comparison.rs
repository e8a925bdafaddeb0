//! A comparison of an agent's scores with the baseline's: what was found, and what it rests on.

use serde::Serialize;

use super::permutation::Effort;
use super::test::residuals;
use crate::experiment::Metric;

/// Drops nearer to each other than this part of the range are the same, up to rounding.
pub(super) const ROUNDING: f64 = 1e-9;
/// What the gate says of a comparison, or of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Not proven worse, and a drop would have been seen or is ruled out.
    Held,
    /// Better by more than the margin.
    Improved,
    /// Shown to differ by no more than the margin of sameness.
    Same,
    /// It cannot be said: a drop would not have been seen and is not ruled out.
    Inconclusive,
    /// Differs by more than the margin, and is not shown to be the same.
    Different,
    /// Worse by more than the margin.
    Regressed,
}

impl Verdict {
    /// All of them, the worst first.
    pub const WORST_FIRST: [Self; 6] = [
        Self::Regressed,
        Self::Different,
        Self::Inconclusive,
        Self::Same,
        Self::Improved,
        Self::Held,
    ];

    /// The verdict in a word.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Held => "held",
            Verdict::Improved => "improved",
            Verdict::Same => "same",
            Verdict::Different => "different",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Regressed => "regressed",
        }
    }
}

/// What a verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The permutation test and, where the numbers of seeds differ, Welch's, which has to agree.
    Test,
    /// A fixed rule plays the same episodes: any difference is a change, not chance.
    Exact,
    /// Every seed of the baseline was run again and gave the same score.
    Identical,
    /// Trials failed or have not ended.
    Unfinished,
    /// The run does not have the agent, or not this score.
    Missing,
}

/// One side of a comparison, in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Side {
    /// How many seeds.
    pub seeds: usize,
    /// Their mean score.
    pub mean: f64,
    /// Their sample standard deviation; nothing for one seed.
    pub std: Option<f64>,
}

/// An agent and metric of the baseline against the run's. Changes are fractions of the range, and more is
/// better, whatever the metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The agent.
    pub agent: String,
    /// The metric.
    pub metric: Metric,
    /// What was found.
    pub verdict: Verdict,
    /// What it rests on.
    pub evidence: Evidence,
    /// The verdict in a sentence.
    pub explanation: String,
    /// The baseline.
    pub baseline: Side,
    /// The run; nothing where it has no such score.
    pub run: Option<Side>,
    /// What the changes are fractions of, in the metric's unit.
    pub range: f64,
    /// By how much the run is better (negative: worse).
    pub change: Option<f64>,
    /// The change is not below this, at the corrected error rate; nothing where it cannot be bounded.
    pub change_at_least: Option<f64>,
    /// The change is not above this, likewise.
    pub change_at_most: Option<f64>,
    /// The p-value of "worse by more than the margin", before the correction.
    pub p_worse: Option<f64>,
    /// The p-value of "better by more than the margin", before the correction.
    pub p_better: Option<f64>,
    /// The smallest drop that would have been seen with the wanted power; nothing where none would.
    pub smallest_visible_drop: Option<f64>,
    /// How many seeds would show the drop that the gate has to see.
    pub seeds_needed: Option<SeedsNeeded>,
    /// Where sameness is asked for: the smallest margin within which the scores show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_within: Option<f64>,
    /// The smallest margin within which an unchanged run with so many seeds would be shown to be the same, with the
    /// wanted power.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provable_margin: Option<f64>,
    #[serde(skip)]
    pub(super) scaled: Scaled,
}

/// Scores divided by the range, signed so that more is better.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Scaled {
    pub(super) baseline: Vec<f64>,
    pub(super) run: Vec<f64>,
}

/// How many seeds either side needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SeedsNeeded {
    /// In the run.
    pub run: usize,
    /// In the baseline.
    pub baseline: usize,
}

/// The fewest seeds that would be `enough` to tell at error rate `alpha`, judged by the scatter at hand: more of them in the
/// run alone or, where that does not do, on both sides. `None` where even a thousand would not.
pub(super) fn seeds_needed(
    scaled: &Scaled,
    alpha: f64,
    enough: impl Fn((usize, usize), &[f64], Effort) -> bool,
) -> Option<SeedsNeeded> {
    const MOST_IN_RUN: usize = 50;
    const MOST: usize = 1000;
    /// Fewer say nothing about scatter.
    const FEWEST: usize = 5;
    let (before, now) = (scaled.baseline.len(), scaled.run.len());
    let residuals = residuals(&[&scaled.baseline, &scaled.run]);
    let effort = Effort::search(alpha);
    let tells = |baseline: usize, run: usize| {
        let residuals = if residuals.is_empty() { &[0.0][..] } else { &residuals };
        enough((baseline, run), residuals, effort)
    };
    // What can be told only grows with the seeds, so that bisection finds the place.
    let fewest = |from: usize, most: usize, enough: &dyn Fn(usize) -> bool| {
        let (mut low, mut high) = (from, most);
        if low > high || !enough(high) {
            return None;
        }
        // Within a twentieth: the scatter itself is not known better.
        while low < high && (high - low) * 20 > high {
            let middle = low.midpoint(high);
            if enough(middle) { high = middle } else { low = middle + 1 }
        }
        Some(high)
    };
    let scatter_known = !residuals.is_empty();
    if scatter_known && let Some(run) = fewest(now + 1, MOST_IN_RUN, &|run| tells(before, run)) {
        return Some(SeedsNeeded { run, baseline: before });
    }
    let from = if scatter_known { before.max(now) + 1 } else { FEWEST };
    let both = fewest(from, MOST, &|seeds| tells(seeds, seeds))?;
    Some(SeedsNeeded { run: both, baseline: both })
}

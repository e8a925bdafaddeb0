//! Whether a run learns the same as the baseline: two one-sided tests (Schuirmann, Journal of Pharmacokinetics and
//! Biopharmaceutics 15, 1987).
//!
//! That a difference is not proven says nothing: few seeds prove none. So the question is turned round. A run is *same*
//! where both "worse by the margin or more" and "better by the margin or more" are refuted, each at the error rate: of runs
//! that differ by as much, no more than that are called same. All comparisons have to be same for the run to be, so that
//! their number needs no correction (an intersection-union test: Berger, Technometrics 24, 1982). *Different* is what is
//! proven to differ by more than is tolerated, in either direction, at one error rate over all comparisons.

use super::comparison::{Comparison, Evidence, ROUNDING, Side, Verdict, seeds_needed};
use super::numbers::{number, percent};
use super::permutation::{Effort, Splits};
use super::test::{Test, residuals, simulate};
use crate::experiment::CheckSpec;

impl Comparison {
    /// Turns what was proven to differ, and what the scores show to be the same, into the verdict.
    pub(super) fn settle_sameness(&mut self, rule: &CheckSpec) {
        let differs = matches!(self.verdict, Verdict::Regressed | Verdict::Improved);
        // What the gate's other question makes of it.
        (self.smallest_visible_drop, self.seeds_needed) = (None, None);
        match self.evidence {
            Evidence::Exact | Evidence::Identical => {
                (self.change_at_least, self.change_at_most) = (self.change, self.change);
                self.same_within = self.change.map(f64::abs);
            }
            Evidence::Test | Evidence::Unfinished => self.bound(rule),
            Evidence::Missing => {}
        }
        let within = self.same_within.is_some_and(|shown| shown <= rule.same_within + ROUNDING);
        self.verdict = match self.evidence {
            // The others may have failed for a reason.
            Evidence::Unfinished if !differs => Verdict::Inconclusive,
            Evidence::Missing => Verdict::Inconclusive,
            Evidence::Exact | Evidence::Identical | Evidence::Test if within => Verdict::Same,
            Evidence::Exact => Verdict::Different,
            _ if differs => Verdict::Different,
            _ => Verdict::Inconclusive,
        };
        if self.verdict == Verdict::Inconclusive && self.evidence == Evidence::Test {
            self.seeds_needed =
                seeds_needed(&self.scaled, rule.error_rate, |sizes, residuals, effort| {
                    provable_margin(sizes, residuals, rule, effort) <= rule.same_within + ROUNDING
                });
        }
    }

    /// Finds out what margin the scores show, and what they could have shown.
    fn bound(&mut self, rule: &CheckSpec) {
        let (baseline, run) = (&self.scaled.baseline, &self.scaled.run);
        let sizes = (baseline.len(), run.len());
        let Some(splits) = Splits::new(sizes.0, sizes.1, Effort::FULL) else { return };
        let (least, most) = Test::new(&splits, baseline, run).bounds(rule.error_rate);
        let finite = |bound: f64| bound.is_finite().then_some(bound);
        (self.change_at_least, self.change_at_most) = (finite(-most), finite(-least));
        self.same_within = finite(least.abs().max(most.abs()));
        let residuals = residuals(&[baseline, run]);
        self.provable_margin = finite(provable_margin(sizes, &residuals, rule, Effort::FULL));
    }
}

/// The smallest margin within which an unchanged run with so many seeds is shown to be the same, as often as the rule's
/// power says.
fn provable_margin(
    sizes: (usize, usize),
    residuals: &[f64],
    rule: &CheckSpec,
    effort: Effort,
) -> f64 {
    let Some(splits) = Splits::new(sizes.0, sizes.1, effort) else { return f64::INFINITY };
    simulate(sizes, residuals, rule.power, effort.simulations, |experiments| {
        Test::of_each(&splits, experiments).map(|test| {
            let (least, most) = test.bounds(rule.error_rate);
            least.abs().max(most.abs())
        })
    })
}

/// The verdict in a sentence, without its subject; nothing where it is the same as of the gate's other question.
pub(super) fn explain(comparison: &Comparison, rule: &CheckSpec) -> Option<String> {
    let Comparison { change, range, evidence, verdict, .. } = comparison;
    let change = (*change)?;
    let moved = || {
        let by =
            format!("{} ({} of the range)", number(change.abs() * range), percent(change.abs()));
        if change < 0.0 { format!("worse by {by}") } else { format!("better by {by}") }
    };
    Some(match (evidence, verdict) {
        (Evidence::Exact, Verdict::Same) if change == 0.0 => "unchanged".into(),
        (Evidence::Exact, _) => format!("{}; this rule's episodes are not left to chance", moved()),
        (Evidence::Test, Verdict::Same) => {
            let shown = percent(comparison.same_within?);
            format!("shown to be the same within {shown} of the range")
        }
        (Evidence::Test, Verdict::Different) => moved(),
        (Evidence::Test, _) => {
            let Side { seeds: before, .. } = comparison.baseline;
            let has = comparison.run.map_or(0, |run| run.seeds);
            let shown = match comparison.same_within {
                Some(shown) => format!("shown to be the same within {} only", percent(shown)),
                None => "too few seeds to show anything".into(),
            };
            let could = comparison.provable_margin.map_or_else(String::new, |margin| {
                format!(", and an unchanged run would be within {} as a rule", percent(margin))
            });
            let needed = match comparison.seeds_needed {
                Some(needed) if needed.baseline == before => {
                    format!("{} seeds in the run (it has {has}) are needed", needed.run)
                }
                Some(needed) => format!(
                    "{} seeds in the run (it has {has}) and in the baseline (it has {before}) are needed",
                    needed.run
                ),
                None => "more than 1000 seeds on both sides are needed".into(),
            };
            format!("{shown}{could}; to show {}, {needed}", percent(rule.same_within))
        }
        _ => return None,
    })
}

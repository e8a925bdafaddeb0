//! A decision for people, on a terminal.

use std::fmt::Write as _;

use super::check::Side;
use super::numbers::{number, percent, signed_percent};
use super::{Comparison, Decision, Verdict};
use crate::format;

/// Longer names of agents are cut.
const LONGEST_NAME: usize = 40;

/// The decision as aligned text.
pub fn text(decision: &Decision) -> String {
    let header = ["agent", "metric", "baseline", "run", "change", "sees from", "verdict"];
    let mut rows = vec![header.map(str::to_owned)];
    for comparison in &decision.comparisons {
        rows.push([
            format::shorten(&comparison.agent, LONGEST_NAME),
            comparison.metric.to_string(),
            score(comparison.baseline),
            comparison.run.map_or("–".into(), score),
            comparison.change.map_or("–".into(), signed_percent),
            comparison.smallest_visible_drop.map_or("–".into(), percent),
            comparison.verdict.word().to_owned(),
        ]);
    }
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = format!("{}\n\n", headline(decision));
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push('\n');
    for comparison in worst_first(decision) {
        let agent = format::shorten(&comparison.agent, LONGEST_NAME);
        let metric = comparison.metric;
        let verdict = comparison.verdict.word();
        let _ = writeln!(text, "{verdict}: {agent}, {metric}: {}", comparison.explanation);
    }
    for note in &decision.notes {
        let _ = writeln!(text, "note: {note}");
    }
    let _ = writeln!(text, "{}\nverdict: {}", rule(decision), summary(decision));
    text
}

/// The comparisons, those that regressed first.
pub(super) fn worst_first(decision: &Decision) -> Vec<&Comparison> {
    let mut comparisons: Vec<_> = decision.comparisons.iter().collect();
    comparisons.sort_by_key(|comparison| std::cmp::Reverse(comparison.verdict));
    comparisons
}

/// One line: the verdict, and against what.
pub(super) fn headline(decision: &Decision) -> String {
    format!(
        "{}: {} (run {} against baseline {})",
        decision.experiment,
        decision.verdict.word().to_uppercase(),
        decision.run.run,
        decision.baseline.run
    )
}

/// The verdict and what it is made of: "regressed (1 regressed, 2 held)".
pub fn summary(decision: &Decision) -> String {
    format!("{} ({})", decision.verdict.word(), counts(decision))
}

/// How many comparisons got each verdict: "1 regressed, 2 held".
pub(super) fn counts(decision: &Decision) -> String {
    let count =
        |verdict: Verdict| decision.comparisons.iter().filter(|c| c.verdict == verdict).count();
    let counts: Vec<_> =
        [Verdict::Regressed, Verdict::Inconclusive, Verdict::Improved, Verdict::Held]
            .into_iter()
            .filter(|&verdict| count(verdict) > 0)
            .map(|verdict| format!("{} {}", count(verdict), verdict.word()))
            .collect();
    counts.join(", ")
}

/// The rule in a sentence.
pub fn rule(decision: &Decision) -> String {
    let rule = &decision.rule;
    let plural = if decision.tests == 1 { "" } else { "s" };
    format!(
        "changes are fractions of the range between random and baseline; worse by {} is tolerated; {} test{plural} \
         together raise a false alarm at most {} of the time; \"sees from\" is the smallest drop found {} of \
         the time",
        percent(rule.margin),
        decision.tests,
        percent(rule.error_rate),
        percent(rule.power)
    )
}

/// "481.3 ± 12.0 (5 seeds)".
pub fn score(side: Side) -> String {
    let scatter = side.std.map(|std| format!(" ± {}", number(std))).unwrap_or_default();
    let plural = if side.seeds == 1 { "" } else { "s" };
    format!("{}{scatter} ({} seed{plural})", number(side.mean), side.seeds)
}

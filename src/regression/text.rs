//! A decision for people, on a terminal.

use std::fmt::Write as _;

use super::numbers::{number, percent, signed_percent};
use super::{Comparison, Decision, Range, Side, Verdict};
use crate::experiment::Question;
use crate::format;

/// Longer names of agents are cut.
const LONGEST_NAME: usize = 40;

/// The decision as aligned text.
pub fn text(decision: &Decision) -> String {
    let header = ["agent", "metric", "baseline", "run", "change", column(decision), "verdict"];
    let mut rows = vec![header.map(str::to_owned)];
    for comparison in &decision.comparisons {
        rows.push([
            format::shorten(&comparison.agent, LONGEST_NAME),
            comparison.metric.to_string(),
            score(comparison.baseline),
            comparison.run.map_or("–".into(), score),
            comparison.change.map_or("–".into(), signed_percent),
            told(decision, comparison),
            comparison.verdict.word().to_owned(),
        ]);
    }
    let mut text = format!("{}\n\n", headline(decision));
    for line in format::aligned(&rows) {
        let _ = writeln!(text, "{line}");
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
    let counts: Vec<_> = Verdict::WORST_FIRST
        .into_iter()
        .filter(|&verdict| count(verdict) > 0)
        .map(|verdict| format!("{} {}", count(verdict), verdict.word()))
        .collect();
    counts.join(", ")
}

/// What the column is called that says how much the scores can tell.
pub fn column(decision: &Decision) -> &'static str {
    match decision.rule.question {
        Question::Worse => "sees from",
        Question::Same => "same within",
    }
}

/// What a comparison has in that column.
pub fn told(decision: &Decision, comparison: &Comparison) -> String {
    let told = match decision.rule.question {
        Question::Worse => comparison.smallest_visible_drop,
        Question::Same => comparison.same_within,
    };
    told.map_or("–".into(), percent)
}

/// The rule in a sentence.
pub fn rule(decision: &Decision) -> String {
    let looks = decision.look.map_or_else(String::new, |look| {
        format!(
            "; seeds are added until the gate has its answer: this is look {} of at most {}, at {} of at most {} seeds, and \
             all looks share the error rate",
            look.number, look.of, look.seeds, look.most_seeds
        )
    });
    rule_of_one_look(decision) + looks.as_str()
}

fn rule_of_one_look(decision: &Decision) -> String {
    let rule = &decision.rule;
    let range = match (decision.range, rule.range) {
        (Range::Stated, Some(stated)) => {
            format!("the range of {} that `check.range` states", number(stated))
        }
        (Range::Untrained, _) => "the range between the untrained policies and the baseline".into(),
        (Range::Score, _) => "the baseline's score, since there is no random agent".into(),
        (Range::Random | Range::Stated, _) => "the range between random and baseline".into(),
    };
    if rule.question == Question::Same {
        return format!(
            "changes are fractions of {range}; a run is the same that differs by less than {}: \
             one that differs by as much is called so at most {} of the time; \"same within\" is the margin that these \
             scores show; different is what differs by more than {}, which an unchanged run does at most {} of the time",
            percent(rule.same_within),
            percent(rule.error_rate),
            percent(rule.margin),
            percent(rule.error_rate)
        );
    }
    let plural = if decision.tests == 1 { "" } else { "s" };
    format!(
        "changes are fractions of {range}; worse by {} is tolerated; {} test{plural} \
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

//! A decision as Markdown, for a comment on a pull request or a step's summary.

use std::fmt::Write as _;

use super::numbers::{percent, signed_percent};
use super::text::{counts, rule, score};
use super::{Decision, Verdict};
use crate::format::markdown as escape;

/// The decision as GitHub-flavoured Markdown. Names are escaped: they come from experiment files.
pub fn markdown(decision: &Decision) -> String {
    let mut text = format!(
        "### {} {}: {}\n\n",
        mark(decision.verdict),
        escape(&decision.experiment),
        decision.verdict.word()
    );
    text.push_str("| | agent | metric | baseline | run | change | sees from |\n");
    text.push_str("|---|---|---|---|---|---|---|\n");
    for comparison in &decision.comparisons {
        let _ = writeln!(
            text,
            "| {} {} | {} | {} | {} | {} | {} | {} |",
            mark(comparison.verdict),
            comparison.verdict.word(),
            escape(&comparison.agent),
            comparison.metric,
            score(comparison.baseline),
            comparison.run.map_or("–".into(), score),
            comparison.change.map_or("–".into(), signed_percent),
            comparison.smallest_visible_drop.map_or("–".into(), percent),
        );
    }
    text.push('\n');
    for comparison in &decision.comparisons {
        let (agent, metric) = (escape(&comparison.agent), comparison.metric);
        let _ = writeln!(text, "- **{agent}**, {metric}: {}", escape(&comparison.explanation));
    }
    for note in &decision.notes {
        let _ = writeln!(text, "- Note: {}", escape(note));
    }
    let _ = writeln!(
        text,
        "\n{}: run {} against baseline {}.\n\n<sub>Here {}.</sub>",
        counts(decision),
        escape(&decision.run.run),
        escape(&decision.baseline.run),
        rule(decision)
    );
    text
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Held => "✅",
        Verdict::Improved => "🎉",
        Verdict::Inconclusive => "❔",
        Verdict::Regressed => "❌",
    }
}

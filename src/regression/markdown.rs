//! A decision as Markdown, for a comment on a pull request or a step's summary.

use std::fmt::Write as _;

use indexmap::{IndexMap, IndexSet};

use super::numbers::signed_percent;
use super::text::{column, counts, rule, score, told, worst_first};
use super::{Decision, Recorded, Verdict};
use crate::format::{self, markdown as escape};

/// The most stills that are shown.
const MOST_STILLS: usize = 6;

/// What a decision is shown with. Addresses are as the reader of the Markdown needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The address of the run's report.
    pub report: String,
    /// The command that comes to the decision again.
    pub command: String,
    /// The address of a still of each agent that was filmed, by its name.
    pub stills: IndexMap<String, String>,
}

/// The decision as GitHub-flavoured Markdown, the worst first. Names are escaped: they come from experiment files.
pub fn markdown(decision: &Decision, surroundings: &Surroundings) -> String {
    let mut text = format!(
        "### {} {}: {}\n\n{}: {} against baseline {}. <a href=\"{}\">Report</a>\n\n",
        mark(decision.verdict),
        escape(&decision.experiment),
        decision.verdict.word(),
        counts(decision),
        origin("run ", &decision.run),
        origin("", &decision.baseline),
        format::escape(&surroundings.report),
    );
    let comparisons = worst_first(decision);
    let _ = writeln!(text, "| | agent | metric | baseline | run | change | {} |", column(decision));
    text.push_str("|---|---|---|---|---|---|---|\n");
    for comparison in &comparisons {
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
            told(decision, comparison),
        );
    }
    text.push('\n');
    for comparison in &comparisons {
        let (agent, metric) = (escape(&comparison.agent), comparison.metric);
        let _ = writeln!(text, "- **{agent}**, {metric}: {}", escape(&comparison.explanation));
    }
    for note in &decision.notes {
        let _ = writeln!(text, "- Note: {}", escape(note));
    }
    let agents: IndexSet<&str> = comparisons.iter().map(|c| c.agent.as_str()).collect();
    let stills = agents.into_iter().filter_map(|agent| surroundings.stills.get_key_value(agent));
    let cells: Vec<String> = stills
        .take(MOST_STILLS)
        .map(|(agent, still)| {
            let (agent, still) =
                (format::escape(agent).replace('@', "&#64;"), format::escape(still));
            format!("<td><img src=\"{still}\" width=\"200\" alt=\"{agent}\"><br>{agent}</td>")
        })
        .collect();
    if !cells.is_empty() {
        let _ = writeln!(text, "\n<table><tr>{}</tr></table>", cells.concat());
    }
    let _ = writeln!(
        text,
        "\n```sh\n{}\n```\n\n<sub>Here {}.</sub>",
        surroundings.command,
        rule(decision)
    );
    text
}

/// A run's name, and the commit that it is of.
fn origin(what: &str, recorded: &Recorded) -> String {
    let commit = recorded.git.as_ref().map(|git| format!(" (commit {})", git.short()));
    format!("{what}{}{}", escape(&recorded.run), commit.unwrap_or_default())
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Held | Verdict::Same => "✅",
        Verdict::Improved => "🎉",
        Verdict::Inconclusive => "❔",
        Verdict::Regressed | Verdict::Different => "❌",
    }
}

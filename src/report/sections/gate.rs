//! The verdict of the regression gate, where the run is checked against a baseline.

use super::Section;
use crate::regression::{self, Comparison, Verdict};
use crate::report::block::{Block, Cell, Row, Table};
use crate::report::model::Report;

/// The section.
pub(super) struct Gate;

impl Section for Gate {
    fn id(&self) -> &'static str {
        "gate"
    }

    fn title(&self) -> &'static str {
        "Regression gate"
    }

    fn lead(&self, report: &Report) -> String {
        let Some(decision) = report.decision() else { return String::new() };
        format!(
            "Against the baseline, run {}: {}.",
            decision.baseline.run,
            regression::summary(decision)
        )
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let Some(decision) = report.decision() else { return Ok(Vec::new()) };
        let columns = [
            ("agent", false),
            ("verdict", false),
            ("metric", false),
            ("baseline", true),
            ("run", true),
            ("change", true),
            (regression::column(decision), true),
        ];
        let row = |comparison: &Comparison| {
            let swatch = report.series.iter().find(|one| one.recorded_name == comparison.agent);
            let swatch = swatch.map(|series| series.class.clone()).unwrap_or_default();
            let percent = |share: Option<f64>, write: fn(f64) -> String| {
                Cell::new(share.map_or("–".into(), write))
            };
            Row {
                cells: vec![
                    Cell { swatch, ..Cell::new(comparison.agent.clone()) },
                    Cell::new(comparison.verdict.word()).with_note(comparison.explanation.clone()),
                    Cell::new(comparison.metric.to_string()),
                    Cell::new(regression::score(comparison.baseline)),
                    Cell::new(comparison.run.map_or("–".into(), regression::score)),
                    percent(comparison.change, regression::signed_percent),
                    Cell::new(regression::told(decision, comparison)),
                ],
                class: match comparison.verdict {
                    Verdict::Regressed | Verdict::Different => "failed",
                    _ => "",
                },
            }
        };
        let table = Table {
            caption: format!("Here {}.", regression::rule(decision)),
            columns: columns.map(|(title, number)| (title.to_owned(), number)).into(),
            rows: decision.comparisons.iter().map(row).collect(),
        };
        let notes = decision.notes.iter().map(|note| Block::text(format!("Note: {note}.")));
        Ok(std::iter::once(Block::Table(table)).chain(notes).collect())
    }
}

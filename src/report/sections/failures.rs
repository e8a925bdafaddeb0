//! Trials that failed, with the end of their logs; and what trials wanted a person to know.

use super::Section;
use crate::format;
use crate::report::block::{Block, Cell, Row, Table};
use crate::report::model::Report;
use crate::results::Trial;

/// With more failures than this, the rest is counted.
const MOST_LOGS: usize = 20;

/// The section.
pub(super) struct Failures;

impl Section for Failures {
    fn id(&self) -> &'static str {
        "failures"
    }

    fn title(&self) -> &'static str {
        "Failures"
    }

    fn lead(&self, _: &Report) -> String {
        "Trials that did not end as planned. The others are not affected.".into()
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let mut blocks = Vec::new();
        let mut failed = Vec::new();
        let mut messages = Vec::new();
        for series in &report.series {
            for trial in report.all_trials(series) {
                if let Some(error) = trial.error() {
                    failed.push((series, trial, error));
                }
                for message in &trial.messages {
                    let cells = vec![series.cell(), seed(trial), Cell::new(message)];
                    messages.push(Row { cells, class: "" });
                }
            }
        }
        let columns = |last: &str| {
            vec![("agent".to_owned(), false), ("seed".into(), true), (last.to_owned(), false)]
        };
        if !failed.is_empty() {
            let rows = failed.iter().map(|(series, trial, error)| Row {
                cells: vec![series.cell(), seed(trial), Cell::code(*error)],
                class: "failed",
            });
            blocks.push(Block::Table(Table {
                caption: format!("{} failed", format::plural(failed.len(), "trial")),
                columns: columns("error"),
                rows: rows.collect(),
            }));
            let logs = failed.iter().filter(|(_, trial, _)| !trial.stderr.is_empty());
            blocks.extend(logs.take(MOST_LOGS).map(|(series, trial, _)| Block::Details {
                summary: format!("Log of {}, seed {}", series.label, trial.plan.seed),
                blocks: vec![Block::Code {
                    label: format!("trials/{}/stderr.log, its end", trial.plan.id),
                    text: trial.stderr.clone(),
                    copy: false,
                }],
            }));
        }
        if !messages.is_empty() {
            blocks.push(Block::Details {
                summary: format!("{} from trials", format::plural(messages.len(), "message")),
                blocks: vec![Block::Table(Table {
                    caption: "Messages from trials".into(),
                    columns: columns("message"),
                    rows: messages,
                })],
            });
        }
        Ok(blocks)
    }
}

fn seed(trial: &Trial) -> Cell {
    let cell = Cell::new(trial.plan.seed.to_string());
    match trial.plan.sample {
        Some(sample) => cell.with_note(format!("sample {sample}")),
        None => cell,
    }
}

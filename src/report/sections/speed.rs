//! What training cost: steps, time, memory.

use super::Section;
use crate::report::block::{Block, Cell, Row, Table};
use crate::report::model::Report;
use crate::{format, stats};

/// The section.
pub(super) struct Speed;

impl Section for Speed {
    fn id(&self) -> &'static str {
        "cost"
    }

    fn title(&self) -> &'static str {
        "Cost of training"
    }

    fn lead(&self, _: &Report) -> String {
        "Medians over seeds. Speed leaves evaluations and filming out.".into()
    }

    fn compares(&self) -> bool {
        true
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let rows: Vec<Row> = report
            .learners()
            .filter_map(|(_, series)| {
                let imported = report.imported(series);
                let seeds: Vec<_> = (report.summary(series).seeds.iter())
                    .filter(|seed| seed.outcome.as_ref().is_some_and(|outcome| !outcome.failed()))
                    .collect();
                let median = |values: Vec<f64>, write: fn(f64) -> String| {
                    Cell::new(stats::median(&values).map_or("–".into(), write))
                };
                let mut engines: Vec<&str> =
                    seeds.iter().filter_map(|seed| seed.engine.as_deref()).collect();
                engines.sort_unstable();
                engines.dedup();
                (!seeds.is_empty()).then(|| Row {
                    cells: vec![
                        series.cell(),
                        median(
                            (seeds.iter().filter(|_| imported.is_none_or(|agent| !agent.means)))
                                .map(|seed| seed.progress.episodes as f64)
                                .collect(),
                            format::number,
                        ),
                        median(
                            seeds.iter().map(|seed| seed.progress.steps as f64).collect(),
                            format::number,
                        ),
                        median(
                            (seeds.iter().filter(|_| imported.is_none()))
                                .map(|seed| seed.progress.updates as f64)
                                .collect(),
                            format::number,
                        ),
                        median(
                            // Not all programs tell it.
                            (seeds.iter().map(|seed| seed.training_seconds))
                                .filter(|seconds| imported.is_none() || *seconds > 0.0)
                                .collect(),
                            format::seconds,
                        ),
                        median(
                            seeds.iter().filter_map(|seed| seed.steps_per_second).collect(),
                            format::number,
                        ),
                        median(
                            seeds
                                .iter()
                                .filter_map(|seed| Some(seed.peak_memory_bytes? as f64))
                                .collect(),
                            |bytes| format::bytes(bytes as u64),
                        ),
                        Cell::new(if engines.is_empty() {
                            "–".into()
                        } else {
                            engines.join(", ")
                        }),
                    ],
                    class: "",
                })
            })
            .collect();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let columns = [
            ("agent", false),
            ("episodes", true),
            ("steps", true),
            ("updates", true),
            ("time", true),
            ("steps/s", true),
            ("peak memory", true),
            ("engine", false),
        ];
        Ok(vec![Block::Table(Table {
            caption: "Cost of training, median over seeds".into(),
            columns: columns.map(|(title, number)| (title.to_owned(), number)).into(),
            rows,
        })])
    }
}

//! How long training took to the environment's reward threshold.

use serde_json::Value;

use super::Section;
use crate::report::block::{Block, Cell, Figure, Row, Table, Variant};
use crate::report::chart::{Axis, Chart, FULL, Layer, Size, Ticks};
use crate::report::model::Report;
use crate::results::aggregate::Against;
use crate::results::{Reached, SeedSummary};
use crate::{format, stats};

/// The section.
pub(super) struct Threshold;

impl Section for Threshold {
    fn id(&self) -> &'static str {
        "threshold"
    }

    fn title(&self) -> &'static str {
        "Time to threshold"
    }

    fn lead(&self, report: &Report) -> String {
        let threshold = report.threshold().map(format::number);
        let threshold = threshold.unwrap_or("its environment's reward threshold".into());
        format!(
            "A seed arrives when the mean of its training curve's whole window first reaches {threshold}."
        )
    }

    fn compares(&self) -> bool {
        true
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let Some(threshold) = report.threshold() else { return Ok(Vec::new()) };
        let learners: Vec<_> = report
            .learners()
            .map(|(number, series)| {
                let seeds: Vec<&SeedSummary> = (report.summary(series).seeds.iter())
                    .filter(|seed| !seed.curve.is_empty())
                    .collect();
                (number, series, seeds)
            })
            .filter(|(_, _, seeds)| !seeds.is_empty())
            .collect();
        if learners.is_empty() {
            return Ok(Vec::new());
        }
        let rows = learners.iter().map(|(_, series, seeds)| {
            let arrived = seeds.iter().filter(|seed| seed.threshold_reached.is_some()).count();
            let mut cells = vec![series.cell(), Cell::new(format!("{arrived} of {}", seeds.len()))];
            for against in Against::ALL {
                let times: Vec<_> = seeds.iter().map(|seed| time(seed, against)).collect();
                let median = stats::median_time(&times);
                let first = times.iter().filter(|(_, reached)| *reached).map(|(time, _)| *time);
                let write = |value: f64| match against {
                    Against::Seconds => format::seconds(value),
                    _ => format::number(value),
                };
                let cell = Cell::new(median.map_or("not reached".into(), write));
                cells.push(match first.min_by(f64::total_cmp) {
                    Some(first) if seeds.len() > 1 => {
                        cell.with_note(format!("first {}", write(first)))
                    }
                    _ => cell,
                });
            }
            Row { cells, class: "" }
        });
        let table = Table {
            caption: "Median over seeds until the reward threshold; seeds that never arrive count as longer than \
                      they were trained (Kaplan–Meier)."
                .into(),
            columns: [("agent", false), ("seeds", true), ("steps", true), ("episodes", true), ("training time", true)]
                .map(|(title, number)| (title.to_owned(), number))
                .into(),
            rows: rows.collect(),
        };
        let mut blocks = vec![Block::Table(table)];
        let anyone =
            learners.iter().flat_map(|l| &l.2).any(|seed| seed.threshold_reached.is_some());
        if anyone {
            let mut variants = Vec::new();
            for against in Against::ALL {
                let all = || learners.iter().flat_map(|(_, _, seeds)| seeds.iter());
                let end = all().map(|seed| time(seed, against).0).fold(0.0, f64::max);
                let layers = learners.iter().map(|(number, series, seeds)| {
                    let mut arrivals: Vec<f64> = seeds
                        .iter()
                        .filter_map(|s| Some(against.of(s.threshold_reached.as_ref()?)))
                        .collect();
                    arrivals.sort_unstable_by(f64::total_cmp);
                    Layer::Line {
                        class: format!("mean {}", series.class),
                        points: staircase(&arrivals, seeds.len(), end),
                        data: vec![("series", *number as u64)],
                    }
                });
                let chart = Chart {
                    description: format!(
                        "Share of seeds that have reached a return of {} against {}; the table above has the medians",
                        format::number(threshold),
                        against.label()
                    ),
                    x: Axis::from_zero(against.label(), end),
                    y: Axis {
                        label: "share of seeds arrived".into(),
                        min: 0.0,
                        max: 1.02,
                        ticks: Ticks::Percent,
                    },
                    layers: layers.collect(),
                };
                let sizes = FULL.map(|size| Size { height: size.height * 2 / 3, ..size });
                variants.push(Variant::draw(against.word(), &chart, &sizes, Value::Null)?);
            }
            blocks.push(Block::Figure(Figure {
                id: "seeds-arrived".into(),
                title: "Seeds that have reached the threshold".into(),
                variants,
                legend: learners.iter().map(|(number, series, _)| series.legend(*number)).collect(),
                ..Figure::default()
            }));
        }
        Ok(blocks)
    }
}

/// When a seed arrived, or how long it was trained in vain.
fn time(seed: &SeedSummary, against: Against) -> (f64, bool) {
    match &seed.threshold_reached {
        Some(reached) => (against.of(reached), true),
        None => {
            let curve = &seed.curve;
            let last = Reached {
                episodes: curve.episodes.last().copied().unwrap_or(0),
                steps: curve.steps.last().copied().unwrap_or(0),
                seconds: curve.seconds.last().copied().unwrap_or(0.0),
            };
            (against.of(&last), false)
        }
    }
}

/// The share that has arrived, rising at each arrival.
fn staircase(arrivals: &[f64], of: usize, end: f64) -> Vec<(f64, f64)> {
    let mut points = vec![(0.0, 0.0)];
    for (index, &at) in arrivals.iter().enumerate() {
        points.push((at, index as f64 / of as f64));
        points.push((at, (index + 1) as f64 / of as f64));
    }
    points.push((end, arrivals.len() as f64 / of as f64));
    points
}

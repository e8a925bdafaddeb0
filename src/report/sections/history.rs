//! The experiment's earlier runs, and where this one stands among them.

use serde_json::Value;

use super::Section;
use crate::experiment::Metric;
use crate::format;
use crate::regression::Scores;
use crate::report::block::{Block, Cell, Figure, Row, Table, Variant};
use crate::report::chart::{Axis, Chart, FULL, Layer, Size};
use crate::report::model::{Report, Series};
use crate::report::past::Past;
use crate::results::RunData;
use crate::stats::{self, Bootstrap, Interval};

/// How many runs are shown, the newest ones.
const MOST_RUNS: usize = 30;

/// The section.
pub(super) struct History;

/// An agent's scores in one run of the history.
struct Point {
    mean: f64,
    interval: Option<Interval>,
}

/// A run of the history, or this one.
struct Entry<'a> {
    run: &'a str,
    label: Option<&'a str>,
    other_settings: bool,
    /// The environment, where it is not this run's.
    other_environment: Option<&'a str>,
    /// One for every series of the report, `None` where the run had no such agent or was in another environment.
    points: Vec<Option<Point>>,
}

impl Section for History {
    fn id(&self) -> &'static str {
        "history"
    }

    fn title(&self) -> &'static str {
        "History"
    }

    fn lead(&self, _: &Report) -> String {
        "The mean return after training over the runs of this experiment, with its 95 % interval over seeds."
            .into()
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let [run] = &report.runs[..] else { return Ok(Vec::new()) };
        let past = &report.past[0];
        let entries = entries(run, past, &report.series);
        if entries.len() < 2 {
            return Ok(Vec::new());
        }
        let at = |index: usize| (index + 1) as f64;
        let mut layers = Vec::new();
        for (number, series) in report.series.iter().enumerate() {
            let data = vec![("series", number as u64)];
            let points = || {
                let points = entries.iter().enumerate();
                points
                    .filter_map(|(index, entry)| Some((at(index), entry.points[number].as_ref()?)))
            };
            let band =
                |(x, point): (f64, &Point)| Some((x, point.interval?.low, point.interval?.high));
            let means: Vec<_> = points().map(|(x, point)| (x, point.mean)).collect();
            layers.push(Layer::Band {
                class: format!("band {}", series.class),
                points: points().filter_map(band).collect(),
                data: data.clone(),
            });
            layers.push(Layer::Line {
                class: format!("mean {}", series.class),
                points: means.clone(),
                data: data.clone(),
            });
            layers.push(Layer::Dots { class: series.class.clone(), points: means, data });
        }
        for (agent, mean) in baseline_means(run, past, &report.series) {
            layers.push(Layer::Rule { y: mean, label: format!("baseline of {agent}") });
        }
        let values = entries.iter().flat_map(|entry| entry.points.iter().flatten());
        let heights = values.flat_map(|point| {
            let ends = point.interval.map_or([point.mean; 2], |i| [i.low, i.high]);
            [point.mean, ends[0], ends[1]]
        });
        let chart = Chart {
            description: "Mean return after training against the number of the run; the table has the numbers"
                .into(),
            x: Axis { min: 0.5, max: at(entries.len() - 1) + 0.5, ..Axis::from_zero("run", 1.0) },
            y: Axis::around("mean return", heights),
            layers,
        };
        let sizes = FULL.map(|size| Size { height: size.height * 3 / 4, ..size });
        Ok(vec![Block::Figure(Figure {
            id: "runs".into(),
            title: "Mean return over runs".into(),
            variants: vec![Variant::draw("runs", &chart, &sizes, Value::Null)?],
            legend: report.series.iter().enumerate().map(|(n, series)| series.legend(n)).collect(),
            table: Some(table(&entries, report, run)),
            ..Figure::default()
        })])
    }
}

/// The recorded runs in the order they were started, this one among them.
fn entries<'a>(run: &'a RunData, past: &'a Past, series: &[Series]) -> Vec<Entry<'a>> {
    let here = run.summary.run.as_str();
    let mut entries: Vec<Entry<'a>> = past
        .runs
        .iter()
        .filter(|past| past.run != here)
        .map(|past| Entry {
            run: &past.run,
            label: past.label.as_deref(),
            other_settings: past.settings_hash != run.summary.settings_hash,
            other_environment: Some(past.environment.as_str())
                .filter(|environment| *environment != run.summary.environment),
            points: series
                .iter()
                .map(|one| {
                    if past.environment != run.summary.environment {
                        return None;
                    }
                    let found = past.series.iter().find(|recorded| {
                        recorded.agent == one.name && recorded.metric == Metric::Return
                    })?;
                    point(&found.scores)
                })
                .collect(),
        })
        .collect();
    // Names of runs are times: they sort as the runs were started.
    let place = entries.partition_point(|entry| entry.run < here);
    let points = series.iter().map(|one| point(&one.scores)).collect();
    let label = run.summary.label.as_deref();
    let this = Entry { run: here, label, other_settings: false, other_environment: None, points };
    entries.insert(place, this);
    let surplus = entries.len().saturating_sub(MOST_RUNS);
    entries.drain(..surplus.min(place));
    entries
}

fn point(scores: &[f64]) -> Option<Point> {
    let interval = Bootstrap::default().interval(scores, stats::mean);
    Some(Point { mean: stats::mean(scores)?, interval })
}

/// What the experiment's baseline says of the agents that learn.
fn baseline_means<'a>(run: &RunData, past: &Past, series: &'a [Series]) -> Vec<(&'a str, f64)> {
    let comparable = |baseline: &&Scores| baseline.environment == run.summary.environment;
    let Some(baseline) = past.baseline.as_ref().filter(comparable) else { return Vec::new() };
    let mean = |one: &'a Series| {
        let scores = baseline.agents.get(&one.name)?;
        let means: Option<Vec<f64>> =
            scores.seeds.iter().map(|s| s.score(Metric::Return)).collect();
        Some((one.name.as_str(), stats::mean(&means?)?))
    };
    series.iter().filter(|one| one.learns).filter_map(mean).collect()
}

fn table(entries: &[Entry<'_>], report: &Report, run: &RunData) -> Table {
    let baseline_run =
        report.past[0].baseline.as_ref().map(|baseline| baseline.recorded.run.as_str());
    let rows = entries.iter().map(|entry| {
        let mut notes = Vec::new();
        notes.extend(entry.label.map(|label| format!("“{label}”")));
        notes.extend((entry.run == run.summary.run).then_some("this run".to_owned()));
        notes.extend((baseline_run == Some(entry.run)).then_some("the baseline".to_owned()));
        notes.extend(entry.other_environment.map(|name| format!("in {name}, not compared")));
        let other_settings = entry.other_settings && entry.other_environment.is_none();
        notes.extend(other_settings.then_some("other settings".to_owned()));
        let mut cells = vec![Cell::code(entry.run).with_note(notes.join(", "))];
        cells.extend(entry.points.iter().map(|point| match point {
            None => Cell::new("–"),
            Some(Point { mean, interval }) => {
                let cell = Cell::new(format::fixed(*mean, 1));
                match interval {
                    Some(Interval { low, high }) => cell.with_note(format!(
                        "{} – {}",
                        format::fixed(*low, 1),
                        format::fixed(*high, 1)
                    )),
                    None => cell,
                }
            }
        }));
        Row { cells, class: if entry.other_settings { "changed" } else { "" } }
    });
    let agents = report.series.iter().map(|series| (series.name.clone(), true));
    Table {
        caption:
            "Mean return after training of each run, with its 95 % bootstrap interval over seeds"
                .into(),
        columns: std::iter::once(("run".to_owned(), false)).chain(agents).collect(),
        rows: rows.collect(),
    }
}

//! The experiment's earlier runs, and where this one stands among them.

use super::Section;
use crate::experiment::Metric;
use crate::format;
use crate::record::GitInfo;
use crate::regression::Scores;
use crate::report::block::{Block, Cell, Figure, Row, Table};
use crate::report::chart::{FULL, Rule, Size};
use crate::report::model::{Report, Series};
use crate::report::past::Past;
use crate::report::plot::{Horizontal, Plot, PlotLine};
use crate::results::RunData;
use crate::results::aggregate::Point;
use crate::stats::{self, Bootstrap, Interval};

/// How many runs are shown, the newest ones.
const MOST_RUNS: usize = 30;

/// The section.
pub(super) struct History;

/// An agent's scores in one run of the history.
struct Mean {
    mean: f64,
    interval: Option<Interval>,
}

/// A run of the history, or this one.
struct Entry<'a> {
    run: &'a str,
    label: Option<&'a str>,
    /// The commit of the experiment's folder, short, with a plus where files were changed.
    commit: Option<String>,
    other_settings: bool,
    /// The environment, where it is not this run's.
    other_environment: Option<&'a str>,
    /// One for every series of the report, `None` where the run had no such agent or was in another environment.
    means: Vec<Option<Mean>>,
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

    fn compares(&self) -> bool {
        true
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let [run] = &report.wholes[..] else { return Ok(Vec::new()) };
        let past = &report.past[0];
        let entries = entries(run, past, &report.series);
        if entries.len() < 2 {
            return Ok(Vec::new());
        }
        let lines = report.series.iter().enumerate().map(|(number, series)| {
            let point = |(index, entry): (usize, &Entry<'_>)| {
                let Mean { mean, interval } = entry.means[number].as_ref()?;
                let (low, high) = interval.map_or((*mean, *mean), |i| (i.low, i.high));
                Some(Point { x: (index + 1) as f64, middle: *mean, low, high })
            };
            let points = entries.iter().enumerate().filter_map(point).collect();
            PlotLine { dots: true, ..PlotLine::new(number, series, vec![points]) }
        });
        let rule =
            |(agent, y): (&str, f64)| Rule { y, label: format!("baseline of {agent}"), class: "" };
        let plot = Plot {
            id: "runs".into(),
            title: "Mean return over runs".into(),
            y: "mean return".into(),
            x: vec![Horizontal {
                word: "runs".into(),
                label: "run".into(),
                range: Some((0.5, entries.len() as f64 + 0.5)),
                names: entries.iter().map(Entry::name).collect(),
            }],
            lines: lines.collect(),
            rules: baseline_means(run, past, &report.series).into_iter().map(rule).collect(),
            ..Plot::default()
        };
        let figure = plot.figure(&FULL.map(|size| Size { height: size.height * 3 / 4, ..size }))?;
        let table = table(&entries, report, run);
        Ok(vec![match figure {
            Some(figure) => Block::Figure(Figure { table: Some(table), ..figure }),
            None => Block::Table(table),
        }])
    }
}

impl Entry<'_> {
    fn name(&self) -> String {
        let commit = self.commit.as_ref().map(|commit| format!(", commit {commit}"));
        format!("{}{}", self.run, commit.unwrap_or_default())
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
            commit: past.git.as_ref().map(GitInfo::short),
            means: series
                .iter()
                .map(|one| {
                    if past.environment != run.summary.environment {
                        return None;
                    }
                    let found = past.series.iter().find(|recorded| {
                        recorded.agent == one.recorded_name && recorded.metric == Metric::Return
                    })?;
                    mean(&found.scores)
                })
                .collect(),
        })
        .collect();
    // Names of runs are times: they sort as the runs were started.
    let place = entries.partition_point(|entry| entry.run < here);
    let this = Entry {
        run: here,
        label: run.summary.label.as_deref(),
        commit: run.summary.git.as_ref().map(GitInfo::short),
        other_settings: false,
        other_environment: None,
        means: series.iter().map(|one| mean(&one.scores)).collect(),
    };
    entries.insert(place, this);
    let surplus = entries.len().saturating_sub(MOST_RUNS);
    entries.drain(..surplus.min(place));
    entries
}

fn mean(scores: &[f64]) -> Option<Mean> {
    let interval = Bootstrap::default().interval(scores, stats::mean);
    Some(Mean { mean: stats::mean(scores)?, interval })
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
        let commit = entry.commit.as_ref().map_or(Cell::new("–"), Cell::code);
        let mut cells = vec![Cell::code(entry.run).with_note(notes.join(", ")), commit];
        cells.extend(entry.means.iter().map(|mean| match mean {
            None => Cell::new("–"),
            Some(Mean { mean, interval }) => {
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
        columns: ["run", "commit"]
            .map(|title| (title.to_owned(), false))
            .into_iter()
            .chain(agents)
            .collect(),
        rows: rows.collect(),
    }
}

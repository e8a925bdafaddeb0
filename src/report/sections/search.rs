//! What a hyperparameter search came to.

use std::sync::Arc;

use serde_json::Value;

use super::Section;
use crate::experiment::{Direction, Objective, ParameterSpec, Parent, SearchSpec};
use crate::format;
use crate::report::RunData;
use crate::report::block::{Block, Cell, Figure, Row, Table};
use crate::report::chart::{Axis, Chart, FULL, Layer, Size, Ticks};
use crate::report::model::Report;
use crate::results::aggregate::{self, Against};
use crate::results::{SampleSummary, SearchSummary, SearchedAgent, Trial};
use crate::search::Standing;
use crate::stats::{self, Bootstrap, Interval};

/// The section.
pub(super) struct Search;

/// So many samples are listed; the others unfold.
const LISTED: usize = 20;

impl Section for Search {
    fn id(&self) -> &'static str {
        "search"
    }

    fn title(&self) -> &'static str {
        "Search"
    }

    fn lead(&self, _: &Report) -> String {
        "Samples ranked by the mean of their seeds' scores. Elsewhere on this page a searched agent stands for \
         its best sample."
            .into()
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let mut blocks = Vec::new();
        for (index, run) in report.wholes.iter().enumerate() {
            let (Some(search), Some(spec)) = (&run.summary.search, &run.plan.experiment.search)
            else {
                continue;
            };
            for searched in &search.agents {
                let place = if report.several() {
                    format!(", run {}", report.names[index])
                } else {
                    String::new()
                };
                if report.several() || search.agents.len() > 1 {
                    blocks.push(Block::Heading { text: format!("{}{place}", searched.agent) });
                }
                let view =
                    View { run, search, spec, searched, id: format!("{index}-{}", searched.agent) };
                blocks.extend(view.blocks()?);
            }
        }
        Ok(blocks)
    }
}

/// The search for one agent in one run.
struct View<'a> {
    run: &'a RunData,
    search: &'a SearchSummary,
    spec: &'a SearchSpec,
    searched: &'a SearchedAgent,
    id: String,
}

impl View<'_> {
    fn blocks(&self) -> anyhow::Result<Vec<Block>> {
        let samples = &self.searched.samples;
        let mut blocks = vec![Block::text(self.finding())];
        let (listed, rest) = samples.split_at(samples.len().min(LISTED));
        blocks.push(Block::Table(self.table(listed, 0)));
        if !rest.is_empty() {
            blocks.push(Block::Details {
                summary: format!("{} more", format::plural(rest.len(), "sample")),
                blocks: vec![Block::Table(self.table(rest, LISTED))],
            });
        }
        if !self.searched.rungs.is_empty() {
            blocks.push(Block::Table(self.rungs()));
        }
        if samples.iter().any(|sample| sample.mean.is_some()) {
            blocks.push(Block::Figure(self.parallel_coordinates()?));
            blocks.push(Block::Figure(self.history()?));
            for (path, parameter) in self.spec.parameters_of(&self.searched.agent) {
                blocks.push(Block::Figure(self.slice(path, parameter)?));
            }
        }
        blocks.extend(self.curves()?.map(Block::Figure));
        if !self.searched.importance.is_empty() {
            blocks.push(Block::Figure(self.importance()?));
        }
        if self.searched.best().is_some() {
            let file = self.run.dir.best();
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            blocks.push(Block::text(format!(
                "{name} beside this page is the experiment with the best settings, ready to run."
            )));
        }
        Ok(blocks)
    }

    /// What may be said of the winner.
    fn finding(&self) -> String {
        let Some(best) = self.searched.best() else {
            return "No sample has run to its end with all its seeds.".into();
        };
        let values: Vec<String> = (best.values.iter())
            .map(|(path, value)| format!("{} {}", self.label(path), show(value)))
            .collect();
        let mut text = format!(
            "Best: sample {} ({}) with {} {}.",
            best.number,
            format::list(&values),
            self.metric(),
            best.mean.map_or("–".into(), format::number)
        );
        let overlapping = |other: &&SampleSummary| {
            interval(best)
                .zip(interval(other))
                .is_some_and(|(a, b)| a.low <= b.high && b.low <= a.high)
        };
        if best.score.seeds.len() < 2 {
            text.push_str(
                " With one seed a sample nobody can tell how much of its rank is luck: give the experiment \
                 several seeds.",
            );
        } else {
            let near = self.searched.samples.iter().skip(1).filter(overlapping).count();
            text.push_str(&format!(
                " The intervals of {} overlap with its interval.",
                format::plural(near, "other sample")
            ));
        }
        text
    }

    fn metric(&self) -> &'static str {
        match self.search.metric {
            Objective::MeanReturn => "mean return",
            Objective::StepsToThreshold => "training steps to threshold",
            Objective::Auc => "area under the curve",
        }
    }

    /// A parameter's path without what all of them share: its last part where that is its own.
    fn label<'p>(&self, path: &'p str) -> &'p str {
        let last = |path: &'p str| path.rsplit('.').next().unwrap_or(path);
        let same = self.spec.parameters_of(&self.searched.agent);
        match same.filter(|(other, _)| other.rsplit('.').next() == Some(last(path))).count() {
            1 => last(path),
            _ => {
                path.split('.').nth(2).and_then(|part| path.find(part)).map_or(path, |i| &path[i..])
            }
        }
    }

    fn table(&self, samples: &[SampleSummary], before: usize) -> Table {
        let parameters: Vec<_> = self.spec.parameters_of(&self.searched.agent).collect();
        let mut columns = vec![("rank".to_owned(), true), ("sample".into(), true)];
        for (path, parameter) in &parameters {
            columns.push((self.label(path).to_owned(), is_number(parameter)));
        }
        columns.push((self.metric().to_owned(), true));
        columns.push(("95 % interval".into(), true));
        columns.push(("seeds".into(), true));
        let decimals = format::decimals(samples.iter().filter_map(|sample| sample.mean));
        let rows = samples.iter().enumerate().map(|(index, sample)| {
            let mut cells = vec![
                Cell::new((before + index + 1).to_string()),
                Cell::new(sample.number.to_string()).with_note(origin(sample)),
            ];
            cells.extend(parameters.iter().map(|(path, _)| Cell::new(show(&sample.values[*path]))));
            let never = self.never_reached(sample);
            let standing = match sample.score.standing {
                Standing::Complete if never > 0 => {
                    format!("not reached by {}", format::plural(never, "seed"))
                }
                Standing::Complete => String::new(),
                Standing::Stopped { steps } => {
                    let rung = self.spec.scheduler.rung(steps).map(format::count);
                    let rung = rung.map_or(String::new(), |rung| format!(", rung {rung}"));
                    format!("stopped after {} steps{rung}", format::count(steps))
                }
                Standing::Unfinished => "unfinished".into(),
                Standing::Failed => "failed".into(),
            };
            cells.push(Cell::number(sample.mean, decimals).with_note(standing));
            cells.push(Cell::new(interval(sample).map_or("–".into(), |interval| {
                let ends = [interval.low, interval.high].map(|end| format::fixed(end, decimals));
                ends.join(" – ")
            })));
            cells.push(Cell::new(sample.score.seeds.len().to_string()));
            let failed = sample.score.standing == Standing::Failed;
            Row { cells, class: if failed { "failed" } else { "" } }
        });
        Table {
            caption: format!(
                "Samples of {}, best first. The interval is a bootstrap over seeds.{}",
                self.searched.agent,
                if samples
                    .iter()
                    .any(|sample| matches!(sample.score.standing, Standing::Stopped { .. }))
                {
                    " A sample that was stopped has the score of its training then."
                } else {
                    ""
                }
            ),
            columns,
            rows: rows.collect(),
        }
    }

    /// What asynchronous halving came to at its rungs.
    fn rungs(&self) -> Table {
        let rungs = &self.searched.rungs;
        let decimals = format::decimals(rungs.iter().flat_map(|r| [r.best, r.median]).flatten());
        let count = |count: usize| Cell::new(format::count(count as u64));
        let rows = rungs.iter().map(|rung| Row {
            cells: vec![
                Cell::new(format::count(rung.steps)),
                count(rung.reached),
                count(rung.promoted),
                count(rung.early),
                Cell::number(rung.best, decimals),
                Cell::number(rung.median, decimals),
            ],
            class: "",
        });
        let names = [
            "rung (steps)",
            "reached",
            "went on",
            "of these early",
            "best return",
            "median return",
        ];
        Table {
            caption: "Rungs. Who went on was decided by the samples that were there by then; early are those that would not \
                      have, had the decision waited for all of them."
                .into(),
            columns: names.map(|name| (name.into(), true)).into(),
            rows: rows.collect(),
        }
    }

    /// How many of a sample's seeds were trained in vain: they count twice the schedule's steps.
    fn never_reached(&self, sample: &SampleSummary) -> usize {
        let agent = &self.run.plan.experiment.agents[&self.searched.agent];
        let steps = agent.schedule().and_then(|schedule| schedule.steps);
        match (self.search.metric, steps) {
            (Objective::StepsToThreshold, Some(steps)) => {
                sample.score.seeds.iter().filter(|score| **score >= 2.0 * steps as f64).count()
            }
            _ => 0,
        }
    }

    fn parallel_coordinates(&self) -> anyhow::Result<Figure> {
        let parameters: Vec<_> = self.spec.parameters_of(&self.searched.agent).collect();
        let means = || self.searched.samples.iter().filter_map(|sample| sample.mean);
        let (low, high) =
            (means().fold(f64::INFINITY, f64::min), means().fold(f64::NEG_INFINITY, f64::max));
        // Good is up, whatever the direction.
        let (bottom, top) = match self.search.direction {
            Direction::Maximize => (low, high),
            Direction::Minimize => (high, low),
        };
        let score = |mean: f64| share(mean, bottom, top);
        let mut layers = Vec::new();
        // The best are drawn last, above the others.
        for (rank, sample) in self.searched.samples.iter().enumerate().rev() {
            let Some(mean) = sample.mean else { continue };
            let mut points: Vec<(f64, f64)> = (parameters.iter().enumerate())
                .map(|(x, (path, parameter))| (x as f64, height(parameter, &sample.values[*path])))
                .collect();
            points.push((parameters.len() as f64, score(mean)));
            layers.push(Layer::Line { class: self.class(rank), points, data: vec![] });
        }
        for (x, (path, parameter)) in parameters.iter().enumerate() {
            let name = self.label(path).to_owned();
            layers.push(Layer::Column { x: x as f64, name, ticks: ticks(parameter) });
        }
        layers.push(Layer::Column {
            x: parameters.len() as f64,
            name: self.metric().to_owned(),
            ticks: vec![(0.0, format::number(bottom)), (1.0, format::number(top))],
        });
        let axis = |max: f64| Axis { label: String::new(), min: -0.0, max, ticks: Ticks::Columns };
        let chart = Chart {
            description: format!(
                "Parallel coordinates of the samples of {}; the table above has the numbers",
                self.searched.agent
            ),
            x: axis(parameters.len() as f64),
            y: Axis { min: -0.04, ..axis(1.02) },
            layers,
        };
        Ok(Figure {
            id: format!("search-{}", self.id),
            title: "Parallel coordinates".into(),
            caption: "A line is a sample, from its parameters to its score; the better, the stronger. Broken lines \
                      were stopped early."
                .into(),
            svgs: chart.svgs(&FULL)?,
            ..Figure::default()
        })
    }

    /// The CSS classes of the sample of this rank.
    fn class(&self, rank: usize) -> String {
        let samples = &self.searched.samples;
        match (rank, samples[rank].score.standing) {
            (0, Standing::Complete) => "sample best".into(),
            (_, Standing::Complete) => format!("sample q{}", rank * 4 / samples.len()),
            _ => "sample stopped".into(),
        }
    }

    /// A dot for each sample that has a score, at its score; the best last, above the others.
    fn dots(&self, x: impl Fn(&SampleSummary) -> f64) -> Vec<Layer> {
        let ranked = self.searched.samples.iter().enumerate().rev();
        let dot = |(rank, sample): (usize, &SampleSummary)| {
            let points = vec![(x(sample), sample.mean?)];
            Some(Layer::Dots { class: self.class(rank), points, data: vec![] })
        };
        ranked.filter_map(dot).collect()
    }

    fn scores(&self) -> Axis {
        let means = self.searched.samples.iter().filter_map(|sample| sample.mean);
        Axis::around(self.metric(), means)
    }

    fn history(&self) -> anyhow::Result<Figure> {
        let mut by_number: Vec<_> = self.searched.samples.iter().collect();
        by_number.sort_by_key(|sample| sample.number);
        let complete = by_number.iter().filter(|s| s.score.standing == Standing::Complete);
        let better = match self.search.direction {
            Direction::Maximize => f64::max,
            Direction::Minimize => f64::min,
        };
        let points = complete.filter_map(|sample| Some((sample.number as f64, sample.mean?))).scan(
            None,
            |best: &mut Option<f64>, (number, mean)| {
                *best = Some(best.map_or(mean, |best| better(best, mean)));
                Some((number, best.unwrap_or(mean)))
            },
        );
        let line =
            Layer::Line { class: "sample best".into(), points: points.collect(), data: vec![] };
        let numbers = by_number.iter().map(|sample| sample.number as f64);
        let chart = Chart {
            description: format!(
                "Scores of the samples of {} by their numbers",
                self.searched.agent
            ),
            x: Axis { ticks: Ticks::Whole, ..Axis::around("sample", numbers) },
            y: self.scores(),
            layers: std::iter::once(line).chain(self.dots(|sample| sample.number as f64)).collect(),
        };
        Ok(Figure {
            id: format!("search-history-{}", self.id),
            title: "History".into(),
            caption: "A dot is a sample, in the order in which they were drawn; the line is the best so far of those \
                      that ran to their end."
                .into(),
            svgs: chart.svgs(&FULL)?,
            ..Figure::default()
        })
    }

    /// The scores against a parameter.
    fn slice(&self, path: &str, parameter: &ParameterSpec) -> anyhow::Result<Figure> {
        let name = self.label(path);
        let scores = self.scores();
        let columns = ticks(parameter).into_iter().map(|(x, value)| {
            let ticks = vec![(scores.min, value)];
            Layer::Column { x, name: String::new(), ticks }
        });
        let dots = self.dots(|sample| height(parameter, &sample.values[path]));
        // Room for the words beside the last column.
        let x = Axis { label: name.into(), min: -0.04, max: 1.1, ticks: Ticks::Columns };
        let chart = Chart {
            description: format!("Scores of the samples of {} by {name}", self.searched.agent),
            x,
            layers: columns.chain(dots).collect(),
            y: scores,
        };
        Ok(Figure {
            id: format!("search-{name}-{}", self.id),
            title: format!("Score against {name}"),
            svgs: chart.svgs(&FULL.map(|size| Size { height: 220, ..size }))?,
            ..Figure::default()
        })
    }

    /// The mean training return of every sample.
    fn curves(&self) -> anyhow::Result<Option<Figure>> {
        let mut lines = Vec::new();
        for (rank, sample) in self.searched.samples.iter().enumerate().rev() {
            let is_its = |trial: &&Arc<Trial>| {
                trial.plan.agent == self.searched.agent && trial.plan.sample == Some(sample.number)
            };
            let trials = self.run.trials.iter().filter(is_its);
            let seeds: Vec<_> =
                trials.map(|trial| Against::Steps.points(&trial.summary().curve)).collect();
            let points = aggregate::over_seeds(&seeds).iter().map(|p| (p.x, p.middle)).collect();
            lines.push((self.class(rank), points));
        }
        let points = || lines.iter().flat_map(|(_, points): &(_, Vec<(f64, f64)>)| points);
        let Some(end) = points().map(|(x, _)| *x).reduce(f64::max) else { return Ok(None) };
        let chart = Chart {
            description: format!("Training returns of the samples of {}", self.searched.agent),
            x: Axis { max: end, ..Axis::from_zero("environment steps", end) },
            y: Axis::around("mean return in training", points().map(|(_, y)| *y)),
            layers: (lines.into_iter())
                .map(|(class, points)| Layer::Line { class, points, data: vec![] })
                .collect(),
        };
        Ok(Some(Figure {
            id: format!("search-curves-{}", self.id),
            title: "Curves of all samples".into(),
            caption: "A line is a sample, the interquartile mean of its seeds; the better, the stronger. Broken lines were \
                      stopped early; a sample that goes on from another one has its beginning too."
                .into(),
            svgs: chart.svgs(&FULL)?,
            ..Figure::default()
        }))
    }

    fn importance(&self) -> anyhow::Result<Figure> {
        let shares = &self.searched.importance;
        let rows = shares.len() as f64;
        let mut layers = Vec::new();
        for (row, (path, share)) in shares.iter().enumerate() {
            let base = rows - 1.0 - row as f64;
            layers.push(Layer::RowLabel { y: base + 0.5, text: self.label(path).to_owned() });
            layers.push(Layer::Band {
                class: "bar".into(),
                points: vec![(0.0, base + 0.2, base + 0.8), (*share, base + 0.2, base + 0.8)],
                data: vec![],
            });
        }
        let most = shares.iter().map(|(_, share)| *share).fold(0.0, f64::max);
        let chart = Chart {
            description: "Importance of each parameter; the table below has the numbers".into(),
            x: Axis {
                ticks: Ticks::Percent,
                ..Axis::from_zero("share of the scores' variance", most * 1.05)
            },
            y: Axis { label: String::new(), min: 0.0, max: rows, ticks: Ticks::Rows },
            layers,
        };
        let sizes = FULL.map(|size| Size { height: 56 + 30 * shares.len() as u32, ..size });
        let table = shares.iter().map(|(path, share)| Row {
            cells: vec![Cell::code(path.as_str()), Cell::new(format!("{:.0} %", share * 100.0))],
            class: "",
        });
        Ok(Figure {
            id: format!("importance-{}", self.id),
            title: "Importance".into(),
            caption: "How much of the scores' variance each parameter explains alone (functional ANOVA of a random \
                      forest fitted to the samples that ran to their end). A few dozen samples give an impression, \
                      not a measurement."
                .into(),
            svgs: chart.svgs(&sizes)?,
            table: Some(Table {
                caption: "Importance".into(),
                columns: vec![("parameter".into(), false), ("share".into(), true)],
                rows: table.collect(),
            }),
            ..Figure::default()
        })
    }
}

/// What a sample goes on from.
fn origin(sample: &SampleSummary) -> String {
    let from = |Parent { number, steps, .. }: Parent| {
        format!("from sample {number}, at {} steps", format::count(steps))
    };
    sample.parent.map(from).unwrap_or_default()
}

fn interval(sample: &SampleSummary) -> Option<Interval> {
    let several = sample.score.seeds.len() > 1;
    several.then(|| Bootstrap::default().interval(&sample.score.seeds, stats::mean))?
}

fn is_number(parameter: &ParameterSpec) -> bool {
    match parameter {
        ParameterSpec::Grid(values) | ParameterSpec::Choice(values) => {
            values.iter().all(Value::is_number)
        }
        _ => true,
    }
}

/// A parameter's value in words.
fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if !number.is_i64() => {
            let value = number.as_f64().unwrap_or(f64::NAN);
            if value != 0.0 && value.abs() < 0.01 {
                format!("{value:.2e}")
            } else {
                format!("{value:.4}")
            }
        }
        other => other.to_string(),
    }
}

/// How far `value` lies from `from` to `to`.
fn share(value: f64, from: f64, to: f64) -> f64 {
    if from == to { 0.5 } else { (value - from) / (to - from) }
}

/// The height of a value on its parameter's axis.
fn height(parameter: &ParameterSpec, value: &Value) -> f64 {
    let number = value.as_f64().unwrap_or(0.0);
    match parameter {
        ParameterSpec::Grid(values) | ParameterSpec::Choice(values) => {
            let place = values.iter().position(|other| other == value).unwrap_or(0);
            share(place as f64, 0.0, values.len() as f64 - 1.0)
        }
        ParameterSpec::Uniform([low, high]) => share(number, *low, *high),
        ParameterSpec::LogUniform([low, high]) => share(number.ln(), low.ln(), high.ln()),
        ParameterSpec::Integer([low, high]) => share(number, *low as f64, *high as f64),
    }
}

/// What stands beside a parameter's axis: the values of a list, the ends of a range.
fn ticks(parameter: &ParameterSpec) -> Vec<(f64, String)> {
    let values = match parameter {
        ParameterSpec::Grid(values) | ParameterSpec::Choice(values) => values.clone(),
        ParameterSpec::Uniform(ends) | ParameterSpec::LogUniform(ends) => {
            ends.map(Value::from).to_vec()
        }
        ParameterSpec::Integer(ends) => ends.map(Value::from).to_vec(),
    };
    values.iter().map(|value| (height(parameter, value), show(value))).collect()
}

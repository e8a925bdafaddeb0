//! What a suite's agents come to over all its environments.

use super::Section;
use crate::format;
use crate::report::block::{Block, Cell, Figure, Row, Table};
use crate::report::chart::{Axis, Chart, FULL, Layer, Size, Ticks};
use crate::report::model::{Report, Series};
use crate::report::plot::{Horizontal, Plot, PlotLine, Rank};
use crate::results::aggregate::Point;
use crate::results::suite::{self, Aggregate, Estimate, SuiteAgent, SuiteScores};
use crate::stats::{self, Bootstrap, Interval};

/// Points of a profile.
const POINTS: usize = 120;

/// A profile begins here at the lowest.
const WORST: f64 = -1.0;

/// The section.
pub(super) struct Suite;

impl Section for Suite {
    fn id(&self) -> &'static str {
        "suite"
    }

    fn title(&self) -> &'static str {
        "Over all environments"
    }

    fn lead(&self, _: &Report) -> String {
        "Scores are returns of which 0 is a random policy's and 1 the reference's in each environment; intervals are \
         95 %, from a bootstrap over the seeds of each environment (Agarwal et al., 2021)."
            .into()
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let Some(scores) = report.suite_scores() else { return Ok(Vec::new()) };
        let mut blocks: Vec<Block> =
            scores.notes.iter().map(|note| Block::text(format::sentence(note))).collect();
        let ranked = ranked(report, scores);
        if !ranked.is_empty() {
            blocks.push(Block::Figure(intervals(&ranked)?));
            blocks.extend(profile(&ranked)?.map(Block::Figure));
            blocks.extend(efficiency(&ranked)?.map(Block::Figure));
            blocks.extend(improvements(report, &ranked).map(Block::Table));
        }
        blocks.push(Block::Table(returns(report, scores)));
        blocks.push(Block::Table(ranges(report, scores)));
        Ok(blocks)
    }
}

/// An agent with all its scores, and how it looks.
struct Ranked<'a> {
    /// Its number among the suite's agents.
    number: usize,
    agent: &'a SuiteAgent,
    scores: &'a [Vec<f64>],
    series: Series,
}

impl Ranked<'_> {
    /// The interquartile mean of its scores.
    fn iqm(&self) -> Option<f64> {
        Some(self.agent.figure(Aggregate::InterquartileMean)?.value)
    }
}

/// The agents that have figures over all environments, the best first.
fn ranked<'a>(report: &Report, scores: &'a SuiteScores) -> Vec<Ranked<'a>> {
    let mut ranked: Vec<Ranked> = (scores.agents.iter().enumerate())
        .filter_map(|(number, agent)| {
            let (scores, series) = (agent.scores.as_deref()?, report.series_of(agent)?);
            Some(Ranked { number, agent, scores, series })
        })
        .collect();
    let value = |one: &Ranked| one.iqm().unwrap_or(f64::MIN);
    ranked.sort_by(|a, b| value(b).total_cmp(&value(a)));
    ranked
}

/// Every figure of every agent with its interval: rows of dots and lines, and a table.
fn intervals(ranked: &[Ranked<'_>]) -> anyhow::Result<Figure> {
    let all: Vec<Vec<Estimate>> = (ranked.iter())
        .map(|one| Aggregate::ALL.into_iter().filter_map(|a| one.agent.figure(a)).collect())
        .collect();
    let rows = ranked.iter().zip(&all).map(|(one, figures)| {
        let cells = figures.iter().map(|Estimate { value, interval }| {
            let cell = Cell::new(format::fixed(*value, 2));
            interval.map_or(cell.clone(), |range| cell.with_note(range_of(range)))
        });
        Row {
            cells: std::iter::once(one.series.cell()).chain(cells).collect(),
            class: if one.agent.learns { "" } else { "baseline" },
        }
    });
    let mut columns = vec![("agent".to_owned(), false)];
    columns.extend(Aggregate::ALL.map(|aggregate| (aggregate.name().to_owned(), true)));
    let table = Table {
        caption:
            "Normalised scores over all environments and seeds. A small optimality gap is good."
                .into(),
        columns,
        rows: rows.collect(),
    };
    let ends = all.iter().flat_map(|figures| {
        let Estimate { value, interval } = figures[0];
        interval.map_or([value, value], |range| [range.low, range.high])
    });
    let x = Axis::around("interquartile mean of normalised scores", ends.chain([0.0, 1.0]));
    let count = ranked.len() as f64;
    let y = Axis { label: String::new(), min: -0.5, max: count - 0.5, ticks: Ticks::Rows };
    let mut layers = Vec::new();
    for (row, (one, figures)) in ranked.iter().zip(&all).enumerate() {
        let y = count - 1.0 - row as f64;
        let data = vec![("series", one.number as u64)];
        let class = one.series.class.clone();
        let Estimate { value, interval } = figures[0];
        layers.push(Layer::RowLabel { y, text: one.series.label.clone() });
        if let Some(range) = interval {
            let points = vec![(range.low, y), (range.high, y)];
            layers.push(Layer::Line { class: format!("mean {class}"), points, data: data.clone() });
        }
        layers.push(Layer::Dots { class: format!("mean {class}"), points: vec![(value, y)], data });
    }
    let chart = Chart {
        description:
            "The interquartile mean of each agent's normalised scores, with its 95 % interval"
                .into(),
        x,
        y,
        layers,
    };
    let height = 70 + 34 * ranked.len() as u32;
    Ok(Figure {
        id: "suite-scores".into(),
        title: "Normalised scores".into(),
        caption: "Interquartile mean (IQM) over all environments and seeds with its 95 % interval."
            .into(),
        svgs: chart.svgs(&FULL.map(|size| Size { height, ..size }))?,
        table: Some(table),
        ..Figure::default()
    })
}

fn range_of(range: Interval) -> String {
    format!("{} – {}", format::fixed(range.low, 2), format::fixed(range.high, 2))
}

/// The share of environments and seeds with a score above any.
fn profile(ranked: &[Ranked<'_>]) -> anyhow::Result<Option<Figure>> {
    // What is far worse than random would leave no room for the others.
    let scores = ranked.iter().flat_map(|one| one.scores.concat()).map(|score| score.max(WORST));
    let x = Axis::around("normalised score", scores);
    let thresholds: Vec<f64> =
        (0..POINTS).map(|i| x.min + (x.max - x.min) * i as f64 / (POINTS - 1) as f64).collect();
    let columns = [0.0, 0.25, 0.5, 0.75, 1.0];
    let lines = ranked.iter().map(|one| {
        let profile = suite::performance_profile(one.scores, &thresholds);
        let points = thresholds.iter().copied().zip(profile).collect();
        let rank = Rank::By(one.iqm());
        PlotLine { rank, ..PlotLine::plain(one.number, &one.series, vec![points]) }
    });
    let rows = ranked.iter().map(|one| {
        let shares = suite::performance_profile(one.scores, &columns);
        let cells = shares.iter().map(|share| Cell::new(format!("{:.0} %", share * 100.0)));
        Row { cells: std::iter::once(one.series.cell()).chain(cells).collect(), class: "" }
    });
    let mut titles = vec![("agent".to_owned(), false)];
    titles.extend(columns.map(|at| (format!("above {}", format::number(at)), true)));
    let title = "Share of environments and seeds above a score";
    let table = Table { caption: title.into(), columns: titles, rows: rows.collect() };
    let plot = Plot {
        id: "suite-profile".into(),
        title: title.into(),
        caption:
            "A line further up and to the right is better; the area below it is the mean score."
                .into(),
        y: "share above".into(),
        share: true,
        x: vec![Horizontal {
            word: "score".into(),
            label: "normalised score".into(),
            range: Some((x.min, x.max)),
            ..Horizontal::default()
        }],
        lines: lines.collect(),
        ..Plot::default()
    };
    let figure = plot.figure(&FULL.map(|size| Size { height: size.height * 4 / 5, ..size }))?;
    Ok(figure.map(|figure| Figure { table: Some(table), ..figure }))
}

/// Scores against the share of training that is over.
fn efficiency(ranked: &[Ranked<'_>]) -> anyhow::Result<Option<Figure>> {
    let scaled = |one: &Ranked| -> Vec<Point> {
        one.agent.efficiency.iter().map(|point| Point { x: 100.0 * point.x, ..*point }).collect()
    };
    let lines = (ranked.iter())
        .filter(|one| one.agent.learns && !one.agent.efficiency.is_empty())
        .map(|one| PlotLine::new(one.number, &one.series, vec![scaled(one)]));
    let plot = Plot {
        id: "suite-efficiency".into(),
        title: "Sample efficiency".into(),
        caption: "Interquartile mean over all environments and seeds, by the evaluations during training. Trainings of \
                  different lengths are put together by the share of each that is over."
            .into(),
        y: "normalised score".into(),
        x: vec![Horizontal {
            word: "training".into(),
            label: "per cent of training".into(),
            ..Horizontal::default()
        }],
        lines: lines.collect(),
        ..Plot::default()
    };
    plot.figure(&FULL)
}

/// How probable it is that an agent does better than the one that others are held against.
fn improvements(report: &Report, ranked: &[Ranked<'_>]) -> Option<Table> {
    let base = report.base()?;
    let run = report.whole_of(base.run);
    let base = ranked.iter().find(|one| one.agent.name == base.name && one.agent.run == run)?;
    let percent = |value: f64| format!("{:.0} %", value * 100.0);
    let rows = ranked.iter().filter(|one| one.number != base.number).map(|one| {
        let found = suite::improvement(one.scores, base.scores);
        let (value, interval) = found.map_or((f64::NAN, None), |found| found);
        let range = interval.map_or("–".into(), |range| {
            format!("{} – {}", percent(range.low), percent(range.high))
        });
        Row {
            cells: vec![one.series.cell(), Cell::new(percent(value)), Cell::new(range)],
            class: if one.agent.learns { "" } else { "baseline" },
        }
    });
    let rows: Vec<Row> = rows.collect();
    (!rows.is_empty()).then(|| Table {
        caption: format!(
            "P(improvement): the probability that an agent does better than {} in a random environment, with random seeds \
             of both (Mann–Whitney, averaged over environments).",
            base.series.label
        ),
        columns: vec![
            ("agent".into(), false),
            ("P(improvement)".into(), true),
            ("95 % interval".into(), true),
        ],
        rows,
    })
}

/// Mean returns, an agent a row and an environment a column.
fn returns(report: &Report, scores: &SuiteScores) -> Table {
    let mut columns = vec![("agent".to_owned(), false)];
    columns.extend(scores.environments.iter().map(|one| (one.name.clone(), true)));
    let decimals: Vec<usize> = (0..scores.environments.len())
        .map(|index| {
            format::decimals(scores.agents.iter().flat_map(|agent| agent.returns[index].clone()))
        })
        .collect();
    let rows = scores.agents.iter().map(|agent| {
        let swatch = report.series_of(agent).map(|series| series.class).unwrap_or_default();
        let mut cells = vec![Cell { swatch, ..Cell::new(agent.label.clone()) }];
        cells.extend(agent.returns.iter().zip(&decimals).map(|(seeds, &decimals)| {
            let cell = Cell::number(stats::mean(seeds), decimals);
            let interval = Bootstrap::default().interval(seeds, stats::mean);
            interval.map_or(cell.clone(), |range| {
                let ends = [range.low, range.high].map(|end| format::fixed(end, decimals));
                cell.with_note(ends.join(" – "))
            })
        }));
        Row { cells, class: if agent.learns { "" } else { "baseline" } }
    });
    Table {
        caption: format!("Mean return of {}, with the 95 % interval over seeds.", report.scored()),
        columns,
        rows: rows.collect(),
    }
}

/// What each environment's returns are normalised by.
fn ranges(report: &Report, scores: &SuiteScores) -> Table {
    let cell = |end: Option<(f64, &'static str)>| match end {
        Some((value, source)) => Cell::new(format::number(value)).with_note(source.to_owned()),
        None => Cell::new("–"),
    };
    let rows = scores.environments.iter().map(|one| Row {
        cells: vec![Cell::new(one.name.clone()), cell(one.random), cell(one.reference)],
        class: "",
    });
    let of = if report.several() { format!(" in run {}", report.names[0]) } else { String::new() };
    Table {
        caption: format!(
            "Returns that count as 0 and 1{of}, and where they are from. The experiment can state others (scores)."
        ),
        columns: vec![
            ("environment".into(), false),
            ("random".into(), true),
            ("reference".into(), true),
        ],
        rows: rows.collect(),
    }
}

//! Learning curves: what training and evaluations during it returned.

use serde_json::{Value, json};

use super::Section;
use crate::format;
use crate::report::block::{Block, Cell, Figure, Row, Table, Variant};
use crate::report::chart::{Axis, Chart, FULL, Layer, Size};
use crate::report::model::{Report, Series};
use crate::results::aggregate::{self, Against, Point};
use crate::results::{AgentSummary, Curve};

/// Points that all seeds' lines in one drawing have together: what a page still opens with at once.
const LINE_BUDGET: usize = 9000;
/// With more lines than this in one drawing, each is fainter.
const CROWD: usize = 30;
/// With more seeds than this, there are no switches for single ones.
const MOST_SEED_SWITCHES: usize = 60;
/// Rows of the table below a chart.
const TABLE_ROWS: usize = 11;

/// The section.
pub(super) struct Curves;

impl Section for Curves {
    fn id(&self) -> &'static str {
        "learning"
    }

    fn title(&self) -> &'static str {
        "Learning curves"
    }

    fn lead(&self, _: &Report) -> String {
        "Thin lines are seeds; thick lines are their interquartile mean with its 95 % bootstrap interval.".into()
    }

    fn compares(&self) -> bool {
        true
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let mut windows: Vec<usize> =
            report.learners().map(|(_, series)| report.summary(series).curve_window).collect();
        windows.sort_unstable();
        windows.dedup();
        let over = format::list(&windows.iter().map(ToString::to_string).collect::<Vec<_>>());
        let training = figure(
            report,
            "training-return",
            "Training return",
            format!(
                "Each point is the mean over the last {over} training episodes, exploration included. A seed \
                 that stopped early goes on at its last value."
            ),
            |agent| agent.seeds.iter().map(|seed| seed.curve.clone()).collect(),
        )?;
        let evaluation = figure(
            report,
            "evaluation-return",
            "Evaluation return during training",
            "Each point is the mean return of one evaluation; all of them play the same episodes, but those before \
             and after training others, which the table of the evaluation is about."
                .into(),
            |agent| agent.evaluation_curves().unwrap_or_default(),
        )?;
        Ok([training, evaluation].into_iter().flatten().map(Block::Figure).collect())
    }
}

/// One series, ready to be drawn against something.
struct Lines<'a> {
    number: usize,
    series: &'a Series,
    seeds: Vec<(u64, Vec<(f64, f64)>)>,
    middle: Vec<Point>,
}

fn figure(
    report: &Report,
    id: &str,
    title: &str,
    caption: String,
    curves: impl Fn(&AgentSummary) -> Vec<Curve>,
) -> anyhow::Result<Option<Figure>> {
    let mut variants = Vec::new();
    let mut table = None;
    let mut legend = Vec::new();
    let mut seeds = Vec::new();
    for against in Against::ALL {
        let lines: Vec<Lines<'_>> = report
            .learners()
            .map(|(number, series)| {
                let agent = report.summary(series);
                let seeds: Vec<_> = (agent.seeds.iter().zip(curves(agent)))
                    .map(|(seed, curve)| (seed.seed, against.points(&curve)))
                    .filter(|(_, points)| !points.is_empty())
                    .collect();
                let points: Vec<_> = seeds.iter().map(|(_, points)| points.clone()).collect();
                Lines { number, series, seeds, middle: aggregate::over_seeds(&points) }
            })
            .filter(|lines| !lines.seeds.is_empty())
            .collect();
        if lines.is_empty() {
            return Ok(None);
        }
        if table.is_none() {
            table = Some(data_table(title, against, &lines));
            legend = lines.iter().map(|lines| lines.series.legend(lines.number)).collect();
            seeds = lines.iter().flat_map(|l| l.seeds.iter().map(|(seed, _)| *seed)).collect();
            seeds.sort_unstable();
            seeds.dedup();
        }
        let mut svgs = Vec::new();
        for size in FULL {
            svgs.push(chart(title, against, &lines, report.threshold(), size).svg(size)?);
        }
        variants.push(Variant {
            label: against.word().into(),
            svgs,
            hover: hover(against, &lines),
        });
    }
    if seeds.len() < 2 || seeds.len() > MOST_SEED_SWITCHES {
        seeds.clear();
    }
    Ok(Some(Figure { id: id.into(), title: title.into(), caption, variants, legend, seeds, table }))
}

fn chart(
    title: &str,
    against: Against,
    lines: &[Lines<'_>],
    threshold: Option<f64>,
    size: Size,
) -> Chart {
    let count: usize = lines.iter().map(|lines| lines.seeds.len()).sum();
    let each = (LINE_BUDGET / count.max(1)).clamp(24, size.width as usize / 3);
    let all = || lines.iter().flat_map(|lines| lines.seeds.iter().flat_map(|(_, points)| points));
    let end = all().map(|&(x, _)| x).fold(0.0, f64::max);
    let mut layers = Vec::new();
    for lines in lines {
        let data = vec![("series", lines.number as u64)];
        if lines.seeds.len() > 1 {
            let points =
                lines.middle.iter().map(|point| (point.x, point.low, point.high)).collect();
            layers.push(Layer::Band {
                class: format!("band {}", lines.series.class),
                points,
                data,
            });
        }
    }
    for lines in lines {
        for (seed, points) in &lines.seeds {
            layers.push(Layer::Line {
                class: format!(
                    "seed {}{}",
                    lines.series.class,
                    if count > CROWD { " crowd" } else { "" }
                ),
                points: aggregate::thinned(points, each),
                data: vec![("series", lines.number as u64), ("seed", *seed)],
            });
        }
    }
    if let Some(threshold) = threshold {
        layers.push(Layer::Rule {
            y: threshold,
            label: format!("reward threshold {}", format::number(threshold)),
        });
    }
    for lines in lines {
        let data = vec![("series", lines.number as u64)];
        let class = format!("mean {}", lines.series.class);
        let points: Vec<_> = lines.middle.iter().map(|point| (point.x, point.middle)).collect();
        layers.push(match points.len() {
            1 => Layer::Dots { class, points, data },
            _ => Layer::Line { class, points, data },
        });
    }
    let names: Vec<_> = lines.iter().map(|lines| lines.series.label.clone()).collect();
    Chart {
        description: format!(
            "{title} against {} for {}; the table below has the numbers",
            against.label(),
            format::list(&names)
        ),
        x: Axis::from_zero(against.label(), end),
        y: Axis::around("return", all().map(|&(_, y)| y).chain(threshold)),
        layers,
    }
}

/// What the page's script shows under the pointer.
fn hover(against: Against, lines: &[Lines<'_>]) -> Value {
    let number = |value: f64| json!((value * 1e4).round() / 1e4);
    let column = |middle: &[Point], of: fn(&Point) -> f64| -> Value {
        middle.iter().map(|point| number(of(point))).collect()
    };
    let series: Vec<Value> = lines
        .iter()
        .map(|lines| {
            json!({
                "series": lines.number,
                "label": lines.series.label,
                "class": lines.series.class,
                "x": column(&lines.middle, |point| point.x),
                "y": column(&lines.middle, |point| point.middle),
                "low": column(&lines.middle, |point| point.low),
                "high": column(&lines.middle, |point| point.high),
            })
        })
        .collect();
    json!({ "unit": against.word(), "series": series })
}

fn data_table(title: &str, against: Against, lines: &[Lines<'_>]) -> Table {
    let end = lines.iter().flat_map(|l| l.middle.last()).map(|point| point.x).fold(0.0, f64::max);
    let mut columns = vec![(against.label().to_owned(), true)];
    columns.extend(lines.iter().map(|lines| (lines.series.label.clone(), true)));
    let rows = (0..TABLE_ROWS).map(|row| {
        let x = end * row as f64 / (TABLE_ROWS - 1) as f64;
        let mut cells = vec![Cell::new(format::number(x))];
        for lines in lines {
            let near = lines.middle.iter().rev().find(|point| point.x <= x * (1.0 + 1e-9));
            cells.push(near.map_or(Cell::new("–"), |point| {
                let cell = Cell::new(format::number(point.middle));
                let range =
                    format!("{} to {}", format::number(point.low), format::number(point.high));
                if lines.seeds.len() > 1 { cell.with_note(range) } else { cell }
            }));
        }
        Row { cells, class: "" }
    });
    Table {
        caption: format!("{title}: interquartile mean over seeds, and its 95 % interval"),
        columns,
        rows: rows.collect(),
    }
}

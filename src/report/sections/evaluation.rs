//! The evaluation after training, with policies that do not learn as baselines.

use super::Section;
use crate::format;
use crate::report::block::{Block, Cell, Figure, Row, Table};
use crate::report::chart::{Axis, Chart, FULL, Layer, Size, Ticks};
use crate::report::model::{Report, Series};
use crate::stats::{self, Bootstrap};

/// Bars of a distribution.
const BINS: usize = 48;
/// With more agents than this, distributions say less than the table.
const MOST_ROWS: usize = 40;

/// The section.
pub(super) struct Evaluation;

impl Section for Evaluation {
    fn id(&self) -> &'static str {
        "evaluation"
    }

    fn title(&self) -> &'static str {
        "Evaluation"
    }

    fn lead(&self, report: &Report) -> String {
        if report.runs.iter().any(|run| run.plan.is_imported()) {
            return "Agents that were imported played the episodes that their own programs chose; how many, and on which \
                    seeds, those do not all tell."
                .into();
        }
        "Every agent plays the same episodes, none of which occur in training.".into()
    }

    fn compares(&self) -> bool {
        true
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let series: Vec<_> = report
            .series
            .iter()
            .enumerate()
            .filter(|(_, series)| !series.scores.is_empty())
            .collect();
        if series.is_empty() {
            return Ok(Vec::new());
        }
        let mut blocks = vec![Block::Table(table(report, &series))];
        if series.len() <= MOST_ROWS {
            blocks.push(Block::Figure(distribution(report, &series)?));
        }
        Ok(blocks)
    }
}

fn table(report: &Report, series: &[(usize, &Series)]) -> Table {
    let all: Vec<Vec<f64>> =
        series.iter().map(|(_, series)| report.final_returns(series)).collect();
    let decimals = format::decimals(all.iter().flatten().copied());
    let baseline = series
        .iter()
        .filter(|(_, series)| !series.learns)
        .filter_map(|(_, series)| series.mean())
        .max_by(f64::total_cmp);
    let before = series.iter().any(|(_, series)| !series.before.is_empty());
    let mut columns =
        vec![("agent".to_owned(), false), ("seeds".into(), true), ("episodes".into(), true)];
    if before {
        columns.push(("before".into(), true));
    }
    for title in ["mean", "95 % interval", "IQM", "std", "min", "max"] {
        columns.push((title.into(), true));
    }
    if baseline.is_some() {
        columns.push(("over baseline".into(), true));
    }
    let rows = series.iter().zip(&all).map(|((_, series), returns)| {
        let mut cells = vec![
            Cell { note: kind(report, series), ..series.cell() },
            Cell::new(format::count(series.scores.len() as u64)),
            Cell { note: cut(report, series), ..Cell::new(format::count(returns.len() as u64)) },
        ];
        if before {
            cells.push(Cell::number(stats::mean(&series.before), decimals));
        }
        let interval = Bootstrap::default().interval(&series.scores, stats::mean);
        cells.push(Cell::number(series.mean(), decimals));
        cells.push(Cell::new(interval.map_or("–".into(), |interval| {
            format!(
                "{} – {}",
                format::fixed(interval.low, decimals),
                format::fixed(interval.high, decimals)
            )
        })));
        cells.push(Cell::number(stats::interquartile_mean(&series.scores), decimals));
        cells.push(Cell::number(stats::sample_std(returns), decimals));
        cells.push(Cell::number(returns.iter().copied().min_by(f64::total_cmp), decimals));
        cells.push(Cell::number(returns.iter().copied().max_by(f64::total_cmp), decimals));
        if let Some(baseline) = baseline {
            let over = stats::difference_of_means(&[baseline], &series.scores);
            let over = over.filter(|_| series.learns);
            let mut cell = Cell::number(over, decimals);
            if over.is_some_and(|over| over > 0.0) {
                cell.text.insert(0, '+');
            }
            cells.push(cell);
        }
        Row { cells, class: if series.learns { "" } else { "baseline" } }
    });
    Table {
        caption: format!(
            "Returns of {}. Mean, interquartile mean (IQM) and the bootstrap interval of the mean are over seeds, standard \
             deviation and extremes over all {}.",
            report.scored(),
            if report.is_evaluated() { "episodes" } else { "returns" }
        ),
        columns,
        rows: rows.collect(),
    }
}

/// How many of an agent's episodes were cut, where any was.
fn cut(report: &Report, series: &Series) -> String {
    let seeds = || report.summary(series).seeds.iter().filter(|seed| seed.final_cut > 0);
    let episodes: usize = seeds().map(|seed| seed.final_cut).sum();
    let steps = seeds().flat_map(|seed| seed.final_lengths.iter().copied()).max();
    steps.map_or_else(String::new, |steps| {
        format!("{} cut after {} steps", format::count(episodes as u64), format::count(steps))
    })
}

/// What kind of agent it is, in a word or two.
fn kind(report: &Report, series: &Series) -> String {
    use crate::results::PolicyKind;
    match (report.summary(series).policy, series.learns) {
        (PolicyKind::Random, _) => "random baseline".into(),
        (PolicyKind::HardCoded, _) => "hard-coded baseline".into(),
        (PolicyKind::Planning, _) => "plans on the simulator".into(),
        (PolicyKind::External, _) => "own program".into(),
        (PolicyKind::Neural, false) => "untrained network".into(),
        (PolicyKind::Tabular, false) => "untrained table".into(),
        (PolicyKind::Trainer, _) => "trained by a script".into(),
        (PolicyKind::Imported, _) => {
            format!("imported: {}", report.summary(series).final_score.words())
        }
        (PolicyKind::Neural | PolicyKind::Tabular, true) => String::new(),
    }
}

fn distribution(report: &Report, series: &[(usize, &Series)]) -> anyhow::Result<Figure> {
    let returns: Vec<Vec<f64>> = (series.iter())
        .map(|(_, series)| {
            report.final_returns(series).into_iter().filter(|r| r.is_finite()).collect()
        })
        .collect();
    let (of, all) = match report.is_evaluated() {
        true => ("return of an evaluation episode", "evaluation episodes"),
        false => ("return", "returns that scores are of"),
    };
    let mut x = Axis::around(of, returns.iter().flatten().copied());
    // The last bar needs room to the right of the largest return.
    x.max += (x.max - x.min) / BINS as f64;
    let rows = series.len() as f64;
    let mut layers = Vec::new();
    let mut table_rows = Vec::new();
    for (row, ((number, series), returns)) in series.iter().zip(&returns).enumerate() {
        let base = rows - 1.0 - row as f64;
        let data = vec![("series", *number as u64)];
        layers.push(Layer::RowLabel { y: base + 0.3, text: series.label.clone() });
        layers.push(Layer::Line {
            class: "grid".into(),
            points: vec![(x.min, base), (x.max, base)],
            data: vec![],
        });
        let bins = histogram(returns, x.min, x.max);
        let tallest = bins.iter().copied().max().unwrap_or(0).max(1) as f64;
        let width = (x.max - x.min) / BINS as f64;
        let steps = bins.iter().enumerate().flat_map(|(bin, &count)| {
            let height = base + 0.86 * count as f64 / tallest;
            let left = x.min + bin as f64 * width;
            [(left, base, height), (left + width, base, height)]
        });
        layers.push(Layer::Band {
            class: format!("ridge {}", series.class),
            points: steps.collect(),
            data: data.clone(),
        });
        if let Some(median) = stats::median(returns) {
            layers.push(Layer::Line {
                class: "median".into(),
                points: vec![(median, base), (median, base + 0.86)],
                data,
            });
        }
        let quantile =
            |q| Cell::new(stats::quantile(returns, q).map_or("–".into(), format::number));
        let mut cells = vec![series.cell()];
        cells.extend([0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0].map(quantile));
        table_rows.push(Row { cells, class: "" });
    }
    let y = Axis { label: String::new(), min: 0.0, max: rows, ticks: Ticks::Rows };
    let chart = Chart {
        description:
            "Distribution of evaluation returns for each agent; the table below has the quantiles"
                .into(),
        x,
        y,
        layers,
    };
    let sizes = FULL.map(|size| Size { height: 64 + 40 * series.len() as u32, ..size });
    let mut columns = vec![("agent".to_owned(), false)];
    columns.extend(
        ["min", "5 %", "25 %", "median", "75 %", "95 %", "max"].map(|c| (c.to_owned(), true)),
    );
    Ok(Figure {
        id: "return-distribution".into(),
        title: "Distribution of returns".into(),
        caption: format!(
            "All {all} of all seeds; each row is scaled to its own tallest bar. The upright line is the median."
        ),
        svgs: chart.svgs(&sizes)?,
        table: Some(Table {
            caption: "Quantiles of the evaluation returns".into(),
            columns,
            rows: table_rows,
        }),
        ..Figure::default()
    })
}

/// How many values fall into each of [`BINS`] equal parts.
fn histogram(values: &[f64], min: f64, max: f64) -> [usize; BINS] {
    let mut bins = [0; BINS];
    for value in values {
        let place = (value - min) / (max - min) * BINS as f64;
        bins[(place as usize).min(BINS - 1)] += 1;
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bin() {
        let bins = histogram(&[0.0, 0.0, 5.0, 10.0], 0.0, 10.0);
        assert_eq!((bins[0], bins[BINS / 2], bins[BINS - 1]), (2, 1, 1));
    }
}

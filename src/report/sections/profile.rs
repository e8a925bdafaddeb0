//! The performance profile: how many seeds do better than any given return.

use super::Section;
use crate::report::block::{Block, Cell, Figure, Row, Table};
use crate::report::chart::{Axis, FULL, Size};
use crate::report::model::Report;
use crate::report::plot::{Horizontal, Plot, PlotLine, Rank};
use crate::{format, stats};

/// Points of a profile.
const POINTS: usize = 150;

/// The section.
pub(super) struct Profile;

impl Section for Profile {
    fn id(&self) -> &'static str {
        "profile"
    }

    fn title(&self) -> &'static str {
        "Performance profile"
    }

    fn lead(&self, _: &Report) -> String {
        "A line further up and to the right is better; where lines cross, the better agent depends on the \
         return you need."
            .into()
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
        // With one seed each, a profile is a step at the mean.
        if series.iter().all(|(_, series)| series.scores.len() < 2) {
            return Ok(Vec::new());
        }
        let scores = series.iter().flat_map(|(_, series)| series.scores.iter().copied());
        let x = Axis::around("mean return of a seed's evaluation", scores);
        let thresholds: Vec<f64> =
            (0..POINTS).map(|i| x.min + (x.max - x.min) * i as f64 / (POINTS - 1) as f64).collect();
        let mut lines = Vec::new();
        let mut rows = Vec::new();
        let columns: Vec<f64> =
            (0..6).map(|i| x.min + (x.max - x.min) * f64::from(i) / 5.0).collect();
        for (number, series) in &series {
            let profile = stats::performance_profile(&series.scores, &thresholds);
            let points = vec![steps(&thresholds, &profile)];
            let rank = Rank::By(series.mean());
            lines.push(PlotLine { rank, ..PlotLine::plain(*number, series, points) });
            let mut cells = vec![series.cell()];
            let shares = stats::performance_profile(&series.scores, &columns);
            cells.extend(shares.iter().map(|share| Cell::new(format!("{:.0} %", share * 100.0))));
            rows.push(Row { cells, class: "" });
        }
        let plot = Plot {
            id: "performance-profile".into(),
            title: "Share of seeds above a return".into(),
            y: "share of seeds above".into(),
            share: true,
            x: vec![Horizontal {
                word: "return".into(),
                label: "mean return of a seed's evaluation".into(),
                range: Some((x.min, x.max)),
                ..Horizontal::default()
            }],
            lines,
            ..Plot::default()
        };
        let sizes = FULL.map(|size| Size { height: size.height * 4 / 5, ..size });
        let mut titles = vec![("agent".to_owned(), false)];
        titles.extend(columns.iter().map(|at| (format!("above {}", format::number(*at)), true)));
        let table =
            Table { caption: "Share of seeds above a return".into(), columns: titles, rows };
        let figure = plot.figure(&sizes)?;
        let figure = figure.map(|figure| Figure { table: Some(table), ..figure });
        Ok(figure.into_iter().map(Block::Figure).collect())
    }
}

/// Corners of a falling staircase.
fn steps(xs: &[f64], ys: &[f64]) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (&x, &y) in xs.iter().zip(ys) {
        match points.last() {
            Some(&(_, last)) if last == y => continue,
            Some(&(_, last)) => points.push((x, last)),
            None => {}
        }
        points.push((x, y));
    }
    if let (Some(&x), Some(&(_, y))) = (xs.last(), points.last()) {
        points.push((x, y));
    }
    points
}

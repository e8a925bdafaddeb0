//! Training diagnostics: what the algorithm reported of each update.

use indexmap::IndexSet;
use serde_json::Value;

use super::Section;
use crate::report::block::{Block, Figure, Variant};
use crate::report::chart::{Axis, Chart, Layer, SMALL};
use crate::report::model::Report;
use crate::results::aggregate::{self, Against};

/// The section.
pub(super) struct Diagnostics;

impl Section for Diagnostics {
    fn id(&self) -> &'static str {
        "diagnostics"
    }

    fn title(&self) -> &'static str {
        "Training diagnostics"
    }

    fn lead(&self, _: &Report) -> String {
        "What the algorithms reported of their updates, against environment steps: interquartile mean and 95 % \
         interval over seeds."
            .into()
    }

    fn compares(&self) -> bool {
        true
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let names: IndexSet<&str> = (report.runs.iter().flat_map(|run| &run.trials))
            .flat_map(|trial| trial.metrics.keys().map(String::as_str))
            .collect();
        let figures =
            names.iter().map(|name| figure(report, name)).collect::<anyhow::Result<Vec<_>>>()?;
        let figures: Vec<_> = figures.into_iter().flatten().collect();
        Ok(if figures.is_empty() { Vec::new() } else { vec![Block::Grid { figures }] })
    }
}

fn figure(report: &Report, name: &str) -> anyhow::Result<Option<Figure>> {
    let mut layers = Vec::new();
    let mut lines = Vec::new();
    let (mut end, mut values) = (0.0_f64, Vec::new());
    for (number, series) in report.learners() {
        let curves: Vec<_> = (report.trials(series))
            .filter_map(|trial| Some(Against::Steps.points(trial.metrics.get(name)?)))
            .collect();
        let middle = aggregate::over_seeds(&curves);
        let Some(last) = middle.last() else { continue };
        end = end.max(last.x);
        values.extend(middle.iter().flat_map(|point| [point.low, point.high]));
        let data = vec![("series", number as u64)];
        if curves.len() > 1 {
            let points = middle.iter().map(|p| (p.x, p.low, p.high)).collect();
            layers.push(Layer::Band {
                class: format!("band {}", series.class),
                points,
                data: data.clone(),
            });
        }
        let points: Vec<_> = middle.iter().map(|point| (point.x, point.middle)).collect();
        let class = format!("mean {}", series.class);
        lines.push(match points.len() {
            1 => Layer::Dots { class, points, data },
            _ => Layer::Line { class, points, data },
        });
    }
    if lines.is_empty() {
        return Ok(None);
    }
    layers.extend(lines);
    let title = title(name);
    let chart = Chart {
        description: format!("{title} against environment steps"),
        x: Axis::from_zero("", end),
        y: Axis::around("", values),
        layers,
    };
    let variant = Variant::draw("", &chart, &SMALL, Value::Null)?;
    Ok(Some(Figure { id: String::new(), title, variants: vec![variant], ..Figure::default() }))
}

/// `gradient_norm` → "Gradient norm"; names that are already the field's stay as they are otherwise.
fn title(name: &str) -> String {
    let words = name.replace(['_', '/'], " ");
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

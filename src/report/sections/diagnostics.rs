//! Training diagnostics: what the algorithm reported of each update.

use indexmap::IndexSet;

use super::Section;
use crate::report::block::{Block, Figure};
use crate::report::chart::SMALL;
use crate::report::model::Report;
use crate::report::plot::{Plot, PlotLine};
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
        let figures = names.iter().map(|name| figure(report, name));
        let figures: Vec<Figure> =
            figures.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect();
        if figures.is_empty() {
            return Ok(Vec::new());
        }
        let legend = report.learners().map(|(number, series)| series.legend(number)).collect();
        let label = "Training diagnostics".into();
        Ok(vec![Block::Grid { label, legend, figures }])
    }
}

fn figure(report: &Report, name: &str) -> anyhow::Result<Option<Figure>> {
    let lines = report.learners().filter_map(|(number, series)| {
        let curves: Vec<_> = (report.trials(series))
            .filter_map(|trial| Some(Against::Steps.points(trial.metrics.get(name)?)))
            .collect();
        let middle = aggregate::over_seeds(&curves);
        (!middle.is_empty()).then(|| PlotLine::new(number, series, vec![middle]))
    });
    let plot = Plot {
        id: format!("diagnostics-{}", anchor(name)),
        title: title(name),
        y: name.to_owned(),
        x: vec![Against::Steps.into()],
        lines: lines.collect(),
        ..Plot::default()
    };
    let figure = plot.figure(&SMALL)?;
    // The charts of a grid have one legend.
    Ok(figure.map(|figure| Figure { legend: Vec::new(), ..figure }))
}

/// A name as a part of an address.
fn anchor(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// `gradient_norm` → "Gradient norm"; names that are already the field's stay as they are otherwise.
fn title(name: &str) -> String {
    let words = name.replace(['_', '/'], " ");
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

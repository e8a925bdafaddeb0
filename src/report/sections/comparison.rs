//! Several runs side by side: differences and the probability of improvement.

use super::Section;
use crate::format;
use crate::report::block::{Block, Cell, Row, Table};
use crate::report::model::{Report, Series, letter};
use crate::stats::{self, Bootstrap};

/// The section.
pub(super) struct Comparison;

impl Section for Comparison {
    fn id(&self) -> &'static str {
        "comparison"
    }

    fn title(&self) -> &'static str {
        "Comparison"
    }

    fn lead(&self, report: &Report) -> String {
        if report.environments().len() > 1 {
            return "Runs are compared with those of the same environment.".into();
        }
        let hash = report.runs.first().map(|run| &run.summary.settings_hash);
        let same = report.runs.iter().all(|run| Some(&run.summary.settings_hash) == hash);
        match same {
            true => {
                "All runs have the same settings: differences come from code, seeds or machine."
                    .into()
            }
            false => "The runs' settings differ; see Settings below.".into(),
        }
    }

    fn compares(&self) -> bool {
        true
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        if !report.several() {
            return Ok(Vec::new());
        }
        let (first_run, last_run) = report.ends();
        if first_run == last_run {
            let run = letter(first_run);
            return Ok(vec![Block::text(format!("Only run {run} is of this environment."))]);
        }
        let first = report.series.iter().filter(|series| series.run == first_run);
        let all = report.series.iter().flat_map(|series| series.scores.iter().copied());
        let decimals = format::decimals(all);
        let mut rows = Vec::new();
        for old in first {
            for new in
                report.series.iter().filter(|new| new.run > first_run && new.name == old.name)
            {
                rows.push(row(old, new, decimals));
            }
        }
        if rows.is_empty() {
            return Ok(vec![Block::text("The runs have no agent in common.")]);
        }
        let columns = [
            ("agent", false),
            ("first mean", true),
            ("then", true),
            ("difference", true),
            ("95 % interval", true),
            ("P(improvement)", true),
        ];
        Ok(vec![Block::Table(Table {
            caption: "Mean evaluation return over seeds, run by run. P(improvement) is the probability that a random \
                      seed of the later run does better than one of the first (Mann–Whitney), with its bootstrap \
                      interval."
                .into(),
            columns: columns.map(|(title, number)| (title.to_owned(), number)).into(),
            rows,
        })])
    }
}

fn row(old: &Series, new: &Series, decimals: usize) -> Row {
    let bootstrap = Bootstrap::default();
    let difference = stats::difference_of_means(&old.scores, &new.scores);
    let interval = bootstrap.stratified(&[&old.scores, &new.scores], |strata| {
        stats::difference_of_means(&strata[0], &strata[1])
    });
    let improvement = stats::probability_of_improvement(&new.scores, &old.scores);
    let range = bootstrap.improvement(&new.scores, &old.scores);
    let signed = |value: f64| {
        format!("{}{}", if value > 0.0 { "+" } else { "" }, format::fixed(value, decimals))
    };
    let percent = |value: f64| format!("{:.0} %", value * 100.0);
    let mut probability = Cell::new(improvement.map_or("–".into(), percent));
    if let Some(range) = range {
        probability =
            probability.with_note(format!("{} – {}", percent(range.low), percent(range.high)));
    }
    Row {
        cells: vec![
            Cell { swatch: new.class.clone(), ..Cell::new(new.name.clone()) }.with_note(format!(
                "{} → {}",
                letter(old.run),
                letter(new.run)
            )),
            Cell::number(old.mean(), decimals),
            Cell::number(new.mean(), decimals),
            Cell::new(difference.map_or("–".into(), signed)),
            Cell::new(interval.map_or("–".into(), |interval| {
                format!("{} – {}", signed(interval.low), signed(interval.high))
            })),
            probability,
        ],
        class: "",
    }
}

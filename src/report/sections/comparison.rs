//! Agents and runs held against one another: what was changed, and what became of it.

use super::Section;
use crate::format;
use crate::report::block::{Block, Cell, Row, Table};
use crate::report::differing::{self, Difference, written};
use crate::report::model::{Report, Series};
use crate::results::RunData;
use crate::stats::{self, Bootstrap};

/// Settings that a row names; of more than these it tells the number.
const MOST_NAMED: usize = 3;
/// A table of settings that is longer than this unfolds.
const MOST_OPEN: usize = 16;

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
        let is_imported = |series: &Series| report.imported(series).is_some();
        if report.series.iter().all(is_imported) {
            return "One against the others. What other programs were told, their logs do not say."
                .into();
        }
        if !report.several() {
            return "One agent against the others, and the settings that make the difference."
                .into();
        }
        if report.environments().len() > 1 {
            return "Runs are compared with those of the same environment.".into();
        }
        let hash = report.wholes.first().map(|run| &run.summary.settings_hash);
        let same = report.wholes.iter().all(|run| Some(&run.summary.settings_hash) == hash);
        match same {
            true => {
                "All runs have the same settings: differences come from code, seeds or machine."
                    .into()
            }
            false => "The runs' settings differ, as the table of settings says.".into(),
        }
    }

    fn compares(&self) -> bool {
        true
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        if !report.several() {
            return Ok(ablation(report).into_iter().chain(settings_of_agents(report)).collect());
        }
        let (first_run, last_run) = report.ends();
        if first_run == last_run {
            let run = report.run_name(first_run).unwrap_or_default();
            return Ok(vec![Block::text(format!("Only run {run} is of this environment."))]);
        }
        let run_by_run = run_by_run(report, first_run);
        // Runs without an agent in common can be held against one of them.
        let ablation = (report.base.is_some() || run_by_run.is_none()).then(|| ablation(report));
        let shown = run_by_run.into_iter().chain(ablation.flatten());
        Ok(shown.chain(settings_of_runs(report)).collect())
    }
}

/// Every agent of the first run against itself in the later ones.
fn run_by_run(report: &Report, first_run: usize) -> Option<Block> {
    let decimals = decimals(report);
    let mut rows = Vec::new();
    for old in report.series.iter().filter(|series| series.run == first_run) {
        for new in report.series.iter().filter(|new| new.run > first_run && new.name == old.name) {
            let name = Cell { swatch: new.class.clone(), ..Cell::new(new.name.clone()) };
            let names = [old.run, new.run].map(|run| report.run_name(run).unwrap_or_default());
            let mut cells = vec![name.with_note(names.join(" → "))];
            cells.push(Cell::number(old.mean(), decimals));
            cells.extend(against(old, new, decimals));
            rows.push(Row { cells, class: "" });
        }
    }
    let columns = [("agent", false), ("first mean", true), ("then", true)];
    (!rows.is_empty()).then(|| {
        Block::Table(Table {
            caption: format!(
                "Mean {} over seeds, run by run. P(improvement) is the probability that a random seed of the \
                 later run does better than one of the first (Mann–Whitney), with its bootstrap interval.",
                measured(report)
            ),
            columns: with_difference(&columns),
            rows,
        })
    })
}

/// The others against the base, with the settings that they change in it; within a run only agents that learn, where
/// the reader chose no other.
fn ablation(report: &Report) -> Option<Block> {
    let base = report.base()?;
    let others: Vec<&Series> = (report.series.iter())
        .filter(|other| other.label != base.label && (other.learns || report.base.is_some()))
        .filter(|other| !other.scores.is_empty())
        .collect();
    if others.is_empty() || base.scores.is_empty() {
        return None;
    }
    let decimals = decimals(report);
    let settings = |series: &Series| differing::all(&report.runs[series.run], &series.name);
    let base_settings = settings(base);
    let mut rows = vec![Row {
        cells: vec![
            base.cell().with_note("the base"),
            Cell::default(),
            Cell::number(base.mean(), decimals),
            Cell::default(),
            Cell::default(),
            Cell::default(),
        ],
        class: "baseline",
    }];
    rows.extend(others.iter().map(|other| {
        let changed = differing::differences(&[base_settings.clone(), settings(other)]);
        let told = [base, other].iter().all(|series| report.imported(series).is_none());
        let changed = match changed.len() {
            _ if !told => "not told".to_owned(),
            0 => "nothing".to_owned(),
            1..=MOST_NAMED => {
                let changes: Vec<_> = changed.iter().map(|one| one.change(0, 1)).collect();
                changes.join("; ")
            }
            more => format::plural(more, "setting"),
        };
        let mut cells = vec![other.cell(), Cell::new(changed)];
        cells.extend(against(base, other, decimals));
        Row { cells, class: "" }
    }));
    Some(Block::Table(Table {
        caption: format!(
            "Ablation: mean {} over seeds of each agent, and its difference from {}. P(improvement) is the \
             probability that a random seed of the agent does better than one of {} (Mann–Whitney), with its bootstrap \
             interval.",
            measured(report),
            base.label,
            base.label
        ),
        columns: with_difference(&[("agent", false), ("changed", false), ("mean", true)]),
        rows,
    }))
}

/// What the agents that learn differ in.
fn settings_of_agents(report: &Report) -> Option<Block> {
    let run = &report.runs[report.ends().0];
    let learners: Vec<&Series> = report.series.iter().filter(|series| series.learns).collect();
    let settings: Vec<_> =
        learners.iter().map(|series| differing::agent(run, &series.name)).collect();
    let names: Vec<_> = learners.iter().map(|series| series.label.clone()).collect();
    settings_table(
        "Settings that differ between the agents that learn",
        &names,
        &differing::differences(&settings),
    )
}

/// What the runs of this environment differ in.
fn settings_of_runs(report: &Report) -> Option<Block> {
    let here = |run: &usize| report.series.iter().any(|series| series.run == *run);
    let shown: Vec<usize> = (0..report.runs.len()).filter(here).collect();
    let runs: Vec<&RunData> = shown.iter().map(|&run| &report.runs[run]).collect();
    let names: Vec<_> =
        shown.iter().map(|&run| report.run_name(run).unwrap_or_default().to_owned()).collect();
    settings_table(
        "Settings and circumstances that differ between the runs",
        &names,
        &differing::between(&runs),
    )
}

/// A row for each difference, a column for each side.
fn settings_table(title: &str, sides: &[String], differences: &[Difference]) -> Option<Block> {
    let row = |difference: &Difference| {
        let values = difference.values.iter().map(|value| Cell::code(written(value)));
        Row {
            cells: std::iter::once(Cell::code(difference.path.clone())).chain(values).collect(),
            class: "",
        }
    };
    let sides = sides.iter().map(|name| (name.clone(), false));
    let table = Block::Table(Table {
        caption: title.to_owned(),
        columns: std::iter::once(("setting".to_owned(), false)).chain(sides).collect(),
        rows: differences.iter().map(row).collect(),
    });
    match differences.len() {
        0 => None,
        1..=MOST_OPEN => Some(table),
        many => Some(Block::Details {
            summary: format!("{title}: {}", format::count(many as u64)),
            blocks: vec![table],
        }),
    }
}

/// What the means are of.
fn measured(report: &Report) -> String {
    match report.is_evaluated() {
        true => "evaluation return".to_owned(),
        false => format!("return of {}", report.scored()),
    }
}

fn decimals(report: &Report) -> usize {
    format::decimals(report.series.iter().flat_map(|series| series.scores.iter().copied()))
}

/// `columns`, then those of [`against`] behind the mean.
fn with_difference(columns: &[(&str, bool)]) -> Vec<(String, bool)> {
    let own = [("difference", true), ("95 % interval", true), ("P(improvement)", true)];
    columns.iter().chain(&own).map(|&(title, number)| (title.to_owned(), number)).collect()
}

/// The mean of `new`, its difference from that of `old` with its interval, and the probability of improvement.
fn against(old: &Series, new: &Series, decimals: usize) -> [Cell; 4] {
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
    [
        Cell::number(new.mean(), decimals),
        Cell::new(difference.map_or("–".into(), signed)),
        Cell::new(interval.map_or("–".into(), |interval| {
            format!("{} – {}", signed(interval.low), signed(interval.high))
        })),
        probability,
    ]
}

//! From sections to one HTML file.

use rayon::prelude::*;
use serde::Serialize;

use super::block::{Block, Fact};
use super::model::Report;
use super::sections::{self, SECTIONS, Section};
use super::status::{self, Status};
use super::template;
use crate::format;
use crate::record::RunStatus;

/// What `base.html` shows.
#[derive(Serialize)]
struct Page {
    title: String,
    description: String,
    slate: Vec<Vec<Fact>>,
    /// Nothing where no run goes on.
    live: Option<Status>,
    verdict: sections::verdict::Verdict,
    notes: Vec<String>,
    sections: Vec<Rendered>,
    version: &'static str,
}

/// A rendered section.
#[derive(Serialize)]
struct Rendered {
    id: String,
    title: String,
    lead: String,
    blocks: Vec<Block>,
}

/// The whole page.
///
/// # Errors
/// Fails if a chart cannot be laid out or a template is wrong, both of which are mistakes of this program.
pub(super) fn render(report: &Report) -> anyhow::Result<String> {
    let environments = match report.suite_scores() {
        Some(_) => report.environments(),
        None => Vec::new(),
    };
    let rendered: Vec<Rendered> = chapters(environments.len())
        .par_iter()
        .map(|chapter| match *chapter {
            Chapter::Section(section) => Ok(Rendered {
                id: section.id().to_owned(),
                title: section.title().to_owned(),
                lead: section.lead(report),
                blocks: blocks(section, report)?,
            }),
            Chapter::Environment(index) => environment(report, &environments[index], index + 1),
        })
        .collect::<anyhow::Result<Vec<_>>>()?
        .into_iter()
        .filter(|section| !section.blocks.is_empty())
        .collect();
    let notes: Vec<String> = (report.wholes.iter().zip(&*report.past).enumerate())
        .flat_map(|(index, (run, past))| {
            let place = if report.several() {
                format!("run {}: ", report.names[index])
            } else {
                String::new()
            };
            let notes = run.notes.iter().chain(&past.notes);
            notes.map(move |note| format!("{place}{note}"))
        })
        .collect();
    let page = Page {
        title: title(report),
        description: description(report),
        slate: slate(report),
        live: status::status(report),
        verdict: sections::verdict::verdict(report),
        notes,
        sections: rendered,
        version: env!("CARGO_PKG_VERSION"),
    };
    template::render("base.html", &page)
}

/// What the page has from top to bottom.
enum Chapter {
    Section(&'static dyn Section),
    /// All that compares the agents of one environment of a suite.
    Environment(usize),
}

/// The sections; of a suite of so many environments those that compare are gathered by environment.
fn chapters(environments: usize) -> Vec<Chapter> {
    let mut chapters = Vec::new();
    let mut open = environments > 0;
    for &section in SECTIONS {
        if environments == 0 || !section.compares() {
            chapters.push(Chapter::Section(section));
        } else if std::mem::take(&mut open) {
            chapters.extend((0..environments).map(Chapter::Environment));
        }
    }
    chapters
}

/// What compares the agents of the `number`th environment of a suite.
fn environment(
    report: &Report,
    (task, part): &(&str, Report),
    number: usize,
) -> anyhow::Result<Rendered> {
    let name = part.series.first().and_then(|one| report.environment_name(one.run));
    let name = name.unwrap_or(task);
    let mut blocks = Vec::new();
    for section in SECTIONS.iter().filter(|section| section.compares()) {
        let inside = section.blocks(part)?;
        if !inside.is_empty() {
            blocks.push(Block::Heading { text: section.title().to_owned() });
            blocks.extend(inside.into_iter().map(|block| block.with_suffix(number)));
        }
    }
    Ok(Rendered {
        id: format!("environment-{name}"),
        title: name.to_owned(),
        lead: format!("The agents in {task}."),
        blocks,
    })
}

/// A section's content; where it compares, once for each environment.
pub(super) fn blocks(section: &dyn Section, report: &Report) -> anyhow::Result<Vec<Block>> {
    let environments = report.environments();
    if environments.len() < 2 || !section.compares() {
        return section.blocks(report);
    }
    let mut blocks = Vec::new();
    for (index, (name, part)) in environments.iter().enumerate() {
        let inside = section.blocks(part)?;
        if !inside.is_empty() {
            blocks.push(Block::Heading { text: (*name).to_owned() });
            blocks.extend(inside.into_iter().map(|block| block.with_suffix(index + 1)));
        }
    }
    Ok(blocks)
}

fn title(report: &Report) -> String {
    let mut names: Vec<String> =
        report.wholes.iter().map(|run| run.plan.experiment.name.clone()).collect();
    names.dedup();
    format::list(&names)
}

fn description(report: &Report) -> String {
    let first = report.wholes.first().map(|run| run.plan.experiment.description.clone());
    let same = first.as_ref().is_some_and(|text| {
        report.wholes.iter().all(|run| run.plan.experiment.description == *text)
    });
    first.filter(|_| same).unwrap_or_default()
}

/// What the page is about, at a glance: one line of facts for each run.
fn slate(report: &Report) -> Vec<Vec<Fact>> {
    let line = |(index, run): (usize, &super::RunData)| {
        let mut facts = Vec::new();
        if report.several() {
            facts.push(Fact::new("Run", report.names[index].clone()));
            facts.push(Fact::code("Folder", run.summary.run.clone()));
        } else {
            facts.push(Fact::code("Run", run.summary.run.clone()));
            facts.extend(run.summary.label.as_ref().map(|label| Fact::new("Label", label)));
        }
        facts.push(match run.summary.environments.len() {
            0 => Fact::code("Environment", run.summary.environment.clone()),
            n => Fact::new("Environments", n.to_string()),
        });
        let seeds = run.plan.seeds().len();
        facts.push(Fact::new("Seeds", format::count(seeds as u64)));
        let failed = run.trials.iter().filter(|trial| trial.error().is_some()).count();
        let mut trials = format::count(run.trials.len() as u64);
        if failed > 0 {
            trials.push_str(&format!(", {failed} failed"));
        }
        facts.push(Fact::new("Trials", trials));
        if let Some(info) = &run.info {
            let started = info.started.strftime("%Y-%m-%d %H:%M UTC").to_string();
            if run.plan.is_imported() {
                facts.push(Fact::new("Imported", started));
                return facts;
            }
            facts.push(Fact::new("Started", started));
            let took =
                info.finished.map(|finished| (finished - info.started).total(jiff::Unit::Second));
            facts.push(Fact::new(
                "Took",
                match (info.status, took) {
                    (RunStatus::Finished, Some(Ok(took))) => format::seconds(took),
                    (RunStatus::Stopped, Some(Ok(took))) => {
                        format!("{}, ended early by the user", format::seconds(took))
                    }
                    (RunStatus::Interrupted, _) => "interrupted".into(),
                    (RunStatus::Running, _) if report.progress.is_some() => "still running".into(),
                    _ => "not finished".into(),
                },
            ));
            if let Some(git) = &info.git {
                let changed = if git.dirty { " + changes" } else { "" };
                let short: String = git.commit.chars().take(10).collect();
                facts.push(Fact::code("Commit", format!("{short}{changed}")));
            }
        }
        facts
    };
    report.wholes.iter().enumerate().map(line).collect()
}

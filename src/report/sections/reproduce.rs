//! How to get the same numbers again.

use super::Section;
use crate::experiment::AgentSpec;
use crate::format::{shell_line, shorten};
use crate::report::block::{Block, Fact};
use crate::report::model::Report;
use crate::results::RunData;

/// The section.
pub(super) struct Reproduce;

impl Section for Reproduce {
    fn id(&self) -> &'static str {
        "reproduce"
    }

    fn title(&self) -> &'static str {
        "Reproduce"
    }

    fn lead(&self, report: &Report) -> String {
        if report.wholes.iter().all(|run| run.plan.is_imported()) {
            return "Other programs trained; this is what their logs were read by.".into();
        }
        "The same experiment, seeds and build give the same numbers; only times differ.".into()
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let mut blocks = Vec::new();
        for (index, run) in report.wholes.iter().enumerate() {
            if report.several() {
                blocks.push(Block::Heading { text: format!("Run {}", report.names[index]) });
            }
            blocks.extend(run_blocks(run, report.several())?);
        }
        Ok(blocks)
    }
}

/// Where a run comes from that other programs made.
fn imported(run: &RunData) -> Vec<Block> {
    let command = run.info.as_ref().map(|info| Block::Code {
        label: "Imported by".into(),
        text: shell_line(&info.command),
        copy: true,
    });
    let of = |(name, agent): (&String, &AgentSpec)| {
        let imported = agent.imported.as_ref()?;
        let score = imported.final_score.words();
        let means = if imported.means { "; training returns are means over episodes" } else { "" };
        Some(Fact::new(name.clone(), format!("{}; final score: {score}{means}", imported.program)))
    };
    let facts = run.plan.experiment.agents.iter().filter_map(of).collect();
    command.into_iter().chain([Block::Facts { facts }]).collect()
}

fn run_blocks(run: &RunData, several: bool) -> anyhow::Result<Vec<Block>> {
    if run.plan.is_imported() {
        return Ok(imported(run));
    }
    let mut blocks = Vec::new();
    let mut facts = Vec::new();
    if let Some(info) = &run.info {
        let mut lines = Vec::new();
        if let Some(git) = &info.git {
            let note = if git.dirty { "  # and the changes that were not committed" } else { "" };
            lines.push(format!("git checkout {}{note}", git.commit));
        }
        lines.push(shell_line(&info.command));
        blocks.push(Block::Code { label: "Command".into(), text: lines.join("\n"), copy: true });
        facts.push(Fact::code("Experiment file", info.experiment_file.clone()));
        if let Some(git) = &info.git {
            let state = if git.dirty { " (with changes)" } else { "" };
            facts.push(Fact::code("Commit", format!("{}{state}", git.commit)));
        }
        facts.push(Fact::new("Trials at a time", info.jobs.to_string()));
    }
    let file = match several {
        true => format!("{}/experiment.json", run.dir.name()),
        false => "experiment.json".to_owned(),
    };
    if run.dir.experiment().is_file() {
        blocks.push(Block::Code {
            label: "Without the repository, in the run's folder".into(),
            text: shell_line(&["rushes", "run", "experiment.json", "--output", "../.."]),
            copy: true,
        });
    }
    let experiment = Block::Code {
        label: file,
        text: serde_json::to_string_pretty(&run.plan.experiment.as_file())?,
        copy: true,
    };
    blocks.push(Block::Details {
        summary: "The experiment as it was run".into(),
        blocks: vec![experiment],
    });
    let seeds: Vec<String> = run.plan.seeds().iter().map(ToString::to_string).collect();
    facts.push(Fact::code("Seeds", shorten(&seeds.join(", "), 200)));
    facts
        .push(Fact::code("Evaluation seeds from", run.plan.experiment.evaluation.seed.to_string()));
    facts.push(Fact::code("Settings hash", run.plan.settings_hash.clone()));
    if let Some(info) = &run.info {
        facts.extend(
            info.versions.iter().map(|(name, version)| Fact::code(name.clone(), version.clone())),
        );
        facts.extend(
            info.machine.iter().map(|(name, value)| Fact::new(name.clone(), value.clone())),
        );
    }
    blocks.push(Block::Facts { facts });
    Ok(blocks)
}

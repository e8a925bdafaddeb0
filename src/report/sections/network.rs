//! The networks of the policies, layer by layer.

use super::Section;
use crate::format;
use crate::policy::Layer;
use crate::report::block::{Block, Cell, Row, Table};
use crate::report::model::{Report, Series};
use crate::results::{SavedAgent, Trial};

/// The section.
pub(super) struct Network;

impl Section for Network {
    fn id(&self) -> &'static str {
        "network"
    }

    fn title(&self) -> &'static str {
        "Networks"
    }

    fn lead(&self, _: &Report) -> String {
        "The networks that act. What only learning needs, such as critics, is not counted.".into()
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        // A page that is written again and again reads no policies.
        if report.progress.is_some() {
            return Ok(Vec::new());
        }
        let mut networks: Vec<(Vec<Layer>, Vec<&str>)> = Vec::new();
        for (_, series) in report.learners() {
            let Some(layers) = layers(report, series) else { continue };
            match networks.iter_mut().find(|(known, _)| *known == layers) {
                Some((_, agents)) => agents.push(&series.label),
                None => networks.push((layers, vec![&series.label])),
            }
        }
        let single = networks.len() == 1;
        let blocks = networks.into_iter().map(|(layers, agents)| {
            let parameters: u64 = layers.iter().map(|layer| layer.parameters).sum();
            let title = format!("{}: {} parameters", agents.join(", "), format::count(parameters));
            let table = Block::Table(table(&layers, title.clone()));
            match single {
                true => table,
                false => Block::Details { summary: title, blocks: vec![table] },
            }
        });
        Ok(blocks.collect())
    }
}

/// The layers of the first policy of a series that can be read.
fn layers(report: &Report, series: &Series) -> Option<Vec<Layer>> {
    let run = &report.runs[series.run];
    let open = |trial: &Trial| SavedAgent::open(run.dir.trial(&trial.plan.id).path(), None).ok();
    Some(report.trials(series).find_map(open)?.network().ok()??.layers)
}

fn table(layers: &[Layer], caption: String) -> Table {
    let row = |(module, layer): (usize, &Layer)| Row {
        cells: vec![
            Cell::new(module.to_string()),
            Cell::new(layer.kind.to_string()),
            Cell::new(layer.shape()),
            Cell::new(format::count(layer.parameters)),
        ],
        class: "",
    };
    let columns =
        [("module", true), ("layer", false), ("output shape", false), ("parameters", true)];
    Table {
        caption,
        columns: columns.map(|(title, number)| (title.to_owned(), number)).into(),
        rows: layers.iter().enumerate().map(row).collect(),
    }
}

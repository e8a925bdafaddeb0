//! The environment's card, from the table of environments.

use indexmap::IndexSet;
use serde_json::json;

use super::Section;
use crate::env::{Dtype, Space};
use crate::format;
use crate::report::block::{Block, Fact};
use crate::report::model::Report;
use crate::results::RunData;

/// The section.
pub(super) struct Environment;

impl Section for Environment {
    fn id(&self) -> &'static str {
        "environment"
    }

    fn title(&self) -> &'static str {
        "Environment"
    }

    fn lead(&self, report: &Report) -> String {
        let cards = report.runs.iter().filter_map(|run| run.env.as_ref());
        let leads: IndexSet<String> =
            cards.map(|env| format!("{}: {}.", env.id, env.summary)).collect();
        leads.into_iter().collect::<Vec<_>>().join(" ")
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let mut blocks = Vec::new();
        let mut seen = Vec::new();
        for run in report.runs.iter() {
            let environment = &run.plan.experiment.environment;
            if !seen.contains(&environment) {
                seen.push(environment);
                blocks.extend(card(run));
            }
        }
        Ok(blocks)
    }
}

fn card(run: &RunData) -> Option<Block> {
    let env = run.env.as_ref()?;
    let environment = &run.plan.experiment.environment;
    let limit = environment.max_episode_steps.or(env.max_episode_steps);
    let mut facts = vec![Fact::code("Id", &env.id), Fact::new("Family", &env.family)];
    match (env.make)(&environment.options) {
        Ok(built) => {
            facts.push(Fact::code("Observations", space(built.observation_space())));
            facts.push(Fact::code("Actions", space(built.action_space())));
            let (width, height) = built.frame_size();
            facts.push(Fact::new(
                "Picture",
                format!("{width} × {height} at {} frames/s", environment.render_fps(env)),
            ));
        }
        Err(problem) => {
            let message = problem.message;
            facts.push(Fact::new("Spaces", format!("unknown, its options are refused: {message}")));
        }
    }
    let mut steps =
        limit.map_or("none".into(), |limit| format!("{} steps", format::count(limit.into())));
    if environment.max_episode_steps.is_some() {
        let own = env.max_episode_steps.map_or("none".into(), |n| format::count(n.into()));
        steps.push_str(&format!(" (registered: {own})"));
    }
    facts.push(Fact::new("Time limit", steps));
    facts.push(Fact::new(
        "Reward threshold",
        env.reward_threshold.map_or("none".into(), format::number),
    ));
    if !environment.options.is_empty() {
        let options = serde_json::Value::Object(environment.options.clone()).to_string();
        facts.push(Fact::code("Options", options));
    }
    if !environment.wrappers.is_empty() {
        facts.push(Fact::code("Wrappers", json!(environment.wrappers).to_string()));
    }
    Some(Block::Facts { facts })
}

/// A space with its bounds, as far as they fit.
fn space(space: &Space) -> String {
    match space {
        Space::Box { dtype: Dtype::Float32, low, high, shape } if low.len() <= 8 => {
            let bounds = low.iter().zip(high).map(|(low, high)| {
                format!(
                    "{} … {}",
                    format::number(f64::from(*low)),
                    format::number(f64::from(*high))
                )
            });
            let bounds: Vec<String> = bounds.collect();
            let same = bounds.iter().all(|bound| *bound == bounds[0]);
            let bounds = if same { bounds[0].clone() } else { bounds.join("; ") };
            let shape = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" × ");
            format!("Box({shape}): {bounds}")
        }
        other => other.to_string(),
    }
}

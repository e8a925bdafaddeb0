//! The environment's card, from the table of environments.

use indexmap::IndexSet;
use serde_json::json;

use super::Section;
use crate::env::{Channel, Dtype, Meaning, Space};
use crate::format;
use crate::report::block::{Block, Cell, Fact, Row, Table};
use crate::report::model::Report;
use crate::results::{AgentSummary, Opening, PolicyKind, RunData};

/// Steps of an episode that are shown.
const STEPS: u32 = 5;
/// Numbers of an observation that are shown, each in a column of its own where they have names.
const MOST_APART: usize = 8;
/// A table of more rows unfolds.
const MOST_OPEN: usize = 24;

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
                if report.progress.is_none() {
                    blocks.extend(opening(run));
                }
            }
        }
        Ok(blocks)
    }
}

fn card(run: &RunData) -> Vec<Block> {
    let Some(env) = &run.env else { return Vec::new() };
    let environment = &run.plan.experiment.environment;
    let limit = environment.max_episode_steps.or(env.max_episode_steps);
    let mut facts = vec![Fact::code("Id", &env.id), Fact::new("Family", &env.family)];
    let mut tables = Vec::new();
    match (env.make)(&environment.options) {
        Ok(built) => {
            tables.extend(meanings(
                "observation",
                built.observation_space(),
                built.observation_meanings(),
            ));
            tables.extend(meanings("action", built.action_space(), built.action_meanings()));
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
    std::iter::once(Block::Facts { facts }).chain(tables).collect()
}

/// What each number of an observation or an action, or each of its values, means.
fn meanings(name: &str, space: &Space, meanings: Vec<Meaning>) -> Option<Block> {
    let channels = Channel::table(space, meanings);
    let first = channels.first()?;
    let (units, bounds) =
        (channels.iter().any(|channel| !channel.meaning.unit.is_empty()), first.low.is_some());
    let mut columns = vec![("index".to_owned(), false), (name.to_owned(), false)];
    columns.extend(units.then(|| ("unit".to_owned(), false)));
    if bounds {
        columns.extend([("from".to_owned(), true), ("to".to_owned(), true)]);
    }
    let bound = |bound: f32| Cell::new(format::number(f64::from(bound)));
    let rows = channels.iter().map(|Channel { index, meaning, low, high }| {
        let mut cells = vec![Cell::new(index.to_string()), Cell::new(meaning.name.clone())];
        cells.extend(units.then(|| Cell::new(meaning.unit.clone())));
        cells.extend(low.iter().chain(high).map(|&value| bound(value)));
        Row { cells, class: "" }
    });
    let rows: Vec<Row> = rows.collect();
    let many = rows.len() > MOST_OPEN;
    let caption = match (name, bounds) {
        ("action", false) => "What each action means".to_owned(),
        (name, false) => format!("What each value of an {name} means"),
        (name, true) => format!("What each number of an {name} means"),
    };
    let summary = format!("{caption}: {}", format::plural(rows.len(), "number"));
    let table = Block::Table(Table { caption, columns, rows });
    Some(if many { Block::Details { summary, blocks: vec![table] } } else { table })
}

/// The first steps of an evaluation episode of the first agent that can play them here, preferably one that learned.
fn opening(run: &RunData) -> Option<Block> {
    let plays = |agent: &&AgentSummary| {
        !matches!(
            agent.policy,
            PolicyKind::Planning
                | PolicyKind::External
                | PolicyKind::Trainer
                | PolicyKind::Imported
        )
    };
    let agents = || run.summary.agents.iter().filter(plays);
    let ranked =
        agents().filter(|agent| agent.learns).chain(agents().filter(|agent| !agent.learns));
    let (agent, opening) = ranked.into_iter().find_map(|agent| {
        let trial = run.trials_of(&agent.name).next()?;
        // One whose policy is missing, or needs what this program does not have, is passed over.
        let opening = Opening::play(&run.dir.trial(&trial.plan.id), STEPS).ok()??;
        Some((agent, opening))
    })?;
    let env = (run.env.as_ref()?.make)(&run.plan.experiment.environment.options).ok()?;
    let actions = env.action_meanings();
    let number = |&value: &f32| format::fixed(f64::from(value), 4);
    let named = opening.meanings;
    let apart = named.len() == opening.observation.len() && named.len() <= MOST_APART;
    let mut columns = vec![("step".to_owned(), false), ("action".to_owned(), false)];
    match apart {
        true => columns.extend(named.into_iter().map(|meaning| (meaning.name, true))),
        false => columns.push(("observation".to_owned(), false)),
    }
    let ends = ["reward", "terminated", "truncated"];
    columns.extend(ends.map(|title| (title.to_owned(), title == "reward")));
    let observed = |observation: &[f32]| -> Vec<Cell> {
        if apart {
            return observation.iter().map(|value| Cell::new(number(value))).collect();
        }
        let shown: Vec<_> = observation.iter().take(MOST_APART).map(number).collect();
        let rest = match observation.len().checked_sub(MOST_APART) {
            None | Some(0) => String::new(),
            Some(more) => format!(" and {} more", format::count(more as u64)),
        };
        vec![Cell::new(format!("{}{rest}", shown.join(", ")))]
    };
    let acted = |action: &[f32]| match action {
        [index] if env.action_space().discrete_parts().is_some() => {
            let name = actions.get(*index as usize).map(|meaning| meaning.name.clone());
            Cell::new(format::count(*index as u64)).with_note(name.unwrap_or_default())
        }
        numbers => Cell::new(numbers.iter().map(number).collect::<Vec<_>>().join(", ")),
    };
    let row = |step: usize, action: Cell, observation: &[f32], end: [Cell; 3]| {
        let mut cells = vec![Cell::new(step.to_string()), action];
        cells.extend(observed(observation));
        cells.extend(end);
        Row { cells, class: "" }
    };
    let reset = row(0, Cell::new("reset"), &opening.observation, Default::default());
    let steps = opening.steps.iter().zip(1..).map(|((action, step, observation), number)| {
        let end = [
            Cell::new(format::number(step.reward)),
            Cell::new(step.terminated.to_string()),
            Cell::new(step.truncated.to_string()),
        ];
        row(number, acted(action), observation, end)
    });
    Some(Block::Table(Table {
        caption: format!(
            "The first steps of an evaluation episode, as {} plays it: what is observed after the reset (seed {}) and after \
             each action. `rushes play RUN AGENT --print` prints the whole episode.",
            agent.name, opening.seed
        ),
        columns,
        rows: std::iter::once(reset).chain(steps).collect(),
    }))
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

//! The settings, those that differ from their defaults marked.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Section;
use crate::experiment::{EvaluationSpec, RecordingSpec, ScheduleSpec, StopSpec};
use crate::format;
use crate::report::block::{Block, Cell, Row, Table};
use crate::report::differing::{self, written};
use crate::report::model::Report;
use crate::results::RunData;

/// The section.
pub(super) struct Settings;

impl Section for Settings {
    fn id(&self) -> &'static str {
        "settings"
    }

    fn title(&self) -> &'static str {
        "Settings"
    }

    fn lead(&self, _: &Report) -> String {
        "Every setting, defaults filled in. Marked ones differ from their default.".into()
    }

    fn blocks(&self, report: &Report) -> anyhow::Result<Vec<Block>> {
        let mut blocks = Vec::new();
        // What other programs were told, their logs do not say.
        let ours = report.runs.iter().enumerate().filter(|(_, run)| !run.plan.is_imported());
        for (index, run) in ours {
            let place = report.place(index).map_or(String::new(), |place| format!("{place}, "));
            let of_whole = report.is_first_part(index);
            if let Some(info) =
                run.info.as_ref().filter(|info| of_whole && !info.overrides.is_empty())
            {
                blocks.push(Block::text(format!(
                    "{place}set on the command line: {}",
                    format::list(&info.overrides)
                )));
            }
            blocks.extend(experiment(run, &place));
            for name in run.plan.experiment.agents.keys() {
                let settings = differing::agent(run, name);
                let rows = rows(&settings, &agent_defaults(&settings));
                blocks.push(folded(format!("{place}agent {name}"), rows));
            }
        }
        Ok(blocks)
    }
}

fn experiment(run: &RunData, place: &str) -> Vec<Block> {
    let options = run.env.as_ref().map(|env| (env.options_schema)().to_value()).unwrap_or_default();
    let option_defaults: Map<String, Value> =
        (options["properties"].as_object().into_iter().flatten())
            .filter_map(|(name, property)| Some((name.clone(), property.get("default")?.clone())))
            .collect();
    let defaults = json!({
        "environment": { "options": option_defaults, "max_episode_steps": null },
        "seeds": "0",
        "evaluation": default::<EvaluationSpec>(),
        "recording": default::<RecordingSpec>(),
        "check": default::<crate::experiment::CheckSpec>(),
        "trial_timeout_seconds": null,
        "search": null,
    });
    vec![folded(format!("{place}experiment"), rows(&differing::experiment(run), &defaults))]
}

fn default<T: Default + Serialize>() -> Value {
    serde_json::to_value(T::default()).unwrap_or_default()
}

/// What the settings would be if the file gave only what it must: an object of a tagged choice, read with
/// its tag alone, shows its defaults.
fn agent_defaults(settings: &Value) -> Value {
    use crate::algorithm;
    use crate::experiment::AlgorithmSpec;
    use crate::policy::PolicySpec;
    let bare = |tag: &str, object: &Value| json!({ tag: object.get(tag) });
    let policy = &settings["policy"];
    let algorithm = &settings["training"]["algorithm"];
    let policy_defaults = serde_json::from_value::<PolicySpec>(bare("type", policy));
    let algorithm_defaults = serde_json::from_value::<AlgorithmSpec>(bare("name", algorithm))
        .ok()
        .and_then(|spec| algorithm::resolved(&spec).ok());
    let value = |value: Result<Value, serde_json::Error>| value.unwrap_or_default();
    let mut schedule = default::<ScheduleSpec>();
    if settings["training"]["schedule"]["stop"].is_object() {
        schedule["stop"] = default::<StopSpec>();
    }
    json!({
        "policy": value(policy_defaults.and_then(serde_json::to_value)),
        "training": {
            "algorithm": json!(algorithm_defaults),
            "schedule": schedule,
        },
    })
}

/// A table that unfolds, headed by how many settings are not at their default.
fn folded(title: String, rows: Vec<Row>) -> Block {
    let changed = rows.iter().filter(|row| row.class == "changed").count();
    Block::Details {
        summary: format!(
            "{title}: {} set, {} in all",
            changed,
            format::plural(rows.len(), "setting")
        ),
        blocks: vec![Block::Table(Table {
            caption: format!("{title}: settings"),
            columns: vec![
                ("setting".into(), false),
                ("value".into(), false),
                ("default".into(), false),
            ],
            rows,
        })],
    }
}

fn rows(settings: &Value, defaults: &Value) -> Vec<Row> {
    let mut found = Vec::new();
    flatten(settings, defaults, &mut String::new(), &mut found);
    found
        .into_iter()
        .map(|(path, value, default)| {
            let changed = value != default;
            let cells = vec![
                Cell::code(path),
                Cell::code(written(&value)),
                Cell::code(if changed { written(&default) } else { String::new() }),
            ];
            Row { cells, class: if changed { "changed" } else { "" } }
        })
        .collect()
}

/// Every leaf with its path, its value and its default (null where there is none).
fn flatten(
    settings: &Value,
    defaults: &Value,
    path: &mut String,
    found: &mut Vec<(String, Value, Value)>,
) {
    let Value::Object(fields) = settings else {
        found.push((path.clone(), settings.clone(), defaults.clone()));
        return;
    };
    let empty = Map::new();
    let known = defaults.as_object().unwrap_or(&empty);
    let length = path.len();
    // Fields that are left out where they are at their default are settings too.
    let missing = known.iter().filter(|(name, _)| !fields.contains_key(*name));
    for (name, value) in fields.iter().chain(missing) {
        if length > 0 {
            path.push('.');
        }
        path.push_str(name);
        flatten(value, known.get(name).unwrap_or(&Value::Null), path, found);
        path.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_its_default_is_marked() {
        let agent = json!({
            "policy": { "type": "neural", "hidden": [32] },
            "training": { "algorithm": { "name": "reinforce", "learning_rate": 0.5 }, "schedule": { "episodes": 10 } },
        });
        let rows = rows(&agent, &agent_defaults(&agent));
        let changed: Vec<_> = rows
            .iter()
            .filter(|row| row.class == "changed")
            .map(|row| row.cells[0].text.as_str())
            .collect();
        assert_eq!(
            changed,
            ["policy.hidden", "training.algorithm.learning_rate", "training.schedule.episodes"]
        );
        assert!(rows.iter().any(|row| row.cells[0].text == "training.algorithm.discount"));
    }
}

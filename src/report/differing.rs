//! A run's settings as they are shown, and those in which several differ.

use indexmap::IndexSet;
use serde_json::{Value, json};

use crate::env::path;
use crate::format;
use crate::record::GitInfo;
use crate::results::RunData;

/// A setting that is not the same everywhere.
#[derive(Debug, PartialEq)]
pub(super) struct Difference {
    /// Its path.
    pub path: String,
    /// Its value on each side; null where a side has no such setting.
    pub values: Vec<Value>,
}

impl Difference {
    /// From one side to another, in a line.
    pub(super) fn change(&self, from: usize, to: usize) -> String {
        format!("{} {} → {}", self.path, written(&self.values[from]), written(&self.values[to]))
    }
}

/// The settings of an experiment without those of its agents: what is known of them, where other programs trained.
pub(super) fn experiment(run: &RunData) -> Value {
    let spec = &run.plan.experiment;
    if run.plan.is_imported() {
        return json!({ "environment": spec.environment, "check": spec.check });
    }
    let seeds: Vec<String> = spec.seeds.all.iter().map(ToString::to_string).collect();
    json!({
        "environment": spec.environment,
        "seeds": format::shorten(&seeds.join(", "), 120),
        "evaluation": spec.evaluation,
        "recording": spec.recording,
        "check": spec.check,
        "trial_timeout_seconds": spec.trial_timeout_seconds,
        "search": spec.search,
    })
}

/// The settings of an agent: those of its best sample, where it was searched for.
pub(super) fn agent(run: &RunData, name: &str) -> Value {
    let sample = run.trials_of(name).next().map(|trial| &*trial.plan.settings);
    let settings = sample.or_else(|| run.plan.experiment.agents.get(name));
    json!(settings.filter(|settings| settings.imported.is_none()))
}

/// All settings that an agent was trained and evaluated under: its own, with its experiment's beside them.
pub(super) fn all(run: &RunData, name: &str) -> Value {
    let (mut all, agent) = (experiment(run), agent(run, name));
    if let (Some(all), Value::Object(agent)) = (all.as_object_mut(), agent) {
        all.extend(agent);
    }
    all
}

/// What runs differ in: settings of the experiments and of the agents that all have, agents that not all have, and under
/// which circumstances they ran.
pub(super) fn between(runs: &[&RunData]) -> Vec<Difference> {
    let mut found = differences(&runs.iter().map(|run| experiment(run)).collect::<Vec<_>>());
    let agents: IndexSet<&String> =
        runs.iter().flat_map(|run| run.plan.experiment.agents.keys()).collect();
    for name in agents {
        let has = |run: &&RunData| run.plan.experiment.agents.contains_key(name);
        let below = |path: &str| match path {
            "" => path::join(&["agents", name]),
            path => format!("{}.{path}", path::join(&["agents", name])),
        };
        let of_agent = if runs.iter().all(has) {
            differences(&runs.iter().map(|run| agent(run, name)).collect::<Vec<_>>())
        } else {
            let there = |run| if has(run) { json!("there") } else { Value::Null };
            vec![Difference { path: String::new(), values: runs.iter().map(there).collect() }]
        };
        found.extend(
            of_agent
                .into_iter()
                .map(|one| Difference { path: below(&one.path), values: one.values }),
        );
    }
    let circumstances = |run: &&RunData| {
        let info = run.info.as_ref();
        json!({
            "commit": info.and_then(|info| info.git.as_ref()).map(GitInfo::short),
            "versions": info.map(|info| &info.versions),
            "machine": info.map(|info| &info.machine),
        })
    };
    found.extend(differences(&runs.iter().map(circumstances).collect::<Vec<_>>()));
    found
}

/// Every leaf that is not the same on all sides, in the order of the sides.
pub(super) fn differences(sides: &[Value]) -> Vec<Difference> {
    let mut found = Vec::new();
    collect(&sides.iter().collect::<Vec<_>>(), &mut Vec::new(), &mut found);
    found
}

fn collect<'a>(sides: &[&'a Value], path: &mut Vec<&'a str>, found: &mut Vec<Difference>) {
    if sides.iter().all(|side| *side == sides[0]) {
        return;
    }
    // An object that is missing on a side differs in all that it holds.
    if !sides.iter().all(|side| side.is_object() || side.is_null()) {
        let values = sides.iter().map(|&side| side.clone()).collect();
        found.push(Difference { path: path::join(path), values });
        return;
    }
    let keys: IndexSet<&str> = sides
        .iter()
        .filter_map(|side| side.as_object())
        .flat_map(|o| o.keys())
        .map(|k| &**k)
        .collect();
    for key in keys {
        path.push(key);
        let below: Vec<&Value> =
            sides.iter().map(|side| side.get(key).unwrap_or(&Value::Null)).collect();
        collect(&below, path, found);
        path.pop();
    }
}

/// A value as tables show it.
pub(super) fn written(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_that_differ_are_found_by_their_paths() {
        let sides = [
            json!({ "a": 1, "policy": { "hidden": [64], "type": "neural" }, "stop": null }),
            json!({ "a": 1, "policy": { "hidden": [32, 32], "type": "neural" }, "stop": { "window": 25 } }),
            json!({ "a": 1, "policy": { "hidden": [64], "type": "neural", "head.size": 2 } }),
        ];
        let found = differences(&sides);
        let expected = [
            ("policy.hidden", json!([[64], [32, 32], [64]])),
            ("policy.\"head.size\"", json!([null, null, 2])),
            ("stop.window", json!([null, 25, null])),
        ];
        let shown: Vec<_> = found.iter().map(|d| (d.path.as_str(), json!(d.values))).collect();
        assert_eq!(shown, expected);
        assert_eq!(found[0].change(0, 1), "policy.hidden [64] → [32,32]");
        assert_eq!(differences(&[sides[0].clone(), sides[0].clone()]), []);
    }
}

//! What differs between experiments, and what of it may change when a run is resumed.

use serde_json::Value;

use crate::env::{names, path};
use crate::experiment::Spec;

/// The limits of a schedule, which may be raised.
const LIMITS: [&str; 4] = ["episodes", "steps", "updates", "seconds"];

/// What a resume may change, for people.
const PERMITTED: &str = "a resumed run may only get longer schedules (`episodes`, `steps`, `updates` and `seconds` of \
                         an agent's `schedule`, each where it had one), and another `description`, `check`, \
                         `scores`, `resources` or `trial_timeout_seconds`";

/// A value that differs, by its path.
struct Change {
    path: Vec<String>,
    old: Value,
    new: Value,
}

/// What is to be said of going on as `new` with a run of `old`; nothing where they are the same.
///
/// # Errors
/// Fails if something differs that a resume cannot change; says what, and why.
pub(super) fn on_resume(old: &Spec, new: &Spec) -> anyhow::Result<Vec<String>> {
    let changes = found(old, new)?;
    let refused: Vec<String> = (changes.iter())
        .filter_map(|change| Some((change, change.refusal(old)?)))
        .map(|(change, reason)| format!("{} ({reason})", change.shown()))
        .collect();
    anyhow::ensure!(
        refused.is_empty(),
        "it was started with other settings:\n  {}\n{PERMITTED}; start a new run for anything else",
        refused.join("\n  ")
    );
    let mut said: Vec<String> = changes.iter().map(Change::shown).collect();
    said.extend(changes.iter().filter_map(|change| change.consequence(new)));
    Ok(said)
}

/// What differs between two experiments, for people.
///
/// # Errors
/// Fails if one cannot be written as JSON.
pub(super) fn between(old: &Spec, new: &Spec) -> anyhow::Result<Vec<String>> {
    Ok(found(old, new)?.iter().map(Change::shown).collect())
}

fn found(old: &Spec, new: &Spec) -> anyhow::Result<Vec<Change>> {
    let mut changes = Vec::new();
    let (old, new) = (serde_json::to_value(old)?, serde_json::to_value(new)?);
    compare(&mut Vec::new(), &old, &new, &mut changes);
    Ok(changes)
}

impl Change {
    /// Why it is refused, where it is.
    fn refusal(&self, old: &Spec) -> Option<&'static str> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        match path[..] {
            ["$schema" | "description" | "check" | "trial_timeout_seconds" | "resources", ..] => {
                None
            }
            ["agents", _, "training" | "trainer", "schedule", limit]
            | ["agents", _, "environments", _, "training" | "trainer", "schedule", limit]
                if LIMITS.contains(&limit) =>
            {
                let raised = self.old.as_f64().zip(self.new.as_f64()).is_some_and(|(a, b)| b > a);
                if old.search.is_some() {
                    Some("a search has compared its samples by this length")
                } else if raised {
                    None
                } else {
                    Some("a limit can be raised, but not be lowered, added or removed")
                }
            }
            ["scores", ..] if old.search.is_some() => {
                Some("a search has compared its samples by these")
            }
            ["scores", ..] => None,
            ["agents", _] => Some("agents belong to a run from its start"),
            ["agents", ..] => Some("training so far followed it"),
            ["evaluation", ..] => Some("trials that are over were evaluated by it"),
            ["recording", ..] => Some("trials that are over were filmed by it"),
            ["search", ..] => Some("the samples so far follow from it"),
            ["seeds", ..] => Some("seeds belong to a run from its start"),
            ["name", ..] => Some("it is the folder that the run lies in"),
            _ => Some("every trial so far was played in it"),
        }
    }

    /// What a longer schedule does to the agent's other settings, where it does something.
    fn consequence(&self, new: &Spec) -> Option<String> {
        if let Some(deaf) = self.deaf(new) {
            return Some(deaf);
        }
        let [agents, name, training, ..] = &self.path[..] else { return None };
        if agents != "agents" || training != "training" {
            return None;
        }
        let settings = &new.agents.get(name)?.training.as_ref()?.algorithm.settings;
        let moves = |(name, value): &(&String, &Value)| {
            value.get("linear").is_some() || *name == "exploration_fraction"
        };
        let moving: Vec<&String> = settings.iter().filter(moves).map(|(name, _)| name).collect();
        (!moving.is_empty()).then(|| {
            format!(
                "{name}: {} {} over the longer schedule from here on, so that this run differs from one that was as \
                 long from its start",
                names::list(&moving),
                if moving.len() == 1 { "moves" } else { "move" }
            )
        })
    }

    /// The environments of a suite that a longer schedule does not reach, where there are some.
    fn deaf(&self, new: &Spec) -> Option<String> {
        let [agents, name, place, schedule, limit] = &self.path[..] else { return None };
        if agents != "agents" || schedule != "schedule" {
            return None;
        }
        let own = |patch: &Value| patch.get(place)?.get(schedule)?.get(limit).cloned();
        let patches = &new.agents.get(name)?.environments;
        let deaf: Vec<&String> = patches
            .iter()
            .filter(|(_, patch)| own(patch).is_some())
            .map(|(name, _)| name)
            .collect();
        (!deaf.is_empty()).then(|| {
            format!(
                "{name}: {} {} `{limit}` of {} own and {} as long as before",
                names::list(&deaf),
                if deaf.len() == 1 { "has a" } else { "have a" },
                if deaf.len() == 1 { "its" } else { "their" },
                if deaf.len() == 1 { "stays" } else { "stay" },
            )
        })
    }

    fn shown(&self) -> String {
        let value = |value: &Value| match value {
            Value::Null => "left out".to_owned(),
            value => names::short(&value.to_string()).to_string(),
        };
        format!("{}: {} → {}", path::join(&self.path), value(&self.old), value(&self.new))
    }
}

/// Collects where two values differ, each as deep inside as both have it.
fn compare(path: &mut Vec<String>, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    match (old, new) {
        _ if old == new => {}
        (Value::Object(a), Value::Object(b)) => {
            let added = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(added) {
                path.push(key.clone());
                let of = |object: &serde_json::Map<String, Value>| {
                    object.get(key).cloned().unwrap_or_default()
                };
                compare(path, &of(a), &of(b), changes);
                path.pop();
            }
        }
        _ => changes.push(Change { path: path.clone(), old: old.clone(), new: new.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::validation;

    /// An experiment with this at `path`, of one that trains DQN for 1,000 steps.
    fn spec(path: &str, value: Value) -> Spec {
        let mut experiment = json!({
            "name": "resumed",
            "environment": { "id": "CartPole-v1" },
            "agents": { "a.b": {
                "policy": { "type": "neural" },
                "training": { "algorithm": { "name": "dqn" }, "schedule": { "steps": 1000 } },
            } },
        });
        let change = crate::experiment::Override::new(path, value).expect("a path");
        change.apply(&mut experiment).expect("a place");
        validation::check(&experiment).expect("a valid experiment")
    }

    fn steps(steps: u64) -> Spec {
        spec("agents.\"a.b\".training.schedule.steps", json!(steps))
    }

    /// The same in a suite, for so many steps in its environment `cart`.
    fn suite(steps: u64) -> Spec {
        let mut experiment = serde_json::to_value(self::steps(1000)).expect("JSON");
        let environment = experiment["environment"].take();
        experiment.as_object_mut().expect("an object").shift_remove("environment");
        experiment["environments"] = json!({ "cart": environment });
        let patch = json!({ "cart": { "training": { "schedule": { "steps": steps } } } });
        experiment["agents"]["a.b"]["environments"] = patch;
        validation::check(&experiment).expect("a valid suite")
    }

    #[test]
    fn a_schedule_may_get_longer_and_what_follows_it_is_told() {
        assert_eq!(on_resume(&steps(1000), &steps(1000)).expect("the same"), [""; 0]);
        let said = on_resume(&steps(1000), &steps(3000)).expect("a longer schedule").join("\n");
        assert!(said.contains("agents.\"a.b\".training.schedule.steps: 1000 → 3000"), "{said}");
        assert!(said.contains("exploration_fraction moves over the longer schedule"), "{said}");
        let timeout = spec("trial_timeout_seconds", json!(5));
        assert!(on_resume(&steps(1000), &timeout).is_ok(), "it decides no return");
        let said = on_resume(&suite(2000), &suite(3000)).expect("longer in one environment");
        assert!(said[0].contains("schedule.steps: 2000 → 3000"), "{said:?}");
        let mut longer = suite(2000);
        let agent = &mut longer.agents["a.b"];
        agent.schedule_mut().expect("a schedule").steps = Some(5000);
        let said = on_resume(&suite(2000), &longer).expect("longer elsewhere").join("\n");
        assert!(
            said.contains("cart has a `steps` of its own and stays as long as before"),
            "{said}"
        );
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        for (new, expected) in [
            (steps(500), "1000 → 500 (a limit can be raised"),
            (spec("agents.\"a.b\".training.schedule.episodes", json!(9)), "left out → 9 (a limit"),
            (spec("agents.\"a.b\".policy.hidden", json!([8])), "[64,64] → [8] (training so far"),
            (spec("evaluation.episodes", json!(3)), "evaluation.episodes: 100 → 3 (trials that"),
            (spec("seeds", json!([1, 2])), "seeds: [0] → [1,2] (seeds belong"),
            (spec("environment.max_episode_steps", json!(9)), "(every trial so far"),
            (suite(900), "environments.cart.training.schedule.steps: 2000 → 900 (a limit can be"),
        ] {
            let old = if new.is_suite() { suite(2000) } else { steps(1000) };
            let error = on_resume(&old, &new).expect_err(expected).to_string();
            assert!(error.contains(expected) && error.contains("start a new run"), "{error}");
        }
    }
}

//! Suites: experiments over several environments.
//!
//! A suite is made of parts, experiments in one environment each, and whatever knows one environment (checks, trials,
//! sections of a report) is given a part. Only what looks at all of them, such as the order of trials, a search's scores
//! and the gate's error rate, knows the suite.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::environment::EnvironmentSpec;
use super::spec::{ScoreSpec, Spec};

/// What a suite comes to in one of its environments.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The environment's name; nothing where the experiment has only one.
    pub name: Option<String>,
    /// The experiment with this environment alone, each agent with its settings for it; without those that do not play
    /// in it, and without the search.
    pub experiment: Spec,
}

impl Part {
    /// Whether this agent plays in its environment.
    pub fn plays(&self, agent: &str) -> bool {
        self.experiment.agents.contains_key(agent)
    }

    /// What an agent of this part is called among those of all environments: `ENVIRONMENT/AGENT` in a suite.
    pub fn agent_name<'a>(&self, agent: &'a str) -> Cow<'a, str> {
        qualified(self.name.as_deref(), agent)
    }
}

/// What an agent is called among those of all environments.
pub fn qualified<'a>(environment: Option<&str>, agent: &'a str) -> Cow<'a, str> {
    match environment {
        Some(environment) => format!("{environment}/{agent}").into(),
        None => agent.into(),
    }
}

impl Spec {
    /// Whether it names several environments.
    pub fn is_suite(&self) -> bool {
        !self.environments.is_empty()
    }

    /// The experiments in one environment each that it is made of, in their order; itself where it is no suite.
    ///
    /// # Errors
    /// Fails if an agent's settings for an environment are none; never for a checked experiment.
    pub fn parts(&self) -> anyhow::Result<Vec<Part>> {
        if !self.is_suite() {
            return Ok(vec![Part { name: None, experiment: self.clone() }]);
        }
        let whole = serde_json::to_value(self)?;
        let parts = self.environments.keys().map(|name| {
            let experiment = serde_json::from_value(part(&whole, name))?;
            Ok(Part { name: Some(name.clone()), experiment })
        });
        parts.collect()
    }

    /// How many environments an agent plays in.
    pub fn environments_of(&self, agent: &str) -> u64 {
        let away = self.agents.get(agent).into_iter().flat_map(|own| own.environments.values());
        let away = away.filter(|patch| patch.is_null()).count();
        (self.environments().count() - away) as u64
    }

    /// What it is played in, as [`EnvironmentSpec::task`] has it: returns can be compared where it is the same.
    pub fn task(&self) -> String {
        self.environments().map(EnvironmentSpec::task).collect::<Vec<_>>().join(", ")
    }

    /// What the returns of a suite's environment are normalised by, as far as the experiment or the environment says it.
    pub fn stated_score(&self, name: &str) -> ScoreSpec {
        let stated = self.scores.get(name).copied().unwrap_or_default();
        let environment = || self.environments.get(name)?.spec().ok();
        let reference = stated.reference.or_else(|| environment()?.reward_threshold);
        ScoreSpec { reference, ..stated }
    }

    /// [`Spec::stated_score`], where it is whole.
    pub fn stated_range(&self, name: &str) -> Option<ScoreRange> {
        let ScoreSpec { random, reference } = self.stated_score(name);
        ScoreRange::new(random?, reference?)
    }

    /// Every environment.
    pub fn environments(&self) -> impl Iterator<Item = &EnvironmentSpec> {
        self.named_environments().map(|(_, environment)| environment)
    }

    /// Every environment with its name in the suite; the only one has none.
    pub fn named_environments(&self) -> impl Iterator<Item = (Option<&str>, &EnvironmentSpec)> {
        let only = (!self.is_suite()).then_some((None, &self.environment));
        only.into_iter().chain(self.environments.iter().map(|(name, one)| (Some(&**name), one)))
    }

    /// [`Spec::named_environments`], to change them.
    pub fn named_environments_mut(
        &mut self,
    ) -> impl Iterator<Item = (Option<&str>, &mut EnvironmentSpec)> {
        let only = self.environments.is_empty().then_some((None, &mut self.environment));
        only.into_iter().chain(self.environments.iter_mut().map(|(name, one)| (Some(&**name), one)))
    }
}

/// The returns that count as 0 and 1 where those of several environments are put together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreRange {
    /// A random policy's mean return.
    pub random: f64,
    /// The reference's.
    pub reference: f64,
}

impl ScoreRange {
    /// The range between these; nothing where they are none to divide by, or the reference is not the greater one.
    pub fn new(random: f64, reference: f64) -> Option<Self> {
        let width = reference - random;
        (width > 0.0 && width.is_normal()).then_some(Self { random, reference })
    }

    /// A return as a share of the range.
    pub fn normalised(self, value: f64) -> f64 {
        (value - self.random) / (self.reference - self.random)
    }
}

/// The part of a suite, as JSON, in the environment `name`.
pub fn part(suite: &Value, name: &str) -> Value {
    let mut part = suite.clone();
    let Some(fields) = part.as_object_mut() else { return part };
    fields.shift_remove("search");
    fields.shift_remove("scores");
    let mut environments = fields.shift_remove("environments").unwrap_or_default();
    fields.insert("environment".into(), environments[name].take());
    if let Some(agents) = fields.get_mut("agents").and_then(Value::as_object_mut) {
        let settings = std::mem::take(agents).into_iter();
        *agents = settings.filter_map(|(agent, own)| Some((agent, of_part(own, name)?))).collect();
    }
    part
}

/// An agent's settings in the environment `name`; nothing where it does not play there.
fn of_part(mut agent: Value, name: &str) -> Option<Value> {
    let Some(fields) = agent.as_object_mut() else { return Some(agent) };
    let patches = fields.shift_remove("environments").unwrap_or_default();
    match patches.get(name) {
        None => {}
        Some(Value::Null) => return None,
        Some(patch) => {
            // What is of another kind begins with its own defaults.
            for (place, kind) in [("/training/algorithm", "name"), ("/policy", "type")] {
                let kind_in = |settings: &Value| settings.pointer(place)?.get(kind).cloned();
                if kind_in(patch).is_some_and(|new| kind_in(&agent) != Some(new)) {
                    agent.pointer_mut(place).map(Value::take);
                }
            }
            merge(&mut agent, patch);
        }
    }
    Some(agent)
}

/// JSON Merge Patch (RFC 7396): fields of `patch` take the places of those of `target`, `null` removes one.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let fields = target.as_object_mut().expect("an object by now");
    for (name, value) in patch {
        if value.is_null() {
            fields.shift_remove(name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merging_follows_the_examples_of_rfc_7396() {
        // Its appendix A.
        for (mut target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            merge(&mut target, &patch);
            assert_eq!(target, expected, "{patch}");
        }
    }

    #[test]
    fn an_agent_has_its_own_settings_in_an_environment_or_stays_away() {
        let suite = json!({
            "environments": { "a": { "id": "A-v0" }, "b": { "id": "B-v0" }, "c": { "id": "C-v0" } },
            "agents": {
                "x": {
                    "training": { "algorithm": { "name": "ppo", "n_steps": 8 }, "schedule": { "steps": 1 } },
                    "environments": {
                        "b": { "training": { "schedule": { "steps": null, "episodes": 2 } } },
                        "c": { "training": { "algorithm": { "name": "dqn" } } },
                    },
                },
                "y": { "policy": { "type": "random" }, "environments": { "a": null } },
            },
        });
        let ppo = json!({ "name": "ppo", "n_steps": 8 });
        let y = json!({ "policy": { "type": "random" } });
        assert_eq!(
            part(&suite, "a"),
            json!({
                "environment": { "id": "A-v0" },
                "agents": { "x": { "training": { "algorithm": ppo, "schedule": { "steps": 1 } } } },
            })
        );
        let b = part(&suite, "b");
        assert_eq!(b["agents"]["y"], y);
        assert_eq!(b["agents"]["x"]["training"]["schedule"], json!({ "episodes": 2 }));
        let c = part(&suite, "c");
        assert_eq!(c["agents"]["x"]["training"]["algorithm"], json!({ "name": "dqn" }));
    }

    #[test]
    fn another_type_of_policy_begins_with_its_own_defaults() {
        let agent = json!({
            "policy": { "type": "neural", "hidden": [8], "activation": "tanh" },
            "training": { "schedule": { "steps": 1 } },
            "environments": { "a": { "policy": { "type": "random" }, "training": null } },
        });
        assert_eq!(of_part(agent, "a"), Some(json!({ "policy": { "type": "random" } })));
    }

    #[test]
    fn a_range_has_a_reference_above_random() {
        assert!(ScoreRange::new(-200.0, -110.0).is_some());
        for (random, reference) in [(475.0, 475.0), (0.0, -1.0), (0.0, 1e-320), (-1e308, 1e308)] {
            assert_eq!(ScoreRange::new(random, reference), None);
        }
    }
}

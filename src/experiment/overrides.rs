//! `--set PATH=VALUE`: changes to an experiment from the command line.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::env::{names, path};

/// One override: a path (see [`path::parse`]) and the value to put there.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    path: Vec<String>,
    value: Value,
    written: String,
}

impl Override {
    /// Puts `value` at `path`.
    ///
    /// # Errors
    /// Fails if the path is broken.
    pub fn new(path: &str, value: Value) -> Result<Self, String> {
        let written = format!("{path}={value}");
        match path::parse(path)? {
            (path, "") => Ok(Self { path, value, written }),
            _ => Err("expected a path without a value".into()),
        }
    }

    /// The override as the user wrote it.
    pub fn as_written(&self) -> &str {
        &self.written
    }

    /// Puts the value in its place; missing objects on the way are made, so that whatever is wrong with
    /// the path is reported like any other unknown field.
    ///
    /// # Errors
    /// Fails if the path leads through something that is neither an object nor an array element, or past a name
    /// that has a dot itself.
    pub fn apply(&self, experiment: &mut Value) -> Result<(), String> {
        let mut here = experiment;
        for (depth, part) in self.path.iter().enumerate() {
            let place = path::join(&self.path[..depth]);
            here = match here {
                Value::Object(object) => {
                    if let Some(name) = dotted_name(object, &self.path[depth..]) {
                        let meant = path::join(&[name]);
                        return Err(format!("`{place}` has no `{part}`; write `{place}.{meant}`"));
                    }
                    object.entry(part).or_insert(Value::Null)
                }
                Value::Null => {
                    *here = Value::Object(Map::from_iter([(part.clone(), Value::Null)]));
                    &mut here[part.as_str()]
                }
                Value::Array(array) => {
                    let length = array.len();
                    (part.parse().ok().and_then(|index: usize| array.get_mut(index))).ok_or_else(
                        || format!("`{place}` has {length} elements, no element `{part}`"),
                    )?
                }
                other => {
                    let other = names::short(&other.to_string());
                    return Err(format!("`{place}` is {other}, which has no field `{part}`"));
                }
            };
        }
        *here = self.value.clone();
        Ok(())
    }
}

/// The name with dots in it that the beginning of `path` spells without quotes.
fn dotted_name<'o>(object: &'o Map<String, Value>, path: &[String]) -> Option<&'o str> {
    if object.contains_key(&path[0]) {
        return None;
    }
    let unquoted = path.join(".") + ".";
    let meant = |name: &&String| unquoted.starts_with(&format!("{name}."));
    object.keys().find(meant).map(String::as_str)
}

impl FromStr for Override {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        const FORM: &str = "expected PATH=VALUE, for example agents.ppo.training.algorithm.gamma=0.98, with names \
                            that have a dot in quotes: 'agents.\"ppo-0.1\".policy.hidden=[32]'";
        let (path, value) = path::parse(written).map_err(|error| format!("{error}; {FORM}"))?;
        let value = value.strip_prefix('=').ok_or(FORM)?;
        // What is no JSON is a string, so that nobody has to quote quotes in a shell.
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.into()));
        Ok(Self { path, value, written: written.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Override;

    fn set(experiment: serde_json::Value, written: &str) -> Result<serde_json::Value, String> {
        let mut changed = experiment;
        written.parse::<Override>()?.apply(&mut changed)?;
        Ok(changed)
    }

    #[test]
    fn values_are_json_or_else_text() {
        assert_eq!(set(json!({"a": 1}), "a=2.5"), Ok(json!({"a": 2.5})));
        assert_eq!(set(json!({}), "a=[1,2]"), Ok(json!({"a": [1, 2]})));
        assert_eq!(set(json!({}), "a=CartPole-v1"), Ok(json!({"a": "CartPole-v1"})));
    }

    #[test]
    fn paths_reach_into_objects_and_arrays() {
        assert_eq!(set(json!({"a": {"b": [1, 2]}}), "a.b.1=7"), Ok(json!({"a": {"b": [1, 7]}})));
        assert_eq!(set(json!({}), "a.b=1"), Ok(json!({"a": {"b": 1}})));
    }

    #[test]
    fn impossible_paths_are_refused() {
        assert!(set(json!({"a": 1}), "a.b=1").is_err());
        assert!(set(json!({"a": [1]}), "a.5=1").is_err());
        assert!(set(json!({}), "a").is_err());
        assert!(set(json!({}), "a..b=1").is_err());
    }
}

//! `--set PATH=VALUE`: changes to an experiment from the command line.

use std::str::FromStr;

use serde_json::{Map, Value};

/// One override: a dotted path and the value to put there.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    path: Vec<String>,
    value: Value,
    written: String,
}

impl Override {
    /// Puts `value` at `path`, names joined by dots.
    pub fn new(path: &str, value: Value) -> Self {
        let written = format!("{path}={value}");
        Self { path: path.split('.').map(str::to_owned).collect(), value, written }
    }

    /// The override as the user wrote it.
    pub fn as_written(&self) -> &str {
        &self.written
    }

    /// Puts the value in its place; missing objects on the way are made, so that whatever is wrong with
    /// the path is reported like any other unknown field.
    ///
    /// # Errors
    /// Fails if the path leads through something that is neither an object nor an array element.
    pub fn apply(&self, experiment: &mut Value) -> Result<(), String> {
        let mut here = experiment;
        for (depth, part) in self.path.iter().enumerate() {
            let place = self.path[..depth].join(".");
            here = match here {
                Value::Object(object) => object.entry(part).or_insert(Value::Null),
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
                    return Err(format!("`{place}` is {other}, which has no field `{part}`"));
                }
            };
        }
        *here = self.value.clone();
        Ok(())
    }
}

impl FromStr for Override {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let (path, value) = written
            .split_once('=')
            .ok_or("expected PATH=VALUE, for example agents.ppo.training.algorithm.gamma=0.98")?;
        let path: Vec<_> = path.split('.').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            return Err("expected a path of names joined by dots before the `=`".into());
        }
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

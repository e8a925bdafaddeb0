//! Hyperparameters that change while training goes on.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::experiment::{Problem, ScheduleSpec};
use crate::record::Progress;

/// A number, or one that moves linearly over the training's environment steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// The same throughout.
    Constant(f64),
    /// From the first number at the start to the second at the end.
    Linear(f64, f64),
}

impl Schedule {
    /// The value when `remaining` of the training is left, from 1 at the start to 0 at the end.
    pub fn at(self, remaining: f64) -> f64 {
        match self {
            Schedule::Constant(value) => value,
            Schedule::Linear(from, to) => to + remaining * (from - to),
        }
    }

    /// Whether it needs to know how long training lasts.
    fn moves(self) -> bool {
        matches!(self, Schedule::Linear(..))
    }
}

/// The `settings`, by name, that cannot follow `schedule` because it does not say how many steps there are.
pub fn problems(settings: &[(&str, Option<Schedule>)], schedule: &ScheduleSpec) -> Vec<Problem> {
    let stuck = |setting: &Option<Schedule>| {
        schedule.steps.is_none() && setting.is_some_and(Schedule::moves)
    };
    let stuck = settings.iter().filter(|(_, setting)| stuck(setting));
    let message = "moves over the schedule's `steps`: set `schedule.steps`, or use one number";
    stuck.map(|(name, _)| Problem::new(&["training", "algorithm", name], message)).collect()
}

/// The part of the training that is left, by its environment steps; 1 where `schedule` does not say how
/// many there are.
pub fn remaining(schedule: &ScheduleSpec, progress: Progress) -> f64 {
    schedule.steps.map_or(1.0, |total| (1.0 - progress.steps as f64 / total as f64).max(0.0))
}

/// `{"linear": from, "to": to}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Linear {
    linear: f64,
    #[serde(default)]
    to: f64,
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Schedule::Constant(value) => value.serialize(serializer),
            Schedule::Linear(linear, to) => Linear { linear, to }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        match value.as_f64() {
            Some(value) => Ok(Schedule::Constant(value)),
            None => serde_json::from_value(value)
                .map(|Linear { linear, to }| Schedule::Linear(linear, to))
                .map_err(serde::de::Error::custom),
        }
    }
}

impl JsonSchema for Schedule {
    fn schema_name() -> Cow<'static, str> {
        "HyperparameterSchedule".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number, or `{\"linear\": from, \"to\": to}`: moving over the schedule's \
                            `steps` from one number to another (0 where `to` is left out).",
            "type": ["number", "object"],
            "minimum": 0.0,
            "properties": {
                "linear": { "type": "number", "minimum": 0.0 },
                "to": { "type": "number", "minimum": 0.0 },
            },
            "required": ["linear"],
            "additionalProperties": false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_survive_json() {
        for (text, schedule) in [
            ("0.5", Schedule::Constant(0.5)),
            (r#"{"linear":0.2,"to":0.0}"#, Schedule::Linear(0.2, 0.0)),
        ] {
            let read: Schedule = serde_json::from_str(text).expect("a schedule");
            assert_eq!(read, schedule);
            assert_eq!(serde_json::to_string(&read).expect("a schedule"), text);
        }
        let read: Schedule = serde_json::from_str(r#"{"linear": 0.2}"#).expect("a schedule");
        assert_eq!((read.at(1.0), read.at(0.5), read.at(0.0)), (0.2, 0.1, 0.0));
    }
}

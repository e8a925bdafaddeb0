//! Hyperparameters that change while training goes on.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::env::Problem;
use crate::experiment::ScheduleSpec;
use crate::record::Progress;

/// A hyperparameter that may be annealed: a number, or one that moves linearly over the training's steps or
/// episodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Annealed {
    /// The same throughout.
    Constant(f64),
    /// From the first number at the start to the second at the end.
    Linear(f64, f64),
}

impl Annealed {
    /// The value when `remaining` of the training is left, from 1 at the start to 0 at the end.
    pub fn at(self, remaining: f64) -> f64 {
        match self {
            Annealed::Constant(value) => value,
            Annealed::Linear(from, to) => to + remaining * (from - to),
        }
    }

    /// Whether it needs to know how long training lasts.
    fn moves(self) -> bool {
        matches!(self, Annealed::Linear(..))
    }
}

/// The `settings`, by name, that cannot follow `schedule` because it does not say how much training there
/// is.
pub fn problems(settings: &[(&str, Option<Annealed>)], schedule: &ScheduleSpec) -> Vec<Problem> {
    let stuck =
        |setting: &Option<Annealed>| !is_bounded(schedule) && setting.is_some_and(Annealed::moves);
    let stuck = settings.iter().filter(|(_, setting)| stuck(setting));
    let message =
        "moves over the schedule's `steps` or `episodes`: set one of them, or use one number";
    stuck.map(|(name, _)| Problem::new(&["training", "algorithm", name], message)).collect()
}

/// The part of the training that is left: by its environment steps, or where `schedule` does not say how many
/// there are by its episodes; 1 where it says neither.
pub fn remaining(schedule: &ScheduleSpec, progress: Progress) -> f64 {
    let left = |done: u64, total: u64| (1.0 - done as f64 / total as f64).max(0.0);
    match (schedule.steps, schedule.episodes) {
        (Some(total), _) => left(progress.steps, total),
        (None, Some(total)) => left(progress.episodes, total),
        (None, None) => 1.0,
    }
}

/// Whether `schedule` says how much training there is, as [`remaining`] needs it.
pub fn is_bounded(schedule: &ScheduleSpec) -> bool {
    schedule.steps.is_some() || schedule.episodes.is_some()
}

/// The most samples that training collects, `each` of them between two looks at the schedule.
pub fn most_samples(schedule: &ScheduleSpec, each: usize) -> usize {
    let steps = schedule.steps.and_then(|steps| steps.checked_next_multiple_of(each as u64));
    steps.and_then(|steps| usize::try_from(steps).ok()).unwrap_or(usize::MAX)
}

/// `{"linear": from, "to": to}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Linear {
    linear: f64,
    #[serde(default)]
    to: f64,
}

impl Serialize for Annealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Annealed::Constant(value) => value.serialize(serializer),
            Annealed::Linear(linear, to) => Linear { linear, to }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Annealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        match value.as_f64() {
            Some(value) => Ok(Annealed::Constant(value)),
            None => serde_json::from_value(value)
                .map(|Linear { linear, to }| Annealed::Linear(linear, to))
                .map_err(serde::de::Error::custom),
        }
    }
}

impl JsonSchema for Annealed {
    fn schema_name() -> Cow<'static, str> {
        "HyperparameterSchedule".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number, or `{\"linear\": from, \"to\": to}`: moving over the schedule's \
                            `steps` (or `episodes`) from one number to another (0 where `to` is left out).",
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
    fn samples_are_collected_until_the_steps_are_reached() {
        let of = |steps| ScheduleSpec { steps, ..ScheduleSpec::default() };
        assert_eq!(most_samples(&of(Some(128)), 64), 128);
        assert_eq!(most_samples(&of(Some(129)), 64), 192);
        assert_eq!(most_samples(&of(Some(u64::MAX)), 64), usize::MAX);
        assert_eq!(most_samples(&of(None), 64), usize::MAX);
    }

    #[test]
    fn both_forms_survive_json() {
        for (text, annealed) in [
            ("0.5", Annealed::Constant(0.5)),
            (r#"{"linear":0.2,"to":0.0}"#, Annealed::Linear(0.2, 0.0)),
        ] {
            let read: Annealed = serde_json::from_str(text).expect("a number that may move");
            assert_eq!(read, annealed);
            assert_eq!(serde_json::to_string(&read).expect("a number that may move"), text);
        }
        let read: Annealed =
            serde_json::from_str(r#"{"linear": 0.2}"#).expect("a number that may move");
        assert_eq!((read.at(1.0), read.at(0.5), read.at(0.0)), (0.2, 0.1, 0.0));
    }
}

//! Recorded trajectories: reading them, replaying them, and telling how far a replay is off.
//!
//! # Format
//! A JSON object with `env_id`, `kwargs` (the environment's options) and `trajectories`. In a trajectory,
//! `reset(seed)` gives `reset_obs` and `reset_info`; then for every k, `step(actions[k])` gives `obs[k]`,
//! `reward[k]`, `terminated[k]` and `truncated[k]`, where `obs[k]` is the episode's final observation when it
//! ended. After an end, a reset without a seed gives the entry of `resets` whose `after_step` is k.
//! Optional: `state` and `reset_state` (the internal state in float64; CarRacing calls them `car` and
//! `reset_car`, MuJoCo divides them into `qpos`, `qvel`, `reset_qpos` and `reset_qvel`), `info` per step, `reset_layout` (what the first reset built). Discrete observations are
//! whole numbers, tuples and boxes lists; float32 values are written as the float64 they widen to; pictures
//! are digested to `{crc32, mean, px}`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use crc::{CRC_32_ISO_HDLC, Crc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::environment::Info;
use crate::input;
use crate::registry;
use crate::space::Space;
use crate::spec::{EnvSpec, Options};
use crate::time_limit::TimeLimit;

/// The checksum of zlib and PNG.
const CRC_32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// A file of recorded trajectories of one environment.
#[derive(Debug, Deserialize)]
pub struct Recording {
    /// Which environment.
    pub env_id: String,
    /// Its options.
    #[serde(default)]
    pub kwargs: Options,
    /// The trajectories.
    pub trajectories: Vec<Trajectory>,
}

/// One trajectory, recorded or replayed. What was observed is optional in a file that is only replayed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Trajectory {
    /// The seed of the first reset.
    pub seed: u64,
    /// The first observation.
    #[serde(default)]
    pub reset_obs: Value,
    /// The `info` of the first reset.
    #[serde(default)]
    pub reset_info: Info,
    /// The internal state after the first reset.
    #[serde(default, alias = "reset_car", skip_serializing_if = "Option::is_none")]
    pub reset_state: Option<Vec<f64>>,
    /// What the first reset built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_layout: Option<Info>,
    /// The actions, one a step.
    pub actions: Vec<RecordedAction>,
    /// The observation of each step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obs: Option<Vec<Value>>,
    /// The reward of each step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<Vec<f64>>,
    /// Whether each step ended the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminated: Option<Vec<bool>>,
    /// Whether each step reached the time limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<Vec<bool>>,
    /// The resets between episodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets: Option<Vec<Reset>>,
    /// The internal state after each step.
    #[serde(default, alias = "car", skip_serializing_if = "Option::is_none")]
    pub state: Option<Vec<Vec<f64>>>,
    /// The `info` of each step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Vec<Info>>,
    /// The first part of `reset_state` where a recording divides it; [`Recording::read`] joins them.
    #[serde(default, skip_serializing)]
    reset_qpos: Vec<f64>,
    /// The second part of `reset_state`.
    #[serde(default, skip_serializing)]
    reset_qvel: Vec<f64>,
    /// The first part of each `state`.
    #[serde(default, skip_serializing)]
    qpos: Vec<Vec<f64>>,
    /// The second part of each `state`.
    #[serde(default, skip_serializing)]
    qvel: Vec<Vec<f64>>,
}

impl Trajectory {
    /// Joins `qpos` and `qvel` to states.
    fn join_joints(&mut self) {
        let join = |state: &mut Option<Vec<f64>>, qpos: &[f64], qvel: &[f64]| {
            if !qpos.is_empty() {
                *state = Some([qpos, qvel].concat());
            }
        };
        join(&mut self.reset_state, &self.reset_qpos, &self.reset_qvel);
        for reset in self.resets.iter_mut().flatten() {
            join(&mut reset.state, &reset.qpos, &reset.qvel);
        }
        if !self.qpos.is_empty() {
            let states = self.qpos.iter().zip(&self.qvel);
            self.state = Some(states.map(|(qpos, qvel)| [&qpos[..], qvel].concat()).collect());
        }
    }
}

/// A reset between two episodes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Reset {
    /// The step that ended the episode before.
    pub after_step: usize,
    /// The first observation of the new episode.
    pub obs: Value,
    /// Its `info`.
    #[serde(default)]
    pub info: Info,
    /// Its internal state.
    #[serde(default, alias = "car", skip_serializing_if = "Option::is_none")]
    pub state: Option<Vec<f64>>,
    /// The first part of `state` where a recording divides it.
    #[serde(default, skip_serializing)]
    qpos: Vec<f64>,
    /// The second part of `state`.
    #[serde(default, skip_serializing)]
    qvel: Vec<f64>,
}

/// An action as recorded: a whole number, or a list of float32.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedAction(pub Vec<f32>);

impl<'de> Deserialize<'de> for RecordedAction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = |value: &Value| value.as_f64().map(|v| v as f32);
        let action = match &Value::deserialize(deserializer)? {
            Value::Array(list) => list.iter().map(number).collect(),
            value => number(value).map(|v| vec![v]),
        };
        action.map(Self).ok_or_else(|| {
            serde::de::Error::custom("an action is a number or a list of numbers".to_owned())
        })
    }
}

impl Serialize for RecordedAction {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0[..] {
            [whole] if whole.fract() == 0.0 && whole >= 0.0 => {
                serializer.serialize_u64(whole as u64)
            }
            _ => serializer.collect_seq(self.0.iter().map(|&v| f64::from(v))),
        }
    }
}

impl Recording {
    /// Reads a recording.
    ///
    /// # Errors
    /// Names the file and, where its content is broken, the field.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = input::read_text(path)?;
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        let mut recording: Self = serde_path_to_error::deserialize(&mut deserializer)
            .map_err(|error| {
                let field = error.path().to_string();
                anyhow::anyhow!("failed to read {field}: {}", error.into_inner())
            })
            .with_context(|| path.display().to_string())?;
        deserializer.end().with_context(|| path.display().to_string())?;
        recording.trajectories.iter_mut().for_each(Trajectory::join_joints);
        Ok(recording)
    }

    /// The environment's card.
    ///
    /// # Errors
    /// Fails if there is no such environment; names the nearest.
    pub fn spec(&self) -> anyhow::Result<Arc<EnvSpec>> {
        registry::find(&self.env_id)
            .ok_or_else(|| anyhow::anyhow!("env_id: {}", registry::unknown(&self.env_id)))
    }

    /// Replays trajectory number `index` with its seed and actions.
    ///
    /// # Errors
    /// Options that the environment does not take, and actions that are not in its space, by their field.
    pub fn replay(&self, index: usize) -> anyhow::Result<Trajectory> {
        let spec = self.spec()?;
        let env =
            (spec.make)(&self.kwargs).map_err(|error| anyhow::anyhow!(error.below(&["kwargs"])))?;
        let recorded = &self.trajectories[index];
        let mut replayer = Replayer::new(TimeLimit::new(env, spec.max_episode_steps));
        replayer.play(recorded).with_context(|| format!("trajectories[{index}]"))
    }
}

/// Steps an environment through a recorded trajectory.
struct Replayer {
    env: TimeLimit,
    observation: Vec<f32>,
}

impl Replayer {
    fn new(env: TimeLimit) -> Self {
        let observation = vec![0.0; env.env().observation_space().len()];
        Self { env, observation }
    }

    fn obs(&self) -> Value {
        match &self.env.env().trace().observation[..] {
            [] => written(self.env.env().observation_space(), &self.observation),
            precise => json!(precise),
        }
    }

    fn state(&self) -> Option<Vec<f64>> {
        Some(self.env.env().trace().state).filter(|state| !state.is_empty())
    }

    fn play(&mut self, recorded: &Trajectory) -> anyhow::Result<Trajectory> {
        self.env.reset(Some(recorded.seed), &mut self.observation).context("reset")?;
        let mut replayed = Trajectory {
            seed: recorded.seed,
            reset_obs: self.obs(),
            reset_info: self.env.env().info(),
            reset_state: self.state(),
            reset_layout: Some(self.env.env().trace().layout).filter(|layout| !layout.is_empty()),
            actions: recorded.actions.clone(),
            ..Trajectory::default()
        };
        let (mut obs, mut reward, mut terminated, mut truncated) = (vec![], vec![], vec![], vec![]);
        let (mut resets, mut states, mut infos) = (vec![], vec![], vec![]);
        for (k, RecordedAction(action)) in recorded.actions.iter().enumerate() {
            let step = self
                .env
                .step(action, &mut self.observation)
                .with_context(|| format!("actions[{k}]"))?;
            obs.push(self.obs());
            reward.push(step.reward);
            terminated.push(step.terminated);
            truncated.push(step.truncated);
            states.extend(self.state());
            infos.push(self.env.env().info());
            if step.done() {
                self.env.reset(None, &mut self.observation).context("reset")?;
                resets.push(Reset {
                    after_step: k,
                    obs: self.obs(),
                    info: self.env.env().info(),
                    state: self.state(),
                    ..Reset::default()
                });
            }
        }
        replayed.obs = Some(obs);
        replayed.reward = Some(reward);
        replayed.terminated = Some(terminated);
        replayed.truncated = Some(truncated);
        replayed.resets = Some(resets);
        replayed.state = Some(states).filter(|states| !states.is_empty());
        replayed.info = Some(infos).filter(|infos| infos.iter().any(|info| !info.is_empty()));
        Ok(replayed)
    }
}

/// An observation as recordings write it.
fn written(space: &Space, observation: &[f32]) -> Value {
    match space {
        Space::Discrete { .. } => json!(observation[0] as u64),
        space if space.discrete_parts().is_some() => {
            observation.iter().map(|&v| v as u64).collect()
        }
        Space::Box { shape, .. } if shape.len() == 3 => digest(shape[1], observation),
        _ => observation.iter().map(|&v| f64::from(v)).collect(),
    }
}

/// A picture of `width` RGB pixels a row in short: a checksum, the channels' means, and every 16th pixel
/// from the 8th on.
fn digest(width: usize, pixels: &[f32]) -> Value {
    let bytes: Vec<u8> = pixels.iter().map(|&v| v as u8).collect();
    let height = bytes.len() / (3 * width);
    let mean: Vec<f64> = (0..3)
        .map(|channel| {
            let sum: u64 = bytes.iter().skip(channel).step_by(3).map(|&b| u64::from(b)).sum();
            sum as f64 / (width * height) as f64
        })
        .collect();
    let mut px = Vec::new();
    for row in (8..height).step_by(16) {
        for column in (8..width).step_by(16) {
            let at = 3 * (row * width + column);
            px.push(format!("{:02x}{:02x}{:02x}", bytes[at], bytes[at + 1], bytes[at + 2]));
        }
    }
    json!({ "crc32": CRC_32.checksum(&bytes), "mean": mean, "px": px })
}

/// How far one field of a replay is off.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The field, `resets.obs` for a field of the resets.
    pub field: &'static str,
    /// The largest absolute difference; infinite where the shapes or kinds differ.
    pub largest: f64,
    /// Where that was, and both values; empty where there is no difference.
    pub place: String,
    /// Whether no tolerance applies: flags, and what the random stream alone decides.
    pub exact: bool,
    /// Whether the values are pictures, of which the channels' means are compared.
    pub pictures: bool,
}

/// How far the mean of a picture's channel may be off, of 255: another rasteriser draws its edges
/// otherwise.
const PICTURE_TOLERANCE: f64 = 4.0;

impl Difference {
    /// Whether this field is further off than allowed.
    pub fn exceeds(&self, tolerance: f64) -> bool {
        let tolerance = match self {
            Self { exact: true, .. } => 0.0,
            Self { pictures: true, .. } => tolerance.max(PICTURE_TOLERANCE),
            _ => tolerance,
        };
        self.largest > tolerance
    }
}

/// The fields that are compared, and whether exactly whatever the tolerance.
const FIELDS: [(&str, bool); 9] = [
    ("reset_obs", false),
    ("reset_info", false),
    ("reset_state", true),
    ("reset_layout", false),
    ("obs", false),
    ("reward", false),
    ("terminated", true),
    ("truncated", true),
    ("state", false),
];

/// The fields of [`Reset`], likewise.
const RESET_FIELDS: [(&str, bool); 4] = [
    ("resets.after_step", true),
    ("resets.obs", false),
    ("resets.info", false),
    ("resets.state", true),
];

/// Compares a replay with what was recorded, field by field; pictures by the means of their channels. Optional fields that one of the two lacks are
/// left out.
///
/// # Errors
/// Fails if the recording lacks what every recording has.
pub fn compare(recorded: &Trajectory, replayed: &Trajectory) -> anyhow::Result<Vec<Difference>> {
    let (recorded, replayed) = (serde_json::to_value(recorded)?, serde_json::to_value(replayed)?);
    for field in ["reset_obs", "obs", "reward", "terminated", "truncated", "resets"] {
        if recorded.get(field).is_none_or(Value::is_null) {
            bail!("the field {field} is missing, so there is nothing to compare with");
        }
    }
    let mut differences = Vec::new();
    for (field, exact) in FIELDS.into_iter().chain([("info", false)]) {
        if let (Some(recorded), Some(replayed)) = (recorded.get(field), replayed.get(field)) {
            differences.push(largest(field, exact, field, recorded, replayed));
        }
    }
    for (field, exact) in RESET_FIELDS {
        let column = |trajectory: &Value| -> Option<Value> {
            let key = field.trim_start_matches("resets.");
            trajectory["resets"].as_array()?.iter().map(|reset| reset.get(key).cloned()).collect()
        };
        if let (Some(recorded), Some(replayed)) = (column(&recorded), column(&replayed)) {
            differences.push(largest(field, exact, field, &recorded, &replayed));
        }
    }
    Ok(differences)
}

fn largest(
    field: &'static str,
    exact: bool,
    place: &str,
    recorded: &Value,
    replayed: &Value,
) -> Difference {
    let mut worst =
        Difference { field, largest: 0.0, place: String::new(), exact, pictures: false };
    walk(place.to_owned(), recorded, replayed, &mut worst);
    worst
}

fn walk(place: String, recorded: &Value, replayed: &Value, worst: &mut Difference) {
    match (recorded, replayed) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                if a != b {
                    walk(format!("{place}[{i}]"), a, b, worst);
                }
            }
        }
        // Checksums and single pixels tell only whether two rasterisers are the same one.
        (Value::Object(a), Value::Object(b)) if a.contains_key("crc32") => {
            worst.pictures = true;
            walk(format!("{place}.mean"), &a["mean"], &b["mean"], worst);
        }
        (Value::Object(a), Value::Object(b)) if a.keys().all(|key| b.contains_key(key)) => {
            for (key, a) in a {
                walk(format!("{place}.{key}"), a, &b[key], worst);
            }
        }
        _ => {
            let difference = match (recorded.as_f64(), replayed.as_f64()) {
                (Some(a), Some(b)) => (a - b).abs(),
                _ if recorded == replayed => 0.0,
                _ => f64::INFINITY,
            };
            if difference > worst.largest {
                let short = |value: &Value| match value {
                    Value::Array(list) => format!("a list of {}", list.len()),
                    Value::Object(_) => "an object".to_owned(),
                    value => value.to_string(),
                };
                worst.largest = difference;
                worst.place = format!("{place}: {}, recorded {}", short(replayed), short(recorded));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_zlibs() {
        assert_eq!(CRC_32.checksum(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn comparing_finds_the_largest_difference_and_other_shapes() {
        let find = |a: Value, b: Value| largest("obs", false, "obs", &a, &b);
        assert_eq!(find(json!([1.0, [2.0]]), json!([1, [2]])).largest, 0.0);
        let worst = find(json!([1.0, [2.0, 3.0]]), json!([1.5, [2.0, 1.0]]));
        assert_eq!((worst.largest, worst.place.as_str()), (2.0, "obs[1][1]: 1.0, recorded 3.0"));
        assert_eq!(find(json!([1.0]), json!([1.0, 2.0])).largest, f64::INFINITY);
        assert_eq!(find(json!([true]), json!([false])).largest, f64::INFINITY);
    }
}

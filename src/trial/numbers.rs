//! What a take shows beside its picture: for every frame, what was seen, what the policy thought of it, and why it was
//! paid. The same numbers as those of `rushes play --print --json`, compact enough to lie beside every take.

use std::io::Write as _;

use data_encoding::BASE64;
use flate2::{Compression, write::GzEncoder};
use indexmap::IndexMap;
use serde::Serialize;

use crate::env::episode::View;
use crate::env::{Dtype, Env, Meaning, Space};
use crate::record::FORMAT_VERSION;

/// Numbers of an observation or an action that are kept, the first ones.
const MOST_CHANNELS: usize = 128;
/// Significant digits that the largest number of a column is kept with; the others have as many decimals.
const DIGITS: i32 = 5;

/// What a column tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// The action that led to the frame.
    Action,
    /// What is observed.
    Observation,
    /// The reward of the step that led to the frame.
    Reward,
    /// A number of the environment's `info`, as terms of the reward are.
    Info,
    Probability,
    Mean,
    Std,
    QValue,
    Value,
}

/// What the numbers of a column are.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Label {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    unit: String,
    /// What each whole number means, where that is all it can be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    meanings: Vec<String>,
}

/// A column of the file.
#[derive(Serialize)]
struct Column<'a> {
    kind: Kind,
    #[serde(flatten)]
    label: &'a Label,
    /// The numbers are multiples of 10 to the power of minus this.
    decimals: i32,
    /// Those multiples, each as the difference to the one before; null where there is no number.
    deltas: Vec<Option<i64>>,
}

/// The numbers of a take's frames so far.
pub(super) struct Numbers {
    actions: Vec<Label>,
    observations: Vec<Label>,
    /// What probabilities and values of actions are of.
    choices: Vec<Label>,
    columns: IndexMap<(Kind, String), (Label, Vec<f64>)>,
    frames: usize,
}

impl Numbers {
    /// Of no frame yet.
    pub(super) fn new(env: &dyn Env) -> Self {
        let actions = env.action_space();
        let meanings = env.action_meanings();
        let parts = actions.discrete_parts().unwrap_or_default();
        let choices = match &parts[..] {
            [count] => named(*count, meanings.clone()),
            parts => parts
                .iter()
                .enumerate()
                .flat_map(|(part, &count)| (0..count).map(move |value| format!("{part}: {value}")))
                .map(|name| Label { name, ..Label::default() })
                .collect(),
        };
        Self {
            actions: labels("action", actions, meanings),
            observations: labels("state", env.observation_space(), env.observation_meanings()),
            choices,
            columns: IndexMap::new(),
            frames: 0,
        }
    }

    /// Takes in the next frame.
    pub(super) fn see(&mut self, view: &mut View<'_>) {
        let assessment = view.assess().unwrap_or_default();
        let Self { actions, observations, choices, columns, frames } = self;
        let mut put = |kind: Kind, label: &Label, value: f64| {
            let (_, values) = columns
                .entry((kind, label.name.clone()))
                .or_insert_with(|| (label.clone(), Vec::new()));
            values.resize(*frames, f64::NAN);
            values.push(value);
        };
        let single = |name: &str| Label { name: name.to_owned(), ..Label::default() };
        for (kind, values) in
            [(Kind::Probability, &assessment.probabilities), (Kind::QValue, &assessment.q_values)]
        {
            choices.iter().zip(values).for_each(|(label, &value)| put(kind, label, value));
        }
        for (kind, values) in [(Kind::Mean, &assessment.mean), (Kind::Std, &assessment.std)] {
            actions.iter().zip(values).for_each(|(label, &value)| put(kind, label, value));
        }
        if let Some(value) = assessment.value {
            put(Kind::Value, &single("value"), value);
        }
        if let Some((action, step)) = view.last {
            for (label, &value) in actions.iter().zip(action) {
                put(Kind::Action, label, value.into());
            }
            put(Kind::Reward, &single("reward"), step.reward);
        }
        for (name, value) in view.env.env().info() {
            if let Some(value) = value.as_f64() {
                put(Kind::Info, &single(&name), value);
            }
        }
        for (label, &value) in observations.iter().zip(view.observation) {
            put(Kind::Observation, label, value.into());
        }
        *frames += 1;
    }

    /// The file: a page that gives the page around it its data, since a page from disk can read no other file. The data are
    /// JSON, compressed by gzip, in Base64.
    ///
    /// # Errors
    /// Fails if there is no memory left.
    pub(super) fn to_page(&self) -> anyhow::Result<String> {
        #[derive(Serialize)]
        struct Content<'a> {
            format_version: u32,
            frames: usize,
            columns: Vec<Column<'a>>,
        }
        let columns = self.columns.iter().map(|((kind, _), (label, values))| {
            let (decimals, deltas) = pack(values, self.frames);
            Column { kind: *kind, label, decimals, deltas }
        });
        let (format_version, frames) = (FORMAT_VERSION, self.frames);
        let content = Content { format_version, frames, columns: columns.collect() };
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&serde_json::to_vec(&content)?)?;
        let data = BASE64.encode(&packed.finish()?);
        Ok(format!("<!doctype html><script>parent.postMessage(\"{data}\", \"*\")</script>\n"))
    }
}

/// `count` names: the meanings, where there are as many, else numbers.
fn named(count: usize, meanings: Vec<Meaning>) -> Vec<Label> {
    if meanings.len() == count {
        let label = |Meaning { name, unit }| Label { name, unit, meanings: Vec::new() };
        return meanings.into_iter().map(label).collect();
    }
    (0..count).map(|index| Label { name: index.to_string(), ..Label::default() }).collect()
}

/// What the numbers of an element of `space` are; nothing of a picture.
fn labels(name: &str, space: &Space, meanings: Vec<Meaning>) -> Vec<Label> {
    let mut labels = match space {
        Space::Discrete { .. } => {
            let meanings = meanings.into_iter().map(|meaning| meaning.name).collect();
            vec![Label { name: name.to_owned(), meanings, ..Label::default() }]
        }
        // A picture; numbers in two dimensions are a stack of observations.
        Space::Box { shape, dtype, .. }
            if meanings.is_empty() && shape.len() > if *dtype == Dtype::Uint8 { 1 } else { 2 } =>
        {
            Vec::new()
        }
        space => named(space.len(), meanings),
    };
    labels.truncate(MOST_CHANNELS);
    labels
}

/// Decimals, and the differences of the numbers with so many: of `frames` numbers, those that are missing or not finite as
/// nothing.
fn pack(values: &[f64], frames: usize) -> (i32, Vec<Option<i64>>) {
    let largest = values.iter().filter(|value| value.is_finite()).fold(0.0, |a, b| b.abs().max(a));
    let decimals =
        if largest < f64::MIN_POSITIVE { 0 } else { DIGITS - 1 - largest.log10().floor() as i32 };
    let mut before = 0;
    let mut deltas: Vec<Option<i64>> = values
        .iter()
        .map(|value| {
            let now = value.is_finite().then(|| (value * 10_f64.powi(decimals)).round() as i64)?;
            Some(now - std::mem::replace(&mut before, now))
        })
        .collect();
    deltas.resize(frames, None);
    (decimals, deltas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_the_digits_of_the_largest() {
        let nan = f64::NAN;
        assert_eq!(
            pack(&[0.123_456, nan, 1.0, -0.5], 5),
            (4, vec![Some(1235), None, Some(8765), Some(-15000), None])
        );
        assert_eq!(pack(&[123_456.0], 1), (-1, vec![Some(12346)]));
        assert_eq!(pack(&[0.0, 0.0], 2), (0, vec![Some(0); 2]));
        assert_eq!(pack(&[nan], 1), (0, vec![None]));
        assert_eq!(pack(&[2e-9], 1), (13, vec![Some(20000)]));
    }
}

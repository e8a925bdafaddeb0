//! What a training script reports: one JSON object a line (`docs/external-trainers.md`).

use std::io::{Read as _, Seek as _, SeekFrom};

use anyhow::Context as _;
use fs_err::File;
use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::env::{Problem, names};
use crate::record::Moment;

/// The version of the protocol between a trial and its script.
pub(super) const VERSION: u32 = 1;

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// Environment steps of training so far; as before where it says nothing.
    pub(super) steps: Option<u64>,
    /// Seconds of training so far; measured here where it says nothing.
    pub(super) seconds: Option<f64>,
    pub(super) report: Report,
}

/// What a line reports.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Report {
    Hello(Hello),
    Episode(Episode),
    Evaluation(Evaluation),
    Metrics(Metrics),
    Take(Take),
    Checkpoint(Checkpoint),
    Policy(Policy),
    Note(Note),
    End(End),
}

/// The first line of every start of the script.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hello {
    pub(super) version: u32,
    /// Whether it writes checkpoints and goes on from them.
    #[serde(default)]
    pub(super) resumable: bool,
    /// What trains, for the report.
    #[serde(default)]
    pub(super) framework: Option<String>,
}

/// A training episode ended.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Episode {
    pub(super) r#return: f64,
    pub(super) length: u64,
    #[serde(default)]
    pub(super) truncated: bool,
}

/// The policy was evaluated.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evaluation {
    pub(super) moment: Moment,
    pub(super) returns: Vec<f64>,
    pub(super) lengths: Vec<u64>,
    /// The seed of each episode.
    #[serde(default)]
    pub(super) seeds: Vec<u64>,
    /// Which episodes `evaluation.max_episode_steps` cut.
    #[serde(default)]
    pub(super) cut: Vec<bool>,
}

/// Diagnostics of training.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metrics {
    pub(super) metrics: IndexMap<String, f64>,
    /// Updates of the policy so far; one more than before where it says nothing.
    #[serde(default)]
    pub(super) updates: Option<u64>,
}

/// A video that the script left in the trial's directory.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Take {
    pub(super) moment: Moment,
    pub(super) file: String,
    /// A picture of its first frame.
    #[serde(default)]
    pub(super) poster: Option<String>,
    /// The reward of every step of each episode.
    pub(super) rewards: Vec<Vec<f32>>,
    /// The seed of each episode.
    #[serde(default)]
    pub(super) seeds: Vec<u64>,
}

/// Training can go on from here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checkpoint {
    /// The file or folder in the checkpoints' folder.
    pub(super) path: String,
}

/// The trained policy, a file in the trial's directory.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    pub(super) file: String,
}

/// Something that a person should know.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    pub(super) message: String,
}

/// The last line: everything was reported.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    /// Fails if it is no JSON object, of an unknown type, or a field of it is missing, unknown or wrong; the message names
    /// the field.
    pub(super) fn parse(text: &[u8]) -> anyhow::Result<Self> {
        const TYPES: [&str; 9] = [
            "hello",
            "episode",
            "evaluation",
            "metrics",
            "take",
            "checkpoint",
            "policy",
            "note",
            "end",
        ];
        let mut object: Map<String, Value> = serde_json::from_slice(text)
            .context("expected a JSON object whose numbers are finite")?;
        anyhow::ensure!(
            object.values().all(is_moderate),
            "expected numbers between -{MOST:e} and {MOST:e}"
        );
        let kind = object.remove("type").unwrap_or_default();
        let steps = object.remove("steps").map(|v| field("steps", v)).transpose()?;
        let seconds = object.remove("seconds").map(|v| field("seconds", v)).transpose()?;
        let object = Value::Object(object);
        let report = match kind.as_str().unwrap_or_default() {
            "hello" => Report::Hello(fields(object)?),
            "episode" => Report::Episode(fields(object)?),
            "evaluation" => Report::Evaluation(fields(object)?),
            "metrics" => Report::Metrics(fields(object)?),
            "take" => Report::Take(fields(object)?),
            "checkpoint" => Report::Checkpoint(fields(object)?),
            "policy" => Report::Policy(fields(object)?),
            "note" => Report::Note(fields(object)?),
            "end" => Report::End(fields(object)?),
            other => anyhow::bail!("{}", names::unknown("type", other, &TYPES)),
        };
        Ok(Self { steps, seconds, report })
    }
}

fn field<T: DeserializeOwned>(name: &str, value: Value) -> anyhow::Result<T> {
    serde_json::from_value(value).map_err(|error| anyhow::anyhow!("{name}: {error}"))
}

fn fields<T: DeserializeOwned>(object: Value) -> anyhow::Result<T> {
    serde_path_to_error::deserialize(object)
        .map_err(|error| anyhow::anyhow!("{}", Problem::of_serde(&error)))
}

/// Reads the lines of a file that grows.
pub(super) struct Lines {
    file: File,
    /// The beginning of a line whose end is not there yet.
    begun: Vec<u8>,
    /// Lines so far.
    pub(super) number: usize,
}

impl Lines {
    /// The lines of `file` from its beginning.
    pub(super) fn new(file: File) -> Self {
        Self { file, begun: Vec::new(), number: 0 }
    }

    /// Gives each new whole line to `see`.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or became shorter, or `see` fails: the message says in which line.
    pub(super) fn read(
        &mut self,
        mut see: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let at = self.file.stream_position()?;
        anyhow::ensure!(
            self.file.metadata()?.len() >= at,
            "the reports' file became shorter: it may only grow"
        );
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_to_end(&mut self.begun)?;
        let Some(end) = self.begun.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
        let rest = self.begun.split_off(end + 1);
        let whole = std::mem::replace(&mut self.begun, rest);
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            self.number += 1;
            see(line).with_context(|| format!("reports.jsonl, line {}", self.number))?;
        }
        Ok(())
    }

    /// Whether the last line has no end.
    pub(super) fn is_cut(&self) -> bool {
        !self.begun.is_empty()
    }
}

/// Sums and ranges of numbers up to this size stay finite.
const MOST: f64 = 1e30;

fn is_moderate(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_none_or(|number| number.abs() <= MOST),
        Value::Array(values) => values.iter().all(is_moderate),
        Value::Object(values) => values.values().all(is_moderate),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn refused(line: &str) -> String {
        format!("{:#}", Line::parse(line.as_bytes()).expect_err(line))
    }

    #[test]
    fn a_wrong_line_is_told_with_its_field() {
        for (line, told) in [
            ("no", "expected a JSON object whose numbers are finite"),
            (r#"{"type":"episode","return":NaN,"length":1}"#, "numbers are finite"),
            (r#"{"type":"episode","return":1e999,"length":1}"#, "numbers are finite"),
            (r#"{"type":"episode","return":1e308,"length":1}"#, "between -1e30 and 1e30"),
            (r#"{"type":"epsiode"}"#, "unknown type `epsiode`; did you mean `episode`?"),
            (r#"{"return":1}"#, "unknown type ``"),
            (r#"{"type":"episode","return":1}"#, "missing field `length`"),
            (r#"{"type":"episode","return":"1","length":1}"#, "return: "),
            (r#"{"type":"episode","return":1,"length":-1}"#, "length: "),
            (r#"{"type":"episode","return":1,"length":1,"steps":1.5}"#, "steps: "),
            (r#"{"type":"metrics","metrics":{"loss":null}}"#, "metrics.loss: "),
            (r#"{"type":"end","steps":3,"seeds":1}"#, "unknown field `seeds`"),
        ] {
            let message = refused(line);
            assert!(message.contains(told), "{line}: {message}");
        }
    }

    #[test]
    fn lines_are_read_when_they_are_whole() {
        let directory = tempfile::tempdir().expect("room");
        let path = directory.path().join("reports.jsonl");
        let mut script = std::fs::File::create(&path).expect("a file");
        let mut lines = Lines::new(File::open(&path).expect("the file"));
        let mut read = || {
            let mut seen = Vec::new();
            let all = |line: &[u8]| {
                seen.push(String::from_utf8_lossy(line).into_owned());
                Ok(())
            };
            lines.read(all).expect("lines");
            (seen, lines.is_cut())
        };
        assert_eq!(read(), (vec![], false));
        script.write_all(b"a\nb").expect("room");
        assert_eq!(read(), (vec!["a\n".to_owned()], true));
        script.write_all(b"c\n").expect("room");
        assert_eq!(read(), (vec!["bc\n".to_owned()], false));
        script.set_len(1).expect("room");
        assert!(lines.read(|_| Ok(())).is_err());
    }
}

//! What a trial writes down: events as JSON lines, and its result.
//!
//! `events.jsonl` holds one [`Record`] a line, in the order things happened; `result.json` holds one
//! [`TrialResult`] and is written last, so that its presence means the trial is over. Every field is
//! documented for other programs in `docs/output-format.md`.

use std::path::{Component, Path};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::format;
use crate::video::Codec;

/// The version of the on-disk layout (`docs/output-format.md`).
pub const FORMAT_VERSION: u32 = 1;

/// A file of a run directory, which may be somebody else's.
pub trait Stored {
    /// The fields of it that name files and directories of the run, with what they say. Names become paths, so that
    /// each has to be a [`plain_name`].
    fn file_names(&self) -> Vec<(&'static str, &str)>;
}

/// A name that leads out of the run directory, or nowhere.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no plain file name; the run may be made to reach files outside of its directory and is not read"
)]
pub struct UnsafeName(String);

/// Checks that a name is one of a file or directory right where it is looked for.
///
/// # Errors
/// Fails if it is empty, has several parts or control characters, or leads upwards.
pub fn plain_name(name: &str) -> Result<(), UnsafeName> {
    let mut parts = Path::new(name).components();
    let plain = match (parts.next(), parts.next()) {
        (Some(Component::Normal(only)), None) => {
            only == name && !name.contains('\\') && !name.contains(char::is_control)
        }
        _ => false,
    };
    if plain { Ok(()) } else { Err(UnsafeName(format::shorten(name, 60))) }
}

/// How far training has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Finished training episodes.
    pub episodes: u64,
    /// Environment steps taken in training, over all environments.
    pub steps: u64,
    /// Updates of the policy.
    pub updates: u64,
}

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// How far training had come.
    #[serde(flatten)]
    pub progress: Progress,
    /// Wall-clock seconds of training so far, interruptions left out. The only field that differs between
    /// two runs of the same trial.
    pub seconds: f64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Something that happened in a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A training episode ended; `episodes` already counts it.
    Episode {
        /// The sum of its rewards.
        r#return: f64,
        /// Its length in steps; not told of imported trainings by all programs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        length: Option<u64>,
        /// Whether the time limit ended it; not told of imported trainings.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        truncated: Option<bool>,
    },
    /// The policy was updated; means of the metrics since the last such line.
    Update {
        /// Diagnostics by the field's names: `policy_loss`, `entropy`, `gradient_norm`, `learning_rate`, …
        metrics: IndexMap<String, f64>,
    },
    /// The policy was evaluated during training.
    Evaluation {
        /// The return of each episode.
        returns: Vec<f64>,
        /// The length of each episode; empty where an imported training does not tell.
        lengths: Vec<u64>,
        /// Which episodes were cut ([`cut_marks`]).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        cut: Vec<bool>,
    },
    /// Something was filmed.
    Take(TakeRecord),
    /// A checkpoint was written; the environments restarted.
    Checkpoint {
        /// Its number, counted from 1.
        number: u64,
    },
    /// Something that a person should know of how the trial went: a fallback, a damaged checkpoint.
    Note {
        /// What.
        message: String,
    },
    /// Training ended.
    Stopped {
        /// Why.
        reason: StopReason,
    },
}

impl Event {
    /// The name of a number in it that is NaN or infinite. Cheaper than a look at everything: there may be
    /// hundreds of thousands of events a second.
    pub fn not_finite(&self) -> Option<&str> {
        let returns =
            |returns: &[f64]| returns.iter().any(|r| !r.is_finite()).then_some("a return");
        match self {
            Event::Episode { r#return, .. } => returns(&[*r#return]),
            Event::Evaluation { returns: all, .. } => returns(all),
            Event::Take(TakeRecord { take, .. }) => returns(&take.returns).or_else(|| {
                let mut rewards = take.rewards.iter().flatten();
                rewards.any(|reward| !reward.is_finite()).then_some("a reward")
            }),
            Event::Update { metrics } => {
                metrics.iter().find(|(_, value)| !value.is_finite()).map(|(name, _)| &name[..])
            }
            Event::Checkpoint { .. } | Event::Note { .. } | Event::Stopped { .. } => None,
        }
    }
}

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The stop rule held: the task counts as learned.
    Solved,
    /// The schedule's episodes were used up.
    Episodes,
    /// The schedule's steps were used up.
    Steps,
    /// The schedule's updates were used up.
    Updates,
    /// The schedule's seconds were used up.
    Seconds,
    /// The search's scheduler preferred other samples.
    Pruned,
    /// A training script ended by its own decision.
    Trainer,
    /// The user was satisfied (Ctrl-C): a resumed run trains on.
    User,
}

/// A take, and where it stands in the trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TakeRecord {
    /// When it was filmed.
    pub moment: Moment,
    /// File name of the video inside the trial's directory.
    pub file: String,
    /// File name of its first frame as a picture.
    pub poster: String,
    /// File name of what the policy saw and thought at every frame, where that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<String>,
    /// What was filmed.
    pub take: Take,
}

impl TakeRecord {
    fn file_names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let numbers = self.numbers.iter().map(|numbers| ("numbers", numbers.as_str()));
        [("file", self.file.as_str()), ("poster", &self.poster)].into_iter().chain(numbers)
    }
}

/// What was filmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Take {
    /// The seed of each episode.
    pub seeds: Vec<u64>,
    /// The undiscounted return of each episode.
    pub returns: Vec<f64>,
    /// The steps of each episode; its frames are one more, that of the reset.
    pub lengths: Vec<u32>,
    /// Which episodes were cut ([`cut_marks`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<bool>,
    /// The reward of every step of each episode. Step `i` of an episode leads to its frame `i + 1`.
    pub rewards: Vec<Vec<f32>>,
    /// Frames in the file: steps + 1 for every episode.
    pub frames: u64,
    /// Frames per second.
    pub fps: u32,
    /// Width of the video in pixels.
    pub width: u32,
    /// Height of the video in pixels, a caption's bar included.
    pub height: u32,
    /// The compression format.
    pub codec: Codec,
    /// FFmpeg's name of the encoder that wrote it, or `openh264`, the one built in.
    pub encoder: String,
}

/// When a take was filmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Before training.
    Before,
    /// During training.
    During,
    /// Not beside training: an episode of the training itself.
    Training,
    /// After training, or of a policy that does not learn.
    After,
}

/// Episodes played with a fixed policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Seed of the first episode; the others count up. Not known of an imported training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The return of each episode.
    pub returns: Vec<f64>,
    /// The length of each episode; empty where an imported training does not tell.
    pub lengths: Vec<u64>,
    /// Which episodes were cut ([`cut_marks`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<bool>,
}

/// Whether each episode was cut by `evaluation.max_episode_steps` or, in takes, `recording.max_steps`, before the task
/// or a time limit ended it; nothing where none was.
pub fn cut_marks(cut: Vec<bool>) -> Vec<bool> {
    if cut.contains(&true) { cut } else { Vec::new() }
}

/// `result.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialResult {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// The trial's id.
    pub id: String,
    /// The agent's name.
    pub agent: String,
    /// The trial's seed.
    pub seed: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Training's totals; zeros for policies that do not learn.
    pub progress: Progress,
    /// Wall-clock seconds spent training, interruptions left out.
    pub training_seconds: f64,
    /// Training's environment steps per second, without evaluations and filming.
    pub steps_per_second: Option<f64>,
    /// The network engine that was used, where there is a network.
    pub engine: Option<String>,
    /// The evaluation of the untrained policy, for agents that learn.
    pub before: Option<Evaluation>,
    /// The evaluation after training.
    pub after: Option<Evaluation>,
    /// The best policy by the evaluations during training, where there were any: `best.safetensors`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<BestPolicy>,
    /// File name of the policy that a training script left in the trial's directory; our own have `policy.safetensors`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Every take, in the order they were filmed.
    pub takes: Vec<TakeRecord>,
    /// What a person should know of how the trial went: fallbacks, damaged checkpoints.
    pub notes: Vec<String>,
    /// The most memory the trial's process had in use, in bytes.
    pub peak_memory_bytes: Option<u64>,
}

/// The policy of a training that its evaluations found best.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BestPolicy {
    /// How far training had come.
    #[serde(flatten)]
    pub progress: Progress,
    /// The mean return of that evaluation: too good, as it was chosen for it.
    pub mean_return: f64,
}

impl Stored for Record {
    fn file_names(&self) -> Vec<(&'static str, &str)> {
        match &self.event {
            Event::Take(take) => take.file_names().collect(),
            _ => Vec::new(),
        }
    }
}

impl Stored for TrialResult {
    fn file_names(&self) -> Vec<(&'static str, &str)> {
        let takes = self.takes.iter().flat_map(TakeRecord::file_names);
        let policy = self.policy.iter().map(|policy| ("policy", policy.as_str()));
        std::iter::once(("id", self.id.as_str())).chain(policy).chain(takes).collect()
    }
}

impl TrialResult {
    /// Takes over what the event log tells: takes, notes, the evaluation before training (whose first episode has
    /// this seed), and how far training came where the result does not know.
    pub fn gather(&mut self, records: Vec<Record>, evaluation_seed: u64) {
        if let Some(last) = records.last()
            && self.progress == Progress::default()
        {
            self.progress = last.progress;
            self.training_seconds = last.seconds;
        }
        for record in records {
            match record.event {
                Event::Take(take) => self.takes.push(take),
                Event::Note { message } => self.notes.push(message),
                Event::Evaluation { returns, lengths, cut }
                    if record.progress == Progress::default() =>
                {
                    let seed = Some(evaluation_seed);
                    self.before = Some(Evaluation { seed, returns, lengths, cut });
                }
                _ => {}
            }
        }
    }
}

/// A line of `decisions.jsonl`: what a search that halves asynchronously decided, and what it decided by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The agent's name.
    pub agent: String,
    /// The number of its sample.
    pub sample: usize,
    /// What happened to it.
    pub event: RungEvent,
    /// The rung where it did, in environment steps; 0 for a sample that begins.
    pub rung: u64,
    /// The mean over the sample's seeds of what their training returned last, where it reached a rung; nothing where no
    /// episode was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// What happens to a sample at a rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RungEvent {
    /// It was sent to the first rung.
    Started,
    /// All of its trials have come there.
    Reached,
    /// It was sent on, to the next rung or to its end.
    Promoted,
    /// It ends there: nothing was left to decide.
    Stopped,
}

/// `exit.json`: how a trial's process ended that left no result, written by whoever ran it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessExit {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// What is known of it, for people.
    pub error: String,
}

impl Stored for ProcessExit {
    fn file_names(&self) -> Vec<(&'static str, &str)> {
        Vec::new()
    }
}

/// How a trial stands after a runner advanced it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialStatus {
    /// It ran to its end.
    Completed,
    /// It failed by its own account, or took too long.
    Failed,
    /// Its process could not be started, or was killed and left no result: what it would have come to is not known.
    Died,
    /// The user had it end where it stood: it was evaluated, and can go on in a resumed run.
    Stopped,
    /// The user had the run end before this trial began, or while it waited at a checkpoint.
    LeftOut,
    /// It waits at a checkpoint and can go on.
    Paused,
    /// The run was interrupted; the trial can go on.
    Interrupted,
}

impl TrialStatus {
    /// That of a trial with this result.
    pub fn of(result: &TrialResult) -> Self {
        match &result.outcome {
            Outcome::Failed { .. } => TrialStatus::Failed,
            Outcome::Completed { stop_reason: Some(StopReason::User) } => TrialStatus::Stopped,
            Outcome::Completed { .. } => TrialStatus::Completed,
        }
    }
}

/// `attempt.json`: how a trial stood when an engine's job was done with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// The name of the attempt.
    pub name: String,
    /// How the trial stands.
    pub status: TrialStatus,
}

impl Stored for Attempt {
    fn file_names(&self) -> Vec<(&'static str, &str)> {
        Vec::new()
    }
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// To its end.
    Completed {
        /// Why training ended; nothing for policies that do not learn.
        stop_reason: Option<StopReason>,
    },
    /// It failed, was killed or timed out.
    Failed {
        /// What went wrong, for people.
        error: String,
    },
}

impl Outcome {
    /// Whether the trial failed.
    pub fn failed(&self) -> bool {
        matches!(self, Outcome::Failed { .. })
    }

    /// What went wrong, where something did.
    pub fn error(&self) -> Option<&str> {
        match self {
            Outcome::Failed { error } => Some(error),
            Outcome::Completed { .. } => None,
        }
    }

    /// Why training ended, where it did.
    pub fn stop_reason(&self) -> Option<StopReason> {
        match self {
            Outcome::Completed { stop_reason } => *stop_reason,
            Outcome::Failed { .. } => None,
        }
    }
}

/// `run.json`: the circumstances of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// The run's directory name.
    pub run: String,
    /// What the user calls it (`--label`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How the run stands.
    pub status: RunStatus,
    /// When it was first started, UTC.
    pub started: jiff::Timestamp,
    /// When it ended, UTC.
    pub finished: Option<jiff::Timestamp>,
    /// The command that started it.
    pub command: Vec<String>,
    /// The experiment file, as given on the command line.
    pub experiment_file: String,
    /// Overrides given by `--set`, as written.
    pub overrides: Vec<String>,
    /// How many trials ran at a time.
    pub jobs: usize,
    /// Versions of what decides the numbers.
    pub versions: IndexMap<String, String>,
    /// The commit of the folder that holds the experiment file, where it is in a git repository.
    pub git: Option<GitInfo>,
    /// Operating system, processor, cores.
    pub machine: IndexMap<String, String>,
    /// The signature of the commands that the run starts ([`crate::trust`]), where it starts any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

impl Stored for RunInfo {
    fn file_names(&self) -> Vec<(&'static str, &str)> {
        vec![("run", &self.run)]
    }
}

/// The state of the git repository around an experiment file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitInfo {
    /// The commit's hash.
    pub commit: String,
    /// Whether anything differed from that commit.
    pub dirty: bool,
}

impl GitInfo {
    /// The commit in a few characters, with a plus where anything differed from it.
    pub fn short(&self) -> String {
        let short: String = self.commit.chars().take(9).collect();
        if self.dirty { format!("{short}+") } else { short }
    }
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Trials are running, or the program was killed.
    Running,
    /// Stopped by the user, or a search could not decide because trials kept dying; `--resume` goes on.
    Interrupted,
    /// Brought to an early end by the user: what ran was evaluated, the rest was left out; `--resume` goes on.
    Stopped,
    /// All trials are over.
    Finished,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_file_names() {
        for name in ["ppo--s0", "a b.mp4", "..x", "ä", "-"] {
            assert!(plain_name(name).is_ok(), "{name}");
        }
        for name in
            ["", ".", "..", "/", "/etc", "../x", "a/b", "a/", "./a", "a\\b", "a\0b", "a\u{1b}[2J"]
        {
            assert!(plain_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn events_know_which_of_their_numbers_is_not_finite() {
        let update = |value| Event::Update { metrics: [("policy_loss".to_owned(), value)].into() };
        assert_eq!(update(f64::NAN).not_finite(), Some("policy_loss"));
        assert_eq!(update(1.0).not_finite(), None);
        let episode =
            |r#return| Event::Episode { r#return, length: Some(1), truncated: Some(false) };
        assert_eq!(episode(f64::INFINITY).not_finite(), Some("a return"));
        assert_eq!(episode(f64::MAX).not_finite(), None);
        let evaluation = |last| Event::Evaluation {
            returns: vec![0.0, last],
            lengths: vec![1, 1],
            cut: Vec::new(),
        };
        assert_eq!(evaluation(f64::NAN).not_finite(), Some("a return"));
        assert_eq!(evaluation(0.0).not_finite(), None);
    }
}

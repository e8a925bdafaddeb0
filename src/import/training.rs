//! A training that another program made, as far as its files tell of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::layout::{Labels, Numbered};
use crate::experiment::FinalScore;
use crate::stats;

/// A training with all that its files tell of it.
#[derive(Debug)]
pub struct Training {
    /// The environment's id.
    pub environment: String,
    /// The agent's name.
    pub agent: String,
    /// The seed, or the number that its program gave it.
    pub seed: u64,
    /// The programs that wrote the files.
    pub programs: BTreeSet<&'static str>,
    /// What the final score is of.
    pub score: FinalScore,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    /// The folder whose number is the seed, where that was guessed.
    pub(super) numbered: Option<Numbered>,
    pub(super) episodes: Vec<Episode>,
    pub(super) means: bool,
    pub(super) copies: Option<u64>,
    pub(super) evaluations: Vec<EvaluationPoint>,
    pub(super) films: Vec<PathBuf>,
}

impl Training {
    /// How many training returns there are.
    pub fn returns(&self) -> usize {
        self.episodes.len()
    }

    /// Whether each of them is a mean over several episodes.
    pub fn means(&self) -> bool {
        self.means
    }

    /// How many evaluations there are.
    pub fn evaluations(&self) -> usize {
        self.evaluations.len()
    }

    /// How many films there are.
    pub fn films(&self) -> usize {
        self.films.len()
    }

    /// Environment steps, as far as the files reach.
    pub fn steps(&self) -> u64 {
        let played = self.episodes.last().map_or(0, |episode| episode.steps);
        played.max(self.evaluations.last().map_or(0, |evaluation| evaluation.steps))
    }

    /// The returns that the final score is the mean of.
    pub fn final_returns(&self) -> Vec<f64> {
        match (self.score, self.evaluations.last()) {
            (FinalScore::Evaluation, Some(last)) => last.returns.clone(),
            (FinalScore::TrainingReturns(last), _) => {
                let from = self.episodes.len().saturating_sub(last);
                self.episodes[from..].iter().map(|episode| episode.r#return).collect()
            }
            (FinalScore::Evaluation, None) => Vec::new(),
        }
    }

    /// The final score.
    pub fn final_score(&self) -> Option<f64> {
        stats::mean(&self.final_returns())
    }
}

/// What one file tells of one training.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The program that wrote the file, or the format's name.
    pub(super) program: &'static str,
    /// What the file itself says of the training.
    pub(super) labels: Labels,
    /// The training returns, in order.
    pub(super) episodes: Vec<Episode>,
    /// Whether each of them is the program's own mean over several episodes.
    pub(super) means: bool,
    /// How many copies of the environment there are, where the episodes are all of theirs from the training's beginning.
    pub(super) copies: Option<u64>,
    /// The evaluations, in order.
    pub(super) evaluations: Vec<EvaluationPoint>,
    /// When the file was begun, in seconds since 1970.
    pub(super) started: Option<f64>,
    /// What a person should know of the file.
    pub(super) notes: Vec<String>,
}

impl Source {
    /// Several files of one training as one, one after another; seconds count from when the first one was begun. Nothing
    /// where there are none.
    pub(super) fn joined(sources: Vec<Self>) -> Option<Self> {
        let begun = sources.iter().filter_map(|source| source.started).reduce(f64::min);
        let mut sources = sources.into_iter().map(|mut source| {
            let later = source.started.zip(begun).map_or(0.0, |(own, first)| own - first);
            for seconds in source.episodes.iter_mut().filter_map(|e| e.seconds.as_mut()) {
                *seconds += later;
            }
            source
        });
        let mut whole = sources.next()?;
        for source in sources {
            whole.episodes.extend(source.episodes);
            whole.evaluations.extend(source.evaluations);
            whole.notes.extend(source.notes);
        }
        Some(Self { started: begun, ..whole })
    }

    /// Adds an episode of the evaluation after so many steps.
    pub(super) fn evaluate(&mut self, steps: u64, r#return: f64) {
        match self.evaluations.last_mut() {
            Some(last) if last.steps == steps => last.returns.push(r#return),
            _ => {
                let (returns, lengths) = (vec![r#return], Vec::new());
                self.evaluations.push(EvaluationPoint { steps, returns, lengths });
            }
        }
    }

    /// Whether nothing was trained or evaluated.
    pub(super) fn is_empty(&self) -> bool {
        self.episodes.is_empty() && self.evaluations.is_empty()
    }

    /// The steps of its first return, and of its last.
    pub(super) fn span(&self) -> Option<(u64, u64)> {
        let played = self.episodes.iter().map(|episode| episode.steps);
        let steps = played.chain(self.evaluations.iter().map(|evaluation| evaluation.steps));
        steps.fold(None, |span, at| {
            let (first, last) = span.unwrap_or((at, at));
            Some((first.min(at), last.max(at)))
        })
    }

    /// Leaves out what came after `steps`, where the training went on from an earlier state: how many returns.
    pub(super) fn go_back_to(&mut self, steps: u64) -> usize {
        let before = self.episodes.len() + self.evaluations.len();
        self.episodes.retain(|episode| episode.steps < steps);
        self.evaluations.retain(|evaluation| evaluation.steps < steps);
        before - self.episodes.len() - self.evaluations.len()
    }
}

/// A training episode, or a mean over several.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Episode {
    /// Environment steps when it ended, over all copies of the environment.
    pub(super) steps: u64,
    /// Seconds of the training until then.
    pub(super) seconds: Option<f64>,
    /// The sum of its rewards.
    pub(super) r#return: f64,
    /// Its length in steps.
    pub(super) length: Option<u64>,
}

/// An evaluation during training or after it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EvaluationPoint {
    /// Environment steps of the training until then.
    pub(super) steps: u64,
    /// The return of each episode, or their mean alone.
    pub(super) returns: Vec<f64>,
    /// The length of each episode in steps; empty where that is not told.
    pub(super) lengths: Vec<u64>,
}

/// Checks that a number of a file can be computed with.
///
/// # Errors
/// Fails if it is infinite, no number or so large that its square is not finite; `place` says where it stands.
pub(super) fn finite(
    value: f64,
    what: &str,
    place: impl FnOnce() -> String,
) -> anyhow::Result<f64> {
    const MOST: f64 = 1e150;
    anyhow::ensure!(
        value.is_finite(),
        "{}: expected a finite number as {what}, found {value}",
        place()
    );
    anyhow::ensure!(
        value.abs() <= MOST,
        "{}: expected a {what} between -1e150 and 1e150, found {value:e}",
        place()
    );
    Ok(value)
}

/// A number that was written as one of any kind, and counts something: `what`.
///
/// # Errors
/// Fails if it is negative, has a fraction or is too large.
pub(super) fn whole(value: f64, what: &str, place: impl FnOnce() -> String) -> anyhow::Result<u64> {
    const MOST: f64 = 9e15;
    anyhow::ensure!(
        (0.0..=MOST).contains(&value) && value.fract() == 0.0,
        "{}: expected a whole number as {what}, from 0 to 9e15, found {value}",
        place()
    );
    Ok(value as u64)
}

//! A training that another program made, as far as its files tell of it.

use super::layout::Labels;

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
/// Fails if it is infinite or no number; `place` says where it stands.
pub(super) fn finite(
    value: f64,
    what: &str,
    place: impl FnOnce() -> String,
) -> anyhow::Result<f64> {
    anyhow::ensure!(
        value.is_finite(),
        "{}: expected a finite number as {what}, found {value}",
        place()
    );
    Ok(value)
}

/// A number of steps that was written as a number of any kind.
///
/// # Errors
/// Fails if it is negative, has a fraction or is too large.
pub(super) fn steps(value: f64, place: impl FnOnce() -> String) -> anyhow::Result<u64> {
    const MOST: f64 = 9e15;
    anyhow::ensure!(
        (0.0..=MOST).contains(&value) && value.fract() == 0.0,
        "{}: expected a whole number of steps that is not negative, found {value}",
        place()
    );
    Ok(value as u64)
}

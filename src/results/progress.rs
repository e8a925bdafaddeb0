//! How far a run has come, as far as what its trials have written tells.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::run::RunData;
use super::trial::Trial;
use crate::format;
use crate::record::{Progress, RunStatus};
use crate::stats;

/// Shares of a schedule below this tell too little of how long the rest takes.
const ENOUGH: f64 = 0.01;

/// How far a run that goes on has come.
#[derive(Debug, Clone, PartialEq)]
pub struct RunProgress {
    /// Trials, as far as they are decided.
    pub trials: usize,
    /// Trials that are over, failed ones included.
    pub over: usize,
    /// Whether a search may still add trials.
    pub may_grow: bool,
    /// The trials under way.
    pub running: Vec<TrialProgress>,
    /// About how long the training that is left takes, in seconds, by what it took so far; nothing where no agent has
    /// trained for long enough.
    pub seconds_left: Option<f64>,
}

/// A trial under way.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialProgress {
    /// The agent.
    pub agent: String,
    /// The number of its sample, in a search.
    pub sample: Option<usize>,
    /// The trial's seed.
    pub seed: u64,
    /// How much of its schedule is used up, from 0 to 1; nothing for a policy that does not learn.
    pub share: Option<f64>,
    /// How far training has come.
    pub progress: Progress,
    /// The mean over its last training episodes.
    pub recent_return: Option<f64>,
    /// The mean return of its latest evaluation during training.
    pub evaluated: Option<f64>,
    /// About how long its training still takes, in seconds.
    pub seconds_left: Option<f64>,
}

impl RunProgress {
    /// Reads it off a run; nothing where no process works on it.
    pub fn of(run: &RunData) -> Option<Self> {
        let info = run.info.as_ref()?;
        if info.status != RunStatus::Running || !run.dir.is_alive() {
            return None;
        }
        let jobs = info.jobs.max(1);
        // Paused trials of a search, and those of an earlier attempt, wrote nothing lately.
        let mut open: Vec<&Trial> =
            run.trials.iter().map(AsRef::as_ref).filter(|trial| trial.is_open()).collect();
        open.sort_by_key(|trial| std::cmp::Reverse(trial.touched));
        open.truncate(jobs);
        open.sort_by_key(|trial| {
            run.trials.iter().position(|other| other.plan.id == trial.plan.id)
        });
        Some(Self {
            trials: run.trials.len(),
            over: run.trials.iter().filter(|trial| trial.is_over()).count(),
            may_grow: run.plan.experiment.search.is_some(),
            running: open.into_iter().map(TrialProgress::of).collect(),
            seconds_left: seconds_left(run, jobs),
        })
    }

    /// How much of the run is done, from 0 to 1, each trial counted alike.
    pub fn share(&self) -> f64 {
        let running: f64 = self.running.iter().filter_map(|trial| trial.share).sum();
        (self.over as f64 + running) / self.trials.max(1) as f64
    }

    /// How far it has come, in words.
    pub fn sentence(&self) -> String {
        let mut sentence = format!(
            "{} of {} {} over",
            format::count(self.over as u64),
            format::plural(self.trials, "trial"),
            if self.over == 1 { "is" } else { "are" }
        );
        if self.may_grow {
            sentence.push_str(", more may follow from the search");
        }
        if let Some(left) = self.seconds_left.filter(|left| *left > 0.0) {
            sentence
                .push_str(&format!(", about {} of training left", format::seconds(left.ceil())));
        }
        sentence
    }
}

impl TrialProgress {
    fn of(trial: &Trial) -> Self {
        Self {
            agent: trial.plan.agent_name().into_owned(),
            sample: trial.plan.sample,
            seed: trial.plan.seed,
            share: trial.share(),
            progress: trial.progress,
            recent_return: trial.recent_return(),
            evaluated: trial.evaluated(),
            seconds_left: trial.expected_seconds().map(|whole| whole - trial.seconds),
        }
    }
}

impl Trial {
    /// Whether it has begun and is not over.
    fn is_open(&self) -> bool {
        self.touched.is_some() && self.result.is_none()
    }

    /// How much of its schedule is used up; nothing for a policy that does not learn.
    fn share(&self) -> Option<f64> {
        Some(self.plan.settings.schedule()?.share(self.progress, self.seconds))
    }

    /// How long its training takes in all, in seconds; nothing where that cannot be told yet.
    fn expected_seconds(&self) -> Option<f64> {
        match &self.result {
            Some(result) => self.share().map(|_| result.training_seconds),
            None => self.share().filter(|&share| share >= ENOUGH).map(|share| self.seconds / share),
        }
    }
}

/// The training that is left over all trials, `jobs` at a time. A trial that tells nothing yet takes as long as the
/// others of its agent, or else as all others.
fn seconds_left(run: &RunData, jobs: usize) -> Option<f64> {
    let mut by_agent: BTreeMap<Cow<'_, str>, Vec<f64>> = BTreeMap::new();
    for trial in &run.trials {
        let known = by_agent.entry(trial.plan.agent_name()).or_default();
        known.extend(trial.expected_seconds());
    }
    let all: Vec<f64> = by_agent.values().flatten().copied().collect();
    let of = |agent: &str| stats::mean(&by_agent[agent]).or_else(|| stats::mean(&all));
    let mut left = Vec::new();
    for trial in run.trials.iter().filter(|t| t.result.is_none() && t.share().is_some()) {
        let whole = trial.expected_seconds().or_else(|| of(&trial.plan.agent_name()))?;
        left.push((whole - trial.seconds).max(0.0));
    }
    let longest = left.iter().copied().fold(0.0, f64::max);
    Some((left.iter().sum::<f64>() / jobs as f64).max(longest))
}

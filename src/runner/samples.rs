//! How the samples of a search stand, as a table.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use super::pace::Pace;
use crate::experiment::{SchedulerSpec, TrialPlan};
use crate::format;
use crate::record::{Outcome, StopReason, TrialResult};
use crate::stats;

/// The most samples that are listed, the furthest and best of them.
const LISTED: usize = 15;

/// The trials of a search's samples, as far as they have been seen.
#[derive(Default)]
pub(super) struct Samples {
    /// By agent and number, and by their ids.
    seen: BTreeMap<(String, usize), HashMap<String, Stand>>,
    /// Whether something has happened since the table was made last.
    changed: bool,
}

/// How a trial stands.
#[derive(Debug, Clone, Copy)]
struct Stand {
    state: State,
    steps: u64,
    mean_return: Option<f64>,
}

/// In the order in which one of them tells of a sample of several trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Failed,
    Running,
    Paused,
    Stopped,
    Done,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Done => "done",
        }
    }
}

impl Samples {
    /// Takes note of a trial that starts or goes on.
    pub(super) fn starts(&mut self, plan: &TrialPlan) {
        self.see(plan, Stand { state: State::Running, steps: 0, mean_return: None });
    }

    /// Takes note of a trial that waits at a checkpoint.
    pub(super) fn pauses(&mut self, plan: &TrialPlan, pace: &Pace) {
        self.see(plan, Stand::at(State::Paused, pace));
    }

    /// Takes note of a trial that is over.
    pub(super) fn ends(&mut self, plan: &TrialPlan, result: &TrialResult) {
        let last = || self.seen.get(&key(plan)?)?.get(&plan.id)?.mean_return;
        let evaluated = result.after.as_ref().and_then(|after| stats::mean(&after.returns));
        let state = match &result.outcome {
            Outcome::Failed { .. } => State::Failed,
            Outcome::Completed { stop_reason: Some(StopReason::Pruned) } => State::Stopped,
            Outcome::Completed { .. } => State::Done,
        };
        let mean_return = evaluated.or_else(last);
        self.see(plan, Stand { state, steps: result.progress.steps, mean_return });
    }

    fn see(&mut self, plan: &TrialPlan, stand: Stand) {
        if let Some(key) = key(plan) {
            self.changed = true;
            self.seen.entry(key).or_default().insert(plan.id.clone(), stand);
        }
    }

    /// The table, where a trial has begun or ended since it was made last. `values` are the searched values of a sample, and
    /// `pace` is that of a running trial, by its id.
    pub(super) fn table<'a>(
        &mut self,
        scheduler: &SchedulerSpec,
        values: &HashMap<(String, usize), String>,
        pace: impl Fn(&str) -> Option<&'a Pace>,
    ) -> Option<Vec<String>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        for (id, stand) in self.seen.values_mut().flatten() {
            if let Some(pace) = pace(id) {
                *stand = Stand::at(State::Running, pace);
            }
        }
        let mut samples: Vec<(&(String, usize), Stand)> = (self.seen.iter())
            .filter_map(|(key, trials)| Some((key, Stand::over(trials.values())?)))
            .collect();
        let by_return = |stand: &Stand| stand.mean_return.unwrap_or(f64::NEG_INFINITY);
        samples.sort_by(|(_, a), (_, b)| {
            let far = |stand: &Stand| Reverse(scheduler.rung(stand.steps).unwrap_or(stand.steps));
            far(a).cmp(&far(b)).then(by_return(b).total_cmp(&by_return(a)))
        });
        let header = ["sample", "state", "rung", "steps", "mean return"].map(String::from);
        let row = |((agent, number), stand): &(&(String, usize), Stand)| {
            let values = values.get(&(agent.clone(), *number)).map_or("", String::as_str);
            [
                format!("{agent} {number}: {}", format::shorten(values, 60)),
                stand.state.name().to_owned(),
                (scheduler.rung(stand.steps).filter(|_| stand.state != State::Done))
                    .map_or("–".into(), format::count),
                format::count(stand.steps),
                stand.mean_return.map_or("–".into(), format::number),
            ]
        };
        let rows = samples.iter().take(LISTED).map(row);
        let mut lines = format::aligned(&std::iter::once(header).chain(rows).collect::<Vec<_>>());
        if samples.len() > LISTED {
            lines.push(format!("and {} more", samples.len() - LISTED));
        }
        Some(lines)
    }
}

/// The agent's name and the sample's number.
fn key(plan: &TrialPlan) -> Option<(String, usize)> {
    Some((plan.agent.clone(), plan.sample?))
}

impl Stand {
    /// That of a trial which has come so far.
    fn at(state: State, pace: &Pace) -> Self {
        Self { state, steps: pace.progress().steps, mean_return: pace.mean_return() }
    }

    /// That of a sample: it has come as far as the last of its trials.
    fn over<'a>(trials: impl Iterator<Item = &'a Self> + Clone) -> Option<Self> {
        let returns: Vec<f64> = trials.clone().filter_map(|trial| trial.mean_return).collect();
        Some(Self {
            state: trials.clone().map(|trial| trial.state).min()?,
            steps: trials.map(|trial| trial.steps).min()?,
            mean_return: stats::mean(&returns),
        })
    }
}

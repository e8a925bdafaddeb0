//! How a trial's training went, in the few numbers that signs are read from.

use serde_json::{Map, Value};

use crate::record::StopReason;
use crate::results::{Curve, RunData, Trial};
use crate::stats;

/// A trial that learns has come this far from where it started to its aim.
const HALF_WAY: f64 = 0.5;

/// Without an aim, a trial that learns ends above its start by so many standard deviations of the returns there.
const CLEARLY_ABOVE: f64 = 2.5;

/// A trial's training, when it is over.
pub(super) struct Course<'a> {
    pub(super) trial: &'a Trial,
    /// The mean return before training.
    pub(super) start: f64,
    /// The standard deviation of the returns before training.
    pub(super) start_scatter: f64,
    /// The mean return after training.
    pub(super) end: f64,
    /// What counts as learned.
    pub(super) aim: Option<f64>,
    /// The environment's time limit in steps.
    pub(super) time_limit: Option<f64>,
}

impl<'a> Course<'a> {
    /// That of a trial of `part`; nothing where it failed or goes on, or does not say how it started and ended.
    pub(super) fn of(part: &RunData, trial: &'a Trial) -> Option<Self> {
        let result = trial.result.as_ref().filter(|result| !result.outcome.failed())?;
        if matches!(result.outcome.stop_reason(), Some(StopReason::Pruned)) {
            return None;
        }
        let summary = trial.summary();
        let returns = &trial.returns.returns;
        // Of trainings that were not evaluated before: their first episodes.
        let first = &returns[..returns.len().div_ceil(20).min(returns.len())];
        let before =
            if summary.before_returns.is_empty() { first } else { &summary.before_returns };
        let goal = part.summary.agents.iter().find(|agent| agent.name == trial.plan.agent)?.goal;
        Some(Self {
            trial,
            start: stats::mean(before)?,
            start_scatter: stats::sample_std(before).unwrap_or(0.0),
            end: stats::mean(&summary.final_returns).or_else(|| trial.recent_return())?,
            aim: goal.map(|goal| goal.r#return).or(part.summary.reward_threshold),
            time_limit: match &part.env {
                Some(env) => trial.plan.environment.time_limit(env),
                None => trial.plan.environment.max_episode_steps,
            }
            .map(f64::from),
        })
    }

    /// Whether it learns.
    pub(super) fn learns(&self) -> bool {
        match self.aim {
            Some(aim) if aim > self.start => self.end - self.start >= HALF_WAY * (aim - self.start),
            Some(aim) => self.end >= aim,
            None => self.end > self.start + CLEARLY_ABOVE * self.start_scatter,
        }
    }

    /// The hyperparameters of its algorithm, defaults included; nothing of trainings elsewhere.
    pub(super) fn settings(&self) -> Option<&'a Map<String, Value>> {
        Some(&self.trial.plan.settings.training.as_ref()?.algorithm.settings)
    }

    /// A hyperparameter that is a number; of one that moves, the first.
    pub(super) fn setting(&self, name: &str) -> Option<f64> {
        let value = self.settings()?.get(name)?;
        value.as_f64().or_else(|| value.get("linear")?.as_f64())
    }

    /// Whether its algorithm has a hyperparameter of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.settings().is_some_and(|settings| settings.contains_key(name))
    }

    /// A training metric over training.
    pub(super) fn metric(&self, name: &str) -> Option<&'a Curve> {
        self.trial.metrics.get(name).filter(|curve| !curve.is_empty())
    }

    /// The mean of a training metric over a part of training, by shares of its points.
    pub(super) fn metric_mean(&self, name: &str, from: f64, to: f64) -> Option<f64> {
        let values = &self.metric(name)?.returns;
        let at = |share: f64| ((share * values.len() as f64) as usize).min(values.len() - 1);
        stats::mean(&values[at(from)..at(to).max(at(from) + 1)])
    }

    /// Steps that the optimiser has made; nothing where the algorithm follows no gradient.
    pub(super) fn gradient_steps(&self) -> Option<f64> {
        let updates = self.trial.progress.updates as f64;
        let an_update = match (self.setting("n_epochs"), self.setting("gradient_steps")) {
            (Some(epochs), _) => {
                let rows = self.setting("n_steps")? * self.setting("n_envs")?;
                epochs * (rows / self.setting("batch_size")?).ceil()
            }
            (None, Some(steps)) if steps < 0.0 => {
                self.setting("train_freq")? * self.setting("n_envs")?
            }
            (None, Some(steps)) => steps,
            (None, None) => self.setting("learning_rate").map(|_| 1.0)?,
        };
        Some(updates * an_update)
    }

    /// The mean length of its training episodes in steps.
    pub(super) fn mean_length(&self) -> Option<f64> {
        let progress = self.trial.progress;
        (progress.episodes > 0).then(|| progress.steps as f64 / progress.episodes as f64)
    }

    /// How large the rewards of a step are that the learner is given, on average: returns by steps, times the wrapper's factor.
    pub(super) fn reward_size(&self) -> Option<f64> {
        let absolute: Vec<f64> = self.trial.returns.returns.iter().map(|r| r.abs()).collect();
        let scale = self.trial.plan.environment.wrappers.reward_scale.unwrap_or(1.0);
        Some(stats::mean(&absolute)? * scale.abs() / self.mean_length()?)
    }

    /// Over how many steps rewards count: the discount's horizon, at most an episode.
    pub(super) fn horizon(&self) -> Option<f64> {
        let gamma = self.setting("gamma").or_else(|| self.setting("discount"))?;
        let horizon = if gamma < 1.0 { 1.0 / (1.0 - gamma) } else { f64::INFINITY };
        Some(horizon.min(self.time_limit.unwrap_or(self.mean_length()?)))
    }
}

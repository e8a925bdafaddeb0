//! What trials and samples are worth.

use serde::{Deserialize, Serialize};

use crate::experiment::{Direction, Objective, ScoreRange, SearchSpec, Spec, Target, TrialPlan};
use crate::record::{Event, Record, StopReason, TrialResult};
use crate::stats::{self, MovingMean};

/// A trial's value under the metric of the experiment's search, from the curve of its mean training returns; nothing
/// where it failed or is not over. In a suite it is normalised, by the environment's scores or the steps of the schedule.
pub fn trial_score(
    experiment: &Spec,
    trial: &TrialPlan,
    curve: &[MeanReturn],
    result: Option<&TrialResult>,
) -> Option<f64> {
    let search = experiment.search.as_ref()?;
    let result = result.filter(|result| !result.outcome.failed())?;
    let schedule = trial.settings.schedule();
    let budget = schedule.and_then(|s| s.steps).unwrap_or(result.progress.steps) as f64;
    let score = match search.metric {
        Objective::MeanReturn => match &result.after {
            Some(after) => stats::mean(&after.returns),
            // Stopped early: as good as its training was then.
            None => curve.last().map(|point| point.mean),
        },
        Objective::StepsToThreshold => {
            let threshold = threshold(search, trial)?;
            let first = curve.iter().find(|point| point.whole && point.mean >= threshold);
            Some(first.map_or(2.0 * budget, |point| point.steps))
        }
        Objective::Auc => {
            let points: Vec<_> = curve.iter().map(|point| (point.steps, point.mean)).collect();
            let until = if stopped_early(result) { result.progress.steps as f64 } else { budget };
            stats::area_under_curve(&points, until)
        }
    }?;
    match (&trial.environment_name, search.metric) {
        (None, _) => Some(score),
        (Some(_), Objective::StepsToThreshold) => Some(score / budget),
        (Some(name), _) => Some(experiment.stated_range(name)?.normalised(score)),
    }
}

/// Whether the search's scheduler, or the user, ended this trial before its schedule did.
fn stopped_early(result: &TrialResult) -> bool {
    matches!(result.outcome.stop_reason(), Some(StopReason::Pruned | StopReason::User))
}

/// A point of the curve of mean training returns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanReturn {
    /// Environment steps.
    pub steps: f64,
    /// Over the last episodes, as many as the agent's window has.
    pub mean: f64,
    /// Whether there were as many.
    pub whole: bool,
}

/// The curve of a trial's mean training returns, a point for each episode.
pub(super) fn mean_returns(trial: &TrialPlan, records: &[Record]) -> Vec<MeanReturn> {
    let mut mean = MovingMean::new(trial.settings.return_window());
    records
        .iter()
        .filter_map(|record| match record.event {
            Event::Episode { r#return, .. } => {
                let (mean, whole) = mean.push(r#return);
                Some(MeanReturn { steps: record.progress.steps as f64, mean, whole })
            }
            _ => None,
        })
        .collect()
}

fn threshold(search: &SearchSpec, trial: &TrialPlan) -> Option<f64> {
    let stop = trial.settings.schedule().and_then(|schedule| schedule.stop.as_ref());
    let by_stop = stop.and_then(|stop| stop.mean_return);
    search.threshold.or_else(|| {
        let by_environment = || trial.environment.spec().ok()?.reward_threshold;
        by_stop.unwrap_or(Target::Threshold).value(by_environment())
    })
}

/// What a scheduler looks at: how a trial's training has gone so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoFar {
    /// The mean return of the last episodes.
    pub latest: f64,
    /// The greatest that this mean ever was.
    pub best: f64,
    /// The mean return of all episodes.
    pub overall: f64,
}

impl SoFar {
    /// How a trial has gone up to so many steps; nothing before its first episode is over. In a suite returns are
    /// normalised.
    pub fn new(
        experiment: &Spec,
        trial: &TrialPlan,
        records: &[Record],
        steps: u64,
    ) -> Option<Self> {
        let until = records.partition_point(|record| record.progress.steps <= steps);
        let points = mean_returns(trial, &records[..until]);
        let all: Vec<f64> = (records[..until].iter())
            .filter_map(|record| match record.event {
                Event::Episode { r#return, .. } => Some(r#return),
                _ => None,
            })
            .collect();
        let range = match &trial.environment_name {
            Some(name) => experiment.stated_range(name)?,
            None => ScoreRange::new(0.0, 1.0)?,
        };
        let best = points.iter().map(|point| point.mean).fold(f64::NEG_INFINITY, f64::max);
        Some(Self {
            latest: range.normalised(points.last()?.mean),
            best: range.normalised(best),
            overall: range.normalised(stats::mean(&all)?),
        })
    }
}

/// How a sample stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Standing {
    /// All its trials ran to their end.
    Complete,
    /// The scheduler, or the user, stopped it.
    Stopped {
        /// After so many environment steps.
        steps: u64,
    },
    /// Trials are missing.
    Unfinished,
    /// A trial failed.
    Failed,
}

/// A sample's value over its seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleScore {
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
    /// The score of every trial that has one, in the order of the seeds.
    pub seeds: Vec<f64>,
}

impl SampleScore {
    /// The score of a sample from its trials' results and scores.
    pub fn new(trials: &[(Option<&TrialResult>, Option<f64>)]) -> Self {
        let results = || trials.iter().map(|(result, _)| *result);
        let stopped = results().flatten().filter(|result| stopped_early(result));
        let standing = if results().flatten().any(|result| result.outcome.failed()) {
            Standing::Failed
        } else if results().any(|result| result.is_none()) {
            Standing::Unfinished
        } else if let Some(steps) = stopped.map(|result| result.progress.steps).min() {
            Standing::Stopped { steps }
        } else {
            Standing::Complete
        };
        Self { standing, seeds: trials.iter().filter_map(|(_, score)| *score).collect() }
    }

    /// The mean over seeds: what samples are ranked by.
    pub fn mean(&self) -> Option<f64> {
        stats::mean(&self.seeds)
    }
}

/// The numbers of samples, best first: complete ones by their means, then those that were stopped, the later
/// the better (of one rung, the better the better), then the others.
pub fn ranking(search: &SearchSpec, scores: &[SampleScore]) -> Vec<usize> {
    let class = |score: &SampleScore| match score.standing {
        Standing::Complete => (0, 0),
        Standing::Stopped { steps } => {
            (1, u64::MAX - search.scheduler.rung(steps).unwrap_or(steps))
        }
        Standing::Unfinished => (2, 0),
        Standing::Failed => (3, 0),
    };
    let loss = |score: &SampleScore| match (search.direction(), score.mean()) {
        (_, None) => f64::INFINITY,
        (Direction::Minimize, Some(mean)) => mean,
        (Direction::Maximize, Some(mean)) => -mean,
    };
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (&scores[a], &scores[b]);
        class(a).cmp(&class(b)).then(loss(a).total_cmp(&loss(b)))
    });
    order
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    use crate::experiment::SchedulerSpec;
    use crate::record::{Evaluation, Outcome, Progress};
    use crate::validation;

    /// A searched trial of 1,000 steps with a window of two episodes, and its search by `metric`.
    fn trial(metric: &str) -> (Spec, TrialPlan) {
        let rate = "agents.learner.training.algorithm.learning_rate";
        let experiment = validation::check(&json!({
            "name": "searched",
            "environment": { "id": "CartPole-v1" },
            "agents": { "learner": {
                "policy": { "type": "neural" },
                "training": {
                    "algorithm": { "name": "reinforce" },
                    "schedule": { "steps": 1000, "stop": { "mean_return": 40, "window": 2 } },
                },
            } },
            "search": { "parameters": { rate: { "grid": [0.1] } }, "metric": metric },
        }));
        let plan = crate::search::plan(experiment.expect("a valid experiment"));
        let plan = plan.expect("values that fit");
        (plan.experiment, TrialPlan::clone(&plan.trials[0]))
    }

    /// Episodes of 100 steps with these returns.
    fn episodes(returns: &[f64]) -> Vec<Record> {
        let record = |(i, &r#return): (usize, &f64)| Record {
            progress: Progress { episodes: i as u64 + 1, steps: 100 * (i as u64 + 1), updates: 0 },
            seconds: 0.0,
            event: Event::Episode { r#return, length: Some(100), truncated: Some(false) },
        };
        returns.iter().enumerate().map(record).collect()
    }

    fn completed(trial: &TrialPlan, steps: u64) -> TrialResult {
        let outcome = Outcome::Completed { stop_reason: Some(StopReason::Steps) };
        let progress = Progress { steps, ..Progress::default() };
        let after = Evaluation {
            seed: Some(0),
            returns: vec![3.0, 5.0],
            lengths: vec![3, 5],
            cut: Vec::new(),
        };
        TrialResult { outcome, after: Some(after), ..trial.pruned_result(progress, 0.0) }
    }

    fn score(metric: &str, returns: &[f64], stopped_at: Option<u64>) -> Option<f64> {
        let (experiment, trial) = trial(metric);
        let result = match stopped_at {
            None => completed(&trial, 1000),
            Some(steps) => trial.pruned_result(Progress { steps, ..Progress::default() }, 0.0),
        };
        trial_score(&experiment, &trial, &mean_returns(&trial, &episodes(returns)), Some(&result))
    }

    #[test]
    fn steps_to_threshold_count_twice_where_it_was_never_reached() {
        assert_eq!(score("steps_to_threshold", &[50.0, 20.0, 60.0, 0.0], None), Some(300.0));
        assert_eq!(score("steps_to_threshold", &[90.0, -20.0, 10.0], None), Some(2000.0));
        assert_eq!(score("steps_to_threshold", &[1.0], Some(100)), Some(2000.0));
    }

    #[test]
    fn the_mean_return_is_the_evaluations_or_where_it_was_stopped_the_trainings() {
        assert_eq!(score("mean_return", &[100.0, 100.0], None), Some(4.0));
        assert_eq!(score("mean_return", &[1.0, 10.0, 20.0], Some(300)), Some(15.0));
    }

    #[test]
    fn the_area_ends_with_the_schedule_or_where_it_was_stopped() {
        // Means 10 and 20 at 100 and 200 steps, then 20 until the end.
        let whole = (100.0 * 15.0 + 800.0 * 20.0) / 900.0;
        assert_eq!(score("auc", &[10.0, 30.0], None), Some(whole));
        assert_eq!(score("auc", &[10.0, 30.0], Some(200)), Some(15.0));
    }

    #[test]
    fn a_failed_or_missing_trial_has_no_score() {
        let (experiment, trial) = trial("mean_return");
        let error = "killed".into();
        let failed = TrialResult { outcome: Outcome::Failed { error }, ..trial.empty_result() };
        assert_eq!(trial_score(&experiment, &trial, &[], Some(&failed)), None);
        assert_eq!(trial_score(&experiment, &trial, &[], None), None);
    }

    #[test]
    fn complete_samples_rank_before_stopped_ones_and_those_before_failures() {
        let search = |metric| trial(metric).0.search.expect("a search");
        let sample = |standing, seeds: &[f64]| SampleScore { standing, seeds: seeds.to_vec() };
        let scores = [
            sample(Standing::Failed, &[900.0]),
            sample(Standing::Stopped { steps: 300 }, &[800.0]),
            sample(Standing::Complete, &[500.0, 0.0]),
            sample(Standing::Complete, &[300.0, 300.0]),
            sample(Standing::Stopped { steps: 900 }, &[100.0]),
        ];
        // The mean over seeds counts, not the luckiest seed.
        assert_eq!(ranking(&search("mean_return"), &scores), [3, 2, 4, 1, 0]);
        assert_eq!(ranking(&search("steps_to_threshold"), &scores)[0], 2, "few steps are good");

        // Two paused a little later than the rung, each where it could.
        let halving = SchedulerSpec::AsynchronousHalving { grace_period: 300, reduction_factor: 3 };
        let search = SearchSpec { scheduler: halving, ..search("mean_return") };
        let stopped = |steps, score| sample(Standing::Stopped { steps }, &[score]);
        let scores = [stopped(304, 5.0), stopped(300, 7.0), stopped(302, 6.0), stopped(900, 1.0)];
        assert_eq!(ranking(&search, &scores), [3, 1, 2, 0]);
    }
}

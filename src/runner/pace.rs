//! How a trial comes on: how far, how fast, how long still.

use std::time::{Duration, Instant};

use crate::experiment::{ScheduleSpec, TrialPlan};
use crate::record::{Event, Progress, Record};
use crate::stats::MovingMean;

/// How many episodes the mean return looks back.
const WINDOW: usize = 25;
/// Over how many seconds of training a speed is measured.
const MEASURED: f64 = 0.5;

/// A trial under way, by its events.
pub(super) struct Pace {
    schedule: Option<ScheduleSpec>,
    started: Instant,
    /// The first event since the trial started or went on, and the one that the next speed is measured from.
    marks: Option<[Mark; 2]>,
    now: Mark,
    steps_per_second: Option<f64>,
    returns: MovingMean,
    mean_return: Option<f64>,
    trained: bool,
}

/// How far training had come, after so many seconds of it.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    progress: Progress,
    seconds: f64,
}

impl Pace {
    /// That of a trial which starts or goes on at `now`.
    pub(super) fn new(plan: &TrialPlan, now: Instant) -> Self {
        Self {
            schedule: plan.settings.schedule().cloned(),
            started: now,
            marks: None,
            now: Mark::default(),
            steps_per_second: None,
            returns: MovingMean::new(WINDOW),
            mean_return: None,
            trained: false,
        }
    }

    /// Takes note of an event.
    pub(super) fn see(&mut self, record: &Record) {
        self.now = Mark { progress: record.progress, seconds: record.seconds };
        let [_, from] = self.marks.get_or_insert([self.now; 2]);
        let took = self.now.seconds - from.seconds;
        if took >= MEASURED {
            let steps = self.now.progress.steps.saturating_sub(from.progress.steps);
            self.steps_per_second = Some(steps as f64 / took);
            *from = self.now;
        }
        match &record.event {
            Event::Episode { r#return, .. } => {
                self.mean_return = Some(self.returns.push(*r#return).0);
            }
            Event::Stopped { .. } => self.trained = true,
            _ => {}
        }
    }

    /// How far training has come.
    pub(super) fn progress(&self) -> Progress {
        self.now.progress
    }

    /// Environment steps a second of training, once it has gone on for some time.
    pub(super) fn steps_per_second(&self) -> Option<f64> {
        self.steps_per_second
    }

    /// The mean return of the last training episodes.
    pub(super) fn mean_return(&self) -> Option<f64> {
        self.mean_return
    }

    /// Whether training has ended: the trial is evaluated and filmed.
    pub(super) fn is_trained(&self) -> bool {
        self.trained
    }

    /// How much of the schedule is used up, from 0 to 1, by whichever limit is the nearest.
    pub(super) fn share(&self) -> f64 {
        self.share_at(self.now)
    }

    /// How long training will still take at the pace since the trial started, evaluations and films on the way
    /// included; nothing where it is too early to tell.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        const EARLY: f64 = 0.01;
        let [first, _] = self.marks?;
        let came = self.share() - self.share_at(first);
        let took = now.duration_since(self.started).as_secs_f64();
        let left = took * (1.0 - self.share()) / came;
        (came >= EARLY).then(|| Duration::try_from_secs_f64(left).ok()).flatten()
    }

    fn share_at(&self, Mark { progress, seconds }: Mark) -> f64 {
        self.schedule.as_ref().map_or(0.0, |schedule| schedule.share(progress, seconds))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::experiment::Plan;

    /// The only trial of an experiment that trains for 1,000 steps.
    fn plan() -> Plan {
        let experiment = crate::validation::check(&json!({
            "name": "paced",
            "environment": { "id": "CartPole-v1" },
            "agents": { "learner": {
                "policy": { "type": "neural" },
                "training": { "algorithm": { "name": "reinforce" }, "schedule": { "steps": 1000 } },
            } },
        }));
        Plan::new(experiment.expect("a valid experiment")).expect("settings that fit")
    }

    fn episode(steps: u64, seconds: f64, r#return: f64) -> Record {
        let progress = Progress { episodes: steps / 10, steps, updates: 0 };
        let event = Event::Episode { r#return, length: Some(10), truncated: Some(false) };
        Record { progress, seconds, event }
    }

    #[test]
    fn a_pace_tells_speed_mean_return_and_time_left() {
        let plan = plan();
        let start = Instant::now();
        let mut pace = Pace::new(&plan.trials[0], start);
        assert_eq!((pace.steps_per_second(), pace.left(start), pace.share()), (None, None, 0.0));
        // It goes on from a checkpoint: what was trained before says nothing of the time left.
        pace.see(&episode(200, 50.0, 1.0));
        assert_eq!(pace.left(start + Duration::from_secs(1)), None);
        pace.see(&episode(400, 52.0, 2.0));
        assert_eq!(pace.steps_per_second(), Some(100.0));
        assert_eq!(pace.mean_return(), Some(1.5));
        assert_eq!(pace.share(), 0.4);
        let left = pace.left(start + Duration::from_secs(4)).expect("a guess");
        assert!((left.as_secs_f64() - 12.0).abs() < 1e-6, "{left:?}");
        pace.see(&episode(450, 52.25, 2.0));
        assert_eq!(pace.steps_per_second(), Some(100.0), "a quarter of a second is too short");
    }
}

//! Stop rules: when the task counts as learned.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::experiment::{ScheduleSpec, StopSpec, Target};
use crate::record::{Progress, StopReason};

/// A schedule's end: its limits and its stop rule. The state goes into checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StopRule {
    mean_return: Option<f64>,
    window: usize,
    /// Returns of the last `window` episodes.
    recent: VecDeque<f64>,
    running_return: Option<f64>,
    smoothing: f64,
    running: f64,
    solved: bool,
}

impl StopRule {
    /// The rule of a schedule on an environment with this reward threshold. A target that needs a
    /// threshold where there is none is refused when the experiment is loaded, and never met here.
    pub fn new(spec: Option<&StopSpec>, threshold: Option<f64>) -> Self {
        let spec = spec.cloned().unwrap_or_default();
        let resolve = |target: Target| target.value(threshold);
        Self {
            mean_return: spec.mean_return.and_then(resolve),
            window: spec.window,
            recent: VecDeque::new(),
            running_return: spec.running_return.and_then(resolve),
            smoothing: spec.smoothing,
            running: spec.initial,
            solved: false,
        }
    }

    /// Takes note of a finished training episode.
    pub fn episode(&mut self, episode_return: f64) {
        self.running = self.smoothing * episode_return + (1.0 - self.smoothing) * self.running;
        self.solved |= self.running_return.is_some_and(|target| self.running > target);
        let Some(target) = self.mean_return else { return };
        if self.recent.len() == self.window {
            self.recent.pop_front();
        }
        self.recent.push_back(episode_return);
        let full = self.recent.len() == self.window;
        self.solved |= full && self.recent.iter().sum::<f64>() >= target * self.window as f64;
    }

    /// Whether the task has counted as learned.
    pub fn solved(&self) -> bool {
        self.solved
    }

    /// Why training ends now, if it does.
    pub fn reason(
        &self,
        schedule: &ScheduleSpec,
        progress: Progress,
        seconds: f64,
    ) -> Option<StopReason> {
        let limit = || schedule.limit_reached(progress, seconds);
        if self.solved { Some(StopReason::Solved) } else { limit() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(spec: StopSpec) -> StopRule {
        StopRule::new(Some(&spec), Some(195.0))
    }

    #[test]
    fn the_mean_waits_for_a_full_window() {
        let mut rule = rule(StopSpec {
            mean_return: Some(Target::Return(10.0)),
            window: 2,
            ..Default::default()
        });
        rule.episode(100.0);
        assert!(!rule.solved);
        rule.episode(-85.0);
        assert!(!rule.solved, "the mean is 7.5");
        rule.episode(105.0);
        assert!(rule.solved, "the mean is 10");
    }

    #[test]
    fn the_running_return_has_to_pass_the_threshold() {
        let spec = StopSpec {
            running_return: Some(Target::Threshold),
            smoothing: 0.5,
            initial: 195.0,
            ..Default::default()
        };
        let mut rule = rule(spec);
        rule.episode(195.0);
        assert!(!rule.solved, "195 is not above 195");
        rule.episode(196.0);
        assert!(rule.solved);
    }

    #[test]
    fn limits_end_training() {
        let schedule = ScheduleSpec { episodes: Some(3), steps: Some(10), ..Default::default() };
        let rule = StopRule::new(None, None);
        let reason =
            |episodes, steps| rule.reason(&schedule, Progress { episodes, steps, updates: 0 }, 0.0);
        assert_eq!(reason(2, 9), None);
        assert_eq!(reason(3, 9), Some(StopReason::Episodes));
        assert_eq!(reason(2, 10), Some(StopReason::Steps));
    }
}

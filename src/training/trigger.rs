//! Triggers: things that happen every so many episodes, steps or updates.

use crate::experiment::{Every, PeriodUnit, ScheduleSpec};
use crate::record::Progress;

/// Fires whenever training passes another multiple of its period.
#[derive(Debug, Clone, Copy)]
pub struct Trigger {
    every: Option<Every>,
}

impl Trigger {
    /// The trigger for a period of `schedule`; `None` never fires.
    pub fn new(every: Option<Every>, schedule: &ScheduleSpec) -> Self {
        let every = every.map(|every| match every {
            Every::Count(n) => match schedule.period_unit() {
                PeriodUnit::Episodes => Every::Episodes(n),
                PeriodUnit::Steps => Every::Steps(n),
                PeriodUnit::Updates => Every::Updates(n),
            },
            named => named,
        });
        Self { every }
    }

    /// Whether a multiple of the period lies after `before` and not after `now`.
    pub fn fires(self, before: Progress, now: Progress) -> bool {
        let passed = |n: u64, before: u64, now: u64| before / n < now / n;
        match self.every {
            Some(Every::Episodes(n) | Every::Count(n)) => passed(n, before.episodes, now.episodes),
            Some(Every::Steps(n)) => passed(n, before.steps, now.steps),
            Some(Every::Updates(n)) => passed(n, before.updates, now.updates),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(episodes: u64, steps: u64, updates: u64) -> Progress {
        Progress { episodes, steps, updates }
    }

    #[test]
    fn a_bare_number_counts_in_the_schedules_unit() {
        let by_steps = ScheduleSpec { steps: Some(100), ..Default::default() };
        let trigger = Trigger::new(Some(Every::Count(10)), &by_steps);
        assert!(trigger.fires(progress(0, 9, 0), progress(0, 10, 0)));
        assert!(!trigger.fires(progress(0, 9, 0), progress(50, 9, 50)));
    }

    #[test]
    fn a_jump_over_several_multiples_fires_once_and_a_standstill_never() {
        let trigger = Trigger::new(Some(Every::Updates(3)), &ScheduleSpec::default());
        assert!(trigger.fires(progress(0, 0, 2), progress(0, 0, 11)));
        assert!(!trigger.fires(progress(0, 0, 3), progress(0, 0, 3)));
        assert!(
            !Trigger::new(None, &ScheduleSpec::default())
                .fires(progress(0, 0, 0), progress(9, 9, 9))
        );
    }
}

//! Has a runner advance trials, those whose processes died again, and knows how each stands.

use std::collections::{HashMap, VecDeque};

use anyhow::Context as _;

use crate::experiment::TrialPlan;
use crate::record::Progress;
use crate::runner::{Observer, Runner, Source, TrialStatus, Turn};
use crate::store::RunDir;

/// How often a trial whose process died is run again before the attempt gives it up.
pub(super) const RETRIES: usize = 2;

/// The trials of a run, as far as they have been advanced.
pub(super) struct Pool<'a> {
    pub(super) run: &'a RunDir,
    pub(super) runner: &'a dyn Runner,
    pub(super) observer: &'a dyn Observer,
    /// How trials ended, by their ids; paused ones are under way still.
    pub(super) ended: HashMap<String, TrialStatus>,
}

impl Pool<'_> {
    /// Runs those of `trials` that are not over, to their ends or to `pause_at` steps.
    ///
    /// # Errors
    /// Fails if files cannot be read or written. Trials that fail are no error here.
    pub(super) fn advance(
        &mut self,
        trials: &[&TrialPlan],
        pause_at: Option<u64>,
    ) -> anyhow::Result<()> {
        let goes_on = |trial: &&&TrialPlan| {
            matches!(self.ended.get(&trial.id), None | Some(TrialStatus::Paused))
        };
        let turns = trials.iter().filter(goes_on).map(|trial| Turn { trial, pause_at });
        let mut list = List(turns.collect());
        self.work_through(&mut list)
    }

    /// Runs the trials of `source`. Those that died are run again when no other is under way, which leaves them the
    /// machine's memory; nothing more is decided once the user has ended the run.
    ///
    /// # Errors
    /// Fails if files cannot be read or written. Trials that fail are no error here.
    pub(super) fn work_through<'p>(&mut self, source: &mut dyn Source<'p>) -> anyhow::Result<()> {
        let runner = self.runner;
        runner.run(&mut Retrying {
            pool: self,
            source,
            under_way: 0,
            died: Vec::new(),
            deaths: HashMap::new(),
            again: VecDeque::new(),
            decides: true,
        })
    }

    /// Ends a paused trial where it stands.
    ///
    /// # Errors
    /// Fails if its files cannot be read or written.
    pub(super) fn stop(&mut self, plan: &TrialPlan) -> anyhow::Result<()> {
        let dir = self.run.trial(&plan.id);
        let records = dir.events()?.records;
        let last = records.last().map_or(Progress::default(), |record| record.progress);
        let seconds = records.last().map_or(0.0, |record| record.seconds);
        let result = plan.pruned_result(last, seconds);
        dir.write_result(&result)?;
        self.observer.ended(plan, &result);
        self.ended.insert(plan.id.clone(), TrialStatus::Completed);
        Ok(())
    }

    /// Whether a trial was interrupted.
    pub(super) fn interrupted(&self) -> bool {
        self.ended.values().any(|ended| *ended == TrialStatus::Interrupted)
    }

    /// Tells of a trial that died, and whether it is run again. What an interrupted run received may have killed its trial
    /// first: that one is interrupted as well.
    fn died(&mut self, plan: &TrialPlan, may_run_again: bool) -> anyhow::Result<bool> {
        let dir = self.run.trial(&plan.id);
        let result = dir.outcome(plan).context("a trial that died has left how")?;
        if self.interrupted() {
            dir.remove_exit()?;
            self.ended.insert(plan.id.clone(), TrialStatus::Interrupted);
        } else if may_run_again {
            dir.remove_exit()?;
            self.observer.again(plan);
            return Ok(true);
        } else {
            self.observer.ended(plan, &result);
        }
        Ok(false)
    }
}

/// Trials of which it is known from the start that they are to be advanced.
struct List<'p>(VecDeque<Turn<'p>>);

impl<'p> Source<'p> for List<'p> {
    fn next(&mut self, _free: &dyn Fn() -> bool) -> anyhow::Result<Option<Turn<'p>>> {
        Ok(self.0.pop_front())
    }

    fn ended(&mut self, _turn: Turn<'p>, _status: TrialStatus) -> anyhow::Result<()> {
        Ok(())
    }
}

/// A source whose trials are run again where they died, and whose ends the pool takes note of.
struct Retrying<'s, 'a, 'p> {
    pool: &'s mut Pool<'a>,
    source: &'s mut dyn Source<'p>,
    /// How many trials have their turn.
    under_way: usize,
    /// Those that died and of which nothing is decided yet.
    died: Vec<Turn<'p>>,
    /// How often each died.
    deaths: HashMap<&'p str, usize>,
    /// Those that are run again.
    again: VecDeque<Turn<'p>>,
    /// Whether the source may decide on more.
    decides: bool,
}

impl<'p> Source<'p> for Retrying<'_, '_, 'p> {
    fn next(&mut self, free: &dyn Fn() -> bool) -> anyhow::Result<Option<Turn<'p>>> {
        let decides = self.decides;
        let mut next = self.source.next(&|| decides && free())?;
        if next.is_none() && self.under_way == 0 {
            for turn in std::mem::take(&mut self.died) {
                if self.pool.died(turn.trial, self.deaths[&*turn.trial.id] <= RETRIES)? {
                    self.again.push_back(turn);
                }
            }
        }
        next = next.or_else(|| self.again.pop_front());
        self.under_way += usize::from(next.is_some());
        Ok(next)
    }

    fn ended(&mut self, turn: Turn<'p>, status: TrialStatus) -> anyhow::Result<()> {
        self.under_way -= 1;
        self.pool.ended.insert(turn.trial.id.clone(), status);
        match status {
            TrialStatus::Died => {
                *self.deaths.entry(&turn.trial.id).or_default() += 1;
                self.died.push(turn);
            }
            TrialStatus::Stopped | TrialStatus::LeftOut | TrialStatus::Interrupted => {
                self.decides = false;
            }
            TrialStatus::Completed | TrialStatus::Failed | TrialStatus::Paused => {}
        }
        self.source.ended(turn, status)
    }
}

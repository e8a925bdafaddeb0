//! Runs a plan round by round: what comes next may depend on what came out.

use std::collections::HashMap;

use super::next_samples;
use super::score::{SampleScore, SoFar, trial_score};
use crate::experiment::{Plan, Sample, SchedulerSpec, SearchSpec, TrialPlan};
use crate::record::{Progress, TrialResult};
use crate::runner::{Observer, Runner, TrialStatus};
use crate::store::RunDir;

/// Runs every trial of `plan`, which grows by the search's later rounds and is written down each time.
///
/// # Errors
/// Where a run's files cannot be read or written. Trials that fail are no error here.
pub fn run(
    run: &RunDir,
    runner: &dyn Runner,
    observer: &dyn Observer,
    plan: &mut Plan,
) -> anyhow::Result<Tally> {
    let mut rounds = Rounds { run, runner, observer, ended: HashMap::new() };
    let mut first = 0;
    loop {
        rounds.round(plan, first)?;
        if rounds.interrupted() {
            break;
        }
        first = plan.samples.len();
        let scored = rounds.scores(plan)?;
        if !plan.add(next_samples(&plan.experiment, &scored))? {
            break;
        }
        run.write_plan(plan)?;
        observer.expect(plan.trials.len());
    }
    Ok(rounds.tally())
}

/// What became of a run's trials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Trials that ran to their end.
    pub completed: usize,
    /// Trials that failed.
    pub failed: usize,
    /// Whether the run was interrupted before all trials were over.
    pub interrupted: bool,
}

/// The rounds so far.
struct Rounds<'a> {
    run: &'a RunDir,
    runner: &'a dyn Runner,
    observer: &'a dyn Observer,
    /// How trials ended, by their ids; paused ones are under way still.
    ended: HashMap<String, TrialStatus>,
}

impl Rounds<'_> {
    /// Runs all trials of the plan that are not over yet, those of the samples from number `first` of the
    /// plan's list on until the scheduler stops them.
    fn round(&mut self, plan: &Plan, first: usize) -> anyhow::Result<()> {
        if let Some(search) = &plan.experiment.search {
            for agent in search.agents(&plan.experiment) {
                let training = plan.experiment.agents[agent].training.as_ref();
                let steps = training.and_then(|training| training.schedule.steps).unwrap_or(0);
                let new = plan.samples[first..].iter().filter(|sample| sample.agent == agent);
                let mut under_way: Vec<_> = new.map(|sample| plan.trials_of(sample)).collect();
                for milestone in search.scheduler.milestones(steps) {
                    under_way = self.compare(under_way, &search.scheduler, milestone)?;
                    if self.interrupted() {
                        return Ok(());
                    }
                }
            }
        }
        self.advance(&plan.trials.iter().collect::<Vec<_>>(), None)
    }

    /// Runs samples up to a milestone, stops those that the scheduler does not let go on, and gives the
    /// others. Only what was written down up to the milestone counts, so that a resumed search decides the
    /// same.
    fn compare<'p>(
        &mut self,
        mut samples: Vec<Vec<&'p TrialPlan>>,
        scheduler: &SchedulerSpec,
        milestone: u64,
    ) -> anyhow::Result<Vec<Vec<&'p TrialPlan>>> {
        self.advance(&samples.concat(), Some(milestone))?;
        if self.interrupted() {
            return Ok(samples);
        }
        samples.retain(|trials| trials.iter().all(|t| self.ended[&t.id] != TrialStatus::Failed));
        let so_far = |trial: &&TrialPlan| -> anyhow::Result<Option<SoFar>> {
            let records = self.run.trial(&trial.id).events()?.records;
            Ok(SoFar::new(trial, &records, milestone))
        };
        let compared = (samples.iter())
            .map(|trials| trials.iter().map(so_far).collect())
            .collect::<anyhow::Result<Vec<Vec<_>>>>()?;
        let mut survivors = Vec::new();
        for (trials, survives) in samples.into_iter().zip(scheduler.survivors(&compared)) {
            if survives {
                survivors.push(trials);
                continue;
            }
            for trial in trials {
                if self.ended[&trial.id] == TrialStatus::Paused {
                    self.stop(trial)?;
                }
            }
        }
        Ok(survivors)
    }

    /// Ends a paused trial where it stands.
    fn stop(&mut self, plan: &TrialPlan) -> anyhow::Result<()> {
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

    /// Runs those of `trials` that are not over, to their ends or to `pause_at` steps.
    fn advance(&mut self, trials: &[&TrialPlan], pause_at: Option<u64>) -> anyhow::Result<()> {
        let over = |id: &str| {
            matches!(self.ended.get(id), Some(TrialStatus::Completed | TrialStatus::Failed))
        };
        let open: Vec<&TrialPlan> = trials.iter().copied().filter(|t| !over(&t.id)).collect();
        for (trial, ended) in open.iter().zip(self.runner.advance(&open, pause_at)?) {
            self.ended.insert(trial.id.clone(), ended);
        }
        Ok(())
    }

    /// The samples so far with their scores.
    fn scores(&self, plan: &Plan) -> anyhow::Result<Vec<(Sample, Option<f64>)>> {
        let Some(search) = &plan.experiment.search else { return Ok(Vec::new()) };
        let score = |sample: &Sample| self.score(search, &plan.trials_of(sample));
        plan.samples.iter().map(|sample| Ok((sample.clone(), score(sample)?))).collect()
    }

    fn score(&self, search: &SearchSpec, trials: &[&TrialPlan]) -> anyhow::Result<Option<f64>> {
        let mut results: Vec<(Option<TrialResult>, Option<f64>)> = Vec::new();
        for trial in trials {
            let dir = self.run.trial(&trial.id);
            let result = dir.outcome(trial);
            let score = match &result {
                Some(result) if !result.outcome.failed() => {
                    trial_score(search, trial, &dir.events()?.records, Some(result))
                }
                _ => None,
            };
            results.push((result, score));
        }
        let results: Vec<_> = results.iter().map(|(r, score)| (r.as_ref(), *score)).collect();
        let score = SampleScore::new(&results);
        Ok(score.mean().filter(|_| score.seeds.len() == trials.len()))
    }

    fn interrupted(&self) -> bool {
        self.ended.values().any(|ended| *ended == TrialStatus::Interrupted)
    }

    fn tally(&self) -> Tally {
        let count = |wanted| self.ended.values().filter(|ended| **ended == wanted).count();
        Tally {
            completed: count(TrialStatus::Completed),
            failed: count(TrialStatus::Failed),
            interrupted: self.interrupted(),
        }
    }
}

//! Runs a plan round by round: what comes next may depend on what came out.

use std::collections::HashMap;

use super::halving::Halving;
use super::pool::Pool;
use super::sampler::{draws_at, heir, next_samples};
use super::score::{SampleScore, SoFar, mean_returns, trial_score};
use crate::experiment::{Parent, Plan, Sample, SchedulerSpec, Spec, TrialPlan};
use crate::record::TrialResult;
use crate::runner::{Observer, Runner, TrialStatus, over};
use crate::store::RunDir;

/// Runs every trial of `plan`, which grows by the search's later rounds, or by further seeds until the gate `has_answer`,
/// and is written down each time.
///
/// # Errors
/// Fails if a run's files cannot be read or written, or `has_answer` does. Trials that fail are no error here.
pub fn run(
    run: &RunDir,
    runner: &dyn Runner,
    observer: &dyn Observer,
    plan: &mut Plan,
    has_answer: &dyn Fn() -> anyhow::Result<bool>,
) -> anyhow::Result<Tally> {
    let mut rounds = Rounds { pool: Pool { run, runner, observer, ended: HashMap::new() } };
    let mut first = 0;
    loop {
        rounds.round(plan, first)?;
        if rounds.ending(plan) != Ending::Finished {
            break;
        }
        let grown = if plan.looks > 0 {
            !has_answer()? && plan.at_look(plan.looks + 1)?
        } else {
            first = plan.samples.len();
            let scored = rounds.scores(plan)?;
            plan.add(next_samples(&plan.experiment, &scored))?
        };
        if !grown {
            break;
        }
        run.write_plan(plan)?;
        observer.planned(plan);
    }
    Ok(rounds.tally(plan))
}

/// What became of a run's trials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Trials that ran to their end.
    pub completed: usize,
    /// Trials that failed, or whose processes kept dying.
    pub failed: usize,
    /// Trials that the user's early end left out: they had not begun, or waited at a checkpoint.
    pub left_out: usize,
    /// How the run ended.
    pub ending: Ending,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ending {
    /// All trials are over.
    #[default]
    Finished,
    /// The user had it end early: what ran was evaluated, and it can go on.
    Stopped,
    /// It was interrupted and can go on.
    Interrupted,
    /// Trials of a search kept dying, so that the search could not decide how to go on; it can when resumed.
    Undecided,
}

/// The rounds so far.
struct Rounds<'a> {
    pool: Pool<'a>,
}

impl Rounds<'_> {
    /// Runs all trials of the plan that are not over yet, those of the samples from number `first` of the
    /// plan's list on until the scheduler stops them.
    fn round(&mut self, plan: &mut Plan, first: usize) -> anyhow::Result<()> {
        let search = plan.experiment.search.clone();
        if search.as_ref().is_some_and(|search| search.scheduler.is_asynchronous()) {
            self.halve(plan)?;
            if self.ending(plan) != Ending::Finished {
                return Ok(());
            }
        } else if let Some(search) = search {
            let agents: Vec<_> = search.agents(&plan.experiment).map(str::to_owned).collect();
            for agent in agents {
                let trials = plan.trials.iter().filter(|trial| trial.agent == agent);
                let steps = trials.filter_map(|trial| trial.settings.schedule()?.steps).max();
                // What goes on from others follows from how these come out, also where it is planned already.
                let is_new =
                    |&i: &usize| plan.samples[i].agent == agent && plan.samples[i].parent.is_none();
                let mut under_way: Vec<_> = (first..plan.samples.len()).filter(is_new).collect();
                for milestone in search.scheduler.milestones(steps.unwrap_or(0)) {
                    under_way = self.compare(plan, under_way, &search.scheduler, milestone)?;
                    if self.ending(plan) != Ending::Finished {
                        return Ok(());
                    }
                }
            }
        }
        self.pool.advance(&plan.trials().collect::<Vec<_>>(), None)
    }

    /// Runs all samples by asynchronous successive halving, and stops those that nobody has go on when there is nothing left
    /// to decide.
    fn halve(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let mut halving = Halving::resumed(self.pool.run, self.pool.observer, plan)?;
        self.pool.work_through(&mut halving)?;
        if self.ending(plan) != Ending::Finished {
            return Ok(());
        }
        for trial in halving.stop_the_others()? {
            if over(&self.pool.run.trial(&trial.id), trial).is_none() {
                self.pool.stop(trial)?;
            }
        }
        Ok(())
    }

    /// Runs samples, by their places in the plan's list, up to a milestone, stops those that the scheduler does not let go
    /// on, and gives the others, with those that go on from them. Only what was written down up to the milestone
    /// counts, so that a resumed search decides the same.
    fn compare(
        &mut self,
        plan: &mut Plan,
        mut samples: Vec<usize>,
        scheduler: &SchedulerSpec,
        milestone: u64,
    ) -> anyhow::Result<Vec<usize>> {
        let trials = |&sample: &usize| plan.trials_of(&plan.samples[sample]);
        self.pool.advance(&samples.iter().flat_map(trials).collect::<Vec<_>>(), Some(milestone))?;
        if self.ending(plan) != Ending::Finished {
            return Ok(samples);
        }
        samples.retain(|i| trials(i).iter().all(|t| self.pool.ended[&t.id] != TrialStatus::Failed));
        let so_far = |trial: &TrialPlan| -> anyhow::Result<Option<SoFar>> {
            let records = self.pool.run.trial(&trial.id).events()?.records;
            Ok(SoFar::new(&plan.experiment, trial, &records, milestone))
        };
        let compared = (samples.iter())
            .map(|i| trials(i).into_iter().map(so_far).collect())
            .collect::<anyhow::Result<Vec<Vec<_>>>>()?;
        let agent = samples.first().map(|&i| plan.samples[i].agent.clone()).unwrap_or_default();
        let rng = &mut draws_at(&plan.experiment, &agent, milestone);
        let mut under_way = Vec::new();
        for (i, successor) in scheduler.successors(&compared, rng).into_iter().enumerate() {
            if successor == Some(i) {
                under_way.push(samples[i]);
                continue;
            }
            for trial in plan.trials_of(&plan.samples[samples[i]]) {
                if self.pool.ended[&trial.id] == TrialStatus::Paused {
                    self.pool.stop(trial)?;
                }
            }
            if let Some(successor) = successor {
                let number = |i: usize| plan.samples[samples[i]].number;
                let parent =
                    Parent { number: number(successor), steps: milestone, replaces: number(i) };
                under_way.push(self.hand_on(plan, samples[successor], parent)?);
            }
        }
        Ok(under_way)
    }

    /// Has a sample go on from the one at the place `from` of the plan's list, as far as it has not begun to, and gives its
    /// own place.
    fn hand_on(&self, plan: &mut Plan, from: usize, parent: Parent) -> anyhow::Result<usize> {
        let sample = plan.samples[from].clone();
        let is_it = |other: &Sample| other.agent == sample.agent && other.parent == Some(parent);
        let place = plan.samples.iter().position(is_it).unwrap_or(plan.samples.len());
        if place == plan.samples.len() {
            plan.add(vec![heir(plan, &sample, parent)])?;
            self.pool.run.write_plan(plan)?;
            self.pool.observer.planned(plan);
        }
        let (from, to) = (plan.trials_of(&sample), plan.trials_of(&plan.samples[place]));
        for (from, to) in from.into_iter().zip(to) {
            let dir = self.pool.run.trial(&to.id);
            if !dir.plan().is_ok_and(|plan| plan == *to) {
                self.pool.run.trial(&from.id).copy_to(&dir)?;
                dir.create(to)?;
            }
        }
        Ok(place)
    }

    /// The samples so far with their scores.
    fn scores(&self, plan: &Plan) -> anyhow::Result<Vec<(Sample, Option<f64>)>> {
        let score = |sample: &Sample| self.score(&plan.experiment, &plan.trials_of(sample));
        plan.samples.iter().map(|sample| Ok((sample.clone(), score(sample)?))).collect()
    }

    fn score(&self, experiment: &Spec, trials: &[&TrialPlan]) -> anyhow::Result<Option<f64>> {
        let mut results: Vec<(Option<TrialResult>, Option<f64>)> = Vec::new();
        for trial in trials {
            let dir = self.pool.run.trial(&trial.id);
            let result = dir.outcome(trial);
            let score = match &result {
                Some(result) if !result.outcome.failed() => {
                    let curve = mean_returns(trial, &dir.events()?.records);
                    trial_score(experiment, trial, &curve, Some(result))
                }
                _ => None,
            };
            results.push((result, score));
        }
        let results: Vec<_> = results.iter().map(|(r, score)| (r.as_ref(), *score)).collect();
        let score = SampleScore::new(&results);
        Ok(score.mean().filter(|_| score.seeds.len() == trials.len()))
    }

    /// How the rounds so far ended. A search without the opinion of a trial cannot decide.
    fn ending(&self, plan: &Plan) -> Ending {
        let died = |trial: &TrialPlan| self.pool.ended.get(&trial.id) == Some(&TrialStatus::Died);
        let has = |wanted| self.pool.ended.values().any(|ended| *ended == wanted);
        if self.pool.interrupted() {
            Ending::Interrupted
        } else if has(TrialStatus::Stopped) || has(TrialStatus::LeftOut) {
            Ending::Stopped
        } else if plan.trials.iter().any(|trial| trial.sample.is_some() && died(trial)) {
            Ending::Undecided
        } else {
            Ending::Finished
        }
    }

    fn tally(&self, plan: &Plan) -> Tally {
        let count = |wanted| self.pool.ended.values().filter(|ended| **ended == wanted).count();
        let ending = self.ending(plan);
        let is_left_out = |trial: &&TrialPlan| match self.pool.ended.get(&trial.id) {
            None | Some(TrialStatus::LeftOut | TrialStatus::Paused) => {
                over(&self.pool.run.trial(&trial.id), trial).is_none()
            }
            Some(_) => false,
        };
        Tally {
            completed: count(TrialStatus::Completed) + count(TrialStatus::Stopped),
            left_out: match ending {
                Ending::Stopped => plan.trials().filter(is_left_out).count(),
                _ => 0,
            },
            failed: count(TrialStatus::Failed) + count(TrialStatus::Died),
            ending,
        }
    }
}

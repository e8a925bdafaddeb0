//! Runs a plan round by round: what comes next may depend on what came out.

use std::collections::HashMap;

use anyhow::Context as _;

use super::sampler::{draws_at, heir, next_samples};
use super::score::{SampleScore, SoFar, mean_returns, trial_score};
use crate::experiment::{Parent, Plan, Sample, SchedulerSpec, Spec, TrialPlan};
use crate::record::{Progress, TrialResult};
use crate::runner::{Observer, Runner, TrialStatus};
use crate::store::RunDir;

/// How often a trial whose process died is run again before the attempt gives it up.
const RETRIES: usize = 2;

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
    let mut rounds = Rounds { run, runner, observer, ended: HashMap::new() };
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
    /// Trials that the user's early end left out.
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
    run: &'a RunDir,
    runner: &'a dyn Runner,
    observer: &'a dyn Observer,
    /// How trials ended, by their ids; paused ones are under way still.
    ended: HashMap<String, TrialStatus>,
}

impl Rounds<'_> {
    /// Runs all trials of the plan that are not over yet, those of the samples from number `first` of the
    /// plan's list on until the scheduler stops them.
    fn round(&mut self, plan: &mut Plan, first: usize) -> anyhow::Result<()> {
        if let Some(search) = plan.experiment.search.clone() {
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
        self.advance(&plan.trials().collect::<Vec<_>>(), None)
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
        self.advance(&samples.iter().flat_map(trials).collect::<Vec<_>>(), Some(milestone))?;
        if self.ending(plan) != Ending::Finished {
            return Ok(samples);
        }
        samples.retain(|i| trials(i).iter().all(|t| self.ended[&t.id] != TrialStatus::Failed));
        let so_far = |trial: &TrialPlan| -> anyhow::Result<Option<SoFar>> {
            let records = self.run.trial(&trial.id).events()?.records;
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
                if self.ended[&trial.id] == TrialStatus::Paused {
                    self.stop(trial)?;
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
            self.run.write_plan(plan)?;
            self.observer.planned(plan);
        }
        let (from, to) = (plan.trials_of(&sample), plan.trials_of(&plan.samples[place]));
        for (from, to) in from.into_iter().zip(to) {
            let dir = self.run.trial(&to.id);
            if !dir.plan().is_ok_and(|plan| plan == *to) {
                self.run.trial(&from.id).copy_to(&dir)?;
                dir.create(to)?;
            }
        }
        Ok(place)
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

    /// Runs those of `trials` that are not over, to their ends or to `pause_at` steps. Trials that died are run
    /// again when the others stand, which leaves them the machine's memory.
    fn advance(&mut self, trials: &[&TrialPlan], pause_at: Option<u64>) -> anyhow::Result<()> {
        let goes_on = |trial: &&TrialPlan| {
            matches!(self.ended.get(&trial.id), None | Some(TrialStatus::Paused))
        };
        let mut open: Vec<&TrialPlan> = trials.iter().copied().filter(goes_on).collect();
        for retries_left in (0..=RETRIES).rev() {
            for (trial, ended) in open.iter().zip(self.runner.advance(&open, pause_at)?) {
                self.ended.insert(trial.id.clone(), ended);
            }
            open.retain(|trial| self.ended[&trial.id] == TrialStatus::Died);
            for trial in &open {
                self.died(trial, retries_left > 0)?;
            }
            if open.is_empty() || self.interrupted() {
                break;
            }
        }
        Ok(())
    }

    /// Tells of a trial that died. What an interrupted run received may have killed its trial first: that one is
    /// interrupted as well.
    fn died(&mut self, plan: &TrialPlan, again: bool) -> anyhow::Result<()> {
        let dir = self.run.trial(&plan.id);
        let result = dir.outcome(plan).context("a trial that died has left how")?;
        if self.interrupted() {
            dir.remove_exit()?;
            self.ended.insert(plan.id.clone(), TrialStatus::Interrupted);
        } else if again {
            dir.remove_exit()?;
            self.observer.again(plan);
        } else {
            self.observer.ended(plan, &result);
        }
        Ok(())
    }

    /// The samples so far with their scores.
    fn scores(&self, plan: &Plan) -> anyhow::Result<Vec<(Sample, Option<f64>)>> {
        let score = |sample: &Sample| self.score(&plan.experiment, &plan.trials_of(sample));
        plan.samples.iter().map(|sample| Ok((sample.clone(), score(sample)?))).collect()
    }

    fn score(&self, experiment: &Spec, trials: &[&TrialPlan]) -> anyhow::Result<Option<f64>> {
        let mut results: Vec<(Option<TrialResult>, Option<f64>)> = Vec::new();
        for trial in trials {
            let dir = self.run.trial(&trial.id);
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

    fn interrupted(&self) -> bool {
        self.ended.values().any(|ended| *ended == TrialStatus::Interrupted)
    }

    /// How the rounds so far ended. A search without the opinion of a trial cannot decide.
    fn ending(&self, plan: &Plan) -> Ending {
        let died = |trial: &TrialPlan| self.ended.get(&trial.id) == Some(&TrialStatus::Died);
        let has = |wanted| self.ended.values().any(|ended| *ended == wanted);
        if self.interrupted() {
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
        let count = |wanted| self.ended.values().filter(|ended| **ended == wanted).count();
        Tally {
            completed: count(TrialStatus::Completed) + count(TrialStatus::Stopped),
            left_out: count(TrialStatus::LeftOut),
            failed: count(TrialStatus::Failed) + count(TrialStatus::Died),
            ending: self.ending(plan),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::{Value, json};

    use super::*;
    use crate::record::{Evaluation, Event, Record};
    use crate::search::plan;

    /// The ids of the trials of a call, and where they had to pause.
    type Call = (Vec<String>, Option<u64>);

    /// A runner in whose trials nothing runs: each earns its learning rate, as often as it is asked to.
    struct Fake<'a> {
        run: &'a RunDir,
        /// Interrupts everything from this call on.
        interrupt_at: usize,
        /// How often a trial still dies, by its id.
        deaths: RefCell<HashMap<String, usize>>,
        calls: RefCell<Vec<Call>>,
    }

    impl Runner for Fake<'_> {
        fn advance(
            &self,
            trials: &[&TrialPlan],
            pause_at: Option<u64>,
        ) -> anyhow::Result<Vec<TrialStatus>> {
            let ids = trials.iter().map(|trial| trial.id.clone()).collect();
            self.calls.borrow_mut().push((ids, pause_at));
            if self.calls.borrow().len() > self.interrupt_at {
                return Ok(vec![TrialStatus::Interrupted; trials.len()]);
            }
            trials.iter().map(|trial| self.play(trial, pause_at)).collect()
        }
    }

    impl Fake<'_> {
        fn play(&self, plan: &TrialPlan, pause_at: Option<u64>) -> anyhow::Result<TrialStatus> {
            let training = plan.settings.training.as_ref().expect("a learner");
            let r#return = training.algorithm.settings["learning_rate"].as_f64().expect("a number");
            let dir = self.run.trial(&plan.id);
            dir.create(plan)?;
            if let Some(left @ 1..) = self.deaths.borrow_mut().get_mut(&plan.id) {
                *left -= 1;
                dir.write_exit("killed".into())?;
                return Ok(TrialStatus::Died);
            }
            let steps = pause_at.unwrap_or(1000);
            let progress = Progress { episodes: 1, steps, updates: 1 };
            let event = Event::Episode { r#return, length: Some(steps), truncated: Some(false) };
            let record = Record { progress, seconds: 0.0, event };
            fs_err::write(dir.events_path(), serde_json::to_string(&record)? + "\n")?;
            if pause_at.is_some() {
                return Ok(TrialStatus::Paused);
            }
            let after = Evaluation {
                seed: Some(0),
                returns: vec![r#return],
                lengths: vec![1],
                cut: Vec::new(),
            };
            let result = TrialResult { after: Some(after), progress, ..plan.empty_result() };
            dir.write_result(&result)?;
            Ok(TrialStatus::Completed)
        }
    }

    /// Nobody looks.
    struct Nobody;

    impl Observer for Nobody {
        fn planned(&self, _: &Plan) {}
        fn started(&self, _: &TrialPlan) {}
        fn event(&self, _: &TrialPlan, _: &Record) {}
        fn ended(&self, _: &TrialPlan, _: &TrialResult) {}
        fn stopped(&self, _: &TrialPlan) {}
        fn died(&self, _: &TrialPlan, _: &str) {}
        fn again(&self, _: &TrialPlan) {}
        fn note(&self, _: &str) {}
    }

    fn experiment(rates: &[f64], scheduler: &Value) -> Spec {
        let experiment = crate::validation::check(&json!({
            "name": "searched",
            "environment": { "id": "CartPole-v1" },
            "agents": { "learner": {
                "policy": { "type": "neural" },
                "training": { "algorithm": { "name": "reinforce" }, "schedule": { "steps": 1000 } },
            } },
            "search": {
                "parameters": { "agents.learner.training.algorithm.learning_rate": { "grid": rates } },
                "scheduler": scheduler,
            },
        }));
        experiment.expect("a valid experiment")
    }

    /// Runs a search over these learning rates; what became of it, the plan, the calls of the runner, and which
    /// trials are over.
    fn search(
        rates: &[f64],
        scheduler: &Value,
        interrupt_at: usize,
        deaths: &[(&str, usize)],
    ) -> (Tally, Plan, Vec<Call>, Vec<bool>) {
        let mut plan = plan(experiment(rates, scheduler)).expect("values that fit");
        let output = tempfile::tempdir().expect("room for a run");
        let dir = RunDir::create(output.path(), "searched").expect("a new run");
        let deaths = deaths.iter().map(|(id, times)| ((*id).to_owned(), *times)).collect();
        let fake = Fake {
            run: &dir,
            interrupt_at,
            deaths: RefCell::new(deaths),
            calls: RefCell::default(),
        };
        let never = || unreachable!("no seeds are added to a search");
        let tally = run(&dir, &fake, &Nobody, &mut plan, &never).expect("files can be written");
        let over = plan.trials.iter().map(|trial| dir.trial(&trial.id).result().is_ok()).collect();
        (tally, plan, fake.calls.into_inner(), over)
    }

    #[test]
    fn without_a_scheduler_every_trial_is_run_to_its_end_at_once() {
        let (tally, plan, calls, over) =
            search(&[0.1, 0.2, 0.3], &json!({ "name": "none" }), usize::MAX, &[]);
        assert_eq!(tally, Tally { completed: 3, failed: 0, left_out: 0, ending: Ending::Finished });
        assert_eq!((plan.trials.len(), over), (3, vec![true; 3]));
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].1, None);
    }

    #[test]
    fn halving_ends_the_worse_samples_where_they_paused() {
        let halving =
            json!({ "name": "successive_halving", "grace_period": 100, "reduction_factor": 3 });
        let (tally, plan, calls, over) =
            search(&[0.1, 0.5, 0.3, 0.2, 0.4, 0.6], &halving, usize::MAX, &[]);
        assert_eq!(tally, Tally { completed: 6, failed: 0, left_out: 0, ending: Ending::Finished });
        assert_eq!(over, [true; 6]);
        let ids = |samples: &[usize]| -> Vec<String> {
            samples.iter().map(|&sample| plan.trials[sample].id.clone()).collect()
        };
        let everyone = ids(&[0, 1, 2, 3, 4, 5]);
        let expected = [
            (everyone, Some(100)),
            (ids(&[1, 5]), Some(300)),
            (ids(&[5]), Some(900)),
            (ids(&[5]), None),
        ];
        assert_eq!(calls, expected);
    }

    #[test]
    fn after_an_interruption_nothing_is_decided() {
        let halving =
            json!({ "name": "successive_halving", "grace_period": 100, "reduction_factor": 3 });
        let (tally, _, calls, over) = search(&[0.1, 0.5, 0.3], &halving, 0, &[]);
        assert_eq!(tally.ending, Ending::Interrupted);
        assert_eq!((calls.len(), over), (1, vec![false; 3]));
    }

    #[test]
    fn a_trial_that_died_is_run_again_before_anything_is_decided() {
        let halving =
            json!({ "name": "successive_halving", "grace_period": 100, "reduction_factor": 3 });
        let rates = [0.1, 0.5, 0.3];
        let (_, undisturbed, calls, over) = search(&rates, &halving, usize::MAX, &[]);
        let best = undisturbed.trials[1].id.clone();
        let deaths = [(best.as_str(), RETRIES)];
        let (tally, plan, disturbed, same) = search(&rates, &halving, usize::MAX, &deaths);
        assert_eq!(tally, Tally { completed: 3, failed: 0, left_out: 0, ending: Ending::Finished });
        assert_eq!((&plan, &same), (&undisturbed, &over));
        let again = (vec![best], Some(100));
        let expected = [&calls[..1], &vec![again; RETRIES], &calls[1..]].concat();
        assert_eq!(disturbed, expected);
    }

    #[test]
    fn a_trial_that_keeps_dying_ends_the_search_undecided() {
        let halving =
            json!({ "name": "successive_halving", "grace_period": 100, "reduction_factor": 3 });
        for scheduler in [halving, json!({ "name": "none" })] {
            let deaths = [("learner--001--s0", RETRIES + 1)];
            let (tally, _, calls, over) = search(&[0.1, 0.5, 0.3], &scheduler, usize::MAX, &deaths);
            assert_eq!((tally.failed, tally.ending), (1, Ending::Undecided));
            assert_eq!(calls.len(), RETRIES + 1);
            assert!(!over[1], "{over:?}");
            assert!(scheduler["name"] == "none" || over == [false; 3], "a sample was stopped");
        }
    }

    #[test]
    fn a_population_goes_on_from_its_best_and_decides_the_same_however_often_it_is_interrupted() {
        let population = json!({ "name": "population_based_training", "interval": 300 });
        let rates = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
        // Calls of the runner between two interruptions; a run that is resumed makes all of its calls again.
        let run_with = |interruptions: usize| {
            let output = tempfile::tempdir().expect("room for a run");
            let dir = RunDir::create(output.path(), "searched").expect("a new run");
            dir.write_plan(&plan(experiment(&rates, &population)).expect("values that fit"))
                .expect("a plan");
            let mut tallies = Vec::new();
            for interrupt_at in (1..=interruptions).chain([usize::MAX]) {
                let mut plan = dir.plan().expect("a plan");
                let fake = Fake {
                    run: &dir,
                    interrupt_at,
                    deaths: RefCell::default(),
                    calls: RefCell::default(),
                };
                let never = || unreachable!("no seeds are added to a search");
                tallies.push(run(&dir, &fake, &Nobody, &mut plan, &never).expect("files"));
            }
            let plan = dir.plan().expect("a plan");
            let results: Vec<_> = plan
                .trials()
                .map(|trial| dir.trial(&trial.id).result().expect("it is over"))
                .collect();
            (tallies, plan, results)
        };
        let (tallies, whole, results) = run_with(0);
        // Two of eight at 300, 600 and 900 steps.
        let expected = Tally { completed: 14, failed: 0, left_out: 0, ending: Ending::Finished };
        assert_eq!(tallies, [expected]);
        let rate = |number: usize| whole.samples[number].values[0].as_f64().expect("a number");
        for (place, sample) in whole.samples.iter().enumerate().skip(8) {
            let parent = sample.parent.expect("it goes on from another one");
            assert_eq!((sample.number, parent.steps), (place, 300 * ((place as u64 - 8) / 2 + 1)));
            assert!(rate(parent.number) >= 0.7 && rate(parent.replaces) < rate(parent.number));
            let steps = |number: usize| results[number].progress.steps;
            assert_eq!((steps(parent.replaces), steps(place) > parent.steps), (parent.steps, true));
        }
        let replaced: Vec<_> =
            whole.samples[8..10].iter().map(|s| s.parent.unwrap().replaces).collect();
        assert_eq!(replaced, [0, 1]);

        let (tallies, plan, same) = run_with(3);
        assert!(tallies[..3].iter().all(|tally| tally.ending == Ending::Interrupted));
        assert_eq!((tallies[3], plan, same), (expected, whole, results));
    }
}

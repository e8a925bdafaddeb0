//! Searches with a runner in whose trials nothing runs: what is decided, when, and what a disturbed search makes of it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use serde_json::{Value, json};

use super::driver::{Ending, Tally, run};
use super::plan;
use super::pool::RETRIES;
use crate::experiment::{Plan, Spec, TrialPlan};
use crate::record::{Evaluation, Event, Progress, Record, RungEvent, TrialResult};
use crate::runner::{Observer, Runner, Source, TrialStatus, Turn, over};
use crate::store::RunDir;

/// A trial's id, and where it had to pause.
type Call = (String, Option<u64>);

/// A runner in whose trials nothing runs: each earns its learning rate, as often as it is asked to.
struct Fake<'a> {
    run: &'a RunDir,
    /// How many trials have their turn at a time.
    jobs: usize,
    /// How long a step takes, by a trial's learning rate.
    seconds: fn(f64) -> f64,
    /// Interrupts everything from this call on.
    interrupt_at: usize,
    /// Is killed at this moment, counted by the trials that have begun or come to where they pause.
    killed_at: usize,
    moment: Cell<usize>,
    /// The trial that fails, by its id.
    failing: &'static str,
    /// How often a trial still dies, by its id.
    deaths: RefCell<HashMap<String, usize>>,
    calls: RefCell<Vec<Call>>,
}

impl<'a> Fake<'a> {
    /// One that advances a trial at a time and is left alone.
    fn new(run: &'a RunDir) -> Self {
        Self {
            run,
            jobs: 1,
            seconds: |_| 1.0,
            interrupt_at: usize::MAX,
            killed_at: usize::MAX,
            moment: Cell::new(0),
            failing: "",
            deaths: RefCell::default(),
            calls: RefCell::default(),
        }
    }
}

impl Runner for Fake<'_> {
    fn run<'p>(&self, source: &mut dyn Source<'p>) -> anyhow::Result<()> {
        let mut now = 0.0;
        // With the times at which they come to where they pause.
        let mut under_way: Vec<(f64, Turn<'p>)> = Vec::new();
        loop {
            while under_way.len() < self.jobs
                && let Some(turn) = source.next(&|| true)?
            {
                self.go_on()?;
                self.calls.borrow_mut().push((turn.trial.id.clone(), turn.pause_at));
                let log = self.run.trial(&turn.trial.id).events();
                let begun = log.map_or(0, |log| log.records[0].progress.steps);
                let steps = turn.pause_at.unwrap_or(1000).saturating_sub(begun);
                under_way.push((now + steps as f64 * (self.seconds)(rate(turn.trial)), turn));
            }
            let times = under_way.iter().map(|(time, _)| *time).enumerate();
            let Some((next, time)) = times.min_by(|a, b| a.1.total_cmp(&b.1)) else {
                return Ok(());
            };
            now = time;
            let (_, turn) = under_way.remove(next);
            let status = if self.calls.borrow().len() > self.interrupt_at {
                TrialStatus::Interrupted
            } else {
                self.play(turn.trial, turn.pause_at)?
            };
            self.go_on()?;
            source.ended(turn, status)?;
        }
    }
}

fn rate(trial: &TrialPlan) -> f64 {
    let training = trial.settings.training.as_ref().expect("a learner");
    training.algorithm.settings["learning_rate"].as_f64().expect("a number")
}

impl Fake<'_> {
    fn go_on(&self) -> anyhow::Result<()> {
        self.moment.set(self.moment.get() + 1);
        anyhow::ensure!(self.moment.get() != self.killed_at, "killed");
        Ok(())
    }

    fn play(&self, plan: &TrialPlan, pause_at: Option<u64>) -> anyhow::Result<TrialStatus> {
        let r#return = rate(plan);
        let dir = self.run.trial(&plan.id);
        if let Some(result) = over(&dir, plan) {
            return Ok(TrialStatus::of(&result));
        }
        dir.create(plan)?;
        if let Some(left @ 1..) = self.deaths.borrow_mut().get_mut(&plan.id) {
            *left -= 1;
            dir.write_exit("killed".into())?;
            return Ok(TrialStatus::Died);
        }
        if plan.id == self.failing {
            dir.write_result(&dir.failed(plan, "it diverged".into()))?;
            return Ok(TrialStatus::Failed);
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

fn experiment(rates: &[f64], seeds: usize, scheduler: &Value) -> Spec {
    let experiment = crate::validation::check(&json!({
        "name": "searched",
        "environment": { "id": "CartPole-v1" },
        "seeds": seeds,
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
    let mut plan = plan(experiment(rates, 1, scheduler)).expect("values that fit");
    let output = tempfile::tempdir().expect("room for a run");
    let dir = RunDir::create(output.path(), "searched").expect("a new run");
    let deaths = deaths.iter().map(|(id, times)| ((*id).to_owned(), *times)).collect();
    let fake = Fake { interrupt_at, deaths: RefCell::new(deaths), ..Fake::new(&dir) };
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
    assert!(calls.len() == 3 && calls.iter().all(|(_, pause_at)| pause_at.is_none()), "{calls:?}");
}

#[test]
fn halving_ends_the_worse_samples_where_they_paused() {
    let halving =
        json!({ "name": "successive_halving", "grace_period": 100, "reduction_factor": 3 });
    let (tally, plan, calls, over) =
        search(&[0.1, 0.5, 0.3, 0.2, 0.4, 0.6], &halving, usize::MAX, &[]);
    assert_eq!(tally, Tally { completed: 6, failed: 0, left_out: 0, ending: Ending::Finished });
    assert_eq!(over, [true; 6]);
    let until = |samples: &[usize], pause_at: Option<u64>| -> Vec<Call> {
        samples.iter().map(|&sample| (plan.trials[sample].id.clone(), pause_at)).collect()
    };
    let expected = [
        until(&[0, 1, 2, 3, 4, 5], Some(100)),
        until(&[1, 5], Some(300)),
        until(&[5], Some(900)),
        until(&[5], None),
    ]
    .concat();
    assert_eq!(calls, expected);
}

#[test]
fn after_an_interruption_nothing_is_decided() {
    let halving =
        json!({ "name": "successive_halving", "grace_period": 100, "reduction_factor": 3 });
    let (tally, _, calls, over) = search(&[0.1, 0.5, 0.3], &halving, 0, &[]);
    assert_eq!(tally.ending, Ending::Interrupted);
    assert_eq!((calls.len(), over), (3, vec![false; 3]));
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
    let again = (best, Some(100));
    let expected = [&calls[..3], &vec![again; RETRIES], &calls[3..]].concat();
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
        assert_eq!(calls.len(), 3 + RETRIES);
        assert!(!over[1], "{over:?}");
        assert!(scheduler["name"] == "none" || over == [false; 3], "a sample was stopped");
    }
}

#[test]
fn a_population_goes_on_from_its_best_and_decides_the_same_however_often_it_is_interrupted() {
    let population = json!({ "name": "population_based_training", "interval": 300 });
    let rates = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
    // Calls of the runner until an interruption; a run that is resumed makes all of its calls again.
    let run_with = |interruptions: &[usize]| {
        let output = tempfile::tempdir().expect("room for a run");
        let dir = RunDir::create(output.path(), "searched").expect("a new run");
        dir.write_plan(&plan(experiment(&rates, 1, &population)).expect("values that fit"))
            .expect("a plan");
        let mut tallies = Vec::new();
        for &interrupt_at in interruptions.iter().chain(&[usize::MAX]) {
            let mut plan = dir.plan().expect("a plan");
            let fake = Fake { interrupt_at, ..Fake::new(&dir) };
            let never = || unreachable!("no seeds are added to a search");
            tallies.push(run(&dir, &fake, &Nobody, &mut plan, &never).expect("files"));
        }
        let plan = dir.plan().expect("a plan");
        let results: Vec<_> =
            plan.trials().map(|trial| dir.trial(&trial.id).result().expect("it is over")).collect();
        (tallies, plan, results)
    };
    let (tallies, whole, results) = run_with(&[]);
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

    let (tallies, plan, same) = run_with(&[3, 12, 20]);
    assert!(tallies[..3].iter().all(|tally| tally.ending == Ending::Interrupted));
    assert_eq!((tallies[3], plan, same), (expected, whole, results));
}

/// A run of a search by asynchronous halving in thirds, after 100, 300 and 900 of 1,000 steps.
struct Halved {
    dir: RunDir,
    _output: tempfile::TempDir,
}

/// What is compared of a decision: the sample's number, what happened to it, and at which rung.
type Decided = (usize, RungEvent, u64);

impl Halved {
    fn new(rates: &[f64], seeds: usize) -> Self {
        let output = tempfile::tempdir().expect("room for a run");
        let dir = RunDir::create(output.path(), "searched").expect("a new run");
        let halving = json!({ "name": "asynchronous_halving", "grace_period": 100 });
        let plan = plan(experiment(rates, seeds, &halving)).expect("values that fit");
        dir.write_plan(&plan).expect("a plan");
        Self { dir, _output: output }
    }

    /// Runs it, or goes on with it.
    fn run(&self, fake: &Fake<'_>) -> anyhow::Result<Tally> {
        let mut plan = self.dir.plan()?;
        let never = || unreachable!("no seeds are added to a search");
        run(&self.dir, fake, &Nobody, &mut plan, &never)
    }

    fn decided(&self) -> Vec<Decided> {
        let decisions = self.dir.decisions().expect("decisions").into_iter();
        decisions.map(|decision| (decision.sample, decision.event, decision.rung)).collect()
    }

    /// The results of all trials.
    fn results(&self) -> Vec<TrialResult> {
        let plan = self.dir.plan().expect("a plan");
        plan.trials().map(|t| self.dir.trial(&t.id).result().expect("it is over")).collect()
    }
}

fn all_completed(trials: usize) -> Tally {
    Tally { completed: trials, failed: 0, left_out: 0, ending: Ending::Finished }
}

/// Sample 0 is the worst.
const RATES: [f64; 7] = [0.1, 0.6, 0.3, 0.2, 0.4, 0.7, 0.5];

#[test]
fn whoever_is_among_the_best_third_of_a_rung_goes_on_the_highest_rung_first() {
    let search = Halved::new(&RATES, 1);
    let fake = Fake::new(&search.dir);
    assert_eq!(search.run(&fake).expect("files"), all_completed(7));
    let calls: Vec<(usize, Option<u64>)> = (fake.calls.into_inner().into_iter())
        .map(|(id, pause_at)| (id["learner--".len()..][..3].parse().expect("a number"), pause_at))
        .collect();
    let at = |sample, rung| (sample, Some(rung));
    let first = [at(0, 100), at(1, 100), at(2, 100), at(1, 300), at(3, 100), at(4, 100)];
    // The second of six; at the end a third of seven, rounded up, and the best of each rung.
    let then = [at(5, 100), at(5, 300), at(6, 100), at(6, 300), at(5, 900), (5, None)];
    assert_eq!(calls, [first, then].concat());
    let results = search.results();
    let steps: Vec<u64> = results.iter().map(|result| result.progress.steps).collect();
    assert_eq!(steps, [100, 300, 100, 100, 100, 1000, 300]);
    let stopped: Vec<Decided> =
        search.decided().into_iter().filter(|(_, event, _)| *event == RungEvent::Stopped).collect();
    let stop = |sample, rung| (sample, RungEvent::Stopped, rung);
    let expected =
        [stop(0, 100), stop(1, 300), stop(2, 100), stop(3, 100), stop(4, 100), stop(6, 300)];
    assert_eq!(stopped, expected);
}

#[test]
fn a_slow_sample_holds_nobody_back() {
    let search = Halved::new(&RATES, 1);
    let slow = |rate: f64| if rate == RATES[0] { 1e6 } else { 1.0 };
    let fake = Fake { jobs: 2, seconds: slow, ..Fake::new(&search.dir) };
    assert_eq!(search.run(&fake).expect("files"), all_completed(7));
    let decided = search.decided();
    let place = |wanted: Decided| decided.iter().position(|decision| *decision == wanted);
    let late = place((0, RungEvent::Reached, 100)).expect("it comes there");
    let others: Vec<_> = (1..7).map(|sample| place((sample, RungEvent::Reached, 100))).collect();
    assert!(others.iter().all(|place| place.is_some_and(|place| place < late)), "{decided:?}");
    assert!(
        decided[..late].iter().any(|(_, event, rung)| (*event, *rung) == (RungEvent::Reached, 300))
    );
    assert_eq!(
        search.results()[5].progress.steps,
        1000,
        "the best is trained to its end all the same"
    );
}

#[test]
fn the_seeds_of_a_sample_are_promoted_together() {
    let search = Halved::new(&RATES[..3], 2);
    let slow = |rate: f64| 1.0 / rate;
    let fake = Fake { jobs: 2, seconds: slow, ..Fake::new(&search.dir) };
    assert_eq!(search.run(&fake).expect("files"), all_completed(6));
    let calls = fake.calls.into_inner();
    let best: Vec<_> = calls.iter().filter(|(id, _)| id.starts_with("learner--001")).collect();
    let legs: Vec<_> = best.iter().map(|(id, pause_at)| (&id[14..], *pause_at)).collect();
    let expected = [Some(100), Some(300), Some(900), None];
    let expected: Vec<_> =
        expected.iter().flat_map(|rung| [("s0", *rung), ("s1", *rung)]).collect();
    assert_eq!(legs, expected);
    let reached = search.decided().into_iter().filter(|d| d.1 == RungEvent::Reached);
    assert_eq!(reached.count(), 3 + 2, "a sample reaches a rung once, with all of its seeds");
}

/// At whichever moment a search is killed, it goes on from what it had decided.
#[test]
fn a_killed_search_goes_on_from_what_it_decided() {
    for jobs in [1, 3] {
        let seconds = |rate: f64| 1.0 + 7.0 * rate;
        let whole = Halved::new(&RATES[..4], 2);
        let fake = Fake { jobs, seconds, ..Fake::new(&whole.dir) };
        whole.run(&fake).expect("files");
        let moments = fake.moment.get();
        assert!(moments > 25, "{moments}");
        for killed_at in 1..=moments {
            let search = Halved::new(&RATES[..4], 2);
            let fake = Fake { jobs, seconds, killed_at, ..Fake::new(&search.dir) };
            search.run(&fake).expect_err("it is killed");
            let before = search.dir.decisions().expect("decisions");
            let fake = Fake { jobs, seconds, ..Fake::new(&search.dir) };
            assert_eq!(search.run(&fake).expect("files"), all_completed(8), "{killed_at}");
            let after = search.dir.decisions().expect("decisions");
            assert_eq!(after[..before.len()], before, "{killed_at}");
            let decided = search.decided();
            for (i, decision) in decided.iter().enumerate() {
                assert!(!decided[..i].contains(decision), "{decision:?} twice, {killed_at}");
            }
            if jobs == 1 {
                assert_eq!(decided, whole.decided(), "{killed_at}");
                assert_eq!(search.results(), whole.results(), "{killed_at}");
            }
        }
    }
}

#[test]
fn an_interrupted_search_decides_nothing_and_goes_on() {
    for interrupt_at in 0..12 {
        let search = Halved::new(&RATES, 1);
        let fake = Fake { jobs: 2, interrupt_at, ..Fake::new(&search.dir) };
        let tally = search.run(&fake).expect("files");
        assert_eq!(tally.ending, Ending::Interrupted);
        let decided = search.decided();
        assert!(decided.iter().all(|(_, event, _)| *event != RungEvent::Stopped), "{decided:?}");
        let tally = search.run(&Fake { jobs: 2, ..Fake::new(&search.dir) }).expect("files");
        assert_eq!(tally, all_completed(7));
    }
}

#[test]
fn a_trial_that_died_is_run_again_while_the_others_go_on() {
    let search = Halved::new(&RATES, 1);
    let best = "learner--005--s0";
    let deaths = |times| RefCell::new(HashMap::from([(best.to_owned(), times)]));
    let fake = Fake { deaths: deaths(RETRIES), ..Fake::new(&search.dir) };
    assert_eq!(search.run(&fake).expect("files"), all_completed(7));
    let decided = search.decided();
    let place = |wanted: Decided| decided.iter().position(|decision| *decision == wanted);
    let reached = |sample| place((sample, RungEvent::Reached, 100)).expect("it comes there");
    assert!(reached(5) > reached(6), "{decided:?}");
    assert_eq!(search.results()[5].progress.steps, 1000);

    let undecided = Halved::new(&RATES, 1);
    let fake = Fake { deaths: deaths(RETRIES + 1), ..Fake::new(&undecided.dir) };
    let tally = undecided.run(&fake).expect("files");
    assert_eq!((tally.failed, tally.ending), (1, Ending::Undecided));
    assert!(undecided.decided().iter().all(|(_, event, _)| *event != RungEvent::Stopped));
    assert_eq!(undecided.run(&Fake::new(&undecided.dir)).expect("files"), all_completed(7));
    assert_eq!(undecided.results()[5].progress.steps, 1000);
}

#[test]
fn a_sample_that_fails_is_left_behind() {
    let search = Halved::new(&RATES, 1);
    let fake = Fake { failing: "learner--005--s0", ..Fake::new(&search.dir) };
    let tally = search.run(&fake).expect("files");
    let expected = Tally { completed: 6, failed: 1, left_out: 0, ending: Ending::Finished };
    assert_eq!(tally, expected);
    assert_eq!(search.results()[1].progress.steps, 1000, "the best of the others");
}

#[test]
fn decisions_of_another_search_are_refused() {
    let search = Halved::new(&RATES, 1);
    for line in [
        r#"{"agent":"learner","sample":7,"event":"started","rung":0}"#,
        r#"{"agent":"other","sample":0,"event":"started","rung":0}"#,
        r#"{"agent":"learner","sample":0,"event":"promoted","rung":100}"#,
        r#"{"agent":"learner","sample":0,"event":"started","rung":100}"#,
        r#"{"agent":"learner","sample":0,"event":"reached","rung":0}"#,
        r#"{"agent":"learner","sample":0}"#,
    ] {
        fs_err::write(search.dir.decisions_path(), format!("{line}\n")).expect("room");
        let error = format!("{:#}", search.run(&Fake::new(&search.dir)).expect_err("a refusal"));
        assert!(
            error.contains("decisions.jsonl, line 1") && error.contains("cut the file off"),
            "{error}"
        );
    }
}

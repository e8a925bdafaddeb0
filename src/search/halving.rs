//! Asynchronous successive halving (ASHA, Li et al. 2020): who goes on is decided whenever a trial can run, by what is known
//! then.
//!
//! ```text
//! a place is free ──▶ the best sample that may go on from the highest rung, else the next one that has not begun
//!                     ──▶ decisions.jsonl ──▶ its trials have their turn ──▶ it has reached a rung ──▶ decisions.jsonl
//! ```
//! Nothing waits for a rung to fill. So the decisions depend on which trial was the faster, and they are no function of the
//! experiment: they are read again where a search is resumed, and go on from there. What a trial comes to at a rung does not
//! depend on them.

use std::collections::{HashMap, VecDeque};

use anyhow::Context as _;

use super::scheduler::best_first;
use super::score::SoFar;
use crate::experiment::{Plan, SchedulerSpec, Spec, TrialPlan};
use crate::format;
use crate::record::{Decision, RungEvent};
use crate::runner::{Observer, Source, TrialStatus, Turn};
use crate::stats;
use crate::store::{DecisionLog, RunDir};

/// The search of a run, as far as it is decided.
pub(super) struct Halving<'p> {
    run: &'p RunDir,
    observer: &'p dyn Observer,
    experiment: &'p Spec,
    log: DecisionLog,
    /// Those of the agents that something is searched for.
    brackets: Vec<Bracket<'p>>,
    /// The places of a trial's bracket and of its sample there, by the trial's id.
    places: HashMap<&'p str, (usize, usize)>,
    /// What is decided and has not begun.
    turns: VecDeque<Turn<'p>>,
}

/// The samples of one agent.
struct Bracket<'p> {
    agent: &'p str,
    /// After how many environment steps samples are compared.
    rungs: Vec<u64>,
    reduction_factor: usize,
    /// In the order in which they were drawn, so that a sample's number is its place.
    entrants: Vec<Entrant<'p>>,
}

/// A sample.
#[derive(Default)]
struct Entrant<'p> {
    /// How often it was sent on: to the first rung, to each of the next ones, from the last one to its end.
    sent: usize,
    /// What it had come to at the rungs that it reached; nothing where no episode was over.
    scores: Vec<Option<f64>>,
    /// Of all seeds and environments.
    trials: Vec<&'p TrialPlan>,
    /// Those that are not over.
    open: Vec<&'p TrialPlan>,
    /// How many of them have not come to where they were sent.
    under_way: usize,
    failed: bool,
    stopped: bool,
}

impl<'p> Halving<'p> {
    /// That of a plan's search, with what an earlier attempt at the run decided: samples that were under way then are so
    /// again.
    ///
    /// # Errors
    /// Fails if the decisions cannot be read, are damaged, or are not of this plan.
    pub(super) fn resumed(
        run: &'p RunDir,
        observer: &'p dyn Observer,
        plan: &'p Plan,
    ) -> anyhow::Result<Self> {
        let experiment = &plan.experiment;
        let mut brackets = Vec::new();
        let mut places = HashMap::new();
        if let Some(search) = &experiment.search
            && let SchedulerSpec::AsynchronousHalving { reduction_factor, .. } = search.scheduler
        {
            for agent in search.agents(experiment) {
                let mut entrants: Vec<Entrant<'_>> = Vec::new();
                let mut steps = 0;
                for trial in plan.trials().filter(|trial| trial.agent == agent) {
                    let sample = trial.sample.context("a searched agent has samples")?;
                    if entrants.len() <= sample {
                        entrants.resize_with(sample + 1, Entrant::default);
                    }
                    entrants[sample].trials.push(trial);
                    entrants[sample].open.push(trial);
                    places.insert(&*trial.id, (brackets.len(), sample));
                    let schedule = trial.settings.schedule();
                    steps = steps.max(schedule.and_then(|s| s.steps).unwrap_or(0));
                }
                brackets.push(Bracket {
                    agent,
                    rungs: search.scheduler.milestones(steps),
                    reduction_factor: usize::try_from(reduction_factor)?,
                    entrants,
                });
            }
        }
        for (line, decision) in run.decisions()?.iter().enumerate() {
            let known = brackets.iter_mut().find(|bracket| bracket.agent == decision.agent);
            known.and_then(|bracket| bracket.replay(decision)).with_context(|| {
                format!(
                    "{}, line {}: sample {} of {} was not at {} steps; cut the file off before this line, and what follows \
                     is decided anew",
                    run.decisions_path().display(),
                    line + 1,
                    decision.sample,
                    decision.agent,
                    decision.rung
                )
            })?;
        }
        let log = run.decision_log()?;
        let turns = VecDeque::new();
        let mut halving = Self { run, observer, experiment, log, brackets, places, turns };
        for bracket in 0..halving.brackets.len() {
            for sample in 0..halving.brackets[bracket].entrants.len() {
                if halving.brackets[bracket].entrants[sample].is_under_way() {
                    halving.send(bracket, sample)?;
                }
            }
        }
        Ok(halving)
    }

    /// Stops the samples that stand at a rung, as nothing is left to decide; gives their trials.
    ///
    /// # Errors
    /// Fails if a decision cannot be written down.
    pub(super) fn stop_the_others(&mut self) -> anyhow::Result<Vec<&'p TrialPlan>> {
        let mut trials = Vec::new();
        for bracket in 0..self.brackets.len() {
            for sample in 0..self.brackets[bracket].entrants.len() {
                let entrant = &self.brackets[bracket].entrants[sample];
                if entrant.is_under_way() || entrant.failed {
                    continue;
                }
                trials.extend(&entrant.open);
                if !entrant.stopped {
                    self.note(bracket, sample, RungEvent::Stopped, None)?;
                    self.brackets[bracket].entrants[sample].stopped = true;
                }
            }
        }
        Ok(trials)
    }

    /// Writes down what happens to a sample where it stands.
    fn note(
        &mut self,
        bracket: usize,
        sample: usize,
        event: RungEvent,
        score: Option<f64>,
    ) -> anyhow::Result<()> {
        let bracket = &self.brackets[bracket];
        let rung = bracket.rung_of(sample);
        self.log.write(&Decision { agent: bracket.agent.to_owned(), sample, event, rung, score })
    }

    /// Decides which sample has its turn next, writes that down and has its trials go on; nothing where there is none now.
    fn decide(&mut self) -> anyhow::Result<()> {
        while self.turns.is_empty() {
            let of = |(place, bracket): (usize, &Bracket<'_>)| Some((place, bracket.next()?));
            let Some((bracket, sample)) = self.brackets.iter().enumerate().find_map(of) else {
                return Ok(());
            };
            let rung = self.brackets[bracket].rung_of(sample);
            let event = if rung == 0 { RungEvent::Started } else { RungEvent::Promoted };
            self.note(bracket, sample, event, None)?;
            let Bracket { agent, entrants, .. } = &mut self.brackets[bracket];
            if event == RungEvent::Promoted {
                let score = entrants[sample].scores.last().copied().flatten();
                let score = score.map_or("no episode was over".into(), |score| {
                    format!("mean return {}", format::number(score))
                });
                let rung = format::count(rung);
                let words = format!("{agent}: sample {sample} goes on from {rung} steps, {score}");
                self.observer.note(&words);
            }
            entrants[sample].sent += 1;
            self.send(bracket, sample)?;
        }
        Ok(())
    }

    /// Has the trials of a sample go where it was sent.
    fn send(&mut self, bracket: usize, sample: usize) -> anyhow::Result<()> {
        let Bracket { rungs, entrants, .. } = &mut self.brackets[bracket];
        let entrant = &mut entrants[sample];
        let pause_at = rungs.get(entrant.sent - 1).copied();
        entrant.under_way = entrant.open.len();
        self.turns.extend(entrant.open.iter().map(|trial| Turn { trial, pause_at }));
        if entrant.under_way == 0 { self.arrive(bracket, sample) } else { Ok(()) }
    }

    /// Takes note of a sample whose trials have all come where it was sent.
    fn arrive(&mut self, bracket: usize, sample: usize) -> anyhow::Result<()> {
        let Bracket { rungs, entrants, .. } = &mut self.brackets[bracket];
        let entrant = &mut entrants[sample];
        let Some(&rung) = rungs.get(entrant.sent - 1).filter(|_| !entrant.failed) else {
            return Ok(());
        };
        let mut latest = Vec::new();
        for trial in &entrant.trials {
            let records = self.run.trial(&trial.id).events()?.records;
            latest.extend(
                SoFar::new(self.experiment, trial, &records, rung).map(|so_far| so_far.latest),
            );
        }
        let score = stats::mean(&latest).filter(|score| score.is_finite());
        entrant.scores.push(score);
        self.note(bracket, sample, RungEvent::Reached, score)
    }
}

impl<'p> Source<'p> for Halving<'p> {
    fn next(&mut self, free: &dyn Fn() -> bool) -> anyhow::Result<Option<Turn<'p>>> {
        // All trials of a sample come before another decision.
        if self.turns.is_empty() && free() {
            self.decide()?;
        }
        Ok(self.turns.pop_front())
    }

    fn ended(&mut self, turn: Turn<'p>, status: TrialStatus) -> anyhow::Result<()> {
        let place = self.places.get(&*turn.trial.id);
        let &(bracket, sample) = place.context("a trial is of no sample of the search")?;
        let entrant = &mut self.brackets[bracket].entrants[sample];
        match status {
            TrialStatus::Paused => {}
            TrialStatus::Completed => entrant.open.retain(|trial| trial.id != turn.trial.id),
            TrialStatus::Failed => entrant.failed = true,
            TrialStatus::Died
            | TrialStatus::Stopped
            | TrialStatus::LeftOut
            | TrialStatus::Interrupted => return Ok(()),
        }
        entrant.under_way -= 1;
        if entrant.under_way == 0 { self.arrive(bracket, sample) } else { Ok(()) }
    }
}

impl Entrant<'_> {
    /// Whether it has not come to where it was sent, as far as it matters: one that failed never does, and one that was
    /// sent to its end is waited for by nobody.
    fn is_under_way(&self) -> bool {
        self.sent > self.scores.len()
    }
}

impl Bracket<'_> {
    /// Where a sample stands or was sent, in environment steps; 0 before it began.
    fn rung_of(&self, sample: usize) -> u64 {
        let sent = self.entrants[sample].sent;
        sent.checked_sub(1).and_then(|rung| self.rungs.get(rung)).copied().unwrap_or(0)
    }

    /// Does what was decided; nothing where that cannot be.
    fn replay(&mut self, decision: &Decision) -> Option<()> {
        if decision.sample >= self.entrants.len() || decision.rung != self.rung_of(decision.sample)
        {
            return None;
        }
        let entrant = &mut self.entrants[decision.sample];
        let stands = entrant.sent > 0 && !entrant.is_under_way() && !entrant.stopped;
        match decision.event {
            RungEvent::Started if entrant.sent == 0 => entrant.sent = 1,
            RungEvent::Reached if entrant.is_under_way() && decision.rung > 0 => {
                entrant.scores.push(decision.score);
            }
            RungEvent::Promoted if stands => entrant.sent += 1,
            RungEvent::Stopped if stands => entrant.stopped = true,
            _ => return None,
        }
        Some(())
    }

    /// The sample that is sent on next, if any is now.
    fn next(&self) -> Option<usize> {
        let rungs = 0..self.rungs.len();
        let share = |reached: usize| reached / self.reduction_factor;
        (rungs.rev().find_map(|rung| self.promotable(rung, share)))
            .or_else(|| self.entrants.iter().position(|entrant| entrant.sent == 0))
            .or_else(|| self.closing())
    }

    /// The best of those that may go on from a rung where `share` of the samples that reached it do, and have not.
    fn promotable(&self, rung: usize, share: impl Fn(usize) -> usize) -> Option<usize> {
        let reached = |&sample: &usize| self.entrants[sample].scores.len() > rung;
        let reached: Vec<usize> = (0..self.entrants.len()).filter(reached).collect();
        let scores: Vec<_> = reached.iter().map(|&i| self.entrants[i].scores[rung]).collect();
        let best = best_first(&scores, share(reached.len()));
        best.into_iter().map(|place| reached[place]).find(|&sample| {
            let entrant = &self.entrants[sample];
            entrant.sent == rung + 1 && !entrant.stopped
        })
    }

    /// The same from a rung that nobody else can reach, where that many go on as in rounds: the share is rounded up, so that
    /// the best of few samples is trained to its end, too.
    fn closing(&self) -> Option<usize> {
        for rung in 0..self.rungs.len() {
            let comes = |entrant: &&Entrant<'_>| {
                entrant.sent == rung + 1 && entrant.is_under_way() && !entrant.failed
            };
            if self.entrants.iter().any(|entrant| comes(&entrant)) {
                return None;
            }
            let share = |reached: usize| reached.div_ceil(self.reduction_factor);
            let promotable = self.promotable(rung, share);
            if promotable.is_some() {
                return promotable;
            }
        }
        None
    }
}

//! The training loop.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use anyhow::Context as _;
use fs_err as fs;

use super::checkpoint::{self, Position};
use super::log::EventWriter;
use super::stage::Stage;
use super::training_takes::TrainingTakes;
use super::wishes::Wishes;
use crate::algorithm::{self, Algorithm, Setup};
use crate::dataset::Transitions;
use crate::env::Episode;
use crate::experiment::{Every, KeptPolicy, Pinned, ScheduleSpec, TrainingSpec, TrialPlan};
use crate::nn::Tensors;
use crate::policy::{LearnedPolicy, begin_with};
use crate::record::{BestPolicy, Evaluation, Event, Moment, Progress, StopReason};
use crate::stats;
use crate::store::{TrialDir, write_atomically, write_tensors};
use crate::training::{MetricMeans, StopRule, TrialError, Trigger, World};

/// The name under which a checkpoint holds the file of the best policy so far.
const BEST: &str = "best_policy";

/// An agent in training.
pub(super) struct Learner<'a> {
    dir: &'a TrialDir,
    plan: &'a TrialPlan,
    schedule: &'a ScheduleSpec,
    algorithm: Box<dyn Algorithm>,
    world: World,
    /// Films training episodes, where that is wanted; the world shows them.
    takes: Option<Rc<RefCell<TrainingTakes>>>,
    metrics: MetricMeans,
    stop: StopRule,
    stopped: Option<StopReason>,
    best: Option<BestPolicy>,
    /// [`Position::had_reached`].
    had_reached: u64,
    checkpoints: u64,
    clock: Clock,
}

impl<'a> Learner<'a> {
    /// A learner at the start of its training, or where `checkpoint` left it.
    ///
    /// # Errors
    /// Fails if the algorithm cannot be built or the checkpoint does not fit it.
    pub(super) fn new(
        dir: &'a TrialDir,
        plan: &'a TrialPlan,
        training: &'a TrainingSpec,
        checkpoint: Option<(Position, Tensors)>,
    ) -> Result<Self, TrialError> {
        let settings = algorithm::settings(&training.algorithm)?;
        let (policy, copies) = (&plan.settings.policy, settings.environments());
        let mut world =
            World::new(&plan.environment, policy, copies, plan.seed, &training.schedule)?;
        let filmed = checkpoint.as_ref().and_then(|(position, _)| position.filmed);
        let takes =
            TrainingTakes::new(dir, plan, filmed)?.map(|takes| Rc::new(RefCell::new(takes)));
        if let Some(takes) = &takes {
            world = world.watched_by(takes.clone())?;
        }
        if let Some(dataset) = &training.dataset {
            let transitions = read_dataset(dataset, &world)?;
            world = world.with_dataset(transitions);
        }
        let mut algorithm = settings.build(&Setup {
            policy,
            schedule: &training.schedule,
            observation_space: world.observation_space(),
            action_space: world.action_space(),
            seed: plan.seed,
        })?;
        let threshold = plan.environment.spec()?.reward_threshold;
        let mut learner = match checkpoint {
            None => {
                if let Some(initial) = &training.initial_policy {
                    begin(&mut *algorithm, dir, initial)?;
                }
                world.restart(0, Progress::default())?;
                Self {
                    dir,
                    plan,
                    schedule: &training.schedule,
                    algorithm,
                    world,
                    takes,
                    metrics: MetricMeans::default(),
                    stop: StopRule::new(training.schedule.stop.as_ref(), threshold),
                    stopped: None,
                    best: None,
                    had_reached: 0,
                    checkpoints: 0,
                    clock: Clock::at(0.0),
                }
            }
            Some((position, state)) => {
                let goes_on = position.goes_on(&training.schedule);
                let best = restore_best(dir, &position, &state)?;
                algorithm.load(&state).context("the checkpoint does not fit this agent")?;
                world.restart(position.number, position.progress)?;
                Self {
                    dir,
                    plan,
                    schedule: &training.schedule,
                    algorithm,
                    world,
                    takes,
                    metrics: position.metrics,
                    stop: position.stop,
                    stopped: position.stopped.filter(|_| !goes_on),
                    best,
                    had_reached: position.had_reached,
                    checkpoints: position.number,
                    clock: Clock::at(position.seconds),
                }
            }
        };
        learner.algorithm.restart();
        Ok(learner)
    }

    /// Whether training ends early, as the user asks: not before it has come as far as it had before it was lengthened.
    fn asked_to_end(&self, wishes: &Wishes) -> bool {
        wishes.finishes() && self.progress().steps >= self.had_reached
    }

    /// Trains until the schedule ends, the stop rule holds or `wishes` end it, and says which; or until `pause_at`
    /// steps, where it writes a checkpoint and says nothing, as it does at the next one where it is to leave. A checkpoint that falls due waits until the environments
    /// may restart.
    ///
    /// # Errors
    /// Fails if the trial fails.
    pub(super) fn train(
        &mut self,
        stage: &mut Stage<'_>,
        log: &mut EventWriter,
        pause_at: Option<u64>,
        wishes: &Wishes,
    ) -> Result<Option<StopReason>, TrialError> {
        let pauses = |progress: Progress| pause_at.is_some_and(|steps| progress.steps >= steps);
        if self.stopped.is_some() || pauses(self.progress()) {
            return Ok(self.stopped);
        }
        if self.checkpoints == 0 {
            self.show_untrained(stage, log)?;
        }
        let ScheduleSpec { log_every, evaluate_every, record_every, checkpoint_every, .. } =
            *self.schedule;
        let trigger = |every| Trigger::new(every, self.schedule);
        let log_trigger = trigger(log_every.or_else(|| default_log_period(self.schedule)));
        let evaluate_trigger = trigger(evaluate_every);
        let record_trigger = trigger(record_every);
        let checkpoint_trigger = trigger(checkpoint_every);
        let mut due = false;
        loop {
            let before = self.progress();
            if let Some(takes) = &self.takes {
                // What filming took outside of the clock.
                takes.borrow_mut().take_seconds();
            }
            self.clock.start();
            let outcome = self.algorithm.iterate(&mut self.world, &mut self.metrics);
            self.clock.stop();
            outcome.map_err(|error| self.explain(error))?;
            let mut events = Vec::new();
            for (progress, episode) in self.world.take_finished() {
                self.stop.episode(episode.r#return);
                let Episode { r#return, length, terminated, .. } = episode;
                // A step that is both ended the task, whatever the time limit says.
                let truncated = !terminated;
                let (length, truncated) = (Some(length.into()), Some(truncated));
                let event = Event::Episode { r#return, length, truncated };
                events.push((progress, event));
            }
            if let Some(takes) = &self.takes {
                let mut takes = takes.borrow_mut();
                self.clock.leave_out(takes.take_seconds());
                let filmed = takes.take_finished().map_err(anyhow::Error::from)?;
                events.extend(filmed.into_iter().map(|(at, take)| (at, Event::Take(take))));
                // A take after its episode, in the order they happened.
                events.sort_by_key(|(at, _)| (at.steps, at.episodes));
            }
            let (now, seconds) = (self.progress(), self.clock.seconds());
            for (progress, event) in events {
                log.write(progress, seconds, event)?;
            }
            let asked = || self.asked_to_end(wishes).then_some(StopReason::User);
            let reason = self.stop.reason(self.schedule, now, seconds).or_else(asked);
            let last = reason.is_some();
            if (last || log_trigger.fires(before, now)) && !self.metrics.is_empty() {
                log.write(now, seconds, Event::Update { metrics: self.metrics.take() })?;
            }
            if evaluate_trigger.fires(before, now) {
                let evaluation = stage.evaluate_during_training(self.algorithm.policy_mut())?;
                self.keep_best(now, &evaluation)?;
                let Evaluation { returns, lengths, cut, .. } = evaluation;
                log.write(now, seconds, Event::Evaluation { returns, lengths, cut })?;
            }
            // The take after training shows the same.
            if record_trigger.fires(before, now) && !last {
                stage.film(
                    log,
                    self.algorithm.policy_mut(),
                    Moment::During,
                    now,
                    seconds,
                    now.steps,
                )?;
            }
            if let Some(reason) = reason {
                log.write(now, seconds, Event::Stopped { reason })?;
                self.stopped = Some(reason);
            }
            due |= pauses(now) || checkpoint_trigger.fires(before, now);
            if last || (due && self.world.may_restart()) {
                self.checkpoint(log)?;
                due = false;
                if last || pauses(now) || wishes.leaves() {
                    return Ok(reason);
                }
            }
        }
    }

    /// How far training has come.
    pub(super) fn progress(&self) -> Progress {
        self.world.progress()
    }

    /// Wall-clock seconds of training so far.
    pub(super) fn seconds(&self) -> f64 {
        self.clock.seconds()
    }

    /// The engine that computes the networks.
    pub(super) fn engine(&self) -> String {
        self.algorithm.policy().engine()
    }

    /// The best policy by the evaluations during training, where there were any.
    pub(super) fn best(&self) -> Option<BestPolicy> {
        self.best
    }

    /// What was learned, by itself, and for how many steps: the policy that the evaluation asks for. Replay, optimisers and
    /// batches give their memory back before anything is filmed, and what plays is what a policy file holds.
    ///
    /// # Errors
    /// Fails if the policy cannot be built again, or the best one's file not be read.
    pub(super) fn into_policy(self) -> Result<(Box<dyn LearnedPolicy>, u64), TrialError> {
        let last = self.progress();
        let Self { plan, schedule, algorithm, world, best, .. } = self;
        let training = plan.settings.training.as_ref().context("a learner has a training")?;
        let mut state = Tensors::default();
        let best = best.filter(|_| plan.evaluation.policy == KeptPolicy::Best);
        let Progress { steps, .. } = best.map_or(last, |best| best.progress);
        match best {
            Some(_) => state = Tensors::load(&self.dir.best_policy()).context("the best policy")?,
            None => algorithm.policy().save(&mut state),
        }
        drop(algorithm);
        let mut policy = algorithm::settings(&training.algorithm)?.build_policy(&Setup {
            policy: &plan.settings.policy,
            schedule,
            observation_space: world.observation_space(),
            action_space: world.action_space(),
            seed: plan.seed,
        })?;
        policy.load(&state).context("the policy does not fit what it saved")?;
        Ok((policy, steps))
    }

    /// Keeps the policy if this evaluation during training is better than all before.
    fn keep_best(&mut self, progress: Progress, evaluation: &Evaluation) -> anyhow::Result<()> {
        let mean_return = stats::mean(&evaluation.returns).unwrap_or(f64::NEG_INFINITY);
        if self.best.is_none_or(|best| mean_return > best.mean_return) {
            self.best = Some(BestPolicy { progress, mean_return });
            self.write_policy(&self.dir.best_policy())?;
        }
        Ok(())
    }

    /// Writes `policy.safetensors`: the policy with the settings needed to rebuild it.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(super) fn save_policy(&self) -> anyhow::Result<()> {
        self.write_policy(&self.dir.policy())
    }

    fn write_policy(&self, path: &Path) -> anyhow::Result<()> {
        let mut state = Tensors::default();
        self.algorithm.policy().save(&mut state);
        state.insert_value("agent", &self.plan.settings);
        state.insert_value("environment", &self.plan.environment);
        state.insert_value("evaluation", &self.plan.evaluation);
        state.insert_value("progress", &self.progress());
        state.insert_value("seed", &self.plan.seed);
        write_atomically(path, &state.to_bytes()?)
    }

    /// Writes `dataset.safetensors`, where the algorithm keeps its samples.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(super) fn save_dataset(&self) -> anyhow::Result<()> {
        let mut state = Tensors::default();
        self.algorithm.save_dataset(&mut state);
        if state.is_empty() {
            return Ok(());
        }
        state.insert_value("environment", &self.plan.environment);
        write_tensors(self.dir.path(), &state, |_| Ok(self.dir.dataset()))
    }

    fn show_untrained(
        &mut self,
        stage: &mut Stage<'_>,
        log: &mut EventWriter,
    ) -> Result<(), TrialError> {
        let start = Progress::default();
        let policy = self.algorithm.policy_mut();
        stage.film(log, policy, Moment::Before, start, 0.0, 0)?;
        let evaluation = stage.evaluate(policy, self.plan.evaluation.episodes)?;
        let Evaluation { returns, lengths, cut, .. } = evaluation;
        Ok(log.write(start, 0.0, Event::Evaluation { returns, lengths, cut })?)
    }

    /// Writes a checkpoint; the environments restart in this run as they would after an interruption.
    fn checkpoint(&mut self, log: &mut EventWriter) -> Result<(), TrialError> {
        self.checkpoints += 1;
        let (progress, seconds) = (self.progress(), self.clock.seconds());
        log.write(progress, seconds, Event::Checkpoint { number: self.checkpoints })?;
        let position = Position {
            number: self.checkpoints,
            progress,
            seconds,
            events: log.sync()?,
            stop: self.stop.clone(),
            stopped: self.stopped,
            best: self.best,
            filmed: self.takes.as_ref().and_then(|takes| takes.borrow().last()),
            had_reached: self.had_reached,
            metrics: self.metrics.clone(),
        };
        let mut state = Tensors::default();
        self.algorithm.save(&mut state);
        if self.best.is_some() {
            let best = fs::read(self.dir.best_policy()).context("the best policy")?;
            state.insert_bytes(BEST, &best);
        }
        checkpoint::save(&self.dir.checkpoints(), &position, state)?;
        self.world.restart(self.checkpoints, progress)?;
        self.algorithm.restart();
        Ok(())
    }

    /// Adds where training stood to an error that is about numbers.
    fn explain(&self, error: TrialError) -> TrialError {
        if !matches!(error, TrialError::NotFinite { .. }) {
            return error;
        }
        let Progress { episodes, steps, updates } = self.progress();
        let checkpoint = match self.checkpoints {
            0 => "no checkpoint was written before".to_owned(),
            number => format!("the last good checkpoint is number {number}"),
        };
        TrialError::Other(anyhow::anyhow!(
            "{error} at step {steps}, episode {episodes}, update {updates}; {checkpoint}; a smaller \
             learning rate may help"
        ))
    }
}

/// Gives an algorithm the policy that it begins with.
fn begin(algorithm: &mut dyn Algorithm, dir: &TrialDir, initial: &Pinned) -> anyhow::Result<()> {
    let sha256 = initial.sha256.as_deref().context("the plan does not know the initial policy")?;
    let learned = dir.initial_policy(sha256).context("failed to read the initial policy")?;
    let mut state = Tensors::default();
    algorithm.policy().save(&mut state);
    begin_with(&mut state, &learned)?;
    algorithm.start_from(&state)
}

/// What the dataset holds for policies that see and act as in `world`.
fn read_dataset(dataset: &Pinned, world: &World) -> anyhow::Result<Transitions> {
    let Pinned { path, sha256 } = dataset;
    let (observations, actions) = (world.observation_space(), world.action_space());
    let (transitions, found) = Transitions::read(path, observations, actions)?;
    anyhow::ensure!(
        sha256.as_ref().is_none_or(|sha256| *sha256 == found),
        "{}: the dataset has changed since the run began; put back what it was, or start a new run",
        path.display()
    );
    Ok(transitions)
}

/// Writes the best policy of a checkpoint's training to its file again: a better one may have taken its place after the
/// checkpoint, in a part of the training that is trained again and may come out otherwise.
fn restore_best(
    dir: &TrialDir,
    position: &Position,
    state: &Tensors,
) -> anyhow::Result<Option<BestPolicy>> {
    if position.best.is_none() || !state.contains(BEST) {
        return Ok(None);
    }
    write_atomically(&dir.best_policy(), state.get_bytes(BEST)?)?;
    Ok(position.best)
}

/// Training metrics are written about 500 times, unless the schedule says otherwise.
pub(super) fn default_log_period(schedule: &ScheduleSpec) -> Option<Every> {
    const LINES: u64 = 500;
    let period = |limit: u64| (limit / LINES).max(1);
    (schedule.episodes.map(|limit| Every::Episodes(period(limit))))
        .or(schedule.steps.map(|limit| Every::Steps(period(limit))))
        .or(schedule.updates.map(|limit| Every::Updates(period(limit))))
        .or(Some(Every::Updates(1)))
}

/// Measures the seconds that training takes, evaluations and interruptions left out.
struct Clock {
    before: f64,
    started: Option<Instant>,
}

impl Clock {
    fn at(seconds: f64) -> Self {
        Self { before: seconds, started: None }
    }

    fn start(&mut self) {
        self.started = Some(Instant::now());
    }

    fn stop(&mut self) {
        self.before = self.seconds();
        self.started = None;
    }

    /// Does not count so many seconds that have passed.
    fn leave_out(&mut self, seconds: f64) {
        self.before -= seconds;
    }

    fn seconds(&self) -> f64 {
        self.before + self.started.map_or(0.0, |started| started.elapsed().as_secs_f64())
    }
}

//! What evolution strategies share: candidates, parameter vectors of one policy's network, each judged by
//! the return of whole episodes.
//!
//! A generation's candidates meet the same episodes, so that luck does not choose between them, and the next
//! generation meets others. Who plays what never depends on the number of threads.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::interface::{Initial, Setup, size_problem};
use super::on_policy;
use crate::env::episode::{self, View};
use crate::env::{Env, Episode, Mode, Problem, RewardTransform, Space};
use crate::experiment::{EnvironmentSpec, ScheduleSpec};
use crate::nn::Scalar;
use crate::nn::normaliser::ObservationNormaliser;
use crate::policy::{NetworkPolicy, PolicySpec};
use crate::rng::{Purpose, Rng, env_seed, stream};
use crate::training::{TrialError, World};

/// How candidates are judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct PopulationConfig {
    /// Episodes that each candidate plays.
    pub episodes: u64,
    /// Threads that play them.
    pub threads: usize,
    /// Whether observations are normalised by their running moments.
    pub normalize_observations: bool,
    /// Subtracted from the reward of each step.
    pub alive_bonus_offset: f64,
}

impl PopulationConfig {
    /// A fresh policy for `setup`.
    ///
    /// # Errors
    /// Fails if the policy is not neural, or its engine or device cannot be had.
    pub(super) fn policy<T: Scalar>(&self, setup: &Setup<'_>) -> anyhow::Result<NetworkPolicy<T>> {
        let mut policy = setup.build_network_policy::<T>(Initial::PYTORCH)?;
        // The parameters are varied, not the actions.
        policy.log_std.fill(T::neg_infinity());
        Ok(policy.normalised(self.normalize_observations))
    }
}

/// A policy, and the means to judge others with the same network.
pub(super) struct Population<T: Scalar> {
    /// The policy that learns.
    pub policy: NetworkPolicy<T>,
    blueprint: Blueprint,
    config: PopulationConfig,
    /// Who plays in an environment of another process.
    kept: Option<Worker<T>>,
}

/// What a [`Setup`] refers to, kept to build the policy again on other threads.
#[derive(Debug, Clone)]
struct Blueprint {
    policy: PolicySpec,
    schedule: ScheduleSpec,
    observation_space: Space,
    action_space: Space,
    seed: u64,
}

impl Blueprint {
    fn setup(&self) -> Setup<'_> {
        Setup {
            policy: &self.policy,
            schedule: &self.schedule,
            observation_space: &self.observation_space,
            action_space: &self.action_space,
            seed: self.seed,
        }
    }
}

/// What a candidate's episodes came to.
struct Tried {
    played: Vec<Episode>,
    /// The sum of their rewards as a learner is to see them.
    earned: f64,
    /// The observations that it acted on, where they are normalised.
    observations: Vec<f32>,
}

/// What makes evolution impossible with `policy` on `env`; paths are below the agent.
pub(super) fn problems(
    policy: &PolicySpec,
    schedule: &ScheduleSpec,
    env: &dyn Env,
    normalize_observations: bool,
    (field, candidates): (&str, usize),
) -> Vec<Problem> {
    let mut problems = on_policy::problems(policy, env, normalize_observations);
    if let PolicySpec::Neural(network) = policy {
        let parameters = network.fewest_parameters(env.observation_space());
        problems.extend(size_problem(field, candidates, parameters));
    }
    if matches!(policy, PolicySpec::Neural(network) if network.dropout > 0.0) {
        let message = "candidates play without dropout: use 0";
        problems.push(Problem::new(&["policy", "dropout"], message));
    }
    if schedule.reseed_each_episode {
        let message = "all candidates of a generation play the same episodes: use false";
        let path = ["training", "schedule", "reseed_each_episode"];
        problems.push(Problem::new(&path, message));
    }
    problems
}

impl<T: Scalar> Population<T> {
    /// A fresh policy for `setup`.
    ///
    /// # Errors
    /// Fails if the policy is not neural, or its engine or device cannot be had.
    pub(super) fn new(config: PopulationConfig, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let blueprint = Blueprint {
            policy: setup.policy.clone(),
            schedule: setup.schedule.clone(),
            observation_space: setup.observation_space.clone(),
            action_space: setup.action_space.clone(),
            seed: setup.seed,
        };
        Ok(Self { policy: config.policy(setup)?, blueprint, config, kept: None })
    }

    /// The policy's parameters.
    pub(super) fn parameters(&self) -> &[T] {
        self.policy.network.parameters()
    }

    /// Lets every candidate play the episodes of this generation, counts them in `world` and returns each
    /// candidate's mean return.
    ///
    /// # Errors
    /// Fails if a candidate or its environment fails.
    pub(super) fn judge(
        &mut self,
        world: &mut World,
        candidates: &[Vec<T>],
    ) -> Result<Vec<f64>, TrialError> {
        let generation = world.progress().updates;
        self.show(world, &candidates[0], env_seed(self.blueprint.seed, 0, generation))?;
        let (config, blueprint) = (self.config, &self.blueprint);
        let seeds: Vec<u64> =
            (0..config.episodes).map(|i| env_seed(blueprint.seed, i, generation)).collect();
        let environment = world.environment();
        let normaliser = self.policy.normaliser.as_ref();
        if environment.is_external() {
            // Its process lasts as long as its worker, and works beside this one anyway.
            let worker = match &mut self.kept {
                Some(worker) => worker,
                kept => kept.insert(Worker::new(config, &blueprint.setup(), environment, None)?),
            };
            worker.policy.normaliser = normaliser.cloned();
            let tries = candidates.iter().map(|candidate| worker.play(candidate, &seeds));
            let tries: Vec<_> = tries.collect();
            return self.count(world, tries);
        }
        let next = AtomicUsize::new(0);
        let work = || -> anyhow::Result<Vec<(usize, Result<Tried, TrialError>)>> {
            let mut worker = Worker::new(config, &blueprint.setup(), environment, normaliser)?;
            let mut tries = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(candidate) = candidates.get(index) else { return Ok(tries) };
                tries.push((index, worker.play(candidate, &seeds)));
            }
        };
        let mut tries = std::thread::scope(|scope| {
            let threads = config.threads.min(candidates.len());
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let mut all = Vec::new();
            for worker in workers {
                all.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            anyhow::Ok(all)
        })?;
        tries.sort_by_key(|(index, _)| *index);
        self.count(world, tries.into_iter().map(|(_, tried)| tried).collect())
    }

    /// Plays the generation's first episode, that of the first candidate, once more for whoever films trainings: the threads
    /// that judge have no picture.
    fn show(&mut self, world: &mut World, candidate: &[T], seed: u64) -> Result<(), TrialError> {
        let parameters = self.parameters().to_vec();
        self.policy.network.parameters_mut().copy_from_slice(candidate);
        let shown = world.show(&mut self.policy, Mode::Greedy, &mut chance(seed), seed);
        self.policy.network.parameters_mut().copy_from_slice(&parameters);
        shown
    }

    /// Counts what the candidates played, in their order, and returns each one's mean return.
    fn count(
        &mut self,
        world: &mut World,
        tries: Vec<Result<Tried, TrialError>>,
    ) -> Result<Vec<f64>, TrialError> {
        let mut fitness = Vec::with_capacity(tries.len());
        for tried in tries {
            let Tried { played, earned, observations } = tried?;
            let steps: f64 = played.iter().map(|episode| f64::from(episode.length)).sum();
            let offset = self.config.alive_bonus_offset * steps;
            fitness.push((earned - offset) / played.len() as f64);
            world.count_episodes(&played);
            self.policy.learn_moments(&observations);
        }
        Ok(fitness)
    }
}

/// The randomness of an episode; greedy policies draw nothing.
fn chance(seed: u64) -> Rng {
    stream(seed, Purpose::Exploration, 0)
}

/// One thread's policy and environment.
struct Worker<T: Scalar> {
    policy: NetworkPolicy<T>,
    env: crate::env::TimeLimit,
    rewards: RewardTransform,
}

impl<T: Scalar> Worker<T> {
    fn new(
        config: PopulationConfig,
        setup: &Setup<'_>,
        environment: &EnvironmentSpec,
        normaliser: Option<&ObservationNormaliser>,
    ) -> anyhow::Result<Self> {
        let mut policy = config.policy::<T>(setup)?;
        policy.normaliser = normaliser.cloned();
        let env = environment.build_copies(setup.policy, 1, false)?.pop();
        let env = env.expect("one copy was asked for");
        Ok(Self { policy, env, rewards: environment.wrappers.rewards() })
    }

    fn play(&mut self, candidate: &[T], seeds: &[u64]) -> Result<Tried, TrialError> {
        let Self { policy, env, rewards } = self;
        policy.network.parameters_mut().copy_from_slice(candidate);
        let keep = policy.normaliser.is_some();
        let mut tried = Tried { played: Vec::new(), earned: 0.0, observations: Vec::new() };
        for &seed in seeds {
            let mut rng = chance(seed);
            let mut earned = 0.0;
            let watch = |view: View<'_>| -> Result<(), TrialError> {
                earned += view.last.map_or(0.0, |(_, step)| rewards.apply(step.reward));
                if keep && view.last.is_none_or(|(_, last)| !last.done()) {
                    tried.observations.extend_from_slice(view.observation);
                }
                Ok(())
            };
            let played = episode::play(env, policy, Mode::Greedy, &mut rng, seed, None, watch)?;
            tried.played.push(played);
            tried.earned += earned;
        }
        Ok(tried)
    }
}

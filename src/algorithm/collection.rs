//! How the planning algorithms collect samples: at random at first, then with the agent as it is.

use super::interface::{Setup, storage};
use super::prediction::{Samples, Widths};
use crate::env::{Mode, Policy, Situation, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::random::uniform;
use crate::nn::replay::{Experience, OutOfMemory, Replay, ReplayConfig};
use crate::nn::{StateError, Tensors};
use crate::rng::{Purpose, Rng, stream};
use crate::training::annealed::{self, Annealed};
use crate::training::{TrialError, World};

/// Declares the hyperparameters of a planning algorithm: its own, and then those that all of them have.
macro_rules! planning_settings {
    ($(#[$attribute:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $(#[$attribute])*
        #[derive(
            Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $name {
            $($own)*
            /// Random steps before learning starts; rounded up to a multiple of `train_freq`.
            #[schemars(range(min = 1))]
            pub learning_starts: u64,
            /// Steps between two rounds of learning.
            #[schemars(range(min = 1, max = 1_000_000))]
            pub train_freq: usize,
            /// The probability of a random action while collecting.
            pub epsilon: $crate::training::Annealed,
            /// Samples that are kept, the newest ones.
            #[schemars(range(min = 1, max = 100_000_000))]
            pub buffer_size: usize,
            /// Passes over the samples in a round of learning.
            #[schemars(range(min = 1, max = 10_000))]
            pub n_epochs: usize,
            /// Samples in a minibatch.
            #[schemars(range(min = 1, max = 1_000_000))]
            pub batch_size: usize,
            /// Step size of Adam.
            pub learning_rate: $crate::training::Annealed,
            /// L2 penalty of Adam.
            #[schemars(range(min = 0.0))]
            pub weight_decay: f64,
            /// The share of the samples that is held out to measure the validation losses on.
            #[schemars(range(min = 0.0, max = 0.9))]
            pub validation_fraction: f64,
        }

        impl $name {
            fn trainer(&self) -> $crate::algorithm::prediction::TrainerConfig {
                $crate::algorithm::prediction::TrainerConfig {
                    batch_size: self.batch_size,
                    n_epochs: self.n_epochs,
                    validation_fraction: self.validation_fraction,
                    weight_decay: self.weight_decay,
                }
            }

            /// What cannot go with `schedule`.
            fn schedule_problems(
                &self,
                schedule: &$crate::experiment::ScheduleSpec,
            ) -> Vec<$crate::env::Problem> {
                let annealed =
                    [("learning_rate", Some(self.learning_rate)), ("epsilon", Some(self.epsilon))];
                $crate::training::annealed::problems(&annealed, schedule)
            }
        }
    };
}
pub(super) use planning_settings;

/// What a [`Collector`] is built from.
#[derive(Debug, Clone, Copy)]
pub(super) struct CollectorConfig {
    /// The probability of a random action once something was learned.
    pub epsilon: Annealed,
    /// Steps between two rounds of learning.
    pub train_freq: usize,
    /// Samples that are kept at most.
    pub buffer_size: usize,
    /// Steps that [`Replay::n_step_reward`] sums rewards over.
    pub n_steps: usize,
    /// Their discount factor.
    pub gamma: f64,
}

impl CollectorConfig {
    /// The shape of the samples' memory.
    pub(super) fn replay(
        &self,
        schedule: &ScheduleSpec,
        observations: &Space,
        actions: &Space,
    ) -> ReplayConfig {
        ReplayConfig {
            capacity: self.buffer_size.min(annealed::most_samples(schedule, self.train_freq)),
            environments: 1,
            observation_len: observations.len(),
            observation_storage: storage(observations),
            action_len: actions.len(),
            mask_len: 0,
            n_steps: self.n_steps,
            gamma: self.gamma,
            priorities: None,
        }
    }
}

/// The most bytes that samples take at a time: as they were collected and as they are learned from, and
/// beside both either what learning standardises or what is saved.
pub(super) fn memory_bytes(replay: ReplayConfig, widths: Widths) -> u64 {
    let (collected, learned) = (replay.bytes(), Samples::bytes(replay.rows(), widths));
    collected + learned + collected.max(learned)
}

/// Plays in one environment and keeps what it saw.
pub(super) struct Collector {
    /// The newest samples.
    pub replay: Replay,
    config: CollectorConfig,
    schedule: ScheduleSpec,
    action_space: Space,
    exploration: Rng,
    observation: Vec<f32>,
    action: Vec<f32>,
}

impl Collector {
    /// A collector without samples.
    ///
    /// # Errors
    /// Fails if the system has no room for them.
    pub(super) fn new(config: CollectorConfig, setup: &Setup<'_>) -> Result<Self, OutOfMemory> {
        let replay = config.replay(setup.schedule, setup.observation_space, setup.action_space);
        Ok(Self {
            replay: Replay::new(replay)?,
            config,
            schedule: setup.schedule.clone(),
            action_space: setup.action_space.clone(),
            exploration: stream(setup.seed, Purpose::Exploration, 0),
            observation: Vec::new(),
            action: vec![0.0; setup.action_space.len()],
        })
    }

    /// Plays the steps between two rounds of learning: at random before the first one, with `policy`
    /// afterwards.
    ///
    /// # Errors
    /// Fails if the environment fails or the policy cannot decide.
    pub(super) fn collect(
        &mut self,
        world: &mut World,
        policy: &mut dyn Policy,
    ) -> Result<(), TrialError> {
        for _ in 0..self.config.train_freq {
            let progress = world.progress();
            let epsilon = self.config.epsilon.at(annealed::remaining(&self.schedule, progress));
            self.observation.clear();
            self.observation.extend_from_slice(world.envs().observation(0));
            let rng = &mut self.exploration;
            if progress.updates == 0 || uniform(rng) < epsilon {
                self.action_space.sample(rng, &mut self.action);
            } else {
                let situation = Situation {
                    observation: &self.observation,
                    step: world.envs().elapsed_steps(0),
                    env: world.env(0),
                };
                policy.act(situation, Mode::Explore, rng, &mut self.action)?;
            }
            world.step(&self.action)?;
            let envs = world.envs();
            self.replay.push(Experience {
                observation: &self.observation,
                action: &self.action,
                reward: envs.rewards()[0],
                next_observation: envs.final_observation(0).unwrap_or(envs.observation(0)),
                next_mask: &[],
                terminated: envs.terminated()[0],
                truncated: envs.truncated()[0],
            });
            if !envs.finished().is_empty() {
                policy.begin_episode();
            }
        }
        Ok(())
    }

    /// Saves samples and random stream.
    pub(super) fn save(&self, state: &mut Tensors) {
        self.replay.save("samples.", state);
        state.insert_rng("exploration", &self.exploration);
    }

    /// Restores what [`Collector::save`] saved.
    ///
    /// # Errors
    /// Fails if something is missing or does not fit.
    pub(super) fn load(&mut self, state: &Tensors) -> Result<(), StateError> {
        self.replay.load("samples.", state)?;
        self.exploration = state.rng("exploration")?;
        Ok(())
    }
}

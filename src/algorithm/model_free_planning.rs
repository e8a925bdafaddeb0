//! Planning without a model: a network learns what an action earns, and the best of some candidate actions is
//! taken.
//!
//! An iteration plays `train_freq` steps, at random at first and then with the agent as it is, and goes on
//! learning (s, a) → r, or the discounted reward of the next `horizon` steps, from all samples so far. With a
//! horizon of 1 it is the reward-predicting agent that tutorials begin with; with a longer one it learns what the
//! agents that collected the samples earned from there on, and improves on them as Monte-Carlo control does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::collection::{Collector, CollectorConfig, memory_bytes};
use super::prediction::{Loss, Part, Predictor, PredictorConfig, Samples, Widths, encode};
use super::schedule::{self, Schedule};
use super::{Algorithm, AlgorithmSettings, Setup, report};
use crate::env::{Env, Space};
use crate::experiment::{Problem, ScheduleSpec};
use crate::nn::heads::argmax;
use crate::nn::random::normal;
use crate::nn::{Precision, Scalar, Tensors};
use crate::planning::candidates;
use crate::policy::{HeadSpec, Mode, Policy, PolicyError, PolicySpec, Situation};
use crate::rng::Rng;
use crate::trial::{MetricMeans, TrialError, World};

/// Hyperparameters of planning without a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelFreePlanningSpec {
    /// Actions compared at each decision: all of a discrete space where they are at most this many.
    #[schemars(range(min = 1, max = 100_000))]
    pub candidates: usize,
    /// Where candidates come from.
    pub proposal: Proposal,
    /// Standard deviation of candidates around the last action, as a share of each dimension's range.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub spread: f64,
    /// Steps whose rewards are predicted; 1 is the next reward alone.
    #[schemars(range(min = 1, max = 10_000))]
    pub horizon: usize,
    /// Discount factor of rewards within the horizon.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub discount: f64,
    /// Random steps before learning starts; rounded up to a multiple of `train_freq`.
    #[schemars(range(min = 1))]
    pub learning_starts: u64,
    /// Steps between two rounds of learning.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub train_freq: usize,
    /// The probability of a random action while collecting.
    pub epsilon: Schedule,
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
    pub learning_rate: Schedule,
    /// L2 penalty of Adam.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// The share of the samples that is held out to measure the validation loss on.
    #[schemars(range(min = 0.0, max = 0.9))]
    pub validation_fraction: f64,
}

impl Default for ModelFreePlanningSpec {
    fn default() -> Self {
        Self {
            candidates: 64,
            proposal: Proposal::Uniform,
            spread: 0.25,
            horizon: 1,
            discount: 0.99,
            learning_starts: 1000,
            train_freq: 1000,
            epsilon: Schedule::Constant(0.1),
            buffer_size: 100_000,
            n_epochs: 20,
            batch_size: 128,
            learning_rate: Schedule::Constant(1e-3),
            weight_decay: 0.0,
            validation_fraction: 0.1,
        }
    }
}

/// Where candidate actions come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proposal {
    /// Drawn uniformly from the action space.
    Uniform,
    /// Drawn around the last action of the episode, for smooth motion; continuous actions only.
    LastAction,
}

impl ModelFreePlanningSpec {
    fn collector(&self) -> CollectorConfig {
        CollectorConfig {
            epsilon: self.epsilon,
            train_freq: self.train_freq,
            buffer_size: self.buffer_size,
            n_steps: self.horizon,
            gamma: self.discount,
        }
    }
}

/// What the network sees and predicts.
fn widths(observations: &Space, actions: &Space) -> Widths {
    Widths { inputs: observations.features() + actions.features(), targets: 1 }
}

impl AlgorithmSettings for ModelFreePlanningSpec {
    fn supports(&self, actions: &Space) -> bool {
        !matches!(actions, Space::Tuple { .. })
    }

    fn problems(
        &self,
        policy: &PolicySpec,
        schedule: &ScheduleSpec,
        env: &dyn Env,
    ) -> Vec<Problem> {
        let schedules =
            [("learning_rate", Some(self.learning_rate)), ("epsilon", Some(self.epsilon))];
        let mut problems = schedule::problems(&schedules, schedule);
        if policy.head() == Some(HeadSpec::Sigmoid) {
            let message = "the network predicts rewards: leave `head` out";
            problems.push(Problem::new(&["policy", "head"], message));
        }
        if self.proposal == Proposal::LastAction && env.action_space().discrete().is_some() {
            let message = format!(
                "there is nothing around an action of {}: use `uniform`",
                env.action_space()
            );
            problems.push(Problem::new(&["training", "algorithm", "proposal"], message));
        }
        problems
    }

    fn memory_bytes(&self, schedule: &ScheduleSpec, observations: &Space, actions: &Space) -> u64 {
        let replay = self.collector().replay(schedule, observations, actions);
        memory_bytes(replay, widths(observations, actions))
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        Ok(match setup.network()?.precision {
            Precision::Float32 => Box::new(ModelFreePlanning::<f32>::new(self.clone(), setup)?),
            Precision::Float64 => Box::new(ModelFreePlanning::<f64>::new(self.clone(), setup)?),
        })
    }
}

/// Takes the candidate action with the greatest predicted reward.
struct RewardPolicy<T: Scalar> {
    predictor: Predictor<T>,
    most: usize,
    proposal: Proposal,
    spread: f64,
    observation_space: Space,
    action_space: Space,
    /// The episode's last action; empty at its start.
    last: Vec<f32>,
    candidates: Vec<f32>,
    inputs: Vec<f32>,
    predictions: Vec<f32>,
}

impl<T: Scalar> RewardPolicy<T> {
    fn propose(&mut self, rng: &mut Rng) {
        self.candidates.clear();
        if self.proposal == Proposal::Uniform || self.last.is_empty() {
            candidates(&self.action_space, self.most, rng, &mut self.candidates);
            return;
        }
        for _ in 0..self.most {
            for (&last, (low, high)) in self.last.iter().zip(self.action_space.finite_bounds()) {
                let deviation = self.spread * f64::from(high - low);
                let value = f64::from(last) + deviation * normal(rng);
                self.candidates.push((value as f32).clamp(low, high));
            }
        }
    }
}

impl<T: Scalar> Policy for RewardPolicy<T> {
    fn begin_episode(&mut self) {
        self.last.clear();
    }

    fn act(
        &mut self,
        situation: Situation<'_>,
        _: Mode,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        self.propose(rng);
        self.inputs.clear();
        for candidate in self.candidates.chunks_exact(action.len()) {
            let seen = (&self.observation_space, situation.observation);
            encode(seen, (&self.action_space, candidate), &mut self.inputs);
        }
        self.predictor.predict(0, &mut self.inputs, &mut self.predictions);
        if self.predictions.iter().any(|prediction| !prediction.is_finite()) {
            let message = "a predicted reward is not finite".into();
            return Err(PolicyError { step: situation.step, message });
        }
        let best = argmax(&self.predictions);
        action.copy_from_slice(&self.candidates[best * action.len()..][..action.len()]);
        self.last.clear();
        self.last.extend_from_slice(action);
        Ok(())
    }
}

/// Planning without a model, at work.
struct ModelFreePlanning<T: Scalar> {
    spec: ModelFreePlanningSpec,
    schedule: ScheduleSpec,
    policy: RewardPolicy<T>,
    collector: Collector,
    /// The last action of the training episode, while the policy may play others.
    last: Vec<f32>,
    samples: Samples,
}

impl<T: Scalar> ModelFreePlanning<T> {
    fn new(spec: ModelFreePlanningSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let widths = widths(setup.observation_space, setup.action_space);
        let collector = Collector::new(spec.collector(), setup)?;
        let config = PredictorConfig {
            parts: &[Part { name: "reward", len: 1, loss: Loss::Squared }],
            inputs: widths.inputs,
            ensemble_size: 1,
            batch_size: spec.batch_size,
            n_epochs: spec.n_epochs,
            validation_fraction: spec.validation_fraction,
            weight_decay: spec.weight_decay,
        };
        Ok(Self {
            policy: RewardPolicy {
                predictor: Predictor::new(config, setup)?,
                most: spec.candidates,
                proposal: spec.proposal,
                spread: spec.spread,
                observation_space: setup.observation_space.clone(),
                action_space: setup.action_space.clone(),
                last: Vec::new(),
                candidates: Vec::new(),
                inputs: Vec::new(),
                predictions: Vec::new(),
            },
            samples: Samples::new(collector.replay.capacity(), widths)?,
            collector,
            last: Vec::new(),
            schedule: setup.schedule.clone(),
            spec,
        })
    }

    /// The samples whose rewards over the horizon are all known.
    fn gather(&mut self) {
        let Self { collector: Collector { replay, .. }, samples, policy, .. } = self;
        samples.clear();
        for index in 0..replay.len() {
            let Some(reward) = replay.n_step_reward(index) else { continue };
            let transition = replay.transition(index);
            let seen = (&policy.observation_space, transition.observation);
            encode(seen, (&policy.action_space, transition.action), &mut samples.inputs);
            samples.targets.push(reward as f32);
            samples.numbers.push(replay.number(index));
        }
    }
}

impl<T: Scalar> Algorithm for ModelFreePlanning<T> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        std::mem::swap(&mut self.last, &mut self.policy.last);
        let collected = self.collector.collect(world, &mut self.policy);
        std::mem::swap(&mut self.last, &mut self.policy.last);
        collected?;
        let progress = world.progress();
        if progress.steps < self.spec.learning_starts {
            return Ok(());
        }
        self.gather();
        let stored = self.collector.replay.len();
        if self.samples.numbers.is_empty()
            && stored >= 2 * self.spec.horizon.min(self.spec.buffer_size / 2)
        {
            return Err(TrialError::Other(anyhow::anyhow!(
                "none of {stored} samples is followed by the rewards of {} steps, since time limits, checkpoints \
                 or `buffer_size` cut them off sooner: use a smaller `horizon`",
                self.spec.horizon
            )));
        }
        let learning_rate =
            self.spec.learning_rate.at(schedule::remaining(&self.schedule, progress));
        self.policy.predictor.fit(&self.samples, learning_rate, metrics)?;
        report(metrics, &[("samples", stored as f64), ("learning_rate", learning_rate)])?;
        world.count_update();
        Ok(())
    }

    fn restart(&mut self) {
        self.collector.replay.restart();
        self.last.clear();
    }

    fn policy(&mut self) -> &mut dyn Policy {
        &mut self.policy
    }

    fn engine(&self) -> String {
        self.policy.predictor.engine().to_string()
    }

    fn save(&self, state: &mut Tensors) {
        self.policy.predictor.save(state);
        self.collector.save(state);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.policy.predictor.load(state)?;
        Ok(self.collector.load(state)?)
    }

    fn save_policy(&self, state: &mut Tensors) {
        self.policy.predictor.save_networks(state);
    }

    fn load_policy(&mut self, state: &Tensors) -> anyhow::Result<()> {
        Ok(self.policy.predictor.load_networks(state)?)
    }

    fn save_dataset(&self, state: &mut Tensors) {
        self.collector.replay.save("", state);
    }
}

//! Planning without a model: a network learns what an action earns, and the best of some candidate actions is
//! taken.
//!
//! An iteration plays `train_freq` steps, at random at first and then with the agent as it is, and goes on
//! learning (s, a) → r, or the discounted reward of the next `horizon` steps, from all samples so far. With a
//! horizon of 1 it is the reward-predicting agent that tutorials begin with; with a longer one it learns what the
//! agents that collected the samples earned from there on, and improves on them as Monte-Carlo control does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::collection::{Collector, CollectorConfig, memory_bytes, planning_settings};
use super::interface::{Algorithm, AlgorithmSettings, Setup, by_precision, report};
use super::prediction::{Loss, Part, Predictor, Samples, Trainer, Widths, encode};
use crate::env::{Env, Mode, Policy, PolicyError, Problem, Situation, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::heads::argmax;
use crate::nn::random::normal;
use crate::nn::{Scalar, StateError, Tensors};
use crate::planning::candidates;
use crate::policy::{HeadSpec, LearnedPolicy, PolicySpec};
use crate::rng::Rng;
use crate::training::annealed::{self, Annealed};
use crate::training::{MetricMeans, TrialError, World};

planning_settings! {
    /// Hyperparameters of planning without a model.
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
    }
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
            epsilon: Annealed::Constant(0.1),
            buffer_size: 100_000,
            n_epochs: 20,
            batch_size: 128,
            learning_rate: Annealed::Constant(1e-3),
            weight_decay: 0.0,
            validation_fraction: 0.1,
        }
    }
}

/// Where candidate actions come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Proposal {
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
        actions.is_discrete_or_box()
    }

    fn problems(
        &self,
        policy: &PolicySpec,
        schedule: &ScheduleSpec,
        env: &dyn Env,
    ) -> Vec<Problem> {
        let mut problems = self.schedule_problems(schedule);
        if policy.head() == Some(HeadSpec::Sigmoid) {
            let message = "the network predicts rewards: leave `head` out";
            problems.push(Problem::new(&["policy", "head"], message));
        }
        if self.horizon > self.buffer_size {
            let message = format!(
                "{} samples never hold the rewards of {} steps",
                self.buffer_size, self.horizon
            );
            problems.push(Problem::new(&["training", "algorithm", "horizon"], message));
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

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => RewardPolicy::<T>::new(self, setup)?)
    }

    fn memory_bytes(&self, schedule: &ScheduleSpec, observations: &Space, actions: &Space) -> u64 {
        let replay = self.collector().replay(schedule, observations, actions);
        memory_bytes(replay, widths(observations, actions))
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => ModelFreePlanning::<T>::new(self.clone(), setup)?)
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
    fn new(spec: &ModelFreePlanningSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let reward = Part { name: "reward", len: 1, loss: Loss::Squared };
        Ok(Self {
            predictor: Predictor::new(1, &[reward], setup)?,
            most: spec.candidates,
            proposal: spec.proposal,
            spread: spec.spread,
            observation_space: setup.observation_space.clone(),
            action_space: setup.action_space.clone(),
            last: Vec::new(),
            candidates: Vec::new(),
            inputs: Vec::new(),
            predictions: Vec::new(),
        })
    }

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

impl<T: Scalar> LearnedPolicy for RewardPolicy<T> {
    fn save(&self, state: &mut Tensors) {
        self.predictor.save(state);
    }

    fn load(&mut self, state: &Tensors) -> Result<(), StateError> {
        self.predictor.load(state)
    }

    fn engine(&self) -> String {
        self.predictor.engine().to_string()
    }
}

/// Planning without a model, at work.
struct ModelFreePlanning<T: Scalar> {
    spec: ModelFreePlanningSpec,
    schedule: ScheduleSpec,
    policy: RewardPolicy<T>,
    trainer: Trainer<T>,
    collector: Collector,
    /// The last action of the training episode, while the policy may play others.
    last: Vec<f32>,
    samples: Samples,
}

impl<T: Scalar> ModelFreePlanning<T> {
    fn new(spec: ModelFreePlanningSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let policy = RewardPolicy::new(&spec, setup)?;
        let widths = widths(setup.observation_space, setup.action_space);
        let collector = Collector::new(spec.collector(), setup)?;
        Ok(Self {
            trainer: Trainer::new(spec.trainer(), &policy.predictor, setup.seed),
            policy,
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
        let mut scratch = Default::default();
        for index in 0..replay.len() {
            let Some(reward) = replay.n_step_reward(index) else { continue };
            let experience = replay.experience(index, &mut scratch);
            let seen = (&policy.observation_space, experience.observation);
            encode(seen, (&policy.action_space, experience.action), &mut samples.inputs);
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
            self.spec.learning_rate.at(annealed::remaining(&self.schedule, progress));
        let Self { policy, trainer, samples, .. } = self;
        trainer.fit(&mut policy.predictor, samples, learning_rate, metrics)?;
        report(metrics, &[("samples", stored as f64), ("learning_rate", learning_rate)])?;
        world.count_update();
        Ok(())
    }

    fn restart(&mut self) {
        self.collector.replay.restart();
        self.last.clear();
    }

    fn policy(&self) -> &dyn LearnedPolicy {
        &self.policy
    }

    fn policy_mut(&mut self) -> &mut dyn LearnedPolicy {
        &mut self.policy
    }

    fn save(&self, state: &mut Tensors) {
        self.policy.save(state);
        self.trainer.save(state);
        self.collector.save(state);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.policy.load(state)?;
        self.trainer.load(state)?;
        Ok(self.collector.load(state)?)
    }

    fn save_dataset(&self, state: &mut Tensors) {
        self.collector.replay.save("", state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env;
    use crate::nn::replay::Experience;
    use crate::policy::NeuralSpec;
    use crate::rng::{Purpose, stream};

    /// The agent with a linear network on these spaces.
    fn agent(
        spec: ModelFreePlanningSpec,
        observations: &Space,
        actions: &Space,
    ) -> ModelFreePlanning<f32> {
        let policy = PolicySpec::Neural(NeuralSpec { hidden: Vec::new(), ..NeuralSpec::default() });
        let setup = Setup {
            policy: &policy,
            schedule: &ScheduleSpec::default(),
            observation_space: observations,
            action_space: actions,
            seed: 3,
        };
        ModelFreePlanning::new(spec, &setup).expect("an engine on any CPU")
    }

    /// Makes the agent predict the `weights`-weighted sum of observation and action.
    fn predict_sum(agent: &mut ModelFreePlanning<f32>, weights: &[f32]) {
        let mut state = Tensors::default();
        agent.policy.predictor.save(&mut state);
        state.insert("0.weight", &[1, weights.len()], weights);
        state.insert("0.bias", &[1], &[0.0_f32]);
        agent.policy.predictor.load(&state).expect("a network of the same shape");
    }

    #[test]
    fn the_predictor_learns_discounted_rewards_of_the_horizon_where_they_are_known() {
        let spec = ModelFreePlanningSpec {
            horizon: 3,
            discount: 0.5,
            buffer_size: 100,
            ..ModelFreePlanningSpec::default()
        };
        let (observations, actions) = (Space::uniform_box(-9.0, 9.0, 1), Space::Discrete { n: 3 });
        let mut agent = agent(spec, &observations, &actions);
        // An episode that ends by itself, one that a time limit cuts off, and one that goes on.
        let ends = [(5, true, false), (10, false, true)];
        for i in 0..14 {
            let (terminated, truncated) = ends
                .iter()
                .find(|(last, ..)| *last == i)
                .map_or((false, false), |&(_, terminated, truncated)| (terminated, truncated));
            agent.collector.replay.push(Experience {
                observation: &[i as f32 / 10.0],
                action: &[(i % 3) as f32],
                reward: f64::from(1 << i),
                next_observation: &[9.0],
                next_mask: &[],
                terminated,
                truncated,
            });
        }
        agent.gather();
        // Nothing follows the end at 5, so that its rewards are known; what would have followed the cut at 10
        // and the newest step 13 is not. 2ⁱ + 2ⁱ⁺¹ / 2 + 2ⁱ⁺² / 4 = 3 · 2ⁱ.
        let known = [
            (0, 3.0),
            (1, 6.0),
            (2, 12.0),
            (3, 24.0),
            (4, 16.0 + 32.0 / 2.0),
            (5, 32.0),
            (6, 3.0 * 64.0),
            (7, 3.0 * 128.0),
            (8, 3.0 * 256.0),
            (11, 3.0 * 2048.0),
        ];
        assert_eq!(agent.samples.targets, known.map(|(_, reward)| reward));
        assert_eq!(agent.samples.numbers, known.map(|(i, _)| i));
        let inputs: Vec<f32> = known
            .iter()
            .flat_map(|&(i, _)| {
                let mut input = [i as f32 / 10.0, 0.0, 0.0, 0.0];
                input[1 + i as usize % 3] = 1.0;
                input
            })
            .collect();
        assert_eq!(agent.samples.inputs, inputs, "the observation, then the action one-hot");
    }

    #[test]
    fn a_horizon_of_one_learns_the_next_reward_of_every_step() {
        let spec = ModelFreePlanningSpec { buffer_size: 10, ..ModelFreePlanningSpec::default() };
        let space = Space::uniform_box(-1.0, 1.0, 1);
        let mut agent = agent(spec, &space, &space);
        for (i, reward) in [2.0, -3.0, 5.0].into_iter().enumerate() {
            agent.collector.replay.push(Experience {
                observation: &[0.5],
                action: &[-0.5],
                reward,
                next_observation: &[0.0],
                next_mask: &[],
                terminated: i == 0,
                truncated: i == 1,
            });
        }
        agent.gather();
        assert_eq!(agent.samples.targets, [2.0, -3.0, 5.0]);
        assert_eq!(agent.samples.inputs, [0.5, -0.5, 0.5, -0.5, 0.5, -0.5]);
    }

    fn act(
        agent: &mut ModelFreePlanning<f32>,
        observation: &[f32],
        index: u64,
        width: usize,
    ) -> Vec<f32> {
        // Any environment will do: the agent does not look at it.
        let env = (env::find("CartPole-v1").expect("in the table").make)(&Default::default())
            .expect("default options");
        let mut action = vec![f32::NAN; width];
        let mut rng = stream(3, Purpose::Planning, index);
        let situation = Situation { observation, step: 0, env: &*env };
        agent
            .policy
            .act(situation, Mode::Explore, &mut rng, &mut action)
            .expect("finite predictions");
        action
    }

    #[test]
    fn the_discrete_action_with_the_greatest_prediction_is_taken() {
        let (observations, actions) = (Space::uniform_box(-1.0, 1.0, 1), Space::Discrete { n: 4 });
        let mut agent = agent(ModelFreePlanningSpec::default(), &observations, &actions);
        for best in 0..4 {
            let mut weights = [0.3, -0.2, 0.1, -0.4, 0.0];
            weights[1 + best] = 0.9;
            predict_sum(&mut agent, &weights);
            for index in 0..20 {
                assert_eq!(act(&mut agent, &[0.7], index, 1), [best as f32]);
            }
        }
    }

    #[test]
    fn the_best_of_all_candidates_is_taken_and_the_next_ones_lie_around_it() {
        let spec = ModelFreePlanningSpec {
            candidates: 200,
            proposal: Proposal::LastAction,
            spread: 0.05,
            ..ModelFreePlanningSpec::default()
        };
        let space = Space::uniform_box(-2.0, 2.0, 2);
        let mut agent = agent(spec, &space, &space);
        predict_sum(&mut agent, &[5.0, -5.0, 1.0, -2.0]);
        let value = |action: &[f32]| action[0] - 2.0 * action[1];
        let best = |agent: &ModelFreePlanning<f32>| {
            let candidates = agent.policy.candidates.chunks_exact(2);
            assert_eq!(candidates.len(), 200);
            candidates.max_by(|a, b| value(a).total_cmp(&value(b))).expect("some").to_vec()
        };
        // Mean and standard deviation of the candidates' first numbers.
        let moments = |agent: &ModelFreePlanning<f32>| {
            let values = || agent.policy.candidates.iter().step_by(2).map(|&x| f64::from(x));
            let mean = values().sum::<f64>() / 200.0;
            (mean, (values().map(|x| (x - mean).powi(2)).sum::<f64>() / 200.0).sqrt())
        };
        agent.policy.begin_episode();
        let first = act(&mut agent, &[0.1, 0.2], 0, 2);
        assert_eq!(first, best(&agent));
        let (mean, deviation) = moments(&agent);
        // Uniform over a range of 4: the deviation is 4 / √12.
        assert!(mean.abs() < 0.3 && (deviation - 1.155).abs() < 0.15, "{mean}, {deviation}");

        agent.policy.last = vec![0.5, 0.5];
        let second = act(&mut agent, &[0.1, 0.2], 1, 2);
        assert_eq!(second, best(&agent));
        let (mean, deviation) = moments(&agent);
        // A twentieth of the range of 4 about the last action.
        assert!((mean - 0.5).abs() < 0.05 && (deviation - 0.2).abs() < 0.04, "{mean}, {deviation}");
        assert_eq!(agent.policy.last, second, "and the next ones about this one");

        agent.policy.begin_episode();
        act(&mut agent, &[0.1, 0.2], 2, 2);
        assert!(moments(&agent).1 > 1.0, "an episode begins with the whole space");
    }
}

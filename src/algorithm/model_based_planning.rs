//! Planning with a learned model: an ensemble of networks learns what the environment does, and a planner looks
//! ahead through it (Chua et al., "Deep reinforcement learning in a handful of trials using probabilistic dynamics
//! models", 2018, with deterministic networks).
//!
//! An iteration plays `train_freq` steps, at random at first and then with the agent as it is, and goes on
//! learning from all samples so far how an action changes the state (s, a) → s' - s, its reward, and the
//! probability that it ends the task. Each network imagines every sequence of actions on its own, and a sequence
//! is worth the mean over the networks of `Σ discount^t · P(not ended before t) · reward_t`. Without that
//! probability a task whose every step earns the same, such as balancing a pole, would tell the planner nothing.

use super::collection::{Collector, CollectorConfig, memory_bytes, planning_settings};
use super::interface::{Algorithm, AlgorithmSettings, Setup, by_precision, report};
use super::prediction::{Loss, Part, Predictor, Samples, Trainer, Widths, encode};
use crate::env::{Dtype, Env, Mode, Policy, PolicyError, Problem, Situation, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::heads::argmax;
use crate::nn::{Scalar, StateError, Tensors};
use crate::planning::{
    Model, ModelError, Planner, PlannerMemory, PlannerSpec, Returns, repeat_rows,
};
use crate::policy::{HeadSpec, LearnedPolicy, PolicySpec};
use crate::rng::Rng;
use crate::training::annealed::{self, Annealed};
use crate::training::{MetricMeans, TrialError, World};

planning_settings! {
    /// Hyperparameters of planning with a learned model.
    pub struct ModelBasedPlanningSpec {
        /// How the agent looks for the best sequence of actions.
        pub planner: PlannerSpec,
        /// Discount factor of imagined rewards.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub discount: f64,
        /// Networks that learn the same and differ in chance only.
        #[schemars(range(min = 1, max = 100))]
        pub ensemble_size: usize,
    }
}

impl Default for ModelBasedPlanningSpec {
    fn default() -> Self {
        Self {
            planner: PlannerSpec::default(),
            discount: 0.99,
            ensemble_size: 3,
            learning_starts: 1000,
            train_freq: 500,
            epsilon: Annealed::Constant(0.0),
            buffer_size: 100_000,
            n_epochs: 20,
            batch_size: 128,
            learning_rate: Annealed::Constant(1e-3),
            weight_decay: 0.0,
            validation_fraction: 0.1,
        }
    }
}

impl ModelBasedPlanningSpec {
    fn collector(&self) -> CollectorConfig {
        CollectorConfig {
            epsilon: self.epsilon,
            train_freq: self.train_freq,
            buffer_size: self.buffer_size,
            n_steps: 1,
            gamma: 1.0,
        }
    }
}

/// What the networks see and predict.
fn widths(observations: &Space, actions: &Space) -> Widths {
    Widths {
        inputs: observations.features() + actions.features(),
        targets: LearnedModel::<f32>::parts(observations).iter().map(|part| part.len).sum(),
    }
}

impl AlgorithmSettings for ModelBasedPlanningSpec {
    fn supports(&self, actions: &Space) -> bool {
        actions.is_discrete_or_box()
    }

    fn problems(&self, policy: &PolicySpec, schedule: &ScheduleSpec, _: &dyn Env) -> Vec<Problem> {
        let mut problems = self.schedule_problems(schedule);
        if policy.head() == Some(HeadSpec::Sigmoid) {
            let message = "the networks predict what the environment does: leave `head` out";
            problems.push(Problem::new(&["policy", "head"], message));
        }
        problems.extend(
            self.planner
                .problem()
                .map(|message| Problem::new(&["training", "algorithm", "planner"], message)),
        );
        problems
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => ModelPolicy::<T>::new(self, setup)?)
    }

    fn memory_bytes(&self, schedule: &ScheduleSpec, observations: &Space, actions: &Space) -> u64 {
        let replay = self.collector().replay(schedule, observations, actions);
        memory_bytes(replay, widths(observations, actions))
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => ModelBasedPlanning::<T>::new(self.clone(), setup)?)
    }
}

/// What the networks say the environment does, and imagined episodes in it.
struct LearnedModel<T: Scalar> {
    predictor: Predictor<T>,
    observation_space: Space,
    action_space: Space,
    /// The present state, as the networks see it.
    present: Vec<f32>,
    /// Imagined states, one episode after another, those of the first network first.
    states: Vec<f32>,
    episodes: usize,
    returns: Returns,
    actions: Vec<f32>,
    inputs: Vec<f32>,
    predictions: Vec<f32>,
}

impl<T: Scalar> LearnedModel<T> {
    /// The parts of a prediction, in order: change of state, reward, end.
    fn parts(observation_space: &Space) -> [Part; 3] {
        [
            Part { name: "state", len: observation_space.features(), loss: Loss::Squared },
            Part { name: "reward", len: 1, loss: Loss::Squared },
            Part { name: "termination", len: 1, loss: Loss::Logistic },
        ]
    }

    fn new(predictor: Predictor<T>, setup: &Setup<'_>) -> Self {
        Self {
            predictor,
            observation_space: setup.observation_space.clone(),
            action_space: setup.action_space.clone(),
            present: vec![0.0; setup.observation_space.features()],
            states: Vec::new(),
            episodes: 0,
            returns: Returns::default(),
            actions: Vec::new(),
            inputs: Vec::new(),
            predictions: Vec::new(),
        }
    }

    /// Sets the present state.
    fn observe(&mut self, observation: &[f32]) {
        self.observation_space.encode(observation, &mut self.present);
    }
}

/// Moves a predicted state to the nearest one that can be: discrete parts to their greatest number, boxes into
/// their bounds.
fn project(space: &Space, state: &mut [f32]) {
    let one_hot = |part: &mut [f32]| {
        let greatest = argmax(part);
        part.fill(0.0);
        part[greatest] = 1.0;
    };
    match space {
        Space::Discrete { .. } => one_hot(state),
        Space::MultiDiscrete { nvec } => {
            let mut rest = state;
            for &n in nvec {
                let (part, after) = rest.split_at_mut(n);
                one_hot(part);
                rest = after;
            }
        }
        Space::MultiBinary { .. } => {
            state.iter_mut().for_each(|bit| *bit = bit.clamp(0.0, 1.0).round())
        }
        Space::Tuple { .. } | Space::Dict { .. } => {
            let mut rest = state;
            for part in space.parts() {
                let (own, after) = rest.split_at_mut(part.features());
                project(part, own);
                rest = after;
            }
        }
        Space::Box { dtype, low, high, .. } => {
            let unit = match dtype {
                Dtype::Float32 => 1.0,
                Dtype::Uint8 => 255.0,
            };
            for (value, (low, high)) in state.iter_mut().zip(low.iter().zip(high)) {
                *value = value.clamp(*low / unit, *high / unit);
            }
        }
    }
}

impl<T: Scalar> Model for LearnedModel<T> {
    fn begin(&mut self, episodes: usize, discount: f64) -> Result<(), ModelError> {
        let copies = self.predictor.members() * episodes;
        self.states.clone_from(&self.present);
        repeat_rows(&mut self.states, self.present.len(), copies);
        self.episodes = episodes;
        self.returns.begin(copies, discount);
        Ok(())
    }

    fn branch(&mut self, copies: usize) -> Result<(), ModelError> {
        repeat_rows(&mut self.states, self.present.len(), copies);
        self.episodes *= copies;
        self.returns.branch(copies);
        Ok(())
    }

    fn step(&mut self, actions: &[f32]) -> Result<(), ModelError> {
        let (state_len, action_len) = (self.present.len(), self.action_space.features());
        self.actions.resize(self.episodes * action_len, 0.0);
        let flat = actions.chunks_exact(self.action_space.len());
        for (action, features) in flat.zip(self.actions.chunks_exact_mut(action_len)) {
            self.action_space.encode(action, features);
        }
        let width = self.predictor.outputs();
        let states = self.states.chunks_exact_mut(self.episodes * state_len);
        for (member, states) in states.enumerate() {
            self.inputs.clear();
            let rows = states.chunks_exact(state_len).zip(self.actions.chunks_exact(action_len));
            for (state, action) in rows {
                self.inputs.extend_from_slice(state);
                self.inputs.extend_from_slice(action);
            }
            self.predictor.predict(member, &mut self.inputs, &mut self.predictions);
            let rows = states.chunks_exact_mut(state_len).zip(self.predictions.chunks_exact(width));
            for (episode, (state, prediction)) in rows.enumerate() {
                for (value, change) in state.iter_mut().zip(prediction) {
                    *value += change;
                }
                project(&self.observation_space, state);
                let (reward, ended) = (prediction[state_len], prediction[state_len + 1]);
                let row = member * self.episodes + episode;
                self.returns.earn(row, f64::from(reward), f64::from(ended));
            }
        }
        Ok(())
    }

    fn returns(&self, returns: &mut Vec<f64>) {
        returns.clear();
        returns.resize(self.episodes, 0.0);
        let share = 1.0 / self.predictor.members() as f64;
        for sums in self.returns.sums().chunks_exact(self.episodes) {
            for (mean, sum) in returns.iter_mut().zip(sums) {
                *mean += share * sum;
            }
        }
    }
}

/// Acts by planning through the model.
struct ModelPolicy<T: Scalar> {
    model: LearnedModel<T>,
    planner: Planner,
    memory: PlannerMemory,
}

impl<T: Scalar> ModelPolicy<T> {
    fn new(spec: &ModelBasedPlanningSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let parts = LearnedModel::<T>::parts(setup.observation_space);
        let predictor = Predictor::new(spec.ensemble_size, &parts, setup)?;
        Ok(Self {
            model: LearnedModel::new(predictor, setup),
            planner: Planner::new(&spec.planner, spec.discount, setup.action_space),
            memory: PlannerMemory::default(),
        })
    }
}

impl<T: Scalar> Policy for ModelPolicy<T> {
    fn begin_episode(&mut self) {
        self.memory = PlannerMemory::default();
    }

    fn act(
        &mut self,
        situation: Situation<'_>,
        _: Mode,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        self.model.observe(situation.observation);
        self.planner
            .plan(&mut self.model, &mut self.memory, rng, action)
            .map_err(|error| PolicyError { step: situation.step, message: error.to_string() })
    }
}

impl<T: Scalar> LearnedPolicy for ModelPolicy<T> {
    fn save(&self, state: &mut Tensors) {
        self.model.predictor.save(state);
    }

    fn load(&mut self, state: &Tensors) -> Result<(), StateError> {
        self.model.predictor.load(state)
    }

    fn engine(&self) -> String {
        self.model.predictor.engine().to_string()
    }
}

/// Planning with a learned model, at work.
struct ModelBasedPlanning<T: Scalar> {
    spec: ModelBasedPlanningSpec,
    schedule: ScheduleSpec,
    policy: ModelPolicy<T>,
    trainer: Trainer<T>,
    collector: Collector,
    /// The planner's memory of the training episode, while the policy may play others.
    memory: PlannerMemory,
    samples: Samples,
}

impl<T: Scalar> ModelBasedPlanning<T> {
    fn new(spec: ModelBasedPlanningSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let policy = ModelPolicy::new(&spec, setup)?;
        let widths = widths(setup.observation_space, setup.action_space);
        let collector = Collector::new(spec.collector(), setup)?;
        Ok(Self {
            trainer: Trainer::new(spec.trainer(), &policy.model.predictor, setup.seed),
            policy,
            samples: Samples::new(collector.replay.capacity(), widths)?,
            collector,
            memory: PlannerMemory::default(),
            schedule: setup.schedule.clone(),
            spec,
        })
    }

    /// All samples, as changes of state.
    fn gather(&mut self) {
        let Self { collector: Collector { replay, .. }, samples, policy, .. } = self;
        let LearnedModel { observation_space, action_space, .. } = &policy.model;
        samples.clear();
        let mut next = vec![0.0; observation_space.features()];
        let mut scratch = Default::default();
        for index in 0..replay.len() {
            let experience = replay.experience(index, &mut scratch);
            let state = samples.inputs.len();
            let seen = (observation_space, experience.observation);
            encode(seen, (action_space, experience.action), &mut samples.inputs);
            observation_space.encode(experience.next_observation, &mut next);
            let changes = next.iter().zip(&samples.inputs[state..]).map(|(next, now)| next - now);
            samples.targets.extend(changes);
            samples.targets.push(experience.reward as f32);
            samples.targets.push(f32::from(u8::from(experience.terminated)));
            samples.numbers.push(replay.number(index));
        }
    }
}

impl<T: Scalar> Algorithm for ModelBasedPlanning<T> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        std::mem::swap(&mut self.memory, &mut self.policy.memory);
        let collected = self.collector.collect(world, &mut self.policy);
        std::mem::swap(&mut self.memory, &mut self.policy.memory);
        collected?;
        let progress = world.progress();
        if progress.steps < self.spec.learning_starts {
            return Ok(());
        }
        self.gather();
        let learning_rate =
            self.spec.learning_rate.at(annealed::remaining(&self.schedule, progress));
        let Self { policy, trainer, samples, .. } = self;
        trainer.fit(&mut policy.model.predictor, samples, learning_rate, metrics)?;
        let samples = samples.numbers.len() as f64;
        report(metrics, &[("samples", samples), ("learning_rate", learning_rate)])?;
        world.count_update();
        Ok(())
    }

    fn restart(&mut self) {
        self.collector.replay.restart();
        self.memory = PlannerMemory::default();
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
    use crate::planning::RandomShootingSpec;
    use crate::rng::{Purpose, stream};

    #[test]
    fn predicted_states_are_moved_to_possible_ones() {
        let mut state = vec![0.2, 0.7, 0.1];
        project(&Space::Discrete { n: 3 }, &mut state);
        assert_eq!(state, [0.0, 1.0, 0.0]);
        let mut state = vec![0.2, -0.7, 0.1, 0.3, 0.0];
        let parts = [2, 3].map(|n| Space::Discrete { n }).to_vec();
        project(&Space::Tuple { spaces: parts }, &mut state);
        assert_eq!(state, [1.0, 0.0, 0.0, 1.0, 0.0]);
        let mut state = vec![3.0, -3.0];
        let (low, high) = (vec![-1.0, f32::NEG_INFINITY], vec![1.0, f32::INFINITY]);
        project(&Space::float_box(low, high, vec![2]), &mut state);
        assert_eq!(state, [1.0, -3.0]);
    }

    /// A point on a line, pushed by its action, that earns for being at 1: what the model is shown, the planner
    /// uses.
    #[test]
    fn a_learned_model_is_planned_through() {
        let observation_space = Space::uniform_box(-5.0, 5.0, 1);
        let action_space = Space::uniform_box(-1.0, 1.0, 1);
        let policy: PolicySpec =
            serde_json::from_value(serde_json::json!({ "type": "neural", "hidden": [32] }))
                .expect("a policy");
        let setup = Setup {
            policy: &policy,
            schedule: &ScheduleSpec::default(),
            observation_space: &observation_space,
            action_space: &action_space,
            seed: 0,
        };
        let spec = ModelBasedPlanningSpec {
            planner: PlannerSpec::RandomShooting(RandomShootingSpec { candidates: 200, depth: 3 }),
            n_epochs: 60,
            learning_rate: Annealed::Constant(3e-3),
            ..Default::default()
        };
        let mut agent = ModelBasedPlanning::<f32>::new(spec, &setup).expect("an engine");
        let mut rng = stream(5, Purpose::Exploration, 0);
        let (mut x, mut action) = ([0.0], [0.0]);
        for _ in 0..2_000 {
            observation_space.sample(&mut rng, &mut x);
            action_space.sample(&mut rng, &mut action);
            let next = (x[0] + action[0]).clamp(-5.0, 5.0);
            agent.collector.replay.push(crate::nn::replay::Experience {
                observation: &x,
                action: &action,
                reward: -f64::from((next - 1.0).abs()),
                next_observation: &[next],
                next_mask: &[],
                terminated: false,
                truncated: true,
            });
        }
        agent.gather();
        let mut metrics = MetricMeans::default();
        let ModelBasedPlanning { policy, trainer, samples, .. } = &mut agent;
        trainer.fit(&mut policy.model.predictor, samples, 3e-3, &mut metrics).expect("finite");
        let env =
            (crate::env::find("Pendulum-v1").expect("in the table").make)(&Default::default())
                .expect("no options");
        for (start, least, most) in [(-3.0, 0.7, 1.0), (4.0, -1.0, -0.7), (1.0, -0.3, 0.3)] {
            let situation = Situation { observation: &[start], step: 0, env: &*env };
            agent.policy.act(situation, Mode::Greedy, &mut rng, &mut action).expect("finite");
            assert!((least..=most).contains(&action[0]), "{} at {start}", action[0]);
        }
    }
}

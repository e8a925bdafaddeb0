//! Q-learning with a table (Watkins, "Learning from delayed rewards", 1989), for discrete observations and
//! actions.
//!
//! Every step moves the value of the action taken towards the reward and the discounted value of the best
//! next one: `Q(s, a) += learning_rate · (r + gamma · max Q(s', ·) - Q(s, a))`. An iteration is an episode. Under a mask
//! of actions it explores and looks for the best among the valid ones.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::interface::{Algorithm, AlgorithmSettings, Setup, report};
use crate::env::{Assessment, Env, Mode, Policy, PolicyError, Problem, Situation, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::heads::masked_argmax;
use crate::nn::random::{below, one_of, uniform};
use crate::nn::{StateError, Tensors};
use crate::policy::{LearnedPolicy, PolicySpec, valid_actions};
use crate::rng::{Purpose, Rng, stream};
use crate::training::annealed::{self, Annealed};
use crate::training::{MetricMeans, TrialError, World};

/// Hyperparameters of tabular Q-learning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct QLearningSpec {
    /// How far a value moves towards its target.
    pub learning_rate: Annealed,
    /// Discount factor of future rewards.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gamma: f64,
    /// The probability of a random action.
    pub epsilon: Annealed,
    /// The value of every action at first; a high one makes the agent try everything.
    pub initial_value: f64,
}

impl Default for QLearningSpec {
    fn default() -> Self {
        Self {
            learning_rate: Annealed::Constant(0.1),
            gamma: 0.99,
            epsilon: Annealed::Constant(0.1),
            initial_value: 0.0,
        }
    }
}

impl AlgorithmSettings for QLearningSpec {
    fn tabular(&self) -> bool {
        true
    }

    fn masks_actions(&self) -> bool {
        true
    }

    fn supports(&self, actions: &Space) -> bool {
        actions.discrete().is_some()
    }

    fn problems(&self, _: &PolicySpec, schedule: &ScheduleSpec, env: &dyn Env) -> Vec<Problem> {
        let mut problems = Vec::new();
        let observations = env.observation_space();
        if matches!(observations, Space::Box { .. }) {
            problems.push(Problem::new(
                &["training", "algorithm", "name"],
                format!("q_learning has a table of discrete observations, not {observations}"),
            ));
        }
        let annealed =
            [("learning_rate", Some(self.learning_rate)), ("epsilon", Some(self.epsilon))];
        problems.extend(annealed::problems(&annealed, schedule));
        problems
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        Ok(Box::new(TablePolicy::new(self, setup)))
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        Ok(Box::new(QLearning::new(self.clone(), setup)))
    }
}

/// Action values of every observation, acted on greedily.
struct TablePolicy {
    /// How many values each part of an observation has.
    sizes: Vec<usize>,
    actions: usize,
    /// Whether only actions that the environment's mask allows are taken.
    masked: bool,
    /// What is valid where there is no mask: a flag for each action.
    all: Vec<bool>,
    /// Row-major, one row an observation.
    values: Vec<f64>,
}

impl TablePolicy {
    fn new(spec: &QLearningSpec, setup: &Setup<'_>) -> Self {
        let sizes = setup.observation_space.discrete_parts().unwrap_or_default();
        let actions = setup.action_space.discrete().unwrap_or(1);
        let values = vec![spec.initial_value; sizes.iter().product::<usize>() * actions];
        Self {
            sizes,
            actions,
            masked: setup.policy.masks_actions(),
            all: vec![true; actions],
            values,
        }
    }

    /// The row of an observation.
    fn state(&self, observation: &[f32]) -> usize {
        let parts = observation.iter().zip(&self.sizes);
        parts.fold(0, |state, (&part, &size)| state * size + part as usize)
    }

    fn row(&self, state: usize) -> &[f64] {
        &self.values[state * self.actions..(state + 1) * self.actions]
    }

    /// The actions that may be taken: those of `mask`, or all where there is none.
    fn valid<'a>(&'a self, mask: Option<&'a [bool]>) -> &'a [bool] {
        mask.unwrap_or(&self.all)
    }

    /// Observations and actions.
    fn shape(&self) -> [usize; 2] {
        [self.values.len() / self.actions, self.actions]
    }
}

impl Policy for TablePolicy {
    fn act(
        &mut self,
        situation: Situation<'_>,
        _: Mode,
        _: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        let mask = valid_actions(self.masked, situation)?;
        let row = self.row(self.state(situation.observation));
        action[0] = masked_argmax(row, self.valid(mask.as_deref())) as f32;
        Ok(())
    }

    fn assess(&mut self, situation: Situation<'_>) -> Option<Assessment> {
        let q_values = self.row(self.state(situation.observation)).to_vec();
        Some(Assessment { q_values, ..Assessment::default() })
    }
}

impl LearnedPolicy for TablePolicy {
    fn save(&self, state: &mut Tensors) {
        state.insert("values", &self.shape(), &self.values);
    }

    fn load(&mut self, state: &Tensors) -> Result<(), StateError> {
        self.values = state.get("values", &self.shape())?;
        Ok(())
    }

    fn engine(&self) -> String {
        "table".into()
    }
}

/// Q-learning at work.
struct QLearning {
    spec: QLearningSpec,
    schedule: ScheduleSpec,
    policy: TablePolicy,
    exploration: Rng,
}

impl QLearning {
    fn new(spec: QLearningSpec, setup: &Setup<'_>) -> Self {
        Self {
            policy: TablePolicy::new(&spec, setup),
            schedule: setup.schedule.clone(),
            exploration: stream(setup.seed, Purpose::Exploration, 0),
            spec,
        }
    }

    /// An action for `state` of those that `mask` allows: random with probability `epsilon`, else one of the best, drawn among
    /// equals.
    fn explore(&mut self, state: usize, mask: Option<&[bool]>, epsilon: f64) -> usize {
        let (rng, valid) = (&mut self.exploration, self.policy.valid(mask));
        if uniform(rng) < epsilon {
            return one_of(rng, valid);
        }
        let row = self.policy.row(state);
        let best = row[masked_argmax(row, valid)];
        let is_best = |&action: &usize| valid[action] && row[action] == best;
        let equals = (0..row.len()).filter(is_best).count();
        let chosen = below(rng, equals);
        (0..row.len()).filter(is_best).nth(chosen).unwrap_or(0)
    }

    /// Moves one value, and returns its error.
    fn learn(&mut self, state: usize, action: usize, target: f64, learning_rate: f64) -> f64 {
        let value = &mut self.policy.values[state * self.policy.actions + action];
        let error = target - *value;
        *value += learning_rate * error;
        error
    }
}

impl Algorithm for QLearning {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let remaining = annealed::remaining(&self.schedule, world.progress());
        let epsilon = self.spec.epsilon.at(remaining);
        let learning_rate = self.spec.learning_rate.at(remaining);
        let (mut errors, mut steps) = (0.0, 0.0);
        loop {
            let state = self.policy.state(world.envs().observation(0));
            let action = self.explore(state, world.envs().action_masks(), epsilon);
            world.step(&[action as f32])?;
            let envs = world.envs();
            let next = envs.final_observation(0).unwrap_or(envs.observation(0));
            let following = if envs.terminated()[0] {
                0.0
            } else {
                let row = self.policy.row(self.policy.state(next));
                row[masked_argmax(row, self.policy.valid(envs.next_action_mask(0)))]
            };
            let target = envs.rewards()[0] + self.spec.gamma * following;
            errors += self.learn(state, action, target, learning_rate).abs();
            steps += 1.0;
            if !world.envs().finished().is_empty() {
                break;
            }
        }
        let named = [
            ("td_error", errors / steps),
            ("exploration_rate", epsilon),
            ("learning_rate", learning_rate),
        ];
        report(metrics, &named)?;
        world.count_update();
        Ok(())
    }

    fn policy(&self) -> &dyn LearnedPolicy {
        &self.policy
    }

    fn policy_mut(&mut self) -> &mut dyn LearnedPolicy {
        &mut self.policy
    }

    fn save(&self, state: &mut Tensors) {
        self.policy.save(state);
        state.insert_rng("exploration", &self.exploration);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.policy.load(state)?;
        self.exploration = state.rng("exploration")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::TabularSpec;

    fn learner(observation_space: &Space) -> QLearning {
        let setup = Setup {
            policy: &PolicySpec::Tabular(TabularSpec::default()),
            schedule: &ScheduleSpec::default(),
            observation_space,
            action_space: &Space::Discrete { n: 3 },
            seed: 0,
        };
        QLearning::new(QLearningSpec::default(), &setup)
    }

    #[test]
    fn every_observation_of_a_tuple_has_a_row_of_its_own() {
        let learner = learner(&Space::MultiDiscrete { nvec: vec![4, 3, 2] });
        let mut seen = std::collections::BTreeSet::new();
        for a in 0..4 {
            for b in 0..3 {
                for c in 0..2 {
                    seen.insert(learner.policy.state(&[a as f32, b as f32, c as f32]));
                }
            }
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), (0..24).collect::<Vec<_>>());
        assert_eq!(learner.policy.values.len(), 72);
    }

    #[test]
    fn a_value_moves_by_the_learning_rate_and_equals_are_drawn_among() {
        let mut learner = learner(&Space::Discrete { n: 2 });
        assert_eq!(learner.learn(1, 2, 4.0, 0.25), 4.0);
        assert_eq!(learner.policy.row(1), [0.0, 0.0, 1.0]);
        assert_eq!(learner.learn(1, 2, 2.0, 0.5), 1.0);
        assert_eq!(learner.policy.row(1), [0.0, 0.0, 1.5]);
        assert!((0..50).all(|_| learner.explore(1, None, 0.0) == 2));
        let mut drawn = |state: usize, valid: [bool; 3], epsilon: f64| -> Vec<usize> {
            let drawn: std::collections::BTreeSet<_> =
                (0..50).map(|_| learner.explore(state, Some(&valid), epsilon)).collect();
            drawn.into_iter().collect()
        };
        assert_eq!(drawn(0, [true; 3], 0.0), [0, 1, 2]);
        assert_eq!(drawn(1, [true, true, false], 0.0), [0, 1]);
        assert_eq!(drawn(1, [false, true, true], 1.0), [1, 2]);
    }
}

//! Planning: choosing an action by looking ahead through a model of the environment.
//!
//! A [`Planner`] proposes sequences of actions and a [`Model`] says what they would earn: a learned model
//! (`algorithm/model_based_planning.rs`) or copies of the environment itself ([`Simulator`]). Many imagined
//! episodes advance side by side, so that a learned model is one batch a step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::env::{EnvError, Space};
use crate::nn::heads::argmax;
use crate::nn::random::shuffle;
use crate::rng::Rng;

mod cem;
mod returns;
mod simulator;

use cem::Distribution;
pub use returns::{Returns, repeat_rows};
pub use simulator::Simulator;

/// The most actions that a planner may look at for one decision, over all imagined episodes and steps.
const MAX_STEPS: u64 = 10_000_000;

/// How a planner looks for the best sequence of actions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum PlannerSpec {
    /// Every sequence of some candidate actions a step: a tree.
    Exhaustive(ExhaustiveSpec),
    /// The best of some random sequences.
    RandomShooting(RandomShootingSpec),
    /// The cross-entropy method (Rubinstein 1999), as PETS plans with it (Chua et al. 2018): sequences are drawn
    /// from a distribution that moves towards the best of them.
    Cem(CemPlannerSpec),
}

/// Settings of exhaustive planning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExhaustiveSpec {
    /// Actions tried in each imagined state: all of a discrete space where they are at most this many, else so
    /// many random ones.
    #[schemars(range(min = 1, max = 100_000))]
    pub candidates: usize,
    /// Steps looked ahead.
    #[schemars(range(min = 1, max = 1_000))]
    pub depth: usize,
}

impl Default for ExhaustiveSpec {
    fn default() -> Self {
        Self { candidates: 4, depth: 3 }
    }
}

/// Settings of random shooting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RandomShootingSpec {
    /// Sequences tried.
    #[schemars(range(min = 1, max = 100_000))]
    pub candidates: usize,
    /// Steps looked ahead.
    #[schemars(range(min = 1, max = 1_000))]
    pub depth: usize,
}

impl Default for RandomShootingSpec {
    fn default() -> Self {
        Self { candidates: 500, depth: 15 }
    }
}

/// Settings of the cross-entropy method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CemPlannerSpec {
    /// Sequences drawn in each iteration.
    #[schemars(range(min = 1, max = 100_000))]
    pub candidates: usize,
    /// Steps looked ahead.
    #[schemars(range(min = 1, max = 1_000))]
    pub depth: usize,
    /// How often sequences are drawn and the distribution moved.
    #[schemars(range(min = 1, max = 1_000))]
    pub iterations: usize,
    /// The share of the sequences, the best ones, that the distribution moves to.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub elite_fraction: f64,
    /// How much of the old distribution stays at each move.
    #[schemars(range(min = 0.0, max = 0.99))]
    pub momentum: f64,
}

impl Default for CemPlannerSpec {
    fn default() -> Self {
        Self { candidates: 64, depth: 15, iterations: 5, elite_fraction: 0.1, momentum: 0.1 }
    }
}

impl Default for PlannerSpec {
    fn default() -> Self {
        Self::Cem(CemPlannerSpec::default())
    }
}

impl PlannerSpec {
    /// Actions looked at for one decision; `None` where they cannot be counted.
    fn steps(&self) -> Option<u64> {
        let product = |a: usize, b: usize| (a as u64).checked_mul(b as u64);
        match self {
            Self::Exhaustive(ExhaustiveSpec { candidates, depth }) => {
                (*candidates as u64).checked_pow(*depth as u32)?.checked_mul(2)
            }
            Self::RandomShooting(RandomShootingSpec { candidates, depth })
            | Self::Cem(CemPlannerSpec { candidates, depth, .. }) => product(*candidates, *depth),
        }
    }

    /// What makes the settings impossible together.
    pub fn problem(&self) -> Option<String> {
        if self.steps().is_some_and(|steps| steps <= MAX_STEPS) {
            return None;
        }
        let message = "one decision would look at more than 10 million actions: use fewer `candidates` or less \
                       `depth`";
        Some(message.to_owned())
    }
}

/// An imagined future could not be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// The environment failed.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The environment cannot be copied; refused when an experiment is loaded.
    #[error("the environment cannot be copied")]
    NoCopy,
    /// A prediction is not a number.
    #[error("a predicted return is not finite")]
    NotFinite,
}

/// What a planner looks ahead through: imagined episodes side by side, all from the present state.
pub trait Model {
    /// Puts `episodes` imagined episodes at the present state.
    ///
    /// # Errors
    /// Fails if the state cannot be had.
    fn begin(&mut self, episodes: usize, discount: f64) -> Result<(), ModelError>;

    /// Replaces every imagined episode by `copies` of it, one after another.
    ///
    /// # Errors
    /// Fails if the state cannot be had.
    fn branch(&mut self, copies: usize) -> Result<(), ModelError>;

    /// Advances every imagined episode by its flat action; `actions` holds them one after another.
    ///
    /// # Errors
    /// Fails if the model fails.
    fn step(&mut self, actions: &[f32]) -> Result<(), ModelError>;

    /// Writes what each imagined episode has earned, discounted.
    fn returns(&self, returns: &mut Vec<f64>);
}

/// What a planner remembers from one decision of an episode to the next.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlannerMemory {
    /// Where the last plan of the cross-entropy method ended.
    distribution: Option<Distribution>,
}

/// Looks for the sequence of actions that earns most in a [`Model`], and takes its first action.
pub struct Planner {
    spec: PlannerSpec,
    discount: f64,
    action_space: Space,
    actions: Vec<f32>,
    sequences: Vec<f32>,
    returns: Vec<f64>,
}

impl Planner {
    /// A planner in this action space.
    pub fn new(spec: &PlannerSpec, discount: f64, action_space: &Space) -> Self {
        Self {
            spec: spec.clone(),
            discount,
            action_space: action_space.clone(),
            actions: Vec::new(),
            sequences: Vec::new(),
            returns: Vec::new(),
        }
    }

    /// Writes the action to take at the present state of `model`.
    ///
    /// # Errors
    /// Fails if the model fails or predicts something that is no number.
    pub fn plan(
        &mut self,
        model: &mut dyn Model,
        memory: &mut PlannerMemory,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), ModelError> {
        match self.spec {
            PlannerSpec::Exhaustive(ExhaustiveSpec { candidates, depth }) => {
                self.search_tree(candidates, depth, model, rng, action)
            }
            PlannerSpec::RandomShooting(RandomShootingSpec { candidates, depth }) => {
                self.shoot(candidates, depth, model, rng, action)
            }
            PlannerSpec::Cem(ref settings) => {
                let settings = settings.clone();
                self.optimise(&settings, model, memory, rng, action)
            }
        }
    }

    fn search_tree(
        &mut self,
        most: usize,
        depth: usize,
        model: &mut dyn Model,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), ModelError> {
        let width = self.action_space.len();
        model.begin(1, self.discount)?;
        let mut nodes = 1;
        let mut first = 0;
        for level in 0..depth {
            self.actions.clear();
            for _ in 0..nodes {
                candidates(&self.action_space, most, rng, &mut self.actions);
            }
            let branches = self.actions.len() / width / nodes;
            if level == 0 {
                self.sequences.clone_from(&self.actions);
                first = branches;
            }
            model.branch(branches)?;
            model.step(&self.actions)?;
            nodes *= branches;
        }
        let best = self.best(model)?;
        let branch = best / (nodes / first);
        action.copy_from_slice(&self.sequences[branch * width..][..width]);
        Ok(())
    }

    fn shoot(
        &mut self,
        candidates: usize,
        depth: usize,
        model: &mut dyn Model,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), ModelError> {
        let width = self.action_space.len();
        model.begin(candidates, self.discount)?;
        self.actions.resize(candidates * width, 0.0);
        for step in 0..depth {
            for action in self.actions.chunks_exact_mut(width) {
                self.action_space.sample(rng, action);
            }
            if step == 0 {
                self.sequences.clone_from(&self.actions);
            }
            model.step(&self.actions)?;
        }
        let best = self.best(model)?;
        action.copy_from_slice(&self.sequences[best * width..][..width]);
        Ok(())
    }

    fn optimise(
        &mut self,
        settings: &CemPlannerSpec,
        model: &mut dyn Model,
        memory: &mut PlannerMemory,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), ModelError> {
        let CemPlannerSpec { candidates, depth, iterations, elite_fraction, momentum } = *settings;
        let width = self.action_space.len();
        let mut distribution = match memory.distribution.take() {
            Some(last) => last.advanced(&self.action_space),
            None => Distribution::new(&self.action_space, depth),
        };
        let elites = ((candidates as f64 * elite_fraction).round() as usize).clamp(1, candidates);
        let len = depth * width;
        self.sequences.resize(candidates * len, 0.0);
        self.actions.resize(candidates * width, 0.0);
        let mut order: Vec<usize> = Vec::with_capacity(candidates);
        for _ in 0..iterations {
            for sequence in self.sequences.chunks_exact_mut(len) {
                distribution.sample(rng, sequence);
            }
            model.begin(candidates, self.discount)?;
            for step in 0..depth {
                let sequences = self.sequences.chunks_exact(len);
                for (sequence, action) in sequences.zip(self.actions.chunks_exact_mut(width)) {
                    action.copy_from_slice(&sequence[step * width..][..width]);
                }
                model.step(&self.actions)?;
            }
            self.best(model)?;
            order.clear();
            order.extend(0..candidates);
            order.sort_by(|&a, &b| self.returns[b].total_cmp(&self.returns[a]));
            let best = order[..elites].iter().map(|&i| &self.sequences[i * len..(i + 1) * len]);
            distribution.move_to(best, momentum);
        }
        distribution.first_action(action);
        memory.distribution = Some(distribution);
        Ok(())
    }

    /// The imagined episode that earned most.
    fn best(&mut self, model: &dyn Model) -> Result<usize, ModelError> {
        model.returns(&mut self.returns);
        if self.returns.iter().any(|value| !value.is_finite()) {
            return Err(ModelError::NotFinite);
        }
        Ok(argmax(&self.returns))
    }
}

/// Appends candidate actions: all of a discrete space where they are at most `most`, else `most` random ones,
/// discrete ones each at most once. Their order is random, so that among equals none is preferred.
pub fn candidates(space: &Space, most: usize, rng: &mut Rng, actions: &mut Vec<f32>) {
    if let Some(n) = space.discrete() {
        let first = actions.len();
        actions.extend((0..n).map(|action| action as f32));
        shuffle(rng, &mut actions[first..]);
        actions.truncate(first + most);
        return;
    }
    for _ in 0..most {
        let first = actions.len();
        actions.resize(first + space.len(), 0.0);
        space.sample(rng, &mut actions[first..]);
    }
}

#[cfg(test)]
mod tests;

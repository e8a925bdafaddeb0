//! Worlds given by a table: for every state and action, the possible outcomes.
//!
//! FrozenLake, CliffWalking and Taxi are such tables ([`Model`]) with a drawing each ([`World`]);
//! [`Tabular`] steps them. Sampling follows Gymnasium 1.1.1 `envs/toy_text/utils.py`: one uniform draw a
//! step, even where there is a single outcome.

use std::rc::Rc;

use serde::de::DeserializeOwned;

use crate::draw::Canvas;
use crate::environment::{Env, EnvError, Info, Step};
use crate::meaning::Meaning;
use crate::policy::{FromFn, Policy};
use crate::problem::Problem;
use crate::space::{Action, Space};
use crate::spec::BuiltinPolicy;
use rushes_rng::NpRandom;

/// One possible result of an action.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transition {
    /// How probable it is.
    pub probability: f64,
    /// The state that it leads to.
    pub state: usize,
    /// The reward on the way.
    pub reward: f64,
    /// Whether it ends the episode.
    pub terminated: bool,
}

/// A finite Markov decision process.
#[derive(Debug, Clone)]
pub struct Model {
    actions: usize,
    /// The running sums of the first state's probabilities.
    initial: Vec<f64>,
    /// All outcomes, by state, then action.
    outcomes: Vec<Transition>,
    /// Where the outcomes of `state * actions + action` begin, and after the last one where they end.
    starts: Vec<usize>,
}

impl Model {
    /// The model with as many states as `initial` has probabilities; `outcomes` tells the results of an
    /// action in a state.
    pub fn new(
        initial: &[f64],
        actions: usize,
        outcomes: impl Fn(usize, usize) -> Vec<Transition>,
    ) -> Self {
        let mut model = Self {
            actions,
            initial: initial
                .iter()
                .scan(0.0, |sum, probability| {
                    *sum += probability;
                    Some(*sum)
                })
                .collect(),
            outcomes: Vec::new(),
            starts: vec![0],
        };
        for state in 0..initial.len() {
            for action in 0..actions {
                model.outcomes.extend(outcomes(state, action));
                model.starts.push(model.outcomes.len());
            }
        }
        model
    }

    /// How many states.
    pub fn states(&self) -> usize {
        self.initial.len()
    }

    /// How many actions.
    pub fn actions(&self) -> usize {
        self.actions
    }

    /// The possible results of `action` in `state`.
    #[inline]
    pub fn outcomes(&self, state: usize, action: usize) -> &[Transition] {
        let row = state * self.actions + action;
        &self.outcomes[self.starts[row]..self.starts[row + 1]]
    }

    /// Draws the first state.
    fn first(&self, rng: &mut NpRandom) -> usize {
        let draw = rng.random();
        let state = self.initial.partition_point(|&sum| sum <= draw);
        // Rounding may leave the last sum below the draw: the reference then takes the first state.
        if state < self.initial.len() { state } else { 0 }
    }

    /// Draws the result of `action` in `state`.
    #[inline]
    fn next(&self, state: usize, action: usize, rng: &mut NpRandom) -> Transition {
        let outcomes = self.outcomes(state, action);
        let draw = rng.random();
        let mut sum = 0.0;
        for outcome in outcomes {
            sum += outcome.probability;
            if sum > draw {
                return *outcome;
            }
        }
        outcomes[0]
    }

    /// The best action of every state, by value iteration (Bellman, "Dynamic programming", 1957). Of equal
    /// actions it takes the first.
    pub fn optimal(&self, discount: f64) -> Vec<usize> {
        const PRECISION: f64 = 1e-10;
        let mut values = vec![0.0; self.states()];
        let worth = |values: &[f64], state: usize, action: usize| -> f64 {
            let worth = |o: &Transition| {
                let future = if o.terminated { 0.0 } else { discount * values[o.state] };
                o.probability * (o.reward + future)
            };
            self.outcomes(state, action).iter().map(worth).sum()
        };
        loop {
            let mut change: f64 = 0.0;
            for state in 0..self.states() {
                let best = (0..self.actions)
                    .map(|action| worth(&values, state, action))
                    .fold(f64::NEG_INFINITY, f64::max);
                change = change.max((best - values[state]).abs());
                values[state] = best;
            }
            if change < PRECISION {
                break;
            }
        }
        let best = |state| {
            let worths = (0..self.actions).map(|action| worth(&values, state, action));
            let mut best = (0, f64::NEG_INFINITY);
            for (action, worth) in worths.enumerate() {
                if worth > best.1 + PRECISION {
                    best = (action, worth);
                }
            }
            best.0
        };
        (0..self.states()).map(best).collect()
    }
}

/// What distinguishes one table from another beside its outcomes.
pub trait World {
    /// Width and height of the picture.
    fn frame_size(&self) -> (u32, u32);

    /// Draws `state`; `heading` is the last action below 4 (a direction), if there was one.
    fn draw(&self, state: usize, heading: Option<usize>, canvas: &mut Canvas);

    /// What each action does.
    fn action_meanings(&self) -> Vec<Meaning>;

    /// Draws what an episode has beside its first state.
    fn begin(&mut self, _random: &mut NpRandom) {}

    /// The state that a step leads to, where more than the table decides about it.
    fn altered(&mut self, _from: usize, to: usize, _random: &mut NpRandom) -> usize {
        to
    }

    /// Which actions change something in `state`, where the reference tells.
    fn action_mask(&self, _state: usize) -> Option<Vec<bool>> {
        None
    }
}

/// An environment that follows a [`Model`].
#[derive(Clone)]
pub struct Tabular<W> {
    /// Shared by copies of the environment.
    model: Rc<Model>,
    world: W,
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    state: usize,
    heading: Option<usize>,
    probability: f64,
}

impl<W: World> Tabular<W> {
    /// The environment of `model`, drawn as `world`.
    pub fn new(model: Model, world: W) -> Self {
        Self {
            observation_space: Space::Discrete { n: model.states() },
            action_space: Space::Discrete { n: model.actions() },
            np_random: NpRandom::new(0),
            state: 0,
            heading: None,
            probability: 1.0,
            model: Rc::new(model),
            world,
        }
    }
}

impl<W: World + Clone + 'static> Env for Tabular<W> {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn action_meanings(&self) -> Vec<Meaning> {
        self.world.action_meanings()
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.np_random = NpRandom::new(seed);
        }
        self.state = self.model.first(&mut self.np_random);
        self.world.begin(&mut self.np_random);
        self.heading = None;
        self.probability = 1.0;
        Ok(())
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let action = action.index();
        let Transition { probability, state, reward, terminated } =
            self.model.next(self.state, action, &mut self.np_random);
        self.state = self.world.altered(self.state, state, &mut self.np_random);
        self.probability = probability;
        if action < 4 {
            self.heading = Some(action);
        }
        Ok(Step::new(reward, terminated))
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        observation[0] = self.state as f32;
        Ok(())
    }

    fn try_clone(&self) -> Option<Box<dyn Env>> {
        Some(Box::new(self.clone()))
    }

    fn frame_size(&self) -> (u32, u32) {
        self.world.frame_size()
    }

    fn draw(&self, canvas: &mut Canvas) {
        self.world.draw(self.state, self.heading, canvas);
    }

    fn info(&self) -> Info {
        let mut info = Info::new();
        info.insert("prob".to_owned(), self.probability.into());
        if let Some(mask) = self.world.action_mask(self.state) {
            let mask: Vec<u8> = mask.into_iter().map(u8::from).collect();
            info.insert("action_mask".to_owned(), mask.into());
        }
        info
    }

    fn action_mask(&self) -> Option<Vec<bool>> {
        self.world.action_mask(self.state)
    }
}

/// The policy `optimal`: the table of best actions, computed when it is built.
pub(super) fn optimal<C: DeserializeOwned>(
    make: impl Fn(C) -> Result<Box<dyn Policy>, Problem> + Send + Sync + 'static,
) -> BuiltinPolicy {
    let summary = "the best action of every state, computed by value iteration";
    BuiltinPolicy::new("optimal", summary, make)
}

/// Plays `model`'s best actions.
pub(super) fn greedy(model: &Model, discount: f64) -> Box<dyn Policy> {
    let table = model.optimal(discount);
    Box::new(FromFn(move |observation: &[f32], action: &mut [f32]| {
        action[0] = table[observation[0] as usize] as f32;
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two states: waiting earns 0.2 for ever, jumping earns 1 with probability a half and ends.
    #[test]
    fn value_iteration_weighs_the_future() {
        let model = Model::new(&[1.0], 2, |_, action| {
            let outcome = |probability, reward, terminated| Transition {
                probability,
                state: 0,
                reward,
                terminated,
            };
            match action {
                0 => vec![outcome(1.0, 0.2, false)],
                _ => vec![outcome(0.5, 1.0, true), outcome(0.5, 0.0, true)],
            }
        });
        assert_eq!(model.optimal(0.9), [0]);
        assert_eq!(model.optimal(0.5), [1]);
    }
}

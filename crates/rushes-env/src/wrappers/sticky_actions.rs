//! Sticky actions: sometimes the environment repeats the previous action instead of taking the new one.

use rand::RngExt as _;
use rushes_rng::Rng;

use super::{Draws, Wrapper};
use crate::environment::{Env, EnvError, Step};
use crate::space::Action;

/// Repeats the previous action with a probability, after Machado et al., "Revisiting the Arcade Learning Environment",
/// 2018, section 5. The first action of an episode is always taken.
#[derive(Clone)]
pub(super) struct StickyActions {
    probability: f64,
    rng: Rng,
    /// The action taken last in this episode, flat.
    last: Option<Vec<f32>>,
    /// Whether `last` has been sent already and waits for its step.
    sent: bool,
}

impl StickyActions {
    pub(super) fn new(probability: f64) -> Self {
        Self { probability, rng: Draws::StickyActions.rng(0), last: None, sent: false }
    }

    /// The action that is taken where `action` was asked for, flat.
    fn choose(&mut self, action: Action<'_>) -> &[f32] {
        let sticks = self.last.is_some() && self.rng.random::<f64>() < self.probability;
        let last = self.last.get_or_insert_default();
        if !sticks {
            last.clear();
            action.flat(|element| last.extend_from_slice(element));
        }
        last
    }
}

impl Wrapper for StickyActions {
    fn reset(&mut self, env: &mut Box<dyn Env>, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.rng = Draws::StickyActions.rng(seed);
        }
        self.last = None;
        self.sent = false;
        env.reset(seed)
    }

    fn send(
        &mut self,
        env: &mut dyn Env,
        action: Action<'_>,
        next_seed: Option<u64>,
    ) -> Result<(), EnvError> {
        self.sent = true;
        let chosen = self.choose(action);
        let chosen = env.action_space().action_unchecked(chosen);
        env.send(chosen, next_seed)
    }

    fn step(&mut self, env: &mut dyn Env, action: Action<'_>) -> Result<Step, EnvError> {
        if !std::mem::take(&mut self.sent) {
            self.choose(action);
        }
        let chosen = self.last.as_deref().unwrap_or_default();
        let chosen = env.action_space().action_unchecked(chosen);
        env.step(chosen)
    }
}

//! CliffWalking: walk along a cliff from one corner to the other without falling off.
//!
//! After Sutton and Barto, "Reinforcement learning: an introduction", example 6.6, as in Gymnasium 1.1.1
//! `envs/toy_text/cliffwalking.py`.
//!
//! # Action space
//! `Discrete(4)`: 0 up, 1 right, 2 down, 3 left. On slippery ground the move goes there or to either side,
//! with a third of the probability each.
//!
//! # Observation space
//! `Discrete(48)`: the player's place, `row · 12 + column`.
//!
//! # Rewards
//! -1 for every step, -100 for a step off the cliff, which leads back to the start.
//!
//! # Starting state
//! The bottom left corner (36).
//!
//! # Episode end
//! Terminates in the bottom right corner (47); no time limit.
//!
//! # Info
//! `prob`: the probability of the transition that happened.
//!
//! # Version history
//! - v1 (Gymnasium 1.4): v0 with another picture; `CliffWalkingSlippery-v1` is the slippery one.
//! - v0: initial version.
//!
//! `tabular/CliffWalking-v0` is Gymnasium's environment in JAX: v0 on ground that is not slippery. Its random stream, which
//! decides nothing, is another, and Gymnasium writes place and action as boxes of whole numbers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sprites::{Cell, Facing};
use super::tabular::{self, Model, Tabular, Transition, World};
use crate::draw::{Canvas, Color};
use crate::meaning::Meaning;
use crate::spec::{EnvSpec, TABULAR, TOY_TEXT};

const ROWS: usize = 4;
const COLUMNS: usize = 12;
const START: usize = (ROWS - 1) * COLUMNS;
const GOAL: usize = ROWS * COLUMNS - 1;
/// Pixels of a tile's side.
const TILE: u32 = 60;

/// Gymnasium's CliffWalking-v0.
pub fn v0() -> EnvSpec {
    EnvSpec {
        family: TOY_TEXT.into(),
        summary: "walk along a cliff to the goal without falling off".into(),
        max_episode_steps: None,
        reward_threshold: None,
        render_fps: 4,
        policies: vec![tabular::optimal(|config| Ok(tabular::greedy(&model(&config), 0.99)))],
        ..EnvSpec::new("CliffWalking-v0", |config| {
            Ok(Box::new(Tabular::new(model(&config), Cliff)))
        })
    }
}

/// Gymnasium 1.4's CliffWalking-v1.
pub fn v1() -> EnvSpec {
    EnvSpec { id: "CliffWalking-v1".into(), ..v0() }
}

/// Gymnasium 1.4's CliffWalkingSlippery-v1.
pub fn slippery_v1() -> EnvSpec {
    EnvSpec {
        summary: "walk along a cliff to the goal on ground that slips".into(),
        ..v0().variant("CliffWalkingSlippery-v1", "is_slippery", true)
    }
}

/// Gymnasium's tabular/CliffWalking-v0.
pub fn tabular_v0() -> EnvSpec {
    let spec = EnvSpec { id: "tabular/CliffWalking-v0".into(), ..v0() };
    EnvSpec {
        family: TABULAR.into(),
        summary: "CliffWalking as Gymnasium has it in JAX".into(),
        ..spec.without(&["is_slippery"])
    }
}

/// Options of CliffWalking.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether moves may slip to either side.
    pub is_slippery: bool,
}

fn is_cliff(place: usize) -> bool {
    place > START && place < GOAL
}

/// The table of outcomes for these options.
pub fn model(&Config { is_slippery }: &Config) -> Model {
    let mut initial = [0.0; ROWS * COLUMNS];
    initial[START] = 1.0;
    Model::new(&initial, 4, |place, action| {
        let directions = [(action + 3) % 4, action, (action + 1) % 4];
        let directions = if is_slippery { &directions[..] } else { &directions[1..2] };
        let probability = 1.0 / directions.len() as f64;
        let outcome = |&direction: &usize| {
            let (row, column) = (place / COLUMNS, place % COLUMNS);
            let (row, column) = match direction {
                0 => (row.saturating_sub(1), column),
                1 => (row, (column + 1).min(COLUMNS - 1)),
                2 => ((row + 1).min(ROWS - 1), column),
                _ => (row, column.saturating_sub(1)),
            };
            let state = row * COLUMNS + column;
            if is_cliff(state) {
                Transition { probability, state: START, reward: -100.0, terminated: false }
            } else {
                Transition { probability, state, reward: -1.0, terminated: state == GOAL }
            }
        };
        directions.iter().map(outcome).collect()
    })
}

/// The drawing.
#[derive(Clone)]
struct Cliff;

impl World for Cliff {
    fn frame_size(&self) -> (u32, u32) {
        (COLUMNS as u32 * TILE, ROWS as u32 * TILE)
    }

    fn action_meanings(&self) -> Vec<Meaning> {
        Meaning::of_values(&["up", "right", "down", "left"])
    }

    fn draw(&self, state: usize, heading: Option<usize>, canvas: &mut Canvas) {
        const FACING: [Facing; 4] = [Facing::Up, Facing::Right, Facing::Down, Facing::Left];
        canvas.clear(Color::BLACK);
        for place in 0..ROWS * COLUMNS {
            let (row, column) = ((place / COLUMNS) as u32, (place % COLUMNS) as u32);
            let corner = (column * TILE, row * TILE);
            let mut cell = Cell::new(canvas, corner, (TILE, TILE));
            cell.grass((row + column) % 2 == 1);
            if is_cliff(place) {
                cell.cliff();
            } else if place + COLUMNS < ROWS * COLUMNS && is_cliff(place + COLUMNS) {
                cell.cliff_edge();
            }
            match place {
                START => cell.stool(),
                GOAL => cell.cookie(),
                _ => {}
            }
            if place == state {
                let mut raised = Cell::raised(canvas, corner, (TILE, TILE), 0.1);
                raised.elf(heading.map_or(Facing::Down, |heading| FACING[heading]));
            }
        }
    }
}

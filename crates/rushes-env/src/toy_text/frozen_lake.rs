//! FrozenLake: cross a frozen lake to the goal without falling into a hole, on slippery ice.
//!
//! As in Gymnasium 1.1.1 `envs/toy_text/frozen_lake.py`, with 1.4.0's options `success_rate` and `reward_schedule`.
//!
//! # Action space
//! `Discrete(4)`: 0 left, 1 down, 2 right, 3 up. On slippery ice the move goes there with probability `success_rate`, a
//! third by default, else to either side.
//!
//! # Observation space
//! `Discrete(rows · columns)`: the player's place, `row · columns + column`.
//!
//! # Rewards
//! +1 for reaching the goal, 0 for everything else, or as `reward_schedule` says.
//!
//! # Starting state
//! The tile `S` (any of them where a map has several).
//!
//! # Episode end
//! Terminates in a hole and at the goal; truncates after 100 steps (8x8: 200).
//!
//! # Info
//! `prob`: the probability of the transition that happened.
//!
//! # Version history
//! - v1: corrected rewards.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sprites::{Cell, Facing};
use super::tabular::{self, Model, Tabular, Transition, World};
use crate::draw::{Canvas, Color};
use crate::environment::Env;
use crate::meaning::Meaning;
use crate::policy::Policy;
use crate::problem::Problem;
use crate::spec::{EnvSpec, TOY_TEXT};
use rushes_rng::NpRandom;

/// The maps that have a name.
const MAPS: [(&str, &[&str]); 2] = [
    ("4x4", &["SFFF", "FHFH", "FFFH", "HFFG"]),
    (
        "8x8",
        &[
            "SFFFFFFF", "FFFFFFFF", "FFFHFFFF", "FFFFFHFF", "FFFHFFFF", "FHHFFFHF", "FHFFHFHF",
            "FFFHFFFG",
        ],
    ),
];

/// How many random maps are drawn in search of one with a way to the goal.
const MAP_ATTEMPTS: usize = 10_000;

/// By default, each of a slippery move's ways is equally probable.
const THIRD: f64 = 1.0 / 3.0;

/// Discount of the built-in policy: high enough to prefer the safe way, low enough to go at all.
const DISCOUNT: f64 = 0.999;

/// Gymnasium's FrozenLake-v1.
pub fn v1() -> EnvSpec {
    EnvSpec {
        family: TOY_TEXT.into(),
        summary: "cross slippery ice to the goal without falling into a hole".into(),
        max_episode_steps: Some(100),
        reward_threshold: Some(0.70),
        render_fps: 4,
        policies: vec![tabular::optimal(optimal)],
        ..EnvSpec::new("FrozenLake-v1", make)
    }
}

/// Gymnasium's FrozenLake8x8-v1.
pub fn large_v1() -> EnvSpec {
    EnvSpec {
        max_episode_steps: Some(200),
        reward_threshold: Some(0.85),
        ..v1().variant("FrozenLake8x8-v1", "map_name", "8x8")
    }
}

fn optimal(config: Config) -> Result<Box<dyn Policy>, Problem> {
    Ok(tabular::greedy(&model(&config)?, DISCOUNT))
}

/// Options of FrozenLake.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A map of one's own: rows of equal length of S (start), F (frozen), H (hole) and G (goal).
    pub desc: Option<Vec<String>>,
    /// The named map: 4x4 or 8x8. Without this and `desc`, a random map.
    pub map_name: Option<String>,
    /// Whether moves may slip to either side.
    pub is_slippery: bool,
    /// The probability that a move on slippery ice goes where it should.
    pub success_rate: f64,
    /// The rewards of stepping onto the goal, into a hole and onto anything else.
    pub reward_schedule: [f64; 3],
    /// Rows and columns of a random map, 2 to 64.
    pub map_size: usize,
    /// The probability that a tile of a random map is frozen.
    pub map_frozen_probability: f64,
    /// The seed of a random map.
    pub map_seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            desc: None,
            map_name: Some("4x4".to_owned()),
            is_slippery: true,
            success_rate: THIRD,
            reward_schedule: [1.0, 0.0, 0.0],
            map_size: 8,
            map_frozen_probability: 0.8,
            map_seed: 0,
        }
    }
}

/// A rectangle of tiles.
#[derive(Debug, Clone, PartialEq)]
struct Lake {
    rows: usize,
    columns: usize,
    /// S, F, H or G, row by row.
    tiles: Vec<u8>,
}

fn make(config: Config) -> Result<Box<dyn Env>, Problem> {
    Ok(Box::new(Tabular::new(model(&config)?, Lake::new(&config)?)))
}

/// The table of outcomes for these options.
///
/// # Errors
/// Maps that make no sense, by the option.
pub fn model(config: &Config) -> Result<Model, Problem> {
    if !(0.0..=1.0).contains(&config.success_rate) {
        let message = format!("expected a probability, got {}", config.success_rate);
        return Err(refused("success_rate", message));
    }
    Ok(Lake::new(config)?.model(config))
}

fn refused(path: &str, message: impl Into<String>) -> Problem {
    Problem::new(&[path], message)
}

impl Lake {
    fn new(config: &Config) -> Result<Self, Problem> {
        match (&config.desc, &config.map_name) {
            (Some(desc), _) => Self::parse(desc),
            (None, Some(name)) => {
                let known = MAPS.iter().find(|(known, _)| known == name);
                let (_, rows) = known.ok_or_else(|| {
                    refused(
                        "map_name",
                        format!("expected \"4x4\", \"8x8\" or null, got \"{name}\""),
                    )
                })?;
                Self::parse(rows)
            }
            (None, None) => {
                Self::random(config.map_size, config.map_frozen_probability, config.map_seed)
            }
        }
    }

    fn parse(desc: &[impl AsRef<str>]) -> Result<Self, Problem> {
        let columns = desc.first().map_or(0, |row| row.as_ref().len());
        if columns == 0 {
            return Err(refused("desc", "expected at least one row with at least one tile"));
        }
        let mut tiles = Vec::with_capacity(desc.len() * columns);
        for (row, text) in desc.iter().map(AsRef::as_ref).enumerate() {
            let path = format!("desc[{row}]");
            if let Some(other) = text.chars().find(|c| !"SFHG".contains(*c)) {
                return Err(refused(&path, format!("expected S, F, H or G, got '{other}'")));
            }
            if text.len() != columns {
                let found = text.len();
                let message = format!("expected {columns} tiles as in the first row, got {found}");
                return Err(refused(&path, message));
            }
            tiles.extend_from_slice(text.as_bytes());
        }
        if !tiles.contains(&b'S') {
            return Err(refused("desc", "expected a tile S to start from"));
        }
        Ok(Self { rows: desc.len(), columns, tiles })
    }

    /// The reference's `generate_random_map`: maps are drawn until one has a way to the goal.
    fn random(size: usize, frozen: f64, seed: u64) -> Result<Self, Problem> {
        if !(2..=64).contains(&size) {
            return Err(refused("map_size", format!("expected 2 to 64, got {size}")));
        }
        if !(0.0..=1.0).contains(&frozen) {
            let message = format!("expected a probability, got {frozen}");
            return Err(refused("map_frozen_probability", message));
        }
        let sum = frozen + (1.0 - frozen);
        let cumulative = [frozen / sum, 1.0];
        let mut rng = NpRandom::new(seed);
        for _ in 0..MAP_ATTEMPTS {
            let mut tiles: Vec<u8> =
                (0..size * size).map(|_| b"FH"[rng.choice_weighted(&cumulative)]).collect();
            tiles[0] = b'S';
            tiles[size * size - 1] = b'G';
            let lake = Self { rows: size, columns: size, tiles };
            if lake.has_a_way() {
                return Ok(lake);
            }
        }
        let message = "no map with a way to the goal was found; expected a higher probability";
        Err(refused("map_frozen_probability", message))
    }

    /// Whether the goal can be reached from the first tile.
    fn has_a_way(&self) -> bool {
        let mut seen = vec![false; self.tiles.len()];
        let mut frontier = vec![0];
        while let Some(place) = frontier.pop() {
            if std::mem::replace(&mut seen[place], true) {
                continue;
            }
            match self.tiles[place] {
                b'G' => return true,
                b'H' => {}
                _ => frontier.extend((0..4).map(|direction| self.moved(place, direction))),
            }
        }
        false
    }

    /// The place next to `place`, itself where the shore is.
    fn moved(&self, place: usize, direction: usize) -> usize {
        let (row, column) = (place / self.columns, place % self.columns);
        let (row, column) = match direction {
            0 => (row, column.saturating_sub(1)),
            1 => ((row + 1).min(self.rows - 1), column),
            2 => (row, (column + 1).min(self.columns - 1)),
            _ => (row.saturating_sub(1), column),
        };
        row * self.columns + column
    }

    fn model(&self, config: &Config) -> Model {
        let &Config { is_slippery, success_rate, reward_schedule: [goal, hole, other], .. } =
            config;
        // 1.1.1 rounds a third otherwise than half of what one leaves.
        let astray = if success_rate == THIRD { THIRD } else { (1.0 - success_rate) / 2.0 };
        let starts = self.tiles.iter().filter(|tile| **tile == b'S').count() as f64;
        let first = |tile: &u8| if *tile == b'S' { 1.0 / starts } else { 0.0 };
        let initial: Vec<f64> = self.tiles.iter().map(first).collect();
        Model::new(&initial, 4, |place, action| {
            if matches!(self.tiles[place], b'G' | b'H') {
                let stay =
                    Transition { probability: 1.0, state: place, reward: 0.0, terminated: true };
                return vec![stay];
            }
            let slips =
                [((action + 3) % 4, astray), (action, success_rate), ((action + 1) % 4, astray)];
            let directions = if is_slippery { &slips[..] } else { &[(action, 1.0)] };
            let outcome = |&(direction, probability): &(usize, f64)| {
                let state = self.moved(place, direction);
                let tile = self.tiles[state];
                let reward = match tile {
                    b'G' => goal,
                    b'H' => hole,
                    _ => other,
                };
                Transition { probability, state, reward, terminated: matches!(tile, b'G' | b'H') }
            };
            directions.iter().map(outcome).collect()
        })
    }

    fn cell_size(&self) -> (u32, u32) {
        let side = |n: usize| ((64 * n as u32).min(512) / n as u32).max(1);
        (side(self.columns), side(self.rows))
    }
}

impl World for Lake {
    fn frame_size(&self) -> (u32, u32) {
        let side = |n: usize, cell: u32| (64 * n as u32).min(512).max(cell * n as u32);
        let (width, height) = self.cell_size();
        (side(self.columns, width), side(self.rows, height))
    }

    fn action_meanings(&self) -> Vec<Meaning> {
        Meaning::of_values(&["left", "down", "right", "up"])
    }

    fn draw(&self, state: usize, heading: Option<usize>, canvas: &mut Canvas) {
        const FACING: [Facing; 4] = [Facing::Left, Facing::Down, Facing::Right, Facing::Up];
        canvas.clear(Color::BLACK);
        let (width, height) = self.cell_size();
        for (place, tile) in self.tiles.iter().enumerate() {
            let corner =
                ((place % self.columns) as u32 * width, (place / self.columns) as u32 * height);
            let mut cell = Cell::new(canvas, corner, (width, height));
            cell.ice();
            match tile {
                b'H' => cell.hole(),
                b'G' => cell.present(),
                b'S' => cell.stool(),
                _ => {}
            }
            cell.frame(Color::rgb(180, 200, 230));
            if place == state {
                match tile {
                    b'H' => cell.cracked_hole(),
                    _ => cell.elf(heading.map_or(Facing::Down, |heading| FACING[heading])),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::spec::Options;

    fn options(value: Value) -> Options {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn random_maps_equal_gymnasiums() {
        let golden: Value =
            serde_json::from_str(include_str!("../../../../tests/goldens/rng.json"))
                .expect("valid JSON");
        let maps = golden["frozen_lake_generate_random_map"].as_array().expect("a list");
        assert!(!maps.is_empty());
        for map in maps {
            let (size, p) = (map["size"].as_u64().unwrap() as usize, map["p"].as_f64().unwrap());
            let rows: Vec<&str> =
                map["map"].as_array().unwrap().iter().map(|row| row.as_str().unwrap()).collect();
            let random = Lake::random(size, p, map["seed"].as_u64().unwrap()).unwrap();
            assert_eq!(random, Lake::parse(&rows).unwrap());
        }
    }

    #[test]
    fn broken_maps_are_refused_by_option() {
        for (value, path) in [
            (json!({ "desc": [] }), "desc"),
            (json!({ "desc": [""] }), "desc"),
            (json!({ "desc": ["SF", "FXG"] }), "desc[1]"),
            (json!({ "desc": ["SF", "FFG"] }), "desc[1]"),
            (json!({ "desc": ["FF", "FG"] }), "desc"),
            (json!({ "map_name": "5x5" }), "map_name"),
            (json!({ "map_name": null, "map_size": 1 }), "map_size"),
            (json!({ "map_name": null, "map_frozen_probability": 2.0 }), "map_frozen_probability"),
            (json!({ "map_name": null, "map_frozen_probability": 0.0 }), "map_frozen_probability"),
        ] {
            let error = (v1().make)(&options(value.clone())).err().expect("broken");
            assert_eq!(error.dotted(), path, "{value}: {error}");
        }
    }

    #[test]
    fn the_default_map_is_in_the_schema() {
        for (spec, name) in [(v1(), "4x4"), (large_v1(), "8x8")] {
            let schema = (spec.options_schema)();
            assert_eq!(schema.pointer("/properties/map_name/default"), Some(&json!(name)));
        }
    }
}

//! Taxi: fetch a passenger from one of four places and bring them to another.
//!
//! After Dietterich, "Hierarchical reinforcement learning with the MAXQ value function decomposition"
//! (2000), as in Gymnasium 1.1.1 and 1.4.0 `envs/toy_text/taxi.py`.
//!
//! # Action space
//! `Discrete(6)`: 0 south, 1 north, 2 east, 3 west, 4 pick the passenger up, 5 drop them off. In the rain (v4,
//! `is_rainy`) a move goes where it should with probability `rainy_probability`, else to either side; one against a wall
//! goes nowhere.
//!
//! # Observation space
//! `Discrete(500)`: `((row · 5 + column) · 5 + passenger) · 4 + destination`; the passenger waits at red 0,
//! green 1, yellow 2 or blue 3, or sits in the taxi (4); destinations are numbered likewise.
//!
//! # Rewards
//! -1 for every step, -10 for a wrong pick-up or drop-off instead, +20 for delivering the passenger.
//!
//! # Starting state
//! Uniform over the 300 states in which the passenger waits and is not yet at the destination.
//!
//! With `fickle_passenger` (v4) the passenger of an episode changes the destination with probability `fickle_probability`,
//! once, at the first move with them aboard, to one of the other three places.
//!
//! # Episode end
//! Terminates when the passenger is delivered; truncates after 200 steps.
//!
//! # Info
//! `prob`: the probability of the transition. `action_mask`: which actions change the state.
//!
//! # Version history
//! - v4 (Gymnasium 1.4): rain and fickle passengers.
//! - v3: corrected map and passenger logic, `action_mask`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sprites::{Cell, Facing};
use super::tabular::{self, Model, Tabular, Transition, World};
use crate::draw::{Canvas, Color};
use crate::environment::Env;
use crate::meaning::Meaning;
use crate::problem::Problem;
use crate::spec::{EnvSpec, TOY_TEXT};
use rushes_rng::NpRandom;

const MAP: [&[u8; 11]; 7] = [
    b"+---------+",
    b"|R: | : :G|",
    b"| : | : : |",
    b"| : : : : |",
    b"| | : | : |",
    b"|Y| : |B: |",
    b"+---------+",
];
const SIDE: usize = 5;
const STATES: usize = SIDE * SIDE * 5 * 4;
const ACTIONS: usize = 6;
/// The passenger's place inside the taxi.
const ABOARD: usize = 4;
/// Row and column of red, green, yellow and blue.
const PLACES: [(usize, usize); 4] = [(0, 0), (0, 4), (4, 0), (4, 3)];
/// Pixels of a character of the map.
const TILE: u32 = 50;

/// Gymnasium 1.4's Taxi-v4.
pub fn v4() -> EnvSpec {
    EnvSpec {
        family: TOY_TEXT.into(),
        summary: "fetch a passenger and bring them where they want to go".into(),
        max_episode_steps: Some(200),
        reward_threshold: Some(8.0),
        render_fps: 4,
        policies: vec![tabular::optimal(|config| Ok(tabular::greedy(&model(&config)?, 0.99)))],
        ..EnvSpec::new("Taxi-v4", make)
    }
}

/// Gymnasium's Taxi-v3.
pub fn v3() -> EnvSpec {
    let spec = EnvSpec { id: "Taxi-v3".into(), ..v4() };
    spec.without(&["is_rainy", "fickle_passenger", "rainy_probability", "fickle_probability"])
}

/// Options of Taxi-v4; Taxi-v3 takes none.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether moves may slip to either side.
    pub is_rainy: bool,
    /// Whether the passenger may change the destination.
    pub fickle_passenger: bool,
    /// The probability that a move in the rain goes where it should.
    pub rainy_probability: f64,
    /// The probability that a fickle passenger changes the destination.
    pub fickle_probability: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            is_rainy: false,
            fickle_passenger: false,
            rainy_probability: 0.8,
            fickle_probability: 0.3,
        }
    }
}

fn make(config: Config) -> Result<Box<dyn Env>, Problem> {
    let fickle = config.fickle_passenger.then_some(config.fickle_probability);
    Ok(Box::new(Tabular::new(model(&config)?, Town { fickle, will_change: false })))
}

/// A state taken apart.
#[derive(Clone, Copy)]
struct Situation {
    taxi: (usize, usize),
    passenger: usize,
    destination: usize,
}

impl Situation {
    fn decode(state: usize) -> Self {
        let (rest, destination) = (state / 4, state % 4);
        let (rest, passenger) = (rest / 5, rest % 5);
        Self { taxi: (rest / SIDE, rest % SIDE), passenger, destination }
    }

    fn encode(self) -> usize {
        ((self.taxi.0 * SIDE + self.taxi.1) * 5 + self.passenger) * 4 + self.destination
    }

    /// Whether no wall stands to the east (`true`) or west of the taxi.
    fn open(self, east: bool) -> bool {
        let (row, column) = self.taxi;
        MAP[row + 1][2 * column + if east { 2 } else { 0 }] == b':'
    }

    /// The place of a slip by `(rows, columns)`. As in the reference, the wall in the way is looked for beside the place
    /// that the slip leads to.
    fn slipped(mut self, (rows, columns): (i8, i8)) -> Self {
        let moved = |place: usize, by: i8| place.saturating_add_signed(by.into()).min(SIDE - 1);
        let (row, column) = (moved(self.taxi.0, rows), moved(self.taxi.1, columns));
        let wall = match columns {
            1 => MAP[row + 1][2 * column] != b':',
            -1 => MAP[row + 1][2 * column + 2] != b':',
            _ => false,
        };
        if !wall {
            self.taxi = (row, column);
        }
        self
    }

    /// Where `action` leads in the rain when the taxi slips to the left or right of its way; nowhere for what is no
    /// move, or one against a wall.
    fn slips(self, action: usize) -> [Self; 2] {
        const SIDES: [[(i8, i8); 2]; 4] =
            [[(0, 1), (0, -1)], [(0, -1), (0, 1)], [(-1, 0), (1, 0)], [(1, 0), (-1, 0)]];
        let goes = self.act(action).0.taxi != self.taxi;
        SIDES[action].map(|side| if goes { self.slipped(side) } else { self })
    }

    /// What `action` does: the next situation, its reward, and whether it ends the episode.
    fn act(mut self, action: usize) -> (Self, f64, bool) {
        let (row, column) = self.taxi;
        let aboard = self.passenger == ABOARD;
        let here = PLACES.iter().position(|&place| place == self.taxi);
        let mut reward = -1.0;
        let mut terminated = false;
        match action {
            0 => self.taxi.0 = (row + 1).min(SIDE - 1),
            1 => self.taxi.0 = row.saturating_sub(1),
            2 if self.open(true) => self.taxi.1 = column + 1,
            3 if self.open(false) => self.taxi.1 = column - 1,
            2 | 3 => {}
            4 if !aboard && here == Some(self.passenger) => self.passenger = ABOARD,
            4 => reward = -10.0,
            _ => match here {
                Some(place) if aboard => {
                    self.passenger = place;
                    terminated = place == self.destination;
                    if terminated {
                        reward = 20.0;
                    }
                }
                _ => reward = -10.0,
            },
        }
        (self, reward, terminated)
    }
}

/// The table of outcomes for these options.
///
/// # Errors
/// Fails if a probability is none.
pub fn model(config: &Config) -> Result<Model, Problem> {
    let &Config { is_rainy, rainy_probability, fickle_probability, .. } = config;
    for (name, probability) in
        [("rainy_probability", rainy_probability), ("fickle_probability", fickle_probability)]
    {
        if !(0.0..=1.0).contains(&probability) {
            let message = format!("expected a probability, got {probability}");
            return Err(Problem::new(&[name], message));
        }
    }
    let waits = |state| {
        let Situation { passenger, destination, .. } = Situation::decode(state);
        passenger != ABOARD && passenger != destination
    };
    let count = (0..STATES).filter(|&state| waits(state)).count() as f64;
    let initial: Vec<f64> =
        (0..STATES).map(|state| if waits(state) { 1.0 / count } else { 0.0 }).collect();
    Ok(Model::new(&initial, ACTIONS, |state, action| {
        let now = Situation::decode(state);
        let (next, reward, terminated) = now.act(action);
        let outcome = |probability, next: Situation| Transition {
            probability,
            state: next.encode(),
            reward,
            terminated,
        };
        if !is_rainy || action >= 4 {
            return vec![outcome(1.0, next)];
        }
        let astray = (1.0 - rainy_probability) / 2.0;
        let slips = now.slips(action).map(|next| outcome(astray, next));
        [[outcome(rainy_probability, next)].as_slice(), &slips].concat()
    }))
}

/// The drawing, and the passenger's mind.
#[derive(Clone)]
struct Town {
    /// The probability that a passenger changes the destination.
    fickle: Option<f64>,
    /// Whether the one of this episode will.
    will_change: bool,
}

impl World for Town {
    fn frame_size(&self) -> (u32, u32) {
        (MAP[0].len() as u32 * TILE, MAP.len() as u32 * TILE)
    }

    fn action_meanings(&self) -> Vec<Meaning> {
        Meaning::of_values(&[
            "south",
            "north",
            "east",
            "west",
            "pick the passenger up",
            "drop the passenger off",
        ])
    }

    fn begin(&mut self, random: &mut NpRandom) {
        self.will_change = self.fickle.is_some_and(|probability| random.random() < probability);
    }

    fn altered(&mut self, from: usize, to: usize, random: &mut NpRandom) -> usize {
        let (before, mut now) = (Situation::decode(from), Situation::decode(to));
        if !self.will_change || before.passenger != ABOARD || before.taxi == now.taxi {
            return to;
        }
        self.will_change = false;
        let others = (0..PLACES.len()).filter(|&place| place != before.destination);
        now.destination = others.collect::<Vec<_>>()[random.choice(PLACES.len() - 1)];
        now.encode()
    }

    fn action_mask(&self, state: usize) -> Option<Vec<bool>> {
        let now = Situation::decode(state);
        let (row, _) = now.taxi;
        let at_a_place = PLACES.contains(&now.taxi);
        let useful = [
            row < SIDE - 1,
            row > 0,
            now.open(true),
            now.open(false),
            now.passenger != ABOARD && now.taxi == PLACES[now.passenger],
            now.passenger == ABOARD && at_a_place,
        ];
        Some(useful.to_vec())
    }

    fn draw(&self, state: usize, heading: Option<usize>, canvas: &mut Canvas) {
        const COLORS: [Color; 4] = [
            Color(255, 0, 0, 128),
            Color(0, 255, 0, 128),
            Color(255, 255, 0, 128),
            Color(0, 0, 255, 128),
        ];
        const FACING: [Facing; 4] = [Facing::Down, Facing::Up, Facing::Right, Facing::Left];
        let now = Situation::decode(state);
        let corner = |(row, column): (usize, usize)| {
            ((2 * column + 1) as u32 * TILE, (row + 1) as u32 * TILE)
        };
        let size = (TILE, TILE);

        canvas.clear(Color::rgb(116, 115, 115));
        walls(canvas);
        for (place, color) in PLACES.into_iter().zip(COLORS) {
            let (x, y) = corner(place);
            canvas.rect(x as f32, y as f32 + 10.0, TILE as f32, TILE as f32, color);
        }
        if now.passenger != ABOARD {
            Cell::raised(canvas, corner(PLACES[now.passenger]), size, -0.16).passenger();
        }
        let goal = corner(PLACES[now.destination]);
        let taxi = corner(now.taxi);
        let facing = heading.map_or(Facing::Down, |heading| FACING[heading]);
        // What is further down the picture stands in front.
        if goal.1 <= taxi.1 {
            Cell::raised(canvas, goal, size, 0.5).hotel();
            Cell::raised(canvas, taxi, size, -0.2).taxi(facing);
        } else {
            Cell::raised(canvas, taxi, size, -0.2).taxi(facing);
            Cell::raised(canvas, goal, size, 0.5).hotel();
        }
    }
}

/// Hedges along every unbroken run of wall characters.
fn walls(canvas: &mut Canvas) {
    let tile = TILE as f32;
    for row in [0, MAP.len() - 1] {
        hedge(canvas, (tile, row as f32 * tile + 12.0), ((MAP[0].len() - 2) as f32 * tile, 28.0));
    }
    for column in 0..MAP[0].len() {
        let mut row = 0;
        while row < MAP.len() {
            let length = MAP[row..].iter().take_while(|line| line[column] == b'|').count();
            if length > 0 {
                let at = (column as f32 * tile + 9.0, row as f32 * tile + 3.0);
                hedge(canvas, at, (33.0, length as f32 * tile - 4.0));
            }
            row += length.max(1);
        }
    }
}

fn hedge(canvas: &mut Canvas, at: (f32, f32), size: (f32, f32)) {
    super::sprites::rounded(canvas, at, size, 10.0, Color::rgb(226, 219, 190));
    let inner = ((at.0 + 2.5, at.1 + 2.5), (size.0 - 5.0, size.1 - 7.0));
    super::sprites::rounded(canvas, inner.0, inner.1, 8.0, Color::rgb(58, 104, 28));
    let leaves = ((at.0 + 4.5, at.1 + 4.0), (size.0 - 9.0, size.1 - 12.0));
    super::sprites::rounded(canvas, leaves.0, leaves.1, 6.0, Color::rgb(86, 140, 34));
}

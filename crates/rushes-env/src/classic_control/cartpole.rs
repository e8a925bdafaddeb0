//! CartPole: keep a pole upright on a cart that moves along a track.
//!
//! Dynamics after Barto, Sutton and Anderson, "Neuronlike adaptive elements that can solve difficult learning
//! control problems" (1983), as in Gymnasium 1.1.1 `envs/classic_control/cartpole.py`.
//!
//! # Action space
//! `Discrete(2)`: 0 pushes the cart to the left, 1 to the right, with 10 N either way.
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | cart position (m) | -4.8 | 4.8 |
//! | 1 | cart velocity (m/s) | -inf | inf |
//! | 2 | pole angle (rad) | -0.418 | 0.418 |
//! | 3 | pole angular velocity (rad/s) | -inf | inf |
//!
//! # Rewards
//! +1 for every step, the last one included. With `sutton_barto_reward`: 0 for every step, -1 at the end.
//!
//! # Starting state
//! Every element uniform in (-0.05, 0.05), or between the options `low` and `high`.
//!
//! # Episode end
//! Terminates when the pole leaves ±12° or the cart leaves ±2.4 m; truncates after 500 steps (v0: 200).
//!
//! # Version history
//! - v1: 500 steps, reward threshold 475.
//! - v0: 200 steps, reward threshold 195.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Upright, check_bounds, rotate};
use crate::draw::{Canvas, Color};
use crate::environment::{Env, EnvError, Step, Trace};
use crate::meaning::Meaning;
use crate::policy::FromFn;
use crate::problem::Problem;
use crate::space::{Action, Space};
use crate::spec::{BuiltinPolicy, CLASSIC_CONTROL, EnvSpec, constants};
use rushes_rng::NpRandom;

const GRAVITY: f64 = 9.8;
const MASS_CART: f64 = 1.0;
const MASS_POLE: f64 = 0.1;
const TOTAL_MASS: f64 = MASS_POLE + MASS_CART;
/// Half the pole's length in metres.
const LENGTH: f64 = 0.5;
const POLE_MASS_LENGTH: f64 = MASS_POLE * LENGTH;
const FORCE: f64 = 10.0;
/// Seconds between state updates.
const TAU: f64 = 0.02;
const ANGLE_LIMIT: f64 = 12.0 * 2.0 * PI / 360.0;
const POSITION_LIMIT: f64 = 2.4;
pub(crate) const FRAME: (u32, u32) = (600, 400);
/// Pixels a metre.
const SCALE: f32 = FRAME.0 as f32 / (2.0 * POSITION_LIMIT as f32);
/// Height of the track above the picture's bottom, in pixels.
const TRACK: f32 = 100.0;
/// Length of the drawn pole in pixels.
const POLE: f32 = SCALE * 2.0 * LENGTH as f32;

/// Gymnasium's CartPole-v0.
pub fn v0() -> EnvSpec {
    EnvSpec {
        id: "CartPole-v0".into(),
        max_episode_steps: Some(200),
        reward_threshold: Some(195.0),
        ..v1()
    }
}

/// Gymnasium's CartPole-v1.
pub fn v1() -> EnvSpec {
    EnvSpec {
        family: CLASSIC_CONTROL.into(),
        summary: "keep a pole upright on a cart by pushing left or right".into(),
        max_episode_steps: Some(500),
        reward_threshold: Some(475.0),
        render_fps: 50,
        constants: constants(&[
            ("gravity", GRAVITY),
            ("mass_cart", MASS_CART),
            ("mass_pole", MASS_POLE),
            ("length", LENGTH),
            ("force", FORCE),
            ("tau", TAU),
            ("angle_limit", ANGLE_LIMIT),
            ("position_limit", POSITION_LIMIT),
        ]),
        policies: vec![BuiltinPolicy::new(
            "pd",
            "pushes towards the side that the pole leans and falls to, and drifts back to the middle",
            |_: Config| {
                Ok(Box::new(FromFn(|observation: &[f32], action: &mut [f32]| {
                    let &[x, x_dot, theta, theta_dot] = observation else { return };
                    let lean = 0.05 * x + 0.1 * x_dot + theta + 0.3 * theta_dot;
                    action[0] = if lean > 0.0 { 1.0 } else { 0.0 };
                })))
            },
        )],
        ..EnvSpec::new("CartPole-v1", make)
    }
}

/// Options of CartPole.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Reward 0 for every step and -1 at the end, instead of +1 for every step.
    pub sutton_barto_reward: bool,
    /// Lower bound of every element of the starting state.
    pub low: f64,
    /// Upper bound of every element of the starting state.
    pub high: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { sutton_barto_reward: false, low: -0.05, high: 0.05 }
    }
}

fn make(config: Config) -> Result<Box<dyn Env>, Problem> {
    check_bounds(config.low, config.high)?;
    Ok(Box::new(CartPole::new(config)))
}

/// The place in the picture of a cart at a position (m).
pub(crate) fn cart_x(position: f64) -> f32 {
    position as f32 * SCALE + FRAME.0 as f32 / 2.0
}

/// Draws the cart at a position (m) with its pole at an angle (rad).
pub(crate) fn draw(position: f64, angle: f64, canvas: &mut Canvas) {
    const CART: (f32, f32) = (50.0, 30.0);
    const POLE_WIDTH: f32 = 10.0;
    let cart_x = cart_x(position);
    let axle = TRACK + CART.1 / 4.0;

    let mut upright = Upright::new(canvas, FRAME.1);
    let (half, top) = (CART.0 / 2.0, CART.1 / 2.0);
    let cart = [(-half, -top), (-half, top), (half, top), (half, -top)];
    upright.polygon(cart.map(|(x, y)| (x + cart_x, y + TRACK)), Color::BLACK);
    let (half, tip) = (POLE_WIDTH / 2.0, POLE - POLE_WIDTH / 2.0);
    let pole = [(-half, -half), (-half, tip), (half, tip), (half, -half)].map(|corner| {
        let (x, y) = rotate(corner, -angle as f32);
        (x + cart_x, y + axle)
    });
    upright.polygon(pole, Color::rgb(202, 152, 101));
    upright.circle((cart_x, axle), half, Color::rgb(129, 132, 203));
    upright.line((0.0, TRACK), (FRAME.0 as f32, TRACK), Color::BLACK);
}

/// The environment's state.
#[derive(Clone)]
struct CartPole {
    config: Config,
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    /// Position, velocity, angle, angular velocity.
    state: [f64; 4],
    /// Whether the episode has ended: a second step outside the limits earns nothing.
    fallen: bool,
}

impl CartPole {
    fn new(config: Config) -> Self {
        Self {
            config,
            observation_space: Space::symmetric_box(vec![
                (POSITION_LIMIT * 2.0) as f32,
                f32::INFINITY,
                (ANGLE_LIMIT * 2.0) as f32,
                f32::INFINITY,
            ]),
            action_space: Space::Discrete { n: 2 },
            np_random: NpRandom::new(0),
            state: [0.0; 4],
            fallen: false,
        }
    }
}

impl Env for CartPole {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn observation_meanings(&self) -> Vec<Meaning> {
        Meaning::of_numbers(&[
            ("cart position", "m"),
            ("cart velocity", "m/s"),
            ("pole angle", "rad"),
            ("pole angular velocity", "rad/s"),
        ])
    }

    fn action_meanings(&self) -> Vec<Meaning> {
        Meaning::of_values(&["push the cart to the left", "push the cart to the right"])
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.np_random = NpRandom::new(seed);
        }
        let Config { low, high, .. } = self.config;
        self.state = std::array::from_fn(|_| self.np_random.uniform(low, high));
        self.fallen = false;
        Ok(())
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let [x, x_dot, theta, theta_dot] = self.state;
        let force = if action == Action::Discrete(1) { FORCE } else { -FORCE };
        let (sin, cos) = theta.sin_cos();

        let temp = (force + POLE_MASS_LENGTH * (theta_dot * theta_dot) * sin) / TOTAL_MASS;
        let theta_acc = (GRAVITY * sin - cos * temp)
            / (LENGTH * (4.0 / 3.0 - MASS_POLE * (cos * cos) / TOTAL_MASS));
        let x_acc = temp - POLE_MASS_LENGTH * theta_acc * cos / TOTAL_MASS;
        self.state = [
            x + TAU * x_dot,
            x_dot + TAU * x_acc,
            theta + TAU * theta_dot,
            theta_dot + TAU * theta_acc,
        ];

        let [x, _, theta, _] = self.state;
        let terminated = x.abs() > POSITION_LIMIT || theta.abs() > ANGLE_LIMIT;
        let reward = match (self.config.sutton_barto_reward, terminated) {
            (false, true) if self.fallen => 0.0,
            (false, _) => 1.0,
            (true, false) => 0.0,
            (true, true) => -1.0,
        };
        self.fallen |= terminated;
        Ok(Step::new(reward, terminated))
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        for (out, value) in observation.iter_mut().zip(self.state) {
            *out = value as f32;
        }
        Ok(())
    }

    fn frame_size(&self) -> (u32, u32) {
        FRAME
    }

    fn draw(&self, canvas: &mut Canvas) {
        draw(self.state[0], self.state[2], canvas);
    }

    fn try_clone(&self) -> Option<Box<dyn Env>> {
        Some(Box::new(self.clone()))
    }

    /// The cart, at half the height of its pole.
    fn focus(&self) -> (f32, f32) {
        (cart_x(self.state[0]), FRAME.1 as f32 - TRACK - POLE / 2.0)
    }

    fn trace(&self) -> Trace {
        Trace { state: self.state.to_vec(), ..Trace::default() }
    }
}

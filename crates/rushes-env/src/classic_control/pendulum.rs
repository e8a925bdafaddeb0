//! Pendulum: swing a pendulum up by a torque at its pivot and keep it there.
//!
//! Dynamics as in Gymnasium 1.1.1 `envs/classic_control/pendulum.py`. Angles are 0 upright and grow
//! anticlockwise.
//!
//! # Action space
//! `Box(-2, 2, [1])`: the torque (N·m).
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | x = cos(angle) | -1 | 1 |
//! | 1 | y = sin(angle) | -1 | 1 |
//! | 2 | angular velocity (rad/s) | -8 | 8 |
//!
//! # Rewards
//! -(angle² + 0.1 · angular velocity² + 0.001 · torque²), the angle within ±π, before the step.
//!
//! # Starting state
//! Angle uniform in ±π (option `x_init`), angular velocity in ±1 (`y_init`).
//!
//! # Episode end
//! Never terminates; truncates after 200 steps.
//!
//! # Version history
//! - v1: simpler equations, the same behaviour.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Upright, check_finite, rotate};
use crate::draw::{Canvas, Color};
use crate::environment::{Env, EnvError, Step, Trace};
use crate::meaning::Meaning;
use crate::numpy::{squared, squared_f32};
use crate::policy::{FromFn, Policy};
use crate::problem::Problem;
use crate::space::{Action, Space};
use crate::spec::{BuiltinPolicy, CLASSIC_CONTROL, EnvSpec, constants};
use rushes_rng::NpRandom;

const MAX_SPEED: f64 = 8.0;
const MAX_TORQUE: f64 = 2.0;
/// Seconds between state updates.
const DT: f64 = 0.05;
const MASS: f64 = 1.0;
const LENGTH: f64 = 1.0;
const GRAVITY: f64 = 10.0;
pub(crate) const FRAME: u32 = 500;

/// Gymnasium's Pendulum-v1.
pub fn v1() -> EnvSpec {
    EnvSpec {
        family: CLASSIC_CONTROL.into(),
        summary: "swing a pendulum up with a weak motor and balance it".into(),
        max_episode_steps: Some(200),
        reward_threshold: None,
        render_fps: 30,
        constants: constants(&[
            ("gravity", GRAVITY),
            ("mass", MASS),
            ("length", LENGTH),
            ("dt", DT),
            ("max_speed", MAX_SPEED),
            ("max_torque", MAX_TORQUE),
        ]),
        policies: vec![BuiltinPolicy::new(
            "swing-up",
            "pumps energy until the pendulum can reach the top, then balances it by a PD rule",
            |config| Ok(swing_up(checked(config)?.g as f32)),
        )],
        ..EnvSpec::new("Pendulum-v1", make)
    }
}

/// Options of Pendulum.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Gravity in m/s².
    pub g: f64,
    /// The starting angle is uniform within plus and minus this.
    pub x_init: f64,
    /// The starting angular velocity is uniform within plus and minus this.
    pub y_init: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { g: GRAVITY, x_init: PI, y_init: 1.0 }
    }
}

fn checked(config: Config) -> Result<Config, Problem> {
    for (path, value) in [("g", config.g), ("x_init", config.x_init), ("y_init", config.y_init)] {
        check_finite(path, value)?;
    }
    Ok(config)
}

fn make(config: Config) -> Result<Box<dyn Env>, Problem> {
    Ok(Box::new(Pendulum::new(checked(config)?)))
}

/// Swing-up by energy control (Åström and Furuta, "Swinging up a pendulum by energy control", 2000).
pub(crate) fn swing_up(gravity: f32) -> Box<dyn Policy> {
    Box::new(FromFn(move |observation: &[f32], action: &mut [f32]| {
        let &[cos, sin, velocity] = observation else { return };
        let angle = sin.atan2(cos);
        // The rod's energy about its pivot, 0 when it stands still at the top.
        let energy = velocity * velocity / 6.0 + gravity / 2.0 * (cos - 1.0);
        let catchable = angle.abs() < 0.5 || (angle.abs() < 0.9 && angle * velocity < 0.0);
        let torque = if catchable && energy.abs() < 1.5 {
            -12.0 * angle - 3.0 * velocity
        } else {
            let towards = if velocity < 0.0 { -1.0 } else { 1.0 };
            -4.0 * energy * towards
        };
        action[0] = torque.clamp(-MAX_TORQUE as f32, MAX_TORQUE as f32);
    }))
}

#[derive(Clone)]
struct Pendulum {
    config: Config,
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    angle: f64,
    velocity: f64,
    /// The last torque, for drawing; `None` after a reset.
    torque: Option<f32>,
}

impl Pendulum {
    fn new(config: Config) -> Self {
        Self {
            config,
            observation_space: Space::symmetric_box(vec![1.0, 1.0, MAX_SPEED as f32]),
            action_space: Space::uniform_box(-MAX_TORQUE as f32, MAX_TORQUE as f32, 1),
            np_random: NpRandom::new(0),
            angle: 0.0,
            velocity: 0.0,
            torque: None,
        }
    }
}

/// The angle within ±π, by Python's modulo (the sign of the divisor).
fn normalized(angle: f64) -> f64 {
    let turned = angle + PI;
    // Most angles are within a turn already, where the modulo changes nothing.
    let within = (0.0..2.0 * PI).contains(&turned);
    (if within { turned } else { turned.rem_euclid(2.0 * PI) }) - PI
}

impl Env for Pendulum {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn observation_meanings(&self) -> Vec<Meaning> {
        Meaning::of_numbers(&[
            ("cosine of the angle", ""),
            ("sine of the angle", ""),
            ("angular velocity", "rad/s"),
        ])
    }

    fn action_meanings(&self) -> Vec<Meaning> {
        Meaning::of_numbers(&[("torque", "N·m")])
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.np_random = NpRandom::new(seed);
        }
        let Config { x_init, y_init, .. } = self.config;
        self.angle = self.np_random.uniform(-x_init, x_init);
        self.velocity = self.np_random.uniform(-y_init, y_init);
        self.torque = None;
        Ok(())
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        // The torque is float32, and a float32 times a number of Python's stays one.
        let torque = action.vector()[0];
        self.torque = Some(torque);
        let angle = normalized(self.angle);
        let effort = f64::from(0.001 * squared_f32(torque));
        let cost = squared(angle) + 0.1 * squared(self.velocity) + effort;

        let push = f64::from((3.0 / (MASS * (LENGTH * LENGTH))) as f32 * torque);
        let gravity = 3.0 * self.config.g / (2.0 * LENGTH);
        let acceleration = gravity * self.angle.sin() + push;
        self.velocity = (self.velocity + acceleration * DT).clamp(-MAX_SPEED, MAX_SPEED);
        self.angle += self.velocity * DT;
        Ok(Step::new(-cost, false))
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        let (sin, cos) = self.angle.sin_cos();
        observation.copy_from_slice(&[cos as f32, sin as f32, self.velocity as f32]);
        Ok(())
    }

    fn frame_size(&self) -> (u32, u32) {
        (FRAME, FRAME)
    }

    fn draw(&self, canvas: &mut Canvas) {
        draw(self.angle, self.torque, canvas);
    }

    fn try_clone(&self) -> Option<Box<dyn Env>> {
        Some(Box::new(self.clone()))
    }

    fn trace(&self) -> Trace {
        Trace { state: vec![self.angle, self.velocity], ..Trace::default() }
    }
}

/// Draws the pendulum at an angle (rad) with the last torque (N·m).
pub(crate) fn draw(angle: f64, torque: Option<f32>, canvas: &mut Canvas) {
    let rod = Color::rgb(204, 77, 77);
    let scale = FRAME as f32 / (2.0 * 2.2);
    let (length, half) = (scale, 0.1 * scale);
    let pivot = (FRAME / 2) as f32;
    let direction = (normalized(angle) + PI / 2.0) as f32;
    let place = |point| {
        let (x, y) = rotate(point, direction);
        (x + pivot, y + pivot)
    };
    let mut upright = Upright::new(canvas, FRAME);
    let corners = [(0.0, -half), (0.0, half), (length, half), (length, -half)].map(place);
    upright.polygon(corners, rod);
    upright.circle((pivot, pivot), half, rod);
    upright.circle(place((length, 0.0)), half, rod);
    if let Some(torque) = torque {
        draw_torque(&mut upright, (pivot, pivot), scale * torque.abs() / 2.0, torque > 0.0);
    }
    upright.circle((pivot, pivot), 0.05 * scale, Color::BLACK);
}

/// The arrow around the pivot, `size` pixels across: clockwise for negative torques.
///
/// Its shape is the reference's picture: a circle squeezed a little, from the top clockwise to the left, with
/// the arrow's head there.
fn draw_torque(upright: &mut Upright<'_>, center: (f32, f32), size: f32, anticlockwise: bool) {
    const POINTS: usize = 65;
    const HALF_WIDTH: f32 = 0.46;
    const HALF_HEIGHT: f32 = 0.485;
    const MIDDLE: f32 = 0.027;
    let size = size.trunc();
    if size < 2.0 {
        return;
    }
    let mirror = if anticlockwise { -1.0 } else { 1.0 };
    // Pictures of even size have no middle pixel.
    let shift = (size - 1.0) / 2.0 - (size / 2.0).trunc();
    let at =
        |(x, y): (f32, f32)| (center.0 + shift + mirror * size * x, center.1 + shift + size * y);
    let arc = std::array::from_fn::<_, POINTS, _>(|i| {
        let angle = i as f32 / (POINTS - 1) as f32 * 1.5 * std::f32::consts::PI;
        upright.at(at((MIDDLE + HALF_WIDTH * angle.sin(), HALF_HEIGHT * angle.cos())))
    });
    upright.canvas.polyline(&arc, 0.028 * size, Color::BLACK);
    let left = MIDDLE - HALF_WIDTH;
    let head = [(left, 0.145), (left - 0.068, -0.047), (left, -0.003), (left + 0.068, -0.047)];
    let head = head.map(|point| upright.at(at(point)));
    upright.canvas.polygon(&head, Color::BLACK);
}

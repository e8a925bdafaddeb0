//! Acrobot: swing the free end of a two-link arm above a line, with a motor at the middle joint only.
//!
//! Dynamics after Sutton, "Generalization in reinforcement learning: successful examples using sparse coarse
//! coding" (1996), and Sutton and Barto, "Reinforcement learning: an introduction", as in Gymnasium 1.1.1
//! `envs/classic_control/acrobot.py`: fourth-order Runge-Kutta over 0.2 s. The starting state is float32.
//!
//! # Action space
//! `Discrete(3)`: a torque of -1, 0 or 1 N·m at the joint between the links.
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | cos(θ1), θ1 = 0 hanging down | -1 | 1 |
//! | 1 | sin(θ1) | -1 | 1 |
//! | 2 | cos(θ2), θ2 relative to the first link | -1 | 1 |
//! | 3 | sin(θ2) | -1 | 1 |
//! | 4 | angular velocity of θ1 (rad/s) | -4π | 4π |
//! | 5 | angular velocity of θ2 (rad/s) | -9π | 9π |
//!
//! # Rewards
//! -1 for every step, 0 for the one that reaches the line.
//!
//! # Starting state
//! Every element uniform in (-0.1, 0.1), or between the options `low` and `high`.
//!
//! # Episode end
//! Terminates when `-cos(θ1) - cos(θ2 + θ1) > 1`; truncates after 500 steps.
//!
//! # Version history
//! - v1: 500 steps, sines and cosines instead of angles.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Upright, check_bounds, check_finite, rotate};
use crate::draw::{Canvas, Color};
use crate::environment::{Env, EnvError, Step, Trace};
use crate::meaning::Meaning;
use crate::numpy::{sin_cos_f32, squared};
use crate::policy::FromFn;
use crate::problem::Problem;
use crate::space::{Action, Space};
use crate::spec::{BuiltinPolicy, CLASSIC_CONTROL, EnvSpec, constants};
use rushes_rng::NpRandom;

/// Seconds between state updates.
const DT: f64 = 0.2;
const GRAVITY: f64 = 9.8;
/// Length, mass, centre of mass and moment of inertia of either link.
const LENGTH: f64 = 1.0;
const MASS: f64 = 1.0;
const CENTER: f64 = 0.5;
const INERTIA: f64 = 1.0;
const MAX_VELOCITY_1: f64 = 4.0 * PI;
const MAX_VELOCITY_2: f64 = 9.0 * PI;
const FRAME: u32 = 500;

/// Gymnasium's Acrobot-v1.
pub fn v1() -> EnvSpec {
    EnvSpec {
        family: CLASSIC_CONTROL.into(),
        summary: "swing a two-link arm's free end above a line by its middle joint".into(),
        max_episode_steps: Some(500),
        reward_threshold: Some(-100.0),
        render_fps: 15,
        constants: constants(&[
            ("gravity", GRAVITY),
            ("length", LENGTH),
            ("mass", MASS),
            ("center", CENTER),
            ("inertia", INERTIA),
            ("dt", DT),
        ]),
        policies: vec![BuiltinPolicy::new(
            "pump",
            "pushes the second link with the first one's motion, which adds energy",
            |_: Config| {
                Ok(Box::new(FromFn(|observation: &[f32], action: &mut [f32]| {
                    action[0] = if observation[4] < 0.0 { 2.0 } else { 0.0 };
                })))
            },
        )],
        ..EnvSpec::new("Acrobot-v1", make)
    }
}

/// Which equations of motion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Equations {
    /// Sutton and Barto's book and their Java program.
    Book,
    /// The paper of 1996.
    Nips,
}

/// Options of Acrobot.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which equations of motion: the book's or the paper's.
    pub book_or_nips: Equations,
    /// Noise added to the torque, uniform within plus and minus this.
    pub torque_noise_max: f64,
    /// Lower bound of every element of the starting state.
    pub low: f64,
    /// Upper bound of every element of the starting state.
    pub high: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { book_or_nips: Equations::Book, torque_noise_max: 0.0, low: -0.1, high: 0.1 }
    }
}

fn make(config: Config) -> Result<Box<dyn Env>, Problem> {
    check_finite("torque_noise_max", config.torque_noise_max)?;
    if config.torque_noise_max < 0.0 {
        return Err(Problem::new(
            &["torque_noise_max"],
            format!("expected at least 0, got {}", config.torque_noise_max),
        ));
    }
    check_bounds(config.low, config.high)?;
    Ok(Box::new(Acrobot::new(config)))
}

#[derive(Clone)]
struct Acrobot {
    config: Config,
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    /// θ1, θ2 and their velocities.
    state: [f64; 4],
    /// The observation, which the reference computes in single precision after a reset and in double after a step.
    seen: [f32; 6],
}

impl Acrobot {
    fn new(config: Config) -> Self {
        let bounds = vec![1.0, 1.0, 1.0, 1.0, MAX_VELOCITY_1 as f32, MAX_VELOCITY_2 as f32];
        Self {
            config,
            observation_space: Space::symmetric_box(bounds),
            action_space: Space::Discrete { n: 3 },
            np_random: NpRandom::new(0),
            state: [0.0; 4],
            seen: [1.0, 0.0, 1.0, 0.0, 0.0, 0.0],
        }
    }

    /// The state's time derivative under `torque`.
    fn derivative(&self, [theta1, theta2, dtheta1, dtheta2]: [f64; 4], torque: f64) -> [f64; 4] {
        let (sin2, cos2) = theta2.sin_cos();
        let center_squared = CENTER * CENTER;
        let d1 = MASS * center_squared
            + MASS * (LENGTH * LENGTH + center_squared + 2.0 * LENGTH * CENTER * cos2)
            + INERTIA
            + INERTIA;
        let d2 = MASS * (center_squared + LENGTH * CENTER * cos2) + INERTIA;
        let phi2 = MASS * CENTER * GRAVITY * (theta1 + theta2 - PI / 2.0).cos();
        let phi1 = -MASS * LENGTH * CENTER * squared(dtheta2) * sin2
            - 2.0 * MASS * LENGTH * CENTER * dtheta2 * dtheta1 * sin2
            + (MASS * CENTER + MASS * LENGTH) * GRAVITY * (theta1 - PI / 2.0).cos()
            + phi2;
        let ratio = d2 / d1 * phi1;
        let numerator = match self.config.book_or_nips {
            Equations::Nips => torque + ratio - phi2,
            Equations::Book => {
                torque + ratio - MASS * LENGTH * CENTER * squared(dtheta1) * sin2 - phi2
            }
        };
        let ddtheta2 = numerator / (MASS * center_squared + INERTIA - squared(d2) / d1);
        let ddtheta1 = -(d2 * ddtheta2 + phi1) / d1;
        [dtheta1, dtheta2, ddtheta1, ddtheta2]
    }

    /// The state after [`DT`] seconds, by the classic Runge-Kutta rule.
    fn integrate(&self, torque: f64) -> [f64; 4] {
        let start = self.state;
        let along = |slope: [f64; 4], time: f64| -> [f64; 4] {
            std::array::from_fn(|i| start[i] + time * slope[i])
        };
        let k1 = self.derivative(start, torque);
        let k2 = self.derivative(along(k1, DT / 2.0), torque);
        let k3 = self.derivative(along(k2, DT / 2.0), torque);
        let k4 = self.derivative(along(k3, DT), torque);
        let mean = std::array::from_fn(|i| k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]);
        along(mean, DT / 6.0)
    }
}

/// Brings an angle into ±π by whole turns, as the reference does. An angle that no number of turns would bring there, since
/// subtracting one no longer changes it, is none.
fn wrapped(mut angle: f64) -> f64 {
    const MOST: f64 = 1e9;
    if angle.is_nan() || angle.abs() > MOST {
        return f64::NAN;
    }
    while angle > PI {
        angle -= 2.0 * PI;
    }
    while angle < -PI {
        angle += 2.0 * PI;
    }
    angle
}

impl Env for Acrobot {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn observation_meanings(&self) -> Vec<Meaning> {
        Meaning::of_numbers(&[
            ("cosine of the first angle", ""),
            ("sine of the first angle", ""),
            ("cosine of the second angle", ""),
            ("sine of the second angle", ""),
            ("first angular velocity", "rad/s"),
            ("second angular velocity", "rad/s"),
        ])
    }

    fn action_meanings(&self) -> Vec<Meaning> {
        Meaning::of_values(&["torque of -1 N·m", "no torque", "torque of 1 N·m"])
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.np_random = NpRandom::new(seed);
        }
        let Config { low, high, .. } = self.config;
        let state: [f32; 4] = std::array::from_fn(|_| self.np_random.uniform(low, high) as f32);
        self.state = state.map(f64::from);
        let [theta1, theta2, dtheta1, dtheta2] = state;
        let (sin1, cos1) = sin_cos_f32(theta1);
        let (sin2, cos2) = sin_cos_f32(theta2);
        self.seen = [cos1, sin1, cos2, sin2, dtheta1, dtheta2];
        Ok(())
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let mut torque = f64::from(action.index() as u8) - 1.0;
        let noise = self.config.torque_noise_max;
        if noise > 0.0 {
            torque += self.np_random.uniform(-noise, noise);
        }
        let [theta1, theta2, dtheta1, dtheta2] = self.integrate(torque);
        let (theta1, theta2) = (wrapped(theta1), wrapped(theta2));
        let dtheta1 = dtheta1.clamp(-MAX_VELOCITY_1, MAX_VELOCITY_1);
        let dtheta2 = dtheta2.clamp(-MAX_VELOCITY_2, MAX_VELOCITY_2);
        self.state = [theta1, theta2, dtheta1, dtheta2];

        let (sin1, cos1) = theta1.sin_cos();
        let (sin2, cos2) = theta2.sin_cos();
        self.seen = [cos1, sin1, cos2, sin2, dtheta1, dtheta2].map(|value| value as f32);
        let terminated = -cos1 - (theta2 + theta1).cos() > 1.0;
        Ok(Step::new(if terminated { 0.0 } else { -1.0 }, terminated))
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        observation.copy_from_slice(&self.seen);
        Ok(())
    }

    fn frame_size(&self) -> (u32, u32) {
        (FRAME, FRAME)
    }

    fn draw(&self, canvas: &mut Canvas) {
        let scale = FRAME as f32 / (2.0 * 2.2);
        let pivot = FRAME as f32 / 2.0;
        let half = 0.1 * scale;
        // Links point downwards at angle 0.
        let first = (self.state[0] - PI / 2.0) as f32;
        let second = (self.state[0] + self.state[1] - PI / 2.0) as f32;
        let (x, y) = rotate((scale, 0.0), first);
        let elbow = (pivot + x, pivot + y);

        let mut upright = Upright::new(canvas, FRAME);
        let line = scale + pivot;
        upright.line((0.0, line.trunc()), (FRAME as f32, line.trunc()), Color::BLACK);
        for (joint, angle) in [((pivot, pivot), first), (elbow, second)] {
            let corners =
                [(0.0, -half), (0.0, half), (scale, half), (scale, -half)].map(|corner| {
                    let (x, y) = rotate(corner, angle);
                    (x + joint.0, y + joint.1)
                });
            upright.polygon(corners, Color::rgb(0, 204, 204));
            upright.circle(joint, half, Color::rgb(204, 204, 0));
        }
    }

    fn try_clone(&self) -> Option<Box<dyn Env>> {
        Some(Box::new(self.clone()))
    }

    fn trace(&self) -> Trace {
        Trace { state: self.state.to_vec(), ..Trace::default() }
    }
}

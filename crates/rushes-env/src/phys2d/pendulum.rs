//! phys2d/Pendulum: swing a pendulum up and hold it, in float32.
//!
//! As in Gymnasium 1.1.1 `envs/phys2d/pendulum.py`.
//!
//! # Action space
//! `Box(-2, 2, (1,))`: the torque at the pivot (N·m).
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | cosine of the angle, which is 0 at the top | -inf | inf |
//! | 1 | sine of the angle | -inf | inf |
//! | 2 | angular velocity (rad/s) | -inf | inf |
//!
//! # Rewards
//! -(angle² + 0.1 velocity² + 0.001 torque²) for the state before the step, the angle within ±π.
//!
//! # Starting state
//! The angle uniform in ±`high_x`, the velocity in ±`high_y`.
//!
//! # Episode end
//! Never terminates; truncates after 200 steps.
//!
//! # Version history
//! - v0: initial version.

use std::f32::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::classic_control::pendulum::{FRAME, draw, swing_up};
use crate::draw::Canvas;
use crate::environment::{Env, EnvError, Step, Trace};
use crate::meaning::Meaning;
use crate::space::{Action, Space};
use crate::spec::{BuiltinPolicy, EnvSpec, PHYS2D};
use rushes_rng::NpRandom;

const MAX_TORQUE: f32 = 2.0;

/// Gymnasium's phys2d/Pendulum-v0.
pub fn v0() -> EnvSpec {
    EnvSpec {
        family: PHYS2D.into(),
        summary: "Pendulum with Gymnasium's JAX dynamics; seeds start other episodes".into(),
        max_episode_steps: Some(200),
        render_fps: 30,
        policies: vec![BuiltinPolicy::new(
            "swing-up",
            "pumps energy until the pendulum can reach the top, then balances it by a PD rule",
            |config: Config| Ok(swing_up(config.g)),
        )],
        ..EnvSpec::new("phys2d/Pendulum-v0", |config| Ok(Box::new(Pendulum::new(config))))
    }
}

/// Options of phys2d/Pendulum: the reference's parameters, in SI units.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The greatest angular velocity.
    pub max_speed: f32,
    /// Seconds of a step.
    pub dt: f32,
    /// Gravity.
    pub g: f32,
    /// Mass of the rod.
    pub m: f32,
    /// Length of the rod.
    pub l: f32,
    /// The starting angle is uniform within plus and minus this.
    pub high_x: f32,
    /// The starting angular velocity is uniform within plus and minus this.
    pub high_y: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_speed: 8.0, dt: 0.05, g: 10.0, m: 1.0, l: 1.0, high_x: PI, high_y: 1.0 }
    }
}

#[derive(Clone)]
struct Pendulum {
    config: Config,
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    angle: f32,
    velocity: f32,
    /// The last torque, for drawing; `None` after a reset.
    torque: Option<f32>,
}

impl Pendulum {
    fn new(config: Config) -> Self {
        Self {
            config,
            observation_space: Space::symmetric_box(vec![f32::INFINITY; 3]),
            action_space: Space::uniform_box(-MAX_TORQUE, MAX_TORQUE, 1),
            np_random: NpRandom::new(0),
            angle: 0.0,
            velocity: 0.0,
            torque: None,
        }
    }
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
        let mut draw = |high: f32| self.np_random.uniform((-high).into(), high.into()) as f32;
        (self.angle, self.velocity) = (draw(self.config.high_x), draw(self.config.high_y));
        self.torque = None;
        Ok(())
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let &Config { max_speed, dt, g, m, l, .. } = &self.config;
        let torque = action.vector()[0];
        let angle = (self.angle + PI).rem_euclid(2.0 * PI) - PI;
        let cost = angle * angle + 0.1 * self.velocity * self.velocity + 0.001 * torque * torque;
        let acceleration = 3.0 * g / (2.0 * l) * self.angle.sin() + 3.0 / (m * l * l) * torque;
        self.velocity = (self.velocity + acceleration * dt).min(max_speed).max(-max_speed);
        self.angle += self.velocity * dt;
        self.torque = Some(torque);
        Ok(Step::new((-cost).into(), false))
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        let (sin, cos) = self.angle.sin_cos();
        observation.copy_from_slice(&[cos, sin, self.velocity]);
        Ok(())
    }

    fn try_clone(&self) -> Option<Box<dyn Env>> {
        Some(Box::new(self.clone()))
    }

    fn frame_size(&self) -> (u32, u32) {
        (FRAME, FRAME)
    }

    fn draw(&self, canvas: &mut Canvas) {
        draw(self.angle.into(), self.torque, canvas);
    }

    fn trace(&self) -> Trace {
        Trace { state: vec![self.angle.into(), self.velocity.into()], ..Trace::default() }
    }
}

//! MountainCar: drive an underpowered car up a hill by swinging back and forth.
//!
//! Dynamics after Moore, "Efficient memory-based learning for robot control" (1990), as in Gymnasium 1.1.1
//! `envs/classic_control/mountain_car.py`.
//!
//! # Action space
//! `Discrete(3)`: 0 accelerates to the left, 1 not at all, 2 to the right.
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | position along the x axis (m) | -1.2 | 0.6 |
//! | 1 | velocity (m per step) | -0.07 | 0.07 |
//!
//! # Rewards
//! -1 for every step.
//!
//! # Starting state
//! Position uniform in (-0.6, -0.4), or between the options `low` and `high`; velocity 0.
//!
//! # Episode end
//! Terminates at position 0.5 or beyond with at least `goal_velocity`; truncates after 200 steps.
//!
//! # Version history
//! - v0: initial version.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hill::{self, MAX_POSITION, MAX_SPEED, MIN_POSITION};
use super::{Upright, check_bounds, check_finite};
use crate::draw::Canvas;
use crate::environment::{Env, EnvError, Step, Trace};
use crate::meaning::Meaning;
use crate::policy::FromFn;
use crate::problem::Problem;
use crate::space::{Action, Space};
use crate::spec::{BuiltinPolicy, CLASSIC_CONTROL, EnvSpec, constants};
use rushes_rng::NpRandom;

const FORCE: f64 = 0.001;
const GRAVITY: f64 = 0.0025;
const GOAL_POSITION: f64 = 0.5;

/// Gymnasium's MountainCar-v0.
pub fn v0() -> EnvSpec {
    EnvSpec {
        family: CLASSIC_CONTROL.into(),
        summary: "swing an underpowered car up a hill by pushing left or right".into(),
        max_episode_steps: Some(200),
        reward_threshold: Some(-110.0),
        render_fps: 30,
        constants: constants(&[
            ("min_position", MIN_POSITION),
            ("max_position", MAX_POSITION),
            ("max_speed", MAX_SPEED),
            ("goal_position", GOAL_POSITION),
            ("force", FORCE),
            ("gravity", GRAVITY),
        ]),
        policies: vec![BuiltinPolicy::new(
            "push",
            "pushes in the direction of motion, which adds energy at every step",
            |_: Config| {
                Ok(Box::new(FromFn(|observation: &[f32], action: &mut [f32]| {
                    action[0] = if observation[1] < 0.0 { 0.0 } else { 2.0 };
                })))
            },
        )],
        ..EnvSpec::new("MountainCar-v0", make)
    }
}

/// Options of MountainCar.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The velocity that the car needs at the goal.
    pub goal_velocity: f64,
    /// Lower bound of the starting position.
    pub low: f64,
    /// Upper bound of the starting position.
    pub high: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { goal_velocity: 0.0, low: -0.6, high: -0.4 }
    }
}

fn make(config: Config) -> Result<Box<dyn Env>, Problem> {
    check_finite("goal_velocity", config.goal_velocity)?;
    check_bounds(config.low, config.high)?;
    Ok(Box::new(MountainCar::new(config)))
}

#[derive(Clone)]
struct MountainCar {
    config: Config,
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    position: f64,
    velocity: f64,
}

impl MountainCar {
    fn new(config: Config) -> Self {
        Self {
            config,
            observation_space: hill::observation_space(),
            action_space: Space::Discrete { n: 3 },
            np_random: NpRandom::new(0),
            position: 0.0,
            velocity: 0.0,
        }
    }
}

impl Env for MountainCar {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn observation_meanings(&self) -> Vec<Meaning> {
        Meaning::of_numbers(&[("position", "m"), ("velocity", "m per step")])
    }

    fn action_meanings(&self) -> Vec<Meaning> {
        Meaning::of_values(&[
            "accelerate to the left",
            "do not accelerate",
            "accelerate to the right",
        ])
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.np_random = NpRandom::new(seed);
        }
        self.position = self.np_random.uniform(self.config.low, self.config.high);
        self.velocity = 0.0;
        Ok(())
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let push = f64::from(action.index() as u8) - 1.0;
        let acceleration = push * FORCE + (3.0 * self.position).cos() * -GRAVITY;
        self.velocity = (self.velocity + acceleration).clamp(-MAX_SPEED, MAX_SPEED);
        self.position = (self.position + self.velocity).clamp(MIN_POSITION, MAX_POSITION);
        if self.position == MIN_POSITION && self.velocity < 0.0 {
            self.velocity = 0.0;
        }
        let terminated =
            self.position >= GOAL_POSITION && self.velocity >= self.config.goal_velocity;
        Ok(Step::new(-1.0, terminated))
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        observation.copy_from_slice(&[self.position as f32, self.velocity as f32]);
        Ok(())
    }

    fn frame_size(&self) -> (u32, u32) {
        hill::FRAME
    }

    fn draw(&self, canvas: &mut Canvas) {
        let mut upright = Upright::new(canvas, hill::FRAME.1);
        hill::draw(&mut upright, self.position as f32, GOAL_POSITION as f32);
    }

    fn try_clone(&self) -> Option<Box<dyn Env>> {
        Some(Box::new(self.clone()))
    }

    /// The car.
    fn focus(&self) -> (f32, f32) {
        hill::focus(self.position as f32)
    }

    fn trace(&self) -> Trace {
        Trace { state: vec![self.position, self.velocity], ..Trace::default() }
    }
}

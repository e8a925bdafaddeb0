//! MountainCarContinuous: MountainCar with a force of any size, paid for by its square.
//!
//! Dynamics after Moore, "Efficient memory-based learning for robot control" (1990), as in Gymnasium 1.1.1
//! `envs/classic_control/continuous_mountain_car.py`. After the first step of an episode the state is
//! float32, as the reference stores it, and so is all arithmetic with it.
//!
//! # Action space
//! `Box(-1, 1, [1])`: the force, times 0.0015.
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | position along the x axis (m) | -1.2 | 0.6 |
//! | 1 | velocity (m per step) | -0.07 | 0.07 |
//!
//! # Rewards
//! -0.1 · force² for every step, +100 for the step that reaches the goal.
//!
//! # Starting state
//! Position uniform in (-0.6, -0.4), or between the options `low` and `high`; velocity 0.
//!
//! # Episode end
//! Terminates at position 0.45 or beyond with at least `goal_velocity`; truncates after 999 steps.
//!
//! # Version history
//! - v0: initial version.

use num_traits::{AsPrimitive, Float};
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

const POWER: f64 = 0.0015;
const GRAVITY: f64 = 0.0025;
const GOAL_POSITION: f64 = 0.45;

/// Gymnasium's MountainCarContinuous-v0.
pub fn v0() -> EnvSpec {
    EnvSpec {
        family: CLASSIC_CONTROL.into(),
        summary: "swing an underpowered car up a hill with as little force as possible".into(),
        max_episode_steps: Some(999),
        reward_threshold: Some(90.0),
        render_fps: 30,
        constants: constants(&[
            ("min_position", MIN_POSITION),
            ("max_position", MAX_POSITION),
            ("max_speed", MAX_SPEED),
            ("goal_position", GOAL_POSITION),
            ("power", POWER),
            ("gravity", GRAVITY),
        ]),
        policies: vec![BuiltinPolicy::new(
            "push",
            "pushes gently in the direction of motion, which adds energy at every step",
            |_: Config| {
                Ok(Box::new(FromFn(|observation: &[f32], action: &mut [f32]| {
                    action[0] = if observation[1] < 0.0 { -0.8 } else { 0.8 };
                })))
            },
        )],
        ..EnvSpec::new("MountainCarContinuous-v0", make)
    }
}

/// Options of MountainCarContinuous.
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
    Ok(Box::new(MountainCarContinuous::new(config)))
}

/// Position and velocity in the precision that the reference holds them in.
#[derive(Clone, Copy)]
enum State {
    /// Straight from the random stream.
    Started(f64, f64),
    /// After a step.
    Moved(f32, f32),
}

#[derive(Clone)]
struct MountainCarContinuous {
    config: Config,
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    state: State,
}

impl MountainCarContinuous {
    fn new(config: Config) -> Self {
        Self {
            config,
            observation_space: hill::observation_space(),
            action_space: Space::uniform_box(-1.0, 1.0, 1),
            np_random: NpRandom::new(0),
            state: State::Started(0.0, 0.0),
        }
    }

    /// One step in precision `F`: the new position and velocity, and whether that is the goal.
    fn advance<F: Float + AsPrimitive<f64> + AsPrimitive<f32>>(
        &self,
        position: F,
        velocity: F,
        force: f32,
    ) -> (f32, f32, bool)
    where
        f32: AsPrimitive<F>,
        f64: AsPrimitive<F>,
    {
        let three: F = 3.0_f64.as_();
        let angle: f64 = (three * position).as_();
        let acceleration = force * POWER as f32 - (GRAVITY * angle.cos()) as f32;
        let mut velocity = velocity + acceleration.as_();
        velocity = velocity.min(MAX_SPEED.as_()).max((-MAX_SPEED).as_());
        let position = (position + velocity).min(MAX_POSITION.as_()).max(MIN_POSITION.as_());
        if position == MIN_POSITION.as_() && velocity < F::zero() {
            velocity = F::zero();
        }
        let goal = position >= GOAL_POSITION.as_() && velocity >= self.config.goal_velocity.as_();
        (position.as_(), velocity.as_(), goal)
    }

    fn observation(&self) -> [f32; 2] {
        match self.state {
            State::Started(position, velocity) => [position as f32, velocity as f32],
            State::Moved(position, velocity) => [position, velocity],
        }
    }
}

impl Env for MountainCarContinuous {
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
        Meaning::of_numbers(&[("force", "")])
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.np_random = NpRandom::new(seed);
        }
        let position = self.np_random.uniform(self.config.low, self.config.high);
        self.state = State::Started(position, 0.0);
        Ok(())
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let force = action.vector()[0];
        let (position, velocity, terminated) = match self.state {
            State::Started(position, velocity) => self.advance(position, velocity, force),
            State::Moved(position, velocity) => self.advance(position, velocity, force),
        };
        self.state = State::Moved(position, velocity);
        let bonus = if terminated { 100.0 } else { 0.0 };
        let force = f64::from(force);
        Ok(Step::new(bonus - force * force * 0.1, terminated))
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        observation.copy_from_slice(&self.observation());
        Ok(())
    }

    fn frame_size(&self) -> (u32, u32) {
        hill::FRAME
    }

    fn draw(&self, canvas: &mut Canvas) {
        let mut upright = Upright::new(canvas, hill::FRAME.1);
        hill::draw(&mut upright, self.observation()[0], GOAL_POSITION as f32);
    }

    fn try_clone(&self) -> Option<Box<dyn Env>> {
        Some(Box::new(self.clone()))
    }

    /// The car.
    fn focus(&self) -> (f32, f32) {
        hill::focus(self.observation()[0])
    }

    fn trace(&self) -> Trace {
        let state = match self.state {
            State::Started(position, velocity) => vec![position, velocity],
            State::Moved(position, velocity) => vec![position.into(), velocity.into()],
        };
        Trace { state, ..Trace::default() }
    }
}

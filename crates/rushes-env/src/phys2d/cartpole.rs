//! phys2d/CartPole: keep a pole upright on a cart that moves along a track, in float32.
//!
//! As in Gymnasium 1.1.1 `envs/phys2d/cartpole.py`. It is not CartPole: its pole is heavier where it matters, as the reference
//! adds the pole's mass to its length (0.6) where CartPole multiplies them (0.05).
//!
//! # Action space
//! `Discrete(2)`: 0 pushes the cart to the left, 1 to the right.
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | cart position (m) | -inf | inf |
//! | 1 | cart velocity (m/s) | -inf | inf |
//! | 2 | pole angle (rad) | -inf | inf |
//! | 3 | pole angular velocity (rad/s) | -inf | inf |
//!
//! # Rewards
//! +1 for every step. With `sutton_barto_reward`: 0 for every step, -1 from a state beyond the limits, which no episode steps
//! from.
//!
//! # Starting state
//! Every element uniform in ±`x_init`.
//!
//! # Episode end
//! Terminates when the pole leaves ±`theta_threshold_radians` or the cart ±`x_threshold`; truncates after 500 steps
//! (v0: 200).
//!
//! # Version history
//! - v1: 500 steps.
//! - v0: 200 steps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::classic_control::cartpole::{FRAME, cart_x, draw};
use crate::draw::Canvas;
use crate::environment::{Env, EnvError, Step, Trace};
use crate::meaning::Meaning;
use crate::policy::FromFn;
use crate::space::{Action, Space};
use crate::spec::{BuiltinPolicy, EnvSpec, PHYS2D};
use rushes_rng::NpRandom;

/// Gymnasium's phys2d/CartPole-v0.
pub fn v0() -> EnvSpec {
    EnvSpec {
        id: "phys2d/CartPole-v0".into(),
        max_episode_steps: Some(200),
        reward_threshold: Some(195.0),
        ..v1()
    }
}

/// Gymnasium's phys2d/CartPole-v1.
pub fn v1() -> EnvSpec {
    EnvSpec {
        family: PHYS2D.into(),
        summary: "CartPole with Gymnasium's JAX dynamics; seeds start other episodes".into(),
        max_episode_steps: Some(500),
        reward_threshold: Some(475.0),
        render_fps: 50,
        policies: vec![BuiltinPolicy::new(
            "pd",
            "pushes towards the side that the pole leans and falls to",
            |_: Config| {
                Ok(Box::new(FromFn(|observation: &[f32], action: &mut [f32]| {
                    let &[x, x_dot, theta, theta_dot] = observation else { return };
                    let lean = 0.05 * x + 0.1 * x_dot + theta + 0.3 * theta_dot;
                    action[0] = if lean > 0.0 { 1.0 } else { 0.0 };
                })))
            },
        )],
        ..EnvSpec::new("phys2d/CartPole-v1", |config| Ok(Box::new(CartPole::new(config))))
    }
}

/// Options of phys2d/CartPole: the reference's parameters, in SI units.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Gravity.
    pub gravity: f32,
    /// Mass of the pole.
    pub masspole: f32,
    /// Mass of the pole and the cart.
    pub total_mass: f32,
    /// Half the length of the pole.
    pub length: f32,
    /// What the reference calls so: mass of the pole plus half its length.
    pub polemass_length: f32,
    /// The force of a push.
    pub force_mag: f32,
    /// Seconds of a step.
    pub tau: f32,
    /// How far the pole may lean.
    pub theta_threshold_radians: f32,
    /// How far the cart may go.
    pub x_threshold: f32,
    /// The starting state is uniform within plus and minus this.
    pub x_init: f32,
    /// Reward 0 for every step instead of +1.
    pub sutton_barto_reward: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gravity: 9.8,
            masspole: 0.1,
            total_mass: 1.1,
            length: 0.5,
            polemass_length: 0.6,
            force_mag: 10.0,
            tau: 0.02,
            theta_threshold_radians: 0.209_439_51,
            x_threshold: 2.4,
            x_init: 0.05,
            sutton_barto_reward: false,
        }
    }
}

#[derive(Clone)]
struct CartPole {
    config: Config,
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    /// Position, velocity, angle, angular velocity.
    state: [f32; 4],
}

impl CartPole {
    fn new(config: Config) -> Self {
        Self {
            config,
            observation_space: Space::symmetric_box(vec![f32::INFINITY; 4]),
            action_space: Space::Discrete { n: 2 },
            np_random: NpRandom::new(0),
            state: [0.0; 4],
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
        Meaning::of_values(&["push left", "push right"])
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.np_random = NpRandom::new(seed);
        }
        let x_init = f64::from(self.config.x_init);
        self.state = std::array::from_fn(|_| self.np_random.uniform(-x_init, x_init) as f32);
        Ok(())
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let &Config { masspole, total_mass, length, polemass_length, tau, .. } = &self.config;
        let [x, x_dot, theta, theta_dot] = self.state;
        let force =
            if action.index() == 1 { self.config.force_mag } else { -self.config.force_mag };
        let (sin, cos) = theta.sin_cos();
        let temp = (force + polemass_length * (theta_dot * theta_dot) * sin) / total_mass;
        let theta_acc = (self.config.gravity * sin - cos * temp)
            / (length * (4.0 / 3.0 - masspole * (cos * cos) / total_mass));
        let x_acc = temp - polemass_length * theta_acc * cos / total_mass;
        self.state = [
            x + tau * x_dot,
            x_dot + tau * x_acc,
            theta + tau * theta_dot,
            theta_dot + tau * theta_acc,
        ];
        let outside = |[x, _, theta, _]: [f32; 4]| {
            x.abs() > self.config.x_threshold || theta.abs() > self.config.theta_threshold_radians
        };
        // The reference rewards the state that a step begins in.
        let reward = match self.config.sutton_barto_reward {
            false => 1.0,
            true if outside([x, x_dot, theta, theta_dot]) => -1.0,
            true => 0.0,
        };
        Ok(Step::new(reward, outside(self.state)))
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        observation.copy_from_slice(&self.state);
        Ok(())
    }

    fn try_clone(&self) -> Option<Box<dyn Env>> {
        Some(Box::new(self.clone()))
    }

    fn frame_size(&self) -> (u32, u32) {
        FRAME
    }

    fn draw(&self, canvas: &mut Canvas) {
        draw(self.state[0].into(), self.state[2].into(), canvas);
    }

    /// The cart.
    fn focus(&self) -> (f32, f32) {
        (cart_x(self.state[0].into()), FRAME.1 as f32 / 2.0)
    }

    fn trace(&self) -> Trace {
        Trace { state: self.state.map(f64::from).to_vec(), ..Trace::default() }
    }
}

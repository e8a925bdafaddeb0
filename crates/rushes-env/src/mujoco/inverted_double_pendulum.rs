//! InvertedDoublePendulum: keep two poles, one on top of the other, upright on a cart.
//!
//! As in Gymnasium 1.1.1 `envs/mujoco/inverted_double_pendulum_v5.py` and `inverted_double_pendulum_v4.py`. Simulation steps
//! of 0.01 s, 5 of them a step.
//!
//! # Action space
//! `Box(-1, 1, (1,))`: the force on the cart (N, times a gear of 500).
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | position of the cart (m) | -inf | inf |
//! | 1, 2 | sines of the poles' angles | -1 | 1 |
//! | 3, 4 | cosines of the poles' angles | -1 | 1 |
//! | 5 | velocity of the cart (m/s) | -10 | 10 |
//! | 6, 7 | angular velocities of the poles (rad/s) | -10 | 10 |
//! | 8 | constraint force on the cart (N) | -10 | 10 |
//!
//! v4 shows the constraint forces on the poles too, 11 numbers.
//!
//! # Rewards
//! `healthy_reward` where the episode goes on (v4: 10 always) - 0.01 x² - (y - 2)² for the tip at (x, y) - 0.001 v₁² - 0.005 v₂²
//! for the poles' angular velocities. `info` (v5) holds them as `reward_survive`, `distance_penalty` and `velocity_penalty`.
//!
//! # Starting state
//! The model's, with noise of `reset_noise_scale`: uniform on the positions, normal on the velocities.
//!
//! # Episode end
//! Terminates when the tip is not above 1 m; truncates after 1000 steps.
//!
//! # Version history
//! - v5: no healthy reward for the step that ends the episode; one constraint force, as the others are always 0;
//!   `xml_file`, `frame_skip`, `healthy_reward` and `reset_noise_scale`.
//! - v4: MuJoCo's own bindings.
//! - v2: mujoco-py; not made any more.

use rushes_mujoco::Numbers;
use rushes_rng::NpRandom;
use serde_json::json;

use super::environment::{MujocoEnv, Robot, Task, Version, show};
use super::options::{CameraConfig, SINCE_V5, check_noise, options};
use super::{add_normal, add_uniform, card, clipped};
use crate::environment::{Env, EnvError, Info, Step};
use crate::numpy::squared;
use crate::problem::Problem;
use crate::spec::EnvSpec;

/// Gymnasium's InvertedDoublePendulum-v5.
pub fn v5() -> EnvSpec {
    spec("InvertedDoublePendulum-v5", Version::V5)
}

/// Gymnasium's InvertedDoublePendulum-v4.
pub fn v4() -> EnvSpec {
    spec("InvertedDoublePendulum-v4", Version::V4)
        .without(SINCE_V5)
        .without(&["healthy_reward", "reset_noise_scale"])
}

fn spec(id: &str, version: Version) -> EnvSpec {
    EnvSpec {
        summary: "keep two poles, one on the other, upright on a cart".into(),
        max_episode_steps: Some(1000),
        reward_threshold: Some(9100.0),
        render_fps: 20,
        ..card(id, move |config| make(config, version))
    }
}

options! {
    /// Options of InvertedDoublePendulum.
    Config {
        xml_file: "inverted_double_pendulum.xml",
        frame_skip: 5,
        default_camera_config: CameraConfig::default(),
        /// Reward of a step that does not end the episode.
        healthy_reward: f64 = 10.0,
        /// Size of the noise on the starting state.
        reset_noise_scale: f64 = 0.1,
    }
}

/// The camera of v4.
fn camera_v4() -> CameraConfig {
    CameraConfig {
        trackbodyid: Some(0),
        distance: Some(4.1225),
        lookat: Some([0.0, 0.0, 0.122_500_000_000_000_05]),
        ..CameraConfig::default()
    }
}

fn make(mut config: Config, version: Version) -> Result<Box<dyn Env>, Problem> {
    if version == Version::V4 {
        config.default_camera_config = camera_v4();
    }
    check_noise(config.reset_noise_scale)?;
    MujocoEnv::build(&config.setup(), |robot| {
        robot.check_joints(1, 3)?;
        if robot.numbers(Numbers::SiteXpos).is_empty() {
            return Err(Problem::new(
                &["xml_file"],
                "expected a model with a site, the poles' tip",
            ));
        }
        Ok(InvertedDoublePendulum { config, version, terms: None })
    })
}

#[derive(Clone)]
struct InvertedDoublePendulum {
    config: Config,
    version: Version,
    terms: Option<Terms>,
}

/// What the last step earned.
#[derive(Clone, Copy)]
struct Terms {
    alive: f64,
    distance: f64,
    velocity: f64,
}

impl Task for InvertedDoublePendulum {
    fn start(&mut self, random: &mut NpRandom, qpos: &mut [f64], qvel: &mut [f64]) {
        add_uniform(random, qpos, self.config.reset_noise_scale);
        add_normal(random, qvel, self.config.reset_noise_scale);
        self.terms = None;
    }

    fn step(&mut self, robot: &mut Robot, action: &[f32]) -> Result<Step, EnvError> {
        robot.advance(action)?;
        let tip = robot.numbers(Numbers::SiteXpos);
        let (x, y) = (tip[0], tip[2]);
        let (v1, v2) = (robot.qvel()[1], robot.qvel()[2]);
        let terminated = y <= 1.0;
        let distance = 0.01 * squared(x) + squared(y - 2.0);
        let velocity = 0.001 * squared(v1) + 0.005 * squared(v2);
        let alive = match self.version {
            Version::V4 => 10.0,
            Version::V5 if terminated => 0.0,
            Version::V5 => self.config.healthy_reward,
        };
        self.terms = Some(Terms { alive, distance, velocity });
        Ok(Step::new(alive - distance - velocity, terminated))
    }

    fn observe(&self, robot: &Robot, see: &mut impl FnMut(&'static str, usize, f64)) {
        let (qpos, qvel) = (robot.qpos(), robot.qvel());
        let forces = robot.numbers(Numbers::QfrcConstraint);
        let shown = if self.version == Version::V5 { 1 } else { forces.len() };
        show(see, "qpos", 0..1, |i| qpos[i]);
        show(see, "sin qpos", 1..qpos.len(), |i| qpos[i].sin());
        show(see, "cos qpos", 1..qpos.len(), |i| qpos[i].cos());
        show(see, "qvel", 0..qvel.len(), |i| clipped(qvel[i]));
        show(see, "qfrc_constraint", 0..shown, |i| clipped(forces[i]));
    }

    fn info(&self, _: &Robot) -> Info {
        let mut info = Info::new();
        let shown = self.terms.filter(|_| self.version == Version::V5);
        if let Some(Terms { alive, distance, velocity }) = shown {
            info.insert("reward_survive".into(), json!(alive));
            info.insert("distance_penalty".into(), json!(-distance));
            info.insert("velocity_penalty".into(), json!(-velocity));
        }
        info
    }
}

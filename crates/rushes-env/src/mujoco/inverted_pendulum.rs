//! InvertedPendulum: keep a pole upright on a cart by pushing the cart with a continuous force.
//!
//! CartPole of Barto, Sutton and Anderson (1983) in MuJoCo, as in Gymnasium 1.1.1 `envs/mujoco/inverted_pendulum_v5.py`
//! and `inverted_pendulum_v4.py`. Simulation steps of 0.02 s, 2 of them a step.
//!
//! # Action space
//! `Box(-3, 3, (1,))`: the force on the cart (N, times a gear of 100).
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | position of the cart (m) | -inf | inf |
//! | 1 | angle of the pole (rad) | -inf | inf |
//! | 2 | velocity of the cart (m/s) | -inf | inf |
//! | 3 | angular velocity of the pole (rad/s) | -inf | inf |
//!
//! # Rewards
//! +1 for every step that leaves the pole upright, in `info` as `reward_survive`. v4: +1 for every step.
//!
//! # Starting state
//! The model's, with uniform noise of ±`reset_noise_scale` on positions and velocities.
//!
//! # Episode end
//! Terminates when the pole leans by more than 0.2 rad; truncates after 1000 steps.
//!
//! # Version history
//! - v5: no reward for the step that ends the episode; `xml_file`, `frame_skip` and `reset_noise_scale`.
//! - v4: MuJoCo's own bindings.
//! - v2: mujoco-py; not made any more.

use rushes_rng::NpRandom;
use serde_json::json;

use super::environment::{MujocoEnv, Robot, Task, Version, show};
use super::options::{CameraConfig, SINCE_V5, check_noise, options};
use super::{add_uniform, all_finite, card};
use crate::environment::{Env, EnvError, Info, Step};
use crate::problem::Problem;
use crate::spec::EnvSpec;

/// How far the pole may lean, in rad.
const ANGLE_LIMIT: f64 = 0.2;

/// Gymnasium's InvertedPendulum-v5.
pub fn v5() -> EnvSpec {
    spec("InvertedPendulum-v5", Version::V5)
}

/// Gymnasium's InvertedPendulum-v4.
pub fn v4() -> EnvSpec {
    spec("InvertedPendulum-v4", Version::V4).without(SINCE_V5).without(&["reset_noise_scale"])
}

fn spec(id: &str, version: Version) -> EnvSpec {
    EnvSpec {
        summary: "keep a pole upright on a cart by pushing with a continuous force".into(),
        max_episode_steps: Some(1000),
        reward_threshold: Some(950.0),
        render_fps: 25,
        ..card(id, move |config| make(config, version))
    }
}

options! {
    /// Options of InvertedPendulum.
    Config {
        xml_file: "inverted_pendulum.xml",
        frame_skip: 2,
        default_camera_config: CameraConfig {
            trackbodyid: Some(0),
            distance: Some(2.04),
            ..CameraConfig::default()
        },
        /// Size of the noise on the starting state.
        reset_noise_scale: f64 = 0.01,
    }
}

fn make(config: Config, version: Version) -> Result<Box<dyn Env>, Problem> {
    check_noise(config.reset_noise_scale)?;
    MujocoEnv::build(&config.setup(), |robot| {
        robot.check_joints(2, 1)?;
        Ok(InvertedPendulum { config, version, reward: None })
    })
}

#[derive(Clone)]
struct InvertedPendulum {
    config: Config,
    version: Version,
    /// What the last step earned.
    reward: Option<u8>,
}

impl Task for InvertedPendulum {
    fn start(&mut self, random: &mut NpRandom, qpos: &mut [f64], qvel: &mut [f64]) {
        add_uniform(random, qpos, self.config.reset_noise_scale);
        add_uniform(random, qvel, self.config.reset_noise_scale);
        self.reward = None;
    }

    fn step(&mut self, robot: &mut Robot, action: &[f32]) -> Result<Step, EnvError> {
        robot.advance(action)?;
        let finite = all_finite(robot.qpos()) && all_finite(robot.qvel());
        let terminated = !finite || robot.qpos()[1].abs() > ANGLE_LIMIT;
        let reward = u8::from(!terminated || self.version == Version::V4);
        self.reward = Some(reward);
        Ok(Step::new(reward.into(), terminated))
    }

    fn observe(&self, robot: &Robot, see: &mut impl FnMut(&'static str, usize, f64)) {
        let (qpos, qvel) = (robot.qpos(), robot.qvel());
        show(see, "qpos", 0..qpos.len(), |i| qpos[i]);
        show(see, "qvel", 0..qvel.len(), |i| qvel[i]);
    }

    fn info(&self, _: &Robot) -> Info {
        let reward = self.reward.filter(|_| self.version == Version::V5);
        reward.map(|reward| ("reward_survive".to_owned(), json!(reward))).into_iter().collect()
    }
}

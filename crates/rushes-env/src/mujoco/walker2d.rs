//! Walker2d: let a flat two-legged robot walk forward without falling.
//!
//! Hopper with a second leg, after Erez, Tassa and Todorov (2011), as in Gymnasium 1.1.1 `envs/mujoco/walker2d_v5.py` and
//! `walker2d_v4.py`. Simulation steps of 0.002 s, 4 of them a step.
//!
//! # Action space
//! `Box(-1, 1, (6,))`: torques on thigh, leg and foot of the right leg, then of the left one (N·m, times a gear of 100).
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | height of the torso (m) | -inf | inf |
//! | 1 | angle of the torso (rad) | -inf | inf |
//! | 2–7 | angles of the joints, in the actions' order (rad) | -inf | inf |
//! | 8, 9 | velocity of the torso, along x and z (m/s) | -10 | 10 |
//! | 10 | angular velocity of the torso (rad/s) | -10 | 10 |
//! | 11–16 | angular velocities of the joints (rad/s) | -10 | 10 |
//!
//! Without `exclude_current_positions_from_observation` the position of the torso along x comes first.
//!
//! # Rewards
//! `healthy_reward` + `forward_reward_weight` × velocity along x (m/s) - `ctrl_cost_weight` × sum of the squared actions;
//! `info` (v5) holds them as `reward_survive`, `reward_forward` and `reward_ctrl`. v5 gives `healthy_reward` while the walker
//! is healthy, v4 in every step where `terminate_when_unhealthy` is true.
//!
//! # Starting state
//! The model's, with uniform noise of ±`reset_noise_scale` on positions and velocities.
//!
//! # Episode end
//! The walker is healthy while its height is in `healthy_z_range` and its angle in `healthy_angle_range`. Terminates when it
//! is not, where `terminate_when_unhealthy` is true; truncates after 1000 steps.
//!
//! # Version history
//! - v5: both feet have the same friction; `xml_file` and `frame_skip`; no healthy reward for unhealthy states; rewards in
//!   `info`.
//! - v4: MuJoCo's own bindings.
//! - v3, v2: mujoco-py; not made any more.

use super::card;
use super::environment::Version;
use super::options::{CameraConfig, Range, SINCE_V5, options};
use super::walking::Walking;
use crate::environment::Env;
use crate::problem::Problem;
use crate::spec::EnvSpec;

/// Gymnasium's Walker2d-v5.
pub fn v5() -> EnvSpec {
    spec("Walker2d-v5", Version::V5)
}

/// Gymnasium's Walker2d-v4.
pub fn v4() -> EnvSpec {
    spec("Walker2d-v4", Version::V4).without(SINCE_V5)
}

fn spec(id: &str, version: Version) -> EnvSpec {
    EnvSpec {
        summary: "let a flat two-legged robot walk forward".into(),
        max_episode_steps: Some(1000),
        render_fps: 125,
        ..card(id, move |config| make(config, version))
    }
}

options! {
    /// Options of Walker2d.
    Config {
        xml_file: "walker2d_v5.xml",
        frame_skip: 4,
        default_camera_config: CameraConfig {
            trackbodyid: Some(2),
            distance: Some(4.0),
            lookat: Some([0.0, 0.0, 1.15]),
            elevation: Some(-20.0),
            ..CameraConfig::default()
        },
        /// Weight of the velocity in the reward.
        forward_reward_weight: f64 = 1.0,
        /// Weight of the squared actions in the reward.
        ctrl_cost_weight: f64 = 1e-3,
        /// Reward of a healthy step.
        healthy_reward: f64 = 1.0,
        /// End the episode when the walker is not healthy.
        terminate_when_unhealthy: bool = true,
        /// Where the torso's height (m) is healthy.
        healthy_z_range: Range = Range::new(0.8, 2.0),
        /// Where the torso's angle (rad) is healthy.
        healthy_angle_range: Range = Range::new(-1.0, 1.0),
        /// Size of the noise on the starting state.
        reset_noise_scale: f64 = 5e-3,
        /// Leave the position along x out of the observation.
        exclude_current_positions_from_observation: bool = true,
    }
}

fn make(mut config: Config, version: Version) -> Result<Box<dyn Env>, Problem> {
    if version == Version::V4 {
        config.xml_file = "walker2d.xml".into();
    }
    let walking = Walking {
        forward_reward_weight: config.forward_reward_weight,
        ctrl_cost_weight: config.ctrl_cost_weight,
        healthy_reward: config.healthy_reward,
        terminate_when_unhealthy: config.terminate_when_unhealthy,
        healthy_state_range: None,
        healthy_z_range: config.healthy_z_range,
        healthy_angle_range: config.healthy_angle_range,
        reset_noise_scale: config.reset_noise_scale,
        exclude_current_positions_from_observation: config
            .exclude_current_positions_from_observation,
    };
    walking.build(&config.setup(), version)
}

//! Hopper: let a flat one-legged robot hop forward without falling.
//!
//! After Erez, Tassa and Todorov, "Infinite-Horizon Model Predictive Control for Periodic Tasks with Contacts" (2011), as in
//! Gymnasium 1.1.1 `envs/mujoco/hopper_v5.py` and `hopper_v4.py`. Simulation steps of 0.002 s, 4 of them a step.
//!
//! # Action space
//! `Box(-1, 1, (3,))`: torques on thigh, leg and foot (N·m, times a gear of 200).
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | height of the torso (m) | -inf | inf |
//! | 1 | angle of the torso (rad) | -inf | inf |
//! | 2–4 | angles of thigh, leg and foot (rad) | -inf | inf |
//! | 5, 6 | velocity of the torso, along x and z (m/s) | -10 | 10 |
//! | 7 | angular velocity of the torso (rad/s) | -10 | 10 |
//! | 8–10 | angular velocities of thigh, leg and foot (rad/s) | -10 | 10 |
//!
//! Without `exclude_current_positions_from_observation` the position of the torso along x comes first.
//!
//! # Rewards
//! `healthy_reward` + `forward_reward_weight` × velocity along x (m/s) - `ctrl_cost_weight` × sum of the squared actions;
//! `info` (v5) holds them as `reward_survive`, `reward_forward` and `reward_ctrl`. v5 gives `healthy_reward` while the hopper
//! is healthy, v4 in every step where `terminate_when_unhealthy` is true.
//!
//! # Starting state
//! The model's, with uniform noise of ±`reset_noise_scale` on positions and velocities.
//!
//! # Episode end
//! The hopper is healthy while its height is in `healthy_z_range`, its angle in `healthy_angle_range` and every other part
//! of the state (velocities unclipped) in `healthy_state_range`. Terminates when it is not, where
//! `terminate_when_unhealthy` is true; truncates after 1000 steps.
//!
//! # Version history
//! - v5: `xml_file` and `frame_skip`; no healthy reward for unhealthy states; rewards in `info`.
//! - v4: MuJoCo's own bindings.
//! - v3, v2: mujoco-py; not made any more.

use super::card;
use super::environment::Version;
use super::options::{CameraConfig, Range, SINCE_V5, options};
use super::walking::Walking;
use crate::environment::Env;
use crate::problem::Problem;
use crate::spec::EnvSpec;

/// Gymnasium's Hopper-v5.
pub fn v5() -> EnvSpec {
    spec("Hopper-v5", Version::V5)
}

/// Gymnasium's Hopper-v4.
pub fn v4() -> EnvSpec {
    spec("Hopper-v4", Version::V4).without(SINCE_V5)
}

fn spec(id: &str, version: Version) -> EnvSpec {
    EnvSpec {
        summary: "let a flat one-legged robot hop forward".into(),
        max_episode_steps: Some(1000),
        reward_threshold: Some(3800.0),
        render_fps: 125,
        ..card(id, move |config| make(config, version))
    }
}

options! {
    /// Options of Hopper.
    Config {
        xml_file: "hopper.xml",
        frame_skip: 4,
        default_camera_config: CameraConfig {
            trackbodyid: Some(2),
            distance: Some(3.0),
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
        /// End the episode when the hopper is not healthy.
        terminate_when_unhealthy: bool = true,
        /// Where the state from the torso's angle on is healthy.
        healthy_state_range: Range = Range::new(-100.0, 100.0),
        /// Where the torso's height (m) is healthy.
        healthy_z_range: Range = Range::new(0.7, f64::INFINITY),
        /// Where the torso's angle (rad) is healthy.
        healthy_angle_range: Range = Range::new(-0.2, 0.2),
        /// Size of the noise on the starting state.
        reset_noise_scale: f64 = 5e-3,
        /// Leave the position along x out of the observation.
        exclude_current_positions_from_observation: bool = true,
    }
}

fn make(config: Config, version: Version) -> Result<Box<dyn Env>, Problem> {
    let walking = Walking {
        forward_reward_weight: config.forward_reward_weight,
        ctrl_cost_weight: config.ctrl_cost_weight,
        healthy_reward: config.healthy_reward,
        terminate_when_unhealthy: config.terminate_when_unhealthy,
        healthy_state_range: Some(config.healthy_state_range),
        healthy_z_range: config.healthy_z_range,
        healthy_angle_range: config.healthy_angle_range,
        reset_noise_scale: config.reset_noise_scale,
        exclude_current_positions_from_observation: config
            .exclude_current_positions_from_observation,
    };
    walking.build(&config.setup(), version)
}

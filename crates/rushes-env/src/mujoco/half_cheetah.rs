//! HalfCheetah: let a flat two-legged robot run forward as fast as it can.
//!
//! After Wawrzyński, "A Cat-Like Robot Real-Time Learning to Run" (2009), as in Gymnasium 1.1.1
//! `envs/mujoco/half_cheetah_v5.py` and `half_cheetah_v4.py`. Simulation steps of 0.01 s, 5 of them a step.
//!
//! # Action space
//! `Box(-1, 1, (6,))`: torques (N·m, times the gear of the joint).
//!
//! | index | joint | gear |
//! |---|---|---|
//! | 0 | back thigh | 120 |
//! | 1 | back shin | 90 |
//! | 2 | back foot | 60 |
//! | 3 | front thigh | 120 |
//! | 4 | front shin | 60 |
//! | 5 | front foot | 30 |
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | height of the front tip (m) | -inf | inf |
//! | 1 | angle of the front tip (rad) | -inf | inf |
//! | 2–7 | angles of the joints, in the actions' order (rad) | -inf | inf |
//! | 8, 9 | velocity of the front tip, along x and z (m/s) | -inf | inf |
//! | 10 | angular velocity of the front tip (rad/s) | -inf | inf |
//! | 11–16 | angular velocities of the joints (rad/s) | -inf | inf |
//!
//! Without `exclude_current_positions_from_observation` the position of the front tip along x comes first.
//!
//! # Rewards
//! `forward_reward_weight` × velocity along x (m/s) - `ctrl_cost_weight` × sum of the squared actions. `info` holds both
//! as `reward_forward` (v4: `reward_run`) and `reward_ctrl`.
//!
//! # Starting state
//! The model's, with noise of `reset_noise_scale`: uniform on the positions, normal on the velocities.
//!
//! # Episode end
//! Never terminates; truncates after 1000 steps.
//!
//! # Version history
//! - v5: `xml_file` and `frame_skip`; `reward_run` is called `reward_forward`; `info` of resets.
//! - v4: MuJoCo's own bindings.
//! - v3, v2: mujoco-py; not made any more.

use rushes_rng::NpRandom;
use serde_json::json;

use super::environment::{MujocoEnv, Robot, Task, Version, show};
use super::options::{CameraConfig, SINCE_V5, check_noise, options};
use super::{add_normal, add_uniform, card, control_cost};
use crate::environment::{Env, EnvError, Info, Step};
use crate::problem::Problem;
use crate::spec::EnvSpec;

/// Gymnasium's HalfCheetah-v5.
pub fn v5() -> EnvSpec {
    spec("HalfCheetah-v5", Version::V5)
}

/// Gymnasium's HalfCheetah-v4.
pub fn v4() -> EnvSpec {
    spec("HalfCheetah-v4", Version::V4).without(SINCE_V5)
}

fn spec(id: &str, version: Version) -> EnvSpec {
    EnvSpec {
        summary: "let a flat two-legged robot run forward".into(),
        max_episode_steps: Some(1000),
        reward_threshold: Some(4800.0),
        render_fps: 20,
        ..card(id, move |config| make(config, version))
    }
}

options! {
    /// Options of HalfCheetah.
    Config {
        xml_file: "half_cheetah.xml",
        frame_skip: 5,
        default_camera_config: CameraConfig { distance: Some(4.0), ..CameraConfig::default() },
        /// Weight of the velocity in the reward.
        forward_reward_weight: f64 = 1.0,
        /// Weight of the squared actions in the reward.
        ctrl_cost_weight: f64 = 0.1,
        /// Size of the noise on the starting state.
        reset_noise_scale: f64 = 0.1,
        /// Leave the position along x out of the observation.
        exclude_current_positions_from_observation: bool = true,
    }
}

fn make(config: Config, version: Version) -> Result<Box<dyn Env>, Problem> {
    check_noise(config.reset_noise_scale)?;
    MujocoEnv::build(&config.setup(), |robot| {
        robot.check_joints(1, 1)?;
        Ok(HalfCheetah { config, version, terms: None })
    })
}

#[derive(Clone)]
struct HalfCheetah {
    config: Config,
    version: Version,
    terms: Option<Terms>,
}

/// What the last step earned.
#[derive(Clone, Copy)]
struct Terms {
    x_velocity: f64,
    forward: f64,
    ctrl: f32,
}

impl Task for HalfCheetah {
    fn start(&mut self, random: &mut NpRandom, qpos: &mut [f64], qvel: &mut [f64]) {
        add_uniform(random, qpos, self.config.reset_noise_scale);
        add_normal(random, qvel, self.config.reset_noise_scale);
        self.terms = None;
    }

    fn step(&mut self, robot: &mut Robot, action: &[f32]) -> Result<Step, EnvError> {
        let x_velocity = robot.advance_along_x(action)?;
        let forward = self.config.forward_reward_weight * x_velocity;
        let ctrl = control_cost(self.config.ctrl_cost_weight, action);
        self.terms = Some(Terms { x_velocity, forward, ctrl });
        Ok(Step::new(forward - f64::from(ctrl), false))
    }

    fn observe(&self, robot: &Robot, see: &mut impl FnMut(&'static str, usize, f64)) {
        let skipped = usize::from(self.config.exclude_current_positions_from_observation);
        let (qpos, qvel) = (robot.qpos(), robot.qvel());
        show(see, "qpos", skipped..qpos.len(), |i| qpos[i]);
        show(see, "qvel", 0..qvel.len(), |i| qvel[i]);
    }

    fn info(&self, robot: &Robot) -> Info {
        let mut info = Info::new();
        if self.terms.is_some() || self.version == Version::V5 {
            info.insert("x_position".into(), json!(robot.qpos()[0]));
        }
        if let Some(Terms { x_velocity, forward, ctrl }) = self.terms {
            let run = if self.version == Version::V5 { "reward_forward" } else { "reward_run" };
            info.insert("x_velocity".into(), json!(x_velocity));
            info.insert(run.into(), json!(forward));
            info.insert("reward_ctrl".into(), json!(-ctrl));
        }
        info
    }
}

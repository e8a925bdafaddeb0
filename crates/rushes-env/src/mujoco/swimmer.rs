//! Swimmer: let a chain of three segments swim forward in a flat fluid.
//!
//! After Coulom, "Reinforcement Learning Using Neural Networks, with Applications to Motor Control" (2002), as in Gymnasium
//! 1.1.1 `envs/mujoco/swimmer_v5.py` and `swimmer_v4.py`. Simulation steps of 0.01 s, 4 of them a step.
//!
//! # Action space
//! `Box(-1, 1, (2,))`: torques on the two joints (N·m, times a gear of 150).
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | angle of the front tip (rad) | -inf | inf |
//! | 1, 2 | angles of the joints (rad) | -inf | inf |
//! | 3, 4 | velocity of the front tip, along x and y (m/s) | -inf | inf |
//! | 5 | angular velocity of the front tip (rad/s) | -inf | inf |
//! | 6, 7 | angular velocities of the joints (rad/s) | -inf | inf |
//!
//! Without `exclude_current_positions_from_observation` the position of the front tip along x and y comes first.
//!
//! # Rewards
//! `forward_reward_weight` × velocity along x (m/s) - `ctrl_cost_weight` × sum of the squared actions. `info` holds both
//! as `reward_forward` (v4: `reward_fwd` and `forward_reward`) and `reward_ctrl`.
//!
//! # Starting state
//! The model's, with uniform noise of ±`reset_noise_scale` on positions and velocities.
//!
//! # Episode end
//! Never terminates; truncates after 1000 steps.
//!
//! # Version history
//! - v5: `xml_file` and `frame_skip`; one name for the reward of moving; `info` of resets.
//! - v4: MuJoCo's own bindings.
//! - v3, v2: mujoco-py; not made any more.

use rushes_rng::NpRandom;
use serde_json::json;

use super::environment::{MujocoEnv, Robot, Task, Version, show};
use super::options::{CameraConfig, check_noise, options};
use super::{add_uniform, card, control_cost};
use crate::environment::{Env, EnvError, Info, Step};
use crate::numpy::norm;
use crate::problem::Problem;
use crate::spec::EnvSpec;

/// Gymnasium's Swimmer-v5.
pub fn v5() -> EnvSpec {
    spec("Swimmer-v5", Version::V5)
}

/// Gymnasium's Swimmer-v4.
pub fn v4() -> EnvSpec {
    spec("Swimmer-v4", Version::V4).without(&["xml_file", "frame_skip"])
}

fn spec(id: &str, version: Version) -> EnvSpec {
    EnvSpec {
        summary: "let a chain of three segments swim forward".into(),
        max_episode_steps: Some(1000),
        reward_threshold: Some(360.0),
        render_fps: 25,
        ..card(id, move |config| make(config, version))
    }
}

options! {
    /// Options of Swimmer.
    Config {
        xml_file: "swimmer.xml",
        frame_skip: 4,
        default_camera_config: CameraConfig::default(),
        /// Weight of the velocity in the reward.
        forward_reward_weight: f64 = 1.0,
        /// Weight of the squared actions in the reward.
        ctrl_cost_weight: f64 = 1e-4,
        /// Size of the noise on the starting state.
        reset_noise_scale: f64 = 0.1,
        /// Leave the position along x and y out of the observation.
        exclude_current_positions_from_observation: bool = true,
    }
}

fn make(config: Config, version: Version) -> Result<Box<dyn Env>, Problem> {
    check_noise(config.reset_noise_scale)?;
    MujocoEnv::build(&config.setup(), |robot| {
        robot.check_joints(2, 1)?;
        Ok(Swimmer { config, version, terms: None })
    })
}

#[derive(Clone)]
struct Swimmer {
    config: Config,
    version: Version,
    terms: Option<Terms>,
}

/// What the last step earned.
#[derive(Clone, Copy)]
struct Terms {
    velocity: [f64; 2],
    forward: f64,
    ctrl: f32,
}

fn position(robot: &Robot) -> [f64; 2] {
    [robot.qpos()[0], robot.qpos()[1]]
}

impl Task for Swimmer {
    fn start(&mut self, random: &mut NpRandom, qpos: &mut [f64], qvel: &mut [f64]) {
        add_uniform(random, qpos, self.config.reset_noise_scale);
        add_uniform(random, qvel, self.config.reset_noise_scale);
        self.terms = None;
    }

    fn step(&mut self, robot: &mut Robot, action: &[f32]) -> Result<Step, EnvError> {
        let before = position(robot);
        robot.advance(action)?;
        let (after, dt) = (position(robot), robot.dt());
        let velocity = [0, 1].map(|axis| (after[axis] - before[axis]) / dt);
        let forward = self.config.forward_reward_weight * velocity[0];
        let ctrl = control_cost(self.config.ctrl_cost_weight, action);
        self.terms = Some(Terms { velocity, forward, ctrl });
        Ok(Step::new(forward - f64::from(ctrl), false))
    }

    fn observe(&self, robot: &Robot, see: &mut impl FnMut(&'static str, usize, f64)) {
        let skipped = 2 * usize::from(self.config.exclude_current_positions_from_observation);
        let (qpos, qvel) = (robot.qpos(), robot.qvel());
        show(see, "qpos", skipped..qpos.len(), |i| qpos[i]);
        show(see, "qvel", 0..qvel.len(), |i| qvel[i]);
    }

    fn info(&self, robot: &Robot) -> Info {
        let mut info = Info::new();
        let v5 = self.version == Version::V5;
        if self.terms.is_some() || v5 {
            let [x, y] = position(robot);
            info.insert("x_position".into(), json!(x));
            info.insert("y_position".into(), json!(y));
            info.insert("distance_from_origin".into(), json!(norm([x, y])));
        }
        if let Some(Terms { velocity, forward, ctrl }) = self.terms {
            info.insert("x_velocity".into(), json!(velocity[0]));
            info.insert("y_velocity".into(), json!(velocity[1]));
            let names: &[&str] =
                if v5 { &["reward_forward"] } else { &["reward_fwd", "forward_reward"] };
            for &name in names {
                info.insert(name.into(), json!(forward));
            }
            info.insert("reward_ctrl".into(), json!(-ctrl));
        }
        info
    }
}

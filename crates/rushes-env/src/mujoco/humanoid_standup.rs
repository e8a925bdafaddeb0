//! HumanoidStandup: let a robot that lies on its back stand up.
//!
//! Humanoid's body after Tassa, Erez and Todorov (2012), as in Gymnasium 1.1.1 `envs/mujoco/humanoidstandup_v5.py` and
//! `humanoidstandup_v4.py`. Simulation steps of 0.003 s, 5 of them a step.
//!
//! # Action space
//! `Box(-0.4, 0.4, (17,))`: torques, as in [`super::humanoid`].
//!
//! # Observation space
//! As in [`super::humanoid`]: 348 numbers, 376 in v4.
//!
//! # Rewards
//! `uph_cost_weight` is taken and left alone, as Gymnasium does. Height of the torso (m) / 0.003 s - `ctrl_cost_weight` × sum
//! of the squared controls - `impact_cost_weight` × sum of the squared external forces, that product clipped to
//! `impact_cost_range`, + 1. `info` holds the first three as `reward_linup`, `reward_quadctrl` and `reward_impact`.
//!
//! # Starting state
//! The model's, with uniform noise of ±`reset_noise_scale` on positions and velocities.
//!
//! # Episode end
//! Never terminates; truncates after 1000 steps.
//!
//! # Version history
//! - v5: parts of the observation that are always 0 are left out; `xml_file`, `frame_skip`, weights and `include_…`.
//! - v4: MuJoCo's own bindings.
//! - v2: mujoco-py; not made any more.

use rushes_mujoco::Numbers;
use rushes_rng::NpRandom;
use serde_json::json;

use super::environment::{MujocoEnv, Robot, Task, Version};
use super::humanoid::{contact_cost, observe, tendons};
use super::options::{CameraConfig, Range, SINCE_V5, check_noise, options};
use super::{add_uniform, card};
use crate::environment::{Env, EnvError, Info, Step};
use crate::numpy::sum_of_squares;
use crate::problem::Problem;
use crate::spec::EnvSpec;

/// Gymnasium's HumanoidStandup-v5.
pub fn v5() -> EnvSpec {
    spec("HumanoidStandup-v5", Version::V5)
}

/// Gymnasium's HumanoidStandup-v4.
pub fn v4() -> EnvSpec {
    spec("HumanoidStandup-v4", Version::V4).without(SINCE_V5).without(&[
        "uph_cost_weight",
        "ctrl_cost_weight",
        "impact_cost_weight",
        "impact_cost_range",
        "reset_noise_scale",
        "exclude_current_positions_from_observation",
        "include_cinert_in_observation",
        "include_cvel_in_observation",
        "include_qfrc_actuator_in_observation",
        "include_cfrc_ext_in_observation",
    ])
}

fn spec(id: &str, version: Version) -> EnvSpec {
    EnvSpec {
        summary: "let a robot that lies on its back stand up".into(),
        max_episode_steps: Some(1000),
        render_fps: 67,
        ..card(id, move |config| make(config, version))
    }
}

options! {
    /// Options of HumanoidStandup.
    Config {
        xml_file: "humanoidstandup.xml",
        frame_skip: 5,
        default_camera_config: CameraConfig {
            trackbodyid: Some(1),
            distance: Some(4.0),
            lookat: Some([0.0, 0.0, 0.8925]),
            elevation: Some(-20.0),
            ..CameraConfig::default()
        },
        /// Gymnasium takes a weight of the height and does not use it.
        uph_cost_weight: f64 = 1.0,
        /// Weight of the squared controls in the reward.
        ctrl_cost_weight: f64 = 0.1,
        /// Weight of the squared external forces in the reward.
        impact_cost_weight: f64 = 0.5e-6,
        /// What the cost of external forces is clipped to.
        impact_cost_range: Range = Range::new(f64::NEG_INFINITY, 10.0),
        /// Size of the noise on the starting state.
        reset_noise_scale: f64 = 1e-2,
        /// Leave the position along x and y out of the observation.
        exclude_current_positions_from_observation: bool = true,
        /// Observe the bodies' inertia.
        include_cinert_in_observation: bool = true,
        /// Observe the bodies' velocities.
        include_cvel_in_observation: bool = true,
        /// Observe the actuators' forces.
        include_qfrc_actuator_in_observation: bool = true,
        /// Observe external forces.
        include_cfrc_ext_in_observation: bool = true,
    }
}

fn make(config: Config, version: Version) -> Result<Box<dyn Env>, Problem> {
    check_noise(config.reset_noise_scale)?;
    MujocoEnv::build(&config.setup(), |robot| {
        robot.check_joints(3, 6)?;
        Ok(HumanoidStandup { config, version, terms: None })
    })
}

#[derive(Clone)]
struct HumanoidStandup {
    config: Config,
    version: Version,
    terms: Option<Terms>,
}

/// What the last step earned.
#[derive(Clone, Copy)]
struct Terms {
    up: f64,
    ctrl: f64,
    impact: f64,
}

impl Task for HumanoidStandup {
    fn start(&mut self, random: &mut NpRandom, qpos: &mut [f64], qvel: &mut [f64]) {
        add_uniform(random, qpos, self.config.reset_noise_scale);
        add_uniform(random, qvel, self.config.reset_noise_scale);
        self.terms = None;
    }

    fn step(&mut self, robot: &mut Robot, action: &[f32]) -> Result<Step, EnvError> {
        robot.advance_with_forces(action)?;
        let Config { impact_cost_weight, impact_cost_range, .. } = self.config;
        let up = robot.qpos()[2] / robot.timestep();
        let ctrl = self.config.ctrl_cost_weight * sum_of_squares(robot.numbers(Numbers::Ctrl));
        let impact = contact_cost(robot, impact_cost_weight, impact_cost_range);
        self.terms = Some(Terms { up, ctrl, impact });
        Ok(Step::new(up - ctrl - impact + 1.0, false))
    }

    fn observe(&self, robot: &Robot, see: &mut impl FnMut(&'static str, usize, f64)) {
        let included = [
            self.config.include_cinert_in_observation,
            self.config.include_cvel_in_observation,
            self.config.include_qfrc_actuator_in_observation,
            self.config.include_cfrc_ext_in_observation,
        ];
        let exclude = self.config.exclude_current_positions_from_observation;
        observe(robot, self.version, exclude, included, see);
    }

    fn info(&self, robot: &Robot) -> Info {
        let mut info = Info::new();
        if self.version == Version::V5 {
            info.insert("x_position".into(), json!(robot.qpos()[0]));
            info.insert("y_position".into(), json!(robot.qpos()[1]));
            let z = robot.qpos()[2] - robot.init_qpos()[2];
            info.insert("z_distance_from_origin".into(), json!(z));
            tendons(robot, &mut info);
        }
        if let Some(Terms { up, ctrl, impact }) = self.terms {
            info.insert("reward_linup".into(), json!(up));
            info.insert("reward_quadctrl".into(), json!(-ctrl));
            info.insert("reward_impact".into(), json!(-impact));
        }
        info
    }
}

//! Humanoid: let a robot with two legs and two arms walk forward without falling.
//!
//! After Tassa, Erez and Todorov, "Synthesis and Stabilization of Complex Behaviors through Online Trajectory Optimization"
//! (2012), as in Gymnasium 1.1.1 `envs/mujoco/humanoid_v5.py` and `humanoid_v4.py`. Simulation steps of 0.003 s, 5 of
//! them a step.
//!
//! # Action space
//! `Box(-0.4, 0.4, (17,))`: torques (N·m, times the gear of the joint).
//!
//! | index | joint |
//! |---|---|
//! | 0–2 | abdomen, about y, z and x |
//! | 3–6 | right hip about x, z and y, right knee |
//! | 7–10 | left hip about x, z and y, left knee |
//! | 11–13 | right shoulder (two axes), right elbow |
//! | 14–16 | left shoulder (two axes), left elbow |
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | height of the torso (m) | -inf | inf |
//! | 1–4 | orientation of the torso, a quaternion | -inf | inf |
//! | 5–21 | angles of the joints; abdomen z, y, x, then in the actions' order (rad) | -inf | inf |
//! | 22–24 | velocity of the torso (m/s) | -inf | inf |
//! | 25–27 | angular velocity of the torso (rad/s) | -inf | inf |
//! | 28–44 | angular velocities of the joints (rad/s) | -inf | inf |
//! | 45–174 | inertia and mass of each of the 13 bodies, 10 numbers each (`cinert`) | -inf | inf |
//! | 175–252 | velocity of each body, 6 numbers each (`cvel`) | -inf | inf |
//! | 253–269 | forces of the actuators on the joints (`qfrc_actuator`) | -inf | inf |
//! | 270–347 | external torque and force on each body, 6 numbers each (`cfrc_ext`) | -inf | inf |
//!
//! Without `exclude_current_positions_from_observation` the position of the torso along x and y comes first. v4 shows the
//! world among the bodies and the torso among the joints too: 376 numbers.
//!
//! # Rewards
//! `healthy_reward` + `forward_reward_weight` × velocity of the centre of mass along x (m/s) - `ctrl_cost_weight` × sum of
//! the squared controls - `contact_cost_weight` × sum of the squared external forces, that product clipped to
//! `contact_cost_range` (v5 only). `info` holds them as `reward_survive`, `reward_forward`, `reward_ctrl` and `reward_contact`;
//! v4 as `reward_alive`, `reward_linvel` and `reward_quadctrl`. v5 gives `healthy_reward` while the humanoid is healthy,
//! v4 in every step where `terminate_when_unhealthy` is true.
//!
//! # Starting state
//! The model's, with uniform noise of ±`reset_noise_scale` on positions and velocities.
//!
//! # Episode end
//! The humanoid is healthy while its torso's height is in `healthy_z_range`. Terminates when it is not, where
//! `terminate_when_unhealthy` is true; truncates after 1000 steps.
//!
//! # Version history
//! - v5: contact costs; parts of the observation that are always 0 are left out; `xml_file`, `frame_skip` and `include_…`;
//!   no healthy reward for unhealthy states.
//! - v4: MuJoCo's own bindings.
//! - v3, v2: mujoco-py; not made any more.

use rushes_mujoco::Numbers;
use rushes_rng::NpRandom;
use serde_json::json;

use super::environment::{MujocoEnv, Robot, Task, Version, show};
use super::options::{CameraConfig, Range, SINCE_V5, check_noise, options};
use super::{add_uniform, card};
use crate::environment::{Env, EnvError, Info, Step};
use crate::numpy::{clip, norm, sum, sum_of_squares};
use crate::problem::Problem;
use crate::spec::EnvSpec;

/// Gymnasium's Humanoid-v5.
pub fn v5() -> EnvSpec {
    spec("Humanoid-v5", Version::V5)
}

/// Gymnasium's Humanoid-v4.
pub fn v4() -> EnvSpec {
    spec("Humanoid-v4", Version::V4).without(SINCE_V5).without(&[
        "contact_cost_weight",
        "contact_cost_range",
        "include_cinert_in_observation",
        "include_cvel_in_observation",
        "include_qfrc_actuator_in_observation",
        "include_cfrc_ext_in_observation",
    ])
}

fn spec(id: &str, version: Version) -> EnvSpec {
    EnvSpec {
        summary: "let a robot with two legs and two arms walk forward".into(),
        max_episode_steps: Some(1000),
        render_fps: 67,
        ..card(id, move |config| make(config, version))
    }
}

options! {
    /// Options of Humanoid.
    Config {
        xml_file: "humanoid.xml",
        frame_skip: 5,
        default_camera_config: CameraConfig {
            trackbodyid: Some(1),
            distance: Some(4.0),
            lookat: Some([0.0, 0.0, 2.0]),
            elevation: Some(-20.0),
            ..CameraConfig::default()
        },
        /// Weight of the velocity in the reward.
        forward_reward_weight: f64 = 1.25,
        /// Weight of the squared controls in the reward.
        ctrl_cost_weight: f64 = 0.1,
        /// Weight of the squared external forces in the reward.
        contact_cost_weight: f64 = 5e-7,
        /// What the cost of external forces is clipped to.
        contact_cost_range: Range = Range::new(f64::NEG_INFINITY, 10.0),
        /// Reward of a healthy step.
        healthy_reward: f64 = 5.0,
        /// End the episode when the humanoid is not healthy.
        terminate_when_unhealthy: bool = true,
        /// Where the torso's height (m) is healthy.
        healthy_z_range: Range = Range::new(1.0, 2.0),
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
        Ok(Humanoid { config, version, terms: None })
    })
}

/// What both humanoids observe of the simulation.
pub(super) fn observe(
    robot: &Robot,
    version: Version,
    exclude_positions: bool,
    [cinert, cvel, qfrc_actuator, cfrc_ext]: [bool; 4],
    see: &mut impl FnMut(&'static str, usize, f64),
) {
    let (qpos, qvel) = (robot.qpos(), robot.qvel());
    show(see, "qpos", 2 * usize::from(exclude_positions)..qpos.len(), |i| qpos[i]);
    show(see, "qvel", 0..qvel.len(), |i| qvel[i]);
    for (name, included, numbers, constant) in [
        ("cinert", cinert, Numbers::Cinert, 10),
        ("cvel", cvel, Numbers::Cvel, 6),
        ("qfrc_actuator", qfrc_actuator, Numbers::QfrcActuator, 6),
        ("cfrc_ext", cfrc_ext, Numbers::CfrcExt, 6),
    ] {
        let values = robot.numbers(numbers);
        // v4 keeps the world and the torso's free joint.
        let shown = match version {
            Version::V4 => 0..values.len(),
            Version::V5 if included => constant..values.len(),
            Version::V5 => 0..0,
        };
        show(see, name, shown, |i| values[i]);
    }
}

/// `weight` × the sum of the squared external forces, clipped.
pub(super) fn contact_cost(robot: &Robot, weight: f64, range: Range) -> f64 {
    clip(weight * sum_of_squares(robot.numbers(Numbers::CfrcExt)), range.bounds())
}

/// Lengths and velocities of the tendons, for `info`.
pub(super) fn tendons(robot: &Robot, info: &mut Info) {
    info.insert("tendon_length".into(), json!(robot.numbers(Numbers::TenLength)));
    info.insert("tendon_velocity".into(), json!(robot.numbers(Numbers::TenVelocity)));
}

/// The centre of mass, x and y.
fn mass_center(robot: &Robot) -> [f64; 2] {
    let (mass, xipos) = (robot.numbers(Numbers::BodyMass), robot.numbers(Numbers::Xipos));
    let total = sum(mass.len(), &|body| mass[body]);
    [0, 1].map(|axis| {
        let moments = mass.iter().enumerate().map(|(body, mass)| mass * xipos[3 * body + axis]);
        moments.fold(0.0, |sum, moment| sum + moment) / total
    })
}

#[derive(Clone)]
struct Humanoid {
    config: Config,
    version: Version,
    terms: Option<Terms>,
}

/// What the last step earned.
#[derive(Clone, Copy)]
struct Terms {
    velocity: [f64; 2],
    position: [f64; 2],
    forward: f64,
    ctrl: f64,
    contact: f64,
    survive: f64,
}

impl Task for Humanoid {
    fn start(&mut self, random: &mut NpRandom, qpos: &mut [f64], qvel: &mut [f64]) {
        add_uniform(random, qpos, self.config.reset_noise_scale);
        add_uniform(random, qvel, self.config.reset_noise_scale);
        self.terms = None;
    }

    fn step(&mut self, robot: &mut Robot, action: &[f32]) -> Result<Step, EnvError> {
        let before = mass_center(robot);
        robot.advance_with_forces(action)?;
        let (position, dt) = (mass_center(robot), robot.dt());
        let velocity = [0, 1].map(|axis| (position[axis] - before[axis]) / dt);
        let Config { contact_cost_weight, contact_cost_range, .. } = self.config;
        let healthy = self.config.healthy_z_range.holds(robot.qpos()[2]);
        let forward = self.config.forward_reward_weight * velocity[0];
        let earns = healthy || self.version == Version::V4 && self.config.terminate_when_unhealthy;
        let survive = if earns { self.config.healthy_reward } else { 0.0 };
        let ctrl = self.config.ctrl_cost_weight * sum_of_squares(robot.numbers(Numbers::Ctrl));
        let contact = match self.version {
            Version::V4 => 0.0,
            Version::V5 => contact_cost(robot, contact_cost_weight, contact_cost_range),
        };
        self.terms = Some(Terms { velocity, position, forward, ctrl, contact, survive });
        let terminated = !healthy && self.config.terminate_when_unhealthy;
        Ok(Step::new((forward + survive) - (ctrl + contact), terminated))
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
        let v5 = self.version == Version::V5;
        let position = match self.terms {
            _ if v5 => Some([robot.qpos()[0], robot.qpos()[1]]),
            terms => terms.map(|terms| terms.position),
        };
        if let Some([x, y]) = position {
            info.insert("x_position".into(), json!(x));
            info.insert("y_position".into(), json!(y));
            info.insert("distance_from_origin".into(), json!(norm([x, y])));
        }
        if v5 {
            tendons(robot, &mut info);
        }
        if let Some(Terms { velocity, forward, ctrl, contact, survive, .. }) = self.terms {
            info.insert("x_velocity".into(), json!(velocity[0]));
            info.insert("y_velocity".into(), json!(velocity[1]));
            let [survive_name, forward_name, ctrl_name] = if v5 {
                ["reward_survive", "reward_forward", "reward_ctrl"]
            } else {
                ["reward_alive", "reward_linvel", "reward_quadctrl"]
            };
            info.insert(survive_name.into(), json!(survive));
            info.insert(forward_name.into(), json!(forward));
            info.insert(ctrl_name.into(), json!(-ctrl));
            if v5 {
                info.insert("reward_contact".into(), json!(-contact));
            } else {
                info.insert("forward_reward".into(), json!(forward));
            }
        }
        info
    }
}

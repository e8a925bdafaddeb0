//! Ant: let a four-legged robot walk forward.
//!
//! After Schulman, Moritz, Levine, Jordan and Abbeel, "High-Dimensional Continuous Control Using Generalized Advantage
//! Estimation" (2016), as in Gymnasium 1.1.1 `envs/mujoco/ant_v5.py` and `ant_v4.py`. Simulation steps of 0.01 s, 5 of them
//! a step.
//!
//! # Action space
//! `Box(-1, 1, (8,))`: torques (N·m, times a gear of 150) on hip and ankle of the back right, front left, front right and
//! back left leg.
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | height of the torso (m) | -inf | inf |
//! | 1–4 | orientation of the torso, a quaternion | -inf | inf |
//! | 5–12 | angles of hip and ankle of the front left, front right, back left and back right leg (rad) | -inf | inf |
//! | 13–15 | velocity of the torso (m/s) | -inf | inf |
//! | 16–18 | angular velocity of the torso (rad/s) | -inf | inf |
//! | 19–26 | angular velocities of the joints (rad/s) | -inf | inf |
//! | 27–104 | external torque and force on each of the 13 bodies, 6 numbers each | -1 | 1 |
//!
//! Without `exclude_current_positions_from_observation` the position of the torso along x and y comes first. Without
//! `include_cfrc_ext_in_observation` the forces are left out. v4 shows them only with `use_contact_forces`, and those on the
//! world too (84 numbers).
//!
//! # Rewards
//! `healthy_reward` + `forward_reward_weight` × velocity of `main_body` along x (m/s) - `ctrl_cost_weight` × sum of the
//! squared actions - `contact_cost_weight` × sum of the squared external forces, clipped to `contact_force_range`. `info`
//! holds them as `reward_survive`, `reward_forward`, `reward_ctrl` and `reward_contact`. v5 gives `healthy_reward` while
//! the ant is healthy, v4 in every step where `terminate_when_unhealthy` is true; v4 counts forces only with
//! `use_contact_forces`, and calls their cost `reward_ctrl`.
//!
//! # Starting state
//! The model's, with noise of `reset_noise_scale`: uniform on the positions, normal on the velocities.
//!
//! # Episode end
//! The ant is healthy while its state is finite and its height in `healthy_z_range`, bounds included. Terminates when it is
//! not, where `terminate_when_unhealthy` is true; truncates after 1000 steps.
//!
//! # Version history
//! - v5: contact forces are observed and rewarded; `xml_file`'s companions `frame_skip`, `main_body` and
//!   `forward_reward_weight`; no healthy reward for unhealthy states.
//! - v4: MuJoCo's own bindings; no contact forces by default.
//! - v3, v2: mujoco-py; not made any more.

use rushes_mujoco::Numbers;
use rushes_rng::NpRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::environment::{MujocoEnv, Robot, Task, Version, show};
use super::options::{CameraConfig, Range, check_noise, options};
use super::{add_normal, add_uniform, all_finite, card, control_cost};
use crate::environment::{Env, EnvError, Info, Step};
use crate::numpy::{clip, norm, sum};
use crate::problem::Problem;
use crate::spec::EnvSpec;

/// Gymnasium's Ant-v5.
pub fn v5() -> EnvSpec {
    spec("Ant-v5", Version::V5).without(&["use_contact_forces"])
}

/// Gymnasium's Ant-v4.
pub fn v4() -> EnvSpec {
    spec("Ant-v4", Version::V4).without(&[
        "frame_skip",
        "default_camera_config",
        "forward_reward_weight",
        "main_body",
        "include_cfrc_ext_in_observation",
    ])
}

fn spec(id: &str, version: Version) -> EnvSpec {
    EnvSpec {
        summary: "let a four-legged robot walk forward".into(),
        max_episode_steps: Some(1000),
        reward_threshold: Some(6000.0),
        render_fps: 20,
        ..card(id, move |config| make(config, version))
    }
}

options! {
    /// Options of Ant.
    Config {
        xml_file: "ant.xml",
        frame_skip: 5,
        default_camera_config: CameraConfig { distance: Some(4.0), ..CameraConfig::default() },
        /// Weight of the velocity in the reward.
        forward_reward_weight: f64 = 1.0,
        /// Weight of the squared actions in the reward.
        ctrl_cost_weight: f64 = 0.5,
        /// Observe external forces and count them in the reward.
        use_contact_forces: bool = false,
        /// Weight of the squared external forces in the reward.
        contact_cost_weight: f64 = 5e-4,
        /// Reward of a healthy step.
        healthy_reward: f64 = 1.0,
        /// The body whose velocity is rewarded, by its name or number.
        main_body: MainBody = MainBody::Number(1),
        /// End the episode when the ant is not healthy.
        terminate_when_unhealthy: bool = true,
        /// Where the torso's height (m) is healthy.
        healthy_z_range: Range = Range::new(0.2, 1.0),
        /// What external forces are clipped to.
        contact_force_range: Range = Range::new(-1.0, 1.0),
        /// Size of the noise on the starting state.
        reset_noise_scale: f64 = 0.1,
        /// Leave the position along x and y out of the observation.
        exclude_current_positions_from_observation: bool = true,
        /// Observe external forces.
        include_cfrc_ext_in_observation: bool = true,
    }
}

/// A body of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a body's name, or its number from 0 on")]
pub enum MainBody {
    /// By its number; 0 is the world.
    Number(usize),
    /// By its name.
    Name(String),
}

fn make(config: Config, version: Version) -> Result<Box<dyn Env>, Problem> {
    check_noise(config.reset_noise_scale)?;
    MujocoEnv::build(&config.setup(), |robot| {
        robot.check_joints(3, 1)?;
        let main_body = match (version, &config.main_body) {
            (Version::V4, _) => robot.bodies(["torso"])?[0],
            (Version::V5, MainBody::Name(name)) => {
                let found = robot.bodies([name]).map(|[id]| id);
                found.map_err(|error| Problem::new(&["main_body"], error.message))?
            }
            (Version::V5, &MainBody::Number(number)) => {
                let bodies = robot.numbers(Numbers::BodyMass).len();
                if number >= bodies {
                    let message = format!("expected a body's number below {bodies}, got {number}");
                    return Err(Problem::new(&["main_body"], message));
                }
                number
            }
        };
        Ok(Ant { config, version, main_body, terms: None })
    })
}

#[derive(Clone)]
struct Ant {
    config: Config,
    version: Version,
    main_body: usize,
    terms: Option<Terms>,
}

/// What the last step earned.
#[derive(Clone, Copy)]
struct Terms {
    velocity: [f64; 2],
    position: [f64; 2],
    forward: f64,
    ctrl: f32,
    contact: f64,
    survive: f64,
}

impl Ant {
    fn is_healthy(&self, robot: &Robot) -> bool {
        let [low, high] = self.config.healthy_z_range.bounds();
        let z = robot.qpos()[2];
        all_finite(robot.qpos()) && all_finite(robot.qvel()) && low <= z && z <= high
    }

    /// Where the body is whose velocity counts.
    fn position(&self, robot: &Robot) -> [f64; 2] {
        let [x, y, _] = robot.body(self.main_body);
        [x, y]
    }

    fn feels_forces(&self) -> bool {
        self.version == Version::V5 || self.config.use_contact_forces
    }

    fn contact_cost(&self, robot: &Robot) -> f64 {
        let (forces, range) =
            (robot.numbers(Numbers::CfrcExt), self.config.contact_force_range.bounds());
        let squared = |i: usize| {
            let force = clip(forces[i], range);
            force * force
        };
        self.config.contact_cost_weight * sum(forces.len(), &squared)
    }
}

impl Task for Ant {
    fn start(&mut self, random: &mut NpRandom, qpos: &mut [f64], qvel: &mut [f64]) {
        add_uniform(random, qpos, self.config.reset_noise_scale);
        add_normal(random, qvel, self.config.reset_noise_scale);
        self.terms = None;
    }

    fn step(&mut self, robot: &mut Robot, action: &[f32]) -> Result<Step, EnvError> {
        let before = self.position(robot);
        let mut contact = 0.0;
        if self.feels_forces() {
            robot.advance_with_forces(action)?;
            contact = self.contact_cost(robot);
        } else {
            robot.advance(action)?;
        }
        let (position, dt) = (self.position(robot), robot.dt());
        let velocity = [0, 1].map(|axis| (position[axis] - before[axis]) / dt);
        let healthy = self.is_healthy(robot);
        let forward = velocity[0] * self.config.forward_reward_weight;
        let earns = healthy || self.version == Version::V4 && self.config.terminate_when_unhealthy;
        let survive = if earns { self.config.healthy_reward } else { 0.0 };
        let ctrl = control_cost(self.config.ctrl_cost_weight, action);
        self.terms = Some(Terms { velocity, position, forward, ctrl, contact, survive });
        let terminated = !healthy && self.config.terminate_when_unhealthy;
        Ok(Step::new((forward + survive) - (f64::from(ctrl) + contact), terminated))
    }

    fn observe(&self, robot: &Robot, see: &mut impl FnMut(&'static str, usize, f64)) {
        let skipped = 2 * usize::from(self.config.exclude_current_positions_from_observation);
        let (qpos, qvel) = (robot.qpos(), robot.qvel());
        show(see, "qpos", skipped..qpos.len(), |i| qpos[i]);
        show(see, "qvel", 0..qvel.len(), |i| qvel[i]);
        let forces = robot.numbers(Numbers::CfrcExt);
        let felt = match self.version {
            Version::V5 if self.config.include_cfrc_ext_in_observation => 6..forces.len(),
            Version::V4 if self.config.use_contact_forces => 0..forces.len(),
            _ => 0..0,
        };
        let range = self.config.contact_force_range.bounds();
        show(see, "cfrc_ext", felt, |i| clip(forces[i], range));
    }

    fn info(&self, robot: &Robot) -> Info {
        let mut info = Info::new();
        let v5 = self.version == Version::V5;
        let position = match self.terms {
            // Where the joints are, while velocities follow the body's frame, which is one step older.
            _ if v5 => Some([robot.qpos()[0], robot.qpos()[1]]),
            terms => terms.map(|terms| terms.position),
        };
        if let Some([x, y]) = position {
            info.insert("x_position".into(), json!(x));
            info.insert("y_position".into(), json!(y));
            info.insert("distance_from_origin".into(), json!(norm([x, y])));
        }
        if let Some(Terms { velocity, forward, ctrl, contact, survive, .. }) = self.terms {
            info.insert("x_velocity".into(), json!(velocity[0]));
            info.insert("y_velocity".into(), json!(velocity[1]));
            info.insert("reward_forward".into(), json!(forward));
            info.insert("reward_ctrl".into(), json!(-ctrl));
            info.insert("reward_survive".into(), json!(survive));
            if v5 {
                info.insert("reward_contact".into(), json!(-contact));
            } else {
                info.insert("forward_reward".into(), json!(forward));
                if self.config.use_contact_forces {
                    info.insert("reward_ctrl".into(), json!(-contact));
                }
            }
        }
        info
    }
}

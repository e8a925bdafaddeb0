//! Pusher: push a cylinder to a goal with an arm of seven joints.
//!
//! As in Gymnasium 1.1.1 `envs/mujoco/pusher_v5.py`. Simulation steps of 0.01 s, 5 of them a step.
//!
//! # Action space
//! `Box(-2, 2, (7,))`: torques (N·m) on shoulder pan, shoulder lift, shoulder roll, elbow, forearm roll, wrist flexion and
//! wrist roll.
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0–6 | angles of the joints, in the actions' order (rad) | -inf | inf |
//! | 7–13 | angular velocities of the joints (rad/s) | -inf | inf |
//! | 14–16 | the arm's tip, x, y and z (m) | -inf | inf |
//! | 17–19 | the cylinder (m) | -inf | inf |
//! | 20–22 | the goal (m) | -inf | inf |
//!
//! # Rewards
//! -`reward_near_weight` × distance of the tip from the cylinder (m) - `reward_dist_weight` × distance of the cylinder from the
//! goal (m) - `reward_control_weight` × sum of the squared actions. `info` holds them as `reward_near`, `reward_dist` and
//! `reward_ctrl`.
//!
//! # Starting state
//! The arm as in the model, its velocities uniform in ±0.005; the cylinder uniform in (-0.3, 0) × (-0.2, 0.2), further than
//! 0.17 m from the goal.
//!
//! # Episode end
//! Never terminates; truncates after 100 steps.
//!
//! # Version history
//! - v5: a model that MuJoCo 3 takes; the reward of a step is that of its end; `xml_file`, `frame_skip` and weights.
//! - v4, v2: need MuJoCo 2; not made any more.

use rushes_rng::NpRandom;
use serde_json::json;

use super::environment::{MujocoEnv, Robot, Task, show};
use super::options::{CameraConfig, options};
use super::{add_uniform, card};
use crate::environment::{Env, EnvError, Info, Step};
use crate::numpy::{norm, sum_of_squares};
use crate::problem::Problem;
use crate::spec::EnvSpec;

/// The joints of the arm; those after them move cylinder and goal.
const ARM: usize = 7;

/// Gymnasium's Pusher-v5.
pub fn v5() -> EnvSpec {
    EnvSpec {
        summary: "push a cylinder to a goal with an arm of seven joints".into(),
        max_episode_steps: Some(100),
        reward_threshold: Some(0.0),
        render_fps: 20,
        ..card("Pusher-v5", make)
    }
}

options! {
    /// Options of Pusher.
    Config {
        xml_file: "pusher_v5.xml",
        frame_skip: 5,
        default_camera_config: CameraConfig {
            trackbodyid: Some(-1),
            distance: Some(4.0),
            ..CameraConfig::default()
        },
        /// Weight of the distance between tip and cylinder in the reward.
        reward_near_weight: f64 = 0.5,
        /// Weight of the distance between cylinder and goal in the reward.
        reward_dist_weight: f64 = 1.0,
        /// Weight of the squared actions in the reward.
        reward_control_weight: f64 = 0.1,
    }
}

fn make(config: Config) -> Result<Box<dyn Env>, Problem> {
    MujocoEnv::build(&config.setup(), |robot| {
        robot.check_joints(ARM + 4, ARM + 4)?;
        let [tip, object, goal] = robot.bodies(["tips_arm", "object", "goal"])?;
        Ok(Pusher { config, tip, object, goal, terms: None })
    })
}

#[derive(Clone)]
struct Pusher {
    config: Config,
    tip: usize,
    object: usize,
    goal: usize,
    terms: Option<Terms>,
}

/// What the last step earned.
#[derive(Clone, Copy)]
struct Terms {
    near: f64,
    dist: f64,
    ctrl: f32,
}

impl Task for Pusher {
    fn start(&mut self, random: &mut NpRandom, qpos: &mut [f64], qvel: &mut [f64]) {
        let cylinder = loop {
            let cylinder = [random.uniform(-0.3, 0.0), random.uniform(-0.2, 0.2)];
            if norm(cylinder) > 0.17 {
                break cylinder;
            }
        };
        let movable = qpos.len() - 4;
        qpos[movable..movable + 2].copy_from_slice(&cylinder);
        qpos[movable + 2..].fill(0.0);
        add_uniform(random, qvel, 0.005);
        let movable = qvel.len() - 4;
        qvel[movable..].fill(0.0);
        self.terms = None;
    }

    fn step(&mut self, robot: &mut Robot, action: &[f32]) -> Result<Step, EnvError> {
        robot.advance(action)?;
        let object = robot.body(self.object);
        let distance = |body| {
            let other = robot.body(body);
            norm(std::array::from_fn::<_, 3, _>(|axis| object[axis] - other[axis]))
        };
        let near = -distance(self.tip) * self.config.reward_near_weight;
        let dist = -distance(self.goal) * self.config.reward_dist_weight;
        let ctrl = -sum_of_squares(action) * self.config.reward_control_weight as f32;
        self.terms = Some(Terms { near, dist, ctrl });
        Ok(Step::new(dist + f64::from(ctrl) + near, false))
    }

    fn observe(&self, robot: &Robot, see: &mut impl FnMut(&'static str, usize, f64)) {
        let (qpos, qvel) = (robot.qpos(), robot.qvel());
        show(see, "qpos", 0..ARM, |i| qpos[i]);
        show(see, "qvel", 0..ARM, |i| qvel[i]);
        for (name, body) in [("tips_arm", self.tip), ("object", self.object), ("goal", self.goal)] {
            let position = robot.body(body);
            show(see, name, 0..3, |axis| position[axis]);
        }
    }

    fn info(&self, _: &Robot) -> Info {
        let mut info = Info::new();
        if let Some(Terms { near, dist, ctrl }) = self.terms {
            info.insert("reward_dist".into(), json!(dist));
            info.insert("reward_ctrl".into(), json!(ctrl));
            info.insert("reward_near".into(), json!(near));
        }
        info
    }
}

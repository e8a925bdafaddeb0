//! Reacher: bring the tip of an arm with two joints to a point that is drawn anew in every episode.
//!
//! As in Gymnasium 1.1.1 `envs/mujoco/reacher_v5.py` and `reacher_v4.py`. Simulation steps of 0.01 s, 2 of them a step.
//!
//! # Action space
//! `Box(-1, 1, (2,))`: torques on the two joints (N·m, times a gear of 200).
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0, 1 | cosines of the joints' angles | -1 | 1 |
//! | 2, 3 | sines of the joints' angles | -1 | 1 |
//! | 4, 5 | the target, x and y (m) | -inf | inf |
//! | 6, 7 | angular velocities of the joints (rad/s) | -inf | inf |
//! | 8, 9 | tip minus target, along x and y (m) | -inf | inf |
//!
//! v4 shows tip minus target along z too, which is always 0.
//!
//! # Rewards
//! -`reward_dist_weight` × distance of the tip from the target (m) - `reward_control_weight` × sum of the squared actions;
//! `info` holds both as `reward_dist` and `reward_ctrl`. v4 rewards the distance before the step.
//!
//! # Starting state
//! Angles uniform in ±0.1 and velocities in ±0.005 about the model's, the target uniform in a disc of 0.2 m.
//!
//! # Episode end
//! Never terminates; truncates after 50 steps.
//!
//! # Version history
//! - v5: the reward of a step is that of its end; no z in the observation; `xml_file`, `frame_skip`, `reward_dist_weight`
//!   and `reward_control_weight`.
//! - v4: MuJoCo's own bindings.
//! - v2: mujoco-py; not made any more.

use rushes_rng::NpRandom;
use serde_json::json;

use super::environment::{MujocoEnv, Robot, Task, Version, show};
use super::options::{CameraConfig, SINCE_V5, options};
use super::{add_uniform, card};
use crate::environment::{Env, EnvError, Info, Step};
use crate::numpy::{norm, sum_of_squares};
use crate::problem::Problem;
use crate::spec::EnvSpec;

/// Gymnasium's Reacher-v5.
pub fn v5() -> EnvSpec {
    spec("Reacher-v5", Version::V5)
}

/// Gymnasium's Reacher-v4.
pub fn v4() -> EnvSpec {
    spec("Reacher-v4", Version::V4)
        .without(SINCE_V5)
        .without(&["reward_dist_weight", "reward_control_weight"])
}

fn spec(id: &str, version: Version) -> EnvSpec {
    EnvSpec {
        summary: "bring the tip of an arm with two joints to a target".into(),
        max_episode_steps: Some(50),
        reward_threshold: Some(-3.75),
        render_fps: 50,
        ..card(id, move |config| make(config, version))
    }
}

options! {
    /// Options of Reacher.
    Config {
        xml_file: "reacher.xml",
        frame_skip: 2,
        default_camera_config: CameraConfig { trackbodyid: Some(0), ..CameraConfig::default() },
        /// Weight of the distance in the reward.
        reward_dist_weight: f64 = 1.0,
        /// Weight of the squared actions in the reward.
        reward_control_weight: f64 = 1.0,
    }
}

fn make(config: Config, version: Version) -> Result<Box<dyn Env>, Problem> {
    MujocoEnv::build(&config.setup(), |robot| {
        robot.check_joints(4, 4)?;
        let [fingertip, target] = robot.bodies(["fingertip", "target"])?;
        Ok(Reacher { config, version, fingertip, target, terms: None })
    })
}

#[derive(Clone)]
struct Reacher {
    config: Config,
    version: Version,
    fingertip: usize,
    target: usize,
    terms: Option<Terms>,
}

/// What the last step earned.
#[derive(Clone, Copy)]
struct Terms {
    dist: f64,
    ctrl: f32,
}

impl Reacher {
    /// The tip as seen from the target.
    fn distance(&self, robot: &Robot) -> [f64; 3] {
        let (tip, target) = (robot.body(self.fingertip), robot.body(self.target));
        std::array::from_fn(|axis| tip[axis] - target[axis])
    }
}

impl Task for Reacher {
    fn start(&mut self, random: &mut NpRandom, qpos: &mut [f64], qvel: &mut [f64]) {
        add_uniform(random, qpos, 0.1);
        let goal = loop {
            let goal = [(); 2].map(|()| random.uniform(-0.2, 0.2));
            if norm(goal) < 0.2 {
                break goal;
            }
        };
        let (arm, target) = (qpos.len() - 2, qvel.len() - 2);
        qpos[arm..].copy_from_slice(&goal);
        add_uniform(random, qvel, 0.005);
        qvel[target..].fill(0.0);
        self.terms = None;
    }

    fn step(&mut self, robot: &mut Robot, action: &[f32]) -> Result<Step, EnvError> {
        let before = norm(self.distance(robot));
        robot.advance(action)?;
        let distance = match self.version {
            Version::V4 => before,
            Version::V5 => norm(self.distance(robot)),
        };
        let dist = -distance * self.config.reward_dist_weight;
        let ctrl = -sum_of_squares(action) * self.config.reward_control_weight as f32;
        self.terms = Some(Terms { dist, ctrl });
        Ok(Step::new(dist + f64::from(ctrl), false))
    }

    fn observe(&self, robot: &Robot, see: &mut impl FnMut(&'static str, usize, f64)) {
        let (qpos, qvel) = (robot.qpos(), robot.qvel());
        let distance = self.distance(robot);
        let shown = if self.version == Version::V5 { 2 } else { 3 };
        show(see, "cos qpos", 0..2, |i| qpos[i].cos());
        show(see, "sin qpos", 0..2, |i| qpos[i].sin());
        show(see, "qpos", 2..qpos.len(), |i| qpos[i]);
        show(see, "qvel", 0..2, |i| qvel[i]);
        show(see, "fingertip - target", 0..shown, |axis| distance[axis]);
    }

    fn info(&self, _: &Robot) -> Info {
        let mut info = Info::new();
        if let Some(Terms { dist, ctrl }) = self.terms {
            info.insert("reward_dist".into(), json!(dist));
            info.insert("reward_ctrl".into(), json!(ctrl));
        }
        info
    }
}

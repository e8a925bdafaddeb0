//! Flat robots that are paid for moving forward and for staying upright: Hopper and Walker2d.

use rushes_rng::NpRandom;
use serde_json::json;

use super::environment::{MujocoEnv, Robot, Task, Version, show};
use super::options::{Range, Setup, check_noise};
use super::{add_uniform, clipped, control_cost};
use crate::environment::{Env, EnvError, Info, Step};
use crate::problem::Problem;

/// What decides rewards, ends and observations; the environments' options of these names.
#[derive(Clone)]
pub(super) struct Walking {
    pub forward_reward_weight: f64,
    pub ctrl_cost_weight: f64,
    pub healthy_reward: f64,
    pub terminate_when_unhealthy: bool,
    /// Nothing where any state is healthy.
    pub healthy_state_range: Option<Range>,
    pub healthy_z_range: Range,
    pub healthy_angle_range: Range,
    pub reset_noise_scale: f64,
    pub exclude_current_positions_from_observation: bool,
}

impl Walking {
    /// The environment with the robot of `setup`.
    pub(super) fn build(self, setup: &Setup, version: Version) -> Result<Box<dyn Env>, Problem> {
        check_noise(self.reset_noise_scale)?;
        MujocoEnv::build(setup, |robot| {
            robot.check_joints(3, 1)?;
            Ok(Walk { config: self, version, terms: None })
        })
    }
}

#[derive(Clone)]
struct Walk {
    config: Walking,
    version: Version,
    terms: Option<Terms>,
}

/// What the last step earned.
#[derive(Clone, Copy)]
struct Terms {
    x_velocity: f64,
    forward: f64,
    ctrl: f32,
    survive: f64,
}

impl Walk {
    fn is_healthy(&self, robot: &Robot) -> bool {
        let (qpos, qvel) = (robot.qpos(), robot.qvel());
        let mut state = qpos[2..].iter().chain(qvel);
        (self.config.healthy_state_range).is_none_or(|range| state.all(|&value| range.holds(value)))
            && self.config.healthy_z_range.holds(qpos[1])
            && self.config.healthy_angle_range.holds(qpos[2])
    }
}

impl Task for Walk {
    fn start(&mut self, random: &mut NpRandom, qpos: &mut [f64], qvel: &mut [f64]) {
        add_uniform(random, qpos, self.config.reset_noise_scale);
        add_uniform(random, qvel, self.config.reset_noise_scale);
        self.terms = None;
    }

    fn step(&mut self, robot: &mut Robot, action: &[f32]) -> Result<Step, EnvError> {
        let x_velocity = robot.advance_along_x(action)?;
        let healthy = self.is_healthy(robot);
        let forward = self.config.forward_reward_weight * x_velocity;
        let ctrl = control_cost(self.config.ctrl_cost_weight, action);
        let earns = healthy || self.version == Version::V4 && self.config.terminate_when_unhealthy;
        let survive = if earns { self.config.healthy_reward } else { 0.0 };
        self.terms = Some(Terms { x_velocity, forward, ctrl, survive });
        let terminated = !healthy && self.config.terminate_when_unhealthy;
        Ok(Step::new(forward + survive - f64::from(ctrl), terminated))
    }

    fn observe(&self, robot: &Robot, see: &mut impl FnMut(&'static str, usize, f64)) {
        let skipped = usize::from(self.config.exclude_current_positions_from_observation);
        let (qpos, qvel) = (robot.qpos(), robot.qvel());
        show(see, "qpos", skipped..qpos.len(), |i| qpos[i]);
        show(see, "qvel", 0..qvel.len(), |i| clipped(qvel[i]));
    }

    fn info(&self, robot: &Robot) -> Info {
        let mut info = Info::new();
        let v5 = self.version == Version::V5;
        if self.terms.is_some() || v5 {
            info.insert("x_position".into(), json!(robot.qpos()[0]));
        }
        if v5 {
            let z = robot.qpos()[1] - robot.init_qpos()[1];
            info.insert("z_distance_from_origin".into(), json!(z));
        }
        if let Some(Terms { x_velocity, forward, ctrl, survive }) = self.terms {
            info.insert("x_velocity".into(), json!(x_velocity));
            if v5 {
                info.insert("reward_forward".into(), json!(forward));
                info.insert("reward_ctrl".into(), json!(-ctrl));
                info.insert("reward_survive".into(), json!(survive));
            }
        }
        info
    }
}

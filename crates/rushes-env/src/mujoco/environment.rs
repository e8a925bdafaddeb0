//! What all MuJoCo environments are: a simulation, a task in it, and a camera (Gymnasium's `MujocoEnv`).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rushes_mujoco::{Model, MujocoError, Numbers, Simulation};
use rushes_rng::NpRandom;
use serde_json::json;

use super::names::Names;
use super::options::Setup;
use super::picture::Picture;
use crate::draw::Canvas;
use crate::environment::{Env, EnvError, Info, Step, Trace};
use crate::meaning::Meaning;
use crate::option_file::OptionFile;
use crate::problem::Problem;
use crate::space::{Action, Space};

/// Which of Gymnasium's definitions an environment follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// The one before Gymnasium 1.0.
    V4,
    /// The present one.
    V5,
}

/// What tells one environment from another: where it starts, what it rewards and what it shows.
///
/// Arithmetic follows Gymnasium's line by line, in its precision: an action and its cost are float32 and everything
/// else is float64.
pub(super) trait Task: Clone + 'static {
    /// Draws a starting state into positions and velocities that hold the model's own.
    fn start(&mut self, random: &mut NpRandom, qpos: &mut [f64], qvel: &mut [f64]);

    /// Advances by one action.
    fn step(&mut self, robot: &mut Robot, action: &[f32]) -> Result<Step, EnvError>;

    /// Gives `see` what is observed, number by number: MuJoCo's name of the array that it is of, its place there, and its
    /// value; see [`show`].
    fn observe(&self, robot: &Robot, see: &mut impl FnMut(&'static str, usize, f64));

    /// The `info` of the last reset or step.
    fn info(&self, robot: &Robot) -> Info;
}

/// Gives `see` the numbers of an array in this range.
pub(super) fn show(
    see: &mut impl FnMut(&'static str, usize, f64),
    array: &'static str,
    range: Range<usize>,
    value: impl Fn(usize) -> f64,
) {
    range.for_each(|i| see(array, i, value(i)));
}

/// A simulation that a task acts in.
pub(super) struct Robot {
    simulation: Simulation,
    frame_skip: u32,
    init_qpos: Vec<f64>,
    init_qvel: Vec<f64>,
}

impl Robot {
    /// Holds the controls for one step of the environment.
    pub(super) fn advance(&mut self, action: &[f32]) -> Result<(), EnvError> {
        Ok(self.simulation.step(action, self.frame_skip)?)
    }

    /// [`Robot::advance`] of a robot that moves along x; gives its mean velocity on the way, in m/s.
    pub(super) fn advance_along_x(&mut self, action: &[f32]) -> Result<f64, EnvError> {
        let before = self.qpos()[0];
        self.advance(action)?;
        Ok((self.qpos()[0] - before) / self.dt())
    }

    /// [`Robot::advance`], for those who look at [`Numbers::CfrcExt`] afterwards.
    pub(super) fn advance_with_forces(&mut self, action: &[f32]) -> Result<(), EnvError> {
        self.advance(action)?;
        Ok(self.simulation.rne_post_constraint()?)
    }

    /// Seconds of a step of the environment.
    pub(super) fn dt(&self) -> f64 {
        self.simulation.model().timestep() * f64::from(self.frame_skip)
    }

    /// Seconds of a step of the simulation.
    pub(super) fn timestep(&self) -> f64 {
        self.simulation.model().timestep()
    }

    /// Positions of the joints.
    pub(super) fn qpos(&self) -> &[f64] {
        self.simulation.numbers(Numbers::Qpos)
    }

    /// Velocities of the joints.
    pub(super) fn qvel(&self) -> &[f64] {
        self.simulation.numbers(Numbers::Qvel)
    }

    /// Any array of the simulation.
    pub(super) fn numbers(&self, which: Numbers) -> &[f64] {
        self.simulation.numbers(which)
    }

    /// The position of a body's frame.
    pub(super) fn body(&self, body: usize) -> [f64; 3] {
        std::array::from_fn(|axis| self.numbers(Numbers::Xpos)[3 * body + axis])
    }

    /// The positions of the joints in the model.
    pub(super) fn init_qpos(&self) -> &[f64] {
        &self.init_qpos
    }

    /// What its numbers are called.
    fn names(&self) -> Names {
        Names::of(self.simulation.model())
    }

    /// What the bodies of these names are numbered.
    pub(super) fn bodies<const N: usize>(&self, names: [&str; N]) -> Result<[usize; N], Problem> {
        let mut ids = [0; N];
        for (id, name) in ids.iter_mut().zip(names) {
            *id = self.simulation.model().id(rushes_mujoco::Kind::Body, name).ok_or_else(|| {
                Problem::new(&["xml_file"], format!("expected a model with a body called `{name}`"))
            })?;
        }
        Ok(ids)
    }

    /// Fails if the model has fewer joints than a task looks at.
    pub(super) fn check_joints(&self, qpos: usize, qvel: usize) -> Result<(), Problem> {
        if self.init_qpos.len() >= qpos && self.init_qvel.len() >= qvel {
            return Ok(());
        }
        let message = format!(
            "expected a model with at least {qpos} positions and {qvel} velocities, found {} and {}",
            self.init_qpos.len(),
            self.init_qvel.len()
        );
        Err(Problem::new(&["xml_file"], message))
    }
}

impl From<MujocoError> for EnvError {
    fn from(error: MujocoError) -> Self {
        Self::Physics(error.to_string())
    }
}

/// A task in its simulation.
pub(super) struct MujocoEnv<T> {
    task: T,
    robot: Robot,
    picture: Arc<Picture>,
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    /// Where the model is, from the root, if it is a user's own.
    model_file: Option<PathBuf>,
}

impl<T: Task> MujocoEnv<T> {
    /// Compiles the model and builds the environment around it; `task` checks what it needs of the model.
    pub(super) fn build(
        setup: &Setup,
        task: impl FnOnce(&Robot) -> Result<T, Problem>,
    ) -> Result<Box<dyn Env>, Problem> {
        if setup.frame_skip == 0 {
            return Err(Problem::new(&["frame_skip"], "expected at least 1, got 0"));
        }
        let simulation = Simulation::new(Arc::new(compile(&setup.xml_file)?))
            .map_err(|error| Problem::new(&["xml_file"], error.to_string()))?;
        let picture = Picture::new(&simulation, setup)?;
        let robot = Robot {
            frame_skip: setup.frame_skip,
            init_qpos: simulation.numbers(Numbers::Qpos).to_vec(),
            init_qvel: simulation.numbers(Numbers::Qvel).to_vec(),
            simulation,
        };
        let task = task(&robot)?;
        let mut observed = 0;
        task.observe(&robot, &mut |_, _, _| observed += 1);
        let range = robot.numbers(Numbers::CtrlRange);
        let bounds =
            |which| range.iter().skip(which).step_by(2).map(|&bound| bound as f32).collect();
        let (low, high): (Vec<f32>, Vec<f32>) = (bounds(0), bounds(1));
        if let Some(idle) = range.chunks_exact(2).position(|range| range[0] >= range[1]) {
            let message = format!(
                "expected actuators with a `ctrlrange`, which actuator {idle} has not: its only action would be 0"
            );
            return Err(Problem::new(&["xml_file"], message));
        }
        let controls = low.len();
        if controls == 0 {
            let message = "expected a model with at least one actuator, found none";
            return Err(Problem::new(&["xml_file"], message));
        }
        let model_file =
            is_own(&setup.xml_file).then(|| std::path::absolute(expanded(&setup.xml_file)));
        let model_file = model_file.transpose();
        Ok(Box::new(Self {
            model_file: model_file
                .map_err(|error| Problem::new(&["xml_file"], error.to_string()))?,
            action_space: Space::float_box(low, high, vec![controls]),
            observation_space: Space::symmetric_box(vec![f32::INFINITY; observed]),
            picture: Arc::new(picture),
            np_random: NpRandom::new(0),
            task,
            robot,
        }))
    }
}

/// The extension of models in MuJoCo's binary form.
const BINARY: &str = "mjb";

/// Compiles one of Gymnasium's models by its name, or a user's own by its path; one in binary form is read.
fn compile(xml_file: &str) -> Result<Model, Problem> {
    let model = if is_own(xml_file) {
        let path = expanded(xml_file);
        match path.extension().is_some_and(|extension| extension == BINARY) {
            true => Model::from_binary(&path),
            false => Model::from_file(&path),
        }
    } else {
        let Some((name, xml)) = super::MODELS.iter().find(|(name, _)| *name == xml_file) else {
            let known: Vec<_> = super::MODELS.iter().map(|(name, _)| *name).collect();
            let hint =
                "; a file of your own is written with a path that begins with `/`, `.` or `~`";
            let message = crate::names::unknown("model", xml_file, &known) + hint;
            return Err(Problem::new(&["xml_file"], message));
        };
        Model::from_xml(name, xml)
    };
    model.map_err(|error| match error {
        MujocoError::Library(error) => Problem::new(&[] as &[&str], error.to_string()),
        MujocoError::Mujoco(message) => Problem::new(&["xml_file"], message),
    })
}

/// Whether a model is a user's own, and no name of one of Gymnasium's.
fn is_own(xml_file: &str) -> bool {
    xml_file.starts_with(['.', '/', '~'])
}

/// A path with the user's folder for `~`.
fn expanded(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(below), Some(home)) => home.join(below),
        _ => Path::new(path).to_owned(),
    }
}

impl<T: Task> Env for MujocoEnv<T> {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn observation_meanings(&self) -> Vec<Meaning> {
        let (names, mut meanings) = (self.robot.names(), Vec::new());
        self.task.observe(&self.robot, &mut |array, i, _| meanings.push(names.meaning(array, i)));
        meanings
    }

    fn action_meanings(&self) -> Vec<Meaning> {
        let names = self.robot.names();
        (0..self.action_space.len()).map(|i| names.meaning("ctrl", i)).collect()
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.np_random = NpRandom::new(seed);
        }
        self.robot.simulation.reset()?;
        let (mut qpos, mut qvel) = (self.robot.init_qpos.clone(), self.robot.init_qvel.clone());
        self.task.start(&mut self.np_random, &mut qpos, &mut qvel);
        Ok(self.robot.simulation.set_state(&qpos, &qvel)?)
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let (Action::Continuous(action) | Action::Composite(action)) = action else {
            return Err(EnvError::invalid_action(&[action.index() as f32], &self.action_space));
        };
        self.task.step(&mut self.robot, action)
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        let mut slots = observation.iter_mut();
        self.task.observe(&self.robot, &mut |_, _, value| {
            if let Some(slot) = slots.next() {
                *slot = value as f32;
            }
        });
        Ok(())
    }

    fn try_clone(&self) -> Option<Box<dyn Env>> {
        Some(Box::new(Self {
            task: self.task.clone(),
            robot: Robot {
                simulation: self.robot.simulation.try_clone().ok()?,
                frame_skip: self.robot.frame_skip,
                init_qpos: self.robot.init_qpos.clone(),
                init_qvel: self.robot.init_qvel.clone(),
            },
            picture: Arc::clone(&self.picture),
            observation_space: self.observation_space.clone(),
            action_space: self.action_space.clone(),
            np_random: self.np_random.clone(),
            model_file: self.model_file.clone(),
        }))
    }

    fn option_files(&self) -> Result<Vec<OptionFile>, EnvError> {
        let Some(path) = self.model_file.clone() else { return Ok(Vec::new()) };
        let content = self.robot.simulation.model().to_bytes()?;
        Ok(vec![OptionFile { option: "xml_file".into(), path, content, extension: BINARY }])
    }

    fn frame_size(&self) -> (u32, u32) {
        self.picture.size()
    }

    fn draw(&self, canvas: &mut Canvas) {
        self.picture.draw(&self.robot.simulation, canvas);
    }

    fn info(&self) -> Info {
        let mut info = self.task.info(&self.robot);
        let warnings: Vec<_> = self.robot.simulation.warnings().collect();
        if !warnings.is_empty() {
            info.insert("mujoco_warnings".into(), json!(warnings));
        }
        info
    }

    fn trace(&self) -> Trace {
        let mut observation = Vec::new();
        self.task.observe(&self.robot, &mut |_, _, value| observation.push(value));
        Trace {
            state: [self.robot.qpos(), self.robot.qvel()].concat(),
            observation,
            ..Trace::default()
        }
    }
}

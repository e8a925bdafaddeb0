//! Environments: the trait, the harness around one environment, and the table of all of them.
//!
//! An environment is pure dynamics, equal to Gymnasium 1.1.1's number for number. What every environment
//! shares (time limits, checking actions) lives in [`TimeLimit`], and what is known without building one
//! lives in its row of [`ENVS`]. Adding an environment means one file and one row.

use std::fmt;

use crate::names;
use crate::policy::Policy;
use crate::video::Canvas;

pub mod box2d;
pub mod classic_control;
mod numpy;
mod pixels;
mod space;
pub mod toy_text;
pub mod trace;
mod vector;

pub use pixels::{Channels, Crop, Pixels, PixelsSpec};
pub use space::{Action, Space};
pub use vector::{Episode, VectorEnv};

/// What one call of [`Env::step`] yields.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The reward of this transition, in the precision that the reference computes it in.
    pub reward: f64,
    /// Whether the transition ended the task itself (never because of a time limit).
    pub terminated: bool,
}

/// What an environment tells beside the observation, as Gymnasium's `info` dictionary does.
pub type Info = serde_json::Map<String, serde_json::Value>;

/// Constructor options of an environment, as written under `environment.options`.
pub type Options = serde_json::Map<String, serde_json::Value>;

/// A failure inside an environment, or an action that it cannot take.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EnvError {
    /// The action lies outside the action space, or holds a NaN.
    #[error("action {action} is not in the action space {space}")]
    InvalidAction {
        /// The action as it was given.
        action: String,
        /// The environment's action space.
        space: String,
    },
    /// The physics engine refused to go on.
    #[error("the physics engine failed: {0}")]
    Physics(String),
}

impl EnvError {
    #[cold]
    fn invalid_action(action: &[f32], space: &Space) -> Self {
        Self::InvalidAction { action: format!("{action:?}"), space: space.to_string() }
    }
}

/// A Markov decision process: dynamics only, no time limit, no checking.
///
/// Callers go through [`TimeLimit`], which refuses actions outside the space before they arrive here.
///
/// Dynamics and observation are apart, as in the definition of a partially observable process: an observation
/// may cost many times its step (CarRacing's is a picture), and not everyone who steps looks. Planners on copies
/// of an environment and policies that see pixels of another picture do not.
///
/// Implementations are not required to be `Send`: a trial is a process of its own and steps its
/// environments on one thread.
pub trait Env {
    /// The space that observations come from.
    fn observation_space(&self) -> &Space;

    /// The space that actions come from.
    fn action_space(&self) -> &Space;

    /// Starts an episode. `Some(seed)` reseeds the random stream as Gymnasium's `reset(seed=…)` does,
    /// `None` lets the stream go on.
    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError>;

    /// Advances one step with an action of the action space.
    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError>;

    /// Writes what is observed of the present state into a buffer of `observation_space().len()` numbers, a
    /// discrete observation as its number. Allocates nothing but what a rasteriser needs; never advances the
    /// state.
    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError>;

    /// A copy in the same state whose random stream goes on alike, for planning; `None` where the state cannot
    /// be copied (a physics engine's).
    fn try_clone(&self) -> Option<Box<dyn Env>> {
        None
    }

    /// Width and height of [`Env::draw`]'s picture in pixels, Gymnasium's native size.
    fn frame_size(&self) -> (u32, u32);

    /// Draws the present state; never advances it.
    fn draw(&self, canvas: &mut Canvas);

    /// The point of [`Env::draw`]'s picture, in its pixels, that a cropped view is centred on: what moves
    /// about in it, or its middle where nothing does.
    fn focus(&self) -> (f32, f32) {
        let (width, height) = self.frame_size();
        (width as f32 / 2.0, height as f32 / 2.0)
    }

    /// The `info` of the last reset or step; empty for most environments.
    fn info(&self) -> Info {
        Info::new()
    }

    /// The internal state as the goldens record it (`state`), for traces; empty where there is none.
    fn state(&self) -> Vec<f64> {
        Vec::new()
    }

    /// What the last reset built (terrain, track), as the goldens record it (`reset_layout`), for traces;
    /// empty where there is nothing.
    fn layout(&self) -> Info {
        Info::new()
    }
}

/// A transition as the harness sees it: termination and truncation kept apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transition {
    /// The reward of this transition.
    pub reward: f64,
    /// The task ended.
    pub terminated: bool,
    /// The time limit ended the episode; value targets bootstrap through it.
    pub truncated: bool,
}

impl Transition {
    /// Whether the episode is over, for either reason.
    pub fn done(self) -> bool {
        self.terminated || self.truncated
    }
}

/// An environment with its time limit and checked actions (Gymnasium's `TimeLimit` wrapper).
pub struct TimeLimit {
    env: Box<dyn Env>,
    max_episode_steps: Option<u32>,
    elapsed: u32,
}

impl TimeLimit {
    /// Wraps `env`; `None` means no limit.
    pub fn new(env: Box<dyn Env>, max_episode_steps: Option<u32>) -> Self {
        Self { env, max_episode_steps, elapsed: 0 }
    }

    /// The environment inside.
    pub fn env(&self) -> &dyn Env {
        &*self.env
    }

    /// Steps taken since the last reset.
    pub fn elapsed_steps(&self) -> u32 {
        self.elapsed
    }

    /// Starts an episode and observes its first state; see [`Env::reset`] and [`Env::observe`].
    pub fn reset(&mut self, seed: Option<u64>, observation: &mut [f32]) -> Result<(), EnvError> {
        self.elapsed = 0;
        self.env.reset(seed)?;
        self.env.observe(observation)
    }

    /// Advances one step and observes. `action` is the flat form of an action: one number, the index, for a
    /// discrete space, and one number a dimension for a box.
    ///
    /// # Errors
    /// [`EnvError::InvalidAction`] where `action` is not in the action space, before anything moved.
    pub fn step(
        &mut self,
        action: &[f32],
        observation: &mut [f32],
    ) -> Result<Transition, EnvError> {
        let space = self.env.action_space();
        let Some(checked) = space.action(action) else {
            return Err(EnvError::invalid_action(action, space));
        };
        let transition = self.step_checked(checked)?;
        self.env.observe(observation)?;
        Ok(transition)
    }

    /// [`TimeLimit::step`] with an action that is known to be in the action space, without observing.
    #[inline]
    fn step_checked(&mut self, action: Action<'_>) -> Result<Transition, EnvError> {
        let Step { reward, terminated } = self.env.step(action)?;
        self.elapsed += 1;
        let truncated = self.max_episode_steps.is_some_and(|limit| self.elapsed >= limit);
        Ok(Transition { reward, terminated, truncated })
    }
}

/// The families that environments are grouped by, as Gymnasium groups them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Cart-pole, pendulum and their kin.
    ClassicControl,
    /// Small tabular worlds.
    ToyText,
    /// Physics by Box2D.
    Box2d,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::ClassicControl => "classic control",
            Family::ToyText => "toy text",
            Family::Box2d => "Box2D",
        })
    }
}

/// A hard-coded policy that an environment ships by name.
pub struct BuiltinPolicy {
    /// The name used in `{"type": "hard-coded", "name": …}`.
    pub name: &'static str,
    /// One line on what it does and where it comes from.
    pub summary: &'static str,
    /// Builds it for an environment with these options.
    pub make: fn(&Options) -> Result<Box<dyn Policy>, OptionsError>,
}

/// One row of [`ENVS`]: everything known about an environment before it is built.
pub struct EnvSpec {
    /// Gymnasium's id, for example `CartPole-v1`.
    pub id: &'static str,
    /// The family it is listed under.
    pub family: Family,
    /// One line: the task.
    pub summary: &'static str,
    /// Gymnasium's registered time limit in steps.
    pub max_episode_steps: Option<u32>,
    /// The mean return at which the task counts as solved.
    pub reward_threshold: Option<f64>,
    /// Frames per second of the reference's rendering: real time for the simulated seconds.
    pub render_fps: u32,
    /// Builds the environment from its options.
    pub make: fn(&Options) -> Result<Box<dyn Env>, OptionsError>,
    /// The JSON Schema of the options, with descriptions and defaults.
    pub options_schema: fn() -> schemars::Schema,
    /// Named numbers that hard-coded rules may use, in SI units where they have one.
    pub constants: &'static [(&'static str, f64)],
    /// Hard-coded policies by name.
    pub policies: &'static [BuiltinPolicy],
}

impl EnvSpec {
    /// The message for a name that is not among the built-in policies.
    pub fn unknown_policy(&self, name: &str) -> String {
        let known: Vec<_> = self.policies.iter().map(|policy| policy.name).collect();
        if known.is_empty() {
            return format!("{} ships no built-in policy; write a `rule`", self.id);
        }
        names::unknown("built-in policy", name, &known)
    }
}

/// Options that an environment does not take.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct OptionsError {
    /// The path of the field below `options`, empty for the whole.
    pub path: String,
    /// What is wrong, as a fragment that reads after "failed to".
    pub message: String,
}

/// Reads an environment's own configuration type from `options`.
///
/// # Errors
/// Names the field that could not be read.
pub fn config<C: serde::de::DeserializeOwned>(options: &Options) -> Result<C, OptionsError> {
    let value = serde_json::Value::Object(options.clone());
    serde_path_to_error::deserialize(value).map_err(|error| OptionsError {
        path: error.path().to_string().trim_start_matches('.').to_owned(),
        message: error.into_inner().to_string(),
    })
}

/// Every environment, in the order `rushes envs` lists them.
pub static ENVS: &[&EnvSpec] = &[
    &classic_control::cartpole::V0,
    &classic_control::cartpole::V1,
    &classic_control::mountain_car::V0,
    &classic_control::mountain_car_continuous::V0,
    &classic_control::pendulum::V1,
    &classic_control::acrobot::V1,
    &toy_text::blackjack::V1,
    &toy_text::frozen_lake::V1,
    &toy_text::frozen_lake::LARGE_V1,
    &toy_text::cliff_walking::V0,
    &toy_text::taxi::V3,
    &box2d::lunar_lander::V3,
    &box2d::lunar_lander::CONTINUOUS_V3,
    &box2d::bipedal_walker::V3,
    &box2d::bipedal_walker::HARDCORE_V3,
    &box2d::car_racing::V3,
];

/// The row of [`ENVS`] with this id.
pub fn find(id: &str) -> Option<&'static EnvSpec> {
    ENVS.iter().copied().find(|spec| spec.id == id)
}

/// The message for an id that is not in [`ENVS`]: names the nearest one, or all.
pub fn unknown(id: &str) -> String {
    let near = ENVS
        .iter()
        .map(|spec| (strsim::jaro_winkler(&id.to_lowercase(), &spec.id.to_lowercase()), spec.id))
        .filter(|(similarity, _)| *similarity > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, near)) => format!("unknown environment \"{id}\"; did you mean \"{near}\"?"),
        None => format!("unknown environment \"{id}\"; `rushes envs` lists all of them"),
    }
}

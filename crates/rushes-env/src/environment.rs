//! The trait of environments, and how they fail.

use serde_json::Value;

use crate::draw::Canvas;
use crate::meaning::Meaning;
use crate::option_file::OptionFile;
use crate::space::{Action, Space};

/// What one call of [`Env::step`] yields.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The reward of this transition, in the precision that the reference computes it in.
    pub reward: f64,
    /// Whether the transition ended the task itself (never because of a time limit).
    pub terminated: bool,
    /// Whether something outside of the task ended the episode, as a time limit does; value targets bootstrap
    /// through it. Environments of this crate leave it to [`crate::TimeLimit`].
    pub truncated: bool,
}

impl Step {
    /// A transition that is not truncated.
    pub fn new(reward: f64, terminated: bool) -> Self {
        Self { reward, terminated, truncated: false }
    }

    /// Whether the episode is over, for either reason.
    pub fn done(self) -> bool {
        self.terminated || self.truncated
    }
}

/// What an environment tells beside the observation, as Gymnasium's `info` dictionary does.
pub type Info = serde_json::Map<String, serde_json::Value>;

/// Constructor options of an environment, as written under `environment.options`.
pub type Options = serde_json::Map<String, serde_json::Value>;

/// What recordings compare beside observations and rewards; see [`crate::trace`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    /// The internal state in double precision; empty where there is none.
    pub state: Vec<f64>,
    /// The observation in double precision, where the reference's is; empty where single precision holds it.
    pub observation: Vec<f64>,
    /// What the last reset built (terrain, track); empty where there is nothing.
    pub layout: Info,
}

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
    /// A reward that is NaN, infinite, or too large for single precision.
    #[error("the environment gave the reward {0:e}, expected a number between -3.4e38 and 3.4e38")]
    Reward(f64),
    /// An observation with a number that is NaN or infinite.
    #[error("the environment gave the observation {0}, expected finite numbers")]
    Observation(f32),
    /// A step, an observation or a drawing before the first [`Env::reset`].
    #[error("the environment was never reset")]
    NeverReset,
    /// Only valid actions are to be taken, and the environment does not tell which those are.
    #[error("expected an action mask of the environment, found {0}")]
    ActionMask(String),
    /// The physics engine refused to go on.
    #[error("the physics engine failed: {0}")]
    Physics(String),
    /// Options drawn for an episode that the environment does not take.
    #[error("the environment does not take the options drawn for this episode: {0}")]
    Options(String),
    /// The process that runs the environment failed.
    #[error("the environment's process failed: {0}")]
    Process(String),
}

impl EnvError {
    #[cold]
    pub(crate) fn invalid_action(action: &[f32], space: &Space) -> Self {
        Self::InvalidAction { action: format!("{action:?}"), space: space.to_string() }
    }
}

#[cfg(box2d)]
impl From<rushes_box2d::PhysicsError> for EnvError {
    fn from(error: rushes_box2d::PhysicsError) -> Self {
        Self::Physics(error.to_string())
    }
}

/// A Markov decision process: dynamics only, no time limit, no checking.
///
/// Callers go through [`crate::TimeLimit`], which refuses actions outside the space before they arrive here.
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

    /// What each number of an observation means, of a tuple each part, of a discrete space each value; empty where there
    /// is nothing to tell, as of a picture.
    fn observation_meanings(&self) -> Vec<Meaning> {
        Vec::new()
    }

    /// What each number of an action means, or each action of a discrete space.
    fn action_meanings(&self) -> Vec<Meaning> {
        Vec::new()
    }

    /// Starts an episode. `Some(seed)` reseeds the random stream as Gymnasium's `reset(seed=…)` does,
    /// `None` lets the stream go on.
    ///
    /// # Errors
    /// Fails if the physics engine or the environment's process does.
    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError>;

    /// Takes other options from the next reset on, and says whether it could: an environment that cannot, as by
    /// default, is built again where its options change.
    ///
    /// # Errors
    /// Fails if the options are wrong, or the environment's process fails.
    fn configure(&mut self, _options: &Options) -> Result<bool, EnvError> {
        Ok(false)
    }

    /// Starts a step without waiting for its end, where the environment runs elsewhere; [`Env::step`] with the
    /// same action then waits. [`crate::VectorEnv`] sends to all its copies before it waits for any. `next_seed`
    /// is what [`Env::reset`] will be called with, should the step end the episode: the environment may start the
    /// next one at once, as long as [`Env::observe`] tells the last observation until then. Does nothing by default.
    ///
    /// # Errors
    /// Fails if the environment's process does.
    fn send(&mut self, _action: Action<'_>, _next_seed: Option<u64>) -> Result<(), EnvError> {
        Ok(())
    }

    /// Whether [`Env::send`] does anything.
    fn is_remote(&self) -> bool {
        false
    }

    /// Advances one step with an action of the action space.
    ///
    /// # Errors
    /// Fails before the first reset, and if the physics engine or the environment's process does.
    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError>;

    /// Writes what is observed of the present state into a buffer of `observation_space().len()` numbers, a
    /// discrete observation as its number. Allocates nothing but what a rasteriser needs; never advances the
    /// state.
    ///
    /// # Errors
    /// Fails before the first reset, where there is nothing to observe.
    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError>;

    /// A copy in the same state whose random stream goes on alike, for planning; `None` where the state cannot
    /// be copied.
    fn try_clone(&self) -> Option<Box<dyn Env>> {
        None
    }

    /// Width and height of [`Env::draw`]'s picture in pixels, Gymnasium's native size.
    fn frame_size(&self) -> (u32, u32);

    /// Why [`Env::draw`] or [`Env::info`], which cannot fail, drew or told nothing, where the environment runs
    /// elsewhere; whoever films asks.
    fn failure(&self) -> Option<EnvError> {
        None
    }

    /// Draws the present state; never advances it.
    fn draw(&self, canvas: &mut Canvas);

    /// The point of [`Env::draw`]'s picture, in its pixels, that a cropped view is centred on: what moves
    /// about in it, or its middle where nothing does.
    fn focus(&self) -> (f32, f32) {
        let (width, height) = self.frame_size();
        (width as f32 / 2.0, height as f32 / 2.0)
    }

    /// The files that its options name and that decide what it is; for most environments there are none.
    ///
    /// # Errors
    /// Fails if one cannot be told.
    fn option_files(&self) -> Result<Vec<OptionFile>, EnvError> {
        Ok(Vec::new())
    }

    /// The `info` of the last reset or step; empty for most environments.
    fn info(&self) -> Info {
        Info::new()
    }

    /// Which actions are valid in the present state: a flag for each value of a discrete action, of an action of several
    /// parts those of each part, one part after another; `None` where the environment does not tell. By default
    /// `action_mask` of [`Env::info`]. An environment of this process that tells masks tells one before the first reset
    /// too. Whoever depends on masks asks [`crate::valid_actions`], which checks them.
    fn action_mask(&self) -> Option<Vec<bool>> {
        mask_of(&self.info())
    }

    /// What recordings compare beside observations; empty for most environments.
    fn trace(&self) -> Trace {
        Trace::default()
    }
}

/// The mask that `info` holds under `action_mask`, as in Gymnasium's Taxi: a list of booleans or of 0 and 1, or for
/// actions of several parts a list of such lists. `None` where there is none, or another value.
pub(crate) fn mask_of(info: &Info) -> Option<Vec<bool>> {
    let mut mask = Vec::new();
    flags(info.get("action_mask")?, &mut mask).then_some(mask)
}

/// Appends the flags of `value`, and says whether there was nothing else in it.
fn flags(value: &Value, mask: &mut Vec<bool>) -> bool {
    match value {
        Value::Array(values) => values.iter().all(|value| flags(value, mask)),
        Value::Bool(valid) => {
            mask.push(*valid);
            true
        }
        Value::Number(number) if [Some(0.0), Some(1.0)].contains(&number.as_f64()) => {
            mask.push(number.as_f64() == Some(1.0));
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn masks_are_flags_or_lists_of_them() {
        let of = |mask: Value| mask_of(&Info::from_iter([("action_mask".to_owned(), mask)]));
        assert_eq!(of(json!([0, 1, 1.0])), Some(vec![false, true, true]));
        assert_eq!(of(json!([[true, false], [1]])), Some(vec![true, false, true]));
        for other in [json!([0, 2]), json!("01"), json!([null]), json!({})] {
            assert_eq!(of(other.clone()), None, "{other}");
        }
        assert_eq!(mask_of(&Info::new()), None);
    }
}

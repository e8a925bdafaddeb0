//! One copy of an environment, whichever thread steps it, and the numbers that its observations have in Python.

use std::cell::RefCell;

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use rushes_env::draw::Canvas;
use rushes_env::space::Dtype;
use rushes_env::spec::MUJOCO;
use rushes_env::{Action, EnvError, Options, Space, Step, TimeLimit};
use serde_json::{Value, json};
use sync_wrapper::SyncWrapper;

thread_local! {
    /// Where observations wait that get another type in Python: one for all copies that a thread steps, so that it stays
    /// in the processor's cache.
    static FLAT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// One copy of an environment.
pub(crate) struct Copy {
    /// Only whoever has the copy for itself may look at it.
    env: SyncWrapper<TimeLimit>,
    /// Whether there was a reset, without which nothing may happen.
    started: bool,
    /// What the last step yielded; after a reset nothing.
    pub(crate) step: Step,
}

// SAFETY: the environments of `rushes-env`'s own table, the only ones made here, hold nothing of a thread: their counted
// pointers are shared with no other environment (nothing here copies one), what a thread keeps for all of its copies is
// borrowed within one call only, a Box2D world is memory of its own (its library's only globals are tables that the first
// world fills and nobody writes to later), and MuJoCo's simulations can be sent anyway.
unsafe impl Send for Copy {}

impl Copy {
    /// Starts an episode, to be observed; see [`rushes_env::Env::reset`].
    pub(crate) fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        self.step = Step::new(0.0, false);
        self.env.get_mut().begin(seed)?;
        self.started = true;
        Ok(())
    }

    /// Advances by one step with an action of the action space.
    pub(crate) fn advance(&mut self, action: Action<'_>) -> Result<(), EnvError> {
        if !self.started {
            return Err(EnvError::NeverReset);
        }
        self.step = self.env.get_mut().step_checked(action)?;
        Ok(())
    }

    /// Writes what it observes of its present state, each number as `number` has it.
    fn observe<T>(&mut self, to: &mut [T], number: impl Fn(f32) -> T) -> Result<(), EnvError> {
        FLAT.with_borrow_mut(|flat| {
            flat.resize(to.len(), 0.0);
            self.env.get_mut().observe(flat)?;
            to.iter_mut().zip(flat).for_each(|(to, from)| *to = number(*from));
            Ok(())
        })
    }

    /// What it tells beside the observation.
    pub(crate) fn info(&mut self) -> rushes_env::Info {
        self.env.get_mut().env().info()
    }

    /// Height, width and the rows of its picture, 3 bytes a pixel.
    pub(crate) fn picture(&mut self) -> Result<(usize, usize, Vec<u8>), EnvError> {
        if !self.started {
            return Err(EnvError::NeverReset);
        }
        let (width, height) = self.env.get_mut().env().frame_size();
        let mut canvas = Canvas::new(width, height);
        self.env.get_mut().env().draw(&mut canvas);
        let rgb = canvas.rgba().as_chunks::<4>().0.iter();
        let rgb = rgb.flat_map(|&[red, green, blue, _]| [red, green, blue]).collect();
        Ok((height as usize, width as usize, rgb))
    }

    pub(crate) fn action_space(&mut self) -> &Space {
        self.env.get_mut().env().action_space()
    }
}

/// The type that an environment's observations have in Gymnasium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Boxes of real numbers in single precision.
    F32,
    /// MuJoCo's boxes, in double precision.
    F64,
    /// Pictures.
    U8,
    /// Discrete spaces and tuples of them.
    I64,
}

/// A number of an observation as Python sees it.
pub(crate) trait Number: numpy::Element + std::marker::Copy + Default + Send {
    /// Writes what `copy` observes of its present state.
    fn observe(copy: &mut Copy, to: &mut [Self]) -> Result<(), EnvError>;
}

impl Number for f32 {
    fn observe(copy: &mut Copy, to: &mut [f32]) -> Result<(), EnvError> {
        copy.env.get_mut().observe(to)
    }
}

impl Number for f64 {
    fn observe(copy: &mut Copy, to: &mut [f64]) -> Result<(), EnvError> {
        // For the check that they are finite: the exact numbers are the trace's.
        copy.observe(to, f64::from)?;
        to.copy_from_slice(&copy.env.get_mut().env().trace().observation);
        Ok(())
    }
}

impl Number for u8 {
    fn observe(copy: &mut Copy, to: &mut [u8]) -> Result<(), EnvError> {
        copy.observe(to, |number| number as u8)
    }
}

impl Number for i64 {
    fn observe(copy: &mut Copy, to: &mut [i64]) -> Result<(), EnvError> {
        copy.observe(to, |number| number as i64)
    }
}

/// Copies of one environment and what is the same of all.
pub(crate) struct Made {
    /// The copies.
    pub(crate) copies: Vec<Copy>,
    /// How many numbers one observes.
    pub(crate) width: usize,
    /// Their type.
    pub(crate) kind: Kind,
    /// The spaces and the frame's size, as JSON for Python.
    pub(crate) description: String,
}

/// Makes copies of the environment `id` with `options`, a JSON object.
pub(crate) fn make(
    id: &str,
    options: &str,
    copies: usize,
    max_episode_steps: Option<u32>,
) -> PyResult<Made> {
    let spec =
        rushes_env::find(id).ok_or_else(|| PyValueError::new_err(rushes_env::unknown(id)))?;
    let options: Options = serde_json::from_str(options)
        .map_err(|error| PyValueError::new_err(format!("the options of {id}: {error}")))?;
    if copies == 0 {
        return Err(PyValueError::new_err("num_envs is 0, expected at least 1"));
    }
    let made = (0..copies).map(|_| {
        let env = (spec.make)(&options).map_err(|problem| {
            let text = format!("{id}: {problem}");
            match problem.message.starts_with("unknown field") {
                true => PyTypeError::new_err(text),
                false => PyValueError::new_err(text),
            }
        })?;
        let env = TimeLimit::new(env, max_episode_steps);
        Ok(Copy { env: SyncWrapper::new(env), started: false, step: Step::new(0.0, false) })
    });
    let mut copies = made.collect::<PyResult<Vec<_>>>()?;
    let env = copies[0].env.get_mut().env();
    let space = env.observation_space();
    let kind = match space {
        Space::Box { dtype: Dtype::Uint8, .. } => Kind::U8,
        Space::Box { .. } if spec.family == MUJOCO => Kind::F64,
        Space::Box { .. } => Kind::F32,
        _ if space.discrete_parts().is_some() => Kind::I64,
        _ => {
            return Err(PyValueError::new_err(format!(
                "{id} observes {space}, which has no array"
            )));
        }
    };
    let (width, height) = env.frame_size();
    let description = json!({
        "observation": described(space, kind),
        "action": described(env.action_space(), Kind::F32),
        "frame": [height, width, 3],
    });
    let width = space.len();
    Ok(Made { width, kind, description: description.to_string(), copies })
}

/// A space for Python: as `serde` writes it, with NumPy's name of a box's numbers; a picture without its bounds, which
/// are many and known.
fn described(space: &Space, kind: Kind) -> Value {
    match (space, kind) {
        (Space::Box { shape, .. }, Kind::U8) => {
            json!({"type": "box", "dtype": "uint8", "low": 0, "high": 255, "shape": shape})
        }
        (Space::Box { .. }, Kind::F64) => {
            let mut value = json!(space);
            value["dtype"] = "float64".into();
            value
        }
        _ => json!(space),
    }
}

/// A failure as Python's exception.
pub(crate) fn raised(error: &EnvError) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

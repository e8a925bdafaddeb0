//! Many copies, stepped together by one thread or several, into arrays that stay where they are.

use numpy::{
    AllowTypeChange, Element, PyArray1, PyArray2, PyArray3, PyArrayDyn, PyArrayLikeDyn,
    PyArrayMethods as _, PyUntypedArrayMethods as _,
};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rayon::prelude::*;
use rushes_env::{Action, EnvError, Space};

use crate::copies::{self, Copy, Kind, Made, Number};
use crate::info;

/// Copies of an environment. Which of them reset, and when, is the caller's.
#[pyclass(module = "rushes._rushes")]
pub(crate) struct Vector {
    buffered: Buffered,
    description: String,
    action_space: Space,
    /// The flat actions of the last step.
    actions: Vec<f32>,
}

/// Copies and the arrays that they write into, in which each has a row.
struct Buffered {
    copies: Vec<Copy>,
    rows: Rows,
    rewards: Py<PyArray1<f64>>,
    terminated: Py<PyArray1<bool>>,
    truncated: Py<PyArray1<bool>>,
    /// Steps the copies; `None` where the caller's thread does.
    pool: Option<rayon::ThreadPool>,
}

/// What the copies observe, one row each.
enum Rows {
    F32(Py<PyArray2<f32>>),
    F64(Py<PyArray2<f64>>),
    U8(Py<PyArray2<u8>>),
    I64(Py<PyArray2<i64>>),
}

type Infos<'py> = Vec<(usize, Bound<'py, PyDict>)>;

type Stepped<'py> = (Told<'py, f64>, Told<'py, bool>, Told<'py, bool>, bool, Infos<'py>);
type Told<'py, T> = Bound<'py, PyArray1<T>>;

/// One of [`Buffered`]'s arrays, or a copy of it.
fn returned<'py, T: Element + std::marker::Copy>(
    py: Python<'py>,
    array: &Py<PyArray1<T>>,
    copy: bool,
) -> PyResult<Told<'py, T>> {
    let array = array.bind(py);
    match copy {
        // To ask the crate `numpy`'s table of borrowed arrays would take a twentieth of a step of 64 CartPoles.
        // SAFETY: as in `run_into`.
        true => Ok(PyArray1::from_slice(py, unsafe { array.as_slice()? })),
        false => Ok(array.clone()),
    }
}

/// What one copy is to do.
enum Task<'a> {
    Nothing,
    Reset(Option<u64>),
    /// An action of the action space.
    Step(Action<'a>),
}

#[pymethods]
impl Vector {
    /// `num_envs` copies of the environment `id` with `options`, a JSON object, stepped by `threads` threads.
    #[new]
    fn new(
        py: Python<'_>,
        id: &str,
        options: &str,
        num_envs: usize,
        max_episode_steps: Option<u32>,
        threads: usize,
    ) -> PyResult<Self> {
        if threads == 0 {
            return Err(PyValueError::new_err("threads is 0, expected at least 1"));
        }
        let Made { mut copies, width, kind, description } =
            copies::make(id, options, num_envs, max_episode_steps)?;
        let shape = [num_envs, width];
        let rows = match kind {
            Kind::F32 => Rows::F32(PyArray2::zeros(py, shape, false).unbind()),
            Kind::F64 => Rows::F64(PyArray2::zeros(py, shape, false).unbind()),
            Kind::U8 => Rows::U8(PyArray2::zeros(py, shape, false).unbind()),
            Kind::I64 => Rows::I64(PyArray2::zeros(py, shape, false).unbind()),
        };
        let pool = || rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = (threads > 1).then(pool).transpose();
        let action_space = copies[0].action_space().clone();
        Ok(Self {
            description,
            actions: vec![0.0; num_envs * action_space.len()],
            action_space,
            buffered: Buffered {
                copies,
                rows,
                rewards: PyArray1::zeros(py, num_envs, false).unbind(),
                terminated: PyArray1::zeros(py, num_envs, false).unbind(),
                truncated: PyArray1::zeros(py, num_envs, false).unbind(),
                pool: pool.map_err(|error| PyRuntimeError::new_err(error.to_string()))?,
            },
        })
    }

    /// The spaces and the frame's size, as JSON.
    #[getter]
    fn description(&self) -> &str {
        &self.description
    }

    /// The array that observations are written into, one row a copy.
    #[getter]
    fn rows<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match &self.buffered.rows {
            Rows::F32(rows) => rows.bind(py).clone().into_any(),
            Rows::F64(rows) => rows.bind(py).clone().into_any(),
            Rows::U8(rows) => rows.bind(py).clone().into_any(),
            Rows::I64(rows) => rows.bind(py).clone().into_any(),
        }
    }

    /// Starts an episode in the copies of `mask`, each with its seed or, where that is None, its stream going on.
    /// Returns the infos of those that have one, each with its copy.
    fn reset<'py>(
        &mut self,
        py: Python<'py>,
        seeds: Vec<Option<u64>>,
        mask: Vec<bool>,
    ) -> PyResult<Infos<'py>> {
        self.buffered.run(py, |i, _| match mask[i] {
            true => Task::Reset(seeds[i]),
            false => Task::Nothing,
        })?;
        self.buffered.infos(py, |i| mask[i])
    }

    /// Advances every copy by one step with its row of `actions`, an array or what NumPy makes one of; with `autoreset`,
    /// a copy whose episode is over resets instead, for a reward of 0. Returns rewards, terminated and truncated, copies
    /// of the arrays if `copy`, whether an episode ended, and the infos of the copies that have one.
    fn step<'py>(
        &mut self,
        py: Python<'py>,
        actions: &Bound<'py, PyAny>,
        autoreset: bool,
        copy: bool,
    ) -> PyResult<Stepped<'py>> {
        self.read(actions)?;
        let (space, width) = (&self.action_space, self.action_space.len());
        let copies = self.actions.chunks_exact(width).zip(&self.buffered.copies);
        for (i, (action, copy)) in copies.enumerate() {
            if !(space.contains(action) || autoreset && copy.step.done()) {
                return Err(PyValueError::new_err(format!(
                    "the action {action:?} of copy {i} is not in the action space {space}"
                )));
            }
        }
        self.buffered.run(py, |i, over| match autoreset && over {
            true => Task::Reset(None),
            false => Task::Step(space.action_unchecked(&self.actions[i * width..(i + 1) * width])),
        })?;
        let ended = self.buffered.copies.iter().any(|copy| copy.step.done());
        let infos = self.buffered.infos(py, |_| true)?;
        let Buffered { rewards, terminated, truncated, .. } = &self.buffered;
        let [terminated, truncated] =
            [returned(py, terminated, copy)?, returned(py, truncated, copy)?];
        Ok((returned(py, rewards, copy)?, terminated, truncated, ended, infos))
    }

    /// Which copies' episodes are over and wait for a reset.
    fn over(&self) -> Vec<bool> {
        self.buffered.copies.iter().map(|copy| copy.step.done()).collect()
    }

    /// The picture of copy `i`, uint8 of height × width × 3.
    fn render<'py>(&mut self, py: Python<'py>, i: usize) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let (height, width, rgb) =
            self.buffered.copies[i].picture().map_err(|error| copies::raised(&error))?;
        PyArray1::from_vec(py, rgb).reshape([height, width, 3])
    }
}

impl Vector {
    /// Keeps `actions` as flat numbers. Whole numbers, which sampled discrete actions are, are read where they lie;
    /// NumPy converts other types.
    fn read(&mut self, actions: &Bound<'_, PyAny>) -> PyResult<()> {
        let (copies, space) = (self.buffered.copies.len(), &self.action_space);
        let fits = |shape: &[usize], numbers: usize| match shape.first() == Some(&copies)
            && shape.iter().product::<usize>() == numbers
        {
            true => Ok(()),
            false => Err(PyValueError::new_err(format!(
                "actions have the shape {shape:?}, expected one of {space} for each of the {copies} copies"
            ))),
        };
        let kept = &mut self.actions;
        if let Ok(whole) = actions.cast::<PyArrayDyn<i64>>() {
            fits(whole.shape(), kept.len())?;
            let whole = whole.try_readonly()?;
            kept.iter_mut().zip(whole.as_array()).for_each(|(to, &from)| *to = from as f32);
        } else {
            let numbers: PyArrayLikeDyn<'_, f32, AllowTypeChange> = actions.extract()?;
            fits(numbers.shape(), kept.len())?;
            kept.iter_mut().zip(numbers.as_array()).for_each(|(to, &from)| *to = from);
        }
        Ok(())
    }
}

impl Buffered {
    /// The infos of the copies that `told` names and that have one.
    fn infos<'py>(
        &mut self,
        py: Python<'py>,
        told: impl Fn(usize) -> bool,
    ) -> PyResult<Infos<'py>> {
        let copies = self.copies.iter_mut().enumerate().filter(|(i, _)| told(*i));
        let infos = copies.map(|(i, copy)| (i, copy.info()));
        infos
            .filter(|(_, info)| !info.is_empty())
            .map(|(i, info)| Ok((i, info::dictionary(py, &info)?)))
            .collect()
    }

    /// Lets every copy do what `task` says for its number and whether its episode is over.
    fn run<'a>(
        &mut self,
        py: Python<'_>,
        task: impl Fn(usize, bool) -> Task<'a> + Sync,
    ) -> PyResult<()> {
        match &self.rows {
            Rows::F32(rows) => {
                let rows = rows.clone_ref(py);
                self.run_into(py, &rows, task)
            }
            Rows::F64(rows) => {
                let rows = rows.clone_ref(py);
                self.run_into(py, &rows, task)
            }
            Rows::U8(rows) => {
                let rows = rows.clone_ref(py);
                self.run_into(py, &rows, task)
            }
            Rows::I64(rows) => {
                let rows = rows.clone_ref(py);
                self.run_into(py, &rows, task)
            }
        }
    }

    fn run_into<'a, T: Number>(
        &mut self,
        py: Python<'_>,
        rows: &Py<PyArray2<T>>,
        task: impl Fn(usize, bool) -> Task<'a> + Sync,
    ) -> PyResult<()> {
        // SAFETY: the arrays were made contiguous by `new` and live as long as `self`, which `&mut self` lends to nobody
        // else meanwhile. Python reads them between calls; who reads one from another thread during a call sees numbers
        // of both steps, as with every buffer that NumPy shares.
        let (rows, rewards, terminated, truncated) = unsafe {
            (
                rows.bind(py).as_slice_mut()?,
                self.rewards.bind(py).as_slice_mut()?,
                self.terminated.bind(py).as_slice_mut()?,
                self.truncated.bind(py).as_slice_mut()?,
            )
        };
        let (copies, pool) = (&mut self.copies, &self.pool);
        let width = rows.len() / copies.len();
        let one = |(i, (copy, row)): (usize, (&mut Copy, &mut [T]))| {
            match task(i, copy.step.done()) {
                Task::Nothing => return Ok(()),
                Task::Reset(seed) => copy.reset(seed)?,
                Task::Step(action) => copy.advance(action)?,
            }
            T::observe(copy, row)
        };
        py.detach(|| -> Result<(), EnvError> {
            match pool {
                None => {
                    let rows = rows.chunks_exact_mut(width);
                    copies.iter_mut().zip(rows).enumerate().try_for_each(one)
                }
                Some(pool) => pool.install(|| {
                    let rows = rows.par_chunks_exact_mut(width);
                    copies.par_iter_mut().zip(rows).enumerate().try_for_each(one)
                }),
            }
        })
        .map_err(|error| copies::raised(&error))?;
        let told = rewards.iter_mut().zip(terminated).zip(truncated);
        for (Copy { step, .. }, ((reward, terminated), truncated)) in self.copies.iter().zip(told) {
            (*reward, *terminated, *truncated) = (step.reward, step.terminated, step.truncated);
        }
        Ok(())
    }
}

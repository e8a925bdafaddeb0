//! Many copies, stepped together by one thread or several, into arrays that stay where they are.

use numpy::{PyArray1, PyArray2, PyArray3, PyArrayMethods as _, PyReadonlyArray2};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rayon::prelude::*;
use rushes_env::EnvError;

use crate::copies::{self, Copy, Kind, Made, Number};
use crate::info;

/// What the copies observe, one row each.
enum Rows {
    F32(Py<PyArray2<f32>>),
    F64(Py<PyArray2<f64>>),
    U8(Py<PyArray2<u8>>),
    I64(Py<PyArray2<i64>>),
}

/// Copies of an environment. Which of them reset, and when, is the caller's.
#[pyclass(module = "rushes._rushes")]
pub(crate) struct Vector {
    copies: Vec<Copy>,
    description: String,
    rows: Rows,
    rewards: Py<PyArray1<f64>>,
    terminated: Py<PyArray1<bool>>,
    truncated: Py<PyArray1<bool>>,
    /// Whose episode is over.
    over: Vec<bool>,
    /// Steps the copies; `None` where the caller's thread does.
    pool: Option<rayon::ThreadPool>,
}

type Buffers<'py> = (Bound<'py, PyAny>, Py<PyArray1<f64>>, Py<PyArray1<bool>>, Py<PyArray1<bool>>);
type Infos<'py> = Vec<(usize, Bound<'py, PyDict>)>;

/// What one copy is to do.
enum Task<'a> {
    Nothing,
    Reset(Option<u64>),
    Step(&'a [f32]),
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
        let Made { copies, width, kind, description } =
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
        Ok(Self {
            description,
            rows,
            rewards: PyArray1::zeros(py, num_envs, false).unbind(),
            terminated: PyArray1::zeros(py, num_envs, false).unbind(),
            truncated: PyArray1::zeros(py, num_envs, false).unbind(),
            over: vec![false; num_envs],
            pool: pool.map_err(|error| PyRuntimeError::new_err(error.to_string()))?,
            copies,
        })
    }

    /// The spaces and the frame's size, as JSON.
    #[getter]
    fn description(&self) -> &str {
        &self.description
    }

    /// The arrays that steps write into: observations (one row a copy), rewards, terminated, truncated.
    #[getter]
    fn buffers<'py>(&self, py: Python<'py>) -> Buffers<'py> {
        let rows = match &self.rows {
            Rows::F32(rows) => rows.bind(py).clone().into_any(),
            Rows::F64(rows) => rows.bind(py).clone().into_any(),
            Rows::U8(rows) => rows.bind(py).clone().into_any(),
            Rows::I64(rows) => rows.bind(py).clone().into_any(),
        };
        let [terminated, truncated] = [&self.terminated, &self.truncated].map(|a| a.clone_ref(py));
        (rows, self.rewards.clone_ref(py), terminated, truncated)
    }

    /// Starts an episode in the copies of `mask`, each with its seed or, where that is None, its stream going on.
    /// Returns the infos of those that have one, each with its copy.
    fn reset<'py>(
        &mut self,
        py: Python<'py>,
        seeds: Vec<Option<u64>>,
        mask: Vec<bool>,
    ) -> PyResult<Infos<'py>> {
        let tasks = mask.iter().zip(&seeds).map(|(&reset, &seed)| match reset {
            true => Task::Reset(seed),
            false => Task::Nothing,
        });
        let tasks: Vec<_> = tasks.collect();
        self.run(py, &tasks)?;
        self.infos(py, &mask)
    }

    /// Advances every copy by one step with its row of `actions`; with `autoreset`, a copy whose episode is over resets
    /// instead, for a reward of 0. Returns whether an episode ended, and the infos of the copies that have one.
    fn step<'py>(
        &mut self,
        py: Python<'py>,
        actions: PyReadonlyArray2<'py, f32>,
        autoreset: bool,
    ) -> PyResult<(bool, Infos<'py>)> {
        let width = self.copies[0].action_space().len();
        if actions.as_array().dim() != (self.copies.len(), width) {
            let shape = actions.as_array().shape().to_vec();
            return Err(PyValueError::new_err(format!(
                "actions have the shape {shape:?}, expected {:?}",
                [self.copies.len(), width]
            )));
        }
        let flat = actions.as_slice()?;
        let space = self.copies[0].action_space().clone();
        let rows = flat.chunks_exact(width).zip(&self.over);
        let tasks = rows.enumerate().map(|(i, (action, &over))| match autoreset && over {
            true => Ok(Task::Reset(None)),
            false if space.contains(action) => Ok(Task::Step(action)),
            false => Err(PyValueError::new_err(format!(
                "the action {action:?} of copy {i} is not in the action space {space}"
            ))),
        });
        let tasks = tasks.collect::<PyResult<Vec<_>>>()?;
        self.run(py, &tasks)?;
        let infos = self.infos(py, &vec![true; self.copies.len()])?;
        Ok((self.over.contains(&true), infos))
    }

    /// Which copies' episodes are over and wait for a reset.
    fn over(&self) -> Vec<bool> {
        self.over.clone()
    }

    /// The picture of copy `i`, uint8 of height × width × 3.
    fn render<'py>(&mut self, py: Python<'py>, i: usize) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let (height, width, rgb) =
            self.copies[i].picture().map_err(|error| copies::raised(&error))?;
        PyArray1::from_vec(py, rgb).reshape([height, width, 3])
    }
}

impl Vector {
    fn infos<'py>(&mut self, py: Python<'py>, mask: &[bool]) -> PyResult<Infos<'py>> {
        let copies = self.copies.iter_mut().zip(mask).enumerate().filter(|(_, (_, told))| **told);
        let infos = copies.map(|(i, (copy, _))| (i, copy.info()));
        infos
            .filter(|(_, info)| !info.is_empty())
            .map(|(i, info)| Ok((i, info::dictionary(py, &info)?)))
            .collect()
    }

    fn run(&mut self, py: Python<'_>, tasks: &[Task<'_>]) -> PyResult<()> {
        match &self.rows {
            Rows::F32(rows) => {
                let rows = rows.clone_ref(py);
                self.run_into(py, &rows, tasks)
            }
            Rows::F64(rows) => {
                let rows = rows.clone_ref(py);
                self.run_into(py, &rows, tasks)
            }
            Rows::U8(rows) => {
                let rows = rows.clone_ref(py);
                self.run_into(py, &rows, tasks)
            }
            Rows::I64(rows) => {
                let rows = rows.clone_ref(py);
                self.run_into(py, &rows, tasks)
            }
        }
    }

    fn run_into<T: Number>(
        &mut self,
        py: Python<'_>,
        rows: &Py<PyArray2<T>>,
        tasks: &[Task<'_>],
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
        let one = |(copy, (task, row)): (&mut Copy, (&Task<'_>, &mut [T]))| {
            match *task {
                Task::Nothing => return Ok(()),
                Task::Reset(seed) => copy.reset(seed)?,
                Task::Step(action) => copy.advance(action)?,
            }
            T::write(copy, row);
            Ok(())
        };
        py.detach(|| -> Result<(), EnvError> {
            match pool {
                None => {
                    let rows = rows.chunks_exact_mut(width);
                    copies.iter_mut().zip(tasks.iter().zip(rows)).try_for_each(one)
                }
                Some(pool) => pool.install(|| {
                    let rows = rows.par_chunks_exact_mut(width);
                    copies.par_iter_mut().zip(tasks.par_iter().zip(rows)).try_for_each(one)
                }),
            }
        })
        .map_err(|error| copies::raised(&error))?;
        let told = rewards.iter_mut().zip(terminated).zip(truncated).zip(&mut self.over);
        for ((copy, task), (((reward, terminated), truncated), over)) in
            self.copies.iter().zip(tasks).zip(told)
        {
            if !matches!(task, Task::Nothing) {
                (*reward, *terminated, *truncated) =
                    (copy.step.reward, copy.step.terminated, copy.step.truncated);
                *over = copy.step.done();
            }
        }
        Ok(())
    }
}

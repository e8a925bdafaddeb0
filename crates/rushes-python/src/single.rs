//! One environment, with as little between Python and its step as there can be.

use numpy::{PyArray1, PyArray3, PyArrayMethods as _, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rushes_env::Space;

use crate::copies::{self, Copy, Kind, Made, Number};
use crate::info;

/// One copy of an environment without a time limit.
#[pyclass(module = "rushes._rushes")]
pub(crate) struct Single {
    made: Made,
    action_space: Space,
    action: Vec<f32>,
}

type Stepped<'py> = (Bound<'py, PyAny>, f64, bool, bool, Bound<'py, PyDict>);

#[pymethods]
impl Single {
    /// The environment `id` with `options`, a JSON object.
    #[new]
    fn new(id: &str, options: &str) -> PyResult<Self> {
        let mut made = copies::make(id, options, 1, None)?;
        let action_space = made.copies[0].action_space().clone();
        let action = vec![0.0; action_space.len()];
        Ok(Self { made, action_space, action })
    }

    /// The spaces and the frame's size, as JSON.
    #[getter]
    fn description(&self) -> &str {
        &self.made.description
    }

    /// Starts an episode: the flat observation and the info.
    #[pyo3(signature = (seed=None))]
    fn reset<'py>(
        &mut self,
        py: Python<'py>,
        seed: Option<u64>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyDict>)> {
        let copy = &mut self.made.copies[0];
        py.detach(|| copy.reset(seed)).map_err(|error| copies::raised(&error))?;
        Ok((self.observation(py)?, self.info(py)?))
    }

    /// Advances by one step: the flat observation, reward, terminated, truncated (always false) and the info.
    fn step<'py>(&mut self, py: Python<'py>, action: &Bound<'py, PyAny>) -> PyResult<Stepped<'py>> {
        if matches!(self.action_space, Space::Discrete { .. }) {
            self.action[0] = action.extract::<i64>()? as f32;
        } else if let Ok(array) = action.extract::<PyReadonlyArray1<'_, f32>>() {
            self.action.clear();
            self.action.extend(array.as_array());
        } else {
            self.action = action.extract()?;
        }
        let action = self.action_space.action(&self.action).ok_or_else(|| {
            PyValueError::new_err(format!(
                "the action {:?} is not in the action space {}",
                self.action, self.action_space
            ))
        })?;
        let copy = &mut self.made.copies[0];
        py.detach(|| copy.advance(action)).map_err(|error| copies::raised(&error))?;
        let step = copy.step;
        Ok((self.observation(py)?, step.reward, step.terminated, step.truncated, self.info(py)?))
    }

    /// The picture of the present state, uint8 of height × width × 3.
    fn render<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let copy = &mut self.made.copies[0];
        let (height, width, rgb) = copy.picture().map_err(|error| copies::raised(&error))?;
        PyArray1::from_vec(py, rgb).reshape([height, width, 3])
    }
}

impl Single {
    fn info<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        info::dictionary(py, &self.made.copies[0].info())
    }

    fn observation<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        fn array<'py, T: Number>(
            py: Python<'py>,
            copy: &mut Copy,
            width: usize,
        ) -> PyResult<Bound<'py, PyAny>> {
            let array = PyArray1::<T>::zeros(py, width, false);
            T::observe(copy, array.readwrite().as_slice_mut()?)
                .map_err(|error| copies::raised(&error))?;
            Ok(array.into_any())
        }
        let (copy, width) = (&mut self.made.copies[0], self.made.width);
        match self.made.kind {
            Kind::F32 => array::<f32>(py, copy, width),
            Kind::F64 => array::<f64>(py, copy, width),
            Kind::U8 => array::<u8>(py, copy, width),
            Kind::I64 => array::<i64>(py, copy, width),
        }
    }
}

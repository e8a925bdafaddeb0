//! Infos as Python's dictionaries.

use numpy::PyArray1;
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde_json::Value;

/// `info` as a dictionary: numbers, booleans and strings as Python's, arrays of whole numbers as int8 (Taxi's
/// `action_mask`) and of other numbers as float64, both as NumPy's.
pub(crate) fn dictionary<'py>(
    py: Python<'py>,
    info: &rushes_env::Info,
) -> PyResult<Bound<'py, PyDict>> {
    let dictionary = PyDict::new(py);
    for (name, value) in info {
        dictionary.set_item(name, object(py, value)?)?;
    }
    Ok(dictionary)
}

fn object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    match value {
        Value::Null => Ok(py.None().into_bound(py)),
        Value::Bool(value) => value.into_bound_py_any(py),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into_bound_py_any(py),
            None => number.as_f64().into_bound_py_any(py),
        },
        Value::String(text) => text.into_bound_py_any(py),
        Value::Array(values) => array(py, values),
        Value::Object(map) => dictionary(py, map).map(Bound::into_any),
    }
}

fn array<'py>(py: Python<'py>, values: &[Value]) -> PyResult<Bound<'py, PyAny>> {
    let small = |value: &Value| value.as_i64().and_then(|whole| i8::try_from(whole).ok());
    if let Some(whole) = values.iter().map(small).collect::<Option<Vec<i8>>>() {
        return Ok(PyArray1::from_vec(py, whole).into_any());
    }
    if let Some(numbers) = values.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>() {
        return Ok(PyArray1::from_vec(py, numbers).into_any());
    }
    let objects = values.iter().map(|value| object(py, value)).collect::<PyResult<Vec<_>>>()?;
    Ok(PyList::new(py, objects)?.into_any())
}

//! The extension module `rushes._rushes`: copies of an environment behind arrays that NumPy shares.
//!
//! What is Gymnasium's (spaces, autoreset modes, infos) is in `python/rushes/`; here is what has to be fast. Python's
//! lock is released while environments step.

use pyo3::prelude::*;

mod copies;
mod info;
mod single;
mod vector;

/// The cards of all environments as JSON: an array of objects with `id`, `family`, `summary`, `max_episode_steps`,
/// `reward_threshold`, `render_fps` and the names of their `options`.
#[pyfunction]
fn cards() -> String {
    let card = |spec: &rushes_env::EnvSpec| {
        let schema = serde_json::Value::from((spec.options_schema)());
        let options = schema.get("properties").and_then(serde_json::Value::as_object);
        let options: Vec<_> = options.into_iter().flat_map(|known| known.keys().cloned()).collect();
        serde_json::json!({
            "id": spec.id,
            "family": spec.family,
            "summary": spec.summary,
            "max_episode_steps": spec.max_episode_steps,
            "reward_threshold": spec.reward_threshold,
            "render_fps": spec.render_fps,
            "options": options,
        })
    };
    let cards: Vec<_> = rushes_env::all().iter().map(|spec| card(spec)).collect();
    serde_json::Value::from(cards).to_string()
}

/// The environments' fast half; the package `rushes` is its interface.
#[pymodule]
fn _rushes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(cards, module)?)?;
    module.add_class::<single::Single>()?;
    module.add_class::<vector::Vector>()
}

//! The report: reads a run directory, writes `index.html` and `summary.json`.

pub mod summary;

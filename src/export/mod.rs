//! Runs for other programs: TensorBoard's event files, and CSV.

pub mod csv;
pub mod tensorboard;

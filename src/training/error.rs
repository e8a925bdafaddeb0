//! How a trial fails.

use indexmap::IndexMap;

use crate::env::{EnvError, PolicyError};

/// A failure that ends a trial; the other trials go on.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The environment failed, or was given an action that it cannot take.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The policy could not act.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A loss, a gradient or a weight stopped being a number.
    #[error("{what} is not finite{}", listed(.metrics))]
    NotFinite {
        /// What it was.
        what: String,
        /// The update's metrics.
        metrics: IndexMap<String, f64>,
    },
    /// Reading or writing the trial's files failed, or something else around it.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

fn listed(metrics: &IndexMap<String, f64>) -> String {
    let values: Vec<_> = metrics.iter().map(|(name, value)| format!("{name} {value}")).collect();
    if values.is_empty() { String::new() } else { format!(" ({})", values.join(", ")) }
}

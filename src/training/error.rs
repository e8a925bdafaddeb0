//! How a trial fails.

use std::io;

use indexmap::IndexMap;

use crate::env::{EnvError, PolicyError};
use crate::nn::StateError;
use crate::nn::replay::OutOfMemory;
use crate::video::EncoderFailure;

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

impl TrialError {
    /// Whether the machine failed rather than the trial: a file could not be read, written or encoded, or memory ran out.
    /// That says nothing of the trial's settings, and another try may succeed.
    pub fn is_the_machines(&self) -> bool {
        let Self::Other(error) = self else { return false };
        error.chain().any(|cause| {
            cause.is::<io::Error>()
                || matches!(cause.downcast_ref(), Some(StateError::Io(_)))
                || cause.is::<OutOfMemory>()
                || cause.is::<EncoderFailure>()
        })
    }
}

fn listed(metrics: &IndexMap<String, f64>) -> String {
    let values: Vec<_> = metrics.iter().map(|(name, value)| format!("{name} {value}")).collect();
    if values.is_empty() { String::new() } else { format!(" ({})", values.join(", ")) }
}

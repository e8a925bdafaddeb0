//! rushes: a headless reinforcement-learning experiment runner.
//!
//! ```text
//! experiment.json ──Spec──▶ Plan ──Runner──▶ one child process per trial ──▶ run directory ──▶ report, check
//! ```

pub mod cli;
pub mod env;
pub mod nn;
pub mod policy;
pub mod rng;
pub mod video;

//! rushes: a headless reinforcement-learning experiment runner.
//!
//! ```text
//! experiment.json ──Spec──▶ Plan ──Runner──▶ one child process per trial ──▶ run directory ──▶ report, check
//! ```

pub mod algorithm;
pub mod cli;
pub mod env;
pub mod experiment;
pub mod export;
pub mod history;
pub mod names;
pub mod nn;
pub mod policy;
pub mod provenance;
pub mod record;
pub mod regression;
pub mod report;
pub mod rng;
pub mod runner;
pub mod search;
pub mod stats;
pub mod store;
pub mod trial;
pub mod video;

//! rushes: a headless reinforcement-learning experiment runner.
//!
//! ```text
//! experiment.json ──Spec──▶ Plan ──Runner──▶ one child process per trial ──▶ run directory ──▶ report, check
//! ```

pub mod algorithm;
pub mod cli;
pub use rushes_env as env;
pub mod exit;
pub mod experiment;
pub mod export;
pub mod format;
pub mod history;
pub use rushes_nn as nn;
pub mod planning;
pub mod policy;
pub mod provenance;
pub mod record;
pub mod registry;
pub mod regression;
pub mod report;
pub mod results;
pub use rushes_rng as rng;
pub mod run;
pub mod runner;
pub mod search;
pub mod stats;
pub mod store;
pub mod training;
pub mod trial;
pub mod validation;
pub mod video;

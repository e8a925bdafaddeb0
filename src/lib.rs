//! rushes: a headless reinforcement-learning experiment runner.
//!
//! ```text
//! experiment.json ──Spec──▶ Plan ──Runner──▶ one process per trial ──▶ run directory ──▶ report, check
//! ```
//!
//! A program of one's own is `rushes` with its own entries: see [`registry::Registry`] and [`cli::main_with`]. What
//! it needs is documented here; the rest of the rooms (`docs/architecture.md`) are public to the tests of this
//! repository only, and may change at any time.

// They panic when nobody reads: `console` prints.
#![warn(clippy::print_stderr, clippy::print_stdout)]

pub use rushes_env as env;
pub use rushes_external as external;
pub use rushes_nn as nn;
pub use rushes_rng as rng;
#[doc(hidden)]
pub use rushes_video as video;

pub mod algorithm;
#[doc(hidden)]
pub mod archive;
pub mod cli;
pub mod experiment;
pub mod policy;
pub mod record;
pub mod registry;
pub mod training;

#[doc(hidden)]
pub mod console;
#[doc(hidden)]
pub mod dataset;
#[doc(hidden)]
pub mod diagnosis;
#[doc(hidden)]
pub mod event_file;
#[doc(hidden)]
pub mod exit;
#[doc(hidden)]
pub mod export;
#[doc(hidden)]
pub mod format;
#[doc(hidden)]
pub mod guard;
#[doc(hidden)]
pub mod history;
#[doc(hidden)]
pub mod import;
#[doc(hidden)]
pub mod lease;
#[doc(hidden)]
pub mod planning;
#[doc(hidden)]
pub mod provenance;
#[doc(hidden)]
pub mod regression;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod results;
#[doc(hidden)]
pub mod run;
#[doc(hidden)]
pub mod runner;
#[doc(hidden)]
pub mod search;
#[doc(hidden)]
pub mod serve;
#[doc(hidden)]
pub mod stats;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod trial;
#[doc(hidden)]
pub mod trust;
#[doc(hidden)]
pub mod validation;

//! Hyperparameter search: which settings of an agent are tried, and what they come to.
//!
//! ```text
//! SearchSpec ──sampler──▶ samples ──Plan──▶ trials (sample × seed) ──scheduler──▶ some are stopped early
//!                 ▲                                                        │
//!                 └───────────────────── scores over seeds ◀───────────────┘
//! ```
//! A sample is an agent with other values in some places; its trials are trials like all others. Samplers and
//! schedulers are functions of the experiment and of scores, never of time: they decide in rounds, after all
//! trials of a round are over, so that a search comes out the same whatever `--jobs` is and however often it
//! was interrupted. Asynchronous halving is the exception: it decides whenever a trial can run, by what is known then, and
//! writes each decision down before it takes effect, so that an interrupted search goes on from what it decided.

mod driver;
#[cfg(test)]
mod driver_tests;
mod halving;
mod importance;
mod pool;
mod rungs;
mod sampler;
mod scheduler;
mod score;

pub use driver::{Ending, Tally, run};
pub use importance::importance;
pub use rungs::{Rung, rungs};
pub use sampler::{next_samples, plan};
pub use score::{MeanReturn, SampleScore, Standing, ranking, trial_score};

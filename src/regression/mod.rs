//! The regression gate: is this run worse than the baseline?
//!
//! ```text
//! summary.json ──Scores──▶ baselines/NAME.json          rushes baseline
//! summary.json ──Scores──▶ decide(baseline, run) ──▶ text, JUnit XML, Markdown, JSON    rushes check
//! ```
//!
//! A run and a baseline are the same thing, [`Scores`]; [`decide`] compares two of them and touches no
//! file. A run that was started with a baseline (`rushes run --check`) keeps it, so that whoever goes on with the run
//! or writes its report again comes to the same verdict. The rule, its assumptions and how to read the verdicts: `docs/check.md`.

mod check;
mod comparison;
mod junit;
mod markdown;
mod numbers;
mod permutation;
mod sameness;
mod scores;
mod test;
mod text;
mod welch;

pub use check::{Decision, Look, Range, comparable, decide, decide_run, decide_run_by, has_answer};
pub use comparison::{Comparison, Evidence, Side, Verdict};
pub use junit::junit;
pub use markdown::{Surroundings, markdown};
pub use numbers::{percent, signed_percent};
pub use scores::{AgentScores, BASELINE_VERSION, Recorded, Scores, SeedScores, TimeScore};
pub use text::{column, rule, score, summary, text, told};

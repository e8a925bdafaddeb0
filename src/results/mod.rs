//! A run directory, read and summarised; saved agents.
//!
//! ```text
//! run directory ──RunData──▶ Summary ──▶ summary.json, once, when the trials have ended
//! policy.safetensors, trial or run directory ──SavedAgent──▶ PlayingAgent
//! ```
//! Report, regression gate, history and exports stand above this room side by side; none of them writes into a
//! run what another one needs.

mod agent;
pub mod aggregate;
mod evidence;
mod opening;
mod pinned;
mod progress;
mod run;
pub mod suite;
mod summary;
mod trial;

pub use agent::{PlayingAgent, SavedAgent, SavedNetwork, trial_of};
pub use evidence::{cut_short, ended_early, is_quick, weak_evidence};
pub use opening::Opening;
pub use pinned::take_over;
pub use progress::{RunProgress, TrialProgress};
pub use run::{RunData, RunReader, summary};
pub use summary::{
    AgentSummary, CURVE_POINTS, Curve, EnvironmentSummary, Goal, PolicyKind, Reached,
    SampleSummary, SearchSummary, SearchedAgent, SeedSummary, Summary,
};
pub use trial::{Filmed, Trial};

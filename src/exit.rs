//! Exit codes.

/// How a command ended. The numbers are documented in `docs/exit-codes.md` and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for was done; for `check`: held or improved.
    Success = 0,
    /// `check`: regressed. `run`: at least one trial failed. `trace --verify`: a value differs.
    Failed = 1,
    /// Broken input, or `check` could not tell.
    Input = 2,
    /// The command line itself is wrong.
    Usage = 3,
    /// Interrupted; the run can be resumed.
    Interrupted = 130,
}

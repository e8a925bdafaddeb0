//! Exit codes.

use std::process::ExitCode;

/// How a command ended. The numbers are documented in `docs/exit-codes.md` and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for was done; for `check`: held or improved.
    Success,
    /// `check`: regressed. `run`: at least one trial failed. `trace --verify`: a value differs.
    Failed,
    /// Broken input, or `check` could not tell.
    Input,
    /// The command line itself is wrong.
    Usage,
    /// Another process works on the trial or the run.
    Busy,
    /// Interrupted by the signal of this number; the run can be resumed.
    Interrupted(u8),
}

impl Exit {
    /// A trial left at a checkpoint, as SIGTERM asked it to.
    pub const LEFT: Self = Self::Interrupted(15);

    /// The process's exit code; 128 and the number of the signal for an interruption, as shells have it.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Input => 2,
            Self::Usage => 3,
            // As sysexits.h has it: try again later.
            Self::Busy => 75,
            Self::Interrupted(signal) => 128 + signal,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

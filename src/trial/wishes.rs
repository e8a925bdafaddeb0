//! What is asked of a trial while it runs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is asked of a trial while it runs; set by other threads.
#[derive(Debug, Default)]
pub struct Wishes {
    finish: AtomicBool,
    leave: Arc<AtomicBool>,
}

impl Wishes {
    /// Asks that training ends with the next update, as if the schedule did.
    pub fn finish(&self) {
        self.finish.store(true, Ordering::Relaxed);
    }

    /// Asks that the trial ends with its next checkpoint, to go on elsewhere.
    pub fn leave(&self) {
        self.leave.store(true, Ordering::Relaxed);
    }

    /// Has a signal ask the same, instead of ending this process.
    ///
    /// # Errors
    /// Fails if the system refuses the handler.
    pub fn leave_on(&self, signal: i32) -> io::Result<()> {
        signal_hook::flag::register(signal, self.leave.clone()).map(drop)
    }

    /// Whether [`Wishes::finish`] was called.
    pub fn finishes(&self) -> bool {
        self.finish.load(Ordering::Relaxed)
    }

    /// Whether the trial was asked to leave.
    pub fn leaves(&self) -> bool {
        self.leave.load(Ordering::Relaxed)
    }
}

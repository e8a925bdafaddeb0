//! The signals that stop a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Knows which signal asked this process to stop, if one did.
#[derive(Debug, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// One that hears of SIGINT, SIGTERM and SIGHUP from now on, which end this process no longer. A SIGHUP that
    /// `nohup` had it ignore stays ignored.
    ///
    /// # Errors
    /// Fails if the system refuses a handler.
    pub fn watch() -> anyhow::Result<Self> {
        let interrupt = Self::default();
        let hang_up = (!ignores_hang_up()).then_some(SIGHUP);
        for signal in [SIGINT, SIGTERM].into_iter().chain(hang_up) {
            signal_hook::flag::register_usize(signal, interrupt.0.clone(), signal as usize)
                .context("failed to watch for signals")?;
        }
        Ok(interrupt)
    }

    /// The number of the latest signal.
    pub fn signal(&self) -> Option<u8> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => u8::try_from(signal).ok(),
        }
    }

    /// Whether there was a signal.
    pub fn arrived(&self) -> bool {
        self.signal().is_some()
    }
}

/// Whether this process was started with SIGHUP ignored; only Linux tells.
fn ignores_hang_up() -> bool {
    #[cfg(target_os = "linux")]
    if let Ok(status) = procfs::process::Process::myself().and_then(|myself| myself.status()) {
        return status.sigign & (1 << (SIGHUP - 1)) != 0;
    }
    false
}

//! The signals that end a run: Ctrl-C asks for an early end, everything else, and a second Ctrl-C, for the end, which
//! may come after a time of grace.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Knows whether somebody asked this process to end its run, and how.
#[derive(Debug, Default)]
pub struct Interrupt {
    finish: AtomicBool,
    abort: AtomicUsize,
    /// How long trials may go on after the first signal to abort.
    grace: Duration,
    aborted: OnceLock<Instant>,
}

/// How a run is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// What runs stops training and is evaluated; nothing else begins.
    Finish,
    /// What runs ends with its next checkpoint; nothing else begins. [`Request::Abort`] follows after the time of grace.
    Leave,
    /// At once, resumable, because of the signal of this number.
    Abort(u8),
}

impl Interrupt {
    /// One that hears of SIGINT, SIGTERM and SIGHUP from now on, which end this process no longer. `finishing` is called
    /// at the first SIGINT. A SIGHUP that `nohup` had it ignore stays ignored.
    ///
    /// # Errors
    /// Fails if the system refuses a handler or a thread.
    pub fn watch(finishing: impl FnOnce() + Send + 'static) -> anyhow::Result<Arc<Self>> {
        Self::watch_with_grace(Duration::ZERO, finishing)
    }

    /// The same, where what runs may go on to its next checkpoint for some time after it was to be aborted.
    ///
    /// # Errors
    /// As [`Interrupt::watch`].
    pub fn watch_with_grace(
        grace: Duration,
        finishing: impl FnOnce() + Send + 'static,
    ) -> anyhow::Result<Arc<Self>> {
        let interrupt = Arc::new(Self { grace, ..Self::default() });
        let hang_up = (!ignores_hang_up()).then_some(SIGHUP);
        let signals = Signals::new([SIGINT, SIGTERM].into_iter().chain(hang_up));
        let mut signals = signals.context("failed to watch for signals")?;
        let heard = interrupt.clone();
        let mut finishing = Some(finishing);
        let listen = move || {
            for signal in signals.forever() {
                match finishing.take_if(|_| signal == SIGINT) {
                    Some(finishing) => {
                        heard.finish.store(true, Ordering::Relaxed);
                        finishing();
                    }
                    None => {
                        heard.aborted.get_or_init(Instant::now);
                        heard.abort.store(signal as usize, Ordering::Relaxed);
                    }
                }
            }
        };
        std::thread::Builder::new().spawn(listen).context("failed to watch for signals")?;
        Ok(interrupt)
    }

    /// Whether trials may go on for some time after the first signal to abort.
    pub(super) fn has_grace(&self) -> bool {
        !self.grace.is_zero()
    }

    /// What was asked for, if anything was.
    pub fn request(&self) -> Option<Request> {
        let within_grace = self.aborted.get().is_some_and(|at| at.elapsed() < self.grace);
        match (self.abort.load(Ordering::Relaxed), self.finish.load(Ordering::Relaxed)) {
            (1.., _) if within_grace => Some(Request::Leave),
            (0, false) => None,
            (0, true) => Some(Request::Finish),
            (signal, _) => Some(Request::Abort(u8::try_from(signal).unwrap_or_default())),
        }
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

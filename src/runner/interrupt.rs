//! The signals that end a run: Ctrl-C asks for an early end, everything else, and a second Ctrl-C, for the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Knows whether somebody asked this process to end its run, and how.
#[derive(Debug, Default)]
pub struct Interrupt {
    finish: AtomicBool,
    abort: AtomicUsize,
}

/// How a run is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// What runs stops training and is evaluated; nothing else begins.
    Finish,
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
        let interrupt = Arc::new(Self::default());
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
                    None => heard.abort.store(signal as usize, Ordering::Relaxed),
                }
            }
        };
        std::thread::Builder::new().spawn(listen).context("failed to watch for signals")?;
        Ok(interrupt)
    }

    /// What was asked for, if anything was.
    pub fn request(&self) -> Option<Request> {
        match (self.abort.load(Ordering::Relaxed), self.finish.load(Ordering::Relaxed)) {
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

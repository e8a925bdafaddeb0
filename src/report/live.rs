//! The page of a run that goes on, written again as long as it does.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::model::Report;
use super::page;
use super::past::Past;
use crate::results::{RunReader, Trial};
use crate::store;

/// How often it is looked whether there is anything new.
const TICK: Duration = Duration::from_secs(1);
/// The shortest time between two pages.
const SHORTEST: Duration = Duration::from_secs(2);
/// The longest, whether or not there is anything new: a reader sees that the run is alive.
const LONGEST: Duration = Duration::from_secs(30);
/// The processor's time for pages is at most one part in so many of what each trial's process has.
const SPARING: u32 = 80;

/// Does `work`, the run that `reader` reads with `jobs` trials at a time, and keeps its page up to date meanwhile. Gives
/// what became of the work, and of the page: one that can no longer be written costs no run.
pub fn while_running<T>(
    reader: &mut RunReader,
    jobs: usize,
    work: impl FnOnce() -> T,
) -> (T, anyhow::Result<()>) {
    std::thread::scope(|scope| {
        let (at_work, over) = mpsc::channel::<()>();
        let writer = scope.spawn(move || keep_writing(reader, jobs, &over));
        let done = work();
        drop(at_work);
        let page = writer.join().unwrap_or_else(|_| Err(anyhow::anyhow!("its thread panicked")));
        (done, page)
    })
}

/// Writes the page until nobody is at the other end of `over`.
fn keep_writing(
    reader: &mut RunReader,
    jobs: usize,
    over: &mpsc::Receiver<()>,
) -> anyhow::Result<()> {
    // All of it on this thread: its processor time is what a page costs, and the trials have the other cores.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build()?;
    let mut page = LivePage { reader, past: None, shown: Vec::new() };
    let (mut written, mut pause) = (None::<Instant>, Duration::ZERO);
    // A disk may be full for a moment: what fails is tried again, and told if it was the last.
    let mut last = Ok(());
    loop {
        last = page.reader.dir().show_life().and(last);
        let due = |after: Duration| written.is_none_or(|at| at.elapsed() >= after);
        if due(pause) {
            let before = processor_time();
            let outcome = pool.install(|| page.write(due(LONGEST)));
            if !matches!(outcome, Ok(false)) {
                written = Some(Instant::now());
            }
            last = outcome.map(|_| ());
            let cost = (processor_time() - before) * SPARING / jobs.max(1) as u32;
            pause = cost.clamp(SHORTEST, LONGEST);
        }
        match over.recv_timeout(TICK) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return last,
        }
    }
}

/// The processor time that this thread has taken.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// A page, and what it is made from.
struct LivePage<'a> {
    reader: &'a mut RunReader,
    /// Earlier runs and the baseline do not change.
    past: Option<Arc<[Past]>>,
    /// The trials that the page on the disk shows.
    shown: Vec<Arc<Trial>>,
}

impl LivePage<'_> {
    /// Reads on and, where there is anything new or `anyway`, writes the page; says whether it did.
    ///
    /// # Errors
    /// Fails if the run cannot be read, or the page not be written.
    fn write(&mut self, anyway: bool) -> anyhow::Result<bool> {
        let run = self.reader.read()?;
        let same = self.shown.len() == run.trials.len()
            && self.shown.iter().zip(&run.trials).all(|(old, new)| Arc::ptr_eq(old, new));
        if same && !anyway {
            return Ok(false);
        }
        let trials = run.trials.clone();
        let past = self.past.get_or_insert_with(|| [Past::read(&run)].into()).clone();
        let report = Report::new(vec![run], past, self.reader.dir().path().to_owned(), false)?;
        let page = page::render(&report)?;
        store::replace(&self.reader.dir().report(), page.as_bytes())?;
        self.shown = trials;
        Ok(true)
    }
}

//! Several threads for one network's arithmetic.
//!
//! What they compute does not depend on how many there are: every number is computed whole by one of them. Only work that
//! outlasts the waking of a thread is shared out.

use std::cell::RefCell;
use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::simd::Level;

/// Multiplications that take a thread much longer (some 30 µs) than another one takes to wake up.
const WORTHWHILE: usize = 1 << 21;

/// As many multiplications take about as long as what is done to a number in a pass over memory.
pub(crate) const PER_NUMBER: usize = 32;

/// How many times a thread that has done its part looks whether the others have, or whether there is more to do, before it sleeps:
/// 50 to 200 µs, as long as processors pause between looks. To be woken takes 45 µs.
const LOOKS: usize = 4096;

thread_local! {
    /// The threads beside this one.
    static OTHERS: RefCell<Option<Others>> = const { RefCell::new(None) };
}

struct Others {
    pool: rayon::ThreadPool,
    /// How many times they were given work.
    calls: Arc<AtomicUsize>,
}

impl Others {
    fn count(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Has them look for the next work for a while, as it mostly comes soon.
    fn stay_awake(&self) {
        let last = self.calls.load(Ordering::Relaxed);
        for _ in 0..self.count() {
            let calls = self.calls.clone();
            self.pool.spawn(move || {
                look_until(|| calls.load(Ordering::Relaxed) != last);
            });
        }
    }
}

/// Waits for `done` without sleeping, though not for long.
fn look_until(done: impl Fn() -> bool) {
    for _ in 0..LOOKS {
        if done() {
            break;
        }
        hint::spin_loop();
    }
}

/// Does `work`, in which so many threads compute the networks of the calling one.
///
/// # Errors
/// Fails if they cannot be started.
pub fn with_threads<R>(
    threads: usize,
    work: impl FnOnce() -> R,
) -> Result<R, rayon::ThreadPoolBuildError> {
    let others = match threads {
        0 | 1 => None,
        _ => Some(Others {
            pool: rayon::ThreadPoolBuilder::new().num_threads(threads - 1).build()?,
            calls: Arc::default(),
        }),
    };
    let before = OTHERS.replace(others);
    let result = work();
    OTHERS.set(before);
    Ok(result)
}

/// How many of `items` a thread takes, where all of them are so many multiplications.
pub(crate) fn share(items: usize, work: usize) -> usize {
    // Most products are small, and pay for no more than this comparison.
    if work < WORTHWHILE {
        return items.max(1);
    }
    let others = OTHERS.with_borrow(|others| others.as_ref().map(Others::count));
    items.div_ceil(1 + others.unwrap_or(0)).max(1)
}

/// Does `work` on each part, the first of them on this thread. What a part's work could share out in its turn it does alone.
pub fn each<P: Send>(parts: impl IntoIterator<Item = P>, work: impl Fn(P) + Sync) {
    let mut parts = parts.into_iter().peekable();
    let Some(first) = parts.next() else { return };
    let others = if parts.peek().is_some() { OTHERS.take() } else { None };
    let Some(others) = others else {
        work(first);
        return parts.for_each(work);
    };
    let level = Level::richest();
    let unfinished = AtomicUsize::new(0);
    others.calls.fetch_add(1, Ordering::Relaxed);
    others.pool.in_place_scope(|scope| {
        for part in parts {
            unfinished.fetch_add(1, Ordering::Relaxed);
            let (work, unfinished) = (&work, &unfinished);
            scope.spawn(move |_| {
                level.set();
                work(part);
                unfinished.fetch_sub(1, Ordering::Relaxed);
            });
        }
        work(first);
        // The scope waits for those that are not done soon.
        look_until(|| unfinished.load(Ordering::Relaxed) == 0);
    });
    others.stay_awake();
    OTHERS.set(Some(others));
}

#[cfg(test)]
mod tests {
    use rushes_rng::{Purpose, stream};

    use super::*;
    use crate::native::NativeMlp;
    use crate::random::normal;
    use crate::{Activation, MlpConfig, Network as _, Optimiser, OptimiserConfig, move_towards};

    /// A network that is wide enough for every step to be shared out, after an update.
    fn learned(threads: usize) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        const ROWS: usize = 250;
        let config = MlpConfig::new(90, &[400, 256], 70, Activation::Relu);
        let mut rng = stream(3, Purpose::Initialisation, 0);
        let mut draw = |count: usize| -> Vec<f32> {
            (0..count).map(|_| 0.1 * normal(&mut rng) as f32).collect()
        };
        let parameters = draw(config.parameter_count());
        let (batch, gradient) = (draw(ROWS * 90), draw(ROWS * 70));
        let mut some_rows = gradient.clone();
        some_rows.chunks_mut(70).step_by(3).for_each(|row| row.fill(0.0));
        let work = || {
            let mut target = parameters.clone();
            let mut optimiser = Optimiser::new(OptimiserConfig::ADAM, parameters.len());
            let mut network = NativeMlp::new(config.clone(), parameters.clone());
            let mut outputs = vec![0.0; ROWS * 70];
            let mut grad_inputs = vec![0.0; ROWS * 90];
            let mut through = vec![0.0; ROWS * 90];
            let mut dropout = stream(3, Purpose::Minibatch, 0);
            for _ in 0..2 {
                network.forward_train(&batch, ROWS, &mut dropout, &mut outputs);
                network.backward_inputs(&some_rows, &mut through);
                network.zero_gradients();
                network.backward(&gradient, Some(&mut grad_inputs));
                optimiser.step(0.01, &mut [network.parameters_and_gradients()]);
                move_towards(&mut target, network.parameters(), 0.1);
            }
            outputs.extend(grad_inputs.into_iter().chain(through));
            (network.parameters().to_vec(), outputs, target)
        };
        with_threads(threads, work).expect("threads")
    }

    #[test]
    fn numbers_do_not_depend_on_how_many_there_are() {
        crate::on_every_level(|level| {
            let alone = learned(1);
            for threads in [2, 3, 5] {
                assert!(learned(threads) == alone, "{threads} threads, {level:?}");
            }
        });
    }

    #[test]
    fn work_is_shared_out_where_it_is_worthwhile() {
        let shares = |threads, work| with_threads(threads, || share(10, work)).expect("threads");
        assert_eq!(shares(3, WORTHWHILE), 4);
        assert_eq!(shares(3, WORTHWHILE - 1), 10);
        assert_eq!(shares(1, WORTHWHILE), 10);
    }
}

//! Draws from a trial's generator. They take a fixed number of words each, so that streams stay aligned
//! whatever is drawn.

use rand::Rng as _;

use super::scalar::Scalar;
use rushes_rng::Rng;

/// Uniform on [0, 1), 53 bits.
pub fn uniform(rng: &mut Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// Standard normal, by Box and Muller's transform (its cosine half: two words a draw).
pub fn normal(rng: &mut Rng) -> f64 {
    // 1 - u lies in (0, 1], where the logarithm is finite.
    let radius = (-2.0 * (1.0 - uniform(rng)).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(rng)).cos()
}

/// A whole number below `bound`, which must not be zero. By multiplication, so that the bias is below
/// `bound / 2^64`.
pub fn below(rng: &mut Rng, bound: usize) -> usize {
    ((u128::from(rng.next_u64()) * bound as u128) >> 64) as usize
}

/// The index of one of the flags that are set, each as probable as the others: where all are, [`below`] their number.
///
/// # Panics
/// Panics if none is set.
pub fn one_of(rng: &mut Rng, mask: &[bool]) -> usize {
    let set = mask.iter().filter(|valid| **valid).count();
    let chosen = below(rng, set);
    let mut indices = (0..mask.len()).filter(|&i| mask[i]);
    indices.nth(chosen).expect("a flag is set")
}

/// Fisher and Yates's shuffle.
pub fn shuffle<T>(rng: &mut Rng, items: &mut [T]) {
    for i in (1..items.len()).rev() {
        items.swap(i, below(rng, i + 1));
    }
}

/// Fills `mask` with 0 (probability `rate`) or `1 / (1 - rate)`: what dropout multiplies by in training.
fn dropout_mask<T: Scalar>(rng: &mut Rng, rate: f64, mask: &mut [T]) {
    // Half a word decides each number.
    let threshold = (rate * 4_294_967_296.0) as u64;
    let keep = T::of(1.0 / (1.0 - rate));
    for pair in mask.chunks_mut(2) {
        let word = rng.next_u64();
        for (value, half) in pair.iter_mut().zip([word >> 32, word & 0xffff_ffff]) {
            *value = if half < threshold { T::zero() } else { keep };
        }
    }
}

/// Draws the dropout masks of a batch row by row, and within a row layer by layer: acting one observation at
/// a time and learning from all of them together then meet the same masks.
pub fn dropout_masks<'m, T: Scalar + 'm>(
    rng: &mut Rng,
    rows: usize,
    mut layers: Vec<(f64, usize, &'m mut [T])>,
) {
    for row in 0..rows {
        for (rate, width, mask) in &mut layers {
            dropout_mask(rng, *rate, &mut mask[row * *width..][..*width]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rushes_rng::{Purpose, stream};

    #[test]
    fn normal_draws_have_the_moments_of_the_standard_normal() {
        let mut rng = stream(1, Purpose::Initialisation, 0);
        let n = 200_000;
        let draws: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
        let moment = |k: i32| draws.iter().map(|x| x.powi(k)).sum::<f64>() / f64::from(n);
        // Four standard errors of each moment.
        assert!(moment(1).abs() < 4.0 * (1.0 / f64::from(n)).sqrt());
        assert!((moment(2) - 1.0).abs() < 4.0 * (2.0 / f64::from(n)).sqrt());
        assert!((moment(4) - 3.0).abs() < 4.0 * (96.0 / f64::from(n)).sqrt());
    }

    #[test]
    fn masks_do_not_depend_on_how_many_rows_are_drawn_at_a_time() {
        let draw = |rng: &mut Rng, rows: usize| {
            let (mut a, mut b) = (vec![0.0_f32; rows * 5], vec![0.0_f32; rows * 3]);
            dropout_masks(rng, rows, vec![(0.5, 5, &mut a), (0.2, 3, &mut b)]);
            (a, b)
        };
        let start = || stream(3, Purpose::Minibatch, 0);
        let together = draw(&mut start(), 3);
        let mut rng = start();
        let apart: Vec<_> = (0..3).map(|_| draw(&mut rng, 1)).collect();
        let joined = apart.into_iter().reduce(|x, y| ([x.0, y.0].concat(), [x.1, y.1].concat()));
        assert_eq!(Some(together), joined);
    }

    #[test]
    fn dropout_keeps_the_mean_and_drops_at_the_rate() {
        let mut rng = stream(2, Purpose::Minibatch, 0);
        let mut mask = vec![0.0_f64; 100_001];
        dropout_mask(&mut rng, 0.6, &mut mask);
        let dropped = mask.iter().filter(|m| **m == 0.0).count() as f64 / mask.len() as f64;
        assert!((dropped - 0.6).abs() < 0.007, "{dropped}");
        assert!(mask.iter().all(|m| *m == 0.0 || *m == 2.5));
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_uniform() {
        let mut rng = stream(3, Purpose::Minibatch, 0);
        let mut counts = [[0_i32; 4]; 4];
        for _ in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            shuffle(&mut rng, &mut items);
            for (place, &item) in items.iter().enumerate() {
                counts[place][item] += 1;
            }
            items.sort_unstable();
            assert_eq!(items, [0, 1, 2, 3], "each once");
        }
        // Standard deviation of each count is 67.
        assert!(counts.iter().flatten().all(|c| (c - 6_000).abs() < 300), "{counts:?}");
    }
}

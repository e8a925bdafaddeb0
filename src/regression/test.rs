//! The test of "worse by more than", and what it can see.
//!
//! The permutation test is exact for scores of any distribution, but only if the run's is the baseline's: with many
//! quiet seeds against few noisy ones it calls chance a drop. Welch's test allows for scatters that differ, but assumes
//! that means are normal. Where the numbers of seeds differ, both have to find a drop, which is then a false alarm no more
//! often than either of them raises one. Both compare the drop with a bound, so that the agreement, too, has one bound for
//! every error rate: the p-value is the larger one, the interval reaches as far as the wider one.
//!
//! With equal numbers of seeds the permutation test decides alone: there it is hardly misled by scatters that differ, and
//! Welch's test would miss two of three drops that make the seeds scatter, as drops in learning do (`docs/check.md`).

use rand::RngExt as _;
use rayon::prelude::*;

use super::permutation::{Experiment, Permutation, Splits};
use super::welch::Welch;
use crate::rng::{Rng, SeedSequence};

/// What the scores of a baseline and a run say about the drop between them.
pub(super) struct Test {
    permutation: Permutation,
    /// Where the numbers of seeds differ.
    welch: Option<Welch>,
}

impl Test {
    /// Tests a run against a baseline. More is better; scores are about 1 in size.
    pub(super) fn new(splits: &Splits, baseline: &[f64], run: &[f64]) -> Self {
        let [test] = Self::of_each(splits, [(baseline, run)]);
        test
    }

    /// [`Test::new`] of experiments of the same sizes.
    pub(super) fn of_each<const N: usize>(
        splits: &Splits,
        experiments: [Experiment<'_>; N],
    ) -> [Self; N] {
        let mut welch = experiments.into_iter().map(second_test);
        Permutation::of_each(splits, experiments)
            .map(|permutation| Self { permutation, welch: welch.next().flatten() })
    }

    /// How probable scores at least as bad as these are, if the true drop is `margin`: small values say that the run
    /// is worse by more than that.
    pub(super) fn worse(&self, margin: f64) -> f64 {
        let welch = self.welch.as_ref().map_or(0.0, |welch| welch.worse(margin));
        self.permutation.worse(margin).max(welch)
    }

    /// The same for "better by more than `margin`".
    pub(super) fn better(&self, margin: f64) -> f64 {
        let welch = self.welch.as_ref().map_or(0.0, |welch| welch.better(margin));
        self.permutation.better(margin).max(welch)
    }

    /// The largest drop that is exceeded at error rate `alpha`, and the smallest that is not reached; infinite where
    /// the seeds are too few to say.
    pub(super) fn bounds(&self, alpha: f64) -> (f64, f64) {
        let (least, most) = self.permutation.bounds(alpha);
        let welch = self.welch.as_ref().map(|welch| welch.bounds(alpha));
        welch.map_or((least, most), |welch| (least.min(welch.0), most.max(welch.1)))
    }
}

/// Welch's test where the permutation test needs its agreement.
fn second_test((baseline, run): Experiment<'_>) -> Option<Welch> {
    (baseline.len() != run.len()).then(|| Welch::new(baseline, run))
}

/// The smallest true drop that a test with so many seeds finds (proves larger than `margin` at error rate
/// `alpha`) with probability `power`, where scores scatter around their mean as `residuals` do. Infinite
/// where no drop is large enough: too few seeds for the error rate, or no residuals to judge by.
///
/// Experiments are simulated by drawing from the residuals. A true drop moves the bounds of both tests alike,
/// so that each simulated experiment has one drop from which on it is found.
pub(super) fn smallest_visible_drop(
    splits: &Splits,
    (baseline_size, run_size): (usize, usize),
    residuals: &[f64],
    margin: f64,
    alpha: f64,
    power: f64,
    simulations: usize,
) -> f64 {
    simulate((baseline_size, run_size), residuals, power, simulations, |experiments| {
        let least = splits.least_drops(experiments, alpha);
        std::array::from_fn(|index| {
            let welch = second_test(experiments[index]);
            let welch = welch.map_or(f64::INFINITY, |welch| welch.bounds(alpha).0);
            margin - least[index].min(welch)
        })
    })
}

/// So many simulated experiments are tested side by side: as many as fit a register.
const SIDE_BY_SIDE: usize = 8;

/// What `needed` is at most in a share `power` of simulated experiments in which nothing has changed: a baseline and a run
/// of these sizes, drawn from `residuals`. Infinite where there are none to draw from.
pub(super) fn simulate(
    (baseline_size, run_size): (usize, usize),
    residuals: &[f64],
    power: f64,
    simulations: usize,
    needed: impl Fn([Experiment<'_>; SIDE_BY_SIDE]) -> [f64; SIDE_BY_SIDE] + Sync,
) -> f64 {
    if residuals.is_empty() {
        return f64::INFINITY;
    }
    let mut rng: Rng = SeedSequence::new(&[simulations as u64]).pcg64();
    let mut draw = |count: usize| -> Vec<f64> {
        (0..count).map(|_| residuals[rng.random_range(0..residuals.len())]).collect()
    };
    let experiments: Vec<(Vec<f64>, Vec<f64>)> =
        (0..simulations).map(|_| (draw(baseline_size), draw(run_size))).collect();
    let mut values: Vec<f64> = experiments
        .par_chunks(SIDE_BY_SIDE)
        .flat_map_iter(|some| {
            // The last few are filled up with the last one.
            let needed = needed(std::array::from_fn(|index| {
                let (baseline, run) = &some[index.min(some.len() - 1)];
                (&baseline[..], &run[..])
            }));
            needed.into_iter().take(some.len())
        })
        .collect();
    values.sort_unstable_by(f64::total_cmp);
    let index = (power * simulations as f64).ceil() as usize - 1;
    values[index.min(simulations - 1)]
}

/// How the scores of several groups scatter around their own means, widened for the degrees of freedom
/// that the means have used up. A group of one says nothing.
pub(super) fn residuals(groups: &[&[f64]]) -> Vec<f64> {
    let mut residuals = Vec::new();
    for scores in groups.iter().filter(|scores| scores.len() > 1) {
        let count = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / count;
        let widening = (count / (count - 1.0)).sqrt();
        residuals.extend(scores.iter().map(|score| (score - mean) * widening));
    }
    residuals
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::regression::permutation::Effort;

    fn splits(baseline: usize, run: usize) -> Splits {
        Splits::new(baseline, run, Effort::FULL).expect("seeds")
    }

    #[test]
    fn one_seed_sees_nothing() {
        let residuals = residuals(&[&[0.91, 1.02, 0.97, 1.10, 0.99]]);
        let splits = splits(5, 1);
        let drop = smallest_visible_drop(&splits, (5, 1), &residuals, 0.02, 0.05, 0.9, 400);
        assert_eq!(drop, f64::INFINITY);
    }

    /// Drops of exactly the size that is said to be visible are found about as often as promised, in
    /// experiments that were not used to find that size.
    #[test]
    fn the_smallest_visible_drop_is_found_as_often_as_promised() {
        let splits = splits(5, 5);
        let residuals: Vec<f64> = (-20..=20).map(|step| f64::from(step) / 200.0).collect();
        let visible = smallest_visible_drop(&splits, (5, 5), &residuals, 0.02, 0.05, 0.9, 400);
        let mut rng = SeedSequence::new(&[77]).pcg64();
        let mut scores = |mean: f64| -> Vec<f64> {
            (0..5).map(|_| mean + residuals[rng.random_range(0..residuals.len())]).collect()
        };
        const REPETITIONS: usize = 4000;
        let found = (0..REPETITIONS)
            .filter(|_| {
                let (baseline, run) = (scores(1.0), scores(1.0 - visible));
                Test::new(&splits, &baseline, &run).worse(0.02) <= 0.05
            })
            .count();
        let rate = found as f64 / REPETITIONS as f64;
        assert!((0.87..=0.93).contains(&rate), "found {rate}");
    }

    proptest! {
        /// The proof that the gate's error rate holds at every margin rests on this.
        #[test]
        fn a_run_that_is_better_throughout_never_looks_worse(
            baseline in prop::collection::vec(-1.0f64..1.0, 1..7),
            run in prop::collection::vec(-1.0f64..1.0, 1..7),
            gain in 0.0f64..1.0,
            margin in 0.0f64..0.5,
        ) {
            let splits = splits(baseline.len(), run.len());
            let better: Vec<f64> = run.iter().map(|score| score + gain).collect();
            let before = Test::new(&splits, &baseline, &run).worse(margin);
            prop_assert!(Test::new(&splits, &baseline, &better).worse(margin) >= before - 1e-12);
        }

        #[test]
        fn bounds_and_p_values_agree(
            baseline in prop::collection::vec(-1.0f64..1.0, 4..7),
            run in prop::collection::vec(-1.0f64..1.0, 4..7),
            alpha in 0.02f64..0.3,
        ) {
            let test = Test::new(&splits(baseline.len(), run.len()), &baseline, &run);
            let (low, high) = test.bounds(alpha);
            prop_assert!(test.worse(low - 1e-6) <= alpha && test.worse(low + 1e-6) > alpha);
            prop_assert!(test.better(-high - 1e-6) <= alpha && test.better(-high + 1e-6) > alpha);
        }
    }
}

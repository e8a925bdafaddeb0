//! A permutation test of "worse by more than".
//!
//! Where nothing has changed, it is chance which of the n + m scores belong to the baseline and which to
//! the run, so the observed split is one among C(n + m, m) equally probable ones. The test counts how many
//! of them look at least as bad as the observed one; that count is exact for *any* distribution of scores,
//! normal, skewed or with two humps, which no t test can say of five seeds. (Fisher 1935; Lehmann and
//! Romano, "Testing Statistical Hypotheses", section 15.2.)
//!
//! The statistic is the difference of means. A split that exchanges j scores of the run against j of the
//! baseline looks at least as bad under "the run dropped by δ" exactly if its *drop* (the mean of the
//! baseline's j scores minus the mean of the run's j) is at most δ. So one list of drops, one for each
//! split, gives the p-value for every δ, the confidence bounds of the drop, and its shift under a true drop.

use rand::seq::SliceRandom as _;

use crate::rng::SeedSequence;

/// How much work an answer is worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    /// Up to this many splits are all looked at; of more, so many are drawn.
    pub splits: usize,
    /// Simulated experiments behind [`super::test::smallest_visible_drop`].
    pub simulations: usize,
}

impl Effort {
    /// For verdicts.
    pub(super) const FULL: Self = Self { splits: 5_000, simulations: 400 };

    /// For trying out many numbers of seeds at error rate `alpha`: as few splits as still resolve it.
    pub(super) fn search(alpha: f64) -> Self {
        let splits = (10.0 / alpha).clamp(1_000.0, Self::FULL.splits as f64) as usize;
        Self { splits, simulations: 100 }
    }
}

/// Rounding of sums of scores that are about 1 in size; two drops so near to each other are a tie.
const ROUNDING: f64 = 1e-9;

/// The scores of a baseline and of a run. More is better; they are about 1 in size.
pub(super) type Experiment<'a> = (&'a [f64], &'a [f64]);

/// The ways to split n + m scores into a baseline's and a run's, the observed one left out.
pub(super) struct Splits {
    run_size: usize,
    /// The members of the run, `run_size` for each split. Indices below the baseline's size are scores of
    /// the baseline.
    members: Vec<u16>,
}

impl Splits {
    /// All of them, or as many as `effort` says, drawn at random, where there are more. `None` where a
    /// side is empty or has more than 10,000 seeds, the most that an experiment may have.
    pub(super) fn new(baseline_size: usize, run_size: usize, effort: Effort) -> Option<Self> {
        const MOST_SEEDS: usize = 10_000;
        let sizes = 1..=MOST_SEEDS;
        if !sizes.contains(&baseline_size) || !sizes.contains(&run_size) {
            return None;
        }
        let total = baseline_size + run_size;
        let members = match combinations(total, run_size, effort.splits) {
            Some(count) => all_splits(total, run_size, count),
            None => drawn_splits(total, run_size, effort.splits),
        };
        Some(Self { run_size, members })
    }

    /// How many splits there are, the observed one included.
    pub(super) fn count(&self) -> usize {
        self.members.len() / self.run_size + 1
    }

    /// The drop of each split, see the module's documentation, for `N` experiments side by side.
    fn drops<const N: usize>(&self, experiments: [Experiment<'_>; N]) -> [Vec<f64>; N] {
        let baseline_size = experiments[0].0.len();
        // One after the other every seed's scores in all experiments, so that a seed is looked up once.
        let scores: Vec<[f64; N]> = (0..baseline_size)
            .map(|seed| experiments.map(|(baseline, _)| baseline[seed]))
            .chain((0..self.run_size).map(|seed| experiments.map(|(_, run)| run[seed])))
            .collect();
        let observed = experiments.map(|(_, run)| run.iter().sum::<f64>());
        let mut drops = std::array::from_fn(|_| Vec::with_capacity(self.count() - 1));
        for members in self.members.chunks_exact(self.run_size) {
            let mut sums = [0.0; N];
            let mut exchanged = 0_u32;
            for &member in members {
                let member = usize::from(member);
                for (sum, score) in sums.iter_mut().zip(&scores[member]) {
                    *sum += score;
                }
                exchanged += u32::from(member < baseline_size);
            }
            for (experiment, drops) in drops.iter_mut().enumerate() {
                drops.push((sums[experiment] - observed[experiment]) / f64::from(exchanged));
            }
        }
        drops
    }

    /// The largest drop of each experiment that is exceeded at error rate `alpha`, as [`Permutation::bounds`] gives it but
    /// in less time.
    pub(super) fn least_drops<const N: usize>(
        &self,
        experiments: [Experiment<'_>; N],
        alpha: f64,
    ) -> [f64; N] {
        match allowed(alpha, self.count()) {
            Some(rank) if rank + 1 < self.count() => self
                .drops(experiments)
                .map(|mut drops| *drops.select_nth_unstable_by(rank, f64::total_cmp).1),
            _ => [f64::NEG_INFINITY; N],
        }
    }
}

/// C(total, chosen), `None` where it is more than `most`.
fn combinations(total: usize, chosen: usize, most: usize) -> Option<usize> {
    let mut count = 1_usize;
    for index in 0..chosen.min(total - chosen) {
        count = count * (total - index) / (index + 1);
        if count > most {
            return None;
        }
    }
    Some(count)
}

/// All splits in lexicographic order. The last one has the run's own scores: the observed one, left out.
fn all_splits(total: usize, chosen: usize, count: usize) -> Vec<u16> {
    let mut members = Vec::with_capacity(chosen * (count - 1));
    let mut current: Vec<usize> = (0..chosen).collect();
    for _ in 0..count - 1 {
        members.extend(current.iter().map(|&member| member as u16));
        let last = total - chosen;
        let moving = (0..chosen).rev().find(|&place| current[place] < last + place);
        let moving = moving.expect("only the last split has no successor");
        current[moving] += 1;
        for place in moving + 1..chosen {
            current[place] = current[place - 1] + 1;
        }
    }
    members
}

fn drawn_splits(total: usize, chosen: usize, count: usize) -> Vec<u16> {
    let mut rng = SeedSequence::new(&[total as u64, chosen as u64]).pcg64();
    let mut pool: Vec<u16> = (0..total).map(|index| index as u16).collect();
    let mut members = Vec::with_capacity(chosen * (count - 1));
    while members.len() < chosen * (count - 1) {
        let (drawn, _) = pool.partial_shuffle(&mut rng, chosen);
        // The observed split is counted once, on its own.
        if drawn.iter().any(|&member| usize::from(member) < total - chosen) {
            members.extend_from_slice(drawn);
        }
    }
    members
}

/// What the splits of a baseline's and a run's scores say about the drop between them.
pub(super) struct Permutation {
    /// Ascending; the observed split is not in it.
    drops: Vec<f64>,
}

impl Permutation {
    /// Tests runs against their baselines.
    pub(super) fn of_each<const N: usize>(
        splits: &Splits,
        experiments: [Experiment<'_>; N],
    ) -> [Self; N] {
        splits.drops(experiments).map(|mut drops| {
            drops.sort_unstable_by(f64::total_cmp);
            Self { drops }
        })
    }

    /// How probable a split at least as bad as the observed one is, if the true drop is `margin`: small
    /// values say that the run is worse by more than that.
    pub(super) fn worse(&self, margin: f64) -> f64 {
        let as_bad = self.drops.partition_point(|&drop| drop <= margin + ROUNDING);
        (1 + as_bad) as f64 / (1 + self.drops.len()) as f64
    }

    /// The same for "better by more than `margin`".
    pub(super) fn better(&self, margin: f64) -> f64 {
        let unlike = self.drops.partition_point(|&drop| drop < -margin - ROUNDING);
        (1 + self.drops.len() - unlike) as f64 / (1 + self.drops.len()) as f64
    }

    /// The largest drop that is exceeded at error rate `alpha`, and the smallest that is not reached;
    /// infinite where the splits are too few to say.
    pub(super) fn bounds(&self, alpha: f64) -> (f64, f64) {
        match allowed(alpha, self.drops.len() + 1) {
            Some(rank) if rank < self.drops.len() => {
                (self.drops[rank], self.drops[self.drops.len() - 1 - rank])
            }
            _ => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }
}

/// How many splits besides the observed one may look as bad at error rate `alpha`; `None` where even the
/// worst split is too probable.
fn allowed(alpha: f64, splits: usize) -> Option<usize> {
    // Error rates such as 0.05 / 1 times 20 splits are meant to be whole numbers.
    let count = (alpha * splits as f64 + ROUNDING).floor() as usize;
    count.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn test(baseline: &[f64], run: &[f64]) -> Permutation {
        let splits = Splits::new(baseline.len(), run.len(), Effort::FULL).expect("seeds");
        let [test] = Permutation::of_each(&splits, [(baseline, run)]);
        test
    }

    const BASELINE: [f64; 5] = [0.91, 1.02, 0.97, 1.10, 0.99];
    const RUN: [f64; 5] = [0.80, 0.95, 1.00, 0.78, 0.88];
    /// Sums of these are exact and all different: a split ties only with its mirror image.
    const TIES: [f64; 5] = [0.5, 0.25, 1.0, 0.125, 2.0];
    const HUMPS: [f64; 6] = [1.0, 1.0, 1.0, 0.0, 1.0, 1.0];

    /// Expected values: `scipy.stats.permutation_test` (1.17.1), independent, exact, of the difference of
    /// means, with the margin added to or taken from the run.
    #[test]
    fn p_values_equal_scipys() {
        /// Baseline, run, margin, p-value of worse, p-value of better.
        type Case<'a> = (&'a [f64], &'a [f64], f64, f64, f64);
        let cases: [Case<'_>; 9] = [
            (&BASELINE, &RUN, 0.0, 0.03571428571428571, 0.9722222222222222),
            (&BASELINE, &RUN, 0.02, 0.05952380952380952, 0.9801587301587301),
            (&BASELINE, &RUN, 0.1, 0.39285714285714285, 1.0),
            (&HUMPS, &[0.5, 1.3, 0.9], 0.02, 0.5238095238095238, 0.4880952380952381),
            (&HUMPS, &[0.5, 1.3, 0.9], 0.1, 0.8214285714285714, 0.6071428571428571),
            (&TIES, &TIES, 0.0, 0.5634920634920635, 0.5634920634920635),
            (&TIES, &TIES, 0.25, 0.7261904761904762, 0.7261904761904762),
            (&HUMPS, &[0.0, 0.0, 1.0, 0.0], 0.0, 0.11904761904761904, 0.9952380952380953),
            (&HUMPS, &[0.0, 0.0, 1.0, 0.0], 0.1, 0.11904761904761904, 0.9952380952380953),
        ];
        for (baseline, run, margin, worse, better) in cases {
            let test = test(baseline, run);
            assert!((test.worse(margin) - worse).abs() < 1e-12, "{run:?} worse by {margin}");
            assert!((test.better(margin) - better).abs() < 1e-12, "{run:?} better by {margin}");
        }
    }

    #[test]
    fn splits_are_counted_up_to_the_effort() {
        let count = |n, m| Splits::new(n, m, Effort::FULL).map(|splits| splits.count());
        assert_eq!(count(5, 5), Some(252));
        assert_eq!(count(5, 1), Some(6));
        assert_eq!(count(1, 1), Some(2));
        assert_eq!(count(20, 20), Some(Effort::FULL.splits));
        assert_eq!(count(0, 5), None);
    }

    #[test]
    fn one_seed_proves_nothing() {
        assert!(test(&BASELINE, &[0.0]).worse(0.0) > 0.05);
        assert_eq!(test(&BASELINE, &[0.0]).bounds(0.05), (f64::NEG_INFINITY, f64::INFINITY));
    }

    proptest! {
        /// The proof that the gate's error rate holds at every margin rests on this.
        #[test]
        fn a_better_run_never_looks_worse(
            baseline in prop::collection::vec(-1.0f64..1.0, 1..7),
            mut run in prop::collection::vec(-1.0f64..1.0, 1..7),
            gain in 0.0f64..1.0,
            margin in 0.0f64..0.5,
        ) {
            let before = test(&baseline, &run).worse(margin);
            run[0] += gain;
            prop_assert!(test(&baseline, &run).worse(margin) >= before);
        }

        #[test]
        fn side_by_side_or_alone_is_the_same(
            scores in prop::collection::vec(-1.0f64..1.0, 33),
            alpha in 0.02f64..0.3,
        ) {
            let pairs: Vec<(&[f64], &[f64])> = scores.chunks(11).map(|c| c.split_at(6)).collect();
            let splits = Splits::new(6, 5, Effort::FULL).expect("seeds");
            let together = splits.least_drops([pairs[0], pairs[1], pairs[2]], alpha);
            for (pair, together) in pairs.into_iter().zip(together) {
                prop_assert_eq!(splits.least_drops([pair], alpha), [together]);
            }
        }

        #[test]
        fn bounds_and_p_values_agree(
            baseline in prop::collection::vec(-1.0f64..1.0, 4..7),
            run in prop::collection::vec(-1.0f64..1.0, 4..7),
            alpha in 0.02f64..0.3,
        ) {
            let test = test(&baseline, &run);
            let (low, high) = test.bounds(alpha);
            prop_assert!(test.worse(low - 1e-6) <= alpha && test.worse(low + 1e-6) > alpha);
            let splits = Splits::new(baseline.len(), run.len(), Effort::FULL).expect("seeds");
            prop_assert_eq!(splits.least_drops([(&baseline, &run)], alpha), [low]);
            prop_assert!(test.better(-high - 1e-6) <= alpha && test.better(-high + 1e-6) > alpha);
        }
    }
}

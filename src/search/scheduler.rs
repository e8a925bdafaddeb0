//! Which samples go on.

use std::cmp::Ordering;

use rand::RngExt as _;

use super::score::SoFar;
use crate::experiment::SchedulerSpec;
use crate::rng::Rng;
use crate::stats;

impl SchedulerSpec {
    /// Which of `samples` goes on in each one's place: itself, another one whose training is handed on to it, or none, where
    /// it stops. `samples` holds how each of their seeds has gone. A seed that has not ended an episode yet tells nothing,
    /// and a sample of which nothing is known goes on.
    pub fn successors(&self, samples: &[Vec<Option<SoFar>>], rng: &mut Rng) -> Vec<Option<usize>> {
        let over_seeds = |of: fn(&SoFar) -> f64| -> Vec<Option<f64>> {
            let values = |seeds: &Vec<Option<SoFar>>| -> Vec<f64> {
                seeds.iter().flatten().map(of).collect()
            };
            samples.iter().map(|seeds| stats::mean(&values(seeds))).collect()
        };
        match *self {
            // Asynchronous halving does not compare samples in rounds.
            Self::None | Self::AsynchronousHalving { .. } => (0..samples.len()).map(Some).collect(),
            Self::MedianStopping { .. } => {
                let (best, overall) = (over_seeds(|s| s.best), over_seeds(|s| s.overall));
                let goes_on = |(i, best): (usize, &Option<f64>)| {
                    let others = overall.iter().enumerate().filter(|(other, _)| *other != i);
                    let others: Vec<f64> = others.filter_map(|(_, overall)| *overall).collect();
                    let median = stats::median(&others);
                    best.zip(median).is_none_or(|(best, median)| best >= median).then_some(i)
                };
                best.iter().enumerate().map(goes_on).collect()
            }
            Self::SuccessiveHalving { reduction_factor, .. } => {
                let places = samples.len().div_ceil(reduction_factor as usize);
                let mut successors = vec![None; samples.len()];
                for i in best_first(&over_seeds(|s| s.latest), places) {
                    successors[i] = Some(i);
                }
                successors
            }
            Self::PopulationBasedTraining { .. } => {
                let latest = over_seeds(|s| s.latest);
                let mut known = best_first(&latest, samples.len());
                known.retain(|&i| latest[i].is_some());
                let share = self.replaced(known.len() as u64) as usize;
                let (best, worst) = (&known[..share], &known[known.len() - share..]);
                let goes_on = |i| {
                    let mut chosen = || best[rng.random_range(..best.len())];
                    Some(if worst.contains(&i) { chosen() } else { i })
                };
                (0..samples.len()).map(goes_on).collect()
            }
        }
    }
}

/// Which samples of these scores go on where there are so many `places`, best first: of equals the one that was drawn
/// first. Those of which nothing is known (NaN tells nothing either) go on too, before the others.
pub(super) fn best_first(scores: &[Option<f64>], places: usize) -> Vec<usize> {
    let (unknown, mut known): (Vec<usize>, Vec<usize>) =
        (0..scores.len()).partition(|&i| scores[i].is_none_or(f64::is_nan));
    known.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap_or(Ordering::Equal));
    known.truncate(places);
    [unknown, known].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rng::{Purpose, stream};

    const HALVING: SchedulerSpec =
        SchedulerSpec::SuccessiveHalving { grace_period: 100, reduction_factor: 3 };
    const MEDIAN: SchedulerSpec = SchedulerSpec::MedianStopping { grace_period: 100, interval: 50 };

    /// Whether each sample goes on as what it is.
    fn survivors(scheduler: &SchedulerSpec, samples: &[Vec<Option<SoFar>>]) -> Vec<bool> {
        let successors = scheduler.successors(samples, &mut stream(0, Purpose::Search, 0));
        successors.iter().enumerate().map(|(i, successor)| *successor == Some(i)).collect()
    }

    fn so_far(latest: f64, best: f64, overall: f64) -> Vec<Option<SoFar>> {
        vec![Some(SoFar { latest, best, overall })]
    }

    #[test]
    fn halving_keeps_the_best_third() {
        let samples: Vec<_> = [3.0, 9.0, 1.0, 7.0, 5.0, 8.0].map(|x| so_far(x, x, x)).into();
        assert_eq!(survivors(&HALVING, &samples), [false, true, false, false, false, true]);
        let unknown = [samples, vec![vec![None]]].concat();
        assert!(survivors(&HALVING, &unknown)[6], "nothing is known of it yet");
    }

    #[test]
    fn halving_keeps_the_first_of_equals() {
        let equal = vec![so_far(9.0, 9.0, 9.0); 7];
        let first_three = [true, true, true, false, false, false, false];
        assert_eq!(survivors(&HALVING, &equal), first_three);
        let samples: Vec<_> = [1.0, 5.0, 5.0, 7.0, 5.0, 5.0].map(|x| so_far(x, x, x)).into();
        assert_eq!(survivors(&HALVING, &samples), [false, true, false, true, false, false]);
    }

    #[test]
    fn halving_averages_over_seeds() {
        let lucky = [so_far(100.0, 0.0, 0.0), so_far(0.0, 0.0, 0.0)].concat();
        let steady = [so_far(60.0, 0.0, 0.0), so_far(60.0, 0.0, 0.0)].concat();
        let poor = [so_far(1.0, 0.0, 0.0), so_far(1.0, 0.0, 0.0)].concat();
        assert_eq!(survivors(&HALVING, &[lucky, steady, poor]), [false, true, false]);
    }

    #[test]
    fn the_median_rule_compares_the_best_so_far_with_the_others_averages() {
        let samples = [
            so_far(0.0, 10.0, 4.0), // best 10 against the median of 5 and 30
            so_far(0.0, 20.0, 5.0), // best 20 against the median of 4 and 30
            so_far(0.0, 40.0, 30.0),
        ];
        assert_eq!(survivors(&MEDIAN, &samples), [false, true, true]);
    }

    #[test]
    fn a_population_replaces_its_worst_by_its_best() {
        let scheduler = SchedulerSpec::PopulationBasedTraining {
            interval: 100,
            quantile_fraction: 0.25,
            resample_probability: 0.25,
            perturbation_factors: [0.8, 1.2],
        };
        assert_eq!(scheduler.milestones(350), [100, 200, 300]);
        let mut samples: Vec<_> =
            [3.0, 9.0, 1.0, 7.0, 5.0, 8.0, 2.0].map(|x| so_far(x, x, x)).into();
        samples.push(vec![None]);
        let mut chosen = BTreeSet::new();
        for seed in 0..20 {
            let rng = &mut stream(seed, Purpose::Search, 0);
            let successors = scheduler.successors(&samples, rng);
            for (i, successor) in successors.into_iter().enumerate() {
                if [2, 6].contains(&i) {
                    chosen.insert(successor.expect("it has a successor"));
                } else {
                    assert_eq!(successor, Some(i));
                }
            }
        }
        assert_eq!(chosen, BTreeSet::from([1, 5]), "either of the two best");
        let alone = [so_far(1.0, 1.0, 1.0)];
        assert_eq!(survivors(&scheduler, &alone), [true], "nobody is better");
    }
}

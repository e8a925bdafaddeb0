//! Statistics over seeds: pure functions of numbers.
//!
//! A *score* is one number for one seed, for example the mean return of its evaluation episodes. With the
//! few seeds that reinforcement learning can afford, point estimates mislead; the aggregates and intervals
//! here are those of Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical
//! Precipice" (NeurIPS 2021), under the same names.
//!
//! What is not defined for too few values is `None`, never a made-up zero.

use std::collections::VecDeque;

use rand::RngExt as _;
use serde::{Deserialize, Serialize};

use crate::rng::{Rng, SeedSequence};

/// The arithmetic mean; `None` for no values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The mean of the new values less that of the old ones: 0 where it is no more than sums of such values round by.
/// `None` where there are no values on a side.
pub fn difference_of_means(old: &[f64], new: &[f64]) -> Option<f64> {
    /// The rounding of a mean over thousands of values, as a part of the largest.
    const ROUNDING: f64 = 1e-12;
    let difference = mean(new)? - mean(old)?;
    let largest = old.iter().chain(new).fold(0.0, |largest: f64, value| largest.max(value.abs()));
    Some(if difference.abs() <= ROUNDING * largest { 0.0 } else { difference })
}

/// The mean of the last values of a sequence.
#[derive(Debug, Clone)]
pub struct MovingMean {
    window: usize,
    recent: VecDeque<f64>,
    sum: f64,
}

impl MovingMean {
    /// Over at most `window` values.
    pub fn new(window: usize) -> Self {
        Self { window, recent: VecDeque::new(), sum: 0.0 }
    }

    /// Adds a value. Gives the mean, and whether it is one of a whole window.
    pub fn push(&mut self, value: f64) -> (f64, bool) {
        if self.recent.len() == self.window {
            self.sum -= self.recent.pop_front().unwrap_or(0.0);
        }
        self.recent.push_back(value);
        self.sum += value;
        (self.sum / self.recent.len() as f64, self.recent.len() == self.window)
    }
}

/// The sample standard deviation (divisor n - 1); `None` for fewer than two values.
pub fn sample_std(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// The middle value, or the mean of the two middle ones; `None` for no values.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The quantile at `q` in [0, 1], linear between neighbours (NumPy's default); `None` for no values.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    quantile_of_sorted(&sorted, q)
}

fn quantile_of_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = q.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (position.floor() as usize, position.ceil() as usize);
    let (low, high) = (sorted[below], sorted[above]);
    // Equal neighbours are returned as they are: the interpolation would round.
    Some(if low == high { low } else { low + (high - low) * (position - below as f64) })
}

/// The mean of the middle half of the values: a quarter of them, rounded down, is cut at either end
/// (as in rliable: SciPy's `trim_mean` at 0.25). `None` for no values.
pub fn interquartile_mean(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let cut = sorted.len() / 4;
    mean(&sorted[cut..sorted.len() - cut])
}

/// `most` (at least 2, at most `n`) of the numbers below `n`, evenly chosen, the first and the last one among them.
pub fn evenly(n: usize, most: usize) -> impl Iterator<Item = usize> {
    (0..most).map(move |i| i * (n - 1) / (most - 1))
}

/// By how much the scores fall short of `target` on average, where a score above it counts as reaching
/// it: `target - mean(min(score, target))`. `None` for no scores.
pub fn optimality_gap(scores: &[f64], target: f64) -> Option<f64> {
    let capped: Vec<f64> = scores.iter().map(|score| score.min(target)).collect();
    mean(&capped).map(|mean| target - mean)
}

/// The fraction of scores above each threshold: the performance profile. Empty for no scores.
pub fn performance_profile(scores: &[f64], thresholds: &[f64]) -> Vec<f64> {
    if scores.is_empty() {
        return Vec::new();
    }
    let above = |threshold| scores.iter().filter(|&&score| score > threshold).count();
    thresholds.iter().map(|&threshold| above(threshold) as f64 / scores.len() as f64).collect()
}

/// The probability that a random score of `x` exceeds a random score of `y`, ties counting half: the
/// Mann-Whitney U statistic divided by n·m. `None` where either side has no scores.
pub fn probability_of_improvement(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.is_empty() || y.is_empty() {
        return None;
    }
    let mut sorted = y.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    // Twice U, so that ties stay whole numbers.
    let doubled: usize = x
        .iter()
        .map(|score| {
            let below = sorted.partition_point(|other| other < score);
            let not_above = sorted.partition_point(|other| other <= score);
            below + not_above
        })
        .sum();
    Some(doubled as f64 / (2 * x.len() * y.len()) as f64)
}

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Percentile stratified bootstrap: every stratum (an agent's or a run's seeds) is resampled with
/// replacement on its own, the statistic is computed on each resample, and the interval spans the middle
/// `confidence` of the results. The same seed gives the same interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// How many resamples are drawn, of few scores; rliable uses 50,000.
    pub resamples: usize,
    /// The interval's confidence, for example 0.95.
    pub confidence: f64,
    /// Seed of the resampling.
    pub seed: u64,
}

/// Scores that a bootstrap draws in all: with more than 200 of them there are fewer resamples, which noise is the smaller
/// the more scores there are.
const MOST_DRAWS: usize = 2_000_000;
/// The fewest resamples, however many scores there are.
const FEWEST_RESAMPLES: usize = 1_000;

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 10_000, confidence: 0.95, seed: 0 }
    }
}

impl Bootstrap {
    /// The interval of a statistic of one group of scores, for example [`interquartile_mean`]. `None` for
    /// fewer than two scores: one seed says nothing about scatter.
    pub fn interval(
        &self,
        scores: &[f64],
        statistic: impl Fn(&[f64]) -> Option<f64>,
    ) -> Option<Interval> {
        self.stratified(&[scores], |strata| statistic(&strata[0]))
    }

    /// The interval of a statistic of several groups, each resampled on its own. `None` where a group has
    /// fewer than two scores or the statistic is not defined.
    pub fn stratified(
        &self,
        strata: &[&[f64]],
        statistic: impl Fn(&[Vec<f64>]) -> Option<f64>,
    ) -> Option<Interval> {
        if strata.iter().any(|scores| scores.len() < 2) {
            return None;
        }
        let mut rng: Rng = SeedSequence::new(&[self.seed]).pcg64();
        let mut drawn: Vec<Vec<f64>> = strata.iter().map(|scores| scores.to_vec()).collect();
        let scores: usize = strata.iter().map(|scores| scores.len()).sum();
        let resamples = self.resamples.min((MOST_DRAWS / scores.max(1)).max(FEWEST_RESAMPLES));
        let mut results = Vec::with_capacity(resamples);
        for _ in 0..resamples {
            for (sample, scores) in drawn.iter_mut().zip(strata) {
                for value in sample {
                    *value = scores[rng.random_range(0..scores.len())];
                }
            }
            results.push(statistic(&drawn)?);
        }
        results.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - self.confidence) / 2.0;
        Some(Interval {
            low: quantile_of_sorted(&results, tail)?,
            high: quantile_of_sorted(&results, 1.0 - tail)?,
        })
    }

    /// The interval of [`probability_of_improvement`] of `x` over `y`.
    pub fn improvement(&self, x: &[f64], y: &[f64]) -> Option<Interval> {
        self.stratified(&[x, y], |strata| probability_of_improvement(&strata[0], &strata[1]))
    }
}

/// What training had cost when something was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Environment steps.
    pub steps: u64,
    /// Training episodes.
    pub episodes: u64,
    /// Wall-clock seconds of training.
    pub seconds: f64,
}

/// A point of one seed's learning curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// What training had cost.
    pub cost: Cost,
    /// The mean return there.
    pub value: f64,
}

/// When a seed's learning curve first reached a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeToThreshold {
    /// Reached at this cost.
    Reached(Cost),
    /// Not reached by the end of training, which had cost this much: the true time is longer (censored).
    Censored(Cost),
}

impl TimeToThreshold {
    /// The cost, of reaching the threshold or of giving up.
    pub fn cost(self) -> Cost {
        match self {
            Self::Reached(cost) | Self::Censored(cost) => cost,
        }
    }

    /// Whether the threshold was reached.
    pub fn reached(self) -> bool {
        matches!(self, Self::Reached(_))
    }
}

/// The first point of a curve (in the order of training) at or above `threshold`; `None` for a curve
/// without points.
pub fn time_to_threshold(curve: &[CurvePoint], threshold: f64) -> Option<TimeToThreshold> {
    let last = curve.last()?;
    let first = curve.iter().find(|point| point.value >= threshold);
    Some(
        first.map_or(TimeToThreshold::Censored(last.cost), |point| {
            TimeToThreshold::Reached(point.cost)
        }),
    )
}

/// The median time to the threshold over seeds, by Kaplan and Meier's estimate, which counts censored
/// seeds for as long as they were seen. `times` are pairs of the time and whether the threshold was
/// reached then. `None` where half of the seeds are not known to have reached it.
pub fn median_time(times: &[(f64, bool)]) -> Option<f64> {
    let mut sorted = times.to_vec();
    // A seed censored at the moment another one arrives was still under way then.
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    let mut survival = 1.0;
    for (index, &(time, reached)) in sorted.iter().enumerate() {
        if reached {
            let at_risk = (sorted.len() - index) as f64;
            survival *= (at_risk - 1.0) / at_risk;
            // Products of fractions such as 4/5·3/4 miss one half by rounding.
            if survival <= 0.5 + 1e-12 {
                return Some(time);
            }
        }
    }
    None
}

/// The area under a learning curve divided by its width: the mean height (trapezoids) between the first
/// point and `until`. `points` are (cost, value) with rising cost. A curve that ends before `until`
/// (training stopped early because the task was solved) goes on at its last value; one that ends later
/// is cut there. `None` for fewer than one point or a width of nothing with several points.
pub fn area_under_curve(points: &[(f64, f64)], until: f64) -> Option<f64> {
    let &(start, first) = points.first()?;
    let &(_, last) = points.last()?;
    let width = until - start;
    if points.len() == 1 || width <= 0.0 {
        return (points.len() == 1).then_some(first);
    }
    let mut area = 0.0;
    let closing = [(until, last)];
    let ends = points.iter().skip(1).chain(&closing);
    for (&(x0, y0), &(x1, y1)) in points.iter().zip(ends) {
        if x0 >= until {
            break;
        }
        if x1 <= x0 {
            continue;
        }
        let right = x1.min(until);
        let height = y0 + (y1 - y0) * (right - x0) / (x1 - x0);
        area += (right - x0) * (y0 + height) / 2.0;
    }
    Some(area / width)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Expected values: NumPy 2.4.6, SciPy 1.17.1 and rliable 1.2.0 on these scores.
    const A: [f64; 10] = [200.0, 195.5, 9.3, 180.25, 200.0, 120.0, 77.125, 200.0, 31.0, 150.0];
    const B: [f64; 8] = [150.0, 88.0, 200.0, 45.5, 60.0, 31.0, 99.0, 12.0];

    fn close(value: Option<f64>, expected: f64) {
        let value = value.expect("defined");
        assert!((value - expected).abs() <= 1e-12 * expected.abs(), "{value} is not {expected}");
    }

    #[test]
    fn differences_within_rounding_are_none() {
        let (old, new) = ([0.1, 0.2, 0.3], [0.3, 0.2, 0.1]);
        assert_ne!(mean(&old), mean(&new), "the sums have to round differently");
        assert_eq!(difference_of_means(&old, &new), Some(0.0));
        // Not the means' size counts but that of what was summed.
        assert_eq!(difference_of_means(&[1e6, -1e6, 1e-7], &[1e6, -1e6, 0.0]), Some(0.0));
        assert_eq!(difference_of_means(&[1e-9], &[2e-9]), Some(1e-9));
        assert_eq!(difference_of_means(&[], &new), None);
    }

    #[test]
    fn aggregates_equal_numpy_scipy_and_rliable() {
        close(mean(&A), 136.3175);
        close(sample_std(&A), 73.62175106017696);
        close(median(&A), 165.125);
        close(quantile(&A, 0.1), 28.830000000000002);
        close(quantile(&A, 0.93), 200.0);
        close(interquartile_mean(&A), 153.8125);
        close(interquartile_mean(&A[..5]), 191.91666666666666);
        close(interquartile_mean(&A[..7]), 154.575);
        close(optimality_gap(&A, 195.0), 60.232500000000016);
        assert_eq!(
            performance_profile(&A, &[0.0, 50.0, 120.0, 195.5, 200.0]),
            [1.0, 0.8, 0.6, 0.3, 0.0]
        );
    }

    #[test]
    fn probability_of_improvement_equals_rliable_and_mann_whitney() {
        close(probability_of_improvement(&A, &B), 0.68125);
        close(probability_of_improvement(&A, &B), 54.5 / 80.0);
    }

    /// rliable with 50,000 resamples: IQM [83.308, 195.208], mean [91.015, 176.575], P(A > B) [0.4125,
    /// 0.925]. Ends of percentile intervals themselves scatter; the tolerance is 1 % of the interval's width
    /// for the smooth mean, 2 % for the others, whose resamples take few values.
    #[test]
    fn bootstrap_intervals_equal_rliable() {
        let bootstrap = Bootstrap { resamples: 50_000, ..Bootstrap::default() };
        let near = |interval: Option<Interval>, low: f64, high: f64, tolerance: f64| {
            let interval = interval.expect("defined");
            let slack = tolerance * (high - low);
            assert!((interval.low - low).abs() < slack, "{interval:?} against {low}");
            assert!((interval.high - high).abs() < slack, "{interval:?} against {high}");
        };
        near(bootstrap.interval(&A, mean), 91.0145625, 176.575, 0.01);
        near(bootstrap.interval(&A, interquartile_mean), 83.30833333, 195.20833333, 0.02);
        near(bootstrap.improvement(&A, &B), 0.4125, 0.925, 0.02);
    }

    #[test]
    fn too_few_values_are_undefined() {
        assert_eq!(mean(&[]), None);
        assert_eq!(sample_std(&[1.0]), None);
        assert_eq!(interquartile_mean(&[]), None);
        assert_eq!(optimality_gap(&[], 1.0), None);
        assert_eq!(probability_of_improvement(&[1.0], &[]), None);
        assert_eq!(Bootstrap::default().interval(&[1.0], mean), None);
        assert_eq!(median_time(&[]), None);
        assert_eq!(area_under_curve(&[], 1.0), None);
        assert_eq!(time_to_threshold(&[], 1.0), None);
    }

    /// Expected values: NumPy's `trapezoid` over the same points, extended or cut, divided by the width.
    #[test]
    fn area_is_extended_and_cut() {
        let curve = [(0.0, 1.0), (10.0, 3.0), (20.0, 2.0), (50.0, 8.0), (60.0, 9.0)];
        close(area_under_curve(&curve, 60.0), 4.666666666666667);
        close(area_under_curve(&curve, 100.0), 6.4);
        close(area_under_curve(&curve, 40.0), 3.125);
        close(area_under_curve(&[(5.0, 7.0)], 5.0), 7.0);
        assert_eq!(area_under_curve(&curve, 0.0), None);
    }

    /// Expected values: the survival function of `scipy.stats.ecdf` on right-censored data.
    #[test]
    fn median_time_equals_scipys_kaplan_meier() {
        let times = |reached: &[f64], censored: &[f64]| {
            let reached = reached.iter().map(|&time| (time, true));
            let censored = censored.iter().map(|&time| (time, false));
            median_time(&reached.chain(censored).collect::<Vec<_>>())
        };
        assert_eq!(times(&[10.0, 20.0, 30.0], &[25.0, 40.0]), Some(30.0));
        assert_eq!(times(&[10.0, 20.0], &[5.0, 30.0, 40.0]), Some(20.0));
        assert_eq!(times(&[10.0, 20.0, 30.0, 40.0], &[]), Some(20.0));
        assert_eq!(times(&[10.0, 20.0, 30.0, 40.0, 50.0], &[]), Some(30.0));
        assert_eq!(times(&[3.0, 8.0, 8.0, 12.0], &[8.0, 9.0, 15.0]), Some(12.0));
        assert_eq!(times(&[10.0, 20.0], &[50.0, 50.0, 50.0]), None);
    }

    #[test]
    fn a_threshold_is_reached_at_its_first_point_or_censored_at_the_last() {
        let point = |steps: u64, value| {
            let cost = Cost { steps, episodes: steps / 10, seconds: steps as f64 / 100.0 };
            CurvePoint { cost, value }
        };
        let curve = [point(100, 10.0), point(200, 50.0), point(300, 40.0), point(400, 60.0)];
        let reached = time_to_threshold(&curve, 50.0).expect("a curve");
        assert!(reached.reached());
        assert_eq!(reached.cost(), Cost { steps: 200, episodes: 20, seconds: 2.0 });
        let censored = time_to_threshold(&curve, 61.0).expect("a curve");
        assert_eq!(censored, TimeToThreshold::Censored(curve[3].cost));
    }

    #[test]
    fn a_bootstrap_repeats_itself_and_narrows_with_confidence() {
        let wide = Bootstrap { resamples: 2000, ..Bootstrap::default() };
        let narrow = Bootstrap { confidence: 0.5, ..wide };
        assert_eq!(wide.interval(&A, median), wide.interval(&A, median));
        let (wide, narrow) = (wide.interval(&A, mean), narrow.interval(&A, mean));
        let (wide, narrow) = (wide.expect("defined"), narrow.expect("defined"));
        assert!(wide.low < narrow.low && narrow.high < wide.high);
    }

    fn scores() -> impl Strategy<Value = Vec<f64>> {
        // Small whole numbers, so that ties happen.
        prop::collection::vec((-20i32..20).prop_map(f64::from), 1..30)
    }

    proptest! {
        #[test]
        fn aggregates_stay_within_the_scores(scores in scores()) {
            let low = scores.iter().copied().fold(f64::INFINITY, f64::min);
            let high = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            for value in [interquartile_mean(&scores), median(&scores), mean(&scores)] {
                let value = value.expect("defined");
                prop_assert!(low <= value && value <= high);
            }
            prop_assert!(optimality_gap(&scores, high).expect("defined") >= 0.0);
        }

        #[test]
        fn improvements_of_either_side_add_up(x in scores(), y in scores()) {
            let sum = probability_of_improvement(&x, &y).expect("defined")
                + probability_of_improvement(&y, &x).expect("defined");
            prop_assert!((sum - 1.0).abs() < 1e-12);
        }

        #[test]
        fn a_profile_falls(scores in scores()) {
            let thresholds: Vec<f64> = (-21..21).map(f64::from).collect();
            let profile = performance_profile(&scores, &thresholds);
            prop_assert!(profile.windows(2).all(|pair| pair[0] >= pair[1]));
            prop_assert_eq!(profile[0], 1.0);
        }

        #[test]
        fn an_area_stays_within_its_curve(values in scores(), until in 0.5f64..60.0) {
            let curve: Vec<_> = values.iter().enumerate().map(|(x, &y)| (x as f64, y)).collect();
            let area = area_under_curve(&curve, until).expect("defined");
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(low - 1e-9 <= area && area <= high + 1e-9);
        }
    }
}

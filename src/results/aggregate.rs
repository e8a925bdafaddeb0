//! Curves of several seeds into one, against any measure of training's length.

use rand::RngExt as _;

use super::summary::{Curve, Reached};
use crate::rng::{Rng, SeedSequence};
use crate::stats;

/// What a curve is drawn against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// Environment steps.
    Steps,
    /// Finished training episodes.
    Episodes,
    /// Wall-clock seconds of training.
    Seconds,
}

impl Against {
    /// All of them, the one to begin with first.
    pub const ALL: [Self; 3] = [Self::Steps, Self::Episodes, Self::Seconds];

    /// The word for a button.
    pub fn word(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Episodes => "episodes",
            Self::Seconds => "seconds",
        }
    }

    /// The words for an axis.
    pub fn label(self) -> &'static str {
        match self {
            Self::Steps => "environment steps",
            Self::Episodes => "training episodes",
            Self::Seconds => "seconds of training",
        }
    }

    /// A curve's points against it.
    pub fn points(self, curve: &Curve) -> Vec<(f64, f64)> {
        let xs: Box<dyn Iterator<Item = f64>> = match self {
            Self::Steps => Box::new(curve.steps.iter().map(|&n| n as f64)),
            Self::Episodes => Box::new(curve.episodes.iter().map(|&n| n as f64)),
            Self::Seconds => Box::new(curve.seconds.iter().copied()),
        };
        xs.zip(curve.returns.iter().copied())
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .collect()
    }

    /// A moment against it.
    pub fn of(self, moment: &Reached) -> f64 {
        match self {
            Self::Steps => moment.steps as f64,
            Self::Episodes => moment.episodes as f64,
            Self::Seconds => moment.seconds,
        }
    }
}

/// A point of an aggregated curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Where.
    pub x: f64,
    /// The interquartile mean over seeds (the mean where there are fewer than four).
    pub middle: f64,
    /// The 95 % bootstrap interval of it, the middle itself for a single seed.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// Points of an aggregated curve: about one for every 15 pixels.
const POINTS: usize = 60;
/// Resamples of the seeds: the band is looked at, not computed with.
const RESAMPLES: usize = 400;

/// The interquartile mean over seeds with its interval. Between its points a seed's curve is straight; after
/// its last one (training stopped early) it goes on at that value. Empty where no seed has a curve.
pub fn over_seeds(seeds: &[Vec<(f64, f64)>]) -> Vec<Point> {
    let seeds: Vec<&[(f64, f64)]> =
        seeds.iter().map(Vec::as_slice).filter(|s| !s.is_empty()).collect();
    // Where the last seed begins, so that the first points do not speak for fewer seeds than the others.
    let start = seeds.iter().map(|seed| seed[0].0).fold(f64::NEG_INFINITY, f64::max);
    let end = seeds.iter().map(|seed| seed[seed.len() - 1].0).fold(f64::NEG_INFINITY, f64::max);
    if seeds.is_empty() {
        return Vec::new();
    }
    let resamples = resamples(seeds.len());
    let points = if end > start { POINTS } else { 1 };
    (0..points)
        .filter_map(|i| {
            let x = start + (end - start) * i as f64 / (POINTS - 1) as f64;
            let values: Vec<f64> = seeds.iter().map(|seed| at(seed, x)).collect();
            let middle = stats::interquartile_mean(&values)?;
            let (low, high) = interval(&values, &resamples).unwrap_or((middle, middle));
            Some(Point { x, middle, low, high })
        })
        .collect()
}

/// How often each of `n` seeds is drawn in each resample. All points of a curve share them: whole curves are
/// resampled, so the band has no jitter of its own, and hundreds of curves take no time.
fn resamples(n: usize) -> Vec<Vec<u32>> {
    let mut rng: Rng = SeedSequence::new(&[0]).pcg64();
    let mut draw = || {
        let mut counts = vec![0; n];
        for _ in 0..n {
            counts[rng.random_range(0..n)] += 1;
        }
        counts
    };
    if n < 2 { Vec::new() } else { (0..RESAMPLES).map(|_| draw()).collect() }
}

/// The 95 % percentile bootstrap interval of the interquartile mean; nothing for a single seed.
fn interval(values: &[f64], resamples: &[Vec<u32>]) -> Option<(f64, f64)> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let means: Vec<f64> =
        resamples.iter().map(|counts| interquartile_mean(values, &order, counts)).collect();
    Some((stats::quantile(&means, 0.025)?, stats::quantile(&means, 0.975)?))
}

/// [`stats::interquartile_mean`] of values that occur so many times each, visited in rising `order`.
fn interquartile_mean(values: &[f64], order: &[usize], counts: &[u32]) -> f64 {
    let cut = values.len() as u32 / 4;
    let kept = values.len() as u32 - 2 * cut;
    let (mut skip, mut take, mut sum) = (cut, kept, 0.0);
    for &index in order {
        let skipped = counts[index].min(skip);
        let taken = (counts[index] - skipped).min(take);
        skip -= skipped;
        take -= taken;
        sum += f64::from(taken) * values[index];
    }
    sum / f64::from(kept)
}

/// The height of a curve at `x`; its first and last values go on outside of it.
pub(super) fn at(curve: &[(f64, f64)], x: f64) -> f64 {
    let after = curve.partition_point(|&(place, _)| place < x);
    match (after.checked_sub(1).map(|before| curve[before]), curve.get(after)) {
        (Some((x0, y0)), Some(&(x1, y1))) if x1 > x0 => y0 + (y1 - y0) * (x - x0) / (x1 - x0),
        (_, Some(&(_, y))) | (Some((_, y)), None) => y,
        (None, None) => f64::NAN,
    }
}

/// At most `most` of `points`, evenly chosen, the first and the last one among them.
pub fn thinned(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    let n = points.len();
    if n <= most || most < 2 {
        return points.to_vec();
    }
    stats::evenly(n, most).map(|index| points[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_straight_between_points_and_go_on_at_the_end() {
        let curve = [(0.0, 0.0), (10.0, 20.0)];
        assert_eq!([at(&curve, -1.0), at(&curve, 5.0), at(&curve, 99.0)], [0.0, 10.0, 20.0]);
    }

    #[test]
    fn counted_values_have_the_same_mean_as_written_out_ones() {
        let values = [5.0, -1.0, 3.0, 8.0, 100.0];
        let counts = [0, 2, 1, 1, 1];
        let written_out = [-1.0, -1.0, 3.0, 8.0, 100.0];
        let mean = interquartile_mean(&values, &[1, 2, 0, 3, 4], &counts);
        assert_eq!(Some(mean), stats::interquartile_mean(&written_out));
        let (low, high) = interval(&values, &resamples(5)).unwrap();
        assert!(low < 5.0 && high > 5.0 && low >= -1.0 && high <= 100.0);
    }

    #[test]
    fn seeds_are_averaged_where_all_have_begun() {
        let points = over_seeds(&[vec![(0.0, 0.0), (10.0, 10.0)], vec![(2.0, 4.0), (4.0, 4.0)]]);
        assert_eq!((points[0].x, points[0].middle), (2.0, 3.0));
        let last = points[points.len() - 1];
        assert_eq!((last.x, last.middle), (10.0, 7.0));
        assert!(last.low <= 7.0 && last.high >= 7.0 && last.low < last.high);
        assert!(over_seeds(&[]).is_empty());
        assert_eq!(over_seeds(&[vec![(1.0, 5.0)]]).len(), 1);
    }
}

//! Welch's t test of the drop between a baseline and a run whose scores may scatter differently (Welch, Biometrika
//! 34, 1947; degrees of freedom by Satterthwaite).

use statrs::distribution::{ContinuousCDF as _, StudentsT};

use crate::stats;

/// Rounding of means of scores that are about 1 in size: no standard error is below it.
const ROUNDING: f64 = 1e-9;

/// What means and scatters say about the drop.
pub(super) struct Welch {
    /// The baseline's mean less the run's.
    drop: f64,
    /// The drop's standard error.
    error: f64,
    /// The distribution of the studentised drop where nothing has changed.
    distribution: StudentsT,
}

impl Welch {
    /// Fewer scores than this on a side say too little of its scatter: with two, the test's error rate is twice
    /// what it promises. Nothing is proven then.
    const FEWEST: usize = 3;

    /// Tests a run against a baseline.
    pub(super) fn new(baseline: &[f64], run: &[f64]) -> Self {
        let fewest = baseline.len().min(run.len());
        let of_mean = |scores: &[f64]| match stats::sample_std(scores) {
            Some(std) if fewest >= Self::FEWEST => std.powi(2) / scores.len() as f64,
            _ => f64::INFINITY,
        };
        let (before, now) = (of_mean(baseline), of_mean(run));
        let share = |variance: f64, scores: &[f64]| variance.powi(2) / (scores.len() - 1) as f64;
        let freedom = (before + now).powi(2) / (share(before, baseline) + share(now, run));
        // Not a number where nothing scatters, or too little is known.
        let freedom = freedom.max((fewest.max(2) - 1) as f64);
        let mean = |scores| stats::mean(scores).unwrap_or_default();
        Self {
            drop: mean(baseline) - mean(run),
            error: (before + now).sqrt().max(ROUNDING),
            distribution: StudentsT::new(0.0, 1.0, freedom)
                .expect("at least one degree of freedom"),
        }
    }

    /// The p-value of "worse by more than `margin`".
    pub(super) fn worse(&self, margin: f64) -> f64 {
        self.distribution.sf((self.drop - margin) / self.error)
    }

    /// The p-value of "better by more than `margin`".
    pub(super) fn better(&self, margin: f64) -> f64 {
        self.distribution.cdf((self.drop + margin) / self.error)
    }

    /// The largest drop that is exceeded at error rate `alpha`, and the smallest that is not reached.
    pub(super) fn bounds(&self, alpha: f64) -> (f64, f64) {
        let reach = self.distribution.inverse_cdf(alpha).abs() * self.error;
        (self.drop - reach, self.drop + reach)
    }
}

#[cfg(test)]
mod tests {
    use super::Welch;

    const BASELINE: [f64; 5] = [0.91, 1.02, 0.97, 1.10, 0.99];
    const RUN: [f64; 3] = [0.80, 0.95, 0.78];

    /// Expected values: Student's density, integrated by Simpson's rule with four million points.
    #[test]
    fn p_values_and_bounds_are_those_of_students_distribution() {
        let welch = Welch::new(&BASELINE, &RUN);
        let near = |value: f64, expected: f64| {
            assert!((value - expected).abs() < 1e-8, "{value} is not {expected}");
        };
        near(welch.worse(0.0), 0.0393227362583331);
        near(welch.worse(0.02), 0.05405901773423766);
        near(welch.better(0.02), 0.9708834819446577);
        near(welch.bounds(0.05).0, 0.015195640228855029);
        near(welch.bounds(0.05).1, 0.29413769310447824);
    }

    #[test]
    fn scores_without_scatter_are_compared_as_they_are() {
        let welch = Welch::new(&[1.0; 5], &[0.9; 3]);
        assert!(welch.worse(0.05) < 1e-6 && welch.worse(0.15) > 1.0 - 1e-6);
        let (least, most) = welch.bounds(0.01);
        assert!((least - 0.1).abs() < 1e-6 && (most - 0.1).abs() < 1e-6);
    }

    #[test]
    fn two_scores_are_too_few() {
        for welch in [Welch::new(&BASELINE, &RUN[..2]), Welch::new(&BASELINE[..2], &RUN)] {
            assert!(welch.worse(0.0) >= 0.5 && welch.better(0.0) >= 0.5);
            assert_eq!(welch.bounds(0.05), (f64::NEG_INFINITY, f64::INFINITY));
        }
    }
}

//! Running normalisation of observations and rewards, as Stable-Baselines3's `VecNormalize`.

use super::state::{StateError, Tensors};

/// Added to the variance under the square root.
const EPSILON: f64 = 1e-8;
/// How many samples the initial mean 0 and variance 1 count for.
const INITIAL_COUNT: f64 = 1e-4;

/// Mean and variance of everything seen so far, element by element.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    mean: Vec<f64>,
    variance: Vec<f64>,
    count: f64,
}

impl Moments {
    /// Of elements with `len` numbers, before any was seen.
    pub fn new(len: usize) -> Self {
        Self { mean: vec![0.0; len], variance: vec![1.0; len], count: INITIAL_COUNT }
    }

    /// Takes in a batch, row-major, by the parallel algorithm (Chan et al. 1979).
    pub fn update<N: Copy + Into<f64>>(&mut self, batch: &[N]) {
        let len = self.mean.len();
        let rows = (batch.len() / len) as f64;
        let total = self.count + rows;
        for (j, (mean, variance)) in self.mean.iter_mut().zip(&mut self.variance).enumerate() {
            let column = || batch.iter().skip(j).step_by(len).map(|&x| x.into());
            let batch_mean = column().sum::<f64>() / rows;
            let batch_squares = column().map(|x| (x - batch_mean).powi(2)).sum::<f64>();
            let delta = batch_mean - *mean;
            let squares =
                *variance * self.count + batch_squares + delta * delta * self.count * rows / total;
            *mean += delta * rows / total;
            *variance = squares / total;
        }
        self.count = total;
    }

    /// The mean of each number.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The (population) variance of each number.
    pub fn variance(&self) -> &[f64] {
        &self.variance
    }

    /// Writes the moments as `prefix` + `mean`, `variance`, `count`.
    pub fn save(&self, prefix: &str, tensors: &mut Tensors) {
        tensors.insert(&format!("{prefix}mean"), &[self.mean.len()], &self.mean);
        tensors.insert(&format!("{prefix}variance"), &[self.mean.len()], &self.variance);
        tensors.insert(&format!("{prefix}count"), &[], &[self.count]);
    }

    /// Takes over what [`Moments::save`] wrote.
    ///
    /// # Errors
    /// Fails if a tensor is missing or of another size; nothing is changed then.
    pub fn load(&mut self, prefix: &str, tensors: &Tensors) -> Result<(), StateError> {
        let shape = [self.mean.len()];
        let mean = tensors.get(&format!("{prefix}mean"), &shape)?;
        let variance = tensors.get(&format!("{prefix}variance"), &shape)?;
        let count = tensors.get(&format!("{prefix}count"), &[])?[0];
        *self = Self { mean, variance, count };
        Ok(())
    }
}

/// Shifts and scales observations to mean 0 and variance 1, by the [`Moments`] of those seen in training.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservationNormaliser {
    /// Of the observations seen in training; mean 0 and variance 1 of numbers that stay as they are.
    pub moments: Moments,
    normalised: Vec<bool>,
}

impl ObservationNormaliser {
    /// Normalised numbers are cut to ±this.
    pub const CLIP: f64 = 10.0;

    /// What a number is divided by, once its mean is subtracted.
    pub fn deviation(variance: f64) -> f64 {
        (variance + EPSILON).sqrt()
    }

    /// For observations with a number for each of `normalised`, which says whether it is normalised.
    pub fn new(normalised: Vec<bool>) -> Self {
        Self { moments: Moments::new(normalised.len()), normalised }
    }

    /// Learns from a batch of observations, row-major.
    pub fn learn(&mut self, batch: &[f32]) {
        self.moments.update(batch);
        let Moments { mean, variance, .. } = &mut self.moments;
        for ((mean, variance), _) in
            mean.iter_mut().zip(variance).zip(&self.normalised).filter(|(_, learned)| !**learned)
        {
            (*mean, *variance) = (0.0, 1.0);
        }
    }

    /// Normalises a batch in place, without learning from it.
    pub fn apply(&self, batch: &mut [f32]) {
        for row in batch.chunks_exact_mut(self.moments.mean.len()) {
            let moments = self.moments.mean.iter().zip(&self.moments.variance);
            for (x, (mean, variance)) in row.iter_mut().zip(moments) {
                let normalised = (f64::from(*x) - mean) / Self::deviation(*variance);
                *x = normalised.clamp(-Self::CLIP, Self::CLIP) as f32;
            }
        }
    }
}

/// Scales rewards by the standard deviation of the discounted return so far, each copy's own.
#[derive(Debug, Clone, PartialEq)]
pub struct RewardNormaliser {
    /// Of the discounted returns.
    pub moments: Moments,
    gamma: f64,
    returns: Vec<f64>,
}

impl RewardNormaliser {
    /// For so many copies of the environment.
    pub fn new(environments: usize, gamma: f64) -> Self {
        Self { moments: Moments::new(1), gamma, returns: vec![0.0; environments] }
    }

    /// Learns from one step of all copies and writes the scaled rewards.
    pub fn apply(
        &mut self,
        rewards: &[f64],
        ended: impl Iterator<Item = bool>,
        scaled: &mut [f64],
    ) {
        for (sum, reward) in self.returns.iter_mut().zip(rewards) {
            *sum = *sum * self.gamma + reward;
        }
        self.moments.update(&self.returns);
        let deviation = (self.moments.variance[0] + EPSILON).sqrt();
        for (scaled, reward) in scaled.iter_mut().zip(rewards) {
            *scaled = (reward / deviation)
                .clamp(-ObservationNormaliser::CLIP, ObservationNormaliser::CLIP);
        }
        for (sum, ended) in self.returns.iter_mut().zip(ended) {
            if ended {
                *sum = 0.0;
            }
        }
    }

    /// The environments were restarted: unfinished returns are forgotten.
    pub fn restart(&mut self) {
        self.returns.fill(0.0);
    }
}

/// Shifts and scales the columns of a data set to mean 0 and deviation 1, and back.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardiser {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Standardiser {
    /// For rows of `len` numbers, which stay as they are until [`Standardiser::fit`].
    pub fn new(len: usize) -> Self {
        Self { mean: vec![0.0; len], deviation: vec![1.0; len] }
    }

    /// Takes the moments of the first `columns` numbers of every row; columns that do not vary, and those after
    /// them, are not scaled.
    pub fn fit<'a>(&mut self, rows: impl Iterator<Item = &'a [f32]> + Clone, columns: usize) {
        let n = rows.clone().count() as f64;
        for j in 0..columns {
            let column = || rows.clone().map(|row| f64::from(row[j]));
            let mean = column().sum::<f64>() / n;
            let deviation = (column().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
            // Below this, differences are rounding.
            let varies = deviation > 1e-6 * mean.abs().max(1e-3);
            self.mean[j] = mean as f32;
            self.deviation[j] = if varies { deviation as f32 } else { 1.0 };
        }
    }

    /// Standardises a batch in place.
    pub fn apply(&self, batch: &mut [f32]) {
        for row in batch.chunks_exact_mut(self.mean.len()) {
            for (x, (mean, deviation)) in row.iter_mut().zip(self.moments()) {
                *x = (*x - mean) / deviation;
            }
        }
    }

    /// Undoes [`Standardiser::apply`].
    pub fn undo(&self, batch: &mut [f32]) {
        for row in batch.chunks_exact_mut(self.mean.len()) {
            for (x, (mean, deviation)) in row.iter_mut().zip(self.moments()) {
                *x = *x * deviation + mean;
            }
        }
    }

    fn moments(&self) -> impl Iterator<Item = (&f32, &f32)> {
        self.mean.iter().zip(&self.deviation)
    }

    /// Writes the moments as `prefix` + `mean` and `deviation`.
    pub fn save(&self, prefix: &str, tensors: &mut Tensors) {
        tensors.insert(&format!("{prefix}mean"), &[self.mean.len()], &self.mean);
        tensors.insert(&format!("{prefix}deviation"), &[self.mean.len()], &self.deviation);
    }

    /// Takes over what [`Standardiser::save`] wrote.
    ///
    /// # Errors
    /// Fails if a tensor is missing or of another size; nothing is changed then.
    pub fn load(&mut self, prefix: &str, tensors: &Tensors) -> Result<(), StateError> {
        let shape = [self.mean.len()];
        let mean = tensors.get(&format!("{prefix}mean"), &shape)?;
        let deviation = tensors.get(&format!("{prefix}deviation"), &shape)?;
        *self = Self { mean, deviation };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::normal;
    use rushes_rng::{Purpose, stream};

    #[test]
    fn moments_of_batches_equal_those_of_the_whole() {
        let mut rng = stream(1, Purpose::Exploration, 0);
        let data: Vec<f64> = (0..600).map(|i| 3.0 + (i % 2) as f64 + normal(&mut rng)).collect();
        let mut moments = Moments::new(2);
        for batch in [&data[..2], &data[2..40], &data[40..]] {
            moments.update(batch);
        }
        // The initial mean 0 and variance 1 count as one ten-thousandth of a sample.
        for j in 0..2 {
            let column: Vec<f64> = data.iter().skip(j).step_by(2).copied().collect();
            let total = 300.0 + INITIAL_COUNT;
            let mean = column.iter().sum::<f64>() / total;
            let squares: f64 = column.iter().map(|x| (x - mean).powi(2)).sum();
            let variance = (squares + INITIAL_COUNT * (1.0 + mean * mean)) / total;
            assert!((moments.mean()[j] - mean).abs() < 1e-12);
            assert!((moments.variance()[j] - variance).abs() < 1e-12);
        }
        let mut tensors = Tensors::default();
        moments.save("observations.", &mut tensors);
        let mut restored = Moments::new(2);
        restored.load("observations.", &tensors).expect("what was just saved");
        assert_eq!(restored, moments);
        assert!(Moments::new(3).load("observations.", &tensors).is_err());
    }

    #[test]
    fn observations_are_centred_scaled_and_cut() {
        let mut normaliser = ObservationNormaliser::new(vec![true]);
        normaliser.learn(&[1.0_f32, 3.0]);
        let mut batch = [2.0_f32, 3.0, 1e6, -1e6];
        normaliser.apply(&mut batch);
        assert!(batch[0].abs() < 1e-3 && (batch[1] - 1.0).abs() < 1e-3);
        assert_eq!(batch[2..], [10.0, -10.0]);
    }

    #[test]
    fn numbers_that_are_not_normalised_stay_as_they_are() {
        let mut normaliser = ObservationNormaliser::new(vec![true, false]);
        normaliser.learn(&[1.0_f32, 1.0, 3.0, 1.0, 2.0, 0.0]);
        let mut batch = [2.0_f32, 1.0, 2.0, 0.0];
        normaliser.apply(&mut batch);
        assert!(batch[0].abs() < 1e-3 && batch[2].abs() < 1e-3);
        assert_eq!([batch[1], batch[3]], [1.0, 0.0]);
    }

    /// Two copies, the first ending at once, by the definition.
    #[test]
    fn rewards_are_scaled_by_the_deviation_of_discounted_returns() {
        let mut normaliser = RewardNormaliser::new(2, 0.5);
        let mut scaled = [0.0; 2];
        normaliser.apply(&[1.0, 2.0], [true, false].into_iter(), &mut scaled);
        normaliser.apply(&[4.0, 8.0], [false, false].into_iter(), &mut scaled);
        let mut moments = Moments::new(1);
        moments.update(&[1.0, 2.0]);
        moments.update(&[4.0, 9.0]);
        let deviation = (moments.variance()[0] + 1e-8).sqrt();
        assert_eq!(scaled, [4.0 / deviation, 8.0 / deviation]);
        normaliser.restart();
        assert_eq!(normaliser.returns, [0.0, 0.0]);
    }

    #[test]
    fn standardised_rows_have_mean_0_and_deviation_1_and_come_back() {
        let mut rng = stream(4, Purpose::Exploration, 0);
        let rows: Vec<f32> = (0..300)
            .flat_map(|i| {
                let x = normal(&mut rng) as f32;
                [1e3 + 0.1 * x, -2.0 * x, 7.0, f32::from(i % 2 == 0)]
            })
            .collect();
        let mut standardiser = Standardiser::new(4);
        standardiser.fit(rows.chunks_exact(4), 3);
        let mut batch = rows.clone();
        standardiser.apply(&mut batch);
        for j in 0..2 {
            let column = || batch.iter().skip(j).step_by(4).map(|&x| f64::from(x));
            let mean = column().sum::<f64>() / 300.0;
            let deviation = (column().map(|x| (x - mean).powi(2)).sum::<f64>() / 300.0).sqrt();
            assert!(mean.abs() < 1e-3 && (deviation - 1.0).abs() < 1e-3, "{mean}, {deviation}");
        }
        assert!(batch.chunks_exact(4).all(|row| row[2] == 0.0), "a constant stays finite");
        assert!(batch.iter().zip(&rows).skip(3).step_by(4).all(|(a, b)| a == b));
        let mut tensors = Tensors::default();
        standardiser.save("x.", &mut tensors);
        let mut loaded = Standardiser::new(4);
        loaded.load("x.", &tensors).expect("what was just saved");
        loaded.undo(&mut batch);
        for (found, expected) in batch.iter().zip(&rows) {
            assert!(
                (found - expected).abs() < 1e-4 * expected.abs().max(1.0),
                "{found}, {expected}"
            );
        }
    }
}

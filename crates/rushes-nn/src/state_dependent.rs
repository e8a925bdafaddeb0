//! Generalised state-dependent exploration (gSDE; Raffin, Kober and Stulp, "Smooth exploration for robotic reinforcement
//! learning", 2021), as Stable-Baselines3 has it: noise on actions that is a linear function of a network's latent features,
//! so that one draw of the function's matrix explores the same way in the same state for many steps.
//!
//! Given the features, noise is normal with the variance `features² · std²` of each number of an action, which densities are
//! of. Feature and action vectors of several observations lie row after row.

use super::heads::{HALF_LN_TAU, SquashedGaussian, cut};
use super::network::ParametersMut;
use super::random::normal;
use super::scalar::Scalar;
use rushes_rng::Rng;

/// Exploration matrices and their distribution: independent normal numbers, whose standard deviations are learned.
#[derive(Debug, Clone)]
pub struct StateDependentNoise<T> {
    /// Logarithms of the standard deviations (`features × dimensions`, row-major).
    pub log_std: Vec<T>,
    gradients: Vec<T>,
    dimensions: usize,
    matrices: Vec<T>,
}

impl<T: Scalar> StateDependentNoise<T> {
    /// Added to the variance of noise, as in Stable-Baselines3.
    pub const EPSILON: f64 = 1e-6;

    /// Matrices from so many features to actions of so many numbers.
    pub fn new(features: usize, dimensions: usize, log_std_init: f64) -> Self {
        let log_std = vec![T::of(log_std_init); features * dimensions];
        let gradients = vec![T::zero(); log_std.len()];
        Self { gradients, log_std, dimensions, matrices: Vec::new() }
    }

    /// The shape of a matrix.
    pub fn shape(&self) -> [usize; 2] {
        [self.log_std.len() / self.dimensions, self.dimensions]
    }

    /// The learned numbers with their gradients, for an optimiser.
    pub fn parameters(&mut self) -> ParametersMut<'_, T> {
        ParametersMut { values: &mut self.log_std, gradients: &mut self.gradients }
    }

    /// Forgets the gradients.
    pub fn zero_gradients(&mut self) {
        self.gradients.fill(T::zero());
    }

    /// Draws so many matrices anew: one for all rows, or one for each.
    pub fn reset(&mut self, matrices: usize, rng: &mut Rng) {
        self.matrices.clear();
        for _ in 0..matrices {
            let drawn = self.log_std.iter().map(|log_std| log_std.exp() * T::of(normal(rng)));
            self.matrices.extend(drawn);
        }
    }

    /// Forgets the matrices.
    pub fn forget(&mut self) {
        self.matrices.clear();
    }

    /// Whether matrices were drawn, and not forgotten since.
    pub fn is_drawn(&self) -> bool {
        !self.matrices.is_empty()
    }

    /// Replaces `noise` by that of rows of `features`.
    ///
    /// # Panics
    /// Panics if no matrix was drawn.
    pub fn noise(&self, features: &[T], noise: &mut Vec<T>) {
        assert!(self.is_drawn(), "noise takes a matrix");
        self.product(features, |feature| feature, &self.matrices, T::zero(), noise);
    }

    /// Replaces `variances` by those of the noise of rows of `features`.
    pub fn variances(&self, features: &[T], variances: &mut Vec<T>) {
        let squares = self.squared_deviations();
        self.product(
            features,
            |feature| feature * feature,
            &squares,
            T::of(Self::EPSILON),
            variances,
        );
    }

    /// Adds the gradient of a loss at the learned numbers, and at rows of `features` to `grad_features`, given that at their
    /// noise by the first matrix.
    pub fn backward_noise(&mut self, features: &[T], grad_noise: &[T], grad_features: &mut [T]) {
        let [width, dimensions] = self.shape();
        for (row, gradients) in grad_noise.chunks_exact(dimensions).enumerate() {
            let row = row * width..(row + 1) * width;
            let sums = grad_features[row.clone()].iter_mut().zip(&features[row]);
            let weights = self.matrices.chunks_exact(dimensions);
            let learned = self.gradients.chunks_exact_mut(dimensions);
            for (((sum, &feature), weights), learned) in sums.zip(weights).zip(learned) {
                for i in 0..dimensions {
                    let by_weight = weights[i] * gradients[i];
                    *sum += by_weight;
                    learned[i] += feature * by_weight;
                }
            }
        }
    }

    /// Adds the gradient of a loss at the learned numbers, and at rows of `features` to `grad_features` where it is asked for,
    /// given that at the variances.
    pub fn backward_variances(
        &mut self,
        features: &[T],
        grad_variances: &[T],
        mut grad_features: Option<&mut [T]>,
    ) {
        let [width, dimensions] = self.shape();
        let (squares, two) = (self.squared_deviations(), T::of(2.0));
        for (row, gradients) in grad_variances.chunks_exact(dimensions).enumerate() {
            let first = row * width;
            let weights = squares.chunks_exact(dimensions);
            let learned = self.gradients.chunks_exact_mut(dimensions);
            for (k, (weights, learned)) in weights.zip(learned).enumerate() {
                let twice = two * features[first + k];
                let mut sum = T::zero();
                for i in 0..dimensions {
                    let by_weight = weights[i] * gradients[i];
                    sum += by_weight;
                    learned[i] += twice * features[first + k] * by_weight;
                }
                if let Some(grad_features) = &mut grad_features {
                    grad_features[first + k] += twice * sum;
                }
            }
        }
    }

    fn squared_deviations(&self) -> Vec<T> {
        self.log_std.iter().map(|&log_std| (log_std + log_std).exp()).collect()
    }

    /// Replaces `products` by those of rows of `map`ped `features` and `matrices`, one for all or one for each, added to
    /// `start`.
    fn product(
        &self,
        features: &[T],
        map: impl Fn(T) -> T,
        matrices: &[T],
        start: T,
        products: &mut Vec<T>,
    ) {
        let [width, dimensions] = self.shape();
        products.clear();
        products.resize(features.len() / width * dimensions, start);
        let rows = features.chunks_exact(width).zip(products.chunks_exact_mut(dimensions));
        let matrices = matrices.chunks_exact(width * dimensions).cycle();
        for ((features, sums), matrix) in rows.zip(matrices) {
            for (&feature, weights) in features.iter().zip(matrix.chunks_exact(dimensions)) {
                for (sum, &weight) in sums.iter_mut().zip(weights) {
                    *sum += map(feature) * weight;
                }
            }
        }
    }
}

/// SAC's actor with state-dependent noise: `tanh` squashes the mean, which is kept within bounds, and the noise. Everything is
/// of one row.
#[derive(Debug, Clone, Copy)]
pub struct SquashedNoise<'a, T> {
    /// The network's outputs: the means.
    pub outputs: &'a [T],
    /// The noise on each.
    pub noise: &'a [T],
    /// Its variance.
    pub variances: &'a [T],
}

/// A loss's gradients at the parts of a [`SquashedNoise`].
#[derive(Debug)]
pub struct SquashedNoiseGradients<'a, T> {
    /// At the outputs.
    pub outputs: &'a mut [T],
    /// At the noise.
    pub noise: &'a mut [T],
    /// At its variance.
    pub variances: &'a mut [T],
}

impl<T: Scalar> SquashedNoise<'_, T> {
    /// Writes the action, and returns the logarithm of its probability density.
    pub fn act(self, action: &mut [T]) -> T {
        let (half, constant) = (T::of(0.5), T::of(HALF_LN_TAU));
        let mut log_prob = T::zero();
        for (i, action) in action.iter_mut().enumerate() {
            let (noise, variance) = (self.noise[i], self.variances[i]);
            *action = (clip_mean(self.outputs[i]) + noise).portable_tanh();
            let density = -half * (noise * noise / variance + variance.ln()) - constant;
            log_prob += density - SquashedGaussian::log_stretch(*action);
        }
        log_prob
    }

    /// Goes the way back from an `action` that [`SquashedNoise::act`] wrote: a loss's gradients at the action and at its
    /// log-probability become those at outputs, noise and variances, which are overwritten.
    pub fn differentiate(
        self,
        action: &[T],
        grad_action: &[T],
        grad_log_prob: T,
        gradients: SquashedNoiseGradients<'_, T>,
    ) {
        let half = T::of(0.5);
        for i in 0..action.len() {
            let squashed = SquashedGaussian::unsquash(action[i], grad_action[i], grad_log_prob);
            let clipped = self.outputs[i].abs() >= T::of(CLIP_MEAN);
            gradients.outputs[i] = if clipped { T::zero() } else { squashed };
            let by_noise = self.noise[i] / self.variances[i];
            gradients.noise[i] = squashed - grad_log_prob * by_noise;
            gradients.variances[i] =
                half * grad_log_prob * (by_noise * by_noise - self.variances[i].recip());
        }
    }
}

/// The bound of the mean in front of `tanh`, as Stable-Baselines3's `clip_mean`.
pub const CLIP_MEAN: f64 = 2.0;

/// `mean` within ±[`CLIP_MEAN`].
pub fn clip_mean<T: Scalar>(mean: T) -> T {
    cut(mean, (-CLIP_MEAN, CLIP_MEAN))
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;
    use crate::native::NativeMlp;
    use crate::network::{Activation, LatentNetwork as _, MlpConfig, Network as _};
    use rushes_rng::{Purpose, stream};

    const ROWS: usize = 5;
    const FEATURES: usize = 4;
    const DIMENSIONS: usize = 2;

    fn draws(count: usize, index: u64) -> Vec<f64> {
        let mut rng = stream(7, Purpose::Exploration, index);
        (0..count).map(|_| normal(&mut rng)).collect()
    }

    fn values(tensor: &Tensor) -> Vec<f64> {
        Vec::try_from(tensor.contiguous().view(-1)).expect("a vector of doubles")
    }

    #[track_caller]
    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-12 * (1.0 + b.abs()), "{a}, {b}");
        }
    }

    fn noise() -> StateDependentNoise<f64> {
        let mut noise = StateDependentNoise::new(FEATURES, DIMENSIONS, -1.0);
        let draws = draws(noise.log_std.len(), 0);
        noise.log_std.iter_mut().zip(draws).for_each(|(log_std, draw)| *log_std += draw);
        noise
    }

    /// Outputs of which some are beyond the bounds of the mean.
    fn outputs() -> Vec<f64> {
        let outputs: Vec<_> = draws(ROWS * DIMENSIONS, 2).iter().map(|draw| 2.0 * draw).collect();
        let clipped = outputs.iter().filter(|output| output.abs() > CLIP_MEAN).count();
        assert!(0 < clipped && clipped < outputs.len(), "{outputs:?}");
        outputs
    }

    /// Everything by autograd, as Stable-Baselines3 writes it.
    #[test]
    fn squashed_draws_and_all_gradients_equal_autograd() {
        let mut sde = noise();
        let (features, outputs) = (draws(ROWS * FEATURES, 1), outputs());
        let unit = draws(FEATURES * DIMENSIONS, 3);
        sde.reset(1, &mut stream(7, Purpose::Exploration, 3));
        let (grad_actions, grad_log_prob) = (draws(ROWS * DIMENSIONS, 4), 0.6);
        let (mut drawn, mut variances) = (Vec::new(), Vec::new());
        sde.noise(&features, &mut drawn);
        sde.variances(&features, &mut variances);
        let mut actions = vec![f64::NAN; ROWS * DIMENSIONS];
        let mut grads = [(); 3].map(|()| vec![f64::NAN; ROWS * DIMENSIONS]);
        let mut log_probs = Vec::new();
        for row in 0..ROWS {
            let here = row * DIMENSIONS..(row + 1) * DIMENSIONS;
            let squashed = SquashedNoise {
                outputs: &outputs[here.clone()],
                noise: &drawn[here.clone()],
                variances: &variances[here.clone()],
            };
            let action = &mut actions[here.clone()];
            log_probs.push(squashed.act(action));
            let [outputs, noise, variances] = &mut grads;
            let gradients = SquashedNoiseGradients {
                outputs: &mut outputs[here.clone()],
                noise: &mut noise[here.clone()],
                variances: &mut variances[here.clone()],
            };
            squashed.differentiate(action, &grad_actions[here], grad_log_prob, gradients);
        }
        let mut grad_features = vec![0.0; features.len()];
        let [grad_outputs, grad_noise, grad_variances] = grads;
        sde.backward_noise(&features, &grad_noise, &mut grad_features);
        sde.backward_variances(&features, &grad_variances, Some(&mut grad_features));

        let leaf = |numbers: &[f64], columns: usize| {
            let shape = [(numbers.len() / columns) as i64, columns as i64];
            Tensor::from_slice(numbers).view(shape).set_requires_grad(true)
        };
        let (h, z) = (leaf(&features, FEATURES), leaf(&outputs, DIMENSIONS));
        let s = leaf(&sde.log_std, DIMENSIONS);
        let (mean, std) = ((&z / CLIP_MEAN).hardtanh() * CLIP_MEAN, s.exp());
        let variance = h.square().mm(&std.square()) + 1e-6;
        let noise =
            h.mm(&(&std * Tensor::from_slice(&unit).view([FEATURES as i64, DIMENSIONS as i64])));
        let squashed = (&mean + &noise).tanh();
        let density = noise.square() / &variance * -0.5 - variance.log() * 0.5 - HALF_LN_TAU;
        let stretch: Tensor = 1.0 - squashed.square() + 1e-6;
        let expected =
            (density - stretch.log()).sum_dim_intlist([1_i64].as_slice(), false, Kind::Double);
        let weights = Tensor::from_slice(&grad_actions).view([ROWS as i64, DIMENSIONS as i64]);
        let loss =
            (&squashed * weights).sum(Kind::Double) + expected.sum(Kind::Double) * grad_log_prob;
        loss.backward();
        close(&actions, &values(&squashed));
        close(&log_probs, &values(&expected));
        close(&grad_outputs, &values(&z.grad()));
        close(&grad_features, &values(&h.grad()));
        close(&sde.gradients, &values(&s.grad()));
    }

    /// Over many matrices, noise has the variance that densities are of.
    #[test]
    fn noise_has_its_variance() {
        let mut sde = noise();
        let features = draws(FEATURES, 1);
        let mut variances = Vec::new();
        sde.variances(&features, &mut variances);
        let mut rng = stream(7, Purpose::Exploration, 5);
        let (n, mut sums) = (40_000, [0.0; DIMENSIONS]);
        let mut drawn = Vec::new();
        for _ in 0..n {
            sde.reset(1, &mut rng);
            sde.noise(&features, &mut drawn);
            sums.iter_mut().zip(&drawn).for_each(|(sum, noise)| *sum += noise * noise);
        }
        for (sum, variance) in sums.iter().zip(variances) {
            assert!((sum / f64::from(n) / variance - 1.0).abs() < 0.03, "{sum}, {variance}");
        }
    }

    #[test]
    fn each_row_has_a_matrix_of_its_own_or_all_have_one() {
        let mut sde = noise();
        let features = draws(FEATURES, 1).repeat(2);
        let mut drawn = Vec::new();
        for (matrices, alike) in [(1, true), (2, false)] {
            sde.reset(matrices, &mut stream(7, Purpose::Exploration, 3));
            sde.noise(&features, &mut drawn);
            assert_eq!(drawn[..DIMENSIONS] == drawn[DIMENSIONS..], alike);
        }
        assert!(sde.is_drawn());
        sde.forget();
        assert!(!sde.is_drawn());
    }

    #[test]
    fn a_diverged_mean_or_noise_shows() {
        let act = |output: f64, noise: f64, variance: f64| {
            let (outputs, noise, variances) = (&[output], &[noise], &[variance]);
            SquashedNoise { outputs, noise, variances }.act(&mut [0.0])
        };
        assert!(act(f64::NAN, 0.0, 1.0).is_nan());
        assert!(act(0.0, f64::NAN, 1.0).is_nan());
        assert!(act(0.0, 0.0, f64::NAN).is_nan());
    }

    /// The latent features of both passes, and the parameters' gradient of a loss of them and the outputs, by finite differences.
    #[test]
    fn a_network_shows_its_latent_features_and_learns_through_them() {
        for hidden in [&[6, FEATURES][..], &[FEATURES], &[]] {
            let config = MlpConfig::new(3, hidden, DIMENSIONS, Activation::Tanh);
            let mut rng = stream(7, Purpose::Initialisation, 0);
            let parameters = config.initial_parameters::<f64>(&mut rng);
            let mut network = NativeMlp::new(config.clone(), parameters);
            let width = network.features();
            let batch: Vec<f32> = draws(ROWS * 3, 6).iter().map(|&draw| draw as f32).collect();
            let by_outputs = draws(ROWS * DIMENSIONS, 7);
            let by_features = draws(ROWS * width, 8);
            let loss = |network: &mut NativeMlp<f64>| -> f64 {
                let mut outputs = vec![0.0; ROWS * DIMENSIONS];
                network.forward_train(&batch, ROWS, &mut rng.clone(), &mut outputs);
                let sum =
                    |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
                sum(&outputs, &by_outputs) + sum(network.learning_features(), &by_features)
            };
            loss(&mut network);
            network.backward_with_features(&by_outputs, &by_features);
            let features = network.learning_features().to_vec();
            let mut outputs = vec![0.0; ROWS * DIMENSIONS];
            network.forward(&batch, ROWS, &mut outputs);
            assert_eq!(network.acting_features(), features);
            let last = config.layers().pop().expect("a layer");
            let weights = &network.parameters()[last.weight..last.bias];
            for (i, &output) in outputs[..DIMENSIONS].iter().enumerate() {
                let row = weights[i * width..].iter().zip(&features[..width]);
                let sum: f64 = row.map(|(weight, feature)| weight * feature).sum();
                assert!((sum + network.parameters()[last.bias + i] - output).abs() < 1e-12);
            }
            for (i, found) in network.gradients().to_vec().into_iter().enumerate() {
                let mut moved = |by: f64| {
                    network.parameters_mut()[i] += by;
                    let loss = loss(&mut network);
                    network.parameters_mut()[i] -= by;
                    loss
                };
                let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!((slope - found).abs() < 1e-7, "{hidden:?} {i}: {slope}, {found}");
            }
        }
    }
}

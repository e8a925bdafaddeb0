//! Layer normalisation (Ba et al., "Layer normalization", 2016) of a layer's sums, as PQN learns with it.
//!
//! Each row is shifted and scaled to mean 0 and variance 1 over its own numbers, then scaled and shifted by learned ones, as
//! `torch.nn.LayerNorm` does it. No row depends on another, so that acting and learning compute the same.

use super::kernels::sum_by;
use super::network::Normalisation;
use super::scalar::Scalar;
use super::simd::{Isa, Task, dispatch};

/// The normalisation of one layer's sums, with what its way back needs of the last pass in training.
pub(crate) struct LayerNorm<T> {
    /// Where a scale for each column begins in the network's parameters; a shift for each follows.
    place: usize,
    columns: usize,
    /// The rows with mean 0 and variance 1, and one by the deviation that each was divided by.
    normalised: Vec<T>,
    inverse: Vec<T>,
    /// The latter of rows that nothing is kept of.
    acting: Vec<T>,
}

impl<T: Scalar> LayerNorm<T> {
    pub(crate) fn new(place: usize, columns: usize) -> Self {
        let (normalised, inverse, acting) = Default::default();
        Self { place, columns, normalised, inverse, acting }
    }

    /// Normalises rows in place; keeps nothing for [`LayerNorm::backward`]. `parameters` are the network's.
    pub(crate) fn act(&mut self, parameters: &[T], values: &mut [T]) {
        let Self { place, columns, acting, .. } = self;
        acting.resize(values.len() / *columns, T::zero());
        dispatch(Normalise { values, columns: *columns, inverse: acting });
        dispatch(Affine { values, parameters: &parameters[*place..][..2 * *columns] });
    }

    /// As [`LayerNorm::act`], keeping what the way back needs.
    pub(crate) fn forward(&mut self, parameters: &[T], values: &mut [T]) {
        let Self { place, columns, normalised, inverse, .. } = self;
        inverse.resize(values.len() / *columns, T::zero());
        dispatch(Normalise { values, columns: *columns, inverse });
        normalised.clear();
        normalised.extend_from_slice(values);
        dispatch(Affine { values, parameters: &parameters[*place..][..2 * *columns] });
    }

    /// Turns the gradient at the outputs of the last [`LayerNorm::forward`] into that at its inputs; adds that of the
    /// parameters to the network's `parameter_gradients`, where given.
    pub(crate) fn backward(
        &mut self,
        parameters: &[T],
        parameter_gradients: Option<&mut [T]>,
        gradients: &mut [T],
    ) {
        let Self { place, columns, normalised, inverse, .. } = self;
        if let Some(sums) = parameter_gradients {
            let sums = &mut sums[*place..][..2 * *columns];
            dispatch(ParameterGradients { gradients, normalised, sums });
        }
        dispatch(Back { gradients, normalised, inverse, scale: &parameters[*place..][..*columns] });
    }
}

/// Shifts and scales each row to mean 0 and variance 1, and tells by what it was multiplied.
struct Normalise<'a, T> {
    values: &'a mut [T],
    columns: usize,
    inverse: &'a mut [T],
}

impl<T: Scalar> Task for Normalise<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let (n, epsilon) = (T::of(self.columns as f64), T::of(Normalisation::LAYER_EPSILON));
        for (row, inverse) in self.values.chunks_exact_mut(self.columns).zip(self.inverse) {
            let mean = sum_by(row, row, |x, _| x) / n;
            row.iter_mut().for_each(|x| *x -= mean);
            let variance = sum_by(row, row, |x, y| x * y) / n;
            *inverse = (variance + epsilon).sqrt().recip();
            row.iter_mut().for_each(|x| *x *= *inverse);
        }
    }
}

/// `values = values · scale + shift`, column by column; `parameters` are all scales and then all shifts.
struct Affine<'a, T> {
    values: &'a mut [T],
    parameters: &'a [T],
}

impl<T: Scalar> Task for Affine<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let (scale, shift) = self.parameters.split_at(self.parameters.len() / 2);
        for row in self.values.chunks_exact_mut(scale.len()) {
            for (x, (&scale, &shift)) in row.iter_mut().zip(scale.iter().zip(shift)) {
                *x = *x * scale + shift;
            }
        }
    }
}

/// Adds each column's gradients times what it was normalised to, and then each column's gradients, to `sums`.
struct ParameterGradients<'a, T> {
    gradients: &'a [T],
    normalised: &'a [T],
    sums: &'a mut [T],
}

impl<T: Scalar> Task for ParameterGradients<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let columns = self.sums.len() / 2;
        let (scale, shift) = self.sums.split_at_mut(columns);
        let rows = self.gradients.chunks_exact(columns).zip(self.normalised.chunks_exact(columns));
        for (gradients, normalised) in rows {
            let sums = scale.iter_mut().zip(shift.iter_mut());
            for ((&g, &x), (scale, shift)) in gradients.iter().zip(normalised).zip(sums) {
                *scale += g * x;
                *shift += g;
            }
        }
    }
}

/// `gradients = (g - mean(g) - x · mean(g · x)) · inverse` row by row, where `g = gradients · scale` and `x` is what the row was
/// normalised to: the last two terms are the way through mean and variance.
struct Back<'a, T> {
    gradients: &'a mut [T],
    normalised: &'a [T],
    inverse: &'a [T],
    scale: &'a [T],
}

impl<T: Scalar> Task for Back<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let columns = self.scale.len();
        let n = T::of(columns as f64);
        let rows = self.gradients.chunks_exact_mut(columns);
        let kept = self.normalised.chunks_exact(columns).zip(self.inverse);
        for (row, (normalised, &inverse)) in rows.zip(kept) {
            row.iter_mut().zip(self.scale).for_each(|(g, &scale)| *g *= scale);
            let mean = sum_by(row, row, |g, _| g) / n;
            let product = sum_by(row, normalised, |g, x| g * x) / n;
            for (g, &x) in row.iter_mut().zip(normalised) {
                *g = (*g - mean - x * product) * inverse;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;
    use crate::convolution::{CnnConfig, ConvolutionSpec};
    use crate::native::NativeMlp;
    use crate::native_cnn::NativeCnn;
    use crate::network::{Activation, MlpConfig, Network};
    use crate::random::normal;
    use crate::{on_every_level, threads};
    use rushes_rng::{Purpose, Rng, stream};

    fn draw(rng: &mut Rng, count: usize) -> Vec<f64> {
        (0..count).map(|_| normal(rng)).collect()
    }

    #[test]
    fn rows_and_gradients_equal_autograd() {
        // Fewer columns than the sums that stand side by side, as many, and more.
        for columns in [2, 5, 16, 37] {
            const ROWS: usize = 6;
            let mut rng = stream(5, Purpose::Exploration, columns as u64);
            let parameters = draw(&mut rng, 3 + 2 * columns);
            let (inputs, weights) =
                (draw(&mut rng, ROWS * columns), draw(&mut rng, ROWS * columns));
            let mut layer_norm = LayerNorm::<f64>::new(3, columns);
            let mut outputs = inputs.clone();
            layer_norm.forward(&parameters, &mut outputs);
            let mut gradients = weights.clone();
            let mut learned = vec![1.0; parameters.len()];
            layer_norm.backward(&parameters, Some(&mut learned), &mut gradients);
            let mut acting = inputs.clone();
            layer_norm.act(&parameters, &mut acting);
            assert_eq!(acting, outputs);

            let leaf = |values: &[f64]| Tensor::from_slice(values).set_requires_grad(true);
            let (x, scale, shift) = (
                leaf(&inputs),
                leaf(&parameters[3..3 + columns]),
                leaf(&parameters[3 + columns..]),
            );
            let shape = [columns as i64];
            let y = x.view([-1, columns as i64]).layer_norm(
                &shape[..],
                Some(&scale),
                Some(&shift),
                1e-5,
                false,
            );
            (y.flatten(0, 1) * Tensor::from_slice(&weights)).sum(Kind::Double).backward();
            let close = |found: &[f64], expected: Tensor, base: f64| {
                let expected = Vec::<f64>::try_from(expected.flatten(0, -1)).expect("doubles");
                assert_eq!(found.len(), expected.len());
                for (f, e) in found.iter().zip(expected) {
                    assert!((f - base - e).abs() < 1e-12 * e.abs().max(1.0), "{columns}: {f}, {e}");
                }
            };
            close(&outputs, y.detach(), 0.0);
            close(&gradients, x.grad(), 0.0);
            assert_eq!(learned[..3], [1.0; 3]);
            close(&learned[3..3 + columns], scale.grad(), 1.0);
            close(&learned[3 + columns..], shift.grad(), 1.0);
        }
    }

    fn config(hidden: &[usize], activation: Activation) -> MlpConfig {
        let normalisation = Some(Normalisation::LayerNorm);
        MlpConfig { normalisation, ..MlpConfig::new(12, hidden, 2, activation) }
    }

    /// Compares every gradient of a network with the slope of its outputs, and acting with learning.
    fn check(network: &mut dyn Network<f64>, rng: &mut Rng) {
        const ROWS: usize = 4;
        let batch: Vec<f32> = draw(rng, ROWS * network.inputs())
            .into_iter()
            .map(|x| (x * 16.0).round() as f32 / 16.0)
            .collect();
        let start = draw(rng, network.parameters().len());
        network.parameters_mut().copy_from_slice(&start);
        let weights = draw(rng, ROWS * network.outputs());
        let pass = |network: &mut dyn Network<f64>, batch: &[f32]| {
            let mut outputs = vec![0.0; weights.len()];
            network.forward_train(batch, ROWS, &mut stream(0, Purpose::Minibatch, 0), &mut outputs);
            outputs
        };
        let outputs = pass(network, &batch);
        let mut grad_inputs = vec![f64::NAN; batch.len()];
        network.backward(&weights, Some(&mut grad_inputs));
        let mut alone = vec![f64::NAN; batch.len()];
        network.backward_inputs(&weights, &mut alone);
        assert_eq!(alone, grad_inputs);
        let gradients = network.gradients().to_vec();
        let total =
            |outputs: Vec<f64>| -> f64 { outputs.iter().zip(&weights).map(|(y, w)| y * w).sum() };
        for (i, found) in gradients.iter().enumerate() {
            let mut at = |x: f64| {
                network.parameters_mut()[i] = x;
                total(pass(network, &batch))
            };
            let slope = (at(start[i] + 1e-6) - at(start[i] - 1e-6)) / 2e-6;
            at(start[i]);
            assert!((slope - found).abs() < 1e-6 * found.abs().max(1.0), "{i}: {slope}, {found}");
        }
        for (i, found) in grad_inputs.iter().enumerate() {
            let mut at = |shift: f32| {
                let mut batch = batch.clone();
                batch[i] += shift;
                total(pass(network, &batch))
            };
            let step = 1.0 / 65536.0;
            let slope = (at(step) - at(-step)) / (2.0 * f64::from(step));
            assert!((slope - found).abs() < 1e-4 * found.abs().max(1.0), "{i}: {slope}, {found}");
        }
        let mut acting = vec![0.0; outputs.len()];
        network.forward(&batch, ROWS, &mut acting);
        assert_eq!(acting, outputs);
    }

    #[test]
    fn gradients_of_networks_equal_finite_differences() {
        let mut rng = stream(6, Purpose::Exploration, 0);
        for activation in [Activation::Tanh, Activation::Silu] {
            let config = config(&[7, 18], activation);
            let parameters = config.initial_parameters(&mut rng);
            check(&mut NativeMlp::new(config, parameters), &mut rng);
        }
        let convolutions = [ConvolutionSpec { channels: 2, kernel: 2, stride: 1 }];
        let config =
            CnnConfig::new([1, 3, 4].into(), &convolutions, config(&[5], Activation::Tanh));
        let parameters = config.initial_parameters(&mut rng);
        check(&mut NativeCnn::new(&config, parameters), &mut rng);
    }

    /// A row of equal numbers, as all units dead make it, has no deviation to divide by.
    #[test]
    fn rows_without_variance_stay_finite() {
        let mut layer_norm = LayerNorm::<f32>::new(0, 3);
        let parameters = [1.0, 1.0, 1.0, 0.5, 0.5, 0.5];
        let mut values = [2.0; 3];
        layer_norm.forward(&parameters, &mut values);
        assert_eq!(values, [0.5; 3]);
        let mut gradients = [1.0, -2.0, 0.5];
        layer_norm.backward(&parameters, None, &mut gradients);
        assert!(gradients.iter().all(|g| g.is_finite()), "{gradients:?}");
    }

    #[test]
    fn numbers_depend_on_no_instruction_set_and_no_threads() {
        fn learned<T: Scalar>(threads: usize) -> Vec<T> {
            const ROWS: usize = 130;
            let config = config(&[400, 300], Activation::Relu);
            let mut rng = stream(9, Purpose::Exploration, 0);
            let parameters = config.initial_parameters::<T>(&mut rng);
            let mut network = NativeMlp::new(config, parameters);
            let mut outputs = vec![T::zero(); ROWS * 2];
            let mut grad_inputs = vec![T::zero(); ROWS * 12];
            let work = || {
                let batch: Vec<f32> = (0..ROWS * 12).map(|_| normal(&mut rng) as f32).collect();
                network.forward_train(&batch, ROWS, &mut rng, &mut outputs);
                let gradients = outputs.clone();
                network.backward(&gradients, Some(&mut grad_inputs));
                [network.gradients(), &outputs, &grad_inputs].concat()
            };
            threads::with_threads(threads, work).expect("threads")
        }
        let first = std::cell::RefCell::new(std::collections::HashMap::new());
        on_every_level(|level| {
            let alone = (learned::<f32>(1), learned::<f64>(1));
            assert!((learned(3), learned(3)) == alone, "{level:?}");
            let mut first = first.borrow_mut();
            let first = first.entry(crate::arithmetic()).or_insert_with(|| alone.clone());
            assert!(*first == alone, "{level:?}");
        });
    }
}

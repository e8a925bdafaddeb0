//! Batch renormalisation (Ioffe, "Batch renormalization: towards reducing minibatch dependence in batch-normalized
//! models", 2017) of a layer's inputs, as CrossQ learns with it.
//!
//! Each column of a batch is shifted and scaled to mean 0 and variance 1, then scaled and shifted by learned numbers. Acting
//! takes running statistics for it, learning those of the batch, at first alone; after a warm-up they are corrected towards
//! the running ones, within bounds.

use super::kernels::reserve;
use super::network::BatchRenorm;
use super::scalar::Scalar;
use super::simd::{Isa, Task, dispatch};

/// Which statistics a pass in training normalises by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statistics {
    /// The batch's, which the running ones learn from.
    Batch,
    /// The running ones, which stay as they are.
    Running,
}

/// The renormalisation of one layer's inputs, with what its passes keep. Its parameters are a scale and then a shift for each
/// column; its running statistics a mean for each, a variance for each, and how many batches they are of.
pub(crate) struct Renorm<T> {
    config: BatchRenorm,
    columns: usize,
    /// What the layer sees of the last pass in training, with slack.
    pub(crate) outputs: Vec<T>,
    /// Of that pass: the batch's mean, what was subtracted, and one by the deviation that it was divided by.
    mean: Vec<T>,
    centre: Vec<T>,
    inverse: Vec<T>,
    /// The derivatives of what was subtracted, and of the square of what it was divided by, with respect to the batch's
    /// variance.
    centre_slope: Vec<T>,
    variance_slope: Vec<T>,
    statistics: Statistics,
    /// Columns of the pass at work.
    scratch: [Vec<T>; 3],
}

impl<T: Scalar> Renorm<T> {
    pub(crate) fn new(config: BatchRenorm, columns: usize) -> Self {
        let each = || vec![T::zero(); columns];
        Self {
            config,
            columns,
            outputs: Vec::new(),
            mean: each(),
            centre: each(),
            inverse: each(),
            centre_slope: each(),
            variance_slope: each(),
            statistics: Statistics::Batch,
            scratch: [each(), each(), each()],
        }
    }

    /// Normalises `rows` rows in place by running statistics; keeps nothing for [`Renorm::backward`].
    pub(crate) fn act(
        &mut self,
        parameters: &[T],
        statistics: &[T],
        rows: usize,
        values: &mut [T],
    ) {
        let (scale, shift) = parameters.split_at(self.columns);
        let (mean, rest) = statistics.split_at(self.columns);
        let [factor, ..] = &mut self.scratch;
        for ((factor, &scale), &variance) in factor.iter_mut().zip(scale).zip(rest) {
            *factor = scale * inverse_deviation(variance);
        }
        let values = &mut values[..rows * self.columns];
        dispatch(Affine { values, centre: mean, factor, shift });
    }

    /// Normalises `rows` rows into [`Renorm::outputs`].
    pub(crate) fn forward(
        &mut self,
        parameters: &[T],
        statistics: &mut [T],
        by: Statistics,
        rows: usize,
        inputs: &[T],
    ) {
        self.statistics = by;
        let (scale, shift) = parameters.split_at(self.columns);
        match by {
            Statistics::Batch => self.learn_statistics(statistics, &inputs[..rows * self.columns]),
            Statistics::Running => {
                let (mean, rest) = statistics.split_at(self.columns);
                self.centre.copy_from_slice(mean);
                for (inverse, &variance) in self.inverse.iter_mut().zip(rest) {
                    *inverse = inverse_deviation(variance);
                }
            }
        }
        let [factor, ..] = &mut self.scratch;
        for ((factor, &scale), &inverse) in factor.iter_mut().zip(scale).zip(&self.inverse) {
            *factor = scale * inverse;
        }
        let len = rows * self.columns;
        reserve(&mut self.outputs, len);
        let values = &mut self.outputs[..len];
        values.copy_from_slice(&inputs[..len]);
        dispatch(Affine { values, centre: &self.centre, factor, shift });
    }

    /// Finds by what a batch is normalised, and takes it into the running statistics.
    fn learn_statistics(&mut self, statistics: &mut [T], inputs: &[T]) {
        let Self { columns, mean, scratch: [variance, ..], .. } = self;
        dispatch(Moments { inputs, mean, variance });
        let (running_mean, rest) = statistics.split_at_mut(*columns);
        let (running_variance, batches) = rest.split_at_mut(*columns);
        let corrected = batches[0].as_f64() > self.config.warmup as f64;
        batches[0] += T::one();
        let (most, furthest) = (T::of(BatchRenorm::MAX_SCALE), T::of(BatchRenorm::MAX_SHIFT));
        let momentum = T::of(self.config.momentum);
        for j in 0..*columns {
            let (mean, variance) = (mean[j], variance[j]);
            let (mut centre, mut divisor) = (mean, variance);
            (self.centre_slope[j], self.variance_slope[j]) = (T::zero(), T::one());
            if corrected {
                let running = inverse_deviation(running_variance[j]);
                let epsilon = T::of(BatchRenorm::EPSILON);
                let ratio = (variance + epsilon).sqrt() * running;
                let ratio = num_traits::clamp(ratio, most.recip(), most);
                let distance = (mean - running_mean[j]) * running;
                let distance = num_traits::clamp(distance, -furthest, furthest);
                let deviation = variance.sqrt();
                centre = mean - distance * deviation / ratio;
                divisor = variance / (ratio * ratio);
                // A column without variance moves with its mean alone.
                if deviation > T::zero() {
                    self.centre_slope[j] = -distance / (T::of(2.0) * ratio * deviation);
                }
                self.variance_slope[j] = (ratio * ratio).recip();
            }
            self.centre[j] = centre;
            self.inverse[j] = inverse_deviation(divisor);
            running_mean[j] += momentum * (mean - running_mean[j]);
            running_variance[j] += momentum * (variance - running_variance[j]);
        }
    }

    /// Turns the gradient at the outputs of the last [`Renorm::forward`], of these `inputs`, into that at the inputs; adds
    /// that of the parameters to `parameter_gradients`, where given.
    pub(crate) fn backward(
        &mut self,
        parameters: &[T],
        parameter_gradients: Option<&mut [T]>,
        rows: usize,
        inputs: &[T],
        gradients: &mut [T],
    ) {
        let len = rows * self.columns;
        let (inputs, gradients) = (&inputs[..len], &mut gradients[..len]);
        let Self { mean, centre, inverse, scratch: [factor, slope, offset], .. } = self;
        let (sums, products) = (offset, slope);
        dispatch(GradientSums { gradients, inputs, centre, inverse, sums, products });
        if let Some(parameter_gradients) = parameter_gradients {
            let (scale, shift) = parameter_gradients.split_at_mut(self.columns);
            for ((gradient, &sum), (other, &product)) in
                shift.iter_mut().zip(&*sums).zip(scale.iter_mut().zip(&*products))
            {
                *gradient += sum;
                *other += product;
            }
        }
        // d = factor · g + slope · (x - mean) + offset; the last two are the way through the batch's statistics.
        let (slope, offset) = (products, sums);
        let n = T::of(rows as f64);
        for j in 0..self.columns {
            factor[j] = parameters[j] * inverse[j];
            let by_centre = -factor[j] * offset[j];
            let by_divisor = -T::of(0.5) * factor[j] * inverse[j] * slope[j];
            let by_variance =
                by_divisor * self.variance_slope[j] + by_centre * self.centre_slope[j];
            (slope[j], offset[j]) = match self.statistics {
                Statistics::Batch => (by_variance * T::of(2.0) / (n - T::one()), by_centre / n),
                Statistics::Running => (T::zero(), T::zero()),
            };
        }
        dispatch(Through { gradients, inputs, mean, factor, slope, offset });
    }
}

fn inverse_deviation<T: Scalar>(variance: T) -> T {
    (variance + T::of(BatchRenorm::EPSILON)).sqrt().recip()
}

/// `values = (values - centre) · factor + shift`, column by column.
struct Affine<'a, T> {
    values: &'a mut [T],
    centre: &'a [T],
    factor: &'a [T],
    shift: &'a [T],
}

impl<T: Scalar> Task for Affine<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let columns = self.factor.len();
        for row in self.values.chunks_exact_mut(columns) {
            let by = self.centre.iter().zip(self.factor).zip(self.shift);
            for (value, ((&centre, &factor), &shift)) in row.iter_mut().zip(by) {
                *value = (*value - centre) * factor + shift;
            }
        }
    }
}

/// Mean and unbiased variance of each column.
struct Moments<'a, T> {
    inputs: &'a [T],
    mean: &'a mut [T],
    variance: &'a mut [T],
}

impl<T: Scalar> Task for Moments<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { inputs, mean, variance } = self;
        let n = T::of((inputs.len() / mean.len()) as f64);
        mean.fill(T::zero());
        for row in inputs.chunks_exact(mean.len()) {
            for (sum, &x) in mean.iter_mut().zip(row) {
                *sum += x;
            }
        }
        mean.iter_mut().for_each(|mean| *mean /= n);
        variance.fill(T::zero());
        for row in inputs.chunks_exact(mean.len()) {
            for ((sum, &x), &mean) in variance.iter_mut().zip(row).zip(&*mean) {
                *sum += (x - mean) * (x - mean);
            }
        }
        variance.iter_mut().for_each(|variance| *variance /= n - T::one());
    }
}

/// The sums of each column's gradients, alone and times what it was normalised to.
struct GradientSums<'a, T> {
    gradients: &'a [T],
    inputs: &'a [T],
    centre: &'a [T],
    inverse: &'a [T],
    sums: &'a mut [T],
    products: &'a mut [T],
}

impl<T: Scalar> Task for GradientSums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { centre, inverse, sums, products, .. } = self;
        sums.fill(T::zero());
        products.fill(T::zero());
        let columns = centre.len();
        let rows = self.gradients.chunks_exact(columns).zip(self.inputs.chunks_exact(columns));
        for (gradients, inputs) in rows {
            let into = sums.iter_mut().zip(products.iter_mut());
            let by = centre.iter().zip(inverse);
            for (((&g, &x), (sum, product)), (&centre, &inverse)) in
                gradients.iter().zip(inputs).zip(into).zip(by)
            {
                *sum += g;
                *product += g * ((x - centre) * inverse);
            }
        }
    }
}

/// `gradients = factor · gradients + slope · (inputs - mean) + offset`, column by column.
struct Through<'a, T> {
    gradients: &'a mut [T],
    inputs: &'a [T],
    mean: &'a [T],
    factor: &'a [T],
    slope: &'a [T],
    offset: &'a [T],
}

impl<T: Scalar> Task for Through<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let columns = self.mean.len();
        let rows = self.gradients.chunks_exact_mut(columns).zip(self.inputs.chunks_exact(columns));
        for (gradients, inputs) in rows {
            let by = self.factor.iter().zip(self.slope).zip(self.offset).zip(self.mean);
            for ((g, &x), (((&factor, &slope), &offset), &mean)) in
                gradients.iter_mut().zip(inputs).zip(by)
            {
                *g = factor * *g + slope * (x - mean) + offset;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::native::NativeMlp;
    use crate::network::{Activation, MlpConfig, Network as _, Normalisation};
    use crate::random::normal;
    use crate::state::Tensors;
    use crate::{on_every_level, threads};
    use rushes_rng::{Purpose, Rng, stream};

    /// tests/goldens/crossq/record.py has its settings.
    #[test]
    fn recorded_batches_are_normalised_as_sb3_contrib_does() {
        const COLUMNS: usize = 5;
        const ROWS: usize = 12;
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/goldens/crossq/renorm.safetensors");
        let recorded = Tensors::load(&file).expect("recorded tensors");
        let read =
            |name: &str, shape: &[usize]| recorded.get::<f64>(name, shape).expect("recorded");
        let batch = |name: String| read(&name, &[ROWS, COLUMNS]);
        let column = |name: &str| read(name, &[COLUMNS]);
        let close = |name: &str, found: &[f64], expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            for (f, e) in found.iter().zip(expected) {
                assert!((f - e).abs() < 1e-12 * e.abs().max(1.0), "{name}: {f}, {e}");
            }
        };
        let parameters = [column("scale"), column("shift")].concat();
        let mut renorm = Renorm::new(BatchRenorm { momentum: 0.01, warmup: 2 }, COLUMNS);
        let mut statistics = [[0.0; COLUMNS], [1.0; COLUMNS]].concat();
        statistics.push(0.0);
        for i in 0..6 {
            let name = |part: &str| format!("{i}.{part}");
            let inputs = batch(name("inputs"));
            renorm.forward(&parameters, &mut statistics, Statistics::Batch, ROWS, &inputs);
            close(&name("outputs"), &renorm.outputs[..ROWS * COLUMNS], &batch(name("outputs")));
            let mut gradients = batch(name("grad_outputs"));
            let mut learned = vec![0.0; 2 * COLUMNS];
            renorm.backward(&parameters, Some(&mut learned), ROWS, &inputs, &mut gradients);
            close(&name("grad_inputs"), &gradients, &batch(name("grad_inputs")));
            close(&name("grad_scale"), &learned[..COLUMNS], &column(&name("grad_scale")));
            close(&name("grad_shift"), &learned[COLUMNS..], &column(&name("grad_shift")));
            close(&name("mean"), &statistics[..COLUMNS], &column(&name("running_mean")));
            let variance = &statistics[COLUMNS..2 * COLUMNS];
            close(&name("variance"), variance, &column(&name("running_var")));
        }
        assert_eq!(statistics[2 * COLUMNS], 6.0);

        let before = statistics.clone();
        let inputs = batch("acting.inputs".into());
        let mut outputs = inputs.clone();
        renorm.act(&parameters, &statistics, ROWS, &mut outputs);
        close("acting", &outputs, &batch("acting.outputs".into()));
        renorm.forward(&parameters, &mut statistics, Statistics::Running, ROWS, &inputs);
        assert_eq!(renorm.outputs[..ROWS * COLUMNS], outputs);
        let mut gradients = vec![1.0; ROWS * COLUMNS];
        renorm.backward(&parameters, None, ROWS, &inputs, &mut gradients);
        close("acting's gradient", &gradients, &batch("acting.grad_inputs".into()));
        assert_eq!(statistics, before);
    }

    const INPUTS: usize = 3;
    const OUTPUTS: usize = 2;

    fn draw(rng: &mut Rng, count: usize) -> Vec<f64> {
        (0..count).map(|_| normal(rng)).collect()
    }

    /// A network with every parameter away from its start, and running statistics of `batches` batches.
    fn network(batches: usize, rng: &mut Rng) -> NativeMlp<f64> {
        let mut config = MlpConfig::new(INPUTS, &[7, 5], OUTPUTS, Activation::Tanh);
        config.normalisation =
            Some(Normalisation::BatchRenorm(BatchRenorm { momentum: 0.2, warmup: 2 }));
        let parameters = draw(rng, config.parameter_count());
        let mut network = NativeMlp::new(config, parameters);
        for _ in 0..batches {
            let batch = inputs(rng, 9);
            network.forward_train(&batch, 9, &mut rng.clone(), &mut [0.0; 9 * OUTPUTS]);
        }
        network
    }

    /// Sixteenths, which a step of a power of two keeps exact.
    fn inputs(rng: &mut Rng, rows: usize) -> Vec<f32> {
        let draws = draw(rng, rows * INPUTS);
        draws.into_iter().map(|x| (x * 16.0).round() as f32 / 16.0).collect()
    }

    #[test]
    fn gradients_equal_finite_differences() {
        const ROWS: usize = 8;
        // Within the warm-up, beyond it, and by running statistics.
        for (batches, by) in
            [(1, Statistics::Batch), (7, Statistics::Batch), (7, Statistics::Running)]
        {
            let mut rng = stream(6, Purpose::Exploration, batches as u64);
            let mut network = network(batches, &mut rng);
            let (batch, weights) = (inputs(&mut rng, ROWS), draw(&mut rng, ROWS * OUTPUTS));
            let start = network.statistics().to_vec();
            let mut pass = |network: &mut NativeMlp<f64>, batch: &[f32]| {
                let mut outputs = [0.0; ROWS * OUTPUTS];
                network.statistics_mut().copy_from_slice(&start);
                match by {
                    Statistics::Batch => {
                        network.forward_train(batch, ROWS, &mut rng, &mut outputs);
                    }
                    Statistics::Running => {
                        network.forward_frozen(batch, ROWS, &mut rng, &mut outputs);
                    }
                }
                outputs.iter().zip(&weights).map(|(y, w)| y * w).sum::<f64>()
            };
            pass(&mut network, &batch);
            let mut grad_inputs = vec![f64::NAN; ROWS * INPUTS];
            network.backward(&weights, Some(&mut grad_inputs));
            let mut alone = vec![f64::NAN; ROWS * INPUTS];
            network.backward_inputs(&weights, &mut alone);
            assert_eq!(alone, grad_inputs);
            let gradients = network.gradients().to_vec();

            for (i, found) in gradients.iter().enumerate() {
                let middle = network.parameters()[i];
                let mut at = |x: f64| {
                    network.parameters_mut()[i] = x;
                    pass(&mut network, &batch)
                };
                // Corrections count as constants, although they move with all that comes before them: beyond the warm-up the
                // last layer alone can be compared.
                let slope = (at(middle + 1e-6) - at(middle - 1e-6)) / 2e-6;
                at(middle);
                if batches < 3 || by == Statistics::Running || i >= last_layer(&network) {
                    assert!((slope - found).abs() < 1e-7, "{by:?}, {i}: {slope}, {found}");
                }
            }
            for (i, found) in grad_inputs.iter().enumerate() {
                let mut at = |shift: f32| {
                    let mut batch = batch.clone();
                    batch[i] += shift;
                    pass(&mut network, &batch)
                };
                let step = 1.0 / 4096.0;
                let slope = (at(step) - at(-step)) / (2.0 * f64::from(step));
                if batches < 3 || by == Statistics::Running {
                    assert!((slope - found).abs() < 1e-4, "{by:?}, {i}: {slope}, {found}");
                }
            }
        }
    }

    /// Where the parameters of the last layer begin.
    fn last_layer(network: &NativeMlp<f64>) -> usize {
        let layers = network.config().layers();
        layers.last().and_then(|layer| layer.renorm).expect("renormalised").parameters
    }

    /// A unit that is the same in the whole batch, as one that is dead, has no deviation to divide by.
    #[test]
    fn columns_without_variance_stay_finite() {
        let mut renorm = Renorm::<f64>::new(BatchRenorm { momentum: 0.1, warmup: 0 }, 1);
        let mut statistics = [0.0, 1.0, 0.0];
        for _ in 0..3 {
            renorm.forward(&[1.0, 0.0], &mut statistics, Statistics::Batch, 4, &[2.0; 4]);
            assert!(renorm.outputs[..4].iter().all(|y| y.is_finite()));
            let mut gradients = [1.0, -2.0, 0.5, 3.0];
            renorm.backward(&[1.0, 0.0], Some(&mut [0.0; 2]), 4, &[2.0; 4], &mut gradients);
            assert!(gradients.iter().all(|g| g.is_finite()), "{gradients:?}");
        }
    }

    #[test]
    fn acting_uses_running_statistics_and_disturbs_nothing() {
        let mut rng = stream(7, Purpose::Exploration, 0);
        let mut network = network(5, &mut rng);
        let batch = inputs(&mut rng, 6);
        let mut outputs = [0.0; 6 * OUTPUTS];
        network.forward_train(&batch, 6, &mut rng, &mut outputs);
        let gradient = draw(&mut rng, 6 * OUTPUTS);
        network.backward(&gradient, None);
        let expected = network.gradients().to_vec();
        let statistics = network.statistics().to_vec();
        let mut together = [0.0; 6 * OUTPUTS];
        network.forward(&batch, 6, &mut together);
        for (row, expected) in batch.chunks_exact(INPUTS).zip(together.chunks_exact(OUTPUTS)) {
            let mut alone = [0.0; OUTPUTS];
            network.forward(row, 1, &mut alone);
            for (a, e) in alone.iter().zip(expected) {
                assert!((a - e).abs() < 1e-13, "{a}, {e}");
            }
        }
        assert_ne!(together, outputs);
        assert_eq!(network.statistics(), statistics);
        network.zero_gradients();
        network.backward(&gradient, None);
        assert_eq!(network.gradients(), expected);
        network.forward_frozen(&batch, 6, &mut rng, &mut outputs);
        assert_eq!(outputs, together);
    }

    #[test]
    fn statistics_are_saved_with_the_parameters() {
        let mut rng = stream(8, Purpose::Exploration, 0);
        let mut learned = network(4, &mut rng);
        let mut saved = Tensors::default();
        saved.insert_network("actor.", &learned);
        assert_eq!(saved.get::<f64>("actor.3.num_batches_tracked", &[1]).expect("saved"), [4.0]);
        let mut fresh = network(0, &mut rng);
        saved.load_network("actor.", &mut fresh).expect("its own shape");
        assert_eq!(fresh.statistics(), learned.statistics());
        let batch = inputs(&mut rng, 1);
        let (mut a, mut b) = ([0.0; OUTPUTS], [0.0; OUTPUTS]);
        learned.forward(&batch, 1, &mut a);
        fresh.forward(&batch, 1, &mut b);
        assert_eq!(a, b);
    }

    #[test]
    fn numbers_depend_on_no_instruction_set_and_no_threads() {
        let learned = |threads: usize| {
            const ROWS: usize = 130;
            let mut config = MlpConfig::new(11, &[400, 300], 33, Activation::Relu);
            let renorm = BatchRenorm { momentum: 0.1, warmup: 1 };
            config.normalisation = Some(Normalisation::BatchRenorm(renorm));
            let mut rng = stream(9, Purpose::Exploration, 0);
            let parameters = config.initial_parameters::<f32>(&mut rng);
            let mut network = NativeMlp::new(config, parameters);
            let mut outputs = vec![0.0; ROWS * 33];
            let mut grad_inputs = vec![0.0; ROWS * 11];
            let work = || {
                for _ in 0..4 {
                    let batch: Vec<f32> = (0..ROWS * 11).map(|_| normal(&mut rng) as f32).collect();
                    network.forward_train(&batch, ROWS, &mut rng, &mut outputs);
                    let gradients = outputs.clone();
                    network.backward(&gradients, Some(&mut grad_inputs));
                }
                network.forward_frozen(&vec![0.5; ROWS * 11], ROWS, &mut rng, &mut outputs);
                [network.gradients(), network.statistics(), &outputs, &grad_inputs].concat()
            };
            threads::with_threads(threads, work).expect("threads")
        };
        let first = std::cell::RefCell::new(std::collections::HashMap::new());
        on_every_level(|level| {
            let alone = learned(1);
            assert!(learned(3) == alone, "{level:?}");
            let mut first = first.borrow_mut();
            let first = first.entry(crate::arithmetic()).or_insert_with(|| alone.clone());
            assert!(*first == alone, "{level:?}");
        });
    }
}

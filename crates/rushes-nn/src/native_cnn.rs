//! The plain-Rust engine's convolutions, before its multi-layer perceptron.
//!
//! Pictures lie pixel by pixel, the channels of a pixel side by side, so that what a kernel sees is a few runs of numbers:
//! they are copied into a row for each place (`patches`), and the convolution is a product with the kernels, picture by picture,
//! while the patches are in the cache. The way back is the two products of a fully connected layer. Parameters are kept as
//! PyTorch keeps them (`outputs × channels × rows × columns`); kernels in the order of the patches are refreshed after
//! they changed.

use super::convolution::{CnnConfig, ConvolutionSpec, ImageShape, Picture};
use super::kernels::{
    Left, Packed, Right, Start, activate, add_rows, deactivate, product, reserve, with_slack,
    worth_packing,
};
use super::native::{NativeMlp, right_operand};
use super::network::{Activation, LatentNetwork, Network, ParametersMut, TensorInfo};
use super::scalar::Scalar;
use rushes_rng::Rng;

/// A convolutional network of the native engine.
pub(crate) struct NativeCnn<T> {
    picture: Picture,
    activation: Activation,
    layout: Vec<TensorInfo>,
    convolutions: Vec<Convolution<T>>,
    /// What follows, with the parameters of all layers.
    mlp: NativeMlp<T>,
    /// Whether kernels in the order of patches lag behind the parameters.
    stale: bool,
    /// The pictures of the last pass in training, then how many there are.
    pictures: Vec<T>,
    rows: usize,
    scratch: Scratch<T>,
}

/// Buffers of the picture at work.
#[derive(Default)]
struct Scratch<T> {
    /// A row for each place of a kernel.
    patches: Vec<T>,
    /// Pictures between the layers, alternating, where nothing is kept.
    acting: [Vec<T>; 2],
    /// The gradient at the outputs of the layer at work, and at its inputs, of all pictures.
    deltas: [Vec<T>; 2],
    /// The right operand of a kernel's gradient.
    packed: Packed<T>,
    /// The gradient of the kernels, a row for each number of a patch.
    kernels: Vec<T>,
}

/// A layer with what its passes keep.
struct Convolution<T> {
    spec: ConvolutionSpec,
    /// Channels, height and width of what comes in and goes out.
    seen: ImageShape,
    shown: ImageShape,
    /// Where its kernels and its biases begin in the flat parameters.
    weight: usize,
    bias: usize,
    /// A row for each kernel, in the order of a patch; with slack.
    kernels: Vec<T>,
    /// Their transpose, for the way forward.
    forward: Packed<T>,
    /// They themselves, for the way back, where they are [`worth_packing`].
    backward: Packed<T>,
    /// Biases, with slack.
    biases: Vec<T>,
    /// Of the last pass in training: what the activation saw, kept where its derivative needs it, and its outputs.
    before: Vec<T>,
    after: Vec<T>,
}

impl<T: Scalar> Convolution<T> {
    /// Numbers in a patch.
    fn patch(&self) -> usize {
        self.spec.inputs(self.seen[0])
    }

    /// Places of a kernel.
    fn places(&self) -> usize {
        self.shown[1] * self.shown[2]
    }

    /// Puts the kernels of these `parameters` of the network into the order of patches.
    fn refresh(&mut self, parameters: &[T]) {
        let (side, channels, patch) = (self.spec.kernel, self.seen[0], self.patch());
        let kernels = parameters[self.weight..self.bias].chunks_exact(patch);
        for (from, to) in kernels.zip(self.kernels.chunks_exact_mut(patch)) {
            for (place, pixel) in to.chunks_exact_mut(channels).enumerate() {
                for (channel, number) in pixel.iter_mut().enumerate() {
                    *number = from[channel * side * side + place];
                }
            }
        }
        let count = self.spec.channels;
        self.biases[..count].copy_from_slice(&parameters[self.bias..][..count]);
        let kernels = &self.kernels[..count * patch];
        self.forward.pack_transposed(patch, count, kernels);
        if worth_packing::<T>(patch) {
            self.backward.pack(count, patch, kernels);
        }
    }

    /// Where each row of pixels of each patch begins in a picture, with where it begins in the patches, and how many numbers
    /// it has.
    fn runs(&self) -> impl Iterator<Item = (usize, usize)> + use<T> {
        let Self { spec: ConvolutionSpec { kernel, stride, .. }, seen, shown, .. } = *self;
        let [channels, _, width] = seen;
        let run = kernel * channels;
        let places = (0..shown[1]).flat_map(move |y| (0..shown[2]).map(move |x| (y, x)));
        places.enumerate().flat_map(move |(place, (y, x))| {
            (0..kernel).map(move |row| {
                let pixel = (y * stride + row) * width + x * stride;
                (pixel * channels, (place * kernel + row) * run)
            })
        })
    }

    /// Writes what every kernel sees of a picture at each of its places.
    fn cut(&self, picture: &[T], patches: &mut Vec<T>) {
        reserve(patches, self.places() * self.patch());
        let run = self.spec.kernel * self.seen[0];
        for (from, to) in self.runs() {
            patches[to..to + run].copy_from_slice(&picture[from..from + run]);
        }
    }

    /// Adds patches to the picture that they were cut out of.
    fn paste(&self, patches: &[T], picture: &mut [T]) {
        let run = self.spec.kernel * self.seen[0];
        for (to, from) in self.runs() {
            for (sum, &number) in picture[to..to + run].iter_mut().zip(&patches[from..from + run]) {
                *sum += number;
            }
        }
    }

    /// What the layer makes of a picture, without the activation.
    fn convolve(&self, picture: &[T], patches: &mut Vec<T>, outputs: &mut [T]) {
        self.cut(picture, patches);
        let (places, patch) = (self.places(), self.patch());
        let left = Left { data: &patches[..], row_stride: patch, column_stride: 1 };
        let right = Right::Packed(&self.forward);
        product(places, self.spec.channels, patch, left, right, Start::Bias(&self.biases), outputs);
    }
}

fn numbers(image: ImageShape) -> usize {
    image.iter().product()
}

/// Writes a picture pixel by pixel.
fn arrange<T: Scalar>(picture: Picture, observation: &[f32], pixels: &mut [T]) {
    let Picture { frames, height, width, channels } = picture;
    let all = frames * channels;
    for (frame, numbers) in observation.chunks_exact(height * width * channels).enumerate() {
        for (from, to) in numbers.chunks_exact(channels).zip(pixels.chunks_exact_mut(all)) {
            for (number, &observed) in to[frame * channels..].iter_mut().zip(from) {
                *number = T::of_f32(observed);
            }
        }
    }
}

/// The inverse of [`arrange`], for gradients.
fn disarrange<T: Scalar>(picture: Picture, pixels: &[T], observation: &mut [T]) {
    let Picture { frames, height, width, channels } = picture;
    let all = frames * channels;
    for (frame, numbers) in observation.chunks_exact_mut(height * width * channels).enumerate() {
        for (to, from) in numbers.chunks_exact_mut(channels).zip(pixels.chunks_exact(all)) {
            to.copy_from_slice(&from[frame * channels..][..channels]);
        }
    }
}

/// Writes the `rows × columns` matrix `from` as its transpose: channels of pixels as planes, and back.
fn transpose<T: Scalar>(columns: usize, from: &[T], to: &mut [T]) {
    let rows = from.len() / columns;
    for (i, row) in from.chunks_exact(columns).enumerate() {
        for (j, &number) in row.iter().enumerate() {
            to[j * rows + i] = number;
        }
    }
}

impl<T: Scalar> NativeCnn<T> {
    /// A network with these parameters ([`CnnConfig::initial_parameters`] or as many).
    pub(crate) fn new(config: &CnnConfig, parameters: Vec<T>) -> Self {
        let (mut seen, mut offset) = (config.picture.image(), 0);
        let mut convolutions = Vec::new();
        for &spec in &config.convolutions {
            let shown = spec.output(seen).expect("kernels that fit into their pictures");
            let (patch, count) = (spec.inputs(seen[0]), spec.channels);
            let (weight, bias) = (offset, offset + count * patch);
            convolutions.push(Convolution {
                spec,
                seen,
                shown,
                weight,
                bias,
                kernels: with_slack(count * patch),
                forward: Packed::default(),
                backward: Packed::default(),
                biases: with_slack(count),
                before: Vec::new(),
                after: Vec::new(),
            });
            (seen, offset) = (shown, bias + count);
        }
        Self {
            picture: config.picture,
            activation: config.mlp.activation,
            layout: config.layout(),
            convolutions,
            mlp: NativeMlp::behind(offset, config.mlp.clone(), parameters),
            stale: true,
            pictures: Vec::new(),
            rows: 0,
            scratch: Scratch::default(),
        }
    }

    fn refresh(&mut self) {
        if std::mem::take(&mut self.stale) {
            for convolution in &mut self.convolutions {
                convolution.refresh(self.mlp.parameters());
            }
        }
    }

    /// Adds the gradients of all parameters, where `learning`.
    fn propagate(
        &mut self,
        grad_outputs: &[T],
        grad_features: Option<&[T]>,
        grad_inputs: Option<&mut [T]>,
        learning: bool,
    ) {
        let Self { convolutions, mlp, scratch, pictures, rows, .. } = self;
        let (rows, image) = (*rows, numbers(self.picture.image()));
        let Scratch { patches, deltas: [delta, previous], packed, kernels, .. } = scratch;
        let widest = convolutions.iter().map(|c| numbers(c.shown).max(numbers(c.seen))).max();
        let widest = rows * widest.unwrap_or(0);
        reserve(delta, widest);
        reserve(previous, widest);
        let (mut delta, mut previous) = (delta, previous);
        let features = mlp.inputs();
        let grad_planes = Some(&mut previous[..rows * features]);
        mlp.propagate(grad_outputs, grad_features, grad_planes, learning);
        if let Some(last) = convolutions.last() {
            let rows = previous[..rows * features].chunks_exact(features);
            for (planes, pixels) in rows.zip(delta.chunks_exact_mut(features)) {
                transpose(last.places(), planes, pixels);
            }
        }
        for i in (0..convolutions.len()).rev() {
            let convolution = &convolutions[i];
            let (count, patch, places) =
                (convolution.spec.channels, convolution.patch(), convolution.places());
            let (seen, shown) = (numbers(convolution.seen), numbers(convolution.shown));
            let all = rows * shown;
            let (before, after) = (&convolution.before, &convolution.after[..all]);
            deactivate(self.activation, before, after, &mut delta[..all]);
            let arrived = if i == 0 { &pictures[..] } else { &convolutions[i - 1].after };
            let passes_on = i > 0 || grad_inputs.is_some();
            if learning {
                reserve(kernels, patch * count);
                kernels[..patch * count].fill(T::zero());
            }
            for row in 0..rows {
                let delta = &delta[row * shown..];
                if learning {
                    // (dL/dW)ᵀ = patchesᵀ · delta
                    convolution.cut(&arrived[row * seen..][..seen], patches);
                    let left = Left { data: &patches[..], row_stride: 1, column_stride: patch };
                    let right = right_operand(patch, places, count, delta, packed);
                    product(patch, count, places, left, right, Start::Accumulate, kernels);
                }
                if passes_on {
                    // dL/dpatches = delta · W
                    let right = match worth_packing::<T>(patch) {
                        true => Right::Packed(&convolution.backward),
                        false => Right::Rows(&convolution.kernels),
                    };
                    let left = Left { data: delta, row_stride: count, column_stride: 1 };
                    reserve(patches, places * patch);
                    product(places, patch, count, left, right, Start::Zero, patches);
                    let picture = &mut previous[row * seen..][..seen];
                    picture.fill(T::zero());
                    convolution.paste(patches, picture);
                }
            }
            if learning {
                let gradients = mlp.parameters_and_gradients().gradients;
                let (weight, bias) = (convolution.weight, convolution.bias);
                add_rows(rows * places, delta, &mut gradients[bias..bias + count]);
                let (channels, area) =
                    (convolution.seen[0], convolution.spec.kernel * convolution.spec.kernel);
                for (at, row) in kernels[..patch * count].chunks_exact(count).enumerate() {
                    let place = at % channels * area + at / channels;
                    for (kernel, &gradient) in row.iter().enumerate() {
                        gradients[weight + kernel * patch + place] += gradient;
                    }
                }
            }
            (delta, previous) = (previous, delta);
        }
        if let Some(grad_inputs) = grad_inputs {
            let all = grad_inputs.chunks_exact_mut(image).zip(delta.chunks_exact(image));
            all.for_each(|(observation, pixels)| disarrange(self.picture, pixels, observation));
        }
    }
}

impl<T: Scalar> Network<T> for NativeCnn<T> {
    fn inputs(&self) -> usize {
        numbers(self.picture.image())
    }

    fn outputs(&self) -> usize {
        self.mlp.outputs()
    }

    fn forward(&mut self, batch: &[f32], rows: usize, outputs: &mut [T]) {
        assert_eq!(batch.len(), rows * self.inputs(), "the batch does not fit the network");
        self.refresh();
        let (image, features) = (self.inputs(), self.mlp.inputs());
        let Self { picture, activation, convolutions, mlp, scratch, .. } = self;
        let Scratch { patches, acting: [from, to], .. } = scratch;
        let widest = convolutions.iter().map(|c| numbers(c.shown)).fold(image, usize::max);
        reserve(from, widest);
        reserve(to, widest);
        let see = |inputs: &mut [T]| {
            let rows = batch.chunks_exact(image).zip(inputs.chunks_exact_mut(features));
            for (observation, planes) in rows {
                let (mut from, mut to) = (&mut *from, &mut *to);
                arrange(*picture, observation, from);
                let mut channels = picture.image()[0];
                for convolution in &*convolutions {
                    convolution.convolve(from, patches, to);
                    activate(*activation, &mut to[..numbers(convolution.shown)]);
                    channels = convolution.spec.channels;
                    (from, to) = (to, from);
                }
                transpose(channels, &from[..features], planes);
            }
        };
        mlp.act(rows, see, outputs);
    }

    fn forward_train(&mut self, batch: &[f32], rows: usize, rng: &mut Rng, outputs: &mut [T]) {
        assert_eq!(batch.len(), rows * self.inputs(), "the batch does not fit the network");
        self.refresh();
        self.rows = rows;
        let (image, features) = (self.inputs(), self.mlp.inputs());
        let Self { picture, activation, convolutions, mlp, pictures, scratch, .. } = self;
        reserve(pictures, rows * image);
        let all = batch.chunks_exact(image).zip(pictures.chunks_exact_mut(image));
        all.for_each(|(observation, pixels)| arrange(*picture, observation, pixels));
        let mut seen = &*pictures;
        let mut channels = picture.image()[0];
        for convolution in convolutions {
            let (from, to) = (numbers(convolution.seen), numbers(convolution.shown));
            let mut after = std::mem::take(&mut convolution.after);
            reserve(&mut after, rows * to);
            for row in 0..rows {
                let outputs = &mut after[row * to..][..to];
                convolution.convolve(&seen[row * from..][..from], &mut scratch.patches, outputs);
            }
            if *activation == Activation::Silu {
                reserve(&mut convolution.before, rows * to);
                convolution.before[..rows * to].copy_from_slice(&after[..rows * to]);
            }
            activate(*activation, &mut after[..rows * to]);
            convolution.after = after;
            seen = &convolution.after;
            channels = convolution.spec.channels;
        }
        let see = |inputs: &mut [T]| {
            let rows = seen.chunks_exact(features).zip(inputs.chunks_exact_mut(features));
            rows.for_each(|(pixels, planes)| transpose(channels, pixels, planes));
        };
        mlp.learn(rows, see, rng, outputs);
    }

    fn backward(&mut self, grad_outputs: &[T], grad_inputs: Option<&mut [T]>) {
        self.propagate(grad_outputs, None, grad_inputs, true);
    }

    fn backward_inputs(&mut self, grad_outputs: &[T], grad_inputs: &mut [T]) {
        self.propagate(grad_outputs, None, Some(grad_inputs), false);
    }

    fn parameters(&self) -> &[T] {
        self.mlp.parameters()
    }

    fn gradients(&self) -> &[T] {
        self.mlp.gradients()
    }

    fn parameters_and_gradients(&mut self) -> ParametersMut<'_, T> {
        self.stale = true;
        self.mlp.parameters_and_gradients()
    }

    fn zero_gradients(&mut self) {
        self.mlp.zero_gradients();
    }

    fn layout(&self) -> &[TensorInfo] {
        &self.layout
    }

    fn latent(&mut self) -> Option<&mut dyn LatentNetwork<T>> {
        Some(self)
    }
}

impl<T: Scalar> LatentNetwork<T> for NativeCnn<T> {
    fn features(&self) -> usize {
        self.mlp.features()
    }

    fn acting_features(&self) -> &[T] {
        self.mlp.acting_features()
    }

    fn learning_features(&self) -> &[T] {
        self.mlp.learning_features()
    }

    fn backward_with_features(&mut self, grad_outputs: &[T], grad_features: &[T]) {
        self.propagate(grad_outputs, Some(grad_features), None, true);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use super::*;
    use crate::network::MlpConfig;
    use crate::random::normal;
    use crate::{arithmetic, on_every_level, threads};
    use rushes_rng::{Purpose, stream};

    const ROWS: usize = 3;

    /// Frames of coloured pixels, and convolutions that leave some of them unseen.
    fn config(activation: Activation) -> CnnConfig {
        let picture = Picture { frames: 2, height: 9, width: 11, channels: 3 };
        let convolutions = [
            ConvolutionSpec { channels: 5, kernel: 3, stride: 2 },
            ConvolutionSpec { channels: 19, kernel: 2, stride: 1 },
        ];
        let mlp = MlpConfig { dropout: 0.3, ..MlpConfig::new(0, &[7], 2, activation) };
        CnnConfig::new(picture, &convolutions, mlp)
    }

    fn network<T: Scalar>(config: &CnnConfig) -> NativeCnn<T> {
        let mut rng = stream(3, Purpose::Initialisation, 0);
        NativeCnn::new(config, config.initial_parameters(&mut rng))
    }

    fn draws(count: usize, index: u64) -> Vec<f32> {
        let mut rng = stream(5, Purpose::Exploration, index);
        (0..count).map(|_| normal(&mut rng) as f32).collect()
    }

    fn masks() -> Rng {
        stream(1, Purpose::Minibatch, 0)
    }

    /// The sum of products of the outputs in training and some weights, a loss whose gradient these are.
    fn loss(network: &mut NativeCnn<f64>, batch: &[f32], weights: &[f64]) -> f64 {
        let mut outputs = vec![0.0; weights.len()];
        network.forward_train(batch, ROWS, &mut masks(), &mut outputs);
        outputs.iter().zip(weights).map(|(output, weight)| output * weight).sum()
    }

    /// A convolution by its definition, on channels of planes.
    fn by_definition(
        spec: ConvolutionSpec,
        image: ImageShape,
        planes: &[f64],
        parameters: &[f64],
        activation: fn(f64) -> f64,
    ) -> (ImageShape, Vec<f64>) {
        let shown = spec.output(image).expect("it fits");
        let [channels, height, width] = image;
        let (side, patch) = (spec.kernel, spec.inputs(channels));
        let mut outputs = Vec::new();
        for kernel in 0..spec.channels {
            for y in 0..shown[1] {
                for x in 0..shown[2] {
                    let mut sum = parameters[spec.channels * patch + kernel];
                    for (i, weight) in parameters[kernel * patch..][..patch].iter().enumerate() {
                        let (channel, row, column) = (i / (side * side), i / side % side, i % side);
                        let (row, column) = (y * spec.stride + row, x * spec.stride + column);
                        sum += weight * planes[(channel * height + row) * width + column];
                    }
                    outputs.push(activation(sum));
                }
            }
        }
        (shown, outputs)
    }

    #[test]
    fn outputs_are_convolutions_by_their_definition() {
        let config = config(Activation::Tanh);
        let mut network = network::<f64>(&config);
        let batch = draws(ROWS * network.inputs(), 0);
        let mut outputs = vec![0.0; ROWS * 2];
        network.forward(&batch, ROWS, &mut outputs);
        let parameters = network.parameters();
        for (row, outputs) in outputs.chunks_exact(2).enumerate() {
            let seen = &batch[row * network.inputs()..][..network.inputs()];
            let Picture { height, width, channels, .. } = config.picture;
            let area = height * width;
            let mut planes: Vec<f64> = Vec::new();
            for channel in 0..config.picture.image()[0] {
                let (frame, own) = (channel / channels, channel % channels);
                planes.extend(
                    (0..area).map(|p| f64::from(seen[(frame * area + p) * channels + own])),
                );
            }
            let (mut image, mut offset) = (config.picture.image(), 0);
            for &spec in &config.convolutions {
                let count = (spec.inputs(image[0]) + 1) * spec.channels;
                let own = &parameters[offset..offset + count];
                (image, planes) = by_definition(spec, image, &planes, own, f64::tanh);
                offset += count;
            }
            for layer in config.mlp.layers() {
                let after = |unit: usize| {
                    let from = offset + layer.weight + unit * layer.inputs;
                    let weights = &parameters[from..from + layer.inputs];
                    let sum = parameters[offset + layer.bias + unit];
                    planes.iter().zip(weights).fold(sum, |sum, (x, w)| sum + x * w)
                };
                let all = (0..layer.outputs).map(after);
                planes = match layer.activation {
                    Activation::Tanh => all.map(f64::tanh).collect(),
                    _ => all.collect(),
                };
            }
            for (found, expected) in outputs.iter().zip(&planes) {
                assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
            }
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_loss() {
        for activation in [Activation::Tanh, Activation::Silu] {
            let config = config(activation);
            let mut network = network::<f64>(&config);
            let batch = draws(ROWS * network.inputs(), 0);
            let weights: Vec<f64> = draws(ROWS * 2, 1).into_iter().map(f64::from).collect();
            // Another pass before leaves nothing behind.
            let other = draws(batch.len(), 2);
            loss(&mut network, &other, &weights);
            network.backward(&weights, None);
            network.zero_gradients();
            loss(&mut network, &batch, &weights);
            let mut grad_inputs = vec![0.0; batch.len()];
            network.backward(&weights, Some(&mut grad_inputs));
            let gradients = network.gradients().to_vec();
            let mut alone = vec![1.0; batch.len()];
            network.backward_inputs(&weights, &mut alone);
            assert_eq!(alone, grad_inputs);
            assert_eq!(network.gradients(), gradients, "the parameters' stay as they are");
            let step = 1e-6;
            for (i, &gradient) in gradients.iter().enumerate() {
                let mut moved = |by: f64| {
                    network.parameters_mut()[i] += by;
                    let loss = loss(&mut network, &batch, &weights);
                    network.parameters_mut()[i] -= by;
                    loss
                };
                let slope = (moved(step) - moved(-step)) / (2.0 * step);
                assert!((slope - gradient).abs() < 1e-7, "parameter {i}: {slope}, {gradient}");
            }
            for (i, &gradient) in grad_inputs.iter().enumerate() {
                // Observations are in single precision.
                let mut moved = batch.clone();
                moved[i] += 1e-2;
                let above = (loss(&mut network, &moved, &weights), f64::from(moved[i]));
                moved[i] = batch[i] - 1e-2;
                let below = (loss(&mut network, &moved, &weights), f64::from(moved[i]));
                let slope = (above.0 - below.0) / (above.1 - below.1);
                assert!((slope - gradient).abs() < 1e-3, "input {i}: {slope}, {gradient}");
            }
        }
    }

    #[test]
    fn neither_threads_nor_instruction_sets_change_a_bit() {
        let config = CnnConfig::new(
            [4, 40, 36].into(),
            &[
                ConvolutionSpec { channels: 32, kernel: 8, stride: 4 },
                ConvolutionSpec { channels: 64, kernel: 3, stride: 1 },
            ],
            MlpConfig::new(0, &[50], 3, Activation::Relu),
        );
        let pass = || {
            let mut network = network::<f32>(&config);
            let batch = draws(9 * network.inputs(), 0);
            let mut outputs = vec![0.0; 9 * 3];
            network.forward_train(&batch, 9, &mut masks(), &mut outputs);
            let mut grad_inputs = vec![0.0; batch.len()];
            network.backward(&draws(9 * 3, 1), Some(&mut grad_inputs));
            let mut acting = vec![0.0; 9 * 3];
            network.forward(&batch, 9, &mut acting);
            assert_eq!(acting, outputs, "without dropout");
            (outputs, network.gradients().to_vec(), grad_inputs)
        };
        let found = RefCell::new(HashMap::new());
        on_every_level(|_| {
            for threads in [1, 2, 3] {
                let now = threads::with_threads(threads, pass).expect("threads");
                let mut found = found.borrow_mut();
                let before = found.entry(arithmetic()).or_insert_with(|| now.clone());
                assert!(*before == now, "{threads} threads");
            }
        });
    }
}

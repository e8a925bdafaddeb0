//! The convolutional network of the libtorch engine, which acts by libtorch too, without a graph and for all
//! environments at once.

use tch::Tensor;

use crate::graph::{FullyConnected, Graph, Number, apply, to_host};
use rushes_nn::convolution::{CnnConfig, Picture};
use rushes_nn::network::{Network, ParametersMut, TensorInfo};
use rushes_rng::Rng;

/// A convolutional network of the libtorch engine.
pub(crate) struct TorchCnn<T> {
    config: CnnConfig,
    layout: Vec<TensorInfo>,
    parameters: Vec<T>,
    layers: FullyConnected<T>,
    graph: Graph<T>,
}

impl<T: Number> TorchCnn<T> {
    /// A network with these parameters ([`CnnConfig::initial_parameters`] or as many) on `device`.
    pub(crate) fn new(config: CnnConfig, parameters: Vec<T>, device: tch::Device) -> Self {
        let layout = config.layout();
        Self {
            graph: Graph::new(&parameters, &layout, device),
            layers: FullyConnected::new(config.mlp.layers()),
            layout,
            parameters,
            config,
        }
    }

    /// The batch as it is, on the device.
    fn pictures(&self, batch: &[f32], rows: usize) -> Tensor {
        assert_eq!(batch.len(), rows * self.inputs(), "the batch does not fit the network");
        let Picture { frames, height, width, channels } = self.config.picture;
        self.graph.tensor(batch, &[rows, frames, height, width, channels])
    }

    fn compute(&self, pictures: Tensor, train: bool) -> Tensor {
        let image = self.config.picture.image().map(|n| n as i64);
        // Channels before rows and columns, as PyTorch wants them.
        let mut x = pictures.permute([0, 1, 4, 2, 3]).reshape([-1, image[0], image[1], image[2]]);
        let convolutions = &self.config.convolutions;
        let (kernels, rest) = self.graph.leaves.split_at(2 * convolutions.len());
        for (convolution, leaf) in convolutions.iter().zip(kernels.chunks_exact(2)) {
            let stride = convolution.stride as i64;
            x = x.conv2d(&leaf[0], Some(&leaf[1]), [stride; 2], [0; 2], [1; 2], 1);
            x = apply(self.config.mlp.activation, &x);
        }
        self.layers.forward(&self.graph, rest, x.flatten(1, -1), train)
    }
}

impl<T: Number> Network<T> for TorchCnn<T> {
    fn inputs(&self) -> usize {
        self.config.picture.image().iter().product()
    }

    fn outputs(&self) -> usize {
        self.config.mlp.outputs
    }

    fn forward(&mut self, batch: &[f32], rows: usize, outputs: &mut [T]) {
        assert_eq!(outputs.len(), rows * self.outputs(), "the outputs do not fit the network");
        // Not every library that libtorch convolves with takes an empty batch.
        if rows == 0 {
            return;
        }
        self.graph.refresh(&self.parameters);
        let pictures = self.pictures(batch, rows);
        to_host(&tch::no_grad(|| self.compute(pictures, false)), outputs);
    }

    fn forward_train(&mut self, batch: &[f32], rows: usize, rng: &mut Rng, outputs: &mut [T]) {
        assert_eq!(outputs.len(), rows * self.outputs(), "the outputs do not fit the network");
        self.graph.refresh(&self.parameters);
        self.layers.draw_masks(rows, rng);
        let pictures = self.pictures(batch, rows).set_requires_grad(true);
        let x = self.compute(pictures.shallow_clone(), true);
        self.graph.keep(pictures, x, outputs);
    }

    fn backward(&mut self, grad_outputs: &[T], grad_inputs: Option<&mut [T]>) {
        self.graph.backward(grad_outputs, grad_inputs);
    }

    fn backward_inputs(&mut self, grad_outputs: &[T], grad_inputs: &mut [T]) {
        self.graph.backward_inputs(grad_outputs, grad_inputs);
    }

    fn parameters(&self) -> &[T] {
        &self.parameters
    }

    fn gradients(&self) -> &[T] {
        &self.graph.gradients
    }

    fn parameters_and_gradients(&mut self) -> ParametersMut<'_, T> {
        self.graph.stale = true;
        ParametersMut { values: &mut self.parameters, gradients: &mut self.graph.gradients }
    }

    fn zero_gradients(&mut self) {
        self.graph.gradients.fill(T::zero());
    }

    fn layout(&self) -> &[TensorInfo] {
        &self.layout
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rushes_nn::convolution::ConvolutionSpec;
    use rushes_nn::network::{Activation, Initialisation, MlpConfig};
    use rushes_nn::random::normal;
    use rushes_nn::{Device, Engine, build_cnn};
    use rushes_rng::{Purpose, stream};

    const ROWS: usize = 3;

    /// Two convolutions, one of which leaves columns of its picture unseen.
    fn config(activation: Activation) -> CnnConfig {
        let convolutions = [
            ConvolutionSpec { channels: 3, kernel: 3, stride: 2 },
            ConvolutionSpec { channels: 4, kernel: 2, stride: 1 },
        ];
        CnnConfig::new([2, 7, 10].into(), &convolutions, MlpConfig::new(0, &[5], 2, activation))
    }

    fn network<T: Number>(config: &CnnConfig) -> Box<dyn Network<T>> {
        crate::register();
        let mut rng = stream(3, Purpose::Initialisation, 0);
        build_cnn(config, Engine::TORCH, Device::Cpu, &mut rng).expect("on any CPU")
    }

    fn batch(network: &dyn Network<f64>) -> Vec<f32> {
        let mut rng = stream(4, Purpose::Exploration, 0);
        (0..ROWS * network.inputs()).map(|_| normal(&mut rng) as f32).collect()
    }

    fn masks() -> Rng {
        stream(5, Purpose::Minibatch, 0)
    }

    /// The network by the definition of a convolution and of a matrix product, for ReLU.
    fn by_hand(config: &CnnConfig, parameters: &[f64], picture: &[f32]) -> Vec<f64> {
        let mut x: Vec<f64> = picture.iter().map(|&value| f64::from(value)).collect();
        let [mut channels, mut height, mut width] = config.picture.image();
        let mut at = 0;
        for convolution in &config.convolutions {
            let ConvolutionSpec { channels: kernels, kernel: side, stride } = *convolution;
            let area = channels * side * side;
            let (rows, columns) = ((height - side) / stride + 1, (width - side) / stride + 1);
            let mut y = Vec::new();
            for kernel in 0..kernels {
                for (row, column) in (0..rows * columns).map(|i| (i / columns, i % columns)) {
                    let mut sum = parameters[at + kernels * area + kernel];
                    for i in 0..area {
                        let (channel, di, dj) = (i / side / side, i / side % side, i % side);
                        let place = (channel * height + row * stride + di) * width;
                        sum += parameters[at + kernel * area + i] * x[place + column * stride + dj];
                    }
                    y.push(sum.max(0.0));
                }
            }
            at += kernels * (area + 1);
            (x, channels, height, width) = (y, kernels, rows, columns);
        }
        for layer in config.mlp.layers() {
            let weights = &parameters[at + layer.weight..at + layer.bias];
            let rows = weights.chunks_exact(layer.inputs);
            let sums = rows.enumerate().map(|(unit, row)| {
                let sum: f64 = row.iter().zip(&x).map(|(weight, value)| weight * value).sum();
                sum + parameters[at + layer.bias + unit]
            });
            let relu = layer.activation == Activation::Relu;
            x = sums.map(|sum| if relu { sum.max(0.0) } else { sum }).collect();
        }
        x
    }

    #[test]
    fn outputs_are_those_of_the_definition_in_acting_and_in_training() {
        let config = config(Activation::Relu);
        let mut network = network::<f64>(&config);
        let batch = batch(&*network);
        let mut outputs = [0.0; 2 * ROWS];
        // Again after a change of the parameters.
        for _ in 0..2 {
            let expected: Vec<f64> = batch
                .chunks_exact(network.inputs())
                .flat_map(|picture| by_hand(&config, network.parameters(), picture))
                .collect();
            network.forward(&batch, ROWS, &mut outputs);
            for (found, expected) in outputs.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-13, "{found} is not {expected}");
            }
            let mut trained = [0.0; 2 * ROWS];
            network.forward_train(&batch, ROWS, &mut masks(), &mut trained);
            for (found, expected) in trained.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-13, "{found} is not {expected}");
            }
            network.parameters_mut().iter_mut().for_each(|parameter| *parameter *= 1.1);
        }
        network.forward(&[], 0, &mut []);
    }

    /// The same picture with its numbers in another order gives the same outputs and the same gradients.
    #[test]
    fn channels_may_come_last_and_behind_frames() {
        let channels_first = config(Activation::Relu);
        for (frames, channels) in [(1, 2), (2, 1)] {
            let mut config = channels_first.clone();
            let (height, width) = (7, 10);
            config.picture = Picture { frames, height, width, channels };
            let (mut one, mut other) = (network::<f64>(&channels_first), network::<f64>(&config));
            let batch = batch(&*one);
            // Where each number of the one order lies in the other one.
            let place = |row: usize, frame: usize, channel: usize, pixel: usize| {
                let plane = row * 2 + frame * channels + channel;
                let first = (row * frames + frame) * height * width * channels;
                (plane * height * width + pixel, first + pixel * channels + channel)
            };
            let mut places = Vec::new();
            for row in 0..ROWS {
                for (frame, channel) in (0..frames).flat_map(|f| (0..channels).map(move |c| (f, c)))
                {
                    places.extend((0..height * width).map(|i| place(row, frame, channel, i)));
                }
            }
            let mut moved = vec![f32::NAN; batch.len()];
            places.iter().for_each(|&(from, to)| moved[to] = batch[from]);
            let run = |network: &mut dyn Network<f64>, batch: &[f32]| {
                let (mut outputs, mut gradient) = ([0.0; 2 * ROWS], vec![0.0; batch.len()]);
                network.forward_train(batch, ROWS, &mut masks(), &mut outputs);
                network.backward(&[1.0; 2 * ROWS], Some(&mut gradient));
                (outputs, gradient)
            };
            let ((outputs, gradient), (same, permuted)) =
                (run(&mut *one, &batch), run(&mut *other, &moved));
            let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-13, "{a}, {b}");
            outputs.iter().zip(same).for_each(|(a, b)| close(*a, b));
            places.iter().for_each(|&(from, to)| close(gradient[from], permuted[to]));
            one.gradients().iter().zip(other.gradients()).for_each(|(a, b)| close(*a, *b));
        }
    }

    #[test]
    fn gradients_equal_finite_differences() {
        let mut config = config(Activation::Tanh);
        config.mlp.dropout = 0.4;
        let mut network = network::<f64>(&config);
        let mut batch = batch(&*network);
        let weights: [f64; 2 * ROWS] = std::array::from_fn(|i| i as f64 - 2.5);
        let loss = |network: &mut dyn Network<f64>, batch: &[f32]| {
            let mut outputs = [0.0; 2 * ROWS];
            network.forward_train(batch, ROWS, &mut masks(), &mut outputs);
            outputs.iter().zip(weights).map(|(output, weight)| output * weight).sum::<f64>()
        };
        let mut by_input = vec![0.0; batch.len()];
        // Twice: gradients add up.
        for _ in 0..2 {
            loss(&mut *network, &batch);
            network.backward(&weights, Some(&mut by_input));
        }
        let gradients = network.gradients().to_vec();
        let step = 1e-5;
        for (i, gradient) in gradients.iter().enumerate() {
            let mut at = |by: f64| {
                network.parameters_mut()[i] += by;
                loss(&mut *network, &batch)
            };
            let slope = (at(step) - at(-2.0 * step)) / (2.0 * step);
            at(step);
            assert!((2.0 * slope - gradient).abs() < 1e-8, "{i}: {slope}, {gradient}");
        }
        for i in (0..batch.len()).step_by(7) {
            let middle = batch[i];
            let mut at = |value: f32| {
                batch[i] = value;
                (loss(&mut *network, &batch), f64::from(value))
            };
            let ((above, high), (below, low)) = (at(middle + 0.01), at(middle - 0.01));
            at(middle);
            let slope = (above - below) / (high - low);
            assert!((slope - by_input[i]).abs() < 1e-3, "{i}: {slope}, {}", by_input[i]);
        }
    }

    #[test]
    fn both_precisions_begin_from_the_same_network() {
        let config = config(Activation::Relu);
        let (single, double) = (network::<f32>(&config), network::<f64>(&config));
        for (a, b) in single.parameters().iter().zip(double.parameters()) {
            assert_eq!(*a, *b as f32);
        }
    }

    #[test]
    fn the_layout_is_pytorchs() {
        let mut config = config(Activation::Relu);
        config.mlp.dropout = 0.1;
        let layout = config.layout();
        let names: Vec<_> = layout.iter().map(|tensor| tensor.name.as_str()).collect();
        // Conv2d, ReLU, Conv2d, ReLU, Flatten, Linear, Dropout, ReLU, Linear
        let expected = [
            "0.weight", "0.bias", "2.weight", "2.bias", "5.weight", "5.bias", "8.weight", "8.bias",
        ];
        assert_eq!(names, expected);
        assert_eq!(layout[0].shape, [3, 2, 3, 3]);
        assert_eq!(layout[2].shape, [4, 3, 2, 2]);
        assert_eq!(layout[4].shape, [5, 4 * 2 * 3]);
        let mut end = 0;
        for tensor in &layout {
            assert_eq!(tensor.offset, end, "{}", tensor.name);
            end += tensor.count();
        }
        assert_eq!(network::<f64>(&config).parameters().len(), end);
    }

    #[test]
    fn kernels_begin_as_the_rows_of_a_matrix() {
        let mut config = config(Activation::Relu);
        config.convolutions[0].channels = 8;
        for (initialisation, bound, bias) in [
            (Initialisation::Pytorch, (1.0_f64 / 18.0).sqrt(), true),
            (Initialisation::GlorotUniform, (6.0_f64 / (18.0 + 72.0)).sqrt(), false),
        ] {
            config.mlp.initialisation = initialisation;
            let network = network::<f64>(&config);
            let (kernels, rest) = network.parameters().split_at(8 * 18);
            let greatest = kernels.iter().fold(0.0, |m: f64, value| m.max(value.abs()));
            assert!(greatest <= bound && greatest > 0.9 * bound, "{greatest}, {bound}");
            assert_eq!(rest[..8].iter().any(|value| *value != 0.0), bias);
        }
        config.mlp.initialisation = Initialisation::Orthogonal;
        let network = network::<f64>(&config);
        let kernels: Vec<_> = network.parameters()[..8 * 18].chunks_exact(18).collect();
        for (i, a) in kernels.iter().enumerate() {
            for (j, b) in kernels.iter().enumerate() {
                let overlap: f64 = a.iter().zip(*b).map(|(a, b)| a * b).sum();
                let expected = if i == j { 2.0 } else { 0.0 };
                assert!((overlap - expected).abs() < 1e-12, "{i} · {j} = {overlap}");
            }
        }
    }

    /// The other engine computes the same, to rounding.
    #[test]
    fn the_native_engine_agrees() {
        for activation in [Activation::Relu, Activation::Tanh, Activation::Silu] {
            let mut config = config(activation);
            config.picture = Picture { frames: 2, height: 7, width: 10, channels: 1 };
            config.mlp.dropout = 0.3;
            let pass = |engine: Engine| {
                crate::register();
                let mut rng = stream(3, Purpose::Initialisation, 0);
                let mut network =
                    build_cnn::<f64>(&config, engine, Device::Cpu, &mut rng).expect("on any CPU");
                let batch = batch(&*network);
                let (mut trained, mut acted) = (vec![0.0; ROWS * 2], vec![0.0; ROWS * 2]);
                network.forward_train(&batch, ROWS, &mut masks(), &mut trained);
                network.forward(&batch, ROWS, &mut acted);
                let gradients: Vec<f64> = (0..ROWS * 2).map(|i| i as f64 - 2.5).collect();
                let mut grad_inputs = vec![0.0; batch.len()];
                network.backward(&gradients, Some(&mut grad_inputs));
                [trained, acted, network.gradients().to_vec(), grad_inputs]
            };
            for (native, torch) in pass(Engine::NATIVE).iter().zip(pass(Engine::TORCH)) {
                assert_eq!(native.len(), torch.len());
                for (native, torch) in native.iter().zip(torch) {
                    assert!((native - torch).abs() < 1e-11, "{activation:?}: {native}, {torch}");
                }
            }
        }
    }
}

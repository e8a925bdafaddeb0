//! The convolutional network of the libtorch engine, which acts by libtorch too, without a graph and for all
//! environments at once.

use tch::Tensor;

use super::{FullyConnected, Graph, apply};
use crate::nn::convolution::CnnConfig;
use crate::nn::network::{Network, ParametersMut, TensorInfo};
use crate::nn::scalar::Scalar;
use crate::rng::Rng;

/// A convolutional network of the libtorch engine.
pub struct TorchCnn<T> {
    config: CnnConfig,
    layout: Vec<TensorInfo>,
    parameters: Vec<T>,
    layers: FullyConnected<T>,
    graph: Graph<T>,
}

impl<T: Scalar> TorchCnn<T> {
    /// A network with these parameters ([`CnnConfig::initial_parameters`] or as many) on `device`.
    pub fn new(config: CnnConfig, parameters: Vec<T>, device: tch::Device) -> Self {
        let layout = config.layout();
        Self {
            graph: Graph::new(&parameters, &layout, device),
            layers: FullyConnected::new(config.mlp.layers()),
            layout,
            parameters,
            config,
        }
    }

    /// The batch as pictures on the device.
    fn pictures(&self, batch: &[f32], rows: usize) -> Tensor {
        assert_eq!(batch.len(), rows * self.inputs(), "the batch does not fit the network");
        let [channels, height, width] = self.config.image;
        self.graph.tensor(batch, &[rows, channels, height, width])
    }

    fn compute(&self, mut x: Tensor, train: bool) -> Tensor {
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

impl<T: Scalar> Network<T> for TorchCnn<T> {
    fn inputs(&self) -> usize {
        self.config.image.iter().product()
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
        super::to_host(&tch::no_grad(|| self.compute(pictures, false)), outputs);
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

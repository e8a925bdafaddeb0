//! The multi-layer perceptron of the libtorch engine. Acting goes through the native forward.

use crate::graph::{FullyConnected, Graph, Number};
use rushes_nn::native::NativeMlp;
use rushes_nn::network::{MlpConfig, Network, ParametersMut, TensorInfo};
use rushes_rng::Rng;

/// A multi-layer perceptron of the libtorch engine.
pub(crate) struct TorchMlp<T> {
    /// Owns the parameters, and acts.
    native: NativeMlp<T>,
    layers: FullyConnected<T>,
    graph: Graph<T>,
}

impl<T: Number> TorchMlp<T> {
    /// A network with these parameters ([`MlpConfig::parameter_count`] of them) on `device`.
    pub(crate) fn new(config: MlpConfig, parameters: Vec<T>, device: tch::Device) -> Self {
        Self {
            graph: Graph::new(&parameters, &config.layout(), device),
            layers: FullyConnected::new(config.layers()),
            native: NativeMlp::new(config, parameters),
        }
    }
}

impl<T: Number> Network<T> for TorchMlp<T> {
    fn inputs(&self) -> usize {
        self.native.inputs()
    }

    fn outputs(&self) -> usize {
        self.native.outputs()
    }

    fn forward(&mut self, batch: &[f32], rows: usize, outputs: &mut [T]) {
        self.native.forward(batch, rows, outputs);
    }

    fn forward_train(&mut self, batch: &[f32], rows: usize, rng: &mut Rng, outputs: &mut [T]) {
        assert_eq!(batch.len(), rows * self.inputs(), "the batch does not fit the network");
        assert_eq!(outputs.len(), rows * self.outputs(), "the outputs do not fit the network");
        let Self { native, layers, graph } = self;
        graph.refresh(native.parameters());
        layers.draw_masks(rows, rng);
        let inputs = graph.tensor(batch, &[rows, native.inputs()]).set_requires_grad(true);
        let x = layers.forward(graph, &graph.leaves, inputs.shallow_clone(), true);
        graph.keep(inputs, x, outputs);
    }

    fn backward(&mut self, grad_outputs: &[T], grad_inputs: Option<&mut [T]>) {
        self.graph.backward(grad_outputs, grad_inputs);
    }

    fn backward_inputs(&mut self, grad_outputs: &[T], grad_inputs: &mut [T]) {
        self.graph.backward_inputs(grad_outputs, grad_inputs);
    }

    fn parameters(&self) -> &[T] {
        self.native.parameters()
    }

    fn gradients(&self) -> &[T] {
        &self.graph.gradients
    }

    fn parameters_and_gradients(&mut self) -> ParametersMut<'_, T> {
        self.graph.stale = true;
        let values = self.native.parameters_and_gradients().values;
        ParametersMut { values, gradients: &mut self.graph.gradients }
    }

    fn zero_gradients(&mut self) {
        self.graph.gradients.fill(T::zero());
    }

    fn layout(&self) -> &[TensorInfo] {
        self.native.layout()
    }
}

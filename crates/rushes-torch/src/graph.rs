//! What the networks of this engine share: parameters as autograd sees them, and fully connected layers.
//!
//! Parameters and gradients live on the host as one flat vector, where optimisers, checkpoints and acting
//! find them; a flat tensor on the device, whose views are autograd's leaves, is refreshed once after they
//! changed. Nothing draws from libtorch's generator.

use tch::Tensor;

use rushes_nn::Scalar;
use rushes_nn::network::{Activation, Layer, TensorInfo};
use rushes_nn::random::dropout_masks;
use rushes_rng::Rng;

/// A number type of networks that libtorch knows too.
pub(crate) trait Number: Scalar + tch::kind::Element {}

impl<T: Scalar + tch::kind::Element> Number for T {}

/// A network's parameters as autograd sees them, and the gradients that it found.
pub(crate) struct Graph<T> {
    device: tch::Device,
    /// The parameters on the device.
    flat: Tensor,
    /// Views of `flat`, one a tensor of the layout, on which autograd hangs gradients.
    pub(crate) leaves: Vec<Tensor>,
    /// Whether `flat` lags behind the host's parameters.
    pub(crate) stale: bool,
    /// Summed up until someone zeroes them.
    pub(crate) gradients: Vec<T>,
    /// Inputs and outputs of the last training pass.
    kept: Option<(Tensor, Tensor)>,
}

impl<T: Number> Graph<T> {
    /// libtorch is told to use one thread: parallelism comes from running several trials.
    pub(crate) fn new(parameters: &[T], layout: &[TensorInfo], device: tch::Device) -> Self {
        tch::set_num_threads(1);
        let flat = Tensor::from_slice(parameters).to_device(device);
        let leaves = layout
            .iter()
            .map(|tensor| {
                let shape: Vec<i64> = tensor.shape.iter().map(|&n| n as i64).collect();
                flat.narrow(0, tensor.offset as i64, tensor.count() as i64)
                    .view(shape.as_slice())
                    .detach()
                    .set_requires_grad(true)
            })
            .collect();
        let gradients = vec![T::zero(); parameters.len()];
        Self { device, flat, leaves, stale: false, gradients, kept: None }
    }

    /// Brings the device's parameters up to date with the host's.
    pub(crate) fn refresh(&mut self, parameters: &[T]) {
        if std::mem::take(&mut self.stale) {
            let host = Tensor::from_slice(parameters);
            tch::no_grad(|| self.flat.copy_(&host));
        }
    }

    /// `values` on the device, in the network's precision.
    pub(crate) fn tensor<N: tch::kind::Element>(&self, values: &[N], shape: &[usize]) -> Tensor {
        let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        Tensor::from_slice(values).view(shape.as_slice()).to_device(self.device).to_kind(T::KIND)
    }

    /// Takes over a training pass: its outputs go to the host and stay for [`Graph::backward`].
    pub(crate) fn keep(&mut self, inputs: Tensor, outputs: Tensor, host: &mut [T]) {
        to_host(&outputs, host);
        self.kept = Some((inputs, outputs));
    }

    /// See [`rushes_nn::Network::backward`].
    pub(crate) fn backward(&mut self, grad_outputs: &[T], grad_inputs: Option<&mut [T]>) {
        let gradients = self.differentiate(grad_outputs, grad_inputs, true);
        // One transfer for all of them, since each is a round trip to a GPU.
        let flat: Vec<Tensor> = gradients.iter().map(|gradient| gradient.reshape([-1])).collect();
        let mut update = vec![T::zero(); self.gradients.len()];
        to_host(&Tensor::cat(&flat, 0), &mut update);
        for (sum, value) in self.gradients.iter_mut().zip(update) {
            *sum += value;
        }
    }

    /// See [`rushes_nn::Network::backward_inputs`].
    pub(crate) fn backward_inputs(&mut self, grad_outputs: &[T], grad_inputs: &mut [T]) {
        self.differentiate(grad_outputs, Some(grad_inputs), false);
    }

    /// Writes the gradient at the inputs, where it is asked for, and returns those of the leaves, where
    /// `learning`.
    fn differentiate(
        &mut self,
        grad_outputs: &[T],
        grad_inputs: Option<&mut [T]>,
        learning: bool,
    ) -> Vec<Tensor> {
        let (inputs, outputs) = self.kept.take().expect("backward follows forward_train");
        assert_eq!(
            grad_outputs.len(),
            outputs.numel(),
            "the gradient does not fit the last forward_train"
        );
        let (rows, columns) = outputs.size2().expect("outputs are a matrix");
        // The derivative of this sum with respect to the outputs is `grad_outputs`.
        let grad_outputs = self.tensor(grad_outputs, &[rows as usize, columns as usize]);
        let loss = (outputs * grad_outputs).sum(T::KIND);
        let leaves = if learning { &self.leaves[..] } else { &[] };
        let mut wanted: Vec<&Tensor> = leaves.iter().collect();
        if grad_inputs.is_some() {
            wanted.push(&inputs);
        }
        let mut gradients = Tensor::run_backward(&[loss], &wanted, false, false);
        if let Some(grad_inputs) = grad_inputs {
            assert_eq!(
                grad_inputs.len(),
                inputs.numel(),
                "the input gradient does not fit the last forward_train"
            );
            let gradient = gradients.pop().expect("one gradient for each tensor asked for");
            to_host(&gradient, grad_inputs);
        }
        gradients
    }
}

pub(crate) fn to_host<T: Number>(tensor: &Tensor, host: &mut [T]) {
    tensor.to_device(tch::Device::Cpu).contiguous().copy_data(host, host.len());
}

/// Fully connected layers as autograd computes them, with their dropout masks.
pub(crate) struct FullyConnected<T> {
    layers: Vec<Layer>,
    /// Dropout factors of each layer; empty without dropout.
    masks: Vec<Vec<T>>,
}

impl<T: Number> FullyConnected<T> {
    pub(crate) fn new(layers: Vec<Layer>) -> Self {
        Self { masks: vec![Vec::new(); layers.len()], layers }
    }

    /// Draws the masks of a batch.
    pub(crate) fn draw_masks(&mut self, rows: usize, rng: &mut Rng) {
        let dropping = self.layers.iter().zip(&mut self.masks).filter(|(l, _)| l.dropout > 0.0);
        let masks = dropping.map(|(layer, mask)| {
            mask.resize(rows * layer.outputs, T::zero());
            (layer.dropout, layer.outputs, &mut mask[..])
        });
        dropout_masks(rng, rows, masks.collect());
    }

    /// The outputs for the rows of `x`; `leaves` are weight and bias of each layer. In training the masks
    /// that were drawn last apply.
    pub(crate) fn forward(
        &self,
        graph: &Graph<T>,
        leaves: &[Tensor],
        mut x: Tensor,
        train: bool,
    ) -> Tensor {
        for ((layer, leaf), mask) in self.layers.iter().zip(leaves.chunks_exact(2)).zip(&self.masks)
        {
            x = x.linear(&leaf[0], Some(&leaf[1]));
            if train && layer.dropout > 0.0 {
                x *= graph.tensor(mask, &[mask.len() / layer.outputs, layer.outputs]);
            }
            x = apply(layer.activation, &x);
        }
        x
    }
}

/// `activation` as libtorch computes it.
pub(crate) fn apply(activation: Activation, x: &Tensor) -> Tensor {
    match activation {
        Activation::Linear => x.shallow_clone(),
        Activation::Relu => x.relu(),
        Activation::LeakyRelu => x.leaky_relu(),
        Activation::Elu => x.elu(),
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => x.sigmoid(),
        Activation::Silu => x.silu(),
    }
}

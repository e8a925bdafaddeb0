//! The libtorch engine: the same multi-layer perceptron through tch and autograd, for wide networks and
//! GPUs.
//!
//! Parameters and gradients live on the host as one flat vector, where optimisers, checkpoints and acting
//! find them; a flat tensor on the device, whose views are autograd's leaves, is refreshed once after they
//! changed. Acting goes through the native forward. Nothing draws from libtorch's generator.

use tch::Tensor;

use super::native::NativeMlp;
use super::network::{Activation, MlpConfig, Network, ParametersMut, TensorInfo};
use super::random::dropout_masks;
use super::scalar::Scalar;
use crate::rng::Rng;

/// A multi-layer perceptron of the libtorch engine.
pub struct TorchMlp<T> {
    /// Owns the parameters, and acts.
    native: NativeMlp<T>,
    gradients: Vec<T>,
    device: tch::Device,
    /// The parameters on the device.
    flat: Tensor,
    /// Views of `flat`, one a tensor of the layout, on which autograd hangs gradients.
    leaves: Vec<Tensor>,
    /// Whether `flat` lags behind the host's parameters.
    stale: bool,
    /// Inputs and outputs of the last `forward_train`.
    kept: Option<(Tensor, Tensor)>,
    /// Dropout factors of each layer; empty without dropout.
    masks: Vec<Vec<T>>,
}

impl<T: Scalar> TorchMlp<T> {
    /// A network with these parameters ([`MlpConfig::parameter_count`] of them) on `device`.
    ///
    /// libtorch is told to use one thread: parallelism comes from running several trials.
    pub fn new(config: MlpConfig, parameters: Vec<T>, device: tch::Device) -> Self {
        tch::set_num_threads(1);
        let flat = Tensor::from_slice(&parameters).to_device(device);
        let leaves = config
            .layout()
            .iter()
            .map(|tensor| {
                let shape: Vec<i64> = tensor.shape.iter().map(|&n| n as i64).collect();
                flat.narrow(0, tensor.offset as i64, tensor.count() as i64)
                    .view(shape.as_slice())
                    .detach()
                    .set_requires_grad(true)
            })
            .collect();
        Self {
            gradients: vec![T::zero(); parameters.len()],
            masks: vec![Vec::new(); config.layers().len()],
            native: NativeMlp::new(config, parameters),
            device,
            flat,
            leaves,
            stale: false,
            kept: None,
        }
    }

    fn tensor(&self, values: &[T], rows: usize, columns: usize) -> Tensor {
        Tensor::from_slice(values).view([rows as i64, columns as i64]).to_device(self.device)
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
        let rows = inputs.size()[0] as usize;
        assert_eq!(
            grad_outputs.len(),
            rows * self.outputs(),
            "the gradient does not fit the last forward_train"
        );
        // The derivative of this sum with respect to the outputs is `grad_outputs`.
        let loss = (&outputs * self.tensor(grad_outputs, rows, self.outputs())).sum(T::KIND);
        let leaves = if learning { &self.leaves[..] } else { &[] };
        let mut wanted: Vec<&Tensor> = leaves.iter().collect();
        if grad_inputs.is_some() {
            wanted.push(&inputs);
        }
        let mut gradients = Tensor::run_backward(&[loss], &wanted, false, false);
        if let Some(grad_inputs) = grad_inputs {
            assert_eq!(
                grad_inputs.len(),
                rows * self.inputs(),
                "the input gradient does not fit the last forward_train"
            );
            let gradient = gradients.pop().expect("one gradient for each tensor asked for");
            let gradient = gradient.to_device(tch::Device::Cpu).contiguous();
            gradient.copy_data(grad_inputs, grad_inputs.len());
        }
        gradients
    }
}

/// `activation` as libtorch computes it.
fn apply(activation: Activation, x: &Tensor) -> Tensor {
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

impl<T: Scalar> Network<T> for TorchMlp<T> {
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
        if std::mem::take(&mut self.stale) {
            let host = Tensor::from_slice(self.native.parameters());
            tch::no_grad(|| self.flat.copy_(&host));
        }
        let inputs = Tensor::from_slice(batch)
            .view([rows as i64, self.inputs() as i64])
            .to_device(self.device)
            .to_kind(T::KIND)
            .set_requires_grad(true);
        let layers = self.native.config().layers();
        let dropping = layers.iter().zip(&mut self.masks).filter(|(layer, _)| layer.dropout > 0.0);
        let masks = dropping.map(|(layer, mask)| {
            mask.resize(rows * layer.outputs, T::zero());
            (layer.dropout, layer.outputs, &mut mask[..])
        });
        dropout_masks(rng, rows, masks.collect());
        let mut x = inputs.shallow_clone();
        for ((layer, leaf), mask) in layers.iter().zip(self.leaves.chunks_exact(2)).zip(&self.masks)
        {
            x = x.linear(&leaf[0], Some(&leaf[1]));
            if layer.dropout > 0.0 {
                x *= self.tensor(mask, rows, layer.outputs);
            }
            x = apply(layer.activation, &x);
        }
        x.to_device(tch::Device::Cpu).contiguous().copy_data(outputs, outputs.len());
        self.kept = Some((inputs, x));
    }

    fn backward(&mut self, grad_outputs: &[T], grad_inputs: Option<&mut [T]>) {
        let gradients = self.differentiate(grad_outputs, grad_inputs, true);
        // One transfer for all of them, since each is a round trip to a GPU.
        let flat: Vec<Tensor> = gradients.iter().map(|gradient| gradient.reshape([-1])).collect();
        let flat = Tensor::cat(&flat, 0).to_device(tch::Device::Cpu);
        let mut update = vec![T::zero(); self.gradients.len()];
        flat.copy_data(&mut update, self.gradients.len());
        for (sum, value) in self.gradients.iter_mut().zip(update) {
            *sum += value;
        }
    }

    fn backward_inputs(&mut self, grad_outputs: &[T], grad_inputs: &mut [T]) {
        self.differentiate(grad_outputs, Some(grad_inputs), false);
    }

    fn parameters(&self) -> &[T] {
        self.native.parameters()
    }

    fn gradients(&self) -> &[T] {
        &self.gradients
    }

    fn parameters_and_gradients(&mut self) -> ParametersMut<'_, T> {
        self.stale = true;
        let values = self.native.parameters_and_gradients().values;
        ParametersMut { values, gradients: &mut self.gradients }
    }

    fn zero_gradients(&mut self) {
        self.gradients.fill(T::zero());
    }

    fn layout(&self) -> &[TensorInfo] {
        self.native.layout()
    }
}

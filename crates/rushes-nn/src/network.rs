//! What a network is to the rest of the program: a function with parameters and a backward pass.
//!
//! An algorithm computes its loss and the loss's gradient at the network's outputs in plain Rust; the
//! network does the rest. Two engines implement the trait, [`super::native`] and [`super::torch`], with the
//! same parameters in the same order, so that a policy file does not tell which one wrote it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::random::{normal, uniform};
use super::scalar::Scalar;
use rushes_rng::Rng;

/// A function applied to every unit of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// The identity.
    Linear,
    /// `max(0, x)`.
    #[default]
    Relu,
    /// `x` above zero, `0.01 x` below.
    LeakyRelu,
    /// `x` above zero, `exp(x) - 1` below.
    Elu,
    /// The hyperbolic tangent.
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x · sigmoid(x)`, also called swish.
    Silu,
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linear => "linear",
            Self::Relu => "ReLU",
            Self::LeakyRelu => "leaky ReLU",
            Self::Elu => "ELU",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Silu => "SiLU",
        })
    }
}

impl Activation {
    /// The slope of [`Activation::LeakyRelu`] below zero.
    pub const LEAKY_SLOPE: f64 = 0.01;
    /// Every activation, for tests over the table.
    pub const ALL: [Activation; 7] = [
        Activation::Linear,
        Activation::Relu,
        Activation::LeakyRelu,
        Activation::Elu,
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::Silu,
    ];
}

/// How parameters are drawn before training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Initialisation {
    /// As PyTorch's `nn.Linear`: weights and biases uniform on ±1/√inputs.
    #[default]
    Pytorch,
    /// As Keras's `Dense`: weights uniform on ±√(6 / (inputs + outputs)), biases zero (Glorot and Bengio
    /// 2010).
    GlorotUniform,
    /// Weights (semi-)orthogonal, scaled by √2 in hidden layers and by `output_gain` in the last, biases
    /// zero (Saxe et al. 2014), as Stable-Baselines3's and CleanRL's PPO.
    Orthogonal,
}

/// How the inputs of every layer are normalised while a network learns (Ioffe, "Batch renormalization: towards reducing
/// minibatch dependence in batch-normalized models", 2017).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BatchRenorm {
    /// The share that a batch's statistics have in the running ones.
    pub momentum: f64,
    /// Batches that are normalised by their own statistics alone, before the running ones correct them.
    pub warmup: u64,
}

impl BatchRenorm {
    /// Added to variances.
    pub const EPSILON: f64 = 1e-3;
    /// The most that a batch's deviation counts for in running ones; its inverse is the least.
    pub const MAX_SCALE: f64 = 3.0;
    /// The furthest that a batch's mean counts as from the running one, in running deviations.
    pub const MAX_SHIFT: f64 = 5.0;
}

/// What normalises the numbers between a network's layers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Normalisation {
    /// The inputs of every layer, by statistics of the batch.
    BatchRenorm(BatchRenorm),
    /// The sums of every hidden layer, before dropout and activation, by mean and variance of its units for the same
    /// observation (Ba et al., "Layer normalization", 2016).
    LayerNorm,
}

impl Normalisation {
    /// Added to variances by [`Normalisation::LayerNorm`]: PyTorch's, with which other programs rebuild a policy. (Flax has
    /// 1e-6.)
    pub const LAYER_EPSILON: f64 = 1e-5;
}

/// A multi-layer perceptron: fully connected layers, each hidden one followed by dropout, then by the
/// activation (Linear → Dropout → activation, the order of Ignite's REINFORCE example; with ReLU it makes
/// no difference).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MlpConfig {
    /// Numbers in an observation.
    pub inputs: usize,
    /// Units of each hidden layer, first to last; may be empty.
    pub hidden: Vec<usize>,
    /// Numbers in an output.
    pub outputs: usize,
    /// After every hidden layer.
    pub activation: Activation,
    /// After the last layer.
    pub output_activation: Activation,
    /// The probability, below 1, that a hidden unit is dropped in training; 0 means no dropout.
    pub dropout: f64,
    /// What normalises between its layers.
    pub normalisation: Option<Normalisation>,
    /// How parameters are drawn.
    pub initialisation: Initialisation,
    /// Scale of the last layer under [`Initialisation::Orthogonal`]; the others ignore it.
    pub output_gain: f64,
}

/// One fully connected layer of an [`MlpConfig`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layer {
    /// Its inputs.
    pub inputs: usize,
    /// Its units.
    pub outputs: usize,
    /// Where its weights (`outputs × inputs`, row-major) begin in the flat parameters.
    pub weight: usize,
    /// Where its biases begin in the flat parameters.
    pub bias: usize,
    /// The activation after it.
    pub activation: Activation,
    /// The dropout rate between it and its activation.
    pub dropout: f64,
    /// The renormalisation before it.
    pub renorm: Option<RenormPlace>,
    /// Where a scale for each unit of the layer normalisation between it and its dropout begins in the flat parameters; a shift
    /// for each follows.
    pub layer_norm: Option<usize>,
}

impl Layer {
    /// The same with so many parameters of others before.
    pub(crate) fn behind(self, others: usize) -> Self {
        let renorm =
            self.renorm.map(|place| RenormPlace { parameters: place.parameters + others, ..place });
        let layer_norm = self.layer_norm.map(|place| place + others);
        let (weight, bias) = (self.weight + others, self.bias + others);
        Self { weight, bias, renorm, layer_norm, ..self }
    }
}

/// Where the numbers of a layer's renormalisation are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RenormPlace {
    /// Where a scale for each of the layer's inputs begins in the flat parameters; a shift for each follows.
    pub parameters: usize,
    /// Where a running mean for each of the layer's inputs begins in the flat statistics; a running variance for each follows,
    /// and then how many batches they are of.
    pub statistics: usize,
}

impl MlpConfig {
    /// A network without dropout, a linear output and PyTorch's initialisation.
    pub fn new(inputs: usize, hidden: &[usize], outputs: usize, activation: Activation) -> Self {
        Self {
            inputs,
            hidden: hidden.to_vec(),
            outputs,
            activation,
            output_activation: Activation::Linear,
            dropout: 0.0,
            normalisation: None,
            initialisation: Initialisation::Pytorch,
            output_gain: 1.0,
        }
    }

    /// The layers, first to last, with their places in the flat parameters.
    pub fn layers(&self) -> Vec<Layer> {
        let (mut offset, mut statistics) = (0, 0);
        let mut inputs = self.inputs;
        let widths = self.hidden.iter().chain(std::iter::once(&self.outputs));
        widths
            .enumerate()
            .map(|(i, &outputs)| {
                let last = i == self.hidden.len();
                let renorm = self.batch_renorm().map(|_| {
                    let place = RenormPlace { parameters: offset, statistics };
                    offset += 2 * inputs;
                    statistics += 2 * inputs + 1;
                    place
                });
                let weight = offset;
                let bias = weight + inputs * outputs;
                offset = bias + outputs;
                let normalised = self.normalisation == Some(Normalisation::LayerNorm) && !last;
                let layer_norm = normalised.then_some(offset);
                offset += if normalised { 2 * outputs } else { 0 };
                let layer = Layer {
                    inputs,
                    outputs,
                    weight,
                    bias,
                    activation: if last { self.output_activation } else { self.activation },
                    dropout: if last { 0.0 } else { self.dropout },
                    renorm,
                    layer_norm,
                };
                inputs = outputs;
                layer
            })
            .collect()
    }

    /// How the inputs of every layer are renormalised, where they are.
    pub(crate) fn batch_renorm(&self) -> Option<BatchRenorm> {
        match self.normalisation {
            Some(Normalisation::BatchRenorm(renorm)) => Some(renorm),
            _ => None,
        }
    }

    /// How many parameters there are.
    pub fn parameter_count(&self) -> usize {
        self.layers().last().map_or(0, |layer| layer.bias + layer.outputs)
    }

    /// The widest layer, inputs included.
    pub fn widest(&self) -> usize {
        self.hidden.iter().copied().chain([self.inputs, self.outputs]).max().unwrap_or(0)
    }

    /// The tensors inside the flat parameters, named as in a PyTorch `nn.Sequential` of BatchNorm1d (where there
    /// is any), Linear, LayerNorm and Dropout (where there is any) and activation modules: `0.weight`, `0.bias`, `2.weight`, …
    pub fn layout(&self) -> Vec<TensorInfo> {
        self.layout_from(0, 0)
    }

    /// [`MlpConfig::layout`] where the first layer is module `module` of the `nn.Sequential` and its
    /// parameters begin at `offset`.
    pub(super) fn layout_from(&self, module: usize, offset: usize) -> Vec<TensorInfo> {
        let mut layout = Vec::new();
        for (i, layer) in self.layers().into_iter().enumerate() {
            let mut module = module + i * self.modules();
            if let Some(place) = layer.renorm {
                let shape = vec![layer.inputs];
                layout.extend(TensorInfo::layer(module, shape, offset + place.parameters));
                module += 1;
            }
            let shape = vec![layer.outputs, layer.inputs];
            layout.extend(TensorInfo::layer(module, shape, offset + layer.weight));
            if let Some(place) = layer.layer_norm {
                layout.extend(TensorInfo::layer(module + 1, vec![layer.outputs], offset + place));
            }
        }
        layout
    }

    /// Modules of a hidden layer.
    fn modules(&self) -> usize {
        2 + usize::from(self.normalisation.is_some()) + usize::from(self.dropout > 0.0)
    }

    /// The tensors inside the flat statistics, named as those of PyTorch's BatchNorm1d.
    pub fn statistics_layout(&self) -> Vec<TensorInfo> {
        let mut layout = Vec::new();
        for (i, layer) in self.layers().into_iter().enumerate() {
            let Some(place) = layer.renorm else { continue };
            let mut offset = place.statistics;
            for (part, len) in [
                ("running_mean", layer.inputs),
                ("running_var", layer.inputs),
                ("num_batches_tracked", 1),
            ] {
                let name = format!("{}.{part}", i * self.modules());
                layout.push(TensorInfo { name, shape: vec![len], offset });
                offset += len;
            }
        }
        layout
    }

    /// Statistics that are of no batch.
    pub(super) fn initial_statistics<T: Scalar>(&self) -> Vec<T> {
        let mut statistics = Vec::new();
        for layer in self.layers().iter().filter(|layer| layer.renorm.is_some()) {
            for value in [T::zero(), T::one()] {
                statistics.resize(statistics.len() + layer.inputs, value);
            }
            statistics.push(T::zero());
        }
        statistics
    }

    /// Draws initial parameters. The draws are made in double precision, so that both precisions begin
    /// from the same network.
    pub fn initial_parameters<T: Scalar>(&self, rng: &mut Rng) -> Vec<T> {
        let mut parameters = Vec::with_capacity(self.parameter_count());
        let layers = self.layers();
        for (i, layer) in layers.iter().enumerate() {
            let gain = if i + 1 == layers.len() { self.output_gain } else { HIDDEN_GAIN };
            let Layer { inputs, outputs, renorm, layer_norm, .. } = *layer;
            let as_they_are = |parameters: &mut Vec<T>, count: usize| {
                parameters.resize(parameters.len() + count, T::one());
                parameters.resize(parameters.len() + count, T::zero());
            };
            if renorm.is_some() {
                as_they_are(&mut parameters, inputs);
            }
            self.initialisation.draw(inputs, outputs, outputs, gain, rng, &mut parameters);
            if layer_norm.is_some() {
                as_they_are(&mut parameters, outputs);
            }
        }
        parameters
    }
}

/// Scale of hidden layers under [`Initialisation::Orthogonal`].
pub(super) const HIDDEN_GAIN: f64 = std::f64::consts::SQRT_2;

impl Initialisation {
    /// Appends a layer's weights (`units × inputs`, row-major) and then its biases. `fan_out` is how many
    /// numbers of the next layer an input reaches: the units, times the kernel's area in a convolution.
    pub(super) fn draw<T: Scalar>(
        self,
        inputs: usize,
        units: usize,
        fan_out: usize,
        gain: f64,
        rng: &mut Rng,
        parameters: &mut Vec<T>,
    ) {
        let mut draw = |count: usize, bound: f64| {
            parameters.extend((0..count).map(|_| T::of((2.0 * uniform(rng) - 1.0) * bound)));
        };
        match self {
            Initialisation::Pytorch => {
                let bound = 1.0 / (inputs as f64).sqrt();
                draw(units * inputs, bound);
                draw(units, bound);
            }
            Initialisation::GlorotUniform => {
                draw(units * inputs, (6.0 / (inputs + fan_out) as f64).sqrt());
                parameters.resize(parameters.len() + units, T::zero());
            }
            Initialisation::Orthogonal => {
                let matrix = orthogonal(units, inputs, rng);
                parameters.extend(matrix.into_iter().map(|value| T::of(gain * value)));
                parameters.resize(parameters.len() + units, T::zero());
            }
        }
    }
}

/// A random `rows × columns` matrix, row-major, whose shorter side's vectors are orthonormal: the Q factor
/// of a Gaussian matrix with R's diagonal positive, as PyTorch's `nn.init.orthogonal_`.
fn orthogonal(rows: usize, columns: usize, rng: &mut Rng) -> Vec<f64> {
    let (count, length) = (rows.min(columns), rows.max(columns));
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(count);
    while vectors.len() < count {
        let mut vector: Vec<f64> = (0..length).map(|_| normal(rng)).collect();
        // Gram and Schmidt's process, twice, which is enough to working precision (Giraud et al. 2005).
        for _ in 0..2 {
            for other in &vectors {
                let overlap: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                for (a, b) in vector.iter_mut().zip(other) {
                    *a -= overlap * b;
                }
            }
        }
        let norm = vector.iter().map(|a| a * a).sum::<f64>().sqrt();
        // A draw inside the span of the others has probability zero; rounding could still make one.
        if norm > 1e-8 {
            vector.iter_mut().for_each(|a| *a /= norm);
            vectors.push(vector);
        }
    }
    if rows <= columns {
        vectors.concat()
    } else {
        (0..rows).flat_map(|i| vectors.iter().map(move |vector| vector[i])).collect()
    }
}

/// One named tensor inside a network's flat parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// Its name, unique in the network.
    pub name: String,
    /// Its shape, row-major.
    pub shape: Vec<usize>,
    /// Where it begins in the flat parameters.
    pub offset: usize,
}

impl TensorInfo {
    /// Weight and bias of module `module`, one after the other from `offset` on. The weight's first
    /// dimension counts the units.
    pub(super) fn layer(module: usize, shape: Vec<usize>, offset: usize) -> [Self; 2] {
        let units = shape[0];
        let weight = Self { name: format!("{module}.weight"), shape, offset };
        let offset = offset + weight.count();
        [weight, Self { name: format!("{module}.bias"), shape: vec![units], offset }]
    }

    /// How many numbers it has.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Parameters and their gradients: what an optimiser steps over. Several of them (an actor's, a critic's,
/// a head's log standard deviations) make one optimiser's work.
pub struct ParametersMut<'a, T> {
    /// The parameters.
    pub values: &'a mut [T],
    /// The gradient of the loss with respect to each of them.
    pub gradients: &'a mut [T],
}

/// A differentiable function of a batch of observations with one flat vector of parameters.
///
/// Batches are row-major. Lengths that do not fit are the caller's mistake and panic.
pub trait Network<T: Scalar>: Send {
    /// Numbers in an observation.
    fn inputs(&self) -> usize;

    /// Numbers in an output.
    fn outputs(&self) -> usize;

    /// The outputs for `rows` observations, for acting and bootstrapping: no dropout, and nothing is kept
    /// for [`Network::backward`], not even disturbed.
    fn forward(&mut self, batch: &[f32], rows: usize, outputs: &mut [T]);

    /// The outputs for `rows` observations in training: with dropout, whose masks come from `rng`, and
    /// keeping what [`Network::backward`] needs. A network without dropout draws nothing.
    fn forward_train(&mut self, batch: &[f32], rows: usize, rng: &mut Rng, outputs: &mut [T]);

    /// As [`Network::forward_train`], but what normalises by statistics of the batch takes the running ones, which stay as they
    /// are.
    fn forward_frozen(&mut self, batch: &[f32], rows: usize, rng: &mut Rng, outputs: &mut [T]) {
        self.forward_train(batch, rows, rng, outputs);
    }

    /// Adds the gradient of a loss with respect to the parameters to [`Network::gradients`], given the
    /// loss's gradient at the outputs of the last [`Network::forward_train`] or
    /// [`Network::forward_frozen`]. `grad_inputs`, where given,
    /// receives the gradient with respect to that call's batch.
    fn backward(&mut self, grad_outputs: &[T], grad_inputs: Option<&mut [T]>);

    /// The gradient with respect to the batch alone: as [`Network::backward`], but the parameters'
    /// gradients are left out and stay as they are. An actor learns through a critic this way.
    fn backward_inputs(&mut self, grad_outputs: &[T], grad_inputs: &mut [T]);

    /// The flat parameters.
    fn parameters(&self) -> &[T];

    /// The flat parameters, to change.
    fn parameters_mut(&mut self) -> &mut [T] {
        self.parameters_and_gradients().values
    }

    /// The gradients that [`Network::backward`] has summed up.
    fn gradients(&self) -> &[T];

    /// Parameters and gradients, for an optimiser. Gradients are summed until someone zeroes them.
    fn parameters_and_gradients(&mut self) -> ParametersMut<'_, T>;

    /// Forgets the gradients.
    fn zero_gradients(&mut self);

    /// The named tensors inside the flat parameters, in order and without gaps.
    fn layout(&self) -> &[TensorInfo];

    /// Numbers that [`Network::forward_train`] learns by itself: running statistics of what normalises. Empty without any.
    fn statistics(&self) -> &[T] {
        &[]
    }

    /// The statistics, to change.
    fn statistics_mut(&mut self) -> &mut [T] {
        &mut []
    }

    /// The named tensors inside the statistics, in order and without gaps.
    fn statistics_layout(&self) -> &[TensorInfo] {
        &[]
    }

    /// The network as one that shows its latent features, where it does.
    fn latent(&mut self) -> Option<&mut dyn LatentNetwork<T>> {
        None
    }

    /// The network as one with a memory, where it has one. The others, and this trait's methods of those that have, know
    /// nothing of rows seen before.
    fn recurrent(&mut self) -> Option<&mut dyn RecurrentNetwork<T>> {
        None
    }
}

/// A network that remembers what it has seen of a sequence, such as an episode: outputs depend on its state, too. Whoever
/// plays sequences keeps their states, which are zeros before the first step.
pub trait RecurrentNetwork<T: Scalar>: Network<T> {
    /// Numbers in the state of a sequence.
    fn state_len(&self) -> usize;

    /// The outputs for the next step of each of `rows` sequences, whose `states` become those after it (`rows × state_len`):
    /// [`Network::forward`] for acting.
    fn step(&mut self, batch: &[f32], rows: usize, states: &mut [T], outputs: &mut [T]);

    /// The outputs for every step of sequences of these lengths, which lie in `batch` one after another and begin with
    /// `states` (`sequences × state_len`): [`Network::forward_train`] for learning. [`Network::backward`] then goes back
    /// through time to the first step of each; states that sequences begin with are constants.
    fn forward_sequences(
        &mut self,
        batch: &[f32],
        lengths: &[usize],
        states: &[T],
        rng: &mut Rng,
        outputs: &mut [T],
    );
}

/// A network that shows its latent features: what its last layer sees, the activations of the last hidden layer or, without
/// one, the inputs.
pub trait LatentNetwork<T: Scalar>: Network<T> {
    /// Latent features of an observation.
    fn features(&self) -> usize;

    /// Those of the last [`Network::forward`], row by row.
    fn acting_features(&self) -> &[T];

    /// Those of the last [`Network::forward_train`], row by row.
    fn learning_features(&self) -> &[T];

    /// As [`Network::backward`], of a loss that has the gradient `grad_features` at the latent features beside what comes
    /// through the outputs.
    fn backward_with_features(&mut self, grad_outputs: &[T], grad_features: &[T]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rushes_rng::{Purpose, stream};

    fn drawn(initialisation: Initialisation, output_gain: f64) -> (MlpConfig, Vec<f64>) {
        let config = MlpConfig {
            initialisation,
            output_gain,
            ..MlpConfig::new(100, &[64, 200], 10, Activation::Tanh)
        };
        let parameters = config.initial_parameters(&mut stream(1, Purpose::Initialisation, 0));
        (config, parameters)
    }

    /// Least, greatest, and standard deviation relative to a uniform distribution on ±`bound`.
    fn assert_uniform(values: &[f64], bound: f64) {
        let greatest = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        assert!(greatest <= bound, "{greatest} above {bound}");
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let deviation =
            (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
        let expected = bound / 3_f64.sqrt();
        let error = expected / (values.len() as f64).sqrt();
        assert!(mean.abs() < 4.0 * error, "mean {mean}");
        assert!((deviation - expected).abs() < 4.0 * error, "{deviation} for {expected}");
    }

    #[test]
    fn pytorch_draws_weights_and_biases_within_one_over_root_inputs() {
        let (config, parameters) = drawn(Initialisation::Pytorch, 1.0);
        for layer in config.layers() {
            let bound = 1.0 / (layer.inputs as f64).sqrt();
            assert_uniform(&parameters[layer.weight..layer.bias], bound);
            assert_uniform(&parameters[layer.bias..layer.bias + layer.outputs], bound);
        }
    }

    #[test]
    fn glorot_draws_weights_by_both_sides_and_leaves_biases_zero() {
        let (config, parameters) = drawn(Initialisation::GlorotUniform, 1.0);
        for layer in config.layers() {
            let bound = (6.0 / (layer.inputs + layer.outputs) as f64).sqrt();
            assert_uniform(&parameters[layer.weight..layer.bias], bound);
            assert!(parameters[layer.bias..layer.bias + layer.outputs].iter().all(|b| *b == 0.0));
        }
    }

    #[test]
    fn orthogonal_weights_have_orthonormal_short_sides_times_the_gain() {
        let (config, parameters) = drawn(Initialisation::Orthogonal, 0.01);
        let layers = config.layers();
        for (i, layer) in layers.iter().enumerate() {
            let gain = if i + 1 == layers.len() { 0.01 } else { std::f64::consts::SQRT_2 };
            let weights = &parameters[layer.weight..layer.bias];
            let short = layer.inputs.min(layer.outputs);
            let element = |vector: usize, k: usize| {
                if layer.outputs <= layer.inputs {
                    weights[vector * layer.inputs + k]
                } else {
                    weights[k * layer.inputs + vector]
                }
            };
            for a in 0..short {
                for b in 0..short {
                    let overlap: f64 = (0..layer.inputs.max(layer.outputs))
                        .map(|k| element(a, k) * element(b, k))
                        .sum();
                    let expected = if a == b { gain * gain } else { 0.0 };
                    assert!((overlap - expected).abs() < 1e-12, "{a} · {b} = {overlap}");
                }
            }
            assert!(parameters[layer.bias..layer.bias + layer.outputs].iter().all(|b| *b == 0.0));
        }
    }

    #[test]
    fn the_layout_covers_the_parameters_with_sequential_names() {
        let mut config = MlpConfig::new(4, &[64, 32], 2, Activation::Relu);
        let names = |config: &MlpConfig| -> Vec<String> {
            let mut end = 0;
            for tensor in config.layout() {
                assert_eq!(tensor.offset, end);
                end += tensor.count();
            }
            assert_eq!(end, config.parameter_count());
            config.layout().into_iter().map(|tensor| tensor.name).collect()
        };
        assert_eq!(
            names(&config),
            ["0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias"]
        );
        assert_eq!(config.layout()[0].shape, [64, 4]);
        config.dropout = 0.6;
        assert_eq!(
            names(&config),
            ["0.weight", "0.bias", "3.weight", "3.bias", "6.weight", "6.bias"]
        );
        (config.dropout, config.normalisation) = (0.0, Some(Normalisation::LayerNorm));
        let hidden = |first: usize| {
            let layer = move |module| ["weight", "bias"].map(|part| format!("{module}.{part}"));
            [layer(first), layer(first + 1)].concat()
        };
        let last = ["6.weight", "6.bias"].map(String::from).to_vec();
        assert_eq!(names(&config), [hidden(0), hidden(3), last].concat());
        assert_eq!(config.layout()[2].shape, [64]);
    }
}

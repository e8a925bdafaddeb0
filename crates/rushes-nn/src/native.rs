//! The plain-Rust engine: multi-layer perceptrons on a CPU, with a hand-derived backward pass.
//!
//! Weights are kept as PyTorch keeps them (`outputs × inputs`); the forward product wants the transpose, and the backward
//! product of some widths panels, which are refreshed once after the parameters changed. No call allocates after the first at
//! its batch size.

use super::batch_renorm::{Renorm, Statistics};
use super::kernels::{
    Left, NARROW, Packed, Right, SLACK, SLIM_TILE_ROWS, Start, TILE_ROWS, activate, add_rows,
    add_transposed, deactivate, multiply, narrow_product, product, reserve, with_slack,
    worth_packing,
};
use super::layer_norm::LayerNorm;
use super::network::{
    Activation, LatentNetwork, Layer, MlpConfig, Network, ParametersMut, TensorInfo,
};
use super::random::dropout_masks;
use super::scalar::Scalar;
use rushes_rng::Rng;

/// A multi-layer perceptron of the native engine.
pub struct NativeMlp<T> {
    config: MlpConfig,
    layout: Vec<TensorInfo>,
    layers: Vec<LayerState<T>>,
    /// With [`SLACK`], since weights are right operands of the backward product.
    parameters: Vec<T>,
    gradients: Vec<T>,
    /// Running statistics of the layers' renormalisations, one after another.
    statistics: Vec<T>,
    statistics_layout: Vec<TensorInfo>,
    /// Whether [`LayerState::forward`] and [`LayerState::bias`] lag behind the parameters.
    stale: bool,
    /// Whether [`LayerState::backward`] does.
    stale_backward: bool,
    /// The batch of the last [`Network::forward_train`], then its rows.
    inputs: Vec<T>,
    rows: usize,
    /// The gradient at the outputs of the layer at work, and at its inputs.
    deltas: [Vec<T>; 2],
    /// The rows that these have, where they do not have all of them.
    moved: Vec<usize>,
    /// Activations of [`Network::forward`], alternating, and its rows.
    acting: [Vec<T>; 2],
    acting_rows: usize,
    /// The right operand of a layer's weights' gradient, where it is wider than a tile.
    packed: Packed<T>,
    /// The transpose of a weight gradient, where that is the better shape to compute.
    transposed: Vec<T>,
}

/// A layer with what its passes keep.
struct LayerState<T> {
    layer: Layer,
    /// What its inputs go through first.
    renorm: Option<Renorm<T>>,
    /// What its sums go through before dropout and activation.
    layer_norm: Option<LayerNorm<T>>,
    /// Transposed weights, for the way forward.
    forward: Packed<T>,
    /// Weights, for the way back, where they are [`worth_packing`].
    backward: Packed<T>,
    /// Biases, with slack.
    bias: Vec<T>,
    /// What the activation saw; kept where its derivative needs it.
    before: Vec<T>,
    /// Outputs after the activation.
    after: Vec<T>,
    /// Dropout factors; empty without dropout.
    mask: Vec<T>,
}

impl<T: Scalar> NativeMlp<T> {
    /// A network with these parameters ([`MlpConfig::parameter_count`] of them).
    pub fn new(config: MlpConfig, parameters: Vec<T>) -> Self {
        Self::behind(0, config, parameters)
    }

    /// The same with so many parameters of others before its own.
    pub(crate) fn behind(others: usize, config: MlpConfig, mut parameters: Vec<T>) -> Self {
        let count = others + config.parameter_count();
        assert_eq!(parameters.len(), count, "parameters do not fit the network");
        let layers = config
            .layers()
            .into_iter()
            .map(|layer| layer.behind(others))
            .map(|layer| LayerState {
                renorm: config.batch_renorm().map(|renorm| Renorm::new(renorm, layer.inputs)),
                layer_norm: layer.layer_norm.map(|place| LayerNorm::new(place, layer.outputs)),
                forward: Packed::default(),
                backward: Packed::default(),
                bias: with_slack(layer.outputs),
                before: Vec::new(),
                after: Vec::new(),
                mask: Vec::new(),
                layer,
            })
            .collect();
        let gradients = vec![T::zero(); parameters.len()];
        parameters.resize(parameters.len() + SLACK, T::zero());
        Self {
            layout: config.layout_from(0, others),
            statistics: config.initial_statistics(),
            statistics_layout: config.statistics_layout(),
            config,
            layers,
            parameters,
            gradients,
            stale: true,
            stale_backward: true,
            inputs: Vec::new(),
            rows: 0,
            deltas: Default::default(),
            moved: Vec::new(),
            acting: Default::default(),
            acting_rows: 0,
            packed: Packed::default(),
            transposed: Vec::new(),
        }
    }

    /// The shape of the network.
    pub fn config(&self) -> &MlpConfig {
        &self.config
    }

    fn refresh(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        for state in &mut self.layers {
            let Layer { inputs, outputs, weight, bias, .. } = state.layer;
            state.forward.pack_transposed(inputs, outputs, &self.parameters[weight..bias]);
            state.bias[..outputs].copy_from_slice(&self.parameters[bias..bias + outputs]);
        }
    }

    fn refresh_backward(&mut self) {
        if !std::mem::take(&mut self.stale_backward) {
            return;
        }
        for state in &mut self.layers {
            let Layer { inputs, outputs, weight, bias, .. } = state.layer;
            if worth_packing::<T>(inputs) {
                state.backward.pack(outputs, inputs, &self.parameters[weight..bias]);
            }
        }
    }

    /// The outputs for the rows that `see` writes, as [`Network::forward`] gives them.
    pub(crate) fn act(&mut self, rows: usize, see: impl FnOnce(&mut [T]), outputs: &mut [T]) {
        assert_eq!(outputs.len(), rows * self.config.outputs, "the outputs do not fit the network");
        self.refresh();
        self.acting_rows = rows;
        let widest = self.config.widest();
        let [from, to] = &mut self.acting;
        reserve(from, rows * widest);
        reserve(to, rows * widest);
        see(&mut from[..rows * self.config.inputs]);
        let (mut from, mut to) = (from, to);
        for state in &mut self.layers {
            let len = rows * state.layer.outputs;
            if let (Some(renorm), Some(place)) = (&mut state.renorm, state.layer.renorm) {
                let parameters = &self.parameters[place.parameters..state.layer.weight];
                renorm.act(parameters, &self.statistics[place.statistics..], rows, from);
            }
            state.affine(&self.parameters, from, rows, to);
            if let Some(layer_norm) = &mut state.layer_norm {
                layer_norm.act(&self.parameters, &mut to[..len]);
            }
            activate(state.layer.activation, &mut to[..len]);
            (from, to) = (to, from);
        }
        outputs.copy_from_slice(&from[..outputs.len()]);
    }

    /// The outputs for the rows that `see` writes, as [`Network::forward_train`] gives them.
    pub(crate) fn learn(
        &mut self,
        rows: usize,
        see: impl FnOnce(&mut [T]),
        rng: &mut Rng,
        outputs: &mut [T],
    ) {
        self.pass(rows, see, Statistics::Batch, rng, outputs);
    }

    /// The way forward that the way back can follow.
    fn pass(
        &mut self,
        rows: usize,
        see: impl FnOnce(&mut [T]),
        statistics: Statistics,
        rng: &mut Rng,
        outputs: &mut [T],
    ) {
        assert_eq!(outputs.len(), rows * self.config.outputs, "the outputs do not fit the network");
        self.refresh();
        self.rows = rows;
        let len = rows * self.config.inputs;
        reserve(&mut self.inputs, len);
        see(&mut self.inputs[..len]);
        let dropping = self.layers.iter_mut().filter(|state| state.layer.dropout > 0.0);
        let masks = dropping.map(|state| {
            reserve(&mut state.mask, rows * state.layer.outputs);
            (state.layer.dropout, state.layer.outputs, &mut state.mask[..])
        });
        dropout_masks(rng, rows, masks.collect());
        let mut inputs = &self.inputs;
        for state in &mut self.layers {
            let len = rows * state.layer.outputs;
            let mut after = std::mem::take(&mut state.after);
            reserve(&mut after, len);
            if let (Some(renorm), Some(place)) = (&mut state.renorm, state.layer.renorm) {
                let parameters = &self.parameters[place.parameters..state.layer.weight];
                let running = &mut self.statistics[place.statistics..];
                renorm.forward(parameters, running, statistics, rows, inputs);
            }
            let seen = state.renorm.as_ref().map_or(inputs, |renorm| &renorm.outputs);
            state.affine(&self.parameters, seen, rows, &mut after);
            if let Some(layer_norm) = &mut state.layer_norm {
                layer_norm.forward(&self.parameters, &mut after[..len]);
            }
            if state.layer.dropout > 0.0 {
                multiply(&mut after[..len], &state.mask[..len]);
            }
            if state.layer.activation == Activation::Silu {
                reserve(&mut state.before, len);
                state.before[..len].copy_from_slice(&after[..len]);
            }
            activate(state.layer.activation, &mut after[..len]);
            state.after = after;
            inputs = &state.after;
        }
        outputs.copy_from_slice(&inputs[..outputs.len()]);
    }

    /// The way back through all layers, summing up the parameters' gradients where `learning`. `grad_features` is what the
    /// loss's gradient at the latent features has beside what comes through the outputs.
    pub(crate) fn propagate(
        &mut self,
        grad_outputs: &[T],
        grad_features: Option<&[T]>,
        grad_inputs: Option<&mut [T]>,
        learning: bool,
    ) {
        let mut rows = self.rows;
        assert_eq!(
            grad_outputs.len(),
            rows * self.config.outputs,
            "the gradient does not fit the last forward_train"
        );
        let widest = self.config.widest();
        self.refresh_backward();
        let [delta, previous] = &mut self.deltas;
        reserve(delta, rows * widest);
        reserve(previous, rows * widest);
        let by_rows = |state: &LayerState<T>| {
            state.renorm.is_none() && state.layer_norm.is_none() && state.layer.dropout == 0.0
        };
        let all = learning || grad_features.is_some() || !self.layers.iter().all(by_rows);
        if all {
            delta[..grad_outputs.len()].copy_from_slice(grad_outputs);
        } else {
            moved_rows(grad_outputs, self.config.outputs, &mut self.moved);
            rows = self.moved.len();
            let gradients = delta.chunks_exact_mut(self.config.outputs);
            for (gradient, &row) in gradients.zip(&self.moved) {
                gradient.copy_from_slice(
                    &grad_outputs[row * self.config.outputs..][..self.config.outputs],
                );
            }
        }
        let (mut delta, mut previous) = (delta, previous);
        let last = self.layers.len() - 1;
        for i in (0..=last).rev() {
            let (before, here) = self.layers.split_at_mut(i);
            let (state, arrived) =
                (&mut here[0], before.last().map_or(&self.inputs, |layer| &layer.after));
            let Layer { inputs, outputs, weight, bias, activation, dropout, renorm, .. } =
                state.layer;
            let len = rows * outputs;
            if all {
                deactivate(activation, &state.before, &state.after[..len], &mut delta[..len]);
            } else {
                for (delta, &row) in delta.chunks_exact_mut(outputs).zip(&self.moved) {
                    let row = row * outputs..(row + 1) * outputs;
                    let before = state.before.get(row.clone()).unwrap_or_default();
                    deactivate(activation, before, &state.after[row], delta);
                }
            }
            if dropout > 0.0 {
                multiply(&mut delta[..len], &state.mask[..len]);
            }
            if let Some(layer_norm) = &mut state.layer_norm {
                let gradients = learning.then_some(&mut self.gradients[..]);
                layer_norm.backward(&self.parameters, gradients, &mut delta[..len]);
            }
            if learning {
                let (grad_weight, grad_bias) =
                    self.gradients[weight..bias + outputs].split_at_mut(bias - weight);
                add_rows(rows, delta, grad_bias);
                let seen = state.renorm.as_ref().map_or(arrived, |renorm| &renorm.outputs);
                // The shape of the product decides the order of its sums, so that it must not depend on the processor.
                if inputs < SLACK && outputs > inputs && outputs <= WIDEST_TILE * T::SUMS {
                    // (dL/dW)ᵀ = inputsᵀ · delta, whose rows fill registers where those of dL/dW would not.
                    reserve(&mut self.transposed, inputs * outputs);
                    product(
                        inputs,
                        outputs,
                        rows,
                        Left { data: seen, row_stride: 1, column_stride: inputs },
                        right_operand(inputs, rows, outputs, delta, &mut self.packed),
                        Start::Zero,
                        &mut self.transposed,
                    );
                    add_transposed(inputs, outputs, &self.transposed, grad_weight);
                } else {
                    // dL/dW = deltaᵀ · inputs
                    let left = Left { data: delta, row_stride: 1, column_stride: outputs };
                    let right = right_operand(outputs, rows, inputs, seen, &mut self.packed);
                    product(outputs, inputs, rows, left, right, Start::Accumulate, grad_weight);
                }
            }
            if i > 0 || grad_inputs.is_some() || renorm.is_some() {
                // dL/dinputs = delta · W
                let right = match worth_packing::<T>(inputs) {
                    true => Right::Packed(&state.backward),
                    false => Right::Rows(&self.parameters[weight..]),
                };
                let left = Left { data: delta, row_stride: outputs, column_stride: 1 };
                product(rows, inputs, outputs, left, right, Start::Zero, previous);
                (delta, previous) = (previous, delta);
            }
            if let (Some(renorm), Some(place)) = (&mut state.renorm, renorm) {
                let here = place.parameters..weight;
                let gradients = learning.then_some(&mut self.gradients[here.clone()]);
                renorm.backward(&self.parameters[here], gradients, rows, arrived, delta);
            }
            if i == last
                && let Some(grad_features) = grad_features
            {
                for (sum, &gradient) in delta.iter_mut().zip(grad_features) {
                    *sum += gradient;
                }
            }
        }
        if let Some(grad_inputs) = grad_inputs {
            assert_eq!(
                grad_inputs.len(),
                self.rows * self.config.inputs,
                "the input gradient does not fit the last forward_train"
            );
            if all {
                grad_inputs.copy_from_slice(&delta[..grad_inputs.len()]);
            } else {
                grad_inputs.fill(T::zero());
                for (delta, &row) in delta.chunks_exact(self.config.inputs).zip(&self.moved) {
                    grad_inputs[row * self.config.inputs..][..self.config.inputs]
                        .copy_from_slice(delta);
                }
            }
        }
    }
}

impl<T: Scalar> LayerState<T> {
    /// `outputs = inputs · weightᵀ + bias`, without the activation. `parameters` are the network's.
    fn affine(&self, parameters: &[T], inputs: &[T], rows: usize, outputs: &mut [T]) {
        let layer = self.layer;
        if layer.outputs <= NARROW && layer.inputs >= SLACK {
            let bias = &parameters[layer.bias..layer.bias + layer.outputs];
            let weight = &parameters[layer.weight..layer.bias];
            narrow_product(rows, layer.inputs, inputs, weight, bias, outputs);
        } else {
            let left = Left { data: inputs, row_stride: layer.inputs, column_stride: 1 };
            let (right, start) = (Right::Packed(&self.forward), Start::Bias(&self.bias));
            product(rows, layer.outputs, layer.inputs, left, right, start, outputs);
        }
    }
}

/// Writes to `moved` the rows at whose outputs the gradient is not zero, as it is then at their inputs too: where the lowest of
/// several critics counts, half of them. (Where weights are infinite, such rows are zero too.) Rows of whole tiles stay in
/// such, and the others where they are, so that the sums have the same order as in a way back of all rows.
fn moved_rows<T: Scalar>(grad_outputs: &[T], outputs: usize, moved: &mut Vec<usize>) {
    let rows = grad_outputs.len() / outputs;
    let in_tiles = rows / TILE_ROWS * TILE_ROWS;
    let moves = |row: usize| {
        grad_outputs[row * outputs..][..outputs].iter().any(|&gradient| gradient != T::zero())
    };
    moved.clear();
    moved.reserve(rows);
    moved.extend((0..in_tiles).filter(|&row| moves(row)));
    let missing = moved.len().next_multiple_of(TILE_ROWS) - moved.len();
    moved.extend((0..in_tiles).filter(|&row| !moves(row)).take(missing));
    moved.extend(in_tiles..rows);
}

/// Registers of the widest tile that there is on any processor.
const WIDEST_TILE: usize = 4;

fn convert<T: Scalar>(batch: &[f32], inputs: &mut [T]) {
    for (value, &observed) in inputs.iter_mut().zip(batch) {
        *value = T::of_f32(observed);
    }
}

/// A matrix as a product with so many rows wants it on its right side.
pub(crate) fn right_operand<'a, T: Scalar>(
    rows: usize,
    depth: usize,
    columns: usize,
    matrix: &'a [T],
    packed: &'a mut Packed<T>,
) -> Right<'a, T> {
    if rows > SLIM_TILE_ROWS && worth_packing::<T>(columns) {
        packed.pack(depth, columns, matrix);
        return Right::Packed(packed);
    }
    Right::Rows(matrix)
}

impl<T: Scalar> Network<T> for NativeMlp<T> {
    fn inputs(&self) -> usize {
        self.config.inputs
    }

    fn outputs(&self) -> usize {
        self.config.outputs
    }

    fn forward(&mut self, batch: &[f32], rows: usize, outputs: &mut [T]) {
        assert_eq!(batch.len(), rows * self.config.inputs, "the batch does not fit the network");
        self.act(rows, |inputs| convert(batch, inputs), outputs);
    }

    fn forward_train(&mut self, batch: &[f32], rows: usize, rng: &mut Rng, outputs: &mut [T]) {
        assert_eq!(batch.len(), rows * self.config.inputs, "the batch does not fit the network");
        self.pass(rows, |inputs| convert(batch, inputs), Statistics::Batch, rng, outputs);
    }

    fn forward_frozen(&mut self, batch: &[f32], rows: usize, rng: &mut Rng, outputs: &mut [T]) {
        assert_eq!(batch.len(), rows * self.config.inputs, "the batch does not fit the network");
        self.pass(rows, |inputs| convert(batch, inputs), Statistics::Running, rng, outputs);
    }

    fn backward(&mut self, grad_outputs: &[T], grad_inputs: Option<&mut [T]>) {
        self.propagate(grad_outputs, None, grad_inputs, true);
    }

    fn backward_inputs(&mut self, grad_outputs: &[T], grad_inputs: &mut [T]) {
        self.propagate(grad_outputs, None, Some(grad_inputs), false);
    }

    fn parameters(&self) -> &[T] {
        &self.parameters[..self.gradients.len()]
    }

    fn gradients(&self) -> &[T] {
        &self.gradients
    }

    fn parameters_and_gradients(&mut self) -> ParametersMut<'_, T> {
        self.stale = true;
        self.stale_backward = true;
        ParametersMut {
            values: &mut self.parameters[..self.gradients.len()],
            gradients: &mut self.gradients,
        }
    }

    fn zero_gradients(&mut self) {
        self.gradients.fill(T::zero());
    }

    fn layout(&self) -> &[TensorInfo] {
        &self.layout
    }

    fn statistics(&self) -> &[T] {
        &self.statistics
    }

    fn statistics_mut(&mut self) -> &mut [T] {
        &mut self.statistics
    }

    fn statistics_layout(&self) -> &[TensorInfo] {
        &self.statistics_layout
    }

    fn latent(&mut self) -> Option<&mut dyn LatentNetwork<T>> {
        Some(self)
    }
}

impl<T: Scalar> LatentNetwork<T> for NativeMlp<T> {
    fn features(&self) -> usize {
        self.config.hidden.last().copied().unwrap_or(self.config.inputs)
    }

    fn acting_features(&self) -> &[T] {
        // The layers write to the two in turn, the last one from what it sees to the other.
        &self.acting[(self.layers.len() - 1) % 2][..self.acting_rows * self.features()]
    }

    fn learning_features(&self) -> &[T] {
        let seen = match &self.layers[..] {
            [.., hidden, _] => &hidden.after,
            _ => &self.inputs,
        };
        &seen[..self.rows * self.features()]
    }

    fn backward_with_features(&mut self, grad_outputs: &[T], grad_features: &[T]) {
        self.propagate(grad_outputs, Some(grad_features), None, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::uniform;
    use crate::simd::on_every_level;
    use rushes_rng::{Purpose, stream};

    #[test]
    fn rows_that_pass_no_gradient_on_change_no_bit_of_the_others() {
        on_every_level(|_| {
            for activation in [Activation::Relu, Activation::Silu] {
                for rows in [1, 5, 6, 7, 13, 258] {
                    check_moved_rows(activation, rows);
                }
            }
        });
    }

    fn check_moved_rows(activation: Activation, rows: usize) {
        let config = MlpConfig::new(5, &[20, 70, 256], 2, activation);
        let mut rng = stream(rows as u64, Purpose::Initialisation, 0);
        let mut draw =
            |len: usize| -> Vec<f32> { (0..len).map(|_| uniform(&mut rng) as f32 - 0.5).collect() };
        let mut network = NativeMlp::new(config.clone(), draw(config.parameter_count()));
        let (batch, mut gradients) = (draw(rows * 5), draw(rows * 2));
        for row in (0..rows).filter(|row| row % 3 == 0) {
            gradients[row * 2..][..2].fill(0.0);
        }
        network.forward_train(&batch, rows, &mut rng, &mut vec![0.0; rows * 2]);
        let mut expected = vec![0.0; rows * 5];
        network.backward(&gradients, Some(&mut expected));
        let mut found = vec![f32::NAN; rows * 5];
        network.backward_inputs(&gradients, &mut found);
        assert_eq!(found, expected, "{activation:?}, {rows} rows");
    }
}

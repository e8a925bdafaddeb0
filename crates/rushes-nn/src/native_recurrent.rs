//! The plain-Rust engine's recurrent layers, before its multi-layer perceptron, with back-propagation through time.
//!
//! Sequences are learned from side by side, step by step (`Packing`): what comes in is multiplied by its weights for all steps
//! at once, hidden states step by step, and the gradients of all weights are one product each again. Rows of a step lie one
//! after another, longer sequences first, so that those that go on are the first ones of the step before. Every sum has an order
//! that depends on the lengths of the sequences alone.

use std::cmp::Reverse;
use std::ops::Range;

use super::kernels::{Left, Packed, Right, Start, add_rows, product, reserve, with_slack};
use super::native::{NativeMlp, right_operand};
use super::network::{LatentNetwork, Network, ParametersMut, RecurrentNetwork, TensorInfo};
use super::recurrent::{Cell, RecurrentConfig, RecurrentLayer, RecurrentSpec};
use super::scalar::Scalar;
use super::simd::{Isa, Task, dispatch};
use rushes_rng::Rng;

/// A recurrent network of the native engine.
pub(crate) struct NativeRecurrent<T> {
    inputs: usize,
    recurrent: RecurrentSpec,
    layout: Vec<TensorInfo>,
    layers: Vec<LayerState<T>>,
    /// What follows, with the parameters of all layers.
    mlp: NativeMlp<T>,
    /// Whether packed weights lag behind the parameters.
    stale: bool,
    /// The sequences of the last pass in training.
    packing: Packing,
    /// The latent features of their rows, in the caller's order.
    latent: Vec<T>,
    scratch: Scratch<T>,
}

/// Buffers of the pass at work.
#[derive(Default)]
struct Scratch<T> {
    /// What comes in when acting.
    seen: Vec<T>,
    /// The gates of a row each, when acting.
    gates: Vec<T>,
    /// What a step's hidden states give to its gates.
    by_hidden: Vec<T>,
    /// The states of a layer in the sequences under way.
    states: Vec<T>,
    /// The perceptron's outputs, and the gradient at them, in the order of the packing.
    outputs: Vec<T>,
    /// The gradient at what a layer gives, and at what comes in.
    deltas: [Vec<T>; 2],
    /// The gradients at hidden and cell states that come from the next step.
    carried: [Vec<T>; 2],
    /// The gradient at what the inputs give to the gates, and at what the hidden states do.
    grad_gates: Vec<T>,
    grad_hidden: Vec<T>,
    /// The right operand of weights' gradients.
    packed: Packed<T>,
}

/// A layer with what its passes keep, row by row in the order of the packing.
struct LayerState<T> {
    layer: RecurrentLayer,
    /// Transposed weights of inputs and of hidden states, for the way forward.
    forward: [Packed<T>; 2],
    /// Weights, for the way back.
    backward: [Packed<T>; 2],
    /// Biases of either, with slack.
    biases: [Vec<T>; 2],
    /// What came in.
    seen: Vec<T>,
    /// Hidden and cell states before each step; cell states of an LSTM alone.
    before: [Vec<T>; 2],
    /// Those after it.
    after: [Vec<T>; 2],
    /// The gates after their activations.
    gates: Vec<T>,
    /// What the hidden states give to a GRU's new gate, before the reset gate scales it.
    candidates: Vec<T>,
}

/// Sequences side by side. Row `offsets[t] + i` is step `t` of the `i`th longest sequence.
#[derive(Default)]
struct Packing {
    /// The sequences, longest first; of those as long, earlier ones first.
    order: Vec<usize>,
    /// Where the rows of each step begin, and where those of the last step end.
    offsets: Vec<usize>,
    /// The row of the caller's batch that each row is.
    places: Vec<usize>,
}

impl Packing {
    /// Takes in the lengths of sequences, whose steps lie one after another in the caller's batch.
    fn arrange(&mut self, lengths: &[usize]) {
        assert!(!lengths.contains(&0), "a sequence has at least one step");
        let mut starts = vec![0];
        starts.extend(lengths.iter().scan(0, |end, &length| {
            *end += length;
            Some(*end)
        }));
        self.order.clear();
        self.order.extend(0..lengths.len());
        self.order.sort_by_key(|&sequence| Reverse(lengths[sequence]));
        self.offsets.clear();
        self.offsets.push(0);
        self.places.clear();
        for step in 0..self.order.first().map_or(0, |&longest| lengths[longest]) {
            let under_way = self.order.iter().take_while(|&&sequence| lengths[sequence] > step);
            self.places.extend(under_way.map(|&sequence| starts[sequence] + step));
            self.offsets.push(self.places.len());
        }
    }

    fn rows(&self) -> usize {
        self.places.len()
    }

    fn steps(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Copies the caller's rows, `width` numbers each, into the order of the packing.
    fn pack<F: Copy, T>(&self, width: usize, from: &[F], to: &mut [T], convert: impl Fn(F) -> T) {
        for (&place, to) in self.places.iter().zip(to.chunks_exact_mut(width)) {
            let from = &from[place * width..][..width];
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = convert(from));
        }
    }

    /// The inverse of [`Packing::pack`].
    fn unpack<T: Copy>(&self, width: usize, from: &[T], to: &mut [T]) {
        for (&place, from) in self.places.iter().zip(from.chunks_exact(width)) {
            to[place * width..][..width].copy_from_slice(from);
        }
    }
}

impl<T: Scalar> NativeRecurrent<T> {
    /// A network with these parameters ([`RecurrentConfig::initial_parameters`] or as many).
    pub(crate) fn new(config: &RecurrentConfig, parameters: Vec<T>) -> Self {
        let (layers, end) = config.layers();
        let rows = config.recurrent.cell.gates() * config.recurrent.hidden_size;
        let layers = layers.into_iter().map(|layer| LayerState {
            layer,
            forward: Default::default(),
            backward: Default::default(),
            biases: [with_slack(rows), with_slack(rows)],
            seen: Vec::new(),
            before: Default::default(),
            after: Default::default(),
            gates: Vec::new(),
            candidates: Vec::new(),
        });
        Self {
            inputs: config.inputs,
            recurrent: config.recurrent,
            layout: config.layout(),
            layers: layers.collect(),
            mlp: NativeMlp::behind(end, config.mlp.clone(), parameters),
            stale: true,
            packing: Packing::default(),
            latent: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    fn refresh(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let RecurrentSpec { cell, hidden_size, .. } = self.recurrent;
        let (rows, parameters) = (cell.gates() * hidden_size, self.mlp.parameters());
        for state in &mut self.layers {
            let RecurrentLayer { inputs, weight_ih, weight_hh, bias_ih, bias_hh } = state.layer;
            let weights = [
                (inputs, weight_ih, weight_hh, bias_ih),
                (hidden_size, weight_hh, bias_ih, bias_hh),
            ];
            for (i, (depth, begin, end, bias)) in weights.into_iter().enumerate() {
                let weight = &parameters[begin..end];
                state.forward[i].pack_transposed(depth, rows, weight);
                state.backward[i].pack(rows, depth, weight);
                state.biases[i][..rows].copy_from_slice(&parameters[bias..bias + rows]);
            }
        }
    }

    /// The outputs for whole sequences, as [`RecurrentNetwork::forward_sequences`] gives them.
    fn pass(
        &mut self,
        batch: &[f32],
        lengths: &[usize],
        states: &[T],
        rng: &mut Rng,
        outputs: &mut [T],
    ) {
        let RecurrentSpec { cell, hidden_size: hidden, .. } = self.recurrent;
        let (state_len, own) = (self.recurrent.state_len(), cell.states() * hidden);
        self.packing.arrange(lengths);
        let (rows, gates) = (self.packing.rows(), cell.gates() * hidden);
        assert_eq!(batch.len(), rows * self.inputs, "the batch does not fit the sequences");
        assert_eq!(states.len(), lengths.len() * state_len, "the states do not fit the sequences");
        self.refresh();
        let Self { inputs, layers, mlp, packing, latent, scratch, .. } = self;
        let Scratch { by_hidden, states: present, outputs: packed_outputs, .. } = scratch;
        reserve(by_hidden, lengths.len() * gates);
        reserve(present, lengths.len() * own);
        for i in 0..layers.len() {
            let (earlier, here) = layers.split_at_mut(i);
            let state = &mut here[0];
            reserve(&mut state.seen, rows * state.layer.inputs);
            match earlier.last() {
                None => packing.pack(*inputs, batch, &mut state.seen, T::of_f32),
                Some(layer) => {
                    let len = rows * hidden;
                    state.seen[..len].copy_from_slice(&layer.after[0][..len]);
                }
            }
            reserve(&mut state.gates, rows * gates);
            let left =
                Left { data: &state.seen[..], row_stride: state.layer.inputs, column_stride: 1 };
            let (right, start) = (Right::Packed(&state.forward[0]), Start::Bias(&state.biases[0]));
            product(rows, gates, state.layer.inputs, left, right, start, &mut state.gates);
            for (&sequence, present) in packing.order.iter().zip(present.chunks_exact_mut(own)) {
                present.copy_from_slice(&states[sequence * state_len + i * own..][..own]);
            }
            for step in packing.offsets.windows(2) {
                state.step(cell, hidden, step[0]..step[1], by_hidden, present);
            }
        }
        let last = &layers.last().expect("a network has recurrent layers").after[0];
        let width = mlp.outputs();
        assert_eq!(outputs.len(), rows * width, "the outputs do not fit the sequences");
        reserve(packed_outputs, rows * width);
        let see = |features: &mut [T]| features.copy_from_slice(&last[..features.len()]);
        mlp.learn(rows, see, rng, &mut packed_outputs[..rows * width]);
        packing.unpack(width, packed_outputs, outputs);
        latent.resize(rows * mlp.features(), T::zero());
        packing.unpack(mlp.features(), mlp.learning_features(), latent);
    }

    /// The way back through all layers, summing up the parameters' gradients where `learning`.
    fn propagate(
        &mut self,
        grad_outputs: &[T],
        grad_latent: Option<&[T]>,
        grad_inputs: Option<&mut [T]>,
        learning: bool,
    ) {
        let RecurrentSpec { cell, hidden_size: hidden, .. } = self.recurrent;
        let Self { packing, scratch, layers, mlp, .. } = self;
        let (rows, width, gates) = (packing.rows(), mlp.outputs(), cell.gates() * hidden);
        assert_eq!(
            grad_outputs.len(),
            rows * width,
            "the gradient does not fit the last forward_sequences"
        );
        let Scratch { outputs, deltas, carried, grad_gates, grad_hidden, packed, .. } = scratch;
        let [delta, previous] = deltas;
        reserve(outputs, rows * width);
        packing.pack(width, grad_outputs, outputs, |gradient| gradient);
        let grad_latent = grad_latent.map(|gradient| {
            let mut packed = vec![T::zero(); gradient.len()];
            packing.pack(mlp.features(), gradient, &mut packed, |gradient| gradient);
            packed
        });
        let widest = rows * hidden.max(self.inputs);
        reserve(delta, widest);
        reserve(previous, widest);
        reserve(grad_gates, rows * gates);
        reserve(grad_hidden, rows * gates);
        carried.iter_mut().for_each(|carried| reserve(carried, rows * hidden));
        let grad_features = Some(&mut delta[..rows * hidden]);
        mlp.propagate(&outputs[..rows * width], grad_latent.as_deref(), grad_features, learning);
        let (mut delta, mut previous) = (delta, previous);
        for (i, state) in layers.iter().enumerate().rev() {
            let mut later = 0;
            for step in (0..packing.steps()).rev() {
                let (begin, end) = (packing.offsets[step], packing.offsets[step + 1]);
                let (count, here) = (end - begin, begin * hidden..end * hidden);
                let [carried_hidden, carried_cells] = &mut *carried;
                // Nothing comes from a step after a sequence's last one.
                carried_hidden[later * hidden..count * hidden].fill(T::zero());
                carried_cells[later * hidden..count * hidden].fill(T::zero());
                dispatch(Backward {
                    cell,
                    hidden,
                    gates: &state.gates[begin * gates..end * gates],
                    candidates: state.candidates.get(here.clone()).unwrap_or_default(),
                    before: state
                        .before
                        .each_ref()
                        .map(|s| s.get(here.clone()).unwrap_or_default()),
                    cells: state.after[1].get(here.clone()).unwrap_or_default(),
                    delta: &delta[here],
                    carried_hidden: &mut carried_hidden[..count * hidden],
                    carried_cells: &mut carried_cells[..count * hidden],
                    grad_gates: &mut grad_gates[begin * gates..end * gates],
                    grad_hidden: &mut grad_hidden[begin * gates..end * gates],
                });
                // What went into the gates, on top of what went past them.
                let left = Left {
                    data: &grad_hidden[begin * gates..end * gates],
                    row_stride: gates,
                    column_stride: 1,
                };
                let right = Right::Packed(&state.backward[1]);
                product(count, hidden, gates, left, right, Start::Accumulate, carried_hidden);
                later = count;
            }
            let RecurrentLayer { inputs, weight_ih, weight_hh, bias_ih, bias_hh } = state.layer;
            if learning {
                let gradients = mlp.parameters_and_gradients().gradients;
                for (delta, seen, depth, weight, bias) in [
                    (&*grad_gates, &state.seen, inputs, weight_ih..weight_hh, bias_ih),
                    (&*grad_hidden, &state.before[0], hidden, weight_hh..bias_ih, bias_hh),
                ] {
                    let left = Left { data: &delta[..], row_stride: 1, column_stride: gates };
                    let right = right_operand(gates, rows, depth, seen, packed);
                    let sums = &mut gradients[weight];
                    product(gates, depth, rows, left, right, Start::Accumulate, sums);
                    add_rows(rows, delta, &mut gradients[bias..bias + gates]);
                }
            }
            if i > 0 || grad_inputs.is_some() {
                let left = Left { data: &grad_gates[..], row_stride: gates, column_stride: 1 };
                let right = Right::Packed(&state.backward[0]);
                product(rows, inputs, gates, left, right, Start::Zero, previous);
                (delta, previous) = (previous, delta);
            }
        }
        if let Some(grad_inputs) = grad_inputs {
            let len = rows * self.inputs;
            assert_eq!(grad_inputs.len(), len, "the input gradient does not fit the sequences");
            packing.unpack(self.inputs, &delta[..len], grad_inputs);
        }
    }
}

impl<T: Scalar> LayerState<T> {
    /// One step of the sequences under way, whose rows are `rows` of the packing: keeps what the way back needs and replaces
    /// their `states`. The gates are what the inputs give to them.
    fn step(
        &mut self,
        cell: Cell,
        hidden: usize,
        rows: Range<usize>,
        by_hidden: &mut [T],
        states: &mut [T],
    ) {
        let (gates, own) = (cell.gates() * hidden, cell.states() * hidden);
        let states = &mut states[..rows.len() * own];
        let keep = |states: &[T], kept: &mut [Vec<T>; 2]| {
            for (part, kept) in kept.iter_mut().enumerate().take(cell.states()) {
                reserve(kept, rows.end * hidden);
                let to = kept[rows.start * hidden..].chunks_exact_mut(hidden);
                for (from, to) in states.chunks_exact(own).zip(to) {
                    to.copy_from_slice(&from[part * hidden..][..hidden]);
                }
            }
        };
        keep(states, &mut self.before);
        let by_hidden = &mut by_hidden[..rows.len() * gates];
        let left = Left {
            data: &self.before[0][rows.start * hidden..],
            row_stride: hidden,
            column_stride: 1,
        };
        let (right, start) = (Right::Packed(&self.forward[1]), Start::Bias(&self.biases[1]));
        product(rows.len(), gates, hidden, left, right, start, by_hidden);
        if cell == Cell::Gru {
            reserve(&mut self.candidates, rows.end * hidden);
            let to = self.candidates[rows.start * hidden..].chunks_exact_mut(hidden);
            for (from, to) in by_hidden.chunks_exact(gates).zip(to) {
                to.copy_from_slice(&from[2 * hidden..]);
            }
        }
        let gates = &mut self.gates[rows.start * gates..rows.end * gates];
        dispatch(Forward { cell, hidden, gates, by_hidden, stride: own, states });
        keep(states, &mut self.after);
    }
}

/// One step of a layer: from what inputs and hidden states give to the gates to the next states, row by row.
struct Forward<'a, T> {
    cell: Cell,
    hidden: usize,
    /// What the inputs give to the gates; becomes the gates.
    gates: &'a mut [T],
    /// What the hidden states give.
    by_hidden: &'a [T],
    /// The hidden and cell states of a row lie so far behind those of the row before, and become the next ones.
    stride: usize,
    states: &'a mut [T],
}

impl<T: Scalar> Task for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { cell, hidden, gates, by_hidden, stride, states } = self;
        let width = cell.gates() * hidden;
        let rows = gates.chunks_exact_mut(width).zip(by_hidden.chunks_exact(width));
        for ((gates, by_hidden), states) in rows.zip(states.chunks_mut(stride)) {
            match cell {
                Cell::Lstm => {
                    for (gate, &by_hidden) in gates.iter_mut().zip(by_hidden) {
                        *gate += by_hidden;
                    }
                    let (input, rest) = gates.split_at_mut(hidden);
                    let (forget, rest) = rest.split_at_mut(hidden);
                    let (new, output) = rest.split_at_mut(hidden);
                    let (h, rest) = states.split_at_mut(hidden);
                    let c = &mut rest[..hidden];
                    for gate in [&mut *input, &mut *forget, &mut *output] {
                        gate.iter_mut().for_each(|x| *x = x.quick_sigmoid::<I>());
                    }
                    new.iter_mut().for_each(|x| *x = x.quick_tanh::<I>());
                    for j in 0..hidden {
                        c[j] = forget[j] * c[j] + input[j] * new[j];
                        h[j] = output[j] * c[j].quick_tanh::<I>();
                    }
                }
                Cell::Gru => {
                    let (sigmoids, new) = gates.split_at_mut(2 * hidden);
                    let (by_hidden, candidates) = by_hidden.split_at(2 * hidden);
                    for (gate, &by_hidden) in sigmoids.iter_mut().zip(by_hidden) {
                        *gate = (*gate + by_hidden).quick_sigmoid::<I>();
                    }
                    let (reset, update) = sigmoids.split_at(hidden);
                    let h = &mut states[..hidden];
                    for j in 0..hidden {
                        new[j] = (new[j] + reset[j] * candidates[j]).quick_tanh::<I>();
                        h[j] = new[j] + update[j] * (h[j] - new[j]);
                    }
                }
            }
        }
    }
}

/// The way back through one step of a layer, row by row.
struct Backward<'a, T> {
    cell: Cell,
    hidden: usize,
    gates: &'a [T],
    /// Of a GRU.
    candidates: &'a [T],
    /// Hidden and cell states before the step.
    before: [&'a [T]; 2],
    /// Cell states of an LSTM after it.
    cells: &'a [T],
    /// The gradient at the hidden states that the layers behind see.
    delta: &'a [T],
    /// The gradient at the states after the step, from the next one; becomes that at the states before it, but for what goes
    /// through the gates.
    carried_hidden: &'a mut [T],
    carried_cells: &'a mut [T],
    /// Receive the gradients at what inputs and hidden states give to the gates.
    grad_gates: &'a mut [T],
    grad_hidden: &'a mut [T],
}

impl<T: Scalar> Task for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let (hidden, one) = (self.hidden, T::one());
        let width = self.cell.gates() * hidden;
        for row in 0..self.delta.len() / hidden {
            let (here, wide) = (row * hidden..(row + 1) * hidden, row * width..(row + 1) * width);
            let gates = &self.gates[wide.clone()];
            let grad_gates = &mut self.grad_gates[wide.clone()];
            let grad_hidden = &mut self.grad_hidden[wide];
            let delta = &self.delta[here.clone()];
            let carried = &mut self.carried_hidden[here.clone()];
            match self.cell {
                Cell::Lstm => {
                    let carried_cells = &mut self.carried_cells[here.clone()];
                    let (cells, before) = (&self.cells[here.clone()], &self.before[1][here]);
                    let (input, rest) = gates.split_at(hidden);
                    let (forget, rest) = rest.split_at(hidden);
                    let (new, output) = rest.split_at(hidden);
                    let (grad_input, rest) = grad_gates.split_at_mut(hidden);
                    let (grad_forget, rest) = rest.split_at_mut(hidden);
                    let (grad_new, grad_output) = rest.split_at_mut(hidden);
                    for j in 0..hidden {
                        let gradient = delta[j] + carried[j];
                        let shown = cells[j].quick_tanh::<I>();
                        let at_cell =
                            carried_cells[j] + gradient * output[j] * (one - shown * shown);
                        grad_input[j] = at_cell * new[j] * input[j] * (one - input[j]);
                        grad_forget[j] = at_cell * before[j] * forget[j] * (one - forget[j]);
                        grad_new[j] = at_cell * input[j] * (one - new[j] * new[j]);
                        grad_output[j] = gradient * shown * output[j] * (one - output[j]);
                        carried_cells[j] = at_cell * forget[j];
                        carried[j] = T::zero();
                    }
                    grad_hidden.copy_from_slice(grad_gates);
                }
                Cell::Gru => {
                    let (candidates, before) =
                        (&self.candidates[here.clone()], &self.before[0][here]);
                    let (reset, rest) = gates.split_at(hidden);
                    let (update, new) = rest.split_at(hidden);
                    let (grad_reset, rest) = grad_gates.split_at_mut(hidden);
                    let (grad_update, grad_new) = rest.split_at_mut(hidden);
                    for j in 0..hidden {
                        let gradient = delta[j] + carried[j];
                        let at_new = gradient * (one - update[j]) * (one - new[j] * new[j]);
                        grad_reset[j] = at_new * candidates[j] * reset[j] * (one - reset[j]);
                        grad_update[j] =
                            gradient * (before[j] - new[j]) * update[j] * (one - update[j]);
                        grad_new[j] = at_new;
                        carried[j] = gradient * update[j];
                    }
                    grad_hidden.copy_from_slice(grad_gates);
                    for (gradient, &reset) in grad_hidden[2 * hidden..].iter_mut().zip(reset) {
                        *gradient *= reset;
                    }
                }
            }
        }
    }
}

impl<T: Scalar> Network<T> for NativeRecurrent<T> {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.mlp.outputs()
    }

    /// Each row is the first step of a sequence.
    fn forward(&mut self, batch: &[f32], rows: usize, outputs: &mut [T]) {
        let mut states = vec![T::zero(); rows * self.state_len()];
        self.step(batch, rows, &mut states, outputs);
    }

    /// Each row is the first step of a sequence.
    fn forward_train(&mut self, batch: &[f32], rows: usize, rng: &mut Rng, outputs: &mut [T]) {
        let states = vec![T::zero(); rows * self.state_len()];
        self.pass(batch, &vec![1; rows], &states, rng, outputs);
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

    fn recurrent(&mut self) -> Option<&mut dyn RecurrentNetwork<T>> {
        Some(self)
    }
}

impl<T: Scalar> LatentNetwork<T> for NativeRecurrent<T> {
    fn features(&self) -> usize {
        self.mlp.features()
    }

    fn acting_features(&self) -> &[T] {
        self.mlp.acting_features()
    }

    fn learning_features(&self) -> &[T] {
        &self.latent
    }

    fn backward_with_features(&mut self, grad_outputs: &[T], grad_features: &[T]) {
        self.propagate(grad_outputs, Some(grad_features), None, true);
    }
}

impl<T: Scalar> RecurrentNetwork<T> for NativeRecurrent<T> {
    fn state_len(&self) -> usize {
        self.recurrent.state_len()
    }

    fn step(&mut self, batch: &[f32], rows: usize, states: &mut [T], outputs: &mut [T]) {
        let RecurrentSpec { cell, hidden_size: hidden, .. } = self.recurrent;
        let (stride, own) = (self.recurrent.state_len(), cell.states() * hidden);
        assert_eq!(batch.len(), rows * self.inputs, "the batch does not fit the network");
        assert_eq!(states.len(), rows * stride, "the states do not fit the batch");
        if rows == 0 {
            return;
        }
        self.refresh();
        let Self { inputs, layers, mlp, scratch, .. } = self;
        let Scratch { seen, gates, by_hidden, .. } = scratch;
        let width = cell.gates() * hidden;
        reserve(seen, rows * *inputs);
        reserve(gates, rows * width);
        reserve(by_hidden, rows * width);
        seen.iter_mut().zip(batch).for_each(|(seen, &number)| *seen = T::of_f32(number));
        for (i, state) in layers.iter().enumerate() {
            let arrived = match i.checked_sub(1) {
                None => Left { data: &seen[..], row_stride: *inputs, column_stride: 1 },
                Some(below) => {
                    Left { data: &states[below * own..], row_stride: stride, column_stride: 1 }
                }
            };
            let before = Left { data: &states[i * own..], row_stride: stride, column_stride: 1 };
            for (part, left, depth, sums) in [
                (0, arrived, state.layer.inputs, &mut *gates),
                (1, before, hidden, &mut *by_hidden),
            ] {
                let right = Right::Packed(&state.forward[part]);
                let start = Start::Bias(&state.biases[part]);
                product(rows, width, depth, left, right, start, sums);
            }
            let gates = &mut gates[..rows * width];
            let (by_hidden, states) = (&by_hidden[..rows * width], &mut states[i * own..]);
            dispatch(Forward { cell, hidden, gates, by_hidden, stride, states });
        }
        let top = (layers.len() - 1) * own;
        let see = |features: &mut [T]| {
            let rows = features.chunks_exact_mut(hidden).zip(states.chunks_exact(stride));
            rows.for_each(|(features, states)| features.copy_from_slice(&states[top..][..hidden]));
        };
        mlp.act(rows, see, outputs);
    }

    fn forward_sequences(
        &mut self,
        batch: &[f32],
        lengths: &[usize],
        states: &[T],
        rng: &mut Rng,
        outputs: &mut [T],
    ) {
        self.pass(batch, lengths, states, rng, outputs);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use rushes_rng::{Purpose, stream};
    use tch::{Kind, Tensor};

    use super::*;
    use crate::network::{Activation, MlpConfig};
    use crate::random::normal;
    use crate::{on_every_level, threads};

    /// Lengths out of order, with equal ones and one of a single step.
    const LENGTHS: [usize; 5] = [3, 7, 1, 7, 4];

    fn config(
        cell: Cell,
        hidden_size: usize,
        num_layers: usize,
        hidden: &[usize],
    ) -> RecurrentConfig {
        let mlp = MlpConfig::new(3, hidden, 2, Activation::Tanh);
        RecurrentConfig::new(RecurrentSpec { cell, hidden_size, num_layers }, mlp)
    }

    fn configs() -> Vec<RecurrentConfig> {
        let cells = [Cell::Lstm, Cell::Gru].into_iter();
        cells
            .flat_map(|cell| {
                [config(cell, 5, 1, &[4]), config(cell, 19, 2, &[]), config(cell, 2, 3, &[3, 3])]
            })
            .collect()
    }

    fn draw(rng: &mut Rng, count: usize) -> Vec<f64> {
        (0..count).map(|_| 0.6 * normal(rng)).collect()
    }

    /// A network with random numbers for everything, and what it is asked.
    struct Case {
        network: NativeRecurrent<f64>,
        batch: Vec<f32>,
        states: Vec<f64>,
        weights: Vec<f64>,
    }

    fn case(config: &RecurrentConfig) -> Case {
        let mut rng = stream(5, Purpose::Exploration, config.recurrent.hidden_size as u64);
        let parameters: Vec<f64> = config.initial_parameters(&mut rng);
        let parameters = draw(&mut rng, parameters.len());
        let rows: usize = LENGTHS.iter().sum();
        let sixteenths = |x: f64| ((x * 16.0).round() / 16.0) as f32;
        Case {
            network: NativeRecurrent::new(config, parameters),
            batch: draw(&mut rng, rows * 3).into_iter().map(sixteenths).collect(),
            states: draw(&mut rng, LENGTHS.len() * config.recurrent.state_len()),
            weights: draw(&mut rng, rows * 2),
        }
    }

    impl Case {
        fn learn(&mut self) -> Vec<f64> {
            let mut outputs = vec![f64::NAN; self.weights.len()];
            let mut rng = stream(0, Purpose::Minibatch, 0);
            let Self { network, batch, states, .. } = self;
            network.forward_sequences(batch, &LENGTHS, states, &mut rng, &mut outputs);
            outputs
        }

        /// The sum of outputs and of latent features, each by its weight.
        fn loss(&mut self, by_features: &[f64]) -> f64 {
            let outputs = self.learn();
            let by_output = outputs.iter().zip(&self.weights);
            let latent = self.network.learning_features().iter().zip(by_features);
            by_output.chain(latent).map(|(y, w)| y * w).sum()
        }
    }

    fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len(), "{what}");
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-11 * e.abs().max(1.0), "{what}: {f}, {e}");
        }
    }

    fn doubles(tensor: &Tensor) -> Vec<f64> {
        Vec::try_from(tensor.detach().contiguous().flatten(0, -1)).expect("doubles")
    }

    /// Outputs and gradients of sequences of unequal lengths are those of libtorch's LSTM and GRU.
    #[test]
    fn sequences_and_gradients_equal_libtorchs() {
        for config in configs() {
            let RecurrentSpec { cell, hidden_size, num_layers } = config.recurrent;
            let mut case = case(&config);
            let found = case.learn();
            let mut grad_inputs = vec![f64::NAN; case.batch.len()];
            case.network.backward(&case.weights.clone(), Some(&mut grad_inputs));

            let parameters = case.network.parameters();
            let layout = config.layout();
            let leaf = |values: &[f64], shape: &[usize]| {
                let shape: Vec<i64> = shape.iter().map(|&side| side as i64).collect();
                Tensor::from_slice(values).reshape(shape).set_requires_grad(true)
            };
            let leaves: Vec<Tensor> = layout
                .iter()
                .map(|t| leaf(&parameters[t.offset..t.offset + t.count()], &t.shape))
                .collect();
            let inputs: Vec<f64> = case.batch.iter().map(|&x| f64::from(x)).collect();
            let inputs = leaf(&inputs, &[case.batch.len() / 3, 3]);
            let (recurrent, linear) = leaves.split_at(4 * num_layers);
            let recurrent: Vec<&Tensor> = recurrent.iter().collect();
            let (states, hidden, layers) = (&case.states, hidden_size as i64, num_layers as i64);
            let mut first = 0;
            let mut outputs = Vec::new();
            for (sequence, length) in LENGTHS.iter().map(|&length| length as i64).enumerate() {
                let own = config.recurrent.state_len();
                let state = Tensor::from_slice(&states[sequence * own..][..own]);
                let state = state.reshape([layers, cell.states() as i64, 1, hidden]);
                let part = |i| state.select(1, i).contiguous();
                let x = inputs.narrow(0, first, length).unsqueeze(1);
                let mut y = match cell {
                    Cell::Lstm => {
                        let (h, c) = (part(0), part(1));
                        x.lstm(&[&h, &c], &recurrent, true, layers, 0.0, false, false, false).0
                    }
                    Cell::Gru => {
                        x.gru(&part(0), &recurrent, true, layers, 0.0, false, false, false).0
                    }
                };
                y = y.squeeze_dim(1);
                for (i, layer) in linear.chunks_exact(2).enumerate() {
                    y = y.linear(&layer[0], Some(&layer[1]));
                    y = if i + 1 < linear.len() / 2 { y.tanh() } else { y };
                }
                outputs.push(y);
                first += length;
            }
            let outputs = Tensor::cat(&outputs, 0);
            assert_close("outputs", &found, &doubles(&outputs));
            let weights = Tensor::from_slice(&case.weights).view_as(&outputs);
            (outputs * weights).sum(Kind::Double).backward();
            for (tensor, leaf) in layout.iter().zip(&leaves) {
                let own = tensor.offset..tensor.offset + tensor.count();
                assert_close(&tensor.name, &case.network.gradients()[own], &doubles(&leaf.grad()));
            }
            assert_close("inputs", &grad_inputs, &doubles(&inputs.grad()));
        }
    }

    #[test]
    fn gradients_equal_finite_differences() {
        for config in configs() {
            let mut case = case(&config);
            case.learn();
            let weights = case.weights.clone();
            let mut rng = stream(6, Purpose::Exploration, 0);
            let by_features = draw(&mut rng, case.network.learning_features().len());
            case.network.backward_with_features(&weights, &by_features);
            let gradients = case.network.gradients().to_vec();
            for (i, found) in gradients.iter().enumerate().step_by(7) {
                let start = case.network.parameters()[i];
                let mut at = |x: f64| {
                    case.network.parameters_mut()[i] = x;
                    case.loss(&by_features)
                };
                let slope = (at(start + 1e-6) - at(start - 1e-6)) / 2e-6;
                at(start);
                assert!((slope - found).abs() < 1e-6 * found.abs().max(1.0), "{slope}, {found}");
            }
        }
    }

    #[test]
    fn gradients_are_summed_and_those_at_inputs_alone_leave_them() {
        for config in configs() {
            let mut case = case(&config);
            case.learn();
            let weights = case.weights.clone();
            let mut both = vec![f64::NAN; case.batch.len()];
            case.network.backward(&weights, Some(&mut both));
            let once = case.network.gradients().to_vec();
            let mut alone = vec![f64::NAN; case.batch.len()];
            case.network.backward_inputs(&weights, &mut alone);
            assert_eq!(alone, both);
            assert_eq!(case.network.gradients(), once);
            case.network.backward(&weights, None);
            let twice: Vec<f64> = once.iter().map(|gradient| 2.0 * gradient).collect();
            assert_close("twice", case.network.gradients(), &twice);
            case.network.zero_gradients();
            assert!(case.network.gradients().iter().all(|gradient| *gradient == 0.0));
        }
    }

    /// Step by step, with the states in between, as whole sequences.
    #[test]
    fn acting_gives_what_learning_gives() {
        for config in configs() {
            let mut case = case(&config);
            let expected = case.learn();
            let own = config.recurrent.state_len();
            let width = case.network.features();
            let latent = case.network.learning_features().to_vec();
            let mut states = case.states.clone();
            let mut first = 0;
            for (sequence, length) in LENGTHS.into_iter().enumerate() {
                let state = &mut states[sequence * own..][..own];
                for row in first..first + length {
                    let mut outputs = [f64::NAN; 2];
                    case.network.step(&case.batch[3 * row..][..3], 1, state, &mut outputs);
                    assert_close("a step", &outputs, &expected[2 * row..][..2]);
                    let seen = case.network.acting_features();
                    assert_close("its latent features", seen, &latent[width * row..][..width]);
                }
                first += length;
            }
            // The first steps of all sequences side by side, without a memory: those of `forward`.
            let mut rng = stream(0, Purpose::Minibatch, 0);
            let (mut steps, mut singles) = ([f64::NAN; 10], [f64::NAN; 10]);
            case.network.forward(&case.batch[..15], 5, &mut steps);
            case.network.forward_train(&case.batch[..15], 5, &mut rng, &mut singles);
            assert_close("single steps", &steps, &singles);
            let mut zeros = vec![0.0; 5 * own];
            let mut outputs = [f64::NAN; 10];
            case.network.step(&case.batch[..15], 5, &mut zeros, &mut outputs);
            assert_eq!(outputs, steps);
        }
    }

    /// Acting between a pass and its way back leaves what was kept.
    #[test]
    fn acting_disturbs_no_learning() {
        for config in configs() {
            let learned = |acts: bool| {
                let mut case = case(&config);
                case.learn();
                if acts {
                    case.network.forward(&case.batch[..6], 2, &mut [0.0; 4]);
                }
                let weights = case.weights.clone();
                case.network.backward(&weights, None);
                case.network.gradients().to_vec()
            };
            assert_eq!(learned(true), learned(false));
        }
    }

    #[test]
    fn nan_does_not_get_lost() {
        for config in configs() {
            let mut case = case(&config);
            case.batch[0] = f32::NAN;
            let outputs = case.learn();
            assert!(outputs[..2 * LENGTHS[0]].iter().all(|output| output.is_nan()));
            assert!(outputs[2 * LENGTHS[0]..].iter().all(|output| output.is_finite()));
        }
    }

    #[test]
    fn numbers_depend_on_no_instruction_set_and_no_threads() {
        fn learned<T: Scalar>(cell: Cell, threads: usize) -> Vec<T> {
            let config = config(cell, 200, 1, &[70]);
            let mut rng = stream(9, Purpose::Exploration, 0);
            let parameters = config.initial_parameters::<T>(&mut rng);
            let mut network = NativeRecurrent::new(&config, parameters);
            let lengths = [40, 11, 33, 2, 25, 25, 40];
            let rows = lengths.iter().sum::<usize>();
            let mut outputs = vec![T::zero(); rows * 2];
            let mut grad_inputs = vec![T::zero(); rows * 3];
            let work = || {
                let batch: Vec<f32> = (0..rows * 3).map(|_| normal(&mut rng) as f32).collect();
                let mut states = vec![T::of(0.1); lengths.len() * network.state_len()];
                network.forward_sequences(&batch, &lengths, &states, &mut rng, &mut outputs);
                let gradients = outputs.clone();
                network.backward(&gradients, Some(&mut grad_inputs));
                let mut acted = vec![T::zero(); lengths.len() * 2];
                network.step(&batch[..lengths.len() * 3], lengths.len(), &mut states, &mut acted);
                [network.gradients(), &outputs, &grad_inputs, &states, &acted].concat()
            };
            threads::with_threads(threads, work).expect("threads")
        }
        let first = RefCell::new(HashMap::new());
        on_every_level(|level| {
            for cell in [Cell::Lstm, Cell::Gru] {
                let alone = (learned::<f32>(cell, 1), learned::<f64>(cell, 1));
                assert!((learned(cell, 3), learned(cell, 3)) == alone, "{level:?}");
                let mut first = first.borrow_mut();
                let first =
                    first.entry((cell, crate::arithmetic())).or_insert_with(|| alone.clone());
                assert!(*first == alone, "{level:?}");
            }
        });
    }
}

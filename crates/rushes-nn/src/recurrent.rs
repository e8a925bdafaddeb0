//! Networks with a memory: recurrent layers, then a multi-layer perceptron on what they remember.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::network::{MlpConfig, TensorInfo};
use super::random::uniform;
use super::scalar::Scalar;
use rushes_rng::Rng;

/// What a recurrent layer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// Long short-term memory (Hochreiter and Schmidhuber 1997; with a forget gate, Gers et al. 2000), as PyTorch's `nn.LSTM`.
    #[default]
    Lstm,
    /// Gated recurrent units (Cho et al. 2014), as PyTorch's `nn.GRU`.
    Gru,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lstm => "LSTM",
            Self::Gru => "GRU",
        })
    }
}

impl Cell {
    /// Weighted sums that a unit makes of what comes in: the input, forget, cell and output gates of an LSTM, the reset,
    /// update and new gates of a GRU, in PyTorch's order.
    pub fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }

    /// Numbers that a unit remembers: its hidden state and, of an LSTM, its cell state.
    pub fn states(self) -> usize {
        match self {
            Self::Lstm => 2,
            Self::Gru => 1,
        }
    }
}

/// The recurrent layers of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecurrentSpec {
    /// What they are made of.
    #[serde(rename = "type")]
    pub cell: Cell,
    /// Units of each layer.
    #[schemars(range(min = 1, max = 4096))]
    pub hidden_size: usize,
    /// How many layers there are, each on the hidden states of the one before.
    #[schemars(range(min = 1, max = 8))]
    pub num_layers: usize,
}

impl Default for RecurrentSpec {
    fn default() -> Self {
        Self { cell: Cell::default(), hidden_size: 256, num_layers: 1 }
    }
}

impl RecurrentSpec {
    /// Numbers that the layers remember of a sequence.
    pub fn state_len(&self) -> usize {
        self.num_layers.saturating_mul(self.cell.states() * self.hidden_size)
    }

    /// How many parameters the layers have where so many numbers come in.
    pub fn parameter_count(&self, inputs: usize) -> u64 {
        let (hidden, gates) = (self.hidden_size as u64, self.cell.gates() as u64);
        let layer = |inputs: u64| {
            inputs.saturating_add(hidden + 2).saturating_mul(gates.saturating_mul(hidden))
        };
        let others = (self.num_layers as u64 - 1).saturating_mul(layer(hidden));
        layer(inputs as u64).saturating_add(others)
    }
}

/// A recurrent network: recurrent layers, then a multi-layer perceptron on the hidden states of the last one. Dropout, where
/// there is any, is the perceptron's.
#[derive(Debug, Clone, PartialEq)]
pub struct RecurrentConfig {
    /// Numbers in an observation.
    pub inputs: usize,
    /// The recurrent layers.
    pub recurrent: RecurrentSpec,
    /// What follows them. Its inputs are the last layer's hidden states.
    pub mlp: MlpConfig,
}

/// One recurrent layer of a [`RecurrentConfig`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RecurrentLayer {
    /// Numbers that come in.
    pub inputs: usize,
    /// Where the weights of its inputs (`gates · hidden_size × inputs`, row-major, gate by gate) begin in the flat parameters.
    pub weight_ih: usize,
    /// Where the weights of its hidden states (`gates · hidden_size × hidden_size`) begin.
    pub weight_hh: usize,
    /// Where the biases of either begin, as many as there are rows of weights.
    pub bias_ih: usize,
    /// See `bias_ih`.
    pub bias_hh: usize,
}

impl RecurrentConfig {
    /// `mlp` behind `recurrent`, which sees the inputs of `mlp`.
    pub fn new(recurrent: RecurrentSpec, mlp: MlpConfig) -> Self {
        let inputs = mlp.inputs;
        Self { inputs, recurrent, mlp: MlpConfig { inputs: recurrent.hidden_size, ..mlp } }
    }

    /// The recurrent layers, first to last, with their places in the flat parameters; and where those end.
    pub(crate) fn layers(&self) -> (Vec<RecurrentLayer>, usize) {
        let RecurrentSpec { cell, hidden_size, num_layers } = self.recurrent;
        let rows = cell.gates() * hidden_size;
        let (mut inputs, mut offset) = (self.inputs, 0);
        let layers = (0..num_layers).map(|_| {
            let weight_ih = offset;
            let weight_hh = weight_ih + rows * inputs;
            let bias_ih = weight_hh + rows * hidden_size;
            let bias_hh = bias_ih + rows;
            let layer = RecurrentLayer { inputs, weight_ih, weight_hh, bias_ih, bias_hh };
            (inputs, offset) = (hidden_size, bias_hh + rows);
            layer
        });
        let layers = layers.collect();
        (layers, offset)
    }

    /// The tensors inside the flat parameters, named as in a PyTorch `nn.Sequential` whose first module is an `nn.LSTM` or
    /// `nn.GRU` (`0.weight_ih_l0`, `0.weight_hh_l0`, `0.bias_ih_l0`, `0.bias_hh_l0`, …), and then those of
    /// [`MlpConfig::layout`].
    pub fn layout(&self) -> Vec<TensorInfo> {
        let RecurrentSpec { cell, hidden_size, .. } = self.recurrent;
        let rows = cell.gates() * hidden_size;
        let (layers, end) = self.layers();
        let mut layout = Vec::new();
        for (i, layer) in layers.iter().enumerate() {
            for (part, shape, offset) in [
                ("weight_ih", vec![rows, layer.inputs], layer.weight_ih),
                ("weight_hh", vec![rows, hidden_size], layer.weight_hh),
                ("bias_ih", vec![rows], layer.bias_ih),
                ("bias_hh", vec![rows], layer.bias_hh),
            ] {
                layout.push(TensorInfo { name: format!("0.{part}_l{i}"), shape, offset });
            }
        }
        layout.extend(self.mlp.layout_from(1, end));
        layout
    }

    /// Draws initial parameters: those of recurrent layers as PyTorch's `nn.LSTM` and `nn.GRU`, uniform on ±1/√hidden_size
    /// whatever the perceptron's initialisation is, as Stable-Baselines3's contrib package leaves them.
    pub fn initial_parameters<T: Scalar>(&self, rng: &mut Rng) -> Vec<T> {
        let bound = 1.0 / (self.recurrent.hidden_size as f64).sqrt();
        let (_, count) = self.layers();
        let mut parameters: Vec<T> =
            (0..count).map(|_| T::of((2.0 * uniform(rng) - 1.0) * bound)).collect();
        parameters.extend(self.mlp.initial_parameters::<T>(rng));
        parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Activation;
    use rushes_rng::{Purpose, stream};

    #[test]
    fn the_layout_is_that_of_pytorchs_modules_and_has_no_gaps() {
        for (cell, gates) in [(Cell::Lstm, 4), (Cell::Gru, 3)] {
            let recurrent = RecurrentSpec { cell, hidden_size: 5, num_layers: 2 };
            let mlp = MlpConfig::new(3, &[7], 2, Activation::Tanh);
            let config = RecurrentConfig::new(recurrent, mlp);
            let mut end = 0;
            let named: Vec<String> = config
                .layout()
                .into_iter()
                .map(|tensor| {
                    assert_eq!(tensor.offset, end);
                    end += tensor.count();
                    format!("{} {:?}", tensor.name, tensor.shape)
                })
                .collect();
            let rows = gates * 5;
            let expected = [
                format!("0.weight_ih_l0 [{rows}, 3]"),
                format!("0.weight_hh_l0 [{rows}, 5]"),
                format!("0.bias_ih_l0 [{rows}]"),
                format!("0.bias_hh_l0 [{rows}]"),
                format!("0.weight_ih_l1 [{rows}, 5]"),
                format!("0.weight_hh_l1 [{rows}, 5]"),
                format!("0.bias_ih_l1 [{rows}]"),
                format!("0.bias_hh_l1 [{rows}]"),
                "1.weight [7, 5]".into(),
                "1.bias [7]".into(),
                "3.weight [2, 7]".into(),
                "3.bias [2]".into(),
            ];
            assert_eq!(named, expected);
            let mut rng = stream(3, Purpose::Initialisation, 0);
            let parameters = config.initial_parameters::<f64>(&mut rng);
            assert_eq!(parameters.len(), end);
            let (_, recurrent_end) = config.layers();
            assert_eq!(config.recurrent.parameter_count(3), recurrent_end as u64);
            let bound = 1.0 / 5_f64.sqrt();
            let greatest = parameters[..recurrent_end].iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            assert!((0.9 * bound..=bound).contains(&greatest), "{greatest}");
        }
    }
}

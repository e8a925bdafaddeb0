//! A neural policy layer by layer, for people who look at it and for programs that rebuild it.

use std::fmt;

use serde::Serialize;

use super::NeuralSpec;
use crate::env::Space;
use crate::nn::{Activation, BatchRenorm, Cell, ConvolutionSpec, Normalisation, RecurrentSpec};

/// A module of a policy's network. Its number in the list is that of its tensors (`0.weight`, `0.bias`), as in PyTorch's
/// `nn.Sequential`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// What it does.
    #[serde(flatten)]
    pub kind: LayerKind,
    /// The shape of what comes out for one observation.
    pub output_shape: Vec<usize>,
    /// How many numbers of it are learned.
    pub parameters: u64,
}

/// What a layer does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LayerKind {
    /// Square kernels without padding.
    Convolution(ConvolutionSpec),
    /// From a picture to a row of numbers.
    Flatten,
    /// Recurrent layers, as PyTorch's `nn.LSTM` or `nn.GRU`, whose tensors are `N.weight_ih_l0`, `N.weight_hh_l0`,
    /// `N.bias_ih_l0`, `N.bias_hh_l0` and so on.
    Recurrent {
        /// How many numbers come in.
        inputs: usize,
        /// What they are made of.
        cell: Cell,
        /// Units of each layer.
        hidden_size: usize,
        /// How many layers.
        num_layers: usize,
    },
    /// Every output a weighted sum of all inputs, and a bias.
    Linear {
        /// How many numbers come in.
        inputs: usize,
    },
    /// Every number less its running mean, by the square root of its running variance and `epsilon`, times a weight and
    /// plus a bias.
    BatchNorm {
        /// Added to variances.
        epsilon: f64,
    },
    /// Every number less the mean of all, by the square root of their variance and `epsilon`, times a weight and plus a bias.
    LayerNorm {
        /// Added to variances.
        epsilon: f64,
    },
    /// A function of each number.
    Activation {
        /// Which.
        function: Activation,
    },
    /// Zeros in random places while learning, nothing at other times.
    Dropout {
        /// The probability of a zero.
        probability: f64,
    },
}

impl fmt::Display for LayerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Convolution(ConvolutionSpec { kernel, stride, .. }) => {
                write!(f, "convolution {kernel} × {kernel}, stride {stride}")
            }
            Self::Flatten => f.write_str("flatten"),
            Self::Recurrent { cell, num_layers: 1, .. } => write!(f, "{cell}"),
            Self::Recurrent { cell, num_layers, .. } => write!(f, "{cell}, {num_layers} layers"),
            Self::Linear { .. } => f.write_str("linear"),
            Self::BatchNorm { .. } => f.write_str("batch normalisation"),
            Self::LayerNorm { .. } => f.write_str("layer normalisation"),
            Self::Activation { function } => write!(f, "{function} activation"),
            Self::Dropout { probability } => write!(f, "dropout {probability}"),
        }
    }
}

impl Layer {
    /// The shape in words: `16 × 20 × 20`.
    pub fn shape(&self) -> String {
        let sides: Vec<_> = self.output_shape.iter().map(ToString::to_string).collect();
        sides.join(" × ")
    }
}

impl NeuralSpec {
    /// The layers from an observation of `space` to `outputs`, a number for each output of the last one, with what normalises
    /// between them.
    pub fn layers(
        &self,
        space: &Space,
        outputs: usize,
        normalisation: Option<Normalisation>,
    ) -> Vec<Layer> {
        let mut layers = Vec::new();
        let mut inputs = space.features();
        let activation = |shape: &[usize]| Layer {
            kind: LayerKind::Activation { function: self.activation },
            output_shape: shape.to_vec(),
            parameters: 0,
        };
        if let Some(picture) = self.picture(space) {
            let mut image = picture.image();
            for convolution in &self.convolutions {
                let weights = convolution.inputs(image[0]) * convolution.channels;
                let Some(output) = convolution.output(image) else { break };
                layers.push(Layer {
                    kind: LayerKind::Convolution(*convolution),
                    output_shape: output.to_vec(),
                    parameters: (weights + convolution.channels) as u64,
                });
                layers.push(activation(&output));
                image = output;
            }
            inputs = image.iter().product();
            let kind = LayerKind::Flatten;
            layers.push(Layer { kind, output_shape: vec![inputs], parameters: 0 });
        }
        if let Some(recurrent) = self.recurrent {
            let RecurrentSpec { cell, hidden_size, num_layers } = recurrent;
            let kind = LayerKind::Recurrent { inputs, cell, hidden_size, num_layers };
            let parameters = recurrent.parameter_count(inputs);
            layers.push(Layer { kind, output_shape: vec![hidden_size], parameters });
            inputs = hidden_size;
        }
        let mut linear = |layers: &mut Vec<Layer>, outputs: usize| {
            if let Some(Normalisation::BatchRenorm(_)) = normalisation {
                let kind = LayerKind::BatchNorm { epsilon: BatchRenorm::EPSILON };
                let parameters = 2 * inputs as u64;
                layers.push(Layer { kind, output_shape: vec![inputs], parameters });
            }
            let parameters = (inputs as u64).saturating_mul(outputs as u64) + outputs as u64;
            let kind = LayerKind::Linear { inputs };
            layers.push(Layer { kind, output_shape: vec![outputs], parameters });
            inputs = outputs;
        };
        for &units in &self.hidden {
            linear(&mut layers, units);
            if normalisation == Some(Normalisation::LayerNorm) {
                let kind = LayerKind::LayerNorm { epsilon: Normalisation::LAYER_EPSILON };
                let parameters = 2 * units as u64;
                layers.push(Layer { kind, output_shape: vec![units], parameters });
            }
            layers.push(activation(&[units]));
            if self.dropout > 0.0 {
                let kind = LayerKind::Dropout { probability: self.dropout };
                layers.push(Layer { kind, output_shape: vec![units], parameters: 0 });
            }
        }
        linear(&mut layers, outputs);
        layers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::PixelsSpec;
    use crate::nn::{MlpConfig, RecurrentConfig};
    use crate::policy::ObservationSpec;

    #[test]
    fn a_convolutional_network_is_counted_as_pytorch_counts_it() {
        let spec = NeuralSpec {
            observation: ObservationSpec::Pixels(PixelsSpec::default()),
            convolutions: vec![ConvolutionSpec { channels: 8, kernel: 4, stride: 2 }],
            hidden: vec![32],
            dropout: 0.5,
            ..NeuralSpec::default()
        };
        let layers = spec.layers(&Space::picture(&[1, 84, 84]), 2, None);
        let shown: Vec<_> = layers
            .iter()
            .map(|layer| format!("{} → {}: {}", layer.kind, layer.shape(), layer.parameters))
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        convolution 4 × 4, stride 2 → 8 × 41 × 41: 136
        ReLU activation → 8 × 41 × 41: 0
        flatten → 13448: 0
        linear → 32: 430368
        ReLU activation → 32: 0
        dropout 0.5 → 32: 0
        linear → 2: 66
        ");
    }

    #[test]
    fn a_recurrent_network_is_numbered_and_counted_as_its_tensors_are() {
        for (cell, shown) in [(Cell::Lstm, "LSTM, 2 layers"), (Cell::Gru, "GRU, 2 layers")] {
            let recurrent = RecurrentSpec { cell, hidden_size: 6, num_layers: 2 };
            let spec = NeuralSpec {
                recurrent: Some(recurrent),
                hidden: vec![5],
                dropout: 0.5,
                ..NeuralSpec::default()
            };
            let layers = spec.layers(&Space::uniform_box(-1.0, 1.0, 3), 2, None);
            assert_eq!(layers[0].kind.to_string(), shown);
            let mlp = MlpConfig::new(3, &[5], 2, Activation::Relu);
            let config = RecurrentConfig::new(recurrent, MlpConfig { dropout: 0.5, ..mlp });
            let mut counted = vec![0; layers.len()];
            for tensor in config.layout() {
                let (module, _) = tensor.name.split_once('.').expect("a module's number");
                counted[module.parse::<usize>().expect("a number")] += tensor.count() as u64;
            }
            assert!(layers.iter().map(|layer| layer.parameters).eq(counted), "{layers:?}");
        }
    }

    #[test]
    fn a_normalised_network_is_numbered_as_its_tensors_are() {
        let spec = NeuralSpec { hidden: vec![5, 4], dropout: 0.5, ..NeuralSpec::default() };
        let renorm = Normalisation::BatchRenorm(BatchRenorm { momentum: 0.1, warmup: 0 });
        for normalisation in [Some(renorm), Some(Normalisation::LayerNorm)] {
            let layers = spec.layers(&Space::uniform_box(-1.0, 1.0, 3), 2, normalisation);
            let mlp = MlpConfig::new(3, &[5, 4], 2, Activation::Relu);
            let mlp = MlpConfig { dropout: 0.5, normalisation, ..mlp };
            let weights = mlp.layout().into_iter().filter_map(|tensor| {
                let module = tensor.name.strip_suffix(".weight")?.to_owned();
                Some((module, tensor.shape.len()))
            });
            let kinds = layers.iter().enumerate().filter_map(|(module, layer)| match layer.kind {
                LayerKind::BatchNorm { .. } | LayerKind::LayerNorm { .. } => {
                    Some((module.to_string(), 1))
                }
                LayerKind::Linear { .. } => Some((module.to_string(), 2)),
                _ => None,
            });
            assert!(weights.eq(kinds), "{layers:?}");
            let counted: u64 = layers.iter().map(|layer| layer.parameters).sum();
            assert_eq!(counted, mlp.parameter_count() as u64);
        }
    }
}

//! A policy as an ONNX model: from a batch of observations, as the environment gives them, to actions.
//!
//! What lies between is in the model: one-hot numbers and bytes divided by 255, normalisation, the network, and what
//! becomes of its outputs; what a recurrent network remembers goes in and out beside them. Operators are those of opset 17
//! that onnxruntime computes in both precisions; convolutions it computes in single precision alone.

use std::path::Path;

use anyhow::Context as _;
use prost::Message as _;

use self::graph::{Argument, Builder};
use self::proto::{DataType, Model, OperatorSet, Property};
use crate::env::{Dtype, Space};
use crate::nn::normaliser::ObservationNormaliser;
use crate::nn::{Activation, Head, Picture, RecurrentSpec, Tensors};
use crate::policy::{Layer, LayerKind, Readout};
use crate::results::{SavedAgent, SavedNetwork};
use crate::store;

mod graph;
mod proto;
mod recurrent;

/// The versions of format and operators, which onnxruntime has known since 2022.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;

/// Writes the policy of `agent` to `file`.
///
/// # Errors
/// Fails if it acts by something other than one network, its engine is missing, or the file cannot be written.
pub fn export(agent: &SavedAgent, file: &Path) -> anyhow::Result<()> {
    let model = model(agent)?;
    store::write_output(file, &model.encode_to_vec())
}

fn model(agent: &SavedAgent) -> anyhow::Result<Model> {
    let network = agent.network()?;
    let (Some(network), Some(readout)) = (network, agent.readout()?) else {
        anyhow::bail!(
            "{} does not act by one network: ONNX is for policies of type `neural` that an algorithm other than a planner \
             trained",
            agent.name
        );
    };
    anyhow::ensure!(
        !agent.masks_actions(),
        "{} takes valid actions only, and a model of ONNX sees an observation without their mask",
        agent.name
    );
    let mut exporter = Exporter::new(&network)?;
    let features = exporter.features()?;
    let outputs = exporter.network(&features)?;
    exporter.actions(&outputs, &readout)?;
    let property = |key: &str, value: String| Property { key: key.to_owned(), value };
    Ok(Model {
        ir_version: IR_VERSION,
        producer_name: "rushes".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: format!("{} on {}", agent.name, agent.environment.id),
        graph: Some(exporter.graph.finish("policy")),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        metadata_props: vec![
            property("environment", agent.environment.id.clone()),
            property("observation_space", network.observation_space.to_string()),
            property("action_space", network.action_space.to_string()),
        ],
    })
}

/// Puts a policy into a graph, part after part.
struct Exporter<'a> {
    network: &'a SavedNetwork<'a>,
    graph: Builder,
    /// What the network computes in.
    dtype: DataType,
}

impl<'a> Exporter<'a> {
    fn new(network: &'a SavedNetwork<'a>) -> anyhow::Result<Self> {
        let convolutional =
            network.layers.iter().any(|layer| matches!(layer.kind, LayerKind::Convolution(_)));
        // The last layer, which every network has.
        let last = format!("{}.weight", network.layers.len() - 1);
        let double = network.tensors.is_double(&last) && !convolutional;
        let dtype = if double { DataType::Double } else { DataType::Float };
        Ok(Self { network, graph: Builder::default(), dtype })
    }

    /// From observations to what the network sees, in its precision.
    fn features(&mut self) -> anyhow::Result<String> {
        let space = &self.network.observation_space;
        let (dtype, shape) = match space {
            Space::Box { dtype: Dtype::Uint8, shape, .. } => (DataType::Uint8, shape.clone()),
            Space::Box { shape, .. } => (DataType::Float, shape.clone()),
            space => (DataType::Float, vec![space.len()]),
        };
        let doc = format!("{space}, number by number where it is no array");
        self.graph.input("observation", dtype, &shape, &doc);
        let mut flat = "observation".to_owned();
        if dtype != DataType::Float {
            flat = self.graph.cast(&flat, DataType::Float);
        }
        if shape.len() != 1 {
            flat = self.reshape(&flat, "flat", &[space.len()]);
        }
        let mut parts = Vec::new();
        self.encode(space, &flat, 0, &mut parts);
        let mut features = match &parts[..] {
            [only] => only.clone(),
            several => {
                let several: Vec<&str> = several.iter().map(String::as_str).collect();
                self.graph.apply("Concat", &several, &[("axis", Argument::Int(1))])
            }
        };
        if self.network.tensors.contains("observations.mean") {
            features = self.normalise(&features)?;
        }
        if self.dtype != DataType::Float {
            features = self.graph.cast(&features, self.dtype);
        }
        Ok(features)
    }

    /// [`Space::encode`]: what a network sees of the numbers of `space`, which begin at `first`.
    fn encode(&mut self, space: &Space, flat: &str, first: usize, parts: &mut Vec<String>) {
        match space {
            Space::Discrete { n } => parts.push(self.one_hot(flat, first, *n)),
            Space::MultiDiscrete { nvec } => {
                for (index, &n) in nvec.iter().enumerate() {
                    parts.push(self.one_hot(flat, first + index, n));
                }
            }
            Space::Tuple { .. } | Space::Dict { .. } => {
                let mut first = first;
                for part in space.parts() {
                    self.encode(part, flat, first, parts);
                    first += part.len();
                }
            }
            Space::Box { .. } | Space::MultiBinary { .. } => {
                let whole = first == 0 && space.len() == self.network.observation_space.len();
                let own = match whole {
                    true => flat.to_owned(),
                    false => self.slice(flat, first, space.len()),
                };
                parts.push(match space.is_bytes() {
                    true => {
                        let name = format!("bytes_{first}");
                        let most = self.graph.constant(&name, DataType::Float, &[], &[255.0_f32]);
                        self.graph.apply("Div", &[&own, &most], &[])
                    }
                    false => own,
                });
            }
        }
    }

    fn one_hot(&mut self, flat: &str, place: usize, n: usize) -> String {
        let column = self.slice(flat, place, 1);
        let column = self.reshape(&column, &format!("value_{place}"), &[]);
        let index = self.graph.cast(&column, DataType::Int64);
        let unit: Vec<f32> = (0..n * n).map(|i| f32::from(u8::from(i / n == i % n))).collect();
        let rows =
            self.graph.constant(&format!("one_hot_{place}"), DataType::Float, &[n, n], &unit);
        self.graph.apply("Gather", &[&rows, &index], &[("axis", Argument::Int(0))])
    }

    /// The columns from `first` on.
    fn slice(&mut self, flat: &str, first: usize, count: usize) -> String {
        let ends =
            [("starts", first), ("ends", first + count), ("axes", 1)].map(|(what, value)| {
                let name = format!("{what}_{first}_{count}");
                self.graph.constant(&name, DataType::Int64, &[1], &[value as i64])
            });
        self.graph.apply("Slice", &[flat, &ends[0], &ends[1], &ends[2]], &[])
    }

    /// The same numbers in another shape, batch aside.
    fn reshape(&mut self, value: &str, name: &str, shape: &[usize]) -> String {
        let sides: Vec<i64> =
            std::iter::once(-1).chain(shape.iter().map(|&side| side as i64)).collect();
        let name = format!("shape_{name}");
        let shape = self.graph.constant(&name, DataType::Int64, &[sides.len()], &sides);
        self.graph.apply("Reshape", &[value, &shape], &[])
    }

    /// [`ObservationNormaliser::apply`], in double precision as there.
    fn normalise(&mut self, features: &str) -> anyhow::Result<String> {
        let count = self.network.observation_space.features();
        let mean: Vec<f64> = self.network.tensors.get("observations.mean", &[count])?;
        let variance: Vec<f64> = self.network.tensors.get("observations.variance", &[count])?;
        let deviation: Vec<f64> =
            variance.iter().map(|variance| ObservationNormaliser::deviation(*variance)).collect();
        let double = DataType::Double;
        let mean = self.graph.constant("observations.mean", double, &[count], &mean);
        let deviation = self.graph.constant("observations.deviation", double, &[count], &deviation);
        let clip = ObservationNormaliser::CLIP;
        let low = self.graph.constant("normalised_low", double, &[], &[-clip]);
        let high = self.graph.constant("normalised_high", double, &[], &[clip]);
        let features = self.graph.cast(features, double);
        let centred = self.graph.apply("Sub", &[&features, &mean], &[]);
        let scaled = self.graph.apply("Div", &[&centred, &deviation], &[]);
        let clipped = self.graph.apply("Clip", &[&scaled, &low, &high], &[]);
        Ok(self.graph.cast(&clipped, DataType::Float))
    }

    /// From what the network sees to its outputs.
    fn network(&mut self, features: &str) -> anyhow::Result<String> {
        let network = self.network;
        let mut value = features.to_owned();
        let mut channels = 0;
        if let Some(Layer { kind: LayerKind::Convolution(_), .. }) = network.layers.first() {
            let Space::Box { shape, .. } = &network.observation_space else {
                anyhow::bail!("convolutions look at no box");
            };
            let picture = Picture::of(shape).context("convolutions look at no picture")?;
            value = self.picture(&value, picture);
            channels = picture.image()[0];
        }
        for (module, layer) in network.layers.iter().enumerate() {
            let names = ["weight", "bias"].map(|part| format!("{module}.{part}"));
            match layer.kind {
                LayerKind::Convolution(convolution) => {
                    let (units, kernel) = (convolution.channels, convolution.kernel);
                    let weight = self.parameters(&names[0], &[units, channels, kernel, kernel])?;
                    let bias = self.parameters(&names[1], &[units])?;
                    let stride = convolution.stride as i64;
                    let strides = [("strides", Argument::Ints(vec![stride, stride]))];
                    value = self.graph.apply("Conv", &[&value, &weight, &bias], &strides);
                    channels = units;
                }
                LayerKind::Flatten => {
                    value = self.graph.apply("Flatten", &[&value], &[("axis", Argument::Int(1))]);
                }
                LayerKind::Recurrent { inputs, cell, hidden_size, num_layers } => {
                    let recurrent = RecurrentSpec { cell, hidden_size, num_layers };
                    value = self.recurrent(&value, inputs, recurrent, module)?;
                }
                LayerKind::Linear { inputs } => {
                    let outputs = layer.output_shape[0];
                    let weight = self.parameters(&names[0], &[outputs, inputs])?;
                    let bias = self.parameters(&names[1], &[outputs])?;
                    let transposed = [("transB", Argument::Int(1))];
                    value = self.graph.apply("Gemm", &[&value, &weight, &bias], &transposed);
                }
                LayerKind::BatchNorm { epsilon } => {
                    let shape = &layer.output_shape;
                    let mut inputs = vec![value];
                    for part in ["weight", "bias", "running_mean", "running_var"] {
                        inputs.push(self.parameters(&format!("{module}.{part}"), shape)?);
                    }
                    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
                    let epsilon = [("epsilon", Argument::Float(epsilon as f32))];
                    value = self.graph.apply("BatchNormalization", &inputs, &epsilon);
                }
                LayerKind::LayerNorm { epsilon } => {
                    let [weight, bias] = names.each_ref();
                    let weight = self.parameters(weight, &layer.output_shape)?;
                    let bias = self.parameters(bias, &layer.output_shape)?;
                    let epsilon = [("epsilon", Argument::Float(epsilon as f32))];
                    let inputs = [&value[..], &weight, &bias];
                    value = self.graph.apply("LayerNormalization", &inputs, &epsilon);
                }
                LayerKind::Activation { function } => {
                    value = self.activation(&value, function, module)
                }
                LayerKind::Dropout { .. } => {}
            }
        }
        Ok(value)
    }

    /// Channels first, as convolutions want them.
    fn picture(&mut self, flat: &str, picture: Picture) -> String {
        let Picture { frames, height, width, channels } = picture;
        if channels == 1 {
            return self.reshape(flat, "picture", &[frames, height, width]);
        }
        let array = self.reshape(flat, "array", &[frames, height, width, channels]);
        let order = [("perm", Argument::Ints(vec![0, 1, 4, 2, 3]))];
        let planes = self.graph.apply("Transpose", &[&array], &order);
        self.reshape(&planes, "picture", &picture.image())
    }

    /// A tensor of the policy in the network's precision.
    fn parameters(&mut self, name: &str, shape: &[usize]) -> anyhow::Result<String> {
        let values = self.learned(name, shape)?;
        Ok(self.numbers(name, shape, &values))
    }

    /// The numbers of a tensor of the policy, exactly.
    fn learned(&self, name: &str, shape: &[usize]) -> anyhow::Result<Vec<f64>> {
        let tensors: &Tensors = self.network.tensors;
        Ok(match tensors.is_double(name) {
            true => tensors.get::<f64>(name, shape)?,
            false => tensors.get::<f32>(name, shape)?.into_iter().map(f64::from).collect(),
        })
    }

    /// A number of the network's precision.
    fn number(&mut self, name: &str, value: f64) -> String {
        self.numbers(name, &[], &[value])
    }

    /// Numbers of the network's precision.
    fn numbers(&mut self, name: &str, shape: &[usize], values: &[f64]) -> String {
        match self.dtype {
            DataType::Double => self.graph.constant(name, DataType::Double, shape, values),
            dtype => {
                let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
                self.graph.constant(name, dtype, shape, &values)
            }
        }
    }

    /// An activation, of operators that are there in both precisions.
    fn activation(&mut self, value: &str, activation: Activation, module: usize) -> String {
        match activation {
            Activation::Linear => value.to_owned(),
            Activation::Relu => self.graph.apply("Relu", &[value], &[]),
            Activation::Tanh => self.graph.apply("Tanh", &[value], &[]),
            Activation::Sigmoid => self.graph.apply("Sigmoid", &[value], &[]),
            Activation::Silu => {
                let gate = self.graph.apply("Sigmoid", &[value], &[]);
                self.graph.apply("Mul", &[value, &gate], &[])
            }
            Activation::LeakyRelu => {
                let slope = self.number(&format!("slope_{module}"), Activation::LEAKY_SLOPE);
                let below = self.graph.apply("Mul", &[value, &slope], &[]);
                self.graph.apply("Max", &[value, &below], &[])
            }
            Activation::Elu => {
                let zero = self.number(&format!("zero_{module}"), 0.0);
                let one = self.number(&format!("one_{module}"), 1.0);
                let above = self.graph.apply("Max", &[value, &zero], &[]);
                let below = self.graph.apply("Min", &[value, &zero], &[]);
                let power = self.graph.apply("Exp", &[&below], &[]);
                let below = self.graph.apply("Sub", &[&power, &one], &[]);
                self.graph.apply("Add", &[&above, &below], &[])
            }
        }
    }

    /// From the network's outputs to the greedy action, and what it was chosen by.
    fn actions(&mut self, outputs: &str, readout: &Readout) -> anyhow::Result<()> {
        let mut outputs = outputs.to_owned();
        if let Readout::Distribution { head, .. } = readout {
            let own = head.outputs();
            if self.network.layers.last().is_some_and(|layer| layer.output_shape[0] > own) {
                let value = self.slice(&outputs, own, 1);
                let doc = "the critic's estimate of the discounted return";
                self.graph.output(&value, "value", self.dtype, &[1], doc);
                outputs = self.slice(&outputs, 0, own);
            }
        }
        let outputs = &outputs;
        match readout {
            Readout::Distribution { head: Head::Categorical { nvec }, .. } => {
                self.categorical(outputs, nvec);
            }
            Readout::Distribution { head: Head::Bernoulli, .. } => {
                let first = self.graph.apply("Sigmoid", &[outputs], &[]);
                let one = self.number("certain", 1.0);
                let second = self.graph.apply("Sub", &[&one, &first], &[]);
                let both =
                    self.graph.apply("Concat", &[&first, &second], &[("axis", Argument::Int(1))]);
                self.graph.output(&both, "probabilities", self.dtype, &[2], "of each action");
                self.choice(&both);
            }
            Readout::Distribution { head: Head::Gaussian { dimensions }, log_std } => {
                let action = self.float(outputs);
                let (low, high) = self.bounds()?;
                let action = self.graph.apply("Max", &[&action, &low], &[]);
                let action = self.graph.apply("Min", &[&action, &high], &[]);
                let doc = "the mean, cut to the bounds of the action space";
                self.graph.output(&action, "action", DataType::Float, &[*dimensions], doc);
                if log_std.is_empty() {
                    return Ok(());
                }
                let std: Vec<f64> = log_std.iter().map(|log_std| log_std.exp()).collect();
                let std = self.numbers("deviation", &[1, *dimensions], &std);
                // As many rows as there are observations.
                let zero = self.number("nothing", 0.0);
                let nothing = self.graph.apply("Mul", &[outputs, &zero], &[]);
                let std = self.graph.apply("Add", &[&nothing, &std], &[]);
                let doc = "standard deviation of each number of an action while training";
                self.graph.output(&std, "std", self.dtype, &[*dimensions], doc);
            }
            Readout::ActionValues { dueling } => {
                let Space::Discrete { n: actions } = self.network.action_space else {
                    anyhow::bail!("values of actions of a space that is not discrete");
                };
                let mut values = outputs.to_owned();
                if *dueling {
                    let advantages = self.slice(outputs, 0, actions);
                    let state = self.slice(outputs, actions, 1);
                    let axes = [("axes", Argument::Ints(vec![1]))];
                    let mean = self.graph.apply("ReduceMean", &[&advantages], &axes);
                    let centred = self.graph.apply("Sub", &[&advantages, &mean], &[]);
                    values = self.graph.apply("Add", &[&centred, &state], &[]);
                }
                self.graph.output(&values, "q_values", self.dtype, &[actions], "of each action");
                self.choice(&values);
            }
            Readout::ActionQuantiles { quantiles } => {
                let Space::Discrete { n: actions } = self.network.action_space else {
                    anyhow::bail!("values of actions of a space that is not discrete");
                };
                let rows = self.reshape(outputs, "quantiles", &[*quantiles, actions]);
                let axes = [("axes", Argument::Ints(vec![1])), ("keepdims", Argument::Int(0))];
                let values = self.graph.apply("ReduceMean", &[&rows], &axes);
                self.graph.output(&values, "q_values", self.dtype, &[actions], "of each action");
                self.choice(&values);
            }
            Readout::Squashed { clip_mean } => {
                let (low, high) = self.bounds()?;
                let dimensions = self.network.action_space.len();
                let means = match self.network.layers.last() {
                    Some(layer) if layer.output_shape[0] > dimensions => {
                        self.slice(outputs, 0, dimensions)
                    }
                    _ => outputs.to_owned(),
                };
                let means = match *clip_mean {
                    Some(bound) => {
                        let (low, high) = (
                            self.number("lowest_mean", -bound),
                            self.number("highest_mean", bound),
                        );
                        let raised = self.graph.apply("Max", &[&means, &low], &[]);
                        self.graph.apply("Min", &[&raised, &high], &[])
                    }
                    None => means,
                };
                let squashed = self.graph.apply("Tanh", &[&means], &[]);
                let squashed = self.float(&squashed);
                // low + (squashed + 1) / 2 · (high - low)
                let one = self.graph.constant("unit", DataType::Float, &[], &[1.0_f32]);
                let half = self.graph.constant("half", DataType::Float, &[], &[0.5_f32]);
                let range = self.graph.apply("Sub", &[&high, &low], &[]);
                let raised = self.graph.apply("Add", &[&squashed, &one], &[]);
                let share = self.graph.apply("Mul", &[&half, &raised], &[]);
                let way = self.graph.apply("Mul", &[&share, &range], &[]);
                let action = self.graph.apply("Add", &[&low, &way], &[]);
                let doc = "the mean, stretched to the bounds of the action space";
                self.graph.output(&action, "action", DataType::Float, &[dimensions], doc);
            }
        }
        Ok(())
    }

    /// A softmax for each part of a discrete action, and the most probable value of each.
    fn categorical(&mut self, outputs: &str, nvec: &[usize]) {
        let axis = || [("axis", Argument::Int(1))];
        let mut first = 0;
        let (mut probabilities, mut choices) = (Vec::new(), Vec::new());
        for &n in nvec {
            let logits = match nvec.len() {
                1 => outputs.to_owned(),
                _ => self.slice(outputs, first, n),
            };
            probabilities.push(self.graph.apply("Softmax", &[&logits], &axis()));
            choices.push(self.graph.apply(
                "ArgMax",
                &[&logits],
                &[("axis", Argument::Int(1)), ("keepdims", Argument::Int(1))],
            ));
            first += n;
        }
        let joined = |graph: &mut Builder, parts: &[String]| match parts {
            [only] => only.clone(),
            parts => {
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                graph.apply("Concat", &parts, &axis())
            }
        };
        let all = joined(&mut self.graph, &probabilities);
        let doc = "of each value of the action, part after part";
        self.graph.output(&all, "probabilities", self.dtype, &[first], doc);
        let choice = joined(&mut self.graph, &choices);
        if nvec.len() == 1 {
            let choice = self.reshape(&choice, "action", &[]);
            self.graph.output(&choice, "action", DataType::Int64, &[], "the most probable one");
        } else {
            let doc = "the most probable value of each part";
            self.graph.output(&choice, "action", DataType::Int64, &[nvec.len()], doc);
        }
    }

    /// The action with the greatest number, the first one of equals.
    fn choice(&mut self, values: &str) {
        let arguments = [("axis", Argument::Int(1)), ("keepdims", Argument::Int(0))];
        let choice = self.graph.apply("ArgMax", &[values], &arguments);
        self.graph.output(
            &choice,
            "action",
            DataType::Int64,
            &[],
            "the one with the greatest number",
        );
    }

    /// A value in single precision, which actions have.
    fn float(&mut self, value: &str) -> String {
        match self.dtype {
            DataType::Float => value.to_owned(),
            _ => self.graph.cast(value, DataType::Float),
        }
    }

    /// The bounds of the action space.
    fn bounds(&mut self) -> anyhow::Result<(String, String)> {
        let Space::Box { low, high, .. } = &self.network.action_space else {
            anyhow::bail!("numbers as actions of a space that is no box");
        };
        let shape = [low.len()];
        Ok((
            self.graph.constant("action_low", DataType::Float, &shape, low),
            self.graph.constant("action_high", DataType::Float, &shape, high),
        ))
    }
}

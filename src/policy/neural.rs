//! Neural policies as experiment files describe them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::nn::{Activation, Device, Engine, Initialisation, Precision};

/// A multilayer perceptron.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NeuralSpec {
    /// Sizes of the hidden layers, from the observation to the action.
    #[schemars(length(max = 16), inner(range(min = 1, max = 8192)))]
    pub hidden: Vec<usize>,
    /// Activation after each hidden layer.
    pub activation: Activation,
    /// Probability that a hidden unit is dropped while learning, between a layer and its activation.
    #[schemars(range(min = 0.0, max = 0.99))]
    pub dropout: f64,
    /// How outputs become a distribution over discrete actions.
    pub head: HeadSpec,
    /// Floating-point type of weights and arithmetic.
    pub precision: Precision,
    /// Initial weights; by default what the algorithm's reference uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initialisation: Option<Initialisation>,
    /// What computes the network.
    pub engine: Engine,
    /// Where it is computed.
    pub device: Device,
}

impl Default for NeuralSpec {
    fn default() -> Self {
        Self {
            hidden: vec![64, 64],
            activation: Activation::default(),
            dropout: 0.0,
            head: HeadSpec::default(),
            precision: Precision::default(),
            initialisation: None,
            engine: Engine::default(),
            device: Device::default(),
        }
    }
}

/// How outputs become a distribution over discrete actions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeadSpec {
    /// One output for each action, normalised by a softmax.
    #[default]
    Softmax,
    /// One output for two actions: its sigmoid is the probability of action 0.
    Sigmoid,
}

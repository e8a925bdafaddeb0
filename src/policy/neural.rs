//! Neural policies as experiment files describe them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::env::{Env, PixelsSpec, Problem, Space};
use crate::nn::{
    Activation, ConvolutionSpec, Device, Engine, EngineError, Initialisation, MlpConfig,
    Normalisation, Picture, Precision, RecurrentSpec,
};

/// The most weights that a network may have: a gigabyte, and three times as much again while it learns.
const MAX_PARAMETERS: u64 = 250_000_000;

/// A neural network: a multilayer perceptron, with convolutions or recurrent layers before it where there are any.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NeuralSpec {
    /// What the network sees of the environment.
    #[serde(skip_serializing_if = "ObservationSpec::is_state")]
    pub observation: ObservationSpec,
    /// Convolutional layers before the hidden ones, where the observation is a picture: `pixels`, or a box of the
    /// environment's own with two to four dimensions. A last dimension of 1, 3 or 4 is the channels ([height, width,
    /// channels], behind the frames of a stack), else they come first. Without convolutions the hidden layers see the
    /// numbers one after another. Whole numbers from 0 to 255 (uint8) are divided by 255 either way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub convolutions: Vec<ConvolutionSpec>,
    /// Recurrent layers between the observation and the hidden layers, with which the policy remembers the steps of an
    /// episode; for `recurrent_ppo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recurrent: Option<RecurrentSpec>,
    /// Sizes of the hidden layers, from the observation to the action.
    #[schemars(length(max = 16), inner(range(min = 1, max = 8192)))]
    pub hidden: Vec<usize>,
    /// Activation after each hidden layer and each convolution.
    pub activation: Activation,
    /// Probability that a hidden unit is dropped while learning, between a layer and its activation.
    #[schemars(range(min = 0.0, max = 0.99))]
    pub dropout: f64,
    /// How outputs become a distribution over discrete actions.
    pub head: HeadSpec,
    /// Floating-point type of weights and arithmetic.
    pub precision: Precision,
    /// Only take actions that the environment's `info["action_mask"]` allows, in training, evaluations and takes, where
    /// actions are discrete.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub action_mask: bool,
    /// Initial weights; by default what the algorithm's reference uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initialisation: Option<Initialisation>,
    /// What computes the network.
    pub engine: Engine,
    /// Where it is computed.
    pub device: Device,
    /// Threads that compute the `native` engine's networks while the agent learns; changes nothing but the time it takes,
    /// which it shortens where layers are hundreds of units wide and minibatches large. `resources.cores` says that a trial
    /// needs as many.
    #[serde(skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 64))]
    pub threads: usize,
}

fn is_one(count: &usize) -> bool {
    *count == 1
}

impl Default for NeuralSpec {
    fn default() -> Self {
        Self {
            observation: ObservationSpec::default(),
            convolutions: Vec::new(),
            recurrent: None,
            hidden: vec![64, 64],
            activation: Activation::default(),
            dropout: 0.0,
            head: HeadSpec::default(),
            action_mask: false,
            precision: Precision::default(),
            initialisation: None,
            engine: Engine::default(),
            device: Device::default(),
            threads: 1,
        }
    }
}

impl NeuralSpec {
    /// The engine that computes the network with so many inputs, which may normalise: never `auto`.
    ///
    /// # Errors
    /// Fails if the combination cannot be had at all.
    pub fn engine(
        &self,
        inputs: usize,
        normalisation: Option<Normalisation>,
    ) -> Result<Engine, EngineError> {
        if self.recurrent.is_some() {
            return self.engine.resolve_recurrent(self.device);
        }
        let mlp = MlpConfig::new(inputs, &self.hidden, 1, self.activation);
        let mlp = MlpConfig { normalisation, ..mlp };
        match self.convolutions.is_empty() {
            true => self.engine.resolve(&mlp, self.device),
            false => self.engine.resolve_cnn(&mlp, self.device),
        }
    }

    /// What its convolutions look at in an observation of `space`; nothing without convolutions, or where it is no
    /// picture.
    pub fn picture(&self, space: &Space) -> Option<Picture> {
        match (&self.convolutions[..], &self.observation, space) {
            ([], ..) => None,
            (_, ObservationSpec::Pixels(pixels), _) => Some(pixels.shape().into()),
            (_, ObservationSpec::State, Space::Box { shape, .. }) => Picture::of(shape),
            _ => None,
        }
    }

    /// The weights of its layers on an observation of `space`, without those of the last layer, which depends on the
    /// algorithm. No policy file or network of it is smaller.
    pub fn fewest_parameters(&self, space: &Space) -> u64 {
        let weights =
            |inputs: usize, outputs: usize| (inputs as u64).saturating_mul(outputs as u64);
        let (mut inputs, mut count) = (space.features(), 0_u64);
        if let ObservationSpec::Pixels(pixels) = &self.observation {
            inputs = pixels.shape().iter().product();
        }
        if let Some(picture) = self.picture(space) {
            let mut image = picture.image();
            for convolution in &self.convolutions {
                let Some(output) = convolution.output(image) else { break };
                let field = convolution.inputs(image[0]);
                count = count.saturating_add(weights(field, convolution.channels));
                image = output;
            }
            inputs = image.iter().product();
        }
        if let Some(recurrent) = &self.recurrent {
            count = count.saturating_add(recurrent.parameter_count(inputs));
            inputs = recurrent.hidden_size;
        }
        for &units in &self.hidden {
            count = count.saturating_add(weights(inputs, units));
            inputs = units;
        }
        count
    }

    /// What makes this network impossible on `env`, which shows its state; paths are below the policy.
    pub fn problems(&self, env: &dyn Env) -> Vec<Problem> {
        let engine = self.engine(env.observation_space().features(), None).err();
        let engine = engine.map(|error| Problem::new(&["engine"], error.to_string()));
        let too_large = self.size_problem(env.observation_space());
        let too_large = too_large.map(|message| Problem::new(&["hidden"], message));
        let both = self.recurrent.is_some() && !self.convolutions.is_empty();
        let both = both.then(|| {
            let message = "recurrent layers look at no convolutions: leave one of the two out";
            Problem::new(&["recurrent"], message)
        });
        let problems = self.observation_problems(env).into_iter().chain(engine).chain(too_large);
        problems.chain(both).collect()
    }

    /// Why its layers on an observation of `space` are too many or too wide.
    pub fn size_problem(&self, space: &Space) -> Option<String> {
        let parameters = self.fewest_parameters(space);
        (parameters > MAX_PARAMETERS).then(|| {
            format!(
                "these layers have {parameters} weights, more than the {MAX_PARAMETERS} that a network may have"
            )
        })
    }

    /// What is wrong with what the network sees.
    fn observation_problems(&self, env: &dyn Env) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let ObservationSpec::Pixels(pixels) = &self.observation {
            let found = pixels.problems(env.frame_size()).into_iter();
            problems.extend(found.map(|problem| problem.below(&["observation"])));
        }
        if self.convolutions.is_empty() {
            return problems;
        }
        let space = env.observation_space();
        let Some(picture) = self.picture(space) else {
            let message = format!(
                "convolutions look at pictures, boxes of two to four dimensions, and {space} is none: add \
                 \"observation\": {{ \"type\": \"pixels\" }}, or leave `convolutions` out"
            );
            problems.push(Problem::new(&["convolutions"], message));
            return problems;
        };
        let mut image = picture.image();
        for (i, convolution) in self.convolutions.iter().enumerate() {
            let [_, height, width] = image;
            let Some(output) = convolution.output(image) else {
                let message = format!(
                    "a kernel of {} does not fit into the {width} × {height} pixels that arrive here",
                    convolution.kernel
                );
                problems.push(Problem::new(&["convolutions", &i.to_string(), "kernel"], message));
                break;
            };
            image = output;
        }
        problems
    }
}

/// What a policy sees of the environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ObservationSpec {
    /// The environment's own observation.
    #[default]
    State,
    /// A patch of its picture.
    Pixels(PixelsSpec),
}

impl ObservationSpec {
    fn is_state(&self) -> bool {
        *self == Self::State
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

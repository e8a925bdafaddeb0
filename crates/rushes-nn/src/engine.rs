//! Engines: what computes networks, an open table of them, and the choice between them.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::{LazyLock, RwLock};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use rushes_rng::Rng;

use super::convolution::CnnConfig;
use super::native::NativeMlp;
use super::native_cnn::NativeCnn;
use super::native_recurrent::NativeRecurrent;
use super::network::{MlpConfig, Network};
use super::recurrent::RecurrentConfig;
use super::scalar::{Precision, Scalar};

/// The shape of a network, whatever engine computes it.
#[derive(Debug, Clone, PartialEq)]
pub enum NetworkConfig {
    /// Fully connected layers.
    Mlp(MlpConfig),
    /// Convolutions before them.
    Cnn(CnnConfig),
    /// Recurrent layers before them.
    Recurrent(RecurrentConfig),
}

impl NetworkConfig {
    fn initial_parameters<T: Scalar>(&self, rng: &mut Rng) -> Vec<T> {
        match self {
            Self::Mlp(config) => config.initial_parameters(rng),
            Self::Cnn(config) => config.initial_parameters(rng),
            Self::Recurrent(config) => config.initial_parameters(rng),
        }
    }
}

/// What computes networks. Engines with the same parameters give the same outputs and gradients to rounding.
pub trait NetworkEngine: Send + Sync {
    /// The name used in `{"engine": …}`.
    fn name(&self) -> &'static str;

    /// One line on when to use it, for the schema.
    fn summary(&self) -> &'static str;

    /// Name and version of the library that it computes with; nothing for one that has its own code.
    fn library(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    /// A single-precision network with these parameters.
    ///
    /// # Errors
    /// Fails if the engine computes no such network, or not on this device.
    fn build_f32(
        &self,
        config: &NetworkConfig,
        parameters: Vec<f32>,
        device: Device,
    ) -> Result<Box<dyn Network<f32>>, EngineError>;

    /// The same in double precision.
    ///
    /// # Errors
    /// As [`NetworkEngine::build_f32`].
    fn build_f64(
        &self,
        config: &NetworkConfig,
        parameters: Vec<f64>,
        device: Device,
    ) -> Result<Box<dyn Network<f64>>, EngineError>;
}

static ENGINES: LazyLock<RwLock<Vec<&'static dyn NetworkEngine>>> =
    LazyLock::new(|| RwLock::new(vec![&Native]));

/// Every engine of this process.
pub fn engines() -> Vec<&'static dyn NetworkEngine> {
    ENGINES.read().expect("no thread panics with the lock").clone()
}

/// Adds an engine to the table of this process, or replaces the one with its name.
pub fn register_engine(engine: &'static dyn NetworkEngine) {
    let mut engines = ENGINES.write().expect("no thread panics with the lock");
    engines.retain(|known| known.name() != engine.name());
    engines.push(engine);
}

/// What computes a network, as a policy asks for it: an engine's name, or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Engine(&'static str);

impl Engine {
    /// `native` where it is the faster one: on a CPU, no layer wider than 512 units. `torch` elsewhere.
    pub const AUTO: Self = Self("auto");
    /// Plain Rust, on a CPU.
    pub const NATIVE: Self = Self("native");
    /// libtorch with autograd, in the package `rushes-torch`.
    pub const TORCH: Self = Self("torch");

    /// Names with their summaries: those that any program knows, and those in the table.
    fn known() -> Vec<(&'static str, &'static str)> {
        let mut known = vec![
            (
                Self::AUTO.0,
                "`native` where it is the faster one: on a CPU, no layer wider than 512 units. `torch` elsewhere.",
            ),
            (Self::NATIVE.0, Native.summary()),
            (Self::TORCH.0, "libtorch with autograd."),
        ];
        for engine in engines() {
            if known.iter().all(|(name, _)| *name != engine.name()) {
                known.push((engine.name(), engine.summary()));
            }
        }
        known
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// Whether this program has it.
    pub fn is_here(self) -> bool {
        self.implementation().is_ok()
    }

    fn implementation(self) -> Result<&'static dyn NetworkEngine, EngineError> {
        let found = engines().into_iter().find(|engine| engine.name() == self.0);
        found.ok_or(EngineError::Missing { engine: self.0 })
    }

    /// The engine that computes `config` on `device`: never [`Engine::AUTO`].
    ///
    /// # Errors
    /// Fails if the combination cannot be had at all. Whether this program has the engine, and the machine the
    /// device, shows when a network is built.
    pub fn resolve(self, config: &MlpConfig, device: Device) -> Result<Self, EngineError> {
        self.choose(config.widest() <= NATIVE_WIDTH, config.normalisation.is_some(), device)
    }

    /// The engine that computes convolutions with the layers of `mlp` behind them on `device`: never [`Engine::AUTO`].
    ///
    /// # Errors
    /// As [`Engine::resolve`].
    pub fn resolve_cnn(self, mlp: &MlpConfig, device: Device) -> Result<Self, EngineError> {
        let narrow = mlp.hidden.iter().all(|&units| units <= NATIVE_WIDTH);
        self.choose(narrow, mlp.normalisation.is_some(), device)
    }

    /// The engine that computes recurrent layers on `device`: never [`Engine::AUTO`].
    ///
    /// # Errors
    /// As [`Engine::resolve`].
    pub fn resolve_recurrent(self, device: Device) -> Result<Self, EngineError> {
        match (self, device) {
            (Self::AUTO | Self::NATIVE, Device::Cpu) => Ok(Self::NATIVE),
            _ => Err(EngineError::Recurrent),
        }
    }

    fn choose(self, narrow: bool, normalises: bool, device: Device) -> Result<Self, EngineError> {
        match (self, device) {
            (Self::AUTO | Self::NATIVE, Device::Cpu) if normalises => Ok(Self::NATIVE),
            _ if normalises => Err(EngineError::Normalisation),
            (Self::NATIVE, Device::Cuda) => Err(EngineError::NativeOnCuda),
            (Self::AUTO, Device::Cpu) if narrow => Ok(Self::NATIVE),
            (Self::AUTO, _) => Ok(Self::TORCH),
            (named, _) => Ok(named),
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::AUTO
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for Engine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Engine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Cow::<'de, str>::deserialize(deserializer)?;
        let known = Self::known().into_iter().find(|(name, _)| *name == written);
        known
            .map(|(name, _)| Self(name))
            .ok_or_else(|| de::Error::custom(format!("unknown engine `{written}`")))
    }
}

impl JsonSchema for Engine {
    fn schema_name() -> Cow<'static, str> {
        "Engine".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let choice = |(name, summary): (&str, &str)| json_schema!({ "description": summary, "type": "string", "const": name });
        let choices: Vec<Schema> = Self::known().into_iter().map(choice).collect();
        json_schema!({ "description": "What computes a network.", "oneOf": choices })
    }
}

/// Where a network is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The processor, on as many threads as `threads` says.
    #[default]
    Cpu,
    /// The first NVIDIA GPU; needs the `torch` engine.
    Cuda,
}

/// An engine that cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The engine is part of another program.
    #[error(
        "this program has no engine \"{engine}\": use the program that has it, or engine \"native\" with layers \
         of at most {NATIVE_WIDTH} units"
    )]
    Missing {
        /// Its name.
        engine: &'static str,
    },
    /// `"device": "cuda"` without a usable GPU.
    #[error(
        "device \"cuda\" needs an NVIDIA GPU, its driver and a libtorch built with CUDA, and libtorch \
         finds none here: use \"device\": \"cpu\""
    )]
    NoCuda,
    /// `"device": "cuda"` with `"engine": "native"`.
    #[error(
        "engine \"native\" computes on the CPU only: use \"engine\": \"torch\" or \"auto\" with device \
         \"cuda\""
    )]
    NativeOnCuda,
    /// Normalised layers elsewhere than with `"engine": "native"`.
    #[error(
        "normalised layers are computed by engine \"native\" on the CPU alone: use \"engine\": \"native\" or \
         \"auto\", with \"device\": \"cpu\""
    )]
    Normalisation,
    /// Recurrent layers elsewhere than with `"engine": "native"`.
    #[error(
        "recurrent layers are computed by engine \"native\" on the CPU alone: use \"engine\": \"native\" or \
         \"auto\", with \"device\": \"cpu\""
    )]
    Recurrent,
}

/// Up to this width the native engine is the faster one (`cargo bench --bench nn`).
pub const NATIVE_WIDTH: usize = 512;

/// The engine of this crate.
struct Native;

impl Native {
    fn build<T: Scalar>(
        config: &NetworkConfig,
        parameters: Vec<T>,
        device: Device,
    ) -> Result<Box<dyn Network<T>>, EngineError> {
        match (config, device) {
            (_, Device::Cuda) => Err(EngineError::NativeOnCuda),
            (NetworkConfig::Cnn(config), Device::Cpu) => {
                Ok(Box::new(NativeCnn::new(config, parameters)))
            }
            (NetworkConfig::Mlp(config), Device::Cpu) => {
                Ok(Box::new(NativeMlp::new(config.clone(), parameters)))
            }
            (NetworkConfig::Recurrent(config), Device::Cpu) => {
                Ok(Box::new(NativeRecurrent::new(config, parameters)))
            }
        }
    }
}

impl NetworkEngine for Native {
    fn name(&self) -> &'static str {
        Engine::NATIVE.0
    }

    fn summary(&self) -> &'static str {
        "Plain Rust, on a CPU."
    }

    fn build_f32(
        &self,
        config: &NetworkConfig,
        parameters: Vec<f32>,
        device: Device,
    ) -> Result<Box<dyn Network<f32>>, EngineError> {
        Self::build(config, parameters, device)
    }

    fn build_f64(
        &self,
        config: &NetworkConfig,
        parameters: Vec<f64>,
        device: Device,
    ) -> Result<Box<dyn Network<f64>>, EngineError> {
        Self::build(config, parameters, device)
    }
}

/// A network with parameters drawn from `rng`, on the engine that [`Engine::resolve`] names. All engines draw
/// the same parameters.
///
/// # Errors
/// Fails if the engine, or its device, cannot be had here.
pub fn build<T: Scalar>(
    config: &MlpConfig,
    engine: Engine,
    device: Device,
    rng: &mut Rng,
) -> Result<Box<dyn Network<T>>, EngineError> {
    let engine = engine.resolve(config, device)?;
    build_on(engine, &NetworkConfig::Mlp(config.clone()), device, rng)
}

/// A convolutional network with parameters drawn from `rng`, on the engine that [`Engine::resolve_cnn`]
/// names.
///
/// # Errors
/// Fails if the engine, or its device, cannot be had here.
pub fn build_cnn<T: Scalar>(
    config: &CnnConfig,
    engine: Engine,
    device: Device,
    rng: &mut Rng,
) -> Result<Box<dyn Network<T>>, EngineError> {
    build_on(
        engine.resolve_cnn(&config.mlp, device)?,
        &NetworkConfig::Cnn(config.clone()),
        device,
        rng,
    )
}

/// A recurrent network with parameters drawn from `rng`, on the engine that [`Engine::resolve_recurrent`] names.
///
/// # Errors
/// Fails if the engine, or its device, cannot be had here.
pub fn build_recurrent<T: Scalar>(
    config: &RecurrentConfig,
    engine: Engine,
    device: Device,
    rng: &mut Rng,
) -> Result<Box<dyn Network<T>>, EngineError> {
    let engine = engine.resolve_recurrent(device)?;
    build_on(engine, &NetworkConfig::Recurrent(config.clone()), device, rng)
}

fn build_on<T: Scalar>(
    engine: Engine,
    config: &NetworkConfig,
    device: Device,
    rng: &mut Rng,
) -> Result<Box<dyn Network<T>>, EngineError> {
    let engine = engine.implementation()?;
    let built: Box<dyn Any> = match T::PRECISION {
        Precision::Float32 => {
            Box::new(engine.build_f32(config, config.initial_parameters(rng), device)?)
        }
        Precision::Float64 => {
            Box::new(engine.build_f64(config, config.initial_parameters(rng), device)?)
        }
    };
    Ok(*built.downcast::<Box<dyn Network<T>>>().expect("a precision names one type"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Activation, BatchRenorm, Normalisation};

    #[test]
    fn auto_takes_the_native_engine_up_to_its_width() {
        let resolve = |hidden: &[usize], engine: Engine, device| {
            engine.resolve(&MlpConfig::new(4, hidden, 2, Activation::Relu), device)
        };
        assert_eq!(resolve(&[512], Engine::AUTO, Device::Cpu), Ok(Engine::NATIVE));
        assert_eq!(resolve(&[513], Engine::AUTO, Device::Cpu), Ok(Engine::TORCH));
        assert_eq!(resolve(&[8], Engine::AUTO, Device::Cuda), Ok(Engine::TORCH));
        assert_eq!(resolve(&[8], Engine::TORCH, Device::Cpu), Ok(Engine::TORCH));
        assert_eq!(resolve(&[2048], Engine::NATIVE, Device::Cpu), Ok(Engine::NATIVE));
        assert_eq!(resolve(&[8], Engine::NATIVE, Device::Cuda), Err(EngineError::NativeOnCuda));
    }

    #[test]
    fn normalised_layers_are_the_native_engines() {
        let renorm = BatchRenorm { momentum: 0.01, warmup: 0 };
        for normalisation in [Normalisation::BatchRenorm(renorm), Normalisation::LayerNorm] {
            let mut config = MlpConfig::new(4, &[2048], 2, Activation::Relu);
            config.normalisation = Some(normalisation);
            for resolve in [Engine::resolve, Engine::resolve_cnn] {
                let resolve = |engine: Engine, device| resolve(engine, &config, device);
                assert_eq!(resolve(Engine::AUTO, Device::Cpu), Ok(Engine::NATIVE));
                assert_eq!(resolve(Engine::NATIVE, Device::Cpu), Ok(Engine::NATIVE));
                assert_eq!(resolve(Engine::TORCH, Device::Cpu), Err(EngineError::Normalisation));
                assert_eq!(resolve(Engine::AUTO, Device::Cuda), Err(EngineError::Normalisation));
            }
        }
    }

    #[test]
    fn recurrent_layers_are_the_native_engines() {
        let resolve = Engine::resolve_recurrent;
        assert_eq!(resolve(Engine::AUTO, Device::Cpu), Ok(Engine::NATIVE));
        assert_eq!(resolve(Engine::NATIVE, Device::Cpu), Ok(Engine::NATIVE));
        assert_eq!(resolve(Engine::TORCH, Device::Cpu), Err(EngineError::Recurrent));
        assert_eq!(resolve(Engine::AUTO, Device::Cuda), Err(EngineError::Recurrent));
    }

    #[test]
    fn an_engine_of_another_program_is_known_and_missing() {
        let engine: Engine = serde_json::from_str("\"torch\"").expect("a known name");
        let config = MlpConfig::new(4, &[8], 2, Activation::Relu);
        let mut rng = rushes_rng::stream(0, rushes_rng::Purpose::Initialisation, 0);
        let built = build::<f32>(&config, engine, Device::Cpu, &mut rng);
        assert_eq!(built.err(), Some(EngineError::Missing { engine: "torch" }));
        assert!(serde_json::from_str::<Engine>("\"tensorflow\"").is_err());
    }
}

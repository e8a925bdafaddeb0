//! The choice of engine.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convolution::CnnConfig;
use super::native::NativeMlp;
use super::network::{MlpConfig, Network};
use super::scalar::Scalar;
use super::torch::{TorchCnn, TorchMlp};
use crate::rng::Rng;

/// What computes a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// `native` where it is the faster one: on a CPU, no layer wider than 512 units, no convolutions. `torch`
    /// elsewhere.
    #[default]
    Auto,
    /// Plain Rust, on a CPU, without convolutions.
    Native,
    /// libtorch with autograd.
    Torch,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::Auto => "auto",
            Engine::Native => "native",
            Engine::Torch => "torch",
        })
    }
}

/// Where a network is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The processor, one thread a trial.
    #[default]
    Cpu,
    /// The first NVIDIA GPU; needs the `torch` engine.
    Cuda,
}

/// An engine that cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
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
    /// Convolutions with `"engine": "native"`.
    #[error(
        "engine \"native\" computes no convolutions: use \"engine\": \"torch\" or \"auto\", or leave \
         `convolutions` out"
    )]
    NativeConvolutions,
}

/// Up to this width the native engine is the faster one (`cargo bench --bench nn`).
pub const NATIVE_WIDTH: usize = 512;

impl Engine {
    /// The engine that computes `config` on `device`: never [`Engine::Auto`].
    ///
    /// # Errors
    /// Where the combination cannot be had on this machine.
    pub fn resolve(self, config: &MlpConfig, device: Device) -> Result<Engine, EngineError> {
        match (self, device) {
            (Engine::Native, Device::Cuda) => Err(EngineError::NativeOnCuda),
            (Engine::Auto, Device::Cpu) if config.widest() <= NATIVE_WIDTH => Ok(Engine::Native),
            (Engine::Native, Device::Cpu) => Ok(Engine::Native),
            (Engine::Auto | Engine::Torch, device) => device.torch().map(|_| Engine::Torch),
        }
    }

    /// The engine that computes convolutions on `device`: never [`Engine::Auto`].
    ///
    /// # Errors
    /// Where the combination cannot be had at all or on this machine.
    pub fn resolve_cnn(self, device: Device) -> Result<Engine, EngineError> {
        match self {
            Engine::Native => Err(EngineError::NativeConvolutions),
            Engine::Auto | Engine::Torch => device.torch().map(|_| Engine::Torch),
        }
    }
}

impl Device {
    /// libtorch's name for it.
    fn torch(self) -> Result<tch::Device, EngineError> {
        match self {
            Device::Cpu => Ok(tch::Device::Cpu),
            Device::Cuda if tch::Cuda::is_available() => Ok(tch::Device::Cuda(0)),
            Device::Cuda => Err(EngineError::NoCuda),
        }
    }
}

/// A network with parameters drawn from `rng`, on the engine that [`Engine::resolve`] names. Both engines
/// draw the same parameters.
///
/// # Errors
/// Those of [`Engine::resolve`].
pub fn build<T: Scalar>(
    config: &MlpConfig,
    engine: Engine,
    device: Device,
    rng: &mut Rng,
) -> Result<Box<dyn Network<T>>, EngineError> {
    let engine = engine.resolve(config, device)?;
    let parameters = config.initial_parameters(rng);
    Ok(match engine {
        Engine::Torch => Box::new(TorchMlp::new(config.clone(), parameters, device.torch()?)),
        Engine::Native | Engine::Auto => Box::new(NativeMlp::new(config.clone(), parameters)),
    })
}

/// A convolutional network with parameters drawn from `rng`, on the engine that [`Engine::resolve_cnn`]
/// names.
///
/// # Errors
/// Those of [`Engine::resolve_cnn`].
pub fn build_cnn<T: Scalar>(
    config: &CnnConfig,
    engine: Engine,
    device: Device,
    rng: &mut Rng,
) -> Result<Box<dyn Network<T>>, EngineError> {
    engine.resolve_cnn(device)?;
    let parameters = config.initial_parameters(rng);
    Ok(Box::new(TorchCnn::new(config.clone(), parameters, device.torch()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::network::Activation;
    use crate::nn::random::normal;
    use crate::nn::simd::on_every_level;
    use crate::rng::{Purpose, stream};

    /// Greatest difference relative to the greatest magnitude of `expected`, or to `least` where that is
    /// more.
    fn difference<T: Scalar>(found: &[T], expected: &[T], least: f64) -> f64 {
        let scale = expected.iter().fold(least, |m: f64, e| m.max(e.as_f64().abs()));
        let pairs = found.iter().zip(expected);
        pairs.fold(0.0, |m: f64, (f, e)| m.max((f.as_f64() - e.as_f64()).abs())) / scale
    }

    fn compare<T: Scalar>(config: &MlpConfig, rows: usize, outputs_to: f64, gradients_to: f64) {
        let initial = || stream(7, Purpose::Initialisation, 0);
        let mut native =
            build::<T>(config, Engine::Native, Device::Cpu, &mut initial()).expect("on any CPU");
        let mut torch =
            build::<T>(config, Engine::Torch, Device::Cpu, &mut initial()).expect("on any CPU");
        assert_eq!(native.parameters(), torch.parameters());

        let mut rng = stream(8, Purpose::Exploration, 0);
        let batch: Vec<f32> = (0..rows * config.inputs).map(|_| normal(&mut rng) as f32).collect();
        let len = rows * config.outputs;
        let loss: Vec<T> = (0..len).map(|_| T::of(normal(&mut rng))).collect();
        let run = |network: &mut dyn Network<T>| {
            let mut masks = stream(9, Purpose::Minibatch, 0);
            let mut acted = vec![T::zero(); len];
            let mut outputs = vec![T::zero(); len];
            let mut grad_inputs = vec![T::zero(); batch.len()];
            // Twice, so that gradients add up, the second time after the parameters changed; acting in
            // between must not disturb what backward needs.
            for _ in 0..2 {
                network.forward_train(&batch, rows, &mut masks, &mut outputs);
                network.forward(&batch, rows, &mut acted);
                network.backward(&loss, Some(&mut grad_inputs));
                for parameter in network.parameters_mut() {
                    *parameter *= T::of(1.01);
                }
            }
            // The input gradient alone is the same one, and leaves the parameters' gradients as they were.
            let before = network.gradients().to_vec();
            let mut alone = vec![T::zero(); batch.len()];
            let mut again = outputs.clone();
            network.forward_train(&batch, rows, &mut masks.clone(), &mut again);
            network.backward_inputs(&loss, &mut alone);
            assert_eq!(network.gradients(), before);
            network.forward_train(&batch, rows, &mut masks, &mut again);
            network.backward(&loss, Some(&mut grad_inputs));
            assert_eq!(alone, grad_inputs);
            // One vector, since a single input gradient may cancel to next to nothing too.
            (acted, outputs, [network.gradients(), &grad_inputs].concat())
        };
        let (found, expected) = (run(&mut *native), run(&mut *torch));
        let context = format!("{} {config:?} at {rows}", T::PRECISION);
        // Outputs are sums of terms of order one and may cancel to next to nothing.
        for (what, found, expected, tolerance, least) in [
            ("acting", &found.0, &expected.0, outputs_to, 1.0),
            ("outputs", &found.1, &expected.1, outputs_to, 1.0),
            ("gradients", &found.2, &expected.2, gradients_to, 1e-30),
        ] {
            let difference = difference(found, expected, least);
            assert!(difference <= tolerance, "{what} differ by {difference:e}: {context}");
        }
        if config.dropout == 0.0 {
            assert!(
                difference(&found.0, &found.1, 1.0) < 1e-6,
                "acting is not the training forward"
            );
        }
    }

    #[test]
    fn native_equals_torch_over_shapes_activations_and_dropout() {
        on_every_level(|_| compare_all());
    }

    fn compare_all() {
        let shapes: [(usize, &[usize], usize); 7] = [
            (4, &[64, 64], 2),
            (4, &[5], 1),
            (4, &[128], 2),
            (3, &[], 2),
            (8, &[33, 17, 9], 6),
            (24, &[256, 256], 4),
            (1, &[400, 300], 1),
        ];
        for activation in Activation::ALL {
            for (inputs, hidden, outputs) in shapes {
                for (dropout, output_activation) in
                    [(0.0, Activation::Linear), (0.6, Activation::Linear), (0.0, Activation::Tanh)]
                {
                    let config = MlpConfig {
                        dropout,
                        output_activation,
                        ..MlpConfig::new(inputs, hidden, outputs, activation)
                    };
                    for rows in [1, 8, 37] {
                        compare::<f32>(&config, rows, 1e-6, 1e-5);
                        compare::<f64>(&config, rows, 1e-14, 1e-13);
                    }
                }
            }
        }
    }

    #[test]
    fn auto_takes_the_native_engine_up_to_its_width() {
        let resolve = |hidden: &[usize], engine: Engine, device| {
            engine.resolve(&MlpConfig::new(4, hidden, 2, Activation::Relu), device)
        };
        assert_eq!(resolve(&[512], Engine::Auto, Device::Cpu), Ok(Engine::Native));
        assert_eq!(resolve(&[513], Engine::Auto, Device::Cpu), Ok(Engine::Torch));
        assert_eq!(resolve(&[8], Engine::Torch, Device::Cpu), Ok(Engine::Torch));
        assert_eq!(resolve(&[2048], Engine::Native, Device::Cpu), Ok(Engine::Native));
        assert_eq!(resolve(&[8], Engine::Native, Device::Cuda), Err(EngineError::NativeOnCuda));
        if !tch::Cuda::is_available() {
            assert_eq!(resolve(&[8], Engine::Auto, Device::Cuda), Err(EngineError::NoCuda));
        }
    }
}

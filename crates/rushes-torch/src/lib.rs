//! The libtorch engine: networks through tch and autograd, for wide networks and GPUs.
//!
//! [`Torch`] implements [`rushes_nn::NetworkEngine`]; a program that calls [`register`] computes networks with it.
//! The program `rushes-torch` is `rushes` with this engine: `rushes` starts it for the trials that need it.

// They panic when nobody reads: `rushes::console` prints.
#![warn(clippy::print_stderr, clippy::print_stdout)]

use rushes_nn::{
    CnnConfig, Device, EngineError, Network, NetworkConfig, NetworkEngine, register_engine,
};

mod cnn;
mod graph;
mod mlp;

use cnn::TorchCnn;
use graph::Number;
use mlp::TorchMlp;

/// libtorch as an engine.
pub struct Torch;

/// Adds the engine to this process.
pub fn register() {
    register_engine(&Torch);
}

impl Torch {
    fn build<T: Number>(
        config: &NetworkConfig,
        parameters: Vec<T>,
        device: Device,
    ) -> Result<Box<dyn Network<T>>, EngineError> {
        let device = match device {
            Device::Cpu => tch::Device::Cpu,
            Device::Cuda if tch::Cuda::is_available() => tch::Device::Cuda(0),
            Device::Cuda => return Err(EngineError::NoCuda),
        };
        Ok(match config {
            NetworkConfig::Mlp(mlp) | NetworkConfig::Cnn(CnnConfig { mlp, .. })
                if mlp.normalisation.is_some() =>
            {
                return Err(EngineError::Normalisation);
            }
            NetworkConfig::Recurrent(_) => return Err(EngineError::Recurrent),
            NetworkConfig::Mlp(config) => {
                Box::new(TorchMlp::new(config.clone(), parameters, device))
            }
            NetworkConfig::Cnn(config) => {
                Box::new(TorchCnn::new(config.clone(), parameters, device))
            }
        })
    }
}

impl NetworkEngine for Torch {
    fn name(&self) -> &'static str {
        "torch"
    }

    fn summary(&self) -> &'static str {
        "libtorch with autograd."
    }

    fn library(&self) -> Option<(&'static str, &'static str)> {
        Some(("libtorch", env!("RUSHES_LIBTORCH_VERSION")))
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

#[cfg(test)]
mod tests {
    use rushes_nn::{Engine, MlpConfig, Network, Scalar, Tensors, build, on_every_level};

    use super::*;
    use rushes_nn::network::Activation;
    use rushes_nn::random::normal;
    use rushes_rng::{Purpose, stream};

    /// Greatest difference relative to the greatest magnitude of `expected`, or to `least` where that is
    /// more.
    fn difference<T: Scalar>(found: &[T], expected: &[T], least: f64) -> f64 {
        let scale = expected.iter().fold(least, |m: f64, e| m.max(e.as_f64().abs()));
        let pairs = found.iter().zip(expected);
        pairs.fold(0.0, |m: f64, (f, e)| m.max((f.as_f64() - e.as_f64()).abs())) / scale
    }

    fn compare<T: Scalar>(config: &MlpConfig, rows: usize, outputs_to: f64, gradients_to: f64) {
        register();
        let initial = || stream(7, Purpose::Initialisation, 0);
        let mut native =
            build::<T>(config, Engine::NATIVE, Device::Cpu, &mut initial()).expect("on any CPU");
        let mut torch =
            build::<T>(config, Engine::TORCH, Device::Cpu, &mut initial()).expect("on any CPU");
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
    fn networks_go_from_one_engine_to_the_other() {
        let config = MlpConfig::new(4, &[8, 8], 2, Activation::Tanh);
        register();
        let make = |engine, seed| {
            let mut rng = stream(seed, Purpose::Initialisation, 0);
            build::<f32>(&config, engine, Device::Cpu, &mut rng).expect("on any CPU")
        };
        let native = make(Engine::NATIVE, 1);
        let mut torch = make(Engine::TORCH, 2);
        let mut tensors = Tensors::default();
        tensors.insert_network("actor.", &*native);
        let names: Vec<_> = tensors.names().collect();
        assert_eq!(names[..2], ["actor.0.bias", "actor.0.weight"]);
        assert_ne!(torch.parameters(), native.parameters());
        tensors.load_network("actor.", &mut *torch).expect("the same shape");
        assert_eq!(torch.parameters(), native.parameters());
    }
}

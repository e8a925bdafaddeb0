//! Neural networks: a small engine of our own, a seam for others, and what learning needs around them.
//!
//! ```text
//! NetworkConfig ─────────build──▶ Network ──outputs──▶ Head (action, log-probability, entropy)
//!                                 ▲                       │ gradients at the outputs
//!                 Optimiser ◀── gradients ◀── backward ◀──┘
//! ```
//!
//! An algorithm computes its loss and the gradient at the network's outputs; [`network::Network::backward`]
//! turns it into gradients of the flat parameters, and an [`optimiser::Optimiser`] steps over them.

// They panic when nobody reads: `rushes::console` prints.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod batch_renorm;
pub mod convolution;
pub mod engine;
pub mod gae;
pub mod heads;
mod kernels;
mod layer_norm;
pub mod native;
mod native_cnn;
mod native_recurrent;
pub mod network;
pub mod normaliser;
pub mod optimiser;
pub mod random;
pub mod recurrent;
pub mod replay;
pub mod scalar;
mod simd;
pub mod state;
pub mod state_dependent;
pub mod storage;
pub mod threads;

pub use convolution::{CnnConfig, ConvolutionSpec, ImageShape, Picture};
pub use engine::{
    Device, Engine, EngineError, NetworkConfig, NetworkEngine, build, build_cnn, build_recurrent,
    engines, register_engine,
};
pub use heads::Head;
pub use network::{
    Activation, BatchRenorm, Initialisation, LatentNetwork, MlpConfig, Network, Normalisation,
    ParametersMut, RecurrentNetwork, TensorInfo,
};
pub use optimiser::{Optimiser, OptimiserConfig, StepPart, clip_gradient_norm, move_towards};
pub use recurrent::{Cell, RecurrentConfig, RecurrentSpec};
pub use scalar::{Element, Precision, Scalar};
pub use state::{StateError, Tensors};
pub use state_dependent::StateDependentNoise;
pub use storage::{Storage, Stored};

#[doc(hidden)]
pub use simd::{arithmetic, on_every_level};

//! Gymnasium's environments in JAX, as far as they are not other ones under another name: float32 throughout.
//!
//! Dynamics, spaces and options are the reference's; its random streams are JAX's own, so that a seed starts other episodes
//! here than there.

pub mod cartpole;
pub mod pendulum;

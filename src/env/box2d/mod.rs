//! Environments with Box2D physics: the solver that Gymnasium uses, so that they are equal bit for bit.

pub mod bipedal_walker;
mod car_dynamics;
pub mod car_racing;
pub mod lunar_lander;
mod policies;
mod world;

pub use world::solver_seconds;

use crate::env::EnvError;

/// What an environment says that has no world yet.
fn never_reset() -> EnvError {
    EnvError::Physics("the environment was never reset".to_owned())
}

//! Environments with Box2D physics: the solver that Gymnasium uses, so that they are equal bit for bit.

pub mod bipedal_walker;
mod car_dynamics;
pub mod car_racing;
pub mod lunar_lander;
mod policies;

pub use rushes_box2d::solver_seconds;

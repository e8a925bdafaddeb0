//! Environments with Box2D physics: the solver that Gymnasium uses, so that they are equal bit for bit.

pub mod bipedal_walker;
pub mod lunar_lander;
mod policies;
mod world;

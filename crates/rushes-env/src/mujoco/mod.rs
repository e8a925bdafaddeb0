//! MuJoCo: robots in continuous time, simulated in float64 by MuJoCo 3.17.0 and observed in float32.
//!
//! The models are Gymnasium 1.1.1's and part of the program; MuJoCo's library is opened when the first environment is
//! made, see [`rushes_mujoco`].

pub use rushes_mujoco::{LibraryError, VERSION, open as open_library};
use rushes_rng::NpRandom;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::environment::Env;
use crate::numpy;
use crate::policy::FromFn;
use crate::problem::Problem;
use crate::spec::{BuiltinPolicy, EnvSpec, MUJOCO};

pub mod ant;
mod environment;
pub mod half_cheetah;
pub mod hopper;
pub mod humanoid;
pub mod humanoid_standup;
pub mod inverted_double_pendulum;
pub mod inverted_pendulum;
mod mesh;
mod names;
pub mod options;
mod picture;
pub mod pusher;
mod ray;
pub mod reacher;
mod solid;
pub mod swimmer;
pub mod walker2d;
mod walking;

/// Gymnasium's models by the names of their files.
const MODELS: &[(&str, &str)] = &[
    ("ant.xml", include_str!("models/ant.xml")),
    ("half_cheetah.xml", include_str!("models/half_cheetah.xml")),
    ("hopper.xml", include_str!("models/hopper.xml")),
    ("humanoid.xml", include_str!("models/humanoid.xml")),
    ("humanoidstandup.xml", include_str!("models/humanoidstandup.xml")),
    ("inverted_double_pendulum.xml", include_str!("models/inverted_double_pendulum.xml")),
    ("inverted_pendulum.xml", include_str!("models/inverted_pendulum.xml")),
    ("pusher_v5.xml", include_str!("models/pusher_v5.xml")),
    ("reacher.xml", include_str!("models/reacher.xml")),
    ("swimmer.xml", include_str!("models/swimmer.xml")),
    ("walker2d.xml", include_str!("models/walker2d.xml")),
    ("walker2d_v5.xml", include_str!("models/walker2d_v5.xml")),
];

/// Adds noise uniform in ±`scale` to every value.
fn add_uniform(random: &mut NpRandom, values: &mut [f64], scale: f64) {
    values.iter_mut().for_each(|value| *value += random.uniform(-scale, scale));
}

/// Adds normal noise of standard deviation `scale` to every value.
fn add_normal(random: &mut NpRandom, values: &mut [f64], scale: f64) {
    values.iter_mut().for_each(|value| *value += scale * random.standard_normal());
}

/// The cost of a control: float32, as the action is.
fn control_cost(weight: f64, action: &[f32]) -> f32 {
    weight as f32 * numpy::sum_of_squares(action)
}

/// Clips a joint's velocity for observation.
fn clipped(velocity: f64) -> f64 {
    numpy::clip(velocity, [-10.0, 10.0])
}

/// Whether all numbers are finite.
fn all_finite(values: &[f64]) -> bool {
    values.iter().all(|value| value.is_finite())
}

/// What the card of every MuJoCo environment says. Its policy is the one with which learned ones compare at the least.
fn card<C: DeserializeOwned + JsonSchema + 'static>(
    id: &str,
    make: impl Fn(C) -> Result<Box<dyn Env>, Problem> + Send + Sync + 'static,
) -> EnvSpec {
    let still = BuiltinPolicy::new("still", "leaves all motors off", |_: C| {
        Ok(Box::new(FromFn(|_: &[f32], action: &mut [f32]| action.fill(0.0))))
    });
    EnvSpec { family: MUJOCO.into(), policies: vec![still], ..EnvSpec::new(id, make) }
}

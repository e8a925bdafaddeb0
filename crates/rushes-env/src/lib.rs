//! Environments equal to Gymnasium's, number for number: a Gymnasium for Rust.
//!
//! An environment is pure dynamics, equal to Gymnasium 1.1.1's number for number. What every environment
//! shares (time limits, checking actions) lives in [`TimeLimit`], and what is known without building one
//! lives in its [`EnvSpec`]. Adding an environment means one file and one line in the table of [`registry`],
//! or a call of [`register`] from another crate.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use rushes_env::{Options, TimeLimit};
//!
//! let spec = rushes_env::find("CartPole-v1").ok_or("no such environment")?;
//! let mut env = TimeLimit::new((spec.make)(&Options::new())?, spec.max_episode_steps);
//! let mut observation = vec![0.0; env.env().observation_space().len()];
//! env.reset(Some(7), &mut observation)?;
//! let step = env.step(&[1.0], &mut observation)?;
//! assert_eq!((step.reward, step.done()), (1.0, false));
//! # Ok(()) }
//! ```

// They panic when nobody reads: `rushes::console` prints.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod action_mask;
#[cfg(box2d)]
pub mod box2d;
pub mod classic_control;
mod coverage;
pub mod distribution;
pub mod draw;
pub mod environment;
pub mod episode;
pub mod input;
mod meaning;
pub mod mujoco;
pub mod names;
mod numpy;
mod option_file;
pub mod path;
pub mod phys2d;
pub mod pixels;
pub mod policy;
pub mod problem;
pub mod registry;
pub mod space;
pub mod spec;
pub mod time_limit;
pub mod toy_text;
pub mod trace;
pub mod vector;
pub mod wrappers;

pub use action_mask::valid_actions;
pub use distribution::Distribution;
pub use environment::{Env, EnvError, Info, Step, Trace};
pub use episode::Episode;
pub use meaning::{Channel, Meaning};
pub use option_file::OptionFile;
pub use pixels::{Channels, Crop, Pixels, PixelsSpec};
pub use policy::{Assessment, FromFn, Mode, Policy, PolicyError, Situation};
pub use problem::Problem;
pub use registry::{all, find, register, retired, unknown};
pub use space::{Action, Dtype, Space};
pub use spec::{BuiltinPolicy, EnvSpec, Options, config};
pub use time_limit::TimeLimit;
pub use vector::VectorEnv;
pub use wrappers::{RewardClip, RewardTransform, WrappersSpec};

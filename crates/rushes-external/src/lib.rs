//! Environments and policies that live in other processes, written in any language.
//!
//! The protocol is `rushes-env` 1, specified in `docs/external-environments.md`: a child process, a handshake in JSON,
//! arrays in shared memory and one byte a command. [`External`] makes copies of an environment that are
//! [`rushes_env::Env`]s like all others; [`gymnasium`] starts the adapter that serves whatever Gymnasium can make.

// They panic when nobody reads: `rushes::console` prints.
#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod conformance;
pub mod env;
pub mod gymnasium;
mod memory;
pub mod policy;
pub mod process;
pub mod python;
pub mod wire;
mod worker;

pub use env::External;
pub use policy::ExternalPolicy;
pub use process::{Failure, Program};
pub use wire::Card;

//! Engines that are in another program: finding out, and handing over.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;

use crate::nn::EngineError;
use crate::registry;
use crate::runner::engine_program;

/// Set for a program that was handed over to, which never hands on.
const HANDED_OVER: &str = "RUSHES_HANDED_OVER";

/// The engine that `error` says this program does not have.
pub(super) fn missing(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| match cause.downcast_ref() {
        Some(EngineError::Missing { engine }) => Some(*engine),
        _ => None,
    })
}

/// Runs the same command line with the program that has `engine`, in this process; returns only what kept it
/// from that.
pub(super) fn hand_over(engine: &str) -> anyhow::Error {
    match program(engine) {
        Ok(mut command) => {
            let error = command.args(env::args_os().skip(1)).env(HANDED_OVER, engine).exec();
            anyhow::Error::from(error).context(format!("failed to start {command:?}"))
        }
        Err(error) => error,
    }
}

/// The program that has `engine`.
///
/// # Errors
/// Fails if there is none that could do what this one does.
pub(super) fn program(engine: &str) -> anyhow::Result<Command> {
    anyhow::ensure!(
        env::var_os(HANDED_OVER).is_none(),
        "this program was started for its engine \"{engine}\", which it does not have"
    );
    anyhow::ensure!(
        !registry::is_extended(),
        "engine \"{engine}\" is not in this program, and the program that has it does not know this one's own \
         environments and algorithms: add the engine to this program's registry (package rushes-{engine})"
    );
    engine_program(engine).map(Command::new).context("failed to find an engine")
}

//! Engines that are in another program: finding out, and handing over.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;

use super::run::Args;
use crate::exit::Exit;
use crate::nn::EngineError;
use crate::run::quick;
use crate::runner::engine_program;
use crate::{registry, search, validation};

/// Set for a program that was handed over to, which never hands on.
const HANDED_OVER: &str = "RUSHES_HANDED_OVER";

/// Prints the engines that an experiment needs and this program does not have, one a line. An experiment that
/// cannot be run needs none; `rushes run` says what is wrong with it.
///
/// # Errors
/// Fails if a searched value does not fit; never for a checked experiment.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let Ok(spec) = validation::load(&args.file, &args.overrides) else {
        return Ok(Exit::Success);
    };
    let spec = if args.quick { quick(spec) } else { spec };
    for engine in validation::missing_engines(&search::plan(spec)?)? {
        println!("{engine}");
    }
    Ok(Exit::Success)
}

/// The engine that `error` says this program does not have.
pub fn missing(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| match cause.downcast_ref() {
        Some(EngineError::Missing { engine }) => Some(*engine),
        _ => None,
    })
}

/// Runs the same command line with the program that has `engine`, in this process; returns only what kept it
/// from that.
pub fn hand_over(engine: &str) -> anyhow::Error {
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
pub fn program(engine: &str) -> anyhow::Result<Command> {
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

//! `rushes` with an environment of its own.

use std::process::ExitCode;

use rushes::{cli, registry::Registry};

mod thermostat;

fn main() -> ExitCode {
    cli::main_with(Registry::standard().environment(thermostat::v0()))
}

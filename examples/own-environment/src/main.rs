//! `rushes` with environments of its own.

use std::process::ExitCode;

use rushes::{cli, registry::Registry};

mod mixer;
mod thermostat;

fn main() -> ExitCode {
    cli::main_with(Registry::standard().environment(thermostat::v0()).environment(mixer::v0()))
}

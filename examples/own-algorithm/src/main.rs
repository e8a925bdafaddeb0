//! `rushes` with an algorithm of its own.

use std::process::ExitCode;

use rushes::{cli, registry::Registry};

mod one_plus_one;

fn main() -> ExitCode {
    cli::main_with(Registry::standard().algorithm(one_plus_one::entry()))
}

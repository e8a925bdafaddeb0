//! `rushes-torch`: `rushes` with the libtorch engine.

use rushes::cli;
use rushes::registry::Registry;
use rushes_torch::Torch;

fn main() -> std::process::ExitCode {
    cli::main_with(Registry::standard().engine(&Torch))
}

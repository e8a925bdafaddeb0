//! `rushes-torch`: `rushes` with the libtorch engine.

fn main() -> std::process::ExitCode {
    rushes_torch::register();
    rushes::cli::main()
}

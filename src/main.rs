//! The `rushes` program; see [`rushes::cli`].

fn main() -> std::process::ExitCode {
    rushes::cli::main()
}

//! `rushes completions SHELL`: what a shell needs to complete our command line.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use crate::console;
use crate::exit::Exit;

/// Print a script that completes commands and options: `source <(rushes completions bash)`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Whose script.
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Fails if standard output does.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "rushes", &mut script);
    console::print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Success)
}

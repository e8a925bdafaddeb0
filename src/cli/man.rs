//! `rushes man DIR`: manual pages.

use std::path::PathBuf;

use clap::CommandFactory as _;

use super::Cli;
use crate::exit::Exit;

/// Arguments of `rushes man`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// An existing folder for `rushes.1`, `rushes-run.1` and the others.
    folder: PathBuf,
}

/// Writes the pages.
///
/// # Errors
/// Fails if one cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    clap_mangen::generate_to(Cli::command(), &args.folder)?;
    Ok(Exit::Success)
}

//! `rushes serve`: runs in a browser, as they go on.

use std::path::PathBuf;

use crate::exit::Exit;
use crate::{console, serve};

/// Show the runs of an output folder in a browser, live: an index, reports, comparisons.
///
/// Answers this machine only, reads and changes nothing. Ends with Ctrl-C or SIGTERM.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The folder that runs were written to.
    #[arg(default_value = "output", value_name = "OUTPUT")]
    output: PathBuf,
    /// The port to listen on; 0 for any free one.
    #[arg(long, default_value_t = 7878)]
    port: u16,
}

/// Serves until it is asked to end.
///
/// # Errors
/// Fails if there is no such folder, or the port is taken.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    serve::serve(&args.output, args.port, |address| {
        console::print(format_args!("http://{address}/"))
    })?;
    Ok(Exit::Success)
}

//! `rushes report`: writes the report of a run again, or one that compares several.

use std::path::PathBuf;

use clap::Args;

use crate::exit::Exit;
use crate::report::{self, Options};
use crate::store::RunDir;

/// Write the report of a run again, or one that compares several.
#[derive(Args)]
pub(super) struct ReportArgs {
    /// Run directories, for example `output/cartpole/latest`.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Put the videos into the page, so that it is a single file.
    #[arg(long)]
    standalone: bool,
    /// The agent that the others are held against, for example `ppo`; the first one that learns by default. Of several
    /// runs, that of the first run; `ppo · LABEL` is that of another.
    #[arg(long, value_name = "AGENT")]
    base: Option<String>,
    /// Where to write; `index.html` in the run's directory by default, `comparison.html` in the last one's
    /// for several runs.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the subcommand.
///
/// # Errors
/// Fails if nothing of a run can be read, or the report cannot be written.
pub(super) fn run(args: ReportArgs) -> anyhow::Result<Exit> {
    let runs =
        args.runs.iter().map(|path| RunDir::open(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let options = Options { output: args.output, standalone: args.standalone, base: args.base };
    let page = report::render(&runs, &options)?;
    super::print_written(&page, page.display())?;
    Ok(Exit::Success)
}

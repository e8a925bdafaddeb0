//! `rushes export RUN`: a run for other programs.

use std::path::PathBuf;

use crate::console;
use crate::exit::Exit;
use crate::export::{csv, tensorboard};
use crate::store::RunDir;

/// Arguments of `rushes export`.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("format").required(true).multiple(true))]
pub(super) struct Args {
    /// The run's directory, for example `output/cartpole/latest`.
    run: PathBuf,
    /// Write TensorBoard event files, a folder for each trial.
    #[arg(long, value_name = "DIR", group = "format")]
    tensorboard: Option<PathBuf>,
    /// Write results.csv, episodes.csv, evaluations.csv and updates.csv.
    #[arg(long, value_name = "DIR", group = "format")]
    csv: Option<PathBuf>,
}

/// Writes the files and prints where they are.
///
/// # Errors
/// Fails if the run cannot be read or a file cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let run = RunDir::open(&args.run)?;
    let mut left_out = 0;
    if let Some(folder) = &args.tensorboard {
        left_out = tensorboard::export(&run, folder)?;
        console::print(folder.display())?;
    }
    if let Some(folder) = &args.csv {
        left_out = csv::export(&run, folder)?;
        console::print(folder.display())?;
    }
    if left_out > 0 {
        console::message(format_args!(
            "note: {left_out} trials without a readable result were left out"
        ));
    }
    Ok(Exit::Success)
}

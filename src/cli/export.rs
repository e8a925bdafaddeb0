//! `rushes export RUN`: a run for other programs.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::exit::Exit;
use crate::export::{csv, hub, onnx, tensorboard};
use crate::report::NamedTable;
use crate::results::SavedAgent;
use crate::store::RunDir;
use crate::{console, report, results, store};

/// Arguments of `rushes export`.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("format").required(true).multiple(true))]
pub(super) struct Args {
    /// The run's directory, for example `output/cartpole/latest`; several for tables that compare them.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Write TensorBoard event files, a folder for each trial.
    #[arg(long, value_name = "DIR", group = "format")]
    tensorboard: Option<PathBuf>,
    /// Write results.csv, episodes.csv, evaluations.csv and updates.csv.
    #[arg(long, value_name = "DIR", group = "format")]
    csv: Option<PathBuf>,
    /// Write every table of the report as NAME.tex, for LaTeX with the package booktabs.
    #[arg(long, value_name = "DIR", group = "format")]
    latex: Option<PathBuf>,
    /// Write every table of the report as NAME.md.
    #[arg(long, value_name = "DIR", group = "format")]
    markdown: Option<PathBuf>,
    /// Write the policy as an ONNX model, from observations to greedy actions.
    #[arg(long, value_name = "FILE", group = "format")]
    onnx: Option<PathBuf>,
    /// Write a folder that a model hub takes: a model card with results in Hugging Face's metadata, the policy (as ONNX
    /// too), its settings and replay.mp4.
    #[arg(long, value_name = "DIR", group = "format")]
    hub: Option<PathBuf>,
    /// Of policies: the agent, or AGENT/SEED; by default the only one that learns, and its first seed.
    #[arg(long)]
    agent: Option<String>,
    /// Of tables: the agent that the others are held against, as for `rushes report`.
    #[arg(long, value_name = "AGENT")]
    base: Option<String>,
}

/// Writes the files and prints where they are.
///
/// # Errors
/// Fails if a run cannot be read or a file cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let runs = args.runs.iter().map(|run| RunDir::open(run)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut left_out = 0;
    if let Some(folder) = &args.tensorboard {
        left_out = tensorboard::export(only(&runs, "--tensorboard")?, folder)?;
        console::print(folder.display())?;
    }
    if let Some(folder) = &args.csv {
        left_out = csv::export(only(&runs, "--csv")?, folder)?;
        console::print(folder.display())?;
    }
    if args.latex.is_some() || args.markdown.is_some() {
        let tables = report::tables(&runs, args.base.clone())?;
        if let Some(folder) = &args.latex {
            write(&tables, folder, "tex", NamedTable::latex)?;
        }
        if let Some(folder) = &args.markdown {
            write(&tables, folder, "md", NamedTable::markdown)?;
        }
    }
    if let Some(file) = &args.onnx {
        let run = only(&runs, "--onnx")?;
        let trial = results::trial_of(run, args.agent.as_deref())?;
        onnx::export(&SavedAgent::open(trial.path(), None)?, file)?;
        super::print_written(file, file.display())?;
    }
    if let Some(folder) = &args.hub {
        hub::export(only(&runs, "--hub")?, args.agent.as_deref(), folder)?;
        console::print(folder.display())?;
    }
    if left_out > 0 {
        console::message(format_args!(
            "note: {left_out} trials without a readable result were left out"
        ));
    }
    Ok(Exit::Success)
}

/// The run of a format that is of one.
fn only<'a>(runs: &'a [RunDir], format: &str) -> anyhow::Result<&'a RunDir> {
    match runs {
        [only] => Ok(only),
        _ => anyhow::bail!("{format} writes one run, not {}", runs.len()),
    }
}

/// Writes a file for each table.
fn write(
    tables: &[NamedTable],
    folder: &Path,
    extension: &str,
    text: fn(&NamedTable) -> String,
) -> anyhow::Result<()> {
    anyhow::ensure!(!tables.is_empty(), "the report has no table yet; nothing was written");
    fs_err::create_dir_all(folder).context("failed to create the tables' folder")?;
    for table in tables {
        let path = folder.join(&table.name).with_extension(extension);
        store::write_atomically(&path, text(table).as_bytes())?;
    }
    console::print(folder.display())
}

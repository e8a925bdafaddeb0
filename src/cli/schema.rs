//! `rushes schema`: the JSON Schema of experiment files, and the same as prose.

use super::reference::reference;
use crate::console;
use crate::env;
use crate::exit::Exit;
use crate::validation::schema;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Print a reference of every field as Markdown instead
    #[arg(long)]
    markdown: bool,
}

/// Prints the schema.
///
/// # Errors
/// None that is expected.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let schema = schema();
    if args.markdown {
        console::print(reference(&schema, env::all().iter().map(AsRef::as_ref)).trim_end())?;
    } else {
        console::print(serde_json::to_string_pretty(&schema)?)?;
    }
    Ok(Exit::Success)
}

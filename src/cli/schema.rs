//! `rushes schema`: the JSON Schema of experiment files.

use crate::console;
use crate::exit::Exit;
use crate::validation::schema;

/// Prints the schema.
///
/// # Errors
/// None that is expected.
pub(super) fn run() -> anyhow::Result<Exit> {
    console::print(serde_json::to_string_pretty(&schema())?)?;
    Ok(Exit::Success)
}

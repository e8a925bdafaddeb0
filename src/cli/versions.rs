//! `rushes versions`: the versions of what decides the numbers, as JSON.

use crate::exit::Exit;
use crate::{console, provenance};

/// Prints them.
///
/// # Errors
/// None that is expected.
pub(super) fn run() -> anyhow::Result<Exit> {
    console::print(serde_json::to_string(&provenance::versions())?)?;
    Ok(Exit::Success)
}

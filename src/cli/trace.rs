//! `rushes trace`: replay recorded trajectories, print them or verify them.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::console::{self, Output};
use crate::env::trace::{Difference, Recording, compare};
use crate::exit::Exit;

/// Replay recorded trajectories of environments.
///
/// Reads files with an environment's id, options, seeds and actions, replays them, and prints one JSON
/// line a trajectory. With --verify it prints how far each field is from the recorded values instead.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Files with recorded trajectories (JSON).
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Compare with the recorded values; exits 1 when one differs by more than the tolerance.
    #[arg(long)]
    verify: bool,
    /// The largest difference that --verify accepts. Flags and random streams must always be equal.
    #[arg(long, default_value_t = 0.0, value_parser = tolerance, requires = "verify")]
    tolerance: f64,
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value >= 0.0 && value.is_finite() => Ok(value),
        _ => Err("expected a number of at least 0".to_owned()),
    }
}

/// Runs the subcommand.
///
/// # Errors
/// Broken files, unknown environments, actions outside the space; each names the file and the field.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut equal = true;
    for file in &args.files {
        let recording = Recording::read(file)?;
        let name = || file.display().to_string();
        if args.verify {
            let (text, ok) = verify(file, &recording, args.tolerance).with_context(name)?;
            console::print(text)?;
            equal &= ok;
        } else {
            let mut out = Output::new();
            for index in 0..recording.trajectories.len() {
                let replayed = recording.replay(index).with_context(name)?;
                serde_json::to_writer(&mut out, &replayed).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            out.flush()?;
        }
    }
    Ok(if equal { Exit::Success } else { Exit::Failed })
}

/// The largest difference of each field as text, and whether all are within the tolerance.
fn verify(file: &Path, recording: &Recording, tolerance: f64) -> anyhow::Result<(String, bool)> {
    let mut text = String::new();
    let mut worst: Vec<Difference> = Vec::new();
    for (index, recorded) in recording.trajectories.iter().enumerate() {
        let place = || format!("trajectories[{index}]");
        let differences = compare(recorded, &recording.replay(index)?).with_context(place)?;
        for mut difference in differences {
            if !difference.place.is_empty() {
                difference.place = format!("{}.{}", place(), difference.place);
            }
            match worst.iter_mut().find(|known| known.field == difference.field) {
                Some(known) if known.largest >= difference.largest => {}
                Some(known) => *known = difference,
                None => worst.push(difference),
            }
        }
    }
    let steps: usize = recording.trajectories.iter().map(|t| t.actions.len()).sum();
    let ok = !worst.iter().any(|difference| difference.exceeds(tolerance));
    let verdict = if ok { "ok" } else { "DIFFERS" };
    let trajectories = recording.trajectories.len();
    writeln!(
        text,
        "{}: {verdict} ({}, {trajectories} trajectories, {steps} steps)",
        file.display(),
        recording.env_id
    )?;
    for difference in &worst {
        let mark = if difference.exceeds(tolerance) { '!' } else { ' ' };
        let Difference { field, largest, place, .. } = difference;
        if *largest == 0.0 {
            writeln!(text, "{mark} {field:<18} equal")?;
        } else {
            writeln!(text, "{mark} {field:<18} {largest:<8.1e}  {place}")?;
        }
    }
    Ok((text, ok))
}

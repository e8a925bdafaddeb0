//! Runs made of what other programs leave: Stable-Baselines3, CleanRL, RLlib, Weights & Biases and plain tables.
//!
//! ```text
//! paths ──reading, sources─▶ Piece ──naming, layout─▶ group ──gathering─▶ Training ──scoring─▶ Found ──write─▶ run directory
//! ```
//!
//! All before `write` is shown, and done with, before anything is written. What comes out is a run directory as any other, so
//! that report, comparison, gate, history and exports know nothing of where it came from. What the files do not tell is left
//! out of it.

use std::path::Path;

mod films;
mod gathering;
mod layout;
mod left_out;
mod naming;
mod reading;
mod scoring;
mod sources;
mod training;
mod write;

pub use training::Training;
pub use write::write;

use layout::Layout;
use naming::Said;
use reading::{Files, name_of};
use sources::Wanted;

/// What is to be imported.
#[derive(Debug, Default)]
pub struct Request {
    /// Folders, files or patterns over paths: `logs/{agent}/{seed}`.
    pub paths: Vec<String>,
    /// What the agent is called, whatever the paths say.
    pub agent: Option<String>,
    /// The environment's id, whatever paths and files say.
    pub environment: Option<String>,
    /// The scalar or column that the returns are taken of.
    pub scalar: Option<String>,
    /// Whether these returns are of evaluations.
    pub as_evaluations: bool,
    /// How many of the last training returns are the final score where there is no evaluation.
    pub last: Option<usize>,
}

/// What was found, before anything is written.
#[derive(Debug)]
pub struct Found {
    /// What the run is called by default: the folder's name.
    pub name: String,
    /// The trainings, by environment, agent and seed.
    pub trainings: Vec<Training>,
    /// What a person should know: files that are left out, and why.
    pub notes: Vec<String>,
}

/// Looks for trainings and reads them.
///
/// # Errors
/// Fails, naming the file, if one is not what its name says; if nothing is found; or if it cannot be told which training
/// a file belongs to.
pub fn find(request: &Request) -> anyhow::Result<Found> {
    let wanted =
        Wanted { scalar: request.scalar.as_deref(), as_evaluations: request.as_evaluations };
    let mut files = Files::default();
    for written in &request.paths {
        files.look(written, wanted)?;
    }
    let Files { pieces, films, mut left_out, .. } = files;
    let has_scalars = pieces.iter().any(|piece| piece.kind.has_scalars());
    let mut notes = Vec::new();
    let said =
        Said { agent: request.agent.as_deref(), environment: request.environment.as_deref() };
    let mut trainings = Vec::new();
    for (labels, pieces) in naming::group(pieces, said, &mut notes)? {
        trainings.extend(gathering::training(labels, pieces, &mut notes, &mut left_out)?);
    }
    let looked = || request.paths.join(", ");
    anyhow::ensure!(
        !trainings.is_empty(),
        "{}: no returns were found; expected monitor.csv, evaluations.npz, TensorBoard's event files, result.json, or CSV, \
         JSON lines or Parquet with the columns step and return (`--scalar` names another){}",
        looked(),
        left_out.notes().map(|note| format!("\n  {note}")).collect::<String>()
    );
    anyhow::ensure!(
        has_scalars || (request.scalar.is_none() && !request.as_evaluations),
        "{}: there is no table and no event file of TensorBoard, so that --scalar and --as-evaluations have no effect",
        looked()
    );
    gathering::drop_copies(&mut trainings, &mut left_out);
    let guessed = trainings.iter().map(|one| (one.agent.as_str(), one.seed, &one.numbered));
    notes.extend(naming::guesses(guessed));
    scoring::choose(&mut trainings, request.last, &mut notes)?;
    films::attach(films, &mut trainings, &mut left_out);
    notes.extend(left_out.notes());
    Ok(Found { name: common_name(&request.paths)?, trainings, notes })
}

/// The name of what was named, or of the folder around all of it.
fn common_name(paths: &[String]) -> anyhow::Result<String> {
    let roots: Vec<&Path> = (paths.iter())
        .map(|written| Layout::parse(written).map(|(root, _)| root))
        .collect::<anyhow::Result<_>>()?;
    let [first, others @ ..] = &roots[..] else { return Ok("imported".to_owned()) };
    if others.is_empty() {
        return Ok(name_of(first));
    }
    let mut wholes = roots.iter().map(std::path::absolute);
    let mut common = wholes.next().transpose()?.unwrap_or_default();
    for whole in wholes {
        let whole = whole?;
        while !whole.starts_with(&common) && common.pop() {}
    }
    Ok(name_of(&common))
}

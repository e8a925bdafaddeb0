//! The report: reads run directories, writes `index.html`.
//!
//! ```text
//! run directory ──results──▶ RunData ──model──▶ Report ──sections──▶ Blocks ──templates/──▶ index.html
//! history, baseline ──────────▶ Past ───┘
//! ```
//! Nothing of a run is changed, and nothing outside the page is needed to look at it: styles
//! and the script are in it, charts are SVG, videos lie beside it (or inside, with
//! [`Options::standalone`]). While a run goes on, [`while_running`] writes its page again and again, and a page that is
//! open takes over what has changed. A new section is one file in `sections/` and one line in its table.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err as fs;
use indexmap::IndexSet;

use self::model::Report;
use self::past::Past;
use crate::env;
use crate::results::RunData;
use crate::store::{self, RunDir};

mod block;
mod chart;
mod conclusion;
mod differing;
mod live;
mod model;
mod page;
mod past;
mod player;
mod plot;
mod sections;
mod status;
mod tables;
pub mod template;

pub use live::while_running;

pub use conclusion::{AgentConclusion, Conclusion};
pub use tables::NamedTable;

/// How a report is written.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where to; `index.html` in the run's directory, or `comparison.html` in the last one's, by default.
    pub output: Option<PathBuf>,
    /// Put the videos into the page, so that it is a single file.
    pub standalone: bool,
    /// The agent that the others are held against, by its name, or by its name and its run's; the first one that learns
    /// by default.
    pub base: Option<String>,
}

/// Writes the report of one run, or one that compares several. Returns the path of the page.
///
/// # Errors
/// Fails if nothing of a run can be read, or a file cannot be written. Parts of a run that are missing or
/// damaged are no error: the page says so.
pub fn render(runs: &[RunDir], options: &Options) -> anyhow::Result<PathBuf> {
    let last = runs.last().context("expected at least one run")?;
    let output = match &options.output {
        Some(path) => path.clone(),
        None if runs.len() == 1 => last.report(),
        None => last.path().join("comparison.html"),
    };
    let folder = match output.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).context("failed to create the report's directory")?;
    let folder = fs::canonicalize(folder)?;
    let page = page::render(&read(runs, folder, options)?)?;
    // No link in a run's directory is followed out of it, those that somebody names are.
    let write = options
        .output
        .as_ref()
        .map_or(store::write_atomically as fn(_, _) -> _, |_| store::write_output);
    write(&output, page.as_bytes())?;
    Ok(output)
}

/// Writes the report of one run that has ended, as [`render`] does, and says what the run came to.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn conclude(run: RunData) -> anyhow::Result<(PathBuf, Conclusion)> {
    let output = run.dir.report();
    let folder = fs::canonicalize(run.dir.path())?;
    let past = [Past::read(&run)].into();
    let report = Report::new(vec![run], past, folder, false)?;
    store::write_atomically(&output, page::render(&report)?.as_bytes())?;
    Ok((output, Conclusion::of(&report)))
}

/// The page of one run, or one that compares several, to lie in `folder`, an absolute path: links on it are relative to
/// that.
///
/// # Errors
/// Fails if nothing of a run can be read.
pub fn page(runs: &[RunDir], folder: &Path) -> anyhow::Result<String> {
    page::render(&read(runs, folder.to_owned(), &Options::default())?)
}

/// Every table of the report of one run, or of one that compares several.
///
/// # Errors
/// Fails if nothing of a run can be read.
pub fn tables(runs: &[RunDir], base: Option<String>) -> anyhow::Result<Vec<NamedTable>> {
    let options = Options { base, ..Options::default() };
    tables::of(&read(runs, std::env::current_dir()?, &options)?)
}

fn read(runs: &[RunDir], folder: PathBuf, options: &Options) -> anyhow::Result<Report> {
    let runs = runs.iter().map(RunData::read).collect::<anyhow::Result<Vec<_>>>()?;
    let past = match &runs[..] {
        [only] => [Past::read(only)].into(),
        // Runs side by side are held against one another.
        several => several.iter().map(|_| Past::default()).collect(),
    };
    let mut report = Report::new(runs, past, folder, options.standalone)?;
    if let Some(base) = &options.base {
        let known: IndexSet<&str> =
            report.series.iter().flat_map(|series| [&*series.name, &*series.label]).collect();
        anyhow::ensure!(
            known.contains(&**base),
            "--base: there is no agent `{base}`; expected one of {}",
            env::names::list(&known.into_iter().collect::<Vec<_>>())
        );
        report.base = Some(base.clone());
    }
    Ok(report)
}

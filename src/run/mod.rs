//! A run's life: started or resumed, its trials handed to a runner, closed and remembered.
//!
//! ```text
//! start ─┐                     ┌─ run.json: how it ended
//!        ├─▶ Run ──execute──▶ close ─ summary.json, best.json
//! resume ┘   (its lease taken)          └─ history.sqlite
//! ```

use std::path::Path;

use anyhow::Context as _;
use fs_err as fs;
use indexmap::IndexMap;

use crate::experiment::{Override, Plan};
use crate::history::History;
use crate::lease::Lease;
use crate::provenance;
use crate::record::FORMAT_VERSION;
use crate::record::{RunInfo, RunStatus};
use crate::regression;
use crate::results::{RunData, RunReader, Summary};
use crate::runner::{Observer, Runner};
use crate::search::{self, Ending, Tally};
use crate::store::{NewerFormat, RunDir};

mod changes;
mod merge;
mod quick;

pub use merge::{Merged, merge};
pub use quick::quick;

/// A run that this process works on.
pub struct Run {
    dir: RunDir,
    plan: Plan,
    /// What changed since the run was started.
    changes: Vec<String>,
    /// What could not be done and costs no run.
    warnings: Vec<String>,
    _lease: Lease,
}

/// Where a run comes from, for the record.
pub struct Circumstances<'a> {
    /// The experiment file, or the plan that it became.
    pub file: &'a Path,
    /// What was changed in it first.
    pub overrides: &'a [Override],
    /// What the user calls the run; a run that is resumed keeps its own where this is nothing.
    pub label: Option<String>,
    /// How many trials run at a time.
    pub jobs: usize,
    /// Versions of what decides the numbers.
    pub versions: IndexMap<String, String>,
    /// The signature of the commands that the run starts.
    pub signature: Option<String>,
}

impl Circumstances<'_> {
    /// The overrides as written, after those of the run's start: together they make the plan. An experiment file is
    /// given with all of them.
    fn overrides_after(&self, dir: &RunDir, mut before: Vec<String>) -> Vec<String> {
        if self.file != dir.plan_path() {
            before.clear();
        }
        before.extend(self.overrides.iter().map(|change| change.as_written().to_owned()));
        before
    }

    /// What `run.json` says while the run goes on.
    fn info(self, dir: &RunDir, started: jiff::Timestamp) -> RunInfo {
        let overrides = self.overrides_after(dir, Vec::new());
        RunInfo {
            format_version: FORMAT_VERSION,
            run: dir.name(),
            label: self.label,
            status: RunStatus::Running,
            started,
            finished: None,
            command: std::env::args_os().map(|part| part.to_string_lossy().into_owned()).collect(),
            experiment_file: self.file.display().to_string(),
            overrides,
            jobs: self.jobs,
            versions: self.versions,
            // A run directory that is gone on with may come from elsewhere, with a repository around it.
            git: (self.file != dir.plan_path())
                .then(|| provenance::git(self.file.parent().unwrap_or(Path::new("."))))
                .flatten(),
            machine: provenance::machine(),
            signature: self.signature,
        }
    }
}

impl Run {
    /// Makes the directory of a new run below `output` and writes down what is about to happen.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    pub fn start(output: &Path, plan: Plan, from: Circumstances<'_>) -> anyhow::Result<Self> {
        let dir = RunDir::create(output, &plan.experiment.name)?;
        let folder = from.file.parent().unwrap_or(Path::new("."));
        if let Err(error) = dir.take_initial_policies(&plan, folder) {
            // It has nothing yet.
            let _ = fs::remove_dir_all(dir.path());
            return Err(error);
        }
        dir.write_plan(&plan)?;
        dir.write_info(&from.info(&dir, jiff::Timestamp::now()))?;
        let mut run = Self::taken(dir, plan)?;
        run.warnings.extend(run.dir.mark_latest().err().map(|error| format!("{error:#}")));
        Ok(run)
    }

    /// Opens a run to go on with, which has to be one of the same experiment but for longer schedules
    /// ([`Run::changes`]). A `run.json` that cannot be read is written anew, as if the run had been started under the
    /// circumstances `from`.
    ///
    /// # Errors
    /// Fails if it is another experiment's, another process works on it, or a file cannot be written.
    pub fn resume(dir: RunDir, plan: Plan, from: Circumstances<'_>) -> anyhow::Result<Self> {
        let changes = changes::on_resume(&dir.plan()?.experiment, &plan.experiment)
            .with_context(|| format!("failed to resume {}", dir.path().display()))?;
        let mut run = Self::taken(dir, plan)?;
        if !changes.is_empty() {
            run.dir.write_plan(&run.plan)?;
        }
        run.changes = changes;
        let info = match run.dir.info() {
            // What an earlier attempt came to counts no longer.
            Ok(info) => RunInfo {
                status: RunStatus::Running,
                finished: None,
                overrides: from.overrides_after(&run.dir, info.overrides),
                label: from.label.or(info.label),
                signature: from.signature,
                ..info
            },
            Err(error) if error.is::<NewerFormat>() => return Err(error),
            Err(error) => {
                let warning =
                    format!("run.json is written anew, as it could not be read: {error:#}");
                run.warnings.push(warning);
                from.info(&run.dir, run.dir.planned()?)
            }
        };
        run.dir.write_info(&info)?;
        Ok(run)
    }

    fn taken(dir: RunDir, plan: Plan) -> anyhow::Result<Self> {
        let lease = dir.take()?;
        Ok(Self { dir, plan, changes: Vec::new(), warnings: Vec::new(), _lease: lease })
    }

    /// Its directory.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// What a resume changed, for people, and what follows from it.
    pub fn changes(&self) -> &[String] {
        &self.changes
    }

    /// Its trials, as far as they are decided.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs every trial that is not over, in the rounds of the search where there is one, or with as many seeds as the gate
    /// needs where the plan leaves that to it.
    ///
    /// # Errors
    /// Fails if a run's files cannot be read or written. Trials that fail are no error here.
    pub fn execute(
        &mut self,
        runner: &dyn Runner,
        observer: &dyn Observer,
    ) -> anyhow::Result<Tally> {
        let dir = &self.dir;
        search::run(dir, runner, observer, &mut self.plan, &|| regression::has_answer(dir))
    }

    /// Writes down how the run ended and, where it was not interrupted, what it came to, and records it in the history
    /// if all trials are over. `reader` may have read some of it.
    ///
    /// # Errors
    /// Fails if a file of the run cannot be read or written.
    pub fn close(&mut self, tally: Tally, mut reader: RunReader) -> anyhow::Result<Closed> {
        let mut info = self.dir.info()?;
        info.status = match tally.ending {
            Ending::Finished => RunStatus::Finished,
            Ending::Stopped => RunStatus::Stopped,
            Ending::Interrupted | Ending::Undecided => RunStatus::Interrupted,
        };
        info.finished = Some(jiff::Timestamp::now());
        self.dir.write_info(&info)?;
        let results = reader.read()?;
        if matches!(tally.ending, Ending::Finished | Ending::Stopped) {
            results.write()?;
            // Its returns are those of shorter trainings, or of fewer trials, than the history's others.
            if tally.ending != Ending::Stopped && self.plan.shard.is_none() {
                self.warnings.extend(not_recorded(&self.dir, &results.summary));
            }
        }
        Ok(Closed { results, warnings: std::mem::take(&mut self.warnings) })
    }
}

/// A run that is over, or interrupted.
pub struct Closed {
    /// What it came to.
    pub results: RunData,
    /// What could not be done beside the run itself: it costs no run.
    pub warnings: Vec<String>,
}

/// Closes a run whose trials were all over when it was made: `latest`, its summary, the history.
///
/// # Errors
/// Fails if a file of the run cannot be read or written.
pub fn close_whole(dir: &RunDir) -> anyhow::Result<Closed> {
    let results = RunData::read(dir)?;
    results.write()?;
    let latest = dir.mark_latest().err().map(|error| format!("{error:#}"));
    let warnings = latest.into_iter().chain(not_recorded(dir, &results.summary)).collect();
    Ok(Closed { results, warnings })
}

/// Records a run in the history of its output directory; why it is not there, where it cannot.
fn not_recorded(dir: &RunDir, summary: &Summary) -> Option<String> {
    let recorded = History::open(&dir.output()).and_then(|mut history| history.record(summary));
    recorded.err().map(|error| format!("this run is not in the history: {error:#}"))
}

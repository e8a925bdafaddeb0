//! A run's life: started or resumed, its trials handed to a runner, closed and remembered.
//!
//! ```text
//! start ─┐                     ┌─ run.json: how it ended
//!        ├─▶ Run ──execute──▶ close ─ summary.json, best.json
//! resume ┘   (locked)          └─ history.sqlite
//! ```

use std::fs::File;
use std::path::Path;

use indexmap::IndexMap;

use crate::experiment::{Override, Plan};
use crate::history::History;
use crate::provenance;
use crate::record::FORMAT_VERSION;
use crate::record::{RunInfo, RunStatus};
use crate::results::RunData;
use crate::runner::{Observer, Runner};
use crate::search::{self, Ending, Tally};
use crate::store::RunDir;

mod quick;

pub use quick::quick;

/// A run that this process works on.
pub struct Run {
    dir: RunDir,
    plan: Plan,
    /// What could not be done and costs no run.
    warnings: Vec<String>,
    _lock: File,
}

/// Where a run comes from, for the record.
pub struct Circumstances<'a> {
    /// The experiment file, or the plan that it became.
    pub file: &'a Path,
    /// What was changed in it first.
    pub overrides: &'a [Override],
    /// How many trials run at a time.
    pub jobs: usize,
    /// Versions of what decides the numbers.
    pub versions: IndexMap<String, String>,
    /// The signature of the commands that the run starts.
    pub signature: Option<String>,
}

impl Circumstances<'_> {
    /// What `run.json` says while the run goes on.
    fn info(self, dir: &RunDir, started: jiff::Timestamp) -> RunInfo {
        RunInfo {
            format_version: FORMAT_VERSION,
            run: dir.name(),
            status: RunStatus::Running,
            started,
            finished: None,
            command: std::env::args_os().map(|part| part.to_string_lossy().into_owned()).collect(),
            experiment_file: self.file.display().to_string(),
            overrides: self.overrides.iter().map(|change| change.as_written().to_owned()).collect(),
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
        dir.write_plan(&plan)?;
        dir.write_info(&from.info(&dir, jiff::Timestamp::now()))?;
        let mut run = Self::locked(dir, plan)?;
        run.warnings.extend(run.dir.mark_latest().err().map(|error| format!("{error:#}")));
        Ok(run)
    }

    /// Opens a run to go on with, which has to be one of the same experiment. A `run.json` that cannot be read is
    /// written anew, as if the run had been started under the circumstances `from`.
    ///
    /// # Errors
    /// Fails if it is another experiment's, another process works on it, or a file cannot be written.
    pub fn resume(path: &Path, plan: Plan, from: Circumstances<'_>) -> anyhow::Result<Self> {
        let dir = RunDir::open(path)?;
        anyhow::ensure!(
            dir.plan()?.experiment == plan.experiment,
            "{} was started with other settings; resume it with the experiment file and --set options that it \
             was started with, or start a new run",
            dir.path().display()
        );
        let mut run = Self::locked(dir, plan)?;
        let info = match run.dir.info() {
            // What an earlier attempt came to counts no longer.
            Ok(info) => RunInfo {
                status: RunStatus::Running,
                finished: None,
                signature: from.signature,
                ..info
            },
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

    fn locked(dir: RunDir, plan: Plan) -> anyhow::Result<Self> {
        let lock = dir.lock()?;
        Ok(Self { dir, plan, warnings: Vec::new(), _lock: lock })
    }

    /// Its directory.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// Its trials, as far as they are decided.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs every trial that is not over, in the rounds of the search where there is one.
    ///
    /// # Errors
    /// Fails if a run's files cannot be read or written. Trials that fail are no error here.
    pub fn execute(
        &mut self,
        runner: &dyn Runner,
        observer: &dyn Observer,
    ) -> anyhow::Result<Tally> {
        search::run(&self.dir, runner, observer, &mut self.plan)
    }

    /// Writes down how the run ended and, where all trials are over, what it came to, and records it in the
    /// history. Gives what could not be done beside the run itself: it costs no run.
    ///
    /// # Errors
    /// Fails if a file of the run cannot be written.
    pub fn close(&mut self, tally: Tally) -> anyhow::Result<Vec<String>> {
        let mut info = self.dir.info()?;
        info.status = match tally.ending {
            Ending::Finished => RunStatus::Finished,
            Ending::Interrupted | Ending::Undecided => RunStatus::Interrupted,
        };
        info.finished = Some(jiff::Timestamp::now());
        self.dir.write_info(&info)?;
        if tally.ending != Ending::Finished {
            return Ok(std::mem::take(&mut self.warnings));
        }
        let results = RunData::read(&self.dir)?;
        results.write()?;
        let recorded = History::open(&self.dir.output())
            .and_then(|mut history| history.record(&results.summary));
        let failed = |error| format!("this run is not in the history: {error:#}");
        self.warnings.extend(recorded.err().map(failed));
        Ok(std::mem::take(&mut self.warnings))
    }
}

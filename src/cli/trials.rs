//! `rushes trials DIR…`: several trials of a run one after the other, started by an engine on another machine or by hand.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use crate::archive;
use crate::console;
use crate::exit::Exit;
use crate::experiment::{Plan, TrialPlan};
use crate::record::{Record, TrialResult};
use crate::runner::{Interrupt, Local, Observer, Request, TrialStatus, Turn};
use crate::store::{RunDir, TrialDir};

/// Run trials of a run one after the other, each in a process of its own: what an engine starts on other machines.
///
/// Exits 0 if all are over or paused, 1 if one failed, 143 if SIGTERM had it leave.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The trials' directories, each holding its `trial.json`.
    #[arg(required = true)]
    directories: Vec<PathBuf>,
    /// Pause each at a checkpoint after so many environment steps; a trial has no result then.
    #[arg(long, value_name = "STEPS")]
    pause_at: Option<u64>,
    /// Kill a trial after so many seconds and count it as failed.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// How long a trial may go on to its next checkpoint after SIGTERM, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0")]
    grace: Duration,
    /// Write into each trial's `attempt.json` how it stands, under this name.
    #[arg(long, value_name = "NAME")]
    attempt: Option<String>,
    /// Write each trial's directory into FOLDER as NAME-INDEX.zip when the trial is over or leaves.
    #[arg(long, value_name = "FOLDER", requires = "attempt")]
    archive: Option<PathBuf>,
}

fn seconds(written: &str) -> Result<Duration, String> {
    let seconds = written.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Runs the trials; failures of their own are written down as their results.
///
/// # Errors
/// Fails if a directory is no trial's, or a file of it cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let interrupt = Interrupt::watch_with_grace(args.grace, || {
        console::message("ending early: what runs is evaluated where it stands");
    })?;
    let mut failed = false;
    for (index, directory) in args.directories.iter().enumerate() {
        let dir = TrialDir::find(directory).with_context(|| {
            format!("{} is not a trial's directory: it has no trial.json", directory.display())
        })?;
        let run = RunDir::around(&dir)?;
        let runner = Local {
            run: &run,
            jobs: 1,
            timeout: args.timeout,
            interrupt: &interrupt,
            observer: &Told,
        };
        let status = runner.advance(Turn { trial: &dir.plan()?, pause_at: args.pause_at })?;
        if let Some(attempt) = &args.attempt {
            dir.write_attempt(attempt, status)?;
            if let Some(folder) = &args.archive {
                archive_trial(&dir, &folder.join(format!("{attempt}-{index}.zip")))?;
            }
        }
        match (status, interrupt.request()) {
            (TrialStatus::Interrupted, Some(Request::Abort(signal))) => {
                return Ok(Exit::Interrupted(signal));
            }
            (TrialStatus::Interrupted, _) => return Ok(Exit::LEFT),
            (status, _) => failed |= matches!(status, TrialStatus::Failed | TrialStatus::Died),
        }
    }
    Ok(if failed { Exit::Failed } else { Exit::Success })
}

/// Writes a trial's directory into a file, which appears when it is whole.
fn archive_trial(dir: &TrialDir, file: &Path) -> anyhow::Result<()> {
    let copy = tempfile::tempdir()?;
    dir.copy_to(&TrialDir::new(copy.path().to_owned()))?;
    let folder = file.parent().context("an archive lies in a folder")?;
    let archive = tempfile::NamedTempFile::new_in(folder)?;
    archive::pack(copy.path(), archive)?
        .persist(file)
        .with_context(|| format!("failed to write {}", file.display()))?;
    Ok(())
}

/// Tells in plain lines what begins and what ends.
struct Told;

impl Observer for Told {
    fn planned(&self, _: &Plan) {}

    fn started(&self, plan: &TrialPlan) {
        console::message(format_args!("{}: started", plan.id));
    }

    fn event(&self, _: &TrialPlan, _: &Record) {}

    fn ended(&self, plan: &TrialPlan, result: &TrialResult) {
        let how = result.outcome.error().unwrap_or("completed");
        console::message(format_args!("{}: {how}", plan.id));
    }

    fn stopped(&self, plan: &TrialPlan) {
        console::message(format_args!("{}: stopped", plan.id));
    }

    fn died(&self, plan: &TrialPlan, cause: &str) {
        console::message(format_args!("{}: {cause}", plan.id));
    }

    fn again(&self, _: &TrialPlan) {}

    fn note(&self, _: &str) {}
}

//! What the commands share that make a run of results that are there already: `rushes merge` and `rushes import`.

use std::path::PathBuf;

use super::{check, conclusion, run};
use crate::console;
use crate::exit::Exit;
use crate::regression::{self, Scores};
use crate::report;
use crate::run::Closed;

/// Where the run goes, and what it is checked against.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("verdict").args(["junit", "markdown"]).multiple(true).requires("check"))]
pub(super) struct Making {
    /// Where the run is written, as OUTPUT/EXPERIMENT/RUN.
    #[arg(long, default_value = "output", value_name = "DIR")]
    pub(super) output: PathBuf,
    /// Check the run against a baseline, or another run, print the verdict and put it into the report; the exit code is
    /// that of `rushes check`, unless trials failed.
    #[arg(long, value_name = "BASELINE")]
    check: Option<PathBuf>,
    #[command(flatten)]
    files: check::Files,
}

impl Making {
    /// The baseline of a run in the environment `task`, where it is to be checked: before anything is written.
    ///
    /// # Errors
    /// Fails if it cannot be read or compared with, or the verdict's files cannot be written.
    pub(super) fn baseline(&self, task: &str) -> anyhow::Result<Option<Scores>> {
        self.files.have_room()?;
        let baseline = self.check.as_deref().map(Scores::of_file_or_run).transpose()?;
        if let Some(baseline) = &baseline {
            regression::comparable(baseline, task)?;
        }
        Ok(baseline)
    }

    /// Reports on the run that was made, of which so many trials failed.
    ///
    /// # Errors
    /// Fails if a file of the run, or of the verdict, cannot be read or written.
    pub(super) fn conclude(
        &self,
        made: Closed,
        baseline: Option<&Scores>,
        failed: usize,
    ) -> anyhow::Result<Exit> {
        for warning in made.warnings {
            console::message(format_args!("warning: {warning}"));
        }
        let dir = made.results.dir.clone();
        if let Some(baseline) = baseline {
            baseline.write(&dir.baseline())?;
        }
        let next = run::next(None, &dir, &made.results.plan, failed == 0);
        let (report, conclusion) = report::conclude(made.results)?;
        console::styled(&conclusion::text(&conclusion, &next));
        let (verdict, exit) = self.files.verdict(self.check.as_deref(), &dir)?;
        console::print(format!("{}{verdict}", report.display()))?;
        Ok(if failed > 0 { Exit::Failed } else { exit })
    }
}

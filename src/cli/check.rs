//! `rushes check RUN --baseline FILE`: did the policies get worse?

use std::path::{Path, PathBuf};

use crate::console;
use crate::exit::Exit;
use crate::regression::{self, Decision, Scores, Verdict};
use crate::results;
use crate::store::{self, RunDir};

/// Arguments of `rushes check`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The run's directory, for example `output/cartpole/latest`.
    run: PathBuf,
    /// The baseline, written by `rushes baseline`.
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    #[command(flatten)]
    files: Files,
    /// Print the decision as JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// Files that a decision is written into.
#[derive(clap::Args)]
pub(super) struct Files {
    /// Write the verdict as JUnit XML too.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the verdict as Markdown too, for a comment or a step's summary.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

impl Files {
    /// The arguments that ask for them, for a command line that works in whatever folder.
    pub(super) fn words(&self) -> Vec<String> {
        let word = |name: &str, path: &PathBuf| {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            format!("--{name}={}", path.display())
        };
        let junit = self.junit.iter().map(|path| word("junit", path));
        junit.chain(self.markdown.iter().map(|path| word("markdown", path))).collect()
    }

    /// Checks that they can be written, before anything takes long.
    ///
    /// # Errors
    /// Fails if a folder is not there.
    pub(super) fn have_room(&self) -> anyhow::Result<()> {
        for path in self.junit.iter().chain(&self.markdown) {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            anyhow::ensure!(
                folder.is_none_or(Path::is_dir) && !path.is_dir(),
                "{} cannot be written: expected a file's name in a folder that is there",
                path.display()
            );
        }
        Ok(())
    }

    /// Writes those that were asked for.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    pub(super) fn write(&self, decision: &Decision) -> anyhow::Result<()> {
        if let Some(path) = &self.junit {
            store::write_atomically(path, regression::junit(decision)?.as_bytes())?;
        }
        if let Some(path) = &self.markdown {
            store::write_atomically(path, regression::markdown(decision).as_bytes())?;
        }
        Ok(())
    }
}

/// Prints the verdict: 0 held or improved, 1 regressed, 2 inconclusive.
///
/// # Errors
/// Fails if the run or the baseline cannot be read or compared, or a file cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let run = RunDir::open(&args.run)?;
    let baseline = Scores::read(&args.baseline)?;
    let decision = regression::decide_run(&baseline, &run, &results::summary(&run)?)?;
    args.files.write(&decision)?;
    if args.json {
        console::print(serde_json::to_string_pretty(&decision)?)?;
    } else {
        console::print(regression::text(&decision))?;
    }
    Ok(exit(decision.verdict))
}

/// The exit code that a verdict stands for.
pub(super) fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Held | Verdict::Improved => Exit::Success,
        Verdict::Regressed => Exit::Failed,
        Verdict::Inconclusive => Exit::Input,
    }
}

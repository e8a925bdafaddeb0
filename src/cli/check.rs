//! `rushes check RUN --baseline FILE`: did the policies get worse?

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::conclusion;
use crate::console;
use crate::exit::Exit;
use crate::experiment::{CheckSpec, Override, Question};
use crate::format;
use crate::regression::{self, Decision, Scores, Surroundings, Verdict};
use crate::results;
use crate::store::{self, RunDir};
use crate::validation;

/// Arguments of `rushes check`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The run's directory, for example `output/cartpole/latest`.
    run: PathBuf,
    /// The baseline, written by `rushes baseline`, or another run.
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// Ask whether the run learns the same as the baseline, neither worse nor better, whatever `check.question` says.
    #[arg(long)]
    same: bool,
    /// By how much it may differ and still be the same, as a fraction of the range, in place of `check.same_within`.
    #[arg(long, value_name = "SHARE", requires = "same", value_parser = share)]
    within: Option<f64>,
    /// Decide by another rule than the experiment's `check`, for example `check.drop=0.3` or `check.range=40`.
    #[arg(long = "set", value_name = "check.FIELD=VALUE")]
    overrides: Vec<Override>,
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
    /// Where the run's folder can be seen: the Markdown links its report and stills below this address, else by their
    /// paths from the Markdown's folder.
    #[arg(long, value_name = "URL", requires = "markdown")]
    run_url: Option<String>,
}

impl Files {
    /// The arguments that ask for them, for a command line that works in whatever folder.
    pub(super) fn words(&self) -> Vec<String> {
        let word = |name: &str, path: &PathBuf| {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            format!("--{name}={}", path.display())
        };
        let junit = self.junit.iter().map(|path| word("junit", path));
        let markdown = self.markdown.iter().map(|path| word("markdown", path));
        let url = self.run_url.iter().map(|url| format!("--run-url={url}"));
        junit.chain(markdown).chain(url).collect()
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

    /// Writes those that were asked for, of a decision about `run`; `again` are the arguments that come to it again.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    pub(super) fn write(
        &self,
        decision: &Decision,
        run: &RunDir,
        again: &[String],
    ) -> anyhow::Result<()> {
        if let Some(path) = &self.junit {
            store::write_output(path, regression::junit(decision)?.as_bytes())?;
        }
        if let Some(path) = &self.markdown {
            let address = |file: &Path| self.address(path, run, file);
            let surroundings = Surroundings {
                report: address(&run.report())?,
                command: format::shell_line(&[&["rushes".to_owned()], again].concat()),
                stills: stills(run)
                    .into_iter()
                    .map(|(agent, still)| Ok((agent, address(&still)?)))
                    .collect::<anyhow::Result<_>>()?,
            };
            let text = regression::markdown(decision, &surroundings);
            store::write_output(path, text.as_bytes())?;
        }
        Ok(())
    }

    /// Checks `run` against its baseline, where it has one, that came from `file`, and writes those that were asked for.
    /// Gives the verdict as lines below another one, and the exit code.
    ///
    /// # Errors
    /// Fails if the two cannot be read or compared, or a file cannot be written.
    pub(super) fn verdict(
        &self,
        file: Option<&Path>,
        run: &RunDir,
    ) -> anyhow::Result<(String, Exit)> {
        if !run.baseline().exists() {
            return Ok((String::new(), Exit::Success));
        }
        let baseline = Scores::read(&run.baseline())?;
        let decision = regression::decide_run(&baseline, run, &results::summary(run)?)?;
        let shown = conclusion::shown(run.path());
        // The run keeps a copy, should the file be elsewhere by now.
        let file = file.map_or_else(|| run.baseline(), Path::to_owned);
        let again = ["check".to_owned(), shown, "--baseline".into(), conclusion::shown(&file)];
        self.write(&decision, run, &again)?;
        Ok((format!("\n{}", regression::text(&decision)), exit(decision.verdict)))
    }

    /// The address of a file of `run` for whoever reads `markdown`.
    fn address(&self, markdown: &Path, run: &RunDir, file: &Path) -> anyhow::Result<String> {
        let folder = match &self.run_url {
            Some(_) => run.path().to_owned(),
            None => std::path::absolute(markdown)?.parent().map(Path::to_owned).unwrap_or_default(),
        };
        let file = std::path::absolute(file)?;
        let path = pathdiff::diff_paths(&file, std::path::absolute(folder)?).unwrap_or(file);
        let path = format::url_path(&path.to_string_lossy());
        Ok(match &self.run_url {
            Some(url) => format!("{}/{path}", url.trim_end_matches('/')),
            None => path,
        })
    }
}

/// The last take's still of each agent of `run`, of its first seed that was filmed; none where they cannot be read.
fn stills(run: &RunDir) -> IndexMap<String, PathBuf> {
    let mut stills = IndexMap::new();
    let trials = run.plan().map(|plan| plan.trials).unwrap_or_default();
    for trial in trials.into_iter().filter(|trial| trial.filmed) {
        let dir = run.trial(&trial.id);
        let last = dir.result().ok().and_then(|result| result.takes.last().cloned());
        if let Some(still) = last.map(|take| dir.file(&take.poster)).filter(|still| still.is_file())
        {
            stills.entry(trial.agent_name().into_owned()).or_insert(still);
        }
    }
    stills
}

fn share(written: &str) -> Result<f64, String> {
    match written.parse::<f64>() {
        Ok(share) if (0.001..=10.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0.001 to 10, such as 0.1 for a tenth of the range".into()),
    }
}

/// Prints the verdict: 0 held, improved or same, 1 regressed or different, 2 inconclusive.
///
/// # Errors
/// Fails if the run or the baseline cannot be read or compared, or a file cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let run = RunDir::open(&args.run)?;
    let baseline = Scores::of_file_or_run(&args.baseline)?;
    let change = |rule: &CheckSpec| {
        let rule = validation::rule(rule, &args.overrides)?;
        Ok(CheckSpec {
            question: if args.same { Question::Same } else { rule.question },
            same_within: args.within.unwrap_or(rule.same_within),
            ..rule
        })
    };
    let decision = regression::decide_run_by(&baseline, &run, &results::summary(&run)?, change)?;
    let (path, baseline) = (args.run.display(), args.baseline.display());
    let mut again =
        vec!["check".to_owned(), path.to_string(), "--baseline".into(), baseline.to_string()];
    again.extend(args.same.then(|| "--same".to_owned()));
    again.extend(args.within.map(|within| format!("--within={within}")));
    again.extend(args.overrides.iter().map(|change| format!("--set={}", change.as_written())));
    args.files.write(&decision, &run, &again)?;
    if args.json {
        console::print(serde_json::to_string_pretty(&decision)?)?;
    } else {
        console::print(regression::text(&decision))?;
    }
    Ok(exit(decision.verdict))
}

/// The exit code that a verdict stands for.
fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Held | Verdict::Improved | Verdict::Same => Exit::Success,
        Verdict::Regressed | Verdict::Different => Exit::Failed,
        Verdict::Inconclusive => Exit::Input,
    }
}

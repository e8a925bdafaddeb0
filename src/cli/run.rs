//! `rushes run FILE`: the main job, from an experiment file to a report.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;

use super::{check, engines};
use crate::exit::Exit;
use crate::experiment::Override;
use crate::regression::{self, Scores};
use crate::run::{Circumstances, Run, quick};
use crate::runner::{Display, Local};
use crate::trial::MemoryEstimate;
use crate::{console, provenance, report, results, search, validation, video};

/// Arguments of `rushes run`.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("verdict").args(["junit", "markdown"]).multiple(true).requires("check"))]
pub(super) struct Args {
    /// The experiment file.
    file: PathBuf,
    /// Where runs are written, as OUTPUT/EXPERIMENT/RUN.
    #[arg(long, default_value = "output", value_name = "DIR")]
    output: PathBuf,
    /// How many trials run at a time; as many as there are cores by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Change a field first, for example `agents.ppo.training.algorithm.discount=0.98`.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<Override>,
    /// Only see whether everything works: one seed, short training, few evaluation episodes.
    #[arg(long)]
    quick: bool,
    /// Go on with an interrupted run of this experiment: the latest one, or the given directory.
    #[arg(long, value_name = "RUN", num_args = 0..=1, require_equals = true)]
    resume: Option<Option<PathBuf>>,
    /// Check the run against a baseline in the end, print the verdict and put it into the report; the exit code is
    /// that of `rushes check`, unless trials failed.
    #[arg(long, value_name = "BASELINE")]
    check: Option<PathBuf>,
    #[command(flatten)]
    files: check::Files,
    /// Plain lines instead of progress bars, on a terminal too.
    #[arg(long)]
    plain: bool,
}

/// Runs the experiment and prints where its report is.
///
/// # Errors
/// Fails if the experiment or the baseline is wrong, nothing can be written, or no video can be encoded. Failed trials
/// and regressions are no error here but an exit code.
pub(super) fn run(args: Args) -> anyhow::Result<Exit> {
    let mut spec = validation::load(&args.file, &args.overrides)?;
    if args.quick {
        spec = quick(spec);
    }
    if spec.films() {
        let choice = video::probe(spec.recording.video.codec)?;
        if let Some(note) = &choice.note {
            console::message(format_args!("note: {note}"));
        }
    }
    let baseline = args.check.as_deref().map(Scores::read).transpose()?;
    if let Some(baseline) = &baseline {
        regression::comparable(baseline, &spec.environment.task())?;
    }
    let plan = search::plan(spec)?;
    let mut versions = provenance::versions();
    for engine in validation::missing_engines(&plan)? {
        let mut program =
            engines::program(engine.name()).with_context(|| args.file.display().to_string())?;
        versions.extend(provenance::versions_of(&mut program)?);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or(cores, usize::from).min(plan.trials.len());
    let memory = MemoryEstimate::of(&plan)?;
    if let Some(problem) = provenance::memory_bytes().and_then(|has| memory.problem(jobs, has)) {
        anyhow::bail!("{}: {problem}", args.file.display());
    }
    let timeout = plan.experiment.trial_timeout_seconds.map(Duration::from_secs_f64);
    let display = Display::new(&plan, args.plain);
    let mut run = match &args.resume {
        None => {
            let (file, overrides) = (&args.file, &args.overrides);
            let from = Circumstances { file, overrides, jobs, versions };
            Run::start(&args.output, plan, from)?
        }
        Some(run) => {
            let latest = args.output.join(&plan.experiment.name).join("latest");
            Run::resume(run.as_deref().unwrap_or(&latest), plan)?
        }
    };
    if let Some(baseline) = &baseline {
        baseline.write(&run.dir().baseline())?;
    }

    let interrupted = Arc::new(AtomicBool::new(false));
    let signal = Arc::clone(&interrupted);
    ctrlc::set_handler(move || signal.store(true, Ordering::Relaxed))
        .context("failed to watch for Ctrl-C")?;

    let name = &run.plan().experiment.name;
    let trials = run.plan().trials.len();
    console::message(format_args!("{name}: {trials} trials, {jobs} at a time"));
    if let Some(statement) = memory.statement(jobs) {
        console::message(statement);
    }
    let dir = run.dir().clone();
    let runner = Local { run: &dir, jobs, timeout, interrupted: &interrupted, observer: &display };
    let tally = run.execute(&runner, &display);
    display.close();
    let tally = tally?;
    for warning in run.close(tally)? {
        console::message(format_args!("warning: {warning}"));
    }
    if tally.interrupted {
        let (file, dir) = (args.file.display(), dir.path().display());
        console::message(format_args!("interrupted; go on with: rushes run {file} --resume={dir}"));
        return Ok(Exit::Interrupted);
    }
    let report = report::render(std::slice::from_ref(&dir), &report::Options::default())?;
    if tally.failed > 0 {
        let trials = run.plan().trials.len();
        console::message(format_args!(
            "{} of {trials} trials failed; the report says why",
            tally.failed
        ));
    }
    console::print(report.display())?;
    let verdict = match dir.baseline().exists() {
        true => {
            let baseline = Scores::read(&dir.baseline())?;
            let decision = regression::decide_run(&baseline, &dir, &results::summary(&dir)?)?;
            args.files.write(&decision)?;
            console::print(regression::text(&decision))?;
            check::exit(decision.verdict)
        }
        false => Exit::Success,
    };
    Ok(if tally.failed > 0 { Exit::Failed } else { verdict })
}

/// Prints the engines that an experiment needs and this program does not have, one a line. An experiment that
/// cannot be run needs none; `rushes run` says what is wrong with it.
///
/// # Errors
/// Fails if a searched value does not fit; never for a checked experiment.
pub(super) fn print_engines(args: &Args) -> anyhow::Result<Exit> {
    let Ok(spec) = validation::load(&args.file, &args.overrides) else {
        return Ok(Exit::Success);
    };
    let spec = if args.quick { quick(spec) } else { spec };
    for engine in validation::missing_engines(&search::plan(spec)?)? {
        console::print(engine)?;
    }
    Ok(Exit::Success)
}

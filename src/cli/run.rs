//! `rushes run FILE`: the main job, from an experiment file to a report.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;

use super::Exit;
use crate::experiment::{self, FORMAT_VERSION, MemoryEstimate, Override, Plan, Spec};
use crate::history::History;
use crate::record::{RunInfo, RunStatus};
use crate::report::summary::Summary;
use crate::runner::{Display, Outcome, Pool};
use crate::store::{self, RunDir};
use crate::{provenance, report, search, video};

/// Arguments of `rushes run`.
#[derive(clap::Args)]
pub struct Args {
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
    /// Plain lines instead of progress bars, on a terminal too.
    #[arg(long)]
    plain: bool,
}

/// Runs the experiment and prints where its report is.
///
/// # Errors
/// Where the experiment is wrong, nothing can be written, or no video can be encoded. Failed trials are no
/// error here but an exit code.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let mut spec = experiment::load(&args.file, &args.overrides)?;
    if args.quick {
        spec = spec.quick();
    }
    if spec.films() {
        let choice = video::probe(spec.recording.video.codec)?;
        if let Some(note) = &choice.note {
            eprintln!("note: {note}");
        }
    }
    let mut plan = Plan::new(spec)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or(cores, usize::from).min(plan.trials.len());
    let memory = MemoryEstimate::of(&plan)?;
    if let Some(problem) = provenance::memory_bytes().and_then(|has| memory.problem(jobs, has)) {
        anyhow::bail!("{}: {problem}", args.file.display());
    }
    let run = match &args.resume {
        None => start(&args, &plan, jobs)?,
        Some(run) => {
            let latest = args.output.join(&plan.experiment.name).join("latest");
            resume(run.as_deref().unwrap_or(&latest), &plan)?
        }
    };
    let mut lock = fd_lock::RwLock::new(fs_err::File::create(run.lock())?.into_file());
    let _guard = lock
        .try_write()
        .ok()
        .with_context(|| format!("another rushes is working on {}", run.path().display()))?;

    let interrupted = Arc::new(AtomicBool::new(false));
    let signal = Arc::clone(&interrupted);
    ctrlc::set_handler(move || signal.store(true, Ordering::Relaxed))
        .context("failed to watch for Ctrl-C")?;

    eprintln!("{}: {} trials, {jobs} at a time", plan.experiment.name, plan.trials.len());
    if let Some(statement) = memory.statement(jobs) {
        eprintln!("{statement}");
    }
    let display = Display::new(&plan, args.plain);
    let timeout = plan.experiment.trial_timeout_seconds.map(Duration::from_secs_f64);
    let pool = Pool { run: &run, jobs, timeout, interrupted: &interrupted, display: &display };
    let outcome = search::run(&pool, &mut plan);
    display.close();
    let outcome = outcome?;
    close(&run, outcome)?;
    if outcome.interrupted {
        eprintln!(
            "interrupted; go on with: rushes run {} --resume={}",
            args.file.display(),
            run.path().display()
        );
        return Ok(Exit::Interrupted);
    }
    let report = report::render(std::slice::from_ref(&run), &report::Options::default())?;
    if let Err(error) = remember(&args.output, &run) {
        eprintln!("warning: this run is not in the history: {error:#}");
    }
    if outcome.failed > 0 {
        eprintln!("{} of {} trials failed; the report says why", outcome.failed, plan.trials.len());
    }
    println!("{}", report.display());
    Ok(if outcome.failed > 0 { Exit::Failed } else { Exit::Success })
}

/// Makes the directory of a new run and writes down what is about to happen.
fn start(args: &Args, plan: &Plan, jobs: usize) -> anyhow::Result<RunDir> {
    let run = RunDir::create(&args.output, &plan.experiment.name)?;
    run.write_plan(plan)?;
    run.write_info(&RunInfo {
        format_version: FORMAT_VERSION,
        run: run.name(),
        status: RunStatus::Running,
        started: jiff::Timestamp::now(),
        finished: None,
        command: std::env::args().collect(),
        experiment_file: args.file.display().to_string(),
        overrides: args.overrides.iter().map(|change| change.as_written().to_owned()).collect(),
        jobs,
        versions: provenance::versions(),
        git: provenance::git(args.file.parent().unwrap_or(Path::new("."))),
        machine: provenance::machine(),
    })?;
    run.mark_latest()?;
    Ok(run)
}

/// Opens a run to go on with, which has to be one of the same experiment.
fn resume(path: &Path, plan: &Plan) -> anyhow::Result<RunDir> {
    let run = RunDir::open(path)?;
    anyhow::ensure!(
        run.plan()?.experiment == plan.experiment,
        "{} was started with other settings; resume it with the experiment file and --set options that it \
         was started with, or start a new run",
        run.path().display()
    );
    Ok(run)
}

/// Records a finished run in the history beside the runs.
fn remember(output: &Path, run: &RunDir) -> anyhow::Result<()> {
    let summary: Summary = store::read_json(&run.summary())?;
    History::open(output)?.record(&summary)
}

/// Writes down how the run ended.
fn close(run: &RunDir, outcome: Outcome) -> anyhow::Result<()> {
    let mut info = run.info()?;
    info.status = if outcome.interrupted { RunStatus::Interrupted } else { RunStatus::Finished };
    info.finished = Some(jiff::Timestamp::now());
    run.write_info(&info)
}

impl Spec {
    /// The experiment cut short: everything happens, but not for long.
    fn quick(mut self) -> Self {
        const EPISODES: u64 = 20;
        const STEPS: u64 = 5_000;
        self.seeds.0.truncate(1);
        self.evaluation.episodes = self.evaluation.episodes.min(5);
        self.evaluation.training_episodes = self.evaluation.training_episodes.min(2);
        for agent in self.agents.values_mut() {
            let Some(training) = &mut agent.training else { continue };
            let schedule = &mut training.schedule;
            let shorter = |limit: Option<u64>, most| Some(limit.map_or(most, |n| n.min(most)));
            schedule.episodes = schedule.episodes.map(|n| n.min(EPISODES));
            schedule.steps = shorter(schedule.steps, STEPS);
        }
        self
    }

    /// Whether anything may be filmed.
    fn films(&self) -> bool {
        let during = |agent: &experiment::AgentSpec| {
            agent.training.as_ref().is_some_and(|t| t.schedule.record_every.is_some())
        };
        self.recording.before || self.recording.after || self.agents.values().any(during)
    }
}

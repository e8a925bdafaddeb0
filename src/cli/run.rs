//! `rushes run FILE`: the main job, from an experiment file to a report.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use signal_hook::consts::SIGINT;

use super::{check, conclusion, engines, environment};
use crate::exit::Exit;
use crate::experiment::{
    EnvironmentSpec, ExperimentError, Override, Plan, ResourcesSpec, ScheduleSpec, Shard, Spec,
    TrialPlan,
};
use crate::regression::{self, Scores};
use crate::run::{Circumstances, Run, quick};
use crate::runner::{
    Cluster, Display, Interrupt, Local, Only, Ray, RayOptions, Request, Runner, Scheduler, Slurm,
    SlurmOptions, TrialPattern,
};
use crate::search::Ending;
use crate::store::{self, RunDir};
use crate::trial::MemoryEstimate;
use crate::{console, env, format, provenance, report, results, search, trust, validation, video};

/// Arguments of `rushes run`.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("gate").args(["check", "resume"]).multiple(true))]
#[command(group = clap::ArgGroup::new("verdict").args(["junit", "markdown"]).multiple(true).requires("gate"))]
pub(super) struct Args {
    /// The experiment file; `--resume=RUN` needs none.
    #[arg(required_unless_present = "resume")]
    file: Option<PathBuf>,
    /// Where runs are written, as OUTPUT/EXPERIMENT/RUN.
    #[arg(long, default_value = "output", value_name = "DIR", requires = "file")]
    output: PathBuf,
    /// How many trials run at a time; by default as many as there are cores for, or as many as the engine lets.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Where trials run: `local`, as processes of this machine; `slurm`, as jobs of a cluster whose nodes see the output
    /// directory; `ray` or `ray=http://HEAD:8265`, as jobs of a Ray cluster. docs/clusters.md has the rest.
    #[arg(long, value_name = "NAME", value_parser = engine_name, default_value = "local")]
    engine: EngineName,
    /// How the engine is used; with slurm for example partition=gpu, time=60, or any other option of `sbatch`.
    #[arg(long = "engine-option", value_name = "NAME=VALUE")]
    engine_options: Vec<String>,
    /// Change a field first, for example `agents.ppo.training.algorithm.gamma=0.98`; with `--resume`, lengthen a
    /// schedule: `agents.ppo.training.schedule.steps=200000`.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<Override>,
    /// Run only some trials and leave the others to a resume: `AGENT/SEED`, in a suite `ENVIRONMENT/AGENT/SEED`, or the
    /// first parts of that, with `*` for any: `cartpole`, `*/ppo`, `*/*/0`.
    #[arg(long, value_name = "PATTERN")]
    only: Vec<TrialPattern>,
    /// What to call the run in reports, comparisons and the history, for example `gamma 0.98`; a resumed run keeps its
    /// own unless given another.
    #[arg(long, value_name = "TEXT", value_parser = label)]
    label: Option<String>,
    /// Run only one of several parts of the experiment's trials that cost about the same, for example 2/8, the second of
    /// eight; `rushes merge` makes one run of all of them.
    #[arg(long, value_name = "NUMBER/OF", requires = "file", conflicts_with_all = ["resume", "check"])]
    shard: Option<Shard>,
    /// Only see whether everything works: one seed, short training, few evaluation episodes.
    #[arg(long, requires = "file")]
    quick: bool,
    /// Go on with an interrupted run: the latest one of the experiment file, or the one in this directory.
    #[arg(long, value_name = "RUN", num_args = 0..=1, require_equals = true)]
    resume: Option<Option<PathBuf>>,
    /// Check the run against a baseline, or another run, in the end, print the verdict and put it into the report; the exit code is
    /// that of `rushes check`, unless trials failed.
    #[arg(long, value_name = "BASELINE")]
    check: Option<PathBuf>,
    #[command(flatten)]
    files: check::Files,
    /// Start what the run directory of `--resume` says, although it was not made here.
    #[arg(long, requires = "resume")]
    trust: bool,
    /// Plain lines instead of progress bars, on a terminal too.
    #[arg(long)]
    plain: bool,
}

/// Where trials run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum EngineName {
    Local,
    Slurm,
    /// The address of the cluster's dashboard, where it was given.
    Ray(Option<String>),
}

fn engine_name(written: &str) -> Result<EngineName, String> {
    match written.split_once('=') {
        None if written == "local" => Ok(EngineName::Local),
        None if written == "slurm" => Ok(EngineName::Slurm),
        None if written == "ray" => Ok(EngineName::Ray(None)),
        Some(("ray", address)) => Ok(EngineName::Ray(Some(address.to_owned()))),
        _ => Err("expected local, slurm, ray or ray=http://HEAD:8265".into()),
    }
}

/// The cluster of a run, and how it is used.
enum ClusterOptions {
    Slurm(SlurmOptions),
    Ray(RayOptions),
}

impl ClusterOptions {
    fn leaves(&self) -> bool {
        match self {
            Self::Slurm(options) => options.jobs().leaves,
            Self::Ray(options) => options.jobs().leaves,
        }
    }

    fn scheduler(&self, resources: ResourcesSpec) -> Box<dyn Scheduler + '_> {
        match self {
            Self::Slurm(options) => Box::new(Slurm { resources, options }),
            Self::Ray(options) => Box::new(Ray::new(resources, options)),
        }
    }
}

/// A label: one line that tables have room for.
pub(super) fn label(written: &str) -> Result<String, String> {
    const LONGEST: usize = 80;
    let label = written.trim();
    match label.chars().count() {
        0 => Err("expected some words".into()),
        n if n > LONGEST => Err(format!("expected at most {LONGEST} characters, not {n}")),
        _ if label.contains(char::is_control) => Err("expected one line of plain text".into()),
        _ => Ok(label.to_owned()),
    }
}

/// Runs the experiment and prints where its report is.
///
/// # Errors
/// Fails if the experiment or the baseline is wrong, nothing can be written, or no video can be encoded. Failed trials
/// and regressions are no error here but an exit code.
pub(super) fn run(args: Args) -> anyhow::Result<Exit> {
    let cluster = cluster_options(&args)?;
    let (file, spec) = experiment(&args)?;
    let commands = spec.commands()?;
    let signature = announced(&args, &commands)?;
    let mut spec = with_environment(&args, &file, spec)?;
    let folder = file.parent().unwrap_or(Path::new("."));
    for said in results::take_over(&mut spec, folder).with_context(|| file.display().to_string())? {
        console::message(said);
    }
    if spec.films() {
        let choice = video::probe(spec.recording.video.codec)?;
        if let Some(note) = &choice.note {
            console::message(format_args!("note: {note}"));
        }
    }
    args.files.have_room()?;
    let baseline = args.check.as_deref().map(Scores::of_file_or_run).transpose()?;
    if let Some(baseline) = &baseline {
        regression::comparable(baseline, &spec.task())?;
    }
    let plan = planned(&args, spec)?;
    if let Some(shard) = plan.shard
        && !plan.trials.iter().any(|trial| TrialPattern::mean(&args.only, trial))
    {
        console::message(format_args!(
            "--only: what it names is in other shards than {shard}; there is nothing to run"
        ));
        return Ok(Exit::Success);
    }
    let mut versions = provenance::versions();
    for engine in validation::missing_engines(&plan)? {
        let mut program =
            engines::program(engine.name()).with_context(|| file.display().to_string())?;
        versions.extend(provenance::versions_of(&mut program)?);
    }
    let resources = plan.experiment.resources.clone().unwrap_or_default();
    let jobs = match (args.jobs, &cluster) {
        (Some(jobs), _) => usize::from(jobs),
        (None, Some(_)) => usize::MAX,
        (None, None) => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            (cores / resources.cores.map_or(1, |cores| cores as usize)).max(1)
        }
    };
    let jobs = jobs.min(plan.trials.len());
    versions.extend(environment_versions(&plan.experiment));
    let memory = MemoryEstimate::of(&plan)?;
    let has = provenance::memory_bytes().filter(|_| cluster.is_none());
    if let Some(problem) = has.and_then(|has| memory.problem(jobs, has)) {
        anyhow::bail!("{}: {problem}", file.display());
    }
    let timeout = plan.experiment.trial_timeout_seconds.map(Duration::from_secs_f64);
    let display = Arc::new(Display::new(&plan, args.plain));
    // From here on an interruption leaves a run that can go on.
    let told = display.clone();
    let leaves = cluster.as_ref().is_some_and(ClusterOptions::leaves);
    let interrupt = Interrupt::watch(move || {
        if !leaves {
            told.finishing();
        }
    })?;
    let label = args.label.clone();
    let from =
        Circumstances { file: &file, overrides: &args.overrides, label, jobs, versions, signature };
    let mut run = match resumed(&args, &plan.experiment.name)? {
        None => Run::start(&args.output, plan, from)?,
        Some(run) => Run::resume(run, plan, from)?,
    };
    if let Some(baseline) = &baseline {
        baseline.write(&run.dir().baseline())?;
    }

    for change in run.changes() {
        console::message(change);
    }
    let name = &run.plan().experiment.name;
    let trials = run.plan().trials.len();
    let part = run.plan().shard.map(|shard| format!(" of shard {shard}")).unwrap_or_default();
    let at_a_time = match (&cluster, args.jobs) {
        (Some(_), None) => "as many at a time as the cluster lets".to_owned(),
        _ => format!("{jobs} at a time"),
    };
    console::message(format_args!("{name}: {trials} trials{part}, {at_a_time}"));
    console::message(format_args!("watch it: {}", run.dir().report().display()));
    if let Some(statement) = memory.statement(jobs) {
        console::message(statement);
    }
    let dir = run.dir().clone();
    let local = Local { run: &dir, jobs, timeout, interrupt: &interrupt, observer: &*display };
    let scheduler = cluster.as_ref().map(|options| options.scheduler(resources));
    let cluster = scheduler.as_deref().map(|scheduler| Cluster {
        run: &dir,
        jobs: args.jobs.map(usize::from),
        timeout,
        scheduler,
        interrupt: &interrupt,
        observer: &*display,
    });
    let engine: &dyn Runner = cluster.as_ref().map_or(&local, |cluster| cluster);
    let runner = Only { inner: engine, run: &dir, patterns: &args.only };
    let mut reader = results::RunReader::new(dir.clone());
    let (tally, page) =
        report::while_running(&mut reader, jobs, || run.execute(&runner, &*display));
    display.close();
    if let Err(error) = page {
        console::message(format_args!("warning: the page was not kept up to date: {error:#}"));
    }
    let tally = tally.inspect_err(|_| {
        let command = going_on(&args, dir.path());
        console::message(format_args!("the run stopped; go on with: {command}"));
    })?;
    let closed = run.close(tally, reader)?;
    for warning in closed.warnings {
        console::message(format_args!("warning: {warning}"));
    }
    let (report, conclusion) = report::conclude(closed.results)?;
    match tally.ending {
        Ending::Finished => {}
        Ending::Stopped => {
            let left_out = match tally.left_out {
                0 => String::new(),
                left_out => format!(
                    ", and {left_out} of {} left out",
                    format::plural(run.plan().trials.len(), "trial")
                ),
            };
            let command = going_on(&args, dir.path());
            let how = match args.only.is_empty() || interrupt.request().is_some() {
                true => "ended early",
                false => "ran what --only names",
            };
            console::message(format_args!("{how}{left_out}; go on with: {command}"));
        }
        Ending::Interrupted => {
            let command = going_on(&args, dir.path());
            console::message(format_args!("interrupted; go on with: {command}"));
            let signal = match interrupt.request() {
                Some(Request::Abort(signal)) => signal,
                // What a job was told elsewhere, or a first Ctrl-C that leaves jobs where they are.
                _ => SIGINT as u8,
            };
            return Ok(Exit::Interrupted(signal));
        }
        Ending::Undecided => {
            let command = going_on(&args, dir.path());
            console::message(format_args!(
                "trials of the search died and left it nothing to decide by; go on with: {command}"
            ));
            return Ok(Exit::Failed);
        }
    }
    let comparable = tally.failed == 0 && tally.ending == Ending::Finished;
    let next = match run.plan().shard {
        Some(shard) => vec![merging(shard)],
        None => next(Some(&args), &dir, run.plan(), comparable),
    };
    console::styled(&conclusion::text(&conclusion, &next));
    let (verdict, exit) = args.files.verdict(args.check.as_deref(), &dir)?;
    console::print(format!("{}{verdict}", report.display()))?;
    Ok(if tally.failed > 0 { Exit::Failed } else { exit })
}

/// How the cluster is used, where one is.
fn cluster_options(args: &Args) -> anyhow::Result<Option<ClusterOptions>> {
    let written = &args.engine_options;
    match &args.engine {
        EngineName::Slurm => Ok(Some(ClusterOptions::Slurm(SlurmOptions::parse(written)?))),
        EngineName::Ray(address) => {
            let options = RayOptions::connect(address.as_deref(), written)?;
            Ok(Some(ClusterOptions::Ray(options)))
        }
        EngineName::Local => {
            anyhow::ensure!(
                args.engine_options.is_empty(),
                "--engine-option {}: the local engine has no options; give --engine slurm too, or ray",
                args.engine_options[0]
            );
            Ok(None)
        }
    }
}

/// The trials of an experiment, which has some that `--only` names: those of one shard, or of the gate's first look, where
/// that was asked for or the run to go on with is so.
fn planned(args: &Args, spec: Spec) -> anyhow::Result<Plan> {
    let mut plan = search::plan(spec)?;
    let (shard, look) = match resumed(args, &plan.experiment.name)? {
        Some(run) => run.plan().map(|before| (before.shard, before.looks))?,
        None => (args.shard, usize::from(args.check.is_some())),
    };
    plan.at_look(look)?;
    TrialPattern::check(&args.only, &plan)?;
    match shard {
        Some(shard) => plan.only(shard),
        None => Ok(plan),
    }
}

/// The run to go on with, where there is one.
fn resumed(args: &Args, experiment: &str) -> anyhow::Result<Option<RunDir>> {
    let run = match &args.resume {
        None => return Ok(None),
        Some(Some(run)) => run.clone(),
        Some(None) => RunDir::latest(&args.output, experiment)?,
    };
    let run = RunDir::open(&run)?;
    anyhow::ensure!(
        !run.plan().is_ok_and(|plan| plan.is_imported()),
        "{} was imported: its trainings ran in other programs; --resume=RUN names another one",
        run.path().display()
    );
    Ok(Some(run))
}

/// The experiment to run and the file that it stands in.
fn experiment(args: &Args) -> anyhow::Result<(PathBuf, Spec)> {
    match (&args.file, &args.resume) {
        (Some(file), _) => {
            anyhow::ensure!(
                !file.is_dir(),
                "{0} is a directory where an experiment file is expected; to go on with the run in it, write \
                 --resume={0}",
                file.display()
            );
            let spec = validation::load(file, &args.overrides)?;
            Ok((file.clone(), if args.quick { quick(spec)? } else { spec }))
        }
        (None, Some(Some(run))) => {
            let dir = RunDir::open(run)?;
            Ok((dir.plan_path(), validation::planned(&dir, &args.overrides)?))
        }
        (None, _) => {
            anyhow::bail!("say which run to go on with: --resume=RUN, or its experiment file too")
        }
    }
}

/// The experiment once its environment has been started, where other processes make it. A run that goes on knows its
/// environment from its plan.
fn with_environment(args: &Args, file: &Path, mut spec: Spec) -> anyhow::Result<Spec> {
    if spec.environments().any(EnvironmentSpec::is_unseen)
        && let Some(run) = resumed(args, &spec.name)?
    {
        let before = run.plan()?.experiment;
        for (name, environment) in spec.named_environments_mut() {
            let before = before.named_environments().find(|(known, _)| *known == name);
            environment.described = before.and_then(|(_, before)| before.described.clone());
        }
    }
    environment::started(spec)?.map_err(|problems| {
        let text = env::input::read_text(file).unwrap_or_default();
        ExperimentError::locate(file, &text, problems).into()
    })
}

/// What made environments of other processes, for the record.
fn environment_versions(experiment: &Spec) -> impl Iterator<Item = (String, String)> {
    experiment.named_environments().filter_map(|(name, environment)| {
        let adapter = environment.described.as_ref()?.adapter.clone()?;
        let name = name.map_or_else(|| "environment".to_owned(), |n| format!("environment {n}"));
        Some((name, adapter))
    })
}

/// Shows what the run will start, once it is known to be the reader's will: it stands in a file that they name, or in a
/// run directory of their own. Gives the commands' signature.
fn announced(args: &Args, commands: &[String]) -> anyhow::Result<Option<String>> {
    if let (None, Some(Some(run))) = (&args.file, &args.resume) {
        let signature = RunDir::open(run)?.info().ok().and_then(|info| info.signature);
        trust::ensure(run, commands, signature.as_deref(), args.trust)?;
    }
    if commands.is_empty() {
        return Ok(None);
    }
    for command in commands {
        console::message(format_args!("starts: {command}"));
    }
    let signature = trust::sign(commands);
    Ok(signature
        .inspect_err(|error| {
            console::message(format_args!(
                "note: this run has to be resumed with --trust, as it could not be signed: {error:#}"
            ));
        })
        .ok())
}

/// What comes after the run of a shard.
fn merging(shard: Shard) -> (String, &'static str) {
    let program = std::env::args().next().unwrap_or_else(|| "rushes".into());
    let runs: Vec<String> = (1..=shard.of).map(|number| format!("RUN_{number}")).collect();
    let words = [vec![program, "merge".to_owned()], runs].concat();
    (format::shell_line(&words), "one run of all shards, once each has ended")
}

/// What may come after a run of `plan`: command lines for this folder, and what each is for.
/// A run that is `comparable` has a result of every trial. One that was merged has no arguments.
pub(super) fn next(
    args: Option<&Args>,
    dir: &RunDir,
    plan: &Plan,
    comparable: bool,
) -> Vec<(String, &'static str)> {
    let experiment = &plan.experiment;
    let program = std::env::args().next().unwrap_or_else(|| "rushes".into());
    let line = |words: &[&str]| format::shell_line(&[&[program.as_str()], words].concat());
    let run = conclusion::shown(dir.path());
    let mut next = Vec::new();
    let quick = args.is_some_and(|args| args.quick);
    if let Some((args, file)) =
        args.filter(|_| quick).and_then(|args| Some((args, args.file.as_ref()?)))
    {
        let file = file.to_string_lossy();
        let mut words = vec!["run", &file];
        for change in &args.overrides {
            words.extend(["--set", change.as_written()]);
        }
        next.push((line(&words), "the whole experiment"));
    }
    let best = conclusion::shown(&dir.best());
    if dir.best().exists() {
        next.push((line(&["run", &best]), "the best settings once more, with seeds of your own"));
    }
    let learned = |trial: &&Arc<TrialPlan>| {
        trial.settings.training.is_some() && dir.trial(&trial.id).result().is_ok()
    };
    if let Some(trial) = plan.trials.iter().find(learned) {
        let (name, agent, played) = (&trial.agent, &trial.settings, trial.agent_name());
        let mut play = vec!["play", "--video", "film.mp4", &run, &played];
        if name.starts_with('-') {
            play.insert(3, "--");
        }
        next.push((line(&play), "film what it learned"));
        // What another rule has ended does not go on because there may be more steps.
        let only_steps = agent.training.as_ref().and_then(|training| match &training.schedule {
            ScheduleSpec {
                steps,
                episodes: None,
                updates: None,
                seconds: None,
                stop: None,
                ..
            } => *steps,
            _ => None,
        });
        if let (false, None, Some(steps)) = (quick, &experiment.search, only_steps) {
            let place = ["agents", name, "training", "schedule", "steps"];
            let own = trial.environment_name.as_ref().filter(|environment| {
                let patch = experiment.agents[name].environments.get(*environment);
                patch.is_some_and(|patch| patch.pointer("/training/schedule/steps").is_some())
            });
            let path = match own {
                Some(environment) => env::path::join(
                    &[&place[..2], &["environments", environment], &place[2..]].concat(),
                ),
                None => env::path::join(&place),
            };
            let change = format!("{path}={}", steps.saturating_mul(2));
            let resume = format!("--resume={run}");
            next.push((line(&["run", &resume, "--set", &change]), "train on"));
        }
    }
    if comparable && !quick && !dir.baseline().exists() {
        let baseline = store::baseline(&experiment.name).display().to_string();
        next.push((line(&["baseline", &run, "-o", &baseline]), "compare later runs with this one"));
    }
    next
}

/// The command line that goes on with the run in `dir`, as a shell takes it in whatever folder.
fn going_on(args: &Args, dir: &Path) -> String {
    let mut program = PathBuf::from(std::env::args_os().next().unwrap_or_else(|| "rushes".into()));
    // A bare name was found on the PATH, and will be again.
    if program.components().count() > 1 {
        program = std::path::absolute(&program).unwrap_or(program);
    }
    let mut words = vec![program.display().to_string(), "run".to_owned()];
    words.push(format!("--resume={}", dir.display()));
    words.extend(args.jobs.map(|jobs| format!("--jobs={jobs}")));
    match &args.engine {
        EngineName::Local => {}
        EngineName::Slurm => words.push("--engine=slurm".to_owned()),
        EngineName::Ray(None) => words.push("--engine=ray".to_owned()),
        EngineName::Ray(Some(address)) => words.push(format!("--engine=ray={address}")),
    }
    words.extend(args.engine_options.iter().map(|option| format!("--engine-option={option}")));
    // The run has the baseline; where else the verdict goes is not in it.
    words.extend(args.files.words());
    format::shell_line(&words)
}

/// Prints the engines that an experiment needs and this program does not have, one a line: of networks, and MuJoCo,
/// without which nothing else of the experiment can be told. One that cannot be run for another reason needs none;
/// `rushes run` says what is wrong with it.
///
/// # Errors
/// Fails if a searched value does not fit; never for a checked experiment.
pub(super) fn print_engines(args: &Args) -> anyhow::Result<Exit> {
    let spec = match experiment(args) {
        Ok((_, spec)) => spec,
        Err(error) => {
            if format!("{error:#}").contains(&env::mujoco::LibraryError::Missing.to_string()) {
                console::print("mujoco\n")?;
            }
            return Ok(Exit::Success);
        }
    };
    for engine in validation::missing_engines(&search::plan(spec)?)? {
        console::print(engine)?;
    }
    Ok(Exit::Success)
}

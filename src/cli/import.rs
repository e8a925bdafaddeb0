//! `rushes import PATH…`: a run made of what other programs left.

use std::path::Path;

use clap::builder::NonEmptyStringValueParser;
use indexmap::IndexMap;

use super::making::Making;
use super::run;
use crate::console::{self, printable};
use crate::exit::Exit;
use crate::experiment::ScoreSpec;
use crate::format;
use crate::import::{self, Found, Request, Training};

/// Make a run of what other programs left, so that reports, comparisons, baselines and checks work on it: the logs of
/// Stable-Baselines3, CleanRL and RLlib, TensorBoard's event files, exports of Weights & Biases, and tables.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Folders or files. Which agent and seed a file is of is told by its path: by the layouts that programs use, or by a
    /// pattern such as 'logs/{agent}/{seed}' or 'runs/{environment}__{agent}__{seed}__*'.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// Only show what was found and how it is understood.
    #[arg(long)]
    dry_run: bool,
    /// What the agent is called, whatever the paths say.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    agent: Option<String>,
    /// The environment's id, whatever paths and files say.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    environment: Option<String>,
    /// The column, or TensorBoard's scalar, that the returns are taken of.
    #[arg(long, value_name = "NAME")]
    scalar: Option<String>,
    /// The returns of tables and scalars are those of evaluations, not of training episodes.
    #[arg(long)]
    as_evaluations: bool,
    /// The final score is the mean of so many of the last training returns; by default that of the last evaluation or,
    /// where there is none, of the last 100 training returns (of a tenth of them, where there are fewer than a thousand).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    last: Option<u32>,
    /// What the returns of an environment are normalised by, for the figures over several: the mean return of a random policy
    /// and the one that counts as 1.
    #[arg(long = "score", value_name = "ID=RANDOM:REFERENCE", value_parser = score)]
    scores: Vec<(String, ScoreSpec)>,
    /// What the experiment is called; the folder's name by default.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What to call the run in reports, comparisons and the history.
    #[arg(long, value_name = "TEXT", value_parser = run::label)]
    label: Option<String>,
    /// Ask whether the run learns the same as the baseline, not whether it is worse.
    #[arg(long, requires = "check")]
    same: bool,
    #[command(flatten)]
    making: Making,
}

/// Shows what was found, writes the run and prints where its report is.
///
/// # Errors
/// Fails if a file is not what its name says, nothing is found or it cannot be told which training a file is of: nothing is
/// written then.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let request = Request {
        paths: args.paths.clone(),
        agent: args.agent.clone(),
        environment: args.environment.clone(),
        scalar: args.scalar.clone(),
        as_evaluations: args.as_evaluations,
        last: args.last.map(|last| last as usize),
    };
    let found = import::find(&request)?;
    console::print(shown(&found))?;
    for note in &found.notes {
        console::message(format_args!("note: {}", printable(note)));
    }
    let plan = found.plan(args.name.as_deref(), args.same, &args.scores)?;
    let baseline = args.making.baseline(&plan.experiment.task())?;
    if args.dry_run {
        return Ok(Exit::Success);
    }
    let closed = import::write(&found, plan, &args.making.output, args.label.clone())?;
    args.making.conclude(closed, baseline.as_ref(), 0)
}

/// An environment's id, and what its returns are normalised by.
fn score(text: &str) -> Result<(String, ScoreSpec), String> {
    let read = || {
        let (id, range) = text.rsplit_once('=')?;
        let (random, reference) = range.split_once(':')?;
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
        let (random, reference) = (number(random)?, number(reference)?);
        (random < reference).then(|| {
            (id.to_owned(), ScoreSpec { random: Some(random), reference: Some(reference) })
        })
    };
    read()
        .ok_or_else(|| "expected for example CartPole-v1=22:475, the random policy's first".into())
}

/// A line for each training, and one for each of its files.
fn shown(found: &Found) -> String {
    let header =
        ["environment", "agent", "seed", "returns", "evaluations", "films", "steps", "final score"];
    let mut rows = vec![header.map(str::to_owned)];
    let number = |n: usize| if n == 0 { "–".to_owned() } else { format::count(n as u64) };
    for training in &found.trainings {
        let score = training.final_score().map_or("–".to_owned(), format::number);
        let of = training.score.words();
        let returns = number(training.returns());
        let means = if training.means() { " means" } else { "" };
        rows.push([
            format::shorten(&training.environment, 40),
            format::shorten(&training.agent, 40),
            training.seed.to_string(),
            format!("{returns}{means}"),
            number(training.evaluations()),
            number(training.films()),
            format::count(training.steps()),
            format!("{score} ({of})"),
        ]);
    }
    let mut text = String::new();
    for (index, line) in format::aligned(&rows).iter().enumerate() {
        text.push_str(printable(line).as_ref());
        text.push('\n');
        if let Some(training) = index.checked_sub(1).map(|place| &found.trainings[place]) {
            text.push_str(&sources(training));
        }
    }
    text
}

/// The files of a training, and who wrote them.
fn sources(training: &Training) -> String {
    let mut folders: IndexMap<&Path, Vec<String>> = IndexMap::new();
    for file in &training.files {
        let (folder, name) = (file.parent().unwrap_or(Path::new("")), file.file_name());
        let name = name.unwrap_or_default().to_string_lossy().into_owned();
        folders.entry(folder).or_default().push(name);
    }
    let files: Vec<String> = (folders.iter())
        .map(|(folder, names)| match folder.as_os_str().is_empty() {
            true => names.join(", "),
            false => format!("{}/: {}", folder.display(), names.join(", ")),
        })
        .collect();
    let programs: Vec<&str> = training.programs.iter().copied().collect();
    format!("  {} ({})\n", printable(&files.join("; ")), programs.join(", "))
}

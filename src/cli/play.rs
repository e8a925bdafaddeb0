//! `rushes play`: episodes of a trained or a hard-coded policy, printed and filmed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::element::Element;
use super::environment::Place;
use super::probe;
use crate::console::{self, Output};
use crate::dataset::{DatasetWriter, Facts};
use crate::env::episode::{self, View};
use crate::env::{Assessment, Env, Episode, Info, Space};
use crate::exit::Exit;
use crate::experiment::{EnvironmentSpec, EvaluationMode, EvaluationSpec};
use crate::policy::{HardCodedSpec, PolicySpec};
use crate::results::{PlayingAgent, SavedAgent};
use crate::stats;
use crate::store::RunDir;
use crate::trust;

/// Play a trained policy, or a random or hard-coded one, and print what each episode earned.
///
/// Episodes have the seeds of a trial's evaluation unless --seed says otherwise, so that a trained policy
/// earns what its trial's evaluation says.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("who").args(["policy", "random", "hard_coded", "rule"]).required(true)))]
pub(super) struct Args {
    /// A policy.safetensors, a checkpoint, or the directory of a trial or a run; of a trial that is not over, the newest
    /// checkpoint plays.
    policy: Option<PathBuf>,
    /// Of a run: the agent, or AGENT/SEED; by default the only one, and its first seed.
    #[arg(requires = "policy")]
    agent: Option<String>,
    /// Play actions drawn uniformly.
    #[arg(long, requires = "env")]
    random: bool,
    /// Play a built-in policy; `rushes envs ID` lists them.
    #[arg(long, value_name = "NAME", requires = "env")]
    hard_coded: Option<String>,
    /// Play a rule, for example 'if obs[2] < 0.0 { 0 } else { 1 }'.
    #[arg(long, value_name = "EXPRESSION", requires = "env")]
    rule: Option<String>,
    /// The environment, or an experiment file whose environment is meant, instead of the one that the policy was
    /// trained on; it needs the same spaces.
    #[arg(long, value_name = "ID")]
    env: Option<String>,
    #[command(flatten)]
    place: Place,
    /// An option of the environment; `rushes envs ID` lists them.
    #[arg(long, value_name = "KEY=VALUE", value_parser = option)]
    option: Vec<(String, Value)>,
    /// Start what the policy, or its run directory, says, although it was not made here.
    #[arg(long, requires = "policy")]
    trust: bool,
    /// How many episodes; 10 by default, 1 with --print or --video.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    episodes: Option<u64>,
    /// Seed of the first episode, the others count up; by default that of the trial's evaluation.
    #[arg(long)]
    seed: Option<u64>,
    /// Cut episodes after this many steps; by default those of the trial's evaluation.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_steps: Option<u32>,
    /// Sample actions as in training; by default as the trial's evaluation did.
    #[arg(long)]
    explore: bool,
    /// Take the best action; by default as the trial's evaluation did.
    #[arg(long, conflicts_with = "explore")]
    greedy: bool,
    /// Print every step: action, observation, reward, terminated, truncated, info; with --json also what the policy thinks
    /// of the observation, probabilities, mean and standard deviation, Q-values, value.
    #[arg(long)]
    print: bool,
    /// Play nothing; print what the policy makes of this observation: a JSON array of its numbers, or a number; of
    /// several parts an object or an array of them.
    #[arg(long, value_name = "JSON", conflicts_with_all = ["print", "video", "episodes", "max_steps"])]
    observe: Option<String>,
    /// Play nothing; print the layers of the policy's network with how many numbers each has learned.
    #[arg(long, requires = "policy", conflicts_with_all = ["print", "video", "episodes", "max_steps", "observe"])]
    network: bool,
    /// Film the episodes into this MP4 file.
    #[arg(long, value_name = "FILE")]
    video: Option<PathBuf>,
    /// Write what is played into this folder as a dataset that other programs learn from, in Minari's layout.
    #[arg(long, value_name = "FOLDER", conflicts_with = "video")]
    dataset: Option<PathBuf>,
    /// Print JSON; with --print a line for each step, then one for the whole.
    #[arg(long)]
    json: bool,
}

/// `KEY=VALUE`; what is no JSON is a string.
fn option(written: &str) -> Result<(String, Value), String> {
    let (key, value) = written.split_once('=').ok_or("expected KEY=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.into()));
    Ok((key.to_owned(), value))
}

/// Runs the subcommand.
///
/// # Errors
/// Unknown policies, environments and options, damaged files, spaces that differ, and failures on the way.
pub(super) fn run(args: Args) -> anyhow::Result<Exit> {
    let mut cast = cast(&args)?;
    change(&mut cast.evaluation, &args);
    if args.network {
        // A trial that is not over has checkpoints alone.
        let policy = args.policy.as_ref();
        let file = policy.and_then(|path| SavedAgent::file(path, args.agent.as_deref()).ok());
        probe::network(&cast, file, args.json)?;
        return Ok(Exit::Success);
    }
    let environment = environment(&args, &cast.environment)?;
    if let Some(observation) = &args.observe {
        let title = title(&cast, &environment);
        probe::observe(&cast, &environment, &title, observation, args.json)?;
        return Ok(Exit::Success);
    }
    let mut player = cast.play_in(&environment)?;
    let default = if args.print || args.video.is_some() { 1 } else { 10 };
    let first = cast.evaluation.seed;
    let episodes = args.episodes.unwrap_or(default);
    let last = first.checked_add(episodes - 1);
    let last = last.ok_or_else(|| anyhow::anyhow!("--seed {first} is too large to count up"))?;
    let seeds: Vec<u64> = (first..=last).collect();

    let mut out = Output::new();
    if !args.json {
        writeln!(
            out,
            "{}
",
            console::printable(&title(&cast, &environment))
        )?;
    }
    let played = play(&args, &cast, &environment, &mut player, &seeds, &mut out)?;
    if args.json {
        let summary = summary(&args, &cast, &environment, &played);
        let line = if args.print { summary.to_string() } else { format!("{summary:#}") };
        writeln!(out, "{line}")?;
    } else {
        if args.print {
            writeln!(out)?;
        }
        table(&mut out, &played)?;
    }
    out.flush()?;
    Ok(Exit::Success)
}

/// Who plays, by the arguments.
fn cast(args: &Args) -> anyhow::Result<SavedAgent> {
    if let Some(path) = &args.policy {
        let cast = SavedAgent::open(path, args.agent.as_deref())?;
        let commands = cast.commands(plays_elsewhere(args, &cast.environment));
        if commands.is_empty() {
            return Ok(cast);
        }
        let signed = signed_commands(path);
        let of_this_run = |(_, known): &(String, Vec<String>)| {
            commands.iter().all(|command| known.contains(command))
        };
        match signed.filter(of_this_run) {
            Some((signature, known)) => {
                trust::ensure(path, &known, Some(&signature), args.trust)?;
            }
            None => trust::ensure(path, &commands, None, args.trust)?,
        }
        for command in &commands {
            console::message(format_args!("starts: {command}"));
        }
        return Ok(cast);
    }
    let hard_coded = |rule, name| PolicySpec::HardCoded(HardCodedSpec { rule, name });
    let (name, policy) = match (&args.rule, &args.hard_coded) {
        (Some(rule), _) => ("rule", hard_coded(Some(rule.clone()), None)),
        (_, Some(name)) => (name.as_str(), hard_coded(None, Some(name.clone()))),
        (None, None) => ("random", PolicySpec::Random {}),
    };
    let environment = args.place.find(&args.env.clone().unwrap_or_default())?;
    Ok(SavedAgent::fixed(name, policy, environment))
}

/// Whether a saved agent plays in another environment than its own.
fn plays_elsewhere(args: &Args, own: &EnvironmentSpec) -> bool {
    args.env.as_ref().is_some_and(|name| *name != own.id)
}

/// The signature of the run that `path` lies in, and the commands that it should be of.
fn signed_commands(path: &Path) -> Option<(String, Vec<String>)> {
    let path = std::fs::canonicalize(path).ok()?;
    let run = path.ancestors().find_map(|folder| RunDir::open(folder).ok())?;
    Some((run.info().ok()?.signature?, run.plan().ok()?.experiment.commands().ok()?))
}

/// Changes how the trial evaluated the agent to what the arguments ask for.
fn change(evaluation: &mut EvaluationSpec, args: &Args) {
    evaluation.seed = args.seed.unwrap_or(evaluation.seed);
    evaluation.max_episode_steps = args.max_steps.or(evaluation.max_episode_steps);
    evaluation.mode = match (args.greedy, args.explore) {
        (true, _) => EvaluationMode::Greedy,
        (_, true) => EvaluationMode::Explore,
        (false, false) => evaluation.mode,
    };
}

/// The environment that is played: the policy's own or another, with the options given.
fn environment(args: &Args, own: &EnvironmentSpec) -> anyhow::Result<EnvironmentSpec> {
    let mut environment = match &args.env {
        Some(name) if args.policy.is_some() && plays_elsewhere(args, own) => {
            args.place.find(name)?
        }
        _ => own.clone(),
    };
    for (option, value) in args.option.iter().cloned() {
        environment.files.remove(&option);
        environment.options.insert(option, value);
    }
    if environment.is_external() && !args.option.is_empty() {
        // With other options it may be another environment.
        environment.describe()?;
    }
    if let Err(error) = (environment.spec()?.make)(&environment.options) {
        // Without a path it is about the environment itself: MuJoCo is not installed.
        anyhow::ensure!(!error.path.is_empty(), "{}: {}", environment.id, error.message);
        anyhow::bail!("--option {}: {}", error.dotted(), error.message);
    }
    Ok(environment)
}

/// Plays every seed, filming and printing as asked.
fn play(
    args: &Args,
    cast: &SavedAgent,
    environment: &EnvironmentSpec,
    player: &mut PlayingAgent,
    seeds: &[u64],
    out: &mut impl Write,
) -> anyhow::Result<Vec<(u64, Episode)>> {
    let spaces = |env: &dyn Env| (env.observation_space().clone(), env.action_space().clone());
    let mut audience = Audience {
        seeds,
        print: args.print.then_some(args.json),
        spaces: spaces(player.env.env()),
        played: Vec::new(),
    };
    match &args.video {
        // The film is what was asked for, whether or not anybody reads along.
        Some(path) => {
            let watch = |view: &mut View<'_>| match audience.watch(view, out) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                watched => watched,
            };
            cast.film(player, environment, seeds, path, watch)?;
        }
        None => {
            let mode = cast.evaluation.mode.into();
            let max_steps = cast.evaluation.episode_limit(environment, &player.env_spec);
            let name = [&*environment.id, &*cast.name];
            let create = |folder: &PathBuf| {
                let (spec, env) = (&player.env_spec, player.env.env());
                let facts = Facts::new(&name, &cast.settings, environment, spec, env);
                DatasetWriter::create(folder, facts)
            };
            let mut dataset = args.dataset.as_ref().map(create).transpose()?;
            let (env, policy) = player.parts();
            for &seed in seeds {
                let watch = |mut view: View<'_>| -> anyhow::Result<()> {
                    if let Some(dataset) = &mut dataset {
                        dataset.see(&view);
                    }
                    Ok(audience.watch(&mut view, out)?)
                };
                let mut chance = cast.chance(seed);
                let played = episode::play(env, policy, mode, &mut chance, seed, max_steps, watch)?;
                if let Some(dataset) = &mut dataset {
                    dataset.end(seed, &played)?;
                }
            }
            dataset.map(DatasetWriter::finish).transpose()?;
        }
    }
    Ok(audience.played)
}

/// Whoever watches the episodes: keeps count, and prints the steps where that was asked for.
struct Audience<'a> {
    seeds: &'a [u64],
    /// Whether steps are printed, and if so, as JSON.
    print: Option<bool>,
    /// Of observations and of actions.
    spaces: (Space, Space),
    /// The episodes so far, the present one last.
    played: Vec<(u64, Episode)>,
}

impl Audience<'_> {
    fn watch(&mut self, view: &mut View<'_>, out: &mut impl Write) -> io::Result<()> {
        let (terminated, truncated) =
            view.last.map_or((false, false), |(_, last)| (last.terminated, last.truncated));
        let now = Episode {
            r#return: view.total,
            length: view.env.elapsed_steps(),
            terminated,
            truncated,
        };
        match self.played.last_mut() {
            Some((_, episode)) if view.last.is_some() => *episode = now,
            _ => {
                let seed = self.seeds[self.played.len()];
                self.played.push((seed, now));
            }
        }
        match self.print {
            Some(true) => self.print_json(view, out),
            Some(false) => self.print_text(view, out),
            None => Ok(()),
        }
    }

    fn print_json(&self, view: &mut View<'_>, out: &mut impl Write) -> io::Result<()> {
        let transition = view.last.map(|(_, transition)| transition);
        let line = StepLine {
            episode: self.played.len(),
            seed: self.seeds[self.played.len() - 1],
            step: view.env.elapsed_steps(),
            action: view.last.map(|(action, _)| Element::new(&self.spaces.1, action)),
            observation: Element::new(&self.spaces.0, view.observation),
            reward: transition.map(|transition| transition.reward),
            terminated: transition.map(|transition| transition.terminated),
            truncated: transition.map(|transition| transition.truncated),
            info: view.env.env().info(),
            policy: view.assess(),
        };
        serde_json::to_writer(&mut *out, &line)?;
        writeln!(out)
    }

    fn print_text(&self, view: &View<'_>, out: &mut impl Write) -> io::Result<()> {
        let observation = Element::new(&self.spaces.0, view.observation).to_string();
        let info = match view.env.env().info() {
            info if info.is_empty() => String::new(),
            info => Value::from(info).to_string(),
        };
        // Every element of a space is equally wide.
        let widest = match &self.spaces.1 {
            Space::Box { low, .. } => low.clone(),
            space => (space.discrete_parts().iter().flatten()).map(|n| (n - 1) as f32).collect(),
        };
        let action_width = Element::new(&self.spaces.1, &widest).to_string().len().max(6);
        let width = observation.len().max(11);
        let mut row = |cells: [&str; 7]| {
            let [step, action, observation, reward, terminated, truncated, info] = cells;
            let line = format!(
                "{step:>5}  {action:>action_width$}  {observation:>width$}  {reward:>9}  \
                 {terminated:>10}  {truncated:>9}  {info}"
            );
            writeln!(out, "{}", line.trim_end())
        };
        let Some((action, transition)) = view.last else {
            if self.played.len() > 1 {
                row([""; 7])?;
            }
            row(["step", "action", "observation", "reward", "terminated", "truncated", "info"])?;
            return row(["0", "", &observation, "", "", "", &info]);
        };
        row([
            &view.env.elapsed_steps().to_string(),
            &Element::new(&self.spaces.1, action).to_string(),
            &observation,
            &format!("{:.4}", transition.reward),
            &transition.terminated.to_string(),
            &transition.truncated.to_string(),
            &info,
        ])
    }
}

/// A step as a line of JSON; the reset is step 0.
#[derive(serde::Serialize)]
struct StepLine<'a> {
    episode: usize,
    seed: u64,
    step: u32,
    action: Option<Element<'a>>,
    observation: Element<'a>,
    reward: Option<f64>,
    terminated: Option<bool>,
    truncated: Option<bool>,
    info: Info,
    /// What the policy thinks of the observation, where it acts on it and has something to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Assessment>,
}

/// One line on who plays what.
fn title(cast: &SavedAgent, environment: &EnvironmentSpec) -> String {
    let trained = match cast.trained_steps() {
        Some(steps) => {
            let how = match cast.evaluation.mode {
                EvaluationMode::Explore => "sampling",
                EvaluationMode::Greedy => "greedy",
            };
            format!(", trained for {steps} steps, {how}")
        }
        None => String::new(),
    };
    format!("{} on {}{trained}", cast.name, environment.id)
}

/// A line for each episode, then mean and standard deviation.
fn table(out: &mut impl Write, played: &[(u64, Episode)]) -> io::Result<()> {
    let seeds = played.iter().map(|(seed, _)| seed.to_string().len());
    let width = seeds.max().unwrap_or(0).max(4);
    writeln!(out, "episode  {:>width$}     return  length  end", "seed")?;
    for (index, (seed, episode)) in played.iter().enumerate() {
        let end = match (episode.terminated, episode.truncated) {
            (true, _) => "terminated",
            (false, true) => "time limit",
            (false, false) => "cut",
        };
        let (number, Episode { r#return: total, length, .. }) = (index + 1, *episode);
        writeln!(out, "{number:>7}  {seed:>width$}  {total:>9.2}  {length:>6}  {end}")?;
    }
    let (returns, lengths) = columns(played);
    writeln!(out)?;
    for (name, values) in [("return", returns), ("length", lengths)] {
        let mean = stats::mean(&values).unwrap_or(f64::NAN);
        match stats::sample_std(&values) {
            Some(std) => writeln!(out, "{name} {mean:.2} ± {std:.2}")?,
            None => writeln!(out, "{name} {mean:.2}")?,
        }
    }
    Ok(())
}

/// Returns and lengths.
fn columns(played: &[(u64, Episode)]) -> (Vec<f64>, Vec<f64>) {
    played.iter().map(|(_, episode)| (episode.r#return, f64::from(episode.length))).unzip()
}

/// Everything about the episodes, for programs.
fn summary(
    args: &Args,
    cast: &SavedAgent,
    environment: &EnvironmentSpec,
    played: &[(u64, Episode)],
) -> Value {
    let episodes: Vec<_> = played
        .iter()
        .map(|(seed, episode)| {
            json!({
                "seed": seed,
                "return": episode.r#return,
                "length": episode.length,
                "terminated": episode.terminated,
                "truncated": episode.truncated,
                "cut": episode.cut(),
            })
        })
        .collect();
    let (returns, lengths) = columns(played);
    let spread =
        |values: &[f64]| json!({ "mean": stats::mean(values), "std": stats::sample_std(values) });
    json!({
        "agent": cast.name,
        "trained_steps": cast.trained_steps(),
        "environment": environment,
        "explore": cast.evaluation.mode == EvaluationMode::Explore,
        "episodes": episodes,
        "return": spread(&returns),
        "length": spread(&lengths),
        "video": args.video,
    })
}

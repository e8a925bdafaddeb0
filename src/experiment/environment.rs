//! The environment of an experiment: one of the table, one of Gymnasium, or a program of the user's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fs_err as fs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::env::{
    self, Env, EnvError, EnvSpec, OptionFile, Options, Problem, TimeLimit, WrappersSpec, wrappers,
};
use crate::external::gymnasium::GymnasiumSpec;
use crate::external::{Card, External, Program};
use crate::format;
use crate::policy::{HardCodedSpec, ObservationSpec, PolicySpec};

/// The longest time that may be set, about 30 years.
pub(super) const MAX_SECONDS: u64 = 1_000_000_000;

/// The time limit of environments that have none: an agent that walks in circles would never end an episode.
const LONGEST_EPISODE: u32 = 10_000;

/// Which environment, and how it is set up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentSpec {
    /// Gymnasium's id, for example `CartPole-v1`; `rushes envs` lists those that are built in. With `gymnasium`, any id
    /// that it can make, `module:Name-v0` and `module:Class` too. With `command`, what it is to be called; the
    /// name of the program, or of the script that it runs, by default.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Constructor options; `rushes envs ID` lists them.
    #[serde(default, skip_serializing_if = "Options::is_empty")]
    pub options: Options,
    /// Time limit in steps, instead of the environment's registered one; 10,000 where it has none either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_episode_steps: Option<u32>,
    /// What is put around the environment.
    #[serde(default, skip_serializing_if = "WrappersSpec::is_empty")]
    pub wrappers: WrappersSpec,
    /// Take the environment from Gymnasium in a Python of your own: any that it can make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gymnasium: Option<GymnasiumSpec>,
    /// Take the environment from a program that speaks `rushes-env` 1 (`docs/external-environments.md`): the program and
    /// its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub command: Option<Vec<String>>,
    /// How many processes a trial divides the copies of an environment of another process among, which then step at the
    /// same time; worth it where a step takes longer than a tenth of a millisecond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub workers: Option<usize>,
    /// The folder that processes of the environment are started in and that relative paths in `command` and
    /// `gymnasium.python` begin at; the experiment's `directory` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// How long an environment of another process may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<TimeoutsSpec>,
    /// What the environment of another process said of itself when the run began; `rushes run` writes it into the run's
    /// plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Value>")]
    pub described: Option<Card>,
    /// Hashes of the files that options name (a MuJoCo model of your own), by the options' names; `rushes run` writes them
    /// into the run's plan. The environment is refused where its files have changed since.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

/// The folder `own`, below `directory` where both are given.
pub(super) fn place(directory: Option<&Path>, own: Option<&Path>) -> Option<PathBuf> {
    match (directory, own) {
        (Some(directory), Some(own)) => Some(directory.join(own)),
        (directory, own) => directory.or(own).map(Path::to_owned),
    }
}

/// How long an environment of another process may take before it counts as failed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsSpec {
    /// Seconds until it has described itself.
    #[schemars(range(min = 0.1, max = MAX_SECONDS))]
    pub start_seconds: f64,
    /// Seconds until it has answered a step, a reset or a rendering.
    #[schemars(range(min = 0.1, max = MAX_SECONDS))]
    pub call_seconds: f64,
}

impl Default for TimeoutsSpec {
    fn default() -> Self {
        Self { start_seconds: 120.0, call_seconds: 60.0 }
    }
}

impl EnvironmentSpec {
    /// The environment of the table with this id, without options.
    pub fn named(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    /// Whether the experiment says nothing of it.
    pub(super) fn is_missing(&self) -> bool {
        *self == Self::default()
    }

    /// Whether other processes make it.
    pub fn is_external(&self) -> bool {
        self.gymnasium.is_some() || self.command.is_some()
    }

    /// Whether there is something to see of it, as far as is known.
    pub fn draws(&self) -> bool {
        self.described.as_ref().is_none_or(|card| card.frame.is_some())
    }

    /// The same, its processes beginning in a folder below `directory`.
    pub fn placed(&self, directory: Option<&Path>) -> Self {
        Self { directory: place(directory, self.directory.as_deref()), ..self.clone() }
    }

    /// Whether other processes make it and nothing is known of it, as none was started yet.
    pub fn is_unseen(&self) -> bool {
        self.is_external() && self.described.is_none()
    }

    /// How a process that makes it is started, where others do.
    pub fn program(&self) -> Option<Program> {
        let TimeoutsSpec { start_seconds, call_seconds } = self.timeouts.unwrap_or_default();
        let start_timeout = Duration::from_secs_f64(start_seconds);
        let call_timeout = Duration::from_secs_f64(call_seconds);
        if let Some(gymnasium) = &self.gymnasium {
            let limit = self.max_episode_steps;
            let directory = self.directory.as_deref();
            let (start, call) = (start_timeout, call_timeout);
            return Some(gymnasium.program(&self.id, limit, directory, start, call));
        }
        let command = self.command.as_ref()?;
        let (program, arguments) = command.split_first()?;
        Some(Program {
            program: program.into(),
            arguments: arguments.iter().map(Into::into).collect(),
            shown: format::shell_line(command),
            directory: self.directory.clone(),
            variables: Vec::new(),
            start_timeout,
            call_timeout,
        })
    }

    /// How it is started, as a shell takes it, where other processes make it.
    pub fn shown(&self) -> Option<String> {
        let mut line = format::in_folder(self.directory.as_deref(), self.program()?.shown);
        // Constructors may do anything with them.
        if !self.options.is_empty() {
            line = format!("{line} # options {}", json!(self.options));
        }
        if !self.wrappers.randomise.is_empty() {
            line = format!("{line} # randomised {}", json!(self.wrappers.randomise));
        }
        Some(line)
    }

    /// Names an environment that has only a command: after its program, or the script that the program runs.
    pub fn fill_in_id(&mut self) {
        let Some(command) = self.command.as_ref().filter(|_| self.id.is_empty()) else { return };
        let is_script = |word: &&String| {
            !word.starts_with('-') && Path::new(word).extension().is_some_and(|e| !e.is_empty())
        };
        if let Some(named) = command.iter().find(is_script).or(command.first()) {
            let stem = Path::new(named).file_stem().unwrap_or_default();
            self.id = stem.to_string_lossy().into_owned();
        }
    }

    /// What is wrong with how the fields go together; paths are below the environment.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.gymnasium.is_some() && self.command.is_some() {
            let message = "expected `gymnasium` or `command`, found both";
            problems.push(Problem::new(&["command"], message));
        }
        if self.id.is_empty() {
            problems.push(Problem::new(&[] as &[&str], "the field `id` is missing"));
        }
        if self.is_external() && self.options.contains_key("render_mode") {
            let message = "leave it out: `recording` says what is filmed";
            problems.push(Problem::new(&["options", "render_mode"], message));
        }
        if !self.is_external() {
            for (name, given) in
                [("workers", self.workers.is_some()), ("timeouts", self.timeouts.is_some())]
            {
                if given {
                    let message =
                        "only for environments of other processes (`gymnasium`, `command`)";
                    problems.push(Problem::new(&[name], message));
                }
            }
        }
        problems
    }

    /// The task: the id and, as a constructor's arguments, what differs from the registered environment, wrappers that
    /// change its returns included. Returns can be compared where it is the same.
    pub fn task(&self) -> String {
        let registered = if self.is_external() { None } else { env::find(&self.id) };
        let schema = registered.as_ref().map(|env| (env.options_schema)().to_value());
        let is_default = |name: &str, value: &Value| {
            let default = schema.as_ref().and_then(|s| s["properties"][name].get("default"));
            default.is_some_and(|default| match (default.as_f64(), value.as_f64()) {
                (Some(default), Some(value)) => default == value,
                _ => default == value,
            })
        };
        let options = self.options.iter().filter(|(name, value)| !is_default(name, value));
        // A file by what it holds, wherever it lies.
        let argument = |(name, value): (&String, &Value)| match self.files.get(name) {
            Some(sha256) => {
                let file = Path::new(value.as_str().unwrap_or_default()).file_name();
                let file = file.unwrap_or_default().to_string_lossy();
                format!("{name}={file}@{}", sha256.get(..8).unwrap_or(sha256))
            }
            None => format!("{name}={value}"),
        };
        let mut arguments: Vec<String> = options.map(argument).collect();
        arguments.sort_unstable();
        let limit = registered.and_then(|env| env.max_episode_steps);
        let own = self.max_episode_steps.filter(|own| limit != Some(*own));
        arguments.extend(own.map(|steps| format!("max_episode_steps={steps}")));
        if let Some(gymnasium) = self.gymnasium.as_ref().filter(|g| !g.wrappers.is_empty()) {
            arguments.push(format!("gymnasium.wrappers={}", json!(gymnasium.wrappers)));
        }
        arguments.extend(self.wrappers.task());
        match &arguments[..] {
            [] => self.id.clone(),
            _ => format!("{}({})", self.id, arguments.join(", ")),
        }
    }

    /// What is known of the environment before it is built.
    ///
    /// # Errors
    /// Fails if it is not in the table, or others make it and it was never started.
    pub fn spec(&self) -> anyhow::Result<Arc<EnvSpec>> {
        let Some(external) = self.external()? else {
            return env::find(&self.id).with_context(|| {
                let hint = if self.id.contains([':', '/']) {
                    "; for one of Gymnasium's add `\"gymnasium\": {}` beside `id`, or --gymnasium"
                } else {
                    ""
                };
                env::unknown(&self.id) + hint
            });
        };
        let card = &external.card;
        let of_gymnasium = self.gymnasium.is_some();
        let made = EnvironmentSpec { options: Options::new(), ..self.clone() };
        Ok(Arc::new(EnvSpec {
            id: self.id.clone(),
            family: if of_gymnasium { "Gymnasium" } else { "own program" }.to_owned(),
            summary: card.adapter.clone().unwrap_or_else(|| external.program.shown.clone()),
            max_episode_steps: card.max_episode_steps,
            reward_threshold: card.reward_threshold,
            render_fps: card.render_fps(),
            make: Arc::new(move |options| {
                let spec = EnvironmentSpec { options: options.clone(), ..made.clone() };
                let whole =
                    |error: anyhow::Error| Problem::new(&[] as &[&str], format!("{error:#}"));
                let copies = spec.raw_copies(1, true).map_err(whole)?;
                copies.into_iter().next().ok_or_else(|| Problem::new(&[] as &[&str], "no copy"))
            }),
            options_schema: Arc::new(|| schemars::json_schema!({ "type": "object" })),
            constants: Vec::new(),
            policies: Vec::new(),
        }))
    }

    /// The environment that other processes make, where others do.
    fn external(&self) -> anyhow::Result<Option<External>> {
        let Some(program) = self.program() else { return Ok(None) };
        let card = self.described.clone().with_context(|| {
            format!("{}: nothing is known of it before `{}` was started", self.id, program.shown)
        })?;
        Ok(Some(External { program, options: self.options.clone(), card }))
    }

    /// Starts the process that makes the environment and lets it describe itself; the environment knows it then.
    ///
    /// # Errors
    /// Fails if the process does.
    pub fn describe(&mut self) -> anyhow::Result<()> {
        if let Some(program) = self.program() {
            self.described = Some(External::describe(&program, &self.options)?);
        }
        Ok(())
    }

    /// Takes down the files that options name: where they are, whatever the folder, and what they hold.
    ///
    /// # Errors
    /// Fails if one of them cannot be read, or has changed since it was taken down; paths are below the environment.
    pub fn pin_files(&mut self) -> Result<(), Problem> {
        let Some(spec) = env::find(&self.id).filter(|_| !self.is_external()) else { return Ok(()) };
        let env = (spec.make)(&self.options).map_err(|problem| problem.below(&["options"]))?;
        for file in self.unchanged_files(&*env)? {
            let path = file.path.display().to_string();
            self.files.insert(file.option.clone(), file.sha256());
            self.options.insert(file.option, Value::from(path));
        }
        Ok(())
    }

    /// The files that `env`, which was made of the options, has read. Fails if one of them has changed since it was taken
    /// down.
    fn unchanged_files(&self, env: &dyn Env) -> Result<Vec<OptionFile>, Problem> {
        let wrong = |error: EnvError| Problem::new(&["options"], error.to_string());
        let files = env.option_files().map_err(wrong)?;
        for file in &files {
            if self.files.get(&file.option).is_some_and(|before| *before != file.sha256()) {
                let message = format!(
                    "{} has changed since the run began; put back what it was, or start a new run, whose file has no \
                     `environment.files.{}`",
                    file.path.display(),
                    file.option
                );
                return Err(Problem::new(&["options", &file.option], message));
            }
        }
        Ok(files)
    }

    /// The same environment made of copies of the files that were taken down, which are put into `folder`; it names them
    /// relative to the current folder, as if that were `folder`.
    ///
    /// # Errors
    /// Fails if a file has changed since it was taken down, or cannot be written.
    pub fn copied_into(&self, folder: &Path) -> anyhow::Result<Self> {
        let mut copied = self.clone();
        if self.files.is_empty() {
            return Ok(copied);
        }
        let env = (self.spec()?.make)(&self.options)?;
        for file in self.unchanged_files(&*env)? {
            let name = Path::new(file.path.file_name().unwrap_or_default());
            let name = name.with_extension(file.extension).display().to_string();
            fs::write(folder.join(&name), &file.content)?;
            copied.options.insert(file.option, Value::from(format!("./{name}")));
        }
        Ok(copied)
    }

    /// The same environment where the files that were taken down are named relative to `folder`.
    #[must_use]
    pub fn with_files_below(mut self, folder: &Path) -> Self {
        for option in self.files.keys() {
            if let Some(Value::String(path)) = self.options.get_mut(option) {
                *path = folder.join(&*path).display().to_string();
            }
        }
        self
    }

    /// What decides returns: files by what they hold, wherever they are, and not what a process said of itself, which is
    /// only known once it was started.
    pub(super) fn deciding(&self) -> Self {
        let mut spec = Self { described: None, files: BTreeMap::new(), ..self.clone() };
        for (option, sha256) in &self.files {
            spec.options.insert(option.clone(), Value::from(sha256.clone()));
        }
        spec
    }

    /// Builds the environment with its wrappers and its time limit, as `policy` sees it, to be played and drawn. A policy
    /// that the environment ships reads its own observations: they keep their form. An environment of another process is
    /// started when it is first reset.
    ///
    /// # Errors
    /// Fails if the id or the options are unknown; never for a checked experiment.
    pub fn build(&self, policy: &PolicySpec) -> anyhow::Result<(Arc<EnvSpec>, TimeLimit)> {
        let mut copies = self.limited_copies(policy, 1, true)?;
        Ok((self.spec()?, copies.pop().context("a copy was made")?))
    }

    /// Builds `copies` copies for training, which can be drawn where that is asked for or `policy` looks at the picture.
    ///
    /// # Errors
    /// As [`EnvironmentSpec::build`].
    pub fn build_copies(
        &self,
        policy: &PolicySpec,
        copies: usize,
        drawn: bool,
    ) -> anyhow::Result<Vec<TimeLimit>> {
        let seen = matches!(policy.observation(), ObservationSpec::Pixels(_));
        self.limited_copies(policy, copies, drawn || seen)
    }

    fn limited_copies(
        &self,
        policy: &PolicySpec,
        copies: usize,
        drawn: bool,
    ) -> anyhow::Result<Vec<TimeLimit>> {
        let spec = self.spec()?;
        let limit = self.time_limit(&spec).unwrap_or(LONGEST_EPISODE);
        let context = wrappers::Context {
            make: &spec.make,
            options: &self.options,
            max_episode_steps: limit,
            pixels: match policy.observation() {
                ObservationSpec::Pixels(pixels) => Some(pixels),
                ObservationSpec::State => None,
            },
            keeps_form: matches!(policy, PolicySpec::HardCoded(HardCodedSpec { rule: None, .. })),
        };
        let envs = self.raw_copies(copies, drawn)?.into_iter();
        let wrapped = envs.map(|env| wrappers::wrap(env, &self.wrappers, &context));
        Ok(wrapped.map(|env| TimeLimit::new(env, Some(limit))).collect())
    }

    /// Copies without time limit.
    fn raw_copies(&self, copies: usize, drawn: bool) -> anyhow::Result<Vec<Box<dyn Env>>> {
        if let Some(external) = self.external()? {
            return Ok(external.copies(copies, self.workers.unwrap_or(1), drawn)?);
        }
        let spec = self.spec()?;
        let mut made = Vec::new();
        if !self.files.is_empty() && copies > 0 {
            // It is held against what was taken down, and its copies are made of what it has read.
            let first = (spec.make)(&self.options)?;
            self.unchanged_files(&*first)?;
            made.extend((1..copies).map_while(|_| first.try_clone()));
            made.push(first);
        }
        while made.len() < copies {
            made.push((spec.make)(&self.options)?);
        }
        Ok(made)
    }

    /// Frames per second at which the agent's steps show the environment in real time; `spec` is its row in the table.
    pub fn render_fps(&self, spec: &EnvSpec) -> u32 {
        spec.render_fps.div_ceil(self.wrappers.frame_skip.unwrap_or(1))
    }

    /// The time limit that the experiment or the environment sets.
    pub fn time_limit(&self, spec: &EnvSpec) -> Option<u32> {
        self.max_episode_steps.or(spec.max_episode_steps)
    }
}

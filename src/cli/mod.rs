//! The command line: one file a subcommand.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::console;
use crate::exit::Exit;
use crate::guard;
use crate::lease::Busy;
use crate::registry::Registry;
use crate::store;

mod baseline;
mod check;
mod completions;
mod conclusion;
mod diagnose;
mod doctor;
mod element;
mod encode;
mod engines;
mod environment;
mod envs;
mod export;
mod history;
mod import;
mod making;
mod man;
mod merge;
mod play;
mod probe;
mod reference;
mod report;
mod run;
mod schema;
mod serve;
mod trace;
mod trial;
mod trials;
mod validate;
mod versions;

/// Train agents without a screen, film them before and after, and gate their returns.
#[derive(Parser)]
#[command(name = "rushes", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run an experiment: film, train, film again, evaluate, and write a report.
    Run(run::Args),
    /// Compare a run with a baseline: exits 0 if it held or improved, 1 if it regressed, 2 if unknown.
    Check(check::Args),
    /// Make a run the baseline that later runs are compared with.
    Baseline(baseline::Args),
    /// List the recorded runs of an experiment.
    History(history::Args),
    Merge(merge::Args),
    Import(import::Args),
    Play(play::Args),
    /// Write a run for other programs: TensorBoard event files, CSV.
    Export(export::Args),
    Encode(encode::Args),
    /// Check experiment files without running them.
    Validate(validate::Args),
    /// Print the JSON Schema of experiment files.
    Schema(schema::Args),
    Envs(envs::Args),
    Doctor(doctor::Args),
    Trace(trace::Args),
    /// Run one trial (the runner starts these).
    #[command(hide = true)]
    Trial(trial::Args),
    Trials(trials::Args),
    Report(report::ReportArgs),
    Diagnose(diagnose::Args),
    Serve(serve::Args),
    /// Run a command in a process group that ends with standard input (a trial starts its script so).
    #[command(hide = true)]
    Guard {
        /// The command.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Print the engines that an experiment needs and this program does not have (`just run` asks).
    #[command(hide = true)]
    Engines(run::Args),
    Completions(completions::Args),
    /// Write a manual page for each command (release archives have them).
    #[command(hide = true)]
    Man(man::Args),
    /// Print the versions of what decides the numbers (a run asks the programs of its engines).
    #[command(hide = true)]
    Versions,
}

/// `rushes` as it ships; see [`main_with`].
pub fn main() -> ExitCode {
    main_with(Registry::standard())
}

/// `rushes` with the entries of `registry` in schema, `envs`, validation, search, films and report: parses the
/// command line, runs the subcommand and prints its error, if any, to stderr.
pub fn main_with(registry: Registry) -> ExitCode {
    if let Err(error) = set_up(registry) {
        console::message(format_args!("error: {error:#}"));
        return Exit::Input.into();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return no_command(&error).into(),
    };
    let result: anyhow::Result<Exit> = match cli.command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::run(&args),
        Command::Baseline(args) => baseline::run(&args),
        Command::History(args) => history::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Play(args) => play::run(args),
        Command::Export(args) => export::run(&args),
        Command::Encode(args) => encode::run(&args),
        Command::Validate(args) => validate::run(args),
        Command::Schema(args) => schema::run(&args),
        Command::Trial(args) => trial::run(args),
        Command::Trials(args) => trials::run(&args),
        Command::Envs(args) => envs::run(&args),
        Command::Doctor(doctor::Args {}) => doctor::run(),
        Command::Trace(args) => trace::run(&args),
        Command::Report(args) => report::run(args),
        Command::Diagnose(args) => diagnose::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Guard { command } => guard::run(&command).map(|()| Exit::Success),
        Command::Engines(args) => run::print_engines(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Versions => versions::run(),
    };
    let error = match result {
        Ok(exit) => return exit.into(),
        // Whoever read our output has seen enough, as `head` does.
        Err(error) if is_one_of(&[io::ErrorKind::BrokenPipe], &error) => {
            return Exit::Success.into();
        }
        // Another program has the engine: it does the same in this one's place, or says why it cannot.
        Err(error) => match engines::missing(&error) {
            Some(engine) => engines::hand_over(engine),
            None => error,
        },
    };
    // On one line: whoever shows a trial's last words shows the last one.
    let full = is_one_of(&[io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded], &error);
    let hint = if full { "; make room there and go on" } else { "" };
    console::message(format_args!("error: {error:#}{hint}"));
    if error.is::<Busy>() { Exit::Busy } else { Exit::Input }.into()
}

/// Says where something was written, as a result, or as a message where it went to standard output or the like itself.
///
/// # Errors
/// Fails if standard output cannot be written.
fn print_written(path: &Path, text: impl Display) -> anyhow::Result<()> {
    if store::is_stream(path) {
        console::message(text);
        return Ok(());
    }
    console::print(text)
}

/// Prints help or the version, which are asked for, or what is wrong with the command line.
fn no_command(error: &clap::Error) -> Exit {
    if error.use_stderr() {
        let text = error.render().to_string();
        // What somebody typed may be of any length; what is short keeps its colours.
        match console::brief(&text) {
            short if short == text => drop(error.print()),
            cut => console::message(cut.trim_end()),
        }
        return Exit::Usage;
    }
    match error.print().and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            console::message(format_args!("error: {}", console::at_output(error)));
            Exit::Input
        }
        _ => Exit::Success,
    }
}

/// What every command needs.
fn set_up(registry: Registry) -> anyhow::Result<()> {
    // Unhandled, the signal ends the process at its file size limit (`ulimit -f`) without a word; handled, the write
    // fails and says so.
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
    registry.install()
}

/// Whether the system refused something for one of these reasons.
fn is_one_of(kinds: &[io::ErrorKind], error: &anyhow::Error) -> bool {
    let mut errors = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    errors.any(|error| kinds.contains(&error.kind()))
}

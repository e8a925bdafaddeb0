//! `rushes trial DIR`: one trial's process, started by the runner.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use signal_hook::consts::SIGTERM;

use super::engines;
use crate::exit::Exit;
use crate::runner::follow_parent;
use crate::store::TrialDir;
use crate::trial::{self, Wishes};

/// Arguments of `rushes trial`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The trial's directory, holding its `trial.json`.
    directory: PathBuf,
    /// Pause at a checkpoint after so many environment steps; the trial has no result then.
    #[arg(long, value_name = "STEPS")]
    pause_at: Option<u64>,
    /// End when standard input closes, which whoever started the trial holds open; stop training when something is written
    /// to it, or leave at the next checkpoint when that is an `l`.
    #[arg(long)]
    attended: bool,
    /// Leave at the next checkpoint on SIGTERM.
    #[arg(long)]
    leave_on_term: bool,
}

/// Runs the trial; a failure of its own is written down as its result.
///
/// # Errors
/// Fails if the trial's plan cannot be read, another process works on it, a file of it cannot be read or written, or the
/// program with its engine cannot be started.
pub(super) fn run(args: Args) -> anyhow::Result<Exit> {
    let wishes = Arc::new(Wishes::default());
    if args.attended {
        follow_parent(wishes.clone());
    }
    if args.leave_on_term {
        wishes.leave_on(SIGTERM)?;
    }
    let dir = TrialDir::new(args.directory);
    let plan = dir.plan()?;
    let dir = dir.take()?;
    // A panic is a result too; a process without one was killed.
    let outcome =
        catch_unwind(AssertUnwindSafe(|| trial::run(&dir, &plan, args.pause_at, &wishes)));
    let (result, exit) = match outcome {
        Ok(Ok(None)) if wishes.leaves() => return Ok(Exit::LEFT),
        Ok(Ok(None)) => return Ok(Exit::Success),
        Ok(Ok(Some(result))) => (result, Exit::Success),
        Err(panic) => (dir.failed(&plan, panic_message(&*panic)), Exit::Failed),
        // A signal to the whole job has ended what the trial needs, its environment's process for one.
        Ok(Err(_)) if wishes.leaves() => return Ok(Exit::LEFT),
        // No result: the runner tries again.
        Ok(Err(error)) if error.is_the_machines() => anyhow::bail!("{error}"),
        Ok(Err(error)) => {
            let message = error.to_string();
            if let Some(engine) = engines::missing(&error.into()) {
                // Another program has the engine and does all of this in this one's place.
                drop(dir);
                return Err(engines::hand_over(engine));
            }
            (dir.failed(&plan, message), Exit::Failed)
        }
    };
    dir.write_result(&result)?;
    Ok(exit)
}

fn panic_message(panic: &dyn Any) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the program panicked: {}; stderr.log says where", text.unwrap_or("no message"))
}

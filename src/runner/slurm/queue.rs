//! Slurm's own commands: `sbatch`, `squeue`, `scancel`.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output};

use crate::runner::cluster::{Gone, QueueError, State, Task, TaskName};

/// Submits the script `NAME.sh` of `folder` as an array of so many tasks under this name.
pub(super) fn submit(folder: &Path, name: &str, options: &[String]) -> Result<(), QueueError> {
    let mut sbatch = Command::new("sbatch");
    sbatch
        .arg("--parsable")
        .arg(format!("--job-name={name}"))
        .arg(format!("--output={name}-%a.log"));
    sbatch.args(["--open-mode=append", "--no-requeue"]).args(options);
    sbatch.arg(format!("{name}.sh")).current_dir(folder);
    run("sbatch", &mut sbatch).map(drop)
}

/// One of Slurm's programs, without what the user's environment would have it leave out.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let written = name.to_string_lossy();
        if written.starts_with("SQUEUE_") || written.starts_with("SCANCEL_") {
            command.env_remove(name);
        }
    }
    command
}

/// The tasks of the arrays of these names, as far as Slurm still knows them.
pub(super) fn tasks(names: &[String]) -> Result<HashMap<TaskName, Task>, QueueError> {
    let mut squeue = command("squeue");
    // Those of hidden partitions too.
    squeue.args(["--all", "--noheader", "--array", "--states=all", "--format=%i|%j|%T|%r"]);
    squeue.arg(format!("--name={}", names.join(",")));
    let output = run("squeue", &mut squeue)?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(parse).collect())
}

/// Cancels tasks: each is told to end, and killed after the cluster's `KillWait`.
pub(super) fn cancel(ids: &[String]) -> Result<(), QueueError> {
    scancel(&[], ids)
}

/// Cancels all tasks of arrays by their names.
pub(super) fn cancel_arrays(names: &[String]) -> Result<(), QueueError> {
    for name in names {
        run("scancel", command("scancel").arg("--quiet").arg(format!("--name={name}")))?;
    }
    Ok(())
}

/// Sets how many tasks run at a time of the array that the task of this id belongs to.
pub(super) fn set_limit(id: &str, limit: Option<usize>) -> Result<(), QueueError> {
    let (array, _) = id.split_once('_').unwrap_or((id, ""));
    // 0 is Slurm's word for no limit.
    let limit = limit.unwrap_or(0);
    let mut scontrol = Command::new("scontrol");
    scontrol.arg("update").arg(format!("JobId={array}")).arg(format!("ArrayTaskThrottle={limit}"));
    run("scontrol", &mut scontrol).map(drop)
}

/// Sends SIGINT to the programs of tasks.
pub(super) fn interrupt(ids: &[String]) -> Result<(), QueueError> {
    scancel(&["--batch", "--signal=INT"], ids)
}

fn scancel(options: &[&str], ids: &[String]) -> Result<(), QueueError> {
    // A command line holds only so much.
    for ids in ids.chunks(1000) {
        run("scancel", command("scancel").arg("--quiet").args(options).args(ids))?;
    }
    Ok(())
}

/// The largest number of tasks of an array.
pub(super) fn max_array_size() -> Result<usize, QueueError> {
    let output = run("scontrol", Command::new("scontrol").args(["show", "config"]))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("MaxArraySize"));
    let size = line.and_then(|line| line.trim_start().strip_prefix('=')?.trim().parse().ok());
    // Slurm's own default.
    Ok(size.unwrap_or(1001))
}

fn run(name: &'static str, command: &mut Command) -> Result<Output, QueueError> {
    let output = command.output().map_err(|error| QueueError::Missing(name, error))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().strip_prefix(&format!("{name}: ")).unwrap_or(said.trim());
    if said.is_empty() {
        // Seen of `scontrol` while the controller was about to answer no more.
        return Err(QueueError::Unreachable(format!("{name}: no answer ({})", output.status)));
    }
    let said = format!("{name}: {said}");
    let later = [
        "Unable to contact slurm controller",
        "Socket timed out",
        "Connection refused",
        "temporarily unable",
        "temporarily unavailable",
        "Zero Bytes were transmitted",
        "Unexpected message received",
    ];
    if later.iter().any(|words| said.contains(words)) {
        return Err(QueueError::Unreachable(said));
    }
    if said.contains("submit limit") {
        return Err(QueueError::Full);
    }
    Err(QueueError::Refused(said))
}

/// A line of `squeue`; nothing where it is none of an array's task.
fn parse(line: &str) -> Option<(TaskName, Task)> {
    let mut parts = line.splitn(4, '|');
    let (id, name, state, reason) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (_, index) = id.split_once('_')?;
    let state = match state {
        "PENDING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "SPECIAL_EXIT" => {
            State::Waiting(reason.to_owned())
        }
        "RUNNING" | "COMPLETING" | "CONFIGURING" | "SUSPENDED" | "STOPPED" | "RESIZING"
        | "SIGNALING" | "STAGE_OUT" | "RESV_DEL_HOLD" => State::Running,
        "FAILED" | "COMPLETED" | "OUT_OF_MEMORY" => State::Over(Gone::Died(state.to_owned())),
        "CANCELLED" => State::Over(Gone::Cancelled("its job ended (CANCELLED)".to_owned())),
        over => State::Over(Gone::Lost(format!("its job ended ({over})"))),
    };
    Some(((name.to_owned(), index.parse().ok()?), Task { id: id.to_owned(), state }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_squeue_are_read() {
        let task = |line| parse(line).expect("a task");
        let (name, waiting) =
            task("17_3|rushes-ab|PENDING|Nodes required for job are DOWN, DRAINED");
        assert_eq!(name, ("rushes-ab".to_owned(), 3));
        assert_eq!(waiting.id, "17_3");
        let reason = "Nodes required for job are DOWN, DRAINED".to_owned();
        assert_eq!(waiting.state, State::Waiting(reason));
        assert_eq!(task("17_3|a|RUNNING|None").1.state, State::Running);
        assert_eq!(
            task("17_3|a|NODE_FAIL|x|y").1.state,
            State::Over(Gone::Lost("its job ended (NODE_FAIL)".into()))
        );
        for other in ["", "17|a|RUNNING|None", "17_[4-9%2]|a|PENDING|Resources", "nonsense"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}

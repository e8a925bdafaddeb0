//! Programs that a trial starts, in a process group that ends with it.
//!
//! ```text
//! trial ─pipe─▶ rushes guard (leads a group) ──▶ command, and whatever it starts
//! ```
//! The guard kills its whole group as soon as the pipe closes, which it does however the trial ended, or the command
//! has ended. The command itself then needs to know nothing of it.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use anyhow::Context as _;
use rustix::process::{Signal, getpgrp, getpid, kill_current_process_group, setpgid};

/// The program that this process runs, also when its file was replaced or removed since it started.
///
/// # Errors
/// Fails where the system does not tell.
pub fn this_program() -> anyhow::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    std::env::current_exe().context("failed to find this program's own file")
}

/// A command under guard. Dropping it ends it, with all that it started.
pub struct Guarded {
    guard: Child,
    alive: Option<ChildStdin>,
}

impl Guarded {
    /// Starts `command` in `directory`, where a relative path of the program begins too; what it prints goes to this
    /// process's standard error.
    ///
    /// # Errors
    /// Fails if the guard cannot be started; a command that cannot is told of by [`Guarded::ended`].
    pub fn start(
        command: &[String],
        directory: &Path,
        variables: &[(&str, OsString)],
    ) -> anyhow::Result<Self> {
        let mut guard = Command::new(this_program()?)
            .arg("guard")
            .arg("--")
            .args(command)
            .current_dir(directory)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start a program in {}", directory.display()))?;
        Ok(Self { alive: guard.stdin.take(), guard })
    }

    /// How the command ended; nothing while it runs.
    ///
    /// # Errors
    /// Fails if the command could not be started.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Some(guard) = self.guard.try_wait()? else { return Ok(None) };
        let mut told = String::new();
        if let Some(mut stdout) = self.guard.stdout.take() {
            stdout.read_to_string(&mut told)?;
        }
        match told.trim().parse() {
            Ok(status) => Ok(Some(ExitStatus::from_raw(status))),
            // The guard itself was killed.
            Err(_) if told.is_empty() => Ok(Some(guard)),
            Err(_) => anyhow::bail!("{told}"),
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.alive.take());
        let _ = self.guard.wait();
    }
}

/// The guard's own process: runs `command`, tells how it ended on standard output and takes the whole group along.
///
/// # Errors
/// Fails if it cannot lead a group of its own.
pub fn run(command: &[OsString]) -> anyhow::Result<()> {
    // Fails for the leader of a session, which leads its group already.
    let _ = setpgid(None, None);
    anyhow::ensure!(getpgrp() == getpid(), "failed to lead a process group");
    std::thread::spawn(|| {
        // Nobody writes; a read returns when the pipe closes.
        let _ = io::stdin().read(&mut [0]);
        end_group();
    });
    let told = match start(command).and_then(|mut child| child.wait()) {
        Ok(status) => status.into_raw().to_string(),
        Err(error) => {
            let program = command.first().map(|program| program.display().to_string());
            format!("failed to start {}: {error}", program.unwrap_or_default())
        }
    };
    let mut stdout = io::stdout();
    let _ = stdout.write_all(told.as_bytes()).and_then(|()| stdout.flush());
    end_group();
    Ok(())
}

fn start(command: &[OsString]) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let output = io::stderr().as_fd().try_clone_to_owned()?;
    Command::new(program).args(arguments).stdin(Stdio::null()).stdout(output).spawn()
}

fn end_group() {
    // Includes this process.
    let _ = kill_current_process_group(Signal::KILL);
}

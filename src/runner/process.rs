//! One trial's process, seen from the parent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fs_err as fs;
use signal_hook::consts::SIGINT;

use super::{Interrupt, Request};
use crate::exit::Exit;
use crate::guard::this_program;
use crate::record::Record;
use crate::store::TrialDir;
use crate::trial::Wishes;

/// What a parent writes to ask for [`Wishes::finish`] and [`Wishes::leave`].
const FINISH: u8 = b'\n';
const LEAVE: u8 = b'l';

/// How a trial's process ended.
pub(super) enum ProcessEnd {
    /// By itself.
    Exited(ExitStatus),
    /// Killed after its time was up.
    TimedOut(Duration),
    /// Killed because the run was interrupted.
    Interrupted,
    /// It never began.
    NotStarted(anyhow::Error),
}

/// Starts the trial in `dir`, to pause after `pause_at` steps, passes its events on and waits for its end.
///
/// What comes through the pipe is for whoever watches; all of it is in the trial's files too.
///
/// # Errors
/// Fails if the process cannot be started or waited for.
pub(super) fn run(
    dir: &TrialDir,
    pause_at: Option<u64>,
    timeout: Option<Duration>,
    interrupt: &Interrupt,
    mut on_event: impl FnMut(Record),
) -> anyhow::Result<ProcessEnd> {
    const POLL: Duration = Duration::from_millis(50);
    const ASK_AGAIN: Duration = Duration::from_secs(1);
    let stderr = fs::File::create(dir.stderr())?;
    let mut child = Command::new(this_program()?)
        .arg("trial")
        .arg(dir.path())
        .arg("--attended")
        .args(pause_at.map(|steps| format!("--pause-at={steps}")))
        // Schedulers send their signal to every process of a job.
        .args(interrupt.has_grace().then_some("--leave-on-term"))
        // A pipe that closes when this process is gone, however it went: the child then ends too.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(stderr.into_file())
        // A signal from the terminal is for the run, which then ends its trials.
        .process_group(0)
        .spawn()
        .context("failed to start a trial's process")?;
    let mut alive = child.stdin.take().context("a child's input is a pipe")?;
    let stdout = child.stdout.take().context("a child's output is a pipe")?;
    let started = Instant::now();

    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n') {
            let Ok(line) = line else { break };
            // A line that is no event is something a library printed.
            if let Ok(record) = serde_json::from_slice(&line)
                && sender.send(record).is_err()
            {
                break;
            }
        }
    });
    let mut asked: Option<Instant> = None;
    let ending = loop {
        match receiver.recv_timeout(POLL) {
            Ok(record) => on_event(record),
            Err(RecvTimeoutError::Disconnected) => break ProcessEnd::Exited(child.wait()?),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let wish = match interrupt.request() {
            Some(Request::Abort(_)) => {
                kill(&mut child);
                break ProcessEnd::Interrupted;
            }
            Some(Request::Finish) => Some(FINISH),
            Some(Request::Leave) => Some(LEAVE),
            None => None,
        };
        // Asked again: a process may be replaced by the program that has its engine.
        if let Some(wish) = wish.filter(|_| asked.is_none_or(|at| at.elapsed() > ASK_AGAIN)) {
            asked = Some(Instant::now());
            // One that has ended in between needs no asking.
            let _ = alive.write_all(&[wish]);
        }
        if let Some(timeout) = timeout.filter(|timeout| started.elapsed() > *timeout) {
            kill(&mut child);
            break ProcessEnd::TimedOut(timeout);
        }
    };
    drop(alive);
    let _ = reader.join();
    Ok(ending)
}

/// The program beside this one, or on the `PATH`, that has the engine of this name: `rushes-NAME`.
///
/// # Errors
/// Fails if there is none; says how to get it.
pub fn engine_program(engine: &str) -> anyhow::Result<PathBuf> {
    let name = format!("rushes-{engine}");
    let own = std::env::current_exe().context("failed to find this program's own file")?;
    let beside = own.parent().map(|folder| folder.join(&name));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(&name));
    beside.into_iter().chain(on_path).find(|program| program.is_file()).with_context(|| {
        format!(
            "engine \"{engine}\" is in the program {name}, which is neither beside this one nor on the PATH; in \
             a checkout, `./bootstrap just build-{engine}` makes it"
        )
    })
}

fn kill(child: &mut Child) {
    // It may have ended in between.
    let _ = child.kill();
    let _ = child.wait();
}

/// The child's side of the pipe: passes on what the parent asks for, and ends this process when the parent is gone.
pub fn follow_parent(wishes: Arc<Wishes>) {
    std::thread::spawn(move || {
        let mut wish = [0];
        while std::io::stdin().read(&mut wish).is_ok_and(|read| read > 0) {
            match wish {
                [LEAVE] => wishes.leave(),
                _ => wishes.finish(),
            }
        }
        std::process::exit(Exit::Interrupted(SIGINT as u8).code().into());
    });
}

/// What a process that left no result has to say: its end, and the last thing it printed.
pub(super) fn explain(dir: &TrialDir, ending: &ProcessEnd) -> String {
    let how = match ending {
        ProcessEnd::Exited(status) => {
            format!("the trial's process ended without a result ({status})")
        }
        ProcessEnd::TimedOut(timeout) => {
            format!("killed after {} seconds, the trial's time limit", timeout.as_secs_f64())
        }
        ProcessEnd::Interrupted => "interrupted".to_owned(),
        ProcessEnd::NotStarted(error) => {
            return format!("the trial could not be started: {error:#}");
        }
    };
    let stderr = fs::read(dir.stderr()).unwrap_or_default();
    match last_words(&String::from_utf8_lossy(&stderr)) {
        Some(line) => format!("{how}: {line}"),
        None => how,
    }
}

/// The last line that says something: hints and the stack below a panic's message, which `RUST_BACKTRACE` asks for,
/// are left out.
fn last_words(stderr: &str) -> Option<&str> {
    let (said, _stack) = stderr.rsplit_once("\nstack backtrace:").unwrap_or((stderr, ""));
    let hint = |line: &&str| line.is_empty() || line.starts_with("note:");
    said.lines().rev().map(str::trim).find(|line| !hint(line))
}

#[cfg(test)]
mod tests {
    use super::last_words;

    #[test]
    fn a_stack_does_not_hide_the_cause() {
        let panic = "libav: warning\nthread 'main' panicked at src/x.rs:1:2:\nindex out of bounds";
        let hint = "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace";
        let stack = "stack backtrace:\n   0: __rustc::rust_begin_unwind\n             at library/std/src/panicking.rs:697:5";
        for after in
            [hint.to_owned(), format!("{stack}\n{hint}"), stack.to_owned(), "\n".to_owned()]
        {
            assert_eq!(last_words(&format!("{panic}\n{after}\n")), Some("index out of bounds"));
        }
        assert_eq!(last_words("note: a hint\n\n"), None);
    }
}

//! One trial's process, seen from the parent.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fs_err as fs;

use crate::store::TrialDir;
use crate::trial::Message;

/// How a trial's process ended.
pub enum Ending {
    /// By itself.
    Exited(ExitStatus),
    /// Killed after its time was up.
    TimedOut(Duration),
    /// Killed because the run was interrupted.
    Interrupted,
}

/// Starts the trial in `dir`, to pause after `pause_at` steps, passes its messages on and waits for its end.
///
/// # Errors
/// Where the process cannot be started or waited for.
pub fn run(
    dir: &TrialDir,
    pause_at: Option<u64>,
    timeout: Option<Duration>,
    interrupted: &AtomicBool,
    mut on_message: impl FnMut(Message),
) -> anyhow::Result<Ending> {
    const POLL: Duration = Duration::from_millis(50);
    let stderr = fs::File::create(dir.stderr())?;
    let program = std::env::current_exe().context("failed to find this program's own file")?;
    let mut child = Command::new(program)
        .arg("trial")
        .arg(dir.path())
        .args(pause_at.map(|steps| format!("--pause-at={steps}")))
        // A pipe that closes when this process is gone, however it went: the child then ends too.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(stderr.into_file())
        .spawn()
        .context("failed to start a trial's process")?;
    let alive: Option<ChildStdin> = child.stdin.take();
    let stdout = child.stdout.take().context("a child's output is a pipe")?;
    let started = Instant::now();

    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            // A line that is no message is something a library printed.
            if let Ok(message) = serde_json::from_str(&line)
                && sender.send(message).is_err()
            {
                break;
            }
        }
    });
    let ending = loop {
        match receiver.recv_timeout(POLL) {
            Ok(message) => on_message(message),
            Err(RecvTimeoutError::Disconnected) => break Ending::Exited(child.wait()?),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if interrupted.load(Ordering::Relaxed) {
            kill(&mut child);
            break Ending::Interrupted;
        }
        if let Some(timeout) = timeout.filter(|timeout| started.elapsed() > *timeout) {
            kill(&mut child);
            break Ending::TimedOut(timeout);
        }
    };
    drop(alive);
    let _ = reader.join();
    Ok(ending)
}

fn kill(child: &mut Child) {
    // It may have ended in between.
    let _ = child.kill();
    let _ = child.wait();
}

/// The child's side of the pipe: ends this process when the parent is gone.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        let mut byte = [0];
        // The parent never writes; a read returns when the pipe closes.
        let _ = std::io::stdin().read(&mut byte);
        std::process::exit(crate::exit::Exit::Interrupted as i32);
    });
}

/// What a process that left no result has to say: its end, and the last thing it printed.
pub fn explain(dir: &TrialDir, ending: &Ending) -> String {
    let how = match ending {
        Ending::Exited(status) => format!("the trial's process ended without a result ({status})"),
        Ending::TimedOut(timeout) => {
            format!("killed after {} seconds, the trial's time limit", timeout.as_secs_f64())
        }
        Ending::Interrupted => "interrupted".to_owned(),
    };
    let stderr = fs::read(dir.stderr()).unwrap_or_default();
    let stderr = String::from_utf8_lossy(&stderr);
    match stderr.lines().rev().find(|line| !line.trim().is_empty() && !line.starts_with("note:")) {
        Some(line) => format!("{how}: {}", line.trim()),
        None => how,
    }
}

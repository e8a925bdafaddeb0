//! A child process that answers commands: started, asked with time limits, and killed with all that it started.

use std::ffi::OsString;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::memory::{Layout, SharedMemory};
use crate::wire::{Answer, Memory, Ready};

/// How a program is started.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Program {
    /// The program: found on the `PATH`, or a path.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What is said of it: the line that a shell would accept, shortened where it is long.
    pub shown: String,
    /// Its working directory, where a relative path of the program begins too; this process's own by default.
    pub directory: Option<PathBuf>,
    /// Environment variables that it gets beside this process's own.
    pub variables: Vec<(OsString, OsString)>,
    /// How long it may take until it answers the handshake.
    pub start_timeout: Duration,
    /// How long it may take to answer a command.
    pub call_timeout: Duration,
}

/// A process failed. What it is and what it did, on one line or with the traceback that it sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl Failure {
    /// A failure with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// How much is kept of what a process printed last.
const LAST_WORDS: usize = 4096;
/// Longest line and longest message that are read: a process that sends more is refused, not waited for.
const LONGEST_MESSAGE: usize = 1 << 28;

/// A process that answers commands through its standard input and output.
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    /// What came after the last line that was read.
    rest: Vec<u8>,
    /// Copies what the process prints to our standard error and keeps the end of it.
    stderr: JoinHandle<()>,
    last_words: Arc<Mutex<Vec<u8>>>,
    call_timeout: Duration,
}

impl Process {
    /// Starts `program` in a process group of its own.
    ///
    /// # Errors
    /// Fails if it cannot be started; says what was tried.
    pub fn start(program: &Program) -> Result<Self, Failure> {
        let path = Path::new(&program.program);
        let is_path = path.components().count() > 1;
        let path = match program.directory.as_ref().filter(|_| is_path) {
            Some(directory) => directory.join(path),
            None => path.to_owned(),
        };
        let mut command = Command::new(&path);
        command
            .args(&program.arguments)
            .envs(program.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(directory) = &program.directory {
            command.current_dir(directory);
        }
        #[cfg(target_os = "linux")]
        // SAFETY: the closure makes one system call and allocates nothing.
        unsafe {
            // A process that hangs does not see that its input has closed.
            command.pre_exec(|| {
                rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
                Ok(())
            });
        }
        let mut child = command.spawn().map_err(|error| {
            match program.directory.as_ref().filter(|folder| !folder.is_dir()) {
                Some(missing) => {
                    Failure::new(format!("its folder {} is not there", missing.display()))
                }
                None => Failure::new(format!("{} could not be started: {error}", path.display())),
            }
        })?;
        let input = child.stdin.take().expect("a child's input is a pipe");
        // A process that does not read is not waited for without end. Its own end of the pipe is not concerned.
        rustix::io::ioctl_fionbio(&input, true)
            .map_err(|error| Failure::new(format!("its input cannot be written: {error}")))?;
        let last_words = Arc::new(Mutex::new(Vec::new()));
        let printed = child.stderr.take().expect("a child's standard error is a pipe");
        let kept = Arc::clone(&last_words);
        let stderr = std::thread::spawn(move || pass_on(printed, &kept));
        Ok(Self {
            input: Some(input),
            output: child.stdout.take().expect("a child's output is a pipe"),
            child,
            rest: Vec::new(),
            stderr,
            last_words,
            call_timeout: program.call_timeout,
        })
    }

    /// Writes a line of JSON.
    ///
    /// # Errors
    /// Fails if the process is gone or does not read.
    pub fn tell(&mut self, message: &impl Serialize, timeout: Duration) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(message)
            .map_err(|error| Failure::new(format!("a message could not be written: {error}")))?;
        line.push(b'\n');
        self.write(&line, timeout, "a message")
    }

    /// Reads a line of JSON.
    ///
    /// # Errors
    /// Fails if none comes in time, it is not what was expected, or the process says that it failed.
    pub fn hear<T: DeserializeOwned>(
        &mut self,
        timeout: Duration,
        what: &str,
    ) -> Result<T, Failure> {
        let until = Instant::now() + timeout;
        let end = loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                break end;
            }
            if self.rest.len() > LONGEST_MESSAGE {
                return Err(Failure::new(format!("{what} is longer than {LONGEST_MESSAGE} bytes")));
            }
            let mut more = [0; 1 << 16];
            let read = self.read_some(&mut more, until, timeout, "the handshake")?;
            self.rest.extend_from_slice(&more[..read]);
        };
        let line: Vec<u8> = self.rest.drain(..=end).collect();
        // serde tells of an untagged enum only that no variant fits.
        if let Ok(Answer::Error::<T> { error }) = serde_json::from_slice(&line) {
            return Err(Failure(error));
        }
        let reader = &mut serde_json::Deserializer::from_slice(&line);
        serde_path_to_error::deserialize(reader).map_err(|error| {
            let line = String::from_utf8_lossy(&line);
            let start: String = line.trim_end().chars().take(200).collect();
            Failure::new(format!(
                "{what} is not what was expected: {error}, in: {start} (standard output belongs to the protocol; what \
                 a program prints belongs on its standard error)"
            ))
        })
    }

    /// Makes memory for these arrays and ends the handshake: tells where it is, waits until the process has mapped it,
    /// and removes its name.
    ///
    /// # Errors
    /// Fails if there is no memory, or the process does not answer as it should.
    pub(crate) fn share(
        &mut self,
        layout: Layout,
        timeout: Duration,
    ) -> Result<SharedMemory, Failure> {
        let size = layout.size();
        let mut memory = SharedMemory::create(layout).map_err(|error| {
            Failure::new(format!("{size} bytes of shared memory could not be made: {error}"))
        })?;
        let message = Memory { path: memory.path(), size, arrays: memory.arrays().to_vec() };
        self.tell(&message, timeout)?;
        let _: Ready = self.hear(timeout, "its last line of the handshake")?;
        memory.unlink();
        Ok(memory)
    }

    /// Sends a command and what belongs to it.
    ///
    /// # Errors
    /// Fails if the process is gone or does not read.
    pub fn send(&mut self, message: &[u8], what: &str) -> Result<(), Failure> {
        self.write(message, self.call_timeout, what)
    }

    /// Waits for the answer to `what`: an `K`, or an `E` with why it failed.
    ///
    /// # Errors
    /// Fails if none comes in time, if it is another one, or with what the process says.
    pub fn confirm(&mut self, what: &str) -> Result<(), Failure> {
        match self.read_exact(1, what)?[0] {
            b'K' => Ok(()),
            b'E' => {
                let message = self.read_message(what)?;
                Err(Failure(String::from_utf8_lossy(&message).trim_end().to_owned()))
            }
            other => Err(Failure::new(format!(
                "answered {what} with the byte {:?}, expected \"K\" or \"E\"; whatever it prints belongs on its \
                 standard error",
                char::from(other)
            ))),
        }
    }

    /// Reads a message: its length, 4 bytes, little-endian, and so many bytes.
    ///
    /// # Errors
    /// Fails if it does not come in time.
    pub fn read_message(&mut self, what: &str) -> Result<Vec<u8>, Failure> {
        let length = self.read_exact(4, what)?;
        let length = u32::from_le_bytes(length.try_into().expect("4 bytes")) as usize;
        if length > LONGEST_MESSAGE {
            return Err(Failure::new(format!("answered {what} with {length} bytes")));
        }
        self.read_exact(length, what)
    }

    fn read_exact(&mut self, length: usize, what: &str) -> Result<Vec<u8>, Failure> {
        let until = Instant::now() + self.call_timeout;
        let mut bytes: Vec<u8> = self.rest.drain(..length.min(self.rest.len())).collect();
        while bytes.len() < length {
            let mut more = vec![0; (length - bytes.len()).min(1 << 20)];
            let read = self.read_some(&mut more, until, self.call_timeout, what)?;
            bytes.extend_from_slice(&more[..read]);
        }
        Ok(bytes)
    }

    fn read_some(
        &mut self,
        to: &mut [u8],
        until: Instant,
        timeout: Duration,
        what: &str,
    ) -> Result<usize, Failure> {
        // A process that it started may keep its output open after its end.
        const LOOK: Duration = Duration::from_millis(500);
        while !wait_for(self.output.as_fd(), PollFlags::IN, until.min(Instant::now() + LOOK)) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return Err(self.gone());
            }
            if Instant::now() >= until {
                return Err(self.late(timeout, what));
            }
        }
        match self.output.read(to) {
            Ok(0) | Err(_) => Err(self.gone()),
            Ok(read) => Ok(read),
        }
    }

    fn write(&mut self, bytes: &[u8], timeout: Duration, what: &str) -> Result<(), Failure> {
        let until = Instant::now() + timeout;
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(input) = &mut self.input else { return Err(self.gone()) };
            match input.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !wait_for(input.as_fd(), PollFlags::OUT, until) {
                        return Err(self.late(timeout, what));
                    }
                }
                Err(_) => return Err(self.gone()),
            }
        }
        Ok(())
    }

    fn late(&mut self, timeout: Duration, what: &str) -> Failure {
        self.kill();
        Failure::new(format!("no answer to {what} within {} s", timeout.as_secs_f64()))
    }

    /// Why the process is gone.
    fn gone(&mut self) -> Failure {
        // It has closed its output, so that it is about to end; what does not is ended.
        let until = Instant::now() + Duration::from_secs(2);
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                _ => break None,
            }
        };
        self.kill();
        let how = status.map_or("it closed its standard output".into(), how_it_ended);
        let kept = self.last_words.lock().expect("no thread panics with the lock");
        let printed = String::from_utf8_lossy(&kept);
        match printed.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
            Some(line) => {
                Failure::new(format!("its process ended ({how}); it printed last: {line}"))
            }
            None => Failure::new(format!("its process ended ({how})")),
        }
    }

    /// Kills the process and whatever it started in its process group.
    fn kill(&mut self) {
        self.input = None;
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // Nobody may be left in it.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
        // What it printed last arrives, unless something outside of the group keeps the pipe open.
        let until = Instant::now() + Duration::from_millis(200);
        while !self.stderr.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Process {
    /// Closes its input; says whether it ended by itself.
    pub fn close(mut self) -> bool {
        self.end()
    }

    /// Lets the process end by itself, for a moment, then kills it; says which it was.
    fn end(&mut self) -> bool {
        const PATIENCE: Duration = Duration::from_secs(2);
        if self.input.take().is_none() {
            return false;
        }
        let until = Instant::now() + PATIENCE;
        let ended = loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(1)),
                status => break matches!(status, Ok(Some(_))),
            }
        };
        self.kill();
        ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn how_it_ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(_) => status.to_string(),
        None => format!("exit status {}", status.code().unwrap_or_default()),
    }
}

/// Waits until `fd` is ready, or has been closed at its other end; says whether that was in time.
fn wait_for(fd: BorrowedFd<'_>, events: PollFlags, until: Instant) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        match poll(&mut [PollFd::from_borrowed_fd(fd, events)], Some(&timeout)) {
            Ok(0) if left.is_zero() => return false,
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            // What is wrong with it shows when it is read.
            Ok(_) | Err(_) => return true,
        }
    }
}

/// Copies what a process prints to this process's standard error, until it is closed.
fn pass_on(mut from: impl std::io::Read, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        // A closed or full log is no reason to end the environment.
        let _ = std::io::stderr().write_all(&buffer[..read]);
        let mut kept = kept.lock().expect("no thread panics with the lock");
        kept.extend_from_slice(&buffer[..read]);
        let surplus = kept.len().saturating_sub(LAST_WORDS);
        kept.drain(..surplus);
    }
}

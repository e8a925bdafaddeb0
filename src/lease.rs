//! Who works in a directory: a lock between the processes of one machine, a lease between machines.
//!
//! A file lock ends with its process, but not every network file system keeps it from other machines. A lease is a file
//! `NAME.lease-N` that its holder writes anew every [`BEAT`]. One that is another machine's and stays the same for
//! [`LIFE`] is over: its holder was killed, or is cut off. Whoever waits for that watches the file for as long, so that no
//! two clocks are compared. The next holder makes the file of the number after, which only one process can; a holder that
//! finds it, or cannot write its own for as long as a lease lives, ends its process.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fs_err as fs;
use serde::{Deserialize, Serialize};
use sysinfo::System;

use crate::console;
use crate::exit::Exit;

/// How often a holder renews its lease.
const BEAT: Duration = Duration::from_secs(5);
/// How long a lease of another machine has to stay the same to be over.
pub const LIFE: Duration = Duration::from_secs(60);
/// How long a holder relies on a lease that it could not renew: less than others wait, whatever a write takes.
const RELIED_ON: Duration = Duration::from_secs(45);
/// How often who waits looks whether something changed.
const LOOK: Duration = Duration::from_secs(1);

/// Another process works in the directory.
#[derive(Debug, thiserror::Error)]
#[error("another rushes is working in {}{by}; wait for it to end", directory.display())]
pub struct Busy {
    directory: PathBuf,
    by: String,
}

/// The right to write into a directory, given back when dropped.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    holder: Holder,
    started: Instant,
    /// When it was renewed last, in milliseconds since the start.
    renewed: Arc<AtomicU64>,
    /// Ends the thread that renews it.
    beats: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
    /// Held open for its lock.
    _lock: Option<File>,
}

/// What a lease's file says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Holder {
    /// The machine's name.
    host: String,
    /// What tells this start of this machine from all others.
    boot: String,
    process: u32,
    /// Drawn at random.
    id: u64,
    /// How often it was renewed.
    beats: u64,
}

impl Lease {
    /// Takes the lease `name` of `directory`; waits for up to [`LIFE`] where another machine has it.
    ///
    /// # Errors
    /// Fails with [`Busy`] if another process has it, or if its file cannot be written.
    pub fn take(directory: &Path, name: &str) -> anyhow::Result<Self> {
        Self::take_after(directory, name, LIFE)
    }

    fn take_after(directory: &Path, name: &str, life: Duration) -> anyhow::Result<Self> {
        let busy = |by: Option<&Holder>| Busy {
            directory: directory.to_owned(),
            by: by
                .map_or_else(String::new, |by| format!(" (process {} on {})", by.process, by.host)),
        };
        let lock = lock(&directory.join(format!("{name}.lock")))?;
        let lock = lock.map_err(|()| busy(None))?;
        let holder = Holder::this();
        let mut number = 1;
        let earlier = files(directory, name)?;
        if let Some((last, path)) = earlier.iter().max() {
            let found = Holder::read(path)?;
            // A process of this machine would still have the lock.
            let is_over = found.as_ref().is_some_and(|found| found.boot == holder.boot);
            if !(is_over && lock.is_some()) && is_renewed(path, found.as_ref(), life)? {
                return Err(busy(found.as_ref()).into());
            }
            number = last + 1;
        }
        let path = directory.join(format!("{name}.lease-{number}"));
        if !holder.create(&path)? {
            return Err(busy(Holder::read(&path)?.as_ref()).into());
        }
        // A holder that was thought dead ends when it finds its own gone.
        for (_, over) in earlier {
            let _ = fs::remove_file(over);
        }
        let renewed = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = mpsc::channel();
        let started = Instant::now();
        let mut lease = Self { path, holder, started, renewed, beats: None, _lock: lock };
        let (path, holder) = (lease.path.clone(), lease.holder.clone());
        let renewed = lease.renewed.clone();
        let next = directory.join(format!("{name}.lease-{}", number + 1));
        let thread = std::thread::Builder::new()
            .spawn(move || keep_renewing(&path, &next, holder, started, &renewed, &stopped))
            .context("failed to start the thread of a lease")?;
        lease.beats = Some((stop, thread));
        Ok(lease)
    }

    /// Waits until this process may write: not at all, unless the lease was not renewed for so long that another process
    /// may have taken it over, as this one was stopped, or its disk let all writes wait. The thread that renews it then
    /// finds out, and ends this process if one did.
    pub fn wait_until_held(&self) {
        while since_renewal(self.started, &self.renewed) >= RELIED_ON {
            std::thread::sleep(LOOK);
        }
    }
}

/// For how long a lease that was taken at `started` was not renewed.
fn since_renewal(started: Instant, renewed: &AtomicU64) -> Duration {
    started.elapsed().saturating_sub(Duration::from_millis(renewed.load(Ordering::Relaxed)))
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.beats.take() {
            drop(stop);
            let _ = thread.join();
        }
        // Another one's is left alone; what cannot be removed is over after its life.
        if self.holder.is_in(&self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Holder {
    fn this() -> Self {
        let host = System::host_name().unwrap_or_else(|| "an unknown host".into());
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let boot = boot.map_or_else(|_| host.clone(), |id| id.trim().to_owned());
        Self { host, boot, process: std::process::id(), id: rand::random(), beats: 0 }
    }

    /// What the file says; nothing where it is gone or not whole.
    fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        match fs::read(path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the file, unless there is one; says whether it did.
    fn create(&self, path: &Path) -> anyhow::Result<bool> {
        let mut file = match fs::File::create_new(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            file => file?,
        };
        let written = file.write_all(&serde_json::to_vec(self)?);
        if written.is_err() {
            // On a full disk, say: nobody is to wait for it.
            let _ = fs::remove_file(path);
        }
        written.map(|()| true).map_err(Into::into)
    }

    fn is_in(&self, path: &Path) -> bool {
        Self::read(path).ok().flatten().is_some_and(|found| found.id == self.id)
    }
}

/// Renews the lease until it is given back, or ends this process.
fn keep_renewing(
    path: &Path,
    next: &Path,
    mut holder: Holder,
    started: Instant,
    renewed: &AtomicU64,
    stopped: &mpsc::Receiver<()>,
) {
    while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
        holder.beats += 1;
        let renew = || -> anyhow::Result<bool> {
            let held = match Holder::read(path)? {
                Some(found) => found.id == holder.id && !next.exists(),
                None => false,
            };
            if held {
                // In place: what somebody else made meanwhile is not replaced.
                let mut file = fs::OpenOptions::new().write(true).open(path)?;
                file.write_all(&serde_json::to_vec(&holder)?)?;
                file.sync_data()?; // not the time of the change, for which a busy disk may take a minute
            }
            Ok(held)
        };
        // Others may have looked as soon as the renewal began.
        let (now, since) = (started.elapsed(), since_renewal(started, renewed));
        match renew() {
            Ok(true) => renewed.store(now.as_millis() as u64, Ordering::Relaxed),
            Err(_) if since < RELIED_ON => {}
            Ok(false) | Err(_) => {
                console::message(format_args!(
                    "error: {} is no longer this process's, which ends; another one took over, or the file could not \
                     be written for {} seconds",
                    path.display(),
                    since.as_secs()
                ));
                std::process::exit(Exit::Busy.code().into());
            }
        }
    }
}

/// Locks the file for as long as it is open: an error in the result if another process has it, nothing where the file
/// system knows no locks.
fn lock(path: &Path) -> anyhow::Result<Result<Option<File>, ()>> {
    let file = fs::File::create(path)?.into_file();
    match file.try_lock() {
        Ok(()) => Ok(Ok(Some(file))),
        Err(TryLockError::WouldBlock) => Ok(Err(())),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            Ok(Ok(None))
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("failed to lock {}", path.display()))
        }
    }
}

/// The leases in a directory with their numbers.
fn files(directory: &Path, name: &str) -> anyhow::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let file = entry.file_name();
        let number = (file.to_str())
            .and_then(|file| file.strip_prefix(name)?.strip_prefix(".lease-")?.parse().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    Ok(found)
}

/// Whether somebody has, or had and did not give back, the lease `name` of `directory`.
pub fn is_there(directory: &Path, name: &str) -> bool {
    files(directory, name).is_ok_and(|files| !files.is_empty())
}

/// Watches whether a holder renews its lease, for up to `life`. One that is given back meanwhile is over.
fn is_renewed(path: &Path, found: Option<&Holder>, life: Duration) -> anyhow::Result<bool> {
    let by = found.map_or_else(
        || "another process".to_owned(),
        |found| format!("process {} on {}", found.process, found.host),
    );
    console::message(format_args!(
        "waiting up to {} seconds to see whether {by} still works in {}",
        life.as_secs(),
        path.parent().unwrap_or(path).display()
    ));
    let started = Instant::now();
    while started.elapsed() < life {
        std::thread::sleep(LOOK.min(life));
        if !path.exists() {
            return Ok(false);
        }
        // Half a file is one that is being written.
        if Holder::read(path)?.is_some_and(|now| Some(&now) != found) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elsewhere(beats: u64) -> Holder {
        let (host, boot) = ("elsewhere".to_owned(), "another".to_owned());
        Holder { host, boot, process: 7, id: 1, beats }
    }

    #[test]
    fn a_lease_is_given_back_and_one_of_this_machine_ends_with_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let lease = Lease::take(folder.path(), "trial").unwrap();
        lease.wait_until_held();
        let error = Lease::take(folder.path(), "trial").unwrap_err();
        assert!(error.downcast_ref::<Busy>().is_some(), "{error:#}");
        drop(lease);
        assert!(files(folder.path(), "trial").unwrap().is_empty());
        // A killed process leaves its file, and no lock.
        Holder { beats: 9, ..Holder::this() }.create(&folder.path().join("trial.lease-3")).unwrap();
        let lease = Lease::take(folder.path(), "trial").unwrap();
        assert!(lease.path.ends_with("trial.lease-4"), "{lease:?}");
        assert_eq!(files(folder.path(), "trial").unwrap().len(), 1);
    }

    #[test]
    fn a_lease_that_could_not_be_renewed_is_waited_for() {
        let renewed = Arc::new(AtomicU64::new(0));
        let started = Instant::now().checked_sub(LIFE).expect("the machine runs for a minute");
        let (path, holder) = (PathBuf::from("trial.lease-1"), Holder::this());
        let lease =
            Lease { path, holder, started, renewed: renewed.clone(), beats: None, _lock: None };
        let renewing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            renewed.store(LIFE.as_millis() as u64, Ordering::Relaxed);
        });
        lease.wait_until_held();
        assert!(since_renewal(lease.started, &lease.renewed) < RELIED_ON);
        renewing.join().unwrap();
    }

    #[test]
    fn another_machines_lease_is_taken_over_only_when_nobody_renews_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trial.lease-1");
        elsewhere(0).create(&path).unwrap();
        let renews = path.clone();
        let renewing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            fs::write(renews, serde_json::to_vec(&elsewhere(1)).unwrap()).unwrap();
        });
        let error = Lease::take_after(folder.path(), "trial", LIFE).unwrap_err().to_string();
        assert!(error.contains("(process 7 on elsewhere); wait for it to end"), "{error}");
        renewing.join().unwrap();
        let dead = Lease::take_after(folder.path(), "trial", Duration::from_millis(50)).unwrap();
        assert!(dead.path.ends_with("trial.lease-2"), "{dead:?}");
    }
}

//! Where numbers come from: versions, machine, and the state of the git repository.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use indexmap::IndexMap;
use sysinfo::{CpuRefreshKind, System};

use crate::nn;
use crate::record::GitInfo;

/// Versions of everything in this program that decides the numbers.
pub fn versions() -> IndexMap<String, String> {
    let mut versions = IndexMap::from([
        ("rushes".into(), env!("CARGO_PKG_VERSION").into()),
        ("rustc".into(), env!("RUSHES_RUSTC_VERSION").into()),
        ("arithmetic".into(), nn::arithmetic().into()),
    ]);
    versions.extend(c_library().map(|version| ("c library".into(), version)));
    for engine in nn::engines() {
        versions.extend(engine.library().map(|(name, version)| (name.into(), version.into())));
    }
    versions.extend(crate::video::ffmpeg_version().map(|version| ("ffmpeg".into(), version)));
    versions
}

/// The C library that this program runs on, whose sines and powers are those of environments.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn c_library() -> Option<String> {
    // SAFETY: it gives a constant string, which lives as long as the process.
    let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
    Some(format!("glibc {}", version.to_str().ok()?))
}

/// The C library that this program runs on; others tell no version.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn c_library() -> Option<String> {
    None
}

/// What `program`, another `rushes`, says of its own versions.
///
/// # Errors
/// Fails if it cannot be started or is of another kind.
pub fn versions_of(program: &mut Command) -> anyhow::Result<IndexMap<String, String>> {
    let output = program.arg("versions").output();
    let output = output.with_context(|| format!("failed to start {program:?}"))?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{program:?} does not tell its versions; build it again"))
}

/// The machine, as far as it tells about itself.
pub fn machine() -> IndexMap<String, String> {
    let mut machine = IndexMap::new();
    let os = System::long_os_version();
    machine.insert("os".into(), os.unwrap_or_else(|| std::env::consts::OS.into()));
    machine.insert("architecture".into(), std::env::consts::ARCH.into());
    let mut system = System::new();
    system.refresh_cpu_list(CpuRefreshKind::nothing());
    let mut models = system.cpus().iter().map(|core| core.brand());
    if let Some(model) = models.find(|model| !model.is_empty()) {
        machine.insert("processor".into(), model.into());
    }
    if let Ok(cores) = std::thread::available_parallelism() {
        machine.insert("cores".into(), cores.to_string());
    }
    machine
}

/// Bytes of memory that the machine has, or the container where that is limited to less; `None` where the system
/// does not tell.
pub fn memory_bytes() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory();
    let machine = Some(system.total_memory()).filter(|bytes| *bytes > 0)?;
    Some(system.cgroup_limits().map_or(machine, |limits| limits.total_memory.min(machine)))
}

/// The most memory that this process has had in use, in bytes; `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub fn peak_memory_bytes() -> Option<u64> {
    // Not what `getrusage` says: that counts the process that started this one as well.
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    Some(status.ok()?.vmhwm? * 1024)
}

/// The most memory that this process has had in use; only Linux tells.
#[cfg(not(target_os = "linux"))]
pub fn peak_memory_bytes() -> Option<u64> {
    None
}

/// The commit of the repository around `folder`; `None` outside of one or without git.
pub fn git(folder: &Path) -> Option<GitInfo> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let git = |arguments: &[&str]| {
        // A repository may come from elsewhere: its settings start nothing.
        let safe = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"];
        let mut command = Command::new("git");
        let output = command.args(safe).arg("-C").arg(folder).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let dirty = !git(&["status", "--porcelain"])?.is_empty();
    Some(GitInfo { commit, dirty })
}

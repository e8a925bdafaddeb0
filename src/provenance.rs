//! Where numbers come from: versions, machine, and the state of the git repository.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use indexmap::IndexMap;

use crate::nn;
use crate::record::GitInfo;

/// Versions of everything in this program that decides the numbers.
pub fn versions() -> IndexMap<String, String> {
    let mut versions = IndexMap::from([
        ("rushes".into(), env!("CARGO_PKG_VERSION").into()),
        ("rustc".into(), env!("RUSHES_RUSTC_VERSION").into()),
    ]);
    for engine in nn::engines() {
        versions.extend(engine.library().map(|(name, version)| (name.into(), version.into())));
    }
    versions.insert("ffmpeg".into(), crate::video::ffmpeg_version());
    versions
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
    let os = field("/etc/os-release", "PRETTY_NAME=").map(|name| name.trim_matches('"').to_owned());
    machine.insert("os".into(), os.unwrap_or_else(|| std::env::consts::OS.into()));
    machine.insert("architecture".into(), std::env::consts::ARCH.into());
    if let Some(model) = field("/proc/cpuinfo", "model name") {
        machine.insert("processor".into(), model.trim_start_matches([' ', '\t', ':']).into());
    }
    if let Ok(cores) = std::thread::available_parallelism() {
        machine.insert("cores".into(), cores.to_string());
    }
    machine
}

/// Bytes of memory that the machine has, where it tells.
pub fn memory_bytes() -> Option<u64> {
    if let Some(kilobytes) = field("/proc/meminfo", "MemTotal:") {
        return Some(kilobytes.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024);
    }
    let output = Command::new("sysctl").args(["-n", "hw.memsize"]).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

/// The rest of the first line of `file` that begins with `key`.
fn field(file: &str, key: &str) -> Option<String> {
    let text = fs_err::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned)
}

/// The commit of the repository around `folder`; `None` outside of one or without git.
pub fn git(folder: &Path) -> Option<GitInfo> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let dirty = !git(&["status", "--porcelain"])?.is_empty();
    Some(GitInfo { commit, dirty })
}

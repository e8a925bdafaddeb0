//! Every write of a run fails once on purpose: nothing finished is lost, the message names the file, the run resumes.
//!
//! `tests/faults/inject.c` is preloaded into the program and into its trials, and makes one system call fail.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use crate::cli::{essence, rushes};

/// One trial that evaluates, films, checkpoints and trains, in a fifth of a second.
const EXPERIMENT: &str = r#"{
  "name": "faults", "environment": { "id": "CartPole-v1" }, "seeds": 1,
  "recording": { "video": { "width": 120 } },
  "agents": { "dqn": {
    "policy": { "type": "neural", "hidden": [4] },
    "training": {
      "algorithm": { "name": "dqn", "buffer_size": 200, "learning_starts": 20 },
      "schedule": { "steps": 200, "evaluate_every": 100, "record_every": 100, "checkpoint_every": 100 }
    }
  } },
  "evaluation": { "episodes": 2, "training_episodes": 2 }
}"#;

const EINTR: i32 = 4;
const EACCES: i32 = 13;
const ENOSPC: i32 = 28;

/// A call that is made to fail.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    call: String,
    /// The path below the output directory, with `*` for what differs from run to run.
    path: String,
    /// Which of the calls with this path, counted from 1.
    nth: u64,
    errno: i32,
}

struct Laboratory {
    folder: PathBuf,
    experiment: PathBuf,
    library: PathBuf,
}

impl Laboratory {
    fn new(folder: &Path) -> Self {
        let experiment = folder.join("faults.json");
        std::fs::write(&experiment, EXPERIMENT).expect("a file can be written");
        let library = folder.join("inject.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/inject.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]);
        compiler.arg(&library).arg(source).arg("-ldl");
        assert!(compiler.status().expect("there is a C compiler").success());
        Self { folder: folder.to_owned(), experiment, library }
    }

    /// `rushes run` into `output`, not started yet.
    fn run(&self, output: &Path, more: &[&str]) -> Command {
        let mut command = rushes(&["run", "--jobs", "1", "--output"]);
        command.arg(output).arg(&self.experiment).args(more);
        command
    }

    /// The same with the library that makes calls fail; it needs telling which.
    fn haunted(&self, output: &Path) -> Command {
        let mut command = self.run(output, &[]);
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAULT_BELOW", format!("{}/", output.display()));
        command
    }
}

/// The run directory in `output`, once there is one with a plan.
fn run_directory(output: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(output.join("faults")).ok()?;
    let mut runs: Vec<PathBuf> = entries.map(|entry| entry.expect("listed").path()).collect();
    runs.retain(|path| !path.is_symlink() && path.join("plan.json").is_file());
    assert!(runs.len() <= 1, "one run makes one directory: {runs:?}");
    runs.pop()
}

/// A path below the output directory with what differs from run to run replaced by `*`.
fn pattern(path: &str) -> String {
    let parts: Vec<_> = path
        .split('/')
        .enumerate()
        .map(|(depth, part)| match part {
            _ if depth == 1 && part.starts_with("20") => "*".to_owned(),
            _ if part.starts_with(".tmp") => ".tmp*".to_owned(),
            _ if part.ends_with(".safetensors") && part.starts_with("0") => {
                "0*.safetensors".to_owned()
            }
            _ => part.to_owned(),
        })
        .collect();
    parts.join("/")
}

/// The faults to try: each call that a run makes, once without room or permission, once interrupted where that can
/// happen. SQLite's own files have a handful of calls for each statement; the first and the last of a kind stand for them.
fn faults(laboratory: &Laboratory) -> Vec<Fault> {
    let output = laboratory.folder.join("logged");
    let log = laboratory.folder.join("calls.log");
    let logged = laboratory.haunted(&output).env("FAULT_LOG", &log).output().expect("it runs");
    assert!(logged.status.success(), "{}", stderr(&logged));
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for line in std::fs::read_to_string(&log).expect("calls were logged").lines() {
        let (call, path) = line.split_once(' ').expect("a call and a path");
        let path = path.strip_prefix(&format!("{}/", output.display())).expect("a path below");
        *counts.entry((call.to_owned(), pattern(path))).or_default() += 1;
    }
    for file in
        ["plan.json", "run.json", "summary.json", "index.html", "trials/dqn--s0/result.json"]
    {
        let renamed = ("rename".to_owned(), format!("faults/*/{file}"));
        assert!(counts.contains_key(&renamed), "the library does not see how {file} is written");
    }
    let mut faults = Vec::new();
    for ((call, path), count) in counts {
        for nth in 1..=count {
            if path.starts_with("history.sqlite") && nth != 1 && nth != count {
                continue;
            }
            let errno = if nth % 2 == 1 { ENOSPC } else { EACCES };
            let fault = Fault { call: call.clone(), path: path.clone(), nth, errno };
            if ["open", "write", "sync", "truncate"].contains(&call.as_str()) {
                faults.push(Fault { errno: EINTR, ..fault.clone() });
            }
            faults.push(fault);
        }
    }
    faults
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What is wrong with how the program takes a fault.
fn verdict(
    laboratory: &Laboratory,
    number: usize,
    fault: &Fault,
    undisturbed: &Path,
) -> Result<(), String> {
    let output = laboratory.folder.join(number.to_string());
    let count = laboratory.folder.join(format!("{number}.count"));
    let disturbed = laboratory
        .haunted(&output)
        .env("FAULT_CALL", &fault.call)
        .env("FAULT_PATH", output.join(&fault.path))
        .env("FAULT_NTH", fault.nth.to_string())
        .env("FAULT_COUNT", &count)
        .env("FAULT_ERRNO", fault.errno.to_string())
        .output()
        .expect("it runs");
    let said = stderr(&disturbed);
    let happened = std::fs::metadata(&count).is_ok_and(|count| count.len() >= fault.nth);
    let code = disturbed.status.code();
    let complain =
        |problem: &str| Err(format!("{fault:?}: {problem}; exit code {code:?}:\n{said}"));
    if !happened {
        return complain("the call was not made");
    }
    if !matches!(code, Some(0..=2)) || said.contains("panicked") {
        return complain("not an orderly end");
    }
    if code != Some(0) {
        let name = match fault.path.rsplit('/').next().unwrap_or_default() {
            "*" | ".tmp*" | "0*.safetensors" => "/faults/",
            name => name.trim_end_matches(".part"),
        };
        if !said.contains(name) {
            return complain("the message does not name the file");
        }
        if fault.errno == EINTR {
            return complain("an interrupted call was not made again");
        }
    }
    // What the machine refused once says nothing of a trial: it is run again within the same run.
    if fault.path.starts_with("faults/*/trials/") && code != Some(0) {
        return complain("one failure of a trial's file costs the run");
    }
    // Go on, or begin if there is nothing to go on from.
    let run = run_directory(&output);
    let resume = run.as_ref().map(|run| format!("--resume={}", run.display()));
    let more: Vec<&str> = resume.as_deref().into_iter().collect();
    let resumed = laboratory.run(&output, &more).output().expect("it runs");
    if !resumed.status.success() {
        return complain(&format!("cannot be resumed: {}", stderr(&resumed)));
    }
    let run = run_directory(&output).expect("a finished run");
    if essence(&run) != essence(undisturbed) {
        return complain("the resumed run differs");
    }
    for film in ["before.mp4", "step-100.mp4", "after.mp4"] {
        let read = |run: &Path| std::fs::read(run.join("trials/dqn--s0").join(film)).ok();
        if read(&run) != read(undisturbed) {
            return complain(&format!("{film} differs"));
        }
    }
    for entry in std::fs::read_dir(&run).expect("a directory") {
        let name = entry.expect("listed").file_name();
        if name.to_string_lossy().starts_with(".tmp") {
            return complain("a temporary file stays");
        }
    }
    std::fs::remove_dir_all(&output).expect("it can be removed");
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn every_write_may_fail_once() {
    let folder = tempfile::tempdir().expect("room for a folder");
    let laboratory = Laboratory::new(folder.path());
    let output = folder.path().join("undisturbed");
    let done = laboratory.run(&output, &[]).output().expect("it runs");
    assert!(done.status.success(), "{}", stderr(&done));
    let undisturbed = run_directory(&output).expect("a finished run");
    let faults = faults(&laboratory);
    assert!(faults.len() > 100, "{} faults", faults.len());
    let numbered: Vec<_> = faults.iter().enumerate().collect();
    let problems: Vec<String> = numbered
        .par_iter()
        .filter_map(|(number, fault)| verdict(&laboratory, *number, fault, &undisturbed).err())
        .collect();
    assert!(
        problems.is_empty(),
        "{} of {}:\n{}",
        problems.len(),
        faults.len(),
        problems.join("\n")
    );
}

#[test]
#[cfg(target_os = "linux")]
fn an_import_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("room for a folder");
    let laboratory = Laboratory::new(folder.path());
    let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/data/sb3/ppo");
    for file in ["trials/ppo--s0/result.json", "plan.json", "run.json", "summary.json"] {
        let output = laboratory.folder.join("imported");
        let count = laboratory.folder.join(format!("{}.count", file.replace('/', "-")));
        let mut import = rushes(&["import", "--name", "faults", "--output"]);
        let disturbed = import
            .arg(&output)
            .arg(&logs)
            .env("LD_PRELOAD", &laboratory.library)
            .env("FAULT_BELOW", format!("{}/", output.display()))
            .env("FAULT_CALL", "rename")
            .env("FAULT_PATH", output.join("faults/*").join(file))
            .env("FAULT_NTH", "1")
            .env("FAULT_COUNT", &count)
            .env("FAULT_ERRNO", ENOSPC.to_string())
            .output()
            .expect("it runs");
        let said = stderr(&disturbed);
        assert_eq!(disturbed.status.code(), Some(2), "{file}: {said}");
        let name = file.rsplit('/').next().expect("a name");
        assert!(said.contains(name), "{file}: {said}");
        let left = std::fs::read_dir(output.join("faults")).expect("the experiment's folder");
        assert_eq!(left.count(), 0, "{file}: neither a run nor `latest`");
    }
}

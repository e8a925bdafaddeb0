//! The real binary, run as a user runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The binary with these arguments, not started yet.
pub(crate) fn rushes(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rushes"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub(crate) fn output(arguments: &[&str]) -> Output {
    rushes(arguments).output().expect("the binary starts")
}

/// Exit code and stderr of a run of the binary.
pub(crate) fn failure(arguments: &[&str]) -> (i32, String) {
    let output = output(arguments);
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Runs `experiments/smoke.json` into `directory`, cut to what a test needs, and returns the run directory.
pub(crate) fn run_smoke(directory: &Path, more: &[&str]) -> PathBuf {
    let directory_text = directory.to_str().expect("temporary paths are text");
    let mut arguments = vec!["run", "experiments/smoke.json", "--output", directory_text];
    arguments.extend(more);
    let output = output(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    assert_eq!(report.file_name().and_then(|name| name.to_str()), Some("index.html"));
    assert!(report.is_file(), "{} is not there", report.display());
    report.parent().expect("a report lies in a run directory").to_owned()
}

/// A trial's history without what the clock decides.
pub(crate) fn events(trial: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(trial.join("events.jsonl")).expect("a trial has events");
    let without_clock = |line: &str| {
        let mut event: Value = serde_json::from_str(line).expect("a line is an event");
        event.as_object_mut().expect("an event is an object").remove("seconds");
        event
    };
    text.lines().map(without_clock).collect()
}

/// Everything of a run that has to be the same however it was run: the events and the policies.
pub(crate) fn essence(run: &Path) -> Vec<(String, Vec<Value>, Option<Vec<u8>>)> {
    let mut trials: Vec<_> = std::fs::read_dir(run.join("trials"))
        .expect("a run has trials")
        .map(|entry| entry.expect("a directory can be listed").path())
        .map(|trial| {
            let name = trial.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, events(&trial), std::fs::read(trial.join("policy.safetensors")).ok())
        })
        .collect();
    trials.sort_by(|a, b| a.0.cmp(&b.0));
    trials
}

#[test]
fn doctor_tells_what_was_found_and_how_to_add_the_rest() {
    let said = |variable: &str| {
        let output = rushes(&["doctor"]).env("RUSHES_MUJOCO", variable).output().expect("starts");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    };
    let said = said("/nowhere");
    let line = |name: &str| said.lines().find(|line| line.starts_with(name)).expect(name);
    assert!(line("films").contains("found"), "{said}");
    assert!(line("MuJoCo").contains("missing  RUSHES_MUJOCO is /nowhere"), "{said}");
    assert!(line("Box2D").contains("LunarLander"), "{said}");
    assert!(line("libtorch").contains("rushes-torch"), "{said}");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let script = output(&["completions", "bash"]);
    let script = String::from_utf8_lossy(&script.stdout);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("text");
    assert!(output(&["man", path]).status.success());
    for command in ["run", "check", "envs", "doctor"] {
        assert!(script.contains(&format!("rushes,{command})")), "{command} in the completions");
        assert!(folder.path().join(format!("rushes-{command}.1")).is_file(), "{command}");
    }
}

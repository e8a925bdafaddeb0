//! The main program hands trials over to `rushes-torch`, and says so where it cannot.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// The main program, which cargo builds beside this package's.
fn rushes() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_rushes-torch")).with_file_name("rushes");
    assert!(program.is_file(), "no {}: run `cargo test --workspace`", program.display());
    program
}

/// An experiment of two agents, one of which needs libtorch.
fn experiment(folder: &Path) -> PathBuf {
    let agent = |engine: &str| {
        json!({
            "policy": { "type": "neural", "hidden": [8], "engine": engine },
            "training": { "algorithm": { "name": "reinforce" }, "schedule": { "episodes": 2 } },
        })
    };
    let file = folder.join("engines.json");
    let experiment = json!({
        "name": "engines",
        "environment": { "id": "CartPole-v1" },
        "agents": { "lean": agent("native"), "heavy": agent("torch") },
        "evaluation": { "episodes": 1 },
        "recording": { "before": false, "after": false },
    });
    std::fs::write(&file, experiment.to_string()).expect("a writable folder");
    file
}

fn run(program: &Path, folder: &Path) -> Output {
    let mut command = Command::new(program);
    command.arg("run").arg(experiment(folder)).arg("--output").arg(folder).env("PATH", "");
    command.output().expect("a program that starts")
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_trial_that_needs_libtorch_is_run_by_the_program_that_has_it() {
    let folder = tempfile::tempdir().expect("room for a run");
    let output = run(&rushes(), folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let run = folder.path().join("engines/latest");
    for (trial, engine) in [("lean--s0", "native"), ("heavy--s0", "torch")] {
        let result = read(&run.join("trials").join(trial).join("result.json"));
        assert_eq!(result["engine"], engine, "{result:#}");
    }
    let versions = &read(&run.join("run.json"))["versions"];
    assert!(versions["libtorch"].is_string(), "{versions}");
    // What it learned is played by the program that has the engine, too.
    let play = |program: PathBuf| {
        let mut command = Command::new(program);
        command.arg("play").arg(&run).args(["heavy", "--json", "--episodes", "2"]);
        let output = command.env("PATH", "").output().expect("a program that starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    assert_eq!(play(rushes()), play(PathBuf::from(env!("CARGO_BIN_EXE_rushes-torch"))));
}

#[test]
fn without_the_program_a_run_says_before_it_starts_how_to_get_it() {
    let folder = tempfile::tempdir().expect("room for a program");
    let alone = folder.path().join("rushes");
    std::fs::copy(rushes(), &alone).expect("a copy");
    let output = run(&alone, folder.path());
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("engines.json"), "{message}");
    assert!(message.contains("engine \"torch\""), "{message}");
    assert!(message.contains("./bootstrap just build-torch"), "{message}");
    assert!(!folder.path().join("engines").exists(), "a run was started");
}

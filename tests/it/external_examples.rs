//! The examples of environments of other processes: they keep to the protocol, are learned and filmed.

use std::fs;
use std::path::Path;
use std::process::Command;

use rushes::validation;
use serde_json::{Value, json};

use crate::cli::rushes;
use crate::interop::python_program;

/// A copy of their folder, so that nothing is built in the checkout.
fn folder() -> tempfile::TempDir {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/external-environments");
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    folder
}

/// Runs rushes as a user in that folder does, and gives everything that it prints.
fn told(folder: &Path, arguments: &[&str]) -> String {
    let output = rushes(arguments).current_dir(folder).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(output.status.success(), "{told}");
    told
}

/// Checks an example's environment and trains on it: PPO has to earn `better` more than random actions do.
fn learns(folder: &Path, file: &str, change: impl FnOnce(&mut Value), better: f64) {
    let path = folder.join(file);
    let mut experiment: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut experiment["environment"]);
    experiment["seeds"] = json!(1);
    experiment["agents"]["ppo"]["training"]["schedule"]["steps"] = json!(40_000);
    fs::write(&path, experiment.to_string()).unwrap();

    let checked = told(folder, &["envs", "check", file]);
    assert!(checked.contains("ok       rendering never steps"), "{checked}");
    assert!(!checked.contains("WRONG"), "{checked}");

    told(folder, &["run", "--plain", file]);
    let name = experiment["name"].as_str().unwrap();
    let run = folder.join("output").join(name).join("latest");
    let summary: Value =
        serde_json::from_str(&fs::read_to_string(run.join("summary.json")).unwrap()).unwrap();
    let mean = |agent: usize| {
        let returns = summary["agents"][agent]["seeds"][0]["final_returns"].as_array().unwrap();
        returns.iter().filter_map(Value::as_f64).sum::<f64>() / returns.len() as f64
    };
    assert!(mean(1) > mean(0) + better, "{name}: {} and {} of random", mean(1), mean(0));
    assert!(run.join("trials/ppo--s0/after.mp4").is_file(), "{name} is filmed");
}

#[test]
fn a_class_written_for_gymnasium_is_learned() {
    let folder = folder();
    let (python, _) = python_program("");
    let change = |environment: &mut Value| environment["gymnasium"]["python"] = json!(python);
    learns(folder.path(), "my_env.json", change, 0.5);
}

#[test]
fn a_program_in_c_is_learned() {
    let folder = folder();
    let compiled = Command::new("cc")
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-o", "catch"])
        .arg("catch.c")
        .current_dir(folder.path())
        .status()
        .unwrap();
    assert!(compiled.success());
    learns(folder.path(), "catch.json", |_| {}, 5.0);
}

#[test]
fn a_page_of_python_is_learned() {
    let folder = folder();
    let (python, _) = python_program("");
    let change = |environment: &mut Value| environment["command"][0] = json!(python);
    learns(folder.path(), "chase.json", change, 50.0);
}

#[test]
fn experiments_with_them_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["experiments/external", "examples/external-environments"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            files.extend(path.extension().is_some_and(|e| e == "json").then_some(path));
        }
    }
    assert!(files.len() >= 7, "they are found");
    for file in files {
        let spec = validation::load(&file, &[]).unwrap_or_else(|error| panic!("{error}"));
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap();
        assert_eq!(spec.name, stem.replace('_', "-"));
    }
}

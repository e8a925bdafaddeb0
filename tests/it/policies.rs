//! Policies that are kept: the best one beside the last one.

use std::path::Path;

use rushes::record::{Event, Progress, TrialResult};
use rushes::store::TrialDir;
use serde_json::{Value, json};

use crate::cli::{failure, output};
use crate::run::run_experiment;

/// An agent that is evaluated five times while it learns.
fn experiment(policy: &str) -> Value {
    json!({
        "name": "kept",
        "environment": { "id": "CartPole-v1" },
        "agents": { "agent": {
            "policy": { "type": "neural", "hidden": [16] },
            "training": {
                "algorithm": { "name": "a2c", "learning_rate": 0.02 },
                "schedule": { "steps": 5000, "evaluate_every": 1000 },
            },
        } },
        "evaluation": { "episodes": 5, "training_episodes": 3, "policy": policy },
        "recording": { "before": false },
    })
}

fn trial(run: &Path) -> (TrialDir, TrialResult) {
    let trial = TrialDir::new(run.join("trials/agent--s0"));
    let result = trial.result().expect("a result");
    (trial, result)
}

/// The returns that `rushes play` gets, and for how many steps what plays was trained.
fn played(path: &Path) -> (Vec<f64>, u64) {
    let output = output(&["play", path.to_str().unwrap(), "--episodes", "5", "--json"]);
    let played: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let returns = played["episodes"].as_array().unwrap().iter();
    let returns = returns.map(|episode| episode["return"].as_f64().unwrap()).collect();
    (returns, played["trained_steps"].as_u64().unwrap())
}

#[test]
fn the_best_policy_is_kept_and_evaluated_on_fresh_episodes_where_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let [last, best] = ["last", "best"].map(|policy| {
        let folder = directory.path().join(policy);
        std::fs::create_dir(&folder).unwrap();
        trial(&run_experiment(&folder, &experiment(policy), &[]))
    });
    let evaluations: Vec<(Progress, f64)> = (best.0.events().unwrap().records.iter())
        .filter(|record| record.progress.steps > 0)
        .filter_map(|record| match &record.event {
            Event::Evaluation { returns, .. } => {
                Some((record.progress, returns.iter().sum::<f64>() / returns.len() as f64))
            }
            _ => None,
        })
        .collect();
    assert_eq!(evaluations.len(), 5);
    let first_best = evaluations.iter().rev().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    let kept = best.1.best.expect("there were evaluations");
    assert_eq!((kept.progress, kept.mean_return), *first_best);
    assert!(kept.progress.steps < 5000, "the case tells best and last apart: {evaluations:?}");
    assert_eq!(last.1.best, best.1.best, "it is kept either way");

    let after = |result: &TrialResult| result.after.as_ref().unwrap().returns.clone();
    assert_eq!(played(best.0.path()), (after(&best.1), kept.progress.steps));
    assert_eq!(played(last.0.path()), (after(&last.1), 5000));
    assert_eq!(played(&last.0.best_policy()).0, after(&best.1));
    assert_eq!(played(&best.0.policy()).0, after(&last.1));
}

#[test]
fn the_best_policy_needs_evaluations_during_training() {
    let directory = tempfile::tempdir().unwrap();
    let mut experiment = experiment("best");
    let schedule = &mut experiment["agents"]["agent"]["training"]["schedule"];
    schedule.as_object_mut().unwrap().remove("evaluate_every");
    let file = directory.path().join("kept.json");
    std::fs::write(&file, experiment.to_string()).unwrap();
    let (code, told) = failure(&["validate", file.to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(told.contains("evaluate_every") && told.contains("\"best\""), "{told}");
}

/// An agent in `environment` that begins with this policy.
fn warm(environment: &str, initial: &str) -> Value {
    let mut experiment = experiment("last");
    experiment["environment"]["id"] = json!(environment);
    experiment["agents"]["agent"]["training"]["schedule"] = json!({ "steps": 200 });
    if !initial.is_empty() {
        experiment["agents"]["agent"]["training"]["initial_policy"] = json!(initial);
    }
    experiment
}

/// Runs an experiment in a folder of its own below `directory`.
fn run_in(directory: &Path, folder: &str, experiment: &Value) -> std::path::PathBuf {
    let folder = directory.join(folder);
    std::fs::create_dir(&folder).unwrap();
    run_experiment(&folder, experiment, &[]).canonicalize().unwrap()
}

#[test]
fn a_training_begins_with_a_policy_that_its_run_then_has() {
    let directory = tempfile::tempdir().unwrap();
    let source = run_in(directory.path(), "source", &experiment("last"));
    let begun = |folder: &str, initial: &str| {
        run_in(directory.path(), folder, &warm("CartPole-v1", initial))
    };
    let relative = format!("../{}/agent", source.strip_prefix(directory.path()).unwrap().display());
    let whole = begun("whole", &relative);
    let before = trial(&whole).1.before.unwrap().returns;
    assert_eq!(before, trial(&source).1.after.unwrap().returns, "what the other one had learned");

    // Settings are equal by content, wherever it lies.
    let copy = directory.path().join("copy.safetensors");
    std::fs::copy(source.join("trials/agent--s0/policy.safetensors"), &copy).unwrap();
    let copied = begun("copied", copy.to_str().unwrap());
    let hash = |run: &Path| rushes::store::RunDir::open(run).unwrap().plan().unwrap().settings_hash;
    assert_eq!(hash(&whole), hash(&copied));
    assert_ne!(hash(&whole), hash(&begun("cold", "")));

    // The run needs nothing of where it came from.
    std::fs::remove_dir_all(&source).unwrap();
    std::fs::remove_dir_all(whole.join("trials/agent--s0")).unwrap();
    let resumed = output(&["run", &format!("--resume={}", whole.display())]);
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    assert_eq!(crate::cli::essence(&whole)[0].1, crate::cli::essence(&copied)[0].1);
}

#[test]
fn a_policy_goes_on_in_other_environments_with_the_same_observations() {
    let directory = tempfile::tempdir().unwrap();
    for (from, to, new_head, activation) in [
        ("BipedalWalker-v3", "BipedalWalkerHardcore-v3", false, "relu"),
        ("MountainCar-v0", "MountainCarContinuous-v0", true, "tanh"),
    ] {
        let source = run_in(directory.path(), from, &warm(from, ""));
        let initial = source.join("trials/agent--s0");
        let folder = directory.path().join(to);
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("warm.json");
        let mut begun = warm(to, initial.to_str().unwrap());
        begun["agents"]["agent"]["policy"]["activation"] = json!(activation);
        std::fs::write(&file, begun.to_string()).unwrap();
        let folder = folder.to_str().unwrap();
        let ran = output(&["run", file.to_str().unwrap(), "--output", folder]);
        let told = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.success(), "{told}");
        assert_eq!(
            told.contains("agent: begins with a new head (2.bias, 2.weight"),
            new_head,
            "{told}"
        );
        assert_eq!(
            told.contains(
                "agent: begins with a policy that was trained with ReLU activations and has tanh"
            ),
            activation != "relu",
            "{told}"
        );
    }
}

#[test]
fn what_no_training_can_begin_with_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let source = run_in(directory.path(), "source", &warm("CartPole-v1", ""));
    let trial = source.join("trials/agent--s0");
    let refused = |experiment: &Value| {
        let file = directory.path().join("warm.json");
        std::fs::write(&file, experiment.to_string()).unwrap();
        let output = directory.path().to_str().unwrap();
        let (code, told) = failure(&["run", file.to_str().unwrap(), "--output", output]);
        assert_eq!(code, 2, "{told}");
        assert!(told.contains("agents.agent.training.initial_policy"), "{told}");
        told
    };
    assert!(refused(&warm("CartPole-v1", "nowhere/agent")).contains("there is no nowhere/agent"));
    let other = refused(&warm("Pendulum-v1", trial.to_str().unwrap()));
    assert!(other.contains("the policy sees"), "{other}");
    let mut wider = warm("CartPole-v1", trial.to_str().unwrap());
    wider["agents"]["agent"]["policy"]["hidden"] = json!([17]);
    assert!(refused(&wider).contains("of another network"));
    let checkpoint = std::fs::read_dir(trial.join("checkpoint")).unwrap().next().unwrap().unwrap();
    assert!(!refused(&warm("CartPole-v1", checkpoint.path().to_str().unwrap())).is_empty());
}

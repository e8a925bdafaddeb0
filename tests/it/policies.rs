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

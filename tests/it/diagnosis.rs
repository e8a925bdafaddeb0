//! What is said of an agent that does not learn, on real trainings. How often it is right is measured by
//! `tests/diagnosis/run`.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::output;

/// Runs an agent on two seeds; what the run said, and the folder with it.
fn run(algorithm: Value, schedule: Value) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("room for a folder");
    let experiment = json!({
        "name": "ill",
        "environment": { "id": "CartPole-v1" },
        "seeds": 2,
        "agents": {
            "random": { "policy": { "type": "random" } },
            "learner": {
                "policy": { "type": "neural", "hidden": [16] },
                "training": { "algorithm": algorithm, "schedule": schedule },
            },
        },
        "evaluation": { "episodes": 10 },
        "recording": { "before": false, "after": false },
    });
    let file = folder.path().join("ill.json");
    std::fs::write(&file, experiment.to_string()).expect("a file");
    let made = output(&[
        "run",
        file.to_str().expect("a path"),
        "--output",
        folder.path().to_str().expect("a path"),
    ]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (folder, String::from_utf8_lossy(&made.stderr).into_owned())
}

fn diagnosed(folder: &TempDir, more: &[&str]) -> String {
    let run = folder.path().join("ill/latest");
    let said = output(&[&["diagnose", run.to_str().expect("a path")][..], more].concat());
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).into_owned()
}

#[test]
fn an_agent_whose_weights_stay_where_they_are_is_told_with_numbers_and_advice() {
    let algorithm = json!({ "name": "ppo", "n_steps": 256, "learning_rate": 1e-7 });
    let (folder, said) = run(algorithm, json!({ "steps": 4000 }));
    let finding = "learner: all steps of the optimiser together could hardly move the weights (2 of 2 seeds: 640 \
                   steps of 1e-7 move a weight by 6.4e-5 at most). Try a larger `learning_rate`, or train for longer.";
    assert!(said.contains(finding), "{said}");
    assert_eq!(diagnosed(&folder, &[]).trim_end(), finding);
    let page =
        std::fs::read_to_string(folder.path().join("ill/latest/index.html")).expect("a page");
    assert!(page.contains("could hardly move the weights (2 of 2 seeds"));

    let all: Value = serde_json::from_str(&diagnosed(&folder, &["--json"])).expect("JSON");
    assert_eq!(all["findings"][0]["name"], "weights-at-rest");
    let trial = &all["trials"][0];
    assert_eq!((&trial["agent"], &trial["learns"]), (&json!("learner"), &json!(false)));
    assert_eq!((&trial["aim"], &trial["signs"][0][0]), (&json!(475.0), &json!("weights-at-rest")));
}

#[test]
fn an_agent_that_is_hardly_ever_updated_is_told_and_nothing_that_follows_from_it() {
    let algorithm = json!({ "name": "dqn", "learning_starts": 2990 });
    let (folder, said) = run(algorithm, json!({ "steps": 3000 }));
    assert!(said.contains("the policy was hardly ever updated (2 of 2 seeds: "), "{said}");
    let all: Value = serde_json::from_str(&diagnosed(&folder, &["--json"])).expect("JSON");
    assert_eq!(all["trials"][0]["signs"].as_array().map(Vec::len), Some(1), "{all}");
}

#[test]
fn an_agent_that_learns_is_not_diagnosed() {
    let algorithm = json!({
        "name": "cem", "population_size": 20,
    });
    let (folder, said) = run(algorithm, json!({ "steps": 60_000 }));
    let all: Value = serde_json::from_str(&diagnosed(&folder, &["--json"])).expect("JSON");
    let learn = all["trials"].as_array().expect("trials").iter().all(|one| one["learns"] == true);
    assert!(learn && all["findings"] == json!([]), "{all}\n{said}");
    assert_eq!(diagnosed(&folder, &[]), "2 of 2 trials learn; there is no finding\n");
}

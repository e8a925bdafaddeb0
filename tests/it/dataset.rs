//! Datasets of what agents play, as Minari itself reads them.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::cli::{output, run_smoke};
use crate::interop::python_program;

/// What Minari says of a dataset.
fn minari(folder: &Path) -> Value {
    let (python, program) = python_program("read_dataset.py");
    let read = Command::new(python).arg(program).arg(folder).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    serde_json::from_slice::<Value>(&read.stdout).unwrap()[0].take()
}

/// All numbers of a value, in order.
fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(parts) => parts.iter().flat_map(flat).collect(),
        Value::Object(parts) => parts.values().flat_map(flat).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

#[test]
fn minari_reads_what_was_played() {
    let spaces = [
        ("CartPole-v1", "Discrete(2)"),
        ("Pendulum-v1", "Box(-2.0, 2.0, (1,), float32)"),
        ("Blackjack-v1", "Discrete(2)"),
        ("Taxi-v3", "Discrete(6)"),
        ("CarRacing-v3", "Box([-1.  0.  0.], 1.0, (3,), float32)"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (id, action_space) in spaces {
        let dataset = folder.path().join(id);
        let place = dataset.to_str().unwrap();
        let words = [
            "play",
            "--random",
            "--env",
            id,
            "--episodes",
            "2",
            "--seed",
            "7",
            "--max-steps",
            "30",
        ];
        let played = output(&[&words[..], &["--print", "--json", "--dataset", place]].concat());
        assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
        let told = String::from_utf8(played.stdout).unwrap();
        let steps: Vec<Value> =
            told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let read = minari(&dataset);
        assert_eq!(read["spaces"][1], action_space);
        assert_eq!(read["seeds"], json!([7, 8]));
        assert_eq!(read["environment"][0], format!("rushes/{id}"));
        assert_eq!(read["id"], format!("rushes/{id}/random-v0"));
        for (number, episode) in read["episodes"].as_array().unwrap().iter().enumerate() {
            let own: Vec<&Value> =
                steps.iter().filter(|step| step["episode"] == json!(number + 1)).collect();
            let column = |name: &str, first: usize| -> Vec<Vec<f64>> {
                own[first..].iter().map(|step| flat(&step[name])).collect()
            };
            let rows = |name: &str| -> Vec<Vec<f64>> {
                episode[name].as_array().unwrap().iter().map(flat).collect()
            };
            let same = |found: Vec<Vec<f64>>, expected: Vec<Vec<f64>>| {
                let exact = |rows: Vec<Vec<f64>>| -> Vec<Vec<f32>> {
                    rows.into_iter()
                        .map(|row| row.into_iter().map(|x| x as f32).collect())
                        .collect()
                };
                assert!(exact(found) == exact(expected), "{id}");
            };
            same(rows("observations"), column("observation", 0));
            same(rows("actions"), column("action", 1));
            assert_eq!(rows("rewards"), column("reward", 1), "{id}");
            let last = own.last().unwrap();
            let ends = |name: &str| episode[name].as_array().unwrap().clone();
            assert_eq!(ends("terminations").last().unwrap(), &last["terminated"], "{id}");
            // An episode that was cut short is one that somebody outside of it ended.
            assert_eq!(
                ends("truncations").last().unwrap(),
                &json!(last["terminated"] == false),
                "{id}"
            );
            let inner = ends("terminations").len() - 1;
            assert!(
                ends("truncations")[..inner]
                    .iter()
                    .chain(&ends("terminations")[..inner])
                    .all(|end| end == false)
            );
        }
        // What is there is not written over.
        let again = output(&[&words[..], &["--dataset", place]].concat());
        assert_eq!(again.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&again.stderr).contains("expected an empty folder"));
    }
}

#[test]
fn every_trial_of_a_run_writes_its_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = r#"recording.dataset={"episodes":3,"mode":"explore"}"#;
    let run = run_smoke(folder.path(), &["--quick", "--set", dataset]);
    let trials = ["random--s0", "lean--s0", "reinforce--s0"];
    let read = trials.map(|trial| minari(&run.join("trials").join(trial).join("minari")));
    for (trial, dataset) in trials.iter().zip(&read) {
        assert_eq!(dataset["id"], format!("rushes/{trial}-v0"));
        assert_eq!(dataset["episodes"].as_array().unwrap().len(), 3);
        assert_eq!(
            dataset["environment"],
            json!(["rushes/CartPole-v1", { "id": "CartPole-v1" }, 500])
        );
        assert_eq!(dataset["seeds"], read[0]["seeds"]);
    }
    // They begin in the same places, which no evaluation does.
    let starts = |dataset: &Value| dataset["episodes"][0]["observations"][0].clone();
    assert_eq!(starts(&read[0]), starts(&read[2]));
    assert_eq!(read[0]["seeds"][0], 2_000_000_000);
}

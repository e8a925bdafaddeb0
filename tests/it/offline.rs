//! Learning from datasets: what is read, and what is refused.

use std::fs;
use std::path::Path;
use std::process::Command;

use rushes::dataset::Transitions;
use rushes::env::Space;
use rushes::nn::replay::Batch;
use rushes::rng::{Purpose, stream};
use serde_json::{Value, json};

use crate::cli::{failure, output};
use crate::interop::python_program;

/// A dataset of so many episodes of a policy that the environment ships.
pub(crate) fn played(id: &str, policy: &str, episodes: &str, folder: &Path) {
    let folder = folder.to_str().unwrap();
    let words = ["play", "--hard-coded", policy, "--env", id, "--episodes", episodes];
    let done = output(&[&words[..], &["--seed", "1000", "--dataset", folder]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// An experiment that learns from a dataset, in `folder`.
fn experiment(folder: &Path, training: &Value) -> String {
    let file = folder.join("offline.json");
    let experiment = json!({
        "name": "offline",
        "environment": { "id": "Pendulum-v1" },
        "seeds": 1,
        "agents": { "learner": {
            "policy": { "type": "neural", "hidden": [16] },
            "training": training,
        } },
        "evaluation": { "episodes": 2 },
        "recording": { "before": false, "after": false },
    });
    fs::write(&file, experiment.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn what_minari_wrote_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (python, program) = python_program("write_dataset.py");
    let wrote = Command::new(python).arg(program).arg(folder.path()).output().unwrap();
    assert!(wrote.status.success(), "{}", String::from_utf8_lossy(&wrote.stderr));
    let written: Value = serde_json::from_slice(&wrote.stdout).unwrap();
    let numbers =
        |name: &str| -> Vec<Vec<f32>> { serde_json::from_value(written[name].clone()).unwrap() };
    let dataset = Path::new(written["folder"].as_str().unwrap());
    let spaces = (Space::uniform_box(-8.0, 8.0, 3), Space::uniform_box(-2.0, 2.0, 1));
    let (read, _) = Transitions::read(dataset, &spaces.0, &spaces.1).unwrap();
    assert_eq!(read.observations(), numbers("observations").concat());
    let (actions, rewards) = (numbers("actions").concat(), numbers("rewards").concat());
    assert_eq!(read.len(), rewards.len());
    let mut batch = Batch::default();
    read.sample(200, 0.5, &mut stream(1, Purpose::Minibatch, 0), &mut batch);
    for (i, &step) in batch.indices.iter().enumerate() {
        assert_eq!((batch.actions[i], batch.rewards[i]), (actions[step], rewards[step]));
        assert_eq!(batch.discounts[i], 0.5, "a time limit does not end the task");
    }
}

#[test]
fn a_run_that_was_lengthened_equals_a_longer_one() {
    let folder = tempfile::tempdir().unwrap();
    played("Pendulum-v1", "swing-up", "5", &folder.path().join("dataset"));
    for algorithm in [json!({ "name": "td3_bc", "batch_size": 32 }), json!({ "name": "bc" })] {
        let training = json!({ "algorithm": algorithm, "dataset": "dataset",
            "schedule": { "steps": 300, "evaluate_every": 100, "checkpoint_every": 100 } });
        let file = experiment(folder.path(), &training);
        let run = |place: &str, more: &[&str]| {
            let place = folder.path().join(place);
            let words = ["run", &file, "--output", place.to_str().unwrap()];
            let done = output(&[&words[..], more].concat());
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            place.join("offline/latest")
        };
        let whole = run("whole", &[]);
        let short = run("short", &["--set", "agents.learner.training.schedule.steps=200"]);
        let resume = format!("--resume={}", short.display());
        let longer = ["--set", "agents.learner.training.schedule.steps=300"];
        let done = output(&[&["run", &resume], &longer[..]].concat());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let policy = |run: &Path| fs::read(run.join("trials/learner--s0/policy.safetensors"));
        assert_eq!(policy(&whole).unwrap(), policy(&short).unwrap(), "{algorithm}");
    }
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = folder.path().join("dataset");
    played("Pendulum-v1", "swing-up", "2", &dataset);
    played("CartPole-v1", "pd", "1", &folder.path().join("poles"));
    fs::create_dir(folder.path().join("empty")).unwrap();
    let steps = json!({ "steps": 9 });
    let cloning = json!({ "name": "bc" });
    for (training, expected) in [
        (
            json!({ "algorithm": cloning, "schedule": steps }),
            "agents.learner.training: bc learns from a dataset: add `dataset`",
        ),
        (
            json!({ "algorithm": { "name": "sac" }, "dataset": "dataset", "schedule": steps }),
            "training.dataset: sac learns from the environment: leave it out, or use bc, td3_bc",
        ),
        (
            json!({ "algorithm": cloning, "dataset": "dataset", "schedule": { "episodes": 9 } }),
            "training.schedule: bc plays no episodes: expected `steps`",
        ),
        (
            json!({ "algorithm": cloning, "dataset": "nowhere", "schedule": steps }),
            "agents.learner.training.dataset: there is no folder nowhere",
        ),
        (
            json!({ "algorithm": cloning, "dataset": "empty", "schedule": steps }),
            "expected the folder of a dataset, with metadata.json",
        ),
        (
            json!({ "algorithm": cloning, "dataset": "poles", "schedule": steps }),
            "elements of Box([-1.0, -1.0, -8.0], [1.0, 1.0, 8.0], [3])",
        ),
    ] {
        let file = experiment(folder.path(), &training);
        let output = folder.path().join("output");
        let (code, stderr) = failure(&["run", &file, "--output", output.to_str().unwrap()]);
        assert!(code == 2 && stderr.contains(expected), "{expected}: {stderr}");
        assert!(!output.exists(), "{expected}");
    }

    let training = json!({ "algorithm": cloning, "dataset": "dataset", "schedule": steps });
    let file = experiment(folder.path(), &training);
    let validate = || failure(&["run", &file, "--output", folder.path().to_str().unwrap()]);
    let metadata = dataset.join("metadata.json");
    let whole = fs::read_to_string(&metadata).unwrap();
    fs::write(&metadata, whole.replace("parquet", "hdf5")).unwrap();
    let (code, stderr) = validate();
    assert!(code == 2 && stderr.contains("found \"hdf5\""), "{stderr}");
    fs::write(&metadata, &whole).unwrap();

    // No byte of a file has the program panic.
    let part = dataset.join("1/part-0.parquet");
    let content = fs::read(&part).unwrap();
    let (observations, actions) =
        (Space::uniform_box(-8.0, 8.0, 3), Space::uniform_box(-2.0, 2.0, 1));
    let read = || Transitions::read(&dataset, &observations, &actions);
    for end in (0..content.len()).step_by(97) {
        fs::write(&part, &content[..end]).unwrap();
        assert!(read().is_err(), "cut after {end} bytes");
    }
    let mut changed = content.clone();
    for at in (0..content.len()).step_by(13) {
        changed[at] ^= 0xa5;
        fs::write(&part, &changed).unwrap();
        let _ = read();
        changed[at] = content[at];
    }
}

#[test]
fn a_dataset_that_has_changed_is_refused_when_a_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = folder.path().join("dataset");
    played("Pendulum-v1", "swing-up", "2", &dataset);
    let training = json!({ "algorithm": { "name": "bc" }, "dataset": "dataset",
        "schedule": { "steps": 20 } });
    let file = experiment(folder.path(), &training);
    let place = folder.path().join("output");
    let done = output(&["run", &file, "--output", place.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    fs::copy(dataset.join("1/part-0.parquet"), dataset.join("0/part-0.parquet")).unwrap();
    let resume = format!("--resume={}", place.join("offline/latest").display());
    let longer = ["--set", "agents.learner.training.schedule.steps=40"];
    let (code, stderr) = failure(&[&["run", &resume], &longer[..]].concat());
    assert!(code == 1 && stderr.contains("the dataset has changed"), "{code}: {stderr}");
}

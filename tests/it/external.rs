//! Environments and policies of other processes, through the real binary.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::{essence, failure, rushes};
use crate::interop::python_program;

/// Everything that a command which has to succeed prints.
fn told(arguments: &[&str]) -> String {
    let output = rushes(arguments).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(output.status.success(), "{told}");
    told
}

/// An environment of the tests, with nothing but Python.
fn walk() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/external/walk.py").to_owned()
}

fn experiment(options: &Value) -> Value {
    json!({
        "name": "walk",
        "environment": { "command": ["python3", walk()], "workers": 2, "options": options },
        "agents": {
            "random": { "policy": { "type": "random" } },
            "ppo": {
                "policy": { "type": "neural", "hidden": [16] },
                "training": {
                    "algorithm": { "name": "ppo", "n_steps": 32, "n_envs": 4, "batch_size": 32 },
                    "schedule": { "steps": 8000, "checkpoint_every": { "steps": 1000 } },
                },
            },
        },
        "evaluation": { "episodes": 20 },
    })
}

fn write(folder: &Path, experiment: &Value) -> String {
    let file = folder.join("walk.json");
    fs::write(&file, experiment.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

fn run(folder: &Path, experiment: &Value) -> (String, std::path::PathBuf) {
    let (file, out) = (write(folder, experiment), folder.join("output"));
    let run =
        rushes(&["run", "--plain", &file, "--output", out.to_str().unwrap()]).output().unwrap();
    let told = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{told}");
    (told, out.join("walk/latest"))
}

#[test]
fn a_program_trains_and_is_reported_like_any_environment() {
    let folder = tempfile::tempdir().unwrap();
    let (told, run) = run(folder.path(), &experiment(&json!({})));
    assert!(told.contains("&& python3 ") && told.contains("walk.py"), "{told}");
    assert!(told.contains("nothing is filmed: walk draws no pictures"), "{told}");
    let summary: Value =
        serde_json::from_str(&fs::read_to_string(run.join("summary.json")).unwrap()).unwrap();
    let returns = |agent: usize| {
        let returns = summary["agents"][agent]["seeds"][0]["final_returns"].as_array().unwrap();
        returns.iter().filter_map(Value::as_f64).sum::<f64>() / returns.len() as f64
    };
    assert!(returns(1) > returns(0) + 0.2, "{summary:#}");
    let page = fs::read_to_string(run.join("index.html")).unwrap();
    assert!(page.contains("the walk of the tests") && page.contains("Box(1): −5 … 5"));
}

/// Gymnasium's Taxi learns as ours does, number for number, also where several copies in two processes tell their masks and
/// episodes are truncated.
#[test]
fn masks_of_actions_come_from_another_process_too() {
    let (python, _) = python_program("");
    let learned = |environment: Value| {
        let folder = tempfile::tempdir().unwrap();
        let agent = |policy: Value, algorithm: Value| {
            json!({ "policy": policy, "training": {
            "algorithm": algorithm, "schedule": { "steps": 2000 } } })
        };
        let experiment = json!({
            "name": "walk",
            "environment": environment,
            "agents": {
                "table": agent(json!({ "type": "tabular", "action_mask": true }), json!({ "name": "q_learning" })),
                "dqn": agent(
                    json!({ "type": "neural", "hidden": [16], "action_mask": true }),
                    json!({ "name": "dqn", "n_envs": 4, "train_freq": 1, "learning_starts": 100 }),
                ),
            },
            "recording": { "before": false, "after": false },
            "evaluation": { "episodes": 5 },
        });
        let (_, run) = run(folder.path(), &experiment);
        let trials = essence(&run).into_iter().map(|(name, events, _)| {
            let returns =
                events.iter().map(|event| [&event["return"], &event["returns"]].map(Clone::clone));
            (name, returns.filter(|returns| returns.iter().any(|value| !value.is_null())).collect())
        });
        let trials: Vec<(String, Vec<[Value; 2]>)> = trials.collect();
        assert!(trials.iter().all(|(_, returns)| returns.len() > 5), "{trials:?}");
        trials
    };
    let ours = learned(json!({ "id": "Taxi-v3" }));
    let gymnasiums = json!({ "id": "Taxi-v3", "workers": 2, "gymnasium": { "python": python } });
    assert_eq!(learned(gymnasiums), ours);
}

#[test]
fn a_killed_run_goes_on_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let mut long = experiment(&json!({}));
    long["agents"].as_object_mut().unwrap().shift_remove("random");
    long["agents"]["ppo"]["training"]["schedule"]["steps"] = json!(40_000);
    let file = write(folder.path(), &long);
    let start = |output: &str| {
        let output = folder.path().join(output);
        let mut command = rushes(&["run", &file, "--output", output.to_str().unwrap()]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    assert!(start("whole").status().unwrap().success());
    let mut killed = start("killed").spawn().unwrap();
    let trials = folder.path().join("killed/walk/latest/trials/ppo--s0/checkpoint");
    while fs::read_dir(&trials).map_or(0, Iterator::count) < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let output = folder.path().join("killed");
    let resumed = ["run", &file, "--output", output.to_str().unwrap(), "--resume"];
    assert!(rushes(&resumed).output().unwrap().status.success());
    let of = |output: &str| essence(&folder.path().join(output).join("walk/latest"));
    assert_eq!(of("killed"), of("whole"));
}

#[test]
fn checks_start_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("marker");
    let file = write(folder.path(), &experiment(&json!({ "marker": marker })));
    let told = told(&["validate", &file]);
    assert!(told.contains("checked once `rushes run` has started it: cd "), "{told}");
    rushes(&["validate", "--resolved", &file]).output().unwrap();
    assert!(!marker.exists(), "it was started");
}

#[test]
fn what_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |environment: Value| {
        let mut refused = experiment(&json!({}));
        refused["environment"] = environment;
        let file = write(folder.path(), &refused);
        let out = folder.path().join("output");
        failure(&["run", &file, "--output", out.to_str().unwrap()]).1
    };
    let faulty = |fault: &str| {
        let command = json!(["python3", walk()]);
        refusal(json!({ "command": command, "options": { "fault": fault } }))
    };
    for (told, expected) in [
        (
            faulty("version"),
            "it speaks version 2 of the protocol rushes-env, this program speaks version 1",
        ),
        (faulty("refuses"), "ImportError: no walker"),
        (faulty("garbage"), "its description is not what was expected"),
        (
            refusal(json!({ "command": ["./no-such-program"] })),
            "/./no-such-program could not be started: No such file",
        ),
        (refusal(json!({ "command": ["false"] })), "its process ended (exit status 1)"),
        (
            refusal(json!({ "command": ["x"], "gymnasium": {}, "id": "x" })),
            "expected `gymnasium` or `command`",
        ),
        (
            refusal(json!({ "id": "CartPole-v1", "workers": 2 })),
            "only for environments of other processes",
        ),
        (refusal(json!({})), "the field `id` is missing"),
    ] {
        assert!(told.contains(expected), "{told}");
    }
    assert!(!folder.path().join("output").exists(), "nothing ran");
}

#[test]
fn the_conformance_check_tells_right_from_wrong() {
    let told = told(&["envs", "check", "--", "python3", &walk()]);
    assert!(told.contains("ok       automatic resets are like explicit ones: 300 steps"), "{told}");
    assert!(!told.contains("WRONG"), "{told}");
}

#[test]
fn a_policy_of_another_process_is_evaluated_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let (python, _) = python_program("");
    let agent = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/external/agent.py");
    let mut compared = json!({
        "name": "walk",
        "environment": { "id": "CartPole-v1" },
        "agents": {
            "program": { "policy": { "type": "external", "command": [python, agent] } },
            "rule": { "policy": { "type": "hard-coded", "rule": "if obs[2] + obs[3] > 0.0 { 1 } else { 0 }" } },
        },
        "evaluation": { "episodes": 5 },
        "recording": { "max_steps": 20 },
    });
    let (_, run) = run(folder.path(), &compared);
    let result = |trial: &str| -> Value {
        let file = run.join("trials").join(trial).join("result.json");
        serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    };
    let (program, rule) = (result("program--s0"), result("rule--s0"));
    assert_eq!(program["after"]["returns"], rule["after"]["returns"]);
    assert_eq!(program["takes"][0]["rewards"], rule["takes"][0]["rewards"]);
    let log = fs::read_to_string(run.join("trials/program--s0/stderr.log")).unwrap();
    assert!(log.contains("the pole leans"), "{log}");

    for (fault, expected) in [
        ("exception", "ValueError: the pole is too long"),
        ("outside", "its action gave 2 where its space has the whole numbers 0 to 1"),
    ] {
        compared["agents"]["program"]["policy"]["options"] = json!({ "fault": fault });
        let file = write(folder.path(), &compared);
        let out = folder.path().join(fault);
        let (code, _) = failure(&["run", &file, "--output", out.to_str().unwrap()]);
        assert_eq!(code, 1);
        let result = out.join("walk/latest/trials/program--s0/result.json");
        let result = fs::read_to_string(result).unwrap();
        assert!(result.contains(expected), "{result}");
    }
}

#[test]
fn a_search_starts_nothing_that_the_experiment_does_not_say() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("output");
    let refusal = |parameter: &str, choice: Value| {
        let searched = json!({
            "name": "walk",
            "environment": { "id": "CartPole-v1" },
            "agents": { "a": { "policy": { "type": "external", "command": ["true"] } } },
            "search": { "parameters": { parameter: { "choice": choice } } },
        });
        let file = write(folder.path(), &searched);
        let (code, told) = failure(&["run", &file, "--output", out.to_str().unwrap()]);
        assert_eq!(code, 2, "{told}");
        told
    };
    let told = refusal("agents.a.policy.command", json!([["python3", "a.py"], ["true"]]));
    assert!(told.contains("what is started is not searched for"), "{told}");
    let told = refusal("agents.a.policy.directory", json!(["/", "/tmp"]));
    assert!(told.contains("what is started is not searched for"), "{told}");
    let other =
        json!([{ "type": "external", "command": ["python3", "a.py"] }, { "type": "random" }]);
    let told = refusal("agents.a.policy", other);
    assert!(told.contains("would start other programs"), "{told}");
    assert!(!out.exists(), "nothing ran");
}

#[test]
fn a_policy_from_elsewhere_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("marker");
    let mut short = experiment(&json!({ "marker": marker }));
    short["agents"]["ppo"]["training"]["schedule"]["steps"] = json!(500);
    let (_, run) = run(folder.path(), &short);
    fs::remove_file(&marker).unwrap();
    let own = run.join("trials/ppo--s0/policy.safetensors");
    let copy = folder.path().join("copy.safetensors");
    fs::copy(&own, &copy).unwrap();
    let (own, copy) = (own.to_str().unwrap(), copy.to_str().unwrap());
    for arguments in [&["play", copy][..], &["play", copy, "--env", "walk"]] {
        let (code, told) = failure(arguments);
        assert_eq!(code, 2, "{told}");
        assert!(told.contains("walk.py") && told.contains("--trust"), "{told}");
        assert!(!marker.exists(), "it was started");
    }
    assert!(told(&["play", copy, "--trust", "--episodes", "1"]).contains("starts: "));
    assert!(told(&["play", own, "--episodes", "1"]).contains("starts: "));
    assert!(marker.exists());
}

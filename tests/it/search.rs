//! Hyperparameter search through the real binary: repeatable, resumable, and what it leaves behind.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rushes::record::{Decision, StopReason};
use rushes::results::Summary;
use rushes::store::{RunDir, TrialDir, read_json};
use serde_json::{Value, json};

use crate::cli::{essence, failure, output, rushes};
use crate::run::signal;

/// A search in which samples of the wrong learning rate are stopped early, in three rounds.
fn experiment(search: &Value) -> Value {
    let mut value = json!({
        "name": "searched",
        "environment": { "id": "CartPole-v1" },
        "seeds": 2,
        "agents": {
            "random": { "policy": { "type": "random" } },
            "ppo": {
                "policy": { "type": "neural", "hidden": [16], "activation": "tanh" },
                "training": {
                    "algorithm": { "name": "ppo", "n_envs": 4, "n_steps": 32, "batch_size": 64 },
                    "schedule": { "steps": 9000 }
                }
            }
        },
        "search": {
            "parameters": {
                "agents.ppo.training.algorithm.learning_rate": { "log_uniform": [1e-5, 1e-2] },
                "agents.ppo.training.algorithm.n_epochs": { "integer": [1, 12] },
                "agents.ppo.policy.hidden": { "choice": [[4], [32]] }
            },
            "samples": 9,
            "sampler": { "name": "tpe", "startup": 6, "batch": 6 },
            "scheduler": { "name": "successive_halving", "grace_period": 1000 }
        },
        "evaluation": { "episodes": 10 },
        "recording": { "before": false, "after": false }
    });
    for (key, new) in search.as_object().expect("an object") {
        value["search"][key] = new.clone();
    }
    value
}

fn write(directory: &Path, experiment: &Value) -> PathBuf {
    let file = directory.join("searched.json");
    std::fs::write(&file, experiment.to_string()).unwrap();
    file
}

fn run(file: &Path, directory: &Path, more: &[&str]) -> PathBuf {
    let mut arguments =
        vec!["run", file.to_str().unwrap(), "--output", directory.to_str().unwrap()];
    arguments.extend(more);
    let output = output(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::canonicalize(directory.join("searched/latest")).unwrap()
}

fn results(run: &Path) -> Vec<(String, u64, Option<StopReason>)> {
    let plan = RunDir::open(run).unwrap().plan().unwrap();
    let result = |id: &String| TrialDir::new(run.join("trials").join(id)).result().unwrap();
    let of = |id: String| {
        let result = result(&id);
        (id, result.progress.steps, result.outcome.stop_reason())
    };
    plan.trials().map(|trial| of(trial.id.clone())).collect()
}

#[test]
fn a_search_is_the_same_whatever_the_jobs_and_after_being_killed() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), &experiment(&json!({})));
    let one = run(&file, &directory.path().join("one"), &["--jobs", "1"]);
    let three = run(&file, &directory.path().join("three"), &["--jobs", "3"]);
    assert_eq!(essence(&one), essence(&three));
    assert_eq!(results(&one), results(&three));

    kill_and_resume(&file, &directory.path().join("killed"), &[2, 6, 13], &one);
}

/// Runs the search of `file` into `killed`, kills it each time that so many trials have ended, and compares what came out
/// in the end with `whole`.
fn kill_and_resume(file: &Path, killed: &Path, endings: &[usize], whole: &Path) {
    let mut arguments = vec!["run", file.to_str().unwrap(), "--output", killed.to_str().unwrap()];
    for &ended in endings {
        let mut child = rushes(&arguments)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        let over = || {
            let trials = std::fs::read_dir(killed.join("searched/latest/trials"));
            let trials = trials.into_iter().flatten().flatten();
            trials.filter(|trial| trial.path().join("result.json").exists()).count()
        };
        while over() < ended {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
            assert!(started.elapsed() < Duration::from_secs(300), "nothing happens");
            sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if !arguments.contains(&"--resume") {
            arguments.push("--resume");
        }
        // Its children notice the closed pipe by themselves.
        sleep(Duration::from_millis(300));
    }
    let killed = run(file, killed, &["--resume"]);
    assert_eq!(essence(whole), essence(&killed));
    assert_eq!(results(whole), results(&killed));
}

/// A population of `experiment`, of PPO's settings alone.
fn population() -> Value {
    let mut value = experiment(&json!({
        "samples": 5,
        "sampler": { "name": "random" },
        "scheduler": { "name": "population_based_training", "interval": 1000 },
    }));
    let parameters = value["search"]["parameters"].as_object_mut().expect("an object");
    parameters.shift_remove("agents.ppo.policy.hidden");
    value
}

/// Samples that go on from others begin with all that these had learned, and a search that is killed whenever another
/// trial has ended, and resumed, makes the same ones.
#[test]
fn a_population_goes_on_from_its_best_also_after_being_killed() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), &population());
    let whole = run(&file, &directory.path().join("whole"), &["--jobs", "3"]);
    let plan = RunDir::open(&whole).unwrap().plan().unwrap();
    let heirs: Vec<_> = plan.samples.iter().filter(|sample| sample.parent.is_some()).collect();
    assert!(heirs.len() >= 4, "two of five, at every milestone");
    for heir in heirs {
        let parent = heir.parent.unwrap();
        let log = |number: usize| {
            let id = format!("trials/ppo--{number:03}--s0/events.jsonl");
            std::fs::read_to_string(whole.join(id)).unwrap()
        };
        let (begun, own) = (log(parent.number), log(heir.number));
        let same = begun.lines().zip(own.lines()).take_while(|(a, b)| a == b);
        let last = same.last().expect("what its parent had learned").0;
        let steps = serde_json::from_str::<Value>(last).unwrap()["steps"].as_u64().unwrap();
        // Until its first own update it does what its parent did.
        assert!((parent.steps..parent.steps + 1000).contains(&steps), "{steps}, {parent:?}");
    }
    kill_and_resume(&file, &directory.path().join("killed"), &[2, 5, 9], &whole);
    let page = std::fs::read_to_string(whole.join("index.html")).unwrap();
    for words in ["from sample ", "History", "Score against n_epochs", "Curves of all samples"] {
        assert!(page.contains(words), "{words} is missing");
    }
}

/// What an asynchronous search has decided.
pub(crate) fn decisions(run: &Path) -> Vec<Decision> {
    RunDir::open(run).unwrap().decisions().unwrap()
}

/// Whether no trial of one run has another history than in the other one, as far as both were trained.
pub(crate) fn assert_same_as_far_as_both_went(one: &Path, other: &Path) {
    let mut compared = 0;
    for ((id, one, _), (_, other, _)) in essence(one).into_iter().zip(essence(other)) {
        for (line, (one, other)) in one.iter().zip(&other).enumerate() {
            assert_eq!(one, other, "{id}, line {}", line + 1);
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared} events");
}

/// Who goes on in an asynchronous search depends on who is faster, so that it is written down: at whatever moment it is
/// killed, interrupted or told to end early, and wherever it is gone on with, nothing is decided twice or otherwise,
/// and what a sample comes to is what it would have come to undisturbed.
#[test]
fn an_asynchronous_search_goes_on_from_what_it_decided() {
    let directory = tempfile::tempdir().unwrap();
    let mut experiment = experiment(&json!({
        "samples": 7,
        "sampler": { "name": "random" },
        "scheduler": { "name": "asynchronous_halving", "grace_period": 1000 },
    }));
    experiment["agents"]["ppo"]["training"]["schedule"]["checkpoint_every"] = json!(500);
    let file = write(directory.path(), &experiment);
    let whole = run(&file, &directory.path().join("whole"), &["--jobs", "1"]);
    let ends = |run: &Path, wanted: StopReason| {
        results(run).iter().filter(|(_, _, reason)| *reason == Some(wanted)).count()
    };
    assert_eq!((ends(&whole, StopReason::Steps), ends(&whole, StopReason::Pruned)), (2, 2 * 6));
    let page = std::fs::read_to_string(whole.join("index.html")).unwrap();
    for words in ["of these early", "steps, rung 1,000", "steps, rung 3,000"] {
        assert!(page.contains(words), "{words} is missing");
    }

    for jobs in ["1", "3"] {
        let mut output = directory.path().join(format!("disturbed-{jobs}"));
        let mut decided = Vec::new();
        // A first Ctrl-C is exact where every trial that runs has a checkpoint, as the only one that goes on from a rung has.
        let last = if jobs == "1" { ("INT", 12) } else { ("TERM", 12) };
        let attempts = [("KILL", 2), ("TERM", 6), ("KILL", 9), last];
        for (attempt, (signal_name, lines)) in attempts.into_iter().enumerate() {
            let mut arguments = vec!["run", file.to_str().unwrap(), "--jobs", jobs, "--output"];
            arguments.push(output.to_str().unwrap());
            arguments.extend((attempt > 0).then_some("--resume"));
            let mut child = rushes(&arguments)
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            let log = output.join("searched/latest/decisions.jsonl");
            let started = Instant::now();
            let is_time = || {
                let written = std::fs::read_to_string(&log).unwrap_or_default();
                let promoted = written.lines().last().is_some_and(|line| line.contains("promoted"));
                written.lines().count() >= lines && (signal_name != "INT" || promoted)
            };
            while !is_time() {
                assert!(child.try_wait().unwrap().is_none(), "it ended before it was disturbed");
                assert!(started.elapsed() < Duration::from_secs(300), "nothing happens");
                sleep(Duration::from_millis(2));
            }
            signal(signal_name, &child.id().to_string());
            child.wait().unwrap();
            // Its children notice the closed pipe by themselves.
            sleep(Duration::from_millis(300));
            let moved = directory.path().join(format!("moved-{jobs}-{attempt}"));
            std::fs::rename(&output, &moved).unwrap();
            output = moved;
            let now = decisions(&output.join("searched/latest"));
            assert_eq!(now[..decided.len()], decided);
            decided = now;
        }
        let disturbed = run(&file, &output, &["--jobs", jobs, "--resume"]);
        let all = decisions(&disturbed);
        assert_eq!(all[..decided.len()], decided);
        for (i, decision) in all.iter().enumerate() {
            assert!(!all[..i].contains(decision), "{decision:?} twice");
        }
        assert_same_as_far_as_both_went(&disturbed, &whole);
        assert!(ends(&disturbed, StopReason::Steps) >= 2, "the best is trained to its end");
        if jobs == "1" {
            assert_eq!(all, decisions(&whole));
            assert_eq!(essence(&disturbed), essence(&whole));
            assert_eq!(results(&disturbed), results(&whole));
        }
    }
}

#[test]
fn a_search_ends_in_a_ranking_and_an_experiment_to_run() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), &experiment(&json!({})));
    let run = run(&file, directory.path(), &[]);

    // Of six samples two go on after 1,000 steps and one after 3,000; of the three others one.
    let results = results(&run);
    assert_eq!(results.len(), 2 + 2 * 9);
    assert!(results.iter().any(|(id, ..)| id == "ppo--008--s1"), "{results:?}");
    let whole = results.iter().filter(|(_, _, reason)| *reason == Some(StopReason::Steps)).count();
    let stopped: Vec<u64> = (results.iter())
        .filter(|(_, _, reason)| *reason == Some(StopReason::Pruned))
        .map(|(_, steps, _)| *steps)
        .collect();
    assert_eq!((whole, stopped.len()), (2 * 2, 2 * 7), "{results:?}");
    assert!(stopped.iter().all(|steps| (1000..3200).contains(steps)), "{stopped:?}");

    let summary: Summary = read_json(&run.join("summary.json")).unwrap();
    let search = summary.search.expect("the summary tells of the search");
    let [searched] = &search.agents[..] else { panic!("one agent was searched for") };
    assert_eq!(searched.samples.len(), 9);
    let best = searched.best().expect("complete samples");
    assert_eq!(best.score.seeds.len(), 2);
    let ppo = summary.agents.iter().find(|agent| agent.name == "ppo").unwrap();
    let trials: Vec<_> = ppo.seeds.iter().map(|seed| seed.trial.clone()).collect();
    let expected = [0, 1].map(|seed| format!("ppo--{:03}--s{seed}", best.number));
    assert_eq!(trials, expected, "elsewhere the agent is its best sample");

    assert_ne!(best.number, 0, "otherwise the next lines could not fail");
    let play = |arguments: &[&str]| {
        let played = output(&[&["play"], arguments, &["--episodes", "5", "--json"]].concat());
        assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
        played.stdout
    };
    let trial = run.join("trials").join(&trials[1]);
    assert_eq!(play(&[run.to_str().unwrap(), "ppo/1"]), play(&[trial.to_str().unwrap()]));

    let best_file = run.join("best.json");
    let experiment: Value = read_json_value(&best_file);
    assert!(experiment.get("search").is_none());
    let settings = &experiment["agents"]["ppo"]["training"]["algorithm"];
    let rate = &best.values["agents.ppo.training.algorithm.learning_rate"];
    assert_eq!(settings["learning_rate"], *rate);
    let validated = output(&["validate", best_file.to_str().unwrap()]);
    assert!(validated.status.success(), "{}", String::from_utf8_lossy(&validated.stderr));

    let page = std::fs::read_to_string(run.join("index.html")).unwrap();
    for words in ["id=\"search\"", "Parallel coordinates", "Importance", "best.json", "n_epochs"] {
        assert!(page.contains(words), "{words} is missing");
    }
}

fn read_json_value(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn broken_searches_are_explained() {
    let directory = tempfile::tempdir().unwrap();
    let rate = "agents.ppo.training.algorithm.learning_rate";
    let broken = [
        json!({ "parameters": { rate: { "uniform": [1.0, 0.1] } } }),
        json!({ "parameters": { rate: { "log_uniform": [0.0, 0.1] } } }),
        json!({ "parameters": { rate: { "uniform": [-1.0, 0.1] } } }),
        json!({ "parameters": { rate: { "grid": [0.1] } } }),
        json!({ "parameters": { rate: { "gaussian": [0.0, 0.1] } } }),
        json!({ "parameters": { rate: { "choice": [] } } }),
        json!({ "parameters": { "agents.ppo.training.algorithm.learnin_rate": { "choice": [0.1] } } }),
        json!({ "parameters": { "agents.dqn.policy.hidden": { "choice": [[8]] } } }),
        json!({ "parameters": { "seeds": { "choice": [1] } } }),
        json!({ "parameters": { "agents.ppo.policy.hidden": { "choice": [[8], [0]] } } }),
        json!({ "parameters": {} }),
        json!({ "sampler": { "name": "bayes" } }),
        json!({ "sampler": { "name": "grid" }, "samples": 3 }),
        json!({ "scheduler": { "name": "median_stopping", "grace_period": 0, "interval": 5 } }),
        json!({ "scheduler": { "name": "population_based_training", "interval": 500 } }),
        json!({
            "sampler": { "name": "random" },
            "scheduler": { "name": "population_based_training", "interval": 500, "perturbation_factors": [0.8, 0.0] },
        }),
        json!({
            "sampler": { "name": "random" },
            "parameters": { "agents.ppo.training.algorithm.normalize_observations": { "choice": [true, false] } },
            "scheduler": { "name": "population_based_training", "interval": 500 },
        }),
        json!({
            "parameters": { rate: { "choice": [0.1] } },
            "sampler": { "name": "random" },
            "scheduler": { "name": "population_based_training", "interval": 1 },
        }),
        json!({ "scheduler": { "name": "asynchronous_halving", "grace_period": 1000 } }),
        json!({ "scheduler": { "name": "successive_halving", "grace_period": 1_000_000 } }),
        json!({
            "sampler": { "name": "random" },
            "scheduler": { "name": "asynchronous_halving", "grace_period": 0, "reduction_factor": 1 },
        }),
        json!({ "metric": "accuracy" }),
        json!({ "samples": 9000, "sampler": { "name": "random" } }),
    ];
    let mut told = String::new();
    for search in broken {
        let file = write(directory.path(), &experiment(&search));
        let (exit, stderr) = failure(&["validate", file.to_str().unwrap()]);
        assert_eq!(exit, 2, "{search} was taken: {stderr}");
        let stderr = stderr.replace(file.to_str().unwrap(), "FILE");
        told.push_str(&format!("{search}\n{stderr}\n"));
    }
    insta::assert_snapshot!(told);
}

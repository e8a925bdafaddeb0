//! `rushes play`: what it plays is what a trial evaluated, and what it prints.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;

use rushes::nn::Tensors;
use rushes::store::TrialDir;
use rushes::video::probe_file;
use serde_json::Value;

use crate::cli::{failure, output, run_smoke, rushes};

/// A finished run of `experiments/smoke.json`, shared by the tests that only read it.
static RUN: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let run = run_smoke(directory.path(), &["--set", "recording.after=false"]);
    (directory, run)
});

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

/// What a successful `rushes play` printed.
fn printed(arguments: &[&str]) -> String {
    let mut all = vec!["play"];
    all.extend(arguments);
    let output = output(&all);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(arguments)).expect("JSON")
}

fn column(played: &Value, field: &str) -> Vec<f64> {
    let episodes = played["episodes"].as_array().expect("a list of episodes");
    episodes.iter().map(|episode| episode[field].as_f64().expect("a number")).collect()
}

fn refused(arguments: &[&str]) -> String {
    let mut all = vec!["play"];
    all.extend(arguments);
    let (code, stderr) = failure(&all);
    assert_eq!(code, 2, "{stderr}");
    stderr
}

#[test]
fn a_policy_earns_what_its_trial_evaluated() {
    let (_, run) = &*RUN;
    for (agent, trial) in
        [("reinforce/1", "reinforce--s1"), ("lean", "lean--s0"), ("random/1", "random--s1")]
    {
        let trial = run.join("trials").join(trial);
        let after = TrialDir::new(trial.clone()).result().unwrap().after.unwrap();
        let played = json(&[text(run), agent, "--episodes", "20", "--json"]);
        assert_eq!(column(&played, "return"), after.returns, "{agent}");
        let lengths: Vec<f64> = after.lengths.iter().map(|&length| length as f64).collect();
        assert_eq!(column(&played, "length"), lengths, "{agent}");
        let again = json(&[text(&trial), "--episodes", "20", "--json"]);
        assert_eq!(again, played, "{agent}: by its trial's directory");
    }
}

#[test]
fn a_policy_file_is_enough_and_sampling_differs_from_greed() {
    let (_, run) = &*RUN;
    let trial = run.join("trials/reinforce--s0");
    let file = trial.join("policy.safetensors");
    let by_file = json(&[text(&file), "--json", "--explore"]);
    let by_trial = json(&[text(&trial), "--json", "--explore"]);
    assert_eq!(by_file["episodes"], by_trial["episodes"]);
    let greedy = json(&[text(&file), "--json"]);
    assert_ne!(greedy["episodes"], by_file["episodes"]);
    let other = json(&[text(&file), "--json", "--seed", "7", "--env", "CartPole-v0"]);
    assert_eq!(column(&other, "seed"), (7..17).map(f64::from).collect::<Vec<_>>());
    assert!(column(&other, "length").iter().all(|&length| length <= 200.0), "CartPole-v0's limit");
}

#[test]
fn the_evaluations_mode_is_played_unless_another_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let sampling = [
        "--set",
        "evaluation.mode=explore",
        "--set",
        "evaluation.seed=77",
        "--set",
        "recording.after=false",
    ];
    let run = run_smoke(directory.path(), &sampling);
    let trial = run.join("trials/reinforce--s0");
    let after = TrialDir::new(trial.clone()).result().unwrap().after.unwrap();
    let episodes = ["--episodes", "20", "--json"];
    let file = trial.join("policy.safetensors");
    for from in [&[text(&run), "reinforce"][..], &[text(&trial)], &[text(&file)]] {
        let played = json(&[from, &episodes].concat());
        assert_eq!(column(&played, "return"), after.returns, "{from:?}");
        assert_eq!(played["explore"], true, "{from:?}");
        let greedy = json(&[from, &episodes, &["--greedy"]].concat());
        assert_ne!(greedy["episodes"], played["episodes"], "{from:?}");
        assert_eq!(greedy["explore"], false, "{from:?}");
    }
    assert!(printed(&[text(&run), "reinforce"]).contains(", sampling\n"));
    assert_eq!(failure(&["play", text(&run), "reinforce", "--greedy", "--explore"]).0, 3);
}

#[test]
fn the_video_shows_the_episodes_that_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let video = directory.path().join("random.mp4");
    let arguments = ["--random", "--env", "CartPole-v1", "--episodes", "3", "--json"];
    let without = json(&arguments);
    let filmed = json(&[&arguments[..], &["--video", text(&video)]].concat());
    assert_eq!(filmed["episodes"], without["episodes"]);
    let frames: f64 = column(&filmed, "length").iter().map(|length| length + 1.0).sum();
    assert_eq!(probe_file(&video).unwrap().frames as f64, frames);
}

#[test]
fn episodes_and_steps_are_printed_for_people() {
    let lean = "if obs[2] < 0.0 { 0 } else { 1 }";
    insta::assert_snapshot!(printed(&["--rule", lean, "--env", "CartPole-v1", "--episodes", "3"]));
    let few = ["--print", "--max-steps", "2", "--episodes", "2", "--seed", "5"];
    let steps = |arguments: &[&str]| printed(&[arguments, &few].concat());
    insta::assert_snapshot!(steps(&["--random", "--env", "Pendulum-v1"]));
    insta::assert_snapshot!(steps(&["--random", "--env", "Taxi-v3"]));
}

#[test]
fn steps_are_printed_for_programs() {
    let printed = printed(&["--random", "--env", "Taxi-v3", "--print", "--json"]);
    let lines: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (summary, steps) = lines.split_last().expect("lines");
    assert_eq!(steps[0]["step"], 0);
    assert_eq!(steps[0]["action"], Value::Null);
    assert!(steps.iter().all(|step| step["info"]["action_mask"].is_array()));
    let rewards: f64 = steps.iter().filter_map(|step| step["reward"].as_f64()).sum();
    assert_eq!(column(summary, "return"), [rewards]);
    assert_eq!(column(summary, "length"), [steps.len() as f64 - 1.0]);
    assert_eq!(steps.last().unwrap()["truncated"], summary["episodes"][0]["truncated"]);
}

#[test]
fn the_only_agent_that_learns_needs_no_name() {
    let (_, run) = &*RUN;
    let played = json(&[text(run), "--episodes", "1", "--json"]);
    assert_eq!(played["agent"], "reinforce");
}

#[test]
fn a_policy_is_probed_by_hand() {
    let (_, run) = &*RUN;
    // What it says of an observation is what it says of the same one within an episode.
    let steps = printed(&[text(run), "reinforce/1", "--max-steps", "3", "--print", "--json"]);
    let step: Value = serde_json::from_str(steps.lines().nth(2).expect("a step")).expect("JSON");
    let observation = step["observation"].to_string();
    let probed = json(&[text(run), "reinforce/1", "--observe", &observation, "--json"]);
    assert_eq!(probed["policy"], step["policy"]);
    assert_eq!(probed["observation"], step["observation"]);
    let probabilities = probed["policy"]["probabilities"].as_array().expect("two numbers");
    let sum: f64 = probabilities.iter().filter_map(Value::as_f64).sum();
    assert!((sum - 1.0).abs() < 1e-6, "{sum}");

    let told = printed(&[text(run), "lean", "--observe", "[0, 0, 0.1, 0]"]);
    insta::assert_snapshot!(told, @r"
    lean on CartPole-v1

    observation
        0  cart position                       0.0000
        1  cart velocity                       0.0000
        2  pole angle                          0.1000
        3  pole angular velocity               0.0000
    the policy tells nothing but its action
    action
      1 (push the cart to the right)
    ");
    let told = printed(&[text(run), "reinforce/1", "--observe", "[0, 0, 0.1, 0]"]);
    let words: Vec<&str> = told.lines().filter(|line| !line.starts_with(' ')).collect();
    insta::assert_snapshot!(words.join("\n"), @r"
    reinforce on CartPole-v1, trained for 2041 steps, greedy

    observation
    probabilities
    action
    ");
    for (observation, problem) in [
        ("[1, 2]", "expected 4 numbers, not 2"),
        ("{", "expected JSON"),
        ("[9, 0, 0, 0]", "not among them"),
    ] {
        let stderr = refused(&[text(run), "lean", "--observe", observation]);
        assert!(stderr.starts_with("error: --observe: ") && stderr.contains(problem), "{stderr}");
    }
}

#[test]
fn a_network_is_shown_layer_by_layer() {
    let (_, run) = &*RUN;
    insta::assert_snapshot!(printed(&[text(run), "reinforce", "--network"]), @r"
    module  layer                        output shape   parameters
         0  linear                       16                     80
         1  ReLU activation              16                      0
         2  linear                       2                      34

    114 parameters
    ");
    let told = json(&[text(run), "reinforce", "--network", "--json"]);
    let layers = told["layers"].as_array().expect("layers");
    let sum: u64 = layers.iter().filter_map(|layer| layer["parameters"].as_u64()).sum();
    assert_eq!(told["parameters"].as_u64(), Some(sum));
    let head = serde_json::json!({"type": "categorical", "nvec": [2]});
    let readout = serde_json::json!({"type": "distribution", "head": head, "log_std": []});
    assert_eq!(told["readout"], readout);
    let file = std::path::Path::new(told["file"].as_str().expect("it learned"));
    assert!(file.ends_with("reinforce--s0/policy.safetensors"), "{}", file.display());
    let stderr = refused(&[text(run), "lean", "--network"]);
    insta::assert_snapshot!(stderr, @"error: lean has no network, or plans by several; there are no layers to print");
}

#[test]
fn options_reach_the_environment() {
    let frozen = ["--rule", "2", "--env", "FrozenLake-v1", "--episodes", "30", "--json"];
    let slippery = json(&frozen);
    let firm = json(&[&frozen[..], &["--option", "is_slippery=false"]].concat());
    assert_ne!(slippery["episodes"], firm["episodes"]);
    assert_eq!(firm["environment"]["options"]["is_slippery"], false);
    assert_eq!(column(&firm, "length"), [100.0; 30], "right for ever ends at the wall");
}

/// An unfinished trial plays what its newest checkpoint knows, and so does the checkpoint's file.
#[test]
fn checkpoints_and_unfinished_trials_play() {
    let directory = tempfile::tempdir().unwrap();
    let experiment = serde_json::json!({
        "name": "checkpoints",
        "environment": { "id": "CartPole-v1" },
        "agents": { "dqn": {
            "policy": { "type": "neural", "hidden": [8] },
            "training": {
                "algorithm": { "name": "dqn", "learning_starts": 50 },
                "schedule": { "steps": 1000, "checkpoint_every": 300 },
            },
        } },
        "evaluation": { "episodes": 3 },
        "recording": { "before": false, "after": false },
    });
    let run = crate::run::run_experiment(directory.path(), &experiment, &[]);
    let trial = run.join("trials/dqn--s0");
    let played = |arguments: &[&str]| {
        let played = json(&[arguments, &["--json", "--episodes", "3"]].concat());
        (played["trained_steps"].as_u64().unwrap(), column(&played, "return"))
    };
    let finished = played(&[text(&trial)]);
    assert_eq!(finished.0, 1000);
    let checkpoint = |newest: bool| {
        let names = std::fs::read_dir(trial.join("checkpoint")).unwrap().flatten();
        let mut paths: Vec<PathBuf> = names.map(|entry| entry.path()).collect();
        paths.sort();
        if newest { paths.pop().unwrap() } else { paths.remove(0) }
    };
    assert_eq!(played(&[text(&checkpoint(true))]), finished, "training ended there");
    let before = played(&[text(&checkpoint(false))]);
    assert!((900..1000).contains(&before.0), "{before:?}");
    std::fs::remove_file(checkpoint(true)).unwrap();
    std::fs::remove_file(trial.join("result.json")).unwrap();
    assert_eq!(played(&[text(&run), "dqn"]), before);
    std::fs::remove_dir_all(trial.join("checkpoint")).unwrap();
    assert!(refused(&[text(&run)]).contains("nor a checkpoint"));
    std::fs::remove_dir_all(&trial).unwrap();
    for arguments in [&[text(&run)][..], &[text(&run), "dqn/0"]] {
        let told = refused(arguments);
        assert!(told.contains("dqn with seed 0 has not begun"), "{told}");
        assert!(told.contains("rushes run") && told.contains("--resume="), "{told}");
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let mut child =
        rushes(&["play", "--random", "--env", "CartPole-v1", "--print", "--episodes", "5000"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    let mut first = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut first).unwrap();
    assert_eq!(first, "random on CartPole-v1\n");
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn what_cannot_be_played_is_explained() {
    let (_, run) = &*RUN;
    let run = text(run);
    let names = |message: String, parts: &[&str]| {
        for part in parts {
            assert!(message.contains(part), "{message:?} does not name {part:?}");
        }
    };
    names(refused(&["no/such.safetensors"]), &["no/such.safetensors", "No such file"]);
    names(refused(&["README.md"]), &["README.md", "not a safetensors file"]);
    names(refused(&["src"]), &["directory of a trial or a run"]);
    names(refused(&[run, "ppo"]), &["`ppo`", "random, lean, reinforce"]);
    names(refused(&[run, "lean/9"]), &["`lean/9`"]);
    names(refused(&["README.md", "lean"]), &["README.md is not a run's directory"]);
    let spaces = ["CartPole-v1", "Discrete(2)", "Pendulum-v1", "Box(-2, 2, [1])"];
    names(refused(&[run, "reinforce", "--env", "Pendulum-v1"]), &spaces);
    names(refused(&[run, "reinforce", "--env", "Acrobot"]), &["`Acrobot`", "Acrobot-v1"]);
    let random = ["--random", "--env", "CartPole-v1"];
    names(refused(&[&random[..], &["--option", "wind=1"]].concat()), &["--option wind", "wind"]);
    names(
        refused(&["--hard-coded", "heuristics", "--env", "LunarLander-v3"]),
        &["`heuristics`", "did you mean `heuristic`"],
    );
    names(refused(&["--rule", "obz[0]", "--env", "CartPole-v1"]), &["obz", "character 1"]);
    names(refused(&["--rule", "7", "--env", "CartPole-v1"]), &["gave 7", "Discrete(2)"]);
    names(
        refused(&[&random[..], &["--video", "no/such/folder/x.mp4"]].concat()),
        &["no/such/folder/x.mp4"],
    );
    for usage in [&["play"][..], &["play", "--random"], &["play", "x", "--random", "--env", "y"]] {
        assert_eq!(failure(usage).0, 3, "{usage:?}");
    }
}

#[test]
fn damaged_and_foreign_files_are_told_apart() {
    let (_, run) = &*RUN;
    let whole = std::fs::read(run.join("trials/reinforce--s0/policy.safetensors")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.safetensors");
    let refused_bytes = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        refused(&[text(&file)])
    };
    for length in [0, 9, whole.len() / 2, whole.len() - 1] {
        let message = refused_bytes(&whole[..length]);
        assert!(message.contains("damaged or not a safetensors file"), "{length}: {message}");
    }
    let changed = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = Tensors::from_bytes(&whole).unwrap();
        change(&mut tensors);
        refused_bytes(&tensors.to_bytes().unwrap())
    };
    let foreign = changed(&|tensors| tensors.metadata.clear());
    assert!(foreign.contains("is not a policy of this program"), "{foreign}");
    let wider = changed(&|tensors| {
        tensors.metadata["agent"]["policy"]["hidden"] = serde_json::json!([99]);
    });
    assert!(wider.contains("do not fit") && wider.contains("0.weight"), "{wider}");
    let newer = changed(&|tensors| {
        tensors.metadata["agent"]["training"]["algorithm"]["name"] = "alphazero".into();
    });
    assert!(newer.contains("header") && newer.contains("alphazero"), "{newer}");
}

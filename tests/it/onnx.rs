//! Policies in onnxruntime: every kind of network, head and observation decides there as it does here.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rushes::env::{Assessment, Mode, Situation};
use rushes::results::SavedAgent;
use rushes::rng::{Purpose, stream};
use rushes::store::RunDir;
use serde_json::{Value, json};

use crate::cli::{failure, output};
use crate::interop::python_program;

/// How many observations are compared.
const OBSERVATIONS: usize = 7;

/// Runs an experiment that trains `agents` for a moment in `environment`.
fn run(folder: &Path, environment: Value, agents: Value) -> PathBuf {
    let experiment = json!({
        "name": "exported",
        "environment": environment,
        "seeds": [0],
        "agents": agents,
        "evaluation": { "episodes": 1, "max_episode_steps": 5 },
        "recording": { "before": false, "after": false },
    });
    let file = folder.join("exported.json");
    std::fs::write(&file, experiment.to_string()).unwrap();
    let made = output(&["run", file.to_str().unwrap(), "--output", folder.to_str().unwrap()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    RunDir::latest(folder, "exported").unwrap()
}

/// An agent with this policy and algorithm, trained for some steps.
fn agent(policy: Value, algorithm: Value, steps: u64) -> Value {
    let mut agent = json!({
        "policy": { "type": "neural", "hidden": [8, 6] },
        "training": { "algorithm": algorithm, "schedule": { "steps": steps } },
    });
    agent["policy"].as_object_mut().unwrap().extend(policy.as_object().unwrap().clone());
    agent
}

/// What onnxruntime computes by a model.
fn onnxruntime(model: &Path, observations: &[Vec<f32>]) -> Value {
    let (python, program) = python_program("run_onnx.py");
    let mut command = Command::new(python);
    command.arg(program).arg(model).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(serde_json::to_string(observations).unwrap().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "onnxruntime refuses {}", model.display());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn assert_close(what: &str, found: &Value, expected: &[f64]) {
    let found: Vec<f64> = match found {
        Value::Array(numbers) => numbers.iter().map(|n| n.as_f64().unwrap()).collect(),
        number => vec![number.as_f64().unwrap()],
    };
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let tolerance = 1e-6 * expected.abs().max(1.0);
        assert!((found - expected).abs() < tolerance, "{what}: {found} is not {expected}");
    }
}

/// Exports every agent of a run and holds what onnxruntime makes of observations against what the policy says here.
fn compare(run: &Path) {
    rushes_torch::register();
    let plan = RunDir::open(run).unwrap().plan().unwrap();
    for name in plan.experiment.agents.keys() {
        let model = run.join(format!("{name}.onnx"));
        let exported = output(&[
            "export",
            run.to_str().unwrap(),
            "--agent",
            name,
            "--onnx",
            model.to_str().unwrap(),
        ]);
        assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
        let saved = SavedAgent::open(run, Some(name)).unwrap();
        let mut player = saved.play_in(&saved.environment).unwrap();
        let (env, policy) = player.parts();
        let space = env.env().observation_space().clone();
        let mut rng = stream(0, Purpose::Exploration, 0);
        let observations: Vec<Vec<f32>> = (0..OBSERVATIONS)
            .map(|_| {
                let mut observation = vec![0.0; space.len()];
                space.sample(&mut rng, &mut observation);
                observation
            })
            .collect();
        let outputs = onnxruntime(&model, &observations);
        policy.begin_episode();
        for (i, observation) in observations.iter().enumerate() {
            let situation = Situation { observation, step: 0, env: env.env() };
            let Assessment { probabilities, std, q_values, value, .. } =
                policy.assess(situation).unwrap();
            let mut action = vec![0.0; env.env().action_space().len()];
            policy.act(situation, Mode::Greedy, &mut rng, &mut action).unwrap();
            let action: Vec<f64> = action.into_iter().map(f64::from).collect();
            assert_close(&format!("{name}'s action"), &outputs["action"][i], &action);
            let value = value.into_iter().collect();
            for (what, expected) in [
                ("probabilities", probabilities),
                ("std", std),
                ("q_values", q_values),
                ("value", value),
            ] {
                if !outputs[what].is_null() {
                    assert_close(&format!("{name}'s {what}"), &outputs[what][i], &expected);
                }
            }
        }
    }
}

#[test]
fn discrete_actions_are_those_of_onnxruntime() {
    let folder = tempfile::tempdir().unwrap();
    let double = |activation| json!({ "activation": activation, "precision": "float64" });
    let single = |activation| json!({ "activation": activation });
    let ppo =
        json!({ "name": "ppo", "n_steps": 32, "batch_size": 32, "normalize_observations": true });
    let dqn = |dueling| json!({ "name": "dqn", "learning_starts": 16, "buffer_size": 1000, "dueling": dueling });
    let qr_dqn =
        json!({ "name": "qr_dqn", "learning_starts": 16, "buffer_size": 1000, "n_quantiles": 7 });
    let pqn = json!({ "name": "pqn", "n_steps": 8, "batch_size": 16, "learning_rate": 0.01 });
    let mut sigmoid = double("elu");
    (sigmoid["head"], sigmoid["dropout"]) = (json!("sigmoid"), json!(0.2));
    let agents = json!({
        "sigmoid": agent(sigmoid, json!({ "name": "reinforce" }), 50),
        "normalised": agent(single("tanh"), ppo.clone(), 64),
        "normalised-double": agent(double("leaky_relu"), ppo, 64),
        "sigmoids": agent(single("sigmoid"), json!({ "name": "a2c" }), 40),
        "values": agent(single("relu"), dqn(false), 40),
        "dueling": agent(double("silu"), dqn(true), 40),
        "quantiles": agent(single("tanh"), qr_dqn.clone(), 40),
        "quantiles-double": agent(double("relu"), qr_dqn, 40),
        "layer-norm": agent(single("relu"), pqn.clone(), 64),
        "layer-norm-double": agent(double("silu"), pqn, 64),
        "linear": agent(single("linear"), json!({ "name": "reinforce" }), 50),
    });
    compare(&run(folder.path(), json!({ "id": "CartPole-v1" }), agents));
}

#[test]
fn continuous_actions_are_those_of_onnxruntime() {
    let folder = tempfile::tempdir().unwrap();
    let ppo =
        json!({ "name": "ppo", "n_steps": 32, "batch_size": 32, "normalize_observations": true });
    let off_policy = |name| json!({ "name": name, "learning_starts": 16, "buffer_size": 1000 });
    let double = json!({ "precision": "float64", "activation": "elu" });
    // Means beyond what they are cut to.
    let with_sde = |name: &str| json!({ "name": name, "learning_starts": 16, "buffer_size": 1000, "use_sde": true, "learning_rate": 0.3 });
    let agents = json!({
        "gaussian": agent(json!({}), ppo.clone(), 64),
        "gaussian-double": agent(double.clone(), ppo, 64),
        "gaussian-by-state": agent(
            json!({}),
            json!({ "name": "ppo", "n_steps": 32, "batch_size": 32, "use_sde": true }),
            64,
        ),
        "squashed": agent(json!({}), off_policy("sac"), 24),
        "deterministic": agent(double.clone(), off_policy("td3"), 24),
        "quantiles": agent(json!({}), off_policy("tqc"), 24),
        "state-dependent": agent(json!({}), with_sde("sac"), 24),
        "state-dependent-double": agent(double.clone(), with_sde("tqc"), 24),
        "normalised": agent(json!({}), off_policy("crossq"), 24),
        "normalised-double": agent(json!({ "precision": "float64" }), off_policy("crossq"), 24),
    });
    compare(&run(folder.path(), json!({ "id": "Pendulum-v1" }), agents));
}

/// Beside the observation comes what the network remembers of those before.
#[test]
fn recurrent_policies_remember_in_onnxruntime() {
    let folder = tempfile::tempdir().unwrap();
    let recurrent = |cell: &str, layers: u64, precision: &str| {
        json!({
            "recurrent": { "type": cell, "hidden_size": 7, "num_layers": layers },
            "precision": precision, "initialisation": "pytorch",
        })
    };
    let ppo = |shared: bool| {
        json!({
            "name": "recurrent_ppo", "n_steps": 32, "batch_size": 32, "normalize_observations": true,
            "shared_trunk": shared,
        })
    };
    let agents = json!({
        "lstm": agent(recurrent("lstm", 2, "float32"), ppo(false), 64),
        "lstm-double": agent(recurrent("lstm", 1, "float64"), ppo(true), 64),
        "gru": agent(recurrent("gru", 1, "float32"), ppo(true), 64),
        "gru-double": agent(recurrent("gru", 2, "float64"), ppo(false), 64),
    });
    compare(&run(folder.path(), json!({ "id": "CartPole-v1" }), agents.clone()));
    compare(&run(folder.path(), json!({ "id": "Pendulum-v1" }), agents));
}

#[test]
fn one_hot_and_composite_observations_are_those_of_onnxruntime() {
    let ppo = json!({ "name": "ppo", "n_steps": 16, "batch_size": 16 });
    for id in ["FrozenLake-v1", "Blackjack-v1"] {
        let folder = tempfile::tempdir().unwrap();
        let agents = json!({ "ppo": agent(json!({}), ppo.clone(), 16) });
        compare(&run(folder.path(), json!({ "id": id }), agents));
    }
    let folder = tempfile::tempdir().unwrap();
    let (python, module) = python_program("shapes.py");
    std::fs::copy(module, folder.path().join("shapes.py")).unwrap();
    let mut normalised = ppo.clone();
    normalised["normalize_observations"] = json!(true);
    let agents = json!({
        "parts": agent(json!({}), ppo, 16),
        "parts-double": agent(json!({ "precision": "float64" }), normalised, 16),
    });
    compare(&run(
        folder.path(),
        json!({ "id": "shapes:Shapes", "gymnasium": { "python": python } }),
        agents,
    ));
}

#[test]
fn convolutions_are_those_of_onnxruntime() {
    let folder = tempfile::tempdir().unwrap();
    let pixels = json!({
        "observation": { "type": "pixels", "width": 16, "height": 10, "channels": "rgb", "stack": 2 },
        "convolutions": [{ "channels": 4, "kernel": 4, "stride": 2 }, { "channels": 3, "kernel": 2 }],
        "activation": "silu", "precision": "float64",
    });
    let differences = json!({
        "observation": { "type": "pixels", "width": 12, "height": 12, "difference": true },
        "convolutions": [{ "channels": 4, "kernel": 3, "stride": 2 }],
    });
    let agents = json!({
        "pixels": agent(pixels, json!({ "name": "reinforce" }), 30),
        "differences": agent(differences, json!({ "name": "reinforce" }), 30),
    });
    compare(&run(folder.path(), json!({ "id": "CartPole-v1" }), agents));
}

#[test]
fn pictures_with_their_channels_last_are_those_of_onnxruntime() {
    let folder = tempfile::tempdir().unwrap();
    let convolutional = json!({
        "convolutions": [{ "channels": 2, "kernel": 16, "stride": 16 }], "hidden": [4],
    });
    let ppo = json!({ "name": "ppo", "n_envs": 1, "n_steps": 8, "batch_size": 8, "n_epochs": 1 });
    let agents = json!({ "driver": agent(convolutional, ppo, 8) });
    compare(&run(folder.path(), json!({ "id": "CarRacing-v3" }), agents));
}

#[test]
fn what_is_no_network_is_no_onnx() {
    let folder = tempfile::tempdir().unwrap();
    let table = json!({
        "policy": { "type": "tabular" },
        "training": { "algorithm": { "name": "q_learning" }, "schedule": { "steps": 20 } },
    });
    let run = run(folder.path(), json!({ "id": "FrozenLake-v1" }), json!({ "table": table }));
    let model = folder.path().join("table.onnx");
    let (code, stderr) =
        failure(&["export", run.to_str().unwrap(), "--onnx", model.to_str().unwrap()]);
    insta::assert_snapshot!(format!("{code}: {stderr}"), @"2: error: table does not act by one network: ONNX is for policies of type `neural` that an algorithm other than a planner trained");
    assert!(!model.exists());
}

#[test]
fn a_folder_for_a_hub_holds_card_policy_settings_and_film() {
    let folder = tempfile::tempdir().unwrap();
    let agents = json!({
        "random": { "policy": { "type": "random" } },
        "learner": agent(json!({}), json!({ "name": "reinforce" }), 50),
    });
    let run = run(folder.path(), json!({ "id": "CartPole-v1" }), agents);
    let hub = folder.path().join("hub");
    let exported = output(&["export", run.to_str().unwrap(), "--hub", hub.to_str().unwrap()]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let mut files: Vec<String> = std::fs::read_dir(&hub)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(
        files,
        ["README.md", "experiment.json", "policy.onnx", "policy.safetensors", "replay.mp4"]
    );
    let card = std::fs::read_to_string(hub.join("README.md")).unwrap();
    let card = card.lines().map(|line| match line.split_once(" in run ") {
        Some((made, _)) => format!("{made} in run …"),
        None => line.to_owned(),
    });
    let card: Vec<_> = card.collect();
    insta::assert_snapshot!(card.join("\n"), @r##"
    ---
    library_name: rushes
    tags:
    - "CartPole-v1"
    - "reinforce"
    - deep-reinforcement-learning
    - reinforcement-learning
    model-index:
    - name: "learner on CartPole-v1"
      results:
      - task:
          type: reinforcement-learning
          name: reinforcement-learning
        dataset:
          name: "CartPole-v1"
          type: "CartPole-v1"
        metrics:
        - type: "mean_reward"
          name: "mean_reward"
          value: "5.000 +/- 0.000"
          verified: false
    ---

    # learner on CartPole-v1

    A policy for CartPole-v1, trained by reinforce for 89 environment steps.

    <video src="replay.mp4" controls autoplay loop muted></video>

    | | return |
    |---|--:|
    | this policy, 1 evaluation episode, mean ± standard deviation | 5.000 ± 0.000 |

    Weak evidence: one seed: another one may come out otherwise; evaluations of only 1 episode.

    Actions are the best ones, episodes are numbered from seed 1000000000.

    ## Use it

    ```sh
    rushes play policy.safetensors --video film.mp4   # plays the episodes that were evaluated
    rushes run experiment.json                        # trains it again, with all that it was compared with
    ```

    `policy.onnx` is the same policy with everything that lies between an observation and the greedy action:

    ```python
    import onnxruntime

    policy = onnxruntime.InferenceSession("policy.onnx")
    observations = ...  # a batch, as the environment gives them
    [action] = policy.run(["action"], {"observation": observations})
    ```

    `policy.safetensors` holds the tensors, named as those of a `torch.nn.Sequential`, with all settings in its header.

    Made by rushes 0.1.0 in run …
    "##);
    let policy = hub.join("policy.safetensors");
    let played = output(&["play", policy.to_str().unwrap(), "--episodes", "1"]);
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
}

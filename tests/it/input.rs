//! What people and other tools write, as they write it: numbers, byte-order marks, names, sizes beyond reason.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::{failure, output, run_smoke};

/// An experiment with one learner, called `ppo-0.1`.
fn experiment() -> Value {
    json!({
        "name": "input",
        "environment": { "id": "CartPole-v1" },
        "agents": { "ppo-0.1": {
            "policy": { "type": "neural", "hidden": [8] },
            "training": { "algorithm": { "name": "ppo" }, "schedule": { "steps": 600 } },
        } },
        "evaluation": { "episodes": 3 },
        "recording": { "before": false, "after": false },
    })
}

fn write(folder: &Path, content: impl AsRef<[u8]>) -> PathBuf {
    let file = folder.join("input.json");
    std::fs::write(&file, content).unwrap();
    file
}

/// The experiment in `content` with every default filled in, or what is wrong with it.
fn resolved(content: impl AsRef<[u8]>, more: &[&str]) -> Result<Value, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), content);
    let mut arguments = vec!["validate", "--resolved", file.to_str().unwrap()];
    arguments.extend(more);
    let output = output(&arguments);
    match output.status.code() {
        Some(0) => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        Some(2) => Err(String::from_utf8(output.stderr).unwrap()),
        code => panic!("{code:?}: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// The experiment with other parts, as a file's content.
fn with(changes: &[(&str, Value)]) -> String {
    let mut value = experiment();
    for (pointer, new) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        value.pointer_mut(parent).unwrap()[key] = new.clone();
    }
    value.to_string()
}

#[test]
fn options_that_no_arithmetic_stands_are_refused_or_fail_in_words() {
    for (env, option) in [
        ("Acrobot-v1", "torque_noise_max=1e300"),
        ("CartPole-v1", "high=1.7e308"),
        ("Pendulum-v1", "g=1e40"),
    ] {
        let line = ["play", "--random", "--env", env, "--option", option];
        let (code, message) = failure(&line);
        assert_eq!(code, 2, "{message}");
        assert!(message.contains("expected a number between"), "{message}");
    }
    let (code, message) =
        failure(&["play", "--random", "--env", "Acrobot-v1", "--option", "torque_noise_max=1e6"]);
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("gave the observation NaN"), "{message}");
}

#[test]
fn one_field_is_searched_once() {
    let folder = tempfile::tempdir().expect("room for a file");
    let file = folder.path().join("search.json");
    let text = r#"{
      "name": "twice", "environment": { "id": "CartPole-v1" }, "recording": { "before": false, "after": false },
      "agents": { "l": { "policy": { "type": "neural", "hidden": [4] }, "training": {
        "algorithm": { "name": "reinforce" }, "schedule": { "episodes": 2 } } } },
      "search": { "parameters": {
        "agents.l.training.algorithm.learning_rate": { "grid": [0.1] },
        "agents.\"l\".training.algorithm.learning_rate": { "grid": [0.2] } } }
    }"#;
    std::fs::write(&file, text).expect("room for a file");
    let (code, message) = failure(&["validate", file.to_str().expect("text")]);
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("this is the same field as"), "{message}");
}

#[test]
fn whole_numbers_may_have_a_point_or_an_exponent() {
    let plain = with(&[
        ("/seeds", json!(2)),
        (
            "/environment",
            json!({ "id": "FrozenLake-v1", "options": { "map_name": null, "map_size": 5 } }),
        ),
        (
            "/search",
            json!({
                "parameters": {
                    "agents.\"ppo-0.1\".training.algorithm.n_epochs": { "integer": [1, 3] },
                    "agents.\"ppo-0.1\".policy.hidden": { "grid": [[8], [16]] },
                },
                "samples": 2,
            }),
        ),
    ]);
    let written = plain
        .replace("\"seeds\":2", "\"seeds\":2.0")
        .replace("\"map_size\":5", "\"map_size\":5e0")
        .replace("[1,3]", "[1.0,3e0]")
        .replace("[[8],[16]]", "[[8.0],[1.6e1]]")
        .replace("\"samples\":2", "\"samples\":20e-1")
        .replace("600", "6e2")
        .replace("\"episodes\":3", "\"episodes\":3.0");
    assert_ne!(written, plain);
    assert_eq!(resolved(&written, &[]), resolved(&plain, &[]));
    let set = |value: &str| {
        let path = format!("agents.\"ppo-0.1\".training.schedule.evaluate_every={value}");
        resolved(experiment().to_string(), &["--set", &path])
    };
    assert_eq!(set("1e2").expect("a whole number"), set("100").unwrap());
    assert_eq!(
        set("{\"steps\": 100.0}").expect("a whole number"),
        set("{\"steps\": 100}").unwrap()
    );
}

#[test]
fn whole_numbers_are_exact_or_refused() {
    for (value, at) in
        [("0.5", 0), ("1e16", 1), ("9007199254740993.0", 1), ("1e300", 1), ("-1e0", 2)]
    {
        let message =
            resolved(experiment().to_string(), &["--set", &format!("evaluation.seed={value}")])
                .expect_err(value);
        let expected =
            ["expected a whole number, found 0.5", "write its digits", "expected at least 0"][at];
        assert!(message.contains(expected), "{value}: {message}");
        assert!(message.contains("evaluation.seed: "), "{value}: {message}");
    }
    let large = resolved(
        experiment().to_string(),
        &["--set", "search=null", "--set", "environment.max_episode_steps=5e9"],
    );
    let message = large.expect_err("more than 32 bits");
    assert!(
        message.contains("environment.max_episode_steps: expected at most 4294967295"),
        "{message}"
    );
}

#[test]
fn a_byte_order_mark_is_read_past() {
    let marked = |text: &str| [b"\xef\xbb\xbf", text.as_bytes()].concat();
    assert!(resolved(marked(&experiment().to_string()), &[]).is_ok());
    // Places in the text are those that an editor shows.
    let broken = resolved(marked("{\"nam\": 1}"), &[]).expect_err("an unknown key");
    assert!(broken.contains("input.json:1:9: nam: unknown key"), "{broken}");

    let folder = tempfile::tempdir().unwrap();
    let golden = std::fs::read_to_string("tests/goldens/CartPole-v1.json").unwrap();
    let trace = write(folder.path(), marked(&golden));
    let replayed = output(&["trace", "--verify", trace.to_str().unwrap()]);
    assert_eq!(replayed.status.code(), Some(0), "{}", String::from_utf8_lossy(&replayed.stderr));

    let run = run_smoke(folder.path(), &["--quick"]);
    let run = run.to_str().unwrap();
    let baseline = write(folder.path(), "");
    let baseline = baseline.to_str().unwrap();
    assert!(output(&["baseline", run, "-o", baseline]).status.success());
    let text = std::fs::read_to_string(baseline).unwrap();
    std::fs::write(baseline, marked(&text)).unwrap();
    let checked = output(&["check", run, "--baseline", baseline]);
    assert!(checked.stderr.is_empty(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn other_encodings_are_named() {
    let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let message = resolved(utf16, &[]).expect_err("UTF-16");
    assert!(message.contains("UTF-16") && message.contains("save it as UTF-8"), "{message}");
    let message = resolved(b"{\"name\": \"\xe4\"}", &[]).expect_err("Latin-1");
    assert!(message.contains("UTF-8"), "{message}");
}

#[test]
fn names_with_dots_are_reached_in_quotes() {
    let set = |path: &str| resolved(experiment().to_string(), &["--set", path]);
    let changed = set("agents.\"ppo-0.1\".policy.hidden=[4]").expect("a quoted name");
    assert_eq!(changed["agents"]["ppo-0.1"]["policy"]["hidden"], json!([4]));
    let message = set("agents.\"ppo-0.1\".policy.hidden=[0]").expect_err("no unit");
    assert!(
        message.contains(": agents.\"ppo-0.1\".policy.hidden.0: expected at least 1"),
        "{message}"
    );
    let message =
        set("agents.ppo-0.1.policy.hidden=[4]").expect_err("an agent ppo-0 without a policy");
    assert!(message.contains("agents.\"ppo-0.1\""), "{message}");
    for broken in ["agents.\"ppo-0.1.policy=1", "agents.\"a\"b=1", "agents.\"a\"", "=1", "a.=1"] {
        let status = output(&["validate", "experiments/smoke.json", "--set", broken]).status;
        assert_eq!(status.code(), Some(3), "{broken}");
    }

    let rate = |path: &str| {
        let range = json!({ "uniform": [0.001, 0.01] });
        resolved(with(&[("/search", json!({ "parameters": { path: range }, "samples": 2 }))]), &[])
    };
    assert!(rate("agents.\"ppo-0.1\".training.algorithm.learning_rate").is_ok());
    let message =
        rate("agents.ppo-0.1.training.algorithm.learning_rate").expect_err("no agent ppo-0");
    assert!(message.contains("agents.\"ppo-0.1\""), "{message}");
}

#[test]
fn trials_are_counted_before_they_are_built() {
    let parameter = |name: &str| format!("agents.\"ppo-0.1\".training.algorithm.{name}");
    let tens: Vec<f64> = (1..=10).map(|i| f64::from(i) / 10.0).collect();
    let names = ["gamma", "gae_lambda", "clip_range", "ent_coef", "vf_coef", "learning_rate"];
    let million: serde_json::Map<_, _> =
        names.iter().map(|name| (parameter(name), json!({ "grid": tens }))).collect();
    let steps = "agents.\"ppo-0.1\".training.schedule.steps";
    for (search, expected) in [
        (
            json!({ "parameters": { steps: { "integer": [1, 1_000_000_000] } }, "sampler": { "name": "grid" } }),
            "1000000000 trials",
        ),
        (
            json!({ "parameters": { steps: { "integer": [1, i64::MAX] }, (parameter("n_epochs")): { "integer": [1, 9] } },
                 "sampler": { "name": "grid" } }),
            "at least 18446744073709551615 trials",
        ),
        (json!({ "parameters": million }), "1000000 trials"),
        (
            json!({ "parameters": { (parameter("gamma")): { "grid": tens } }, "samples": 10_000 }),
            "100000 trials",
        ),
        (
            json!({ "parameters": { (parameter("gamma")): { "choice": tens } }, "samples": 10_000,
                 "sampler": { "name": "tpe" } }),
            "20000 trials",
        ),
    ] {
        let seeds = if expected == "20000 trials" { 2 } else { 1 };
        let content = with(&[("/search", search.clone()), ("/seeds", json!(seeds))]);
        let message = resolved(content, &[]).expect_err(expected);
        assert!(message.contains(": search.parameters: "), "{message}");
        assert!(message.contains(expected), "{search}: {message}");
        assert!(message.contains("10000"), "the limit is stated: {message}");
    }
    let message = resolved(
        with(&[
            ("/seeds", json!(10_000)),
            ("/agents/b", experiment()["agents"]["ppo-0.1"].clone()),
        ]),
        &[],
    )
    .expect_err("20,000 trials");
    assert!(message.contains(": seeds: 20000 trials"), "{message}");
}

#[test]
fn films_that_cannot_be_are_refused_before_training() {
    for (video, field, expected) in [
        (json!({ "height": 3000 }), "height", "4500 × 3000"),
        (json!({ "width": 16 }), "width", "16 × 11"),
    ] {
        let recording = json!({ "before": false, "after": true, "video": video });
        let message =
            resolved(with(&[("/recording", recording.clone())]), &[]).expect_err(expected);
        assert!(message.contains(&format!("recording.video.{field}: ")), "{message}");
        assert!(message.contains(expected) && message.contains("16 to 4096"), "{message}");
        // Where nothing is filmed, nothing is refused.
        let mut idle = recording;
        idle["after"] = json!(false);
        assert!(resolved(with(&[("/recording", idle)]), &[]).is_ok());
    }
}

#[test]
fn times_beyond_any_clock_are_refused() {
    for (path, place) in [
        ("trial_timeout_seconds", "trial_timeout_seconds"),
        ("agents.\"ppo-0.1\".training.schedule.seconds", "schedule.seconds"),
    ] {
        let message = resolved(experiment().to_string(), &["--set", &format!("{path}=1e300")])
            .expect_err(path);
        assert!(message.contains(&format!("{place}: expected at most")), "{message}");
    }
}

#[test]
fn messages_about_the_command_line_are_short() {
    let long = "x".repeat(100_000);
    for line in
        [vec![long.as_str()], vec!["run", "--jobs", &long, "x"], vec!["run", "x", "--set", &long]]
    {
        let (code, message) = failure(&line);
        assert_eq!(code, 3, "{message}");
        assert!(message.len() <= 4096 && message.contains("xxx"), "{} bytes", message.len());
    }
}

#[test]
fn messages_are_short_and_move_no_cursor() {
    let long = "x".repeat(1_000_000);
    let escape = "a\u{1b}[2Jb\u{9b}c\u{7f}";
    let agent = experiment()["agents"]["ppo-0.1"].clone();
    let unknown: String = (0..10_000).map(|i| format!("\"unknown-{i}\": 1,")).collect();
    let unknown = format!("{{{unknown}\"name\": 1}}");
    let named = |name: &str| json!({ name: agent });
    for content in [
        with(&[("/name", json!(long))]),
        with(&[("/agents", named(&long))]),
        with(&[("/agents", named(escape))]),
        with(&[(&format!("/{escape}"), json!(1))]),
        with(&[(&format!("/{long}"), json!(1))]),
        with(&[("/environment/id", json!(long))]),
        with(&[("/environment/id", json!(escape))]),
        with(&[("/environment/options", json!({ long.as_str(): 1 }))]),
        with(&[("/agents/ppo-0.1/policy", json!({ "type": "hard-coded", "rule": long }))]),
        with(&[("/agents/ppo-0.1/policy", json!({ "type": "hard-coded", "rule": escape }))]),
        with(&[("/agents/ppo-0.1/policy", json!({ "type": "hard-coded", "name": long }))]),
        with(&[("/agents/ppo-0.1/training/algorithm/name", json!(long))]),
        with(&[("/search", json!({ "parameters": { long.as_str(): { "choice": [long] } } }))]),
        unknown,
    ] {
        let message = resolved(&content, &[]).expect_err("broken");
        assert!(message.len() <= 4096, "{} bytes for {} of input", message.len(), content.len());
        let control = message.trim_end().chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(control, None, "{message:?}");
    }
}

#[test]
fn an_experiment_is_not_called_like_the_history() {
    for name in ["history.sqlite", "history.sqlite-wal", "history.sqlite-shm"] {
        let message = resolved(with(&[("/name", json!(name))]), &[]).expect_err(name);
        assert!(message.contains(": name: "), "{message}");
    }
}

#[test]
fn a_policy_of_absurd_size_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (hidden, algorithm) in [
        (json!([u64::MAX]), json!({ "name": "ppo" })),
        (json!([1_u64 << 40, 1_u64 << 40]), json!({ "name": "ppo" })),
        (json!([3_000_000_000_u64]), json!({ "name": "dqn" })),
        (json!([0]), json!({ "name": "ppo" })),
        (json!([8]), json!({ "name": "model_based_planning", "ensemble_size": 1_u64 << 60 })),
    ] {
        let settings = json!({
            "policy": { "type": "neural", "hidden": hidden },
            "training": { "algorithm": algorithm, "schedule": { "steps": 1 } },
        });
        let mut tensors = ::rushes::nn::Tensors::default();
        tensors.metadata.insert("agent".into(), settings);
        tensors.metadata.insert("environment".into(), json!({ "id": "CartPole-v1" }));
        tensors
            .metadata
            .insert("progress".into(), json!({ "episodes": 0, "steps": 0, "updates": 0 }));
        let file = folder.path().join("policy.safetensors");
        tensors.write(&file).unwrap();
        let played = output(&["play", file.to_str().unwrap()]);
        let stderr = String::from_utf8_lossy(&played.stderr);
        assert_eq!(played.status.code(), Some(2), "{hidden}: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert!(stderr.contains("policy.safetensors"), "{stderr}");
    }
}

#[test]
fn networks_that_nothing_computes_are_refused() {
    let pixels = json!({ "type": "pixels", "width": 40, "height": 40 });
    let convolutions = json!([{ "channels": 4, "kernel": 4 }]);
    for (policy, expected) in [
        (
            json!({ "engine": "native", "device": "cuda" }),
            "policy.engine: engine \"native\" computes on the CPU",
        ),
        (
            json!({ "engine": "native", "device": "cuda", "observation": pixels }),
            "computes on the CPU",
        ),
        (
            json!({ "engine": "native", "device": "cuda", "observation": pixels,
                "convolutions": convolutions }),
            "computes on the CPU",
        ),
        (
            json!({ "hidden": vec![8192; 16] }),
            "policy.hidden: these layers have 1006665728 weights",
        ),
    ] {
        let mut policy = policy;
        policy["type"] = json!("neural");
        let message =
            resolved(with(&[("/agents/ppo-0.1/policy", policy)]), &[]).expect_err(expected);
        assert!(message.contains(expected), "{message}");
    }
    let devices = json!({ "parameters": { "agents.\"ppo-0.1\".policy.device": { "grid": ["cpu", "cuda"] } } });
    let policy = json!({ "type": "neural", "engine": "native" });
    let searched = with(&[("/search", devices), ("/agents/ppo-0.1/policy", policy)]);
    let message = resolved(searched, &[]).expect_err("a sample on the GPU");
    assert!(message.contains("computes on the CPU"), "{message}");
}

#[test]
fn updates_that_no_memory_holds_are_refused() {
    for (algorithm, field) in [
        (json!({ "name": "ppo", "n_envs": 4096, "n_steps": 1_000_000 }), "n_steps"),
        (json!({ "name": "a2c", "n_envs": 4096, "n_steps": 1_000_000 }), "n_steps"),
        (json!({ "name": "cem", "population_size": 100_000 }), "population_size"),
        (json!({ "name": "openai_es", "pairs": 100_000 }), "pairs"),
    ] {
        let policy = json!({ "type": "neural", "hidden": [64, 64] });
        let content = with(&[
            ("/agents/ppo-0.1/training/algorithm", algorithm.clone()),
            ("/agents/ppo-0.1/policy", policy),
        ]);
        let message = resolved(content, &[]).expect_err(field);
        assert!(
            message.contains(&format!("training.algorithm.{field}: an update would hold")),
            "{message}"
        );
    }
}

#[test]
fn names_of_agents_are_refused_at_their_place() {
    let agent = experiment()["agents"]["ppo-0.1"].clone();
    let message =
        resolved(with(&[("/agents", json!({ "a\u{1b}b": agent }))]), &[]).expect_err("an escape");
    assert!(message.contains(": agents: expected a name without control characters"), "{message}");
}

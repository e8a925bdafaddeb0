//! `rushes trace` and `rushes envs` from the command line.

use std::path::PathBuf;
use std::process::{Command, Output};

use rushes::env;
use rushes::env::trace::Recording;
use serde_json::{Value, json};

fn rushes(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rushes")).args(args).output().expect("the program starts")
}

fn golden(name: &str) -> String {
    format!("{}/tests/goldens/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn file(name: &str, text: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("a writable target/tmp");
    path.display().to_string()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[test]
fn printed_trajectories_are_recordings_again() {
    let output = rushes(&["trace", &golden("FrozenLake-v1.json")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("one JSON object a line"))
        .collect();
    let recorded = std::fs::read_to_string(golden("FrozenLake-v1.json")).expect("the golden");
    let recorded: Value = serde_json::from_str(&recorded).expect("valid JSON");
    assert_eq!(lines.len(), recorded["trajectories"].as_array().expect("a list").len());
    for field in ["seed", "reset_obs", "obs", "reward", "terminated", "truncated", "actions"] {
        assert_eq!(lines[0][field], recorded["trajectories"][0][field], "{field}");
    }
    let again = json!({ "env_id": "FrozenLake-v1", "trajectories": lines }).to_string();
    let again = file("again.json", &again);
    assert_eq!(rushes(&["trace", "--verify", &again]).status.code(), Some(0));
}

#[test]
fn a_changed_value_is_found_and_the_tolerance_decides() {
    let text = std::fs::read_to_string(golden("CartPole-v1.json")).expect("the golden");
    let mut changed: Value = serde_json::from_str(&text).expect("valid JSON");
    let value = &mut changed["trajectories"][0]["obs"][3][1];
    *value = json!(value.as_f64().expect("a number") + 1e-4);
    let path = file("changed.json", &changed.to_string());
    let run = |tolerance: &str| rushes(&["trace", "--verify", "--tolerance", tolerance, &path]);
    let output = run("1e-6");
    assert_eq!(output.status.code(), Some(1));
    let report = String::from_utf8(output.stdout).expect("text");
    assert!(report.contains("! obs") && report.contains("trajectories[0].obs[3][1]"), "{report}");
    assert_eq!(run("1e-3").status.code(), Some(0));

    changed["trajectories"][0]["terminated"][3] = json!(true);
    let path = file("flag.json", &changed.to_string());
    let output = rushes(&["trace", "--verify", "--tolerance", "1e9", &path]);
    assert_eq!(output.status.code(), Some(1), "flags are exact whatever the tolerance");
}

#[test]
fn broken_files_name_the_file_and_the_field() {
    let cases = [
        ("", "EOF"),
        ("[]", "expected struct Recording"),
        ("{\"env_id\": \"CartPole-v1\"}", "trajectories"),
        (
            r#"{"env_id": "CartPol-v1", "trajectories": [{"seed": 1, "actions": []}]}"#,
            "did you mean",
        ),
        (
            r#"{"env_id": "CartPole-v1", "trajectories": [{"seed": -1, "actions": []}]}"#,
            "trajectories[0].seed",
        ),
        (r#"{"env_id": "CartPole-v1", "trajectories": [{"seed": 1}]}"#, "actions"),
        (
            r#"{"env_id": "CartPole-v1", "trajectories": [{"seed": 1, "actions": [0, "x"]}]}"#,
            "trajectories[0].actions[1]",
        ),
        (
            r#"{"env_id": "CartPole-v1", "trajectories": [{"seed": 1, "actions": [0, 2]}]}"#,
            "actions[1]",
        ),
        (
            r#"{"env_id": "Pendulum-v1", "trajectories": [{"seed": 1, "actions": [[9.0]]}]}"#,
            "Box(-2, 2, [1])",
        ),
        (
            r#"{"env_id": "Pendulum-v1", "trajectories": [{"seed": 1, "actions": [0, 1], "reward": [1, null]}]}"#,
            "trajectories[0].reward[1]",
        ),
        (
            r#"{"env_id": "CartPole-v1", "kwargs": {"gravity": 1}, "trajectories": [{"seed": 1, "actions": [0]}]}"#,
            "kwargs.gravity",
        ),
    ];
    for (index, (text, expected)) in cases.into_iter().enumerate() {
        let path = file(&format!("broken-{index}.json"), text);
        let message = replay(&path).expect_err(text);
        assert!(message.contains(expected), "{text}: {message}");
    }
    // From the command line, the file is named and the exit code says "input".
    let path = file("action.json", cases[7].0);
    let output = rushes(&["trace", &path]);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(
        message.contains(&path) && message.contains("trajectories[0]: actions[1]"),
        "{message}"
    );
    let path = file(
        "bare.json",
        r#"{"env_id": "CartPole-v1", "trajectories": [{"seed": 1, "actions": [0]}]}"#,
    );
    assert_eq!(replay(&path), Ok(()), "replaying needs no results");
    let output = rushes(&["trace", "--verify", &path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("trajectories[0]: the field reset_obs"),
        "{}",
        stderr(&output)
    );
}

/// Reads and replays a file without starting the program, which takes a while to load.
fn replay(path: &str) -> Result<(), String> {
    let text = |error: anyhow::Error| format!("{error:#}");
    let recording = Recording::read(path.as_ref()).map_err(text)?;
    (0..recording.trajectories.len())
        .try_for_each(|index| recording.replay(index).map(drop))
        .map_err(text)
}

#[test]
fn envs_lists_shows_and_suggests() {
    let list = String::from_utf8(rushes(&["envs"]).stdout).expect("text");
    let cards = rushes(&["envs", "--json"]).stdout;
    let cards: Value = serde_json::from_slice(&cards).expect("valid JSON");
    for spec in &env::all() {
        assert!(list.contains(&spec.id), "{list}");
        let card = cards.as_array().expect("a list").iter().find(|card| card["id"] == spec.id);
        let card = card.expect("a card for each");
        assert_eq!(card["max_episode_steps"], json!(spec.max_episode_steps));
        let options = card["options"].as_array().expect("a list");
        assert!(
            options.iter().all(|o| o["description"].is_string() && o["type"] != "any"),
            "{card}"
        );
    }
    let shown = rushes(&["envs", "FrozenLake8x8-v1"]);
    assert_eq!(shown.status.code(), Some(0));
    let shown = String::from_utf8(shown.stdout).expect("text");
    for part in ["Discrete(64)", "200", "0.85", "map_seed", "default \"8x8\"", "optimal"] {
        assert!(shown.contains(part), "{part} is missing: {shown}");
    }
    let unknown = rushes(&["envs", "CartPole-v2"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("did you mean `CartPole-v"), "{}", stderr(&unknown));
}

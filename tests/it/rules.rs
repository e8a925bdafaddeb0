//! Hard-coded rules: what they see, what they may do, and how mistakes in them are told.

use serde_json::{Value, json};

use crate::cli::{failure, output};

/// The actions of one episode that a rule plays.
fn actions(rule: &str, env: &str) -> Vec<Value> {
    let more = ["--env", env, "--seed", "3", "--max-steps", "20", "--print", "--json"];
    let played = output(&[&["play", "--rule", rule], &more[..]].concat());
    assert!(played.status.success(), "{rule}: {}", String::from_utf8_lossy(&played.stderr));
    let text = String::from_utf8(played.stdout).expect("text");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines
        .filter_map(|line| line.get("action").filter(|action| !action.is_null()).cloned())
        .collect()
}

/// Why an experiment in which an agent has this rule is refused before it runs.
fn refused(rule: &str, env: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ruled.json");
    let experiment = json!({
        "name": "ruled",
        "environment": { "id": env },
        "agents": { "rule": { "policy": { "type": "hard-coded", "rule": rule } } },
    });
    std::fs::write(&file, experiment.to_string()).unwrap();
    let (code, stderr) = failure(&["validate", file.to_str().unwrap()]);
    assert_eq!(code, 2, "{rule}: {stderr}");
    assert!(stderr.contains("agents.rule.policy.rule"), "{rule}: {stderr}");
    stderr
}

#[test]
fn a_discrete_observation_is_a_whole_number() {
    let played = actions("if obs == 0 { 2 } else { 1 }", "FrozenLake-v1");
    assert_eq!(played[0], 2, "every episode begins in state 0");
    assert!(played.contains(&json!(1)), "and goes on elsewhere: {played:?}");
    assert_eq!(actions("obs % 2", "CliffWalking-v0")[0], 0, "state 36");
}

#[test]
fn parts_of_a_composite_discrete_observation_are_whole_numbers() {
    let ace = "if obs[2] == 0 { 0 } else if obs[2] == 1 { 1 } else { 7 }";
    assert!(!actions(ace, "Blackjack-v1").is_empty());
}

#[test]
fn comparing_what_is_never_equal_is_an_error_with_its_place() {
    for (rule, env, operands, place) in [
        ("if obs == 0 { 0 } else { 1 }", "CartPole-v1", "array and i64", "character 8"),
        ("if 0.5 > obs { 0 } else { 1 }", "CartPole-v1", "f64 and array", "character 8"),
        ("if obs[0] != \"left\" { 0 } else { 1 }", "CartPole-v1", "f64 and string", "character 11"),
        ("if step == true { 0 } else { 1 }", "CartPole-v1", "i64 and bool", "character 9"),
        ("if info <= 1 { 0 } else { 1 }", "CartPole-v1", "map and i64", "character 9"),
        ("let x = 1;\nif obs == [x] { 0 } else { 1 }", "FrozenLake-v1", "i64 and array", "line 2"),
        ("if \"0\" in [obs] { 0 } else { 1 }", "FrozenLake-v1", "string", "character 8"),
    ] {
        let message = refused(rule, env);
        assert!(message.contains(operands) && message.contains(place), "{rule}: {message}");
    }
}

#[test]
fn comparing_what_may_be_equal_is_none() {
    for rule in [
        "if 1 == 1.0 && obs[0] != 7 && 0 < 0.5 { 0 } else { 7 }",
        "if info.nothing == () { 0 } else { 7 }",
        "if \"a\" == 'a' && [1, 2.0] == [1.0, 2] { 0 } else { 7 }",
        "if obs == obs && obs.len() == 4 && 2 in [1, 2] { 0 } else { 7 }",
    ] {
        assert_eq!(actions(rule, "CartPole-v1")[0], 0, "{rule}");
    }
}

#[test]
fn rules_reach_nothing_outside() {
    for (word, rule) in [
        ("import", "import \"elsewhere\" as m; m::action"),
        ("export", "export let x = 1; 1"),
        ("eval", "eval(\"1\")"),
        ("print", "print(obs); 1"),
        ("debug", "debug(obs); 1"),
        ("sleep", "sleep(1); 1"),
        ("timestamp", "timestamp(); 1"),
        ("exit", "exit(1)"),
        ("switch", "switch obs { \"a\" => 2, _ => 1 }"),
    ] {
        let message = refused(rule, "FrozenLake-v1");
        let told = format!("`{word}` is not available in rules");
        assert!(message.contains(&told) && message.contains("of the rule"), "{rule}: {message}");
    }
}

#[test]
fn every_pixel_can_be_looked_at() {
    let brightest = "let top = 0.0; for value in obs { if value > top { top = value; } } \
                     if obs[27647] >= 0 && top > 100.0 { [0, 0, 0] } else { 7 }";
    let played = output(&[
        "play",
        "--rule",
        brightest,
        "--env",
        "CarRacing-v3",
        "--max-steps",
        "3",
        "--episodes",
        "1",
    ]);
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
}

#[test]
fn rules_grow_nothing_without_bound() {
    for (rule, env) in [
        ("let s = \"x\"; loop { s += s; }", "FrozenLake-v1"),
        (
            "let s = \"x\"; let grow = || { s += s; }; for i in 0..16 { grow.call(); } 1",
            "FrozenLake-v1",
        ),
        ("let s = \"x\"; for i in 0..16 { s += s; } 1", "FrozenLake-v1"),
        ("let s = \"x\"; for i in 0..16 { s = `${s}${s}`; } 1", "FrozenLake-v1"),
        ("let a = [0]; for i in 0..16 { a += a; } 1", "FrozenLake-v1"),
        ("let a = [0]; a.pad(100_000, 0); 1", "FrozenLake-v1"),
        ("let a = []; for i in 0..100_000 { a = [a]; } 1", "FrozenLake-v1"),
        ("let a = []; for i in 0..60_000 { a = [a]; } [0, 0, 0]", "CarRacing-v3"),
        ("let m = #{}; for i in 0..100_000 { m[`${i}`] = [i]; } 1", "FrozenLake-v1"),
        ("let m = #{ a: 1 }; for i in 0..20 { m[`${i}`] = m; } 1", "FrozenLake-v1"),
        ("let a = [0, 0]; for i in 0..20 { a[0] = a; a[1] = a; } 1", "FrozenLake-v1"),
        ("let a = []; for i in 0..1_000 { a.push(obs); } [0, 0, 0]", "CarRacing-v3"),
        (
            "let s = \"x\"; let a = []; for i in 0..1_000 { a.push(s); s += \"xxxxxxxxx\"; } 1",
            "FrozenLake-v1",
        ),
        ("fn deeper(n) { deeper(n + 1) } deeper(0)", "FrozenLake-v1"),
        ("loop { }", "FrozenLake-v1"),
    ] {
        let message = refused(rule, env);
        let told = ["too large", "exceeds", "limit", "overflow", "Too many"];
        assert!(told.iter().any(|word| message.contains(word)), "{rule}: {message}");
    }
}

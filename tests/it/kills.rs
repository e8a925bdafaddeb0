//! The campaigns of `tests/torture/`, cut short.

use std::path::Path;
use std::process::Command;

fn campaign(more: &[&str]) {
    let campaign = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture/kills");
    let output = Command::new(campaign)
        .args(["--program", env!("CARGO_BIN_EXE_rushes")])
        .args(["--kills", "12", "--length", "0.3"])
        .args(more)
        .output()
        .expect("Python 3 is there");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("12 kills") && told.contains("0 differences"), "{told}");
}

#[test]
fn kills_change_nothing() {
    campaign(&["--only", "dqn", "--only", "search"]);
}

/// What wrappers draw and remember is part of exact resume.
#[test]
fn kills_change_nothing_behind_wrappers() {
    campaign(&["--wrappers", "--only", "ppo", "--only", "dqn", "--only", "openai_es"]);
}

#[test]
fn faults_of_environments_fail_their_trial_alone() {
    let campaign = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture/environments");
    let output = Command::new(campaign)
        .args(["--program", env!("CARGO_BIN_EXE_rushes")])
        .args(["--faults", "10", "--only", "dqn", "--only", "openai_es", "--only", "q_learning"])
        .output()
        .expect("Python 3 is there");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("10 faults") && told.contains(": 0 wrong"), "{told}");
}

//! `docs/tutorials/`: their commands work, and print what stands there.

use std::path::Path;
use std::process::Command;

/// A block of commands, and the output that stands below it.
struct Step {
    commands: Vec<String>,
    printed: Option<String>,
}

/// The blocks of a page; one of `text` below one of `sh` is its output.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in page.split("```").skip(1).step_by(2) {
        let (language, content) = block.split_once('\n').expect("a block has lines");
        match language {
            "sh" => steps.push(Step {
                commands: content.lines().map(str::to_owned).collect(),
                printed: None,
            }),
            "text" => steps.last_mut().expect("commands").printed = Some(content.to_owned()),
            other => panic!("a block of {other}"),
        }
    }
    steps
}

/// Runs a page's commands in a folder that has the experiments; those that train, for a moment and with `changes`.
fn walk(page: &str, changes: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = Path::new(env!("CARGO_BIN_EXE_rushes"));
    let text = std::fs::read_to_string(root.join("docs/tutorials").join(page)).expect("the page");
    let folder = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(root.join("experiments"), folder.path().join("experiments"))
        .expect("a link");
    for Step { commands, printed } in steps(&text) {
        let mut output = String::new();
        for command in commands {
            let rest = command.strip_prefix("rushes ").expect("a command of this program");
            let quick = match rest.starts_with("run ") {
                true => format!(" --quick {changes}"),
                false => String::new(),
            };
            let made = Command::new("sh")
                .args(["-c", &format!("'{}' {rest}{quick}", program.display())])
                .current_dir(folder.path())
                .output()
                .expect("a shell");
            let stderr = String::from_utf8_lossy(&made.stderr);
            assert!(made.status.success(), "{page}: `{command}`: {stderr}");
            output.push_str(&String::from_utf8(made.stdout).expect("text"));
        }
        if let Some(printed) = printed {
            assert_eq!(output, printed, "{page}: copy what is printed now");
        }
    }
}

#[test]
fn t1_works_as_it_is_written() {
    walk("t1-gymnasium-reinforce.md", "");
}

#[test]
fn t2_works_as_it_is_written() {
    // One update of PPO takes 8,192 steps.
    walk("t2-bipedal-walker.md", "--set agents.ppo.training.algorithm.n_steps=64");
}

#[test]
fn t3_works_as_it_is_written() {
    walk("t3-rllib.md", "");
}

#[test]
fn t4_works_as_it_is_written() {
    walk("t4-keras-policy-gradient.md", "");
}

#[test]
fn t5_works_as_it_is_written() {
    walk("t5-ignite-reinforce.md", "");
}

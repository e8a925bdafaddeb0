//! Stopping when satisfied (Ctrl-C), and going on all the same: resumed, and with a longer schedule.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;

use rushes::record::{RunStatus, StopReason, TrialResult};
use rushes::store::{RunDir, TrialDir};
use serde_json::{Value, json};

use crate::cli::{essence, failure, output, rushes};
use crate::run::{end, long, run_experiment, signal, trial_of, wait_for_checkpoint};

fn result(run: &Path, trial: &str) -> TrialResult {
    TrialDir::new(run.join("trials").join(trial)).result().expect("a trial with a result")
}

fn status(run: &Path) -> RunStatus {
    RunDir::open(run).expect("a run").info().expect("a run.json").status
}

/// Sends Ctrl-C to a run's group and waits until the run says that it heard it.
fn ask_to_finish(run: &mut Child) {
    signal("INT", &format!("-{}", run.id()));
    let mut stderr = BufReader::new(run.stderr.take().expect("a piped stderr"));
    let mut line = String::new();
    while !line.starts_with("ending early") {
        line.clear();
        assert!(stderr.read_line(&mut line).expect("text") > 0, "the run ended without a word");
    }
    run.stderr = Some(stderr.into_inner());
}

#[test]
fn ctrl_c_ends_early_with_a_report_and_a_resumed_run_equals_one_that_was_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("smoke/latest");
    let start = |resume: bool| {
        let mut command = long(directory.path(), resume);
        command.args(["--set", "seeds=[7,8]", "--jobs=1"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn().unwrap()
    };
    let mut child = start(false);
    wait_for_checkpoint(&trial_of(directory.path()), 3);
    ask_to_finish(&mut child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(Path::new(report.trim()).is_file(), "{report}");
    let early = result(&run, "reinforce--s7");
    assert_eq!(early.outcome.stop_reason(), Some(StopReason::User));
    assert!(early.after.is_some() && (1..6000).contains(&early.progress.episodes));
    assert!(!run.join("trials/reinforce--s8").exists(), "it had not begun");
    assert_eq!(status(&run), RunStatus::Stopped);
    assert!(!directory.path().join("history.sqlite").exists(), "its trainings were shorter");
    let page = std::fs::read_to_string(report.trim()).unwrap();
    assert!(page.contains("the user ended 1 of 2 trials before the schedule did"));
    let left_out = "1 of 2 trials have no result: they were left out, by --only or an early end.";
    assert!(page.contains(left_out));

    let resumed = start(true).wait_with_output().unwrap();
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    let whole = tempfile::tempdir().unwrap();
    let mut command = long(whole.path(), false);
    assert!(command.args(["--set", "seeds=[7,8]"]).status().unwrap().success());
    assert!(essence(&run) == essence(&whole.path().join("smoke/latest")), "they differ");
    assert_eq!(status(&run), RunStatus::Finished);
}

#[test]
fn what_was_left_out_is_said_and_a_second_ctrl_c_aborts() {
    let directory = tempfile::tempdir().unwrap();
    // Two agents that learn nothing for long: their evaluations take seconds.
    let slow = json!({ "policy": { "type": "random" } });
    let experiment = json!({
        "name": "slow",
        "environment": { "id": "CartPole-v1" },
        "agents": { "a": slow, "b": slow },
        "evaluation": { "episodes": 1_000_000 },
        "recording": { "after": false },
    });
    let file = directory.path().join("slow.json");
    std::fs::write(&file, experiment.to_string()).unwrap();
    let output = directory.path().to_str().unwrap();
    let mut command = rushes(&["run", file.to_str().unwrap(), "--output", output, "--jobs=1"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child =
        std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn().unwrap();
    let run = directory.path().join("slow/latest");
    let trial = run.join("trials/a--s0/trial.lock");
    let started = std::time::Instant::now();
    while !trial.exists() {
        assert!(started.elapsed().as_secs() < 60, "the trial never began");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    ask_to_finish(&mut child);
    assert!(child.try_wait().unwrap().is_none(), "the evaluation is waited for");
    signal("INT", &format!("-{}", child.id()));
    let (code, stderr) = end(child);
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("interrupted; go on with: "), "{stderr}");
    assert_eq!(status(&run), RunStatus::Interrupted);
}

/// An experiment whose only agent trains for so many steps with a checkpoint every `checkpoint_every`.
fn training(
    algorithm: &Value,
    environment: &str,
    steps: u64,
    checkpoint_every: Option<u64>,
) -> Value {
    let mut schedule = json!({ "steps": steps, "log_every": 100, "evaluate_every": 300 });
    if let Some(period) = checkpoint_every {
        schedule["checkpoint_every"] = json!(period);
    }
    json!({
        "name": "longer",
        "environment": { "id": environment, "max_episode_steps": 50 },
        "agents": { "agent": {
            "policy": { "type": "neural", "hidden": [16] },
            "training": { "algorithm": algorithm, "schedule": schedule },
        } },
        "evaluation": { "episodes": 2, "training_episodes": 2 },
        "recording": { "before": false, "after": false },
    })
}

fn lengthen(run: &Path, steps: u64) -> String {
    let run = run.canonicalize().unwrap();
    let change = format!("agents.agent.training.schedule.steps={steps}");
    let resumed = output(&["run", &format!("--resume={}", run.display()), "--set", &change]);
    let stderr = String::from_utf8(resumed.stderr).unwrap();
    assert!(resumed.status.success(), "{stderr}");
    stderr
}

#[test]
fn a_lengthened_run_equals_one_that_was_as_long_from_its_start() {
    for (algorithm, environment) in [
        (json!({ "name": "ppo", "n_steps": 64, "n_envs": 2 }), "CartPole-v1"),
        // Its replay memory is reserved for the schedule's steps.
        (json!({ "name": "sac", "learning_starts": 100, "train_freq": 4 }), "Pendulum-v1"),
        (
            json!({ "name": "dqn", "learning_starts": 50, "exploration_fraction": 0.0001 }),
            "CartPole-v1",
        ),
    ] {
        let [short, whole] = [700, 1500].map(|steps| {
            let directory = tempfile::tempdir().unwrap();
            let experiment = training(&algorithm, environment, steps, Some(200));
            let run = run_experiment(directory.path(), &experiment, &[]);
            (directory, run)
        });
        let said = lengthen(&short.1, 1500);
        assert!(said.contains("schedule.steps: 700 → 1500"), "{said}");
        let differ = algorithm["name"] == "dqn";
        assert_eq!(said.contains("moves over the longer schedule"), differ, "{said}");
        if !differ {
            assert!(essence(&short.1) == essence(&whole.1), "{algorithm}: they differ");
        }
        assert_eq!(result(&short.1, "agent--s0").progress, result(&whole.1, "agent--s0").progress);
        assert_eq!(status(&short.1), RunStatus::Finished);
    }
}

#[test]
fn a_trial_that_a_lengthened_run_left_out_is_not_taken_for_a_whole_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut experiment = training(&json!({ "name": "a2c" }), "CartPole-v1", 300, Some(200));
    experiment["seeds"] = json!([0, 1]);
    let run = run_experiment(directory.path(), &experiment, &[]);
    let steps = 100_000_000;
    let change = format!("agents.agent.training.schedule.steps={steps}");
    let resume = format!("--resume={}", run.display());
    let mut command = rushes(&["run", &resume, "--set", &change, "--jobs=1"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child =
        std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn().unwrap();
    let trial = run.join("trials/agent--s0");
    let started = std::time::Instant::now();
    while trial.join("result.json").exists() {
        assert!(started.elapsed().as_secs() < 60, "the trial never went on");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    wait_for_checkpoint(&trial, 4);
    ask_to_finish(&mut child);
    let (code, stderr) = end(child);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(result(&run, "agent--s1").progress.steps, 300);
    assert!(stderr.contains("1 of 2 trials left out"), "{stderr}");
    let said = "the user ended 1 of 2 trials before the schedule did, and 1 has only the result of before the schedule \
                was lengthened";
    let page = std::fs::read_to_string(run.join("index.html")).unwrap();
    assert!(page.contains(said), "{page}");
    let summary = rushes::results::summary(&RunDir::open(&run).unwrap()).unwrap();
    assert!(summary.agents[0].seeds.iter().all(|seed| seed.ended_early));
}

/// Trains the only trial of a run again, which has become longer, with or without a user who wants it to end at once.
fn train_on(run: &Path, steps: u64, asked_to_end: bool) -> TrialResult {
    let dir = TrialDir::new(run.join("trials/agent--s0"));
    let mut plan = dir.plan().expect("a plan");
    Arc::make_mut(&mut plan.settings).training.as_mut().expect("a training").schedule.steps =
        Some(steps);
    let wishes = rushes::trial::Wishes::default();
    if asked_to_end {
        wishes.finish();
    }
    let result = rushes::trial::run(&dir, &plan, None, &wishes);
    result.expect("a training").expect("a result")
}

#[test]
fn a_lengthened_training_ends_early_only_after_its_old_end() {
    let directory = tempfile::tempdir().unwrap();
    let experiment = training(&json!({ "name": "a2c" }), "CartPole-v1", 700, Some(200));
    let run = run_experiment(directory.path(), &experiment, &[]);
    let ended = train_on(&run, 1500, true);
    assert_eq!(ended.outcome.stop_reason(), Some(StopReason::User));
    assert!((700..1000).contains(&ended.progress.steps), "{:?}", ended.progress);
}

#[test]
fn a_lengthened_training_has_the_best_policy_of_the_part_that_it_goes_on_from() {
    let directory = tempfile::tempdir().unwrap();
    let mut experiment = training(&json!({ "name": "a2c" }), "CartPole-v1", 700, Some(200));
    experiment["evaluation"]["policy"] = json!("best");
    let run = run_experiment(directory.path(), &experiment, &[]);
    let best = run.join("trials/agent--s0/best.safetensors");
    let first = std::fs::read(&best).unwrap();
    // What a better one leaves that is not found again: here nothing that could be read.
    std::fs::write(&best, b"another").unwrap();
    let kept = train_on(&run, 701, true).best.expect("a best policy");
    assert!(kept.progress.steps <= 600, "{kept:?}");
    assert!(std::fs::read(&best).unwrap() == first);
}

#[test]
fn a_run_without_checkpoints_goes_on_from_its_end_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let algorithm = json!({ "name": "a2c" });
    let experiment = training(&algorithm, "CartPole-v1", 500, None);
    let run = run_experiment(directory.path(), &experiment, &[]);
    let before = crate::cli::events(&run.join("trials/agent--s0"));
    lengthen(&run, 1000);
    let after = crate::cli::events(&run.join("trials/agent--s0"));
    assert_eq!(after[..before.len()], before, "nothing was trained again");
    let notes = result(&run, "agent--s0").notes;
    assert!(notes.iter().any(|note| note.contains("goes on from where it had ended, at step 500")));
}

#[test]
fn what_a_resume_may_not_change_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let algorithm = json!({ "name": "a2c" });
    let experiment = training(&algorithm, "CartPole-v1", 500, None);
    let run = run_experiment(directory.path(), &experiment, &[]).canonicalize().unwrap();
    let resume = format!("--resume={}", run.display());
    for (change, expected) in [
        ("agents.agent.training.schedule.steps=400", "500 → 400 (a limit can be raised"),
        ("agents.agent.training.algorithm.gamma=0.5", "(training so far followed it)"),
        ("agents.agent.training.schedule.stepz=9", "stepz"),
    ] {
        let (code, stderr) = failure(&["run", &resume, "--set", change]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    }
}

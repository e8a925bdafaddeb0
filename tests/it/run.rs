//! `rushes run`: the same numbers however it is run, and what happens when it is interrupted.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rushes::record::{Outcome, RunStatus, StopReason, TrialResult};
use rushes::store::{RunDir, TrialDir};
use rushes::video;
use serde_json::{Value, json};

use crate::cli::{essence, events, failure, output, run_smoke, rushes};

#[test]
fn the_number_of_jobs_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let one = essence(&run_smoke(directory.path(), &["--jobs", "1"]));
    let four = essence(&run_smoke(directory.path(), &["--jobs", "4"]));
    assert_eq!(one.len(), 6);
    assert!(one.iter().any(|(_, events, _)| events.len() > 60), "the learner writes its episodes");
    assert_eq!(one, four);
}

#[test]
fn another_seed_changes_the_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let trials = essence(&run_smoke(directory.path(), &[]));
    let learner = |seed: &str| {
        let name = format!("reinforce--s{seed}");
        trials.iter().find(|(trial, ..)| *trial == name).expect("the trial is there").clone()
    };
    assert_ne!(learner("0").1, learner("1").1);
    assert_ne!(learner("0").2, learner("1").2);
}

/// A training that takes long enough to be killed in the middle: several seconds.
const LONG: &[&str] = &[
    "--set",
    "seeds=[7]",
    "--set",
    "agents={\"reinforce\":{\"policy\":{\"type\":\"neural\",\"hidden\":[64,64],\"dropout\":0.2},\
     \"training\":{\"algorithm\":{\"name\":\"reinforce\",\"learning_rate\":0.001},\
     \"schedule\":{\"episodes\":6000,\"checkpoint_every\":50,\"evaluate_every\":1500,\
     \"stop\":{\"mean_return\":499.9,\"window\":1000}}}}}",
    "--set",
    "recording.after=false",
    "--set",
    "recording.training={\"episodes\":400}",
];

pub(crate) fn long(directory: &Path, resume: bool) -> Command {
    let directory = directory.to_str().unwrap();
    let mut arguments = vec!["run", "experiments/smoke.json", "--output", directory];
    arguments.extend(LONG);
    arguments.extend(resume.then_some("--resume"));
    let mut command = rushes(&arguments);
    command.stdout(Stdio::null());
    command
}

pub(crate) fn start_long(directory: &Path, resume: bool) -> Child {
    long(directory, resume).stderr(Stdio::null()).spawn().expect("the binary starts")
}

pub(crate) fn trial_of(directory: &Path) -> PathBuf {
    directory.join("smoke/latest/trials/reinforce--s7")
}

/// Waits until the trial has written a checkpoint numbered at least `number`.
pub(crate) fn wait_for_checkpoint(trial: &Path, number: u64) {
    let started = Instant::now();
    loop {
        let names = std::fs::read_dir(trial.join("checkpoint")).into_iter().flatten().flatten();
        let numbers = names.filter_map(|entry| {
            entry.file_name().to_string_lossy().split('-').next()?.parse::<u64>().ok()
        });
        if numbers.max().is_some_and(|newest| newest >= number) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "no checkpoint {number} came");
        assert!(!trial.join("result.json").exists(), "the trial ended before checkpoint {number}");
        sleep(Duration::from_millis(2));
    }
}

fn wait_for(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(120), "it never came");
        sleep(Duration::from_millis(2));
    }
}

/// Waits until the trial's process is at work.
fn wait_for_event(trial: &Path) {
    let trial = TrialDir::new(trial.to_owned());
    wait_for(|| trial.is_locked() && trial.events_path().metadata().is_ok_and(|log| log.len() > 0));
}

/// Waits until the trial's process is gone: it ends by itself when its parent is killed.
pub(crate) fn wait_for_lock(trial: &Path) {
    let file = std::fs::File::open(trial.join("trial.lock")).unwrap();
    file.lock().unwrap();
}

#[test]
fn the_page_of_a_running_run_says_so_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("smoke/latest/index.html");
    let is_live =
        || std::fs::read_to_string(&page).is_ok_and(|page| page.contains("data-written=\""));
    let mut child = start_long(folder.path(), false);
    // Its curve is drawn while it trains.
    wait_for(|| {
        is_live()
            && std::fs::read_to_string(&page).is_ok_and(|page| page.contains("training-return"))
    });
    signal("INT", &child.id().to_string());
    child.wait().unwrap();
    assert!(!is_live(), "it has been stopped");
}

#[test]
fn a_run_holds_the_experiment_that_runs_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = run_smoke(folder.path(), &["--quick", "--set", "seeds=[3]"]);
    let experiment = first.join("experiment.json");
    let elsewhere = tempfile::tempdir().unwrap();
    let file = experiment.to_str().unwrap();
    let again = output(&["run", file, "--output", elsewhere.path().to_str().unwrap()]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let second = RunDir::open(&elsewhere.path().join("smoke/latest")).unwrap();
    let plans = [RunDir::open(&first).unwrap(), second.clone()].map(|run| run.plan().unwrap());
    assert_eq!(plans[0].trials, plans[1].trials);
    assert_eq!(plans[0].settings_hash, plans[1].settings_hash);
    assert_eq!(essence(&first), essence(second.path()));
    let page = std::fs::read_to_string(first.join("index.html")).unwrap();
    assert!(page.contains("rushes run experiment.json"), "the page says how");
}

#[test]
fn a_run_killed_again_and_again_equals_one_that_never_was() {
    let whole = tempfile::tempdir().unwrap();
    assert!(start_long(whole.path(), false).wait().unwrap().success());
    let killed = tempfile::tempdir().unwrap();
    let trial = trial_of(killed.path());
    for (attempt, checkpoint) in [3, 20, 45].into_iter().enumerate() {
        let mut child = start_long(killed.path(), attempt > 0);
        wait_for_checkpoint(&trial, checkpoint);
        child.kill().unwrap();
        child.wait().unwrap();
        wait_for_lock(&trial);
        assert!(!trial.join("result.json").exists(), "killed too late to mean anything");
    }
    assert!(start_long(killed.path(), true).wait().unwrap().success());
    let run = |directory: &Path| essence(&directory.join("smoke/latest"));
    assert_eq!(run(killed.path()), run(whole.path()));
}

/// What a run's trials went through, whatever they had to tell of damage.
fn without_notes(run: &Path) -> Vec<(String, Vec<Value>, Option<Vec<u8>>)> {
    let mut trials = essence(run);
    for (_, events, _) in &mut trials {
        events.retain(|event| event["event"] != "note");
    }
    trials
}

#[test]
fn a_damaged_checkpoint_is_told_and_the_one_before_it_used() {
    let whole = tempfile::tempdir().unwrap();
    assert!(start_long(whole.path(), false).wait().unwrap().success());
    let damaged = tempfile::tempdir().unwrap();
    let trial = trial_of(damaged.path());
    let mut child = start_long(damaged.path(), false);
    wait_for_checkpoint(&trial, 10);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for_lock(&trial);
    let mut checkpoints: Vec<_> = std::fs::read_dir(trial.join("checkpoint"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .collect();
    checkpoints.sort();
    assert_eq!(checkpoints.len(), 2, "the two newest are kept");
    let newest = checkpoints.last().unwrap();
    let mut bytes = std::fs::read(newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(newest, bytes).unwrap();

    let directory = damaged.path().to_str().unwrap();
    let mut arguments = vec!["run", "experiments/smoke.json", "--output", directory, "--resume"];
    arguments.extend(LONG);
    let output = output(&arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("cannot be used (its content does not match"), "{stderr}");
    // The note is all that differs.
    let run = |directory: &Path| without_notes(&directory.join("smoke/latest"));
    assert_eq!(run(damaged.path()), run(whole.path()));
    let result = TrialDir::new(trial).result().unwrap();
    assert!(result.notes.iter().any(|note| note.contains("cannot be used")), "{:?}", result.notes);
}

/// Sends a signal to a process, or with a minus to a group of processes.
pub(crate) fn signal(name: &str, target: &str) {
    let sent = Command::new("kill").args(["-s", name, "--", target]).status().unwrap();
    assert!(sent.success(), "kill -s {name} {target}");
}

/// The processes of a run's trials.
pub(crate) fn trials_of(run: &Child) -> Vec<String> {
    let found = Command::new("pgrep").args(["-P", &run.id().to_string()]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

/// Exit code and stderr of a run that is under way.
pub(crate) fn end(run: Child) -> (Option<i32>, String) {
    let output = run.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Whatever tells a run to stop, a closed terminal its group or a scheduler every process, trials are interrupted with it.
#[test]
fn a_signal_interrupts_a_run_and_its_trials_whoever_is_hit_first() {
    let directory = tempfile::tempdir().unwrap();
    let trial = trial_of(directory.path());
    for (attempt, (name, code)) in [("TERM", 143), ("HUP", 129)].iter().enumerate() {
        for trial_first in [false, true] {
            let resume = attempt > 0 || trial_first;
            let run = long(directory.path(), resume)
                // However long a busy machine takes to send the last signal.
                .args(["--set", "agents.reinforce.training.schedule.episodes=1000000"])
                .args(["--set", "agents.reinforce.training.schedule.stop.window=1000000"])
                .stderr(Stdio::piped())
                .process_group(0)
                .spawn()
                .expect("the binary starts");
            wait_for_event(&trial);
            if trial_first {
                trials_of(&run).iter().for_each(|trial| signal(name, trial));
            }
            signal(name, &format!("-{}", run.id()));
            let (exit, stderr) = end(run);
            assert_eq!(exit, Some(*code), "{name}: {stderr}");
            assert!(stderr.contains("interrupted; go on with: "), "{stderr}");
            assert!(!stderr.contains("FAILED"), "{stderr}");
            let info =
                RunDir::open(&directory.path().join("smoke/latest")).unwrap().info().unwrap();
            assert_eq!(info.status, RunStatus::Interrupted);
            for left in [trial.join("exit.json"), directory.path().join("history.sqlite")] {
                assert!(!left.exists(), "{}", left.display());
            }
        }
    }
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let script = "trap '' HUP; exec \"$0\" \"$@\"";
    let direct = long(directory.path(), false);
    let mut run = Command::new("sh")
        .args(["-c", script])
        .arg(direct.get_program())
        .args(direct.get_args())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for_event(&trial_of(directory.path()));
    signal("HUP", &run.id().to_string());
    assert!(run.wait().unwrap().success());
}

#[test]
fn the_line_that_says_how_to_go_on_works_in_any_shell_and_folder() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("it's a folder");
    let run = long(&output, false).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_event(&trial_of(&output));
    signal("TERM", &run.id().to_string());
    let (_, stderr) = end(run);
    let hint = stderr.lines().find_map(|line| line.strip_prefix("interrupted; go on with: "));
    let elsewhere = directory.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let resumed = Command::new("sh")
        .args(["-c", hint.expect("a hint")])
        .current_dir(&elsewhere)
        .output()
        .unwrap();
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    let info = RunDir::open(&output.join("smoke/latest")).unwrap().info().unwrap();
    assert_eq!(info.status, RunStatus::Finished);
    assert!(output.join("history.sqlite").is_file(), "the history is where the run was started");
    assert_eq!(std::fs::read_dir(elsewhere).unwrap().count(), 0);
}

#[test]
fn a_label_stays_with_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let run = run_smoke(directory.path(), &["--label", "first try"]);
    let label = || RunDir::open(&run).unwrap().info().unwrap().label;
    assert_eq!(label().as_deref(), Some("first try"));
    let resume = format!("--resume={}", run.display());
    output(&["run", &resume]);
    assert_eq!(label().as_deref(), Some("first try"));
    output(&["run", &resume, "--label", "kept"]);
    assert_eq!(label().as_deref(), Some("kept"));
    let history = output(&["history", "smoke", "--output", directory.path().to_str().unwrap()]);
    let history = String::from_utf8(history.stdout).unwrap();
    assert!(history.contains(" “kept” (CartPole-v1, "), "{history}");
    for (label, problem) in
        [(" ", "expected some words"), ("two\nlines", "expected one line of plain text")]
    {
        let (code, stderr) = failure(&["run", "experiments/smoke.json", "--label", label]);
        assert!(code == 3 && stderr.contains(problem), "{stderr}");
    }
}

#[test]
fn going_on_without_an_experiment_file_needs_a_run() {
    let (code, stderr) = failure(&["run", "--resume"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("--resume=RUN"), "{stderr}");
    let (code, stderr) = failure(&["run", "--resume", "experiments"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("--resume=experiments"), "{stderr}");
    let (code, stderr) = failure(&["run", "--resume=experiments", "--quick"]);
    assert_eq!(code, 3, "{stderr}");
}

#[test]
fn a_program_that_is_replaced_goes_on_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("rushes");
    std::fs::copy(env!("CARGO_BIN_EXE_rushes"), &program).unwrap();
    let output = directory.path().join("output");
    let run = Command::new(&program)
        .args(["run", "experiments/smoke.json", "--jobs", "1", "--output"])
        .arg(&output)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(|| {
        output.join("smoke/latest/trials").read_dir().is_ok_and(|mut t| t.next().is_some())
    });
    std::fs::remove_file(&program).unwrap();
    std::fs::write(&program, "something else").unwrap();
    let (exit, stderr) = end(run);
    assert_eq!(exit, Some(0), "{stderr}");
    assert_eq!(essence(&output.join("smoke/latest")).len(), 6);
}

#[test]
fn a_trial_that_cannot_be_started_fails_alone() {
    let directory = tempfile::tempdir().unwrap();
    let run = run_smoke(directory.path(), &["--quick"]);
    let trial = run.join("trials/reinforce--s0");
    std::fs::remove_file(trial.join("result.json")).unwrap();
    std::fs::remove_file(trial.join("stderr.log")).unwrap();
    std::fs::create_dir(trial.join("stderr.log")).unwrap();
    std::fs::remove_file(run.join("trials/lean--s0/result.json")).unwrap();
    let (code, stderr) = failure(&["run", &format!("--resume={}", run.display())]);
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("reinforce (seed 0): FAILED: the trial could not be started"),
        "{stderr}"
    );
    assert!(run.join("trials/lean--s0/result.json").is_file());
}

/// A trial that is killed again and again is given up after a stated number of times, in a run without a search
/// alone and as failed.
#[test]
fn a_trial_that_is_killed_goes_on_by_itself() {
    let whole = tempfile::tempdir().unwrap();
    assert!(start_long(whole.path(), false).wait().unwrap().success());
    let directory = tempfile::tempdir().unwrap();
    let trial = trial_of(directory.path());
    let run = long(directory.path(), false).stderr(Stdio::piped()).spawn().unwrap();
    for checkpoint in [3, 20] {
        wait_for_checkpoint(&trial, checkpoint);
        trials_of(&run).iter().for_each(|trial| signal("KILL", trial));
    }
    let (exit, stderr) = end(run);
    assert_eq!(exit, Some(0), "{stderr}");
    let died = "the trial's process ended without a result (signal: 9";
    assert_eq!(stderr.matches(died).count(), 2, "{stderr}");
    assert_eq!(stderr.matches("it is run again").count(), 2, "{stderr}");
    let run = |directory: &Path| essence(&directory.join("smoke/latest"));
    assert_eq!(run(directory.path()), run(whole.path()));
}

/// What a run says that goes on to its end without its experiment file.
fn resumed(run: &Path) -> String {
    let output = output(&["run", &format!("--resume={}", run.display())]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    stderr
}

/// A trial whose parent was killed, between its checkpoints.
fn killed_trial(directory: &Path, checkpoint: u64) -> PathBuf {
    let trial = trial_of(directory);
    let mut child = start_long(directory, false);
    wait_for_checkpoint(&trial, checkpoint);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for_lock(&trial);
    trial
}

#[test]
fn a_damaged_event_log_is_told_and_the_trial_goes_on_from_before() {
    let whole = tempfile::tempdir().unwrap();
    assert!(start_long(whole.path(), false).wait().unwrap().success());
    let missing: fn(Vec<u8>) -> Option<Vec<u8>> = |_| None;
    let shorter: fn(Vec<u8>) -> Option<Vec<u8>> = |mut log| {
        log.truncate(log.len() / 3);
        Some(log)
    };
    // One digit of the evaluation before training.
    let changed: fn(Vec<u8>) -> Option<Vec<u8>> = |mut log| {
        let returns = log.windows(10).position(|part| part == b"\"returns\":").unwrap();
        log[returns + 11] ^= 1;
        Some(log)
    };
    for damage in [missing, shorter, changed] {
        let directory = tempfile::tempdir().unwrap();
        let trial = killed_trial(directory.path(), 10);
        let log = trial.join("events.jsonl");
        match damage(std::fs::read(&log).unwrap()) {
            Some(bytes) => std::fs::write(&log, bytes).unwrap(),
            None => std::fs::remove_file(&log).unwrap(),
        }
        let run = directory.path().join("smoke/latest");
        let stderr = resumed(&run);
        assert!(stderr.contains("the trial starts again from its beginning"), "{stderr}");
        assert_eq!(without_notes(&run), without_notes(&whole.path().join("smoke/latest")));
    }
}

/// Damage behind the older checkpoint's part of the log leaves that checkpoint of use.
#[test]
fn an_event_log_damaged_near_its_end_costs_one_checkpoint() {
    let whole = tempfile::tempdir().unwrap();
    assert!(start_long(whole.path(), false).wait().unwrap().success());
    let directory = tempfile::tempdir().unwrap();
    let trial = killed_trial(directory.path(), 10);
    let path = trial.join("events.jsonl");
    let log = std::fs::read_to_string(&path).unwrap();
    let newest = log.rfind("\"checkpoint\"").unwrap();
    std::fs::write(&path, &log[..newest]).unwrap();
    let run = directory.path().join("smoke/latest");
    let stderr = resumed(&run);
    assert!(stderr.contains("going on from number"), "{stderr}");
    assert_eq!(without_notes(&run), without_notes(&whole.path().join("smoke/latest")));
}

#[test]
fn a_lost_run_json_is_written_anew() {
    for lost in [None, Some(""), Some("{\"format_version\": 1, \"run\"")] {
        let directory = tempfile::tempdir().unwrap();
        let run = run_smoke(directory.path(), &["--quick"]);
        let info = RunDir::open(&run).unwrap().info().unwrap();
        std::fs::remove_file(run.join("run.json")).unwrap();
        if let Some(text) = lost {
            std::fs::write(run.join("run.json"), text).unwrap();
        }
        std::fs::remove_file(run.join("index.html")).unwrap();
        std::fs::remove_file(run.join("trials/reinforce--s0/result.json")).unwrap();
        let stderr = resumed(&run);
        assert!(stderr.contains("run.json is written anew"), "{stderr}");
        assert!(run.join("index.html").is_file());
        let again = RunDir::open(&run).unwrap().info().unwrap();
        assert_eq!((again.status, &again.run), (RunStatus::Finished, &info.run));
        assert_eq!(again.versions, info.versions);
        assert!((again.started - info.started).abs().get_seconds() < 60);
    }
}

/// An environment's episode is 200 steps, its checkpoints fall due every 50: episodes end all the same.
#[test]
fn checkpoints_that_fall_inside_an_episode_wait_for_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let training = |n_envs: u32| {
        format!(
            "agents={{\"ppo\":{{\"policy\":{{\"type\":\"neural\",\"hidden\":[8]}},\"training\":{{\"algorithm\":\
             {{\"name\":\"ppo\",\"n_steps\":50,\"batch_size\":50,\"n_envs\":{n_envs}}},\
             \"schedule\":{{\"episodes\":12,\"checkpoint_every\":{{\"steps\":50}}}}}}}}}}"
        )
    };
    for (copies, checkpoints) in [(1, 12), (3, 4)] {
        let run = run_smoke(
            &directory.path().join(copies.to_string()),
            &[
                "--set",
                "environment={\"id\":\"Pendulum-v1\"}",
                "--set",
                &training(copies),
                "--set",
                "seeds=1",
                "--set",
                "trial_timeout_seconds=60",
                "--set",
                "recording.after=false",
                "--set",
                "recording.before=false",
            ],
        );
        let events = events(&run.join("trials/ppo--s0"));
        let count = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
        assert_eq!((count("episode"), count("checkpoint")), (12, checkpoints));
    }
}

#[test]
fn takes_show_every_step_and_before_and_after_start_alike() {
    let directory = tempfile::tempdir().unwrap();
    let run = run_smoke(directory.path(), &[]);
    let trial = TrialDir::new(run.join("trials/reinforce--s0"));
    let result = trial.result().unwrap();
    let names: Vec<_> = result.takes.iter().map(|take| take.file.as_str()).collect();
    assert_eq!(names.first(), Some(&"before.mp4"));
    assert_eq!(names.last(), Some(&"after.mp4"));
    assert!(names.len() > 2, "takes during training: {names:?}");
    for record in &result.takes {
        let steps: u64 = record.take.lengths.iter().map(|&n| u64::from(n)).sum();
        let facts = video::probe_file(&trial.file(&record.file)).unwrap();
        assert_eq!(facts.frames, steps + 1, "{}", record.file);
        assert!(trial.file(&record.poster).is_file());
        assert_eq!(record.take.seeds, result.takes[0].take.seeds);
    }
}

/// Runs an experiment that is written out here, and gives the run's directory.
pub(crate) fn run_experiment(directory: &Path, experiment: &Value, more: &[&str]) -> PathBuf {
    let file = directory.join("experiment.json");
    std::fs::write(&file, experiment.to_string()).unwrap();
    let arguments = ["run", file.to_str().unwrap(), "--output", directory.to_str().unwrap()];
    let output = output(&[&arguments, more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    report.parent().expect("a report lies in a run directory").to_owned()
}

#[test]
fn a_quick_run_keeps_the_unit_of_periods() {
    let directory = tempfile::tempdir().unwrap();
    let evaluations = |schedule: Value, search: Value, trial: &str| {
        let mut experiment = json!({
            "name": "periods",
            "environment": { "id": "CartPole-v1" },
            "agents": { "ppo": {
                "policy": { "type": "neural", "hidden": [8] },
                "training": {
                    "algorithm": { "name": "ppo", "n_steps": 64, "n_envs": 4, "n_epochs": 1 },
                    "schedule": schedule,
                },
            } },
            "recording": { "before": false, "after": false },
        });
        if !search.is_null() {
            experiment["search"] = search;
        }
        let run = run_experiment(directory.path(), &experiment, &["--quick"]);
        let events = events(&run.join("trials").join(trial));
        let evaluated = events.into_iter().filter(|event| event["event"] == "evaluation");
        evaluated.map(|event| event["updates"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    // 5,000 steps are 20 updates of 256 steps.
    let by_updates = json!({ "updates": 100, "evaluate_every": 8 });
    assert_eq!(evaluations(by_updates.clone(), Value::Null, "ppo--s0"), [0, 8, 16]);
    let path = "agents.ppo.training.schedule.evaluate_every";
    let search = json!({ "parameters": { path: { "grid": [8] } } });
    let schedule = json!({ "updates": 100 });
    assert_eq!(evaluations(schedule, search, "ppo--000--s0"), [0, 8, 16]);
}

/// CliffWalking has no time limit, and who always goes up never arrives.
fn cliff(evaluation: &Value) -> Value {
    json!({
        "name": "cliff",
        "environment": { "id": "CliffWalking-v0" },
        "agents": {
            "up": { "policy": { "type": "hard-coded", "rule": "0" } },
            "q": {
                "policy": { "type": "tabular" },
                "training": {
                    "algorithm": { "name": "q_learning", "epsilon": 1.0 },
                    "schedule": { "episodes": 60, "evaluate_every": 30 },
                },
            },
        },
        "evaluation": evaluation,
        "recording": { "video": { "width": 96 } },
    })
}

#[test]
fn evaluations_and_takes_end_where_the_environment_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let run = run_experiment(directory.path(), &cliff(&json!({ "episodes": 2 })), &[]);
    let result = |trial: &str| -> Value {
        let text = std::fs::read_to_string(run.join("trials").join(trial).join("result.json"));
        serde_json::from_str(&text.unwrap()).unwrap()
    };
    let up = result("up--s0");
    assert_eq!(up["after"]["lengths"], json!([1000, 1000]));
    assert_eq!(up["after"]["cut"], json!([true, true]));
    assert_eq!(up["takes"][0]["take"]["lengths"], json!([1000]));
    assert_eq!(up["takes"][0]["take"]["cut"], json!([true]));
    // Training has a limit, too: some of these random walks take far longer than 10,000 steps.
    let events = events(&run.join("trials/q--s0"));
    let lengths = events.iter().filter(|event| event["event"] == "episode");
    let lengths: Vec<_> =
        lengths.map(|e| (e["length"].as_u64().unwrap(), e["truncated"] == true)).collect();
    assert!(lengths.iter().all(|&(length, cut)| (length == 10_000) == cut), "{lengths:?}");
    assert_eq!(lengths.iter().map(|&(length, _)| length).max(), Some(10_000));
    let page = std::fs::read_to_string(run.join("index.html")).unwrap();
    assert!(page.contains("2 cut after 1,000 steps"), "the table of the evaluation");
    assert!(page.contains("up, seed 0, cut after 1,000 steps"), "the take's label");
    let played = output(&["play", run.to_str().unwrap(), "up", "--json", "--episodes", "2"]);
    let played: Value = serde_json::from_slice(&played.stdout).unwrap();
    assert_eq!(played["episodes"][1]["length"], 1000);
    assert_eq!(played["episodes"][1]["cut"], true);
}

#[test]
fn the_limit_of_evaluations_can_be_set() {
    let directory = tempfile::tempdir().unwrap();
    let limited = json!({ "episodes": 2, "max_episode_steps": 30 });
    let run = run_experiment(directory.path(), &cliff(&limited), &[]);
    for trial in ["up--s0", "q--s0"] {
        let events = events(&run.join("trials").join(trial));
        let evaluations = events.iter().filter(|event| event["event"] == "evaluation");
        for event in evaluations {
            let lengths = event["lengths"].as_array().unwrap();
            assert!(lengths.iter().all(|length| length.as_u64().unwrap() <= 30), "{event}");
        }
        let takes: Vec<_> = events.iter().filter(|event| event["event"] == "take").collect();
        assert!(!takes.is_empty());
        for event in takes {
            assert!(event["take"]["lengths"][0].as_u64().unwrap() <= 30, "{event}");
        }
    }
    let played = output(&["play", run.to_str().unwrap(), "up", "--episodes", "1"]);
    assert!(String::from_utf8_lossy(&played.stdout).contains("30  cut"));
    // A limit of evaluations leaves training alone, and an environment's own limit counts where it is shorter.
    let mut short = cliff(&json!({ "episodes": 1, "max_episode_steps": 50 }));
    short["environment"]["max_episode_steps"] = json!(20);
    let run = run_experiment(directory.path(), &short, &[]);
    let result = TrialDir::new(run.join("trials/up--s0")).result().unwrap();
    let after = serde_json::to_value(result.after.unwrap()).unwrap();
    assert_eq!((&after["lengths"], after.get("cut")), (&json!([20]), None), "truncated, not cut");
}

#[test]
fn a_failed_trial_is_kept_and_the_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let (code, stderr) = failure(&[
        "run",
        "experiments/smoke.json",
        "--output",
        path,
        "--set",
        "seeds=1",
        "--set",
        "agents.lean.policy.rule=if step < 5 { 0 } else { 1 / (step - 5) }",
    ]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("lean (seed 0): FAILED"), "{stderr}");
    assert!(stderr.contains("Division by zero"), "{stderr}");
    let result = |trial: &str| -> TrialResult {
        TrialDir::new(directory.path().join("smoke/latest/trials").join(trial)).result().unwrap()
    };
    assert!(matches!(result("lean--s0").outcome, Outcome::Failed { .. }));
    assert!(matches!(
        result("reinforce--s0").outcome,
        Outcome::Completed { stop_reason: Some(StopReason::Episodes) }
    ));
    assert!(directory.path().join("smoke/latest/index.html").is_file());
}

#[test]
fn a_trial_that_takes_too_long_is_killed_and_said_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let mut arguments = vec!["run", "experiments/smoke.json", "--output", path];
    arguments.extend(LONG);
    arguments.extend(["--set", "trial_timeout_seconds=2"]);
    let (code, stderr) = failure(&arguments);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("killed after 2 seconds"), "{stderr}");
    // What it did before is known.
    let run = trial_of(directory.path()).ancestors().nth(2).unwrap().to_owned();
    let summary = std::fs::read_to_string(run.join("summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    let agents = summary["agents"].as_array().unwrap();
    let learner = agents.iter().find(|agent| agent["name"] == "reinforce").unwrap();
    let seed = &learner["seeds"][0];
    assert!(seed["before_returns"][0].is_number(), "{seed}");
    assert!(seed["steps"].as_u64() > Some(0), "{seed}");
}

#[test]
fn weights_that_stop_being_numbers_end_the_trial_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let (code, stderr) = failure(&[
        "run",
        "experiments/smoke.json",
        "--output",
        path,
        "--set",
        "seeds=1",
        "--set",
        "agents.reinforce.training.algorithm.learning_rate=1e30",
    ]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("not finite"), "{stderr}");
}

#[test]
fn resuming_other_settings_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    run_smoke(directory.path(), &["--quick"]);
    let path = directory.path().to_str().unwrap();
    let (code, stderr) = failure(&["run", "experiments/smoke.json", "--output", path, "--resume"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("other settings"), "{stderr}");
}

#[test]
fn a_finished_run_resumes_without_running_trials_again() {
    let directory = tempfile::tempdir().unwrap();
    let run = run_smoke(directory.path(), &[]);
    let trial = run.join("trials/reinforce--s1");
    // The log's clock times and the file's time are what running again would not repeat.
    let traces = || {
        let log = std::fs::read(trial.join("events.jsonl")).unwrap();
        (log, std::fs::metadata(trial.join("result.json")).unwrap().modified().unwrap())
    };
    let before = traces();
    let again = run_smoke(directory.path(), &["--resume"]);
    assert_eq!(run.canonicalize().unwrap(), again.canonicalize().unwrap());
    assert!(traces() == before, "the trial was run again");
}

#[test]
fn a_finished_trial_without_its_event_log_is_run_again() {
    let directory = tempfile::tempdir().unwrap();
    let run = run_smoke(directory.path(), &["--quick"]);
    let before = without_notes(&run);
    let log = run.join("trials/reinforce--s0/events.jsonl");
    let text = std::fs::read(&log).unwrap();
    let line = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for damaged in [None, Some(&text[..text.len() / 2]), Some(&text[..line]), Some(&[])] {
        std::fs::remove_file(&log).unwrap();
        if let Some(damaged) = damaged {
            std::fs::write(&log, damaged).unwrap();
        }
        run_smoke(directory.path(), &["--quick", "--resume"]);
        assert_eq!(without_notes(&run), before);
    }
}

#[test]
fn a_report_below_a_relative_path_links_to_its_own_videos() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir_in(root.join("target")).unwrap();
    let relative = directory.path().strip_prefix(root).unwrap();
    let run = run_smoke(relative, &["--quick"]);
    let page = std::fs::read_to_string(run.join("index.html")).unwrap();
    assert!(page.contains(r#"src="trials/reinforce--s0/after.mp4""#), "the link is not relative");
}

#[test]
fn a_trial_that_another_process_works_on_is_waited_for_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let trial = trial_of(directory.path());
    let mut run = start_long(directory.path(), false);
    wait_for_checkpoint(&trial, 3);
    run.kill().unwrap();
    run.wait().unwrap();
    wait_for_lock(&trial);
    let mut alone = crate::cli::rushes(&["trial", trial.to_str().unwrap()])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for_checkpoint(&trial, 6);
    assert!(start_long(directory.path(), true).wait().unwrap().success());
    assert!(alone.wait().unwrap().success(), "the trial was disturbed");
    assert!(!trial.join("exit.json").exists());
    let whole = tempfile::tempdir().unwrap();
    assert!(start_long(whole.path(), false).wait().unwrap().success());
    let run = |directory: &Path| essence(&directory.join("smoke/latest"));
    assert_eq!(run(directory.path()), run(whole.path()));
}

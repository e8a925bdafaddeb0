//! Training scripts of any framework (`docs/external-trainers.md`), played by `tests/trainers/train.py`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rushes::record::{Event, Moment, Outcome, StopReason, TrialResult};
use rushes::store::{RunDir, TrialDir};
use rushes::video;
use serde_json::{Value, json};

use crate::cli::{events, rushes};

/// A folder with experiments, their output and a user's state.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("room"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes an experiment with these agents; fields of `more` are its own.
    fn write(&self, agents: Value, more: Value) -> PathBuf {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trainers");
        let mut experiment = json!({
            "name": "scripts",
            "environment": { "id": "CartPole-v1" },
            "directory": scripts,
            "evaluation": { "episodes": 4, "training_episodes": 2 },
            "recording": { "before": false, "after": false },
            "agents": agents,
        });
        for (field, value) in more.as_object().expect("fields") {
            experiment[field] = value.clone();
        }
        let file = self.path("experiment.json");
        std::fs::write(&file, experiment.to_string()).expect("room");
        file
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = rushes(arguments);
        command.env("XDG_STATE_HOME", self.path("state"));
        command
    }

    /// Exit code, stdout and stderr.
    fn call(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().expect("the binary starts");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    fn run_command(&self, more: &[&str]) -> Command {
        let (file, output) = (self.path("experiment.json"), self.path("output"));
        let mut command = self.command(&["run"]);
        command.arg(file).arg("--output").arg(output).args(more);
        command
    }

    /// Runs the experiment; exit code and stderr.
    fn run(&self, more: &[&str]) -> (i32, String) {
        let output = self.run_command(more).output().expect("the binary starts");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap_or(-1), told)
    }

    fn latest(&self) -> PathBuf {
        self.path("output/scripts/latest")
    }

    fn trial(&self, id: &str) -> TrialDir {
        TrialDir::new(self.latest().join("trials").join(id))
    }

    fn result(&self, id: &str) -> TrialResult {
        self.trial(id).result().expect("a result")
    }
}

fn script(settings: Value) -> Value {
    json!({ "trainer": {
        "command": ["python3", "train.py"],
        "settings": settings,
        "schedule": { "steps": 200, "evaluate_every": 50, "checkpoint_every": 30, "log_every": 50 },
    } })
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what} never came");
        sleep(Duration::from_millis(5));
    }
}

/// Whether processes of these numbers run, zombies left out.
fn alive(pids: &str) -> bool {
    pids.split_whitespace().any(|pid| {
        let state = Command::new("ps").args(["-o", "stat=", "-p", pid]).output().expect("ps");
        let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
        !state.is_empty() && !state.starts_with('Z')
    })
}

#[test]
fn every_kind_of_report_ends_where_an_own_agents_would() {
    let folder = Folder::new();
    folder.write(
        json!({ "script": script(json!({ "skill": 2.0 })), "random": { "policy": { "type": "random" } } }),
        json!({ "seeds": 2, "recording": { "before": true, "after": true } }),
    );
    let (code, told) = folder.run(&[]);
    assert_eq!(code, 0, "{told}");
    assert_eq!(told.matches("starts: cd ").count(), 1, "{told}");
    let trial = folder.trial("script--s0");
    let records = trial.events().expect("events").records;
    let count = |of: fn(&Event) -> bool| records.iter().filter(|record| of(&record.event)).count();
    assert_eq!(count(|event| matches!(event, Event::Episode { .. })), 20);
    assert_eq!(count(|event| matches!(event, Event::Evaluation { .. })), 5);
    assert_eq!(count(|event| matches!(event, Event::Update { .. })), 4);
    assert_eq!(count(|event| matches!(event, Event::Checkpoint { .. })), 6);
    assert_eq!(count(|event| matches!(event, Event::Take(_))), 2);

    let result = folder.result("script--s0");
    assert_eq!(result.outcome.stop_reason(), Some(StopReason::Steps));
    assert_eq!((result.progress.steps, result.progress.episodes), (200, 20));
    assert_eq!(result.engine.as_deref(), Some("standard library"));
    assert_eq!(result.notes, ["trained in trainers"]);
    // Three steps that each earn the seed's last digit and the skill.
    let after = result.after.expect("an evaluation");
    assert_eq!(
        (after.seed, &after.returns[..]),
        (Some(1_000_000_000), &[6.0, 9.0, 12.0, 15.0][..])
    );
    assert_eq!(result.before.expect("another").returns, [6.0, 9.0, 12.0, 15.0]);
    assert!(trial.file(&result.policy.expect("a policy")).is_file());
    let moments: Vec<_> = result.takes.iter().map(|take| take.moment).collect();
    assert_eq!(moments, [Moment::Before, Moment::After]);
    for record in &result.takes {
        let facts = video::probe_file(&trial.file(&record.file)).expect("a video");
        assert_eq!((facts.frames, facts.width, facts.height), (4, 48, 32));
        assert_eq!(record.take.returns, [6.0]);
        assert!(trial.file(&record.poster).is_file());
    }
    // The other seed is not filmed.
    assert!(folder.result("script--s1").takes.is_empty());

    let page = std::fs::read_to_string(folder.latest().join("index.html")).expect("a report");
    assert!(page.contains("trained by a script") && page.contains("after.mp4"));
    let run = folder.latest();
    let run = run.to_str().expect("text");
    let baseline = folder.path("baseline.json");
    let baseline = baseline.to_str().expect("text");
    assert_eq!(folder.call(&["baseline", run, "-o", baseline]).0, 0);
    let (code, verdict, told) = folder.call(&["check", run, "--baseline", baseline]);
    assert_eq!(code, 0, "{verdict}{told}");
    let (code, _, told) = folder.call(&["play", run, "script"]);
    assert!(code == 2 && told.contains("script was trained by a script"), "{told}");
}

#[test]
fn each_failure_is_told_and_the_others_go_on() {
    let told: &[(&str, &[&str])] = &[
        ("json", &["reports.jsonl, line ", "expected a JSON object"]),
        ("type", &["reports.jsonl, line ", "unknown type `epsiode`", "`episode`"]),
        ("nan", &["reports.jsonl, line ", "numbers are finite"]),
        ("field", &["reports.jsonl, line ", "return: invalid type"]),
        ("steps", &["steps: expected at least 30", "found 2"]),
        ("seeds", &["seeds: expected 1000000000 to 1000000003"]),
        ("during", &["seeds: expected "]),
        ("checkpoint", &["path: there is no nothing in the folder of checkpoints"]),
        ("take", &["file: ", "no plain file name"]),
        ("no video", &["file: ", "after.mp4"]),
        ("exception", &["exit status: 1", "Traceback", "ZeroDivisionError: division by zero"]),
        ("exit", &["the training script failed (exit status: 3)"]),
        ("exit 0", &["exited without reporting `end`"]),
        ("signal", &["signal: 11 (SIGSEGV)"]),
        ("half a line", &["the line has no end"]),
        ("no evaluation", &["type: expected an `evaluation` with \"moment\": \"after\""]),
        ("no hello", &["exited without reporting `end`"]),
    ];
    let folder = Folder::new();
    let mut agents: serde_json::Map<String, Value> = (told.iter())
        .map(|(fault, _)| (fault.replace(' ', "-"), script(json!({ "fault": fault }))))
        .collect();
    agents.insert("early-end".into(), script(json!({ "fault": "early end" })));
    let absent = json!({ "command": ["./nowhere/python", "x"], "schedule": { "steps": 1 } });
    agents.insert("absent".into(), json!({ "trainer": absent }));
    folder.write(Value::Object(agents), json!({}));
    let (code, output) = folder.run(&["--jobs", "4"]);
    assert_eq!(code, 1, "{output}");
    let failed = |agent: &str| {
        let result = folder.result(&format!("{agent}--s0"));
        result.outcome.error().unwrap_or_else(|| panic!("{agent} did not fail")).to_owned()
    };
    for (fault, parts) in told {
        let error = failed(&fault.replace(' ', "-"));
        for part in *parts {
            assert!(error.contains(part), "{fault}: expected {part:?} in {error:?}");
        }
    }
    assert!(failed("absent").contains("failed to start ./nowhere/python: No such file"));
    // Ending early is the script's own decision.
    let early = folder.result("early-end--s0");
    assert_eq!(early.outcome, Outcome::Completed { stop_reason: Some(StopReason::Trainer) });
    assert_eq!(early.progress.episodes, 3);
}

#[test]
fn a_script_that_hangs_is_killed_with_what_it_started() {
    let folder = Folder::new();
    let child = folder.path("child");
    folder.write(
        json!({ "script": script(json!({ "fault": "hang", "child": child })) }),
        json!({ "trial_timeout_seconds": 3 }),
    );
    let (code, told) = folder.run(&[]);
    assert!(code == 1 && told.contains("killed after 3 seconds"), "{told}");
    let pids = std::fs::read_to_string(child).expect("it had begun");
    wait_until("the end of the script", || !alive(&pids));
}

/// A training that is long enough to be killed in the middle.
fn slow(folder: &Folder) {
    let child = folder.path("child");
    let settings = json!({ "pause": 0.02, "child": child });
    folder.write(json!({ "script": script(settings) }), json!({ "seeds": [5] }));
}

/// Kills the run once there are so many checkpoints, by this signal; its exit code. Whatever the script started is gone then.
fn kill_at(folder: &Folder, checkpoint: u64, signal: &str, more: &[&str]) -> Option<i32> {
    let _ = std::fs::remove_file(folder.path("child"));
    let mut run = folder.run_command(more).spawn().expect("the binary starts");
    let trial = folder.trial("script--s5");
    wait_until("the checkpoint", || {
        let records = trial.events().map(|log| log.records).unwrap_or_default();
        let reached =
            |event: &Event| matches!(event, Event::Checkpoint { number } if *number >= checkpoint);
        folder.path("child").is_file() && records.iter().any(|record| reached(&record.event))
    });
    let pid = run.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
    let code = run.wait().expect("an end").code();
    let pids = std::fs::read_to_string(folder.path("child")).expect("it had begun");
    wait_until("the end of the script", || !pids.is_empty() && !alive(&pids));
    assert!(!trial.finished(), "killed too late to mean anything");
    code
}

#[test]
fn a_killed_script_goes_on_and_equals_one_that_never_was() {
    let (whole, killed) = (Folder::new(), Folder::new());
    slow(&whole);
    assert_eq!(whole.run(&[]).0, 0);
    slow(&killed);
    assert_eq!(kill_at(&killed, 1, "-KILL", &[]), None);
    assert_eq!(kill_at(&killed, 3, "-TERM", &["--resume"]), Some(143));
    assert_eq!(kill_at(&killed, 5, "-KILL", &["--resume"]), None);
    // The run's own directory may start what it started before.
    let run = std::fs::canonicalize(killed.latest()).expect("a run");
    let (code, _, told) = killed.call(&["run", &format!("--resume={}", run.display())]);
    assert_eq!(code, 0, "{told}");
    let of = |folder: &Folder| {
        let trial = folder.trial("script--s5");
        (events(trial.path()), std::fs::read(trial.file("weights.txt")).ok())
    };
    assert_eq!(of(&killed), of(&whole));
}

#[test]
fn a_script_ends_early_where_the_user_is_satisfied() {
    let (whole, ended) = (Folder::new(), Folder::new());
    slow(&whole);
    assert_eq!(whole.run(&[]).0, 0);
    slow(&ended);
    let run = ended.run_command(&[]).spawn().expect("the binary starts");
    let trial = ended.trial("script--s5");
    wait_until("an event", || trial.events().is_ok_and(|log| log.records.len() > 2));
    let pid = run.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    assert_eq!(run.wait_with_output().expect("an end").status.code(), Some(0));
    let result = ended.result("script--s5");
    assert_eq!(result.outcome.stop_reason(), Some(StopReason::User));
    assert!(result.after.is_some() && result.progress.episodes < 20, "{:?}", result.progress);
    assert_eq!(ended.run(&["--resume"]).0, 0);
    assert_eq!(events(ended.trial("script--s5").path()), events(whole.trial("script--s5").path()));
}

#[test]
fn a_script_that_cannot_resume_starts_again_with_a_note() {
    let folder = Folder::new();
    let settings = json!({ "fault": "not resumable", "pause": 0.02 });
    folder.write(json!({ "script": script(settings) }), json!({}));
    let mut run = folder.run_command(&[]).spawn().expect("the binary starts");
    let trial = folder.trial("script--s0");
    wait_until("an event", || trial.events().is_ok_and(|log| log.records.len() > 2));
    run.kill().expect("it runs");
    run.wait().expect("an end");
    let (code, told) = folder.run(&["--resume"]);
    assert_eq!(code, 0, "{told}");
    let result = folder.result("script--s0");
    assert_eq!(result.progress.episodes, 20);
    assert!(result.notes[0].contains("started again from its beginning"), "{:?}", result.notes);
}

#[test]
fn a_search_reaches_the_settings_and_pauses_the_script() {
    for (settings, pruned) in [(json!({}), 2), (json!({ "fault": "not resumable" }), 0)] {
        let folder = Folder::new();
        let search = json!({
            "parameters": { "agents.script.trainer.settings.skill": { "grid": [1.0, 3.0, 2.0] } },
            "scheduler": { "name": "successive_halving", "grace_period": 50, "reduction_factor": 3 },
        });
        folder.write(json!({ "script": script(settings) }), json!({ "search": search }));
        let (code, told) = folder.run(&[]);
        assert_eq!(code, 0, "{told}");
        let results: Vec<_> =
            (0..3).map(|sample| folder.result(&format!("script--00{sample}--s0"))).collect();
        let stopped = results
            .iter()
            .filter(|result| result.outcome.stop_reason() == Some(StopReason::Pruned));
        // What cannot pause is trained to its end.
        assert_eq!(stopped.count(), pruned, "{told}");
        assert_eq!(results[1].progress.steps, 200);
        let best = std::fs::read_to_string(folder.latest().join("best.json")).expect("a best");
        let best: Value = serde_json::from_str(&best).expect("JSON");
        assert_eq!(best["agents"]["script"]["trainer"]["settings"]["skill"], 3.0);
    }
}

#[test]
fn overrides_reach_the_settings_and_quick_cuts_the_schedule() {
    let folder = Folder::new();
    folder.write(json!({ "script": script(json!({})) }), json!({}));
    let set = "agents.script.trainer.settings.skill=4";
    let (code, told) = folder.run(&["--set", set, "--quick"]);
    assert_eq!(code, 0, "{told}");
    let result = folder.result("script--s0");
    assert_eq!(result.after.expect("an evaluation").returns[0], 12.0);
}

#[test]
fn a_run_from_elsewhere_starts_nothing_unless_it_is_trusted() {
    let folder = Folder::new();
    let started = folder.path("started");
    let command = json!(["touch", started]);
    let trainer = json!({ "command": command, "schedule": { "steps": 1 } });
    let file = folder.write(json!({ "script": { "trainer": trainer } }), json!({}));
    let file = file.to_str().expect("text");
    assert_eq!(folder.call(&["validate", file]).0, 0);
    assert!(!started.exists(), "validating starts nothing");
    assert_eq!(folder.run(&[]).0, 1, "touch reports nothing");
    std::fs::remove_file(&started).expect("it was started");

    let run = std::fs::canonicalize(folder.latest()).expect("a run");
    let resume = format!("--resume={}", run.display());
    let elsewhere = folder.path("another user");
    let call = |more: &[&str]| {
        let mut command = folder.command(&["run", &resume]);
        command.args(more).env("XDG_STATE_HOME", &elsewhere);
        let output = command.output().expect("the binary starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told) = call(&[]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("touch ") && told.contains("--trust"), "{told}");
    assert!(!started.exists());
    for arguments in [["report", run.to_str().expect("text")], ["history", "scripts"]] {
        let output = folder.path("output");
        let mut command = folder.command(&arguments);
        if arguments[0] == "history" {
            command.arg("--output").arg(output);
        }
        assert!(command.output().expect("the binary starts").status.success(), "{arguments:?}");
    }
    assert!(!started.exists(), "reading starts nothing");

    // A command that was changed in the user's own run is not the user's.
    let dir = RunDir::open(&run).expect("a run");
    let plan = std::fs::read_to_string(dir.plan_path()).expect("a plan");
    std::fs::write(dir.plan_path(), plan.replace("\"touch\"", "\"truncate\"")).expect("room");
    let (code, _, told) = folder.call(&["run", &resume]);
    assert!(code == 2 && told.contains("truncate "), "{told}");
    std::fs::write(dir.plan_path(), plan).expect("room");

    assert_eq!(call(&["--trust"]).0, Some(1));
    assert!(started.exists());
    std::fs::remove_file(&started).expect("it was started");
    // Now it is this user's.
    assert_eq!(call(&[]).0, Some(1));
    assert!(started.exists());
}

#[test]
fn what_is_wrong_with_a_trainer_is_told_with_its_place() {
    let folder = Folder::new();
    assert_eq!(folder.call(&["validate", "examples/own-trainer/experiment.json"]).0, 0);
    let schedule = json!({ "steps": 10 });
    let trainer = json!({ "command": ["true"], "schedule": schedule });
    let search =
        json!({ "parameters": { "agents.a.trainer.command": { "grid": [["x"], ["y"]] } } });
    for (agent, more, expected) in [
        (json!({}), json!({}), "agents.a: expected `policy`"),
        (
            json!({ "trainer": { "command": [], "schedule": schedule } }),
            json!({}),
            "agents.a.trainer.command",
        ),
        (json!({ "trainer": { "command": ["true"] } }), json!({}), "schedule"),
        (
            json!({ "trainer": { "command": ["true"], "schedule": {} } }),
            json!({}),
            "agents.a.trainer.schedule: expected a length",
        ),
        (
            json!({ "trainer": trainer, "policy": { "type": "random" } }),
            json!({}),
            "remove `policy` or `trainer`",
        ),
        (
            json!({ "trainer": trainer }),
            json!({ "directory": "nowhere" }),
            "directory: expected a folder",
        ),
        (
            json!({ "trainer": trainer }),
            json!({ "search": search }),
            "what is started is not searched for",
        ),
    ] {
        let file = folder.write(json!({ "a": agent }), more);
        let (code, _, told) = folder.call(&["validate", file.to_str().expect("text")]);
        assert!(code == 2 && told.contains(expected), "expected {expected:?} in {told}");
    }
}

#[test]
fn films_of_a_training_that_a_script_does_are_refused() {
    let folder = Folder::new();
    let script =
        json!({ "trainer": { "command": ["python3", "train.py"], "schedule": { "steps": 100 } } });
    let recording = json!({ "before": false, "after": false, "training": { "episodes": 10 } });
    let file = folder.write(json!({ "script": script }), json!({ "recording": recording }));
    let (code, _, stderr) = folder.call(&["validate", file.to_str().unwrap()]);
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("recording.training") && stderr.contains("trained by scripts"),
        "{stderr}"
    );
}

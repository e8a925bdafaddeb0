//! `rushes export` from the command line, on a run directory made by hand.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rushes::experiment::Plan;
use rushes::record::{
    Evaluation, Event, Outcome, Progress, Record, RunInfo, RunStatus, StopReason, TrialResult,
};
use rushes::store::{RunDir, write_json};
use rushes::validation;
use serde_json::{Value, json};

use crate::interop::python_program;

/// A run of two trials, the second without a result.
fn run(folder: &Path) -> PathBuf {
    let experiment = json!({
        "name": "export",
        "environment": { "id": "CartPole-v1" },
        "seeds": [0, 1],
        "agents": { "net": {
            "policy": { "type": "neural" },
            "training": { "algorithm": { "name": "reinforce" }, "schedule": { "episodes": 2 } },
        } },
    });
    let plan = Plan::new(validation::check(&experiment).expect("a valid experiment"))
        .expect("settings that fit");
    let path = folder.join("run");
    std::fs::create_dir_all(&path).expect("a writable folder");
    write_json(&path.join("plan.json"), &plan).expect("a writable folder");
    let run = RunDir::open(&path).expect("a run");
    run.write_info(&RunInfo {
        format_version: 1,
        run: "run".into(),
        label: None,
        status: RunStatus::Finished,
        started: "2026-01-02T03:04:05Z".parse().expect("a time"),
        finished: None,
        command: Vec::new(),
        experiment_file: "export.json".into(),
        overrides: Vec::new(),
        jobs: 1,
        versions: Default::default(),
        git: None,
        machine: Default::default(),
        signature: None,
    })
    .expect("a writable folder");
    let trial = run.trial(&plan.trials[0].id);
    trial.create(&plan.trials[0]).expect("a writable folder");
    let progress = |episodes, steps| Progress { episodes, steps, updates: episodes };
    let evaluation = |returns: &[f64]| (returns.to_vec(), vec![9; returns.len()]);
    let evaluated = |(returns, lengths)| Event::Evaluation { returns, lengths, cut: Vec::new() };
    let episode = |r#return, length| Event::Episode {
        r#return,
        length: Some(length),
        truncated: Some(false),
    };
    let update = |loss: f64| Event::Update {
        metrics: [("policy_loss".to_owned(), loss)].into_iter().collect(),
    };
    let events = [
        (progress(0, 0), 0.0, evaluated(evaluation(&[9.0, 10.0]))),
        (progress(1, 20), 0.5, episode(20.0, 20)),
        (progress(1, 20), 0.5, update(1.25)),
        (progress(2, 50), 1.0, episode(30.0, 30)),
        (progress(2, 50), 1.0, update(-0.5)),
        (progress(2, 50), 1.0, evaluated(evaluation(&[40.0, 42.0]))),
    ];
    let lines: String = events
        .into_iter()
        .map(|(progress, seconds, event)| {
            let record = Record { progress, seconds, event };
            serde_json::to_string(&record).expect("JSON") + "\n"
        })
        .collect();
    std::fs::write(trial.events_path(), lines).expect("a writable folder");
    let side = |returns: &[f64]| {
        let (returns, lengths) = evaluation(returns);
        Some(Evaluation { seed: Some(7), returns, lengths, cut: Vec::new() })
    };
    let result = TrialResult {
        format_version: 1,
        id: plan.trials[0].id.clone(),
        agent: "net".into(),
        seed: 0,
        outcome: Outcome::Completed { stop_reason: Some(StopReason::Episodes) },
        progress: progress(2, 50),
        training_seconds: 1.0,
        steps_per_second: None,
        engine: None,
        before: side(&[9.0, 10.0]),
        after: side(&[50.0, 52.0]),
        best: None,
        policy: None,
        takes: Vec::new(),
        notes: Vec::new(),
        peak_memory_bytes: None,
    };
    trial.write_result(&result).expect("a writable folder");
    path
}

fn export(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rushes"));
    let output = command
        .current_dir(folder)
        .args(["export", "run"])
        .args(args)
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn csv_files_hold_every_event_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    run(folder.path());
    let notes = export(folder.path(), &["--csv", "csv"]);
    assert_eq!(notes, "note: 1 trials without a readable result were left out\n");
    let file = |name: &str| {
        let text = std::fs::read_to_string(folder.path().join("csv").join(name)).expect("a file");
        text.replace("\r\n", "\n")
    };
    assert_eq!(
        file("results.csv"),
        "trial,agent,seed,status,episodes,steps,updates,training_seconds,mean_return_before,mean_return_after,\
         run,environment\n\
         net--s0,net,0,completed,2,50,2,1,9.5,51,run,CartPole-v1\n"
    );
    assert_eq!(
        file("episodes.csv"),
        "trial,agent,seed,episodes,steps,updates,seconds,return,length,truncated\n\
         net--s0,net,0,1,20,1,0.5,20,20,false\n\
         net--s0,net,0,2,50,2,1,30,30,false\n"
    );
    assert_eq!(
        file("evaluations.csv"),
        "trial,agent,seed,moment,episodes,steps,episode,return,length\n\
         net--s0,net,0,before,0,0,0,9,9\n\
         net--s0,net,0,before,0,0,1,10,9\n\
         net--s0,net,0,during,2,50,0,40,9\n\
         net--s0,net,0,during,2,50,1,42,9\n\
         net--s0,net,0,after,2,50,0,50,9\n\
         net--s0,net,0,after,2,50,1,52,9\n"
    );
    assert_eq!(
        file("updates.csv"),
        "trial,agent,seed,episodes,steps,updates,seconds,metric,value\n\
         net--s0,net,0,1,20,1,0.5,policy_loss,1.25\n\
         net--s0,net,0,2,50,2,1,policy_loss,-0.5\n"
    );
}

#[test]
fn tables_of_the_report_are_written_in_latex_and_markdown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = run(folder.path());
    std::fs::rename(first, folder.path().join("first")).expect("a run");
    run(folder.path());
    let printed = export(folder.path(), &["first", "--latex", "tex", "--markdown", "md"]);
    assert_eq!(printed, "");
    let names = |kind: &str| {
        let files = std::fs::read_dir(folder.path().join(kind)).expect("a folder");
        let mut names: Vec<String> = files
            .map(|file| {
                file.expect("a file")
                    .path()
                    .file_stem()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("tex"), names("md"));
    assert!(names("tex").contains(&"comparison".to_owned()), "{:?}", names("tex"));
    let file = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
    insta::assert_snapshot!(file("tex/evaluation.tex"), @r#"
    \begin{table}
      \centering
      \caption{Returns of the evaluation after training. Mean, interquartile mean (IQM) and the bootstrap interval of the mean are over seeds, standard deviation and extremes over all episodes.}
      \label{tab:evaluation}
      \begin{tabular}{lrrrrrrrrr}
        \toprule
        agent & seeds & episodes & before & mean & 95 \% interval & IQM & std & min & max \\
        \midrule
        net $\cdot$ A & 1 & 2 & 9.5 & 51.0 & -- & 51.0 & 1.4 & 50.0 & 52.0 \\
        net $\cdot$ B & 1 & 2 & 9.5 & 51.0 & -- & 51.0 & 1.4 & 50.0 & 52.0 \\
        \bottomrule
      \end{tabular}
    \end{table}
    "#);
    insta::assert_snapshot!(file("md/evaluation.md"), @r#"
    Returns of the evaluation after training. Mean, interquartile mean (IQM) and the bootstrap interval of the mean are over seeds, standard deviation and extremes over all episodes.

    | agent | seeds | episodes | before | mean | 95 % interval | IQM | std | min | max |
    | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |
    | net · A | 1 | 2 | 9.5 | 51.0 | – | 51.0 | 1.4 | 50.0 | 52.0 |
    | net · B | 1 | 2 | 9.5 | 51.0 | – | 51.0 | 1.4 | 50.0 | 52.0 |
    "#);

    let csv_of_two = Command::new(env!("CARGO_BIN_EXE_rushes"))
        .current_dir(folder.path())
        .args(["export", "run", "first", "--csv", "csv"])
        .output()
        .expect("the program starts");
    assert_eq!(csv_of_two.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&csv_of_two.stderr), "error: --csv writes one run, not 2\n");
}

/// Reads the event files with TensorBoard's own reader.
#[test]
fn tensorboard_reads_the_scalars_back() {
    let (python, program) = python_program("read_scalars.py");
    let folder = tempfile::tempdir().expect("a temporary folder");
    run(folder.path());
    // Exporting again replaces the files and does not double the scalars.
    export(folder.path(), &["--tensorboard", "tb"]);
    export(folder.path(), &["--tensorboard", "tb"]);
    let output = Command::new(python)
        .arg(program)
        .arg(folder.path().join("tb"))
        .stderr(Stdio::inherit())
        .output()
        .expect("Python starts");
    let scalars: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let expected = json!({ "export/run/net--s0": {
        "evaluation/mean_return": [[0, 9.5], [50, 41.0], [50, 51.0]],
        "episode/return": [[20, 20.0], [50, 30.0]],
        "episode/length": [[20, 20.0], [50, 30.0]],
        "train/policy_loss": [[20, 1.25], [50, -0.5]],
    } });
    assert_eq!(scalars, expected);
}

#[test]
fn every_run_has_folders_of_its_own_in_tensorboard() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = run(folder.path());
    export(folder.path(), &["--tensorboard", "tb"]);
    let other = folder.path().join("other");
    std::fs::rename(&first, &other).expect("a run");
    // What a run is called does not depend on where it lies.
    let info = std::fs::read_to_string(other.join("run.json")).expect("a file");
    let info = info.replace(r#""run": "run""#, r#""run": "other""#);
    std::fs::write(other.join("run.json"), info).expect("a file");
    std::fs::rename(&other, folder.path().join("latest")).expect("a run");
    let second = run(folder.path());
    export(folder.path(), &["--tensorboard", "tb"]);
    for name in [second.file_name().expect("a name"), "other".as_ref()] {
        let trial = folder.path().join("tb/export").join(name).join("net--s0");
        if name == "other" {
            assert!(!trial.exists(), "it was exported under the name it had");
        } else {
            assert_eq!(std::fs::read_dir(trial).expect("a folder").count(), 1);
        }
    }
    let again = Command::new(env!("CARGO_BIN_EXE_rushes"))
        .current_dir(folder.path())
        .args(["export", "latest", "--tensorboard", "tb"])
        .status();
    assert!(again.expect("the program starts").success());
    for name in ["run", "other"] {
        let trial = folder.path().join("tb/export").join(name).join("net--s0");
        assert_eq!(std::fs::read_dir(trial).expect("a folder").count(), 1, "{name}");
    }
}

#[test]
fn a_run_without_results_is_not_exported() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let result = run(folder.path()).join("trials/net--s0/result.json");
    std::fs::remove_file(result).expect("a result");
    for format in ["--tensorboard", "--csv"] {
        let output = Command::new(env!("CARGO_BIN_EXE_rushes"))
            .current_dir(folder.path())
            .args(["export", "run", format, "out"])
            .output()
            .expect("the program starts");
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]));
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains("has a readable result yet; nothing was written"), "{message}");
        assert!(!folder.path().join("out").exists());
    }
}

#[test]
fn names_that_lead_out_of_a_run_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plan = run(folder.path()).join("plan.json");
    let good = std::fs::read_to_string(&plan).expect("a plan");
    for (pointer, name) in [
        ("/trials/0/id", "../../../../escaped"),
        ("/trials/1/id", "/tmp/escaped"),
        ("/trials/0/id", ""),
        ("/experiment/name", "../escaped"),
    ] {
        let mut changed: Value = serde_json::from_str(&good).expect("JSON");
        *changed.pointer_mut(pointer).expect("a name") = json!(name);
        std::fs::write(&plan, changed.to_string()).expect("a plan");
        for arguments in [
            &["export", "run", "--tensorboard", "out/a/b/c"][..],
            &["export", "run", "--csv", "out/a/b/c"],
            &["play", "run", "net"],
            &["report", "run"],
            &["check", "run", "--baseline", "b.json"],
            &["baseline", "run", "-o", "b.json"],
        ] {
            if arguments[0] == "check" {
                std::fs::write(folder.path().join("b.json"), BASELINE).expect("a file");
            }
            let output = Command::new(env!("CARGO_BIN_EXE_rushes"))
                .current_dir(folder.path())
                .args(arguments)
                .output()
                .expect("the program starts");
            let message = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
            let field =
                pointer.replace("/trials/0/", "trials[].").replace("/trials/1/", "trials[].");
            let field = field.replace("/experiment/", "experiment.");
            let expected = format!("plan.json: {field}: {name:?} is no plain file name");
            assert!(message.contains(&expected), "{arguments:?}: {message}");
        }
        assert!(!folder.path().join("out").exists());
    }
}

/// Any baseline: it is not looked at.
const BASELINE: &str = r#"{"baseline_version": 1, "experiment": "export", "environment": "CartPole-v1",
    "recorded": {"run": "r", "started": null, "settings_hash": "0", "git": null, "versions": {}},
    "agents": {"net": {"policy": "neural", "learns": true, "seeds": [{"seed": 0, "returns": [1.0]}]}}}"#;

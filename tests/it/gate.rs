//! `rushes run FILE --check BASELINE`: the run that was asked for is the one that is checked.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::rushes;

const LEAN: &str = "if obs[2] + obs[3] > 0.0 { 1 } else { 0 }";

/// A folder with an experiment whose file has another name than it, and its baseline.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let experiment = json!({
            "name": "gated",
            "environment": { "id": "CartPole-v1" },
            "seeds": 5,
            "agents": {
                "random": { "policy": { "type": "random" } },
                "lean": { "policy": { "type": "hard-coded", "rule": LEAN } },
            },
            "evaluation": { "episodes": 3 },
            "recording": { "after": false },
        });
        std::fs::write(place.path("a file.json"), experiment.to_string()).expect("a file");
        let good = place.run(&["--output", "first"]);
        assert_eq!(code(&good), 0, "{}", stderr(&good));
        let written = place.rushes(&["baseline", "first/gated/latest", "-o", "baseline.json"]);
        assert_eq!(code(&written), 0, "{}", stderr(&written));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn rushes(&self, arguments: &[&str]) -> Output {
        rushes(arguments).current_dir(self.folder.path()).output().expect("the program starts")
    }

    fn run(&self, more: &[&str]) -> Output {
        self.rushes(&[&["run", "a file.json"], more].concat())
    }

    fn check(&self, more: &[&str]) -> Output {
        self.run(&[&["--check", "baseline.json"], more].concat())
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The path of the report, the first line, and the verdict, the last one.
fn ends(output: &Output) -> (PathBuf, String) {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    let mut lines = text.lines();
    let report = lines.next().expect("the report's path").into();
    (report, lines.last().expect("a verdict").to_owned())
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn what_ran_is_what_is_checked() {
    let place = Place::new();
    let held = place.check(&["--output", "second"]);
    assert_eq!(code(&held), 0, "{}", stderr(&held));
    assert_eq!(ends(&held).1, "verdict: held (2 held)");

    // Elsewhere, under another name, and worse: a run under the old name and place would be held.
    let worse = place.check(&[
        "--output",
        "third",
        "--set",
        "name=other",
        "--set",
        "agents.lean.policy.rule=\"0\"",
        "--set",
        "recording.after=true",
        "--markdown",
        "m.md",
        "--junit",
        "j.xml",
    ]);
    assert_eq!(code(&worse), 1, "{}", stderr(&worse));
    let (report, verdict) = ends(&worse);
    assert_eq!(verdict, "verdict: regressed (1 regressed, 1 held)");
    let run = std::fs::canonicalize(place.path("third/other/latest")).expect("a run");
    assert_eq!(report, run.join("index.html"));
    let name = run.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = String::from_utf8_lossy(&worse.stdout);
    assert!(text.contains(&format!("other: REGRESSED (run {name} against baseline ")), "{text}");
    assert!(text.contains("note: the baseline is of the experiment gated, the run of other"));
    let markdown = read(&place.path("m.md"));
    assert!(markdown.contains("❌ other: regressed"));
    let link = format!("<a href=\"third/other/{name}/index.html\">Report</a>");
    assert!(markdown.contains(&link), "{markdown}");
    let still = format!("<img src=\"third/other/{name}/trials/lean--s0/after.png\"");
    assert!(markdown.contains(&still), "{markdown}");
    let command = format!("rushes check third/other/{name} --baseline baseline.json\n");
    assert!(markdown.contains(&command), "{markdown}");
    assert!(read(&place.path("j.xml")).contains("failures=\"1\""));
    let page = read(&report);
    assert!(page.contains("<section class=\"section\" id=\"gate\""));
    assert!(page.contains("Against the baseline: regressed (1 regressed, 1 held)."));

    // The run keeps what it was checked against: written again without the baseline at hand, the report says the same.
    std::fs::remove_file(place.path("baseline.json")).expect("a file");
    let again = place.rushes(&["report", "third/other/latest", "-o", "again.html"]);
    assert_eq!(code(&again), 0, "{}", stderr(&again));
    assert!(read(&place.path("again.html")).contains("regressed (1 regressed, 1 held)."));
}

#[test]
fn a_resumed_run_is_checked_too() {
    let place = Place::new();
    let worse = ["--set", "agents.lean.policy.rule=\"0\""];
    let first = place.check(&[&worse[..], &["--output", "second"]].concat());
    assert_eq!(code(&first), 1, "{}", stderr(&first));
    let resume = ["--output", "second", "--resume"];
    for check in [&[][..], &["--check", "baseline.json"]] {
        let resumed = place.run(&[&worse[..], &resume, check].concat());
        assert_eq!(code(&resumed), 1, "{}", stderr(&resumed));
        assert_eq!(ends(&resumed).1, "verdict: regressed (1 regressed, 1 held)");
    }
    let unchecked = place.run(&["--output", "first", "--resume", "--check", "baseline.json"]);
    assert_eq!((code(&unchecked), ends(&unchecked).1.as_str()), (0, "verdict: held (2 held)"));
}

#[test]
fn what_cannot_be_checked_is_not_run() {
    let place = Place::new();
    let mut other: Value = serde_json::from_str(&read(&place.path("baseline.json"))).expect("JSON");
    other["environment"] = json!("Acrobot-v1");
    std::fs::write(place.path("acrobot.json"), other.to_string()).expect("a file");
    let cases: [(&[&str], &str); 5] = [
        (&["--check", "none.json"], "failed to read the baseline"),
        (
            &["--check", "acrobot.json"],
            "the baseline is of the environment `Acrobot-v1`, the run of `CartPole-v1`",
        ),
        (
            &["--check", "baseline.json", "--set", "environment.max_episode_steps=100"],
            "the baseline is of the environment `CartPole-v1`, the run of \
             `CartPole-v1(max_episode_steps=100)`",
        ),
        (&["--markdown", "m.md"], "--check"),
        (
            &["--check", "baseline.json", "--junit", "nowhere/j.xml"],
            "nowhere/j.xml cannot be written",
        ),
    ];
    for (arguments, expected) in cases {
        let refused = place.run(&[arguments, &["--output", "none"]].concat());
        let expected_code = if arguments[0] == "--markdown" { 3 } else { 2 };
        assert_eq!(code(&refused), expected_code, "{arguments:?}");
        assert!(stderr(&refused).contains(expected), "{}", stderr(&refused));
        assert!(!place.path("none").exists(), "{arguments:?} made a run");
    }
    // What the environment is by default is no other environment.
    let same = place.check(&["--output", "same", "--set", "environment.max_episode_steps=500"]);
    assert_eq!(code(&same), 0, "{}", stderr(&same));
}

#[test]
fn a_failed_trial_keeps_its_exit_code() {
    let place = Place::new();
    let failed = place.check(&[
        "--output",
        "second",
        "--set",
        // Every rule is let take its first step before anything is run.
        "agents.lean.policy.rule=\"if abs(obs[2]) > 0.1 { 7 } else { 0 }\"",
    ]);
    assert_eq!(code(&failed), 1, "{}", stderr(&failed));
    assert!(ends(&failed).1.starts_with("verdict: inconclusive"), "{}", ends(&failed).1);
}

/// The seeds of a run's trials, and the gate's look that they are for.
fn looked_at(run: &Path) -> (usize, u64) {
    let plan: Value = serde_json::from_str(&read(&run.join("plan.json"))).expect("a plan");
    let trials = plan["trials"].as_array().expect("trials").len();
    // The random agent and the rule.
    (trials / 2, plan["looks"].as_u64().unwrap_or(0))
}

#[test]
fn seeds_are_added_until_the_gate_has_its_answer() {
    let place = Place::new();
    let needed = r#"seeds={"at_least":4,"at_most":8}"#;
    // Whatever is not checked takes all of them.
    assert_eq!(code(&place.run(&["--output", "all", "--set", needed])), 0);
    assert_eq!(looked_at(&place.path("all/gated/latest")), (8, 0));

    // So large a drop would have been seen by four seeds.
    let clear = ["--set", "check.drop=10", "--set", "check.range=20"];
    let first = place.check(&[&["--output", "clear", "--set", needed][..], &clear].concat());
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    assert_eq!(looked_at(&place.path("clear/gated/latest")), (4, 1));
    let text = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(text.contains("look 1 of at most 2, at 4 of at most 8 seeds"), "{text}");

    // So small a one is not seen by eight.
    let open = ["--set", "check.margin=0", "--set", "check.drop=0.001"];
    let last = place.check(&[&["--output", "open", "--set", needed][..], &open].concat());
    assert_eq!(code(&last), 2, "{}", stderr(&last));
    let run = place.path("open/gated/latest");
    assert_eq!(looked_at(&run), (8, 2));
    let text = String::from_utf8_lossy(&last.stdout).into_owned();
    assert!(text.contains("look 2 of at most 2, at 8 of at most 8 seeds"), "{text}");

    // A run that was interrupted at its first look goes on there, and comes to the same.
    let path = run.canonicalize().expect("a run");
    let plan = std::fs::read(path.join("plan.json")).expect("a plan");
    let mut before: Value = serde_json::from_slice(&plan).expect("JSON");
    before["looks"] = json!(1);
    let seen = |trial: &Value| trial["seed"].as_u64().expect("a seed") < 4;
    before["trials"].as_array_mut().expect("trials").retain(seen);
    std::fs::write(path.join("plan.json"), before.to_string()).expect("a writable file");
    let lost = path.join("trials/random--s3/result.json");
    std::fs::remove_file(&lost).expect("a result");
    let resumed = place.rushes(&["run", &format!("--resume={}", path.display())]);
    assert_eq!(code(&resumed), 2, "{}", stderr(&resumed));
    assert!(lost.is_file());
    let after: Value = serde_json::from_str(&read(&path.join("plan.json"))).expect("JSON");
    assert_eq!(after, serde_json::from_slice::<Value>(&plan).expect("JSON"));

    // Seeds beyond the first look come when the gate needs them.
    let later = place.check(&["--output", "later", "--set", needed, "--only", "*/7"]);
    assert_eq!(code(&later), 2, "{}", stderr(&later));
    assert!(stderr(&later).contains("--only"), "{}", stderr(&later));
    assert!(!place.path("later").exists());

    let refused = place.run(&["--set", r#"seeds={"at_least":9,"at_most":8}"#]);
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("at_least"), "{}", stderr(&refused));
}

//! Readers that go away, full disks, odd terminals, limits and umasks: none of them may panic or cost a run.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::cli::{essence, run_smoke, rushes};

/// Arguments of a short run into `output`.
fn quick_run(output: &Path) -> Vec<String> {
    let output = output.to_str().expect("temporary paths are text");
    ["run", "experiments/smoke.json", "--quick", "--output", output].map(str::to_owned).to_vec()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command of the shell after which the program's own follows, for limits that a process inherits.
fn shell(before: &str, arguments: &[String]) -> Output {
    Command::new("sh")
        .arg("-c")
        .arg(format!("{before}; exec \"$@\""))
        .args(["sh", env!("CARGO_BIN_EXE_rushes")])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .expect("there is a shell")
}

/// Every command that prints, and how it ends when all of it is read.
fn commands(folder: &Path) -> Vec<(Vec<String>, i32)> {
    let run = run_smoke(folder, &["--quick"]);
    let run = run.to_str().expect("temporary paths are text");
    let path =
        |name: &str| folder.join(name).to_str().expect("temporary paths are text").to_owned();
    let (baseline, exported) = (path("baseline.json"), path("exported"));
    let made = rushes(&["baseline", run, "-o", &baseline]).output().expect("it runs");
    assert!(made.status.success(), "{}", text(&made.stderr));
    // A recording that does not say what happened.
    let golden = "tests/goldens/CartPole-v1.json";
    let recording = std::fs::read_to_string(golden).expect("a golden");
    let mut recording: Value = serde_json::from_str(&recording).expect("JSON");
    recording["trajectories"][0]["reward"][0] = 7.into();
    let wrong = path("wrong.json");
    std::fs::write(&wrong, recording.to_string()).expect("it can be written");
    let output = folder.to_str().expect("temporary paths are text");
    let lines: Vec<(Vec<&str>, i32)> = vec![
        (vec!["--help"], 0),
        (vec!["--version"], 0),
        (vec!["baseline", run, "-o", &baseline], 0),
        (vec!["check", run, "--baseline", &baseline], 0),
        (vec!["check", run, "--baseline", &baseline, "--json"], 0),
        (vec!["envs"], 0),
        (vec!["envs", "CartPole-v1", "--json"], 0),
        (vec!["export", run, "--csv", &exported, "--tensorboard", &exported], 0),
        (vec!["history", "smoke", "--output", output], 0),
        (vec!["history", "smoke", "--output", output, "--csv"], 0),
        (vec!["history", "smoke", "--output", output, "--json"], 0),
        (vec!["play", run, "lean", "--print"], 0),
        (vec!["play", run, "lean", "--json"], 0),
        (vec!["report", run], 0),
        (vec!["schema"], 0),
        (vec!["trace", golden], 0),
        (vec!["trace", golden, "--verify"], 0),
        (vec!["trace", &wrong, "--verify"], 1),
        (vec!["validate", "experiments/smoke.json"], 0),
        (vec!["validate", "experiments/smoke.json", "--resolved"], 0),
        (vec!["validate", &wrong], 2),
    ];
    let mut commands: Vec<(Vec<String>, i32)> = lines
        .into_iter()
        .map(|(line, code)| (line.into_iter().map(str::to_owned).collect(), code))
        .collect();
    commands.push((quick_run(folder), 0));
    commands
}

/// A pipe that nobody reads.
fn nobody() -> Stdio {
    std::io::pipe().expect("a pipe").1.into()
}

fn full_disk() -> Stdio {
    std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it").into()
}

#[test]
fn output_that_nobody_reads_changes_no_exit_code() {
    let folder = tempfile::tempdir().expect("room for a folder");
    for (line, expected) in commands(folder.path()) {
        let arguments: Vec<&str> = line.iter().map(String::as_str).collect();
        let out = rushes(&arguments).stdout(nobody()).stderr(Stdio::piped()).output();
        let out = out.expect("it runs");
        assert_eq!(out.status.code(), Some(expected), "{line:?}: {}", text(&out.stderr));
        for stderr in [nobody(), full_disk()] {
            let status = rushes(&arguments).stdout(Stdio::null()).stderr(stderr).status();
            assert_eq!(status.expect("it runs").code(), Some(expected), "{line:?} without stderr");
        }
    }
}

#[test]
fn a_full_disk_behind_the_output_is_said() {
    let folder = tempfile::tempdir().expect("room for a folder");
    for (line, expected) in commands(folder.path()) {
        let arguments: Vec<&str> = line.iter().map(String::as_str).collect();
        // Nothing is printed about a file that is refused.
        if (&*line[0], expected) == ("validate", 2) {
            continue;
        }
        let out = rushes(&arguments).stdout(full_disk()).stderr(Stdio::piped()).output();
        let out = out.expect("it runs");
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{line:?}: {said}");
        assert!(said.contains("failed to write to standard output: No space left"), "{said}");
    }
}

#[test]
fn a_film_is_made_though_nobody_reads_along() {
    let folder = tempfile::tempdir().expect("room for a folder");
    let film = folder.path().join("film.mp4");
    let film_text = film.to_str().expect("temporary paths are text");
    let line = [
        "play",
        "--random",
        "--env",
        "CartPole-v1",
        "--print",
        "--episodes",
        "20",
        "--video",
        film_text,
    ];
    let status = rushes(&line).stdout(nobody()).status().expect("it runs");
    assert_eq!(status.code(), Some(0));
    assert!(film.is_file());
}

#[test]
fn a_terminal_that_cannot_show_bars_gets_lines() {
    let folder = tempfile::tempdir().expect("room for a folder");
    let on_a_terminal_with = |term: Option<&str>, name: &str, more: &[(&str, &str)]| {
        let spawn = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
        let mut python = Command::new("python3");
        python.args(["-c", spawn, env!("CARGO_BIN_EXE_rushes")]);
        python.args(quick_run(&folder.path().join(name)));
        python.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).env_remove("TERM");
        python.envs(term.map(|term| ("TERM", term))).envs(more.iter().copied());
        let output = python.output().expect("Python 3");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let on_a_terminal = |term, name| on_a_terminal_with(term, name, &[]);
    for (term, name) in [(None, "none"), (Some("dumb"), "dumb")] {
        let shown = on_a_terminal(term, name);
        assert!(shown.contains("reinforce (seed 0): mean return"), "{term:?}: {shown}");
        assert!(!shown.contains('\u{1b}'), "{term:?}: {shown}");
    }
    assert!(on_a_terminal(Some("xterm"), "xterm").contains('\u{1b}'));
    assert!(on_a_terminal(Some("xterm"), "coloured").contains("\u{1b}[1mnext"), "a bold heading");
    // Bars move the cursor; nothing is coloured or bold.
    let plain = on_a_terminal_with(Some("xterm"), "plain", &[("NO_COLOR", "1")]);
    assert!(plain.contains("next") && !plain.contains("m\u{2588}"), "{plain}");
    let styled = |code: &str| plain.contains(&format!("\u{1b}[{code}m"));
    assert!(!["1", "2", "31", "32", "36"].into_iter().any(styled), "{plain}");
}

#[test]
fn a_limit_on_file_sizes_is_an_error_like_any_other() {
    let folder = tempfile::tempdir().expect("room for a folder");
    // In blocks of 512 bytes, or of 1024 in some shells: too little for the report, and for the history.
    let limited = shell("ulimit -f 40", &quick_run(folder.path()));
    let said = text(&limited.stderr);
    assert!(matches!(limited.status.code(), Some(1 | 2)), "{:?}: {said}", limited.status);
    assert!(said.contains("File too large"), "{said}");
}

#[test]
fn the_umask_decides_who_reads_a_run() {
    fn check(path: &Path, mask: u32) {
        let found = std::fs::symlink_metadata(path).expect("it is there");
        if found.is_symlink() {
            return;
        }
        let expected = if found.is_dir() { 0o777 } else { 0o666 } & !mask;
        let mode = found.permissions().mode() & 0o777;
        assert_eq!(mode, expected, "{} has {mode:o}, not {expected:o}", path.display());
        if found.is_dir() {
            for entry in std::fs::read_dir(path).expect("a directory") {
                check(&entry.expect("listed").path(), mask);
            }
        }
    }
    let folder = tempfile::tempdir().expect("room for a folder");
    for mask in [0o022, 0o077, 0o027, 0o002] {
        let output = folder.path().join(format!("{mask:o}"));
        let done = shell(&format!("umask {mask:o}"), &quick_run(&output));
        assert!(done.status.success(), "{}", text(&done.stderr));
        check(&output, mask);
    }
}

#[test]
fn a_folder_called_latest_costs_no_run() {
    let folder = tempfile::tempdir().expect("room for a folder");
    let latest = folder.path().join("smoke/latest");
    std::fs::create_dir_all(&latest).expect("a folder");
    std::fs::write(latest.join("mine.txt"), "kept").expect("a file");
    let arguments = quick_run(folder.path());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = rushes(&arguments).output().expect("it runs");
    let said = text(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(
        said.contains("warning") && said.contains("latest does not point at this run"),
        "{said}"
    );
    assert_eq!(std::fs::read_to_string(latest.join("mine.txt")).expect("still there"), "kept");
    let report = text(&done.stdout);
    assert!(Path::new(report.trim()).is_file());
    // The folder is not taken for the latest run either.
    let again = rushes(&arguments).arg("--resume").output().expect("it runs");
    assert_eq!(text(&again.stdout), report, "{}", text(&again.stderr));
}

#[test]
fn what_a_killed_run_left_half_done_is_removed() {
    let folder = tempfile::tempdir().expect("room for a folder");
    let run = run_smoke(folder.path(), &["--quick"]);
    let before = essence(&run);
    let trial = run.join("trials/reinforce--s0");
    let left = [run.join(".tmp-a"), trial.join(".tmp-b"), trial.join("checkpoint/.tmpc")];
    for path in &left {
        std::fs::write(path, "half").expect("it can be written");
    }
    std::fs::remove_file(trial.join("result.json")).expect("it was there");
    let resume = format!("--resume={}", run.display());
    run_smoke(folder.path(), &["--quick", &resume]);
    assert_eq!(essence(&run), before);
    for path in left {
        assert!(!path.exists(), "{} is still there", path.display());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_path_that_is_not_text_is_refused_before_anything_is_made() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().expect("room for a folder");
    let odd = folder.path().join(OsStr::from_bytes(b"odd\xff"));
    std::fs::create_dir(&odd).expect("a folder");
    let mut command = rushes(&["run", "experiments/smoke.json", "--quick", "--output"]);
    let done = command.arg(&odd).output().expect("it runs");
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("not valid UTF-8"), "{said}");
    assert_eq!(std::fs::read_dir(&odd).expect("a folder").count(), 0);
    // The experiment's own path is only ever shown.
    let experiment = odd.join("smoke.json");
    std::fs::copy("experiments/smoke.json", &experiment).expect("it can be copied");
    let mut command = rushes(&["run", "--quick", "--output"]);
    let done = command.arg(folder.path()).arg(&experiment).output().expect("it runs");
    assert!(done.status.success(), "{}", text(&done.stderr));
}

#[test]
fn weak_evidence_is_marked_in_report_terminal_and_baseline() {
    let folder = tempfile::tempdir().expect("room for a folder");
    let run = quick_run(folder.path());
    let output = Command::new(env!("CARGO_BIN_EXE_rushes"))
        .args(&run)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the binary starts");
    let weak = "a quick run (`--quick`): short trainings of one seed, few episodes";
    assert!(text(&output.stderr).contains(&format!("Weak evidence: {weak}.")));
    let page = std::fs::read_to_string(text(&output.stdout).trim()).expect("a report");
    assert!(page.contains("Weak evidence: a quick run"), "the report says so too");
    let run = folder.path().join("smoke/latest");
    let baseline = folder.path().join("baseline.json");
    let output = Command::new(env!("CARGO_BIN_EXE_rushes"))
        .args(["baseline", text(run.as_os_str().as_encoded_bytes()).as_str(), "-o"])
        .arg(&baseline)
        .output()
        .expect("the binary starts");
    assert!(output.status.success() && baseline.is_file());
    assert!(
        text(&output.stderr).contains(&format!("warning: weak evidence to compare with: {weak}"))
    );
}

#[test]
fn an_output_that_is_standard_output_holds_what_was_asked_for_alone() {
    let folder = tempfile::tempdir().expect("room for a folder");
    let run = run_smoke(folder.path(), &["--quick"]);
    let run = run.to_str().expect("temporary paths are text");
    for command in ["baseline", "report"] {
        // A plain file, which neither is replaced.
        let path = folder.path().join("out");
        let file = std::fs::File::create(&path).expect("it can be made");
        let done = rushes(&[command, run, "--output", "/dev/stdout"])
            .stdout(file)
            .output()
            .expect("it runs");
        let (written, told) = (std::fs::read_to_string(&path).expect("a file"), text(&done.stderr));
        assert!(done.status.success() && told.contains("/dev/stdout"), "{told}");
        match command {
            "baseline" => drop(serde_json::from_str::<Value>(&written).expect("JSON alone")),
            _ => assert!(written.trim_end().ends_with("</html>"), "a page alone"),
        }
    }
}

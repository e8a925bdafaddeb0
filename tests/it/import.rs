//! `rushes import`, on files that the real programs wrote (`tests/import/`) and on broken ones.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rushes::record::Event;
use rushes::results::{PolicyKind, RunData, Summary};
use rushes::store::RunDir;
use tempfile::TempDir;

fn data(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/data");
    folder.join(name).to_str().expect("a path of text").to_owned()
}

fn rushes(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rushes"));
    command.current_dir(folder).args(args).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// A folder to import into.
fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Imports with these arguments; the run and its summary.
fn import(folder: &Path, name: &str, args: &[&str]) -> (RunDir, Summary) {
    let all = [&["import", "--name", name], args].concat();
    let output = rushes(folder, &all);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let run = RunDir::open(&folder.join("output").join(name).join("latest")).expect("a run");
    let summary = RunData::read(&run).expect("a whole run").summary;
    assert!(run.report().is_file() && run.summary().is_file());
    (run, summary)
}

/// What fails, with a message, and leaves nothing behind.
fn refused(folder: &Path, args: &[&str]) -> String {
    let output = rushes(folder, &[&["import", "--name", "x"], args].concat());
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    assert!(!folder.join("output").exists(), "something was written: {message}");
    message
}

#[test]
fn logs_of_stable_baselines_become_a_run() {
    let folder = folder();
    let (run, summary) = import(folder.path(), "sb3", &[&data("sb3")]);
    assert_eq!(summary.environment, "CartPole-v1");
    let [ppo] = &summary.agents[..] else { panic!("one agent") };
    assert_eq!((ppo.name.as_str(), ppo.policy, ppo.learns), ("ppo", PolicyKind::Imported, true));
    assert_eq!(ppo.seeds.iter().map(|seed| seed.seed).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let first = &ppo.seeds[0];
    // EvalCallback played five episodes, eight times.
    assert_eq!((first.final_returns.len(), first.final_lengths.len()), (5, 5));
    assert_eq!(first.evaluations.len(), 8);
    // Two copies of the environment were monitored.
    let header = std::fs::read_to_string(data("sb3/ppo/0/0.monitor.csv")).expect("a monitor");
    let other = std::fs::read_to_string(data("sb3/ppo/0/1.monitor.csv")).expect("another");
    let episodes = header.lines().count() + other.lines().count() - 4;
    assert_eq!(first.progress.episodes, episodes as u64);
    // What the files do not tell is not in the run.
    let events = run.trial(&first.trial).events().expect("events").records;
    assert!(
        events
            .iter()
            .all(|record| !matches!(record.event, Event::Episode { truncated: Some(_), .. }))
    );
    assert!(run.info().expect("circumstances").machine.is_empty());
}

/// The verdict on imported runs is that on runs of our own with the same returns.
#[test]
fn imported_runs_are_checked_as_any_other() {
    let folder = folder();
    let here = folder.path();
    import(here, "good", &[&data("sb3")]);
    import(here, "bad", &[&data("sb3-bad")]);
    let baseline = rushes(here, &["baseline", "output/good/latest", "-o", "good.json"]);
    assert_eq!(baseline.status.code(), Some(0), "{}", text(&baseline.stderr));
    let check = |args: &[&str]| {
        let output = rushes(here, &[&["check"], args].concat());
        (output.status.code(), text(&output.stdout))
    };
    let (code, said) = check(&["output/bad/latest", "--baseline", "good.json"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("regressed: ppo, return: fell by"), "{said}");
    let (code, said) = check(&["output/good/latest", "--baseline", "good.json", "--same"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("verdict: same (2 same)"), "{said}");
    // Another run stands in for a baseline.
    let (code, said) = check(&["output/bad/latest", "--baseline", "output/good/latest", "--same"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("different: ppo, return: worse by"), "{said}");

    let checked =
        rushes(here, &["import", &data("sb3-bad"), "--name", "once", "--check", "good.json"]);
    assert_eq!(checked.status.code(), Some(1), "{}", text(&checked.stderr));
    assert!(text(&checked.stdout).contains("verdict: regressed"));
    let nothing = rushes(here, &["run", "--resume=output/bad/latest"]);
    assert_eq!(nothing.status.code(), Some(2));
    let message = text(&nothing.stderr);
    assert!(message.contains("was imported"), "{message}");
}

#[test]
fn cleanrls_event_files_are_told_by_their_names() {
    let folder = folder();
    let (_, summary) = import(folder.path(), "cleanrl", &[&data("cleanrl")]);
    assert_eq!(summary.environment, "CartPole-v1");
    let [ppo] = &summary.agents[..] else { panic!("one agent") };
    assert_eq!(ppo.seeds.iter().map(|seed| seed.seed).collect::<Vec<_>>(), [1, 2, 3]);
    // There was no evaluation: the last tenth of the training returns stands for it, alike for all seeds.
    let played: Vec<_> = ppo.seeds.iter().map(|seed| seed.progress.episodes).collect();
    let last = *played.iter().min().expect("seeds") as usize / 10;
    assert!(ppo.seeds.iter().all(|seed| seed.final_returns.len() == last), "{played:?}");
    assert!(ppo.seeds.iter().all(|seed| seed.training_seconds > 0.0));
}

/// RLlib tells means, its file the environment and the seed; what TensorBoard has of the same training is not read.
#[test]
fn rllibs_results_are_means() {
    let folder = folder();
    let (run, summary) = import(folder.path(), "rllib", &[&data("rllib")]);
    assert_eq!(summary.environment, "CartPole-v1");
    let [ppo] = &summary.agents[..] else { panic!("one agent") };
    assert_eq!((ppo.name.as_str(), ppo.curve_window), ("PPO", 1));
    assert_eq!(ppo.seeds.iter().map(|seed| seed.seed).collect::<Vec<_>>(), [1, 2, 3]);
    let first = &ppo.seeds[0];
    assert_eq!((first.progress.steps, first.curve.len(), first.evaluations.len()), (8_000, 8, 4));
    assert_eq!(first.final_returns.len(), 1, "the mean of the last evaluation");
    let page = std::fs::read_to_string(run.report()).expect("a page");
    assert!(page.contains("training returns are means over episodes"));
    // How many episodes those means are over is not told, so that nobody calls them few.
    assert!(!page.contains("evaluations of only"));
}

/// Writes a file below `folder`.
fn put(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
    std::fs::write(&path, content).expect("a writable folder");
    path
}

#[test]
fn tables_may_hold_everything_at_once() {
    let folder = folder();
    let here = folder.path();
    let mut table = "env,agent,seed,step,return\n".to_owned();
    for (env, agent) in [("CartPole-v1", "a"), ("CartPole-v1", "b"), ("Acrobot-v1", "a")] {
        for seed in 0..3 {
            for step in 1..=20 {
                table.push_str(&format!("{env},{agent},{seed},{},{}\n", step * 100, seed + step));
            }
        }
    }
    put(here, "all.csv", &table);
    let (_, summary) = import(here, "all", &["all.csv"]);
    let names: Vec<_> = summary.agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["Acrobot-v1/a", "CartPole-v1/a", "CartPole-v1/b"]);
    assert!(summary.agents.iter().all(|agent| agent.seeds.len() == 3));

    let (_, summary) = import(here, "evaluations", &["all.csv", "--as-evaluations"]);
    assert!(summary.agents.iter().all(|agent| agent.seeds[0].final_returns.len() == 1));
}

#[test]
fn nothing_is_written_before_it_is_understood() {
    let folder = folder();
    let here = folder.path();
    let logs = data("sb3");
    let output = rushes(here, &["import", &logs, "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("CartPole-v1  ppo    4") && said.contains("last evaluation"), "{said}");
    assert!(!here.join("output").exists());

    let monitor = std::fs::read_to_string(data("sb3/ppo/0/0.monitor.csv")).expect("a monitor");
    let npz = std::fs::read(data("sb3/ppo/0/evaluations.npz")).expect("evaluations");
    let cleanrl =
        std::fs::read_dir(data("cleanrl")).expect("runs").flatten().next().expect("a run").path();
    let events =
        std::fs::read_dir(&cleanrl).expect("a run").flatten().next().expect("a file").path();
    let events = std::fs::read(events).expect("events");
    let named = "CartPole-v1__ppo__1__17/events.out.tfevents.1";
    let mut flipped = events.clone();
    flipped[events.len() / 2] ^= 0x20;
    let cases: [(&str, Vec<u8>, &str); 13] = [
        ("a/0/monitor.csv", Vec::new(), "expected the `#{"),
        ("a/0/monitor.csv", b"r,l,t\n1,2,3\n".to_vec(), "expected the `#{"),
        (
            "a/0/monitor.csv",
            b"#{\"t_start\": 0, \"env_id\": \"X-v0\"}\nr,l,t\n".to_vec(),
            "has no returns",
        ),
        ("a/0/monitor.csv", b"#{\"t_start\": 0}\nr,l,t\n1,2,3\n".to_vec(), "--environment ID"),
        ("a/0/monitor.csv", monitor.replace(",", ";").into_bytes(), "monitor.csv line"),
        (
            "a/0/monitor.csv",
            format!("{monitor}nan,1,2\n").into_bytes(),
            "a finite number as return",
        ),
        ("a/0/monitor.csv", format!("{monitor}1,-1,2\n").into_bytes(), "a whole number of steps"),
        ("a/0/evaluations.npz", npz[..npz.len() / 2].to_vec(), "evaluations.npz"),
        ("a/0/evaluations.npz", b"PK\x03\x04 no archive".to_vec(), "evaluations.npz"),
        (named, flipped, "is not what was written"),
        (
            named,
            b"no event file, but long enough to look".to_vec(),
            "expected a record of TensorBoard",
        ),
        ("a/0/result.json", b"{\"return\": 1, \"step\": 2}\n[]\n".to_vec(), "expected an object"),
        ("a/0/table.parquet", b"PAR1 or not".to_vec(), "table.parquet"),
    ];
    for (name, content, expected) in cases {
        let logs = tempfile::tempdir().expect("a folder");
        put(logs.path(), name, &content);
        let message = refused(here, &[logs.path().to_str().expect("text")]);
        assert!(message.contains(expected), "{name}: {message}");
        // The file, or all that was looked at.
        let file = name.rsplit('/').next().expect("a name");
        assert!(message.contains(file), "{name}: {message}");
    }
    // A program that was killed leaves half a line, or half a record.
    let logs = tempfile::tempdir().expect("a folder");
    let cut = &monitor[..monitor.trim_end().rfind(',').expect("a line")];
    put(logs.path(), "a/0/monitor.csv", cut);
    put(logs.path(), named.replace("ppo", "b").as_str(), &events[..events.len() - 3]);
    let output = rushes(here, &["import", logs.path().to_str().expect("text"), "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(said.contains("the last line is cut off") && said.contains("it is cut off"), "{said}");
}

#[test]
fn files_that_are_mixed_up_are_not_guessed_at() {
    let here = folder();
    let logs = tempfile::tempdir().expect("a folder");
    let root = logs.path().to_str().expect("text");
    let monitor = |id: &str| format!("#{{\"t_start\": 0, \"env_id\": \"{id}\"}}\nr,l,t\n1,2,3\n");
    put(logs.path(), "x/a/monitor.csv", monitor("CartPole-v1"));
    put(logs.path(), "x/b/monitor.csv", monitor("CartPole-v1"));
    let message = refused(here.path(), &[root, "--agent", "one"]);
    assert!(message.contains("nothing in these paths tells the seed"), "{message}");

    put(logs.path(), "y/one_1/monitor.csv", monitor("CartPole-v1"));
    put(logs.path(), "y/again/one_1/monitor.csv", monitor("CartPole-v1"));
    let message = refused(here.path(), &[&format!("{root}/y")]);
    assert!(message.contains("both say that they are seed 1 of one"), "{message}");

    let message = refused(here.path(), &[&format!("{root}/{{agent}}/none/{{seed}}")]);
    assert!(message.contains("fits the pattern"), "{message}");
    let message = refused(here.path(), &[&format!("{root}/missing")]);
    assert!(message.contains("there is no such file or folder"), "{message}");

    put(logs.path(), "z/1/t.csv", "step,return\n10,1\n5,1\n");
    let message = refused(here.path(), &[&format!("{root}/z"), "--environment", "X-v0"]);
    assert!(message.contains("steps go back from 10 to 5"), "{message}");
    put(logs.path(), "v/a\nb/1/t.csv", "step,return\n10,1\n");
    let message = refused(here.path(), &[&format!("{root}/v"), "--environment", "X-v0"]);
    assert!(message.contains(r"found a\nb"), "{message}");
    // Names become directories, and words on a page.
    put(logs.path(), "w/1/t.csv", "agent,env,step,return\n../../<b>,../x,10,1\n");
    let (run, summary) = import(here.path(), "hostile", &[&format!("{root}/w")]);
    assert!(run.path().starts_with(here.path().canonicalize().expect("a folder")));
    assert_eq!(summary.agents[0].name, "../../<b>");
    let page = std::fs::read_to_string(run.report()).expect("a page");
    assert!(!page.contains("../../<b>"));
}

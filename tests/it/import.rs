//! `rushes import`, on files that the real programs wrote (`tests/import/`) and on broken ones.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rushes::event_file::EventFile;
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
    // Evaluated after every third iteration; the lines between repeat it.
    assert_eq!((first.progress.steps, first.curve.len()), (8_000, 8));
    assert_eq!(first.evaluations.steps, [3_000, 6_000]);
    assert_eq!(first.final_returns, [103.6]);
    let page = std::fs::read_to_string(run.report()).expect("a page");
    assert!(page.contains("training returns are means over episodes"));
    // How many episodes those means are over is not told, so that nobody calls them few.
    assert!(!page.contains("evaluations of only"));
}

/// Ray's event files number their points by iterations; the steps stand beside them, and evaluations are repeated there too.
#[test]
fn rays_event_files_tell_steps_too() {
    let folder = folder();
    let trial = data("rllib/PPO_CartPole-v1_982a3_00000_0_seed=1_2026-11-27_17-47-20");
    let events = format!("{trial}/events.out.tfevents.1795801649.vm");
    let (_, summary) = import(folder.path(), "tb", &[&events]);
    let [seed] = &summary.agents[0].seeds[..] else { panic!("one seed") };
    assert_eq!((seed.progress.steps, seed.curve.len()), (8_000, 8));
    assert_eq!(seed.evaluations.steps, [3_000, 6_000]);
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
            "they have no returns",
        ),
        ("a/0/monitor.csv", b"#{\"t_start\": 0}\nr,l,t\n1,2,3\n".to_vec(), "--environment ID"),
        ("a/0/monitor.csv", monitor.replace(",", ";").into_bytes(), "monitor.csv line"),
        (
            "a/0/monitor.csv",
            format!("{monitor}nan,1,2\n").into_bytes(),
            "a finite number as return",
        ),
        (
            "a/0/monitor.csv",
            format!("{monitor}1,-1,2\n").into_bytes(),
            "a whole number as length, from 0 to 9e15, found -1",
        ),
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

/// Monitor's file of an environment with these rows of return, length and seconds.
fn monitor(id: &str, rows: &[(f64, u64, f64)]) -> String {
    let lines = rows.iter().map(|(r, l, t)| format!("{r},{l},{t}\n"));
    format!("#{{\"t_start\": 0, \"env_id\": \"{id}\"}}\nr,l,t\n{}", lines.collect::<String>())
}

/// A Monitor of ten episodes with this return.
fn steady(r#return: f64) -> String {
    monitor("CartPole-v1", &[(r#return, 10, 1.0); 10])
}

/// What `--dry-run` shows, and its notes.
fn found(folder: &Path, args: &[&str]) -> (String, String) {
    let output = rushes(folder, &[&["import", "--dry-run"], args].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// The agents that were found, with their seeds.
fn seeds(shown: &str) -> Vec<(String, u64)> {
    let rows = shown.lines().skip(1).filter(|line| !line.starts_with(' '));
    let words = rows.map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.map(|words| (words[1].to_owned(), words[2].parse().expect("a seed"))).collect()
}

#[test]
fn hyperparameters_are_not_pooled_as_seeds() {
    let folder = folder();
    let here = folder.path();
    for (place, name) in ["ppo_lr=0.1", "ppo_lr=0.2", "ppo_lr=0.3"].iter().enumerate() {
        put(here, &format!("lr/{name}/monitor.csv"), steady(place as f64));
    }
    let (shown, notes) = found(here, &["lr"]);
    let own = |name: &str| (name.to_owned(), 0);
    assert_eq!(seeds(&shown), [own("ppo_lr=0.1"), own("ppo_lr=0.2"), own("ppo_lr=0.3")]);
    assert!(notes.contains("ppo_lr=0.2: no seed is told"), "{notes}");

    // What may be a seed is told.
    put(here, "hid/hidden_64/monitor.csv", steady(1.0));
    put(here, "hid/hidden_128/monitor.csv", steady(2.0));
    let (shown, notes) = found(here, &["hid"]);
    assert_eq!(seeds(&shown), [("hidden".to_owned(), 64), ("hidden".to_owned(), 128)]);
    assert!(notes.contains("taken as seeds (64 of hidden_64, 128 of hidden_128)"), "{notes}");
    assert!(notes.contains("'logs/{agent}/{seed}'"), "{notes}");
    // A folder that is a number is one.
    let (_, notes) = found(here, &[&data("sb3/ppo")]);
    assert!(!notes.contains("taken as seeds"), "{notes}");

    put(here, "ts/PPO_20261127_123000/monitor.csv", steady(1.0));
    put(here, "ts/PPO_20261127_124500/monitor.csv", steady(2.0));
    let message = refused(here, &["ts"]);
    assert!(message.contains("nothing in these paths tells the seed"), "{message}");
}

#[test]
fn several_paths_keep_their_agents() {
    let folder = folder();
    let here = folder.path();
    for path in ["dqn/2", "dqn/3", "ppo/0", "ppo/1"] {
        put(here, &format!("two/{path}/monitor.csv"), steady(1.0));
    }
    let paths = ["two/dqn/2", "two/dqn/3", "two/ppo/0", "two/ppo/1"];
    let own = |name: &str, seed| (name.to_owned(), seed);
    let expected = [own("dqn", 2), own("dqn", 3), own("ppo", 0), own("ppo", 1)];
    assert_eq!(seeds(&found(here, &paths).0), expected);
    let files = paths.map(|path| format!("{path}/monitor.csv"));
    let again = [&files[..], &["two/ppo".to_owned()]].concat();
    let named: Vec<&str> = again.iter().map(String::as_str).collect();
    assert_eq!(seeds(&found(here, &named).0), expected, "a file that is named twice is read once");

    let each: Vec<String> = (0..5).map(|seed| data(&format!("sb3/ppo/{seed}"))).collect();
    let each: Vec<&str> = each.iter().map(String::as_str).collect();
    let output = rushes(here, &[&["import"], &each[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let run = RunDir::open(&here.join("output/ppo/latest")).expect("a run called as the folder");
    let summary = RunData::read(&run).expect("a whole run").summary;
    assert_eq!((summary.agents[0].name.as_str(), summary.agents[0].seeds.len()), ("ppo", 5));
}

/// TensorBoard's scalars, a return at each of these steps.
fn events(tag: &str, points: &[(u64, f64)]) -> Vec<u8> {
    let mut file = EventFile::new(1_700_000_000.0 + points[0].0 as f64);
    for (step, value) in points {
        file.scalar(1_700_000_000.0 + *step as f64, *step, tag, *value);
    }
    file.finish()
}

/// Stable-Baselines3 numbers its runs from 1, whatever the seeds are.
#[test]
fn run_numbers_of_other_folders_are_no_seeds() {
    let folder = folder();
    let here = folder.path();
    for seed in 0..5 {
        put(here, &format!("mix/ppo/{seed}/monitor.csv"), steady(f64::from(seed)));
        let tb = events("eval/mean_reward", &[(50, 100.0 + f64::from(seed))]);
        put(here, &format!("mix/tb/ppo_{}/events.out.tfevents.1", seed + 1), tb);
    }
    let (shown, notes) = found(here, &["mix"]);
    assert_eq!(seeds(&shown).len(), 5, "{shown}");
    assert!(!shown.contains("last evaluation"), "{shown}");
    assert!(notes.contains("need not be the seeds of the other files"), "{notes}");
    // Who says that they are the same is believed, and a folder's seed counts for those in it.
    put(here, "same/logs/ppo_3/monitor.csv", steady(1.0));
    put(here, "same/tb/ppo_3/events.out.tfevents.1", events("eval/mean_reward", &[(50, 7.0)]));
    let (shown, _) = found(here, &["same"]);
    assert!(shown.contains("1 (last training return)"), "{shown}");
    let (shown, _) = found(here, &["same/*/{agent}_{seed}"]);
    assert!(shown.contains("7 (last evaluation)"), "{shown}");
    put(here, "own/seed_3/monitor.csv", steady(1.0));
    put(here, "own/seed_3/PPO_1/events.out.tfevents.1", events("eval/mean_reward", &[(50, 7.0)]));
    let (shown, _) = found(here, &["own"]);
    assert!(shown.contains("7 (last evaluation)"), "{shown}");
    assert_eq!(seeds(&shown), [("own".to_owned(), 3)]);
}

#[test]
fn films_belong_to_the_files_around_them() {
    let folder = folder();
    let here = folder.path();
    let film = ["play", "--random", "--env", "CartPole-v1", "--episodes", "1", "--video", "f.mp4"];
    assert_eq!(rushes(here, &film).status.code(), Some(0));
    let film = std::fs::read(here.join("f.mp4")).expect("a film");
    let trials = std::fs::read_dir(data("rllib")).expect("trials").flatten();
    for trial in trials {
        let name = trial.file_name().into_string().expect("text");
        let lines = std::fs::read(trial.path().join("result.json")).expect("a result");
        put(here, &format!("rl/{name}/result.json"), lines);
        if name.contains("seed=3") {
            put(here, &format!("rl/{name}/rl-video-step-3000.mp4"), &film);
            put(here, &format!("rl/{name}/rl-video-episode-3.mp4"), &film);
        }
    }
    let (run, summary) = import(here, "rl", &["rl"]);
    // Tune counts its trials from 0; the file says that the seed of this one is 3.
    let takes = |seed: usize| {
        run.trial(&summary.agents[0].seeds[seed].trial).result().expect("a result").takes
    };
    assert_eq!([0, 1, 2].map(|seed| takes(seed).len()), [0, 0, 1]);
    let output = rushes(here, &["import", "--dry-run", "rl"]);
    let notes = text(&output.stderr);
    assert!(notes.contains("at which step the episodes of one copy"), "{notes}");

    let rows: Vec<_> = (0..10).map(|n| (f64::from(n), 10, f64::from(n))).collect();
    put(here, "one/1/monitor.csv", monitor("CartPole-v1", &rows));
    for name in ["rl-video-episode-4", "rl-video-episode-99", "best"] {
        put(here, &format!("one/1/videos/{name}.mp4"), &film);
    }
    let (run, summary) = import(here, "one", &["one"]);
    let result = run.trial(&summary.agents[0].seeds[0].trial).result().expect("a result");
    let [take] = &result.takes[..] else { panic!("one film: {:?}", result.takes) };
    assert_eq!(take.take.returns, [4.0], "the fifth episode's");
    let (_, notes) = found(here, &["one"]);
    assert!(notes.contains("tell no step and no episode: one/1/videos/best.mp4"), "{notes}");
    assert!(notes.contains("after the last one of the logs"), "{notes}");
}

#[test]
fn trainings_that_were_killed_are_told() {
    let folder = folder();
    let here = folder.path();
    for seed in 0..4 {
        put(here, &format!("k/{seed}/monitor.csv"), steady(1.0));
    }
    put(here, "k/4/monitor.csv", monitor("CartPole-v1", &[(1.0, 10, 1.0); 4]));
    let (_, notes) = found(here, &["k"]);
    assert!(notes.contains("seed 4 ends before 90 steps"), "{notes}");
    let (run, _) = import(here, "k", &["k"]);
    let page = std::fs::read_to_string(run.report()).expect("a page");
    assert!(page.contains("1 of 5 trainings of k ended before 90 steps"));
}

#[test]
fn every_seed_has_the_score() {
    let folder = folder();
    let here = folder.path();
    let tb = |value| events("eval/mean_reward", &[(50, value)]);
    put(here, "s/seed_0/events.out.tfevents.1", tb(1.0));
    put(here, "s/seed_1/monitor.csv", steady(2.0));
    let message = refused(here, &["s", "--environment", "CartPole-v1"]);
    assert!(
        message.contains("seed 1 has no evaluation and seed 0 no training returns"),
        "{message}"
    );
    put(here, "s/seed_0/monitor.csv", steady(3.0));
    let (shown, notes) = found(here, &["s"]);
    assert!(shown.contains("3 (last training return)"), "{shown}");
    assert!(notes.contains("seed 1 has no evaluation, so that the score of every seed"), "{notes}");

    let (shown, notes) = found(here, &["s", "--last", "1000"]);
    assert!(shown.contains("(last 10 training returns)"), "{shown}");
    assert!(notes.contains("has only 10 returns; --last 1000 takes those"), "{notes}");
    put(here, "e/1/events.out.tfevents.1", tb(1.0));
    let message = refused(here, &["e", "--environment", "X-v0", "--last", "3"]);
    assert!(message.contains("--last takes training returns, and seed 1 has none"), "{message}");
}

#[test]
fn environments_may_have_a_namespace() {
    let folder = folder();
    let here = folder.path();
    for seed in [1, 2] {
        let name = format!("runs/ALE/Pong-v5__ppo_atari__{seed}__17000/events.out.tfevents.1");
        put(here, &name, events("charts/episodic_return", &[(100, 1.0)]));
    }
    for path in ["runs", "runs/{environment}__{agent}__{seed}__*"] {
        let (shown, _) = found(here, &[path]);
        assert!(shown.contains("ALE/Pong-v5  ppo_atari  1"), "{shown}");
        assert_eq!(seeds(&shown).len(), 2, "{shown}");
    }
}

/// Seconds begin anew where a training went on in the same file.
#[test]
fn a_monitor_that_was_continued_keeps_its_order() {
    let folder = folder();
    let here = folder.path();
    let rows = [(1.0, 10, 1.0), (2.0, 10, 2.0), (3.0, 10, 3.0), (4.0, 10, 0.5), (5.0, 10, 1.5)];
    put(here, "m/1/monitor.csv", monitor("CartPole-v1", &rows));
    let (run, summary) = import(here, "m", &["m"]);
    let records = run.trial(&summary.agents[0].seeds[0].trial).events().expect("events").records;
    let played = records.iter().filter_map(|record| match record.event {
        Event::Episode { r#return, .. } => Some((record.progress.steps, r#return, record.seconds)),
        _ => None,
    });
    let expected = [(10, 1.0, 1.0), (20, 2.0, 2.0), (30, 3.0, 3.0), (40, 4.0, 3.5), (50, 5.0, 4.5)];
    assert_eq!(played.collect::<Vec<_>>(), expected);
}

#[cfg(unix)]
#[test]
fn links_show_nothing_twice() {
    use std::os::unix::fs::symlink;
    let folder = folder();
    let here = folder.path();
    put(here, "l/ppo/3/monitor.csv", steady(1.0));
    put(here, "l/ppo/4/monitor.csv", steady(2.0));
    symlink("4", here.join("l/ppo/latest")).expect("a link");
    symlink("..", here.join("l/ppo/around")).expect("a link");
    symlink("nowhere", here.join("l/ppo/broken")).expect("a link");
    put(here, "outside/monitor.csv", steady(3.0));
    symlink(here.join("outside"), here.join("l/ppo/5")).expect("a link");
    let (shown, notes) = found(here, &["l"]);
    let expected = [3, 4, 5].map(|seed| ("ppo".to_owned(), seed));
    assert_eq!(seeds(&shown), expected, "{shown}");
    assert!(notes.contains("links around their own folder, or to nothing"), "{notes}");
}

/// What cannot be closed leaves no directory behind, and `latest` where it was.
#[test]
fn a_run_is_written_whole_or_not_at_all() {
    let folder = folder();
    let here = folder.path();
    put(here, "b/1/t.csv", "env,step,return\nCartPole-v1,10,1e308\nCartPole-v1,20,1e308\n");
    let message = refused(here, &["b"]);
    assert!(message.contains("t.csv line 2, column `return`"), "{message}");
    assert!(message.contains("between -1e150 and 1e150, found 1e308"), "{message}");
}

#[test]
fn options_without_effect_are_refused() {
    let folder = folder();
    let here = folder.path();
    put(here, "m/1/monitor.csv", steady(1.0));
    let message = refused(here, &["m", "--as-evaluations"]);
    assert!(message.contains("--as-evaluations have no effect"), "{message}");
    let message = refused(here, &["m", "--scalar", "x"]);
    assert!(
        message.contains("`--scalar` takes the same of other files: m/1/monitor.csv"),
        "{message}"
    );
    put(here, "t/1/t.csv", "step,speed\n10,1\n");
    let message = refused(here, &["t", "--scalar", "sped"]);
    assert!(message.contains("no column or scalar `sped`"), "{message}");
    assert!(message.contains("but step, speed"), "{message}");
    let message = refused(here, &["t"]);
    assert!(message.contains("`--scalar NAME` names one of step, speed"), "{message}");
    for option in ["--agent", "--environment"] {
        assert_eq!(rushes(here, &["import", "m", option, ""]).status.code(), Some(3));
    }
}

#[test]
fn files_of_other_purposes_do_not_matter() {
    let folder = folder();
    let here = folder.path();
    put(here, "m/1/monitor.csv", steady(1.0));
    put(here, "m/2/monitor.csv", monitor("CartPole-v1", &[]));
    put(here, "m/3/monitor.csv", "#{\"t_start\": 0, \"env_id\": \"CartPole-v1\"}\n");
    put(here, "m/pending/result.json", "");
    put(here, "m/notes.csv", "who,what\nme,a,b\n");
    put(here, "m/config.jsonl", "{\n \"accuracy\": 3\n}\n");
    let (shown, notes) = found(here, &["m"]);
    assert_eq!(seeds(&shown), [("m".to_owned(), 1)]);
    for file in [
        "m/2/monitor.csv",
        "m/3/monitor.csv",
        "m/pending/result.json",
        "m/notes.csv",
        "m/config.jsonl",
    ] {
        assert!(notes.contains(file), "{file}: {notes}");
    }
}

#[test]
fn tables_may_be_called_by_their_seeds() {
    let folder = folder();
    let here = folder.path();
    for seed in 0..3 {
        let table = "env,step,return\nCartPole-v1,10,1\n";
        put(here, &format!("fs/seed_{seed}.csv"), table);
        put(here, &format!("fs2/dqn_{seed}.csv"), table);
    }
    let own = |name: &str| [0, 1, 2].map(|seed| (name.to_owned(), seed));
    assert_eq!(seeds(&found(here, &["fs"]).0), own("fs"));
    let message = refused(here, &["fs2"]);
    assert!(message.contains("'fs2/{agent}_{seed}.csv'"), "{message}");
    assert_eq!(seeds(&found(here, &["fs2/{agent}_{seed}.csv"]).0), own("dqn"));
}

/// Who goes on from a checkpoint writes anew what was lost.
#[test]
fn what_a_resumed_training_lost_is_left_out() {
    let folder = folder();
    let here = folder.path();
    let name = "tb/ppo_seed_1/events.out.tfevents";
    let tag = "charts/episodic_return";
    put(here, &format!("{name}.1"), events(tag, &[(100, 1.0), (200, 2.0), (300, 3.0)]));
    put(here, &format!("{name}.2"), events(tag, &[(250, 4.0), (350, 5.0)]));
    let args = ["tb", "--environment", "X-v0", "--last", "2"];
    let (shown, notes) = found(here, &args);
    assert!(shown.contains("4.5 (last 2 training returns)"), "{shown}");
    assert!(notes.contains("went on from step 250; 1 return"), "{notes}");
    let line = |step: u64, mean: f64| {
        format!(
            "{{\"training_iteration\": 1, \"timesteps_total\": {step}, \"episode_reward_mean\": {mean}}}\n"
        )
    };
    let lines = [(100, 1.0), (200, 2.0), (300, 3.0), (200, 4.0), (300, 5.0)];
    let lines: String = lines.iter().map(|(step, mean)| line(*step, *mean)).collect();
    put(here, "tune/a_seed_1/result.json", lines);
    let (shown, notes) = found(here, &["tune", "--environment", "X-v0", "--last", "2"]);
    assert!(shown.contains("4.5 (last 2 training returns)"), "{shown}");
    assert!(notes.contains("2 returns left out, as the training went on from before"), "{notes}");
}

#[test]
fn environments_of_one_directory_name_are_refused() {
    let folder = folder();
    let here = folder.path();
    put(here, "t.csv", "env,seed,step,return\na/b,1,10,1\na b,1,10,1\n");
    let message = refused(here, &["t.csv"]);
    assert!(message.contains("would both be called a_b"), "{message}");
    let message = refused(here, &["t.csv", "--environment", "c"]);
    assert!(message.contains("t.csv: some of its trainings are the same"), "{message}");
}

/// The report and the gate say of a run only what is known of it.
#[test]
fn what_is_not_told_is_not_made_up() {
    let folder = folder();
    let here = folder.path();
    for seed in 0..5 {
        put(here, &format!("a/x/{seed}/monitor.csv"), steady(f64::from(seed)));
        put(here, &format!("a/y/{seed}/monitor.csv"), steady(f64::from(seed) + 1.0));
    }
    let (run, _) = import(here, "a", &["a"]);
    let page = std::fs::read_to_string(run.report()).expect("a page");
    for wrong in ["imported.", "evaluation.episodes", "evaluation after training", ">nothing<"] {
        assert!(!page.contains(wrong), "{wrong}");
    }
    assert!(page.contains("Mean return of the last training returns"));

    let (_, _) = import(here, "b", &["a", "--last", "5"]);
    let check = ["check", "output/b/latest", "--baseline", "output/a/latest"];
    let said = text(&rushes(here, &check).stdout);
    assert!(!said.contains("settings hash") && !said.contains("absent"), "{said}");
    assert!(said.contains("the baseline's scores are of the last training return"), "{said}");

    let played = rushes(here, &["play", "output/a/latest", "x"]);
    let message = text(&played.stderr);
    assert!(
        message.contains("was imported: its results are known here, its policy is not"),
        "{message}"
    );
}

/// Of a suite, agents may have scores of other kinds in each environment.
#[test]
fn suites_have_figures_where_their_ranges_are_told() {
    let folder = folder();
    let here = folder.path();
    for seed in 0..3 {
        put(here, &format!("s/A-v0/x/{seed}/t.csv"), "step,return,eval_return\n10,1,5\n20,2,6\n");
        put(here, &format!("s/Bb-v0/x/{seed}/t.csv"), "step,return\n10,3\n20,4\n");
    }
    let args = ["s/{environment}/{agent}/{seed}", "--score", "A-v0=0:10"];
    let message = rushes(here, &[&["import", "--name", "some"], &args[..]].concat());
    let said = format!("{}{}", text(&message.stdout), text(&message.stderr));
    assert!(said.contains("give `--score Bb-v0=RANDOM:REFERENCE` when importing"), "{said}");
    let (run, summary) = import(here, "s", &[&args[..], &["--score", "Bb-v0=0:8"]].concat());
    let scores: Vec<String> = summary.agents.iter().map(|one| one.final_score.words()).collect();
    assert_eq!(scores, ["last evaluation", "last training return"]);
    let page = std::fs::read_to_string(run.report()).expect("a page");
    assert!(page.contains("an interquartile mean of 0.55"));
    let message = refused(
        here.join("s").as_path(),
        &["../s/{environment}/{agent}/{seed}", "--score", "C-v0=0:1"],
    );
    assert!(
        message.contains("expected one of several environments, found A-v0, Bb-v0"),
        "{message}"
    );
}

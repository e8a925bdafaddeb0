//! Trials on other machines: started by hand, interrupted, in shards, and never two at a time.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rushes::record::{Decision, RungEvent, StopReason, TrialStatus};
use rushes::store::TrialDir;

use crate::cli::{essence, failure, output, run_smoke, rushes};
use crate::run::{
    end, long, signal, start_long, trial_of, trials_of, wait_for_checkpoint, wait_for_lock,
};
use crate::search::{assert_same_as_far_as_both_went, decisions};

/// Leases in a trial's directory, which processes that end give back.
fn leases(trial: &Path) -> usize {
    let entries = std::fs::read_dir(trial).unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().contains(".lease-")).count()
}

#[test]
fn trials_by_hand_equal_those_of_a_run() {
    let directory = tempfile::tempdir().unwrap();
    let whole = run_smoke(directory.path(), &[]);
    let copy = directory.path().join("by hand");
    let mut arguments = vec!["trials".to_owned()];
    for (trial, ..) in essence(&whole) {
        let own = copy.join("trials").join(&trial);
        std::fs::create_dir_all(&own).unwrap();
        std::fs::copy(whole.join("trials").join(&trial).join("trial.json"), own.join("trial.json"))
            .unwrap();
        arguments.push(own.to_str().unwrap().to_owned());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = output(&arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(essence(&copy), essence(&whole));
    let (code, stderr) = failure(&["trials", directory.path().to_str().unwrap()]);
    assert!(code == 2 && stderr.contains("is not a trial's directory"), "{stderr}");
}

#[test]
fn a_trial_that_is_told_to_leave_does_so_at_a_checkpoint_and_goes_on_elsewhere() {
    let whole = tempfile::tempdir().unwrap();
    assert!(start_long(whole.path(), false).wait().unwrap().success());
    let moved = tempfile::tempdir().unwrap();
    let trial = trial_of(moved.path());
    let mut run = start_long(moved.path(), false);
    wait_for_checkpoint(&trial, 2);
    run.kill().unwrap();
    run.wait().unwrap();
    wait_for_lock(&trial);
    let directory = trial.to_str().unwrap();
    let arguments = ["trials", directory, "--grace=60", "--attempt=first"];
    let mut there = rushes(&arguments).stderr(Stdio::null()).spawn().unwrap();
    wait_for_checkpoint(&trial, 6);
    // As schedulers do, to every process of the job.
    trials_of(&there).iter().for_each(|trial| signal("TERM", trial));
    signal("TERM", &there.id().to_string());
    assert_eq!(there.wait().unwrap().code(), Some(143));
    let dir = TrialDir::new(trial.clone());
    assert_eq!(dir.attempt("first"), Some(TrialStatus::Interrupted));
    assert_eq!(dir.attempt("second"), None);
    assert_eq!(leases(&trial), 0);
    assert!(!dir.finished());
    // It left with the checkpoint that it wrote last: nothing of its log is to be trained again.
    let last = dir.events().unwrap().records.pop().unwrap();
    assert!(matches!(last.event, rushes::record::Event::Checkpoint { .. }), "{last:?}");
    assert!(start_long(moved.path(), true).wait().unwrap().success());
    let run = |directory: &Path| essence(&directory.join("smoke/latest"));
    assert_eq!(run(moved.path()), run(whole.path()));
}

#[test]
fn what_another_machine_works_on_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let run = run_smoke(directory.path(), &["--quick", "--set", "seeds=[3]"]);
    let trial = run.join("trials/reinforce--s3");
    for (directory, name, arguments) in [
        (&trial, "trial", vec!["trial".to_owned(), trial.display().to_string()]),
        (&run, "run", vec!["run".to_owned(), format!("--resume={}", run.display())]),
    ] {
        let lease = directory.join(format!("{name}.lease-1"));
        let write = |beats: u64| {
            let text = format!(
                "{{\"host\":\"elsewhere\",\"boot\":\"b\",\"process\":7,\"id\":1,\"beats\":{beats}}}"
            );
            std::fs::write(&lease, text).unwrap();
        };
        write(0);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let waiting = rushes(&arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut beats = 0;
        let mut waiting = Some(waiting);
        let output = loop {
            sleep(Duration::from_millis(200));
            beats += 1;
            write(beats);
            if waiting.as_mut().unwrap().try_wait().unwrap().is_some() {
                break waiting.take().unwrap().wait_with_output().unwrap();
            }
        };
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(75), "{stderr}");
        assert!(stderr.contains("process 7 on elsewhere"), "{stderr}");
        std::fs::remove_file(&lease).unwrap();
    }
}

#[test]
fn a_trial_of_another_machine_is_not_prepared_for_an_attempt() {
    let directory = tempfile::tempdir().unwrap();
    let run = run_smoke(directory.path(), &["--quick", "--set", "seeds=[3]"]);
    let whole = essence(&run);
    let trial = run.join("trials/reinforce--s3");
    let (exit, lease) = (trial.join("exit.json"), trial.join("trial.lease-1"));
    let resume = format!("--resume={}", run.display());
    let slurm = FakeSlurm::new();
    for engine in ["local", "slurm"] {
        std::fs::remove_file(trial.join("result.json")).unwrap();
        TrialDir::new(trial.clone()).write_exit("its node was lost".to_owned()).unwrap();
        let write = |beats: u64| {
            let text = format!(
                "{{\"host\":\"elsewhere\",\"boot\":\"b\",\"process\":7,\"id\":1,\"beats\":{beats}}}"
            );
            std::fs::write(&lease, text).unwrap();
        };
        write(0);
        let mut resumed = match engine {
            "local" => rushes(&["run", &resume]),
            _ => slurm.command(&["run", &resume]),
        };
        let said = directory.path().join("said");
        let stderr = std::fs::File::create(&said).unwrap();
        let mut resumed = resumed.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let mut beats = 0;
        // What it says on the first look, and a while for what it would do then.
        let mut after = 0;
        while exit.exists() && after < 10 {
            assert!(resumed.try_wait().unwrap().is_none(), "{engine} did not wait");
            sleep(Duration::from_millis(200));
            beats += 1;
            write(beats);
            let said = std::fs::read_to_string(&said).unwrap();
            after += usize::from(said.contains("process 7 on elsewhere still works in"));
        }
        assert!(exit.exists(), "{engine} changed what another machine works on");
        std::fs::remove_file(&lease).unwrap();
        let ended = resumed.wait().unwrap();
        assert!(ended.success(), "{engine}: {}", std::fs::read_to_string(&said).unwrap());
        assert_eq!(essence(&run), whole);
        assert!(!exit.exists());
    }
}

/// The runs of shards of `experiments/smoke.json`, each with an output directory of its own, as on machines that know
/// nothing of one another.
fn shards(directory: &Path, of: usize) -> Vec<String> {
    let shard = |number| {
        let own = directory.join(format!("machine-{number}"));
        let run = run_smoke(&own, &[&format!("--shard={number}/{of}")]);
        assert!(!own.join("history.sqlite").exists(), "a part of an experiment is no run of it");
        run.display().to_string()
    };
    (1..=of).map(shard).collect()
}

/// A summary without what the clock decides.
fn summary(run: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(run.join("summary.json")).unwrap();
    let mut summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    strip_clock(&mut summary);
    summary
}

fn strip_clock(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.retain(|name, _| {
                !["run", "started", "finished", "training_seconds", "seconds"].contains(&&**name)
                    && !name.contains("per_second")
                    && !name.contains("memory")
            });
            fields.values_mut().for_each(strip_clock);
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(strip_clock),
        _ => {}
    }
}

#[test]
fn merged_shards_equal_the_whole_run() {
    let directory = tempfile::tempdir().unwrap();
    let whole = run_smoke(&directory.path().join("whole"), &[]);
    let shards = shards(directory.path(), 3);
    let merged = directory.path().join("merged");
    let baseline = directory.path().join("baseline.json").display().to_string();
    let whole_path = whole.display().to_string();
    assert!(output(&["baseline", &whole_path, "-o", &baseline]).status.success());
    let mut arguments = vec!["merge", "--output", merged.to_str().unwrap(), "--check", &baseline];
    // In whatever order.
    arguments.extend(shards.iter().rev().map(String::as_str));
    // A glob finds `latest` too.
    let latest = directory.path().join("machine-1/smoke/latest").display().to_string();
    arguments.push(&latest);
    let done = output(&arguments);
    let (stdout, stderr) =
        (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let checked = output(&["check", &whole_path, "--baseline", &baseline]);
    assert_eq!(done.status.code(), checked.status.code(), "{stderr}");
    let run = merged.join("smoke/latest");
    let name = |run: &Path| run.canonicalize().unwrap().file_name().unwrap().to_owned();
    let verdict = String::from_utf8_lossy(&checked.stdout).replacen(
        name(&whole).to_str().unwrap(),
        name(&run).to_str().unwrap(),
        1,
    );
    assert!(stdout.ends_with(&verdict), "{stdout}\n{verdict}");
    assert_eq!(essence(&run), essence(&whole));
    assert_eq!(summary(&run), summary(&whole));
    let plans = [&run, &whole].map(|run| std::fs::read(run.join("plan.json")).unwrap());
    assert!(plans[0] == plans[1], "the plan says nothing of shards");
    assert!(merged.join("history.sqlite").is_file());
    for film in ["before.mp4", "after.mp4"] {
        assert!(run.join("trials/reinforce--s0").join(film).is_file(), "{film}");
    }
    // It is a run like all others: nothing is left to do.
    let resumed = output(&["run", &format!("--resume={}", run.display())]);
    assert!(!String::from_utf8_lossy(&resumed.stderr).contains("started"));
    assert_eq!(essence(&run), essence(&whole));
}

#[test]
fn what_does_not_make_a_whole_run_is_not_merged() {
    let directory = tempfile::tempdir().unwrap();
    let shards = shards(directory.path(), 2);
    let (first, second) = (shards[0].as_str(), shards[1].as_str());
    let output = directory.path().join("merged");
    let refused = |runs: &[&str]| {
        let arguments = [&["merge", "--output", output.to_str().unwrap()], runs].concat();
        let (code, stderr) = failure(&arguments);
        assert_eq!(code, 2, "{stderr}");
        stderr
    };
    assert!(refused(&[first]).contains("there is no run of shard 2/2"));
    let copy = directory.path().join("copy").display().to_string();
    assert!(Command::new("cp").args(["-r", first, &copy]).status().unwrap().success());
    assert!(refused(&[first, second, &copy]).contains("shard 1/2 is there twice"));
    let other = run_smoke(
        &directory.path().join("other"),
        &["--shard=2/2", "--set", "evaluation.episodes=3"],
    );
    let message = refused(&[first, other.to_str().unwrap()]);
    assert!(
        message.contains("evaluation.episodes: ") && message.contains("different"),
        "{message}"
    );
    let whole = run_smoke(&directory.path().join("whole"), &["--quick"]);
    assert!(refused(&[first, whole.to_str().unwrap()]).contains("is no shard but a whole run"));
    let trials = Path::new(second).join("trials");
    let trial = std::fs::read_dir(&trials).unwrap().next().unwrap().unwrap();
    std::fs::remove_file(trial.path().join("result.json")).unwrap();
    let message = refused(&[first, second]);
    let expected = format!("{} is not over in {second}", trial.file_name().to_string_lossy());
    assert!(message.contains(&expected) && message.contains("--resume="), "{message}");
    assert!(!output.join("smoke/latest").exists());
    let search = "search={\"parameters\":{\"agents.reinforce.training.algorithm.learning_rate\":{\"grid\":[0.1,0.2]}}}";
    let arguments =
        ["run", "experiments/smoke.json", "--shard=1/2", "--set", search, "--output", first];
    let (code, stderr) = failure(&arguments);
    assert!(code == 2 && stderr.contains("cannot be run in shards"), "{stderr}");
    // It goes on as the shard that it is.
    let resume = format!("--resume={second}");
    assert_eq!(failure(&["run", &resume]).0, 0);
    let (code, stderr) = failure(&["merge", "--output", output.to_str().unwrap(), first, second]);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn a_shard_that_has_none_of_the_trials_that_only_names_runs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().to_str().unwrap();
    let shard = |number: usize, only: &str| {
        let shard = format!("--shard={number}/2");
        failure(&["run", "experiments/smoke.json", "--output", output, &shard, "--only", only])
    };
    let without = |number| shard(number, "random/0").1.contains("there is nothing to run");
    let (has, has_not) = if without(1) { (2, 1) } else { (1, 2) };
    let (code, stderr) = shard(has_not, "random/0");
    assert!(code == 0 && stderr.contains(&format!("other shards than {has_not}/2")), "{stderr}");
    assert!(!without(has));
    let (code, stderr) = shard(has, "nobody");
    assert!(code == 2 && stderr.contains("no trial is called `nobody`"), "{stderr}");
}

/// A folder with what stands for Slurm's commands, which keep in it what they know.
struct FakeSlurm(tempfile::TempDir);

impl FakeSlurm {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slurm/fake");
        for command in ["sbatch", "squeue", "scancel", "scontrol"] {
            std::os::unix::fs::symlink(&fake, folder.path().join(command)).unwrap();
        }
        Self(folder)
    }

    /// `rushes run` of `experiments/smoke.json` with this Slurm.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = rushes(arguments);
        command.args(["--engine=slurm", "--engine-option=poll=1"]);
        let path = format!("{}:{}", self.0.path().display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).env("FAKE_SLURM", self.0.path());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn run(&self, output: &Path, more: &[&str]) -> (i32, String) {
        let mut arguments = vec!["run", "experiments/smoke.json", "--output"];
        arguments.push(output.to_str().unwrap());
        arguments.extend(more);
        let done = self.command(&arguments).output().unwrap();
        (done.status.code().unwrap(), String::from_utf8_lossy(&done.stderr).into_owned())
    }

    /// Starts [`long`] as its jobs.
    fn start_long(&self, directory: &Path) -> Child {
        let local = long(directory, false);
        let arguments: Vec<&str> = local.get_args().map(|word| word.to_str().unwrap()).collect();
        self.command(&arguments).spawn().unwrap()
    }

    /// What `scancel` and `scontrol` were called with.
    fn told(&self) -> String {
        std::fs::read_to_string(self.0.path().join("told")).unwrap_or_default()
    }

    /// What `sbatch` was called with, call by call.
    fn submitted(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.path().join("submitted")).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn a_cluster_runs_what_a_machine_runs() {
    let directory = tempfile::tempdir().unwrap();
    let here = run_smoke(&directory.path().join("here"), &[]);
    let slurm = FakeSlurm::new();
    let there = directory.path().join("there");
    std::fs::write(slurm.0.path().join("lose"), "").unwrap();
    let arguments = [
        "--engine-option=partition=short",
        "--set",
        "resources={\"cores\":1,\"memory_mb\":500,\"minutes\":3}",
    ];
    let (code, stderr) = slurm.run(&there, &arguments);
    assert_eq!(code, 0, "{stderr}");
    for news in ["its job ended (NODE_FAIL)", "it is run again"] {
        assert!(stderr.contains(news), "{stderr}");
    }
    let run = there.join("smoke/latest");
    assert_eq!(essence(&run), essence(&here));
    assert_eq!(std::fs::read_dir(run.join("jobs")).unwrap().count(), 0, "jobs are forgotten");
    // Six trials in arrays of at most four, and one of them again.
    let arrays: Vec<String> = slurm.submitted();
    assert!(arrays[0].contains("--array=0-3 ") && arrays[1].contains("--array=0-1 "), "{arrays:?}");
    assert!(arrays[2].contains("--array=0-0 "), "{arrays:?}");
    for option in ["--cpus-per-task=1", "--mem=500M", "--time=3", "--partition=short"] {
        assert!(arrays[0].contains(option), "{option}: {}", arrays[0]);
    }
}

/// A job is a sample's way to its next rung. With one at a time a cluster decides what a machine does; with several, whoever
/// is faster, and a run that is gone on with takes over what was decided, jobs and all.
#[test]
fn a_cluster_halves_asynchronously() {
    let directory = tempfile::tempdir().unwrap();
    let (here, there) = (directory.path().join("here"), directory.path().join("there"));
    let arguments = |output: &Path, jobs: &str| -> Vec<String> {
        let scheduler = "search.scheduler.name=asynchronous_halving";
        let words =
            ["run", "tests/slurm/search.json", "--set", scheduler, "--jobs", jobs, "--output"];
        words.into_iter().chain(output.to_str()).map(str::to_owned).collect()
    };
    let slurm = FakeSlurm::new();
    let jobs = |arguments: Vec<String>| {
        slurm.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut alone = rushes(&[]);
    let done = alone.args(arguments(&here, "1")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let here = here.join("slurm-search/latest");

    let done = jobs(arguments(&there, "1")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let there = there.join("slurm-search/latest");
    assert_eq!(decisions(&there), decisions(&here));
    assert_eq!(essence(&there), essence(&here));
    let turns = |run: &Path| {
        let sent = |decision: &&Decision| {
            matches!(decision.event, RungEvent::Started | RungEvent::Promoted)
        };
        decisions(run).iter().filter(sent).count()
    };
    assert_eq!(slurm.submitted().len(), turns(&there));
    assert_eq!(std::fs::read_dir(there.join("jobs")).unwrap().count(), 0, "jobs are forgotten");

    let killed = directory.path().join("killed");
    let mut run = jobs(arguments(&killed, "2")).spawn().unwrap();
    let killed = killed.join("slurm-search/latest");
    let log = killed.join("decisions.jsonl");
    while std::fs::read_to_string(&log).unwrap_or_default().lines().count() < 5 {
        assert!(run.try_wait().unwrap().is_none(), "it ended before it was killed");
        sleep(Duration::from_millis(2));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let before = decisions(&killed);
    let resume = format!("--resume={}", killed.display());
    let done = jobs(vec!["run".to_owned(), resume, "--jobs=2".to_owned()]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(decisions(&killed)[..before.len()], before);
    assert_same_as_far_as_both_went(&killed, &here);
}

#[test]
fn a_job_that_slurm_forgets_is_cancelled_before_its_trial_is_submitted_again() {
    let whole = tempfile::tempdir().unwrap();
    assert!(start_long(whole.path(), false).wait().unwrap().success());
    let directory = tempfile::tempdir().unwrap();
    let slurm = FakeSlurm::new();
    let run = slurm.start_long(directory.path());
    wait_for_checkpoint(&trial_of(directory.path()), 2);
    std::fs::write(slurm.0.path().join("forget"), "").unwrap();
    let (code, stderr) = end(run);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("no longer known to Slurm"), "{stderr}");
    assert!(slurm.told().contains("scancel --quiet "), "{}", slurm.told());
    assert_eq!(slurm.submitted().len(), 2, "{stderr}");
    let run = |directory: &Path| essence(&directory.join("smoke/latest"));
    assert_eq!(run(directory.path()), run(whole.path()));
}

#[test]
fn a_run_that_is_resumed_finds_its_jobs() {
    let whole = tempfile::tempdir().unwrap();
    assert!(start_long(whole.path(), false).wait().unwrap().success());
    let directory = tempfile::tempdir().unwrap();
    let slurm = FakeSlurm::new();
    let mut run = slurm.start_long(directory.path());
    let trial = trial_of(directory.path());
    wait_for_checkpoint(&trial, 2);
    run.kill().unwrap();
    run.wait().unwrap();
    let resume = format!("--resume={}", directory.path().join("smoke/latest").display());
    std::fs::write(slurm.0.path().join("pending"), "").unwrap();
    // As `scontrol` did while the controller was stopped, and as it does of a job that has just ended.
    let failures = "\n0_0: Job has already finished\n";
    std::fs::write(slurm.0.path().join("unlimited"), failures).unwrap();
    let done = slurm.command(&["run", &resume, "--jobs=3"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{stderr}");
    assert!(stderr.contains("asking again until Slurm answers"), "{stderr}");
    assert!(stderr.contains("finished; as many trials of it run at a time as before"), "{stderr}");
    assert!(stderr.contains("1 trials are in Slurm's queue already"), "{stderr}");
    assert_eq!(slurm.submitted().len(), 1, "{stderr}");
    let limit = "scontrol update JobId=0 ArrayTaskThrottle=3";
    assert!(slurm.told().contains(limit), "{}", slurm.told());
    let run = |directory: &Path| essence(&directory.join("smoke/latest"));
    assert_eq!(run(directory.path()), run(whole.path()));
}

#[test]
fn ctrl_c_has_jobs_evaluate_where_they_stand_and_a_second_one_cancels_them() {
    let slurm = FakeSlurm::new();
    for times in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let run = slurm.start_long(directory.path());
        let trial = trial_of(directory.path());
        wait_for_checkpoint(&trial, 2);
        for _ in 0..times {
            signal("INT", &run.id().to_string());
            sleep(Duration::from_millis(100));
        }
        let (code, stderr) = end(run);
        if times == 1 {
            assert_eq!(code, Some(0), "{stderr}");
            assert!(stderr.contains("ended early; go on with: "), "{stderr}");
            let result = TrialDir::new(trial).result().unwrap();
            assert_eq!(result.outcome.stop_reason(), Some(StopReason::User));
        } else {
            assert_eq!(code, Some(130), "{stderr}");
            assert!(stderr.contains("'--engine=slurm' '--engine-option=poll=1'"), "{stderr}");
            wait_for_lock(&trial);
        }
    }
}

#[test]
fn what_slurm_refuses_is_said() {
    let slurm = FakeSlurm::new();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(slurm.0.path().join("refuse"), "invalid partition specified: x").unwrap();
    let (code, stderr) = slurm.run(directory.path(), &["--engine-option=partition=x"]);
    assert!(code == 2 && stderr.contains("invalid partition specified: x"), "{stderr}");
    assert!(stderr.contains("go on with: "), "{stderr}");
    for (arguments, expected) in [
        (["--engine=slurm", "--engine-option=array=0-3"], "rushes sets `sbatch --array` itself"),
        (["--engine=local", "--engine-option=partition=x"], "give --engine slurm too"),
    ] {
        let arguments = [&["run", "experiments/smoke.json"], &arguments[..]].concat();
        let (code, stderr) = failure(&arguments);
        assert!(code == 2 && stderr.contains(expected), "{stderr}");
    }
    let mut without = rushes(&["run", "experiments/smoke.json", "--engine=slurm", "--output"]);
    without.arg(directory.path()).env("PATH", "/nowhere");
    let stderr = String::from_utf8(without.output().unwrap().stderr).unwrap();
    assert!(stderr.contains("Slurm's commands are needed"), "{stderr}");
}

#[test]
fn trials_come_back_as_archives_where_no_directory_is_shared() {
    let directory = tempfile::tempdir().unwrap();
    let whole = run_smoke(directory.path(), &["--quick", "--set", "seeds=[3]"]);
    let (there, back) = (directory.path().join("there"), directory.path().join("back"));
    let folder = directory.path().join("logs");
    std::fs::create_dir(&folder).unwrap();
    let archive = format!("--archive={}", folder.display());
    let mut arguments = vec!["trials".to_owned(), "--attempt=job".to_owned(), archive];
    let trials: Vec<String> = essence(&whole).into_iter().map(|(trial, ..)| trial).collect();
    for trial in &trials {
        let own = there.join("trials").join(trial);
        std::fs::create_dir_all(&own).unwrap();
        std::fs::copy(whole.join("trials").join(trial).join("trial.json"), own.join("trial.json"))
            .unwrap();
        arguments.push(own.to_str().unwrap().to_owned());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = output(&arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for (index, trial) in trials.iter().enumerate() {
        let zip = std::fs::read(folder.join(format!("job-{index}.zip"))).unwrap();
        rushes::archive::unpack(&zip, &back.join("trials").join(trial)).unwrap();
    }
    assert_eq!(essence(&back), essence(&whole));
    let trial = TrialDir::new(back.join("trials").join(&trials[0]));
    assert_eq!(trial.attempt("job"), Some(TrialStatus::Completed));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), trials.len(), "nothing else is left");
}

/// What stands for Ray's dashboard: answers every request with this status, until the test ends.
fn fake_ray(status: &'static str) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
    });
    address
}

#[test]
fn a_ray_that_refuses_or_is_not_there_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    for (address, expected) in [
        ("ray://head:10001".to_owned(), "expected http://HEAD:8265"),
        ("http://127.0.0.1:9".to_owned(), "GET /api/version at http://127.0.0.1:9: "),
        (fake_ray("401 Unauthorized"), "HTTP 401: ; Ray wants a token: set RAY_AUTH_TOKEN"),
        (fake_ray("404 Not Found"), "is not Ray's dashboard"),
        (fake_ray("403 Forbidden"), "HTTP 403: ; Ray does not accept the token"),
    ] {
        let output = directory.path().join("output");
        for named in [true, false] {
            let engine =
                if named { format!("--engine=ray={address}") } else { "--engine=ray".into() };
            let mut run = rushes(&["run", "experiments/smoke.json", &engine, "--output"]);
            run.arg(&output).env("HOME", directory.path()).env("RAY_ADDRESS", &address);
            let done = run.output().unwrap();
            let stderr = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.code() == Some(2) && stderr.contains(expected), "{stderr}");
            assert_eq!(stderr.contains("RAY_ADDRESS"), !named, "{stderr}");
        }
        assert!(!output.exists());
    }
    let (code, stderr) =
        failure(&["run", "experiments/smoke.json", "--engine=ray", "--engine-option=shared=maybe"]);
    assert!(code == 2 && stderr.contains("expected shared=auto or shared=no"), "{stderr}");
}

//! The only module that knows paths under `output/`.
//!
//! ```text
//! output/<experiment>/<run>/plan.json experiment.json run.json index.html summary.json [best.json] [baseline.json]
//!                           [decisions.jsonl]
//! output/<experiment>/<run>/trials/<trial>/{trial.json events.jsonl *.mp4 policy.safetensors
//!                                           checkpoint/ stderr.log result.json or exit.json}
//! output/<experiment>/latest → <run>
//! output/history.sqlite
//! ```
//!
//! Every file that a reader may find is complete: it is written beside its place, synced and renamed.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use fs_err as fs;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::env::input;
use crate::experiment::{Pinned, Plan, TrialPlan};
use crate::lease::{self, Lease};
use crate::nn::Tensors;
use crate::record::{
    Attempt, Decision, FORMAT_VERSION, Outcome, ProcessExit, Record, RunInfo, Stored, TrialResult,
    TrialStatus, plain_name,
};

/// The database of all runs below an output directory.
pub fn history(output: &Path) -> PathBuf {
    output.join("history.sqlite")
}

/// The committed baseline of an experiment, below the working directory.
pub fn baseline(experiment: &str) -> PathBuf {
    Path::new("baselines").join(format!("{experiment}.json"))
}

/// The file in a run's directory that its process locks and keeps touching.
const RUN_LOCK: &str = "run.lock";
/// How long a run counts as alive after its process touched the file.
const LIFE: Duration = Duration::from_secs(15);

/// The directory of one run.
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Creates the directory of a new run below `output/<experiment>/`, named by the time.
    ///
    /// # Errors
    /// Fails if the directory cannot be made.
    pub fn create(output: &Path, experiment: &str) -> anyhow::Result<Self> {
        let parent = std::path::absolute(output)?.join(experiment);
        anyhow::ensure!(
            parent.to_str().is_some(),
            "{} is not valid UTF-8, which the names of videos have to be; choose another --output",
            parent.display()
        );
        // A run inside of another one would be a part of it, with a link that no run has.
        if let Some(around) = parent.ancestors().find(|folder| folder.join(RUN_LOCK).is_file()) {
            anyhow::bail!(
                "{} lies inside of the run {}; choose another --output",
                output.display(),
                around.display()
            );
        }
        fs::create_dir_all(&parent).context("failed to create the output directory")?;
        let time = jiff::Zoned::now().strftime("%Y-%m-%d_%H-%M-%S").to_string();
        // Two runs may start within the same second.
        let names = std::iter::once(time.clone()).chain((2..).map(|n| format!("{time}-{n}")));
        for name in names {
            let path = parent.join(name);
            match fs::create_dir(&path) {
                Ok(()) => {
                    fs::create_dir(path.join("trials"))?;
                    // Reports link relative to themselves, whatever the working directory is.
                    return Ok(Self { path: fs::canonicalize(path)? });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).context("failed to create the run directory"),
            }
        }
        unreachable!("the names go on for ever")
    }

    /// Opens the directory of an existing run (`latest` is followed).
    ///
    /// # Errors
    /// Fails if it is no directory with a `plan.json`, or has a link in it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let path = fs::canonicalize(path).context("failed to open the run directory")?;
        anyhow::ensure!(
            path.join("plan.json").is_file(),
            "{} is not a run directory: it has no plan.json",
            path.display()
        );
        refuse_links(&path)?;
        Ok(Self { path })
    }

    /// Where the newest run of an experiment is: where `latest` points, or, where that is no link, the run whose name, a
    /// time, is the last.
    ///
    /// # Errors
    /// Fails if there is no run.
    pub fn latest(output: &Path, experiment: &str) -> anyhow::Result<PathBuf> {
        let folder = output.join(experiment);
        let link = folder.join("latest");
        if link.is_symlink() {
            return Ok(link);
        }
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut runs: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        runs.retain(|run| *run != link && run.join("plan.json").is_file());
        runs.into_iter()
            .max()
            .with_context(|| format!("there is no run of {experiment} in {}", output.display()))
    }

    /// The run that a trial lies in, which is not looked at.
    ///
    /// # Errors
    /// Fails if there is no folder around it.
    pub fn around(trial: &TrialDir) -> anyhow::Result<Self> {
        let path = std::path::absolute(&trial.path)?;
        let run = path.ancestors().nth(2).context("a trial lies in a run")?;
        Ok(Self { path: run.to_owned() })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's name: the last part of its path.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The output directory that the run lies in.
    pub fn output(&self) -> PathBuf {
        self.path.ancestors().nth(2).unwrap_or(&self.path).to_owned()
    }

    /// The report.
    pub fn report(&self) -> PathBuf {
        self.path.join("index.html")
    }

    /// The summary that `rushes check` reads.
    pub fn summary(&self) -> PathBuf {
        self.path.join("summary.json")
    }

    /// The experiment with the best settings that its search found.
    pub fn best(&self) -> PathBuf {
        self.path.join("best.json")
    }

    /// The baseline that the run is checked against, where it was started with one.
    pub fn baseline(&self) -> PathBuf {
        self.path.join("baseline.json")
    }

    /// Takes over the policies that the trainings of `plan`, an experiment in `folder`, begin with: the run needs nothing
    /// else of where they came from. A run's folder has them itself.
    ///
    /// # Errors
    /// Fails if a file cannot be read or written, or is not what it was when the plan was made.
    pub fn take_initial_policies(&self, plan: &Plan, folder: &Path) -> anyhow::Result<()> {
        for Pinned { path, sha256 } in plan.initial_policies() {
            let sha256 = sha256.as_deref().context("an initial policy was not looked for")?;
            let own = folder.join(initial_policy(sha256));
            let path = if own.is_file() { &own } else { path };
            let content = fs::read(path).context("failed to read an initial policy")?;
            ensure_content(path, &content, sha256)?;
            let taken = self.path.join(initial_policy(sha256));
            fs::create_dir_all(taken.parent().unwrap_or(&self.path))?;
            write_atomically(&taken, &content)?;
        }
        Ok(())
    }

    /// Takes the run's lease, so that two processes never work on it.
    ///
    /// # Errors
    /// Fails with [`lease::Busy`] if another process has it, or if it cannot be written.
    pub fn take(&self) -> anyhow::Result<Lease> {
        lease(&self.path, "run")
    }

    /// Tells readers that a process works on the run: [`RunDir::is_alive`] holds for the next seconds.
    ///
    /// # Errors
    /// Fails if the file system keeps no times.
    pub fn show_life(&self) -> anyhow::Result<()> {
        let file = fs::OpenOptions::new().write(true).open(self.path.join(RUN_LOCK))?;
        Ok(file.into_parts().0.set_modified(SystemTime::now())?)
    }

    /// Whether a process works on the run, as far as the file system tells. Readers take no lock, which would keep
    /// the run from taking it.
    pub fn is_alive(&self) -> bool {
        Self::is_alive_at(&self.path)
    }

    /// The same for the run in this directory.
    pub fn is_alive_at(path: &Path) -> bool {
        let touched = Stamp::of(&path.join(RUN_LOCK));
        // A clock that is a little ahead, on another machine, is no death.
        touched.is_some_and(|stamp| stamp.modified.elapsed().unwrap_or_default() < LIFE)
    }

    /// Where the plan is.
    pub fn plan_path(&self) -> PathBuf {
        self.path.join("plan.json")
    }

    /// Reads `plan.json`.
    ///
    /// # Errors
    /// Fails if it is missing, damaged or from a newer version.
    pub fn plan(&self) -> anyhow::Result<Plan> {
        read_json(&self.plan_path())
    }

    /// When `plan.json` was written last.
    ///
    /// # Errors
    /// Fails if the file system does not tell.
    pub fn planned(&self) -> anyhow::Result<jiff::Timestamp> {
        let modified = fs::metadata(self.plan_path())?.modified()?;
        Ok(jiff::Timestamp::try_from(modified)?)
    }

    /// Writes `plan.json`, and `experiment.json`, which runs the same again.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    pub fn write_plan(&self, plan: &Plan) -> anyhow::Result<()> {
        write_json(&self.plan_path(), plan)?;
        write_json(&self.experiment(), &plan.experiment.as_file())
    }

    /// The experiment as it was run.
    pub fn experiment(&self) -> PathBuf {
        self.path.join("experiment.json")
    }

    /// Reads `run.json`.
    ///
    /// # Errors
    /// Fails if it is missing, damaged or from a newer version.
    pub fn info(&self) -> anyhow::Result<RunInfo> {
        read_json(&self.path.join("run.json"))
    }

    /// Writes `run.json`.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write_info(&self, info: &RunInfo) -> anyhow::Result<()> {
        write_json(&self.path.join("run.json"), info)
    }

    /// The directory of the trial with this id.
    pub fn trial(&self, id: &str) -> TrialDir {
        TrialDir::new(self.path.join("trials").join(id))
    }

    /// What an asynchronous search has decided, line by line.
    pub fn decisions_path(&self) -> PathBuf {
        self.path.join("decisions.jsonl")
    }

    /// Reads what an asynchronous search has decided so far, up to the last whole line; nothing where it has not begun.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or a whole line of it is damaged; says which.
    pub fn decisions(&self) -> anyhow::Result<Vec<Decision>> {
        let path = self.decisions_path();
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read(&path)?;
        let whole = text.split_inclusive(|byte| *byte == b'\n').filter(|l| l.ends_with(b"\n"));
        let read = |(index, line): (usize, &[u8])| {
            serde_json::from_slice(line).with_context(|| {
                format!(
                    "{}, line {} is damaged; cut the file off before it, and what follows is decided anew",
                    path.display(),
                    index + 1
                )
            })
        };
        whole.enumerate().map(read).collect()
    }

    /// Opens the file of decisions to write on at its end, without half a line that a killed process left there.
    ///
    /// # Errors
    /// Fails if it cannot be written.
    pub fn decision_log(&self) -> anyhow::Result<DecisionLog> {
        let file = fs::OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(self.decisions_path())?;
        let (mut file, path) = file.into_parts();
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64).with_context(|| path.display().to_string())?;
        Ok(DecisionLog { file: fs::File::from_parts(file, path) })
    }

    /// Where an engine keeps what it needs to know of its jobs.
    pub fn jobs(&self) -> PathBuf {
        self.path.join("jobs")
    }

    /// Points `output/<experiment>/latest` at this run.
    ///
    /// # Errors
    /// Fails if the link cannot be replaced: something else than a link is there, or the file system knows no links.
    pub fn mark_latest(&self) -> anyhow::Result<()> {
        let latest = self.path.with_file_name("latest");
        let replace = || -> anyhow::Result<()> {
            let is_link = |found: std::fs::Metadata| found.is_symlink();
            anyhow::ensure!(
                fs::symlink_metadata(&latest).ok().is_none_or(is_link),
                "a file or a folder of that name is in the way; move it away"
            );
            let beside = self.path.join(format!("{TEMPORARY}latest"));
            fs::os::unix::fs::symlink(self.name(), &beside)?;
            Ok(fs::rename(&beside, &latest)?)
        };
        replace().with_context(|| format!("{} does not point at this run", latest.display()))
    }
}

/// `decisions.jsonl`, to be written on.
#[derive(Debug)]
pub struct DecisionLog {
    file: fs::File,
}

impl DecisionLog {
    /// Writes a decision down, on the disk before anything follows from it.
    ///
    /// # Errors
    /// Fails if it cannot be written, for example on a full disk.
    pub fn write(&mut self, decision: &Decision) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(decision)?;
        line.push('\n');
        self.file.write_all(line.as_bytes())?;
        Ok(self.file.sync_data()?)
    }
}

/// The directory of one trial.
#[derive(Debug, Clone)]
pub struct TrialDir {
    path: PathBuf,
    lease: Option<Arc<Lease>>,
}

impl TrialDir {
    /// The trial in this directory.
    pub fn new(path: PathBuf) -> Self {
        Self { path, lease: None }
    }

    /// The trial in this directory, `None` where it holds none.
    pub fn find(path: &Path) -> Option<Self> {
        path.join("trial.json").is_file().then(|| Self::new(path.to_owned()))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it by name (takes).
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The event log.
    pub fn events_path(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    /// What the trial's process printed to stderr.
    pub fn stderr(&self) -> PathBuf {
        self.path.join("stderr.log")
    }

    /// The trained policy.
    pub fn policy(&self) -> PathBuf {
        self.path.join("policy.safetensors")
    }

    /// The policy that the evaluations during training found best.
    pub fn best_policy(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// The samples that the policy was learned from, where its algorithm keeps them.
    pub fn dataset(&self) -> PathBuf {
        self.path.join("dataset.safetensors")
    }

    /// What the final policy played for other programs to learn from, where that was asked for: a folder.
    pub fn minari(&self) -> PathBuf {
        self.path.join("minari")
    }

    /// The policy of this content that training begins with, which the trial's run has.
    ///
    /// # Errors
    /// Fails if it cannot be read or is another one.
    pub fn initial_policy(&self, sha256: &str) -> anyhow::Result<Tensors> {
        let file = RunDir::around(self)?.path.join(initial_policy(sha256));
        let content = fs::read(&file)?;
        ensure_content(&file, &content, sha256)?;
        Ok(Tensors::from_bytes(&content)?)
    }

    /// The file name of the newest checkpoint; names sort like numbers.
    pub fn newest_checkpoint(&self) -> Option<OsString> {
        let entries = std::fs::read_dir(self.checkpoints()).ok()?.flatten();
        entries.map(|entry| entry.file_name()).max()
    }

    /// Where checkpoints are.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoint")
    }

    /// The same directory with its lease, so that two processes never write into it; what is written through it waits
    /// while the lease may be another's.
    ///
    /// # Errors
    /// Fails with [`lease::Busy`] if another process has it, or if it cannot be written.
    pub fn take(self) -> anyhow::Result<Self> {
        let lease = lease(&self.path, "trial")?;
        remove_temporaries(&self.checkpoints());
        Ok(Self { lease: Some(Arc::new(lease)), ..self })
    }

    /// Waits until what is written now cannot meet what another process writes; see [`Lease::wait_until_held`].
    pub fn wait_until_held(&self) {
        if let Some(lease) = &self.lease {
            lease.wait_until_held();
        }
    }

    /// Whether a process works on the trial at present.
    pub fn is_locked(&self) -> bool {
        let file = File::open(self.path.join("trial.lock"));
        file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Whether there is a lease of a process, of this machine or another one, that may work on the trial at present.
    pub fn has_lease(&self) -> bool {
        lease::is_there(&self.path, "trial")
    }

    /// Copies the whole trial, but for what only processes at work need.
    ///
    /// # Errors
    /// Fails if a file cannot be read or written.
    pub fn copy_to(&self, other: &Self) -> anyhow::Result<()> {
        copy(&self.path, &other.path)
    }

    /// Creates the directory and writes `trial.json`.
    ///
    /// # Errors
    /// Fails if either cannot be written.
    pub fn create(&self, plan: &TrialPlan) -> anyhow::Result<()> {
        fs::create_dir_all(&self.path)?;
        write_json(&self.path.join("trial.json"), plan)
    }

    /// Reads `trial.json`.
    ///
    /// # Errors
    /// Fails if it is missing, damaged or from a newer version.
    pub fn plan(&self) -> anyhow::Result<TrialPlan> {
        read_json(&self.path.join("trial.json"))
    }

    /// Whether the trial is over.
    pub fn finished(&self) -> bool {
        self.path.join("result.json").exists()
    }

    /// How the files look that grow or appear while the trial goes on: the event log, and the two that say how it
    /// ended.
    pub fn stamps(&self) -> [Option<Stamp>; 3] {
        ["events.jsonl", "result.json", "exit.json"].map(|file| Stamp::of(&self.path.join(file)))
    }

    /// Reads `result.json`.
    ///
    /// # Errors
    /// Fails if it is missing, damaged or from a newer version.
    pub fn result(&self) -> anyhow::Result<TrialResult> {
        read_json(&self.path.join("result.json"))
    }

    /// Writes `result.json`: the trial is over, however an earlier attempt ended.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write_result(&self, result: &TrialResult) -> anyhow::Result<()> {
        self.wait_until_held();
        write_json(&self.path.join("result.json"), result)?;
        self.remove("exit.json")
    }

    /// Removes a file, where there is one.
    fn remove(&self, file: &str) -> anyhow::Result<()> {
        match fs::remove_file(self.path.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Writes `exit.json`: the trial's process ended without a result.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write_exit(&self, error: String) -> anyhow::Result<()> {
        let exit = ProcessExit { format_version: FORMAT_VERSION, error };
        // It may be what could not be made.
        fs::create_dir_all(&self.path)?;
        write_json(&self.path.join("exit.json"), &exit)
    }

    /// How the trial stood when the attempt of this name was done with it; nothing where it is not.
    pub fn attempt(&self, name: &str) -> Option<TrialStatus> {
        let attempt: Attempt = read_json(&self.path.join("attempt.json")).ok()?;
        (attempt.name == name).then_some(attempt.status)
    }

    /// Writes `attempt.json`.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write_attempt(&self, name: &str, status: TrialStatus) -> anyhow::Result<()> {
        let attempt = Attempt { format_version: FORMAT_VERSION, name: name.to_owned(), status };
        write_json(&self.path.join("attempt.json"), &attempt)
    }

    /// How the trial ended: its result, or that of a failed trial where its process left none; nothing while it is
    /// not over.
    pub fn outcome(&self, plan: &TrialPlan) -> Option<TrialResult> {
        self.result().ok().or_else(|| {
            let exit: ProcessExit = read_json(&self.path.join("exit.json")).ok()?;
            Some(self.failed(plan, exit.error))
        })
    }

    /// The result of a trial that failed, with what its event log tells.
    pub fn failed(&self, plan: &TrialPlan, error: String) -> TrialResult {
        let mut result = TrialResult { outcome: Outcome::Failed { error }, ..plan.empty_result() };
        // A trial that failed at once has no log.
        let records = self.events().map(|log| log.records).unwrap_or_default();
        result.gather(records, plan.evaluation.seed);
        result
    }

    /// Removes how the trial's process ended.
    ///
    /// # Errors
    /// Fails if the file cannot be removed.
    pub fn remove_exit(&self) -> anyhow::Result<()> {
        self.remove("exit.json")
    }

    /// Makes the directory ready for an attempt at this plan: with `trial.json`, and without what says that an earlier
    /// attempt is over; checkpoints stay. It is changed under the trial's lease alone, and not at all where it is ready.
    /// Says whether an attempt is needed: not if `is_over` finds that whoever had the lease has ended the trial.
    ///
    /// # Errors
    /// Fails with [`lease::Busy`] if another process works in it, or if a file cannot be written or
    /// removed.
    pub fn prepare(&self, plan: &TrialPlan, is_over: impl Fn() -> bool) -> anyhow::Result<bool> {
        // Nobody works in a directory that says nothing of a trial.
        if !self.path.join("trial.json").exists() {
            self.create(plan)?;
            return Ok(true);
        }
        let [_, result, exit] = self.stamps();
        let is_planned = || self.plan().is_ok_and(|stored| stored == *plan);
        if result.is_none() && exit.is_none() && is_planned() {
            return Ok(true);
        }
        let held = self.clone().take()?;
        if is_over() {
            return Ok(false);
        }
        held.remove("result.json")?;
        held.remove_exit()?;
        held.create(plan)?;
        Ok(true)
    }

    /// Reads the event log as far as it is whole, and says where it is not.
    ///
    /// # Errors
    /// Fails if the file cannot be read at all, or has an [`UnsafeName`](crate::record::UnsafeName).
    pub fn events(&self) -> anyhow::Result<EventLog> {
        let mut cursor = EventCursor::default();
        let NewEvents { records, damaged_line, cut_off, .. } = self.new_events(&mut cursor)?;
        let cut_off = cut_off.then_some(cursor.lines + 1);
        Ok(EventLog { records, damaged_line: damaged_line.or(cut_off) })
    }

    /// Reads the event log on from where `cursor` stands, up to its last whole line, and moves the cursor there. A log
    /// that was cut in between, as a trial does that goes on from a checkpoint, is read from its beginning.
    ///
    /// # Errors
    /// Fails if the file cannot be read at all, or has an [`UnsafeName`](crate::record::UnsafeName).
    pub fn new_events(&self, cursor: &mut EventCursor) -> anyhow::Result<NewEvents> {
        let mut file = fs::File::open(self.events_path())?;
        let overlap = cursor.last_line.len() as u64;
        file.seek(SeekFrom::Start(cursor.bytes - overlap))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let restarted = !text.starts_with(&cursor.last_line);
        let mut unread = &text[..];
        if restarted {
            *cursor = EventCursor::default();
            file.rewind()?;
            text.clear();
            file.read_to_end(&mut text)?;
            unread = &text;
        } else {
            unread = &unread[cursor.last_line.len()..];
        }
        let mut new =
            NewEvents { records: Vec::new(), restarted, damaged_line: None, cut_off: false };
        let mut last_line: &[u8] = &[];
        for line in unread.split_inclusive(|byte| *byte == b'\n') {
            if !line.ends_with(b"\n") {
                new.cut_off = true;
                break;
            }
            let Ok(record) = serde_json::from_slice::<Record>(line) else {
                new.damaged_line = Some(cursor.lines + 1);
                break;
            };
            check_names(&self.events_path(), &record)?;
            new.records.push(record);
            cursor.bytes += line.len() as u64;
            cursor.lines += 1;
            last_line = line;
        }
        if !last_line.is_empty() {
            cursor.last_line = last_line.to_vec();
        }
        Ok(new)
    }
}

/// Where a run keeps the initial policy of this content.
fn initial_policy(sha256: &str) -> PathBuf {
    Path::new("initial").join(format!("{}.safetensors", &sha256[..sha256.len().min(16)]))
}

fn ensure_content(path: &Path, content: &[u8], sha256: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        HEXLOWER.encode(&Sha256::digest(content)) == sha256,
        "{} is not the policy that the run was planned with",
        path.display()
    );
    Ok(())
}

/// Takes a directory's lease, and removes what a killed process had not finished there.
fn lease(directory: &Path, name: &str) -> anyhow::Result<Lease> {
    let lease = Lease::take(directory, name)?;
    remove_temporaries(directory);
    Ok(lease)
}

/// Refuses a directory with a link in it. No run makes any; in a run from somebody else, what is written or shown would
/// be a file elsewhere.
fn refuse_links(directory: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let temporary = entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes());
        anyhow::ensure!(
            !kind.is_symlink() || temporary,
            "{} is a link, which a run directory has none of; put the file itself there",
            entry.path().display()
        );
        if kind.is_dir() {
            refuse_links(&entry.path())?;
        }
    }
    Ok(())
}

/// Copies a directory with what is in it, locks, leases and what is not whole yet left out.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let written = name.to_string_lossy();
        if written.starts_with(TEMPORARY) || written.starts_with("trial.l") {
            continue;
        }
        let (kind, copied) = (entry.file_type()?, to.join(&name));
        if kind.is_dir() {
            copy(&entry.path(), &copied)?;
            continue;
        }
        anyhow::ensure!(kind.is_file(), "{} is no plain file", entry.path().display());
        fs::copy(entry.path(), &copied)?;
        // A copy of what is kept read-only is there to be gone on with.
        let mut permissions = fs::metadata(&copied)?.permissions();
        permissions.set_mode(permissions.mode() | 0o200);
        fs::set_permissions(&copied, permissions)?;
    }
    Ok(())
}

/// How the names of files begin that are not whole yet, those that the safetensors crate makes included.
const TEMPORARY: &str = ".tmp";

/// Removes temporary files as far as possible: they cost room, nothing else.
fn remove_temporaries(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// A file that is still to get its content and its name, with the permissions that the umask leaves.
fn temporary(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt as _;
    let permissions = std::fs::Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(TEMPORARY).permissions(permissions).tempfile_in(directory)
}

/// What could be read of an event log.
#[derive(Debug, Clone)]
pub struct EventLog {
    /// The events up to the first damaged line.
    pub records: Vec<Record>,
    /// The first line that is not a whole event, counted from 1.
    pub damaged_line: Option<usize>,
}

impl EventLog {
    /// Whether it is whole and goes as far as the training that `result` is of.
    pub fn tells_of(&self, result: &TrialResult) -> bool {
        let end = self.records.last().map(|record| record.progress).unwrap_or_default();
        self.damaged_line.is_none() && end == result.progress
    }
}

/// How far an event log has been read.
#[derive(Debug, Clone, Default)]
pub struct EventCursor {
    bytes: u64,
    lines: usize,
    /// The last line that was read: a log in which it no longer stands there was cut in between.
    last_line: Vec<u8>,
}

impl EventCursor {
    /// How many lines have been read.
    pub fn lines(&self) -> usize {
        self.lines
    }
}

/// What an event log has beyond an [`EventCursor`].
#[derive(Debug, Clone)]
pub struct NewEvents {
    /// The events, up to the first line that is damaged or not whole yet.
    pub records: Vec<Record>,
    /// Whether they begin at the log's first line, since what was read before is no longer part of it.
    pub restarted: bool,
    /// The first whole line that is no event, counted from 1.
    pub damaged_line: Option<usize>,
    /// Whether the log ends in the middle of a line: it is being written, or its process was killed.
    pub cut_off: bool,
}

/// Writes a file in one step: beside its place, synced, renamed. A reader sees the old or the new content.
///
/// # Errors
/// Fails if any of it fails; the old file is then untouched.
pub fn write_atomically(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    write(path, content, File::sync_all)
}

/// Writes what somebody asked for at a `path` of theirs, which may be a link to the file, or no plain file at all: a pipe, a
/// device or `/dev/stdout`, which take the content themselves.
///
/// # Errors
/// Fails if it cannot be written; an older file is then untouched.
pub fn write_output(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if !is_stream(path) {
        // What a link leads to is replaced, not the link; one that leads nowhere is.
        let file = std::fs::canonicalize(path);
        return write_atomically(file.as_deref().unwrap_or(path), content);
    }
    let write = || match path == Path::new(STDOUT) {
        true => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(content).and_then(|()| stdout.flush())
        }
        false => std::fs::File::options().write(true).open(path)?.write_all(content),
    };
    write().with_context(|| format!("failed to write {}", path.display()))
}

/// Whether what is written to `path` goes on to somewhere else than a plain file.
pub fn is_stream(path: &Path) -> bool {
    // Standard output may be a plain file, which something else is written to as well.
    path == Path::new(STDOUT)
        || std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

const STDOUT: &str = "/dev/stdout";

/// Writes a file in one step without waiting for the disk: for what is soon written again.
///
/// # Errors
/// Fails if any of it fails; the old file is then untouched.
pub fn replace(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    write(path, content, |_| Ok(()))
}

fn write(
    path: &Path,
    content: &[u8],
    sync: impl FnOnce(&File) -> io::Result<()>,
) -> anyhow::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut file = temporary(directory)?;
        file.write_all(content)?;
        sync(file.as_file())?;
        std::fs::rename(&file, path)
    };
    write().with_context(|| format!("failed to write {}", path.display()))
}

/// Writes tensors into a file of `directory` in one step, as [`write_atomically`] does but without a copy of the
/// file in memory; `path` says where the file belongs, given its content.
///
/// # Errors
/// Fails if any of it fails; an older file is then untouched.
pub fn write_tensors(
    directory: &Path,
    tensors: &Tensors,
    path: impl FnOnce(&std::fs::File) -> io::Result<PathBuf>,
) -> anyhow::Result<()> {
    let write = || -> anyhow::Result<()> {
        let beside = temporary(directory)?;
        let permissions = beside.as_file().metadata()?.permissions();
        tensors.write(beside.path())?;
        let file = std::fs::File::open(&beside)?;
        // The file was replaced by another one, which is private to its owner, and stays so where the file system
        // knows no permissions.
        let _ = file.set_permissions(permissions);
        let path = path(&file)?;
        file.sync_all()?;
        Ok(std::fs::rename(&beside, path)?)
    };
    write().with_context(|| format!("failed to write tensors into {}", directory.display()))
}

/// Fails if a number in `value` is NaN or infinite, which JSON writes as `null`; the message says where it stands.
///
/// # Errors
/// That failure, or one of `value`'s serialization.
pub fn ensure_finite<T: Serialize>(value: &T) -> anyhow::Result<()> {
    use ciborium::Value;
    fn check(value: &Value, place: &str) -> anyhow::Result<()> {
        match value {
            Value::Float(number) => {
                anyhow::ensure!(
                    number.is_finite(),
                    "{place} is {number}, expected a finite number"
                );
            }
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    check(value, &format!("{place}[{index}]"))?;
                }
            }
            Value::Map(entries) => {
                for (key, value) in entries {
                    let key = key.as_text().unwrap_or_default();
                    let place = if place.is_empty() { key } else { &format!("{place}.{key}") };
                    check(value, place)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
    check(&Value::serialized(value)?, "")
}

/// What tells that a file was not written since somebody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When it was written last.
    pub modified: SystemTime,
    /// Its length in bytes.
    pub bytes: u64,
}

impl Stamp {
    /// That of a file; nothing where there is none.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { modified: metadata.modified().ok()?, bytes: metadata.len() })
    }
}

/// Writes a value as indented JSON, atomically.
///
/// # Errors
/// Fails if the file cannot be written, or a number in it is not finite.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> anyhow::Result<()> {
    ensure_finite(value).with_context(|| format!("{} was not written", path.display()))?;
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    write_atomically(path, text.as_bytes())
}

/// A file that a newer version of this program wrote.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} has format version {found}, this program reads up to {FORMAT_VERSION}; use a newer rushes",
    path.display()
)]
pub struct NewerFormat {
    path: PathBuf,
    found: u32,
}

/// Reads a JSON file of this program, refusing one that a newer version wrote or whose names lead out of its run.
///
/// # Errors
/// Fails if it is missing, damaged, newer ([`NewerFormat`]) or has an [`UnsafeName`](crate::record::UnsafeName).
pub fn read_json<T: DeserializeOwned + Stored>(path: &Path) -> anyhow::Result<T> {
    #[derive(serde::Deserialize)]
    struct Version {
        format_version: u32,
    }
    let text = input::read_text(path)?;
    let damaged = || format!("{} is damaged", path.display());
    let Version { format_version } = serde_json::from_str(&text).with_context(damaged)?;
    if format_version > FORMAT_VERSION {
        return Err(NewerFormat { path: path.to_owned(), found: format_version }.into());
    }
    let value: T = serde_json::from_str(&text).with_context(damaged)?;
    check_names(path, &value)?;
    Ok(value)
}

fn check_names(file: &Path, content: &impl Stored) -> anyhow::Result<()> {
    for (field, name) in content.file_names() {
        plain_name(name).with_context(|| format!("{}: {field}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RungEvent;

    #[test]
    fn half_a_decision_is_none_and_a_damaged_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::create(folder.path(), "decided").unwrap();
        assert_eq!(run.decisions().unwrap(), []);
        let decision = |sample| Decision {
            agent: "learner".into(),
            sample,
            event: RungEvent::Reached,
            rung: 100,
            score: Some(0.1 + 0.2),
        };
        run.decision_log().unwrap().write(&decision(0)).unwrap();
        let whole = fs::read_to_string(run.decisions_path()).unwrap();
        fs::write(run.decisions_path(), format!("{whole}{}", &whole[..20])).unwrap();
        assert_eq!(run.decisions().unwrap(), [decision(0)]);
        run.decision_log().unwrap().write(&decision(1)).unwrap();
        assert_eq!(run.decisions().unwrap(), [decision(0), decision(1)]);
        fs::write(run.decisions_path(), format!("{whole}{}\n", &whole[..20])).unwrap();
        let error = format!("{:#}", run.decisions().unwrap_err());
        assert!(error.contains("decisions.jsonl, line 2 is damaged; cut the file off"), "{error}");
    }

    #[test]
    fn what_is_no_plain_file_takes_what_is_written_and_stays() {
        use std::os::unix::fs::FileTypeExt as _;
        let folder = tempfile::tempdir().expect("room for a folder");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.is_ok_and(|made| made.success()));
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe).expect("it can be read")
        });
        write_output(&pipe, b"a page").expect("it can be written");
        assert!(std::fs::metadata(&pipe).expect("it is there").file_type().is_fifo());
        assert_eq!(reader.join().expect("a reader"), b"a page");
    }

    #[test]
    fn what_a_link_leads_to_is_replaced_and_the_link_stays() {
        let folder = tempfile::tempdir().expect("room for a folder");
        let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
        fs::write(&file, "old").expect("it can be written");
        std::os::unix::fs::symlink("file", &link).expect("it can be made");
        write_output(&link, b"new").expect("it can be written");
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).expect("it can be read"), "new");
        // In a run's directory, which may be somebody else's, no link leads out.
        write_atomically(&link, b"newer").expect("it can be written");
        assert!(!link.is_symlink());
        assert_eq!(fs::read_to_string(&file).expect("it can be read"), "new");
    }

    #[test]
    fn numbers_that_json_cannot_hold_are_refused_with_their_place() {
        #[derive(Serialize)]
        struct Written {
            mean: Option<f64>,
            curves: Vec<Vec<f32>>,
        }
        let refused = |mean, last| {
            let written = Written { mean, curves: vec![vec![], vec![0.5, last]] };
            ensure_finite(&written).err().map(|error| error.to_string())
        };
        assert_eq!(refused(None, 1.0), None);
        assert_eq!(refused(Some(f64::NAN), 1.0).unwrap(), "mean is NaN, expected a finite number");
        let infinite = refused(Some(0.0), f32::NEG_INFINITY).unwrap();
        assert_eq!(infinite, "curves[1][1] is -inf, expected a finite number");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        let error = write_json(&path, &[f64::INFINITY]).unwrap_err();
        assert!(
            format!("{error:#}").contains("result.json was not written: [0] is inf"),
            "{error:#}"
        );
        assert!(!path.exists());
    }

    #[test]
    fn an_event_log_is_read_on_from_where_it_was_and_again_where_it_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let trial = TrialDir::new(folder.path().to_owned());
        let line = |message: &str| {
            format!(
                "{{\"episodes\":0,\"steps\":0,\"updates\":0,\"seconds\":0.0,\"event\":\"note\",\"message\":\"{message}\"}}\n"
            )
        };
        let write = |text: String| std::fs::write(trial.events_path(), text).unwrap();
        let mut cursor = EventCursor::default();
        let mut read = || {
            let new = trial.new_events(&mut cursor).unwrap();
            let messages = new.records.iter().map(|record| match &record.event {
                crate::record::Event::Note { message } => message.clone(),
                other => panic!("{other:?}"),
            });
            (messages.collect::<Vec<_>>().join(" "), new.restarted, new.cut_off, new.damaged_line)
        };
        let told = |messages: &str| (messages.to_owned(), false, false, None);
        write(line("a") + &line("b")[..9]);
        assert_eq!(read(), ("a".to_owned(), false, true, None), "half a line waits");
        write(line("a") + line("b").as_str() + line("c").as_str());
        assert_eq!(read(), told("b c"));
        assert_eq!(read(), told(""));
        // A trial that went on from a checkpoint after `a`, and is past the place that was read.
        write(line("a") + line("x").as_str() + line("y").as_str() + line("z").as_str());
        assert_eq!(read(), ("a x y z".to_owned(), true, false, None));
        write(line("a"));
        assert_eq!(read(), ("a".to_owned(), true, false, None));
        write(line("a") + "nonsense\n" + line("b").as_str());
        assert_eq!(read(), (String::new(), false, false, Some(2)));
        assert_eq!(trial.events().unwrap().damaged_line, Some(2));
    }
}

//! Ray: trials as jobs of Ray Jobs, several short ones a job, on nodes that may share no directory with this machine.
//!
//! ```text
//! program, trial directories ──packages──▶ job: `rushes trials … trials/ID…` in the package, or in RUN where the node has it
//! RUN/trials/ID ◀──/api/v0/logs/file── NAME-INDEX.zip in the node's log folder, where it has not
//! ```
//! A job knows its run directory by the record that was written for it. Where there is none, each trial's directory comes
//! back as a file of the node's log folder, which is the only one that Ray serves over HTTP.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::io::Cursor;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use fs_err as fs;
use serde_json::json;
use sha2::{Digest as _, Sha256};

mod api;
mod options;

pub use options::RayOptions;

use self::api::Job;
use super::cluster::{
    Batch, Gone, JobOptions, JobRecord, Load, QueueError, Scheduler, State, Task, TaskName,
};
use crate::archive;
use crate::experiment::ResourcesSpec;
use crate::format::shell_line;
use crate::store::{RunDir, TrialDir};

/// A job takes so small a part of what is still to be done by each slot, so that all end at about the same time.
const PARTS: usize = 4;

/// A Ray cluster.
pub struct Ray<'a> {
    resources: ResourcesSpec,
    options: &'a RayOptions,
    /// How many jobs the nodes have room for, and when that was asked.
    slots: Cell<Option<(Instant, usize)>>,
    /// The program's package and its name, once it is made.
    program: std::cell::OnceCell<(String, Vec<u8>)>,
}

impl<'a> Ray<'a> {
    /// A cluster for trials that need this.
    pub fn new(resources: ResourcesSpec, options: &'a RayOptions) -> Self {
        Self { resources, options, slots: Cell::new(None), program: std::cell::OnceCell::new() }
    }

    fn cores(&self) -> u32 {
        self.resources.cores.unwrap_or(1)
    }

    fn memory(&self) -> Option<u64> {
        self.resources.memory_mb.map(|megabytes| u64::from(megabytes) << 20)
    }

    /// How many jobs the nodes have room for; one where there is none yet, so that a cluster that grows does.
    fn slots(&self) -> Result<usize, QueueError> {
        if let Some((asked, slots)) = self.slots.get()
            && asked.elapsed() < self.options.jobs().poll
        {
            return Ok(slots);
        }
        let of = |node: &serde_json::Value| {
            let has = |name: &str| node[name].as_f64().unwrap_or_default();
            let room = has("CPU") / f64::from(self.cores());
            let memory = self.memory().map(|needed| has("memory") / needed as f64);
            let gpus = self.options.gpus.filter(|needed| *needed > 0.0);
            let gpus = gpus.map(|needed| has("GPU") / needed);
            [memory, gpus].into_iter().flatten().fold(room, f64::min) as usize
        };
        let slots = self.options.api.nodes()?.iter().map(of).sum::<usize>().max(1);
        self.slots.set(Some((Instant::now(), slots)));
        Ok(slots)
    }

    /// The address of the program's package and the program's path in a job's working directory. Ray forgets a package that
    /// no job has needed for ten minutes, so that every job asks for it anew.
    fn program(&self) -> Result<(String, String), QueueError> {
        let own = || -> anyhow::Result<Vec<u8>> {
            let folder = tempfile::tempdir()?;
            let program =
                std::env::current_exe().context("failed to find this program's own file")?;
            fs::copy(program, folder.path().join("rushes"))?;
            Ok(archive::pack(folder.path(), Cursor::new(Vec::new()))?.into_inner())
        };
        let (name, zip) = match self.program.get() {
            Some(program) => program,
            None => {
                let zip = own().map_err(QueueError::Other)?;
                self.program.get_or_init(|| (package_name(&zip), zip))
            }
        };
        let address = self.options.api.upload(name, zip)?;
        let folder = name.trim_end_matches(".zip");
        Ok((address, format!("../../py_modules_files/{folder}/rushes")))
    }

    /// Uploads the directories of a job's trials; gives the package's address.
    fn upload(&self, batch: &Batch<'_>) -> Result<String, QueueError> {
        let pack = || -> anyhow::Result<Vec<u8>> {
            let folder = tempfile::tempdir()?;
            for id in batch.trials {
                let copy = TrialDir::new(folder.path().join("trials").join(id));
                batch.run.trial(id).copy_to(&copy)?;
            }
            // No two jobs work in the same place.
            fs::write(folder.path().join("job"), batch.name)?;
            Ok(archive::pack(folder.path(), Cursor::new(Vec::new()))?.into_inner())
        };
        let zip = pack().map_err(QueueError::Other)?;
        self.options.api.upload(&package_name(&zip), &zip)
    }

    /// A job's command, for a shell in its package.
    fn entrypoint(&self, batch: &Batch<'_>, program: &str) -> anyhow::Result<String> {
        let (name, words) = (batch.name, |words: &[String]| shell_line(words));
        let find = match &self.options.program {
            Some(path) => format!("program={}", words(&[path.display().to_string()])),
            // Older Rays do not keep the mode.
            None => format!("program=$PWD/{program}; chmod +x \"$program\""),
        };
        let run = std::path::absolute(batch.run.path())?;
        let record = run.join("jobs").join(format!("{name}.json"));
        let [run, record] = [run, record].map(|path: PathBuf| words(&[path.display().to_string()]));
        let shared = match self.options.shared {
            true => format!("if [ -f {record} ]; then cd {run}; set --; fi; "),
            false => String::new(),
        };
        let trials: Vec<String> = batch.trials.iter().map(|id| format!("trials/{id}")).collect();
        Ok(format!(
            "{find}; set -- --archive=\"$PWD/../../../logs\"; {shared}exec \"$program\" {} \"$@\" {}",
            words(&batch.arguments),
            words(&trials)
        ))
    }

    /// Fetches what a job has archived of its trials.
    fn fetch(&self, run: &RunDir, name: &str, node: &str, trials: &[String]) -> anyhow::Result<()> {
        let open = |id: &String| run.trial(id).attempt(name).is_none();
        if !trials.iter().any(open) {
            return Ok(());
        }
        let files = self.options.api.log_files(node, &format!("{name}-"))?;
        for (index, id) in trials.iter().enumerate().filter(|(_, id)| open(id)) {
            let file = format!("{name}-{index}.zip");
            if files.contains(&file)
                && let Some(zip) = self.options.api.log_file(node, &file)?
            {
                archive::unpack(&zip, run.trial(id).path())
                    .with_context(|| format!("{file} of Ray's node {node}"))?;
            }
        }
        Ok(())
    }
}

/// What Ray calls a package.
fn package_name(zip: &[u8]) -> String {
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(zip));
    format!("_ray_pkg_{}.zip", &digest[..32])
}

impl Scheduler for Ray<'_> {
    fn name(&self) -> &'static str {
        "Ray"
    }

    fn options(&self) -> &JobOptions {
        self.options.jobs()
    }

    fn places(&self) -> Result<Option<usize>, QueueError> {
        self.slots().map(Some)
    }

    /// Jobs that wait too long for room fail, so that there are no more of them than slots.
    fn next_batch(&self, load: &Load) -> Result<usize, QueueError> {
        let slots = self.slots()?.min(load.limit.unwrap_or(usize::MAX));
        if load.jobs >= slots {
            return Ok(0);
        }
        Ok(load.open.div_ceil(PARTS * slots).min(self.options.batch))
    }

    fn submit(&self, batch: &Batch<'_>) -> Result<(), QueueError> {
        let trials = self.upload(batch)?;
        let mut environment = json!({ "working_dir": trials });
        let mut program = String::new();
        if self.options.program.is_none() {
            let (package, path) = self.program()?;
            environment["py_modules"] = json!([package]);
            program = path;
        }
        let mut job = json!({
            "submission_id": batch.name,
            "entrypoint": self.entrypoint(batch, &program).map_err(QueueError::Other)?,
            "runtime_env": environment,
            "entrypoint_num_cpus": self.cores(),
        });
        if let Some(memory) = self.memory() {
            job["entrypoint_memory"] = json!(memory);
        }
        if let Some(gpus) = self.options.gpus {
            job["entrypoint_num_gpus"] = json!(gpus);
        }
        self.options.api.submit(batch.name, &job)
    }

    fn tasks(&self, run: &RunDir, names: &[String]) -> Result<HashMap<TaskName, Task>, QueueError> {
        let mut tasks = HashMap::new();
        for name in names {
            let Some(job) = self.options.api.job(name)? else { continue };
            let trials = JobRecord::read(run, name).map_err(QueueError::Other)?.trials;
            if let Some(node) = job.driver_node_id.as_ref().filter(|_| job.status != "PENDING") {
                // A node that is gone has nothing to give; what was not fetched runs again.
                match self.fetch(run, name, node, &trials) {
                    Err(error) if !error.is::<QueueError>() => {
                        return Err(QueueError::Other(error));
                    }
                    _ => {}
                }
            }
            let over = |id: &String| run.trial(id).attempt(name).is_some();
            let running = trials.iter().position(|id| !over(id));
            for index in 0..trials.len() {
                let state = state(&job, Some(index) == running);
                tasks.insert((name.clone(), index), Task { id: name.clone(), state });
            }
        }
        Ok(tasks)
    }

    fn cancel(&self, ids: &[String]) -> Result<(), QueueError> {
        let jobs: BTreeSet<&String> = ids.iter().collect();
        jobs.into_iter().try_for_each(|name| self.options.api.stop(name))
    }

    /// Ray knows no other signal than SIGTERM: what runs goes on from its newest checkpoint.
    fn interrupt(&self, ids: &[String]) -> Result<(), QueueError> {
        self.cancel(ids)
    }

    fn cancel_jobs(&self, names: &[String]) -> Result<(), QueueError> {
        self.cancel(names)
    }

    fn cancel_command(&self, names: &[String]) -> String {
        let stop = |name: &String| format!("ray job stop {name}");
        names.iter().map(stop).collect::<Vec<_>>().join("; ")
    }

    /// Jobs are as many as may run.
    fn set_limit(&self, _: &str, _: Option<usize>) -> Result<(), QueueError> {
        Ok(())
    }

    fn last_words(&self, _: &RunDir, (name, _): &TaskName) -> Option<String> {
        let logs = self.options.api.logs(name).ok()?;
        logs.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
    }
}

/// How a task of a job stands that has written nothing of an end; `current` is the first of them.
fn state(job: &Job, current: bool) -> State {
    // What `rushes trials` ends with after SIGTERM and SIGINT.
    const LEFT: [i64; 2] = [143, 130];
    let error = job.error_type.as_deref().unwrap_or_default();
    let ended = |how: &str| format!("its job ended ({how})");
    match (&*job.status, error) {
        ("PENDING", _) => State::Waiting(job.message.clone().unwrap_or_else(|| "None".into())),
        ("RUNNING", _) if current => State::Running,
        ("RUNNING", _) => State::Waiting("None".into()),
        ("STOPPED", _) => State::Over(Gone::Cancelled(ended("STOPPED"))),
        ("SUCCEEDED", _) => {
            State::Over(Gone::Lost("its job ended, and its files cannot be fetched".into()))
        }
        (_, "JOB_SUPERVISOR_ACTOR_START_TIMEOUT") => State::Over(Gone::NotStarted(ended(error))),
        (_, "RUNTIME_ENV_SETUP_FAILURE") => State::Over(Gone::Died(error.to_owned())),
        (status, _) => State::Over(match job.driver_exit_code {
            Some(code) if LEFT.contains(&code) => Gone::Lost("its job was told to end".into()),
            Some(code) => Gone::Died(format!("{status}, exit code {code}")),
            None if error.is_empty() => Gone::Lost(ended(status)),
            None => Gone::Lost(ended(error)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_job_decides_whether_its_trials_go_on_elsewhere() {
        let of = |job: serde_json::Value| {
            let State::Over(gone) = state(&serde_json::from_value(job).unwrap(), true) else {
                panic!("the job is over")
            };
            gone
        };
        let failed = |error: &str| of(json!({ "status": "FAILED", "error_type": error }));
        let lost = Gone::Lost("its job ended (JOB_SUPERVISOR_ACTOR_DIED)".into());
        assert_eq!(failed("JOB_SUPERVISOR_ACTOR_DIED"), lost);
        assert!(matches!(failed("JOB_SUPERVISOR_ACTOR_START_TIMEOUT"), Gone::NotStarted(_)));
        assert!(matches!(failed("RUNTIME_ENV_SETUP_FAILURE"), Gone::Died(_)));
        let exited = |code: i64| of(json!({ "status": "FAILED", "driver_exit_code": code }));
        assert_eq!(exited(126), Gone::Died("FAILED, exit code 126".into()));
        assert!(matches!(exited(143), Gone::Lost(_)));
        assert!(matches!(of(json!({ "status": "STOPPED" })), Gone::Cancelled(_)));
        assert!(matches!(of(json!({ "status": "SUCCEEDED" })), Gone::Lost(_)));
    }
}

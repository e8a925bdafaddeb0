//! Slurm: trials as tasks of job arrays, in a run directory that all nodes see.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context as _;
use fs_err as fs;

mod options;
mod queue;

pub use options::SlurmOptions;

use super::cluster::{Batch, JobOptions, Load, QueueError, Scheduler, Task, TaskName};
use crate::experiment::ResourcesSpec;
use crate::store::RunDir;

/// A Slurm cluster.
pub struct Slurm<'a> {
    /// What each trial needs.
    pub resources: ResourcesSpec,
    /// How it is used.
    pub options: &'a SlurmOptions,
}

impl Scheduler for Slurm<'_> {
    fn name(&self) -> &'static str {
        "Slurm"
    }

    fn options(&self) -> &JobOptions {
        self.options.jobs()
    }

    /// What runs of a queue depends on everybody else's jobs, too.
    fn places(&self) -> Result<Option<usize>, QueueError> {
        Ok(None)
    }

    fn next_batch(&self, load: &Load) -> Result<usize, QueueError> {
        if load.limit.is_some_and(|limit| limit <= load.running) {
            return Ok(0);
        }
        Ok(load.open.min(queue::max_array_size()?))
    }

    fn submit(&self, batch: &Batch<'_>) -> Result<(), QueueError> {
        let folder = batch.run.jobs();
        self.write_script(batch, &folder).map_err(QueueError::Other)?;
        let limit = batch.limit.map(|limit| format!("%{limit}")).unwrap_or_default();
        let mut options = vec![format!("--array=0-{}{limit}", batch.trials.len() - 1)];
        options.extend(self.options.of(&self.resources));
        queue::submit(&folder, batch.name, &options)
    }

    fn tasks(&self, _: &RunDir, names: &[String]) -> Result<HashMap<TaskName, Task>, QueueError> {
        queue::tasks(names)
    }

    fn cancel(&self, ids: &[String]) -> Result<(), QueueError> {
        queue::cancel(ids)
    }

    fn interrupt(&self, ids: &[String]) -> Result<(), QueueError> {
        queue::interrupt(ids)
    }

    fn cancel_jobs(&self, names: &[String]) -> Result<(), QueueError> {
        queue::cancel_arrays(names)
    }

    fn cancel_command(&self, names: &[String]) -> String {
        format!("scancel --name={}", names.join(","))
    }

    fn set_limit(&self, id: &str, limit: Option<usize>) -> Result<(), QueueError> {
        queue::set_limit(id, limit)
    }

    fn last_words(&self, run: &RunDir, (name, index): &TaskName) -> Option<String> {
        let log = fs::read(run.jobs().join(format!("{name}-{index}.log"))).ok()?;
        let text = String::from_utf8_lossy(&log).into_owned();
        text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
    }
}

impl Slurm<'_> {
    /// Writes the program of an array's tasks.
    fn write_script(&self, batch: &Batch<'_>, folder: &Path) -> anyhow::Result<()> {
        let program = match self.options.program() {
            Some(program) => program.to_owned(),
            None => std::env::current_exe().context("failed to find this program's own file")?,
        };
        let words = [vec![program.display().to_string()], batch.arguments.clone()].concat();
        let command = crate::format::shell_line(&words);
        let (name, setup) = (batch.name, self.options.setup());
        fs::write(folder.join(format!("{name}.tasks")), batch.trials.join("\n") + "\n")?;
        let script = format!(
            "#!/bin/bash\n# A task runs the trial in its line of {name}.tasks.\nset -e\n{setup}\n\
             trial=$(sed -n \"$((SLURM_ARRAY_TASK_ID + 1))p\" {name}.tasks)\n\
             exec {command} \"../trials/$trial\"\n"
        );
        Ok(fs::write(folder.join(format!("{name}.sh")), script)?)
    }
}

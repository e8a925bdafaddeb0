//! One run from the shards of an experiment.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use fs_err as fs;

use super::{Closed, changes, close_whole};
use crate::experiment::{Plan, Shard};
use crate::record::{RunInfo, RunStatus};
use crate::runner::over;
use crate::store::RunDir;

/// A run made of shards.
pub struct Merged {
    /// What it came to; the warnings also say what is worth telling.
    pub closed: Closed,
    /// How many of its trials failed.
    pub failed: usize,
}

/// Makes one run below `output` from the runs of all shards of an experiment, and records it in the history.
///
/// # Errors
/// Fails if they are not the shards of one experiment, each once, with a result of every trial, or a file cannot be read
/// or written.
pub fn merge(output: &Path, runs: &[RunDir], label: Option<String>) -> anyhow::Result<Merged> {
    let mut shards: BTreeMap<Shard, (&RunDir, Plan)> = BTreeMap::new();
    for run in runs {
        // `latest` beside the run that it names, as in `output/NAME/*`, is the same run.
        if shards.values().any(|(other, _)| other.path() == run.path()) {
            continue;
        }
        let plan = run.plan()?;
        let shard = plan.shard.with_context(|| {
            format!(
                "{} is no shard but a whole run; there is nothing to merge",
                run.path().display()
            )
        })?;
        if let Some((other, _)) = shards.insert(shard, (run, plan)) {
            anyhow::bail!(
                "shard {shard} is there twice, in {} and {}; leave one of them out",
                other.path().display(),
                run.path().display()
            );
        }
    }
    let (first, (first_run, first_plan)) =
        shards.first_key_value().context("no runs were named")?;
    for (shard, (run, plan)) in &shards {
        let differs = changes::between(&first_plan.experiment, &plan.experiment)?;
        anyhow::ensure!(
            differs.is_empty() && shard.of == first.of,
            "{} and {} are shards of different experiments:\n  {}",
            first_run.path().display(),
            run.path().display(),
            if differs.is_empty() { format!("{first}, {shard}") } else { differs.join("\n  ") }
        );
    }
    let missing = (1..=first.of).map(|number| Shard { number, of: first.of });
    let missing: Vec<String> = (missing.filter(|shard| !shards.contains_key(shard)))
        .map(|shard| shard.to_string())
        .collect();
    anyhow::ensure!(
        missing.is_empty(),
        "there is no run of shard {}; name the runs of all of them",
        missing.join(", ")
    );
    let plan = Plan::new(first_plan.experiment.clone())?;
    let mut places: BTreeMap<&str, Vec<&RunDir>> = BTreeMap::new();
    for (run, plan) in shards.values() {
        for trial in &plan.trials {
            places.entry(&trial.id).or_default().push(run);
        }
    }
    let mut failed = 0;
    let mut problems = Vec::new();
    for trial in &plan.trials {
        match places.get(&*trial.id).map_or(&[][..], Vec::as_slice) {
            [run] => {
                let dir = run.trial(&trial.id);
                if dir.outcome(trial).is_some_and(|result| result.outcome.failed()) {
                    failed += 1;
                } else if over(&dir, trial).is_none() {
                    let run = run.path().display();
                    problems.push(format!(
                        "{} is not over in {run}, or its event log is not whole; go on with: rushes run --resume={run}",
                        trial.id
                    ));
                }
            }
            [] => problems.push(format!("{} is in none of the runs", trial.id)),
            several => {
                let runs = several.iter().map(|run| run.path().display().to_string());
                let runs = runs.collect::<Vec<_>>().join(", ");
                problems.push(format!("{} is in several runs: {runs}", trial.id));
            }
        }
    }
    anyhow::ensure!(problems.is_empty(), "trials are amiss:\n  {}", problems.join("\n  "));

    let infos = shards.values().map(|(run, _)| run.info()).collect::<anyhow::Result<Vec<_>>>()?;
    let dir = RunDir::create(output, &plan.experiment.name)?;
    let fill = || -> anyhow::Result<()> {
        dir.take_initial_policies(&plan, first_run.path())?;
        for (id, runs) in &places {
            for run in runs {
                run.trial(id).copy_to(&dir.trial(id))?;
            }
        }
        dir.write_plan(&plan)?;
        dir.write_info(&together(&dir, &infos, label)?)
    };
    if let Err(error) = fill() {
        // It is nothing that could be gone on with.
        let _ = fs::remove_dir_all(dir.path());
        return Err(error);
    }
    let mut warnings = Vec::new();
    for info in &infos {
        for (name, version) in &info.versions {
            let other = infos[0].versions.get(name);
            if other.is_some_and(|other| other != version) {
                warnings.push(format!(
                    "{name} {version} in {}, {} in {}: numbers may differ for that alone",
                    info.run,
                    other.map_or("", String::as_str),
                    infos[0].run
                ));
            }
        }
    }
    let mut closed = close_whole(&dir)?;
    closed.warnings.splice(..0, warnings);
    Ok(Merged { closed, failed })
}

/// What `run.json` says of a merged run: what the shards had in common is the first one's.
fn together(dir: &RunDir, infos: &[RunInfo], label: Option<String>) -> anyhow::Result<RunInfo> {
    let first = infos.first().context("no runs were named")?.clone();
    Ok(RunInfo {
        run: dir.name(),
        label: label.or(first.label),
        status: RunStatus::Finished,
        started: infos.iter().map(|info| info.started).min().unwrap_or(first.started),
        finished: infos.iter().map(|info| info.finished).max().flatten(),
        command: std::env::args_os().map(|part| part.to_string_lossy().into_owned()).collect(),
        jobs: infos.iter().map(|info| info.jobs).sum(),
        ..first
    })
}

//! `--engine-option`: how Slurm is used.

use std::path::{Path, PathBuf};

use crate::experiment::ResourcesSpec;
use crate::runner::cluster::JobOptions;

/// Options of `sbatch` that are this program's to set.
const OWN: [&str; 16] = [
    "array",
    "chdir",
    "clusters",
    "error",
    "help",
    "job-name",
    "open-mode",
    "output",
    "parsable",
    "requeue",
    "signal",
    "test-only",
    "usage",
    "version",
    "wait",
    "wrap",
];

/// How Slurm is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlurmOptions {
    jobs: JobOptions,
    setup: String,
    program: Option<PathBuf>,
    /// For `sbatch`, as it takes them.
    others: Vec<String>,
}

impl SlurmOptions {
    /// Reads options as written, `NAME=VALUE` or `NAME`. Those that are not of this program are `sbatch`'s.
    ///
    /// # Errors
    /// Fails if one has another form or value; says which are expected.
    pub fn parse(written: &[String]) -> anyhow::Result<Self> {
        let mut options = Self {
            jobs: JobOptions::asking_every(std::time::Duration::from_secs(10)),
            setup: String::new(),
            program: None,
            others: Vec::new(),
        };
        for option in written {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            if options.jobs.set(option)? {
                continue;
            }
            match name {
                "setup" => options.setup = value.to_owned(),
                "program" => options.program = Some(PathBuf::from(value)),
                name => {
                    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                    anyhow::ensure!(
                        name.starts_with(|c: char| c.is_ascii_lowercase())
                            && name.chars().all(plain),
                        "--engine-option {option}: expected NAME=VALUE as `sbatch --NAME=VALUE` takes it, or grace, poll, \
                         setup, program or on-interrupt"
                    );
                    anyhow::ensure!(
                        !OWN.contains(&name),
                        "--engine-option {option}: rushes sets `sbatch --{name}` itself; leave it out"
                    );
                    options.others.push(format!("--{option}"));
                }
            }
        }
        Ok(options)
    }

    /// What jobs of every cluster have.
    pub fn jobs(&self) -> &JobOptions {
        &self.jobs
    }

    /// A line of shell that each job begins with.
    pub(super) fn setup(&self) -> &str {
        &self.setup
    }

    /// The program of the jobs, where it is not this one.
    pub(super) fn program(&self) -> Option<&Path> {
        self.program.as_deref()
    }

    /// Options of `sbatch` for trials that need this; the user's come last and win.
    pub(super) fn of(&self, resources: &ResourcesSpec) -> Vec<String> {
        let ResourcesSpec { cores, memory_mb, minutes } = resources;
        let mut options = vec![format!("--signal=B:TERM@{}", self.jobs.grace.as_secs())];
        options.push(format!("--cpus-per-task={}", cores.unwrap_or(1)));
        options.extend(memory_mb.map(|memory| format!("--mem={memory}M")));
        options.extend(minutes.map(|minutes| format!("--time={minutes}")));
        options.extend(self.others.iter().cloned());
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Result<SlurmOptions, String> {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        SlurmOptions::parse(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_of_this_program_is_sbatchs() {
        let written = ["partition=gpu", "exclusive", "poll=2", "setup=module load x=1", "time=5"];
        let options = parse(&written).unwrap();
        assert_eq!(options.jobs().poll, std::time::Duration::from_secs(2));
        assert_eq!(options.setup(), "module load x=1");
        let resources = ResourcesSpec { cores: Some(2), memory_mb: Some(500), minutes: Some(9) };
        let expected = [
            "--signal=B:TERM@30",
            "--cpus-per-task=2",
            "--mem=500M",
            "--time=9",
            "--partition=gpu",
            "--exclusive",
            "--time=5",
        ];
        assert_eq!(options.of(&resources), expected);
    }

    #[test]
    fn wrong_options_are_refused_with_what_is_expected() {
        for (option, expected) in [
            ("grace=soon", "expected seconds"),
            ("poll=0", "expected seconds"),
            ("on-interrupt=x", "cancel or on-interrupt=leave"),
            ("array=0-3", "rushes sets `sbatch --array` itself"),
            ("--partition=x", "expected NAME=VALUE"),
            ("", "expected NAME=VALUE"),
        ] {
            let message = parse(&[option]).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}

//! A runner that leaves trials out.

use glob::{MatchOptions, Pattern};

use super::{Runner, Source, TrialStatus, Turn};
use crate::experiment::{Plan, TrialPlan};
use crate::store::RunDir;

/// Has another runner advance the trials whose names fit a pattern; the others are left out.
pub struct Only<'a> {
    /// Who advances them.
    pub inner: &'a dyn Runner,
    /// Where the run's files are.
    pub run: &'a RunDir,
    /// Which trials; all where there is no pattern.
    pub patterns: &'a [TrialPattern],
}

impl Runner for Only<'_> {
    fn run<'p>(&self, source: &mut dyn Source<'p>) -> anyhow::Result<()> {
        self.inner.run(&mut Chosen { only: self, source })
    }
}

/// Those trials of a source that are not left out.
struct Chosen<'a, 'p> {
    only: &'a Only<'a>,
    source: &'a mut dyn Source<'p>,
}

impl<'p> Source<'p> for Chosen<'_, 'p> {
    fn next(&mut self, free: &dyn Fn() -> bool) -> anyhow::Result<Option<Turn<'p>>> {
        while let Some(turn) = self.source.next(free)? {
            if TrialPattern::mean(self.only.patterns, turn.trial) {
                return Ok(Some(turn));
            }
            let status = match self.only.run.trial(&turn.trial.id).result() {
                Ok(result) if result.outcome.failed() => TrialStatus::Failed,
                Ok(result) if turn.trial.is_over(&result) => TrialStatus::Completed,
                _ => TrialStatus::LeftOut,
            };
            self.source.ended(turn, status)?;
        }
        Ok(None)
    }

    fn ended(&mut self, turn: Turn<'p>, status: TrialStatus) -> anyhow::Result<()> {
        self.source.ended(turn, status)
    }
}

/// Names of trials: `AGENT/SEED`, in a suite `ENVIRONMENT/AGENT/SEED`, or the first parts of that, with `*`, `?` and `[…]`
/// as in a shell.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialPattern(Pattern);

impl std::str::FromStr for TrialPattern {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        Pattern::new(written).map(Self).map_err(|error| error.to_string())
    }
}

impl TrialPattern {
    /// Whether a trial is meant.
    fn fits(&self, trial: &TrialPlan) -> bool {
        let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
        let agent = trial.agent_name();
        let whole = format!("{agent}/{}", trial.seed);
        let environment = trial.environment_name.as_deref();
        let names = [environment, Some(&*agent), Some(&whole)];
        names.into_iter().flatten().any(|name| self.0.matches_with(name, options))
    }

    /// Whether one of the patterns means a trial; without any, all are meant.
    pub fn mean(patterns: &[Self], trial: &TrialPlan) -> bool {
        patterns.is_empty() || patterns.iter().any(|pattern| pattern.fits(trial))
    }

    /// Checks that the plan, of all shards, has trials that are meant by each of `patterns`, and no search, which needs all of
    /// its trials.
    ///
    /// # Errors
    /// Fails if one means none, or there is a search.
    pub fn check(patterns: &[Self], plan: &Plan) -> anyhow::Result<()> {
        anyhow::ensure!(
            patterns.is_empty() || plan.experiment.search.is_none(),
            "--only: a search compares all of its trials; leave `search` out, or run all of it"
        );
        for pattern in patterns {
            let example = plan.trials.last().map(|t| format!("{}/{}", t.agent_name(), t.seed));
            anyhow::ensure!(
                plan.trials.iter().any(|trial| pattern.fits(trial)),
                "--only: no trial is called `{}`; trials are called {}, for example {}",
                pattern.0,
                if plan.experiment.is_suite() { "ENVIRONMENT/AGENT/SEED" } else { "AGENT/SEED" },
                example.unwrap_or_default()
            );
        }
        Ok(())
    }
}

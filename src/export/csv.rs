//! A run as CSV files (RFC 4180, a header line each): `results.csv`, `episodes.csv`, `evaluations.csv`
//! and `updates.csv`.

use std::fmt::{Display, Write as _};
use std::path::Path;

use super::{Finished, finished};
use crate::experiment::TrialPlan;
use crate::record::{Evaluation, Event, Outcome, Progress, Record};
use crate::store::{self, RunDir};

/// A CSV table in the making.
pub struct Table {
    columns: usize,
    text: String,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[&str]) -> Self {
        let mut table = Self { columns: columns.len(), text: String::new() };
        let header: Vec<&dyn Display> = columns.iter().map(|name| name as &dyn Display).collect();
        table.row(&header);
        table
    }

    /// Adds a row; missing values are empty texts.
    pub fn row(&mut self, values: &[&dyn Display]) {
        debug_assert_eq!(values.len(), self.columns);
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            let start = self.text.len();
            let _ = write!(self.text, "{value}");
            let needs_quotes = self.text[start..].contains([',', '"', '\n', '\r']);
            if needs_quotes {
                let quoted = format!("\"{}\"", self.text[start..].replace('"', "\"\""));
                self.text.replace_range(start.., &quoted);
            }
        }
        self.text.push_str("\r\n");
    }

    /// The whole table.
    pub fn finish(self) -> String {
        self.text
    }
}

/// Writes a run's CSV files into `folder`, replacing older ones. Trials whose files are missing are left
/// out of the tables that need them; how many is returned.
///
/// # Errors
/// Fails if the plan cannot be read, no trial has a result, or a file cannot be written.
pub fn export(run: &RunDir, folder: &Path) -> anyhow::Result<usize> {
    let mut results = Table::new(&[
        "trial",
        "agent",
        "seed",
        "status",
        "episodes",
        "steps",
        "updates",
        "training_seconds",
        "mean_return_before",
        "mean_return_after",
        "run",
        "environment",
    ]);
    let mut evaluations = Table::new(&[
        "trial", "agent", "seed", "moment", "episodes", "steps", "episode", "return", "length",
    ]);
    let mut episodes = Table::new(&[
        "trial",
        "agent",
        "seed",
        "episodes",
        "steps",
        "updates",
        "seconds",
        "return",
        "length",
        "truncated",
    ]);
    let mut updates = Table::new(&[
        "trial", "agent", "seed", "episodes", "steps", "updates", "seconds", "metric", "value",
    ]);
    let plan = run.plan()?;
    let trials = finished(run, &plan)?;
    for trial in &trials {
        let Finished { plan: plan @ TrialPlan { id, seed, environment, .. }, result, .. } = trial;
        let agent = &plan.agent_name();
        let mean = |evaluation: &Option<Evaluation>| {
            let returns = evaluation.as_ref().map(|evaluation| &evaluation.returns[..]);
            let mean = returns.and_then(crate::stats::mean);
            mean.map(|mean| mean.to_string()).unwrap_or_default()
        };
        let status = match &result.outcome {
            Outcome::Completed { .. } => "completed",
            Outcome::Failed { .. } => "failed",
        };
        let progress = result.progress;
        results.row(&[
            id,
            agent,
            seed,
            &status,
            &progress.episodes,
            &progress.steps,
            &progress.updates,
            &result.training_seconds,
            &mean(&result.before),
            &mean(&result.after),
            &run.name(),
            &environment.task(),
        ]);
        let mut evaluated =
            |moment: &str, (done, steps): (u64, u64), returns: &[f64], lengths: &[u64]| {
                for (index, value) in returns.iter().enumerate() {
                    let length = &told(lengths.get(index));
                    evaluations
                        .row(&[id, agent, seed, &moment, &done, &steps, &index, value, length]);
                }
            };
        for Record { progress, seconds, event } in &trial.records()? {
            let (done, steps, updated) = (progress.episodes, progress.steps, progress.updates);
            match event {
                Event::Episode { r#return, length, truncated } => episodes.row(&[
                    id,
                    agent,
                    seed,
                    &done,
                    &steps,
                    &updated,
                    seconds,
                    r#return,
                    &told(length.as_ref()),
                    &told(truncated.as_ref()),
                ]),
                Event::Update { metrics } => {
                    for (name, value) in metrics {
                        updates
                            .row(&[id, agent, seed, &done, &steps, &updated, seconds, name, value]);
                    }
                }
                Event::Evaluation { returns, lengths, .. } => {
                    let untrained = *progress == Progress::default();
                    let moment = if untrained { "before" } else { "during" };
                    evaluated(moment, (done, steps), returns, lengths);
                }
                _ => {}
            }
        }
        if let Some(after) = &result.after {
            let totals = (progress.episodes, progress.steps);
            evaluated("after", totals, &after.returns, &after.lengths);
        }
    }
    fs_err::create_dir_all(folder)?;
    for (name, table) in [
        ("results.csv", results),
        ("episodes.csv", episodes),
        ("evaluations.csv", evaluations),
        ("updates.csv", updates),
    ] {
        store::write_atomically(&folder.join(name), table.finish().as_bytes())?;
    }
    Ok(plan.trials.len() - trials.len())
}

/// A value, or nothing where it is not known.
fn told(value: Option<&impl Display>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn fields_with_separators_quotes_or_line_ends_are_quoted() {
        let mut table = Table::new(&["a", "b"]);
        table.row(&[&"plain", &1.5]);
        table.row(&[&"with \"quotes\", commas", &"two\nlines"]);
        assert_eq!(
            table.finish(),
            "a,b\r\nplain,1.5\r\n\"with \"\"quotes\"\", commas\",\"two\nlines\"\r\n"
        );
    }
}

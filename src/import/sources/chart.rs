//! What Weights & Biases exports of a chart as CSV: a column of what the x axis shows, then for each run one of each metric,
//! called `RUN - METRIC`, with its least and greatest values beside it.

use std::path::Path;

use indexmap::IndexMap;

use super::cell::Cell;
use super::roles::{Roles, Wanted, counts_calls, is_steps};
use crate::import::layout::{Folders, Labels, Place};
use crate::import::training::{Episode, Source, whole};

/// The columns of a chart.
pub(super) struct Chart<'t> {
    /// What the x axis shows.
    axis: &'t str,
    /// The metrics of each run, with their columns.
    runs: IndexMap<&'t str, Vec<(&'t str, usize)>>,
}

impl<'t> Chart<'t> {
    /// The chart whose columns are called so; nothing where these are those of another table.
    ///
    /// # Errors
    /// Fails if the x axis of a chart shows no steps.
    pub(super) fn of(names: &'t [String], path: &Path) -> anyhow::Result<Option<Self>> {
        let Some((axis, columns)) = names.split_first() else { return Ok(None) };
        let mut runs: IndexMap<&str, Vec<(&str, usize)>> = IndexMap::new();
        for (column, name) in columns.iter().enumerate() {
            let Some((run, metric)) = name.rsplit_once(" - ") else { return Ok(None) };
            if !metric.ends_with("__MIN") && !metric.ends_with("__MAX") {
                runs.entry(run).or_default().push((metric, column + 1));
            }
        }
        if runs.is_empty() {
            return Ok(None);
        }
        anyhow::ensure!(
            is_steps(axis),
            "{}: the chart's x axis is `{axis}`; expected environment steps: choose `Step` or `global_step` as the x axis \
             and export the chart again",
            path.display()
        );
        Ok(Some(Self { axis, runs }))
    }

    /// The trainings; nothing where no metric is called as returns are.
    pub(super) fn trainings(
        &self,
        rows: &[Vec<Cell>],
        path: &Path,
        wanted: Wanted<'_>,
    ) -> anyhow::Result<Option<Vec<Source>>> {
        let mut trainings = Vec::new();
        let mut guessed = None;
        for (run, metrics) in &self.runs {
            let names: Vec<&str> = metrics.iter().map(|(metric, _)| *metric).collect();
            let roles = Roles::of(&names, wanted);
            if !roles.has_returns() {
                continue;
            }
            // A run's name may be as those of folders are; else it is the agent's.
            let Place { labels, numbered } = Folders::named(run).place(None);
            if numbered.is_some_and(|numbered| numbered.has_words) {
                guessed = guessed.or(Some(run));
            }
            let agent = labels.agent.or_else(|| labels.seed.is_none().then(|| (*run).to_owned()));
            let mut source = Source {
                program: "Weights & Biases",
                labels: Labels { agent, ..labels },
                means: roles.means(),
                ..Source::default()
            };
            for (index, row) in rows.iter().enumerate() {
                let number = |column: usize| {
                    let place =
                        format!("{} line {}, column {}", path.display(), index + 2, column + 1);
                    row[column].number(&place)
                };
                let of = |metric: Option<usize>| {
                    metric.map_or(Ok(None), |metric| number(metrics[metric].1))
                };
                let Some(steps) = number(0)? else { continue };
                let place = || format!("{} line {}", path.display(), index + 2);
                let steps = whole(steps, "step", place)?;
                if let Some(r#return) = of(roles.training.map(|(metric, _)| metric))? {
                    let (seconds, length) = (None, None);
                    source.episodes.push(Episode { steps, seconds, r#return, length });
                }
                if let Some(r#return) = of(roles.evaluation)? {
                    source.evaluate(steps, r#return);
                }
            }
            trainings.push(source);
        }
        if let Some(first) = trainings.first_mut() {
            let calls = ["Step", "_step"].contains(&self.axis);
            first.notes.extend(calls.then(|| counts_calls(self.axis, &path.display().to_string())));
            first.notes.extend(guessed.map(|run| {
                format!(
                    "{}: numbers at the ends of runs' names, such as {run}, are taken as their seeds; call runs \
                     AGENT_seed_NUMBER where that is wrong",
                    path.display()
                )
            }));
        }
        Ok((!trainings.is_empty()).then_some(trainings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::sources::table::Table;

    fn read(text: &str, wanted: Wanted<'_>) -> anyhow::Result<Vec<Source>> {
        Ok(Table::csv(text)?.content(Path::new("c.csv"), wanted)?.sources)
    }

    const RUN: &str = "CartPole-v1__ppo__3__17";

    /// With `global_step` on the x axis, Weights & Biases' own step is a metric too.
    #[test]
    fn returns_are_known_by_their_metrics_name() {
        let text = format!(
            "global_step,{RUN} - _step,{RUN} - _step__MIN,{RUN} - charts/episodic_return,\
             {RUN} - charts/episodic_return__MAX,{RUN} - losses/value_loss\n100,3,3,21,22,0.5\n200,6,6,,,0.4\n"
        );
        let runs = read(&text, Wanted::default()).expect("a chart");
        let [only] = &runs[..] else { panic!("one run") };
        assert_eq!((only.labels.seed, only.labels.agent.as_deref()), (Some(3), Some("ppo")));
        let [episode] = &only.episodes[..] else { panic!("one return") };
        assert_eq!((episode.steps, episode.r#return), (100, 21.0));
        assert!(only.notes.is_empty());

        let scalar = Wanted { scalar: Some("losses/value_loss"), as_evaluations: false };
        let runs = read(&text, scalar).expect("a chart");
        let returns: Vec<f64> = runs[0].episodes.iter().map(|episode| episode.r#return).collect();
        assert_eq!(returns, [0.5, 0.4]);
    }

    #[test]
    fn other_metrics_are_no_returns() {
        let losses = format!("Step,{RUN} - losses/value_loss\n100,0.5\n");
        assert!(read(&losses, Wanted::default()).expect("a chart").is_empty());
        let calls = format!("Step,{RUN} - charts/episodic_return\n100,0.5\n");
        let runs = read(&calls, Wanted::default()).expect("a chart");
        assert!(runs[0].notes[0].contains("counts the calls"), "{:?}", runs[0].notes);
        let time = format!("Relative Time (Process),{RUN} - charts/episodic_return\n1.5,20\n");
        let error = read(&time, Wanted::default()).expect_err("no steps").to_string();
        assert!(error.contains("the chart's x axis is `Relative Time (Process)`"), "{error}");
    }
}

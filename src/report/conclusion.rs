//! What a run came to, in a few lines: the report's verdict for whoever does not open the page.

use std::path::PathBuf;

use super::model::Report;
use super::sections::verdict::verdict;
use crate::results::Trial;
use crate::stats::{self, Bootstrap, Interval};

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Conclusion {
    /// The verdict, one sentence.
    pub headline: String,
    /// How to take it: `good`, `mixed`, `bad` or `open`.
    pub tone: &'static str,
    /// Further findings.
    pub findings: Vec<String>,
    /// A line for each agent, in the order of the experiment.
    pub agents: Vec<AgentConclusion>,
    /// The trials that were filmed, of searched agents those of the best sample, by their directories, each with the
    /// names of its videos.
    pub films: Vec<(PathBuf, Vec<String>)>,
}

/// What an agent came to.
#[derive(Debug, Clone)]
pub struct AgentConclusion {
    /// Its name.
    pub name: String,
    /// The mean return over its seeds before training, where it learns.
    pub before: Option<f64>,
    /// The same after training.
    pub mean: Option<f64>,
    /// The 95 % interval of `mean`, where there are seeds enough for one.
    pub interval: Option<Interval>,
    /// How many seeds were evaluated.
    pub seeds: usize,
    /// The best sample's values by their paths, where it was searched for.
    pub searched: Vec<(String, String)>,
}

impl Conclusion {
    /// That of the only run of `report`.
    pub(super) fn of(report: &Report) -> Self {
        let verdict = verdict(report);
        let run = &report.wholes[0];
        let agents = report.series.iter().map(|series| {
            let search = run.summary.search.iter().flat_map(|search| &search.agents);
            let best = search.filter(|one| one.agent == series.name).find_map(|one| one.best());
            let values = best.into_iter().flat_map(|sample| &sample.values);
            AgentConclusion {
                name: series.recorded_name.clone(),
                before: stats::mean(&series.before),
                mean: series.mean(),
                interval: Bootstrap::default().interval(&series.scores, stats::mean),
                seeds: series.scores.len(),
                searched: values.map(|(path, value)| (path.clone(), value.to_string())).collect(),
            }
        });
        let films = |trial: &Trial| {
            let files: Vec<String> =
                trial.takes.iter().map(|take| take.record.file.clone()).collect();
            (run.dir.trial(&trial.plan.id).path().to_owned(), files)
        };
        let filmed = |trial: &&Trial| !trial.takes.is_empty();
        Self {
            headline: verdict.headline,
            tone: verdict.tone,
            findings: verdict.points,
            agents: agents.collect(),
            films: (report.series.iter())
                .flat_map(|series| report.trials(series))
                .filter(filmed)
                .map(films)
                .collect(),
        }
    }
}

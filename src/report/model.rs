//! The runs that a report shows, and the series (an agent in a run) that all its sections speak of.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexSet;

use super::block::{Cell, LegendEntry};
use super::chart::Rule;
use super::past::Past;
use crate::experiment::{ImportedSpec, qualified};
use crate::format;
use crate::regression::Decision;
use crate::results::suite::{SuiteAgent, SuiteRun, SuiteScores};
use crate::results::{AgentSummary, PolicyKind, RunData, RunProgress, SeedSummary, Trial};
use crate::stats;

/// Colours for agents that learn; `style.css` defines as many.
const LEARNER_COLORS: usize = 8;
/// Colours for hard-coded agents, likewise.
const BASELINE_COLORS: usize = 3;
/// Dash patterns, likewise.
const DASHES: usize = 4;

/// Everything that sections draw from.
#[derive(Clone)]
pub(super) struct Report {
    /// The runs as they were given.
    pub wholes: Arc<[RunData]>,
    /// The runs in one environment each: those of a suite are several.
    pub runs: Arc<[RunData]>,
    /// The number of the run that each of these is a part of.
    wholes_of: Arc<[usize]>,
    /// What a suite comes to over all its environments, where the page is of runs of one.
    suite_scores: Option<Arc<SuiteScores>>,
    /// What each run is held against.
    pub(super) past: Arc<[Past]>,
    /// How far the run has come, where the page is of one that goes on.
    pub(super) progress: Option<RunProgress>,
    /// Every agent of every run, or of those in one environment ([`Report::environments`]).
    pub series: Vec<Series>,
    /// What each of `wholes` is called on the page: its label, or a letter.
    pub(super) names: Arc<[String]>,
    /// The series that others are held against, by its agent's name or its label, where the reader chose one.
    pub(super) base: Option<String>,
    /// The directory that the page will lie in: links are relative to it.
    pub folder: PathBuf,
    /// Whether videos are put into the page.
    pub standalone: bool,
}

/// An agent in a run.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// The number among the report's `runs`.
    pub run: usize,
    /// The agent's number in the run's summary.
    pub agent: usize,
    /// The agent's name.
    pub name: String,
    /// What summaries, baselines and the history call it: in a suite `ENVIRONMENT/AGENT`.
    pub recorded_name: String,
    /// The name as the page shows it: with the run's letter and the environment's name where there are several.
    pub label: String,
    /// CSS classes: a colour ([`Palette`]) and a dash pattern for the run.
    pub class: String,
    /// Whether it is trained.
    pub learns: bool,
    /// The mean return of each seed's evaluation after training: what statistics over seeds are made of.
    pub scores: Vec<f64>,
    /// The same before training.
    pub before: Vec<f64>,
}

impl Report {
    /// Gives every agent its place and its colour.
    pub(super) fn new(
        wholes: Vec<RunData>,
        past: Arc<[Past]>,
        folder: PathBuf,
        standalone: bool,
    ) -> anyhow::Result<Self> {
        let progress = if let [only] = &wholes[..] { RunProgress::of(only) } else { None };
        let names = run_names(&wholes);
        let mut palette = Palette::new(&wholes);
        let wholes: Arc<[RunData]> = wholes.into();
        let is_suite = |run: &RunData| run.plan.experiment.is_suite();
        let (mut runs, mut wholes_of) =
            (wholes.clone(), (0..wholes.len()).collect::<Arc<[usize]>>());
        if wholes.iter().any(is_suite) {
            let mut parts = Vec::new();
            for (number, whole) in wholes.iter().enumerate() {
                parts.extend(whole.parts()?.into_iter().map(|part| (number, part)));
            }
            let (numbers, parts): (Vec<usize>, Vec<RunData>) = parts.into_iter().unzip();
            (runs, wholes_of) = (parts.into(), numbers.into());
        }
        let mut series = Vec::new();
        for (run, data) in runs.iter().enumerate() {
            for (agent, summary) in data.summary.agents.iter().enumerate() {
                series.push(Series {
                    run,
                    agent,
                    name: summary.name.clone(),
                    recorded_name: qualified(data.environment_name.as_deref(), &summary.name)
                        .into_owned(),
                    label: String::new(),
                    class: palette.class(summary, wholes_of[run]),
                    learns: summary.learns,
                    scores: scores(summary, |seed| &seed.final_returns),
                    before: scores(summary, |seed| &seed.before_returns),
                });
            }
        }
        let of_suite: Vec<SuiteRun> = (wholes.iter().zip(&names))
            .map(|(run, name)| SuiteRun {
                name: (wholes.len() > 1).then_some(name),
                experiment: &run.plan.experiment,
                summary: &run.summary,
            })
            .collect();
        let suite_scores = SuiteScores::of(&of_suite).map(Arc::new);
        if suite_scores.is_none() || wholes.len() > 1 {
            // An agent's runs stand together.
            let agents: IndexSet<String> = series.iter().map(|one| one.name.clone()).collect();
            series.sort_by_key(|one| (agents.get_index_of(&one.name), one.run));
        }
        let mut report = Self {
            suite_scores,
            wholes,
            runs,
            wholes_of,
            past,
            progress,
            series: Vec::new(),
            names: names.into(),
            base: None,
            folder,
            standalone,
        };
        for one in &mut series {
            one.label = one.called(report.environment_name(one.run), report.run_name(one.run));
        }
        report.series = series;
        Ok(report)
    }

    /// The environments of the runs, in the order they were given, and the report as far as each one goes.
    pub(super) fn environments(&self) -> Vec<(&str, Self)> {
        let names: IndexSet<&str> =
            self.runs.iter().map(|run| run.summary.environment.as_str()).collect();
        let of = |name: &str| {
            let here = |one: &&Series| self.runs[one.run].summary.environment == name;
            let mut series: Vec<Series> = self.series.iter().filter(here).cloned().collect();
            for one in &mut series {
                // The environment is told by where they stand.
                one.label = one.called(None, self.run_name(one.run));
            }
            Self { series, ..self.clone() }
        };
        names.into_iter().map(|name| (name, of(name))).collect()
    }

    /// The verdict against the baseline, where the page is of one run that is checked.
    pub(super) fn decision(&self) -> Option<&Decision> {
        let [past] = &self.past[..] else { return None };
        past.decision.as_ref()
    }

    /// The first and the last of the runs that the series are of.
    pub(super) fn ends(&self) -> (usize, usize) {
        let runs = || self.series.iter().map(|one| one.run);
        (runs().min().unwrap_or(0), runs().max().unwrap_or(0))
    }

    /// The agent that others are held against: the reader's choice, else the first one that learns.
    pub(super) fn base(&self) -> Option<&Series> {
        let chosen = self.base.as_deref().and_then(|name| self.find(name));
        chosen.or_else(|| self.series.iter().find(|series| series.learns))
    }

    /// The series of this label, or else the first run's of this agent.
    pub(super) fn find(&self, name: &str) -> Option<&Series> {
        let of_label =
            self.series.iter().find(|series| series.label == name || series.recorded_name == name);
        of_label.or_else(|| self.series.iter().find(|series| series.name == name))
    }

    /// Whether runs are compared.
    pub(super) fn several(&self) -> bool {
        self.wholes.len() > 1
    }

    /// What a suite comes to over all its environments, where the page is of runs of one.
    pub(super) fn suite_scores(&self) -> Option<&SuiteScores> {
        self.suite_scores.as_deref()
    }

    /// An agent of a suite as one of the series, in the first of the environments.
    pub(super) fn series_of(&self, agent: &SuiteAgent) -> Option<Series> {
        let is = |one: &&Series| one.name == agent.name && self.whole_of(one.run) == agent.run;
        let series = self.series.iter().find(is)?;
        Some(Series { label: agent.label.clone(), ..series.clone() })
    }

    /// The parts of number `whole` of `wholes`.
    pub(super) fn parts_of(&self, whole: usize) -> impl Iterator<Item = &RunData> {
        let of = self.wholes_of.iter().zip(&*self.runs);
        of.filter(move |(of, _)| **of == whole).map(|(_, run)| run)
    }

    /// The number of the run among `wholes` that number `run` of `runs` is of.
    pub(super) fn whole_of(&self, run: usize) -> usize {
        self.wholes_of[run]
    }

    /// Whether number `run` of `runs` is the first part of its run.
    pub(super) fn is_first_part(&self, run: usize) -> bool {
        run == 0 || self.wholes_of[run - 1] != self.wholes_of[run]
    }

    /// What the page calls the run that number `run` of `runs` is of, where there are several.
    pub(super) fn run_name(&self, run: usize) -> Option<&str> {
        self.several().then(|| &*self.names[self.whole_of(run)])
    }

    /// What its suite calls the environment of number `run` of `runs`.
    pub(super) fn environment_name(&self, run: usize) -> Option<&str> {
        self.runs[run].environment_name.as_deref()
    }

    /// How the page tells number `run` of `runs` from others, in the middle of a sentence; nothing where there is only one.
    pub(super) fn place(&self, run: usize) -> Option<String> {
        let name = self.run_name(run).map(|name| format!("run {name}"));
        let parts: Vec<String> =
            name.into_iter().chain(self.environment_name(run).map(str::to_owned)).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// The summary of a series.
    pub(super) fn summary(&self, series: &Series) -> &AgentSummary {
        &self.runs[series.run].summary.agents[series.agent]
    }

    /// What is known of a series that another program trained.
    pub(super) fn imported(&self, series: &Series) -> Option<&ImportedSpec> {
        let agents = &self.runs[series.run].plan.experiment.agents;
        agents.get(&series.name)?.imported.as_ref()
    }

    /// Whether all scores are of evaluations.
    pub(super) fn is_evaluated(&self) -> bool {
        self.series.iter().all(|series| self.summary(series).final_score.is_evaluation())
    }

    /// What the scores are of.
    pub(super) fn scored(&self) -> &'static str {
        let of_training = |series: &Series| !self.summary(series).final_score.is_evaluation();
        match (self.is_evaluated(), self.series.iter().all(of_training)) {
            (true, _) if self.series.iter().all(|series| self.imported(series).is_some()) => {
                "the last evaluation"
            }
            (true, _) => "the evaluation after training",
            (_, true) => "the last training returns",
            _ => "the last evaluation, or of the last training returns",
        }
    }

    /// The trials of a series.
    pub(super) fn trials<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = &'a Trial> {
        self.runs[series.run].trials_of(&series.name)
    }

    /// The trials of a series with those of all its samples, where it was searched for.
    pub(super) fn all_trials<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = &'a Trial> {
        let trials = self.runs[series.run].trials.iter().map(Arc::as_ref);
        trials.filter(|trial| trial.plan.agent == series.name)
    }

    /// Every return of every seed's evaluation after training.
    pub(super) fn final_returns(&self, series: &Series) -> Vec<f64> {
        let seeds = &self.summary(series).seeds;
        seeds.iter().flat_map(|seed| seed.final_returns.iter().copied()).collect()
    }

    /// The reward threshold that the runs of all series agree on.
    pub(super) fn threshold(&self) -> Option<f64> {
        let mut thresholds =
            self.series.iter().map(|one| self.runs[one.run].summary.reward_threshold);
        let first = thresholds.next()?;
        thresholds.all(|threshold| threshold == first).then_some(first)?
    }

    /// The returns that charts of returns mark: what the schedules of agents stop at, and the reward threshold.
    pub(super) fn rules(&self) -> Vec<Rule> {
        let mut goals: Vec<(f64, Vec<String>)> = Vec::new();
        for (_, series) in self.learners() {
            let Some(goal) = self.summary(series).goal else { continue };
            match goals.iter_mut().find(|(known, _)| *known == goal.r#return) {
                Some((_, names)) => names.push(series.label.clone()),
                None => goals.push((goal.r#return, vec![series.label.clone()])),
            }
        }
        let threshold = self.threshold();
        let shared = goals.len() == 1;
        let rule = |(y, names): (f64, Vec<String>)| {
            let of = if shared { String::new() } else { format!(" of {}", format::list(&names)) };
            let also = if threshold == Some(y) { " and reward threshold" } else { "" };
            Rule { y, label: format!("goal{of}{also} {}", format::number(y)), class: "goal" }
        };
        let mut rules: Vec<Rule> = goals.into_iter().map(rule).collect();
        let unmarked = threshold.filter(|y| rules.iter().all(|rule| rule.y != *y));
        rules.extend(unmarked.map(|y| Rule {
            y,
            label: format!("reward threshold {}", format::number(y)),
            class: "",
        }));
        rules
    }

    /// The agents that learn.
    pub(super) fn learners(&self) -> impl Iterator<Item = (usize, &Series)> {
        self.series.iter().enumerate().filter(|(_, series)| series.learns)
    }

    /// A link from the page to a file.
    pub(super) fn link(&self, file: &Path) -> String {
        link(file, &self.folder)
    }
}

impl Series {
    /// Its name with those of its environment and run, as far as they are to be told.
    fn called(&self, environment: Option<&str>, run: Option<&str>) -> String {
        let parts = std::iter::once(&*self.name).chain(environment).chain(run);
        parts.collect::<Vec<_>>().join(" · ")
    }

    /// The cell that names it.
    pub(super) fn cell(&self) -> Cell {
        Cell { swatch: self.class.clone(), ..Cell::new(self.label.clone()) }
    }

    /// Its entry in a legend.
    pub(super) fn legend(&self, number: usize) -> LegendEntry {
        let value = String::new();
        LegendEntry { series: number, label: self.label.clone(), class: self.class.clone(), value }
    }

    /// The mean over seeds of the evaluation after training.
    pub(super) fn mean(&self) -> Option<f64> {
        stats::mean(&self.scores)
    }
}

/// Hands out colours and dashes. An agent keeps its colour in every section; where few agents are compared over
/// several runs, each has one in each run, because lines that cross are told apart better by colour than by
/// dashes. A colour that is handed out once more comes with another dash.
struct Palette {
    by_run: bool,
    /// How many dashes the agents of one run take.
    rounds: usize,
    given: Vec<((String, usize), (String, usize))>,
    learners: usize,
    baselines: usize,
}

impl Palette {
    fn new(runs: &[RunData]) -> Self {
        let learners = |run: &RunData| {
            let agents = run.plan.experiment.agents.values();
            agents.filter(|agent| agent.schedule().is_some()).count()
        };
        let by_run = runs.iter().map(learners).sum::<usize>() <= LEARNER_COLORS;
        let most = runs.iter().map(learners).max().unwrap_or(0);
        let rounds = most.div_ceil(LEARNER_COLORS).max(1);
        Self { by_run, rounds, given: Vec::new(), learners: 0, baselines: 0 }
    }

    fn class(&mut self, agent: &AgentSummary, run: usize) -> String {
        let (color, round) = self.color(agent, run);
        format!("{color} d{}", (run * self.rounds + round) % DASHES)
    }

    /// The colour, and how often all of them had been handed out before.
    fn color(&mut self, agent: &AgentSummary, run: usize) -> (String, usize) {
        let key = (agent.name.clone(), if self.by_run && agent.learns { run } else { 0 });
        if let Some((_, given)) = self.given.iter().find(|(known, _)| *known == key) {
            return given.clone();
        }
        let next = |letter, count: &mut usize, colors: usize| {
            *count += 1;
            (format!("{letter}{}", (*count - 1) % colors), (*count - 1) / colors)
        };
        let given = if agent.learns {
            next('c', &mut self.learners, LEARNER_COLORS)
        } else if agent.policy == PolicyKind::Random {
            ("random".to_owned(), 0)
        } else {
            next('b', &mut self.baselines, BASELINE_COLORS)
        };
        self.given.push((key, given.clone()));
        given
    }
}

/// A run's letter in comparisons.
fn letter(run: usize) -> String {
    match u8::try_from(run) {
        Ok(n @ 0..26) => char::from(b'A' + n).to_string(),
        _ => format!("R{}", run + 1),
    }
}

/// What each run is called: its label, where no other run has the same one, else its letter.
fn run_names(runs: &[RunData]) -> Vec<String> {
    let labels = || runs.iter().map(|run| run.summary.label.as_ref());
    let named = labels().enumerate().map(|(run, label)| match label {
        Some(label) if labels().flatten().filter(|other| *other == label).count() == 1 => {
            label.clone()
        }
        _ => letter(run),
    });
    named.collect()
}

fn scores(agent: &AgentSummary, returns: impl Fn(&SeedSummary) -> &Vec<f64>) -> Vec<f64> {
    agent.seeds.iter().filter_map(|seed| stats::mean(returns(seed))).collect()
}

/// The way from `folder` to `file`, both absolute, as a URL.
fn link(file: &Path, folder: &Path) -> String {
    let relative = pathdiff::diff_paths(file, folder).unwrap_or_else(|| file.to_owned());
    format::url_path(&relative.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_and_encoded() {
        let link = |file: &str, folder: &str| link(Path::new(file), Path::new(folder));
        assert_eq!(link("/o/c/r1/trials/a/x.mp4", "/o/c/r1"), "trials/a/x.mp4");
        assert_eq!(link("/o/c/r1/x.mp4", "/o/c/r2"), "../r1/x.mp4");
        assert_eq!(link("/o/a b#?%\"é/-_~.", "/o"), "a%20b%23%3F%25%22%C3%A9/-_~.");
    }

    #[test]
    fn runs_are_lettered_from_a_to_z_and_numbered_beyond() {
        assert_eq!([letter(0), letter(25), letter(26)], ["A", "Z", "R27"]);
    }
}

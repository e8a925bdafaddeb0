//! What the agents of a suite come to over all its environments, as Agarwal et al. (2021), "Deep Reinforcement Learning at
//! the Edge of the Statistical Precipice", define it and the rliable package computes it.
//!
//! A score is the mean return of a seed's evaluation after training, normalised by the returns of a random policy and of a
//! reference in its environment ([`ScoreRange`]). An agent's scores are a matrix of environments and seeds without gaps,
//! or there are no figures of it.

use super::aggregate::Point;
use super::summary::{AgentSummary, PolicyKind, SeedSummary, Summary};
use crate::experiment::{ScoreRange, Spec, qualified};
use crate::format;
use crate::stats::{self, Bootstrap, Interval};

/// Points of a curve over training.
const POINTS: usize = 41;
/// Resamples for the band of such a curve, which is looked at and not computed with.
const CURVE_RESAMPLES: usize = 300;

/// A figure over all environments and seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// The mean of the middle half of all scores.
    InterquartileMean,
    /// The median over environments of the mean over seeds.
    Median,
    /// The mean of all scores.
    Mean,
    /// By how much scores fall short of 1 on average, better ones counting as 1.
    OptimalityGap,
}

impl Aggregate {
    /// All of them, the one to go by first.
    pub const ALL: [Self; 4] =
        [Self::InterquartileMean, Self::Median, Self::Mean, Self::OptimalityGap];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::InterquartileMean => "IQM",
            Self::Median => "median",
            Self::Mean => "mean",
            Self::OptimalityGap => "optimality gap",
        }
    }

    /// The figure of `scores`, one list for each environment. `None` where there are none.
    pub fn of(self, scores: &[Vec<f64>]) -> Option<f64> {
        match self {
            Self::InterquartileMean => stats::interquartile_mean(&scores.concat()),
            Self::Median => {
                let means: Option<Vec<f64>> =
                    scores.iter().map(|seeds| stats::mean(seeds)).collect();
                stats::median(&means?)
            }
            Self::Mean => stats::mean(&scores.concat()),
            Self::OptimalityGap => stats::optimality_gap(&scores.concat(), 1.0),
        }
    }

    /// Its 95 % interval by a bootstrap that resamples the seeds of each environment. `None` for single seeds.
    pub fn interval(self, scores: &[Vec<f64>]) -> Option<Interval> {
        let strata: Vec<&[f64]> = scores.iter().map(Vec::as_slice).collect();
        Bootstrap::default().stratified(&strata, |drawn| self.of(drawn))
    }
}

/// The probability that an agent with the scores `x` does better than one with `y` in a random environment, with random
/// seeds: the mean over environments of [`stats::probability_of_improvement`]. With its 95 % interval, where there are
/// seeds enough for one.
pub fn improvement(x: &[Vec<f64>], y: &[Vec<f64>]) -> Option<(f64, Option<Interval>)> {
    let over = |x: &[Vec<f64>], y: &[Vec<f64>]| {
        let each = x.iter().zip(y).map(|(x, y)| stats::probability_of_improvement(x, y));
        stats::mean(&each.collect::<Option<Vec<f64>>>()?)
    };
    let strata: Vec<&[f64]> = x.iter().chain(y).map(Vec::as_slice).collect();
    let interval = Bootstrap::default().stratified(&strata, |drawn| {
        let (x, y) = drawn.split_at(x.len());
        over(x, y)
    });
    Some((over(x, y)?, interval))
}

/// The share of scores above each of `thresholds`.
pub fn performance_profile(scores: &[Vec<f64>], thresholds: &[f64]) -> Vec<f64> {
    stats::performance_profile(&scores.concat(), thresholds)
}

/// A figure with its 95 % interval, where there are seeds enough for one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Its interval.
    pub interval: Option<Interval>,
}

/// A run of a suite.
#[derive(Clone, Copy)]
pub struct SuiteRun<'a> {
    /// What it is called among several.
    pub name: Option<&'a str>,
    /// Its experiment.
    pub experiment: &'a Spec,
    /// What it came to.
    pub summary: &'a Summary,
}

impl SuiteRun<'_> {
    /// An agent in one of the environments.
    fn find(&self, environment: &str, agent: &str) -> Option<&AgentSummary> {
        let name = qualified(Some(environment), agent);
        self.summary.agents.iter().find(|one| one.name == name)
    }

    /// Whether the environments are the other run's, under the same names.
    fn is_of_same_suite(&self, other: &SuiteRun<'_>) -> bool {
        let [own, others] = [self, other].map(|run| &run.experiment.environments);
        own.len() == others.len()
            && own.iter().all(|(name, environment)| {
                others.get(name).is_some_and(|other| other.task() == environment.task())
            })
    }
}

/// The scores of a suite.
#[derive(Debug, Clone, PartialEq)]
pub struct SuiteScores {
    /// The environments, in the suite's order.
    pub environments: Vec<SuiteEnvironment>,
    /// The agents, in the experiment's order, of one run after the other.
    pub agents: Vec<SuiteAgent>,
    /// Why figures over all environments are missing, of all agents or of some.
    pub notes: Vec<String>,
}

/// An environment of a suite and what its returns are normalised by.
#[derive(Debug, Clone, PartialEq)]
pub struct SuiteEnvironment {
    /// Its name in the suite.
    pub name: String,
    /// The return that counts as 0, and where it is from.
    pub random: Option<(f64, &'static str)>,
    /// The return that counts as 1, and where it is from.
    pub reference: Option<(f64, &'static str)>,
}

/// An agent of a suite.
#[derive(Debug, Clone, PartialEq)]
pub struct SuiteAgent {
    /// The number of its run.
    pub run: usize,
    /// Its name in the experiment.
    pub name: String,
    /// Its name, with that of its run where there are several.
    pub label: String,
    /// Whether it learns in any environment.
    pub learns: bool,
    /// The mean return of each seed's evaluation after training, environment by environment; empty where it has none.
    pub returns: Vec<Vec<f64>>,
    /// The same normalised; nothing where some are missing.
    pub scores: Option<Vec<Vec<f64>>>,
    /// The figures of these scores.
    figures: Vec<(Aggregate, Estimate)>,
    /// The interquartile mean of scores against the share of training that is over, where training was evaluated on its
    /// way in every environment.
    pub efficiency: Vec<Point>,
}

impl SuiteScores {
    /// The scores of these runs, normalised by the returns that the first one knows; nothing for experiments in one
    /// environment, or of different suites.
    pub fn of(runs: &[SuiteRun<'_>]) -> Option<Self> {
        let (first, others) = runs.split_first()?;
        let experiment = first.experiment;
        if !experiment.is_suite() || !others.iter().all(|run| run.is_of_same_suite(first)) {
            return None;
        }
        let environments: Vec<SuiteEnvironment> = (experiment.environments.keys())
            .map(|name| SuiteEnvironment::new(experiment, name, |agent| first.find(name, agent)))
            .collect();
        let ranges: Option<Vec<ScoreRange>> =
            environments.iter().map(SuiteEnvironment::range).collect();
        let mut notes: Vec<String> =
            environments.iter().filter_map(|one| one.note(experiment)).collect();
        let mut agents = Vec::new();
        for (number, run) in runs.iter().enumerate() {
            for name in run.experiment.agents.keys() {
                let found: Vec<_> =
                    environments.iter().map(|one| run.find(&one.name, name)).collect();
                let label: Vec<&str> = std::iter::once(name.as_str()).chain(run.name).collect();
                let label = label.join(" · ");
                let agent = SuiteAgent::new((number, name, label), &found, ranges.as_deref());
                if ranges.is_some() && agent.scores.is_none() {
                    notes.push(agent.why_without(&environments, &found));
                }
                agents.push(agent);
            }
        }
        Some(Self { environments, agents, notes })
    }

    /// The agents that have a score for every environment and seed.
    pub fn whole(&self) -> impl Iterator<Item = (&SuiteAgent, &[Vec<f64>])> {
        self.agents.iter().filter_map(|agent| Some((agent, agent.scores.as_deref()?)))
    }
}

impl SuiteEnvironment {
    fn new<'s>(
        experiment: &Spec,
        name: &str,
        find: impl Fn(&str) -> Option<&'s AgentSummary>,
    ) -> Self {
        let stated = experiment.scores.get(name).copied().unwrap_or_default();
        let agents = experiment.agents.keys().filter_map(|agent| find(agent));
        let random: Vec<f64> = agents
            .filter(|agent| agent.policy == PolicyKind::Random)
            .flat_map(|agent| agent.seeds().filter_map(score))
            .collect();
        let played = || stats::mean(&random).map(|mean| (mean, "the random agent"));
        let solved = || {
            let threshold = experiment.stated_score(name).reference?;
            Some((threshold, "the reward threshold"))
        };
        Self {
            name: name.to_owned(),
            random: stated.random.map(|value| (value, "the experiment")).or_else(played),
            reference: stated.reference.map(|value| (value, "the experiment")).or_else(solved),
        }
    }

    /// What its returns are normalised by, where both ends are known and differ.
    fn range(&self) -> Option<ScoreRange> {
        let ((random, _), (reference, _)) = (self.random?, self.reference?);
        ScoreRange::new(random, reference)
    }

    /// What is missing of its range.
    fn note(&self, experiment: &Spec) -> Option<String> {
        let name = &self.name;
        let imported = experiment.agents.values().all(|agent| agent.imported.is_some());
        let give = |field: &str| match imported {
            true => format!("give `--score {name}=RANDOM:REFERENCE` when importing"),
            false => format!("give `scores.{name}{field}`"),
        };
        let what = match (self.random, self.reference, self.range()) {
            (_, _, Some(_)) => return None,
            (None, _, _) => {
                format!("no random agent was evaluated in {name}: {}", give(".random"))
            }
            (_, None, _) => {
                format!("{name} has no reward threshold: {}", give(".reference"))
            }
            _ => format!(
                "the reference in {name} is not above what a random policy earns: {}",
                give("")
            ),
        };
        Some(format!("no figures over all environments: {what}"))
    }
}

impl SuiteAgent {
    fn new(
        (run, name, label): (usize, &str, String),
        found: &[Option<&AgentSummary>],
        ranges: Option<&[ScoreRange]>,
    ) -> Self {
        let returns: Vec<Vec<f64>> = (found.iter())
            .map(|agent| agent.iter().flat_map(|one| one.seeds().filter_map(score)).collect())
            .collect();
        let whole = has_every_seed(found);
        let normalised = |ranges: &[ScoreRange]| {
            let of = |(returns, range): (&Vec<f64>, &ScoreRange)| {
                returns.iter().map(|value| range.normalised(*value)).collect()
            };
            returns.iter().zip(ranges).map(of).collect()
        };
        let ranges = ranges.filter(|_| whole);
        let scores: Option<Vec<Vec<f64>>> = ranges.map(normalised);
        let figure = |aggregate: Aggregate| {
            let scores = scores.as_ref()?;
            let interval = aggregate.interval(scores);
            Some((aggregate, Estimate { value: aggregate.of(scores)?, interval }))
        };
        Self {
            run,
            name: name.to_owned(),
            label,
            learns: found.iter().flatten().any(|agent| agent.learns),
            figures: Aggregate::ALL.into_iter().filter_map(figure).collect(),
            scores,
            efficiency: ranges.map(|ranges| efficiency(found, ranges)).unwrap_or_default(),
            returns,
        }
    }

    /// A figure over all environments; nothing where scores are missing.
    pub fn figure(&self, aggregate: Aggregate) -> Option<Estimate> {
        self.figures.iter().find(|(known, _)| *known == aggregate).map(|(_, estimate)| *estimate)
    }

    /// Why it has no figures over all environments.
    fn why_without(
        &self,
        environments: &[SuiteEnvironment],
        found: &[Option<&AgentSummary>],
    ) -> String {
        let gaps = environments.iter().zip(found).filter_map(|(environment, agent)| {
            let name = &environment.name;
            let Some(agent) = agent else { return Some(format!("does not play in {name}")) };
            let without = agent.seeds().filter(|seed| score(seed).is_none()).count();
            let all = format::plural(agent.seeds.len(), "seed");
            (without > 0).then(|| format!("has no score for {without} of {all} in {name}"))
        });
        let gaps: Vec<String> = gaps.collect();
        format!("no figures over all environments for {}: it {}", self.label, format::list(&gaps))
    }
}

/// The mean return of a seed's evaluation after training.
fn score(seed: &SeedSummary) -> Option<f64> {
    stats::mean(&seed.final_returns).filter(|mean| mean.is_finite())
}

/// Whether an agent has a score of the same seeds in every environment.
fn has_every_seed(found: &[Option<&AgentSummary>]) -> bool {
    let seeds = |agent: &Option<&AgentSummary>| -> Option<Vec<u64>> {
        let scored = |seed: &SeedSummary| score(seed).map(|_| seed.seed);
        agent.as_ref()?.seeds().map(scored).collect()
    };
    let all: Option<Vec<Vec<u64>>> = found.iter().map(seeds).collect();
    all.is_some_and(|all| !all[0].is_empty() && all.iter().all(|seeds| *seeds == all[0]))
}

/// The sample efficiency curve. Trainings of different lengths are put together by the share of each that is over.
fn efficiency(found: &[Option<&AgentSummary>], ranges: &[ScoreRange]) -> Vec<Point> {
    // Of each environment and seed, from the share of training to the score.
    let mut curves: Vec<Vec<Vec<(f64, f64)>>> = Vec::new();
    for (agent, range) in found.iter().zip(ranges) {
        let Some(agent) = agent else { return Vec::new() };
        let Some(evaluated) = agent.evaluation_curves() else { return Vec::new() };
        let end = evaluated.iter().filter_map(|curve| curve.steps.last()).max();
        let Some(end) = end.filter(|end| **end > 0) else { return Vec::new() };
        let points = |curve: &super::Curve| -> Vec<(f64, f64)> {
            let shares = curve.steps.iter().map(|&steps| steps as f64 / *end as f64);
            shares.zip(curve.returns.iter().map(|value| range.normalised(*value))).collect()
        };
        let seeds: Vec<_> = evaluated.iter().map(points).collect();
        if seeds.iter().any(Vec::is_empty) {
            return Vec::new();
        }
        curves.push(seeds);
    }
    let begins = curves.iter().flatten().map(|curve| curve[0].0).fold(0.0, f64::max);
    let bootstrap = Bootstrap { resamples: CURVE_RESAMPLES, ..Bootstrap::default() };
    let point = |index: usize| {
        let x = begins + (1.0 - begins) * index as f64 / (POINTS - 1) as f64;
        let scores: Vec<Vec<f64>> = (curves.iter())
            .map(|seeds| seeds.iter().map(|curve| super::aggregate::at(curve, x)).collect())
            .collect();
        let middle = Aggregate::InterquartileMean.of(&scores)?;
        let strata: Vec<&[f64]> = scores.iter().map(Vec::as_slice).collect();
        let of = |drawn: &[Vec<f64>]| Aggregate::InterquartileMean.of(drawn);
        let interval = bootstrap.stratified(&strata, of);
        let (low, high) = interval.map_or((middle, middle), |one| (one.low, one.high));
        Some(Point { x, middle, low, high })
    };
    (0..POINTS).filter_map(point).collect()
}

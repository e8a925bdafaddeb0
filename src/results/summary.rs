//! `summary.json`: what a run came to, in one small file.
//!
//! It is written once, when a run's trials have ended; report, regression gate, history and exports need nothing
//! else of the run. Every field is documented for other programs in `docs/output-format.md`.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::experiment::{Direction, FinalScore, Objective, Parent, ScheduleSpec};
use crate::record::{GitInfo, Outcome, Progress, RunStatus, Stored};
use crate::search::{Rung, SampleScore, Standing};
use crate::{format, stats};

/// `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`crate::record::FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// The experiment's name.
    pub experiment: String,
    /// Hash of everything in the experiment that decides the returns.
    pub settings_hash: String,
    /// The run's directory name.
    pub run: String,
    /// What the user calls the run (`rushes run --label`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How the run stood when this was written.
    pub status: RunStatus,
    /// When the run was started, UTC; nothing where `run.json` could not be read.
    pub started: Option<jiff::Timestamp>,
    /// When it ended, UTC.
    pub finished: Option<jiff::Timestamp>,
    /// Versions of what decides the numbers.
    pub versions: IndexMap<String, String>,
    /// The commit of the folder that holds the experiment file, where it is in a git repository.
    pub git: Option<GitInfo>,
    /// The environment as [`crate::experiment::EnvironmentSpec::task`] names it: its id alone where nothing differs
    /// from the registered one. Those of a suite are listed.
    pub environment: String,
    /// The mean return at which the environment counts as solved, where it defines one; nothing in a suite.
    pub reward_threshold: Option<f64>,
    /// The environments of a suite by their names.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub environments: IndexMap<String, EnvironmentSummary>,
    /// The agents, in the order of the experiment file (those of a suite environment by environment, each called
    /// `ENVIRONMENT/AGENT`); one that was searched for is its best sample.
    pub agents: Vec<AgentSummary>,
    /// What the experiment's search came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchSummary>,
}

impl Stored for Summary {
    fn file_names(&self) -> Vec<(&'static str, &str)> {
        let seeds = self.agents.iter().flat_map(AgentSummary::seeds);
        let trials = seeds.map(|seed| ("agents[].seeds[].trial", seed.trial.as_str()));
        let own = [("experiment", self.experiment.as_str()), ("run", &self.run)];
        own.into_iter().chain(trials).collect()
    }
}

impl Summary {
    /// The reward threshold of the environment that an agent plays in, where it defines one.
    pub fn threshold_of(&self, agent: &str) -> Option<f64> {
        let of_suite = agent.split_once('/').and_then(|(name, _)| self.environments.get(name));
        of_suite.map_or(self.reward_threshold, |environment| environment.reward_threshold)
    }

    /// What a suite came to in one of its environments; its agents have their own names.
    pub(super) fn part(&self, name: &str) -> Self {
        let of_part = |agent: &AgentSummary| {
            let own = agent.name.strip_prefix(name)?.strip_prefix('/')?.to_owned();
            Some(AgentSummary { name: own, ..agent.clone() })
        };
        let environment = self.environments.get(name);
        Self {
            environment: environment.map(|one| one.environment.clone()).unwrap_or_default(),
            reward_threshold: environment.and_then(|one| one.reward_threshold),
            environments: IndexMap::new(),
            agents: self.agents.iter().filter_map(of_part).collect(),
            ..self.clone()
        }
    }
}

/// An environment of a suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentSummary {
    /// As [`Summary::environment`].
    pub environment: String,
    /// The mean return at which it counts as solved, where it defines one.
    pub reward_threshold: Option<f64>,
}

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchSummary {
    /// What trials were judged by.
    pub metric: Objective,
    /// Whether it should be small or large.
    pub direction: Direction,
    /// The agents that something was searched for.
    pub agents: Vec<SearchedAgent>,
}

impl SearchSummary {
    /// The number of the sample that stands for an agent, where it was searched for.
    pub fn shown(&self, agent: &str) -> Option<usize> {
        let searched = self.agents.iter().find(|searched| searched.agent == agent)?;
        Some(searched.samples.first()?.number)
    }
}

/// What the search came to for an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchedAgent {
    /// The agent's name.
    pub agent: String,
    /// The samples, best first.
    pub samples: Vec<SampleSummary>,
    /// The share of the scores' variance that each parameter explains alone, the most important one first.
    pub importance: Vec<(String, f64)>,
    /// The rungs of asynchronous halving, the lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rungs: Vec<Rung>,
}

/// One sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleSummary {
    /// Its number.
    pub number: usize,
    /// The values by their paths.
    pub values: IndexMap<String, Value>,
    /// What it goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// How it stands, and its seeds' scores.
    #[serde(flatten)]
    pub score: SampleScore,
    /// The mean of the seeds' scores.
    pub mean: Option<f64>,
}

impl SearchedAgent {
    /// The best sample, where any is complete.
    pub fn best(&self) -> Option<&SampleSummary> {
        self.samples.first().filter(|sample| sample.score.standing == Standing::Complete)
    }
}

/// One agent over all its seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentSummary {
    /// The agent's name in the experiment.
    pub name: String,
    /// What kind of policy it has.
    pub policy: PolicyKind,
    /// Whether it is trained; agents that are not serve as baselines.
    pub learns: bool,
    /// How many training episodes each point of [`SeedSummary::curve`] averages over, looking back.
    pub curve_window: usize,
    /// What its schedule stops at, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<Goal>,
    /// What [`SeedSummary::final_returns`] are of, where other programs trained the agent and evaluated nothing.
    #[serde(default, skip_serializing_if = "FinalScore::is_evaluation")]
    pub final_score: FinalScore,
    /// Its trials, in the order of the experiment's seeds, unfinished ones included.
    pub seeds: Vec<Arc<SeedSummary>>,
}

impl AgentSummary {
    /// Its trials.
    pub fn seeds(&self) -> impl Iterator<Item = &SeedSummary> {
        self.seeds.iter().map(Arc::as_ref)
    }

    /// The evaluations of every seed as a learning curve, from before to after training; nothing where training was
    /// not evaluated at two points at least, its end among them. A seed with a single evaluation has an empty curve.
    pub fn evaluation_curves(&self) -> Option<Vec<Curve>> {
        let curves: Vec<_> = self.seeds().map(SeedSummary::evaluation_curve).collect();
        self.seeds().any(SeedSummary::is_evaluated).then_some(curves)
    }

    /// That no training was as long as the window of its mean return, where none was: neither the goal nor the reward
    /// threshold is reached before, whatever the mean over fewer episodes is.
    pub fn short_of_window(&self) -> Option<String> {
        let played = self.seeds().filter_map(|seed| seed.curve.episodes.last());
        let most = *played.max()?;
        (most < self.curve_window as u64).then(|| {
            format!(
                "the mean is that of {} episodes, and no seed has trained for more than {}",
                format::count(self.curve_window as u64),
                format::count(most)
            )
        })
    }

    /// Whether the evaluations of every seed that ran to its end are a learning curve.
    pub fn is_evaluated_throughout(&self) -> bool {
        let ended = |seed: &&SeedSummary| matches!(seed.outcome, Some(Outcome::Completed { .. }));
        let mut ended = self.seeds().filter(ended).peekable();
        ended.peek().is_some() && ended.all(SeedSummary::is_evaluated)
    }
}

/// What a schedule stops at (`schedule.stop`): the experiment's own goal, beside the environment's threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// The mean return to reach.
    pub r#return: f64,
    /// How many training episodes the mean looks back; nothing for an exponential running return.
    pub window: Option<usize>,
}

impl Goal {
    /// The goal of a schedule in an environment with this reward threshold.
    pub fn of(schedule: &ScheduleSpec, threshold: Option<f64>) -> Option<Self> {
        let rule = schedule.stop.as_ref()?.goal();
        let window = rule.mean_return.map(|_| rule.window);
        let target = rule.mean_return.or(rule.running_return)?;
        Some(Self { r#return: target.value(threshold)?, window })
    }
}

/// The kinds of policies, as written under `policy.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyKind {
    /// Actions drawn uniformly.
    Random,
    /// A rule.
    HardCoded,
    /// A network.
    Neural,
    /// A table of action values.
    Tabular,
    /// Planning on copies of the environment.
    Planning,
    /// A program of the user's own.
    External,
    /// That of an agent with a `trainer`.
    Trainer,
    /// That of an agent that another program trained.
    Imported,
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedSummary {
    /// The trial's seed.
    pub seed: u64,
    /// The trial's directory below `trials/`.
    pub trial: String,
    /// How it ended; nothing while it has no readable result.
    pub outcome: Option<Outcome>,
    /// Whether its training is shorter than the schedule: the user ended it, or the schedule was lengthened since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended_early: bool,
    /// The network engine that was used, where there is a network.
    pub engine: Option<String>,
    /// The return of every evaluation episode of the untrained policy; empty where there was none.
    pub before_returns: Vec<f64>,
    /// The return of every evaluation episode after training; empty where there was none.
    pub final_returns: Vec<f64>,
    /// The length in steps of every evaluation episode after training.
    pub final_lengths: Vec<u64>,
    /// How many of these episodes were cut by `evaluation.max_episode_steps`, the longest ones.
    #[serde(default, skip_serializing_if = "none")]
    pub final_cut: usize,
    /// Training's totals; zeros for policies that do not learn.
    #[serde(flatten)]
    pub progress: Progress,
    /// Wall-clock seconds spent training.
    pub training_seconds: f64,
    /// Training's environment steps per second, without evaluations and filming.
    pub steps_per_second: Option<f64>,
    /// The most memory the trial's process had in use, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// Training returns: each point the mean over the last [`AgentSummary::curve_window`] episodes,
    /// thinned out to at most [`CURVE_POINTS`] points (fewer in a run of thousands of trials), the first and the last one
    /// kept.
    pub curve: Curve,
    /// Evaluations during training: each point the mean over one evaluation's episodes, thinned likewise.
    pub evaluations: Curve,
    /// Where training was when the mean over a whole window of episodes first reached
    /// [`Summary::reward_threshold`], found before thinning; nothing where it never did.
    pub threshold_reached: Option<Reached>,
    /// Where training was when [`AgentSummary::goal`] was first reached; nothing where it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal_reached: Option<Reached>,
}

fn none(count: &usize) -> bool {
    *count == 0
}

impl SeedSummary {
    /// Whether training was evaluated at two points at least, its end among them.
    fn is_evaluated(&self) -> bool {
        self.evaluation_curve().steps.iter().filter(|&&steps| steps > 0).count() >= 2
    }

    /// The evaluations during training, then the one after it where training went on after the last of them. One
    /// point is no curve.
    fn evaluation_curve(&self) -> Curve {
        let mut curve = self.evaluations.clone();
        let Progress { episodes, steps, .. } = self.progress;
        let ended_later = curve.steps.last().is_some_and(|&last| last < steps);
        if let (true, Some(mean)) = (ended_later, stats::mean(&self.final_returns)) {
            curve.push(Reached { episodes, steps, seconds: self.training_seconds }, mean);
        }
        if curve.len() > 1 { curve } else { Curve::default() }
    }
}

/// The most points that a curve in a summary has.
pub const CURVE_POINTS: usize = 200;

/// A curve, as columns of equal length.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Finished training episodes.
    pub episodes: Vec<u64>,
    /// Environment steps.
    pub steps: Vec<u64>,
    /// Wall-clock seconds of training; differ between two runs of the same trial.
    pub seconds: Vec<f64>,
    /// The return.
    pub returns: Vec<f64>,
}

impl Curve {
    /// How many points there are.
    pub fn len(&self) -> usize {
        self.returns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.returns.is_empty()
    }

    /// Adds a point at the end.
    pub fn push(&mut self, at: Reached, value: f64) {
        self.episodes.push(at.episodes);
        self.steps.push(at.steps);
        self.seconds.push(at.seconds);
        self.returns.push(value);
    }

    /// At most `most` (at least 2) of its points, evenly chosen; the first and the last one stay.
    pub fn thinned(&self, most: usize) -> Self {
        let n = self.len();
        if n <= most.max(2) {
            return self.clone();
        }
        let mut thinned = Self::default();
        for index in stats::evenly(n, most) {
            let at = Reached {
                episodes: self.episodes[index],
                steps: self.steps[index],
                seconds: self.seconds[index],
            };
            thinned.push(at, self.returns[index]);
        }
        thinned
    }
}

/// A moment in training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    /// Finished training episodes.
    pub episodes: u64,
    /// Environment steps.
    pub steps: u64,
    /// Wall-clock seconds of training.
    pub seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_sample_is_the_best() {
        let sample = |number, standing| SampleSummary {
            number,
            values: IndexMap::new(),
            parent: None,
            score: SampleScore { standing, seeds: vec![1.0] },
            mean: Some(1.0),
        };
        let best = |samples: Vec<SampleSummary>| {
            let searched = SearchedAgent {
                agent: "a".into(),
                samples,
                importance: Vec::new(),
                rungs: Vec::new(),
            };
            searched.best().map(|sample| sample.number)
        };
        let stopped = sample(1, Standing::Stopped { steps: 300 });
        assert_eq!(best(vec![sample(3, Standing::Complete), stopped.clone()]), Some(3));
        assert_eq!(best(vec![stopped, sample(0, Standing::Failed)]), None);
        assert_eq!(best(Vec::new()), None);
    }

    /// A seed that trained for 100 steps, was evaluated then (return 9), and before at these steps.
    fn seed(evaluated: &[u64]) -> SeedSummary {
        let mut evaluations = Curve::default();
        for &steps in evaluated {
            evaluations.push(Reached { episodes: steps, steps, seconds: 0.0 }, steps as f64);
        }
        SeedSummary {
            seed: 0,
            trial: String::new(),
            outcome: None,
            ended_early: false,
            engine: None,
            before_returns: Vec::new(),
            final_returns: vec![8.0, 10.0],
            final_lengths: vec![1, 1],
            final_cut: 0,
            progress: Progress { episodes: 100, steps: 100, updates: 100 },
            training_seconds: 1.0,
            steps_per_second: None,
            peak_memory_bytes: None,
            curve: Curve::default(),
            evaluations,
            threshold_reached: None,
            goal_reached: None,
        }
    }

    #[test]
    fn evaluations_are_a_curve_where_training_was_evaluated_on_its_way() {
        let curves = |seeds: &[&[u64]]| {
            let seeds = seeds.iter().map(|evaluated| Arc::new(seed(evaluated))).collect();
            let agent = AgentSummary {
                name: String::new(),
                policy: PolicyKind::Neural,
                learns: true,
                curve_window: 1,
                goal: None,
                final_score: FinalScore::Evaluation,
                seeds,
            };
            let curves = agent.evaluation_curves()?;
            Some(curves.into_iter().map(|curve| (curve.steps, curve.returns)).collect::<Vec<_>>())
        };
        assert_eq!(curves(&[&[0]]), None, "before and after training");
        assert_eq!(curves(&[&[0, 100]]), None);
        assert_eq!(curves(&[&[]]), None);
        let whole = (vec![0, 50, 100], vec![0.0, 50.0, 100.0]);
        assert_eq!(curves(&[&[0, 50, 100]]), Some(vec![whole.clone()]));
        // Where training ended between two evaluations, the one after it is the end, and a seed that stopped before
        // the first of them did not stay what it was untrained.
        let ends = (vec![0, 50, 100], vec![0.0, 50.0, 9.0]);
        let stopped = (vec![0, 100], vec![0.0, 9.0]);
        assert_eq!(curves(&[&[0, 50], &[0], &[0, 50, 100]]), Some(vec![ends, stopped, whole]));
    }
}

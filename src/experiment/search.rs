//! A search as experiment files describe it.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AgentSpec, Override, Spec};
use crate::env::{Distribution, Problem, names, path};

/// A search for good settings of the agents. Every sample is run with every seed of the experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchSpec {
    /// What varies: a path inside an agent, as `--set` takes it
    /// (`agents.ppo.training.algorithm.learning_rate`), and the values that may stand there.
    #[schemars(extend("minProperties" = 1))]
    pub parameters: IndexMap<String, ParameterSpec>,
    /// How many samples are drawn; for every combination of the `grid` parameters where there are any.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10_000))]
    pub samples: usize,
    /// How samples are chosen.
    #[serde(default)]
    pub sampler: SamplerSpec,
    /// Which samples are stopped before their schedule ends.
    #[serde(default)]
    pub scheduler: SchedulerSpec,
    /// What a trial is judged by.
    #[serde(default)]
    pub metric: Objective,
    /// Whether the metric should be small or large; by default what the metric is made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The mean training return that `steps_to_threshold` waits for; by default the agent's
    /// `stop.mean_return`, else the environment's reward threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Seed of everything that the search draws.
    #[serde(default)]
    pub seed: u64,
}

fn one() -> usize {
    1
}

/// The values that a parameter may have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParameterSpec {
    /// Each of these, in combination with everything else.
    Grid(#[schemars(length(min = 1, max = 10_000))] Vec<Value>),
    /// One of these, drawn evenly.
    Choice(#[schemars(length(min = 1, max = 10_000))] Vec<Value>),
    /// A number drawn evenly between these two.
    Uniform([f64; 2]),
    /// A number whose logarithm is drawn evenly between those of these two.
    LogUniform([f64; 2]),
    /// A whole number drawn evenly from the first to the last one.
    Integer([i64; 2]),
}

impl ParameterSpec {
    /// What independent samples are drawn from; a grid counts as a choice.
    pub fn distribution(&self) -> Distribution {
        match self {
            Self::Grid(values) | Self::Choice(values) => Distribution::Choice(values.clone()),
            Self::Uniform(ends) => Distribution::Uniform(*ends),
            Self::LogUniform(ends) => Distribution::LogUniform(*ends),
            Self::Integer(ends) => Distribution::Integer(*ends),
        }
    }
}

/// How samples are chosen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum SamplerSpec {
    /// Independent draws.
    #[default]
    Random,
    /// Every combination of `grid`, `choice` and `integer` parameters once.
    Grid,
    /// A tree-structured Parzen estimator (Bergstra et al. 2011): draws resemble samples that did well.
    Tpe {
        /// Samples that are drawn independently first.
        #[serde(default = "startup")]
        #[schemars(range(min = 1))]
        startup: usize,
        /// Samples that are decided on together, and may run side by side: more know less.
        #[serde(default = "batch")]
        #[schemars(range(min = 1))]
        batch: usize,
    },
}

fn startup() -> usize {
    10
}

fn batch() -> usize {
    4
}

/// Which samples are stopped before their schedule ends. Samples are compared by the training returns of
/// all their seeds, when all of them have come equally far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum SchedulerSpec {
    /// None.
    #[default]
    None,
    /// A sample stops whose best mean return so far is below the median of the other samples' mean returns
    /// over all their episodes so far (Golovin et al. 2017).
    MedianStopping {
        /// Environment steps before the first comparison.
        #[schemars(range(min = 1))]
        grace_period: u64,
        /// Environment steps between comparisons.
        #[schemars(range(min = 1))]
        interval: u64,
    },
    /// Successive halving (Jamieson and Talwalkar 2016): after `grace_period` steps the best of
    /// `reduction_factor` samples goes on, again after that many times the steps, and so on. Each comparison waits for
    /// all samples, so that the search is repeatable. Of equals, the samples drawn first go on.
    SuccessiveHalving {
        /// Environment steps of the first rung.
        #[schemars(range(min = 1))]
        grace_period: u64,
        /// One of so many samples goes on.
        #[serde(default = "reduction_factor")]
        #[schemars(range(min = 2, max = 1000))]
        reduction_factor: u64,
    },
    /// Asynchronous successive halving (ASHA, Li et al. 2020): whenever a trial can run, the best sample goes on that is
    /// among the best of `reduction_factor` at its rung so far, of the highest rung that has one; else another sample
    /// begins. Nothing waits for a rung to fill, so that what is promoted depends on which trial was faster: each
    /// decision is written to `decisions.jsonl`, from which an interrupted search goes on. With `--jobs 1` it is
    /// repeatable.
    AsynchronousHalving {
        /// Environment steps of the first rung.
        #[schemars(range(min = 1))]
        grace_period: u64,
        /// One of so many samples goes on.
        #[serde(default = "reduction_factor")]
        #[schemars(range(min = 2, max = 1000))]
        reduction_factor: u64,
    },
    /// Population-based training (Jaderberg et al. 2017), with Ray Tune's defaults: every `interval` steps each of the
    /// worst samples stops, and a sample takes its place that goes on from one of the best, weights and all, with
    /// other values. It is all one training: settings are found for its beginning, its middle and its end.
    PopulationBasedTraining {
        /// Environment steps between two comparisons.
        #[schemars(range(min = 1))]
        interval: u64,
        /// The share of the samples that stops, and the share that may be gone on from.
        #[serde(default = "quantile_fraction")]
        #[schemars(range(min = 0.0, max = 0.5))]
        quantile_fraction: f64,
        /// The probability that a value is drawn anew. Otherwise a number is multiplied by one of
        /// `perturbation_factors`, and a value of a list replaced by a neighbour.
        #[serde(default = "resample_probability")]
        #[schemars(range(min = 0.0, max = 1.0))]
        resample_probability: f64,
        /// Either is as likely.
        #[serde(default = "perturbation_factors")]
        #[schemars(inner(range(min = 0.0)))]
        perturbation_factors: [f64; 2],
    },
}

impl SchedulerSpec {
    /// Whether it decides whenever a trial can run, not in rounds.
    pub fn is_asynchronous(&self) -> bool {
        matches!(self, Self::AsynchronousHalving { .. })
    }

    /// The number of steps after which samples are compared for the first time.
    fn first_milestone(&self) -> Option<u64> {
        match *self {
            Self::None => None,
            Self::MedianStopping { grace_period, .. }
            | Self::SuccessiveHalving { grace_period, .. }
            | Self::AsynchronousHalving { grace_period, .. } => Some(grace_period),
            Self::PopulationBasedTraining { interval, .. } => Some(interval),
        }
    }

    /// The numbers of steps after which samples are compared, for a schedule of so many steps.
    pub fn milestones(&self, steps: u64) -> Vec<u64> {
        let next = |previous: u64| match *self {
            Self::None => None,
            Self::MedianStopping { interval, .. }
            | Self::PopulationBasedTraining { interval, .. } => previous.checked_add(interval),
            Self::SuccessiveHalving { reduction_factor, .. }
            | Self::AsynchronousHalving { reduction_factor, .. } => {
                previous.checked_mul(reduction_factor)
            }
        };
        std::iter::successors(self.first_milestone(), |&previous| next(previous))
            .take_while(|&milestone| milestone < steps)
            .collect()
    }

    /// The rung of a sample that stopped after so many steps, where samples are compared at rungs: some steps more may
    /// have passed until each could pause.
    pub fn rung(&self, steps: u64) -> Option<u64> {
        match self {
            Self::SuccessiveHalving { .. } | Self::AsynchronousHalving { .. } => {
                Some(self.milestones(steps.saturating_add(1)).last().copied().unwrap_or(0))
            }
            Self::None | Self::MedianStopping { .. } | Self::PopulationBasedTraining { .. } => None,
        }
    }

    /// How many of so many samples of a population give way to others when they are compared.
    pub fn replaced(&self, samples: u64) -> u64 {
        match self {
            Self::PopulationBasedTraining { quantile_fraction, .. } => {
                let share = (samples as f64 * quantile_fraction).ceil() as u64;
                share.min(samples / 2)
            }
            _ => 0,
        }
    }
}

fn reduction_factor() -> u64 {
    3
}

fn quantile_fraction() -> f64 {
    0.25
}

fn resample_probability() -> f64 {
    0.25
}

fn perturbation_factors() -> [f64; 2] {
    [0.8, 1.2]
}

/// What a trial is judged by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The mean return of the evaluation after training.
    #[default]
    MeanReturn,
    /// Environment steps until the mean training return first reached the threshold. A trial that never did
    /// counts twice the steps that it was to be trained for (PAR2).
    StepsToThreshold,
    /// The area under the curve of mean training returns against steps, divided by its width.
    Auc,
}

/// Whether a metric should be small or large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Small is good.
    Minimize,
    /// Large is good.
    Maximize,
}

impl SearchSpec {
    /// Whether the metric should be small or large.
    pub fn direction(&self) -> Direction {
        self.direction.unwrap_or(match self.metric {
            Objective::StepsToThreshold => Direction::Minimize,
            Objective::MeanReturn | Objective::Auc => Direction::Maximize,
        })
    }

    /// Whether samples go on from what others have learned.
    pub fn hands_on(&self) -> bool {
        matches!(self.scheduler, SchedulerSpec::PopulationBasedTraining { .. })
    }

    /// The agents of `experiment` that something is searched for, in its order.
    pub fn agents<'a>(&'a self, experiment: &'a Spec) -> impl Iterator<Item = &'a str> {
        experiment.agents.keys().map(String::as_str).filter(|agent| self.searches(agent))
    }

    /// Whether something is searched for this agent.
    pub fn searches(&self, agent: &str) -> bool {
        self.parameters_of(agent).next().is_some()
    }

    /// The parameters of an agent.
    pub fn parameters_of<'a>(
        &'a self,
        agent: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a ParameterSpec)> {
        self.parameters
            .iter()
            .map(|(path, parameter)| (path.as_str(), parameter))
            .filter(move |(path, _)| agent_of(path).as_deref() == Some(agent))
    }

    /// How many samples the search for an agent of `experiment` comes to at most, or the largest number where it is more.
    pub fn count(&self, experiment: &Spec, agent: &str) -> u64 {
        let first = self.first(agent);
        let steps = experiment.agents[agent].schedule().and_then(|schedule| schedule.steps);
        match (&self.scheduler, steps) {
            (SchedulerSpec::PopulationBasedTraining { interval, .. }, Some(steps @ 1..)) => {
                let comparisons = (steps - 1) / interval;
                first.saturating_add(comparisons.saturating_mul(self.scheduler.replaced(first)))
            }
            _ => first,
        }
    }

    /// How many samples are drawn for an agent first, or in all where they are no population.
    fn first(&self, agent: &str) -> u64 {
        let values = self.parameters_of(agent).map(|(_, parameter)| match parameter {
            ParameterSpec::Grid(values) => values.len() as u64,
            ParameterSpec::Choice(values) if self.sampler == SamplerSpec::Grid => {
                values.len() as u64
            }
            ParameterSpec::Integer([low, high])
                if self.sampler == SamplerSpec::Grid && low < high =>
            {
                high.abs_diff(*low).saturating_add(1)
            }
            _ => 1,
        });
        let combinations = values.fold(1, u64::saturating_mul);
        combinations.saturating_mul(self.samples as u64)
    }
}

/// The agent that a parameter's path leads into.
fn agent_of(path: &str) -> Option<String> {
    match &path::parse(path).ok()?.0[..] {
        [agents, agent, _, ..] if agents == "agents" => Some(agent.clone()),
        _ => None,
    }
}

/// Whether a parameter would change what is started.
fn is_command(path: &str) -> bool {
    let parts = path::parse(path).map(|(parts, _)| parts).unwrap_or_default();
    let starts = |part: &str| matches!(part, "command" | "directory");
    match &parts[..] {
        [_, _, whole] => whole == "trainer",
        [_, _, whole, part, ..] => matches!(whole.as_str(), "trainer" | "policy") && starts(part),
        _ => false,
    }
}

/// Whether a parameter is a hyperparameter.
fn is_of_algorithm(path: &str) -> bool {
    path::parse(path).is_ok_and(|(parts, _)| {
        parts.get(2..4).is_some_and(|parts| parts == ["training", "algorithm"]) && parts.len() > 4
    })
}

/// Whether a parameter lies in what an agent has of its own in an environment of a suite.
fn is_of_environment(path: &str) -> bool {
    path::parse(path)
        .is_ok_and(|(parts, _)| parts.get(2).is_some_and(|part| part == "environments"))
}

/// Whether a parameter would change the policy that a training begins with, or the dataset that it learns from, which are
/// looked for when the run begins.
fn is_pinned(path: &str) -> bool {
    let pinned = |part: &str| ["initial_policy", "dataset"].contains(&part);
    path::parse(path).is_ok_and(|(parts, _)| parts.iter().any(|part| pinned(part)))
}

/// An agent with other values in some places.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The agent's name.
    pub agent: String,
    /// Its number among the agent's samples, counted from 0.
    pub number: usize,
    /// The values by their paths.
    pub values: IndexMap<String, Value>,
    /// What it goes on from, where that is not the agent's untrained policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
}

/// The sample that another one goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its number among the agent's samples.
    pub number: usize,
    /// After so many environment steps.
    pub steps: u64,
    /// The number of the sample whose place it takes.
    pub replaces: usize,
}

impl Sample {
    /// The agent's settings with the values in their places.
    ///
    /// # Errors
    /// Fails if a value does not fit; never for a checked experiment.
    pub fn settings(&self, experiment: &Spec) -> anyhow::Result<AgentSpec> {
        let mut value = serde_json::to_value(experiment)?;
        for (path, new) in &self.values {
            let change = Override::new(path, new.clone());
            change.and_then(|change| change.apply(&mut value)).map_err(anyhow::Error::msg)?;
        }
        Ok(serde_json::from_value(value["agents"][&self.agent].take())?)
    }
}

/// What is wrong with the search of an experiment that is otherwise right. `check` tells what is wrong with
/// an experiment, here with one value put in its place.
pub fn problems(
    spec: &Spec,
    threshold_known: bool,
    check: impl Fn(&Value) -> Vec<Problem>,
) -> Vec<Problem> {
    let Some(search) = &spec.search else { return Vec::new() };
    let mut problems = Vec::new();
    let mut plain = serde_json::to_value(spec).expect("an experiment has a JSON form");
    plain.as_object_mut().expect("an experiment is an object").remove("search");
    for (path, parameter) in &search.parameters {
        let place = ["search", "parameters", path];
        let known = agent_of(path).is_some_and(|agent| spec.agents.contains_key(&agent));
        let problem = if !known {
            let agents: Vec<_> =
                spec.agents.keys().map(|agent| path::join(&["agents", agent])).collect();
            Some(format!(
                "expected a path inside an agent: one of {}, then a dot and a field; a name with a dot stands in \
                 quotes",
                names::list(&agents)
            ))
        } else if is_command(path) {
            Some("what is started is not searched for; let the program look at its `settings` or `options`".into())
        } else if is_of_environment(path) {
            Some(
                "settings of one environment are not searched for; search in the agent itself"
                    .into(),
            )
        } else if let Some(environment) = settled_in(spec, path) {
            Some(format!(
                "the agent's settings for {environment} say what this is; remove it there, or do not search for it"
            ))
        } else if search.hands_on() && !is_of_algorithm(path) {
            Some(
                "population-based training changes the settings of a training that has begun: only those of \
                 `training.algorithm`"
                    .into(),
            )
        } else if is_pinned(path) {
            Some("a search does not choose what training begins with or learns from; make an agent of each".into())
        } else {
            parameter
                .distribution()
                .problem()
                .or_else(|| sampler_problem(&search.sampler, parameter))
        };
        if let Some(problem) = problem {
            problems.push(Problem::new(&place, problem));
            continue;
        }
        let same = search
            .parameters
            .keys()
            .find(|other| *other != path && path::parse(other).ok() == path::parse(path).ok());
        if let Some(other) = same {
            let message = format!("this is the same field as `{}`; keep one", names::short(other));
            problems.push(Problem::new(&place, message));
            continue;
        }
        for value in parameter.distribution().extremes() {
            let mut with = plain.clone();
            let applied = Override::new(path, value.clone()).and_then(|new| new.apply(&mut with));
            let found = match applied {
                Ok(()) => check(&with).first().map(ToString::to_string),
                Err(message) => Some(message),
            };
            if let Some(found) = found {
                let value = names::short(&value.to_string());
                problems.push(Problem::new(&place, format!("{value} cannot stand there: {found}")));
                break;
            }
        }
    }
    if problems.is_empty() {
        for part in spec.parts().unwrap_or_default() {
            for (name, agent) in &part.experiment.agents {
                let searched = search.searches(name);
                let problem = searched.then(|| agent_problem(search, name, agent, threshold_known));
                problems.extend(problem.flatten().filter(|problem| !problems.contains(problem)));
            }
        }
        problems.extend(range_problem(spec, search));
    }
    if let SchedulerSpec::PopulationBasedTraining { perturbation_factors, .. } = search.scheduler
        && perturbation_factors.iter().any(|factor| !(factor.is_finite() && *factor > 0.0))
    {
        let place = ["search", "scheduler", "perturbation_factors"];
        problems.push(Problem::new(&place, "expected two numbers above 0"));
    }
    if matches!(search.sampler, SamplerSpec::Tpe { .. }) {
        let why = match search.scheduler {
            SchedulerSpec::PopulationBasedTraining { .. } => {
                Some("population-based training begins with all of its samples at once")
            }
            SchedulerSpec::AsynchronousHalving { .. } => Some(
                "asynchronous halving waits for no sample's score, which this sampler draws the next ones by",
            ),
            _ => None,
        };
        problems.extend(why.map(|why| {
            Problem::new(&["search", "sampler"], format!("{why}: leave the sampler `tpe` out"))
        }));
    }
    if search.sampler == SamplerSpec::Grid && search.samples != 1 {
        let message = "a grid has every combination once: leave `samples` out";
        problems.push(Problem::new(&["search", "samples"], message));
    }
    problems
}

/// Scores of several environments are put together only where they have one measure.
fn range_problem(spec: &Spec, search: &SearchSpec) -> Option<Problem> {
    let in_steps = search.metric == Objective::StepsToThreshold;
    if in_steps && search.scheduler == SchedulerSpec::None {
        return None;
    }
    let without = spec.environments.keys().find(|name| spec.stated_range(name).is_none())?;
    let message = "a search over several environments adds their scores up: give `random` and `reference`, the returns \
                   that count as 0 and 1";
    Some(Problem::new(&["scores", without], message))
}

/// The environment in which an agent's own settings say what the parameter at `path` is to be.
fn settled_in<'s>(spec: &'s Spec, path: &str) -> Option<&'s str> {
    let (parts, _) = path::parse(path).ok()?;
    let patches = &spec.agents.get(parts.get(1)?)?.environments;
    let says = |patch: &&Value| {
        // A value above it, or a null, settles it too.
        let mut here = *patch;
        parts[2..].iter().all(|part| match here.get(part) {
            Some(inside) => {
                here = inside;
                true
            }
            None => !here.is_object(),
        })
    };
    patches.iter().find(|(_, patch)| !patch.is_null() && says(patch)).map(|(name, _)| name.as_str())
}

fn sampler_problem(sampler: &SamplerSpec, parameter: &ParameterSpec) -> Option<String> {
    match (sampler, parameter) {
        (SamplerSpec::Grid, ParameterSpec::Uniform(_) | ParameterSpec::LogUniform(_)) => {
            Some("a grid needs a list: write `grid` with the values to try".into())
        }
        (SamplerSpec::Tpe { .. }, ParameterSpec::Grid(_)) => {
            Some("the sampler tpe chooses every value itself: write `choice`".into())
        }
        _ => None,
    }
}

fn agent_problem(
    search: &SearchSpec,
    name: &str,
    agent: &AgentSpec,
    threshold_known: bool,
) -> Option<Problem> {
    let Some(schedule) = agent.schedule() else {
        let message = format!("{name} does not learn, so only `mean_return` can judge it");
        return (search.metric != Objective::MeanReturn)
            .then(|| Problem::new(&["search", "metric"], message));
    };
    if let Some(first) = search.scheduler.first_milestone() {
        let is_searched = |path: &String| {
            path::parse(path)
                .is_ok_and(|(parts, _)| parts.ends_with(&["schedule".into(), "steps".into()]))
        };
        let message = match schedule.steps {
            None => Some(format!("schedulers count in steps: {name} needs `schedule.steps`")),
            Some(_) if search.parameters.keys().any(is_searched) => None,
            Some(steps) => (first >= steps).then(|| {
                format!(
                    "samples would be compared after {first} steps for the first time, and the trainings of {name} end after \
                     {steps}"
                )
            }),
        };
        if let Some(message) = message {
            return Some(Problem::new(&["search", "scheduler"], message));
        }
    }
    let stops = schedule.stop.as_ref().is_some_and(|stop| stop.mean_return.is_some());
    let unknown = search.threshold.is_none() && !stops && !threshold_known;
    (search.metric == Objective::StepsToThreshold && unknown).then(|| {
        let message = "the environment has no reward threshold: set `threshold`";
        Problem::new(&["search", "metric"], message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milestones_lie_inside_the_schedule_and_a_rung_is_the_last_that_was_reached() {
        let halving = SchedulerSpec::SuccessiveHalving { grace_period: 100, reduction_factor: 3 };
        let median = SchedulerSpec::MedianStopping { grace_period: 100, interval: 50 };
        assert_eq!(halving.milestones(2700), [100, 300, 900]);
        assert_eq!(median.milestones(250), [100, 150, 200]);
        assert!(SchedulerSpec::None.milestones(1000).is_empty());
        assert!(halving.milestones(100).is_empty());
        assert_eq!(
            [50, 100, 304, 900].map(|steps| halving.rung(steps)),
            [0, 100, 300, 900].map(Some)
        );
        assert_eq!(median.rung(304), None);
    }
}

//! What runs are compared by: one number for every agent, metric and seed, and what they were made from.
//!
//! The same type is the baseline file: small, versioned, and laid out so that a change to it can be
//! reviewed (a line for each seed).

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::env::input;
use crate::experiment::{FinalScore, Metric};
use crate::record::{GitInfo, Outcome};
use crate::results::{self, AgentSummary, Curve, PolicyKind, SeedSummary, Summary};
use crate::store::{self, RunDir};
use crate::{format, stats};

/// The version of the baseline file. Older ones are read, newer ones refused.
pub const BASELINE_VERSION: u32 = 1;

/// A baseline, or a run to hold against one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// [`BASELINE_VERSION`] of the program that wrote it.
    pub baseline_version: u32,
    /// The experiment's name.
    pub experiment: String,
    /// The environment, as [`Summary::environment`] has it.
    pub environment: String,
    /// The names of a suite's environments: its agents are called `ENVIRONMENT/AGENT`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// The run that the scores are from.
    pub recorded: Recorded,
    /// The agents by name, in the order of the experiment file.
    pub agents: IndexMap<String, AgentScores>,
}

/// Where scores come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// The run's directory name.
    pub run: String,
    /// When it was started, UTC.
    pub started: Option<jiff::Timestamp>,
    /// Hash of everything in the experiment that decides the returns.
    pub settings_hash: String,
    /// The commit of the folder that holds the experiment file.
    pub git: Option<GitInfo>,
    /// Versions of what decides the numbers.
    pub versions: IndexMap<String, String>,
}

/// One agent's scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentScores {
    /// What kind of policy it has.
    pub policy: PolicyKind,
    /// Whether it is trained.
    pub learns: bool,
    /// The mean return of the untrained policies, where they were evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untrained: Option<f64>,
    /// The mean learning curve over the seeds, thinned out: for people, not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curve: Option<CurveSummary>,
    /// Which learning curves the areas are taken of; not told by older baselines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curve_source: Option<CurveSource>,
    /// What `returns` are of, where another program trained the agent and evaluated nothing.
    #[serde(default, skip_serializing_if = "FinalScore::is_evaluation")]
    pub final_score: FinalScore,
    /// Trials that failed or have not ended, of a run; a baseline has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<u64>,
    /// The seeds.
    pub seeds: Vec<SeedScores>,
}

/// The learning curves that areas are taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CurveSource {
    /// The evaluations before, during and after training.
    Evaluations,
    /// The returns of the training episodes.
    TrainingReturns,
}

/// The mean learning curve of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurveSummary {
    /// Environment steps. The last number is as far as every seed's area reaches.
    pub steps: Vec<f64>,
    /// The mean return there.
    pub returns: Vec<f64>,
}

/// One seed's scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedScores {
    /// The trial's seed.
    pub seed: u64,
    /// The mean height of the learning curve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<f64>,
    /// When the environment's reward threshold was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<TimeScore>,
    /// The return of every evaluation episode after training.
    pub returns: Vec<f64>,
}

/// When a threshold was reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeScore {
    /// Environment steps until then, or all of them.
    pub steps: u64,
    /// Whether it was reached.
    pub reached: bool,
}

impl SeedScores {
    /// The score in this metric, where the seed has one.
    pub fn score(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Return => stats::mean(&self.returns),
            Metric::Area => self.area,
            Metric::StepsToThreshold => self.threshold.map(|time| time.steps as f64),
        }
    }
}

impl AgentScores {
    /// Every seed's score in this metric; `None` where a seed has none (hard-coded agents have no curve).
    /// Seeds that never reached the threshold count with `never` steps.
    pub fn scores(&self, metric: Metric, never: u64) -> Option<Vec<f64>> {
        let never_reached = |seed: &SeedScores| seed.threshold.is_some_and(|time| !time.reached);
        let score = |seed: &SeedScores| match metric {
            Metric::StepsToThreshold if never_reached(seed) => Some(never as f64),
            _ => seed.score(metric),
        };
        self.seeds.iter().map(score).collect()
    }

    /// Whether any seed reached the threshold.
    pub fn reaches_threshold(&self) -> bool {
        self.seeds.iter().any(|seed| seed.threshold.is_some_and(|time| time.reached))
    }

    /// The most steps that a seed took to reach the threshold or without reaching it.
    pub fn most_steps(&self) -> u64 {
        let times = self.seeds.iter().filter_map(|seed| seed.threshold);
        times.map(|time| time.steps).max().unwrap_or_default()
    }
}

impl Scores {
    /// Whether other programs trained the agents.
    pub(super) fn is_imported(&self) -> bool {
        self.agents.values().any(|agent| agent.policy == PolicyKind::Imported)
    }

    /// The scores of a run. Areas reach as far as those of `reference`, if there is one, and are taken of the same kind of
    /// curve, so that runs of different length and with other evaluations compare like with like.
    pub fn from_summary(summary: &Summary, reference: Option<&Scores>) -> Self {
        let agents = summary.agents.iter().map(|agent| {
            let reference = reference.and_then(|reference| reference.agents.get(&agent.name));
            let until = reference
                .and_then(|agent| agent.curve.as_ref()?.steps.last().copied())
                .unwrap_or_else(|| longest(agent));
            let source = reference.and_then(|agent| agent.curve_source);
            let source = source.unwrap_or_else(|| curve_source(agent));
            let has_threshold = summary.threshold_of(&agent.name).is_some();
            (agent.name.clone(), agent_scores(agent, until, source, has_threshold))
        });
        Self {
            baseline_version: BASELINE_VERSION,
            experiment: summary.experiment.clone(),
            environment: summary.environment.clone(),
            environments: summary.environments.keys().cloned().collect(),
            recorded: Recorded {
                run: summary.run.clone(),
                started: summary.started,
                settings_hash: summary.settings_hash.clone(),
                git: summary.git.clone(),
                versions: summary.versions.clone(),
            },
            agents: agents.collect(),
        }
    }

    /// The agents that play in the same environment as the agent `name`, itself among them: returns of others mean
    /// something else.
    pub(super) fn beside(&self, name: &str) -> impl Iterator<Item = &AgentScores> {
        let of = |name: &str| {
            let environment = name.split_once('/').map_or(name, |(environment, _)| environment);
            self.environments.iter().position(|known| known == environment)
        };
        let here = of(name);
        self.agents.iter().filter(move |(other, _)| of(other) == here).map(|(_, agent)| agent)
    }

    /// Checks that this can be a baseline.
    ///
    /// # Errors
    /// Fails if a trial failed or has not ended, or there is nothing to compare with.
    pub fn whole(&self) -> anyhow::Result<()> {
        for (name, agent) in &self.agents {
            anyhow::ensure!(
                agent.unfinished.is_empty(),
                "a baseline needs every trial, but of `{name}` {} failed or did not end; run them again",
                seeds_in_words(&agent.unfinished)
            );
        }
        self.valid()
    }

    /// Reads a baseline, or takes a run for one.
    ///
    /// # Errors
    /// Fails if it cannot be read, or the run is not [`whole`](Self::whole).
    pub fn of_file_or_run(path: &Path) -> anyhow::Result<Self> {
        if !path.is_dir() {
            return Self::read(path);
        }
        let run = RunDir::open(path)?;
        let scores = Self::from_summary(&results::summary(&run)?, None);
        scores.whole().with_context(|| format!("{} cannot be compared with", path.display()))?;
        Ok(scores)
    }

    /// Reads a baseline.
    ///
    /// # Errors
    /// Fails if the file is missing, damaged, of a newer version, or no baseline.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            baseline_version: Option<u32>,
        }
        let text = input::read_text(path).context(
            "failed to read the baseline; `rushes baseline RUN -o FILE` makes one of a run",
        )?;
        let damaged = || format!("{} is damaged", path.display());
        let mut content: Value = serde_json::from_str(&text).with_context(damaged)?;
        input::whole_numbers(&mut content);
        let version = Version::deserialize(&content).with_context(damaged)?;
        let version = version.baseline_version.with_context(|| {
            format!(
                "{} is not a baseline: it has no `baseline_version`; write one with `rushes baseline RUN -o FILE`",
                path.display()
            )
        })?;
        anyhow::ensure!(
            (1..=BASELINE_VERSION).contains(&version),
            "{} has baseline version {version}, this program reads up to {BASELINE_VERSION}; use a newer rushes",
            path.display()
        );
        let scores: Self = serde_path_to_error::deserialize(content).with_context(damaged)?;
        scores.valid().with_context(damaged)?;
        Ok(scores)
    }

    /// Writes a baseline.
    ///
    /// # Errors
    /// Fails if it is not [`whole`](Self::whole) or the file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        self.whole()?;
        store::write_output(path, reviewable(&serde_json::to_value(self)?).as_bytes())
    }

    /// Checks that sums and squares of the scores do not overflow: nothing could be told of such numbers.
    ///
    /// # Errors
    /// Fails if a score is too large or no number.
    pub(super) fn measurable(&self) -> anyhow::Result<()> {
        const MOST: f64 = 1e100;
        for (name, agent) in &self.agents {
            let agent_name = format::shorten(name, 60);
            let check = |what: &str, value: f64| {
                anyhow::ensure!(
                    value.abs() <= MOST,
                    "agent `{agent_name}` has the {what} {value:e}; expected a number of at most {MOST:e} in size"
                );
                Ok(())
            };
            agent.untrained.map_or(Ok(()), |mean| check("untrained mean return", mean))?;
            for seed in &agent.seeds {
                let returns = seed.returns.iter().map(|&value| ("return", value));
                for (what, value) in returns.chain(seed.area.map(|area| ("area", area))) {
                    check(what, value).with_context(|| format!("seed {}", seed.seed))?;
                }
            }
        }
        Ok(())
    }

    fn valid(&self) -> anyhow::Result<()> {
        self.measurable()?;
        anyhow::ensure!(!self.agents.is_empty(), "it has no agents");
        for (name, agent) in &self.agents {
            let plain = !name.contains(char::is_control);
            anyhow::ensure!(plain, "an agent's name has control characters: {name:?}");
            anyhow::ensure!(!agent.seeds.is_empty(), "agent `{name}` has no seeds");
            let distinct: BTreeSet<_> = agent.seeds.iter().map(|seed| seed.seed).collect();
            anyhow::ensure!(distinct.len() == agent.seeds.len(), "agent `{name}` has a seed twice");
            let without = agent.seeds.iter().find(|seed| seed.returns.is_empty());
            if let Some(seed) = without {
                anyhow::bail!("agent `{name}` has no returns for seed {}", seed.seed);
            }
        }
        Ok(())
    }
}

/// Evaluations where they make a curve of every seed, else training returns. A mixture would be told by which seeds
/// stopped early.
fn curve_source(agent: &AgentSummary) -> CurveSource {
    match agent.is_evaluated_throughout() {
        true => CurveSource::Evaluations,
        false => CurveSource::TrainingReturns,
    }
}

/// The curves that an agent's areas are taken of, seed by seed; empty ones where there are none.
fn curves(agent: &AgentSummary, source: CurveSource) -> Vec<Curve> {
    let none = || vec![Curve::default(); agent.seeds.len()];
    match source {
        CurveSource::Evaluations => agent.evaluation_curves().unwrap_or_else(none),
        CurveSource::TrainingReturns => agent.seeds.iter().map(|seed| seed.curve.clone()).collect(),
    }
}

/// The steps of the seed that trained longest; others stopped early.
fn longest(agent: &AgentSummary) -> f64 {
    agent.seeds.iter().map(|seed| seed.progress.steps).max().unwrap_or(0) as f64
}

fn agent_scores(
    agent: &AgentSummary,
    until: f64,
    source: CurveSource,
    has_threshold: bool,
) -> AgentScores {
    let completed = |(seed, _): &(&SeedSummary, Vec<(f64, f64)>)| {
        matches!(seed.outcome, Some(Outcome::Completed { .. })) && !seed.final_returns.is_empty()
    };
    let curves = curves(agent, source);
    let seeds = agent.seeds().zip(curves.iter().map(columns));
    let (finished, unfinished): (Vec<_>, Vec<_>) = seeds.partition(completed);
    let seeds = finished.iter().map(|(seed, points)| SeedScores {
        seed: seed.seed,
        area: stats::area_under_curve(points, until),
        threshold: (agent.learns && has_threshold).then_some(match seed.threshold_reached {
            Some(reached) => TimeScore { steps: reached.steps, reached: true },
            None => TimeScore { steps: seed.progress.steps, reached: false },
        }),
        returns: seed.final_returns.clone(),
    });
    let before: Vec<f64> =
        finished.iter().flat_map(|(seed, _)| seed.before_returns.iter().copied()).collect();
    AgentScores {
        policy: agent.policy,
        learns: agent.learns,
        curve_source: agent.learns.then_some(source),
        final_score: agent.final_score,
        untrained: stats::mean(&before),
        unfinished: unfinished.iter().map(|(seed, _)| seed.seed).collect(),
        seeds: seeds.collect(),
        curve: mean_curve(
            &finished.iter().map(|(_, points)| &points[..]).collect::<Vec<_>>(),
            until,
        ),
    }
}

fn columns(curve: &Curve) -> Vec<(f64, f64)> {
    let steps = curve.steps.iter().map(|&steps| steps as f64);
    steps.zip(curve.returns.iter().copied()).collect()
}

/// Ten points of the mean over curves, each of which goes on at its last value.
fn mean_curve(curves: &[&[(f64, f64)]], until: f64) -> Option<CurveSummary> {
    const POINTS: u32 = 10;
    if until <= 0.0 || curves.is_empty() || curves.iter().any(|points| points.is_empty()) {
        return None;
    }
    let steps: Vec<f64> =
        (1..=POINTS).map(|n| (until * f64::from(n) / f64::from(POINTS)).round()).collect();
    let at = |points: &[(f64, f64)], step: f64| {
        let next = points.partition_point(|&(x, _)| x < step);
        match (next.checked_sub(1).map(|before| points[before]), points.get(next)) {
            (Some((x0, y0)), Some(&(x1, y1))) => y0 + (y1 - y0) * (step - x0) / (x1 - x0),
            (Some((_, only)), None) | (None, Some(&(_, only))) => only,
            (None, None) => f64::NAN,
        }
    };
    let mean_at = |&step: &f64| {
        let sum: f64 = curves.iter().map(|points| at(points, step)).sum();
        // Three decimals are for people; nothing is computed from them.
        (sum / curves.len() as f64 * 1000.0).round() / 1000.0
    };
    Some(CurveSummary { returns: steps.iter().map(mean_at).collect(), steps })
}

/// "seed 3", "seeds 1, 2 and 3".
pub(super) fn seeds_in_words(seeds: &[u64]) -> String {
    let words: Vec<_> = seeds.iter().map(u64::to_string).collect();
    match &words[..] {
        [] => "no seeds".into(),
        [only] => format!("seed {only}"),
        [others @ .., last] => format!("seeds {} and {last}", others.join(", ")),
    }
}

/// Indented JSON with lists of numbers, and objects inside lists, on one line each.
fn reviewable(value: &serde_json::Value) -> String {
    let mut text = String::new();
    write_value(value, 0, false, &mut text);
    text.push('\n');
    text
}

fn write_value(value: &serde_json::Value, indent: usize, inline: bool, text: &mut String) {
    use serde_json::Value;
    let separator = |text: &mut String, first: bool, indent: usize, inline: bool| {
        if !first {
            text.push(',');
        }
        match (inline, first) {
            (true, true) => {}
            (true, false) => text.push(' '),
            (false, _) => {
                text.push('\n');
                text.push_str(&"  ".repeat(indent));
            }
        }
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('{');
            for (index, (name, field)) in fields.iter().enumerate() {
                separator(text, index == 0, indent + 1, inline);
                text.push_str(&format!("{}: ", Value::from(name.as_str())));
                write_value(field, indent + 1, inline, text);
            }
            if !inline {
                text.push('\n');
                text.push_str(&"  ".repeat(indent));
            }
            text.push('}');
        }
        Value::Array(items) if !items.is_empty() => {
            let inline = inline || items.iter().all(|item| !item.is_object());
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                separator(text, index == 0, indent + 1, inline);
                write_value(item, indent + 1, true, text);
            }
            if !inline {
                text.push('\n');
                text.push_str(&"  ".repeat(indent));
            }
            text.push(']');
        }
        leaf => text.push_str(&leaf.to_string()),
    }
}

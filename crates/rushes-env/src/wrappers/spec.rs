//! The wrappers as experiment files write them.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reward::{RewardClip, RewardTransform};
use crate::distribution::Distribution;
use crate::environment::Env;
use crate::problem::Problem;
use crate::space::{Dtype, Space};
use crate::spec::{Make, Options};

/// What is put around the environment, from the inside outwards.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrappersSpec {
    /// Options of the environment that are drawn anew for every episode (domain randomisation), by name, each with its
    /// distribution.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub randomise: IndexMap<String, Distribution>,
    /// The probability that the environment repeats the previous action instead of taking the new one (Machado et al.
    /// 2018), at each of its own steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sticky_actions: Option<f64>,
    /// How often each action is taken; rewards are summed. Time limits count the environment's own steps, everything
    /// else the agent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub frame_skip: Option<u32>,
    /// What rewards are multiplied by for the learner. Returns are those of the environment's own rewards.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1e-9, max = 1e9))]
    pub reward_scale: Option<f64>,
    /// How rewards are clipped for the learner, after `reward_scale`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward_clip: Option<RewardClip>,
    /// Indices of the numbers that the policy sees of an observation, a box of one dimension; the others are left out, which
    /// makes the environment partially observable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub filter_observation: Option<Vec<usize>>,
    /// How many of the latest observations the policy sees, the oldest first, along a new first axis.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub frame_stack: Option<usize>,
    /// Standard deviation of the Gaussian noise on what the policy sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1e9))]
    pub observation_noise: Option<f64>,
    /// How many of the latest observations and actions the policy sees in one row, first the observations, the oldest
    /// first, zeros for what was before the episode; the observations are a box of one dimension.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub history: Option<usize>,
    /// Whether the policy sees the share of the time limit that is over (Pardo et al. 2018), as one number more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_awareness: Option<bool>,
}

impl WrappersSpec {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Rewards as the learner sees them.
    pub fn rewards(&self) -> RewardTransform {
        RewardTransform { scale: self.reward_scale.unwrap_or(1.0), clip: self.reward_clip }
    }

    /// What changes the environment's returns, as a constructor's arguments: wrappers that change only what the policy
    /// or the learner sees are left out.
    pub fn task(&self) -> Vec<String> {
        let sticky = self.sticky_actions.filter(|probability| *probability > 0.0);
        let skip = self.frame_skip.filter(|skip| *skip > 1);
        let randomise = (!self.randomise.is_empty())
            .then(|| format!("randomise={}", serde_json::json!(self.randomise)));
        sticky
            .map(|probability| format!("sticky_actions={probability}"))
            .into_iter()
            .chain(skip.map(|skip| format!("frame_skip={skip}")))
            .chain(randomise)
            .collect()
    }

    /// What makes these wrappers impossible around `env`, which `make` builds from `options`; `max_episode_steps` is its
    /// time limit, if it has one. Paths are below the wrappers. Every end of a distribution is tried.
    pub fn problems(
        &self,
        env: &dyn Env,
        make: &Make<dyn Env>,
        options: &Options,
        max_episode_steps: Option<u32>,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(RewardClip::Range([low, high])) = self.reward_clip
            && low >= high
        {
            let message = format!("expected the lower end first, found {low} and {high}");
            problems.push(Problem::new(&["reward_clip"], message));
        }
        let space = env.observation_space();
        if self.observation_noise.is_some() && !matches!(space, Space::Box { .. }) {
            let message =
                format!("noise needs observations that are a box, these are {space}: leave it out");
            problems.push(Problem::new(&["observation_noise"], message));
        }
        let is_row =
            matches!(space, Space::Box { dtype: Dtype::Float32, shape, .. } if shape.len() == 1);
        let kept = self.filter_observation.as_deref().unwrap_or_default();
        for (place, index) in kept.iter().enumerate() {
            if !is_row {
                let message = format!(
                    "single numbers are left out of a box of one dimension, these observations are {space}: leave it out"
                );
                problems.push(Problem::new(&["filter_observation"], message));
                break;
            }
            if kept[..place].contains(index) {
                let message = format!("{index} is there twice: leave one out");
                problems.push(Problem::new(&["filter_observation", &place.to_string()], message));
            }
            if *index >= space.len() {
                let message = format!("expected an index below the {} of {space}", space.len());
                problems.push(Problem::new(&["filter_observation", &place.to_string()], message));
            }
        }
        if self.history.is_some() && !is_row {
            let message = format!(
                "a history needs observations that are a box of one dimension, these are {space}: take `frame_stack`"
            );
            problems.push(Problem::new(&["history"], message));
        }
        if self.history.is_some() && self.frame_stack.is_some() {
            let message = "it holds the latest observations already: leave out `frame_stack`";
            problems.push(Problem::new(&["history"], message));
        }
        if self.time_awareness == Some(true) && max_episode_steps.is_none() {
            let message = "the environment has no time limit: set `environment.max_episode_steps`";
            problems.push(Problem::new(&["time_awareness"], message));
        }
        for (name, distribution) in &self.randomise {
            let problem = distribution
                .problem()
                .or_else(|| option_problem(name, distribution, env, make, options));
            problems.extend(problem.map(|message| Problem::new(&["randomise", name], message)));
        }
        problems
    }
}

/// What is wrong with an end of `distribution` as the value of the option `name`.
fn option_problem(
    name: &str,
    distribution: &Distribution,
    env: &dyn Env,
    make: &Make<dyn Env>,
    options: &Options,
) -> Option<String> {
    distribution.extremes().into_iter().find_map(|value| {
        let mut options = options.clone();
        options.insert(name.to_owned(), value.clone());
        match make(&options) {
            Err(problem) => Some(format!("{value} cannot stand there: {problem}")),
            Ok(other) => {
                let same = other.observation_space() == env.observation_space()
                    && other.action_space() == env.action_space();
                (!same).then(|| {
                    format!("{value} changes the environment's spaces, which all episodes share")
                })
            }
        }
    })
}

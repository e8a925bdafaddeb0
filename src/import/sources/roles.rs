//! What columns and scalars are called that mean the same.

/// Environment steps.
const STEPS: &[&str] = &[
    "step",
    "steps",
    "env_step",
    "env_steps",
    "global_step",
    "timestep",
    "timesteps",
    "total_timesteps",
    "time/total_timesteps",
    "num_env_steps_sampled_lifetime",
    "timesteps_total",
    "_step",
];
/// The return of a training episode.
const RETURN: &[&str] = &[
    "return",
    "returns",
    "episode_return",
    "episodic_return",
    "charts/episodic_return",
    "episode/return",
    "episode_reward",
    "reward",
    "score",
];
/// The mean return of several training episodes.
const MEAN_RETURN: &[&str] = &[
    "mean_return",
    "rollout/ep_rew_mean",
    "ep_rew_mean",
    "env_runners/episode_return_mean",
    "ray/tune/env_runners/episode_return_mean",
    "sampler_results/episode_reward_mean",
    "episode_reward_mean",
];
/// The return of an evaluation episode, or the mean of several.
const EVALUATION: &[&str] = &[
    "eval/mean_reward",
    "evaluation_return",
    "eval_return",
    "evaluation/mean_return",
    "evaluation/env_runners/episode_return_mean",
    "ray/tune/evaluation/env_runners/episode_return_mean",
    "evaluation/episode_reward_mean",
];
const LENGTH: &[&str] = &["length", "episode_length", "episodic_length", "charts/episodic_length"];
const SECONDS: &[&str] =
    &["seconds", "time", "time/time_elapsed", "time_total_s", "_runtime", "elapsed"];
const SEED: &[&str] = &["seed", "config/seed"];
const AGENT: &[&str] = &["agent", "algo", "algorithm", "method"];
const ENVIRONMENT: &[&str] = &["environment", "env", "env_id", "config/env"];

/// What the user says of the returns of tables and scalars.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::import) struct Wanted<'a> {
    /// The column or scalar that the returns are taken of.
    pub(in crate::import) scalar: Option<&'a str>,
    /// Whether the returns are of evaluations.
    pub(in crate::import) as_evaluations: bool,
}

/// What training returns are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Returns {
    /// Each is a training episode's.
    Episodes,
    /// Each is a mean over training episodes.
    Means,
}

/// The places of the columns that matter.
#[derive(Debug)]
pub(super) struct Roles {
    /// Training returns, and what they are.
    pub(super) training: Option<(usize, Returns)>,
    /// Returns of evaluations.
    pub(super) evaluation: Option<usize>,
    pub(super) steps: Option<usize>,
    pub(super) length: Option<usize>,
    pub(super) seconds: Option<usize>,
    pub(super) seed: Option<usize>,
    pub(super) agent: Option<usize>,
    pub(super) environment: Option<usize>,
}

impl Roles {
    /// What columns of these names are.
    pub(super) fn of(names: &[&str], wanted: Wanted<'_>) -> Self {
        let Wanted { scalar, as_evaluations } = wanted;
        let find = |known: &[&str]| {
            known
                .iter()
                .find_map(|known| names.iter().position(|name| name.eq_ignore_ascii_case(known)))
        };
        let own = scalar.map(|scalar| names.iter().position(|name| *name == scalar));
        let (training, evaluation) = match own {
            Some(place) if as_evaluations => (None, place),
            Some(place) => (place.map(|place| (place, kind(names[place]))), None),
            None if as_evaluations => {
                (None, find(EVALUATION).or_else(|| find(RETURN)).or_else(|| find(MEAN_RETURN)))
            }
            None => {
                let episodes = find(RETURN).map(|place| (place, Returns::Episodes));
                let means = || find(MEAN_RETURN).map(|place| (place, Returns::Means));
                (episodes.or_else(means), find(EVALUATION))
            }
        };
        Self {
            training,
            evaluation,
            steps: find(STEPS),
            length: find(LENGTH),
            seconds: find(SECONDS),
            seed: find(SEED),
            agent: find(AGENT),
            environment: find(ENVIRONMENT),
        }
    }

    /// Whether each training return is a mean.
    pub(super) fn means(&self) -> bool {
        self.training.is_some_and(|(_, returns)| returns == Returns::Means)
    }

    /// Whether there are returns.
    pub(super) fn has_returns(&self) -> bool {
        self.training.is_some() || self.evaluation.is_some()
    }
}

/// Whether a column is called as one of environment steps.
pub(super) fn is_steps(name: &str) -> bool {
    STEPS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// A note that steps are Weights & Biases' own count, of a column that is called so.
pub(super) fn counts_calls(steps: &str, place: &str) -> String {
    format!(
        "{place}: `{steps}` counts the calls of Weights & Biases' log, which are environment steps only where the program \
         says so; export `global_step` too, if there is such a metric"
    )
}

/// What a scalar of the user's choice is: a name that says so is a mean's.
fn kind(name: &str) -> Returns {
    let name = name.to_lowercase();
    let known = MEAN_RETURN.contains(&&*name) || name.contains("mean") || name.contains("avg");
    if known { Returns::Means } else { Returns::Episodes }
}

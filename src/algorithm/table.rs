//! The open table of algorithms: the shipped ones, and what a program adds.

use std::sync::{Arc, LazyLock, RwLock};

use anyhow::Context as _;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::a2c::A2cSpec;
use super::ars::ArsSpec;
use super::bc::BcSpec;
use super::cem::CemSpec;
use super::crossq::CrossQSpec;
use super::dqn::DqnSpec;
use super::interface::AlgorithmSettings;
use super::model_based_planning::ModelBasedPlanningSpec;
use super::model_free_planning::ModelFreePlanningSpec;
use super::openai_es::OpenAiEsSpec;
use super::ppo::PpoSpec;
use super::pqn::PqnSpec;
use super::q_learning::QLearningSpec;
use super::qr_dqn::QrDqnSpec;
use super::recurrent_ppo::RecurrentPpoSpec;
use super::reinforce::ReinforceSpec;
use super::sac::SacSpec;
use super::td3::Td3Spec;
use super::td3_bc::Td3BcSpec;
use super::tqc::TqcSpec;
use crate::env::{Env, Problem, names};
use crate::experiment::{AlgorithmSchema, AlgorithmSpec, ScheduleSpec, TrainingSpec};
use crate::nn::EngineError;
use crate::policy::PolicySpec;

/// The shipped algorithms. A new one is one file and one line here.
const SHIPPED: &[fn() -> AlgorithmEntry] = &[
    || {
        AlgorithmEntry::new::<ReinforceSpec>(
            "reinforce",
            "Monte-Carlo policy gradient (Williams, 1992), as the Gymnasium, Keras and Ignite tutorials write it.",
        )
    },
    || {
        AlgorithmEntry::new::<A2cSpec>(
            "a2c",
            "Synchronous advantage actor-critic (Mnih et al., 2016), as Stable-Baselines3 has it.",
        )
    },
    || {
        AlgorithmEntry::new::<DqnSpec>(
            "dqn",
            "Deep Q-learning (Mnih et al., 2015), as Stable-Baselines3 has it, with the usual extensions.",
        )
    },
    || {
        AlgorithmEntry::new::<QrDqnSpec>(
            "qr_dqn",
            "DQN with quantile regression (Dabney et al., 2018), as Stable-Baselines3's contrib package has it.",
        )
    },
    || {
        AlgorithmEntry::new::<PqnSpec>(
            "pqn",
            "Parallelised Q-learning without replay or target networks (Gallici et al., 2024), as CleanRL has it.",
        )
    },
    || {
        AlgorithmEntry::new::<QLearningSpec>(
            "q_learning",
            "Q-learning with a table, for discrete observations (Watkins, 1989).",
        )
    },
    || {
        AlgorithmEntry::new::<PpoSpec>(
            "ppo",
            "Proximal policy optimisation (Schulman et al., 2017), as Stable-Baselines3 has it.",
        )
    },
    || {
        AlgorithmEntry::new::<RecurrentPpoSpec>(
            "recurrent_ppo",
            "PPO with recurrent networks (LSTM or GRU), which remember, as Stable-Baselines3's contrib package has it.",
        )
    },
    || {
        AlgorithmEntry::new::<CemSpec>(
            "cem",
            "The cross-entropy method over the policy's parameters (Rubinstein, 1999; Szita & Lőrincz, 2006).",
        )
    },
    || {
        AlgorithmEntry::new::<OpenAiEsSpec>(
            "openai_es",
            "Evolution strategies (Salimans et al., 2017): mirrored samples, centred ranks, Adam.",
        )
    },
    || {
        AlgorithmEntry::new::<ArsSpec>(
            "ars",
            "Augmented random search (Mania et al., 2018), as Stable-Baselines3's contrib package has it.",
        )
    },
    || {
        AlgorithmEntry::new::<SacSpec>(
            "sac",
            "Soft actor-critic (Haarnoja et al., 2018), as Stable-Baselines3 has it.",
        )
    },
    || {
        AlgorithmEntry::new::<Td3Spec>(
            "td3",
            "Twin delayed deep deterministic policy gradient (Fujimoto et al., 2018), as Stable-Baselines3 has it.",
        )
    },
    || {
        AlgorithmEntry::new::<TqcSpec>(
            "tqc",
            "Truncated quantile critics (Kuznetsov et al., 2020), as Stable-Baselines3's contrib package has it.",
        )
    },
    || {
        AlgorithmEntry::new::<CrossQSpec>(
            "crossq",
            "SAC with batch renormalisation and without target networks (Bhatt et al., 2024), as \
             Stable-Baselines3's contrib package has it.",
        )
    },
    || {
        AlgorithmEntry::new::<BcSpec>(
            "bc",
            "Behaviour cloning: learns to act as a dataset does (Pomerleau, 1989).",
        )
    },
    || {
        AlgorithmEntry::new::<Td3BcSpec>(
            "td3_bc",
            "TD3 on a dataset, which its actor imitates (Fujimoto & Gu, 2021).",
        )
    },
    || {
        AlgorithmEntry::new::<ModelFreePlanningSpec>(
            "model_free_planning",
            "Learns what actions earn and takes the best of some candidates.",
        )
    },
    || {
        AlgorithmEntry::new::<ModelBasedPlanningSpec>(
            "model_based_planning",
            "Learns a model of the environment and plans through it, as PETS does (Chua et al., 2018).",
        )
    },
];

static TABLE: LazyLock<RwLock<Vec<Arc<AlgorithmEntry>>>> =
    LazyLock::new(|| RwLock::new(SHIPPED.iter().map(|entry| Arc::new(entry())).collect()));

type Settings = Map<String, Value>;

/// An algorithm as the table knows it.
pub struct AlgorithmEntry {
    /// The name used in `{"algorithm": {"name": …}}`.
    pub name: String,
    /// One line: what it is, and where it comes from.
    pub summary: String,
    schema: fn(&mut SchemaGenerator) -> Schema,
    read: fn(Settings) -> serde_json::Result<Box<dyn AlgorithmSettings>>,
    resolve: fn(Settings) -> serde_json::Result<Value>,
}

impl AlgorithmEntry {
    /// The algorithm whose hyperparameters are an `S`; fields that a file leaves out have their defaults.
    pub fn new<S>(name: &str, summary: &str) -> Self
    where
        S: AlgorithmSettings + Serialize + DeserializeOwned + JsonSchema + 'static,
    {
        Self {
            name: name.to_owned(),
            summary: summary.to_owned(),
            schema: S::json_schema,
            read: |settings| Ok(Box::new(serde_json::from_value::<S>(settings.into())?)),
            resolve: |settings| serde_json::to_value(serde_json::from_value::<S>(settings.into())?),
        }
    }

    /// Its hyperparameters when a file gives none.
    ///
    /// # Panics
    /// Panics if a hyperparameter has no default, which every algorithm's must have.
    pub fn defaults(&self) -> Box<dyn AlgorithmSettings> {
        (self.read)(Map::new()).expect("every hyperparameter has a default")
    }
}

/// Every algorithm, in the order of the schema.
pub fn all() -> Vec<Arc<AlgorithmEntry>> {
    TABLE.read().expect("no thread panics with the lock").clone()
}

/// Adds an algorithm to the table of this process, or replaces the one with its name.
pub fn register(entry: AlgorithmEntry) {
    let mut table = TABLE.write().expect("no thread panics with the lock");
    match table.iter_mut().find(|known| known.name == entry.name) {
        Some(known) => *known = Arc::new(entry),
        None => table.push(Arc::new(entry)),
    }
}

fn find(name: &str) -> anyhow::Result<Arc<AlgorithmEntry>> {
    let all = all();
    let found = all.iter().find(|entry| entry.name == name);
    found.cloned().with_context(|| {
        let known: Vec<_> = all.iter().map(|entry| entry.name.as_str()).collect();
        names::unknown("algorithm", name, &known)
    })
}

/// The hyperparameters of `spec`, as what every algorithm can do.
///
/// # Errors
/// Fails if the algorithm or a hyperparameter is unknown; never for a checked experiment.
pub fn settings(spec: &AlgorithmSpec) -> anyhow::Result<Box<dyn AlgorithmSettings>> {
    let entry = find(&spec.name)?;
    (entry.read)(spec.settings.clone())
        .with_context(|| format!("failed to read the hyperparameters of {}", spec.name))
}

/// `spec` with every default filled in, in the order in which the algorithm lists its hyperparameters.
///
/// # Errors
/// As [`settings`].
pub fn resolved(spec: &AlgorithmSpec) -> anyhow::Result<AlgorithmSpec> {
    let settings = (find(&spec.name)?.resolve)(spec.settings.clone())?;
    let Value::Object(settings) = settings else {
        anyhow::bail!("{}: hyperparameters are an object", spec.name);
    };
    Ok(AlgorithmSpec { name: spec.name.clone(), settings })
}

/// The schemas of all algorithms, for that of experiment files.
pub fn schemas() -> Vec<AlgorithmSchema> {
    let schema = |entry: &Arc<AlgorithmEntry>| AlgorithmSchema {
        name: entry.name.clone(),
        summary: entry.summary.clone(),
        settings: entry.schema,
    };
    all().iter().map(schema).collect()
}

/// What makes the algorithm of `spec` impossible on `env` with `policy`; paths are below the agent.
pub fn problems(
    spec: &AlgorithmSpec,
    policy: &PolicySpec,
    schedule: &ScheduleSpec,
    env: &dyn Env,
) -> Vec<Problem> {
    let settings = match settings(spec) {
        Ok(settings) => settings,
        Err(error) => {
            let message = format!("{error:#}");
            return vec![Problem::new(&["training", "algorithm"], message)];
        }
    };
    let actions = env.action_space();
    let tabular = matches!(policy, PolicySpec::Tabular(_));
    if tabular != settings.tabular() {
        let right = if tabular { "neural" } else { "tabular" };
        let message = format!("{} learns a policy of the type {right}", spec.name);
        return vec![Problem::new(&["policy", "type"], message)];
    }
    if let PolicySpec::Neural(network) = policy
        && !network.convolutions.is_empty()
        && !settings.convolutional()
    {
        let message = format!("{} learns networks without convolutions", spec.name);
        return vec![Problem::new(&["policy", "convolutions"], message)];
    }
    if let PolicySpec::Neural(network) = policy
        && network.recurrent.is_some() != settings.recurrent()
    {
        let name = &spec.name;
        return vec![match settings.recurrent() {
            true => {
                let message = format!(
                    "{name} learns networks with recurrent layers: add \"recurrent\": {{ \"type\": \"lstm\" }}"
                );
                Problem::new(&["policy"], message)
            }
            false => {
                let able = names_of(|settings| settings.recurrent());
                let message = format!(
                    "{name} learns networks without recurrent layers: leave it out, or use {able}"
                );
                Problem::new(&["policy", "recurrent"], message)
            }
        }];
    }
    if policy.masks_actions() {
        // Another process tells its masks when it runs.
        let message = match settings.masks_actions() {
            false => {
                let able = names_of(|other| {
                    other.masks_actions() && other.recurrent() == settings.recurrent()
                });
                Some(format!("{} learns without masks of actions; use {able}", spec.name))
            }
            true if actions.discrete_parts().is_none() => {
                Some(format!("a mask chooses among discrete actions, and there are {actions}"))
            }
            true if !env.is_remote() && env.action_mask().is_none() => Some(
                "this environment tells no `action_mask` in its `info`: leave it out".to_owned(),
            ),
            true => None,
        };
        if let Some(message) = message {
            return vec![Problem::new(&["policy", "action_mask"], message)];
        }
    }
    if settings.supports(actions) {
        let mut problems = settings.problems(policy, schedule, env);
        if let (PolicySpec::Neural(network), Some(normalisation)) =
            (policy, settings.normalisation())
        {
            let inputs = env.observation_space().features();
            let unable = network.engine(inputs, Some(normalisation)).err();
            let problem =
                |error: EngineError| Problem::new(&["policy", "engine"], error.to_string());
            problems.extend(unable.map(problem));
        }
        return problems;
    }
    let instead = names_of(|other| {
        other.supports(actions)
            && other.learns_from_dataset() == settings.learns_from_dataset()
            && other.recurrent() == settings.recurrent()
    });
    vec![Problem::new(
        &["training", "algorithm", "name"],
        format!("{} cannot act in {actions}; use {instead}", spec.name),
    )]
}

/// What is wrong with what `training` learns from, a dataset or the environment; the path is below the agent.
pub fn dataset_problem(training: &TrainingSpec) -> Option<Problem> {
    let TrainingSpec { algorithm, dataset, schedule, .. } = training;
    // An unknown algorithm is told of elsewhere.
    let needs = settings(algorithm).ok()?.learns_from_dataset();
    let name = &algorithm.name;
    if dataset.is_some() && !needs {
        let able = names_of(|settings| settings.learns_from_dataset());
        let message = format!("{name} learns from the environment: leave it out, or use {able}");
        return Some(Problem::new(&["training", "dataset"], message));
    }
    if dataset.is_none() && needs {
        let message = format!(
            "{name} learns from a dataset: add `dataset`, the folder that `rushes play … --dataset` or \
             `recording.dataset` wrote"
        );
        return Some(Problem::new(&["training"], message));
    }
    let ends = schedule.steps.is_some() || schedule.updates.is_some() || schedule.seconds.is_some();
    (needs && !ends).then(|| {
        let message =
            format!("{name} plays no episodes: expected `steps`, which are its gradient steps");
        Problem::new(&["training", "schedule"], message)
    })
}

/// The algorithms whose default settings are `able`, as a message lists them.
fn names_of(able: impl Fn(&dyn AlgorithmSettings) -> bool) -> String {
    let all = all();
    let able = all.iter().filter(|entry| able(&*entry.defaults()));
    let names: Vec<_> = able.map(|entry| entry.name.as_str()).collect();
    if names.is_empty() { "no algorithm yet".into() } else { names.join(", ") }
}

//! The plan: every trial that follows from an experiment, decided before anything runs.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::environment::EnvironmentSpec;
use super::pinned::Pinned;
use super::search::Sample;
use super::shard::Shard;
use super::spec::{AgentSpec, EvaluationSpec, RecordingSpec, Spec};
use super::suite::{Part, qualified};
use crate::env::{Env, TimeLimit};
use crate::policy::{ObservationSpec, PolicySpec};
use crate::record::{FORMAT_VERSION, Outcome, Progress, StopReason, Stored, TrialResult};

/// `plan.json`: written before the first trial starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// The experiment with every default filled in and every override applied.
    pub experiment: Spec,
    /// Hash of everything in the experiment that decides the returns.
    pub settings_hash: String,
    /// Which part of the experiment's trials these are, where they are not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// How often the gate has looked, or is about to, where seeds are added until it has its answer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub looks: usize,
    /// What a search tries, as far as it is decided; more may follow from how these turn out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
    /// The trials, environment by environment, agent by agent, sample by sample, seed by seed. Neighbours with equal
    /// settings share them: there may be thousands.
    #[serde(deserialize_with = "sharing")]
    pub trials: Vec<Arc<TrialPlan>>,
}

/// `trial.json`: all that a trial's process needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialPlan {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// The trial's directory below `trials/`, unique within the run.
    pub id: String,
    /// The agent's name in the experiment.
    pub agent: String,
    /// The environment's name, where the experiment is a suite of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_name: Option<String>,
    /// The number of the agent's sample, where the experiment searches for its settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<usize>,
    /// The trial's seed.
    pub seed: u64,
    /// Whether this trial's takes are filmed.
    pub filmed: bool,
    /// The agent's settings.
    pub settings: Arc<AgentSpec>,
    /// The environment.
    pub environment: Arc<EnvironmentSpec>,
    /// How the policy is evaluated.
    pub evaluation: EvaluationSpec,
    /// What is filmed.
    pub recording: Arc<RecordingSpec>,
    /// The folder that commands run in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
}

impl Stored for Plan {
    fn file_names(&self) -> Vec<(&'static str, &str)> {
        let trials = self.trials.iter().map(|trial| ("trials[].id", trial.id.as_str()));
        std::iter::once(("experiment.name", self.experiment.name.as_str())).chain(trials).collect()
    }
}

impl Stored for TrialPlan {
    fn file_names(&self) -> Vec<(&'static str, &str)> {
        vec![("id", &self.id)]
    }
}

impl Plan {
    /// The trials of the agents that nothing is searched for; [`Plan::add`] adds those of samples.
    ///
    /// # Errors
    /// Fails if the settings of a suite's part do not fit; never for a checked experiment.
    pub fn new(experiment: Spec) -> anyhow::Result<Self> {
        let parts = experiment.parts()?;
        let searched = |agent: &str| experiment.search.as_ref().is_some_and(|s| s.searches(agent));
        let mut trials = Vec::new();
        for part in &parts {
            let agents = part.experiment.agents.iter().filter(|(agent, _)| !searched(agent));
            trials.extend(agents.flat_map(|(agent, own)| new_trials(part, agent, None, own)));
        }
        Ok(Self {
            format_version: FORMAT_VERSION,
            settings_hash: settings_hash(&parts, &experiment),
            shard: None,
            looks: 0,
            samples: Vec::new(),
            trials,
            experiment,
        })
    }

    /// Adds samples with their trials, in every environment that the agent plays in; says whether there were any.
    ///
    /// # Errors
    /// Fails if a value does not fit; never for a checked experiment.
    pub fn add(&mut self, samples: Vec<Sample>) -> anyhow::Result<bool> {
        let parts = self.experiment.parts()?;
        let known = self.experiment.commands()?;
        for sample in &samples {
            for part in parts.iter().filter(|part| part.plays(&sample.agent)) {
                let settings = sample.settings(&part.experiment)?;
                let mut sampled = part.experiment.clone();
                sampled.agents.insert(sample.agent.clone(), settings.clone());
                anyhow::ensure!(
                    sampled.commands()?.iter().all(|command| known.contains(command)),
                    "sample {} of {} would start other programs than the experiment says",
                    sample.number,
                    sample.agent
                );
                let trials = new_trials(part, &sample.agent, Some(sample.number), &settings);
                self.trials.extend(trials);
            }
        }
        let any = !samples.is_empty();
        self.samples.extend(samples);
        Ok(any)
    }

    /// The plan with the trials of one shard only.
    ///
    /// # Errors
    /// Fails if the experiment searches, whose later trials follow from all earlier ones, or has fewer trials than there
    /// are shards.
    pub fn only(mut self, shard: Shard) -> anyhow::Result<Self> {
        anyhow::ensure!(
            self.experiment.search.is_none(),
            "search: a search cannot be run in shards, since its rounds follow from all of its trials; leave the search \
             out, or use an engine (--engine slurm)"
        );
        let trials = self.trials.len();
        anyhow::ensure!(
            shard.of <= trials,
            "shard {shard}: the experiment has only {trials} trials; use at most as many shards"
        );
        let costs = self.trials.iter().map(|t| t.cost()).collect::<anyhow::Result<Vec<_>>>()?;
        let mut owns = shard.owns(&costs).into_iter();
        self.trials.retain(|_| owns.next().unwrap_or(false));
        self.shard = Some(shard);
        Ok(self)
    }

    /// Takes the seeds of the gate's first so many looks, where seeds are added as it needs them; says whether there are
    /// that many looks.
    ///
    /// # Errors
    /// Fails if the settings of a suite's part do not fit; never for a checked experiment.
    pub fn at_look(&mut self, look: usize) -> anyhow::Result<bool> {
        let seeds = &self.experiment.seeds;
        let looks = seeds.looks();
        let Some(&count) = look.checked_sub(1).and_then(|index| looks.get(index)) else {
            return Ok(false);
        };
        let chosen: HashSet<u64> = seeds.all[..count].iter().copied().collect();
        self.trials = Self::new(self.experiment.clone())?.trials;
        self.trials.retain(|trial| chosen.contains(&trial.seed));
        self.looks = look;
        Ok(true)
    }

    /// Whether other programs ran the trials.
    pub fn is_imported(&self) -> bool {
        self.experiment.agents.values().all(|agent| agent.imported.is_some())
    }

    /// The seeds of its trials, in their order, each once.
    pub fn seeds(&self) -> Vec<u64> {
        let mut seen = HashSet::new();
        self.trials.iter().map(|trial| trial.seed).filter(|seed| seen.insert(*seed)).collect()
    }

    /// The policies that trainings begin with, each once.
    pub fn initial_policies(&self) -> impl Iterator<Item = &Pinned> {
        let trainings = self.trials.iter().filter_map(|trial| trial.settings.training.as_ref());
        let mut seen = HashSet::new();
        let initial = trainings.filter_map(|training| training.initial_policy.as_ref());
        initial.filter(move |initial| seen.insert(&initial.sha256))
    }

    /// The trials of a sample, environment by environment, in the order of the seeds.
    pub fn trials_of(&self, sample: &Sample) -> Vec<&TrialPlan> {
        let of =
            |trial: &&TrialPlan| trial.sample == Some(sample.number) && trial.agent == sample.agent;
        self.trials().filter(of).collect()
    }

    /// The trials.
    pub fn trials(&self) -> impl Iterator<Item = &TrialPlan> {
        self.trials.iter().map(Arc::as_ref)
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Reads trials one by one; each takes over those parts of the one before it that are equal to its own.
fn sharing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Arc<TrialPlan>>, D::Error> {
    struct Trials;

    impl<'de> Visitor<'de> for Trials {
        type Value = Vec<Arc<TrialPlan>>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a list of trials")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut trials: A) -> Result<Self::Value, A::Error> {
            let mut read: Self::Value = Vec::new();
            while let Some(mut trial) = trials.next_element::<TrialPlan>()? {
                if let Some(before) = read.last() {
                    share(&mut trial.settings, &before.settings);
                    share(&mut trial.environment, &before.environment);
                    share(&mut trial.recording, &before.recording);
                }
                read.push(Arc::new(trial));
            }
            Ok(read)
        }
    }

    fn share<T: PartialEq>(own: &mut Arc<T>, before: &Arc<T>) {
        if own == before {
            *own = before.clone();
        }
    }

    deserializer.deserialize_seq(Trials)
}

/// One trial of an agent of `part` for each seed.
fn new_trials(
    part: &Part,
    agent: &str,
    sample: Option<usize>,
    settings: &AgentSpec,
) -> Vec<Arc<TrialPlan>> {
    let Part { name: environment_name, experiment } = part;
    let Spec { agents, seeds, recording, evaluation, directory, .. } = experiment;
    let environment = experiment.placed_environment();
    let mut settings =
        AgentSpec { policy: experiment.placed(&settings.policy), ..settings.clone() };
    let mut recording = recording.clone();
    if !environment.draws() {
        (recording.before, recording.after, recording.training) = (false, false, None);
        if let Some(schedule) = settings.training.as_mut().map(|training| &mut training.schedule) {
            schedule.record_every = None;
        }
    }
    let mut name = slug(agent, agents.get_index_of(agent).unwrap_or(0));
    if let Some(environment) = environment_name {
        name.insert_str(0, &format!("{environment}--"));
    }
    if let Some(sample) = sample {
        name.push_str(&format!("--{sample:03}"));
    }
    let (settings, environment) = (Arc::new(settings), Arc::new(environment));
    let recording = Arc::new(recording);
    let trial = |(index, &seed): (usize, &u64)| TrialPlan {
        format_version: FORMAT_VERSION,
        id: format!("{name}--s{seed}"),
        agent: agent.to_owned(),
        environment_name: environment_name.clone(),
        sample,
        seed,
        filmed: index < recording.seeds,
        settings: settings.clone(),
        environment: environment.clone(),
        evaluation: evaluation.clone(),
        recording: recording.clone(),
        directory: directory.clone(),
    };
    seeds.all.iter().enumerate().map(trial).map(Arc::new).collect()
}

impl TrialPlan {
    /// What its agent is called among those of all environments: `ENVIRONMENT/AGENT` in a suite.
    pub fn agent_name(&self) -> Cow<'_, str> {
        qualified(self.environment_name.as_deref(), &self.agent)
    }

    /// The result of this trial before anything happened.
    pub fn empty_result(&self) -> TrialResult {
        TrialResult {
            format_version: FORMAT_VERSION,
            id: self.id.clone(),
            agent: self.agent.clone(),
            seed: self.seed,
            outcome: Outcome::Completed { stop_reason: None },
            progress: Progress::default(),
            training_seconds: 0.0,
            steps_per_second: None,
            engine: None,
            before: None,
            after: None,
            best: None,
            policy: None,
            takes: Vec::new(),
            notes: Vec::new(),
            peak_memory_bytes: None,
        }
    }

    /// About how much the trial has to compute, to compare it with others of its plan: the environment steps that its
    /// schedule and its evaluations come to, times the width of its network. At least 1.
    ///
    /// # Errors
    /// Fails if the environment is unknown; never for a checked experiment.
    pub(super) fn cost(&self) -> anyhow::Result<u64> {
        /// Steps of an episode without a time limit, and of an update.
        const EPISODE: u64 = 1000;
        const UPDATE: u64 = 100;
        /// Training, beside just acting.
        const LEARNING: u64 = 4;
        let limit = self.environment.time_limit(&*self.environment.spec()?);
        let episode = limit.map_or(EPISODE, u64::from);
        let trained = self.settings.schedule().map_or(0, |schedule| {
            let limits = [
                schedule.steps,
                schedule.episodes.map(|episodes| episodes.saturating_mul(episode)),
                schedule.updates.map(|updates| updates.saturating_mul(UPDATE)),
            ];
            limits.into_iter().flatten().min().unwrap_or(EPISODE * UPDATE)
        });
        let evaluated = self.evaluation.episodes.saturating_mul(episode);
        let width = match &self.settings.policy {
            PolicySpec::Neural(network) => 1 + network.hidden.iter().sum::<usize>() as u64 / 64,
            _ => 1,
        };
        let steps = trained.saturating_mul(LEARNING).saturating_add(evaluated);
        Ok(steps.saturating_mul(width).max(1))
    }

    /// Whether a trial with this result is over by its schedule. One that the user ended goes on in a resumed run, and
    /// so does one whose schedule was lengthened since.
    pub fn is_over(&self, result: &TrialResult) -> bool {
        match (result.outcome.stop_reason(), self.settings.schedule()) {
            (Some(StopReason::User), _) => false,
            (
                Some(
                    StopReason::Episodes
                    | StopReason::Steps
                    | StopReason::Updates
                    | StopReason::Seconds,
                ),
                Some(schedule),
            ) => schedule.limit_reached(result.progress, result.training_seconds).is_some(),
            _ => true,
        }
    }

    /// The result of this trial when the search's scheduler ends it.
    pub fn pruned_result(&self, progress: Progress, training_seconds: f64) -> TrialResult {
        let outcome = Outcome::Completed { stop_reason: Some(StopReason::Pruned) };
        TrialResult { outcome, progress, training_seconds, ..self.empty_result() }
    }
}

/// A directory name for an agent. A name that had to be changed gets the agent's number, so that two
/// agents never share a directory.
fn slug(agent: &str, number: usize) -> String {
    let safe = plain(agent);
    let unchanged = safe == agent && !safe.starts_with('.') && !safe.contains("--");
    if unchanged { safe } else { format!("{}-{number}", safe.trim_matches(['.', '-'])) }
}

/// A name of which every letter may stand in the names of environments, experiments and directories.
pub fn plain(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.chars().map(|c| if plain(c) { c } else { '_' }).take(60).collect()
}

/// Hash of what decides the returns: environments, agents, evaluation and search, not names, seeds or takes.
fn settings_hash(parts: &[Part], experiment: &Spec) -> String {
    let mut deciding = match parts {
        [Part { name: None, experiment }] => deciding(experiment),
        parts => {
            let of = |part: &Part| json!([part.name, deciding(&part.experiment)]);
            vec![parts.iter().map(of).collect()]
        }
    };
    deciding.extend(experiment.search.as_ref().map(|search| json!(search)));
    let deciding = Value::from(deciding);
    let digest = Sha256::digest(deciding.to_string().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What decides the returns in one environment.
fn deciding(experiment: &Spec) -> Vec<Value> {
    let Spec { environment, agents: settings, evaluation, .. } = experiment;
    let mut agents = json!(settings);
    for (name, agent) in settings {
        if let Some(policy) = agents[name].get_mut("policy").and_then(Value::as_object_mut) {
            policy.shift_remove("threads");
        }
        if let Some(training) = &agent.training {
            let pinned =
                [("initial_policy", &training.initial_policy), ("dataset", &training.dataset)];
            for (field, pinned) in pinned {
                if let Some(pinned) = pinned {
                    agents[name]["training"][field] = pinned.content();
                }
            }
        }
        // How long others trained is what came of it.
        if let Some(imported) = &agent.imported {
            agents[name]["imported"] = json!([imported.means, imported.final_score]);
        }
    }
    vec![json!(environment.deciding()), agents, json!(evaluation)]
}

/// The environments of a plan's trials as their policies see them; few trials of a plan differ in that.
#[derive(Default)]
pub struct Views<'p> {
    built: Vec<((&'p EnvironmentSpec, &'p ObservationSpec), TimeLimit)>,
}

impl<'p> Views<'p> {
    /// What `trial` sees, built on first use.
    ///
    /// # Errors
    /// Fails if the environment cannot be built; never for a checked experiment.
    pub fn of(&mut self, trial: &'p TrialPlan) -> anyhow::Result<&dyn Env> {
        let seen = (&*trial.environment, trial.settings.policy.observation());
        let known = self.built.iter().position(|(other, _)| *other == seen);
        let index = known.unwrap_or(self.built.len());
        if known.is_none() {
            let (_, env) = trial.environment.build(&trial.settings.policy)?;
            self.built.push((seen, env));
        }
        Ok(self.built[index].1.env())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_settings_are_in_memory_once() {
        let experiment = json!({
            "name": "shared",
            "environment": { "id": "CartPole-v1" },
            "seeds": 2,
            "agents": {
                "random": { "policy": { "type": "random" } },
                "lean": { "policy": { "type": "hard-coded", "name": "lean" } },
            },
        });
        let experiment = serde_json::from_value(experiment).expect("an experiment");
        let text = serde_json::to_string(&Plan::new(experiment).expect("a plan")).expect("JSON");
        let Plan { trials, .. } = serde_json::from_str(&text).expect("the plan");
        let agents: Vec<&str> = trials.iter().map(|trial| &*trial.agent).collect();
        assert_eq!(agents, ["random", "random", "lean", "lean"]);
        let shared = |a: usize, b: usize| Arc::ptr_eq(&trials[a].settings, &trials[b].settings);
        assert_eq!([shared(0, 1), shared(1, 2), shared(2, 3)], [true, false, true]);
        assert!(trials[1..].iter().all(|t| Arc::ptr_eq(&t.environment, &trials[0].environment)));
    }

    #[test]
    fn directory_names_are_safe_and_distinct() {
        assert_eq!(slug("reinforce", 0), "reinforce");
        assert_eq!(slug("<script>", 3), "_script_-3");
        assert_eq!(slug("../../etc", 1), "_.._etc-1");
        assert_ne!(slug("a b", 0), slug("a_b", 1));
        assert_ne!(slug("ä", 0), slug("ö", 1));
    }
}

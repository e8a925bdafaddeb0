//! Playing agents outside a trial: as a trial left them, or from the command line.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Summary;
use crate::algorithm::{self, Setup};
use crate::env::episode::View;
use crate::env::{EnvSpec, Policy, Space, TimeLimit};
use crate::experiment::{
    AgentSpec, EnvironmentSpec, EvaluationSpec, KeptPolicy, ScheduleSpec, TrainingSpec, TrialPlan,
};
use crate::nn::Tensors;
use crate::policy::{self, Layer, LearnedPolicy, PolicySpec, Readout};
use crate::record::Progress;
use crate::rng::{Purpose, Rng, stream};
use crate::store::{RunDir, TrialDir};
use crate::trial::{Scene, newest_checkpoint, read_checkpoint, record_take};
use crate::video::VideoConfig;
use crate::{format, validation};

/// An agent that can be played, with what it was made for.
pub struct SavedAgent {
    /// What people call it.
    pub name: String,
    /// The environment that it was made for.
    pub environment: EnvironmentSpec,
    /// The trial's seed, which the chance of sampled actions is derived from.
    pub trial_seed: u64,
    /// How its trial evaluated it.
    pub evaluation: EvaluationSpec,
    /// Its policy and how it learned.
    pub settings: AgentSpec,
    /// What it learned, where it did.
    learned: Option<Learned>,
}

/// A network that was learned.
pub struct SavedNetwork<'a> {
    /// From the observation to the outputs.
    pub layers: Vec<Layer>,
    /// What it sees.
    pub observation_space: Space,
    /// What its outputs are to become.
    pub action_space: Space,
    /// What was learned: of each layer that has parameters, `N.weight` and `N.bias`, and what belongs to the policy beside
    /// the network.
    pub tensors: &'a Tensors,
}

impl SavedNetwork<'_> {
    /// How many numbers of it were learned.
    pub fn parameters(&self) -> u64 {
        self.layers.iter().map(|layer| layer.parameters).sum()
    }
}

/// A policy file's content.
struct Learned {
    tensors: Tensors,
    progress: Progress,
}

impl SavedAgent {
    /// A policy that does not learn.
    pub fn fixed(name: &str, policy: PolicySpec, environment: EnvironmentSpec) -> Self {
        Self {
            name: name.to_owned(),
            environment,
            trial_seed: 0,
            evaluation: EvaluationSpec::default(),
            settings: AgentSpec {
                policy,
                training: None,
                trainer: None,
                imported: None,
                environments: Default::default(),
            },
            learned: None,
        }
    }

    /// The agent in a policy file, a checkpoint, a trial's directory, or a run's directory; `agent` chooses the trial of
    /// a run by the agent's name and, after a slash, the seed. Of a trial that is not over, the newest checkpoint plays.
    ///
    /// # Errors
    /// Fails if there is no such agent, or its file is damaged or something else.
    pub fn open(path: &Path, agent: Option<&str>) -> anyhow::Result<Self> {
        if path.is_file() || !path.exists() {
            anyhow::ensure!(agent.is_none(), "{} is not a run's directory", path.display());
            return match checkpoint_of(path) {
                Some(trial) => Self::at_checkpoint(trial.plan()?, read_checkpoint(path)?),
                None => Self::from_file(path),
            };
        }
        match (TrialDir::find(path), agent) {
            (Some(trial), None) => Self::from_trial(&trial),
            (Some(_), Some(agent)) => anyhow::bail!(
                "{} is the directory of one trial; leave out `{agent}`",
                path.display()
            ),
            (None, agent) => {
                let run = RunDir::open(path)
                    .context("expected a policy file, or the directory of a trial or a run")?;
                Self::from_trial(&trial_of(&run, agent)?)
            }
        }
    }

    fn from_file(path: &Path) -> anyhow::Result<Self> {
        let tensors = Tensors::load(path)
            .with_context(|| format!("failed to read the policy {}", path.display()))?;
        anyhow::ensure!(
            tensors.metadata.contains_key("agent"),
            "{} is not a policy of this program: its header names no agent (a trial writes its policy \
             to policy.safetensors)",
            path.display()
        );
        let read = || -> anyhow::Result<Self> {
            // Files from before version 0.1 lack the seed and the evaluation.
            let seeded = tensors.metadata.contains_key("seed");
            let evaluated = tensors.metadata.contains_key("evaluation");
            let part = |name: &str| tensors.metadata.get(name).cloned().unwrap_or_default();
            let environment: EnvironmentSpec =
                tensors.value("environment").context("environment")?;
            let folder = std::path::absolute(path)?;
            let environment = environment.with_files_below(folder.parent().unwrap_or(&folder));
            let (environment, settings) = checked(json!(environment), part("agent"))?;
            let training = settings.training.as_ref().context("agent: expected `training`")?;
            Ok(Self {
                name: training.algorithm.name.clone(),
                environment,
                trial_seed: if seeded { tensors.value("seed").context("seed")? } else { 0 },
                evaluation: if evaluated {
                    tensors.value("evaluation").context("evaluation")?
                } else {
                    EvaluationSpec::default()
                },
                learned: Some(Learned {
                    progress: tensors.value("progress").context("progress")?,
                    tensors: tensors.clone(),
                }),
                settings,
            })
        };
        read().with_context(|| format!("failed to understand the header of {}", path.display()))
    }

    /// The policy file of what [`SavedAgent::open`] opens by these; that of the policy that was evaluated.
    ///
    /// # Errors
    /// Fails if there is no such agent, or it has learned nothing yet.
    pub fn file(path: &Path, agent: Option<&str>) -> anyhow::Result<PathBuf> {
        if path.is_file() {
            return Ok(path.to_owned());
        }
        let trial = match TrialDir::find(path) {
            Some(trial) if agent.is_none() => trial,
            _ => trial_of(&RunDir::open(path)?, agent)?,
        };
        let file = evaluated(&trial, &trial.plan()?.evaluation);
        anyhow::ensure!(
            file.exists(),
            "{} is not there: the agent does not learn here, or its training failed or is not over",
            file.display()
        );
        Ok(file)
    }

    fn from_trial(trial: &TrialDir) -> anyhow::Result<Self> {
        let plan = trial.plan()?;
        anyhow::ensure!(
            plan.settings.trainer.is_none(),
            "{} was trained by a script, which alone knows its policy",
            plan.agent
        );
        anyhow::ensure!(
            plan.settings.imported.is_none(),
            "{} was imported: its results are known here, its policy is not",
            plan.agent
        );
        let file = evaluated(trial, &plan.evaluation);
        let learned = match plan.settings.training {
            Some(_) if trial.finished() && file.exists() => Self::from_file(&file)?.learned,
            Some(_) => {
                let newest = newest_checkpoint(&trial.checkpoints()).with_context(|| {
                    format!(
                        "{} has neither policy.safetensors, as its training failed or is not over, nor a checkpoint \
                         (`schedule.checkpoint_every`)",
                        trial.path().display()
                    )
                })?;
                return Self::at_checkpoint(plan, newest);
            }
            None => None,
        };
        Ok(Self::of_trial(plan, learned))
    }

    /// The agent of a trial as a checkpoint has it.
    fn at_checkpoint(
        plan: TrialPlan,
        (progress, tensors): (Progress, Tensors),
    ) -> anyhow::Result<Self> {
        checked(serde_json::to_value(&plan.environment)?, serde_json::to_value(&plan.settings)?)
            .context("failed to understand the checkpoint's trial.json")?;
        Ok(Self::of_trial(plan, Some(Learned { tensors, progress })))
    }

    fn of_trial(plan: TrialPlan, learned: Option<Learned>) -> Self {
        Self {
            name: plan.agent,
            environment: Arc::unwrap_or_clone(plan.environment),
            trial_seed: plan.seed,
            evaluation: plan.evaluation,
            settings: Arc::unwrap_or_clone(plan.settings),
            learned,
        }
    }

    /// The commands that it would start when it plays, in its own environment or `elsewhere`.
    pub fn commands(&self, elsewhere: bool) -> Vec<String> {
        let environment = self.environment.shown().filter(|_| !elsewhere);
        environment.into_iter().chain(self.settings.policy.shown()).collect()
    }

    /// Whether it acts by the environment's state instead of an observation.
    pub fn plans_on_simulator(&self) -> bool {
        matches!(self.settings.policy, PolicySpec::Planning(_))
    }

    /// Whether it only takes actions that the environment's mask allows.
    pub fn masks_actions(&self) -> bool {
        self.settings.policy.masks_actions()
    }

    /// Environment steps that it was trained for; `None` for one that does not learn.
    pub fn trained_steps(&self) -> Option<u64> {
        self.learned.as_ref().map(|learned| learned.progress.steps)
    }

    /// The network that it acts by; nothing where it has none, or several as planners have.
    ///
    /// # Errors
    /// Fails if its environment cannot be built, or its algorithm is not in the table.
    pub fn network(&self) -> anyhow::Result<Option<SavedNetwork<'_>>> {
        let AgentSpec { policy: PolicySpec::Neural(spec), training: Some(training), .. } =
            &self.settings
        else {
            return Ok(None);
        };
        let Some(Learned { tensors, .. }) = &self.learned else { return Ok(None) };
        let normalisation = algorithm::settings(&training.algorithm)?.normalisation();
        let (_, env) = self.environment.build(&self.settings.policy)?;
        let space = env.env().observation_space();
        let last = spec.layers(space, 0, normalisation).len() - 1;
        let outputs = tensors.shape(&format!("{last}.bias")).and_then(|shape| shape.first());
        Ok(outputs.map(|&outputs| SavedNetwork {
            layers: spec.layers(space, outputs, normalisation),
            observation_space: space.clone(),
            action_space: env.env().action_space().clone(),
            tensors,
        }))
    }

    /// How it acts by the outputs of [`SavedAgent::network`]; nothing where more than a network decides.
    ///
    /// # Errors
    /// Fails if its environment or its policy cannot be built, as without its engine.
    pub fn readout(&self) -> anyhow::Result<Option<Readout>> {
        let (Some(learned), Some(training)) = (&self.learned, &self.settings.training) else {
            return Ok(None);
        };
        let (_, env) = self.environment.build(&self.settings.policy)?;
        Ok(restore(&self.settings, training, &learned.tensors, &env)?.readout())
    }

    /// Puts the agent into `environment`.
    ///
    /// # Errors
    /// Fails if the environment cannot be built, its spaces are not those that the agent learned in, or the
    /// agent's tensors do not fit its settings.
    pub fn play_in(&self, environment: &EnvironmentSpec) -> anyhow::Result<PlayingAgent> {
        let (env_spec, env) = environment.build(&self.settings.policy)?;
        let policy: Box<dyn Policy> = match (&self.learned, &self.settings.training) {
            (Some(learned), Some(training)) => {
                self.check_spaces(environment, &env)?;
                restore(&self.settings, training, &learned.tensors, &env)?
            }
            _ => {
                let AgentSpec { policy, .. } = &self.settings;
                let policy = policy::fixed(policy, &env_spec, &environment.options, env.env());
                policy.context("failed to build the policy")?
            }
        };
        Ok(PlayingAgent { env_spec, env, policy })
    }

    /// The randomness of its evaluation episode with this seed.
    pub fn chance(&self, seed: u64) -> Rng {
        stream(self.trial_seed, Purpose::Evaluation, seed)
    }

    /// Films its evaluation episodes of these seeds, as `player` of it plays them in `environment`, into `file`; `watch`
    /// sees every frame first.
    ///
    /// # Errors
    /// Fails if the environment, the policy or the film fails, or `watch` does.
    pub fn film(
        &self,
        player: &mut PlayingAgent,
        environment: &EnvironmentSpec,
        seeds: &[u64],
        file: &Path,
        watch: impl FnMut(&mut View<'_>) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let scene = Scene {
            seeds,
            mode: self.evaluation.mode.into(),
            max_steps: self.evaluation.episode_limit(environment, &player.env_spec),
            render_fps: environment.render_fps(&player.env_spec),
            agent: &self.name,
            trained_steps: self.trained_steps(),
            training_episode: None,
            poster: None,
            numbers: None,
        };
        let chance = |seed| self.chance(seed);
        let (env, policy) = player.parts();
        record_take(env, policy, chance, &scene, &VideoConfig::default(), file, watch)?;
        Ok(())
    }

    /// What it acts by.
    pub fn policy(&self) -> &PolicySpec {
        &self.settings.policy
    }

    /// Checks that it sees what `policy` sees of `environment`.
    ///
    /// # Errors
    /// Fails if the observations differ in their shape or numbers, or an environment cannot be built.
    pub fn sees_like(
        &self,
        environment: &EnvironmentSpec,
        policy: &PolicySpec,
    ) -> anyhow::Result<()> {
        let (_, own) = self.environment.build(&self.settings.policy)?;
        let (_, other) = environment.build(policy)?;
        let (own, other) = (own.env().observation_space(), other.env().observation_space());
        anyhow::ensure!(
            same_shape(own, other),
            "the policy sees {own} of {}, and this agent {other} of {}",
            self.environment.id,
            environment.id
        );
        Ok(())
    }

    fn check_spaces(&self, environment: &EnvironmentSpec, env: &TimeLimit) -> anyhow::Result<()> {
        let (_, own) = self.environment.build(&self.settings.policy)?;
        let (own, other) = (own.env(), env.env());
        let same = same_shape(own.observation_space(), other.observation_space())
            && own.action_space() == other.action_space();
        anyhow::ensure!(
            same,
            "the policy was trained on {} (observations {}, actions {}) and cannot play {} \
             (observations {}, actions {})",
            self.environment.id,
            own.observation_space(),
            own.action_space(),
            environment.id,
            other.observation_space(),
            other.action_space(),
        );
        Ok(())
    }
}

/// The file of the policy that a trial evaluated.
fn evaluated(trial: &TrialDir, evaluation: &EvaluationSpec) -> PathBuf {
    let best = evaluation.policy == KeptPolicy::Best && trial.best_policy().exists();
    if best { trial.best_policy() } else { trial.policy() }
}

/// The trial that `path` is a checkpoint of, where it lies in one.
fn checkpoint_of(path: &Path) -> Option<TrialDir> {
    let folder = std::path::absolute(path).ok()?.parent()?.to_owned();
    let trial = TrialDir::find(folder.parent()?)?;
    (path.is_file() && trial.checkpoints() == folder).then_some(trial)
}

/// The environment and the agent of a policy file's header or a trial, held against what an experiment may ask for:
/// whoever wrote the file, nothing is built that a run would refuse.
fn checked(environment: Value, agent: Value) -> anyhow::Result<(EnvironmentSpec, AgentSpec)> {
    const AGENT: &str = "agent";
    let experiment = json!({
        "name": "policy",
        "environment": environment,
        "agents": { AGENT: agent },
        "recording": { "before": false, "after": false },
    });
    let mut spec = validation::check(&experiment).map_err(|problems| {
        let problems = problems.iter().map(ToString::to_string);
        anyhow::anyhow!(problems.take(5).collect::<Vec<_>>().join("; "))
    })?;
    let agent = spec.agents.swap_remove(AGENT).context("no agent")?;
    Ok((spec.environment, agent))
}

/// Whether a network that reads the one reads the other: bounds of observations are nothing to it.
fn same_shape(a: &Space, b: &Space) -> bool {
    match (a, b) {
        (Space::Box { dtype: a, shape: in_a, .. }, Space::Box { dtype: b, shape: in_b, .. }) => {
            (a, in_a) == (b, in_b)
        }
        (a, b) => a == b,
    }
}

/// The policy of an agent with these settings that `tensors` were saved of, to act in `env`.
fn restore(
    settings: &AgentSpec,
    training: &TrainingSpec,
    tensors: &Tensors,
    env: &TimeLimit,
) -> anyhow::Result<Box<dyn LearnedPolicy>> {
    // Nothing is built for layers that the file cannot hold.
    const SMALL: u64 = 64 << 20;
    if let PolicySpec::Neural(network) = &settings.policy {
        let least = network.fewest_parameters(env.env().observation_space()).saturating_mul(4);
        let held = tensors.size() as u64;
        anyhow::ensure!(
            least <= held.max(SMALL),
            "the policy's tensors do not fit its settings: its layers take at least {least} bytes, and the file \
             holds {held}"
        );
    }
    let mut policy = algorithm::settings(&training.algorithm)?.build_policy(&Setup {
        policy: &settings.policy,
        // Nothing is collected: no room is kept for samples.
        schedule: &ScheduleSpec { steps: Some(0), ..ScheduleSpec::default() },
        observation_space: env.env().observation_space(),
        action_space: env.env().action_space(),
        seed: 0,
    })?;
    policy.load(tensors).context("the policy's tensors do not fit its settings")?;
    Ok(policy)
}

/// The trial of `run` that `agent` (`NAME` or `NAME/SEED`) names: the only agent (of several, the only one that learns) and
/// the first seed where they are left out, and the best sample where it was searched for.
///
/// # Errors
/// Fails if the run cannot be read, or it has no such agent.
pub fn trial_of(run: &RunDir, agent: Option<&str>) -> anyhow::Result<TrialDir> {
    let mut trials = run.plan()?.trials;
    if trials.iter().any(|trial| trial.sample.is_some()) {
        let summary: Summary = super::run::summary(run)?;
        trials.retain(|trial| {
            let search = summary.search.as_ref();
            trial.sample == search.and_then(|search| search.shown(&trial.agent))
        });
    }
    let mut agents: Vec<_> = trials.iter().map(|trial| trial.agent_name()).collect();
    agents.dedup();
    let listed = agents.join(", ");
    let Some(agent) = agent else {
        let learners = || trials.iter().filter(|trial| trial.settings.schedule().is_some());
        let first = if agents.len() == 1 { trials.first() } else { learners().next() };
        let only = first.filter(|first| {
            agents.len() == 1 || learners().all(|trial| trial.agent_name() == first.agent_name())
        });
        let only =
            only.with_context(|| format!("the run has several agents; name one of {listed}"))?;
        return begun(run, only);
    };
    // An agent's own name may hold a slash.
    let by_name = trials.iter().find(|trial| trial.agent_name() == agent);
    let found = by_name.or_else(|| {
        let (name, seed) = agent.rsplit_once('/')?;
        let seed: u64 = seed.parse().ok()?;
        trials.iter().find(|trial| trial.agent_name() == name && trial.seed == seed)
    });
    let found = found.with_context(|| {
        format!("the run has no agent `{agent}`; expected NAME or NAME/SEED with one of {listed}")
    })?;
    begun(run, found)
}

/// The directory of a trial of `run`.
///
/// # Errors
/// Fails if it has not begun.
fn begun(run: &RunDir, trial: &TrialPlan) -> anyhow::Result<TrialDir> {
    let dir = run.trial(&trial.id);
    let resume = format!("--resume={}", run.path().display());
    anyhow::ensure!(
        TrialDir::find(dir.path()).is_some(),
        "{} with seed {} has not begun: the run goes on, or ended before its turn came; `{}` goes on with it, and \
         AGENT/SEED names another one",
        trial.agent,
        trial.seed,
        format::shell_line(&["rushes", "run", &resume]),
    );
    Ok(dir)
}

/// An agent in an environment.
pub struct PlayingAgent {
    /// The environment's row in the table.
    pub env_spec: Arc<EnvSpec>,
    /// The environment.
    pub env: TimeLimit,
    policy: Box<dyn Policy>,
}

impl PlayingAgent {
    /// The environment, and the policy that plays it.
    pub fn parts(&mut self) -> (&mut TimeLimit, &mut dyn Policy) {
        (&mut self.env, &mut *self.policy)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::env::{Mode, episode};

    /// With a replay memory that no machine has room for.
    fn trained(algorithm: &str, id: &str) -> SavedAgent {
        const TOO_MANY: u64 = 1_000_000_000_000_000_000;
        let environment: EnvironmentSpec = serde_json::from_value(json!({ "id": id })).unwrap();
        let settings: AgentSpec = serde_json::from_value(json!({
            "policy": { "type": "neural", "hidden": [8] },
            "training": {
                "algorithm": { "name": algorithm, "buffer_size": TOO_MANY },
                "schedule": { "steps": 100 },
            },
        }))
        .unwrap();
        let training = settings.training.as_ref().unwrap();
        let (_, env) = environment.build(&settings.policy).unwrap();
        let setup = Setup {
            policy: &settings.policy,
            schedule: &training.schedule,
            observation_space: env.env().observation_space(),
            action_space: env.env().action_space(),
            seed: 1,
        };
        let mut tensors = Tensors::default();
        algorithm::settings(&training.algorithm)
            .unwrap()
            .build_policy(&setup)
            .unwrap()
            .save(&mut tensors);
        let learned = Some(Learned { tensors, progress: Progress::default() });
        SavedAgent {
            settings,
            learned,
            ..SavedAgent::fixed(algorithm, PolicySpec::Random {}, environment)
        }
    }

    #[test]
    fn playing_builds_no_replay_memory() {
        for (algorithm, id) in [
            ("dqn", "CartPole-v1"),
            ("sac", "Pendulum-v1"),
            ("td3", "Pendulum-v1"),
            ("tqc", "Pendulum-v1"),
            ("crossq", "Pendulum-v1"),
            ("model_free_planning", "Pendulum-v1"),
            ("model_based_planning", "CartPole-v1"),
        ] {
            let cast = trained(algorithm, id);
            let mut player = cast.play_in(&cast.environment).unwrap();
            let (env, policy) = player.parts();
            let mut rng = stream(0, Purpose::Evaluation, 0);
            let watch = |_: episode::View<'_>| anyhow::Ok(());
            let played = episode::play(env, policy, Mode::Greedy, &mut rng, 0, Some(5), watch);
            assert_eq!(played.unwrap().length, 5, "{algorithm}");
        }
    }
}

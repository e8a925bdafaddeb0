//! From a file to a checked experiment: read, override, hold against the schema, then against the world.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use crate::algorithm::{Algorithm, Setup};
use crate::env::{self, Env, EnvSpec, Mode, Problem, episode, input, names};
use crate::experiment::schema::ExperimentValidator;
use crate::experiment::{
    AgentSpec, CheckSpec, EnvironmentSpec, ExperimentError, KeptPolicy, MAX_TRIALS, Override, Plan,
    Sample, ScheduleSpec, ScoreRange, ScoreSpec, SearchSpec, Spec, StopSpec, Target, TrainerSpec,
    Views, part, repeated_keys, schema, search_problems as search_spec_problems,
};
use crate::nn::{Engine, Tensors};
use crate::policy::{HardCodedSpec, ObservationSpec, PolicySpec, Rule};
use crate::rng::{Purpose, stream};
use crate::store::RunDir;
use crate::{algorithm, format, search, store};

/// Reads an experiment and checks everything that can be known before it runs.
///
/// # Errors
/// Fails if the file cannot be read, or an [`ExperimentError`] with all that is wrong in it.
pub fn load(file: &Path, overrides: &[Override]) -> anyhow::Result<Spec> {
    let text = input::read_text(file).context("failed to read the experiment")?;
    parse(file, &text, overrides, &validator())
}

/// [`load`] of the text that is in `file`.
///
/// # Errors
/// As [`load`].
pub fn parse(
    file: &Path,
    text: &str,
    overrides: &[Override],
    validator: &ExperimentValidator,
) -> anyhow::Result<Spec> {
    let mut value: Value =
        serde_json::from_str(text).map_err(|error| ExperimentError::syntax(file, &error))?;
    change(&mut value, overrides)?;
    check_with(&value, validator)
        .and_then(|spec| {
            let repeated = repeated_keys(text);
            if repeated.is_empty() { Ok(spec) } else { Err(repeated) }
        })
        .and_then(|spec| placed(spec, file).map_err(|problem| vec![problem]))
        .map_err(|problems| ExperimentError::locate(file, text, problems).into())
}

/// Applies `--set` to an experiment.
fn change(experiment: &mut Value, overrides: &[Override]) -> anyhow::Result<()> {
    for change in overrides {
        change.apply(experiment).map_err(|message| {
            anyhow::anyhow!("--set {}: {message}", names::short(change.as_written()))
        })?;
    }
    input::whole_numbers(experiment);
    Ok(())
}

/// Where something is started, says in which folder: what is relative is so to that of `file`.
fn placed(mut spec: Spec, file: &Path) -> Result<Spec, Problem> {
    let commands = spec.commands().map_err(|e| Problem::new(&[] as &[&str], format!("{e:#}")))?;
    if commands.is_empty() {
        return Ok(spec);
    }
    let own = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let folder = spec.directory.as_ref().map_or(own.to_owned(), |given| own.join(given));
    let found = std::fs::canonicalize(&folder).ok().filter(|found| found.is_dir());
    let message = || format!("expected a folder, to run commands in; {} is none", folder.display());
    spec.directory = Some(found.ok_or_else(|| Problem::new(&["directory"], message()))?);
    Ok(spec)
}

/// The compiled [`schema`].
pub fn validator() -> ExperimentValidator {
    ExperimentValidator::new(schema())
}

/// Reads the experiment of a run's plan, changes it and checks it again: another version may have planned the run.
///
/// # Errors
/// Fails if the plan cannot be read, or an [`ExperimentError`] with all that is wrong in it.
pub fn planned(run: &RunDir, overrides: &[Override]) -> anyhow::Result<Spec> {
    let plan = run.plan()?;
    anyhow::ensure!(
        !plan.is_imported(),
        "{} was imported: its trainings ran in other programs, and there is nothing here to go on with",
        run.path().display()
    );
    let mut experiment = serde_json::to_value(plan.experiment)?;
    let file = run.plan_path();
    change(&mut experiment, overrides)?;
    check(&experiment).map_err(|problems| {
        let text = input::read_text(&file).unwrap_or_default();
        let problems = problems.into_iter().map(|problem| problem.below(&["experiment"]));
        ExperimentError::locate(&file, &text, problems.collect()).into()
    })
}

/// The gate's rule with some of its fields changed (`check.drop=0.3`), checked as part of an experiment.
///
/// # Errors
/// Fails if something else is to be changed, or with all that is wrong in the rule.
pub fn rule(rule: &CheckSpec, overrides: &[Override]) -> anyhow::Result<CheckSpec> {
    if overrides.is_empty() {
        return Ok(rule.clone());
    }
    let random = json!({ "random": { "policy": { "type": "random" } } });
    let around =
        json!({ "name": "check", "environment": { "id": "CartPole-v1" }, "agents": random });
    let mut changed = around.clone();
    changed["check"] = serde_json::to_value(rule)?;
    change(&mut changed, overrides)?;
    let others = |name: &&String| *name != "check" && changed[*name] != around[*name];
    if let Some(other) = changed.as_object().and_then(|fields| fields.keys().find(others)) {
        anyhow::bail!("--set {other}: a check changes fields of the experiment's `check` alone");
    }
    let spec = check(&changed)
        .map_err(|problems| ExperimentError::locate(Path::new("--set"), "", problems))?;
    Ok(spec.check)
}

/// The JSON Schema of experiment files, with the algorithms and environments of this process.
pub fn schema() -> Value {
    let environments: Vec<_> = env::all().iter().map(|spec| spec.id.clone()).collect();
    schema::schema(&algorithm::schemas(), &environments)
}

/// Checks an experiment that has been parsed.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(value: &Value) -> Result<Spec, Vec<Problem>> {
    check_with(value, &validator())
}

/// [`check`] with a validator at hand: a search's check comes back here for every extreme value.
fn check_with(value: &Value, validator: &ExperimentValidator) -> Result<Spec, Vec<Problem>> {
    let problems = validator.problems(value);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut spec: Spec =
        serde_path_to_error::deserialize(value).map_err(|error| vec![Problem::of_serde(&error)])?;
    let mut problems = spec.check.problems();
    problems.extend(name_problem(&spec.name));
    if spec.is_suite() {
        problems.extend(suite_problems(&spec, value, validator));
    } else if value.get("environment").is_some() {
        problems.extend(suite_only_problems(&spec));
    } else {
        problems.push(Problem::new(&[] as &[&str], "the field `environment` is missing"));
    }
    for (name, agent) in &mut spec.agents {
        let Some(training) = &mut agent.training else { continue };
        match algorithm::resolved(&training.algorithm) {
            Ok(resolved) => training.algorithm = resolved,
            Err(error) => problems.push(Problem::new(
                &["agents", name, "training", "algorithm"],
                format!("{error:#}"),
            )),
        }
    }
    for (_, environment) in spec.named_environments_mut() {
        environment.fill_in_id();
    }
    if problems.is_empty() {
        problems.extend(too_many_trials(&spec));
        problems.extend(seeds_of_a_search(&spec));
        if !spec.is_suite() {
            problems.extend(semantic_problems(&spec));
        }
    }
    if problems.is_empty() {
        problems = search_problems(&spec, validator);
    }
    if problems.is_empty() { Ok(spec) } else { Err(problems) }
}

/// What only suites have.
fn suite_only_problems(spec: &Spec) -> Vec<Problem> {
    let message = "only a suite (`environments` in place of `environment`) has this";
    let scores = (!spec.scores.is_empty()).then(|| Problem::new(&["scores"], message));
    let patched = spec.agents.iter().filter(|(_, agent)| !agent.environments.is_empty());
    let patched = patched.map(|(name, _)| {
        let message = format!("{message}; write the settings into the agent itself");
        Problem::new(&["agents", name, "environments"], message)
    });
    scores.into_iter().chain(patched).collect()
}

/// What is wrong with the parts of a suite, each where it is written; what is wrong in several environments alike is told
/// once.
fn suite_problems(spec: &Spec, value: &Value, validator: &ExperimentValidator) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    if value.get("environment").is_some() {
        let message = "expected `environment` or `environments`, found both";
        problems.push(Problem::new(&["environment"], message));
    }
    let names: Vec<&str> = spec.environments.keys().map(String::as_str).collect();
    let scores = spec.scores.keys().map(|name| (name, vec!["scores"]));
    let patches = spec.agents.iter().flat_map(|(agent, settings)| {
        let place = vec!["agents", agent, "environments"];
        settings.environments.keys().map(move |name| (name, place.clone()))
    });
    for (name, mut place) in scores.chain(patches) {
        if !spec.environments.contains_key(name) {
            place.push(name);
            problems.push(Problem::new(&place, names::unknown("environment", name, &names)));
        }
    }
    let mut tasks: Vec<(String, &str)> = Vec::new();
    for (name, environment) in &spec.environments {
        let task = environment.task();
        match tasks.iter().find(|(known, _)| *known == task) {
            Some((_, other)) => problems.push(Problem::new(
                &["environments", name],
                format!(
                    "the same environment as `{other}`; to compare settings in it, make two agents"
                ),
            )),
            None => tasks.push((task, name)),
        }
    }
    if !problems.is_empty() {
        return problems;
    }
    for name in spec.environments.keys() {
        let ScoreSpec { random, reference } = spec.stated_score(name);
        let (Some(random), Some(reference)) = (random, reference) else { continue };
        if ScoreRange::new(random, reference).is_none() {
            let message = format!(
                "expected a reference above `random`, as greater returns are better: it is {}, and `random` {}",
                format::number(reference),
                format::number(random)
            );
            problems.push(Problem::new(&["scores", name], message));
        }
    }
    for name in names {
        let part = part(value, name);
        if part["agents"].as_object().is_some_and(Map::is_empty) {
            let message = "no agent plays in this environment";
            problems.push(Problem::new(&["environments", name], message));
            continue;
        }
        for problem in check_with(&part, validator).err().unwrap_or_default() {
            let problem = of_part(problem, name, value);
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }
    problems
}

/// A problem of a suite's part at the place in the suite where it is written.
fn of_part(Problem { mut path, message }: Problem, environment: &str, suite: &Value) -> Problem {
    match path.first().map(String::as_str) {
        Some("environment") => {
            path.splice(0..1, ["environments".to_owned(), environment.to_owned()]);
        }
        Some("agents") if path.len() > 2 => {
            let patch = &suite["agents"][&path[1]]["environments"][environment];
            if path[2..].iter().try_fold(patch, |here, part| here.get(part)).is_some() {
                path.splice(2..2, ["environments".to_owned(), environment.to_owned()]);
            } else {
                return Problem { path, message: format!("{message} (in {environment})") };
            }
        }
        _ => {}
    }
    Problem { path, message }
}

/// What no schema can know: names of the tables, and combinations that cannot work.
fn semantic_problems(spec: &Spec) -> Vec<Problem> {
    let of_environment = spec.environment.problems();
    let mut problems: Vec<Problem> =
        of_environment.into_iter().map(|problem| problem.below(&["environment"])).collect();
    // What other processes make is looked at once `run` has started it.
    if !problems.is_empty() || spec.environment.is_unseen() {
        return problems;
    }
    let env_spec = match spec.environment.spec() {
        Ok(env_spec) => env_spec,
        Err(error) => {
            problems.push(Problem::new(&["environment", "id"], format!("{error:#}")));
            return problems;
        }
    };
    let env = match (env_spec.make)(&spec.environment.options) {
        Ok(env) => env,
        Err(error) => {
            // Where there are no options, something is amiss with the environment itself: MuJoCo is not installed.
            let whole = error.path.is_empty() && spec.environment.options.is_empty();
            let place = if whole { "id" } else { "options" };
            problems.push(error.below(&["environment", place]));
            return problems;
        }
    };
    let Spec { environment, .. } = spec;
    let limit = environment.time_limit(&env_spec);
    let found = environment.wrappers.problems(&*env, &env_spec.make, &environment.options, limit);
    if !found.is_empty() {
        // Agents are held against the environment with its wrappers.
        problems.extend(found.into_iter().map(|p| p.below(&["environment", "wrappers"])));
        return problems;
    }
    let agents = || spec.agents.values();
    if spec.recording.training.is_some()
        && agents().any(|agent| agent.trainer.is_some())
        && agents().all(|agent| agent.training.is_none())
    {
        let message = "only training here is filmed, and the agents are trained by scripts (`trainer`), which play their \
                       episodes themselves; leave it out";
        problems.push(Problem::new(&["recording", "training"], message));
    }
    if spec.films() {
        let fps = environment.render_fps(&env_spec);
        let problem = spec.recording.video.problem(env.frame_size(), fps);
        problems.extend(problem.map(|problem| problem.below(&["recording", "video"])));
    }
    for (name, agent) in &spec.agents {
        if name.contains(names::misleads) {
            let message =
                "expected a name without characters that control writing or its direction";
            problems.push(Problem::new(&["agents", name], message));
        }
        let found = agent_problems(agent, spec, &env_spec, &*env);
        problems.extend(found.into_iter().map(|problem| problem.below(&["agents", name])));
    }
    problems
}

/// The history of all experiments lies beside their folders.
fn name_problem(name: &str) -> Option<Problem> {
    let history = store::history(Path::new(""));
    // The database's journals have longer names, and not every file system tells capitals from small letters.
    let taken = history.to_str().is_some_and(|own| name.to_lowercase().starts_with(own));
    taken.then(|| {
        let message =
            format!("{} is the database of all runs; choose another name", history.display());
        Problem::new(&["name"], message)
    })
}

/// A search compares its samples over seeds that are all the same.
fn seeds_of_a_search(spec: &Spec) -> Option<Problem> {
    (spec.search.is_some() && spec.seeds.at_least.is_some()).then(|| {
        let message = "expected a list or a number: with a `search`, no seeds are added as the gate needs them";
        Problem::new(&["seeds"], message)
    })
}

/// More trials than an experiment may have, of agents that nothing is searched for.
fn too_many_trials(spec: &Spec) -> Option<Problem> {
    let agents = spec.agents.keys().map(|agent| spec.environments_of(agent));
    too_many(&["seeds"], agents.fold(0, u64::saturating_add), spec)
}

/// So many agents and samples, in each of their environments, with the seeds of `spec`; `place` is what there is too much
/// of.
fn too_many(place: &[&str], agents: u64, spec: &Spec) -> Option<Problem> {
    let seeds = spec.seeds.all.len() as u64;
    let trials = agents.saturating_mul(seeds);
    (trials > MAX_TRIALS as u64).then(|| {
        let least = if trials == u64::MAX { "at least " } else { "" };
        let each = if spec.is_suite() { " in every environment" } else { "" };
        let message = format!(
            "{least}{trials} trials ({seeds} for every agent and sample{each}) are more than the {MAX_TRIALS} that one \
             experiment may have"
        );
        Problem::new(place, message)
    })
}

/// More samples than an experiment may have, counted before any is drawn.
fn too_many_samples(spec: &Spec) -> Option<Problem> {
    let search = spec.search.as_ref()?;
    let agents = spec.agents.keys();
    let all = agents.map(|agent| {
        let samples = if search.searches(agent) { search.count(spec, agent) } else { 1 };
        samples.saturating_mul(spec.environments_of(agent))
    });
    let mut problem = too_many(&["search", "parameters"], all.fold(0, u64::saturating_add), spec)?;
    problem.message.push_str(if search.hands_on() {
        ": a smaller `samples`, or a longer `interval`"
    } else {
        ": fewer values in `grid` (or `integer`), a smaller `samples`, or draws by `choice`"
    });
    Some(problem)
}

/// What is wrong with the search of an experiment that is right without it.
fn search_problems(spec: &Spec, validator: &ExperimentValidator) -> Vec<Problem> {
    let threshold = |environment: &EnvironmentSpec| {
        environment.spec().ok().and_then(|env| env.reward_threshold)
    };
    let all_have_one = spec.environments().all(|environment| threshold(environment).is_some());
    let check = |value: &Value| check_with(value, validator).err().unwrap_or_default();
    if let Some(problem) = too_many_samples(spec) {
        return vec![problem];
    }
    let mut problems = search_spec_problems(spec, all_have_one, check);
    if problems.is_empty() {
        let samples = search::next_samples(spec, &[]);
        for part in spec.parts().unwrap_or_default() {
            let mut here = samples.iter().filter(|sample| part.plays(&sample.agent));
            problems.extend(here.find_map(|sample| sample_problem(&part.experiment, sample)));
            let mut first = samples.iter().filter(|sample| sample.number == 0);
            if spec.search.as_ref().is_some_and(SearchSpec::hands_on) && problems.is_empty() {
                problems.extend(first.find_map(|sample| misfit(&part.experiment, sample)));
            }
        }
    }
    problems
}

/// What is wrong with values that are each right alone.
fn sample_problem(spec: &Spec, sample: &Sample) -> Option<Problem> {
    let wrong = |message: String| {
        let values: Vec<_> =
            sample.values.iter().map(|(p, value)| format!("{p}={value}")).collect();
        let values: Vec<_> = values.iter().map(|value| names::short(value)).collect();
        let message = format!("{} do not go together: {message}", names::list(&values));
        Problem::new(&["search", "parameters"], message)
    };
    let env_spec = spec.environment.spec().ok()?;
    let env = (env_spec.make)(&spec.environment.options).ok()?;
    match sample.settings(spec) {
        Ok(settings) => {
            let found = agent_problems(&settings, spec, &env_spec, &*env);
            found.first().map(|problem| wrong(problem.to_string()))
        }
        Err(error) => Some(wrong(format!("{error:#}"))),
    }
}

/// Two values of a population between which a training cannot change: with one of them an algorithm cannot take over what it
/// saved with the other.
fn misfit(spec: &Spec, sample: &Sample) -> Option<Problem> {
    let with = |path: &str, value: &Value| -> anyhow::Result<Box<dyn Algorithm>> {
        let mut sample = sample.clone();
        sample.values.insert(path.to_owned(), value.clone());
        let AgentSpec { policy, training, .. } = sample.settings(spec)?;
        let training = training.context("a learner")?;
        let (_, seen) = spec.environment.build(&policy)?;
        algorithm::settings(&training.algorithm)?.build(&Setup {
            policy: &policy,
            schedule: &training.schedule,
            observation_space: seen.env().observation_space(),
            action_space: seen.env().action_space(),
            seed: 0,
        })
    };
    for (path, parameter) in spec.search.as_ref()?.parameters_of(&sample.agent) {
        let values = parameter.distribution().extremes();
        let pairs =
            values.iter().flat_map(|before| values.iter().map(move |after| (before, after)));
        for (before, after) in pairs {
            let mut state = Tensors::default();
            with(path, before).ok()?.save(&mut state);
            let Err(error) = with(path, after).ok()?.load(&state) else { continue };
            let message = format!(
                "a training that has begun with {} cannot go on with {}, as population-based training would have it: \
                 {error:#}; leave the parameter out",
                names::short(&before.to_string()),
                names::short(&after.to_string())
            );
            return Some(Problem::new(&["search", "parameters", path], message));
        }
    }
    None
}

/// The engines that the trials of a checked experiment need and this program does not have.
///
/// # Errors
/// Fails if an environment cannot be built; never for a checked experiment.
pub fn missing_engines(plan: &Plan) -> anyhow::Result<BTreeSet<Engine>> {
    let mut missing = BTreeSet::new();
    let mut views = Views::default();
    for trial in &plan.trials {
        let PolicySpec::Neural(network) = &trial.settings.policy else { continue };
        // What convolutions need does not depend on the observation.
        let inputs = match trial.environment.is_unseen() {
            true => 1,
            false => views.of(trial)?.observation_space().features(),
        };
        let training = trial.settings.training.as_ref();
        let algorithm = training.and_then(|training| algorithm::settings(&training.algorithm).ok());
        let normalisation = algorithm.and_then(|algorithm| algorithm.normalisation());
        let engine = network.engine(inputs, normalisation);
        missing.extend(engine.ok().filter(|engine| !engine.is_here()));
    }
    Ok(missing)
}

/// What is wrong with an agent of the experiment on `env`, the environment as it is.
fn agent_problems(
    agent: &AgentSpec,
    spec: &Spec,
    env_spec: &EnvSpec,
    env: &dyn Env,
) -> Vec<Problem> {
    if let Some(trainer) = &agent.trainer {
        let mut problems = trainer_problems(agent, trainer, env_spec);
        if !spec.environment.wrappers.is_empty() {
            let message = "a script makes its environment itself and knows nothing of `environment.wrappers`: \
                           leave them out, or use `environment.gymnasium.wrappers`";
            problems.push(Problem::new(&["trainer"], message));
        }
        return problems;
    }
    let mut problems = Vec::new();
    let looks = matches!(agent.policy.observation(), ObservationSpec::Pixels(_));
    if looks && spec.environment.wrappers.history.is_some() {
        let message =
            "pixels have a stack of their own, `stack`: leave out `environment.wrappers.history`";
        problems.push(Problem::new(&["policy", "observation"], message));
    }
    if let PolicySpec::Neural(network) = &agent.policy {
        let found = network.problems(env);
        problems.extend(found.into_iter().map(|problem| problem.below(&["policy"])));
    }
    match (&agent.policy, &agent.training) {
        (PolicySpec::HardCoded(policy), _) => {
            problems.extend(rule_problem(policy, spec, env_spec));
        }
        (policy @ (PolicySpec::Neural(_) | PolicySpec::Tabular(_)), Some(training)) => {
            problems.extend(extreme_numbers(&training.algorithm.settings));
            // What the algorithm learns from is what the policy sees, once that is possible.
            if let (true, Ok((_, seen))) = (problems.is_empty(), spec.environment.build(policy)) {
                let schedule = &training.schedule;
                let algorithm = &training.algorithm;
                problems.extend(algorithm::problems(algorithm, policy, schedule, seen.env()));
            }
        }
        (PolicySpec::Planning(policy), _) => problems.extend(policy.problems(env)),
        (PolicySpec::Trainers, _) => problems.push(Problem::new(
            &[] as &[&str],
            "expected `policy`, with `training` where it learns, or `trainer`, a training script",
        )),
        (
            PolicySpec::Random {}
            | PolicySpec::Neural(_)
            | PolicySpec::Tabular(_)
            | PolicySpec::External(_),
            _,
        ) => {}
    }
    match (&agent.policy, &agent.training) {
        (PolicySpec::Neural(_) | PolicySpec::Tabular(_), Some(training)) => {
            let found = schedule_problems(&training.schedule, env_spec);
            problems.extend(found.into_iter().map(|problem| problem.below(&["training"])));
            problems.extend(algorithm::dataset_problem(training));
            if spec.evaluation.policy == KeptPolicy::Best
                && training.schedule.evaluate_every.is_none()
            {
                problems.push(Problem::new(
                    &["training", "schedule", "evaluate_every"],
                    "expected a period: `evaluation.policy` is \"best\", which evaluations during training tell",
                ));
            }
        }
        (PolicySpec::Neural(_) | PolicySpec::Tabular(_), None) => problems.push(Problem::new(
            &["policy"],
            "a policy that learns needs `training`; it is filmed and evaluated before it as well",
        )),
        (PolicySpec::Trainers, _) => {}
        (_, Some(_)) => problems.push(Problem::new(
            &["training"],
            "only neural and tabular policies learn; remove `training` or make the policy `neural`",
        )),
        (
            PolicySpec::Random {}
            | PolicySpec::HardCoded(_)
            | PolicySpec::Planning(_)
            | PolicySpec::External(_),
            None,
        ) => {}
    }
    problems
}

/// What is wrong with an agent that a script trains.
fn trainer_problems(agent: &AgentSpec, trainer: &TrainerSpec, env_spec: &EnvSpec) -> Vec<Problem> {
    let found = schedule_problems(&trainer.schedule, env_spec);
    let mut problems: Vec<_> =
        found.into_iter().map(|problem| problem.below(&["trainer"])).collect();
    let taken = [("policy", !agent.policy.is_trainers()), ("training", agent.training.is_some())];
    for (name, _) in taken.into_iter().filter(|(_, is_there)| *is_there) {
        let message =
            format!("the script in `trainer` brings its own; remove `{name}` or `trainer`");
        problems.push(Problem::new(&[name], message));
    }
    problems
}

/// Settings that are nothing, or infinite, in single precision.
fn extreme_numbers(settings: &Map<String, Value>) -> Vec<Problem> {
    const SIZES: RangeInclusive<f64> = 1e-30..=1e30;
    let extreme = |number: f64| number != 0.0 && !SIZES.contains(&number.abs());
    let found = settings.iter().filter(|(_, value)| value.as_f64().is_some_and(extreme));
    found
        .map(|(name, value)| {
            let message = format!(
                "expected 0 or a number of 1e-30 to 1e30 in size, found {value:e}",
                value = value.as_f64().unwrap_or_default()
            );
            Problem::new(&["training", "algorithm", name], message)
        })
        .collect()
}

fn rule_problem(policy: &HardCodedSpec, spec: &Spec, env_spec: &EnvSpec) -> Option<Problem> {
    match (&policy.rule, &policy.name) {
        (Some(rule), None) => {
            let error = try_rule(rule, spec).err()?;
            Some(Problem::new(&["policy", "rule"], format!("{error:#}")))
        }
        (None, Some(name)) => {
            if env_spec.policies.iter().any(|policy| policy.name == *name) {
                return None;
            }
            Some(Problem::new(&["policy", "name"], env_spec.unknown_policy(name)))
        }
        _ => Some(Problem::new(
            &["policy"],
            "expected either `rule` (an expression) or `name` (a built-in policy)",
        )),
    }
}

/// Plays the first step of the evaluation, where a mistake about what observations or actions are shows.
fn try_rule(rule: &str, spec: &Spec) -> anyhow::Result<()> {
    let (env_spec, mut env) = spec.environment.build(&PolicySpec::Random {})?;
    let mut rule = Rule::compile(rule, &env_spec, env.env())?;
    if spec.environment.is_external() {
        // A check starts no process.
        return Ok(());
    }
    let seed = spec.evaluation.seed;
    let mut rng = stream(0, Purpose::Evaluation, seed);
    let unwatched = |_: episode::View<'_>| anyhow::Ok(());
    episode::play(&mut env, &mut rule, Mode::Greedy, &mut rng, seed, Some(1), unwatched)?;
    Ok(())
}

fn schedule_problems(schedule: &ScheduleSpec, env_spec: &EnvSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    let ScheduleSpec { episodes, steps, updates, seconds, stop, .. } = schedule;
    if episodes.is_none() && steps.is_none() && updates.is_none() && seconds.is_none() {
        problems.push(Problem::new(
            &["schedule"],
            "expected a length: `episodes`, `steps`, `updates` or `seconds`",
        ));
    }
    let Some(StopSpec { mean_return, running_return, .. }) = stop else { return problems };
    if mean_return.is_none() && running_return.is_none() {
        problems.push(Problem::new(
            &["schedule", "stop"],
            "expected `mean_return` or `running_return`",
        ));
    }
    for (name, target) in [("mean_return", mean_return), ("running_return", running_return)] {
        if *target == Some(Target::Threshold) && env_spec.reward_threshold.is_none() {
            problems.push(Problem::new(
                &["schedule", "stop", name],
                format!("{} has no reward threshold; write a number", env_spec.id),
            ));
        }
    }
    problems
}

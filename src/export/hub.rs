//! A policy as a folder that can be pushed to a model hub: a model card with its results, the policy, its settings and a
//! film of it.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use fs_err as fs;
use serde_json::json;

use super::onnx;
use crate::experiment::{EnvironmentSpec, TrialPlan};
use crate::format;
use crate::nn::Tensors;
use crate::policy::PolicySpec;
use crate::record::{Evaluation, Moment, TrialResult};
use crate::results::{self, SavedAgent, Summary};
use crate::stats::{self, Bootstrap};
use crate::store::{self, RunDir, TrialDir};

/// The film's name, which the hub plays.
const REPLAY: &str = "replay.mp4";

/// Writes README.md, policy.safetensors, policy.onnx (where the policy is one network), experiment.json, replay.mp4 and the
/// files that the environment's options name (a MuJoCo model of one's own, in binary form) into `folder`, replacing older ones; of the run's agent, as [`SavedAgent::open`] finds it.
///
/// # Errors
/// Fails if the agent has not been trained and evaluated, or a file cannot be written.
pub fn export(run: &RunDir, agent: Option<&str>, folder: &Path) -> anyhow::Result<()> {
    let trial = results::trial_of(run, agent)?;
    let plan = trial.plan()?;
    let result = trial.result().context("the trial is not over; its results are not known")?;
    let evaluation = result.after.as_ref().with_context(|| {
        format!("{} was not evaluated after training; a model card tells what it reaches", plan.id)
    })?;
    let saved = SavedAgent::open(trial.path(), None)?;
    let policy = SavedAgent::file(trial.path(), None)?;
    fs::create_dir_all(folder)?;
    let environment = saved.environment.copied_into(folder)?;
    let mut tensors = Tensors::load(&policy)?;
    tensors.insert_value("environment", &environment);
    store::write_tensors(folder, &tensors, |_| Ok(folder.join("policy.safetensors")))?;
    let has_model =
        saved.network()?.is_some() && saved.readout()?.is_some() && !saved.masks_actions();
    if has_model {
        onnx::export(&saved, &folder.join("policy.onnx"))?;
    }
    let mut experiment = run.plan()?.experiment.as_file();
    let own = match &plan.environment_name {
        Some(name) => experiment.environments.get_mut(name),
        None => Some(&mut experiment.environment),
    };
    if let Some(own) = own {
        own.options.clone_from(&environment.options);
    }
    store::write_json(&folder.join("experiment.json"), &experiment)?;
    film(&trial, &result, &saved, &folder.join(REPLAY))?;
    let summary = results::summary(run)?;
    let weak = results::weak_evidence(&summary, run.info().ok().as_ref());
    let steps = saved.trained_steps().unwrap_or(result.progress.steps);
    let card = Card {
        plan: &plan,
        environment: &environment,
        evaluation,
        summary: &summary,
        weak,
        steps,
        has_model,
    };
    store::write_atomically(&folder.join("README.md"), card.text().as_bytes())
}

/// The take after training, or one that is made now.
fn film(
    trial: &TrialDir,
    result: &TrialResult,
    saved: &SavedAgent,
    file: &Path,
) -> anyhow::Result<()> {
    let after = result.takes.iter().find(|take| take.moment == Moment::After);
    let taken = after.map(|take| trial.file(&take.file)).filter(|file| file.exists());
    if let Some(taken) = taken {
        fs::copy(taken, file)?;
        return Ok(());
    }
    let mut player = saved.play_in(&saved.environment)?;
    saved.film(&mut player, &saved.environment, &[saved.evaluation.seed], file, |_| Ok(()))
}

/// What a model card tells.
struct Card<'a> {
    plan: &'a TrialPlan,
    /// The environment, made of the files beside the card.
    environment: &'a EnvironmentSpec,
    evaluation: &'a Evaluation,
    summary: &'a Summary,
    /// Why the figures are weak evidence, where they are.
    weak: Vec<String>,
    /// How long this policy was trained, in environment steps.
    steps: u64,
    has_model: bool,
}

impl Card<'_> {
    /// Markdown below metadata in YAML, whose strings are written as JSON's, which are YAML's too.
    fn text(&self) -> String {
        let TrialPlan { agent, environment, .. } = self.plan;
        let algorithm = self.plan.settings.training.as_ref().map(|t| t.algorithm.name.as_str());
        let algorithm = algorithm.unwrap_or("trainer");
        let name = format!("{agent} on {}", environment.id);
        let returns = &self.evaluation.returns;
        let decimals = format::decimals(returns.iter().copied()).max(2);
        let mean = stats::mean(returns).unwrap_or(f64::NAN);
        let std = stats::sample_std(returns).unwrap_or(0.0);
        let reward = format!("{mean:.decimals$} +/- {std:.decimals$}");
        let scores = self.scores();
        let interval = Bootstrap::default().interval(&scores, stats::mean);
        let over_seeds = stats::mean(&scores).zip(interval).map(|(mean, interval)| {
            let ends = format!("{:.decimals$} to {:.decimals$}", interval.low, interval.high);
            (format!("{mean:.decimals$}"), ends)
        });
        let mut metrics = vec![json!({
            "type": "mean_reward", "name": "mean_reward", "value": reward, "verified": false
        })];
        if let Some((mean, ends)) = &over_seeds {
            metrics.push(json!({
                "type": "mean_reward",
                "name": format!("mean_reward over {} trainings, 95 % interval {ends}", scores.len()),
                "value": mean,
                "verified": false,
            }));
        }
        let mut text = format!(
            "---\nlibrary_name: rushes\ntags:\n- {}\n- {}\n- deep-reinforcement-learning\n- reinforcement-learning\n\
             model-index:\n- name: {}\n  results:\n  - task:\n      type: reinforcement-learning\n      name: \
             reinforcement-learning\n    dataset:\n      name: {}\n      type: {}\n    metrics:\n",
            json!(environment.id),
            json!(algorithm),
            json!(name),
            json!(environment.id),
            json!(environment.id),
        );
        for metric in &metrics {
            let lines = metric.as_object().into_iter().flatten();
            let lines: Vec<_> = lines.map(|(key, value)| format!("{key}: {value}")).collect();
            let _ = writeln!(text, "    - {}", lines.join("\n      "));
        }
        let _ = write!(
            text,
            "---\n\n# {}\n\nA policy for {}, trained by {} for {} environment steps.\n\n<video src=\"{REPLAY}\" controls \
             autoplay loop muted></video>\n\n| | return |\n|---|--:|\n| this policy, {}, mean ± standard deviation | \
             {} |\n",
            format::markdown(&name),
            format::markdown(&environment.task()),
            format::markdown(algorithm),
            format::count(self.steps),
            format::plural(returns.len(), "evaluation episode"),
            reward.replace("+/-", "±"),
        );
        if let Some((mean, ends)) = &over_seeds {
            let trainings = format::plural(scores.len(), "training");
            let _ = writeln!(
                text,
                "| mean over all {trainings}, each with a seed of its own, 95 % bootstrap interval | {mean} ({ends}) |"
            );
        }
        if !self.weak.is_empty() {
            let _ = writeln!(text, "\nWeak evidence: {}.", format::markdown(&self.weak.join("; ")));
        }
        let _ = write!(
            text,
            "\nActions are {}{}.\n\n## Use it\n\n```sh\nrushes play policy.safetensors \
             --video film.mp4   # plays the episodes that were evaluated\nrushes run experiment.json                        \
             # trains it again, with all that it was compared with\n```\n",
            match self.plan.evaluation.mode {
                crate::experiment::EvaluationMode::Greedy => "the best ones",
                crate::experiment::EvaluationMode::Explore =>
                    "drawn from the policy's distribution",
            },
            (self.evaluation.seed).map_or_else(String::new, |seed| {
                format!(", episodes are numbered from seed {seed}")
            }),
        );
        for option in self.environment.files.keys() {
            let file = self
                .environment
                .options
                .get(option)
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default();
            let _ = writeln!(
                text,
                "\nThe environment's `{option}` is `{}`, with all that it is made of; `rushes run` is told of it by a path that \
                 begins in this folder.",
                file.trim_start_matches("./")
            );
        }
        if self.has_model {
            text.push_str(
                "\n`policy.onnx` is the same policy with everything that lies between an observation and the greedy action:\n\n\
                 ```python\nimport onnxruntime\n\npolicy = onnxruntime.InferenceSession(\"policy.onnx\")\nobservations = ...  # a \
                 batch, as the environment gives them\n",
            );
            let recurrent = match &self.plan.settings.policy {
                PolicySpec::Neural(network) => network.recurrent.is_some(),
                _ => false,
            };
            text.push_str(match recurrent {
                false => "[action] = policy.run([\"action\"], {\"observation\": observations})\n```\n",
                true => {
                    "state = ...  # zeros where episodes begin, else the last next_state\n[action, state] = \
                     policy.run([\"action\", \"next_state\"], {\"observation\": observations, \"state\": state})\n```\n"
                }
            });
        }
        let _ = writeln!(
            text,
            "\n`policy.safetensors` holds the tensors, named as those of a `torch.nn.Sequential`, with all settings in its \
             header.\n\nMade by rushes {} in run {}{}.",
            env!("CARGO_PKG_VERSION"),
            format::markdown(&self.summary.run),
            match &self.summary.git {
                Some(git) => format!(" at commit {}", git.short()),
                None => String::new(),
            },
        );
        text
    }

    /// The mean return of each seed's evaluation after training.
    fn scores(&self) -> Vec<f64> {
        let agent = self.summary.agents.iter().find(|agent| agent.name == self.plan.agent_name());
        let seeds = agent.into_iter().flat_map(|agent| &agent.seeds);
        seeds.filter_map(|seed| stats::mean(&seed.final_returns)).collect()
    }
}

//! The plan: every trial that follows from an experiment, decided before anything runs.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::spec::{AgentSpec, EnvironmentSpec, EvaluationSpec, RecordingSpec, Spec};

/// The version of the on-disk layout (`docs/output-format.md`).
pub const FORMAT_VERSION: u32 = 1;

/// `plan.json`: written before the first trial starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// The experiment with every default filled in and every override applied.
    pub experiment: Spec,
    /// Hash of everything in the experiment that decides the returns.
    pub settings_hash: String,
    /// The trials, agent by agent, seed by seed.
    pub trials: Vec<TrialPlan>,
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
    /// The trial's seed.
    pub seed: u64,
    /// Whether this trial's takes are filmed.
    pub filmed: bool,
    /// The agent's settings.
    pub settings: AgentSpec,
    /// The environment.
    pub environment: EnvironmentSpec,
    /// How the policy is evaluated.
    pub evaluation: EvaluationSpec,
    /// What is filmed.
    pub recording: RecordingSpec,
}

impl Plan {
    /// The plan of a checked experiment.
    pub fn new(experiment: Spec) -> Self {
        let mut trials = Vec::new();
        for (number, (agent, settings)) in experiment.agents.iter().enumerate() {
            let slug = slug(agent, number);
            for (index, &seed) in experiment.seeds.0.iter().enumerate() {
                trials.push(TrialPlan {
                    format_version: FORMAT_VERSION,
                    id: format!("{slug}--s{seed}"),
                    agent: agent.clone(),
                    seed,
                    filmed: index < experiment.recording.seeds,
                    settings: settings.clone(),
                    environment: experiment.environment.clone(),
                    evaluation: experiment.evaluation.clone(),
                    recording: experiment.recording.clone(),
                });
            }
        }
        let settings_hash = settings_hash(&experiment);
        Self { format_version: FORMAT_VERSION, experiment, settings_hash, trials }
    }
}

/// A directory name for an agent. A name that had to be changed gets the agent's number, so that two
/// agents never share a directory.
fn slug(agent: &str, number: usize) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let safe: String = agent.chars().map(|c| if plain(c) { c } else { '_' }).take(60).collect();
    let unchanged = safe == agent && !safe.starts_with('.') && !safe.contains("--");
    if unchanged { safe } else { format!("{}-{number}", safe.trim_matches(['.', '-'])) }
}

/// Hash of what decides the returns: environment, agents and evaluation, not names, seeds or takes.
fn settings_hash(experiment: &Spec) -> String {
    let deciding =
        serde_json::json!([experiment.environment, experiment.agents, experiment.evaluation]);
    let digest = Sha256::digest(deciding.to_string().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn directory_names_are_safe_and_distinct() {
        assert_eq!(slug("reinforce", 0), "reinforce");
        assert_eq!(slug("<script>", 3), "_script_-3");
        assert_eq!(slug("../../etc", 1), "_.._etc-1");
        assert_ne!(slug("a b", 0), slug("a_b", 1));
        assert_ne!(slug("ä", 0), slug("ö", 1));
    }
}

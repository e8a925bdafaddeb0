//! Datasets: what an agent saw, did and was paid, episode by episode, in the layout of Minari 0.5 with Parquet files
//! (<https://minari.farama.org>), so that Minari itself and all that reads from it reads them; and what is learned from them.
//!
//! ```text
//! DATASET/metadata.json              spaces, environment, algorithm; written last: a dataset without it is not whole
//! DATASET/EPISODE/metadata.json      seed, length
//! DATASET/EPISODE/part-0.parquet     a row for each observation; the last row's action and reward are zeros that nobody reads
//! ```

mod columns;
mod reader;
mod space;
mod transitions;

pub use self::transitions::Transitions;

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::{Value, json};

use self::columns::Column;
use crate::env::episode::{Episode, View};
use crate::env::{Env, EnvSpec, Space};
use crate::experiment::{AgentSpec, EnvironmentSpec};
use crate::policy::{ObservationSpec, PolicySpec};

/// The oldest version of Minari that reads this layout, which dataset and programs agree on.
const MINARI: &str = "0.5.0";
/// The oldest one that reads pictures that are no JPEG.
const MINARI_WITH_PICTURES: &str = "0.5.4";

/// What a dataset is of.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    id: String,
    algorithm: String,
    /// What `gymnasium.make` makes the environment of again.
    environment: Option<Value>,
    observation_space: Space,
    action_space: Space,
}

impl Facts {
    /// What an agent plays in `env`, under a name of several words, for example the experiment, the agent and its seed.
    pub fn new(
        name: &[&str],
        agent: &AgentSpec,
        environment: &EnvironmentSpec,
        spec: &EnvSpec,
        env: &dyn Env,
    ) -> Self {
        // With wrappers or pixels it is another one than Python's package has.
        let same = !environment.is_external()
            && environment.wrappers.is_empty()
            && matches!(agent.policy.observation(), ObservationSpec::State);
        Self {
            id: dataset_id(name),
            algorithm: match &agent.training {
                Some(training) => training.algorithm.name.clone(),
                None => policy_type(&agent.policy),
            },
            environment: same.then(|| registered(environment, spec)),
            observation_space: env.observation_space().clone(),
            action_space: env.action_space().clone(),
        }
    }
}

/// The kind of a policy, as experiment files call it.
fn policy_type(policy: &PolicySpec) -> String {
    let written = serde_json::to_value(policy).unwrap_or_default();
    written["type"].as_str().unwrap_or("unknown").to_owned()
}

/// A `gymnasium.envs.registration.EnvSpec`, as `import rushes` registers it.
fn registered(environment: &EnvironmentSpec, spec: &EnvSpec) -> Value {
    let mut arguments = environment.options.clone();
    arguments.insert("id".into(), environment.id.clone().into());
    json!({
        "id": format!("rushes/{}", environment.id),
        "entry_point": "rushes:Env",
        "kwargs": arguments,
        "max_episode_steps": environment.time_limit(spec),
        "order_enforce": false,
        "disable_env_checker": true,
        "additional_wrappers": [],
    })
}

/// A dataset that is being written.
#[derive(Debug)]
pub struct DatasetWriter {
    folder: PathBuf,
    facts: Facts,
    episodes: u64,
    steps: u64,
    bytes: u64,
    /// The episode that is played.
    observations: Vec<f32>,
    actions: Vec<f32>,
    rewards: Vec<f64>,
}

impl DatasetWriter {
    /// A dataset in a folder that is not there yet, or is empty.
    ///
    /// # Errors
    /// Fails if there is something in the folder, or it cannot be made.
    pub fn create(folder: &Path, facts: Facts) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        anyhow::ensure!(
            fs::read_dir(folder)?.next().is_none(),
            "{}: expected an empty folder, or none, for a dataset",
            folder.display()
        );
        let (observations, actions, rewards) = Default::default();
        let folder = folder.to_owned();
        Ok(Self { folder, facts, episodes: 0, steps: 0, bytes: 0, observations, actions, rewards })
    }

    /// Takes in what an episode shows after its reset and after each step.
    pub fn see(&mut self, view: &View<'_>) {
        match view.last {
            Some((action, step)) => {
                self.actions.extend_from_slice(action);
                self.rewards.push(step.reward);
            }
            None => {
                self.observations.clear();
                self.actions.clear();
                self.rewards.clear();
            }
        }
        self.observations.extend_from_slice(view.observation);
    }

    /// Writes the episode that was seen, which began with this seed. One that was cut short counts as truncated, as in Minari.
    ///
    /// # Errors
    /// Fails if it cannot be written.
    pub fn end(&mut self, seed: u64, episode: &Episode) -> anyhow::Result<()> {
        let folder = self.folder.join(self.episodes.to_string());
        fs::create_dir_all(&folder)?;
        let rows = self.rewards.len() + 1;
        let last = |is: bool| (0..rows).map(|row| is && row + 2 == rows).collect();
        self.actions.resize(rows * self.facts.action_space.len(), 0.0);
        self.rewards.push(0.0);
        let Facts { observation_space, action_space, .. } = &self.facts;
        let file = folder.join("part-0.parquet");
        let columns = [
            Column::of_space("observations", observation_space, &self.observations)?,
            Column::of_space("actions", action_space, &self.actions)?,
            Column::doubles("rewards", std::mem::take(&mut self.rewards))?,
            Column::bools("terminations", last(episode.terminated))?,
            Column::bools("truncations", last(episode.truncated || episode.cut()))?,
        ];
        columns::write(&file, &columns)?;
        let of = json!({ "id": self.episodes, "total_steps": episode.length, "seed": seed });
        fs::write(folder.join("metadata.json"), of.to_string())?;
        self.bytes += fs::metadata(file)?.len();
        self.episodes += 1;
        self.steps += u64::from(episode.length);
        Ok(())
    }

    /// Writes what the dataset is; it is whole then.
    ///
    /// # Errors
    /// Fails if it cannot be written.
    pub fn finish(self) -> anyhow::Result<()> {
        let Facts { id, algorithm, environment, observation_space, action_space } = &self.facts;
        let pictures = [observation_space, action_space].into_iter().any(Space::is_bytes);
        let mut metadata = json!({
            "dataset_id": id,
            "minari_version": if pictures { MINARI_WITH_PICTURES } else { MINARI },
            "data_format": "parquet",
            "jpeg_encoding": false,
            "total_episodes": self.episodes,
            "total_steps": self.steps,
            "dataset_size": (self.bytes as f64 / 1e5).round() / 10.0,
            "algorithm_name": algorithm,
            "observation_space": space::minari(observation_space),
            "action_space": space::minari(action_space),
        });
        if let Some(environment) = environment {
            metadata["env_spec"] = environment.to_string().into();
            metadata["requirements"] = json!(["rushes"]);
        }
        Ok(fs::write(self.folder.join("metadata.json"), metadata.to_string())?)
    }
}

/// Words as Minari takes them in a dataset's id: `NAME/NAME-v0` of letters, digits, `-` and `_`.
fn dataset_id(name: &[&str]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let words: Vec<String> = name
        .iter()
        .map(|word| word.chars().map(plain).collect::<String>().trim_matches('-').to_owned())
        .filter(|word| !word.is_empty())
        .collect();
    format!("rushes/{}-v0", if words.is_empty() { "dataset".into() } else { words.join("/") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_minaris_form() {
        let name = ["cartpole", "ppo-0.1 (wide)", "s3"];
        assert_eq!(dataset_id(&name), "rushes/cartpole/ppo-0-1--wide/s3-v0");
        assert_eq!(dataset_id(&["…"]), "rushes/dataset-v0");
    }
}

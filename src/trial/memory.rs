//! How much memory trials take, known before they start: that of replay memories, beside which networks and
//! buffers hardly count.

use crate::algorithm;
use crate::env::Env;
use crate::experiment::{AgentSpec, Plan, Views};
use crate::format::bytes;

/// From this many bytes on, memory is worth telling.
const NOTEWORTHY: u64 = 100_000_000;

/// The memory that an experiment's trials take for samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// The agent whose trials take the most.
    agent: String,
    /// Bytes of each trial, the largest first.
    trials: Vec<u64>,
}

impl MemoryEstimate {
    /// What the trials of a plan take at most.
    ///
    /// # Errors
    /// Fails if the environment is unknown; never for a checked experiment.
    pub fn of(plan: &Plan) -> anyhow::Result<Self> {
        let mut views = Views::default();
        let mut trials = Vec::new();
        for trial in &plan.trials {
            // What is stored is what the policy sees.
            let bytes = sample_bytes(&trial.settings, views.of(trial)?)?;
            trials.push((bytes, trial.agent_name()));
        }
        trials.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        Ok(Self {
            agent: trials.first().map(|(_, agent)| agent.to_string()).unwrap_or_default(),
            trials: trials.iter().map(|(bytes, _)| *bytes).collect(),
        })
    }

    /// Bytes that `jobs` trials at a time take at most.
    pub fn at_a_time(&self, jobs: usize) -> u64 {
        self.trials.iter().take(jobs).sum()
    }

    /// Bytes that a trial takes at most.
    fn greatest(&self) -> u64 {
        self.at_a_time(1)
    }

    /// A line about `jobs` trials at a time, where there is anything worth telling.
    pub fn statement(&self, jobs: usize) -> Option<String> {
        let (one, all) = (self.greatest(), self.at_a_time(jobs));
        let together = match jobs {
            1 => String::new(),
            _ => format!(", {} for {jobs} at a time", bytes(all)),
        };
        let told = || {
            format!("memory: replay takes up to {} a trial ({}){together}", bytes(one), self.agent)
        };
        (all >= NOTEWORTHY).then(told)
    }

    /// Why `jobs` trials at a time cannot work on a machine with so much memory, and what to do.
    pub fn problem(&self, jobs: usize, machine: u64) -> Option<String> {
        if self.at_a_time(jobs) <= machine {
            return None;
        }
        let (one, has) = (bytes(self.greatest()), bytes(machine));
        let agent = &self.agent;
        Some(if self.greatest() > machine {
            format!(
                "agents.{agent}.training.algorithm.buffer_size: a trial's replay takes up to {one} and this \
                 machine has {has}; use a smaller one"
            )
        } else {
            format!(
                "{jobs} trials at a time take up to {} for replay and this machine has {has}; use fewer \
                 --jobs, or a smaller `buffer_size` in {agent}",
                bytes(self.at_a_time(jobs))
            )
        })
    }
}

/// The most bytes that the samples of a trial of `agent` take in `env`.
fn sample_bytes(agent: &AgentSpec, env: &dyn Env) -> anyhow::Result<u64> {
    let Some(training) = &agent.training else { return Ok(0) };
    let settings = algorithm::settings(&training.algorithm)?;
    let (observations, actions) = (env.observation_space(), env.action_space());
    Ok(settings.memory_bytes(&training.schedule, observations, actions))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::validation::check;

    fn plan(buffer_size: u64, steps: u64) -> Plan {
        let agent = |algorithm: serde_json::Value| {
            json!({ "policy": { "type": "neural" },
                    "training": { "algorithm": algorithm, "schedule": { "steps": steps } } })
        };
        let sac = agent(json!({ "name": "sac", "buffer_size": buffer_size }));
        let ppo = agent(json!({ "name": "ppo" }));
        let spec = check(
            &json!({ "name": "memory", "environment": { "id": "BipedalWalker-v3" }, "seeds": 2,
                       "agents": { "ppo": ppo, "sac": sac } }),
        );
        Plan::new(spec.expect("a valid experiment")).expect("settings that fit")
    }

    /// Two observations of 24 numbers, an action of 4, a reward and an end.
    const STEP: u64 = 4 * (2 * 24 + 4 + 1) + 1;

    #[test]
    fn memory_is_replay_size_times_what_a_step_takes() {
        let memory = MemoryEstimate::of(&plan(1_000_000, 2_000_000)).expect("a known environment");
        assert_eq!(memory.at_a_time(1), 2 * STEP * 1_000_000);
        assert_eq!(memory.at_a_time(2), 4 * STEP * 1_000_000);
        // PPO keeps no replay.
        assert_eq!(memory.at_a_time(4), memory.at_a_time(2));
        assert_eq!(
            memory.statement(2).as_deref(),
            Some("memory: replay takes up to 426 MB a trial (sac), 852 MB for 2 at a time")
        );
    }

    /// What one trial of an agent takes that learns CartPole for 10,000 steps.
    fn cartpole(observation: serde_json::Value, algorithm: serde_json::Value) -> u64 {
        let value = json!({ "name": "memory", "environment": { "id": "CartPole-v1" }, "seeds": 3,
            "agents": { "learner": {
                "policy": { "type": "neural", "observation": observation },
                "training": { "algorithm": algorithm, "schedule": { "steps": 10_000 } },
            } } });
        let plan =
            Plan::new(check(&value).expect("a valid experiment")).expect("settings that fit");
        MemoryEstimate::of(&plan).expect("a known environment").at_a_time(1)
    }

    #[test]
    fn what_the_policy_sees_is_what_is_kept() {
        let mut pixels = json!({ "type": "pixels", "width": 84, "height": 84, "stack": 4 });
        // A byte for each pixel, four for action and reward, one for the end and each flag of a mask of two actions.
        let step = 2 * 4 * 84 * 84 + 4 * (1 + 1) + 1 + 2;
        assert_eq!(cartpole(pixels.clone(), json!({ "name": "dqn" })), 2 * step * 10_000);
        pixels["difference"] = true.into();
        let step = 4 * (2 * 4 * 84 * 84 + 1 + 1) + 1 + 2;
        assert_eq!(cartpole(pixels, json!({ "name": "dqn" })), 2 * step * 10_000);
    }

    #[test]
    fn planners_keep_samples_twice_and_copy_the_larger_ones() {
        let replay = 4 * (2 * 4 + 1 + 1) + 1;
        let state = json!({ "type": "state" });
        // Observations and one-hot actions, rewards, and the samples' numbers.
        let rewards = 4 * (4 + 2 + 1) + 8;
        assert_eq!(
            cartpole(state.clone(), json!({ "name": "model_free_planning" })),
            (2 * replay + rewards) * 10_000
        );
        // Changes of state and ends as well.
        let model = rewards + 4 * (4 + 1);
        assert_eq!(
            cartpole(state, json!({ "name": "model_based_planning" })),
            (replay + 2 * model) * 10_000
        );
    }

    #[test]
    fn a_replay_is_no_larger_than_the_training_is_long() {
        let memory = MemoryEstimate::of(&plan(1_000_000, 1_000)).expect("a known environment");
        assert_eq!(memory.at_a_time(1), 2 * STEP * 1_000);
        assert_eq!(memory.statement(2), None);
    }

    #[test]
    fn too_much_memory_is_told_with_what_to_do() {
        let memory = MemoryEstimate::of(&plan(1_000_000, 2_000_000)).expect("a known environment");
        assert_eq!(memory.problem(2, 2_000_000_000), None);
        let fewer = memory.problem(2, 800_000_000).expect("too much for two");
        assert!(fewer.contains("use fewer --jobs"), "{fewer}");
        let smaller = memory.problem(2, 400_000_000).expect("too much for one");
        assert!(smaller.starts_with("agents.sac.training.algorithm.buffer_size: "), "{smaller}");
    }
}

//! How much memory trials take, known before they start: that of replay memories, beside which networks and
//! buffers hardly count.

use super::{AgentSpec, Plan};
use crate::env::Env;
use crate::report::format::bytes;

/// From this many bytes on, memory is worth telling.
const NOTEWORTHY: u64 = 100_000_000;

/// The memory of an experiment's trials.
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
    /// Where the environment is unknown; never for a checked experiment.
    pub fn of(plan: &Plan) -> anyhow::Result<Self> {
        let mut trials = Vec::new();
        for trial in &plan.trials {
            let (_, env) = trial.environment.build(&trial.settings.policy)?;
            trials.push((trial.settings.memory_bytes(env.env()), trial.agent.as_str()));
        }
        trials.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        Ok(Self {
            agent: trials.first().map(|(_, agent)| (*agent).to_owned()).unwrap_or_default(),
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

impl AgentSpec {
    /// The most bytes that a trial's replay memory takes in `env`, with the two copies that writing a
    /// checkpoint makes (the tensors, and the file).
    fn memory_bytes(&self, env: &dyn Env) -> u64 {
        let Some(training) = &self.training else { return 0 };
        let settings = training.algorithm.settings();
        let (observations, actions) = (env.observation_space(), env.action_space());
        3 * settings.memory_bytes(&training.schedule, observations, actions)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::experiment::load::check;

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
        Plan::new(spec.expect("a valid experiment")).expect("no search")
    }

    /// Two observations of 24 numbers, an action of 4, a reward and an end.
    const STEP: u64 = 4 * (2 * 24 + 4 + 1) + 1;

    #[test]
    fn memory_is_replay_size_times_what_a_step_takes() {
        let memory = MemoryEstimate::of(&plan(1_000_000, 2_000_000)).expect("a known environment");
        assert_eq!(memory.at_a_time(1), 3 * STEP * 1_000_000);
        assert_eq!(memory.at_a_time(2), 6 * STEP * 1_000_000);
        // PPO keeps no replay.
        assert_eq!(memory.at_a_time(4), memory.at_a_time(2));
        assert_eq!(
            memory.statement(2).as_deref(),
            Some("memory: replay takes up to 639 MB a trial (sac), 1,278 MB for 2 at a time")
        );
    }

    #[test]
    fn a_replay_is_no_larger_than_the_training_is_long() {
        let memory = MemoryEstimate::of(&plan(1_000_000, 1_000)).expect("a known environment");
        assert_eq!(memory.at_a_time(1), 3 * STEP * 1_000);
        assert_eq!(memory.statement(2), None);
    }

    #[test]
    fn too_much_memory_is_told_with_what_to_do() {
        let memory = MemoryEstimate::of(&plan(1_000_000, 2_000_000)).expect("a known environment");
        assert_eq!(memory.problem(2, 2_000_000_000), None);
        let fewer = memory.problem(2, 1_000_000_000).expect("too much for two");
        assert!(fewer.contains("use fewer --jobs"), "{fewer}");
        let smaller = memory.problem(2, 500_000_000).expect("too much for one");
        assert!(smaller.starts_with("agents.sac.training.algorithm.buffer_size: "), "{smaller}");
    }
}

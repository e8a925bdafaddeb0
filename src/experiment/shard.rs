//! A plan's trials in parts of about the same cost, for machines that know nothing of one another.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::plan::{Plan, TrialPlan};
use crate::policy::PolicySpec;

/// One of several parts of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// Which one, counted from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let parsed = written.split_once('/').and_then(|(number, of)| {
            Some(Self { number: number.parse().ok()?, of: of.parse().ok()? })
        });
        parsed.filter(|shard| (1..=shard.of).contains(&shard.number)).ok_or_else(|| {
            format!("expected NUMBER/OF, for example 2/8 for the second of 8 shards, not {written}")
        })
    }
}

impl Plan {
    /// The plan with the trials of one shard only: each is in exactly one, whatever machine decides it. The trials go,
    /// the most expensive first, to the shard that has the least to do so far.
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
        let mut costs = Vec::new();
        for (index, trial) in self.trials.iter().enumerate() {
            costs.push((trial.cost()?, index));
        }
        costs.sort_by_key(|(cost, index)| (Reverse(*cost), *index));
        let mut loads = vec![0_u64; shard.of];
        let mut own = Vec::new();
        for (cost, index) in costs {
            let lightest = (0..shard.of).min_by_key(|shard| loads[*shard]).unwrap_or(0);
            loads[lightest] = loads[lightest].saturating_add(cost);
            if lightest + 1 == shard.number {
                own.push(index);
            }
        }
        let mut index = 0..;
        self.trials.retain(|_| index.next().is_some_and(|index| own.contains(&index)));
        self.shard = Some(shard);
        Ok(self)
    }
}

impl TrialPlan {
    /// About how much the trial has to compute, to compare it with others of its plan: the environment steps that its
    /// schedule and its evaluations come to, times the width of its network. At least 1.
    ///
    /// # Errors
    /// Fails if the environment is unknown; never for a checked experiment.
    fn cost(&self) -> anyhow::Result<u64> {
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
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn plan(search: &Value) -> Plan {
        let learner = |steps: u64| {
            json!({
                "policy": { "type": "neural" },
                "training": { "algorithm": { "name": "reinforce" }, "schedule": { "steps": steps } },
            })
        };
        let mut experiment = json!({
            "name": "sharded",
            "environment": { "id": "CartPole-v1" },
            "seeds": 4,
            "agents": {
                "long": learner(900_000),
                "short": learner(300_000),
                "random": { "policy": { "type": "random" } },
            },
        });
        if !search.is_null() {
            experiment["search"] = search.clone();
        }
        Plan::new(crate::validation::check(&experiment).expect("a valid experiment"))
    }

    #[test]
    fn every_trial_is_in_one_shard_and_shards_cost_about_the_same() {
        let whole = plan(&Value::Null);
        let shards: Vec<Plan> = (1..=4)
            .map(|number| plan(&Value::Null).only(Shard { number, of: 4 }).expect("a shard"))
            .collect();
        let mut ids: Vec<_> = shards.iter().flat_map(|shard| &shard.trials).collect();
        ids.sort_by_key(|trial| whole.trials.iter().position(|other| other.id == trial.id));
        assert!(ids.into_iter().eq(&whole.trials));
        let costs = shards.iter().map(|shard| -> u64 {
            shard.trials.iter().map(|trial| trial.cost().expect("an environment")).sum()
        });
        let costs: Vec<u64> = costs.collect();
        let (least, most) = (costs.iter().min().unwrap(), costs.iter().max().unwrap());
        assert!(most * 100 <= least * 101, "{costs:?}");
    }

    #[test]
    fn what_cannot_be_a_shard_is_refused() {
        for written in ["", "2", "0/2", "3/2", "a/b", "1/0", "-1/2"] {
            assert!(written.parse::<Shard>().is_err(), "{written}");
        }
        let shard: Shard = "2/13".parse().expect("a shard");
        assert_eq!((shard.number, shard.of, shard.to_string()), (2, 13, "2/13".to_owned()));
        let error = plan(&Value::Null).only(shard).unwrap_err().to_string();
        assert!(error.contains("only 12 trials"), "{error}");
        let rate = "agents.long.training.algorithm.learning_rate";
        let search = json!({ "parameters": { rate: { "grid": [0.1, 0.2] } } });
        let error = plan(&search).only("1/2".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("cannot be run in shards"), "{error}");
    }
}

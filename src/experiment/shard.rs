//! A plan's trials in parts of about the same cost, for machines that know nothing of one another.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::spec::MAX_TRIALS;

/// One of several parts of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Shard {
    /// Which one, counted from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

/// A shard as files have it.
#[derive(Deserialize)]
struct Written {
    number: usize,
    of: usize,
}

impl TryFrom<Written> for Shard {
    type Error = String;

    fn try_from(Written { number, of }: Written) -> Result<Self, String> {
        let is_one = (1..=of).contains(&number) && of <= MAX_TRIALS;
        is_one
            .then_some(Self { number, of })
            .ok_or_else(|| format!("there is no shard {number}/{of}"))
    }
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

impl Shard {
    /// Which of the trials that cost this much are its own: each is in exactly one shard, whatever machine decides it. The
    /// trials go, the most expensive first, to the shard that has the least to do so far.
    pub(super) fn owns(self, costs: &[u64]) -> Vec<bool> {
        let mut order: Vec<usize> = (0..costs.len()).collect();
        order.sort_by_key(|index| (Reverse(costs[*index]), *index));
        let mut loads = vec![0_u64; self.of];
        let mut owns = vec![false; costs.len()];
        for index in order {
            let lightest = (0..self.of).min_by_key(|shard| loads[*shard]).unwrap_or(0);
            loads[lightest] = loads[lightest].saturating_add(costs[index]);
            owns[index] = lightest + 1 == self.number;
        }
        owns
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::experiment::Plan;

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
            .expect("trials")
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

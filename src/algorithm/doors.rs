//! An environment for the tests of this room: which actions are valid depends on the state, and others are refused.

use std::sync::Once;

use serde_json::{Value, json};

use super::echo::learned;
use crate::env::draw::Canvas;
use crate::env::{self, Action, Env, EnvError, EnvSpec, Info, Problem, Space, Step};
use crate::experiment::{EnvironmentSpec, ScheduleSpec};
use crate::policy::PolicySpec;
use crate::rng::NpRandom;

const ROOMS: usize = 6;

/// The environment with one door to choose, or with `several` a door and a key. Episodes last eight steps.
pub(super) fn environment(several: bool) -> EnvironmentSpec {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        env::register(EnvSpec {
            max_episode_steps: Some(8),
            ..EnvSpec::new("Doors-v0", |options: serde_json::Map<String, Value>| {
                let several = options.get("several") == Some(&Value::Bool(true));
                Ok::<_, Problem>(Box::new(Doors::new(several)) as Box<dyn Env>)
            })
        });
    });
    serde_json::from_value(json!({ "id": "Doors-v0", "options": { "several": several } }))
        .expect("an environment")
}

/// Two of the four doors of a room are open, and one of those pays. Where there are keys, two of three fit, and any of
/// them will do.
struct Doors {
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    room: usize,
}

impl Doors {
    fn new(several: bool) -> Self {
        Self {
            observation_space: Space::Discrete { n: ROOMS },
            action_space: match several {
                true => Space::MultiDiscrete { nvec: vec![4, 3] },
                false => Space::Discrete { n: 4 },
            },
            np_random: NpRandom::new(0),
            room: 0,
        }
    }

    fn draw_room(&mut self) {
        self.room = self.np_random.integers(0, ROOMS as i64) as usize;
    }

    /// Which doors, and which keys.
    fn valid(&self) -> Vec<Vec<bool>> {
        let doors = (0..4).map(|door: usize| (door + self.room).is_multiple_of(2)).collect();
        let keys = (0..3).map(|key| key != self.room % 3).collect();
        match self.action_space {
            Space::Discrete { .. } => vec![doors],
            _ => vec![doors, keys],
        }
    }
}

impl Env for Doors {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.np_random = NpRandom::new(seed);
        }
        self.draw_room();
        Ok(())
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let parts: Vec<usize> = match action {
            Action::Discrete(door) => vec![door],
            parts => parts.vector().iter().map(|&part| part as usize).collect(),
        };
        if self.valid().iter().zip(&parts).any(|(valid, &part)| !valid[part]) {
            return Err(EnvError::Physics(format!("{parts:?} in room {}", self.room)));
        }
        let pays = parts[0] == self.room % 2 + 2 * (self.room / 2 % 2);
        self.draw_room();
        Ok(Step::new(f64::from(u8::from(pays)), false))
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        observation[0] = self.room as f32;
        Ok(())
    }

    fn info(&self) -> Info {
        Info::from_iter([("action_mask".to_owned(), json!(self.valid()))])
    }

    fn frame_size(&self) -> (u32, u32) {
        (16, 16)
    }

    fn draw(&self, _: &mut Canvas) {}
}

fn neural() -> Value {
    json!({ "type": "neural", "hidden": [16], "activation": "tanh", "action_mask": true })
}

/// Of 8; who takes any valid action gets 4.
const GOOD: f64 = 7.5;

/// An invalid action, while training or afterwards, would end it.
#[test]
fn algorithms_learn_by_valid_actions_alone() {
    let ppo = json!({ "name": "ppo", "n_envs": 4, "n_steps": 64, "batch_size": 64, "n_epochs": 5,
        "gamma": 0.0, "learning_rate": 0.01 });
    let a2c = json!({ "name": "a2c", "n_envs": 16, "gamma": 0.0, "learning_rate": 0.01,
        "shared_trunk": true });
    let dqn = json!({ "name": "dqn", "learning_starts": 50, "gamma": 0.5, "learning_rate": 0.01,
        "exploration_fraction": 0.005, "target_update_interval": 50, "double_q": true });
    let pqn = json!({ "name": "pqn", "n_envs": 8, "n_steps": 8, "batch_size": 64, "gamma": 0.5,
        "learning_rate": 0.01, "exploration_fraction": 0.1 });
    let q_learning = json!({ "name": "q_learning", "gamma": 0.5, "epsilon": 0.5 });
    let tabular = json!({ "type": "tabular", "action_mask": true });
    for (several, policy, algorithm, iterations) in [
        (false, neural(), ppo.clone(), 30),
        (true, neural(), ppo, 30),
        (false, neural(), a2c.clone(), 150),
        (true, neural(), a2c, 150),
        (false, neural(), dqn, 500),
        (false, neural(), pqn, 100),
        (false, tabular, q_learning, 100),
    ] {
        let found = learned(&environment(several), policy, algorithm.clone(), iterations);
        assert!(found > GOOD, "{algorithm}: {found}");
    }
}

#[test]
fn masks_are_refused_where_nobody_tells_or_heeds_them() {
    let echo = super::echo::environment("multi_discrete");
    let of =
        |value: Value| serde_json::from_value::<EnvironmentSpec>(value).expect("an environment");
    let doors = || environment(false);
    for (environment, name, expected) in [
        (doors(), "ppo", None),
        (
            doors(),
            "reinforce",
            Some(
                "reinforce learns without masks of actions; use a2c, dqn, qr_dqn, pqn, q_learning, ppo",
            ),
        ),
        (echo, "ppo", Some("this environment tells no `action_mask` in its `info`: leave it out")),
        (
            of(json!({ "id": "FrozenLake-v1" })),
            "dqn",
            Some("this environment tells no `action_mask` in its `info`: leave it out"),
        ),
        (
            of(json!({ "id": "Pendulum-v1" })),
            "ppo",
            Some("a mask chooses among discrete actions, and there are Box(-2, 2, [1])"),
        ),
    ] {
        let policy: PolicySpec = serde_json::from_value(neural()).expect("a policy");
        let (_, env) = environment.build(&policy).expect("registered");
        let spec = serde_json::from_value(json!({ "name": name })).expect("an algorithm");
        let schedule = ScheduleSpec { steps: Some(9), ..ScheduleSpec::default() };
        let found = super::problems(&spec, &policy, &schedule, env.env());
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        match expected {
            None => assert!(found.is_empty(), "{found:?}"),
            Some(expected) => {
                assert_eq!(found.len(), 1, "{found:?}");
                assert!(found[0].starts_with("policy.action_mask: "), "{found:?}");
                assert!(found[0].contains(expected), "{found:?}");
            }
        }
    }
}

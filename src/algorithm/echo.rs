//! An environment for the tests of this room: actions of several parts, to be read off a nested observation.

use std::sync::Once;

use serde_json::{Value, json};

use super::{Setup, resolved, settings};
use crate::env::draw::Canvas;
use crate::env::{self, Action, Env, EnvError, EnvSpec, Mode, Problem, Space, Step};
use crate::experiment::{EnvironmentSpec, ScheduleSpec};
use crate::policy::PolicySpec;
use crate::rng::{NpRandom, Purpose, stream};
use crate::training::{MetricMeans, World};

/// Every kind of action of several parts.
pub(super) const ACTIONS: [&str; 3] = ["multi_discrete", "multi_binary", "dict"];

/// The environment with such actions, whose episodes last eight steps.
pub(super) fn environment(actions: &str) -> EnvironmentSpec {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        env::register(EnvSpec {
            max_episode_steps: Some(8),
            ..EnvSpec::new("Echo-v0", |options: serde_json::Map<String, Value>| {
                let actions = options.get("actions").and_then(Value::as_str);
                Ok::<_, Problem>(Box::new(Echo::new(actions.unwrap_or_default())) as Box<dyn Env>)
            })
        });
    });
    serde_json::from_value(json!({ "id": "Echo-v0", "options": { "actions": actions } }))
        .expect("an environment")
}

/// Shows an action, and pays the share of its parts that are repeated.
struct Echo {
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    wanted: Vec<f32>,
}

impl Echo {
    fn new(actions: &str) -> Self {
        let action_space = match actions {
            "multi_discrete" => Space::MultiDiscrete { nvec: vec![3, 2, 4] },
            "multi_binary" => Space::MultiBinary { n: 3 },
            _ => {
                let pair = vec![Space::Discrete { n: 2 }, Space::MultiBinary { n: 2 }];
                Space::dict([("a", Space::Tuple { spaces: pair }), ("b", Space::Discrete { n: 3 })])
            }
        };
        let unbounded = vec![f32::INFINITY; 4];
        let low = unbounded.iter().map(|bound| -bound).collect();
        let noise = Space::float_box(low, unbounded, vec![2, 2]);
        let beside = Space::Tuple { spaces: vec![noise, Space::picture(&[1, 2, 3])] };
        Self {
            observation_space: Space::dict([("beside", beside), ("wanted", action_space.clone())]),
            wanted: vec![0.0; action_space.len()],
            action_space,
            np_random: NpRandom::new(0),
        }
    }

    fn draw_wanted(&mut self) {
        let nvec = self.action_space.discrete_parts().expect("discrete parts");
        for (wanted, n) in self.wanted.iter_mut().zip(nvec) {
            *wanted = self.np_random.integers(0, n as i64) as f32;
        }
    }
}

impl Env for Echo {
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
        self.draw_wanted();
        Ok(())
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let pairs = self.wanted.iter().zip(action.vector());
        let right = pairs.filter(|(wanted, found)| wanted == found).count();
        let reward = right as f64 / self.wanted.len() as f64;
        self.draw_wanted();
        Ok(Step::new(reward, false))
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        let (beside, wanted) = observation.split_at_mut(10);
        let sum = self.wanted.iter().sum::<f32>();
        for (i, number) in beside.iter_mut().enumerate() {
            *number = if i < 4 { 1.0 + 0.1 * sum * i as f32 } else { 50.0 * i as f32 % 256.0 };
        }
        wanted.copy_from_slice(&self.wanted);
        Ok(())
    }

    fn frame_size(&self) -> (u32, u32) {
        (16, 16)
    }

    fn draw(&self, _: &mut Canvas) {}
}

/// The mean return of greedy episodes after so many iterations.
pub(super) fn learned(
    environment: &EnvironmentSpec,
    policy: Value,
    algorithm: Value,
    iterations: usize,
) -> f64 {
    let policy: PolicySpec = serde_json::from_value(policy).expect("a policy");
    let spec = serde_json::from_value(algorithm).map_err(anyhow::Error::from);
    let settings = settings(&spec.and_then(|spec| resolved(&spec)).expect("an algorithm"));
    let settings = settings.expect("in the table");
    let schedule = ScheduleSpec { steps: Some(100_000), ..ScheduleSpec::default() };
    let copies = settings.environments();
    let mut world = World::new(environment, &policy, copies, 3, &schedule).expect("a world");
    let setup = Setup {
        policy: &policy,
        schedule: &schedule,
        observation_space: world.observation_space(),
        action_space: world.action_space(),
        seed: 3,
    };
    let mut algorithm = settings.build(&setup).expect("an engine on any CPU");
    world.restart(0, Default::default()).expect("a fresh start");
    algorithm.restart();
    for _ in 0..iterations {
        algorithm.iterate(&mut world, &mut MetricMeans::default()).expect("nothing diverges");
    }
    let mut rng = stream(0, Purpose::Evaluation, 0);
    let mut play = |seed: u64| {
        let episode = world.play(algorithm.policy_mut(), Mode::Greedy, &mut rng, seed);
        episode.expect("an episode").r#return
    };
    (0..20).map(&mut play).sum::<f64>() / 20.0
}

fn neural() -> Value {
    json!({ "type": "neural", "hidden": [32], "activation": "tanh" })
}

/// Of 8; who guesses gets 2.9 to 4. Six seeds all reached more, most of them 8.
const GOOD: f64 = 6.5;

#[test]
fn ppo_learns_actions_of_several_parts_with_and_without_normalisation() {
    for actions in ACTIONS {
        for normalize_observations in [false, true] {
            let ppo = json!({ "name": "ppo", "n_envs": 4, "n_steps": 64, "batch_size": 64, "n_epochs": 5,
                "gamma": 0.0, "learning_rate": 0.003, "normalize_observations": normalize_observations });
            let found = learned(&environment(actions), neural(), ppo, 60);
            assert!(found > GOOD, "{actions}, normalised {normalize_observations}: {found}");
        }
    }
}

#[test]
fn a2c_learns_actions_of_several_parts() {
    for actions in ACTIONS {
        let a2c = json!({ "name": "a2c", "n_envs": 16, "gamma": 0.0, "learning_rate": 0.01,
            "normalize_observations": true });
        let found = learned(&environment(actions), neural(), a2c, 300);
        assert!(found > GOOD, "{actions}: {found}");
    }
}

#[test]
fn reinforce_learns_actions_of_several_parts() {
    for actions in ACTIONS {
        let reinforce = json!({ "name": "reinforce", "discount": 0.0, "learning_rate": 0.01,
            "episodes_per_update": 10, "normalise_returns": "batch" });
        let found = learned(&environment(actions), neural(), reinforce, 150);
        assert!(found > GOOD, "{actions}: {found}");
    }
}

#[test]
fn algorithms_that_cannot_are_refused_with_those_that_can() {
    let policy: PolicySpec = serde_json::from_value(json!({ "type": "neural" })).expect("a policy");
    let (_, env) = environment("multi_binary").build(&policy).expect("registered");
    for (name, able) in [("dqn", false), ("sac", false), ("ppo", true), ("cem", true)] {
        let spec = serde_json::from_value(json!({ "name": name })).expect("an algorithm");
        let schedule = ScheduleSpec { steps: Some(9), ..ScheduleSpec::default() };
        let found = super::problems(&spec, &policy, &schedule, env.env());
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        if able {
            assert!(found.is_empty(), "{found:?}");
        } else {
            let expected = format!(
                "training.algorithm.name: {name} cannot act in MultiBinary(3); use reinforce, a2c, ppo, cem, openai_es, ars"
            );
            assert_eq!(found, [expected]);
        }
    }
}

//! Built-in policies do what they are for.

use rushes::env::{self, Mode, Options, Policy, Situation, TimeLimit};
use rushes::rng::{Purpose, stream};
use serde_json::{Value, json};

fn options(value: Value) -> Options {
    value.as_object().expect("an object").clone()
}

/// The returns of `episodes` episodes, seeds 1000 and on.
fn returns(id: &str, name: &str, options: &Options, episodes: u64) -> Vec<f64> {
    let spec = env::find(id).expect(id);
    let builtin = spec.policies.iter().find(|policy| policy.name == name).expect(name);
    let mut policy: Box<dyn Policy> = (builtin.make)(options).expect(name);
    let env = (spec.make)(options).expect(id);
    let mut env = TimeLimit::new(env, spec.max_episode_steps.or(Some(1000)));
    let mut observation = vec![0.0; env.env().observation_space().len()];
    let mut action = vec![0.0; env.env().action_space().len()];
    let mut rng = stream(0, Purpose::Evaluation, 0);
    let mut play = |seed| {
        env.reset(Some(seed), &mut observation).expect("a reset");
        policy.begin_episode();
        let mut sum = 0.0;
        loop {
            let situation =
                Situation { observation: &observation, step: env.elapsed_steps(), env: env.env() };
            policy.act(situation, Mode::Greedy, &mut rng, &mut action).expect("an action");
            let transition = env.step(&action, &mut observation).expect("a step");
            sum += transition.reward;
            if transition.done() {
                return sum;
            }
        }
    };
    (1000..1000 + episodes).map(&mut play).collect()
}

fn mean(returns: &[f64]) -> f64 {
    returns.iter().sum::<f64>() / returns.len() as f64
}

#[test]
fn every_environment_ships_a_policy() {
    for spec in &env::all() {
        assert!(!spec.policies.is_empty(), "{}", spec.id);
    }
}

/// Mean returns over 200 episodes, and what they must reach: the threshold where the task has one.
#[test]
fn policies_reach_what_they_promise() {
    for (id, name, at_least) in [
        ("CartPole-v0", "pd", 200.0),
        ("CartPole-v1", "pd", 500.0),
        ("MountainCar-v0", "push", -125.0),
        ("MountainCarContinuous-v0", "push", 90.0),
        ("Pendulum-v1", "swing-up", -200.0),
        ("Acrobot-v1", "pump", -100.0),
        ("Blackjack-v1", "optimal", -0.1),
        ("FrozenLake-v1", "optimal", 0.70),
        ("FrozenLake8x8-v1", "optimal", 0.75),
        ("CliffWalking-v0", "optimal", -13.0),
        ("Taxi-v3", "optimal", 7.5),
    ] {
        let mean = mean(&returns(id, name, &Options::new(), 200));
        println!("{id} {name}: {mean}");
        assert!(mean >= at_least, "{id} {name}: {mean}, expected at least {at_least}");
    }
}

/// The worst of 2,000 starts, so that no start defeats the rule.
#[test]
fn control_rules_have_no_bad_starts() {
    for (id, name, at_least) in [
        ("CartPole-v1", "pd", 500.0),
        ("MountainCar-v0", "push", -199.0),
        ("MountainCarContinuous-v0", "push", 80.0),
        ("Pendulum-v1", "swing-up", -600.0),
        ("Acrobot-v1", "pump", -499.0),
    ] {
        let returns = returns(id, name, &Options::new(), 2000);
        let worst = returns.into_iter().fold(f64::INFINITY, f64::min);
        println!("{id} {name}: worst {worst}");
        assert!(worst >= at_least, "{id} {name}: {worst}");
    }
}

#[test]
fn optimal_policies_follow_the_options() {
    let steady = options(json!({ "is_slippery": false }));
    for id in ["FrozenLake-v1", "FrozenLake8x8-v1"] {
        assert_eq!(mean(&returns(id, "optimal", &steady, 5)), 1.0, "{id}");
        let random = options(json!({ "map_name": null, "map_seed": 3, "is_slippery": false }));
        assert_eq!(mean(&returns(id, "optimal", &random, 5)), 1.0, "{id}");
    }
    // On slippery ground the direct way costs falls; the optimal one keeps its distance.
    let slippery = options(json!({ "is_slippery": true }));
    let mean = mean(&returns("CliffWalking-v0", "optimal", &slippery, 100));
    assert!(mean > -120.0, "{mean}");
}

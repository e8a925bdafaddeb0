//! What every algorithm promises, over the table of algorithms and their options.

use serde_json::json;

use super::*;
use crate::experiment::EnvironmentSpec;
use crate::policy::{Mode, Situation};
use crate::rng::{Purpose, stream};

/// An agent on an environment, as an experiment file has it.
struct Case {
    environment: EnvironmentSpec,
    policy: PolicySpec,
    algorithm: AlgorithmSpec,
    schedule: ScheduleSpec,
}

/// Every algorithm with its defaults made small, then the options that keep a state of their own.
fn cases() -> Vec<Case> {
    let case = |id: &str, policy: serde_json::Value, algorithm: serde_json::Value| Case {
        environment: serde_json::from_value(json!({ "id": id })).expect("an environment"),
        policy: serde_json::from_value(policy).expect("a policy"),
        algorithm: serde_json::from_value(algorithm).expect("an algorithm"),
        schedule: ScheduleSpec { steps: Some(2_000), ..ScheduleSpec::default() },
    };
    let neural = json!({ "type": "neural", "hidden": [16] });
    let dropping = json!({ "type": "neural", "hidden": [16], "dropout": 0.3 });
    let double = json!({ "type": "neural", "hidden": [16], "precision": "float64" });
    let torch = json!({ "type": "neural", "hidden": [16], "engine": "torch" });
    let ppo = |more: serde_json::Value| {
        let mut spec = json!({ "name": "ppo", "n_envs": 3, "n_steps": 16, "n_epochs": 2,
            "batch_size": 20, "learning_rate": { "linear": 0.001 } });
        spec.as_object_mut().expect("above").extend(more.as_object().expect("below").clone());
        spec
    };
    let normalised = json!({ "normalize_observations": true, "normalize_rewards": true });
    let shared = json!({ "shared_trunk": true, "target_kl": 0.01, "clip_range_vf": 0.2 });
    let dqn = json!({ "name": "dqn", "learning_starts": 20, "buffer_size": 90,
        "target_update_interval": 10, "batch_size": 8 });
    let rainbow = json!({ "name": "dqn", "n_envs": 2, "learning_starts": 20, "buffer_size": 90,
        "target_update_interval": 10, "gradient_steps": -1, "double_q": true, "dueling": true,
        "n_steps": 3, "prioritized_replay": true, "tau": 0.5 });
    let pixels = |channels: &str, difference: bool, stack: usize, dropout: f64| {
        json!({ "type": "neural", "hidden": [8], "dropout": dropout,
            "observation": { "type": "pixels", "width": 16, "height": 10, "channels": channels,
                "crop": { "width": 200, "height": 120 }, "difference": difference, "stack": stack },
            "convolutions": [{ "channels": 4, "kernel": 4, "stride": 2 },
                { "channels": 3, "kernel": 3 }] })
    };
    let mut flat = pixels("grayscale", true, 1, 0.0);
    flat.as_object_mut().expect("above").remove("convolutions");
    vec![
        case("CartPole-v1", pixels("rgb", true, 1, 0.2), json!({ "name": "reinforce" })),
        case("CartPole-v1", pixels("grayscale", false, 2, 0.0), ppo(shared.clone())),
        case("Pendulum-v1", pixels("grayscale", true, 2, 0.2), ppo(json!({}))),
        case("CartPole-v1", pixels("rgb", false, 1, 0.0), json!({ "name": "a2c", "n_envs": 2 })),
        case("CartPole-v1", pixels("grayscale", true, 3, 0.0), rainbow.clone()),
        case("MountainCar-v0", flat, dqn.clone()),
        case("CartPole-v1", neural.clone(), json!({ "name": "reinforce" })),
        case("CartPole-v1", dropping.clone(), json!({ "name": "reinforce" })),
        case("CartPole-v1", neural.clone(), ppo(json!({}))),
        case("CartPole-v1", dropping, ppo(normalised.clone())),
        case("CartPole-v1", torch, ppo(json!({}))),
        case("CartPole-v1", double, ppo(shared)),
        case("Pendulum-v1", neural.clone(), ppo(normalised)),
        case("CartPole-v1", neural.clone(), json!({ "name": "a2c", "n_envs": 2 })),
        case("FrozenLake-v1", neural.clone(), json!({ "name": "a2c", "use_rms_prop": false })),
        case("CartPole-v1", neural.clone(), dqn),
        case("Taxi-v3", neural, rainbow),
        case("FrozenLake-v1", json!({ "type": "tabular" }), json!({ "name": "q_learning" })),
        case("Blackjack-v1", json!({ "type": "tabular" }), json!({ "name": "q_learning" })),
    ]
}

/// The algorithm at work on its environments, at the start.
fn start(case: &Case, seed: u64) -> (Box<dyn Algorithm>, World) {
    let settings = case.algorithm.settings();
    let copies = settings.environments();
    let world =
        World::new(&case.environment, &case.policy, copies, seed, &case.schedule).expect("a world");
    let algorithm = settings
        .build(&Setup {
            policy: &case.policy,
            schedule: &case.schedule,
            observation_space: world.observation_space(),
            action_space: world.action_space(),
            seed,
        })
        .expect("an engine on any CPU");
    (algorithm, world)
}

const ITERATIONS: usize = 20;

/// Iterates, and returns the state after it with the metrics on the way.
fn run(algorithm: &mut dyn Algorithm, world: &mut World) -> (Tensors, MetricMeans) {
    let mut metrics = MetricMeans::default();
    for _ in 0..ITERATIONS {
        algorithm.iterate(world, &mut metrics).expect("nothing diverges so soon");
    }
    let mut state = Tensors::default();
    algorithm.save(&mut state);
    (state, metrics)
}

#[test]
fn every_algorithm_is_among_the_cases() {
    let cases = cases();
    for name in ALGORITHMS {
        assert!(cases.iter().any(|case| case.algorithm.name() == *name), "{name} is not tested");
        assert_eq!(AlgorithmSpec::by_name(name).map(|spec| spec.name()), Some(*name));
    }
    for case in &cases {
        let (_, env) = case.environment.build(&case.policy).expect("in the table");
        let problems = case.algorithm.problems(&case.policy, &case.schedule, env.env());
        assert!(problems.is_empty(), "{problems:?}");
    }
}

#[test]
fn the_same_seed_learns_the_same_and_another_does_not() {
    for case in cases() {
        let from_start = |seed: u64| {
            let (mut algorithm, mut world) = start(&case, seed);
            world.restart(0, Default::default()).expect("a fresh start");
            algorithm.restart();
            run(&mut *algorithm, &mut world)
        };
        let (first, again, other) = (from_start(5), from_start(5), from_start(6));
        assert_eq!(first, again, "{:?}", case.algorithm);
        assert_ne!(first.0, other.0, "{:?}", case.algorithm);
    }
}

#[test]
fn a_restored_algorithm_goes_on_exactly() {
    for case in cases() {
        let (mut algorithm, mut world) = start(&case, 5);
        world.restart(0, Default::default()).expect("a fresh start");
        algorithm.restart();
        let (state, _) = run(&mut *algorithm, &mut world);
        let progress = world.progress();
        world.restart(1, progress).expect("a checkpoint");
        algorithm.restart();
        let expected = run(&mut *algorithm, &mut world);

        let bytes = state.to_bytes().expect("a file");
        let (mut restored, mut world) = start(&case, 5);
        restored.load(&Tensors::from_bytes(&bytes).expect("the file")).expect("its own state");
        world.restart(1, progress).expect("a checkpoint");
        restored.restart();
        assert_eq!(run(&mut *restored, &mut world), expected, "{:?}", case.algorithm);
        assert_ne!(state, expected.0, "nothing was learned: {:?}", case.algorithm);
    }
}

#[test]
fn a_saved_policy_is_all_that_acting_needs() {
    for case in cases() {
        let (mut algorithm, mut world) = start(&case, 5);
        world.restart(0, Default::default()).expect("a fresh start");
        algorithm.restart();
        run(&mut *algorithm, &mut world);
        let mut saved = Tensors::default();
        algorithm.save_policy(&mut saved);

        let (mut fresh, _) = start(&case, 6);
        fresh.load_policy(&saved).expect("a policy of its own kind");
        let env = world.env(0);
        let mut rng = stream(0, Purpose::Evaluation, 0);
        let mut act = |algorithm: &mut dyn Algorithm, observation: &[f32]| {
            let mut action = vec![0.0; world.action_space().len()];
            let situation = Situation { observation, step: 0, env };
            algorithm
                .policy()
                .act(situation, Mode::Greedy, &mut rng, &mut action)
                .expect("finite outputs");
            action
        };
        let observation = world.envs().observation(0);
        assert_eq!(act(&mut *fresh, observation), act(&mut *algorithm, observation));
        let mut again = Tensors::default();
        fresh.save_policy(&mut again);
        assert_eq!(again, saved, "{:?}", case.algorithm);
    }
}

#[test]
fn a_state_of_another_network_is_refused() {
    for case in cases() {
        let (mut algorithm, _) = start(&case, 5);
        assert!(algorithm.load(&Tensors::default()).is_err(), "{:?}", case.algorithm);
    }
}

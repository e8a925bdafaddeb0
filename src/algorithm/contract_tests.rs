//! What every algorithm promises, over the table of algorithms and their options.

use std::cell::RefCell;
use std::collections::HashMap;

use serde_json::json;

use super::*;
use crate::dataset::Transitions;
use crate::env::episode::{self, View};
use crate::env::{Mode, Policy, Situation};
use crate::experiment::EnvironmentSpec;
use crate::experiment::{AlgorithmSpec, ScheduleSpec};
use crate::nn::{self, Tensors};
use crate::policy::{PolicySpec, Random};
use crate::rng::{Purpose, stream};
use crate::training::{MetricMeans, TrialError, World};

/// An agent on an environment, as an experiment file has it.
struct Case {
    environment: EnvironmentSpec,
    policy: PolicySpec,
    algorithm: AlgorithmSpec,
    schedule: ScheduleSpec,
}

/// Every algorithm with its defaults made small, then the options that keep a state of their own.
fn cases() -> Vec<Case> {
    rushes_torch::register();
    let case = |id: &str, policy: serde_json::Value, algorithm: serde_json::Value| Case {
        environment: serde_json::from_value(json!({ "id": id })).expect("an environment"),
        policy: serde_json::from_value(policy).expect("a policy"),
        algorithm: serde_json::from_value(algorithm)
            .map_err(anyhow::Error::from)
            .and_then(|spec| resolved(&spec))
            .expect("an algorithm"),
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
    let quantiles = json!({ "name": "qr_dqn", "learning_starts": 20, "buffer_size": 90, "n_quantiles": 7,
        "target_update_interval": 10, "batch_size": 8, "n_steps": 2, "double_q": true });
    let pqn = json!({ "name": "pqn", "n_envs": 3, "n_steps": 16, "n_epochs": 2, "batch_size": 20 });
    let unnormalised = json!({ "name": "pqn", "n_envs": 2, "n_steps": 16, "layer_norm": false,
        "learning_rate": 0.001, "q_lambda": 0.9 });
    let ars = json!({ "name": "ars", "n_delta": 3, "n_top": 2, "threads": 2, "alive_bonus_offset": 0.5,
        "normalize_observations": true, "delta_std": { "linear": 0.1 } });
    let linear = json!({ "type": "neural", "hidden": [] });
    let cem = json!({ "name": "cem", "population_size": 6, "threads": 2 });
    let es = json!({ "name": "openai_es", "pairs": 2, "normalize_observations": true });
    let off_policy = |name: &str, more: serde_json::Value| {
        let mut spec = json!({ "name": name, "learning_starts": 10, "buffer_size": 90,
            "batch_size": 8, "learning_rate": { "linear": 0.001 } });
        spec.as_object_mut().expect("above").extend(more.as_object().expect("below").clone());
        spec
    };
    let fixed = json!({ "ent_coef": 0.1, "n_envs": 2, "gradient_steps": -1, "n_steps": 3,
        "target_update_interval": 2, "action_noise": { "ornstein_uhlenbeck": 0.5 } });
    let by_state = json!({ "use_sde": true });
    let by_states = json!({ "use_sde": true, "sde_sample_freq": 2, "n_envs": 3, "train_freq": 5,
        "log_std_init": -1.0, "gradient_steps": 2 });
    let ppo_by_state = json!({ "use_sde": true, "sde_sample_freq": 4, "log_std_init": -2.0,
        "normalize_observations": true });
    let several = json!({ "n_envs": 3, "train_freq": 2, "gradient_steps": 3,
        "action_noise": { "normal": 0.1 } });
    let crossq = off_policy("crossq", json!({ "critic_hidden": [20] }));
    // Running statistics correct those of a minibatch almost from the start.
    let renormalised = json!({ "critic_hidden": [20, 12], "renorm_warmup_steps": 2, "policy_delay": 2,
        "ent_coef": 0.1, "n_envs": 2, "gradient_steps": -1, "n_critics": 3, "batch_norm_momentum": 0.1 });
    let ddpg = json!({ "policy_delay": 1, "target_policy_noise": 0.0, "n_critics": 1 });
    let bc = |more: serde_json::Value| {
        let mut spec = json!({ "name": "bc", "learning_rate": { "linear": 0.001 } });
        spec.as_object_mut().expect("above").extend(more.as_object().expect("below").clone());
        spec
    };
    let td3_bc = json!({ "name": "td3_bc", "batch_size": 8 });
    let model_free = json!({ "name": "model_free_planning", "candidates": 5, "learning_starts": 20,
        "train_freq": 10, "buffer_size": 90, "n_epochs": 2, "batch_size": 16 });
    let return_predicting = json!({ "name": "model_free_planning", "proposal": "last_action", "horizon": 5,
        "learning_starts": 20, "train_freq": 10, "buffer_size": 90, "n_epochs": 2,
        "learning_rate": { "linear": 0.01 }, "epsilon": { "linear": 1.0 } });
    let model_based = |planner: serde_json::Value| {
        json!({ "name": "model_based_planning", "planner": planner, "ensemble_size": 2,
            "learning_starts": 20, "train_freq": 10, "buffer_size": 90, "n_epochs": 2, "batch_size": 16 })
    };
    let planned_cem =
        model_based(json!({ "name": "cem", "candidates": 8, "depth": 3, "iterations": 2 }));
    let shooting = model_based(json!({ "name": "random_shooting", "candidates": 8, "depth": 3 }));
    let exhaustive = model_based(json!({ "name": "exhaustive", "candidates": 3, "depth": 2 }));
    let pixels = |channels: &str, difference: bool, stack: usize, dropout: f64| {
        json!({ "type": "neural", "hidden": [8], "dropout": dropout,
            "observation": { "type": "pixels", "width": 16, "height": 10, "channels": channels,
                "crop": { "width": 200, "height": 120 }, "difference": difference, "stack": stack },
            "convolutions": [{ "channels": 4, "kernel": 4, "stride": 2 },
                { "channels": 3, "kernel": 3 }] })
    };
    let mut torch_pixels = pixels("rgb", false, 2, 0.2);
    torch_pixels["engine"] = json!("torch");
    let mut flat = pixels("grayscale", true, 1, 0.0);
    flat.as_object_mut().expect("above").remove("convolutions");
    let own_picture = json!({ "type": "neural", "hidden": [8],
        "convolutions": [{ "channels": 4, "kernel": 8, "stride": 8 }] });
    let echo = |actions: &str, algorithm: serde_json::Value| Case {
        environment: super::echo::environment(actions),
        ..case("CartPole-v1", neural.clone(), algorithm)
    };
    let masked = json!({ "type": "neural", "hidden": [16], "action_mask": true });
    let doors = |several: bool, algorithm: serde_json::Value| Case {
        environment: super::doors::environment(several),
        ..case("CartPole-v1", masked.clone(), algorithm)
    };
    let remembering = |cell: &str, more: serde_json::Value| {
        let mut policy = json!({ "type": "neural", "hidden": [16],
            "recurrent": { "type": cell, "hidden_size": 12 } });
        policy.as_object_mut().expect("above").extend(more.as_object().expect("below").clone());
        policy
    };
    // Minibatches and rollouts end within episodes.
    let recurrent = |more: serde_json::Value| {
        let mut spec = json!({ "name": "recurrent_ppo", "n_envs": 3, "n_steps": 16, "n_epochs": 2,
            "batch_size": 20, "learning_rate": { "linear": 0.001 } });
        spec.as_object_mut().expect("above").extend(more.as_object().expect("below").clone());
        spec
    };
    let deep = json!({ "recurrent": { "type": "gru", "hidden_size": 12, "num_layers": 2 },
        "precision": "float64", "dropout": 0.2 });
    vec![
        case("CartPole-v1", remembering("lstm", json!({})), recurrent(json!({}))),
        case("Pendulum-v1", remembering("gru", json!({})), recurrent(normalised.clone())),
        case("MountainCar-v0", remembering("gru", deep), recurrent(shared.clone())),
        Case {
            policy: serde_json::from_value(remembering("lstm", json!({ "action_mask": true })))
                .expect("a policy"),
            ..doors(true, recurrent(json!({ "shared_trunk": true })))
        },
        doors(true, ppo(shared.clone())),
        doors(false, json!({ "name": "a2c", "n_envs": 2 })),
        doors(false, rainbow.clone()),
        doors(false, quantiles.clone()),
        doors(false, pqn.clone()),
        case("CartPole-v1", double.clone(), quantiles.clone()),
        case("MountainCar-v0", dropping.clone(), quantiles),
        case("Taxi-v3", masked.clone(), dqn.clone()),
        case(
            "Taxi-v3",
            json!({ "type": "tabular", "action_mask": true }),
            json!({ "name": "q_learning" }),
        ),
        echo("multi_discrete", ppo(normalised.clone())),
        echo("multi_binary", json!({ "name": "a2c", "n_envs": 2 })),
        echo("dict", json!({ "name": "reinforce" })),
        echo("dict", cem.clone()),
        case("CartPole-v1", neural.clone(), cem),
        case("FrozenLake-v1", linear.clone(), json!({ "name": "cem", "population_size": 6 })),
        case("CartPole-v1", linear.clone(), ars),
        case("Pendulum-v1", linear.clone(), es.clone()),
        case("LunarLanderContinuous-v3", double.clone(), es),
        case("CartPole-v1", neural.clone(), model_free.clone()),
        case("Pendulum-v1", neural.clone(), return_predicting),
        case("Blackjack-v1", neural.clone(), model_free),
        case("Pendulum-v1", neural.clone(), planned_cem.clone()),
        case("CartPole-v1", double.clone(), planned_cem),
        case("CartPole-v1", dropping.clone(), exhaustive.clone()),
        case("Pendulum-v1", neural.clone(), exhaustive),
        case("FrozenLake-v1", torch.clone(), shooting),
        case("CartPole-v1", pixels("rgb", true, 1, 0.2), json!({ "name": "reinforce" })),
        case("CartPole-v1", pixels("grayscale", false, 2, 0.0), ppo(shared.clone())),
        case("Pendulum-v1", pixels("grayscale", true, 2, 0.2), ppo(json!({}))),
        case("CartPole-v1", pixels("rgb", false, 1, 0.0), json!({ "name": "a2c", "n_envs": 2 })),
        case("CartPole-v1", pixels("grayscale", true, 3, 0.0), rainbow.clone()),
        case("CartPole-v1", torch_pixels, ppo(json!({}))),
        case("MountainCar-v0", flat, dqn.clone()),
        case("CarRacing-v3", own_picture.clone(), ppo(json!({ "shared_trunk": true }))),
        case("CarRacing-v3", own_picture.clone(), ppo(normalised.clone())),
        case("CarRacing-v3", neural.clone(), off_policy("sac", json!({}))),
        case("CartPole-v1", neural.clone(), json!({ "name": "reinforce" })),
        case("CartPole-v1", dropping.clone(), json!({ "name": "reinforce" })),
        case("CartPole-v1", neural.clone(), ppo(json!({}))),
        case("CartPole-v1", dropping.clone(), ppo(normalised.clone())),
        case("CartPole-v1", torch.clone(), ppo(json!({}))),
        case("CartPole-v1", double.clone(), ppo(shared)),
        case("Pendulum-v1", neural.clone(), ppo(normalised)),
        case("Pendulum-v1", neural.clone(), ppo(json!({ "use_sde": true, "shared_trunk": true }))),
        case("BipedalWalker-v3", dropping.clone(), ppo(ppo_by_state)),
        case("CarRacing-v3", own_picture, ppo(json!({ "use_sde": true }))),
        case("Pendulum-v1", double.clone(), json!({ "name": "a2c", "n_envs": 2, "use_sde": true })),
        case("CartPole-v1", neural.clone(), json!({ "name": "a2c", "n_envs": 2 })),
        case("FrozenLake-v1", neural.clone(), json!({ "name": "a2c", "use_rms_prop": false })),
        case("CartPole-v1", neural.clone(), dqn),
        case("CartPole-v1", neural.clone(), pqn.clone()),
        case("MountainCar-v0", dropping.clone(), pqn.clone()),
        case("CartPole-v1", pixels("grayscale", true, 2, 0.2), pqn.clone()),
        case("Taxi-v3", double.clone(), pqn),
        case("CartPole-v1", torch.clone(), unnormalised),
        case("Taxi-v3", neural.clone(), rainbow),
        case("Pendulum-v1", neural.clone(), off_policy("sac", json!({}))),
        case("MountainCarContinuous-v0", double.clone(), off_policy("sac", fixed)),
        case("Pendulum-v1", torch.clone(), off_policy("sac", json!({}))),
        case("Pendulum-v1", neural.clone(), off_policy("sac", by_state.clone())),
        case("BipedalWalker-v3", double.clone(), off_policy("sac", by_states.clone())),
        case("Pendulum-v1", dropping.clone(), off_policy("sac", by_states.clone())),
        case("Pendulum-v1", linear.clone(), off_policy("tqc", by_states)),
        case("Pendulum-v1", dropping.clone(), off_policy("td3", several)),
        case("BipedalWalker-v3", double.clone(), off_policy("td3", ddpg)),
        case("Pendulum-v1", torch, off_policy("td3", json!({}))),
        case("Pendulum-v1", neural.clone(), off_policy("tqc", json!({ "n_quantiles": 7 }))),
        case("Pendulum-v1", neural.clone(), crossq.clone()),
        case("MountainCarContinuous-v0", double.clone(), off_policy("crossq", renormalised)),
        case("Pendulum-v1", dropping.clone(), crossq),
        case("CartPole-v1", dropping.clone(), bc(json!({ "normalize_observations": true }))),
        case("Pendulum-v1", double.clone(), bc(json!({}))),
        case("Blackjack-v1", neural.clone(), bc(json!({ "ent_coef": 0.0 }))),
        echo("multi_discrete", bc(json!({}))),
        case("Pendulum-v1", neural.clone(), td3_bc.clone()),
        case("BipedalWalker-v3", double.clone(), td3_bc),
        case("FrozenLake-v1", json!({ "type": "tabular" }), json!({ "name": "q_learning" })),
        case("Blackjack-v1", json!({ "type": "tabular" }), json!({ "name": "q_learning" })),
    ]
}

impl Case {
    fn setup<'a>(&'a self, world: &'a World, seed: u64) -> Setup<'a> {
        Setup {
            policy: &self.policy,
            schedule: &self.schedule,
            observation_space: world.observation_space(),
            action_space: world.action_space(),
            seed,
        }
    }
}

/// The algorithm at work on its environments, at the start.
fn start(case: &Case, seed: u64) -> (Box<dyn Algorithm>, World) {
    let settings = super::settings(&case.algorithm).expect("in the table");
    let copies = settings.environments();
    let mut world =
        World::new(&case.environment, &case.policy, copies, seed, &case.schedule).expect("a world");
    if settings.learns_from_dataset() {
        let dataset = random_play(case);
        world = world.with_dataset(dataset);
    }
    let algorithm = settings.build(&case.setup(&world, seed)).expect("an engine on any CPU");
    (algorithm, world)
}

/// A few episodes of random actions.
fn random_play(case: &Case) -> Transitions {
    let policy = serde_json::from_value(json!({ "type": "random" })).expect("a policy");
    let (_, mut env) = case.environment.build(&policy).expect("in the table");
    let mut random = Random::new(env.env().action_space());
    let mut dataset = Transitions::new(env.env().observation_space(), env.env().action_space());
    let mut rng = stream(0, Purpose::Evaluation, 1);
    for seed in 0..4 {
        let (mut observations, mut actions, mut rewards) = (Vec::new(), Vec::new(), Vec::new());
        let watch = |view: View<'_>| -> Result<(), TrialError> {
            observations.extend_from_slice(view.observation);
            if let Some((action, step)) = view.last {
                actions.extend_from_slice(action);
                rewards.push(step.reward);
            }
            Ok(())
        };
        let mode = Mode::Explore;
        let played = episode::play(&mut env, &mut random, mode, &mut rng, seed, Some(30), watch);
        let terminated = played.expect("random actions are valid").terminated;
        dataset.push(&observations, &actions, &rewards, terminated);
    }
    dataset
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
    for entry in all() {
        let name = &entry.name;
        assert!(cases.iter().any(|case| case.algorithm.name == *name), "{name} is not tested");
    }
    for case in &cases {
        let (_, env) = case.environment.build(&case.policy).expect("in the table");
        let problems = super::problems(&case.algorithm, &case.policy, &case.schedule, env.env());
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
fn evaluating_between_iterations_changes_no_training() {
    for case in cases() {
        let train = |evaluates: bool| {
            let (mut algorithm, mut world) = start(&case, 5);
            world.restart(0, Default::default()).expect("a fresh start");
            algorithm.restart();
            let (_, mut stage) = case.environment.build(&case.policy).expect("in the table");
            let mut observation = vec![0.0; world.observation_space().len()];
            let mut action = vec![0.0; world.action_space().len()];
            let mut rng = stream(0, Purpose::Evaluation, 0);
            for _ in 0..ITERATIONS {
                let mut metrics = MetricMeans::default();
                algorithm.iterate(&mut world, &mut metrics).expect("nothing diverges so soon");
                if evaluates {
                    stage.reset(Some(1), &mut observation).expect("a start");
                    algorithm.policy_mut().begin_episode();
                    let observation = &observation;
                    let situation = Situation { observation, step: 0, env: stage.env() };
                    let policy = algorithm.policy_mut();
                    policy.act(situation, Mode::Greedy, &mut rng, &mut action).expect("finite");
                }
            }
            let mut state = Tensors::default();
            algorithm.save(&mut state);
            state
        };
        assert_eq!(train(true), train(false), "{:?}", case.algorithm);
    }
}

/// The actions of the first steps of an episode.
fn actions(case: &Case, policy: &mut dyn Policy, mode: Mode) -> Vec<Vec<f32>> {
    let (_, mut env) = case.environment.build(&case.policy).expect("in the table");
    let mut rng = stream(0, Purpose::Evaluation, 0);
    let mut actions = Vec::new();
    let watch = |view: View<'_>| -> Result<(), TrialError> {
        actions.extend(view.last.map(|(action, _)| action.to_vec()));
        Ok(())
    };
    episode::play(&mut env, policy, mode, &mut rng, 1, Some(10), watch).expect("finite outputs");
    actions
}

#[test]
fn a_saved_policy_is_all_that_acting_needs() {
    for case in cases() {
        let (mut trained, mut world) = start(&case, 5);
        world.restart(0, Default::default()).expect("a fresh start");
        trained.restart();
        run(&mut *trained, &mut world);
        let mut saved = Tensors::default();
        trained.policy().save(&mut saved);

        let mut checkpoint = Tensors::default();
        trained.save(&mut checkpoint);

        let mut loaded = settings(&case.algorithm)
            .expect("in the table")
            .build_policy(&case.setup(&world, 6))
            .expect("an engine on any CPU");
        for state in [&checkpoint, &saved] {
            loaded.load(state).expect("a policy of its own kind");
            let mut again = Tensors::default();
            loaded.save(&mut again);
            assert_eq!(again, saved, "{:?}", case.algorithm);
        }
        assert_eq!(loaded.engine(), trained.policy().engine());
        for mode in [Mode::Greedy, Mode::Explore] {
            let expected = actions(&case, trained.policy_mut(), mode);
            assert_eq!(actions(&case, &mut *loaded, mode), expected, "{:?}", case.algorithm);
        }
    }
}

/// An algorithm that keeps samples says how much memory they take, and no other does.
#[test]
fn kept_samples_are_counted() {
    for case in cases() {
        let (algorithm, world) = start(&case, 5);
        let mut state = Tensors::default();
        algorithm.save(&mut state);
        let keeps_samples = state.names().any(|name| name.ends_with(".stored"));
        let (observations, actions) = (world.observation_space(), world.action_space());
        let bytes = settings(&case.algorithm).expect("in the table").memory_bytes(
            &case.schedule,
            observations,
            actions,
        );
        assert_eq!(bytes > 0, keeps_samples, "{:?}", case.algorithm);
    }
}

#[test]
fn an_empty_state_and_one_of_another_network_are_refused() {
    for (case, mut other) in cases().into_iter().zip(cases()) {
        let (mut algorithm, _) = start(&case, 5);
        assert!(algorithm.load(&Tensors::default()).is_err(), "{:?}", case.algorithm);
        match &mut other.policy {
            PolicySpec::Neural(network) => network.hidden = vec![9],
            _ => other.environment.id = "FrozenLake8x8-v1".into(),
        }
        let (other, _) = start(&other, 5);
        let mut state = Tensors::default();
        other.save(&mut state);
        assert!(algorithm.load(&state).is_err(), "of another shape: {:?}", case.algorithm);
    }
}

/// Algorithms that play on several threads: how many there are changes nothing.
#[test]
fn the_number_of_threads_changes_nothing() {
    let threaded: Vec<_> = cases()
        .into_iter()
        .filter(|case| serde_json::to_value(&case.algorithm).expect("JSON")["threads"].is_u64())
        .collect();
    assert!(threaded.len() > 1, "algorithms with threads are among the cases");
    for case in threaded {
        let on = |threads: usize| {
            let mut algorithm = serde_json::to_value(&case.algorithm).expect("JSON");
            algorithm["threads"] = threads.into();
            let algorithm = serde_json::from_value(algorithm).expect("the same algorithm");
            let (policy, schedule) = (case.policy.clone(), case.schedule.clone());
            let case = Case { environment: case.environment.clone(), policy, algorithm, schedule };
            let (mut algorithm, mut world) = start(&case, 5);
            world.restart(0, Default::default()).expect("a fresh start");
            let learned = run(&mut *algorithm, &mut world);
            (learned, world.progress(), world.take_finished())
        };
        assert_eq!(on(1), on(3), "{:?}", case.algorithm);
    }
}

/// However many threads compute the networks.
#[test]
fn the_number_of_a_networks_threads_changes_nothing() {
    for case in cases() {
        let on = |threads: usize| {
            let learn = || {
                let (mut algorithm, mut world) = start(&case, 5);
                world.restart(0, Default::default()).expect("a fresh start");
                run(&mut *algorithm, &mut world)
            };
            nn::threads::with_threads(threads, learn).expect("threads")
        };
        assert_eq!(on(1), on(3), "{:?}", case.algorithm);
    }
}

/// Every instruction set that multiplies and adds with one rounding learns the same bits.
#[test]
fn the_processors_instruction_set_changes_nothing() {
    for case in cases() {
        let learned = RefCell::new(HashMap::new());
        nn::on_every_level(|_| {
            let (mut algorithm, mut world) = start(&case, 5);
            world.restart(0, Default::default()).expect("a fresh start");
            algorithm.restart();
            let now = run(&mut *algorithm, &mut world);
            let mut learned = learned.borrow_mut();
            let before = learned.entry(nn::arithmetic()).or_insert_with(|| now.clone());
            assert_eq!(*before, now, "{:?}", case.algorithm);
        });
    }
}

/// A step size that throws the weights out of all bounds makes an error, not a policy of NaN.
#[test]
fn a_step_size_that_makes_numbers_infinite_or_nan_is_an_error() {
    for mut case in cases() {
        let PolicySpec::Neural(_) = case.policy else { continue };
        let mut spec = serde_json::to_value(&case.algorithm).expect("a specification");
        if spec.get("learning_rate").is_none() {
            continue;
        }
        spec["learning_rate"] = json!(1e300);
        case.algorithm = serde_json::from_value(spec).expect("any positive number");
        let (mut algorithm, mut world) = start(&case, 5);
        world.restart(0, Default::default()).expect("a fresh start");
        let mut metrics = MetricMeans::default();
        let outcome = (0..500).try_for_each(|_| algorithm.iterate(&mut world, &mut metrics));
        assert!(
            matches!(outcome, Err(TrialError::NotFinite { .. } | TrialError::Policy(_))),
            "{outcome:?}: {:?}",
            case.algorithm
        );
    }
}

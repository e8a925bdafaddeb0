//! Wrappers around every environment, and equal to Gymnasium's own.

use std::path::Path;

use rushes::env::{self, Env, EnvSpec, Space, TimeLimit};
use rushes::experiment::EnvironmentSpec;
use rushes::policy::PolicySpec;
use rushes::rng::NpRandom;
use serde_json::{Value, json};

use crate::cli::{failure, output, run_smoke};
use crate::env_contract::sample;

fn spec(environment: Value) -> EnvironmentSpec {
    serde_json::from_value(environment).expect("an environment")
}

fn build(environment: &EnvironmentSpec, policy: Value) -> TimeLimit {
    let policy: PolicySpec = serde_json::from_value(policy).expect("a policy");
    environment.build(&policy).expect("it can be built").1
}

fn wrapped(id: &str, wrappers: &Value) -> TimeLimit {
    build(&spec(json!({ "id": id, "wrappers": wrappers })), json!({ "type": "random" }))
}

/// An option of an environment with two values that leave its spaces alone, where it has one.
fn option(id: &str) -> Option<(&'static str, [Value; 2])> {
    Some(match id.split('-').next()? {
        "CartPole" | "Acrobot" => ("high", [json!(0.06), json!(0.2)]),
        "MountainCar" => ("high", [json!(-0.5), json!(-0.3)]),
        "Pendulum" => ("g", [json!(5.0), json!(15.0)]),
        "Blackjack" => ("natural", [json!(false), json!(true)]),
        "FrozenLake" | "FrozenLake8x8" | "CliffWalking" => {
            ("is_slippery", [json!(false), json!(true)])
        }
        "LunarLander" => ("gravity", [json!(-11.0), json!(-4.0)]),
        "CarRacing" => ("lap_complete_percent", [json!(0.5), json!(0.9)]),
        _ => return None,
    })
}

/// The wrappers alone and together, as far as `id` can have them.
fn all_wrappers(env: &EnvSpec) -> Vec<Value> {
    let plain = (env.make)(&env::Options::new()).expect("no options");
    let mut alone = vec![
        json!({ "sticky_actions": 0.3 }),
        json!({ "frame_skip": 3 }),
        json!({ "reward_scale": 0.1, "reward_clip": [-1, 0.5] }),
        json!({ "frame_stack": 3 }),
    ];
    if matches!(plain.observation_space(), Space::Box { .. }) {
        alone.push(json!({ "observation_noise": 0.5 }));
    }
    if env.max_episode_steps.is_some() {
        alone.push(json!({ "time_awareness": true }));
    }
    if let Some((name, values)) = option(&env.id) {
        alone.push(json!({ "randomise": { name: { "choice": values } } }));
    }
    let mut together = serde_json::Map::new();
    alone.iter().for_each(|one| together.extend(one.as_object().cloned().expect("an object")));
    alone.push(together.clone().into());
    if matches!(plain.observation_space(), Space::Box { shape, .. } if shape.len() == 1) {
        // Instead of a stack.
        together.remove("frame_stack");
        together.insert("history".to_owned(), json!(3));
        let last = plain.observation_space().len() - 1;
        let filter = json!([last, 0]);
        together.insert("filter_observation".to_owned(), filter.clone());
        let filter = json!({ "filter_observation": filter });
        alone.extend([filter, json!({ "history": 3 }), together.into()]);
    }
    alone
}

type Seen = Vec<(Vec<f32>, f64, bool, bool, Value)>;

/// What `steps` random steps yield, with resets where episodes end.
fn play(env: &mut dyn Env, actions: &mut NpRandom, steps: usize) -> Seen {
    let mut seen = Vec::new();
    let mut observation = vec![f32::NAN; env.observation_space().len()];
    for _ in 0..steps {
        let action = sample(env.action_space(), actions);
        let action = env.action_space().action(&action).expect("an action of the space");
        let step = env.step(action).expect("a step");
        env.observe(&mut observation).expect("an observation");
        let info = Value::from(env.info());
        seen.push((observation.clone(), step.reward, step.terminated, step.truncated, info));
        if step.done() {
            env.reset(None).expect("a reset");
            env.observe(&mut observation).expect("an observation");
            seen.push((observation.clone(), 0.0, false, false, Value::from(env.info())));
        }
    }
    seen
}

/// A bare environment with wrappers, without the harness: for tests of seeds and copies.
fn bare(env: &EnvSpec, wrappers: &Value) -> Box<dyn Env> {
    let wrappers = serde_json::from_value(wrappers.clone()).expect("wrappers");
    let context = env::wrappers::Context {
        make: &env.make,
        options: &env::Options::new(),
        max_episode_steps: 40,
        pixels: None,
        keeps_form: false,
    };
    let inner = (env.make)(&env::Options::new()).expect("no options");
    env::wrappers::wrap(inner, &wrappers, &context)
}

#[test]
fn wrapped_environments_keep_to_the_contract() {
    for spec in &env::all() {
        let steps = if spec.family == env::spec::BOX2D { 45 } else { 150 };
        for wrappers in all_wrappers(spec) {
            let about = format!("{} with {wrappers}", spec.id);
            let mut a = bare(spec, &wrappers);
            let space = a.observation_space().clone();
            a.reset(Some(7)).expect("a reset");
            let first = play(&mut *a, &mut NpRandom::new(1), steps);
            for (observation, ..) in &first {
                assert!(space.contains(observation), "{about}: {observation:?} in {space}");
            }
            // The same seed repeats whatever was before, and draws go on where a reset has none.
            a.reset(Some(7)).expect("a reset");
            let again = play(&mut *a, &mut NpRandom::new(1), steps);
            assert!(first == again, "{about}: the same seed differs");
            a.reset(Some(8)).expect("a reset");
            play(&mut *a, &mut NpRandom::new(2), 10);
            if let Some(mut copy) = a.try_clone() {
                let mut actions = [NpRandom::new(3), NpRandom::new(3)];
                let here = play(&mut *a, &mut actions[0], steps);
                let there = play(&mut *copy, &mut actions[1], steps);
                assert!(here == there, "{about}: a copy goes on differently");
            }
        }
    }
}

#[test]
fn wrappers_equal_those_of_other_packages() {
    // The recordings of tests/goldens/wrappers/record.py: name, wrappers, time limit, whether observations count.
    let clipped = json!({ "frame_stack": 3, "reward_scale": 0.5, "reward_clip": [-0.25, 0.25] });
    let recordings = [
        ("frame-stack", json!({ "frame_stack": 3 }), None, true),
        ("frame-stack-discrete", json!({ "frame_stack": 3 }), None, true),
        ("time-awareness", json!({ "time_awareness": true }), Some(25), true),
        ("frame-stack-rewards-clipped", clipped, None, true),
        ("frame-skip", json!({ "frame_skip": 4 }), Some(18), false),
        ("history", json!({ "history": 3 }), Some(25), true),
    ];
    for (name, wrappers, limit, observed) in recordings {
        let file = format!("tests/goldens/wrappers/{name}.json");
        let text =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let golden: Value = serde_json::from_str(&text).unwrap();
        let environment =
            spec(json!({ "id": golden["id"], "wrappers": wrappers, "max_episode_steps": limit }));
        let rewards = environment.wrappers.rewards();
        let mut env = build(&environment, json!({ "type": "random" }));
        let mut observation = vec![f32::NAN; env.env().observation_space().len()];
        let mut seed = golden["seed"].as_u64();
        for (number, row) in golden["rows"].as_array().unwrap().iter().enumerate() {
            let action = match &row["action"] {
                Value::Array(numbers) => numbers[0].as_f64(),
                action => action.as_f64(),
            };
            match action {
                None => env.reset(seed.take(), &mut observation).unwrap(),
                Some(action) => {
                    let step = env.step(&[action as f32], &mut observation).unwrap();
                    let told = (rewards.apply(step.reward), step.terminated, step.truncated);
                    let (ended, cut) = (row["terminated"] == true, row["truncated"] == true);
                    let expected = (row["reward"].as_f64().unwrap(), ended, cut);
                    assert_eq!(told, expected, "{name}, row {number}");
                }
            }
            if observed {
                let expected: Vec<f32> =
                    serde_json::from_value(row["observation"].clone()).unwrap();
                assert_eq!(observation, expected, "{name}, row {number}");
            }
        }
    }
}

#[test]
fn spaces_of_stacks_and_times() {
    let shape = |env: &TimeLimit| match env.env().observation_space() {
        Space::Box { shape, .. } => shape.clone(),
        other => panic!("{other}"),
    };
    let both = json!({ "frame_stack": 4, "time_awareness": true });
    assert_eq!(shape(&wrapped("CartPole-v1", &json!({ "frame_stack": 4 }))), [4, 4]);
    assert_eq!(shape(&wrapped("CarRacing-v3", &json!({ "frame_stack": 2 }))), [2, 96, 96, 3]);
    assert_eq!(shape(&wrapped("CartPole-v1", &json!({ "time_awareness": true }))), [5]);
    let taxi = wrapped("Taxi-v3", &both);
    let space = taxi.env().observation_space().to_string();
    assert_eq!(
        space,
        r#"Dict("obs": MultiDiscrete([500, 500, 500, 500]), "time": Box(0, 1, [1]))"#
    );
    assert_eq!(taxi.env().observation_space().features(), 2001);
    let names = |id: &str, wrappers: &Value| -> Vec<String> {
        let env = wrapped(id, wrappers);
        let meanings = env.env().observation_meanings();
        assert!(meanings.is_empty() || meanings.len() == env.env().observation_space().len());
        meanings.into_iter().map(|meaning| meaning.name).collect()
    };
    let cart = names("CartPole-v1", &json!({ "frame_stack": 3 }));
    let plain = names("CartPole-v1", &json!({}));
    assert_eq!((&cart[8..], &cart[4]), (&plain[..], &format!("{}, 1 step ago", plain[0])));
    assert_eq!(cart[0], format!("{}, 2 steps ago", plain[0]));
    assert_eq!(names("CartPole-v1", &both)[16], "share of the time limit");
    assert_eq!(names("Taxi-v3", &both)[3..], ["state", "share of the time limit"]);
    assert_eq!(names("CarRacing-v3", &json!({ "frame_stack": 2 })), [""; 0]);
    let history = |id| names(id, &json!({ "history": 2 }));
    let cart = history("CartPole-v1");
    assert_eq!((cart.len(), &cart[4]), (12, &plain[0]));
    assert!(
        cart[8].ends_with("to the left, 2 steps ago")
            && cart[11].ends_with("to the right, 1 step ago")
    );
    assert_eq!(history("Pendulum-v1")[6..], ["torque, 2 steps ago", "torque, 1 step ago"]);
    let blackjack = wrapped("Blackjack-v1", &json!({ "frame_stack": 2 }));
    assert_eq!(blackjack.env().observation_space().parts().count(), 2);
}

/// Actions that are asked for in turn; the state tells which ones were taken.
#[test]
fn sticky_actions_repeat_the_previous_action() {
    let taken = |probability: f64| {
        let environment = json!({
            "id": "MountainCarContinuous-v0",
            "wrappers": { "sticky_actions": probability },
        });
        let mut env = build(&spec(environment), json!({ "type": "random" }));
        let mut observation = [0.0; 2];
        env.reset(Some(3), &mut observation).unwrap();
        // The reward is the cost of the force: it tells the action's size.
        let mut taken = Vec::new();
        for step in 0..900 {
            let force = if step % 2 == 0 { 0.5 } else { 1.0 };
            let reward = env.step(&[force], &mut observation).unwrap().reward;
            taken.push(if (reward + 0.025).abs() < 1e-9 { 0.5 } else { 1.0 });
        }
        let asked = |step: usize| if step.is_multiple_of(2) { 0.5 } else { 1.0 };
        assert_eq!(taken[0], 0.5, "the first action is taken");
        taken.iter().enumerate().filter(|(step, taken)| **taken != asked(*step)).count()
    };
    assert_eq!(taken(0.0), 0);
    assert!((200..700).contains(&taken(0.5)), "{}", taken(0.5));
    // Nothing but the first action, which every other one asked for.
    assert_eq!(taken(1.0), 450);
}

#[test]
fn a_time_limit_counts_the_environments_own_steps() {
    let environment = json!({
        "id": "Pendulum-v1", "max_episode_steps": 10,
        "wrappers": { "frame_skip": 4, "time_awareness": true },
    });
    let mut env = build(&spec(environment), json!({ "type": "random" }));
    let mut observation = [0.0; 4];
    env.reset(Some(0), &mut observation).unwrap();
    let mut shares = vec![observation[3]];
    while !env.step(&[0.0], &mut observation).unwrap().truncated {
        shares.push(observation[3]);
    }
    shares.push(observation[3]);
    assert_eq!(shares, [0.0, 0.4, 0.8, 1.0]);
    assert_eq!(env.elapsed_steps(), 3);
}

#[test]
fn randomised_options_are_told_and_change_the_dynamics() {
    let wrappers = json!({ "randomise": { "g": { "uniform": [5, 15] } } });
    let mut env = wrapped("Pendulum-v1", &wrappers);
    let mut observation = [0.0; 3];
    let mut episodes = Vec::new();
    for seed in [Some(1), None, Some(2), Some(1), None] {
        env.reset(seed, &mut observation).unwrap();
        let gravity = env.env().info()["g"].as_f64().expect("the option is in the info");
        assert!((5.0..=15.0).contains(&gravity), "{gravity}");
        // The same start and step with this gravity.
        let alone = spec(json!({ "id": "Pendulum-v1", "options": { "g": gravity } }));
        let first = observation;
        env.step(&[0.5], &mut observation).unwrap();
        if let Some(seed) = seed {
            let mut alone = build(&alone, json!({ "type": "random" }));
            let mut expected = [0.0; 3];
            alone.reset(Some(seed), &mut expected).unwrap();
            assert_eq!(first, expected);
            alone.step(&[0.5], &mut expected).unwrap();
            assert_eq!(observation, expected);
        }
        episodes.push((gravity, first));
    }
    assert_eq!(episodes[..2], episodes[3..], "the same seed draws the same");
    assert!(episodes[0].0 != episodes[1].0 && episodes[0].0 != episodes[2].0);
    assert_ne!(episodes[0].1, episodes[1].1, "an episode without a seed starts elsewhere");
}

/// The numbers that are left are those of the environment, in the order of their indices, and keep bounds and names.
#[test]
fn filtered_observations_are_some_of_the_environments() {
    let spec = env::find("CartPole-v1").expect("in the table");
    let (mut whole, mut filtered) =
        (bare(&spec, &json!({})), bare(&spec, &json!({ "filter_observation": [2, 0] })));
    let (Space::Box { high: all, .. }, Space::Box { high, shape, .. }) =
        (whole.observation_space().clone(), filtered.observation_space().clone())
    else {
        panic!("boxes")
    };
    assert_eq!((high, &shape[..]), (vec![all[2], all[0]], &[2][..]));
    let names = whole.observation_meanings();
    assert_eq!(filtered.observation_meanings(), [names[2].clone(), names[0].clone()]);
    for env in [&mut whole, &mut filtered] {
        env.reset(Some(3)).expect("a reset");
    }
    let [ours, theirs] = [&mut filtered, &mut whole].map(|env| {
        play(&mut **env, &mut NpRandom::new(1), 50)
            .into_iter()
            .map(|seen| seen.0)
            .collect::<Vec<_>>()
    });
    let expected: Vec<_> = theirs.iter().map(|seen| vec![seen[2], seen[0]]).collect();
    assert_eq!(ours, expected);
}

/// Learners see other rewards; returns, takes and policies that the environment ships do not change.
#[test]
fn returns_are_those_of_the_environments_own_rewards() {
    let wrappers = json!({
        "reward_scale": 0.001, "reward_clip": "sign", "frame_stack": 3, "time_awareness": true,
        "filter_observation": [0, 2],
    });
    let environment = spec(json!({ "id": "CartPole-v1", "wrappers": wrappers }));
    let shipped = json!({ "type": "hard-coded", "name": "pd" });
    let mut env = build(&environment, shipped);
    assert_eq!(
        env.env().observation_space().len(),
        4,
        "a shipped policy sees what it was made for"
    );
    let mut observation = [0.0; 4];
    env.reset(Some(0), &mut observation).unwrap();
    assert_eq!(env.step(&[0.0], &mut observation).unwrap().reward, 1.0);
    assert_eq!(environment.wrappers.rewards().apply(5.0), 1.0);
    assert_eq!(environment.task(), "CartPole-v1", "what only the learner sees is the same task");

    let directory = tempfile::tempdir().unwrap();
    let set = format!("environment.wrappers={wrappers}");
    let run =
        run_smoke(directory.path(), &["--set", &set, "--set", "environment.wrappers.frame_skip=2"]);
    let summary = std::fs::read_to_string(run.join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["environment"], "CartPole-v1(frame_skip=2)");
    let page = std::fs::read_to_string(run.join("index.html")).unwrap();
    assert!(page.contains("Wrappers"), "the environment's section names them");
}

#[test]
fn impossible_wrappers_are_refused_by_name() {
    let cases = [
        ("CartPole-v1", json!({ "frame_skip": 0 }), "frame_skip"),
        ("CartPole-v1", json!({ "frame_skips": 2 }), "frame_skips"),
        ("CartPole-v1", json!({ "reward_clip": [1, -1] }), "expected the lower end first"),
        ("CartPole-v1", json!({ "reward_clip": "both" }), "reward_clip"),
        ("Taxi-v3", json!({ "observation_noise": 1 }), "Discrete(500)"),
        ("CliffWalking-v0", json!({ "time_awareness": true }), "max_episode_steps"),
        ("Taxi-v3", json!({ "filter_observation": [0] }), "box of one dimension"),
        ("CartPole-v1", json!({ "filter_observation": [0, 4] }), "index below the 4"),
        ("CartPole-v1", json!({ "filter_observation": [1, 1] }), "filter_observation"),
        ("CartPole-v1", json!({ "filter_observation": [] }), "filter_observation"),
        ("Taxi-v3", json!({ "history": 2 }), "box of one dimension"),
        ("CarRacing-v3", json!({ "history": 2 }), "box of one dimension"),
        ("CartPole-v1", json!({ "history": 2, "frame_stack": 2 }), "leave out `frame_stack`"),
        ("Pendulum-v1", json!({ "randomise": { "mass": { "uniform": [1, 2] } } }), "mass"),
        ("Pendulum-v1", json!({ "randomise": { "g": { "uniform": [2, 1] } } }), "lower end"),
        ("Pendulum-v1", json!({ "randomise": { "g": { "choice": [1, "x"] } } }), "cannot stand"),
        ("Pendulum-v1", json!({ "randomise": { "g": 3 } }), "randomise"),
        (
            "FrozenLake-v1",
            json!({ "randomise": { "map_name": { "choice": ["4x4", "8x8"] } } }),
            "spaces",
        ),
    ];
    for (id, wrappers, expected) in cases {
        let environment = json!({ "id": id, "wrappers": wrappers });
        let set = format!("environment={environment}");
        let agents = r#"agents={"random":{"policy":{"type":"random"}}}"#;
        let (code, stderr) =
            failure(&["validate", "experiments/smoke.json", "--set", &set, "--set", agents]);
        assert_eq!(code, 2, "{wrappers}: {stderr}");
        assert!(stderr.contains("wrappers") && stderr.contains(expected), "{wrappers}: {stderr}");
    }
    let pixels = r#"agents.reinforce.policy.observation={"type":"pixels","width":8,"height":8}"#;
    let history = ["--set", "environment.wrappers.history=2", "--set", pixels];
    let (code, stderr) = failure(&[&["validate", "experiments/smoke.json"], &history[..]].concat());
    assert!(code == 2 && stderr.contains("leave out `environment.wrappers.history`"), "{stderr}");
    let fine = output(&[
        "validate",
        "experiments/smoke.json",
        "--set",
        "environment.wrappers.frame_skip=4",
    ]);
    assert!(fine.status.success(), "{}", String::from_utf8_lossy(&fine.stderr));
}

#[test]
fn tasks_name_the_wrappers_that_change_returns() {
    let task = |wrappers: Value| spec(json!({ "id": "CartPole-v1", "wrappers": wrappers })).task();
    assert_eq!(task(json!({ "frame_skip": 1, "sticky_actions": 0 })), "CartPole-v1");
    assert_eq!(
        task(json!({ "frame_skip": 4, "sticky_actions": 0.25, "frame_stack": 2, "randomise": {
            "high": { "uniform": [0.1, 0.2] } } })),
        r#"CartPole-v1(sticky_actions=0.25, frame_skip=4, randomise={"high":{"uniform":[0.1,0.2]}})"#
    );
}

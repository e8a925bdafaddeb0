//! The Box2D environments against Gymnasium 1.1.1: bit for bit, on every thread, without growing.

use std::path::{Path, PathBuf};

use rushes::env::trace::{Recording, compare};
use rushes::env::{self, EnvError, Mode, Options, Situation, Space, TimeLimit};
use rushes::rng::{NpRandom, Purpose, stream};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/box2d").join(name)
}

fn build(id: &str, options: &Options) -> TimeLimit {
    let spec = env::find(id).expect(id);
    TimeLimit::new((spec.make)(options).expect(id), spec.max_episode_steps)
}

#[test]
fn trajectories_equal_the_recordings_bit_for_bit() {
    for name in [
        "LunarLander-v3",
        "LunarLander-v3-wind",
        "LunarLander-v3-heuristic",
        "LunarLanderContinuous-v3",
        "LunarLanderContinuous-v3-heuristic",
        "BipedalWalker-v3",
        "BipedalWalker-v3-heuristic",
        "BipedalWalkerHardcore-v3",
        "CarRacing-v3",
    ] {
        let recording = Recording::read(&golden(&format!("{name}.json"))).unwrap();
        let replay = recording.replay(0).unwrap();
        let differences = compare(&recording.trajectories[0], &replay).unwrap();
        assert!(differences.iter().any(|difference| difference.field == "reset_layout"), "{name}");
        for difference in differences {
            // CarRacing's observations are pixels; the test below compares those.
            let pixels = name == "CarRacing-v3" && difference.field.ends_with("obs");
            assert!(pixels || difference.largest == 0.0, "{name}: {difference:?}");
        }
    }
}

#[test]
fn an_option_gives_the_environment_of_the_other_id() {
    let differences = |id: &str, options: serde_json::Value, recording: &str| {
        let mut recording = Recording::read(&golden(recording)).unwrap();
        recording.env_id = id.to_owned();
        recording.kwargs = options.as_object().unwrap().clone();
        compare(&recording.trajectories[0], &recording.replay(0).unwrap()).unwrap()
    };
    for (id, options, other, of_other) in [
        ("LunarLander-v3", json!({ "continuous": true }), "LunarLanderContinuous-v3", json!({})),
        ("LunarLander-v3", json!({}), "LunarLanderContinuous-v3", json!({ "continuous": false })),
        ("BipedalWalker-v3", json!({ "hardcore": true }), "BipedalWalkerHardcore-v3", json!({})),
        ("BipedalWalker-v3", json!({}), "BipedalWalkerHardcore-v3", json!({ "hardcore": false })),
    ] {
        let own = of_other.as_object().unwrap().is_empty();
        let recording = format!("{}.json", if own { other } else { id });
        for (id, options) in [(id, options), (other, of_other)] {
            for difference in differences(id, options, &recording) {
                assert_eq!(difference.largest, 0.0, "{id}: {difference:?}");
            }
        }
    }
    for (id, option) in
        [("LunarLanderContinuous-v3", "continuous"), ("BipedalWalkerHardcore-v3", "hardcore")]
    {
        let schema = (env::find(id).unwrap().options_schema)().to_value();
        assert_eq!(schema["properties"][option]["default"], json!(true), "{id}");
    }
}

#[test]
fn mean_colours_of_car_racing_are_close_to_the_recorded_ones() {
    let recording = Recording::read(&golden("CarRacing-v3.json")).unwrap();
    let recorded = recording.trajectories[0].obs.as_ref().unwrap();
    let replay = recording.replay(0).unwrap().obs.unwrap();
    assert_eq!(recorded.len(), replay.len());
    for (k, (recorded, replayed)) in recorded.iter().zip(&replay).enumerate() {
        for channel in 0..3 {
            let mean = |digest: &serde_json::Value| digest["mean"][channel].as_f64().unwrap();
            let off = (mean(recorded) - mean(replayed)).abs();
            assert!(off < 4.0, "step {k}, channel {channel}: the means are {off} apart");
        }
    }
}

/// One line of `fingerprints.json`; `record.py` beside it tells what is hashed.
#[derive(Debug, Deserialize)]
struct Fingerprint {
    env_id: String,
    options: Options,
    seed: u64,
    hold: usize,
    resets: usize,
    chunks: Vec<String>,
}

const CHUNK: usize = 250;

fn fingerprints() -> Vec<Fingerprint> {
    let text = std::fs::read_to_string(golden("fingerprints.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn check_fingerprint(run: &Fingerprint) {
    let mut env = build(&run.env_id, &run.options);
    let mut observation = vec![0.0; env.env().observation_space().len()];
    let mut actions = NpRandom::new(run.seed + 77);
    let mut action = vec![0.0; env.env().action_space().len()];
    let seen = |env: &TimeLimit, observation: &[f32], digest: &mut Sha256| {
        let numbers = match env.env().trace().state {
            state if state.is_empty() => observation.to_vec(),
            state => state.iter().map(|&number| number as f32).collect(),
        };
        numbers.iter().for_each(|number| digest.update(number.to_le_bytes()));
    };
    let mut digest = Sha256::new();
    let mut resets = 0;
    env.reset(Some(run.seed), &mut observation).unwrap();
    seen(&env, &observation, &mut digest);
    for k in 0..run.chunks.len() * CHUNK {
        if k % run.hold == 0 {
            match env.env().action_space() {
                Space::Box { low, high, .. } => {
                    for (out, (&low, &high)) in action.iter_mut().zip(low.iter().zip(high)) {
                        *out = actions.uniform(low.into(), high.into()) as f32;
                    }
                }
                space => action[0] = actions.choice(space.discrete().unwrap()) as f32,
            }
        }
        let step = env.step(&action, &mut observation).unwrap();
        seen(&env, &observation, &mut digest);
        digest.update(step.reward.to_le_bytes());
        digest.update([step.terminated.into(), step.truncated.into()]);
        if step.done() {
            env.reset(None, &mut observation).unwrap();
            seen(&env, &observation, &mut digest);
            resets += 1;
        }
        if (k + 1) % CHUNK == 0 {
            let bytes = std::mem::take(&mut digest).finalize();
            let hex: String = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            let place = format!("{} seed {} before step {}", run.env_id, run.seed, k + 1);
            assert_eq!(hex, run.chunks[k / CHUNK], "{place}");
        }
    }
    assert_eq!(resets, run.resets);
}

/// Every run on a thread of its own, all at once: the solver's tables must not be shared.
#[test]
fn long_runs_on_several_threads_equal_the_reference() {
    let runs = fingerprints();
    assert_eq!(runs.len(), 12);
    std::thread::scope(|scope| {
        for run in &runs {
            scope.spawn(move || check_fingerprint(run));
        }
    });
}

#[test]
fn heuristics_act_as_recorded() {
    for name in [
        "LunarLander-v3-heuristic",
        "LunarLanderContinuous-v3-heuristic",
        "BipedalWalker-v3-heuristic",
    ] {
        let recording = Recording::read(&golden(&format!("{name}.json"))).unwrap();
        let recorded = &recording.trajectories[0];
        let spec = recording.spec().unwrap();
        let policy = spec.policies.iter().find(|policy| policy.name == "heuristic").unwrap();
        let mut policy = (policy.make)(&Options::new()).unwrap();
        let mut env = build(&spec.id, &Options::new());
        let mut observation = vec![0.0; env.env().observation_space().len()];
        let mut action = vec![0.0; env.env().action_space().len()];
        let mut rng = stream(0, Purpose::Evaluation, 0);
        env.reset(Some(recorded.seed), &mut observation).unwrap();
        policy.begin_episode();
        for (k, expected) in recorded.actions.iter().enumerate() {
            let situation =
                Situation { observation: &observation, step: env.elapsed_steps(), env: env.env() };
            policy.act(situation, Mode::Greedy, &mut rng, &mut action).unwrap();
            assert_eq!(action, expected.0, "{name}, step {k}");
            if env.step(&action, &mut observation).unwrap().done() {
                env.reset(None, &mut observation).unwrap();
                policy.begin_episode();
            }
        }
    }
}

/// Mean returns over a few episodes. The walker's heuristic has no notion of balance and falls in the end.
#[test]
fn policies_reach_what_they_promise() {
    for (id, name, episodes, at_least) in [
        ("LunarLander-v3", "heuristic", 50, 200.0),
        ("LunarLanderContinuous-v3", "heuristic", 50, 200.0),
        ("BipedalWalker-v3", "heuristic", 10, 0.0),
        ("CarRacing-v3", "road-follower", 20, 600.0),
    ] {
        let spec = env::find(id).unwrap();
        let policy = spec.policies.iter().find(|policy| policy.name == name).unwrap();
        let mut policy = (policy.make)(&Options::new()).unwrap();
        let mut env = build(id, &Options::new());
        let mut observation = vec![0.0; env.env().observation_space().len()];
        let mut action = vec![0.0; env.env().action_space().len()];
        let mut rng = stream(0, Purpose::Evaluation, 0);
        let mut sum = 0.0;
        for seed in 1000..1000 + episodes {
            env.reset(Some(seed), &mut observation).unwrap();
            policy.begin_episode();
            loop {
                let step = env.elapsed_steps();
                let situation = Situation { observation: &observation, step, env: env.env() };
                policy.act(situation, Mode::Greedy, &mut rng, &mut action).unwrap();
                let transition = env.step(&action, &mut observation).unwrap();
                sum += transition.reward;
                if transition.done() {
                    break;
                }
            }
        }
        let mean = sum / episodes as f64;
        assert!(mean >= at_least, "{id} {name}: {mean}, expected at least {at_least}");
    }
}

#[test]
fn options_out_of_range_and_steps_before_a_reset_are_refused() {
    let options = |text: &str| serde_json::from_str::<Options>(text).unwrap();
    let refused = |id: &str, text: &str| {
        let error = (env::find(id).unwrap().make)(&options(text)).err().expect("an error");
        (error.dotted(), error.message)
    };
    let (path, message) = refused("LunarLander-v3", r#"{ "gravity": 1.0 }"#);
    assert_eq!(path, "gravity");
    assert!(message.contains("between -12 and 0"), "{message}");
    assert_eq!(refused("BipedalWalker-v3", r#"{ "hardcore": 1 }"#).0, "hardcore");

    for id in ["LunarLander-v3", "BipedalWalker-v3", "CarRacing-v3"] {
        let mut env = build(id, &Options::new());
        let mut observation = vec![0.0; env.env().observation_space().len()];
        let action = vec![0.0; env.env().action_space().len()];
        let error = env.step(&action, &mut observation).unwrap_err();
        assert_eq!(error, EnvError::NeverReset);
    }
}

/// A wind beyond single precision: the solver fails, and the next episode starts in a sound world.
#[test]
fn a_solver_that_fails_is_an_error_and_a_reset_recovers() {
    let options = serde_json::from_str(r#"{ "enable_wind": true, "wind_power": 1e38 }"#).unwrap();
    let mut env = build("LunarLander-v3", &options);
    let mut observation = [0.0; 8];
    for _ in 0..2 {
        let result = env
            .reset(Some(0), &mut observation)
            .and_then(|()| (0..50).try_for_each(|_| env.step(&[0.0], &mut observation).map(drop)));
        assert!(matches!(result, Err(EnvError::Physics(_))), "{result:?}");
    }
}

/// Resident memory of this process in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = status.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Runs alone in a process of its own, started by the test below: other tests' memory would count, too.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "started by resets_do_not_grow_memory"]
fn ten_thousand_resets() {
    const RESETS: usize = 10_000;
    for id in ["LunarLander-v3", "BipedalWalkerHardcore-v3", "CarRacing-v3"] {
        let mut env = build(id, &Options::new());
        let mut observation = vec![0.0; env.env().observation_space().len()];
        let mut reset = |count: usize| {
            (0..count).for_each(|_| env.reset(None, &mut observation).unwrap());
            resident()
        };
        let before = reset(RESETS / 10);
        let after = reset(RESETS);
        let grown = after.saturating_sub(before);
        println!("{id}: {before} bytes, {grown} more after {RESETS} resets");
        assert!(grown < 1 << 20, "{id} grew by {grown} bytes in {RESETS} resets");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn resets_do_not_grow_memory() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "box2d::ten_thousand_resets", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

//! Our environments and Gymnasium's own, through the bridge, step for step: this holds both sides at once.

use std::path::PathBuf;
use std::time::Duration;

use rushes_env::{Options, TimeLimit, VectorEnv};
use rushes_external::External;
use rushes_external::gymnasium::GymnasiumSpec;
use rushes_rng::{Purpose, stream};

/// A Python that has Gymnasium 1.1.1: the tests' own, or another one that has Box2D too.
fn python() -> PathBuf {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.deps/test-venv/bin/python");
    std::env::var_os("RUSHES_TEST_PYTHON").map_or_else(|| own.into(), PathBuf::from)
}

fn external(id: &str) -> External {
    let spec =
        GymnasiumSpec { python: python().to_str().map(str::to_owned), ..GymnasiumSpec::default() };
    let second = Duration::from_secs(1);
    let program = spec.program(id, None, None, 60 * second, 60 * second);
    let options = Options::new();
    let card = External::describe(&program, &options).unwrap_or_else(|failure| panic!("{failure}"));
    External { program, options, card }
}

/// Observations are equal; CarRacing's pictures, which another rasteriser draws, are alike.
fn assert_alike(id: &str, step: usize, own: &[f32], theirs: &[f32]) {
    let differences = own.iter().zip(theirs).map(|(own, theirs)| (own - theirs).abs());
    if id.starts_with("CarRacing") {
        let mean = differences.sum::<f32>() / own.len().max(1) as f32;
        assert!(mean < 6.0, "step {step}: pictures differ by {mean} of 255");
    } else {
        let first = differences.enumerate().find(|(_, difference)| *difference != 0.0);
        assert_eq!(first, None, "step {step}");
    }
}

/// Plays the same actions in both, over many episodes in each of `copies` copies.
fn compare(id: &str, copies: usize, workers: usize, steps: usize) {
    let external = external(id);
    let spec = rushes_env::find(id).expect("in the table");
    assert_eq!(external.card.max_episode_steps, spec.max_episode_steps);
    assert_eq!(external.card.reward_threshold, spec.reward_threshold);
    assert_eq!(external.card.render_fps, Some(f64::from(spec.render_fps)));
    let mut own = VectorEnv::new(&spec, &Options::new(), copies).unwrap();
    let envs = external.copies(copies, workers, false).unwrap();
    let limited = envs.into_iter().map(|env| TimeLimit::new(env, spec.max_episode_steps));
    let mut theirs = VectorEnv::of(limited.collect());
    assert_eq!(own.observation_space().len(), theirs.observation_space().len());
    assert_eq!(own.action_space(), theirs.action_space());
    own.reset(Some(911)).unwrap();
    theirs.reset(Some(911)).unwrap();
    assert_alike(id, 0, own.observations(), theirs.observations());
    let mut rng = stream(7, Purpose::Exploration, 0);
    let space = own.action_space().clone();
    let mut actions = vec![0.0; copies * space.len()];
    let mut episodes = 0;
    for step in 0..steps {
        for action in actions.chunks_exact_mut(space.len()) {
            space.sample(&mut rng, action);
        }
        if step % 37 == 5 {
            own.reseed_next(step % copies, step as u64);
            theirs.reseed_next(step % copies, step as u64);
        }
        own.step(&actions).unwrap();
        theirs.step(&actions).unwrap();
        assert_eq!(own.rewards(), theirs.rewards(), "step {step}");
        assert_alike(id, step, own.observations(), theirs.observations());
        assert_eq!(own.finished(), theirs.finished(), "step {step}");
        for i in 0..copies {
            let (own, theirs) = (own.final_observation(i), theirs.final_observation(i));
            assert_eq!(own.is_some(), theirs.is_some(), "step {step}");
            assert_alike(id, step, own.unwrap_or_default(), theirs.unwrap_or_default());
        }
        episodes += own.finished().len();
    }
    assert!(episodes > 0, "no episode of {id} ended");
}

#[test]
fn cart_poles_equal_ours() {
    compare("CartPole-v1", 1, 1, 300);
    compare("CartPole-v1", 7, 1, 300);
    compare("CartPole-v1", 7, 3, 300);
}

#[test]
fn taxis_equal_ours() {
    compare("Taxi-v3", 2, 2, 450);
}

/// Needs Box2D in the Python that `RUSHES_TEST_PYTHON` names.
#[test]
#[ignore = "needs Gymnasium with Box2D"]
fn physics_equals_ours() {
    compare("LunarLander-v3", 3, 2, 500);
    compare("CarRacing-v3", 2, 2, 1100);
}

//! What Gymnasium 1.4 added, and its environments in JAX.

use std::path::Path;

use rushes_env::trace::{Recording, compare};
use rushes_env::{Env, Options, Space, find};
use rushes_rng::NpRandom;
use serde_json::{Value, json};

fn options(value: &Value) -> Options {
    value.as_object().cloned().expect("an object")
}

fn make(id: &str, value: &Value) -> Box<dyn Env> {
    let env = (find(id).expect(id).make)(&options(value));
    env.unwrap_or_else(|error| panic!("{id}: {error}"))
}

#[test]
fn recordings_of_gymnasium_1_4_are_replayed_exactly() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/gymnasium-1.4");
    let mut replayed = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let recording = Recording::read(&path).unwrap_or_else(|error| panic!("{error:#}"));
        for (index, recorded) in recording.trajectories.iter().enumerate() {
            let replay = recording.replay(index).unwrap_or_else(|error| panic!("{error:#}"));
            for difference in compare(recorded, &replay).unwrap() {
                assert_eq!(difference.largest, 0.0, "{}: {difference:?}", path.display());
            }
        }
        replayed += 1;
    }
    assert_eq!(replayed, 10);
}

#[test]
fn probabilities_are_probabilities_and_old_ids_have_no_new_options() {
    for (id, value, path) in [
        ("Taxi-v4", json!({ "rainy_probability": 1.5 }), "rainy_probability"),
        ("Taxi-v4", json!({ "fickle_probability": -0.1 }), "fickle_probability"),
        ("FrozenLake-v1", json!({ "success_rate": 2 }), "success_rate"),
        ("FrozenLake-v1", json!({ "reward_schedule": [1, 0] }), "reward_schedule"),
        ("Taxi-v3", json!({ "is_rainy": true }), "is_rainy"),
        ("tabular/CliffWalking-v0", json!({ "is_slippery": true }), "is_slippery"),
        ("tabular/Blackjack-v0", json!({ "sab": true }), "sab"),
    ] {
        let error = (find(id).unwrap().make)(&options(&value)).err().expect("a refusal");
        assert_eq!(error.dotted(), path, "{id}: {error}");
    }
}

/// What `play` observes and earns in a few episodes of 40 steps, with actions drawn from the space.
fn play(env: &mut dyn Env) -> Vec<(Vec<f32>, f64, bool)> {
    let mut actions = NpRandom::new(3);
    let mut observation = vec![0.0; env.observation_space().len()];
    let mut seen = Vec::new();
    env.reset(Some(5)).unwrap();
    for _ in 0..40 {
        let space = env.action_space().clone();
        let action = match &space {
            Space::Discrete { n } => vec![actions.choice(*n) as f32],
            _ => vec![actions.uniform(-2.0, 2.0) as f32],
        };
        let step = env.step(space.action(&action).unwrap()).unwrap();
        env.observe(&mut observation).unwrap();
        seen.push((observation.clone(), step.reward, step.terminated));
        if step.terminated {
            env.reset(None).unwrap();
        }
    }
    seen
}

/// JAX's CliffWalking and Blackjack have the rules of the others; its CartPole would have, with the other product.
#[test]
fn environments_in_jax_differ_from_the_others_where_they_are_known_to() {
    for (jax, of_jax, other, of_other) in [
        ("tabular/CliffWalking-v0", json!({}), "CliffWalking-v0", json!({})),
        (
            "tabular/Blackjack-v0",
            json!({ "natural": true, "sutton_and_barto": false }),
            "Blackjack-v1",
            json!({ "natural": true, "sab": false }),
        ),
    ] {
        assert_eq!(play(&mut *make(jax, &of_jax)), play(&mut *make(other, &of_other)), "{jax}");
    }
    for (jax, of_jax, other) in [
        ("phys2d/CartPole-v1", json!({ "polemass_length": 0.05 }), "CartPole-v1"),
        ("phys2d/Pendulum-v0", json!({}), "Pendulum-v1"),
    ] {
        let (float32, float64) =
            (play(&mut *make(jax, &of_jax)), play(&mut *make(other, &json!({}))));
        for (a, b) in float32.iter().zip(&float64) {
            let near = |a: f32, b: f32| (a - b).abs() < 1e-3;
            assert!(a.0.iter().zip(&b.0).all(|(&a, &b)| near(a, b)), "{jax}: {a:?}, {b:?}");
            assert!((a.1 - b.1).abs() < 1e-3 && a.2 == b.2, "{jax}: {a:?}, {b:?}");
        }
    }
    let (own, other) = (make("phys2d/CartPole-v1", &json!({})), make("CartPole-v1", &json!({})));
    let (mut own, mut other) = (own, other);
    assert_ne!(play(&mut *own)[20].0, play(&mut *other)[20].0);
}

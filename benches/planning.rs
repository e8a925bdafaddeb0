//! Planning: one decision on Pendulum's learned model, 64 sequences of 10 steps.
//!
//! `cargo bench --bench planning [-- FILTER]`

use criterion::{Criterion, criterion_group, criterion_main};
use rushes::algorithm::{self, Setup};
use rushes::env::{Mode, Situation};
use rushes::experiment::{AlgorithmSpec, EnvironmentSpec, ScheduleSpec};
use rushes::policy::PolicySpec;
use rushes::rng::{Purpose, stream};
use rushes::training::{MetricMeans, World};
use serde_json::{Value, json};

fn decide(c: &mut Criterion, name: &str, hidden: usize, planner: &Value) {
    let read = "a valid setting";
    let environment: EnvironmentSpec =
        serde_json::from_value(json!({ "id": "Pendulum-v1" })).expect(read);
    let policy: PolicySpec =
        serde_json::from_value(json!({ "type": "neural", "hidden": [hidden, hidden] }))
            .expect(read);
    let algorithm: AlgorithmSpec = serde_json::from_value(json!({
        "name": "model_based_planning", "planner": planner, "train_freq": 1000, "n_epochs": 1,
    }))
    .expect(read);
    let schedule = ScheduleSpec::default();
    let mut world = World::new(&environment, &policy, 1, 0, &schedule).expect("a world");
    world.restart(0, world.progress()).expect("a start");
    let mut agent = algorithm::settings(&algorithm)
        .expect("in the table")
        .build(&Setup {
            policy: &policy,
            schedule: &schedule,
            observation_space: world.observation_space(),
            action_space: world.action_space(),
            seed: 0,
        })
        .expect("an engine on any CPU");
    agent.iterate(&mut world, &mut MetricMeans::default()).expect("nothing diverges so soon");
    let mut rng = stream(0, Purpose::Evaluation, 0);
    let mut action = [0.0];
    c.bench_function(&format!("{name}/{hidden}"), |b| {
        b.iter(|| {
            let observation = world.envs().observation(0);
            let situation = Situation { observation, step: 0, env: world.env(0) };
            agent.policy_mut().act(situation, Mode::Greedy, &mut rng, &mut action).expect("finite");
        });
    });
}

fn decisions(c: &mut Criterion) {
    let shooting = json!({ "name": "random_shooting", "candidates": 64, "depth": 10 });
    let cem = json!({ "name": "cem", "candidates": 64, "depth": 10, "iterations": 5 });
    for hidden in [64, 200] {
        decide(c, "random_shooting", hidden, &shooting);
        decide(c, "cem", hidden, &cem);
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);

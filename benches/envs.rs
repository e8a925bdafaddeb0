//! Steps and drawings of every environment: `cargo bench --bench envs`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rushes::env::draw::Canvas;
use rushes::env::{self, Crop, Options, Pixels, PixelsSpec, Space, TimeLimit, VectorEnv};
use rushes::rng::{Purpose, stream};

/// How many actions are drawn beforehand.
const ACTIONS: usize = 1024;

/// Random actions, each of them those of all copies in order.
fn actions(space: &Space, copies: usize) -> Vec<Vec<f32>> {
    let mut rng = stream(0, Purpose::Exploration, 0);
    let mut actions = vec![vec![0.0; copies * space.len()]; ACTIONS];
    for action in actions.iter_mut().flat_map(|all| all.chunks_exact_mut(space.len())) {
        space.sample(&mut rng, action);
    }
    actions
}

fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step");
    group.throughput(Throughput::Elements(ACTIONS as u64));
    for spec in &env::all() {
        let env = (spec.make)(&Options::new()).expect("default options");
        let mut env = TimeLimit::new(env, spec.max_episode_steps);
        let mut observation = vec![0.0; env.env().observation_space().len()];
        let actions = actions(env.env().action_space(), 1);
        env.reset(Some(0), &mut observation).expect("a reset");
        group.bench_function(&*spec.id, |bencher| {
            bencher.iter(|| {
                for action in &actions {
                    if env.step(action, &mut observation).expect("a step").done() {
                        env.reset(None, &mut observation).expect("a reset");
                    }
                }
            });
        });
    }
    group.finish();
}

fn step_64(criterion: &mut Criterion) {
    const COPIES: usize = 64;
    let mut group = criterion.benchmark_group("step 64 copies");
    group.throughput(Throughput::Elements(COPIES as u64));
    for spec in &env::all() {
        let mut envs = VectorEnv::new(spec, &Options::new(), COPIES).expect("default options");
        let actions = actions(envs.action_space(), COPIES);
        let mut actions = actions.iter().cycle();
        envs.reset(Some(0)).expect("a reset");
        group.bench_function(&*spec.id, |bencher| {
            bencher.iter(|| envs.step(actions.next().expect("a cycle")).expect("a step"));
        });
    }
    group.finish();
}

/// What looking at the state costs beside a step.
fn observe(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("observe");
    for spec in &env::all() {
        let mut env = (spec.make)(&Options::new()).expect("default options");
        let mut observation = vec![0.0; env.observation_space().len()];
        env.reset(Some(0)).expect("a reset");
        // CarRacing's camera comes down for fifty steps.
        for action in actions(env.action_space(), 1).iter().take(50) {
            let action = env.action_space().action(action).expect("drawn from it");
            if env.step(action).expect("a step").terminated {
                env.reset(None).expect("a reset");
            }
        }
        group.bench_function(&*spec.id, |bencher| {
            bencher.iter(|| env.observe(black_box(&mut observation)).expect("a look"));
        });
    }
    group.finish();
}

fn draw(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("draw");
    for spec in &env::all() {
        let mut env = (spec.make)(&Options::new()).expect("default options");
        env.reset(Some(0)).expect("a reset");
        let (width, height) = env.frame_size();
        let mut canvas = Canvas::new(width, height);
        group.bench_function(&*spec.id, |bencher| {
            bencher.iter(|| env.draw(black_box(&mut canvas)));
        });
    }
    group.finish();
}

/// A step observed by pixels: what a patch drawn small saves beside the whole picture.
fn observe_pixels(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("observe CartPole-v1 by pixels");
    let spec = env::find("CartPole-v1").expect("in the table");
    let patch = |width, height, crop| PixelsSpec { width, height, crop, ..PixelsSpec::default() };
    for (name, pixels) in [
        ("40x24 of a window", patch(40, 24, Some(Crop { width: 200, height: 120 }))),
        ("84x84", patch(84, 84, None)),
        ("600x400, the whole picture", patch(600, 400, None)),
    ] {
        let env = (spec.make)(&Options::new()).expect("default options");
        let mut env = TimeLimit::new(Box::new(Pixels::new(env, pixels)), Some(20));
        let mut observation = vec![0.0; env.env().observation_space().len()];
        env.reset(Some(0), &mut observation).expect("a reset");
        let mut step = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                step += 1;
                let action = [(step / 3 % 2) as f32];
                if env.step(&action, &mut observation).expect("a step").done() {
                    env.reset(None, &mut observation).expect("a reset");
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, step, step_64, observe, draw, observe_pixels);
criterion_main!(benches);

//! Networks: acting and PPO-sized updates, native against libtorch, whole SAC updates, libtorch's matrix products of
//! the same updates alone, and as many multiplications at the processor's peak.
//!
//! `cargo bench --bench nn [-- FILTER]`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rushes::algorithm::Setup;
use rushes::training::{MetricMeans, World};
use rushes_nn::threads::with_threads;
use rushes_nn::{
    Activation, Device, Engine, MlpConfig, Network, Optimiser, OptimiserConfig, Scalar, build,
    clip_gradient_norm,
};
use rushes_rng::{Purpose, Rng, stream};

fn rng() -> Rng {
    stream(0, Purpose::Initialisation, 0)
}

fn network<T: Scalar>(engine: Engine, width: usize, outputs: usize) -> Box<dyn Network<T>> {
    rushes_torch::register();
    let config = MlpConfig::new(4, &[width, width], outputs, Activation::Tanh);
    build(&config, engine, Device::Cpu, &mut rng()).expect("both engines compute on a CPU")
}

fn forward<T: Scalar + tch::kind::Element>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("forward_{}", T::PRECISION));
    for rows in [1, 8, 64, 256] {
        let batch = vec![0.1_f32; rows * 4];
        let mut outputs = vec![T::zero(); rows * 2];
        let mut native = network::<T>(Engine::NATIVE, 64, 2);
        group.bench_function(BenchmarkId::new("native", rows), |b| {
            b.iter(|| native.forward(black_box(&batch), rows, &mut outputs));
        });
        let config = MlpConfig::new(4, &[64, 64], 2, Activation::Tanh);
        let parameters = config.initial_parameters::<T>(&mut rng());
        let weights: Vec<tch::Tensor> = config
            .layout()
            .iter()
            .map(|tensor| {
                let shape: Vec<i64> = tensor.shape.iter().map(|&n| n as i64).collect();
                let end = tensor.offset + tensor.count();
                tch::Tensor::from_slice(&parameters[tensor.offset..end]).view(shape.as_slice())
            })
            .collect();
        tch::set_num_threads(1);
        let _no_grad = tch::no_grad_guard();
        group.bench_function(BenchmarkId::new("tch", rows), |b| {
            b.iter(|| {
                let x = tch::Tensor::from_slice(black_box(&batch)).view([rows as i64, 4]);
                let x = x.to_kind(T::KIND).linear(&weights[0], Some(&weights[1])).tanh();
                let x = x.linear(&weights[2], Some(&weights[3])).tanh();
                let x = x.linear(&weights[4], Some(&weights[5]));
                x.copy_data(&mut outputs, rows * 2);
            });
        });
    }
    group.finish();
}

/// Actor and critic forward, backward, clipped and stepped, as one PPO minibatch; the loss itself is left
/// out.
fn update(c: &mut Criterion) {
    let mut group = c.benchmark_group("update");
    for (width, rows) in [(64, 128), (64, 256), (256, 256)] {
        let batch: Vec<f32> = (0..rows * 4).map(|i| (i as f32 * 0.37).sin()).collect();
        for engine in [Engine::NATIVE, Engine::TORCH] {
            let mut actor = network::<f32>(engine, width, 2);
            let mut critic = network::<f32>(engine, width, 1);
            let parameters = actor.parameters().len() + critic.parameters().len();
            let mut optimiser = Optimiser::new(OptimiserConfig::adam(1e-5), parameters);
            let (mut logits, mut values) = (vec![0.0; rows * 2], vec![0.0; rows]);
            let mut rng = rng();
            let id = BenchmarkId::new(engine.to_string(), format!("{width}x{rows}"));
            group.bench_function(id, |b| {
                b.iter(|| {
                    actor.forward_train(&batch, rows, &mut rng, &mut logits);
                    critic.forward_train(&batch, rows, &mut rng, &mut values);
                    actor.zero_gradients();
                    critic.zero_gradients();
                    actor.backward(&logits, None);
                    critic.backward(&values, None);
                    let mut slices =
                        [actor.parameters_and_gradients(), critic.parameters_and_gradients()];
                    clip_gradient_norm(&mut slices, 0.5);
                    optimiser.step(1e-4, &mut slices);
                });
            });
        }
        group.bench_function(BenchmarkId::new("products", format!("{width}x{rows}")), |b| {
            let mut buffers = Products::new(width.max(rows) * width);
            b.iter(|| buffers.ppo(rows, width));
        });
    }
    group.finish();
}

/// One gradient step of SAC with the settings of RL Baselines3 Zoo for BipedalWalker, an environment step to
/// every 32 of them, on one thread and on two, and the products of such a step alone.
fn sac(c: &mut Criterion) {
    const STEPS: usize = 32;
    /// Transitions to draw from, more than a cache holds.
    const REPLAY: u64 = 100_000;
    let mut group = c.benchmark_group("sac");
    group.throughput(Throughput::Elements(STEPS as u64)).sample_size(10);
    let value = serde_json::json!({
        "name": "bench", "environment": { "id": "BipedalWalker-v3" },
        "agents": { "sac": {
            "policy": { "type": "neural", "hidden": [400, 300] },
            "training": {
                "algorithm": { "name": "sac", "learning_rate": 7.3e-4, "gamma": 0.98, "tau": 0.02,
                               "batch_size": 256, "learning_starts": REPLAY, "buffer_size": 300_000,
                               "gradient_steps": STEPS },
                "schedule": { "steps": 1_000_000 }
            }
        } }
    });
    let spec = rushes::validation::check(&value).expect("a valid experiment");
    let agent = &spec.agents["sac"];
    let training = agent.training.as_ref().expect("written above");
    let mut world = World::new(&spec.environment, &agent.policy, 1, 0, &training.schedule)
        .expect("a known environment");
    let setup = Setup {
        policy: &agent.policy,
        schedule: &training.schedule,
        observation_space: world.observation_space(),
        action_space: world.action_space(),
        seed: 0,
    };
    let mut algorithm = rushes::algorithm::settings(&training.algorithm)
        .expect("in the table")
        .build(&setup)
        .expect("on any CPU");
    world.restart(0, Default::default()).expect("a fresh start");
    let mut metrics = MetricMeans::default();
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new("update", threads), |b| {
            while world.progress().steps < REPLAY {
                algorithm.iterate(&mut world, &mut metrics).expect("finite numbers");
            }
            with_threads(threads, || {
                b.iter(|| algorithm.iterate(&mut world, &mut metrics).expect("finite numbers"));
            })
            .expect("threads");
        });
    }
    group.bench_function("products", |b| {
        let mut buffers = Products::new(400 * 400);
        b.iter(|| (0..STEPS).for_each(|_| buffers.sac(256)));
    });
    let mut buffers = Products::new(400 * 400);
    buffers.sac(256);
    if let Some(peak) = peak() {
        // SAFETY: the processor has the instructions.
        group.bench_function("peak", |b| {
            b.iter(|| unsafe { peak(STEPS * buffers.multiplications) });
        });
    }
    group.finish();
}

/// What does so many multiplications and additions of numbers that stay in registers, with the widest of this processor's.
fn peak() -> Option<unsafe fn(usize) -> f32> {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;

        macro_rules! peak {
            ($feature:literal, $lanes:literal, $splat:ident, $fma:ident, $store:ident) => {{
                #[target_feature(enable = $feature)]
                unsafe fn multiply(multiplications: usize) -> f32 {
                    // As many as there must be under way, and a few more.
                    const SUMS: usize = 12;
                    let factor = black_box($splat(0.999));
                    let addend = black_box($splat(0.001));
                    let mut sums = [$splat(1.0); SUMS];
                    for _ in 0..multiplications / (SUMS * $lanes) {
                        for sum in &mut sums {
                            *sum = $fma(*sum, factor, addend);
                        }
                    }
                    let mut lanes = [0.0; $lanes];
                    sums.iter().fold(0.0, |all, &sum| {
                        // SAFETY: there is room for a register.
                        unsafe { $store(lanes.as_mut_ptr(), sum) };
                        all + lanes.iter().sum::<f32>()
                    })
                }
                multiply
            }};
        }
        if is_x86_feature_detected!("avx512f") {
            return Some(peak!("avx512f", 16, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_storeu_ps));
        }
        if is_x86_feature_detected!("fma") {
            return Some(peak!("avx2,fma", 8, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_storeu_ps));
        }
    }
    None
}

/// Products by libtorch on one core, with nothing in between.
struct Products {
    a: tch::Tensor,
    b: tch::Tensor,
    c: tch::Tensor,
    /// How many these were so far.
    multiplications: usize,
}

impl Products {
    /// For matrices of at most `len` numbers.
    fn new(len: usize) -> Self {
        tch::set_num_threads(1);
        let buffer = || tch::Tensor::full(len as i64, 0.5, (tch::Kind::Float, tch::Device::Cpu));
        Self { a: buffer(), b: buffer(), c: buffer(), multiplications: 0 }
    }

    fn product(&mut self, m: usize, n: usize, k: usize) {
        self.multiplications += m * n * k;
        let matrix = |buffer: &tch::Tensor, rows: usize, columns: usize| {
            let (rows, columns) = (rows as i64, columns as i64);
            buffer.narrow(0, 0, rows * columns).view([rows, columns])
        };
        let (a, b) = (matrix(&self.a, m, k), matrix(&self.b, k, n));
        let _ = a.mm_out(&matrix(&self.c, m, n), &b);
    }

    fn forward(&mut self, rows: usize, widths: &[usize]) {
        for layer in widths.windows(2) {
            self.product(rows, layer[1], layer[0]);
        }
    }

    fn weight_gradients(&mut self, rows: usize, widths: &[usize]) {
        for layer in widths.windows(2) {
            self.product(layer[1], layer[0], rows);
        }
    }

    fn input_gradients(&mut self, rows: usize, widths: &[usize]) {
        for layer in widths.windows(2) {
            self.product(rows, layer[0], layer[1]);
        }
    }

    /// A network's part in a step of learning; the gradient at its inputs is not needed.
    fn learn(&mut self, rows: usize, widths: &[usize]) {
        self.forward(rows, widths);
        self.weight_gradients(rows, widths);
        self.input_gradients(rows, &widths[1..]);
    }

    /// Actor and critic of one PPO minibatch.
    fn ppo(&mut self, rows: usize, width: usize) {
        for outputs in [2, 1] {
            self.learn(rows, &[4, width, width, outputs]);
        }
        black_box(&self.c);
    }

    /// One gradient step of SAC: next actions, target values, two critics' step, the actor's step through
    /// both of them.
    fn sac(&mut self, rows: usize) {
        let (actor, critic) = ([24, 400, 300, 8], [28, 400, 300, 1]);
        self.forward(rows, &actor);
        self.learn(rows, &actor);
        for _ in 0..2 {
            self.forward(rows, &critic);
            self.learn(rows, &critic);
            self.forward(rows, &critic);
            self.input_gradients(rows, &critic);
        }
        black_box(&self.c);
    }
}

criterion_group!(benches, forward::<f32>, forward::<f64>, update, sac);
criterion_main!(benches);

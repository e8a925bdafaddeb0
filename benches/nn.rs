//! Networks: acting and PPO-sized updates, native against libtorch, and the native update's floor (its
//! matrix products alone).
//!
//! `cargo bench --bench nn [-- FILTER]`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rushes::nn::{
    Activation, Device, Engine, MlpConfig, Network, Optimiser, OptimiserConfig, Scalar, build,
    clip_gradient_norm,
};
use rushes::rng::{Purpose, Rng, stream};

fn rng() -> Rng {
    stream(0, Purpose::Initialisation, 0)
}

fn network<T: Scalar>(engine: Engine, width: usize, outputs: usize) -> Box<dyn Network<T>> {
    let config = MlpConfig::new(4, &[width, width], outputs, Activation::Tanh);
    build(&config, engine, Device::Cpu, &mut rng()).expect("both engines compute on a CPU")
}

fn forward<T: Scalar>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("forward_{}", T::PRECISION));
    for rows in [1, 8, 64, 256] {
        let batch = vec![0.1_f32; rows * 4];
        let mut outputs = vec![T::zero(); rows * 2];
        let mut native = network::<T>(Engine::Native, 64, 2);
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
        for engine in [Engine::Native, Engine::Torch] {
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
        group.bench_function(BenchmarkId::new("floor", format!("{width}x{rows}")), |b| {
            let mut buffers = Floor::new(width, rows);
            b.iter(|| buffers.run());
        });
    }
    group.finish();
}

/// The products of one update by the `gemm` crate, with nothing in between: 4·w, w·w and w·outputs
/// multiplications a row forward, twice that backward (the first layer's input gradient is not needed).
struct Floor {
    width: usize,
    rows: usize,
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Floor {
    fn new(width: usize, rows: usize) -> Self {
        let buffer = || vec![0.5; width.max(rows) * width];
        Self { width, rows, a: buffer(), b: buffer(), c: buffer() }
    }

    fn product(&mut self, m: usize, n: usize, k: usize) {
        // SAFETY: the buffers hold the largest of these matrices.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                self.c.as_mut_ptr(),
                1,
                n as isize,
                false,
                self.a.as_ptr(),
                1,
                k as isize,
                self.b.as_ptr(),
                1,
                n as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }

    fn run(&mut self) {
        let (w, rows) = (self.width, self.rows);
        for outputs in [2, 1] {
            for (inputs, outputs) in [(4, w), (w, w), (w, outputs)] {
                self.product(rows, outputs, inputs);
                self.product(outputs, inputs, rows);
                if inputs != 4 {
                    self.product(rows, inputs, outputs);
                }
            }
        }
        black_box(&self.c);
    }
}

criterion_group!(benches, forward::<f32>, forward::<f64>, update);
criterion_main!(benches);

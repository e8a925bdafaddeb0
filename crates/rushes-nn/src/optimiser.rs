//! Optimisers over flat parameters, with PyTorch's arithmetic and a state that can be saved.

use bytemuck::{cast_slice, cast_slice_mut};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernels::sum_by;
use super::network::ParametersMut;
use super::scalar::{Precision, Scalar};
use super::simd::{Isa, Task, dispatch};
use super::state::{StateError, Tensors};
use super::threads::{self, PER_NUMBER};

/// Which optimiser, with its settings (the learning rate is the schedule's).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum OptimiserConfig {
    /// Adam (Kingma and Ba 2015), as `torch.optim.Adam`.
    Adam {
        /// Decay of the running mean of gradients.
        #[serde(default = "defaults::beta1")]
        beta1: f64,
        /// Decay of the running mean of squared gradients.
        #[serde(default = "defaults::beta2")]
        beta2: f64,
        /// Added to the denominator.
        #[serde(default = "defaults::epsilon")]
        epsilon: f64,
        /// L2 penalty, added to the gradient.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Rectified Adam (Liu et al., "On the variance of the adaptive learning rate and beyond", 2020), as `torch.optim.RAdam`.
    #[serde(rename = "radam")]
    RAdam {
        /// Decay of the running mean of gradients.
        #[serde(default = "defaults::beta1")]
        beta1: f64,
        /// Decay of the running mean of squared gradients.
        #[serde(default = "defaults::beta2")]
        beta2: f64,
        /// Added to the denominator.
        #[serde(default = "defaults::epsilon")]
        epsilon: f64,
        /// L2 penalty, added to the gradient.
        #[serde(default)]
        weight_decay: f64,
    },
    /// RMSprop, as `torch.optim.RMSprop`, or with `tf_like` as TensorFlow 1 and Stable-Baselines 2.
    RmsProp {
        /// Decay of the running mean of squared gradients.
        #[serde(default = "defaults::alpha")]
        alpha: f64,
        /// Added to the denominator: after the square root, with `tf_like` before it.
        #[serde(default = "defaults::epsilon")]
        epsilon: f64,
        /// L2 penalty, added to the gradient.
        #[serde(default)]
        weight_decay: f64,
        /// Momentum of the steps.
        #[serde(default)]
        momentum: f64,
        /// Begin the running mean at one instead of zero, and add `epsilon` before the square root.
        #[serde(default)]
        tf_like: bool,
    },
    /// Stochastic gradient descent, as `torch.optim.SGD`.
    Sgd {
        /// Momentum of the gradients.
        #[serde(default)]
        momentum: f64,
        /// L2 penalty, added to the gradient.
        #[serde(default)]
        weight_decay: f64,
        /// Nesterov's variant of momentum.
        #[serde(default)]
        nesterov: bool,
    },
}

mod defaults {
    pub(super) fn beta1() -> f64 {
        0.9
    }
    pub(super) fn beta2() -> f64 {
        0.999
    }
    pub(super) fn epsilon() -> f64 {
        1e-8
    }
    pub(super) fn alpha() -> f64 {
        0.99
    }
}

impl OptimiserConfig {
    /// Adam with PyTorch's settings.
    pub const ADAM: Self =
        Self::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };

    /// Rectified Adam with PyTorch's settings.
    pub const RADAM: Self =
        Self::RAdam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };

    /// Adam with PyTorch's settings but for `epsilon` (Stable-Baselines3's PPO takes 1e-5).
    pub const fn adam(epsilon: f64) -> Self {
        Self::Adam { beta1: 0.9, beta2: 0.999, epsilon, weight_decay: 0.0 }
    }

    /// The names of the running values that it keeps for each parameter, PyTorch's.
    fn buffer_names(&self) -> &'static [&'static str] {
        match self {
            Self::Adam { .. } | Self::RAdam { .. } => &["exp_avg", "exp_avg_sq"],
            Self::RmsProp { momentum, .. } if *momentum != 0.0 => {
                &["square_avg", "momentum_buffer"]
            }
            Self::RmsProp { .. } => &["square_avg"],
            Self::Sgd { momentum, .. } if *momentum != 0.0 => &["momentum_buffer"],
            Self::Sgd { .. } => &[],
        }
    }
}

/// An optimiser and its running values.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimiser<T> {
    config: OptimiserConfig,
    steps: u64,
    /// One running value a parameter each, in the order of [`OptimiserConfig::buffer_names`]; the unused
    /// ones are empty.
    buffers: [Vec<T>; 2],
}

impl<T: Scalar> Optimiser<T> {
    /// For `len` parameters in all.
    pub fn new(config: OptimiserConfig, len: usize) -> Self {
        let first = match config {
            OptimiserConfig::RmsProp { tf_like: true, .. } => T::one(),
            _ => T::zero(),
        };
        let names = config.buffer_names();
        let buffer = |i: usize, value| vec![value; if i < names.len() { len } else { 0 }];
        Self { config, steps: 0, buffers: [buffer(0, first), buffer(1, T::zero())] }
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Moves the parameters one step against their gradients, which stay as they are. `slices` must be the
    /// same parts in the same order at every call.
    pub fn step(&mut self, learning_rate: f64, slices: &mut [ParametersMut<'_, T>]) {
        self.steps += 1;
        let [mut first, mut second] = self.buffers.each_mut().map(|buffer| &mut buffer[..]);
        let mut steps = Vec::new();
        // A thread that has made a slice's gradients steps over it where it can.
        let alone = slices.len() == 1;
        for ParametersMut { values, gradients } in slices {
            let all = values.len();
            let share = if alone { threads::share(all, PER_NUMBER * all) } else { all.max(1) };
            for (values, gradients) in values.chunks_mut(share).zip(gradients.chunks(share)) {
                let len = values.len();
                steps.push(Step {
                    config: self.config,
                    steps: self.steps,
                    learning_rate,
                    values,
                    gradients,
                    // A buffer that is not used is empty.
                    first: first.split_off_mut(..len).unwrap_or_default(),
                    second: second.split_off_mut(..len).unwrap_or_default(),
                });
            }
        }
        threads::each(steps, Step::run_here);
    }

    /// Writes the running values as `prefix` + `step`, `exp_avg`, ….
    pub fn save(&self, prefix: &str, tensors: &mut Tensors) {
        tensors.insert_u64(&format!("{prefix}step"), self.steps);
        for (name, buffer) in self.config.buffer_names().iter().zip(&self.buffers) {
            tensors.insert(&format!("{prefix}{name}"), &[buffer.len()], buffer);
        }
    }

    /// Takes over what [`Optimiser::save`] wrote.
    ///
    /// # Errors
    /// Fails if a tensor is missing or of another size; nothing is changed then.
    pub fn load(&mut self, prefix: &str, tensors: &Tensors) -> Result<(), StateError> {
        let steps = tensors.get_u64(&format!("{prefix}step"))?;
        let mut buffers = self.buffers.clone();
        for (name, buffer) in self.config.buffer_names().iter().zip(&mut buffers) {
            *buffer = tensors.get(&format!("{prefix}{name}"), &[buffer.len()])?;
        }
        self.steps = steps;
        self.buffers = buffers;
        Ok(())
    }
}

struct Step<'a, T> {
    config: OptimiserConfig,
    steps: u64,
    learning_rate: f64,
    values: &'a mut [T],
    gradients: &'a [T],
    first: &'a mut [T],
    second: &'a mut [T],
}

impl<'a, T: Scalar> Step<'a, T> {
    /// Does it as this package is compiled: for speed. Generic code is compiled with whoever calls it, perhaps for size.
    fn run_here(self) {
        match T::PRECISION {
            Precision::Float32 => run_step_f32(self.cast()),
            Precision::Float64 => run_step_f64(self.cast()),
        }
    }

    /// The same of `U`, which is the type that `T` is.
    fn cast<U: Scalar>(self) -> Step<'a, U> {
        let Self { config, steps, learning_rate, values, gradients, first, second } = self;
        Step {
            config,
            steps,
            learning_rate,
            values: cast_slice_mut(values),
            gradients: cast_slice(gradients),
            first: cast_slice_mut(first),
            second: cast_slice_mut(second),
        }
    }
}

#[inline(never)]
fn run_step_f32(step: Step<'_, f32>) {
    dispatch(step);
}

#[inline(never)]
fn run_step_f64(step: Step<'_, f64>) {
    dispatch(step);
}

impl<T: Scalar> Task for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { values, gradients, first, second, .. } = self;
        let rate = T::of(self.learning_rate);
        match self.config {
            OptimiserConfig::Adam { beta1, beta2, epsilon, weight_decay } => {
                let bias1 = 1.0 - beta1.powf(self.steps as f64);
                let bias2 = 1.0 - beta2.powf(self.steps as f64);
                let step_size = T::of(self.learning_rate / bias1);
                let root = T::of(1.0 / bias2.sqrt());
                let (keep1, add1) = (T::of(beta1), T::of(1.0 - beta1));
                let (keep2, add2) = (T::of(beta2), T::of(1.0 - beta2));
                let (epsilon, decay) = (T::of(epsilon), T::of(weight_decay));
                let running = first.iter_mut().zip(second);
                for ((p, &g), (m, v)) in values.iter_mut().zip(gradients).zip(running) {
                    let g = g + decay * *p;
                    *m = *m * keep1 + g * add1;
                    *v = *v * keep2 + g * g * add2;
                    *p -= step_size * *m / (v.sqrt() * root + epsilon);
                }
            }
            OptimiserConfig::RAdam { beta1, beta2, epsilon, weight_decay } => {
                let (bias1, bias2) =
                    (1.0 - beta1.powf(self.steps as f64), 1.0 - beta2.powf(self.steps as f64));
                // The length of the running mean of squares, as the paper approximates it: at most, and now.
                let longest = 2.0 / (1.0 - beta2) - 1.0;
                let length = longest - 2.0 * self.steps as f64 * (1.0 - bias2) / bias2;
                let step_size = T::of(self.learning_rate / bias1);
                // Too short a mean tells nothing of the variance: a step of gradient descent with momentum.
                let rectified = length > 5.0;
                let factor = (length - 4.0) * (length - 2.0) * longest * bias2
                    / ((longest - 4.0) * (longest - 2.0) * length);
                let factor = T::of(factor.sqrt());
                let (keep1, add1) = (T::of(beta1), T::of(1.0 - beta1));
                let (keep2, add2) = (T::of(beta2), T::of(1.0 - beta2));
                let (epsilon, decay) = (T::of(epsilon), T::of(weight_decay));
                let running = first.iter_mut().zip(second);
                for ((p, &g), (m, v)) in values.iter_mut().zip(gradients).zip(running) {
                    let g = g + decay * *p;
                    *m = *m * keep1 + g * add1;
                    *v = *v * keep2 + g * g * add2;
                    let by = if rectified { factor / (v.sqrt() + epsilon) } else { T::one() };
                    *p -= step_size * *m * by;
                }
            }
            OptimiserConfig::RmsProp { alpha, epsilon, weight_decay, momentum, tf_like } => {
                let (keep, add) = (T::of(alpha), T::of(1.0 - alpha));
                let (epsilon, decay) = (T::of(epsilon), T::of(weight_decay));
                let denominator =
                    |v: T| if tf_like { (v + epsilon).sqrt() } else { v.sqrt() + epsilon };
                let steps = values.iter_mut().zip(gradients).zip(first);
                if momentum == 0.0 {
                    for ((p, &g), v) in steps {
                        let g = g + decay * *p;
                        *v = *v * keep + g * g * add;
                        *p -= rate * (g / denominator(*v));
                    }
                } else {
                    let momentum = T::of(momentum);
                    for (((p, &g), v), m) in steps.zip(second) {
                        let g = g + decay * *p;
                        *v = *v * keep + g * g * add;
                        *m = *m * momentum + g / denominator(*v);
                        *p -= rate * *m;
                    }
                }
            }
            OptimiserConfig::Sgd { momentum, weight_decay, nesterov } => {
                let decay = T::of(weight_decay);
                if momentum == 0.0 {
                    for (p, &g) in values.iter_mut().zip(gradients) {
                        *p -= rate * (g + decay * *p);
                    }
                } else {
                    let momentum = T::of(momentum);
                    for ((p, &g), m) in values.iter_mut().zip(gradients).zip(first) {
                        let g = g + decay * *p;
                        // From a zero buffer the first step equals PyTorch's, which begins it at `g`.
                        *m = *m * momentum + g;
                        *p -= rate * if nesterov { g + momentum * *m } else { *m };
                    }
                }
            }
        }
    }
}

/// Moves every value the `fraction` (0 to 1) of its way to its goal: what target networks do.
pub fn move_towards<T: Scalar>(values: &mut [T], goals: &[T], fraction: f64) {
    let share = threads::share(values.len(), PER_NUMBER * values.len());
    let parts = values.chunks_mut(share).zip(goals.chunks(share));
    // As for the steps.
    threads::each(parts, |(values, goals)| match T::PRECISION {
        Precision::Float32 => move_f32(cast_slice_mut(values), cast_slice(goals), fraction),
        Precision::Float64 => move_f64(cast_slice_mut(values), cast_slice(goals), fraction),
    });
}

#[inline(never)]
fn move_f32(values: &mut [f32], goals: &[f32], fraction: f64) {
    dispatch(MoveTowards { values, goals, fraction });
}

#[inline(never)]
fn move_f64(values: &mut [f64], goals: &[f64], fraction: f64) {
    dispatch(MoveTowards { values, goals, fraction });
}

struct MoveTowards<'a, T> {
    values: &'a mut [T],
    goals: &'a [T],
    fraction: f64,
}

impl<T: Scalar> Task for MoveTowards<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let fraction = T::of(self.fraction);
        for (value, &goal) in self.values.iter_mut().zip(self.goals) {
            *value += fraction * (goal - *value);
        }
    }
}

/// Scales the gradients of all `slices` together so that their Euclidean norm is at most `max_norm`, as
/// `torch.nn.utils.clip_grad_norm_`, and returns the norm before.
pub fn clip_gradient_norm<T: Scalar>(slices: &mut [ParametersMut<'_, T>], max_norm: f64) -> f64 {
    let squares = slices.iter().map(|slice| match T::PRECISION {
        Precision::Float32 => squares_f32(cast_slice(slice.gradients)),
        Precision::Float64 => squares_f64(cast_slice(slice.gradients)),
    });
    let norm = squares.sum::<f64>().sqrt();
    let factor = max_norm / (norm + 1e-6);
    if factor < 1.0 {
        let factor = T::of(factor);
        for slice in slices {
            for gradient in slice.gradients.iter_mut() {
                *gradient *= factor;
            }
        }
    }
    norm
}

#[inline(never)]
fn squares_f32(values: &[f32]) -> f64 {
    dispatch(SumOfSquares(values))
}

#[inline(never)]
fn squares_f64(values: &[f64]) -> f64 {
    dispatch(SumOfSquares(values))
}

struct SumOfSquares<'a, T>(&'a [T]);

impl<T: Scalar> Task for SumOfSquares<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<I: Isa>(self) -> f64 {
        sum_by(self.0, self.0, |g, h| g * h).as_f64()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tch::{Device, Kind, Tensor, nn};

    use super::*;
    use crate::random::normal;
    use rushes_rng::{Purpose, stream};

    /// Minimises the same bumpy function with tch's optimiser and ours and compares every step.
    fn compare(config: OptimiserConfig, theirs: impl nn::OptimizerConfig, steps: usize) {
        let n = 37;
        let mut rng = stream(3, Purpose::Initialisation, 0);
        let start: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
        let mut store = nn::VarStore::new(Device::Cpu);
        store.set_kind(Kind::Double);
        let variable = store.root().var_copy("x", &Tensor::from_slice(&start));
        let mut theirs = theirs.build(&store, 0.01).expect("a valid optimiser");
        let mut ours = Optimiser::<f64>::new(config, n);
        let mut values = start;
        for step in 0..steps {
            let loss = (variable.cos() * 3.0 + variable.square()).sum(Kind::Double);
            theirs.backward_step(&loss);
            let mut gradients: Vec<f64> = values.iter().map(|x| -3.0 * x.sin() + 2.0 * x).collect();
            let (left, right) = values.split_at_mut(10);
            let (grad_left, grad_right) = gradients.split_at_mut(10);
            ours.step(
                0.01,
                &mut [
                    ParametersMut { values: left, gradients: grad_left },
                    ParametersMut { values: right, gradients: grad_right },
                ],
            );
            let expected = Vec::<f64>::try_from(&variable).expect("a vector of doubles");
            for (ours, theirs) in values.iter().zip(expected) {
                assert!((ours - theirs).abs() < 1e-12, "{config:?} step {step}: {ours}, {theirs}");
            }
        }
    }

    #[test]
    fn adam_steps_as_libtorch_does() {
        compare(OptimiserConfig::ADAM, nn::Adam::default(), 50);
        let config =
            OptimiserConfig::Adam { beta1: 0.8, beta2: 0.95, epsilon: 1e-5, weight_decay: 0.1 };
        compare(config, nn::adam(0.8, 0.95, 0.1).eps(1e-5), 50);
    }

    /// tests/goldens/pqn/record.py has its settings.
    #[test]
    fn radam_steps_as_pytorch_does() {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/pqn/radam.safetensors");
        let recorded = Tensors::load(&file).expect("recorded tensors");
        let configs = [
            ("default", OptimiserConfig::RADAM),
            (
                "other",
                OptimiserConfig::RAdam {
                    beta1: 0.8,
                    beta2: 0.95,
                    epsilon: 1e-5,
                    weight_decay: 0.1,
                },
            ),
        ];
        for (name, config) in configs {
            let [steps, n] = *recorded.shape(name).expect("recorded") else { panic!("a matrix") };
            let rows = recorded.get::<f64>(name, &[steps, n]).expect("recorded");
            let mut rows = rows.chunks_exact(n);
            let mut values = rows.next().expect("the start").to_vec();
            let mut ours = Optimiser::<f64>::new(config, n);
            for (step, expected) in rows.enumerate() {
                let mut gradients: Vec<f64> =
                    values.iter().map(|x| -3.0 * x.sin() + 2.0 * x).collect();
                let gradients = &mut gradients[..];
                ours.step(0.01, &mut [ParametersMut { values: &mut values, gradients }]);
                for (ours, theirs) in values.iter().zip(expected) {
                    assert!((ours - theirs).abs() < 1e-12, "{name} {step}: {ours}, {theirs}");
                }
            }
        }
    }

    #[test]
    fn rmsprop_steps_as_libtorch_does() {
        for (momentum, weight_decay) in [(0.0, 0.0), (0.9, 0.1)] {
            let config = OptimiserConfig::RmsProp {
                alpha: 0.99,
                epsilon: 1e-5,
                weight_decay,
                momentum,
                tf_like: false,
            };
            compare(config, nn::rms_prop(0.99, 1e-5, weight_decay, momentum, false), 50);
        }
    }

    #[test]
    fn tf_like_rmsprop_begins_at_one_and_adds_epsilon_inside() {
        let config = OptimiserConfig::RmsProp {
            alpha: 0.9,
            epsilon: 0.01,
            weight_decay: 0.0,
            momentum: 0.0,
            tf_like: true,
        };
        let mut optimiser = Optimiser::<f64>::new(config, 1);
        let mut value = [1.0];
        optimiser.step(0.1, &mut [ParametersMut { values: &mut value, gradients: &mut [2.0] }]);
        // 0.9 · 1 + 0.1 · 4 = 1.3
        assert!((value[0] - (1.0 - 0.1 * 2.0 / 1.31_f64.sqrt())).abs() < 1e-15);
    }

    #[test]
    fn sgd_steps_as_libtorch_does() {
        for (momentum, weight_decay, nesterov) in
            [(0.0, 0.0, false), (0.0, 0.1, false), (0.9, 0.1, false), (0.9, 0.0, true)]
        {
            let config = OptimiserConfig::Sgd { momentum, weight_decay, nesterov };
            compare(config, nn::sgd(momentum, 0.0, weight_decay, nesterov), 50);
        }
    }

    #[test]
    fn a_restored_optimiser_goes_on_exactly() {
        let configs = [
            OptimiserConfig::ADAM,
            OptimiserConfig::RmsProp {
                alpha: 0.99,
                epsilon: 1e-5,
                weight_decay: 0.0,
                momentum: 0.9,
                tf_like: true,
            },
            OptimiserConfig::Sgd { momentum: 0.9, weight_decay: 0.0, nesterov: false },
            OptimiserConfig::RADAM,
        ];
        for config in configs {
            let mut optimiser = Optimiser::<f32>::new(config, 5);
            let mut values = [0.5_f32; 5];
            let step = |optimiser: &mut Optimiser<f32>, values: &mut [f32]| {
                let mut gradients = [0.1, -0.2, 0.3, 1e-4, 7.0];
                let gradients = &mut gradients[..];
                optimiser.step(0.01, &mut [ParametersMut { values, gradients }]);
            };
            step(&mut optimiser, &mut values);
            let mut tensors = Tensors::default();
            optimiser.save("optimiser.", &mut tensors);
            let mut restored = Optimiser::<f32>::new(config, 5);
            restored.load("optimiser.", &tensors).expect("what was just saved");
            assert_eq!(restored, optimiser);
            let mut again = values;
            step(&mut optimiser, &mut values);
            step(&mut restored, &mut again);
            assert_eq!(values, again);
            assert!(Optimiser::<f32>::new(config, 6).load("optimiser.", &tensors).is_err());
        }
    }

    #[test]
    fn clipping_scales_all_slices_by_their_common_norm() {
        let mut first = [3.0_f32, 0.0];
        let mut second = [0.0_f32, 4.0, 0.0];
        let mut none: [f32; 3] = [0.0; 3];
        let mut slices = |first: &mut [f32], second: &mut [f32], max: f64| {
            let (left, right) = none.split_at_mut(2);
            let mut slices = [
                ParametersMut { values: left, gradients: first },
                ParametersMut { values: &mut right[..], gradients: second },
            ];
            clip_gradient_norm(&mut slices, max)
        };
        assert_eq!(slices(&mut first, &mut second, 10.0), 5.0);
        assert_eq!(first[0], 3.0);
        assert_eq!(slices(&mut first, &mut second, 0.5), 5.0);
        let norm = first.iter().chain(&second).map(|g| g * g).sum::<f32>().sqrt();
        assert!((norm - 0.5).abs() < 1e-6, "{norm}");
    }
}

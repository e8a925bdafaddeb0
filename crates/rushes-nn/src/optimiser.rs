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

/// Does a [`Task`] of numbers `$T` as this package is compiled, for speed: generic code is compiled with whoever calls it, perhaps
/// for size. The fields' values are written so that they are of `f32` as well as of `f64`, which `$T` is one of.
macro_rules! run_here {
    ($T:ty, $task:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        #[inline(never)]
        fn single(task: $task<'_, f32>) -> <$task<'_, f32> as Task>::Output {
            dispatch(task)
        }

        #[inline(never)]
        fn double(task: $task<'_, f64>) -> <$task<'_, f64> as Task>::Output {
            dispatch(task)
        }

        match <$T>::PRECISION {
            Precision::Float32 => single($task { $($field: $value),* }),
            Precision::Float64 => double($task { $($field: $value),* }),
        }
    }};
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
        // A thread that has made a slice's gradients steps over it where it can.
        let alone = slices.len() == 1;
        let chunks = slices.iter_mut().flat_map(|ParametersMut { values, gradients }| {
            let all = values.len();
            let share = if alone { threads::share(all, PER_NUMBER * all) } else { all.max(1) };
            values.chunks_mut(share).zip(gradients.chunks(share))
        });
        let chunks: Vec<_> = chunks.collect();
        let lens: Vec<_> = chunks.iter().map(|(values, _)| values.len()).collect();
        let parts = self.parts(learning_rate, lens);
        threads::each(parts.zip(chunks), |(part, (values, gradients))| {
            part.step(values, gradients)
        });
    }

    /// One step in parts, each over so many parameters: whoever has made the gradients of one takes it then and there. All of
    /// them must be taken.
    pub fn parts(
        &mut self,
        learning_rate: f64,
        lens: impl IntoIterator<Item = usize>,
    ) -> impl Iterator<Item = StepPart<'_, T>> {
        self.steps += 1;
        let (config, steps) = (self.config, self.steps);
        let [mut first, mut second] = self.buffers.each_mut().map(|buffer| &mut buffer[..]);
        lens.into_iter().map(move |len| StepPart {
            config,
            steps,
            learning_rate,
            // A buffer that is not used is empty.
            first: first.split_off_mut(..len).unwrap_or_default(),
            second: second.split_off_mut(..len).unwrap_or_default(),
        })
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

/// A part of a step of [`Optimiser::parts`].
pub struct StepPart<'a, T> {
    config: OptimiserConfig,
    steps: u64,
    learning_rate: f64,
    first: &'a mut [T],
    second: &'a mut [T],
}

impl<T: Scalar> StepPart<'_, T> {
    /// Moves its parameters against their gradients.
    pub fn step(self, values: &mut [T], gradients: &[T]) {
        let Self { config, steps, learning_rate, first, second } = self;
        run_here!(
            T,
            Step {
                config: config,
                steps: steps,
                learning_rate: learning_rate,
                values: cast_slice_mut(values),
                gradients: cast_slice(gradients),
                first: cast_slice_mut(first),
                second: cast_slice_mut(second),
            }
        );
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

/// What Adam and rectified Adam have in common: running means of the gradients and of their squares.
struct Means {
    beta1: f64,
    beta2: f64,
    weight_decay: f64,
    /// One minus what is left in either mean of the zeros that it began with.
    bias1: f64,
    bias2: f64,
}

impl Means {
    fn after(steps: u64, beta1: f64, beta2: f64, weight_decay: f64) -> Self {
        let bias = |beta: f64| 1.0 - beta.powf(steps as f64);
        Self { beta1, beta2, weight_decay, bias1: bias(beta1), bias2: bias(beta2) }
    }

    /// Takes `step`'s gradients into its means and moves its parameters by what `scaled` makes of a step of the mean gradient,
    /// given the mean square.
    #[inline(always)]
    fn step<T: Scalar>(&self, step: Step<'_, T>, scaled: impl Fn(T, T) -> T) {
        let step_size = T::of(step.learning_rate / self.bias1);
        let (keep1, add1) = (T::of(self.beta1), T::of(1.0 - self.beta1));
        let (keep2, add2) = (T::of(self.beta2), T::of(1.0 - self.beta2));
        let decay = T::of(self.weight_decay);
        let running = step.first.iter_mut().zip(step.second);
        for ((p, &g), (m, v)) in step.values.iter_mut().zip(step.gradients).zip(running) {
            let g = g + decay * *p;
            *m = *m * keep1 + g * add1;
            *v = *v * keep2 + g * g * add2;
            *p -= scaled(step_size * *m, *v);
        }
    }
}

impl<T: Scalar> Task for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        match self.config {
            OptimiserConfig::Adam { beta1, beta2, epsilon, weight_decay } => {
                let means = Means::after(self.steps, beta1, beta2, weight_decay);
                let (root, epsilon) = (T::of(1.0 / means.bias2.sqrt()), T::of(epsilon));
                means.step(self, |step, v| step / (v.sqrt() * root + epsilon));
            }
            OptimiserConfig::RAdam { beta1, beta2, epsilon, weight_decay } => {
                let means = Means::after(self.steps, beta1, beta2, weight_decay);
                let bias2 = means.bias2;
                // The length of the running mean of squares, as the paper approximates it: at most, and now.
                let longest = 2.0 / (1.0 - beta2) - 1.0;
                let length = longest - 2.0 * self.steps as f64 * (1.0 - bias2) / bias2;
                // Too short a mean tells nothing of the variance: a step of gradient descent with momentum.
                if length > 5.0 {
                    let factor = (length - 4.0) * (length - 2.0) * longest * bias2
                        / ((longest - 4.0) * (longest - 2.0) * length);
                    let (factor, epsilon) = (T::of(factor.sqrt()), T::of(epsilon));
                    means.step(self, |step, v| step * (factor / (v.sqrt() + epsilon)));
                } else {
                    means.step(self, |step, _| step);
                }
            }
            OptimiserConfig::RmsProp { alpha, epsilon, weight_decay, momentum, tf_like } => {
                let Self { values, gradients, first, second, .. } = self;
                let rate = T::of(self.learning_rate);
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
                let Self { values, gradients, first, .. } = self;
                let rate = T::of(self.learning_rate);
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
    threads::each(parts, |(values, goals)| {
        run_here!(
            T,
            MoveTowards {
                values: cast_slice_mut(values),
                goals: cast_slice(goals),
                fraction: fraction,
            }
        );
    });
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
    let squares = slices
        .iter()
        .map(|slice| run_here!(T, SumOfSquares { values: cast_slice(slice.gradients) }));
    let norm = squares.sum::<f64>().sqrt();
    let factor = max_norm / (norm + 1e-6);
    if factor < 1.0 {
        for slice in slices {
            run_here!(T, Scale { values: cast_slice_mut(slice.gradients), factor: factor });
        }
    }
    norm
}

struct SumOfSquares<'a, T> {
    values: &'a [T],
}

impl<T: Scalar> Task for SumOfSquares<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<I: Isa>(self) -> f64 {
        sum_by(self.values, self.values, |g, h| g * h).as_f64()
    }
}

struct Scale<'a, T> {
    values: &'a mut [T],
    factor: f64,
}

impl<T: Scalar> Task for Scale<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let factor = T::of(self.factor);
        for value in self.values {
            *value *= factor;
        }
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

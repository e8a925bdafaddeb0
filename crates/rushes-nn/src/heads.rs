//! Heads: how a policy network's outputs become a distribution over actions, with the gradients of its
//! log-probability and entropy at those outputs.
//!
//! Everything here is for one row, that is one observation. Actions travel as `f32` buffers, as everywhere:
//! a discrete action is its index, or one for each of its parts. NaN outputs give NaN log-probabilities and an arbitrary action; whoever
//! acts checks the outputs first.

use serde::Serialize;

use super::random::{normal, uniform};
use super::scalar::Scalar;
use rushes_rng::Rng;

/// A distribution over actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Head {
    /// Whole numbers side by side, independent of each other given the outputs: a softmax over some logits for each.
    /// Their log-probabilities and entropies add up.
    Categorical {
        /// How many values each number has, and outputs in its order: one for a `Discrete` space, several for a
        /// `MultiDiscrete` one.
        nvec: Vec<usize>,
    },
    /// One logit `z` for two actions: `sigmoid(z)` is the probability of action **0** (push left, in the
    /// cart-pole of Géron's notebook, whose single sigmoid unit means the same), `1 - sigmoid(z)` that of
    /// action 1.
    Bernoulli,
    /// Independent normal distributions: the outputs are the means, and the logarithms of the standard
    /// deviations are parameters of their own, the same in every state.
    Gaussian {
        /// Numbers in an action, and outputs.
        dimensions: usize,
    },
}

/// What a loss needs of one action.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation<T> {
    /// Logarithm of the action's probability (density, for a Gaussian).
    pub log_prob: T,
    /// Entropy of the distribution, in nats.
    pub entropy: T,
}

/// A loss's derivatives with respect to one [`Evaluation`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvaluationGradient<T> {
    /// With respect to the log-probability.
    pub log_prob: T,
    /// With respect to the entropy.
    pub entropy: T,
}

/// `ln(2π) / 2`.
pub(super) const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;

impl Head {
    /// Softmax over the logits of so many actions.
    pub fn categorical(actions: usize) -> Self {
        Head::Categorical { nvec: vec![actions] }
    }

    /// How many outputs the network must have.
    pub fn outputs(&self) -> usize {
        match self {
            Head::Categorical { nvec } => nvec.iter().sum(),
            Head::Bernoulli => 1,
            Head::Gaussian { dimensions } => *dimensions,
        }
    }

    /// How many log standard deviations there are beside the network.
    pub fn log_std_len(&self) -> usize {
        match self {
            Head::Categorical { .. } | Head::Bernoulli => 0,
            Head::Gaussian { dimensions } => *dimensions,
        }
    }

    /// How many numbers an action has.
    pub fn action_len(&self) -> usize {
        match self {
            Head::Categorical { nvec } => nvec.len(),
            Head::Bernoulli => 1,
            Head::Gaussian { dimensions } => *dimensions,
        }
    }

    /// Makes the probabilities of invalid actions zero, as sb3-contrib's `MaskableCategorical` does (Huang & Ontañón,
    /// "A closer look at invalid action masking in policy gradient algorithms", 2022): their logits become -10⁸, which
    /// takes them out of entropy and gradients too. `mask` has a flag for each value of an action, of each part one after
    /// another, and allows at least one value of each; a Gaussian has no mask.
    ///
    /// # Panics
    /// Panics if `mask` has another length.
    pub fn mask<T: Scalar>(&self, outputs: &mut [T], mask: &[bool]) {
        const INVALID: f64 = -1e8;
        match self {
            Head::Categorical { nvec } => {
                assert_eq!(mask.len(), nvec.iter().sum::<usize>(), "a flag for each value");
                for (logit, _) in outputs.iter_mut().zip(mask).filter(|(_, valid)| !**valid) {
                    *logit = T::of(INVALID);
                }
            }
            Head::Bernoulli => match mask {
                [true, true] => {}
                [zero, _] => outputs[0] = T::of(if *zero { -INVALID } else { INVALID }),
                _ => panic!("expected a flag for each of two actions"),
            },
            Head::Gaussian { .. } => panic!("continuous actions have no mask"),
        }
    }

    /// Draws an action. Discrete draws take one uniform number a part and the inverse of the cumulative
    /// distribution. A Gaussian's action may lie outside the action space; the caller clips it for the
    /// environment.
    pub fn draw<T: Scalar>(&self, outputs: &[T], log_std: &[T], rng: &mut Rng, action: &mut [f32]) {
        match self {
            Head::Categorical { nvec } => {
                for (action, logits) in action.iter_mut().zip(parts(nvec, outputs)) {
                    *action = sample(logits, uniform(rng)) as f32;
                }
            }
            Head::Bernoulli => {
                let zero = uniform(rng) < sigmoid(outputs[0]).as_f64();
                action[0] = if zero { 0.0 } else { 1.0 };
            }
            Head::Gaussian { .. } => {
                for ((action, &mean), &log_std) in action.iter_mut().zip(outputs).zip(log_std) {
                    *action = (mean + log_std.exp() * T::of(normal(rng))).as_f32();
                }
            }
        }
    }

    /// Writes the most probable action (of each part the first of several), or the mean.
    pub fn most_probable<T: Scalar>(&self, outputs: &[T], action: &mut [f32]) {
        match self {
            Head::Categorical { nvec } => {
                for (action, logits) in action.iter_mut().zip(parts(nvec, outputs)) {
                    *action = argmax(logits) as f32;
                }
            }
            Head::Bernoulli => action[0] = if outputs[0] >= T::zero() { 0.0 } else { 1.0 },
            Head::Gaussian { .. } => {
                for (action, &mean) in action.iter_mut().zip(outputs) {
                    *action = mean.as_f32();
                }
            }
        }
    }

    /// The probability of each value of a discrete action, of each part one after another; nothing for a Gaussian.
    pub fn probabilities<T: Scalar>(&self, outputs: &[T]) -> Vec<f64> {
        match self {
            Head::Categorical { nvec } => {
                let mut probabilities = vec![T::zero(); outputs.len()];
                let mut rest = &mut probabilities[..];
                for logits in parts(nvec, outputs) {
                    let (part, others) = rest.split_at_mut(logits.len());
                    softmax(logits, part);
                    rest = others;
                }
                probabilities.into_iter().map(T::as_f64).collect()
            }
            Head::Bernoulli => {
                let zero = sigmoid(outputs[0]).as_f64();
                vec![zero, 1.0 - zero]
            }
            Head::Gaussian { .. } => Vec::new(),
        }
    }

    /// Log-probability of `action` and entropy.
    #[inline]
    pub fn evaluate<T: Scalar>(
        &self,
        outputs: &[T],
        log_std: &[T],
        action: &[f32],
    ) -> Evaluation<T> {
        match self {
            Head::Categorical { nvec } => {
                let mut sum = Evaluation { log_prob: T::zero(), entropy: T::zero() };
                for (&action, logits) in action.iter().zip(parts(nvec, outputs)) {
                    let normaliser = log_sum_exp(logits);
                    sum.log_prob += logits[action as usize] - normaliser;
                    sum.entropy -= logits
                        .iter()
                        .map(|&z| {
                            let log_prob = z - normaliser;
                            log_prob.exp() * log_prob
                        })
                        .sum::<T>();
                }
                sum
            }
            Head::Bernoulli => {
                let z = outputs[0];
                // ln sigmoid(z) = -softplus(-z), and ln(1 - sigmoid(z)) = -softplus(z).
                let (zero, one) = (-softplus(-z), -softplus(z));
                let p = sigmoid(z);
                Evaluation {
                    log_prob: if action[0] == 0.0 { zero } else { one },
                    entropy: -(p * zero + (T::one() - p) * one),
                }
            }
            Head::Gaussian { .. } => {
                let constant = T::of(HALF_LN_TAU);
                let half = T::of(0.5);
                let mut sum = Evaluation { log_prob: T::zero(), entropy: T::zero() };
                for ((&action, &mean), &log_std) in action.iter().zip(outputs).zip(log_std) {
                    let distance = (T::of_f32(action) - mean) * (-log_std).exp();
                    sum.log_prob += -half * distance * distance - log_std - constant;
                    sum.entropy += half + constant + log_std;
                }
                sum
            }
        }
    }

    /// Evaluates `action` and goes the way back: `loss` is told log-probability and entropy and answers
    /// with its derivatives with respect to them. Its gradient at the outputs overwrites `grad_outputs`; that
    /// at the log standard deviations is added to `grad_log_std` (they are shared by all rows).
    #[inline]
    pub fn differentiate<T: Scalar>(
        &self,
        outputs: &[T],
        log_std: &[T],
        action: &[f32],
        grad_outputs: &mut [T],
        grad_log_std: &mut [T],
        loss: impl FnOnce(Evaluation<T>) -> EvaluationGradient<T>,
    ) {
        match self {
            Head::Categorical { nvec } => {
                let mut sum = Evaluation { log_prob: T::zero(), entropy: T::zero() };
                let mut last = (T::zero(), T::zero());
                let mut rest = &mut grad_outputs[..];
                for (&action, logits) in action.iter().zip(parts(nvec, outputs)) {
                    let (probabilities, others) = rest.split_at_mut(logits.len());
                    rest = others;
                    let normaliser = softmax(logits, probabilities);
                    last = (normaliser, entropy(logits, probabilities, normaliser));
                    sum.log_prob += logits[action as usize] - normaliser;
                    sum.entropy += last.1;
                }
                let gradient = loss(sum);
                // d ln π(a) / dz = [a] - p, and dH / dz = -p (ln p + H), part by part.
                let mut rest = grad_outputs;
                for (&action, logits) in action.iter().zip(parts(nvec, outputs)) {
                    let (grads, others) = rest.split_at_mut(logits.len());
                    rest = others;
                    // Formed anew where there are several parts, instead of kept for each.
                    let (normaliser, entropy) = if nvec.len() == 1 {
                        last
                    } else {
                        let normaliser = log_sum_exp(logits);
                        (normaliser, entropy(logits, grads, normaliser))
                    };
                    for (grad, &z) in grads.iter_mut().zip(logits) {
                        let by_entropy = gradient.entropy * (z - normaliser + entropy);
                        *grad = -*grad * (gradient.log_prob + by_entropy);
                    }
                    grads[action as usize] += gradient.log_prob;
                }
            }
            Head::Bernoulli => {
                let gradient = loss(self.evaluate(outputs, log_std, action));
                let z = outputs[0];
                let p = sigmoid(z);
                let by_log_prob = if action[0] == 0.0 { T::one() - p } else { -p };
                // dH/dp = ln((1 - p) / p) = -z
                let by_entropy = -z * p * (T::one() - p);
                grad_outputs[0] = gradient.log_prob * by_log_prob + gradient.entropy * by_entropy;
            }
            Head::Gaussian { dimensions } => {
                let gradient = loss(self.evaluate(outputs, log_std, action));
                for i in 0..*dimensions {
                    let precision = (-log_std[i]).exp();
                    let distance = (T::of_f32(action[i]) - outputs[i]) * precision;
                    grad_outputs[i] = gradient.log_prob * distance * precision;
                    grad_log_std[i] +=
                        gradient.log_prob * (distance * distance - T::one()) + gradient.entropy;
                }
            }
        }
    }
}

/// Independent normal distributions whose draws `tanh` squashes into (-1, 1): SAC's actor (Haarnoja et al.
/// 2018). The outputs are the means, then the logarithms of the standard deviations.
///
/// Draws are differentiated through, with their standard normal noise held fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SquashedGaussian {
    /// Numbers in an action; there are twice as many outputs.
    pub dimensions: usize,
}

impl SquashedGaussian {
    /// Logarithms of standard deviations are cut to this range, as in Stable-Baselines3.
    pub const LOG_STD: (f64, f64) = (-20.0, 2.0);
    /// Added inside the logarithm of tanh's derivative, as in Stable-Baselines3.
    const EPSILON: f64 = 1e-6;

    /// The standard deviations that the second half of the outputs means.
    pub fn deviations<T: Scalar>(log_stds: &[T]) -> impl Iterator<Item = T> {
        log_stds.iter().map(|&log_std| Self::cut(log_std).exp())
    }

    /// How many outputs the network must have.
    pub fn outputs(self) -> usize {
        2 * self.dimensions
    }

    /// Writes the action that standard normal `noise` makes of `outputs`, and returns the logarithm of its
    /// probability density. Zero noise is the greedy action.
    #[inline]
    pub fn act<T: Scalar>(self, outputs: &[T], noise: &[T], action: &mut [T]) -> T {
        let (half, constant) = (T::of(0.5), T::of(HALF_LN_TAU));
        let (means, log_stds) = outputs.split_at(self.dimensions);
        let mut log_prob = T::zero();
        for i in 0..self.dimensions {
            let log_std = Self::cut(log_stds[i]);
            action[i] = (means[i] + log_std.exp() * noise[i]).portable_tanh();
            let stretch = Self::log_stretch(action[i]);
            log_prob += -half * noise[i] * noise[i] - log_std - constant - stretch;
        }
        log_prob
    }

    /// Goes the way back from an `action` that [`SquashedGaussian::act`] wrote: a loss's gradients at the
    /// action and at its log-probability become that at the outputs, which overwrites `grad_outputs`.
    #[inline]
    pub fn differentiate<T: Scalar>(
        self,
        outputs: &[T],
        noise: &[T],
        action: &[T],
        grad_action: &[T],
        grad_log_prob: T,
        grad_outputs: &mut [T],
    ) {
        let log_stds = &outputs[self.dimensions..];
        let (grad_means, grad_log_stds) = grad_outputs.split_at_mut(self.dimensions);
        for i in 0..self.dimensions {
            grad_means[i] = Self::unsquash(action[i], grad_action[i], grad_log_prob);
            let log_std = Self::cut(log_stds[i]);
            grad_log_stds[i] = if log_std == log_stds[i] {
                grad_means[i] * log_std.exp() * noise[i] - grad_log_prob
            } else {
                T::zero()
            };
        }
    }

    fn cut<T: Scalar>(log_std: T) -> T {
        cut(log_std, Self::LOG_STD)
    }

    /// The logarithm of tanh's derivative, by its value: what squashing takes from a log-probability.
    pub(super) fn log_stretch<T: Scalar>(action: T) -> T {
        (T::one() - action * action + T::of(Self::EPSILON)).ln()
    }

    /// The gradient at what was squashed to `action`, of a loss with these at the action and at its log-probability.
    pub(super) fn unsquash<T: Scalar>(action: T, grad_action: T, grad_log_prob: T) -> T {
        let slope = T::one() - action * action;
        // d/du -ln(1 - tanh(u)² + ε)
        let by_log_prob = T::of(2.0) * action * slope / (slope + T::of(Self::EPSILON));
        grad_action * slope + grad_log_prob * by_log_prob
    }
}

/// `value` within bounds. Not by `max` and `min`, which would turn NaN into a bound and hide a diverged network.
pub(super) fn cut<T: Scalar>(value: T, (low, high): (f64, f64)) -> T {
    let (low, high) = (T::of(low), T::of(high));
    if value < low {
        low
    } else if value > high {
        high
    } else {
        value
    }
}

/// The index of the greatest value, the first of several.
pub fn argmax<T: Scalar>(values: &[T]) -> usize {
    let mut best = 0;
    for (i, &value) in values.iter().enumerate() {
        if value > values[best] {
            best = i;
        }
    }
    best
}

/// [`argmax`] of the values whose flag in `mask` is set; 0 where none is.
pub fn masked_argmax<T: Scalar>(values: &[T], mask: &[bool]) -> usize {
    let mut valid = (0..values.len()).filter(|&i| mask[i]);
    let first = valid.next().unwrap_or(0);
    valid.fold(first, |best, i| if values[i] > values[best] { i } else { best })
}

/// The action whose share of the cumulative softmax holds `u`, a number in [0, 1).
fn sample<T: Scalar>(logits: &[T], u: f64) -> usize {
    let normaliser = log_sum_exp(logits);
    let mut cumulative = 0.0;
    for (action, &z) in logits.iter().enumerate() {
        cumulative += (z - normaliser).exp().as_f64();
        if u < cumulative {
            return action;
        }
    }
    // Rounding can leave the sum a hair below one.
    let possible = |&z: &T| (z - normaliser).exp() > T::zero();
    logits.iter().rposition(possible).unwrap_or(logits.len() - 1)
}

/// The logits of each part in turn.
fn parts<'a, T>(nvec: &'a [usize], mut logits: &'a [T]) -> impl Iterator<Item = &'a [T]> {
    nvec.iter().map(move |&n| {
        let (part, rest) = logits.split_at(n);
        logits = rest;
        part
    })
}

/// Writes the probabilities of `logits` and returns [`log_sum_exp`] of them.
#[inline]
fn softmax<T: Scalar>(logits: &[T], probabilities: &mut [T]) -> T {
    let greatest = logits.iter().copied().fold(T::neg_infinity(), T::max);
    let mut sum = T::zero();
    for (p, &z) in probabilities.iter_mut().zip(logits) {
        *p = (z - greatest).exp();
        sum += *p;
    }
    probabilities.iter_mut().for_each(|p| *p /= sum);
    greatest + sum.ln()
}

/// Entropy of these probabilities, given the logits that they are of and [`log_sum_exp`] of them.
#[inline]
fn entropy<T: Scalar>(logits: &[T], probabilities: &[T], normaliser: T) -> T {
    let mut entropy = T::zero();
    for (&p, &z) in probabilities.iter().zip(logits) {
        entropy -= p * (z - normaliser);
    }
    entropy
}

#[inline]
fn log_sum_exp<T: Scalar>(logits: &[T]) -> T {
    let greatest = logits.iter().copied().fold(T::neg_infinity(), T::max);
    greatest + logits.iter().map(|&z| (z - greatest).exp()).sum::<T>().ln()
}

fn sigmoid<T: Scalar>(z: T) -> T {
    T::one() / (T::one() + (-z).exp())
}

/// `ln(1 + exp(z))` without overflow.
fn softplus<T: Scalar>(z: T) -> T {
    z.max(T::zero()) + (-z.abs()).exp().portable_ln_1p()
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;
    use rushes_rng::{Purpose, stream};

    /// A head with outputs, log standard deviations and an action to try.
    type Case = (Head, Vec<f64>, Vec<f64>, Vec<f32>);

    fn cases() -> Vec<Case> {
        let mut cases = Vec::new();
        for action in 0..3 {
            let logits = vec![0.3, -1.2, 2.0];
            let head = Head::categorical(3);
            cases.push((head.clone(), logits.clone(), vec![], vec![action as f32]));
            let extreme = logits.iter().map(|z| 40.0 * z).collect();
            cases.push((head, extreme, vec![], vec![action as f32]));
            let head = Head::Categorical { nvec: vec![3, 1, 2] };
            let logits = vec![0.3, -1.2, 2.0, 0.7, -0.4, 30.0];
            cases.push((head, logits, vec![], vec![action as f32, 0.0, (action % 2) as f32]));
        }
        for action in [0.0, 1.0] {
            for z in [-30.0, -0.7, 0.0, 1.3, 25.0] {
                cases.push((Head::Bernoulli, vec![z], vec![], vec![action]));
            }
        }
        let head = Head::Gaussian { dimensions: 2 };
        cases.push((head, vec![0.1, -0.4], vec![-0.5, 0.8], vec![0.75, -2.5]));
        cases
    }

    /// Log-probability and entropy by libtorch's operations.
    fn reference(head: &Head, outputs: &Tensor, log_std: &Tensor, action: &[f32]) -> [Tensor; 2] {
        match head {
            Head::Categorical { nvec } => {
                let sizes: Vec<i64> = nvec.iter().map(|&n| n as i64).collect();
                let mut sums = [Tensor::from(0.0), Tensor::from(0.0)];
                for (part, &action) in outputs.split_with_sizes(sizes, 0).iter().zip(action) {
                    let log_probs = part.log_softmax(0, Kind::Double);
                    sums[0] = &sums[0] + log_probs.get(action as i64);
                    sums[1] = &sums[1] - (log_probs.exp() * &log_probs).sum(Kind::Double);
                }
                sums
            }
            Head::Bernoulli => {
                let zero = outputs.log_sigmoid();
                let one = (-outputs).log_sigmoid();
                let entropy = -(zero.exp() * &zero + one.exp() * &one);
                let log_prob = if action[0] == 0.0 { zero } else { one };
                [log_prob.sum(Kind::Double), entropy.sum(Kind::Double)]
            }
            Head::Gaussian { .. } => {
                let action = Tensor::from_slice(action).to_kind(Kind::Double);
                let distance = (action - outputs) / log_std.exp();
                let log_prob = distance.square() * -0.5 - log_std - HALF_LN_TAU;
                let entropy = log_std + (0.5 + HALF_LN_TAU);
                [log_prob.sum(Kind::Double), entropy.sum(Kind::Double)]
            }
        }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-12 * (1.0 + b.abs())
    }

    fn values(tensor: &Tensor) -> Vec<f64> {
        Vec::try_from(tensor).expect("a vector of doubles")
    }

    #[test]
    fn values_and_gradients_equal_autograd() {
        for (head, outputs, log_std, action) in cases() {
            let leaf = |x: &[f64]| Tensor::from_slice(x).set_requires_grad(true);
            let (z, s) = (leaf(&outputs), leaf(&log_std));
            let [log_prob, entropy] = reference(&head, &z, &s, &action);
            let evaluated = head.evaluate(&outputs, &log_std, &action);
            assert!(close(evaluated.log_prob, log_prob.double_value(&[])), "{head:?} {outputs:?}");
            assert!(close(evaluated.entropy, entropy.double_value(&[])), "{head:?} {outputs:?}");

            let gradient = EvaluationGradient { log_prob: 1.7, entropy: -0.3 };
            let loss = log_prob * gradient.log_prob + entropy * gradient.entropy;
            loss.backward();
            let mut grad_outputs = vec![f64::NAN; outputs.len()];
            let mut grad_log_std = vec![0.0; log_std.len()];
            head.differentiate(
                &outputs,
                &log_std,
                &action,
                &mut grad_outputs,
                &mut grad_log_std,
                |told| {
                    assert!(close(told.log_prob, evaluated.log_prob));
                    assert!(close(told.entropy, evaluated.entropy));
                    gradient
                },
            );
            let expected = values(&z.grad());
            for (found, expected) in grad_outputs.iter().zip(&expected) {
                assert!(close(*found, *expected), "{head:?} {outputs:?}: {found}, {expected}");
            }
            if !log_std.is_empty() {
                for (found, expected) in grad_log_std.iter().zip(values(&s.grad())) {
                    assert!(close(*found, expected), "{head:?}: {found}, {expected}");
                }
            }
        }
    }

    #[test]
    fn gradients_equal_finite_differences() {
        let gradient = EvaluationGradient { log_prob: 1.7, entropy: -0.3 };
        for (head, outputs, log_std, action) in cases() {
            let loss = |z: &[f64], s: &[f64]| {
                let found = head.evaluate(z, s, &action);
                gradient.log_prob * found.log_prob + gradient.entropy * found.entropy
            };
            let evaluated = head.evaluate(&outputs, &log_std, &action);
            let mut grad_outputs = vec![0.0; outputs.len()];
            let mut grad_log_std = vec![0.0; log_std.len()];
            head.differentiate(
                &outputs,
                &log_std,
                &action,
                &mut grad_outputs,
                &mut grad_log_std,
                |told| {
                    assert!(close(told.log_prob, evaluated.log_prob));
                    assert!(close(told.entropy, evaluated.entropy));
                    gradient
                },
            );
            let step = 1e-5;
            for i in 0..outputs.len() {
                let (mut above, mut below) = (outputs.clone(), outputs.clone());
                above[i] += step;
                below[i] -= step;
                let slope = (loss(&above, &log_std) - loss(&below, &log_std)) / (2.0 * step);
                assert!((slope - grad_outputs[i]).abs() < 1e-8 * (1.0 + slope.abs()), "{head:?}");
            }
            for i in 0..log_std.len() {
                let (mut above, mut below) = (log_std.clone(), log_std.clone());
                above[i] += step;
                below[i] -= step;
                let slope = (loss(&outputs, &above) - loss(&outputs, &below)) / (2.0 * step);
                assert!((slope - grad_log_std[i]).abs() < 1e-8 * (1.0 + slope.abs()), "{head:?}");
            }
        }
    }

    /// Outputs and noise of a squashed Gaussian of two dimensions: ordinary, beyond both bounds of the log
    /// standard deviation, and saturated.
    const SQUASHED: [([f64; 4], [f64; 2]); 3] = [
        ([0.3, -0.8, -0.5, 0.4], [0.7, -1.3]),
        ([0.1, 0.2, 3.0, -25.0], [0.02, 1.0]),
        ([4.0, -6.0, 0.5, -1.0], [0.4, 0.1]),
    ];

    #[test]
    fn a_squashed_draw_and_its_gradient_equal_autograd_and_finite_differences() {
        let head = SquashedGaussian { dimensions: 2 };
        let (grad_action, grad_log_prob) = ([0.9, -1.4], 0.6);
        let run = |outputs: &[f64], noise: &[f64]| {
            let mut action = [f64::NAN; 2];
            let log_prob = head.act(outputs, noise, &mut action);
            (action, log_prob)
        };
        for (outputs, noise) in SQUASHED {
            let (action, log_prob) = run(&outputs, &noise);
            let mut gradient = [f64::NAN; 4];
            head.differentiate(
                &outputs,
                &noise,
                &action,
                &grad_action,
                grad_log_prob,
                &mut gradient,
            );

            let leaf = Tensor::from_slice(&outputs).set_requires_grad(true);
            let log_std = leaf.narrow(0, 2, 2).clamp(-20.0, 2.0);
            let noise_tensor = Tensor::from_slice(&noise);
            let squashed = (leaf.narrow(0, 0, 2) + log_std.exp() * &noise_tensor).tanh();
            let density = noise_tensor.square() * -0.5 - &log_std - HALF_LN_TAU;
            let stretch: Tensor = 1.0 - squashed.square() + 1e-6;
            let expected = (density - stretch.log()).sum(Kind::Double);
            let loss = (&squashed * Tensor::from_slice(&grad_action)).sum(Kind::Double)
                + &expected * grad_log_prob;
            loss.backward();
            assert!(close(log_prob, expected.double_value(&[])), "{outputs:?}");
            for (found, expected) in action.iter().zip(values(&squashed)) {
                assert!(close(*found, expected), "{outputs:?}: {found}, {expected}");
            }
            for (found, expected) in gradient.iter().zip(values(&leaf.grad())) {
                assert!(close(*found, expected), "{outputs:?}: {found}, {expected}");
            }

            let total = |outputs: &[f64]| {
                let (action, log_prob) = run(outputs, &noise);
                action[0] * grad_action[0] + action[1] * grad_action[1] + log_prob * grad_log_prob
            };
            let step = 1e-5;
            for i in 0..outputs.len() {
                let (mut above, mut below) = (outputs, outputs);
                above[i] += step;
                below[i] -= step;
                let slope = (total(&above) - total(&below)) / (2.0 * step);
                let error = (slope - gradient[i]).abs();
                assert!(error < 1e-7 * (1.0 + slope.abs()), "{outputs:?}: {slope}, {gradient:?}");
            }
        }
    }

    /// The log-probability is that of a density: over a fine grid of actions it adds up to one.
    #[test]
    fn a_squashed_density_integrates_to_one() {
        let head = SquashedGaussian { dimensions: 1 };
        let outputs = [0.4, -0.3];
        let n = 20_000;
        let mut total = 0.0;
        for i in 0..n {
            let action = (f64::from(i) + 0.5) / f64::from(n) * 2.0 - 1.0;
            let noise = (action.atanh() - outputs[0]) / f64::exp(outputs[1]);
            let mut found = [f64::NAN];
            total += head.act(&outputs, &[noise], &mut found).exp() * 2.0 / f64::from(n);
            assert!((found[0] - action).abs() < 1e-12);
        }
        assert!((total - 1.0).abs() < 1e-3, "{total}");
    }

    #[test]
    fn a_diverged_squashed_gaussian_shows_it() {
        let head = SquashedGaussian { dimensions: 1 };
        assert!(head.act(&[0.0, f64::NAN], &[1.0], &mut [0.0]).is_nan());
        assert!(head.act(&[f64::NAN, 0.0], &[1.0], &mut [0.0]).is_nan());
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let mut rng = stream(5, Purpose::Exploration, 0);
        let n = 40_000;
        let mut shares = |head: Head, outputs: &[f32]| {
            let mut counts = [0.0; 3];
            let mut action = [0.0];
            for _ in 0..n {
                head.draw(outputs, &[], &mut rng, &mut action);
                counts[action[0] as usize] += 1.0 / f64::from(n);
            }
            counts
        };
        let close = |found: [f64; 3], expected: [f64; 3]| {
            found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.01)
        };
        let logits = [0.5_f32.ln(), 0.2_f32.ln() + 0.0, 0.3_f32.ln()];
        assert!(close(shares(Head::categorical(3), &logits), [0.5, 0.2, 0.3]));
        // sigmoid(ln 3) = 3/4 is the probability of action 0.
        assert!(close(shares(Head::Bernoulli, &[3.0_f32.ln()]), [0.75, 0.25, 0.0]));
        let head = Head::Gaussian { dimensions: 1 };
        let mut action = [0.0];
        let draws: Vec<f64> = (0..n)
            .map(|_| {
                head.draw(&[1.0_f32], &[0.5_f32.ln()], &mut rng, &mut action);
                f64::from(action[0])
            })
            .collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!((mean - 1.0).abs() < 0.01 && (variance - 0.25).abs() < 0.01, "{mean} {variance}");
    }

    /// By hand: p = (3/4, 1/4) and (1/2, 1/3, 1/6); the numbers of an action have nothing to do with each other.
    #[test]
    fn parts_are_independent_and_their_log_probabilities_and_entropies_add_up() {
        let head = Head::Categorical { nvec: vec![2, 3] };
        let outputs = [3.0_f64, 1.0, 3.0, 2.0, 1.0].map(f64::ln);
        let (first, second) = ([0.75_f64, 0.25], [0.5_f64, 1.0 / 3.0, 1.0 / 6.0]);
        let entropy: f64 = first.iter().chain(&second).map(|p| -p * p.ln()).sum();
        for (i, j) in [(0, 0), (1, 2), (0, 1)] {
            let action = [i as f32, j as f32];
            let found = head.evaluate(&outputs, &[], &action);
            assert!(close(found.log_prob, (first[i] * second[j]).ln()), "{found:?}");
            assert!(close(found.entropy, entropy), "{found:?}");
            let mut gradient = [f64::NAN; 5];
            head.differentiate(&outputs, &[], &action, &mut gradient, &mut [], |_| {
                EvaluationGradient { log_prob: 1.0, entropy: 0.0 }
            });
            let chosen = |chosen: bool| f64::from(u8::from(chosen));
            let expected = (0..2)
                .map(|k| chosen(k == i) - first[k])
                .chain((0..3).map(|k| chosen(k == j) - second[k]));
            gradient.iter().zip(expected).for_each(|(a, b)| assert!(close(*a, b), "{a}, {b}"));
        }
        let mut rng = stream(5, Purpose::Exploration, 0);
        let (n, mut both) = (40_000, 0);
        for _ in 0..n {
            let mut action = [f32::NAN; 2];
            head.draw(&outputs, &[], &mut rng, &mut action);
            both += i32::from(action == [0.0, 1.0]);
        }
        assert!((f64::from(both) / f64::from(n) - 0.25).abs() < 0.01, "{both} of {n}");
    }

    /// By hand: of the probabilities 3 : 1 : 2 the first and the last remain, and of the second part its only valid value.
    #[test]
    fn invalid_actions_have_no_probability_no_entropy_and_no_gradient() {
        let head = Head::Categorical { nvec: vec![3, 2] };
        let mut outputs = [3.0_f64.ln(), 0.0, 2.0_f64.ln(), 7.0, -7.0];
        head.mask(&mut outputs, &[true, false, true, false, true]);
        let expected = [0.6, 0.0, 0.4, 0.0, 1.0];
        head.probabilities(&outputs).iter().zip(expected).for_each(|(&p, q)| assert!(close(p, q)));
        let action = [2.0, 1.0];
        let found = head.evaluate(&outputs, &[], &action);
        let entropy = -(0.6 * 0.6_f64.ln() + 0.4 * 0.4_f64.ln());
        assert!(close(found.log_prob, 0.4_f64.ln()) && close(found.entropy, entropy), "{found:?}");
        let mut gradient = [f64::NAN; 5];
        head.differentiate(&outputs, &[], &action, &mut gradient, &mut [], |same| {
            assert!(close(same.log_prob, found.log_prob) && close(same.entropy, found.entropy));
            EvaluationGradient { log_prob: 2.0, entropy: 0.5 }
        });
        // d ln π(a) / dz = [a] - p, and dH / dz = -p (ln p + H).
        let by_entropy = |p: f64| -p * (p.ln() + entropy);
        let expected = [-1.2 + 0.5 * by_entropy(0.6), 0.0, 1.2 + 0.5 * by_entropy(0.4), 0.0, 0.0];
        gradient.iter().zip(expected).for_each(|(&a, b)| assert!(close(a, b), "{gradient:?}"));

        let mut rng = stream(5, Purpose::Exploration, 0);
        for _ in 0..1000 {
            let mut drawn = [f32::NAN; 2];
            head.draw(&outputs, &[], &mut rng, &mut drawn);
            assert!(drawn[0] != 1.0 && drawn[1] == 1.0, "{drawn:?}");
        }
        // Not even where rounding leaves the sum of the probabilities below the draw.
        assert_eq!(sample(&[0.0_f32, 0.0, -1e8], 1.0 - f64::EPSILON / 2.0), 1);
    }

    #[test]
    fn a_sigmoid_with_one_valid_action_takes_it() {
        for (mask, z, expected) in [
            ([true, true], 3.0_f64.ln(), vec![0.75, 0.25]),
            ([true, false], -5.0, vec![1.0, 0.0]),
            ([false, true], 5.0, vec![0.0, 1.0]),
        ] {
            let mut outputs = [z];
            Head::Bernoulli.mask(&mut outputs, &mask);
            let found = Head::Bernoulli.probabilities(&outputs);
            found.iter().zip(&expected).for_each(|(&p, &q)| assert!(close(p, q), "{found:?}"));
            if mask != [true, true] {
                let action = [if mask[0] { 0.0 } else { 1.0 }];
                let evaluation = Head::Bernoulli.evaluate(&outputs, &[], &action);
                assert_eq!((evaluation.log_prob, evaluation.entropy), (0.0, 0.0));
            }
        }
    }

    #[test]
    fn the_greatest_valid_value_is_the_first_of_equals() {
        let values = [5.0_f32, 1.0, 3.0, 3.0];
        assert_eq!(masked_argmax(&values, &[true; 4]), 0);
        assert_eq!(masked_argmax(&values, &[false, true, true, true]), 2);
        assert_eq!(masked_argmax(&values, &[false; 4]), 0);
    }

    #[test]
    fn the_most_probable_action_is_the_first_of_the_greatest_outputs_or_the_mean() {
        let best = |head: Head, outputs: &[f32]| {
            let mut action = vec![9.0; head.action_len()];
            head.most_probable(outputs, &mut action);
            action
        };
        assert_eq!(best(Head::categorical(3), &[0.0, 2.0, 2.0]), [1.0]);
        let several = Head::Categorical { nvec: vec![2, 3] };
        assert_eq!(best(several, &[0.5, 0.1, 0.0, 0.2, 0.3]), [0.0, 2.0]);
        assert_eq!(best(Head::Bernoulli, &[0.1]), [0.0]);
        assert_eq!(best(Head::Bernoulli, &[-0.1]), [1.0]);
        assert_eq!(best(Head::Gaussian { dimensions: 2 }, &[0.3, -4.0]), [0.3, -4.0]);
    }

    #[test]
    fn the_inverse_cumulative_distribution_covers_its_ends() {
        assert_eq!(sample(&[0.0_f64, 0.0], 0.0), 0);
        assert_eq!(sample(&[0.0_f64, 0.0], 0.499_999), 0);
        assert_eq!(sample(&[0.0_f64, 0.0], 0.5), 1);
        assert_eq!(sample(&[0.0_f32; 3], 1.0 - f64::EPSILON / 2.0), 2);
    }
}

//! PPO: proximal policy optimisation (Schulman et al., "Proximal policy optimization algorithms", 2017),
//! with Stable-Baselines3's hyperparameters.
//!
//! An iteration plays `n_steps` steps in each of `n_envs` environments, estimates advantages, and then goes
//! over that experience `n_epochs` times in minibatches. The clipped objective takes away what there is to
//! gain from moving an action's probability by more than `clip_range`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::on_policy::{
    self, ActorCritic, ActorCriticConfig, Minibatch, Order, Rollout, value_loss,
};
use super::schedule::{self, Schedule};
use super::{Algorithm, AlgorithmSettings, Setup};
use crate::env::{Env, Space};
use crate::experiment::{Problem, ScheduleSpec};
use crate::nn::heads::EvaluationGradient;
use crate::nn::{Head, Optimiser, OptimiserConfig, Precision, Scalar, Tensors, clip_gradient_norm};
use crate::policy::{NeuralSpec, Policy};
use crate::rng::{Purpose, Rng, stream};
use crate::trial::{MetricMeans, TrialError, World};

/// Hyperparameters of PPO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PpoSpec {
    /// How many copies of the environment act side by side.
    #[schemars(range(min = 1, max = 4096))]
    pub n_envs: usize,
    /// Steps in each environment between two updates.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub n_steps: usize,
    /// Steps in a minibatch.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
    /// How often an update goes over its steps.
    #[schemars(range(min = 1, max = 1000))]
    pub n_epochs: usize,
    /// Step size of Adam.
    pub learning_rate: Schedule,
    /// Added to Adam's denominator.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub adam_epsilon: f64,
    /// Discount factor of future rewards.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gamma: f64,
    /// Trace decay of generalised advantage estimation.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gae_lambda: f64,
    /// How far an action's probability may move, as a ratio, before nothing more is gained.
    pub clip_range: Schedule,
    /// How far a value may move from the old one; `null` for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_range_vf: Option<Schedule>,
    /// Whether each minibatch's advantages are shifted and scaled to mean 0 and deviation 1.
    pub normalize_advantage: bool,
    /// Weight of the entropy bonus.
    #[schemars(range(min = 0.0))]
    pub ent_coef: f64,
    /// Weight of the value loss.
    #[schemars(range(min = 0.0))]
    pub vf_coef: f64,
    /// The gradient's norm is cut to this.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub max_grad_norm: f64,
    /// An update stops early when `approx_kl` exceeds 1.5 times this; `null` for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub target_kl: Option<f64>,
    /// Whether actor and critic share their hidden layers.
    pub shared_trunk: bool,
    /// Initial logarithm of the standard deviations of continuous actions.
    pub log_std_init: f64,
    /// Normalise observations by their running mean and deviation, cut to ±10.
    pub normalize_observations: bool,
    /// Divide rewards by the running deviation of the discounted return, cut to ±10.
    pub normalize_rewards: bool,
}

impl Default for PpoSpec {
    fn default() -> Self {
        Self {
            n_envs: 1,
            n_steps: 2048,
            batch_size: 64,
            n_epochs: 10,
            learning_rate: Schedule::Constant(3e-4),
            adam_epsilon: 1e-5,
            gamma: 0.99,
            gae_lambda: 0.95,
            clip_range: Schedule::Constant(0.2),
            clip_range_vf: None,
            normalize_advantage: true,
            ent_coef: 0.0,
            vf_coef: 0.5,
            max_grad_norm: 0.5,
            target_kl: None,
            shared_trunk: false,
            log_std_init: 0.0,
            normalize_observations: false,
            normalize_rewards: false,
        }
    }
}

impl AlgorithmSettings for PpoSpec {
    fn environments(&self) -> usize {
        self.n_envs
    }

    fn supports(&self, actions: &Space) -> bool {
        !matches!(actions, Space::Tuple { .. })
    }

    fn problems(
        &self,
        policy: &NeuralSpec,
        schedule: &ScheduleSpec,
        env: &dyn Env,
    ) -> Vec<Problem> {
        let mut problems = on_policy::problems(policy, env, self.normalize_observations);
        let schedules = [
            ("learning_rate", Some(self.learning_rate)),
            ("clip_range", Some(self.clip_range)),
            ("clip_range_vf", self.clip_range_vf),
        ];
        problems.extend(schedule::problems(&schedules, schedule));
        problems
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        Ok(match setup.policy.precision {
            Precision::Float32 => Box::new(Ppo::<f32>::new(self.clone(), setup)?),
            Precision::Float64 => Box::new(Ppo::<f64>::new(self.clone(), setup)?),
        })
    }
}

/// PPO at work.
pub struct Ppo<T: Scalar> {
    spec: PpoSpec,
    schedule: ScheduleSpec,
    agent: ActorCritic<T>,
    optimiser: Optimiser<T>,
    rollout: Rollout<T>,
    minibatch: Minibatch<T>,
    order: Order,
    shuffling: Rng,
}

impl<T: Scalar> Ppo<T> {
    fn new(spec: PpoSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let config = ActorCriticConfig {
            environments: spec.n_envs,
            gamma: spec.gamma,
            gae_lambda: spec.gae_lambda,
            shared_trunk: spec.shared_trunk,
            log_std_init: spec.log_std_init,
            normalize_observations: spec.normalize_observations,
            normalize_rewards: spec.normalize_rewards,
        };
        let agent = ActorCritic::new(config, setup)?;
        let adam = OptimiserConfig::adam(spec.adam_epsilon);
        Ok(Self {
            optimiser: Optimiser::new(adam, agent.parameter_count()),
            agent,
            schedule: setup.schedule.clone(),
            rollout: Rollout::default(),
            minibatch: Minibatch::default(),
            order: Order::default(),
            shuffling: stream(setup.seed, Purpose::Minibatch, 0),
            spec,
        })
    }

    /// All epochs over the rollout, or fewer where `target_kl` stops them.
    fn update(&mut self, remaining: f64, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let learning_rate = self.spec.learning_rate.at(remaining);
        let clip_range = self.spec.clip_range.at(remaining);
        metrics.add("learning_rate", learning_rate);
        metrics.add("clip_range", clip_range);
        for _ in 0..self.spec.n_epochs {
            self.order.shuffle(self.rollout.rows(), &mut self.shuffling);
            for rows in self.order.minibatches(self.spec.batch_size) {
                self.minibatch.gather(&self.rollout, rows);
                if self.spec.normalize_advantage {
                    normalise(&mut self.minibatch.advantages);
                }
                let (losses, gradient_norm) =
                    learn(&mut self.agent, &mut self.minibatch, &self.spec, remaining);
                losses.report(metrics, gradient_norm)?;
                if self.spec.target_kl.is_some_and(|target| losses.approx_kl > 1.5 * target) {
                    return Ok(());
                }
                self.optimiser.step(learning_rate, &mut self.agent.parameters());
            }
        }
        Ok(())
    }
}

/// Computes the losses of `batch` and leaves their clipped gradient in `agent`. Returns the losses and the
/// gradient's norm.
fn learn<T: Scalar>(
    agent: &mut ActorCritic<T>,
    batch: &mut Minibatch<T>,
    spec: &PpoSpec,
    remaining: f64,
) -> (Losses, f64) {
    agent.forward(batch);
    let head = agent.head();
    let (log_std, grad_log_std) = agent.log_std();
    let settings =
        PolicyLoss { clip_range: spec.clip_range.at(remaining), ent_coef: spec.ent_coef };
    let mut losses = settings.evaluate(head, log_std, batch, grad_log_std);
    let clip = spec.clip_range_vf.map(|clip| clip.at(remaining));
    let Minibatch { values, old_values, returns, grad_values, .. } = batch;
    losses.value_loss = value_loss(values, old_values, returns, clip, spec.vf_coef, grad_values);
    losses.loss =
        losses.policy_loss - spec.ent_coef * losses.entropy + spec.vf_coef * losses.value_loss;
    agent.backward(batch);
    let norm = clip_gradient_norm(&mut agent.parameters(), spec.max_grad_norm);
    (losses, norm)
}

/// Settings of PPO's loss at the actor's outputs.
#[derive(Debug, Clone, Copy)]
pub struct PolicyLoss {
    /// How far the probability ratio may move from one.
    pub clip_range: f64,
    /// Weight of the entropy bonus.
    pub ent_coef: f64,
}

/// Means over a minibatch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Losses {
    /// All losses, weighted.
    pub loss: f64,
    /// The clipped objective, negative.
    pub policy_loss: f64,
    /// Squared errors of the critic.
    pub value_loss: f64,
    /// Of the actor's distribution, in nats.
    pub entropy: f64,
    /// How far the policy moved since the rollout (Schulman's low-variance estimator).
    pub approx_kl: f64,
    /// The share of steps whose ratio left the clip range.
    pub clip_fraction: f64,
}

impl Losses {
    fn report(&self, metrics: &mut MetricMeans, gradient_norm: f64) -> Result<(), TrialError> {
        let named = [
            ("loss", self.loss),
            ("policy_loss", self.policy_loss),
            ("value_loss", self.value_loss),
            ("entropy", self.entropy),
            ("approx_kl", self.approx_kl),
            ("clip_fraction", self.clip_fraction),
            ("gradient_norm", gradient_norm),
        ];
        if named.iter().any(|(_, value)| !value.is_finite()) {
            let metrics = named.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            return Err(TrialError::NotFinite { what: "the loss or its gradient".into(), metrics });
        }
        for (name, value) in named {
            metrics.add(name, value);
        }
        Ok(())
    }
}

impl PolicyLoss {
    /// `mean(-min(r A, clip(r) A)) - ent_coef · mean(entropy)`, with `r` the ratio of the action's
    /// probability to the old one: its parts, and its gradients at `batch.outputs` (into
    /// `batch.grad_outputs`) and at `log_std` (added to `grad_log_std`).
    pub fn evaluate<T: Scalar>(
        self,
        head: Head,
        log_std: &[T],
        batch: &mut Minibatch<T>,
        grad_log_std: &mut [T],
    ) -> Losses {
        let n = batch.rows();
        let (width, action_len) = (head.outputs(), head.action_len());
        let scale = T::of(1.0 / n as f64);
        let by_entropy = T::of(-self.ent_coef) * scale;
        let (low, high) = (T::of(1.0 - self.clip_range), T::of(1.0 + self.clip_range));
        let (mut objective, mut entropy, mut kl) = (T::zero(), T::zero(), T::zero());
        let mut clipped = 0_usize;
        for i in 0..n {
            let outputs = &batch.outputs[i * width..(i + 1) * width];
            let action = &batch.actions[i * action_len..(i + 1) * action_len];
            let found = head.evaluate(outputs, log_std, action);
            let log_ratio = found.log_prob - batch.old_log_probs[i];
            let ratio = log_ratio.exp();
            let advantage = batch.advantages[i];
            let unclipped = ratio * advantage;
            let bounded = ratio.max(low).min(high) * advantage;
            entropy += found.entropy;
            kl += (ratio - T::one()) - log_ratio;
            clipped += usize::from(ratio < low || ratio > high);
            // Where the bounded objective is the smaller one, the ratio has no influence any more. (A NaN
            // takes this way too, so that the loss shows it.)
            let by_log_prob = if bounded < unclipped {
                objective += bounded;
                T::zero()
            } else {
                objective += unclipped;
                -unclipped * scale
            };
            let gradient = EvaluationGradient { log_prob: by_log_prob, entropy: by_entropy };
            let grad_outputs = &mut batch.grad_outputs[i * width..(i + 1) * width];
            head.backward(outputs, log_std, action, gradient, grad_outputs, grad_log_std);
        }
        let mean = |sum: T| (sum * scale).as_f64();
        Losses {
            policy_loss: -mean(objective),
            entropy: mean(entropy),
            approx_kl: mean(kl),
            clip_fraction: clipped as f64 / n as f64,
            ..Losses::default()
        }
    }
}

/// Shifts and scales to mean 0 and (sample) standard deviation 1; a single value stays as it is.
fn normalise<T: Scalar>(values: &mut [T]) {
    if values.len() < 2 {
        return;
    }
    let n = T::of(values.len() as f64);
    let mean = values.iter().copied().sum::<T>() / n;
    let squares = values.iter().map(|&value| (value - mean) * (value - mean)).sum::<T>();
    let deviation = (squares / (n - T::one())).sqrt() + T::of(1e-8);
    for value in values {
        *value = (*value - mean) / deviation;
    }
}

impl<T: Scalar> Algorithm for Ppo<T> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        self.agent.collect(world, self.spec.n_steps, &mut self.rollout)?;
        let remaining = schedule::remaining(&self.schedule, world.progress());
        self.update(remaining, metrics)?;
        let explained_variance = self.rollout.explained_variance();
        if explained_variance.is_finite() {
            metrics.add("explained_variance", explained_variance);
        }
        world.count_update();
        Ok(())
    }

    fn restart(&mut self) {
        self.agent.restart();
    }

    fn policy(&mut self) -> &mut dyn Policy {
        &mut self.agent.policy
    }

    fn engine(&self) -> String {
        self.agent.engine().to_string()
    }

    fn save(&self, state: &mut Tensors) {
        self.agent.save(state);
        self.optimiser.save("optimiser.", state);
        state.insert_rng("shuffling", &self.shuffling);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.agent.load(state)?;
        self.optimiser.load("optimiser.", state)?;
        self.shuffling = state.rng("shuffling")?;
        Ok(())
    }

    fn save_policy(&self, state: &mut Tensors) {
        self.agent.policy.save(state);
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;
    use crate::nn::random::normal;

    const HEADS: [Head; 3] =
        [Head::Categorical { actions: 3 }, Head::Bernoulli, Head::Gaussian { dimensions: 2 }];

    /// A minibatch whose ratios lie on both sides of the clip range, with log standard deviations.
    fn minibatch(head: Head, rows: usize) -> (Minibatch<f64>, Vec<f64>) {
        let mut rng = stream(11, Purpose::Exploration, 0);
        let mut draw = |n: usize| -> Vec<f64> { (0..n).map(|_| normal(&mut rng)).collect() };
        let (width, len) = (head.outputs(), head.action_len());
        let log_std: Vec<f64> = draw(head.log_std_len()).iter().map(|x| 0.3 * x).collect();
        let mut batch = Minibatch {
            outputs: draw(rows * width),
            values: draw(rows),
            old_values: draw(rows),
            returns: draw(rows),
            advantages: draw(rows),
            old_log_probs: draw(rows),
            grad_outputs: vec![f64::NAN; rows * width],
            grad_values: vec![f64::NAN; rows],
            actions: match head {
                Head::Gaussian { .. } => draw(rows * len).iter().map(|x| *x as f32).collect(),
                Head::Categorical { actions } => (0..rows).map(|i| (i % actions) as f32).collect(),
                Head::Bernoulli => (0..rows).map(|i| (i % 2) as f32).collect(),
            },
            features: Vec::new(),
        };
        for i in 0..rows {
            let outputs = &batch.outputs[i * width..(i + 1) * width];
            let action = &batch.actions[i * len..(i + 1) * len];
            let log_prob = head.evaluate(outputs, &log_std, action).log_prob;
            batch.old_log_probs[i] = log_prob + 0.3 * batch.old_log_probs[i];
        }
        (batch, log_std)
    }

    const SETTINGS: PolicyLoss = PolicyLoss { clip_range: 0.2, ent_coef: 0.05 };

    fn total(head: Head, batch: &mut Minibatch<f64>, log_std: &[f64]) -> f64 {
        let losses = SETTINGS.evaluate(head, log_std, batch, &mut vec![0.0; log_std.len()]);
        losses.policy_loss - SETTINGS.ent_coef * losses.entropy
    }

    #[test]
    fn the_policy_loss_and_its_gradient_equal_autograd() {
        for head in HEADS {
            let rows = 64;
            let (mut batch, log_std) = minibatch(head, rows);
            let mut grad_log_std = vec![0.0; log_std.len()];
            let found = SETTINGS.evaluate(head, &log_std, &mut batch, &mut grad_log_std);

            let shape = [rows as i64, head.outputs() as i64];
            let leaf = |values: &[f64]| Tensor::from_slice(values).set_requires_grad(true);
            let (outputs, deviations) = (leaf(&batch.outputs), leaf(&log_std));
            let z = outputs.view(shape);
            let actions = Tensor::from_slice(&batch.actions).view([rows as i64, -1]);
            let (log_prob, entropy) = match head {
                Head::Categorical { .. } => {
                    let log_probs = z.log_softmax(1, Kind::Double);
                    let chosen = log_probs.gather(1, &actions.to_kind(Kind::Int64), false);
                    let entropy = -(log_probs.exp() * &log_probs).sum_dim_intlist(1, false, None);
                    (chosen.squeeze_dim(1), entropy)
                }
                Head::Bernoulli => {
                    let both = Tensor::cat(&[z.log_sigmoid(), (-&z).log_sigmoid()], 1);
                    let chosen = both.gather(1, &actions.to_kind(Kind::Int64), false);
                    let entropy = -(both.exp() * &both).sum_dim_intlist(1, false, None);
                    (chosen.squeeze_dim(1), entropy)
                }
                Head::Gaussian { .. } => {
                    let distance = (actions.to_kind(Kind::Double) - &z) / deviations.exp();
                    let half_ln_tau = 0.5 * std::f64::consts::TAU.ln();
                    let each: Tensor = distance.square() * -0.5 - &deviations - half_ln_tau;
                    let entropy = (&deviations + (0.5 + half_ln_tau)).sum(Kind::Double);
                    (
                        each.sum_dim_intlist(1, false, None),
                        entropy * Tensor::ones(rows as i64, (Kind::Double, tch::Device::Cpu)),
                    )
                }
            };
            let ratio = (log_prob - Tensor::from_slice(&batch.old_log_probs)).exp();
            let advantages = Tensor::from_slice(&batch.advantages);
            let bounded = ratio.clamp(0.8, 1.2) * &advantages;
            let policy_loss = -(&ratio * &advantages).minimum(&bounded).mean(Kind::Double);
            let entropy = entropy.mean(Kind::Double);
            (&policy_loss - &entropy * SETTINGS.ent_coef).backward();

            let close = |a: f64, b: f64| (a - b).abs() <= 1e-13 + 1e-11 * b.abs();
            assert!(close(found.policy_loss, policy_loss.double_value(&[])), "{head:?}");
            assert!(close(found.entropy, entropy.double_value(&[])), "{head:?}");
            let share =
                (ratio.lt(0.8).sum(Kind::Double) + ratio.gt(1.2).sum(Kind::Double)) / rows as f64;
            assert_eq!(found.clip_fraction, share.double_value(&[]));
            assert!((0.2..0.8).contains(&found.clip_fraction), "the case tests little");
            let expected = Vec::<f64>::try_from(outputs.grad()).expect("doubles");
            for (a, b) in batch.grad_outputs.iter().zip(expected) {
                assert!(close(*a, b), "{head:?}: {a}, {b}");
            }
            if !log_std.is_empty() {
                let expected = Vec::<f64>::try_from(deviations.grad()).expect("doubles");
                for (a, b) in grad_log_std.iter().zip(expected) {
                    assert!(close(*a, b), "{head:?}: {a}, {b}");
                }
            }
        }
    }

    #[test]
    fn the_policy_loss_gradient_equals_finite_differences() {
        for head in HEADS {
            let (mut batch, log_std) = minibatch(head, 16);
            let mut grad_log_std = vec![0.0; log_std.len()];
            SETTINGS.evaluate(head, &log_std, &mut batch, &mut grad_log_std);
            let gradient = batch.grad_outputs.clone();
            let step = 1e-6;
            for i in 0..gradient.len() {
                let middle = batch.outputs[i];
                batch.outputs[i] = middle + step;
                let above = total(head, &mut batch, &log_std);
                batch.outputs[i] = middle - step;
                let below = total(head, &mut batch, &log_std);
                batch.outputs[i] = middle;
                let slope = (above - below) / (2.0 * step);
                assert!((slope - gradient[i]).abs() < 1e-8, "{head:?}: {slope}, {}", gradient[i]);
            }
            for i in 0..log_std.len() {
                let shifted = |by: f64| {
                    let mut shifted = log_std.clone();
                    shifted[i] += by;
                    shifted
                };
                let above = total(head, &mut batch, &shifted(step));
                let below = total(head, &mut batch, &shifted(-step));
                let slope = (above - below) / (2.0 * step);
                assert!((slope - grad_log_std[i]).abs() < 1e-8, "{slope}, {}", grad_log_std[i]);
            }
        }
    }

    #[test]
    fn the_value_loss_and_its_gradient_equal_autograd() {
        for clip in [None, Some(0.3)] {
            let (mut batch, _) = minibatch(Head::Bernoulli, 32);
            let Minibatch { values, old_values, returns, grad_values, .. } = &mut batch;
            let found = value_loss(values, old_values, returns, clip, 0.5, grad_values);
            let leaf = Tensor::from_slice(values).set_requires_grad(true);
            let old = Tensor::from_slice(old_values);
            let predicted = match clip {
                None => leaf.shallow_clone(),
                Some(clip) => &old + (&leaf - &old).clamp(-clip, clip),
            };
            let loss = (predicted - Tensor::from_slice(returns)).square().mean(Kind::Double);
            (&loss * 0.5).backward();
            assert!((found - loss.double_value(&[])).abs() < 1e-13);
            let expected = Vec::<f64>::try_from(leaf.grad()).expect("doubles");
            for (a, b) in grad_values.iter().zip(expected) {
                assert!((a - b).abs() < 1e-14, "{a}, {b}");
            }
        }
    }

    #[test]
    fn normalised_advantages_have_mean_zero_and_deviation_one() {
        let mut values = [1.0_f64, 2.0, 6.0];
        normalise(&mut values);
        assert!(values.iter().sum::<f64>().abs() < 1e-12);
        let squares: f64 = values.iter().map(|value| value * value).sum();
        assert!((squares / 2.0 - 1.0).abs() < 1e-7);
        let mut alone = [5.0_f64];
        normalise(&mut alone);
        assert_eq!(alone, [5.0]);
    }
}

//! A2C: synchronous advantage actor-critic (Mnih et al., "Asynchronous methods for deep reinforcement
//! learning", 2016), with Stable-Baselines3's hyperparameters.
//!
//! An iteration plays a few steps in each environment and makes one step of the optimiser on
//! `-mean(A · ln π) + vf_coef · mean((R - V)²) - ent_coef · mean(entropy)`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::interface::{Algorithm, AlgorithmSettings, Setup, by_precision, has_head, report};
use super::on_policy::{self, ActorCritic, ActorCriticConfig, Minibatch, Rollout, value_loss};
use crate::env::{Env, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::heads::EvaluationGradient;
use crate::nn::{Head, Optimiser, OptimiserConfig, Scalar, Tensors, clip_gradient_norm};
use crate::policy::{LearnedPolicy, PolicySpec};
use crate::training::annealed::{self, Annealed};
use crate::training::{MetricMeans, TrialError, World};

/// Hyperparameters of A2C.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct A2cSpec {
    /// How many copies of the environment act side by side.
    #[schemars(range(min = 1, max = 4096))]
    pub n_envs: usize,
    /// Steps in each environment between two updates.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub n_steps: usize,
    /// Step size of the optimiser.
    pub learning_rate: Annealed,
    /// RMSprop (as the paper) or Adam.
    pub use_rms_prop: bool,
    /// Added to RMSprop's denominator.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub rms_prop_eps: f64,
    /// RMSprop as TensorFlow has it: running mean from one, epsilon under the root.
    pub rms_prop_tf_like: bool,
    /// Discount factor of future rewards.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gamma: f64,
    /// Trace decay of generalised advantage estimation; 1 is the paper's n-step return.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gae_lambda: f64,
    /// Whether each update's advantages are shifted and scaled to mean 0 and deviation 1.
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
    /// Whether actor and critic share their hidden layers.
    pub shared_trunk: bool,
    /// Initial logarithm of the standard deviations of continuous actions, or with `use_sde` of the noise's weights.
    pub log_std_init: f64,
    /// Explore by generalised state-dependent exploration (gSDE; Raffin et al., 2021), where actions are continuous: noise
    /// that is a linear function of the actor's last hidden layer, the same one for many steps.
    pub use_sde: bool,
    /// Steps between two draws of that function; -1 for one at the start of every `n_steps` steps alone.
    #[schemars(range(min = -1))]
    pub sde_sample_freq: i64,
    /// Normalise observations (the numbers of boxes in them) by their running mean and deviation, cut to ±10.
    pub normalize_observations: bool,
    /// Divide rewards by the running deviation of the discounted return, cut to ±10.
    pub normalize_rewards: bool,
}

impl Default for A2cSpec {
    fn default() -> Self {
        Self {
            n_envs: 1,
            n_steps: 5,
            learning_rate: Annealed::Constant(7e-4),
            use_rms_prop: true,
            rms_prop_eps: 1e-5,
            rms_prop_tf_like: false,
            gamma: 0.99,
            gae_lambda: 1.0,
            normalize_advantage: false,
            ent_coef: 0.0,
            vf_coef: 0.5,
            max_grad_norm: 0.5,
            shared_trunk: false,
            log_std_init: 0.0,
            use_sde: false,
            sde_sample_freq: -1,
            normalize_observations: false,
            normalize_rewards: false,
        }
    }
}

impl A2cSpec {
    fn actor_critic(&self) -> ActorCriticConfig {
        ActorCriticConfig {
            environments: self.n_envs,
            gamma: self.gamma,
            gae_lambda: self.gae_lambda,
            shared_trunk: self.shared_trunk,
            log_std_init: self.log_std_init,
            sde_sample_freq: self.use_sde.then_some(self.sde_sample_freq),
            normalize_observations: self.normalize_observations,
            normalize_rewards: self.normalize_rewards,
        }
    }
}

impl AlgorithmSettings for A2cSpec {
    fn environments(&self) -> usize {
        self.n_envs
    }

    fn convolutional(&self) -> bool {
        true
    }

    fn masks_actions(&self) -> bool {
        true
    }

    fn supports(&self, actions: &Space) -> bool {
        has_head(actions)
    }

    fn problems(
        &self,
        policy: &PolicySpec,
        schedule: &ScheduleSpec,
        env: &dyn Env,
    ) -> Vec<Problem> {
        let mut problems = on_policy::problems(policy, env, self.normalize_observations);
        let annealed = [("learning_rate", Some(self.learning_rate))];
        problems.extend(annealed::problems(&annealed, schedule));
        problems.extend(on_policy::rollout_problems(
            self.actor_critic(),
            policy,
            env,
            self.n_steps,
        ));
        problems
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => self.actor_critic().policy::<T>(setup)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => A2c::<T>::new(self.clone(), setup)?)
    }
}

/// A2C at work.
pub(super) struct A2c<T: Scalar> {
    spec: A2cSpec,
    schedule: ScheduleSpec,
    agent: ActorCritic<T>,
    optimiser: Optimiser<T>,
    rollout: Rollout<T>,
    batch: Minibatch<T>,
    /// Every row of a rollout, in order.
    rows: Vec<usize>,
}

impl<T: Scalar> A2c<T> {
    fn new(spec: A2cSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let agent = ActorCritic::new(spec.actor_critic(), setup)?;
        let optimiser = if spec.use_rms_prop {
            OptimiserConfig::RmsProp {
                alpha: 0.99,
                epsilon: spec.rms_prop_eps,
                weight_decay: 0.0,
                momentum: 0.0,
                tf_like: spec.rms_prop_tf_like,
            }
        } else {
            OptimiserConfig::ADAM
        };
        Ok(Self {
            optimiser: Optimiser::new(optimiser, agent.parameter_count()),
            rollout: agent.rollout(),
            agent,
            schedule: setup.schedule.clone(),
            batch: Minibatch::default(),
            rows: (0..spec.n_steps * spec.n_envs).collect(),
            spec,
        })
    }

    fn update(&mut self, learning_rate: f64, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let Self { spec, agent, batch, .. } = self;
        agent.gather(&self.rollout, &self.rows, batch);
        if spec.normalize_advantage {
            on_policy::normalise(&mut batch.advantages);
        }
        agent.forward(batch);
        let head = agent.head();
        let (log_std, grad_log_std) = agent.log_std();
        let (policy_loss, entropy) =
            policy_loss(&head, log_std, batch, spec.ent_coef, grad_log_std);
        let Minibatch { values, old_values, returns, grad_values, .. } = batch;
        let value_loss = value_loss(values, old_values, returns, None, spec.vf_coef, grad_values);
        agent.backward(batch);
        let gradient_norm = clip_gradient_norm(&mut agent.parameters(), spec.max_grad_norm);
        let losses = [
            ("loss", policy_loss - spec.ent_coef * entropy + spec.vf_coef * value_loss),
            ("policy_loss", policy_loss),
            ("value_loss", value_loss),
            ("entropy", entropy),
            ("gradient_norm", gradient_norm),
        ];
        report(metrics, &losses)?;
        metrics.add("learning_rate", learning_rate);
        self.optimiser.step(learning_rate, &mut agent.parameters());
        Ok(())
    }
}

/// `-mean(A · ln π) - ent_coef · mean(entropy)`: returns the first mean and the entropy's, and writes the
/// gradients at `batch.outputs` (into `batch.grad_outputs`) and at `log_std` (added to `grad_log_std`).
pub(super) fn policy_loss<T: Scalar>(
    head: &Head,
    log_std: &[T],
    batch: &mut Minibatch<T>,
    ent_coef: f64,
    grad_log_std: &mut [T],
) -> (f64, f64) {
    let n = batch.rows();
    let (width, action_len) = (head.outputs(), head.action_len());
    let scale = T::of(1.0 / n as f64);
    let by_entropy = T::of(-ent_coef) * scale;
    let (mut objective, mut entropy) = (T::zero(), T::zero());
    for i in 0..n {
        let outputs = &batch.outputs[i * width..(i + 1) * width];
        let action = &batch.actions[i * action_len..(i + 1) * action_len];
        let advantage = batch.advantages[i];
        let grad_outputs = &mut batch.grad_outputs[i * width..(i + 1) * width];
        let own = on_policy::log_std_row(head, log_std.len(), i);
        let (log_std, grad_log_std) = (&log_std[own.clone()], &mut grad_log_std[own]);
        head.differentiate(outputs, log_std, action, grad_outputs, grad_log_std, |found| {
            objective += advantage * found.log_prob;
            entropy += found.entropy;
            EvaluationGradient { log_prob: -advantage * scale, entropy: by_entropy }
        });
    }
    (-(objective * scale).as_f64(), (entropy * scale).as_f64())
}

impl<T: Scalar> Algorithm for A2c<T> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        self.agent.collect(world, self.spec.n_steps, &mut self.rollout)?;
        let remaining = annealed::remaining(&self.schedule, world.progress());
        self.update(self.spec.learning_rate.at(remaining), metrics)?;
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

    fn policy(&self) -> &dyn LearnedPolicy {
        &self.agent.policy
    }

    fn policy_mut(&mut self) -> &mut dyn LearnedPolicy {
        &mut self.agent.policy
    }

    fn save(&self, state: &mut Tensors) {
        self.agent.save(state);
        self.optimiser.save("optimiser.", state);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.agent.load(state)?;
        self.optimiser.load("optimiser.", state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::on_policy::tests::{autograd, heads, minibatch};
    use tch::{Kind, Tensor};

    const ENT_COEF: f64 = 0.05;

    #[test]
    fn the_policy_loss_and_its_gradient_equal_autograd() {
        for head in &heads() {
            let (mut batch, log_std) = minibatch(head, 64);
            let mut grad_log_std = vec![0.0; log_std.len()];
            let (loss, entropy) =
                policy_loss(head, &log_std, &mut batch, ENT_COEF, &mut grad_log_std);
            let reference = autograd(head, &batch, &log_std);
            let advantages = Tensor::from_slice(&batch.advantages);
            let expected = -(advantages * &reference.log_probs).mean(Kind::Double);
            let expected_entropy = reference.entropies.mean(Kind::Double);
            assert!((loss - expected.double_value(&[])).abs() < 1e-12, "{head:?}");
            assert!((entropy - expected_entropy.double_value(&[])).abs() < 1e-12, "{head:?}");
            (expected - expected_entropy * ENT_COEF).backward();
            reference.assert_gradients(&batch.grad_outputs, &grad_log_std);
        }
    }

    #[test]
    fn the_policy_loss_gradient_equals_finite_differences() {
        for head in &heads() {
            let (mut batch, log_std) = minibatch(head, 16);
            let total = |batch: &mut Minibatch<f64>, i: usize, by: f64| {
                let middle = batch.outputs[i];
                batch.outputs[i] = middle + by;
                let unused = &mut vec![0.0; log_std.len()];
                let (loss, entropy) = policy_loss(head, &log_std, batch, ENT_COEF, unused);
                batch.outputs[i] = middle;
                loss - ENT_COEF * entropy
            };
            let step = 1e-6;
            for i in 0..batch.outputs.len() {
                let slope =
                    (total(&mut batch, i, step) - total(&mut batch, i, -step)) / (2.0 * step);
                total(&mut batch, i, 0.0);
                assert!((slope - batch.grad_outputs[i]).abs() < 1e-8, "{head:?}: {slope}");
            }
        }
    }
}

//! PPO: proximal policy optimisation (Schulman et al., "Proximal policy optimization algorithms", 2017),
//! with Stable-Baselines3's hyperparameters.
//!
//! An iteration plays `n_steps` steps in each of `n_envs` environments, estimates advantages, and then goes
//! over that experience `n_epochs` times in minibatches. The clipped objective takes away what there is to
//! gain from moving an action's probability by more than `clip_range`.

use std::fmt::Debug;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::interface::{Algorithm, AlgorithmSettings, Setup, by_precision, has_head, report};
use super::on_policy::{
    self, ActorCritic, ActorCriticConfig, Minibatch, Order, Rollout, value_loss,
};
use crate::env::{Env, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::heads::EvaluationGradient;
use crate::nn::{Head, Optimiser, OptimiserConfig, Scalar, Tensors, clip_gradient_norm};
use crate::policy::{LearnedPolicy, PolicySpec};
use crate::rng::{Purpose, Rng, stream};
use crate::training::annealed::{self, Annealed};
use crate::training::{MetricMeans, TrialError, World};

/// What PPO's networks are: a type for each of its two algorithms.
pub(super) trait Networks:
    Debug + Clone + PartialEq + JsonSchema + Send + Sync + 'static
{
    /// Whether they are recurrent.
    const RECURRENT: bool;
    /// What `n_steps` and `batch_size` are where they are left out.
    const STEPS: (usize, usize);
}

/// Networks without a memory.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
pub(super) struct Feedforward;

impl Networks for Feedforward {
    const RECURRENT: bool = false;
    const STEPS: (usize, usize) = (2048, 64);
}

/// Hyperparameters of PPO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, bound = "")]
pub(super) struct PpoSpec<N: Networks = Feedforward> {
    /// How many copies of the environment act side by side.
    #[schemars(range(min = 1, max = 4096))]
    pub n_envs: usize,
    /// Steps in each environment between two updates; recurrent networks learn no further back.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub n_steps: usize,
    /// Steps in a minibatch; for recurrent networks those of an environment one after another.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
    /// How often an update goes over its steps.
    #[schemars(range(min = 1, max = 1000))]
    pub n_epochs: usize,
    /// Step size of Adam.
    pub learning_rate: Annealed,
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
    pub clip_range: Annealed,
    /// How far a value may move from the old one; `null` for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_range_vf: Option<Annealed>,
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
    /// Whether actor and critic share their hidden and recurrent layers.
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
    #[serde(skip)]
    pub networks: PhantomData<N>,
}

impl<N: Networks> Default for PpoSpec<N> {
    fn default() -> Self {
        let (n_steps, batch_size) = N::STEPS;
        Self {
            n_envs: 1,
            n_steps,
            batch_size,
            n_epochs: 10,
            learning_rate: Annealed::Constant(3e-4),
            adam_epsilon: 1e-5,
            gamma: 0.99,
            gae_lambda: 0.95,
            clip_range: Annealed::Constant(0.2),
            clip_range_vf: None,
            normalize_advantage: true,
            ent_coef: 0.0,
            vf_coef: 0.5,
            max_grad_norm: 0.5,
            target_kl: None,
            shared_trunk: false,
            log_std_init: 0.0,
            use_sde: false,
            sde_sample_freq: -1,
            normalize_observations: false,
            normalize_rewards: false,
            networks: PhantomData,
        }
    }
}

impl<N: Networks> PpoSpec<N> {
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

impl<N: Networks> AlgorithmSettings for PpoSpec<N> {
    fn environments(&self) -> usize {
        self.n_envs
    }

    fn convolutional(&self) -> bool {
        !N::RECURRENT
    }

    fn recurrent(&self) -> bool {
        N::RECURRENT
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
        let annealed = [
            ("learning_rate", Some(self.learning_rate)),
            ("clip_range", Some(self.clip_range)),
            ("clip_range_vf", self.clip_range_vf),
        ];
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
        by_precision!(setup, T => Ppo::<T, N>::new(self.clone(), setup)?)
    }
}

/// PPO at work.
pub(super) struct Ppo<T: Scalar, N: Networks = Feedforward> {
    spec: PpoSpec<N>,
    schedule: ScheduleSpec,
    pub(super) agent: ActorCritic<T>,
    pub(super) optimiser: Optimiser<T>,
    rollout: Rollout<T>,
    minibatch: Minibatch<T>,
    order: Order,
    shuffling: Rng,
}

impl<T: Scalar, N: Networks> Ppo<T, N> {
    /// PPO with fresh networks.
    ///
    /// # Errors
    /// Fails if the engine or the device cannot be had.
    pub(super) fn new(spec: PpoSpec<N>, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let agent = ActorCritic::new(spec.actor_critic(), setup)?;
        let adam = OptimiserConfig::adam(spec.adam_epsilon);
        Ok(Self {
            optimiser: Optimiser::new(adam, agent.parameter_count()),
            rollout: agent.rollout(),
            agent,
            schedule: setup.schedule.clone(),
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
            self.agent.order(&self.rollout, &mut self.order, &mut self.shuffling);
            for rows in self.order.minibatches(self.spec.batch_size) {
                self.agent.gather(&self.rollout, rows, &mut self.minibatch);
                if self.spec.normalize_advantage {
                    on_policy::normalise(&mut self.minibatch.advantages);
                }
                let (losses, gradient_norm) =
                    learn(&mut self.agent, &mut self.minibatch, &self.spec, remaining);
                let named = [
                    ("loss", losses.loss),
                    ("policy_loss", losses.policy_loss),
                    ("value_loss", losses.value_loss),
                    ("entropy", losses.entropy),
                    ("approx_kl", losses.approx_kl),
                    ("clip_fraction", losses.clip_fraction),
                    ("gradient_norm", gradient_norm),
                ];
                report(metrics, &named)?;
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
pub(super) fn learn<T: Scalar, N: Networks>(
    agent: &mut ActorCritic<T>,
    batch: &mut Minibatch<T>,
    spec: &PpoSpec<N>,
    remaining: f64,
) -> (Losses, f64) {
    agent.forward(batch);
    let head = agent.head();
    let (log_std, grad_log_std) = agent.log_std();
    let settings =
        PolicyLoss { clip_range: spec.clip_range.at(remaining), ent_coef: spec.ent_coef };
    let mut losses = settings.evaluate(&head, log_std, batch, grad_log_std);
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
pub(super) struct PolicyLoss {
    /// How far the probability ratio may move from one.
    pub clip_range: f64,
    /// Weight of the entropy bonus.
    pub ent_coef: f64,
}

/// Means over a minibatch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Losses {
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

impl PolicyLoss {
    /// `mean(-min(r A, clip(r) A)) - ent_coef · mean(entropy)`, with `r` the ratio of the action's
    /// probability to the old one: its parts, and its gradients at `batch.outputs` (into
    /// `batch.grad_outputs`) and at `log_std` (added to `grad_log_std`).
    pub(super) fn evaluate<T: Scalar>(
        self,
        head: &Head,
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
            let advantage = batch.advantages[i];
            let old_log_prob = batch.old_log_probs[i];
            let grad_outputs = &mut batch.grad_outputs[i * width..(i + 1) * width];
            let own = on_policy::log_std_row(head, log_std.len(), i);
            let (log_std, grad_log_std) = (&log_std[own.clone()], &mut grad_log_std[own]);
            head.differentiate(outputs, log_std, action, grad_outputs, grad_log_std, |found| {
                let log_ratio = found.log_prob - old_log_prob;
                let ratio = log_ratio.exp();
                let unclipped = ratio * advantage;
                let bounded = ratio.max(low).min(high) * advantage;
                entropy += found.entropy;
                kl += (ratio - T::one()) - log_ratio;
                clipped += usize::from(ratio < low || ratio > high);
                // Where the bounded objective is the smaller one, the ratio has no influence any more. (A
                // NaN takes the other way, so that the loss shows it.)
                let by_log_prob = if bounded < unclipped {
                    objective += bounded;
                    T::zero()
                } else {
                    objective += unclipped;
                    -unclipped * scale
                };
                EvaluationGradient { log_prob: by_log_prob, entropy: by_entropy }
            });
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

impl<T: Scalar, N: Networks> Algorithm for Ppo<T, N> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        self.agent.collect(world, self.spec.n_steps, &mut self.rollout)?;
        let remaining = annealed::remaining(&self.schedule, world.progress());
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

    fn policy(&self) -> &dyn LearnedPolicy {
        &self.agent.policy
    }

    fn policy_mut(&mut self) -> &mut dyn LearnedPolicy {
        &mut self.agent.policy
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
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;
    use crate::algorithm::on_policy::tests::{autograd, heads, minibatch};
    use crate::algorithm::recorded_tests::{Recording, with_setup};
    use crate::nn::Activation;
    use crate::policy::NeuralSpec;

    const SETTINGS: PolicyLoss = PolicyLoss { clip_range: 0.2, ent_coef: 0.05 };

    fn total(head: &Head, batch: &mut Minibatch<f64>, log_std: &[f64]) -> f64 {
        let losses = SETTINGS.evaluate(head, log_std, batch, &mut vec![0.0; log_std.len()]);
        losses.policy_loss - SETTINGS.ent_coef * losses.entropy
    }

    #[test]
    fn the_policy_loss_and_its_gradient_equal_autograd() {
        for head in &heads() {
            let rows = 64;
            let (mut batch, log_std) = minibatch(head, rows);
            let mut grad_log_std = vec![0.0; log_std.len()];
            let found = SETTINGS.evaluate(head, &log_std, &mut batch, &mut grad_log_std);

            let reference = autograd(head, &batch, &log_std);
            let old = Tensor::from_slice(&batch.old_log_probs);
            let ratio = (&reference.log_probs - old).exp();
            let advantages = Tensor::from_slice(&batch.advantages);
            let bounded = ratio.clamp(0.8, 1.2) * &advantages;
            let policy_loss = -(&ratio * &advantages).minimum(&bounded).mean(Kind::Double);
            let entropy = reference.entropies.mean(Kind::Double);
            (&policy_loss - &entropy * SETTINGS.ent_coef).backward();

            let close = |a: f64, b: f64| (a - b).abs() <= 1e-13 + 1e-11 * b.abs();
            assert!(close(found.policy_loss, policy_loss.double_value(&[])), "{head:?}");
            assert!(close(found.entropy, entropy.double_value(&[])), "{head:?}");
            let share =
                (ratio.lt(0.8).sum(Kind::Double) + ratio.gt(1.2).sum(Kind::Double)) / rows as f64;
            assert_eq!(found.clip_fraction, share.double_value(&[]));
            assert!((0.2..0.8).contains(&found.clip_fraction), "the case tests little");
            reference.assert_gradients(&batch.grad_outputs, &grad_log_std);
        }
    }

    #[test]
    fn the_policy_loss_gradient_equals_finite_differences() {
        for head in &heads() {
            let (mut batch, log_std) = minibatch(head, 16);
            let mut grad_log_std = vec![0.0; log_std.len()];
            SETTINGS.evaluate(head, &log_std, &mut batch, &mut grad_log_std);
            let gradient = batch.grad_outputs.clone();
            let step = 1e-6;
            for (i, found) in gradient.iter().enumerate() {
                let middle = batch.outputs[i];
                batch.outputs[i] = middle + step;
                let above = total(head, &mut batch, &log_std);
                batch.outputs[i] = middle - step;
                let below = total(head, &mut batch, &log_std);
                batch.outputs[i] = middle;
                let slope = (above - below) / (2.0 * step);
                assert!((slope - found).abs() < 1e-8, "{head:?}: {slope}, {found}");
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

    /// The settings and the minibatches are those of tests/goldens/gsde/record.py.
    #[test]
    fn recorded_updates_with_state_dependent_noise_are_those_of_stable_baselines3() {
        let recording = Recording::load("gsde/ppo.safetensors");
        let spec: PpoSpec = PpoSpec { use_sde: true, ent_coef: 0.05, ..PpoSpec::default() };
        let policy = PolicySpec::Neural(NeuralSpec {
            hidden: vec![8, 6],
            activation: Activation::Tanh,
            ..NeuralSpec::default()
        });
        let new = |setup: &Setup<'_>| Ppo::<f64>::new(spec.clone(), setup);
        let mut ppo = with_setup(&policy, new).expect("an engine on any CPU");
        // Actor and critic of three layers, and the noise's deviations.
        assert_eq!(recording.begin(&mut ppo), 2 * 3 * 2 + 1);
        for update in 0..8 {
            let name = |name: &str| format!("{update}.{name}");
            let mut batch = Minibatch {
                features: recording.single(&name("observations")),
                actions: recording.single(&name("actions")),
                old_log_probs: recording.numbers(&name("old_log_prob")),
                advantages: recording.numbers(&name("advantages")),
                returns: recording.numbers(&name("returns")),
                ..Minibatch::default()
            };
            let (losses, _) = learn(&mut ppo.agent, &mut batch, &spec, 1.0);
            recording.assert_close(&name("policy_loss"), &[losses.policy_loss]);
            recording.assert_close(&name("value_loss"), &[losses.value_loss]);
            // Theirs is a loss.
            recording.assert_close(&name("entropy"), &[-losses.entropy]);
            ppo.optimiser.step(0.01, &mut ppo.agent.parameters());
        }
        recording.end(&ppo);
    }

    #[test]
    fn state_dependent_noise_is_for_continuous_actions_on_the_native_engine() {
        use serde_json::{Value, json};
        let problems = |algorithm: &str, id: &str, engine: &str| -> Vec<String> {
            let experiment: Value = json!({
                "name": "gsde", "environment": { "id": id },
                "agents": { "a": {
                    "policy": { "type": "neural", "engine": engine },
                    "training": {
                        "algorithm": { "name": algorithm, "use_sde": true }, "schedule": { "steps": 1 }
                    }
                } }
            });
            let problems = crate::validation::check(&experiment).err().unwrap_or_default();
            let shown =
                |problem: Problem| format!("{}: {}", problem.path.join("."), problem.message);
            problems.into_iter().map(shown).collect()
        };
        for name in ["ppo", "a2c"] {
            assert_eq!(problems(name, "Pendulum-v1", "auto"), [""; 0]);
            let [elsewhere] = &problems(name, "Pendulum-v1", "torch")[..] else { panic!() };
            assert!(
                elsewhere.starts_with("agents.a.policy.engine: state-dependent"),
                "{elsewhere}"
            );
            let [discrete] = &problems(name, "CartPole-v1", "auto")[..] else { panic!() };
            assert_eq!(
                discrete,
                "agents.a.training.algorithm.use_sde: noise is for continuous actions, and there are \
                 Discrete(2): use false"
            );
        }
    }

    #[test]
    fn the_value_loss_and_its_gradient_equal_autograd() {
        for clip in [None, Some(0.3)] {
            let (mut batch, _) = minibatch(&Head::Bernoulli, 32);
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
}

//! TD3: twin delayed deep deterministic policy gradient (Fujimoto et al., "Addressing function approximation
//! error in actor-critic methods", 2018), with Stable-Baselines3's hyperparameters. With `policy_delay` 1,
//! `target_policy_noise` 0 and `n_critics` 1 it is DDPG (Lillicrap et al. 2015).
//!
//! An iteration plays `train_freq` steps in each environment and then makes `gradient_steps` updates on
//! minibatches from a replay memory. The critics learn the lower of their targets' values at the target
//! actor's action, blurred by noise; the actor, at every `policy_delay`-th step only, to maximise the first
//! critic's value.

use super::interface::{Algorithm, AlgorithmSettings, Setup, by_precision, report};
use super::off_policy::{self, Critics, Explorer, explorer_settings};
use super::sac::{Lowest, Valuation as _};
use crate::env::{Env, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::random::normal;
use crate::nn::replay::Batch;
use crate::nn::{Network, Optimiser, OptimiserConfig, Scalar, Tensors};
use crate::policy::{LearnedPolicy, PolicySpec, SquashedPolicy};
use crate::rng::{Purpose, Rng, stream};
use crate::training::{Annealed, MetricMeans, TrialError, World};

explorer_settings! {
    /// Hyperparameters of TD3.
    pub struct Td3Spec {
        /// The actor and the targets are updated at every so many gradient steps of the critics.
        #[schemars(range(min = 1))]
        pub policy_delay: u64,
        /// Standard deviation of the noise on the target actor's actions, which are scaled to [-1, 1].
        #[schemars(range(min = 0.0))]
        pub target_policy_noise: f64,
        /// That noise is cut to this.
        #[schemars(range(min = 0.0))]
        pub target_noise_clip: f64,
        /// How many critics there are; the lowest target counts.
        #[schemars(range(min = 1, max = 100))]
        pub n_critics: usize,
    }
}

impl Default for Td3Spec {
    fn default() -> Self {
        Self {
            n_envs: 1,
            learning_rate: Annealed::Constant(1e-3),
            buffer_size: 1_000_000,
            learning_starts: 100,
            batch_size: 256,
            tau: 0.005,
            gamma: 0.99,
            train_freq: 1,
            gradient_steps: 1,
            policy_delay: 2,
            target_policy_noise: 0.2,
            target_noise_clip: 0.5,
            n_critics: 2,
            n_steps: 1,
            action_noise: None,
        }
    }
}

impl AlgorithmSettings for Td3Spec {
    fn environments(&self) -> usize {
        self.n_envs
    }

    fn supports(&self, actions: &Space) -> bool {
        actions.is_continuous()
    }

    fn problems(
        &self,
        policy: &PolicySpec,
        schedule: &ScheduleSpec,
        env: &dyn Env,
    ) -> Vec<Problem> {
        off_policy::problems("td3", self.learning_rate, policy, schedule, env)
    }

    fn memory_bytes(&self, schedule: &ScheduleSpec, observations: &Space, actions: &Space) -> u64 {
        self.explorer().replay(schedule, observations, actions).bytes_while_saved()
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => actor::<T>(setup)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => Td3::<T>::new(self.clone(), setup)?)
    }
}

/// A fresh actor for `setup`, with one output for every number of an action.
pub(super) fn actor<T: Scalar>(setup: &Setup<'_>) -> anyhow::Result<SquashedPolicy<T>> {
    off_policy::actor(1, setup)
}

/// TD3 at work.
pub(super) struct Td3<T: Scalar> {
    explorer: Explorer<T>,
    learner: Learner<T>,
}

impl<T: Scalar> Td3<T> {
    fn new(spec: Td3Spec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let explorer = Explorer::<T>::new(spec.explorer(), actor(setup)?, setup)?;
        let config = LearnerConfig {
            batch_size: spec.batch_size,
            tau: spec.tau,
            policy_delay: spec.policy_delay,
            target_policy_noise: spec.target_policy_noise,
            target_noise_clip: spec.target_noise_clip,
            n_critics: spec.n_critics,
            imitation: None,
        };
        Ok(Self { explorer, learner: Learner::new(config, setup)? })
    }

    /// One step of the critics, and where its turn has come of the actor, on a minibatch.
    fn learn(&mut self, learning_rate: f64, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        self.explorer.sample(self.learner.config.batch_size);
        let Explorer { policy, batch, features, next_features, .. } = &mut self.explorer;
        let sampled = Sampled { batch, features, next_features };
        self.learner.learn(policy, &sampled, learning_rate, metrics)
    }
}

impl<T: Scalar> Algorithm for Td3<T> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let Some(update) = self.explorer.play(world)? else { return Ok(()) };
        for _ in 0..update.gradient_steps {
            self.learn(update.learning_rate, metrics)?;
        }
        metrics.add("learning_rate", update.learning_rate);
        world.count_update();
        Ok(())
    }

    fn restart(&mut self) {
        self.explorer.restart();
    }

    fn policy(&self) -> &dyn LearnedPolicy {
        &self.explorer.policy
    }

    fn policy_mut(&mut self) -> &mut dyn LearnedPolicy {
        &mut self.explorer.policy
    }

    fn start_from(&mut self, policy: &Tensors) -> anyhow::Result<()> {
        self.explorer.policy.load(policy)?;
        self.learner.start_from(&self.explorer.policy);
        Ok(())
    }

    fn save(&self, state: &mut Tensors) {
        self.explorer.save(state);
        self.learner.save(state);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.explorer.load(state)?;
        self.learner.load(state)
    }
}

/// How a [`Learner`] learns; see [`Td3Spec`].
#[derive(Debug, Clone)]
pub(super) struct LearnerConfig {
    pub batch_size: usize,
    pub tau: f64,
    pub policy_delay: u64,
    pub target_policy_noise: f64,
    pub target_noise_clip: f64,
    pub n_critics: usize,
    /// How much the critic's value counts for the actor beside acting as in the minibatch, TD3+BC's α; nothing where it
    /// imitates nobody.
    pub imitation: Option<f64>,
}

/// A minibatch, its actions scaled to [-1, 1], and what networks see of it.
pub(super) struct Sampled<'a> {
    pub batch: &'a Batch,
    pub features: &'a [f32],
    pub next_features: &'a [f32],
}

/// TD3's networks beside the actor, and how all of them learn from minibatches.
pub(super) struct Learner<T: Scalar> {
    pub config: LearnerConfig,
    target_actor: Box<dyn Network<T>>,
    optimiser: Optimiser<T>,
    critics: Critics<T>,
    /// Gradient steps so far, which `policy_delay` counts.
    steps: u64,
    dropout: Rng,
    noise: Rng,
    scratch: Scratch<T>,
}

/// Buffers of one update.
#[derive(Default)]
struct Scratch<T> {
    outputs: Vec<T>,
    actions: Vec<f32>,
    values: Vec<T>,
    targets: Vec<T>,
    gradients: Vec<T>,
    grad_actions: Vec<T>,
}

impl<T: Scalar> Learner<T> {
    /// For a fresh [`actor`], which the target network begins as a copy of.
    ///
    /// # Errors
    /// Fails if the networks' engine or device cannot be had.
    pub(super) fn new(config: LearnerConfig, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let target_actor = actor(setup)?.network;
        Ok(Self {
            optimiser: Optimiser::new(OptimiserConfig::ADAM, target_actor.parameters().len()),
            target_actor,
            critics: Critics::new(config.n_critics, 1, setup)?,
            steps: 0,
            dropout: stream(setup.seed, Purpose::Minibatch, 1),
            noise: stream(setup.seed, Purpose::Minibatch, 3),
            scratch: Scratch::default(),
            config,
        })
    }

    /// One step of the critics, and where its turn has come of the actor, on a minibatch.
    ///
    /// # Errors
    /// Fails if a number stops being finite.
    pub(super) fn learn(
        &mut self,
        policy: &mut SquashedPolicy<T>,
        sampled: &Sampled<'_>,
        learning_rate: f64,
        metrics: &mut MetricMeans,
    ) -> Result<(), TrialError> {
        let rows = self.config.batch_size;
        let Sampled { batch, features, next_features } = *sampled;
        let Self { critics, scratch, .. } = self;
        scratch.outputs.resize(rows * policy.dimensions(), T::zero());
        self.target_actor.forward(next_features, rows, &mut scratch.outputs);
        scratch.actions.clear();
        let (deviation, clip) = (self.config.target_policy_noise, self.config.target_noise_clip);
        scratch.actions.extend(scratch.outputs.iter().map(|output| {
            let noise = (deviation * normal(&mut self.noise)).clamp(-clip, clip);
            (output.portable_tanh().as_f64() + noise).clamp(-1.0, 1.0) as f32
        }));
        critics.targets(rows, next_features, &scratch.actions, &mut scratch.values);
        Lowest.targets(rows, &scratch.values, &mut scratch.targets);
        for (i, target) in scratch.targets.iter_mut().enumerate() {
            let (reward, discount) = (T::of_f32(batch.rewards[i]), T::of_f32(batch.discounts[i]));
            *target = reward + discount * *target;
        }
        critics.forward(self.config.n_critics, rows, features, &batch.actions, &mut scratch.values);
        scratch.gradients.resize(scratch.values.len(), T::zero());
        let half = Lowest.loss(rows, &scratch.values, &scratch.targets, &mut scratch.gradients);
        // The whole squared error here, not half of it as in SAC.
        scratch.gradients.iter_mut().for_each(|gradient| *gradient *= T::of(2.0));
        report(metrics, &[("critic_loss", 2.0 * half)])?;
        critics.learn(&scratch.gradients, learning_rate);

        self.steps += 1;
        if !self.steps.is_multiple_of(self.config.policy_delay) {
            return Ok(());
        }
        let actor = &mut policy.network;
        actor.forward_train(features, rows, &mut self.dropout, &mut scratch.outputs);
        scratch.outputs.iter_mut().for_each(|output| *output = output.portable_tanh());
        scratch.actions.clear();
        scratch.actions.extend(scratch.outputs.iter().map(|action| action.as_f32()));
        critics.forward(1, rows, features, &scratch.actions, &mut scratch.values);
        let mean = |sum: T| sum.as_f64() / rows as f64;
        let value = mean(scratch.values.iter().copied().sum::<T>());
        // TD3+BC's λ: values count in units of their own size.
        let size = mean(scratch.values.iter().map(|value| value.abs()).sum::<T>());
        let weight = self.config.imitation.map_or(1.0, |alpha| alpha / size);
        scratch.gradients.clear();
        scratch.gradients.resize(rows, T::of(-weight / rows as f64));
        scratch.grad_actions.resize(scratch.outputs.len(), T::zero());
        critics.action_gradients(rows, &scratch.gradients, &mut scratch.grad_actions);
        let mut loss = -weight * value;
        if self.config.imitation.is_some() {
            let difference = imitate(&scratch.outputs, &batch.actions, &mut scratch.grad_actions);
            loss += difference;
            report(metrics, &[("imitation_loss", difference)])?;
        }
        for (gradient, &action) in scratch.grad_actions.iter_mut().zip(&scratch.outputs) {
            *gradient *= T::one() - action * action;
        }
        actor.zero_gradients();
        actor.backward(&scratch.grad_actions, None);
        report(metrics, &[("actor_loss", loss), ("q_value", value)])?;
        self.optimiser.step(learning_rate, &mut [actor.parameters_and_gradients()]);
        critics.follow(self.config.tau);
        off_policy::follow(&mut *self.target_actor, &**actor, self.config.tau);
        Ok(())
    }

    /// The policy was made another one.
    pub(super) fn start_from(&mut self, policy: &SquashedPolicy<T>) {
        off_policy::follow(&mut *self.target_actor, &*policy.network, 1.0);
    }

    /// Saves everything that goes on from here.
    pub(super) fn save(&self, state: &mut Tensors) {
        state.insert_network("target.", &*self.target_actor);
        self.critics.save(state);
        self.optimiser.save("optimiser.", state);
        state.insert_u64("steps", self.steps);
        state.insert_rng("dropout", &self.dropout);
        state.insert_rng("noise", &self.noise);
    }

    /// Restores what [`Learner::save`] saved.
    ///
    /// # Errors
    /// Fails if something is missing or does not fit.
    pub(super) fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        state.load_network("target.", &mut *self.target_actor)?;
        self.critics.load(state)?;
        self.optimiser.load("optimiser.", state)?;
        self.steps = state.get_u64("steps")?;
        self.dropout = state.rng("dropout")?;
        self.noise = state.rng("noise")?;
        Ok(())
    }
}

/// The mean squared difference between the actor's actions and those of a minibatch; adds its gradient.
fn imitate<T: Scalar>(actions: &[T], examples: &[f32], gradients: &mut [T]) -> f64 {
    let count = actions.len() as f64;
    let scale = T::of(2.0 / count);
    let mut squares = T::zero();
    for ((&action, &example), gradient) in actions.iter().zip(examples).zip(gradients) {
        let difference = action - T::of_f32(example);
        squares += difference * difference;
        *gradient += scale * difference;
    }
    squares.as_f64() / count
}

#[cfg(test)]
mod tests {
    use tch::nn::{Adam, Optimizer, OptimizerConfig as _, Path, VarStore};
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::nn::replay::{Experience, Replay, ReplayConfig};
    use crate::policy::NeuralSpec;

    const OBSERVATION: usize = 3;
    const DIMENSIONS: usize = 2;
    const HIDDEN: usize = 7;
    const ROWS: usize = 32;
    const LEARNING_RATE: f64 = 0.01;

    fn spec() -> Td3Spec {
        Td3Spec {
            batch_size: ROWS,
            buffer_size: 40,
            tau: 0.3,
            gamma: 0.9,
            target_policy_noise: 0.5,
            target_noise_clip: 0.4,
            ..Td3Spec::default()
        }
    }

    fn draws(n: usize, index: u64) -> Vec<f64> {
        let mut rng = stream(3, Purpose::Exploration, index);
        (0..n).map(|_| normal(&mut rng)).collect()
    }

    /// One step that an agent remembers.
    struct Memory {
        observation: Vec<f32>,
        action: Vec<f32>,
        reward: f64,
        next: Vec<f32>,
        terminated: bool,
        truncated: bool,
    }

    /// Steps that go on, that end the task and that a time limit cuts off.
    fn memories() -> Vec<Memory> {
        let vector = |n: usize, index: usize| -> Vec<f32> {
            draws(n, index as u64).iter().map(|&x| x as f32).collect()
        };
        (0..40)
            .map(|i| Memory {
                observation: vector(OBSERVATION, 4 * i),
                action: vector(DIMENSIONS, 4 * i + 1).iter().map(|x| x.tanh()).collect(),
                reward: f64::from(vector(1, 4 * i + 2)[0]),
                next: vector(OBSERVATION, 4 * i + 3),
                terminated: i % 4 == 1,
                truncated: i % 4 == 3,
            })
            .collect()
    }

    /// An agent with `memories`. Its targets are away from what they follow, and its target actor's
    /// actions come close to their bounds.
    fn agent(spec: Td3Spec, memories: &[Memory]) -> Td3<f64> {
        let policy = PolicySpec::Neural(NeuralSpec {
            hidden: vec![HIDDEN],
            activation: crate::nn::Activation::Tanh,
            ..NeuralSpec::default()
        });
        let setup = Setup {
            policy: &policy,
            schedule: &ScheduleSpec::default(),
            observation_space: &Space::uniform_box(-9.0, 9.0, OBSERVATION),
            action_space: &Space::uniform_box(-2.0, 2.0, DIMENSIONS),
            seed: 4,
        };
        let mut replay = Replay::new(ReplayConfig {
            capacity: memories.len(),
            environments: 1,
            observation_len: OBSERVATION,
            observation_storage: Default::default(),
            action_len: DIMENSIONS,
            mask_len: 0,
            n_steps: 1,
            gamma: spec.gamma,
            priorities: None,
        })
        .expect("little memory");
        for memory in memories {
            replay.push(Experience {
                observation: &memory.observation,
                action: &memory.action,
                reward: memory.reward,
                next_observation: &memory.next,
                next_mask: &[],
                terminated: memory.terminated,
                truncated: memory.truncated,
            });
        }
        let count = spec.n_critics;
        let mut agent = Td3::new(spec, &setup).expect("an engine on any CPU");
        let mut state = Tensors::default();
        agent.save(&mut state);
        replay.save("replay.", &mut state);
        let mut move_away = |prefix: &str, inputs: usize, outputs: usize, scale: f64| {
            for (name, shape) in layout(inputs, outputs) {
                let name = format!("{prefix}{name}");
                let mut values: Vec<f64> = state.get(&name, &shape).expect("a network");
                let noise = draws(values.len(), name.len() as u64 + 1_000);
                for (value, noise) in values.iter_mut().zip(noise) {
                    *value = scale * (*value + 0.3 * noise);
                }
                state.insert(&name, &shape, &values);
            }
        };
        move_away("target.", OBSERVATION, DIMENSIONS, 2.0);
        for i in 0..count {
            let prefix = format!("critic{i}_target.");
            move_away(&prefix, OBSERVATION + DIMENSIONS, 1, 1.0 + i as f64 / 10.0);
        }
        agent.load(&state).expect("its own state");
        agent
    }

    /// Names and shapes of a network's tensors.
    fn layout(inputs: usize, outputs: usize) -> [(&'static str, Vec<usize>); 4] {
        [
            ("0.weight", vec![HIDDEN, inputs]),
            ("0.bias", vec![HIDDEN]),
            ("2.weight", vec![outputs, HIDDEN]),
            ("2.bias", vec![outputs]),
        ]
    }

    /// A network of the agent's as libtorch computes it.
    struct Reference {
        tensors: Vec<Tensor>,
    }

    impl Reference {
        /// The network saved under `prefix`, as variables of `path` where there is one.
        fn read(
            state: &Tensors,
            prefix: &str,
            inputs: usize,
            outputs: usize,
            path: Option<&Path<'_>>,
        ) -> Self {
            let read = |(name, shape): (&str, Vec<usize>)| {
                let values: Vec<f64> =
                    state.get(&format!("{prefix}{name}"), &shape).expect("a network");
                let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
                let tensor = Tensor::from_slice(&values).view(&shape[..]);
                match path {
                    Some(path) => {
                        path.var_copy(&format!("{prefix}{name}").replace('.', "_"), &tensor)
                    }
                    None => tensor,
                }
            };
            Self { tensors: layout(inputs, outputs).map(read).into() }
        }

        fn forward(&self, inputs: &Tensor) -> Tensor {
            let [weight, bias, last_weight, last_bias] = &self.tensors[..] else {
                unreachable!("two layers")
            };
            let hidden = (inputs.matmul(&weight.tr()) + bias).tanh();
            hidden.matmul(&last_weight.tr()) + last_bias
        }

        /// Polyak averaging by its definition.
        fn follow(&mut self, network: &Self, tau: f64) {
            for (target, tensor) in self.tensors.iter_mut().zip(&network.tensors) {
                *target = &*target * (1.0 - tau) + tensor.detach() * tau;
            }
        }
    }

    /// What critics take for an action: numbers in single precision, which gradients pass.
    fn rounded(actions: &Tensor) -> Tensor {
        actions + (actions.to_kind(Kind::Float).to_kind(Kind::Double) - actions).detach()
    }

    fn side_by_side(observations: &Tensor, actions: &Tensor) -> Tensor {
        Tensor::cat(&[observations, &rounded(actions)], 1)
    }

    fn matrix(rows: impl Iterator<Item = Vec<f32>>) -> Tensor {
        let rows: Vec<_> = rows.map(|row| Tensor::from_slice(&row)).collect();
        Tensor::stack(&rows, 0).to_kind(Kind::Double)
    }

    fn column(values: impl Iterator<Item = f64>) -> Tensor {
        Tensor::from_slice(&values.collect::<Vec<_>>()).unsqueeze(1)
    }

    /// How often each special case came up, so that a test can tell that it met all of them.
    #[derive(Debug, Default)]
    struct Met {
        noise_cut: i64,
        actions_cut: i64,
        lowest: Vec<i64>,
        terminated: usize,
        truncated: usize,
    }

    /// TD3 as the paper writes it (algorithm 1), on libtorch's tensors, autograd and Adam.
    struct Paper {
        config: LearnerConfig,
        gamma: f64,
        actor: Reference,
        target_actor: Reference,
        critics: Vec<Reference>,
        target_critics: Vec<Reference>,
        actor_optimiser: Optimizer,
        critic_optimiser: Optimizer,
        steps: u64,
        met: Met,
    }

    impl Paper {
        fn new(agent: &Td3<f64>, gamma: f64) -> Self {
            let mut state = Tensors::default();
            agent.save(&mut state);
            let store = || {
                let mut store = VarStore::new(Device::Cpu);
                store.set_kind(Kind::Double);
                store
            };
            let (actor_store, critic_store) = (store(), store());
            let inputs = OBSERVATION + DIMENSIONS;
            let critics = |ending: &str, path: Option<&Path<'_>>| {
                (0..agent.learner.config.n_critics)
                    .map(|i| {
                        Reference::read(&state, &format!("critic{i}{ending}."), inputs, 1, path)
                    })
                    .collect::<Vec<_>>()
            };
            let actor = |prefix: &str, path: Option<&Path<'_>>| {
                Reference::read(&state, prefix, OBSERVATION, DIMENSIONS, path)
            };
            let adam = |store: &VarStore| {
                Adam::default().build(store, LEARNING_RATE).expect("a valid optimiser")
            };
            Self {
                config: agent.learner.config.clone(),
                gamma,
                actor: actor("", Some(&actor_store.root())),
                target_actor: actor("target.", None),
                critics: critics("", Some(&critic_store.root())),
                target_critics: critics("_target", None),
                actor_optimiser: adam(&actor_store),
                critic_optimiser: adam(&critic_store),
                steps: 0,
                met: Met { lowest: vec![0; agent.learner.config.n_critics], ..Met::default() },
            }
        }

        /// One step on `batch` with these standard normal draws; the losses of the critics and the actor.
        fn learn(&mut self, batch: &[&Memory], noise: &[f64]) -> (f64, Option<f64>) {
            let gamma = self.gamma;
            let LearnerConfig { target_policy_noise, target_noise_clip, tau, .. } = self.config;
            let observations = matrix(batch.iter().map(|memory| memory.observation.clone()));
            let next = matrix(batch.iter().map(|memory| memory.next.clone()));
            let taken = matrix(batch.iter().map(|memory| memory.action.clone()));
            let rewards = column(batch.iter().map(|memory| f64::from(memory.reward as f32)));
            let goes_on = column(batch.iter().map(|m| if m.terminated { 0.0 } else { 1.0 }));

            let noise = Tensor::from_slice(noise).view([ROWS as i64, -1]) * target_policy_noise;
            let cut = noise.clamp(-target_noise_clip, target_noise_clip);
            let blurred = self.target_actor.forward(&next).tanh() + &cut;
            let next_actions = blurred.clamp(-1.0, 1.0);
            let seen = side_by_side(&next, &next_actions);
            let values: Vec<_> = self.target_critics.iter().map(|c| c.forward(&seen)).collect();
            let (lowest, which) = Tensor::cat(&values, 1).min_dim(1, true);
            // The replay memory keeps discounts in single precision.
            let target = rewards + goes_on * f64::from(gamma as f32) * lowest;
            let seen = side_by_side(&observations, &taken);
            let losses = self.critics.iter().map(|critic| {
                critic.forward(&seen).mse_loss(&target.detach(), tch::Reduction::Mean)
            });
            let critic_loss = losses.reduce(|sum, loss| sum + loss).expect("at least one critic");
            self.critic_optimiser.backward_step(&critic_loss);

            let count = |condition: Tensor| condition.sum(Kind::Int64).int64_value(&[]);
            self.met.noise_cut += count(cut.ne_tensor(&noise));
            self.met.actions_cut += count(next_actions.ne_tensor(&blurred));
            for (i, sum) in self.met.lowest.iter_mut().enumerate() {
                *sum += count(which.eq(i as i64));
            }
            self.met.terminated += batch.iter().filter(|memory| memory.terminated).count();
            self.met.truncated += batch.iter().filter(|memory| memory.truncated).count();

            self.steps += 1;
            let critic_loss = critic_loss.double_value(&[]);
            if !self.steps.is_multiple_of(self.config.policy_delay) {
                return (critic_loss, None);
            }
            let actions = self.actor.forward(&observations).tanh();
            let value = self.critics[0].forward(&side_by_side(&observations, &actions));
            let actor_loss = match self.config.imitation {
                None => -value.mean(Kind::Double),
                // Equation 5 of TD3+BC's paper.
                Some(alpha) => {
                    let weight = alpha / value.abs().mean(Kind::Double).detach();
                    actions.mse_loss(&taken, tch::Reduction::Mean)
                        - weight * value.mean(Kind::Double)
                }
            };
            self.actor_optimiser.backward_step(&actor_loss);
            for (target, critic) in self.target_critics.iter_mut().zip(&self.critics) {
                target.follow(critic, tau);
            }
            self.target_actor.follow(&self.actor, tau);
            (critic_loss, Some(actor_loss.double_value(&[])))
        }

        /// Every network by its prefix in a saved state.
        fn networks(&self) -> Vec<(String, &Reference)> {
            let mut all =
                vec![(String::new(), &self.actor), ("target.".into(), &self.target_actor)];
            for (i, (critic, target)) in self.critics.iter().zip(&self.target_critics).enumerate() {
                all.push((format!("critic{i}."), critic));
                all.push((format!("critic{i}_target."), target));
            }
            all
        }
    }

    fn assert_close(found: f64, expected: f64, what: &str) {
        let tolerance = 1e-9 * expected.abs().max(1.0);
        assert!((found - expected).abs() < tolerance, "{what}: {found} is not {expected}");
    }

    /// Learns beside the paper for some steps and compares losses and every parameter after each of them.
    fn learn_beside_the_paper(spec: Td3Spec, imitation: Option<f64>, steps: usize) -> Met {
        let memories = memories();
        let gamma = spec.gamma;
        let mut agent = agent(spec, &memories);
        agent.learner.config.imitation = imitation;
        let mut paper = Paper::new(&agent, gamma);
        for step in 1..=steps {
            let mut noise = agent.learner.noise.clone();
            let noise: Vec<f64> = (0..ROWS * DIMENSIONS).map(|_| normal(&mut noise)).collect();
            let mut metrics = MetricMeans::default();
            agent.learn(LEARNING_RATE, &mut metrics).expect("nothing diverges");
            let indices = &agent.explorer.batch.indices;
            let batch: Vec<_> = indices.iter().map(|&index| &memories[index]).collect();
            let (critic_loss, actor_loss) = paper.learn(&batch, &noise);

            let metrics = metrics.take();
            assert_close(metrics["critic_loss"], critic_loss, &format!("critic loss {step}"));
            assert_eq!(metrics.contains_key("actor_loss"), actor_loss.is_some(), "step {step}");
            if let Some(actor_loss) = actor_loss {
                assert_close(metrics["actor_loss"], actor_loss, &format!("actor loss {step}"));
            }
            let mut state = Tensors::default();
            agent.save(&mut state);
            for (prefix, network) in paper.networks() {
                let inputs = network.tensors[0].size()[1] as usize;
                let outputs = network.tensors[3].size()[0] as usize;
                let found = Reference::read(&state, &prefix, inputs, outputs, None);
                for (found, expected) in found.tensors.iter().zip(&network.tensors) {
                    let difference = (found - expected).abs().max().double_value(&[]);
                    assert!(difference < 1e-9, "step {step}, `{prefix}`: {difference}");
                }
            }
        }
        paper.met
    }

    #[test]
    fn six_updates_equal_the_papers_algorithm_in_libtorch() {
        let met = learn_beside_the_paper(spec(), None, 6);
        assert!(met.noise_cut > 20, "the noise's clip matters: {met:?}");
        assert!(met.actions_cut > 20, "the actions' bounds matter: {met:?}");
        assert!(met.lowest.iter().all(|&count| count > 20), "both critics are the lowest: {met:?}");
        assert!(met.terminated > 20 && met.truncated > 20, "both kinds of ends: {met:?}");
    }

    #[test]
    fn the_lowest_of_three_critics_and_a_delay_of_three_equal_the_papers_algorithm() {
        let spec = Td3Spec { n_critics: 3, policy_delay: 3, ..spec() };
        let met = learn_beside_the_paper(spec, None, 6);
        assert!(met.lowest.iter().all(|&count| count > 20), "each critic is the lowest: {met:?}");
    }

    #[test]
    fn six_updates_that_imitate_equal_td3_bcs_equation_in_libtorch() {
        let met = learn_beside_the_paper(spec(), Some(2.5), 6);
        assert!(met.lowest.iter().all(|&count| count > 20), "both critics are the lowest: {met:?}");
    }

    #[test]
    fn one_critic_without_delay_or_noise_equals_ddpg() {
        let spec = Td3Spec { n_critics: 1, policy_delay: 1, target_policy_noise: 0.0, ..spec() };
        let met = learn_beside_the_paper(spec, None, 4);
        assert_eq!(met.noise_cut, 0);
    }
}

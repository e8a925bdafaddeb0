//! CrossQ (Bhatt et al., "CrossQ: Batch normalization in deep reinforcement learning for greater sample efficiency and
//! simplicity", 2024), with the hyperparameters of Stable-Baselines3's contrib package.
//!
//! It is SAC without target networks: actor and critics normalise the inputs of each of their layers. The critics see actions
//! that were taken and those that follow in one batch, whose statistics are then of both, and learn the values of the former
//! towards those of the latter, which get no gradient of their own. The actor and the temperature learn at every
//! `policy_delay`-th step only.

use super::interface::{Algorithm, AlgorithmSettings, Setup, by_precision, report};
use super::off_policy::{self, Critics, Explorer, explorer_settings};
use super::sac::{Draws, Lowest, Temperature, Tuned, Valuation as _};
use crate::env::{Env, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::heads::SquashedGaussian;
use crate::nn::{
    BatchRenorm, MlpConfig, Normalisation, Optimiser, OptimiserConfig, Scalar, Tensors,
};
use crate::policy::{LearnedPolicy, NeuralSpec, PolicySpec, SquashedPolicy};
use crate::rng::{Purpose, Rng, stream};
use crate::training::{Annealed, MetricMeans, TrialError, World};

explorer_settings! {
    targets {}
    /// Hyperparameters of CrossQ.
    pub struct CrossQSpec {
        /// Weight of the entropy, or `"auto"` to learn it.
        #[schemars(range(min = 0.0))]
        pub ent_coef: Tuned,
        /// The entropy that a learned `ent_coef` aims at, in nats; `"auto"` is minus the numbers in an
        /// action.
        pub target_entropy: Tuned,
        /// The actor and a learned `ent_coef` are updated at every so many gradient steps of the critics.
        #[schemars(range(min = 1))]
        pub policy_delay: u64,
        /// How many critics there are; the lowest value counts.
        #[schemars(range(min = 1, max = 100))]
        pub n_critics: usize,
        /// Sizes of the critics' hidden layers; those of the policy are the actor's.
        #[schemars(length(max = 16), inner(range(min = 1, max = 8192)))]
        pub critic_hidden: Vec<usize>,
        /// Decay of Adam's running mean of gradients, for actor and critics.
        #[schemars(range(min = 0.0, max = 0.999))]
        pub adam_beta1: f64,
        /// The share that a minibatch's statistics have in the running ones.
        #[schemars(range(min = 0.0, max = 1.0))]
        pub batch_norm_momentum: f64,
        /// Minibatches that are normalised by their own statistics alone, before running statistics correct them.
        #[schemars(range(max = 10_000_000))]
        pub renorm_warmup_steps: u64,
    }
}

impl Default for CrossQSpec {
    fn default() -> Self {
        Self {
            n_envs: 1,
            learning_rate: Annealed::Constant(1e-3),
            buffer_size: 1_000_000,
            learning_starts: 100,
            batch_size: 256,
            gamma: 0.99,
            train_freq: 1,
            gradient_steps: 1,
            ent_coef: Tuned::Auto,
            target_entropy: Tuned::Auto,
            policy_delay: 3,
            n_critics: 2,
            critic_hidden: vec![1024, 1024],
            adam_beta1: 0.5,
            batch_norm_momentum: 0.01,
            renorm_warmup_steps: 100_000,
            n_steps: 1,
            action_noise: None,
        }
    }
}

impl AlgorithmSettings for CrossQSpec {
    fn environments(&self) -> usize {
        self.n_envs
    }

    fn normalisation(&self) -> Option<Normalisation> {
        let Self { batch_norm_momentum: momentum, renorm_warmup_steps: warmup, .. } = *self;
        Some(Normalisation::BatchRenorm(BatchRenorm { momentum, warmup }))
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
        let mut problems =
            off_policy::problems("crossq", self.learning_rate, policy, schedule, env);
        if self.batch_size < 2 {
            let message = "the variance within a minibatch takes at least 2 steps";
            problems.push(Problem::new(&["training", "algorithm", "batch_size"], message));
        }
        if let PolicySpec::Neural(network) = policy {
            let critic = NeuralSpec { hidden: self.critic_hidden.clone(), ..network.clone() };
            let too_large = critic.size_problem(env.observation_space());
            let path = ["training", "algorithm", "critic_hidden"];
            problems.extend(too_large.map(|message| Problem::new(&path, message)));
        }
        problems
    }

    fn memory_bytes(&self, schedule: &ScheduleSpec, observations: &Space, actions: &Space) -> u64 {
        self.explorer().replay(schedule, observations, actions).bytes_while_saved()
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => self.actor::<T>(setup)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => CrossQ::<T>::new(self.clone(), setup)?)
    }
}

impl CrossQSpec {
    /// A fresh actor, whose outputs are a mean and a deviation for every number of an action.
    fn actor<T: Scalar>(&self, setup: &Setup<'_>) -> anyhow::Result<SquashedPolicy<T>> {
        let inputs = setup.observation_space.features();
        let mlp = off_policy::mlp(setup, inputs, 2 * setup.action_space.len())?;
        off_policy::actor_of(&MlpConfig { normalisation: self.normalisation(), ..mlp }, setup)
    }

    fn critics<T: Scalar>(&self, setup: &Setup<'_>) -> anyhow::Result<Critics<T>> {
        let inputs = setup.observation_space.features() + setup.action_space.len();
        let mlp = MlpConfig {
            hidden: self.critic_hidden.clone(),
            normalisation: self.normalisation(),
            ..off_policy::mlp(setup, inputs, 1)?
        };
        Critics::without_targets(self.n_critics, &mlp, self.adam(), setup)
    }

    fn adam(&self) -> OptimiserConfig {
        OptimiserConfig::Adam {
            beta1: self.adam_beta1,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        }
    }
}

/// CrossQ at work.
struct CrossQ<T: Scalar> {
    spec: CrossQSpec,
    explorer: Explorer<T>,
    optimiser: Optimiser<T>,
    critics: Critics<T>,
    temperature: Temperature<T>,
    /// Gradient steps so far, which `policy_delay` counts.
    steps: u64,
    dropout: Rng,
    noise: Rng,
    present: Draws<T>,
    next: Draws<T>,
    scratch: Scratch<T>,
}

/// Buffers of one update.
#[derive(Default)]
struct Scratch<T> {
    /// Observations and those that follow, row after row; actions likewise.
    features: Vec<f32>,
    actions: Vec<f32>,
    /// What the critics say of all rows, one critic after another.
    values: Vec<T>,
    /// Of the rows that were taken, and of those that follow.
    current: Vec<T>,
    following: Vec<T>,
    targets: Vec<T>,
    gradients: Vec<T>,
    grad_values: Vec<T>,
    grad_actions: Vec<T>,
    grad_outputs: Vec<T>,
}

impl<T: Scalar> CrossQ<T> {
    fn new(spec: CrossQSpec, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let explorer = Explorer::<T>::new(spec.explorer(), spec.actor(setup)?, setup)?;
        let parameters = explorer.policy.network.parameters().len();
        let dimensions = explorer.policy.dimensions();
        Ok(Self {
            optimiser: Optimiser::new(spec.adam(), parameters),
            critics: spec.critics(setup)?,
            temperature: Temperature::new(spec.ent_coef, spec.target_entropy, dimensions),
            explorer,
            steps: 0,
            dropout: stream(setup.seed, Purpose::Minibatch, 1),
            noise: stream(setup.seed, Purpose::Minibatch, 3),
            present: Draws::default(),
            next: Draws::default(),
            scratch: Scratch::default(),
            spec,
        })
    }

    /// One step on the minibatch that was sampled last: of the critics, and where their turn has come of actor and
    /// temperature.
    fn learn(&mut self, learning_rate: f64, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let rows = self.spec.batch_size;
        let temperature = self.temperature.value();
        self.learn_values(rows, temperature, learning_rate, metrics)?;
        self.steps += 1;
        if self.steps.is_multiple_of(self.spec.policy_delay) {
            self.learn_actions(rows, temperature, learning_rate, metrics)?;
        }
        Ok(())
    }

    /// One step of the critics.
    fn learn_values(
        &mut self,
        rows: usize,
        temperature: f64,
        learning_rate: f64,
        metrics: &mut MetricMeans,
    ) -> Result<(), TrialError> {
        let Self { explorer, critics, next, scratch, .. } = self;
        let Explorer { policy, batch, features, next_features, .. } = explorer;
        let head = SquashedGaussian { dimensions: policy.dimensions() };
        next.outputs.resize(rows * head.outputs(), T::zero());
        policy.network.forward(next_features, rows, &mut next.outputs);
        next.draw(head, &mut self.noise);

        join(&mut scratch.features, features, next_features);
        join(&mut scratch.actions, &batch.actions, &next.inputs);
        let Scratch { features, actions, values, .. } = scratch;
        critics.forward(critics.count(), 2 * rows, features, actions, values);
        scratch.current.clear();
        scratch.following.clear();
        for critic in scratch.values.chunks_exact(2 * rows) {
            let (current, following) = critic.split_at(rows);
            scratch.current.extend_from_slice(current);
            scratch.following.extend_from_slice(following);
        }
        Lowest.targets(rows, &scratch.following, &mut scratch.targets);
        for (i, target) in scratch.targets.iter_mut().enumerate() {
            let entropy = T::of(-temperature) * next.log_probs[i];
            let (reward, discount) = (T::of_f32(batch.rewards[i]), T::of_f32(batch.discounts[i]));
            *target = reward + discount * (*target + entropy);
        }
        scratch.gradients.resize(scratch.current.len(), T::zero());
        let loss = Lowest.loss(rows, &scratch.current, &scratch.targets, &mut scratch.gradients);
        report(metrics, &[("critic_loss", loss), ("ent_coef", temperature)])?;
        scratch.grad_values.clear();
        scratch.grad_values.resize(scratch.values.len(), T::zero());
        let into = scratch.grad_values.chunks_exact_mut(2 * rows);
        for (all, current) in into.zip(scratch.gradients.chunks_exact(rows)) {
            all[..rows].copy_from_slice(current);
        }
        critics.learn(&scratch.grad_values, learning_rate);
        Ok(())
    }

    /// One step of the actor and the temperature. The critics judge by their running statistics.
    fn learn_actions(
        &mut self,
        rows: usize,
        temperature: f64,
        learning_rate: f64,
        metrics: &mut MetricMeans,
    ) -> Result<(), TrialError> {
        let Self { explorer, critics, present, scratch, .. } = self;
        let Explorer { policy, features, .. } = explorer;
        let head = SquashedGaussian { dimensions: policy.dimensions() };
        let actor = &mut policy.network;
        present.outputs.resize(rows * head.outputs(), T::zero());
        actor.forward_train(features, rows, &mut self.dropout, &mut present.outputs);
        present.draw(head, &mut self.noise);
        let temperature_loss = self.temperature.learn(present.mean_log_prob(), learning_rate);

        critics.forward_frozen(rows, features, &present.inputs, &mut scratch.values);
        scratch.gradients.resize(scratch.values.len(), T::zero());
        let value = Lowest.value(rows, &scratch.values, &mut scratch.gradients);
        scratch.grad_actions.resize(present.actions.len(), T::zero());
        critics.action_gradients(rows, &scratch.gradients, &mut scratch.grad_actions);
        present.differentiate(head, &scratch.grad_actions, temperature, &mut scratch.grad_outputs);
        actor.zero_gradients();
        actor.backward(&scratch.grad_outputs, None);
        let entropy = -present.mean_log_prob();
        report(
            metrics,
            &[
                ("actor_loss", -temperature * entropy - value),
                ("q_value", value),
                ("entropy", entropy),
            ],
        )?;
        if let Some(loss) = temperature_loss {
            report(metrics, &[("ent_coef_loss", loss)])?;
        }
        self.optimiser.step(learning_rate, &mut [actor.parameters_and_gradients()]);
        Ok(())
    }
}

/// Makes `all` the rows of `first` and then those of `second`.
fn join(all: &mut Vec<f32>, first: &[f32], second: &[f32]) {
    all.clear();
    all.extend_from_slice(first);
    all.extend_from_slice(second);
}

impl<T: Scalar> Algorithm for CrossQ<T> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let Some(update) = self.explorer.play(world)? else { return Ok(()) };
        for _ in 0..update.gradient_steps {
            self.explorer.sample(self.spec.batch_size);
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

    fn save(&self, state: &mut Tensors) {
        self.explorer.save(state);
        self.critics.save(state);
        self.optimiser.save("optimiser.", state);
        self.temperature.save(state);
        state.insert_u64("steps", self.steps);
        state.insert_rng("dropout", &self.dropout);
        state.insert_rng("noise", &self.noise);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.explorer.load(state)?;
        self.critics.load(state)?;
        self.optimiser.load("optimiser.", state)?;
        self.temperature.load(state)?;
        self.steps = state.get_u64("steps")?;
        self.dropout = state.rng("dropout")?;
        self.noise = state.rng("noise")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::recorded_tests::{Recording, with_setup};

    /// The settings, the minibatches and the stream of noise are those of tests/goldens/crossq/record.py.
    #[test]
    fn recorded_updates_are_those_of_sb3_contrib() {
        let recording = Recording::load("crossq/updates.safetensors");
        let spec = CrossQSpec {
            batch_size: 12,
            critic_hidden: vec![10, 7],
            renorm_warmup_steps: 1,
            batch_norm_momentum: 0.1,
            ..CrossQSpec::default()
        };
        let policy = PolicySpec::Neural(NeuralSpec { hidden: vec![8, 6], ..NeuralSpec::default() });
        let new = |setup: &Setup<'_>| CrossQ::<f64>::new(spec, setup);
        let mut agent = with_setup(&policy, new).expect("an engine on any CPU");
        // Three renormalisations of five tensors and three linear layers of two make a network.
        assert_eq!(recording.begin(&mut agent), 3 * (3 * 5 + 3 * 2) + 1);
        for update in 0..12 {
            recording.replay(update, &mut agent.explorer);
            let mut metrics = MetricMeans::default();
            agent.learn(0.01, &mut metrics).expect("finite");
            recording.assert_losses(update, &metrics.take());
        }
        recording.end(&agent);
    }

    fn problems(policy: serde_json::Value, algorithm: serde_json::Value) -> Vec<String> {
        let mut spec = serde_json::json!({ "name": "crossq" });
        spec.as_object_mut().expect("above").extend(algorithm.as_object().expect("below").clone());
        let mut neural = serde_json::json!({ "type": "neural" });
        neural.as_object_mut().expect("above").extend(policy.as_object().expect("below").clone());
        let experiment = serde_json::json!({
            "name": "crossq", "environment": { "id": "Pendulum-v1" },
            "agents": { "crossq": {
                "policy": neural, "training": { "algorithm": spec, "schedule": { "steps": 1 } }
            } }
        });
        let problems = crate::validation::check(&experiment).err().unwrap_or_default();
        problems
            .iter()
            .map(|problem| format!("{}: {}", problem.path.join("."), problem.message))
            .collect()
    }

    #[test]
    fn what_cannot_be_normalised_is_refused() {
        use serde_json::json;
        assert_eq!(problems(json!({}), json!({})), [""; 0]);
        // As wide as it may be for `auto` to stay with this engine.
        assert_eq!(problems(json!({ "hidden": [2048] }), json!({})), [""; 0]);
        let single = problems(json!({}), json!({ "batch_size": 1 }));
        assert_eq!(
            single,
            [
                "agents.crossq.training.algorithm.batch_size: the variance within a minibatch takes at least 2 steps"
            ]
        );
        for policy in [json!({ "engine": "torch" }), json!({ "device": "cuda" })] {
            let found = problems(policy, json!({}));
            assert!(
                found[0].starts_with("agents.crossq.policy.engine: normalised layers"),
                "{found:?}"
            );
            assert_eq!(found.len(), 1);
        }
        let wide = problems(json!({}), json!({ "critic_hidden": vec![8192; 6] }));
        assert!(
            wide[0].starts_with("agents.crossq.training.algorithm.critic_hidden: these layers"),
            "{wide:?}"
        );
    }
}

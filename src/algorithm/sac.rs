//! SAC: soft actor-critic (Haarnoja et al., "Soft actor-critic algorithms and applications", 2018), with
//! Stable-Baselines3's hyperparameters.
//!
//! An iteration plays `train_freq` steps in each environment and then makes `gradient_steps` updates on
//! minibatches from a replay memory: the critics learn the value of an action with the entropy that follows,
//! the actor to maximise the lower of their values and its own entropy, and the temperature, which weighs
//! the entropy, to keep it at `target_entropy`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::interface::{Algorithm, AlgorithmSettings, Setup, by_precision, report};
use super::off_policy::{self, Critics, Explorer, ExplorerConfig};
use crate::env::{Env, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::heads::SquashedGaussian;
use crate::nn::random::normal;
use crate::nn::{Optimiser, OptimiserConfig, ParametersMut, Scalar, StateError, Tensors};
use crate::policy::{LearnedPolicy, PolicySpec, SquashedPolicy};
use crate::rng::{Purpose, Rng, stream};
use crate::training::{Annealed, MetricMeans, TrialError, World};

/// Declares the hyperparameters of SAC, or of an algorithm that is SAC with another valuation and has some of
/// its own.
macro_rules! sac_settings {
    ($(#[$attribute:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $crate::algorithm::off_policy::explorer_settings! {
            $(#[$attribute])*
            pub struct $name {
                /// Weight of the entropy, or `"auto"` to learn it.
                #[schemars(range(min = 0.0))]
                pub ent_coef: $crate::algorithm::sac::Tuned,
                /// The entropy that a learned `ent_coef` aims at, in nats; `"auto"` is minus the numbers in an
                /// action.
                pub target_entropy: $crate::algorithm::sac::Tuned,
                /// Gradient steps between two updates of the target networks.
                #[schemars(range(min = 1))]
                pub target_update_interval: u64,
                /// How many critics there are; SAC counts their lowest value, TQC mixes their quantiles.
                #[schemars(range(min = 1, max = 100))]
                pub n_critics: usize,
                $($own)*
            }
        }

        impl $name {
            fn sac(&self) -> $crate::algorithm::sac::SacConfig {
                $crate::algorithm::sac::SacConfig {
                    explorer: self.explorer(),
                    batch_size: self.batch_size,
                    tau: self.tau,
                    ent_coef: self.ent_coef,
                    target_entropy: self.target_entropy,
                    target_update_interval: self.target_update_interval,
                    n_critics: self.n_critics,
                }
            }
        }
    };
}
pub(super) use sac_settings;

sac_settings! {
    /// Hyperparameters of SAC.
    pub struct SacSpec {}
}

impl Default for SacSpec {
    fn default() -> Self {
        Self {
            n_envs: 1,
            learning_rate: Annealed::Constant(3e-4),
            buffer_size: 1_000_000,
            learning_starts: 100,
            batch_size: 256,
            tau: 0.005,
            gamma: 0.99,
            train_freq: 1,
            gradient_steps: 1,
            ent_coef: Tuned::Auto,
            target_entropy: Tuned::Auto,
            target_update_interval: 1,
            n_critics: 2,
            n_steps: 1,
            action_noise: None,
        }
    }
}

/// A number, or `"auto"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Tuned {
    /// Found by the algorithm.
    Auto,
    /// This number.
    Fixed(f64),
}

impl Serialize for Tuned {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Tuned::Auto => "auto".serialize(serializer),
            Tuned::Fixed(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Tuned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(word) if word == "auto" => Ok(Tuned::Auto),
            value => (value.as_f64().map(Tuned::Fixed))
                .ok_or_else(|| de::Error::custom(r#"expected a number or "auto""#)),
        }
    }
}

impl JsonSchema for Tuned {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Tuned".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "string"], "pattern": "^auto$" })
    }
}

impl AlgorithmSettings for SacSpec {
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
        off_policy::problems("sac", self.learning_rate, policy, schedule, env)
    }

    fn memory_bytes(&self, schedule: &ScheduleSpec, observations: &Space, actions: &Space) -> u64 {
        self.explorer().replay(schedule, observations, actions).bytes_while_saved()
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => actor::<T>(setup)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => Sac::<T, _>::new(self.sac(), Lowest, setup)?)
    }
}

/// A fresh actor for `setup`, whose outputs are a mean and a deviation for every number of an action.
///
/// # Errors
/// Fails if the engine or the device cannot be had.
pub(super) fn actor<T: Scalar>(setup: &Setup<'_>) -> anyhow::Result<SquashedPolicy<T>> {
    off_policy::actor(2, setup)
}

/// What the outputs of an ensemble of critics mean, and how they learn. Outputs lie critic after critic, each
/// `rows` rows.
pub(super) trait Valuation<T> {
    /// Outputs of each critic.
    fn outputs(&self) -> usize;

    /// Replaces `targets` by what the critics should learn of the state that follows, as many numbers for
    /// each row, given their target networks' outputs.
    fn targets(&self, rows: usize, outputs: &[T], targets: &mut Vec<T>);

    /// The critics' loss and its gradient at their outputs. `targets` are those of
    /// [`Valuation::targets`], discounted and with the reward.
    fn loss(&self, rows: usize, outputs: &[T], targets: &[T], gradients: &mut [T]) -> f64;

    /// The mean value of the rows, which the actor raises, and minus its gradient at the outputs.
    fn value(&self, rows: usize, outputs: &[T], gradients: &mut [T]) -> f64;
}

/// SAC's valuation: each critic has one value, and the lowest counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lowest;

impl Lowest {
    /// Which critic's value of each row is the lowest, the first of several.
    fn choose<T: Scalar>(rows: usize, outputs: &[T]) -> impl Iterator<Item = usize> {
        (0..rows).map(move |row| {
            let mut lowest = row;
            for place in (row..outputs.len()).step_by(rows) {
                // A NaN is chosen too, so that it shows.
                if outputs[place] < outputs[lowest] || outputs[place].is_nan() {
                    lowest = place;
                }
            }
            lowest
        })
    }
}

impl<T: Scalar> Valuation<T> for Lowest {
    fn outputs(&self) -> usize {
        1
    }

    fn targets(&self, rows: usize, outputs: &[T], targets: &mut Vec<T>) {
        targets.clear();
        targets.extend(Self::choose(rows, outputs).map(|place| outputs[place]));
    }

    /// Half the mean squared error, summed over the critics.
    fn loss(&self, rows: usize, outputs: &[T], targets: &[T], gradients: &mut [T]) -> f64 {
        let scale = T::of(1.0 / rows as f64);
        let mut sum = T::zero();
        for (i, (gradient, &value)) in gradients.iter_mut().zip(outputs).enumerate() {
            let error = value - targets[i % rows];
            sum += error * error;
            *gradient = scale * error;
        }
        0.5 * (sum * scale).as_f64()
    }

    fn value(&self, rows: usize, outputs: &[T], gradients: &mut [T]) -> f64 {
        let scale = T::of(1.0 / rows as f64);
        gradients.fill(T::zero());
        let mut sum = T::zero();
        for place in Self::choose(rows, outputs) {
            sum += outputs[place];
            gradients[place] = -scale;
        }
        (sum * scale).as_f64()
    }
}

/// The weight of the entropy, and how it is learned.
pub(super) struct Temperature<T> {
    /// Its logarithm, a parameter where it is learned.
    log: [T; 1],
    gradient: [T; 1],
    /// `None` where it is fixed.
    optimiser: Option<Optimiser<T>>,
    target_entropy: f64,
    fixed: f64,
}

impl<T: Scalar> Temperature<T> {
    /// For actions of so many numbers.
    pub(super) fn new(ent_coef: Tuned, target_entropy: Tuned, dimensions: usize) -> Self {
        let learned = ent_coef == Tuned::Auto;
        Self {
            log: [T::zero()],
            gradient: [T::zero()],
            optimiser: learned.then(|| Optimiser::new(OptimiserConfig::ADAM, 1)),
            target_entropy: match target_entropy {
                Tuned::Auto => -(dimensions as f64),
                Tuned::Fixed(entropy) => entropy,
            },
            fixed: match ent_coef {
                Tuned::Auto => 1.0,
                Tuned::Fixed(coefficient) => coefficient,
            },
        }
    }

    /// What it is now.
    pub(super) fn value(&self) -> f64 {
        if self.optimiser.is_some() { self.log[0].as_f64().exp() } else { self.fixed }
    }

    /// One step towards the target, and the loss before it: `-log · (mean log-probability + target)`.
    pub(super) fn learn(&mut self, mean_log_prob: f64, learning_rate: f64) -> Option<f64> {
        let optimiser = self.optimiser.as_mut()?;
        let excess = mean_log_prob + self.target_entropy;
        let loss = -self.log[0].as_f64() * excess;
        self.gradient = [T::of(-excess)];
        let Self { log: values, gradient: gradients, .. } = self;
        optimiser.step(learning_rate, &mut [ParametersMut { values, gradients }]);
        Some(loss)
    }

    /// Saves what was learned, if anything is.
    pub(super) fn save(&self, state: &mut Tensors) {
        if let Some(optimiser) = &self.optimiser {
            state.insert("log_ent_coef", &[1], &self.log);
            optimiser.save("ent_coef_optimiser.", state);
        }
    }

    /// Restores what [`Temperature::save`] saved.
    ///
    /// # Errors
    /// Fails if something is missing or does not fit.
    pub(super) fn load(&mut self, state: &Tensors) -> Result<(), StateError> {
        if let Some(optimiser) = &mut self.optimiser {
            self.log = [state.get("log_ent_coef", &[1])?[0]];
            optimiser.load("ent_coef_optimiser.", state)?;
        }
        Ok(())
    }
}

/// What a [`Sac`] is built from, beside the agent's network.
#[derive(Debug, Clone, Copy)]
pub(super) struct SacConfig {
    /// How it collects.
    pub explorer: ExplorerConfig,
    /// Steps in a minibatch.
    pub batch_size: usize,
    /// How far the targets move to the critics at each of their updates.
    pub tau: f64,
    /// Weight of the entropy.
    pub ent_coef: Tuned,
    /// The entropy that a learned weight aims at.
    pub target_entropy: Tuned,
    /// Gradient steps between two updates of the targets.
    pub target_update_interval: u64,
    /// How many critics there are.
    pub n_critics: usize,
}

/// SAC at work, with the valuation `V` (TQC brings another).
pub(super) struct Sac<T: Scalar, V> {
    config: SacConfig,
    valuation: V,
    explorer: Explorer<T>,
    optimiser: Optimiser<T>,
    critics: Critics<T>,
    temperature: Temperature<T>,
    dropout: Rng,
    noise_stream: Rng,
    present: Draws<T>,
    next: Draws<T>,
    scratch: Scratch<T>,
}

/// Actions that the actor drew for a batch.
#[derive(Default)]
pub(super) struct Draws<T> {
    /// The actor's outputs.
    pub outputs: Vec<T>,
    noise: Vec<T>,
    /// The actions, as many as the batch has rows.
    pub actions: Vec<T>,
    /// The actions as critics take them.
    pub inputs: Vec<f32>,
    /// Their log-probabilities.
    pub log_probs: Vec<T>,
}

impl<T: Scalar> Draws<T> {
    /// The mean of the log-probabilities.
    pub(super) fn mean_log_prob(&self) -> f64 {
        let sum = self.log_probs.iter().copied().sum::<T>();
        sum.as_f64() / self.log_probs.len() as f64
    }

    /// Draws an action for each row of the outputs.
    pub(super) fn draw(&mut self, head: SquashedGaussian, rng: &mut Rng) {
        let dimensions = head.dimensions;
        let rows = self.outputs.len() / head.outputs();
        self.noise.clear();
        self.noise.extend((0..rows * dimensions).map(|_| T::of(normal(rng))));
        self.actions.resize(rows * dimensions, T::zero());
        self.log_probs.clear();
        let noise = self.noise.chunks_exact(dimensions);
        let actions = self.actions.chunks_exact_mut(dimensions);
        for ((outputs, noise), action) in
            self.outputs.chunks_exact(head.outputs()).zip(noise).zip(actions)
        {
            self.log_probs.push(head.act(outputs, noise, action));
        }
        self.inputs.clear();
        self.inputs.extend(self.actions.iter().map(|action| action.as_f32()));
    }

    /// The gradient of the actor's loss at its outputs, given that of the critics' part at the actions: the mean
    /// log-probability counts `temperature` times in the loss.
    pub(super) fn differentiate(
        &self,
        head: SquashedGaussian,
        grad_actions: &[T],
        temperature: f64,
        grad_outputs: &mut Vec<T>,
    ) {
        grad_outputs.resize(self.outputs.len(), T::zero());
        let by_log_prob = T::of(temperature / self.log_probs.len() as f64);
        let (width, dimensions) = (head.outputs(), head.dimensions);
        for (i, gradient) in grad_outputs.chunks_exact_mut(width).enumerate() {
            let here = i * dimensions..(i + 1) * dimensions;
            head.differentiate(
                &self.outputs[i * width..(i + 1) * width],
                &self.noise[here.clone()],
                &self.actions[here.clone()],
                &grad_actions[here],
                by_log_prob,
                gradient,
            );
        }
    }
}

/// Buffers of one update.
#[derive(Default)]
struct Scratch<T> {
    values: Vec<T>,
    targets: Vec<T>,
    gradients: Vec<T>,
    grad_actions: Vec<T>,
    grad_outputs: Vec<T>,
}

impl<T: Scalar, V: Valuation<T>> Sac<T, V> {
    /// A fresh agent.
    ///
    /// # Errors
    /// Fails if the engine or the device cannot be had.
    pub(super) fn new(config: SacConfig, valuation: V, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let explorer = Explorer::<T>::new(config.explorer, actor(setup)?, setup)?;
        let parameters = explorer.policy.network.parameters().len();
        let dimensions = explorer.policy.dimensions();
        Ok(Self {
            optimiser: Optimiser::new(OptimiserConfig::ADAM, parameters),
            critics: Critics::new(config.n_critics, valuation.outputs(), setup)?,
            temperature: Temperature::new(config.ent_coef, config.target_entropy, dimensions),
            explorer,
            valuation,
            dropout: stream(setup.seed, Purpose::Minibatch, 1),
            noise_stream: stream(setup.seed, Purpose::Minibatch, 3),
            present: Draws::default(),
            next: Draws::default(),
            scratch: Scratch::default(),
            config,
        })
    }

    /// One step of temperature, critics and actor on a minibatch.
    fn learn(&mut self, learning_rate: f64, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let rows = self.config.batch_size;
        let Self { explorer, critics, valuation, present, next, scratch, .. } = self;
        explorer.sample(rows);
        let Explorer { policy, batch, features, next_features, .. } = explorer;
        let head = SquashedGaussian { dimensions: policy.dimensions() };
        let actor = &mut policy.network;
        present.outputs.resize(rows * head.outputs(), T::zero());
        actor.forward_train(features, rows, &mut self.dropout, &mut present.outputs);
        present.draw(head, &mut self.noise_stream);
        next.outputs.resize(rows * head.outputs(), T::zero());
        actor.forward(next_features, rows, &mut next.outputs);
        next.draw(head, &mut self.noise_stream);

        let temperature = self.temperature.value();
        let temperature_loss = self.temperature.learn(present.mean_log_prob(), learning_rate);

        let count = critics.count();
        critics.targets(rows, next_features, &next.inputs, &mut scratch.values);
        valuation.targets(rows, &scratch.values, &mut scratch.targets);
        let each = scratch.targets.len() / rows;
        for (i, targets) in scratch.targets.chunks_exact_mut(each).enumerate() {
            let entropy = T::of(-temperature) * next.log_probs[i];
            let (reward, discount) = (T::of_f32(batch.rewards[i]), T::of_f32(batch.discounts[i]));
            targets.iter_mut().for_each(|value| *value = reward + discount * (*value + entropy));
        }
        critics.forward(count, rows, features, &batch.actions, &mut scratch.values);
        scratch.gradients.resize(scratch.values.len(), T::zero());
        let critic_loss =
            valuation.loss(rows, &scratch.values, &scratch.targets, &mut scratch.gradients);
        critics.learn(&scratch.gradients, learning_rate);

        critics.forward(count, rows, features, &present.inputs, &mut scratch.values);
        let value = valuation.value(rows, &scratch.values, &mut scratch.gradients);
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
                ("critic_loss", critic_loss),
                ("q_value", value),
                ("entropy", entropy),
                ("ent_coef", temperature),
            ],
        )?;
        if let Some(loss) = temperature_loss {
            report(metrics, &[("ent_coef_loss", loss)])?;
        }
        self.optimiser.step(learning_rate, &mut [actor.parameters_and_gradients()]);
        Ok(())
    }
}

impl<T: Scalar, V: Valuation<T>> Algorithm for Sac<T, V> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let Some(update) = self.explorer.play(world)? else { return Ok(()) };
        for step in 0..update.gradient_steps {
            self.learn(update.learning_rate, metrics)?;
            if step.is_multiple_of(self.config.target_update_interval) {
                self.critics.follow(self.config.tau);
            }
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
        state.insert_rng("dropout", &self.dropout);
        state.insert_rng("noise", &self.noise_stream);
    }

    fn load(&mut self, state: &Tensors) -> anyhow::Result<()> {
        self.explorer.load(state)?;
        self.critics.load(state)?;
        self.optimiser.load("optimiser.", state)?;
        self.temperature.load(state)?;
        self.dropout = state.rng("dropout")?;
        self.noise_stream = state.rng("noise")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

    const ROWS: usize = 12;
    const CRITICS: usize = 2;

    fn draw(n: usize, index: u64) -> Vec<f64> {
        let mut rng = stream(3, Purpose::Exploration, index);
        (0..n).map(|_| normal(&mut rng)).collect()
    }

    fn values(tensor: &Tensor) -> Vec<f64> {
        Vec::try_from(tensor).expect("a vector of doubles")
    }

    #[test]
    fn the_lowest_value_counts_and_its_losses_equal_autograd() {
        let outputs = draw(CRITICS * ROWS, 0);
        let wanted = draw(ROWS, 1);
        let leaf = || Tensor::from_slice(&outputs).set_requires_grad(true);
        let shape = [CRITICS as i64, ROWS as i64];
        let lowest = |leaf: &Tensor| leaf.view(shape).min_dim(0, false).0;

        let mut targets = Vec::new();
        Lowest.targets(ROWS, &outputs, &mut targets);
        assert_eq!(targets, values(&lowest(&leaf())));

        let mut gradients = vec![f64::NAN; outputs.len()];
        let loss = Lowest.loss(ROWS, &outputs, &wanted, &mut gradients);
        let q = leaf();
        let errors = q.view(shape) - Tensor::from_slice(&wanted);
        let expected = errors.square().sum(Kind::Double) * (0.5 / ROWS as f64);
        expected.backward();
        assert!((loss - expected.double_value(&[])).abs() < 1e-13);
        for (a, b) in gradients.iter().zip(values(&q.grad())) {
            assert!((a - b).abs() < 1e-14, "{a}, {b}");
        }

        let value = Lowest.value(ROWS, &outputs, &mut gradients);
        let q = leaf();
        let expected = -lowest(&q).mean(Kind::Double);
        expected.backward();
        assert!((value + expected.double_value(&[])).abs() < 1e-13);
        for (a, b) in gradients.iter().zip(values(&q.grad())) {
            assert!((a - b).abs() < 1e-14, "{a}, {b}");
        }
    }

    #[test]
    fn the_temperature_rises_where_there_is_too_little_entropy() {
        let mut temperature = Temperature::<f64>::new(Tuned::Auto, Tuned::Auto, 3);
        assert_eq!(temperature.value(), 1.0);
        // Entropy -5 is below the target of -3.
        temperature.learn(5.0, 0.1);
        assert!((temperature.value() - f64::exp(0.1)).abs() < 1e-6);
        let loss = temperature.learn(1.0, 0.1).expect("it is learned");
        assert!((loss - 0.1 * 2.0).abs() < 1e-6, "{loss}");

        let mut fixed = Temperature::<f64>::new(Tuned::Fixed(0.2), Tuned::Auto, 3);
        assert_eq!(fixed.learn(5.0, 0.1), None);
        assert_eq!(fixed.value(), 0.2);
    }

    #[test]
    fn auto_and_numbers_survive_json() {
        for (text, tuned) in [("\"auto\"", Tuned::Auto), ("-2.5", Tuned::Fixed(-2.5))] {
            assert_eq!(serde_json::from_str::<Tuned>(text).expect("a setting"), tuned);
            assert_eq!(serde_json::to_string(&tuned).expect("a setting"), text);
        }
        assert!(serde_json::from_str::<Tuned>("\"automatic\"").is_err());
    }
}

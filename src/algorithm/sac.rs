//! SAC: soft actor-critic (Haarnoja et al., "Soft actor-critic algorithms and applications", 2018), with
//! Stable-Baselines3's hyperparameters.
//!
//! An iteration plays `train_freq` steps in each environment and then makes `gradient_steps` updates on
//! minibatches from a replay memory: the critics learn the value of an action with the entropy that follows,
//! the actor to maximise the lower of their values and its own entropy, and the temperature, which weighs
//! the entropy, to keep it at `target_entropy`.
//!
//! With `use_sde` the actor explores by state-dependent noise ([`crate::nn::state_dependent`]) in place of independent draws.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::interface::{Algorithm, AlgorithmSettings, Setup, by_precision, report, sde_problems};
use super::off_policy::{self, Critics, Explorer, ExplorerConfig};
use crate::env::{Env, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::heads::SquashedGaussian;
use crate::nn::random::normal;
use crate::nn::state_dependent::{SquashedNoise, SquashedNoiseGradients};
use crate::nn::{
    Optimiser, OptimiserConfig, ParametersMut, Scalar, StateDependentNoise, StateError, Tensors,
};
use crate::policy::{LearnedPolicy, PolicySpec, SquashedPolicy, latent};
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
                /// Explore by generalised state-dependent exploration (gSDE; Raffin et al., 2021): noise that is a linear
                /// function of the actor's last hidden layer, the same one for many steps.
                pub use_sde: bool,
                /// Steps between two draws of that function; -1 for one at the start of every `train_freq` steps alone.
                #[schemars(range(min = -1))]
                pub sde_sample_freq: i64,
                /// Initial logarithm of the standard deviations of the weights of that noise.
                pub log_std_init: f64,
                $($own)*
            }
        }

        impl $name {
            /// The initial logarithm of the deviations of state-dependent noise, where there is any.
            fn sde(&self) -> Option<f64> {
                self.use_sde.then_some(self.log_std_init)
            }

            fn sac(&self) -> $crate::algorithm::sac::SacConfig {
                $crate::algorithm::sac::SacConfig {
                    explorer: $crate::algorithm::off_policy::ExplorerConfig {
                        sde_sample_freq: self.sde_sample_freq,
                        ..self.explorer()
                    },
                    batch_size: self.batch_size,
                    tau: self.tau,
                    ent_coef: self.ent_coef,
                    target_entropy: self.target_entropy,
                    target_update_interval: self.target_update_interval,
                    n_critics: self.n_critics,
                    sde: self.sde(),
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
            use_sde: false,
            sde_sample_freq: -1,
            log_std_init: -3.0,
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
        let mut problems = off_policy::problems("sac", self.learning_rate, policy, schedule, env);
        if self.use_sde {
            problems.extend(sde_problems(self.n_envs, policy, env));
        }
        problems
    }

    fn memory_bytes(&self, schedule: &ScheduleSpec, observations: &Space, actions: &Space) -> u64 {
        self.explorer().replay(schedule, observations, actions).bytes_while_saved()
    }

    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
        by_precision!(setup, T => actor::<T>(self.sde(), setup)?)
    }

    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>> {
        by_precision!(setup, T => Sac::<T, _>::new(self.sac(), Lowest, setup)?)
    }
}

/// A fresh actor for `setup`, whose outputs are a mean and a deviation for every number of an action; or a mean alone, with
/// state-dependent noise where `sde` says how its deviations begin.
///
/// # Errors
/// Fails if the engine or the device cannot be had.
pub(super) fn actor<T: Scalar>(
    sde: Option<f64>,
    setup: &Setup<'_>,
) -> anyhow::Result<SquashedPolicy<T>> {
    match sde {
        None => off_policy::actor(2, setup),
        Some(log_std_init) => off_policy::actor(1, setup)?.with_sde(log_std_init),
    }
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
    /// The initial logarithm of the deviations of state-dependent noise; `None` without it.
    pub sde: Option<f64>,
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
    /// Of state-dependent noise.
    variances: Vec<T>,
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
        self.tell_critics();
    }

    /// The same with state-dependent noise, by the latent features that gave the outputs.
    fn draw_by_state(&mut self, sde: &StateDependentNoise<T>, features: &[T]) {
        sde.noise(features, &mut self.noise);
        sde.variances(features, &mut self.variances);
        self.actions.resize(self.outputs.len(), T::zero());
        self.log_probs.clear();
        let [_, dimensions] = sde.shape();
        for (row, action) in self.actions.chunks_exact_mut(dimensions).enumerate() {
            let row = squashed(row, dimensions, &self.outputs, &self.noise, &self.variances);
            self.log_probs.push(row.act(action));
        }
        self.tell_critics();
    }

    fn tell_critics(&mut self) {
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

    /// The same after [`Draws::draw_by_state`]: the gradients at the outputs and at the latent features; those at the noise's
    /// deviations are kept with it.
    fn differentiate_by_state(
        &self,
        sde: &mut StateDependentNoise<T>,
        features: &[T],
        temperature: f64,
        scratch: &mut Scratch<T>,
    ) {
        let Scratch {
            grad_actions, grad_outputs, grad_noise, grad_variances, grad_features, ..
        } = scratch;
        for gradient in [&mut *grad_outputs, grad_noise, grad_variances] {
            gradient.resize(self.outputs.len(), T::zero());
        }
        let by_log_prob = T::of(temperature / self.log_probs.len() as f64);
        let [_, dimensions] = sde.shape();
        for (row, action) in self.actions.chunks_exact(dimensions).enumerate() {
            let here = row * dimensions..(row + 1) * dimensions;
            let gradients = SquashedNoiseGradients {
                outputs: &mut grad_outputs[here.clone()],
                noise: &mut grad_noise[here.clone()],
                variances: &mut grad_variances[here.clone()],
            };
            let row = squashed(row, dimensions, &self.outputs, &self.noise, &self.variances);
            row.differentiate(action, &grad_actions[here], by_log_prob, gradients);
        }
        grad_features.clear();
        grad_features.resize(features.len(), T::zero());
        sde.zero_gradients();
        sde.backward_noise(features, grad_noise, grad_features);
        sde.backward_variances(features, grad_variances, Some(grad_features));
    }
}

/// Row number `row` of a batch of actors' outputs with their noise.
fn squashed<'a, T>(
    row: usize,
    dimensions: usize,
    outputs: &'a [T],
    noise: &'a [T],
    variances: &'a [T],
) -> SquashedNoise<'a, T> {
    let here = row * dimensions..(row + 1) * dimensions;
    SquashedNoise {
        outputs: &outputs[here.clone()],
        noise: &noise[here.clone()],
        variances: &variances[here],
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
    /// Of state-dependent noise.
    grad_noise: Vec<T>,
    grad_variances: Vec<T>,
    grad_features: Vec<T>,
}

impl<T: Scalar, V: Valuation<T>> Sac<T, V> {
    /// A fresh agent.
    ///
    /// # Errors
    /// Fails if the engine or the device cannot be had.
    pub(super) fn new(config: SacConfig, valuation: V, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let explorer = Explorer::<T>::new(config.explorer, actor(config.sde, setup)?, setup)?;
        let deviations = explorer.policy.sde.as_ref().map_or(0, |sde| sde.log_std.len());
        let parameters = explorer.policy.network.parameters().len() + deviations;
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

    /// One step of temperature, critics and actor on the minibatch that was sampled last.
    fn learn(&mut self, learning_rate: f64, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let rows = self.config.batch_size;
        let Self { explorer, critics, valuation, present, next, scratch, .. } = self;
        let Explorer { policy, batch, features, next_features, .. } = explorer;
        let head = SquashedGaussian { dimensions: policy.dimensions() };
        let SquashedPolicy { network: actor, sde, .. } = policy;
        present.outputs.resize(rows * actor.outputs(), T::zero());
        actor.forward_train(features, rows, &mut self.dropout, &mut present.outputs);
        next.outputs.resize(rows * actor.outputs(), T::zero());
        actor.forward(next_features, rows, &mut next.outputs);
        if let Some(sde) = sde {
            sde.reset(1, &mut self.noise_stream);
            let latent = latent(&mut **actor);
            present.draw_by_state(sde, latent.learning_features());
            next.draw_by_state(sde, latent.acting_features());
        } else {
            present.draw(head, &mut self.noise_stream);
            next.draw(head, &mut self.noise_stream);
        }

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
        actor.zero_gradients();
        if let Some(sde) = sde {
            let latent = latent(&mut **actor);
            present.differentiate_by_state(sde, latent.learning_features(), temperature, scratch);
            latent.backward_with_features(&scratch.grad_outputs, &scratch.grad_features);
        } else {
            let Scratch { grad_actions, grad_outputs, .. } = scratch;
            present.differentiate(head, grad_actions, temperature, grad_outputs);
            actor.backward(grad_outputs, None);
        }
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
        let mut parameters = vec![actor.parameters_and_gradients()];
        parameters.extend(sde.as_mut().map(StateDependentNoise::parameters));
        self.optimiser.step(learning_rate, &mut parameters);
        Ok(())
    }
}

impl<T: Scalar, V: Valuation<T>> Algorithm for Sac<T, V> {
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError> {
        let Some(update) = self.explorer.play(world)? else { return Ok(()) };
        for step in 0..update.gradient_steps {
            self.explorer.sample(self.config.batch_size);
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
    use serde_json::{Value, json};
    use tch::{Kind, Tensor};

    use super::super::tqc::Quantiles;
    use super::*;
    use crate::algorithm::recorded_tests::{Recording, with_setup};
    use crate::env::Mode;
    use crate::policy::{NeuralSpec, Readout};

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

    /// The settings, the minibatches and the stream of noise are those of tests/goldens/gsde/record.py.
    fn assert_as_recorded(name: &str, valuation: impl Valuation<f64>) {
        let recording = Recording::load(&format!("gsde/{name}"));
        let (batch_size, tau, use_sde, log_std_init) = (ROWS, 0.1, true, -1.0);
        let spec = SacSpec { batch_size, tau, use_sde, log_std_init, ..SacSpec::default() };
        let policy = PolicySpec::Neural(NeuralSpec { hidden: vec![8, 6], ..NeuralSpec::default() });
        let new = |setup: &Setup<'_>| Sac::new(spec.sac(), valuation, setup);
        let mut agent = with_setup(&policy, new).expect("an engine on any CPU");
        // An actor, two critics and their targets of three layers, the noise's deviations and the temperature.
        assert_eq!(recording.begin(&mut agent), 5 * 3 * 2 + 2);
        for update in 0..8 {
            recording.replay(update, &mut agent.explorer);
            let mut metrics = MetricMeans::default();
            agent.learn(0.01, &mut metrics).expect("finite");
            agent.critics.follow(tau);
            recording.assert_losses(update, &metrics.take());
        }
        recording.end(&agent);
    }

    #[test]
    fn recorded_updates_with_state_dependent_noise_are_those_of_stable_baselines3() {
        assert_as_recorded("sac.safetensors", Lowest);
        assert_as_recorded("tqc.safetensors", Quantiles { count: 4, dropped: 2 });
    }

    /// However far beyond the bounds the network's outputs are.
    #[test]
    fn means_in_front_of_state_dependent_noise_are_bounded() {
        let policy = PolicySpec::Neural(NeuralSpec { hidden: Vec::new(), ..NeuralSpec::default() });
        let (observations, actions) =
            (Space::uniform_box(-9.0, 9.0, 3), Space::uniform_box(-1.0, 1.0, 2));
        let setup = Setup {
            policy: &policy,
            schedule: &ScheduleSpec::default(),
            observation_space: &observations,
            action_space: &actions,
            seed: 4,
        };
        let mut actor = actor::<f64>(Some(-3.0), &setup).expect("an engine on any CPU");
        assert_eq!(actor.readout(), Some(Readout::Squashed { clip_mean: Some(2.0) }));
        let mut rng = stream(4, Purpose::Exploration, 0);
        let mut greedy = |bias: f64| {
            let parameters = actor.network.parameters_mut();
            parameters.fill(0.0);
            parameters[6..].copy_from_slice(&[bias, -bias]);
            let mut action = [f32::NAN; 2];
            actor.decide(&[0.0; 3], Mode::Greedy, &mut rng, &mut action).expect("finite");
            action
        };
        for (bias, mean) in [(1.5, 1.5_f64), (7.0, 2.0)] {
            let expected = mean.tanh() as f32;
            assert_eq!(greedy(bias), [expected, -expected]);
        }
    }

    fn problems(id: &str, policy: Value, algorithm: Value) -> Vec<String> {
        let with = |mut all: Value, more: &Value| {
            all.as_object_mut().expect("JSON").extend(more.as_object().expect("JSON").clone());
            all
        };
        let experiment = json!({
            "name": "gsde", "environment": { "id": id },
            "agents": { "a": {
                "policy": with(json!({ "type": "neural" }), &policy),
                "training": {
                    "algorithm": with(json!({ "use_sde": true }), &algorithm),
                    "schedule": { "steps": 1 }
                }
            } }
        });
        let problems = crate::validation::check(&experiment).err().unwrap_or_default();
        problems
            .iter()
            .map(|problem| format!("{}: {}", problem.path.join("."), problem.message))
            .collect()
    }

    #[test]
    fn what_shows_no_latent_features_is_refused_state_dependent_noise() {
        for name in ["sac", "tqc"] {
            let found = |policy: Value, algorithm: Value| {
                let mut algorithm = algorithm;
                algorithm["name"] = name.into();
                problems("Pendulum-v1", policy, algorithm)
            };
            assert_eq!(found(json!({}), json!({ "sde_sample_freq": 8 })), [""; 0]);
            assert_eq!(found(json!({ "hidden": [], "dropout": 0.1 }), json!({})), [""; 0]);
            // `auto` is `torch` here.
            let wide = json!({ "hidden": [513] });
            assert_eq!(found(wide.clone(), json!({ "use_sde": false })), [""; 0]);
            for policy in [json!({ "engine": "torch" }), json!({ "device": "cuda" }), wide] {
                assert_eq!(
                    found(policy, json!({})),
                    [
                        "agents.a.policy.engine: state-dependent exploration (`use_sde`) is computed by engine \"native\" on \
                      the CPU alone: use \"engine\": \"native\", with \"device\": \"cpu\""
                    ]
                );
            }
            let below = found(json!({}), json!({ "sde_sample_freq": -2 }));
            assert!(below[0].contains("sde_sample_freq"), "{below:?}");
        }
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

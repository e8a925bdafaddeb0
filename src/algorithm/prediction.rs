//! Supervised learning for the planning algorithms: an ensemble of networks that predict something of an
//! observation and an action.
//!
//! Inputs and targets are standardised by the moments of the training samples. Members differ by their initial
//! weights and the order of their minibatches (Lakshminarayanan et al., "Simple and scalable predictive
//! uncertainty estimation using deep ensembles", 2017).

use super::interface::{Setup, report};
use crate::env::Space;
use crate::nn::normaliser::Standardiser;
use crate::nn::random::shuffle;
use crate::nn::replay::{OutOfMemory, room};
use crate::nn::{
    self, Engine, Initialisation, MlpConfig, Network, Optimiser, OptimiserConfig, Scalar,
    StateError, Tensors,
};
use crate::rng::{Purpose, Rng, stream};
use crate::training::{MetricMeans, TrialError};

/// Standardised inputs are cut to ±this, so that a network is not asked about what it has never seen, and
/// imagined states stay finite.
const CLIP: f32 = 10.0;
/// Rows of a batch without gradients.
const BATCH: usize = 1024;

/// How a part of a prediction is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Squared error of standardised numbers.
    Squared,
    /// Cross-entropy of a probability, whose logit is the network's output.
    Logistic,
}

/// Numbers of a prediction that belong together. Squared parts come before logistic ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// What it is: `NAME_loss` and `validation_NAME_loss` are its metrics.
    pub name: &'static str,
    /// How many numbers.
    pub len: usize,
    /// How it is learned.
    pub loss: Loss,
}

/// An ensemble of networks with the same task.
pub(super) struct Predictor<T: Scalar> {
    members: Vec<Box<dyn Network<T>>>,
    inputs: Standardiser,
    targets: Standardiser,
    parts: Vec<Part>,
    engine: Engine,
    outputs: Vec<T>,
}

/// How a [`Trainer`] teaches.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrainerConfig {
    /// Samples in a minibatch.
    pub batch_size: usize,
    /// Passes over the samples each time.
    pub n_epochs: usize,
    /// The share of the samples that is not learned from but measured on.
    pub validation_fraction: f64,
    /// L2 penalty of Adam.
    pub weight_decay: f64,
}

/// Teaches a [`Predictor`].
pub(super) struct Trainer<T: Scalar> {
    /// One for each member.
    optimisers: Vec<Optimiser<T>>,
    config: TrainerConfig,
    order: Rng,
    dropout: Rng,
}

/// Numbers in a row of [`Samples`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Widths {
    /// Numbers in an input.
    pub inputs: usize,
    /// Numbers in a prediction.
    pub targets: usize,
}

/// What is to be learned, row after row.
#[derive(Debug, Clone)]
pub(super) struct Samples {
    /// Inputs.
    pub inputs: Vec<f32>,
    /// What should be predicted; 0 or 1 for logistic parts.
    pub targets: Vec<f32>,
    /// A number that stays with each sample and decides whether it is held out for validation.
    pub numbers: Vec<u64>,
}

impl Samples {
    /// No samples, with room for `rows` of them.
    ///
    /// # Errors
    /// Fails if the system has no such room.
    pub(super) fn new(rows: usize, widths: Widths) -> Result<Self, OutOfMemory> {
        let whole = OutOfMemory { bytes: Self::bytes(rows, widths) };
        Ok(Self {
            inputs: room(rows * widths.inputs, whole)?,
            targets: room(rows * widths.targets, whole)?,
            numbers: room(rows, whole)?,
        })
    }

    /// Bytes that so many samples take.
    pub(super) fn bytes(rows: usize, Widths { inputs, targets }: Widths) -> u64 {
        (rows * ((inputs + targets) * size_of::<f32>() + size_of::<u64>())) as u64
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.inputs.clear();
        self.targets.clear();
        self.numbers.clear();
    }
}

/// Appends what a predictor sees of an observation and an action.
pub(super) fn encode(
    (observation_space, observation): (&Space, &[f32]),
    (action_space, action): (&Space, &[f32]),
    inputs: &mut Vec<f32>,
) {
    let first = inputs.len();
    let middle = first + observation_space.features();
    inputs.resize(middle + action_space.features(), 0.0);
    observation_space.encode(observation, &mut inputs[first..middle]);
    action_space.encode(action, &mut inputs[middle..]);
}

/// Whether sample `number` is held out: samples are spread evenly, and stay on their side for good.
fn held_out(number: u64, fraction: f64) -> bool {
    let held_out_before = |number: u64| (number as f64 * fraction).floor();
    held_out_before(number + 1) > held_out_before(number)
}

impl<T: Scalar> Predictor<T> {
    /// `members` fresh networks for `setup` that predict `parts`, whose losses are added up, of an observation
    /// and an action.
    ///
    /// # Errors
    /// Fails if the engine or the device cannot be had.
    pub(super) fn new(members: usize, parts: &[Part], setup: &Setup<'_>) -> anyhow::Result<Self> {
        let spec = setup.network()?;
        let inputs = setup.observation_space.features() + setup.action_space.features();
        let outputs = parts.iter().map(|part| part.len).sum();
        let mlp = MlpConfig {
            dropout: spec.dropout,
            initialisation: spec.initialisation.unwrap_or(Initialisation::Pytorch),
            ..MlpConfig::new(inputs, &spec.hidden, outputs, spec.activation)
        };
        let member = |index: usize| {
            let mut rng = stream(setup.seed, Purpose::Initialisation, index as u64);
            nn::build::<T>(&mlp, spec.engine, spec.device, &mut rng)
        };
        Ok(Self {
            members: (0..members).map(member).collect::<Result<_, _>>()?,
            inputs: Standardiser::new(inputs),
            targets: Standardiser::new(outputs),
            parts: parts.to_vec(),
            engine: spec.engine.resolve(&mlp, spec.device)?,
            outputs: Vec::new(),
        })
    }

    /// The engine of the networks.
    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    /// How many networks predict.
    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    /// Numbers in a prediction.
    pub(super) fn outputs(&self) -> usize {
        self.members[0].outputs()
    }

    /// Writes what `member` predicts of `inputs`, which are standardised in place: numbers in their own units,
    /// probabilities for logistic parts.
    pub(super) fn predict(
        &mut self,
        member: usize,
        inputs: &mut [f32],
        predictions: &mut Vec<f32>,
    ) {
        let network = &mut self.members[member];
        let (rows, width) = (inputs.len() / network.inputs(), network.outputs());
        self.inputs.apply(inputs);
        clip(inputs);
        self.outputs.resize(rows * width, T::zero());
        network.forward(inputs, rows, &mut self.outputs);
        predictions.clear();
        predictions.extend(self.outputs.iter().map(|output| output.as_f32()));
        self.targets.undo(predictions);
        let squared = squared_len(&self.parts);
        if squared < width {
            for row in predictions.chunks_exact_mut(width) {
                for value in &mut row[squared..] {
                    *value = 1.0 / (1.0 + (-*value).exp());
                }
            }
        }
    }

    /// Takes the moments of the `training` rows, and returns all rows standardised by them.
    fn standardise(&mut self, samples: &Samples, training: &[usize]) -> Samples {
        let (inputs, outputs) = (self.members[0].inputs(), self.outputs());
        self.inputs.fit(
            training.iter().map(|&row| &samples.inputs[row * inputs..(row + 1) * inputs]),
            inputs,
        );
        self.targets.fit(
            training.iter().map(|&row| &samples.targets[row * outputs..(row + 1) * outputs]),
            squared_len(&self.parts),
        );
        let mut batch = samples.clone();
        self.inputs.apply(&mut batch.inputs);
        clip(&mut batch.inputs);
        self.targets.apply(&mut batch.targets);
        batch
    }

    /// The losses of these rows.
    fn measure(&mut self, member: usize, batch: &Samples, rows: &[usize]) -> Vec<f64> {
        let network = &mut self.members[member];
        let inputs = gather(&batch.inputs, rows, network.inputs());
        let targets = gather(&batch.targets, rows, network.outputs());
        self.outputs.resize(targets.len(), T::zero());
        network.forward(&inputs, rows.len(), &mut self.outputs);
        loss(&self.parts, &self.outputs, &targets, &mut vec![T::zero(); targets.len()])
    }

    /// Saves what predicting needs; a network alone has PyTorch's names for its tensors.
    pub(super) fn save(&self, state: &mut Tensors) {
        for (index, member) in self.members.iter().enumerate() {
            state.insert_network(&self.prefix(index), &**member);
        }
        self.inputs.save("inputs.", state);
        self.targets.save("targets.", state);
    }

    /// Restores what [`Predictor::save`] saved.
    ///
    /// # Errors
    /// Fails if a tensor is missing or does not fit.
    pub(super) fn load(&mut self, state: &Tensors) -> Result<(), StateError> {
        for index in 0..self.members.len() {
            state.load_network(&self.prefix(index), &mut *self.members[index])?;
        }
        self.inputs.load("inputs.", state)?;
        self.targets.load("targets.", state)
    }

    fn prefix(&self, member: usize) -> String {
        if self.members.len() == 1 { String::new() } else { format!("member{member}.") }
    }
}

impl<T: Scalar> Trainer<T> {
    /// A trainer that has taught `predictor` nothing yet. `seed` is the trial's.
    pub(super) fn new(config: TrainerConfig, predictor: &Predictor<T>, seed: u64) -> Self {
        let adam = OptimiserConfig::Adam {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: config.weight_decay,
        };
        Self {
            optimisers: (predictor.members.iter())
                .map(|member| Optimiser::new(adam, member.parameters().len()))
                .collect(),
            config,
            order: stream(seed, Purpose::Minibatch, 0),
            dropout: stream(seed, Purpose::Minibatch, 1),
        }
    }

    /// Goes on teaching `predictor`, now from these samples. Losses go into `metrics`: of the last epoch's
    /// minibatches, and of the samples held out, each the mean over the ensemble.
    ///
    /// # Errors
    /// Fails if a loss stops being finite.
    pub(super) fn fit(
        &mut self,
        predictor: &mut Predictor<T>,
        samples: &Samples,
        learning_rate: f64,
        metrics: &mut MetricMeans,
    ) -> Result<(), TrialError> {
        let TrainerConfig { batch_size, n_epochs, validation_fraction, .. } = self.config;
        let (validation, mut training): (Vec<usize>, Vec<usize>) = (0..samples.numbers.len())
            .partition(|&row| held_out(samples.numbers[row], validation_fraction));
        if training.is_empty() {
            return Ok(());
        }
        let batch = predictor.standardise(samples, &training);
        let (mut train_loss, mut validation_loss) = (PartLosses::default(), PartLosses::default());
        for member in 0..predictor.members() {
            for epoch in 1..=n_epochs {
                shuffle(&mut self.order, &mut training);
                for rows in training.chunks(batch_size) {
                    let losses = self.step(predictor, member, &batch, rows, learning_rate);
                    if epoch == n_epochs {
                        train_loss.add(&losses, rows.len());
                    }
                }
            }
            for rows in validation.chunks(BATCH) {
                validation_loss.add(&predictor.measure(member, &batch, rows), rows.len());
            }
        }
        train_loss.report("", &predictor.parts, metrics)?;
        validation_loss.report("validation_", &predictor.parts, metrics)
    }

    /// A step of Adam on these rows.
    fn step(
        &mut self,
        predictor: &mut Predictor<T>,
        member: usize,
        batch: &Samples,
        rows: &[usize],
        learning_rate: f64,
    ) -> Vec<f64> {
        let Predictor { members, outputs, parts, .. } = predictor;
        let network = &mut members[member];
        let inputs = gather(&batch.inputs, rows, network.inputs());
        let targets = gather(&batch.targets, rows, network.outputs());
        outputs.resize(targets.len(), T::zero());
        network.forward_train(&inputs, rows.len(), &mut self.dropout, outputs);
        let mut gradients = vec![T::zero(); targets.len()];
        let losses = loss(parts, outputs, &targets, &mut gradients);
        network.zero_gradients();
        network.backward(&gradients, None);
        let mut parameters = [network.parameters_and_gradients()];
        self.optimisers[member].step(learning_rate, &mut parameters);
        losses
    }

    /// Saves what teaching goes on from.
    pub(super) fn save(&self, state: &mut Tensors) {
        for (index, optimiser) in self.optimisers.iter().enumerate() {
            optimiser.save(&format!("optimiser{index}."), state);
        }
        state.insert_rng("order", &self.order);
        state.insert_rng("dropout", &self.dropout);
    }

    /// Restores what [`Trainer::save`] saved.
    ///
    /// # Errors
    /// Fails if a tensor is missing or does not fit.
    pub(super) fn load(&mut self, state: &Tensors) -> Result<(), StateError> {
        for (index, optimiser) in self.optimisers.iter_mut().enumerate() {
            optimiser.load(&format!("optimiser{index}."), state)?;
        }
        self.order = state.rng("order")?;
        self.dropout = state.rng("dropout")?;
        Ok(())
    }
}

/// Numbers of the squared parts, which come first.
fn squared_len(parts: &[Part]) -> usize {
    parts.iter().filter(|part| part.loss == Loss::Squared).map(|part| part.len).sum()
}

fn clip(inputs: &mut [f32]) {
    inputs.iter_mut().for_each(|input| *input = input.clamp(-CLIP, CLIP));
}

fn gather(from: &[f32], rows: &[usize], width: usize) -> Vec<f32> {
    rows.iter().flat_map(|&row| &from[row * width..(row + 1) * width]).copied().collect()
}

/// The mean loss of each part over its numbers and the rows, and the gradient of their sum at the outputs.
fn loss<T: Scalar>(
    parts: &[Part],
    outputs: &[T],
    targets: &[f32],
    gradients: &mut [T],
) -> Vec<f64> {
    let width: usize = parts.iter().map(|part| part.len).sum();
    let rows = outputs.len() / width;
    let mut first = 0;
    let mut losses = Vec::with_capacity(parts.len());
    for part in parts {
        let scale = T::of(1.0 / (rows * part.len) as f64);
        let mut sum = T::zero();
        for row in 0..rows {
            for i in row * width + first..row * width + first + part.len {
                let (output, target) = (outputs[i], T::of_f32(targets[i]));
                match part.loss {
                    Loss::Squared => {
                        let error = output - target;
                        sum += error * error;
                        gradients[i] = scale * (error + error);
                    }
                    Loss::Logistic => {
                        // -ln p(target), in the form that does not overflow.
                        sum += output.max(T::zero()) - output * target
                            + (-output.abs()).exp().portable_ln_1p();
                        gradients[i] = scale * (T::one() / (T::one() + (-output).exp()) - target);
                    }
                }
            }
        }
        losses.push((sum * scale).as_f64());
        first += part.len;
    }
    losses
}

/// Means of the parts' losses over rows.
#[derive(Default)]
struct PartLosses {
    sums: Vec<f64>,
    rows: f64,
}

impl PartLosses {
    fn add(&mut self, losses: &[f64], rows: usize) {
        self.sums.resize(losses.len(), 0.0);
        self.rows += rows as f64;
        for (sum, loss) in self.sums.iter_mut().zip(losses) {
            *sum += loss * rows as f64;
        }
    }

    fn report(
        &self,
        prefix: &str,
        parts: &[Part],
        metrics: &mut MetricMeans,
    ) -> Result<(), TrialError> {
        for (part, sum) in parts.iter().zip(&self.sums) {
            let name = format!("{prefix}{}_loss", part.name);
            report(metrics, &[(&name, sum / self.rows)])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;
    use crate::experiment::ScheduleSpec;
    use crate::nn::random::{normal, uniform};
    use crate::policy::PolicySpec;

    const PARTS: [Part; 3] = [
        Part { name: "state", len: 3, loss: Loss::Squared },
        Part { name: "reward", len: 1, loss: Loss::Squared },
        Part { name: "termination", len: 1, loss: Loss::Logistic },
    ];
    const ROWS: usize = 7;

    fn rng() -> Rng {
        stream(3, Purpose::Exploration, 0)
    }

    fn case() -> (Vec<f64>, Vec<f32>) {
        let mut rng = rng();
        let outputs = (0..ROWS * 5).map(|_| 2.0 * normal(&mut rng)).collect();
        let target = |i: usize, rng: &mut Rng| match i % 5 {
            4 => f32::from(uniform(rng) < 0.5),
            _ => normal(rng) as f32,
        };
        (outputs, (0..ROWS * 5).map(|i| target(i, &mut rng)).collect())
    }

    fn total(outputs: &[f64], targets: &[f32]) -> f64 {
        loss(&PARTS, outputs, targets, &mut vec![0.0; outputs.len()]).iter().sum()
    }

    #[test]
    fn the_loss_and_its_gradient_equal_autograd() {
        let (outputs, targets) = case();
        let mut gradients = vec![f64::NAN; outputs.len()];
        let found = loss(&PARTS, &outputs, &targets, &mut gradients);
        let leaf = Tensor::from_slice(&outputs).set_requires_grad(true);
        let rows = leaf.view([ROWS as i64, 5]);
        let targets = Tensor::from_slice(&targets).to_kind(Kind::Double).view([ROWS as i64, 5]);
        let part = |first, len| (rows.narrow(1, first, len), targets.narrow(1, first, len));
        let squares = |(a, b): (Tensor, Tensor)| a.mse_loss(&b, tch::Reduction::Mean);
        let (logit, ended) = part(4, 1);
        let cross_entropy = logit.binary_cross_entropy_with_logits::<Tensor>(
            &ended,
            None,
            None,
            tch::Reduction::Mean,
        );
        let expected = [squares(part(0, 3)), squares(part(3, 1)), cross_entropy];
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected.double_value(&[])).abs() < 1e-13);
        }
        (&expected[0] + &expected[1] + &expected[2]).backward();
        let expected = Vec::<f64>::try_from(leaf.grad().flatten(0, -1)).expect("doubles");
        for (a, b) in gradients.iter().zip(expected) {
            assert!((a - b).abs() < 1e-14, "{a}, {b}");
        }
    }

    #[test]
    fn the_loss_gradient_equals_finite_differences() {
        let (mut outputs, targets) = case();
        let mut gradients = vec![0.0; outputs.len()];
        loss(&PARTS, &outputs, &targets, &mut gradients);
        let step = 1e-6;
        for i in 0..outputs.len() {
            let middle = outputs[i];
            outputs[i] = middle + step;
            let above = total(&outputs, &targets);
            outputs[i] = middle - step;
            let slope = (above - total(&outputs, &targets)) / (2.0 * step);
            outputs[i] = middle;
            assert!((slope - gradients[i]).abs() < 1e-8, "{slope}, {}", gradients[i]);
        }
    }

    #[test]
    fn samples_are_held_out_evenly_and_for_good() {
        for fraction in [0.0, 0.1, 0.37, 0.9] {
            let count = (0..1000).filter(|&number| held_out(number, fraction)).count();
            assert!((count as f64 - 1000.0 * fraction).abs() <= 1.0, "{fraction}: {count}");
        }
        assert!((0..20).filter(|&number| held_out(number, 0.1)).eq([9, 19]));
    }

    fn predictor(ensemble_size: usize, validation_fraction: f64) -> (Predictor<f32>, Trainer<f32>) {
        let policy: PolicySpec =
            serde_json::from_value(serde_json::json!({ "type": "neural", "hidden": [32] }))
                .expect("a policy");
        let space = Space::uniform_box(-1.0, 1.0, 2);
        let setup = Setup {
            policy: &policy,
            schedule: &ScheduleSpec::default(),
            observation_space: &space,
            action_space: &space,
            seed: 0,
        };
        let predictor =
            Predictor::new(ensemble_size, &PARTS, &setup).expect("an engine on any CPU");
        let config =
            TrainerConfig { batch_size: 32, n_epochs: 40, validation_fraction, weight_decay: 0.0 };
        let trainer = Trainer::new(config, &predictor, setup.seed);
        (predictor, trainer)
    }

    /// A linear system in units far from 1: changes, a reward, and an end beyond a limit.
    fn truth(x: &[f32]) -> [f32; 5] {
        [
            0.01 * x[0] + 0.02 * x[3],
            300.0 + 5.0 * x[1],
            x[2] - x[0],
            -1000.0 + 20.0 * x[3],
            f32::from(x[0] + x[1] > 1.0),
        ]
    }

    fn samples(count: usize, rng: &mut Rng) -> Samples {
        let mut samples =
            Samples::new(count, Widths { inputs: 4, targets: 5 }).expect("little memory");
        for number in 0..count as u64 {
            let x: [f32; 4] = std::array::from_fn(|_| normal(rng) as f32);
            samples.inputs.extend(x);
            samples.targets.extend(truth(&x));
            samples.numbers.push(number);
        }
        samples
    }

    #[test]
    fn an_ensemble_learns_a_linear_system() {
        let mut rng = rng();
        let samples = samples(2_000, &mut rng);
        let (mut predictor, mut trainer) = predictor(2, 0.1);
        let mut metrics = MetricMeans::default();
        trainer.fit(&mut predictor, &samples, 3e-3, &mut metrics).expect("nothing diverges");
        let metrics = metrics.take();
        for name in ["state_loss", "validation_state_loss", "reward_loss", "validation_reward_loss"]
        {
            assert!(metrics[name] < 0.01, "{name}: {}", metrics[name]);
        }
        assert!(metrics["validation_termination_loss"] < 0.1, "{metrics:?}");
        let mut predictions = Vec::new();
        for member in 0..2 {
            let x = [0.5, -0.3, 0.9, -1.1];
            predictor.predict(member, &mut x.to_vec(), &mut predictions);
            // A tenth of each target's deviation.
            for (i, tolerance) in [2.2e-3, 0.5, 0.14, 2.0, 0.1].into_iter().enumerate() {
                let error = (predictions[i] - truth(&x)[i]).abs();
                assert!(error < tolerance, "{i}: {predictions:?} for {:?}", truth(&x));
            }
        }
        let other = [0.3, 0.2, 0.1, 0.0];
        let mut first = Vec::new();
        predictor.predict(0, &mut other.to_vec(), &mut first);
        predictor.predict(1, &mut other.to_vec(), &mut predictions);
        assert_ne!(first, predictions, "members learn on their own");
    }

    #[test]
    fn what_is_held_out_is_not_learned() {
        let mut rng = rng();
        let mut samples = samples(200, &mut rng);
        // Held-out rewards are wrong: whoever learned them would predict them.
        for number in (0..200).filter(|&number| held_out(number, 0.2)) {
            samples.targets[number as usize * 5 + 3] = 1e6;
        }
        let (mut predictor, mut trainer) = predictor(1, 0.2);
        let mut metrics = MetricMeans::default();
        trainer.fit(&mut predictor, &samples, 1e-3, &mut metrics).expect("nothing diverges");
        let mut predictions = Vec::new();
        predictor.predict(0, &mut samples.inputs.clone(), &mut predictions);
        assert!(predictions.iter().skip(3).step_by(5).all(|reward| reward.abs() < 2e3));
        assert!(metrics.take()["validation_reward_loss"] > 1e3);
    }

    #[test]
    fn inputs_far_from_everything_seen_are_cut() {
        let (mut predictor, mut trainer) = predictor(1, 0.1);
        let mut metrics = MetricMeans::default();
        trainer
            .fit(&mut predictor, &samples(100, &mut rng()), 1e-3, &mut metrics)
            .expect("nothing diverges");
        let (mut far, mut further) = (Vec::new(), Vec::new());
        predictor.predict(0, &mut [1e3, -1e3, 1e3, 0.0], &mut far);
        predictor.predict(0, &mut [1e30, -1e30, f32::MAX, 0.0], &mut further);
        assert_eq!(far, further);
        assert!(far.iter().all(|x| x.is_finite()), "{far:?}");
    }

    #[test]
    fn a_loss_that_is_no_number_stops_the_trial() {
        let mut rng = rng();
        let mut samples = samples(50, &mut rng);
        samples.targets[0] = f32::NAN;
        let (mut predictor, mut trainer) = predictor(1, 0.0);
        let error = trainer.fit(&mut predictor, &samples, 1e-3, &mut MetricMeans::default());
        assert!(matches!(error, Err(TrialError::NotFinite { .. })));
    }
}

//! What an algorithm is to the rest of the program, and what it is built from.

use crate::env::{Env, Problem, Space};
use crate::experiment::ScheduleSpec;
use crate::nn::{
    self, CnnConfig, Engine, Head, Initialisation, MlpConfig, Network, Normalisation,
    RecurrentConfig, Scalar, Storage, Tensors,
};
use crate::policy::{HeadSpec, LearnedPolicy, NetworkPolicy, NeuralSpec, PolicySpec};
use crate::rng::{Purpose, stream};
use crate::training::{MetricMeans, TrialError, World};

/// `Ok` of the boxed value that is made for `T`, the floating-point type that the agent's network asks for; for
/// [`AlgorithmSettings::build_policy`] and [`AlgorithmSettings::build`].
///
/// ```
/// use rushes::algorithm::{Initial, Setup, by_precision};
/// use rushes::policy::LearnedPolicy;
///
/// fn build_policy(setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>> {
///     by_precision!(setup, T => setup.build_network_policy::<T>(Initial::PYTORCH)?)
/// }
/// ```
#[macro_export]
macro_rules! by_precision {
    ($setup:expr, $T:ident => $make:expr) => {
        match $setup.network()?.precision {
            $crate::nn::Precision::Float32 => {
                type $T = f32;
                Ok(Box::new($make))
            }
            $crate::nn::Precision::Float64 => {
                type $T = f64;
                Ok(Box::new($make))
            }
        }
    };
}
pub use by_precision;

/// A learning algorithm at work: it owns its networks, its optimiser and its random streams.
pub trait Algorithm {
    /// Collects experience from `world` ([`World::step`] or [`World::play`]), updates the policy once and says so
    /// ([`World::count_update`]). Diagnostics go into `metrics` under the field's names; [`report`] adds them.
    ///
    /// # Errors
    /// Fails if the environment fails or a number stops being finite.
    fn iterate(&mut self, world: &mut World, metrics: &mut MetricMeans) -> Result<(), TrialError>;

    /// The environments were restarted at a checkpoint: unfinished episodes are forgotten.
    fn restart(&mut self) {}

    /// The policy as it is now.
    fn policy(&self) -> &dyn LearnedPolicy;

    /// The policy as it is now, to act with in evaluations and takes.
    fn policy_mut(&mut self) -> &mut dyn LearnedPolicy;

    /// Makes the policy what another one saved ([`LearnedPolicy::save`]), before training. By default that is all; whoever
    /// keeps copies of the policy renews them too.
    ///
    /// # Errors
    /// Fails if a tensor is missing or does not fit.
    fn start_from(&mut self, policy: &Tensors) -> anyhow::Result<()> {
        Ok(self.policy_mut().load(policy)?)
    }

    /// Saves everything that the next iteration depends on, random streams included: a resumed run then equals one
    /// that was never interrupted.
    fn save(&self, state: &mut Tensors);

    /// Restores what [`Algorithm::save`] saved.
    ///
    /// # Errors
    /// Fails if something is missing or does not fit.
    fn load(&mut self, state: &Tensors) -> anyhow::Result<()>;

    /// Saves the samples that it learned from, where they are worth keeping by themselves: the tensors of
    /// `dataset.safetensors`.
    fn save_dataset(&self, _state: &mut Tensors) {}
}

/// What an algorithm is built from.
pub struct Setup<'a> {
    /// The agent's policy.
    pub policy: &'a PolicySpec,
    /// How long training lasts.
    pub schedule: &'a ScheduleSpec,
    /// The observation space.
    pub observation_space: &'a Space,
    /// The action space.
    pub action_space: &'a Space,
    /// The trial's seed, which every random stream is derived from.
    pub seed: u64,
}

impl<'a> Setup<'a> {
    /// The agent's network.
    ///
    /// # Errors
    /// Fails if its policy is another.
    pub fn network(&self) -> anyhow::Result<&'a NeuralSpec> {
        match self.policy {
            PolicySpec::Neural(network) => Ok(network),
            _ => anyhow::bail!("this algorithm learns a neural policy"),
        }
    }

    /// What the outputs of a policy over the action space mean: a normal distribution for continuous actions,
    /// and what the policy asks for else, of every part where a discrete action has several.
    ///
    /// # Errors
    /// Fails if the policy is not neural.
    pub fn head(&self) -> anyhow::Result<Head> {
        Ok(match (self.action_space, self.network()?.head) {
            (Space::Box { low, .. }, _) => Head::Gaussian { dimensions: low.len() },
            (_, HeadSpec::Sigmoid) => Head::Bernoulli,
            (space, HeadSpec::Softmax) => {
                Head::Categorical { nvec: space.discrete_parts().unwrap_or_default() }
            }
        })
    }

    /// A fresh policy that acts by a network of the agent's shape, as its head says.
    ///
    /// # Errors
    /// Fails if the agent's policy is not neural, or the engine or the device cannot be had.
    pub fn build_network_policy<T: Scalar>(
        &self,
        initial: Initial,
    ) -> anyhow::Result<NetworkPolicy<T>> {
        let head = self.head()?;
        let network = self.build_network(head.outputs(), initial, 0)?;
        let policy = NetworkPolicy::new(network, head, self.observation_space, self.action_space);
        Ok(policy.masked(self.policy.masks_actions()))
    }

    /// Flags of a mask of actions, where the policy takes only valid ones; else 0.
    pub(super) fn mask_len(&self) -> usize {
        match self.policy.masks_actions() {
            true => self.action_space.discrete_parts().unwrap_or_default().iter().sum(),
            false => 0,
        }
    }

    /// A fresh network of the agent's shape from observations to `outputs`, and the engine that computes it.
    /// Number `index` draws from an initialisation stream of its own.
    ///
    /// # Errors
    /// Fails if the policy is not neural, or the engine or the device cannot be had.
    pub fn build_network<T: Scalar>(
        &self,
        outputs: usize,
        initial: Initial,
        index: u64,
    ) -> anyhow::Result<(Box<dyn Network<T>>, Engine)> {
        self.build_normalised(outputs, initial, index, None)
    }

    /// [`Setup::build_network`] with what normalises between the layers.
    ///
    /// # Errors
    /// As there.
    pub(super) fn build_normalised<T: Scalar>(
        &self,
        outputs: usize,
        initial: Initial,
        index: u64,
        normalisation: Option<Normalisation>,
    ) -> anyhow::Result<(Box<dyn Network<T>>, Engine)> {
        let spec = self.network()?;
        let NeuralSpec { engine, device, .. } = *spec;
        let mlp = MlpConfig {
            dropout: spec.dropout,
            normalisation,
            initialisation: spec.initialisation.unwrap_or(initial.default),
            output_gain: initial.output_gain,
            ..MlpConfig::new(
                self.observation_space.features(),
                &spec.hidden,
                outputs,
                spec.activation,
            )
        };
        let mut rng = stream(self.seed, Purpose::Initialisation, index);
        if let Some(recurrent) = spec.recurrent {
            let config = RecurrentConfig::new(recurrent, mlp);
            let network = nn::build_recurrent(&config, engine, device, &mut rng)?;
            return Ok((network, engine.resolve_recurrent(device)?));
        }
        match spec.picture(self.observation_space) {
            Some(picture) => {
                let resolved = engine.resolve_cnn(&mlp, device)?;
                let config = CnnConfig::new(picture, &spec.convolutions, mlp);
                Ok((nn::build_cnn(&config, engine, device, &mut rng)?, resolved))
            }
            None => {
                let network = nn::build(&mlp, engine, device, &mut rng)?;
                Ok((network, engine.resolve(&mlp, device)?))
            }
        }
    }
}

/// How observations are kept until a network sees them.
pub(super) fn storage(observations: &Space) -> Storage {
    if observations.is_bytes() { Storage::Uint8 } else { Storage::Float32 }
}

/// How a network's parameters begin, where the agent does not say.
#[derive(Debug, Clone, Copy)]
pub struct Initial {
    /// What the algorithm's reference uses.
    pub default: Initialisation,
    /// Scale of the last layer under [`Initialisation::Orthogonal`].
    pub output_gain: f64,
}

impl Initial {
    /// PyTorch's.
    pub const PYTORCH: Self = Self { default: Initialisation::Pytorch, output_gain: 1.0 };
}

/// What the hyperparameters of every algorithm can do. Those of one algorithm are a type with a default for every
/// field, `#[serde(deny_unknown_fields, default)]` and a `JsonSchema` derived from it, which experiment files are held
/// against: ranges stand in `#[schemars(range(…))]`, and descriptions are the fields' documentation.
pub trait AlgorithmSettings {
    /// How many environments it collects from at a time.
    fn environments(&self) -> usize {
        1
    }

    /// Whether it learns from `training.dataset` instead of environments: it draws from the world's dataset
    /// ([`World::draw`]) and steps nothing.
    fn learns_from_dataset(&self) -> bool {
        false
    }

    /// Whether it learns a table instead of a network.
    fn tabular(&self) -> bool {
        false
    }

    /// Whether its networks may have convolutions.
    fn convolutional(&self) -> bool {
        false
    }

    /// Whether its networks have recurrent layers: those of a policy with `recurrent`, and of no other.
    fn recurrent(&self) -> bool {
        false
    }

    /// Whether it learns by valid actions only where the policy's `action_mask` asks for it.
    fn masks_actions(&self) -> bool {
        false
    }

    /// What normalises between its networks' layers, where something does.
    fn normalisation(&self) -> Option<Normalisation> {
        None
    }

    /// Whether it learns to act in this kind of action space.
    fn supports(&self, actions: &Space) -> bool;

    /// What makes the algorithm impossible with this policy on `env`, beyond [`Self::supports`]; paths are
    /// below the agent. By default only [`head_problem`].
    fn problems(&self, policy: &PolicySpec, _: &ScheduleSpec, env: &dyn Env) -> Vec<Problem> {
        head_problem(policy, env).into_iter().collect()
    }

    /// The most bytes that a trial's replay memory takes; 0 for an algorithm without one.
    fn memory_bytes(&self, _: &ScheduleSpec, _observations: &Space, _actions: &Space) -> u64 {
        0
    }

    /// A fresh policy: all that acting needs.
    ///
    /// # Errors
    /// Fails if the network's engine or device cannot be had.
    fn build_policy(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn LearnedPolicy>>;

    /// The algorithm with the policy that [`AlgorithmSettings::build_policy`] builds.
    ///
    /// # Errors
    /// Fails if the network's engine or device cannot be had.
    fn build(&self, setup: &Setup<'_>) -> anyhow::Result<Box<dyn Algorithm>>;
}

/// Whether a [`Head`] acts in this space: continuous actions, or discrete ones of one part or several.
pub fn has_head(actions: &Space) -> bool {
    actions.is_continuous() || actions.discrete_parts().is_some()
}

/// What is wrong with how a neural policy's outputs become actions of `env`; paths are below the agent.
pub fn head_problem(policy: &PolicySpec, env: &dyn Env) -> Option<Problem> {
    let actions = env.action_space();
    (policy.head() == Some(HeadSpec::Sigmoid) && actions.discrete() != Some(2)).then(|| {
        let message = format!("sigmoid decides between 2 actions, not {actions}");
        Problem::new(&["policy", "head"], message)
    })
}

/// Why an update cannot hold `count` rows of `width` numbers; `field` is the algorithm's setting that they are too
/// many by. Counted here since nothing is reserved beforehand, as a replay memory is.
pub(super) fn size_problem(field: &str, count: usize, width: u64) -> Option<Problem> {
    // A gigabyte in single precision.
    const MOST: u64 = 250_000_000;
    let numbers = (count as u64).saturating_mul(width);
    (numbers > MOST).then(|| {
        let message = format!(
            "an update would hold {count} × {width} numbers of 4 bytes, more than {MOST}: use a smaller value"
        );
        Problem::new(&["training", "algorithm", field], message)
    })
}

/// What makes state-dependent noise (`use_sde`) impossible with this policy in `n_envs` copies of `env`.
pub(super) fn sde_problems(n_envs: usize, policy: &PolicySpec, env: &dyn Env) -> Vec<Problem> {
    let (PolicySpec::Neural(network), actions) = (policy, env.action_space()) else {
        return Vec::new();
    };
    if !actions.is_continuous() {
        let message =
            format!("noise is for continuous actions, and there are {actions}: use false");
        return vec![Problem::new(&["training", "algorithm", "use_sde"], message)];
    }
    let inputs = env.observation_space().features();
    let remembered = network.recurrent.map_or(inputs, |recurrent| recurrent.hidden_size);
    let features = network.hidden.last().copied().unwrap_or(remembered);
    let matrix = features.saturating_mul(actions.len()) as u64;
    let engine = network.engine(inputs, None);
    let elsewhere = engine.is_ok_and(|engine| engine != Engine::NATIVE).then(|| {
        let message = "state-dependent exploration (`use_sde`) is computed by engine \"native\" on the CPU alone: use \
                       \"engine\": \"native\", with \"device\": \"cpu\"";
        Problem::new(&["policy", "engine"], message)
    });
    elsewhere.into_iter().chain(size_problem("n_envs", n_envs, matrix)).collect()
}

/// Adds an update's `losses`, or other named numbers, to `metrics`: their means go into the event log, the report's
/// charts and the exports.
///
/// # Errors
/// Fails if one of them is not a number any more: the trial stops there.
pub fn report(metrics: &mut MetricMeans, losses: &[(&str, f64)]) -> Result<(), TrialError> {
    if losses.iter().any(|(_, value)| !value.is_finite()) {
        let metrics = losses.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        return Err(TrialError::NotFinite { what: "the loss or its gradient".into(), metrics });
    }
    for (name, value) in losses {
        metrics.add(name, *value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::EnvironmentSpec;

    #[test]
    fn exploration_matrices_that_no_memory_holds_are_refused() {
        let (hidden, engine) = (vec![8192], Engine::NATIVE);
        let policy = PolicySpec::Neural(NeuralSpec { hidden, engine, ..NeuralSpec::default() });
        let environment =
            EnvironmentSpec { id: "Pendulum-v1".into(), ..EnvironmentSpec::default() };
        let (_, seen) = environment.build(&policy).expect("a known environment");
        let problems = |n_envs| -> Vec<String> {
            let problems = sde_problems(n_envs, &policy, seen.env());
            problems.iter().map(|p| format!("{}: {}", p.path.join("."), p.message)).collect()
        };
        assert_eq!(problems(4096), [""; 0]);
        let expected = "training.algorithm.n_envs: an update would hold 40000 × 8192 numbers of 4 bytes, more than \
                        250000000: use a smaller value";
        assert_eq!(problems(40_000), [expected]);
    }
}

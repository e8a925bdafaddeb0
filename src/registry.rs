//! What a program adds to `rushes`: environments, built-in policies, algorithms and network engines.
//!
//! The tables themselves belong to the rooms that look things up in them, and are each process's own, as
//! Gymnasium's registry is: serde and schemars read and describe settings without a place to hand a table
//! through. A [`Registry`] fills them once, before anything is read.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use crate::algorithm::{self, AlgorithmEntry};
use crate::env::{self, BuiltinPolicy, EnvSpec};
use crate::nn::{self, NetworkEngine};

/// Entries for the tables of this process, on top of the shipped ones. The `main.rs` of a program of one's own:
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use rushes::{cli, registry::Registry};
/// # mod thermostat { pub fn v0() -> rushes::env::EnvSpec { unimplemented!() } }
/// # mod one_plus_one { pub fn entry() -> rushes::algorithm::AlgorithmEntry { unimplemented!() } }
///
/// fn main() -> ExitCode {
///     let registry = Registry::standard()
///         .environment(thermostat::v0())
///         .algorithm(one_plus_one::entry());
///     cli::main_with(registry)
/// }
/// ```
///
/// `thermostat::v0()` is an [`EnvSpec`] whose `make` builds an [`Env`](crate::env::Env), and `one_plus_one::entry()` an
/// [`AlgorithmEntry`] of hyperparameters that are an [`AlgorithmSettings`](crate::algorithm::AlgorithmSettings):
/// `examples/own-environment` and `examples/own-algorithm` have both in full.
#[derive(Default)]
pub struct Registry {
    environments: Vec<EnvSpec>,
    policies: Vec<(String, BuiltinPolicy)>,
    algorithms: Vec<AlgorithmEntry>,
    engines: Vec<&'static dyn NetworkEngine>,
}

/// Whether this process has entries that the engines' own programs do not have.
static EXTENDED: AtomicBool = AtomicBool::new(false);

impl Registry {
    /// What `rushes` ships, and nothing else.
    pub fn standard() -> Self {
        Self::default()
    }

    /// Adds an environment, or replaces the one with its id.
    #[must_use]
    pub fn environment(mut self, spec: EnvSpec) -> Self {
        self.environments.push(spec);
        self
    }

    /// Adds a built-in policy to an environment.
    #[must_use]
    pub fn policy(mut self, environment: &str, policy: BuiltinPolicy) -> Self {
        self.policies.push((environment.to_owned(), policy));
        self
    }

    /// Adds an algorithm, or replaces the one with its name.
    #[must_use]
    pub fn algorithm(mut self, entry: AlgorithmEntry) -> Self {
        self.algorithms.push(entry);
        self
    }

    /// Adds a network engine, or replaces the one with its name.
    #[must_use]
    pub fn engine(mut self, engine: &'static dyn NetworkEngine) -> Self {
        self.engines.push(engine);
        self
    }

    /// Fills the tables of this process.
    ///
    /// # Errors
    /// Fails if a policy is for an environment that is not in the table.
    pub fn install(self) -> anyhow::Result<()> {
        let Self { environments, policies, algorithms, engines } = self;
        let extended = !(environments.is_empty() && policies.is_empty() && algorithms.is_empty());
        EXTENDED.fetch_or(extended, Ordering::Relaxed);
        environments.into_iter().for_each(env::register);
        for (id, policy) in policies {
            let spec = env::find(&id).with_context(|| env::unknown(&id))?;
            let mut spec = EnvSpec::clone(&spec);
            spec.policies.push(policy);
            env::register(spec);
        }
        algorithms.into_iter().for_each(algorithm::register);
        engines.into_iter().for_each(nn::register_engine);
        Ok(())
    }
}

/// Whether this process has entries of its own beside engines: programs that `rushes` ships do not know them.
pub fn is_extended() -> bool {
    EXTENDED.load(Ordering::Relaxed)
}

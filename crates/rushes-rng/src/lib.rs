//! Random numbers: NumPy's streams, which environments draw from, and the trial's own streams.
//!
//! Both start from NumPy's `SeedSequence`. An environment's stream ([`NpRandom`]) must equal
//! `numpy.random.default_rng(seed)` draw for draw; everything else (exploration, initialisation, minibatch
//! order) draws from a plain [`Rng`] of its own, derived with [`stream`], so that one purpose's draws never
//! shift another's.

use serde::{Deserialize, Serialize};

mod np_random;
mod seed_sequence;
mod ziggurat;

pub use np_random::NpRandom;
pub use seed_sequence::SeedSequence;

/// The generator of everything that is not an environment: PCG64, whose state goes into checkpoints.
pub type Rng = rand_pcg::Pcg64;

/// What a stream is for. The numbers are part of reproducibility: never change or reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u64)]
pub enum Purpose {
    /// Seeds of training environments: `index` is the environment's number.
    Environment = 1,
    /// Action sampling during training.
    Exploration = 2,
    /// Initial weights.
    Initialisation = 3,
    /// Minibatch order, replay sampling, dropout masks.
    Minibatch = 4,
    /// Action sampling of stochastic policies during evaluations and takes.
    Evaluation = 5,
    /// Hyperparameter search.
    Search = 6,
    /// Planning and candidate actions.
    Planning = 7,
    /// What environments' wrappers draw: `index` is the wrapper's number.
    Wrapper = 8,
}

/// The generator for one purpose: independent of every other `(seed, purpose, index)`.
pub fn stream(seed: u64, purpose: Purpose, index: u64) -> Rng {
    SeedSequence::new(&[seed, purpose as u64, index]).pcg64()
}

/// A seed for `Env::reset`, derived like [`stream`]. `restart` counts the checkpoints so
/// far. The top bit but one is set, so that no derived seed meets one that a person writes.
pub fn env_seed(seed: u64, index: u64, restart: u64) -> u64 {
    let words = SeedSequence::new(&[seed, Purpose::Environment as u64, index, restart]);
    words.generate_u64::<1>()[0] >> 2 | 1 << 62
}

//! Learning algorithms: the trait, the table, and what they save.
//!
//! An algorithm is one file that can be read alone: hyperparameters, collecting, loss with its gradient,
//! update. Adding one means that file and one line in the table of `table.rs`, or a call of
//! [`register`] from another crate; the schema, the checks of experiment files and the contract tests follow from it.
//!
//! `examples/own-algorithm` is an algorithm of a program of its own.
//!
//! Hyperparameters that several algorithms have are declared once: those of replay memories in `off_policy.rs`,
//! those of planning in `collection.rs`, SAC's and TQC's in `sac.rs`. Each algorithm lists all of its own with
//! their defaults.

mod a2c;
mod ars;
mod bc;
mod cem;
mod collection;
#[cfg(test)]
mod contract_tests;
mod crossq;
#[cfg(test)]
mod doors;
mod dqn;
#[cfg(test)]
mod echo;
mod interface;
mod model_based_planning;
mod model_free_planning;
mod off_policy;
mod on_policy;
mod openai_es;
mod population;
mod ppo;
mod pqn;
mod prediction;
mod q_learning;
mod qr_dqn;
#[cfg(test)]
mod recorded_tests;
mod recurrent_ppo;
mod reinforce;
mod sac;
mod table;
mod td3;
mod td3_bc;
mod tqc;

pub use interface::{
    Algorithm, AlgorithmSettings, Initial, Setup, by_precision, has_head, head_problem, report,
};
pub use table::{
    AlgorithmEntry, all, dataset_problem, problems, register, resolved, schemas, settings,
};

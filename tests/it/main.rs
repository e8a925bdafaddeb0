//! Integration tests, one binary: a module a topic.

mod check;
mod env_contract;
mod env_frames;
mod env_goldens;
mod env_policies;
mod export;
mod trace;

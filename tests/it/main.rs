//! Integration tests, one binary: a module a topic.

mod env_contract;
mod env_frames;
mod env_goldens;
mod env_policies;
mod report;
mod trace;

//! Integration tests, one binary: a module a topic.

mod architecture;
mod box2d;
mod check;
mod cli;
mod console;
mod env_contract;
mod env_frames;
mod env_goldens;
mod env_policies;
mod experiments;
mod export;
mod faults;
mod gate;
mod input;
mod interop;
mod kills;
mod learning;
mod pixels;
mod play;
mod report;
mod rules;
mod run;
mod search;
mod torture;
mod trace;
mod video;

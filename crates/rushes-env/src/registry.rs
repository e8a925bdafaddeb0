//! The open table of environments, as Gymnasium's registry: the shipped ones, and what a program adds.

use std::sync::{Arc, LazyLock, RwLock};

use crate::spec::EnvSpec;
use crate::{box2d, classic_control, names, toy_text};

/// The shipped environments, in the order `rushes envs` lists them. A new one is one file and one line here.
const SHIPPED: &[fn() -> EnvSpec] = &[
    classic_control::cartpole::v0,
    classic_control::cartpole::v1,
    classic_control::mountain_car::v0,
    classic_control::mountain_car_continuous::v0,
    classic_control::pendulum::v1,
    classic_control::acrobot::v1,
    toy_text::blackjack::v1,
    toy_text::frozen_lake::v1,
    toy_text::frozen_lake::large_v1,
    toy_text::cliff_walking::v0,
    toy_text::taxi::v3,
    box2d::lunar_lander::v3,
    box2d::lunar_lander::continuous_v3,
    box2d::bipedal_walker::v3,
    box2d::bipedal_walker::hardcore_v3,
    box2d::car_racing::v3,
];

static TABLE: LazyLock<RwLock<Vec<Arc<EnvSpec>>>> =
    LazyLock::new(|| RwLock::new(SHIPPED.iter().map(|spec| Arc::new(spec())).collect()));

/// Every environment, in the order `rushes envs` lists them.
pub fn all() -> Vec<Arc<EnvSpec>> {
    TABLE.read().expect("no thread panics with the lock").clone()
}

/// Adds an environment to the table of this process, or replaces the one with its id.
pub fn register(spec: EnvSpec) {
    let mut table = TABLE.write().expect("no thread panics with the lock");
    match table.iter_mut().find(|known| known.id == spec.id) {
        Some(known) => *known = Arc::new(spec),
        None => table.push(Arc::new(spec)),
    }
}

/// The environment with this id.
pub fn find(id: &str) -> Option<Arc<EnvSpec>> {
    all().into_iter().find(|spec| spec.id == id)
}

/// The message for an id that is not in the table: names the nearest one, or all.
pub fn unknown(id: &str) -> String {
    let all = all();
    let known: Vec<_> = all.iter().map(|spec| spec.id.as_str()).collect();
    names::unknown("environment", id, &known)
}

//! The open table of environments, as Gymnasium's registry: the shipped ones, and what a program adds.

use std::sync::{Arc, LazyLock, RwLock};

#[cfg(box2d)]
use crate::box2d;
use crate::spec::EnvSpec;
use crate::{classic_control, mujoco, names, phys2d, toy_text};

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
    toy_text::cliff_walking::v1,
    toy_text::cliff_walking::slippery_v1,
    toy_text::taxi::v3,
    toy_text::taxi::v4,
    toy_text::blackjack::tabular_v0,
    toy_text::cliff_walking::tabular_v0,
    phys2d::cartpole::v0,
    phys2d::cartpole::v1,
    phys2d::pendulum::v0,
    #[cfg(box2d)]
    box2d::lunar_lander::v3,
    #[cfg(box2d)]
    box2d::lunar_lander::continuous_v3,
    #[cfg(box2d)]
    box2d::bipedal_walker::v3,
    #[cfg(box2d)]
    box2d::bipedal_walker::hardcore_v3,
    #[cfg(box2d)]
    box2d::car_racing::v3,
    mujoco::reacher::v4,
    mujoco::reacher::v5,
    mujoco::pusher::v5,
    mujoco::inverted_pendulum::v4,
    mujoco::inverted_pendulum::v5,
    mujoco::inverted_double_pendulum::v4,
    mujoco::inverted_double_pendulum::v5,
    mujoco::half_cheetah::v4,
    mujoco::half_cheetah::v5,
    mujoco::hopper::v4,
    mujoco::hopper::v5,
    mujoco::swimmer::v4,
    mujoco::swimmer::v5,
    mujoco::walker2d::v4,
    mujoco::walker2d::v5,
    mujoco::ant::v4,
    mujoco::ant::v5,
    mujoco::humanoid::v4,
    mujoco::humanoid::v5,
    mujoco::humanoid_standup::v4,
    mujoco::humanoid_standup::v5,
];

/// Ids of Gymnasium's registry that this program does not make, with why and what to use.
const RETIRED: &[(&[&str], &str)] = &[
    #[cfg(not(box2d))]
    (
        &[
            "LunarLander-v3",
            "LunarLanderContinuous-v3",
            "BipedalWalker-v3",
            "BipedalWalkerHardcore-v3",
            "CarRacing-v3",
        ],
        "needs Box2D, whose source was not there when this program was built: run ./bootstrap in its checkout, which \
         fetches it, and build it again",
    ),
    (
        &[
            "Reacher-v2",
            "Pusher-v2",
            "InvertedPendulum-v2",
            "InvertedDoublePendulum-v2",
            "HalfCheetah-v2",
            "HalfCheetah-v3",
            "Hopper-v2",
            "Hopper-v3",
            "Swimmer-v2",
            "Swimmer-v3",
            "Walker2d-v2",
            "Walker2d-v3",
            "Ant-v2",
            "Ant-v3",
            "Humanoid-v2",
            "Humanoid-v3",
            "HumanoidStandup-v2",
        ],
        "needs mujoco-py, which Gymnasium has given up: use its v5",
    ),
    (&["Pusher-v4"], "needs MuJoCo 2, Gymnasium refuses it with MuJoCo 3: use Pusher-v5"),
    (
        &["GymV21Environment-v0", "GymV26Environment-v0"],
        "wraps an environment of OpenAI's gym: install shimmy in a Python and add `\"gymnasium\": {}` beside `id`",
    ),
];

/// Ids that Gymnasium's registry lists and that are not made here, with why and what to use.
pub fn retired() -> impl Iterator<Item = (&'static str, &'static str)> {
    RETIRED.iter().flat_map(|&(ids, why)| ids.iter().map(move |&id| (id, why)))
}

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

/// The message for an id that is not in the table: says what became of it, or names the nearest one, or all.
pub fn unknown(id: &str) -> String {
    if let Some((id, why)) = retired().find(|&(retired, _)| retired == id) {
        return format!("the environment `{id}` {why}");
    }
    let all = all();
    let known: Vec<_> = all.iter().map(|spec| spec.id.as_str()).collect();
    names::unknown("environment", id, &known)
}

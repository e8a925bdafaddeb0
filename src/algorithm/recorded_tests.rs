//! Updates that other programs recorded in double precision: the weights before the first one, minibatches and losses of each, and
//! the weights after the last one (`tests/goldens/*/record.py`).

use std::path::Path;

use indexmap::IndexMap;

use super::off_policy::Explorer;
use super::{Algorithm, Setup};
use crate::env::Space;
use crate::experiment::ScheduleSpec;
use crate::nn::Tensors;
use crate::nn::replay::Batch;
use crate::policy::PolicySpec;

/// A recording: tensors called `before.NAME`, `after.NAME` and, of each update, `NUMBER.NAME`.
pub(super) struct Recording(Tensors);

impl Recording {
    /// That of a file below `tests/goldens`.
    pub(super) fn load(file: &str) -> Self {
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
        Self(Tensors::load(&goldens.join(file)).expect("recorded tensors"))
    }

    /// Gives an agent the weights that the recorded one had before; says how many tensors those are.
    pub(super) fn begin(&self, agent: &mut dyn Algorithm) -> usize {
        let mut state = Tensors::default();
        agent.save(&mut state);
        let before = self.of("before.");
        for (name, whole) in &before {
            assert!(state.contains(name), "{name}");
            state.insert(name, self.0.shape(whole).expect("recorded"), &self.numbers(whole));
        }
        agent.load(&state).expect("its own state");
        before.len()
    }

    /// All numbers of a tensor.
    pub(super) fn numbers(&self, name: &str) -> Vec<f64> {
        self.0.get(name, self.0.shape(name).expect("recorded")).expect("doubles")
    }

    /// The same in single precision, which holds what minibatches are made of.
    pub(super) fn single(&self, name: &str) -> Vec<f32> {
        self.numbers(name).into_iter().map(|number| number as f32).collect()
    }

    /// Has the minibatch of an update be what was sampled last of a replay memory.
    pub(super) fn replay(&self, update: usize, explorer: &mut Explorer<f64>) {
        let read = |name: &str| self.single(&format!("{update}.{name}"));
        explorer.batch = Batch {
            actions: read("actions"),
            rewards: read("rewards"),
            discounts: read("discounts"),
            ..Batch::default()
        };
        explorer.features = read("observations");
        explorer.next_features = read("next_observations");
    }

    /// Checks that numbers are those of this name.
    pub(super) fn assert_close(&self, name: &str, found: &[f64]) {
        let expected = self.numbers(name);
        assert_eq!(found.len(), expected.len(), "{name}");
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-9 * e.abs().max(1.0), "{name}: {f}, {e}");
        }
    }

    /// Checks that an update had the losses of a replaying agent that were recorded, and no other one.
    pub(super) fn assert_losses(&self, update: usize, found: &IndexMap<String, f64>) {
        for loss in ["critic_loss", "actor_loss", "ent_coef_loss"] {
            let name = format!("{update}.{loss}");
            assert_eq!(found.contains_key(loss), self.0.contains(&name), "{name}");
            if let Some(found) = found.get(loss) {
                self.assert_close(&name, &[*found]);
            }
        }
    }

    /// Checks that an agent has the weights that the recorded one had after all updates.
    pub(super) fn end(&self, agent: &dyn Algorithm) {
        let mut state = Tensors::default();
        agent.save(&mut state);
        for (name, whole) in self.of("after.") {
            let shape = self.0.shape(whole).expect("recorded");
            self.assert_close(whole, &state.get::<f64>(name, shape).expect("its own state"));
        }
    }

    /// The names of the tensors that begin so, without that and whole.
    fn of(&self, prefix: &str) -> Vec<(&str, &str)> {
        let names = self.0.names();
        names.filter_map(|whole| Some((whole.strip_prefix(prefix)?, whole))).collect()
    }
}

/// Makes an agent for the task of the recorded ones, of three observed numbers and two actions, with the seed of the recorded
/// noise.
pub(super) fn with_setup<R>(policy: &PolicySpec, new: impl FnOnce(&Setup<'_>) -> R) -> R {
    new(&Setup {
        policy,
        schedule: &ScheduleSpec { steps: Some(100), ..ScheduleSpec::default() },
        observation_space: &Space::uniform_box(-9.0, 9.0, 3),
        action_space: &Space::uniform_box(-2.0, 2.0, 2),
        seed: 4,
    })
}

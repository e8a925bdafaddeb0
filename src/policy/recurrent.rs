//! What recurrent networks remember of the episodes that they play.

use crate::nn::{Network, RecurrentNetwork, Scalar};

/// The states of a recurrent actor and of its critic, a row of either for each episode that is played beside others: zeros
/// where one begins.
#[derive(Debug, Clone, Default)]
pub struct RecurrentStates<T> {
    /// The actor's.
    pub actor: Vec<T>,
    /// The critic's; empty where it has no network of its own.
    pub critic: Vec<T>,
}

impl<T: Scalar> RecurrentStates<T> {
    /// States of `rows` episodes that begin, where the networks are recurrent.
    pub fn new(
        actor: &mut dyn Network<T>,
        critic: Option<&mut Box<dyn Network<T>>>,
        rows: usize,
    ) -> Option<Self> {
        let zeros = |network: &dyn RecurrentNetwork<T>| vec![T::zero(); rows * network.state_len()];
        let actor = zeros(actor.recurrent()?);
        let critic = critic.map_or_else(Vec::new, |critic| zeros(recurrent(&mut **critic)));
        Some(Self { actor, critic })
    }

    /// Writes the actor's outputs for the next step of each episode, and the values of a `critic` of its own, and remembers
    /// the step.
    pub fn step(
        &mut self,
        actor: &mut dyn Network<T>,
        critic: Option<&mut Box<dyn Network<T>>>,
        features: &[f32],
        rows: usize,
        outputs: &mut [T],
        values: &mut [T],
    ) {
        recurrent(actor).step(features, rows, &mut self.actor, outputs);
        if let Some(critic) = critic {
            recurrent(&mut **critic).step(features, rows, &mut self.critic, values);
        }
    }

    /// Begins the episode of row `row` of `rows` anew.
    pub fn forget(&mut self, row: usize, rows: usize) {
        for states in [&mut self.actor, &mut self.critic] {
            let width = states.len() / rows;
            states[row * width..(row + 1) * width].fill(T::zero());
        }
    }

    /// Begins all episodes anew.
    pub fn forget_all(&mut self) {
        self.forget(0, 1);
    }

    /// Empties it, for [`RecurrentStates::push_row`].
    pub fn clear(&mut self) {
        self.actor.clear();
        self.critic.clear();
    }

    /// Appends row `row` of the `rows` of `other`.
    pub fn push_row(&mut self, other: &Self, row: usize, rows: usize) {
        for (own, other) in [(&mut self.actor, &other.actor), (&mut self.critic, &other.critic)] {
            let width = other.len() / rows;
            own.extend_from_slice(&other[row * width..(row + 1) * width]);
        }
    }
}

/// The network of a policy that has states.
///
/// # Panics
/// Panics if the network is not recurrent.
pub(crate) fn recurrent<T: Scalar>(network: &mut dyn Network<T>) -> &mut dyn RecurrentNetwork<T> {
    network.recurrent().expect("states are those of recurrent networks")
}

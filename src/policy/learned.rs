//! Policies that were learned.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Policy;
use crate::env::{self, PolicyError, Situation};
use crate::nn::{Head, StateError, Tensors};

/// A policy that was learned: it saves and loads itself and names the engine that computes it.
pub trait LearnedPolicy: Policy {
    /// Saves what is needed to act: the tensors of `policy.safetensors`.
    fn save(&self, state: &mut Tensors);

    /// Restores what [`LearnedPolicy::save`] saved.
    ///
    /// # Errors
    /// Fails if a tensor is missing or does not fit.
    fn load(&mut self, state: &Tensors) -> Result<(), StateError>;

    /// The engine that computes it.
    fn engine(&self) -> String;

    /// How it acts by the outputs of its network; nothing where more than a network decides, as in planning.
    fn readout(&self) -> Option<Readout> {
        None
    }
}

/// Which actions the environment says are valid, where a policy is `masked`.
///
/// # Errors
/// Fails if the environment does not tell.
pub fn valid_actions(
    masked: bool,
    situation: Situation<'_>,
) -> Result<Option<Vec<bool>>, PolicyError> {
    let mask = masked.then(|| env::valid_actions(situation.env)).transpose();
    mask.map_err(|error| PolicyError { step: situation.step, message: error.to_string() })
}

/// What a network's outputs for an observation say about the action.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Readout {
    /// They are a distribution's parameters. Continuous actions are cut to the action space's bounds.
    Distribution {
        /// From outputs to probabilities, or to means.
        head: Head,
        /// Logarithms of a [`Head::Gaussian`]'s standard deviations; empty for the others, and where they depend on the
        /// state.
        log_std: Vec<f64>,
    },
    /// They are values of the actions.
    ActionValues {
        /// Whether they are advantages, with the state's value behind them.
        dueling: bool,
    },
    /// They are quantiles of the actions' returns, the first one of each action, then the second of each: the mean of an
    /// action's is its value.
    ActionQuantiles {
        /// How many quantiles an action has.
        quantiles: usize,
    },
    /// The hyperbolic tangent of the first ones, as many as an action has numbers, is stretched from (-1, 1) to the
    /// action space's bounds.
    Squashed {
        /// What they are cut to first, on both sides of zero, where they are.
        #[serde(skip_serializing_if = "Option::is_none")]
        clip_mean: Option<f64>,
    },
}

/// Makes `fresh`, what a policy saved before it learned, begin with what another one learned. Gives the tensors that begin
/// anew: none, or those of one layer, the head of a policy with other actions.
///
/// # Errors
/// Fails if the policies differ in more than the last layer.
pub fn begin_with(fresh: &mut Tensors, learned: &Tensors) -> anyhow::Result<Vec<String>> {
    // Critics begin anew: not every algorithm has one to give.
    let acts = |name: &str| !name.starts_with("critic.");
    let own: BTreeSet<String> =
        fresh.names().filter(|name| acts(name)).map(str::to_owned).collect();
    let foreign: Vec<&str> =
        learned.names().filter(|name| acts(name) && !own.contains(*name)).collect();
    let anew = fresh.take_matching(learned, acts);
    // Layers are numbered; a standard deviation belongs to the last one.
    let layer = |name: &str| name.split('.').next().and_then(|number| number.parse::<usize>().ok());
    let last = own.iter().filter_map(|name| layer(name)).max();
    let of_head = |name: &str| name == "log_std" || (last.is_some() && layer(name) == last);
    anyhow::ensure!(
        anew.iter().all(|name| of_head(name))
            && anew.len() < own.len()
            && foreign.iter().all(|name| *name == "log_std"),
        "the policy is of another network: {} do not fit; `policy` and the algorithm's network have to be as they were, but \
         for the last layer",
        crate::env::names::list(
            &anew.iter().map(String::as_str).chain(foreign).collect::<Vec<_>>()
        )
    );
    Ok(anew)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network of these widths, every number `value`.
    fn network(widths: &[usize], value: f32) -> Tensors {
        let mut tensors = Tensors::default();
        for (index, pair) in widths.windows(2).enumerate() {
            let name = |part| format!("{}.{part}", 2 * index);
            let (inputs, outputs) = (pair[0], pair[1]);
            tensors.insert(&name("weight"), &[outputs, inputs], &vec![value; inputs * outputs]);
            tensors.insert(&name("bias"), &[outputs], &vec![value; outputs]);
        }
        tensors
    }

    #[test]
    fn all_is_taken_over_or_all_but_the_head() {
        let mut fresh = network(&[4, 8, 2], 0.0);
        let learned = network(&[4, 8, 2], 1.0);
        assert_eq!(begin_with(&mut fresh, &learned).expect("equal networks"), [""; 0]);
        assert_eq!(fresh, learned);
        let mut fresh = network(&[4, 8, 3], 0.0);
        let anew = begin_with(&mut fresh, &learned).expect("another head");
        assert_eq!(anew, ["2.bias", "2.weight"]);
        assert_eq!(fresh.get::<f32>("0.bias", &[8]).expect("taken over"), [1.0; 8]);
        assert_eq!(fresh.get::<f32>("2.bias", &[3]).expect("its own"), [0.0; 3]);
    }

    /// With them, the network would see other numbers than those it learned from.
    #[test]
    fn statistics_of_observations_are_no_head() {
        let learned = network(&[4, 8, 2], 1.0);
        let mut fresh = network(&[4, 8, 2], 0.0);
        fresh.insert("observations.mean", &[4], &[0.0_f32; 4]);
        let error = begin_with(&mut fresh, &learned).expect_err("another input");
        assert!(error.to_string().contains("observations.mean"), "{error}");
    }

    #[test]
    fn critics_begin_anew() {
        let with_critic = |value: f32| {
            let mut tensors = network(&[4, 8, 2], value);
            tensors.insert("critic.0.bias", &[8], &[value; 8]);
            tensors
        };
        for (mut fresh, learned) in [
            (with_critic(0.0), with_critic(1.0)),
            (with_critic(0.0), network(&[4, 8, 2], 1.0)),
            (network(&[4, 8, 2], 0.0), with_critic(1.0)),
        ] {
            let has = fresh.contains("critic.0.bias");
            assert_eq!(begin_with(&mut fresh, &learned).expect("equal networks"), [""; 0]);
            let critic = fresh.get::<f32>("critic.0.bias", &[8]).ok();
            assert_eq!(critic, has.then(|| vec![0.0; 8]));
        }
    }

    #[test]
    fn other_networks_are_refused() {
        let learned = network(&[4, 8, 2], 1.0);
        for widths in [&[4, 9, 2][..], &[5, 8, 2], &[4, 8, 8, 2], &[4, 2]] {
            let error = begin_with(&mut network(widths, 0.0), &learned);
            assert!(error.is_err_and(|e| e.to_string().contains("another network")), "{widths:?}");
        }
    }
}

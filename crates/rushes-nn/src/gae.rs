//! Generalised advantage estimation (Schulman et al. 2016), bootstrapping through time limits.

use super::scalar::Scalar;

/// Transitions of `environments` copies, step after step: number `t * environments + i` is copy `i` at
/// step `t`.
#[derive(Debug, Clone, Copy)]
pub struct Transitions<'a, T> {
    /// How many copies.
    pub environments: usize,
    /// The reward of each transition.
    pub rewards: &'a [T],
    /// The value of the state that it left.
    pub values: &'a [T],
    /// The value of the state that it reached: zero where the task ended, and where the time limit ended
    /// the episode the value of its last observation, not that of the next episode's first.
    pub next_values: &'a [T],
    /// Whether the episode ended, by itself or by the time limit.
    pub ended: &'a [bool],
}

/// Writes the advantage of every transition: `A = δ + γ λ A'`, with `δ = r + γ V(s') - V(s)` and no `A'`
/// beyond an episode's end. `A + V(s)` is the critic's target.
pub fn advantages<T: Scalar>(
    transitions: Transitions<'_, T>,
    gamma: f64,
    gae_lambda: f64,
    advantages: &mut [T],
) {
    let Transitions { environments, rewards, values, next_values, ended } = transitions;
    let (gamma, decay) = (T::of(gamma), T::of(gamma * gae_lambda));
    for i in (0..rewards.len()).rev() {
        let following = advantages.get(i + environments).copied().unwrap_or_default();
        let delta = rewards[i] + gamma * next_values[i] - values[i];
        advantages[i] = if ended[i] { delta } else { delta + decay * following };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two copies, three steps, γ = 0.5 and λ = 0.5. Copy 0 goes on throughout; copy 1 terminates at its
    /// first step and is truncated at its second.
    #[test]
    fn advantages_equal_hand_computed_ones() {
        let transitions = Transitions {
            environments: 2,
            rewards: &[1.0, 10.0, 2.0, 20.0, 3.0, 30.0],
            values: &[4.0, 1.0, 8.0, 2.0, 6.0, 3.0],
            next_values: &[8.0, 0.0, 6.0, 40.0, 10.0, 5.0],
            ended: &[false, true, false, true, false, false],
        };
        let mut found = [f64::NAN; 6];
        advantages(transitions, 0.5, 0.5, &mut found);
        // Copy 0, backwards: δ = 3 + 5 - 6 = 2; δ = 2 + 3 - 8 = -3, plus 2/4; δ = 1 + 4 - 4 = 1, less 2.5/4.
        assert_eq!([found[4], found[2], found[0]], [2.0, -2.5, 0.375]);
        // Copy 1: 30 + 2.5 - 3; 20 + 0.5 · 40 - 2 by bootstrapping; 10 - 1 without.
        assert_eq!([found[5], found[3], found[1]], [29.5, 38.0, 9.0]);
    }

    #[test]
    fn lambda_one_gives_discounted_returns_less_values() {
        let rewards = [1.0, 2.0, 4.0];
        let transitions = Transitions {
            environments: 1,
            rewards: &rewards,
            values: &[0.5, 0.25, 0.125],
            next_values: &[0.25, 0.125, 0.0],
            ended: &[false, false, true],
        };
        let mut found = [f64::NAN; 3];
        advantages(transitions, 0.9, 1.0, &mut found);
        let expected = 1.0 + 0.9 * (2.0 + 0.9 * 4.0) - 0.5;
        assert!((found[0] - expected).abs() < 1e-15);
    }
}

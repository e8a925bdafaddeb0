//! The distribution over action sequences that the cross-entropy method moves.

use crate::env::Space;
use crate::nn::random::{normal, uniform};
use crate::rng::Rng;

/// At the start, standard deviations are this share of a dimension's range (PETS: variance range²/16).
const INITIAL_DEVIATION: f64 = 0.25;

/// A distribution over sequences of actions, independent from step to step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Distribution {
    /// Of a box: normal in each step and dimension, cut to the bounds.
    Normal {
        /// One a dimension.
        bounds: Vec<(f32, f32)>,
        /// Step after step.
        means: Vec<f64>,
        /// Step after step.
        deviations: Vec<f64>,
    },
    /// Of a discrete space.
    Categorical {
        /// Actions.
        actions: usize,
        /// Step after step.
        probabilities: Vec<f64>,
    },
}

impl Distribution {
    /// Wide, about the middle of the action space.
    pub(super) fn new(space: &Space, depth: usize) -> Self {
        if let Some(actions) = space.discrete() {
            let probabilities = vec![1.0 / actions as f64; depth * actions];
            return Self::Categorical { actions, probabilities };
        }
        let bounds: Vec<_> = space.finite_bounds().collect();
        let means: Vec<f64> = bounds.iter().map(|&bounds| middle(bounds)).collect();
        let deviations: Vec<f64> = bounds.iter().map(|&bounds| wide(bounds)).collect();
        Self::Normal { bounds, means: means.repeat(depth), deviations: deviations.repeat(depth) }
    }

    /// The distribution for the next decision: one step further on, its last step like a new one's, and as wide
    /// as at the start again.
    pub(super) fn advanced(self, space: &Space) -> Self {
        let depth = match &self {
            Self::Normal { bounds, means, .. } => means.len() / bounds.len(),
            Self::Categorical { actions, probabilities } => probabilities.len() / actions,
        };
        match (self, Self::new(space, depth)) {
            (
                Self::Normal { bounds, mut means, .. },
                Self::Normal { means: fresh, deviations, .. },
            ) => {
                let width = bounds.len();
                means.rotate_left(width);
                let last = means.len() - width;
                means[last..].copy_from_slice(&fresh[last..]);
                Self::Normal { bounds, means, deviations }
            }
            // Probabilities that reached 0 or 1 would leave nothing to look for.
            (_, fresh) => fresh,
        }
    }

    /// Draws a sequence of flat actions.
    pub(super) fn sample(&self, rng: &mut Rng, sequence: &mut [f32]) {
        match self {
            Self::Normal { bounds, means, deviations } => {
                let moments = means.iter().zip(deviations).zip(bounds.iter().cycle());
                for (value, ((mean, deviation), &(low, high))) in sequence.iter_mut().zip(moments) {
                    *value = ((mean + deviation * normal(rng)) as f32).clamp(low, high);
                }
            }
            Self::Categorical { actions, probabilities } => {
                for (value, row) in sequence.iter_mut().zip(probabilities.chunks_exact(*actions)) {
                    let draw = uniform(rng);
                    let mut sum = 0.0;
                    let chosen = row.iter().position(|probability| {
                        sum += probability;
                        draw < sum
                    });
                    *value = chosen.unwrap_or(actions - 1) as f32;
                }
            }
        }
    }

    /// Moves towards the sequences `elites`; `momentum` of the old distribution stays.
    pub(super) fn move_to<'a>(
        &mut self,
        elites: impl ExactSizeIterator<Item = &'a [f32]> + Clone,
        momentum: f64,
    ) {
        let n = elites.len() as f64;
        let mix = |old: &mut f64, new: f64| *old = momentum * *old + (1.0 - momentum) * new;
        match self {
            Self::Normal { means, deviations, .. } => {
                for (i, (mean, deviation)) in means.iter_mut().zip(deviations).enumerate() {
                    let column = || elites.clone().map(|sequence| f64::from(sequence[i]));
                    let new_mean = column().sum::<f64>() / n;
                    let variance = column().map(|x| (x - new_mean).powi(2)).sum::<f64>() / n;
                    mix(mean, new_mean);
                    mix(deviation, variance.sqrt());
                }
            }
            Self::Categorical { actions, probabilities } => {
                for (i, probability) in probabilities.iter_mut().enumerate() {
                    let (step, action) = (i / *actions, (i % *actions) as f32);
                    let count = elites.clone().filter(|sequence| sequence[step] == action).count();
                    mix(probability, count as f64 / n);
                }
            }
        }
    }

    /// The mean or most probable first action.
    pub(super) fn first_action(&self, action: &mut [f32]) {
        match self {
            Self::Normal { bounds, means, .. } => {
                for ((value, &mean), &(low, high)) in action.iter_mut().zip(means).zip(bounds) {
                    *value = (mean as f32).clamp(low, high);
                }
            }
            Self::Categorical { actions, probabilities } => {
                action[0] = crate::nn::heads::argmax(&probabilities[..*actions]) as f32;
            }
        }
    }
}

fn middle((low, high): (f32, f32)) -> f64 {
    f64::from(low).midpoint(f64::from(high))
}

fn wide((low, high): (f32, f32)) -> f64 {
    INITIAL_DEVIATION * (f64::from(high) - f64::from(low))
}

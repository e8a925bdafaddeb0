//! The steps of a dataset in memory, as learning draws them.

use crate::env::Space;
use crate::nn::random::below;
use crate::nn::replay::Batch;
use crate::rng::Rng;

/// What somebody saw, did and was paid, episode after episode.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transitions {
    observation_len: usize,
    action_len: usize,
    /// The observations of all episodes, flat; each episode has one more than it has steps.
    observations: Vec<f32>,
    /// The actions of all steps, flat.
    actions: Vec<f32>,
    rewards: Vec<f32>,
    terminated: Vec<bool>,
    /// Which observation each step began with; the next one is what it led to.
    began: Vec<usize>,
}

impl Transitions {
    /// No steps yet, of these spaces.
    pub fn new(observations: &Space, actions: &Space) -> Self {
        Self { observation_len: observations.len(), action_len: actions.len(), ..Self::default() }
    }

    /// Adds an episode: flat observations, one more than there are rewards, flat actions and whether the task ended with
    /// the last of them.
    pub fn push(
        &mut self,
        observations: &[f32],
        actions: &[f32],
        rewards: &[f64],
        terminated: bool,
    ) {
        // Without a step there is nothing to learn.
        if rewards.is_empty() {
            return;
        }
        let first = self.observations.len() / self.observation_len;
        self.began.extend(first..first + rewards.len());
        self.observations.extend_from_slice(observations);
        self.actions.extend_from_slice(actions);
        self.rewards.extend(rewards.iter().map(|&reward| reward as f32));
        self.terminated.resize(self.rewards.len() - 1, false);
        self.terminated.push(terminated);
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.rewards.len()
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.rewards.is_empty()
    }

    /// The observations of all episodes, flat.
    pub fn observations(&self) -> &[f32] {
        &self.observations
    }

    /// Draws so many steps, each as probable as any other, into `batch`; what follows them counts `gamma` as much.
    ///
    /// # Panics
    /// Panics if there is no step.
    pub fn sample(&self, rows: usize, gamma: f64, rng: &mut Rng, batch: &mut Batch) {
        *batch = Batch::default();
        batch.indices.extend((0..rows).map(|_| below(rng, self.len())));
        batch.weights.resize(rows, 1.0);
        for &step in &batch.indices {
            let observation = |row: usize| {
                &self.observations[row * self.observation_len..][..self.observation_len]
            };
            batch.observations.extend_from_slice(observation(self.began[step]));
            batch.next_observations.extend_from_slice(observation(self.began[step] + 1));
            let action = &self.actions[step * self.action_len..][..self.action_len];
            batch.actions.extend_from_slice(action);
            batch.rewards.push(self.rewards[step]);
            batch.discounts.push(if self.terminated[step] { 0.0 } else { gamma as f32 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};

    #[test]
    fn steps_never_cross_an_episodes_end() {
        let (observations, actions) = (Space::uniform_box(-9.0, 9.0, 2), Space::Discrete { n: 9 });
        let mut dataset = Transitions::new(&observations, &actions);
        // Observations tell their episode and the step; so do actions.
        dataset.push(&[0.0, 0.0, 0.0, 1.0, 0.0, 2.0], &[0.0, 1.0], &[0.5, 1.5], true);
        dataset.push(&[1.0, 0.0], &[], &[], false);
        dataset.push(&[2.0, 0.0, 2.0, 1.0], &[4.0], &[4.5], false);
        assert_eq!(dataset.len(), 3);
        let mut batch = Batch::default();
        let mut rng = stream(1, Purpose::Minibatch, 0);
        dataset.sample(60, 0.9, &mut rng, &mut batch);
        dataset.sample(60, 0.9, &mut rng, &mut batch);
        let mut seen = [0; 3];
        for (i, &step) in batch.indices.iter().enumerate() {
            let (before, after) =
                (&batch.observations[2 * i..][..2], &batch.next_observations[2 * i..][..2]);
            assert_eq!(before[0], after[0], "of one episode");
            assert_eq!(before[1] + 1.0, after[1]);
            assert_eq!(batch.actions[i], 2.0 * before[0] + before[1]);
            assert_eq!(batch.rewards[i], batch.actions[i] + 0.5);
            let ends = batch.actions[i] == 1.0;
            assert_eq!(batch.discounts[i], if ends { 0.0 } else { 0.9 });
            seen[step] += 1;
        }
        assert_eq!(batch.rewards.len(), 60);
        assert!(seen.iter().all(|&times| times > 9), "{seen:?}");
    }
}

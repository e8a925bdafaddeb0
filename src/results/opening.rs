//! The first steps of an episode, as a notebook prints them.

use super::SavedAgent;
use crate::env::episode::{self, View};
use crate::env::{Meaning, Step};
use crate::store::TrialDir;

/// The first steps of an agent's first evaluation episode.
pub struct Opening {
    /// The episode's seed.
    pub seed: u64,
    /// What each number of an observation is, as the agent sees it; empty where the environment does not say.
    pub meanings: Vec<Meaning>,
    /// What was observed after the reset, flat.
    pub observation: Vec<f32>,
    /// The steps: the action, what it yielded, and what was observed then.
    pub steps: Vec<(Vec<f32>, Step, Vec<f32>)>,
}

impl Opening {
    /// Plays at most `steps` steps of a trial's agent as its evaluation did; nothing for an agent that other programs have
    /// to be started for.
    ///
    /// # Errors
    /// Fails if the trial has no policy yet, or the environment or the policy fails.
    pub fn play(trial: &TrialDir, steps: u32) -> anyhow::Result<Option<Self>> {
        let agent = SavedAgent::open(trial.path(), None)?;
        if !agent.commands(false).is_empty() {
            return Ok(None);
        }
        let seed = agent.evaluation.seed;
        let mut chance = agent.chance(seed);
        let mut player = agent.play_in(&agent.environment)?;
        let (env, policy) = player.parts();
        let meanings = env.env().observation_meanings();
        let mut opening = Self { seed, meanings, observation: Vec::new(), steps: Vec::new() };
        let watch = |view: View<'_>| -> anyhow::Result<()> {
            let observation = view.observation.to_vec();
            match view.last {
                None => opening.observation = observation,
                Some((action, step)) => opening.steps.push((action.to_vec(), step, observation)),
            }
            Ok(())
        };
        let mode = agent.evaluation.mode.into();
        episode::play(env, policy, mode, &mut chance, seed, Some(steps), watch)?;
        Ok(Some(opening))
    }
}

//! The training environments, with what the training loop counts of them.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Context as _;

use crate::dataset::Transitions;
use crate::env::episode::{self, View};
use crate::env::{Env, EnvError, Episode, Mode, Policy, Space, TimeLimit, VectorEnv};
use crate::experiment::{EnvironmentSpec, ScheduleSpec};
use crate::nn::replay::Batch;
use crate::policy::PolicySpec;
use crate::record::Progress;
use crate::rng::{self, Rng};

use super::TrialError;

/// Somebody who watches training episodes: those of the first copy of the environment, and those that are played whole.
pub trait Spectator {
    /// Whether it wants to see the training episode of this number, which has not begun.
    fn wants(&self, episode: u64) -> bool;

    /// Sees an episode after its reset, which also says that an unfinished one before it was given up, and after every
    /// step. `progress` is how far training has come, an episode that is over counted.
    fn see(&mut self, view: &mut View<'_>, progress: Progress);
}

/// What an algorithm collects experience from: vectorised environments that count what happens in them.
pub struct World {
    environment: EnvironmentSpec,
    policy: PolicySpec,
    envs: VectorEnv,
    /// Where whole episodes are played, once one was.
    stage: Option<TimeLimit>,
    progress: Progress,
    finished: Vec<(Progress, Episode)>,
    seed: u64,
    reseed_each_episode: bool,
    /// The number of the next episode that gets a seed of its own.
    next_episode: u64,
    /// Which copies have finished an episode since the last restart.
    has_finished: Vec<bool>,
    spectator: Option<Rc<RefCell<dyn Spectator>>>,
    dataset: Option<Transitions>,
}

impl World {
    /// `copies` copies of the environment as `policy` sees it; [`World::restart`] starts their first
    /// episodes.
    ///
    /// # Errors
    /// Fails if the environment's id or options are unknown.
    pub fn new(
        environment: &EnvironmentSpec,
        policy: &PolicySpec,
        copies: usize,
        seed: u64,
        schedule: &ScheduleSpec,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            envs: vectorised(environment, policy, copies, false)?,
            environment: environment.clone(),
            policy: policy.clone(),
            stage: None,
            progress: Progress::default(),
            finished: Vec::new(),
            seed,
            reseed_each_episode: schedule.reseed_each_episode,
            next_episode: 0,
            has_finished: vec![false; copies],
            spectator: None,
            dataset: None,
        })
    }

    /// The same world with what is learned from instead of it.
    #[must_use]
    pub fn with_dataset(self, dataset: Transitions) -> Self {
        Self { dataset: Some(dataset), ..self }
    }

    /// The same world with somebody who watches and may draw what they see; it changes nothing else.
    ///
    /// # Errors
    /// As [`World::new`].
    pub fn watched_by(self, spectator: Rc<RefCell<dyn Spectator>>) -> anyhow::Result<Self> {
        let envs = vectorised(&self.environment, &self.policy, self.envs.len(), true)?;
        Ok(Self { envs, spectator: Some(spectator), ..self })
    }

    /// Starts new episodes everywhere, with seeds that follow from the trial's seed and the number of
    /// checkpoints so far: what comes next does not depend on how training got here.
    ///
    /// # Errors
    /// Fails if the environment fails.
    pub fn restart(&mut self, checkpoints: u64, progress: Progress) -> Result<(), EnvError> {
        self.progress = progress;
        self.next_episode = progress.episodes;
        let seeds: Vec<u64> = (0..self.envs.len() as u64)
            .map(|i| match self.reseed_each_episode {
                true => self.next_episode_seed(),
                false => rng::env_seed(self.seed, i, checkpoints),
            })
            .collect();
        self.envs.reset_each(&seeds)?;
        if let Some(spectator) = &self.spectator {
            spectator.borrow_mut().see(&mut self.envs.first_view(), progress);
        }
        self.has_finished.fill(false);
        for i in 0..seeds.len() {
            self.plan_seed(i);
        }
        Ok(())
    }

    /// Whether a restart would leave every copy the time for an episode: none is inside the first one that it began
    /// since the last restart. Otherwise restarts in quick succession could keep episodes from ever ending.
    pub fn may_restart(&self) -> bool {
        let mut copies = self.has_finished.iter().enumerate();
        copies.all(|(i, finished)| *finished || self.envs.elapsed_steps(i) == 0)
    }

    /// Advances every environment by one step; `actions` holds the flat actions one after another.
    ///
    /// # Errors
    /// Fails if an action is not in the action space, or the environment fails.
    pub fn step(&mut self, actions: &[f32]) -> Result<(), EnvError> {
        let steps = self.progress.steps + self.envs.len() as u64;
        match &self.spectator {
            None => self.envs.step(actions)?,
            Some(spectator) => {
                // The first copy is the first whose episode counts.
                let mut now = Progress { steps, ..self.progress };
                self.envs.step_watched(actions, |mut view| {
                    let done = view.last.is_some_and(|(_, step)| step.done());
                    now.episodes += u64::from(done);
                    spectator.borrow_mut().see(&mut view, now);
                })?;
            }
        }
        self.progress.steps = steps;
        for i in 0..self.envs.finished().len() {
            let (copy, episode) = self.envs.finished()[i];
            self.progress.episodes += 1;
            self.finished.push((self.progress, episode));
            self.has_finished[copy] = true;
            self.plan_seed(copy);
        }
        Ok(())
    }

    /// Plays the whole episode that begins with `seed` and counts it, for algorithms that judge policies by their
    /// returns: the one that comes back is the sum of the rewards as a learner is to see them. It is played apart from the
    /// environments of [`World::step`] and depends on nothing but `seed`, `policy` and `rng`.
    ///
    /// # Errors
    /// Fails if the environment or the policy does.
    pub fn play(
        &mut self,
        policy: &mut dyn Policy,
        mode: Mode,
        rng: &mut Rng,
        seed: u64,
    ) -> Result<Episode, TrialError> {
        let (played, earned) = self.play_on_stage(policy, mode, rng, seed)?;
        self.count_episodes(&[played]);
        Ok(Episode { r#return: earned, ..played })
    }

    /// Plays an episode for whoever watches, where they want to see it: the one that [`World::count_episodes`] is told of
    /// next, as it is played elsewhere.
    ///
    /// # Errors
    /// As [`World::play`].
    pub fn show(
        &mut self,
        policy: &mut dyn Policy,
        mode: Mode,
        rng: &mut Rng,
        seed: u64,
    ) -> Result<(), TrialError> {
        let episode = self.progress.episodes;
        let wants = |watching: &Rc<RefCell<dyn Spectator>>| watching.borrow().wants(episode);
        if self.spectator.as_ref().is_some_and(wants) {
            self.play_on_stage(policy, mode, rng, seed)?;
        }
        Ok(())
    }

    /// An episode in front of whoever watches, and the sum of its rewards as a learner is to see them.
    fn play_on_stage(
        &mut self,
        policy: &mut dyn Policy,
        mode: Mode,
        rng: &mut Rng,
        seed: u64,
    ) -> Result<(Episode, f64), TrialError> {
        let env = match &mut self.stage {
            Some(env) => env,
            stage => {
                let drawn = self.spectator.is_some();
                let copy = self.environment.build_copies(&self.policy, 1, drawn)?.pop();
                stage.insert(copy.expect("one copy was asked for"))
            }
        };
        let rewards = self.environment.wrappers.rewards();
        let mut earned = 0.0;
        let before = self.progress;
        let watch = |mut view: View<'_>| {
            earned += view.last.map_or(0.0, |(_, step)| rewards.apply(step.reward));
            if let Some(spectator) = &self.spectator {
                let done = view.last.is_some_and(|(_, step)| step.done());
                let steps = before.steps + u64::from(view.env.elapsed_steps());
                let episodes = before.episodes + u64::from(done);
                spectator.borrow_mut().see(&mut view, Progress { steps, episodes, ..before });
            }
            Ok::<_, TrialError>(())
        };
        let played = episode::play(env, policy, mode, rng, seed, None, watch)?;
        Ok((played, earned))
    }

    /// Counts whole episodes that were played elsewhere, in this order, for algorithms that judge policies
    /// by episodes of their own.
    pub fn count_episodes(&mut self, played: &[Episode]) {
        for episode in played {
            self.progress.steps += u64::from(episode.length);
            self.progress.episodes += 1;
            self.finished.push((self.progress, *episode));
        }
    }

    /// What is learned from instead of the environments.
    ///
    /// # Errors
    /// Fails if there is nothing; never for a checked experiment.
    pub fn dataset(&self) -> anyhow::Result<&Transitions> {
        self.dataset.as_ref().context("the agent's training has no `dataset`")
    }

    /// Draws steps of [`World::dataset`] as [`Transitions::sample`] does, and counts one step, which takes the place of one
    /// in an environment.
    ///
    /// # Errors
    /// As [`World::dataset`].
    pub fn draw(
        &mut self,
        rows: usize,
        gamma: f64,
        rng: &mut Rng,
        batch: &mut Batch,
    ) -> anyhow::Result<()> {
        self.dataset()?.sample(rows, gamma, rng, batch);
        self.progress.steps += 1;
        Ok(())
    }

    /// Counts one update of the policy.
    pub fn count_update(&mut self) {
        self.progress.updates += 1;
    }

    /// The environments and what their last step yielded.
    pub fn envs(&self) -> &VectorEnv {
        &self.envs
    }

    /// What the environments are built from.
    pub fn environment(&self) -> &EnvironmentSpec {
        &self.environment
    }

    /// Environment `i`, for policies that look at its `info`.
    pub fn env(&self, i: usize) -> &dyn Env {
        self.envs.env(i)
    }

    /// The observation space.
    pub fn observation_space(&self) -> &Space {
        self.envs.observation_space()
    }

    /// The action space.
    pub fn action_space(&self) -> &Space {
        self.envs.action_space()
    }

    /// How far training has come.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// The episodes that ended since the last call, each with how far training had come when it did, the
    /// episode counted.
    pub fn take_finished(&mut self) -> Vec<(Progress, Episode)> {
        std::mem::take(&mut self.finished)
    }

    fn next_episode_seed(&mut self) -> u64 {
        self.next_episode += 1;
        self.seed.wrapping_add(self.next_episode - 1)
    }

    /// Tells environment `i` the seed of its next episode, where episodes have their own.
    fn plan_seed(&mut self, i: usize) {
        if self.reseed_each_episode {
            let seed = self.next_episode_seed();
            self.envs.reseed_next(i, seed);
        }
    }
}

/// Copies of the environment as `policy` sees it, with the masks that it needs; `drawn` where somebody watches.
fn vectorised(
    environment: &EnvironmentSpec,
    policy: &PolicySpec,
    copies: usize,
    drawn: bool,
) -> anyhow::Result<VectorEnv> {
    let envs = VectorEnv::of(environment.build_copies(policy, copies, drawn)?);
    let envs = envs.with_rewards(environment.wrappers.rewards());
    Ok(if policy.masks_actions() { envs.with_action_masks() } else { envs })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_copy_is_restarted_within_its_first_episode() {
        let environment =
            serde_json::from_value(json!({ "id": "CartPole-v1" })).expect("an environment");
        let policy = serde_json::from_value(json!({ "type": "random" })).expect("a policy");
        let schedule = ScheduleSpec::default();
        let mut world = World::new(&environment, &policy, 2, 0, &schedule).expect("a world");
        for checkpoint in 0..2 {
            world.restart(checkpoint, world.progress()).expect("a restart");
            assert!(world.may_restart(), "nothing has begun");
            let mut ended = 0;
            // One copy falls to the left at once; the other one sways for longer.
            for step in 0.. {
                world.step(&[0.0, (step % 2) as f32]).expect("a step");
                ended += world.take_finished().len();
                assert_eq!(world.may_restart(), world.has_finished == [true; 2]);
                if world.may_restart() {
                    break;
                }
            }
            assert!(ended > 2, "the one went on while the other was in its first episode");
        }
    }
}

//! Vectorised stepping: N copies of an environment behind one object.
//!
//! Seeds are those of Gymnasium's vector environments: `reset(Some(seed))` gives copy i the seed
//! `seed + i`. Finished copies reset within the same step (Gymnasium's `SAME_STEP` autoreset): the
//! observation buffer then holds the new episode's first observation, and the old episode's last one is
//! kept apart in [`VectorEnv::final_observation`], so that value targets can bootstrap through a truncation.
//! After construction nothing allocates, unless masks of actions are asked for.

use crate::action_mask::valid_actions;
use crate::environment::{Env, EnvError};
use crate::episode::{Episode, View};
use crate::problem::Problem;
use crate::space::Space;
use crate::spec::{EnvSpec, Options};
use crate::time_limit::TimeLimit;
use crate::wrappers::RewardTransform;

/// Who is shown the first copy.
type Watch<'a> = &'a mut dyn FnMut(View<'_>);

/// N copies of an environment, stepped together on one thread.
pub struct VectorEnv {
    envs: Vec<TimeLimit>,
    observation_space: Space,
    action_space: Space,
    observations: Vec<f32>,
    final_observations: Vec<f32>,
    rewards: Vec<f64>,
    /// What becomes of the rewards; returns are sums of them as they were.
    transform: RewardTransform,
    terminated: Vec<bool>,
    truncated: Vec<bool>,
    returns: Vec<f64>,
    next_seeds: Vec<Option<u64>>,
    finished: Vec<(usize, Episode)>,
    /// Whether the copies step elsewhere, so that all can be sent their actions before any is waited for.
    remote: bool,
    /// The masks of their actions, where somebody needs them.
    masks: Option<Masks>,
}

/// Which actions are valid, a row of flags a copy.
struct Masks {
    /// Flags of a copy.
    width: usize,
    /// In the present states.
    present: Vec<bool>,
    /// In the last states of the episodes that ended in the last step: none where the task did.
    last: Vec<bool>,
}

impl Masks {
    /// Writes the mask of copy `i`.
    fn tell(rows: &mut [bool], width: usize, i: usize, env: &TimeLimit) -> Result<(), EnvError> {
        rows[i * width..(i + 1) * width].copy_from_slice(&valid_actions(env.env())?);
        Ok(())
    }
}

impl VectorEnv {
    /// `copies` copies of `spec`'s environment with its registered time limit.
    ///
    /// # Errors
    /// Options that the environment does not take.
    pub fn new(spec: &EnvSpec, options: &Options, copies: usize) -> Result<Self, Problem> {
        Self::with_time_limit(spec, options, copies, spec.max_episode_steps)
    }

    /// `copies` copies of `spec`'s environment with another time limit, or none.
    ///
    /// # Errors
    /// Options that the environment does not take.
    ///
    /// # Panics
    /// Panics if `copies` is zero.
    pub fn with_time_limit(
        spec: &EnvSpec,
        options: &Options,
        copies: usize,
        max_episode_steps: Option<u32>,
    ) -> Result<Self, Problem> {
        let envs = (0..copies)
            .map(|_| Ok(TimeLimit::new((spec.make)(options)?, max_episode_steps)))
            .collect::<Result<Vec<_>, Problem>>()?;
        Ok(Self::of(envs))
    }

    /// These copies of an environment.
    ///
    /// # Panics
    /// Panics if there is none.
    pub fn of(envs: Vec<TimeLimit>) -> Self {
        assert!(!envs.is_empty(), "a vector environment needs at least one copy");
        let copies = envs.len();
        let observation_space = envs[0].env().observation_space().clone();
        let action_space = envs[0].env().action_space().clone();
        let numbers = copies * observation_space.len();
        Self {
            observations: vec![0.0; numbers],
            final_observations: vec![0.0; numbers],
            rewards: vec![0.0; copies],
            transform: RewardTransform::IDENTITY,
            terminated: vec![false; copies],
            truncated: vec![false; copies],
            returns: vec![0.0; copies],
            next_seeds: vec![None; copies],
            finished: Vec::with_capacity(copies),
            remote: envs.iter().any(|env| env.env().is_remote()),
            masks: None,
            observation_space,
            action_space,
            envs,
        }
    }

    /// The same copies with rewards as a learner is to see them; the returns of episodes stay sums of the
    /// environments' own rewards.
    #[must_use]
    pub fn with_rewards(self, transform: RewardTransform) -> Self {
        Self { transform, ..self }
    }

    /// The same copies, whose masks of actions are asked after each reset and step. Copies in other processes then step
    /// one after another, since one that went on to its next episode by itself tells no mask of the last state.
    #[must_use]
    pub fn with_action_masks(self) -> Self {
        let width = self.action_space.discrete_parts().unwrap_or_default().iter().sum();
        let rows = vec![false; self.len() * width];
        let masks = Masks { width, present: rows.clone(), last: rows };
        Self { masks: Some(masks), remote: false, ..self }
    }

    /// How many copies.
    #[expect(clippy::len_without_is_empty, reason = "there is always a copy")]
    pub fn len(&self) -> usize {
        self.envs.len()
    }

    /// The space of one copy's observations.
    pub fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    /// The space of one copy's actions.
    pub fn action_space(&self) -> &Space {
        &self.action_space
    }

    /// Copy `i`, for drawing and for policies that look at its `info`.
    pub fn env(&self, i: usize) -> &dyn Env {
        self.envs[i].env()
    }

    /// Starts an episode in every copy: with `Some(seed)`, copy i is reseeded with `seed + i`; with `None`
    /// the random streams go on.
    ///
    /// # Errors
    /// Failures of the physics.
    pub fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        self.reset_all(|i| seed.map(|seed| seed.wrapping_add(i as u64)))
    }

    /// Starts an episode in every copy, each reseeded with its own seed: a restart at a checkpoint.
    ///
    /// # Errors
    /// Failures of the physics.
    ///
    /// # Panics
    /// Panics if there is not one seed a copy.
    pub fn reset_each(&mut self, seeds: &[u64]) -> Result<(), EnvError> {
        assert_eq!(seeds.len(), self.len(), "expected one seed a copy");
        self.reset_all(|i| Some(seeds[i]))
    }

    /// Resets all copies before any is observed: those elsewhere are reset together.
    fn reset_all(&mut self, seed: impl Fn(usize) -> Option<u64>) -> Result<(), EnvError> {
        for (i, env) in self.envs.iter_mut().enumerate() {
            env.begin(seed(i))?;
        }
        let rows = self.observations.chunks_exact_mut(self.observation_space.len());
        for (env, observation) in self.envs.iter().zip(rows) {
            env.observe(observation)?;
        }
        if let Some(Masks { width, present, .. }) = &mut self.masks {
            for (i, env) in self.envs.iter().enumerate() {
                Masks::tell(present, *width, i, env)?;
            }
        }
        self.returns.fill(0.0);
        self.next_seeds.fill(None);
        self.finished.clear();
        self.rewards.fill(0.0);
        self.terminated.fill(false);
        self.truncated.fill(false);
        Ok(())
    }

    /// Lets copy `i` reseed with `seed` at its next automatic reset instead of going on with its stream.
    pub fn reseed_next(&mut self, i: usize, seed: u64) {
        self.next_seeds[i] = Some(seed);
    }

    /// Advances every copy by one step. `actions` holds the flat actions of all copies in order
    /// (`len() * action_space().len()` numbers).
    ///
    /// # Errors
    /// [`EnvError::InvalidAction`], before anything moved, where one is not in the action space; failures of
    /// the physics, after which the copies must be reset.
    ///
    /// # Panics
    /// Panics if `actions` has another length.
    pub fn step(&mut self, actions: &[f32]) -> Result<(), EnvError> {
        self.step_all(actions, None)
    }

    /// [`VectorEnv::step`] that shows the first copy to `watch`: after its step, and again after its reset where the step
    /// ended an episode.
    ///
    /// # Errors
    /// As [`VectorEnv::step`].
    ///
    /// # Panics
    /// As [`VectorEnv::step`].
    pub fn step_watched(
        &mut self,
        actions: &[f32],
        mut watch: impl FnMut(View<'_>),
    ) -> Result<(), EnvError> {
        self.step_all(actions, Some(&mut watch))
    }

    /// The first copy as it stands after a reset.
    pub fn first_view(&self) -> View<'_> {
        let (env, observation) = (&self.envs[0], self.observation(0));
        View { env, observation, last: None, total: 0.0, policy: None }
    }

    fn step_all(&mut self, actions: &[f32], watch: Option<Watch<'_>>) -> Result<(), EnvError> {
        let width = self.action_space.len();
        assert_eq!(actions.len(), self.len() * width, "expected one action a copy");
        if let Some(bad) = actions.chunks_exact(width).find(|a| !self.action_space.contains(a)) {
            return Err(EnvError::invalid_action(bad, &self.action_space));
        }
        self.finished.clear();
        if self.remote {
            let actions =
                actions.chunks_exact(width).map(|a| self.action_space.action_unchecked(a));
            for ((env, action), &seed) in self.envs.iter_mut().zip(actions).zip(&self.next_seeds) {
                env.send_checked(action, seed)?;
            }
        }
        self.step_one(0, &actions[..width], watch)?;
        for (i, action) in actions.chunks_exact(width).enumerate().skip(1) {
            self.step_one(i, action, None)?;
        }
        Ok(())
    }

    #[inline]
    fn step_one(
        &mut self,
        i: usize,
        flat: &[f32],
        mut watch: Option<Watch<'_>>,
    ) -> Result<(), EnvError> {
        let width = self.observation_space.len();
        let here = i * width..(i + 1) * width;
        let action = self.action_space.action_unchecked(flat);
        let env = &mut self.envs[i];
        let step = env.step_checked(action)?;
        self.rewards[i] = self.transform.apply(step.reward);
        self.terminated[i] = step.terminated;
        self.truncated[i] = step.truncated;
        self.returns[i] += step.reward;
        let done = step.done();
        let observation = match done {
            true => &mut self.final_observations[here],
            false => &mut self.observations[here],
        };
        env.observe(observation)?;
        if let Some(watch) = &mut watch {
            let last = Some((flat, step));
            watch(View { env, observation, last, total: self.returns[i], policy: None });
        }
        if done {
            let episode = Episode {
                r#return: self.returns[i],
                length: self.envs[i].elapsed_steps(),
                terminated: step.terminated,
                truncated: step.truncated,
            };
            self.finished.push((i, episode));
            if let Some(Masks { width, last, .. }) = &mut self.masks {
                match step.terminated {
                    true => last[i * *width..(i + 1) * *width].fill(false),
                    false => Masks::tell(last, *width, i, &self.envs[i])?,
                }
            }
            let seed = self.next_seeds[i].take();
            self.reset_one(i, seed)?;
            if let Some(watch) = watch {
                watch(self.first_view());
            }
        }
        if let Some(Masks { width, present, .. }) = &mut self.masks {
            Masks::tell(present, *width, i, &self.envs[i])?;
        }
        Ok(())
    }

    fn reset_one(&mut self, i: usize, seed: Option<u64>) -> Result<(), EnvError> {
        let width = self.observation_space.len();
        self.returns[i] = 0.0;
        self.next_seeds[i] = None;
        self.envs[i].reset(seed, &mut self.observations[i * width..(i + 1) * width])
    }

    /// The observation of every copy, one after another; the first of a new episode where one just began.
    pub fn observations(&self) -> &[f32] {
        &self.observations
    }

    /// The present observation of copy `i`.
    pub fn observation(&self, i: usize) -> &[f32] {
        let width = self.observation_space.len();
        &self.observations[i * width..(i + 1) * width]
    }

    /// The last observation of the episode that copy `i` finished in the last step; `None` where its
    /// episode goes on.
    pub fn final_observation(&self, i: usize) -> Option<&[f32]> {
        let width = self.observation_space.len();
        let done = self.terminated[i] || self.truncated[i];
        done.then(|| &self.final_observations[i * width..(i + 1) * width])
    }

    /// Which actions of every copy are valid, one copy after another ([`Env::action_mask`]); `None` without
    /// [`VectorEnv::with_action_masks`].
    pub fn action_masks(&self) -> Option<&[bool]> {
        self.masks.as_ref().map(|masks| &masks.present[..])
    }

    /// Which actions are valid in the state that the last step of copy `i` led to, the last one of the episode where that
    /// ended: none where the task did. `None` without [`VectorEnv::with_action_masks`].
    pub fn next_action_mask(&self, i: usize) -> Option<&[bool]> {
        let Masks { width, present, last } = self.masks.as_ref()?;
        let rows = if self.terminated[i] || self.truncated[i] { last } else { present };
        Some(&rows[i * width..(i + 1) * width])
    }

    /// The last step's rewards, as [`VectorEnv::with_rewards`] transforms them.
    pub fn rewards(&self) -> &[f64] {
        &self.rewards
    }

    /// Whose task ended in the last step.
    pub fn terminated(&self) -> &[bool] {
        &self.terminated
    }

    /// Who reached the time limit in the last step.
    pub fn truncated(&self) -> &[bool] {
        &self.truncated
    }

    /// The episodes that ended in the last step with the copies that played them, in the copies' order.
    pub fn finished(&self) -> &[(usize, Episode)] {
        &self.finished
    }

    /// Steps so far in the present episode of copy `i`.
    pub fn elapsed_steps(&self, i: usize) -> u32 {
        self.envs[i].elapsed_steps()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::find;
    use rushes_rng::NpRandom;

    fn cart_poles(copies: usize) -> VectorEnv {
        let spec = find("CartPole-v1").expect("in the table");
        VectorEnv::new(&spec, &Options::new(), copies).expect("no options")
    }

    /// Every copy behaves as an environment alone with the seed `seed + i`, over many episodes.
    #[test]
    fn copies_equal_single_environments() {
        let spec = find("CartPole-v1").expect("in the table");
        let mut envs = cart_poles(3);
        envs.reset(Some(42)).unwrap();
        let mut singles: Vec<_> = (0..3)
            .map(|_| TimeLimit::new((spec.make)(&Options::new()).unwrap(), Some(500)))
            .collect();
        let mut observations = [[0.0; 4]; 3];
        for (i, single) in singles.iter_mut().enumerate() {
            single.reset(Some(42 + i as u64), &mut observations[i]).unwrap();
        }
        let mut rng = NpRandom::new(7);
        let mut returns = [0.0; 3];
        let mut episodes = 0;
        for _ in 0..300 {
            let actions: [f32; 3] = std::array::from_fn(|_| rng.integers(0, 2) as f32);
            envs.step(&actions).unwrap();
            let mut finished = Vec::new();
            for (i, single) in singles.iter_mut().enumerate() {
                let t = single.step(&[actions[i]], &mut observations[i]).unwrap();
                returns[i] += t.reward;
                assert_eq!(envs.rewards()[i], t.reward);
                assert_eq!(
                    (envs.terminated()[i], envs.truncated()[i]),
                    (t.terminated, t.truncated)
                );
                assert_eq!(envs.final_observation(i), t.done().then_some(&observations[i][..]));
                if t.done() {
                    let episode = Episode {
                        r#return: returns[i],
                        length: single.elapsed_steps(),
                        terminated: t.terminated,
                        truncated: t.truncated,
                    };
                    finished.push((i, episode));
                    single.reset(None, &mut observations[i]).unwrap();
                    returns[i] = 0.0;
                }
                assert_eq!(envs.observation(i), observations[i]);
            }
            assert_eq!(envs.finished(), finished);
            episodes += finished.len();
        }
        assert!(episodes > 20, "only {episodes} episodes ended");
    }

    /// The masks are those of the states that were acted on, whatever reset meanwhile.
    #[test]
    fn masks_belong_to_the_present_state_and_to_the_last_one_of_an_episode() {
        let spec = find("Taxi-v3").expect("in the table");
        let make = || (spec.make)(&Options::new()).expect("no options");
        let mut envs = VectorEnv::of((0..2).map(|_| TimeLimit::new(make(), Some(3))).collect());
        assert_eq!((envs.action_masks(), envs.next_action_mask(0)), (None, None));
        envs = envs.with_action_masks();
        let mut single = TimeLimit::new(make(), Some(3));
        single.reset(Some(6), &mut [0.0]).unwrap();
        envs.reset(Some(5)).unwrap();
        for step in 1..=7 {
            assert_eq!(
                Some(&envs.action_masks().unwrap()[6..]),
                single.env().action_mask().as_deref()
            );
            envs.step(&[0.0, 3.0]).unwrap();
            single.step(&[3.0], &mut [0.0]).unwrap();
            assert_eq!(envs.next_action_mask(1), single.env().action_mask().as_deref());
            if step % 3 == 0 {
                single.reset(None, &mut [0.0]).unwrap();
            }
        }
        let frozen = find("FrozenLake-v1").expect("in the table");
        let envs = VectorEnv::new(&frozen, &Options::new(), 1).expect("no options");
        assert!(matches!(envs.with_action_masks().reset(None), Err(EnvError::ActionMask(_))));
    }

    #[test]
    fn truncation_is_not_termination() {
        let spec = find("CartPole-v1").expect("in the table");
        let mut envs =
            VectorEnv::with_time_limit(&spec, &Options::new(), 1, Some(3)).expect("no options");
        envs.reset(Some(0)).unwrap();
        for step in 1..=3 {
            envs.step(&[(step % 2) as f32]).unwrap();
            assert_eq!((envs.terminated()[0], envs.truncated()[0]), (false, step == 3));
        }
        let episode = Episode { r#return: 3.0, length: 3, terminated: false, truncated: true };
        assert_eq!(envs.finished(), [(0, episode)]);
        assert_ne!(envs.final_observation(0), Some(envs.observation(0)));
    }

    #[test]
    fn explicit_seeds_restart_each_copy_and_reseed_the_next_episode() {
        let (mut a, mut b) = (cart_poles(2), cart_poles(2));
        a.reset(Some(5)).unwrap();
        b.reset_each(&[5, 6]).unwrap();
        assert_eq!(a.observations(), b.observations());
        b.reseed_next(1, 5);
        while b.finished().iter().all(|(copy, _)| *copy != 1) {
            b.step(&[1.0, 1.0]).unwrap();
        }
        assert_eq!(b.observation(1), a.observation(0));
    }

    /// Whoever watches sees every state of the first copy, the last ones of its episodes included, and changes nothing.
    #[test]
    fn the_first_copy_can_be_watched() {
        let (mut watched, mut alone) = (cart_poles(2), cart_poles(2));
        watched.reset(Some(3)).unwrap();
        alone.reset(Some(3)).unwrap();
        let mut seen = vec![(watched.first_view().observation.to_vec(), None, 0.0)];
        let mut expected = vec![(alone.observation(0).to_vec(), None, 0.0)];
        for _ in 0..60 {
            let see = |view: View<'_>| {
                let last = view.last.map(|(action, step)| (action.to_vec(), step.done()));
                seen.push((view.observation.to_vec(), last, view.total));
            };
            watched.step_watched(&[1.0, 0.0], see).unwrap();
            alone.step(&[1.0, 0.0]).unwrap();
            let over = alone.final_observation(0).map(<[f32]>::to_vec);
            let total = expected.last().map_or(0.0, |(_, _, total)| total + 1.0);
            let last = Some((vec![1.0], over.is_some()));
            let now = alone.observation(0).to_vec();
            expected.push((over.clone().unwrap_or(now.clone()), last, total));
            if over.is_some() {
                expected.push((now, None, 0.0));
            }
        }
        assert_eq!(watched.observations(), alone.observations());
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_bad_action_moves_no_copy() {
        let mut envs = cart_poles(2);
        envs.reset(Some(1)).unwrap();
        let before = envs.observations().to_vec();
        for bad in [2.0, -1.0, 0.5, f32::NAN, f32::INFINITY] {
            let error = envs.step(&[0.0, bad]).unwrap_err().to_string();
            assert!(error.contains("Discrete(2)"), "{error}");
        }
        assert_eq!(envs.observations(), before);
    }
}

//! Replay memory: experiences in a ring, sampled uniformly or by priority, joined over n steps.

use std::ops::Range;

use super::random::{below, uniform};
use super::state::{StateError, Tensors};
use super::storage::{Storage, Stored};
use rushes_rng::Rng;

/// Settings of prioritised replay (Schaul et al. 2016).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Priorities {
    /// How strongly priorities matter: probability ∝ priority^alpha. 0 is uniform.
    pub alpha: f64,
    /// Added to the temporal-difference error, so that nothing is never replayed.
    pub epsilon: f64,
}

/// One experience as it is stored.
#[derive(Debug, Clone, Copy)]
pub struct Experience<'a> {
    /// The observation acted on.
    pub observation: &'a [f32],
    /// The flat action.
    pub action: &'a [f32],
    /// The reward.
    pub reward: f64,
    /// The observation that followed: the episode's last where it ended.
    pub next_observation: &'a [f32],
    /// Which actions are valid there; empty where the memory keeps no masks.
    pub next_mask: &'a [bool],
    /// Whether the task ended; then nothing follows.
    pub terminated: bool,
    /// Whether the time limit ended the episode; values still bootstrap from `next_observation`.
    pub truncated: bool,
}

/// What [`Replay::sample`] writes, row after row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Where each experience lies, for [`Replay::update_priorities`].
    pub indices: Vec<usize>,
    /// Observations acted on.
    pub observations: Vec<f32>,
    /// Actions.
    pub actions: Vec<f32>,
    /// Discounted sums of the rewards of up to n steps.
    pub rewards: Vec<f32>,
    /// The observation after those steps.
    pub next_observations: Vec<f32>,
    /// Which actions are valid there; empty where the memory keeps no masks.
    pub next_masks: Vec<bool>,
    /// What the value of `next_observations` is multiplied by: `γ^steps`, zero where the task ended.
    pub discounts: Vec<f32>,
    /// Importance weights, the greatest of the batch being 1; all 1 under uniform sampling.
    pub weights: Vec<f32>,
}

/// A ring of experiences. Copies of an environment are kept apart, so that n steps follow one another.
pub struct Replay {
    capacity: usize,
    environments: usize,
    observation_len: usize,
    action_len: usize,
    mask_len: usize,
    n_steps: usize,
    gamma: f64,
    observations: Stored,
    next_observations: Stored,
    next_masks: Vec<bool>,
    actions: Vec<f32>,
    rewards: Vec<f32>,
    /// 0: goes on, 1: terminated, 2: truncated, or cut off by a restart.
    ends: Vec<u8>,
    /// Experiences stored so far, the overwritten ones counted.
    stored: u64,
    priorities: Option<(Priorities, SumTree)>,
}

const GOES_ON: u8 = 0;
const TERMINATED: u8 = 1;
const TRUNCATED: u8 = 2;

/// Shape of a [`Replay`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReplayConfig {
    /// Experiences that it is to hold; see [`ReplayConfig::rows`].
    pub capacity: usize,
    /// How many copies of the environment fill it, in turn.
    pub environments: usize,
    /// Numbers in an observation.
    pub observation_len: usize,
    /// How they are kept.
    pub observation_storage: Storage,
    /// Numbers in an action.
    pub action_len: usize,
    /// Flags of a mask of actions that is kept with each observation that followed; 0 for none.
    pub mask_len: usize,
    /// Steps that a sampled experience spans (1: as stored), fewer at the end of an episode.
    pub n_steps: usize,
    /// The discount factor.
    pub gamma: f64,
    /// Prioritised sampling, or `None` for uniform.
    pub priorities: Option<Priorities>,
}

impl ReplayConfig {
    /// Transitions that it holds: `capacity`, rounded down to a multiple of `environments`.
    pub fn rows(&self) -> usize {
        (self.capacity / self.environments).max(1) * self.environments
    }

    /// Bytes that a memory of this shape reserves.
    pub fn bytes(&self) -> u64 {
        let observations = 2 * self.observation_len * self.observation_storage.bytes();
        let numbers = self.action_len + 1;
        let tree = match self.priorities {
            Some(_) => SumTree::len(self.rows()) * size_of::<f64>(),
            None => 0,
        };
        let row = observations + numbers * size_of::<f32>() + self.mask_len + 1;
        (self.rows() * row + tree) as u64
    }

    /// Bytes of a memory and of the tensors that it is saved as or restored from. Restoring, the file is in
    /// memory together with the tensors before there is a replay, which takes as much.
    pub fn bytes_while_saved(&self) -> u64 {
        2 * self.bytes()
    }
}

/// The system does not give the memory that samples take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the system does not give the {:.1} GB that samples take: use a smaller `buffer_size`",
    *bytes as f64 / 1e9
)]
pub struct OutOfMemory {
    /// How much all that was asked for takes.
    pub bytes: u64,
}

/// An empty vector with room for exactly `len` numbers. The system hands out pages as they fill.
///
/// # Errors
/// Fails if the system has no such room; the error is `whole`, since a vector is a part of something.
pub fn room<N>(len: usize, whole: OutOfMemory) -> Result<Vec<N>, OutOfMemory> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(len).map(|()| vector).map_err(|_| whole)
}

impl Replay {
    /// An empty memory. All its room, [`ReplayConfig::bytes`], is reserved at once, so that it never moves.
    ///
    /// # Errors
    /// Fails if the system has no such room.
    pub fn new(config: ReplayConfig) -> Result<Self, OutOfMemory> {
        let ReplayConfig { environments, observation_len, action_len, mask_len, .. } = config;
        let capacity = config.rows();
        let whole = OutOfMemory { bytes: config.bytes() };
        let room = |len: usize| room(capacity * len, whole);
        let observations = || match config.observation_storage {
            Storage::Float32 => room(observation_len).map(Stored::Float32),
            Storage::Uint8 => self::room(capacity * observation_len, whole).map(Stored::Uint8),
        };
        let priorities = match config.priorities {
            Some(settings) => Some((settings, SumTree::new(capacity).ok_or(whole)?)),
            None => None,
        };
        Ok(Self {
            capacity,
            environments,
            observation_len,
            action_len,
            mask_len,
            n_steps: config.n_steps,
            gamma: config.gamma,
            observations: observations()?,
            next_observations: observations()?,
            next_masks: self::room(capacity * mask_len, whole)?,
            actions: room(action_len)?,
            rewards: room(1)?,
            ends: self::room(capacity, whole)?,
            stored: 0,
            priorities,
        })
    }

    /// How many transitions it has room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many experiences it holds.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Stores an experience over the oldest one. Copies of the environment store in turn, one experience
    /// each a step.
    pub fn push(&mut self, experience: Experience<'_>) {
        let index = (self.stored % self.capacity as u64) as usize;
        let end = match experience {
            Experience { terminated: true, .. } => TERMINATED,
            Experience { truncated: true, .. } => TRUNCATED,
            _ => GOES_ON,
        };
        keep(&mut self.observations, index, experience.observation);
        keep(&mut self.next_observations, index, experience.next_observation);
        put(&mut self.next_masks, index, experience.next_mask);
        put(&mut self.actions, index, experience.action);
        put(&mut self.rewards, index, &[experience.reward as f32]);
        put(&mut self.ends, index, &[end]);
        if let Some((_, tree)) = &mut self.priorities {
            // A new experience is replayed at least once soon: it gets the greatest priority so far.
            tree.set(index, tree.greatest);
        }
        self.stored += 1;
    }

    /// The environments were restarted: what comes next does not follow what came last.
    pub fn restart(&mut self) {
        for back in 1..=(self.environments as u64).min(self.stored) {
            let index = ((self.stored - back) % self.capacity as u64) as usize;
            if self.ends[index] == GOES_ON {
                self.ends[index] = TRUNCATED;
            }
        }
    }

    /// Draws `size` experiences with replacement. `beta` is how far importance weights make up for
    /// prioritised sampling (1: wholly).
    ///
    /// # Panics
    /// Panics if the memory is empty.
    pub fn sample(&self, size: usize, beta: f64, rng: &mut Rng, batch: &mut Batch) {
        assert!(!self.is_empty(), "an empty memory has nothing to sample");
        batch.indices.clear();
        batch.weights.clear();
        match &self.priorities {
            None => {
                batch.indices.extend((0..size).map(|_| below(rng, self.len())));
                batch.weights.resize(size, 1.0);
            }
            Some((_, tree)) => {
                // One draw from each of `size` equal parts of the total, which spreads the batch.
                let (total, n) = (tree.total(), self.len() as f64);
                for i in 0..size {
                    let mass = (i as f64 + uniform(rng)) / size as f64 * total;
                    let index = tree.find(mass).min(self.len() - 1);
                    batch.indices.push(index);
                    batch.weights.push((tree.get(index) / total * n).powf(-beta) as f32);
                }
                let greatest = batch.weights.iter().copied().fold(0.0, f32::max);
                batch.weights.iter_mut().for_each(|weight| *weight /= greatest);
            }
        }
        for values in [&mut batch.observations, &mut batch.next_observations, &mut batch.actions] {
            values.clear();
        }
        batch.next_masks.clear();
        batch.rewards.clear();
        batch.discounts.clear();
        for &first in &batch.indices {
            let (last, reward, discount, _) = self.span(first);
            self.observations.read(rows(first, self.observation_len), &mut batch.observations);
            let next = rows(last, self.observation_len);
            self.next_observations.read(next, &mut batch.next_observations);
            batch.next_masks.extend_from_slice(&self.next_masks[rows(last, self.mask_len)]);
            batch.actions.extend_from_slice(&self.actions[rows(first, self.action_len)]);
            batch.rewards.push(reward as f32);
            batch.discounts.push(discount as f32);
        }
    }

    /// The experience at `index`, which lies below [`Replay::len`]; its observations are written into `scratch`.
    pub fn experience<'a>(
        &'a self,
        index: usize,
        scratch: &'a mut [Vec<f32>; 2],
    ) -> Experience<'a> {
        let [observation, next_observation] = scratch;
        let here = rows(index, self.observation_len);
        for (kept, copy) in [
            (&self.observations, &mut *observation),
            (&self.next_observations, &mut *next_observation),
        ] {
            copy.clear();
            kept.read(here.clone(), copy);
        }
        Experience {
            observation,
            action: &self.actions[rows(index, self.action_len)],
            reward: f64::from(self.rewards[index]),
            next_observation,
            next_mask: &self.next_masks[rows(index, self.mask_len)],
            terminated: self.ends[index] == TERMINATED,
            truncated: self.ends[index] == TRUNCATED,
        }
    }

    /// How many experiences were stored before the one at `index`: a number that stays with it.
    pub fn number(&self, index: usize) -> u64 {
        let capacity = self.capacity as u64;
        let oldest = self.stored.saturating_sub(capacity);
        oldest + (index as u64 + capacity - oldest % capacity) % capacity
    }

    /// The discounted reward of the n steps from the experience at `index` on, fewer where the task ends; `None`
    /// where they are not all known, because the episode was cut off or is still going on.
    pub fn n_step_reward(&self, index: usize) -> Option<f64> {
        let (last, reward, _, steps) = self.span(index);
        (steps == self.n_steps || self.ends[last] == TERMINATED).then_some(reward)
    }

    /// From experience `first` up to n steps on: the last of them, the discounted reward, the factor of what
    /// follows, and how many steps they are.
    fn span(&self, first: usize) -> (usize, f64, f64, usize) {
        let newest = ((self.stored - 1) % self.capacity as u64) as usize;
        let (mut last, mut reward, mut discount) = (first, 0.0, 1.0);
        let mut steps = 0;
        loop {
            steps += 1;
            reward += discount * f64::from(self.rewards[last]);
            discount *= self.gamma;
            if self.ends[last] == TERMINATED {
                return (last, reward, 0.0, steps);
            }
            let age = (newest + self.capacity - last) % self.capacity;
            // The newest experience of each copy has no successor yet.
            if self.ends[last] == TRUNCATED || steps >= self.n_steps || age < self.environments {
                return (last, reward, discount, steps);
            }
            last = (last + self.environments) % self.capacity;
        }
    }

    /// Sets the priorities of the experiences last sampled to the size of their temporal-difference errors.
    /// Does nothing under uniform sampling.
    pub fn update_priorities(&mut self, indices: &[usize], errors: impl Iterator<Item = f64>) {
        if let Some((settings, tree)) = &mut self.priorities {
            for (&index, error) in indices.iter().zip(errors) {
                tree.set(index, (error.abs() + settings.epsilon).powf(settings.alpha));
            }
        }
    }

    /// Writes everything as `prefix` + `observations`, ….
    pub fn save(&self, prefix: &str, tensors: &mut Tensors) {
        let n = self.len();
        let name = |name: &str| format!("{prefix}{name}");
        tensors.insert_u64(&name("len"), n as u64);
        tensors.insert_u64(&name("stored"), self.stored);
        let shape = [n, self.observation_len];
        self.observations.save(&name("observations"), &shape, tensors);
        self.next_observations.save(&name("next_observations"), &shape, tensors);
        tensors.insert(&name("actions"), &[n, self.action_len], &self.actions);
        tensors.insert(&name("rewards"), &[n], &self.rewards);
        tensors.insert_bytes(&name("ends"), &self.ends);
        if self.mask_len > 0 {
            let flags: &[u8] = bytemuck::cast_slice(&self.next_masks);
            tensors.insert(&name("next_masks"), &[n, self.mask_len], flags);
        }
        if let Some((_, tree)) = &self.priorities {
            tensors.insert(&name("priorities"), &[n], tree.leaves(n));
            tensors.insert(&name("greatest_priority"), &[], &[tree.greatest]);
        }
    }

    /// Takes over what [`Replay::save`] wrote.
    ///
    /// # Errors
    /// Fails if a tensor is missing or of another size; the memory is to be thrown away then.
    pub fn load(&mut self, prefix: &str, tensors: &Tensors) -> Result<(), StateError> {
        let name = |name: &str| format!("{prefix}{name}");
        let n = tensors.get_u64(&name("len"))? as usize;
        self.stored = tensors.get_u64(&name("stored"))?;
        let (width, action_len) = (self.observation_len, self.action_len);
        self.observations.load(&name("observations"), &[n, width], tensors)?;
        self.next_observations.load(&name("next_observations"), &[n, width], tensors)?;
        tensors.read_into(&name("actions"), &[n, action_len], &mut self.actions)?;
        tensors.read_into(&name("rewards"), &[n], &mut self.rewards)?;
        self.ends.clear();
        self.ends.extend_from_slice(tensors.get_bytes(&name("ends"))?);
        if self.mask_len > 0 {
            self.next_masks.clear();
            let flags: Vec<u8> = tensors.get(&name("next_masks"), &[n, self.mask_len])?;
            self.next_masks.extend(flags.into_iter().map(|flag| flag != 0));
        }
        if let Some((_, tree)) = &mut self.priorities {
            for (index, priority) in tensors.get(&name("priorities"), &[n])?.into_iter().enumerate()
            {
                tree.set(index, priority);
            }
            tree.greatest = tensors.get(&name("greatest_priority"), &[])?[0];
        }
        Ok(())
    }
}

/// Writes row `index`, appending it where the buffer ends there.
fn put<N: Copy>(buffer: &mut Vec<N>, index: usize, values: &[N]) {
    let start = index * values.len();
    if start == buffer.len() {
        buffer.extend_from_slice(values);
    } else {
        buffer[start..start + values.len()].copy_from_slice(values);
    }
}

/// [`put`] of numbers that may be kept as bytes.
fn keep(buffer: &mut Stored, index: usize, values: &[f32]) {
    let start = index * values.len();
    if start == buffer.len() {
        buffer.extend(values);
    } else {
        buffer.overwrite(start, values);
    }
}

/// Where row `index` of `len` numbers lies.
fn rows(index: usize, len: usize) -> Range<usize> {
    index * len..(index + 1) * len
}

/// Priorities in a complete binary tree whose inner nodes hold the sums of their children: setting and
/// finding take a step a level.
struct SumTree {
    /// Node 1 is the root, node `i`'s children are `2i` and `2i + 1`, the leaves are the second half.
    nodes: Vec<f64>,
    /// The greatest priority ever set.
    greatest: f64,
}

impl SumTree {
    /// Priorities of zero; nothing where the system has no room for them.
    fn new(capacity: usize) -> Option<Self> {
        // Zeros of the system's, which take no memory until they are written over.
        let nodes = bytemuck::allocation::try_zeroed_vec(Self::len(capacity)).ok()?;
        Some(Self { nodes, greatest: 1.0 })
    }

    /// How many nodes hold so many leaves.
    fn len(capacity: usize) -> usize {
        2 * capacity.next_power_of_two()
    }

    fn first_leaf(&self) -> usize {
        self.nodes.len() / 2
    }

    fn leaves(&self, n: usize) -> &[f64] {
        &self.nodes[self.first_leaf()..self.first_leaf() + n]
    }

    fn get(&self, index: usize) -> f64 {
        self.nodes[self.first_leaf() + index]
    }

    fn set(&mut self, index: usize, priority: f64) {
        self.greatest = self.greatest.max(priority);
        let mut node = self.first_leaf() + index;
        self.nodes[node] = priority;
        // Sums are formed anew, not adjusted, so that rounding does not pile up.
        while node > 1 {
            node /= 2;
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1];
        }
    }

    fn total(&self) -> f64 {
        self.nodes[1]
    }

    /// The leaf whose share of the cumulative sum holds `mass`.
    fn find(&self, mut mass: f64) -> usize {
        let mut node = 1;
        while node < self.first_leaf() {
            node *= 2;
            // An empty right side is never entered, whatever rounding left of `mass`.
            if mass >= self.nodes[node] && self.nodes[node + 1] > 0.0 {
                mass -= self.nodes[node];
                node += 1;
            }
        }
        node - self.first_leaf()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rushes_rng::{Purpose, stream};

    fn config(capacity: usize) -> ReplayConfig {
        ReplayConfig {
            capacity,
            environments: 1,
            observation_len: 1,
            observation_storage: Storage::Float32,
            action_len: 1,
            mask_len: 0,
            n_steps: 1,
            gamma: 0.5,
            priorities: None,
        }
    }

    /// Stores experience number `i`: observation i, reward 1, next observation i + 1, flags of what divides i + 1.
    fn push(replay: &mut Replay, i: usize, terminated: bool, truncated: bool) {
        let next_mask = [2, 3].map(|divisor| (i + 1).is_multiple_of(divisor));
        replay.push(Experience {
            observation: &[i as f32],
            action: &[(i % 2) as f32],
            reward: 1.0,
            next_observation: &[i as f32 + 1.0],
            next_mask: &next_mask[..replay.mask_len],
            terminated,
            truncated,
        });
    }

    fn empty(config: ReplayConfig) -> Replay {
        Replay::new(config).expect("little memory")
    }

    fn rng() -> Rng {
        stream(4, Purpose::Minibatch, 0)
    }

    /// Bytes that a memory really holds.
    fn allocated(replay: &Replay) -> u64 {
        let observations =
            [&replay.observations, &replay.next_observations].map(|kept| match kept {
                Stored::Float32(numbers) => numbers.capacity() * size_of::<f32>(),
                Stored::Uint8(bytes) => bytes.capacity(),
            });
        let numbers = [&replay.actions, &replay.rewards];
        let numbers =
            numbers.iter().map(|buffer| buffer.capacity() * size_of::<f32>()).sum::<usize>();
        let nodes = replay.priorities.as_ref().map_or(0, |(_, tree)| tree.nodes.capacity());
        (observations[0]
            + observations[1]
            + numbers
            + replay.next_masks.capacity()
            + replay.ends.capacity()
            + nodes * size_of::<f64>()) as u64
    }

    #[test]
    fn a_memory_takes_the_bytes_that_are_counted_empty_full_and_restored() {
        let priorities = Some(Priorities { alpha: 0.6, epsilon: 1e-6 });
        let (numbers, bytes) = (Storage::Float32, Storage::Uint8);
        for (capacity, environments, priorities, observation_storage, mask_len) in [
            (1, 1, None, bytes, 0),
            (1000, 1, priorities, numbers, 2),
            (1000, 7, None, bytes, 1),
            (5, 8, priorities, numbers, 0),
        ] {
            let shape = ReplayConfig { mask_len, ..config(capacity) };
            let config = ReplayConfig { environments, priorities, observation_storage, ..shape };
            let mut memory = empty(config);
            assert_eq!(allocated(&memory), config.bytes(), "{config:?}");
            for i in 0..2 * config.rows() {
                push(&mut memory, i, false, false);
            }
            assert_eq!(allocated(&memory), config.bytes(), "{config:?}");
            let mut tensors = Tensors::default();
            memory.save("", &mut tensors);
            let mut restored = empty(config);
            restored.load("", &tensors).expect("what was just saved");
            assert_eq!(allocated(&restored), config.bytes(), "{config:?}");
        }
    }

    /// Whole numbers of a byte, in a quarter of the room, in files too.
    #[test]
    fn bytes_come_out_as_the_numbers_that_went_in() {
        let config = |observation_storage| ReplayConfig { observation_storage, ..config(300) };
        let (mut bytes, mut numbers) =
            (empty(config(Storage::Uint8)), empty(config(Storage::Float32)));
        for memory in [&mut bytes, &mut numbers] {
            // The last value is pushed over the first one.
            for i in (0..255).chain(0..46) {
                push(memory, i, false, false);
            }
        }
        let (mut a, mut b) = (Batch::default(), Batch::default());
        bytes.sample(2_000, 0.0, &mut rng(), &mut a);
        numbers.sample(2_000, 0.0, &mut rng(), &mut b);
        assert_eq!(a, b);
        let (mut a, mut b) = (Tensors::default(), Tensors::default());
        bytes.save("", &mut a);
        numbers.save("", &mut b);
        assert_eq!(b.size() - a.size(), 2 * 3 * 300);
        assert!(numbers.load("", &a).is_err(), "bytes are no numbers");
    }

    #[test]
    fn memory_that_the_system_does_not_have_is_an_error() {
        let priorities = Some(Priorities { alpha: 0.6, epsilon: 1e-6 });
        for priorities in [None, priorities] {
            let config = ReplayConfig { priorities, ..config(1 << 58) };
            let error = Replay::new(config).err().expect("more than any machine has");
            assert_eq!(error.bytes, config.bytes());
        }
    }

    #[test]
    fn the_ring_forgets_the_oldest_and_samples_the_rest_evenly() {
        let mut replay = empty(config(4));
        for i in 0..6 {
            push(&mut replay, i, false, false);
        }
        assert_eq!(replay.len(), 4);
        let mut batch = Batch::default();
        replay.sample(8_000, 0.0, &mut rng(), &mut batch);
        for expected in 2..6 {
            let n = batch.observations.iter().filter(|o| **o == expected as f32).count();
            assert!((1_800..2_200).contains(&n), "{expected}: {n}");
        }
        for (o, next) in batch.observations.iter().zip(&batch.next_observations) {
            assert_eq!(o + 1.0, *next);
        }
        assert!(
            batch.weights.iter().all(|w| *w == 1.0) && batch.discounts.iter().all(|d| *d == 0.5)
        );
    }

    #[test]
    fn n_steps_stop_at_ends_restarts_and_the_newest() {
        let mut replay = empty(ReplayConfig { n_steps: 3, ..config(10) });
        for i in 0..9 {
            push(&mut replay, i, i == 2, i == 5);
        }
        // reward 1 + 1/2 + 1/4; nothing follows a termination
        assert_eq!(replay.span(0), (2, 1.75, 0.0, 3));
        assert_eq!(replay.span(1), (2, 1.5, 0.0, 2));
        assert_eq!(replay.span(3), (5, 1.75, 0.125, 3));
        // a truncation is bootstrapped from
        assert_eq!(replay.span(4), (5, 1.5, 0.25, 2));
        assert_eq!(replay.span(6), (8, 1.75, 0.125, 3));
        assert_eq!(replay.span(7), (8, 1.5, 0.25, 2));
        replay.restart();
        push(&mut replay, 9, false, false);
        assert_eq!(replay.span(7), (8, 1.5, 0.25, 2));
        // around the end of the ring
        push(&mut replay, 10, false, false);
        push(&mut replay, 11, false, false);
        assert_eq!(replay.span(9), (1, 1.75, 0.125, 3));
    }

    #[test]
    fn rewards_of_n_steps_are_known_up_to_an_end_but_not_through_a_cut() {
        let mut replay = empty(ReplayConfig { n_steps: 3, ..config(10) });
        for i in 0..9 {
            push(&mut replay, i, i == 2, i == 5);
        }
        let known: Vec<_> = (0..9).map(|index| replay.n_step_reward(index)).collect();
        let cut = None;
        let expected =
            [Some(1.75), Some(1.5), Some(1.0), Some(1.75), cut, cut, Some(1.75), cut, cut];
        assert_eq!(known, expected);
    }

    #[test]
    fn a_number_stays_with_its_experience() {
        let mut replay = empty(config(4));
        for i in 0..11 {
            push(&mut replay, i, false, false);
            for index in 0..replay.len() {
                let mut scratch = Default::default();
                let experience = replay.experience(index, &mut scratch);
                assert_eq!(replay.number(index) as f32, experience.observation[0]);
                assert_eq!(experience.next_observation[0], experience.observation[0] + 1.0);
            }
        }
    }

    #[test]
    fn copies_of_an_environment_follow_themselves() {
        let mut replay = empty(ReplayConfig { n_steps: 2, environments: 2, ..config(9) });
        for i in 0..6 {
            push(&mut replay, i, false, false);
        }
        assert_eq!(replay.span(0).0, 2);
        assert_eq!(replay.span(1).0, 3);
        assert_eq!((replay.span(4).0, replay.span(5).0), (4, 5));
    }

    #[test]
    fn priorities_set_probabilities_and_weights() {
        let priorities = Some(Priorities { alpha: 1.0, epsilon: 0.0 });
        let mut replay = empty(ReplayConfig { priorities, ..config(5) });
        for i in 0..5 {
            push(&mut replay, i, false, false);
        }
        replay.update_priorities(&[0, 1, 2, 3, 4], [1.0, -2.0, 3.0, 4.0, 0.0].into_iter());
        let mut batch = Batch::default();
        let n = 10_000;
        replay.sample(n, 1.0, &mut rng(), &mut batch);
        for (index, share) in [0.1, 0.2, 0.3, 0.4, 0.0].into_iter().enumerate() {
            let found = batch.indices.iter().filter(|i| **i == index).count() as f64 / n as f64;
            assert!((found - share).abs() < 0.002, "{index}: {found}");
        }
        // w ∝ 1 / probability, the greatest being 1
        for (&index, &weight) in batch.indices.iter().zip(&batch.weights) {
            assert!((f64::from(weight) - 1.0 / (index as f64 + 1.0)).abs() < 1e-6);
        }
    }

    /// Over n steps it is the mask of the last observation.
    #[test]
    fn masks_are_those_of_the_observations_that_follow() {
        let mut replay = empty(ReplayConfig { mask_len: 2, n_steps: 3, ..config(10) });
        for i in 0..14 {
            push(&mut replay, i, i == 6, false);
        }
        let mut batch = Batch::default();
        replay.sample(200, 0.0, &mut rng(), &mut batch);
        for (next, mask) in batch.next_observations.iter().zip(batch.next_masks.chunks_exact(2)) {
            assert_eq!(mask, [next % 2.0 == 0.0, next % 3.0 == 0.0], "{next}");
        }
    }

    #[test]
    fn a_restored_memory_samples_the_same() {
        for (priorities, observation_storage, mask_len) in [
            (None, Storage::Uint8, 2),
            (Some(Priorities { alpha: 0.6, epsilon: 1e-6 }), Storage::Float32, 0),
        ] {
            let shape = ReplayConfig { mask_len, ..config(8) };
            let config = ReplayConfig { priorities, observation_storage, n_steps: 2, ..shape };
            let mut replay = empty(config);
            for i in 0..11 {
                push(&mut replay, i, i == 6, false);
            }
            replay.update_priorities(&[1, 3, 5], [0.1, 7.0, 0.5].into_iter());
            let mut tensors = Tensors::default();
            replay.save("replay.", &mut tensors);
            let mut restored = empty(config);
            restored.load("replay.", &tensors).expect("what was just saved");
            let (mut a, mut b) = (Batch::default(), Batch::default());
            for memory in [&mut replay, &mut restored] {
                push(memory, 11, false, true);
            }
            replay.sample(50, 0.4, &mut rng(), &mut a);
            restored.sample(50, 0.4, &mut rng(), &mut b);
            assert_eq!(a, b);
        }
    }
}

//! Copies of an environment in other processes, each a [`rushes_env::Env`] of its own.
//!
//! A copy is a slot of a group, and the group has one or more worker processes. Nothing is started before a copy is
//! first reset, so that whoever only asks for spaces starts nothing. Resets and actions are collected and sent together
//! when somebody waits for one of them.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use rushes_env::draw::{Canvas, Color};
use rushes_env::{Action, Env, EnvError, Info, Options, Space, Step};

use crate::process::{Failure, Program};
use crate::wire::{Card, Command};
use crate::worker::{Reset, Worker};

/// An environment that other processes make.
#[derive(Debug, Clone)]
pub struct External {
    /// How a process with copies of it is started.
    pub program: Program,
    /// The options that it is made with.
    pub options: Options,
    /// What it said of itself when it was first started. A process that says something else of its spaces is refused.
    pub card: Card,
}

impl External {
    /// Starts a process once and returns what it says of its environment.
    ///
    /// # Errors
    /// Fails if the process does.
    pub fn describe(program: &Program, options: &Options) -> Result<Card, Failure> {
        Ok(Worker::start(program, 1, options, true)?.card().clone())
    }

    /// `copies` copies, in up to `workers` processes that step at the same time, started when a copy is first reset.
    /// With `render`, they can be drawn.
    ///
    /// # Errors
    /// Fails if the card describes spaces that cannot be.
    pub fn copies(
        &self,
        copies: usize,
        workers: usize,
        render: bool,
    ) -> Result<Vec<Box<dyn Env>>, Failure> {
        let spares = Rc::new(Spares::default());
        let slots = self.slots(copies, workers, render, &Rc::downgrade(&spares))?;
        let keep = |mut slot: Copy| -> Box<dyn Env> {
            slot._own_spares = Some(Rc::clone(&spares));
            Box::new(slot)
        };
        Ok(slots.into_iter().map(keep).collect())
    }

    fn slots(
        &self,
        copies: usize,
        workers: usize,
        render: bool,
        spares: &Weak<Spares>,
    ) -> Result<Vec<Copy>, Failure> {
        let observation_space = self.card.observation_space.to_space().map_err(Failure)?;
        let action_space = self.card.action_space.to_space().map_err(Failure)?;
        let workers = workers.clamp(1, copies.max(1));
        let share = |worker: usize| (copies * (worker + 1)) / workers - (copies * worker) / workers;
        let group = Group {
            external: self.clone(),
            render,
            workers: Vec::new(),
            shares: (0..workers).map(share).collect(),
            unsent: vec![Unsent::default(); workers],
            slots: vec![Slot::default(); copies],
            infos: None,
            failed: None,
        };
        let group = Rc::new(RefCell::new(group));
        let places =
            (0..workers).flat_map(|worker| (0..share(worker)).map(move |copy| (worker, copy)));
        let slot = |(slot, (worker, copy))| Copy {
            group: Rc::clone(&group),
            slot,
            worker,
            copy,
            observation_space: observation_space.clone(),
            action_space: action_space.clone(),
            frame: self.card.frame.unwrap_or([300, 400]),
            spares: Weak::clone(spares),
            _own_spares: None,
            planned_with: false,
        };
        Ok(places.enumerate().map(slot).collect())
    }
}

/// Copies for planning that nobody plans with now.
type Spares = RefCell<Vec<Copy>>;

/// The processes of an environment's copies.
struct Group {
    external: External,
    render: bool,
    /// Empty before the first reset.
    workers: Vec<Worker>,
    /// How many copies each worker has.
    shares: Vec<usize>,
    slots: Vec<Slot>,
    /// What each worker has not been sent yet.
    unsent: Vec<Unsent>,
    /// The infos of the last reset or step, once somebody asked.
    infos: Option<Vec<Info>>,
    /// Why nothing goes on.
    failed: Option<Failure>,
}

/// What a worker's copies are waiting for.
#[derive(Debug, Clone, Copy, Default)]
struct Unsent {
    resets: usize,
    actions: usize,
}

/// Where a copy stands.
#[derive(Clone)]
struct Slot {
    /// A reset that has not been sent.
    reset: Reset,
    /// Whether an action has not been sent.
    acting: bool,
    /// Whether an action has been sent whose step was not read.
    stepping: bool,
    /// What the copy does by itself when the episode ends.
    next: Reset,
    /// Whether the episode has ended, and the copy already went on to the next one.
    went_on: bool,
    /// Whether there was a reset.
    begun: bool,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            reset: Reset::No,
            acting: false,
            stepping: false,
            next: Reset::No,
            went_on: false,
            begun: false,
        }
    }
}

fn wanted(seed: Option<u64>) -> Reset {
    seed.map_or(Reset::GoOn, Reset::Seeded)
}

impl Group {
    /// Calls `act`, unless something failed before.
    fn call<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, EnvError> {
        if let Some(failure) = &self.failed {
            return Err(EnvError::Process(failure.to_string()));
        }
        act(self).map_err(|failure| {
            // What hangs or lies is not waited for.
            self.workers.clear();
            EnvError::Process(self.failed.insert(failure).to_string())
        })
    }

    fn start(&mut self) -> Result<(), Failure> {
        let External { program, options, card } = &self.external;
        for &copies in &self.shares {
            let worker = Worker::start(program, copies, options, self.render)?;
            let found = worker.card();
            for (what, found, expected) in [
                ("observation", &found.observation_space, &card.observation_space),
                ("action", &found.action_space, &card.action_space),
            ] {
                if found != expected {
                    let shown = |space: &crate::wire::WireSpace| {
                        space.to_space().map_or_else(|why| why, |space| space.to_string())
                    };
                    return Err(Failure::new(format!(
                        "`{}`: its {what} space is {} now and was {} when the run began",
                        program.shown,
                        shown(found),
                        shown(expected)
                    )));
                }
            }
            self.workers.push(worker);
        }
        Ok(())
    }

    /// Sends what a worker's copies are waiting for: first resets, then actions.
    fn flush(&mut self, worker: usize) -> Result<(), Failure> {
        if self.workers.is_empty() {
            self.start()?;
        }
        let Unsent { resets, actions } = std::mem::take(&mut self.unsent[worker]);
        if resets + actions == 0 {
            return Ok(());
        }
        let first: usize = self.shares[..worker].iter().sum();
        let slots = &mut self.slots[first..first + self.shares[worker]];
        let worker = &mut self.workers[worker];
        self.infos = None;
        if resets > 0 {
            worker.wait()?;
            for (copy, slot) in slots.iter_mut().enumerate() {
                worker.set_reset(copy, std::mem::replace(&mut slot.reset, Reset::No));
            }
            worker.send(Command::Reset)?;
        }
        if actions > 0 {
            worker.wait()?;
            for (copy, slot) in slots.iter_mut().enumerate() {
                worker.set_step(copy, slot.acting);
                worker.set_reset(copy, if slot.acting { slot.next } else { Reset::No });
                slot.stepping |= std::mem::take(&mut slot.acting);
            }
            worker.send(Command::Step)?;
        }
        Ok(())
    }

    /// [`Group::flush`], and waits for the answer.
    fn settle(&mut self, worker: usize) -> Result<&mut Worker, Failure> {
        self.flush(worker)?;
        let worker = &mut self.workers[worker];
        worker.wait()?;
        Ok(worker)
    }
}

/// One copy.
struct Copy {
    group: Rc<RefCell<Group>>,
    slot: usize,
    worker: usize,
    copy: usize,
    observation_space: Space,
    action_space: Space,
    /// Height and width.
    frame: [u32; 2],
    /// Where copies for planning come from and go to.
    spares: Weak<Spares>,
    /// Keeps them, in the copies that were not made for planning.
    _own_spares: Option<Rc<Spares>>,
    /// Whether this is a copy for planning that is in use.
    planned_with: bool,
}

impl Drop for Copy {
    fn drop(&mut self) {
        if self.planned_with
            && let Some(spares) = self.spares.upgrade()
        {
            spares.borrow_mut().push(Copy {
                group: Rc::clone(&self.group),
                observation_space: self.observation_space.clone(),
                action_space: self.action_space.clone(),
                spares: Weak::clone(&self.spares),
                _own_spares: None,
                planned_with: false,
                ..*self
            });
        }
    }
}

impl Copy {
    fn check_begun(&self) -> Result<(), EnvError> {
        let begun = self.group.borrow().slots[self.slot].begun;
        if begun { Ok(()) } else { Err(EnvError::NeverReset) }
    }

    /// Puts the action into the memory; `next` is what the copy does where the episode ends.
    fn act(&self, group: &mut Group, action: Action<'_>, next: Reset) -> Result<(), Failure> {
        if group.slots[self.slot].reset != Reset::No {
            group.flush(self.worker)?;
        }
        let worker = &mut group.workers[self.worker];
        worker.wait()?;
        action.flat(|element| worker.set_action(self.copy, element));
        let slot = &mut group.slots[self.slot];
        group.unsent[self.worker].actions += usize::from(!slot.acting);
        (slot.acting, slot.next) = (true, next);
        Ok(())
    }
}

impl Copy {
    /// Another copy in the same state, in a process for such copies.
    fn snapshot(&self) -> Result<Option<Self>, EnvError> {
        /// How many copies for planning a process has.
        const PLANNED: usize = 32;
        let external = self.group.borrow().external.clone();
        let Some(spares) = self.spares.upgrade().filter(|_| external.card.snapshots) else {
            return Ok(None);
        };
        let begun = self.group.borrow().slots[self.slot].begun;
        let state = begun
            .then(|| {
                let save = |group: &mut Group| {
                    let worker = group.settle(self.worker)?;
                    Ok((worker.save(self.copy)?, worker.stored_observation(self.copy)))
                };
                self.group.borrow_mut().call(save)
            })
            .transpose()?;
        if spares.borrow().is_empty() {
            let more = external.slots(PLANNED, 1, false, &self.spares);
            let more = more.map_err(|failure| EnvError::Process(failure.to_string()))?;
            spares.borrow_mut().extend(more);
        }
        let Some(mut spare) = spares.borrow_mut().pop() else { return Ok(None) };
        spare.planned_with = true;
        if let Some((state, observation)) = state {
            spare.group.borrow_mut().call(|group| {
                group.settle(spare.worker)?.restore(spare.copy, &state, &observation)?;
                group.slots[spare.slot] = Slot { begun: true, ..Slot::default() };
                Ok(())
            })?;
        }
        Ok(Some(spare))
    }
}

impl Env for Copy {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        let wanted = wanted(seed);
        self.group.borrow_mut().call(|group| {
            let slot = &mut group.slots[self.slot];
            slot.begun = true;
            // It may have gone on by itself, and just so.
            if !(std::mem::take(&mut slot.went_on) && slot.next == wanted) {
                group.unsent[self.worker].resets += usize::from(slot.reset == Reset::No);
                slot.reset = wanted;
            }
            Ok(())
        })
    }

    fn send(&mut self, action: Action<'_>, next_seed: Option<u64>) -> Result<(), EnvError> {
        self.check_begun()?;
        self.group.borrow_mut().call(|group| {
            // Pictures are of the last state of an episode too.
            let next = if group.render { Reset::No } else { wanted(next_seed) };
            self.act(group, action, next)?;
            // The last one sends for all, so that the workers step at the same time.
            if group.unsent[self.worker].actions == group.shares[self.worker] {
                group.flush(self.worker)?;
            }
            Ok(())
        })
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        self.check_begun()?;
        self.group.borrow_mut().call(|group| {
            let Slot { acting, stepping, .. } = group.slots[self.slot];
            if !acting && !stepping {
                self.act(group, action, Reset::No)?;
            }
            let (reward, terminated, truncated) = group.settle(self.worker)?.step_of(self.copy);
            let slot = &mut group.slots[self.slot];
            slot.stepping = false;
            slot.went_on = (terminated || truncated) && slot.next != Reset::No;
            Ok(Step { truncated, ..Step::new(reward, terminated) })
        })
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        self.check_begun()?;
        self.group.borrow_mut().call(|group| {
            let went_on = group.slots[self.slot].went_on;
            group.settle(self.worker)?.observe(self.copy, went_on, observation)
        })
    }

    fn configure(&mut self, options: &Options) -> Result<bool, EnvError> {
        self.group.borrow_mut().call(|group| {
            if !group.external.card.reconfigurable {
                return Ok(false);
            }
            group.settle(self.worker)?.configure(self.copy, options)?;
            // The next episode is not the one that it may have gone on to.
            group.slots[self.slot].went_on = false;
            Ok(true)
        })
    }

    fn try_clone(&self) -> Option<Box<dyn Env>> {
        let copy = self.snapshot().ok()??;
        Some(Box::new(copy))
    }

    fn frame_size(&self) -> (u32, u32) {
        (self.frame[1], self.frame[0])
    }

    fn draw(&self, canvas: &mut Canvas) {
        let drawn = self.group.borrow_mut().call(|group| {
            let frame = group.settle(self.worker)?.render(self.copy)?;
            canvas.picture(frame, self.frame[1], self.frame[0]);
            Ok(())
        });
        if drawn.is_err() {
            canvas.clear(Color::BLACK);
        }
    }

    fn failure(&self) -> Option<EnvError> {
        let group = self.group.borrow();
        group.failed.as_ref().map(|failure| EnvError::Process(failure.to_string()))
    }

    fn info(&self) -> Info {
        let mut group = self.group.borrow_mut();
        let info = group.call(|group| {
            if group.infos.is_none() {
                let mut infos = Vec::new();
                for worker in 0..group.shares.len() {
                    infos.extend(group.settle(worker)?.infos()?);
                }
                group.infos = Some(infos);
            }
            Ok(group.infos.as_ref().map(|infos| infos[self.slot].clone()).unwrap_or_default())
        });
        info.unwrap_or_default()
    }
}

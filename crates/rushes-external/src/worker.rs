//! One process with some copies of an environment: the protocol's calls, over the shared memory.

use std::time::Duration;

use rushes_env::{Info, Options};

use crate::memory::{Layout, SharedMemory};
use crate::process::{Failure, Process, Program};
use crate::wire::{self, Card, Command, Dtype, Hello, Leaf};

/// What a copy does when it is reset, or when its episode ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reset {
    /// Nothing.
    No,
    /// A new episode from this seed.
    Seeded(u64),
    /// A new episode; the random stream goes on.
    GoOn,
}

/// Where the arrays are in the shared memory.
struct Arrays {
    actions: usize,
    observations: usize,
    finals: usize,
    reward: usize,
    terminated: usize,
    truncated: usize,
    step: usize,
    reset: usize,
    seed: usize,
    frame: Option<usize>,
}

/// A process that answers for `copies` copies of an environment.
pub(crate) struct Worker {
    process: Process,
    memory: SharedMemory,
    arrays: Arrays,
    card: Card,
    actions: Vec<Leaf>,
    observations: Vec<Leaf>,
    copies: usize,
    /// The command that has not been answered yet.
    waiting: Option<Command>,
}

impl Worker {
    /// Starts the process and shakes hands.
    ///
    /// # Errors
    /// Fails if it cannot be started, speaks another version, or describes what cannot be.
    pub(crate) fn start(
        program: &Program,
        copies: usize,
        options: &Options,
        render: bool,
    ) -> Result<Self, Failure> {
        Self::shake_hands(program, copies, options, render)
            .map_err(|Failure(why)| Failure(format!("`{}`: {why}", program.shown)))
    }

    fn shake_hands(
        program: &Program,
        copies: usize,
        options: &Options,
        render: bool,
    ) -> Result<Self, Failure> {
        let patience = program.start_timeout;
        let mut process = Process::start(program)?;
        let hello =
            Hello { protocol: wire::ENVIRONMENT, version: wire::VERSION, copies, render, options };
        process.tell(&hello, patience)?;
        let card: Card = hear_card(&mut process, patience)?;
        let invalid = |what: &str| {
            let what = what.to_owned();
            move |why: String| Failure::new(format!("its {what} is refused: {why}"))
        };
        card.observation_space.to_space().map_err(invalid("observation space"))?;
        card.action_space.to_space().map_err(invalid("action space"))?;
        let observations = card.observation_space.leaves().map_err(invalid("observation space"))?;
        let actions = card.action_space.leaves().map_err(invalid("action space"))?;
        check_card(&card)?;

        let mut layout = Layout::default();
        let rows = |shape: &[usize]| [&[copies], shape].concat();
        let action = layout.add_leaves("action", &actions, copies);
        let observation = layout.add_leaves("observation", &observations, copies);
        let finals = layout.add_leaves("final_observation", &observations, copies);
        let frame = card.frame.filter(|_| render);
        let arrays = Arrays {
            actions: action,
            observations: observation,
            finals,
            reward: layout.add("reward", Dtype::F64, rows(&[])),
            terminated: layout.add("terminated", Dtype::Bool, rows(&[])),
            truncated: layout.add("truncated", Dtype::Bool, rows(&[])),
            step: layout.add("step", Dtype::U8, rows(&[])),
            reset: layout.add("reset", Dtype::U8, rows(&[])),
            seed: layout.add("seed", Dtype::U64, rows(&[])),
            frame: frame.map(|[height, width]| {
                layout.add("frame", Dtype::U8, rows(&[height as usize, width as usize, 3]))
            }),
        };
        let memory = process.share(layout, patience)?;
        Ok(Self { process, memory, arrays, card, actions, observations, copies, waiting: None })
    }

    /// What the process said of its environment.
    pub(crate) fn card(&self) -> &Card {
        &self.card
    }

    /// How many copies it has.
    pub(crate) fn copies(&self) -> usize {
        self.copies
    }

    /// Closes the process's input; says whether it ended by itself.
    pub(crate) fn close(self) -> bool {
        self.process.close()
    }

    /// Writes the flat action of a copy.
    pub(crate) fn set_action(&mut self, copy: usize, action: &[f32]) {
        let mut rest = action;
        for (i, leaf) in self.actions.iter().enumerate() {
            let (own, others) = rest.split_at(leaf.len());
            leaf.write(own, self.memory.row_mut(self.arrays.actions + i, copy));
            rest = others;
        }
    }

    /// Says whether a copy takes part in the next step or rendering.
    pub(crate) fn set_step(&mut self, copy: usize, takes_part: bool) {
        self.memory.row_mut(self.arrays.step, copy)[0] = takes_part.into();
    }

    /// Says what a copy does at the next reset, or at the end of its episode.
    pub(crate) fn set_reset(&mut self, copy: usize, reset: Reset) {
        let (mark, seed) = match reset {
            Reset::No => (0, 0),
            Reset::Seeded(seed) => (1, seed),
            Reset::GoOn => (2, 0),
        };
        self.memory.row_mut(self.arrays.reset, copy)[0] = mark;
        self.memory.row_mut(self.arrays.seed, copy).copy_from_slice(&seed.to_le_bytes());
    }

    /// Sends a command that is answered by a byte; [`Worker::wait`] waits for it.
    ///
    /// # Errors
    /// Fails if the process is gone, or failed before.
    pub(crate) fn send(&mut self, command: Command) -> Result<(), Failure> {
        self.wait()?;
        self.process.send(&[command as u8], command.name())?;
        self.waiting = Some(command);
        Ok(())
    }

    /// Waits until the last command has been answered.
    ///
    /// # Errors
    /// Fails if the process did, or no answer comes in time.
    pub(crate) fn wait(&mut self) -> Result<(), Failure> {
        match self.waiting.take() {
            Some(command) => self.process.confirm(command.name()),
            None => Ok(()),
        }
    }

    /// Reward, terminated and truncated of a copy's last step.
    pub(crate) fn step_of(&self, copy: usize) -> (f64, bool, bool) {
        let row = |array| self.memory.row(array, copy);
        let reward = f64::from_le_bytes(row(self.arrays.reward).try_into().expect("8 bytes"));
        (reward, row(self.arrays.terminated)[0] != 0, row(self.arrays.truncated)[0] != 0)
    }

    /// Reads a copy's observation: the present one, or the last one of the episode that its last step ended.
    ///
    /// # Errors
    /// Fails if a whole number lies outside of its space.
    pub(crate) fn observe(
        &self,
        copy: usize,
        last: bool,
        observation: &mut [f32],
    ) -> Result<(), Failure> {
        let first = if last { self.arrays.finals } else { self.arrays.observations };
        let mut rest = observation;
        for (i, leaf) in self.observations.iter().enumerate() {
            let (own, others) = rest.split_at_mut(leaf.len());
            leaf.read(self.memory.row(first + i, copy), own)
                .map_err(|why| Failure::new(format!("its observation {why}")))?;
            rest = others;
        }
        Ok(())
    }

    /// A copy's present observation as it lies in the memory.
    pub(crate) fn stored_observation(&self, copy: usize) -> Vec<Vec<u8>> {
        let first = self.arrays.observations;
        (0..self.observations.len()).map(|i| self.memory.row(first + i, copy).to_vec()).collect()
    }

    /// Draws a copy: its picture, 3 bytes a pixel.
    ///
    /// # Errors
    /// Fails if the process does, or was started without rendering.
    pub(crate) fn render(&mut self, copy: usize) -> Result<&[u8], Failure> {
        let Some(frame) = self.arrays.frame else {
            return Err(Failure::new("it was started without rendering"));
        };
        for other in 0..self.copies {
            self.set_step(other, other == copy);
        }
        self.send(Command::Render)?;
        self.wait()?;
        Ok(self.memory.row(frame, copy))
    }

    /// The `info` of every copy after its last reset or step.
    ///
    /// # Errors
    /// Fails if the process does, or sends something else.
    pub(crate) fn infos(&mut self) -> Result<Vec<Info>, Failure> {
        self.send(Command::Infos)?;
        self.wait()?;
        let message = self.process.read_message(Command::Infos.name())?;
        let infos: Vec<Option<Info>> = serde_json::from_slice(&message).map_err(|error| {
            Failure::new(format!("its infos are not what was expected: {error}"))
        })?;
        if infos.len() != self.copies {
            let (expected, found) = (self.copies, infos.len());
            return Err(Failure::new(format!("expected {expected} infos, found {found}")));
        }
        Ok(infos.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Gives a copy other options for its next episode.
    ///
    /// # Errors
    /// Fails if the process does.
    pub(crate) fn configure(&mut self, copy: usize, options: &Options) -> Result<(), Failure> {
        let options = serde_json::to_vec(options)
            .map_err(|error| Failure::new(format!("options could not be written: {error}")))?;
        self.send_with(Command::Options, copy, &options)
    }

    /// The state of a copy.
    ///
    /// # Errors
    /// Fails if the process does.
    pub(crate) fn save(&mut self, copy: usize) -> Result<Vec<u8>, Failure> {
        self.wait()?;
        self.process.send(&call(Command::Save, copy), Command::Save.name())?;
        self.process.confirm(Command::Save.name())?;
        self.process.read_message(Command::Save.name())
    }

    /// Puts a copy into a state in which it is observed so ([`Worker::stored_observation`]).
    ///
    /// # Errors
    /// Fails if the process does.
    pub(crate) fn restore(
        &mut self,
        copy: usize,
        state: &[u8],
        observation: &[Vec<u8>],
    ) -> Result<(), Failure> {
        self.send_with(Command::Restore, copy, state)?;
        for (i, part) in observation.iter().enumerate() {
            self.memory.row_mut(self.arrays.observations + i, copy).copy_from_slice(part);
        }
        Ok(())
    }

    fn send_with(&mut self, command: Command, copy: usize, bytes: &[u8]) -> Result<(), Failure> {
        self.wait()?;
        let mut message = call(command, copy);
        let length = u32::try_from(bytes.len())
            .map_err(|_| Failure::new(format!("{} is too long", command.name())))?;
        message.extend_from_slice(&length.to_le_bytes());
        message.extend_from_slice(bytes);
        self.process.send(&message, command.name())?;
        self.process.confirm(command.name())
    }
}

/// A command for one copy.
fn call(command: Command, copy: usize) -> Vec<u8> {
    let mut message = vec![command as u8];
    message.extend_from_slice(&(copy as u32).to_le_bytes());
    message
}

/// The line that describes the environment, once its version is known to be ours.
fn hear_card(process: &mut Process, patience: Duration) -> Result<Card, Failure> {
    let what = "its description";
    let value: serde_json::Value = process.hear(patience, what)?;
    match value["version"].as_u64() {
        Some(version) if version == u64::from(wire::VERSION) => {}
        found => {
            let found =
                found.map_or("no version".to_owned(), |version| format!("version {version}"));
            return Err(Failure::new(format!(
                "it speaks {found} of the protocol {}, this program speaks version {}",
                wire::ENVIRONMENT,
                wire::VERSION
            )));
        }
    }
    serde_path_to_error::deserialize(value)
        .map_err(|error| Failure::new(format!("{what} is not what was expected: {error}")))
}

fn check_card(card: &Card) -> Result<(), Failure> {
    /// The largest side of a picture.
    const SIDE: u32 = 8192;
    if let Some([height, width]) = card.frame
        && !((1..=SIDE).contains(&height) && (1..=SIDE).contains(&width))
    {
        let message = format!("its pictures have {width} × {height} pixels, expected 1 to {SIDE}");
        return Err(Failure::new(message));
    }
    if card.max_episode_steps == Some(0) {
        return Err(Failure::new("its `max_episode_steps` is 0, expected at least 1"));
    }
    Ok(())
}

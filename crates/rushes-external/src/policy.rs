//! A policy that another process makes: observations in, actions out, over the protocol `rushes-policy` 1.

use rushes_env::{Mode, Options, Policy, PolicyError, Situation, Space};
use rushes_rng::Rng;
use serde::{Deserialize, Serialize};

use rand::RngExt as _;

use crate::memory::{Layout, SharedMemory};
use crate::process::{Failure, Process, Program};
use crate::wire::{self, Dtype, Leaf, WireSpace};

/// The first line, from this program to a policy.
#[derive(Serialize)]
struct Hello<'a> {
    protocol: &'static str,
    version: u32,
    observation_space: &'a WireSpace,
    action_space: &'a WireSpace,
    options: &'a Options,
}

/// The second line, from the policy.
#[derive(Deserialize)]
struct Introduction {
    version: u32,
}

/// A policy of another process, started when it first acts.
pub struct ExternalPolicy {
    program: Program,
    options: Options,
    observation_space: WireSpace,
    action_space: WireSpace,
    /// The spaces' arrays and, once it was started, the process.
    observations: Vec<Leaf>,
    actions: Vec<Leaf>,
    session: Option<Session>,
    /// Whether the next action is the first of an episode.
    begins: bool,
}

/// A process that has shaken hands.
struct Session {
    process: Process,
    memory: SharedMemory,
}

/// Where the arrays of an observation, of an action, and of what begins an episode are.
const OBSERVATIONS: usize = 0;

impl ExternalPolicy {
    /// A policy for an environment with these spaces. Starts nothing yet.
    ///
    /// # Errors
    /// Never for the spaces of an environment.
    pub fn new(
        program: Program,
        options: Options,
        observation_space: &Space,
        action_space: &Space,
    ) -> Result<Self, Failure> {
        let (observation_space, action_space) =
            (WireSpace::of(observation_space), WireSpace::of(action_space));
        Ok(Self {
            program,
            options,
            observations: observation_space.leaves().map_err(Failure)?,
            actions: action_space.leaves().map_err(Failure)?,
            observation_space,
            action_space,
            session: None,
            begins: true,
        })
    }

    fn start(&mut self) -> Result<Session, Failure> {
        let patience = self.program.start_timeout;
        let mut process = Process::start(&self.program)?;
        process.tell(
            &Hello {
                protocol: wire::POLICY,
                version: wire::VERSION,
                observation_space: &self.observation_space,
                action_space: &self.action_space,
                options: &self.options,
            },
            patience,
        )?;
        let Introduction { version } = process.hear(patience, "its introduction")?;
        if version != wire::VERSION {
            return Err(Failure::new(format!(
                "it speaks version {version} of the protocol {}, this program speaks version {}",
                wire::POLICY,
                wire::VERSION
            )));
        }
        let mut layout = Layout::default();
        layout.add_leaves("observation", &self.observations, 1);
        layout.add_leaves("action", &self.actions, 1);
        layout.add("begins", Dtype::U8, vec![1]);
        layout.add("greedy", Dtype::U8, vec![1]);
        layout.add("seed", Dtype::U64, vec![1]);
        let memory = process.share(layout, patience)?;
        Ok(Session { process, memory })
    }

    fn try_act(
        &mut self,
        observation: &[f32],
        mode: Mode,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), Failure> {
        if self.session.is_none() {
            self.session = Some(self.start()?);
        }
        let Some(Session { process, memory }) = &mut self.session else { return Ok(()) };
        let mut rest = observation;
        for (i, leaf) in self.observations.iter().enumerate() {
            let (own, others) = rest.split_at(leaf.len());
            leaf.write(own, memory.row_mut(OBSERVATIONS + i, 0));
            rest = others;
        }
        let actions = OBSERVATIONS + self.observations.len();
        let begins = actions + self.actions.len();
        memory.row_mut(begins, 0)[0] = self.begins.into();
        memory.row_mut(begins + 1, 0)[0] = (mode == Mode::Greedy).into();
        if self.begins {
            // All chance comes from the trial's stream: its own begins there.
            let seed = u64::from(rng.random::<u32>());
            memory.row_mut(begins + 2, 0).copy_from_slice(&seed.to_le_bytes());
        }
        self.begins = false;
        process.send(b"A", "an observation")?;
        process.confirm("an observation")?;
        let mut rest = action;
        for (i, leaf) in self.actions.iter().enumerate() {
            let (own, others) = rest.split_at_mut(leaf.len());
            leaf.read(memory.row(actions + i, 0), own)
                .map_err(|why| Failure::new(format!("its action {why}")))?;
            rest = others;
        }
        Ok(())
    }
}

impl Policy for ExternalPolicy {
    fn begin_episode(&mut self) {
        self.begins = true;
    }

    fn act(
        &mut self,
        situation: Situation<'_>,
        mode: Mode,
        rng: &mut Rng,
        action: &mut [f32],
    ) -> Result<(), PolicyError> {
        self.try_act(situation.observation, mode, rng, action).map_err(|Failure(why)| {
            // What hangs or lies is not asked again.
            self.session = None;
            PolicyError {
                step: situation.step,
                message: format!("`{}`: {why}", self.program.shown),
            }
        })
    }
}

//! What an implementation of the protocol gets wrong.
//!
//! The same actions are played in several processes and in several ways (alone and in company, with and without
//! rendering, with automatic and with explicit resets); whatever the specification says makes no difference must make
//! none.

use std::fmt;
use std::time::{Duration, Instant};

use rushes_env::{Options, Space};
use rushes_rng::{Purpose, Rng, stream};

use crate::process::{Failure, Program};
use crate::wire::{Card, Command};
use crate::worker::{Reset, Worker};

/// How a check turned out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Right; with what was measured, where there is something.
    Right(String),
    /// Wrong, and how.
    Wrong(String),
    /// Not checked, and why.
    Skipped(String),
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub what: &'static str,
    /// How it turned out.
    pub outcome: Outcome,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, detail) = match &self.outcome {
            Outcome::Right(detail) => ("ok", detail),
            Outcome::Wrong(detail) => ("WRONG", detail),
            Outcome::Skipped(detail) => ("skipped", detail),
        };
        write!(f, "{mark:<8} {}", self.what)?;
        if detail.is_empty() { Ok(()) } else { write!(f, ": {detail}") }
    }
}

/// Copies that play together.
const COPIES: usize = 3;
/// Steps of each way of playing, unless they take too long.
const STEPS: usize = 300;
/// How long the first way of playing may take; the others take as many steps.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a copy told of a step.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    reward: f64,
    terminated: bool,
    truncated: bool,
    /// The last observation of the episode, where it ended.
    last: Option<Vec<f32>>,
    /// The present observation.
    observation: Vec<f32>,
}

/// A way of playing.
#[derive(Clone, Copy, Default)]
struct Way {
    /// Draw every copy after every step.
    rendering: bool,
    /// Let copies go on to the next episode by themselves.
    autoreset: bool,
}

/// The steps of all copies, step by step.
type Played = Vec<Vec<Row>>;

/// Runs every check.
///
/// # Errors
/// Fails if a process cannot be started, or fails where no check expects it.
pub fn check(program: &Program, options: &Options) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    let mut tell = |what, outcome| findings.push(Finding { what, outcome });
    let begun = Instant::now();
    let mut first = Worker::start(program, COPIES, options, true)?;
    let card = first.card().clone();
    let space = card.observation_space.to_space().map_err(Failure)?;
    let actions = card.action_space.to_space().map_err(Failure)?;
    let started = format!(
        "observations {space}, actions {actions}, {:.2} s to start",
        begun.elapsed().as_secs_f64()
    );
    tell("handshake", Outcome::Right(started));

    let seeds: Vec<u64> = (0..COPIES as u64).map(|copy| 1_000 + copy).collect();
    let mut session = Session { actions: &actions, observations: space.len(), steps: STEPS };
    let begun = Instant::now();
    let played = session.play(&mut first, &seeds, Way::default(), Some(begun + PATIENCE))?;
    session.steps = played.len();
    tell("values", values(&played, &space));
    tell("time limit", time_limit(&played, &card));
    let repeats = |played: &Played, again: &Played| {
        if card.deterministic {
            compare(played, again)
        } else {
            Outcome::Skipped("it says that it is not deterministic".into())
        }
    };
    let again = session.play(&mut first, &seeds, Way::default(), None)?;
    tell("seeds repeat in one process", repeats(&played, &again));
    let mut second = Worker::start(program, COPIES, options, true)?;
    let again = session.play(&mut second, &seeds, Way::default(), None)?;
    tell("seeds repeat in another process", repeats(&played, &again));
    let again =
        session.play(&mut second, &seeds, Way { autoreset: true, ..Way::default() }, None)?;
    tell("automatic resets are like explicit ones", repeats(&played, &again));
    let mut alone = Worker::start(program, 1, options, false)?;
    let again = session.play(&mut alone, &seeds[..1], Way::default(), None)?;
    let of_first: Played = played.iter().map(|rows| rows[..1].to_vec()).collect();
    tell("a copy alone is like one in company", repeats(&of_first, &again));
    tell("seeds make a difference", differences(&mut session, &mut alone, &played)?);
    tell("copies that do not take part stay", masks(&session, &mut second)?);
    let outcome = match card.frame {
        Some(_) => {
            let way = Way { rendering: true, ..Way::default() };
            repeats(&played, &session.play(&mut second, &seeds, way, None)?)
        }
        None => Outcome::Skipped("it draws no pictures".into()),
    };
    tell("rendering never steps", outcome);
    second.infos()?;
    tell("infos", Outcome::Right(String::new()));
    let outcome = match card.reconfigurable {
        true => second
            .configure(0, options)
            .map_or_else(|Failure(why)| Outcome::Wrong(why), |()| Outcome::Right(String::new())),
        false => Outcome::Skipped("it takes no other options".into()),
    };
    tell("options between episodes", outcome);
    let outcome = match (card.snapshots, card.deterministic) {
        (true, true) => snapshots(&session, &mut alone)?,
        (true, false) => Outcome::Skipped("it says that it is not deterministic".into()),
        (false, _) => Outcome::Skipped("it keeps none".into()),
    };
    tell("snapshots", outcome);
    tell("speed", speed(&session, &mut alone, &mut second)?);
    tell("it ends when its input closes", ends(first));
    Ok(findings)
}

struct Session<'a> {
    actions: &'a Space,
    observations: usize,
    steps: usize,
}

impl Session<'_> {
    fn observe(&self, worker: &Worker, copy: usize, last: bool) -> Result<Vec<f32>, Failure> {
        let mut observation = vec![0.0; self.observations];
        worker.observe(copy, last, &mut observation)?;
        Ok(observation)
    }

    /// Draws a copy's action: mostly anything, now and then the ends of a box.
    fn act(&self, worker: &mut Worker, copy: usize, step: usize, rng: &mut Rng) {
        let mut action = vec![0.0; self.actions.len()];
        self.actions.sample(rng, &mut action);
        for (i, (low, high)) in self.actions.finite_bounds().enumerate() {
            match step % 10 {
                3 => action[i] = low,
                7 => action[i] = high,
                _ => {}
            }
        }
        worker.set_action(copy, &action);
    }

    /// Plays from these seeds, until `until` where that is given.
    fn play(
        &self,
        worker: &mut Worker,
        seeds: &[u64],
        way: Way,
        until: Option<Instant>,
    ) -> Result<Played, Failure> {
        let mut rngs: Vec<Rng> =
            (0..seeds.len() as u64).map(|copy| stream(copy, Purpose::Exploration, 0)).collect();
        reset(worker, seeds)?;
        let mut played = Played::new();
        for step in 0..self.steps {
            if until.is_some_and(|until| Instant::now() > until) {
                break;
            }
            for (copy, rng) in rngs.iter_mut().enumerate() {
                self.act(worker, copy, step, rng);
                worker.set_step(copy, true);
                worker.set_reset(copy, if way.autoreset { Reset::GoOn } else { Reset::No });
            }
            worker.send(Command::Step)?;
            worker.wait()?;
            let steps: Vec<_> = (0..seeds.len()).map(|copy| worker.step_of(copy)).collect();
            let over = |copy: usize| steps[copy].1 || steps[copy].2;
            let lasts: Vec<Option<Vec<f32>>> = (0..seeds.len())
                .map(|copy| {
                    over(copy).then(|| self.observe(worker, copy, way.autoreset)).transpose()
                })
                .collect::<Result<_, _>>()?;
            if !way.autoreset && (0..seeds.len()).any(over) {
                for copy in 0..seeds.len() {
                    worker.set_reset(copy, if over(copy) { Reset::GoOn } else { Reset::No });
                }
                worker.send(Command::Reset)?;
                worker.wait()?;
            }
            let mut rows = Vec::new();
            for (copy, ((reward, terminated, truncated), last)) in
                steps.into_iter().zip(lasts).enumerate()
            {
                if way.rendering {
                    worker.render(copy)?;
                }
                let observation = self.observe(worker, copy, false)?;
                rows.push(Row { reward, terminated, truncated, last, observation });
            }
            played.push(rows);
        }
        Ok(played)
    }
}

fn reset(worker: &mut Worker, seeds: &[u64]) -> Result<(), Failure> {
    for (copy, &seed) in seeds.iter().enumerate() {
        worker.set_reset(copy, Reset::Seeded(seed));
    }
    worker.send(Command::Reset)?;
    worker.wait()
}

/// The first difference between two ways of playing.
fn compare(played: &Played, again: &Played) -> Outcome {
    for (step, (rows, others)) in played.iter().zip(again).enumerate() {
        for (copy, (row, other)) in rows.iter().zip(others).enumerate() {
            let what = [
                ("reward", row.reward != other.reward),
                ("terminated", row.terminated != other.terminated),
                ("truncated", row.truncated != other.truncated),
                ("last observation of the episode", row.last != other.last),
                ("observation", row.observation != other.observation),
            ];
            if let Some((what, _)) = what.iter().find(|(_, differs)| *differs) {
                return Outcome::Wrong(format!(
                    "the {what} of copy {copy} differs at step {}: {} and {}",
                    step + 1,
                    shown(row, what),
                    shown(other, what)
                ));
            }
        }
    }
    Outcome::Right(format!("{} steps", again.len()))
}

fn shown(row: &Row, what: &str) -> String {
    let start = |numbers: &[f32]| format!("{:?}", &numbers[..numbers.len().min(6)]);
    match what {
        "reward" => row.reward.to_string(),
        "terminated" => row.terminated.to_string(),
        "truncated" => row.truncated.to_string(),
        "observation" => start(&row.observation),
        _ => row.last.as_deref().map_or("none".into(), start),
    }
}

fn values(played: &Played, space: &Space) -> Outcome {
    let mut episodes = 0;
    for (step, row) in
        played.iter().enumerate().flat_map(|(s, rows)| rows.iter().map(move |r| (s, r)))
    {
        if !row.reward.is_finite() {
            return Outcome::Wrong(format!("the reward of step {} is {}", step + 1, row.reward));
        }
        for observation in std::iter::once(&row.observation).chain(&row.last) {
            if !space.contains(observation) {
                let start = &observation[..observation.len().min(8)];
                return Outcome::Wrong(format!(
                    "an observation of step {} is not in its space {space}: it begins with {start:?}",
                    step + 1
                ));
            }
        }
        episodes += usize::from(row.last.is_some());
    }
    Outcome::Right(format!("{} steps, {episodes} episodes ended", played.len() * COPIES))
}

fn time_limit(played: &Played, card: &Card) -> Outcome {
    let Some(limit) = card.max_episode_steps else {
        return Outcome::Skipped("it says that it has none".into());
    };
    for copy in 0..COPIES {
        let mut length = 0;
        for rows in played {
            length += 1;
            let row = &rows[copy];
            if length >= limit && row.last.is_none() {
                return Outcome::Wrong(format!(
                    "an episode went on after {limit} steps, its `max_episode_steps`"
                ));
            }
            if row.last.is_some() {
                length = 0;
            }
        }
    }
    Outcome::Right(String::new())
}

/// Other seeds and later episodes are not all like the first.
fn differences(
    session: &mut Session<'_>,
    alone: &mut Worker,
    played: &Played,
) -> Result<Outcome, Failure> {
    let mut firsts = Vec::new();
    for seed in 0..10 {
        reset(alone, &[seed])?;
        firsts.push(session.observe(alone, 0, false)?);
    }
    if firsts.iter().any(|other| *other != firsts[0]) {
        return Ok(Outcome::Right(String::new()));
    }
    let other = session.play(alone, &[77], Way::default(), None)?;
    let of_first: Played = played.iter().map(|rows| rows[..1].to_vec()).collect();
    Ok(match compare(&of_first, &other) {
        Outcome::Wrong(_) => Outcome::Right(String::new()),
        _ => Outcome::Right("no: every seed gives the same episodes".into()),
    })
}

fn masks(session: &Session<'_>, worker: &mut Worker) -> Result<Outcome, Failure> {
    let mut rng = stream(5, Purpose::Exploration, 0);
    reset(worker, &[1, 2, 3])?;
    let before = session.observe(worker, 1, false)?;
    for step in 0..3 {
        for copy in 0..COPIES {
            session.act(worker, copy, step, &mut rng);
            worker.set_step(copy, copy == 0);
            worker.set_reset(copy, if copy == 0 { Reset::GoOn } else { Reset::No });
        }
        worker.send(Command::Step)?;
        worker.wait()?;
    }
    let stayed = session.observe(worker, 1, false)? == before;
    worker.set_reset(0, Reset::Seeded(1));
    worker.set_reset(1, Reset::No);
    worker.set_reset(2, Reset::No);
    worker.send(Command::Reset)?;
    worker.wait()?;
    Ok(if stayed && session.observe(worker, 1, false)? == before {
        Outcome::Right(String::new())
    } else {
        Outcome::Wrong("a copy moved though its `step` and `reset` were 0".into())
    })
}

fn snapshots(session: &Session<'_>, worker: &mut Worker) -> Result<Outcome, Failure> {
    let go = |worker: &mut Worker| -> Result<Played, Failure> {
        let mut rng = stream(9, Purpose::Exploration, 0);
        let mut played = Played::new();
        for step in 0..20 {
            session.act(worker, 0, step, &mut rng);
            worker.set_step(0, true);
            worker.set_reset(0, Reset::GoOn);
            worker.send(Command::Step)?;
            worker.wait()?;
            let (reward, terminated, truncated) = worker.step_of(0);
            let observation = session.observe(worker, 0, false)?;
            played.push(vec![Row { reward, terminated, truncated, last: None, observation }]);
        }
        Ok(played)
    };
    reset(worker, &[3])?;
    go(worker)?;
    let (state, observation) = (worker.save(0)?, worker.stored_observation(0));
    let one = go(worker)?;
    worker.restore(0, &state, &observation)?;
    let two = go(worker)?;
    Ok(match compare(&one, &two) {
        Outcome::Right(_) => Outcome::Right(format!("{} bytes", state.len())),
        outcome => outcome,
    })
}

/// Steps a second of one copy and of several.
fn speed(
    session: &Session<'_>,
    alone: &mut Worker,
    several: &mut Worker,
) -> Result<Outcome, Failure> {
    const LENGTH: Duration = Duration::from_millis(500);
    let measure = |worker: &mut Worker| -> Result<f64, Failure> {
        let copies = worker.copies();
        let mut rng = stream(1, Purpose::Exploration, 0);
        reset(worker, &vec![1; copies])?;
        let begun = Instant::now();
        let mut steps = 0;
        while begun.elapsed() < LENGTH {
            for copy in 0..copies {
                session.act(worker, copy, 0, &mut rng);
                worker.set_step(copy, true);
                worker.set_reset(copy, Reset::GoOn);
            }
            worker.send(Command::Step)?;
            worker.wait()?;
            steps += copies;
        }
        Ok(steps as f64 / begun.elapsed().as_secs_f64())
    };
    let (one, many) = (measure(alone)?, measure(several)?);
    Ok(Outcome::Right(format!("{one:.0} steps/s with 1 copy, {many:.0} with {COPIES}")))
}

fn ends(worker: Worker) -> Outcome {
    match worker.close() {
        true => Outcome::Right(String::new()),
        false => Outcome::Wrong("it was still there 2 s later and had to be killed".into()),
    }
}

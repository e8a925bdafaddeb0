//! A trial that is a person's own training script: started, told what to do, listened to, ended.
//!
//! The script is a process of its own, under guard ([`crate::guard`]). It reads `trainer/trial.json` and appends to
//! `trainer/reports.jsonl`; what it reports becomes the events and the result that an agent of this program would leave,
//! so that nobody behind knows the difference.

use std::ffi::OsString;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fs_err::File;
use serde::{Deserialize, Serialize};

mod handover;
mod report;

use self::handover::{Folder, Handover, Resume};
use self::report::{Hello, Line, Lines, Report};
use super::checkpoint::{self, Position};
use super::log::EventWriter;
use super::wishes::Wishes;
use crate::experiment::{TrainerSpec, TrialPlan};
use crate::guard::Guarded;
use crate::nn::Tensors;
use crate::record::{
    Evaluation, Event, Moment, Outcome, Progress, StopReason, Take, TakeRecord, TrialResult,
    cut_marks, plain_name,
};
use crate::store::TrialDir;
use crate::training::{MetricMeans, StopRule};
use crate::video::{self, Codec};

/// How often the script's reports are looked for.
const POLL: Duration = Duration::from_millis(20);

/// Key of what a checkpoint knows beside the position.
const TRAINER: &str = "trainer";

/// What a checkpoint knows of the script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Saved {
    /// The name of the script's own checkpoint.
    path: String,
    /// That of the one before, which is kept as well.
    previous: Option<String>,
    /// The policy that it had left by then.
    policy: Option<String>,
}

/// Runs the script of a trial as [`super::run`] runs a trial.
///
/// # Errors
/// Fails if the script fails, or reports what is not right.
pub(super) fn run(
    dir: &TrialDir,
    plan: &TrialPlan,
    trainer: &TrainerSpec,
    pause_at: Option<u64>,
    wishes: &Wishes,
) -> anyhow::Result<Option<TrialResult>> {
    let folder = Folder::of(dir)?;
    let mut session = Session::open(dir, plan, trainer, &folder, wishes)?;
    let pauses = |steps| pause_at.is_some_and(|pause| steps >= pause);
    if session.checkpointed.is_some_and(pauses) {
        return Ok(None);
    }
    let resume = session.saved.as_ref().map(|saved| Resume {
        path: folder.checkpoints().join(&saved.path),
        progress: session.progress,
        seconds: session.seconds,
    });
    let kept: Vec<&str> = (session.saved.iter())
        .flat_map(|saved| [Some(saved.path.as_str()), saved.previous.as_deref()])
        .flatten()
        .collect();
    let handover = Handover::new(dir, &folder, plan, trainer, pause_at, resume)?;
    folder.prepare(&kept, &handover)?;

    let log = dir.stderr();
    let logged = std::fs::metadata(&log).map_or(0, |log| log.len());
    let mut lines = Lines::new(File::open(folder.reports())?);
    let mut script = start(plan, trainer, &folder)?;
    let mut leaving_after = None;
    let status = loop {
        let ended = script.ended()?;
        // What it reported before it ended is there by now.
        lines.read(|line| session.line(line))?;
        if let Some(status) = ended {
            break status;
        }
        if wishes.finishes() {
            folder.ask_to_finish()?;
        }
        if wishes.leaves()
            && *leaving_after.get_or_insert(session.checkpoints) < session.checkpoints
        {
            return Ok(None);
        }
        std::thread::sleep(POLL);
    };
    let failed = |how: String| match last_words(&log, logged) {
        Some(words) => format!("{how}:\n{words}"),
        None => how,
    };
    anyhow::ensure!(status.success(), failed(format!("the training script failed ({status})")));
    anyhow::ensure!(
        !lines.is_cut(),
        failed(format!("reports.jsonl, line {}: the line has no end", lines.number + 1))
    );
    if !session.ended && session.checkpointed.is_some_and(pauses) {
        return Ok(None);
    }
    anyhow::ensure!(
        session.ended,
        failed("the training script exited without reporting `end`".to_owned())
    );
    Ok(Some(session.result()?))
}

fn start(plan: &TrialPlan, trainer: &TrainerSpec, folder: &Folder) -> anyhow::Result<Guarded> {
    let mut modules = vec![folder.path().to_owned()];
    let own = std::env::var_os("PYTHONPATH").filter(|own| !own.is_empty());
    modules.extend(own.iter().flat_map(std::env::split_paths));
    let variables: [(&str, OsString); 3] = [
        ("RUSHES_TRIAL", folder.handover().into()),
        ("PYTHONPATH", std::env::join_paths(modules)?),
        // The log tells things in the order in which they happened.
        ("PYTHONUNBUFFERED", "1".into()),
    ];
    let directory = plan.directory.as_deref().unwrap_or(Path::new("."));
    anyhow::ensure!(
        directory.is_dir(),
        "directory: {} is not there, where the training script runs",
        directory.display()
    );
    Guarded::start(&trainer.command, directory, &variables)
}

/// The end of what the script printed: of a traceback, where there is one.
fn last_words(log: &Path, from: u64) -> Option<String> {
    const LINES: usize = 20;
    const BYTES: u64 = 10_000;
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(BYTES)))).ok()?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let text = text.rfind("Traceback (most recent call last):").map_or(&*text, |at| &text[at..]);
    let lines: Vec<&str> = text.trim().lines().collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
    (!last.is_empty()).then_some(last)
}

/// What the script has reported.
struct Session<'a> {
    dir: &'a TrialDir,
    plan: &'a TrialPlan,
    trainer: &'a TrainerSpec,
    folder: &'a Folder,
    /// Whether the user asked for an early end.
    wishes: &'a Wishes,
    log: EventWriter,
    /// Set by the first line.
    hello: Option<Hello>,
    /// Whether an earlier attempt left something that nothing goes on from.
    begins_again: bool,
    progress: Progress,
    /// Seconds of training at the last line.
    seconds: f64,
    /// When the script said hello, and the seconds of training before.
    clock: (Instant, f64),
    stop: StopRule,
    /// Checkpoints so far.
    checkpoints: u64,
    /// The steps of the newest one.
    checkpointed: Option<u64>,
    saved: Option<Saved>,
    policy: Option<String>,
    after: Option<Evaluation>,
    ended: bool,
}

impl<'a> Session<'a> {
    /// At the newest checkpoint, or at the beginning.
    fn open(
        dir: &'a TrialDir,
        plan: &'a TrialPlan,
        trainer: &'a TrainerSpec,
        folder: &'a Folder,
        wishes: &'a Wishes,
    ) -> anyhow::Result<Self> {
        let had_events = std::fs::metadata(dir.events_path()).is_ok_and(|log| log.len() > 0);
        let mut note = None;
        let open = |position: &Position| EventWriter::open(dir, &position.events);
        // A script's checkpoints are its own: none is written because training ends.
        let goes_on = |_: &Position| false;
        let found =
            checkpoint::load(&dir.checkpoints(), open, goes_on, |message| note = Some(message))?;
        let found = found
            .map(|(position, state, log)| anyhow::Ok((position, state.value(TRAINER)?, log)))
            .transpose()?
            .filter(|(_, saved, _): &(_, Saved, _)| {
                let names = [Some(&saved.path), saved.previous.as_ref(), saved.policy.as_ref()];
                names.into_iter().flatten().all(|name| plain_name(name).is_ok())
                    && folder.checkpoints().join(&saved.path).exists()
            });
        let threshold = plan.environment.spec()?.reward_threshold;
        let begins_again = found.is_none() && had_events;
        let (position, saved, log) = match found {
            Some((position, saved, log)) => (Some(position), Some(saved), log),
            None => (None, None, EventWriter::create(dir)?),
        };
        let (progress, seconds) =
            position.as_ref().map_or_else(Default::default, |p| (p.progress, p.seconds));
        let mut session = Self {
            dir,
            plan,
            trainer,
            folder,
            wishes,
            log,
            hello: None,
            begins_again,
            progress,
            seconds,
            clock: (Instant::now(), seconds),
            checkpoints: position.as_ref().map_or(0, |position| position.number),
            checkpointed: position.as_ref().map(|position| position.progress.steps),
            stop: position.map_or_else(
                || StopRule::new(trainer.schedule.stop.as_ref(), threshold),
                |position| position.stop,
            ),
            policy: saved.as_ref().and_then(|saved| saved.policy.clone()),
            saved,
            after: None,
            ended: false,
        };
        if let Some(message) = note {
            session.write(Event::Note { message })?;
        }
        Ok(session)
    }

    fn write(&mut self, event: Event) -> anyhow::Result<()> {
        self.log.write(self.progress, self.seconds, event)
    }

    /// Takes note of a line.
    ///
    /// # Errors
    /// Fails if it says what cannot be, or a file cannot be written.
    fn line(&mut self, text: &[u8]) -> anyhow::Result<()> {
        let Line { steps, seconds, report } = Line::parse(text)?;
        anyhow::ensure!(!self.ended, "type: expected nothing after `end`");
        match (&self.hello, &report) {
            (None, Report::Hello(_)) => {}
            (None, _) => anyhow::bail!("type: expected `hello` first"),
            (Some(_), Report::Hello(_)) => anyhow::bail!("type: expected `hello` once"),
            (Some(_), _) => self.advance(steps, seconds, &report)?,
        }
        match report {
            Report::Hello(hello) => self.hello(hello),
            Report::Episode(report::Episode { r#return, length, truncated }) => {
                self.progress.episodes += 1;
                self.stop.episode(r#return);
                let (length, truncated) = (Some(length), Some(truncated));
                self.write(Event::Episode { r#return, length, truncated })
            }
            Report::Evaluation(evaluation) => self.evaluation(evaluation),
            Report::Metrics(report::Metrics { metrics, updates }) => {
                let updates = updates.unwrap_or(self.progress.updates + 1);
                at_least("updates", self.progress.updates, updates)?;
                self.progress.updates = updates;
                self.write(Event::Update { metrics })
            }
            Report::Take(take) => {
                let take = self.take(take)?;
                self.write(Event::Take(take))
            }
            Report::Checkpoint(checkpoint) => self.checkpoint(checkpoint.path),
            Report::Policy(report::Policy { file }) => {
                self.left("file", &file)?;
                self.policy = Some(file);
                Ok(())
            }
            Report::Note(report::Note { message }) => self.write(Event::Note { message }),
            Report::End(report::End {}) => self.end(),
        }
    }

    fn hello(&mut self, hello: Hello) -> anyhow::Result<()> {
        anyhow::ensure!(
            hello.version == report::VERSION,
            "version: the script speaks version {}, this program {}",
            hello.version,
            report::VERSION
        );
        anyhow::ensure!(
            hello.resumable || self.saved.is_none(),
            "resumable: expected true, as the script was when it wrote the checkpoint that it is started from"
        );
        self.clock.0 = Instant::now();
        if self.begins_again && !hello.resumable {
            let message =
                "the training script cannot resume: the trial started again from its beginning";
            self.write(Event::Note { message: message.into() })?;
        }
        self.hello = Some(hello);
        Ok(())
    }

    /// Takes over how far training has come.
    fn advance(
        &mut self,
        steps: Option<u64>,
        seconds: Option<f64>,
        report: &Report,
    ) -> anyhow::Result<()> {
        let passed = match report {
            Report::Episode(episode) => {
                anyhow::ensure!(episode.length > 0, "length: expected at least 1, found 0");
                episode.length
            }
            _ => 0,
        };
        let steps = steps.unwrap_or(self.progress.steps.saturating_add(passed));
        at_least("steps", self.progress.steps, steps)?;
        self.progress.steps = steps;
        let (hello, before) = self.clock;
        let seconds = seconds.unwrap_or_else(|| before + hello.elapsed().as_secs_f64());
        self.seconds = self.seconds.max(seconds);
        Ok(())
    }

    fn evaluation(&mut self, evaluation: report::Evaluation) -> anyhow::Result<()> {
        let report::Evaluation { moment, returns, lengths, seeds, cut } = evaluation;
        let expected = &self.plan.evaluation;
        anyhow::ensure!(!returns.is_empty(), "returns: expected at least one");
        same_number("lengths", lengths.len(), returns.len())?;
        if !cut.is_empty() {
            same_number("cut", cut.len(), returns.len())?;
        }
        let untrained = self.progress == Progress::default();
        if moment == Moment::During {
            anyhow::ensure!(
                !untrained,
                "moment: nothing was trained yet, so expected `before`, found `during`"
            );
        } else {
            anyhow::ensure!(
                seeds.iter().copied().eq(expected.seed..expected.seed + expected.episodes),
                "seeds: expected {} to {}, the experiment's evaluation episodes",
                expected.seed,
                expected.seed + expected.episodes - 1
            );
        }
        anyhow::ensure!(
            moment != Moment::Training,
            "moment: expected `before`, `during` or `after`, found `training`, which is of takes alone"
        );
        let cut = cut_marks(cut);
        if moment == Moment::After {
            let finite = returns.iter().all(|r| r.is_finite());
            anyhow::ensure!(finite, "returns: expected finite numbers");
            let seed = Some(expected.seed);
            self.after = Some(Evaluation { seed, returns, lengths, cut });
            return Ok(());
        }
        anyhow::ensure!(
            moment == Moment::During || untrained,
            "moment: training has begun, so expected `during` or `after`, found `before`"
        );
        self.write(Event::Evaluation { returns, lengths, cut })
    }

    fn take(&self, take: report::Take) -> anyhow::Result<TakeRecord> {
        let report::Take { moment, file, poster, rewards, seeds } = take;
        self.left("file", &file)?;
        anyhow::ensure!(!rewards.is_empty(), "rewards: expected one list for each episode");
        same_number("seeds", seeds.len(), rewards.len())?;
        let wrong = |error| anyhow::anyhow!("file: {error}");
        let facts = video::probe_file(&self.dir.file(&file)).map_err(wrong)?;
        let codec = match &facts.codec[..] {
            "h264" => Codec::H264,
            "vp9" => Codec::Vp9,
            "av1" => Codec::Av1,
            other => anyhow::bail!(
                "file: expected H.264, VP9 or AV1, which browsers play, found {other}"
            ),
        };
        let poster = match poster {
            Some(poster) => {
                self.left("poster", &poster)?;
                poster
            }
            None => format!("{file}.png"),
        };
        let sum = |rewards: &Vec<f32>| rewards.iter().map(|reward| f64::from(*reward)).sum();
        let take = Take {
            seeds,
            returns: rewards.iter().map(sum).collect(),
            lengths: rewards.iter().map(|rewards| rewards.len() as u32).collect(),
            cut: Vec::new(),
            rewards,
            frames: facts.frames,
            fps: (facts.frames as f64 / facts.duration).round().max(1.0) as u32,
            width: facts.width,
            height: facts.height,
            codec,
            encoder: "the training script".into(),
        };
        Ok(TakeRecord { moment, file, poster, numbers: None, take })
    }

    /// Checks that the script left a file of this name in the trial's directory.
    fn left(&self, field: &'static str, name: &str) -> anyhow::Result<()> {
        plain_name(name).context(field)?;
        anyhow::ensure!(
            self.dir.file(name).is_file(),
            "{field}: there is no {name} in the trial's directory"
        );
        Ok(())
    }

    fn checkpoint(&mut self, path: String) -> anyhow::Result<()> {
        let resumable = self.hello.as_ref().is_some_and(|hello| hello.resumable);
        anyhow::ensure!(
            resumable,
            "type: a script that said it is not resumable has no checkpoints"
        );
        plain_name(&path).context("path")?;
        anyhow::ensure!(
            self.folder.checkpoints().join(&path).exists(),
            "path: there is no {path} in the folder of checkpoints"
        );
        let (previous, outdated) =
            self.saved.take().map_or((None, None), |saved| (Some(saved.path), saved.previous));
        anyhow::ensure!(
            [&previous, &outdated].iter().all(|kept| kept.as_ref() != Some(&path)),
            "path: {path} is an earlier checkpoint's; each needs a name of its own, so that one is always whole"
        );
        self.checkpoints += 1;
        self.write(Event::Checkpoint { number: self.checkpoints })?;
        let saved = Saved { path, previous, policy: self.policy.clone() };
        let position = Position {
            number: self.checkpoints,
            progress: self.progress,
            seconds: self.seconds,
            events: self.log.sync()?,
            stop: self.stop.clone(),
            stopped: None,
            best: None,
            filmed: None,
            had_reached: 0,
            metrics: MetricMeans::default(),
        };
        let mut state = Tensors::default();
        state.insert_value(TRAINER, &saved);
        checkpoint::save(&self.dir.checkpoints(), &position, state)?;
        if let Some(outdated) = outdated {
            self.folder.remove(&outdated)?;
        }
        self.checkpointed = Some(self.progress.steps);
        self.saved = Some(saved);
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.after.is_some(),
            "type: expected an `evaluation` with \"moment\": \"after\" before `end`; reports and checks compare it"
        );
        self.ended = true;
        let reason = self.reason();
        self.write(Event::Stopped { reason })
    }

    /// Why training ended: what the schedule says of how far it came, or else by the user's decision or the script's.
    fn reason(&self) -> StopReason {
        let reason = self.stop.reason(&self.trainer.schedule, self.progress, self.seconds);
        let asked = || self.wishes.finishes().then_some(StopReason::User);
        reason.or_else(asked).unwrap_or(StopReason::Trainer)
    }

    fn result(mut self) -> anyhow::Result<TrialResult> {
        self.log.sync()?;
        let mut result = self.plan.empty_result();
        result.outcome = Outcome::Completed { stop_reason: Some(self.reason()) };
        result.progress = self.progress;
        result.training_seconds = self.seconds;
        result.steps_per_second =
            (self.seconds > 0.0).then(|| self.progress.steps as f64 / self.seconds);
        result.engine = self.hello.and_then(|hello| hello.framework);
        result.after = self.after;
        result.policy = self.policy;
        result.gather(self.dir.events()?.records, self.plan.evaluation.seed);
        Ok(result)
    }
}

fn at_least(field: &str, least: u64, found: u64) -> anyhow::Result<()> {
    anyhow::ensure!(found >= least, "{field}: expected at least {least}, as before; found {found}");
    Ok(())
}

fn same_number(field: &str, found: usize, episodes: usize) -> anyhow::Result<()> {
    anyhow::ensure!(
        found == episodes,
        "{field}: expected one for each of {episodes} episodes, found {found}"
    );
    Ok(())
}

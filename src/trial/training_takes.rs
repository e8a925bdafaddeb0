//! Films of training episodes themselves, as training plays them.

use std::time::Instant;

use super::take::{Filming, Scene, TakeError};
use crate::env::episode::View;
use crate::experiment::{TrainingFilms, TrialPlan};
use crate::record::{Moment, Progress, TakeRecord};
use crate::store::TrialDir;
use crate::training::Spectator;

/// Watches a training and films some of its episodes.
pub(super) struct TrainingTakes {
    dir: TrialDir,
    plan: TrialPlan,
    wanted: TrainingFilms,
    render_fps: u32,
    /// The number of the last episode that was filmed.
    last: Option<u64>,
    /// The episode that is being filmed, and its number.
    filming: Option<(u64, Filming)>,
    /// What was filmed since it was last asked for, and how far training had come at the episode's end.
    finished: Vec<(Progress, TakeRecord)>,
    failure: Option<TakeError>,
    /// Seconds that filming took since it was last asked for.
    seconds: f64,
}

impl TrainingTakes {
    /// For a trial whose plan wants such takes; nothing else. `last` is the number of the last episode that was filmed.
    ///
    /// # Errors
    /// Fails if the environment is unknown.
    pub(super) fn new(
        dir: &TrialDir,
        plan: &TrialPlan,
        last: Option<u64>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(wanted) = plan.recording.training.filter(|_| plan.filmed) else {
            return Ok(None);
        };
        Ok(Some(Self {
            dir: dir.clone(),
            render_fps: plan.environment.render_fps(&*plan.environment.spec()?),
            plan: plan.clone(),
            wanted,
            last,
            filming: None,
            finished: Vec::new(),
            failure: None,
            seconds: 0.0,
        }))
    }

    /// The number of the last episode that was filmed.
    pub(super) fn last(&self) -> Option<u64> {
        self.last
    }

    /// The seconds that filming took since the last call.
    pub(super) fn take_seconds(&mut self) -> f64 {
        std::mem::take(&mut self.seconds)
    }

    /// What was filmed since the last call, with how far training had come then.
    ///
    /// # Errors
    /// Fails if a film failed.
    pub(super) fn take_finished(&mut self) -> Result<Vec<(Progress, TakeRecord)>, TakeError> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(std::mem::take(&mut self.finished)),
        }
    }

    /// Starts a film of the episode that has just begun, where one is due: the first episode after a wanted number that
    /// the first copy begins.
    fn begin(&mut self, view: &View<'_>, number: u64) -> Result<(), TakeError> {
        self.filming = None;
        if !self.wants(number) {
            return Ok(());
        }
        let (file, poster, numbers) = names(number);
        let recording = &self.plan.recording;
        let numbers = recording.explain.then(|| self.dir.file(&numbers));
        let scene = Scene {
            seeds: &[],
            mode: crate::env::Mode::Explore,
            max_steps: None,
            render_fps: self.render_fps,
            agent: &self.plan.agent,
            trained_steps: None,
            training_episode: Some(number),
            poster: Some(&self.dir.file(&poster)),
            numbers: numbers.as_deref(),
        };
        let filming = Filming::start(view.env, &scene, &recording.video, &self.dir.file(&file))?;
        self.filming = Some((number, filming));
        Ok(())
    }

    fn film(&mut self, view: &mut View<'_>, progress: Progress) -> Result<(), TakeError> {
        let over = match view.last {
            None => {
                self.begin(view, progress.episodes)?;
                false
            }
            Some((_, step)) => {
                let cut = self.plan.recording.max_steps;
                step.done() || cut.is_some_and(|steps| view.env.elapsed_steps() >= steps)
            }
        };
        let Some((number, filming)) = &mut self.filming else { return Ok(()) };
        filming.see(view)?;
        let number = *number;
        if over && let Some((_, filming)) = self.filming.take() {
            let take = filming.finish()?;
            let (file, poster, numbers) = names(number);
            let numbers = self.plan.recording.explain.then_some(numbers);
            let moment = Moment::Training;
            self.finished.push((progress, TakeRecord { moment, file, poster, numbers, take }));
            self.last = Some(number);
        }
        Ok(())
    }
}

impl Spectator for TrainingTakes {
    fn wants(&self, episode: u64) -> bool {
        let next = self.last.map_or(0, |last| last + 1);
        (next..=episode).any(|number| self.wanted.contains(number))
    }

    fn see(&mut self, view: &mut View<'_>, progress: Progress) {
        let begins = view.last.is_none();
        if self.failure.is_some() || !(begins || self.filming.is_some()) {
            return;
        }
        let started = Instant::now();
        self.failure = self.film(view, progress).err();
        self.seconds += started.elapsed().as_secs_f64();
    }
}

/// The video of a training episode, its poster, and what was seen at every frame.
fn names(number: u64) -> (String, String, String) {
    let name = format!("episode-{number}");
    (format!("{name}.mp4"), format!("{name}.png"), format!("{name}.numbers.html"))
}

//! A take: one or more episodes, played and filmed.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::numbers::Numbers;
use crate::env::draw::{Canvas, png};
use crate::env::episode::{View, play};
use crate::env::{EnvError, Mode, Policy, PolicyError, TimeLimit};
use crate::record::{Take, cut_marks};
use crate::rng::Rng;
use crate::store;
use crate::video::{
    Caption, CaptionInfo, Codec, Encoder, EncoderConfig, Resizer, SIDES, VideoConfig, VideoError,
    probe,
};

/// What is played and how it is labelled.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// One episode for each seed, in this order, in one file. The environment is reset with the seed.
    pub seeds: &'a [u64],
    /// Whether the policy samples or takes its best action.
    pub mode: Mode,
    /// An episode is cut after so many steps, beside the environment's own limit.
    pub max_steps: Option<u32>,
    /// The environment's own frame rate ([`crate::env::EnvSpec::render_fps`]).
    pub render_fps: u32,
    /// The agent's name, for the caption.
    pub agent: &'a str,
    /// Environment steps that the agent was trained for, for the caption; `None` for one that never learns.
    pub trained_steps: Option<u64>,
    /// The number of the training episode that is filmed, for the caption; `None` for episodes beside training.
    pub training_episode: Option<u64>,
    /// Where to write the first frame as a PNG file, for a page to show before it has loaded the video.
    pub poster: Option<&'a Path>,
    /// Where to write what the policy saw and thought at every frame, for a page to show below the video.
    pub numbers: Option<&'a Path>,
}

/// A take failed. Nothing is left at the video's path.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The video could not be written.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// The environment failed or refused an action.
    #[error("failed to film an episode")]
    Env(#[from] EnvError),
    /// The policy failed to act.
    #[error("failed to film an episode")]
    Policy(#[from] PolicyError),
    /// Whoever watched could not write down what they saw.
    #[error(transparent)]
    Watch(#[from] io::Error),
    /// What was seen and thought at every frame could not be written down.
    #[error("failed to write down the numbers of a take")]
    Numbers(#[source] anyhow::Error),
}

/// Plays `scene.seeds` with `policy` and films them to `path`; see [`Encoder`] for how the file appears.
/// `chance` is the stream that the episode of a seed draws actions from; `watch` sees what the camera sees.
///
/// The environment is left in the middle of nowhere: reset it before further use.
///
/// # Errors
/// Fails if the environment, the policy or the video fails; the message names the file where there is one.
pub fn record_take(
    env: &mut TimeLimit,
    policy: &mut dyn Policy,
    chance: impl Fn(u64) -> Rng,
    scene: &Scene<'_>,
    config: &VideoConfig,
    path: &Path,
    mut watch: impl FnMut(&mut View<'_>) -> io::Result<()>,
) -> Result<Take, TakeError> {
    let mut filming = Filming::start(env, scene, config, path)?;
    for &seed in scene.seeds {
        let rng = &mut chance(seed);
        play(env, policy, scene.mode, rng, seed, scene.max_steps, |mut view| {
            watch(&mut view)?;
            filming.see(&mut view)
        })?;
    }
    filming.finish()
}

/// A take that is being filmed: all that becomes of it where it is not finished is lost.
pub(super) struct Filming {
    camera: Camera,
    /// What was seen and thought, and where to write it.
    numbers: Option<(Numbers, PathBuf)>,
    /// As far as it is filmed.
    take: Take,
}

impl Filming {
    /// Sets the camera up in front of `env`.
    ///
    /// # Errors
    /// Fails if the video cannot be written.
    pub(super) fn start(
        env: &TimeLimit,
        scene: &Scene<'_>,
        config: &VideoConfig,
        path: &Path,
    ) -> Result<Self, VideoError> {
        let camera = Camera::new(env, scene, config, path)?;
        let take = Take {
            seeds: scene.seeds.to_vec(),
            returns: Vec::new(),
            lengths: Vec::new(),
            cut: Vec::new(),
            rewards: Vec::new(),
            frames: 0,
            fps: camera.fps,
            width: 0,
            height: 0,
            codec: camera.codec,
            encoder: camera.encoder_name.clone(),
        };
        let numbers = scene.numbers.map(|path| (Numbers::new(env.env()), path.to_owned()));
        Ok(Self { camera, numbers, take })
    }

    /// Takes in an episode's next frame, the one after a reset as that of a new episode.
    ///
    /// # Errors
    /// Fails if the environment cannot be drawn or the video not be written.
    pub(super) fn see(&mut self, view: &mut View<'_>) -> Result<(), TakeError> {
        let take = &mut self.take;
        if view.last.is_none() {
            take.returns.push(0.0);
            take.lengths.push(0);
            take.cut.push(true);
            take.rewards.push(Vec::new());
        }
        let episode = take.rewards.len() - 1;
        if let Some((_, step)) = view.last {
            take.returns[episode] = view.total;
            take.lengths[episode] = view.env.elapsed_steps();
            take.cut[episode] = !step.done();
            take.rewards[episode].push(step.reward as f32);
        }
        if let Some((numbers, _)) = &mut self.numbers {
            numbers.see(view);
        }
        self.camera.shoot(view.env, episode, view.total)
    }

    /// Brings everything to its place.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    pub(super) fn finish(self) -> Result<Take, TakeError> {
        let Self { camera, numbers, mut take } = self;
        take.cut = cut_marks(take.cut);
        (take.width, take.height) = camera.encoder.size();
        take.frames = camera.encoder.frames();
        if let Some((path, png)) = camera.poster {
            fs::write(&path, png).map_err(VideoError::io("write", &path))?;
        }
        if let Some((numbers, path)) = numbers {
            let page = numbers.to_page().map_err(TakeError::Numbers)?;
            store::write_atomically(&path, page.as_bytes()).map_err(TakeError::Numbers)?;
        }
        camera.encoder.finish()?;
        Ok(take)
    }
}

/// The chain from an environment's state to the file.
struct Camera {
    /// Where the first frame goes as a picture, and the picture.
    poster: Option<(PathBuf, Vec<u8>)>,
    /// What the environment draws on.
    canvas: Canvas,
    /// Present where the video's size is not the environment's.
    resizer: Option<Resizer>,
    caption: Option<Caption>,
    /// The caption's bar and the picture below it; empty where there is no caption.
    taller: Vec<u8>,
    width: u32,
    height: u32,
    encoder: Encoder,
    fps: u32,
    codec: Codec,
    encoder_name: String,
}

impl Camera {
    fn new(
        env: &TimeLimit,
        scene: &Scene<'_>,
        config: &VideoConfig,
        path: &Path,
    ) -> Result<Self, VideoError> {
        let native = env.env().frame_size();
        let (width, height) = config.size(native);
        let fps = config.fps.unwrap_or(scene.render_fps);
        let choice = probe(config.codec)?;
        let caption = config.caption.then(|| {
            Caption::new(
                &CaptionInfo {
                    agent: scene.agent.to_owned(),
                    trained_steps: scene.trained_steps,
                    training_episode: scene.training_episode,
                    episodes: scene.seeds.len(),
                },
                width,
                height,
            )
        });
        // A picture as tall as pictures get has no room for a bar.
        let caption = caption.filter(|caption| SIDES.contains(&(height + caption.bar_height())));
        let bar = caption.as_ref().map_or(0, Caption::bar_height);
        let encoder = Encoder::create(
            path,
            &EncoderConfig {
                width,
                height: height + bar,
                fps,
                quality: config.quality,
                choice: choice.clone(),
            },
        )?;
        let resizer = if (width, height) == native {
            None
        } else {
            Some(Resizer::new(native, (width, height)))
        };
        Ok(Self {
            poster: scene.poster.map(|path| (path.to_owned(), Vec::new())),
            canvas: Canvas::new(native.0, native.1),
            resizer,
            caption,
            taller: vec![0; if bar > 0 { (width * (height + bar) * 4) as usize } else { 0 }],
            width,
            height: height + bar,
            encoder,
            fps,
            codec: choice.codec,
            encoder_name: choice.encoder,
        })
    }

    fn shoot(&mut self, env: &TimeLimit, episode: usize, total: f64) -> Result<(), TakeError> {
        env.env().draw(&mut self.canvas);
        if let Some(failure) = env.env().failure() {
            return Err(failure.into());
        }
        let mut picture = match &mut self.resizer {
            Some(resizer) => resizer.run(self.canvas.rgba()),
            None => self.canvas.rgba_mut(),
        };
        if let Some(caption) = &mut self.caption {
            let bar = self.taller.len() - picture.len();
            self.taller[bar..].copy_from_slice(picture);
            picture = &mut self.taller;
            caption.draw(picture, episode, total);
        }
        if self.encoder.frames() == 0
            && let Some((_, poster)) = &mut self.poster
        {
            *poster = png(picture, self.width, self.height);
        }
        Ok(self.encoder.push(picture)?)
    }
}

//! Observing pictures instead of states: a wrapper around any environment.
//!
//! A patch of what [`Env::draw`] shows is drawn straight at its small size, from the whole picture or from a
//! window that follows [`Env::focus`]. Every step draws its patch, looked at or not, because stacks and
//! differences need them all; the environment's own observation is never asked for. Whoever looks through
//! [`Pixels`] sees nothing of the state; takes and evaluations go on as before, since drawing, stepping and
//! `info` are the environment's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::draw::Canvas;
use crate::environment::{Env, EnvError, Info, Step, Trace};
use crate::problem::Problem;
use crate::space::{Action, Space};

/// A patch of the picture, as an array of the shape [channels, height, width]. Numbers are whole ones from 0 to 255,
/// which networks see divided by 255; those of differences lie between -1 and 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PixelsSpec {
    /// Width of the patch in its own, small pixels.
    #[schemars(range(min = 1, max = 1024))]
    pub width: u32,
    /// Height of the patch in its own, small pixels.
    #[schemars(range(min = 1, max = 1024))]
    pub height: u32,
    /// What is seen of a pixel's colour.
    pub channels: Channels,
    /// The part of the picture that is seen; the whole picture by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<Crop>,
    /// Each patch minus the one before it (zero at the start of an episode) instead of the patch itself.
    pub difference: bool,
    /// How many of the latest patches (or differences) are seen, the oldest first. At the start of an
    /// episode its first patch stands for those that are missing.
    #[schemars(range(min = 1, max = 16))]
    pub stack: usize,
}

impl Default for PixelsSpec {
    fn default() -> Self {
        Self {
            width: 84,
            height: 84,
            channels: Channels::Grayscale,
            crop: None,
            difference: false,
            stack: 1,
        }
    }
}

/// What is seen of a pixel's colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// Its luma, 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601), in whole 255ths: one channel.
    Grayscale,
    /// Red, green and blue: three channels.
    Rgb,
}

/// A window of the picture about the place that the environment names (CartPole: the cart with its pole), in
/// the picture's own pixels; `rushes envs ID` shows the picture's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// Width of the window.
    #[schemars(range(min = 1))]
    pub width: u32,
    /// Height of the window.
    #[schemars(range(min = 1))]
    pub height: u32,
}

impl Channels {
    fn count(self) -> usize {
        match self {
            Channels::Grayscale => 1,
            Channels::Rgb => 3,
        }
    }
}

impl PixelsSpec {
    /// Channels, height and width of an observation.
    pub fn shape(&self) -> [usize; 3] {
        [self.channels.count() * self.stack, self.height as usize, self.width as usize]
    }

    /// What makes this patch impossible with a picture of `frame`'s width and height; paths are below the
    /// observation.
    pub fn problems(&self, frame: (u32, u32)) -> Vec<Problem> {
        let mut problems = Vec::new();
        let window = self.crop.map_or(frame, |crop| (crop.width, crop.height));
        let sides =
            [("width", self.width, window.0, frame.0), ("height", self.height, window.1, frame.1)];
        for (side, patch, window, frame) in sides {
            if window > frame {
                problems.push(Problem::new(
                    &["crop", side],
                    format!(
                        "expected at most the picture's {side}, {frame} pixels, found {window}"
                    ),
                ));
            } else if patch > window {
                let seen = if self.crop.is_some() { "crop" } else { "picture" };
                problems.push(Problem::new(
                    &[side],
                    format!("{patch} pixels would magnify the {seen}, which has {window}: use at most that"),
                ));
            }
        }
        problems
    }
}

/// An environment that is observed by its picture.
pub struct Pixels {
    env: Box<dyn Env>,
    spec: PixelsSpec,
    observation_space: Space,
    canvas: Canvas,
    /// The present patch and the one before it, in 255ths, channel by channel.
    patch: Vec<u8>,
    before: Vec<u8>,
    /// The latest patches or differences, the oldest first: the observation.
    frames: Vec<f32>,
}

impl Pixels {
    /// Looks at `env` through a patch that [`PixelsSpec::problems`] has nothing against.
    pub fn new(env: Box<dyn Env>, spec: PixelsSpec) -> Self {
        let shape = spec.shape();
        let numbers = shape.iter().product();
        Self {
            observation_space: if spec.difference {
                Space::float_box(vec![-1.0; numbers], vec![1.0; numbers], shape.to_vec())
            } else {
                Space::picture(&shape)
            },
            canvas: Canvas::new(spec.width, spec.height),
            patch: vec![0; numbers / spec.stack],
            before: vec![0; numbers / spec.stack],
            frames: vec![0.0; numbers],
            env,
            spec,
        }
    }

    /// Draws the present patch.
    fn look(&mut self) -> Result<(), EnvError> {
        std::mem::swap(&mut self.patch, &mut self.before);
        let frame = self.env.frame_size();
        let (left, top, width, height) = match self.spec.crop {
            None => (0.0, 0.0, frame.0 as f32, frame.1 as f32),
            Some(Crop { width, height }) => {
                let (x, y) = self.env.focus();
                let (width, height) = (width as f32, height as f32);
                (x - width / 2.0, y - height / 2.0, width, height)
            }
        };
        let scale = (self.spec.width as f32 / width, self.spec.height as f32 / height);
        self.canvas.set_view(scale.0, scale.1, -left * scale.0, -top * scale.1);
        self.env.draw(&mut self.canvas);
        let pixels = self.canvas.rgba().as_chunks::<4>().0;
        match self.spec.channels {
            Channels::Grayscale => {
                for (value, &[red, green, blue, _]) in self.patch.iter_mut().zip(pixels) {
                    let luma =
                        299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
                    *value = ((luma + 500) / 1000) as u8;
                }
            }
            Channels::Rgb => {
                for (channel, plane) in self.patch.chunks_exact_mut(pixels.len()).enumerate() {
                    for (value, pixel) in plane.iter_mut().zip(pixels) {
                        *value = pixel[channel];
                    }
                }
            }
        }
        self.env.failure().map_or(Ok(()), Err)
    }

    /// Writes the newest frame over `frame`: the patch, or how it differs from the one before.
    fn write(&mut self, frame: std::ops::Range<usize>) {
        let frame = &mut self.frames[frame];
        if self.spec.difference {
            for (value, (now, before)) in frame.iter_mut().zip(self.patch.iter().zip(&self.before))
            {
                *value = (f32::from(*now) - f32::from(*before)) / 255.0;
            }
        } else {
            for (value, now) in frame.iter_mut().zip(&self.patch) {
                *value = f32::from(*now);
            }
        }
    }
}

impl Env for Pixels {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        self.env.action_space()
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        self.env.reset(seed)?;
        self.look()?;
        self.before.copy_from_slice(&self.patch);
        let len = self.patch.len();
        for first in (0..self.frames.len()).step_by(len) {
            self.write(first..first + len);
        }
        Ok(())
    }

    fn send(&mut self, action: Action<'_>, next_seed: Option<u64>) -> Result<(), EnvError> {
        self.env.send(action, next_seed)
    }

    fn is_remote(&self) -> bool {
        self.env.is_remote()
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let step = self.env.step(action)?;
        self.look()?;
        let (len, total) = (self.patch.len(), self.frames.len());
        self.frames.copy_within(len.., 0);
        self.write(total - len..total);
        Ok(step)
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        observation.copy_from_slice(&self.frames);
        Ok(())
    }

    fn frame_size(&self) -> (u32, u32) {
        self.env.frame_size()
    }

    fn failure(&self) -> Option<EnvError> {
        self.env.failure()
    }

    fn draw(&self, canvas: &mut Canvas) {
        self.env.draw(canvas);
    }

    fn focus(&self) -> (f32, f32) {
        self.env.focus()
    }

    fn info(&self) -> Info {
        self.env.info()
    }

    fn action_mask(&self) -> Option<Vec<bool>> {
        self.env.action_mask()
    }

    fn trace(&self) -> Trace {
        self.env.trace()
    }
}

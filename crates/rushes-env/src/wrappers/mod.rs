//! Wrappers: what an experiment's `environment.wrappers` puts around an environment, one file each.
//!
//! The order is fixed, from the environment outwards: `randomise`, `sticky_actions`, `frame_skip`, `filter_observation`, then
//! the picture where the policy sees pixels, then `frame_stack`, `observation_noise`, `history`, `time_awareness`. Rewards are scaled and
//! clipped for whoever learns ([`RewardTransform`]) and for nobody else.
//!
//! Random numbers of wrappers come from streams of their own, derived from the seed of [`Env::reset`]; they go on
//! where it has none.

use rand::RngExt as _;
use rushes_rng::{NpRandom, Purpose, Rng, stream};

use crate::draw::Canvas;
use crate::environment::{Env, EnvError, Info, Step, Trace};
use crate::meaning::Meaning;
use crate::pixels::{Pixels, PixelsSpec};
use crate::space::{Action, Space};
use crate::spec::{Make, Options};

mod filter_observation;
mod frame_skip;
mod frame_stack;
mod history;
mod observation_noise;
mod randomise;
mod reward;
mod spec;
mod sticky_actions;
mod time_awareness;

pub use reward::{RewardClip, RewardTransform};
pub use spec::WrappersSpec;

/// What is known of the environment that wrappers go around, and of who looks at it.
pub struct Context<'a> {
    /// Builds the environment again, for an episode with other options.
    pub make: &'a Make<dyn Env>,
    /// The options that it was built with.
    pub options: &'a Options,
    /// After how many of its own steps its episodes end.
    pub max_episode_steps: u32,
    /// The picture that the policy sees instead of the state.
    pub pixels: Option<&'a PixelsSpec>,
    /// Whether the policy reads the environment's own observations, so that they keep their form: neither
    /// `filter_observation` nor `frame_stack` nor `history` nor `time_awareness`.
    pub keeps_form: bool,
}

/// Puts the wrappers of `spec`, which [`WrappersSpec::problems`] has nothing against, around `env`.
pub fn wrap(env: Box<dyn Env>, spec: &WrappersSpec, context: &Context<'_>) -> Box<dyn Env> {
    let mut env = env;
    let limit = context.max_episode_steps;
    if !spec.randomise.is_empty() {
        let (make, options) = (context.make.clone(), context.options.clone());
        env = around(env, randomise::Randomise::new(make, options, spec.randomise.clone()));
    }
    if let Some(probability) = spec.sticky_actions {
        env = around(env, sticky_actions::StickyActions::new(probability));
    }
    if let Some(skip) = spec.frame_skip {
        env = around(env, frame_skip::FrameSkip::new(skip, limit));
    }
    if let (Some(kept), false) = (&spec.filter_observation, context.keeps_form) {
        let wrapper = filter_observation::FilterObservation::new(env.observation_space(), kept);
        env = around(env, wrapper);
    }
    if let Some(pixels) = context.pixels {
        env = Box::new(Pixels::new(env, pixels.clone()));
    }
    if let (Some(stack), false) = (spec.frame_stack, context.keeps_form) {
        let wrapper = frame_stack::FrameStack::new(env.observation_space(), stack);
        env = around(env, wrapper);
    }
    if let Some(deviation) = spec.observation_noise {
        let noise = observation_noise::ObservationNoise::new(env.observation_space(), deviation);
        env = around(env, noise);
    }
    if let (Some(length), false) = (spec.history, context.keeps_form) {
        let wrapper = history::History::new(&*env, length);
        env = around(env, wrapper);
    }
    if spec.time_awareness == Some(true) && !context.keeps_form {
        let skip = spec.frame_skip.unwrap_or(1);
        let wrapper = time_awareness::TimeAwareness::new(env.observation_space(), limit, skip);
        env = around(env, wrapper);
    }
    env
}

fn around(env: Box<dyn Env>, wrapper: impl Wrapper) -> Box<dyn Env> {
    Box::new(Wrapped { env, wrapper })
}

/// What a wrapper does differently from the environment inside it; see [`Env`] for the methods.
trait Wrapper: Clone + 'static {
    fn observation_space<'a>(&'a self, env: &'a dyn Env) -> &'a Space {
        env.observation_space()
    }

    /// Those of a space of several numbers are a name for each; a wrapper that observes other numbers names its own.
    fn observation_meanings(&self, env: &dyn Env) -> Vec<Meaning> {
        env.observation_meanings()
    }

    fn reset(&mut self, env: &mut Box<dyn Env>, seed: Option<u64>) -> Result<(), EnvError> {
        env.reset(seed)
    }

    fn send(
        &mut self,
        env: &mut dyn Env,
        action: Action<'_>,
        next_seed: Option<u64>,
    ) -> Result<(), EnvError> {
        env.send(action, next_seed)
    }

    fn step(&mut self, env: &mut dyn Env, action: Action<'_>) -> Result<Step, EnvError> {
        env.step(action)
    }

    fn observe(&self, env: &dyn Env, observation: &mut [f32]) -> Result<(), EnvError> {
        env.observe(observation)
    }

    fn info(&self, env: &dyn Env) -> Info {
        env.info()
    }
}

/// An environment with a wrapper around it.
struct Wrapped<W> {
    env: Box<dyn Env>,
    wrapper: W,
}

impl<W: Wrapper> Env for Wrapped<W> {
    fn observation_space(&self) -> &Space {
        self.wrapper.observation_space(&*self.env)
    }

    fn action_space(&self) -> &Space {
        self.env.action_space()
    }

    fn observation_meanings(&self) -> Vec<Meaning> {
        self.wrapper.observation_meanings(&*self.env)
    }

    fn action_meanings(&self) -> Vec<Meaning> {
        self.env.action_meanings()
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        self.wrapper.reset(&mut self.env, seed)
    }

    fn send(&mut self, action: Action<'_>, next_seed: Option<u64>) -> Result<(), EnvError> {
        self.wrapper.send(&mut *self.env, action, next_seed)
    }

    fn is_remote(&self) -> bool {
        self.env.is_remote()
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        self.wrapper.step(&mut *self.env, action)
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        self.wrapper.observe(&*self.env, observation)
    }

    fn try_clone(&self) -> Option<Box<dyn Env>> {
        Some(around(self.env.try_clone()?, self.wrapper.clone()))
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
        self.wrapper.info(&*self.env)
    }

    fn action_mask(&self) -> Option<Vec<bool>> {
        self.env.action_mask()
    }

    fn trace(&self) -> Trace {
        self.env.trace()
    }
}

/// What each number of an observation of `env` is: where it is a single discrete one, whose values have the names, the
/// state.
fn numbers(env: &dyn Env) -> Vec<Meaning> {
    match env.observation_space() {
        Space::Discrete { .. } => Meaning::of_values(&["state"]),
        _ => env.observation_meanings(),
    }
}

/// What these numbers are at each of some ages in steps, age by age.
fn aged(numbers: &[Meaning], ages: impl Iterator<Item = usize>) -> Vec<Meaning> {
    let of = |age: usize| {
        let when = match age {
            0 => String::new(),
            1 => ", 1 step ago".to_owned(),
            steps => format!(", {steps} steps ago"),
        };
        let name = move |number: &Meaning| Meaning {
            name: format!("{}{when}", number.name),
            unit: number.unit.clone(),
        };
        numbers.iter().map(name)
    };
    ages.flat_map(of).collect()
}

/// Whose random numbers a stream holds. The numbers are part of reproducibility: never change or reuse one.
#[derive(Debug, Clone, Copy)]
enum Draws {
    StickyActions = 0,
    ObservationNoise = 1,
    Randomise = 2,
}

impl Draws {
    /// The stream of an environment that was reset with `seed`.
    fn rng(self, seed: u64) -> Rng {
        stream(seed, Purpose::Wrapper, self as u64)
    }

    /// [`Draws::rng`] with NumPy's distributions.
    fn np_random(self, seed: u64) -> NpRandom {
        NpRandom::new(self.rng(seed).random())
    }
}

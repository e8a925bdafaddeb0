//! Domain randomisation: options of the environment drawn anew for every episode.

use indexmap::IndexMap;
use rand::RngExt as _;
use rushes_rng::Rng;

use super::{Draws, Wrapper};
use crate::distribution::Distribution;
use crate::environment::{Env, EnvError, Info};
use crate::spec::{Make, Options};

/// Draws options at every reset. The environment takes them ([`Env::configure`]), or is built again with them.
#[derive(Clone)]
pub(super) struct Randomise {
    make: Make<dyn Env>,
    options: Options,
    distributions: IndexMap<String, Distribution>,
    rng: Rng,
    /// The options drawn for this episode.
    drawn: Options,
}

impl Randomise {
    /// `options` are those that stay.
    pub(super) fn new(
        make: Make<dyn Env>,
        options: Options,
        distributions: IndexMap<String, Distribution>,
    ) -> Self {
        let rng = Draws::Randomise.rng(0);
        Self { make, options, distributions, rng, drawn: Options::new() }
    }
}

impl Wrapper for Randomise {
    fn reset(&mut self, env: &mut Box<dyn Env>, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.rng = Draws::Randomise.rng(seed);
        }
        for (name, distribution) in &self.distributions {
            self.drawn.insert(name.clone(), distribution.draw(&mut self.rng));
        }
        let mut options = self.options.clone();
        options.extend(self.drawn.clone());
        if !env.configure(&options)? {
            let built =
                (self.make)(&options).map_err(|problem| EnvError::Options(problem.to_string()))?;
            let same = built.observation_space() == env.observation_space()
                && built.action_space() == env.action_space();
            if !same {
                return Err(EnvError::Options("they change its spaces".to_owned()));
            }
            *env = built;
        }
        // An environment with other options is a new one, which has no stream that could go on.
        env.reset(Some(seed.unwrap_or_else(|| self.rng.random())))
    }

    fn info(&self, env: &dyn Env) -> Info {
        let mut info = env.info();
        info.extend(self.drawn.clone());
        info
    }
}

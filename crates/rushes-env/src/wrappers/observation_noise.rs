//! Observation noise: Gaussian noise on what a policy sees.

use rushes_rng::NpRandom;

use super::{Draws, Wrapper};
use crate::environment::{Env, EnvError, Step};
use crate::space::{Action, Dtype, Space};

/// Adds independent Gaussian noise to every number of a box. An observation keeps its noise, however often it is
/// looked at; noisy numbers have no bounds.
#[derive(Clone)]
pub(super) struct ObservationNoise {
    observation_space: Space,
    deviation: f64,
    np_random: NpRandom,
    noise: Vec<f32>,
}

impl ObservationNoise {
    /// Noise of the standard deviation `deviation` on a box.
    pub(super) fn new(space: &Space, deviation: f64) -> Self {
        let len = space.len();
        let observation_space = match space {
            Space::Box { dtype: Dtype::Uint8, shape, .. } => Space::picture(shape),
            Space::Box { shape, .. } => Space::float_box(
                vec![f32::NEG_INFINITY; len],
                vec![f32::INFINITY; len],
                shape.clone(),
            ),
            other => other.clone(),
        };
        Self {
            observation_space,
            deviation,
            np_random: Draws::ObservationNoise.np_random(0),
            noise: vec![0.0; len],
        }
    }

    fn draw(&mut self) {
        for noise in &mut self.noise {
            *noise = self.np_random.normal(0.0, self.deviation) as f32;
        }
    }
}

impl Wrapper for ObservationNoise {
    fn observation_space<'a>(&'a self, _: &'a dyn Env) -> &'a Space {
        &self.observation_space
    }

    fn reset(&mut self, env: &mut Box<dyn Env>, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.np_random = Draws::ObservationNoise.np_random(seed);
        }
        self.draw();
        env.reset(seed)
    }

    fn step(&mut self, env: &mut dyn Env, action: Action<'_>) -> Result<Step, EnvError> {
        self.draw();
        env.step(action)
    }

    fn observe(&self, env: &dyn Env, observation: &mut [f32]) -> Result<(), EnvError> {
        env.observe(observation)?;
        observation.iter_mut().zip(&self.noise).for_each(|(number, noise)| *number += noise);
        if self.observation_space.is_bytes() {
            observation.iter_mut().for_each(|byte| *byte = byte.round().clamp(0.0, 255.0));
        }
        Ok(())
    }
}

//! Mixer: follow four wandering levels with the faders of a mixing desk.
//!
//! An action has several parts, one for each fader, and an observation is a dictionary.
//!
//! # Action space
//! `MultiDiscrete([3, 3, 3, 3])`: for each fader 0 down, 1 leave, 2 up.
//!
//! # Observation space
//! `Dict`:
//! - `faders`, `MultiDiscrete([11, 11, 11, 11])`: where the faders stand.
//! - `wanted`, `Box(0, 10, (4,))`: where they should stand.
//!
//! # Rewards
//! The mean over the faders, at every step: 1 at its level, less by a third for each unit away from it, at least 0.
//!
//! # Starting state
//! Faders and levels anywhere.
//!
//! # Episode end
//! Truncates after 60 steps.

use rushes::env::draw::{Canvas, Color};
use rushes::env::{Action, Env, EnvError, EnvSpec, Space, Step};
use rushes::rng::NpRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const FADERS: usize = 4;
const TOP: f64 = 10.0;

/// The environment's card.
pub fn v0() -> EnvSpec {
    EnvSpec {
        summary: "follow wandering levels with the faders of a mixing desk".into(),
        max_episode_steps: Some(60),
        render_fps: 10,
        ..EnvSpec::new(
            "Mixer-v0",
            |config: Config| Ok(Box::new(Mixer::new(config)) as Box<dyn Env>),
        )
    }
}

/// Options of the mixing desk.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// Standard deviation of a level's change in a step.
    drift: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { drift: 0.3 }
    }
}

struct Mixer {
    config: Config,
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    faders: [f64; FADERS],
    wanted: [f64; FADERS],
}

impl Mixer {
    fn new(config: Config) -> Self {
        let faders = Space::MultiDiscrete { nvec: vec![TOP as usize + 1; FADERS] };
        let wanted = Space::uniform_box(0.0, TOP as f32, FADERS);
        Self {
            observation_space: Space::dict([("faders", faders), ("wanted", wanted)]),
            action_space: Space::MultiDiscrete { nvec: vec![3; FADERS] },
            np_random: NpRandom::new(0),
            faders: [0.0; FADERS],
            wanted: [0.0; FADERS],
            config,
        }
    }
}

impl Env for Mixer {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.np_random = NpRandom::new(seed);
        }
        self.faders = [(); FADERS].map(|()| self.np_random.integers(0, TOP as i64 + 1) as f64);
        self.wanted = [(); FADERS].map(|()| self.np_random.uniform(0.0, TOP));
        Ok(())
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let mut reward = 0.0;
        for i in 0..FADERS {
            let moved = self.faders[i] + f64::from(action.vector()[i]) - 1.0;
            self.faders[i] = moved.clamp(0.0, TOP);
            let drifted = self.wanted[i] + self.np_random.normal(0.0, self.config.drift);
            self.wanted[i] = drifted.clamp(0.0, TOP);
            let away = (self.faders[i] - self.wanted[i]).abs();
            reward += (1.0 - away / 3.0).max(0.0) / FADERS as f64;
        }
        Ok(Step::new(reward, false))
    }

    /// The parts of the dictionary one after another, in the order of their names.
    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        for (number, value) in observation.iter_mut().zip(self.faders.iter().chain(&self.wanted)) {
            *number = *value as f32;
        }
        Ok(())
    }

    fn frame_size(&self) -> (u32, u32) {
        (240, 200)
    }

    /// A slit for each fader, its knob, and the level that it should follow.
    fn draw(&self, canvas: &mut Canvas) {
        canvas.clear(Color::rgb(45, 48, 55));
        let height = |level: f64| 180.0 - 16.0 * level as f32;
        for (i, (&fader, &wanted)) in self.faders.iter().zip(&self.wanted).enumerate() {
            let x = 45.0 + 50.0 * i as f32;
            canvas.rect(x - 2.0, 20.0, 4.0, 160.0, Color::BLACK);
            canvas.rect(x - 16.0, height(fader) - 6.0, 32.0, 12.0, Color::rgb(200, 205, 215));
            let level = height(wanted);
            canvas.line((x - 20.0, level), (x + 20.0, level), 3.0, Color::rgb(255, 140, 40));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faders_go_where_they_are_moved_and_no_further() {
        let mut mixer = Mixer::new(Config::default());
        mixer.reset(Some(1)).unwrap();
        let mut observation = vec![0.0; mixer.observation_space.len()];
        for _ in 0..12 {
            mixer.step(Action::Composite(&[0.0, 2.0, 0.0, 2.0])).unwrap();
            mixer.observe(&mut observation).unwrap();
            assert!(mixer.observation_space.contains(&observation), "{observation:?}");
        }
        assert_eq!(observation[..FADERS], [0.0, 10.0, 0.0, 10.0]);
    }
}

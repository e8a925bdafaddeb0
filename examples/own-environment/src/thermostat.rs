//! Thermostat: keep a room warm with a radiator that answers late.
//!
//! The heater warms the radiator, the radiator warms the room, and the room loses its heat to the weather. A switch
//! that turns at the wished temperature is always too late: the radiator is still cold, or still hot.
//!
//! # Action space
//! `Discrete(2)`: heater off, heater on.
//!
//! # Observation space
//! | index | observation | unit |
//! |---|---|---|
//! | 0 | room temperature above the target | 10 °C |
//! | 1 | radiator temperature above the room's | 50 °C |
//! | 2 | outdoor temperature below the target | 20 °C |
//!
//! # Rewards
//! 1 for every minute at the target, less by 1 for every degree away from it, at least 0.
//!
//! # Starting state
//! The room up to 2 °C from the target, the radiator as warm as the room, the weather as in the option `outdoors`.
//!
//! # Episode end
//! Truncates after 240 minutes.

use rushes::env::draw::{Canvas, Color};
use rushes::env::{Action, BuiltinPolicy, Env, EnvError, EnvSpec, FromFn, Problem, Space, Step};
use rushes::rng::NpRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the heater adds to the radiator's temperature in a minute.
const HEATING: f64 = 6.0;
/// The part of the difference to the room that the radiator loses in a minute.
const RADIATION: f64 = 0.1;
/// The part of the difference to the radiator that the room gains in a minute.
const WARMING: f64 = 0.02;
/// The part of the difference to the weather that the room loses in a minute.
const LOSS: f64 = 0.03;

/// The environment's card.
pub fn v0() -> EnvSpec {
    EnvSpec {
        summary: "keep a room warm with a radiator that answers late".into(),
        max_episode_steps: Some(240),
        reward_threshold: Some(222.0),
        policies: vec![BuiltinPolicy::new(
            "switch",
            "heats while the room is colder than the target",
            |_: Config| {
                Ok(Box::new(FromFn(|observation: &[f32], action: &mut [f32]| {
                    action[0] = if observation[0] < 0.0 { 1.0 } else { 0.0 };
                })))
            },
        )],
        ..EnvSpec::new("Thermostat-v0", make)
    }
}

/// Options of the thermostat.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// The temperature that is wished for, in °C: 10 to 30.
    target: f64,
    /// The mean outdoor temperature, in °C.
    outdoors: f64,
    /// Standard deviation of the outdoor temperature's change in a minute, in °C.
    gusts: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { target: 20.0, outdoors: 0.0, gusts: 0.5 }
    }
}

fn make(config: Config) -> Result<Box<dyn Env>, Problem> {
    if !(10.0..=30.0).contains(&config.target) {
        let message = format!("expected 10 to 30 °C, got {}", config.target);
        return Err(Problem::new(&["target"], message));
    }
    for (name, value) in [("outdoors", config.outdoors), ("gusts", config.gusts)] {
        if !value.is_finite() {
            return Err(Problem::new(&[name], format!("expected a finite number, got {value}")));
        }
    }
    Ok(Box::new(Thermostat::new(config)))
}

#[derive(Clone)]
struct Thermostat {
    config: Config,
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    room: f64,
    radiator: f64,
    outdoors: f64,
    heating: bool,
}

impl Thermostat {
    fn new(config: Config) -> Self {
        Self {
            observation_space: Space::uniform_box(f32::NEG_INFINITY, f32::INFINITY, 3),
            action_space: Space::Discrete { n: 2 },
            np_random: NpRandom::new(0),
            room: config.target,
            radiator: config.target,
            outdoors: config.outdoors,
            heating: false,
            config,
        }
    }
}

impl Env for Thermostat {
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
        self.room = self.config.target + self.np_random.uniform(-2.0, 2.0);
        self.radiator = self.room;
        self.outdoors = self.config.outdoors;
        self.heating = false;
        Ok(())
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let Config { target, outdoors, gusts } = self.config;
        self.heating = action.index() == 1;
        let heat = if self.heating { HEATING } else { 0.0 };
        self.radiator += heat - RADIATION * (self.radiator - self.room);
        self.room += WARMING * (self.radiator - self.room) - LOSS * (self.room - self.outdoors);
        // The weather wanders, and returns to its mean within an hour.
        self.outdoors += (outdoors - self.outdoors) / 60.0 + self.np_random.normal(0.0, gusts);
        let reward = (1.0 - (self.room - target).abs()).max(0.0);
        Ok(Step::new(reward, false))
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        let target = self.config.target;
        observation[0] = ((self.room - target) / 10.0) as f32;
        observation[1] = ((self.radiator - self.room) / 50.0) as f32;
        observation[2] = ((target - self.outdoors) / 20.0) as f32;
        Ok(())
    }

    /// Planners play ahead on copies.
    fn try_clone(&self) -> Option<Box<dyn Env>> {
        Some(Box::new(self.clone()))
    }

    fn frame_size(&self) -> (u32, u32) {
        (400, 300)
    }

    /// The room between blue and orange, the radiator between grey and red, the weather in the window, and a
    /// thermometer of ten degrees about the target.
    fn draw(&self, canvas: &mut Canvas) {
        let target = self.config.target;
        canvas.clear(blend((90, 130, 200), (250, 190, 110), (self.room - target + 4.0) / 8.0));
        canvas.rect(0.0, 260.0, 400.0, 40.0, Color::rgb(120, 85, 60));

        canvas.rect(45.0, 45.0, 110.0, 90.0, Color::WHITE);
        let weather = blend((40, 60, 110), (150, 210, 240), (self.outdoors + 10.0) / 30.0);
        canvas.rect(50.0, 50.0, 100.0, 80.0, weather);
        canvas.line((100.0, 50.0), (100.0, 130.0), 4.0, Color::WHITE);

        let iron = blend((150, 150, 150), (220, 50, 30), (self.radiator - target) / 60.0);
        for rib in 0..6 {
            canvas.rect(50.0 + 17.0 * rib as f32, 175.0, 13.0, 75.0, iron);
        }
        let lamp = if self.heating { Color::rgb(255, 70, 40) } else { Color::rgb(70, 70, 70) };
        canvas.circle(175.0, 240.0, 8.0, lamp);

        let height = |degrees: f64| 150.0 - 18.0 * degrees.clamp(-5.0, 5.0) as f32;
        canvas.rect(300.0, 55.0, 24.0, 190.0, Color::WHITE);
        let top = height(self.room - target);
        canvas.rect(305.0, top, 14.0, 245.0 - top, Color::rgb(200, 40, 40));
        canvas.circle(312.0, 245.0, 18.0, Color::rgb(200, 40, 40));
        canvas.line((285.0, height(0.0)), (340.0, height(0.0)), 2.0, Color::BLACK);
    }
}

/// The colour at `place` between `cold` (0) and `hot` (1).
fn blend(cold: (u8, u8, u8), hot: (u8, u8, u8), place: f64) -> Color {
    let place = place.clamp(0.0, 1.0);
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * place) as u8;
    Color::rgb(mix(cold.0, hot.0), mix(cold.1, hot.1), mix(cold.2, hot.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(seed: u64, action: usize, steps: usize) -> Vec<(f64, f64)> {
        let mut env = Thermostat::new(Config::default());
        env.reset(Some(seed)).unwrap();
        let step = |_| (env.step(Action::Discrete(action)).unwrap().reward, env.room);
        (0..steps).map(step).collect()
    }

    #[test]
    fn a_seed_decides_the_episode() {
        assert_eq!(play(3, 1, 50), play(3, 1, 50));
        assert_ne!(play(3, 1, 50), play(4, 1, 50));
    }

    #[test]
    fn heat_arrives_and_its_lack_is_felt() {
        assert!(play(0, 1, 60)[59].1 > 22.0);
        assert!(play(0, 0, 60)[59].1 < 18.0);
        assert!(play(0, 1, 60).iter().all(|(reward, _)| (0.0..=1.0).contains(reward)));
    }

    #[test]
    fn a_target_out_of_range_is_refused_by_name() {
        let problem = make(Config { target: 99.0, ..Config::default() }).err().unwrap();
        assert_eq!(problem.to_string(), "target: expected 10 to 30 °C, got 99");
    }
}

//! LunarLander: put a spacecraft down on a pad, softly and upright.
//!
//! Oleg Klimov's environment, as in Gymnasium 1.1.1 `envs/box2d/lunar_lander.py`. Equal to it bit for bit:
//! arithmetic in double precision, rounded to the solver's single precision where the reference hands numbers
//! to Box2D.
//!
//! # Action space
//! `Discrete(4)`: 0 nothing, 1 left orientation engine, 2 main engine, 3 right orientation engine.
//!
//! LunarLanderContinuous, or `continuous: true`: `Box(-1, 1, (2,))`. The first number is the main engine's throttle:
//! off up to 0, then 50 % to 100 % power. The second is the orientation engines': the left one fires below -0.5, the right
//! one above 0.5, with 50 % to 100 % power.
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | horizontal distance from the pad, in half-widths of the view (10 m) | -2.5 | 2.5 |
//! | 1 | height above the pad, in half-heights of the view (6.67 m) | -2.5 | 2.5 |
//! | 2 | horizontal velocity, in 5 m/s | -10 | 10 |
//! | 3 | vertical velocity, in 7.5 m/s | -10 | 10 |
//! | 4 | angle (rad) | -2π | 2π |
//! | 5 | angular velocity, in 2.5 rad/s | -10 | 10 |
//! | 6 | 1 while the left leg touches the ground | 0 | 1 |
//! | 7 | 1 while the right leg touches the ground | 0 | 1 |
//!
//! # Rewards
//! The change of a potential that falls with distance from the pad, speed and tilt and rises by 10 for each
//! leg on the ground; -0.3 for a step of the main engine at full power and -0.03 for one of an orientation
//! engine. The last step gives -100 for a crash or for leaving the view, +100 for coming to rest.
//!
//! # Starting state
//! At the top centre, pushed by a random force; the ground around the pad is random.
//!
//! # Episode end
//! Terminates when the hull touches the ground, the lander leaves the view sideways, or it comes to rest;
//! truncates after 1000 steps.
//!
//! # Version history
//! - v3: wind and turbulence start anew with every episode; the world is rebuilt on every reset.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::policies;
use crate::draw::{Canvas, Color};
use crate::environment::{Env, EnvError, Info, Step, Trace};
use crate::meaning::Meaning;
use crate::problem::Problem;
use crate::space::{Action, Space};
use crate::spec::{BOX2D, BuiltinPolicy, EnvSpec, constants};
use rushes_box2d::{BodyId, BodyState, Hinge, JointId, Material, Push, Shape, Tick, Vec2, World};
use rushes_rng::NpRandom;

const FPS: f64 = 50.0;
/// Pixels a metre.
const SCALE: f64 = 30.0;
const VIEWPORT_W: f64 = 600.0;
const VIEWPORT_H: f64 = 400.0;
/// Width and height of the view in metres.
const W: f64 = VIEWPORT_W / SCALE;
const H: f64 = VIEWPORT_H / SCALE;

const MAIN_ENGINE_POWER: f64 = 13.0;
const SIDE_ENGINE_POWER: f64 = 0.6;
/// Bounds of the first push, in newtons.
const INITIAL_RANDOM: f64 = 1000.0;
const LANDER_POLY: [(f64, f64); 6] =
    [(-14.0, 17.0), (-17.0, 0.0), (-17.0, -10.0), (17.0, -10.0), (17.0, 0.0), (14.0, 17.0)];
const LEG_AWAY: f64 = 20.0;
const LEG_DOWN: f64 = 18.0;
const LEG_W: f64 = 2.0;
const LEG_H: f64 = 8.0;
const LEG_SPRING_TORQUE: f32 = 40.0;
const SIDE_ENGINE_HEIGHT: f64 = 14.0;
const SIDE_ENGINE_AWAY: f64 = 12.0;
const MAIN_ENGINE_Y_LOCATION: f64 = 4.0;
/// Where orientation engines push, below the centre: the reference's 17, which is not its engines' height.
const SIDE_ENGINE_DROP: f64 = 17.0;

const CHUNKS: usize = 11;
const HELIPAD_Y: f64 = H / 4.0;
const HELIPAD_X: [f64; 2] = [W / (CHUNKS - 1) as f64 * 4.0, W / (CHUNKS - 1) as f64 * 6.0];

/// Gymnasium's LunarLander-v3.
pub fn v3() -> EnvSpec {
    EnvSpec {
        family: BOX2D.into(),
        summary: "land a spacecraft on a pad by firing one of three engines".into(),
        max_episode_steps: Some(1000),
        reward_threshold: Some(200.0),
        render_fps: 50,
        constants: constants(&[
            ("main_engine_power", MAIN_ENGINE_POWER),
            ("side_engine_power", SIDE_ENGINE_POWER),
            ("tau", 1.0 / FPS),
        ]),
        policies: vec![BuiltinPolicy::new(
            "heuristic",
            "Gymnasium's heuristic: PD control of angle and height towards the pad",
            |_: Config| Ok(Box::new(policies::LanderHeuristic)),
        )],
        ..EnvSpec::new("LunarLander-v3", make)
    }
}

/// Gymnasium's LunarLanderContinuous-v3.
pub fn continuous_v3() -> EnvSpec {
    EnvSpec {
        summary: "land a spacecraft on a pad by throttling its engines".into(),
        ..v3().variant("LunarLanderContinuous-v3", "continuous", true)
    }
}

/// Options of LunarLander.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Two throttles instead of four actions, by default with LunarLanderContinuous only.
    pub continuous: bool,
    /// Vertical acceleration in m/s², between -12 and 0.
    #[schemars(extend("exclusiveMinimum" = -12.0, "exclusiveMaximum" = 0.0))]
    pub gravity: f64,
    /// Whether wind pushes and turns the lander while no leg touches the ground.
    pub enable_wind: bool,
    /// The most force of the wind, in newtons; 0 to 20 is reasonable.
    pub wind_power: f64,
    /// The most torque of the wind, in N·m; 0 to 2 is reasonable.
    pub turbulence_power: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            continuous: false,
            gravity: -10.0,
            enable_wind: false,
            wind_power: 15.0,
            turbulence_power: 1.5,
        }
    }
}

fn make(config: Config) -> Result<Box<dyn Env>, Problem> {
    if !(-12.0 < config.gravity && config.gravity < 0.0) {
        return Err(Problem::new(
            &["gravity"],
            format!("expected a number between -12 and 0, not {}", config.gravity),
        ));
    }
    Ok(Box::new(LunarLander::new(config)))
}

/// The environment. Its world exists from the first reset on.
#[derive(Clone)]
struct LunarLander {
    config: Config,
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    /// Heights of the ground at the chunks' borders.
    ground: [f64; CHUNKS],
    scene: Option<Scene>,
    wind: Wind,
    previous_shaping: Option<f64>,
    sparks: Sparks,
}

/// The world of one episode.
#[derive(Clone)]
struct Scene {
    world: World,
    /// The lander, then its legs.
    bodies: [BodyId; 3],
    states: [BodyState; 3],
    leg_contact: [bool; 2],
    crashed: bool,
}

/// How far the wind's two patterns have come.
#[derive(Clone, Copy, Default)]
struct Wind {
    force: i64,
    torque: i64,
}

impl LunarLander {
    fn new(config: Config) -> Self {
        let high = [2.5, 2.5, 10.0, 10.0, (2.0 * PI) as f32, 10.0, 1.0, 1.0];
        let mut low = high.map(|bound: f32| -bound);
        low[6..].fill(-0.0);
        let action_space = if config.continuous {
            Space::uniform_box(-1.0, 1.0, 2)
        } else {
            Space::Discrete { n: 4 }
        };
        Self {
            config,
            observation_space: Space::float_box(low.to_vec(), high.to_vec(), vec![high.len()]),
            action_space,
            np_random: NpRandom::new(0),
            ground: [0.0; CHUNKS],
            scene: None,
            wind: Wind::default(),
            previous_shaping: None,
            sparks: Sparks::default(),
        }
    }

    /// Draws the ground's heights and smooths them.
    fn make_ground(&mut self) {
        let mut height: [f64; CHUNKS + 1] =
            std::array::from_fn(|_| self.np_random.uniform(0.0, H / 2.0));
        height[CHUNKS / 2 - 2..=CHUNKS / 2 + 2].fill(HELIPAD_Y);
        // The first chunk's left neighbour is the last height: the reference's index -1.
        self.ground = std::array::from_fn(|i| {
            let before = if i == 0 { CHUNKS } else { i - 1 };
            0.33 * (height[before] + height[i] + height[i + 1])
        });
    }

    /// Builds the world, in the reference's order: the solver's results depend on it.
    fn build(&mut self) -> Result<Scene, EnvError> {
        let mut world = World::new((0.0, self.config.gravity as f32))?;
        let moon = world.static_body((0.0, 0.0))?;
        let floor = Shape::Edge(&[(0.0, 0.0), (W as f32, 0.0)]);
        world.fixture(moon, floor, &Material::default())?;
        let rock = Material { friction: 0.1, ..Material::default() };
        for (i, pair) in self.ground.windows(2).enumerate() {
            let ends = [point(chunk_x(i), pair[0]), point(chunk_x(i + 1), pair[1])];
            world.fixture(moon, Shape::Edge(&ends), &rock)?;
        }

        let (x, y) = (VIEWPORT_W / SCALE / 2.0, VIEWPORT_H / SCALE);
        let lander = world.dynamic_body(point(x, y), 0.0)?;
        let hull = Material {
            density: 5.0,
            friction: 0.1,
            category: 0x0010,
            mask: 0x001,
            ..Material::default()
        };
        let corners = LANDER_POLY.map(|(x, y)| point(x / SCALE, y / SCALE));
        world.fixture(lander, Shape::Polygon(&corners), &hull)?;

        let leg = Material { density: 1.0, category: 0x0020, mask: 0x001, ..Material::default() };
        let mut bodies = [lander; 3];
        for (i, body) in [-1.0, 1.0].into_iter().zip(&mut bodies[1..]) {
            let angle = (i * 0.05) as f32;
            *body = world.dynamic_body(point(x - i * LEG_AWAY / SCALE, y), angle)?;
            let half = [point(LEG_W / SCALE, LEG_H / SCALE)];
            world.fixture(*body, Shape::Box(&half), &leg)?;
            let (lower, upper) = if i < 0.0 { (0.9 - 0.5, 0.9) } else { (-0.9, -0.9 + 0.5) };
            let _: JointId = world.hinge(&Hinge {
                body_a: lander,
                body_b: *body,
                anchor_a: [0.0, 0.0],
                anchor_b: [(i * LEG_AWAY / SCALE) as f32, (LEG_DOWN / SCALE) as f32],
                reference_angle: angle,
                lower_angle: lower as f32,
                upper_angle: upper as f32,
                motor_speed: (0.3 * i) as f32,
                max_motor_torque: LEG_SPRING_TORQUE,
            })?;
        }
        let mut states = [BodyState::default(); 3];
        for (state, &body) in states.iter_mut().zip(&bodies) {
            *state = world.state(body)?;
        }
        Ok(Scene { world, bodies, states, leg_contact: [false; 2], crashed: false })
    }

    /// One step with the powers of the main engine and, signed, of the orientation engines; `first` is the
    /// push that starts an episode.
    fn advance(&mut self, main: f64, side: f64, first: Option<Vec2>) -> Result<Step, EnvError> {
        let scene = self.scene.as_mut().ok_or(EnvError::NeverReset)?;
        let lander = scene.bodies[0];
        let BodyState { x, y, angle, .. } = scene.states[0];
        let (x, y, angle) = (f64::from(x), f64::from(y), f64::from(angle));
        let mut pushes = Pushes::default();
        if let Some(force) = first {
            pushes.add(Push::force(lander, force));
        }

        if self.config.enable_wind && !scene.leg_contact[0] && !scene.leg_contact[1] {
            let gust = |index: i64| {
                let index = index as f64;
                ((0.02 * index).sin() + (PI * 0.01 * index).sin()).tanh()
            };
            let force = gust(self.wind.force) * self.config.wind_power;
            let torque = gust(self.wind.torque) * self.config.turbulence_power;
            self.wind.force += 1;
            self.wind.torque += 1;
            pushes.add(Push::force(lander, (force as f32, 0.0)));
            pushes.add(Push::torque(lander, torque as f32));
        }

        let tip = (angle.sin(), angle.cos());
        let side_axis = (-tip.1, tip.0);
        let dispersion: [f64; 2] =
            std::array::from_fn(|_| self.np_random.uniform(-1.0, 1.0) / SCALE);
        self.sparks.next_step();
        if main > 0.0 {
            let along = MAIN_ENGINE_Y_LOCATION / SCALE + 2.0 * dispersion[0];
            let ox = tip.0 * along + side_axis.0 * dispersion[1];
            let oy = -tip.1 * along - side_axis.1 * dispersion[1];
            let at = (x + ox, y + oy);
            pushes.add(Push::impulse(
                lander,
                point(-ox * MAIN_ENGINE_POWER * main, -oy * MAIN_ENGINE_POWER * main),
                point(at.0, at.1),
            ));
            let impulse = (ox * MAIN_ENGINE_POWER * main, oy * MAIN_ENGINE_POWER * main);
            self.sparks.add(at, impulse, 3.5, main);
        }
        let side_power = side.abs();
        if side_power > 0.0 {
            let direction = side.signum();
            let across = 3.0 * dispersion[1] + direction * SIDE_ENGINE_AWAY / SCALE;
            let ox = tip.0 * dispersion[0] + side_axis.0 * across;
            let oy = -tip.1 * dispersion[0] - side_axis.1 * across;
            let at = (
                x + ox - tip.0 * SIDE_ENGINE_DROP / SCALE,
                y + oy + tip.1 * SIDE_ENGINE_HEIGHT / SCALE,
            );
            pushes.add(Push::impulse(
                lander,
                point(-ox * SIDE_ENGINE_POWER * side_power, -oy * SIDE_ENGINE_POWER * side_power),
                point(at.0, at.1),
            ));
            let impulse =
                (ox * SIDE_ENGINE_POWER * side_power, oy * SIDE_ENGINE_POWER * side_power);
            self.sparks.add(at, impulse, 0.7, side_power);
        }

        scene.tick(pushes.as_slice())?;
        let state = scene.observed();
        let shaping = -100.0 * (state[0] * state[0] + state[1] * state[1]).sqrt()
            - 100.0 * (state[2] * state[2] + state[3] * state[3]).sqrt()
            - 100.0 * state[4].abs()
            + 10.0 * state[6]
            + 10.0 * state[7];
        let mut reward = self.previous_shaping.map_or(0.0, |previous| shaping - previous);
        self.previous_shaping = Some(shaping);
        reward -= main * 0.30;
        reward -= side_power * 0.03;
        let mut terminated = false;
        if scene.crashed || state[0].abs() >= 1.0 {
            terminated = true;
            reward = -100.0;
        }
        if !scene.states[0].is_awake() {
            terminated = true;
            reward = 100.0;
        }
        Ok(Step::new(reward, terminated))
    }
}

impl Scene {
    fn tick(&mut self, pushes: &[Push]) -> Result<(), EnvError> {
        self.world.tick(Tick {
            dt: 1.0 / FPS,
            velocity_iterations: 6 * 30,
            position_iterations: 2 * 30,
            pushes,
            motors: &[],
            bodies: &self.bodies,
            states: &mut self.states,
        })?;
        let [lander, legs @ ..] = self.bodies;
        for contact in self.world.contacts() {
            if contact.began() && contact.involves(lander) {
                self.crashed = true;
            }
            for (touches, leg) in self.leg_contact.iter_mut().zip(legs) {
                if contact.involves(leg) {
                    *touches = contact.began();
                }
            }
        }
        Ok(())
    }

    /// The observation, before it is rounded to single precision.
    fn observed(&self) -> [f64; 8] {
        let lander = self.states[0];
        let contact = self.leg_contact.map(|touches| if touches { 1.0 } else { 0.0 });
        [
            (f64::from(lander.x) - W / 2.0) / (W / 2.0),
            (f64::from(lander.y) - (HELIPAD_Y + LEG_DOWN / SCALE)) / (H / 2.0),
            f64::from(lander.vx) * (W / 2.0) / FPS,
            f64::from(lander.vy) * (H / 2.0) / FPS,
            f64::from(lander.angle),
            20.0 * f64::from(lander.omega) / FPS,
            contact[0],
            contact[1],
        ]
    }
}

/// Up to five pushes of one step.
#[derive(Default)]
struct Pushes {
    list: [Push; 5],
    len: usize,
}

impl Pushes {
    fn add(&mut self, push: Push) {
        self.list[self.len] = push;
        self.len += 1;
    }

    fn as_slice(&self) -> &[Push] {
        &self.list[..self.len]
    }
}

/// Rounds to the solver's precision.
fn point(x: f64, y: f64) -> Vec2 {
    (x as f32, y as f32)
}

fn chunk_x(i: usize) -> f64 {
    W / (CHUNKS - 1) as f64 * i as f64
}

impl Env for LunarLander {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn observation_meanings(&self) -> Vec<Meaning> {
        Meaning::of_numbers(&[
            ("horizontal distance from the pad", "10 m"),
            ("height above the pad", "6.67 m"),
            ("horizontal velocity", "5 m/s"),
            ("vertical velocity", "7.5 m/s"),
            ("angle", "rad"),
            ("angular velocity", "2.5 rad/s"),
            ("left leg touches the ground", ""),
            ("right leg touches the ground", ""),
        ])
    }

    fn action_meanings(&self) -> Vec<Meaning> {
        if self.config.continuous {
            return Meaning::of_numbers(&[
                ("main engine", ""),
                ("orientation engines, left to right", ""),
            ]);
        }
        Meaning::of_values(&[
            "nothing",
            "left orientation engine",
            "main engine",
            "right orientation engine",
        ])
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.np_random = NpRandom::new(seed);
        }
        self.previous_shaping = None;
        self.sparks = Sparks::default();
        self.make_ground();
        // A new world each time: the reference found that an emptied one still remembers.
        self.scene = None;
        self.scene = Some(self.build()?);
        let force: [f64; 2] =
            std::array::from_fn(|_| self.np_random.uniform(-INITIAL_RANDOM, INITIAL_RANDOM));
        if self.config.enable_wind {
            self.wind.force = self.np_random.integers(-9999, 9999);
            self.wind.torque = self.np_random.integers(-9999, 9999);
        }
        self.advance(0.0, 0.0, Some(point(force[0], force[1])))?;
        Ok(())
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let (main, side) = match action {
            Action::Discrete(2) => (1.0, 0.0),
            Action::Discrete(1) => (0.0, -1.0),
            Action::Discrete(3) => (0.0, 1.0),
            Action::Continuous(&[main, side]) if self.config.continuous => {
                let (main, side) = (f64::from(main), f64::from(side));
                let main = if main > 0.0 { (main.clamp(0.0, 1.0) + 1.0) * 0.5 } else { 0.0 };
                let fires = side.abs() > 0.5;
                (main, if fires { side.abs().clamp(0.5, 1.0).copysign(side) } else { 0.0 })
            }
            _ => (0.0, 0.0),
        };
        self.advance(main, side, None)
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        let scene = self.scene.as_ref().ok_or(EnvError::NeverReset)?;
        for (out, value) in observation.iter_mut().zip(scene.observed()) {
            *out = value as f32;
        }
        Ok(())
    }

    fn try_clone(&self) -> Option<Box<dyn Env>> {
        Some(Box::new(self.clone()))
    }

    fn frame_size(&self) -> (u32, u32) {
        (VIEWPORT_W as u32, VIEWPORT_H as u32)
    }

    fn draw(&self, canvas: &mut Canvas) {
        let Some(scene) = &self.scene else { return };
        canvas.clear(Color::WHITE);
        let (width, height) = (W as f32, H as f32);
        let ground = (0..CHUNKS).rev().map(|i| point(chunk_x(i), self.ground[i]));
        let sky: Vec<_> =
            [(0.0, height), (width, height)].into_iter().chain(ground).map(pixel).collect();
        canvas.polygon(&sky, Color::BLACK);

        let scale = SCALE as f32;
        for spark in self.sparks.visible() {
            let (x, y) = spark.position(self.config.gravity, |x| self.ground_at(x));
            let (x, y) = pixel(point(x, y));
            canvas.circle(x, y, SPARK_RADIUS as f32 * scale, spark.color());
        }
        const PAINT: Color = Color::rgb(128, 102, 230);
        const EDGE: Color = Color::rgb(77, 77, 128);
        let hull = LANDER_POLY.map(|(x, y)| point(x / SCALE, y / SCALE));
        let (w, h) = point(LEG_W / SCALE, LEG_H / SCALE);
        let leg = [(-w, -h), (w, -h), (w, h), (-w, h)];
        for (state, shape) in scene.states.iter().zip([&hull[..], &leg, &leg]) {
            let corners: Vec<_> = shape.iter().map(|&corner| pixel(state.point(corner))).collect();
            canvas.polygon(&corners, PAINT);
            canvas.outline(&corners, 1.0, EDGE);
        }
        for x in HELIPAD_X {
            let (x, foot) = pixel(point(x, HELIPAD_Y));
            let top = foot - 50.0;
            // Half a pixel to the right, the pole fills one column of pixels.
            canvas.line((x + 0.5, foot), (x + 0.5, top), 1.0, Color::WHITE);
            let flag = [(x, top), (x, top + 10.0), (x + 25.0, top + 5.0)];
            canvas.polygon(&flag, Color::rgb(204, 204, 0));
        }
    }

    /// The lander.
    fn focus(&self) -> (f32, f32) {
        let lander = self.scene.as_ref().map(|scene| scene.states[0]).unwrap_or_default();
        pixel((lander.x, lander.y))
    }

    fn trace(&self) -> Trace {
        let [x1, x2] = HELIPAD_X;
        let polys: Vec<_> = self
            .ground
            .windows(2)
            .enumerate()
            .map(|(i, pair)| {
                let (left, right) = (chunk_x(i), chunk_x(i + 1));
                json!([[left, pair[0]], [right, pair[1]], [right, H], [left, H]])
            })
            .collect();
        let mut layout = Info::new();
        layout.insert("helipad_x1".to_owned(), x1.into());
        layout.insert("helipad_x2".to_owned(), x2.into());
        layout.insert("helipad_y".to_owned(), HELIPAD_Y.into());
        layout.insert("sky_polys".to_owned(), polys.into());
        Trace { layout, ..Trace::default() }
    }
}

impl LunarLander {
    /// The ground's height at `x`.
    fn ground_at(&self, x: f64) -> f64 {
        let chunk = ((x / chunk_x(1)).max(0.0) as usize).min(CHUNKS - 2);
        let share = (x - chunk_x(chunk)) / chunk_x(1);
        self.ground[chunk] + share * (self.ground[chunk + 1] - self.ground[chunk])
    }
}

/// World coordinates as native pixels: the reference draws upwards and flips the picture.
fn pixel((x, y): Vec2) -> (f32, f32) {
    (x * SCALE as f32, VIEWPORT_H as f32 - y * SCALE as f32)
}

const SPARK_RADIUS: f64 = 2.0 / SCALE;
/// Steps after which the brightest spark is gone: its time to live falls by 0.15 a frame.
const SPARK_FRAMES: usize = 7;

/// The engines' exhaust, for drawing only. The reference adds a body to the world for each spark when it
/// renders; here the world is the same whether anybody looks or not, and a spark's short flight is computed
/// when it is drawn.
#[derive(Clone, Default)]
struct Sparks {
    /// At most two a step, one for each kind of engine.
    ring: [[Option<Spark>; 2]; SPARK_FRAMES],
    now: usize,
}

#[derive(Clone, Copy)]
struct Spark {
    position: (f64, f64),
    velocity: (f64, f64),
    time_to_live: f64,
    /// Steps since it was made.
    age: usize,
}

impl Sparks {
    fn next_step(&mut self) {
        self.now = (self.now + 1) % SPARK_FRAMES;
        self.ring[self.now] = [None; 2];
        for spark in self.ring.iter_mut().flatten().flatten() {
            spark.age += 1;
        }
    }

    fn add(&mut self, position: (f64, f64), impulse: (f64, f64), density: f64, power: f64) {
        let mass = density * PI * SPARK_RADIUS * SPARK_RADIUS;
        let velocity = (impulse.0 / mass, impulse.1 / mass);
        let spark = Spark { position, velocity, time_to_live: power, age: 1 };
        let [first, second] = &mut self.ring[self.now];
        *(if first.is_none() { first } else { second }) = Some(spark);
    }

    /// The sparks that still glow, oldest first.
    fn visible(&self) -> impl Iterator<Item = &Spark> {
        (1..=SPARK_FRAMES)
            .flat_map(|i| self.ring[(self.now + i) % SPARK_FRAMES].iter().flatten())
            .filter(|spark| spark.glow() >= 0.0)
    }
}

impl Spark {
    fn glow(&self) -> f64 {
        self.time_to_live - 0.15 * self.age as f64
    }

    fn color(&self) -> Color {
        let channel = |value: f64| (value.clamp(0.2, 1.0) * 255.0) as u8;
        let faint = channel(0.5 * self.glow());
        Color::rgb(channel(0.15 + self.glow()), faint, faint)
    }

    /// Where it has come to: falling freely, bouncing off the ground.
    fn position(&self, gravity: f64, ground_at: impl Fn(f64) -> f64) -> (f64, f64) {
        const RESTITUTION: f64 = 0.3;
        let ((mut x, mut y), (vx, mut vy)) = (self.position, self.velocity);
        for _ in 0..self.age {
            vy += gravity / FPS;
            x += vx / FPS;
            y += vy / FPS;
            let floor = ground_at(x) + SPARK_RADIUS;
            if y < floor {
                y = floor;
                vy = vy.abs() * RESTITUTION;
            }
        }
        (x, y)
    }
}

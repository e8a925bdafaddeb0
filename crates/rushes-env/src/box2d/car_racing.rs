//! CarRacing: drive around a random track, seen from above, by pixels.
//!
//! Oleg Klimov's environment, as in Gymnasium 1.1.1 `envs/box2d/car_racing.py`. Track, car and rewards are equal
//! to it bit for bit; the picture is drawn by another rasteriser and is close, not equal.
//!
//! # Action space
//! `Box([-1, 0, 0], [1, 1, 1])`: steering (left to right), gas, brake. With `continuous: false`, `Discrete(5)`:
//! 0 nothing, 1 right, 2 left, 3 gas, 4 brake. (Gymnasium 1.1.1 calls 1 left and 2 right, but turns the wheels
//! the other way: its continuous action is negated on the way to the car and its discrete one is not.)
//!
//! # Observation space
//! `Box(0, 255, (96, 96, 3))`: the picture, rows from the top, red, green and blue. Along its lower edge from
//! left to right: return so far, speed, the four wheels' angular velocities, steering, angular velocity.
//!
//! # Rewards
//! -0.1 for every step and 1000/N for every tile of the track visited for the first time, of N. -100 for
//! leaving the playfield.
//!
//! # Starting state
//! At rest in the middle of the road. The track is random; with `domain_randomize`, so are the colours.
//!
//! # Episode end
//! Terminates when all tiles were visited, at the end of a lap with at least `lap_complete_percent` of them,
//! and when the car leaves the playfield. `info` tells which, as `lap_finished`. Truncates after 1000 steps.
//!
//! # Version history
//! - v3: finishing a lap terminates.

use std::cell::RefCell;
use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::car_dynamics::{Car, HULL, SIZE, wheel_corners};
use super::policies;
use crate::draw::{Canvas, Color};
use crate::environment::{Env, EnvError, Info, Step, Trace};
use crate::meaning::Meaning;
use crate::numpy::sign;
use crate::problem::Problem;
use crate::space::{Action, Space};
use crate::spec::{BOX2D, BuiltinPolicy, EnvSpec, constants};
use rushes_box2d::{BodyId, Material, Shape, Vec2, World};
use rushes_rng::NpRandom;

/// Side of the observed picture in pixels.
const STATE_SIZE: u32 = 96;
const VIDEO: (u32, u32) = (600, 400);
/// The reference draws at this size and shrinks the picture.
const WINDOW: (f32, f32) = (1000.0, 800.0);
/// The share of the picture's height that the indicators take.
const INDICATORS: f32 = 5.0 / 40.0;

const SCALE: f64 = 6.0;
const TRACK_RAD: f64 = 900.0 / SCALE;
/// The car dies beyond this distance from the centre.
const PLAYFIELD: f64 = 2000.0 / SCALE;
const FPS: f64 = 50.0;
const ZOOM: f64 = 2.7;
const CHECKPOINTS: usize = 12;
const TRACK_DETAIL_STEP: f64 = 21.0 / SCALE;
const TRACK_TURN_RATE: f64 = 0.31;
const TRACK_WIDTH: f64 = 40.0 / SCALE;
const BORDER: f64 = 8.0 / SCALE;
const BORDER_MIN_COUNT: usize = 4;
const GRASS_DIM: f64 = PLAYFIELD / 20.0;

thread_local! {
    /// Where observations are drawn: one for all copies that a thread steps, so that it stays in the processor's cache.
    static SCREEN: RefCell<Canvas> = RefCell::new(Canvas::new(STATE_SIZE, STATE_SIZE));
}

/// Gymnasium's CarRacing-v3.
pub fn v3() -> EnvSpec {
    EnvSpec {
        family: BOX2D.into(),
        summary: "drive a car around a random track, seen from above by pixels".into(),
        max_episode_steps: Some(1000),
        reward_threshold: Some(900.0),
        render_fps: 50,
        constants: constants(&[
            ("playfield", PLAYFIELD),
            ("track_width", TRACK_WIDTH),
            ("tau", 1.0 / FPS),
        ]),
        policies: vec![BuiltinPolicy::new(
            "road-follower",
            "steers at the middle of the grey pixels ahead and slows down for turns",
            |_: Config| Ok(Box::new(policies::RoadFollower)),
        )],
        ..EnvSpec::new("CarRacing-v3", make)
    }
}

/// Options of CarRacing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The share of tiles that must be visited for a lap to count.
    pub lap_complete_percent: f64,
    /// Draw other colours for road and grass in every episode.
    pub domain_randomize: bool,
    /// Three continuous controls; otherwise five discrete actions.
    pub continuous: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { lap_complete_percent: 0.95, domain_randomize: false, continuous: true }
    }
}

fn make(config: Config) -> Result<Box<dyn Env>, Problem> {
    Ok(Box::new(CarRacing::new(config)))
}

/// One point of the track: its angle about the centre, its direction and position.
#[derive(Debug, Clone, Copy, PartialEq)]
struct TrackPoint {
    alpha: f64,
    beta: f64,
    x: f64,
    y: f64,
}

/// One piece of road.
#[derive(Clone)]
struct Tile {
    body: BodyId,
    corners: [Vec2; 4],
    /// The red or white kerb beside it, on hard turns.
    kerb: Option<[Vec2; 4]>,
    visited: bool,
    /// Something touched it: it lost its own shade of grey.
    touched: bool,
}

/// Colours, as the reference keeps them: real numbers.
#[derive(Clone, Copy)]
struct Palette {
    road: [f64; 3],
    background: [f64; 3],
    grass: [f64; 3],
}

/// The environment. Its car exists from the first reset on; the world stays until the next seed.
#[derive(Clone)]
struct CarRacing {
    config: Config,
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    palette: Palette,
    world: Option<World>,
    car: Option<Car>,
    track: Vec<TrackPoint>,
    tiles: Vec<Tile>,
    /// The tile of each body, by [`BodyId::index`].
    tile_of: Vec<Option<usize>>,
    /// Return so far; `previous` is what it was a step ago.
    reward: f64,
    previous: f64,
    tiles_visited: usize,
    new_lap: bool,
    lap_finished: Option<bool>,
    /// Seconds since the reset.
    time: f64,
}

impl CarRacing {
    fn new(config: Config) -> Self {
        Self {
            observation_space: Space::picture(&[STATE_SIZE as usize, STATE_SIZE as usize, 3]),
            action_space: if config.continuous {
                Space::float_box(vec![-1.0, 0.0, 0.0], vec![1.0; 3], vec![3])
            } else {
                Space::Discrete { n: 5 }
            },
            config,
            np_random: NpRandom::new(0),
            palette: Palette {
                road: [102.0; 3],
                background: [102.0, 204.0, 102.0],
                grass: [102.0, 230.0, 102.0],
            },
            world: None,
            car: None,
            track: Vec::new(),
            tiles: Vec::new(),
            tile_of: Vec::new(),
            reward: 0.0,
            previous: 0.0,
            tiles_visited: 0,
            new_lap: false,
            lap_finished: None,
            time: 0.0,
        }
    }

    fn draw_colors(&mut self) {
        let mut color = || std::array::from_fn(|_| self.np_random.uniform(0.0, 210.0));
        self.palette.road = color();
        self.palette.background = color();
        self.palette.grass = self.palette.background;
        self.palette.grass[self.np_random.integers(0, 3) as usize] += 20.0;
    }

    /// Empties the world. One that failed is left behind for a new one.
    fn clear(&mut self) -> Result<World, EnvError> {
        let tiles = std::mem::take(&mut self.tiles);
        let car = self.car.take();
        let Some(mut world) = self.world.take() else { return Ok(World::new((0.0, 0.0))?) };
        let mut bodies =
            tiles.iter().map(|tile| tile.body).chain(car.into_iter().flat_map(|car| car.bodies));
        match bodies.try_for_each(|body| world.destroy(body)) {
            Ok(()) => Ok(world),
            Err(_) => Ok(World::new((0.0, 0.0))?),
        }
    }

    fn build_road(&mut self, world: &mut World) -> Result<(), EnvError> {
        let kerbs = kerbs(&self.track);
        self.tile_of.clear();
        for (i, kerb) in kerbs.into_iter().enumerate() {
            let here = self.track[i];
            let before = self.track[if i == 0 { self.track.len() } else { i } - 1];
            let corners = strip(here, before, -TRACK_WIDTH, TRACK_WIDTH);
            let body = world.static_body((0.0, 0.0))?;
            let sensor = Material { sensor: true, ..Material::default() };
            world.fixture(body, Shape::Polygon(&corners), &sensor)?;
            let kerb = kerb.then(|| {
                let side = sign(before.beta - here.beta);
                strip(here, before, side * TRACK_WIDTH, side * (TRACK_WIDTH + BORDER))
            });
            if self.tile_of.len() <= body.index() {
                self.tile_of.resize(body.index() + 1, None);
            }
            self.tile_of[body.index()] = Some(i);
            self.tiles.push(Tile { body, corners, kerb, visited: false, touched: false });
        }
        Ok(())
    }

    /// Advances car, world and what the tiles remember.
    fn advance(&mut self) -> Result<(), EnvError> {
        let (Some(world), Some(car)) = (&mut self.world, &mut self.car) else {
            return Err(EnvError::NeverReset);
        };
        car.step(world, 1.0 / FPS)?;
        let count = self.tiles.len() as f64;
        for contact in world.contacts() {
            let bodies = contact.bodies();
            let tile =
                bodies.iter().find_map(|body| self.tile_of.get(body.index()).copied().flatten());
            let Some(i) = tile else { continue };
            let tile = &mut self.tiles[i];
            tile.touched = true;
            let wheel = car.bodies[1..].iter().position(|&wheel| contact.involves(wheel));
            let Some(wheel) = wheel else { continue };
            let under = &mut car.wheels[wheel].tiles;
            if !contact.began() {
                *under = under.saturating_sub(1);
                continue;
            }
            *under += 1;
            if !tile.visited {
                tile.visited = true;
                self.reward += 1000.0 / count;
                self.tiles_visited += 1;
                let share = self.tiles_visited as f64 / count;
                self.new_lap |= i == 0 && share > self.config.lap_complete_percent;
            }
        }
        self.time += 1.0 / FPS;
        Ok(())
    }
}

/// Draws a closed track around the centre: a path that turns towards one checkpoint after the other. `None`
/// where its ends do not meet; the next attempt has other draws.
fn create_track(np_random: &mut NpRandom) -> Option<Vec<TrackPoint>> {
    let start_alpha = 2.0 * PI * -0.5 / CHECKPOINTS as f64;
    let checkpoints: [(f64, f64, f64); CHECKPOINTS] = std::array::from_fn(|c| {
        let base = 2.0 * PI * c as f64 / CHECKPOINTS as f64;
        let noise = np_random.uniform(0.0, 2.0 * PI * 1.0 / CHECKPOINTS as f64);
        let radius = np_random.uniform(TRACK_RAD / 3.0, TRACK_RAD);
        let (alpha, radius) = match c {
            0 => (0.0, 1.5 * TRACK_RAD),
            _ if c == CHECKPOINTS - 1 => (base, 1.5 * TRACK_RAD),
            _ => (base + noise, radius),
        };
        (alpha, radius * alpha.cos(), radius * alpha.sin())
    });

    let (mut x, mut y, mut beta) = (1.5 * TRACK_RAD, 0.0_f64, 0.0_f64);
    let mut destination = 0;
    let mut laps = 0;
    let mut visited_other_side = false;
    let mut track = Vec::new();
    for _ in 0..2500 {
        let mut alpha = y.atan2(x);
        if visited_other_side && alpha > 0.0 {
            laps += 1;
            visited_other_side = false;
        }
        if alpha < 0.0 {
            visited_other_side = true;
            alpha += 2.0 * PI;
        }
        // The next checkpoint ahead; after the last one the count starts again, a turn lower.
        let (goal_x, goal_y) = 'search: loop {
            loop {
                let (goal_alpha, goal_x, goal_y) = checkpoints[destination % CHECKPOINTS];
                if alpha <= goal_alpha {
                    break 'search (goal_x, goal_y);
                }
                destination += 1;
                if destination % CHECKPOINTS == 0 {
                    break;
                }
            }
            alpha -= 2.0 * PI;
        };
        let (right_x, right_y) = (beta.cos(), beta.sin());
        let (ahead_x, ahead_y) = (-right_y, right_x);
        // How far the goal is off to the side.
        let off = (right_x * (goal_x - x) + right_y * (goal_y - y)) * SCALE;
        while beta - alpha > 1.5 * PI {
            beta -= 2.0 * PI;
        }
        while beta - alpha < -1.5 * PI {
            beta += 2.0 * PI;
        }
        let previous_beta = beta;
        let turn = TRACK_TURN_RATE.min((0.001 * off).abs());
        if off > 0.3 {
            beta -= turn;
        }
        if off < -0.3 {
            beta += turn;
        }
        x += ahead_x * TRACK_DETAIL_STEP;
        y += ahead_y * TRACK_DETAIL_STEP;
        track.push(TrackPoint { alpha, beta: previous_beta * 0.5 + beta * 0.5, x, y });
        if laps > 4 {
            break;
        }
    }

    // The last whole lap: between the last two passes through the start.
    let mut passes = (1..track.len())
        .rev()
        .filter(|&i| track[i].alpha > start_alpha && track[i - 1].alpha <= start_alpha);
    let (end, begin) = (passes.next()?, passes.next()?);
    let track = track.get(begin..end - 1)?.to_vec();
    let (first, last) = (track.first()?, track.last()?);
    let (across_x, across_y) = (first.beta.cos(), first.beta.sin());
    let gap_x = across_x * (first.x - last.x);
    let gap_y = across_y * (first.y - last.y);
    let gap = (gap_x * gap_x + gap_y * gap_y).sqrt();
    (gap <= TRACK_DETAIL_STEP).then_some(track)
}

/// Which tiles have a kerb: those in and just before hard turns. Indices wrap backwards, as in Python.
fn kerbs(track: &[TrackPoint]) -> Vec<bool> {
    let len = track.len();
    let back = |i: usize, by: usize| (i + len - by % len) % len;
    let mut kerbs: Vec<bool> = (0..len)
        .map(|i| {
            let mut good = true;
            let mut one_side = 0.0;
            for by in 0..BORDER_MIN_COUNT {
                let turn = track[back(i, by)].beta - track[back(i, by + 1)].beta;
                good &= turn.abs() > TRACK_TURN_RATE * 0.2;
                one_side += sign(turn);
            }
            good && f64::abs(one_side) == BORDER_MIN_COUNT as f64
        })
        .collect();
    for i in 0..len {
        for by in 0..BORDER_MIN_COUNT {
            kerbs[back(i, by)] |= kerbs[i];
        }
    }
    kerbs
}

/// The strip between two track points, from `left` to `right` of the middle.
fn strip(here: TrackPoint, before: TrackPoint, left: f64, right: f64) -> [Vec2; 4] {
    let corner = |point: TrackPoint, off: f64| {
        ((point.x + off * point.beta.cos()) as f32, (point.y + off * point.beta.sin()) as f32)
    };
    [corner(here, left), corner(here, right), corner(before, right), corner(before, left)]
}

impl Env for CarRacing {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn action_meanings(&self) -> Vec<Meaning> {
        match self.action_space {
            Space::Discrete { .. } => {
                Meaning::of_values(&["nothing", "steer right", "steer left", "gas", "brake"])
            }
            _ => {
                Meaning::of_numbers(&[("steering, left to right", ""), ("gas", ""), ("brake", "")])
            }
        }
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.np_random = NpRandom::new(seed);
            // A seed starts anew: the same seed gives the same episode, whatever was played before.
            self.world = None;
        }
        let mut world = self.clear()?;
        self.reward = 0.0;
        self.previous = 0.0;
        self.tiles_visited = 0;
        self.time = 0.0;
        self.new_lap = false;
        self.lap_finished = None;
        if self.config.domain_randomize {
            self.draw_colors();
        }
        self.track = loop {
            if let Some(track) = create_track(&mut self.np_random) {
                break track;
            }
        };
        self.build_road(&mut world)?;
        let TrackPoint { beta, x, y, .. } = self.track[0];
        self.car = Some(Car::new(&mut world, beta, x, y)?);
        self.world = Some(world);
        self.advance()
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        if let Some(car) = &mut self.car {
            let (steer, gas, brake) = match action {
                Action::Continuous(&[steer, gas, brake]) => (-steer, gas, brake),
                _ => (0.0, 0.0, 0.0),
            };
            let (steer, gas, brake) = match action {
                Action::Discrete(1) => (-0.6, 0.0, 0.0),
                Action::Discrete(2) => (0.6, 0.0, 0.0),
                Action::Discrete(3) => (0.0, 0.2, 0.0),
                Action::Discrete(4) => (0.0, 0.0, 0.8),
                _ => (steer.into(), gas.into(), brake.into()),
            };
            car.steer(steer);
            car.gas(gas);
            car.brake(brake);
        }
        self.advance()?;
        self.reward -= 0.1;
        let mut reward = self.reward - self.previous;
        self.previous = self.reward;
        self.lap_finished =
            (self.tiles_visited == self.tiles.len() || self.new_lap).then_some(true);
        if let Some(car) = &self.car {
            let hull = &car.states[0];
            if f64::from(hull.x.abs()) > PLAYFIELD || f64::from(hull.y.abs()) > PLAYFIELD {
                self.lap_finished = Some(false);
                reward = -100.0;
            }
        }
        Ok(Step::new(reward, self.lap_finished.is_some()))
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        let car = self.car.as_ref().ok_or(EnvError::NeverReset)?;
        let size = STATE_SIZE as f32;
        SCREEN.with_borrow_mut(|screen| {
            self.paint(screen, car, (size, size), false);
            // The reference shrinks its picture in two passes that each round down by one.
            let lowered =
                |pixel: &[u8; 4]| pixel.map(|channel| f32::from(channel.saturating_sub(2)));
            let pixels = screen.rgba().as_chunks::<4>().0;
            let (last, pixels) = pixels.split_last().expect("the screen has pixels");
            // Four numbers are written at once, the fourth of them to be written over by the next pixel.
            for (i, pixel) in pixels.iter().enumerate() {
                observation[3 * i..3 * i + 4].copy_from_slice(&lowered(pixel));
            }
            observation[3 * pixels.len()..].copy_from_slice(&lowered(last)[..3]);
        });
        Ok(())
    }

    fn try_clone(&self) -> Option<Box<dyn Env>> {
        Some(Box::new(self.clone()))
    }

    fn frame_size(&self) -> (u32, u32) {
        VIDEO
    }

    fn draw(&self, canvas: &mut Canvas) {
        let Some(car) = &self.car else { return };
        self.paint(canvas, car, (VIDEO.0 as f32, VIDEO.1 as f32), true);
    }

    fn info(&self) -> Info {
        self.lap_finished
            .map(|finished| ("lap_finished".to_owned(), finished.into()))
            .into_iter()
            .collect()
    }

    fn trace(&self) -> Trace {
        let hull = self.car.as_ref().map(|car| car.states[0]).unwrap_or_default();
        let state = [hull.x, hull.y, hull.angle, hull.vx, hull.vy, hull.omega];
        let track: Vec<_> = self
            .track
            .iter()
            .map(|point| json!([point.alpha, point.beta, point.x, point.y]))
            .collect();
        let mut layout = Info::new();
        if let Some(first) = self.track.first() {
            layout.insert("start".to_owned(), json!([first.beta, first.x, first.y]));
        }
        layout.insert("track_columns".to_owned(), json!(["alpha", "beta", "x", "y"]));
        layout.insert("track".to_owned(), track.into());
        Trace { state: state.map(f64::from).to_vec(), layout, ..Trace::default() }
    }
}

/// From the world to a picture's pixels: the camera follows the car and turns with it.
struct Camera {
    /// The car.
    center: Vec2,
    cos: f32,
    sin: f32,
    /// Pixels a metre, across and up.
    scale: Vec2,
    /// Where the car is in the picture.
    at: Vec2,
    /// Width and height in pixels of what is seen: the indicators hide the rest.
    seen: Vec2,
}

impl Camera {
    fn point(&self, (x, y): Vec2) -> Vec2 {
        let (dx, dy) = (x - self.center.0, y - self.center.1);
        (
            self.at.0 + (self.cos * dx - self.sin * dy) * self.scale.0,
            self.at.1 - (self.sin * dx + self.cos * dy) * self.scale.1,
        )
    }

    /// How far from the car, in metres, something may be and still be seen.
    fn reach(&self) -> f32 {
        let across = self.at.0.max(self.seen.0 - self.at.0) / self.scale.0;
        let along = self.at.1.max(self.seen.1 - self.at.1) / self.scale.1;
        across.hypot(along)
    }

    /// The corners as pixels of those polygons of which something is seen; `extent` is the most metres from a polygon's
    /// first corner to another.
    fn polygons<const N: usize>(
        &self,
        polygons: impl Iterator<Item = [Vec2; N]>,
        extent: f64,
    ) -> impl Iterator<Item = [Vec2; N]> {
        self.numbered(polygons, extent).map(|(_, corners)| corners)
    }

    /// The same, with each polygon's place among those given.
    fn numbered<const N: usize>(
        &self,
        polygons: impl Iterator<Item = [Vec2; N]>,
        extent: f64,
    ) -> impl Iterator<Item = (usize, [Vec2; N])> {
        let limit = self.reach() + extent as f32;
        let near = move |&(x, y): &Vec2| {
            (x - self.center.0).abs() < limit && (y - self.center.1).abs() < limit
        };
        polygons.enumerate().filter(move |(_, corners)| near(&corners[0])).filter_map(
            |(i, corners)| {
                let corners = corners.map(|corner| self.point(corner));
                let within = |coordinate: fn(&Vec2) -> f32, size: f32| {
                    corners.iter().any(|corner| coordinate(corner) > 0.0)
                        && corners.iter().any(|corner| coordinate(corner) < size)
                };
                (within(|corner| corner.0, self.seen.0) && within(|corner| corner.1, self.seen.1))
                    .then_some((i, corners))
            },
        )
    }
}

fn color(channels: [f64; 3]) -> Color {
    let [red, green, blue] = channels.map(|channel| channel as u8);
    Color::rgb(red, green, blue)
}

impl CarRacing {
    /// Draws the picture at a size in pixels; the pictures for people show skid marks.
    fn paint(&self, canvas: &mut Canvas, car: &Car, size: (f32, f32), skid_marks: bool) {
        let hull = &car.states[0];
        // In the first second the camera comes down.
        let zoom = 0.1 * SCALE * (1.0 - self.time).max(0.0) + ZOOM * SCALE * self.time.min(1.0);
        let zoom = zoom as f32;
        let pixels = (size.0 / WINDOW.0, size.1 / WINDOW.1);
        let camera = Camera {
            center: (hull.x, hull.y),
            cos: hull.cos,
            sin: -hull.sin,
            scale: (zoom * pixels.0, zoom * pixels.1),
            at: (size.0 / 2.0, size.1 * 0.75),
            seen: (size.0, size.1 * (1.0 - INDICATORS)),
        };

        self.paint_grass(canvas, &camera);
        self.paint_road(canvas, &camera);
        if skid_marks {
            for (skid, points) in car.skids.iter() {
                let mud = if skid.grass { Color::rgb(102, 102, 0) } else { Color::BLACK };
                let points: Vec<_> = points.iter().map(|&point| camera.point(point)).collect();
                canvas.polyline(&points, 2.0 * pixels.0, mud);
            }
        }
        paint_car(canvas, &camera, car);
        self.paint_indicators(canvas, car, pixels);
    }

    fn paint_grass(&self, canvas: &mut Canvas, camera: &Camera) {
        let square = |x: f64, y: f64, side: f64| {
            let (x, y, side) = (x as f32, y as f32, side as f32);
            [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
        };
        let background = color(self.palette.background);
        let nearest = PLAYFIELD as f32 - camera.center.0.abs().max(camera.center.1.abs());
        if camera.reach() < nearest {
            canvas.clear(background);
        } else {
            canvas.clear(Color::BLACK);
            let field = square(-PLAYFIELD, -PLAYFIELD, 2.0 * PLAYFIELD);
            canvas.polygons([field.map(|corner| camera.point(corner))], background);
        }
        let every_second = || (-20..20).step_by(2).map(|i| GRASS_DIM * f64::from(i));
        let squares =
            every_second().flat_map(|x| every_second().map(move |y| square(x, y, GRASS_DIM)));
        canvas.polygons(camera.polygons(squares, GRASS_DIM * 1.5), color(self.palette.grass));
    }

    fn paint_road(&self, canvas: &mut Canvas, camera: &Camera) {
        // The first tile, which closes the lap, is the longest.
        const EXTENT: f64 = 4.0 * TRACK_WIDTH;
        let tiles = self.tiles.iter().map(|tile| tile.corners);
        let seen: Vec<_> = camera.numbered(tiles, EXTENT).collect();
        let pieces = seen.chunk_by(|(i, _), (next, _)| i + 1 == *next).map(|piece| {
            // One outline: up its right side and down its left.
            let [.., first_right, first_left] = piece[0].1;
            let right = piece.iter().map(|(_, [_, right, ..])| *right);
            let left = piece.iter().rev().map(|(_, [left, ..])| *left);
            [first_right].into_iter().chain(right).chain(left).chain([first_left])
        });
        canvas.polygons(pieces, color(self.palette.road));
        for (shade, brighter) in [(1, 2.55), (2, 5.1)] {
            let tiles = (seen.iter())
                .filter(|(i, _)| i % 3 == shade && !self.tiles[*i].touched)
                .map(|(_, corners)| *corners);
            canvas.polygons(tiles, color(self.palette.road.map(|channel| channel + brighter)));
        }
        for (first, paint) in [(0, Color::WHITE), (1, Color::rgb(255, 0, 0))] {
            let kerbs = self.tiles.iter().skip(first).step_by(2).filter_map(|tile| tile.kerb);
            canvas.polygons(camera.polygons(kerbs, EXTENT), paint);
        }
    }

    fn paint_indicators(&self, canvas: &mut Canvas, car: &Car, (across, down): Vec2) {
        const GREEN: Color = Color::rgb(0, 255, 0);
        const RED: Color = Color::rgb(255, 0, 0);
        const FRONT: Color = Color::rgb(0, 0, 255);
        const REAR: Color = Color::rgb(51, 0, 255);
        let (s, h) = (WINDOW.0 / 40.0, WINDOW.1 / 40.0);
        let mut bar = |x1: f32, x2: f32, y1: f32, y2: f32, color: Color| {
            let corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)];
            canvas.polygons([corners.map(|(x, y)| (x * across, y * down))], color);
        };
        bar(0.0, WINDOW.0, WINDOW.1 * (1.0 - INDICATORS), WINDOW.1, Color::BLACK);
        let mut vertical = |place: f32, value: f32, color: Color| {
            if value.abs() > 1e-4 {
                let foot = WINDOW.1 - h;
                bar(place * s, (place + 1.0) * s, foot, foot - h * value, color);
            }
        };
        let hull = &car.states[0];
        vertical(5.0, 0.02 * hull.vx.hypot(hull.vy), Color::WHITE);
        for (i, wheel) in car.wheels.iter().enumerate() {
            vertical(7.0 + i as f32, 0.01 * wheel.omega as f32, if i < 2 { FRONT } else { REAR });
        }
        let mut horizontal = |place: f32, value: f32, color: Color| {
            if value.abs() > 1e-4 {
                let (top, bottom) = (WINDOW.1 - 4.0 * h, WINDOW.1 - 2.0 * h);
                bar(place * s, (place + value) * s, top, bottom, color);
            }
        };
        horizontal(20.0, -10.0 * car.steering_angle(0), GREEN);
        horizontal(30.0, -0.8 * hull.omega, RED);
        paint_number(canvas, self.reward as i64, (across, down));
    }
}

fn paint_car(canvas: &mut Canvas, camera: &Camera, car: &Car) {
    let [hull, wheels @ ..] = &car.states;
    let (mut tyres, mut marks) = (Vec::new(), Vec::new());
    for (state, wheel) in wheels.iter().zip(&car.wheels) {
        let place = |corner| camera.point(state.point(corner));
        tyres.push(wheel_corners(1.0, -1.0).map(place));
        // A mark on the tyre, seen while it is on top.
        let (from, to) = (wheel.phase, wheel.phase + 1.2);
        let edge = |angle: f64| if angle.sin() > 0.0 { sign(angle.cos()) } else { angle.cos() };
        if from.sin() <= 0.0 || to.sin() <= 0.0 {
            marks.push(wheel_corners(edge(from), edge(to)).map(place));
        }
    }
    canvas.polygons(tyres, Color::BLACK);
    canvas.polygons(marks, Color::rgb(77, 77, 77));
    let body = HULL.iter().map(|part| {
        part.iter().map(|&(x, y)| camera.point(hull.point(((x * SIZE) as f32, (y * SIZE) as f32))))
    });
    canvas.polygons(body, Color::rgb(204, 0, 0));
}

/// Strokes of the digits on a grid of 5 × 7 points.
#[rustfmt::skip]
const DIGITS: [&[(u8, u8)]; 10] = [
    &[(1, 0), (3, 0), (4, 1), (4, 5), (3, 6), (1, 6), (0, 5), (0, 1), (1, 0)],
    &[(1, 2), (3, 0), (3, 6)],
    &[(0, 1), (1, 0), (3, 0), (4, 1), (4, 2), (0, 6), (4, 6)],
    &[(0, 1), (1, 0), (3, 0), (4, 1), (4, 2), (3, 3), (2, 3), (3, 3), (4, 4), (4, 5), (3, 6), (1, 6), (0, 5)],
    &[(4, 4), (0, 4), (3, 0), (3, 6)],
    &[(4, 0), (0, 0), (0, 3), (3, 3), (4, 4), (4, 5), (3, 6), (1, 6), (0, 5)],
    &[(4, 1), (3, 0), (1, 0), (0, 1), (0, 5), (1, 6), (3, 6), (4, 5), (4, 4), (3, 3), (1, 3), (0, 4)],
    &[(0, 0), (4, 0), (4, 1), (2, 6)],
    &[(1, 3), (0, 2), (0, 1), (1, 0), (3, 0), (4, 1), (4, 2), (3, 3), (1, 3), (0, 4), (0, 5), (1, 6), (3, 6), (4, 5), (4, 4), (3, 3)],
    &[(4, 2), (3, 3), (1, 3), (0, 2), (0, 1), (1, 0), (3, 0), (4, 1), (4, 5), (3, 6), (1, 6), (0, 5)],
];

/// Writes a number of at least four characters where the reference does, in white.
fn paint_number(canvas: &mut Canvas, number: i64, (across, down): Vec2) {
    const ADVANCE: f32 = 23.0;
    const CELL: Vec2 = (3.6, 4.2);
    const LINE: f32 = 6.5;
    let digits = number.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
    let negative = number < 0;
    let len = (digits + usize::from(negative)).max(4);
    let left = 60.0 - ADVANCE * len as f32 / 2.0 + (ADVANCE - 4.0 * CELL.0) / 2.0;
    let top = 748.0 - 3.0 * CELL.1;
    let mut rest = number.unsigned_abs();
    for place in (0..len).rev() {
        let strokes: &[(u8, u8)] =
            if negative && place == 0 { &[(1, 3), (3, 3)] } else { DIGITS[(rest % 10) as usize] };
        rest /= 10;
        let mut points = [(0.0, 0.0); 16];
        for (point, &(x, y)) in points.iter_mut().zip(strokes) {
            let x = left + ADVANCE * place as f32 + CELL.0 * f32::from(x);
            *point = (x * across, (top + CELL.1 * f32::from(y)) * down);
        }
        canvas.polyline(&points[..strokes.len()], LINE * (across + down) / 2.0, Color::WHITE);
    }
}

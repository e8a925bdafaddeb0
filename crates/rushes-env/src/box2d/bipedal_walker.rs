//! BipedalWalker: walk over rough ground with two legs of two joints each.
//!
//! Oleg Klimov's environment, as in Gymnasium 1.1.1 `envs/box2d/bipedal_walker.py`. Equal to it bit for bit:
//! terrain and potential in double precision, rewards in single precision, and one world kept until
//! the next seed, whose bodies go and come in the reference's order.
//!
//! # Action space
//! `Box(-1, 1, (4,))`: for the first leg's hip and knee and the second leg's hip and knee, the direction of the
//! motor (the sign) and its torque (the size, of 80 N·m).
//!
//! # Observation space
//! | index | observation | min | max |
//! |---|---|---|---|
//! | 0 | hull angle (rad) | -π | π |
//! | 1 | hull angular velocity, in 25 rad/s | -5 | 5 |
//! | 2 | horizontal velocity, in 8.33 m/s | -5 | 5 |
//! | 3 | vertical velocity, in 12.5 m/s | -5 | 5 |
//! | 4, 9 | hip angle of either leg (rad) | -π | π |
//! | 5, 10 | hip speed, in 4 rad/s | -5 | 5 |
//! | 6, 11 | knee angle plus 1 (rad) | -π | π |
//! | 7, 12 | knee speed, in 6 rad/s | -5 | 5 |
//! | 8, 13 | 1 while the foot touches the ground | 0 | 5 |
//! | 14–23 | lidar: how far each of 10 rays reaches, of 5.33 m | -1 | 1 |
//!
//! # Rewards
//! The change of a potential that rises with the distance walked, 300 in all, and falls with the hull's tilt;
//! minus 0.028 for each motor at full torque. -100 for falling.
//!
//! # Starting state
//! Standing at the left end, pushed sideways by a random force. The ground is random.
//!
//! # Episode end
//! Terminates when the hull touches the ground, when it leaves the left end, and at the right end of the
//! terrain; truncates after 1600 steps (Hardcore: 2000).
//!
//! # Version history
//! - Hardcore-v3: stumps, pits and stairs.
//! - v3: the lidar reports the nearest hit.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policies;
use crate::draw::{Canvas, Color};
use crate::environment::{Env, EnvError, Info, Step, Trace};
use crate::meaning::Meaning;
use crate::numpy::sign;
use crate::problem::Problem;
use crate::space::{Action, Space};
use crate::spec::{BOX2D, BuiltinPolicy, EnvSpec, constants};
use rushes_box2d::{
    BodyId, BodyState, Hinge, JointId, Material, Motor, Push, Ray, Shape, Tick, Vec2, World,
};
use rushes_rng::NpRandom;

const FPS: f64 = 50.0;
/// Pixels a metre.
const SCALE: f64 = 30.0;
const VIEWPORT_W: f64 = 600.0;
const VIEWPORT_H: f64 = 400.0;

const MOTORS_TORQUE: f64 = 80.0;
const SPEED_HIP: f64 = 4.0;
const SPEED_KNEE: f64 = 6.0;
const LIDAR_RANGE: f64 = 160.0 / SCALE;
const RAYS: usize = 10;
/// Bound of the first push, in newtons.
const INITIAL_RANDOM: f64 = 5.0;

const HULL_POLY: [(f64, f64); 5] =
    [(-30.0, 9.0), (6.0, 9.0), (34.0, 1.0), (34.0, -8.0), (-30.0, -8.0)];
const LEG_DOWN: f64 = -8.0 / SCALE;
const LEG_W: f64 = 8.0 / SCALE;
const LEG_H: f64 = 34.0 / SCALE;

const TERRAIN_STEP: f64 = 14.0 / SCALE;
/// In steps, like the two below.
const TERRAIN_LENGTH: usize = 200;
const TERRAIN_GRASS: i64 = 10;
const TERRAIN_STARTPAD: usize = 20;
const TERRAIN_HEIGHT: f64 = VIEWPORT_H / SCALE / 4.0;
const GROUND: Material = Material {
    density: 0.0,
    friction: 2.5,
    restitution: 0.0,
    category: 0x0001,
    mask: 0xFFFF,
    sensor: false,
};

/// Gymnasium's BipedalWalker-v3.
pub fn v3() -> EnvSpec {
    EnvSpec {
        family: BOX2D.into(),
        summary: "walk over slightly uneven ground on two jointed legs".into(),
        max_episode_steps: Some(1600),
        reward_threshold: Some(300.0),
        render_fps: 50,
        constants: constants(&[
            ("motors_torque", MOTORS_TORQUE),
            ("speed_hip", SPEED_HIP),
            ("speed_knee", SPEED_KNEE),
            ("lidar_range", LIDAR_RANGE),
            ("tau", 1.0 / FPS),
        ]),
        policies: vec![
            BuiltinPolicy::new(
                "heuristic",
                "Gymnasium's heuristic: one leg swings while the other supports and pushes off",
                |_: Config| Ok(Box::new(policies::WalkerHeuristic::default())),
            ),
            BuiltinPolicy::new(
                "contact-flags",
                "a rule on the feet's contact flags and the knees' speeds",
                |_: Config| Ok(Box::new(policies::ContactFlags)),
            ),
        ],
        ..EnvSpec::new("BipedalWalker-v3", make)
    }
}

/// Gymnasium's BipedalWalkerHardcore-v3.
pub fn hardcore_v3() -> EnvSpec {
    EnvSpec {
        summary: "walk on two jointed legs over stumps, pits and stairs".into(),
        max_episode_steps: Some(2000),
        ..v3().variant("BipedalWalkerHardcore-v3", "hardcore", true)
    }
}

/// Options of BipedalWalker.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Stumps, pits and stairs, by default with BipedalWalkerHardcore only.
    pub hardcore: bool,
}

fn make(config: Config) -> Result<Box<dyn Env>, Problem> {
    Ok(Box::new(BipedalWalker::new(config.hardcore)))
}

/// The environment. Its world exists from the first reset on.
#[derive(Clone)]
struct BipedalWalker {
    hardcore: bool,
    observation_space: Space,
    action_space: Space,
    np_random: NpRandom,
    terrain: Terrain,
    clouds: Vec<Cloud>,
    world: Option<World>,
    /// The ground's bodies in the order in which a reset destroys them.
    ground: Vec<BodyId>,
    /// Hull, first leg's upper and lower part, second leg's.
    bodies: [BodyId; 5],
    states: [BodyState; 5],
    joints: [JointId; 4],
    /// The angles that count as zero for the joints.
    references: [f32; 4],
    /// The far ends of the lidar's rays, relative to the hull.
    ray_offsets: [[f64; 2]; RAYS],
    foot_contact: [bool; 2],
    fallen: bool,
    previous_shaping: Option<f64>,
    /// Steps since the reset, for the lidar's flicker in pictures.
    frame: usize,
}

/// The ground of one episode.
#[derive(Clone, Default)]
struct Terrain {
    /// Heights at multiples of [`TERRAIN_STEP`].
    heights: Vec<f64>,
    /// Boxes of the hardcore version.
    obstacles: Vec<[(f64, f64); 4]>,
}

#[derive(Clone, Copy)]
struct Cloud {
    corners: [(f64, f64); 5],
}

/// What the terrain's generator is making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feature {
    Grass,
    Stump,
    Stairs,
    Pit,
}

impl Terrain {
    /// Draws a terrain; the order and number of draws are the reference's.
    fn generate(np_random: &mut NpRandom, hardcore: bool) -> Self {
        let mut feature = Feature::Grass;
        let mut begins = false;
        let mut velocity = 0.0;
        let mut y = TERRAIN_HEIGHT;
        let mut counter = TERRAIN_STARTPAD as i64;
        let (mut stair_steps, mut stair_width, mut stair_height) = (0, 0, 0);
        let mut original_y = 0.0;
        let mut terrain = Self::default();
        for i in 0..TERRAIN_LENGTH {
            let x = i as f64 * TERRAIN_STEP;
            match (feature, begins) {
                (Feature::Grass, false) => {
                    velocity = 0.8 * velocity + 0.01 * sign(TERRAIN_HEIGHT - y);
                    if i > TERRAIN_STARTPAD {
                        velocity += np_random.uniform(-1.0, 1.0) / SCALE;
                    }
                    y += velocity;
                }
                (Feature::Grass, true) => {}
                (Feature::Pit, true) => {
                    counter = np_random.integers(3, 5);
                    let wall = [
                        (x, y),
                        (x + TERRAIN_STEP, y),
                        (x + TERRAIN_STEP, y - 4.0 * TERRAIN_STEP),
                        (x, y - 4.0 * TERRAIN_STEP),
                    ];
                    terrain.obstacles.push(wall);
                    let across = TERRAIN_STEP * counter as f64;
                    terrain.obstacles.push(wall.map(|(x, y)| (x + across, y)));
                    counter += 2;
                    original_y = y;
                }
                (Feature::Pit, false) => {
                    y = original_y;
                    if counter > 1 {
                        y -= 4.0 * TERRAIN_STEP;
                    }
                }
                (Feature::Stump, true) => {
                    counter = np_random.integers(1, 3);
                    let side = counter as f64 * TERRAIN_STEP;
                    terrain.obstacles.push([
                        (x, y),
                        (x + side, y),
                        (x + side, y + side),
                        (x, y + side),
                    ]);
                }
                (Feature::Stump, false) => {}
                (Feature::Stairs, true) => {
                    stair_height = if np_random.random() > 0.5 { 1 } else { -1 };
                    stair_width = np_random.integers(4, 5);
                    stair_steps = np_random.integers(3, 5);
                    original_y = y;
                    for s in 0..stair_steps {
                        let left = x + (s * stair_width) as f64 * TERRAIN_STEP;
                        let right = x + ((1 + s) * stair_width) as f64 * TERRAIN_STEP;
                        let top = y + (s * stair_height) as f64 * TERRAIN_STEP;
                        let bottom = y + (-1 + s * stair_height) as f64 * TERRAIN_STEP;
                        terrain.obstacles.push([
                            (left, top),
                            (right, top),
                            (right, bottom),
                            (left, bottom),
                        ]);
                    }
                    counter = stair_steps * stair_width;
                }
                (Feature::Stairs, false) => {
                    let s = stair_steps * stair_width - counter - stair_height;
                    let n = s as f64 / stair_width as f64;
                    y = original_y + (n * stair_height as f64) * TERRAIN_STEP;
                }
            }
            begins = false;
            terrain.heights.push(y);
            counter -= 1;
            if counter == 0 {
                counter = np_random.integers(TERRAIN_GRASS / 2, TERRAIN_GRASS);
                begins = true;
                feature = match feature {
                    Feature::Grass if hardcore => match np_random.integers(1, 4) {
                        1 => Feature::Stump,
                        2 => Feature::Stairs,
                        _ => Feature::Pit,
                    },
                    _ => Feature::Grass,
                };
            }
        }
        terrain
    }

    /// The ends of ground segment `i`.
    fn segment(&self, i: usize) -> [(f64, f64); 2] {
        [i, i + 1].map(|i| (i as f64 * TERRAIN_STEP, self.heights[i]))
    }
}

impl Cloud {
    fn generate(np_random: &mut NpRandom) -> Self {
        let x = np_random.uniform(0.0, TERRAIN_LENGTH as f64) * TERRAIN_STEP;
        let y = VIEWPORT_H / SCALE * 3.0 / 4.0;
        let corners = std::array::from_fn(|corner| {
            #[expect(clippy::approx_constant, reason = "the reference's, and draws follow it")]
            let angle = 3.14 * 2.0 * corner as f64 / 5.0;
            let mut fluff = || np_random.uniform(0.0, 5.0 * TERRAIN_STEP);
            (
                x + 15.0 * TERRAIN_STEP * angle.sin() + fluff(),
                y + 5.0 * TERRAIN_STEP * angle.cos() + fluff(),
            )
        });
        Self { corners }
    }
}

impl BipedalWalker {
    /// How far the picture has moved along the terrain, in metres. The reference scrolls it no further back
    /// than the terrain's left end, its clouds without end.
    fn scroll(&self) -> f32 {
        self.states[0].x - (VIEWPORT_W / SCALE / 5.0) as f32
    }

    fn new(hardcore: bool) -> Self {
        let pi = PI as f32;
        let leg = [pi, 5.0, pi, 5.0, 5.0];
        let mut high = vec![pi, 5.0, 5.0, 5.0];
        high.extend(leg.iter().chain(&leg));
        let mut low: Vec<f32> = high.iter().map(|bound| -bound).collect();
        (low[8], low[13]) = (-0.0, -0.0);
        high.extend([1.0; RAYS]);
        low.extend([-1.0; RAYS]);
        let shape = vec![high.len()];
        Self {
            hardcore,
            observation_space: Space::float_box(low, high, shape),
            action_space: Space::uniform_box(-1.0, 1.0, 4),
            np_random: NpRandom::new(0),
            terrain: Terrain::default(),
            clouds: Vec::new(),
            world: None,
            ground: Vec::new(),
            bodies: Default::default(),
            states: Default::default(),
            joints: Default::default(),
            references: [0.0; 4],
            ray_offsets: std::array::from_fn(|i| {
                let angle = 1.5 * i as f64 / 10.0;
                [angle.sin() * LIDAR_RANGE, -(angle.cos() * LIDAR_RANGE)]
            }),
            foot_contact: [false; 2],
            fallen: false,
            previous_shaping: None,
            frame: 0,
        }
    }

    /// What the rays from the hull meet.
    fn lidar(&self) -> Result<[Ray; RAYS], EnvError> {
        let world = self.world.as_ref().ok_or(EnvError::NeverReset)?;
        Ok(world.cast(self.bodies[0], &self.ray_offsets, GROUND.category)?)
    }

    /// Empties the world. One that failed is left behind for a new one.
    fn clear(&mut self) -> Result<World, EnvError> {
        let Some(mut world) = self.world.take() else { return new_world() };
        let mut bodies = self.ground.drain(..).chain(self.bodies);
        match bodies.try_for_each(|body| world.destroy(body)) {
            Ok(()) => Ok(world),
            Err(_) => new_world(),
        }
    }

    fn build_ground(&mut self, world: &mut World) -> Result<(), EnvError> {
        self.ground.clear();
        for obstacle in &self.terrain.obstacles {
            let body = world.static_body((0.0, 0.0))?;
            world.fixture(body, Shape::Polygon(&obstacle.map(single)), &GROUND)?;
            self.ground.push(body);
        }
        for i in 0..TERRAIN_LENGTH - 1 {
            let body = world.static_body((0.0, 0.0))?;
            let ends = self.terrain.segment(i).map(single);
            world.fixture(body, Shape::Edge(&ends), &GROUND)?;
            self.ground.push(body);
        }
        self.ground.reverse();
        Ok(())
    }

    fn build_walker(&mut self, world: &mut World) -> Result<(), EnvError> {
        let x = TERRAIN_STEP * TERRAIN_STARTPAD as f64 / 2.0;
        let y = TERRAIN_HEIGHT + 2.0 * LEG_H;
        let limb = Material { density: 1.0, category: 0x0020, mask: 0x001, ..Material::default() };
        let hull = world.dynamic_body(single((x, y)), 0.0)?;
        let corners = HULL_POLY.map(|(x, y)| single((x / SCALE, y / SCALE)));
        let heavy = Material { density: 5.0, friction: 0.1, ..limb };
        world.fixture(hull, Shape::Polygon(&corners), &heavy)?;
        self.bodies[0] = hull;
        for (side, i) in [-1.0, 1.0].into_iter().enumerate() {
            let angle = (i * 0.05) as f32;
            let upper = world.dynamic_body(single((x, y - LEG_H / 2.0 - LEG_DOWN)), angle)?;
            world.fixture(upper, Shape::Box(&[single((LEG_W / 2.0, LEG_H / 2.0))]), &limb)?;
            let hip = world.hinge(&Hinge {
                body_a: hull,
                body_b: upper,
                anchor_a: [0.0, LEG_DOWN as f32],
                anchor_b: [0.0, (LEG_H / 2.0) as f32],
                reference_angle: angle,
                lower_angle: -0.8,
                upper_angle: 1.1,
                motor_speed: i as f32,
                max_motor_torque: MOTORS_TORQUE as f32,
            })?;
            let lower = world.dynamic_body(single((x, y - LEG_H * 3.0 / 2.0 - LEG_DOWN)), angle)?;
            world.fixture(lower, Shape::Box(&[single((0.8 * LEG_W / 2.0, LEG_H / 2.0))]), &limb)?;
            let knee = world.hinge(&Hinge {
                body_a: upper,
                body_b: lower,
                anchor_a: [0.0, (-LEG_H / 2.0) as f32],
                anchor_b: [0.0, (LEG_H / 2.0) as f32],
                reference_angle: 0.0,
                lower_angle: -1.6,
                upper_angle: -0.1,
                motor_speed: 1.0,
                max_motor_torque: MOTORS_TORQUE as f32,
            })?;
            self.bodies[1 + 2 * side..][..2].copy_from_slice(&[upper, lower]);
            self.joints[2 * side..][..2].copy_from_slice(&[hip, knee]);
            self.references[2 * side..][..2].copy_from_slice(&[angle, 0.0]);
        }
        Ok(())
    }

    fn advance(&mut self, action: &[f32; 4], first: Option<Vec2>) -> Result<Step, EnvError> {
        let world = self.world.as_mut().ok_or(EnvError::NeverReset)?;
        let motors: [Motor; 4] = std::array::from_fn(|i| {
            let speed = if i % 2 == 0 { SPEED_HIP } else { SPEED_KNEE } as f32;
            Motor {
                joint: self.joints[i],
                speed: speed * if action[i] == 0.0 { 0.0 } else { action[i].signum() },
                max_torque: MOTORS_TORQUE as f32 * action[i].abs().clamp(0.0, 1.0),
            }
        });
        let push = first.map(|force| Push::force(self.bodies[0], force));
        world.tick(Tick {
            dt: 1.0 / FPS,
            velocity_iterations: 6 * 30,
            position_iterations: 2 * 30,
            pushes: push.as_slice(),
            motors: &motors,
            bodies: &self.bodies,
            states: &mut self.states,
        })?;
        let [hull, _, first_foot, _, second_foot] = self.bodies;
        for contact in world.contacts() {
            if contact.began() && contact.involves(hull) {
                self.fallen = true;
            }
            for (touches, foot) in self.foot_contact.iter_mut().zip([first_foot, second_foot]) {
                if contact.involves(foot) {
                    *touches = contact.began();
                }
            }
        }
        self.frame += 1;

        let hull = self.states[0];
        let angle = f64::from(hull.angle);
        let x = f64::from(hull.x);
        let shaping = 130.0 * x / SCALE - 5.0 * angle.abs();
        let mut reward = self.previous_shaping.map_or(0.0, |previous| shaping - previous) as f32;
        self.previous_shaping = Some(shaping);
        for torque in action {
            reward -= (0.00035 * MOTORS_TORQUE) as f32 * torque.abs().clamp(0.0, 1.0);
        }
        let mut terminated = x > (TERRAIN_LENGTH as i64 - TERRAIN_GRASS) as f64 * TERRAIN_STEP;
        if self.fallen || x < 0.0 {
            reward = -100.0;
            terminated = true;
        }
        Ok(Step::new(f64::from(reward), terminated))
    }
}

fn new_world() -> Result<World, EnvError> {
    Ok(World::new((0.0, -10.0))?)
}

/// Rounds to the solver's precision.
fn single((x, y): (f64, f64)) -> Vec2 {
    (x as f32, y as f32)
}

impl Env for BipedalWalker {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn observation_meanings(&self) -> Vec<Meaning> {
        let hull = [
            ("hull angle", "rad"),
            ("hull angular velocity", "25 rad/s"),
            ("horizontal velocity", "8.33 m/s"),
            ("vertical velocity", "12.5 m/s"),
        ];
        let leg = [
            ("hip angle", "rad"),
            ("hip speed", "4 rad/s"),
            ("knee angle plus 1", "rad"),
            ("knee speed", "6 rad/s"),
            ("foot touches the ground", ""),
        ];
        let mut meanings = Meaning::of_numbers(&hull);
        for which in ["first", "second"] {
            let of_leg = |meaning: Meaning| Meaning {
                name: format!("{which} leg: {}", meaning.name),
                ..meaning
            };
            meanings.extend(Meaning::of_numbers(&leg).into_iter().map(of_leg));
        }
        let ray = |i| Meaning { name: format!("lidar ray {i}"), unit: "5.33 m".into() };
        meanings.extend((0..10).map(ray));
        meanings
    }

    fn action_meanings(&self) -> Vec<Meaning> {
        Meaning::of_numbers(&[
            ("first leg: hip motor", "80 N·m"),
            ("first leg: knee motor", "80 N·m"),
            ("second leg: hip motor", "80 N·m"),
            ("second leg: knee motor", "80 N·m"),
        ])
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<(), EnvError> {
        if let Some(seed) = seed {
            self.np_random = NpRandom::new(seed);
            // A seed starts anew: the same seed gives the same episode, whatever was played before.
            self.world = None;
        }
        let mut world = self.clear()?;
        self.foot_contact = [false; 2];
        self.fallen = false;
        self.previous_shaping = None;
        self.frame = 0;
        self.terrain = Terrain::generate(&mut self.np_random, self.hardcore);
        self.build_ground(&mut world)?;
        self.clouds.clear();
        for _ in 0..TERRAIN_LENGTH / 20 {
            self.clouds.push(Cloud::generate(&mut self.np_random));
        }
        let force = self.np_random.uniform(-INITIAL_RANDOM, INITIAL_RANDOM) as f32;
        self.build_walker(&mut world)?;
        self.world = Some(world);
        self.advance(&[0.0; 4], Some((force, 0.0)))?;
        Ok(())
    }

    fn step(&mut self, action: Action<'_>) -> Result<Step, EnvError> {
        let torques = match action {
            Action::Continuous(&[hip1, knee1, hip2, knee2]) => [hip1, knee1, hip2, knee2],
            _ => [0.0; 4],
        };
        self.advance(&torques, None)
    }

    fn observe(&self, observation: &mut [f32]) -> Result<(), EnvError> {
        let rays = self.lidar()?;
        let hull = self.states[0];
        observation[..4].copy_from_slice(&[
            hull.angle,
            (2.0 * f64::from(hull.omega) / FPS) as f32,
            (0.3 * f64::from(hull.vx) * (VIEWPORT_W / SCALE) / FPS) as f32,
            (0.3 * f64::from(hull.vy) * (VIEWPORT_H / SCALE) / FPS) as f32,
        ]);
        for (side, out) in observation[4..14].chunks_exact_mut(5).enumerate() {
            let [upper, lower] = [self.states[1 + 2 * side], self.states[2 + 2 * side]];
            // The solver subtracts in single precision.
            let hip = upper.angle - hull.angle - self.references[2 * side];
            let knee = lower.angle - upper.angle - self.references[2 * side + 1];
            out.copy_from_slice(&[
                hip,
                (f64::from(upper.omega - hull.omega) / SPEED_HIP) as f32,
                (f64::from(knee) + 1.0) as f32,
                (f64::from(lower.omega - upper.omega) / SPEED_KNEE) as f32,
                if self.foot_contact[side] { 1.0 } else { 0.0 },
            ]);
        }
        for (out, ray) in observation[14..].iter_mut().zip(rays) {
            *out = ray.fraction;
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
        if self.world.is_none() {
            return;
        }
        let scale = SCALE as f32;
        let height = VIEWPORT_H as f32;
        let scroll = self.scroll();
        let left = scroll.max(0.0) * scale;
        let pixel = |(x, y): Vec2| (x * scale - left, height - y * scale);
        let seen = |x1: f32, x2: f32| x2 >= 0.0 && x1 <= VIEWPORT_W as f32;

        canvas.clear(Color::rgb(215, 215, 255));
        for cloud in &self.clouds {
            let corners = cloud.corners.map(|corner| {
                let (x, y) = single(corner);
                pixel((x + scroll / 2.0, y))
            });
            canvas.polygon(&corners, Color::WHITE);
        }
        let mut soil = vec![(VIEWPORT_W as f32, height), (0.0, height)];
        for i in 0..TERRAIN_LENGTH - 1 {
            let [from, to] = self.terrain.segment(i).map(single).map(pixel);
            if seen(from.0, to.0) {
                soil.extend([from, to]);
            }
        }
        canvas.polygon(&soil, Color::rgb(102, 153, 76));

        // One ray a frame, up and down the fan, at the start of every hundred.
        let flicker = self.frame % 100;
        if flicker < 2 * RAYS
            && let Ok(rays) = self.lidar()
        {
            let ray = rays[if flicker < RAYS { flicker } else { 2 * RAYS - 1 - flicker }];
            let hull = &self.states[0];
            canvas.line(pixel((hull.x, hull.y)), pixel((ray.x, ray.y)), 1.0, Color::rgb(255, 0, 0));
        }

        for i in 0..TERRAIN_LENGTH - 1 {
            let [from, to] = self.terrain.segment(i).map(single).map(pixel);
            if seen(from.0, to.0) {
                let green = if i % 2 == 0 { 255 } else { 204 };
                canvas.line(from, to, 1.0, Color::rgb(76, green, 76));
            }
        }
        for obstacle in &self.terrain.obstacles {
            let corners = obstacle.map(single).map(pixel);
            if seen(corners[0].0, corners[1].0) {
                canvas.polygon(&corners, Color::WHITE);
                canvas.outline(&corners, 1.0, Color::rgb(153, 153, 153));
            }
        }
        let limb = |width: f64| {
            let (w, h) = single((width / 2.0, LEG_H / 2.0));
            [(-w, -h), (w, -h), (w, h), (-w, h)]
        };
        let (upper, lower) = (limb(LEG_W), limb(0.8 * LEG_W));
        let hull = HULL_POLY.map(|(x, y)| single((x / SCALE, y / SCALE)));
        let near = (Color::rgb(178, 101, 152), Color::rgb(127, 76, 101));
        let far = (Color::rgb(128, 51, 102), Color::rgb(77, 26, 51));
        let parts: [(usize, &[Vec2], (Color, Color)); 5] = [
            (1, &upper, near),
            (2, &lower, near),
            (3, &upper, far),
            (4, &lower, far),
            (0, &hull, (Color::rgb(127, 51, 229), Color::rgb(76, 76, 127))),
        ];
        for (body, shape, (paint, edge)) in parts {
            let state = &self.states[body];
            let corners: Vec<_> = shape.iter().map(|&corner| pixel(state.point(corner))).collect();
            canvas.polygon(&corners, paint);
            canvas.outline(&corners, 1.0, edge);
        }

        let (x, foot) = pixel(single((TERRAIN_STEP * 3.0, TERRAIN_HEIGHT)));
        let top = foot - 50.0;
        let flag = [(x, top), (x, top + 10.0), (x + 25.0, top + 5.0)];
        canvas.line((x, foot), (x, top), 1.0, Color::BLACK);
        canvas.polygon(&flag, Color::rgb(230, 51, 0));
        canvas.outline(&flag, 1.0, Color::BLACK);
    }

    /// The hull.
    fn focus(&self) -> (f32, f32) {
        let (hull, scale) = (&self.states[0], SCALE as f32);
        ((hull.x - self.scroll().max(0.0)) * scale, VIEWPORT_H as f32 - hull.y * scale)
    }

    fn trace(&self) -> Trace {
        let xs: Vec<_> = (0..self.terrain.heights.len()).map(|i| i as f64 * TERRAIN_STEP).collect();
        let mut layout = Info::new();
        layout.insert("terrain_x".to_owned(), xs.into());
        layout.insert("terrain_y".to_owned(), self.terrain.heights.clone().into());
        Trace { layout, ..Trace::default() }
    }
}

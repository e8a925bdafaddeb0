//! The top-down car of CarRacing: a hull on four wheels that grip, slip and spin.
//!
//! Oleg Klimov's model after Chris Campbell's tutorial, as in Gymnasium 1.1.1 `envs/box2d/car_dynamics.py`. The
//! solver only moves bodies; engine, brakes and tyre friction are computed here in double precision, each
//! wheel with an angular velocity of its own.

use crate::environment::EnvError;
use crate::numpy::sign;
use rushes_box2d::{
    BodyId, BodyState, Hinge, JointId, Material, Motor, Push, Shape, Tick, Vec2, World,
};

/// Metres a unit of the drawings below.
pub(super) const SIZE: f64 = 0.02;
const ENGINE_POWER: f64 = 100_000_000.0 * SIZE * SIZE;
const WHEEL_MOMENT_OF_INERTIA: f64 = 4000.0 * SIZE * SIZE;
/// The most force between a tyre and the road, in newtons; grass has 60 % of it.
const FRICTION_LIMIT: f64 = 1_000_000.0 * SIZE * SIZE;
/// Force for each metre a second that a tyre slips.
const SLIP_FORCE: f64 = 205_000.0 * SIZE * SIZE;
/// Radians a second that full brakes take off a wheel in a step.
const BRAKE_FORCE: f64 = 15.0;
pub(super) const WHEEL_R: f64 = 27.0;
pub(super) const WHEEL_W: f64 = 14.0;
const WHEEL_POSITIONS: [(f64, f64); 4] =
    [(-55.0, 80.0), (55.0, 80.0), (-55.0, -82.0), (55.0, -82.0)];
/// The convex parts of the hull.
pub(super) const HULL: [&[(f64, f64)]; 4] = [
    &[(-60.0, 130.0), (60.0, 130.0), (60.0, 110.0), (-60.0, 110.0)],
    &[(-15.0, 120.0), (15.0, 120.0), (20.0, 20.0), (-20.0, 20.0)],
    &[
        (25.0, 20.0),
        (50.0, -10.0),
        (50.0, -40.0),
        (20.0, -90.0),
        (-20.0, -90.0),
        (-50.0, -40.0),
        (-50.0, -10.0),
        (-25.0, 20.0),
    ],
    &[(-50.0, -120.0), (50.0, -120.0), (50.0, -90.0), (-50.0, -90.0)],
];
const STEER_TORQUE: f64 = 180.0 * 900.0 * SIZE * SIZE;

/// One car in a world.
#[derive(Clone)]
pub(super) struct Car {
    /// The hull, then the wheels: front left, front right, rear left, rear right.
    pub bodies: [BodyId; 5],
    /// Where these are.
    pub states: [BodyState; 5],
    /// The wheels.
    pub wheels: [Wheel; 4],
    /// Skid marks, for drawing only.
    pub skids: Skids,
}

/// What the solver does not know of a wheel.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wheel {
    joint: JointId,
    gas: f64,
    brake: f64,
    steer: f64,
    /// How far it has turned about its axle, in radians.
    pub phase: f64,
    /// Angular velocity about its axle.
    pub omega: f64,
    /// Road tiles under it.
    pub tiles: u32,
    skid_start: Option<Vec2>,
    /// Number, ground and length of the skid mark that it is leaving.
    skid: Option<(usize, bool, usize)>,
}

impl Car {
    /// Puts a car at rest into `world`.
    ///
    /// # Errors
    /// Fails if the solver fails.
    pub(super) fn new(world: &mut World, angle: f64, x: f64, y: f64) -> Result<Self, EnvError> {
        let hull = world.dynamic_body((x as f32, y as f32), angle as f32)?;
        let metal = Material { density: 1.0, ..Material::default() };
        for part in HULL {
            let mut corners = [(0.0, 0.0); 8];
            for (corner, &(x, y)) in corners.iter_mut().zip(part) {
                *corner = ((x * SIZE) as f32, (y * SIZE) as f32);
            }
            world.fixture(hull, Shape::Polygon(&corners[..part.len()]), &metal)?;
        }
        let rubber =
            Material { density: 0.1, category: 0x0020, mask: 0x001, ..Material::default() };
        let mut bodies = [hull; 5];
        let mut wheels = [Wheel::default(); 4];
        let at = bodies[1..].iter_mut().zip(&mut wheels).zip(WHEEL_POSITIONS);
        for ((body, wheel), (wheel_x, wheel_y)) in at {
            let position = ((x + wheel_x * SIZE) as f32, (y + wheel_y * SIZE) as f32);
            *body = world.dynamic_body(position, angle as f32)?;
            world.fixture(*body, Shape::Polygon(&wheel_corners(1.0, -1.0)), &rubber)?;
            wheel.joint = world.hinge(&Hinge {
                body_a: hull,
                body_b: *body,
                anchor_a: [(wheel_x * SIZE) as f32, (wheel_y * SIZE) as f32],
                anchor_b: [0.0, 0.0],
                reference_angle: 0.0,
                lower_angle: -0.4,
                upper_angle: 0.4,
                motor_speed: 0.0,
                max_motor_torque: STEER_TORQUE as f32,
            })?;
        }
        let mut states = [BodyState::default(); 5];
        for (state, &body) in states.iter_mut().zip(&bodies) {
            *state = world.state(body)?;
        }
        Ok(Self { bodies, states, wheels, skids: Skids::default() })
    }

    /// Turns the front wheels towards `steer`, 1 being fully right.
    pub(super) fn steer(&mut self, steer: f64) {
        for wheel in &mut self.wheels[..2] {
            wheel.steer = steer;
        }
    }

    /// Opens the throttle of the rear wheels, gradually; closes it at once.
    pub(super) fn gas(&mut self, gas: f64) {
        let gas = gas.clamp(0.0, 1.0);
        for wheel in &mut self.wheels[2..] {
            wheel.gas += (gas - wheel.gas).min(0.1);
        }
    }

    /// Brakes all wheels; from 0.9 on they lock.
    pub(super) fn brake(&mut self, brake: f64) {
        for wheel in &mut self.wheels {
            wheel.brake = brake;
        }
    }

    /// The angle that wheel `i` is steered to.
    pub(super) fn steering_angle(&self, i: usize) -> f32 {
        self.states[1 + i].angle - self.states[0].angle
    }

    /// Advances engine, tyres and the world by `dt` seconds.
    ///
    /// # Errors
    /// Fails if the solver fails.
    pub(super) fn step(&mut self, world: &mut World, dt: f64) -> Result<(), EnvError> {
        let mut motors = [Motor::default(); 4];
        let mut pushes = [Push::default(); 4];
        for i in 0..4 {
            let turn = self.wheels[i].steer - f64::from(self.steering_angle(i));
            let body = self.bodies[1 + i];
            motors[i] = Motor {
                joint: self.wheels[i].joint,
                speed: (sign(turn) * (50.0 * turn.abs()).min(3.0)) as f32,
                max_torque: STEER_TORQUE as f32,
            };
            let force = self.wheels[i].roll(&self.states[1 + i], dt, &mut self.skids);
            pushes[i] = Push::force(body, force);
        }
        Ok(world.tick(Tick {
            dt,
            velocity_iterations: 6 * 30,
            position_iterations: 2 * 30,
            pushes: &pushes,
            motors: &motors,
            bodies: &self.bodies,
            states: &mut self.states,
        })?)
    }
}

impl Wheel {
    /// Turns the wheel for `dt` seconds; the force that its tyre puts on the car.
    fn roll(&mut self, state: &BodyState, dt: f64, skids: &mut Skids) -> Vec2 {
        let grass = self.tiles == 0;
        let limit = if grass { FRICTION_LIMIT * 0.6 } else { FRICTION_LIMIT };
        let forward = (f64::from(-state.sin), f64::from(state.cos));
        let side = (f64::from(state.cos), f64::from(state.sin));
        let velocity = (f64::from(state.vx), f64::from(state.vy));
        let forward_speed = forward.0 * velocity.0 + forward.1 * velocity.1;
        let side_speed = side.0 * velocity.0 + side.1 * velocity.1;

        // Power becomes angular velocity: dω = dt·P / (I·ω), with something added to ω at rest.
        self.omega +=
            dt * ENGINE_POWER * self.gas / WHEEL_MOMENT_OF_INERTIA / (self.omega.abs() + 5.0);
        if self.brake >= 0.9 {
            self.omega = 0.0;
        } else if self.brake > 0.0 {
            let slowed = (BRAKE_FORCE * self.brake).abs().min(self.omega.abs());
            self.omega += -sign(self.omega) * slowed;
        }
        self.phase += self.omega * dt;

        let radius = WHEEL_R * SIZE;
        let mut forward_force = (-forward_speed + self.omega * radius) * SLIP_FORCE;
        let mut side_force = -side_speed * SLIP_FORCE;
        let force = (forward_force * forward_force + side_force * side_force).sqrt();
        self.leave_skid(force > 2.0 * limit, (state.x, state.y), grass, skids);
        if force > limit {
            forward_force = forward_force / force * limit;
            side_force = side_force / force * limit;
        }
        self.omega -= dt * forward_force * radius / WHEEL_MOMENT_OF_INERTIA;
        (
            (side_force * side.0 + forward_force * forward.0) as f32,
            (side_force * side.1 + forward_force * forward.1) as f32,
        )
    }

    fn leave_skid(&mut self, skidding: bool, at: Vec2, grass: bool, skids: &mut Skids) {
        if !skidding {
            self.skid_start = None;
            self.skid = None;
            return;
        }
        match (self.skid, self.skid_start) {
            (Some((mark, on_grass, len)), _) if on_grass == grass && len < SKID_POINTS => {
                skids.extend(mark, at);
                self.skid = Some((mark, grass, len + 1));
            }
            (_, None) => self.skid_start = Some(at),
            (_, Some(start)) => {
                self.skid = Some((skids.begin(start, at, grass), grass, 2));
                self.skid_start = None;
            }
        }
    }
}

/// The corners of a wheel's part from `front` to `rear`, of its radius.
pub(super) fn wheel_corners(front: f64, rear: f64) -> [Vec2; 4] {
    [(-1.0, front), (1.0, front), (1.0, rear), (-1.0, rear)]
        .map(|(x, y)| ((x * WHEEL_W * SIZE) as f32, (WHEEL_R * y * SIZE) as f32))
}

const SKID_MARKS: usize = 30;
const SKID_POINTS: usize = 30;

/// The last marks that skidding tyres left.
#[derive(Clone)]
pub(super) struct Skids {
    marks: [Skid; SKID_MARKS],
    begun: usize,
}

/// One mark.
#[derive(Clone, Copy)]
pub(super) struct Skid {
    points: [Vec2; SKID_POINTS],
    len: usize,
    /// Whether it is on grass.
    pub grass: bool,
}

impl Default for Skids {
    fn default() -> Self {
        let empty = Skid { points: [(0.0, 0.0); SKID_POINTS], len: 0, grass: false };
        Self { marks: [empty; SKID_MARKS], begun: 0 }
    }
}

impl Skids {
    fn begin(&mut self, from: Vec2, to: Vec2, grass: bool) -> usize {
        let number = self.begun;
        self.begun += 1;
        let mark = &mut self.marks[number % SKID_MARKS];
        (mark.points[0], mark.points[1]) = (from, to);
        (mark.len, mark.grass) = (2, grass);
        number
    }

    /// Adds a point, unless the mark was overwritten since.
    fn extend(&mut self, number: usize, to: Vec2) {
        if number + SKID_MARKS >= self.begun {
            let mark = &mut self.marks[number % SKID_MARKS];
            mark.points[mark.len] = to;
            mark.len += 1;
        }
    }

    /// All marks, each with its points.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Skid, &[Vec2])> {
        self.marks.iter().filter(|mark| mark.len > 0).map(|mark| (mark, &mark.points[..mark.len]))
    }
}

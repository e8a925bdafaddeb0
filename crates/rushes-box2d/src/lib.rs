//! A safe view of one Box2D world: bodies, revolute joints, contacts and rays, as far as the environments
//! need them.
//!
//! `bridge.cpp` holds the other side. Positions are metres, angles radians, velocities per second, all in the
//! solver's single precision. A [`World`] may be used by one thread after another (see `docs/physics.md`); the raw pointer
//! inside keeps the type from being `Send` all the same.
//!
//! Without the solver's source, which `./bootstrap` fetches, the crate is empty: `build.rs` says so.

#![cfg(box2d)]

use std::ffi::{CStr, c_char};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The solver refused to go on, or was given what it cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PhysicsError(String);

/// A pair of coordinates or vector components.
pub type Vec2 = (f32, f32);

/// A body of one world. Numbers are given out again after [`World::destroy`].
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BodyId(u32);

impl BodyId {
    /// A small number that is the body's own as long as it lives, for tables.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A revolute joint of one world; it goes when either of its bodies does.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JointId(u32);

/// The geometry of a fixture, in the body's own coordinates.
#[derive(Debug, Clone, Copy)]
pub enum Shape<'a> {
    /// The convex hull of 3 to 16 points.
    Polygon(&'a [Vec2]),
    /// A segment without mass.
    Edge(&'a [Vec2; 2]),
    /// An axis-aligned box: half its width and height.
    Box(&'a [Vec2; 1]),
}

/// What a fixture is made of.
#[derive(Debug, Clone, Copy)]
pub struct Material {
    /// Mass per square metre; 0 for things that never move.
    pub density: f32,
    /// Coefficient of friction.
    pub friction: f32,
    /// Bounciness, 0 to 1.
    pub restitution: f32,
    /// The collision categories that this belongs to, as bits.
    pub category: u16,
    /// The categories that it collides with.
    pub mask: u16,
    /// Reports contacts without pushing.
    pub sensor: bool,
}

impl Default for Material {
    /// Box2D's defaults.
    fn default() -> Self {
        Self {
            density: 0.0,
            friction: 0.2,
            restitution: 0.0,
            category: 0x0001,
            mask: 0xFFFF,
            sensor: false,
        }
    }
}

/// A hinge with a motor and limits. Its fields are laid out as the bridge reads them.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Hinge {
    /// The body that angles are measured from.
    pub body_a: BodyId,
    /// The body whose angle is measured.
    pub body_b: BodyId,
    /// The hinge in the first body's coordinates.
    pub anchor_a: Vec2Array,
    /// The hinge in the second body's coordinates.
    pub anchor_b: Vec2Array,
    /// The difference of the bodies' angles that counts as zero.
    pub reference_angle: f32,
    /// Lower limit of the joint's angle.
    pub lower_angle: f32,
    /// Upper limit of the joint's angle.
    pub upper_angle: f32,
    /// The speed that the motor tries to reach.
    pub motor_speed: f32,
    /// The most torque that it may use for that, in N·m.
    pub max_motor_torque: f32,
}

/// Coordinates in C's layout.
pub type Vec2Array = [f32; 2];

/// Where a body is and how it moves.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BodyState {
    /// Position of the body's origin.
    pub x: f32,
    /// Position of the body's origin.
    pub y: f32,
    /// Angle, anticlockwise.
    pub angle: f32,
    /// Cosine of the angle, as the solver rounds it.
    pub cos: f32,
    /// Sine of the angle, as the solver rounds it.
    pub sin: f32,
    /// Velocity of the centre of mass.
    pub vx: f32,
    /// Velocity of the centre of mass.
    pub vy: f32,
    /// Angular velocity.
    pub omega: f32,
    awake: i32,
}

impl BodyState {
    /// Whether the body still moves; a body at rest falls asleep.
    pub fn is_awake(&self) -> bool {
        self.awake != 0
    }

    /// The world coordinates of a point in the body's own.
    pub fn point(&self, (x, y): Vec2) -> Vec2 {
        (self.cos * x - self.sin * y + self.x, self.sin * x + self.cos * y + self.y)
    }
}

/// A force, torque or impulse. Its fields are laid out as the bridge reads them.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Push {
    body: BodyId,
    kind: i32,
    x: f32,
    y: f32,
    at_x: f32,
    at_y: f32,
}

impl Push {
    /// A force in newtons at the centre of mass, for the next tick.
    pub fn force(body: BodyId, (x, y): Vec2) -> Self {
        Self { body, kind: 0, x, y, at_x: 0.0, at_y: 0.0 }
    }

    /// A torque in N·m, for the next tick.
    pub fn torque(body: BodyId, torque: f32) -> Self {
        Self { body, kind: 1, x: torque, y: 0.0, at_x: 0.0, at_y: 0.0 }
    }

    /// An impulse in N·s at a point of the world.
    pub fn impulse(body: BodyId, (x, y): Vec2, (at_x, at_y): Vec2) -> Self {
        Self { body, kind: 2, x, y, at_x, at_y }
    }
}

/// A new speed and torque limit for a hinge's motor.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Motor {
    /// Which hinge.
    pub joint: JointId,
    /// The speed that the motor tries to reach.
    pub speed: f32,
    /// The most torque that it may use for that, in N·m.
    pub max_torque: f32,
}

/// Two bodies began or ceased to touch.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    body_a: BodyId,
    body_b: BodyId,
    begin: i32,
}

impl Contact {
    /// The two bodies.
    pub fn bodies(&self) -> [BodyId; 2] {
        [self.body_a, self.body_b]
    }

    /// Whether `body` is one of the two.
    pub fn involves(&self, body: BodyId) -> bool {
        self.body_a == body || self.body_b == body
    }

    /// Whether the contact began; otherwise it ended.
    pub fn began(&self) -> bool {
        self.begin != 0
    }
}

/// The nearest thing along a ray.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Ray {
    /// How far along the ray, 1 where it met nothing.
    pub fraction: f32,
    /// Where it ends.
    pub x: f32,
    /// Where it ends.
    pub y: f32,
}

/// One step of the world with everything that happens around it, in one call: first the pushes and motors,
/// then the solver, then the states of `bodies`.
pub struct Tick<'a> {
    /// Simulated seconds.
    pub dt: f64,
    /// Iterations of the velocity solver.
    pub velocity_iterations: i32,
    /// Iterations of the position solver.
    pub position_iterations: i32,
    /// Forces, torques and impulses.
    pub pushes: &'a [Push],
    /// Motors to set.
    pub motors: &'a [Motor],
    /// The bodies to read afterwards.
    pub bodies: &'a [BodyId],
    /// Their states; as long as `bodies`.
    pub states: &'a mut [BodyState],
}

/// One Box2D world. Dropping it frees everything in it, unless an assertion failed inside: such a world is
/// abandoned, because its lists may no longer be whole.
#[derive(Debug)]
pub struct World {
    raw: NonNull<RawWorld>,
    not_send: PhantomData<*mut ()>,
}

impl World {
    /// An empty world.
    ///
    /// # Errors
    /// Fails if memory runs out.
    pub fn new(gravity: Vec2) -> Result<Self, PhysicsError> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: `raw` outlives the call, and the bridge writes a world into it or fails.
        check(unsafe { rushes_b2_new(gravity.0, gravity.1, &mut raw) })?;
        let raw = NonNull::new(raw).ok_or_else(|| PhysicsError("no world".to_owned()))?;
        Ok(Self { raw, not_send: PhantomData })
    }

    /// Adds a body that never moves.
    ///
    /// # Errors
    /// Fails if the position is not finite.
    pub fn static_body(&mut self, position: Vec2) -> Result<BodyId, PhysicsError> {
        self.body(false, position, 0.0)
    }

    /// Adds a body that moves.
    ///
    /// # Errors
    /// Fails if the position or angle is not finite.
    pub fn dynamic_body(&mut self, position: Vec2, angle: f32) -> Result<BodyId, PhysicsError> {
        self.body(true, position, angle)
    }

    fn body(&mut self, dynamic: bool, (x, y): Vec2, angle: f32) -> Result<BodyId, PhysicsError> {
        let mut body = BodyId::default();
        // SAFETY: the world is alive and `body` outlives the call.
        check(unsafe {
            rushes_b2_body(self.raw.as_ptr(), dynamic.into(), x, y, angle, &mut body)
        })?;
        Ok(body)
    }

    /// Attaches a shape to a body.
    ///
    /// # Errors
    /// Fails if the shape is degenerate, has too many points, or the body is gone.
    pub fn fixture(
        &mut self,
        body: BodyId,
        shape: Shape<'_>,
        material: &Material,
    ) -> Result<(), PhysicsError> {
        let (kind, vertices) = match shape {
            Shape::Polygon(points) => (0, points),
            Shape::Edge(ends) => (1, ends.as_slice()),
            Shape::Box(half) => (2, half.as_slice()),
        };
        let mut flat = [0.0; 2 * MAX_VERTICES];
        if vertices.len() > MAX_VERTICES {
            return Err(PhysicsError(format!(
                "a polygon has at most {MAX_VERTICES} corners, not {}",
                vertices.len()
            )));
        }
        for (pair, &(x, y)) in flat.chunks_exact_mut(2).zip(vertices) {
            pair.copy_from_slice(&[x, y]);
        }
        let shape = RawShape {
            kind,
            vertices: flat.as_ptr(),
            vertex_count: vertices.len(),
            density: material.density,
            friction: material.friction,
            restitution: material.restitution,
            category: material.category,
            mask: material.mask,
            sensor: material.sensor.into(),
        };
        // SAFETY: `shape` and the vertices that it points to outlive the call; the bridge copies them and
        // checks `body`.
        check(unsafe { rushes_b2_fixture(self.raw.as_ptr(), body, &shape) })
    }

    /// Joins two bodies by a hinge.
    ///
    /// # Errors
    /// Fails if one of the bodies is gone.
    pub fn hinge(&mut self, hinge: &Hinge) -> Result<JointId, PhysicsError> {
        let mut joint = JointId::default();
        // SAFETY: both references outlive the call; the bridge checks the bodies.
        check(unsafe { rushes_b2_joint(self.raw.as_ptr(), hinge, &mut joint) })?;
        Ok(joint)
    }

    /// Removes a body with its fixtures, joints and contacts.
    ///
    /// # Errors
    /// Fails if it is gone already.
    pub fn destroy(&mut self, body: BodyId) -> Result<(), PhysicsError> {
        // SAFETY: the world is alive; the bridge checks `body`.
        check(unsafe { rushes_b2_destroy(self.raw.as_ptr(), body) })
    }

    /// Where a body is now.
    ///
    /// # Errors
    /// Fails if it is gone.
    pub fn state(&mut self, body: BodyId) -> Result<BodyState, PhysicsError> {
        let mut state = BodyState::default();
        // SAFETY: the world is alive and `state` outlives the call; the bridge checks `body`.
        check(unsafe { rushes_b2_state(self.raw.as_ptr(), body, &mut state) })?;
        Ok(state)
    }

    /// Advances the world; see [`Tick`].
    ///
    /// # Errors
    /// Fails if an assertion of the solver fails, a body or joint is gone, or a state is not finite. The world
    /// is of no further use then.
    pub fn tick(&mut self, tick: Tick<'_>) -> Result<(), PhysicsError> {
        let Tick { bodies, states, .. } = tick;
        let body_count = bodies.len().min(states.len());
        let raw = RawTick {
            dt: tick.dt as f32,
            velocity_iterations: tick.velocity_iterations,
            position_iterations: tick.position_iterations,
            pushes: tick.pushes.as_ptr(),
            push_count: tick.pushes.len(),
            motors: tick.motors.as_ptr(),
            motor_count: tick.motors.len(),
            bodies: bodies.as_ptr(),
            states: states.as_mut_ptr(),
            body_count,
        };
        // SAFETY: every pointer comes from a slice that outlives the call, with its length; the bridge
        // checks bodies and joints.
        check(unsafe { rushes_b2_tick(self.raw.as_ptr(), &raw) })?;
        let finite = |s: &BodyState| (s.x + s.y + s.angle + s.vx + s.vy + s.omega).is_finite();
        if states[..body_count].iter().all(finite) {
            Ok(())
        } else {
            Err(PhysicsError("a body's position or velocity is not finite".to_owned()))
        }
    }

    /// The nearest things of a collision category along rays from a body. `offsets` are the rays' far ends,
    /// relative to the body.
    ///
    /// # Errors
    /// Fails if the body is gone, or a ray has no length.
    pub fn cast<const N: usize>(
        &self,
        from: BodyId,
        offsets: &[[f64; 2]; N],
        category: u16,
    ) -> Result<[Ray; N], PhysicsError> {
        let mut rays = [Ray::default(); N];
        let ends = offsets.as_ptr().cast();
        // SAFETY: `offsets` and `rays` are N long and outlive the call, and the bridge checks `from`. A cast
        // reads the world; it notes there only that it failed, and nobody else holds the pointer.
        check(unsafe {
            rushes_b2_cast(self.raw.as_ptr(), from, category, ends, rays.as_mut_ptr(), N)
        })?;
        Ok(rays)
    }

    /// The contacts that began or ended during the last tick, in the solver's order.
    pub fn contacts(&self) -> &[Contact] {
        let mut contacts = std::ptr::null();
        // SAFETY: the bridge gives a buffer of that many contacts, which only `&mut self` calls change. An
        // empty buffer may be null.
        unsafe {
            let count = rushes_b2_contacts(self.raw.as_ptr(), &mut contacts);
            if count == 0 { &[] } else { std::slice::from_raw_parts(contacts, count) }
        }
    }
}

impl Clone for World {
    /// An exact copy: bodies, joints, contacts and what the solver remembers of its last step. It goes on as this one does,
    /// bit for bit. A copy of a world in which an assertion failed refuses to go on, too.
    fn clone(&self) -> Self {
        let mut raw = std::ptr::null_mut();
        // SAFETY: the world is alive and only read; `raw` outlives the call.
        let copied = check(unsafe { rushes_b2_copy(self.raw.as_ptr(), &mut raw) });
        let raw = NonNull::new(raw).filter(|_| copied.is_ok());
        Self { raw: raw.expect("memory for a copy of a world"), not_send: PhantomData }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // SAFETY: the world came from `rushes_b2_new` and is dropped once.
        unsafe { rushes_b2_free(self.raw.as_ptr()) }
    }
}

/// Seconds that the solver itself took in this thread's worlds since the last call. The first call starts the
/// clock; until then stepping pays nothing for it.
pub fn solver_seconds() -> f64 {
    // SAFETY: only touches numbers of this thread.
    unsafe { rushes_b2_solver_seconds() }
}

fn check(message: *const c_char) -> Result<(), PhysicsError> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: the bridge returns null or a terminated string of this thread.
    let message = unsafe { CStr::from_ptr(message) };
    Err(PhysicsError(message.to_string_lossy().into_owned()))
}

/// `b2_maxPolygonVertices`.
const MAX_VERTICES: usize = 16;

#[repr(C)]
struct RawWorld {
    opaque: [u8; 0],
}

#[repr(C)]
struct RawShape {
    kind: i32,
    vertices: *const f32,
    vertex_count: usize,
    density: f32,
    friction: f32,
    restitution: f32,
    category: u16,
    mask: u16,
    sensor: i32,
}

#[repr(C)]
struct RawTick {
    dt: f32,
    velocity_iterations: i32,
    position_iterations: i32,
    pushes: *const Push,
    push_count: usize,
    motors: *const Motor,
    motor_count: usize,
    bodies: *const BodyId,
    states: *mut BodyState,
    body_count: usize,
}

unsafe extern "C" {
    fn rushes_b2_new(gravity_x: f32, gravity_y: f32, out: *mut *mut RawWorld) -> *const c_char;
    fn rushes_b2_copy(from: *const RawWorld, out: *mut *mut RawWorld) -> *const c_char;
    fn rushes_b2_free(world: *mut RawWorld);
    fn rushes_b2_body(
        world: *mut RawWorld,
        dynamic: i32,
        x: f32,
        y: f32,
        angle: f32,
        out: *mut BodyId,
    ) -> *const c_char;
    fn rushes_b2_fixture(
        world: *mut RawWorld,
        body: BodyId,
        shape: *const RawShape,
    ) -> *const c_char;
    fn rushes_b2_joint(
        world: *mut RawWorld,
        hinge: *const Hinge,
        out: *mut JointId,
    ) -> *const c_char;
    fn rushes_b2_destroy(world: *mut RawWorld, body: BodyId) -> *const c_char;
    fn rushes_b2_state(world: *mut RawWorld, body: BodyId, out: *mut BodyState) -> *const c_char;
    fn rushes_b2_tick(world: *mut RawWorld, tick: *const RawTick) -> *const c_char;
    fn rushes_b2_cast(
        world: *mut RawWorld,
        from: BodyId,
        category: u16,
        offsets: *const f64,
        rays: *mut Ray,
        count: usize,
    ) -> *const c_char;
    fn rushes_b2_contacts(world: *const RawWorld, out: *mut *const Contact) -> usize;
    fn rushes_b2_solver_seconds() -> f64;
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: [Vec2; 4] = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];

    fn tick(
        world: &mut World,
        pushes: &[Push],
        bodies: &[BodyId],
    ) -> Result<Vec<BodyState>, PhysicsError> {
        let mut states = vec![BodyState::default(); bodies.len()];
        world.tick(Tick {
            dt: 0.02,
            velocity_iterations: 10,
            position_iterations: 10,
            pushes,
            motors: &[],
            bodies,
            states: &mut states,
        })?;
        Ok(states)
    }

    fn physics_message(result: Result<impl std::fmt::Debug, PhysicsError>) -> String {
        match result {
            Err(PhysicsError(message)) => message,
            other => panic!("expected a physics error, not {other:?}"),
        }
    }

    #[test]
    fn falls_lands_and_reports_contacts() -> Result<(), PhysicsError> {
        let mut world = World::new((0.0, -10.0))?;
        let ground = world.static_body((0.0, 0.0))?;
        world.fixture(ground, Shape::Edge(&[(-9.0, 0.0), (9.0, 0.0)]), &Material::default())?;
        let stone = world.dynamic_body((0.0, 1.0), 0.0)?;
        let heavy = Material { density: 1.0, ..Material::default() };
        world.fixture(stone, Shape::Box(&[(0.5, 0.5)]), &heavy)?;
        let mut touched = Vec::new();
        for _ in 0..100 {
            tick(&mut world, &[], &[stone])?;
            touched.extend(world.contacts().iter().copied());
        }
        let state = world.state(stone)?;
        assert!((state.y - 0.5).abs() < 0.02 && !state.is_awake(), "{state:?}");
        assert_eq!(touched.len(), 1);
        assert!(touched[0].began() && touched[0].involves(stone) && touched[0].involves(ground));
        Ok(())
    }

    #[test]
    fn failed_assertions_are_errors_and_break_the_world() -> Result<(), PhysicsError> {
        let mut world = World::new((0.0, -10.0))?;
        let body = world.dynamic_body((0.0, 0.0), 0.0)?;
        let flat = Shape::Polygon(&[(0.0, 0.0), (1.0, 0.0)]);
        let message = physics_message(world.fixture(body, flat, &Material::default()));
        assert!(
            message.contains("3 <= count") && message.contains("b2PolygonShape.cpp:"),
            "{message}"
        );
        assert_eq!(physics_message(world.state(body)), "the world is broken by an earlier failure");
        let mut copy = world.clone();
        assert_eq!(physics_message(copy.state(body)), "the world is broken by an earlier failure");
        Ok(())
    }

    #[test]
    fn an_assertion_deep_inside_a_step_is_an_error() -> Result<(), PhysicsError> {
        // Blows beyond single precision make an impulse infinite: the assertion fails while the solver's
        // buffers are in use.
        let mut world = World::new((0.0, -10.0))?;
        let ground = world.static_body((0.0, 0.0))?;
        world.fixture(ground, Shape::Polygon(&SQUARE), &Material::default())?;
        let heavy = Material { density: 1.0, ..Material::default() };
        let mut stone = ground;
        for y in [1.0, 2.0, 3.0] {
            stone = world.dynamic_body((0.5, y), 0.7)?;
            world.fixture(stone, Shape::Polygon(&SQUARE), &heavy)?;
        }
        let blow = Push::impulse(stone, (0.0, -3e38), (0.5, 3.0));
        let message =
            physics_message((0..20).try_for_each(|_| tick(&mut world, &[blow], &[]).map(drop)));
        assert!(message.starts_with("assertion `b2IsValid"), "{message}");
        Ok(())
    }

    #[test]
    fn the_solver_is_timed_when_asked() -> Result<(), PhysicsError> {
        let mut world = World::new((0.0, -10.0))?;
        tick(&mut world, &[], &[])?;
        assert_eq!(solver_seconds(), 0.0, "nobody had asked");
        tick(&mut world, &[], &[])?;
        assert!(solver_seconds() > 0.0);
        assert_eq!(solver_seconds(), 0.0, "counted twice");
        Ok(())
    }

    #[test]
    fn rays_end_at_the_nearest_thing_of_their_category() -> Result<(), PhysicsError> {
        let mut world = World::new((0.0, -10.0))?;
        for (x, category) in [(3.0, 2), (5.0, 1), (7.0, 1)] {
            let wall = world.static_body((x, -0.5))?;
            let material = Material { category, ..Material::default() };
            world.fixture(wall, Shape::Polygon(&SQUARE), &material)?;
        }
        let eye = world.dynamic_body((1.0, 0.0), 0.0)?;
        let [right, left] = world.cast(eye, &[[10.0, 0.0], [-10.0, 0.0]], 1)?;
        assert_eq!((right.fraction, right.x, right.y), (0.4, 5.0, 0.0));
        assert_eq!((left.fraction, left.x, left.y), (1.0, -9.0, 0.0));
        let message = physics_message(world.cast(eye, &[[0.0, 0.0]], 1));
        assert!(message.contains("LengthSquared"), "{message}");
        Ok(())
    }

    #[test]
    fn bodies_that_are_gone_are_refused() -> Result<(), PhysicsError> {
        let mut world = World::new((0.0, 0.0))?;
        let body = world.static_body((0.0, 0.0))?;
        world.destroy(body)?;
        assert!(physics_message(world.destroy(body)).contains("things[slot]"));
        Ok(())
    }

    /// Stones that fall upon each other and some hinges, with things that were taken away.
    fn heap() -> Result<(World, Vec<BodyId>), PhysicsError> {
        let mut world = World::new((0.0, -10.0))?;
        let ground = world.static_body((0.0, 0.0))?;
        let edge = Shape::Edge(&[(-90.0, 0.0), (90.0, 1.0)]);
        world.fixture(ground, edge, &Material::default())?;
        let heavy = Material { density: 1.0, ..Material::default() };
        let mut stones = Vec::new();
        for i in 0..12_u8 {
            let stone =
                world.dynamic_body((f32::from(i % 4) * 0.7, 2.0 + f32::from(i / 4)), 0.1)?;
            world.fixture(stone, Shape::Polygon(&SQUARE), &heavy)?;
            stones.push(stone);
        }
        for pair in stones[..4].chunks(2) {
            world.hinge(&Hinge {
                body_a: pair[0],
                body_b: pair[1],
                anchor_a: [0.0, 0.0],
                anchor_b: [0.7, 0.0],
                reference_angle: 0.0,
                lower_angle: -1.0,
                upper_angle: 1.0,
                motor_speed: 0.5,
                max_motor_torque: 3.0,
            })?;
        }
        for _ in 0..30 {
            tick(&mut world, &[], &stones)?;
        }
        world.destroy(stones.remove(5))?;
        Ok((world, stones))
    }

    #[test]
    fn a_copy_goes_on_bit_for_bit_as_the_original() -> Result<(), PhysicsError> {
        let (mut world, stones) = heap()?;
        let mut copies = Vec::new();
        let mut seen = Vec::new();
        for step in 0..200 {
            if step % 7 == 0 {
                copies.push((step, world.clone()));
            }
            let push = Push::force(stones[step % stones.len()], (40.0, 9.0));
            seen.push((tick(&mut world, &[push], &stones)?, world.contacts().to_vec()));
        }
        // The original is gone before its copies go on, and one of them is copied again.
        drop(world);
        for (start, mut copy) in copies {
            for step in start..200 {
                if step % 50 == 49 {
                    copy = copy.clone();
                }
                let push = Push::force(stones[step % stones.len()], (40.0, 9.0));
                let now = (tick(&mut copy, &[push], &stones)?, copy.contacts().to_vec());
                assert!(now == seen[step], "copied before step {start}, differs at step {step}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_copy_gives_out_the_same_numbers() -> Result<(), PhysicsError> {
        let (mut world, stones) = heap()?;
        let mut copy = world.clone();
        world.destroy(stones[0])?;
        assert!(copy.state(stones[0]).is_ok(), "it is the other world's");
        copy.destroy(stones[0])?;
        let place = (1.0, 1.0);
        assert_eq!(world.dynamic_body(place, 0.0)?, copy.dynamic_body(place, 0.0)?);
        Ok(())
    }

    /// What the stones of a [`heap`] do while they fall.
    fn fall((world, stones): &mut (World, Vec<BodyId>)) -> Vec<Vec<BodyState>> {
        (0..300).map(|_| tick(world, &[], stones).unwrap()).collect()
    }

    #[test]
    fn worlds_on_several_threads_agree() {
        let run = || fall(&mut heap().unwrap());
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(run)).collect();
        let first = run();
        for thread in threads {
            assert!(thread.join().unwrap() == first);
        }
    }

    #[test]
    fn a_world_goes_on_on_a_thread_that_made_none() -> Result<(), PhysicsError> {
        struct Sent((World, Vec<BodyId>));
        // SAFETY: nobody else has the world, and the solver keeps nothing for a thread.
        unsafe impl Send for Sent {}

        let at_home = fall(&mut heap()?);
        let mut heap = Sent(heap()?);
        let moved = std::thread::spawn(move || {
            let whole = &mut heap; // not its field alone, which could not be sent
            fall(&mut whole.0)
        });
        assert!(moved.join().unwrap() == at_home);
        Ok(())
    }
}

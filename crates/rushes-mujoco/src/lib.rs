//! A safe view of MuJoCo: compiled models and their simulations, as far as the environments need them.
//!
//! `bridge.c` holds the other side, compiled against the layout of MuJoCo 3.17.0's structures (`include/`). Nothing is
//! linked: the library is opened when the first model is compiled, so that whoever needs none does not need it.
//! Arrays are float64 in MuJoCo's units (metres, radians, seconds, newtons) and row-major, one row a body, geom or
//! camera.

use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;

mod library;

pub use library::{LibraryError, VARIABLE, VERSION, open};

/// Why a model cannot be compiled, or a simulation cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MujocoError {
    /// There is no library to compile it with.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// In MuJoCo's own words.
    #[error("{0}")]
    Mujoco(String),
}

/// An array of a simulation or its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Numbers {
    /// Positions of the joints.
    Qpos,
    /// Velocities of the joints.
    Qvel,
    /// Controls of the actuators.
    Ctrl,
    /// Positions of the bodies, 3 each.
    Xpos,
    /// Centres of mass of the bodies, 3 each.
    Xipos,
    /// Positions of the sites, 3 each.
    SiteXpos,
    /// Inertia and mass of the bodies about the centre of mass, 10 each.
    Cinert,
    /// Angular and linear velocity of the bodies about the centre of mass, 6 each.
    Cvel,
    /// External torque and force on the bodies about the centre of mass, 6 each; after
    /// [`Simulation::rne_post_constraint`].
    CfrcExt,
    /// Forces of the actuators on the joints.
    QfrcActuator,
    /// Forces of constraints on the joints.
    QfrcConstraint,
    /// Lengths of the tendons.
    TenLength,
    /// Velocities of the tendons.
    TenVelocity,
    /// Positions of the geoms, 3 each.
    GeomXpos,
    /// Orientations of the geoms, 9 each.
    GeomXmat,
    /// Positions of the cameras, 3 each.
    CamXpos,
    /// Orientations of the cameras, 9 each: they look along minus z.
    CamXmat,
    /// Vertical fields of view of the cameras in degrees.
    CamFovy,
    /// Masses of the bodies.
    BodyMass,
    /// Least and greatest control of each actuator, 2 each.
    CtrlRange,
    /// Orientations of the sites, 9 each.
    SiteXmat,
}

/// What can be looked up by its name, as MuJoCo numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Kind {
    /// A body.
    Body = 1,
    /// A joint.
    Joint = 3,
    /// A camera.
    Camera = 7,
    /// An actuator.
    Actuator = 19,
}

/// How a joint moves, as MuJoCo numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JointKind {
    /// Anywhere: a position and a quaternion; 3 linear and 3 angular velocities.
    Free,
    /// About a point: a quaternion; 3 angular velocities.
    Ball,
    /// Along an axis: metres.
    Slide,
    /// About an axis: radians.
    Hinge,
}

/// A joint and where its numbers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joint {
    /// Its name; empty where the model has none.
    pub name: String,
    /// How it moves.
    pub kind: JointKind,
    /// The first of its numbers in [`Numbers::Qpos`].
    pub qpos: usize,
    /// The first of its numbers in [`Numbers::Qvel`].
    pub qvel: usize,
}

/// The shape of a geom, as MuJoCo numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The plane z = 0, of half-sizes x and y; 0 is infinite.
    Plane,
    /// Of radius `size[0]`.
    Sphere,
    /// A cylinder along z of radius `size[0]` and half-length `size[1]`, with half a sphere at each end.
    Capsule,
    /// Of half-axes `size`.
    Ellipsoid,
    /// Along z, of radius `size[0]` and half-length `size[1]`.
    Cylinder,
    /// Of half-sides `size`.
    Box,
    /// Triangles: [`Model::mesh`] of this number.
    Mesh(usize),
    /// Heights over a grid: [`Model::height_field`] of this number.
    HeightField(usize),
    /// Something else that has no simple form.
    Other,
}

/// A geom as its model describes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geom {
    /// Its shape.
    pub shape: Shape,
    /// The group that makes it visible or not; 0 to 2 are shown by default.
    pub group: i32,
    /// The body that it belongs to; 0 is the world.
    pub body: usize,
    /// What the shape makes of it.
    pub size: [f32; 3],
    /// The radius of the sphere about its centre that holds it; 0 for a plane.
    pub radius: f32,
    /// Red, green, blue and opacity, 0 to 1.
    pub rgba: [f32; 4],
    /// The texture that its colour is multiplied with: [`Model::texture`] of this number.
    pub texture: Option<usize>,
    /// How often the texture is repeated along a metre of x and y.
    pub repeat: [f32; 2],
    /// How much of what is around it a plane mirrors, 0 to 1.
    pub reflectance: f32,
}

/// A tendon as its model describes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tendon {
    /// The group that makes it visible or not; 0 to 2 are shown by default.
    pub group: i32,
    /// Its radius.
    pub width: f32,
    /// Red, green, blue and opacity, 0 to 1.
    pub rgba: [f32; 4],
}

/// Heights over a grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeightField<'a> {
    /// Half its sides along x and y, the height of a 1, and the depth of its base below 0.
    pub size: [f64; 4],
    /// Points along x; there are as many rows along y as `heights` has.
    pub columns: usize,
    /// From 0 to 1, row by row.
    pub heights: &'a [f32],
}

/// A texture's picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Texture<'a> {
    /// Whether it is laid over a plane; others are those of cubes and of the sky.
    pub flat: bool,
    /// Pixels in a row.
    pub columns: usize,
    /// Bytes of a pixel.
    pub channels: usize,
    /// The bytes, row by row.
    pub bytes: &'a [u8],
}

/// [`Geom`] as the bridge writes it.
#[repr(C)]
#[derive(Default)]
struct RawGeom {
    kind: i32,
    group: i32,
    body: i32,
    data: i32,
    size: [f32; 3],
    radius: f32,
    rgba: [f32; 4],
    texture: i32,
    repeat: [f32; 2],
    reflectance: f32,
}

impl From<RawGeom> for Geom {
    fn from(raw: RawGeom) -> Self {
        let RawGeom { group, size, radius, rgba, repeat, reflectance, .. } = raw;
        let data = usize::try_from(raw.data);
        let shape = match raw.kind {
            0 => Shape::Plane,
            1 => data.map_or(Shape::Other, Shape::HeightField),
            2 => Shape::Sphere,
            3 => Shape::Capsule,
            4 => Shape::Ellipsoid,
            5 => Shape::Cylinder,
            6 => Shape::Box,
            7 => data.map_or(Shape::Other, Shape::Mesh),
            _ => Shape::Other,
        };
        let (body, texture) = (raw.body as usize, usize::try_from(raw.texture).ok());
        Self { shape, group, body, size, radius, rgba, texture, repeat, reflectance }
    }
}

/// The free camera before anyone moved it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Vertical field of view in degrees.
    pub fovy: f64,
    /// Degrees about the vertical axis.
    pub azimuth: f64,
    /// Degrees above the horizon; negative ones look down.
    pub elevation: f64,
    /// The size of the model in metres.
    pub extent: f64,
}

/// MuJoCo's `mjModel` and `mjData`.
#[repr(C)]
struct RawModel {
    _opaque: [u8; 0],
}
#[repr(C)]
struct RawData {
    _opaque: [u8; 0],
}

/// A message, or null for success.
type Outcome = *const c_char;

unsafe extern "C" {
    fn mjb_load(
        path: *const c_char,
        text: *const c_char,
        length: c_int,
        model: *mut *mut RawModel,
    ) -> Outcome;
    fn mjb_load_binary(path: *const c_char, model: *mut *mut RawModel) -> Outcome;
    fn mjb_delete_model(model: *mut RawModel);
    fn mjb_make_data(model: *const RawModel, data: *mut *mut RawData) -> Outcome;
    fn mjb_copy_data(to: *mut RawData, model: *const RawModel, from: *const RawData) -> Outcome;
    fn mjb_delete_data(data: *mut RawData);
    fn mjb_reset(model: *const RawModel, data: *mut RawData) -> Outcome;
    fn mjb_forward(model: *const RawModel, data: *mut RawData) -> Outcome;
    fn mjb_step(model: *const RawModel, data: *mut RawData, steps: c_int) -> Outcome;
    fn mjb_rne_post_constraint(model: *const RawModel, data: *mut RawData) -> Outcome;
    fn mjb_id(model: *const RawModel, kind: c_int, name: *const c_char) -> c_int;
    fn mjb_name(model: *const RawModel, kind: c_int, id: c_int) -> *const c_char;
    fn mjb_bodies(model: *const RawModel) -> c_int;
    fn mjb_joints(model: *const RawModel) -> c_int;
    fn mjb_joint(model: *const RawModel, i: c_int, joint: *mut [c_int; 3]);
    fn mjb_actuators(model: *const RawModel) -> c_int;
    fn mjb_actuated_joint(model: *const RawModel, i: c_int) -> c_int;
    fn mjb_size(model: *const RawModel) -> usize;
    fn mjb_save(model: *const RawModel, buffer: *mut u8, size: usize) -> Outcome;
    fn mjb_timestep(model: *const RawModel) -> f64;
    fn mjb_warnings(data: *const RawData) -> c_uint;
    fn mjb_numbers(
        model: *const RawModel,
        data: *const RawData,
        which: c_int,
        length: *mut usize,
    ) -> *mut f64;
    fn mjb_geoms(model: *const RawModel) -> c_int;
    fn mjb_sites(model: *const RawModel) -> c_int;
    fn mjb_tendons(model: *const RawModel) -> c_int;
    fn mjb_site(model: *const RawModel, site: c_int, raw: *mut RawGeom);
    fn mjb_tendon(
        model: *const RawModel,
        tendon: c_int,
        group: *mut i32,
        width: *mut f32,
        rgba: *mut f32,
    );
    fn mjb_path(
        data: *const RawData,
        tendon: c_int,
        points: *mut *const f64,
        objects: *mut *const c_int,
        length: *mut usize,
    );
    fn mjb_hfield(
        model: *const RawModel,
        field: c_int,
        size: *mut f64,
        rows: *mut c_int,
        columns: *mut c_int,
        data: *mut *const f32,
    );
    fn mjb_texture(model: *const RawModel, texture: c_int, raw: *mut c_int) -> *const u8;
    fn mjb_geom(model: *const RawModel, i: c_int, geom: *mut RawGeom);
    fn mjb_mesh(
        model: *const RawModel,
        i: c_int,
        vertices: *mut *const f32,
        corners: *mut usize,
        faces: *mut *const c_int,
        indices: *mut usize,
    );
    fn mjb_view(model: *const RawModel, view: *mut [f64; 4]);
}

fn check(outcome: Outcome) -> Result<(), MujocoError> {
    if outcome.is_null() {
        return Ok(());
    }
    // Sound: a message of the bridge lives until this thread's next call.
    let message = unsafe { CStr::from_ptr(outcome) };
    Err(MujocoError::Mujoco(message.to_string_lossy().into_owned()))
}

fn text(bytes: &[u8]) -> Result<CString, MujocoError> {
    CString::new(bytes).map_err(|_| MujocoError::Mujoco("a name holds a zero byte".into()))
}

/// A compiled model. Simulations share it and never change it.
pub struct Model(NonNull<RawModel>);

// Sound: nothing changes a model once it is compiled.
unsafe impl Send for Model {}
unsafe impl Sync for Model {}

impl Model {
    /// Compiles the model in `xml`; `name` is what MuJoCo calls it in messages.
    ///
    /// # Errors
    /// Fails if there is no library, and with MuJoCo's message if the model is broken.
    pub fn from_xml(name: &str, xml: &str) -> Result<Self, MujocoError> {
        Self::load(name.as_bytes(), Some(xml))
    }

    /// Compiles the model in a file, with the meshes and textures that it names.
    ///
    /// # Errors
    /// Fails if there is no library, and with MuJoCo's message if the file cannot be read or the model is broken.
    pub fn from_file(path: &Path) -> Result<Self, MujocoError> {
        Self::load(path.as_os_str().as_encoded_bytes(), None)
    }

    /// Reads a file that holds what [`Model::to_bytes`] gives.
    ///
    /// # Errors
    /// Fails if there is no library, and if the file cannot be read or is of another MuJoCo.
    pub fn from_binary(path: &Path) -> Result<Self, MujocoError> {
        open()?;
        let path = text(path.as_os_str().as_encoded_bytes())?;
        let mut raw = ptr::null_mut();
        // Sound: the path ends with a zero byte, and the bridge writes one pointer.
        check(unsafe { mjb_load_binary(path.as_ptr(), &raw mut raw) })?;
        NonNull::new(raw).map(Self).ok_or_else(|| MujocoError::Mujoco("no model".into()))
    }

    fn load(path: &[u8], xml: Option<&str>) -> Result<Self, MujocoError> {
        open()?;
        let path = text(path)?;
        let mut raw = ptr::null_mut();
        let (start, length) = xml.map_or((ptr::null(), 0), |xml| (xml.as_ptr().cast(), xml.len()));
        // Sound: the text has that length, and the bridge writes one pointer.
        check(unsafe { mjb_load(path.as_ptr(), start, length as c_int, &raw mut raw) })?;
        NonNull::new(raw).map(Self).ok_or_else(|| MujocoError::Mujoco("no model".into()))
    }

    /// The number of what has this name.
    pub fn id(&self, kind: Kind, name: &str) -> Option<usize> {
        let name = text(name.as_bytes()).ok()?;
        // Sound: the model lives, the name ends with a zero byte.
        usize::try_from(unsafe { mjb_id(self.0.as_ptr(), kind as c_int, name.as_ptr()) }).ok()
    }

    /// The name of one of a kind; empty where the model has none.
    pub fn name(&self, kind: Kind, id: usize) -> String {
        // Sound: the model lives; MuJoCo gives null for what there is not, and text that lives as long as the model.
        let name = unsafe { mjb_name(self.0.as_ptr(), kind as c_int, id as c_int) };
        if name.is_null() {
            return String::new();
        }
        unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
    }

    /// How many bodies there are.
    pub fn bodies(&self) -> usize {
        // Sound: the model lives.
        unsafe { mjb_bodies(self.0.as_ptr()) as usize }
    }

    /// The joints, in MuJoCo's order.
    pub fn joints(&self) -> Vec<Joint> {
        // Sound: the model lives.
        let count = unsafe { mjb_joints(self.0.as_ptr()) };
        let joint = |i: c_int| {
            let mut raw = [0; 3];
            // Sound: there are that many, and the bridge writes three numbers.
            unsafe { mjb_joint(self.0.as_ptr(), i, &raw mut raw) };
            let kinds = [JointKind::Free, JointKind::Ball, JointKind::Slide, JointKind::Hinge];
            Joint {
                name: self.name(Kind::Joint, i as usize),
                kind: kinds[raw[0] as usize],
                qpos: raw[1] as usize,
                qvel: raw[2] as usize,
            }
        };
        (0..count).map(joint).collect()
    }

    /// The names of the actuators, and the numbers of the joints that they move where they move one.
    pub fn actuators(&self) -> Vec<(String, Option<usize>)> {
        // Sound: the model lives, and there are that many.
        let count = unsafe { mjb_actuators(self.0.as_ptr()) };
        let joint = |i| usize::try_from(unsafe { mjb_actuated_joint(self.0.as_ptr(), i) }).ok();
        (0..count).map(|i| (self.name(Kind::Actuator, i as usize), joint(i))).collect()
    }

    /// MuJoCo's binary form: everything that the model is, meshes and textures included. Equal models have equal bytes.
    ///
    /// # Errors
    /// Fails with MuJoCo's message.
    pub fn to_bytes(&self) -> Result<Vec<u8>, MujocoError> {
        // Sound: the model lives, and the buffer has the size that it says.
        unsafe {
            let mut bytes = vec![0; mjb_size(self.0.as_ptr())];
            check(mjb_save(self.0.as_ptr(), bytes.as_mut_ptr(), bytes.len()))?;
            Ok(bytes)
        }
    }

    /// Seconds of one step.
    pub fn timestep(&self) -> f64 {
        // Sound: the model lives.
        unsafe { mjb_timestep(self.0.as_ptr()) }
    }

    /// Its geoms, in the order of [`Numbers::GeomXpos`].
    pub fn geoms(&self) -> Vec<Geom> {
        self.solids(mjb_geoms, mjb_geom)
    }

    /// Its sites, in the order of [`Numbers::SiteXpos`].
    pub fn sites(&self) -> Vec<Geom> {
        self.solids(mjb_sites, mjb_site)
    }

    /// What the bridge counts with `count` and writes, one by its number, with `read`.
    fn solids(
        &self,
        count: unsafe extern "C" fn(*const RawModel) -> c_int,
        read: unsafe extern "C" fn(*const RawModel, c_int, *mut RawGeom),
    ) -> Vec<Geom> {
        // Sound: the model lives.
        let count = unsafe { count(self.0.as_ptr()) };
        let solid = |i| {
            let mut raw = RawGeom::default();
            // Sound: there is one of that number, and the bridge writes a whole one.
            unsafe { read(self.0.as_ptr(), i, &raw mut raw) };
            raw.into()
        };
        (0..count).map(solid).collect()
    }

    /// Its tendons, in the order of [`Numbers::TenLength`].
    pub fn tendons(&self) -> Vec<Tendon> {
        // Sound: the model lives.
        let count = unsafe { mjb_tendons(self.0.as_ptr()) };
        let tendon = |i| {
            let mut tendon = Tendon { group: 0, width: 0.0, rgba: [0.0; 4] };
            let Tendon { group, width, rgba } = &mut tendon;
            // Sound: there is a tendon of that number, and the bridge writes these numbers.
            unsafe { mjb_tendon(self.0.as_ptr(), i, group, width, rgba.as_mut_ptr()) };
            tendon
        };
        (0..count).map(tendon).collect()
    }

    /// The heights that a geom's [`Shape::HeightField`] names.
    pub fn height_field(&self, number: usize) -> HeightField<'_> {
        let (mut size, mut rows, mut columns, mut data) = ([0.0; 4], 0, 0, ptr::null());
        // Sound: a geom names the field, and its data live as long as the model.
        unsafe {
            let (to_rows, to_columns) = (&raw mut rows, &raw mut columns);
            let number = number as c_int;
            let size = size.as_mut_ptr();
            mjb_hfield(self.0.as_ptr(), number, size, to_rows, to_columns, &raw mut data);
            let columns = columns as usize;
            HeightField {
                size: *size.cast(),
                columns,
                heights: slice(data, rows as usize * columns),
            }
        }
    }

    /// The texture that a geom names.
    pub fn texture(&self, number: usize) -> Texture<'_> {
        let mut raw: [c_int; 4] = [0; 4];
        // Sound: a geom names the texture, the bridge writes four numbers, and the bytes live as long as the model.
        unsafe {
            let bytes = mjb_texture(self.0.as_ptr(), number as c_int, raw.as_mut_ptr());
            let [kind, rows, columns, channels] = raw.map(|number| number as usize);
            Texture {
                flat: kind == 0,
                columns,
                channels,
                bytes: slice(bytes, rows * columns * channels),
            }
        }
    }

    /// The triangles of a mesh that a geom's [`Shape::Mesh`] names: the coordinates of all vertices, and the numbers of
    /// each triangle's.
    pub fn mesh(&self, mesh: usize) -> (&[[f32; 3]], &[[c_int; 3]]) {
        let (mut vertices, mut corners) = (ptr::null(), 0);
        let (mut faces, mut indices) = (ptr::null(), 0);
        // Sound: a geom names the mesh, and its arrays live as long as the model.
        unsafe {
            let (to_corners, to_indices) = (&raw mut corners, &raw mut indices);
            mjb_mesh(
                self.0.as_ptr(),
                mesh as c_int,
                &raw mut vertices,
                to_corners,
                &raw mut faces,
                to_indices,
            );
            (slice(vertices, corners).as_chunks::<3>().0, slice(faces, indices).as_chunks::<3>().0)
        }
    }

    /// The free camera.
    pub fn view(&self) -> View {
        let mut view = [0.0; 4];
        // Sound: the model lives, the bridge writes four numbers.
        unsafe { mjb_view(self.0.as_ptr(), &raw mut view) };
        let [fovy, azimuth, elevation, extent] = view;
        View { fovy, azimuth, elevation, extent }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // Sound: nothing else has it.
        unsafe { mjb_delete_model(self.0.as_ptr()) };
    }
}

/// `length` numbers from `start`, which may be null where there are none.
///
/// # Safety
/// They live as long as the slice.
unsafe fn slice<'a, T>(start: *const T, length: usize) -> &'a [T] {
    if start.is_null() || length == 0 {
        return &[];
    }
    // Sound: the caller says so.
    unsafe { std::slice::from_raw_parts(start, length) }
}

/// A simulation of a model.
pub struct Simulation {
    model: Arc<Model>,
    data: NonNull<RawData>,
}

// Sound: its data is its own, and the library keeps nothing of it in a thread.
unsafe impl Send for Simulation {}

impl Simulation {
    /// A simulation in the model's own position, whose derived quantities are computed.
    ///
    /// # Errors
    /// Fails with MuJoCo's message if the memory does not suffice.
    pub fn new(model: Arc<Model>) -> Result<Self, MujocoError> {
        let mut simulation = Self::empty(model)?;
        simulation.forward()?;
        Ok(simulation)
    }

    fn empty(model: Arc<Model>) -> Result<Self, MujocoError> {
        let mut raw = ptr::null_mut();
        // Sound: the model lives, the bridge writes one pointer.
        check(unsafe { mjb_make_data(model.0.as_ptr(), &raw mut raw) })?;
        let data = NonNull::new(raw).ok_or_else(|| MujocoError::Mujoco("no data".into()))?;
        Ok(Self { model, data })
    }

    /// The straight parts that a tendon's path consists of now: where each begins and ends.
    pub fn tendon_path(&self, tendon: usize) -> impl Iterator<Item = [[f64; 3]; 2]> + '_ {
        const PULLEY: c_int = -2;
        let (mut points, mut objects, mut length) = (ptr::null(), ptr::null(), 0);
        // Sound: the caller knows the tendon from the model, and the path lives until the simulation changes.
        let (points, objects) = unsafe {
            let (to_points, to_objects) = (&raw mut points, &raw mut objects);
            let tendon = tendon as c_int;
            mjb_path(self.data.as_ptr(), tendon, to_points, to_objects, &raw mut length);
            (slice(points, 3 * length).as_chunks::<3>().0, slice(objects, length))
        };
        let parts = points.windows(2).zip(objects.windows(2));
        parts.filter(|(_, on)| !on.contains(&PULLEY)).map(|(ends, _)| [ends[0], ends[1]])
    }

    /// A copy that goes on as this one does, bit for bit.
    ///
    /// # Errors
    /// Fails with MuJoCo's message if the memory does not suffice.
    pub fn try_clone(&self) -> Result<Self, MujocoError> {
        let copy = Self::empty(Arc::clone(&self.model))?;
        // Sound: both were made for this model.
        check(unsafe {
            mjb_copy_data(copy.data.as_ptr(), self.model.0.as_ptr(), self.data.as_ptr())
        })?;
        Ok(copy)
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// An array of the simulation or its model.
    pub fn numbers(&self, which: Numbers) -> &[f64] {
        let mut length = 0;
        // Sound: the array has that length and lives as long as the simulation.
        unsafe {
            let start = mjb_numbers(
                self.model.0.as_ptr(),
                self.data.as_ptr(),
                which as c_int,
                &raw mut length,
            );
            slice(start, length)
        }
    }

    fn numbers_mut(&mut self, which: Numbers) -> &mut [f64] {
        let numbers = self.numbers(which);
        let (start, length) = (numbers.as_ptr().cast_mut(), numbers.len());
        // Sound: MuJoCo's own memory, which nobody else looks at meanwhile.
        unsafe { std::slice::from_raw_parts_mut(start, length) }
    }

    /// Goes back to the model's own position at time 0, and forgets warnings.
    ///
    /// # Errors
    /// Fails with MuJoCo's message if its memory was damaged.
    pub fn reset(&mut self) -> Result<(), MujocoError> {
        // Sound: the data was made for this model.
        check(unsafe { mjb_reset(self.model.0.as_ptr(), self.data.as_ptr()) })
    }

    /// Sets positions and velocities of the joints and computes what follows from them.
    ///
    /// # Errors
    /// Fails with MuJoCo's message.
    ///
    /// # Panics
    /// Panics if there is not one position and one velocity a joint.
    pub fn set_state(&mut self, qpos: &[f64], qvel: &[f64]) -> Result<(), MujocoError> {
        self.numbers_mut(Numbers::Qpos).copy_from_slice(qpos);
        self.numbers_mut(Numbers::Qvel).copy_from_slice(qvel);
        self.forward()
    }

    fn forward(&mut self) -> Result<(), MujocoError> {
        // Sound: the data was made for this model.
        check(unsafe { mjb_forward(self.model.0.as_ptr(), self.data.as_ptr()) })
    }

    /// Sets the controls and advances by `steps` steps.
    ///
    /// # Errors
    /// Fails with MuJoCo's message.
    ///
    /// # Panics
    /// Panics if there is not one control an actuator.
    pub fn step(&mut self, controls: &[f32], steps: u32) -> Result<(), MujocoError> {
        let ctrl = self.numbers_mut(Numbers::Ctrl);
        assert_eq!(ctrl.len(), controls.len(), "expected one control an actuator");
        for (to, &control) in ctrl.iter_mut().zip(controls) {
            *to = control.into();
        }
        // Sound: the data was made for this model.
        check(unsafe { mjb_step(self.model.0.as_ptr(), self.data.as_ptr(), steps as c_int) })
    }

    /// Computes [`Numbers::CfrcExt`], which steps leave out.
    ///
    /// # Errors
    /// Fails with MuJoCo's message.
    pub fn rne_post_constraint(&mut self) -> Result<(), MujocoError> {
        // Sound: the data was made for this model.
        check(unsafe { mjb_rne_post_constraint(self.model.0.as_ptr(), self.data.as_ptr()) })
    }

    /// The warnings raised since the last reset, by MuJoCo's names without `mjWARN_`.
    pub fn warnings(&self) -> impl Iterator<Item = &'static str> {
        const NAMES: [&str; 7] =
            ["INERTIA", "CONTACTFULL", "CNSTRFULL", "BADQPOS", "BADQVEL", "BADQACC", "BADCTRL"];
        // Sound: the data lives.
        let raised = unsafe { mjb_warnings(self.data.as_ptr()) };
        NAMES
            .into_iter()
            .enumerate()
            .filter(move |(i, _)| raised >> i & 1 == 1)
            .map(|(_, name)| name)
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        // Sound: nothing else has it.
        unsafe { mjb_delete_data(self.data.as_ptr()) };
    }
}

//! The picture of a simulation: a ray through every pixel, and four where surfaces meet.
//!
//! The picture is divided into tiles, and a ray is held against the solids and shadows only whose outlines reach its
//! tile. One light far away throws shadows on the ground; the ground's pattern is averaged over each pixel, so that it
//! does not flicker in the distance. A texture is drawn as the checker that it is, any other as its mean colour. Nothing depends on the machine's graphics.

use std::collections::BTreeMap;
use std::sync::Arc;

use glam::{Mat3A, Vec3A};
use rushes_mujoco::{Geom, HeightField, Kind, Model, Numbers, Shape, Simulation, Tendon, Texture};

use super::mesh::Mesh;
use super::options::Setup;
use super::ray::Ray;
use super::solid::Solid;
use crate::draw::Canvas;
use crate::problem::Problem;

/// The camera's name that Gymnasium films with where a model has it.
const DEFAULT_CAMERA: &str = "track";
/// Geoms of these groups are shown.
const SHOWN_GROUPS: i32 = 3;
/// Side of a tile in pixels.
const TILE: usize = 16;
/// The sides that a picture may have, in pixels.
const SIDES: std::ops::RangeInclusive<u32> = 16..=4096;
/// The direction that light comes from.
const LIGHT: Vec3A = Vec3A::new(0.2296, -0.3214, 0.9187);
/// What is left of the ground's brightness in a shadow.
const SHADOW: f32 = 0.62;
/// Brightness of the ground's two kinds of squares.
const SQUARES: [f32; 2] = [0.62, 0.50];
/// Red, green and blue of a ground that has no texture, at full brightness.
const GROUND: Vec3A = Vec3A::new(0.93, 0.98, 1.05);
/// The share of a texture's colour that light brings back, and the colour that a full mirror adds to it.
const LIT: f32 = 0.78;
const MIRRORED: Vec3A = Vec3A::new(0.42, 0.52, 0.66);
/// How fast the ground fades into the sky, a metre.
const FOG: f32 = 0.05;

/// Where a picture is taken from.
enum Camera {
    /// One of the model's, by its number.
    Own(usize),
    /// One that stands still.
    Free(View),
}

/// A position, and a frame whose axes are right, up and back.
#[derive(Clone, Copy)]
struct View {
    position: Vec3A,
    axes: Mat3A,
    fovy: f32,
}

/// A geom or a site, with what is made of it once.
struct Part {
    geom: Geom,
    /// The triangles that it consists of, where it does.
    mesh: Option<Arc<Mesh>>,
    /// Its colour; of a textured plane that of its pattern's middle.
    color: Vec3A,
    /// What the one kind of squares of a textured plane has more than the middle, and the other less.
    contrast: Vec3A,
}

/// How an environment's picture is taken.
pub(super) struct Picture {
    geoms: Vec<Part>,
    sites: Vec<Part>,
    tendons: Vec<Tendon>,
    camera: Camera,
    size: (u32, u32),
}

impl Picture {
    /// Chooses the camera as Gymnasium does: the one asked for, `track`, or the free one.
    pub(super) fn new(simulation: &Simulation, setup: &Setup) -> Result<Self, Problem> {
        let (width, height) = setup.frame_size;
        for (name, side) in [("width", width), ("height", height)] {
            if !SIDES.contains(&side) {
                let message =
                    format!("expected {} to {} pixels, got {side}", SIDES.start(), SIDES.end());
                return Err(Problem::new(&[name], message));
            }
        }
        let model = simulation.model();
        let cameras = simulation.numbers(Numbers::CamFovy).len();
        let named = |name: &str| model.id(Kind::Camera, name);
        let number = match (setup.camera_id, &setup.camera_name) {
            (Some(_), Some(_)) => {
                let message = "expected `camera_id` or `camera_name`, found both";
                return Err(Problem::new(&["camera_name"], message));
            }
            (Some(id), None) if id >= -1 && id < cameras as i32 => usize::try_from(id).ok(),
            (Some(id), None) => {
                let message = format!(
                    "expected -1 for the free camera or a number below {cameras}, got {id}"
                );
                return Err(Problem::new(&["camera_id"], message));
            }
            (None, Some(name)) => Some(named(name).ok_or_else(|| {
                Problem::new(&["camera_name"], format!("the model has no camera called `{name}`"))
            })?),
            (None, None) => named(DEFAULT_CAMERA),
        };
        let camera =
            number.map_or_else(|| Camera::Free(free_camera(simulation, setup)), Camera::Own);
        let mut meshes = BTreeMap::new();
        let mut part = |geom: Geom| {
            let mesh = match geom.shape {
                Shape::Mesh(number) => Some(meshes.entry((false, number)).or_insert_with(|| {
                    let (vertices, faces) = model.mesh(number);
                    Arc::new(Mesh::new(vertices, faces))
                })),
                Shape::HeightField(number) => Some(
                    (meshes.entry((true, number)))
                        .or_insert_with(|| Arc::new(terrain(&model.height_field(number)))),
                ),
                _ => None,
            };
            Part::new(geom, mesh.cloned(), model)
        };
        let geoms = model.geoms().into_iter().map(&mut part).collect();
        let sites = model.sites().into_iter().map(&mut part).collect();
        Ok(Self { geoms, sites, tendons: model.tendons(), camera, size: setup.frame_size })
    }

    /// Width and height in pixels.
    pub(super) fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Draws the present state.
    pub(super) fn draw(&self, simulation: &Simulation, canvas: &mut Canvas) {
        let view = match self.camera {
            Camera::Free(view) => view,
            Camera::Own(number) => View {
                position: point(simulation.numbers(Numbers::CamXpos), number),
                axes: axes(simulation.numbers(Numbers::CamXmat), number),
                fovy: simulation.numbers(Numbers::CamFovy)[number] as f32,
            },
        };
        let scene = Scene::new(self, simulation, view.position);
        let lens = Lens::new(view, self.size, canvas);
        scene.render(&lens, canvas);
    }
}

impl Part {
    fn new(geom: Geom, mesh: Option<Arc<Mesh>>, model: &Model) -> Self {
        let [red, green, blue, _] = geom.rgba;
        let own = Vec3A::new(red, green, blue);
        let Some(texture) = geom.texture.map(|number| model.texture(number)) else {
            return Self { geom, mesh, color: own, contrast: Vec3A::ZERO };
        };
        let (color, contrast) = checker(&texture);
        if geom.shape != Shape::Plane {
            return Self { geom, mesh, color: own * color, contrast: Vec3A::ZERO };
        }
        let mirrored = MIRRORED * geom.reflectance.clamp(0.0, 1.0);
        let light = LIT * (1.0 - 0.5 * geom.reflectance.clamp(0.0, 1.0));
        Self { geom, mesh, color: own * color * light + mirrored, contrast: own * contrast * light }
    }
}

/// A texture as a checker: the mean of its colours, and what the quarters at its first corner and across from it have more
/// than that. Of another pattern that is little, and the mean stands for it.
fn checker(texture: &Texture<'_>) -> (Vec3A, Vec3A) {
    let Texture { columns, channels, bytes, .. } = *texture;
    let pixels: Vec<&[u8]> = bytes.chunks_exact(channels.max(1)).collect();
    let rows = pixels.len() / columns.max(1);
    let (mut alike, mut other) = ((Vec3A::ZERO, 0.0_f32), (Vec3A::ZERO, 0.0_f32));
    for (index, pixel) in pixels.iter().enumerate() {
        let (row, column) = (index / columns, index % columns);
        let channel = |channel: usize| f32::from(*pixel.get(channel).unwrap_or(&pixel[0])) / 255.0;
        let same = (2 * row < rows) == (2 * column < columns);
        let (sum, count) = if same { &mut alike } else { &mut other };
        *sum += Vec3A::new(channel(0), channel(1), channel(2));
        *count += 1.0;
    }
    let [alike, other] = [alike, other].map(|(sum, count)| sum / count.max(1.0));
    (0.5 * (alike + other), 0.5 * (alike - other))
}

/// A height field as triangles: two between four points, and walls down to its base.
fn terrain(field: &HeightField<'_>) -> Mesh {
    let HeightField { size, columns, heights } = *field;
    let rows = heights.len() / columns;
    let [half_x, half_y, top, base] = size.map(|number| number as f32);
    let along =
        |half: f32, index: usize, of: usize| half * (2.0 * index as f32 / (of - 1) as f32 - 1.0);
    let place = |index: usize, z: f32| {
        [along(half_x, index % columns, columns), along(half_y, index / columns, rows), z]
    };
    let points = heights.iter().enumerate();
    let mut vertices: Vec<[f32; 3]> =
        points.map(|(index, height)| place(index, height * top)).collect();
    vertices.extend((0..heights.len()).map(|index| place(index, -base)));
    let mut faces = Vec::new();
    let mut square = |corners: [usize; 4]| {
        let [a, b, c, d] = corners.map(|corner| corner as i32);
        faces.extend([[a, b, c], [a, c, d]]);
    };
    let (at, below) = (|row: usize, column: usize| row * columns + column, heights.len());
    for row in 1..rows {
        for column in 1..columns {
            let (before, left) = (row - 1, column - 1);
            square([at(before, left), at(before, column), at(row, column), at(row, left)]);
        }
        for column in [0, columns - 1] {
            let (from, to) = (at(row - 1, column), at(row, column));
            square([from, to, to + below, from + below]);
        }
    }
    for column in 1..columns {
        for row in [0, rows - 1] {
            let (from, to) = (at(row, column - 1), at(row, column));
            square([from, to, to + below, from + below]);
        }
    }
    Mesh::new(&vertices, &faces)
}

/// The free camera: as configured, else about the middle of the geoms, as far away as the model is large.
fn free_camera(simulation: &Simulation, setup: &Setup) -> View {
    let (own, given) = (simulation.model().view(), &setup.camera);
    let lookat = given.lookat.map_or_else(
        || Vec3A::from(std::array::from_fn(|axis| median(simulation, axis))),
        |lookat| Vec3A::from(lookat.map(|x| x as f32)),
    );
    let azimuth = given.azimuth.unwrap_or(own.azimuth).to_radians() as f32;
    let elevation = given.elevation.unwrap_or(own.elevation).to_radians() as f32;
    let (sin_azimuth, cos_azimuth) = azimuth.sin_cos();
    let (sin_elevation, cos_elevation) = elevation.sin_cos();
    let forward =
        Vec3A::new(cos_elevation * cos_azimuth, cos_elevation * sin_azimuth, sin_elevation);
    let right = Vec3A::new(sin_azimuth, -cos_azimuth, 0.0);
    View {
        position: lookat - forward * given.distance.unwrap_or(own.extent) as f32,
        axes: Mat3A::from_cols(right, right.cross(forward), -forward),
        fovy: own.fovy as f32,
    }
}

/// The median of a coordinate over all geoms.
fn median(simulation: &Simulation, axis: usize) -> f32 {
    let positions = simulation.numbers(Numbers::GeomXpos);
    let mut values: Vec<f64> = positions.iter().skip(axis).step_by(3).copied().collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() % 2 {
        _ if values.is_empty() => 0.0,
        0 => ((values[half - 1] + values[half]) / 2.0) as f32,
        _ => values[half] as f32,
    }
}

/// Vector number `i` of an array of them.
fn point(numbers: &[f64], i: usize) -> Vec3A {
    Vec3A::from(std::array::from_fn(|axis| numbers[3 * i + axis] as f32))
}

/// Matrix number `i` of an array of row-major ones.
fn axes(numbers: &[f64], i: usize) -> Mat3A {
    let entries: [f32; 9] = std::array::from_fn(|entry| numbers[9 * i + entry] as f32);
    Mat3A::from_cols_array(&entries).transpose()
}

/// The rays of a canvas' pixels.
struct Lens {
    view: View,
    /// The ray's direction at the canvas' origin, and what a pixel to the right and down adds.
    corner: Vec3A,
    right: Vec3A,
    down: Vec3A,
    /// How many native pixels a pixel is wide.
    scale: f32,
    /// How many metres a pixel is wide at a distance of one.
    pixel: f32,
}

impl Lens {
    fn new(view: View, (width, height): (u32, u32), canvas: &Canvas) -> Self {
        let pixel = 2.0 * (view.fovy / 2.0).to_radians().tan() / height as f32;
        let direction = |x: f32, y: f32| {
            let (x, y, _) = canvas.to_native(x, y);
            let (x, y) = (x - width as f32 / 2.0, height as f32 / 2.0 - y);
            view.axes * Vec3A::new(x * pixel, y * pixel, -1.0)
        };
        let corner = direction(0.0, 0.0);
        let right = direction(1.0, 0.0) - corner;
        Self {
            view,
            corner,
            right,
            pixel: right.length(),
            down: direction(0.0, 1.0) - corner,
            scale: canvas.to_native(0.0, 0.0).2,
        }
    }

    fn ray(&self, x: f32, y: f32) -> Ray {
        let direction = self.corner + self.right * x + self.down * y;
        Ray { origin: self.view.position, direction }
    }

    /// The rectangle of pixels that holds everything within `reach` of a segment; all of them where part of it is
    /// behind the camera.
    fn outline(&self, ends: [Vec3A; 2], reach: f32) -> Rectangle {
        let (to_right, to_down) =
            (1.0 / self.right.length_squared(), 1.0 / self.down.length_squared());
        let forward = -self.view.axes.z_axis;
        let mut rectangle = Rectangle::EMPTY;
        for end in ends {
            let from = end - self.view.position;
            let depth = from.dot(forward);
            if depth <= 1.05 * reach + 1e-3 {
                return Rectangle::ALL;
            }
            let on_plane = from / depth - self.corner;
            let (x, y) = (on_plane.dot(self.right) * to_right, on_plane.dot(self.down) * to_down);
            // A sphere's outline is an ellipse that stretches away from the middle of the picture.
            let slant = (from.length_squared() / (depth * depth)).sqrt();
            let margin = reach * slant / (depth - reach);
            let (wide, high) = (margin * to_right.sqrt() + 1.0, margin * to_down.sqrt() + 1.0);
            rectangle.include([x - wide, y - high, x + wide, y + high]);
        }
        rectangle
    }
}

/// Left, top, right and bottom in pixels.
#[derive(Clone, Copy)]
struct Rectangle([f32; 4]);

impl Rectangle {
    const EMPTY: Self = Self([f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY]);
    const ALL: Self = Self([f32::NEG_INFINITY, f32::NEG_INFINITY, f32::INFINITY, f32::INFINITY]);

    fn include(&mut self, [left, top, right, bottom]: [f32; 4]) {
        let Self([l, t, r, b]) = *self;
        *self = Self([l.min(left), t.min(top), r.max(right), b.max(bottom)]);
    }

    fn meets(&self, [left, top, right, bottom]: [f32; 4]) -> bool {
        let Self([l, t, r, b]) = *self;
        l <= right && left <= r && t <= bottom && top <= b
    }
}

/// A solid with its colour.
struct Body {
    solid: Solid,
    color: Vec3A,
    opacity: f32,
}

/// A plane with its pattern, in its own frame.
struct Ground {
    /// The camera's place in the frame.
    eye: Vec3A,
    /// From the world into the frame.
    inverse: Mat3A,
    origin: Vec3A,
    axes: Mat3A,
    /// Half its sides; infinite where it has no end.
    half: [f32; 2],
    /// Squares a metre, along both sides.
    squares: [f32; 2],
    /// Red, green and blue between the two kinds of squares, and what the one has more and the other less.
    color: Vec3A,
    contrast: Vec3A,
}

/// What is drawn.
struct Scene {
    bodies: Vec<Body>,
    grounds: Vec<Ground>,
}

/// The number of what a ray met first, to tell where surfaces meet: the sky, then each ground in light and in shadow,
/// then the bodies.
type Met = u32;
const SKY: Met = 0;

/// The numbers of the bodies that a tile's rays may meet, and of those whose shadows they may.
struct Near {
    bodies: Vec<usize>,
    shadows: Vec<usize>,
}

impl Scene {
    fn new(picture: &Picture, simulation: &Simulation, eye: Vec3A) -> Self {
        let mut scene = Self { bodies: Vec::new(), grounds: Vec::new() };
        for (parts, positions, orientations) in [
            (&picture.geoms, Numbers::GeomXpos, Numbers::GeomXmat),
            (&picture.sites, Numbers::SiteXpos, Numbers::SiteXmat),
        ] {
            let (positions, orientations) =
                (simulation.numbers(positions), simulation.numbers(orientations));
            for (i, part) in parts.iter().enumerate() {
                let Part { geom, mesh, color, .. } = part;
                let opacity = geom.rgba[3];
                if geom.group >= SHOWN_GROUPS || opacity <= 0.0 {
                    continue;
                }
                let (center, axes) = (point(positions, i), axes(orientations, i));
                match geom.shape {
                    Shape::Plane => scene.grounds.push(Ground::new(part, center, axes, eye)),
                    Shape::Other => {}
                    shape => {
                        let size = Vec3A::from(geom.size);
                        let solid = Solid::new(shape, size, geom.radius, center, axes);
                        let solid = solid.with_mesh(mesh.clone());
                        scene.bodies.push(Body { solid, color: *color, opacity });
                    }
                }
            }
        }
        for (number, Tendon { group, width, rgba }) in picture.tendons.iter().enumerate() {
            let [red, green, blue, opacity] = *rgba;
            if *group >= SHOWN_GROUPS || opacity <= 0.0 {
                continue;
            }
            let color = Vec3A::new(red, green, blue);
            let parts = simulation.tendon_path(number);
            scene.bodies.extend(parts.filter_map(|ends| {
                let ends = ends.map(|end| Vec3A::from(end.map(|x| x as f32)));
                Some(Body { solid: Solid::between(ends, *width)?, color, opacity })
            }));
        }
        scene
    }

    fn render(&self, lens: &Lens, canvas: &mut Canvas) {
        let (width, height) = (canvas.width() as usize, canvas.height() as usize);
        let outlines: Vec<_> = self
            .bodies
            .iter()
            .map(|body| {
                let (ends, reach) = body.solid.spine();
                lens.outline(ends, reach)
            })
            .collect();
        let shadows: Vec<_> =
            self.bodies.iter().map(|body| self.shadow(&body.solid, lens)).collect();
        let mut met = vec![SKY; width * height];
        let pixels = canvas.rgba_mut().as_chunks_mut::<4>().0;
        let tiles_across = width.div_ceil(TILE);
        let mut tiles = Vec::with_capacity(tiles_across * height.div_ceil(TILE));
        for top in (0..height).step_by(TILE) {
            for left in (0..width).step_by(TILE) {
                let (right, bottom) = ((left + TILE).min(width), (top + TILE).min(height));
                let tile = [left, top, right, bottom].map(|side| side as f32);
                let reach = |all: &[Rectangle]| -> Vec<usize> {
                    (0..all.len()).filter(|&i| all[i].meets(tile)).collect()
                };
                let near = Near { bodies: reach(&outlines), shadows: reach(&shadows) };
                for y in top..bottom {
                    let centers = std::array::from_fn(|i| (left + i) as f32 + 0.5);
                    let seen = self.trace::<TILE>(lens, centers, [y as f32 + 0.5; TILE], &near);
                    let row = y * width + left..y * width + right;
                    met[row.clone()].copy_from_slice(&seen.met[..right - left]);
                    seen.write(&mut pixels[row]);
                }
                tiles.push(near);
            }
        }
        let samples = Samples::of(lens.scale);
        for y in 0..height {
            let row = |y: usize| &met[y * width..(y + 1) * width];
            let (above, here, below) = (row(y.max(1) - 1), row(y), row((y + 1).min(height - 1)));
            for left in (0..width).step_by(TILE) {
                let right = (left + TILE).min(width);
                let around = &here[left.max(1) - 1..(right + 1).min(width)];
                let sides = [around, &above[left..right], &below[left..right]];
                let differs =
                    |part: &[Met]| part.iter().fold(0, |all, met| all | (met ^ here[left]));
                if sides.into_iter().fold(0, |all, part| all | differs(part)) == 0
                    && !samples.everywhere
                {
                    continue;
                }
                let near = &tiles[y / TILE * tiles_across + left / TILE];
                for x in left..right {
                    let (before, after) = (here[x.max(1) - 1], here[(x + 1).min(width - 1)]);
                    let edge =
                        [before, after, above[x], below[x]].iter().any(|&met| met != here[x]);
                    if edge || samples.everywhere {
                        pixels[y * width + x] = samples.mean(self, lens, (x, y), near);
                    }
                }
            }
        }
    }

    /// The rectangle that holds a solid's shadows.
    fn shadow(&self, solid: &Solid, lens: &Lens) -> Rectangle {
        let (ends, reach) = solid.spine();
        let mut all = Rectangle::EMPTY;
        for ground in &self.grounds {
            let up = ground.axes.z_axis;
            let slope = LIGHT.dot(up);
            if slope > 0.05 {
                let fallen = ends.map(|end| end - LIGHT * ((end - ground.origin).dot(up) / slope));
                let Rectangle(rectangle) = lens.outline(fallen, reach / slope);
                all.include(rectangle);
            }
        }
        all
    }

    /// The colours that rays through these points of the canvas bring, and what each met first.
    #[inline]
    fn trace<const N: usize>(&self, lens: &Lens, x: [f32; N], y: [f32; N], near: &Near) -> Seen<N> {
        let rays = Rays::new(lens, x, y);
        let mut all = Seen::sky(&rays);
        for (number, ground) in self.grounds.iter().enumerate() {
            let floor = ground.floor(&rays, lens.pixel);
            let mut light = [1.0; N];
            if !near.shadows.is_empty() {
                for i in (0..N).filter(|&i| floor.depth[i] < all.depth[i]) {
                    let ray = lens.ray(x[i], y[i]);
                    let origin = ray.origin + ray.direction * floor.depth[i];
                    let towards_light = Ray { origin, direction: LIGHT };
                    let blocks =
                        |&body: &usize| self.bodies[body].solid.hit(towards_light).is_some();
                    if near.shadows.iter().any(blocks) {
                        light[i] = SHADOW;
                    }
                }
            }
            all.cover(ground, &floor, &light, SKY + 1 + 2 * number as Met);
        }
        if !near.bodies.is_empty() {
            for i in 0..N {
                let ray = lens.ray(x[i], y[i]);
                if let Some((color, met)) = self.meet(ray, near, all.color(i), all.depth[i]) {
                    let [red, green, blue] = color.to_array();
                    let [reds, greens, blues] = &mut all.colors;
                    (reds[i], greens[i], blues[i]) = (red, green, blue);
                    all.met[i] = met.unwrap_or(all.met[i]);
                }
            }
        }
        all
    }

    /// The colour of the bodies that a ray meets before `behind` at `depth`, and the first opaque one.
    fn meet(
        &self,
        ray: Ray,
        near: &Near,
        behind: Vec3A,
        mut depth: f32,
    ) -> Option<(Vec3A, Option<Met>)> {
        let mut opaque = None;
        // A translucent body is seen before what is behind all of them.
        let mut veil: Option<(f32, usize, Vec3A)> = None;
        for &number in &near.bodies {
            let body = &self.bodies[number];
            let Some(hit) = body.solid.hit(ray).filter(|hit| hit.t < depth) else { continue };
            if body.opacity >= 1.0 {
                (opaque, depth) = (Some((number, hit.normal)), hit.t);
            } else if veil.is_none_or(|(t, ..)| hit.t < t) {
                veil = Some((hit.t, number, hit.normal));
            }
        }
        let shaded = |number: usize, normal| shade(self.bodies[number].color, normal, ray);
        let first = SKY + 1 + 2 * self.grounds.len() as Met;
        let solid = opaque.map(|(number, normal)| (shaded(number, normal), first + number as Met));
        let met = solid.map(|(_, met)| met);
        match veil.filter(|(t, ..)| *t < depth) {
            None => solid.map(|(color, _)| (color, met)),
            Some((_, number, normal)) => {
                let opacity = self.bodies[number].opacity;
                let behind = solid.map_or(behind, |(color, _)| color);
                Some((shaded(number, normal) * opacity + behind * (1.0 - opacity), met))
            }
        }
    }
}

/// Directions of several rays, coordinate by coordinate, so that the compiler treats several at once.
struct Rays<const N: usize> {
    x: [f32; N],
    y: [f32; N],
    z: [f32; N],
    length: [f32; N],
}

impl<const N: usize> Rays<N> {
    #[inline]
    fn new(lens: &Lens, x: [f32; N], y: [f32; N]) -> Self {
        let mut rays = Self { x: [0.0; N], y: [0.0; N], z: [0.0; N], length: [0.0; N] };
        for i in 0..N {
            let direction =
                |corner: f32, right: f32, down: f32| corner + right * x[i] + down * y[i];
            let [dx, dy, dz] = [
                direction(lens.corner.x, lens.right.x, lens.down.x),
                direction(lens.corner.y, lens.right.y, lens.down.y),
                direction(lens.corner.z, lens.right.z, lens.down.z),
            ];
            (rays.x[i], rays.y[i], rays.z[i]) = (dx, dy, dz);
            rays.length[i] = (dx * dx + dy * dy + dz * dz).sqrt();
        }
        rays
    }
}

/// Where several rays meet a ground, infinitely far away where they do not, and which kind of square is there: from 1, the
/// one, to -1, the other.
struct Floor<const N: usize> {
    depth: [f32; N],
    square: [f32; N],
}

/// What several rays see.
struct Seen<const N: usize> {
    /// Red, green and blue.
    colors: [[f32; N]; 3],
    /// How far away the sky and the grounds are.
    depth: [f32; N],
    met: [Met; N],
}

impl<const N: usize> Seen<N> {
    /// Brighter and paler towards the horizon.
    #[inline]
    fn sky(rays: &Rays<N>) -> Self {
        const HIGH: [f32; 3] = [0.45, 0.58, 0.75];
        const PALE: [f32; 3] = [0.35, 0.25, 0.15];
        let mut seen = Self { colors: [[0.0; N]; 3], depth: [f32::INFINITY; N], met: [SKY; N] };
        for (channel, colors) in seen.colors.iter_mut().enumerate() {
            for (color, z) in colors.iter_mut().zip(&rays.z) {
                let pale = 0.5 - 0.5 * z / (1.0 + z.abs());
                *color = HIGH[channel] + PALE[channel] * pale;
            }
        }
        seen
    }

    /// Puts a ground before what is further away; `number` is that of its shadow.
    #[inline]
    fn cover(&mut self, ground: &Ground, floor: &Floor<N>, light: &[f32; N], number: Met) {
        let mut clear = [0.0; N];
        for i in 0..N {
            let covers = floor.depth[i] < self.depth[i];
            let share = 1.0 / (1.0 + floor.depth[i] * FOG);
            clear[i] = if covers { share } else { 0.0 };
            let met = number + Met::from(light[i] == 1.0);
            self.met[i] = if covers { met } else { self.met[i] };
            self.depth[i] = if covers { floor.depth[i] } else { self.depth[i] };
        }
        let channels = ground.color.to_array().into_iter().zip(ground.contrast.to_array());
        for (colors, (color, contrast)) in self.colors.iter_mut().zip(channels) {
            for i in 0..N {
                let ground = (color + contrast * floor.square[i]) * light[i];
                colors[i] += (ground - colors[i]) * clear[i];
            }
        }
    }

    fn color(&self, i: usize) -> Vec3A {
        let [red, green, blue] = &self.colors;
        Vec3A::new(red[i], green[i], blue[i])
    }

    /// Writes the first of these colours into pixels.
    fn write(&self, pixels: &mut [[u8; 4]]) {
        let [red, green, blue] = &self.colors;
        for (i, pixel) in pixels.iter_mut().enumerate() {
            let rgba = byte(red[i]) | byte(green[i]) << 8 | byte(blue[i]) << 16 | 0xff00_0000;
            *pixel = rgba.to_le_bytes();
        }
    }
}

impl Ground {
    fn new(part: &Part, origin: Vec3A, axes: Mat3A, eye: Vec3A) -> Self {
        let Part { geom, color, contrast, .. } = part;
        let inverse = axes.transpose();
        let half =
            [geom.size[0], geom.size[1]].map(|side| if side > 0.0 { side } else { f32::INFINITY });
        let (squares, color, contrast) = match geom.texture {
            Some(_) => (geom.repeat.map(|repeat| 2.0 * repeat), *color, *contrast),
            None => {
                let [light, dark] = SQUARES;
                // A table has smaller squares than a floor.
                let squares = if half[0].min(half[1]) <= 1.0 { 5.0 } else { 1.0 };
                ([squares; 2], 0.5 * (light + dark) * GROUND, 0.5 * (light - dark) * GROUND)
            }
        };
        let eye = inverse * (eye - origin);
        Self { eye, inverse, origin, axes, half, squares, color, contrast }
    }

    /// Where rays meet the plane; it is seen from above only.
    #[inline]
    fn floor<const N: usize>(&self, rays: &Rays<N>, pixel: f32) -> Floor<N> {
        let mut floor = Floor { depth: [f32::INFINITY; N], square: [0.0; N] };
        if self.eye.z <= 0.0 {
            return floor;
        }
        let Mat3A { x_axis, y_axis, z_axis } = self.inverse;
        let [half_x, half_y] = self.half;
        for i in 0..N {
            let own = |x: f32, y: f32, z: f32| x * rays.x[i] + y * rays.y[i] + z * rays.z[i];
            let down = own(x_axis.z, y_axis.z, z_axis.z);
            let t = -self.eye.z / down;
            let x = self.eye.x + t * own(x_axis.x, y_axis.x, z_axis.x);
            let y = self.eye.y + t * own(x_axis.y, y_axis.y, z_axis.y);
            let inside = (down < 0.0) & (x.abs() <= half_x) & (y.abs() <= half_y);
            let width = t * pixel * rays.length[i] / down.abs();
            floor.depth[i] = if inside { t } else { f32::INFINITY };
            floor.square[i] = self.pattern(x, y, width);
        }
        floor
    }

    /// Which kind of square is there, averaged over a pixel that covers `width` metres.
    fn pattern(&self, x: f32, y: f32, width: f32) -> f32 {
        // The mean of a wave of squares, from -1 to 1: the slope of its integral.
        let mean = |x: f32, squares: f32| {
            let (x, width) = (x * squares, (width * squares).max(1e-4));
            let triangle = |x: f32| (0.5 * x - floor(0.5 * x) - 0.5).abs();
            2.0 * (triangle(x - 0.5 * width) - triangle(x + 0.5 * width)) / width
        };
        let [along_x, along_y] = self.squares;
        mean(x, along_x) * mean(y, along_y)
    }
}

/// Added to a number of at most 2²², it leaves no bits for a fraction: rounding without a call of the C library, several
/// numbers at once.
const WHOLE: f32 = 12_582_912.0;

/// The whole number below.
fn floor(x: f32) -> f32 {
    let nearest = (x + WHOLE) - WHOLE;
    nearest - if nearest > x { 1.0 } else { 0.0 }
}

/// A channel from 0 to 1 as a byte.
fn byte(channel: f32) -> u32 {
    (channel.clamp(0.0, 1.0) * 255.0 + WHOLE).to_bits() & 0xff
}

/// Light from above, some from the camera, and a highlight.
fn shade(color: Vec3A, normal: Vec3A, ray: Ray) -> Vec3A {
    let towards = ray.direction.normalize();
    let diffuse = normal.dot(LIGHT).max(0.0);
    let facing = -normal.dot(towards);
    let half = (LIGHT - towards).normalize();
    let highlight = normal.dot(half).max(0.0).powi(24) * 0.25;
    let ambient = 0.26 + 0.06 * normal.z;
    color * (ambient + 0.5 * diffuse + 0.28 * facing.max(0.0)) + Vec3A::splat(highlight)
}

/// Where the rays of one pixel go through it.
struct Samples {
    /// Groups of rays that are traced together.
    offsets: Vec<[(f32, f32); 4]>,
    /// Whether every pixel gets them, and not only those in which surfaces meet.
    everywhere: bool,
}

impl Samples {
    /// For pixels that are as wide as `scale` native ones: those of a small picture show its mean.
    fn of(scale: f32) -> Self {
        if scale <= 1.5 {
            // The corners of a turned square: every row and column of a quarter has one.
            let offsets = vec![[(0.375, 0.125), (0.875, 0.375), (0.625, 0.875), (0.125, 0.625)]];
            return Self { offsets, everywhere: false };
        }
        let offset = |i: usize| (i as f32 + 0.5) / 4.0;
        let row = |y: usize| std::array::from_fn(|x| (offset(x), offset(y)));
        Self { offsets: (0..4).map(row).collect(), everywhere: true }
    }

    /// The mean colour of a pixel.
    fn mean(&self, scene: &Scene, lens: &Lens, (x, y): (usize, usize), near: &Near) -> [u8; 4] {
        let mut sum = Vec3A::ZERO;
        for group in &self.offsets {
            let (xs, ys) = (group.map(|(dx, _)| x as f32 + dx), group.map(|(_, dy)| y as f32 + dy));
            let seen = scene.trace(lens, xs, ys, near);
            sum += (0..4).map(|i| seen.color(i)).sum::<Vec3A>();
        }
        let [red, green, blue] = (sum / (4 * self.offsets.len()) as f32).to_array().map(byte);
        [red as u8, green as u8, blue as u8, 255]
    }
}

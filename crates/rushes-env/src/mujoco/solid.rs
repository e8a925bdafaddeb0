//! Where rays meet the shapes that robots are made of.

use std::sync::Arc;

use glam::{Mat3A, Vec3A};
use rushes_mujoco::Shape;

use super::mesh::Mesh;
use super::ray::{Hit, NEAREST, Ray};

/// A shape with its place. Its own z is the axis of a capsule or cylinder.
#[derive(Debug, Clone)]
pub(super) struct Solid {
    shape: Shape,
    size: Vec3A,
    center: Vec3A,
    /// The columns are the solid's own axes.
    axes: Mat3A,
    /// Half of the segment whose points are no further than `reach` from all of the solid.
    half_spine: Vec3A,
    reach: f32,
    mesh: Option<Arc<Mesh>>,
}

impl Solid {
    /// A solid of this shape; `radius` is that of the sphere about its centre that holds it.
    pub(super) fn new(shape: Shape, size: Vec3A, radius: f32, center: Vec3A, axes: Mat3A) -> Self {
        let (half_spine, reach) = match shape {
            Shape::Capsule => (axes.z_axis * size.y, size.x),
            Shape::Cylinder => (axes.z_axis * size.y, size.x),
            _ => (Vec3A::ZERO, radius),
        };
        Self { shape, size, center, axes, half_spine, reach, mesh: None }
    }

    /// A capsule of this radius about a segment; nothing where that has no length.
    pub(super) fn between(ends: [Vec3A; 2], radius: f32) -> Option<Self> {
        let half = 0.5 * (ends[1] - ends[0]);
        let z = half.try_normalize()?;
        let (x, y) = z.any_orthonormal_pair();
        let size = Vec3A::new(radius, half.length(), 0.0);
        let center = ends[0] + half;
        Some(Self::new(Shape::Capsule, size, 0.0, center, Mat3A::from_cols(x, y, z)))
    }

    /// The same solid with the triangles that its shape consists of.
    pub(super) fn with_mesh(self, mesh: Option<Arc<Mesh>>) -> Self {
        Self { mesh, ..self }
    }

    /// The ends of a segment, and a distance: the solid lies within that distance of the segment.
    pub(super) fn spine(&self) -> ([Vec3A; 2], f32) {
        ([self.center - self.half_spine, self.center + self.half_spine], self.reach)
    }

    /// The first point in which `ray` enters the solid.
    pub(super) fn hit(&self, ray: Ray) -> Option<Hit> {
        match self.shape {
            Shape::Sphere => sphere(self.center, self.size.x, ray),
            Shape::Capsule => self.capsule(ray),
            _ => {
                let own = self.axes.transpose();
                let local = Ray {
                    origin: own * (ray.origin - self.center),
                    direction: own * ray.direction,
                };
                let hit = match (self.shape, &self.mesh) {
                    (_, Some(mesh)) => mesh.hit(local),
                    (Shape::Cylinder, _) => cylinder(self.size.x, self.size.y, local),
                    (Shape::Ellipsoid, _) => ellipsoid(self.size, local),
                    _ => cuboid(self.size, local),
                }?;
                Some(Hit { normal: self.axes * hit.normal, ..hit })
            }
        }
    }

    fn capsule(&self, ray: Ray) -> Option<Hit> {
        let (axis, half, radius) = (self.axes.z_axis, self.size.y, self.size.x);
        let from = ray.origin - self.center;
        let (along, along_from) = (ray.direction.dot(axis), from.dot(axis));
        let (across, across_from) = (ray.direction - axis * along, from - axis * along_from);
        let (a, b) = (across.length_squared(), across.dot(across_from));
        let t = enters(a, b, across_from.length_squared() - radius * radius)?;
        let z = along_from + t * along;
        if z.abs() <= half {
            let normal = (across_from + across * t) / radius;
            return (t > NEAREST).then_some(Hit { t, normal });
        }
        // Beyond an end, the ray meets that end's sphere if any.
        sphere(self.center + axis * half.copysign(z), radius, ray)
    }
}

/// The smaller solution of a t² + 2 b t + c = 0; minus infinity where a ray runs along the inside of an endless tube.
fn enters(a: f32, b: f32, c: f32) -> Option<f32> {
    if a < 1e-12 {
        return (c < 0.0).then_some(f32::NEG_INFINITY);
    }
    let discriminant = b * b - a * c;
    (discriminant > 0.0).then(|| (-b - discriminant.sqrt()) / a)
}

fn sphere(center: Vec3A, radius: f32, ray: Ray) -> Option<Hit> {
    let from = ray.origin - center;
    let (a, b) = (ray.direction.length_squared(), from.dot(ray.direction));
    let t = enters(a, b, from.length_squared() - radius * radius)?;
    (t > NEAREST).then(|| Hit { t, normal: (from + ray.direction * t) / radius })
}

fn cylinder(radius: f32, half: f32, Ray { origin, direction }: Ray) -> Option<Hit> {
    let flat = |v: Vec3A| Vec3A::new(v.x, v.y, 0.0);
    let (across, from) = (flat(direction), flat(origin));
    let (a, b) = (across.length_squared(), across.dot(from));
    let t = enters(a, b, from.length_squared() - radius * radius)?;
    let z = origin.z + t * direction.z;
    if z.abs() <= half {
        return (t > NEAREST).then(|| Hit { t, normal: (from + across * t) / radius });
    }
    let end = -half.copysign(direction.z);
    let t = (end - origin.z) / direction.z;
    let inside = (from + across * t).length_squared() <= radius * radius;
    (t > NEAREST && inside).then(|| Hit { t, normal: Vec3A::Z * end.signum() })
}

fn ellipsoid(size: Vec3A, ray: Ray) -> Option<Hit> {
    let scaled = Ray { origin: ray.origin / size, direction: ray.direction / size };
    let Hit { t, normal } = sphere(Vec3A::ZERO, 1.0, scaled)?;
    Some(Hit { t, normal: (normal / size).normalize() })
}

fn cuboid(size: Vec3A, Ray { origin, direction }: Ray) -> Option<Hit> {
    let (a, b) = ((-size - origin) / direction, (size - origin) / direction);
    let (enter, leave) = (a.min(b), a.max(b));
    let (t, last) = (enter.max_element(), leave.min_element());
    if t > last || t < NEAREST {
        return None;
    }
    let axis = if t == enter.x {
        Vec3A::X
    } else if t == enter.y {
        Vec3A::Y
    } else {
        Vec3A::Z
    };
    Some(Hit { t, normal: -axis * direction.signum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(x: f32) -> Ray {
        Ray { origin: Vec3A::new(x, 0.0, 10.0), direction: Vec3A::new(0.0, 0.0, -2.0) }
    }

    fn solid(shape: Shape) -> Solid {
        let size = Vec3A::new(0.5, 2.0, 1.0);
        Solid::new(shape, size, 3.0, Vec3A::new(0.0, 0.0, 1.0), Mat3A::IDENTITY)
    }

    /// Rays from above meet the top of each shape where its size says, and miss it beside that.
    #[test]
    fn rays_meet_shapes_where_their_sizes_say() {
        for (shape, top) in [
            (Shape::Sphere, 1.5),
            (Shape::Capsule, 3.5),
            (Shape::Cylinder, 3.0),
            (Shape::Ellipsoid, 2.0),
            (Shape::Box, 2.0),
        ] {
            let hit = solid(shape).hit(down(0.0)).expect("above it");
            assert!((10.0 - 2.0 * hit.t - top).abs() < 1e-5, "{shape:?}: {hit:?}");
            assert!((hit.normal - Vec3A::Z).length() < 1e-5, "{shape:?}: {hit:?}");
            assert_eq!(solid(shape).hit(down(0.51)), None, "{shape:?}");
            let up = Ray { direction: Vec3A::Z, ..down(0.0) };
            assert_eq!(solid(shape).hit(up), None, "{shape:?} is behind");
        }
    }

    #[test]
    fn sides_have_normals_that_point_outwards() {
        let side = Ray { origin: Vec3A::new(-9.0, 0.0, 1.2), direction: Vec3A::X };
        for shape in [Shape::Capsule, Shape::Cylinder, Shape::Box] {
            let hit = solid(shape).hit(side).expect("beside it");
            assert!((hit.t - 8.5).abs() < 1e-5, "{shape:?}: {hit:?}");
            assert!((hit.normal + Vec3A::X).length() < 1e-5, "{shape:?}: {hit:?}");
        }
    }
}

//! Where rays meet meshes: triangles in a tree of boxes.

use glam::Vec3A;

use super::ray::{Hit, NEAREST, Ray};

/// A leaf of the tree has at most so many triangles.
const LEAF: usize = 4;

/// Triangles in their own frame.
#[derive(Debug)]
pub(super) struct Mesh {
    triangles: Vec<[Vec3A; 3]>,
    nodes: Vec<Node>,
}

/// A box and what is in it: triangles, or two nodes of which the first one follows this one.
#[derive(Debug)]
struct Node {
    low: Vec3A,
    high: Vec3A,
    inside: Inside,
}

#[derive(Debug)]
enum Inside {
    Triangles { first: usize, end: usize },
    Nodes { second: usize },
}

impl Mesh {
    /// The triangles whose corners are these vertices.
    pub(super) fn new(vertices: &[[f32; 3]], faces: &[[i32; 3]]) -> Self {
        let triangles =
            faces.iter().map(|face| face.map(|corner| Vec3A::from(vertices[corner as usize])));
        let mut mesh = Self { triangles: triangles.collect(), nodes: Vec::new() };
        mesh.divide(0, mesh.triangles.len());
        mesh
    }

    /// Adds the node of a range of triangles, and those below it.
    fn divide(&mut self, first: usize, end: usize) {
        let part = &mut self.triangles[first..end];
        let corners = || part.iter().flatten().copied();
        let (low, high) = (
            corners().fold(Vec3A::INFINITY, Vec3A::min),
            corners().fold(Vec3A::NEG_INFINITY, Vec3A::max),
        );
        let here = self.nodes.len();
        self.nodes.push(Node { low, high, inside: Inside::Triangles { first, end } });
        if part.len() <= LEAF {
            return;
        }
        let sides = high - low;
        let axis = (0..3).max_by(|&a, &b| sides[a].total_cmp(&sides[b])).unwrap_or(0);
        let middle = part.len() / 2;
        let place = |triangle: &[Vec3A; 3]| triangle.iter().map(|corner| corner[axis]).sum::<f32>();
        part.select_nth_unstable_by(middle, |a, b| place(a).total_cmp(&place(b)));
        self.divide(first, first + middle);
        self.nodes[here].inside = Inside::Nodes { second: self.nodes.len() };
        self.divide(first + middle, end);
    }

    /// The first triangle that a ray meets, from either side.
    pub(super) fn hit(&self, ray: Ray) -> Option<Hit> {
        let mut nearest: Option<Hit> = None;
        let mut waiting = vec![0];
        while let Some(number) = waiting.pop() {
            let Node { low, high, inside } = &self.nodes[number];
            let reach = nearest.map_or(f32::INFINITY, |hit| hit.t);
            if !meets_box(*low, *high, ray, reach) {
                continue;
            }
            match *inside {
                Inside::Nodes { second } => waiting.extend([second, number + 1]),
                Inside::Triangles { first, end } => {
                    let hits =
                        self.triangles[first..end].iter().filter_map(|t| meets_triangle(t, ray));
                    nearest = nearest.into_iter().chain(hits).min_by(|a, b| a.t.total_cmp(&b.t));
                }
            }
        }
        nearest
    }
}

fn meets_box(low: Vec3A, high: Vec3A, ray: Ray, reach: f32) -> bool {
    let (a, b) = ((low - ray.origin) / ray.direction, (high - ray.origin) / ray.direction);
    let (enter, leave) = (a.min(b).max_element(), a.max(b).min_element());
    enter <= leave && leave > NEAREST && enter < reach
}

/// Möller and Trumbore, "Fast, minimum storage ray/triangle intersection" (1997).
fn meets_triangle(&[a, b, c]: &[Vec3A; 3], ray: Ray) -> Option<Hit> {
    let (edge, other) = (b - a, c - a);
    let across = ray.direction.cross(other);
    let determinant = edge.dot(across);
    if determinant.abs() < f32::MIN_POSITIVE {
        return None;
    }
    let from = ray.origin - a;
    let u = from.dot(across) / determinant;
    let along = from.cross(edge);
    let v = ray.direction.dot(along) / determinant;
    let t = other.dot(along) / determinant;
    if u < 0.0 || v < 0.0 || u + v > 1.0 || t < NEAREST {
        return None;
    }
    let normal = edge.cross(other).normalize_or_zero();
    let outward = if normal.dot(ray.direction) > 0.0 { -normal } else { normal };
    Some(Hit { t, normal: outward })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A staircase of 40 unit squares, each one higher than the one before.
    #[test]
    fn rays_meet_the_nearest_of_many_triangles() {
        let (mut vertices, mut faces) = (Vec::new(), Vec::new());
        for step in 0..40 {
            let (x, z, first) = (step as f32, 0.5 * step as f32, vertices.len() as i32);
            vertices.extend([[x, 0.0, z], [x + 1.0, 0.0, z], [x + 1.0, 1.0, z], [x, 1.0, z]]);
            faces.extend([[first, first + 1, first + 2], [first, first + 2, first + 3]]);
        }
        let mesh = Mesh::new(&vertices, &faces);
        for step in 0..40 {
            let origin = Vec3A::new(step as f32 + 0.3, 0.6, 100.0);
            let hit = mesh.hit(Ray { origin, direction: -Vec3A::Z }).expect("a step below");
            assert!((hit.t - (100.0 - 0.5 * step as f32)).abs() < 1e-3, "step {step}: {hit:?}");
            assert!((hit.normal - Vec3A::Z).length() < 1e-5, "step {step}: {hit:?}");
            let beside = Ray { origin: origin + Vec3A::Y, direction: -Vec3A::Z };
            assert_eq!(mesh.hit(beside), None, "step {step}");
        }
        // Along the stairs, the last one is met first.
        let down =
            Ray { origin: Vec3A::new(60.0, 0.5, 29.75), direction: Vec3A::new(-2.0, 0.0, -1.0) };
        let hit = mesh.hit(down).expect("the stairs");
        assert!((60.0 - 2.0 * hit.t) > 38.0, "{hit:?}");
    }
}

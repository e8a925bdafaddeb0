//! Rays, and where they end.

use glam::Vec3A;

/// A half-line: `origin + t · direction` for t > 0. The direction need not be of length 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ray {
    pub(super) origin: Vec3A,
    pub(super) direction: Vec3A,
}

/// Where a ray meets a surface first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hit {
    /// How far along the ray, in lengths of its direction.
    pub(super) t: f32,
    /// The outward normal, of length 1.
    pub(super) normal: Vec3A,
}

/// Hits nearer than this are the surface that a ray starts from.
pub(super) const NEAREST: f32 = 1e-4;

//! How much of each pixel polygons cover, exactly.
//!
//! An edge changes the coverage of the pixels that it passes, and of all to their right. Its changes are kept for
//! each pixel, so that the coverage is their running sum along a row: signed areas, as rasterisers of fonts have them.
//! A pixel costs a few additions, where a general rasteriser samples scanlines and sorts edges.

use std::ops::Range;

/// Coordinates in pixels, the origin at the top left and y downwards.
type Point = (f32, f32);

const BITS: usize = u64::BITS as usize;

/// The coverage of a picture's pixels by polygons, added one by one and taken by [`Coverage::drain`].
#[derive(Clone)]
pub(crate) struct Coverage {
    width: usize,
    height: usize,
    /// What each pixel adds to the coverage of itself and of those to its right. Rows are two longer than the picture's.
    changes: Vec<f32>,
    /// For each pixel of `changes` a bit, set where an edge changed it; rows begin with a new word.
    changed: Vec<u64>,
}

/// How many changes and how many words of bits a row of a picture of that width has.
fn row_sizes(width: usize) -> (usize, usize) {
    let stride = width + 2;
    (stride, stride.div_ceil(BITS))
}

impl Coverage {
    /// Nothing is covered in a picture of that size.
    pub(crate) fn new(width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        let (stride, words) = row_sizes(width);
        Self {
            width,
            height,
            changes: vec![0.0; stride * height],
            changed: vec![0; words * height],
        }
    }

    /// Adds a polygon, whichever way it turns, unless its area is not finite. Where polygons overlap, their areas in a
    /// pixel add up, to all of it at most.
    pub(crate) fn add(&mut self, points: impl Iterator<Item = Point> + Clone) {
        let Some((x, y)) = points.clone().next() else { return };
        let edges = points.clone().zip(points.cycle().skip(1));
        let product =
            |(from, to): (Point, Point)| (from.0 - x) * (to.1 - y) - (to.0 - x) * (from.1 - y);
        let turn: f32 = edges.clone().map(product).sum();
        if !turn.is_finite() {
            return;
        }
        let sign = if turn < 0.0 { -1.0 } else { 1.0 };
        edges.for_each(|(from, to)| {
            if from.1 <= to.1 {
                self.edge(from, to, -sign);
            } else {
                self.edge(to, from, sign);
            }
        });
    }

    /// Adds an edge from its top to its bottom, cut where it leaves the picture: beyond the left side, all pixels of a
    /// row are to its right, and none beyond the right side.
    fn edge(&mut self, (x, top): Point, (end, bottom): Point, sign: f32) {
        let (from, to) = (top.max(0.0), bottom.min(self.height as f32));
        if from >= to {
            return;
        }
        let (width, slope) = (self.width as f32, (end - x) / (bottom - top));
        let at = |y: f32| (x + (y - top) * slope).clamp(0.0, width);
        if x.min(end) >= 0.0 && x.max(end) <= width || slope == 0.0 {
            return self.piece((at(from), from), (at(to), to), slope, sign);
        }
        // Where it crosses the two sides of the picture, from the top.
        let (first, second) = if slope < 0.0 { (width, 0.0) } else { (0.0, width) };
        let crosses = |side: f32| (top + (side - x) / slope).clamp(from, to);
        let cuts = [from, crosses(first), crosses(second), to];
        for (cut, slope) in
            cuts.windows(2).zip([0.0, slope, 0.0]).filter(|(cut, _)| cut[0] < cut[1])
        {
            self.piece((at(cut[0]), cut[0]), (at(cut[1]), cut[1]), slope, sign);
        }
    }

    /// Adds a piece of an edge that lies in the picture, from its top to its bottom.
    fn piece(&mut self, (mut x, mut y): Point, (end, bottom): Point, slope: f32, sign: f32) {
        let (leftmost, rightmost) = (x.min(end), x.max(end));
        let (stride, words) = row_sizes(self.width);
        for row in y as usize..bottom.ceil() as usize {
            let changes = &mut self.changes[row * stride..(row + 1) * stride];
            let changed = &mut self.changed[row * words..(row + 1) * words];
            let below = bottom.min((row + 1) as f32);
            let next = (x + (below - y) * slope).max(leftmost).min(rightmost);
            let height = sign * (below - y);
            let (left, right) = (x.min(next), x.max(next));
            let (first, last) = (left as usize, right as usize);
            if first == last {
                let share = height * ((first + 1) as f32 - 0.5 * (left + right));
                changes[first] += share;
                changes[first + 1] += height - share;
            } else {
                // How far the edge is left of a pixel's right border in the mean, counting only where it is left of it.
                let (steepness, middle) = (0.5 / (right - left), 0.5 * (left + right));
                let (mut behind, mut covered) = (0.0, 0.0);
                for (column, change) in changes[first..=last + 1].iter_mut().enumerate() {
                    let border = (first + column + 1) as f32;
                    let ahead = if border < right {
                        (border - left) * (border - left) * steepness
                    } else {
                        border - middle
                    };
                    *change += height * (ahead - behind - covered);
                    (behind, covered) = (ahead, ahead - behind);
                }
            }
            for column in first..=last + 1 {
                changed[column / BITS] |= 1 << (column % BITS);
            }
            (x, y) = (next, below);
        }
    }

    /// Calls `paint` with every run of pixels that are covered alike, counted by rows, and by how much of 256 they are,
    /// and starts anew.
    pub(crate) fn drain(&mut self, mut paint: impl FnMut(Range<usize>, u16)) {
        let (stride, words) = row_sizes(self.width);
        let rows = self.changes.chunks_exact_mut(stride).zip(self.changed.chunks_exact_mut(words));
        for (row, (changes, changed)) in rows.enumerate() {
            let start = row * self.width;
            let (mut sum, mut from, mut covered) = (0.0_f32, 0, 0);
            for (word, bits) in changed.iter_mut().enumerate() {
                while *bits != 0 {
                    let column = word * BITS + bits.trailing_zeros() as usize;
                    *bits &= *bits - 1;
                    let to = column.min(self.width);
                    if covered > 0 && from < to {
                        paint(start + from..start + to, covered);
                    }
                    sum += std::mem::take(&mut changes[column]);
                    covered = (sum.abs().min(1.0) * 256.0 + 0.5) as u16;
                    from = column;
                }
            }
            if covered > 0 && from < self.width {
                paint(start + from..start + self.width, covered);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 6;

    /// The coverage of each pixel of a picture of 6 × 6 pixels, of 256.
    fn covered(polygons: &[&[Point]]) -> Vec<u16> {
        let mut coverage = Coverage::new(SIDE as u32, SIDE as u32);
        let mut pixels = vec![0; SIDE * SIDE];
        // The second time, nothing of the first is left.
        for _ in 0..2 {
            pixels.fill(0);
            for polygon in polygons {
                coverage.add(polygon.iter().copied());
            }
            coverage.drain(|run, covered| pixels[run].fill(covered));
        }
        pixels
    }

    /// The same by counting 64 × 64 points of each pixel that lie in a convex polygon.
    fn sampled(polygon: &[Point]) -> Vec<f64> {
        const POINTS: usize = 64;
        let inside = |x: f64, y: f64| {
            let mut sides = polygon.iter().zip(polygon.iter().cycle().skip(1)).map(|(a, b)| {
                let [(ax, ay), (bx, by)] = [a, b].map(|&(x, y)| (f64::from(x), f64::from(y)));
                (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0.0
            });
            let first = sides.next();
            sides.all(|side| Some(side) == first)
        };
        let at = |pixel: usize, point: usize| pixel as f64 + (point as f64 + 0.5) / POINTS as f64;
        let share = |pixel: usize| {
            let points = (0..POINTS * POINTS)
                .filter(|i| inside(at(pixel % SIDE, i % POINTS), at(pixel / SIDE, i / POINTS)));
            points.count() as f64 / (POINTS * POINTS) as f64
        };
        (0..SIDE * SIDE).map(share).collect()
    }

    #[test]
    fn coverage_is_the_area_of_a_polygon_in_each_pixel() {
        let polygons: [&[Point]; 8] = [
            &[(1.0, 1.0), (3.0, 1.0), (3.0, 4.0), (1.0, 4.0)],
            &[(1.25, 1.5), (1.25, 4.75), (3.5, 4.75), (3.5, 1.5)],
            &[(0.3, 0.2), (5.9, 2.7), (2.2, 5.8)],
            &[(0.3, 0.2), (2.2, 5.8), (5.9, 2.7)],
            &[(2.1, 2.1), (2.4, 2.2), (2.2, 2.6)],
            // Beyond every side of the picture, and around all of it.
            &[(-4.0, 3.0), (3.0, -4.0), (9.5, 2.0), (2.0, 11.0)],
            &[(-3.0, -1.0), (12.0, -2.0), (4.0, 9.0)],
            &[(-50.0, -50.0), (90.0, -40.0), (80.0, 70.0), (-60.0, 60.0)],
        ];
        for polygon in polygons {
            let covered = covered(&[polygon]);
            for (i, (covered, sampled)) in covered.iter().zip(sampled(polygon)).enumerate() {
                let off = (f64::from(*covered) / 256.0 - sampled).abs();
                assert!(off < 0.02, "{polygon:?}, pixel {i}: {covered} of 256, expected {sampled}");
            }
        }
    }

    #[test]
    fn neighbours_have_no_seam_and_a_pixel_is_covered_at_most_once() {
        let left: &[Point] = &[(0.0, 0.0), (2.3, 0.0), (3.1, 6.0), (0.0, 6.0)];
        let right: &[Point] = &[(3.1, 6.0), (2.3, 0.0), (6.0, 0.0), (6.0, 6.0)];
        assert_eq!(covered(&[left, right]), [256; SIDE * SIDE]);
        assert_eq!(covered(&[left, right, left, right]), [256; SIDE * SIDE]);
    }

    #[test]
    fn pictures_may_be_of_any_width() {
        for width in [1, 62, 63, 64, 65, 66, 126, 127, 128, 129, 130] {
            let mut coverage = Coverage::new(width, 2);
            let side = width as f32;
            coverage
                .add([(-1.0, 0.0), (side + 1.0, 0.0), (side + 1.0, 1.0), (-1.0, 1.0)].into_iter());
            coverage
                .add([(side - 0.5, 1.0), (side, 1.0), (side, 2.0), (side - 0.5, 2.0)].into_iter());
            let mut pixels = vec![0; 2 * width as usize];
            coverage.drain(|run, covered| pixels[run].fill(covered));
            let mut expected = vec![0; 2 * width as usize];
            expected[..width as usize].fill(256);
            *expected.last_mut().unwrap() = 128;
            assert_eq!(pixels, expected, "{width} pixels wide");
        }
    }

    #[test]
    fn what_is_no_polygon_covers_nothing() {
        let polygons: [&[Point]; 5] = [
            &[],
            &[(1.0, 1.0)],
            &[(1.0, 1.0), (4.0, 3.0)],
            &[(f32::NAN, 1.0), (4.0, 3.0), (2.0, 5.0)],
            &[(1.0, 1.0), (f32::INFINITY, 3.0), (2.0, 5.0)],
        ];
        for polygon in polygons {
            assert_eq!(covered(&[polygon]), [0; SIDE * SIDE], "{polygon:?}");
        }
    }
}

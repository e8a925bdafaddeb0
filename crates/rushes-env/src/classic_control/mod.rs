//! Classic control: small mechanical systems in float64, observed in float32.

use crate::draw::{Canvas, Color};
use crate::problem::Problem;

pub mod acrobot;
pub mod cartpole;
pub mod mountain_car;
pub mod mountain_car_continuous;
pub mod pendulum;

/// Refuses bounds of a starting state that are not numbers or the wrong way round.
fn check_bounds(low: f64, high: f64) -> Result<(), Problem> {
    check_finite("low", low)?;
    check_finite("high", high)?;
    if low > high {
        return Err(Problem::new(&["low"], format!("expected at most `high` ({high}), got {low}")));
    }
    Ok(())
}

/// Refuses an option that is infinite (JSON reads 1e999 as that).
fn check_finite(path: &str, value: f64) -> Result<(), Problem> {
    if value.is_finite() {
        return Ok(());
    }
    let message = format!("expected a finite number, got {value}");
    Err(Problem::new(&[path], message))
}

/// Turns `(x, y)` by `angle` radians, anticlockwise where y points upwards.
fn rotate((x, y): (f32, f32), angle: f32) -> (f32, f32) {
    let (sin, cos) = angle.sin_cos();
    (x * cos - y * sin, x * sin + y * cos)
}

/// Draws as the reference does: y upwards from the bottom row, whole coordinates at the centres of pixels,
/// every filled shape with an outline of one pixel.
struct Upright<'a> {
    canvas: &'a mut Canvas,
    height: f32,
}

impl<'a> Upright<'a> {
    fn new(canvas: &'a mut Canvas, height: u32) -> Self {
        canvas.clear(Color::WHITE);
        Self { canvas, height: height as f32 }
    }

    fn at(&self, (x, y): (f32, f32)) -> (f32, f32) {
        (x + 0.5, self.height - y - 0.5)
    }

    fn polygon<const N: usize>(&mut self, points: [(f32, f32); N], color: Color) {
        let points = points.map(|point| self.at(point));
        self.canvas.polygon(&points, color);
        self.canvas.outline(&points, 1.0, color);
    }

    /// A disc about a pixel; coordinates and radius are cut to whole numbers as in the reference.
    fn circle(&mut self, center: (f32, f32), radius: f32, color: Color) {
        let (x, y) = self.at((center.0.trunc(), center.1.trunc()));
        self.canvas.circle(x, y, radius.trunc() + 0.5, color);
    }

    fn line(&mut self, from: (f32, f32), to: (f32, f32), color: Color) {
        let (from, to) = (self.at(from), self.at(to));
        self.canvas.line(from, to, 1.0, color);
    }

    fn polyline<const N: usize>(&mut self, points: [(f32, f32); N], color: Color) {
        let points = points.map(|point| self.at(point));
        self.canvas.polyline(&points, 1.0, color);
    }
}

/// The hill that both mountain cars drive on, and the car on it.
mod hill {
    use super::{Upright, rotate};
    use crate::draw::Color;
    use crate::space::Space;

    pub(super) const MIN_POSITION: f64 = -1.2;
    pub(super) const MAX_POSITION: f64 = 0.6;
    pub(super) const MAX_SPEED: f64 = 0.07;
    pub(super) const FRAME: (u32, u32) = (600, 400);

    /// Position and velocity.
    pub(super) fn observation_space() -> Space {
        let low = vec![MIN_POSITION as f32, -MAX_SPEED as f32];
        let high = vec![MAX_POSITION as f32, MAX_SPEED as f32];
        Space::float_box(low, high, vec![2])
    }

    fn height(x: f32) -> f32 {
        (3.0 * x).sin() * 0.45 + 0.55
    }

    /// Pixels a unit.
    const SCALE: f32 = FRAME.0 as f32 / (MAX_POSITION - MIN_POSITION) as f32;
    /// Height of the car above the ground, in pixels.
    const CLEARANCE: f32 = 10.0;

    /// The place of the car in the picture.
    pub(super) fn focus(position: f32) -> (f32, f32) {
        let x = (position - MIN_POSITION as f32) * SCALE;
        (x, FRAME.1 as f32 - CLEARANCE - height(position) * SCALE)
    }

    /// The hill, the car at `position` and the flag at `goal`.
    pub(super) fn draw(upright: &mut Upright<'_>, position: f32, goal: f32) {
        const CAR: (f32, f32) = (40.0, 20.0);
        const POINTS: usize = 100;
        let left = MIN_POSITION as f32;
        let width = (MAX_POSITION - MIN_POSITION) as f32;

        let ground = std::array::from_fn::<_, POINTS, _>(|i| {
            let x = left + width * i as f32 / (POINTS - 1) as f32;
            ((x - left) * SCALE, height(x) * SCALE)
        });
        upright.polyline(ground, Color::BLACK);

        let slope = (3.0 * position).cos();
        let place = |point: (f32, f32)| {
            let (x, y) = rotate(point, slope);
            (x + (position - left) * SCALE, y + CLEARANCE + height(position) * SCALE)
        };
        let (half, top) = (CAR.0 / 2.0, CAR.1);
        let body = [(-half, 0.0), (-half, top), (half, top), (half, 0.0)].map(place);
        upright.polygon(body, Color::BLACK);
        for wheel in [(CAR.0 / 4.0, 0.0), (-CAR.0 / 4.0, 0.0)] {
            upright.circle(place(wheel), CAR.1 / 2.5, Color::rgb(128, 128, 128));
        }

        let x = ((goal - left) * SCALE).trunc();
        let foot = (height(goal) * SCALE).trunc();
        let tip = foot + 50.0;
        upright.line((x, foot), (x, tip), Color::BLACK);
        let flag = [(x, tip), (x, tip - 10.0), (x + 25.0, tip - 5.0)];
        upright.polygon(flag, Color::rgb(204, 204, 0));
    }
}

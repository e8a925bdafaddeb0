//! The toy worlds' figures and tiles as vector shapes, after the reference's pixel art.

use tiny_skia::{PathBuilder, Rect};

use super::pixel_font;
use crate::draw::{Canvas, Color};

/// Where a figure looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Facing {
    /// Away from the viewer.
    Up,
    /// Towards the viewer.
    Down,
    /// To the left.
    Left,
    /// To the right.
    Right,
}

/// A rectangle with round corners.
pub(super) fn rounded(
    canvas: &mut Canvas,
    at: (f32, f32),
    size: (f32, f32),
    radius: f32,
    color: Color,
) {
    let ((x, y), (w, h)) = (at, size);
    let r = radius.min(w / 2.0).min(h / 2.0);
    let mut path = PathBuilder::new();
    path.move_to(x + r, y);
    path.line_to(x + w - r, y);
    path.quad_to(x + w, y, x + w, y + r);
    path.line_to(x + w, y + h - r);
    path.quad_to(x + w, y + h, x + w - r, y + h);
    path.line_to(x + r, y + h);
    path.quad_to(x, y + h, x, y + h - r);
    path.line_to(x, y + r);
    path.quad_to(x, y, x + r, y);
    path.close();
    if let Some(path) = path.finish() {
        canvas.fill(&path, color);
    }
}

fn ellipse(canvas: &mut Canvas, x: f32, y: f32, w: f32, h: f32, color: Color) {
    if let Some(path) = Rect::from_xywh(x, y, w, h).and_then(PathBuilder::from_oval) {
        canvas.fill(&path, color);
    }
}

/// A tile of a world. Shapes inside are placed on a grid of 16 by 16.
pub(super) struct Cell<'a> {
    canvas: &'a mut Canvas,
    corner: (f32, f32),
    size: (f32, f32),
}

/// The elf is drawn as large as a tile and then shrunk about this point.
const ELF: ((f32, f32), f32) = ((8.0, 9.0), 0.76);

impl<'a> Cell<'a> {
    /// The tile with its top left corner and size in pixels.
    pub(super) fn new(canvas: &'a mut Canvas, corner: (u32, u32), size: (u32, u32)) -> Self {
        Self::raised(canvas, corner, size, 0.0)
    }

    /// The tile moved up by a share of its height.
    pub(super) fn raised(
        canvas: &'a mut Canvas,
        corner: (u32, u32),
        size: (u32, u32),
        share: f32,
    ) -> Self {
        let size = (size.0 as f32, size.1 as f32);
        let corner = (corner.0 as f32, corner.1 as f32 - (share * size.1).trunc());
        Self { canvas, corner, size }
    }

    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.corner.0 + x * self.size.0 / 16.0, self.corner.1 + y * self.size.1 / 16.0)
    }

    /// The part of the tile that a figure shrunk about `center` by `scale` fills.
    fn shrunk(&mut self, (center, scale): ((f32, f32), f32)) -> Cell<'_> {
        let (x, y) = self.at(center.0 * (1.0 - scale), center.1 * (1.0 - scale));
        let size = (self.size.0 * scale, self.size.1 * scale);
        Cell { canvas: self.canvas, corner: (x, y), size }
    }

    fn rect(&mut self, x: f32, y: f32, w: f32, h: f32, color: Color) {
        let ((left, top), (right, bottom)) = (self.at(x, y), self.at(x + w, y + h));
        self.canvas.rect(left, top, right - left, bottom - top, color);
    }

    fn oval(&mut self, x: f32, y: f32, w: f32, h: f32, color: Color) {
        let ((left, top), (right, bottom)) = (self.at(x, y), self.at(x + w, y + h));
        ellipse(self.canvas, left, top, right - left, bottom - top, color);
    }

    fn polygon<const N: usize>(&mut self, points: [(f32, f32); N], color: Color) {
        let points = points.map(|(x, y)| self.at(x, y));
        self.canvas.polygon(&points, color);
    }

    /// A border of one pixel.
    pub(super) fn frame(&mut self, color: Color) {
        let ((x, y), (w, h)) = (self.corner, self.size);
        let corners = [
            (x + 0.5, y + 0.5),
            (x + w - 0.5, y + 0.5),
            (x + w - 0.5, y + h - 0.5),
            (x + 0.5, y + h - 0.5),
        ];
        self.canvas.outline(&corners, 1.0, color);
    }

    /// Snow with a few drifts.
    pub(super) fn ice(&mut self) {
        self.rect(0.0, 0.0, 16.0, 16.0, Color::rgb(246, 250, 254));
        let drift = Color::rgb(200, 224, 252);
        let drifts = [
            (0.5, 1.6, 5.0),
            (7.5, 0.8, 6.0),
            (4.0, 4.4, 6.5),
            (11.0, 4.0, 4.5),
            (0.5, 7.6, 5.0),
            (8.0, 8.0, 7.0),
            (3.5, 11.0, 5.5),
            (10.5, 12.2, 5.0),
            (0.5, 14.0, 5.5),
            (7.0, 14.6, 4.0),
        ];
        for (x, y, w) in drifts {
            let crest = (x + 0.3 * w, y - 0.5);
            self.polygon([(x, y), crest, (x + w, y + 1.0), (x + 0.6 * w, y + 1.2)], drift);
        }
    }

    /// A hole in the ice.
    pub(super) fn hole(&mut self) {
        self.oval(0.8, 1.8, 14.4, 13.4, Color::rgb(38, 120, 190));
        self.oval(1.3, 2.8, 13.4, 11.9, Color::rgb(92, 214, 247));
        let gleam = Color::rgb(190, 244, 252);
        for (x, y) in [(4.0, 6.5), (6.0, 9.5), (9.0, 6.0), (8.5, 12.0)] {
            self.polygon(
                [(x, y), (x + 2.6, y - 1.6), (x + 3.0, y - 1.2), (x + 0.4, y + 0.4)],
                gleam,
            );
        }
    }

    /// The hole that the elf fell into.
    pub(super) fn cracked_hole(&mut self) {
        self.hole();
        let dark = Color::rgb(20, 60, 110);
        self.oval(4.5, 6.0, 7.0, 5.0, dark);
        for tip in [(2.0, 4.0), (13.8, 4.5), (2.5, 12.8), (13.0, 13.0), (8.0, 3.0)] {
            self.polygon([(7.2, 8.5), (8.8, 8.5), tip], dark);
        }
        self.shrunk(ELF).elf_hat(0.0, 4.0);
    }

    /// The stool at the start.
    pub(super) fn stool(&mut self) {
        let (dark, wood) = (Color::rgb(62, 34, 44), Color::rgb(128, 74, 80));
        self.rect(6.0, 5.6, 4.0, 5.2, dark);
        self.rect(6.4, 6.0, 3.2, 2.8, wood);
        self.rect(6.2, 9.4, 1.0, 1.2, wood);
        self.rect(8.8, 9.4, 1.0, 1.2, wood);
    }

    /// The goal: a present with a ribbon.
    pub(super) fn present(&mut self) {
        let (edge, paper) = (Color::rgb(52, 40, 48), Color::rgb(122, 82, 70));
        let ribbon = Color::rgb(244, 152, 48);
        self.rect(3.6, 4.4, 9.0, 8.0, edge);
        self.rect(4.0, 4.8, 8.2, 7.2, paper);
        self.rect(4.0, 7.6, 8.2, 0.6, edge);
        self.rect(7.2, 4.8, 1.8, 7.2, ribbon);
        self.rect(4.0, 8.6, 8.2, 1.2, ribbon);
        self.oval(4.8, 3.2, 3.2, 2.4, ribbon);
        self.oval(8.2, 3.2, 3.2, 2.4, ribbon);
    }

    fn elf_hat(&mut self, lean: f32, y: f32) {
        let (green, shade) = (Color::rgb(64, 150, 62), Color::rgb(34, 88, 48));
        self.polygon([(4.8, y + 3.8), (8.0 + lean, y), (11.2, y + 3.8)], green);
        self.rect(4.6, y + 3.4, 6.8, 0.9, shade);
    }

    /// The player.
    pub(super) fn elf(&mut self, facing: Facing) {
        self.shrunk(ELF).large_elf(facing);
    }

    fn large_elf(&mut self, facing: Facing) {
        let (skin, dark) = (Color::rgb(238, 178, 128), Color::rgb(52, 36, 52));
        let (coat, green) = (Color::rgb(190, 52, 48), Color::rgb(64, 150, 62));
        let side = match facing {
            Facing::Left => -1.0,
            Facing::Right => 1.0,
            Facing::Up | Facing::Down => 0.0,
        };
        self.rect(5.6, 10.0, 4.8, 3.0, dark);
        self.rect(6.2, 12.4, 1.4, 1.4, green);
        self.rect(8.4, 12.4, 1.4, 1.4, green);
        self.rect(5.2, 8.8, 5.6, 3.4, coat);
        self.rect(5.2, 10.6, 5.6, 0.5, dark);
        self.rect(5.2, 5.6, 5.6, 3.6, if facing == Facing::Up { green } else { skin });
        for eye in [6.4, 8.8].into_iter().filter(|_| facing != Facing::Up) {
            self.rect(eye + side, 6.8, 0.8, 1.0, dark);
        }
        self.elf_hat(-3.0 * side, 1.8);
    }

    /// A meadow; neighbouring tiles alternate in shade.
    pub(super) fn grass(&mut self, light: bool) {
        let (edge, meadow) = if light {
            (Color::rgb(88, 178, 62), Color::rgb(112, 206, 78))
        } else {
            (Color::rgb(90, 156, 88), Color::rgb(114, 184, 110))
        };
        self.rect(0.0, 0.0, 16.0, 16.0, edge);
        self.rect(0.5, 0.5, 15.0, 15.0, meadow);
        let white = Color::rgb(244, 250, 228);
        self.oval(5.6, 12.4, 1.0, 1.0, white);
        if light {
            self.oval(9.4, 2.2, 1.0, 1.0, white);
            self.oval(13.0, 5.6, 1.0, 1.0, white);
        } else {
            self.oval(9.4, 5.4, 1.3, 1.3, Color::rgb(236, 150, 44));
        }
    }

    /// The rim of the cliff at the bottom of a meadow.
    pub(super) fn cliff_edge(&mut self) {
        let (rim, rock) = (Color::rgb(58, 38, 46), Color::rgb(132, 76, 76));
        self.rect(0.0, 11.2, 16.0, 0.6, rim);
        self.rect(0.0, 11.8, 16.0, 4.2, rock);
        for x in [1.5, 6.0, 10.5, 14.0] {
            self.rect(x, 12.0, 0.9, 4.0, Color::rgb(168, 104, 92));
        }
    }

    /// The abyss.
    pub(super) fn cliff(&mut self) {
        self.rect(0.0, 0.0, 16.0, 16.0, Color::rgb(52, 24, 34));
        self.rect(0.0, 0.0, 16.0, 2.4, Color::rgb(104, 58, 64));
    }

    /// The goal on the cliff: a cookie.
    pub(super) fn cookie(&mut self) {
        self.oval(4.4, 4.4, 7.2, 7.2, Color::rgb(104, 58, 44));
        self.oval(4.8, 4.6, 6.4, 6.4, Color::rgb(232, 164, 92));
        for (x, y) in [(6.0, 6.0), (8.8, 5.8), (7.4, 7.8), (5.8, 9.0), (9.4, 8.6)] {
            self.oval(x, y, 1.0, 1.0, Color::rgb(122, 72, 50));
        }
    }

    /// The passenger.
    pub(super) fn passenger(&mut self) {
        let dark = Color::rgb(66, 36, 38);
        self.oval(5.0, 1.2, 6.2, 5.6, dark);
        self.rect(5.9, 3.6, 4.4, 2.8, Color::rgb(240, 184, 140));
        self.rect(6.6, 4.2, 0.7, 0.9, dark);
        self.rect(8.9, 4.2, 0.7, 0.9, dark);
        self.rect(5.8, 6.4, 4.6, 2.2, Color::rgb(196, 88, 70));
        self.rect(6.3, 8.4, 1.4, 0.8, dark);
        self.rect(8.5, 8.4, 1.4, 0.8, dark);
    }

    /// The destination: a house, somewhat transparent.
    pub(super) fn hotel(&mut self) {
        const ALPHA: u8 = 200;
        let wall = Color(226, 178, 128, ALPHA);
        let (frame, glass) = (Color(120, 62, 66, ALPHA), Color(108, 158, 196, ALPHA));
        self.rect(2.0, 0.5, 13.6, 15.0, frame);
        self.rect(2.4, 1.0, 12.8, 2.6, Color(244, 226, 196, ALPHA));
        self.rect(2.6, 4.2, 12.4, 11.0, wall);
        for y in [5.0, 8.4] {
            for x in [3.6, 7.2, 10.8] {
                self.rect(x, y, 2.8, 2.2, glass);
            }
        }
        self.rect(7.0, 11.8, 3.4, 3.4, glass);
    }

    /// The taxi.
    pub(super) fn taxi(&mut self, facing: Facing) {
        let (yellow, shade) = (Color::rgb(250, 198, 24), Color::rgb(190, 132, 20));
        let (dark, glass) = (Color::rgb(44, 40, 44), Color::rgb(74, 92, 104));
        match facing {
            Facing::Left | Facing::Right => {
                let nose = if facing == Facing::Left { 1.8 } else { 12.6 };
                self.rect(7.0, 3.6, 2.2, 1.4, Color::WHITE);
                self.polygon([(3.4, 7.8), (5.2, 4.6), (11.0, 4.6), (12.8, 7.8)], yellow);
                self.polygon([(4.6, 7.6), (5.8, 5.2), (7.8, 5.2), (7.8, 7.6)], glass);
                self.polygon([(8.4, 7.6), (8.4, 5.2), (10.4, 5.2), (11.6, 7.6)], glass);
                self.rect(1.8, 7.4, 12.4, 3.4, yellow);
                self.rect(1.8, 10.0, 12.4, 0.9, shade);
                self.rect(nose, 8.0, 1.6, 1.0, Color::WHITE);
                for wheel in [3.4, 9.8] {
                    self.oval(wheel, 9.4, 2.8, 2.8, dark);
                    self.oval(wheel + 0.8, 10.2, 1.2, 1.2, Color::rgb(150, 150, 150));
                }
            }
            Facing::Up | Facing::Down => {
                let lamp =
                    if facing == Facing::Down { Color::WHITE } else { Color::rgb(214, 52, 44) };
                self.rect(7.0, 2.6, 2.0, 1.2, Color::WHITE);
                self.rect(4.0, 11.6, 2.0, 1.8, dark);
                self.rect(10.0, 11.6, 2.0, 1.8, dark);
                self.polygon([(4.2, 7.6), (5.2, 3.8), (10.8, 3.8), (11.8, 7.6)], yellow);
                self.polygon([(5.0, 7.2), (5.8, 4.6), (10.2, 4.6), (11.0, 7.2)], glass);
                self.rect(3.6, 7.2, 8.8, 5.2, yellow);
                self.rect(3.6, 10.6, 8.8, 1.4, shade);
                self.rect(4.2, 8.4, 1.8, 1.4, lamp);
                self.rect(10.0, 8.4, 1.8, 1.4, lamp);
            }
        }
    }
}

/// A playing card, face up: its rank in two corners and, by its value, its suits or its letter.
pub(super) fn card(
    canvas: &mut Canvas,
    at: (f32, f32),
    size: (f32, f32),
    rank: &str,
    value: u8,
    suit: usize,
) {
    let ink = match suit {
        1 | 2 => Color::rgb(178, 62, 70),
        _ => Color::rgb(70, 66, 96),
    };
    card_body(canvas, at, size);
    let small = 2.6;
    pixel_font::write(canvas, rank, (at.0 + 9.0, at.1 + 10.0), small, ink);
    pip(canvas, suit, (at.0 + 15.5, at.1 + 36.0), 6.0, ink);
    let corner = (at.0 + size.0 - 22.0, at.1 + size.1 - 30.0);
    pixel_font::write(canvas, rank, corner, small, ink);
    pip(canvas, suit, (corner.0 + 6.5, corner.1 - 10.0), 6.0, ink);

    let middle = (at.0 + size.0 / 2.0, at.1 + size.1 / 2.0);
    match value {
        1 => pip(canvas, suit, middle, 26.0, ink),
        10 => {
            let pixel = 9.0;
            let left = middle.0 - pixel_font::width(rank, pixel) / 2.0;
            pixel_font::write(canvas, rank, (left, middle.1 - 3.5 * pixel), pixel, ink);
        }
        _ => {
            for &(x, y) in pips(value) {
                pip(canvas, suit, (middle.0 + 22.0 * x, middle.1 + 50.0 * y), 10.0, ink);
            }
        }
    }
}

/// Where the suits of a number card are, in -1 to 1 from the middle.
fn pips(value: u8) -> &'static [(f32, f32)] {
    const LEFT: f32 = -1.0;
    const RIGHT: f32 = 1.0;
    const THIRD: f32 = 1.0 / 3.0;
    match value {
        2 => &[(0.0, -1.0), (0.0, 1.0)],
        3 => &[(0.0, -1.0), (0.0, 0.0), (0.0, 1.0)],
        4 => &[(LEFT, -1.0), (RIGHT, -1.0), (LEFT, 1.0), (RIGHT, 1.0)],
        5 => &[(LEFT, -1.0), (RIGHT, -1.0), (0.0, 0.0), (LEFT, 1.0), (RIGHT, 1.0)],
        6 => &[(LEFT, -1.0), (RIGHT, -1.0), (LEFT, 0.0), (RIGHT, 0.0), (LEFT, 1.0), (RIGHT, 1.0)],
        7 => &[
            (LEFT, -1.0),
            (RIGHT, -1.0),
            (0.0, -0.5),
            (LEFT, 0.0),
            (RIGHT, 0.0),
            (LEFT, 1.0),
            (RIGHT, 1.0),
        ],
        8 => &[
            (LEFT, -1.0),
            (RIGHT, -1.0),
            (0.0, -0.5),
            (LEFT, 0.0),
            (RIGHT, 0.0),
            (0.0, 0.5),
            (LEFT, 1.0),
            (RIGHT, 1.0),
        ],
        _ => &[
            (LEFT, -1.0),
            (RIGHT, -1.0),
            (LEFT, -THIRD),
            (RIGHT, -THIRD),
            (0.0, 0.0),
            (LEFT, THIRD),
            (RIGHT, THIRD),
            (LEFT, 1.0),
            (RIGHT, 1.0),
        ],
    }
}

fn card_body(canvas: &mut Canvas, at: (f32, f32), size: (f32, f32)) {
    rounded(canvas, at, size, 12.0, Color::rgb(34, 34, 56));
    let inner = (size.0 - 6.0, size.1 - 5.0);
    rounded(canvas, (at.0 + 3.0, at.1 + 2.0), inner, 10.0, Color::rgb(243, 243, 243));
}

/// A playing card, face down.
pub(super) fn card_back(canvas: &mut Canvas, at: (f32, f32), size: (f32, f32)) {
    let red = Color::rgb(186, 98, 108);
    card_body(canvas, at, size);
    let inset = |by: f32| ((at.0 + by, at.1 + by), (size.0 - 2.0 * by, size.1 - 2.0 * by));
    for (by, color) in [(9.0, red), (12.0, Color::WHITE), (15.0, red), (17.0, Color::WHITE)] {
        let ((x, y), (w, h)) = inset(by);
        canvas.rect(x, y, w, h, color);
    }
    let ((x, y), (w, h)) = inset(19.0);
    let (stripe, gap) = (4.0, 8.0);
    let mut start = -h;
    while start < w {
        // A stripe falling to the right, cut at the sides.
        let at = |along: f32| (x + (start + along).clamp(0.0, w), y + along);
        let (from, to) = ((-start).max(0.0), (w - start).min(h));
        if from + stripe < to {
            canvas.line(at(from), at(to), stripe, red);
        }
        start += gap;
    }
}

/// A suit's sign of half-width `r` about `(x, y)`: clubs, diamonds, hearts, spades.
fn pip(canvas: &mut Canvas, suit: usize, (x, y): (f32, f32), r: f32, ink: Color) {
    let stem = [(x, y), (x + 0.45 * r, y + 1.1 * r), (x - 0.45 * r, y + 1.1 * r)];
    match suit {
        0 => {
            for (dx, dy) in [(0.0, -0.5), (-0.5, 0.2), (0.5, 0.2)] {
                canvas.circle(x + dx * r, y + dy * r, 0.5 * r, ink);
            }
            canvas.polygon(&stem, ink);
        }
        1 => {
            let corners = [(x, y - 1.1 * r), (x + 0.8 * r, y), (x, y + 1.1 * r), (x - 0.8 * r, y)];
            canvas.polygon(&corners, ink);
        }
        2 => {
            canvas.circle(x - 0.48 * r, y - 0.35 * r, 0.52 * r, ink);
            canvas.circle(x + 0.48 * r, y - 0.35 * r, 0.52 * r, ink);
            canvas.polygon(
                &[(x - 0.95 * r, y - 0.1 * r), (x + 0.95 * r, y - 0.1 * r), (x, y + r)],
                ink,
            );
        }
        _ => {
            canvas.circle(x - 0.48 * r, y + 0.25 * r, 0.52 * r, ink);
            canvas.circle(x + 0.48 * r, y + 0.25 * r, 0.52 * r, ink);
            canvas.polygon(
                &[(x - 0.95 * r, y + 0.05 * r), (x + 0.95 * r, y + 0.05 * r), (x, y - r)],
                ink,
            );
            canvas.polygon(&stem, ink);
        }
    }
}

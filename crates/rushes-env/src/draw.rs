//! The drawing surface of environments: a thin layer over tiny-skia.

use tiny_skia::{
    FillRule, FilterQuality, LineCap, Paint, Path, PathBuilder, Pixmap, PixmapPaint, PixmapRef,
    Rect, Stroke, Transform,
};

use crate::coverage::Coverage;

/// An opaque or translucent colour, 8 bits a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color(pub u8, pub u8, pub u8, pub u8);

impl Color {
    /// Opaque black.
    pub const BLACK: Color = Color::rgb(0, 0, 0);
    /// Opaque white.
    pub const WHITE: Color = Color::rgb(255, 255, 255);

    /// An opaque colour.
    pub const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Self(red, green, blue, 255)
    }

    fn paint(self) -> Paint<'static> {
        let mut paint = Paint::default();
        paint.set_color_rgba8(self.0, self.1, self.2, self.3);
        paint.anti_alias = true;
        paint
    }
}

/// A picture being drawn. Coordinates are the environment's native pixels, the origin at the top left and
/// y downwards; a canvas made smaller than native scales what is drawn.
#[derive(Clone)]
pub struct Canvas {
    pixmap: Pixmap,
    transform: Transform,
    /// What [`Canvas::polygons`] covers, from its first call on.
    coverage: Option<Coverage>,
}

impl Canvas {
    /// An empty picture of `width` × `height` pixels.
    ///
    /// # Panics
    /// Panics if a side is zero.
    pub fn new(width: u32, height: u32) -> Self {
        let pixmap = Pixmap::new(width, height).expect("a canvas has at least one pixel");
        Self { pixmap, transform: Transform::identity(), coverage: None }
    }

    /// Maps native coordinates onto this canvas: `(x, y) → (x·scale_x + dx, y·scale_y + dy)`.
    pub fn set_view(&mut self, scale_x: f32, scale_y: f32, dx: f32, dy: f32) {
        self.transform = Transform::from_row(scale_x, 0.0, 0.0, scale_y, dx, dy);
    }

    /// The native coordinates of a point of this canvas, and how many native pixels one of its pixels is wide.
    pub fn to_native(&self, x: f32, y: f32) -> (f32, f32, f32) {
        let Transform { sx, sy, tx, ty, .. } = self.transform;
        ((x - tx) / sx, (y - ty) / sy, 1.0 / sx)
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.pixmap.width()
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.pixmap.height()
    }

    /// The pixels, 4 bytes each: red, green, blue, alpha (opaque once the background is filled).
    pub fn rgba(&self) -> &[u8] {
        self.pixmap.data()
    }

    /// The pixels, to be written directly (pixel-exact copies, captions).
    pub fn rgba_mut(&mut self) -> &mut [u8] {
        self.pixmap.data_mut()
    }

    /// Fills the whole picture.
    pub fn clear(&mut self, color: Color) {
        let Color(r, g, b, a) = color;
        self.pixmap.fill(tiny_skia::Color::from_rgba8(r, g, b, a));
    }

    /// Draws a whole picture, 3 bytes a pixel (red, green, blue), whose top left corner is the origin.
    ///
    /// # Panics
    /// Panics if `rgb` has not `width` × `height` pixels, or none.
    pub fn picture(&mut self, rgb: &[u8], width: u32, height: u32) {
        let pixels = rgb.as_chunks::<3>().0.iter();
        if self.transform.is_identity() && (self.width(), self.height()) == (width, height) {
            let to = self.pixmap.data_mut().as_chunks_mut::<4>().0;
            for (to, &[red, green, blue]) in to.iter_mut().zip(pixels) {
                *to = [red, green, blue, 255];
            }
            return;
        }
        let rgba: Vec<u8> =
            pixels.flat_map(|&[red, green, blue]| [red, green, blue, 255]).collect();
        let picture = PixmapRef::from_bytes(&rgba, width, height).expect("a picture of that size");
        let paint = PixmapPaint { quality: FilterQuality::Bilinear, ..PixmapPaint::default() };
        self.clear(Color::BLACK);
        self.pixmap.draw_pixmap(0, 0, picture, &paint, self.transform, None);
    }

    /// Fills an axis-aligned rectangle.
    pub fn rect(&mut self, x: f32, y: f32, width: f32, height: f32, color: Color) {
        if let Some(rect) = Rect::from_xywh(x, y, width, height) {
            self.pixmap.fill_rect(rect, &color.paint(), self.transform, None);
        }
    }

    /// Fills a polygon.
    pub fn polygon(&mut self, points: &[(f32, f32)], color: Color) {
        if let Some(path) = path(points, true) {
            self.fill(&path, color);
        }
    }

    /// Fills many polygons in one go, without seams between neighbours: several times as fast as one by one.
    pub fn polygons<P>(&mut self, polygons: impl IntoIterator<Item = P>, color: Color)
    where
        P: IntoIterator<Item = (f32, f32), IntoIter: Clone>,
    {
        let (width, height) = (self.width(), self.height());
        let coverage = self.coverage.get_or_insert_with(|| Coverage::new(width, height));
        let Transform { sx, sy, tx, ty, .. } = self.transform;
        for polygon in polygons {
            coverage.add(polygon.into_iter().map(|(x, y)| (x * sx + tx, y * sy + ty)));
        }
        let Color(red, green, blue, alpha) = color;
        let source = [red, green, blue, 255];
        // The four channels of a pixel, 16 bits each, are mixed in one go.
        let wide = |[r, g, b, a]: [u8; 4]| u64::from_le_bytes([r, 0, g, 0, b, 0, a, 0]);
        let pixels = self.pixmap.data_mut().as_chunks_mut::<4>().0;
        coverage.drain(|run, covered| match u64::from(covered) * u64::from(alpha) / 255 {
            256 => pixels[run].fill(source),
            share => {
                let part = wide(source) * share + wide([128; 4]);
                for pixel in &mut pixels[run] {
                    let [_, r, _, g, _, b, _, a] =
                        (part + wide(*pixel) * (256 - share)).to_le_bytes();
                    *pixel = [r, g, b, a];
                }
            }
        });
    }

    /// Strokes a closed polygon's outline.
    pub fn outline(&mut self, points: &[(f32, f32)], width: f32, color: Color) {
        if let Some(path) = path(points, true) {
            self.stroke(&path, width, color);
        }
    }

    /// Strokes an open line through `points`.
    pub fn polyline(&mut self, points: &[(f32, f32)], width: f32, color: Color) {
        if let Some(path) = path(points, false) {
            self.stroke(&path, width, color);
        }
    }

    /// Strokes a straight line.
    pub fn line(&mut self, from: (f32, f32), to: (f32, f32), width: f32, color: Color) {
        self.polyline(&[from, to], width, color);
    }

    /// Fills a circle.
    pub fn circle(&mut self, x: f32, y: f32, radius: f32, color: Color) {
        if let Some(path) = PathBuilder::from_circle(x, y, radius) {
            self.fill(&path, color);
        }
    }

    /// Fills a path made by tiny-skia's own builder (curves, ellipses).
    pub fn fill(&mut self, path: &Path, color: Color) {
        self.pixmap.fill_path(path, &color.paint(), FillRule::Winding, self.transform, None);
    }

    /// Strokes a path made by tiny-skia's own builder.
    pub fn stroke(&mut self, path: &Path, width: f32, color: Color) {
        let stroke = Stroke { width, line_cap: LineCap::Butt, ..Stroke::default() };
        self.pixmap.stroke_path(path, &color.paint(), &stroke, self.transform, None);
    }
}

/// A PNG file of an opaque picture: `rgba` is `width` × `height` × 4 bytes.
///
/// # Panics
/// Panics if `rgba` is not of that size.
pub fn png(rgba: &[u8], width: u32, height: u32) -> Vec<u8> {
    PixmapRef::from_bytes(rgba, width, height)
        .and_then(|picture| picture.encode_png().ok())
        .expect("a whole picture, encoded in memory")
}

fn path(points: &[(f32, f32)], close: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    let (first, rest) = points.split_first()?;
    builder.move_to(first.0, first.1);
    for point in rest {
        builder.line_to(point.0, point.1);
    }
    if close {
        builder.close();
    }
    builder.finish()
}

//! A few letters as blocks of pixels, for Blackjack's table.

use tiny_skia::{PathBuilder, Rect};

use crate::draw::{Canvas, Color};

/// Blocks from the top of a letter to the bottom of a descender.
const ROWS: usize = 8;
/// Blocks of a letter's width.
const COLUMNS: usize = 5;

/// The rows of a letter, the leftmost block in the highest of five bits; empty for letters that no table
/// needs.
#[rustfmt::skip]
const fn glyph(letter: char) -> [u8; ROWS] {
    match letter {
        'D' => [0b11110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11110, 0b00000],
        'P' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000, 0b00000],
        'A' => [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001, 0b00000],
        'J' => [0b00111, 0b00010, 0b00010, 0b00010, 0b10010, 0b10010, 0b01100, 0b00000],
        'Q' => [0b01110, 0b10001, 0b10001, 0b10001, 0b10101, 0b10010, 0b01101, 0b00000],
        'K' => [0b10001, 0b10010, 0b10100, 0b11000, 0b10100, 0b10010, 0b10001, 0b00000],
        'a' => [0b00000, 0b00000, 0b01110, 0b00001, 0b01111, 0b10001, 0b01111, 0b00000],
        'b' => [0b10000, 0b10000, 0b10110, 0b11001, 0b10001, 0b10001, 0b11110, 0b00000],
        'c' => [0b00000, 0b00000, 0b01110, 0b10001, 0b10000, 0b10001, 0b01110, 0b00000],
        'e' => [0b00000, 0b00000, 0b01110, 0b10001, 0b11111, 0b10000, 0b01111, 0b00000],
        'l' => [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b01000, 0b00000],
        'r' => [0b00000, 0b00000, 0b10110, 0b11001, 0b10000, 0b10000, 0b10000, 0b00000],
        's' => [0b00000, 0b00000, 0b01111, 0b10000, 0b01110, 0b00001, 0b11110, 0b00000],
        'u' => [0b00000, 0b00000, 0b10001, 0b10001, 0b10001, 0b10001, 0b01111, 0b00000],
        'y' => [0b00000, 0b00000, 0b10001, 0b10001, 0b10001, 0b01111, 0b00001, 0b01110],
        ':' => [0b00000, 0b10000, 0b10000, 0b00000, 0b00000, 0b10000, 0b10000, 0b00000],
        '0' => [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110, 0b00000],
        '1' => [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110, 0b00000],
        '2' => [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111, 0b00000],
        '3' => [0b01110, 0b10001, 0b00001, 0b00110, 0b00001, 0b10001, 0b01110, 0b00000],
        '4' => [0b00011, 0b00101, 0b01001, 0b10001, 0b11111, 0b00001, 0b00001, 0b00000],
        '5' => [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110, 0b00000],
        '6' => [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110, 0b00000],
        '7' => [0b11111, 0b10001, 0b00001, 0b00010, 0b00100, 0b00100, 0b00100, 0b00000],
        '8' => [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110, 0b00000],
        '9' => [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100, 0b00000],
        _ => [0; ROWS],
    }
}

/// Blocks that a letter advances by, the gap included.
fn advance(letter: char) -> f32 {
    match letter {
        'l' => 3.0,
        ':' => 2.0,
        ' ' => 4.0,
        _ => (COLUMNS + 1) as f32,
    }
}

/// The width of `text` with blocks of `pixel` pixels.
pub(super) fn width(text: &str, pixel: f32) -> f32 {
    pixel * (text.chars().map(advance).sum::<f32>() - 1.0)
}

/// Writes `text` with its top left corner at `(x, y)`.
pub(super) fn write(canvas: &mut Canvas, text: &str, (x, y): (f32, f32), pixel: f32, color: Color) {
    // A little wider than its place, as the reference's bold letters.
    let block = 1.2 * pixel;
    // One path for all, so that no seam shows between neighbours.
    let mut path = PathBuilder::new();
    let mut x = x;
    for letter in text.chars() {
        for (row, bits) in glyph(letter).into_iter().enumerate() {
            for column in 0..COLUMNS {
                if bits >> (COLUMNS - 1 - column) & 1 == 1 {
                    let at = (x + column as f32 * pixel, y + row as f32 * pixel);
                    if let Some(rect) = Rect::from_xywh(at.0, at.1, block, pixel) {
                        path.push_rect(rect);
                    }
                }
            }
        }
        x += advance(letter) * pixel;
    }
    if let Some(path) = path.finish() {
        canvas.fill(&path, color);
    }
}

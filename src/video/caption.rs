//! The line of text in a video: agent, training, return so far.
//!
//! Where it goes was chosen by looking at all environments' frames from 96 to 1000 pixels. It is a small
//! translucent box in the top left corner: sky, track or margin in most environments, where the bottom holds
//! ground, dashboards and starting tiles; and the picture keeps its size. A picture too narrow for one line
//! of legible text (about 200 pixels) would be half covered, and gets a bar below it instead, which makes the
//! video taller.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::OnceLock;

use fontdue::{Font, FontSettings, Metrics};

/// Inter Medium: drawn for screens, legible at 10 pixels. SIL Open Font License, beside the file.
static INTER: &[u8] = include_bytes!("../../assets/fonts/Inter-Medium.otf");

/// The smallest text that stays legible after compression, in pixels an em.
const SMALLEST: f32 = 10.0;
const LARGEST: f32 = 24.0;
/// Room is kept for a return as long as this, so that the box does not have to grow in mid-episode.
const LONG_RETURN: &str = "return −8888.8";
const SEPARATOR: &str = "  ·  ";
const TEXT: [u8; 3] = [255; 3];
const BOX: [u8; 3] = [0; 3];
const BOX_OPACITY: u8 = 150;
const BAR: [u8; 3] = [24, 24, 27];

/// What a caption says beside the return.
#[derive(Debug, Clone)]
pub struct CaptionInfo {
    /// The agent's name.
    pub agent: String,
    /// Environment steps of training; `None` for an agent that does not learn.
    pub trained_steps: Option<u64>,
    /// Episodes in the take; which one is playing is only told where there are several.
    pub episodes: usize,
}

/// Draws one take's caption into its frames.
pub struct Caption {
    glyphs: Glyphs,
    width: usize,
    height: usize,
    place: Place,
    /// The text before the episode and the return: line by line.
    lines: Vec<String>,
    episodes: usize,
    /// The widest box so far, so that it never shrinks while it plays.
    box_width: usize,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// A box in the top left corner of the picture.
    Corner,
    /// A bar below the picture, this high.
    Below(u32),
}

impl Caption {
    /// Lays a caption out for pictures of `width` × `height` pixels.
    pub fn new(info: &CaptionInfo, width: u32, height: u32) -> Self {
        let size = (width.min(height) as f32 / 27.0).round().clamp(SMALLEST, LARGEST);
        let mut fields = vec![info.agent.clone()];
        match info.trained_steps {
            Some(0) => fields.push("untrained".to_owned()),
            Some(steps) => fields.push(format!("trained {} steps", grouped(steps))),
            None => {}
        }
        let mut caption = Self {
            glyphs: Glyphs::new(size),
            width: width as usize,
            height: height as usize,
            place: Place::Corner,
            lines: Vec::new(),
            episodes: info.episodes,
            box_width: 0,
            text: String::new(),
        };
        let tail = caption.longest_tail();
        for size in [size, SMALLEST] {
            caption.glyphs = Glyphs::new(size);
            let line = [fields.join(SEPARATOR), tail.clone()].join(SEPARATOR);
            if caption.glyphs.width(&line) + 4 * caption.glyphs.padding() <= caption.width {
                caption.lines = vec![fields.join(SEPARATOR)];
                return caption;
            }
        }
        let room = caption.width.saturating_sub(2 * caption.glyphs.padding());
        caption.lines = wrap(&fields, &mut caption.glyphs, room);
        let lines = caption.lines.len() + 1;
        let bar = lines * caption.glyphs.line_height() + 2 * caption.glyphs.padding();
        caption.place = Place::Below(bar as u32);
        caption
    }

    /// By how much the caption makes a picture taller; 0 where it lies in the picture.
    pub fn bar_height(&self) -> u32 {
        match self.place {
            Place::Corner => 0,
            Place::Below(height) => height,
        }
    }

    /// Writes the caption into a frame: `width` × (`height` + [`Caption::bar_height`]) × 4 bytes.
    ///
    /// `episode` counts from 0, `total` is the return so far.
    ///
    /// # Panics
    /// Where `rgba` is not such a frame.
    pub fn draw(&mut self, rgba: &mut [u8], episode: usize, total: f64) {
        let height = self.height + self.bar_height() as usize;
        assert_eq!(rgba.len(), self.width * height * 4, "one whole picture");
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        self.write_tail(&mut text, episode, total);
        let padding = self.glyphs.padding();
        let line_height = self.glyphs.line_height();
        let mut picture = Picture { rgba, width: self.width, height };
        match self.place {
            Place::Corner => {
                text.insert_str(0, SEPARATOR);
                text.insert_str(0, &self.lines[0]);
                let text_width = self.glyphs.width(&text);
                self.box_width = self.box_width.max(text_width + 2 * padding);
                picture.fill(
                    padding,
                    padding,
                    self.box_width,
                    line_height + padding,
                    BOX,
                    BOX_OPACITY,
                );
                self.glyphs.draw(&mut picture, 2 * padding, padding + padding / 2, &text);
            }
            Place::Below(bar) => {
                picture.fill(0, self.height, self.width, bar as usize, BAR, 255);
                let lines = self.lines.iter().map(String::as_str).chain([&*text]);
                for (index, line) in lines.enumerate() {
                    let y = self.height + padding + index * line_height;
                    self.glyphs.draw(&mut picture, padding, y, line);
                }
            }
        }
        self.text = text;
    }

    fn longest_tail(&self) -> String {
        if self.episodes > 1 {
            format!("episode {0}/{0}{SEPARATOR}{LONG_RETURN}", self.episodes)
        } else {
            LONG_RETURN.to_owned()
        }
    }

    /// What changes from frame to frame.
    fn write_tail(&self, text: &mut String, episode: usize, total: f64) {
        // Writing to a String cannot fail.
        if self.episodes > 1 {
            let _ = write!(text, "episode {}/{}{SEPARATOR}", episode + 1, self.episodes);
        }
        let sign = if total < 0.0 { "−" } else { "" };
        let total = total.abs();
        let _ = if total.fract() == 0.0 {
            write!(text, "return {sign}{total:.0}")
        } else {
            write!(text, "return {sign}{total:.1}")
        };
    }
}

/// `1234567` → `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// As many fields on a line as fit; one that is too long for a line of its own is cut.
fn wrap(fields: &[String], glyphs: &mut Glyphs, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for field in fields {
        if let Some(line) = lines.last_mut() {
            let joined = format!("{line}{SEPARATOR}{field}");
            if glyphs.width(&joined) <= room {
                *line = joined;
                continue;
            }
        }
        let mut field = field.clone();
        while glyphs.width(&field) > room && field.chars().count() > 1 {
            field.truncate(field.trim_end_matches('…').len());
            field.pop();
            field.push('…');
        }
        lines.push(field);
    }
    lines
}

/// Glyphs of the embedded font at one size, rasterised when first needed.
struct Glyphs {
    font: &'static Font,
    size: f32,
    /// Pixels from the top of a line to its baseline.
    ascent: i32,
    /// The width of every digit, so that a running number does not jump.
    digit: f32,
    cache: HashMap<char, (Metrics, Vec<u8>)>,
}

impl Glyphs {
    fn new(size: f32) -> Self {
        static FONT: OnceLock<Font> = OnceLock::new();
        let font = FONT.get_or_init(|| {
            let settings = FontSettings { load_substitutions: false, ..FontSettings::default() };
            Font::from_bytes(INTER, settings).expect("the embedded font is whole")
        });
        Self {
            font,
            size,
            ascent: size.round() as i32,
            digit: font.metrics('0', size).advance_width,
            cache: HashMap::new(),
        }
    }

    fn line_height(&self) -> usize {
        (self.size * 1.3).round() as usize
    }

    fn padding(&self) -> usize {
        (self.size * 0.4).round() as usize
    }

    fn glyph(&mut self, character: char) -> &(Metrics, Vec<u8>) {
        let (font, size) = (self.font, self.size);
        self.cache.entry(character).or_insert_with(|| font.rasterize(character, size))
    }

    fn advance(&mut self, character: char) -> f32 {
        if character.is_ascii_digit() { self.digit } else { self.glyph(character).0.advance_width }
    }

    fn width(&mut self, text: &str) -> usize {
        text.chars().map(|character| self.advance(character)).sum::<f32>().ceil() as usize
    }

    /// `x` and `y` are the top left corner of the line.
    fn draw(&mut self, picture: &mut Picture<'_>, x: usize, y: usize, text: &str) {
        let baseline = y as i32 + self.ascent;
        let mut pen = x as f32;
        for character in text.chars() {
            let advance = self.advance(character);
            let (metrics, coverage) = self.glyph(character);
            let left =
                (pen + (advance - metrics.advance_width) / 2.0).round() as i32 + metrics.xmin;
            let top = baseline - metrics.ymin - metrics.height as i32;
            for (row, line) in coverage.chunks_exact(metrics.width.max(1)).enumerate() {
                for (column, &opacity) in line.iter().enumerate() {
                    picture.blend(left + column as i32, top + row as i32, TEXT, opacity);
                }
            }
            pen += advance;
        }
    }
}

/// Pixels that are written over.
struct Picture<'a> {
    rgba: &'a mut [u8],
    width: usize,
    height: usize,
}

impl Picture<'_> {
    /// A rectangle, cut at the picture's edges.
    fn fill(
        &mut self,
        x: usize,
        y: usize,
        width: usize,
        height: usize,
        color: [u8; 3],
        opacity: u8,
    ) {
        for y in y..(y + height).min(self.height) {
            for x in x..(x + width).min(self.width) {
                self.blend(x as i32, y as i32, color, opacity);
            }
        }
    }

    /// One pixel; nothing outside the picture.
    fn blend(&mut self, x: i32, y: i32, color: [u8; 3], opacity: u8) {
        if x < 0 || y < 0 || x as usize >= self.width || y as usize >= self.height {
            return;
        }
        let at = (y as usize * self.width + x as usize) * 4;
        let opacity = u32::from(opacity);
        for (below, above) in self.rgba[at..at + 3].iter_mut().zip(color) {
            let mixed = u32::from(*below) * (255 - opacity) + u32::from(above) * opacity;
            *below = ((mixed + 127) / 255) as u8;
        }
        self.rgba[at + 3] = 255;
    }
}

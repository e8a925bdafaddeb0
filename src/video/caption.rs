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
/// Names are cut to no less than this before the caption moves below the picture.
const SHORTEST_NAME: usize = 8;
/// Room is kept for numbers as long as these, so that an agent's takes are laid out alike.
const LONG_TRAINING: u64 = 8_888_888;
const LONG_RETURN: &str = "return −8888.8";
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
    separator: &'static str,
    /// What stays the same over a take: agent, training.
    fields: Vec<String>,
    episodes: usize,
    /// The widest box so far, so that it never shrinks while it plays.
    box_width: usize,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// A box in the top left corner of the picture.
    Corner,
    /// A bar below the picture, this high, a field a line.
    Below(u32),
}

impl Caption {
    /// Lays a caption out for pictures of `width` × `height` pixels.
    ///
    /// The place does not depend on how long the agent was trained, so that an agent's takes all have one
    /// size.
    pub fn new(info: &CaptionInfo, width: u32, height: u32) -> Self {
        let size = (width.min(height) as f32 / 27.0).round().clamp(SMALLEST, LARGEST);
        let mut caption = Self {
            glyphs: Glyphs::new(SMALLEST),
            width: width as usize,
            height: height as usize,
            place: Place::Corner,
            separator: "  ·  ",
            fields: Vec::new(),
            episodes: info.episodes,
            box_width: 0,
            text: String::new(),
        };
        let mut info = info.clone();
        for size in (SMALLEST as u32..=size as u32).rev() {
            if caption.fits(&info, true, size as f32) {
                return caption;
            }
        }
        caption.separator = " · ";
        let mut letters = info.agent.chars().count();
        while letters >= SHORTEST_NAME {
            if caption.fits(&info, false, SMALLEST) {
                return caption;
            }
            letters -= 1;
            info.agent = info.agent.chars().take(letters).chain(['…']).collect();
        }

        let room = caption.width.saturating_sub(2 * caption.glyphs.padding());
        for field in &mut caption.fields {
            caption.glyphs.cut(field, room);
        }
        let lines = caption.fields.len() + 1 + usize::from(caption.episodes > 1);
        let bar = lines * caption.glyphs.line_height() + 2 * caption.glyphs.padding();
        caption.place = Place::Below(bar as u32);
        caption
    }

    /// Takes this size and these fields, and tells whether they fit on one line with long numbers.
    fn fits(&mut self, info: &CaptionInfo, roomy: bool, size: f32) -> bool {
        self.glyphs = Glyphs::new(size);
        self.fields = fields(info, roomy, info.trained_steps);
        let mut line =
            fields(info, roomy, info.trained_steps.map(|steps| steps.max(LONG_TRAINING)));
        line.extend((self.episodes > 1).then(|| format!("episode {0}/{0}", self.episodes)));
        line.push(LONG_RETURN.to_owned());
        let text = line.join(self.separator);
        self.glyphs.width(&text) + 4 * self.glyphs.padding() <= self.width
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
    /// Panics if `rgba` is not such a frame.
    pub fn draw(&mut self, rgba: &mut [u8], episode: usize, total: f64) {
        let height = self.height + self.bar_height() as usize;
        assert_eq!(rgba.len(), self.width * height * 4, "one whole picture");
        let padding = self.glyphs.padding();
        let line_height = self.glyphs.line_height();
        let mut picture = Picture { rgba, width: self.width, height };
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        match self.place {
            Place::Corner => {
                for field in &self.fields {
                    text.push_str(field);
                    text.push_str(self.separator);
                }
                if self.episodes > 1 {
                    write_episode(&mut text, episode, self.episodes);
                    text.push_str(self.separator);
                }
                write_return(&mut text, total);
                self.box_width = self.box_width.max(self.glyphs.width(&text) + 2 * padding);
                let box_height = line_height + padding;
                picture.fill(padding, padding, self.box_width, box_height, BOX, BOX_OPACITY);
                self.glyphs.draw(&mut picture, 2 * padding, padding + padding / 2, &text);
            }
            Place::Below(bar) => {
                picture.fill(0, self.height, self.width, bar as usize, BAR, 255);
                let mut y = self.height + padding;
                for field in &self.fields {
                    self.glyphs.draw(&mut picture, padding, y, field);
                    y += line_height;
                }
                if self.episodes > 1 {
                    write_episode(&mut text, episode, self.episodes);
                    self.glyphs.draw(&mut picture, padding, y, &text);
                    text.clear();
                    y += line_height;
                }
                write_return(&mut text, total);
                self.glyphs.draw(&mut picture, padding, y, &text);
            }
        }
        self.text = text;
    }
}

fn write_episode(text: &mut String, episode: usize, episodes: usize) {
    // Writing to a String cannot fail.
    let _ = write!(text, "episode {}/{episodes}", episode + 1);
}

fn write_return(text: &mut String, total: f64) {
    let sign = if total < 0.0 { "−" } else { "" };
    let (total, decimals) = (total.abs(), usize::from(total.fract() != 0.0));
    let _ = write!(text, "return {sign}{total:.decimals$}");
}

/// What stays the same over a take.
fn fields(info: &CaptionInfo, roomy: bool, trained_steps: Option<u64>) -> Vec<String> {
    let training = match trained_steps {
        Some(0) => Some("untrained".to_owned()),
        Some(steps) if roomy => Some(format!("trained {} steps", grouped(steps))),
        Some(steps) => Some(format!("{} steps", grouped(steps))),
        None => None,
    };
    [info.agent.clone()].into_iter().chain(training).collect()
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

    /// Shortens `text` until it is at most `room` pixels wide.
    fn cut(&mut self, text: &mut String, room: usize) {
        let mut letters = text.chars().count();
        while self.width(text) > room && letters > 1 {
            letters -= 1;
            *text = text.chars().take(letters).chain(['…']).collect();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn info(agent: &str, trained_steps: Option<u64>) -> CaptionInfo {
        CaptionInfo { agent: agent.to_owned(), trained_steps, episodes: 1 }
    }

    /// A picture of one colour with a caption drawn into it.
    fn drawn(caption: &mut Caption, grey: u8, total: f64) -> Vec<u8> {
        let height = caption.height + caption.bar_height() as usize;
        let mut rgba = vec![grey; caption.width * height * 4];
        caption.draw(&mut rgba, 0, total);
        rgba
    }

    #[test]
    fn native_sizes_stay_and_tiny_ones_get_a_bar() {
        for (width, height) in [(256, 256), (500, 500), (600, 400), (720, 240), (1000, 1000)] {
            let caption = Caption::new(&info("reinforce", Some(0)), width, height);
            assert_eq!(caption.bar_height(), 0, "{width}×{height}");
        }
        assert!(Caption::new(&info("reinforce", Some(0)), 96, 96).bar_height() > 0);
    }

    #[test]
    fn an_agents_takes_have_one_size() {
        for width in 16..700 {
            let bar = |steps| Caption::new(&info("reinforce", Some(steps)), width, 96).bar_height();
            assert_eq!(bar(0), bar(1_234_567), "{width}");
        }
    }

    #[test]
    fn text_stands_out_on_light_and_on_dark() {
        for grey in [0, 128, 255] {
            let mut caption = Caption::new(&info("ppo", None), 600, 400);
            let rgba = drawn(&mut caption, grey, 21.0);
            let padding = caption.glyphs.padding();
            let row = |y: usize| &rgba[y * 600 * 4..(y + 1) * 600 * 4];
            let inside = |y: usize| &row(y)[padding * 4..(padding + caption.box_width) * 4];
            let darkest = inside(padding)[0];
            let brightest = (padding..padding + caption.glyphs.line_height())
                .flat_map(|y| inside(y).chunks_exact(4).map(|pixel| pixel[0]))
                .max();
            assert!(darkest <= 105, "the box is dark on {grey}: {darkest}");
            assert!(brightest >= Some(250), "the text is bright on {grey}: {brightest:?}");
            assert!(row(399).chunks_exact(4).all(|p| p[0] == grey), "the rest is left alone");
        }
    }

    #[test]
    fn a_running_number_does_not_jump() {
        let mut caption = Caption::new(&info("ppo", None), 600, 400);
        let widths = [111.0, 444.0, 888.0].map(|total| {
            drawn(&mut caption, 255, total);
            caption.box_width
        });
        assert_eq!(widths, [widths[0]; 3]);
        drawn(&mut caption, 255, 1.0);
        assert_eq!(caption.box_width, widths[0], "it does not shrink either");
    }

    #[test]
    fn any_name_and_any_number_can_be_drawn() {
        for agent in ["", "x", "平衡杆 Ω", &"long".repeat(100)] {
            for (width, height) in [(16, 16), (96, 96), (600, 400)] {
                let mut caption = Caption::new(&info(agent, Some(u64::MAX)), width, height);
                for total in [f64::NAN, f64::INFINITY, -f64::MAX, -0.0] {
                    drawn(&mut caption, 90, total);
                }
            }
        }
    }

    #[test]
    fn steps_are_grouped_by_thousands_and_returns_are_rounded() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        let text = |total| {
            let mut text = String::new();
            write_return(&mut text, total);
            text
        };
        assert_eq!(text(21.0), "return 21");
        assert_eq!(text(-117.26), "return −117.3");
    }
}

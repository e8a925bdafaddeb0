//! The line of text in a video: agent, training, return so far.
//!
//! It stands in a bar above the picture, which makes the video taller and hides nothing: there is no corner that is free
//! in every environment (Blackjack's dealer, FrozenLake's start and Taxi's buildings are in the top left one). Text grows
//! with the picture's width, so that it stays legible where a video is as wide as a phone's screen; what does not fit on
//! one line goes on the next.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::OnceLock;

use fontdue::{Font, FontSettings, Metrics};

/// Inter Medium: drawn for screens, legible at 10 pixels. SIL Open Font License, beside the file.
static INTER: &[u8] = include_bytes!("../../../assets/fonts/Inter-Medium.otf");

/// The smallest text that stays legible after compression, in pixels an em.
const SMALLEST: f32 = 10.0;
/// The largest, likewise.
const LARGEST: f32 = 28.0;
/// So many letters' heights make a picture's width: at the width of a phone, 360 pixels, a letter then has 11 of them.
const WIDTH_IN_LETTERS: f32 = 32.0;
/// Room is kept for numbers as long as these, so that an agent's takes are laid out alike.
const LONG_TRAINING: u64 = 8_888_888;
const LONG_RETURN: &str = "return −8888.8";
const SEPARATOR: &str = "  ·  ";
const TEXT: [u8; 3] = [255; 3];
const BAR: [u8; 3] = [24, 24, 27];

/// What a caption says beside the return.
#[derive(Debug, Clone)]
pub struct CaptionInfo {
    /// The agent's name.
    pub agent: String,
    /// Environment steps of training; `None` for an agent that does not learn.
    pub trained_steps: Option<u64>,
    /// The number of the training episode that is shown; `None` for episodes beside training.
    pub training_episode: Option<u64>,
    /// Episodes in the take; which one is playing is only told where there are several.
    pub episodes: usize,
}

/// Draws one take's caption into its frames.
pub struct Caption {
    glyphs: Glyphs,
    width: usize,
    height: usize,
    lines: Vec<Vec<Field>>,
    episodes: usize,
    text: String,
}

/// A piece of a caption.
#[derive(Debug, Clone)]
enum Field {
    /// What stays the same over a take: agent, training.
    Fixed(String),
    /// Which episode is playing.
    Episode,
    /// The return so far.
    Return,
}

impl Caption {
    /// Lays a caption out for pictures of `width` × `height` pixels.
    ///
    /// How many lines it has does not depend on how long the agent was trained, so that an agent's takes all have one
    /// size.
    pub fn new(info: &CaptionInfo, width: u32, height: u32) -> Self {
        let size = (width as f32 / WIDTH_IN_LETTERS).round().clamp(SMALLEST, LARGEST);
        let mut glyphs = Glyphs::new(size);
        let room = (width as usize).saturating_sub(2 * glyphs.padding());
        let mut agent = info.agent.clone();
        glyphs.cut(&mut agent, room);
        // Each piece with the longest that it may get.
        let mut fields = vec![(Field::Fixed(agent.clone()), agent)];
        if let Some(steps) = info.trained_steps {
            let longest = training(steps.max(LONG_TRAINING));
            fields.push((Field::Fixed(training(steps)), longest));
        }
        if let Some(episode) = info.training_episode {
            let text = |episode| format!("training episode {}", grouped(episode));
            fields.push((Field::Fixed(text(episode)), text(episode.max(LONG_TRAINING))));
        }
        if info.episodes > 1 {
            fields.push((Field::Episode, format!("episode {0}/{0}", info.episodes)));
        }
        fields.push((Field::Return, LONG_RETURN.to_owned()));
        let mut lines: Vec<Vec<Field>> = Vec::new();
        let mut taken = 0;
        for (field, longest) in fields {
            let (wide, between) = (glyphs.width(&longest), glyphs.width(SEPARATOR));
            match lines.last_mut() {
                Some(line) if taken + between + wide <= room => {
                    line.push(field);
                    taken += between + wide;
                }
                _ => {
                    lines.push(vec![field]);
                    taken = wide;
                }
            }
        }
        Self {
            glyphs,
            width: width as usize,
            height: height as usize,
            lines,
            episodes: info.episodes,
            text: String::new(),
        }
    }

    /// By how much the caption makes a picture taller, an even number of pixels.
    pub fn bar_height(&self) -> u32 {
        let bar = self.lines.len() * self.glyphs.line_height() + self.glyphs.padding();
        bar.next_multiple_of(2) as u32
    }

    /// Writes the caption into the top of a frame: `width` × (`height` + [`Caption::bar_height`]) × 4 bytes.
    ///
    /// `episode` counts from 0, `total` is the return so far.
    ///
    /// # Panics
    /// Panics if `rgba` is not such a frame.
    pub fn draw(&mut self, rgba: &mut [u8], episode: usize, total: f64) {
        let bar = self.bar_height() as usize;
        assert_eq!(rgba.len(), self.width * (self.height + bar) * 4, "one whole picture");
        let [r, g, b] = BAR;
        for pixel in rgba[..self.width * bar * 4].chunks_exact_mut(4) {
            pixel.copy_from_slice(&[r, g, b, 255]);
        }
        let padding = self.glyphs.padding();
        let mut picture = Picture { rgba, width: self.width, height: bar };
        let text = &mut self.text;
        for (number, line) in self.lines.iter().enumerate() {
            text.clear();
            for field in line {
                if !text.is_empty() {
                    text.push_str(SEPARATOR);
                }
                match field {
                    Field::Fixed(fixed) => text.push_str(fixed),
                    Field::Episode => write_episode(text, episode, self.episodes),
                    Field::Return => write_return(text, total),
                }
            }
            let y = padding / 2 + number * self.glyphs.line_height();
            self.glyphs.draw(&mut picture, padding, y, text);
        }
    }
}

/// For how long an agent was trained.
fn training(steps: u64) -> String {
    match steps {
        0 => "untrained".to_owned(),
        steps => format!("trained {} steps", grouped(steps)),
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
        CaptionInfo { agent: agent.to_owned(), trained_steps, training_episode: None, episodes: 1 }
    }

    /// A picture of one colour with a caption drawn into it.
    fn drawn(caption: &mut Caption, grey: u8, total: f64) -> Vec<u8> {
        let height = caption.height + caption.bar_height() as usize;
        let mut rgba = vec![grey; caption.width * height * 4];
        caption.draw(&mut rgba, 0, total);
        rgba
    }

    #[test]
    fn a_bar_above_the_picture_holds_one_line_where_there_is_room() {
        let lines = |width| Caption::new(&info("reinforce", Some(0)), width, 400).lines.len();
        assert_eq!([96, 256, 600, 1000].map(lines), [3, 2, 1, 1]);
        let mut caption = Caption::new(&info("ppo", None), 600, 400);
        let bar = caption.bar_height() as usize;
        let rgba = drawn(&mut caption, 200, 21.0);
        let brightness = |rows: std::ops::Range<usize>| {
            rgba[rows.start * 600 * 4..rows.end * 600 * 4].chunks_exact(4).map(|p| p[0])
        };
        assert!(brightness(0..bar).max() >= Some(250), "bright text");
        assert!(brightness(0..1).all(|value| value == BAR[0]), "on a dark bar");
        assert!(brightness(bar..bar + 400).all(|value| value == 200), "nothing is hidden");
    }

    #[test]
    fn text_is_legible_at_the_width_of_a_phone() {
        for width in 100..=1000 {
            let size = Caption::new(&info("reinforce", Some(0)), width, 400).glyphs.size;
            assert!(size * 360.0 / width as f32 >= 10.0, "{width}: {size}");
        }
    }

    #[test]
    fn an_agents_takes_have_one_size() {
        for width in 16..700 {
            let bar = |steps| Caption::new(&info("reinforce", Some(steps)), width, 96).bar_height();
            assert_eq!(bar(0), bar(1_234_567), "{width}");
        }
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

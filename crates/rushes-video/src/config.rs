//! What a user may say about videos, under `recording.video` in an experiment file.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use rushes_env::Problem;

/// How long the sides of a picture may be, in pixels.
pub const SIDES: RangeInclusive<u32> = 16..=4096;
/// How many frames a second there may be.
pub(crate) const RATES: RangeInclusive<u32> = 1..=240;

/// Size, speed, format and caption of the videos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VideoConfig {
    /// Width in pixels; by default the environment's own, or what follows from the height.
    #[schemars(range(min = 16, max = 4096))]
    pub width: Option<u32>,
    /// Height in pixels; by default the environment's own, or what follows from the width.
    #[schemars(range(min = 16, max = 4096))]
    pub height: Option<u32>,
    /// Frames per second; by default the environment's own, which shows simulated time as it passes.
    #[schemars(range(min = 1, max = 240))]
    pub fps: Option<u32>,
    /// The compression format.
    pub codec: Codec,
    /// Constant quality: 1 is the best and the largest, 51 the worst (H.264's CRF; scaled for the others).
    #[schemars(range(min = 1, max = 51))]
    pub quality: u8,
    /// Whether a bar above the picture tells agent, training steps and return so far; it makes the video taller.
    pub caption: bool,
}

impl Default for VideoConfig {
    fn default() -> Self {
        Self {
            width: None,
            height: None,
            fps: None,
            codec: Codec::Auto,
            quality: 20,
            caption: true,
        }
    }
}

impl VideoConfig {
    /// Why an environment that draws `native` pixels at `fps` frames a second cannot be filmed; paths are below
    /// these settings.
    pub fn problem(&self, native: (u32, u32), fps: u32) -> Option<Problem> {
        let (width, height) = self.size(native);
        if !SIDES.contains(&width) || !SIDES.contains(&height) {
            let field = if self.width.is_some() { "width" } else { "height" };
            let (least, most) = SIDES.into_inner();
            let message = format!(
                "the film would be {width} × {height} pixels, from {} × {}: expected sides of {least} to {most}",
                native.0, native.1
            );
            return Some(Problem::new(&[field], message));
        }
        let fps = self.fps.unwrap_or(fps);
        (!RATES.contains(&fps)).then(|| {
            let (least, most) = RATES.into_inner();
            let message = format!("expected {least} to {most} frames a second, found {fps}");
            Problem::new(&["fps"], message)
        })
    }

    /// The picture's size for an environment that draws `native` pixels; a side left out keeps the shape.
    pub fn size(&self, native: (u32, u32)) -> (u32, u32) {
        let scaled = |side: u32, by: u32, of: u32| {
            ((f64::from(side) * f64::from(by) / f64::from(of)).round() as u32).max(1)
        };
        match (self.width, self.height) {
            (None, None) => native,
            (Some(width), None) => (width, scaled(native.1, width, native.0)),
            (None, Some(height)) => (scaled(native.0, height, native.1), height),
            (Some(width), Some(height)) => (width, height),
        }
    }
}

/// A compression format that browsers play, in an MP4 file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// The first of the others that this machine's FFmpeg can write.
    #[default]
    Auto,
    /// H.264: plays everywhere.
    H264,
    /// VP9: free of patents, plays in every current browser.
    Vp9,
    /// AV1: the smallest files, slow to write, and some older devices cannot play it.
    Av1,
}

impl Codec {
    /// The format with this name; nothing where browsers do not play it.
    pub fn named(name: &str) -> Option<Self> {
        [Codec::H264, Codec::Vp9, Codec::Av1].into_iter().find(|codec| codec.name() == name)
    }

    /// The name in an experiment file.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Auto => "auto",
            Codec::H264 => "h264",
            Codec::Vp9 => "vp9",
            Codec::Av1 => "av1",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_left_out_keeps_the_shape() {
        let size = |width, height| {
            VideoConfig { width, height, ..VideoConfig::default() }.size((600, 400))
        };
        assert_eq!(size(None, None), (600, 400));
        assert_eq!(size(Some(300), None), (300, 200));
        assert_eq!(size(None, Some(100)), (150, 100));
        assert_eq!(size(Some(96), Some(96)), (96, 96));
    }

    #[test]
    fn unknown_fields_and_codecs_are_refused() {
        let read = |text| serde_json::from_str::<VideoConfig>(text).map_err(|e| e.to_string());
        assert_eq!(read("{}").unwrap(), VideoConfig::default());
        assert_eq!(read(r#"{"codec": "vp9"}"#).unwrap().codec, Codec::Vp9);
        assert!(read(r#"{"codecs": "vp9"}"#).unwrap_err().contains("unknown field `codecs`"));
        assert!(read(r#"{"codec": "mpeg4"}"#).unwrap_err().contains("unknown variant `mpeg4`"));
    }
}

//! From states to pixels to MP4 files.

mod canvas;

pub use canvas::{Canvas, Color};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Stub.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VideoConfig {}

/// Stub.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Take {
    /// The return of each episode.
    pub returns: Vec<f64>,
    /// The length of each episode.
    pub lengths: Vec<u64>,
    /// The rewards of each step, episode by episode.
    pub rewards: Vec<Vec<f32>>,
    /// Frames in the file.
    pub frames: u64,
    /// Frames per second.
    pub fps: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Name of the encoder that was used.
    pub encoder: String,
}

//! From states to pixels to MP4 files.
//!
//! ```text
//! Env::draw ──Canvas (native size)──▶ resize (only where asked) ──▶ Caption ──▶ Encoder ──▶ .mp4
//! ```
//! A take runs that chain for every frame as it is played: what is held in memory does not depend on how long an
//! episode is. [`probe`] tells before training whether this machine can write videos, and
//! [`probe_file`] what a finished file holds.

use std::io;
use std::path::{Path, PathBuf};

mod backend;
mod caption;
mod codec;
mod config;
mod encoder;
mod facts;
mod ffmpeg_options;
#[cfg(feature = "ffmpeg")]
mod libav;
#[cfg(feature = "openh264")]
mod openh264;
#[cfg(any(not(feature = "ffmpeg"), test))]
mod program;
mod resize;
pub mod yuv;

pub use caption::{Caption, CaptionInfo};
pub use codec::{BUILT_IN, EncoderChoice, probe};
pub use config::{Codec, SIDES, VideoConfig};
pub use encoder::{Encoder, EncoderConfig};
pub use facts::{VideoFacts, probe_file};
pub use resize::Resizer;

/// A video could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// No encoder on this machine writes the format.
    #[error(
        "{} encoder for {} videos (tried {}): install an FFmpeg with one of them, \
         {}or switch recording off",
        codec::NO_WORKING,
        if *codec == Codec::Auto { "any browser's" } else { codec.name() },
        tried.join(", "),
        if *codec == Codec::Auto { "" } else { "choose another \"codec\", " }
    )]
    NoEncoder {
        /// What was asked for.
        codec: Codec,
        /// The encoders that were looked for.
        tried: Vec<&'static str>,
    },
    /// A size or rate that no video has.
    #[error(
        "cannot make a video of {width}×{height} pixels at {fps} frames per second: {expected}"
    )]
    Config {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Frames per second.
        fps: u32,
        /// What is possible.
        expected: &'static str,
    },
    /// A file could not be created, renamed, read, …
    #[error("failed to {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The encoder refused.
    #[error("failed to {action} {}: {source}", path.display())]
    Encoder {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// Its reason.
        source: EncoderFailure,
    },
    /// A video file that is cut off or not a video.
    #[error("{} is not a whole video: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
}

impl VideoError {
    /// A file that could not be read or written; `action` is a verb.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| VideoError::Io { action, path: path.to_owned(), source }
    }

    fn encoder(action: &'static str, path: &Path) -> impl FnOnce(EncoderFailure) -> Self {
        move |source| VideoError::Encoder { action, path: path.to_owned(), source }
    }
}

/// Why an encoder failed, in its own words; a full disk is among the reasons.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EncoderFailure(String);

impl EncoderFailure {
    fn new(reason: impl std::fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

/// FFmpeg's name for a local file. Without the prefix, a path such as `a:b/c.mp4` would name a protocol.
///
/// # Errors
/// FFmpeg's Rust interface takes UTF-8 names only.
fn url(path: &Path) -> Result<String, EncoderFailure> {
    let text = path.to_str().ok_or_else(|| EncoderFailure::new("the path is not valid UTF-8"))?;
    Ok(format!("file:{text}"))
}

/// The version of the FFmpeg libraries that this program runs with, as libavcodec states it; `None` in a program
/// without them.
pub fn ffmpeg_version() -> Option<String> {
    #[cfg(feature = "ffmpeg")]
    return Some(libav::version());
    #[cfg(not(feature = "ffmpeg"))]
    None
}

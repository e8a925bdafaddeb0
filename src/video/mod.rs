//! From states to pixels to MP4 files.
//!
//! ```text
//! Env::draw ──Canvas (native size)──▶ resize (only where asked) ──▶ Caption ──▶ Encoder ──▶ .mp4
//! ```
//! [`record_take`] runs that chain for every frame as it is played: what is held in memory does not depend
//! on how long an episode is. [`probe`] tells before training whether this machine can write videos, and
//! [`probe_file`] what a finished file holds.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;

use ffmpeg_next as ffmpeg;

mod caption;
mod codec;
mod config;
mod encoder;
mod facts;
mod resize;
pub mod yuv;

pub use caption::{Caption, CaptionInfo};
pub use codec::{EncoderChoice, probe};
pub use config::{Codec, SIDES, VideoConfig};
pub use encoder::{Encoder, EncoderConfig};
pub use facts::{VideoFacts, probe_file};
pub use resize::Resizer;

/// A video could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// No encoder on this machine writes the format.
    #[error(
        "this FFmpeg has no working encoder for {} videos (tried {}): install an FFmpeg with one of them, \
         {}or switch recording off",
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
    /// FFmpeg refused.
    #[error("failed to {action} {}: {source}", path.display())]
    Ffmpeg {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// FFmpeg's reason.
        source: ffmpeg::Error,
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
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| VideoError::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn ffmpeg(action: &'static str, path: &Path) -> impl FnOnce(ffmpeg::Error) -> Self {
        move |source| VideoError::Ffmpeg { action, path: path.to_owned(), source }
    }
}

/// Whether an error's cause is that FFmpeg refused, as it does on a full disk.
pub fn is_ffmpeg_error(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.is::<ffmpeg::Error>()
}

/// Prepares FFmpeg once for the process: error texts, and no log lines on stderr.
fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        ffmpeg::util::error::register_all();
        ffmpeg::log::set_level(ffmpeg::log::Level::Quiet);
    });
}

/// FFmpeg's name for a local file. Without the prefix, a path such as `a:b/c.mp4` would name a protocol.
///
/// # Errors
/// FFmpeg's Rust interface takes UTF-8 names only.
fn url(path: &Path) -> Result<String, VideoError> {
    let text = path.to_str().ok_or_else(|| VideoError::Io {
        action: "open",
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidFilename, "the path is not valid UTF-8"),
    })?;
    Ok(format!("file:{text}"))
}

/// The version of the FFmpeg libraries that this program runs with, as libavcodec states it.
pub fn ffmpeg_version() -> String {
    let version = ffmpeg::codec::version();
    format!("libavcodec {}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)
}

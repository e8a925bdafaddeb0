//! What an encoder has to do, whichever it is.

use crate::EncoderFailure;

/// What compresses the pictures of one film and writes the file. One file each: FFmpeg's libraries, its program,
/// OpenH264; `codec.rs` says which there are.
pub(crate) trait Backend {
    /// Encodes the next picture: RGBA with even sides, no gaps.
    fn push(&mut self, rgba: &[u8]) -> Result<(), EncoderFailure>;

    /// Completes and closes the file.
    fn finish(self: Box<Self>) -> Result<(), EncoderFailure>;
}

/// What an encoder is opened with: even sides.
pub(crate) struct Settings {
    pub width: u32,
    pub height: u32,
    pub fps: u32,
    pub quality: u8,
}

impl Settings {
    /// For finding out whether an encoder works.
    pub(crate) const TRIAL: Settings = Settings { width: 64, height: 64, fps: 25, quality: 20 };
}

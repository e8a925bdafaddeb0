//! Writes one MP4 file, frame by frame.

use std::fs;
use std::path::{Path, PathBuf};

use crate::backend::{Backend, Settings};
use crate::codec;
use crate::config::{RATES, SIDES};
use crate::{EncoderChoice, VideoError};

/// What a video looks like.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// Width of the pictures in pixels. 4:2:0 needs even sides: an odd one gets its last column doubled.
    pub width: u32,
    /// Height of the pictures in pixels, likewise.
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
    /// Constant quality, 1 (best) to 51.
    pub quality: u8,
    /// Who encodes; see [`crate::probe`].
    pub choice: EncoderChoice,
}

/// An MP4 file being written.
///
/// Frames go to the disk as they come, but for those of the built-in encoder, whose compressed film waits in memory.
/// The file grows under a temporary name beside its final one and takes that name only in [`Encoder::finish`], when it
/// is whole and on the disk: there is never half a video under a video's name. An encoder dropped before that removes
/// what it wrote.
pub struct Encoder {
    // Fields drop in this order: the file is closed before it is removed.
    backend: Box<dyn Backend>,
    part: PartFile,
    width: usize,
    height: usize,
    /// An even-sized copy of the picture where a side is odd, empty otherwise.
    padded: Vec<u8>,
    frames: u64,
}

impl Encoder {
    /// Starts a video that will be at `path`, an existing folder's future `.mp4` file.
    ///
    /// # Errors
    /// Fails if the file cannot be created or the encoder refuses the size; nothing is left behind.
    pub fn create(path: &Path, config: &EncoderConfig) -> Result<Self, VideoError> {
        let &EncoderConfig { width, height, fps, quality, ref choice } = config;
        let refuse = |expected| Err(VideoError::Config { width, height, fps, expected });
        if !SIDES.contains(&width) || !SIDES.contains(&height) {
            return refuse("width and height must be 16 to 4096");
        }
        if !RATES.contains(&fps) {
            return refuse("the frame rate must be 1 to 240");
        }
        let (even_width, even_height) = (width.next_multiple_of(2), height.next_multiple_of(2));
        let settings =
            Settings { width: even_width, height: even_height, fps, quality: quality.clamp(1, 51) };

        let part = PartFile::create(path)?;
        let backend = codec::open(&choice.encoder, &part.path, &settings)
            .map_err(VideoError::encoder("start", path))?;
        let padded = if (even_width, even_height) == (width, height) {
            Vec::new()
        } else {
            vec![0; (even_width * even_height * 4) as usize]
        };
        let (width, height) = (width as usize, height as usize);
        Ok(Self { backend, part, width, height, padded, frames: 0 })
    }

    /// Encodes one picture: width × height × 4 bytes, red, green, blue, alpha (ignored), no gaps.
    ///
    /// # Errors
    /// Fails if the disk is full or the encoder fails. The encoder is of no use after that: drop it.
    ///
    /// # Panics
    /// Panics if `rgba` is not one whole picture.
    pub fn push(&mut self, rgba: &[u8]) -> Result<(), VideoError> {
        assert_eq!(rgba.len(), self.width * self.height * 4, "one whole picture");
        let rgba = if self.padded.is_empty() {
            rgba
        } else {
            pad(rgba, self.width, self.height, &mut self.padded);
            &self.padded
        };
        self.frames += 1;
        self.backend.push(rgba).map_err(VideoError::encoder("encode a frame of", &self.part.target))
    }

    /// Frames pushed so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The size of the video: that of the pictures, each side made even.
    pub fn size(&self) -> (u32, u32) {
        let even = |side: usize| side.next_multiple_of(2) as u32;
        (even(self.width), even(self.height))
    }

    /// Completes the file, puts it on the disk and gives it its name.
    ///
    /// # Errors
    /// As [`Encoder::push`]; nothing is left behind.
    pub fn finish(self) -> Result<(), VideoError> {
        let failed = VideoError::encoder("write the end of", &self.part.target);
        self.backend.finish().map_err(failed)?;
        self.part.persist()
    }
}

/// Copies a picture into one with even sides, doubling the last column and row where needed.
fn pad(rgba: &[u8], width: usize, height: usize, padded: &mut [u8]) {
    let row = width.next_multiple_of(2) * 4;
    for (y, to) in padded.chunks_exact_mut(row).enumerate() {
        let from = y.min(height - 1) * width * 4;
        let from = &rgba[from..from + width * 4];
        to[..width * 4].copy_from_slice(from);
        to[width * 4..].copy_from_slice(&from[width * 4 - (row - width * 4)..]);
    }
}

/// The file under its temporary name; removed when dropped before it was given its own.
struct PartFile {
    path: PathBuf,
    target: PathBuf,
    persisted: bool,
}

impl PartFile {
    /// The name is fixed, so that what a killed process left is overwritten by the next.
    fn create(target: &Path) -> Result<Self, VideoError> {
        if fs::metadata(target).is_ok_and(|there| !there.is_file()) {
            return Err(VideoError::io("create", target)(std::io::Error::other(
                "it is no plain file",
            )));
        }
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let path = target.with_file_name(name);
        fs::File::create(&path).map_err(VideoError::io("create", target))?;
        Ok(Self { path, target: target.to_owned(), persisted: false })
    }

    /// Bytes to the disk, then the name, then the folder, so that the name never precedes the bytes.
    fn persist(mut self) -> Result<(), VideoError> {
        let failed = VideoError::io("save", &self.target);
        let folder = match self.target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::File::open(&self.path)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&self.path, &self.target))
            .and_then(|()| fs::File::open(folder)?.sync_all())
            .map_err(failed)?;
        self.persisted = true;
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.persisted {
            let _ = fs::remove_file(&self.path);
        }
    }
}

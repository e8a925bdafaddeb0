//! Pictures to another size.

use ffmpeg::software::scaling::{Context, Flags};
use ffmpeg::{format::Pixel, frame};
use ffmpeg_next as ffmpeg;

/// Resamples RGBA pictures from one size to another (bicubic, widened when shrinking: nothing flickers).
///
/// Whole pictures are resampled, rather than drawn smaller, so that an environment may draw in whole pixels
/// and still be filmed at any size.
pub struct Resizer {
    context: Context,
    from: frame::Video,
    to: frame::Video,
    picture: Vec<u8>,
}

impl Resizer {
    /// From `(width, height)` to `(width, height)`.
    ///
    /// # Errors
    /// Fails if swscale does not take the sizes.
    pub fn new(from: (u32, u32), to: (u32, u32)) -> Result<Self, ffmpeg::Error> {
        // Without the two chroma flags swscale halves the colours' resolution on the way.
        let flags = Flags::BICUBIC
            | Flags::FULL_CHR_H_INP
            | Flags::FULL_CHR_H_INT
            | Flags::ACCURATE_RND
            | Flags::BITEXACT;
        let context = Context::get(Pixel::RGBA, from.0, from.1, Pixel::RGBA, to.0, to.1, flags)?;
        Ok(Self {
            context,
            from: frame::Video::new(Pixel::RGBA, from.0, from.1),
            to: frame::Video::new(Pixel::RGBA, to.0, to.1),
            picture: vec![0; (to.0 * to.1 * 4) as usize],
        })
    }

    /// The picture at its new size, without gaps between rows.
    ///
    /// # Errors
    /// None that sizes checked by [`Resizer::new`] can cause.
    ///
    /// # Panics
    /// Panics if `rgba` is not one whole picture.
    pub fn run(&mut self, rgba: &[u8]) -> Result<&mut [u8], ffmpeg::Error> {
        let (width, stride) = (self.from.width() as usize * 4, self.from.stride(0));
        assert_eq!(rgba.len(), width * self.from.height() as usize, "one whole picture");
        for (row, to) in rgba.chunks_exact(width).zip(self.from.data_mut(0).chunks_mut(stride)) {
            to[..width].copy_from_slice(row);
        }
        self.context.run(&self.from, &mut self.to)?;
        let (width, stride) = (self.to.width() as usize * 4, self.to.stride(0));
        for (row, to) in self.to.data(0).chunks(stride).zip(self.picture.chunks_exact_mut(width)) {
            to.copy_from_slice(&row[..width]);
        }
        Ok(&mut self.picture)
    }
}

//! Pictures to another size.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer as Convolution};

/// Resamples RGBA pictures from one size to another (bicubic, widened when shrinking: nothing flickers).
///
/// Whole pictures are resampled, rather than drawn smaller, so that an environment may draw in whole pixels
/// and still be filmed at any size.
pub struct Resizer {
    convolution: Convolution,
    from: (u32, u32),
    to: Image<'static>,
}

impl Resizer {
    /// From `(width, height)` to `(width, height)`.
    pub fn new(from: (u32, u32), to: (u32, u32)) -> Self {
        let to = Image::new(to.0, to.1, PixelType::U8x4);
        Self { convolution: Convolution::new(), from, to }
    }

    /// The picture at its new size, without gaps between rows.
    ///
    /// # Panics
    /// Panics if `rgba` is not one whole picture.
    pub fn run(&mut self, rgba: &[u8]) -> &mut [u8] {
        let from = ImageRef::new(self.from.0, self.from.1, rgba, PixelType::U8x4);
        // Pictures are opaque.
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom))
            .use_alpha(false);
        let from = from.expect("one whole picture");
        self.convolution.resize(&from, &mut self.to, &options).expect("both have one pixel type");
        self.to.buffer_mut()
    }
}

//! RGBA to YUV 4:2:0, the layout that video encoders take: BT.601, limited range.
//!
//! swscale converts a 600×400 picture in 0.7 ms, as long as x264 needs to encode it; this loop, which
//! handles the one conversion that takes need, is six times faster (`benches/video.rs`) and as near to the
//! exact formula. It is plain Rust that the compiler vectorises, once for the baseline and once for AVX2.
//!
//! ```text
//! Y  =  16 + 219 L                    L = 0.299 R + 0.587 G + 0.114 B, all in 0 … 1
//! Cb = 128 + 224 (B - L) / 1.772
//! Cr = 128 + 224 (R - L) / 1.402
//! ```
//! BT.601's coefficients rather than BT.709's: Chromium without a GPU loses up to 12 of 255 levels of blue
//! with those (its multipliers end at 2, BT.709 needs 2.1), and players that ignore a file's colour tags
//! assume BT.601 at the sizes of environments.
//!
//! Chroma is the mean of each 2×2 block, so its samples sit at the block's centre.

/// Fixed-point one of the coefficients: products with 8-bit samples stay in 16 × 16 → 32 bit multiplications.
const BITS: u32 = 15;
const KR: f64 = 0.299;
const KG: f64 = 0.587;
const KB: f64 = 0.114;

const fn fixed(coefficient: f64) -> i32 {
    let scaled = coefficient * (1 << BITS) as f64;
    (scaled + if scaled < 0.0 { -0.5 } else { 0.5 }) as i32
}

const Y_R: i32 = fixed(KR * 219.0 / 255.0);
const Y_G: i32 = fixed(KG * 219.0 / 255.0);
const Y_B: i32 = fixed(KB * 219.0 / 255.0);
const U_R: i32 = fixed(-KR / (2.0 * (1.0 - KB)) * 224.0 / 255.0);
const U_B: i32 = fixed(0.5 * 224.0 / 255.0);
/// What is left, so that greys have no colour at all.
const U_G: i32 = -U_R - U_B;
const V_R: i32 = fixed(0.5 * 224.0 / 255.0);
const V_B: i32 = fixed(-KB / (2.0 * (1.0 - KR)) * 224.0 / 255.0);
const V_G: i32 = -V_R - V_B;

/// The three planes of a picture, each with its distance between rows in bytes.
pub struct Planes<'a> {
    /// Brightness, one sample a pixel.
    pub y: (&'a mut [u8], usize),
    /// Blue difference, one sample for 2×2 pixels.
    pub u: (&'a mut [u8], usize),
    /// Red difference, one sample for 2×2 pixels.
    pub v: (&'a mut [u8], usize),
}

/// Converts `rgba` (`width` × 4 bytes a row, no gaps, alpha ignored). Width and height come from the sizes:
/// `rgba` holds whole pairs of rows, and `width` is even.
pub fn from_rgba(rgba: &[u8], width: usize, planes: Planes<'_>) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { convert_avx2(rgba, width, planes) };
    }
    convert(rgba, width, planes);
}

/// A picture in memory of its own, for encoders that bring none: brightness, blue, red, without gaps.
pub(crate) struct Picture {
    bytes: Vec<u8>,
    width: usize,
    height: usize,
}

impl Picture {
    /// Of even sides.
    pub(crate) fn new(width: usize, height: usize) -> Self {
        Self { bytes: vec![0; width * height * 3 / 2], width, height }
    }

    /// Takes over the colours of `rgba`.
    pub(crate) fn convert(&mut self, rgba: &[u8]) {
        let (y, chroma) = self.bytes.split_at_mut(self.width * self.height);
        let (u, v) = chroma.split_at_mut(chroma.len() / 2);
        let half = self.width / 2;
        from_rgba(rgba, self.width, Planes { y: (y, self.width), u: (u, half), v: (v, half) });
    }

    /// All three planes, one after the other.
    #[cfg(any(not(feature = "ffmpeg"), test))]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(feature = "openh264")]
impl openh264::formats::YUVSource for Picture {
    fn dimensions(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.width, self.width / 2, self.width / 2)
    }

    fn y(&self) -> &[u8] {
        &self.bytes[..self.width * self.height]
    }

    fn u(&self) -> &[u8] {
        let from = self.width * self.height;
        &self.bytes[from..from + from / 4]
    }

    fn v(&self) -> &[u8] {
        &self.bytes[self.width * self.height * 5 / 4..]
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn convert_avx2(rgba: &[u8], width: usize, planes: Planes<'_>) {
    convert(rgba, width, planes);
}

/// Inlined into both callers, so that each compiles it for its own instruction set.
#[inline(always)]
fn convert(rgba: &[u8], width: usize, planes: Planes<'_>) {
    let Planes { y: (y, y_stride), u: (u, u_stride), v: (v, v_stride) } = planes;
    let pairs = rgba.chunks_exact(width * 8);
    let chroma = u.chunks_mut(u_stride).zip(v.chunks_mut(v_stride));
    for ((rows, y), (u, v)) in pairs.zip(y.chunks_mut(2 * y_stride)).zip(chroma) {
        let (top, bottom) = rows.split_at(width * 4);
        let (y_top, y_bottom) = y.split_at_mut(y_stride);
        luma(top, &mut y_top[..width]);
        luma(bottom, &mut y_bottom[..width]);
        chroma_row(top, bottom, &mut u[..width / 2], &mut v[..width / 2]);
    }
}

#[inline(always)]
fn luma(row: &[u8], out: &mut [u8]) {
    const OFFSET: i32 = (16 << BITS) + (1 << (BITS - 1));
    for (pixel, out) in row.chunks_exact(4).zip(out) {
        let pixel = u32::from_le_bytes([pixel[0], pixel[1], pixel[2], pixel[3]]) as i32;
        let (r, g, b) = (pixel & 255, pixel >> 8 & 255, pixel >> 16 & 255);
        *out = ((Y_R * r + Y_G * g + Y_B * b + OFFSET) >> BITS) as u8;
    }
}

#[inline(always)]
fn chroma_row(top: &[u8], bottom: &[u8], u: &mut [u8], v: &mut [u8]) {
    // The sums are of four samples.
    const OFFSET: i32 = (128 << (BITS + 2)) + (1 << (BITS + 1));
    let blocks = top.chunks_exact(8).zip(bottom.chunks_exact(8));
    // Red and blue in the low and the high half of 32 bits, for two pixels at once: no shuffling of bytes.
    const RED_BLUE: u64 = 0x00ff_00ff_00ff_00ff;
    for ((top, bottom), (u, v)) in blocks.zip(u.iter_mut().zip(v)) {
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let (top, bottom) = (word(top), word(bottom));
        let red_blue = (top & RED_BLUE) + (bottom & RED_BLUE);
        let green = (top >> 8 & RED_BLUE) + (bottom >> 8 & RED_BLUE);
        let (red_blue, green) =
            ((red_blue + (red_blue >> 32)) as u32, (green + (green >> 32)) as u32);
        let (r, g, b) =
            ((red_blue & 0xffff) as i32, (green & 0xffff) as i32, (red_blue >> 16) as i32);
        *u = ((U_R * r + U_G * g + U_B * b + OFFSET) >> (BITS + 2)) as u8;
        *v = ((V_R * r + V_G * g + V_B * b + OFFSET) >> (BITS + 2)) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Yuv = (Vec<u8>, Vec<u8>, Vec<u8>);

    fn run(convert: impl Fn(&[u8], usize, Planes<'_>), rgba: &[u8], width: usize) -> Yuv {
        let height = rgba.len() / 4 / width;
        // Strides wider than the picture, as FFmpeg's are.
        let (y_stride, stride) = (width + 24, width / 2 + 8);
        let mut y = vec![0; y_stride * height];
        let mut u = vec![0; stride * height / 2];
        let mut v = u.clone();
        let planes = Planes { y: (&mut y, y_stride), u: (&mut u, stride), v: (&mut v, stride) };
        convert(rgba, width, planes);
        let rows = |plane: &[u8], stride: usize, width: usize| {
            plane.chunks(stride).flat_map(|row| row[..width].to_vec()).collect()
        };
        (rows(&y, y_stride, width), rows(&u, stride, width / 2), rows(&v, stride, width / 2))
    }

    fn noise(pixels: usize) -> Vec<u8> {
        let mut state = 1_u32;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(pixels * 4)
        .collect()
    }

    /// The formula of the module's documentation in floating point, for one 2×2 block.
    fn exact(block: [&[u8]; 4]) -> ([f64; 4], f64, f64) {
        let rgb = |p: &[u8]| [0, 1, 2].map(|channel| f64::from(p[channel]) / 255.0);
        let luma = |[r, g, b]: [f64; 3]| KR * r + KG * g + KB * b;
        let mean = block.map(rgb).iter().fold([0.0; 3], |sum, rgb| {
            std::array::from_fn(|channel| sum[channel] + rgb[channel] / 4.0)
        });
        (
            block.map(|pixel| 16.0 + 219.0 * luma(rgb(pixel))),
            128.0 + 224.0 * (mean[2] - luma(mean)) / 1.772,
            128.0 + 224.0 * (mean[0] - luma(mean)) / 1.402,
        )
    }

    #[test]
    fn every_sample_is_the_formula_rounded() {
        let (width, height) = (54, 38);
        let rgba = noise(width * height);
        let (y, u, v) = run(from_rgba, &rgba, width);
        let near = |got: u8, exact: f64| {
            assert!((f64::from(got) - exact).abs() <= 0.52, "{got} is not {exact} rounded");
        };
        for block_y in 0..height / 2 {
            for block_x in 0..width / 2 {
                let at = [(0, 0), (1, 0), (0, 1), (1, 1)]
                    .map(|(dx, dy)| (2 * block_y + dy) * width + 2 * block_x + dx);
                let (lumas, blue, red) = exact(at.map(|at| &rgba[at * 4..at * 4 + 4]));
                for (at, luma) in at.into_iter().zip(lumas) {
                    near(y[at], luma);
                }
                let at = block_y * (width / 2) + block_x;
                near(u[at], blue);
                near(v[at], red);
            }
        }
    }

    #[test]
    fn greys_have_no_colour() {
        for grey in 0..=255 {
            let rgba = [grey, grey, grey, 255].repeat(4);
            let (y, u, v) = run(from_rgba, &rgba, 2);
            assert_eq!((u[0], v[0]), (128, 128), "grey {grey}");
            if grey == 0 || grey == 255 {
                assert_eq!(y[0], if grey == 0 { 16 } else { 235 });
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same() {
        let rgba = noise(122 * 6);
        assert_eq!(run(from_rgba, &rgba, 122), run(convert, &rgba, 122));
    }

    /// swscale, told to use BT.601, as a second opinion. It shortens its chroma filter, so its colours are
    /// compared where a block has one colour.
    #[test]
    fn planes_differ_from_swscales_by_at_most_one() {
        use ffmpeg_next::{ffi, format::Pixel, frame, software::scaling};
        let (width, height) = (64, 32);
        let rgba: Vec<u8> = noise(width * height / 4)
            .chunks_exact(width / 2 * 4)
            .flat_map(|row| {
                row.chunks_exact(4).flat_map(|p| p.repeat(2)).collect::<Vec<_>>().repeat(2)
            })
            .collect();
        let (w, h) = (width as u32, height as u32);
        let flags = scaling::Flags::ACCURATE_RND | scaling::Flags::POINT;
        let mut context =
            scaling::Context::get(Pixel::RGBA, w, h, Pixel::YUV420P, w, h, flags).unwrap();
        // SAFETY: the context is valid; the tables are static.
        unsafe {
            let table = ffi::sws_getCoefficients(ffi::SWS_CS_ITU601);
            let pointer = context.as_mut_ptr();
            ffi::sws_setColorspaceDetails(pointer, table, 1, table, 0, 0, 1 << 16, 1 << 16);
        }
        let mut from = frame::Video::new(Pixel::RGBA, w, h);
        let stride = from.stride(0);
        for (row, to) in rgba.chunks_exact(width * 4).zip(from.data_mut(0).chunks_mut(stride)) {
            to[..width * 4].copy_from_slice(row);
        }
        let mut to = frame::Video::empty();
        context.run(&from, &mut to).unwrap();
        let (y, u, v) = run(from_rgba, &rgba, width);
        for (plane, ours, width) in [(0, y, width), (1, u, width / 2), (2, v, width / 2)] {
            let rows = to.data(plane).chunks(to.stride(plane)).zip(ours.chunks_exact(width));
            for (theirs, ours) in rows {
                for (theirs, ours) in theirs.iter().zip(ours) {
                    assert!(theirs.abs_diff(*ours) <= 1, "plane {plane}: {ours}, swscale {theirs}");
                }
            }
        }
    }
}

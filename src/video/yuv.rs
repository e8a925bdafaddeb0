//! RGBA to YUV 4:2:0, the layout that video encoders take: BT.709, limited range.
//!
//! swscale converts a 600×400 picture in 0.7 ms, as long as x264 needs to encode it; this loop, which
//! handles the one conversion that takes need, is many times faster (`benches/video.rs`) and as near to the
//! exact formula. It is plain Rust that the compiler vectorises, once for the baseline and once for AVX2.
//!
//! ```text
//! Y  =  16 + 219 (0.2126 R + 0.7152 G + 0.0722 B)          R, G, B in 0 … 1
//! Cb = 128 + 224 (B - Y') / 1.8556    Y' = 0.2126 R + 0.7152 G + 0.0722 B
//! Cr = 128 + 224 (R - Y') / 1.5748
//! ```
//! Chroma is the mean of each 2×2 block, so its samples sit at the block's centre.

/// Fixed-point one of the coefficients: products with 8-bit samples stay in 16 × 16 → 32 bit multiplications.
const BITS: u32 = 15;
const KR: f64 = 0.2126;
const KG: f64 = 0.7152;
const KB: f64 = 0.0722;

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

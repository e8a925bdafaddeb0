//! Sine and cosine in plain Rust: the same bits on every machine, and inlined into the dynamics.
//!
//! The C library's versions differ between platforms and even between processors (fused multiply-add or
//! not), and a call for each costs more than a whole step of CartPole. The kernels are FreeBSD msun's
//! `k_sin.c` and `k_cos.c` (Sun Microsystems, 1993): errors below one unit in the last place.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_4};

/// Beyond this the three-part π/2 below loses bits, and the C library takes over.
const REDUCTION_LIMIT: f64 = 1e5;

/// π/2 in three parts of 33 bits each, and what is left.
const PIO2: [f64; 3] =
    [1.570_796_326_734_125_6, 6.077_100_506_303_966e-11, 2.022_266_248_795_950_6e-21];

/// `(x.sin(), x.cos())`.
#[inline]
pub fn sin_cos(x: f64) -> (f64, f64) {
    if x.abs() <= FRAC_PI_4 { (kernel_sin(x, 0.0), kernel_cos(x, 0.0)) } else { reduced(x) }
}

/// `x.cos()`.
#[inline]
pub fn cos(x: f64) -> f64 {
    sin_cos(x).1
}

/// Angles outside ±π/4: subtracts the nearest multiple of π/2 and picks the kernels by the quadrant.
#[inline]
fn reduced(x: f64) -> (f64, f64) {
    // Written so that NaN and infinities go to the library, too.
    if !(x.abs() <= REDUCTION_LIMIT) {
        return (x.sin(), x.cos());
    }
    // Adding and subtracting 1.5·2⁵² rounds to the nearest whole number.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let multiple = x * FRAC_2_PI + ROUND - ROUND;
    let first = x - multiple * PIO2[0];
    let second = multiple * PIO2[1];
    let rest = first - second;
    let correction = multiple * PIO2[2] - ((first - rest) - second);
    let high = rest - correction;
    let low = (rest - high) - correction;
    let (sin, cos) = (kernel_sin(high, low), kernel_cos(high, low));
    match multiple as i64 & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// sin(x + tail) for |x| ≤ π/4.
#[inline]
fn kernel_sin(x: f64, tail: f64) -> f64 {
    const S1: f64 = -1.666_666_666_666_663_2e-1;
    const S2: f64 = 8.333_333_333_322_49e-3;
    const S3: f64 = -1.984_126_982_985_795e-4;
    const S4: f64 = 2.755_731_370_707_006_8e-6;
    const S5: f64 = -2.505_076_025_340_686_3e-8;
    const S6: f64 = 1.589_690_995_211_55e-10;
    let z = x * x;
    let w = z * z;
    let r = S2 + z * (S3 + z * S4) + z * w * (S5 + z * S6);
    let v = z * x;
    x - ((z * (0.5 * tail - v * r) - tail) - v * S1)
}

/// cos(x + tail) for |x| ≤ π/4.
#[inline]
fn kernel_cos(x: f64, tail: f64) -> f64 {
    const C1: f64 = 4.166_666_666_666_66e-2;
    const C2: f64 = -1.388_888_888_887_411e-3;
    const C3: f64 = 2.480_158_728_947_673e-5;
    const C4: f64 = -2.755_731_435_139_066_3e-7;
    const C5: f64 = 2.087_572_321_298_175e-9;
    const C6: f64 = -1.135_964_755_778_819_5e-11;
    let z = x * x;
    let w = z * z;
    let r = z * (C1 + z * (C2 + z * C3)) + w * w * (C4 + z * (C5 + z * C6));
    let half = 0.5 * z;
    let one = 1.0 - half;
    one + (((1.0 - one) - half) + (z * r - x * tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The library's results are correctly rounded nearly everywhere, so one unit apart is all there is.
    #[test]
    fn agrees_with_the_library_to_one_unit_in_the_last_place() {
        let mut x = -3000.0;
        while x < 3000.0 {
            let ulp = |v: f64| f64::from_bits(v.abs().to_bits() + 1) - v.abs();
            let (sin, cos) = sin_cos(x);
            assert!((sin - x.sin()).abs() <= ulp(x.sin()), "sin({x}): {sin} and {}", x.sin());
            assert!((cos - x.cos()).abs() <= ulp(x.cos()), "cos({x}): {cos} and {}", x.cos());
            x += if x.abs() < 4.0 { 1.234_567e-4 } else { 0.012_345_67 };
        }
    }

    #[test]
    fn odd_arguments_behave_as_the_librarys() {
        assert_eq!(sin_cos(0.0), (0.0, 1.0));
        assert!(sin_cos(f64::NAN).0.is_nan());
        assert!(sin_cos(f64::INFINITY).1.is_nan());
        assert_eq!(sin_cos(1e9), (1e9_f64.sin(), 1e9_f64.cos()));
    }
}

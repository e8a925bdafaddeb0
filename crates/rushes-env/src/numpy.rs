//! NumPy's scalar arithmetic, where it is not what Rust's operators do.
//!
//! Everything else is: float64 sine and cosine are the C library's in both, so that the dynamics equal
//! Gymnasium's bit for bit on the same machine. Do not replace them by a faster approximation: an error of one
//! unit in the last place grows to a visible one within an episode of an unstable system (Acrobot, a balanced
//! CartPole or Pendulum replayed).

use std::hint::black_box;

use num_traits::Float;

/// `numpy.sign(x)`: 0 for 0.
#[inline]
pub(crate) fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

/// `x ** 2` of a float64 scalar: a call of the C library's `pow`, which differs from `x * x` in the last bit
/// once in a thousand times. (The exponent is hidden, or the compiler makes a product of it.)
#[inline]
pub(crate) fn squared(x: f64) -> f64 {
    x.powf(black_box(2.0))
}

/// `x ** 2` of a float32 scalar, likewise.
#[inline]
pub(crate) fn squared_f32(x: f32) -> f32 {
    x.powf(black_box(2.0))
}

/// `numpy.sum` of `len` numbers in one piece of memory: pairwise, eight running sums at a time.
pub(crate) fn sum<T: Float>(len: usize, number: &impl Fn(usize) -> T) -> T {
    sum_of_part(0, len, number)
}

fn sum_of_part<T: Float>(start: usize, len: usize, number: &impl Fn(usize) -> T) -> T {
    const LANES: usize = 8;
    const BLOCK: usize = 128;
    if len < LANES {
        return (start..start + len).fold(T::zero(), |sum, i| sum + number(i));
    }
    if len <= BLOCK {
        let mut lanes: [T; LANES] = std::array::from_fn(|lane| number(start + lane));
        let whole = len - len % LANES;
        for i in (LANES..whole).step_by(LANES) {
            for (lane, sum) in lanes.iter_mut().enumerate() {
                *sum = *sum + number(start + i + lane);
            }
        }
        let [a, b, c, d, e, f, g, h] = lanes;
        let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
        return (start + whole..start + len).fold(sum, |sum, i| sum + number(i));
    }
    let half = len / 2 - len / 2 % LANES;
    sum_of_part(start, half, number) + sum_of_part(start + half, len - half, number)
}

/// `numpy.sum(numpy.square(values))`.
pub(crate) fn sum_of_squares<T: Float>(values: &[T]) -> T {
    sum(values.len(), &|i| values[i] * values[i])
}

/// `numpy.linalg.norm` of a short vector: its dot product adds with fused multiply-add, as OpenBLAS does where the
/// machine has it.
pub(crate) fn norm<const N: usize>(vector: [f64; N]) -> f64 {
    vector.into_iter().fold(0.0, |sum: f64, x| x.mul_add(x, sum)).sqrt()
}

/// `numpy.clip(x, low, high)`: NaN stays, and `high` wins where it is below `low`.
pub(crate) fn clip(x: f64, [low, high]: [f64; 2]) -> f64 {
    let raised = if x < low { low } else { x };
    if raised > high { high } else { raised }
}

/// `(numpy.sin(x), numpy.cos(x))` of a float32, which NumPy computes by itself: reduction by π/2 in three
/// parts, then polynomials (`numpy/_core/src/umath/loops_trigonometric.dispatch.cpp`).
pub(crate) fn sin_cos_f32(x: f32) -> (f32, f32) {
    /// 2/π and the parts of -π/2, as NumPy rounds them.
    const TWO_OVER_PI: f32 = f32::from_bits(0x3f22_f983);
    const PIO2: [f32; 3] =
        [f32::from_bits(0xbfc9_0fd8), f32::from_bits(0xb4a8_885a), f32::from_bits(0xa7c2_34c4)];
    let quadrant = (x * TWO_OVER_PI).round_ties_even();
    let reduced = PIO2.iter().fold(x, |rest, &part| quadrant.mul_add(part, rest));
    let (sin, cos) = (sin_polynomial(reduced), cos_polynomial(reduced));
    match quadrant as i32 & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

fn sin_polynomial(x: f32) -> f32 {
    let square = x * x;
    let r = f32::from_bits(0x363e_9dde).mul_add(square, f32::from_bits(0xb950_35dd));
    let r = r.mul_add(square, f32::from_bits(0x3c08_88cd));
    let r = r.mul_add(square, f32::from_bits(0xbe2a_aaab));
    (r * square).mul_add(x, x)
}

fn cos_polynomial(x: f32) -> f32 {
    let square = x * x;
    let r = f32::from_bits(0x37cc_730b).mul_add(square, f32::from_bits(0xbab6_036e));
    let r = r.mul_add(square, f32::from_bits(0x3d2a_aa9e));
    let r = r.mul_add(square, -0.5);
    r.mul_add(square, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `numpy.sum(numpy.float32(1) / numpy.arange(1, n + 1, dtype="f4"))`.
    #[test]
    fn sums_round_as_numpys() {
        let harmonic = |n| sum(n, &|i| 1.0 / (i as f32 + 1.0));
        let expected: [(usize, u32); 5] = [
            (5, 0x40122223),
            (8, 0x402df160),
            (17, 0x405c21a2),
            (100, 0x40a5ff01),
            (1000, 0x40ef88fc),
        ];
        for (n, bits) in expected {
            assert_eq!(harmonic(n).to_bits(), bits, "{n} numbers");
        }
        assert_eq!(clip(f64::NAN, [0.0, 1.0]).to_bits(), f64::NAN.to_bits());
        assert_eq!([-1.0, 0.5, 7.0].map(|x| clip(x, [0.0, 1.0])), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn float32_sines_are_near_the_exact_ones() {
        let mut x = -40.0_f32;
        while x < 40.0 {
            let (sin, cos) = sin_cos_f32(x);
            let (exact_sin, exact_cos) = f64::from(x).sin_cos();
            assert!((f64::from(sin) - exact_sin).abs() < 1.2e-7, "sin({x})");
            assert!((f64::from(cos) - exact_cos).abs() < 1.2e-7, "cos({x})");
            x += 0.001_37;
        }
    }
}

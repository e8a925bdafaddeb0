//! The number types that networks compute in.

use std::fmt;
use std::iter::Sum;
use std::ops::{AddAssign, DivAssign, MulAssign, SubAssign};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::simd::{Isa, Vector};

/// The number type of a network: its parameters, gradients and outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// IEEE single precision, the usual choice.
    #[default]
    Float32,
    /// IEEE double precision.
    Float64,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::Float32 => "float32",
            Precision::Float64 => "float64",
        })
    }
}

/// A number type of tensors in files.
pub trait Element: bytemuck::Pod {
    /// Its name in safetensors files.
    const DTYPE: safetensors::Dtype;
}

impl Element for u8 {
    const DTYPE: safetensors::Dtype = safetensors::Dtype::U8;
}

impl Element for f32 {
    const DTYPE: safetensors::Dtype = safetensors::Dtype::F32;
}

impl Element for f64 {
    const DTYPE: safetensors::Dtype = safetensors::Dtype::F64;
}

/// `f32` or `f64`: everything that networks, heads and optimisers ask of a number.
pub trait Scalar:
    num_traits::Float
    + num_traits::NumAssign
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
    + Default
    + fmt::Debug
    + fmt::Display
    + Element
    + Send
    + Sync
{
    /// The name of this type in experiment files.
    const PRECISION: Precision;
    /// The vector register type of an instruction set.
    type Lanes<I: Isa>: Vector<Self>;
    /// Lanes of the widest registers that there are. A sum that is cut into several has so many on every processor, however
    /// wide its registers are, so that all processors add the same numbers in the same order.
    const SUMS: usize;

    /// The nearest value to `value`.
    fn of(value: f64) -> Self;
    /// `value` exactly.
    fn of_f32(value: f32) -> Self;
    /// Exactly this value.
    fn as_f64(self) -> f64;
    /// The nearest `f32`.
    fn as_f32(self) -> f32;
    /// `exp`, within two units in the last place, in a form that vectorises. Arguments beyond the range are
    /// cut to it: the result is never zero or infinite.
    fn quick_exp<I: Isa>(self) -> Self;
    /// `tanh` in a form that vectorises: relative error below 5e-7 in `f32`, two units in the last place
    /// in `f64`.
    fn quick_tanh<I: Isa>(self) -> Self;

    /// `tanh` by portable code, where no vectors are needed: a C library's is another one on another machine (in single precision
    /// glibc 2.41 rounds otherwise than 2.36).
    fn portable_tanh(self) -> Self;
    /// `ln(1 + x)` by portable code, for the same reason.
    fn portable_ln_1p(self) -> Self;

    /// `exp(x) - 1` for `x <= 0`, without cancellation.
    #[inline(always)]
    fn quick_exp_m1<I: Isa>(self) -> Self {
        let t = (self * Self::of(0.5)).quick_tanh::<I>();
        (t + t) / (Self::one() - t)
    }

    /// `1 / (1 + exp(-x))`.
    #[inline(always)]
    fn quick_sigmoid<I: Isa>(self) -> Self {
        Self::one() / (Self::one() + (-self).quick_exp::<I>())
    }
}

impl Scalar for f32 {
    const PRECISION: Precision = Precision::Float32;
    type Lanes<I: Isa> = I::F32;
    const SUMS: usize = 16;

    fn portable_tanh(self) -> Self {
        libm::tanhf(self)
    }
    fn portable_ln_1p(self) -> Self {
        libm::log1pf(self)
    }
    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn of_f32(value: f32) -> Self {
        value
    }
    #[inline(always)]
    fn as_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn as_f32(self) -> f32 {
        self
    }

    /// Cephes's `expf` (Moshier): argument reduction by multiples of ln 2, then a polynomial.
    #[inline(always)]
    fn quick_exp<I: Isa>(self) -> Self {
        /// Adding it rounds to a whole number, which then stands in the lowest bits.
        const ROUND: f32 = 12_582_912.0;
        let x = self.clamp(-87.3, 88.3);
        let rounded = I::fma32(x, std::f32::consts::LOG2_E, ROUND);
        let n = rounded - ROUND;
        let r = I::fma32(n, 2.121_944_4e-4, I::fma32(n, -0.693_359_4, x));
        let tail = horner32::<I>(
            r,
            &[1.987_569_2e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5],
        );
        let mantissa = I::fma32(tail, r * r, r) + 1.0;
        // Multiplies by 2^n.
        f32::from_bits(mantissa.to_bits().wrapping_add(rounded.to_bits() << 23))
    }

    /// Eigen's 13/6 rational minimax approximation, which XLA and TensorFlow use too.
    #[inline(always)]
    fn quick_tanh<I: Isa>(self) -> Self {
        /// Beyond this the approximation would leave [-1, 1].
        const LIMIT: f32 = 7.905_311;
        let x = self.clamp(-LIMIT, LIMIT);
        let square = x * x;
        let numerator = horner32::<I>(
            square,
            &[
                -2.760_768_5e-16,
                2.000_188e-13,
                -8.604_672e-11,
                5.122_297e-8,
                1.485_722_4e-5,
                6.372_619_3e-4,
                4.893_524_6e-3,
            ],
        );
        let denominator =
            horner32::<I>(square, &[1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3]);
        x * numerator / denominator
    }
}

/// A polynomial, highest power first.
#[inline(always)]
fn horner32<I: Isa>(x: f32, coefficients: &[f32]) -> f32 {
    coefficients[1..].iter().fold(coefficients[0], |sum, &c| I::fma32(sum, x, c))
}

/// A polynomial, highest power first.
#[inline(always)]
fn horner64<I: Isa>(x: f64, coefficients: &[f64]) -> f64 {
    coefficients[1..].iter().fold(coefficients[0], |sum, &c| I::fma64(sum, x, c))
}

impl Scalar for f64 {
    const PRECISION: Precision = Precision::Float64;
    type Lanes<I: Isa> = I::F64;
    const SUMS: usize = 8;

    fn portable_tanh(self) -> Self {
        libm::tanh(self)
    }
    fn portable_ln_1p(self) -> Self {
        libm::log1p(self)
    }
    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn of_f32(value: f32) -> Self {
        f64::from(value)
    }
    #[inline(always)]
    fn as_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn as_f32(self) -> f32 {
        self as f32
    }

    /// Cephes's `exp` (Moshier): argument reduction by multiples of ln 2, then a rational function.
    #[inline(always)]
    fn quick_exp<I: Isa>(self) -> Self {
        /// Adding it rounds to a whole number, which then stands in the lowest bits.
        const ROUND: f64 = 6_755_399_441_055_744.0;
        let x = self.clamp(-708.0, 709.0);
        let rounded = I::fma64(x, std::f64::consts::LOG2_E, ROUND);
        let n = rounded - ROUND;
        let r = I::fma64(n, -1.428_606_820_309_417_2e-6, I::fma64(n, -0.693_145_751_953_125, x));
        let square = r * r;
        let p = r * horner64::<I>(
            square,
            &[1.261_771_930_748_105_8e-4, 3.029_944_077_074_419_5e-2, 1.0],
        );
        let q = horner64::<I>(
            square,
            &[
                3.001_985_051_386_644_6e-6,
                2.524_483_403_496_841e-3,
                2.272_655_482_081_550_3e-1,
                2.0,
            ],
        );
        let mantissa = 1.0 + 2.0 * (p / (q - p));
        // Multiplies by 2^n.
        f64::from_bits(mantissa.to_bits().wrapping_add(rounded.to_bits() << 52))
    }

    /// Cephes's `tanh` (Moshier): a rational function near zero, by `exp` beyond.
    #[inline(always)]
    fn quick_tanh<I: Isa>(self) -> Self {
        let square = self * self;
        let p = horner64::<I>(
            square,
            &[-9.643_991_794_250_523e-1, -9.928_772_310_019_185e1, -1.614_687_684_417_084_5e3],
        );
        let q = horner64::<I>(
            square,
            &[1.0, 1.128_116_784_916_329_3e2, 2.235_488_390_601_004_5e3, 4.844_063_053_251_255e3],
        );
        let near = self + self * square * (p / q);
        let far = 1.0 - 2.0 / ((2.0 * self.abs()).quick_exp::<I>() + 1.0);
        if self.abs() < 0.625 { near } else { far.copysign(self) }
    }
}

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
    + bytemuck::Pod
    + tch::kind::Element
    + Send
    + Sync
{
    /// The name of this type in experiment files.
    const PRECISION: Precision;
    /// The name of this type in safetensors files.
    const DTYPE: safetensors::Dtype;
    /// The vector register type of an instruction set.
    type Lanes<I: Isa>: Vector<Self>;

    /// The nearest value to `value`.
    fn of(value: f64) -> Self;
    /// `value` exactly.
    fn of_f32(value: f32) -> Self;
    /// Exactly this value.
    fn as_f64(self) -> f64;
    /// The nearest `f32`.
    fn as_f32(self) -> f32;
    /// The hyperbolic tangent as the native engine computes it: a rational approximation in `f32`
    /// (relative error below 4e-7, vectorises), the library's in `f64`.
    fn quick_tanh<I: Isa>(self) -> Self;
}

impl Scalar for f32 {
    const PRECISION: Precision = Precision::Float32;
    const DTYPE: safetensors::Dtype = safetensors::Dtype::F32;
    type Lanes<I: Isa> = I::F32;

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

    /// Eigen's 13/6 rational minimax approximation (`generic_fast_tanh_float`, MPL 2.0 algorithm), which
    /// XLA and TensorFlow use too.
    #[inline(always)]
    fn quick_tanh<I: Isa>(self) -> Self {
        /// Beyond this the approximation would leave [-1, 1].
        const LIMIT: f32 = 7.905_311;
        let x = self.clamp(-LIMIT, LIMIT);
        let square = x * x;
        let horner = |coefficients: &[f32]| {
            let (first, rest) = coefficients.split_first().expect("written out below");
            rest.iter().fold(*first, |sum, &c| I::fma32(sum, square, c))
        };
        let numerator = horner(&[
            -2.760_768_5e-16,
            2.000_188e-13,
            -8.604_672e-11,
            5.122_297e-8,
            1.485_722_4e-5,
            6.372_619_3e-4,
            4.893_524_6e-3,
        ]);
        let denominator = horner(&[1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3]);
        x * numerator / denominator
    }
}

impl Scalar for f64 {
    const PRECISION: Precision = Precision::Float64;
    const DTYPE: safetensors::Dtype = safetensors::Dtype::F64;
    type Lanes<I: Isa> = I::F64;

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
    #[inline(always)]
    fn quick_tanh<I: Isa>(self) -> Self {
        self.tanh()
    }
}

//! Runtime dispatch to the widest instruction set that the processor has.
//!
//! A [`Task`] is written once against [`Isa`] and compiled for each: AVX-512, AVX2 with fused
//! multiply-add, and the target's baseline. Everything below a task must be `#[inline(always)]`, because
//! only code inlined into the `#[target_feature]` entry points is compiled with their instructions.
//!
//! Numbers do not depend on the instruction set: every sum has an order that no register's width decides, and all sets but
//! x86-64's baseline round once where they multiply and add ([`arithmetic`]).

use std::mem::MaybeUninit;

/// A register of [`Self::LANES`] numbers, and nothing else.
pub trait Vector<T>: Copy {
    /// Numbers in a register.
    const LANES: usize;
    /// How many registers wide a tile of [`super::kernels::product`] is: as many as leave room for its
    /// accumulators.
    const WIDE: usize;
    /// The same number in every lane.
    fn splat(value: T) -> Self;
    /// Reads [`Self::LANES`] numbers.
    ///
    /// # Safety
    /// They must be readable; no alignment is needed.
    unsafe fn load(from: *const T) -> Self;
    /// Writes [`Self::LANES`] numbers.
    ///
    /// # Safety
    /// They must be writable; no alignment is needed.
    unsafe fn store(self, to: *mut T);
    /// Reads the first `count` lanes' numbers, of which there are at most [`Self::LANES`]; the others are anything.
    ///
    /// # Safety
    /// They must be readable, and aligned as numbers are.
    #[inline(always)]
    unsafe fn load_first(from: *const T, count: usize) -> Self {
        if count == Self::LANES {
            // SAFETY: the caller's promise.
            return unsafe { Self::load(from) };
        }
        let mut lanes = MaybeUninit::<Self>::zeroed();
        // SAFETY: the caller's promise; a register holds as many numbers.
        unsafe {
            lanes.as_mut_ptr().cast::<T>().copy_from(from, count);
            Self::load(lanes.as_ptr().cast())
        }
    }
    /// Writes the first `count` lanes' numbers, of which there are at most [`Self::LANES`].
    ///
    /// # Safety
    /// They must be writable, and aligned as numbers are.
    #[inline(always)]
    unsafe fn store_first(self, to: *mut T, count: usize) {
        if count == Self::LANES {
            // SAFETY: the caller's promise.
            return unsafe { self.store(to) };
        }
        // SAFETY: the caller's promise; a register holds as many numbers.
        unsafe { to.copy_from((&raw const self).cast(), count) };
    }
    /// `self * factor + addend`, fused where the instruction set can.
    fn fma(self, factor: Self, addend: Self) -> Self;
    /// Sum lane by lane.
    fn add(self, other: Self) -> Self;
    /// Writes the transpose of a square of [`Self::LANES`] rows, which begin `from_stride` numbers apart, as rows that
    /// begin `to_stride` apart.
    ///
    /// # Safety
    /// The rows must be readable, and writable.
    #[inline(always)]
    unsafe fn transpose(from: *const T, from_stride: usize, to: *mut T, to_stride: usize) {
        for i in 0..Self::LANES {
            for j in 0..Self::LANES {
                // SAFETY: the caller's promise.
                unsafe { to.add(i * to_stride + j).copy_from(from.add(j * from_stride + i), 1) };
            }
        }
    }
}

/// An instruction set.
pub trait Isa: 'static {
    /// Whether it multiplies and adds with a single rounding. All that do give the same bits.
    const FUSED: bool;
    /// Register of `f32`.
    type F32: Vector<f32>;
    /// Register of `f64`.
    type F64: Vector<f64>;
    /// `a * b + c`, fused where that is one instruction.
    fn fma32(a: f32, b: f32, c: f32) -> f32;
    /// `a * b + c`, fused where that is one instruction.
    fn fma64(a: f64, b: f64, c: f64) -> f64;
}

/// Work that is compiled for every instruction set.
pub(crate) trait Task {
    /// What it returns.
    type Output;
    /// Does the work. Implementations must be `#[inline(always)]`.
    fn run<I: Isa>(self) -> Self::Output;
}

/// Asks for the line of the cache that `place` is in, which need not be anything's.
#[inline(always)]
pub(crate) fn prefetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 processor has the instruction, which faults nowhere.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Runs `task` with the best instruction set of this processor. The choice is the same for the life of
/// the process.
#[inline]
pub(crate) fn dispatch<K: Task>(task: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        // The standard library caches both answers.
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && allowed(Level::Avx512)
        {
            // SAFETY: the features were just detected (AVX-512F implies AVX2 and FMA).
            return unsafe { x86::run_avx512(task) };
        }
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && allowed(Level::Avx2)
        {
            // SAFETY: the features were just detected.
            return unsafe { x86::run_avx2(task) };
        }
    }
    task.run::<Baseline>()
}

/// How this processor rounds products that are added up. Processors of which this is the same compute the same numbers.
pub fn arithmetic() -> &'static str {
    struct Arithmetic;
    impl Task for Arithmetic {
        type Output = &'static str;
        #[inline(always)]
        fn run<I: Isa>(self) -> Self::Output {
            if I::FUSED { "fused multiply-add" } else { "no fused multiply-add" }
        }
    }
    dispatch(Arithmetic)
}

/// The instruction sets that [`dispatch`] chooses from, poorest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// [`Baseline`].
    Baseline,
    /// AVX2 with fused multiply-add.
    Avx2,
    /// AVX-512.
    Avx512,
}

thread_local! {
    /// [`Level::richest`].
    static RICHEST: std::cell::Cell<Level> = const { std::cell::Cell::new(Level::Avx512) };
}

impl Level {
    /// The richest instruction set that [`dispatch`] may choose on this thread.
    pub(crate) fn richest() -> Self {
        RICHEST.get()
    }

    /// Makes this the richest one.
    pub(crate) fn set(self) {
        RICHEST.set(self);
    }
}

/// Whether [`dispatch`] may choose this instruction set.
#[inline(always)]
fn allowed(level: Level) -> bool {
    level <= Level::richest()
}

/// Runs a test once with each instruction set that this processor has.
pub fn on_every_level(test: impl Fn(Level)) {
    for level in [Level::Baseline, Level::Avx2, Level::Avx512] {
        level.set();
        test(level);
    }
}

/// What every processor of the target has: SSE2 on x86-64, NEON with fused multiply-add on aarch64.
pub(crate) struct Baseline;

/// A register as the compiler vectorises it.
#[derive(Clone, Copy)]
pub(crate) struct Portable<T, const N: usize>([T; N]);

macro_rules! portable {
    ($scalar:ty, $lanes:literal) => {
        impl Vector<$scalar> for Portable<$scalar, $lanes> {
            const LANES: usize = $lanes;
            const WIDE: usize = 2;
            #[inline(always)]
            fn splat(value: $scalar) -> Self {
                Self([value; $lanes])
            }
            #[inline(always)]
            unsafe fn load(from: *const $scalar) -> Self {
                // SAFETY: the caller vouches for the memory.
                Self(unsafe { from.cast::<[$scalar; $lanes]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $scalar) {
                // SAFETY: the caller vouches for the memory.
                unsafe { to.cast::<[$scalar; $lanes]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            fn fma(self, factor: Self, addend: Self) -> Self {
                Self(std::array::from_fn(|i| {
                    if Baseline::FUSED {
                        self.0[i].mul_add(factor.0[i], addend.0[i])
                    } else {
                        self.0[i] * factor.0[i] + addend.0[i]
                    }
                }))
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
            }
        }
    };
}
portable!(f32, 4);
portable!(f64, 2);

impl Isa for Baseline {
    // Elsewhere `mul_add` is a slow call.
    const FUSED: bool = cfg!(target_arch = "aarch64");
    type F32 = Portable<f32, 4>;
    type F64 = Portable<f64, 2>;
    #[inline(always)]
    fn fma32(a: f32, b: f32, c: f32) -> f32 {
        if Baseline::FUSED { a.mul_add(b, c) } else { a * b + c }
    }
    #[inline(always)]
    fn fma64(a: f64, b: f64, c: f64) -> f64 {
        if Baseline::FUSED { a.mul_add(b, c) } else { a * b + c }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Isa, Task, Vector};

    pub(super) struct Avx512;
    pub(super) struct Avx2;

    /// # Safety
    /// The processor must have these features.
    #[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
    pub(super) unsafe fn run_avx512<K: Task>(task: K) -> K::Output {
        task.run::<Avx512>()
    }

    /// # Safety
    /// The processor must have these features.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn run_avx2<K: Task>(task: K) -> K::Output {
        task.run::<Avx2>()
    }

    macro_rules! isa {
        ($isa:ty, $f32:ty, $f64:ty) => {
            impl Isa for $isa {
                const FUSED: bool = true;
                type F32 = $f32;
                type F64 = $f64;
                #[inline(always)]
                fn fma32(a: f32, b: f32, c: f32) -> f32 {
                    a.mul_add(b, c)
                }
                #[inline(always)]
                fn fma64(a: f64, b: f64, c: f64) -> f64 {
                    a.mul_add(b, c)
                }
            }
        };
    }
    isa!(Avx512, __m512, __m512d);
    isa!(Avx2, __m256, __m256d);

    // SAFETY of every intrinsic call below: these types are named only by `Avx512` and `Avx2`, which
    // `dispatch` hands to a task after detecting their features, and memory is the caller's promise.
    macro_rules! vector {
        ($vector:ty, $scalar:ty, $lanes:literal, $wide:literal, $splat:ident, $load:ident, $store:ident, $fma:ident, $add:ident $(, $transpose:ident)? $(; $mask:ty, $load_first:ident, $store_first:ident)?) => {
            impl Vector<$scalar> for $vector {
                const LANES: usize = $lanes;
                const WIDE: usize = $wide;
                #[inline(always)]
                fn splat(value: $scalar) -> Self {
                    unsafe { $splat(value) }
                }
                #[inline(always)]
                unsafe fn load(from: *const $scalar) -> Self {
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut $scalar) {
                    unsafe { $store(to, self) }
                }
                $(
                    #[inline(always)]
                    unsafe fn load_first(from: *const $scalar, count: usize) -> Self {
                        unsafe { $load_first(((1_u32 << count) - 1) as $mask, from) }
                    }
                    #[inline(always)]
                    unsafe fn store_first(self, to: *mut $scalar, count: usize) {
                        unsafe { $store_first(to, ((1_u32 << count) - 1) as $mask, self) }
                    }
                )?
                #[inline(always)]
                fn fma(self, factor: Self, addend: Self) -> Self {
                    unsafe { $fma(self, factor, addend) }
                }
                #[inline(always)]
                fn add(self, other: Self) -> Self {
                    unsafe { $add(self, other) }
                }
                $(
                    #[inline(always)]
                    unsafe fn transpose(
                        from: *const $scalar,
                        from_stride: usize,
                        to: *mut $scalar,
                        to_stride: usize,
                    ) {
                        unsafe { $transpose(from, from_stride, to, to_stride) }
                    }
                )?
            }
        };
    }
    vector!(
        __m512,
        f32,
        16,
        4,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_fmadd_ps,
        _mm512_add_ps,
        transpose16;
        __mmask16,
        _mm512_maskz_loadu_ps,
        _mm512_mask_storeu_ps
    );
    vector!(
        __m512d,
        f64,
        8,
        4,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_fmadd_pd,
        _mm512_add_pd;
        __mmask8,
        _mm512_maskz_loadu_pd,
        _mm512_mask_storeu_pd
    );
    vector!(
        __m256,
        f32,
        8,
        2,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_fmadd_ps,
        _mm256_add_ps,
        transpose8
    );
    vector!(
        __m256d,
        f64,
        4,
        2,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_fmadd_pd,
        _mm256_add_pd
    );

    /// [`Vector::transpose`] by shuffles: first within squares of four, then of these squares.
    ///
    /// # Safety
    /// As there; the processor must have AVX-512.
    #[inline(always)]
    unsafe fn transpose16(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        unsafe {
            let mut squares = [_mm512_setzero_ps(); 16];
            for i in (0..16).step_by(4) {
                let row = |n: usize| _mm512_loadu_ps(from.add((i + n) * from_stride));
                let pairs = |a, b| {
                    let (low, high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                    (_mm512_castps_pd(low), _mm512_castps_pd(high))
                };
                let ((a, b), (c, d)) = (pairs(row(0), row(1)), pairs(row(2), row(3)));
                squares[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
                squares[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
                squares[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
                squares[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
            }
            for j in 0..4 {
                let [a, b, c, d] = [0, 4, 8, 12].map(|i| squares[i + j]);
                let (ab, cd) =
                    (_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0x44>(c, d));
                _mm512_storeu_ps(to.add(j * to_stride), _mm512_shuffle_f32x4::<0x88>(ab, cd));
                _mm512_storeu_ps(to.add((4 + j) * to_stride), _mm512_shuffle_f32x4::<0xdd>(ab, cd));
                let (ab, cd) =
                    (_mm512_shuffle_f32x4::<0xee>(a, b), _mm512_shuffle_f32x4::<0xee>(c, d));
                _mm512_storeu_ps(to.add((8 + j) * to_stride), _mm512_shuffle_f32x4::<0x88>(ab, cd));
                _mm512_storeu_ps(
                    to.add((12 + j) * to_stride),
                    _mm512_shuffle_f32x4::<0xdd>(ab, cd),
                );
            }
        }
    }

    /// [`transpose16`] for AVX2.
    ///
    /// # Safety
    /// As there; the processor must have AVX2.
    #[inline(always)]
    unsafe fn transpose8(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        unsafe {
            let mut squares = [_mm256_setzero_ps(); 8];
            for i in [0, 4] {
                let row = |n: usize| _mm256_loadu_ps(from.add((i + n) * from_stride));
                let pairs = |a, b| {
                    let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                    (_mm256_castps_pd(low), _mm256_castps_pd(high))
                };
                let ((a, b), (c, d)) = (pairs(row(0), row(1)), pairs(row(2), row(3)));
                squares[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, c));
                squares[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, c));
                squares[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b, d));
                squares[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b, d));
            }
            for j in 0..4 {
                let (a, b) = (squares[j], squares[4 + j]);
                _mm256_storeu_ps(to.add(j * to_stride), _mm256_permute2f128_ps::<0x20>(a, b));
                _mm256_storeu_ps(to.add((4 + j) * to_stride), _mm256_permute2f128_ps::<0x31>(a, b));
            }
        }
    }
}

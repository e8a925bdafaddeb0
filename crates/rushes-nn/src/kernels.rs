//! Matrix products and element-wise passes of the native engine.
//!
//! Networks here are small (tens to hundreds of units), so a product is a few microseconds: the left
//! operand is read where it lies, a register tile at a time, and the right one is repacked only where that
//! pays. Everything sums in a fixed order, on however many threads.

#![expect(
    clippy::needless_range_loop,
    reason = "loops over a tile are indexed by constants, so that its sums stay in registers"
)]

use std::marker::PhantomData;
use std::ops::Range;

use super::network::Activation;
use super::scalar::Scalar;
use super::simd::{Isa, Task, Vector, dispatch, prefetch};
use super::threads::{self, PER_NUMBER};

/// Numbers that must be readable behind the end of an operand that is read by whole registers: a
/// register's width. What they hold does not matter.
pub(crate) const SLACK: usize = 16;

/// Rows of a right operand that are worked through at a time, so that they stay in the first-level cache
/// (128 rows of the widest tile are 32 KiB).
const DEPTH_BLOCK: usize = 128;

/// How many registers before it is transposed a part of a row is asked for: rows are too many for processors to see where reading
/// goes.
const AHEAD: usize = 4;

/// Rows that are a multiple of so many bytes apart share an eighth of the first-level cache's sets, or fewer.
const CROWDED: usize = 512;

/// Rows of a tile: of four registers each they are 24 accumulators of 32 (AVX-512), of two registers 12 of 16 (AVX2). The
/// sums of rows that are left over have another order.
pub(crate) const TILE_ROWS: usize = 6;

/// Rows of the tiles of one register: with fewer, an addition would wait for the one before it.
pub(crate) const SLIM_TILE_ROWS: usize = 2 * TILE_ROWS;

/// A zeroed buffer of `len` numbers plus [`SLACK`].
pub(crate) fn with_slack<T: Scalar>(len: usize) -> Vec<T> {
    vec![T::zero(); len + SLACK]
}

/// Grows `buffer` to hold `len` numbers and the slack; never shrinks it.
pub(crate) fn reserve<T: Scalar>(buffer: &mut Vec<T>, len: usize) {
    if buffer.len() < len + SLACK {
        buffer.resize(len + SLACK, T::zero());
    }
}

/// The left operand of a product: element (i, k) is `data[i * row_stride + k * column_stride]`, so that a
/// transposed matrix is a matter of strides.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a, T> {
    pub data: &'a [T],
    pub row_stride: usize,
    pub column_stride: usize,
}

/// The right operand of a product.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a, T> {
    /// Row-major, `depth × columns`, with [`SLACK`] behind its end. Slow where it is [`worth_packing`].
    Rows(&'a [T]),
    /// Repacked by [`Packed::pack`] or [`Packed::pack_transposed`].
    Packed(&'a Packed<T>),
}

/// A right operand cut into [`Panels`], each stored row after row.
pub(crate) struct Packed<T> {
    panels: Panels,
    data: Vec<T>,
}

impl<T> Default for Packed<T> {
    fn default() -> Self {
        Self { panels: Panels::default(), data: Vec::new() }
    }
}

impl<T: Scalar> Packed<T> {
    /// Takes in a `depth × columns` matrix, row-major.
    pub(crate) fn pack(&mut self, depth: usize, columns: usize, matrix: &[T]) {
        self.take_in(depth, columns, matrix, false);
    }

    /// Takes in the transpose of a `columns × depth` matrix, row-major.
    pub(crate) fn pack_transposed(&mut self, depth: usize, columns: usize, matrix: &[T]) {
        self.take_in(depth, columns, matrix, true);
    }

    fn take_in(&mut self, depth: usize, columns: usize, matrix: &[T], transposed: bool) {
        let panels = Panels::of::<T>(columns);
        self.panels = panels;
        // What lies beyond the last column is multiplied and thrown away.
        self.data.resize(depth * panels.start(panels.count), T::zero());
        let share = threads::share(panels.count, PER_NUMBER * depth * columns);
        let mut rest = &mut self.data[..];
        let parts = (0..panels.count).step_by(share).map(|first| {
            let end = (first + share).min(panels.count);
            let len = depth * (panels.start(end) - panels.start(first));
            let packed = rest.split_off_mut(..len).expect("panels fill the operand");
            Pack { depth, columns, panels, range: first..end, matrix, transposed, packed }
        });
        threads::each(parts, dispatch);
    }
}

/// Whether a product is faster when a right operand of so many columns is repacked before many rows read it: its rows are wider
/// than a tile and so far apart that they fall onto few sets of the first-level cache.
pub(crate) fn worth_packing<T: Scalar>(columns: usize) -> bool {
    (columns * size_of::<T>()).is_multiple_of(CROWDED) && Panels::of::<T>(columns).count > 1
}

/// How the columns of a right operand are shared out to tiles: as few panels as there can be, whose widths differ by a
/// register at most, since narrow tiles are slow.
#[derive(Clone, Copy, Default, PartialEq)]
struct Panels {
    count: usize,
    lanes: usize,
    /// Registers of the narrower panels, and how many before them have one more.
    registers: usize,
    wider: usize,
}

impl Panels {
    /// Those of so many columns, on this processor.
    fn of<T: Scalar>(columns: usize) -> Self {
        dispatch(CutPanels::<T> { columns, scalar: PhantomData })
    }

    /// The first column of a panel, or of what would come after the last.
    fn start(self, panel: usize) -> usize {
        self.lanes * (panel * self.registers + panel.min(self.wider))
    }

    /// The distance between two rows of a panel.
    fn width(self, panel: usize) -> usize {
        self.start(panel + 1) - self.start(panel)
    }
}

/// [`Panels::of`] inside of a task.
struct CutPanels<T> {
    columns: usize,
    scalar: PhantomData<T>,
}

impl<T: Scalar> Task for CutPanels<T> {
    type Output = Panels;

    #[inline(always)]
    fn run<I: Isa>(self) -> Panels {
        let lanes = T::Lanes::<I>::LANES;
        let registers = self.columns.div_ceil(lanes);
        // Without columns there is an empty one.
        let count = registers.div_ceil(T::Lanes::<I>::WIDE).max(1);
        Panels { count, lanes, registers: registers / count, wider: registers % count }
    }
}

/// A range of panels.
struct Pack<'a, T> {
    depth: usize,
    columns: usize,
    panels: Panels,
    range: Range<usize>,
    matrix: &'a [T],
    transposed: bool,
    packed: &'a mut [T],
}

impl<T: Scalar> Task for Pack<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let mut rest = self.packed;
        for panel in self.range {
            let (first, width) = (self.panels.start(panel), self.panels.width(panel));
            let (rows, others) = rest.split_at_mut(self.depth * width);
            rest = others;
            let here = width.min(self.columns - first);
            if self.transposed {
                let matrix = &self.matrix[first * self.depth..];
                transpose::<T, I>(self.depth, here, matrix, width, rows);
            } else {
                let from = self.matrix.chunks_exact(self.columns);
                for (row, from) in rows.chunks_exact_mut(width).zip(from) {
                    row[..here].copy_from_slice(&from[first..first + here]);
                }
            }
        }
    }
}

/// Writes the transpose of a `columns × depth` matrix, row-major, as rows that begin `stride` apart.
#[inline(always)]
fn transpose<T: Scalar, I: Isa>(
    depth: usize,
    columns: usize,
    matrix: &[T],
    stride: usize,
    rows: &mut [T],
) {
    let lanes = T::Lanes::<I>::LANES;
    assert!(matrix.len() >= depth * columns && rows.len() >= depth * stride && stride >= columns);
    if depth < lanes || columns < lanes {
        for (k, row) in rows.chunks_mut(stride).enumerate() {
            for (j, value) in row[..columns].iter_mut().enumerate() {
                *value = matrix[j * depth + k];
            }
        }
        return;
    }
    for k in (0..depth).step_by(lanes) {
        for j in (0..columns).step_by(lanes) {
            // Squares at the edges lie over what was written already.
            let (k, j) = (k.min(depth - lanes), j.min(columns - lanes));
            for i in 0..lanes {
                prefetch(matrix.as_ptr().wrapping_add((j + i) * depth + k + AHEAD * lanes));
            }
            // SAFETY: the square lies within both matrices.
            unsafe {
                let (from, to) =
                    (matrix.as_ptr().add(j * depth + k), rows.as_mut_ptr().add(k * stride + j));
                T::Lanes::<I>::transpose(from, depth, to, stride);
            }
        }
    }
}

/// What [`product`] does with the destination before it adds.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a, T> {
    /// Overwrite it: begin from zero.
    Zero,
    /// Add to what is there.
    Accumulate,
    /// Begin every row from this vector of `columns` numbers plus [`SLACK`].
    Bias(&'a [T]),
}

/// `destination[rows × columns] = start + left[rows × depth] · right[depth × columns]`, row-major.
pub(crate) fn product<T: Scalar>(
    rows: usize,
    columns: usize,
    depth: usize,
    left: Left<'_, T>,
    right: Right<'_, T>,
    start: Start<'_, T>,
    destination: &mut [T],
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(destination.len() >= rows * columns, "the destination is too small");
    if depth > 0 {
        let last = (rows - 1) * left.row_stride + (depth - 1) * left.column_stride;
        assert!(left.data.len() > last, "the left operand is too small");
    }
    if let Start::Bias(bias) = start {
        assert!(bias.len() >= columns + SLACK, "the bias lacks its slack");
    }
    // Every thread has whole tiles, so that each row is in the same kind of tile whatever their number.
    let share = threads::share(rows, rows * columns * depth).next_multiple_of(TILE_ROWS);
    let parts = destination[..rows * columns].chunks_mut(share * columns).enumerate();
    let part = |(index, destination): (usize, _)| {
        let first = index * share;
        let left = Left { data: &left.data[first * left.row_stride..], ..left };
        Product { rows: share.min(rows - first), columns, depth, left, right, start, destination }
    };
    threads::each(parts.map(part), dispatch);
}

struct Product<'a, T> {
    rows: usize,
    columns: usize,
    depth: usize,
    left: Left<'a, T>,
    right: Right<'a, T>,
    start: Start<'a, T>,
    destination: &'a mut [T],
}

impl<T: Scalar> Task for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self) {
        let panels = CutPanels::<T> { columns: self.columns, scalar: PhantomData }.run::<I>();
        match self.right {
            Right::Rows(rows) => {
                let len = self.depth * self.columns + SLACK;
                assert!(rows.len() >= len, "the right operand lacks its slack");
            }
            Right::Packed(packed) => {
                let len = self.depth * panels.start(panels.count);
                let this = (packed.data.len(), packed.panels) == (len, panels);
                assert!(this, "another right operand was packed");
            }
        }
        let start = self.start;
        let mut depth = 0;
        loop {
            let block = depth..(depth + DEPTH_BLOCK).min(self.depth);
            for panel in 0..panels.count {
                // Sums only begin from `start` once.
                self.start = if depth == 0 { start } else { Start::Accumulate };
                let first = panels.start(panel);
                let (right, stride) = match self.right {
                    // Without depth there is none.
                    Right::Rows(rows) => (rows.get(first..).unwrap_or_default(), self.columns),
                    Right::Packed(packed) => {
                        (&packed.data[self.depth * first..], panels.width(panel))
                    }
                };
                match panels.width(panel) / panels.lanes {
                    1 => self.strips::<I, 1>(first, right, stride, block.clone()),
                    2 => self.strips::<I, 2>(first, right, stride, block.clone()),
                    3 => self.strips::<I, 3>(first, right, stride, block.clone()),
                    _ => self.strips::<I, 4>(first, right, stride, block.clone()),
                }
            }
            depth = block.end;
            if depth == self.depth {
                return;
            }
        }
    }
}

impl<T: Scalar> Product<'_, T> {
    /// All rows of the destination's columns from `first` on, a panel of `WIDE` registers, over a block of the depth.
    #[inline(always)]
    fn strips<I: Isa, const WIDE: usize>(
        &mut self,
        first: usize,
        panel: &[T],
        stride: usize,
        block: Range<usize>,
    ) {
        let mut row = 0;
        if WIDE == 1 {
            while self.rows - row >= SLIM_TILE_ROWS {
                self.tile::<I, SLIM_TILE_ROWS, WIDE, 1>(row, first, panel, stride, block.clone());
                row += SLIM_TILE_ROWS;
            }
        }
        while self.rows - row >= TILE_ROWS {
            self.tile::<I, TILE_ROWS, WIDE, 1>(row, first, panel, stride, block.clone());
            row += TILE_ROWS;
        }
        // Fewer rows take several steps of the depth side by side, to have as many sums under way.
        while self.rows - row >= 2 {
            self.tile::<I, 2, WIDE, 2>(row, first, panel, stride, block.clone());
            row += 2;
        }
        if row < self.rows {
            self.tile::<I, 1, WIDE, 4>(row, first, panel, stride, block);
        }
    }

    /// A tile of `ROWS` rows and `WIDE` registers, the last of which may reach beyond the last column.
    #[inline(always)]
    fn tile<I: Isa, const ROWS: usize, const WIDE: usize, const STEPS: usize>(
        &mut self,
        row: usize,
        first: usize,
        panel: &[T],
        stride: usize,
        block: Range<usize>,
    ) {
        let lanes = T::Lanes::<I>::LANES;
        let zero = T::Lanes::<I>::splat(T::zero());
        let mut sums = [[[zero; WIDE]; ROWS]; STEPS];
        // SAFETY: `product` and `run` checked the operands' lengths. A load begins inside its row (`run`
        // chose `WIDE` so) and ends at most a register beyond it: inside the panel, whose rows are whole
        // registers, or within the slack.
        unsafe {
            if let Start::Bias(bias) = self.start {
                for j in 0..WIDE {
                    let bias = T::Lanes::<I>::load(bias.as_ptr().add(first + j * lanes));
                    for i in 0..ROWS {
                        sums[0][i][j] = bias;
                    }
                }
            }
            let (row_stride, column_stride) = (self.left.row_stride, self.left.column_stride);
            let mut left =
                self.left.data.as_ptr().add(row * row_stride + block.start * column_stride);
            let mut right = panel.as_ptr().add(block.start * stride);
            let mut k = block.start;
            while k + STEPS <= block.end {
                for s in 0..STEPS {
                    sums[s] = outer::<T, _, ROWS, WIDE>(left, row_stride, right, sums[s]);
                    left = left.wrapping_add(column_stride);
                    right = right.wrapping_add(stride);
                }
                k += STEPS;
            }
            while k < block.end {
                sums[0] = outer::<T, _, ROWS, WIDE>(left, row_stride, right, sums[0]);
                left = left.wrapping_add(column_stride);
                right = right.wrapping_add(stride);
                k += 1;
            }
        }
        for s in 1..STEPS {
            for i in 0..ROWS {
                for j in 0..WIDE {
                    sums[0][i][j] = sums[0][i][j].add(sums[s][i][j]);
                }
            }
        }
        let accumulate = matches!(self.start, Start::Accumulate);
        // The last panel's last register may have lanes beyond the last column.
        let last = (self.columns - first - (WIDE - 1) * lanes).min(lanes);
        let here = row * self.columns + first..;
        let destination =
            &mut self.destination[here][..(ROWS - 1) * self.columns + (WIDE - 1) * lanes + last];
        for i in 0..ROWS {
            for j in 0..WIDE {
                let count = if j + 1 == WIDE { last } else { lanes };
                let sum = sums[0][i][j];
                // SAFETY: the destination reaches to the end of the last row's last register.
                unsafe {
                    let place = destination.as_mut_ptr().add(i * self.columns + j * lanes);
                    let sum = if accumulate {
                        T::Lanes::<I>::load_first(place, count).add(sum)
                    } else {
                        sum
                    };
                    sum.store_first(place, count);
                }
            }
        }
    }
}

/// `sums` plus the outer product of `ROWS` numbers, `row_stride` apart, and `WIDE` registers. By value, and
/// indexed by constants, so that the sums stay in registers.
///
/// # Safety
/// All operands must be readable.
#[inline(always)]
unsafe fn outer<T: Scalar, V: Vector<T>, const ROWS: usize, const WIDE: usize>(
    left: *const T,
    row_stride: usize,
    right: *const T,
    mut sums: [[V; WIDE]; ROWS],
) -> [[V; WIDE]; ROWS] {
    let mut across = [V::splat(T::zero()); WIDE];
    for j in 0..WIDE {
        // SAFETY: the caller's promise.
        across[j] = unsafe { V::load(right.add(j * V::LANES)) };
    }
    for i in 0..ROWS {
        // SAFETY: the caller's promise.
        let factor = V::splat(unsafe { *left.add(i * row_stride) });
        for j in 0..WIDE {
            sums[i][j] = factor.fma(across[j], sums[i][j]);
        }
    }
    sums
}

/// Applies `activation` to every number.
pub(crate) fn activate<T: Scalar>(activation: Activation, values: &mut [T]) {
    if activation != Activation::Linear {
        dispatch(Activate { activation, values });
    }
}

struct Activate<'a, T> {
    activation: Activation,
    values: &'a mut [T],
}

impl<T: Scalar> Task for Activate<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        match self.activation {
            Activation::Linear => {}
            // `x > 0 ? x : 0` would turn NaN into 0 and hide a diverged network.
            Activation::Relu => each(self.values, |x| if x < T::zero() { T::zero() } else { x }),
            Activation::LeakyRelu => {
                let slope = T::of(Activation::LEAKY_SLOPE);
                each(self.values, |x| if x < T::zero() { slope * x } else { x });
            }
            Activation::Elu => {
                each(self.values, |x| if x < T::zero() { x.quick_exp_m1::<I>() } else { x })
            }
            Activation::Tanh => each(self.values, |x| x.quick_tanh::<I>()),
            Activation::Sigmoid => each(self.values, |x| x.quick_sigmoid::<I>()),
            Activation::Silu => each(self.values, |x| x * x.quick_sigmoid::<I>()),
        }
    }
}

#[inline(always)]
fn each<T: Scalar>(values: &mut [T], f: impl Fn(T) -> T) {
    for value in values {
        *value = f(*value);
    }
}

/// Multiplies `gradients` (with respect to the activation's outputs) by the activation's derivative.
/// `before` is what the activation saw; [`Activation::Silu`] alone reads it.
pub(crate) fn deactivate<T: Scalar>(
    activation: Activation,
    before: &[T],
    after: &[T],
    gradients: &mut [T],
) {
    if activation != Activation::Linear {
        dispatch(Deactivate { activation, before, after, gradients });
    }
}

struct Deactivate<'a, T> {
    activation: Activation,
    before: &'a [T],
    after: &'a [T],
    gradients: &'a mut [T],
}

impl<T: Scalar> Task for Deactivate<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let (zero, one) = (T::zero(), T::one());
        let Self { gradients, before, after, .. } = self;
        match self.activation {
            Activation::Linear => {}
            Activation::Relu => pairs(gradients, after, |y| if y > zero { one } else { zero }),
            Activation::LeakyRelu => {
                let slope = T::of(Activation::LEAKY_SLOPE);
                pairs(gradients, after, |y| if y > zero { one } else { slope });
            }
            Activation::Elu => pairs(gradients, after, |y| if y > zero { one } else { y + one }),
            Activation::Tanh => pairs(gradients, after, |y| one - y * y),
            Activation::Sigmoid => pairs(gradients, after, |y| y * (one - y)),
            Activation::Silu => pairs(gradients, before, |x| {
                let sigmoid = x.quick_sigmoid::<I>();
                sigmoid * (one + x * (one - sigmoid))
            }),
        }
    }
}

#[inline(always)]
fn pairs<T: Scalar>(gradients: &mut [T], values: &[T], derivative: impl Fn(T) -> T) {
    for (gradient, &value) in gradients.iter_mut().zip(values) {
        *gradient *= derivative(value);
    }
}

/// Adds the `rows` rows of `matrix` (row-major, `sums.len()` columns, with [`SLACK`]) to `sums`.
pub(crate) fn add_rows<T: Scalar>(rows: usize, matrix: &[T], sums: &mut [T]) {
    let ones = Left { data: &[T::one()], row_stride: 0, column_stride: 0 };
    product(1, sums.len(), rows, ones, Right::Rows(matrix), Start::Accumulate, sums);
}

/// `destination[i, j] = bias[j] + left row i · right row j`, all row-major, both operands with `depth`
/// columns: the product with a transposed right operand of few rows, whose register-wide columns would be
/// mostly empty.
pub(crate) fn narrow_product<T: Scalar>(
    rows: usize,
    depth: usize,
    left: &[T],
    right: &[T],
    bias: &[T],
    destination: &mut [T],
) {
    let columns = bias.len();
    assert!((1..=NARROW).contains(&columns), "a narrow product has few columns");
    assert!(left.len() >= rows * depth && right.len() >= columns * depth, "operands are too small");
    assert!(destination.len() >= rows * columns, "the destination is too small");
    dispatch(Narrow { rows, depth, left, right, bias, destination });
}

/// The most columns that [`narrow_product`] takes.
pub(crate) const NARROW: usize = 4;

struct Narrow<'a, T> {
    rows: usize,
    depth: usize,
    left: &'a [T],
    right: &'a [T],
    bias: &'a [T],
    destination: &'a mut [T],
}

impl<T: Scalar> Task for Narrow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        match self.bias.len() {
            1 => self.dots::<I, 1>(),
            2 => self.dots::<I, 2>(),
            3 => self.dots::<I, 3>(),
            _ => self.dots::<I, NARROW>(),
        }
    }
}

impl<T: Scalar> Narrow<'_, T> {
    #[inline(always)]
    fn dots<I: Isa, const COLUMNS: usize>(self) {
        let lanes = T::Lanes::<I>::LANES;
        let registers = T::SUMS / lanes;
        let whole = self.depth / T::SUMS * T::SUMS;
        let zero = T::Lanes::<I>::splat(T::zero());
        let rows = self.left.chunks_exact(self.depth).take(self.rows);
        for (left, destination) in rows.zip(self.destination.chunks_exact_mut(COLUMNS)) {
            let mut sums = [[zero; MOST_REGISTERS]; COLUMNS];
            for k in (0..whole).step_by(T::SUMS) {
                for r in 0..registers {
                    let k = k + r * lanes;
                    // SAFETY: `whole` is at most the length of every row, which `narrow_product` checked.
                    let factor = unsafe { T::Lanes::<I>::load(left.as_ptr().add(k)) };
                    for j in 0..COLUMNS {
                        let right = self.right.as_ptr().wrapping_add(j * self.depth + k);
                        // SAFETY: as above.
                        sums[j][r] = factor.fma(unsafe { T::Lanes::<I>::load(right) }, sums[j][r]);
                    }
                }
            }
            for j in 0..COLUMNS {
                let right = &self.right[j * self.depth..(j + 1) * self.depth];
                let rest = left[whole..].iter().zip(&right[whole..]).map(|(&a, &b)| a * b);
                destination[j] = self.bias[j] + total(&sums[j][..registers]) + rest.sum::<T>();
            }
        }
    }
}

/// Registers that hold [`Scalar::SUMS`] numbers, at most: those of the poorest instruction set.
const MOST_REGISTERS: usize = 4;

/// The sum of [`Scalar::SUMS`] numbers: halves, quarters, … of all of them, whatever register they are in.
#[inline(always)]
fn total<T: Scalar, V: Vector<T>>(registers: &[V]) -> T {
    let mut lanes = [T::zero(); SLACK];
    for (register, lanes) in registers.iter().zip(lanes.chunks_exact_mut(V::LANES)) {
        // SAFETY: a chunk is as long as a register.
        unsafe { register.store(lanes.as_mut_ptr()) };
    }
    let mut width = T::SUMS / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The sum of a term for each pair of numbers: sixteen sums side by side, which vectorises, in an order that no register's width
/// decides, and is as accurate as a pairwise sum of this depth.
#[inline(always)]
pub(crate) fn sum_by<T: Scalar>(a: &[T], b: &[T], term: impl Fn(T, T) -> T) -> T {
    let mut sums = [T::zero(); 16];
    let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: T = a.remainder().iter().zip(b.remainder()).map(|(&a, &b)| term(a, b)).sum();
    for (a, b) in a.zip(b) {
        for (sum, (&a, &b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += term(a, b);
        }
    }
    sums.iter().copied().sum::<T>() + rest
}

/// `values *= factors`, element by element.
pub(crate) fn multiply<T: Scalar>(values: &mut [T], factors: &[T]) {
    for (value, &factor) in values.iter_mut().zip(factors) {
        *value *= factor;
    }
}

/// Adds the transpose of `matrix` (row-major, `rows × columns`) to `sums` (`columns × rows`).
pub(crate) fn add_transposed<T: Scalar>(rows: usize, columns: usize, matrix: &[T], sums: &mut [T]) {
    for (i, row) in matrix.chunks_exact(columns).take(rows).enumerate() {
        for (j, &value) in row.iter().enumerate() {
            sums[j * rows + i] += value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::uniform;
    use crate::simd::{Level, on_every_level};
    use rushes_rng::{Purpose, stream};

    fn matrix<T: Scalar>(len: usize, seed: u64) -> Vec<T> {
        let mut rng = stream(seed, Purpose::Initialisation, 0);
        let mut values: Vec<T> = (0..len).map(|_| T::of(uniform(&mut rng) - 0.5)).collect();
        // Whatever lies in the slack must not matter.
        values.extend([T::of(f64::NAN); SLACK]);
        values
    }

    #[test]
    fn panels_differ_by_a_register_at_most() {
        on_every_level(|_| {
            for columns in 0..300 {
                let panels = Panels::of::<f32>(columns);
                let widths = (0..panels.count).map(|panel| panels.width(panel));
                let (least, most) = (widths.clone().min().unwrap(), widths.clone().max().unwrap());
                assert!(most - least <= panels.lanes, "{columns}: {least} and {most}");
                assert_eq!(widths.sum::<usize>(), columns.next_multiple_of(panels.lanes));
            }
        });
    }

    #[test]
    fn products_equal_the_definition_for_every_shape_of_tile() {
        on_every_level(|_| {
            check_products::<f64>(1e-13);
            check_products::<f32>(5e-5);
        });
    }

    fn check_products<T: Scalar>(tolerance: f64) {
        for rows in [1, 2, 5, 7, 13, 64] {
            for columns in [1, 2, 4, 7, 8, 15, 16, 17, 31, 32, 33, 64, 70, 100] {
                for depth in [0, 1, 3, 9, 17, 64, 130] {
                    let (left, right) = (matrix(rows * depth, 1), matrix(depth * columns, 2));
                    let (bias, before) = (matrix(columns, 3), matrix(rows * columns, 4));
                    for (start, packed) in (0..9).map(|i| (i % 3, i / 3)) {
                        for transposed in [false, true] {
                            let start = match start {
                                0 => Start::Zero,
                                1 => Start::Accumulate,
                                _ => Start::Bias(&bias),
                            };
                            let (row_stride, column_stride) =
                                if transposed { (1, rows) } else { (depth, 1) };
                            let operand = Left { data: &left, row_stride, column_stride };
                            let mut sums = before.clone();
                            if packed == 0 {
                                let right = Right::Rows(&right);
                                product(rows, columns, depth, operand, right, start, &mut sums);
                            } else {
                                let mut panels = Packed::default();
                                if packed == 1 {
                                    panels.pack(depth, columns, &right);
                                } else {
                                    let mut other = vec![T::zero(); depth * columns];
                                    for k in 0..depth {
                                        for j in 0..columns {
                                            other[j * depth + k] = right[k * columns + j];
                                        }
                                    }
                                    panels.pack_transposed(depth, columns, &other);
                                }
                                let right = Right::Packed(&panels);
                                product(rows, columns, depth, operand, right, start, &mut sums);
                            }
                            let beyond = &sums[rows * columns..];
                            assert!(beyond.iter().all(|value| value.as_f64().is_nan()));
                            for i in 0..rows {
                                for j in 0..columns {
                                    let from = match start {
                                        Start::Zero => T::zero(),
                                        Start::Accumulate => before[i * columns + j],
                                        Start::Bias(bias) => bias[j],
                                    };
                                    let expected = (0..depth).fold(from, |sum, k| {
                                        sum + left[i * row_stride + k * column_stride]
                                            * right[k * columns + j]
                                    });
                                    let found = sums[i * columns + j];
                                    assert!(
                                        (found - expected).as_f64().abs() < tolerance,
                                        "{rows}×{columns}×{depth} ({i}, {j}): {found} for {expected}"
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn narrow_products_equal_the_definition() {
        on_every_level(|_| check_narrow());
    }

    fn check_narrow() {
        for rows in [1, 5] {
            for columns in 1..=NARROW {
                for depth in [1, 7, 8, 16, 33, 64] {
                    let (left, right) = (matrix(rows * depth, 1), matrix(columns * depth, 2));
                    let bias = &matrix(columns, 3)[..columns];
                    let mut found = vec![f64::NAN; rows * columns];
                    narrow_product(rows, depth, &left, &right, bias, &mut found);
                    for (place, found) in found.into_iter().enumerate() {
                        let (i, j) = (place / columns, place % columns);
                        let expected = (0..depth).fold(bias[j], |sum, k| {
                            sum + left[i * depth + k] * right[j * depth + k]
                        });
                        assert!((found - expected).abs() < 1e-13, "{rows}×{columns}×{depth}");
                    }
                }
            }
        }
    }

    struct Exp<'a, T>(&'a mut [T]);
    impl<T: Scalar> Task for Exp<'_, T> {
        type Output = ();
        #[inline(always)]
        fn run<I: Isa>(self) {
            each(self.0, |x| x.quick_exp::<I>());
        }
    }

    /// The greatest error of `quick` against `exact` over ±`limit`, relative to the exact value.
    fn worst<T: Scalar>(limit: f64, quick: impl Fn(&mut [T]), exact: fn(f64) -> f64) -> f64 {
        let points: Vec<T> =
            (-200_000..=200_000).map(|i| T::of(f64::from(i) / 2e5 * limit)).collect();
        let mut values = points.clone();
        quick(&mut values);
        points.iter().zip(&values).fold(0.0, |worst: f64, (x, y)| {
            let expected = exact(x.as_f64());
            let error = (y.as_f64() - expected).abs();
            worst.max(if error == 0.0 { 0.0 } else { error / expected.abs() })
        })
    }

    #[test]
    fn quick_functions_are_as_exact_as_they_say() {
        on_every_level(|_| check_quick());
    }

    fn check_quick() {
        assert!(worst::<f32>(87.0, |x| dispatch(Exp(x)), f64::exp) < 2.4e-7);
        assert!(worst::<f64>(700.0, |x| dispatch(Exp(x)), f64::exp) < 4.5e-16);
        for limit in [0.01, 1.0, 30.0] {
            assert!(worst::<f64>(limit, |x| activate(Activation::Tanh, x), f64::tanh) < 4.5e-16);
            let elu = |x: f64| if x < 0.0 { x.exp_m1() } else { x };
            assert!(worst::<f64>(limit, |x| activate(Activation::Elu, x), elu) < 1e-15);
            assert!(worst::<f32>(limit, |x| activate(Activation::Elu, x), elu) < 1e-6);
            let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
            assert!(worst::<f64>(limit, |x| activate(Activation::Sigmoid, x), sigmoid) < 1e-15);
            assert!(worst::<f32>(limit, |x| activate(Activation::Sigmoid, x), sigmoid) < 1e-6);
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut values = [value, value];
            dispatch(Exp(&mut values[..1]));
            activate(Activation::Tanh, &mut values[1..]);
            assert_eq!(values[0].is_nan(), value.is_nan());
            assert_eq!(values[1].is_nan(), value.is_nan());
            assert!(value.is_nan() || values[1] == value.signum());
        }
    }

    #[test]
    fn the_rational_tanh_stays_within_its_bound() {
        // Rounding twice instead of once costs the baseline a little.
        on_every_level(|level| check_tanh(if level == Level::Baseline { 5e-7 } else { 4e-7 }));
    }

    fn check_tanh(bound: f64) {
        let points: Vec<f32> = (-200_000..=200_000).map(|i| i as f32 * 5e-5).collect();
        let mut values = points.clone();
        activate(Activation::Tanh, &mut values);
        for (x, y) in points.iter().zip(&values) {
            let exact = f64::from(*x).tanh();
            let error = (f64::from(*y) - exact).abs();
            assert!(error <= bound * exact.abs(), "tanh({x}) = {y}, not {exact}");
        }
        let mut special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 100.0];
        activate(Activation::Tanh, &mut special);
        assert!(special[0].is_nan());
        assert!((special[1] - 1.0).abs() < 1e-6 && (special[2] + 1.0).abs() < 1e-6);
    }
}

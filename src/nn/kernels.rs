//! Matrix products and element-wise passes of the native engine.
//!
//! Networks here are small (tens to hundreds of units), so a product is a few microseconds and packing
//! would cost a good part of it: [`product`] reads its operands where they lie, a register tile at a time.
//! Everything runs on the calling thread and sums in a fixed order.

use super::network::Activation;
use super::scalar::Scalar;
use super::simd::{Isa, Task, Vector, dispatch};

/// Numbers that must be readable behind the end of a right-hand operand of [`product`]: a register's
/// width. What they hold does not matter.
pub const SLACK: usize = 16;

/// A zeroed buffer of `len` numbers plus [`SLACK`].
pub fn with_slack<T: Scalar>(len: usize) -> Vec<T> {
    vec![T::zero(); len + SLACK]
}

/// The left operand of a product: element (i, k) is `data[i * row_stride + k * column_stride]`, so that a
/// transposed matrix is a matter of strides.
#[derive(Clone, Copy)]
pub struct Left<'a, T> {
    pub data: &'a [T],
    pub row_stride: usize,
    pub column_stride: usize,
}

/// What [`product`] does with the destination before it adds.
#[derive(Clone, Copy)]
pub enum Start<'a, T> {
    /// Overwrite it: begin from zero.
    Zero,
    /// Add to what is there.
    Accumulate,
    /// Begin every row from this vector of `columns` numbers plus [`SLACK`].
    Bias(&'a [T]),
}

/// `destination[rows × columns] = start + left[rows × depth] · right[depth × columns]`, row-major.
///
/// `right` needs [`SLACK`] numbers behind its end.
pub fn product<T: Scalar>(
    rows: usize,
    columns: usize,
    depth: usize,
    left: Left<'_, T>,
    right: &[T],
    start: Start<'_, T>,
    destination: &mut [T],
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(destination.len() >= rows * columns, "the destination is too small");
    assert!(right.len() >= depth * columns + SLACK, "the right operand lacks its slack");
    if depth > 0 {
        let last = (rows - 1) * left.row_stride + (depth - 1) * left.column_stride;
        assert!(left.data.len() > last, "the left operand is too small");
    }
    if let Start::Bias(bias) = start {
        assert!(bias.len() >= columns + SLACK, "the bias lacks its slack");
    }
    dispatch(Product { rows, columns, depth, left, right, start, destination });
}

struct Product<'a, T> {
    rows: usize,
    columns: usize,
    depth: usize,
    left: Left<'a, T>,
    right: &'a [T],
    start: Start<'a, T>,
    destination: &'a mut [T],
}

impl<T: Scalar> Task for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self) {
        let mut row = 0;
        // Rows in tiles of six: with four registers across that is 24 accumulators of 32 (AVX-512), with
        // two 12 of 16 (AVX2).
        while self.rows - row >= 6 {
            self.strip::<I, 6>(row);
            row += 6;
        }
        while self.rows - row >= 2 {
            self.strip::<I, 2>(row);
            row += 2;
        }
        if row < self.rows {
            self.strip::<I, 1>(row);
        }
    }
}

impl<T: Scalar> Product<'_, T> {
    /// `ROWS` rows of the destination, all columns.
    #[inline(always)]
    fn strip<I: Isa, const ROWS: usize>(&mut self, row: usize) {
        let lanes = T::Lanes::<I>::LANES;
        let mut column = 0;
        if T::Lanes::<I>::WIDE >= 4 {
            while column + 3 * lanes < self.columns {
                self.tile::<I, ROWS, 4>(row, column);
                column += 4 * lanes;
            }
        }
        while column + lanes < self.columns {
            self.tile::<I, ROWS, 2>(row, column);
            column += 2 * lanes;
        }
        if column < self.columns {
            self.tile::<I, ROWS, 1>(row, column);
        }
    }

    /// A tile of `ROWS` rows and `WIDE` registers, the last register possibly beyond the last column.
    #[inline(always)]
    fn tile<I: Isa, const ROWS: usize, const WIDE: usize>(&mut self, row: usize, column: usize) {
        let lanes = T::Lanes::<I>::LANES;
        let mut sums = [[T::Lanes::<I>::splat(T::zero()); WIDE]; ROWS];
        // SAFETY: `product` checked the operands' lengths. A load at `column + j * lanes` begins inside the
        // row (the callers of `tile` see to that) and ends at most a register beyond it, within the slack.
        unsafe {
            if let Start::Bias(bias) = self.start {
                for sum in &mut sums {
                    for (j, sum) in sum.iter_mut().enumerate() {
                        *sum = T::Lanes::<I>::load(bias.as_ptr().add(column + j * lanes));
                    }
                }
            }
            let left = self.left.data.as_ptr().add(row * self.left.row_stride);
            let right = self.right.as_ptr().add(column);
            for k in 0..self.depth {
                let right = right.add(k * self.columns);
                let mut across = [T::Lanes::<I>::splat(T::zero()); WIDE];
                for (j, across) in across.iter_mut().enumerate() {
                    *across = T::Lanes::<I>::load(right.add(j * lanes));
                }
                let left = left.add(k * self.left.column_stride);
                for (i, sum) in sums.iter_mut().enumerate() {
                    let factor = T::Lanes::<I>::splat(*left.add(i * self.left.row_stride));
                    for (sum, &across) in sum.iter_mut().zip(&across) {
                        *sum = factor.fma(across, *sum);
                    }
                }
            }
        }
        let accumulate = matches!(self.start, Start::Accumulate);
        for (i, sum) in sums.iter().enumerate() {
            for (j, &sum) in sum.iter().enumerate() {
                let from = column + j * lanes;
                let to = (from + lanes).min(self.columns);
                let first = (row + i) * self.columns;
                let destination = &mut self.destination[first + from..first + to];
                // SAFETY: a register's worth is read and written only where that many numbers are.
                unsafe {
                    if destination.len() == lanes {
                        let before = T::Lanes::<I>::load(destination.as_ptr());
                        let sum = if accumulate { before.add(sum) } else { sum };
                        sum.store(destination.as_mut_ptr());
                    } else {
                        let mut buffer = [T::zero(); SLACK];
                        sum.store(buffer.as_mut_ptr());
                        for (destination, &sum) in destination.iter_mut().zip(&buffer) {
                            *destination = if accumulate { *destination + sum } else { sum };
                        }
                    }
                }
            }
        }
    }
}

/// Applies `activation` to every number.
pub fn activate<T: Scalar>(activation: Activation, values: &mut [T]) {
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
        let one = T::one();
        match self.activation {
            Activation::Linear => {}
            // `x > 0 ? x : 0` would turn NaN into 0 and hide a diverged network.
            Activation::Relu => each(self.values, |x| if x < T::zero() { T::zero() } else { x }),
            Activation::LeakyRelu => {
                let slope = T::of(Activation::LEAKY_SLOPE);
                each(self.values, |x| if x < T::zero() { slope * x } else { x });
            }
            Activation::Elu => each(self.values, |x| if x < T::zero() { x.exp_m1() } else { x }),
            Activation::Tanh => each(self.values, |x| x.quick_tanh::<I>()),
            Activation::Sigmoid => each(self.values, |x| one / (one + (-x).exp())),
            Activation::Silu => each(self.values, |x| x / (one + (-x).exp())),
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
/// `inputs` are read by [`Activation::Silu`] alone and may be empty otherwise.
pub fn deactivate<T: Scalar>(
    activation: Activation,
    inputs: &[T],
    outputs: &[T],
    gradients: &mut [T],
) {
    if activation != Activation::Linear {
        dispatch(Deactivate { activation, inputs, outputs, gradients });
    }
}

struct Deactivate<'a, T> {
    activation: Activation,
    inputs: &'a [T],
    outputs: &'a [T],
    gradients: &'a mut [T],
}

impl<T: Scalar> Task for Deactivate<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let (zero, one) = (T::zero(), T::one());
        let (gradients, outputs) = (self.gradients, self.outputs);
        match self.activation {
            Activation::Linear => {}
            Activation::Relu => pairs(gradients, outputs, |y| if y > zero { one } else { zero }),
            Activation::LeakyRelu => {
                let slope = T::of(Activation::LEAKY_SLOPE);
                pairs(gradients, outputs, |y| if y > zero { one } else { slope });
            }
            Activation::Elu => pairs(gradients, outputs, |y| if y > zero { one } else { y + one }),
            Activation::Tanh => pairs(gradients, outputs, |y| one - y * y),
            Activation::Sigmoid => pairs(gradients, outputs, |y| y * (one - y)),
            Activation::Silu => pairs(gradients, self.inputs, |x| {
                let sigmoid = one / (one + (-x).exp());
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

/// `values *= factors`, element by element.
pub fn multiply<T: Scalar>(values: &mut [T], factors: &[T]) {
    for (value, &factor) in values.iter_mut().zip(factors) {
        *value *= factor;
    }
}

/// Adds every row of `matrix` (row-major, `sums.len()` columns) to `sums`.
pub fn add_rows<T: Scalar>(matrix: &[T], sums: &mut [T]) {
    for row in matrix.chunks_exact(sums.len()) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
}

/// Writes the transpose of `matrix` (row-major, `rows × columns`).
pub fn transpose<T: Scalar>(rows: usize, columns: usize, matrix: &[T], transposed: &mut [T]) {
    for (i, row) in matrix.chunks_exact(columns).take(rows).enumerate() {
        for (j, &value) in row.iter().enumerate() {
            transposed[j * rows + i] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::random::uniform;
    use crate::rng::{Purpose, stream};

    fn matrix(len: usize, seed: u64) -> Vec<f64> {
        let mut rng = stream(seed, Purpose::Initialisation, 0);
        let mut values: Vec<f64> = (0..len).map(|_| uniform(&mut rng) - 0.5).collect();
        // Whatever lies in the slack must not matter.
        values.extend([f64::NAN; SLACK]);
        values
    }

    #[test]
    fn products_equal_the_definition_for_every_shape_of_tile() {
        for rows in [1, 2, 3, 5, 6, 7, 13, 64] {
            for columns in [1, 2, 4, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100] {
                for depth in [0, 1, 3, 64] {
                    let (left, right) = (matrix(rows * depth, 1), matrix(depth * columns, 2));
                    let (bias, before) = (matrix(columns, 3), matrix(rows * columns, 4));
                    for start in 0..3 {
                        for transposed in [false, true] {
                            let start = match start {
                                0 => Start::Zero,
                                1 => Start::Accumulate,
                                _ => Start::Bias(&bias),
                            };
                            let (row_stride, column_stride) =
                                if transposed { (1, rows) } else { (depth, 1) };
                            let operand = Left { data: &left, row_stride, column_stride };
                            let mut sums = before[..rows * columns].to_vec();
                            product(rows, columns, depth, operand, &right, start, &mut sums);
                            for i in 0..rows {
                                for j in 0..columns {
                                    let from = match start {
                                        Start::Zero => 0.0,
                                        Start::Accumulate => before[i * columns + j],
                                        Start::Bias(bias) => bias[j],
                                    };
                                    let expected = (0..depth).fold(from, |sum, k| {
                                        sum + left[i * row_stride + k * column_stride]
                                            * right[k * columns + j]
                                    });
                                    let found = sums[i * columns + j];
                                    assert!(
                                        (found - expected).abs() < 1e-13,
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
    fn the_rational_tanh_stays_within_four_parts_in_ten_million() {
        let points: Vec<f32> = (-200_000..=200_000).map(|i| i as f32 * 5e-5).collect();
        let mut values = points.clone();
        activate(Activation::Tanh, &mut values);
        for (x, y) in points.iter().zip(&values) {
            let exact = f64::from(*x).tanh();
            let error = (f64::from(*y) - exact).abs();
            assert!(error <= 4e-7 * exact.abs(), "tanh({x}) = {y}, not {exact}");
        }
        let mut special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 100.0];
        activate(Activation::Tanh, &mut special);
        assert!(special[0].is_nan());
        assert!((special[1] - 1.0).abs() < 1e-6 && (special[2] + 1.0).abs() < 1e-6);
    }
}

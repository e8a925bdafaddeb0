//! `numpy.random.Generator(PCG64(seed))`, as Gymnasium's `np_random`.

use std::convert::Infallible;

use rand::rand_core::TryRng;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::{SeedSequence, ziggurat};

/// NumPy's default generator. It is a [`rand::Rng`], so the ecosystem's distributions work on it; the
/// methods here are the ones whose values equal NumPy's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NpRandom {
    bits: Pcg64,
    /// The unused high half of the last 64-bit word: NumPy serves 32-bit draws in pairs.
    half: Option<u32>,
}

impl NpRandom {
    /// `numpy.random.default_rng(seed)`.
    pub fn new(seed: u64) -> Self {
        Self { bits: SeedSequence::new(&[seed]).pcg64(), half: None }
    }

    /// `Generator.random()`: uniform on [0, 1) with 53 bits.
    #[inline]
    pub fn random(&mut self) -> f64 {
        (self.next_word() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// `Generator.uniform(low, high)`.
    #[inline]
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random()
    }

    /// `Generator.integers(low, high)` with NumPy's default 64-bit type: uniform on `low … high - 1`, by
    /// Lemire's "Fast random integer generation in an interval" (2019). Ranges below 2³² draw halves of
    /// words, as NumPy does.
    ///
    /// # Panics
    /// Panics if the range is empty, as NumPy refuses it.
    #[inline]
    pub fn integers(&mut self, low: i64, high: i64) -> i64 {
        assert!(low < high, "the range {low}..{high} is empty");
        let last = high.wrapping_sub(low).wrapping_sub(1) as u64;
        let offset = match u32::try_from(last) {
            Ok(0) => 0,
            Ok(last) => u64::from(self.below_u32(last)),
            Err(_) => self.below_u64(last),
        };
        low.wrapping_add(offset as i64)
    }

    /// The index that `Generator.choice(a)` takes from a list of `len` elements.
    ///
    /// # Panics
    /// Panics if `len` is zero.
    #[inline]
    pub fn choice(&mut self, len: usize) -> usize {
        self.integers(0, len as i64) as usize
    }

    /// The index that `Generator.choice(a, p=…)` takes, given `p`'s running sums divided by their last.
    pub fn choice_weighted(&mut self, cumulative: &[f64]) -> usize {
        let draw = self.random();
        cumulative.partition_point(|&edge| edge <= draw)
    }

    /// `Generator.standard_normal()`.
    pub fn standard_normal(&mut self) -> f64 {
        loop {
            let word = self.next_word();
            let strip = (word & 0xff) as usize;
            let negative = word >> 8 & 1 == 1;
            let mantissa = word >> 9 & 0x000f_ffff_ffff_ffff;
            let magnitude = mantissa as f64 * ziggurat::W[strip];
            let x = if negative { -magnitude } else { magnitude };
            if mantissa < ziggurat::K[strip] {
                return x;
            }
            if strip == 0 {
                return self.normal_tail(mantissa >> 8 & 1 == 1);
            }
            let (upper, lower) = (ziggurat::F[strip - 1], ziggurat::F[strip]);
            if (upper - lower) * self.random() + lower < (-0.5 * x * x).exp() {
                return x;
            }
        }
    }

    /// `Generator.normal(mean, std)`.
    pub fn normal(&mut self, mean: f64, std: f64) -> f64 {
        mean + std * self.standard_normal()
    }

    /// The tail beyond [`ziggurat::R`], by Marsaglia's method.
    #[cold]
    fn normal_tail(&mut self, negative: bool) -> f64 {
        loop {
            let x = -ziggurat::INV_R * (-self.random()).ln_1p();
            let y = -(-self.random()).ln_1p();
            if y + y > x * x {
                return if negative { -(ziggurat::R + x) } else { ziggurat::R + x };
            }
        }
    }

    /// Uniform on `0 … last`, `last` below `u32::MAX` or equal to it.
    #[inline]
    fn below_u32(&mut self, last: u32) -> u32 {
        let Some(count) = last.checked_add(1) else {
            return self.next_half();
        };
        let mut product = u64::from(self.next_half()) * u64::from(count);
        if (product as u32) < count {
            let threshold = (u32::MAX - last) % count;
            while (product as u32) < threshold {
                product = u64::from(self.next_half()) * u64::from(count);
            }
        }
        (product >> 32) as u32
    }

    /// Uniform on `0 … last`.
    fn below_u64(&mut self, last: u64) -> u64 {
        let Some(count) = last.checked_add(1) else {
            return self.next_word();
        };
        let mut product = u128::from(self.next_word()) * u128::from(count);
        if (product as u64) < count {
            let threshold = (u64::MAX - last) % count;
            while (product as u64) < threshold {
                product = u128::from(self.next_word()) * u128::from(count);
            }
        }
        (product >> 64) as u64
    }

    #[inline]
    fn next_word(&mut self) -> u64 {
        let Ok(word) = self.bits.try_next_u64();
        word
    }

    #[inline]
    fn next_half(&mut self) -> u32 {
        if let Some(half) = self.half.take() {
            return half;
        }
        let word = self.next_word();
        self.half = Some((word >> 32) as u32);
        word as u32
    }
}

impl TryRng for NpRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next_half())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next_word())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_word().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::SeedSequence;

    /// NumPy's own values, five seeds from 0 to 2⁶⁴ - 1.
    fn golden() -> Value {
        serde_json::from_str(include_str!("../../../tests/goldens/rng.json")).expect("valid JSON")
    }

    fn seeds() -> Vec<(u64, Value)> {
        let golden = golden();
        let seeds = golden["seeds"].as_array().expect("a list of seeds");
        seeds.iter().map(|s| (s["seed"].as_u64().expect("a seed"), s.clone())).collect()
    }

    fn floats(value: &Value) -> Vec<f64> {
        value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
    }

    fn ints(value: &Value) -> Vec<i64> {
        value.as_array().expect("a list").iter().map(|v| v.as_i64().expect("a number")).collect()
    }

    fn draw<T>(seed: u64, n: usize, mut f: impl FnMut(&mut NpRandom) -> T) -> Vec<T> {
        let mut rng = NpRandom::new(seed);
        (0..n).map(|_| f(&mut rng)).collect()
    }

    #[test]
    fn seed_sequence_and_raw_words_equal_numpys() {
        for (seed, golden) in seeds() {
            let words: Vec<u64> = golden["generate_state_u64_4"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_u64().unwrap())
                .collect();
            assert_eq!(
                SeedSequence::new(&[seed]).generate_u64::<4>().to_vec(),
                words,
                "seed {seed}"
            );
            let raw: Vec<u64> = golden["random_raw_u64_8"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_u64().unwrap())
                .collect();
            assert_eq!(draw(seed, 8, NpRandom::next_word), raw, "seed {seed}");
        }
    }

    #[test]
    fn every_distribution_equals_numpys() {
        for (seed, golden) in seeds() {
            assert_eq!(draw(seed, 10, NpRandom::random), floats(&golden["random_10"]));
            assert_eq!(
                draw(seed, 4, |r| r.uniform(-0.05, 0.05)),
                floats(&golden["uniform_m005_005_4"])
            );
            for (key, n, high) in [
                ("integers_0_2_20", 20, 2),
                ("integers_0_7_20", 20, 7),
                ("integers_scalar_0_7_20", 20, 7),
                ("integers_0_1e12_10", 10, 1_000_000_000_000),
            ] {
                assert_eq!(draw(seed, n, |r| r.integers(0, high)), ints(&golden[key]), "{key}");
            }
            assert_eq!(draw(seed, 10, |r| r.normal(0.0, 1.0)), floats(&golden["normal_10"]));
            let normals = draw(seed, 2000, NpRandom::standard_normal);
            assert_eq!(normals[1995..], floats(&golden["standard_normal_2000_tail"]));
        }
    }

    #[test]
    fn draws_of_different_kinds_share_one_stream() {
        for (seed, golden) in seeds() {
            let mut rng = NpRandom::new(seed);
            for entry in golden["chained"].as_array().unwrap() {
                let (name, expected) = (entry[0].as_str().unwrap(), &entry[1]);
                let mut repeat = |n: usize, f: &mut dyn FnMut(&mut NpRandom) -> f64| {
                    Value::from((0..n).map(|_| f(&mut rng)).collect::<Vec<_>>())
                };
                let drawn = match name {
                    "random" => repeat(1, &mut |r| r.random()),
                    "random(3)" => repeat(3, &mut |r| r.random()),
                    "integers(0,2,size=3)" => repeat(3, &mut |r| r.integers(0, 2) as f64),
                    "uniform(-0.05,0.05,size=4)" => repeat(4, &mut |r| r.uniform(-0.05, 0.05)),
                    "integers(0,7)" => repeat(1, &mut |r| r.integers(0, 7) as f64),
                    "normal" => repeat(1, &mut |r| r.normal(0.0, 1.0)),
                    "integers(0,500)" => repeat(1, &mut |r| r.integers(0, 500) as f64),
                    "integers(-9999,9999)" => repeat(1, &mut |r| r.integers(-9999, 9999) as f64),
                    "choice(list of 13: 1..9,10,10,10,10)" => {
                        repeat(1, &mut |r| (r.choice(13) + 1).min(10) as f64)
                    }
                    other => panic!("the golden has a draw that this test does not know: {other}"),
                };
                let expected = if expected.is_array() {
                    floats(expected)
                } else {
                    vec![expected.as_f64().unwrap()]
                };
                assert_eq!(floats(&drawn), expected, "seed {seed}, {name}");
            }
        }
    }
}

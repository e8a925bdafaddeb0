//! `numpy.random.Generator(PCG64(seed))`, as Gymnasium's `np_random`.

use std::convert::Infallible;

use rand::rand_core::TryRng;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::SeedSequence;

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
    pub fn random(&mut self) -> f64 {
        (self.next_word() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// `Generator.uniform(low, high)`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random()
    }

    fn next_word(&mut self) -> u64 {
        let Ok(word) = self.bits.try_next_u64();
        word
    }

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

//! NumPy's `SeedSequence`: entropy hashed into well-mixed seed words.
//!
//! Source: `numpy/random/bit_generator.pyx`, after Melissa O'Neill's `randutils` (MIT).

use rand_pcg::Pcg64;

const POOL_SIZE: usize = 4;
const INIT_A: u32 = 0x43b0_d7e5;
const MULT_A: u32 = 0x931e_8875;
const INIT_B: u32 = 0x8b51_f9dd;
const MULT_B: u32 = 0x58f3_8ded;
const MIX_MULT_L: u32 = 0xca01_f9dd;
const MIX_MULT_R: u32 = 0x4973_f715;
const XSHIFT: u32 = 16;

/// Hashed entropy, as `numpy.random.SeedSequence(entropy)` holds it.
#[derive(Debug, Clone)]
pub struct SeedSequence {
    pool: [u32; POOL_SIZE],
}

impl SeedSequence {
    /// The sequence for a list of whole numbers; one number equals NumPy's scalar entropy.
    pub fn new(entropy: &[u64]) -> Self {
        let mut words = Vec::with_capacity(2 * entropy.len());
        for &number in entropy {
            words.push(number as u32);
            if number >> 32 != 0 {
                words.push((number >> 32) as u32);
            }
        }
        let mut hash_const = INIT_A;
        let mut hashmix = |word: u32| {
            let mut value = word ^ hash_const;
            hash_const = hash_const.wrapping_mul(MULT_A);
            value = value.wrapping_mul(hash_const);
            value ^ (value >> XSHIFT)
        };
        let mix = |x: u32, y: u32| {
            let value = MIX_MULT_L.wrapping_mul(x).wrapping_sub(MIX_MULT_R.wrapping_mul(y));
            value ^ (value >> XSHIFT)
        };
        let mut pool = [0; POOL_SIZE];
        for (i, slot) in pool.iter_mut().enumerate() {
            *slot = hashmix(words.get(i).copied().unwrap_or(0));
        }
        for source in 0..POOL_SIZE {
            for target in 0..POOL_SIZE {
                if source != target {
                    pool[target] = mix(pool[target], hashmix(pool[source]));
                }
            }
        }
        for &word in words.iter().skip(POOL_SIZE) {
            for slot in &mut pool {
                *slot = mix(*slot, hashmix(word));
            }
        }
        Self { pool }
    }

    /// NumPy's `generate_state(N, numpy.uint64)`.
    pub fn generate_u64<const N: usize>(&self) -> [u64; N] {
        let mut hash_const = INIT_B;
        let mut pool = self.pool.iter().cycle();
        let mut word = || {
            let mut value = pool.next().expect("a cycle has no end") ^ hash_const;
            hash_const = hash_const.wrapping_mul(MULT_B);
            value = value.wrapping_mul(hash_const);
            u64::from(value ^ (value >> XSHIFT))
        };
        std::array::from_fn(|_| {
            let low = word();
            low | word() << 32
        })
    }

    /// The bit generator `numpy.random.PCG64(self)`.
    pub fn pcg64(&self) -> Pcg64 {
        let [state_high, state_low, stream_high, stream_low] = self.generate_u64();
        let join = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
        Pcg64::new(join(state_high, state_low), join(stream_high, stream_low))
    }
}

//! Pseudo-random numbers and bytes. The same seed gives the same numbers on any machine.

/// A stream of pseudo-random numbers (splitmix64).
pub(super) struct Random(u64);

impl Random {
    /// Returns the stream number `stream` of the seed `seed`.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed);
        let start = random.number();
        Self(start ^ stream.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// Returns the next number, which has 64 random bits.
    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a random number less than `end`, which must not be 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// Puts `list` into a random order.
    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (2..=list.len()).rev() {
            list.swap(end - 1, self.below(end as u64) as usize);
        }
    }

    /// Returns a random file size. The sizes have a log-normal distribution with this median, and their
    /// logarithms have the standard deviation `spread`.
    pub(super) fn size(&mut self, median: f64, spread: f64) -> u64 {
        // The sum of twelve uniform numbers approximates a normal distribution without computing a logarithm.
        let uniform = |number: u64| number as f64 / u64::MAX as f64;
        let normal: f64 = (0..12).map(|_| uniform(self.number())).sum::<f64>() - 6.0;
        (median * (normal * spread).exp()) as u64
    }

    /// Fills `bytes` with random bytes.
    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.number().to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_gives_others() {
        let bytes = |seed, stream| {
            let mut bytes = [0; 19];
            Random::new(seed, stream).fill(&mut bytes);
            bytes
        };
        assert_eq!(bytes(1, 1), bytes(1, 1));
        assert_ne!(bytes(1, 1), bytes(2, 1));
        assert_ne!(bytes(1, 1), bytes(1, 2));
        assert!(bytes(1, 1).iter().any(|&byte| byte != 0));
    }

    #[test]
    fn half_of_the_sizes_are_below_the_median() {
        let mut random = Random::new(1, 1);
        let sizes: Vec<u64> = (0..10_000).map(|_| random.size(1500.0, 0.8)).collect();
        let below = sizes.iter().filter(|&&size| size < 1500).count();
        assert!((4700..5300).contains(&below), "{below}");
    }
}

//! Numbers and bytes that look like chance and are the same for the same seed, on any machine.

/// A stream of numbers (splitmix64).
pub struct Random(u64);

impl Random {
    /// The stream that belongs to a seed and to one of its streams, `number`.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut random = Self(seed);
        let start = random.number();
        Self(start ^ number.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// The next number, any 64 bits.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// Puts `list` into any order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (2..=list.len()).rev() {
            list.swap(end - 1, self.below(end as u64) as usize);
        }
    }

    /// A number of bytes whose logarithm is spread like a bell around that of `median`.
    pub fn size(&mut self, median: f64, spread: f64) -> u64 {
        // Twelve even numbers, added, are as good as a bell and need no logarithm.
        let even = |number: u64| number as f64 / u64::MAX as f64;
        let bell: f64 = (0..12).map(|_| even(self.number())).sum::<f64>() - 6.0;
        (median * (bell * spread).exp()) as u64
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&self.number().to_le_bytes()[..piece.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
        let bytes = |seed, number| {
            let mut bytes = [0; 19];
            Random::new(seed, number).fill(&mut bytes);
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

//! Random choices that can be repeated: `PCOPY_SEED` is their seed, and `PCOPY_CASES` the number of cases.

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::time::Duration;

/// A generator of random numbers, which are the same for the same seed.
pub(crate) struct Dice(u64);

impl Dice {
    /// Uses the seed `PCOPY_SEED`, or another seed in each run. The seed is printed, so a failure shows it.
    pub(crate) fn new() -> Self {
        Self::from("PCOPY_SEED")
    }

    /// Like [`new`](Self::new), with another variable for the seed.
    pub(crate) fn from(variable: &str) -> Self {
        let given = std::env::var(variable).ok().map(|seed| seed.parse().unwrap());
        let clock = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let dice = Self::seeded(given.unwrap_or(clock));
        eprintln!("{variable}={}", dice.0);
        dice
    }

    /// Uses this seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    pub(crate) fn moment(&mut self, whole: Duration) -> Duration {
        Duration::from_micros(self.below(whole.as_micros().max(1) as usize) as u64)
    }
}

/// Returns a runner of `cases` random cases, and its seed. Each run has the same cases, unless `PCOPY_SEED`
/// or `PCOPY_CASES` is set.
pub(crate) fn runner(cases: u64, shrink: u32) -> (TestRunner, u64) {
    let seed = number_from("PCOPY_SEED", 1);
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: u32::try_from(number_from("PCOPY_CASES", cases)).unwrap(),
        failure_persistence: None,
        max_shrink_iters: shrink,
        max_global_rejects: u32::MAX,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    (TestRunner::new_with_rng(config, rng), seed)
}

fn number_from(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

//! What file systems cannot do with one another, learned once for all copiers.
//!
//! Whether files can be cloned from one file system to another is told by the first try. It is kept
//! here per pair of devices, so that not every file of every copier has to fail first. What is not
//! known counts as possible, so forgetting is never wrong: a full table keeps what it has, and a
//! round begins with an empty one.
//!
//! A slot is claimed by writing its pair into it, once, and never changes it afterwards. Its lacks
//! are bits that are only ever added. So whoever finds the pair may read and add, whoever claimed
//! it may have died, and no order between the two words matters: a bit that is seen late costs a
//! try.

use pcopy_sys::words::SharedWords;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Pairs that are remembered. A run meets one or two; each mount below SRC or DST adds some.
const SLOTS: usize = 128;
const SLOT_WORDS: usize = 2;

/// What a pair of file systems may be able to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Capability {
    /// The target shares the source's bytes.
    Clone = 1,
    /// The kernel copies bytes from file to file.
    CopyRange = 2,
}

/// From which device to which; packed into a word that is never zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pair(Option<u64>);

impl Pair {
    /// The pair of two device numbers, as `stat` tells them.
    ///
    /// Linux has no device 0 and none that needs more than 32 bits; one that did would be forgotten.
    pub fn of(source: u64, target: u64) -> Self {
        let packed = u32::try_from(source).ok().zip(u32::try_from(target).ok());
        let word = packed.map(|(source, target)| u64::from(source) << 32 | u64::from(target));
        Self(word.filter(|&word| word != 0))
    }
}

/// The table.
pub struct FsCaps {
    words: SharedWords,
}

impl FsCaps {
    /// Nothing known yet. Must be made before the first fork.
    pub fn create() -> io::Result<Self> {
        let words = SharedWords::create("pcopy-fs-caps", SLOTS * SLOT_WORDS)?;
        Ok(Self { words })
    }

    /// Whether `pair` is known to lack `ability`.
    pub fn lacks(&self, pair: Pair, ability: Capability) -> bool {
        let Pair(Some(word)) = pair else { return false };
        let found = slots(word).map(|slot| self.slot(slot)).find_map(|(owner, lacks)| {
            match owner.load(Relaxed) {
                0 => Some(0), // what is behind an empty slot was never looked for there
                seen => (seen == word).then(|| lacks.load(Relaxed)),
            }
        });
        found.unwrap_or(0) & ability as u64 != 0
    }

    /// Notes that `pair` lacks `ability`, if there is room.
    pub fn note_lack(&self, pair: Pair, ability: Capability) {
        let Pair(Some(word)) = pair else { return };
        for (owner, lacks) in slots(word).map(|slot| self.slot(slot)) {
            let claimed = owner.compare_exchange(0, word, Relaxed, Relaxed);
            if claimed.is_ok() || claimed == Err(word) {
                lacks.fetch_or(ability as u64, Relaxed);
                return;
            }
        }
    }

    fn slot(&self, slot: usize) -> (&AtomicU64, &AtomicU64) {
        (&self.words[slot * SLOT_WORDS], &self.words[slot * SLOT_WORDS + 1])
    }
}

/// All slots, beginning where `word` is at home.
fn slots(word: u64) -> impl Iterator<Item = usize> {
    // Fibonacci hashing: device numbers are small and in a row.
    let home = word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let home = usize::try_from(home).unwrap_or(0);
    (0..SLOTS).map(move |step| home.wrapping_add(step) % SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_lacks_what_was_noted_of_it_and_nothing_else() {
        let fs_caps = FsCaps::create().unwrap();
        let pair = Pair::of(7, 8);
        assert!(!fs_caps.lacks(pair, Capability::Clone));
        fs_caps.note_lack(pair, Capability::Clone);
        assert!(fs_caps.lacks(pair, Capability::Clone));
        assert!(!fs_caps.lacks(pair, Capability::CopyRange));
        for other in [Pair::of(8, 7), Pair::of(7, 7), Pair::of(0, 7), Pair::of(7, 0)] {
            assert!(!fs_caps.lacks(other, Capability::Clone), "{other:?}");
        }
        fs_caps.note_lack(pair, Capability::CopyRange);
        assert!(
            fs_caps.lacks(pair, Capability::Clone) && fs_caps.lacks(pair, Capability::CopyRange)
        );
    }

    #[test]
    fn a_full_table_keeps_what_it_has_and_takes_no_more() {
        let fs_caps = FsCaps::create().unwrap();
        let pairs: Vec<_> = (1..=SLOTS as u64 + 10).map(|device| Pair::of(device, 3)).collect();
        pairs.iter().for_each(|&pair| fs_caps.note_lack(pair, Capability::Clone));
        for (number, &pair) in pairs.iter().enumerate() {
            assert_eq!(fs_caps.lacks(pair, Capability::Clone), number < SLOTS, "{number}");
            assert!(!fs_caps.lacks(pair, Capability::CopyRange));
        }
    }

    #[test]
    fn devices_that_do_not_fit_are_forgotten() {
        let fs_caps = FsCaps::create().unwrap();
        for pair in [Pair::of(0, 0), Pair::of(1 << 32, 1), Pair::of(1, u64::MAX)] {
            fs_caps.note_lack(pair, Capability::Clone);
            assert!(!fs_caps.lacks(pair, Capability::Clone), "{pair:?}");
        }
    }

    #[test]
    fn whoever_comes_at_the_same_time_finds_all_that_was_noted() {
        let fs_caps = FsCaps::create().unwrap();
        let pairs = || (1..=100).map(|device| Pair::of(device, 3));
        std::thread::scope(|scope| {
            for ability in [Capability::Clone, Capability::CopyRange, Capability::Clone] {
                let fs_caps = &fs_caps;
                scope.spawn(move || pairs().for_each(|pair| fs_caps.note_lack(pair, ability)));
            }
        });
        for pair in pairs() {
            assert!(fs_caps.lacks(pair, Capability::Clone), "{pair:?}");
            assert!(fs_caps.lacks(pair, Capability::CopyRange), "{pair:?}");
        }
    }
}

//! Who came first: of the names of one inode, which one is copied, known to all copiers at once.
//!
//! A set of 64-bit hashes that only grows, in memory that every copier sees. Each hash has a fixed
//! path of slots to look at, level by level. A slot that is empty is taken by one compare and
//! exchange and never changes again. So two copiers with one hash go the same way, neither can
//! pass a slot that the other has taken for it, and exactly one of them comes first.
//!
//! Nothing depends on the hash being unique, or on room. Of two inodes with one hash the second
//! finds itself late, and so does everybody when the set is full: such a name waits for a first
//! one that nobody is, and is then copied at the end (see `groups`). That is slow, not wrong.

use crate::ipc::fingerprint::mark;
use pcopy_sys::file::Identity;
use pcopy_sys::words::SharedWords;
use std::io;
use std::sync::atomic::Ordering::Relaxed;

/// Slots of the first level; each further one has [`GROWTH`] times as many.
const FIRST_SLOTS: usize = 4096;
const GROWTH: usize = 4;

/// 22 million slots. They cost memory only where they are touched: a tree whose inodes have one
/// name each touches none, 10,000 inodes touch 0.2 MB.
const LEVELS: u32 = 7;

/// Slots that are looked at in each level: one line of the processor's cache.
const PROBES: usize = 8;

/// What an empty slot holds.
const EMPTY: u64 = 0;

// A run of probes is a cache line of a level, whose size is a mask.
const _: () = assert!(FIRST_SLOTS.is_power_of_two() && GROWTH.is_power_of_two());
const _: () = assert!(FIRST_SLOTS.is_multiple_of(PROBES));

/// The inodes that somebody has come to, in a round.
pub struct InodeSet {
    words: SharedWords,
    levels: u32,
}

impl InodeSet {
    /// Nobody has come yet. Must be made before the first fork.
    ///
    /// Where the user may make no file of 180 MB (`ulimit -f`), a smaller set has to do.
    pub fn create() -> io::Result<Self> {
        let smaller = (1..LEVELS).rev();
        smaller.fold(Self::with_levels(LEVELS), |made, levels| {
            made.or_else(|_| Self::with_levels(levels))
        })
    }

    fn with_levels(levels: u32) -> io::Result<Self> {
        let words = SharedWords::create("pcopy-inodes", slots_below(levels))?;
        Ok(Self { words, levels })
    }

    /// Whether nobody has asked for this inode before. Says yes at most once for each.
    pub fn is_first(&self, identity: Identity) -> bool {
        self.take(hash(identity))
    }

    fn take(&self, hash: u64) -> bool {
        for level in 0..self.levels {
            for slot in probes(hash, level) {
                // Relaxed: one word says it all, and nobody reads anything else because of it.
                match self.words[slot].compare_exchange(EMPTY, hash, Relaxed, Relaxed) {
                    Ok(_) => return true,
                    Err(taken) if taken == hash => return false,
                    Err(_) => {}
                }
            }
        }
        false
    }
}

fn slots_of(level: u32) -> usize {
    FIRST_SLOTS * GROWTH.pow(level)
}

fn slots_below(level: u32) -> usize {
    (0..level).map(slots_of).sum()
}

/// The slots of a level that are looked at for this hash.
fn probes(hash: u64, level: u32) -> std::ops::Range<usize> {
    // Other bits for each level, or all that met in one would meet in the next.
    let bits = usize::try_from(hash.rotate_left(9 * level) >> 32).unwrap_or(0);
    let first = bits & (slots_of(level) - 1) & !(PROBES - 1);
    let first = slots_below(level) + first;
    first..first + PROBES
}

/// The same in every process of a run; never [`EMPTY`].
fn hash(identity: Identity) -> u64 {
    mark(identity).max(EMPTY + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn the_first_who_asks_is_first_and_nobody_else() {
        let inodes = InodeSet::create().unwrap();
        for inode in 0..100_000 {
            assert!(inodes.is_first((7, inode)), "{inode}");
            assert!(inodes.is_first((8, inode)), "{inode} of another device");
        }
        for inode in 0..100_000 {
            assert!(!inodes.is_first((7, inode)), "{inode}");
            assert!(!inodes.is_first((8, inode)), "{inode} of another device");
        }
    }

    #[test]
    fn of_many_who_ask_at_once_one_is_first() {
        const INODES: u64 = 20_000;
        const ASKERS: u64 = 8;
        let inodes = InodeSet::create().unwrap();
        let won: Vec<AtomicU32> = (0..INODES).map(|_| AtomicU32::new(0)).collect();
        let start = Barrier::new(usize::try_from(ASKERS).unwrap());
        std::thread::scope(|scope| {
            for asker in 0..ASKERS {
                let (inodes, won, start) = (&inodes, &won, &start);
                scope.spawn(move || {
                    start.wait();
                    for op in 0..INODES {
                        // Half of them in the same order, half in the other.
                        let inode = if asker % 2 == 0 { op } else { INODES - 1 - op };
                        if inodes.is_first((1, inode)) {
                            won[usize::try_from(inode).unwrap()].fetch_add(1, Relaxed);
                        }
                    }
                });
            }
        });
        assert!(won.iter().all(|wins| wins.load(Relaxed) == 1));
    }

    #[test]
    fn where_there_is_no_room_nobody_is_first() {
        let inodes = InodeSet::with_levels(1).unwrap();
        let won = (0..100_000).filter(|&inode| inodes.is_first((1, inode))).count();
        assert_eq!(won, FIRST_SLOTS);
        assert!((0..100_000).all(|inode| !inodes.is_first((1, inode))));
    }

    #[test]
    fn two_inodes_with_one_hash_have_one_first() {
        let inodes = InodeSet::create().unwrap();
        assert!(inodes.take(42));
        assert!(!inodes.take(42));
    }

    #[test]
    fn all_slots_of_all_levels_are_in_the_set() {
        for hash in [1, u64::MAX, 0x8000_0000_0000_0000, 0x0123_4567_89ab_cdef] {
            for level in 0..LEVELS {
                let slots = probes(hash, level);
                assert!(slots.start >= slots_below(level), "{hash:x} {level}");
                assert!(slots.end <= slots_below(level + 1), "{hash:x} {level}");
            }
        }
    }
}

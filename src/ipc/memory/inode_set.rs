//! A lock-free set of the inodes with several names that copiers have begun to copy.
//!
//! The copier that inserts an inode into the set also copies it, under the name that this copier has found.
//! Copiers that find other names of the inode defer these names, which become links to the copied name.
//!
//! The set holds 64-bit hashes in shared memory and only grows. A hash determines which slots are searched,
//! level by level and always in the same order. A copier takes an empty slot with one compare-and-exchange,
//! and a taken slot never changes. So if two copiers insert the same hash, both search the same slots, and
//! the second one finds the slot that the first one has taken. Exactly one of them inserts the hash.
//!
//! The copy is right even if hashes collide or the set is full. If two inodes have the same hash, the set
//! reports the second as present; if the set is full, it reports every new inode as present. Copiers then
//! defer all names of such an inode. At the end no copied name exists that they could link to, so a copier
//! copies one of them then (see `link_groups`): slower, but right.

use crate::ipc::fingerprint::fingerprint;
use pcopy_sys::file::Identity;
use pcopy_sys::shared_words::SharedWords;
use std::io;
use std::sync::atomic::Ordering::Relaxed;

/// The number of slots of the first level. Each further level has [`GROWTH`] times as many.
const FIRST_SLOTS: usize = 4096;
const GROWTH: usize = 4;

/// The number of levels, which together have 22 million slots. A page of slots takes memory only when a slot
/// in it is written. A tree whose inodes all have one name takes no memory; 10,000 inodes with several names
/// take 0.2 MB.
const LEVELS: u32 = 7;

/// How many slots are searched in each level: one cache line.
const PROBES: usize = 8;

/// The value of an empty slot.
const EMPTY: u64 = 0;

// The slots to search in a level are one aligned cache line, whose start is computed with a mask.
const _: () = assert!(FIRST_SLOTS.is_power_of_two() && GROWTH.is_power_of_two());
const _: () = assert!(FIRST_SLOTS.is_multiple_of(PROBES));

/// The inodes that copiers have begun in a round.
pub(crate) struct InodeSet {
    words: SharedWords,
    levels: u32,
}

impl InodeSet {
    /// Creates an empty set. Must be called before the first fork(2).
    ///
    /// If the limit on file sizes (`ulimit -f`) does not permit 180 MB, the set has fewer levels.
    pub(crate) fn create() -> io::Result<Self> {
        let smaller = (1..LEVELS).rev();
        smaller.fold(Self::with_levels(LEVELS), |made, levels| {
            made.or_else(|_| Self::with_levels(levels))
        })
    }

    fn with_levels(levels: u32) -> io::Result<Self> {
        let words = SharedWords::create("pcopy-inodes", slots_below(levels))?;
        Ok(Self { words, levels })
    }

    /// Inserts an inode; returns whether the set did not contain it. For each inode, at most one call returns
    /// true.
    pub(crate) fn insert(&self, identity: Identity) -> bool {
        self.insert_hash(hash(identity))
    }

    /// Whether the set contains an inode, or one with the same hash.
    pub(crate) fn contains(&self, identity: Identity) -> bool {
        let hash = hash(identity);
        for level in 0..self.levels {
            for slot in probes(hash, level) {
                match self.words[slot].load(Relaxed) {
                    // An inode goes to the next level only if it finds no empty slot in this one. Reading on
                    // would also allocate the pages of the levels that nothing has been written to.
                    EMPTY => return false,
                    taken if taken == hash => return true,
                    _ => {}
                }
            }
        }
        false
    }

    fn insert_hash(&self, hash: u64) -> bool {
        for level in 0..self.levels {
            for slot in probes(hash, level) {
                // Relaxed suffices, because a slot does not guard any other memory.
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

/// Returns the slots of a level that may contain this hash.
fn probes(hash: u64, level: u32) -> std::ops::Range<usize> {
    // Each level uses other bits of the hash. If all levels used the same bits, hashes that collide in one
    // level would collide in all.
    let bits = usize::try_from(hash.rotate_left(9 * level) >> 32).unwrap_or(0);
    let first = bits & (slots_of(level) - 1) & !(PROBES - 1);
    let first = slots_below(level) + first;
    first..first + PROBES
}

/// Returns the hash of an inode: the same in every process of a run, and never [`EMPTY`].
fn hash(identity: Identity) -> u64 {
    fingerprint(identity).max(EMPTY + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn an_inode_is_inserted_once() {
        let inodes = InodeSet::create().unwrap();
        for inode in 0..100_000 {
            assert!(inodes.insert((7, inode)), "{inode}");
            assert!(inodes.insert((8, inode)), "{inode} of another device");
        }
        for inode in 0..100_000 {
            assert!(!inodes.insert((7, inode)), "{inode}");
            assert!(!inodes.insert((8, inode)), "{inode} of another device");
        }
    }

    #[test]
    fn of_many_threads_that_insert_an_inode_at_once_one_succeeds() {
        const INODES: u64 = 20_000;
        const THREADS: u64 = 8;
        let inodes = InodeSet::create().unwrap();
        let won: Vec<AtomicU32> = (0..INODES).map(|_| AtomicU32::new(0)).collect();
        let start = Barrier::new(usize::try_from(THREADS).unwrap());
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (inodes, won, start) = (&inodes, &won, &start);
                scope.spawn(move || {
                    start.wait();
                    for step in 0..INODES {
                        // Half of the threads insert in ascending order, the other half in descending order.
                        let inode = if thread % 2 == 0 { step } else { INODES - 1 - step };
                        if inodes.insert((1, inode)) {
                            won[usize::try_from(inode).unwrap()].fetch_add(1, Relaxed);
                        }
                    }
                });
            }
        });
        assert!(won.iter().all(|wins| wins.load(Relaxed) == 1));
    }

    #[test]
    fn a_full_set_accepts_no_inode() {
        let inodes = InodeSet::with_levels(1).unwrap();
        let won = (0..100_000).filter(|&inode| inodes.insert((1, inode))).count();
        assert_eq!(won, FIRST_SLOTS);
        assert!((0..100_000).all(|inode| !inodes.insert((1, inode))));
    }

    #[test]
    fn a_set_contains_what_was_inserted() {
        let inodes = InodeSet::create().unwrap();
        for inode in (0..100_000).step_by(2) {
            inodes.insert((7, inode));
        }
        for inode in 0..100_000 {
            assert_eq!(inodes.contains((7, inode)), inode % 2 == 0, "{inode}");
        }
    }

    #[test]
    fn a_hash_is_inserted_once() {
        let inodes = InodeSet::create().unwrap();
        assert!(inodes.insert_hash(42));
        assert!(!inodes.insert_hash(42));
    }

    #[test]
    fn all_probes_are_inside_their_level() {
        for hash in [1, u64::MAX, 0x8000_0000_0000_0000, 0x0123_4567_89ab_cdef] {
            for level in 0..LEVELS {
                let slots = probes(hash, level);
                assert!(slots.start >= slots_below(level), "{hash:x} {level}");
                assert!(slots.end <= slots_below(level + 1), "{hash:x} {level}");
            }
        }
    }
}

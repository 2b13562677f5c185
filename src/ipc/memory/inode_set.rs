//! Which inodes with several names a copier has already begun: a lock-free set for all copiers.
//!
//! The copier that inserts an inode first copies it under the name that it has found; the other names
//! become links to that one. The set holds 64-bit hashes in shared memory, and only grows. Each hash has
//! a fixed sequence of slots to probe, level by level. An empty slot is taken with one
//! compare-and-exchange and never changes again. So two copiers with the same hash probe the same
//! slots, neither can pass a slot that the other has taken for it, and exactly one of them inserts it.
//!
//! Correctness depends neither on unique hashes nor on free slots. If two inodes have the same hash,
//! the second one is taken for present; so is every inode when the set is full. Such a name waits for a
//! first name that does not exist, and is then copied at the end (see `link_groups`): slower, not wrong.

use crate::ipc::fingerprint::fingerprint;
use pcopy_sys::file::Identity;
use pcopy_sys::shared_words::SharedWords;
use std::io;
use std::sync::atomic::Ordering::Relaxed;

/// Slots of the first level; each further level has [`GROWTH`] times as many.
const FIRST_SLOTS: usize = 4096;
const GROWTH: usize = 4;

/// 22 million slots. They take memory only once they are written: a tree whose inodes have one name
/// each uses none, 10,000 inodes use 0.2 MB.
const LEVELS: u32 = 7;

/// Slots that are probed in each level: one cache line.
const PROBES: usize = 8;

/// The value of an empty slot.
const EMPTY: u64 = 0;

// The probes of a level are one aligned cache line, found with a mask.
const _: () = assert!(FIRST_SLOTS.is_power_of_two() && GROWTH.is_power_of_two());
const _: () = assert!(FIRST_SLOTS.is_multiple_of(PROBES));

/// The inodes that copiers have begun in a round.
pub struct InodeSet {
    words: SharedWords,
    levels: u32,
}

impl InodeSet {
    /// An empty set. Must be created before the first fork(2).
    ///
    /// If the limit on file sizes (`ulimit -f`) does not permit 180 MB, the set is smaller.
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

    /// Inserts an inode; true if it was not in the set. Each inode is inserted at most once.
    pub fn insert(&self, identity: Identity) -> bool {
        self.insert_hash(hash(identity))
    }

    fn insert_hash(&self, hash: u64) -> bool {
        for level in 0..self.levels {
            for slot in probes(hash, level) {
                // Relaxed: the slot is all there is; no other memory is read because of it.
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

/// The slots of a level that are probed for this hash.
fn probes(hash: u64, level: u32) -> std::ops::Range<usize> {
    // Each level uses other bits; with the same ones, hashes that collide in one level would collide in all.
    let bits = usize::try_from(hash.rotate_left(9 * level) >> 32).unwrap_or(0);
    let first = bits & (slots_of(level) - 1) & !(PROBES - 1);
    let first = slots_below(level) + first;
    first..first + PROBES
}

/// The same in every process of a run; never [`EMPTY`].
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
                        // Half of the threads in ascending order, half in descending order.
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

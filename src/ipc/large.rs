//! Large files that several copiers copy: which pieces are left, and how much has arrived.
//!
//! The copier that meets a large file stays its owner: it has made the target, gives it its
//! attributes and says what became of it. Others are invited through the ring (`Task::Range`) and
//! take pieces, like the owner, by moving one number. An invitation that comes too late is nothing:
//! it names a generation, and the owner has ended that.
//!
//! The owner must know when the last helper has let go of the file, also if it died. Therefore a
//! helper holds a record lock, shared, from before it looks at the generation until it has written
//! its last byte and closed the file, and the owner, having ended the generation, waits for the lock
//! alone. There are two sums: what has arrived, for the progress line, and what is sure. A helper's
//! bytes are sure when its close has told of no failure, because some network disks tell only then
//! that they had no room. What a helper that died has written never is.

use crate::sys::turns::{Turn, Turns};
use crate::sys::words::SharedWords;
use std::io;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// How much a copier takes at a time, in bytes.
pub const PIECE_BYTES: u64 = 4 * 1024 * 1024;

/// The words of one copier's file, on cache lines of their own.
const GENERATION: usize = 0;
const SIZE: usize = 1;
const NEXT: usize = 2;
const HELPERS: usize = 3;
const ARRIVED: usize = 16;
const SURE: usize = 17;
const WORDS: usize = 32;

/// The files of all copiers of a round; each owns one at a time.
pub struct Larges {
    words: SharedWords,
    helping: Turns,
}

impl Larges {
    /// Nobody has one yet. Must be made before the first fork.
    pub fn create(copiers: u16) -> io::Result<Self> {
        let words = SharedWords::create("pcopy-larges", usize::from(copiers) * WORDS)?;
        Ok(Self { words, helping: Turns::create()? })
    }

    /// The file that copier `owner`, from 0, has in hand; `None` if there is no such copier.
    pub fn get(&self, owner: u16) -> Option<Large<'_>> {
        let start = usize::from(owner) * WORDS;
        let words = self.words.get(start..start + WORDS)?;
        Some(Large { words, helping: &self.helping, owner })
    }
}

/// A large file that is being copied.
#[derive(Clone, Copy)]
pub struct Large<'a> {
    words: &'a [AtomicU64],
    helping: &'a Turns,
    owner: u16,
}

impl<'a> Large<'a> {
    /// Begins a file of that many bytes; the number is its generation. Only the owner calls this.
    pub fn begin(&self, bytes: u64) -> u64 {
        // Nobody else is at these words: the generation before was ended, and all have left it.
        for (word, value) in [(SIZE, bytes), (NEXT, 0), (HELPERS, 0), (ARRIVED, 0), (SURE, 0)] {
            self.words[word].store(value, Relaxed);
        }
        self.words[GENERATION].fetch_add(1, SeqCst) + 1 // odd: it may be joined
    }

    /// Ends the generation and waits until no other copier is at the file; says how many of its bytes
    /// are sure to have arrived. Only the owner calls this.
    pub fn end(&self) -> u64 {
        self.words[GENERATION].fetch_add(1, SeqCst);
        self.give_up();
        self.helping.wait_for_all(self.owner);
        self.words[SURE].load(Relaxed)
    }

    /// Becomes a helper of that generation, until the turn is dropped; `None` if it has ended.
    pub fn join(&self, generation: u64) -> Option<Turn<'a>> {
        let turn = self.helping.share(self.owner).ok()?;
        // Now the owner, should it end the generation, waits for us. If it has, we are not needed.
        (self.words[GENERATION].load(SeqCst) == generation).then_some(turn)
    }

    /// Notes that a helper has both files open.
    pub fn note_helper(&self) {
        self.words[HELPERS].fetch_add(1, Relaxed);
    }

    /// Whether there has been a helper.
    pub fn is_helped(&self) -> bool {
        self.words[HELPERS].load(Relaxed) > 0
    }

    /// Takes the next piece; `None` if all are taken.
    pub fn next_piece(&self) -> Option<Range<u64>> {
        let size = self.words[SIZE].load(Relaxed);
        if self.words[NEXT].load(Relaxed) >= size {
            return None; // so that the number does not grow for ever
        }
        let start = self.words[NEXT].fetch_add(PIECE_BYTES, Relaxed);
        (start < size).then(|| start..start.saturating_add(PIECE_BYTES).min(size))
    }

    /// How many pieces nobody has taken.
    pub fn pieces_left(&self) -> u64 {
        let next = self.words[NEXT].load(Relaxed);
        self.words[SIZE].load(Relaxed).saturating_sub(next).div_ceil(PIECE_BYTES)
    }

    /// Sees to it that no more pieces are taken: one has failed, or all is over.
    pub fn give_up(&self) {
        self.words[NEXT].store(self.words[SIZE].load(Relaxed), Relaxed);
    }

    /// Counts bytes that were written.
    pub fn add_arrived(&self, bytes: u64) {
        self.words[ARRIVED].fetch_add(bytes, Relaxed);
    }

    /// Counts bytes of which nobody will be told any more that they were lost.
    pub fn add_sure(&self, bytes: u64) {
        self.words[SURE].fetch_add(bytes, Relaxed);
    }

    /// How many bytes have been written so far.
    pub fn arrived(&self) -> u64 {
        self.words[ARRIVED].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_file_once_over() {
        let larges = Larges::create(1).unwrap();
        let large = larges.get(0).unwrap();
        for bytes in [1, PIECE_BYTES, PIECE_BYTES + 1, 10 * PIECE_BYTES - 1] {
            large.begin(bytes);
            assert_eq!(large.pieces_left(), bytes.div_ceil(PIECE_BYTES));
            let mut end = 0;
            while let Some(piece) = large.next_piece() {
                assert_eq!(piece.start, end);
                end = piece.end;
            }
            assert_eq!((end, large.pieces_left()), (bytes, 0));
            large.end();
        }
    }

    #[test]
    fn who_comes_late_or_to_another_file_is_no_helper() {
        let larges = Larges::create(2).unwrap();
        let large = larges.get(1).unwrap();
        let first = large.begin(10);
        assert!(large.join(first).is_some());
        large.end();
        assert!(large.join(first).is_none(), "ended");
        let second = large.begin(10);
        assert!(large.join(first).is_none(), "another file");
        assert!(large.join(second).is_some());
        assert!(larges.get(2).is_none(), "no such copier");
    }

    #[test]
    fn what_a_helper_did_not_close_is_missing_in_the_end() {
        let larges = Larges::create(1).unwrap();
        let large = larges.get(0).unwrap();
        large.begin(100);
        large.add_arrived(60);
        large.add_arrived(40);
        large.add_sure(60);
        assert_eq!((large.arrived(), large.end()), (100, 60));
        large.begin(100);
        assert_eq!((large.arrived(), large.end()), (0, 0));
    }
}

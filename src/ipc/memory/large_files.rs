//! Large files that several copiers copy, hash or compare: which pieces are left, and how much is done.
//!
//! The copier that meets a large file stays its owner: it has made the target, gives it its
//! attributes and says what became of it. Others are invited through the ring (`Task::Range`) and
//! take pieces, like the owner, by moving one number. An invitation that comes too late is nothing:
//! it names a generation, and the owner has ended that; and it has the mark of what the owner does with
//! which file, so that it stays nothing if somebody writes into this memory.
//!
//! The owner must know when the last helper has let go of the file, also if it died. Therefore a
//! helper holds a record lock, shared, from before it looks at the generation until it has written
//! its last byte and closed the file, and the owner, having ended the generation, waits for the lock
//! alone. There are two sums: what has arrived, for the progress line, and what is sure. A helper's
//! bytes are sure when its close has told of no failure, because some network disks tell only then
//! that they had no room. What a helper that died has written never is.
//!
//! If the file is hashed, too, each leaves the hash of its pieces, and the owner joins them. So that there
//! is room for all, a file of more than 4 GiB has larger pieces.

use crate::hash::{self, DIGEST_BYTES, Digest};
use crate::ipc::fingerprint::mark;
use crate::ipc::wire::task::Share;
use pcopy_sys::turns::{Turn, Turns};
use pcopy_sys::words::SharedWords;
use std::io;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// How much a copier takes at a time, in bytes; a power of two.
pub const PIECE_BYTES: u64 = 4 * 1024 * 1024;

/// The words of one copier's file, on cache lines of their own.
const GENERATION: usize = 0;
const SIZE: usize = 1;
const NEXT: usize = 2;
const HELPERS: usize = 3;
/// What is done with which file.
const MARK: usize = 4;
/// Where a piece begins that a helper has found to differ, and 1 more; 0 if there is none.
const DIFFERENT: usize = 5;
const ARRIVED: usize = 16;
const SURE: usize = 17;
const WORDS: usize = 32;

/// How many pieces that are hashed a file has at most.
const HASHED_MAX: u64 = 1024;

/// Of each of these: its digest, and a mark that says whose it is.
const DIGEST_WORDS: usize = DIGEST_BYTES / size_of::<u64>();
const SLOT_WORDS: usize = DIGEST_WORDS + 1;
const SLOTS_WORDS: usize = HASHED_MAX as usize * SLOT_WORDS;

/// The files of all copiers of a round; each owns one at a time.
pub struct Larges {
    words: SharedWords,
    /// The digests of pieces, if there are any; 40 KiB for each copier, as far as they are used.
    digests: Option<SharedWords>,
    helping: Turns,
}

impl Larges {
    /// Nobody has one yet. Must be made before the first fork.
    ///
    /// `hashed` says that pieces are hashed, with a hash that [joins](crate::hash::Algorithm::joins).
    pub fn create(copiers: u16, hashed: bool) -> io::Result<Self> {
        let for_each = |name, words| SharedWords::create(name, usize::from(copiers) * words);
        let words = for_each("pcopy-larges", WORDS)?;
        let digests = hashed.then(|| for_each("pcopy-digests", SLOTS_WORDS)).transpose()?;
        Ok(Self { words, digests, helping: Turns::create()? })
    }

    /// The file that copier `owner`, from 0, has in hand; `None` if there is no such copier.
    pub fn get(&self, owner: u16) -> Option<Large<'_>> {
        let number = usize::from(owner);
        let words = self.words.get(number * WORDS..(number + 1) * WORDS)?;
        let digests = match &self.digests {
            Some(digests) => digests.get(number * SLOTS_WORDS..(number + 1) * SLOTS_WORDS)?,
            None => &[],
        };
        Some(Large { words, digests, helping: &self.helping, owner })
    }
}

/// A large file that somebody has in hand.
#[derive(Clone, Copy)]
pub struct Large<'a> {
    words: &'a [AtomicU64],
    /// Empty if pieces are not hashed.
    digests: &'a [AtomicU64],
    helping: &'a Turns,
    owner: u16,
}

impl<'a> Large<'a> {
    /// Begins a file of that many bytes, of which that is done; the number is its generation. Only the owner
    /// calls this.
    pub fn begin(&self, bytes: u64, share: Share) -> u64 {
        // Nobody else is at these words: the generation before was ended, and all have left it.
        for word in [NEXT, HELPERS, DIFFERENT, ARRIVED, SURE] {
            self.words[word].store(0, Relaxed);
        }
        self.words[SIZE].store(bytes, Relaxed);
        self.words[MARK].store(mark(share), Relaxed);
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
    pub fn join(&self, generation: u64, share: Share) -> Option<Turn<'a>> {
        let turn = self.helping.share(self.owner).ok()?;
        // Now the owner, should it end the generation, waits for us. If it has, we are not needed.
        let is_it = self.words[GENERATION].load(SeqCst) == generation
            && self.words[MARK].load(Relaxed) == mark(share);
        is_it.then_some(turn)
    }

    /// Notes that a helper has open what it needs.
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
        let bytes = self.piece_bytes(size);
        let start = self.words[NEXT].fetch_add(bytes, Relaxed);
        // Between two pieces nothing begins, unless somebody has written into this memory.
        let is_one = start < size && start.is_multiple_of(bytes);
        is_one.then(|| start..start.saturating_add(bytes).min(size))
    }

    /// How many pieces nobody has taken.
    pub fn pieces_left(&self) -> u64 {
        let (size, next) = (self.words[SIZE].load(Relaxed), self.words[NEXT].load(Relaxed));
        size.saturating_sub(next).div_ceil(self.piece_bytes(size))
    }

    /// Notes that this piece is not the same in both files.
    pub fn note_difference(&self, piece: &Range<u64>) {
        self.words[DIFFERENT].store(piece.start.saturating_add(1), Relaxed);
    }

    /// Such a piece of two files of `size` bytes, if any was noted.
    pub fn different(&self, size: u64) -> Option<Range<u64>> {
        let start = self.words[DIFFERENT].load(Relaxed).checked_sub(1)?;
        (start < size).then(|| start..start.saturating_add(self.piece_bytes(size)).min(size))
    }

    /// How much a piece has of a file of `size` bytes, but for the last one.
    fn piece_bytes(&self, size: u64) -> u64 {
        if !self.is_hashed() {
            return PIECE_BYTES;
        }
        PIECE_BYTES.max(size.div_ceil(HASHED_MAX).next_power_of_two())
    }

    /// Whether pieces are hashed, too.
    pub fn is_hashed(&self) -> bool {
        !self.digests.is_empty()
    }

    /// Leaves the digest of a piece of a generation.
    pub fn put_digest(&self, generation: u64, piece: &Range<u64>, digest: Digest) {
        let number = piece.start / self.piece_bytes(self.words[SIZE].load(Relaxed));
        let Some(slot) = self.slot(number) else { return };
        let (words, _) = digest.0.as_chunks();
        for (word, bytes) in slot.iter().zip(words) {
            word.store(u64::from_ne_bytes(*bytes), Relaxed);
        }
        slot[DIGEST_WORDS].store(mark((generation, piece, digest)), Relaxed);
    }

    /// The digest of all of a file of that many bytes, once its generation has ended; `None` if that of a
    /// piece is missing.
    pub fn digest(&self, generation: u64, bytes: u64) -> Option<Digest> {
        let piece_bytes = self.piece_bytes(bytes);
        let digest = |number| {
            let start = number * piece_bytes;
            self.get_digest(generation, number, &(start..bytes.min(start + piece_bytes)))
        };
        let pieces: Option<Vec<_>> = (0..bytes.div_ceil(piece_bytes)).map(digest).collect();
        hash::join(&pieces?)
    }

    fn get_digest(&self, generation: u64, number: u64, piece: &Range<u64>) -> Option<Digest> {
        let slot = self.slot(number)?;
        let mut digest = Digest([0; DIGEST_BYTES]);
        let (words, _) = digest.0.as_chunks_mut();
        for (bytes, word) in words.iter_mut().zip(slot) {
            *bytes = word.load(Relaxed).to_ne_bytes();
        }
        let theirs = slot[DIGEST_WORDS].load(Relaxed);
        (theirs == mark((generation, piece, digest))).then_some(digest)
    }

    fn slot(&self, number: u64) -> Option<&[AtomicU64]> {
        let start = usize::try_from(number).ok()?.checked_mul(SLOT_WORDS)?;
        self.digests.get(start..start.checked_add(SLOT_WORDS)?)
    }

    /// Sees to it that no more pieces are taken: one has failed, or all is over.
    pub fn give_up(&self) {
        self.words[NEXT].store(self.words[SIZE].load(Relaxed), Relaxed);
    }

    /// Counts bytes that were written, or read where nothing is written.
    pub fn add_arrived(&self, bytes: u64) {
        self.words[ARRIVED].fetch_add(bytes, Relaxed);
    }

    /// Counts bytes of which nobody will be told any more that they were lost.
    pub fn add_sure(&self, bytes: u64) {
        self.words[SURE].fetch_add(bytes, Relaxed);
    }

    /// How many bytes have been counted so far.
    pub fn arrived(&self) -> u64 {
        self.words[ARRIVED].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: Share = Share::Copy((1, 2), (3, 4));

    #[test]
    fn pieces_are_the_file_once_over() {
        let larges = Larges::create(1, false).unwrap();
        let large = larges.get(0).unwrap();
        for bytes in [1, PIECE_BYTES, PIECE_BYTES + 1, 10 * PIECE_BYTES - 1] {
            large.begin(bytes, SHARE);
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
        let larges = Larges::create(2, false).unwrap();
        let large = larges.get(1).unwrap();
        let first = large.begin(10, SHARE);
        assert!(large.join(first, SHARE).is_some());
        large.end();
        assert!(large.join(first, SHARE).is_none(), "ended");
        let second = large.begin(10, SHARE);
        assert!(large.join(first, SHARE).is_none(), "another file");
        assert!(large.join(second, SHARE).is_some());
        assert!(large.join(second, Share::HashSource((1, 2))).is_none(), "something else");
        assert!(larges.get(2).is_none(), "no such copier");
    }

    #[test]
    fn what_a_helper_did_not_close_is_missing_in_the_end() {
        let larges = Larges::create(1, false).unwrap();
        let large = larges.get(0).unwrap();
        large.begin(100, SHARE);
        large.add_arrived(60);
        large.add_arrived(40);
        large.add_sure(60);
        assert_eq!((large.arrived(), large.end()), (100, 60));
        large.begin(100, SHARE);
        assert_eq!((large.arrived(), large.end()), (0, 0));
    }

    /// Leaves digests of all pieces of a file of that many bytes but for one; says how many there are.
    fn put_all_but(large: &Large<'_>, generation: u64, without: u64) -> u64 {
        let mut number = 0;
        while let Some(piece) = large.next_piece() {
            if number != without {
                large.put_digest(generation, &piece, Digest([7; DIGEST_BYTES]));
            }
            number += 1;
        }
        number
    }

    #[test]
    fn the_digests_of_all_pieces_of_this_generation_are_wanted() {
        let larges = Larges::create(2, true).unwrap();
        let large = larges.get(1).unwrap();
        for bytes in [PIECE_BYTES + 1, 1 << 32, (1 << 32) + 1, 1 << 40, u64::MAX / 2] {
            let generation = large.begin(bytes, SHARE);
            let pieces = put_all_but(&large, generation, u64::MAX);
            assert!(pieces <= HASHED_MAX && (pieces == 2 || pieces > HASHED_MAX / 2), "{pieces}");
            large.end();
            assert_eq!(large.digest(generation, bytes - 1), None, "another size");
            let digest = large.digest(generation, bytes);
            assert_eq!(digest, hash::join(&vec![Digest([7; DIGEST_BYTES]); pieces as usize]));

            for without in [0, 1, pieces - 1] {
                let generation = large.begin(bytes, SHARE);
                put_all_but(&large, generation, without);
                large.end();
                assert_eq!(large.digest(generation, bytes), None, "{without} of {bytes}");
            }
        }
    }

    #[test]
    fn a_digest_that_somebody_has_written_into_is_none() {
        let larges = Larges::create(1, true).unwrap();
        let large = larges.get(0).unwrap();
        for word in 0..2 * SLOT_WORDS {
            let generation = large.begin(2 * PIECE_BYTES, SHARE);
            put_all_but(&large, generation, u64::MAX);
            large.end();
            assert!(large.digest(generation, 2 * PIECE_BYTES).is_some());
            large.digests[word].fetch_xor(1 << 17, Relaxed);
            assert_eq!(large.digest(generation, 2 * PIECE_BYTES), None, "{word}");
        }
    }

    #[test]
    fn what_begins_between_two_pieces_is_none() {
        let larges = Larges::create(1, true).unwrap();
        let large = larges.get(0).unwrap();
        large.begin(10 * PIECE_BYTES, SHARE);
        large.words[NEXT].store(PIECE_BYTES + 1, Relaxed);
        assert_eq!(large.next_piece(), None);
    }
}

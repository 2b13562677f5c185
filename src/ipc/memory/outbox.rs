//! What a copier has said and not yet sent, in memory that outlives it.
//!
//! Reports are sent in batches, so a copier that is killed would take the last ones with it: an
//! entry that is complete by then is passed over by the next round, and its name would never be
//! told. Therefore every frame is also kept here until the pipe has had it. Frames have positions
//! in one endless stream, of which the pipe has carried a beginning; the reader knows how much it
//! has received, so what it takes from here follows exactly, and nothing is told twice.
//!
//! One word says where the stream ends and whether the entry in hand was begun. It is written
//! once when an entry is settled, so there is no moment at which a death would leave the entry
//! neither told nor begun, or both.

use pcopy_sys::words::SharedWords;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// How much an outbox holds. What is kept and not yet sent must never be more.
pub const OUTBOX_BYTES: usize = 64 * 1024;

/// Bytes of a word; frames and their pieces are whole words.
pub const WORD_BYTES: usize = 8;

const TEXT_WORDS: usize = OUTBOX_BYTES / WORD_BYTES;

/// The state stands on cache lines of its own.
const STATE: usize = 0;
const TEXT: usize = 16;

/// In the state: that the entry in hand was begun; that it was made under its final name, or that
/// what stood there is being written into, so that it may be found half done. The rest is the
/// stream's length in words.
const BEGUN: u64 = 1;
const MADE: u64 = 2;
const WRITTEN_INTO: u64 = 4;
const FLAGS: u64 = BEGUN | MADE | WRITTEN_INTO;
const LENGTH_SHIFT: u32 = 3;

/// The outboxes of all copiers of a round.
pub struct Outboxes {
    words: SharedWords,
}

impl Outboxes {
    /// Empty outboxes for that many copiers. Must be made before the first fork.
    ///
    /// Their pages cost memory only when something is said.
    pub fn create(copiers: u16) -> io::Result<Self> {
        let words =
            SharedWords::create("pcopy-outboxes", usize::from(copiers) * (TEXT + TEXT_WORDS))?;
        Ok(Self { words })
    }

    /// The outbox of copier `number`, from 0.
    pub fn get(&self, number: u16) -> Outbox<'_> {
        let start = usize::from(number) * (TEXT + TEXT_WORDS);
        Outbox { words: &self.words[start..start + TEXT + TEXT_WORDS] }
    }
}

/// One copier's outbox. Only that copier writes it; it is read when its pipe has ended.
#[derive(Clone, Copy)]
pub struct Outbox<'a> {
    words: &'a [AtomicU64],
}

impl Outbox<'_> {
    /// Notes that the entry in hand is being made, so that it may soon look complete.
    pub fn begin(&self) {
        self.words[STATE].store(self.words[STATE].load(Relaxed) | BEGUN, Relaxed);
    }

    /// Notes that the entry in hand is being made under its final name, which was free.
    pub fn begin_new(&self) {
        self.words[STATE].store(self.words[STATE].load(Relaxed) | BEGUN | MADE, Relaxed);
    }

    /// Notes that what has the name of the entry in hand is being written into.
    pub fn begin_over(&self) {
        self.words[STATE].store(self.words[STATE].load(Relaxed) | BEGUN | WRITTEN_INTO, Relaxed);
    }

    /// Notes that it is known what became of the entry in hand, and that nothing is to be told.
    pub fn settle(&self) {
        self.words[STATE].store(self.words[STATE].load(Relaxed) & !FLAGS, Relaxed);
    }

    /// Whether the entry in hand was begun and not settled.
    pub fn has_begun(&self) -> bool {
        self.words[STATE].load(Acquire) & BEGUN != 0
    }

    /// Whether it was begun under its final name, which was free.
    pub fn has_begun_new(&self) -> bool {
        self.words[STATE].load(Acquire) & MADE != 0
    }

    /// Whether what has its name was written into.
    pub fn has_begun_over(&self) -> bool {
        self.words[STATE].load(Acquire) & WRITTEN_INTO != 0
    }

    /// Keeps the next piece of the stream, which is whole words; `settles` the entry in hand.
    pub fn keep(&self, piece: &[u8], settles: bool) {
        debug_assert!(piece.len().is_multiple_of(WORD_BYTES), "{} bytes", piece.len());
        let state = self.words[STATE].load(Relaxed);
        let begun = if settles { 0 } else { state & FLAGS };
        let mut position = state >> LENGTH_SHIFT;
        for word in piece.chunks_exact(WORD_BYTES) {
            let mut bytes = [0; WORD_BYTES];
            bytes.copy_from_slice(word);
            self.text(position).store(u64::from_ne_bytes(bytes), Relaxed);
            position = position.wrapping_add(1);
        }
        self.words[STATE].store(position << LENGTH_SHIFT | begun, Release); // KEPT
    }

    /// What follows the first `received` bytes of the stream.
    pub fn unsent(&self, received: u64) -> Vec<u8> {
        let end = self.words[STATE].load(Acquire) >> LENGTH_SHIFT; // pairs with KEPT
        let first = received / WORD_BYTES as u64;
        if end.saturating_sub(first) > TEXT_WORDS as u64 {
            return Vec::new(); // somebody scribbled on it
        }
        let words = (first..end).map(|position| self.text(position).load(Relaxed));
        let mut bytes: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
        let half_word = usize::try_from(received % WORD_BYTES as u64).unwrap_or(0);
        bytes.drain(..half_word.min(bytes.len()));
        bytes
    }

    fn text(&self, position: u64) -> &AtomicU64 {
        &self.words[TEXT + usize::try_from(position % TEXT_WORDS as u64).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_and_not_received_comes_out_from_any_byte_on() {
        let outboxes = Outboxes::create(2).unwrap();
        let outbox = outboxes.get(1);
        let mut stream = Vec::new();
        for number in 0..3000_u64 {
            let piece: Vec<u8> =
                (0..=number % 5).flat_map(|word| (number * 7 + word).to_ne_bytes()).collect();
            outbox.keep(&piece, false);
            stream.extend_from_slice(&piece);
            for back in [0, 1, 8, 13, 64] {
                let received = stream.len().saturating_sub(back);
                assert_eq!(outbox.unsent(received as u64), stream[received..], "{number} {back}");
            }
        }
        assert!(stream.len() > OUTBOX_BYTES, "it went round");
        assert_eq!(outboxes.get(0).unsent(0), b"", "outboxes do not overlap");
    }

    #[test]
    fn an_entry_is_begun_until_it_is_settled() {
        let outboxes = Outboxes::create(1).unwrap();
        let outbox = outboxes.get(0);
        outbox.keep(b"8 bytes.", false);
        outbox.begin();
        assert!(outbox.has_begun());
        outbox.keep(b"8 bytes.", false);
        assert!(outbox.has_begun(), "what was told was something else");
        outbox.keep(b"8 bytes.", true);
        assert!(!outbox.has_begun());
        outbox.begin();
        outbox.settle();
        assert!(!outbox.has_begun());
        assert_eq!(outbox.unsent(0).len(), 24);
    }

    #[test]
    fn more_received_than_was_kept_means_nothing() {
        let outboxes = Outboxes::create(1).unwrap();
        outboxes.get(0).keep(b"8 bytes.", true);
        for received in [8, 9, 16, u64::MAX] {
            assert_eq!(outboxes.get(0).unsent(received), b"", "{received}");
        }
    }
}

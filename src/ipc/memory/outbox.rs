//! The reports that a copier has made and not yet sent, in memory that outlives the copier.
//!
//! A copier sends reports in batches. If it is killed, the last ones would be lost: the next round
//! skips an entry that is complete by then, so its name would never be reported. Therefore every frame
//! is also stored here until the pipe has taken it. The frames of a copier form one stream, of which the
//! parent has received a prefix through the pipe. The parent knows the length of that prefix, so what
//! it reads from here continues exactly behind it, and nothing is reported twice.
//!
//! One word holds the length of the stream and whether the entry in progress was begun. When an entry
//! is settled that word is written once. So at any moment the entry is either reported or begun, never
//! neither or both, whenever the copier dies.

use pcopy_sys::shared_words::SharedWords;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The size of an outbox. There must never be more unsent bytes.
pub const OUTBOX_BYTES: usize = 64 * 1024;

/// Bytes of a word; frames, and the parts of long frames, are whole words.
pub const WORD_BYTES: usize = 8;

const TEXT_WORDS: usize = OUTBOX_BYTES / WORD_BYTES;

/// The state word is on a cache line of its own.
const STATE: usize = 0;
const TEXT: usize = 16;

/// Flags in the state word: the entry in progress was begun; it is being created under its final name;
/// an existing file is being written in place. In the last two cases the next round may find it
/// incomplete. The remaining bits are the length of the stream, in words.
const BEGUN: u64 = 1;
const NEW: u64 = 2;
const IN_PLACE: u64 = 4;
const FLAGS: u64 = BEGUN | NEW | IN_PLACE;
const LENGTH_SHIFT: u32 = 3;

/// The outboxes of all copiers of a round.
pub struct Outboxes {
    words: SharedWords,
}

impl Outboxes {
    /// Empty outboxes for that many copiers. Must be created before the first fork(2).
    ///
    /// Their pages take memory only once they are written.
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

/// One copier's outbox. Only that copier writes it; the parent reads it after the end of its pipe.
#[derive(Clone, Copy)]
pub struct Outbox<'a> {
    words: &'a [AtomicU64],
}

impl Outbox<'_> {
    /// Notes that the entry in progress is being created, so that it may look complete from now on.
    pub fn begin(&self) {
        self.words[STATE].store(self.words[STATE].load(Relaxed) | BEGUN, Relaxed);
    }

    /// Notes that the entry in progress is being created under its final name, which did not exist.
    pub fn begin_new(&self) {
        self.words[STATE].store(self.words[STATE].load(Relaxed) | BEGUN | NEW, Relaxed);
    }

    /// Notes that the existing file is being written in place.
    pub fn begin_in_place(&self) {
        self.words[STATE].store(self.words[STATE].load(Relaxed) | BEGUN | IN_PLACE, Relaxed);
    }

    /// Notes that the entry in progress is settled without a report.
    pub fn settle(&self) {
        self.words[STATE].store(self.words[STATE].load(Relaxed) & !FLAGS, Relaxed);
    }

    /// Whether the entry in progress was begun and not settled.
    pub fn has_begun(&self) -> bool {
        self.words[STATE].load(Acquire) & BEGUN != 0
    }

    /// Whether it was begun under its final name, which did not exist.
    pub fn has_begun_new(&self) -> bool {
        self.words[STATE].load(Acquire) & NEW != 0
    }

    /// Whether the existing file was being written in place.
    pub fn has_begun_in_place(&self) -> bool {
        self.words[STATE].load(Acquire) & IN_PLACE != 0
    }

    /// Appends to the stream a frame, or a part of one, that is whole words; `settles` says that this
    /// settles the entry in progress.
    pub fn append(&self, bytes: &[u8], settles: bool) {
        debug_assert!(bytes.len().is_multiple_of(WORD_BYTES), "{} bytes", bytes.len());
        let state = self.words[STATE].load(Relaxed);
        let begun = if settles { 0 } else { state & FLAGS };
        let mut position = state >> LENGTH_SHIFT;
        for part in bytes.chunks_exact(WORD_BYTES) {
            let mut word = [0; WORD_BYTES];
            word.copy_from_slice(part);
            self.text(position).store(u64::from_ne_bytes(word), Relaxed);
            position = position.wrapping_add(1);
        }
        self.words[STATE].store(position << LENGTH_SHIFT | begun, Release); // APPENDED
    }

    /// The stream behind its first `received` bytes.
    pub fn unsent(&self, received: u64) -> Vec<u8> {
        let end = self.words[STATE].load(Acquire) >> LENGTH_SHIFT; // pairs with APPENDED
        let first = received / WORD_BYTES as u64;
        if end.saturating_sub(first) > TEXT_WORDS as u64 {
            return Vec::new(); // the state word was overwritten
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
    fn what_was_not_received_is_read_from_any_byte_on() {
        let outboxes = Outboxes::create(2).unwrap();
        let outbox = outboxes.get(1);
        let mut stream = Vec::new();
        for number in 0..3000_u64 {
            let part: Vec<u8> =
                (0..=number % 5).flat_map(|word| (number * 7 + word).to_ne_bytes()).collect();
            outbox.append(&part, false);
            stream.extend_from_slice(&part);
            for back in [0, 1, 8, 13, 64] {
                let received = stream.len().saturating_sub(back);
                assert_eq!(outbox.unsent(received as u64), stream[received..], "{number} {back}");
            }
        }
        assert!(stream.len() > OUTBOX_BYTES, "it wrapped around");
        assert_eq!(outboxes.get(0).unsent(0), b"", "outboxes do not overlap");
    }

    #[test]
    fn an_entry_is_begun_until_it_is_settled() {
        let outboxes = Outboxes::create(1).unwrap();
        let outbox = outboxes.get(0);
        outbox.append(b"8 bytes.", false);
        outbox.begin();
        assert!(outbox.has_begun());
        outbox.append(b"8 bytes.", false);
        assert!(outbox.has_begun(), "that report was about another entry");
        outbox.append(b"8 bytes.", true);
        assert!(!outbox.has_begun());
        outbox.begin();
        outbox.settle();
        assert!(!outbox.has_begun());
        assert_eq!(outbox.unsent(0).len(), 24);
    }

    #[test]
    fn receiving_more_than_was_appended_leaves_nothing_unsent() {
        let outboxes = Outboxes::create(1).unwrap();
        outboxes.get(0).append(b"8 bytes.", true);
        for received in [8, 9, 16, u64::MAX] {
            assert_eq!(outboxes.get(0).unsent(received), b"", "{received}");
        }
    }
}

//! The reports that a copier has not sent yet, in memory that outlives the copier.
//!
//! A copier sends reports to the parent in batches through a pipe. If a copier is killed, the reports of its
//! last batch would be lost. The next round skips the entries of these reports, because they are complete, so
//! it would never report their names. Therefore a copier also stores every frame (one encoded report) here.
//!
//! The frames of a copier form one stream. The parent has received the beginning of this stream through the
//! pipe and knows its length. It reads the rest of the stream from this memory, so no report is lost or read
//! twice.
//!
//! One word, the state word, holds the length of the stream and a flag: whether the copier has begun to
//! create or change the entry in progress. When a copier reports the entry as done, it updates both with one
//! write. So if the copier dies after it has begun the entry, the entry is either reported or marked as
//! begun, and never both.

use pcopy_sys::shared_words::SharedWords;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The size of an outbox, in bytes. A copier must never have more unsent bytes.
pub(crate) const OUTBOX_BYTES: usize = 64 * 1024;

/// The size of a word, in bytes. A frame, and each part of a long frame, consists of whole words.
pub(crate) const WORD_BYTES: usize = 8;

const TEXT_WORDS: usize = OUTBOX_BYTES / WORD_BYTES;

/// The state word is on a separate cache line.
const STATE: usize = 0;
const TEXT: usize = 16;

/// The flags in the state word; the other bits hold the length of the stream, in words.
///
/// `BEGUN`: the entry in progress was begun. `NEW`: the copier is creating it under its final name.
/// `IN_PLACE`: the copier is writing into an existing file. With `NEW` or `IN_PLACE` the next round may find
/// the entry incomplete.
const BEGUN: u64 = 1;
const NEW: u64 = 2;
const IN_PLACE: u64 = 4;
const FLAGS: u64 = BEGUN | NEW | IN_PLACE;
const LENGTH_SHIFT: u32 = 3;

/// The outboxes of all copiers of a round.
pub(crate) struct Outboxes {
    words: SharedWords,
}

impl Outboxes {
    /// Creates empty outboxes for `copiers` copiers. Must be called before the first fork(2).
    ///
    /// A page of an outbox takes memory only when it is written.
    pub(crate) fn create(copiers: u16) -> io::Result<Self> {
        let words =
            SharedWords::create("pcopy-outboxes", usize::from(copiers) * (TEXT + TEXT_WORDS))?;
        Ok(Self { words })
    }

    /// Returns the outbox of copier `number`, from 0.
    pub(crate) fn get(&self, number: u16) -> Outbox<'_> {
        let start = usize::from(number) * (TEXT + TEXT_WORDS);
        Outbox { words: &self.words[start..start + TEXT + TEXT_WORDS] }
    }
}

/// The outbox of one copier. Only that copier writes it; the parent reads it after the end of the copier's
/// pipe.
#[derive(Clone, Copy)]
pub(crate) struct Outbox<'a> {
    words: &'a [AtomicU64],
}

impl Outbox<'_> {
    /// Notes that the copier begins to create the entry in progress, which may look complete from now on.
    pub(crate) fn begin(&self) {
        self.words[STATE].store(self.words[STATE].load(Relaxed) | BEGUN, Relaxed);
    }

    /// Notes that the copier begins to create the entry in progress under its final name, which did not
    /// exist.
    pub(crate) fn begin_new(&self) {
        self.words[STATE].store(self.words[STATE].load(Relaxed) | BEGUN | NEW, Relaxed);
    }

    /// Notes that the copier begins to write into the existing file.
    pub(crate) fn begin_in_place(&self) {
        self.words[STATE].store(self.words[STATE].load(Relaxed) | BEGUN | IN_PLACE, Relaxed);
    }

    /// Notes that the entry in progress is settled without a report.
    pub(crate) fn settle(&self) {
        self.words[STATE].store(self.words[STATE].load(Relaxed) & !FLAGS, Relaxed);
    }

    /// Whether the entry in progress was begun and is not settled.
    pub(crate) fn has_begun(&self) -> bool {
        self.words[STATE].load(Acquire) & BEGUN != 0
    }

    /// Whether the copier was creating the entry in progress under its final name, which did not exist.
    pub(crate) fn has_begun_new(&self) -> bool {
        self.words[STATE].load(Acquire) & NEW != 0
    }

    /// Whether the copier was writing into the existing file.
    pub(crate) fn has_begun_in_place(&self) -> bool {
        self.words[STATE].load(Acquire) & IN_PLACE != 0
    }

    /// Appends a frame, or a part of one, to the stream; `bytes` must be whole words. `settles` says that the
    /// frame settles the entry in progress.
    pub(crate) fn append(&self, bytes: &[u8], settles: bool) {
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
        self.words[STATE].store(position << LENGTH_SHIFT | begun, Release); // APPENDED; see `unsent`
    }

    /// Returns the stream after its first `received` bytes.
    pub(crate) fn unsent(&self, received: u64) -> Vec<u8> {
        let end = self.words[STATE].load(Acquire) >> LENGTH_SHIFT; // pairs with APPENDED
        let first = received / WORD_BYTES as u64;
        if end.saturating_sub(first) > TEXT_WORDS as u64 {
            return Vec::new(); // a stray write has damaged the state word
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

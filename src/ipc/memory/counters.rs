//! The numbers of a run, in memory that every process of it sees.
//!
//! They are the truth for numbers, as the pipes are for names: a copier that is killed takes
//! nothing back that it had counted. Each copier writes only its own lines, so no count is ever
//! contended; the supervisor and the progress line read them while they move.

use crate::ipc::fingerprint::mark;
use pcopy_sys::file::{NAME_BYTES_MAX, PATH_BYTES_MAX};
use pcopy_sys::words::SharedWords;
use std::ffi::CStr;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Count {
    /// Entries seen in a source.
    Found,
    /// Entries made in the target.
    Copied,
    /// Names made as links to what was copied under another name.
    Linked,
    /// Entries left alone because the target had them already.
    Skipped,
    /// Entries whose replacement the user declined when asked.
    Declined,
    /// Source entries that were gone when their turn came, or changed while they were read.
    Vanished,
    /// Entries that could not be copied.
    Failed,
    /// Entries that are not as they should be, where they are only compared.
    Different,
    /// Files that were read back and are right.
    Verified,
    /// Bytes of file data written, or compared.
    Bytes,
    /// Bytes of files that were not written: skipped, failed, vanished, or holes.
    BytesSpared,
    /// Bytes that were read back.
    BytesReadBack,
    /// Tasks put into the ring.
    Given,
    /// Tasks that were taken out of it and are done, with all that follows from them.
    Done,
}

const COUNTS: usize = 14;

/// A sum over all copiers, or one copier's share.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals([u64; COUNTS]);

impl Totals {
    /// One of the numbers.
    pub fn get(&self, count: Count) -> u64 {
        self.0[count as usize]
    }

    /// Sets one of the numbers.
    pub fn set(&mut self, count: Count, number: u64) {
        self.0[count as usize] = number;
    }

    /// The sum of both.
    pub fn plus(&self, other: &Totals) -> Totals {
        let mut sum = *self;
        for (one, other) in sum.0.iter_mut().zip(other.0) {
            // Wrapping: memory that somebody scribbled on must not end in a panic.
            *one = one.wrapping_add(other);
        }
        sum
    }

    /// Entries that nothing more will happen to in this round.
    pub fn settled(&self) -> u64 {
        use Count::{Copied, Declined, Different, Failed, Linked, Skipped, Vanished};
        [Copied, Linked, Skipped, Declined, Vanished, Failed, Different]
            .iter()
            .fold(0, |sum, &count| sum.wrapping_add(self.get(count)))
    }

    /// Whether every entry that was found has come to an end: the run's balance.
    pub fn balance(&self) -> bool {
        self.get(Count::Found) == self.settled()
    }

    /// Whether every task that was given was done, and once. What was lost with a task that was not
    /// need never have been found, and then is missing on both sides of the balance.
    pub fn all_done(&self) -> bool {
        self.get(Count::Given) == self.get(Count::Done)
    }
}

/// Words of a line: its numbers, and room so that two copiers never share a cache line (the
/// processor fetches them in pairs).
const LINE_WORDS: usize = 16;
const ASKED: usize = COUNTS;

// The count words and the stop flag behind them must not reach the copier's status, or a count more would
// overwrite the hash of the place that it is at.
const _: () = assert!(Count::Done as usize + 1 == COUNTS && ASKED < LINE_WORDS);

/// A copier's status: the directory it is in and the name it is at, for the supervisor to read
/// when it died there.
const DIR_HASH: usize = LINE_WORDS;
const DIR_BYTES: usize = DIR_HASH + 1;
const NAME_BYTES: usize = DIR_HASH + 2;
const DIR_ENTRY: usize = DIR_HASH + 3;
const DIR_TEXT: usize = DIR_HASH + 4;
const DIR_WORDS: usize = PATH_BYTES_MAX / 8;
const NAME_TEXT: usize = DIR_TEXT + DIR_WORDS;
const NAME_WORDS: usize = (NAME_BYTES_MAX + 1) / 8;
/// 4,788 bytes of use, on 4 KiB pages of which a copier touches two.
const COPIER_WORDS: usize = (NAME_TEXT + NAME_WORDS).next_multiple_of(LINE_WORDS);

/// The order to drop what is in hand, which concerns all.
const ABANDON: usize = 0;

/// How many copiers are to be at work: those with lower numbers.
const ACTIVE: usize = 1;
const COMMON_WORDS: usize = LINE_WORDS;

/// The counters of all processes.
pub struct Counters {
    words: SharedWords,
    copiers: usize,
}

impl Counters {
    /// Counters for that many copiers, all zero. Must be made before the first fork.
    pub fn create(copiers: u16) -> io::Result<Self> {
        let copiers = usize::from(copiers);
        let words = SharedWords::create("pcopy-counters", COMMON_WORDS + copiers * COPIER_WORDS)?;
        Ok(Self { words, copiers })
    }

    /// The lines of copier `number`, from 0.
    pub fn status(&self, number: u16) -> StatusSlot<'_> {
        let start = COMMON_WORDS + usize::from(number) * COPIER_WORDS;
        StatusSlot {
            words: &self.words[start..start + COPIER_WORDS],
            common: &self.words[..COMMON_WORDS],
        }
    }

    /// What all copiers together have counted so far.
    pub fn totals(&self) -> Totals {
        (0..self.copiers())
            .fold(Totals::default(), |sum, number| sum.plus(&self.status(number).totals()))
    }

    /// How many copiers there are lines for.
    pub fn copiers(&self) -> u16 {
        u16::try_from(self.copiers).unwrap_or(u16::MAX)
    }

    /// Has only the first `copiers` of them work; the others rest until they are needed.
    pub fn set_active(&self, copiers: u16) {
        self.words[ACTIVE].store(copiers.into(), Relaxed);
    }

    /// How many copiers are to be at work.
    pub fn active(&self) -> u16 {
        u16::try_from(self.words[ACTIVE].load(Relaxed)).unwrap_or(u16::MAX)
    }

    /// Orders every copier to drop the file in hand, too, and not only to take no new one.
    pub fn abandon(&self) {
        self.words[ABANDON].store(1, Relaxed);
    }
}

/// Where a copier was last seen at work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Whereabouts {
    /// The plan's entry that it was below.
    pub operand: u32,
    /// The source directory, from the entry's source directory; cut if longer than `PATH_MAX`.
    pub dir: Vec<u8>,
    /// The name in it; empty if it was at the directory itself.
    pub name: Vec<u8>,
    /// Tells this place from all others even where `dir` is cut.
    pub mark: u64,
}

/// One copier's lines. Only that copier writes them, but for the wish that it stops.
#[derive(Clone, Copy)]
pub struct StatusSlot<'a> {
    words: &'a [AtomicU64],
    common: &'a [AtomicU64],
}

impl StatusSlot<'_> {
    /// Counts `number` more.
    pub fn add(&self, count: Count, number: u64) {
        let word = &self.words[count as usize];
        // A plain load and store: nobody else writes this line.
        word.store(word.load(Relaxed).wrapping_add(number), Relaxed);
    }

    /// Takes back what was counted too early; the sum over all copiers is right then.
    pub fn take_back(&self, count: Count, number: u64) {
        self.add(count, number.wrapping_neg());
    }

    /// This copier's own numbers.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for (total, word) in totals.0.iter_mut().zip(self.words) {
            *total = word.load(Relaxed);
        }
        totals
    }

    /// Whether the file in hand is to be dropped.
    pub fn is_abandoned(&self) -> bool {
        self.common[ABANDON].load(Relaxed) != 0
    }

    /// Asks this one copier to stop after the file in hand.
    pub fn ask_to_stop(&self) {
        self.words[ASKED].store(1, Relaxed);
    }

    /// Whether this one copier was asked to stop.
    pub fn is_asked_to_stop(&self) -> bool {
        self.words[ASKED].load(Relaxed) != 0
    }

    /// Notes which directory the copier is in.
    pub fn enter(&self, operand: u32, dir: &[u8]) {
        self.words[NAME_BYTES].store(0, Relaxed);
        self.words[DIR_BYTES].store(0, Release); // a reader that comes now sees no half path
        self.words[DIR_ENTRY].store(u64::from(operand), Relaxed);
        self.words[DIR_HASH].store(mark((u64::from(operand), dir)), Relaxed);
        let shown = &dir[..dir.len().min(DIR_WORDS * 8)];
        self.write(DIR_TEXT, shown);
        self.words[DIR_BYTES].store(shown.len() as u64, Release); // WRITTEN
    }

    /// Notes which name of that directory it is at.
    pub fn at(&self, name: &CStr) {
        let name = name.to_bytes();
        let name = &name[..name.len().min(NAME_WORDS * 8)];
        self.words[NAME_BYTES].store(0, Release);
        self.write(NAME_TEXT, name);
        self.words[NAME_BYTES].store(name.len() as u64, Release); // WRITTEN
    }

    /// Notes that it is at no name any more.
    pub fn at_none(&self) {
        self.words[NAME_BYTES].store(0, Release);
    }

    /// Notes that it is at no place: what it dies of now is nothing that it was copying.
    pub fn leave(&self) {
        self.words[NAME_BYTES].store(0, Release);
        self.words[DIR_BYTES].store(0, Release);
    }

    /// Where the copier is, or was when it died; `None` if it was between two places.
    ///
    /// While it lives the answer may be torn and is good only to be shown.
    pub fn whereabouts(&self) -> Option<Whereabouts> {
        let dir_bytes = usize::try_from(self.words[DIR_BYTES].load(Acquire)).ok()?; // pairs with WRITTEN
        let name_bytes = usize::try_from(self.words[NAME_BYTES].load(Acquire)).ok()?;
        if dir_bytes == 0 && name_bytes == 0 {
            return None;
        }
        let dir = self.read(DIR_TEXT, dir_bytes.min(DIR_WORDS * 8));
        let name = self.read(NAME_TEXT, name_bytes.min(NAME_WORDS * 8));
        let operand = u32::try_from(self.words[DIR_ENTRY].load(Relaxed)).ok()?;
        let mark = mark((self.words[DIR_HASH].load(Relaxed), &name[..]));
        Some(Whereabouts { operand, dir, name, mark })
    }

    /// The mark that [`whereabouts`](Self::whereabouts) would give for `name` here.
    pub fn fingerprint_of(&self, name: &CStr) -> u64 {
        mark((self.words[DIR_HASH].load(Relaxed), name.to_bytes()))
    }

    fn write(&self, at: usize, text: &[u8]) {
        for (word, piece) in self.words[at..].iter().zip(text.chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..piece.len()].copy_from_slice(piece);
            word.store(u64::from_ne_bytes(bytes), Relaxed);
        }
    }

    fn read(&self, at: usize, length: usize) -> Vec<u8> {
        let words = self.words[at..].iter().take(length.div_ceil(8));
        let mut text: Vec<u8> = words.flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
        text.truncate(length);
        text
    }
}

/// The mark of `name` in the source directory `dir` below `entry`; see [`Whereabouts`].
pub fn place_fingerprint(operand: u32, dir: &[u8], name: &[u8]) -> u64 {
    mark((mark((u64::from(operand), dir)), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_totals_are_the_sum_of_the_desks() {
        let counters = Counters::create(3).unwrap();
        for number in 0..3 {
            counters.status(number).add(Count::Found, 10);
            counters.status(number).add(Count::Copied, u64::from(number));
        }
        assert_eq!(counters.totals().get(Count::Found), 30);
        assert_eq!(counters.totals().get(Count::Copied), 3);
        assert!(!counters.totals().balance());
        counters.status(1).add(Count::Failed, 27);
        assert!(counters.totals().balance());
    }

    #[test]
    fn a_dead_copier_left_its_place_behind() {
        let counters = Counters::create(2).unwrap();
        let status = counters.status(1);
        assert_eq!(status.whereabouts(), None);
        let deep = vec![b'd'; 3 * PATH_BYTES_MAX];
        for (dir, name) in [(&b"src/a"[..], c"file"), (&deep, c"\xff")] {
            status.enter(4, dir);
            status.at(name);
            let seen = status.whereabouts().unwrap();
            assert_eq!(seen.operand, 4);
            assert_eq!(seen.dir, dir[..dir.len().min(PATH_BYTES_MAX)]);
            assert_eq!(seen.name, name.to_bytes());
            assert_eq!(seen.mark, status.fingerprint_of(name));
            assert_eq!(seen.mark, place_fingerprint(4, dir, name.to_bytes()));
        }
        assert_eq!(counters.status(0).whereabouts(), None, "desks do not overlap");
        status.leave();
        assert_eq!(status.whereabouts(), None);
    }
}

//! The counters of a run and the current entry of each copier, in memory that all processes of the run share.
//!
//! The parent takes all counts of a run from this memory, and only names from the reports of the copiers. So
//! a count is not lost if a copier is killed. Each copier writes only its own status slot (its part of the
//! memory), so no two processes contend for a counter. The parent reads the counters for the progress line
//! while they change.

use crate::ipc::fingerprint::fingerprint;
use crate::ipc::in_parent::InParent;
use pcopy_sys::file::{NAME_BYTES_MAX, PATH_BYTES_MAX};
use pcopy_sys::shared_words::SharedWords;
use std::ffi::CStr;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// A quantity that copiers count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Count {
    /// Entries found in a source.
    Found,
    /// Entries created in the target.
    Copied,
    /// Names created as hard links to a file that was copied under another name.
    Linked,
    /// Entries skipped because the target has them already.
    Skipped,
    /// Entries that a rule leaves out; what is in a directory that is left out does not count.
    Excluded,
    /// Files among them, left out by their size or age, of which the target has another version.
    OtherVersion,
    /// Entries whose replacement the user declined in a prompt.
    Declined,
    /// Source files that changed while they were read.
    Changed,
    /// Source entries that no longer existed when they were to be copied.
    Vanished,
    /// Entries that could not be copied.
    Failed,
    /// Entries of the copy that differ from the source, in a comparison.
    Different,
    /// Files that were read back and are identical to their sources.
    Verified,
    /// Bytes of file data that were written or, in a comparison, compared.
    Bytes,
    /// Bytes of file data that were not written: of skipped, failed or vanished files, or in holes.
    BytesSkipped,
    /// Bytes that were read back from the target.
    BytesReadBack,
    /// Existing files that are among the skipped ones because they have the contents of a source that may have changed
    /// although it has their size and modification time.
    Compared,
    /// The sizes of all files that are compared for this reason, counted before they are read.
    BytesToCompare,
    /// Bytes of existing files that were found to be those of their source, for whatever reason they were compared.
    BytesCompared,
    /// Entries that only the target had and that were removed; in a dry run, that would be.
    Removed,
    /// Entries that only the target has and that a rule protects, in directories that the source does not have.
    Protected,
    /// Directories that the source does not have and that stay because of such entries.
    Protecting,
    /// Existing entries that would be replaced, in a dry run.
    Replaced,
    /// Bytes that the target would need beyond [`Bytes`](Self::Bytes), in a dry run: files end within a block.
    BytesOfBlocks,
    /// Bytes of existing files that would be free again, in a dry run.
    BytesFreed,
    /// Tasks that were pushed into the ring.
    TasksPushed,
    /// Tasks that copiers took from the ring and carried out completely.
    TasksDone,
}

const COUNTS: usize = 26;

/// The counts of one copier, or of all copiers together.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals([u64; COUNTS]);

impl Totals {
    /// Returns one of the counts.
    pub fn get(&self, count: Count) -> u64 {
        self.0[count as usize]
    }

    /// Sets one of the counts.
    pub fn set(&mut self, count: Count, number: u64) {
        self.0[count as usize] = number;
    }

    /// Adds to one of the counts.
    pub fn add(&mut self, count: Count, number: u64) {
        self.set(count, self.get(count).wrapping_add(number));
    }

    /// Returns the sum of these counts and those of `other`, count by count.
    pub fn plus(&self, other: &Totals) -> Totals {
        let mut sum = *self;
        for (one, other) in sum.0.iter_mut().zip(other.0) {
            // A stray write into the shared memory may make a count huge; the addition wraps, because it must
            // not panic.
            *one = one.wrapping_add(other);
        }
        sum
    }

    /// Returns how many entries are settled: copied, linked, skipped, declined, changed, vanished, failed or
    /// different.
    pub fn settled(&self) -> u64 {
        use Count::{Changed, Copied, Declined, Different, Failed, Linked, Skipped, Vanished};
        [Copied, Linked, Skipped, Declined, Changed, Vanished, Failed, Different]
            .iter()
            .fold(0, |sum, &count| sum.wrapping_add(self.get(count)))
    }

    /// Whether the number of entries found equals the number of entries settled or excluded.
    pub fn balance(&self) -> bool {
        self.get(Count::Found) == self.settled().wrapping_add(self.get(Count::Excluded))
    }

    /// Whether each task that was pushed was carried out exactly once. [`balance`](Self::balance) cannot
    /// detect a lost task: entries that no copier found are not among the entries found either.
    pub fn all_done(&self) -> bool {
        self.get(Count::TasksPushed) == self.get(Count::TasksDone)
    }
}

/// The number of words for the counts of one copier. They fill pairs of cache lines, because CPUs fetch lines in
/// pairs; otherwise two copiers would contend for a pair.
const LINE_WORDS: usize = 32;
const ASKED: usize = COUNTS;

// The words of the counts and the stop flag behind them must end before the position of the copier. Otherwise
// a further count would overwrite the hash of the copier's directory.
const _: () = assert!(Count::TasksDone as usize + 1 == COUNTS && ASKED < LINE_WORDS);

/// The position of the copier: its directory and the name in that directory. The parent reads them if the
/// copier dies.
const DIR_HASH: usize = LINE_WORDS;
const DIR_BYTES: usize = DIR_HASH + 1;
const NAME_BYTES: usize = DIR_HASH + 2;
const DIR_OPERAND: usize = DIR_HASH + 3;
const DIR_TEXT: usize = DIR_HASH + 4;
const DIR_WORDS: usize = PATH_BYTES_MAX / 8;
const NAME_TEXT: usize = DIR_TEXT + DIR_WORDS;
const NAME_WORDS: usize = (NAME_BYTES_MAX + 1) / 8;
/// The words of one copier: 4,864 bytes. A copier normally writes to only two of the 4 KiB pages that they
/// occupy.
const COPIER_WORDS: usize = (NAME_TEXT + NAME_WORDS).next_multiple_of(LINE_WORDS);

/// Nonzero if all copiers are to abort the files in progress.
const ABANDON: usize = 0;

/// How many copiers are to work; they are the ones with the lowest numbers.
const ACTIVE: usize = 1;
const COMMON_WORDS: usize = LINE_WORDS;

/// The counters and the status slots of all copiers.
pub(crate) struct Counters {
    words: SharedWords,
    copiers: usize,
}

impl Counters {
    /// Creates counters of zero for `copiers` copiers. Must be called before the first fork(2).
    pub(crate) fn create(copiers: u16) -> io::Result<Self> {
        let copiers = usize::from(copiers);
        let words = SharedWords::create("pcopy-counters", COMMON_WORDS + copiers * COPIER_WORDS)?;
        Ok(Self { words, copiers })
    }

    /// Returns the status slot of copier `number`, from 0.
    pub(crate) fn status(&self, number: u16) -> StatusSlot<'_> {
        let start = COMMON_WORDS + usize::from(number) * COPIER_WORDS;
        StatusSlot {
            words: &self.words[start..start + COPIER_WORDS],
            common: &self.words[..COMMON_WORDS],
            in_parent: None,
        }
    }

    /// Returns the sums of the counts of all copiers so far.
    pub(crate) fn totals(&self) -> Totals {
        (0..self.copiers())
            .fold(Totals::default(), |sum, number| sum.plus(&self.status(number).totals()))
    }

    /// Returns how many copiers have a status slot.
    pub(crate) fn copiers(&self) -> u16 {
        u16::try_from(self.copiers).unwrap_or(u16::MAX)
    }

    /// Lets only the first `copiers` copiers work; the other copiers sleep until the number is raised.
    pub(crate) fn set_active(&self, copiers: u16) {
        self.words[ACTIVE].store(copiers.into(), Relaxed);
    }

    /// Returns how many copiers are to work.
    pub(crate) fn active(&self) -> u16 {
        u16::try_from(self.words[ACTIVE].load(Relaxed)).unwrap_or(u16::MAX)
    }

    /// Makes every copier abort the file in progress. (A request to stop only keeps a copier from beginning
    /// another file.)
    pub(crate) fn abandon(&self) {
        self.words[ABANDON].store(1, Relaxed);
    }
}

/// The entry that a copier is working on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CurrentEntry {
    /// The operand, as an index into the plan's operands.
    pub operand: u32,
    /// The source directory of the entry, relative to the directory that contains the operand; truncated to
    /// `PATH_MAX` bytes.
    pub dir: Vec<u8>,
    /// The name in that directory; empty if the copier is working on the directory itself.
    pub name: Vec<u8>,
    /// A fingerprint, which identifies the entry even if `dir` is truncated; see [`place_fingerprint`].
    pub fingerprint: u64,
}

/// The status slot of one copier. Only that copier writes to it, except for the request to stop, which the
/// parent writes.
#[derive(Clone, Copy)]
pub(crate) struct StatusSlot<'a> {
    words: &'a [AtomicU64],
    common: &'a [AtomicU64],
    in_parent: Option<&'a dyn InParent>,
}

impl<'a> StatusSlot<'a> {
    /// Returns the same slot for a copier inside the parent process, which then attends to its other work
    /// whenever the copier checks whether it must stop.
    pub(crate) fn of_copier_in(self, in_parent: Option<&'a dyn InParent>) -> Self {
        Self { in_parent, ..self }
    }

    fn attend(&self) {
        if let Some(parent) = self.in_parent {
            parent.attend();
        }
    }
}

impl StatusSlot<'_> {
    /// Adds `number` to a count.
    pub(crate) fn add(&self, count: Count, number: u64) {
        let word = &self.words[count as usize];
        // A plain load and store suffice, because no other process writes this word.
        word.store(word.load(Relaxed).wrapping_add(number), Relaxed);
    }

    /// Subtracts `number`, which was counted too early. The count of one copier may wrap below zero; the sum
    /// over all copiers is right.
    pub(crate) fn subtract(&self, count: Count, number: u64) {
        self.add(count, number.wrapping_neg());
    }

    /// Returns the counts of this copier.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for (total, word) in totals.0.iter_mut().zip(self.words) {
            *total = word.load(Relaxed);
        }
        totals
    }

    /// Whether this copier must abort the file in progress.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.attend();
        self.common[ABANDON].load(Relaxed) != 0
    }

    /// Asks this copier to stop after the file in progress.
    pub(crate) fn ask_to_stop(&self) {
        self.words[ASKED].store(1, Relaxed);
    }

    /// Whether this copier was asked to stop after the file in progress.
    pub(crate) fn is_asked_to_stop(&self) -> bool {
        self.attend();
        self.words[ASKED].load(Relaxed) != 0
    }

    /// Notes that the copier has entered this directory.
    pub(crate) fn enter(&self, operand: u32, dir: &[u8]) {
        self.words[NAME_BYTES].store(0, Relaxed);
        self.words[DIR_BYTES].store(0, Release); // a reader then sees no path instead of half a path
        self.words[DIR_OPERAND].store(u64::from(operand), Relaxed);
        self.words[DIR_HASH].store(fingerprint((u64::from(operand), dir)), Relaxed);
        let shown = &dir[..dir.len().min(DIR_WORDS * 8)];
        self.write(DIR_TEXT, shown);
        self.words[DIR_BYTES].store(shown.len() as u64, Release); // WRITTEN; see `current_entry`
    }

    /// Notes that the copier is working on `name` in its directory.
    pub(crate) fn at(&self, name: &CStr) {
        let name = name.to_bytes();
        let name = &name[..name.len().min(NAME_WORDS * 8)];
        self.words[NAME_BYTES].store(0, Release);
        self.write(NAME_TEXT, name);
        self.words[NAME_BYTES].store(name.len() as u64, Release); // WRITTEN; see `current_entry`
    }

    /// Notes that the copier is working on its directory itself.
    pub(crate) fn at_none(&self) {
        self.words[NAME_BYTES].store(0, Release);
    }

    /// Notes that the copier is working on no entry: if it dies now, no entry is the cause.
    pub(crate) fn leave(&self) {
        self.words[NAME_BYTES].store(0, Release);
        self.words[DIR_BYTES].store(0, Release);
    }

    /// Returns the entry that the copier is working on, or was working on when it died; `None` if it was
    /// between two tasks.
    ///
    /// While the copier is alive, it may change the entry during the call, so the result may mix two entries.
    /// Use it only for display.
    pub(crate) fn current_entry(&self) -> Option<CurrentEntry> {
        let dir_bytes = usize::try_from(self.words[DIR_BYTES].load(Acquire)).ok()?; // pairs with WRITTEN
        let name_bytes = usize::try_from(self.words[NAME_BYTES].load(Acquire)).ok()?;
        if dir_bytes == 0 && name_bytes == 0 {
            return None;
        }
        let dir = self.read(DIR_TEXT, dir_bytes.min(DIR_WORDS * 8));
        let name = self.read(NAME_TEXT, name_bytes.min(NAME_WORDS * 8));
        let operand = u32::try_from(self.words[DIR_OPERAND].load(Relaxed)).ok()?;
        let fingerprint = fingerprint((self.words[DIR_HASH].load(Relaxed), &name[..]));
        Some(CurrentEntry { operand, dir, name, fingerprint })
    }

    /// Returns the fingerprint that [`current_entry`](Self::current_entry) would return for `name` in the
    /// copier's directory.
    pub(crate) fn fingerprint_of(&self, name: &CStr) -> u64 {
        fingerprint((self.words[DIR_HASH].load(Relaxed), name.to_bytes()))
    }

    fn write(&self, at: usize, text: &[u8]) {
        for (word, part) in self.words[at..].iter().zip(text.chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..part.len()].copy_from_slice(part);
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

/// Returns the fingerprint of `name` in the source directory `dir` of an operand; see [`CurrentEntry`].
pub(crate) fn place_fingerprint(operand: u32, dir: &[u8], name: &[u8]) -> u64 {
    fingerprint((fingerprint((u64::from(operand), dir)), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_totals_are_the_sum_over_all_copiers() {
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
    fn the_current_entry_of_a_copier_can_be_read_by_others() {
        let counters = Counters::create(2).unwrap();
        let status = counters.status(1);
        assert_eq!(status.current_entry(), None);
        let deep = vec![b'd'; 3 * PATH_BYTES_MAX];
        for (dir, name) in [(&b"src/a"[..], c"file"), (&deep, c"\xff")] {
            status.enter(4, dir);
            status.at(name);
            let seen = status.current_entry().unwrap();
            assert_eq!(seen.operand, 4);
            assert_eq!(seen.dir, dir[..dir.len().min(PATH_BYTES_MAX)]);
            assert_eq!(seen.name, name.to_bytes());
            assert_eq!(seen.fingerprint, status.fingerprint_of(name));
            assert_eq!(seen.fingerprint, place_fingerprint(4, dir, name.to_bytes()));
        }
        assert_eq!(counters.status(0).current_entry(), None, "status slots do not overlap");
        status.leave();
        assert_eq!(status.current_entry(), None);
    }
}

//! A table of what pairs of file systems do not support, shared by all copiers.
//!
//! pcopy learns whether files can be cloned from one file system to another only when a copier tries. The
//! copier notes a failure here for the pair of devices, so that other copiers and files need not fail first.
//! A missing note does no harm, because every way counts as supported until a failure is noted. So a full
//! table may drop further pairs, and each round begins with an empty table.
//!
//! A copier claims a slot by writing the pair into it; after that, the pair in the slot never changes. The
//! second word of the slot holds one bit for each way that the pair lacks. Copiers only add bits, so every
//! copier may use the slot even if the copier that claimed it has died. The order of writes to the two words
//! does not matter: a copier that sees a bit too late makes one vain attempt.

use pcopy_sys::shared_words::SharedWords;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The number of pairs that the table holds. A run needs one or two; each mount point below SRC or DST adds
/// some.
const SLOTS: usize = 128;
const SLOT_WORDS: usize = 2;

/// What a pair of file systems may support.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub(crate) enum Capability {
    /// Clone (reflink): the target shares the data blocks of the source.
    Clone = 1,
    /// Copy inside the kernel (`copy_file_range`).
    CopyRange = 2,
    /// Setting the times of a file (noted for the pair of the target with itself).
    Times = 4,
    /// Setting the times of a symlink; some file systems support only those of files.
    SymlinkTimes = 8,
    /// Writing a file in another order than from its beginning to its end (noted as for `Times`). Mounts of
    /// object stores refuse that.
    AnyOrder = 16,
    /// Building entries under staged names and renaming them (noted as for `Times`).
    Staging = 32,
    /// Nothing: a directory was renamed there, so `Staging` need not be tried again (noted as for `Times`).
    UntriedRename = 64,
    /// Storing times exactly; they are stored in steps instead (these are noted as for `Times`).
    Steps100Nanoseconds = 1 << 7,
    StepsMicrosecond = 1 << 8,
    StepsMillisecond = 1 << 9,
    Steps10Milliseconds = 1 << 10,
    StepsSecond = 1 << 11,
    Steps2Seconds = 1 << 12,
    StepsMinute = 1 << 13,
    /// Keeping times that were set before the file was closed (noted as for `Times`).
    TimesBeforeClose = 1 << 14,
    /// Nothing: how exactly times are stored is known (noted as for `Times`).
    UntriedTimes = 1 << 15,
    /// Nothing: a copier has looked at the time of a file that it has closed (noted as for `Times`).
    UntriedClose = 1 << 16,
    /// Setting owner and times of a symlink and not of the file that it leads to (noted as for `Times`).
    SymlinkAttributes = 1 << 17,
    /// Nothing: symlinks have attributes of their own there (noted as for `Times`).
    UntriedSymlinks = 1 << 18,
    /// Taking the times of status changes (ctimes) from the clock of this kernel (noted as for `Times`, for sources,
    /// too).
    KernelCtimes = 1 << 19,
}

/// The devices of a source and a target, packed into one word that is never zero; `None` if they do not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pair(Option<u64>);

impl Pair {
    /// Returns the pair of two device numbers from stat(2).
    ///
    /// Linux has no device 0 and no device number of more than 32 bits, so every pair of real devices fits. A
    /// pair that does not fit is never noted.
    pub(crate) fn of(source: u64, target: u64) -> Self {
        let packed = u32::try_from(source).ok().zip(u32::try_from(target).ok());
        let word = packed.map(|(source, target)| u64::from(source) << 32 | u64::from(target));
        Self(word.filter(|&word| word != 0))
    }

    /// Returns the pair for what one file system lacks, whatever the other is.
    pub(crate) fn alone(device: u64) -> Self {
        Self::of(device, device)
    }
}

/// The table of pairs and the ways to copy that each pair lacks.
pub(crate) struct FsCaps {
    words: SharedWords,
}

impl FsCaps {
    /// Creates an empty table. Must be called before the first fork(2).
    pub(crate) fn create() -> io::Result<Self> {
        let words = SharedWords::create("pcopy-fs-caps", SLOTS * SLOT_WORDS)?;
        Ok(Self { words })
    }

    /// Whether the table says that `pair` lacks `capability`.
    pub(crate) fn lacks(&self, pair: Pair, capability: Capability) -> bool {
        let Pair(Some(word)) = pair else { return false };
        let found = slots(word).map(|slot| self.slot(slot)).find_map(|(owner, lacks)| {
            match owner.load(Relaxed) {
                0 => Some(0), // copiers fill the slots of a pair in order, so no later slot has it
                seen => (seen == word).then(|| lacks.load(Relaxed)),
            }
        });
        found.unwrap_or(0) & capability as u64 != 0
    }

    /// Notes that `pair` lacks `capability`; does nothing if the table is full.
    pub(crate) fn note_lack(&self, pair: Pair, capability: Capability) {
        let Pair(Some(word)) = pair else { return };
        for (owner, lacks) in slots(word).map(|slot| self.slot(slot)) {
            let claimed = owner.compare_exchange(0, word, Relaxed, Relaxed);
            if claimed.is_ok() || claimed == Err(word) {
                lacks.fetch_or(capability as u64, Relaxed);
                return;
            }
        }
    }

    fn slot(&self, slot: usize) -> (&AtomicU64, &AtomicU64) {
        (&self.words[slot * SLOT_WORDS], &self.words[slot * SLOT_WORDS + 1])
    }
}

/// Returns all slots, in the order in which a copier searches them for `word`.
fn slots(word: u64) -> impl Iterator<Item = usize> {
    // Fibonacci hashing spreads device numbers, which are small and consecutive.
    let home = word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let home = usize::try_from(home).unwrap_or(0);
    (0..SLOTS).map(move |step| home.wrapping_add(step) % SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_lacks_exactly_what_was_noted_for_it() {
        let fs_caps = FsCaps::create().unwrap();
        let pair = Pair::of(7, 8);
        assert!(!fs_caps.lacks(pair, Capability::Clone));
        fs_caps.note_lack(pair, Capability::Clone);
        assert!(fs_caps.lacks(pair, Capability::Clone));
        assert!(!fs_caps.lacks(pair, Capability::CopyRange));
        for other in [Pair::of(8, 7), Pair::of(7, 7), Pair::of(0, 7), Pair::of(7, 0)] {
            assert!(!fs_caps.lacks(other, Capability::Clone), "{other:?}");
        }
        fs_caps.note_lack(pair, Capability::CopyRange);
        assert!(
            fs_caps.lacks(pair, Capability::Clone) && fs_caps.lacks(pair, Capability::CopyRange)
        );
    }

    #[test]
    fn a_full_table_keeps_its_pairs_and_accepts_no_more() {
        let fs_caps = FsCaps::create().unwrap();
        let pairs: Vec<_> = (1..=SLOTS as u64 + 10).map(|device| Pair::of(device, 3)).collect();
        pairs.iter().for_each(|&pair| fs_caps.note_lack(pair, Capability::Clone));
        for (number, &pair) in pairs.iter().enumerate() {
            assert_eq!(fs_caps.lacks(pair, Capability::Clone), number < SLOTS, "{number}");
            assert!(!fs_caps.lacks(pair, Capability::CopyRange));
        }
    }

    #[test]
    fn devices_that_do_not_fit_are_not_noted() {
        let fs_caps = FsCaps::create().unwrap();
        for pair in [Pair::of(0, 0), Pair::of(1 << 32, 1), Pair::of(1, u64::MAX)] {
            fs_caps.note_lack(pair, Capability::Clone);
            assert!(!fs_caps.lacks(pair, Capability::Clone), "{pair:?}");
        }
    }

    #[test]
    fn notes_made_at_the_same_time_are_all_found() {
        let fs_caps = FsCaps::create().unwrap();
        let pairs = || (1..=100).map(|device| Pair::of(device, 3));
        std::thread::scope(|scope| {
            for capability in [Capability::Clone, Capability::CopyRange, Capability::Clone] {
                let fs_caps = &fs_caps;
                scope.spawn(move || pairs().for_each(|pair| fs_caps.note_lack(pair, capability)));
            }
        });
        for pair in pairs() {
            assert!(fs_caps.lacks(pair, Capability::Clone), "{pair:?}");
            assert!(fs_caps.lacks(pair, Capability::CopyRange), "{pair:?}");
        }
    }
}

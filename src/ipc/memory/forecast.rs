//! The totals that the counting process has found so far, for the progress line and for the check of free
//! space.

use pcopy_sys::shared_words::SharedWords;
use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

const ENTRIES: usize = 0;
const BYTES: usize = 1;
const ROOM: usize = 2;
const COMPLETE: usize = 3;

/// Totals that grow until the count is complete. The counting process (`precount`) writes them, and the
/// parent reads them.
pub(crate) struct Forecast(SharedWords);

/// The amount of work, as far as it is counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Work {
    /// Entries of all kinds.
    pub entries: u64,
    /// Bytes of regular files.
    pub bytes: u64,
    /// Bytes that the regular files occupy, without holes. The bytes of a file with several names are divided
    /// among its names, so that they count once.
    pub room: u64,
    /// Whether the count is complete.
    pub complete: bool,
}

impl Work {
    /// Counts an entry that is not a regular file.
    pub fn add_entry(&mut self) {
        self.entries += 1;
    }

    /// Counts a regular file of `bytes` bytes, which occupies `allocated` bytes and has `names` hard links.
    pub fn add_file(&mut self, bytes: u64, allocated: u64, names: u64) {
        self.entries += 1;
        self.bytes += bytes;
        self.room += bytes.min(allocated) / names.max(1);
    }
}

impl Forecast {
    /// Creates totals of zero. Must be called before the parent forks the counting process.
    pub(crate) fn create() -> io::Result<Self> {
        SharedWords::create("pcopy-forecast", 4).map(Self)
    }

    /// Stores the totals; only the counting process calls this.
    pub(crate) fn set(&self, work: Work) {
        self.0[ENTRIES].store(work.entries, Relaxed);
        self.0[BYTES].store(work.bytes, Relaxed);
        self.0[ROOM].store(work.room, Relaxed);
        self.0[COMPLETE].store(u64::from(work.complete), Release); // COUNTED; see `get`
    }

    /// Loads the totals; only the parent calls this.
    pub(crate) fn get(&self) -> Work {
        let complete = self.0[COMPLETE].load(Acquire) == 1; // pairs with COUNTED
        Work {
            entries: self.0[ENTRIES].load(Relaxed),
            bytes: self.0[BYTES].load(Relaxed),
            room: self.0[ROOM].load(Relaxed),
            complete,
        }
    }
}

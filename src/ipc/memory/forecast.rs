//! What the scout has counted ahead, for the progress line.

use pcopy_sys::words::SharedWords;
use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

const ENTRIES: usize = 0;
const BYTES: usize = 1;
const ROOM: usize = 2;
const COMPLETE: usize = 3;

/// Totals that grow until they are complete. The scout writes them, the supervisor reads them.
pub struct Forecast(SharedWords);

/// What there is to do, as far as the scout knows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Work {
    /// Entries of all kinds.
    pub entries: u64,
    /// Bytes of regular files.
    pub bytes: u64,
    /// Bytes of room that these take, without their holes, and files with several names once.
    pub room: u64,
    /// Whether that is all.
    pub complete: bool,
}

impl Work {
    /// Counts an entry that is no file.
    pub fn add_entry(&mut self) {
        self.entries += 1;
    }

    /// Counts a file of that size, which takes that much room and has so many names.
    pub fn add_file(&mut self, bytes: u64, allocated: u64, names: u64) {
        self.entries += 1;
        self.bytes += bytes;
        self.room += bytes.min(allocated) / names.max(1);
    }
}

impl Forecast {
    /// Nothing known yet. Must be made before the scout is forked.
    pub fn create() -> io::Result<Self> {
        SharedWords::create("pcopy-forecast", 4).map(Self)
    }

    /// The scout's side.
    pub fn set(&self, work: Work) {
        self.0[ENTRIES].store(work.entries, Relaxed);
        self.0[BYTES].store(work.bytes, Relaxed);
        self.0[ROOM].store(work.room, Relaxed);
        self.0[COMPLETE].store(u64::from(work.complete), Release); // SCOUTED
    }

    /// The supervisor's side.
    pub fn get(&self) -> Work {
        let complete = self.0[COMPLETE].load(Acquire) == 1; // pairs with SCOUTED
        Work {
            entries: self.0[ENTRIES].load(Relaxed),
            bytes: self.0[BYTES].load(Relaxed),
            room: self.0[ROOM].load(Relaxed),
            complete,
        }
    }
}

//! What the scout has counted ahead, for the progress line.

use crate::sys::words::SharedWords;
use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

const ENTRIES: usize = 0;
const BYTES: usize = 1;
const COMPLETE: usize = 2;

/// Totals that grow until they are complete. The scout writes them, the supervisor reads them.
pub struct Forecast(SharedWords);

/// What there is to do, as far as the scout knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work {
    /// Entries of all kinds.
    pub entries: u64,
    /// Bytes of regular files.
    pub bytes: u64,
    /// Whether that is all.
    pub complete: bool,
}

impl Forecast {
    /// Nothing known yet. Must be made before the scout is forked.
    pub fn create() -> io::Result<Self> {
        SharedWords::create("pcopy-forecast", 3).map(Self)
    }

    /// The scout's side.
    pub fn set(&self, work: Work) {
        self.0[ENTRIES].store(work.entries, Relaxed);
        self.0[BYTES].store(work.bytes, Relaxed);
        self.0[COMPLETE].store(u64::from(work.complete), Release); // SCOUTED
    }

    /// The supervisor's side.
    pub fn get(&self) -> Work {
        let complete = self.0[COMPLETE].load(Acquire) == 1; // pairs with SCOUTED
        Work {
            entries: self.0[ENTRIES].load(Relaxed),
            bytes: self.0[BYTES].load(Relaxed),
            complete,
        }
    }
}

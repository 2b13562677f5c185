//! The progress of a run, and the weights of its entries and bytes.

use crate::ipc::memory::counters::Totals;
use crate::ipc::memory::forecast::Work;
use std::time::Duration;

/// The weight of an entry besides its data, in bytes: creating a small file takes as long as copying this
/// number of bytes.
const ENTRY_WEIGHT: u128 = 20_000;

/// The progress of a run.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// What the run has done.
    pub totals: Totals,
    /// What the run has to do, as far as it is counted.
    pub work: Work,
    /// The time since the run began.
    pub elapsed: Duration,
    /// Whether all written data is read back (`--verify`). Then the run is half done when everything is
    /// copied.
    pub reads_back: bool,
}

/// Returns the weight, in bytes, of `entries` entries with `bytes` bytes of data.
pub fn weight(entries: u64, bytes: u64) -> u128 {
    u128::from(entries) * ENTRY_WEIGHT + u128::from(bytes)
}

//! The progress of a run, and the weights of its entries and bytes.

use crate::ipc::memory::counters::{Count, Totals};
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
    /// The time that the run has worked.
    pub elapsed: Duration,
    /// Whether all written data is read back (`--verify`). Then the run is half done when everything is
    /// copied.
    pub reads_back: bool,
    /// Whether the run only compares (`--check`).
    pub compares: bool,
}

impl Position {
    /// Returns the weight of all that the run has to do.
    pub fn whole_weight(&self) -> u128 {
        let times = if self.reads_back { 2 } else { 1 };
        weight(self.work.entries, self.work.bytes.saturating_mul(times)).max(1)
    }

    /// Returns the weight of what the run has done, at most [`whole_weight`](Self::whole_weight).
    pub fn done_weight(&self) -> u128 {
        (self.copied_weight() + self.skipped_weight()).min(self.whole_weight())
    }

    /// Returns the weight of what was copied and, as far as it must be, read back.
    pub fn copied_weight(&self) -> u128 {
        let (entries, bytes) = copied(&self.totals, self.compares);
        let read_back = if self.reads_back { self.totals.get(Count::BytesReadBack) } else { 0 };
        weight(entries, bytes.wrapping_add(read_back))
    }

    /// Returns the weight of what was settled without being copied.
    pub fn skipped_weight(&self) -> u128 {
        let (entries, _) = copied(&self.totals, self.compares);
        let times = if self.reads_back { 2 } else { 1 };
        let bytes = self.totals.get(Count::BytesSkipped).wrapping_mul(times);
        weight(self.totals.settled().saturating_sub(entries), bytes)
    }
}

/// Returns how many entries and bytes were copied: what makes up the speed of a run. In a comparison, all that was
/// compared.
pub fn copied(totals: &Totals, compares: bool) -> (u64, u64) {
    let entries = if compares {
        totals.settled()
    } else {
        totals.get(Count::Copied).wrapping_add(totals.get(Count::Linked))
    };
    (entries, totals.get(Count::Bytes))
}

/// Returns the weight, in bytes, of `entries` entries with `bytes` bytes of data.
pub fn weight(entries: u64, bytes: u64) -> u128 {
    u128::from(entries) * ENTRY_WEIGHT + u128::from(bytes)
}

//! How far a run has come.

use crate::ipc::memory::counters::Totals;
use crate::ipc::memory::forecast::Work;
use std::time::Duration;

/// What an entry weighs beside its bytes: making a small file takes as long as copying this many.
const ENTRY_WEIGHT: u128 = 20_000;

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// What was done.
    pub totals: Totals,
    /// What there is to do, as far as it was counted.
    pub work: Work,
    /// Since the run began.
    pub elapsed: Duration,
    /// Whether everything that is written is read back (`--verify`): the run is half done when all is
    /// copied.
    pub reads_back: bool,
}

/// What so many entries and bytes weigh together, in bytes.
pub fn weight(entries: u64, bytes: u64) -> u128 {
    u128::from(entries) * ENTRY_WEIGHT + u128::from(bytes)
}

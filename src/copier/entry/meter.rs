//! Counts the bytes of a file while copiers copy or read it.

use super::result::Unfinished;
use crate::ipc::memory::counters::{Count, StatusSlot};

/// Counts the bytes of one file as they are written, or skipped as holes.
///
/// If the file changes and is copied twice, its bytes are counted once: the second attempt adds nothing until
/// it gets farther than the first.
pub(in crate::copier) struct Meter<'a> {
    status: StatusSlot<'a>,
    /// How many bytes the current attempt has processed.
    done: u64,
    /// How many bytes all attempts have counted.
    counted: u64,
}

impl<'a> Meter<'a> {
    pub(in crate::copier) fn new(status: StatusSlot<'a>) -> Self {
        Self { status, done: 0, counted: 0 }
    }

    /// Returns the status slot to which the bytes are added: the counts of one copier.
    pub(in crate::copier) fn status(&self) -> StatusSlot<'a> {
        self.status
    }

    /// Counts bytes that were written. Fails with [`Unfinished::Dropped`] if the run aborts the copy.
    pub(in crate::copier) fn add(&mut self, bytes: u64) -> Result<(), Unfinished> {
        self.count(Count::Bytes, bytes)
    }

    /// Counts the bytes that a team of copiers has written; `bytes` is their total so far.
    pub(in crate::copier) fn up_to(&mut self, bytes: u64) {
        self.note(Count::Bytes, bytes.saturating_sub(self.done));
    }

    /// Counts as skipped `bytes` bytes that were counted as written, because the target had them already.
    pub(in crate::copier) fn unchanged(&self, bytes: u64) {
        let bytes = bytes.min(self.counted);
        self.status.subtract(Count::Bytes, bytes);
        self.status.add(Count::BytesSkipped, bytes);
    }

    /// Counts bytes that need not be written. Fails with [`Unfinished::Dropped`] if the run aborts the copy.
    pub(in crate::copier) fn skip(&mut self, bytes: u64) -> Result<(), Unfinished> {
        self.count(Count::BytesSkipped, bytes)
    }

    /// Begins the next attempt at the same file.
    pub(in crate::copier) fn start_over(&mut self) {
        self.done = 0;
    }

    /// Ends the file, which has `size` bytes. Counts the bytes that were not counted before as skipped.
    pub(in crate::copier) fn end(self, size: u64) {
        self.status.add(Count::BytesSkipped, size.saturating_sub(self.counted));
    }

    fn count(&mut self, count: Count, bytes: u64) -> Result<(), Unfinished> {
        self.note(count, bytes);
        if self.status.is_abandoned() { Err(Unfinished::Dropped) } else { Ok(()) }
    }

    fn note(&mut self, count: Count, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        let new = self.done.saturating_sub(self.counted);
        if new > 0 {
            self.status.add(count, new);
            self.counted = self.done;
        }
    }
}

/// Counts the bytes of one file as they are read. Counts them once, even if a copier must read the file again
/// after a team of copiers has read it.
pub(in crate::copier) struct ReadMeter<'a> {
    pub(in crate::copier) status: StatusSlot<'a>,
    /// The count to which the bytes are added; with `None` they are not counted.
    count: Option<Count>,
    counted: u64,
}

impl<'a> ReadMeter<'a> {
    pub(in crate::copier) fn new(status: StatusSlot<'a>, count: Option<Count>) -> Self {
        Self { status, count, counted: 0 }
    }

    /// Notes that `bytes` bytes have been read so far.
    pub(in crate::copier) fn up_to(&mut self, bytes: u64) {
        if let (Some(count), Some(new)) = (self.count, bytes.checked_sub(self.counted)) {
            self.status.add(count, new);
            self.counted = bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::memory::counters::Counters;

    #[test]
    fn a_file_that_is_copied_twice_is_counted_once() {
        let counters = Counters::create(1).unwrap();
        let mut meter = Meter::new(counters.status(0));
        assert!(meter.add(100).is_ok() && meter.skip(50).is_ok());
        meter.start_over();
        assert!(meter.add(120).is_ok() && meter.add(60).is_ok());
        meter.end(200);
        let totals = counters.totals();
        assert_eq!((totals.get(Count::Bytes), totals.get(Count::BytesSkipped)), (130, 70));
    }

    #[test]
    fn a_file_that_is_read_twice_is_counted_once() {
        let counters = Counters::create(1).unwrap();
        let mut tally = ReadMeter::new(counters.status(0), Some(Count::BytesReadBack));
        for far in [10, 40, 5, 30, 50] {
            tally.up_to(far);
        }
        assert_eq!(counters.totals().get(Count::BytesReadBack), 50);
    }

    #[test]
    fn a_copy_can_be_aborted_at_every_count() {
        let counters = Counters::create(1).unwrap();
        let mut meter = Meter::new(counters.status(0));
        assert!(meter.add(1).is_ok());
        counters.abandon();
        assert!(matches!(meter.add(1), Err(Unfinished::Dropped)));
        assert!(matches!(meter.skip(0), Err(Unfinished::Dropped)));
    }
}

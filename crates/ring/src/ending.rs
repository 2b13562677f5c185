//! How a ring ends: the last task is done, somebody closes it, or everybody must leave.

use super::Ring;
use super::bell::ALL;
use super::queue::CLOSED;
use super::storage::Storage;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

impl<S: Storage> Ring<S> {
    /// Says that one task is done; the last one to finish closes the ring.
    ///
    /// Every successful push is one unfinished task, and so is every
    /// [`task_begun`](Self::task_begun). Who takes a task pushes what follows from it before
    /// saying that it is done, so the count is never zero too early. Once too often does nothing:
    /// the ring is closed by then.
    pub fn task_done(&self) {
        let one_less = |count: u64| count.checked_sub(1);
        // AcqRel: what was done for any task is visible to who sees the ring closed.
        let before = self.header().unfinished.fetch_update(AcqRel, Relaxed, one_less);
        if before == Ok(1) {
            self.close();
        }
    }

    /// Counts an unfinished task that is in no slot, for one who pushes without having taken.
    ///
    /// Takers that are already at work could finish the first task before the second is pushed,
    /// and close the ring. So who brings the first tasks begins one of its own, pushes, and then
    /// says [`task_done`](Self::task_done). Not needed for a single first push.
    pub fn task_begun(&self) {
        self.header().unfinished.fetch_add(1, Relaxed);
    }

    /// How many tasks were pushed or begun and are not done yet.
    pub fn unfinished(&self) -> u64 {
        self.header().unfinished.load(Relaxed)
    }

    /// No pushes any more. Takers drain what is left, then get `Closed`; all sleepers wake.
    pub fn close(&self) {
        self.header().tail.fetch_or(CLOSED, AcqRel); // LAST
        self.wake_everybody();
    }

    /// Whether there will be no pushes any more. There may still be messages to take.
    pub fn is_closed(&self) -> bool {
        self.header().tail.load(Acquire) & CLOSED != 0 // pairs with LAST
    }

    /// Everybody out: from now on every push and every take fails with `Stopped`, whatever is in
    /// the ring and whatever state dead peers have left it in; all sleepers wake.
    pub fn stop(&self) {
        self.header().stopped.store(1, Release); // STOPPED
        self.wake_everybody();
    }

    /// Whether everybody should leave.
    pub fn is_stopped(&self) -> bool {
        self.header().stopped.load(Acquire) != 0 // pairs with STOPPED
    }

    fn wake_everybody(&self) {
        self.header().takers.ring_anyway(ALL);
        self.header().pushers.ring_anyway(ALL);
    }
}

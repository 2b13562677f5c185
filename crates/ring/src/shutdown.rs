//! The end of a ring: the last task is done, a peer closes it, or all peers must leave it.

use super::event_count::ALL;
use super::queue::CLOSED;
use super::storage::Storage;
use super::{Pushers, Ring};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

impl<S: Storage, P: Pushers> Ring<S, P> {
    /// Counts one task as done; the last task to finish closes the ring.
    ///
    /// Every successful push is one unfinished task, and so is every
    /// [`task_begun`](Self::task_begun). A peer that took a task pushes what follows from it before
    /// it calls this, so the count is never zero too early. A surplus call does nothing: the ring is
    /// closed by then.
    pub fn task_done(&self) {
        let one_less = |count: u64| count.checked_sub(1);
        // AcqRel: a peer that sees the ring closed also sees what was done for every task.
        let before = self.header().unfinished.fetch_update(AcqRel, Relaxed, one_less);
        if before == Ok(1) {
            self.close();
        }
    }

    /// Counts an unfinished task that is in no slot, for a peer that pushes without having taken.
    ///
    /// Takers that are already at work could finish the first task before the second is pushed,
    /// and close the ring. So a peer that pushes several first tasks begins a task of its own, pushes,
    /// and then calls [`task_done`](Self::task_done). A single first push does not need it.
    pub fn task_begun(&self) {
        self.header().unfinished.fetch_add(1, Relaxed);
    }

    /// The number of tasks that were pushed or begun and are not done yet.
    pub fn unfinished(&self) -> u64 {
        self.header().unfinished.load(Relaxed)
    }

    /// Refuses all later pushes. Takers drain what is left, then get `Closed`; all sleepers wake.
    pub fn close(&self) {
        self.header().tail.fetch_or(CLOSED, AcqRel); // LAST
        self.wake_all();
    }

    /// Whether the ring refuses pushes. There may still be messages to take.
    pub fn is_closed(&self) -> bool {
        self.header().tail.load(Acquire) & CLOSED != 0 // pairs with LAST
    }

    /// Makes all peers leave: from now on every push and every take fails with `Stopped`, whatever
    /// the ring holds and in whatever state dead peers have left it; all sleepers wake.
    pub fn stop(&self) {
        self.header().stopped.store(1, Release); // STOPPED
        self.wake_all();
    }

    /// Whether all peers must leave.
    pub fn is_stopped(&self) -> bool {
        self.header().stopped.load(Acquire) != 0 // pairs with STOPPED
    }

    fn wake_all(&self) {
        self.header().takers.notify_always(ALL);
        if P::MAY_WAIT {
            self.header().pushers.notify_always(ALL);
        }
    }
}

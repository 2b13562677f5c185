//! The end of a ring: the last task is done, a peer closes the ring, or a peer stops it so that all peers
//! leave.

use super::event_count::ALL;
use super::queue::CLOSED;
use super::storage::Storage;
use super::{Pushers, Ring};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

impl<S: Storage, P: Pushers> Ring<S, P> {
    /// Counts one task as done. The last task to finish closes the ring.
    ///
    /// Every successful push counts one unfinished task, and so does every [`task_begun`](Self::task_begun).
    /// A peer that took a task first pushes the tasks that follow from it, and then calls this function. So
    /// the count never becomes zero too early. If no unfinished task is counted, the call does nothing.
    pub fn task_done(&self) {
        let one_less = |count: u64| count.checked_sub(1);
        // AcqRel: a peer that sees the ring closed also sees the work of every task.
        let before = self.header().unfinished.fetch_update(AcqRel, Relaxed, one_less);
        if before == Ok(1) {
            self.close();
        }
    }

    /// Counts an unfinished task that is in no slot, for a peer that pushes without having taken a task.
    ///
    /// Takers that are already running could finish the first task before the second is pushed, and so close
    /// the ring. Therefore a peer that pushes several first tasks calls this function, pushes the tasks, and
    /// then calls [`task_done`](Self::task_done). A peer that pushes only one first task need not call
    /// either.
    pub fn task_begun(&self) {
        self.header().unfinished.fetch_add(1, Relaxed);
    }

    /// Returns the number of tasks that were pushed or begun and are not done yet.
    pub fn unfinished(&self) -> u64 {
        self.header().unfinished.load(Relaxed)
    }

    /// Closes the ring: later pushes fail. Takers take the messages that are left, then get `Closed`. Wakes
    /// all sleepers.
    pub fn close(&self) {
        self.header().tail.fetch_or(CLOSED, AcqRel); // LAST
        self.wake_all();
    }

    /// Whether the ring is closed, so that it refuses pushes. It may still contain messages.
    pub fn is_closed(&self) -> bool {
        self.header().tail.load(Acquire) & CLOSED != 0 // pairs with LAST
    }

    /// Stops the ring, so that all peers leave it: every later push and take fails with `Stopped`, whatever
    /// the ring contains and whatever state dead peers have left it in. Wakes all sleepers.
    pub fn stop(&self) {
        self.header().stopped.store(1, Release); // STOPPED
        self.wake_all();
    }

    /// Whether the ring is stopped, so that all peers must leave it.
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

//! The queue itself: tickets, turns, and the two ways through a slot. Nothing here waits.

use super::slot::{Room, Slot};
use super::storage::Storage;
use super::weave::AtomicU64;
use super::{PushError, Ring, TakeError};
use std::cmp::Ordering::{Equal, Greater, Less};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The bit of `tail` that says that no ticket will be given out any more.
pub(super) const CLOSED: u64 = 1 << 63;

impl<S: Storage> Ring<S> {
    /// Pushes a copy of `message`, which is one more unfinished task, and wakes a sleeping taker.
    ///
    /// Never waits. [`Full`](PushError::Full) when there is no room, which includes a slot that a
    /// slow taker is still reading; [`Closed`](PushError::Closed), [`Stopped`](PushError::Stopped)
    /// and [`TooLong`](PushError::TooLong) as they say. After any error nothing has changed; the
    /// count of unfinished tasks has not moved even for a moment.
    pub fn try_push(&self, message: &[u8]) -> Result<(), PushError> {
        if message.len() > S::Room::BYTES {
            return Err(PushError::TooLong);
        }
        let ticket = self.win_push()?;
        // Before READY: whoever takes it may be done with it at once.
        self.header().unfinished.fetch_add(1, Relaxed);
        let slot = self.slot(ticket);
        // SAFETY: `tail` gave this ticket to us alone, and its turn had come: the taker of the lap
        // before is done (TAKEN). Nobody comes near until READY. The length was checked.
        unsafe { slot.write(message) };
        slot.turn.store(self.full_in(ticket), Release); // READY
        self.header().takers.ring(1);
        if self.is_closed() {
            // Closed over our heads. This may have been the last message that others waited for.
            self.header().takers.ring_anyway(super::bell::ALL);
        }
        Ok(())
    }

    /// Takes the oldest message into `into`, which is cleared first, and wakes a pusher that
    /// waits for room.
    ///
    /// Never waits. [`Empty`](TakeError::Empty) when nothing can be taken now, which includes a
    /// message that a slow pusher is still writing; [`Closed`](TakeError::Closed) when nothing
    /// will ever come; [`Stopped`](TakeError::Stopped), even when there are messages left. A
    /// message whose length was scribbled over is delivered as an empty one.
    pub fn try_take(&self, into: &mut Vec<u8>) -> Result<(), TakeError> {
        into.clear();
        let ticket = self.win_take()?;
        let slot = self.slot(ticket);
        // SAFETY: `head` gave this ticket to us alone, and READY happened before our load of
        // `turn`. No pusher comes near until TAKEN.
        unsafe { slot.read(into) };
        slot.turn.store(self.free_in(ticket.wrapping_add(self.capacity() as u64)), Release); // TAKEN
        self.header().pushers.ring(1);
        Ok(())
    }

    /// Wins the ticket at `tail`, whose slot is then ours to write.
    fn win_push(&self) -> Result<u64, PushError> {
        let tail = &self.header().tail;
        let mut ticket = tail.load(Relaxed);
        loop {
            if self.is_stopped() {
                return Err(PushError::Stopped);
            }
            if ticket & CLOSED != 0 {
                return Err(PushError::Closed);
            }
            let turn = self.slot(ticket).turn.load(Acquire); // pairs with TAKEN
            match turn.cmp(&self.free_in(ticket)) {
                Less => return Err(PushError::Full), // not taken since the last lap
                Equal => match advance(tail, ticket) {
                    Ok(()) => return Ok(ticket),
                    Err(seen) => ticket = seen,
                },
                Greater => ticket = moved(tail, ticket).ok_or(PushError::Full)?, // another has it
            }
        }
    }

    /// Wins the ticket at `head`, whose slot is then ours to read.
    fn win_take(&self) -> Result<u64, TakeError> {
        let head = &self.header().head;
        let mut ticket = head.load(Relaxed);
        loop {
            if self.is_stopped() {
                return Err(TakeError::Stopped);
            }
            let turn = self.slot(ticket).turn.load(Acquire); // pairs with READY
            match turn.cmp(&self.full_in(ticket)) {
                Less if self.ended_at(ticket) => return Err(TakeError::Closed),
                Less => return Err(TakeError::Empty), // not written yet
                Equal => match advance(head, ticket) {
                    Ok(()) => return Ok(ticket),
                    Err(seen) => ticket = seen,
                },
                Greater => ticket = moved(head, ticket).ok_or(TakeError::Empty)?, // another took it
            }
        }
    }

    /// Whether the ring was closed before `ticket` was given to a pusher, so that it never will be.
    fn ended_at(&self, ticket: u64) -> bool {
        let tail = self.header().tail.load(Acquire); // pairs with LAST
        tail & CLOSED != 0 && tail & !CLOSED <= ticket
    }

    /// Whether a look by a taker would find something.
    pub(super) fn can_take(&self) -> bool {
        let head = self.header().head.load(Relaxed);
        self.slot(head).turn.load(Relaxed) >= self.full_in(head)
    }

    /// Whether a look by a pusher would find room.
    pub(super) fn can_push(&self) -> bool {
        let tail = self.header().tail.load(Relaxed) & !CLOSED;
        self.slot(tail).turn.load(Relaxed) >= self.free_in(tail)
    }

    pub(super) fn slot(&self, ticket: u64) -> &Slot<S::Room> {
        let slots = self.storage.slots();
        &slots[ticket as usize & (slots.len() - 1)]
    }

    /// The turn of a ticket's slot while its pusher may write.
    fn free_in(&self, ticket: u64) -> u64 {
        2 * (ticket >> self.capacity().trailing_zeros())
    }

    /// The turn of a ticket's slot while its taker may read.
    fn full_in(&self, ticket: u64) -> u64 {
        self.free_in(ticket) + 1
    }
}

/// Moves `counter` on from `ticket`, which makes the ticket ours; else says what was seen there.
///
/// Relaxed: all that a ticket stands for travels with its slot's turn.
fn advance(counter: &AtomicU64, ticket: u64) -> Result<(), u64> {
    let next = ticket.wrapping_add(1);
    counter.compare_exchange_weak(ticket, next, Relaxed, Relaxed).map(drop)
}

/// Looks at `counter` again after a turn that was beyond `ticket`.
///
/// Whoever moved that turn on had moved the counter before, so it must have changed. If it has
/// not, the memory was scribbled over, and trying again would be trying for ever.
fn moved(counter: &AtomicU64, ticket: u64) -> Option<u64> {
    Some(counter.load(Relaxed)).filter(|&seen| seen != ticket)
}

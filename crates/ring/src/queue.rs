//! The queue itself: tickets, turns, and the two ways through a slot. Nothing here waits.

use super::slot::{Payload, Slot};
use super::storage::Storage;
use super::sync::AtomicU64;
use super::{PushError, Pushers, Ring, TakeError};
use std::cmp::Ordering::{Equal, Greater, Less};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The bit of `tail` that means that no more tickets are given out.
pub(super) const CLOSED: u64 = 1 << 63;

impl<S: Storage, P: Pushers> Ring<S, P> {
    /// Pushes a copy of `message`, which is one more unfinished task, and wakes a sleeping taker.
    ///
    /// Never waits. Fails with [`Full`](PushError::Full) if there is no room, also when a slow taker
    /// is still reading the slot, and with [`Closed`](PushError::Closed),
    /// [`Stopped`](PushError::Stopped) or [`TooLong`](PushError::TooLong). A push that fails changes
    /// nothing, not even for a moment.
    pub fn try_push(&self, message: &[u8]) -> Result<(), PushError> {
        if message.len() > S::Payload::BYTES {
            return Err(PushError::TooLong);
        }
        let ticket = self.win_push()?;
        // Before READY: the taker may be done with the task at once.
        self.header().unfinished.fetch_add(1, Relaxed);
        let slot = self.slot(ticket);
        // SAFETY: `tail` gave this ticket to this call alone, and its turn had come: the taker of the
        // lap before is done (TAKEN). No other peer accesses the message until READY. The length was
        // checked.
        unsafe { slot.write(message) };
        slot.turn.store(self.full_in(ticket), Release); // READY
        self.header().takers.notify(1);
        if self.is_closed() {
            // Closed meanwhile. This may be the last message, which sleeping takers wait for.
            self.header().takers.notify_always(super::event_count::ALL);
        }
        Ok(())
    }

    /// Takes the oldest message into `into`, which is cleared first, and wakes a pusher that waits for
    /// room, if pushers of this ring [may wait](Pushers::MAY_WAIT).
    ///
    /// Never waits. Fails with [`Empty`](TakeError::Empty) if nothing can be taken now, also when a
    /// slow pusher is still writing the message; with [`Closed`](TakeError::Closed) if there will
    /// never be a message; with [`Stopped`](TakeError::Stopped) even if messages are left. A message
    /// with an impossible length is delivered as an empty one.
    pub fn try_take(&self, into: &mut Vec<u8>) -> Result<(), TakeError> {
        into.clear();
        let ticket = self.win_take()?;
        let slot = self.slot(ticket);
        // SAFETY: `head` gave this ticket to this call alone, and READY happened before the load of
        // `turn`. No pusher accesses the message until TAKEN.
        unsafe { slot.read(into) };
        slot.turn.store(self.free_in(ticket.wrapping_add(self.capacity() as u64)), Release); // TAKEN
        if P::MAY_WAIT {
            self.header().pushers.notify(1);
        }
        Ok(())
    }

    /// Wins the ticket at `tail`; only the caller may then write the slot.
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
                Greater => ticket = moved(tail, ticket).ok_or(PushError::Full)?, // another peer won it
            }
        }
    }

    /// Wins the ticket at `head`; only the caller may then read the slot.
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
                Greater => ticket = moved(head, ticket).ok_or(TakeError::Empty)?, // another peer won it
            }
        }
    }

    /// Whether the ring was closed before a pusher got `ticket`, so that none ever will.
    fn ended_at(&self, ticket: u64) -> bool {
        let tail = self.header().tail.load(Acquire); // pairs with LAST
        tail & CLOSED != 0 && tail & !CLOSED <= ticket
    }

    /// Whether a taker that looks now would find a message.
    pub(super) fn can_take(&self) -> bool {
        let head = self.header().head.load(Relaxed);
        self.slot(head).turn.load(Relaxed) >= self.full_in(head)
    }

    /// Whether a pusher that looks now would find room.
    pub(super) fn can_push(&self) -> bool {
        let tail = self.header().tail.load(Relaxed) & !CLOSED;
        self.slot(tail).turn.load(Relaxed) >= self.free_in(tail)
    }

    pub(super) fn slot(&self, ticket: u64) -> &Slot<S::Payload> {
        let slots = self.storage.slots();
        &slots[ticket as usize & (slots.len() - 1)]
    }

    /// The turn of a ticket's slot while the ticket's pusher may write.
    fn free_in(&self, ticket: u64) -> u64 {
        2 * (ticket >> self.capacity().trailing_zeros())
    }

    /// The turn of a ticket's slot while the ticket's taker may read.
    fn full_in(&self, ticket: u64) -> u64 {
        self.free_in(ticket) + 1
    }
}

/// Moves `counter` past `ticket`, which wins the ticket; otherwise returns the counter's value.
///
/// Relaxed: the turn of the ticket's slot orders everything else.
fn advance(counter: &AtomicU64, ticket: u64) -> Result<(), u64> {
    let next = ticket.wrapping_add(1);
    counter.compare_exchange_weak(ticket, next, Relaxed, Relaxed).map(drop)
}

/// Loads `counter` again after a turn that was ahead of `ticket`; `None` if it has not changed.
///
/// The peer that advanced the turn had moved the counter before. If the counter has not moved, the
/// memory holds garbage, and another try would be an endless loop.
fn moved(counter: &AtomicU64, ticket: u64) -> Option<u64> {
    Some(counter.load(Relaxed)).filter(|&seen| seen != ticket)
}

//! The queue itself: tickets, turns, and how a push and a take use a slot. No function in this module waits.

use super::slot::{Payload, Slot};
use super::storage::Storage;
use super::sync::AtomicU64;
use super::{PushError, Pushers, Ring, TakeError};
use std::cmp::Ordering::{Equal, Greater, Less};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The bit of `tail` that marks the ring as closed: pushers get no more tickets.
pub(super) const CLOSED: u64 = 1 << 63;

impl<S: Storage, P: Pushers> Ring<S, P> {
    /// Pushes a copy of `message`, counts it as one more unfinished task, and wakes a sleeping taker.
    ///
    /// Never waits. Fails with [`Full`](PushError::Full) if the next slot is not free, even if only because a
    /// slow taker is still reading it. Can also fail with [`Closed`](PushError::Closed),
    /// [`Stopped`](PushError::Stopped) or [`TooLong`](PushError::TooLong). A push that fails changes nothing,
    /// not even temporarily.
    pub fn try_push(&self, message: &[u8]) -> Result<(), PushError> {
        if message.len() > S::Payload::BYTES {
            return Err(PushError::TooLong);
        }
        let ticket = self.win_push()?;
        // The task is counted before READY, because after READY a taker may finish it at once.
        self.header().unfinished.fetch_add(1, Relaxed);
        let slot = self.slot(ticket);
        // SAFETY: `tail` gave this ticket to this call alone, and the ticket's turn had come: the taker of
        // the previous lap is done (TAKEN). No other peer accesses the message until READY. The length was
        // checked.
        unsafe { slot.write(message) };
        slot.turn.store(self.full_in(ticket), Release); // READY
        self.header().takers.notify(1);
        if self.is_closed() {
            // A peer has closed the ring during the push and has woken all takers. They may have found this
            // slot not yet written, and sleep again.
            self.header().takers.notify_always(super::event_count::ALL);
        }
        Ok(())
    }

    /// Takes the oldest message into `into`, which is cleared first. Then wakes a pusher that waits for room,
    /// if pushers of this ring [may wait](Pushers::MAY_WAIT).
    ///
    /// Never waits. Fails with [`Empty`](TakeError::Empty) if the oldest message cannot be taken now, even if
    /// only because a slow pusher is still writing it. Fails with [`Closed`](TakeError::Closed) if no message
    /// will ever come, and with [`Stopped`](TakeError::Stopped) even if messages are left. A message with an
    /// impossible length is delivered as an empty message.
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

    /// Wins the ticket at `tail`. Only the winner may then write to the ticket's slot.
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
                Less => return Err(PushError::Full), // the previous lap's message is not taken
                Equal => match advance(tail, ticket) {
                    Ok(()) => return Ok(ticket),
                    Err(seen) => ticket = seen,
                },
                Greater => ticket = moved(tail, ticket).ok_or(PushError::Full)?, // another pusher won it
            }
        }
    }

    /// Wins the ticket at `head`. Only the winner may then read the ticket's slot.
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
                Greater => ticket = moved(head, ticket).ok_or(TakeError::Empty)?, // another taker won it
            }
        }
    }

    /// Whether the ring was closed before a pusher got `ticket`, so that no pusher will ever get it.
    fn ended_at(&self, ticket: u64) -> bool {
        let tail = self.header().tail.load(Acquire); // pairs with LAST
        tail & CLOSED != 0 && tail & !CLOSED <= ticket
    }

    /// Whether a taker would find a message now.
    pub(super) fn can_take(&self) -> bool {
        let head = self.header().head.load(Relaxed);
        self.slot(head).turn.load(Relaxed) >= self.full_in(head)
    }

    /// Whether a pusher would find a free slot now.
    pub(super) fn can_push(&self) -> bool {
        let tail = self.header().tail.load(Relaxed) & !CLOSED;
        self.slot(tail).turn.load(Relaxed) >= self.free_in(tail)
    }

    pub(super) fn slot(&self, ticket: u64) -> &Slot<S::Payload> {
        let slots = self.storage.slots();
        &slots[ticket as usize & (slots.len() - 1)]
    }

    /// Returns the turn at which the pusher of `ticket` may write to the slot.
    fn free_in(&self, ticket: u64) -> u64 {
        2 * (ticket >> self.capacity().trailing_zeros())
    }

    /// Returns the turn at which the taker of `ticket` may read the slot.
    fn full_in(&self, ticket: u64) -> u64 {
        self.free_in(ticket) + 1
    }
}

/// Moves `counter` past `ticket`, which wins the ticket. If another peer was faster, returns the counter's
/// value.
///
/// Relaxed suffices: the turn of the ticket's slot orders all other accesses.
fn advance(counter: &AtomicU64, ticket: u64) -> Result<(), u64> {
    let next = ticket.wrapping_add(1);
    counter.compare_exchange_weak(ticket, next, Relaxed, Relaxed).map(drop)
}

/// Loads `counter` again after a turn was found to be ahead of `ticket`. Returns `None` if the counter has
/// not changed.
///
/// A peer moves the counter before it advances the turn. If the counter has not moved although the turn is
/// ahead, the memory contains garbage, and to try again would be an endless loop.
fn moved(counter: &AtomicU64, ticket: u64) -> Option<u64> {
    Some(counter.load(Relaxed)).filter(|&seen| seen != ticket)
}

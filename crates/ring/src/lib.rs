//! A bounded queue in memory that several processes share: many pushers, many takers.
//!
//! In pcopy it is the *task ring*: a copier that finds work pushes it, a copier that is free takes
//! it. Messages are bytes; their meaning belongs to the caller. All peers share the memory, so
//! nothing in it may be a pointer, and any peer may be killed at any instruction. No slot is ever
//! repaired: when a peer has died inside a ring, the others [`stop`](Ring::stop) it, leave it, and
//! continue with a new one.
//!
//! The whole interface of a bounded queue is here: [`try_push`](Ring::try_push) and
//! [`try_take`](Ring::try_take), [`push_within`](Ring::push_within) and
//! [`take_within`](Ring::take_within) with a limit on the wait, [`take`](Ring::take) without one,
//! [`len`](Ring::len), [`is_full`](Ring::is_full), [`is_empty`](Ring::is_empty) and
//! [`close`](Ring::close). Whether pushers may wait for room is part of the ring's type
//! ([`Pushers`]), since it makes every take more expensive; pcopy's own pushers never wait.
//! `examples/bounded_queue.rs` shows it at work.
//!
//! The rest of this page argues that the ring is correct. `tests/` tries to refute it: with a
//! `VecDeque` as a model, with garbage in every word, with threads, under Miri, and under loom,
//! which runs the steps of small scenarios in every order:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --release -p pcopy-ring --lib
//! cargo +nightly miri test -p pcopy-ring --lib
//! ```
//!
//! # Who may touch a slot
//!
//! A push draws a ticket 0, 1, 2, … from `tail`, a take draws one from `head`, both with
//! compare-and-swap. So each ticket has exactly one pusher and one taker. Ticket `t` belongs to
//! slot `t % capacity`, in lap `t / capacity`. The slot's `turn` says whose turn it is:
//!
//! | `turn`            | who may touch the message                        | ends with |
//! |-------------------|--------------------------------------------------|-----------|
//! | `2 * lap`         | the pusher that won the lap's ticket, to write   | READY     |
//! | `2 * lap + 1`     | the taker that won the lap's ticket, to read     | TAKEN     |
//! | `2 * (lap + 1)`   | a pusher again, one lap later                    | …         |
//!
//! A turn counts laps and not tickets, so memory filled with zeros is an empty ring, and a new ring
//! touches no page that it does not use. A turn only grows, and only the peer whose turn it is
//! advances it. Tickets have 63 bits and are never reused: at one ticket per nanosecond they last
//! 292 years, so the code does not handle an overflow. The top bit of `tail` means *closed*.
//!
//! # No message is lost, none is taken twice
//!
//! * A pusher wins ticket `t` only after it has seen the turn `2 * lap`, so the taker of the lap
//!   before has finished. A taker wins `t` only after it has seen `2 * lap + 1`, so the message is
//!   complete. If another peer wins the ticket first, the swap fails, and the loser tries the next.
//! * READY and TAKEN are release stores, and a peer loads the turn with acquire before it tries to
//!   win. So the bytes are ordered by the turn alone, and the tickets can be relaxed.
//! * Tickets are served in order. A taker whose slot is not ready returns `Empty` even if later
//!   slots are; a pusher whose slot is not free returns `Full`.
//! * *Closed* is a bit of the word that gives out tickets, so a push either has its ticket before
//!   the close or gets none: a push that returned `Ok` will be taken. A taker returns `Closed` only
//!   when it has reached the last ticket; while a late pusher is still writing, it returns `Empty`.
//!
//! # The last task to finish closes the ring
//!
//! A push adds to `unfinished` after it has won its ticket and before READY. So no peer can finish a
//! task that is not counted, and a push that fails never touches the count and cannot drive it to
//! zero. A peer that pushes holds a task of its own, which stays counted until the peer calls
//! [`task_done`](Ring::task_done); the first tasks have no such holder, and
//! [`task_begun`](Ring::task_begun) stands in for one.
//!
//! # No wake-up is lost
//!
//! No peer spins. A taker that finds nothing *announces* itself in `sleepers`, looks once more, and
//! sleeps on the word `notified`, which it read before it announced itself. A pusher *publishes* its
//! message (READY), and makes a system call only if `sleepers` is not zero. Both have a `SeqCst` fence
//! between their two halves:
//!
//! ```text
//! taker:  sleepers += 1;  fence ANNOUNCED;  load the turn;    sleep while `notified` is unchanged
//! pusher: turn = ...;     fence PUBLISHED;  load `sleepers`;  notified += 1;  wake one
//! ```
//!
//! One of the two fences is first in the order of all `SeqCst` fences. If it is ANNOUNCED, the pusher
//! sees the sleeper; if it is PUBLISHED, the taker sees the turn. Without the fences each could miss
//! the other, because a CPU may perform a load before an earlier store becomes visible. If the
//! notification comes between the taker's last look and its sleep, `notified` has changed, and the
//! kernel, which compares the word once more, does not put the taker to sleep. A taker that reads the
//! new value of `notified` also sees what the notification was for (NOTIFIED).
//!
//! Two cases need more:
//!
//! * *A taker is woken too early.* Slot 1 is ready, slot 0 is not. The taker that was woken for
//!   slot 1 finds nothing and sleeps again, and slot 0 wakes one taker only. So a taker that
//!   announced itself, and then got a message, wakes the next one if there is more to take.
//! * *The ring is closed too early.* The close wakes all takers; they find a late pusher still
//!   writing, and sleep again. So a pusher that finds its ring closed after READY wakes all takers
//!   again. By then every slot before the last ticket is written, or its pusher will do the same.
//!
//! Close and stop always notify, without a look at `sleepers`.
//!
//! ## Pushers that wait for room
//!
//! The same argument, with the roles exchanged, holds for pushers that find the ring full: they
//! sleep on an event count of their own, and a take publishes the free slot (TAKEN), then looks for a
//! pusher to wake. Only a ring whose pushers may wait ([`MayWait`]) does that. In a ring whose pushers
//! never wait ([`NeverWait`]) no pusher can be asleep, so a take has no peer to wake: it needs neither
//! the fence nor the load. Nothing else on this page relies on that fence: what takers wait for is
//! published by pushers, by `close` and by `stop`, and a taker that wakes the next one does so with a
//! fence of its own. The two types cannot meet in one ring, because a ring is reached only through
//! the value that its constructor returned, and through copies of that value in forked processes.
//!
//! # A peer dies
//!
//! | a peer dies                         | what the others see                                       |
//! |-------------------------------------|-----------------------------------------------------------|
//! | before it won a ticket              | nothing                                                   |
//! | pushing, between ticket and READY   | empty from that slot on, full one lap later               |
//! | between READY and the wake-up       | the message, at the latest when a nap ends (100 ms)       |
//! | taking, between ticket and TAKEN    | full one lap later; the message is lost                   |
//! | between TAKEN and the wake-up       | the free slot, at the latest when a nap ends              |
//! | asleep, or woken and not yet back   | one sleeper too many: superfluous calls; a nap at most    |
//! | with an unfinished task, before LAST| a ring that never closes                                  |
//! | between LAST and the wake-up        | closed, at the latest when a nap ends                     |
//!
//! No state lets a peer do what it must not: the slot of a dead peer passes to no other. So at worst
//! the others wait, and [`stop`](Ring::stop) ends every wait: each look, in each iteration of each
//! loop, checks the *stopped* word first (STOPPED); no sleep is longer than a nap; and all other
//! code is free of loops. The loops that draw tickets repeat only if another peer has moved the
//! counter. If the memory holds garbage, and a turn is ahead of its ticket although the counter does
//! not move, they give up with `Empty` or `Full`. An impossible length counts as zero and an index is
//! masked, so no peer reads outside a slot either.
//!
//! # Pairs of memory orderings
//!
//! | release              | acquire                              | what it makes visible             |
//! |----------------------|--------------------------------------|-----------------------------------|
//! | READY                | the turn, in `win_take`              | the message                       |
//! | TAKEN                | the turn, in `win_push`              | that its bytes may be overwritten |
//! | NOTIFIED             | `notified`, in `EventCount::sleep`   | what the notification was for     |
//! | LAST                 | `tail`, in `ended_at`, `is_closed`   | what was done before the close    |
//! | STOPPED              | `stopped`, in `is_stopped`           | what was done before the stop     |
//! | PUBLISHED, ANNOUNCED | each other (`SeqCst`)                | see "No wake-up is lost"          |
// Several processes write to slots; `turn` says which of them may.
#![allow(unsafe_code)]
// In the data path no result may be ignored; tests may.
#![cfg_attr(not(test), deny(clippy::let_underscore_must_use))]

mod blocking;
mod event_count;
#[cfg_attr(loom, path = "mapped_under_loom.rs")]
mod mapped;
mod pushers;
mod queue;
mod shutdown;
mod slot;
mod storage;
mod sync;
#[cfg(test)]
mod tests;

pub use mapped::{MESSAGE_BYTES_MAX, Mapped};
pub use pushers::{MayWait, NeverWait, Pushers};
pub use slot::{Payload, Slot};
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::Ordering::Relaxed;
pub use storage::{Header, Heap, Storage};

/// A bounded queue for many pushers and many takers. See the [crate](self).
pub struct Ring<S: Storage, P: Pushers> {
    storage: S,
    pushers: PhantomData<P>,
}

/// A ring between processes whose pushers never wait for room: 256 slots of 16 KiB in memory that
/// is shared with all processes forked later.
pub type SharedRing = Ring<Mapped, NeverWait>;

/// As [`SharedRing`], with pushers that may wait for room: a bounded queue between processes.
pub type SharedQueue = Ring<Mapped, MayWait>;

/// A ring for the threads of one process, with messages of up to `BYTES` bytes.
pub type HeapRing<const BYTES: usize, P = MayWait> = Ring<Heap<[u8; BYTES]>, P>;

/// Why a message was not pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PushError {
    /// There is no room now.
    Full,
    /// The ring takes no more messages: a peer closed it, or the last task is done.
    Closed,
    /// The ring is stopped: all peers must leave it.
    Stopped,
    /// The message is longer than a slot.
    TooLong,
    /// The limit passed, and there was still no room.
    TimedOut,
}

/// Why no message was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TakeError {
    /// There is nothing to take now.
    Empty,
    /// The ring is closed and drained: there will never be anything to take.
    Closed,
    /// The ring is stopped: all peers must leave it, even if messages are left.
    Stopped,
    /// The limit passed, and there was still nothing to take.
    TimedOut,
}

impl<P: Pushers> Ring<Mapped, P> {
    /// Creates a ring that is shared with all processes forked later.
    pub fn create() -> io::Result<Self> {
        Ok(Self { storage: Mapped::create()?, pushers: PhantomData })
    }
}

impl<const BYTES: usize, P: Pushers> HeapRing<BYTES, P> {
    /// Creates a ring of `capacity` slots. Panics unless that is a power of two and at least two.
    pub fn on_heap(capacity: usize) -> Self {
        Self { storage: Heap::new(capacity), pushers: PhantomData }
    }
}

impl<S: Storage, P: Pushers> Ring<S, P> {
    /// The number of messages that wait to be taken: an estimate while other peers push and take, but
    /// never more than [`capacity`](Self::capacity).
    pub fn len(&self) -> usize {
        // The head first: tickets only grow, so the difference is not negative.
        let head = self.header().head.load(Relaxed);
        let tail = self.header().tail.load(Relaxed) & !queue::CLOSED;
        let len = usize::try_from(tail.saturating_sub(head)).unwrap_or(usize::MAX);
        len.min(self.capacity())
    }

    /// The number of slots.
    pub fn capacity(&self) -> usize {
        self.storage.slots().len()
    }

    /// Whether no message waits to be taken; an estimate like [`len`](Self::len).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether every slot is in use; an estimate like [`len`](Self::len).
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }

    /// The number of sleeping takers. One that was killed in its sleep is counted for ever, which
    /// costs one superfluous system call at each push and nothing else.
    pub fn sleepers(&self) -> usize {
        self.header().takers.sleepers() as usize
    }

    fn header(&self) -> &Header {
        self.storage.header()
    }
}

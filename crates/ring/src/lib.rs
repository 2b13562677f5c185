//! The task ring: how work travels from the copier that finds it to the one that is free.
//!
//! Any copier may push, any may take. The memory is shared by all of them, so nothing in it may
//! be a pointer, and any of them may die at any instruction. No slot is ever repaired: a ring that
//! a peer died in is left by all ([`stop`](Ring::stop)) and thrown away.
//!
//! The rest of this page argues that it works. `tests/` tries to show the contrary: a `VecDeque`
//! beside it, garbage in every word, threads, Miri, and loom, which goes through the orders of
//! steps of small scenarios:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --release -p pcopy-ring --lib
//! cargo +nightly miri test -p pcopy-ring --lib
//! ```
//!
//! # Who may touch a slot
//!
//! Pushes draw tickets 0, 1, 2, … from `tail`, takes from `head`, by compare-and-swap, so each
//! ticket has one pusher and one taker. Ticket `t` belongs to slot `t % capacity`, in lap
//! `t / capacity`. The slot's `turn` says how far it is:
//!
//! | `turn`            | who may touch the message                         | ends with |
//! |-------------------|---------------------------------------------------|-----------|
//! | `2 * lap`         | the pusher that won the lap's ticket, to write    | READY     |
//! | `2 * lap + 1`     | the taker that won the lap's ticket, to read      | TAKEN     |
//! | `2 * (lap + 1)`   | a pusher again, one lap later                     | …         |
//!
//! Turns count laps and not tickets, so that memory filled with zeros is an empty ring: a new ring
//! touches no page that it does not use. A turn only grows, and only the one whose turn it is
//! moves it on. Tickets have 63 bits and are not reused: at one per nanosecond they last 292
//! years, so nothing here handles their end. The top bit of `tail` says *closed*.
//!
//! # Nothing is lost, nothing is seen twice
//!
//! A pusher wins `t` only after it saw `2 * lap`, so the taker of the lap before is done; a taker
//! wins `t` only after it saw `2 * lap + 1`, so the message is whole. If another wins first, the
//! swap fails and we look at the next. READY and TAKEN are releases, and who wants to win loads
//! the turn with acquire: the bytes travel with the turn, and tickets can be relaxed. A taker that
//! finds the turn behind says `Empty` even if later slots are ready, and a pusher says `Full`:
//! tickets go in order. *Closed* stands in the word that gives out tickets, so a push has its
//! ticket before the close or has none; what was `Ok` will be taken. A taker says `Closed` only
//! when the last ticket is behind it; while a late pusher is still writing, it says `Empty`.
//!
//! # The last one to finish closes the ring
//!
//! `unfinished` is raised between winning the ticket and READY: nobody can be done with a task
//! that is not counted, and a push that fails never touches the count, so it cannot drive it to
//! zero. Whoever pushes holds a task of its own that is counted until it says so itself; a first
//! task has no such holder, which is what [`task_begun`](Ring::task_begun) is for.
//!
//! # No wake-up is lost
//!
//! Nobody spins. Who finds nothing *announces* itself in `sleepers`, looks once more, and sleeps
//! on the word `rung`, which it had read before announcing. Who brings something *publishes* it (READY or
//! TAKEN), and then makes a system call only if `sleepers` is not zero. Between the two halves,
//! both have a `SeqCst` fence:
//!
//! ```text
//! sleeper: sleepers += 1;  fence ANNOUNCED;  look at the turn;   sleep while `rung` is as before
//! bringer: turn = ...;     fence PUBLISHED;  look at `sleepers`;  rung += 1;  wake one
//! ```
//!
//! One fence comes first. If ANNOUNCED does, the bringer sees the sleeper; if PUBLISHED does, the
//! sleeper sees the turn. Without the fences each could miss the other, since a processor may let
//! a load overtake the store before it. A ring between the look and the sleep changes `rung`, and
//! the kernel compares once more. (Who reads the new `rung` also sees what was rung for: RUNG.)
//!
//! Two cases need more than that. *A wake-up may come too early*: slot 1 is ready, slot 0 is not,
//! the sleeper that was woken for 1 goes back to sleep, and slot 0 rings only once. So a sleeper
//! that got something rings for the next one if there is more. *A close may be too early*: it wakes
//! all, they find a late pusher still writing and go back to sleep. So a pusher that sees its ring
//! closed wakes all again; by then no slot before the last ticket is unwritten, or its pusher will
//! do the same. Close and stop always ring, without asking for sleepers.
//!
//! # Whoever dies, wherever
//!
//! | a peer dies                         | what the others see                                    |
//! |-------------------------------------|--------------------------------------------------------|
//! | before it won a ticket              | nothing                                                |
//! | pushing, between ticket and READY   | empty behind that slot, full a lap later               |
//! | between READY and the wake-up       | the message, at the latest when a nap ends (100 ms)    |
//! | taking, between ticket and TAKEN    | full a lap later; its message is gone                  |
//! | between TAKEN and the wake-up       | the room, at the latest when a nap ends                |
//! | asleep, or woken and not yet there  | a sleeper too many: superfluous wake-ups; 100 ms       |
//! | with a task in hand, or before LAST | a ring that nobody closes                              |
//! | between LAST and the wake-up        | closed, at the latest when a nap ends                  |
//!
//! No state lets another do what it must not: a slot whose owner is dead is passed to nobody. So
//! at worst the others wait, and then `stop` ends every wait: each look, in each round of each
//! loop, looks at the *stopped* word first (STOPPED), sleep is never longer than a nap, and all other
//! code is straight ahead. The loops that draw tickets go round only if somebody else has moved the
//! counter: should the memory hold garbage, a turn that is beyond its ticket although the counter
//! stands still, they give up (`Empty`, `Full`). A length that cannot be counts as zero, an index
//! is masked, so nobody reads outside a slot either.
//!
//! # Pairs
//!
//! | release | acquire                              | what travels                                |
//! |---------|--------------------------------------|---------------------------------------------|
//! | READY   | the turn, in `win_take`              | the message                                 |
//! | TAKEN   | the turn, in `win_push`              | that its bytes may be overwritten           |
//! | RUNG    | `rung`, in `Bell::sleep`             | what the bell rang for                      |
//! | LAST    | `tail`, in `ended_at`, `is_closed`   | what was done before the close              |
//! | STOPPED | `stopped`, in `is_stopped`           | what was done before the stop               |
//! | PUBLISHED, ANNOUNCED | each other (`SeqCst`)   | see above                                   |
// Slots are memory that several processes write; `turn` says who may.
#![allow(unsafe_code)]
// In the data path no result may be dropped unseen; tests may.
#![cfg_attr(not(test), deny(clippy::let_underscore_must_use))]

mod bell;
mod ending;
#[cfg_attr(loom, path = "unmapped.rs")]
mod mapped;
mod queue;
mod slot;
mod storage;
#[cfg(test)]
mod tests;
mod waiting;
mod weave;

pub use mapped::{MESSAGE_BYTES_MAX, Mapped};
pub use slot::{Room, Slot};
use std::io;
use std::sync::atomic::Ordering::Relaxed;
pub use storage::{Header, Heap, Storage};

/// A bounded queue for many pushers and many takers. See the [module](self).
pub struct Ring<S: Storage> {
    storage: S,
}

/// The ring of the program: 256 slots of 16 KiB in memory that forked processes share.
pub type SharedRing = Ring<Mapped>;

/// A ring for the threads of one process, with messages of up to `BYTES` bytes.
pub type HeapRing<const BYTES: usize> = Ring<Heap<[u8; BYTES]>>;

/// Why a message was not pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PushError {
    /// There is no room now.
    Full,
    /// No pushes any more: somebody closed the ring, or the last task is done.
    Closed,
    /// Everybody should leave.
    Stopped,
    /// The message is longer than a slot can carry, and always will be.
    TooLong,
    /// There was no room before the limit passed.
    TimedOut,
}

/// Why no message was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TakeError {
    /// There is nothing to take now.
    Empty,
    /// There will never be anything to take: closed, and drained.
    Closed,
    /// Everybody should leave, whatever is left.
    Stopped,
    /// There was nothing to take before the limit passed.
    TimedOut,
}

impl Ring<Mapped> {
    /// Makes a ring that is shared with all processes forked later.
    pub fn create() -> io::Result<Self> {
        Ok(Self { storage: Mapped::create()? })
    }
}

impl<const BYTES: usize> HeapRing<BYTES> {
    /// Makes a ring of `capacity` slots. Panics unless that is a power of two and at least two.
    pub fn on_heap(capacity: usize) -> Self {
        Self { storage: Heap::new(capacity) }
    }
}

impl<S: Storage> Ring<S> {
    /// How many messages wait to be taken. An estimate while others work, but never more than
    /// [`capacity`](Self::capacity).
    pub fn len(&self) -> usize {
        // The head first: tickets only grow, so the difference cannot fall below zero.
        let head = self.header().head.load(Relaxed);
        let tail = self.header().tail.load(Relaxed) & !queue::CLOSED;
        let len = usize::try_from(tail.saturating_sub(head)).unwrap_or(usize::MAX);
        len.min(self.capacity())
    }

    /// How many slots there are.
    pub fn capacity(&self) -> usize {
        self.storage.slots().len()
    }

    /// Whether no message waits; as much of an estimate as [`len`](Self::len).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether every slot is in use; as much of an estimate as [`len`](Self::len).
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }

    /// How many takers sleep. One that was killed in its sleep is counted for ever, which costs a
    /// superfluous system call at each push and nothing else.
    pub fn sleepers(&self) -> usize {
        self.header().takers.sleepers() as usize
    }

    fn header(&self) -> &Header {
        self.storage.header()
    }
}

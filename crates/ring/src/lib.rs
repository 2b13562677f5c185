//! A bounded queue in shared memory: several processes push messages into it, and several take messages out.
//!
//! In pcopy it is the *task ring*: a copier that finds work pushes a task, and a copier without work takes
//! it. Messages are bytes, and only the caller knows their meaning. A *peer* is a process or thread that uses
//! the ring. All peers share the memory, so it must not contain pointers, and any peer may be killed at any
//! instruction. No peer ever repairs a slot (the place of one message). If a peer dies inside a ring, the
//! others [`stop`](Ring::stop) the ring, leave it, and continue with a new one.
//!
//! The ring has the whole interface of a bounded queue. [`try_push`](Ring::try_push) and
//! [`try_take`](Ring::try_take) never wait. [`push_within`](Ring::push_within) and
//! [`take_within`](Ring::take_within) wait up to a limit, and [`take`](Ring::take) waits without a limit. The
//! interface also has [`len`](Ring::len), [`is_full`](Ring::is_full), [`is_empty`](Ring::is_empty) and
//! [`close`](Ring::close). Whether pushers may wait for room is a part of the ring's type ([`Pushers`]),
//! because every take is more expensive if they may. pcopy's own pushers never wait.
//! `examples/bounded_queue.rs` shows a queue in use.
//!
//! The rest of this page argues that the ring is correct. The tests in `tests/` try to refute the argument:
//! with a `VecDeque` as a model, with garbage in every word, with threads, under Miri, and under loom, which
//! runs the steps of small scenarios in every order:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --release -p pcopy-ring --lib
//! cargo +nightly miri test -p pcopy-ring --lib
//! ```
//!
//! # Which peer may access a slot
//!
//! A push draws a ticket 0, 1, 2, … from `tail`, and a take draws one from `head`. Both use compare-and-swap,
//! so each ticket has exactly one pusher and one taker. Ticket `t` belongs to slot `t % capacity`, in lap
//! `t / capacity`. The slot's `turn` says which peer may access its message:
//!
//! | `turn`            | which peer may access the message                | ends with |
//! |-------------------|--------------------------------------------------|-----------|
//! | `2 * lap`         | the pusher that won the lap's ticket, to write   | READY     |
//! | `2 * lap + 1`     | the taker that won the lap's ticket, to read     | TAKEN     |
//! | `2 * (lap + 1)`   | the next pusher, one lap later                   | …         |
//!
//! READY, TAKEN and the other words in capitals are names of single instructions; a comment in the code marks
//! each of these instructions.
//!
//! A turn counts laps and not tickets. So memory filled with zeros is an empty ring, and a new ring touches
//! only the pages that it uses. A turn only grows. Only the peer that may access the message may advance the
//! turn. Tickets have 63 bits and are never reused. At one ticket per nanosecond they last 292 years, so the
//! code does not handle an overflow. The top bit of `tail` means *closed*.
//!
//! # No message is lost, and none is taken twice
//!
//! * A pusher wins ticket `t` only after it has loaded the turn `2 * lap`, so the taker of the previous lap
//!   has finished. A taker wins `t` only after it has loaded `2 * lap + 1`, so the message is complete. If
//!   another peer wins the ticket first, the compare-and-swap fails, and the loser tries the next ticket.
//! * READY and TAKEN are release stores, and a peer loads the turn with acquire before it tries to win the
//!   ticket. So the turn alone orders the accesses to the message, and the tickets can be relaxed.
//! * Tickets are served in order. A taker whose slot is not ready returns `Empty`, even if later slots are
//!   ready. A pusher whose slot is not free returns `Full`.
//! * *Closed* is a bit of the word that gives out tickets, so a push gets its ticket before the close or not
//!   at all. Therefore a message whose push returned `Ok` will be taken. A taker returns `Closed` only if no
//!   pusher has won the ticket that the taker would take next. While a late pusher is still writing, the
//!   taker returns `Empty`.
//!
//! # The last task to finish closes the ring
//!
//! The word `unfinished` counts the tasks that were pushed and are not done. A push increments it after it
//! has won its ticket and before READY. So no peer can finish a task that is not counted. A push that fails
//! never changes the count, and so cannot reduce it to zero. A peer that pushes is itself doing a task, which
//! stays counted until the peer calls [`task_done`](Ring::task_done). The peer that pushes the first tasks is
//! not doing a task yet; it calls [`task_begun`](Ring::task_begun), which counts one task for this peer.
//!
//! # No wake-up is lost
//!
//! No peer spins. A taker that finds no message first *announces* itself: it loads the word `notified` and
//! then increments `sleepers`. It looks for a message once more, and then sleeps on `notified`. A pusher
//! *publishes* its message (READY), and makes a system call only if `sleepers` is not zero. Each of the two
//! executes a `SeqCst` fence between its own store and its load of what the other has stored:
//!
//! ```text
//! taker:  sleepers += 1;  fence ANNOUNCED;  load the turn;    sleep while `notified` is unchanged
//! pusher: turn = ...;     fence PUBLISHED;  load `sleepers`;  notified += 1;  wake one
//! ```
//!
//! All `SeqCst` fences have one order, and one of these two is first. If ANNOUNCED is first, the pusher sees
//! the sleeper. If PUBLISHED is first, the taker sees the turn. Without the fences each peer could miss the
//! other, because a CPU may perform a load before an earlier store becomes visible. If the notification comes
//! between the taker's last look and its sleep, `notified` has changed. The kernel compares this word once
//! more and does not put the taker to sleep. A taker that loads the new value of `notified` also sees what
//! was published before the notification (NOTIFIED).
//!
//! Two cases need more:
//!
//! * *A taker is woken too early.* Slot 1 is ready, but slot 0 is not. The taker that was woken for slot 1
//!   finds no message and sleeps again. Later the pusher of slot 0 wakes only one taker. So a taker that
//!   announced itself and then got a message wakes the next taker if there is another message.
//! * *The ring is closed too early.* The close wakes all takers. They find that a pusher that got its ticket
//!   before the close is still writing, and sleep again. So a pusher that finds the ring closed after its own
//!   READY wakes all takers again. If another pusher is still writing at that time, this other pusher will
//!   wake all takers later.
//!
//! Close and stop always notify, without a look at `sleepers`.
//!
//! ## Pushers that wait for room
//!
//! For pushers that find the ring full, the same argument holds with the roles exchanged. They sleep on an
//! event count of their own: another pair of `notified` and `sleepers`. A take publishes the free slot
//! (TAKEN), then looks for a pusher to wake. A take does so only in a ring whose pushers may wait
//! ([`MayWait`]). In a ring whose pushers never wait ([`NeverWait`]) no pusher can be asleep, so a take has
//! no peer to wake, and needs neither the fence nor the load. No other argument on this page relies on the
//! fence of a take: pushers, `close` and `stop` publish what takers wait for, and a taker that wakes the next
//! taker executes a fence of its own. One ring never has both kinds of pushers: peers reach a ring only
//! through the value that its constructor returned, and through copies of that value in forked processes.
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
//! | asleep, or woken and not yet back   | superfluous calls (`sleepers` is one too high); if its    |
//! |                                     | wake-up is lost, another sleeper wakes when a nap ends    |
//! | with an unfinished task, before LAST| a ring that never closes                                  |
//! | between LAST and the wake-up        | closed, at the latest when a nap ends                     |
//!
//! (A *nap* is the longest time that a peer sleeps before it looks again.)
//!
//! In no state may a peer access a slot out of turn, because the slot of a dead peer passes to no other peer.
//! At worst the others wait, and [`stop`](Ring::stop) ends every wait: each iteration of each loop checks the
//! *stopped* word (STOPPED) before it looks for a slot, and no sleep is longer than a nap. The loops that
//! draw tickets repeat only if another peer has moved the counter (`head` or `tail`), or if the
//! compare-and-swap has failed spuriously. If the memory contains garbage, a turn may be ahead of its ticket
//! although the counter does not move; then the loops give up with `Empty` or `Full`. An impossible length
//! counts as zero, and an index is masked, so no peer reads outside a slot.
//!
//! # Pairs of memory orderings
//!
//! | release              | acquire                              | what it makes visible             |
//! |----------------------|--------------------------------------|-----------------------------------|
//! | READY                | the turn, in `win_take`              | the message                       |
//! | TAKEN                | the turn, in `win_push`              | that its bytes may be overwritten |
//! | NOTIFIED             | `notified`, in `EventCount::sleep`   | what was published before it      |
//! | LAST                 | `tail`, in `ended_at`, `is_closed`   | what was done before the close    |
//! | STOPPED              | `stopped`, in `is_stopped`           | what was done before the stop     |
//! | PUBLISHED, ANNOUNCED | each other (`SeqCst`)                | see "No wake-up is lost"          |
// Several processes write to the slots, and only unsafe code can do that; `turn` says which process may
// write.
#![allow(unsafe_code)]
// Ignored results are forbidden in the code that moves data; tests may ignore results.
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

/// A bounded queue for many pushers and many takers; see the [crate](self).
pub struct Ring<S: Storage, P: Pushers> {
    storage: S,
    pushers: PhantomData<P>,
}

/// A ring between processes, whose pushers never wait for room. It has 256 slots of 16 KiB in memory that all
/// processes forked later share.
pub type SharedRing = Ring<Mapped, NeverWait>;

/// Like [`SharedRing`], but pushers may wait for room: a bounded queue between processes.
pub type SharedQueue = Ring<Mapped, MayWait>;

/// A ring for the threads of one process, with messages of up to `BYTES` bytes.
pub type HeapRing<const BYTES: usize, P = MayWait> = Ring<Heap<[u8; BYTES]>, P>;

/// Why a message was not pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PushError {
    /// The ring has no free slot now.
    Full,
    /// The ring accepts no more messages: a peer has closed it, or the last task is done.
    Closed,
    /// The ring is stopped: all peers must leave it.
    Stopped,
    /// The message is longer than a slot.
    TooLong,
    /// The limit passed before a slot became free.
    TimedOut,
}

/// Why no message was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TakeError {
    /// The ring has no message that can be taken now.
    Empty,
    /// The ring is closed, and all its messages have been taken.
    Closed,
    /// The ring is stopped: all peers must leave it, even if messages are left.
    Stopped,
    /// The limit passed before a message arrived.
    TimedOut,
}

impl<P: Pushers> Ring<Mapped, P> {
    /// Creates a ring that all processes forked later share.
    pub fn create() -> io::Result<Self> {
        Ok(Self { storage: Mapped::create()?, pushers: PhantomData })
    }
}

impl<const BYTES: usize, P: Pushers> HeapRing<BYTES, P> {
    /// Creates a ring of `capacity` slots. Panics unless `capacity` is a power of two and at least two.
    pub fn on_heap(capacity: usize) -> Self {
        Self { storage: Heap::new(capacity), pushers: PhantomData }
    }
}

impl<S: Storage, P: Pushers> Ring<S, P> {
    /// Returns the number of messages that wait to be taken. While other peers push and take, this is an
    /// estimate, but never more than [`capacity`](Self::capacity).
    pub fn len(&self) -> usize {
        // `head` is loaded before `tail`. Tickets only grow, so the difference cannot be negative.
        let head = self.header().head.load(Relaxed);
        let tail = self.header().tail.load(Relaxed) & !queue::CLOSED;
        let len = usize::try_from(tail.saturating_sub(head)).unwrap_or(usize::MAX);
        len.min(self.capacity())
    }

    /// Returns the number of slots.
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

    /// Returns the number of sleeping takers. A taker that was killed in its sleep stays counted. This costs
    /// one superfluous system call for each push and has no other effect.
    pub fn sleepers(&self) -> usize {
        self.header().takers.sleepers() as usize
    }

    fn header(&self) -> &Header {
        self.storage.header()
    }
}

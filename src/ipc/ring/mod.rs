//! The task ring: how work travels from the copier that finds it to the one that is free.
#![allow(unsafe_code)] // slots are memory that several processes write; `turn` says who may

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
        use std::sync::atomic::Ordering::Relaxed;
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

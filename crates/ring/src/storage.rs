//! The memory of a ring: on the heap, or a mapping that processes share.

use super::event_count::EventCount;
use super::slot::{Payload, Slot};
use super::sync::{AtomicU32, AtomicU64};
use std::ops::Deref;

/// The memory of a ring.
///
/// # Safety
/// Every call returns the same memory, as long as the storage lives; it was all zeros at first (or
/// made by the `new` functions, which is the same), and only rings access it. The number of slots
/// is a power of two and at least two.
pub unsafe trait Storage {
    /// The room for a message in a slot.
    type Payload: Payload;
    /// The words that all peers share.
    fn header(&self) -> &Header;
    /// The slots.
    fn slots(&self) -> &[Slot<Self::Payload>];
}

/// The words that all peers share. Zeros mean: empty, open, no sleepers.
#[repr(C)]
pub struct Header {
    /// The ticket of the next take.
    pub(super) head: CacheLine<AtomicU64>,
    /// The ticket of the next push, and the bit `CLOSED`.
    pub(super) tail: CacheLine<AtomicU64>,
    /// The number of tasks that were pushed or begun and are not done.
    pub(super) unfinished: CacheLine<AtomicU64>,
    /// Not zero: all peers must leave.
    pub(super) stopped: CacheLine<AtomicU32>,
    /// Where takers sleep until there is a message.
    pub(super) takers: CacheLine<EventCount>,
    /// Where pushers sleep until there is room; unused where they never wait.
    pub(super) pushers: CacheLine<EventCount>,
}

/// A word that many peers write, apart from words that others read: two cache lines of 64 bytes,
/// because CPUs prefetch the adjacent line.
#[repr(C, align(128))]
pub(super) struct CacheLine<T>(T);

impl<T> Deref for CacheLine<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Header {
    fn new() -> Self {
        Self {
            head: CacheLine(AtomicU64::new(0)),
            tail: CacheLine(AtomicU64::new(0)),
            unfinished: CacheLine(AtomicU64::new(0)),
            stopped: CacheLine(AtomicU32::new(0)),
            takers: CacheLine(EventCount::new()),
            pushers: CacheLine(EventCount::new()),
        }
    }
}

/// Storage for the threads of one process: tests, model checkers, benchmarks.
pub struct Heap<P> {
    header: Box<Header>,
    slots: Box<[Slot<P>]>,
}

impl<P: Payload> Heap<P> {
    /// Panics unless `capacity` is a power of two and at least two.
    pub(super) fn new(capacity: usize) -> Self {
        assert!(capacity >= 2 && capacity.is_power_of_two(), "not a capacity: {capacity}");
        let slots = (0..capacity).map(|_| Slot::new()).collect();
        Self { header: Box::new(Header::new()), slots }
    }
}

// SAFETY: both boxes belong to `self` and are never replaced; `new` has checked the capacity.
unsafe impl<P: Payload> Storage for Heap<P> {
    type Payload = P;

    fn header(&self) -> &Header {
        &self.header
    }

    fn slots(&self) -> &[Slot<P>] {
        &self.slots
    }
}

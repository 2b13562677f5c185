//! The memory of a ring: on the heap, or in a mapping that processes share.

use super::event_count::EventCount;
use super::slot::{Payload, Slot};
use super::sync::{AtomicU32, AtomicU64};
use std::ops::Deref;

/// The memory of a ring.
///
/// # Safety
/// Every call returns the same memory as long as the storage lives. The memory was all zeros at first (or
/// made by the `new` functions, which is equivalent), and only rings access it. The number of slots is a
/// power of two and at least two.
pub unsafe trait Storage {
    /// The type that holds the bytes of a message in a slot.
    type Payload: Payload;
    /// Returns the words that all peers share.
    fn header(&self) -> &Header;
    /// Returns the slots.
    fn slots(&self) -> &[Slot<Self::Payload>];
}

/// The words that all peers share. All zeros mean an empty, open ring without sleepers.
#[repr(C)]
pub struct Header {
    /// The ticket of the next take.
    pub(super) head: CacheLine<AtomicU64>,
    /// The ticket of the next push, combined with the bit `CLOSED`.
    pub(super) tail: CacheLine<AtomicU64>,
    /// The number of tasks that were pushed or begun and are not done.
    pub(super) unfinished: CacheLine<AtomicU64>,
    /// Not zero if the ring is stopped, so that all peers must leave it.
    pub(super) stopped: CacheLine<AtomicU32>,
    /// The event count on which takers sleep until a message arrives.
    pub(super) takers: CacheLine<EventCount>,
    /// The event count on which pushers sleep until a slot is free. Unused if pushers never wait.
    pub(super) pushers: CacheLine<EventCount>,
}

/// Gives a value cache lines of its own, so that peers that write it do not slow down peers that read other
/// values. It takes two cache lines of 64 bytes, because CPUs also prefetch the adjacent line.
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

/// Memory on the heap, for the threads of one process: tests, model checkers, benchmarks.
pub struct Heap<P> {
    header: Box<Header>,
    slots: Box<[Slot<P>]>,
}

impl<P: Payload> Heap<P> {
    /// Allocates `capacity` slots. Panics unless `capacity` is a power of two and at least two.
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

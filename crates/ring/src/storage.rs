//! Where a ring's memory comes from: a heap slice, or a mapping that processes share.

use super::bell::Bell;
use super::slot::{Room, Slot};
use super::weave::{AtomicU32, AtomicU64};
use std::ops::Deref;

/// The memory of a ring.
///
/// # Safety
/// Every call gives the same memory, as long as the storage lives; it was all zeros at first (or
/// made by the `new` functions, which is the same), and only rings touch it. The number of slots
/// is a power of two, and at least two.
pub unsafe trait Storage {
    /// The room that a slot has for a message.
    type Room: Room;
    /// The words that all peers share.
    fn header(&self) -> &Header;
    /// The places for messages.
    fn slots(&self) -> &[Slot<Self::Room>];
}

/// The words that all peers share. Zeros mean: empty, open, nobody asleep.
#[repr(C)]
pub struct Header {
    /// The ticket of the next take.
    pub(super) head: Line<AtomicU64>,
    /// The ticket of the next push, and `CLOSED`.
    pub(super) tail: Line<AtomicU64>,
    /// Tasks that were pushed or begun and are not done.
    pub(super) unfinished: Line<AtomicU64>,
    /// Not zero: everybody out.
    pub(super) stopped: Line<AtomicU32>,
    /// Where takers wait for a message.
    pub(super) takers: Line<Bell>,
    /// Where pushers wait for room.
    pub(super) pushers: Line<Bell>,
}

/// Something that many write, away from what others read: two cache lines of 64 bytes, because
/// processors fetch the neighbour along.
#[repr(C, align(128))]
pub(super) struct Line<T>(T);

impl<T> Deref for Line<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Header {
    fn new() -> Self {
        Self {
            head: Line(AtomicU64::new(0)),
            tail: Line(AtomicU64::new(0)),
            unfinished: Line(AtomicU64::new(0)),
            stopped: Line(AtomicU32::new(0)),
            takers: Line(Bell::new()),
            pushers: Line(Bell::new()),
        }
    }
}

/// Storage for the threads of one process: tests, the model checkers, benches.
pub struct Heap<R> {
    header: Box<Header>,
    slots: Box<[Slot<R>]>,
}

impl<R: Room> Heap<R> {
    /// Panics unless `capacity` is a power of two and at least two.
    pub(super) fn new(capacity: usize) -> Self {
        assert!(capacity >= 2 && capacity.is_power_of_two(), "not a capacity: {capacity}");
        let slots = (0..capacity).map(|_| Slot::new()).collect();
        Self { header: Box::new(Header::new()), slots }
    }
}

// SAFETY: both boxes are ours and never replaced; `new` has checked the capacity.
unsafe impl<R: Room> Storage for Heap<R> {
    type Room = R;

    fn header(&self) -> &Header {
        &self.header
    }

    fn slots(&self) -> &[Slot<R>] {
        &self.slots
    }
}

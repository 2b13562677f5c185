//! A slot of the ring: the place of one message, and the turn that says which peer may access the message.

use super::sync::{AtomicU64, UnsafeCell};
use std::ptr;

/// One message and its turn, which says which peer may access the message: see the table in the
/// [crate](super).
#[repr(C, align(64))]
pub struct Slot<P> {
    /// Twice the number of the lap while the slot is free, and one more while it holds a message of that lap.
    pub(super) turn: AtomicU64,
    message: UnsafeCell<Message<P>>,
}

/// The contents of a slot. Only the first `len` bytes of `bytes` have a meaning.
#[repr(C)]
struct Message<P> {
    len: u64,
    bytes: P,
}

/// The space for the bytes of a message: an array of bytes.
///
/// # Safety
/// The type is exactly `BYTES` bytes long and has no padding, and any bytes are a valid value of it.
pub unsafe trait Payload {
    /// The length of the longest message, in bytes.
    const BYTES: usize;
    /// A value of `BYTES` zeros.
    const ZEROS: Self;
}

// SAFETY: an array of N bytes is N bytes long, has no padding, and may hold any bytes.
unsafe impl<const N: usize> Payload for [u8; N] {
    const BYTES: usize = N;
    const ZEROS: Self = [0; N];
}

// SAFETY: `turn` lets only one peer at a time access the message, as `write` and `read` demand.
unsafe impl<P: Send> Sync for Slot<P> {}

impl<P: Payload> Slot<P> {
    /// Returns a slot that is free in lap 0. It is all zeros, like new shared memory.
    pub(super) fn new() -> Self {
        let message = Message { len: 0, bytes: P::ZEROS };
        Self { turn: AtomicU64::new(0), message: UnsafeCell::new(message) }
    }

    /// Copies `message` into the slot.
    ///
    /// # Safety
    /// It must be the caller's turn to write, and `message` must be at most `P::BYTES` long.
    pub(super) unsafe fn write(&self, message: &[u8]) {
        debug_assert!(message.len() <= P::BYTES);
        self.message.with_mut(|place| {
            // SAFETY: `place` is valid, and the caller promises that no other peer accesses it. `bytes` has
            // room for `P::BYTES` bytes, and `message` fits. The two do not overlap, because no `&[u8]`
            // points into a slot.
            unsafe {
                (*place).len = message.len() as u64;
                let bytes = (&raw mut (*place).bytes).cast::<u8>();
                ptr::copy_nonoverlapping(message.as_ptr(), bytes, message.len());
            }
        });
    }

    /// Appends the message to `into`. An impossible length counts as zero.
    ///
    /// # Safety
    /// It must be the caller's turn to read.
    pub(super) unsafe fn read(&self, into: &mut Vec<u8>) {
        self.message.with(|place| {
            // SAFETY: `place` is valid, and the caller promises that it was written before and that no other
            // peer accesses it. The read is volatile because a faulty peer may write the length nevertheless:
            // the compiler must not read it again after the check.
            let len = unsafe { (&raw const (*place).len).read_volatile() };
            let len = usize::try_from(len).ok().filter(|&len| len <= P::BYTES).unwrap_or(0);
            into.reserve(len);
            // SAFETY: the slot holds `len` bytes, and `into` has reserved space for `len` bytes after its
            // end. The copy initialises them.
            unsafe {
                let bytes = (&raw const (*place).bytes).cast::<u8>();
                ptr::copy_nonoverlapping(bytes, into.as_mut_ptr().add(into.len()), len);
                into.set_len(into.len() + len);
            }
        });
    }

    /// Overwrites the length of the message, as a faulty peer might.
    #[cfg(all(test, not(loom)))]
    pub(super) fn scribble(&self, len: u64) {
        // SAFETY: only tests call it, while no other thread uses the slot.
        self.message.with_mut(|place| unsafe { (*place).len = len });
    }
}

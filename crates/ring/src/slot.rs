//! A slot of the ring: one message, and the turn that says who may touch it.

use super::sync::{AtomicU64, UnsafeCell};
use std::ptr;

/// One message, and who may touch it: see the table in the [crate](super).
#[repr(C, align(64))]
pub struct Slot<P> {
    /// Twice the lap while the slot is free in that lap, one more while it holds a message.
    pub(super) turn: AtomicU64,
    message: UnsafeCell<Message<P>>,
}

/// What a slot holds. Only the first `len` bytes of `bytes` have a meaning.
#[repr(C)]
struct Message<P> {
    len: u64,
    bytes: P,
}

/// Room for the bytes of a message: an array of bytes.
///
/// # Safety
/// The type is exactly `BYTES` bytes long, without padding, and any bytes are a valid value.
pub unsafe trait Payload {
    /// The longest message, in bytes.
    const BYTES: usize;
    /// `BYTES` zeros.
    const ZEROS: Self;
}

// SAFETY: an array of N bytes is N bytes.
unsafe impl<const N: usize> Payload for [u8; N] {
    const BYTES: usize = N;
    const ZEROS: Self = [0; N];
}

// SAFETY: `turn` lets one peer at a time touch the message, as `write` and `read` demand.
unsafe impl<P: Send> Sync for Slot<P> {}

impl<P: Payload> Slot<P> {
    /// A slot that is free in lap 0: all zeros, like new shared memory.
    pub(super) fn new() -> Self {
        let message = Message { len: 0, bytes: P::ZEROS };
        Self { turn: AtomicU64::new(0), message: UnsafeCell::new(message) }
    }

    /// Copies `message` into the slot.
    ///
    /// # Safety
    /// It is the caller's turn to write, and `message` is at most `P::BYTES` long.
    pub(super) unsafe fn write(&self, message: &[u8]) {
        debug_assert!(message.len() <= P::BYTES);
        self.message.with_mut(|place| {
            // SAFETY: `place` is valid, and the caller promises that no other peer accesses it;
            // `bytes` has room for `P::BYTES` bytes, and `message` fits. They do not overlap: no
            // `&[u8]` points into a slot.
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
    /// It is the caller's turn to read.
    pub(super) unsafe fn read(&self, into: &mut Vec<u8>) {
        self.message.with(|place| {
            // SAFETY: `place` is valid, and the caller promises that it was written before and that
            // no other peer accesses it. Volatile: a faulty peer may write to it all the same, and
            // the length that is checked must be the one that is used.
            let len = unsafe { (&raw const (*place).len).read_volatile() };
            let len = usize::try_from(len).ok().filter(|&len| len <= P::BYTES).unwrap_or(0);
            into.reserve(len);
            // SAFETY: the slot holds `len` bytes, and as many were just reserved after the end of
            // `into`; the copy initialises them.
            unsafe {
                let bytes = (&raw const (*place).bytes).cast::<u8>();
                ptr::copy_nonoverlapping(bytes, into.as_mut_ptr().add(into.len()), len);
                into.set_len(into.len() + len);
            }
        });
    }

    /// Overwrites the length, as a faulty peer might.
    #[cfg(all(test, not(loom)))]
    pub(super) fn scribble(&self, len: u64) {
        // SAFETY: only tests call it, while no other thread uses the slot.
        self.message.with_mut(|place| unsafe { (*place).len = len });
    }
}

//! A place in the ring: one message, and the turn that says whose it is.

use super::weave::{AtomicU64, UnsafeCell};
use std::ptr;

/// One message and who may touch it; the table stands in the [module](super).
#[repr(C, align(64))]
pub struct Slot<R> {
    /// Twice the lap while the slot is free in that lap, one more while it holds a message.
    pub(super) turn: AtomicU64,
    message: UnsafeCell<Message<R>>,
}

/// What a slot carries. Only the first `len` bytes of the room mean anything.
#[repr(C)]
struct Message<R> {
    len: u64,
    room: R,
}

/// Room for the bytes of a message: an array of bytes, and nothing else.
///
/// # Safety
/// The type is exactly `BYTES` bytes, without padding; any bytes will do.
pub unsafe trait Room {
    /// The longest message, in bytes.
    const BYTES: usize;
    /// An empty room.
    const ZEROS: Self;
}

// SAFETY: an array of N bytes is N bytes.
unsafe impl<const N: usize> Room for [u8; N] {
    const BYTES: usize = N;
    const ZEROS: Self = [0; N];
}

// SAFETY: `turn` lets one party at a time touch the message, as `write` and `read` demand.
unsafe impl<R: Send> Sync for Slot<R> {}

impl<R: Room> Slot<R> {
    /// A slot that is free in lap 0: all zeros, like fresh shared memory.
    pub(super) fn new() -> Self {
        let message = Message { len: 0, room: R::ZEROS };
        Self { turn: AtomicU64::new(0), message: UnsafeCell::new(message) }
    }

    /// Copies `message` in, and no byte more.
    ///
    /// # Safety
    /// The turn is the caller's, to write, and `message` is at most `R::BYTES` long.
    pub(super) unsafe fn write(&self, message: &[u8]) {
        debug_assert!(message.len() <= R::BYTES);
        self.message.with_mut(|place| {
            // SAFETY: `place` is valid and, says the caller, ours alone; the room has `R::BYTES`
            // bytes and `message` fits. They do not overlap: nobody has a `&[u8]` into a slot.
            unsafe {
                (*place).len = message.len() as u64;
                let room = (&raw mut (*place).room).cast::<u8>();
                ptr::copy_nonoverlapping(message.as_ptr(), room, message.len());
            }
        });
    }

    /// Appends the message to `into`. Of a length that cannot be, nothing is believed: it counts
    /// as zero.
    ///
    /// # Safety
    /// The turn is the caller's, to read.
    pub(super) unsafe fn read(&self, into: &mut Vec<u8>) {
        self.message.with(|place| {
            // SAFETY: `place` is valid and, says the caller, written before and ours until we
            // give up the turn. Volatile: a peer gone mad may still scribble, and the length that
            // was checked must be the one that is used.
            let len = unsafe { (&raw const (*place).len).read_volatile() };
            let len = usize::try_from(len).ok().filter(|&len| len <= R::BYTES).unwrap_or(0);
            into.reserve(len);
            // SAFETY: `len` bytes lie in the room, and as many were just reserved behind
            // `into`'s end; afterwards they are initialised.
            unsafe {
                let room = (&raw const (*place).room).cast::<u8>();
                ptr::copy_nonoverlapping(room, into.as_mut_ptr().add(into.len()), len);
                into.set_len(into.len() + len);
            }
        });
    }

    /// Makes the length one that cannot be, as a peer gone mad would.
    #[cfg(all(test, not(loom)))]
    pub(super) fn scribble(&self, len: u64) {
        // SAFETY: only tests call it, with nobody else at work.
        self.message.with_mut(|place| unsafe { (*place).len = len });
    }
}

//! The ring's memory if several processes share it. Loom simulates memory of its own, so this module is not
//! compiled under loom.

use super::slot::Slot;
use super::storage::{Header, Storage};
use pcopy_sys::shared_memory::SharedMemory;
use std::io;

/// The length of the longest message of a [`SharedRing`](super::SharedRing), in bytes: a slot has 16 KiB, of
/// which the turn and the length of the message take 16 bytes.
pub const MESSAGE_BYTES_MAX: usize = SLOT_BYTES - 16;

const CAPACITY: usize = 256;
const SLOT_BYTES: usize = 16 * 1024;
/// The header has a page of its own, so the slots, too, begin at page boundaries.
const HEADER_BYTES: usize = 4096;
const BYTES: usize = HEADER_BYTES + CAPACITY * SLOT_BYTES;

type Bytes = [u8; MESSAGE_BYTES_MAX];

// A mask finds the slot of a ticket, so the capacity is a power of two. It is at least two, because
// consecutive tickets must have different slots.
const _: () = assert!(CAPACITY >= 2 && CAPACITY.is_power_of_two());
// The references that `header` and `slots` return do not overlap and lie inside the mapping.
#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Header>() == 6 * 128 && size_of::<Header>() <= HEADER_BYTES);
    assert!(size_of::<Slot<Bytes>>() == SLOT_BYTES);
    assert!(HEADER_BYTES.is_multiple_of(align_of::<Slot<Bytes>>()) && align_of::<Header>() <= 4096);
};

/// Memory that is shared with the processes forked after its creation.
pub struct Mapped {
    memory: SharedMemory,
}

impl Mapped {
    pub(super) fn create() -> io::Result<Self> {
        let memory = SharedMemory::create("pcopy-ring", BYTES)?;
        assert_eq!(memory.len(), BYTES); // `slots` relies on this size
        Ok(Self { memory })
    }
}

// SAFETY: the mapping has the asserted length, is sealed, stays at one address as long as `self` lives, was
// zeroed by the kernel, and can be reached only through this value and its copies in forked processes.
// `Header` and `Slot` consist of atomics and cells, for which any bits are valid; the code that uses a value
// checks it where a wrong value would do harm.
unsafe impl Storage for Mapped {
    type Payload = Bytes;

    fn header(&self) -> &Header {
        // SAFETY: see `unsafe impl Storage`. The mapping begins at a page boundary, so it is aligned.
        unsafe { &*self.memory.as_ptr().cast::<Header>() }
    }

    fn slots(&self) -> &[Slot<Bytes>] {
        // SAFETY: see `unsafe impl Storage`. `BYTES` has room for `CAPACITY` slots after the header's page.
        unsafe {
            let first = self.memory.as_ptr().add(HEADER_BYTES).cast::<Slot<Bytes>>();
            std::slice::from_raw_parts(first, CAPACITY)
        }
    }
}

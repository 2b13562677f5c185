//! Memory that processes share. Loom has its own memory and cannot use this one.

use super::slot::Slot;
use super::storage::{Header, Storage};
use pcopy_sys::shared_memory::SharedMemory;
use std::io;

/// The longest message of a [`SharedRing`](super::SharedRing), in bytes: a slot of 16 KiB less its
/// turn and the length.
pub const MESSAGE_BYTES_MAX: usize = SLOT_BYTES - 16;

const CAPACITY: usize = 256;
const SLOT_BYTES: usize = 16 * 1024;
/// The header has a page of its own, so that slots begin at page boundaries, too.
const HEADER_BYTES: usize = 4096;
const BYTES: usize = HEADER_BYTES + CAPACITY * SLOT_BYTES;

type Bytes = [u8; MESSAGE_BYTES_MAX];

// The slot of a ticket is found with a mask, and is not the slot of the ticket before.
const _: () = assert!(CAPACITY >= 2 && CAPACITY.is_power_of_two());
// What `header` and `slots` return does not overlap and lies inside the mapping.
#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Header>() == 6 * 128 && size_of::<Header>() <= HEADER_BYTES);
    assert!(size_of::<Slot<Bytes>>() == SLOT_BYTES);
    assert!(HEADER_BYTES.is_multiple_of(align_of::<Slot<Bytes>>()) && align_of::<Header>() <= 4096);
};

/// Memory shared with the processes that are forked after its creation.
pub struct Mapped {
    memory: SharedMemory,
}

impl Mapped {
    pub(super) fn create() -> io::Result<Self> {
        let memory = SharedMemory::create("pcopy-ring", BYTES)?;
        assert_eq!(memory.len(), BYTES); // `slots` relies on it
        Ok(Self { memory })
    }
}

// SAFETY: the mapping is as long as asserted, sealed, at one address as long as `self` lives, zeroed
// by the kernel, and reachable only through this value and its copies in forked processes. Both
// types consist of atomics and cells, for which any bits are valid; their meaning is checked
// wherever it matters.
unsafe impl Storage for Mapped {
    type Payload = Bytes;

    fn header(&self) -> &Header {
        // SAFETY: see above; the mapping begins at a page boundary, so it is aligned.
        unsafe { &*self.memory.as_ptr().cast::<Header>() }
    }

    fn slots(&self) -> &[Slot<Bytes>] {
        // SAFETY: see above; `BYTES` has room for `CAPACITY` slots after the header's page.
        unsafe {
            let first = self.memory.as_ptr().add(HEADER_BYTES).cast::<Slot<Bytes>>();
            std::slice::from_raw_parts(first, CAPACITY)
        }
    }
}

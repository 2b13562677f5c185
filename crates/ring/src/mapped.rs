//! Storage that processes share. Loom has its own memory and cannot use it.

use super::slot::Slot;
use super::storage::{Header, Storage};
use pcopy_sys::memory::SharedMemory;
use std::io;

/// What one slot of a [`SharedRing`](super::SharedRing) can carry, in bytes: a slot of 16 KiB
/// less its turn and the length.
pub const MESSAGE_BYTES_MAX: usize = SLOT_BYTES - 16;

const CAPACITY: usize = 256;
const SLOT_BYTES: usize = 16 * 1024;
/// The header has a page, so that slots begin at pages too.
const HEADER_BYTES: usize = 4096;
const BYTES: usize = HEADER_BYTES + CAPACITY * SLOT_BYTES;

type Room = [u8; MESSAGE_BYTES_MAX];

// A lap is a mask, and a slot with its turn is not its own predecessor.
const _: () = assert!(CAPACITY >= 2 && CAPACITY.is_power_of_two());
// The places that `header` and `slots` compute lie apart and inside the mapping.
#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Header>() == 6 * 128 && size_of::<Header>() <= HEADER_BYTES);
    assert!(size_of::<Slot<Room>>() == SLOT_BYTES);
    assert!(HEADER_BYTES.is_multiple_of(align_of::<Slot<Room>>()) && align_of::<Header>() <= 4096);
};

/// Memory shared with the processes that are forked after it was made.
pub struct Mapped {
    memory: SharedMemory,
}

impl Mapped {
    pub(super) fn create() -> io::Result<Self> {
        let memory = SharedMemory::create("pcopy-ring", BYTES)?;
        assert_eq!(memory.len(), BYTES); // the places below are computed from it
        Ok(Self { memory })
    }
}

// SAFETY: the mapping is as long as asserted, sealed, at one place as long as `self` lives, zeroed
// by the kernel, and known to nobody but this and the forked copies of it. Both types are atomics
// and cells, for which any bits will do; what they mean is checked wherever it matters.
unsafe impl Storage for Mapped {
    type Room = Room;

    fn header(&self) -> &Header {
        // SAFETY: see above; the mapping begins at a page, so it is aligned.
        unsafe { &*self.memory.as_ptr().cast::<Header>() }
    }

    fn slots(&self) -> &[Slot<Room>] {
        // SAFETY: see above; `BYTES` has room for `CAPACITY` slots behind the header's page.
        unsafe {
            let first = self.memory.as_ptr().add(HEADER_BYTES).cast::<Slot<Room>>();
            std::slice::from_raw_parts(first, CAPACITY)
        }
    }
}

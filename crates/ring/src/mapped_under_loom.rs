//! The substitute for `mapped.rs` under loom, whose atomics cannot lie in a mapping: the rest of the
//! crate compiles with it, and no value of it can exist.

use super::slot::Slot;
use super::storage::{Header, Storage};
use std::io;

/// As in `mapped.rs`.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 - 16;

/// A type without values.
pub enum Mapped {}

impl Mapped {
    pub(super) fn create() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

// SAFETY: there is no value to call these on.
unsafe impl Storage for Mapped {
    type Payload = [u8; MESSAGE_BYTES_MAX];

    fn header(&self) -> &Header {
        match *self {}
    }

    fn slots(&self) -> &[Slot<Self::Payload>] {
        match *self {}
    }
}

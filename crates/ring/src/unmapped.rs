//! What stands in for `mapped.rs` under loom, whose atomics cannot lie in a mapping: it lets the
//! rest of the crate compile, and nobody can have one.

use super::slot::Slot;
use super::storage::{Header, Storage};
use std::io;

/// As in the program.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 - 16;

/// Does not exist.
pub enum Mapped {}

impl Mapped {
    pub(super) fn create() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

// SAFETY: there is never a value to call these on.
unsafe impl Storage for Mapped {
    type Room = [u8; MESSAGE_BYTES_MAX];

    fn header(&self) -> &Header {
        match *self {}
    }

    fn slots(&self) -> &[Slot<Self::Room>] {
        match *self {}
    }
}

//! The substitute for `mapped.rs` under loom, whose atomics cannot be in a mapping. It lets the rest of the
//! crate compile, but no value of [`Mapped`] can exist.

use super::slot::Slot;
use super::storage::{Header, Storage};
use std::io;

/// The same value as in `mapped.rs`.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 - 16;

/// A type without values.
pub enum Mapped {}

impl Mapped {
    pub(super) fn create() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

// SAFETY: the type has no values, so these functions can never be called.
unsafe impl Storage for Mapped {
    type Payload = [u8; MESSAGE_BYTES_MAX];

    fn header(&self) -> &Header {
        match *self {}
    }

    fn slots(&self) -> &[Slot<Self::Payload>] {
        match *self {}
    }
}

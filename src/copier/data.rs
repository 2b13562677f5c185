//! The bytes of a file, from one open file to another.
//!
//! Ranges of large files, clones and holes get their own ways here.

use crate::ipc::report::{Fault, Step};
use crate::sys::file;
use std::os::fd::BorrowedFd;

/// How much is read and written at a time.
///
/// The whole of a small file, so that it takes one read and one write; of a large one as much as
/// stays in the processor's cache between the two.
pub(super) const BUFFER_BYTES: usize = 256 * 1024;

/// Why the bytes did not arrive in full.
pub(super) enum Unfinished {
    /// Something failed.
    Fault(Fault),
    /// The run is ending: the file in hand is to be dropped.
    Dropped,
    /// Another name of the same file is copied; this one becomes a link to it at the end.
    Deferred,
}

impl From<Fault> for Unfinished {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Copies `size` bytes, or to the end where the source has fewer or does not know its size.
///
/// `written` is told of each piece, and may end the copying. Returns how many bytes were copied.
pub(super) fn copy(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    size: u64,
    buffer: &mut [u8],
    mut written: impl FnMut(u64) -> Result<(), Unfinished>,
) -> Result<u64, Unfinished> {
    let mut total = 0;
    loop {
        let length = match size {
            0 => buffer.len(), // files in /proc have no size and yet contents
            _ => usize::try_from(size - total).map_or(buffer.len(), |left| left.min(buffer.len())),
        };
        let length = file::read(source, &mut buffer[..length]).map_err(Step::Read.fault())?;
        if length == 0 {
            return Ok(total);
        }
        file::write_all(target, &buffer[..length]).map_err(Step::Write.fault())?;
        total += length as u64;
        written(length as u64)?;
        if total == size {
            return Ok(total); // no read only to be told that this is the end
        }
    }
}

//! Reading, writing, flushing and closing open files.

use crate::{Errno, Result, retry};
use nix::unistd;
use std::os::fd::{AsFd, OwnedFd};

/// Flushes an open file or directory to stable storage: fsync(2).
pub fn sync(file: impl AsFd) -> Result<()> {
    retry(|| unistd::fsync(file.as_fd()))
}

/// Reads up to `buffer.len()` bytes; 0 at the end.
pub fn read(file: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    retry(|| unistd::read(file.as_fd(), buffer))
}

/// Writes all of `bytes`; a write of 0 bytes counts as `EIO`.
pub fn write_all(file: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match write(&file, bytes)? {
            0 => return Err(Errno::EIO),
            written => bytes = &bytes[written..],
        }
    }
    Ok(())
}

/// Writes some of `bytes`, and returns how many.
pub fn write(file: impl AsFd, bytes: &[u8]) -> Result<usize> {
    retry(|| unistd::write(file.as_fd(), bytes))
}

/// Closes a descriptor and returns the kernel's error: a full network file system may report it only
/// here.
pub fn close(file: OwnedFd) -> Result<()> {
    match unistd::close(file) {
        // Linux has closed it all the same; a second close could hit another file with its number.
        Err(Errno::EINTR) => Ok(()),
        result => result,
    }
}

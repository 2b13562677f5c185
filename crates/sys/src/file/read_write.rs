//! Reads, writes, flushes and closes open files.

use crate::{Errno, Result, retry};
use nix::unistd;
use std::os::fd::{AsFd, OwnedFd};

/// Flushes an open file or directory to stable storage: fsync(2).
pub fn sync(file: impl AsFd) -> Result<()> {
    retry(|| unistd::fsync(file.as_fd()))
}

/// Reads up to `buffer.len()` bytes. Returns 0 at the end of the file.
pub fn read(file: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    retry(|| unistd::read(file.as_fd(), buffer))
}

/// Writes all of `bytes`. If the kernel writes 0 bytes, fails with `EIO`.
pub fn write_all(file: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match write(&file, bytes)? {
            0 => return Err(Errno::EIO),
            written => bytes = &bytes[written..],
        }
    }
    Ok(())
}

/// Writes some of `bytes`, and returns how many bytes it has written.
pub fn write(file: impl AsFd, bytes: &[u8]) -> Result<usize> {
    retry(|| unistd::write(file.as_fd(), bytes))
}

/// Closes a descriptor and returns the kernel's error, because a full network file system may report its
/// error only here.
pub fn close(file: OwnedFd) -> Result<()> {
    match unistd::close(file) {
        // Linux has closed the descriptor nevertheless. A second close could close another file that has the
        // same number.
        Err(Errno::EINTR) => Ok(()),
        result => result,
    }
}

//! Reading, writing, flushing and closing open files.

use crate::{Errno, Result, retry};
use nix::unistd;
use std::os::fd::{AsFd, OwnedFd};

/// Waits until the disk has all of an open file, or directory, that was written until now.
pub fn sync(file: impl AsFd) -> Result<()> {
    retry(|| unistd::fsync(file.as_fd()))
}

/// Reads up to `buffer.len()` bytes; 0 at the end.
pub fn read(file: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    retry(|| unistd::read(file.as_fd(), buffer))
}

/// Writes all of `bytes`; a write of nothing counts as an I/O error.
pub fn write_all(file: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match write(&file, bytes)? {
            0 => return Err(Errno::EIO),
            written => bytes = &bytes[written..],
        }
    }
    Ok(())
}

/// Writes some of `bytes` and says how many.
pub fn write(file: impl AsFd, bytes: &[u8]) -> Result<usize> {
    retry(|| unistd::write(file.as_fd(), bytes))
}

/// Closes a descriptor and tells what the kernel says: a full network disk may say it only here.
pub fn close(file: OwnedFd) -> Result<()> {
    match unistd::close(file) {
        // Linux has closed it all the same; to close again would hit somebody else's number.
        Err(Errno::EINTR) => Ok(()),
        result => result,
    }
}

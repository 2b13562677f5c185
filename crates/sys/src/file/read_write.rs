//! Reads, writes, flushes and closes open files.

use crate::poll::{self, Readiness};
use crate::{Errno, Result, retry};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// How long one wait for the reader of a nonblocking file lasts at most.
const WAIT: Duration = Duration::from_secs(1);

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

/// Like [`write_all`], but waits for the reader if another program has made the open file nonblocking
/// (`O_NONBLOCK`).
pub fn write_all_waiting(file: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match write(&file, bytes) {
            Ok(0) => return Err(Errno::EIO),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EAGAIN) if is_nonblocking(&file)? => {
                poll::wait(&[(file.as_fd(), Readiness::Writable)], WAIT)?;
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn is_nonblocking(file: impl AsFd) -> Result<bool> {
    let flags = fcntl(file.as_fd(), FcntlArg::F_GETFL)?;
    Ok(OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK))
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

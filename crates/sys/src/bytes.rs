//! The bytes of open files where reading and writing is not all: clones, holes, ends.
//!
//! Every open file has a position, where the next byte is read or written. Whatever copies bytes
//! here moves the positions of both files, so one way can go on where another ended.

use super::{Errno, Result, retry};
use nix::fcntl::{self, PosixFadviseAdvice};
use nix::sys::uio;
use nix::unistd::{self, Whence};
use std::os::fd::{AsFd, AsRawFd};

/// Makes `target`, which is empty, share all the bytes that `source` has at this moment.
///
/// The positions stay. Linux before 6.13 says nothing when xfs ends it early: look at the size.
pub fn clone_all(source: impl AsFd, target: impl AsFd) -> Result<()> {
    let (source, target) = (source.as_fd().as_raw_fd(), target.as_fd().as_raw_fd());
    // SAFETY: FICLONE takes a number, and both descriptors are open as long as they are borrowed.
    retry(|| Errno::result(unsafe { libc::ioctl(target, libc::FICLONE, source) }).map(drop))
}

/// Has the memory forget what it holds of a file and the disk has, too: the next read asks the disk.
pub fn forget(file: impl AsFd) -> Result<()> {
    retry(|| fcntl::posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED))
}

/// Has the kernel copy up to `bytes` bytes from position to position; says how many it did.
///
/// Nothing copied does not mean that the source is at its end: some file systems say it of files
/// that are made when they are read.
pub fn copy_range(source: impl AsFd, target: impl AsFd, bytes: usize) -> Result<usize> {
    let (source, target) = (source.as_fd().as_raw_fd(), target.as_fd().as_raw_fd());
    let here = std::ptr::null_mut;
    // SAFETY: no offsets are given, so the kernel writes to none, and both descriptors are open as
    // long as they are borrowed.
    let copy = || unsafe { libc::copy_file_range(source, here(), target, here(), bytes, 0) };
    retry(|| Errno::result(copy())).map(isize::unsigned_abs)
}

/// The same at a place of its own, the same one in both files; their positions stay.
pub fn copy_range_at(source: impl AsFd, target: impl AsFd, at: u64, bytes: usize) -> Result<usize> {
    let (source, target) = (source.as_fd().as_raw_fd(), target.as_fd().as_raw_fd());
    let offset = libc::off_t::try_from(at).map_err(|_| Errno::EFBIG)?;
    let copy = || {
        let (mut from, mut to) = (offset, offset);
        // SAFETY: both offsets live until the call returns, and both descriptors are open as long
        // as they are borrowed.
        unsafe { libc::copy_file_range(source, &raw mut from, target, &raw mut to, bytes, 0) }
    };
    retry(|| Errno::result(copy())).map(isize::unsigned_abs)
}

/// Reads up to `buffer.len()` bytes from a place in the file; 0 at its end. The position stays.
pub fn read_at(file: impl AsFd, buffer: &mut [u8], at: u64) -> Result<usize> {
    let offset = libc::off_t::try_from(at).map_err(|_| Errno::EOVERFLOW)?;
    retry(|| uio::pread(file.as_fd(), buffer, offset))
}

/// Writes all of `bytes` to a place in the file; a write of nothing counts as an I/O error. The
/// position stays.
pub fn write_all_at(file: impl AsFd, mut bytes: &[u8], mut at: u64) -> Result<()> {
    while !bytes.is_empty() {
        let offset = libc::off_t::try_from(at).map_err(|_| Errno::EFBIG)?;
        match retry(|| uio::pwrite(file.as_fd(), bytes, offset))? {
            0 => return Err(Errno::EIO),
            written => {
                bytes = &bytes[written..];
                at += written as u64;
            }
        }
    }
    Ok(())
}

/// Where the next data begins, at `from` or behind it; `ENXIO` if there is only a hole to the end.
pub fn next_data(file: impl AsFd, from: u64) -> Result<u64> {
    seek(file, from, Whence::SeekData)
}

/// Where the next hole begins, at `from` or behind it. There is one at the end of every file.
pub fn next_hole(file: impl AsFd, from: u64) -> Result<u64> {
    seek(file, from, Whence::SeekHole)
}

/// Goes to a position, which may lie behind the end.
pub fn go_to(file: impl AsFd, position: u64) -> Result<()> {
    seek(file, position, Whence::SeekSet).map(drop)
}

/// Gives a file its size: what is behind it goes, what was not there becomes a hole.
pub fn set_size(file: impl AsFd, bytes: u64) -> Result<()> {
    let bytes = libc::off_t::try_from(bytes).map_err(|_| Errno::EFBIG)?;
    retry(|| unistd::ftruncate(file.as_fd(), bytes))
}

fn seek(file: impl AsFd, position: u64, whence: Whence) -> Result<u64> {
    let position = libc::off_t::try_from(position).map_err(|_| Errno::EOVERFLOW)?;
    let found = retry(|| unistd::lseek(&file, position, whence))?;
    u64::try_from(found).map_err(|_| Errno::EOVERFLOW)
}

//! The data of open files beyond plain reads and writes: reflinks, copies in the kernel, holes, sizes.
//!
//! Every open file has an offset, where the next byte is read or written. [`copy_range`] advances
//! the offsets of both files, so another way to copy can continue where it ended.

use super::{Errno, Result, retry};
use nix::fcntl::{self, PosixFadviseAdvice};
use nix::sys::uio;
use nix::unistd::{self, Whence};
use std::os::fd::{AsFd, AsRawFd};

/// Makes `target`, which is empty, a reflink of `source`: both share all data that `source` has now.
///
/// The offsets do not move. Before Linux 6.13 an xfs that shares only a part reports no error, so the
/// caller must check the size.
pub fn clone_all(source: impl AsFd, target: impl AsFd) -> Result<()> {
    let (source, target) = (source.as_fd().as_raw_fd(), target.as_fd().as_raw_fd());
    // SAFETY: FICLONE takes a number, and both descriptors are open as long as they are borrowed.
    retry(|| Errno::result(unsafe { libc::ioctl(target, libc::FICLONE, source) }).map(drop))
}

/// Drops the clean pages of a file from the page cache: the next read goes to the disk.
pub fn drop_from_cache(file: impl AsFd) -> Result<()> {
    retry(|| fcntl::posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED))
}

/// Has the kernel copy up to `bytes` bytes from offset to offset; returns the number copied.
///
/// 0 does not mean that the source is at its end: some file systems return it for files whose content
/// is generated when they are read.
pub fn copy_range(source: impl AsFd, target: impl AsFd, bytes: usize) -> Result<usize> {
    let (source, target) = (source.as_fd().as_raw_fd(), target.as_fd().as_raw_fd());
    let no_offset = std::ptr::null_mut;
    // SAFETY: the offset pointers are null, so the kernel writes to neither, and both descriptors are
    // open as long as they are borrowed.
    let copy =
        || unsafe { libc::copy_file_range(source, no_offset(), target, no_offset(), bytes, 0) };
    retry(|| Errno::result(copy())).map(isize::unsigned_abs)
}

/// The same at the offset `at` of both files; the files' own offsets do not move.
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

/// Reads up to `buffer.len()` bytes at the offset `at`; 0 at the end. The file's own offset does not
/// move.
pub fn read_at(file: impl AsFd, buffer: &mut [u8], at: u64) -> Result<usize> {
    let offset = libc::off_t::try_from(at).map_err(|_| Errno::EOVERFLOW)?;
    retry(|| uio::pread(file.as_fd(), buffer, offset))
}

/// Writes all of `bytes` at the offset `at`; a write of 0 bytes counts as `EIO`. The file's own offset
/// does not move.
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

/// The offset of the next data at or after `from`; `ENXIO` if there is only a hole up to the end.
pub fn next_data(file: impl AsFd, from: u64) -> Result<u64> {
    seek(file, from, Whence::SeekData)
}

/// The offset of the next hole at or after `from`. Every file has one at its end.
pub fn next_hole(file: impl AsFd, from: u64) -> Result<u64> {
    seek(file, from, Whence::SeekHole)
}

/// Sets the offset, which may lie beyond the end.
pub fn seek_to(file: impl AsFd, offset: u64) -> Result<()> {
    seek(file, offset, Whence::SeekSet).map(drop)
}

/// Sets the size of a file: data beyond it is cut off, and an extension is a hole.
pub fn set_size(file: impl AsFd, bytes: u64) -> Result<()> {
    let bytes = libc::off_t::try_from(bytes).map_err(|_| Errno::EFBIG)?;
    retry(|| unistd::ftruncate(file.as_fd(), bytes))
}

fn seek(file: impl AsFd, offset: u64, whence: Whence) -> Result<u64> {
    let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
    let found = retry(|| unistd::lseek(&file, offset, whence))?;
    u64::try_from(found).map_err(|_| Errno::EOVERFLOW)
}

pub use self::drop_from_cache as forget; // old path, removed with the renaming
pub use self::seek_to as go_to; // old path, removed with the renaming

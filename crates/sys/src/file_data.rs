//! Operations on the data of open files beyond plain reads and writes: reflinks, copies in the kernel, holes,
//! sizes.
//!
//! Every open file has an offset, the position at which the next byte is read or written. [`copy_range`]
//! advances the offsets of both files. So if a call copies only a part, reads and writes can continue at the
//! same position.

use super::{Errno, Result, retry};
use nix::fcntl::{self, PosixFadviseAdvice};
use nix::sys::uio;
use nix::unistd::{self, Whence};
use std::os::fd::{AsFd, AsRawFd};

/// Makes the empty file `target` a reflink of `source`: both files then share the data that `source` has now.
///
/// The offsets do not change. Before Linux 6.13, xfs reports no error if it shares only a part of the data,
/// so the caller must check the size.
pub fn clone_all(source: impl AsFd, target: impl AsFd) -> Result<()> {
    let (source, target) = (source.as_fd().as_raw_fd(), target.as_fd().as_raw_fd());
    // SAFETY: FICLONE takes a number, and both descriptors are open as long as they are borrowed.
    retry(|| Errno::result(unsafe { libc::ioctl(target, libc::FICLONE, source) }).map(drop))
}

/// Drops the clean pages of a file from the page cache, so that the next read comes from the disk.
pub fn drop_from_cache(file: impl AsFd) -> Result<()> {
    retry(|| fcntl::posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED))
}

/// Copies up to `bytes` bytes in the kernel, from the offset of `source` to the offset of `target`. Returns
/// the number of bytes copied.
///
/// A result of 0 does not mean that the source is at its end: some file systems return 0 for files whose
/// content is generated when they are read.
pub fn copy_range(source: impl AsFd, target: impl AsFd, bytes: usize) -> Result<usize> {
    let (source, target) = (source.as_fd().as_raw_fd(), target.as_fd().as_raw_fd());
    let no_offset = std::ptr::null_mut;
    // SAFETY: the offset pointers are null, so the kernel writes to neither, and both descriptors are
    // open as long as they are borrowed.
    let copy =
        || unsafe { libc::copy_file_range(source, no_offset(), target, no_offset(), bytes, 0) };
    retry(|| Errno::result(copy())).map(isize::unsigned_abs)
}

/// Like [`copy_range`], but copies from and to the offset `at` of both files. The files' own offsets do not
/// change.
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

/// Reads up to `buffer.len()` bytes at the offset `at`. Returns 0 at the end of the file. The file's own
/// offset does not change.
pub fn read_at(file: impl AsFd, buffer: &mut [u8], at: u64) -> Result<usize> {
    let offset = libc::off_t::try_from(at).map_err(|_| Errno::EOVERFLOW)?;
    retry(|| uio::pread(file.as_fd(), buffer, offset))
}

/// Writes all of `bytes` at the offset `at`. If the kernel writes 0 bytes, fails with `EIO`. The file's own
/// offset does not change.
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

/// Returns the offset of the next data at or after `from`. Fails with `ENXIO` if only a hole follows up to
/// the end.
pub fn next_data(file: impl AsFd, from: u64) -> Result<u64> {
    seek(file, from, Whence::SeekData)
}

/// Returns the offset of the next hole at or after `from`. Every file has a hole at its end.
pub fn next_hole(file: impl AsFd, from: u64) -> Result<u64> {
    seek(file, from, Whence::SeekHole)
}

/// Sets the file's offset, which may be beyond the end.
pub fn seek_to(file: impl AsFd, offset: u64) -> Result<()> {
    seek(file, offset, Whence::SeekSet).map(drop)
}

/// Sets the size of a file. Data beyond the new size is cut off; if the file grows, the new part is a hole.
pub fn set_size(file: impl AsFd, bytes: u64) -> Result<()> {
    let bytes = libc::off_t::try_from(bytes).map_err(|_| Errno::EFBIG)?;
    retry(|| unistd::ftruncate(file.as_fd(), bytes))
}

fn seek(file: impl AsFd, offset: u64, whence: Whence) -> Result<u64> {
    let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
    let found = retry(|| unistd::lseek(&file, offset, whence))?;
    u64::try_from(found).map_err(|_| Errno::EOVERFLOW)
}

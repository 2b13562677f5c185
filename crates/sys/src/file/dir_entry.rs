//! Directory entries: create, link, rename and remove.

use super::stat::{Stat, stat_at};
use crate::{Errno, Result, retry};
use nix::fcntl::{self, AtFlags};
use nix::sys::stat::{self, Mode, SFlag};
use nix::unistd::{self, UnlinkatFlags};
use std::ffi::{CStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

/// Creates a directory.
pub fn make_dir(dir: impl AsFd, name: &CStr, permissions: u32) -> Result<()> {
    retry(|| stat::mkdirat(&dir, name, Mode::from_bits_truncate(permissions)))
}

/// Creates a directory at the user's `path`; symlinks before its last component are followed.
pub fn make_dir_at_path(path: &Path, permissions: u32) -> Result<()> {
    retry(|| stat::mkdirat(fcntl::AT_FDCWD, path, Mode::from_bits_truncate(permissions)))
}

/// Creates a FIFO, a socket or a device file of the type and device of `like`.
pub fn make_node(dir: impl AsFd, name: &CStr, like: &Stat, permissions: u32) -> Result<()> {
    let kind = SFlag::from_bits_truncate(like.type_bits());
    retry(|| stat::mknodat(&dir, name, kind, Mode::from_bits_truncate(permissions), like.device()))
}

/// Creates a symlink with the target `text`.
pub fn make_symlink(text: &CStr, dir: impl AsFd, name: &CStr) -> Result<()> {
    retry(|| unistd::symlinkat(text, &dir, name))
}

/// The target of a symlink.
pub fn read_symlink(dir: impl AsFd, name: &CStr) -> Result<OsString> {
    retry(|| fcntl::readlinkat(&dir, name))
}

/// Removes an entry that is not a directory.
pub fn unlink(dir: impl AsFd, name: &CStr) -> Result<()> {
    retry(|| unistd::unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir))
}

/// Removes an empty directory.
pub fn remove_dir(dir: impl AsFd, name: &CStr) -> Result<()> {
    retry(|| unistd::unlinkat(&dir, name, UnlinkatFlags::RemoveDir))
}

/// Creates a hard link to a file that is not a directory; `EEXIST` if the name `second` exists. Of a
/// symlink, to itself unless `follow`.
pub fn link(
    from: BorrowedFd<'_>,
    name: &CStr,
    to: BorrowedFd<'_>,
    second: &CStr,
    follow: bool,
) -> Result<()> {
    let flags = if follow { AtFlags::AT_SYMLINK_FOLLOW } else { AtFlags::empty() };
    retry(|| unistd::linkat(from, name, to, second, flags))
}

/// Renames within one directory; replaces a file that has the new name.
pub fn rename(dir: impl AsFd, from: &CStr, to: &CStr) -> Result<()> {
    retry(|| fcntl::renameat(dir.as_fd(), from, dir.as_fd(), to))
}

/// Renames within one directory; `EEXIST` if the new name exists.
pub fn rename_noreplace(dir: BorrowedFd<'_>, from: &CStr, to: &CStr) -> Result<()> {
    move_noreplace(dir, from, dir, to)
}

/// Moves `name` to another directory of the file system; `EEXIST` if the new name exists.
pub fn move_noreplace(
    from: BorrowedFd<'_>,
    name: &CStr,
    to: BorrowedFd<'_>,
    new: &CStr,
) -> Result<()> {
    // SAFETY: both names are NUL-terminated strings that outlive the call.
    let rename = || unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            from.as_raw_fd(),
            name.as_ptr(),
            to.as_raw_fd(),
            new.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    match retry(|| Errno::result(rename())) {
        // A file system without the flag, as some FUSE and network ones: look, then rename.
        Err(Errno::EINVAL | Errno::ENOSYS) => match stat_at(to, new) {
            Err(Errno::ENOENT) => retry(|| fcntl::renameat(from, name, to, new)),
            Ok(_) => Err(Errno::EEXIST),
            Err(errno) => Err(errno),
        },
        result => result.map(drop),
    }
}

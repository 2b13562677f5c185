//! Creates, links, renames and removes directory entries.

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

/// Creates a directory at the user's `path`. Follows symlinks before the last component.
pub fn make_dir_at_path(path: &Path, permissions: u32) -> Result<()> {
    retry(|| stat::mkdirat(fcntl::AT_FDCWD, path, Mode::from_bits_truncate(permissions)))
}

/// Creates a FIFO, a socket or a device file with the type and the device number of `like`.
pub fn make_node(dir: impl AsFd, name: &CStr, like: &Stat, permissions: u32) -> Result<()> {
    let kind = SFlag::from_bits_truncate(like.type_bits());
    retry(|| stat::mknodat(&dir, name, kind, Mode::from_bits_truncate(permissions), like.device()))
}

/// Creates a symlink with the target `text`.
pub fn make_symlink(text: &CStr, dir: impl AsFd, name: &CStr) -> Result<()> {
    retry(|| unistd::symlinkat(text, &dir, name))
}

/// Returns the target of a symlink.
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

/// Creates the hard link `second` to the file `name`, which is not a directory. Fails with `EEXIST` if
/// `second` exists. If `name` is a symlink, links to the symlink itself, or with `follow` to the file that it
/// points to.
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

/// Renames an entry within one directory. Replaces a file that has the new name.
pub fn rename(dir: impl AsFd, from: &CStr, to: &CStr) -> Result<()> {
    retry(|| fcntl::renameat(dir.as_fd(), from, dir.as_fd(), to))
}

/// Renames an entry within one directory. Fails with `EEXIST` if the new name exists.
pub fn rename_noreplace(dir: BorrowedFd<'_>, from: &CStr, to: &CStr) -> Result<()> {
    move_noreplace(dir, from, dir, to)
}

/// Moves the entry `name` to another directory of the same file system. Fails with `EEXIST` if `new` exists
/// there.
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
        // Some FUSE and network file systems do not support the flag. Then the name is checked before a plain
        // rename.
        Err(Errno::EINVAL | Errno::ENOSYS) => match stat_at(to, new) {
            Err(Errno::ENOENT) => retry(|| fcntl::renameat(from, name, to, new)),
            Ok(_) => Err(Errno::EEXIST),
            Err(errno) => Err(errno),
        },
        result => result.map(drop),
    }
}

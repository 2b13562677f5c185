//! Opening and creating files and directories, and closing them.

use crate::{Errno, Result, retry};
use nix::fcntl::{self, OFlag};
use nix::sys::stat::Mode;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Opens a directory that the user named, to reach what is in it; this one call follows symlinks.
///
/// A directory that may be passed through but not read (`0711`) is opened as a path only, which is
/// enough for all but listing and locking it.
pub fn open_dir(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let open = |flags| retry(|| fcntl::open(path, flags, Mode::empty()));
    match open(OFlag::O_RDONLY | flags) {
        Err(Errno::EACCES) => open(OFlag::O_PATH | flags),
        result => result,
    }
}

/// Opens the directory `name` in `dir`; a symlink is `ENOTDIR`.
pub fn open_dir_at(dir: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    retry(|| fcntl::openat(&dir, name, DIR_FLAGS, Mode::empty()))
}

pub(super) const DIR_FLAGS: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Opens the parent of an open directory.
pub fn open_parent(dir: impl AsFd) -> Result<OwnedFd> {
    retry(|| fcntl::openat(&dir, c"..", DIR_FLAGS, Mode::empty()))
}

/// Opens a source file for reading.
///
/// Follows a symlink only if `follow`, never waits for the other end of a FIFO, never takes a
/// terminal.
pub fn open_source(dir: impl AsFd, name: &CStr, follow: bool) -> Result<OwnedFd> {
    let nofollow = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    open_to_read(dir, name, nofollow)
}

fn open_to_read(dir: impl AsFd, name: &CStr, more: OFlag) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    retry(|| fcntl::openat(&dir, name, flags | more, Mode::empty()))
}

/// Opens a file to read it without leaving a time of access, if we may: it must be our own.
///
/// Never follows a symlink, never waits for the other end of a FIFO.
pub fn open_noatime(dir: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    match open_to_read(&dir, name, OFlag::O_NOFOLLOW | OFlag::O_NOATIME) {
        Err(Errno::EPERM) => open_to_read(&dir, name, OFlag::O_NOFOLLOW),
        result => result,
    }
}

/// Opens a source to read it whatever it is: a FIFO waits for its writer, a terminal for its user.
pub fn open_stream(dir: impl AsFd, name: &CStr, follow: bool) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let nofollow = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    retry(|| fcntl::openat(&dir, name, flags | nofollow, Mode::empty()))
}

/// Opens a file that is there for writing, and cuts nothing off; a symlink is followed only if
/// `follow`, and is `ELOOP` otherwise.
pub fn open_target(dir: impl AsFd, name: &CStr, follow: bool) -> Result<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let nofollow = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    retry(|| fcntl::openat(&dir, name, flags | nofollow, Mode::empty()))
}

/// Opens a file that another copier writes, to write in it, too. Never waits: what has the name by now
/// may be a FIFO.
pub fn open_shared_target(dir: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlag::O_WRONLY
        | OFlag::O_NOCTTY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_CLOEXEC;
    retry(|| fcntl::openat(&dir, name, flags, Mode::empty()))
}

/// Creates the file that the symlink `name` leads to, open for writing.
pub fn create_through_symlink(dir: impl AsFd, name: &CStr, permissions: u32) -> Result<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    retry(|| fcntl::openat(&dir, name, flags, Mode::from_bits_truncate(permissions)))
}

/// Opens what has the user's `path` for writing and cuts nothing off; symlinks are followed.
pub fn open_to_write(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    retry(|| fcntl::open(path, flags, Mode::empty()))
}

/// Creates a file that must not exist, open for writing.
pub fn create_file(dir: impl AsFd, name: &CStr, permissions: u32) -> Result<OwnedFd> {
    let flags = OFlag::O_WRONLY
        | OFlag::O_CREAT
        | OFlag::O_EXCL
        | OFlag::O_NOFOLLOW
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    retry(|| fcntl::openat(&dir, name, flags, Mode::from_bits_truncate(permissions)))
}

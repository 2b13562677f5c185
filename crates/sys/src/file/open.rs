//! Opens and creates files, and opens directories.

use crate::{Errno, Result, retry};
use nix::fcntl::{self, OFlag};
use nix::sys::stat::Mode;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Opens a directory that the user gave, to access files in it. Follows symlinks.
///
/// If the user may search but not read the directory (`0711`), opens it with `O_PATH`. This suffices for
/// everything but listing and locking the directory.
pub fn open_dir(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let open = |flags| retry(|| fcntl::open(path, flags, Mode::empty()));
    match open(OFlag::O_RDONLY | flags) {
        Err(Errno::EACCES) => open(OFlag::O_PATH | flags),
        result => result,
    }
}

/// Opens the directory `name` in `dir`. Fails with `ENOTDIR` if `name` is a symlink.
pub fn open_dir_at(dir: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    retry(|| fcntl::openat(&dir, name, DIR_FLAGS, Mode::empty()))
}

/// Like [`open_dir_at`], but with `O_PATH`: the directory need not be readable. The descriptor gives access to
/// the entries by name and to the attributes of the directory, but the directory cannot be listed or locked.
pub fn open_dir_path_at(dir: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    retry(|| fcntl::openat(&dir, name, DIR_FLAGS | OFlag::O_PATH, Mode::empty()))
}

pub(super) const DIR_FLAGS: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Opens the parent of an open directory with `O_PATH`.
pub fn open_parent(dir: impl AsFd) -> Result<OwnedFd> {
    open_dir_path_at(dir, c"..")
}

/// Opens a source file for reading.
///
/// Follows a symlink only if `follow` is set. Never waits for the writer of a FIFO, and never makes a
/// terminal the controlling terminal.
pub fn open_source(dir: impl AsFd, name: &CStr, follow: bool) -> Result<OwnedFd> {
    let nofollow = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    open_to_read(dir, name, nofollow)
}

fn open_to_read(dir: impl AsFd, name: &CStr, more: OFlag) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    retry(|| fcntl::openat(&dir, name, flags | more, Mode::empty()))
}

/// Opens a file of any type with `O_PATH`: it need not be readable, and only its status and its file system can be
/// read. Follows a symlink only if `follow` is set.
pub fn open_path(dir: impl AsFd, name: &CStr, follow: bool) -> Result<OwnedFd> {
    let nofollow = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | nofollow;
    retry(|| fcntl::openat(&dir, name, flags, Mode::empty()))
}

/// Opens a file for reading without updating its access time, if the kernel permits that: it does for the
/// owner and root.
///
/// Never follows a symlink, and never waits for the writer of a FIFO.
pub fn open_noatime(dir: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    open_source_noatime(dir, name, false)
}

/// Like [`open_source`], but does not update the access time, if the kernel permits that.
pub fn open_source_noatime(dir: impl AsFd, name: &CStr, follow: bool) -> Result<OwnedFd> {
    let nofollow = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    match open_to_read(&dir, name, nofollow | OFlag::O_NOATIME) {
        Err(Errno::EPERM) => open_to_read(&dir, name, nofollow),
        result => result,
    }
}

/// Opens a source of any type for reading. Waits for the writer of a FIFO. If the source is a terminal, later
/// reads wait for its user.
pub fn open_stream(dir: impl AsFd, name: &CStr, follow: bool) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let nofollow = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    retry(|| fcntl::openat(&dir, name, flags | nofollow, Mode::empty()))
}

/// Opens an existing file for writing, without truncating it. Follows a symlink if `follow` is set, else
/// fails with `ELOOP`.
pub fn open_target(dir: impl AsFd, name: &CStr, follow: bool) -> Result<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let nofollow = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    retry(|| fcntl::openat(&dir, name, flags | nofollow, Mode::empty()))
}

/// Opens an existing file to read and write it. Does not follow a symlink, and never waits.
pub fn open_read_write(dir: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    let flags =
        OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    retry(|| fcntl::openat(&dir, name, flags, Mode::empty()))
}

/// Opens a file that another copier is writing, so that this process can write to it, too. Never waits, even
/// if another program has put a FIFO in place of the file.
pub fn open_shared_target(dir: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlag::O_WRONLY
        | OFlag::O_NOCTTY
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_CLOEXEC;
    retry(|| fcntl::openat(&dir, name, flags, Mode::empty()))
}

/// Creates the file that the dangling symlink `name` points to, and opens it for writing.
pub fn create_through_symlink(dir: impl AsFd, name: &CStr, permissions: u32) -> Result<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    retry(|| fcntl::openat(&dir, name, flags, Mode::from_bits_truncate(permissions)))
}

/// Opens the user's `path` for writing, without truncating the file. Follows symlinks.
pub fn open_to_write(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_WRONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    retry(|| fcntl::open(path, flags, Mode::empty()))
}

/// Creates a file and opens it for writing. Fails with `EEXIST` if the name exists.
pub fn create_file(dir: impl AsFd, name: &CStr, permissions: u32) -> Result<OwnedFd> {
    let flags = OFlag::O_WRONLY
        | OFlag::O_CREAT
        | OFlag::O_EXCL
        | OFlag::O_NOFOLLOW
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    retry(|| fcntl::openat(&dir, name, flags, Mode::from_bits_truncate(permissions)))
}

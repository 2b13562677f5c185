//! Opens directories at any depth below an open directory.

use super::PATH_BYTES_MAX;
use super::open::DIR_FLAGS;
use crate::{Errno, Result, retry};
use nix::fcntl::{self, OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::Mode;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Opens the directory at `path` below `root`. The path may be longer than `PATH_MAX`.
///
/// Fails if a component is a symlink or leads out of `root`, even if other processes rename directories
/// meanwhile.
pub fn open_dir_beneath(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    open_beneath(root, path, DIR_FLAGS)
}

/// Like [`open_dir_beneath`], but with `O_PATH`. The directory need not be readable. The descriptor gives
/// access to its files by name, but the directory cannot be listed.
pub fn open_dir_path_beneath(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    open_beneath(root, path, DIR_FLAGS.union(OFlag::O_PATH))
}

/// Like [`open_dir_beneath`], but does not update the access time, if the kernel permits that: it does for
/// the owner and root.
pub fn open_dir_beneath_noatime(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    match open_beneath(root, path, DIR_FLAGS.union(OFlag::O_NOATIME)) {
        Err(Errno::EPERM) => open_beneath(root, path, DIR_FLAGS),
        result => result,
    }
}

fn open_beneath(root: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> Result<OwnedFd> {
    let mut rest = path;
    let mut opened: Option<OwnedFd> = None;
    while !rest.is_empty() || opened.is_none() {
        let (head, tail) = split_path(rest);
        let base = opened.as_ref().map_or(root, AsFd::as_fd);
        opened = Some(open_part(base, head, flags)?);
        rest = tail;
    }
    opened.ok_or(Errno::EINVAL)
}

/// Opens the directory at `path` below `root`. The path may be longer than `PATH_MAX`. Follows symlinks, even
/// out of `root`.
pub fn open_dir_following(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    open_following(root, path, DIR_FLAGS.difference(OFlag::O_NOFOLLOW))
}

/// Like [`open_dir_following`], but does not update the access time, if the kernel permits that.
pub fn open_dir_following_noatime(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    let flags = DIR_FLAGS.difference(OFlag::O_NOFOLLOW);
    match open_following(root, path, flags.union(OFlag::O_NOATIME)) {
        Err(Errno::EPERM) => open_following(root, path, flags),
        result => result,
    }
}

/// Like [`open_dir_following`], but with `O_PATH`. The directory need not be readable.
pub fn open_dir_path_following(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    open_following(root, path, DIR_FLAGS.difference(OFlag::O_NOFOLLOW).union(OFlag::O_PATH))
}

fn open_following(root: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> Result<OwnedFd> {
    let mut rest = path;
    let mut opened: Option<OwnedFd> = None;
    while !rest.is_empty() || opened.is_none() {
        let (head, tail) = split_path(rest);
        let base = opened.as_ref().map_or(root, AsFd::as_fd);
        let head = if head.is_empty() { b"." } else { head };
        opened = Some(retry(|| fcntl::openat(base, head, flags, Mode::empty()))?);
        rest = tail;
    }
    opened.ok_or(Errno::EINVAL)
}

/// Splits `path` at a slash, so that the first part is short enough for one system call.
fn split_path(path: &[u8]) -> (&[u8], &[u8]) {
    if path.len() < PATH_BYTES_MAX {
        return (path, &[]);
    }
    match path[..PATH_BYTES_MAX].iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (path, &[]), // one name of 4 KiB: the kernel returns ENAMETOOLONG
    }
}

/// The number of tries for a path while other processes rename. If `EAGAIN` is returned more often, it has
/// another cause.
const TRIES_MAX: u32 = 1000;

fn open_part(base: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let how = OpenHow::new().flags(flags).resolve(
        ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS,
    );
    let mut tries = 0;
    loop {
        tries += 1;
        match retry(|| fcntl::openat2(base, path, how)) {
            // A process has renamed something, anywhere on the system, during the lookup; openat2(2) says to
            // try again.
            Err(Errno::EAGAIN) if tries < TRIES_MAX => {}
            // openat2 does not exist (Linux before 5.6), or a sandbox forbids it.
            Err(Errno::ENOSYS | Errno::EPERM) => return open_by_component(base, path, flags),
            result => return result,
        }
    }
}

fn open_by_component(base: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> Result<OwnedFd> {
    let mut opened: Option<OwnedFd> = None;
    for name in path.split(|&byte| byte == b'/') {
        if name == b".." {
            return Err(Errno::EXDEV); // the error that RESOLVE_BENEATH gives
        }
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let parent = opened.as_ref().map_or(base, AsFd::as_fd);
        opened = Some(retry(|| fcntl::openat(parent, name.as_c_str(), flags, Mode::empty()))?);
    }
    opened.ok_or(Errno::EINVAL)
}

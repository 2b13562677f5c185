//! Owner, permission bits and times.

use super::stat::Stamp;
use crate::{Result, retry};
use nix::fcntl::{self, AtFlags};
use nix::sys::stat::{self, Mode, UtimensatFlags};
use nix::unistd::{self, AccessFlags, Gid, Uid};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// An entry whose owner or attributes are meant.
#[derive(Clone, Copy)]
pub enum Node<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// What has this name in a directory; a symlink is itself.
    Named(BorrowedFd<'a>, &'a CStr),
}

/// Gives an entry to a group and, unless `user` is `None`, to a user.
///
/// The kernel takes set-id bits and capabilities away from a file that changes hands.
pub fn set_owner(node: Node<'_>, user: Option<u32>, group: u32) -> Result<()> {
    let (user, group) = (user.map(Uid::from_raw), Some(Gid::from_raw(group)));
    retry(|| match node {
        Node::Open(file) => unistd::fchown(file, user, group),
        Node::Named(dir, name) => {
            unistd::fchownat(dir, name, user, group, AtFlags::AT_SYMLINK_NOFOLLOW)
        }
    })
}

/// Sets the permission bits of an open file.
pub fn set_permissions(file: impl AsFd, permissions: u32) -> Result<()> {
    retry(|| stat::fchmod(&file, Mode::from_bits_truncate(permissions)))
}

/// Sets the permission bits of `name`, which must not be a symlink.
pub fn set_permissions_at(dir: impl AsFd, name: &CStr, permissions: u32) -> Result<()> {
    let nofollow = stat::FchmodatFlags::NoFollowSymlink;
    retry(|| stat::fchmodat(&dir, name, Mode::from_bits_truncate(permissions), nofollow))
}

/// Sets access and modification time of an open file.
pub fn set_times(file: impl AsFd, accessed: Stamp, modified: Stamp) -> Result<()> {
    retry(|| stat::futimens(&file, &accessed.into(), &modified.into()))
}

/// Sets access and modification time of `name`; of a symlink, its own.
pub fn set_times_at(dir: impl AsFd, name: &CStr, accessed: Stamp, modified: Stamp) -> Result<()> {
    let nofollow = UtimensatFlags::NoFollowSymlink;
    retry(|| stat::utimensat(&dir, name, &accessed.into(), &modified.into(), nofollow))
}

/// Whether the effective user may list the directory at `path`, which is followed.
pub fn may_read_dir(path: &Path) -> Result<()> {
    let access = AccessFlags::R_OK | AccessFlags::X_OK;
    retry(|| unistd::faccessat(fcntl::AT_FDCWD, path, access, AtFlags::AT_EACCESS))
}

/// Whether the effective user may add and remove names in `path`, which is followed.
pub fn may_write_dir(path: &Path) -> Result<()> {
    let access = AccessFlags::W_OK | AccessFlags::X_OK;
    retry(|| unistd::faccessat(fcntl::AT_FDCWD, path, access, AtFlags::AT_EACCESS))
}

/// Whether the effective user may write the file `name`, which is followed.
pub fn may_write_at(dir: impl AsFd, name: &CStr) -> bool {
    retry(|| unistd::faccessat(&dir, name, AccessFlags::W_OK, AtFlags::AT_EACCESS)).is_ok()
}

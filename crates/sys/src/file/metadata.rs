//! Reads and sets owner, permission bits and times, and checks permissions.

use super::stat::Stamp;
use crate::{Errno, Result, retry};
use nix::NixPath;
use nix::fcntl::{self, AtFlags};
use nix::sys::stat::{self, Mode, UtimensatFlags};
use nix::unistd::{self, AccessFlags, Gid, Uid};
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

/// A file whose owner or attributes are read or set.
#[derive(Clone, Copy)]
pub enum Node<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// The file with this name in a directory. A symlink means the symlink itself.
    Named(BorrowedFd<'a>, &'a CStr),
}

/// Sets the user and the group of a file, except for that which is `None`.
///
/// The kernel removes set-ID bits and capabilities from a file whose owner changes.
pub fn set_owner(node: Node<'_>, user: Option<u32>, group: Option<u32>) -> Result<()> {
    let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
    let at = |dir, name| unistd::fchownat(dir, name, user, group, AtFlags::AT_SYMLINK_NOFOLLOW);
    retry(|| match node {
        Node::Open(file) => match unistd::fchown(file, user, group) {
            Err(Errno::EBADF) => at(file, c"."), // a directory that was opened with O_PATH
            result => result,
        },
        Node::Named(dir, name) => at(dir, name),
    })
}

/// Sets the permission bits of an open file, or of a directory that was opened with `O_PATH`.
pub fn set_permissions(file: impl AsFd, permissions: u32) -> Result<()> {
    match retry(|| stat::fchmod(&file, Mode::from_bits_truncate(permissions))) {
        Err(Errno::EBADF) => set_permissions_at(file, c".", permissions), // opened with O_PATH
        result => result,
    }
}

/// Sets the permission bits of `name`, which must not be a symlink.
///
/// Before Linux 6.6, this needs `/proc`; without it, the call fails with `EOPNOTSUPP`.
pub fn set_permissions_at(dir: impl AsFd, name: &CStr, permissions: u32) -> Result<()> {
    /// The number of `fchmodat2` on all architectures with 64 bits that Rust supports with glibc, but MIPS;
    /// libc does not have it for all of them.
    const FCHMODAT2: libc::c_long = 452;
    let nofollow = stat::FchmodatFlags::NoFollowSymlink;
    let mode = Mode::from_bits_truncate(permissions);
    match retry(|| stat::fchmodat(&dir, name, mode, nofollow)) {
        Err(Errno::EOPNOTSUPP) => {} // a C library that needs /proc for this, and there is no /proc
        result => return result,
    }
    let (fd, entry, flag) = (dir.as_fd().as_raw_fd(), name.as_ptr(), libc::AT_SYMLINK_NOFOLLOW);
    // SAFETY: the name is NUL-terminated, and the call accesses no other memory.
    let set = || unsafe { libc::syscall(FCHMODAT2, fd, entry, permissions, flag) };
    match retry(|| Errno::result(set())) {
        Err(Errno::ENOSYS) => Err(Errno::EOPNOTSUPP),
        result => result.map(drop),
    }
}

/// Sets the access and modification time of an open file.
pub fn set_times(file: impl AsFd, accessed: Stamp, modified: Stamp) -> Result<()> {
    match retry(|| stat::futimens(&file, &accessed.into(), &modified.into())) {
        Err(Errno::EBADF) => set_times_at(file, c".", accessed, modified), // opened with O_PATH
        result => result,
    }
}

/// Sets the access and modification time of `name`. If `name` is a symlink, sets the times of the symlink
/// itself.
pub fn set_times_at(dir: impl AsFd, name: &CStr, accessed: Stamp, modified: Stamp) -> Result<()> {
    let nofollow = UtimensatFlags::NoFollowSymlink;
    retry(|| stat::utimensat(&dir, name, &accessed.into(), &modified.into(), nofollow))
}

/// Checks that the effective user may list the directory at `path`. Follows symlinks.
pub fn may_read_dir(path: &Path) -> Result<()> {
    let access = AccessFlags::R_OK | AccessFlags::X_OK;
    permits(fcntl::AT_FDCWD, path, access)
}

/// Checks that the effective user may create and remove entries in the directory `path`. Follows symlinks.
pub fn may_write_dir(path: &Path) -> Result<()> {
    let access = AccessFlags::W_OK | AccessFlags::X_OK;
    permits(fcntl::AT_FDCWD, path, access)
}

/// Whether the effective user may write to the file `name`. Follows symlinks.
pub fn may_write_at(dir: impl AsFd, name: &CStr) -> bool {
    permits(&dir, name, AccessFlags::W_OK).is_ok()
}

/// Checks that the effective user may create entries in an open directory.
pub fn may_write_in(dir: impl AsFd) -> Result<()> {
    permits(&dir, c".", AccessFlags::W_OK | AccessFlags::X_OK)
}

/// Checks that the effective user may read the file `name`. Follows symlinks.
pub fn may_read_at(dir: impl AsFd, name: &CStr) -> Result<()> {
    permits(&dir, name, AccessFlags::R_OK)
}

/// Checks that the effective user has this access.
fn permits(dir: impl AsFd, path: &(impl NixPath + ?Sized), access: AccessFlags) -> Result<()> {
    match retry(|| unistd::faccessat(&dir, path, access, AtFlags::AT_EACCESS)) {
        // A sandbox that does not know faccessat2(2) may answer so. The older call asks for the real user.
        Err(Errno::EPERM | Errno::EINVAL) => retry(|| {
            let dir = dir.as_fd().as_raw_fd();
            // SAFETY: the path is NUL-terminated.
            let call = |path: &CStr| unsafe {
                libc::syscall(libc::SYS_faccessat, dir, path.as_ptr(), access.bits())
            };
            Errno::result(path.with_nix_path(call)?).map(drop)
        }),
        result => result,
    }
}

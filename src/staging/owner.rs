//! Which staged directories this user may have created.
//!
//! The creator of a directory can read and change what is copied into it. Another user could create a staged
//! directory in order to receive the copy. So a run resumes only in a staged directory that this user may
//! have created.

use super::name::staged_name;
use crate::options::CopyOptions;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use pcopy_sys::process;
use std::ffi::CStr;
use std::os::fd::BorrowedFd;

/// Whether this user may have created the directory `staged` in `dir`.
///
/// An interrupted run may already have given the directory its owner: that of its `source` if ownership is preserved, or
/// that of `--chown`. On some file systems, everything that this user creates belongs to another user: on FAT and some
/// network file systems, depending on the mount options, and wherever root is mapped to `nobody`.
pub(crate) fn may_be_ours(
    options: &CopyOptions,
    (dir, staged): (BorrowedFd<'_>, &Stat),
    source: impl FnOnce() -> Result<Stat, Errno>,
) -> bool {
    let given_away = || {
        let wanted = source().map(|source| options.wanted_owner(&source).user);
        wanted == Ok(Some(staged.owner()))
    };
    staged.owner() == process::user()
        || options.sets_owner() && given_away()
        || owner_of_new(dir) == Ok(staged.owner())
}

/// Whether an interrupted run of this user left a directory with this staged name.
pub(crate) fn has_leftover_dir(
    options: &CopyOptions,
    (dir, staged): (BorrowedFd<'_>, &CStr),
    source: impl FnOnce() -> Result<Stat, Errno>,
) -> bool {
    file::stat_at(dir, staged)
        .is_ok_and(|old| old.kind() == Kind::Directory && may_be_ours(options, (dir, &old), source))
}

/// Returns the owner of directories that this user creates in `dir`. Creates a directory to find out, and
/// removes it.
fn owner_of_new(dir: BorrowedFd<'_>) -> Result<u32, Errno> {
    let name = staged_name(c"whose", std::process::id());
    file::make_dir(dir, &name, 0o700)?;
    let stat = file::stat_at(dir, &name);
    file::remove_dir(dir, &name)?;
    stat.map(|stat| stat.owner())
}

//! Leftovers: staged files that interrupted runs left.

use super::lock::try_lock;
use crate::error::may_forbid_staging;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind};
use pcopy_sys::statfs;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

/// Creates an entry under a staged name. If a leftover has that name, removes the leftover first.
///
/// `shared` says that another run may build an entry under the same staged name.
pub(crate) fn create_fresh<T>(
    dir: BorrowedFd<'_>,
    staged: &CStr,
    shared: bool,
    mut create: impl FnMut(&CStr) -> Result<T, Errno>,
) -> Result<T, Errno> {
    match create(staged) {
        Err(Errno::EEXIST) => remove_leftover(dir, staged, shared).and_then(|()| create(staged)),
        result => result,
    }
}

/// Renames a directory inside the directory `staged`, which this run has just created. Fails if the file system
/// cannot rename directories: then nothing that is built under a staged name would get its final name.
///
/// Local file systems can, so nothing is tried there: where something else refuses a rename, the copier that
/// publishes the directory reports that. A run that is killed meanwhile leaves the trial inside the staged
/// directory, from which the next run removes what the source does not have.
pub(crate) fn try_rename(dir: BorrowedFd<'_>, staged: &CStr) -> Result<(), Errno> {
    const TRIAL: &CStr = c".pcopy-trial";
    const RENAMED: &CStr = c".pcopy-trial-renamed";
    if !statfs::may_be_shared(dir) {
        return Ok(());
    }
    // If nothing can be created there, a copier finds out why.
    let Ok(inside) = file::open_dir_at(dir, staged) else { return Ok(()) };
    if file::make_dir(&inside, TRIAL, 0o700).is_err() {
        return Ok(());
    }
    let renamed = file::rename_noreplace(inside.as_fd(), TRIAL, RENAMED);
    let left = if renamed.is_ok() { RENAMED } else { TRIAL };
    if file::remove_dir(&inside, left).is_err() {
        // It is empty, and the directory is cleaned when it is complete.
    }
    renamed.or_else(|errno| if may_forbid_staging(errno) { Err(errno) } else { Ok(()) })
}

/// Removes the staged file of an interrupted run. Fails with `EBUSY` if another run is building the file.
///
/// `shared` says that other runs may build a file under the same staged name, and that only the lock of the
/// file excludes them.
pub(crate) fn remove_leftover(dir: BorrowedFd<'_>, name: &CStr, shared: bool) -> Result<(), Errno> {
    match file::stat_at(dir, name)?.kind() {
        // Outside staged directories, no directory is removed, because it may contain files of other
        // programs.
        Kind::Directory => Err(if shared { Errno::EBUSY } else { Errno::EISDIR }),
        Kind::File if shared => {
            // The lock of a file without read permission cannot be tested. If another run is building the
            // file, that run notices that the name is gone (`still_named`) and stops.
            if let Ok(leftover) = file::open_source(dir, name, false) {
                // By now, the name may belong to another file than the locked one.
                let is_leftover =
                    try_lock(&leftover) && still_named(dir, name, leftover.as_fd()) == Ok(true);
                if !is_leftover {
                    return Err(Errno::EBUSY);
                }
            }
            file::unlink(dir, name)
        }
        _ => file::unlink(dir, name),
    }
}

/// Whether `name` is still the name of the open file. Where other machines may have given the name to another
/// file, asks the server.
pub(crate) fn still_named(
    dir: BorrowedFd<'_>,
    name: &CStr,
    file: BorrowedFd<'_>,
) -> Result<bool, Errno> {
    let own = file::fresh_identity(file, c"")?;
    match file::fresh_identity(dir, name) {
        Ok(named) => Ok(named == own),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

//! Removing what an earlier run left in a staged directory and the source does not have.
//!
//! What is staged did not exist before, so all in it is ours, and what is published must be the
//! source and nothing else. Nothing here is ever called for a directory that others can see.

use super::dir_pair::DirPair;
use crate::error::{EntryError, Op};
use crate::staging::staged_name;
use pcopy_sys::file::{self, Kind};
use pcopy_sys::listing::Listing;
use pcopy_sys::{Errno, process};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Removes every name in the target that the source does not have.
///
/// Others may be at work in the directory at the same time: what they make, the source has.
pub(super) fn remove_strangers(dirs: &DirPair) -> Result<(), EntryError> {
    debug_assert!(dirs.staged, "only what nobody else sees may be removed");
    let mut listing = Listing::new();
    while listing.fill(dirs.target.as_fd()).map_err(Op::OpenTarget.error())? {
        while let Some((kind, name)) = listing.next_entry() {
            if file::stat_at(&dirs.source, name).err() == Some(Errno::ENOENT) {
                remove(dirs.target.as_fd(), kind, name).map_err(Op::OpenTarget.error())?;
            }
        }
    }
    Ok(())
}

/// Removes `name`, whatever it is, with all in it.
pub(crate) fn remove(dir: BorrowedFd<'_>, kind: Kind, name: &CStr) -> Result<(), Errno> {
    let removed = match kind {
        Kind::Directory => remove_tree(dir, name),
        Kind::Unknown => file::stat_at(dir, name).and_then(|stat| remove(dir, stat.kind(), name)),
        _ => file::unlink(dir, name),
    };
    match removed {
        Err(Errno::ENOENT) => Ok(()), // another copier cleans the same wide directory
        result => result,
    }
}

/// Removes the staged file of a killed run; `EBUSY` if a run that lives is building it.
///
/// `contended` says that nothing but the file's own lock keeps other runs away.
pub(crate) fn remove_leftover(
    dir: BorrowedFd<'_>,
    name: &CStr,
    contended: bool,
) -> Result<(), Errno> {
    match file::stat_at(dir, name)?.kind() {
        // A folder that a killed run has begun, or a stranger's: in a directory that others see,
        // nothing is removed that may hold what is not ours.
        Kind::Directory => Err(if contended { Errno::EBUSY } else { Errno::EISDIR }),
        Kind::File if contended => {
            // One without read permission cannot be asked. If a run that lives is building it, that
            // run finds its name gone (`still_named`) and gives up.
            if let Ok(leftover) = file::open_source(dir, name, false) {
                let lock = file::lock(leftover.as_fd(), file::Lock::Exclusive);
                // The name may mean another file by now than the one that we have locked.
                if lock == Err(Errno::EAGAIN)
                    || still_named(dir, name, leftover.as_fd()) != Ok(true)
                {
                    return Err(Errno::EBUSY);
                }
            }
            file::unlink(dir, name)
        }
        _ => file::unlink(dir, name),
    }
}

/// Whether `name` still means the open file.
pub(super) fn still_named(
    dir: BorrowedFd<'_>,
    name: &CStr,
    file: BorrowedFd<'_>,
) -> Result<bool, Errno> {
    let own = file::stat_fd(file)?.identity();
    match file::stat_at(dir, name) {
        Ok(named) => Ok(named.identity() == own),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Removes a directory with all in it, however deep, with three descriptors and no stack.
///
/// Directories found below it are moved up into it and wait there for their turn, so others see
/// nothing of that. If we are killed meanwhile, they are strangers for the next run.
fn remove_tree(dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let root = open_usable(dir, name)?;
    let mut number = 0;
    let mut waiting = empty(root.as_fd(), |name| Ok(name.to_owned()))?;
    while let Some(name) = waiting.pop() {
        let opened = open_usable(root.as_fd(), &name)?;
        let up = |name: &CStr| move_up(opened.as_fd(), name, root.as_fd(), &mut number);
        waiting.extend(empty(opened.as_fd(), up)?);
        file::remove_dir(&root, &name)?;
    }
    file::remove_dir(dir, name)
}

fn open_usable(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    if !process::is_root() {
        file::set_permissions_at(dir, name, 0o700)?;
    }
    file::open_dir_at(dir, name)
}

/// Removes all that is no directory, and says what `keep` makes of the others.
fn empty(
    dir: BorrowedFd<'_>,
    mut keep: impl FnMut(&CStr) -> Result<CString, Errno>,
) -> Result<Vec<CString>, Errno> {
    let mut dirs = Vec::new();
    let mut listing = Listing::new();
    while listing.fill(dir)? {
        while let Some((kind, name)) = listing.next_entry() {
            let is_dir = match kind {
                Kind::Unknown => file::stat_at(dir, name)?.kind() == Kind::Directory,
                known => known == Kind::Directory,
            };
            if is_dir {
                dirs.push(keep(name)?);
            } else {
                file::unlink(dir, name)?;
            }
        }
    }
    Ok(dirs)
}

fn move_up(
    from: BorrowedFd<'_>,
    name: &CStr,
    to: BorrowedFd<'_>,
    number: &mut u32,
) -> Result<CString, Errno> {
    loop {
        *number += 1;
        let free = staged_name(c"removed", *number);
        match file::move_new(from, name, to, &free) {
            Err(Errno::EEXIST) => {}
            result => return result.map(|()| free),
        }
    }
}

//! Removes entries of staged directories.
//!
//! pcopy created the staged directory, so every entry in it belongs to pcopy. When the directory is
//! published, it must contain the entries of the source and nothing else. Only staged directories are cleaned
//! or removed, and never a directory that other programs use.

use super::name::staged_name;
use super::run_lock::LOCK_NAME;
use crate::error::{EntryError, Op};
use pcopy_sys::dir_reader::DirReader;
use pcopy_sys::file::{self, Kind};
use pcopy_sys::{Errno, process};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Removes every entry of a staged directory that the source does not have, or that `is_left_out` says is not copied,
/// because an interrupted run left it.
///
/// Other copiers may work in the directory at the same time. They create only entries that the source has.
pub(crate) fn remove_extraneous(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    mut is_left_out: impl FnMut(&CStr) -> bool,
) -> Result<(), EntryError> {
    let mut listing = DirReader::new();
    while listing.fill(target).map_err(Op::OpenTarget.error())? {
        while let Some((kind, name)) = listing.next_entry() {
            let is_lock = name.to_bytes().starts_with(LOCK_NAME.to_bytes());
            let is_gone = || file::stat_at(source, name).err() == Some(Errno::ENOENT);
            if !is_lock && (is_left_out(name) || is_gone()) {
                remove(target, kind, name).map_err(Op::OpenTarget.error())?;
            }
        }
    }
    Ok(())
}

/// Removes the entry `name`, recursively if it is a directory. Succeeds if the entry does not exist.
pub(crate) fn remove(dir: BorrowedFd<'_>, kind: Kind, name: &CStr) -> Result<(), Errno> {
    let removed = match kind {
        Kind::Directory => remove_tree(dir, name),
        Kind::Unknown => file::stat_at(dir, name).and_then(|stat| remove(dir, stat.kind(), name)),
        _ => file::unlink(dir, name),
    };
    match removed {
        Err(Errno::ENOENT) => Ok(()), // another copier cleans the same directory
        result => result,
    }
}

/// Removes a directory recursively, at any depth, with three descriptors and without recursive calls.
///
/// Each directory further down is first moved up into the directory `name`, so that nothing appears outside
/// `name`. If the copier is killed meanwhile, the next run removes the moved directories, because the source
/// does not have them.
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

/// Removes every entry that is not a directory. Calls `keep` for each directory, and returns the results.
fn empty(
    dir: BorrowedFd<'_>,
    mut keep: impl FnMut(&CStr) -> Result<CString, Errno>,
) -> Result<Vec<CString>, Errno> {
    let mut dirs = Vec::new();
    let mut listing = DirReader::new();
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
        match file::move_noreplace(from, name, to, &free) {
            Err(Errno::EEXIST) => {}
            result => return result.map(|()| free),
        }
    }
}

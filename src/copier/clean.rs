//! Removes what an earlier run left in a staged directory and the source does not have.
//!
//! A staged directory was created by pcopy, so everything in it is pcopy's, and what is published must
//! be the source and nothing else. Only staged directories are cleaned or removed, never one that other
//! programs use.

use crate::error::{EntryError, Op};
use crate::staging::staged_name;
use pcopy_sys::dir_reader::DirReader;
use pcopy_sys::file::{self, Kind};
use pcopy_sys::{Errno, process};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Removes every entry of the target that the source does not have.
///
/// Other copiers may work in the directory at the same time: they create only what the source has.
pub(super) fn remove_strangers(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
) -> Result<(), EntryError> {
    let mut listing = DirReader::new();
    while listing.fill(target).map_err(Op::OpenTarget.error())? {
        while let Some((kind, name)) = listing.next_entry() {
            if file::stat_at(source, name).err() == Some(Errno::ENOENT) {
                remove(target, kind, name).map_err(Op::OpenTarget.error())?;
            }
        }
    }
    Ok(())
}

/// Removes the entry `name`, recursively if it is a directory.
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

/// Removes the staged file of an interrupted run; `EBUSY` if another run is building it.
///
/// `contended` says that other runs may use the directory, and only the file's own lock excludes them.
pub(crate) fn remove_leftover(
    dir: BorrowedFd<'_>,
    name: &CStr,
    contended: bool,
) -> Result<(), Errno> {
    match file::stat_at(dir, name)?.kind() {
        // A directory of an interrupted run, or of another program: outside of staged directories nothing
        // is removed that may contain other programs' files.
        Kind::Directory => Err(if contended { Errno::EBUSY } else { Errno::EISDIR }),
        Kind::File if contended => {
            // The lock of a file without read permission cannot be tested. If another run is building it,
            // that run notices that its name is gone (`still_named`) and stops.
            if let Ok(leftover) = file::open_source(dir, name, false) {
                let lock = file::lock(leftover.as_fd(), file::Lock::Exclusive);
                // The name may belong to another file by now than the locked one.
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

/// Whether `name` is still the open file.
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

/// Removes a directory recursively, at any depth, with three descriptors and without recursion.
///
/// Directories below it are first moved up into it, so that nothing shows outside. If this copier is
/// killed meanwhile, the next run removes them like everything that the source does not have.
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

/// Removes everything that is not a directory; calls `keep` for each directory and returns the results.
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

//! Permission bits and times: what is set, and in which order.
//!
//! Times before permission bits: a target with its source's size and time counts as complete, and
//! bits that are still wrong then are mended by the next run, which compares them, too.

use crate::ipc::report::{Fault, Step};
use crate::sys::file::{self, Kind, Stat};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const ALL_SPECIAL: u32 = 0o7000;

/// The bits that `target` should have, given its source and who owns it.
///
/// Set-id bits lend somebody's rights. They are kept only where the copy belongs to the same
/// somebody; else a copy made by root of any user's program would run as root.
pub(super) fn wanted_permissions(source: &Stat, target: &Stat) -> u32 {
    let mut bits = source.permissions();
    if source.kind() == Kind::File {
        if source.owner() != target.owner() {
            bits &= !SET_USER_ID;
        }
        if source.group() != target.group() {
            bits &= !SET_GROUP_ID;
        }
    }
    bits
}

/// The bits that a file is created with: all but those that the kernel clears when it is written.
pub(super) fn birth_permissions(source: &Stat) -> u32 {
    source.permissions() & !ALL_SPECIAL
}

/// Gives a finished file its source's times and, where birth did not, its permission bits.
///
/// `masked` says that the directory's default access list took bits away at birth.
pub(super) fn finish_file(
    target: BorrowedFd<'_>,
    source: &Stat,
    masked: bool,
) -> Result<(), Fault> {
    file::set_times(target, source.accessed(), source.modified())
        .map_err(Step::SetTimes.fault())?;
    if masked || source.permissions() & ALL_SPECIAL != 0 {
        let made = file::stat_fd(target).map_err(Step::SetPermissions.fault())?;
        file::set_permissions(target, wanted_permissions(source, &made))
            .map_err(Step::SetPermissions.fault())?;
    }
    Ok(())
}

/// Gives a symlink, FIFO, socket or device its source's times and, where birth did not, its bits.
pub(super) fn finish_at(
    dir: impl AsFd,
    name: &CStr,
    source: &Stat,
    masked: bool,
) -> Result<(), Fault> {
    file::set_times_at(&dir, name, source.accessed(), source.modified())
        .map_err(Step::SetTimes.fault())?;
    if masked && source.kind() != Kind::Symlink {
        file::set_permissions_at(dir, name, source.permissions())
            .map_err(Step::SetPermissions.fault())?;
    }
    Ok(())
}

/// Gives a directory, in which nothing will be changed any more, its source's times and bits.
pub(super) fn finish_dir(target: BorrowedFd<'_>, source: &Stat) -> Result<(), Fault> {
    file::set_times(target, source.accessed(), source.modified())
        .map_err(Step::SetTimes.fault())?;
    file::set_permissions(target, source.permissions()).map_err(Step::SetPermissions.fault())
}

/// Whether a directory that stood there has its source's times and bits already.
pub(super) fn is_finished_dir(source: &Stat, target: impl AsFd) -> bool {
    file::stat_fd(target).is_ok_and(|target| {
        target.modified() == source.modified() && target.permissions() == source.permissions()
    })
}

/// Whether a file in the target needs no copying: its source's type, size and modification time,
/// which is set last.
pub(super) fn is_complete(source: &Stat, target: &Stat) -> bool {
    source.type_bits() == target.type_bits()
        && source.size() == target.size()
        && source.modified() == target.modified()
        && source.device() == target.device()
}

/// Sets the bits of a complete entry right if they are not.
pub(super) fn mend_permissions(
    dir: impl AsFd,
    name: &CStr,
    source: &Stat,
    target: &Stat,
) -> Result<(), Fault> {
    let wanted = wanted_permissions(source, target);
    if source.kind() == Kind::Symlink || wanted == target.permissions() {
        return Ok(()); // a symlink's bits mean nothing and cannot be set
    }
    file::set_permissions_at(dir, name, wanted).map_err(Step::SetPermissions.fault())
}

//! Finds sources that may have changed although their size and modification time are still those of their copies:
//! a source that changed twice within one tick of the clock, one that got its old time back (`touch -r`), or one
//! whose time always has the same value (`SOURCE_DATE_EPOCH`).
//!
//! The time of the last status change (ctime) of a source tells them, because no program can set it. A copy is renamed
//! or gets its times after its source was read, so the ctime of an unchanged source is earlier than that of its copy.
//! It is also later after the source was renamed, or got another mode or more names. So a later ctime is not proof
//! of a change; it is the reason to compare the contents.
//!
//! Some changes stay hidden; the guide lists them under its known limits.

use super::super::Entry;
use super::super::action::Doubt;
use super::super::fill::Source;
use super::super::result::Unfinished;
use super::same_data;
use crate::copier::context::Context;
use crate::ipc::memory::counters::Count;
use crate::ipc::memory::fs_caps::Capability;
use pcopy_sys::file::{self, Kind, Stat};
use pcopy_sys::{Errno, statfs};
use std::ffi::CStr;
use std::os::fd::AsFd;

/// Whether an existing entry is up to date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Likeness {
    /// It is not.
    Different,
    /// It is.
    UpToDate,
    /// It is: there was doubt, and the contents are the same.
    Compared(Doubt),
}

/// Returns why the contents of `source`, which has the type, size and modification time of the existing entry `old`,
/// must be compared with it; `None` if they need not be.
pub(super) fn doubt(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    old: &Stat,
) -> Option<Doubt> {
    let dirs = entry.dirs;
    if source.kind() != Kind::File || cx.options().ignore_ctime {
        return None;
    }
    if dirs.contended && cx.plan().operands.len() == 1 {
        return Some(Doubt::OnlySource);
    }
    let changed_later = !changed_before(source, old)
        && source.links() == 1 // a new name changes the ctime, too
        && !cx.attrs.explain_change(source, old)
        && has_kernel_ctime(cx, (&dirs.source, entry.name), source, dirs.follow)
        && has_kernel_ctime(cx, (&dirs.target, entry.target_name), old, false);
    changed_later.then_some(Doubt::ChangedLater)
}

/// Whether the status of the source changed earlier than that of its copy. A ctime without a fraction may be rounded
/// down (ext4 with inodes of 128 bytes); then only the seconds say something.
fn changed_before(source: &Stat, old: &Stat) -> bool {
    let (source, old) = (source.changed(), old.changed());
    if source.nanoseconds == 0 || old.nanoseconds == 0 {
        return source.seconds < old.seconds;
    }
    (source.seconds, source.nanoseconds) < (old.seconds, old.nanoseconds)
}

/// Compares the contents of a source with those of its copy.
///
/// If a ctime is the reason, and the user may not read one of them, the size and the time decide: nothing shows that
/// the source has changed. One file that is named as SRC is copied if the comparison is not possible.
pub(super) fn compare(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    doubt: Doubt,
) -> Result<Likeness, Unfinished> {
    cx.status.add(Count::BytesToCompare, source.size());
    let is_help_only = doubt == Doubt::ChangedLater;
    let from = match Source::open(cx, entry) {
        Err(Unfinished::Failed(error)) if is_help_only && is_refusal(error.errno) => {
            return Ok(Likeness::UpToDate);
        }
        opened => opened?.file,
    };
    let to = match file::open_noatime(&entry.dirs.target, entry.target_name) {
        Ok(to) => to,
        Err(errno) if is_help_only && is_refusal(errno) => return Ok(Likeness::UpToDate),
        Err(_) => return Ok(Likeness::Different),
    };
    Ok(if same_data(cx, &from, &to)? { Likeness::Compared(doubt) } else { Likeness::Different })
}

fn is_refusal(errno: Errno) -> bool {
    matches!(errno, Errno::EACCES | Errno::EPERM)
}

/// Whether the ctime of a file comes from the clock of this kernel.
fn has_kernel_ctime(
    cx: &Context<'_>,
    (dir, name): (impl AsFd, &CStr),
    stat: &Stat,
    follow: bool,
) -> bool {
    let (device, _) = stat.identity();
    if cx.lacks(device, Capability::KernelCtimes) {
        return false;
    }
    // Its directory may be on another file system: behind a symlink, or if a single file is mounted.
    let Ok(opened) = file::open_path(dir, name, follow) else { return false };
    let has = statfs::has_kernel_ctimes(&opened);
    if !has {
        cx.note_lack(device, Capability::KernelCtimes);
    }
    has
}

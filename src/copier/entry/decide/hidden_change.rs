//! Finds sources that may have changed although their size and modification time are still those of their copies:
//! a source that changed twice within one tick of the clock, one that got its old time back (`touch -r`), or one
//! whose time always has the same value (Nix, `SOURCE_DATE_EPOCH`).
//!
//! The time of the last status change (ctime) of a source tells them, because no program can set it. A copy is renamed
//! or gets its times after its source was read, so the ctime of an unchanged source is earlier than that of its copy.
//! It is also later after the source was renamed, or got another mode or more names. So a later ctime is not proof
//! of a change; it is the reason to compare the contents.
//!
//! Some changes stay hidden: if the copy's status changed after the source did, if both get their ctimes from different
//! clocks or from one that was set back, or if the mode or owner of the source changed as well.

use super::super::Entry;
use crate::copier::context::Context;
use crate::ipc::memory::fs_caps::Capability;
use pcopy_sys::file::{self, Kind, Stat};
use pcopy_sys::statfs;
use std::ffi::CStr;
use std::os::fd::AsFd;

/// Whether the contents of `source`, which has the type, size and modification time of the existing entry `old`, decide
/// whether that entry is up to date.
///
/// They do if SRC is one file: the user expects that it is copied, and to read one file takes no time. Of all other
/// files, only those are read that may have changed.
pub(in crate::copier::entry) fn contents_decide(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    old: &Stat,
) -> bool {
    let dirs = entry.dirs;
    if source.kind() != Kind::File || cx.options().ignore_ctime {
        return false;
    }
    let is_only_source = dirs.contended && cx.plan().operands.len() == 1;
    is_only_source
        || !source.changed_before(old)
            && source.links() == 1 // a new name changes the ctime, too
            && !cx.attrs.explain_change(source, old)
            && has_kernel_ctime(cx, (&dirs.source, entry.name), source, dirs.follow)
            && has_kernel_ctime(cx, (&dirs.target, entry.target_name), old, false)
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

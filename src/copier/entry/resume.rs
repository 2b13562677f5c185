//! Resumes a large file that an interrupted run has begun.
//!
//! Nothing beside the file says how far that run came, and nothing that did could be believed: several copiers
//! write parts of a large file in any order, and a source may have changed since. So copiers compare what is there
//! with the source, part by part, and write the parts that differ. Reading is faster than writing on nearly all
//! disks, and several copiers share the work as if they copied the file.

use super::Entry;
use super::chunks::LARGE_BYTES;
use super::result::Unfinished;
use crate::copier::context::Context;
use crate::ipc::memory::fs_caps::Capability;
use crate::options::{CopyMode, When};
use pcopy_sys::file::{self, Kind, Stat};
use pcopy_sys::process;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

/// Whether the copy of a source with the status `source` may be resumed.
pub(super) fn may_be_resumed(cx: &Context<'_>, entry: &Entry<'_>, source: &Stat) -> bool {
    let (options, traits) = (cx.options(), &entry.dirs.traits);
    source.kind() == Kind::File
        && source.size() >= LARGE_BYTES
        && source.allocated() >= source.size() // a copy with holes is not compared, but written anew
        && cx.policy().resumes_leftovers
        && options.copy_mode == CopyMode::Copy
        && options.sparse == When::Auto
        && !cx.lacks(traits.device, Capability::AnyOrder)
}

/// Whether the incomplete copy stays, because a signal ends the run and the next run can go on with it.
pub(super) fn stays_for_next_run(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    source: &Stat,
    unfinished: &Unfinished,
) -> bool {
    matches!(unfinished, Unfinished::Dropped) && may_be_resumed(cx, entry, source)
}

/// Opens the file `name`, under which an interrupted run has begun a copy of `source`, as if it had just been
/// created with the permission bits `mode`. Returns `None` if it must be created anew.
///
/// The file belongs to this user and has no other name, so no other user and no other entry gets the data.
pub(super) fn open_begun(
    cx: &Context<'_>,
    entry: &Entry<'_>,
    (source, name): (&Stat, &CStr),
    mode: u32,
) -> Option<OwnedFd> {
    // An entry in a directory with a default ACL gets permission bits that `mode` does not say.
    if !may_be_resumed(cx, entry, source) || entry.dirs.traits.defaults.masked {
        return None;
    }
    let begun = file::open_read_write(&entry.dirs.target, name).ok()?;
    let stat = file::stat_fd(&begun).ok()?;
    let is_ours = stat.kind() == Kind::File
        && stat.size() > 0
        && stat.links() == 1
        && stat.owner() == process::user()
        && stat.identity() != source.identity();
    (is_ours && file::set_permissions(&begun, mode).is_ok()).then_some(begun)
}

//! Asks the selection which names of a directory are left out.

use super::Walk;
use crate::selection::{Asked, Side};
use pcopy_sys::file::{self, Kind};
use std::ffi::CStr;
use std::os::fd::BorrowedFd;

/// Prepares to ask for the names of the directory that the walk is in; `None` if no entry is left out.
pub(in crate::copier) fn begin<'a, D>(walk: &Walk<'a, D>) -> Option<Asked<'a>> {
    let selection = walk.cx.options().selection.as_ref()?;
    let operand = walk.operand()?;
    Some(selection.within(&operand.path_for_rules(&walk.at.source)))
}

/// Whether the entry `name` of the source directory `dir` is left out.
pub(in crate::copier) fn leaves_out<D>(
    walk: &Walk<'_, D>,
    asked: &mut Asked<'_>,
    dir: BorrowedFd<'_>,
    (kind, name): (Kind, &CStr),
) -> bool {
    let follows = walk.cx.plan().follows(None);
    let is_dir = match kind {
        Kind::Symlink if follows => {
            file::stat_at_following(dir, name).is_ok_and(|stat| stat.kind() == Kind::Directory)
        }
        Kind::Unknown => {
            let look = if follows { file::stat_at_following } else { file::stat_at };
            look(dir, name).is_ok_and(|stat| stat.kind() == Kind::Directory)
        }
        kind => kind == Kind::Directory,
    };
    asked.leaves_out(Side::Source, name.to_bytes(), is_dir)
}

//! Copies or links one entry of a directory, and records the result.

use super::record::{record, report_changes, report_lost};
use super::{CopyVisitor, CopyWalk, Found};
use crate::copier::dir_pair::c_name;
use crate::copier::entry::itemize;
use crate::copier::entry::link::LinkMode;
use crate::copier::entry::result::{Applied, Unfinished};
use crate::copier::extraneous;
use crate::copier::report_writer::ParentGone;
use crate::copier::traverse::{DirProgress, Walk};
use crate::error::{EntryError, Op};
use crate::ipc::wire::event::Event;
use crate::ipc::wire::itemized::{Act, Itemized, Type, type_of};
use crate::options::CopyMode;
use crate::plan::ancestors;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

impl<'a> CopyVisitor<'a> {
    /// Copies or links one entry, and records the result. A directory is only added to the child directories
    /// that wait to be entered.
    pub(super) fn copy_entry(
        &mut self,
        walk: &mut CopyWalk<'a>,
        found: Found<'_>,
        kind: Kind,
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        let Found { dirs, name, target_name } = found;
        walk.cx.status.at(name);
        if walk.cx.is_passed_over(name) {
            self.entry_copier.remove_remains(&found.at(&walk.at));
            return walk.record_failed(Some(name), Op::KillsCopiers.error()(Errno::EIO));
        }
        if let Some(applied) = &walk.cx.plan().applied
            && !self.admits(walk, found, applied, progress)?
        {
            return Ok(());
        }
        let kind = match kind_of(walk, (dirs.source.as_fd(), dirs.follow), kind, name) {
            Ok(Kind::Directory) => return self.keep_dir(walk, found, progress),
            Ok(kind) => kind,
            Err(error) => return walk.record_failed(Some(name), error),
        };
        let mut result = walk.retry(Unfinished::error, |walk| self.copy_or_link(walk, found, kind));
        if matches!(result, Err(Unfinished::OtherType)) {
            // The listing may report another type than stat(2): under fakeroot, which makes a device of a
            // regular file, and on some FUSE file systems. stat(2) is right.
            let kind = match dirs.stat_source(name).map(|stat| stat.kind()) {
                Ok(Kind::Directory) => return self.keep_dir(walk, found, progress),
                Ok(kind) => kind,
                Err(errno) => return walk.record_failed(Some(name), Op::Stat.error()(errno)),
            };
            result = walk.retry(Unfinished::error, |walk| self.copy_or_link(walk, found, kind));
            if kind == Kind::File && matches!(result, Err(Unfinished::OtherType)) {
                // stat(2) calls it a regular file, and open(2) does not: its device is gone.
                result = Err(Op::OpenSource.error()(Errno::ENXIO).into());
            }
        }
        walk.last_was_heavy = matches!(&result, Ok(applied) if applied.heavy);
        if walk.cx.options().hash.is_some() {
            self.add_digest(walk, found, &mut result);
        }
        if walk.cx.options().itemize_changes {
            let act = itemized_as(walk.cx.options().copy_mode);
            itemize::complete(&walk.cx, &found.at(&walk.at), &mut result, act);
        }
        match result {
            Ok(applied) => self.record_applied(walk, found, &applied, progress),
            Err(Unfinished::Deferred(inode)) => self.defer(walk, found, inode, progress),
            Err(Unfinished::Ask { mode, writable }) => {
                self.pending.wait_for_end(walk, progress);
                let event = Event::Prompt { existed: dirs.existed, mode, writable };
                walk.report_names(name, target_name, event, || ())
            }
            Err(Unfinished::HeldBack) => {
                hold_back(walk, found, Op::FileOverDirectory.error()(Errno::EISDIR))
            }
            Err(unfinished) => self.record_unfinished(walk, found, &unfinished),
        }
    }

    /// Copies an entry that is not a directory, or creates the link that the options require instead
    /// (`--link`, `--symbolic-link`).
    fn copy_or_link(
        &mut self,
        walk: &mut CopyWalk<'a>,
        found: Found<'_>,
        kind: Kind,
    ) -> Result<Applied, Unfinished> {
        let entry = &found.at(&walk.at);
        match walk.cx.options().copy_mode {
            CopyMode::Copy | CopyMode::AttributesOnly => self.entry_copier.copy(entry, kind),
            CopyMode::HardLink => self.entry_copier.link(entry, LinkMode::HardLink),
            CopyMode::Symlink => {
                let text = shown_source(walk, found.name);
                self.entry_copier.link(entry, LinkMode::Symlink(&text))
            }
        }
    }

    /// Counts and reports an entry that is now in the copy.
    fn record_applied(
        &mut self,
        walk: &mut CopyWalk<'a>,
        found: Found<'_>,
        applied: &Applied,
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        if let Some(digest) = &applied.digest {
            found.report_digest(walk, **digest)?;
        }
        if !applied.attribute_errors.is_empty() {
            report_lost(walk, Some(found.name), &applied.attribute_errors)?;
        }
        if let Some(item) = applied.itemized.as_deref() {
            report_changes(walk, Some(found.name), item)?;
        }
        if let Some(inode) = applied.leads {
            return self.report_leader(walk, found, (inode, applied), progress); // counts it, too
        }
        record(walk, Some(found.name), applied.done, applied.details)
    }

    /// Counts and reports an entry that was not completed.
    pub(super) fn record_unfinished(
        &mut self,
        walk: &mut CopyWalk<'a>,
        found: Found<'_>,
        unfinished: &Unfinished,
    ) -> Result<(), ParentGone> {
        // Without an error, the run ends and counts no longer matter, or a later phase completes the entry.
        let Some(error) = unfinished.error() else { return Ok(()) };
        // A published directory must not contain the incomplete entry that an earlier round or run left. If
        // the source has changed, the entry keeps what was read of the source. In a directory that this round
        // has created, no such entry is possible: an existing entry is then the copy of another name, on a
        // target that ignores case.
        let stays = error.op == Op::Changed;
        let dirs = found.dirs;
        if dirs.staged && dirs.existed && !stays && !dirs.is_visible(walk.cx.plan()) {
            self.entry_copier.remove_remains(&found.at(&walk.at));
        }
        walk.record_failed(Some(found.name), error)
    }
}

/// Returns how to itemize a new entry.
pub(in crate::copier::visitors) fn itemized_as(mode: CopyMode) -> fn(&Stat) -> Itemized {
    match mode {
        CopyMode::Copy | CopyMode::AttributesOnly => Itemized::new_entry,
        CopyMode::HardLink => |source| Itemized::created(Act::Link, type_of(source)),
        CopyMode::Symlink => |_| Itemized::created(Act::Change, Type::Symlink),
    }
}

/// Returns the type of an entry of the source directory `dir`. Reads its status if the listing did not report the type, or
/// if symlinks are followed.
pub(in crate::copier::visitors) fn kind_of<D>(
    walk: &Walk<'_, D>,
    (dir, follow): (BorrowedFd<'_>, bool),
    kind: Kind,
    name: &CStr,
) -> Result<Kind, EntryError> {
    match kind {
        Kind::Unknown | Kind::Symlink | Kind::Directory if follow => kind_at_end(walk, dir, name),
        Kind::Unknown => file::stat_at(dir, name).map(|stat| stat.kind()).map_err(Op::Stat.error()),
        known => Ok(known),
    }
}

/// Returns the type of `name` or, if it is a symlink, of the file that it leads to.
///
/// Fails for a symlink that leads nowhere, and for a directory that the walk is already in. Such a directory
/// need not be a symlink: an earlier symlink may have led above the operand.
fn kind_at_end<D>(
    walk: &Walk<'_, D>,
    dir: BorrowedFd<'_>,
    name: &CStr,
) -> Result<Kind, EntryError> {
    let itself = file::stat_at(dir, name).map_err(Op::Stat.error())?;
    let end = match itself.kind() {
        Kind::Symlink => file::stat_at_following(dir, name).map_err(Op::Follow.error())?,
        _ => itself,
    };
    if end.kind() == Kind::Directory && walk.is_on_path(end.identity()) {
        return Err(Op::Cycle.error()(Errno::ELOOP));
    }
    let is_link_to_dir = itself.kind() == Kind::Symlink && end.kind() == Kind::Directory;
    if is_link_to_dir && leads_below_built_dir(walk, dir, name) {
        return Err(Op::IntoItself.error()(Errno::ELOOP));
    }
    Ok(end.kind())
}

/// Whether the symlink `name` leads to a directory below one that this run has created.
fn leads_below_built_dir<D>(walk: &Walk<'_, D>, dir: BorrowedFd<'_>, name: &CStr) -> bool {
    let end = file::open_dir_following(dir, name.to_bytes());
    end.is_ok_and(|end| {
        ancestors(end.as_fd()).skip(1).any(|above| walk.cx.job.built_dirs.has_created(above))
    })
}

/// Returns the path of `name` as the user would write it.
pub(in crate::copier::visitors) fn shown_source<D>(walk: &Walk<'_, D>, name: &CStr) -> CString {
    let path = walk.at.source_of(name.to_bytes());
    c_name(&walk.operand().map(|operand| operand.show_source(&path)).unwrap_or_default())
}

/// Leaves an entry for the time when what is in its way is removed from the target. If that stays, the entry fails with
/// `error`.
pub(super) fn hold_back(
    walk: &mut CopyWalk<'_>,
    found: Found<'_>,
    error: EntryError,
) -> Result<(), ParentGone> {
    let Found { dirs, name, target_name } = found;
    if !extraneous::clear_way(walk, &dirs.target, target_name)? {
        return walk.record_failed(Some(name), error);
    }
    let event = Event::HeldBack { existed: dirs.existed };
    walk.report_names(name, target_name, event, || ())
}

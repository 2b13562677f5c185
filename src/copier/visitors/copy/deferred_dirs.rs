//! Directories that a copier finishes on the walk's way back up, after everything below them is done.
//!
//! A new directory in an existing one is renamed into place as soon as nothing in it is left to do. Only then
//! can the times of the directory above be set. Both directories wait in this module's list while the walk is
//! below them. So at most one directory waits for each level of the walk's path.
//!
//! If the copier has handed over work below a directory, only the parent process knows when that work is
//! done. Then the copier reports the directory to the parent process, which finishes it at the end of the
//! run. So the memory of the parent process grows with the work that is handed over, not with the tree.

use super::record::{record_deferred, record_dir, report_lost};
use super::{CopyWalk, is_unpublished};
use crate::copier::dir_pair::c_name;
use crate::copier::entry::attributes::Attrs;
use crate::copier::entry::result::{AttributeErrors, Done};
use crate::copier::report_writer::ParentGone;
use crate::copier::traverse::DirProgress;
use crate::error::{EntryError, Op};
use crate::ipc::wire::event::Event;
use crate::ipc::wire::task::{Depth, EntryPath, EntryPathBuf, split_last};
use crate::plan::{DirOrigin, KeptDir, Operand, Parent, Plan};
use crate::staging::UNFINISHED_MODE;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Stat};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The directories on the path of the walk that are finished on the way back up.
#[derive(Default)]
pub(super) struct PendingDirs(Vec<Pending>);

/// A directory to which the walk returns.
pub(super) struct Pending {
    pub(super) depth: Depth,
    pub(super) staged: bool,
    /// The status of the source before it was listed, because listing changes the access time; `None` if the
    /// directory has failed.
    pub(super) source: Option<Stat>,
    /// Whether the directory counts as copied or skipped; `None` if it has failed, which is already reported
    /// and counted.
    pub(super) done: Option<Done>,
    /// What must happen before its times and mode can be set; `None` if they will not be set.
    pub(super) waits: Option<Waits>,
    /// Whether the directory has a staged name and must be renamed to its final name.
    pub(super) unpublished: bool,
    /// Whether another copier or a later phase does something that the directory waits for.
    pub(super) changes_pending: bool,
}

/// What must happen before the times and mode of a directory can be set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// Entries must be created or renamed in the directory, which changes its times.
    Renames,
    /// Child directories must be created in the directory.
    Children,
    /// Everything below the directory must be done, because its mode would deny access or because the
    /// directory is published only then.
    All,
}

impl Pending {
    /// Returns the directory that the walk is in, with the values for a directory that has failed.
    pub(super) fn at(at: &EntryPathBuf) -> Self {
        Self {
            depth: at.depth(),
            staged: at.staged,
            source: None,
            done: None,
            waits: None,
            unpublished: is_unpublished(at),
            changes_pending: false,
        }
    }

    /// See [`PendingDirs::note_handed_over`].
    fn note_handed_over(&mut self, source_bytes: usize, renamed: bool) {
        if self.depth.source_bytes > source_bytes {
            return;
        }
        let waits_for_all = self.unpublished || self.waits == Some(Waits::All);
        self.changes_pending |= waits_for_all || renamed && self.depth.source_bytes == source_bytes;
    }
}

impl PendingDirs {
    /// Adds the directory that the walk is in. The walk returns to it when everything below it is done.
    pub(super) fn push(&mut self, dir: Pending) {
        self.0.push(dir);
    }

    /// Removes all directories, because the task has ended.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Notes that the copier has handed over a part of a directory between the operand and the walk's current
    /// directory: some of its names, or a child directory. The length of the directory's source path,
    /// `source_bytes`, tells which directory. `renamed` says that the other copier will change an entry of
    /// that directory: always for names, and for a child directory if that has a staged name.
    pub(super) fn note_handed_over(&mut self, source_bytes: usize, renamed: bool) {
        for dir in &mut self.0 {
            dir.note_handed_over(source_bytes, renamed);
        }
    }

    /// Notes that a later phase will change an entry of the directory that the walk is in. The directory must
    /// not be finished before that phase.
    pub(super) fn wait_for_end(&mut self, walk: &CopyWalk<'_>, progress: &mut DirProgress) {
        progress.below_handed_over = true;
        progress.changes_pending = true;
        self.note_handed_over(walk.at.source.len(), true);
    }

    /// Counts and reports a directory that was not copied completely. If the directory has a staged name, it
    /// is still renamed into place, after everything that could be copied is in it.
    pub(super) fn fail_directory(
        &mut self,
        walk: &mut CopyWalk<'_>,
        error: EntryError,
        changes_pending: bool,
    ) -> Result<(), ParentGone> {
        walk.record_failed(None, error)?;
        if is_unpublished(&walk.at) {
            self.push(Pending { changes_pending, ..Pending::at(&walk.at) });
        }
        Ok(())
    }

    /// Finishes the directories in which and below which nothing waits, the innermost first.
    pub(super) fn finish_ready(&mut self, walk: &mut CopyWalk<'_>) -> Result<(), ParentGone> {
        // All levels are on one path, so a level is below a directory if its path is longer.
        let deepest = walk.deepest_waiting();
        let is_done =
            |dir: &Pending| deepest.is_none_or(|deepest| deepest < dir.depth.source_bytes);
        while self.0.last().is_some_and(is_done) {
            let Some(dir) = self.0.pop() else { break };
            walk.at.truncate(dir.depth);
            walk.at.staged = dir.staged;
            self.complete(walk, &dir)?;
        }
        Ok(())
    }

    /// Finishes `dir`, to which the walk has returned, or leaves that to the parent process.
    fn complete(&mut self, walk: &mut CopyWalk<'_>, dir: &Pending) -> Result<(), ParentGone> {
        walk.publish_place();
        let publishes_later =
            dir.changes_pending || walk.cx.job.plan.options.writes_back_before_publish();
        if publishes_later && dir.unpublished {
            walk.report(None, Event::PublishDeferred)?;
            // the parent process renames it at the end
            self.note_handed_over(split_last(&walk.at.source).0.len(), true);
        }
        match dir.done {
            Some(done) if dir.changes_pending && dir.waits.is_some() => {
                return record_deferred(walk, done);
            }
            Some(Done::Copied) => walk.cx.outbox.begin(),
            _ => {}
        }
        let finished = if dir.changes_pending {
            Ok(AttributeErrors::default())
        } else {
            finish_and_publish(walk, dir, !publishes_later)
        };
        if let Ok(lost) = &finished {
            report_lost(walk, None, lost)?;
        }
        match (finished.map(drop), dir.done) {
            (Ok(()), Some(done)) => record_dir(walk, done),
            (Ok(()), None) => Ok(()),
            (Err(error), Some(_)) => walk.record_failed(None, error),
            (Err(error), None) => walk.report_failed(None, error),
        }
    }
}

fn finish_and_publish(
    walk: &CopyWalk<'_>,
    dir: &Pending,
    publishes: bool,
) -> Result<AttributeErrors, EntryError> {
    let (plan, place) = (walk.cx.job.plan, walk.at.as_path());
    let finished = if dir.waits.is_some() {
        finish_as(plan, place, dir.source)
    } else {
        Ok(AttributeErrors::default())
    };
    // The directory is published even if it could not be finished, so that its entries become visible.
    let published = if publishes && dir.unpublished { publish(plan, place) } else { Ok(()) };
    finished.and_then(|lost| published.map(|()| lost))
}

/// Sets the times and mode of a directory in which nothing will change any more. Returns the attributes that it
/// lacks.
pub(crate) fn finish(plan: &Plan, place: EntryPath<'_>) -> Result<AttributeErrors, EntryError> {
    finish_as(plan, place, None)
}

/// Like [`finish`], but takes the attributes from `seen`, an earlier status of the source, if there is one.
fn finish_as(
    plan: &Plan,
    place: EntryPath<'_>,
    seen: Option<Stat>,
) -> Result<AttributeErrors, EntryError> {
    let operand = operand_of(plan, place)?;
    let source = plan.open_source(operand, place.source).map_err(Op::ReadDirectory.error())?;
    let stat = match seen {
        Some(stat) => stat,
        None => file::stat_fd(&source).map_err(Op::Stat.error())?,
    };
    let target = plan.open_target(operand, place.target).map_err(Op::OpenTarget.error())?;
    let kept = plan.applied.as_ref();
    if let Some(kept) = kept.and_then(|applied| applied.kept_dir(place.operand, place.source)) {
        return keep(target.as_fd(), kept).map(|()| AttributeErrors::default());
    }
    let origin = plan.dir_origin(place.operand, place.source, place.staged);
    Ok(Attrs::new(plan).finish_dir(source.as_fd(), target.as_fd(), &stat, origin))
}

/// Gives a directory of the target the attributes that it had before something in it was changed.
pub(crate) fn keep(target: BorrowedFd<'_>, kept: KeptDir) -> Result<(), EntryError> {
    let now = file::stat_fd(target).map_err(Op::OpenTarget.error())?;
    let times = kept.times.filter(|&(_, modified)| now.modified() != modified);
    if let Some((accessed, modified)) = times {
        file::set_times(target, accessed, modified).map_err(Op::SetTimes.error())?;
    }
    if now.permissions() != kept.permissions {
        file::set_permissions(target, kept.permissions).map_err(Op::SetPermissions.error())?;
    }
    Ok(())
}

/// Sets the attributes of a directory above a target, for `--parents`. Returns the attributes that it lacks.
pub(crate) fn finish_parent(plan: &Plan, parent: &Parent) -> Result<AttributeErrors, EntryError> {
    let source = file::open_dir(&parent.source).map_err(Op::ReadDirectory.error())?;
    let stat = file::stat_fd(&source).map_err(Op::Stat.error())?;
    let target = file::open_dir(&parent.target).map_err(Op::OpenTarget.error())?;
    let origin = if parent.new { DirOrigin::New } else { DirOrigin::Existing };
    Ok(Attrs::new(plan).finish_dir(source.as_fd(), target.as_fd(), &stat, origin))
}

/// Renames a directory from its staged name, which is in `place`, to its final name.
pub(crate) fn publish(plan: &Plan, place: EntryPath<'_>) -> Result<(), EntryError> {
    let error = Op::Publish.error();
    let operand = operand_of(plan, place)?;
    let (above, staged) = split_last(place.target);
    let at_top = above.is_empty();
    // The directory that contains an operand's target is not opened again. It may be a drop box: the user has
    // permission to write to it, but not to read it.
    let opened: OwnedFd;
    let parent = if at_top {
        plan.target_dir(operand)
    } else {
        opened = plan.open_target(operand, above).map_err(&error)?;
        opened.as_fd()
    };
    let own = c_name(split_last(place.source).1);
    let name = if at_top { &operand.target_name } else { &own };
    if at_top {
        give_mode_for_good(plan, operand, parent, &c_name(staged));
    }
    file::rename_noreplace(parent, &c_name(staged), name).map_err(error)
}

/// Gives the directory of an operand the mode of its source, if it has not been finished because it has failed:
/// what is complete in it is then as accessible as in the end. The source itself may not be readable any more.
fn give_mode_for_good(plan: &Plan, operand: &Operand, parent: BorrowedFd<'_>, staged: &CStr) {
    let keep = &plan.options.preserve;
    let may_limit = plan.options.sets_owner() || keep.access_lists.is_wanted();
    if !keep.keeps_dir_modes || may_limit {
        return;
    }
    let wanted = plan.options.wanted_permissions_of(operand.mode);
    let is_finished = |mode| mode & 0o777 != UNFINISHED_MODE & 0o777 || mode == wanted;
    if file::stat_at(parent, staged).is_ok_and(|dir| is_finished(dir.permissions())) {
        return;
    }
    let opened = file::open_dir_at(parent, staged); // setting the mode by name would need its status
    if opened.and_then(|dir| file::set_permissions(&dir, wanted)).is_err() {
        // The directory stays accessible to its owner alone. Its failure is already reported.
    }
}

fn operand_of<'a>(plan: &'a Plan, place: EntryPath<'_>) -> Result<&'a Operand, EntryError> {
    let operand = plan.operands.get(place.operand as usize);
    operand.ok_or(EntryError { op: Op::Publish, errno: Errno::EINVAL })
}

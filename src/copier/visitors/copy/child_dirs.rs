//! The child directories of a directory. The copier that finds a child directory creates its target at once,
//! or leaves the creation to the copier that enters the child. A child that no copier has entered yet waits
//! in a list of the walk.

use super::entries::hold_back;
use super::record::report_lost;
use super::{CopyVisitor, CopyWalk, Found};
use crate::copier::dir_pair::{ChildMark, DirPair, make_child, make_child_in_place};
use crate::copier::entry::decide::check_just_created;
use crate::copier::entry::result::AttributeErrors;
use crate::copier::report_writer::ParentGone;
use crate::copier::traverse::DirProgress;
use crate::error::{AttributeError, EntryError, Op, may_forbid_staging};
use crate::ipc::inherited::built_dirs::Overlap;
use crate::ipc::memory::counters::Count;
use crate::ipc::memory::fs_caps::Capability;
use crate::ipc::wire::event::Event;
use crate::staging::leftover::try_rename;
use crate::staging::staged_name;
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use std::ffi::CStr;
use std::os::fd::AsFd;

/// In a directory whose target path has at least this many bytes, child directories are created at once.
const DEFERRED_PATH_BYTES: usize = 1024;

impl<'a> CopyVisitor<'a> {
    /// Creates a child directory in the target, or notes that it must be created later. The child then waits
    /// to be entered.
    pub(super) fn keep_dir(
        &mut self,
        walk: &mut CopyWalk<'a>,
        found: Found<'_>,
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        let Found { dirs, name, target_name } = found;
        if walk.is_own_operand(name) {
            walk.cx.status.subtract(Count::Found, 1); // the walk finds it again, as an operand
            return Ok(());
        }
        if is_copied_here(walk, found) {
            walk.cx.status.subtract(Count::Found, 1); // it was found as the earlier operand
            let error = Op::DirectoryAgain.error()(Errno::EEXIST);
            let again = AttributeError { error, required: false };
            return walk.report(Some(name), Event::AttributeFailed(again));
        }
        if may_be_made_later(walk, dirs) {
            progress.has_uncreated_children = true;
            return match progress.children.push(ChildMark::UNCREATED.to_byte(), name) {
                Ok(()) => Ok(()),
                Err(_) => {
                    walk.record_failed(Some(name), Op::CreateDirectory.error()(Errno::ENOMEM))
                }
            };
        }
        let mut lost = AttributeErrors::default();
        let made = self.make_or_move_away(walk, found, &mut lost).and_then(|child| {
            note_built(walk, dirs, child, target_name);
            let kept = progress.children.push(child.to_byte(), name);
            kept.map(|()| child).map_err(|_| Op::CreateDirectory.error()(Errno::ENOMEM))
        });
        let child = match made {
            Ok(child) => child,
            Err(error) => {
                // The listing may be wrong (see `copy_after_all`), and the copy of a file may exist.
                let kind = dirs.stat_source(name).map_or(Kind::Directory, |stat| stat.kind());
                let is_in_the_way =
                    matches!(error.op, Op::DirectoryOverFile | Op::DirectoryOverSymlink);
                return match kind {
                    Kind::Directory if is_in_the_way && walk.cx.may_hold_back(dirs) => {
                        hold_back(walk, found, error)
                    }
                    Kind::Directory => walk.record_failed(Some(name), error),
                    other => self.copy_entry(walk, found, other, progress),
                };
            }
        };
        report_lost(walk, Some(name), &lost)?;
        if let Some(variant) = child.renamed() {
            progress.has_staged_children = true;
            if dirs.contended {
                let staged = staged_name(target_name, variant.into());
                return walk.report_names(name, &staged, Event::PublishDeferred, || ());
            }
        } else if walk.cx.options().in_place && must_report(walk, dirs, name, child) {
            return walk.report_names(name, target_name, Event::DirectoryCreated, || ());
        }
        walk.cx.outbox.settle();
        Ok(())
    }

    /// Creates the child directory. If a file has the directory's name, first makes a backup of the file,
    /// provided that the options require backups and the policy permits this one.
    fn make_or_move_away(
        &mut self,
        walk: &CopyWalk<'a>,
        found: Found<'_>,
        lost: &mut AttributeErrors,
    ) -> Result<ChildMark, EntryError> {
        let made = make(walk, found, lost);
        let backup = walk.cx.options().backup.as_ref();
        let backup = backup.filter(|_| walk.cx.policy().dir_over_file_with_backup);
        match (made, backup) {
            (Err(EntryError { op: Op::DirectoryOverFile, .. }), Some(backup)) => {
                check_just_created(&walk.cx, found.dirs.just_created)?;
                self.entry_copier.move_away(backup, &found.at(&walk.at))?;
                make(walk, found, lost)
            }
            (made, _) => made,
        }
    }
}

fn make(
    walk: &CopyWalk<'_>,
    found: Found<'_>,
    lost: &mut AttributeErrors,
) -> Result<ChildMark, EntryError> {
    let Found { dirs, name, target_name } = found;
    let (plan, job) = (walk.cx.plan(), walk.cx.job);
    let fresh = job.history.fresh.get(walk.at.operand as usize).is_some_and(|&fresh| fresh);
    let needs_source = plan.options.in_place || plan.has_earlier_dirs();
    let source = needs_source.then(|| dirs.stat_source(name).map_err(Op::Stat.error()));
    let source = source.transpose()?;
    if let Some(source) = source.filter(|_| !dirs.contended) {
        if overlap(walk, &source) == Some(Overlap::Target) {
            return Err(Op::IntoItself.error()(Errno::ELOOP));
        }
        if plan.earlier_dir(walk.at.operand, source.identity()).is_some() {
            return Err(Op::DirectoryAgain.error()(Errno::EEXIST));
        }
    }
    if let Some(source) = source.filter(|_| plan.options.in_place && !dirs.staged) {
        let made = walk.cx.was_made(name);
        let begin = || walk.cx.outbox.begin_new();
        let mut child = make_child_in_place(plan, dirs, (&source, target_name), made, begin)?;
        child.existed &= !(fresh && dirs.contended); // the parent process has just created it
        return Ok(child);
    }
    if plan.options.in_place {
        walk.cx.outbox.begin_new();
    }
    let made = make_child(plan, dirs, (name, target_name), source.as_ref());
    let is_parents = || job.built_dirs.has_target_of(walk.at.operand);
    if dirs.contended && (made.is_ok() || is_parents()) {
        return made.map(|child| match child.staged {
            // The parent process may have just created it, in order to lock it.
            Some(_) => ChildMark { existed: child.existed && !fresh, ..child },
            // It cannot be staged there.
            None if fresh => ChildMark::CREATED_IN_PLACE,
            None => child,
        });
    }
    let (made, refused) = unless_refused(walk, dirs, target_name, made);
    if let Some(errno) = refused {
        lost.add(AttributeError { error: Op::Stage.error()(errno), required: false });
    }
    made
}

/// Whether a child directory was copied before, as an earlier operand, to this same place. As in cp, it is then not
/// copied again, and nothing has failed.
fn is_copied_here(walk: &CopyWalk<'_>, found: Found<'_>) -> bool {
    let Found { dirs, name, target_name } = found;
    let plan = walk.cx.plan();
    if dirs.contended || !plan.has_earlier_dirs() {
        return false;
    }
    let Ok(source) = dirs.stat_source(name) else { return false };
    let earlier = plan.earlier_dir(walk.at.operand, source.identity());
    earlier.is_some_and(|earlier| {
        let copied = file::stat_at(plan.target_dir(earlier), &earlier.target_name);
        let here = file::stat_at(&dirs.target, target_name);
        copied.is_ok_and(|copied| here.is_ok_and(|here| here.identity() == copied.identity()))
    })
}

/// Whether a directory must be reported as created under its final name. If another round follows, it must
/// distinguish this directory from those that existed before the run.
fn must_report(walk: &CopyWalk<'_>, dirs: &DirPair, name: &CStr, child: ChildMark) -> bool {
    // The parent process has created the directory of an operand, and the copier that was to report that may
    // have died.
    let made_by_parent = dirs.contended && walk.cx.was_made(name);
    !child.existed || walk.cx.was_begun_new(name) || made_by_parent
}

/// Creates a new child of an existing directory under its final name, if it cannot be created under a staged
/// name, or could not be renamed later. Returns the error that shows that.
///
/// Whether directories can be renamed is tried with the first one on each device.
fn unless_refused(
    walk: &CopyWalk<'_>,
    dirs: &DirPair,
    target_name: &CStr,
    made: Result<ChildMark, EntryError>,
) -> (Result<ChildMark, EntryError>, Option<Errno>) {
    let (cx, device, target) = (walk.cx, dirs.traits.device, dirs.target.as_fd());
    let refused = match &made {
        Ok(child) if child.renamed().is_some() && !child.existed => {
            let staged = child.current_name(target_name);
            let tried = if cx.lacks(device, Capability::Staging) {
                Err(Errno::EOPNOTSUPP)
            } else if cx.lacks(device, Capability::UntriedRename) {
                Ok(())
            } else {
                try_rename(target, &staged)
            };
            match tried {
                Ok(()) => {
                    cx.note_lack(device, Capability::UntriedRename);
                    return (made, None);
                }
                Err(errno) => {
                    cx.note_lack(device, Capability::Staging);
                    // Where nothing can be removed either (`chattr +a`), the empty directory stays.
                    let removed = file::remove_dir(&dirs.target, &staged);
                    if removed.is_err_and(|errno| !may_forbid_staging(errno)) {
                        return (made, None);
                    }
                    errno
                }
            }
        }
        Err(EntryError { op: Op::CreateDirectory, errno })
            if !dirs.staged
                && may_forbid_staging(*errno)
                && file::stat_at(&dirs.target, target_name).err() == Some(Errno::ENOENT) =>
        {
            *errno
        }
        _ => return (made, None),
    };
    let created = file::make_dir(&dirs.target, target_name, 0o700);
    match created.map_err(Op::CreateDirectory.error()) {
        Ok(()) => (Ok(ChildMark::CREATED_IN_PLACE), Some(refused)),
        Err(error) => (made.and(Err(error)), None),
    }
}

/// Returns whether and how a directory of the source is one that this run builds; `None` if the walk does not
/// enter it anyway.
pub(super) fn overlap(walk: &CopyWalk<'_>, source: &Stat) -> Option<Overlap> {
    let overlap = walk.cx.job.built_dirs.overlap(source.identity(), walk.at.operand);
    overlap.filter(|_| !walk.is_left_out(source))
}

/// Adds a new directory inside an existing one to the directories that this run builds.
fn note_built(walk: &CopyWalk<'_>, dirs: &DirPair, child: ChildMark, target_name: &CStr) {
    let built_dirs = walk.cx.job.built_dirs;
    let is_nested = !dirs.staged && !dirs.contended && child.staged.is_some();
    if !is_nested || !built_dirs.expects_nested() {
        return;
    }
    let name = child.current_name(target_name);
    if let Ok(made) = file::stat_at(&dirs.target, &name) {
        built_dirs.add_nested(made.identity());
    }
}

/// Whether a child directory may be created later, by the copier that enters it. The directory above must be
/// unknown to other runs, and no status must be needed before the creation.
///
/// File systems put a new directory where there is room for its contents: xfs uses its allocation groups in
/// turn, and puts files into the group of their directory. If directories that are filled at the same time
/// are also created one after the other, they are in different groups. Then no copier waits for the lock of a
/// group.
fn may_be_made_later(walk: &CopyWalk<'_>, dirs: &DirPair) -> bool {
    let plain = dirs.staged && !dirs.existed && !dirs.contended;
    // The directory above can be finished only after copiers have entered all its children, and is then
    // opened by its path. In a very long chain of directories, that would take longer and longer.
    plain
        && walk.at.target.len() < DEFERRED_PATH_BYTES
        && !walk.cx.options().in_place
        && !walk.cx.plan().has_earlier_dirs()
}

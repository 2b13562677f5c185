//! The directories in a directory: made now or when the walk comes to them, and kept for later.

use super::{CopyVisitor, CopyWalk};
use crate::copier::dir_pair::{ChildMark, DirPair, make_child, make_child_in_place};
use crate::copier::entry::Entry;
use crate::copier::entry::decide::check_just_created;
use crate::copier::report_writer::ParentGone;
use crate::copier::traverse::DirProgress;
use crate::error::{EntryError, Op};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::Event;
use crate::staging::staged_name;
use pcopy_sys::Errno;
use std::ffi::CStr;

/// Directories with longer paths than this have their children made at once.
const DEFERRED_PATH_BYTES: usize = 1024;

impl<'a> CopyVisitor<'a> {
    /// Makes a child directory and keeps it for later.
    pub(super) fn child(
        &mut self,
        walk: &mut CopyWalk<'a>,
        dirs: &DirPair,
        name: &CStr,
        target_name: &CStr,
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        if self.is_apart(walk, name) {
            walk.cx.status.take_back(Count::Found, 1); // it is found again, where its turn comes
            return Ok(());
        }
        if self.may_be_made_late(walk, dirs) {
            progress.unmade = true;
            return match progress.children.push(ChildMark::UNMADE.to_byte(), name) {
                Ok(()) => Ok(()),
                Err(_) => {
                    walk.record_failed(Some(name), Op::CreateDirectory.error()(Errno::ENOMEM))
                }
            };
        }
        let mut made = self.make_child(walk, dirs, name, target_name);
        // cp lets a directory take the place of something else where that is kept.
        if let (Err(EntryError { op: Op::DirectoryOverFile, .. }), Some(backup), true) = (
            &made,
            &walk.cx.job.plan.options.backup,
            walk.cx.job.plan.policy.dir_over_file_with_backup,
        ) {
            let entry = Entry::new(&walk.at, dirs, name, target_name);
            made = match check_just_created(&walk.cx, dirs.again) {
                Ok(()) => self
                    .entry_copier
                    .move_away(backup, entry)
                    .and_then(|()| self.make_child(walk, dirs, name, target_name)),
                Err(error) => Err(error),
            };
        }
        let made = made.and_then(|child| {
            let kept = progress.children.push(child.to_byte(), name);
            kept.map(|()| child).map_err(|_| Op::CreateDirectory.error()(Errno::ENOMEM))
        });
        let child = match made {
            Ok(child) => child,
            Err(error) => return walk.record_failed(Some(name), error),
        };
        if let Some(variant) = child.renamed() {
            progress.renames = true;
            if dirs.contended {
                let staged = staged_name(target_name, variant.into());
                return walk.report_names(name, &staged, Event::Built, || ());
            }
        } else if walk.cx.job.plan.options.in_place
            && (!child.existed || walk.cx.was_begun_new(name))
        {
            // The next round, should there be one, must know it from those that stood there.
            return walk.report_names(name, target_name, Event::Made, || ());
        }
        walk.cx.outbox.settle();
        Ok(())
    }

    /// Whether a child directory is an entry of its own.
    fn is_apart(&self, walk: &CopyWalk<'a>, name: &CStr) -> bool {
        walk.cx.job.plan.has_apart() && {
            let path = walk.at.source_of(name.to_bytes());
            walk.cx.job.plan.is_apart(walk.at.operand, &path)
        }
    }

    /// Whether a child directory need not be made before somebody begins with it: nobody but this
    /// round knows its parent, and it must be looked at in no other way.
    ///
    /// File systems put a new directory where there is room for what will be in it: xfs goes through
    /// its allocation groups in turn, and files go where their directory is. If those that are filled
    /// at the same time are made one after the other, they are in different groups, and nobody waits
    /// for a group's lock.
    fn may_be_made_late(&self, walk: &CopyWalk<'a>, dirs: &DirPair) -> bool {
        let plain = dirs.staged && !dirs.existed && !dirs.contended;
        // The parent is finished when all of them have begun, and reached by its path for that: in a
        // chain of directories without end that would take ever longer.
        plain
            && walk.at.target.len() < DEFERRED_PATH_BYTES
            && !walk.cx.job.plan.options.in_place
            && !walk.cx.job.plan.has_earlier_dirs()
            && walk.operand().is_some_and(|operand| operand.into_itself.is_none())
    }

    fn make_child(
        &self,
        walk: &CopyWalk<'a>,
        dirs: &DirPair,
        name: &CStr,
        target_name: &CStr,
    ) -> Result<ChildMark, EntryError> {
        let plan = walk.cx.job.plan;
        let fresh = walk.cx.job.fresh.get(walk.at.operand as usize).is_some_and(|&fresh| fresh);
        if !dirs.contended && self.is_into_itself(walk, dirs, name) {
            return Err(Op::IntoItself.error()(Errno::ELOOP));
        }
        if plan.has_earlier_dirs() && !dirs.contended {
            let source = dirs.stat_source(name).map_err(Op::Stat.error())?;
            if plan.earlier_dir(walk.at.operand, source.identity()).is_some() {
                return Err(Op::DirectoryAgain.error()(Errno::EEXIST));
            }
        }
        if plan.options.in_place && !dirs.staged {
            let made = walk.cx.was_made(name);
            let begin = || walk.cx.outbox.begin_new();
            let mut child = make_child_in_place(plan, dirs, (name, target_name), made, begin)?;
            child.existed &= !(fresh && dirs.contended); // the supervisor has made it
            return Ok(child);
        }
        if plan.options.in_place {
            walk.cx.outbox.begin_new();
        }
        let mut child = make_child(plan, dirs, (name, target_name))?;
        if dirs.contended && child.staged.is_some() {
            child.existed = !fresh; // the supervisor has made it, to lock it
        }
        Ok(child)
    }

    /// Whether the target is met from above: cp makes a copy of all that is beside it.
    fn is_into_itself(&self, walk: &CopyWalk<'a>, dirs: &DirPair, name: &CStr) -> bool {
        walk.operand().is_some_and(|operand| operand.into_itself.is_some())
            && dirs
                .stat_source(name)
                .is_ok_and(|stat| walk.cx.job.targets.contains(&stat.identity()))
    }
}

//! Copies a tree: what a copier does with each operand, directory and entry.

mod child_dirs;
mod deferred_dirs;
mod digest;
mod entries;
mod links;
mod planned;
mod prompted;
mod record;
mod verify;

pub(crate) use deferred_dirs::{finish, finish_parent, keep, publish};
pub(super) use entries::{itemized_as, kind_of, shown_source};

use crate::copier::Worker;
use crate::copier::context::Context;
use crate::copier::dir_pair::{
    ChildMark, DirPair, c_name, create_deferred, open_by_path, open_child, operand_dirs,
};
use crate::copier::entry::result::Done;
use crate::copier::entry::{Entry, EntryCopier, HEAVY_BYTES, help, itemize};
use crate::copier::extraneous;
use crate::copier::report_writer::{ParentGone, ReportWriter};
use crate::copier::traverse::{self, Child, DirProgress, Offered, Visitor, Waiting, Walk, select};
use crate::error::{EntryError, Op};
use crate::ipc::inherited::built_dirs::Overlap;
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::Event;
use crate::ipc::wire::itemized::Itemized;
use crate::ipc::wire::task::{EntryPath, EntryPathBuf, Task, split_last};
use crate::plan::{Applied, DirOrigin};
use crate::staging::removal::{remove, remove_extraneous};
use child_dirs::overlap;
use deferred_dirs::{Pending, PendingDirs, Waits};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use planned::kept_dir;
use record::{record_dir, report_changes, report_lost};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

/// A walk that copies what it visits.
pub(super) type CopyWalk<'a> = Walk<'a, DirPair>;

/// A copier that copies: its walk and its visitor.
pub(in crate::copier) struct CopyWorker<'a> {
    walk: CopyWalk<'a>,
    visitor: CopyVisitor<'a>,
}

/// The visitor that copies what the walk visits.
///
/// More than 20 functions take it mutably: the trait has eight, and each kind of task (directories, entries,
/// links, prompted names, files to read back) begins here. They share the entry copier's buffer.
pub(super) struct CopyVisitor<'a> {
    entry_copier: EntryCopier<'a>,
    /// The directories on the walk's path that are finished on the way back up.
    pending: PendingDirs,
    /// The devices of the file systems that this copier has reported.
    volumes: Vec<u64>,
}

/// An entry as the walk has found it: its directory in the source and in the target, and its name in each.
#[derive(Clone, Copy)]
pub(super) struct Found<'e> {
    dirs: &'e DirPair,
    name: &'e CStr,
    target_name: &'e CStr,
}

impl<'e> Found<'e> {
    /// Returns the same entry with the path of its directory.
    fn at(self, at: &'e EntryPathBuf) -> Entry<'e> {
        let Self { dirs, name, target_name } = self;
        Entry { at, dirs, name, target_name }
    }
}

/// What is known of a directory after it was entered.
pub(super) struct CopyFacts {
    source: Stat,
    /// Whether the directory counts as copied or as skipped.
    done: Done,
    /// Whether entries that the source does not have are removed at the end, because an earlier round or run
    /// left them.
    cleans: bool,
}

impl<'a> CopyWorker<'a> {
    pub(in crate::copier) fn new(cx: Context<'a>, reports: ReportWriter<'a>) -> Self {
        let (entry_copier, pending, volumes) =
            (EntryCopier::new(cx), PendingDirs::default(), Vec::new());
        let visitor = CopyVisitor { entry_copier, pending, volumes };
        Self { walk: Walk::new(cx, reports), visitor }
    }
}

impl Worker for CopyWorker<'_> {
    fn run_task(&mut self, task: Task<'_>) -> Result<(), ParentGone> {
        let Self { walk, visitor } = self;
        match task {
            Task::Operands { first, end } => traverse::operands(walk, visitor, first..end),
            Task::Directory { place, existed } => {
                traverse::directory_task(walk, visitor, place, existed)
            }
            Task::Names { place, existed, names } => {
                traverse::names_task(walk, visitor, (place, existed), names)
            }
            Task::LargeFile(request) => {
                help(walk.cx, &request, &mut visitor.entry_copier.buffer);
                Ok(())
            }
            Task::Links { first, end } => visitor.link_groups(walk, first, end),
            Task::Verify { first, end } => visitor.verify(walk, first, end),
            Task::Prompted { first, end } => visitor.copy_prompted(walk, first, end),
            Task::Remove { .. } => Ok(()), // another worker does that
        }
    }

    fn flush_reports(&mut self) -> Result<(), ParentGone> {
        self.walk.reports.flush()
    }
}

impl<'a> Visitor<'a> for CopyVisitor<'a> {
    type Dir = DirPair;
    type Facts = CopyFacts;

    const LOOKS_FOR_EXTRANEOUS: bool = true;

    fn operand_count(&self, cx: &Context<'_>) -> usize {
        cx.plan().operands.len()
    }

    fn operand(
        &mut self,
        walk: &mut CopyWalk<'a>,
        _number: u32,
        progress: &mut DirProgress,
    ) -> Result<Option<DirPair>, ParentGone> {
        let Some(operand) = walk.operand() else { return Ok(None) };
        if walk.cx.plan().applied.as_ref().is_some_and(|applied| !applied.has(walk.at.operand)) {
            return Ok(None);
        }
        walk.cx.status.add(Count::Found, 1);
        let dirs = match operand_dirs(walk.cx.plan(), operand, walk.cx.job.history.failed) {
            Ok(dirs) => dirs,
            Err(error) => {
                walk.record_failed(Some(&operand.source_name), error)?;
                return Ok(None);
            }
        };
        let (name, target_name) = (&*operand.source_name, &*operand.target_name);
        let found = Found { dirs: &dirs, name, target_name };
        self.copy_entry(walk, found, Kind::Unknown, progress)?;
        Ok(Some(dirs))
    }

    fn open(&self, walk: &CopyWalk<'a>, existed: bool) -> Result<DirPair, EntryError> {
        open_by_path(walk.cx.plan(), walk.at.as_path(), existed)
    }

    fn entry(
        &mut self,
        walk: &mut CopyWalk<'a>,
        dirs: &DirPair,
        (kind, name): (Kind, &CStr),
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        self.copy_entry(walk, Found { dirs, name, target_name: name }, kind, progress)
    }

    fn child(&self, cx: &Context<'_>, waiting: &Waiting<'_, DirPair>) -> Child<DirPair> {
        let Waiting { path, parent, mark, name } = *waiting;
        let (plan, mark) = (cx.plan(), ChildMark::from_byte(mark));
        let staged = path.staged || mark.staged.is_some();
        let existed = mark.existed;
        let target_name = mark.target_name(plan, path.operand, path.source.is_empty(), name);
        let open = |dirs: &DirPair| open_child(plan, dirs, name, &target_name, staged, existed);
        let made = if mark.uncreated {
            create_deferred(plan, path.operand, (parent, path.target), &target_name)
        } else {
            Ok(())
        };
        let opened = match made {
            Ok(()) => parent.map(open),
            Err(error) => Some(Err(error)),
        };
        Child { target_name, opened, staged, existed }
    }

    fn offer(&self, cx: &Context<'_>, waiting: &Waiting<'_, DirPair>) -> Offered {
        let Waiting { path, parent, mark, name } = *waiting;
        let (plan, mut mark) = (cx.plan(), ChildMark::from_byte(mark));
        let target_name = mark.target_name(plan, path.operand, path.source.is_empty(), name);
        if mark.uncreated {
            let parent = (parent, path.target);
            // If the creation fails, the child is not handed over. This copier reports the failure when it
            // enters the child.
            mark.uncreated = create_deferred(plan, path.operand, parent, &target_name).is_err();
        }
        Offered {
            target_name,
            staged: path.staged || mark.staged.is_some(),
            existed: mark.existed,
            renamed: mark.renamed().is_some(),
            mark: mark.to_byte(),
            is_ready: !mark.uncreated,
        }
    }

    fn enter(
        &mut self,
        walk: &mut CopyWalk<'a>,
        mut opened: Option<Result<DirPair, EntryError>>,
        existed: bool,
    ) -> Result<Option<(DirPair, CopyFacts)>, ParentGone> {
        let staged = walk.at.staged;
        let looked = walk.retry(
            |error| Some(*error),
            |walk| {
                let anew = || open_by_path(walk.cx.plan(), walk.at.as_path(), existed);
                stat_unless_refused(walk, opened.take().unwrap_or_else(anew)?)
            },
        );
        let (dirs, source) = match looked {
            Ok(both) => both,
            Err(error) if is_no_directory(walk, error) => {
                self.copy_after_all(walk, error, existed)?;
                return Ok(None);
            }
            Err(error) => {
                if staged && existed && !walk.cx.options().in_place {
                    remove_leftovers(walk);
                }
                self.pending.fail_directory(walk, error, false)?;
                return Ok(None);
            }
        };
        if let Some(overlap) = overlap(walk, &source) {
            leave_out(walk, overlap, existed)?;
            return Ok(None);
        }
        // An existing staged directory that is not finished was left by an earlier round or run, which did
        // not count it.
        let skipped = existed && (!staged || walk.cx.attrs.is_finished_dir(&source, &dirs.target));
        let done = if skipped { Done::Skipped } else { Done::Copied };
        if walk.cx.options().itemize_changes
            && kept_dir(walk).is_none()
            && let Some(item) = itemize_dir(walk, &dirs, &source, done)
        {
            report_changes(walk, None, &item)?;
        }
        // What an earlier round or run left there may be the copy of another source, or of a source that has
        // changed.
        let cleans = staged && existed && !dirs.is_visible(walk.cx.plan());
        Ok(Some((dirs, CopyFacts { source, done, cleans })))
    }

    fn source_of(dirs: &DirPair) -> BorrowedFd<'_> {
        dirs.source.as_fd()
    }

    fn source_to_list<'d>(
        &self,
        walk: &CopyWalk<'a>,
        dirs: &'d DirPair,
        facts: &CopyFacts,
    ) -> Option<BorrowedFd<'d>> {
        (!walk.is_left_out(&facts.source)).then(|| dirs.source.as_fd())
    }

    fn leave(
        &mut self,
        walk: &mut CopyWalk<'a>,
        dirs: &DirPair,
        facts: CopyFacts,
        listed: Result<(), EntryError>,
        progress: &DirProgress,
    ) -> Result<(), ParentGone> {
        self.report_volume(walk, dirs)?;
        let is_shared = dirs.existed && !dirs.staged;
        if walk.looks_for_extraneous
            && is_shared
            && listed.is_ok()
            && !walk.is_left_out(&facts.source)
        {
            extraneous::list(walk, (&dirs.source, &dirs.target), &progress.known)?;
        }
        let cleaned = if facts.cleans {
            debug_assert!(dirs.staged, "only staged entries may be removed");
            let (source, target) = (dirs.source.as_fd(), dirs.target.as_fd());
            let selector = select::selector(walk);
            let mut asked = selector.as_ref().map(|selector| selector.begin(walk));
            let is_whole_left_out = walk.is_left_out(&facts.source);
            let (plan, at) = (walk.cx.plan(), walk.at.clone());
            let is_unplanned = |name: &CStr| {
                let role = |applied: &Applied| {
                    applied.role(at.operand, &at.source_of(name.to_bytes())).is_none()
                };
                plan.applied.as_ref().is_some_and(role)
            };
            let is_left_out = |name: &CStr| {
                let asked = asked.as_mut();
                is_whole_left_out
                    || is_unplanned(name)
                    || asked.is_some_and(|asked| select::leaves_out(asked, source, name))
            };
            listed.and_then(|()| remove_extraneous(source, target, is_left_out))
        } else {
            listed
        };
        match cleaned {
            Ok(()) => self.finish(walk, dirs, &facts, progress),
            Err(error) => self.pending.fail_directory(walk, error, progress.below_handed_over),
        }
    }

    fn before_next_child(&mut self, walk: &mut CopyWalk<'a>) -> Result<(), ParentGone> {
        self.pending.finish_ready(walk)
    }

    fn end_task(&mut self) {
        self.pending.clear();
    }

    fn note_handed_over(&mut self, source_bytes: usize, renamed: bool) {
        self.pending.note_handed_over(source_bytes, renamed);
    }

    fn existed(dirs: &DirPair) -> bool {
        dirs.existed
    }

    fn is_heavy(dirs: &DirPair, name: &CStr) -> bool {
        dirs.stat_source(name).is_ok_and(|stat| stat.size() >= HEAVY_BYTES)
    }
}

impl<'a> CopyVisitor<'a> {
    /// Copies the entry that the walk is at, which was listed as a directory but is none. Some FUSE file systems
    /// list wrong types. `error` says why it could not be entered.
    fn copy_after_all(
        &mut self,
        walk: &mut CopyWalk<'a>,
        error: EntryError,
        existed: bool,
    ) -> Result<(), ParentGone> {
        if !existed {
            remove_empty_copy(walk);
        }
        let at = walk.at.clone();
        let ((above, name), (target, _)) = (split_last(&at.source), split_last(&at.target));
        // The directory counts as one that others use. So the entry is built under a staged name, which is right
        // in every directory.
        let place = EntryPath { operand: at.operand, source: above, target, staged: false };
        walk.at.go_to(place);
        let (name, mut progress) = (c_name(name), DirProgress::default());
        match open_by_path(walk.cx.plan(), place, true) {
            Ok(dirs) => {
                let found = Found { dirs: &dirs, name: &name, target_name: &name };
                self.copy_entry(walk, found, Kind::Unknown, &mut progress)?;
                if !progress.children.is_empty() {
                    // It has become a directory again, which nothing will enter.
                    return walk.record_failed(Some(&name), error);
                }
            }
            Err(error) => return walk.record_failed(Some(&name), error),
        }
        // The times of the directory above may have been set already, and have changed now.
        let lost = finish(walk.cx.plan(), place).unwrap_or_default();
        report_lost(walk, None, &lost)
    }

    /// Reports the file system of a directory, once for each file system, because the parent process must
    /// flush it.
    fn report_volume(&mut self, walk: &mut CopyWalk<'a>, dirs: &DirPair) -> Result<(), ParentGone> {
        let device = dirs.traits.device;
        if !walk.cx.options().writes_back_before_publish() || self.volumes.contains(&device) {
            return Ok(());
        }
        self.volumes.push(device);
        walk.report(None, Event::OtherFileSystem)
    }

    /// Sets the times and mode of a directory and publishes it, or notes what must happen before.
    fn finish(
        &mut self,
        walk: &mut CopyWalk<'a>,
        dirs: &DirPair,
        facts: &CopyFacts,
        progress: &DirProgress,
    ) -> Result<(), ParentGone> {
        let CopyFacts { source, done, .. } = facts;
        let unpublished = is_unpublished(&walk.at);
        let waits = self.waits(walk, source, progress);
        if waits.is_some() {
            self.pending.push(Pending {
                source: Some(*source),
                done: Some(*done),
                waits,
                changes_pending: progress.changes_pending
                    || progress.below_handed_over && waits == Some(Waits::All),
                ..Pending::at(&walk.at)
            });
            return Ok(());
        }
        if *done == Done::Copied {
            walk.cx.outbox.begin();
        }
        let (from, to) = (dirs.source.as_fd(), dirs.target.as_fd());
        let as_it_was = dirs.existed && !dirs.staged;
        let origin = origin_of(walk);
        if let Some(kept) = kept_dir(walk) {
            if let Err(error) = keep(to, kept) {
                return walk.record_failed(None, error);
            }
        } else if !(as_it_was && walk.cx.attrs.needs_nothing(source, to, origin)) {
            let lost = walk.cx.attrs.finish_dir(from, to, source, origin);
            report_lost(walk, None, &lost)?;
        }
        let published =
            if unpublished { publish(walk.cx.plan(), walk.at.as_path()) } else { Ok(()) };
        match published {
            Ok(()) => record_dir(walk, *done),
            Err(error) => walk.record_failed(None, error),
        }
    }

    /// Returns what must happen before the times and mode of a directory can be set; `None` if they can be
    /// set now.
    fn waits(&self, walk: &CopyWalk<'a>, source: &Stat, progress: &DirProgress) -> Option<Waits> {
        let has_children = progress.below_handed_over || !progress.children.is_empty();
        let lets_owner_in = match kept_dir(walk) {
            Some(kept) => kept.permissions & 0o700 == 0o700,
            None => walk.cx.attrs.lets_owner_in(source, origin_of(walk)),
        };
        let locks_us_out = !walk.cx.job.is_root && !lets_owner_in;
        let unpublished = is_unpublished(&walk.at);
        let writes_back = unpublished && walk.cx.options().writes_back_before_publish();
        if has_children && (locks_us_out || unpublished) || writes_back {
            return Some(Waits::All);
        }
        if progress.has_staged_children || progress.changes_pending {
            return Some(Waits::Renames);
        }
        let waits = progress.has_uncreated_children && !progress.children.is_empty();
        waits.then_some(Waits::Children)
    }
}

/// Returns what is changed of the directory that the walk is in; `None` if nothing is.
fn itemize_dir(walk: &CopyWalk<'_>, dirs: &DirPair, source: &Stat, done: Done) -> Option<Itemized> {
    if done == Done::Copied {
        return Some(Itemized::new_entry(source));
    }
    let old = file::stat_fd(&dirs.target).ok()?;
    let old = dirs.closed_bits.map_or(old, |bits| old.with_permissions(bits));
    let ends = (dirs.source.as_fd(), dirs.target.as_fd());
    itemize::of_dir(&walk.cx, ends, (source, &old), origin_of(walk))
}

/// Returns where the target of the directory that the walk is in comes from.
fn origin_of(walk: &CopyWalk<'_>) -> DirOrigin {
    walk.cx.plan().dir_origin(walk.at.operand, &walk.at.source, walk.at.staged)
}

/// Whether a copier has created the directory under a staged name. (The parent process creates, locks and
/// publishes the directories of operands.)
fn is_unpublished(at: &EntryPathBuf) -> bool {
    let (above, name) = split_last(&at.source);
    !above.is_empty() && split_last(&at.target).1 != name
}

/// Fails for a directory that killed copiers. Otherwise returns the status of the source.
fn stat_unless_refused(walk: &CopyWalk<'_>, dirs: DirPair) -> Result<(DirPair, Stat), EntryError> {
    if walk.cx.is_passed_over(c"") {
        return Err(Op::KillsCopiers.error()(Errno::EIO));
    }
    let stat = file::stat_fd(&dirs.source).map_err(Op::Stat.error())?;
    // If the target was created inside this operand, that has changed the operand's times. Then the status
    // from before the creation is needed.
    let at_top = split_last(&walk.at.source).0.is_empty();
    let before = walk.operand().filter(|_| at_top).and_then(|operand| operand.into_itself);
    Ok((dirs, before.unwrap_or(stat)))
}

/// Whether opening the source directory that the walk is in has failed because it is no directory.
fn is_no_directory(walk: &CopyWalk<'_>, error: EntryError) -> bool {
    let (above, name) = split_last(&walk.at.source);
    let is_refused = error.op == Op::ReadDirectory && error.errno == Errno::ENOTDIR;
    let Some(operand) = walk.operand().filter(|_| is_refused && !above.is_empty()) else {
        return false;
    };
    let above = walk.cx.plan().open_source(operand, above);
    let stat = above.and_then(|above| file::stat_at(&above, &c_name(name)));
    stat.is_ok_and(|stat| stat.kind() != Kind::Directory)
}

/// Removes the copy of the directory that the walk is in, which was just created.
fn remove_empty_copy(walk: &CopyWalk<'_>) {
    let Some(operand) = walk.operand() else { return };
    let (parent, name) = split_last(&walk.at.target);
    let parent = walk.cx.plan().reach_target(operand, parent);
    if parent.and_then(|parent| file::remove_dir(&parent, &c_name(name))).is_err() {
        // An empty directory more in the copy does no harm.
    }
}

/// Leaves out the directory that the walk is in, because this run builds it. If its copy was just created,
/// removes the copy, which is empty.
fn leave_out(walk: &mut CopyWalk<'_>, overlap: Overlap, existed: bool) -> Result<(), ParentGone> {
    if !existed {
        remove_empty_copy(walk);
    }
    let is_left_out = walk.operand().is_some_and(|operand| operand.target_is_left_out);
    match overlap {
        Overlap::Target if is_left_out => {
            walk.cx.status.subtract(Count::Found, 1);
            Ok(())
        }
        Overlap::Target => walk.record_failed(None, Op::IntoItself.error()(Errno::ELOOP)),
        Overlap::CreatedForOther => {
            walk.cx.status.subtract(Count::Found, 1);
            Ok(())
        }
    }
}

/// Empties a staged directory that an earlier round or run left and that cannot be copied any more, because
/// its entries may be incomplete.
fn remove_leftovers(walk: &CopyWalk<'_>) {
    let Some(operand) = walk.operand() else { return };
    let (parent, name) = split_last(&walk.at.target);
    let emptied = walk.cx.plan().open_target(operand, parent).and_then(|parent| {
        remove(parent.as_fd(), Kind::Directory, &c_name(name))?;
        file::make_dir(&parent, &c_name(name), 0o700)
    });
    if emptied.is_err() {
        // The caller reports the failure of the directory in any case, and that report names the place.
    }
}

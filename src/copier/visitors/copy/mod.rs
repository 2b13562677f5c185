//! Copying a tree: what a copier does with each operand, directory and entry.

mod child_dirs;
mod deferred_dirs;
mod digest;
mod entries;
mod links;
mod prompted;
mod record;
mod verify;

pub(crate) use deferred_dirs::{finish, finish_parent, publish};

use crate::copier::Worker;
use crate::copier::context::Context;
use crate::copier::dir_pair::{
    ChildMark, DirPair, c_name, make_late, open_by_path, open_child, operand_dirs,
};
use crate::copier::entry::result::Done;
use crate::copier::entry::{Entry, EntryCopier, HEAVY_BYTES, help};
use crate::copier::report_writer::{ParentGone, Reports};
use crate::copier::traverse::{self, Child, DirProgress, Offered, Visitor, Walk};
use crate::error::{EntryError, Op};
use crate::ipc::memory::counters::Count;
use crate::ipc::wire::event::Event;
use crate::ipc::wire::task::{EntryPath, EntryPathBuf, Task, split_last};
use crate::staging::removal::{remove, remove_extraneous};
use deferred_dirs::{Pending, PendingDirs, Waits};
use pcopy_sys::Errno;
use pcopy_sys::file::{self, Kind, Stat};
use record::record_dir;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

/// A walk that copies.
pub(super) type CopyWalk<'a> = Walk<'a, DirPair>;

/// A copier at work.
pub(in crate::copier) struct Copier<'a> {
    walk: CopyWalk<'a>,
    visitor: CopyVisitor<'a>,
}

/// Copies what the walk comes to.
pub(super) struct CopyVisitor<'a> {
    entry_copier: EntryCopier<'a>,
    /// The directories above, and this one, that are to be finished on the way back.
    pending: PendingDirs,
    /// The devices that were reported.
    volumes: Vec<u64>,
}

/// An entry as the walk has found it: its directories, and its names in them.
#[derive(Clone, Copy)]
pub(super) struct Found<'e> {
    dirs: &'e DirPair,
    name: &'e CStr,
    target_name: &'e CStr,
}

impl<'e> Found<'e> {
    /// The same with its place.
    fn at(self, at: &'e EntryPathBuf) -> Entry<'e> {
        let Self { dirs, name, target_name } = self;
        Entry { at, dirs, name, target_name }
    }
}

/// What is known of a directory that was entered.
pub(super) struct CopyFacts {
    source: Stat,
    /// Whether it is counted as copied, or as skipped.
    done: Done,
    /// What an interrupted run has left in it is removed at the end.
    cleans: bool,
}

impl<'a> Copier<'a> {
    pub(in crate::copier) fn new(cx: Context<'a>, reports: Reports<'a>) -> Self {
        let (entry_copier, pending, volumes) =
            (EntryCopier::new(cx), PendingDirs::default(), Vec::new());
        let visitor = CopyVisitor { entry_copier, pending, volumes };
        Self { walk: Walk::new(cx, reports), visitor }
    }
}

impl Worker for Copier<'_> {
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
        }
    }

    fn flush_reports(&mut self) -> Result<(), ParentGone> {
        self.walk.reports.flush()
    }
}

impl<'a> Visitor<'a> for CopyVisitor<'a> {
    type Dir = DirPair;
    type Facts = CopyFacts;

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
        (kind, name, target_name): (Kind, &CStr, &CStr),
        progress: &mut DirProgress,
    ) -> Result<(), ParentGone> {
        self.copy_entry(walk, Found { dirs, name, target_name }, kind, progress)
    }

    fn child(
        &self,
        cx: &Context<'_>,
        (path, staged): (EntryPath<'_>, bool),
        parent: Option<&DirPair>,
        (mark, name): (u8, &CStr),
    ) -> Child<DirPair> {
        let (plan, mark) = (cx.plan(), ChildMark::from_byte(mark));
        let staged = staged || mark.staged.is_some();
        let existed = mark.existed;
        let target_name = mark.target_name(plan, path.operand, path.source.is_empty(), name);
        let open = |dirs: &DirPair| open_child(plan, dirs, name, &target_name, staged, existed);
        let made = if mark.unmade {
            make_late(plan, path.operand, (parent, path.target), &target_name)
        } else {
            Ok(())
        };
        let opened = match made {
            Ok(()) => parent.map(open),
            Err(error) => Some(Err(error)),
        };
        Child { target_name, opened, staged, existed }
    }

    fn offer(
        &self,
        cx: &Context<'_>,
        path: EntryPath<'_>,
        parent: Option<&DirPair>,
        (mark, name): (u8, &CStr),
    ) -> Offered {
        let (plan, mut mark) = (cx.plan(), ChildMark::from_byte(mark));
        let target_name = mark.target_name(plan, path.operand, path.source.is_empty(), name);
        if mark.unmade {
            let parent = (parent, path.target);
            // If that fails it stays, and this copier reports why when it comes to it.
            mark.unmade = make_late(plan, path.operand, parent, &target_name).is_err();
        }
        Offered {
            target_name,
            staged: path.staged || mark.staged.is_some(),
            existed: mark.existed,
            renamed: mark.renamed().is_some(),
            mark: mark.to_byte(),
            is_ready: !mark.unmade,
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
                look_at(walk, opened.take().unwrap_or_else(anew)?)
            },
        );
        let (dirs, source) = match looked {
            Ok(both) => both,
            Err(error) => {
                if staged && existed && !walk.cx.options().in_place {
                    remove_leftovers(walk);
                }
                self.pending.fail_directory(walk, error, false)?;
                return Ok(None);
            }
        };
        // One that is staged and not finished was left by an earlier round or run, which did not count
        // it.
        let skipped = existed && (!staged || walk.cx.attrs.is_finished_dir(&source, &dirs.target));
        let done = if skipped { Done::Skipped } else { Done::Copied };
        // What an earlier run left there may be of another source, or of one that has changed.
        let cleans = staged && existed && !dirs.is_seen(walk.cx.plan());
        Ok(Some((dirs, CopyFacts { source, done, cleans })))
    }

    fn listed<'d>(
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
        let cleaned = if facts.cleans {
            debug_assert!(dirs.staged, "only staged entries may be removed");
            listed.and_then(|()| remove_extraneous(dirs.source.as_fd(), dirs.target.as_fd()))
        } else {
            listed
        };
        match cleaned {
            Ok(()) => self.finish(walk, dirs, &facts, progress),
            Err(error) => self.pending.fail_directory(walk, error, progress.given),
        }
    }

    fn come_back(&mut self, walk: &mut CopyWalk<'a>) -> Result<(), ParentGone> {
        self.pending.finish_ready(walk)
    }

    fn end_task(&mut self) {
        self.pending.clear();
    }

    fn note_shared(&mut self, source_bytes: usize, renamed: bool) {
        self.pending.note_shared(source_bytes, renamed);
    }

    fn existed(dirs: &DirPair) -> bool {
        dirs.existed
    }

    fn is_heavy(dirs: &DirPair, name: &CStr) -> bool {
        dirs.stat_source(name).is_ok_and(|stat| stat.size() >= HEAVY_BYTES)
    }
}

impl<'a> CopyVisitor<'a> {
    /// Reports a directory on another file system than its operand, which has to be written back, too.
    fn report_volume(&mut self, walk: &mut CopyWalk<'a>, dirs: &DirPair) -> Result<(), ParentGone> {
        let device = dirs.traits.device;
        if !walk.cx.options().writes_back_before_publish() || self.volumes.contains(&device) {
            return Ok(());
        }
        self.volumes.push(device);
        walk.report(None, Event::OtherFileSystem)
    }

    /// Gives a directory its times, mode and name, or notes what of that must wait.
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
            let shared = progress.shared || progress.given && waits == Some(Waits::All);
            let (source, done) = (Some(*source), Some(*done));
            let pending = Pending { source, done, waits, shared, ..Pending::at(&walk.at) };
            self.pending.push(pending);
            return Ok(());
        }
        if *done == Done::Copied {
            walk.cx.outbox.begin();
        }
        let (from, to) = (dirs.source.as_fd(), dirs.target.as_fd());
        let as_it_was = dirs.existed && !dirs.staged;
        let finished = if as_it_was && walk.cx.attrs.needs_nothing(source, to) {
            Ok(())
        } else {
            walk.cx.attrs.finish_dir(from, to, source, dirs.staged)
        };
        // What is in it becomes visible even if an attribute could not be set.
        let published =
            if unpublished { publish(walk.cx.plan(), walk.at.as_path()) } else { Ok(()) };
        match finished.and(published) {
            Ok(()) => record_dir(walk, *done),
            Err(error) => walk.record_failed(None, error),
        }
    }

    /// What a directory's own times and mode wait for, if they do.
    fn waits(&self, walk: &CopyWalk<'a>, source: &Stat, progress: &DirProgress) -> Option<Waits> {
        let has_children = progress.given || !progress.children.is_empty();
        let locks_us_out = !walk.cx.job.root && source.permissions() & 0o100 == 0;
        let unpublished = is_unpublished(&walk.at);
        let writes_back = unpublished && walk.cx.options().writes_back_before_publish();
        if has_children && (locks_us_out || unpublished) || writes_back {
            return Some(Waits::All);
        }
        match progress {
            DirProgress { renames, shared, .. } if *renames || *shared => Some(Waits::Renames),
            DirProgress { unmade: true, .. } if !progress.children.is_empty() => {
                Some(Waits::Children)
            }
            _ => None,
        }
    }
}

/// Whether a directory was made under a staged name by a copier. What the user named is made, locked and
/// published by the parent.
fn is_unpublished(at: &EntryPathBuf) -> bool {
    let (above, name) = split_last(&at.source);
    !above.is_empty() && split_last(&at.target).1 != name
}

/// Refuses a directory that copiers died on, or that is the run's own target met from above.
fn look_at(walk: &CopyWalk<'_>, dirs: DirPair) -> Result<(DirPair, Stat), EntryError> {
    if walk.cx.is_passed_over(c"") {
        return Err(Op::KillsCopiers.error()(Errno::EIO));
    }
    let stat = file::stat_fd(&dirs.source).map_err(Op::Stat.error())?;
    if walk.cx.job.targets.contains(&stat.identity()) {
        return Err(Op::IntoItself.error()(Errno::ELOOP));
    }
    // The target, which was made in it, has changed its time.
    let at_top = split_last(&walk.at.source).0.is_empty();
    let before = walk.operand().filter(|_| at_top).and_then(|operand| operand.into_itself);
    Ok((dirs, before.unwrap_or(stat)))
}

/// Removes what an earlier run left in a staged directory that cannot be copied any more: some of it may
/// be half done. If that cannot be, the failure that is reported names the place.
fn remove_leftovers(walk: &CopyWalk<'_>) {
    let Some(operand) = walk.operand() else { return };
    let (parent, name) = split_last(&walk.at.target);
    let emptied = walk.cx.plan().open_target(operand, parent).and_then(|parent| {
        remove(parent.as_fd(), Kind::Directory, &c_name(name))?;
        file::make_dir(&parent, &c_name(name), 0o700)
    });
    if emptied.is_err() {
        // See above.
    }
}
